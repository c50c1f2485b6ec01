"""Exercise 5.2, a task that needs coordinates: the reference, how it is judged, known bugs."""

import torch

from stn_course.exercises import Exercise


def left_or_right(digits, generator):
    """digits [N, 1, H, W] -> (pictures [N, 1, H, W], labels [N]): the same digits, moved."""
    labels = torch.randint(2, (len(digits),), generator=generator)
    pixels = [7 if right else -7 for right in labels.tolist()]
    moved = [d.roll(p, -1) for d, p in zip(digits, pixels, strict=True)]
    return torch.stack(moved), labels


def best_accuracy(same, labels) -> float:
    """The best share right of a reader who cannot tell pictures with ``same`` [N, N] apart."""
    chosen = 0
    left = torch.ones(len(labels), dtype=torch.bool)
    while left.any():
        group = same[left.nonzero()[0, 0]] & left
        chosen += labels[group].bincount().max().item()
        left &= ~group
    return chosen / len(labels)


def alike(pictures) -> torch.Tensor:
    """Whether two pictures are the same up to a shift around the edges.  # bool [N, N]

    Where the best correlation over all shifts reaches both lengths (Cauchy and Schwarz).
    """
    f = torch.fft.fft2(pictures[:, 0].double())  # [N, H, W]
    best = torch.fft.ifft2(f[:, None] * f[None].conj()).real.amax((2, 3))  # [N, N]
    square = pictures.double().square().sum((1, 2, 3))  # [N]
    tiny = 1e-6 * square.max() + 1e-12
    return (best - square[:, None]).abs().maximum((best - square[None]).abs()) < tiny


def ask(function, case):
    """What holds of the task that ``function`` makes of the digits of a case."""
    digits, seed = case
    shape = digits.shape
    made = function(digits, torch.Generator().manual_seed(seed))
    if not isinstance(made, tuple | list) or len(made) != 2:
        return made  # no task at all
    pictures, labels = made
    if not torch.is_tensor(pictures) or pictures.shape != shape:
        got = list(getattr(pictures, "shape", [])) or type(pictures).__name__
        raise ValueError(f"pictures are {got}; wanted {list(shape)}")
    if not torch.is_tensor(labels) or labels.dtype != torch.int64 or labels.shape != shape[:1]:
        got = f"{labels.dtype} {list(labels.shape)}" if torch.is_tensor(labels) else repr(labels)
        raise ValueError(f"labels are {got:.60}; wanted torch.int64 [{shape[0]}]")
    if labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"labels are {labels.min()} to {labels.max()}; wanted some of 0 to 9")
    identical = (pictures[:, None] == pictures[None]).flatten(2).all(2)
    return {
        "two labels or more, none above 70 %": bool(labels.bincount().max() <= 0.7 * len(labels)),
        "without coordinates at most 70 %": best_accuracy(alike(pictures), labels) <= 0.7,
        "with coordinates at least 95 %": best_accuracy(identical, labels) >= 0.95,
    }


def cases():
    """Three drawn shapes as wide as digits are, 40 copies of each; twice."""
    for seed in (1, 2):
        dice = torch.Generator().manual_seed(seed)
        shapes = torch.zeros(3, 1, 28, 28)
        shapes[..., 4:24, 4:24] = (torch.rand(3, 1, 20, 20, generator=dice) < 0.5).float()
        yield shapes.repeat_interleave(40, 0), seed


# ---------------------------------------------------------------- known bugs
def _turned(digits, generator):
    labels = torch.randint(2, (len(digits),), generator=generator)
    turned = [d.rot90(1, (1, 2)) if t else d for d, t in zip(digits, labels.tolist(), strict=True)]
    return torch.stack(turned), labels


def _one_label(digits, generator):
    pictures, labels = left_or_right(digits, generator)
    return pictures, torch.zeros_like(labels)


def _not_moved(digits, generator):
    return digits.clone(), left_or_right(digits, generator)[1]


EXERCISES = {
    "5.2": Exercise(
        left_or_right,
        cases,
        {
            "the pictures are as they came and the labels are dice: nobody can read them, with or "
            "without coordinates; move each picture as its label says": _not_moved,
            "there is one label for nearly all: saying it is right without looking": _one_label,
            "a network without coordinates can do this: the pictures differ in more than place "
            "(turned, brighter, noise, cut off at an edge); use exact copies, and let the place "
            "alone tell: with roll what leaves on one side comes in on the other": _turned,
        },
        "draw a label for each picture, and roll it along the last axis by a number of pixels "
        "that depends on the label alone",
        ask=ask,
    )
}
