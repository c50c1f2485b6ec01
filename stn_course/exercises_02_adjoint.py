"""Exercise 2.5, the gradient to the image: the reference, inputs, known bugs."""

import torch
import torch.nn.functional as F

from stn_course import geometry, sampler
from stn_course.exercises import Exercise, uniform
from stn_course.exercises_02_sampling import thetas


def image_gradient(upstream, theta, size):
    """upstream dL/dout [H, W], theta [2, 3], size (h, w) of the image -> dL/dimage [h, w]."""
    (h, w), out = size, upstream.new_zeros(size)
    grid = sampler.affine_grid(theta[None], tuple(upstream.shape))[0]  # [H, W, 2]
    x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
    for row in (y.floor(), y.floor() + 1):
        for column in (x.floor(), x.floor() + 1):
            share = upstream * (1 - (x - column).abs()) * (1 - (y - row).abs())
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            where = row[inside].long(), column[inside].long()
            out.index_put_(where, share[inside], accumulate=True)
    return out


def _cases_25():
    yield uniform(16, 6, 6) - 0.5, thetas(17, 1)[0], (6, 6)
    yield uniform(18, 8, 9) - 0.5, 0.5 * thetas(19, 1)[0], (5, 4)


def _resampled(upstream, theta, size):
    grid = sampler.affine_grid(geometry.invert(theta[None]), size)
    return F.grid_sample(upstream[None, None], grid, align_corners=False)[0, 0]


def _resampled_by_area(upstream, theta, size):
    return _resampled(upstream, theta, size) / _area_ratio(upstream, theta, size)


def _area_ratio(upstream, theta, size):
    pixels = geometry.to_pixels(theta[None], size, tuple(upstream.shape))[0]
    return torch.linalg.det(pixels[:, :2]).abs()


def _warped_back(upstream, theta, size):
    back = geometry.invert(theta[None])
    return sampler.warp(upstream[None, None], back, size)[0, 0]


def _warped_back_by_area(upstream, theta, size):
    return _warped_back(upstream, theta, size) / _area_ratio(upstream, theta, size)


def _warped_back_by_det(upstream, theta, size):
    return _warped_back(upstream, theta, size) / torch.linalg.det(theta[:, :2]).abs()


def _warped_again(upstream, theta, size):
    return sampler.warp(upstream[None, None], theta[None], size)[0, 0]


def _one_of_many(upstream, theta, size):
    (h, w), out = size, upstream.new_zeros(size)
    grid = sampler.affine_grid(theta[None], tuple(upstream.shape))[0]  # [H, W, 2]
    x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
    for row in (y.floor(), y.floor() + 1):
        for column in (x.floor(), x.floor() + 1):
            share = upstream * (1 - (x - column).abs()) * (1 - (y - row).abs())
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            where = row[inside].long(), column[inside].long()
            out[where] += share[inside]
    return out


def _to_the_nearest(upstream, theta, size):
    grid = sampler.affine_grid(theta[None], tuple(upstream.shape))[0]
    column, row = geometry.to_pixels(grid, size).round().long().unbind(-1)
    inside = (row >= 0) & (row < size[0]) & (column >= 0) & (column < size[1])
    out = upstream.new_zeros(size)
    return out.index_put_((row[inside], column[inside]), upstream[inside], accumulate=True)


EXERCISES = {
    "2.5": Exercise(
        image_gradient,
        _cases_25,
        {
            "this resamples the gradient with the inverse matrix; that is another map. Give "
            "each of the four pixels that were read its weight back": (_resampled),
            "this resamples with the inverse matrix and corrects for the area; the weights are "
            "still not those of the forward pass": _resampled_by_area,
            "this warps the gradient with the inverse matrix and fills in its background; that is "
            "another map. Give each of the four pixels that were read its weight back": (
                _warped_back
            ),
            "this warps with the inverse matrix and corrects for the area; the weights are still "
            "not those of the forward pass": _warped_back_by_area,
            "this warps with the inverse matrix and divides by theta's determinant; the weights "
            "are still not those of the forward pass": _warped_back_by_det,
            "this warps the gradient with theta, the same way again; blame goes back to where it "
            "was read": _warped_again,
            "out[row, column] += v keeps one of several v for the same pixel; use index_put_ "
            "with accumulate=True": _one_of_many,
            "all goes to the nearest pixel; each of the four neighbours gets its weight": (
                _to_the_nearest
            ),
        },
        "out = sum of weight * pixel, so d out/d pixel = weight: add weight * upstream to each "
        "of the four pixels that were read, and let them accumulate",
        tolerance=1e-9,
    ),
}
