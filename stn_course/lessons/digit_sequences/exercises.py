"""The exercises of notebook 04: references, the inputs they are tried on, known bugs."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from stn_course import geometry, sampling
from stn_course.lessons.checking import Exercise, uniform


def _thetas(seed: int, batch: int, steps: int) -> torch.Tensor:
    unit = torch.tensor([[1.0, 0, 0], [0, 1, 0]], dtype=torch.float64)
    return 0.5 * unit + 0.4 * uniform(seed, batch, steps, 2, 3) - 0.2


def _transposed(thetas: torch.Tensor) -> torch.Tensor:
    """Their 2x2 part turned over, and the shift as it is.  # [..., 2, 3]"""
    return torch.cat([thetas[..., :2].mT, thetas[..., 2:]], -1)


# ---------------------------------------------------------------- 4.1 paste one patch
pasting = Exercise(
    "4.1",
    hint="an empty canvas; for each patch cut a square from bank[d] and assign it, in order; then "
    "add the digits and clamp to [0, 1]",
    tolerance=1e-7,
)


@pasting.reference
def paste_patches(digits, bank, patches):
    """digits [H, W], bank [n, 28, 28], patches: rows of (d, left, top, x, y, size) -> [H, W]."""
    clutter = torch.zeros_like(digits)
    for d, left, top, x, y, size in patches:
        scrap = bank[d, top : top + size, left : left + size]
        clutter[y : y + size, x : x + size] = scrap
    return (digits + clutter).clamp(0, 1)


def _scene(seed: int, width: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """A canvas with bright bars and a bank of three grainy pictures, in steps of 1/256."""
    generator = torch.Generator().manual_seed(seed)
    bank = torch.randint(257, (3, 28, 28), generator=generator).float() / 256
    digits = torch.zeros(40, width)
    digits[5:30, 8:14] = 0.75
    digits[20:24, 2:36] = 0.5
    return digits, bank


@pasting.cases
def _():
    yield *_scene(1), [(2, 4, 11, 6, 17, 9)]
    yield *_scene(2, width=46), [(0, 0, 18, 10, 3, 9), (1, 7, 2, 14, 8, 9), (2, 12, 5, 30, 20, 7)]


@pasting.bug(
    "the patches cover the digits: paste them on an empty canvas, and add that to the digits"
)
def _(digits, bank, patches):
    made = digits.clone()
    for d, left, top, x, y, size in patches:
        made[y : y + size, x : x + size] = bank[d, top : top + size, left : left + size]
    return made.clamp(0, 1)


@pasting.bug("where two patches meet they are added; the later one is written over the earlier")
def _(digits, bank, patches):
    clutter = torch.zeros_like(digits)
    for d, left, top, x, y, size in patches:
        clutter[y : y + size, x : x + size] += bank[d, top : top + size, left : left + size]
    return (digits + clutter).clamp(0, 1)


@pasting.bug("ink goes beyond 1 where a patch meets a digit: clip the sum")
def _(digits, bank, patches):
    clutter = torch.zeros_like(digits)
    for d, left, top, x, y, size in patches:
        clutter[y : y + size, x : x + size] = bank[d, top : top + size, left : left + size]
    return digits + clutter


@pasting.bug("x and y are swapped: x is the column, so the patch goes to [y:y + size, x:x + size]")
def _(digits, bank, patches):
    return paste_patches(digits, bank, [(d, a, b, y, x, n) for d, a, b, x, y, n in patches])


@pasting.bug("left and top are swapped: the scrap is bank[d, top:top + size, left:left + size]")
def _(digits, bank, patches):
    return paste_patches(digits, bank, [(d, b, a, x, y, n) for d, a, b, x, y, n in patches])


@pasting.bug("every patch is cut 9 large: its size is the last of its six numbers")
def _(digits, bank, patches):
    return paste_patches(digits, bank, [(*patch[:5], 9) for patch in patches])


@pasting.bug("the first patch lies on top: paste them in order, the later one over the earlier")
def _(digits, bank, patches):
    return paste_patches(digits, bank, patches[::-1])


@pasting.bug("where a patch meets a digit the brighter one stays: add the two, and clip the sum")
def _(digits, bank, patches):
    return paste_patches(torch.zeros_like(digits), bank, patches).maximum(digits)


@pasting.bug("only the last patch is there: one canvas for all of them")
def _(digits, bank, patches):
    return paste_patches(digits, bank, patches[-1:])


@pasting.bug("only the first patch is there: return after the loop")
def _(digits, bank, patches):
    return paste_patches(digits, bank, patches[:1])


@pasting.bug("this is the canvas alone: add it to the digits")
def _(digits, bank, patches):
    return paste_patches(torch.zeros_like(digits), bank, patches)


@pasting.bug("every patch is cut from the first picture: d says from which, bank[d]")
def _(digits, bank, patches):
    return paste_patches(digits, bank, [(0, *patch[1:]) for patch in patches])


# ---------------------------------------------------------------- 4.2 digits and words
counting = Exercise(
    "4.2",
    hint="right = logits.argmax(2) == labels is [B, D]; its mean is the first number, the mean of "
    "right.all(1) the second; both times 100",
    tolerance=1e-4,
)


@counting.reference
def accuracies(logits, labels):
    """logits [B, D, 10], labels [B, D] -> (digits right, words right), in percent."""
    right = logits.argmax(2) == labels  # [B, D]
    digits = 100 * right.float().mean().item()
    words = 100 * right.all(1).float().mean().item()
    return digits, words


@counting.cases
def _():
    for seed, rows, digits in ((1, 40, 3), (2, 7, 2), (3, 1, 5)):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(10, (rows, digits), generator=generator)
        logits = torch.randn(rows, digits, 10, generator=generator)
        hint = torch.nn.functional.one_hot(labels, 10).float()
        yield logits + 3 * hint, labels
    labels = torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9], [0, 3, 5]])
    said = torch.tensor([[1, 2, 3], [6, 5, 4], [7, 8, 9], [1, 2, 5]])
    yield torch.nn.functional.one_hot(said, 10).float(), labels


