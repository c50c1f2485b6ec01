"""The exercises of notebook 02: references, the inputs they are tried on, known bugs."""

import torch

from stn_course import (
    exercises_02_adjoint,
    exercises_02_descent,
    exercises_02_gradients,
    exercises_02_sampling,
    geometry,
)
from stn_course.exercises import Exercise
from stn_course.exercises_02_sampling import thetas


# ---------------------------------------------------------------- 2.1 affine_grid
def affine_grid(theta, size):
    """theta [B, 2, 3], size (H, W) -> where each output pixel is read [B, H, W, 2]."""
    ys, xs = ((2 * torch.arange(n, dtype=theta.dtype) + 1) / n - 1 for n in size)
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    base = torch.stack([x, y, torch.ones_like(x)], -1)  # [H, W, 3]
    return torch.einsum("bij,hwj->bhwi", theta, base)


def _cases_21():
    yield geometry.identity(1, dtype=torch.float64), (2, 3)
    yield thetas(1, 2), (3, 5)
    yield thetas(2, 3), (4, 4)


def _over(theta, xs, ys):
    """theta applied to (x, y, 1) at columns xs [W] and rows ys [H].  # [B, H, W, 2]"""
    y, x = torch.meshgrid(ys.to(theta), xs.to(theta), indexing="ij")
    base = torch.stack([x, y, torch.ones_like(x)], -1)  # [H, W, 3]
    return torch.einsum("bij,hwj->bhwi", theta, base)


def _grid_y_first(theta, size):
    return affine_grid(theta, size).flip(-1)


def _grid_of_y_x(theta, size):
    return affine_grid(theta[..., [1, 0, 2]], size)


def _grid_of_left_edges(theta, size):
    ys, xs = (2 * torch.arange(n, dtype=theta.dtype) / n - 1 for n in size)
    return _over(theta, xs, ys)


def _grid_of_float32(theta, size):
    ys, xs = ((2 * torch.arange(n) + 1) / n - 1 for n in size)
    return _over(theta, xs, ys)


def _grid_of_corners(theta, size):
    ys, xs = (torch.linspace(-1, 1, n, dtype=theta.dtype) for n in size)
    return _over(theta, xs, ys)


def _grid_forward(theta, size):
    return affine_grid(geometry.invert(theta), size)


def _grid_columns_first(theta, size):
    return affine_grid(theta, size).transpose(1, 2)


def _grid_viewed(theta, size):
    planes = affine_grid(theta, size).permute(0, 3, 1, 2)  # [B, 2, H, W]
    return planes.reshape(len(theta), *size, 2)


# ---------------------------------------------------------------- 2.2 compose and invert
def both_and_back(a, b):
    """a, b [2, 3] -> (warp by a, then by b, as one theta [2, 3]; the theta that undoes both)."""
    both = torch.cat([a[:, :2] @ b[:, :2], a[:, :2] @ b[:, 2:] + a[:, 2:]], 1)
    inverse = torch.linalg.inv(both[:, :2])
    return both, torch.cat([inverse, -inverse @ both[:, 2:]], 1)


def _cases_22():
    yield tuple(thetas(3, 2))
    yield tuple(thetas(4, 2))


def _inverse(a):
    return geometry.invert(a[None])[0]


def _both_swapped(a, b):
    return both_and_back(b, a)


def _both_shifts_added(a, b):
    both = torch.cat([a[:, :2] @ b[:, :2], a[:, 2:] + b[:, 2:]], 1)
    return both, _inverse(both)


def _back_in_the_same_order(a, b):
    return both_and_back(a, b)[0], both_and_back(_inverse(a), _inverse(b))[0]


def _back_minus_shift(a, b):
    both, back = both_and_back(a, b)
    return both, torch.cat([back[:, :2], -both[:, 2:]], 1)


def _back_transposed(a, b):
    both, _ = both_and_back(a, b)
    turned = both[:, :2].T
    return both, torch.cat([turned, -turned @ both[:, 2:]], 1)


def _rows_of_three(a, b):
    last = a.new_tensor([[0, 0, 1]])
    return tuple(torch.cat([part, last]) for part in both_and_back(a, b))


def _batches_of_one(a, b):
    return tuple(part[None] for part in both_and_back(a, b))


EXERCISES = {
    "2.1": Exercise(
        affine_grid,
        _cases_21,
        {
            "x and y are swapped: the last axis of a grid is (x, y), x first": _grid_y_first,
            "x and y are swapped: theta is applied to (x, y, 1), not to (y, x, 1)": (_grid_of_y_x),
            "half a pixel off: these are the left and top edges of the pixels; "
            "the centre of pixel i of n is (2i + 1)/n - 1": _grid_of_left_edges,
            "this is align_corners=True: linspace(-1, 1, n) puts the centres of the outer "
            "pixels on the edges of the image": _grid_of_corners,
            "this is the forward map: theta already says where to read, so do not invert "
            "it": _grid_forward,
            "rows and columns are swapped: the grid is [B, H, W, 2], the row first": (
                _grid_columns_first
            ),
            "the centres are rounded to float32: give torch.arange theta's dtype": (
                _grid_of_float32
            ),
            "the numbers are right and lie in the wrong order: [B, 2, H, W] was reshaped to "
            "[B, H, W, 2]; move the axis instead": _grid_viewed,
        },
        "x of column j is (2j + 1)/W - 1, y of row i is (2i + 1)/H - 1; stack (x, y, 1) into "
        "[H, W, 3] and multiply by theta",
        tolerance=1e-9,
    ),
    "2.2": Exercise(
        both_and_back,
        _cases_22,
        {
            "the order is swapped: the second warp reads the first one's output, so the point "
            "goes through b first and then through a": _both_swapped,
            "the shifts are added: b's shift has to go through a's 2x2 part": (_both_shifts_added),
            "the way back is taken in the same order: undo the last warp first": (
                _back_in_the_same_order
            ),
            "the way back has -t as its shift; it is -(inverse of A) t": _back_minus_shift,
            "the way back uses A transposed; that is the inverse of a rotation alone": (
                _back_transposed
            ),
            "the third row (0, 0, 1) is still there: cut it off, [:2], both are [2, 3]": (
                _rows_of_three
            ),
            "these are batches of one: a and b have no batch, so take [0], both are [2, 3]": (
                _batches_of_one
            ),
        },
        "append the row (0, 0, 1) to both, multiply a @ b, invert the 3x3 product, and cut the "
        "row off again",
        tolerance=1e-9,
    ),
    **exercises_02_sampling.EXERCISES,
    **exercises_02_gradients.EXERCISES,
    **exercises_02_adjoint.EXERCISES,
    **exercises_02_descent.EXERCISES,
}
