"""The published cluttered digits, regenerated from MNIST number for number, and others like them.

The recipe is that of Sønderby et al., "Recurrent Spatial Transformer Networks" (arXiv 1509.05329),
whose released 100x100 sequences follow it, as does a published 40x40 set of single digits.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stn_course.data.clutter.dataset import ClutterSet, Draws, Stored
from stn_course.data.clutter.legacy_random import LegacyDraws
from stn_course.data.digits import (
    SAMPLE,
    SPLITS,
    Digits,
    FullMnistNeededError,
    check_split,
    is_sample,
    mnist,
    source,
)
from stn_course.data.download import read_settings
from stn_course.data.files import PLACES, DataFolderError, arrays_of, find_file, npz_file
from stn_course.geometry import as_whole

SIDE = 28  # of an MNIST digit
_PARTS = ("X_train", "y_train", "X_valid", "y_valid", "X_test", "y_test")
FILE_40 = npz_file(
    "mnist_sequence1_sample_5distortions5x5.npz",
    published="951f81b297226e1ed81a96a544ee14cbf50a5523b4f3cd45f0e99d9565425e3b",
    inside="0ba4049bb6d14f24829fa5ecdda9ed7c92c3dde25fdf0fac3a8d2bccf7b444d4",
    keys=_PARTS,
)
SAMPLE_CLUTTER = "sample clutter, not the published set"


@dataclass(frozen=True)
class ClutterRecipe:
    """Digits in a row on a sloping line, among square scraps of other digits. Units: pixels.

    Digit i stands at x = x_start + U{-x_jitter..x_jitter-1} + 28 i and
    y = U{0..canvas-1} + i U{-slope..slope-1}, kept on the canvas. Patches are cut from a bank of
    `bank_size` made once from the digits of `bank_splits`; where they overlap, the later one wins.
    `discarded` samples are drawn first and thrown away. `dataclasses.replace` makes other sets.

    Raises TypeError for a number that is not whole and ValueError for a value with which no image
    could be made.
    """

    canvas: int
    digits: int
    patches: int
    patch_size: int
    x_start: int
    x_jitter: int
    bank_splits: tuple[str, ...]
    sizes: tuple[int, int, int]  # images in train, valid, test
    slope: int = 14
    bank_size: int = 100_000
    discarded: int = 400
    seed: int = 1234

    def __post_init__(self):
        for name, value in vars(self).items():
            if name not in ("bank_splits", "sizes"):
                if as_whole(value) is None:
                    raise TypeError(f"{name} = {value!r}; wanted a whole number")
                object.__setattr__(self, name, as_whole(value))
        for name, kept, wanted in (
            ("sizes", as_whole, "three whole numbers"),
            ("bank_splits", lambda v: v if isinstance(v, str) else None, f"some of {SPLITS}"),
        ):
            value = getattr(self, name)
            whole = tuple(map(kept, value)) if isinstance(value, tuple | list) else (None,)
            if None in whole:
                raise TypeError(f"{name} = {value!r}; wanted {wanted}")
            object.__setattr__(self, name, whole)  # of a list, too: recipes are hashed
        right = self.x_start + self.x_jitter - 1 + SIDE * self.digits
        needs = {
            "canvas": self.canvas >= SIDE,
            "digits": self.digits >= 1,
            "patches": self.patches >= 0,
            "patch_size": 1 <= self.patch_size < min(SIDE, self.canvas),
            "x_jitter": self.x_jitter >= 1,
            "x_start": self.x_start >= self.x_jitter,
            "bank_splits": bool(self.bank_splits) and set(self.bank_splits) <= set(SPLITS),
            "sizes": len(self.sizes) == 3 and min(self.sizes) >= 1,
            "slope": self.slope >= 1,
            "bank_size": self.bank_size >= 1,
            "discarded": self.discarded >= 0,
            "seed": 0 <= self.seed < 2**32,
        }
        for name, good in needs.items():
            if not good:
                raise ValueError(f"{name} = {getattr(self, name)!r} gives no image with {self}")
        if right > self.canvas:
            raise ValueError(
                f"canvas = {self.canvas} is too narrow for digits = {self.digits} from "
                f"x_start = {self.x_start} on; wanted at least {right}"
            )


PUBLISHED_40 = ClutterRecipe(40, 1, 5, 5, 6, 6, ("train", "valid"), (10_000, 1000, 1000))
# The bank holds the training digits twice: so it was when the published file was made.
PUBLISHED_100 = ClutterRecipe(
    100, 3, 8, 9, 8, 8, ("train", "valid", "train"), (60_000, 10_000, 10_000)
)


def sequences(split: str, allow_sample: bool = False) -> ClutterSet:
    """The published 100x100 sequences: three digits in a row among eight 9x9 patches.

    "train" 60 000, "valid" and "test" 10 000 each. Regenerated from MNIST in about a second,
    bit for bit (arXiv 1509.05329; `stn_course.data.PUBLISHED_SHA256` has the hashes).

    Raises ValueError for another split, and FullMnistNeededError when only the 5 000-digit sample
    is here; `allow_sample` takes it, and `source` then says that this is not the published set.
    """
    check_split(split)
    return generate(PUBLISHED_100, allow_sample)[split]


def cluttered(split: str, allow_sample: bool = False, origin: str = "auto") -> ClutterSet:
    """The published 40x40 set: one digit among five 5x5 patches.

    "train" 10 000, "valid" and "test" 1 000 each. `origin`: "mnist" regenerates it, "file" reads
    the published file from STN_COURSE_DATA or the cache, and "auto" does the first if the full
    MNIST is here, else the second if the file is. The images are the same bit for bit, but the
    file knows no boxes.

    Raises ValueError for another split or origin, FileNotFoundError without the file,
    CorruptFileError for a damaged one, and FullMnistNeededError as `sequences` does.
    """
    check_split(split)
    if origin not in ("auto", "mnist", "file"):
        raise ValueError(f"origin is {origin!r}; wanted 'auto', 'mnist' or 'file'")
    if origin == "auto":
        origin = "mnist" if _mnist_is_here() or not _file_40() else "file"
    if origin == "mnist":
        return generate(PUBLISHED_40, allow_sample)[split]
    found = _file_40()
    if not found:
        raise FileNotFoundError(
            f"{FILE_40.name} is neither in STN_COURSE_DATA nor in the cache, nor in their "
            f"{', '.join(PLACES)}"
        )
    return _read_file_40(split, *found)


def _file_40() -> tuple[Path, str] | None:
    return find_file(FILE_40, read_settings())


def _mnist_is_here() -> bool:
    """False, too, where STN_COURSE_DATA names a folder without it: it may hold the other file."""
    try:
        return not is_sample()
    except DataFolderError:
        return False


@lru_cache
def _read_file_40(split: str, path: Path, kind: str) -> ClutterSet:
    with arrays_of(path, FILE_40.name) as arrays:
        pixels = (arrays[f"X_{split}"] * 256).astype(np.int16).reshape(-1, 40, 40)
        labels = torch.from_numpy(arrays[f"y_{split}"].astype(np.int64))
    content = Stored(torch.from_numpy(pixels))
    return ClutterSet(labels, None, f"published 40x40 clutter, its file from {kind}", 40, content)


def generate(recipe: ClutterRecipe, allow_sample: bool = False) -> dict[str, ClutterSet]:
    """The "train", "valid" and "test" sets of any recipe, the last two from unseen digits.

    `boxes` are x0, y0, x1, y1 of each digit's 28x28 cell in pixels, from left to right, half-open:
    the cell is `image[y0:y1, x0:x1]`. The same recipe gives the same sets, on every machine.

    Raises FullMnistNeededError when only the 5 000-digit sample is here and `allow_sample` is
    not set.
    """
    if is_sample() and not allow_sample:
        raise FullMnistNeededError(
            f"this set is made of the full MNIST, and here is only the {source()}. Run "
            "`stn-course data` with a network, or put the MNIST files into a folder and name it "
            "in STN_COURSE_DATA. allow_sample=True makes " + SAMPLE_CLUTTER + "."
        )
    return dict(_generate(recipe, *(mnist(split) for split in SPLITS)))


@lru_cache(maxsize=4)
def _generate(recipe: ClutterRecipe, *digits: Digits) -> dict[str, ClutterSet]:
    of = dict(zip(SPLITS, digits, strict=True))
    stream = LegacyDraws(recipe.seed)
    patches = _cut_patches(recipe, stream, [of[split] for split in recipe.bank_splits])
    _draw_samples(recipe, stream, len(of["train"]), recipe.discarded)
    sets = {}
    for split, count in zip(SPLITS, recipe.sizes, strict=True):
        ids, at, patch_ids, patch_at = _draw_samples(recipe, stream, len(of[split]), count)
        sets[split] = ClutterSet(
            labels=of[split].labels[ids],
            boxes=torch.cat([at, at + SIDE], dim=-1),
            source=_name(recipe, of[split]),
            canvas=recipe.canvas,
            _content=Draws(
                digit_bank=of[split].images[:, 0],
                patch_bank=patches,
                digit_ids=ids.int(),
                digit_at=at.short(),
                patch_ids=patch_ids.int(),
                patch_at=patch_at.short(),
            ),
        )
    return sets


def _name(recipe: ClutterRecipe, digits: Digits) -> str:
    if digits.source == SAMPLE:
        return f"{SAMPLE_CLUTTER}: {digits.source}"
    kind = "published" if recipe in (PUBLISHED_40, PUBLISHED_100) else "other"
    return f"{kind} {recipe.canvas}x{recipe.canvas} clutter, regenerated from {digits.source}"


def _cut_patches(recipe: ClutterRecipe, stream: LegacyDraws, digits: list[Digits]) -> Tensor:
    """The distractor bank: uint8 [bank_size, S, S]."""
    bank = torch.cat([part.images[:, 0] for part in digits])  # [n, 28, 28]
    room = SIDE - recipe.patch_size
    drawn = torch.from_numpy(stream.rows((len(bank), room, room), recipe.bank_size))
    digit, x, y = drawn.unbind(1)
    windows = bank.unfold(1, recipe.patch_size, 1).unfold(2, recipe.patch_size, 1)
    return windows[digit, y, x]


def _draw_samples(
    recipe: ClutterRecipe, stream: LegacyDraws, n: int, count: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Digit ids [N, D] of n, their corners [N, D, 2], patch ids [N, P], their corners [N, P, 2]."""
    room = recipe.canvas - recipe.patch_size
    bounds = (
        *[n] * recipe.digits,
        2 * recipe.x_jitter,
        recipe.canvas,
        2 * recipe.slope,
        *[recipe.bank_size, room, room] * recipe.patches,
    )
    drawn = torch.from_numpy(stream.rows(bounds, count))
    ids, pose, patches = drawn.split([recipe.digits, 3, 3 * recipe.patches], dim=1)
    jitter, top, slope = pose.split(1, dim=1)  # [N, 1] each
    i = torch.arange(recipe.digits)
    x = recipe.x_start + jitter - recipe.x_jitter + SIDE * i  # [N, D]
    y = (top + (slope - recipe.slope) * i).clamp(0, recipe.canvas - SIDE)
    patches = patches.reshape(count, recipe.patches, 3)
    return ids, torch.stack([x, y], dim=-1), patches[..., 0], patches[..., 1:]
