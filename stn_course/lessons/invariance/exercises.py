"""The exercises of notebook 01: references, the inputs they are tried on, known bugs."""

import copy

import torch
from torch import nn

from stn_course.analysis import robustness
from stn_course.geometry import as_whole
from stn_course.lessons.checking import Exercise

# ---------------------------------------------------------------- 1.1 convolution and shifts
shifts = Exercise(
    "1.1",
    hint="compute layer(roll(x)) and roll(layer(x)), cut the margin off, take the largest |a - b|; "
    "of n rows the slice margin : n - margin stays, which is all of them where margin is 0",
)


@shifts.reference
def commutation_error(layer, images, pixels, margin):
    """Largest |layer(shift(x)) - shift(layer(x))|, `margin` pixels off the border."""
    moved_first = layer(images.roll(pixels, dims=-1))
    moved_last = layer(images).roll(pixels, dims=-1)
    height, width = moved_last.shape[-2:]
    inside = (..., slice(margin, height - margin), slice(margin, width - margin))
    return (moved_first - moved_last)[inside].abs().max().item()


class _PlaceDependent(nn.Module):
    """Multiplies by a ramp along one axis: a layer that knows where it is does not commute."""

    def __init__(self, axis):
        super().__init__()
        self.axis = axis

    def forward(self, x):
        ramp = torch.linspace(0, 1, x.shape[self.axis])
        return x * (ramp if self.axis == -1 else ramp[:, None])


@shifts.cases
def _():
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(2, 2, 12, 20, generator=generator) - 0.5
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        conv = nn.Conv2d(2, 3, 3, padding=1).requires_grad_(False)
    layers = (conv, nn.ReLU(), nn.MaxPool2d(3, 1, 1), _PlaceDependent(-1), _PlaceDependent(-2))
    for layer in layers:
        for pixels in (3, -3):
            yield layer, images, pixels, 4
    yield conv, images, 2, 0
    yield nn.Sequential(_PlaceDependent(-1), conv), images, 3, 5


def _difference(layer, images, pixels):
    return layer(images.roll(pixels, -1)) - layer(images).roll(pixels, -1)


def _inside(x, margin):
    height, width = x.shape[-2:]
    return x[..., margin : height - margin, margin : width - margin]


def _apart(a, b, margin):
    return _inside(a - b, margin).abs().max().item()


@shifts.bug(
    "this compares f(Tx) with f(x), which is invariance; equivariance compares f(Tx) with T f(x)"
)
def _(layer, images, pixels, margin):
    return _apart(layer(images.roll(pixels, -1)), layer(images), margin)


@shifts.bug(
    "the border is in it: what the shift carries around the edge meets other neighbours there; cut "
    "`margin` pixels off each side"
)
def _(layer, images, pixels, margin):
    return _difference(layer, images, pixels).abs().max().item()


@shifts.bug("the output is shifted the other way than the input")
def _(layer, images, pixels, margin):
    return _apart(layer(images.roll(pixels, -1)), layer(images).roll(-pixels, -1), margin)


@shifts.bug("the output is shifted along y and the input along x")
def _(layer, images, pixels, margin):
    return _apart(layer(images.roll(pixels, -1)), layer(images).roll(pixels, -2), margin)


@shifts.bug("this shifts along y; dims=-1 is x, to the right")
def _(layer, images, pixels, margin):
    return _apart(layer(images.roll(pixels, -2)), layer(images).roll(pixels, -2), margin)


@shifts.bug("roll without dims shifts the images as one long row; dims=-1 is x, to the right")
def _(layer, images, pixels, margin):
    return _apart(layer(images.roll(pixels)), layer(images).roll(pixels), margin)


@shifts.bug("this shifts to the left; roll by +pixels")
def _(layer, images, pixels, margin):
    return commutation_error(layer, images, -pixels, margin)


@shifts.bug("negative differences are lost: take abs() before max()")
def _(layer, images, pixels, margin):
    return _inside(_difference(layer, images, pixels), margin).max().item()


@shifts.bug("this is the mean difference; wanted the largest")
def _(layer, images, pixels, margin):
    return _inside(_difference(layer, images, pixels), margin).abs().mean().item()


@shifts.bug("this is the largest square; wanted the largest difference itself")
def _(layer, images, pixels, margin):
    return commutation_error(layer, images, pixels, margin) ** 2


@shifts.bug("it is shifted to the right where pixels is below 0, too: roll by pixels as it is")
def _(layer, images, pixels, margin):
    return commutation_error(layer, images, abs(pixels), margin)


@shifts.bug("this compares the sizes of the two: take abs() of the difference")
def _(layer, images, pixels, margin):
    first, last = layer(images.roll(pixels, -1)), layer(images).roll(pixels, -1)
    return _apart(first.abs(), last.abs(), margin)


@shifts.bug("this is the first channel alone; wanted the largest difference of all channels")
def _(layer, images, pixels, margin):
    return _inside(_difference(layer, images, pixels), margin)[:, 0].abs().max().item()


