"""Co-localisation: find the digit that many scenes share, without being told where or which.

After section 4.4 of the STN paper (Jaderberg et al. 2015, arXiv 1506.02025): two crops of one
class should look more alike than a crop and a piece cut out anywhere. What the paper leaves
open is ours: the encoder is this course's CNN, trained to read clean digits, and the finder
says a place as the centre of mass of a map of scores.
"""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stn_course import data, geometry, models
from stn_course.data import Placed, to_float
from stn_course.data.seeding import INIT, ORDER, stream
from stn_course.experiments.experiment import Experiment
from stn_course.sampling import fused, reference
from stn_course.training.config import Config
from stn_course.training.loop import fit
from stn_course.training.record import RunRecord, current_commit

CANVAS, SIDE = 84, 28
A_CLASS = 100  # scenes of one class
PATCHES = {"translated": 0, "cluttered": 16}
ENCODER = Config(train_on="train+valid", limit=10_000, epochs=2, lr=2e-3, schedule="onecycle")


class Finder(nn.Module):
    """Where to look: theta [B, 2, 3] of a 28x28 glimpse of each scene [B, 1, 84, 84].

    `gain` makes the untrained scores so uneven that each start looks somewhere of its own:
    from the middle, where most see paper, all end at paper, which is the same everywhere.
    """

    def __init__(self, gain: float = 40.0):
        super().__init__()
        last = nn.Conv2d(32, 1, 5, padding=2)
        with torch.no_grad():
            last.weight.mul_(gain)
        self.scores = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5, padding=2),
            nn.ReLU(),
            last,
        )

    def forward(self, scenes: Tensor) -> Tensor:
        scores = self.scores(scenes)[:, 0]  # [B, 21, 21]
        share = scores.flatten(1).softmax(1).view_as(scores)
        at = geometry.pixel_centres(scores.shape[1], dtype=share.dtype, device=share.device)
        x, y = (share.sum(1) * at).sum(1), (share.sum(2) * at).sum(1)
        return glimpse_at(torch.stack([x, y], 1))


def glimpse_at(centres: Tensor) -> Tensor:
    """theta of upright 28x28 glimpses around `centres` [B, 2] (normalised).  # [B, 2, 3]"""
    turn = torch.eye(2).to(centres).mul(SIDE / CANVAS).expand(len(centres), 2, 2)
    return torch.cat([turn, centres[:, :, None]], 2)


def hinge(crops: Tensor, others: Tensor, margin: float) -> Tensor:
    """Mean over pairs n != m of max(0, |c_n - c_m|^2 - |c_n - o_n|^2 + margin).

    crops, others: codes [B, F] of what was looked at, and of pieces cut out anywhere.
    """
    near = torch.cdist(crops, crops).square()  # [B, B]
    far = (crops - others).square().sum(1, keepdim=True)  # [B, 1]
    loss = F.relu(near - far + margin)
    n = len(crops)
    return (loss.sum() - loss.diagonal().sum()) / (n * (n - 1))


def encoder(seed: int = 0) -> nn.Module:
    """The last hidden layer of a CNN trained on clean digits, scaled to length 1.  # [B, F]"""
    reader, _ = fit(ENCODER, seed)
    return nn.Sequential(*list(reader)[:-2], Unit()).requires_grad_(False).eval()


class Unit(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=1)


@dataclass
class Found:
    """`thetas` [T, N, 2, 3] along the way and `centred` [N, 2, 3] of them in the end.

    `losses` one a step, `ends` the loss at which the trial of each start ended that was tried.
    """

    scenes: Placed
    thetas: Tensor
    centred: Tensor
    losses: list[float]
    ends: list[float]

    def ious(self, centred: bool = True) -> Tensor:
        """Of the glimpses with the digits' cells, as they were found or centred.  # [N]"""
        return geometry.iou(self.boxes(centred), self.scenes.boxes.float())

    def boxes(self, centred: bool = True) -> Tensor:
        """The glimpses in pixels.  # [N, 4]"""
        return geometry.glimpse_boxes(self.centred if centred else self.thetas[-1], CANVAS)


def scenes_of(digits: data.Digits, label: int, patches: int, seed: int) -> Placed:
    """100 scenes with digits of one class (fewer where there are fewer), the same for a seed."""
    chosen = to_float(digits.images[digits.labels == label][:A_CLASS])
    generator = torch.Generator().manual_seed(stream(ORDER, seed, label))
    return data.colocalisation(chosen, generator, patches)


