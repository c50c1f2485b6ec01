"""The exercises of notebook 03: references, the inputs they are tried on, known bugs."""

from numbers import Integral, Real

import torch
import torch.nn.functional as F
from torch import nn

from stn_course import geometry
from stn_course.lessons.checking import Exercise

# ---------------------------------------------------------------- 3.1 the head
head = Exercise(
    "3.1",
    hint="zeros in linear.weight, 1 0 0 0 1 0 in linear.bias, both under torch.no_grad() or by "
    "nn.init; then theta is linear(features), seen as [B, 2, 3]",
    changes=("linear",),
)


@head.reference
def identity_head(linear, features):
    """linear nn.Linear(F, 6), features [B, F] -> theta [B, 2, 3], untrained the identity."""
    nn.init.zeros_(linear.weight)
    with torch.no_grad():
        linear.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
    return linear(features).view(-1, 2, 3)


@head.cases
def _():
    for seed, width in ((0, 20), (1, 48)):
        generator = torch.Generator().manual_seed(seed)
        linear = nn.Linear(width, 6)
        with torch.no_grad():
            linear.weight.copy_(torch.rand(6, width, generator=generator) - 0.5)
            linear.bias.copy_(torch.rand(6, generator=generator) - 0.5)
        yield linear, torch.rand(4, width, generator=generator).requires_grad_()


@head.ask
def _(function, case):
    """theta, what a loss of it says to the layers, and what the layer says when it is asked again.

    Without the one it would never learn; and in a network its numbers are set once.
    """
    linear, features = case
    theta = function(linear, features)
    names = ("gradient of the weights", "gradient of the bias", "gradient of the features")
    if not hasattr(theta, "shape"):
        return theta
    if not getattr(theta, "requires_grad", False):
        return {"theta": theta, **dict.fromkeys(names, "theta was detached")}
    # Weights that differ: what is averaged over the batch, or exchanged, moves the gradients.
    weigh = torch.linspace(1, 2, theta.numel()).view_as(theta)
    loss, at = (weigh * (theta.square() + theta)).sum(), (linear.weight, linear.bias, features)
    told = [
        torch.autograd.grad(loss, x, retain_graph=True, allow_unused=True)[0]
        if x.requires_grad
        else "frozen"
        for x in at
    ]
    found = {"theta": theta} | {
        name: "none" if g is None else g for name, g in zip(names, told, strict=True)
    }
    if all(map(torch.is_tensor, told)):
        found["the layer, asked again"] = linear(features).detach()
    return found


def _with_bias(linear, features, bias, weight=0.0):
    with torch.no_grad():
        linear.weight.mul_(weight)
        linear.bias.copy_(torch.tensor(bias))
    return linear(features).view(-1, 2, 3)


@head.bug(
    "theta is all zeros: every output pixel reads the middle of the image. The identity is 1 0 0 / "
    "0 1 0"
)
def _(linear, features):
    return _with_bias(linear, features, [0.0] * 6)


@head.bug(
    "the bias is right, but the weights still speak: each digit starts in another pose; set them "
    "to 0"
)
def _(linear, features):
    return _with_bias(linear, features, [1.0, 0, 0, 0, 1, 0], weight=1.0)


@head.bug("the bias is 1 0 / 0 1 / 0 0: theta is [2, 3], row by row 1 0 0, 0 1 0")
def _(linear, features):
    return _with_bias(linear, features, [1.0, 0, 0, 1, 0, 0])


@head.bug("every entry is 1: the identity has ones on its diagonal alone")
def _(linear, features):
    return _with_bias(linear, features, [1.0] * 6)


@head.bug("tanh squeezes the identity's 1 to 0.76: the box is cut from the start")
def _(linear, features):
    return torch.tanh(identity_head(linear, features))


@head.bug(
    "the numbers are right, but no gradient can flow back through the tensor: it was detached on "
    "the way"
)
def _(linear, features):
    return identity_head(linear, features).detach()