@shifts.bug("this is the first image alone; wanted the largest difference of all images")
def _(layer, images, pixels, margin):
    return commutation_error(layer, images[:1], pixels, margin)


@shifts.bug("the margin is cut off left and right alone; cut it off all four sides")
def _(layer, images, pixels, margin):
    apart = _difference(layer, images, pixels)
    return apart[..., margin : apart.shape[-1] - margin].abs().max().item()


@shifts.bug("the margin is cut off top and bottom alone; cut it off all four sides")
def _(layer, images, pixels, margin):
    apart = _difference(layer, images, pixels)
    return apart[..., margin : apart.shape[-2] - margin, :].abs().max().item()


@shifts.bug("the margin is cut off left and top alone; cut it off all four sides")
def _(layer, images, pixels, margin):
    return _difference(layer, images, pixels)[..., margin:, margin:].abs().max().item()


@shifts.bug("the width stands for the height: images need not be square")
def _(layer, images, pixels, margin):
    apart = _difference(layer, images, pixels)
    inside = slice(margin, apart.shape[-1] - margin)
    return apart[..., inside, inside].abs().max().item()


@shifts.bug("the height stands for the width: images need not be square")
def _(layer, images, pixels, margin):
    apart = _difference(layer, images, pixels)
    inside = slice(margin, apart.shape[-2] - margin)
    return apart[..., inside, inside].abs().max().item()


@shifts.bug(
    "with a margin of 0 nothing is left: -0 is 0, and 0:-0 is empty. Of n rows keep margin : n - "
    "margin"
)
def _(layer, images, pixels, margin):
    apart = _difference(layer, images, pixels)
    return apart[..., margin:-margin, margin:-margin].abs().max().item()


# ---------------------------------------------------------------- 1.2 accuracy against a motion
curve = Exercise(
    "1.2",
    hint="for each value: warp the images, take the argmax over classes, compare with the labels",
    tolerance=1e-4,
)


@curve.reference
def accuracy_curve(model, images, labels, warp, values):
    """Accuracy in percent of `model` on `warp(images, v)` for each of `values`."""
    with torch.no_grad():
        verdicts = [model(warp(images, v)).argmax(1) for v in values]  # each [N]
    return [100 * (v == labels).float().mean().item() for v in verdicts]


def _toy_classifier() -> nn.Module:
    """A small untrained network: its own verdicts on upright images are the labels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        hidden, last = nn.Linear(64, 32), nn.Linear(32, 4)
    # In training batch norm shifts every verdict by the others of its batch.
    return nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), nn.BatchNorm1d(32), last).eval()


def _blobs(model: nn.Module, n: int = 60) -> tuple:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(n, 1, 8, 8, generator=generator)
    with torch.no_grad():
        logits = model(images)
    first = logits.amax(1).argsort(descending=True)  # so that argmax() is in the first image
    labels = logits.argmax(1)[first]
    labels[[2, 9]] = (labels[[2, 9]] + 1) % 4  # all other upright images are read right
    return images[first], labels


@curve.cases
def _():
    model = _toy_classifier()
    images, labels = _blobs(model)
    yield model, images, labels, robustness.rotate, [0.0, 20.0, 90.0, 180.0]
    yield model, images[:7], labels[:7], robustness.shift, [3.0, 0.0, 1.0, 3.0]


@curve.bug("these are fractions; the curve is wanted in percent")
def _(model, images, labels, warp, values):
    return [a / 100 for a in accuracy_curve(model, images, labels, warp, values)]


@curve.bug(
    "each motion is applied to the images that the last one has already moved; start from the "
    "upright images every time"
)
def _(model, images, labels, warp, values):
    out = []
    for v in values:
        images = warp(images, v)
        out += accuracy_curve(model, images, labels, lambda x, _: x, [0.0])
    return out


@curve.bug("the network sees the upright images: pass it warp(images, value)")
def _(model, images, labels, warp, values):
    return accuracy_curve(model, images, labels, lambda x, _: x, values)


@curve.bug("this is the error rate; the accuracy is 100 minus it")
def _(model, images, labels, warp, values):
    return [100 - a for a in accuracy_curve(model, images, labels, warp, values)]


@curve.bug("the network is in training mode: leave it in eval(), as it came")
def _(model, images, labels, warp, values):
    return accuracy_curve(copy.deepcopy(model).train(), images, labels, warp, values)


@curve.bug("the values are sorted, and the curve with them: one number a value, as they come")
def _(model, images, labels, warp, values):
    return accuracy_curve(model, images, labels, warp, sorted(values))


@curve.bug("the motion is turned round: warp(images, value), not warp(images, -value)")
def _(model, images, labels, warp, values):
    return accuracy_curve(model, images, labels, warp, [-v for v in values])


@curve.bug("this counts the images that are right; wanted percent of them all")
def _(model, images, labels, warp, values):
    curve = accuracy_curve(model, images, labels, warp, values)
    return [a * len(labels) / 100 for a in curve]


@curve.bug("argmax() without a dimension is one number for all images: argmax(1) is one for each")
def _(model, images, labels, warp, values):
    with torch.no_grad():
        verdicts = [model(warp(images, v)).argmax() for v in values]
    return [100 * (v == labels).float().mean().item() for v in verdicts]


# ---------------------------------------------------------------- 1.3 bisection
turn = Exercise(
    "1.3",
    hint="halve [low, high] and keep the half whose ends still differ; return high",
    tolerance=1e-9,
)


@turn.reference
def smallest_angle(fooled, low, high, tolerance):
    """Smallest angle at which `fooled`, False at `low` and True at `high`, within tolerance.

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
    """Fooled from `threshold` on; tired of being asked after so many calls."""
    calls = 0

    def fooled(angle):
        nonlocal calls
        calls += 1
        if calls > MOST_CALLS:
            raise RuntimeError(f"fooled() was called {MOST_CALLS} times: the interval stays long")
        return angle >= threshold

    return fooled