@counting.bug("these are fractions; wanted percent")
def _(logits, labels):
    return tuple(part / 100 for part in accuracies(logits, labels))


def _right(logits, labels):
    return (logits.argmax(2) == labels).float()  # [B, D]


@counting.bug(
    "the word accuracy is computed from the digits' by p ** D: count the rows in which every digit "
    "is right"
)
def _(logits, labels):
    p = _right(logits, labels).mean().item()
    return 100 * p, 100 * p ** labels.shape[1]


@counting.bug("a word counts as soon as one of its digits is right: wanted all of them")
def _(logits, labels):
    right = _right(logits, labels)
    return 100 * right.mean().item(), 100 * right.amax(1).mean().item()


@counting.bug("all() goes down the batch: a word is one row, so reduce over dimension 1")
def _(logits, labels):
    right = _right(logits, labels)
    return 100 * right.mean().item(), 100 * right.amin(0).mean().item()


@counting.bug("both numbers count digits: a word is right only if all its digits are")
def _(logits, labels):
    digits = accuracies(logits, labels)[0]
    return digits, digits


@counting.bug("these count what is right; wanted percent of them all")
def _(logits, labels):
    right = _right(logits, labels)
    return right.sum().item(), right.amin(1).sum().item()


@counting.bug("these are the errors; wanted what is right")
def _(logits, labels):
    return tuple(100 - part for part in accuracies(logits, labels))


@counting.bug("a word counts with its digits in any order: each has its own place")
def _(logits, labels):
    same = logits.argmax(2).sort(1).values == labels.sort(1).values
    return accuracies(logits, labels)[0], 100 * same.all(1).float().mean().item()


@counting.bug("a word counts where the sum of its digits is right: wanted every digit")
def _(logits, labels):
    same = logits.argmax(2).sum(1) == labels.sum(1)
    return accuracies(logits, labels)[0], 100 * same.float().mean().item()


@counting.bug("both numbers count words: the first is how many digits are right")
def _(logits, labels):
    words = accuracies(logits, labels)[1]
    return words, words


@counting.bug("only the first digit of a word is looked at: wanted all of them")
def _(logits, labels):
    right = _right(logits, labels)
    return 100 * right.mean().item(), 100 * right[:, 0].mean().item()


@counting.bug("the two come in the wrong order: digits first")
def _(logits, labels):
    return accuracies(logits, labels)[::-1]


# ---------------------------------------------------------------- 4.3 one glance to many
glances = Exercise(
    "4.3",
    hint="images.repeat_interleave(T, 0) and thetas.flatten(0, 1) belong together, row by row; "
    "then sampling.warp reads, which knows the background outside. (With grid_sample, which puts 0 "
    "there, subtract the background first and add it afterwards, as in notebook 03)",
    tolerance=1e-9,
)


