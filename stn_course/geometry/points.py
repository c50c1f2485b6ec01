"""Points carried through a transform, and back."""

import torch
from torch import Tensor

from stn_course.geometry.checks import as_float, as_matrix, raise_where, whole_number
from stn_course.geometry.matrices import invert, matmul, to_homogeneous
from stn_course.geometry.pixels import check_sizes, from_pixels, to_pixels
from stn_course.geometry.splines import (
    control_grid,
    is_landmark_spline,
    landmark_places,
    tps_moves,
)

ROUNDS = 30  # of Newton's method, which needs three to six where the spline can be undone


def transform_points(
    transform: Tensor,
    points: Tensor,
    *,
    size: tuple[int, int] | None = None,
    output_size: tuple[int, int] | None = None,
    align_corners: bool = False,
) -> Tensor:
    """Where in the input the output's `points` are read.  # [B, N, 2], x first

    transform: affine [B, 2, 3], homography [B, 3, 3], or a spline's offsets [B, K, 2] or
        [B, rows, columns, 2], or one through landmarks [B, K + 3, 4], as `warp` takes them.
    points: [B, N, 2], or [N, 2] for all; in [-1, 1], or in pixels where `size` is given.
    size, output_size: (height, width) of input and output (default: the same). With them points
        come in pixels of the output and go out in pixels of the input; pixel (0, 0) is the centre
        of the first.

    Gradients go to both. Raises ValueError for points on a homography's horizon or beyond it,
    where nothing is read.
    """
    check_sizes(size, output_size)
    points = _given(transform, points, output_size or size, align_corners)
    found = _forward(transform, points)
    return found if size is None else to_pixels(found, size, align_corners=align_corners)


def transform_points_back(
    transform: Tensor,
    points: Tensor,
    *,
    size: tuple[int, int] | None = None,
    output_size: tuple[int, int] | None = None,
    align_corners: bool = False,
) -> Tensor:
    """Where in the output the input's `points` come to lie: the inverse of `transform_points`.

    Arguments as there; points come in pixels of the input and go out in pixels of the output.
    A spline is undone by Newton's method from where it is the identity. Raises ValueError for a
    matrix that cannot be inverted, and for points that a spline reads nowhere that was found.
    """
    check_sizes(size, output_size)
    points = _given(transform, points, size, align_corners)
    if transform.ndim == 3 and transform.shape[2] == 3:
        found = _forward(invert(as_matrix(transform)), points)
    else:
        found = _undone(transform, points)
    if size is None:
        return found
    return to_pixels(found, output_size or size, align_corners=align_corners)


def _given(transform, points, size, align_corners) -> Tensor:
    """The points, checked, in [-1, 1] and in the wider type of the two.  # [B, N, 2]"""
    if not isinstance(transform, Tensor):
        raise TypeError(f"transform must be a tensor, got {type(transform).__name__}")
    shared = isinstance(points, Tensor) and points.ndim == 2
    points = as_float(points, "points", ("N", 2) if shared else ("B", "N", 2))
    batch = transform.shape[0]
    if not shared and points.shape[0] != batch:
        raise ValueError(
            f"points [B, N, 2] must have the transform's batch {batch}, got {points.shape[0]}"
        )
    points = points.expand(batch, *points.shape[-2:]).to(
        torch.promote_types(points.dtype, transform.dtype)
    )
    return points if size is None else from_pixels(points, size, align_corners=align_corners)


def _forward(transform: Tensor, points: Tensor) -> Tensor:
    """`transform_points` in [-1, 1].  # [B, N, 2]"""
    if transform.ndim == 3 and transform.shape[2] == 3:
        m = to_homogeneous(transform).to(points.dtype)
        x, y, w = matmul(m[:, None], _with_one(points)[..., None]).squeeze(-1).unbind(-1)
        if transform.shape[1] == 3:
            # The frame's middle lies on the side that is seen.
            ahead = w * m[:, 2, 2].sign()[:, None]
            raise_where(ahead.detach() <= 0, "points must lie before the horizon")
        return torch.stack([x / w, y / w], -1)
    if is_landmark_spline(transform):
        return landmark_places(transform, points)
    offsets = as_float(transform, "transform", ("B", *transform.shape[1:-1], 2))
    moves = tps_moves(control_grid(offsets), points)  # [B, N, K]
    return points + matmul(moves, offsets.flatten(1, -2).to(points.dtype))


def _with_one(points: Tensor) -> Tensor:
    return torch.cat([points, torch.ones_like(points[..., :1])], -1)


def _undone(offsets: Tensor, points: Tensor) -> Tensor:
    """p with _forward(offsets, p) = points.  # [B, N, 2]"""

    def step(p, goal):
        """One step of Newton's method; through it flow the gradients of the exact answer."""
        with torch.enable_grad():
            start = p.detach().requires_grad_()
            there = _forward(offsets.detach(), start)
            rows = [
                torch.autograd.grad(there[..., k].sum(), start, retain_graph=True)[0]
                for k in (0, 1)
            ]
        slope = torch.stack(rows, -2)  # [B, N, 2, 2]
        a, b, c, d = slope.flatten(-2).unbind(-1)
        inverse = (
            torch.stack([d, -b, -c, a], -1).unflatten(-1, (2, 2)) / (a * d - b * c)[..., None, None]
        )
        miss = goal - _forward(offsets, p.detach())
        return p.detach() + matmul(inverse, miss[..., None]).squeeze(-1)

    p, tolerance = points.detach(), 100 * torch.finfo(points.dtype).eps
    for _ in range(whole_number("ROUNDS", ROUNDS)):
        p = step(p, points.detach())
    missed = (_forward(offsets.detach(), p) - points.detach()).abs().amax(-1)
    raise_where(~(missed <= tolerance), "points must be read by the spline: none was found")
    return step(p, points)
