"""The lines that notebook 08 gives for pictures of one's own, which it does not run itself."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from stn_course import geometry, models
from stn_course.lessons.bent_words import helpers
from tests.support import ROOT

TEXT = (ROOT / "notebooks" / "src" / "08_bent_words.md").read_text(encoding="utf-8")


def lesson():
    """`teach_marks` as the notebook defines it, and its lines for one's own pictures."""
    taught = re.search(r"def teach_marks\(.*?\n\n\n", TEXT, re.S).group(0)
    (own,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    return taught, own


def test_what_was_taught_is_taken_over_by_a_run(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    for kind in "abcdefghi":
        folder = tmp_path / "pictures" / kind
        folder.mkdir(parents=True)
        for k in range(10):
            pixels = generator.integers(0, 256, (64, 80, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{k}.png")
    monkeypatch.chdir(tmp_path)
    taught, own = lesson()
    torch.manual_seed(0)
    known = {"torch": torch, "geometry": geometry, "models": models, "helpers": helpers, "steps": 1}
    known |= {"images": torch.rand(6, 3, 64, 80), "marks": 0.3 * torch.randn(6, 5, 2)}
    exec(taught + own.replace("steps=800", "steps=2"), known)
    options = '{"localiser": "normed", "sees": [32, 40], "glimpse": [32, 32]}'
    line = f"train --data ./pictures --model stn-small --options '{options}' --epochs 1 --quiet"
    more = "--lr-localiser 0 --start-from taught.safetensors --only localiser --out run"
    said = helpers.stn_course(tmp_path, f"{line} {more}")
    assert any("loaded" in each for each in said)
    from stn_course import load

    before, after = known["net"].state_dict(), load(tmp_path / "run").state_dict()
    parts = [k for k in before if k.startswith("0.") and k.endswith("weight")]
    assert len(parts) > 4 and all(torch.equal(before[k], after[k]) for k in parts)


def test_its_lesson_brings_the_marks_nearer():
    taught, _ = lesson()
    known = {"torch": torch, "geometry": geometry, "helpers": helpers, "steps": 40}
    exec(taught, known)
    torch.manual_seed(0)
    front = models.transformer((32, 96), 3, localiser="normed", transform="affine", sees=(16, 48))
    made = helpers.scenes("train", 40)
    at = geometry.frame_corners(made.theta)
    marks = helpers.words.carried(made, at)

    def miss():
        with torch.no_grad():
            read = geometry.transform_points(front.locate(made.images), at)
        return (read - marks).norm(dim=2).mean()

    front.eval()
    before = miss()
    known["teach_marks"](front.train(), made.images, marks, at, moved=False)
    front.eval()
    assert miss() < 0.8 * before


@pytest.mark.parametrize("name", ["pool", "grey", "antialias", "identity_start"])
def test_an_option_that_is_no_truth_value_is_refused_by_name(name):
    with pytest.raises(TypeError, match=rf"{name} is '\?'; wanted true or false"):
        models.build("stn-small", **{name: "?"})
