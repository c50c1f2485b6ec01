"""The exercises of notebook 06: references, the inputs they are tried on, known bugs."""

import numpy as np
import torch
from torch.nn import functional as F

from stn_course import exercises_06_sampler
from stn_course.exercises import Exercise


# ---------------------------------------------------------------- 6.1 the order of a flatten
def dense_kernel(weight, shape):
    """weight [out, C*h*w] of torch, shape (h, w, C) -> kernel [h*w*C, out] of Keras."""
    h, w, channels = shape
    maps = weight.reshape(-1, channels, h, w)  # one map a unit
    return maps.transpose(2, 3, 1, 0).reshape(h * w * channels, -1)


def _cases_61():
    for seed, out, shape in ((1, 3, (2, 4, 5)), (2, 2, (3, 2, 4)), (3, 4, (5, 1, 2))):
        yield np.random.default_rng(seed).random((out, int(np.prod(shape)))), shape


def _only_transposed(weight, shape):
    return weight.T


def _the_other_way(weight, shape):
    h, w, channels = shape
    return weight.reshape(-1, h, w, channels).transpose(3, 1, 2, 0).reshape(weight.shape[1], -1)


def _rows_for_columns(weight, shape):
    h, w, channels = shape
    maps = weight.reshape(-1, channels, h, w)
    return maps.transpose(3, 2, 1, 0).reshape(weight.shape[1], -1)


def _not_transposed(weight, shape):
    return dense_kernel(weight, shape).T


# ---------------------------------------------------------------- 6.3 the sabotaged layer
def first_wrong(layers):
    """layers: (name, torch's output, Keras's), in order -> the first name that differs.

    None if none does.  Maps are [B, C, h, w] and [B, h, w, C]; "flatten" follows a map.
    """
    for name, ours, theirs in layers:
        if ours.ndim == 4:
            shape = ours.shape  # (B, C, h, w)
            theirs = theirs.transpose(0, 3, 1, 2)
        elif name == "flatten":
            batch, channels, h, w = shape
            theirs = theirs.reshape(batch, h, w, channels)
            theirs = theirs.transpose(0, 3, 1, 2).reshape(ours.shape)
        if np.abs(ours - theirs).max() > 1e-4 * np.abs(ours).max():
            return name
    return None


NAMES = ("conv", "norm", "relu", "pool", "flatten", "dense", "relu 2", "logits")
SABOTAGE = (None, "conv", "norm", "dense", "logits", "relu 2", "flatten", "channels")


def _network(x, sabotage=None) -> list[np.ndarray]:
    """Every layer's output of a small network; one of them does not do what it should."""
    dice = torch.Generator().manual_seed(6)

    def some(*shape):
        return torch.randn(*shape, generator=dice) / 3

    kernel, dense, last = some(4, 2, 3, 3), some(6, 48), 3 * some(5, 6)
    mean, variance = some(4), 0.2 + some(4).square()
    order = [1, 0, 2, 3] if sabotage == "channels" else [0, 1, 2, 3]
    steps = [F.conv2d(x, kernel.mT if sabotage == "conv" else kernel[order])]
    eps = 1e-3 if sabotage == "norm" else 1e-5  # Keras's own and torch's own
    steps.append(F.batch_norm(steps[-1], mean, variance, eps=eps))
    steps.append(F.relu(steps[-1]))
    steps.append(F.max_pool2d(steps[-1], 2))  # [B, 4, 3, 4]
    steps.append(steps[-1].flatten(1))
    if sabotage == "dense":  # its inputs in the order of the other framework
        dense = dense.view(6, 4, 12).transpose(1, 2).reshape(6, 48)
    steps.append(F.linear(steps[-1], dense))
    steps.append(F.elu(steps[-1]) if sabotage == "relu 2" else F.relu(steps[-1]))
    steps.append(F.linear(steps[-1], last, torch.ones(5) if sabotage == "logits" else None))
    return steps


