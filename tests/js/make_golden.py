"""Make golden_networks.json: what torch makes of some digits with the weights that pages have.

python -m tests.js.make_golden, after `stn-course export-web`; a test compares it.
"""

import base64
import json
from pathlib import Path

import torch

from stn_course.analysis import robustness
from stn_course.data.digits import SAMPLE_FILE
from stn_course.experiments import runner, web
from stn_course.models import SpatialTransformer

PATH = Path(__file__).with_name("golden_networks.json")
ANGLES = (0.0, 40.0, -75.0, 120.0)


def pictures() -> torch.Tensor:
    """Twelve test digits of the sample, some of them turned, in whole 1/255.  # [12, 1, 28, 28]"""
    import numpy as np

    with np.load(SAMPLE_FILE) as sample:
        digits = torch.from_numpy(sample["test_images"][20:32])[:, None].float() / 255
    parts = [robustness.rotate(some, a) for some, a in zip(digits.split(3), ANGLES, strict=True)]
    return torch.cat(parts).clamp(0, 1).mul(255).round()


@torch.no_grad()
def golden() -> dict:
    """The pictures, and each network's logits and theta for them."""
    values, nets = pictures(), {}
    for name in web.FIRST_PAGE:
        model = web.rounded(runner.trained(name))
        logits = model(values / 255)
        nets[name] = [{"logits": row.tolist()} for row in logits]
        if isinstance(model[0], SpatialTransformer):
            for each, theta in zip(nets[name], model[0].theta, strict=True):
                each["theta"] = theta.flatten().tolist()
    texts = [base64.b64encode(each.byte().numpy().tobytes()).decode() for each in values]
    return {"pictures": texts, "nets": nets}


if __name__ == "__main__":
    PATH.write_text(json.dumps(golden(), separators=(",", ":")) + "\n", encoding="utf-8")
