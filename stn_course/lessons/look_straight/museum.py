"""The museum of failures in notebook 03: short seeded runs of transformers that go wrong."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from stn_course import geometry
from stn_course.analysis.glimpses import GLIMPSE
from stn_course.analysis.predictions import Predictions, predict
from stn_course.data import Digits, freeze, to_float
from stn_course.data.seeding import INIT, ORDER, stream
from stn_course.geometry import one_of
from stn_course.models import CLASSIFIERS, LOCALISERS, SpatialTransformer
from stn_course.models.layers import Normalise
from stn_course.models.losses import mean_loss
from stn_course.models.transformers import (
    first_posed_transformer,
    first_transformer,
    localiser_parameters,
)
from stn_course.sampling import outline


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

    `thetas` [T, N, 2, 3] of N probe digits after each of `steps` [T]; `losses` one a step;
    `looks` at the probes in the end; `accuracy` on them in percent.
    """

    model: nn.Module
    steps: list[int]
    thetas: Tensor
    losses: list[float]
    looks: Predictions
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


def _adam_with_two_rates(model: nn.Module, rates: tuple[float, float]) -> torch.optim.Adam:
    """Adam with one rate for the rest of a network and one for its localiser."""
    theirs = localiser_parameters(model)
    known = {id(p) for p in theirs}
    ours = [p for p in model.parameters() if id(p) not in known]
    groups = [{"params": p, "lr": r} for p, r in zip((ours, theirs), rates, strict=True)]
    return torch.optim.Adam(groups)


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
    """Train `model` on uint8 `train` by Adam, noting theta of `probes` along the way.

    The rate falls linearly to 0. `pose_loss` of the true theta (`truth` [N, 2, 3], of
    `train`) and the found one is added to the loss. Raises ValueError for a model without a
    transformer, and for one of `pose_loss` and `truth` without the other.
    """
    if (pose_loss is None) != (truth is None):
        raise ValueError("pose_loss and truth go together; wanted both or neither")
    front = first_posed_transformer(model)
    if pose_loss is not None and not isinstance(front, SpatialTransformer):
        raise ValueError(f"pose_loss needs a SpatialTransformer, got {type(front).__name__}")
    front.keep_live = pose_loss is not None
    rates = (lr, lr if lr_localiser is None else lr_localiser)
    optimizer = _adam_with_two_rates(model, rates)
    generator = torch.Generator().manual_seed(stream(ORDER, seed))
    shown = to_float(probes.images)
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
            pick = torch.randint(len(train.images), (batch,), generator=generator)
            loss = mean_loss(model(to_float(train.images[pick])), train.labels[pick])
            if pose_loss is not None:
                loss = loss + pose_loss(truth[pick], front.live)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        note(steps)
    seen = predict(model.eval(), probes.images, probes.labels)
    right = 100 * float((seen.read == seen.labels).mean())
    return ShortRun(model, noted, torch.stack(thetas), losses, seen, right)


def signs(run: ShortRun) -> dict[str, float]:
    """What the run's theta and outputs say in numbers.

    `accuracy` in percent; `moved`: mean distance of theta from where it began;
    `half_side`: median root of |det|, where 1 is as large as the picture; `mirrored`: share
    of boxes that are mirror images; `blank`: share of pictures without ink that the
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


RECIPE, SIZE = "hr", (40, 40)


def sound(
    last: nn.Module | None = None, glimpse=GLIMPSE, transform=None, **options
) -> nn.Sequential:
    """The museum's network: HR's small localiser without its last tanh, and XQ's FC net.

    `last` is put behind the localiser's last layer; `options` go to `SpatialTransformer`.
    """
    transform = transform or geometry.Affine()
    localiser = LOCALISERS["hr"](transform.n, SIZE)[:-1]
    localiser = localiser if last is None else localiser.append(last)
    front = SpatialTransformer(localiser, transform, glimpse, **options)
    return nn.Sequential(front, CLASSIFIERS["fc"](glimpse))


def bypassed() -> nn.Module:
    front, classifier = sound(glimpse=SIZE)
    return Bypassed(front, classifier)


def tiny_start(half: float = 0.1) -> nn.Module:
    """The localiser starts with a box of `half` the image's half-width, in the middle."""
    model = sound()
    with torch.no_grad():
        first_transformer(model).head[0].bias.mul_(half)
    return model


@dataclass(frozen=True)
class Exhibit:
    """One failure: how to build it, what to look for, what helps.

    `lr_localiser` is the transformers' rate; None: that of the classifier.
    """

    build: Callable[[], nn.Module]
    sign: str
    repair: str
    lr_localiser: float | None = None


EXHIBITS: dict[str, Exhibit] = {
    "sound": Exhibit(sound, "none", "none needed"),
    "no identity start": Exhibit(
        lambda: sound(nn.Tanh(), identity_start=False),
        "the first boxes lie anywhere, turned, mirrored or off the digit",
        "zero weights and the identity's bias in the localiser's last layer",
    ),
    "tanh on theta": Exhibit(
        lambda: sound(nn.Tanh()),
        "the first box is already cut, tanh(1) = .76; no entry can reach 1",
        "no squashing, or squash what is added to the identity",
    ),
    "rate too high": Exhibit(
        sound,
        "theta jumps, the box leaves the picture, the output is blank",
        "a lower rate for the localiser, or bounds",
        lr_localiser=0.1,
    ),
    "zero padding, normalised": Exhibit(
        lambda: nn.Sequential(Normalise(0.1307, 0.3081), sound(padding="zeros")),
        "grey wedges around the digit",
        "pad with the background",
    ),
    "paper padding, normalised": Exhibit(
        lambda: nn.Sequential(Normalise(0.1307, 0.3081), sound()),
        "none: it stands beside the exhibit before, to compare",
        "none needed",
    ),
    "untransformed input": Exhibit(
        bypassed,
        "theta stays the identity to the last bit",
        "hand the classifier what the transformer gives; test that dL/dtheta is not 0",
    ),
    "crop collapse": Exhibit(
        tiny_start,
        "the box stays so small that it sees a stroke, or nothing",
        "start from the identity; bound the zoom",
    ),
}


@dataclass(frozen=True)
class Halls:
    """What the museum shows its runs: frozen digits, with the true theta [N, 2, 3] of each."""

    train: Digits
    truth: Tensor
    probes: Digits
    probe_truth: Tensor


def prepare_digits(train: Digits, test: Digits, n: int = 4000, m: int = 500) -> Halls:
    """The first n of `train` and m of `test`, distorted once."""
    (made, labels), (held, its) = (
        freeze(RECIPE, part.images[:k], part.labels[:k], seed)
        for seed, (part, k) in enumerate(((train, n), (test, m)))
    )
    return Halls(
        Digits(made.images, labels, train.source),
        made.theta,
        Digits(held.images, its, test.source),
        held.theta,
    )


def run_exhibit(name: str, halls: Halls, seed: int = 0, steps: int = 300) -> ShortRun:
    """Run the exhibit `name` with `seed`; ValueError for an unknown name."""
    one_of("name", name, EXHIBITS)
    exhibit = EXHIBITS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(INIT, seed))
        model = exhibit.build()
    rate = exhibit.lr_localiser
    return short_run(model, halls.train, halls.probes, steps, lr_localiser=rate, seed=seed)
