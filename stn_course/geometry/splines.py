"""Thin-plate splines: through a regular grid of control points, and through any landmarks.

On a regular grid only the offsets differ from picture to picture, so what each control point moves
is solved once per shape. Landmarks lie elsewhere in each picture, and each is solved for itself.
"""

from math import isqrt

import torch
from torch import Tensor

from stn_course.geometry.caching import cached_by_shape
from stn_course.geometry.checks import as_float, check_size, exactly, raise_where, real_number
from stn_course.geometry.pixels import matched_points, pixel_centres


def control_points(grid: tuple[int, int], *, dtype=torch.float32, device=None) -> Tensor:
    """Regular control points, row by row, from edge to edge of the image.  # [K, 2]"""
    rows, columns = check_size(grid, "grid")
    if min(rows, columns) < 2:
        raise ValueError(f"grid must be at least (2, 2), got {grid}")
    y = torch.linspace(-1, 1, rows, dtype=dtype, device=device)
    x = torch.linspace(-1, 1, columns, dtype=dtype, device=device)
    return torch.stack([x.expand(rows, columns), y[:, None].expand(rows, columns)], 2).view(-1, 2)


def _radial(a: Tensor, b: Tensor) -> Tensor:
    """U(r) = r^2 log r^2 between all pairs of points, 0 at r = 0, flat there.  # [..., N, K]"""
    r2 = (a[..., :, None, :] - b[..., None, :, :]).square().sum(-1)
    # The slope at 0 would be 0 times log 0, which is NaN.
    return torch.special.xlogy(r2, torch.where(r2 > 0, r2, 1))


def _features(at: Tensor, points: Tensor) -> Tensor:
    """What a spline through `points` [..., K, 2] is made of, at `at` [..., N, 2].

    [..., N, K + 3]: its radial functions, 1, x and y.
    """
    return torch.cat([_radial(at, points), torch.ones_like(at[..., :1]), at], -1)


def _system(points: Tensor) -> Tensor:
    """What the weights of a spline through `points` solve.  # [..., K, 2] -> [..., K + 3, K + 3]"""
    k, upper = points.shape[-2], _features(points, points)
    corner = points.new_zeros(*points.shape[:-2], 3, 3)
    return torch.cat([upper, torch.cat([upper[..., k:].mT, corner], -1)], -2)


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


