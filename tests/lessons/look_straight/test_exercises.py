"""Answers to notebook 03's exercises as people write them, beyond the registered ones."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stn_course import geometry
from stn_course.lessons.checking import check, find
from stn_course.lessons.look_straight import museum
from stn_course.lessons.look_straight.exercises import UNKNOWN
from stn_course.models import pose_error
from stn_course.sampling import reference
from tests.support import rejection


def new_numbers(linear, features):
    with torch.no_grad():
        linear.weight[:] = 0
        linear.bias[:] = torch.eye(2, 3).flatten()
    return (features @ linear.weight.T + linear.bias).reshape(-1, 2, 3)


def bisected(count, target):
    low, high = 1, 1999
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= target else (low, middle)
    return low if target - count(low) <= count(high) - target else high


RIGHT = {
    "3.1": new_numbers,
    "3.2": lambda images, theta, size: reference.warp(images, theta, size),
    "3.5": lambda run: UNKNOWN[run][0],
    "3.3": bisected,
    "3.4": pose_error,
}


@pytest.mark.parametrize("key", RIGHT)
def test_another_way_of_writing_it_is_right_too(key, capsys):
    assert check(key, RIGHT[key]) is RIGHT[key]
    assert f"{key}: right." in capsys.readouterr().out


def test_a_head_that_is_frozen_is_told():
    def answer(linear, features):
        return new_numbers(linear, features).detach()

    assert "no gradient can flow back" in rejection("3.1", answer)


def test_weights_set_to_nothing_are_not_enough():
    def answer(linear, features):
        nn.init.zeros_(linear.weight)
        return linear(features).view(-1, 2, 3)

    assert "Hint: zeros in linear.weight, 1 0 0 0 1 0" in rejection("3.1", answer)


def test_a_warp_that_pads_with_zeros_is_named():
    answer = lambda images, theta, size: reference.warp(images, theta, size, padding="zeros")  # noqa: E731
    assert "outside is 0" in rejection("3.2", answer)


def test_the_unknown_runs_are_exhibits_with_signs_of_their_own():
    names = [name for name, _ in UNKNOWN.values()]
    assert set(names) < set(museum.EXHIBITS) and len(set(names)) == len(names)


def test_a_pose_loss_is_zero_for_the_inverse_alone():
    loss = find("3.4").solution
    true = geometry.affine(angle=20, scale=1.2, shift=(0.1, -0.2))
    assert loss(true, geometry.invert(true)) < 1e-10 < loss(true, true)


def test_a_width_is_a_whole_number():
    told = rejection("3.3", lambda count, target: float(find("3.3").solution(count, target)))
    assert "this is the right width, but no int" in told
    check("3.3", lambda count, target: np.int64(find("3.3").solution(count, target)))


def dropped_in(paper, theta=lambda t: t, **options):
    def answer(images, theta_, size):
        back = paper(images)[..., None, None]
        shape = (*images.shape[:2], *size)
        grid = F.affine_grid(theta(theta_), shape, align_corners=False)
        return F.grid_sample(images - back, grid, align_corners=False, **options) + back

    return answer


def border(images):
    mask = torch.ones(images.shape[2:], dtype=torch.bool)
    mask[1:-1, 1:-1] = False
    return images[..., mask]  # [B, C, n]


def lower_median(images):
    return border(images).sort(-1).values[..., (border(images).shape[-1] - 1) // 2]


def test_a_background_that_is_not_learnt_is_right_too():
    check("3.2", dropped_in(lower_median))
    check("3.2", dropped_in(lambda images: lower_median(images.detach())))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (dropped_in(lambda x: border(x).mean(-1)), "the background is the border's mean"),
        (dropped_in(lambda x: border(x).quantile(0.5, -1)), "averaged: Tensor.median takes"),
        (dropped_in(lambda x: x.flatten(2).median(-1).values), "the median of the whole image"),
        (dropped_in(lower_median, lambda t: t[..., [0, 1, 2]].flip(1)), "x and y are swapped"),
        (
            dropped_in(lower_median, lambda t: torch.cat([t[..., :2].mT, t[..., 2:]], -1)),
            "theta is transposed",
        ),
        (dropped_in(lower_median, mode="nearest"), "this reads the nearest pixel"),
        (
            dropped_in(lower_median, lambda t: t.detach()),
            "no gradient can flow back to `theta`",
        ),
    ],
)
def test_warps_are_named(answer, words):
    assert words in rejection("3.2", answer)


def test_a_warp_that_changes_its_images_is_named():
    def answer(images, theta, size):
        back = lower_median(images)[..., None, None]
        images -= back
        grid = F.affine_grid(theta, (*images.shape[:2], *size), align_corners=False)
        return F.grid_sample(images, grid, align_corners=False) + back

    assert "your function changes `images`" in rejection("3.2", answer)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda linear, f: new_numbers(linear, f.detach()), "what stands before the layer"),
        (lambda linear, f: new_numbers(linear, f).flatten(1), "theta is [B, 6] still"),
        (lambda linear, f: cleared(linear, f), "the layer would not say so again"),
        (lambda linear, f: torch.eye(2, 3).expand(len(f), 2, 3), "detached on the way"),
        (lambda linear, f: new_numbers(linear, f).detach().numpy(), "detached on the way"),
        (lambda linear, f: emptied(linear, f), "what your function gave cannot be used: RuntimeE"),
    ],
)
def test_heads_are_told_what_is_wrong(answer, words):
    assert words in rejection("3.1", answer)


def emptied(linear, features):
    """Weights that are set after theta was made of them, in place: autograd refuses."""
    theta = new_numbers(linear, features)
    nn.init.zeros_(linear.weight)
    return theta


def cleared(linear, features):
    theta = new_numbers(linear, features)
    linear.bias.data.zero_()
    return theta
