"""Exercises 4.3 and 4.5, what a glance reads: references, cases, known bugs."""

import torch
from torch.nn import functional as F

from stn_course.exercises import Exercise, uniform


# ---------------------------------------------------------------- 4.3 one glance to many
def glance(images, thetas, size):
    """images [B, C, h, w], thetas [B, T, 2, 3] -> glimpses [B * T, C, *size]."""
    batch, steps = thetas.shape[:2]
    repeated = images.repeat_interleave(steps, 0)  # [B * T, C, h, w]
    shape = (batch * steps, images.shape[1], *size)
    grid = F.affine_grid(thetas.flatten(0, 1), shape, align_corners=False)
    return F.grid_sample(repeated, grid, align_corners=False)


def _thetas(seed: int, batch: int, steps: int) -> torch.Tensor:
    unit = torch.tensor([[1.0, 0, 0], [0, 1, 0]], dtype=torch.float64)
    return 0.5 * unit + 0.4 * uniform(seed, batch, steps, 2, 3) - 0.2


def _cases_43():
    yield uniform(1, 2, 1, 12, 15), _thetas(2, 2, 3), (4, 5)
    yield uniform(3, 3, 2, 9, 9), _thetas(4, 3, 2), (6, 6)


def _tiled(images, thetas, size):
    batch, steps = thetas.shape[:2]
    tiled = images.repeat(steps, 1, 1, 1)
    shape = (batch * steps, images.shape[1], *size)
    grid = F.affine_grid(thetas.flatten(0, 1), shape, align_corners=False)
    return F.grid_sample(tiled, grid, align_corners=False)


def _step_by_step(images, thetas, size):
    shape = (*images.shape[:2], *size)
    parts = [F.affine_grid(theta, shape, align_corners=False) for theta in thetas.unbind(1)]
    return torch.cat([F.grid_sample(images, grid, align_corners=False) for grid in parts])


def _in_five_dimensions(images, thetas, size):
    return glance(images, thetas, size).unflatten(0, thetas.shape[:2])


def _glimpses_of_glimpses(images, thetas, size):
    whole, found = images, []
    for theta in thetas.unbind(1):
        grid = F.affine_grid(theta, whole.shape, align_corners=False)
        whole = F.grid_sample(whole, grid, align_corners=False)
        found.append(whole)
    stacked = torch.stack(found, 1).flatten(0, 1)
    return F.interpolate(stacked, size, mode="bilinear", align_corners=False)


def _first_only(images, thetas, size):
    return glance(images, thetas[:, :1].expand_as(thetas), size)


def _corners_43(images, thetas, size):
    batch, steps = thetas.shape[:2]
    shape = (batch * steps, images.shape[1], *size)
    grid = F.affine_grid(thetas.flatten(0, 1), shape, align_corners=True)
    return F.grid_sample(images.repeat_interleave(steps, 0), grid, align_corners=True)


# ---------------------------------------------------------------- 4.5 a strip
def strip(images, theta, down):
    """images [B, C, h, w], theta [B, 2, 3], down (by height, by width) -> [B, C, h/., w/.]."""
    height, width = (int(n / d) for n, d in zip(images.shape[2:], down, strict=True))
    shape = (*images.shape[:2], height, width)
    grid = F.affine_grid(theta, shape, align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _cases_45():
    yield uniform(7, 2, 1, 12, 10), _thetas(8, 2, 1)[:, 0], (4, 1)
    yield uniform(9, 1, 2, 11, 14), _thetas(10, 1, 1)[:, 0], (1.4, 1.5)


def _both_by_the_first(images, theta, down):
    return strip(images, theta, (down[0], down[0]))


def _width_first(images, theta, down):
    return strip(images, theta, down[::-1])


def _theta_squeezed(images, theta, down):
    squeeze = theta.new_tensor([[1 / down[1]], [1 / down[0]]])
    return strip(images, theta * squeeze, down)


def _cropped(images, theta, down):
    height, width = (int(n / d) for n, d in zip(images.shape[2:], down, strict=True))
    return strip(images, theta, (1, 1))[:, :, :height, :width]


def _corners_45(images, theta, down):
    height, width = (int(n / d) for n, d in zip(images.shape[2:], down, strict=True))
    grid = F.affine_grid(theta, (*images.shape[:2], height, width), align_corners=True)
    return F.grid_sample(images, grid, align_corners=True)


def _rounded_up(images, theta, down):
    height, width = (-int(-n // d) for n, d in zip(images.shape[2:], down, strict=True))
    grid = F.affine_grid(theta, (*images.shape[:2], height, width), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _rounded(images, theta, down):
    sizes = (round(n / d) for n, d in zip(images.shape[2:], down, strict=True))
    grid = F.affine_grid(theta, (*images.shape[:2], *sizes), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


EXERCISES = {
    "4.3": Exercise(
        glance,
        _cases_43,
        {
            "the images come in the order 0 1 2 0 1 2 and the thetas of one image after one "
            "another: repeat_interleave, not repeat": _tiled,
            "the glimpses lie step after step; wanted image after image, the steps of one image "
            "side by side": _step_by_step,
            "steps and batch are still two dimensions: the reader takes [B * T, C, H, W]": (
                _in_five_dimensions
            ),
            "each step reads the last glimpse; all of them read the same image": (
                _glimpses_of_glimpses
            ),
            "every step looks where the first one looks": _first_only,
            "this is align_corners=True; the course has False": _corners_43,
        },
        "images.repeat_interleave(T, 0) and thetas.flatten(0, 1) belong together, row by row; "
        "then affine_grid and grid_sample as in notebook 02",
        tolerance=1e-9,
    ),
    "4.5": Exercise(
        strip,
        _cases_45,
        {
            "both sides are divided by the first number: height by down[0], width by down[1]": (
                _both_by_the_first
            ),
            "height and width are swapped: down is (by height, by width)": _width_first,
            "theta is squeezed too: its units are the picture's, whatever the output's size": (
                _theta_squeezed
            ),
            "this cuts a corner off; the whole glimpse is to be read, in fewer rows": _cropped,
            "this is align_corners=True; the course has False": _corners_45,
            "the size is rounded up; round down": _rounded_up,
            "the size is rounded to the nearest; round down": _rounded,
        },
        "F.affine_grid takes the size of the output: int(h / down[0]) and int(w / down[1]); "
        "theta stays as it is",
        tolerance=1e-9,
    ),
}