@head.bug(
    "theta does not come from the layer, so its bias gets no gradient and never learns: return "
    "linear(features), seen as [B, 2, 3]"
)
def _(linear, features):
    return geometry.identity(len(features)).requires_grad_()


@head.bug(
    "no gradient gets through to what stands before the layer: give linear the features as they "
    "are, not detached"
)
def _(linear, features):
    return identity_head(linear, features.detach())


@head.bug("the layer is frozen: its numbers begin at these, and go on learning")
def _(linear, features):
    return identity_head(linear.requires_grad_(False), features)


@head.bug("theta comes from another layer, and this one never learns: set the numbers of `linear`")
def _(linear, features):
    return identity_head(nn.Linear(linear.in_features, 6), features)


@head.bug(
    "one theta for the whole batch: give linear the features of each image, not their mean or sum"
)
def _(linear, features):
    return identity_head(linear, features.mean(0, keepdim=True).expand_as(features))


@head.bug(
    "theta is the identity, but the layer would not say so again: its numbers are set once, 1 0 0 "
    "0 1 0 in linear.bias, and stay"
)
def _(linear, features):
    theta = identity_head(linear, features)
    linear.bias.data.zero_()
    return theta


@head.bug("theta is [B, 6] still: see it as [B, 2, 3], with view(-1, 2, 3)")
def _(linear, features):
    return identity_head(linear, features).flatten(1)


@head.bug(
    "theta is the bias alone, so the weights get no gradient: every image would have one theta for "
    "ever; return linear(features)"
)
def _(linear, features):
    identity_head(linear, features)
    return linear.bias.view(1, 2, 3).repeat(len(features), 1, 1)


# ---------------------------------------------------------------- 3.2 a warp that drops in
drop_in = Exercise(
    "3.2",
    hint="the background is the median of the one-pixel border, each corner counted once; "
    "grid_sample puts 0 outside, so subtract the background before, and add it after",
    tolerance=1e-9,
)


@drop_in.reference
def warp(images, theta, size):
    """images [B, C, h, w], theta [B, 2, 3], size (H, W) -> [B, C, H, W], paper outside."""
    sides = images[..., 1:-1, 0], images[..., 1:-1, -1]
    border = torch.cat([images[..., 0, :], images[..., -1, :], *sides], -1)
    paper = border.median(-1).values[..., None, None]  # [B, C, 1, 1]
    grid = F.affine_grid(theta, (*images.shape[:2], *size), align_corners=False)
    return F.grid_sample(images - paper, grid, align_corners=False) + paper


@drop_in.cases
def _():
    options = {"generator": torch.Generator().manual_seed(5), "dtype": torch.float64}
    for size, shape in (((5, 7), (2, 1, 6, 6)), ((6, 6), (2, 1, 6, 6)), ((4, 6), (2, 3, 5, 6))):
        images = torch.rand(shape, **options) - 0.4
        near = geometry.identity(2, dtype=torch.float64) + 0.8 * torch.rand(2, 2, 3, **options)
        yield images, 1.5 * near - 0.6, size


@drop_in.gradients
def _(images, theta, size):
    # Without the border: whether the background is learnt with the images is left open.
    return {"images": images[..., 1:-1, 1:-1], "theta": theta}


def _sampled(images, theta, size, corners=False, padding="zeros", mode="bilinear"):
    grid = F.affine_grid(theta, (*images.shape[:2], *size), align_corners=corners)
    return F.grid_sample(images, grid, mode, padding, align_corners=corners)


@drop_in.bug(
    "outside is 0, and 0 need not be the background of these images: subtract it, read, and add it "
    "again"
)
def _(images, theta, size):
    return _sampled(images, theta, size)


@drop_in.bug(
    "the border is smeared outwards; wanted the background, one value an image and channel"
)
def _(images, theta, size):
    return _sampled(images, theta, size, padding="border")


