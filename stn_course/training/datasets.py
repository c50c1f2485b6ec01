"""The images that a configuration trains on and is measured on, resident on a device."""

import torch
from torch import Tensor
from torch.nn import functional as F

from stn_course.data import Digits, freeze, mnist, own, published_rows, recipes
from stn_course.data.clutter.fresh import ROWS
from stn_course.data.seeding import FREEZE, TEST, stream
from stn_course.training.config import CLEAN, Config


def training_set(config: Config, seed: int, device: torch.device) -> tuple[Tensor, Tensor, str]:
    """(images uint8 [N,C,H,W], labels [N], source of the digits), resident on `device`.

    Frozen rows of digits are those of the published set.
    """
    splits = config.train_on.split("+")
    given = config.frozen and (config.distort in ROWS or config.distort in own.SETS)
    parts = [
        _given(config.distort, s) if given else recipes.base(config.distort, s, mnist)
        for s in splits
    ]
    if len(parts) == 1:  # as it is: a copy of the sequences would take another 600 MB
        images, labels = parts[0].images, parts[0].labels
    else:
        images, labels = (torch.cat([getattr(p, f) for p in parts]) for f in ("images", "labels"))
    images, labels = images[: config.limit].to(device), labels[: config.limit].to(device)
    if config.frozen and not given:
        made, its_labels = freeze(config.distort, images, labels, stream(FREEZE, seed))
        if config.with_clean:
            images = torch.cat([made.images, pad_to(images, config.shape)])
            labels = torch.cat([its_labels, labels])
        else:
            images, labels = made.images, its_labels
    return images, labels, parts[0].source


def _given(name: str, split: str) -> Digits:
    """A split of a published set, or of one's own, as it is."""
    return own.part(name, split) if name in own.SETS else published_rows(name, split)


def pad_to(images: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """`images` [N, C, h, w] in the middle of a black frame: [N, C, H, W] of `shape`."""
    y, x = shape[1] - images.shape[2], shape[2] - images.shape[3]
    return F.pad(images, (x // 2, x - x // 2, y // 2, y - y // 2))


def test_set(
    split: str, name: str, device: torch.device, shape: tuple[int, int, int] | None = None
) -> Digits:
    """`split` under the recipe `name`, each digit distorted once, the same for every run.

    Of `cluttered` and `sequences` the published split.
    With the `shape` of a configuration's images, smaller ones get a black frame.
    """
    given = name in ROWS or name in own.SETS
    digits = _given(name, split) if given else recipes.base(name, split, mnist)
    images, labels = digits.images.to(device), digits.labels.to(device)
    if name != CLEAN and not given:
        seed = stream(TEST, ("train", "valid", "test").index(split))
        made, labels = freeze(name, images, labels, seed)
        images = made.images
    return Digits(pad_to(images, shape) if shape else images, labels, digits.source)


def first_of(held: Digits, limit: int | None) -> Digits:
    """The first `limit` of a set; None: all."""
    return Digits(held.images[:limit], held.labels[:limit], held.source)
