"""Make sets.json: what every frozen set and the first batches of a run are, in a few numbers.

`python -m tests.training.golden.make_sets` writes it beside this file. It is not to be made anew:
another number in it means that no record can be made again.

All is made of the sample, which every machine has. Order and labels are whole numbers and stand
as SHA-256. Of pictures there are grey levels, since another processor rounds a warp's last bit
otherwise: of some images each, and of all.
"""

import hashlib
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from stn_course.data import DISTORTIONS, TASKS
from stn_course.data.clutter.fresh import ROWS
from stn_course.data.digits import sample
from stn_course.data.recipes import BASES, answers
from stn_course.training import datasets
from stn_course.training.config import Config
from stn_course.training.run import Run

PATH = Path(__file__).with_name("sets.json")
CPU = torch.device("cpu")
RECIPES = (*DISTORTIONS, *TASKS)  # frozen, those of ROWS are the published sets, hashed elsewhere
FEW = Config(model="fc", limit=130, epochs=2, batch_size=40, precision="float32")


def levels(images: Tensor) -> list[float]:
    """Mean grey levels, 0 to 255: of four images as quarters, and of all."""
    some = images[:: len(images) // 3][:4].float()
    quarters = torch.nn.functional.adaptive_avg_pool2d(some, 2).flatten()
    return [round(x, 2) for x in (*quarters.tolist(), images.float().mean().item())]


def sha256(numbers: Tensor) -> str:
    return hashlib.sha256(numbers.to(torch.int64).numpy().astype("<i8")).hexdigest()


def a_set(images: Tensor, labels: Tensor) -> dict:
    return {"shape": list(images.shape), "labels": sha256(labels), "levels": levels(images)}


def first_batches(config: Config, seed: int) -> dict:
    """Of both epochs: the order, and what the step makes of the first two batches."""
    with mock.patch.object(Run, "validation_set"):  # which takes longer than all the rest
        run = Run(config, seed)
    run.begin()
    found = {}
    for epoch in (0, 1):
        run.state.step = epoch * run.steps_an_epoch
        order = run.batches()
        found[f"order of epoch {epoch}"] = sha256(torch.cat(order))
        for number in (0, 1):
            run.step.prepare(run.state.step + number, 0.0)
            x, y, _ = run.step.draw(order[number])
            made = {"labels": sha256(y), "levels": levels(255 * x)}
            found[f"epoch {epoch}, batch {number}"] = made
    return found


def make() -> dict:
    found = {}
    with mock.patch.object(datasets, "mnist", cache(sample)):
        for name in RECIPES:
            model = "ffn-spn" if answers(name)[0] > 1 else "fc"
            model = "word-cnn" if name in BASES else model
            config = replace(FEW, model=model, distort=name, tests=(name,))
            for seed in (0, 1):
                found[f"batches/{name}/{seed}"] = first_batches(config, seed)
            if name in ROWS:
                continue
            for split in ("valid", "test"):
                held = datasets.test_set(split, name, CPU)
                found[f"{split}/{name}"] = a_set(held.images, held.labels)
            for seed in (0, 1):
                its = datasets.training_set(replace(config, frozen=True), seed, CPU)[:2]
                found[f"frozen/{name}/{seed}"] = a_set(*its)
        every = replace(FEW, distort="r", frozen=True, limit=None)  # in several parts
        found["frozen/r/all"] = a_set(*datasets.training_set(every, 0, CPU)[:2])
    return found


if __name__ == "__main__":
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in make().items()]
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n")
