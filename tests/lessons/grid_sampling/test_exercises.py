"""Answers to notebook 02's exercises as people write them, beyond the registered ones."""

import pytest
import torch
import torch.nn.functional as F

from stn_course import geometry
from stn_course.lessons import checking
from stn_course.lessons.checking import check
from stn_course.sampling import reference
from tests.support import rejection

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
            value = 100 * (reference.warp(image, theta) - target).square().mean()
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

    assert "the last row or column is lost" in rejection("2.3", answer)


def test_long_instead_of_floor_is_named_with_either_way_of_weighing():
    def answer(images, grid, near):
        (batch, _, h, w), out = images.shape, 0
        x, y = ((grid[..., 0] + 1) * w - 1) / 2, ((grid[..., 1] + 1) * h - 1) / 2
        x0, y0 = x.long(), y.long()
        each = torch.arange(batch)[:, None, None]
        for r in (0, 1):
            for c in (0, 1):
                row, column = y0 + r, x0 + c
                ok = (row >= 0) & (row < h) & (column >= 0) & (column < w)
                values = images[each, :, row.clamp(0, h - 1), column.clamp(0, w - 1)]
                weight = near(x, x0, column, c) * near(y, y0, row, r) * ok
                out = out + weight[:, None] * values.movedim(-1, 1)
        return out

    def by_distance(x, _first, column, _k):
        return 1 - (x - column).abs()

    def by_part(x, first, _column, k):
        return x - first if k else 1 - (x - first)

    for near in (by_distance, by_part):
        assert "cut towards 0" in rejection("2.3", lambda *a, near=near: answer(*a, near))


def test_clipping_the_place_is_named_as_clipping():
    def answer(images, grid):
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    assert "a clipped place" in rejection("2.3", answer)


@pytest.mark.parametrize("by_area", [False, True])
def test_the_shortcut_as_the_notebook_writes_it_is_named(by_area):
    def answer(upstream, theta, size):
        theta = theta[None]
        out = reference.warp(upstream[None, None], geometry.invert(theta), size)[0, 0]
        return out / theta[0, :, :2].det().abs() if by_area else out

    assert "with the inverse matrix" in rejection("2.5", answer)


def test_a_start_that_is_ignored_is_named():
    def answer(image, target, theta, steps, rate):
        theta = torch.eye(2, 3, dtype=image.dtype)[None].requires_grad_()
        optimiser = torch.optim.Adam([theta], lr=rate)
        for _ in range(steps):
            optimiser.zero_grad()
            (reference.warp(image, theta) - target).square().mean().backward()
            optimiser.step()
        return theta.detach()

    assert "starts at the identity" in rejection("2.6", answer)


@pytest.mark.parametrize("key", [key for key in checking.keys() if key.startswith("2.")])
def test_every_case_is_in_float64_and_rounding_to_float32_is_wrong(key):
    """Tensors in, tensors out in float64; what passed through float32 is rejected."""
    exercise = checking.find(key)
    for case in exercise.inputs():
        parts = [a for a in case if torch.is_tensor(a)]
        assert parts and all(a.dtype == torch.float64 for a in parts)

    def rounded(*a):
        parts = exercise.solution(*(v.float() if torch.is_tensor(v) else v for v in a))
        return tuple(p.double() for p in parts) if isinstance(parts, tuple) else parts.double()

    if key == "2.6":  # a descent: only where it arrives is compared, and not so closely
        assert exercise.tolerance == 0.02
    else:
        assert exercise.tolerance <= 1e-9
        rejection(key, rounded)


def test_a_loss_without_a_gradient_gets_the_hint():
    def answer(image, target, theta, steps, rate):
        theta = theta.clone()
        (reference.warp(image, theta) - target).square().mean().backward()
        return theta

    told = rejection("2.6", answer)
    assert "raised RuntimeError" in told and "requires_grad_()" in told


def test_a_grid_with_a_wrong_shape_says_which():
    told = rejection("2.1", lambda theta, size: torch.zeros(1))
    assert "you gave an array of shape (1,), wanted an array of shape" in told


