"""The exercises of notebook 01: references, the inputs they are tried on, known bugs."""

from functools import lru_cache

import torch
from torch import nn

from stn_course import measure
from stn_course.exercises import Exercise


# ---------------------------------------------------------------- 1.1 convolution and shifts
def commutation_error(layer, images, pixels, margin):
    """Largest |layer(shift(x)) - shift(layer(x))|, ``margin`` pixels off the border."""
    moved_first = layer(images.roll(pixels, dims=-1))
    moved_last = layer(images).roll(pixels, dims=-1)
    inside = (..., slice(margin, -margin), slice(margin, -margin))
    return (moved_first - moved_last)[inside].abs().max().item()


def _apart(a, b, margin):
    return (a - b)[..., margin:-margin, margin:-margin].abs().max().item()


class _PlaceDependent(nn.Module):
    """Multiplies by a ramp: a layer that knows where it is, so it does not commute."""

    def forward(self, x):
        return x * torch.linspace(0, 1, x.shape[-1])


def _cases_11():
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(2, 1, 16, 16, generator=generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        conv = nn.Conv2d(1, 3, 3, padding=1).requires_grad_(False)
    for layer in (conv, nn.ReLU(), nn.MaxPool2d(3, 1, 1), _PlaceDependent()):
        for pixels in (1, -3):
            yield layer, images, pixels, 5


def _invariance(layer, images, pixels, margin):
    return _apart(layer(images.roll(pixels, -1)), layer(images), margin)


def _with_border(layer, images, pixels, margin):
    return (layer(images.roll(pixels, -1)) - layer(images).roll(pixels, -1)).abs().max().item()


def _columns_only(layer, images, pixels, margin):
    apart = layer(images.roll(pixels, -1)) - layer(images).roll(pixels, -1)
    return apart[..., margin:-margin].abs().max().item()


def _other_way(layer, images, pixels, margin):
    return _apart(layer(images.roll(pixels, -1)), layer(images).roll(-pixels, -1), margin)


def _signed(layer, images, pixels, margin):
    apart = layer(images.roll(pixels, -1)) - layer(images).roll(pixels, -1)
    return apart[..., margin:-margin, margin:-margin].max().item()


def _leftwards(layer, images, pixels, margin):
    return commutation_error(layer, images, -pixels, margin)


def _both_rows(layer, images, pixels, margin):
    return _apart(layer(images.roll(pixels, -2)), layer(images).roll(pixels, -2), margin)


def _rows(layer, images, pixels, margin):
    return _apart(layer(images.roll(pixels, -1)), layer(images).roll(pixels, -2), margin)


# ---------------------------------------------------------------- 1.2 accuracy against a motion
def accuracy_curve(model, images, labels, warp, values):
    """Accuracy in percent of ``model`` on ``warp(images, v)`` for each of ``values``."""
    with torch.no_grad():
        verdicts = [model(warp(images, v)).argmax(1) for v in values]  # each [N]
    return [100 * (v == labels).float().mean().item() for v in verdicts]


@lru_cache(maxsize=1)
def _toy_classifier() -> nn.Module:
    """A small untrained network: its own verdicts on upright images are the labels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4)).eval()


def _blobs(n: int = 60) -> tuple:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(n, 1, 8, 8, generator=generator)
    with torch.no_grad():
        labels = _toy_classifier()(images).argmax(1)  # upright images are all read right
    return images, labels


def _cases_12():
    images, labels = _blobs()
    model = _toy_classifier()
    yield model, images, labels, measure.rotate, [0.0, 20.0, 90.0, 180.0]
    yield model, images[:7], labels[:7], measure.shift, [0.0, 1.0, 3.0]


def _fraction(model, images, labels, warp, values):
    return [a / 100 for a in accuracy_curve(model, images, labels, warp, values)]


def _cumulative(model, images, labels, warp, values):
    out = []
    for v in values:
        images = warp(images, v)
        out += accuracy_curve(model, images, labels, lambda x, _: x, [0.0])
    return out


def _unmoved(model, images, labels, warp, values):
    return accuracy_curve(model, images, labels, lambda x, _: x, values)


def _one_verdict(model, images, labels, warp, values):
    with torch.no_grad():
        verdicts = [model(warp(images, v)).argmax() for v in values]
    return [100 * (v == labels).float().mean().item() for v in verdicts]


def _error_rate(model, images, labels, warp, values):
    return [100 - a for a in accuracy_curve(model, images, labels, warp, values)]


# ---------------------------------------------------------------- 1.3 bisection
def smallest_angle(fooled, low, high, tolerance):
    """Smallest angle at which ``fooled``, False at ``low`` and True at ``high``, within tolerance.

    Returns the upper end of the last interval: an angle at which it *is* fooled.
    """
    while high - low > tolerance:
        middle = (low + high) / 2
        if fooled(middle):
            high = middle
        else:
            low = middle
    return high


MOST_CALLS = 1000


def _fooled_from(threshold):
    """Fooled from ``threshold`` on; tired of being asked after so many calls."""
    calls = 0

    def fooled(angle):
        nonlocal calls
        calls += 1
        if calls > MOST_CALLS:
            raise RuntimeError(f"fooled() was called {MOST_CALLS} times: the interval stays long")
        return angle >= threshold

    return fooled


def _cases_13():
    for threshold in (37.3, 1.26, 88.0):
        yield _fooled_from(threshold), 0.0, 90.0, 0.01
    yield _fooled_from(12.5), 10.0, 20.0, 1.0


def _middle(fooled, low, high, tolerance):
    while high - low > tolerance:
        middle = (low + high) / 2
        low, high = (low, middle) if fooled(middle) else (middle, high)
    return (low + high) / 2


def _lower_end(fooled, low, high, tolerance):
    while high - low > tolerance:
        middle = (low + high) / 2
        low, high = (low, middle) if fooled(middle) else (middle, high)
    return low


def _swapped_halves(fooled, low, high, tolerance):
    while high - low > tolerance:
        middle = (low + high) / 2
        low, high = (middle, high) if fooled(middle) else (low, middle)
    return high


def _one_step(fooled, low, high, tolerance):
    middle = (low + high) / 2
    return middle if fooled(middle) else high


# ---------------------------------------------------------------- 1.4 a fair comparison
def fair_pair(base):
    """(twice the data, twice the width) of ``base``, with the same number of steps."""
    data = base | {"limit": 2 * base["limit"], "epochs": base["epochs"] // 2}
    return data, base | {"width": 2 * base["width"]}


def _cases_14():
    yield ({"limit": 4000, "epochs": 4, "width": 1.0, "lr": 1e-3},)
    yield ({"limit": 100, "epochs": 2, "width": 0.5, "lr": 1e-2},)


def _base_left_alone(function, case):
    """The two it makes, if base is still as it came, and whether they train for whole epochs."""
    (base,) = case
    before = dict(base)
    made = function(base)
    if base != before:
        return "two runs, and another base than came"
    if not isinstance(made, tuple | list) or not all(isinstance(run, dict) for run in made):
        return made
    return {"runs": made, "whole epochs": all(type(run.get("epochs")) is int for run in made)}


def _half_epochs(base):
    data, wide = fair_pair(base)
    return data | {"epochs": base["epochs"] / 2}, wide


def _more_steps(base):
    return base | {"limit": 2 * base["limit"]}, base | {"width": 2 * base["width"]}


def _both_wider(base):
    data, wide = fair_pair(base)
    return data | {"width": wide["width"]}, wide


def _into_base(base):
    base["limit"] *= 2
    base["epochs"] //= 2
    return base, base | {"width": 2 * base["width"]}


def _wrong_order(base):
    return fair_pair(base)[::-1]


EXERCISES = {
    "1.1": Exercise(
        commutation_error,
        _cases_11,
        {
            "this compares f(Tx) with f(x), which is invariance; "
            "equivariance compares f(Tx) with T f(x)": _invariance,
            "the border is in it: what the shift carries around the edge meets other "
            "neighbours there; cut `margin` pixels off each side": _with_border,
            "the output is shifted the other way than the input": _other_way,
            "the output is shifted along y and the input along x": _rows,
            "this shifts along y; dims=-1 is x, to the right": _both_rows,
            "this shifts to the left; roll by +pixels": _leftwards,
            "negative differences are lost: take abs() before max()": _signed,
            "the margin is cut off left and right alone; cut it off all four sides": _columns_only,
        },
        "compute layer(roll(x)) and roll(layer(x)), cut the margin off, take the largest |a - b|",
    ),
    "1.2": Exercise(
        accuracy_curve,
        _cases_12,
        {
            "these are fractions; the curve is wanted in percent": _fraction,
            "each motion is applied to the images that the last one has already moved; "
            "start from the upright images every time": _cumulative,
            "the network sees the upright images: pass it warp(images, value)": _unmoved,
            "this is the error rate; the accuracy is 100 minus it": _error_rate,
            "argmax() without a dimension is one number for all images: argmax(1) is one for "
            "each": _one_verdict,
        },
        "for each value: warp the images, take the argmax over classes, compare with the labels",
        tolerance=1e-4,
    ),
    "1.3": Exercise(
        smallest_angle,
        _cases_13,
        {
            "this is the lower end, an angle at which it is not yet fooled": _lower_end,
            "the wrong half is kept: where the middle fools it, the answer "
            "is at or below the middle": _swapped_halves,
            "one step is not enough: go on until high - low <= tolerance": _one_step,
            "this is the middle of the last interval; nobody has tried it, return high": _middle,
        },
        "halve [low, high] and keep the half whose ends still differ; return high",
        tolerance=1e-9,
    ),
    "1.4": Exercise(
        fair_pair,
        _cases_14,
        {
            "twice the data for as many epochs is twice the steps, so two things "
            "changed; halve the epochs": _more_steps,
            "the run with twice the data is wider too; change one thing at a time": _both_wider,
            "the two are swapped: first twice the data, then twice the width": _wrong_order,
            "base itself was changed, and with it the runs that begin with it: make "
            "copies": _into_base,
            "half the epochs are a float: divide with //": _half_epochs,
        },
        "base | {...} copies a dict and changes some entries",
        ask=_base_left_alone,
    ),
}