@glances.reference
def glance(images, thetas, size):
    """images [B, C, h, w], thetas [B, T, 2, 3] -> glimpses [B * T, C, *size]."""
    repeated = images.repeat_interleave(thetas.shape[1], 0)  # [B * T, C, h, w]
    return sampling.reference.warp(repeated, thetas.flatten(0, 1), size)


@glances.cases
def _():
    yield uniform(1, 2, 1, 12, 15), 1.6 * _thetas(2, 2, 3), (4, 5)  # some places lie outside
    yield uniform(3, 3, 2, 9, 9), 1.6 * _thetas(4, 3, 2), (6, 6)


@glances.gradients
def _(images, thetas, size):
    # Without the border: whether the background is learnt with the images is left open.
    return {"images": images[..., 1:-1, 1:-1], "thetas": thetas}


def _glance(images, thetas, size, **options):
    """`glance` with options of `warp`."""
    repeated = images.repeat_interleave(thetas.shape[1], 0)
    return sampling.reference.warp(repeated, thetas.flatten(0, 1), size, **options)


@glances.bug(
    "the images come in the order 0 1 2 0 1 2 and the thetas of one image after one another: "
    "repeat_interleave, not repeat"
)
def _(images, thetas, size):
    tiled = images.repeat(thetas.shape[1], 1, 1, 1)
    return sampling.reference.warp(tiled, thetas.flatten(0, 1), size)


@glances.bug(
    "the thetas come step after step and the images one after another: flatten(0, 1), without "
    "transposing"
)
def _(images, thetas, size):
    repeated = images.repeat_interleave(thetas.shape[1], 0)
    return sampling.reference.warp(repeated, thetas.transpose(0, 1).flatten(0, 1), size)


@glances.bug(
    "the glimpses lie step after step; wanted image after image, the steps of one image side by "
    "side"
)
def _(images, thetas, size):
    return torch.cat([sampling.reference.warp(images, t, size) for t in thetas.unbind(1)])


@glances.bug("steps and batch are still two dimensions: the reader takes [B * T, C, H, W]")
def _(images, thetas, size):
    return glance(images, thetas, size).unflatten(0, thetas.shape[:2])


@glances.bug("each step reads the last glimpse; all of them read the same image")
def _(images, thetas, size):
    whole, found = images, []
    for theta in thetas.unbind(1):
        whole = sampling.reference.warp(whole, theta)
        found.append(whole)
    stacked = torch.stack(found, 1).flatten(0, 1)
    return F.interpolate(stacked, size, mode="bilinear", align_corners=False)


@glances.bug("every step looks where the first one looks")
def _(images, thetas, size):
    return glance(images, thetas[:, :1].expand_as(thetas), size)


@glances.bug("every image is read where the first one is: thetas has a row for each of them")
def _(images, thetas, size):
    return glance(images, thetas[:1].expand_as(thetas), size)


@glances.bug("this is the last step alone; wanted all of them")
def _(images, thetas, size):
    return glance(images, thetas[:, -1:], size)


@glances.bug("this is align_corners=True; the course has False")
def _(images, thetas, size):
    return _glance(images, thetas, size, align_corners=True)


OUTSIDE_IS_0 = (
    "outside is 0, and 0 need not be the background of these images: let sampling.warp read, or "
    "subtract the background, read, and add it again, as in notebook 03"
)
SMEARED = "the border is smeared outwards; outside lies the image's background"


@glances.bug(OUTSIDE_IS_0)
def _(images, thetas, size):
    return _glance(images, thetas, size, padding="zeros")


@glances.bug(SMEARED)
def _(images, thetas, size):
    return _glance(images, thetas, size, padding="border")


@glances.bug("this reads the nearest pixel: no slope is left for theta; wanted bilinear")
def _(images, thetas, size):
    return _glance(images, thetas, size, mode="nearest")


@glances.bug("theta is transposed: x is a x + b y + c with a, b, c the first row of theta")
def _(images, thetas, size):
    return glance(images, _transposed(thetas), size)


@glances.bug("x and y are swapped: the last axis of a grid is (x, y), x first")
def _(images, thetas, size):
    return glance(images, thetas.flip(2), size)


@glances.bug("this is the forward map: theta says where to read, do not invert it")
def _(images, thetas, size):
    back = geometry.invert(thetas.flatten(0, 1)).view_as(thetas)
    return glance(images, back, size)


