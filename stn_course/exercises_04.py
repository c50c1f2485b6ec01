"""The exercises of notebook 04: references, the inputs they are tried on, known bugs.

4.1 and 4.2 stand here, 4.3 and 4.5 in `exercises_04_glances`, 4.4 in `exercises_04_stop`.
"""

import torch

from stn_course import exercises_04_glances, exercises_04_stop
from stn_course.exercises import Exercise


# ---------------------------------------------------------------- 4.1 paste one patch
def paste_patches(digits, bank, patches):
    """digits [H, W], bank [n, 28, 28], patches: rows of (d, left, top, x, y, size) -> [H, W]."""
    clutter = torch.zeros_like(digits)
    for d, left, top, x, y, size in patches:
        scrap = bank[d, top : top + size, left : left + size]
        clutter[y : y + size, x : x + size] = scrap
    return (digits + clutter).clamp(0, 1)


def _inputs_left_alone(function, case):
    """What it makes, if the digits and the bank are as they came: the notebook needs them again."""
    digits, bank = (x.clone() for x in case[:2])
    made = function(*case)
    if not torch.equal(case[1], bank):
        return "a picture, and another bank than came"
    return made if torch.equal(case[0], digits) else "a picture, and other digits than came"


def _onto_the_digits_themselves(digits, bank, patches):
    digits.copy_(paste_patches(digits, bank, patches))
    return digits


def _scene(seed: int, width: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """A canvas with bright bars and a bank of three grainy pictures, in steps of 1/256."""
    dice = torch.Generator().manual_seed(seed)
    bank = torch.randint(257, (3, 28, 28), generator=dice).float() / 256
    digits = torch.zeros(40, width)
    digits[5:30, 8:14] = 0.75
    digits[20:24, 2:36] = 0.5
    return digits, bank


def _cases_41():
    yield *_scene(1), [(2, 4, 11, 6, 17, 9)]
    yield *_scene(2, width=46), [(0, 0, 18, 10, 3, 9), (1, 7, 2, 14, 8, 9), (2, 12, 5, 30, 20, 7)]


def _pasted_on_the_digits(digits, bank, patches):
    made = digits.clone()
    for d, left, top, x, y, size in patches:
        made[y : y + size, x : x + size] = bank[d, top : top + size, left : left + size]
    return made.clamp(0, 1)


def _added_patches(digits, bank, patches):
    clutter = torch.zeros_like(digits)
    for d, left, top, x, y, size in patches:
        clutter[y : y + size, x : x + size] += bank[d, top : top + size, left : left + size]
    return (digits + clutter).clamp(0, 1)


def _never_clipped(digits, bank, patches):
    clutter = torch.zeros_like(digits)
    for d, left, top, x, y, size in patches:
        clutter[y : y + size, x : x + size] = bank[d, top : top + size, left : left + size]
    return digits + clutter


def _x_for_rows(digits, bank, patches):
    return paste_patches(digits, bank, [(d, a, b, y, x, n) for d, a, b, x, y, n in patches])


def _cut_sideways(digits, bank, patches):
    return paste_patches(digits, bank, [(d, b, a, x, y, n) for d, a, b, x, y, n in patches])


def _cut_out_of_the_bank(digits, bank, patches):
    made = paste_patches(digits, bank, patches)
    for d, left, top, _, _, size in patches:
        bank[d, top : top + size, left : left + size] = 0
    return made


def _nine_always(digits, bank, patches):
    return paste_patches(digits, bank, [(*patch[:5], 9) for patch in patches])


# ---------------------------------------------------------------- 4.2 digits and words
def accuracies(logits, labels):
    """logits [B, D, 10], labels [B, D] -> (digits right, words right), in percent."""
    right = logits.argmax(2) == labels  # [B, D]
    digits = 100 * right.float().mean().item()
    words = 100 * right.all(1).float().mean().item()
    return digits, words


def _cases_42():
    for seed, rows, digits in ((1, 40, 3), (2, 7, 2), (3, 1, 5)):
        dice = torch.Generator().manual_seed(seed)
        labels = torch.randint(10, (rows, digits), generator=dice)
        logits = torch.randn(rows, digits, 10, generator=dice)
        hint = torch.nn.functional.one_hot(labels, 10).float()
        yield logits + 3 * hint, labels


def _right(logits, labels):
    return (logits.argmax(2) == labels).float()  # [B, D]


def _as_a_fraction(logits, labels):
    return tuple(part / 100 for part in accuracies(logits, labels))


def _words_by_formula(logits, labels):
    p = _right(logits, labels).mean().item()
    return 100 * p, 100 * p ** labels.shape[1]


def _any_digit(logits, labels):
    right = _right(logits, labels)
    return 100 * right.mean().item(), 100 * right.amax(1).mean().item()


def _wrong_axis(logits, labels):
    right = _right(logits, labels)
    return 100 * right.mean().item(), 100 * right.amin(0).mean().item()


def _mean_of_rows(logits, labels):
    digits = accuracies(logits, labels)[0]
    return digits, digits


def _words_first(logits, labels):
    return accuracies(logits, labels)[::-1]


EXERCISES = {
    "4.1": Exercise(
        paste_patches,
        _cases_41,
        {
            "the patches cover the digits: paste them on an empty canvas, and add that to the "
            "digits": _pasted_on_the_digits,
            "where two patches meet they are added; the later one is written over the earlier": (
                _added_patches
            ),
            "ink goes beyond 1 where a patch meets a digit: clip the sum": _never_clipped,
            "x and y are swapped: x is the column, so the patch goes to [y:y + size, x:x + size]": (
                _x_for_rows
            ),
            "left and top are swapped: the scrap is bank[d, top:top + size, left:left + size]": (
                _cut_sideways
            ),
            "every patch is cut 9 large: its size is the last of its six numbers": _nine_always,
            "the bank is changed too: cut from it, and leave it as it is": _cut_out_of_the_bank,
            "the digits that came are changed too: leave them, and give back a new picture": (
                _onto_the_digits_themselves
            ),
        },
        "an empty canvas; for each patch cut a square from bank[d] and assign it, in order; then "
        "add the digits and clamp to [0, 1]",
        tolerance=1e-7,
        ask=_inputs_left_alone,
    ),
    "4.2": Exercise(
        accuracies,
        _cases_42,
        {
            "these are fractions; wanted percent": _as_a_fraction,
            "the word accuracy is computed from the digits' by p ** D: count the rows in which "
            "every digit is right": _words_by_formula,
            "a word counts as soon as one of its digits is right: wanted all of them": _any_digit,
            "all() goes down the batch: a word is one row, so reduce over dimension 1": _wrong_axis,
            "both numbers count digits: a word is right only if all its digits are": _mean_of_rows,
            "the two come in the wrong order: digits first": _words_first,
        },
        "right = logits.argmax(2) == labels is [B, D]; its mean is the first number, the mean of "
        "right.all(1) the second; both times 100",
        tolerance=1e-4,
    ),
    "4.3": exercises_04_glances.EXERCISES["4.3"],
    "4.4": exercises_04_stop.STOP,
    "4.5": exercises_04_glances.EXERCISES["4.5"],
}
