"""The exercises of notebook 03: references, the inputs they are tried on, known bugs."""

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
        yield linear, torch.rand(4, width, generator=generator)


@head.ask
def _(function, case):
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
    return geometry.identity(len(features))


@head.bug(
    "theta does not come from the layer, so its bias gets no gradient and never learns: return "
    "linear(features), seen as [B, 2, 3]"
)
def _(linear, features):
    return geometry.identity(len(features)).requires_grad_()


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
    "grid_sample puts 0 outside, so make the background 0 first",
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


def _sampled(images, theta, size, corners=False, padding="zeros"):
    grid = F.affine_grid(theta, (*images.shape[:2], *size), align_corners=corners)
    return F.grid_sample(images, grid, align_corners=corners, padding_mode=padding)


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


def _paper(images):
    sides = images[..., 1:-1, 0], images[..., 1:-1, -1]
    border = torch.cat([images[..., 0, :], images[..., -1, :], *sides], -1)
    return border.median(-1).values[..., None, None]


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
    "abs(count(width) - target)",
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
    "last two axes, mean over the batch",
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
        yield true, found.requires_grad_()


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
def diagnosis(run):
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


@unknown.bug(
    "C: its digits all start from one and the same theta, only it is not the identity. What makes "
    ".76 of 1?"
)
def _(run):
    return diagnosis(run) if run != "C" else "no identity start"


@unknown.bug("C: its box is three quarters of the picture, not a tenth. What makes .76 of 1?")
def _(run):
    return diagnosis(run) if run != "C" else "crop collapse"