def _cases_63():
    x = torch.rand(3, 2, 8, 10, generator=torch.Generator().manual_seed(7))
    dice = np.random.default_rng(8)
    for sabotage in SABOTAGE:
        layers = []
        for name, a, b in zip(NAMES, _network(x), _network(x, sabotage), strict=True):
            if name == "flatten":
                b = layers[-1][2]
                b = (b.transpose(0, 3, 1, 2) if sabotage == "flatten" else b).reshape(len(x), -1)
            else:
                b = (b.permute(0, 2, 3, 1) if b.ndim == 4 else b).numpy()
                if name != "conv":  # its sums happen to be taken in one order
                    b = b + 1e-6 * np.abs(b).max() * dice.standard_normal(b.shape)
            layers.append((name, a.numpy(), b.astype(np.float32)))
        yield (layers,)


def _in_one_order(layers):
    """The same, with Keras's outputs in torch's order."""
    found, shape = [], None
    for name, ours, theirs in layers:
        if ours.ndim == 4:
            shape, theirs = ours.shape, theirs.transpose(0, 3, 1, 2)
        elif name == "flatten":
            batch, channels, h, w = shape
            theirs = theirs.reshape(batch, h, w, channels).transpose(0, 3, 1, 2)
        found.append((name, ours, theirs.reshape(ours.shape)))
    return found


def _the_worst(layers):
    gaps = {name: np.abs(a - b).max() for name, a, b in _in_one_order(layers)}
    name = max(gaps, key=gaps.get)
    return name if gaps[name] > 1e-4 else None


def _bit_for_bit(layers):
    return next((name for name, a, b in _in_one_order(layers) if (a != b).any()), None)


def _as_they_lie(layers):
    for name, a, b in layers:
        if np.abs(a - b.reshape(a.shape)).max() > 1e-4 * np.abs(a).max():
            return name
    return None


def _blames_the_flatten(layers):
    for name, a, b in layers:
        b = b.transpose(0, 3, 1, 2) if a.ndim == 4 else b
        if np.abs(a - b).max() > 1e-4 * np.abs(a).max():
            return name
    return None


def _generous(layers):
    for name, a, b in _in_one_order(layers):
        if np.abs(a - b).max() > 0.05 * np.abs(a).max():
            return name
    return None


def _sorted(layers):
    for name, a, b in layers:
        a, b = np.sort(a.ravel()), np.sort(b.ravel())
        if np.abs(a - b).max() > 1e-4 * np.abs(a).max():
            return name
    return None


def _never_the_flatten(layers):
    return first_wrong([layer for layer in layers if layer[0] != "flatten"])


def _the_last(layers):
    wrong = [n for n, a, b in _in_one_order(layers) if np.abs(a - b).max() > 1e-4 * np.abs(a).max()]
    return wrong[-1] if wrong else None


EXERCISES = {
    "6.1": Exercise(
        dense_kernel,
        _cases_61,
        {
            "transposed, but the inputs are still in torch's order, channel by channel; Keras "
            "flattens pixel by pixel": _only_transposed,
            "the way back: torch's numbers lie as [out, C, h, w], not as [out, h, w, C]; reshape "
            "to that first": _the_other_way,
            "rows and columns are swapped: Keras flattens row by row, (h, w, C)": _rows_for_columns,
            "the inputs are in the right order, but the kernel is [out, in]; Keras has [in, "
            "out]": _not_transposed,
        },
        "reshape to [out, C, h, w], bring the axes into the order h, w, C, out, flatten the "
        "first three",
        tolerance=1e-12,
    ),
    "6.2": exercises_06_sampler.EXERCISE,
    "6.3": Exercise(
        first_wrong,
        _cases_63,
        {
            "this is the layer with the largest difference: errors grow on their way, look for "
            "the first": _the_worst,
            "bit for bit hardly any layer agrees: sums are taken in another order; allow for "
            "rounding, say 1e-4 of the layer's largest value (not of each number: sums near 0 are "
            "off by more than that)": _bit_for_bit,
            "maps are compared as they lie in memory: bring [B, h, w, C] to [B, C, h, w] "
            "first": _as_they_lie,
            "flatten is blamed, and it only counts in another order; put its numbers into one "
            "order, too": _blames_the_flatten,
            "so generous a tolerance overlooks a batch norm with the other framework's "
            "epsilon": _generous,
            "numbers are compared in the order of their size: two channels that are exchanged are "
            "not seen": _sorted,
            "flatten is passed over: it can be wrong as well": _never_the_flatten,
            "this is the last layer that differs; the culprit is the first": _the_last,
        },
        "in order of the layers: bring Keras's output into torch's order, and compare the largest "
        "difference with 1e-4 of the largest value",
    ),
}