def _border(images, corners=1):
    """The one-pixel border, with the corners so many times.  # [B, C, n]"""
    inner = slice(1, -1) if corners == 1 else slice(None)
    sides = images[..., inner, 0], images[..., inner, -1]
    return torch.cat([images[..., 0, :], images[..., -1, :], *sides], -1)


def _paper(images):
    return _border(images).median(-1).values[..., None, None]


def _with_paper(images, theta, size, paper, **options):
    paper = paper[..., None, None]
    return _sampled(images - paper, theta, size, **options) + paper


@drop_in.bug("the background is the border's mean; wanted its median")
def _(images, theta, size):
    return _with_paper(images, theta, size, _border(images).mean(-1))


@drop_in.bug("the corners are counted twice in the border: once each, 2 (h + w) - 4 pixels")
def _(images, theta, size):
    return _with_paper(images, theta, size, _border(images, corners=2).median(-1).values)


@drop_in.bug(
    "the middle two of an even number are averaged: Tensor.median takes the lower one of them"
)
def _(images, theta, size):
    return _with_paper(images, theta, size, _border(images).quantile(0.5, -1))


@drop_in.bug("the background is the median of the whole image; wanted that of its border")
def _(images, theta, size):
    return _with_paper(images, theta, size, images.flatten(2).median(-1).values)


@drop_in.bug("the background is the corner pixel; wanted the median of the border")
def _(images, theta, size):
    return _with_paper(images, theta, size, images[..., 0, 0])


@drop_in.bug("one background for the whole batch; each image has its own")
def _(images, theta, size):
    paper = _paper(images.transpose(0, 1).flatten(1, 2)[None])[:, :, 0, 0]
    return _with_paper(images, theta, size, paper)


@drop_in.bug("this reads the nearest pixel: no slope is left for theta; wanted bilinear")
def _(images, theta, size):
    return _with_paper(images, theta, size, _border(images).median(-1).values, mode="nearest")


@drop_in.bug("theta is transposed: x is a x + b y + c with a, b, c the first row of theta")
def _(images, theta, size):
    return warp(images, torch.cat([theta[..., :2].mT, theta[..., 2:]], -1), size)


@drop_in.bug("theta [2, 3] was reshaped to [3, 2], which is no transpose: theta.mT turns it over")
def _(images, theta, size):
    return warp(images, theta.reshape(-1, 3, 2).mT, size)


@drop_in.bug("x and y are swapped: the last axis of a grid is (x, y), x first")
def _(images, theta, size):
    return warp(images, theta.flip(1), size)


@drop_in.bug("the background was added and never subtracted: make it 0 before you read")
def _(images, theta, size):
    return _sampled(images, theta, size) + _paper(images)


@drop_in.bug("one background for all channels of an image; each has its own")
def _(images, theta, size):
    paper = _paper(images.flatten(1, 2)[:, None])
    return _sampled(images - paper, theta, size) + paper


@drop_in.bug("-1 and 1 are meant as centres (align_corners=True); wanted edges")
def _(images, theta, size):
    paper = _paper(images)
    return _sampled(images - paper, theta, size, corners=True) + paper


@drop_in.bug("the grid is made with one meaning of align_corners and read with the other")
def _(images, theta, size):
    paper = _paper(images)
    grid = F.affine_grid(theta, (*images.shape[:2], *size), align_corners=True)
    return F.grid_sample(images - paper, grid, align_corners=False) + paper


@drop_in.bug("the background was subtracted and never added again")
def _(images, theta, size):
    return warp(images, theta, size) - _paper(images)


@drop_in.bug("the output has the input's size; wanted size")
def _(images, theta, size):
    return warp(images, theta, tuple(images.shape[2:]))


@drop_in.bug("this is the forward map: theta says where to read, do not invert it")
def _(images, theta, size):
    return warp(images, geometry.invert(theta), size)


