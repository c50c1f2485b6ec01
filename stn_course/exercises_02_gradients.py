"""Exercises 2.4 and 2.5, the two backward passes of sampling: references, inputs, known bugs."""

import torch
import torch.nn.functional as F

from stn_course import geometry, sampler
from stn_course.exercises import Exercise
from stn_course.exercises_02_sampling import thetas, uniform


# ---------------------------------------------------------------- 2.4 the backward by hand
def coordinate_gradients(image, theta, upstream):
    """image [h, w], theta [2, 3], upstream dL/dout [H, W] -> (dL/dgrid [H, W, 2], dL/dtheta)."""
    (h, w), (height, width) = image.shape, upstream.shape
    grid = sampler.affine_grid(theta[None], (height, width))[0]  # [H, W, 2]
    x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
    padded = torch.nn.functional.pad(image, (1, 2, 1, 2))
    c = (x.floor() + 1).clamp(0, w + 1).long()
    r = (y.floor() + 1).clamp(0, h + 1).long()
    p00, p01, p10, p11 = (padded[r + i, c + j] for i in (0, 1) for j in (0, 1))
    a, b = x - x.floor(), y - y.floor()
    d_x = (1 - b) * (p01 - p00) + b * (p11 - p10)  # per pixel
    d_y = (1 - a) * (p10 - p00) + a * (p11 - p01)
    d_grid = upstream[..., None] * torch.stack([d_x * w / 2, d_y * h / 2], -1)
    base = sampler.affine_grid(geometry.identity(dtype=theta.dtype), (height, width))[0]
    base = torch.cat([base, torch.ones_like(base[..., :1])], -1)  # [H, W, 3]
    return d_grid, torch.einsum("hwi,hwj->ij", d_grid, base)


def _cases_24():
    yield uniform(10, 5, 6), thetas(11, 1)[0], uniform(12, 4, 3) - 0.5
    yield uniform(13, 4, 4), 1.2 * thetas(14, 1)[0], uniform(15, 5, 7) - 0.5


def _summed(d_grid, places):
    ones = torch.ones_like(places[..., :1])
    return torch.einsum("hwi,hwj->ij", d_grid, torch.cat([places, ones], -1))


def _backward_per_pixel(image, theta, upstream):
    d_grid, d_theta = coordinate_gradients(image, theta, upstream)
    half = d_grid.new_tensor([image.shape[1] / 2, image.shape[0] / 2])
    return d_grid / half, d_theta / half[:, None]


def _backward_y_first(image, theta, upstream):
    d_grid, d_theta = coordinate_gradients(image, theta, upstream)
    return d_grid.flip(-1), d_theta.flip(0)


def _backward_left_minus_right(image, theta, upstream):
    d_grid, d_theta = coordinate_gradients(image, theta, upstream)
    return -d_grid, -d_theta


def _backward_from_the_input(image, theta, upstream):
    d_grid, _ = coordinate_gradients(image, theta, upstream)
    return d_grid, _summed(d_grid, sampler.affine_grid(theta[None], tuple(upstream.shape))[0])


def _backward_mean(image, theta, upstream):
    d_grid, d_theta = coordinate_gradients(image, theta, upstream)
    return d_grid, d_theta / upstream.numel()


def _backward_detached(image, theta, upstream):
    d_grid, d_theta = coordinate_gradients(image, theta, upstream)
    return d_grid, torch.zeros_like(d_theta)


# ---------------------------------------------------------------- 2.5 the adjoint
def _shares(upstream, theta, size):
    """For each of the four neighbours: where inside the image it lies, and what it is given."""
    h, w = size
    grid = sampler.affine_grid(theta[None], tuple(upstream.shape))[0]
    x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
    for row in (y.floor(), y.floor() + 1):
        for column in (x.floor(), x.floor() + 1):
            share = upstream * (1 - (x - column).abs()) * (1 - (y - row).abs())
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            yield (row[inside].long(), column[inside].long()), share[inside]


def image_gradient(upstream, theta, size):
    """upstream dL/dout [H, W], theta [2, 3], size (h, w) of the image -> dL/dimage [h, w]."""
    out = upstream.new_zeros(size)
    for where, share in _shares(upstream, theta, size):
        out.index_put_(where, share, accumulate=True)
    return out


def _cases_25():
    yield uniform(16, 6, 6) - 0.5, thetas(17, 1)[0], (6, 6)
    yield uniform(18, 8, 9) - 0.5, 0.5 * thetas(19, 1)[0], (5, 4)


def _resampled(upstream, theta, size):
    grid = sampler.affine_grid(geometry.invert(theta[None]), size)
    return F.grid_sample(upstream[None, None], grid, align_corners=False)[0, 0]


def _resampled_by_area(upstream, theta, size):
    pixels = geometry.to_pixels(theta[None], size, tuple(upstream.shape))[0]
    return _resampled(upstream, theta, size) / torch.linalg.det(pixels[:, :2]).abs()


def _one_of_many(upstream, theta, size):
    out = upstream.new_zeros(size)
    for where, share in _shares(upstream, theta, size):
        out[where] += share
    return out


def _to_the_nearest(upstream, theta, size):
    grid = sampler.affine_grid(theta[None], tuple(upstream.shape))[0]
    column, row = geometry.to_pixels(grid, size).round().long().unbind(-1)
    inside = (row >= 0) & (row < size[0]) & (column >= 0) & (column < size[1])
    out = upstream.new_zeros(size)
    return out.index_put_((row[inside], column[inside]), upstream[inside], accumulate=True)


EXERCISES = {
    "2.4": Exercise(
        coordinate_gradients,
        _cases_24,
        {
            "these are gradients per pixel: one pixel is 2/w in x, so multiply by w/2 and "
            "h/2": _backward_per_pixel,
            "x and y are swapped: the first number is the gradient to x": _backward_y_first,
            "the sign is turned: the slope in x is right minus left, in y lower minus "
            "upper": _backward_left_minus_right,
            "dL/dtheta is summed against where the *input* is read; theta multiplies the "
            "output's own (x, y, 1)": _backward_from_the_input,
            "dL/dtheta is a mean; every pixel pulls at the same theta, so it is a sum": (
                _backward_mean
            ),
            "theta is detached: dL/dtheta is 0, nothing of dL/dgrid reaches it": (
                _backward_detached
            ),
        },
        "d out/d x per pixel = (1-b)(right - left of the upper pair) + b (of the lower pair); "
        "times w/2, times upstream; then sum the outer products with (x, y, 1)",
    ),
    "2.5": Exercise(
        image_gradient,
        _cases_25,
        {
            "this resamples the gradient with the inverse matrix; that is another map. Give "
            "each of the four pixels that were read its weight back": (_resampled),
            "this resamples with the inverse matrix and corrects for the area; the weights are "
            "still not those of the forward pass": _resampled_by_area,
            "out[row, column] += v keeps one of several v for the same pixel; use index_put_ "
            "with accumulate=True": _one_of_many,
            "all goes to the nearest pixel; each of the four neighbours gets its weight": (
                _to_the_nearest
            ),
        },
        "out = sum of weight * pixel, so d out/d pixel = weight: add weight * upstream to each "
        "of the four pixels that were read, and let them accumulate",
    ),
}
