"""The exercises of notebook 03: references, the inputs they are tried on, known bugs."""

import torch
import torch.nn.functional as F
from torch import nn

from stn_course import exercises_03_pose, geometry
from stn_course.exercises import Exercise


# ---------------------------------------------------------------- 3.1 the head
def identity_head(linear, features):
    """linear nn.Linear(F, 6), features [B, F] -> theta [B, 2, 3], untrained the identity."""
    nn.init.zeros_(linear.weight)
    with torch.no_grad():
        linear.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
    return linear(features).view(-1, 2, 3)


def _cases_31():
    for seed, width in ((0, 20), (1, 48)):
        dice = torch.Generator().manual_seed(seed)
        linear = nn.Linear(width, 6)
        with torch.no_grad():
            linear.weight.copy_(torch.rand(6, width, generator=dice) - 0.5)
            linear.bias.copy_(torch.rand(6, generator=dice) - 0.5)
        yield linear, torch.rand(4, width, generator=dice)


def _theta_and_who_learns(function, case):
    """theta, and what a loss of it says to the layer: without that it would never learn."""
    linear, _ = case
    theta = function(*case)
    if not isinstance(theta, torch.Tensor) or not theta.requires_grad:
        return theta
    loss = theta.square().sum() + theta.sum()
    told = torch.autograd.grad(loss, [linear.weight, linear.bias], allow_unused=True)
    names = ("gradient of the weights", "gradient of the bias")
    return {"theta": theta} | {
        name: "none" if g is None else g for name, g in zip(names, told, strict=True)
    }


def _leaf(linear, features):
    return geometry.identity(len(features)).requires_grad_()


def _bias_alone(linear, features):
    identity_head(linear, features)
    return linear.bias.view(1, 2, 3).repeat(len(features), 1, 1)


def _with_bias(linear, features, bias, weight=0.0):
    with torch.no_grad():
        linear.weight.mul_(weight)
        linear.bias.copy_(torch.tensor(bias))
    return linear(features).view(-1, 2, 3)


def _all_zero(linear, features):
    return _with_bias(linear, features, [0.0] * 6)


def _weights_left(linear, features):
    return _with_bias(linear, features, [1.0, 0, 0, 0, 1, 0], weight=1.0)


def _column_order(linear, features):
    return _with_bias(linear, features, [1.0, 0, 0, 1, 0, 0])


def _ones(linear, features):
    return _with_bias(linear, features, [1.0] * 6)


def _tanh(linear, features):
    return torch.tanh(identity_head(linear, features))


def _constant(linear, features):
    return geometry.identity(len(features))


# ---------------------------------------------------------------- 3.2 a warp that drops in
def warp(images, theta, size):
    """images [B, C, h, w], theta [B, 2, 3], size (H, W) -> [B, C, H, W], paper outside."""
    sides = images[..., 1:-1, 0], images[..., 1:-1, -1]
    border = torch.cat([images[..., 0, :], images[..., -1, :], *sides], -1)
    paper = border.median(-1).values[..., None, None]  # [B, C, 1, 1]
    grid = F.affine_grid(theta, (*images.shape[:2], *size), align_corners=False)
    return F.grid_sample(images - paper, grid, align_corners=False) + paper


def _cases_32():
    options = {"generator": torch.Generator().manual_seed(5), "dtype": torch.float64}
    for size, shape in (((5, 7), (2, 1, 6, 6)), ((6, 6), (2, 1, 6, 6)), ((4, 6), (2, 3, 5, 6))):
        images = torch.rand(shape, **options) - 0.4
        near = geometry.identity(2, dtype=torch.float64) + 0.8 * torch.rand(2, 2, 3, **options)
        yield images, 1.5 * near - 0.6, size


def _sampled(images, theta, size, corners=False, padding="zeros"):
    grid = F.affine_grid(theta, (*images.shape[:2], *size), align_corners=corners)
    return F.grid_sample(images, grid, align_corners=corners, padding_mode=padding)


def _zeros_outside(images, theta, size):
    return _sampled(images, theta, size)


def _border_outside(images, theta, size):
    return _sampled(images, theta, size, padding="border")


def _paper(images):
    sides = images[..., 1:-1, 0], images[..., 1:-1, -1]
    border = torch.cat([images[..., 0, :], images[..., -1, :], *sides], -1)
    return border.median(-1).values[..., None, None]


def _one_for_all_channels(images, theta, size):
    paper = _paper(images.flatten(1, 2)[:, None])
    return _sampled(images - paper, theta, size) + paper