# ---------------------------------------------------------------- 3.3 a fair rival
rival = Exercise(
    "3.3",
    hint="count grows with the width: try widths, and keep the one with the smallest "
    "abs(count(width) - target); of two that are as near, any",
)


@rival.reference
def matched_width(count, target):
    """count(width) -> parameters; -> the width whose count is nearest to target."""
    return min(range(1, 2000), key=lambda width: abs(count(width) - target))


def _dense(inputs, classes=10):
    """Parameters of Flatten, Linear(inputs, width), ReLU, Linear(width, classes)."""
    return lambda width: (inputs + 1) * width + (width + 1) * classes


def _with_a_transformer(inputs, classes=10):
    """The same with a dense localiser as wide as the classifier before it."""
    return lambda width: _dense(inputs, classes)(width) + _dense(inputs, 4)(width)


@rival.cases
def _():
    yield _dense(784), 101_700
    yield _dense(784), 105_038
    yield _with_a_transformer(784), 46_054
    yield _with_a_transformer(1600), 400_000


@rival.ask
def _(function, case):
    """The width, and what it is if it is no whole number: a layer takes no other."""
    width = function(*case)
    whole = isinstance(width, Integral) or not isinstance(width, Real | torch.Tensor)
    return width if whole else {"a width": width, "an int": False}


@rival.bug("this is the right width, but no int, and a layer's width is one: int(...)")
def _(count, target):
    return float(matched_width(count, target))


@rival.bug("this is the count; wanted the width that has it")
def _(count, target):
    return count(matched_width(count, target))


@rival.bug("this is by how much the nearest count is off; wanted the width that has it")
def _(count, target):
    return abs(count(matched_width(count, target)) - target)


@rival.bug("this counts from 0: the first width that you tried is 1")
def _(count, target):
    return matched_width(count, target) - 1


@rival.bug("this is the largest width that stays below the target; the next one can be nearer")
def _(count, target):
    return max(width for width in range(1, 2000) if count(width) <= target)


@rival.bug("this is the smallest width that reaches the target; the one before can be nearer")
def _(count, target):
    return min(width for width in range(1, 2000) if count(width) >= target)


@rival.bug(
    "the count is not proportional to the width: biases and the last layer's own count do not grow "
    "with it"
)
def _(count, target):
    return round(target / count(1))


# ---------------------------------------------------------------- 3.4 upright and centred
upright = Exercise(
    "3.4",
    hint="geometry.compose(true, found) is [B, 2, 3]; subtract the identity, square, sum over the "
    "last two axes, mean over the batch; a tensor, not .item(): it is to be differentiated",
    tolerance=1e-9,
)


@upright.reference
def pose_loss(true, found):
    """true, found [B, 2, 3] -> the mean squared distance of both together from the identity."""
    both = geometry.compose(true, found)  # digit -> distorted -> what comes out
    off = both - torch.eye(2, 3, dtype=both.dtype)
    return off.square().sum((1, 2)).mean()


@upright.cases
def _():
    generator = torch.Generator().manual_seed(9)
    options = {"generator": generator, "dtype": torch.float64}
    for n in (1, 4):
        true = geometry.identity(n, dtype=torch.float64) + torch.rand(n, 2, 3, **options) - 0.5
        found = geometry.identity(n, dtype=torch.float64) + torch.rand(n, 2, 3, **options) - 0.5
        yield true, found


@upright.gradients
def _(true, found):
    return {"found": found}


def _eye(like):
    return torch.eye(2, 3).to(like)


@upright.bug("the order is exchanged: the digit was warped by true first, so compose(true, found)")
def _(true, found):
    return (geometry.compose(found, true) - _eye(found)).square().sum((1, 2)).mean()


@upright.bug("this wants found to be the distortion again; it should undo it")
def _(true, found):
    return (found - true).square().sum((1, 2)).mean()


