"""Exercise 2.4, the backward to the grid and to theta: the reference, inputs, known bugs."""

import torch
import torch.nn.functional as F

from stn_course import geometry, sampler
from stn_course.exercises import Exercise, uniform
from stn_course.exercises_02_sampling import thetas


def coordinate_gradients(image, theta, upstream):
    """image [h, w], theta [2, 3], upstream dL/dout [H, W] -> (dL/dgrid [H, W, 2], dL/dtheta)."""
    (h, w), size = image.shape, tuple(upstream.shape)
    grid = sampler.affine_grid(theta[None], size)[0]  # [H, W, 2]
    x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
    padded = F.pad(image, (2, 2, 2, 2))  # 0 outside, and so flat
    c = (x.floor() + 2).clamp(0, w + 2).long()
    r = (y.floor() + 2).clamp(0, h + 2).long()
    p00, p01, p10, p11 = (padded[r + i, c + j] for i in (0, 1) for j in (0, 1))
    a, b = x - x.floor(), y - y.floor()
    d_x = (1 - b) * (p01 - p00) + b * (p11 - p10)  # per pixel
    d_y = (1 - a) * (p10 - p00) + a * (p11 - p01)
    d_grid = upstream[..., None] * torch.stack([d_x * w / 2, d_y * h / 2], -1)
    base = sampler.affine_grid(geometry.identity(dtype=theta.dtype), size)[0]
    base = torch.cat([base, torch.ones_like(base[..., :1])], -1)  # (x, y, 1)  [H, W, 3]
    return d_grid, torch.einsum("hwi,hwj->ij", d_grid, base)


def _cases_24():
    yield uniform(10, 5, 6), thetas(11, 1)[0], uniform(12, 4, 3) - 0.5
    yield uniform(13, 4, 4), 1.2 * thetas(14, 1)[0], uniform(15, 5, 7) - 0.5
    far = thetas(18, 1)[0].clone()
    far[:, 2] -= 1.3  # beyond the left and the top
    yield uniform(16, 5, 4), far, uniform(17, 6, 6) - 0.5


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


def _four_pixels(image, theta, size):
    """p00, p01, p10, p11 (0 outside) and the ways a to the right and b down, each [H, W]."""
    h, w = image.shape
    grid = sampler.affine_grid(theta[None], size)[0]  # [H, W, 2]
    x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
    padded = F.pad(image, (1, 2, 1, 2))
    c = (x.floor() + 1).clamp(0, w + 1).long()
    r = (y.floor() + 1).clamp(0, h + 1).long()
    return *(padded[r + i, c + j] for i in (0, 1) for j in (0, 1)), x - x.floor(), y - y.floor()


def _to_theta(d_x, d_y, image, upstream):
    """Slopes per pixel [H, W] -> dL/dgrid [H, W, 2] and dL/dtheta [2, 3]."""
    (h, w), whole = image.shape, geometry.identity(dtype=image.dtype)
    d_grid = upstream[..., None] * torch.stack([d_x * w / 2, d_y * h / 2], -1)
    return d_grid, _summed(d_grid, sampler.affine_grid(whole, tuple(upstream.shape))[0])


def _backward_without_upstream(image, theta, upstream):
    return coordinate_gradients(image, theta, torch.ones_like(upstream))


def _backward_h_for_w(image, theta, upstream):
    d_grid, d_theta = coordinate_gradients(image, theta, upstream)
    h, w = image.shape
    turned = d_grid.new_tensor([h / w, w / h])
    return d_grid * turned, d_theta * turned[:, None]


def _backward_by_output_size(image, theta, upstream):
    d_grid, d_theta = coordinate_gradients(image, theta, upstream)
    (h, w), (height, width) = image.shape, upstream.shape
    other = d_grid.new_tensor([width / w, height / h])
    return d_grid * other, d_theta * other[:, None]


def _backward_a_for_b(image, theta, upstream):
    p00, p01, p10, p11, a, b = _four_pixels(image, theta, tuple(upstream.shape))
    d_x = (1 - a) * (p01 - p00) + a * (p11 - p10)
    d_y = (1 - b) * (p10 - p00) + b * (p11 - p01)
    return _to_theta(d_x, d_y, image, upstream)


def _backward_y_x_1(image, theta, upstream):
    d_grid, d_theta = coordinate_gradients(image, theta, upstream)
    return d_grid, d_theta[:, [1, 0, 2]]


def _backward_from_the_input(image, theta, upstream):
    d_grid, _ = coordinate_gradients(image, theta, upstream)
    return d_grid, _summed(d_grid, sampler.affine_grid(theta[None], tuple(upstream.shape))[0])


def _backward_mean(image, theta, upstream):
    d_grid, d_theta = coordinate_gradients(image, theta, upstream)
    return d_grid, d_theta / upstream.numel()


def _backward_detached(image, theta, upstream):
    d_grid, d_theta = coordinate_gradients(image, theta, upstream)
    return d_grid, torch.zeros_like(d_theta)


EXERCISES = {
    "2.4": Exercise(
        coordinate_gradients,
        _cases_24,
        {
            "these are gradients per pixel: one pixel is 2/w in x, so multiply by w/2 and "
            "h/2": _backward_per_pixel,
            "x and y are swapped: the first number is the gradient to x": _backward_y_first,
            "x and y are swapped in the sum: theta multiplies (x, y, 1), not (y, x, 1)": (
                _backward_y_x_1
            ),
            "x and y are swapped in the slopes: the slope in x is weighted by b, the way down, "
            "that in y by a": _backward_a_for_b,
            "h stands for w: a pixel is 2/w wide and 2/h high, so x goes with w/2": (
                _backward_h_for_w
            ),
            "the output's size stands for the input's: a and b are in pixels of the image, so "
            "multiply by its w/2 and h/2": _backward_by_output_size,
            "upstream is forgotten: an output pixel's blame is its slope times upstream": (
                _backward_without_upstream
            ),
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
        tolerance=1e-9,
    ),
}
