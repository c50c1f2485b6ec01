"""A short seeded run of a transformer, with theta of some digits noted along the way."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from stn_course import geometry
from stn_course.config import INIT, ORDER, stream
from stn_course.data import Digits
from stn_course.looks import Looks, look, outline, posing_front
from stn_course.measure import mean_loss, prepare
from stn_course.transformers import SpatialTransformer, localiser_parameters


class Bypassed(nn.Module):
    """The mistake itself: the transformer runs, and the classifier gets the image as it came."""

    def __init__(self, front: nn.Module, classifier: nn.Module):
        super().__init__()
        self.front, self.classifier = front, classifier

    def forward(self, images: Tensor) -> Tensor:
        self.front(images)
        return self.classifier(images)


@dataclass
class ShortRun:
    """What a short run left behind.

    ``thetas`` [T, N, 2, 3] of N probe digits after each of ``steps`` [T]; ``losses`` one a step;
    ``looks`` at the probes in the end; ``accuracy`` on them in percent.
    """

    model: nn.Module
    steps: list[int]
    thetas: Tensor
    losses: list[float]
    looks: Looks
    accuracy: float

    @property
    def boxes(self) -> np.ndarray:
        """Where each probe is read: polygons [N, 4, 2] in [-1, 1]."""
        return outline(self.thetas[-1]).numpy()

    @property
    def outputs(self) -> np.ndarray:
        """What the classifier gets of each probe, in [0, 1].  # [N, H, W]"""
        seen = self.looks.inputs if isinstance(self.model, Bypassed) else self.looks.outputs
        return seen / 255

    @property
    def distances(self) -> Tensor:
        """Of each theta from the identity.  # [T, N]"""
        start = geometry.identity()[0]
        return (self.thetas - start).flatten(-2).norm(dim=-1)


def short_run(
    model: nn.Module,
    train: Digits,
    probes: Digits,
    steps: int = 300,
    batch: int = 64,
    lr: float = 4e-3,
    lr_localiser: float | None = None,
    seed: int = 0,
    every: int = 10,
    pose_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    truth: Tensor | None = None,
) -> ShortRun:
    """Train ``model`` on uint8 ``train`` by Adam, noting theta of ``probes`` along the way.

    The rate falls linearly to 0.  ``pose_loss`` of the true theta (``truth`` [N, 2, 3], of
    ``train``) and the found one is added to the loss.  Raises ValueError for a model without a
    transformer, and for one of ``pose_loss`` and ``truth`` without the other.
    """
    if (pose_loss is None) != (truth is None):
        raise ValueError("pose_loss and truth go together; wanted both or neither")
    front = posing_front(model)
    if pose_loss is not None and not isinstance(front, SpatialTransformer):
        raise ValueError(f"pose_loss needs a SpatialTransformer, got {type(front).__name__}")
    front.keep_live = pose_loss is not None
    theirs = localiser_parameters(model)
    known = {id(p) for p in theirs}
    ours = [p for p in model.parameters() if id(p) not in known]
    rates = (lr, lr if lr_localiser is None else lr_localiser)
    groups = [{"params": p, "lr": r} for p, r in zip((ours, theirs), rates, strict=True)]
    optimizer = torch.optim.Adam(groups)
    dice = torch.Generator().manual_seed(stream(ORDER, seed))
    shown = prepare(probes.images)
    noted, thetas, losses = [], [], []

    @torch.no_grad()
    def note(step: int) -> None:
        model.eval()(shown)
        noted.append(step)
        thetas.append(front.theta.clone())
        model.train()

    with torch.random.fork_rng(devices=[]):  # of dropout
        torch.manual_seed(stream(INIT, seed))
        for step in range(steps):
            if step % every == 0:
                note(step)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * (1 - step / steps)
            pick = torch.randint(len(train.images), (batch,), generator=dice)
            loss = mean_loss(model(prepare(train.images[pick])), train.labels[pick])
            if pose_loss is not None:
                loss = loss + pose_loss(truth[pick], front.live)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        note(steps)
    seen = look(model.eval(), probes.images, probes.labels)
    right = 100 * float((seen.read == seen.labels).mean())
    return ShortRun(model, noted, torch.stack(thetas), losses, seen, right)


def symptoms(run: ShortRun) -> dict[str, float]:
    """What the run's theta and outputs say in numbers.

    ``accuracy`` in percent; ``moved``: mean distance of theta from where it began;
    ``half_side``: median root of |det|, where 1 is as large as the picture; ``mirrored``: share
    of boxes that are mirror images; ``blank``: share of pictures without ink that the
    classifier gets.
    """
    last = run.thetas[-1]  # [N, 2, 3]
    det = last[:, 0, 0] * last[:, 1, 1] - last[:, 0, 1] * last[:, 1, 0]
    got = run.outputs.reshape(len(last), -1)
    return {
        "accuracy": run.accuracy,
        "moved": (last - run.thetas[0]).flatten(1).norm(dim=1).mean().item(),
        "half_side": det.abs().sqrt().median().item(),
        "mirrored": (det < 0).double().mean().item(),
        "blank": float((got.max(1) - got.min(1) < 0.1).mean()),
    }
