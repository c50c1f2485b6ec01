"""The recipes by name; what each makes of a digit; frozen sets; each kind alone."""

import dataclasses
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from stn_course.data import own
from stn_course.data.clutter.fresh import Rows, cluttered_rows, sequence_rows, shrunken_rows
from stn_course.data.digits import Digits, mnist
from stn_course.data.distortions import (
    HR,
    Distorted,
    Ranges,
    draw_affine,
    draw_elastic,
    draw_projective,
    elastic,
    gentle,
    hard,
    hr,
    mild,
    pose,
    projective,
    rotated,
    rts,
)
from stn_course.data.files import CANNOT_UNPACK, CorruptFileError, is_whole, sum_of
from stn_course.data.scenes import Sums, addition, colocalisation, tc
from stn_course.data.words import (
    ALPHABET,
    FLAT,
    Bent,
    flat_words,
    straight_scenes,
    word_scenes,
)
from stn_course.data.words.flat import DIGITS as SIGNS
from stn_course.files import written_whole
from stn_course.geometry import as_int64, one_of, whole_number
from stn_course.sampling import fused

SIDE = 28  # of an MNIST digit

DISTORTIONS: dict[str, Callable[[Tensor, Generator], Distorted]] = {
    "hard": hard,
    "mild": mild,
    "pose": pose,
    "gentle": gentle,
    "hr": hr,
    "r": rotated,
    "rts": rts,
    "p": projective,
    "e": elastic,
    "tc": tc,
    "colocalisation": colocalisation,
}
# Recipes that change the labels as well.
TASKS: dict[str, Callable[[Tensor, Tensor, Generator], Sums | Rows | Bent]] = {
    "addition": addition,
    "cluttered": cluttered_rows,
    "cluttered-28": shrunken_rows,
    "sequences": sequence_rows,
    "words": word_scenes,
    "words-straight": straight_scenes,
}
# Recipes whose course depends on what was drawn: a GPU must be waited for.
WAITS = ("p",)
# What a recipe is made of where that is no digit: of a split, and (H, W) and labels of one.
Base = tuple[Callable[[str], Digits], tuple[int, int], tuple[int, ...]]
BASES: dict[str, Base] = dict.fromkeys(("words", "words-straight"), (flat_words, FLAT, (SIGNS,)))
# How many classes a label is one of, where they are not the ten digits.
CLASSES = {"addition": 19} | dict.fromkeys(BASES, len(ALPHABET))


def make(
    name: str, images: Tensor, labels: Tensor, generator: Generator
) -> tuple[Distorted | Sums | Rows | Bent, Tensor]:
    """What the recipe `name` makes of float `images` [B, 1, H, W], and its labels in int64.

    `labels` [B], or [B, D] of what is a row already: whole numbers. Raises ValueError for an
    unknown name and another number of labels, TypeError for labels of another kind.
    """
    one_of("name", name, (*DISTORTIONS, *TASKS))
    labels = _labels_of(images, labels)
    if name in TASKS:
        made = TASKS[name](images, labels, generator)
        return made, made.labels
    return DISTORTIONS[name](images, generator), labels


def base(name: str | None, split: str, digits: Callable[[str], Digits] | None = None) -> Digits:
    """What the recipe `name` is made of: `digits` (MNIST's), or pictures and labels of its own."""
    return BASES[name][0](split) if name in BASES else (digits or mnist)(split)


def _labels_of(images: Tensor, labels: Tensor) -> Tensor:
    labels = as_int64(labels, "labels")
    if labels.ndim not in (1, 2) or len(labels) != len(images):
        n = len(images)
        raise ValueError(f"labels have shape {list(labels.shape)}; wanted [{n}] or [{n}, digits]")
    return labels


@lru_cache
def shape(name: str) -> tuple[int, int, int]:
    """(C, H, W) of what the recipe `name` makes of a 28x28 digit (or of what it is made of), found
    by making one, or of a set of one's own.
    """
    if name in own.SETS:
        return own.SETS[name].shape
    return tuple(_one(name)[0].images.shape[1:])


@lru_cache
def answers(name: str) -> tuple[int, int]:
    """How many labels an image of the recipe or set `name` has, and of how many classes each."""
    if name in own.SETS:
        return own.SETS[name].answers
    return _one(name)[1].numel(), CLASSES.get(name, 10)