# ---------------------------------------------------------------- 4.4 stop-gradient
stopping = Exercise(
    "4.4",
    hint="state = cell(features, state), steps times, from None (zeros of your own want the dtype "
    "of features: the check tries float64); if stop, state.detach() goes in instead; then "
    "torch.autograd.grad(state.square().sum(), features)",
    tolerance=1e-9,
)


@stopping.reference
def last_state_and_gradient(cell, features, steps, stop):
    """GRU cell, features [B, F] -> the last state [B, S], and what its loss says to features."""
    features = features.clone().requires_grad_()
    state = None
    for _ in range(steps):
        if stop and state is not None:
            state = state.detach()
        state = cell(features, state)  # [B, S]
    loss = state.square().sum()
    (gradient,) = torch.autograd.grad(loss, features)
    return state.detach(), gradient


@stopping.cases
def _():
    for seed, steps in ((5, 3), (6, 2)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            cell = nn.GRUCell(3, 4).double()
        features = 2 * uniform(seed, 2, 3)  # once: what an answer leaves in them is seen
        for stop in (True, False):
            yield cell, features, steps, stop


@stopping.ask
def _(function, case):
    """What it gives; where gradients are to stop, "history" too if a state brought one."""
    (cell, _, _, stop), came = case, []

    def note(module, inputs, named):
        state = inputs[1] if len(inputs) > 1 else named.get("hx")
        came.append(state is not None and state.requires_grad)

    watching = cell.register_forward_pre_hook(note, with_kwargs=True)
    try:
        made = function(*case)
    finally:
        watching.remove()
    return (*made, "history") if stop and any(came) and isinstance(made, tuple) else made


@stopping.bug(
    "the gradient goes through all steps although stop is True: detach the state before it goes "
    "into the next step"
)
def _(cell, features, steps, stop):
    return last_state_and_gradient(cell, features, steps, False)


@stopping.bug("the gradient stops although stop is False")
def _(cell, features, steps, stop):
    return last_state_and_gradient(cell, features, steps, True)


@stopping.bug("stop is the wrong way round")
def _(cell, features, steps, stop):
    return last_state_and_gradient(cell, features, steps, not stop)


@stopping.bug("every step starts from nothing: hand the state on")
def _(cell, features, steps, stop):
    return last_state_and_gradient(cell, features, 1, stop)


@stopping.bug("one step too many")
def _(cell, features, steps, stop):
    return last_state_and_gradient(cell, features, steps + 1, stop)


@stopping.bug("the loss adds up all states; wanted that of the last one")
def _(cell, features, steps, stop):
    features = features.clone().requires_grad_()
    state, loss = None, 0
    for _ in range(steps):
        if stop and state is not None:
            state = state.detach()
        state = cell(features, state)
        loss = loss + state.square().sum()
    return state.detach(), torch.autograd.grad(loss, features)[0]


@stopping.bug(
    "the features are detached and the state is not: the cell's weights still learn through all "
    "steps"
)
def _(cell, features, steps, stop):
    features = features.clone().requires_grad_()
    state = None
    for step in range(steps):
        earlier = stop and step < steps - 1
        state = cell(features.detach() if earlier else features, state)
    loss = state.square().sum()
    return state.detach(), torch.autograd.grad(loss, features)[0]


@stopping.bug("one step too few")
def _(cell, features, steps, stop):
    return last_state_and_gradient(cell, features, steps - 1, stop)


@stopping.bug("the loss is the sum of the state; wanted that of its squares")
def _(cell, features, steps, stop):
    return _lesson(cell, features, steps, stop, torch.Tensor.sum)


@stopping.bug("the loss is the mean of the squares; wanted their sum")
def _(cell, features, steps, stop):
    return _lesson(cell, features, steps, stop, lambda state: state.square().mean())


def _lesson(cell, features, steps, stop, loss):
    """`last_state_and_gradient` with another loss."""
    features = features.clone().requires_grad_()
    state = None
    for _ in range(steps):
        state = cell(features, state.detach() if stop and state is not None else state)
    return state.detach(), torch.autograd.grad(loss(state), features)[0]


@stopping.bug("the two come in the wrong order: first the state, then the gradient")
def _(cell, features, steps, stop):
    return last_state_and_gradient(cell, features, steps, stop)[::-1]


# ---------------------------------------------------------------- 4.5 a strip
strips = Exercise(
    "4.5",
    hint="warp takes the size of the output: int(h / down[0]) and int(w / down[1]), for by 1.4 is "
    "a number too, and 11 // 1.4 is 7.0, no int; theta stays as it is. sampling.warp knows the "
    "background outside; with grid_sample, subtract it first and add it afterwards",
    tolerance=1e-9,
)


@strips.reference
def strip(images, theta, down):
    """images [B, C, h, w], theta [B, 2, 3], down (by height, by width) -> [B, C, h/., w/.]."""
    height, width = (int(n / d) for n, d in zip(images.shape[2:], down, strict=True))
    return sampling.reference.warp(images, theta, (height, width))


@strips.cases
def _():
    yield uniform(7, 2, 1, 12, 10), 1.6 * _thetas(8, 2, 1)[:, 0], (4, 1)  # some places lie outside
    yield uniform(9, 2, 2, 11, 14), 1.6 * _thetas(10, 2, 1)[:, 0], (1.4, 1.5)


@strips.gradients
def _(images, theta, down):
    return {"images": images[..., 1:-1, 1:-1], "theta": theta}


def _strip(images, theta, down, rounded=int, **options):
    """`strip` with another way to round, and options of `warp`."""
    size = tuple(rounded(n / d) for n, d in zip(images.shape[2:], down, strict=True))
    return sampling.reference.warp(images, theta, size, **options)


@strips.bug(
    "down need not be whole: 11 // 1.4 is 7.0, which is no int, and a size is one: int(h / down[0])"
)
def _(images, theta, down):
    height, width = (n // d for n, d in zip(images.shape[2:], down, strict=True))
    shape = (*images.shape[:2], height, width)
    F.affine_grid(theta, shape, align_corners=False)
    return strip(images, theta, down)


@strips.bug("both sides are divided by the first number: height by down[0], width by down[1]")
def _(images, theta, down):
    return strip(images, theta, (down[0], down[0]))


@strips.bug("height and width are swapped: down is (by height, by width)")
def _(images, theta, down):
    return strip(images, theta, down[::-1])


@strips.bug("theta is squeezed too: its units are the picture's, whatever the output's size")
def _(images, theta, down):
    squeeze = theta.new_tensor([[1 / down[1]], [1 / down[0]]])
    return strip(images, theta * squeeze, down)


@strips.bug("this cuts a corner off; the whole glimpse is to be read, in fewer rows")
def _(images, theta, down):
    height, width = (int(n / d) for n, d in zip(images.shape[2:], down, strict=True))
    return strip(images, theta, (1, 1))[:, :, :height, :width]


@strips.bug("this is read whole and made smaller afterwards: read fewer rows in the first place")
def _(images, theta, down):
    size = tuple(int(n / d) for n, d in zip(images.shape[2:], down, strict=True))
    return F.interpolate(strip(images, theta, (1, 1)), size, mode="bilinear", align_corners=False)


@strips.bug("this is the glimpse as high and wide as the image: divide by down")
def _(images, theta, down):
    return strip(images, theta, (1, 1))


@strips.bug("theta is not in it: read where it says")
def _(images, theta, down):
    return strip(images, geometry.identity(len(theta), dtype=theta.dtype), down)


@strips.bug("this is align_corners=True; the course has False")
def _(images, theta, down):
    return _strip(images, theta, down, align_corners=True)


@strips.bug(OUTSIDE_IS_0)
def _(images, theta, down):
    return _strip(images, theta, down, padding="zeros")


@strips.bug(SMEARED)
def _(images, theta, down):
    return _strip(images, theta, down, padding="border")


@strips.bug("this reads the nearest pixel: no slope is left for theta; wanted bilinear")
def _(images, theta, down):
    return _strip(images, theta, down, mode="nearest")


@strips.bug("theta is transposed: x is a x + b y + c with a, b, c the first row of theta")
def _(images, theta, down):
    return strip(images, _transposed(theta), down)


@strips.bug("this is the forward map: theta says where to read, do not invert it")
def _(images, theta, down):
    return strip(images, geometry.invert(theta), down)


@strips.bug("the size is rounded up; round down")
def _(images, theta, down):
    return _strip(images, theta, down, rounded=math.ceil)


@strips.bug("the size is rounded to the nearest; round down")
def _(images, theta, down):
    return _strip(images, theta, down, rounded=round)
