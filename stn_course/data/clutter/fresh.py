"""Cluttered digits drawn afresh, by the recipe of the published sets, and those sets as pixels.

`data.clutter` regenerates the published images number for number. Here the same recipe is
drawn on any device from the digits of a batch, so that no epoch needs to repeat itself.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from stn_course.data.clutter.dataset import ClutterSet
from stn_course.data.clutter.published import (
    PUBLISHED_40,
    PUBLISHED_100,
    SIDE,
    ClutterRecipe,
    generate,
)
from stn_course.data.digits import Digits, check_split
from stn_course.data.download import Settings, read_settings
from stn_course.data.scenes import check_floating, one_label_each, paste
from stn_course.geometry import one_of

ROWS = {"cluttered": PUBLISHED_40, "cluttered-28": PUBLISHED_40, "sequences": PUBLISHED_100}
SHRUNK = {"cluttered-28": 28}  # sides of what is shrunk, as XQ does before its networks read it


@dataclass(frozen=True)
class Rows:
    """`images` [B, 1, H, W]; `labels` [B] of single digits, [B, D] of rows, left to right.

    `boxes` int64 [B, D, 4]: x0, y0, x1, y1 of each digit's cell in pixels, half-open.
    """

    images: Tensor
    labels: Tensor
    boxes: Tensor


@dataclass(frozen=True)
class Places:
    """What rows are put together of, in whole numbers: of B rows, D digits and P patches each.

    Of a digit [B, D, 3]: which of the images it is, and x, y of its corner on the canvas. Of a
    patch [B, P, 5]: which of the images it is cut from, its corner there (x, y), and where it
    goes (x, y); a later patch covers an earlier one.
    """

    digits: Tensor
    patches: Tensor


def draw_places(recipe: ClutterRecipe, n: int, generator: Generator) -> Places:
    """Where `recipe` puts what, for a row that begins with each of n images.

    Digits after the first are any of the n, patches are cut from any other than the first.
    """
    device = generator.device

    def draw(below: int, *shape: int) -> Tensor:
        return torch.randint(below, shape, generator=generator, device=device)

    first = torch.arange(n, device=device)[:, None]
    ids = torch.cat([first, draw(max(n, 1), n, recipe.digits - 1)], 1)  # [B, D]
    i = torch.arange(recipe.digits, device=device)
    x = recipe.x_start - recipe.x_jitter + draw(2 * recipe.x_jitter, n, 1) + SIDE * i  # [B, D]
    slope = draw(2 * recipe.slope, n, 1) - recipe.slope
    y = (draw(recipe.canvas, n, 1) + slope * i).clamp(0, recipe.canvas - SIDE)
    room, patches, side = recipe.canvas - recipe.patch_size, recipe.patches, recipe.patch_size
    other = (first + 1 + draw(max(n - 1, 1), n, patches)) % max(n, 1)  # [B, P]
    top, left = draw(SIDE - side, n, patches), draw(SIDE - side, n, patches)
    at_x, at_y = draw(room, n, patches), draw(room, n, patches)
    return Places(torch.stack([ids, x, y], 2), torch.stack([other, left, top, at_x, at_y], 2))


def put_together(images: Tensor, places: Places, canvas: int, side: int) -> Tensor:
    """The rows of `images` [N, 1, 28, 28] at their places, with patches of that side.

    -> [B, 1, canvas, canvas] in [0, 1]
    """
    windows = images[:, 0].unfold(1, side, 1).unfold(2, side, 1)
    clutter, digits = (images.new_zeros(len(places.digits), canvas, canvas) for _ in "cd")
    other, left, top, at_x, at_y = places.patches.unbind(2)  # [B, P] each
    scraps = windows[other, top, left]  # [B, P, S, S]
    for k in range(scraps.shape[1]):  # in order: a later one covers an earlier one
        paste(clutter, scraps[:, k], at_x[:, k], at_y[:, k])
    for each in places.digits.unbind(1):
        which, x, y = each.unbind(1)
        paste(digits, images[which, 0], x, y)
    return (clutter + digits).clamp(0, 1)[:, None]


def draw_rows(recipe: ClutterRecipe, images: Tensor, labels: Tensor, generator: Generator) -> Rows:
    """Each of `images` [B, 1, 28, 28] as the first of a row, the others from the same batch.

    Patches are cut anywhere from other digits of the batch, and everything is placed as
    `recipe` says; its banks, sizes and seed do not matter. Raises TypeError for images that
    are not floating point (the sums are clipped to [0, 1]) and labels that are not whole, and
    ValueError for images of another size or another number of labels.
    """
    check_floating(images)
    labels = one_label_each(images, labels)
    if tuple(images.shape[1:]) != (1, SIDE, SIDE):
        raise ValueError(f"images have shape {list(images.shape)}; wanted [B, 1, {SIDE}, {SIDE}]")
    places = draw_places(recipe, len(images), generator)
    corner = places.digits[..., 1:]  # [B, D, 2]
    return Rows(
        images=put_together(images, places, recipe.canvas, recipe.patch_size),
        labels=_labels(labels[places.digits[..., 0]]),
        boxes=torch.cat([corner, corner + SIDE], 2),
    )


def cluttered_rows(images: Tensor, labels: Tensor, generator: Generator) -> Rows:
    """Single digits on 40x40 among five 5x5 patches, drawn afresh (`data.cluttered`)."""
    return draw_rows(PUBLISHED_40, images, labels, generator)


def shrunken_rows(images: Tensor, labels: Tensor, generator: Generator) -> Rows:
    """As `cluttered_rows`, shrunk to 28x28; boxes are rounded to whole pixels."""
    made, side = cluttered_rows(images, labels, generator), SHRUNK["cluttered-28"]
    boxes = (made.boxes * side / made.images.shape[-1]).round().long()
    return Rows(shrink(made.images, side), made.labels, boxes)


def shrink(images: Tensor, side: int) -> Tensor:
    """Float `images` [B, C, H, W] as [B, C, side, side], bilinear and unsmoothed, as `tf.image`."""
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False)


def sequence_rows(images: Tensor, labels: Tensor, generator: Generator) -> Rows:
    """Three digits on 100x100 among eight 9x9 patches, drawn afresh (`data.sequences`)."""
    return draw_rows(PUBLISHED_100, images, labels, generator)


def _labels(labels: Tensor) -> Tensor:
    return labels[:, 0] if labels.shape[1] == 1 else labels


def as_bytes(made: ClutterSet, part: slice) -> Tensor:
    """Images of a published set as uint8 [n, 1, H, W]: 256, where a digit meets clutter, is 255."""
    return made.images(part).mul_(256).clamp_(max=255).to(torch.uint8)


def published_rows(name: str, split: str, allow_sample: bool = True) -> Digits:
    """The published set `name` ("cluttered" or "sequences") as uint8 [N, 1, H, W].

    "cluttered-28" is the first of them, shrunk to 28x28. The 60 000 sequences take 600 MB; what
    was made is kept. Raises ValueError for another name or split.
    """
    one_of("name", name, ROWS)
    check_split(split)
    return _published_rows(name, split, allow_sample, read_settings())


@lru_cache(maxsize=6)
def _published_rows(name: str, split: str, allow_sample: bool, settings: Settings) -> Digits:
    made = generate(ROWS[name], allow_sample)[split]
    side = SHRUNK.get(name, made.canvas)
    pixels = torch.empty(len(made), 1, side, side, dtype=torch.uint8)
    for start in range(0, len(made), 500):
        part = slice(start, start + 500)
        whole = as_bytes(made, part)
        if side != made.canvas:
            whole = shrink(whole.float(), side).round().to(torch.uint8)
        pixels[part] = whole
    return Digits(pixels, _labels(made.labels), made.source)
