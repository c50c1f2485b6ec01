"""What notebook 04 works with: where the digits of a recipe stand, and what a network looks at.

Nothing here trains; the notebook has its own loop for that.
"""

import copy
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Generator, Tensor

from stn_course.data import (
    PUBLISHED_100,
    PUBLISHED_SHA256,
    ClutterRecipe,
    Rows,
    generate,
    is_sample,
    sequences,
)
from stn_course.data.clutter.fresh import draw_rows
from stn_course.data.clutter.published import SIDE
from stn_course.data.digits import SPLITS
from stn_course.experiments import records, statistics
from stn_course.experiments.statistics import NOT_YET
from stn_course.models.layers import evaluating
from stn_course.models.losses import as_rows
from stn_course.models.sequence import SequenceNet
from stn_course.training.record import RunRecord


# ---------------------------------------------------------------- how it was published
def one_by_one(
    generator: np.random.RandomState, digits: np.ndarray, scraps: np.ndarray
) -> np.ndarray:
    """The next 100x100 image as the published script makes it, number by number.  # [100, 100]

    digits [N, 28, 28] and scraps [P, 9, 9] are float32, P at most 100 000 (with fewer, scraps
    repeat). `choice` of a range makes an array of the range to take from, every time.
    """
    picked = generator.choice(range(len(digits)), size=3)
    left = 8 + generator.choice(range(-8, 8))
    top, slope = generator.choice(range(100)), generator.choice(range(-14, 14))
    row, clutter = np.zeros((2, 100, 100), np.float32)
    for i, k in enumerate(picked):
        x, y = left + SIDE * i, top + slope * i
        y = 0 if y < 0 else 72 if y + SIDE > 99 else y
        row[y : y + SIDE, x : x + SIDE] = digits[k]
    for _ in range(8):
        k, x, y = generator.randint(100_000), generator.randint(91), generator.randint(91)
        clutter[y : y + 9, x : x + 9] = scraps[k % len(scraps)]
    return np.clip(row + clutter, 0, 1)


def hash_lines() -> list[str]:
    """The SHA-256 of every part of the published set as it is made here, a line each.

    On the offline sample one line that says why there is none. Raises ValueError for a part that
    is not the published one.
    """
    if is_sample():
        return ["offline sample: other digits, so other pictures and hashes"]
    lines = []
    for split in SPLITS:
        for part, found in zip(("images", "labels"), sequences(split).sha256(), strict=True):
            if found != PUBLISHED_SHA256["sequences", split, part]:
                raise ValueError(f"{split} {part} differ from the published ones: {found}")
            lines.append(f"{split:<6} {part:<7} {found[:16]}… as published")
    return lines


def race(digits: Tensor, seed: int) -> list[str]:
    """How long a picture takes `one_by_one` and the package, on this machine now, a line each.

    digits: [N, 28, 28] of bytes.
    """
    generator, loop = np.random.RandomState(seed), np.float32(digits) / 256
    start = time.perf_counter()
    for _ in range(100):
        one_by_one(generator, loop, loop[:1000, 9:18, 9:18])
    naive = (time.perf_counter() - start) / 100
    fewer = replace(PUBLISHED_100, sizes=(10_000, 1, 1), seed=seed)
    start = time.perf_counter()
    rows = generate(fewer, allow_sample=True)["train"]
    for k in range(0, len(rows), 1000):
        rows.images(slice(k, k + 1000))
    ours = (time.perf_counter() - start) / len(rows)
    lines = [
        f"{name:<13}{1000 * took:6.3f} ms a picture, "
        f"{60_000 * took:4.0f} s for the 60 000 to learn from"
        for name, took in (("as published", naive), ("the package", ours))
    ]
    return [*lines, f"the package is {naive / ours:.0f} times as fast"]


