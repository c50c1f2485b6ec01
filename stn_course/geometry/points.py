"""Points carried through a transform, and back."""

import torch
from torch import Tensor

from stn_course.geometry.checks import as_float, raise_where
from stn_course.geometry.matrices import invert, matmul, to_homogeneous
from stn_course.geometry.pixels import check_sizes, points_from_pixels, to_pixels
from stn_course.geometry.splines import (
    control_points,
    grid_weights,
    is_landmark_spline,
    landmark_weights,
    spline_places,
    spline_slopes,
)

ROUNDS = 30  # of Newton's method, which needs three to six where a spline bends a little
CLOSE = 1e-9  # how far from where it should be a point may be read that Newton's method found


def transform_kind(transform: Tensor) -> str:
    """ "affine", "homography", "grid" (a spline's offsets) or "landmarks", by the shape alone.

    Raises TypeError for what is no tensor, ValueError for one of another shape.
    """
    if not isinstance(transform, Tensor):
        raise TypeError(f"transform must be a tensor, got {type(transform).__name__}")
    shape = transform.shape[1:]
    if shape in ((2, 3), (3, 3)):
        return "affine" if shape[0] == 2 else "homography"
    if is_landmark_spline(transform):
        return "landmarks"
    if transform.ndim in (3, 4) and shape[-1] == 2:
        return "grid"
    raise ValueError(
        "transform must have shape [B, 2, 3], [B, 3, 3], [B, K, 2], [B, rows, columns, 2] or "
        f"[B, K + 3, 4], got {list(transform.shape)}"
    )


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
    size, output_size = check_sizes(size, output_size)
    kind, transform, points = _given(transform, points)
    if size is not None:
        points = points_from_pixels(points, output_size, align_corners, "output_size")
    if kind in ("affine", "homography"):
        found = _mapped(to_homogeneous(transform), points, transform[:, 2:, 2])
    else:
        found = spline_places(*_spline(kind, transform), points)
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
    A spline is undone by Newton's method, in float64; where it folds, one of the answers is found.
    Raises ValueError for a matrix that cannot be inverted, for points on a homography's horizon
    or beyond it, and for points that a spline reads nowhere that was found.
    """
    size, output_size = check_sizes(size, output_size)
    kind, transform, points = _given(transform, points)
    if size is not None:
        points = points_from_pixels(points, size, align_corners, "size")
    if kind in ("affine", "homography"):
        inverse = to_homogeneous(invert(transform, "transform"))
        found = _mapped(inverse, points, transform[:, 2:, 2])
    else:
        found = _undone(*_spline(kind, transform.double()), points.double()).to(points.dtype)
    return found if size is None else to_pixels(found, output_size, align_corners=align_corners)


def _given(transform, points) -> tuple[str, Tensor, Tensor]:
    """The transform's kind, and both, checked and in the wider type.  # points [B, N, 2]"""
    kind = transform_kind(transform)
    transform = as_float(transform, "transform", ("B", *transform.shape[1:]))
    shared = isinstance(points, Tensor) and points.ndim == 2
    points = as_float(points, "points", ("N", 2) if shared else ("B", "N", 2))
    batch = transform.shape[0]
    if points.device != transform.device or not (shared or points.shape[0] == batch):
        raise ValueError(
            f"points [B, N, 2] must have the transform's batch and device, {batch} on "
            f"{transform.device}, got {points.shape[0]} on {points.device}"
        )
    dtype = torch.promote_types(points.dtype, transform.dtype)
    return kind, transform.to(dtype), points.expand(batch, *points.shape[-2:]).to(dtype)


def _mapped(m: Tensor, points: Tensor, front: Tensor) -> Tensor:
    """Points under matrices [B, 3, 3]; those of w that has not the sign of `front` are refused.

    front: [B, 1], the transform's own h33, for the frame's middle lies on the side that is seen,
    and w of the way back is one over w of the way there; or [B, 0]: there is no horizon.
    """
    ones = torch.ones_like(points[..., :1])
    x, y, w = matmul(m[:, None], torch.cat([points, ones], -1)[..., None]).squeeze(-1).unbind(-1)
    behind = w.detach()[..., None] * front.detach().sign()[:, None] <= 0  # [B, N, 1 or 0]
    raise_where(behind.flatten(1), "points must lie before the horizon")
    return torch.stack([x / w, y / w], -1)


def _spline(kind: str, transform: Tensor) -> tuple[Tensor, Tensor]:
    """A spline of either kind as `spline_places` takes it.  # [(B,) K, 2], [B, K + 3, 2]"""
    return grid_weights(transform) if kind == "grid" else landmark_weights(transform)


def _undone(centres: Tensor, weights: Tensor, goal: Tensor) -> Tensor:
    """p with spline_places(centres, weights, p) = goal, all in float64.  # [B, N, 2]

    Newton's method, each step no longer than a fifth of where it stands. Two more steps are
    differentiated: each doubles the derivatives that are exact, the first from none.
    """

    def step(p: Tensor, goal: Tensor, centres: Tensor, weights: Tensor) -> Tensor:
        a, b, c, d = spline_slopes(centres, weights, p).flatten(-2).unbind(-1)
        x, y = (goal - spline_places(centres, weights, p)).unbind(-1)
        return torch.stack([d * x - b * y, a * y - c * x], -1) / (a * d - b * c)[..., None]

    still = [t.detach() for t in (goal, centres, weights)]
    p = _start(*still)
    for _ in range(ROUNDS):
        move = step(p, *still)
        longest = 0.2 * (1 + p.abs().amax(-1, keepdim=True))
        p = p + move * (longest / torch.linalg.vector_norm(move, dim=-1, keepdim=True)).clamp(max=1)
    missed = (spline_places(*still[1:], p) - still[0]).abs().amax(-1)
    found = missed <= CLOSE * (1 + still[0].abs().amax(-1))
    raise_where(~found, "points must be read by the spline: none was found")
    for _ in range(2):
        p = p + step(p, goal, centres, weights)
    return p


def _start(goal: Tensor, centres: Tensor, weights: Tensor) -> Tensor:
    """Of the places of a lattice and of `goal` itself, which is read nearest to it.  # [B, N, 2]"""
    lattice = control_points((13, 13), dtype=goal.dtype, device=goal.device) * 1.2
    read = spline_places(centres, weights, lattice.expand(goal.shape[0], -1, -1))
    near, which = torch.cdist(goal, read).min(-1)  # [B, N]
    own = torch.linalg.vector_norm(spline_places(centres, weights, goal) - goal, dim=-1)
    return torch.where((near < own)[..., None], lattice[which], goal)
