"""A museum of failures: short seeded runs of a transformer that goes wrong, and of its cures.

All exhibits share one small network and one frozen set (HR's padded digits, 40x40), so that
each differs from the healthy run in one thing alone.  A run takes about two seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stn_course import geometry
from stn_course.blocks import Normalise, evaluating
from stn_course.classifiers import CLASSIFIERS
from stn_course.config import INIT, stream
from stn_course.data import Digits, frozen, mnist
from stn_course.localisers import LOCALISERS
from stn_course.looks import front_of, posing_front
from stn_course.measure import prepare
from stn_course.sampler import affine_grid
from stn_course.short_run import Bypassed, ShortRun, short_run, symptoms
from stn_course.transformers import SpatialTransformer

__all__ = [
    "EXHIBITS",
    "Exhibit",
    "Halls",
    "ShortRun",
    "glimpses",
    "halls",
    "healthy",
    "short_run",
    "symptoms",
    "visit",
]

RECIPE, SIZE = "hr", (40, 40)
GLIMPSE = (28, 28)


def healthy(
    last: nn.Module | None = None, glimpse=GLIMPSE, transform=None, **options
) -> nn.Sequential:
    """The museum's network: HR's small localiser without its last tanh, and XQ's FC net.

    ``last`` is put behind the localiser's last layer; ``options`` go to `SpatialTransformer`.
    """
    transform = transform or geometry.Affine()
    localiser = LOCALISERS["hr"](transform.n, SIZE)[:-1]
    localiser = localiser if last is None else localiser.append(last)
    front = SpatialTransformer(localiser, transform, glimpse, **options)
    return nn.Sequential(front, CLASSIFIERS["fc"](glimpse))


def bypassed() -> nn.Module:
    front, classifier = healthy(glimpse=SIZE)
    return Bypassed(front, classifier)


def tiny_start(half: float = 0.1) -> nn.Module:
    """The localiser starts with a box of ``half`` the image's half-width, in the middle."""
    model = healthy()
    with torch.no_grad():
        front_of(model).head[0].bias.mul_(half)
    return model


@dataclass(frozen=True)
class Exhibit:
    """One failure: how to build it, what to look for, what helps.

    ``lr_localiser`` is the transformers' rate; None: that of the classifier.
    """

    build: Callable[[], nn.Module]
    symptom: str
    cure: str
    lr_localiser: float | None = None


EXHIBITS: dict[str, Exhibit] = {
    "healthy": Exhibit(healthy, "none", "none needed"),
    "no identity start": Exhibit(
        lambda: healthy(nn.Tanh(), identity_start=False),
        "the first boxes lie anywhere, turned, mirrored or off the digit",
        "zero weights and the identity's bias in the localiser's last layer",
    ),
    "tanh on theta": Exhibit(
        lambda: healthy(nn.Tanh()),
        "the first box is already cut, tanh(1) = .76; no entry can reach 1",
        "no squashing, or squash what is added to the identity",
    ),
    "rate too high": Exhibit(
        healthy,
        "theta jumps, the box leaves the picture, the output is blank",
        "a lower rate for the localiser, or bounds",
        lr_localiser=0.1,
    ),
    "zero padding, normalised": Exhibit(
        lambda: nn.Sequential(Normalise(0.1307, 0.3081), healthy(padding="zeros")),
        "grey wedges around the digit",
        "pad with the background",
    ),
    "paper padding, normalised": Exhibit(
        lambda: nn.Sequential(Normalise(0.1307, 0.3081), healthy()),
        "none: the control of the exhibit before",
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


def halls(train: Digits, test: Digits, n: int = 4000, m: int = 500) -> Halls:
    """The first n of ``train`` and m of ``test``, distorted once."""
    (made, labels), (held, its) = (
        frozen(RECIPE, part.images[:k], part.labels[:k], seed)
        for seed, (part, k) in enumerate(((train, n), (test, m)))
    )
    return Halls(
        Digits(made.images, labels, train.source),
        made.theta,
        Digits(held.images, its, test.source),
        held.theta,
    )


def visit(name: str, halls: Halls, seed: int = 0, steps: int = 300) -> ShortRun:
    """Run the exhibit ``name`` with ``seed``; ValueError for an unknown name."""
    if name not in EXHIBITS:
        raise ValueError(f"name={name!r} is unknown; wanted one of {', '.join(EXHIBITS)}")
    exhibit = EXHIBITS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(INIT, seed))
        model = exhibit.build()
    rate = exhibit.lr_localiser
    return short_run(model, halls.train, halls.probes, steps, lr_localiser=rate, seed=seed)


def glimpses(model: nn.Module, device: torch.device, name: str) -> dict[str, dict]:
    """How far ``model`` zooms out on the test digits under the recipe ``name``.

    ``half_side``: mean root of |det theta|; ``outside``: share of what is read that lies
    beyond the picture's edge.
    """
    digits = mnist("test")
    made, _ = frozen(name, digits.images.to(device), digits.labels.to(device), seed=0)
    front, sides, beyond = posing_front(model), [], []
    with evaluating(model):
        for images in made.images.split(250):
            model(prepare(images))
            theta = front.theta
            grid = affine_grid(theta, (28, 28))
            sides.append(theta[:, :, :2].det().abs().sqrt())
            beyond.append((grid.abs() > 1).any(3).float().mean((1, 2)))
    return {
        "glimpse": {
            "half_side": torch.cat(sides).mean().item(),
            "outside": torch.cat(beyond).mean().item(),
        }
    }
