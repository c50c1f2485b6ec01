"""Scenes made of several digits: clutter, pairs to add, and a digit to be found.

Seeded, on any device, with the truth returned, as in `data.distort`. The recipes are those
of the STN paper (Jaderberg et al. 2015, arXiv 1506.02025) and, for what it leaves open about
scraps of other digits, of the published cluttered sets (`data.clutter`).
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from stn_course.data.distortions import Distorted, rts
from stn_course.geometry import as_int64, box_to_theta, whole_number


@dataclass(frozen=True)
class Placed(Distorted):
    """A digit somewhere on a canvas; `boxes` int64 [B, 4] are x0, y0, x1, y1 of its cell.

    In pixels and half-open, as in `data.ClutterSet`: the cell is `image[y0:y1, x0:x1]`.
    """

    boxes: Tensor


@dataclass(frozen=True)
class Sums:
    """Pairs to add: `images` [B, 2, 42, 42], one digit a channel, `labels` [B] in 0 ... 18.

    `digits` [B, 2] are the two summands and `theta` [B, 2, 2, 3] the pose of each.
    """

    images: Tensor
    theta: Tensor
    labels: Tensor
    digits: Tensor


def tc(images: Tensor, generator: Generator) -> Placed:
    """STN's TC: a digit anywhere on 60x60 among six 6x6 patches of other digits."""
    return place(images, generator, canvas=60, patches=6)


def colocalisation(images: Tensor, generator: Generator, patches: int = 16) -> Placed:
    """STN's co-localisation: a 28x28 digit anywhere on 84x84, among 6x6 patches of others.

    `patches=0` is its translated set. How many its cluttered one has is not stated in
    any text that could be checked. A box counts as found if its `iou` with `boxes` is > .5.
    """
    return place(images, generator, canvas=84, patches=patches)


def check_floating(images: Tensor) -> None:
    """TypeError for bytes: what is pasted is clipped to [0, 1], and every byte would be 0 or 1."""
    if not images.is_floating_point():
        raise TypeError(f"images are {images.dtype}; wanted floating point in [0, 1]")


def one_label_each(images: Tensor, labels: Tensor) -> Tensor:
    """`labels` [B] of `images` [B, ...] in int64; TypeError or ValueError for others."""
    labels = as_int64(labels, "labels")
    if labels.shape != (len(images),):
        raise ValueError(
            f"labels have shape {list(labels.shape)}; wanted [{len(images)}], one an image"
        )
    return labels


def place(
    images: Tensor, generator: Generator, canvas: int, patches: int, patch_size: int = 6
) -> Placed:
    """`images` [B, 1, h, w], each at a whole pixel of a square canvas, among `patches`.

    The patches are cut anywhere from other digits of the batch (from the digit itself only
    if it is alone), pasted on an empty canvas, the later one on top; then the digit is
    added and the sum clipped to 1.

    Raises TypeError for images that are not floating point and ValueError for a canvas or patch
    into which nothing fits.
    """
    check_floating(images)
    canvas, patch_size = whole_number("canvas", canvas), whole_number("patch_size", patch_size)
    patches = whole_number("patches", patches, least=0)
    n, channels, h, w = images.shape
    if channels != 1 or canvas < max(h, w) or patch_size > min(h, w):
        raise ValueError(
            f"images {list(images.shape)}, canvas={canvas}, patches={patches} and "
            f"patch_size={patch_size} give no scene; wanted [B, 1, h, w] that fits the canvas"
        )

    def draw(below: int, *shape: int) -> Tensor:
        return torch.randint(below, shape, generator=generator, device=generator.device)

    x, y = draw(canvas - w + 1, n), draw(canvas - h + 1, n)
    own = torch.arange(n, device=generator.device)[:, None]
    other = (own + 1 + draw(max(n - 1, 1), n, patches)) % max(n, 1)  # [B, P]
    top, left = (draw(size - patch_size + 1, n, patches) for size in (h, w))
    at_x, at_y = (draw(canvas - patch_size + 1, n, patches) for _ in "xy")
    windows = images[:, 0].unfold(1, patch_size, 1).unfold(2, patch_size, 1)
    scraps = windows[other, top, left]  # [B, P, S, S]
    clutter, digits = (images.new_zeros(n, canvas, canvas) for _ in "cd")
    for k in range(patches):
        paste(clutter, scraps[:, k], at_x[:, k], at_y[:, k])
    paste(digits, images[:, 0], x, y)
    scene = (clutter + digits).clamp(0, 1)[:, None]  # [B, 1, canvas, canvas]
    boxes = torch.stack([x, y, x + w, y + h], 1)
    return Placed(scene, box_to_theta(boxes, canvas), boxes)


def paste(canvas: Tensor, parts: Tensor, x: Tensor, y: Tensor) -> None:
    """Write `parts` [B, h, w] into `canvas` [B, H, W] with their corners at x, y [B]."""
    h, w = parts.shape[1:]
    rows = y[:, None, None] + torch.arange(h, device=y.device)[:, None]
    columns = x[:, None, None] + torch.arange(w, device=x.device)
    index = rows * canvas.shape[2] + columns  # [B, h, w]
    canvas.flatten(1).scatter_(1, index.flatten(1), parts.flatten(1))


def addition(images: Tensor, labels: Tensor, generator: Generator) -> Sums:
    """STN's MNIST addition: each digit beside a second one, both as in RTS, 19 classes.

    The second is drawn from the same `images` [B, 1, 28, 28] with `labels` [B]. Raises TypeError
    for labels that are not whole numbers, ValueError for another number of them.
    """
    n, device = len(images), generator.device
    labels = one_label_each(images, labels)
    second = torch.randint(max(n, 1), (n,), generator=generator, device=device)
    made = [rts(images, generator), rts(images[second], generator)]
    digits = torch.stack([labels, labels[second]], 1)  # [B, 2]
    return Sums(
        images=torch.cat([part.images for part in made], 1),
        theta=torch.stack([part.theta for part in made], 1),
        labels=digits.sum(1),
        digits=digits,
    )
