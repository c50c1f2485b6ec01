"""This course's own augmentations, drawn afresh at every visit, as in `data.distort`."""

import torch
from torch import Generator, Tensor

from stn_course import fused, geometry
from stn_course.data.distort import Distorted, Ranges, draw_affine

# As far as notebook 01's robustness curves go.
POSE = Ranges((0.5, 1.5), (0.5, 1.5), shift=0.25, angle=90, one_scale=True)
GENTLE = Ranges((0.85, 1.15), (0.85, 1.15), shift=0.08, angle=15, shear=15)


def pose(images: Tensor, generator: Generator) -> Distorted:
    """Angle within 90 degrees, scale .5-1.5, shift within a quarter of the side, all at once."""
    theta = draw_affine(POSE, len(images), generator)
    return Distorted(fused.warp(images, theta), theta)


def gentle(images: Tensor, generator: Generator) -> Distorted:
    """For clean digits: a small affine motion, bent by a spline.

    Each of 4x4 control points is read where the motion has it, moved by N(0, 1 px).
    """
    n, side = len(images), images.shape[-1]
    theta = draw_affine(GENTLE, n, generator)
    noise = 2 / side * torch.randn(n, 16, 2, generator=generator, device=generator.device)
    points = geometry.control_points((4, 4), device=generator.device)  # [16, 2]
    read = (points + noise) @ theta[:, :, :2].mT + theta[:, None, :, 2]  # [n, 16, 2]
    offsets = read - points
    return Distorted(fused.warp(images, offsets, padding="zeros"), offsets)
