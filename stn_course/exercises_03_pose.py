"""Exercises 3.4, upright and centred, and 3.5, name the failure."""

import torch

from stn_course import geometry
from stn_course.exercises import Exercise

# The three unknown runs of exercise 3.5: which exhibit of the museum, and its seed.
UNKNOWN = {
    "A": ("untransformed input", 4),
    "B": ("rate too high", 4),
    "C": ("tanh on theta", 4),
}


# ---------------------------------------------------------------- 3.5 name the failure
def diagnosis(run):
    """run "A", "B" or "C" -> the name of its failure, as the museum calls it."""
    return {
        "A": "untransformed input",  # theta never leaves the identity
        "B": "rate too high",  # theta goes to 10 and beyond, digit or no digit
        "C": "tanh on theta",  # starts at .76 on the diagonal, and no entry passes 1
    }[run]


def _a_for_c(run):
    return {"A": "tanh on theta", "B": "rate too high", "C": "untransformed input"}[run]


def _b_for_c(run):
    return {"A": "untransformed input", "B": "tanh on theta", "C": "rate too high"}[run]


def _a_for_b(run):
    return {"A": "rate too high", "B": "untransformed input", "C": "tanh on theta"}[run]


def _no_start(run):
    return diagnosis(run) if run != "C" else "no identity start"


def _collapse(run):
    return diagnosis(run) if run != "C" else "crop collapse"


DIAGNOSIS = {
    "3.5": Exercise(
        diagnosis,
        lambda: [("A",), ("B",), ("C",)],
        {
            "A and C are exchanged: in which of them does theta not move at all?": _a_for_c,
            "B and C are exchanged: look at the numbers on the vertical axis": _b_for_c,
            "A and B are exchanged: a rate that is too high moves theta": _a_for_b,
            "C: its digits all start from one and the same theta, only it is not the identity. "
            "What makes .76 of 1?": _no_start,
            "C: its box is three quarters of the picture, not a tenth. What makes .76 of 1?": (
                _collapse
            ),
        },
        "look at where each entry starts, how far it goes, and whether anything moves at all",
    ),
}


# ---------------------------------------------------------------- 3.4 upright and centred
def pose_loss(true, found):
    """true, found [B, 2, 3] -> the mean squared distance of both together from the identity."""
    both = geometry.compose(true, found)  # digit -> distorted -> what comes out
    off = both - torch.eye(2, 3, dtype=both.dtype)
    return off.square().sum((1, 2)).mean()


def _cases_34():
    dice = torch.Generator().manual_seed(9)
    options = {"generator": dice, "dtype": torch.float64}
    for n in (1, 4):
        true = geometry.identity(n, dtype=torch.float64) + torch.rand(n, 2, 3, **options) - 0.5
        found = geometry.identity(n, dtype=torch.float64) + torch.rand(n, 2, 3, **options) - 0.5
        yield true, found.requires_grad_()


def _eye(like):
    return torch.eye(2, 3).to(like)


def _other_order(true, found):
    return (geometry.compose(found, true) - _eye(found)).square().sum((1, 2)).mean()


def _found_like_true(true, found):
    return (found - true).square().sum((1, 2)).mean()


def _found_like_inverse(true, found):
    return (found - geometry.invert(true)).square().sum((1, 2)).mean()


def _summed(true, found):
    return (geometry.compose(true, found) - _eye(found)).square().sum()


def _averaged(true, found):
    return (geometry.compose(true, found) - _eye(found)).square().mean()


def _not_squared(true, found):
    return (geometry.compose(true, found) - _eye(found)).abs().sum((1, 2)).mean()


POSE = {
    "3.4": Exercise(
        pose_loss,
        _cases_34,
        {
            "the order is exchanged: the digit was warped by true first, so compose(true, found)": (
                _other_order
            ),
            "this wants found to be the distortion again; it should undo it": _found_like_true,
            "this compares found with the inverse of true: near, but a miss counts less where the "
            "digit was drawn large. Compose, and compare with the identity": _found_like_inverse,
            "this grows with the batch: sum over the six entries, mean over the digits": _summed,
            "this averages over the six entries too: sum over them, mean over the digits": (
                _averaged
            ),
            "these are absolute differences; wanted squares": _not_squared,
        },
        "geometry.compose(true, found) is [B, 2, 3]; subtract the identity, square, sum over the "
        "last two axes, mean over the batch",
        tolerance=1e-9,
    ),
}
