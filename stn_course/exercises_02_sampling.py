"""Exercise 2.3, bilinear sampling: the reference, the inputs it is tried on, known bugs."""

import torch

from stn_course import geometry, sampler
from stn_course.exercises import Exercise, uniform


def thetas(seed: int, n: int) -> torch.Tensor:
    """n thetas near the identity, none of them symmetric.  # float64 [n, 2, 3]"""
    return geometry.identity(n, dtype=torch.float64) + 0.8 * uniform(seed, n, 2, 3) - 0.4


def bilinear_sample(images, grid):
    """images [B, C, h, w], grid [B, H, W, 2] -> [B, C, H, W]; 0 outside the image."""
    (batch, _, h, w), out = images.shape, 0
    x = ((grid[..., 0] + 1) * w - 1) / 2  # [B, H, W]
    y = ((grid[..., 1] + 1) * h - 1) / 2
    each = torch.arange(batch)[:, None, None]
    for row in (y.floor(), y.floor() + 1):
        for column in (x.floor(), x.floor() + 1):
            weight = (1 - (x - column).abs()) * (1 - (y - row).abs())
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            r, c = row.clamp(0, h - 1).long(), column.clamp(0, w - 1).long()
            values = images[each, :, r, c].movedim(-1, 1)  # [B, C, H, W]
            out = out + (weight * inside)[:, None] * values
    return out


def _cases_23():
    whole = geometry.identity(2, dtype=torch.float64)
    yield uniform(5, 2, 2, 4, 8), sampler.affine_grid(whole, (4, 8))  # reads whole pixels
    yield uniform(6, 2, 1, 5, 4), sampler.affine_grid(1.3 * thetas(7, 2), (6, 3))
    yield uniform(8, 1, 3, 4, 3), 3 * uniform(9, 1, 5, 5, 2) - 1.5


# ---------------------------------------------------------------- known bugs
def _gather(images, index):
    """Flat whole places [B, H, W] of images [B, C, h, w] -> [B, C, H, W]."""
    flat = index.flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, flat).unflatten(2, index.shape[1:])


def _sample(images, grid, floor=torch.floor, half=0.5, outside=0.0, by_columns=False, ceil=False):
    """Bilinear reading with its parts exchangeable; the defaults are right.

    outside: what the weight of a neighbour outside the image is multiplied by.
    """
    h, w = images.shape[2:]
    x, y = ((grid[..., k] + 1) * n / 2 - half for k, n in ((0, w), (1, h)))
    x0, y0 = floor(x), floor(y)
    x1, y1 = (x.ceil(), y.ceil()) if ceil else (x0 + 1, y0 + 1)
    out = 0
    for row, weight_y in ((y0, y1 - y), (y1, y - y0)):
        for column, weight_x in ((x0, x1 - x), (x1, x - x0)):
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            r, c = row.clamp(0, h - 1).long(), column.clamp(0, w - 1).long()
            values = _gather(images, c * h + r if by_columns else r * w + c)
            weight = weight_x * weight_y * torch.where(inside, 1.0, outside)
            out = out + weight[:, None] * values
    return out


def _swapped(images, grid):
    return _sample(images, grid.flip(-1))


def _half_a_pixel_off(images, grid):
    return _sample(images, grid, half=0.0)


def _corners(images, grid):
    return sampler.bilinear_sample(images, grid, "zeros", align_corners=True)


def _weights_exchanged(images, grid):
    h, w = images.shape[2:]
    x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
    turned = [2 * v.floor() + 1 - v for v in (x, y)]  # as far from the other neighbour
    there = [(2 * v + 1) / n - 1 for v, n in zip(turned, (w, h), strict=True)]
    return _sample(images, torch.stack(there, -1))


def _clipped_by_distance(images, grid):
    (h, w), out = images.shape[2:], 0
    x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
    for row in (y.floor().clamp(0, h - 1), (y.floor() + 1).clamp(0, h - 1)):
        for column in (x.floor().clamp(0, w - 1), (x.floor() + 1).clamp(0, w - 1)):
            weight = (1 - (x - column).abs()) * (1 - (y - row).abs())
            out = out + weight[:, None] * _gather(images, (row * w + column).long())
    return out


def _without_the_last(images, grid):
    h, w = images.shape[2:]
    x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
    whole = (x >= 0) & (y >= 0) & (x.floor() + 1 < w) & (y.floor() + 1 < h)
    return _sample(images, grid) * whole[:, None]


def _clipped_neighbours(images, grid):
    return _sample(images, grid, outside=1.0)


def _with_ceil(images, grid):
    return _sample(images, grid, ceil=True)


def _truncated(images, grid):
    return _sample(images, grid, floor=torch.trunc)


def _truncated_by_distance(images, grid):
    h, w = images.shape[2:]
    x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
    out = 0
    for row in (y.trunc(), y.trunc() + 1):
        for column in (x.trunc(), x.trunc() + 1):
            weight = (1 - (x - column).abs()) * (1 - (y - row).abs())
            weight = weight * ((row >= 0) & (row < h) & (column >= 0) & (column < w))
            index = row.clamp(0, h - 1) * w + column.clamp(0, w - 1)
            out = out + weight[:, None] * _gather(images, index.long())
    return out


def _by_columns(images, grid):
    return _sample(images, grid, by_columns=True)


EXERCISES = {
    "2.3": Exercise(
        bilinear_sample,
        _cases_23,
        {
            "x and y are swapped: grid[..., 0] is x and chooses the column": _swapped,
            "half a pixel off: x = -1 is the left edge of pixel 0, half a pixel before its "
            "centre: ((x + 1) w - 1)/2": _half_a_pixel_off,
            "this is align_corners=True: (x + 1)/2 (w - 1)": _corners,
            "the last row or column is lost: where one neighbour is outside, all four count for "
            "nothing (dropped, or weighed after clipping, which cancels them); give a weight of "
            "0 to that neighbour alone": _without_the_last,
            "the weights are exchanged: the nearer a neighbour, the more it counts, so the left "
            "one weighs floor(x) + 1 - x and the right one x - floor(x)": _weights_exchanged,
            "clipped neighbours and their distances: outside, the same edge pixel counts twice, "
            "or with a negative weight; give a neighbour outside a weight of 0": (
                _clipped_by_distance
            ),
            "clipped neighbours with unclipped weights, or a clipped place: outside, the nearest "
            "edge pixel is read; clip for the index and give a neighbour outside a weight of 0": (
                _clipped_neighbours
            ),
            "the weights do not sum to one: where x is whole, ceil(x) is floor(x) and both "
            "weights are 0; the right neighbour is floor(x) + 1": _with_ceil,
            "trunc, int() and long() cut towards 0, so -0.3 becomes 0; use floor": _truncated,
            "trunc, int() and long() cut towards 0, so -0.3 becomes 0, and pixel 1 is taken for "
            "a neighbour; use floor": _truncated_by_distance,
            "row-major and column-major are mixed up: the flat index is row * w + column": (
                _by_columns
            ),
        },
        "x0 = floor(x), x1 = x0 + 1; each neighbour weighs (1 - |x - column|)(1 - |y - row|), "
        "and 0 if it lies outside",
        tolerance=1e-9,
    ),
}
