"""What notebook 05 works with: squares and how they are missed, digits that stand or lean."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from stn_course import geometry
from stn_course.data import Digits, distortions, to_float
from stn_course.data.not_so_clevr import Squares
from stn_course.experiments import records, statistics
from stn_course.lessons import pictures
from stn_course.sampling import fused

POOL = 5000  # digits to draw from: as many as the offline sample has


def misses(network: nn.Module, *parts: Squares) -> Tensor:
    """x, y and by how many pixels a classifier of places misses them.  # [N, 3]"""
    centres = torch.cat([part.centres for part in parts])
    with torch.no_grad():
        cell = network(torch.cat([part.points for part in parts])).argmax(1)
    canvas = parts[0].canvas
    told = torch.stack([cell % canvas, cell // canvas], 1)
    off = (told - centres).float().norm(dim=1, keepdim=True)
    return torch.cat([centres.float(), off], 1)


def corners_read(h: Tensor) -> Tensor:
    """Where the output's corners are read by H [3, 3], clockwise from the top left.  # [4, 2]"""
    return geometry.transform_points(h[None], geometry.frame_corners(h))[0]


def projective(split: Digits, n: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """n digits of `split` under perspective as in P.

    -> (images [n, 1, 28, 28], labels [n], theta [n, 3, 3]).
    """
    index = torch.randint(min(POOL, len(split.images)), (n,), generator=generator)
    made = distortions.projective(to_float(split.images[index]), generator)
    return made.images, split.labels[index], made.theta


def dots(size: int = 48, width: float = 0.004) -> Tensor:
    """Five dots of different strength on an empty page, each narrow.  # [1, 1, size, size]

    width: the square of a dot's reach, in normalised units (a side is 2).
    """
    at = geometry.pixel_centres(size)
    places = ((-0.5, -0.5, 1), (0.4, -0.5, 0.6), (0, 0, 0.8), (0.5, 0.4, 0.9), (-0.5, 0.3, 0.5))
    away = [(ink, (at - x) ** 2 + (at[:, None] - y) ** 2) for x, y, ink in places]
    return sum(ink * torch.exp(-square / width) for ink, square in away)[None, None]


def accuracy_on(
    net: nn.Module, task: Callable, train: Digits, test: Digits, steps: int, seed: int = 0
) -> float:
    """Train `net` on what `task(digits, generator)` makes; percent right on 1 000 others."""
    generator = Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    pool = min(POOL, len(train.images))
    for _ in range(steps):
        index = torch.randint(pool, (64,), generator=generator)
        x, y = task(to_float(train.images[index]), generator)
        loss = F.cross_entropy(net(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x, y = task(to_float(test.images[:1000]), generator)
    with torch.no_grad():
        return 100 * (net(x).argmax(1) == y).float().mean().item()


def fitted(head, images: Tensor, targets: Tensor, steps: int, lr: float = 0.02):
    """Each image moved as near its target as Adam takes it, both a little blurred.

    head: a `geometry` parametrisation; images, targets [B, C, H, W]. Returns theta, and the
    squared difference that it leaves, summed over the pixels [B].
    """
    raw = head.identity().repeat(len(images), 1).requires_grad_()
    optimiser = torch.optim.Adam([raw], lr)
    a, b = (pictures.blur(geometry.widened(each), 1.0) for each in (images, targets))
    size = tuple(images.shape[2:])

    def left() -> Tensor:
        moved = fused.warp(a, head.on(raw, size), padding="zeros")
        return (moved - b).square().flatten(1).sum(1)  # [B]

    for _ in range(steps):
        optimiser.zero_grad()
        left().sum().backward()
        optimiser.step()
    return head.on(raw, size).detach(), left().detach()


def square_cell(task: str, network: str, split: str) -> str:
    """What records say of a network on squares: places right, and for drawn ones the overlap."""
    runs = records.load(f"clevr-{task}-{network}-{split}")
    text = statistics.mean_sd_text([run.accuracy(f"test/{split}") for run in runs])
    overlaps = [run.probes["test"]["iou"] for run in runs if "iou" in run.probes["test"]]
    if overlaps:
        text += f", IoU {sum(overlaps) / len(overlaps):.2f}"
    return text


# How far off corners are read: the name in the records -> in the figure.
MEASURES = {
    "written": "corners, from the truth",
    "common": "corners, from their common place",
    "inner": "the middle, from its common place",
}


def straightening(experiment: str) -> tuple[dict[str, tuple[float, list[float]]], float | None]:
    """Before and after the transformer, from the records: of each of MEASURES, in pixels.

    The median over the images before, where there is one set of them, and of each seed after
    (none where there is no transformer); and the smallest w of all seeds, None where no w is.
    No label prefers one pose, hence the common place; `inner` is half the frame, where the ink is.
    Raises LookupError without a record, ValueError where a median lies beyond the horizon.
    """
    runs = records.load(experiment)
    if not runs:
        raise LookupError(f"{experiment} has no record; `stn-course run {experiment}` makes it")
    found = {}
    for part, name in MEASURES.items():
        after = [run.probes["after"][part]["median"] for run in runs if "after" in run.probes]
        if None in after:
            raise ValueError(f"{experiment}: {name} lies beyond the horizon in the median")
        found[name] = runs[0].probes["before"][part]["median"], after
    least = [run.probes["w"]["smallest"] for run in runs if "w" in run.probes]
    return found, min(least, default=None)