def search(
    scenes: Placed,
    code: nn.Module,
    seed: int = 0,
    steps: int = 200,
    starts: int = 40,
    trial: int = 40,
    enough: float = 0.5,
    batch: int = 32,
    lr: float = 2e-3,
    margin: float = 1.0,
    every: int = 20,
) -> Found:
    """Train a `Finder` on the scenes of one class, which are also those it is asked about.

    Finders are trained for `trial` steps, one after the other, until the loss of one is below
    `enough` (of those that looked at paper none has come below .65), or `starts` were tried.
    The one with the lowest loss goes on for `steps`. No label is needed for that.
    """
    finders, ends, generator = [], [], torch.Generator().manual_seed(stream(ORDER, seed))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(INIT, seed))
        for _ in range(starts):
            finders.append(Finder())
    settings = {"batch": batch, "lr": lr, "margin": margin}
    for finder in finders:
        losses = list(descend(finder, scenes, code, generator, trial, **settings))
        ends.append(sum(losses[-10:]) / len(losses[-10:]))
        if ends[-1] < enough:
            break
    finder, thetas, losses = finders[ends.index(min(ends))], [], []
    for step, loss in enumerate(descend(finder, scenes, code, generator, steps, **settings)):
        losses.append(loss)
        if (step + 1) % every == 0:
            thetas.append(finder(scenes.images).detach())
    thetas.append(finder(scenes.images).detach())
    return Found(scenes, torch.stack(thetas), recentred(scenes.images, thetas[-1]), losses, ends)


def recentred(images: Tensor, theta: Tensor, rounds: int = 4) -> Tensor:
    """`theta` [B, 2, 3] moved by one constant, so that what all glimpses share is in the middle.

    The loss asks for the same place on every digit, not for its middle. The mean of the
    glimpses, with as much again around them, shows the digit beside it: the constant is the
    centre of mass of its ink above the median, which is clutter.
    """
    wide = torch.tensor([[2.0, 2.0, 1.0], [2.0, 2.0, 1.0]])
    at = geometry.pixel_centres(2 * SIDE)  # of the wide glimpse, in its own units
    for _ in range(rounds):
        mean = reference.warp(images, theta * wide, (2 * SIDE, 2 * SIDE)).mean(0)[0]  # [56, 56]
        ink = (mean - mean.median()).relu().square()  # what is shared is darker: let it count
        x, y = (ink.sum(0) * at).sum() / ink.sum(), (ink.sum(1) * at).sum() / ink.sum()
        step = torch.stack([x, y]) * 2 * SIDE / CANVAS
        theta = torch.cat([theta[:, :, :2], theta[:, :, 2:] + step[:, None]], 2)
    return theta


def descend(
    finder: nn.Module,
    scenes: Placed,
    code: nn.Module,
    generator: torch.Generator,
    steps: int,
    batch: int,
    lr: float,
    margin: float,
) -> Iterator[float]:
    """Train `finder` step by step, yielding the loss of each."""
    optimizer = torch.optim.Adam(finder.parameters(), lr)
    size, room = (SIDE, SIDE), 1 - SIDE / CANVAS
    for _ in range(steps):
        x = scenes.images[torch.randperm(len(scenes.images), generator=generator)[:batch]]
        anywhere = glimpse_at(room * (2 * torch.rand(len(x), 2, generator=generator) - 1))
        crops = code(fused.warp(x, finder(x), size))
        loss = hinge(crops, code(fused.warp(x, anywhere, size)), margin)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def record(name: str, seed: int, which: str) -> RunRecord:
    """One finder a class on `which` of `PATCHES`; correct is IoU > .5.

    The scenes are of test digits: the encoder learned from labelled training digits.
    """
    start, code, digits = time.perf_counter(), encoder(seed), data.mnist("test")
    found = {k: search(scenes_of(digits, k, PATCHES[which], seed), code, seed) for k in range(10)}
    right, as_found = (
        {str(k): int((f.ious(centred) > 0.5).sum()) for k, f in found.items()}
        for centred in (True, False)
    )
    total = sum(len(f.centred) for f in found.values())
    loss = sum(f.losses[-1] for f in found.values()) / len(found)
    ends = torch.cat([f.centred for f in found.values()]).numpy().tobytes()
    return RunRecord(
        experiment=name,
        seed=seed,
        config={"which": which, "patches": PATCHES[which], "classes": 10, "a_class": A_CLASS},
        digits=digits.source,
        parameters=models.count_parameters(Finder()),
        curves={"train_loss": np.mean([f.losses for f in found.values()], 0).tolist()},
        results={f"test/{which}": {"correct": sum(right.values()), "total": total, "loss": loss}},
        hashes={"thetas": hashlib.sha256(ends).hexdigest()},
        probes={
            "correct_of_class": right,
            "correct_before_centring": as_found,
            "starts_of_class": {str(k): len(f.ends) for k, f in found.items()},
        },
        commit=current_commit(),
        versions={"torch": torch.__version__, "numpy": np.__version__},
        device="cpu",
        threads=torch.get_num_threads(),
        seconds=round(time.perf_counter() - start, 3),
    )


def colocalisation() -> Iterator[tuple[str, Experiment]]:
    for which in PATCHES:
        config = {"which": which, "patches": PATCHES[which]}
        about = f"co-localisation, {which}: one finder a class, IoU > .5"
        run = partial(record, which=which)
        yield f"coloc-{which}", Experiment(config, about, seeds=3, minutes=2.6, run=run)


EXPERIMENTS = dict(colocalisation())
