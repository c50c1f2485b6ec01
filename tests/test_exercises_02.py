"""Answers to notebook 02's exercises as people write them, beyond the registered ones."""

import pytest
import torch
import torch.nn.functional as F

from stn_course import exercises, geometry, sampler
from stn_course.exercises import WrongAnswer, check

NAMED = {
    "2.1": ("x and y are swapped", "half a pixel", "forward map", "wrong order", "rows and col"),
    "2.2": ("order is swapped", "shifts are added", "-t", "transposed"),
    "2.3": ("x and y are swapped", "half a pixel", "last row or column is lost", "row-major")
    + ("do not sum to one", "clipped neighbours with unclipped weights", "align_corners"),
    "2.4": ("x and y are swapped", "per pixel", "detached", "a sum"),
    "2.5": ("inverse matrix", "keeps one", "nearest"),
    "2.6": ("detached", "zero_grad", "forward map"),
}


def message(key, answer):
    with pytest.raises(WrongAnswer) as caught:
        check(key, answer)
    return str(caught.value)


@pytest.mark.parametrize("key", NAMED)
def test_the_bugs_that_everybody_writes_have_names(key):
    known = " | ".join(exercises.find(key).wrong)
    assert [words for words in NAMED[key] if words not in known] == []


# ---------------------------------------------------------------- right, written otherwise
RIGHT = {
    "2.1": lambda theta, size: F.affine_grid(theta, (len(theta), 1, *size), align_corners=False),
    "2.2": lambda a, b: (
        geometry.compose(a[None], b[None])[0],
        geometry.compose(geometry.invert(b[None]), geometry.invert(a[None]))[0],
    ),
    "2.3": lambda images, grid: F.grid_sample(images, grid, align_corners=False),
    "2.4": lambda *a: by_autograd(*a)[:2],
    "2.5": lambda upstream, theta, size: by_autograd(
        torch.zeros(size, dtype=theta.dtype), theta, upstream
    )[2],
}


def by_autograd(image, theta, upstream):
    image, theta = image.clone().requires_grad_(), theta.clone().requires_grad_()
    shape = (1, 1, *upstream.shape)
    grid = F.affine_grid(theta[None], shape, align_corners=False)
    grid.retain_grad()
    out = F.grid_sample(image[None, None], grid, align_corners=False)
    out.backward(upstream[None, None])
    return grid.grad[0], theta.grad, image.grad


@pytest.mark.parametrize("key", RIGHT)
def test_torch_itself_is_right(key, capsys):
    assert check(key, RIGHT[key]) is RIGHT[key]
    assert f"{key}: right." in capsys.readouterr().out


def test_gradient_descent_without_adam_is_right_too(capsys):
    """2.6 asks for a theta, not for a path: another optimiser that arrives is as good."""

    def answer(image, target, theta, steps, rate):
        theta = theta.clone().requires_grad_()
        optimiser = torch.optim.LBFGS([theta], max_iter=60, line_search_fn="strong_wolfe")

        def loss():
            optimiser.zero_grad()
            value = 100 * (sampler.warp(image, theta) - target).square().mean()
            value.backward()
            return value

        optimiser.step(loss)
        return theta.detach()

    assert check("2.6", answer) is answer


# ---------------------------------------------------------------- wrong, written otherwise
def test_weights_after_clipping_lose_the_last_row():
    """The formula of several published samplers: the neighbours clipped, then the weights."""

    def answer(images, grid):
        (_, _, h, w), out = images.shape, 0
        x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
        x0, x1 = (x.floor().clamp(0, w - 1), (x.floor() + 1).clamp(0, w - 1))
        y0, y1 = (y.floor().clamp(0, h - 1), (y.floor() + 1).clamp(0, h - 1))
        each = torch.arange(len(images))[:, None, None]
        for row, wy in ((y0, y1 - y), (y1, y - y0)):
            for column, wx in ((x0, x1 - x), (x1, x - x0)):
                values = images[each, :, row.long(), column.long()].movedim(-1, 1)
                out = out + (wx * wy)[:, None] * values
        return out

    assert "the last row or column is lost" in message("2.3", answer)


def test_a_loss_without_a_gradient_gets_the_hint():
    def answer(image, target, theta, steps, rate):
        theta = theta.clone()
        (sampler.warp(image, theta) - target).square().mean().backward()
        return theta

    told = message("2.6", answer)
    assert "raised RuntimeError" in told and "requires_grad_()" in told


def test_a_grid_with_a_wrong_shape_says_which():
    told = message("2.1", lambda theta, size: torch.zeros(1))
    assert "you gave an array of shape (1,), wanted an array of shape" in told
