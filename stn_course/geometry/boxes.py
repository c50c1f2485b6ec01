"""Boxes in pixels: to theta, from theta, and how much two of them share."""

import torch
from torch import Tensor

from stn_course.geometry.checks import as_float, raise_where, whole_number, widened


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