def _corners_aligned(images, theta, size):
    paper = _paper(images)
    return _sampled(images - paper, theta, size, corners=True) + paper


def _two_meanings(images, theta, size):
    paper = _paper(images)
    grid = F.affine_grid(theta, (*images.shape[:2], *size), align_corners=True)
    return F.grid_sample(images - paper, grid, align_corners=False) + paper


def _never_added_back(images, theta, size):
    return warp(images, theta, size) - _paper(images)


def _of_the_input_size(images, theta, size):
    return warp(images, theta, tuple(images.shape[2:]))


def _forward_map(images, theta, size):
    return warp(images, geometry.invert(theta), size)


# ---------------------------------------------------------------- 3.3 a fair rival
def matched_width(count, target):
    """count(width) -> parameters; -> the width whose count is nearest to target."""
    return min(range(1, 2000), key=lambda width: abs(count(width) - target))


def _dense(inputs, classes=10):
    """Parameters of Flatten, Linear(inputs, width), ReLU, Linear(width, classes)."""
    return lambda width: (inputs + 1) * width + (width + 1) * classes


def _with_a_transformer(inputs, classes=10):
    """The same with a dense localiser as wide as the classifier before it."""
    return lambda width: _dense(inputs, classes)(width) + _dense(inputs, 4)(width)


def _cases_33():
    yield _dense(784), 101_700
    yield _dense(784), 105_038
    yield _with_a_transformer(784), 46_054
    yield _with_a_transformer(1600), 400_000


def _from_below(count, target):
    return max(width for width in range(1, 2000) if count(width) <= target)


def _from_above(count, target):
    return min(width for width in range(1, 2000) if count(width) >= target)


def _divided(count, target):
    return round(target / count(1))


EXERCISES = {
    "3.1": Exercise(
        identity_head,
        _cases_31,
        {
            "theta is all zeros: every output pixel reads the middle of the image. The identity "
            "is 1 0 0 / 0 1 0": _all_zero,
            "the bias is right, but the weights still speak: each digit starts in another pose; "
            "set them to 0": _weights_left,
            "the bias is 1 0 / 0 1 / 0 0: theta is [2, 3], row by row 1 0 0, 0 1 0": (
                _column_order
            ),
            "every entry is 1: the identity has ones on its diagonal alone": _ones,
            "tanh squeezes the identity's 1 to 0.76: the box is cut from the start": _tanh,
            "the numbers are right, but no gradient can flow back through the tensor: it was "
            "detached on the way": _constant,
            "theta does not come from the layer, so its bias gets no gradient and never learns: "
            "return linear(features), seen as [B, 2, 3]": _leaf,
            "theta is the bias alone, so the weights get no gradient: every image would have one "
            "theta for ever; return linear(features)": _bias_alone,
        },
        "zeros in linear.weight, 1 0 0 0 1 0 in linear.bias, both under torch.no_grad() or by "
        "nn.init; then theta is linear(features), seen as [B, 2, 3]",
        ask=_theta_and_who_learns,
    ),
    "3.2": Exercise(
        warp,
        _cases_32,
        {
            "outside is 0, and 0 need not be the background of these images: subtract it, read, "
            "and add it again": _zeros_outside,
            "the border is smeared outwards; wanted the background, one value an image and "
            "channel": _border_outside,
            "one background for all channels of an image; each has its own": _one_for_all_channels,
            "-1 and 1 are meant as centres (align_corners=True); wanted edges": _corners_aligned,
            "the grid is made with one meaning of align_corners and read with the other": (
                _two_meanings
            ),
            "the background was subtracted and never added again": _never_added_back,
            "the output has the input's size; wanted size": _of_the_input_size,
            "this is the forward map: theta says where to read, do not invert it": _forward_map,
        },
        "the background is the median of the one-pixel border, each corner counted once; "
        "grid_sample puts 0 outside, so make the background 0 first",
        tolerance=1e-9,
    ),
    **exercises_03_pose.DIAGNOSIS,
    "3.3": Exercise(
        matched_width,
        _cases_33,
        {
            "this is the largest width that stays below the target; the next one can be nearer": (
                _from_below
            ),
            "this is the smallest width that reaches the target; the one before can be nearer": (
                _from_above
            ),
            "the count is not proportional to the width: biases and the last layer's own count "
            "do not grow with it": _divided,
        },
        "count grows with the width: try widths, and keep the one with the smallest "
        "abs(count(width) - target)",
    ),
    **exercises_03_pose.POSE,
}