@turn.cases
def _():
    for threshold in (37.3, 1.26, 88.0):
        yield _fooled_from(threshold), 0.0, 90.0, 0.01
    yield _fooled_from(13.3), 10.0, 21.0, 1.0
    yield _fooled_from(-7.7), -35.0, 61.0, 0.3


@turn.bug("this is the lower end, an angle at which it is not yet fooled")
def _(fooled, low, high, tolerance):
    while high - low > tolerance:
        middle = (low + high) / 2
        low, high = (low, middle) if fooled(middle) else (middle, high)
    return low


@turn.bug("the wrong half is kept: where the middle fools it, the answer is at or below the middle")
def _(fooled, low, high, tolerance):
    while high - low > tolerance:
        middle = (low + high) / 2
        low, high = (middle, high) if fooled(middle) else (low, middle)
    return high


@turn.bug("one step is not enough: go on until high - low <= tolerance")
def _(fooled, low, high, tolerance):
    middle = (low + high) / 2
    return middle if fooled(middle) else high


@turn.bug("the interval is halved until it is shorter than .01, whatever `tolerance` is")
def _(fooled, low, high, tolerance):
    return smallest_angle(fooled, low, high, 0.01)


@turn.bug("this begins at 0, whatever `low` is")
def _(fooled, low, high, tolerance):
    return smallest_angle(fooled, 0.0, high, tolerance)


@turn.bug("this ends at 90, whatever `high` is")
def _(fooled, low, high, tolerance):
    return smallest_angle(fooled, low, 90.0, tolerance)


@turn.bug("this is the width of the last interval; wanted its upper end")
def _(fooled, low, high, tolerance):
    while high - low > tolerance:
        middle = (low + high) / 2
        low, high = (low, middle) if fooled(middle) else (middle, high)
    return high - low


@turn.bug("this is the middle of the last interval; nobody has tried it, return high")
def _(fooled, low, high, tolerance):
    while high - low > tolerance:
        middle = (low + high) / 2
        low, high = (low, middle) if fooled(middle) else (middle, high)
    return (low + high) / 2


# ---------------------------------------------------------------- 1.4 a fair comparison
pair = Exercise("1.4", hint="base | {...} copies a dict and changes some entries", tolerance=1e-9)


@pair.reference
def fair_pair(base):
    """(twice the data, twice the width) of `base`, with the same number of steps."""
    data = base | {"limit": 2 * base["limit"], "epochs": base["epochs"] // 2}
    return data, base | {"width": 2 * base["width"]}


@pair.cases
def _():
    yield ({"limit": 4000, "epochs": 4, "width": 1.0, "lr": 1e-3},)
    yield ({"limit": 100, "epochs": 2, "width": 0.5, "lr": 1e-2},)


@pair.ask
def _(function, case):
    """The two it makes, and whether they train on whole digits for whole epochs."""
    made = function(*case)
    if not isinstance(made, tuple | list) or not all(isinstance(run, dict) for run in made):
        return made
    whole = {
        f"whole {name}": all(as_whole(run.get(key)) is not None for run in made)
        for name, key in (("epochs", "epochs"), ("numbers of digits", "limit"))
    }
    return {"runs": made, **whole}


@pair.bug(
    "twice the data for as many epochs is twice the steps, so two things changed; halve the epochs"
)
def _(base):
    return base | {"limit": 2 * base["limit"]}, base | {"width": 2 * base["width"]}


@pair.bug("the run with twice the data is wider too; change one thing at a time")
def _(base):
    data, wide = fair_pair(base)
    return data | {"width": wide["width"]}, wide


@pair.bug("the two are swapped: first twice the data, then twice the width")
def _(base):
    return fair_pair(base)[::-1]


@pair.bug("the wide run has half the epochs too, so it takes half the steps")
def _(base):
    data, wide = fair_pair(base)
    return data, wide | {"epochs": data["epochs"]}


@pair.bug("other entries are lost: base | {...} keeps what it does not change")
def _(base):
    return tuple({key: run[key] for key in ("limit", "epochs", "width")} for run in fair_pair(base))


@pair.bug("half the epochs are a float: divide with //")
def _(base):
    data, wide = fair_pair(base)
    return data | {"epochs": base["epochs"] / 2}, wide