def weighed(weigh):
    """Bilinear reading with other weights of the four neighbours, by loops."""

    def answer(images, grid):
        (h, w), out = images.shape[2:], images.new_zeros(*images.shape[:2], *grid.shape[1:3])
        for b in range(len(images)):
            for i in range(grid.shape[1]):
                for j in range(grid.shape[2]):
                    x, y = ((grid[b, i, j, k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
                    x0, y0 = int(x.floor()), int(y.floor())
                    for row in (y0, y0 + 1):
                        for column in (x0, x0 + 1):
                            if 0 <= row < h and 0 <= column < w:
                                share = weigh((x - column).abs(), (y - row).abs())
                                out[b, :, i, j] += share * images[b, :, row, column]
        return out

    return answer


def test_loops_are_right():
    check("2.3", weighed(lambda dx, dy: (1 - dx) * (1 - dy)))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (weighed(lambda dx, dy: 0.25), "this is the average of the four neighbours"),
        (weighed(lambda dx, dy: dx * dy), "the weights are exchanged"),
        (weighed(lambda dx, dy: 2 - dx - dy), "the weights are added"),
        (
            lambda images, grid: F.grid_sample(images, grid, "nearest", align_corners=False),
            "this reads the nearest pixel alone",
        ),
        (
            lambda images, grid: F.grid_sample(images, grid, align_corners=True),
            "this is align_corners=True",
        ),
    ],
)
def test_weights_are_named(answer, words):
    assert words in rejection("2.3", answer)


def test_two_swapped_weights_are_named():
    def answer(images, grid):
        (h, w), out = images.shape[2:], 0
        x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
        a, b = x - x.floor(), y - y.floor()
        each = torch.arange(len(images))[:, None, None]
        weights = ((1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b)  # of 00, 10, 01, 11
        for k, weight in enumerate(weights):
            row, column = y.floor() + k // 2, x.floor() + k % 2
            ok = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            r, c = row.clamp(0, h - 1).long(), column.clamp(0, w - 1).long()
            out = out + (weight * ok)[:, None] * images[each, :, r, c].movedim(-1, 1)
        return out

    assert "the weights of two neighbours are swapped" in rejection("2.3", answer)


def test_arguments_that_are_changed_for_a_while_are_named():
    def answer(images, grid):
        grid[..., 0].add_(1)
        return F.grid_sample(images, grid - grid.new_tensor([1, 0]), align_corners=False)

    assert "your function changes `grid`" in rejection("2.3", answer)


def base_grid(size, dtype, corners=False):
    one = torch.eye(2, 3, dtype=dtype)[None]
    grid = F.affine_grid(one, (1, 1, *size), align_corners=corners)[0]
    return torch.cat([grid, torch.ones_like(grid[..., :1])], -1)  # [H, W, 3]


@pytest.mark.parametrize(
    ("turned", "words"),
    [
        (lambda t: torch.cat([t[..., :2].mT, t[..., 2:]], -1).mT, "theta is transposed"),
        (lambda t: t.reshape(-1, 3, 2), "theta [2, 3] was reshaped to [3, 2]"),
    ],
)
def test_a_transposed_theta_is_named(turned, words):
    def answer(theta, size):
        return base_grid(size, theta.dtype)[None] @ turned(theta)[:, None]

    assert words in rejection("2.1", answer)


def test_align_corners_is_named_in_every_exercise_with_a_grid():
    def grid(theta, size):
        return base_grid(size, theta.dtype, corners=True)[None] @ theta.mT[:, None]

    assert "this is align_corners=True" in rejection("2.1", grid)

    def gradient(image, theta, upstream, corners=True):
        image, theta = image.clone().requires_grad_(), theta.clone().requires_grad_()
        grid = F.affine_grid(theta[None], (1, 1, *upstream.shape), align_corners=corners)
        grid.retain_grad()
        out = F.grid_sample(image[None, None], grid, align_corners=corners)
        out.backward(upstream[None, None])
        return grid.grad[0], theta.grad, image.grad

    assert "this is align_corners=True" in rejection("2.4", lambda *a: gradient(*a)[:2])
    told = rejection("2.5", lambda up, t, size: gradient(torch.zeros(size).double(), t, up)[2])
    assert "this is align_corners=True" in told


def test_the_centres_in_half_precision_are_told():
    def answer(theta, size):
        ys, xs = (((2 * torch.arange(n) + 1) / n - 1).half().to(theta) for n in size)
        y, x = torch.meshgrid(ys, xs, indexing="ij")
        return torch.stack([x, y, torch.ones_like(x)], -1) @ theta.mT[:, None]

    assert "about as much as float16 rounds" in rejection("2.1", answer)


def descent(loss=F.mse_loss, extra=0, optimiser=torch.optim.Adam):
    def answer(image, target, theta, steps, rate):
        theta = theta.clone().requires_grad_()
        optim = optimiser([theta], lr=rate)
        for _ in range(steps + extra):
            optim.zero_grad()
            loss(reference.warp(image, theta), target).backward()
            optim.step()
        return theta.detach()

    return answer


def test_a_descent_is_asked_for_its_loss_and_its_steps():
    check("2.6", descent())
    told = rejection("2.6", descent(lambda a, b: (a - b).square().sum()))
    assert "many times as steep as the mean squared difference" in told
    assert "more steps than `steps`" in rejection("2.6", descent(extra=1))
    assert "fewer steps than `steps`" in rejection("2.6", descent(extra=-1))


def test_a_theta_that_never_moves_is_told():
    def answer(image, target, theta, steps, rate):
        theta = theta.clone().requires_grad_()
        optimiser = torch.optim.Adam([theta], lr=rate)
        for _ in range(steps):
            optimiser.zero_grad()
            moved = reference.warp(image, theta.detach().requires_grad_())
            (moved - target).square().mean().backward()
            optimiser.step()
        return theta.detach()

    told = rejection("2.6", answer)
    assert "this is `theta` as it came, unchanged" in told
    assert "no gradient reaches it and it stays as it was" in told


def test_a_theta_that_is_the_optimisers_own_is_named():
    def answer(image, target, theta, steps, rate):
        theta.requires_grad_()
        optimiser = torch.optim.Adam([theta], lr=rate)
        for _ in range(steps):
            optimiser.zero_grad()
            (reference.warp(image, theta) - target).square().mean().backward()
            optimiser.step()
        return theta.detach()

    assert "your function changes `theta`" in rejection("2.6", answer)
