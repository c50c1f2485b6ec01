"""Distortion recipes: seeded, on any device, with the true transform returned.

A recipe takes float images ``[B, 1, H, W]`` in [0, 1] and a generator on the same device.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from stn_course import geometry, sampler


@dataclass(frozen=True)
class Distorted:
    """``images`` [B, 1, H, W] and the ``theta`` [B, 2, 3] (output -> input) that made them."""

    images: Tensor
    theta: Tensor


@dataclass(frozen=True)
class Ranges:
    """Half ranges or ranges of one affine branch, in the units that recipes state.

    ``scale_x`` and ``scale_y``: low and high factor; ``shift``: largest fraction of the
    side, each way; ``angle`` and ``shear``: largest degrees, each way.  ``one_scale``
    draws one factor for both axes.
    """

    scale_x: tuple[float, float] = (1.0, 1.0)
    scale_y: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    angle: float = 0.0
    shear: float = 0.0
    one_scale: bool = False


def draw_affine(ranges: Ranges, n: int, generator: Generator) -> Tensor:
    """theta [n, 2, 3] drawn uniformly and independently from ``ranges``.

    The content is zoomed, sheared, turned and shifted, in this order.  The shear by ``s``
    is [[1, -sin s], [0, cos s]], as imgaug, scikit-image and HR have it: a shear by -s
    after a zoom of y by cos s.
    """
    u = torch.rand(6, n, generator=generator, device=generator.device)  # [6, n]
    shear = ranges.shear * (2 * u[3] - 1)  # [n] degrees
    zoom_x = _between(ranges.scale_x, u[0])
    zoom_y = _between(ranges.scale_y, u[0] if ranges.one_scale else u[1])
    return geometry.affine(
        angle=ranges.angle * (2 * u[2] - 1),
        shear=-shear,
        scale=torch.stack([zoom_x, zoom_y * torch.cos(torch.deg2rad(shear))], 1),
        shift=2 * ranges.shift * (2 * u[4:6].T - 1),  # the side is 2 in normalised units
    )


def _between(limits: tuple[float, float], u: Tensor) -> Tensor:
    return limits[0] + (limits[1] - limits[0]) * u


def mixture(branches: tuple[Ranges, ...], images: Tensor, generator: Generator) -> Distorted:
    """One of ``branches`` for each image, with nearest or bilinear sampling by a coin flip.

    XQ's recipes, drawn as imgaug did before 0.4 (one x-shear; later versions shear y as
    well).  Outside is black, as published.
    """
    n = len(images)
    theta = torch.stack([draw_affine(b, n, generator) for b in branches])  # [branches, n, 2, 3]
    which = torch.randint(len(branches), (n,), generator=generator, device=generator.device)
    theta = theta[which, torch.arange(n, device=which.device)]  # [n, 2, 3]
    coin = torch.rand(n, generator=generator, device=generator.device) < 0.5
    smooth = sampler.warp(images, theta, padding="zeros")
    blocky = sampler.warp(images, theta, padding="zeros", mode="nearest")
    return Distorted(torch.where(coin[:, None, None, None], smooth, blocky), theta)


# XQ's script and README table, and its notebook (near the blog's text).
HARD = (
    Ranges((0.5, 1.3), (0.5, 1.3), shift=0.3, angle=75, shear=30),
    Ranges((0.5, 1.3), (0.5, 1.3)),
    Ranges(shift=0.3),
    Ranges(angle=75),
    Ranges(shear=30),
)
MILD = (
    Ranges((0.6, 1.1), (0.5, 1.1), shift=0.2, angle=30, shear=15),
    Ranges((0.6, 1.1), (0.6, 1.1)),
    Ranges((0.6, 0.8), (0.6, 0.8), shift=0.2),
    Ranges(angle=60),
    Ranges(shear=40),
)
# This course's augmentation of notebook 01: as far as its robustness curves go.
POSE = Ranges((0.5, 1.5), (0.5, 1.5), shift=0.25, angle=90, one_scale=True)


def hard(images: Tensor, generator: Generator) -> Distorted:
    """XQ's HARD: all of scale .5-1.3, shift .3, angle 75, shear 30, or one of them alone."""
    return mixture(HARD, images, generator)


def mild(images: Tensor, generator: Generator) -> Distorted:
    """XQ's MILD: the gentler mixture of its notebook."""
    return mixture(MILD, images, generator)


def pose(images: Tensor, generator: Generator) -> Distorted:
    """Angle within 90 degrees, scale .5-1.5, shift within a quarter of the side, all at once."""
    theta = draw_affine(POSE, len(images), generator)
    return Distorted(sampler.warp(images, theta), theta)


DISTORTIONS: dict[str, Callable[[Tensor, Generator], Distorted]] = {
    "hard": hard,
    "mild": mild,
    "pose": pose,
}


def freeze(images: Tensor, name: str, seed: int, batch: int = 2000) -> Tensor:
    """Distort uint8 ``images`` [N, 1, H, W] once by the recipe ``name``; uint8 back."""
    if name not in DISTORTIONS:
        raise ValueError(f"name={name!r} is unknown; wanted one of {', '.join(DISTORTIONS)}")
    if images.dtype != torch.uint8:
        raise TypeError(f"images are {images.dtype}; wanted torch.uint8")
    generator = Generator(images.device).manual_seed(seed)
    parts = [
        DISTORTIONS[name](part.float() / 255, generator).images.mul(255).round().to(torch.uint8)
        for part in images.split(batch)
    ]
    return torch.cat(parts) if parts else images
