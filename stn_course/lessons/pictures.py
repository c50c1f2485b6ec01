"""Small pictures that are the same on every machine: a drawn 2, rings, a blur."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stn_course import geometry, sampling
from stn_course.sampling import reference


# ---------------------------------------------------------------- pictures
def drawn_two(size: int = 28, side: float | None = None) -> Tensor:
    """A 2 drawn with a pen, smooth at its edges, ink 1 on paper 0.  # [1, 1, size, size]

    side: the 2's own frame in pixels, centred; by default the whole picture.
    """
    side = size if side is None else side
    if size < 8 or not 8 <= side <= size:
        raise ValueError(f"size and side must keep 8 <= side <= size, got {size} and {side}")
    turn = np.radians(np.linspace(195, 385, 24))
    bow = np.stack([0.5 + 0.19 * np.cos(turn), 0.35 + 0.19 * np.sin(turn)], 1)
    pen = np.concatenate([bow, [[0.31, 0.8], [0.71, 0.8]]])  # in [0, 1], x first, y down
    pen = (pen - 0.5) * side + (size - 1) / 2
    return torch.tensor(stroke(pen, size, 0.045 * side), dtype=torch.float32)[None, None]


def stroke(pen: np.ndarray, size: int, radius: float) -> np.ndarray:
    """A line through the points `pen` [K, 2] (pixels, x first), soft at its edge.

    1 within half a pixel less than `radius` of it, 0 beyond half a pixel more.  # [size, size]
    """
    y, x = np.mgrid[:size, :size]
    here = np.stack([x, y], 2)[:, :, None].astype(float)  # [H, W, 1, 2]
    start, along = pen[:-1], np.diff(pen, axis=0)
    t = ((here - start) * along).sum(3) / (along**2).sum(1)  # [H, W, strokes]
    nearest = start + along * t.clip(0, 1)[..., None]
    distance = np.linalg.norm(here - nearest, axis=3).min(2)
    return (radius + 0.5 - distance).clip(0, 1)


def rings(size: int = 112) -> Tensor:
    """Rings that grow finer outwards, to 3 pixels a ring at the edges.  # [1, 1, size, size]"""
    at = torch.arange(size) - (size - 1) / 2
    r2 = at**2 + at[:, None] ** 2
    return (0.5 + 0.5 * torch.cos(torch.pi * r2 / (1.5 * size)))[None, None]


def blur(image: Tensor, sigma: float) -> Tensor:
    """A Gaussian of `sigma` pixels over one picture [1, 1, H, W]; 0 leaves it alone."""
    if sigma < 0:
        raise ValueError(f"sigma must be at least 0, got {sigma}")
    if sigma == 0:
        return image
    reach = int(3 * sigma)
    bell = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2))
    bell = (bell / bell.sum()).to(image).view(1, 1, 1, -1)
    padded = F.pad(image, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, bell), bell.transpose(2, 3))


def in_pixels(grid: Tensor, size: tuple[int, int] = (28, 28)) -> Tensor:
    """The places of a grid [1, H, W, 2] in pixels of an image of `size`.  # [H, W, 2]"""
    return geometry.to_pixels(grid.detach()[0], size)


def tried(image: Tensor, thetas: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """For each name and theta [1, 2, 3]: where `image` [1, 1, H, W] is read, and what comes out.

    name -> (places [H, W, 2] in pixels, output [H, W]).
    """
    size, found = tuple(image.shape[2:]), {}
    for name, theta in thetas.items():
        places = in_pixels(sampling.affine_grid(theta, size), size)
        found[name] = (places, reference.warp(image, theta)[0, 0])
    return found