@upright.bug(
    "this compares found with the inverse of true: near, but a miss counts less where the digit "
    "was drawn large. Compose, and compare with the identity"
)
def _(true, found):
    return (found - geometry.invert(true)).square().sum((1, 2)).mean()


@upright.bug("this grows with the batch: sum over the six entries, mean over the digits")
def _(true, found):
    return (geometry.compose(true, found) - _eye(found)).square().sum()


@upright.bug("this averages over the six entries too: sum over them, mean over the digits")
def _(true, found):
    return (geometry.compose(true, found) - _eye(found)).square().mean()


@upright.bug("this is the distance; wanted its square")
def _(true, found):
    return (geometry.compose(true, found) - _eye(found)).square().sum((1, 2)).sqrt().mean()


@upright.bug("this is the root of the mean; wanted the mean of the squares itself")
def _(true, found):
    return pose_loss(true, found).sqrt()


@upright.bug("the shift is left out: theta has six entries")
def _(true, found):
    both = geometry.compose(true, found) - _eye(found)
    return both[..., :2].square().sum((1, 2)).mean()


@upright.bug("this is one number a digit: take the mean over the batch")
def _(true, found):
    return (geometry.compose(true, found) - _eye(found)).square().sum((1, 2))


@upright.bug("this is the distance from 0; subtract the identity")
def _(true, found):
    return geometry.compose(true, found).square().sum((1, 2)).mean()


@upright.bug("this wants found itself to be the identity; both together should be")
def _(true, found):
    return (found - _eye(found)).square().sum((1, 2)).mean()


@upright.bug("these are absolute differences; wanted squares")
def _(true, found):
    return (geometry.compose(true, found) - _eye(found)).abs().sum((1, 2)).mean()


# ---------------------------------------------------------------- 3.5 name the failure
unknown = Exercise(
    "3.5",
    hint="look at where each entry starts, how far it goes, and whether anything moves at all",
)


# The three unknown runs: which exhibit of the museum, and its seed.
UNKNOWN = {
    "A": ("untransformed input", 4),
    "B": ("rate too high", 4),
    "C": ("tanh on theta", 4),
}


@unknown.reference
def failure_of(run):
    """run "A", "B" or "C" -> the name of its failure, as the museum calls it."""
    return {
        "A": "untransformed input",  # theta never leaves the identity
        "B": "rate too high",  # theta goes to 10 and beyond, digit or no digit
        "C": "tanh on theta",  # starts at .76 on the diagonal, and no entry passes 1
    }[run]


@unknown.cases
def _():
    return [("A",), ("B",), ("C",)]


@unknown.bug("A and C are exchanged: in which of them does theta not move at all?")
def _(run):
    return {"A": "tanh on theta", "B": "rate too high", "C": "untransformed input"}[run]


@unknown.bug("B and C are exchanged: look at the numbers on the vertical axis")
def _(run):
    return {"A": "untransformed input", "B": "tanh on theta", "C": "rate too high"}[run]


@unknown.bug("A and B are exchanged: a rate that is too high moves theta")
def _(run):
    return {"A": "rate too high", "B": "untransformed input", "C": "tanh on theta"}[run]


@unknown.bug("all three are exchanged: begin with the one whose theta does not move at all")
def _(run):
    return {"A": "rate too high", "B": "tanh on theta", "C": "untransformed input"}[run]


@unknown.bug("all three are exchanged: begin with the one whose theta goes beyond 10")
def _(run):
    return {"A": "tanh on theta", "B": "untransformed input", "C": "rate too high"}[run]


@unknown.bug(
    "C: its digits all start from one and the same theta, only it is not the identity. What makes "
    ".76 of 1?"
)
def _(run):
    return failure_of(run) if run != "C" else "no identity start"


@unknown.bug("C: its box is three quarters of the picture, not a tenth. What makes .76 of 1?")
def _(run):
    return failure_of(run) if run != "C" else "crop collapse"