# ---------------------------------------------------------------- where digits stand
def corners(recipe: ClutterRecipe) -> tuple[Tensor, Tensor]:
    """How likely each digit's cell begins at each column and row: two float64 [D, canvas].

    Exact, by going through all draws. Column and row are drawn independently.
    """
    i = torch.arange(recipe.digits)[:, None]
    x = recipe.x_start - recipe.x_jitter + torch.arange(2 * recipe.x_jitter) + SIDE * i
    slope = torch.arange(2 * recipe.slope) - recipe.slope
    rise = slope[None, :, None] * i[:, :, None]  # [D, slopes, 1]
    y = torch.arange(recipe.canvas)[None, None] + rise  # [D, slopes, tops]
    y = y.clamp(0, recipe.canvas - SIDE).flatten(1)

    def likely(places: Tensor) -> Tensor:
        counts = [torch.bincount(row, minlength=recipe.canvas) for row in places]
        return torch.stack(counts).double() / places.shape[1]

    return likely(x), likely(y)


def coverage(recipe: ClutterRecipe) -> Tensor:
    """How likely each pixel lies in some digit's 28x28 cell: float64 [canvas, canvas]."""
    columns, rows = (_spread(part) for part in corners(recipe))  # [D, canvas] each
    # Cells of one row stand side by side and never overlap, so their chances add up.
    return torch.einsum("dy,dx->yx", rows, columns)


def _spread(starts: Tensor) -> Tensor:
    """From where a cell begins to how likely it covers each place.  # [D, canvas]"""
    total = starts.cumsum(1)
    return total - torch.cat([torch.zeros_like(total[:, :SIDE]), total[:, :-SIDE]], 1)


def best_fixed_glance(
    recipe: ClutterRecipe = PUBLISHED_100,
) -> list[tuple[float, tuple[int, int]]]:
    """For each digit the 28x28 box that overlaps its cell best without ever seeing an image.

    (mean intersection over union, (x, y) of the box's upper left corner): the best of all.
    """
    place = torch.arange(recipe.canvas - SIDE + 1)
    shared = (SIDE - (place[:, None] - place).abs()).clamp(min=0).double()  # [boxes, places]
    found = []
    for columns, rows in zip(*corners(recipe), strict=True):
        some = columns.nonzero()[:, 0]  # columns in which the cell can begin
        both = shared[:, None, some, None] * shared[None, :, None, :]  # [x, y, x places, y places]
        ratio = both / (2 * SIDE**2 - both)
        mean = torch.einsum("xyab,a,b->xy", ratio, columns[some], rows[: len(place)])
        # Several boxes may be the best: the first of them, whatever the last bits of a sum are.
        x, y = divmod(int(mean.round(decimals=12).argmax()), len(place))
        found.append((float(mean[x, y]), (x, y)))
    return found


# ---------------------------------------------------------------- what is in the way
def ink_in_the_way(recipe: ClutterRecipe, images: Tensor, labels: Tensor, seed: int):
    """Rows drawn twice, with and without patches: the rows, and the clutter in each cell.

    images [B, 1, 28, 28] as for `draw_rows`. The second is the mean brightness that patches add
    to a digit's 28x28 cell: [B, D].
    """
    rows = draw_rows(recipe, images, labels, Generator().manual_seed(seed))
    # Patches are drawn last, so without them the same seed gives the same digits and places.
    bare = draw_rows(replace(recipe, patches=0), images, labels, Generator().manual_seed(seed))
    added = (rows.images - bare.images)[:, 0]  # [B, H, W]
    means = [
        [added[b, y0:y1, x0:x1].mean() for x0, y0, x1, y1 in boxes]
        for b, boxes in enumerate(rows.boxes.tolist())
    ]
    return rows, torch.tensor(means)


# ---------------------------------------------------------------- what a network looks at
@dataclass(frozen=True)
class Seen:
    """`theta` [B, steps, 2, 3], `glimpses` [B, steps, C, H, W], `beliefs` [B, D, classes]."""

    theta: Tensor
    glimpses: Tensor
    beliefs: Tensor


@torch.no_grad()
def look(net: SequenceNet, images: Tensor) -> Seen:
    """Where `net` (in eval mode) looks at images [B, C, h, w], what it sees, what it believes.

    Raises TypeError or ValueError for images that the network was not made for, and for none.
    """
    if net.training:
        raise ValueError("net is in training mode, where dropout changes what it says; wanted eval")
    net.check(images)
    if not len(images):
        raise ValueError("images is empty; wanted at least one")
    glimpses = net.look(images)
    logits = net.reader(glimpses).reshape(len(images), net.digits, -1)
    steps = net.theta.shape[1]
    return Seen(net.theta, glimpses.unflatten(0, (-1, steps)), logits.softmax(2))


