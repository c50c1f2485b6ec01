"""Thin-plate splines: control points and what each moves, solved once per shape."""

from math import isqrt

import torch
from torch import Tensor

from stn_course.geometry.caching import cached_by_shape
from stn_course.geometry.checks import check_size
from stn_course.geometry.pixels import pixel_centres


def control_points(grid: tuple[int, int], *, dtype=torch.float32, device=None) -> Tensor:
    """Regular control points, row by row, from edge to edge of the image.  # [K, 2]"""
    rows, columns = check_size(grid, "grid")
    if min(rows, columns) < 2:
        raise ValueError(f"grid must be at least (2, 2), got {grid}")
    y = torch.linspace(-1, 1, rows, dtype=dtype, device=device)
    x = torch.linspace(-1, 1, columns, dtype=dtype, device=device)
    return torch.stack([x.expand(rows, columns), y[:, None].expand(rows, columns)], 2).view(-1, 2)


def _radial(a: Tensor, b: Tensor) -> Tensor:
    """U(r) = r^2 log r^2 between all pairs of points, 0 at r = 0, and flat there.  # [N, K]"""
    r2 = (a[:, None] - b[None]).square().sum(2)
    # The slope at 0 would be 0 times log 0, which is NaN.
    return torch.special.xlogy(r2, torch.where(r2 > 0, r2, 1))


def _features(at: Tensor, points: Tensor) -> Tensor:
    """What a spline through `points` [K, 2] is made of, at `at` [N, 2].  # [N, K + 3]"""
    return torch.cat([_radial(at, points), torch.ones_like(at[:, :1]), at], 1)


def _system(points: Tensor) -> Tensor:
    """What the weights of a spline through `points` [K, 2] solve.  # [K + 3, K + 3]"""
    k = len(points)
    system = points.new_zeros(k + 3, k + 3)
    system[:k] = _features(points, points)
    system[k:, :k] = system[:k, k:].T
    return system


@cached_by_shape
def tps_basis(grid, size, align_corners, dtype, device) -> Tensor:
    """How much each control point's offset moves each output pixel's reading place.  # [K, H*W]

    A thin-plate spline through the K control points is linear in where they go and reproduces
    the identity, so grid = identity + offsets @ basis, with a basis that depends on shapes alone.
    It is solved once per shape, in float64 on the CPU (Bookstein 1989), and kept.
    """
    with torch.inference_mode(False), torch.no_grad():
        options = {"dtype": torch.float64, "device": "cpu"}
        points = control_points(grid, **options)
        x = pixel_centres(size[1], align_corners, **options).expand(size)
        y = pixel_centres(size[0], align_corners, **options)[:, None].expand(size)
        features = _features(torch.stack([x, y], 2).view(-1, 2), points)
        solved = torch.linalg.solve(_system(points), features.T)[: len(points)]
        return solved.to(device, dtype).contiguous()


def tps_moves(grid: tuple[int, int], at: Tensor) -> Tensor:
    """`tps_basis` at any places `at` [B, N, 2] in place of pixels.  # [B, N, K]"""
    points = control_points(grid, dtype=torch.float64)
    inverse = torch.linalg.inv(_system(points))[: len(points)].to(at)  # [K, K + 3]
    features = _features(at.flatten(0, 1), points.to(at))
    return (features @ inverse.T).unflatten(0, at.shape[:2])


def control_grid(offsets: Tensor) -> tuple[int, int]:
    """(rows, columns) of the control points of offsets [B, K, 2] or [B, rows, columns, 2]."""
    if offsets.ndim == 4:
        return tuple(offsets.shape[1:3])
    side = isqrt(offsets.shape[1])
    if side * side != offsets.shape[1]:
        raise ValueError(
            "the offsets [B, K, 2] of a spline need a square number K of control points (use "
            f"[B, rows, columns, 2] for others), got {list(offsets.shape)}"
        )
    return side, side
