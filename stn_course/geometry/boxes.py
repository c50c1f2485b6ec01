"""Boxes and polygons: to theta, from theta, through a transform, and how much two boxes share.

A box is (x0, y0, x1, y1), its edges. In pixels they are counted from the picture's outer edge: the
whole of a picture is (0, 0, w, h). Points are counted from the centre of the first pixel, as
everywhere in `geometry`, half a pixel further in; `transform_boxes` knows the difference.
"""

import torch
from torch import Tensor

from stn_course.geometry.checks import as_float, raise_where, whole_number, widened
from stn_course.geometry.points import transform_points, transform_points_back


def box_to_theta(boxes: Tensor, canvas: int) -> Tensor:
    """theta [B, 2, 3] from a square canvas to what stands in `boxes` [B, 4] (pixels).

    Raises ValueError for a box without width or height.
    """
    canvas = whole_number("canvas", canvas)
    low, high = (widened(boxes) * 2 / canvas - 1).split(2, dim=1)  # [B, 2] each, normalised
    half, centre = (high - low) / 2, (high + low) / 2
    raise_where(half <= 0, "boxes must have x0 < x1 and y0 < y1")
    return torch.cat([torch.diag_embed(1 / half), (-centre / half)[:, :, None]], 2)


def glimpse_boxes(theta: Tensor, canvas: int) -> Tensor:
    """The boxes [B, 4] (pixels) around what a network's theta [B, 2, 3] reads of the canvas.

    Of a turned glimpse, the upright box around its four corners.
    """
    canvas, theta = whole_number("canvas", canvas), as_float(theta, "theta", ("B", 2, 3))
    half = theta[:, :, :2].abs().sum(2)  # [B, 2]
    low, high = theta[:, :, 2] - half, theta[:, :, 2] + half
    return (torch.cat([low, high], 1) + 1) * canvas / 2


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes [B, 4] and [B, 4], pair by pair.  # [B]"""
    a, b = widened(a), widened(b)
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    both = (high - low).clamp(min=0).prod(1)
    return both / ((a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - both)


def box_corners(boxes: Tensor) -> Tensor:
    """Top left, top right, bottom right, bottom left of boxes.  # [..., 4] -> [..., 4, 2]"""
    leading = ("...",) * (boxes.ndim - 1) if isinstance(boxes, Tensor) else ("...",)
    x0, y0, x1, y1 = as_float(boxes, "boxes", (*leading, 4)).unbind(-1)
    return torch.stack([x0, y0, x1, y0, x1, y1, x0, y1], -1).unflatten(-1, (4, 2))


def transform_polygons(
    transform: Tensor,
    polygons: Tensor,
    *,
    size: tuple[int, int] | None = None,
    output_size: tuple[int, int] | None = None,
    align_corners: bool = False,
    back: bool = False,
) -> Tensor:
    """The corners of polygons carried through a transform.  # [B, N, P, 2]

    transform: as in `transform_points`, whose inverse it is with `back`: where in the output the
        input's polygons come to lie, as for labels of a picture that is warped.
    polygons: [B, N, P, 2], or [N, P, 2] for all; in [-1, 1], or, where `size` is given, in pixels,
        (0, 0) the centre of the first. Straight edges stay straight under affine transforms and
        homographies; a spline bends them: give it more points along each.

    Raises TypeError or ValueError as `transform_points`.
    """
    shared = isinstance(polygons, Tensor) and polygons.ndim == 3
    shape = ("N", "P", 2) if shared else ("B", "N", "P", 2)
    points = as_float(polygons, "polygons", shape)
    carry = transform_points_back if back else transform_points
    options = {"size": size, "output_size": output_size, "align_corners": align_corners}
    return carry(transform, points.flatten(-3, -2), **options).unflatten(1, points.shape[-3:-1])


def transform_boxes(
    transform: Tensor,
    boxes: Tensor,
    *,
    size: tuple[int, int] | None = None,
    output_size: tuple[int, int] | None = None,
    align_corners: bool = False,
    back: bool = False,
    along: int = 1,
) -> Tensor:
    """The upright boxes around what boxes become under a transform.  # [B, N, 4]

    transform, back: as in `transform_polygons`.
    boxes: [B, N, 4], or [N, 4] for all: (x0, y0, x1, y1) in [-1, 1], or, where `size` is given, in
        pixels from the picture's outer edge, so that (0, 0, w, h) is all of it.
    along: how many points of each side are carried; 1 is its corners, enough where sides stay
        straight. For a spline say more.

    Raises TypeError or ValueError as `transform_points`, for a box whose sides are not in order,
    and for a `size` together with align_corners, which does not know a picture's edge.
    """
    if size is not None and align_corners:
        raise ValueError("boxes in pixels are of edges: size needs align_corners=False")
    corners = box_corners(boxes)  # [(B,) N, 4, 2]
    if corners.ndim not in (3, 4):
        raise ValueError(f"boxes must have shape [B, N, 4] or [N, 4], got {list(boxes.shape)}")
    wrong = (corners[..., 2, :] < corners[..., 0, :]).detach()
    raise_where(wrong.flatten(1), "boxes must have x0 <= x1 and y0 <= y1")
    share = torch.arange(whole_number("along", along), device=corners.device) / along
    following = corners.roll(-1, -2)
    sides = torch.lerp(
        corners[..., None, :], following[..., None, :], share.to(corners.dtype)[:, None]
    ).flatten(-3, -2)  # [(B,) N, 4 along, 2]
    half = 0.0 if size is None else 0.5
    options = {"size": size, "output_size": output_size, "align_corners": align_corners}
    found = transform_polygons(transform, sides - half, **options, back=back) + half
    low, high = found.aminmax(dim=2)  # [B, N, 2] each
    return torch.cat([low, high], 2)