def score(net: SequenceNet, rows: Rows) -> tuple[float, float]:
    """Digits and whole rows that `net` reads right, in percent; its mode stays as it was."""
    with evaluating(net):
        logits = torch.cat([net(part) for part in rows.images.split(250)])
    right = logits.argmax(2) == as_rows(rows.labels.view(len(rows.labels), -1), logits)  # [B, D]
    return 100 * right.float().mean().item(), 100 * right.all(1).float().mean().item()


def ask(net: SequenceNet, recipe: ClutterRecipe, images: Tensor, labels: Tensor, steps: int):
    """Rows drawn by `recipe`, what `net` sees of them in `steps` glances, and what is right.

    images, labels: as for `draw_rows`, all unseen; the rows may be longer and wider than those
    that `net` (an RNN-SPN without `starts`, in eval mode) learned with. -> (Rows, Seen,
    percent right of each digit of the row). Raises ValueError for a network that cannot take
    another number of glances, and for fewer glances than digits.
    """
    if getattr(getattr(net, "transformer", None), "starts", ...) is not None:
        raise ValueError(f"net is {type(net).__name__}; wanted an RNN-SPN without starts")
    if steps < recipe.digits:
        raise ValueError(f"steps={steps}; wanted at least {recipe.digits}, one a digit")
    more = copy.deepcopy(net)
    more.digits = more.transformer.steps = steps
    more.size = (recipe.canvas, recipe.canvas)
    rows = draw_rows(recipe, images, labels, Generator().manual_seed(3))
    seen = look(more, rows.images)
    right = seen.beliefs[:, : recipe.digits].argmax(2) == rows.labels.view(len(images), -1)
    return rows, seen, (100 * right.float().mean(0)).tolist()


def record_rows(names: dict[str, str], which: str = "test/sequences") -> list[list[str]]:
    """For each name and experiment: digits right, words right, and what independence would give.

    Rows of text, mean ± sd over the seeds; "not yet run" where there is no record.
    """
    rows = []
    for name, experiment in names.items():
        runs = records.load(experiment)
        if not runs:
            rows.append([name, NOT_YET, "-", "-", "-"])
            continue
        digits = [r.accuracy(which) for r in runs]
        words = [word_percent(r, which) for r in runs]
        third = 100 * (np.mean(digits) / 100) ** digits_a_row(runs[0], which)
        parameters = f"{runs[0].parameters:,}".replace(",", " ")
        rows.append([name, _text(digits), _text(words), f"{third:.2f}", parameters])
    return rows


def overlap_lines(runs: dict[str, list[RunRecord]]) -> list[str]:
    """The mean IoU of the finished networks' glimpses on validation images, a line a name.

    One number a glimpse, the mean over the seeds; "not yet run" where there is no record.
    """
    lines = []
    for name, found in runs.items():
        steps = [run.probes["glimpses"]["valid_iou"] for run in found]  # [seeds, steps]
        each = [f"{mean:.2f}" for mean in np.mean(steps, 0)] if steps else [NOT_YET]
        lines.append(f"{name}: {', '.join(each)}")
    return lines


def digits_a_row(run: RunRecord, which: str) -> int:
    """Digits in one row of the set: 3 of the published sequences, 1 of the 40x40 images."""
    return 3 if which.endswith("sequences") else 1


def word_percent(run: RunRecord, which: str = "test/sequences") -> float:
    """Rows of the set in which every digit was right, in percent."""
    result = run.results[which]
    return 100 * result["words"] * digits_a_row(run, which) / result["total"]


def _text(values: Iterable[float]) -> str:
    mean, sd, n = statistics.mean_sd(list(values))
    return f"{mean:.2f} ± {sd:.2f} (n = {n})" if n > 1 else f"{mean:.2f} (one seed)"
