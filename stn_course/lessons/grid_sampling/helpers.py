"""What notebook 02 works with: drawn pictures, a blur, and samplers held against each other.

Nothing here depends on which digits were found on a machine.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stn_course import geometry, sampling


# ---------------------------------------------------------------- samplers of others
def read_row(row, x) -> np.ndarray:
    """Linear reading of `row` [n] at places `x` in pixels, 0 outside."""
    row, x, n = np.asarray(row, float), np.asarray(x, float), len(row)
    return np.interp(x, range(-1, n + 1), [0, *row, 0], 0, 0)


def try_row(places: Callable, read: Callable = read_row, n: int = 6) -> tuple[np.ndarray, ...]:
    """The row 1 .. n read with the identity, one pixel further on, and far outside.

    places(n, t): where a sampler reads, in pixels, when its grid is shifted by t (the row is 2).
    read(row, x): how it reads `row` [n] at places x in pixels.
    """
    row = np.arange(1.0, n + 1)
    return tuple(read(row, places(n, t)) for t in (0, 2 / n, 9))


# ---------------------------------------------------------------- ours against torch's
def _forward_and_back(grid_of, sample, images: Tensor, theta: Tensor) -> tuple[Tensor, ...]:
    """Output, gradient to the images and gradient to theta, for one fixed loss."""
    images, theta = images.clone().requires_grad_(), theta.clone().requires_grad_()
    out = sample(images, grid_of(theta))
    pull = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    (out * pull).sum().backward()
    return out.detach(), images.grad, theta.grad


def against_torch(dtype: torch.dtype, align_corners: bool, seed: int = 1) -> tuple[float, ...]:
    """`sampling.reference` against `F.affine_grid` and `F.grid_sample` for 20 random thetas.

    Largest difference of the output, of the gradient to the images, and of that to theta, each
    relative to the largest entry. Images 17 x 13, output 14 x 11, zeros outside.
    """
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(20, 3, 17, 13, generator=generator, dtype=torch.float64).to(dtype)
    noise = torch.rand(20, 2, 3, generator=generator, dtype=torch.float64) - 0.5
    theta, size = (geometry.identity() + noise).to(dtype), (14, 11)
    ours = _forward_and_back(
        lambda t: sampling.affine_grid(t, size, align_corners),
        lambda x, g: sampling.bilinear_sample(x, g, "zeros", align_corners=align_corners),
        images,
        theta,
    )
    theirs = _forward_and_back(
        lambda t: F.affine_grid(t, (20, 3, *size), align_corners=align_corners),
        lambda x, g: F.grid_sample(x, g, align_corners=align_corners),
        images,
        theta,
    )
    pairs = zip(ours, theirs, strict=True)
    return tuple(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)


def told(dtype: torch.dtype, align_corners: bool, bound: float) -> list[str]:
    """`against_torch` in words: at most `bound`, alike on any machine, or by how much."""
    gaps = against_torch(dtype, align_corners)
    return [f"≤ {bound:.0e}" if gap <= bound else f"{gap:.0e}" for gap in gaps]
