"""Answers to notebook 03's exercises as people write them, beyond the registered ones."""

import pytest
import torch
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


def test_the_unknown_runs_are_exhibits_with_symptoms_of_their_own():
    names = [name for name, _ in UNKNOWN.values()]
    assert set(names) < set(museum.EXHIBITS) and len(set(names)) == len(names)


def test_a_pose_loss_is_zero_for_the_inverse_alone():
    loss = find("3.4").solution
    true = geometry.affine(angle=20, scale=1.2, shift=(0.1, -0.2))
    assert loss(true, geometry.invert(true)) < 1e-10 < loss(true, true)