def _one(name: str) -> tuple[Distorted | Sums | Rows | Bent, Tensor]:
    _, size, row = BASES.get(name, (None, (SIDE, SIDE), ()))
    blank, label = torch.zeros(1, 1, *size), torch.zeros(1, *row, dtype=torch.long)
    return make(name, blank, label, Generator().manual_seed(0))


def freeze(
    name: str, images: Tensor, labels: Tensor, seed: int, batch: int = 2000
) -> tuple[Distorted | Sums | Rows | Bent, Tensor]:
    """As `make`, once for all of uint8 `images` [N, 1, H, W]; its images are uint8 too.

    Drawn on the CPU and then brought to the images' device: each device has a stream of its own,
    and a seed shall mean one set. Raises as `make`, and TypeError for images that are not uint8.
    """
    one_of("name", name, (*DISTORTIONS, *TASKS))
    if images.dtype != torch.uint8:
        raise TypeError(f"images are {images.dtype}; wanted torch.uint8")
    labels = _labels_of(images, labels)
    seed, batch = whole_number("seed", seed, least=0), whole_number("batch", batch)
    device, generator = images.device, Generator().manual_seed(seed)
    made, made_labels = [], []
    for part, its_labels in zip(images.cpu().split(batch), labels.cpu().split(batch), strict=True):
        one, new_labels = make(name, part.float() / 255, its_labels, generator)
        whole = one.images.mul(255).round().to(torch.uint8)
        made.append(dataclasses.replace(one, images=whole))
        made_labels.append(new_labels)
    fields = {
        f.name: torch.cat([getattr(one, f.name) for one in made]).to(device)
        for f in dataclasses.fields(made[0])
    }
    return type(made[0])(**fields), torch.cat(made_labels).to(device)


# ---------------------------------------------------------------- each kind alone
ALONE = {
    "rotation": Ranges(angle=HR.angle),
    "shear": Ranges(shear=HR.shear),
    "shift": Ranges(shift=HR.shift),
    "zoom": Ranges(HR.scale_x, HR.scale_y),
}


def kinds(images: Tensor, generator: Generator) -> dict[str, Distorted]:
    """`images` [B, 1, H, W] under each kind of distortion alone, for a gallery.

    rotation, shear, shift and zoom as far as HR goes, perspective as in P and elastic as in
    E but without their scale; 5 and 1.5 px are those of a picture with a side of 28 pixels, its
    shorter one where it is not square. The canvas stays as it is: pad the digits to give them room.
    """
    n, size = len(images), tuple(images.shape[2:])
    thetas = {name: draw_affine(ranges, n, generator, size) for name, ranges in ALONE.items()}
    side = tuple(round(SIDE * each / min(size)) for each in size)
    thetas["perspective"] = draw_projective(n, generator, side, scale=(1.0, 1.0))
    thetas["elastic"] = draw_elastic(n, generator, side, scale=(1.0, 1.0))
    return {
        name: Distorted(fused.warp(images, theta, padding="zeros"), theta)
        for name, theta in thetas.items()
    }


def write_npz(name: str, path: Path, split: str = "train", seed: int = 0) -> dict[str, tuple]:
    """Draw the recipe `name` once over its `base` of `split`; write them to `path`, an npz.

    It holds `images` uint8 [N, C, H, W], `labels`, what the recipe knows of the motion
    (`theta`, ...), `digits`, what they were made from, and `sha256`, which every reader compares.
    Returns the shapes. Raises ValueError for an unknown recipe or split and for a path that does
    not end in .npz.
    """
    if Path(path).suffix != ".npz":
        raise ValueError(f"path={str(path)!r}; wanted a name that ends in .npz")
    digits = base(name, split)
    made, labels = freeze(name, digits.images, digits.labels, seed)
    arrays = {key: value.numpy() for key, value in vars(made).items()} | {"labels": labels.numpy()}
    told = arrays | {"digits": np.array(digits.source)}
    with written_whole(path) as partial:
        np.savez_compressed(partial, **told, sha256=sum_of(told))
    return {key: value.shape for key, value in arrays.items()}


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays that `write_npz` wrote to `path`, by name.

    Raises CorruptFileError for a file that is damaged, or that `write_npz` did not write.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        whole = is_whole(arrays)
    except FileNotFoundError:
        raise
    except (*CANNOT_UNPACK, TypeError, AttributeError, MemoryError) as error:
        told = f"{path} is no set that can be read ({type(error).__name__}: {error})"
        raise CorruptFileError(told) from None
    if not whole:
        raise CorruptFileError(f"{path} is damaged: its arrays are not those of its SHA-256")
    del arrays["sha256"]
    return arrays
