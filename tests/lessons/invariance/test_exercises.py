"""Answers to notebook 01's exercises as people write them, beyond the registered ones."""

import numpy as np
import pytest
import torch

from stn_course.lessons.checking import check, find
from tests.support import rejection


# ---------------------------------------------------------------- right, written otherwise
def by_numpy(layer, images, pixels, margin):
    first = layer(torch.roll(images, pixels, 3)).numpy()
    last = np.roll(layer(images).numpy(), pixels, 3)
    height, width = last.shape[2:]
    apart = np.abs(first - last)[:, :, margin : height - margin, margin : width - margin]
    return float(apart.max())


def by_cat(layer, images, pixels, margin):
    def move(x):
        k = -pixels % x.shape[3]
        return torch.cat([x[..., k:], x[..., :k]], 3)

    apart = (layer(move(images)) - move(layer(images))).abs()
    stop = -margin or None  # `or None`, for -0 is 0
    return apart[..., margin:stop, margin:stop].max()


def one_by_one(model, images, labels, warp, values):
    model.eval()
    curve = []
    for value in values:
        moved = warp(images, value)
        right = [int(model(x[None]).argmax()) == int(y) for x, y in zip(moved, labels, strict=True)]
        curve.append(100 * sum(right) / len(right))
    return curve


def by_recursion(fooled, low, high, tolerance):
    if high - low <= tolerance:
        return high
    middle = low + (high - low) / 2
    ends = (low, middle) if fooled(middle) else (middle, high)
    return by_recursion(fooled, *ends, tolerance)


def by_keywords(base):
    twice = {**base, "limit": base["limit"] * 2, "epochs": int(base["epochs"] / 2)}
    return [twice, dict(base, width=base["width"] * 2)]


def by_numpys_numbers(base):
    limit, epochs = np.array([base["limit"], base["epochs"]]) * [2, 1] // [1, 2]
    return base | {"limit": limit, "epochs": epochs}, base | {"width": 2 * base["width"]}


RIGHT = {
    "1.1": [by_numpy, by_cat],
    "1.2": [one_by_one],
    "1.3": [by_recursion],
    "1.4": [by_keywords, by_numpys_numbers],
}


@pytest.mark.parametrize("key", RIGHT)
def test_other_ways_to_write_it_are_right(key, capsys):
    for answer in RIGHT[key]:
        assert check(key, answer) is answer
        assert f"{key}: right." in capsys.readouterr().out


# ---------------------------------------------------------------- wrong, written otherwise
@pytest.mark.parametrize(
    ("cut", "words"),
    [
        (lambda d, m: d[..., m:-m, m:-m], "with a margin of 0 nothing is left"),
        (lambda d, m: square(d, m, d.shape[3]), "the width stands for the height"),
        (lambda d, m: square(d, m, d.shape[2]), "the height stands for the width"),
        (lambda d, m: d[..., m:, m:], "left and top alone"),
        (lambda d, m: d[..., m : d.shape[3] - m], "left and right alone"),
        (lambda d, m: d[..., m : d.shape[2] - m, :], "top and bottom alone"),
        (lambda d, m: d, "the border is in it"),
    ],
)
def test_margins_are_named(cut, words):
    def answer(layer, images, pixels, margin):
        apart = layer(images.roll(pixels, -1)) - layer(images).roll(pixels, -1)
        return cut(apart, margin).abs().max().item()

    assert words in rejection("1.1", answer)


def square(d, margin, side):
    return d[..., margin : side - margin, margin : side - margin]


def test_shifting_along_y_is_told_apart_from_nothing():
    assert "every number that you gave is 0" in rejection("1.1", lambda *case: 0.0)

    def answer(layer, images, pixels, margin):
        apart = layer(images.roll(pixels, 2)) - layer(images).roll(pixels, 2)
        return find_inside(apart, margin)

    def find_inside(d, m):
        return d[..., m : d.shape[2] - m, m : d.shape[3] - m].abs().max().item()

    assert "this shifts along y" in rejection("1.1", answer)


def curve_with(verdicts, model_of=lambda model: model, values_of=lambda values: values):
    def answer(model, images, labels, warp, values):
        model = model_of(model)
        with torch.no_grad():
            said = [verdicts(model(warp(images, v))) for v in values_of(values)]
        return [100 * (v == labels).float().mean().item() for v in said]

    return answer


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda model, images, labels, warp, values: [0.0] * len(values), "is 0, whatever came"),
        (curve_with(lambda x: x.max(1)[0]), "every number that you gave is 0, whatever came"),
        (curve_with(lambda x: x.argmax()), "argmax() without a dimension"),
        (curve_with(lambda x: x.argmax(1), lambda m: m.train()), "changes `model`"),
        (curve_with(lambda x: x.argmax(1), values_of=sorted), "the values are sorted"),
        (curve_with(lambda x: x.argmin(1)), "on case"),
    ],
)
def test_curves_are_told_what_is_wrong(answer, words):
    assert words in rejection("1.2", answer)


def test_training_mode_is_named_though_the_mode_is_put_back():
    def answer(model, images, labels, warp, values):
        model.train()
        kept = {k: v.clone() for k, v in model.state_dict().items()}
        made = find("1.2").solution(model, images, labels, warp, values)
        model.load_state_dict(kept)
        model.eval()
        return made

    assert "training mode" in rejection("1.2", answer)


def test_a_limit_that_is_no_whole_number_is_told():
    def answer(base):
        data, wide = find("1.4").solution(base)
        return data | {"limit": 2.0 * base["limit"]}, wide

    assert "'whole numbers of digits': False" in rejection("1.4", answer)
    solution = find("1.4").solution
    told = rejection("1.4", lambda base: [run | {"lr": run["lr"] + 1e-6} for run in solution(base)])
    assert "off by up to 1e-06" in told


def test_an_angle_that_is_tried_and_not_found_by_halves_is_wrong():
    def scan(fooled, low, high, tolerance):
        while not fooled(low):
            low += 0.5
        return low

    assert "on case" in rejection("1.3", scan)