def grid_weights(offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Control points [K, 2] and weights [B, K + 3, 2] of a spline through a regular grid.

    offsets: [B, K, 2] or [B, rows, columns, 2]. For `spline_places`.
    """
    points = control_points(control_grid(offsets), dtype=torch.float64)
    inverse = torch.linalg.inv(_system(points))[:, : len(points)].to(offsets)  # [K + 3, K]
    with exactly(offsets):
        return points.to(offsets), inverse @ offsets.flatten(1, -2)


def spline_places(points: Tensor, weights: Tensor, at: Tensor) -> Tensor:
    """Where a spline through `points` [..., K, 2] reads `at`.  # [B, N, 2]

    weights: [B, K + 3, 2], how much of each of `_features` x and y move by.
    """
    with exactly(at):
        return at + _features(at, points) @ weights


def spline_slopes(points: Tensor, weights: Tensor, at: Tensor) -> Tensor:
    """The derivative of `spline_places` by `at`: of x and y, along x and y.  # [B, N, 2, 2]"""
    away = at[..., :, None, :] - points[..., None, :, :]  # [B, N, K, 2]
    r2 = away.square().sum(-1, keepdim=True)
    # At r = 0 it is flat; the logarithm of less than the smallest number would have no slope.
    log = torch.where(r2 > torch.finfo(r2.dtype).tiny, r2, 1).log()
    with exactly(at):
        bent = (2 * away * (log + 1)).mT @ weights[:, None, :-3]  # along x and y  [B, N, 2, 2]
    flat = weights[:, None, -2:] + torch.eye(2, dtype=at.dtype, device=at.device)
    return (bent + flat).mT


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


# ---------------------------------------------------------------- through any landmarks
def spline_from_landmarks(
    src: Tensor,
    dst: Tensor,
    smoothing: float = 0.0,
    *,
    size: tuple[int, int] | None = None,
    output_size: tuple[int, int] | None = None,
    align_corners: bool = False,
) -> Tensor:
    """The thin-plate spline that takes landmarks to landmarks, as a transform.  # [B, K + 3, 4]

    src, dst: [B, K, 2], or [K, 2] for all; K of at least 3, x first. As a theta, src are places in
        the output and dst where in the input they are read: `transform_points(theta, src)` is
        dst. In [-1, 1], or in pixels where `size` is given, as in `transform_points`.
    smoothing: 0 goes through every pair; more bends less and may miss them, up to the affine map
        that fits them best. In the units of `scipy.interpolate.RBFInterpolator`, for landmarks in
        [-1, 1]: a spline's bending energy is of normalised coordinates.

    `warp`, `tps_grid` and `transform_points` take it like any other transform. Row k holds landmark
    k (x, y) and its weights for x and y; the last three hold the weights of 1, x and y. It is
    solved in float64, and gradients go to src and dst (Bookstein 1989; Wahba 1990 for smoothing).
    Where landmarks lie close together the weights are large and cancel: give those in float64.

    Raises TypeError or ValueError for landmarks that are fewer than 3, all on one line, or, without
    smoothing, twice at one place; for NaN; and for a smoothing below 0.
    """
    smoothing = real_number("smoothing", smoothing)
    if smoothing < 0:
        raise ValueError(f"smoothing={smoothing}; wanted at least 0")
    src, dst = matched_points(src, dst, 3, size, output_size, align_corners)
    _refuse_degenerate(src.detach(), smoothing > 0)
    at, k = src.double(), src.shape[1]
    system = _system(at)
    if smoothing:  # U is r^2 log r^2 here, twice what it is in SciPy
        ridge = torch.arange(k + 3, device=at.device) < k
        system = system + torch.diag(2 * smoothing * ridge.to(at.dtype))
    none = at.new_zeros(len(at), 3, 2)
    with exactly(at):
        weights = torch.linalg.solve(system, torch.cat([dst.double() - at, none], 1))
    return torch.cat([torch.cat([at, none], 1), weights], 2).to(src.dtype)


def _refuse_degenerate(src: Tensor, doubles: bool) -> None:
    """ValueError for landmarks [B, K, 2] on one line, and for two at one place unless `doubles`."""
    src, few = src.double(), 64 * torch.finfo(src.dtype).eps
    size = torch.linalg.vector_norm(src, dim=(1, 2))  # [B]
    across = torch.linalg.svdvals(src - src.mean(1, keepdim=True))[:, 1]
    raise_where(across <= few * size, "src must not be landmarks on one line: they say too little")
    gaps = (src[:, :, None] - src[:, None]).abs().amax(3)  # [B, K, K]
    own = torch.eye(src.shape[1], dtype=torch.bool, device=src.device)
    twice = ((gaps <= few * src.abs().amax((1, 2))[:, None, None]) & ~own).flatten(1).any(1)
    if not doubles:
        raise_where(twice, "src must not have a landmark twice, unless smoothing is above 0")


def is_landmark_spline(transform: Tensor) -> bool:
    """Whether this is what `spline_from_landmarks` gives, by its shape [B, K + 3, 4]."""
    return transform.ndim == 3 and transform.shape[2] == 4 and transform.shape[1] >= 6


def landmark_weights(spline: Tensor) -> tuple[Tensor, Tensor]:
    """What `spline_places` takes, of a spline [B, K + 3, 4].  # [B, K, 2], [B, K + 3, 2]"""
    return spline[:, :-3, :2], spline[:, :, 2:]


def landmark_places(spline: Tensor, at: Tensor) -> Tensor:
    """Where the spline [B, K + 3, 4] of landmarks reads `at` [B, N, 2].  # [B, N, 2]"""
    spline = as_float(spline, "transform", ("B", "K + 3", 4)).to(at.dtype)
    return spline_places(*landmark_weights(spline), at)
