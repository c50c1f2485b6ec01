"""Answers to notebook 04's exercises as people write them, beyond the registered ones."""

import hashlib

import pytest
import torch
import torch.nn.functional as F

from stn_course import sampling
from stn_course.analysis.accuracy import digit_accuracy, word_accuracy
from stn_course.lessons.checking import WrongAnswer, check
from stn_course.lessons.digit_sequences.exercises import paste_patches
from stn_course.sampling import reference
from tests.support import rejection


# ---------------------------------------------------------------- right, written otherwise
def counted(logits, labels):
    pairs = digit_accuracy(logits, labels), word_accuracy(logits, labels)
    return tuple(100 * right / total for right, total in pairs)


def step_by_step(images, thetas, size):
    glimpses = [reference.warp(images, t, size) for t in thetas.unbind(1)]
    return torch.stack(glimpses, 1).flatten(0, 1)


def with_hooks(cell, features, steps, stop):
    """The gradient from every step's own copy of the features, by hand."""
    copies = [features.clone().requires_grad_() for _ in range(steps)]
    state = torch.zeros(len(features), cell.hidden_size, dtype=features.dtype)
    for k, copy in enumerate(copies):
        with torch.set_grad_enabled(not stop or k == steps - 1):
            state = cell(copy, state)
    state.square().sum().backward()
    parts = [c.grad for c in copies if c.grad is not None]
    return state.detach(), sum(parts)


def as_the_package_warps(images, theta, down):
    size = tuple(int(n / d) for n, d in zip(images.shape[2:], down, strict=True))
    return sampling.warp(images, theta, size)


RIGHT = {"4.2": counted, "4.3": step_by_step, "4.4": with_hooks, "4.5": as_the_package_warps}


@pytest.mark.parametrize("key", RIGHT)
def test_other_ways_to_write_it_are_right(key, capsys):
    assert check(key, RIGHT[key]) is RIGHT[key]
    assert f"{key}: right." in capsys.readouterr().out


def test_pasting_has_a_golden_hash():
    """Ramps as digits, two patches that overlap: the picture in 1/256, byte for byte."""
    bank = (torch.arange(2 * 28 * 28).view(2, 28, 28) * 7 % 257).float() / 256
    digits = torch.zeros(20, 20)
    digits[4:9] = 0.5
    made = paste_patches(digits, bank, [(0, 3, 10, 2, 5, 9), (1, 18, 0, 8, 2, 5)])
    pixels = (made * 256).to(torch.int16).numpy().astype("<i2").tobytes()
    assert hashlib.sha256(pixels).hexdigest() == GOLDEN


# Of the same picture by plain loops over whole numbers.
GOLDEN = "5ae706705ceb908d9949b4d6db94c599c7c0b504beca29f0564cc9d4114a554b"


def test_a_gradient_that_is_missing_is_not_right():
    with pytest.raises(WrongAnswer, match="wanted"):
        check("4.4", lambda cell, features, steps, stop: (torch.zeros(2, 4), None))


def test_a_canvas_may_be_wider_than_high():
    def answer(digits, bank, patches):
        clutter = torch.zeros(len(digits), len(digits))
        for d, left, top, x, y, size in patches:
            clutter[y : y + size, x : x + size] = bank[d, top : top + size, left : left + size]
        return (digits + clutter).clamp(0, 1)

    assert "raised RuntimeError" in rejection("4.1", answer)


def test_the_bank_is_used_again():
    def answer(digits, bank, patches):
        made = paste_patches(digits, bank, patches)
        bank.clamp_(max=0.5)
        return made

    assert "your function changes `bank`" in rejection("4.1", answer)


def test_zeros_of_float32_are_told_of():
    def answer(cell, features, steps, stop):
        state = torch.zeros(len(features), cell.hidden_size)
        return cell(features, state), features

    assert "the check tries float64" in rejection("4.4", answer)


def read(images, theta, size, paper=None, **options):
    """With grid_sample, the background taken off first if there is one."""
    back = 0 if paper is None else paper(images)[..., None, None]
    grid = F.affine_grid(theta, (*images.shape[:2], *size), align_corners=False)
    return F.grid_sample(images - back, grid, align_corners=False, **options) + back


def looks(reads):
    """4.3 and 4.5 by one way of reading."""

    def glances(images, thetas, size):
        repeated = images.repeat_interleave(thetas.shape[1], 0)
        return reads(repeated, thetas.flatten(0, 1), size)

    def strips(images, theta, down):
        return reads(
            images, theta, [int(n / d) for n, d in zip(images.shape[2:], down, strict=True)]
        )

    return {"4.3": glances, "4.5": strips}


@pytest.mark.parametrize("key", ["4.3", "4.5"])
def test_the_background_is_outside(key):
    check(key, looks(lambda *a: read(*a, paper=sampling.background_of))[key])
    assert "outside is 0, and 0 need not be" in rejection(key, looks(read)[key])
    smeared = looks(lambda *a: read(*a, padding_mode="border"))
    assert "the border is smeared" in rejection(key, smeared[key])


@pytest.mark.parametrize("key", ["4.3", "4.5"])
def test_a_theta_that_does_not_learn_is_told(key):
    cut = looks(lambda images, theta, size: reference.warp(images, theta.detach(), size))
    assert "no gradient can flow back to `theta" in rejection(key, cut[key])


def test_a_size_that_is_no_int_is_named():
    def answer(images, theta, down):
        size = [n // d for n, d in zip(images.shape[2:], down, strict=True)]
        shape = torch.Size((*images.shape[:2], *size)) if down == (4, 1) else (2, 2, *size)
        grid = F.affine_grid(theta, shape, align_corners=False)
        back = sampling.background_of(images)[..., None, None]
        return F.grid_sample(images - back, grid, align_corners=False) + back

    assert "down need not be whole: 11 // 1.4 is 7.0" in rejection("4.5", answer)


def test_features_that_keep_a_gradient_are_named():
    def answer(cell, features, steps, stop):
        features.requires_grad_()
        state = None
        for _ in range(steps):
            state = cell(features, state.detach() if stop and state is not None else state)
        state.square().sum().backward()
        return state.detach(), features.grad

    assert "your function changes `features`" in rejection("4.4", answer)
