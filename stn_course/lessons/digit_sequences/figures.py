"""The figures of notebook 04: where digits stand, where a network looks, curves and counts.

Images are arrays or tensors [H, W] or [1, H, W], 0 white to 1 black; theta maps output to input
coordinates.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stn_course.analysis.plots import GREY, OCHRE, RED, SAGE, TEAL, VIOLET, show_image
from stn_course.experiments.statistics import mean_sd
from stn_course.geometry import to_pixels, transform_points
from stn_course.sampling import outline
from stn_course.training.record import RunRecord

GLANCES = (RED, TEAL, OCHRE, VIOLET, SAGE)  # first, second, third, ...
DASHES = ("", "5 2", "5 2 1 2", "9 2", "9 2 1 2 1 2")  # of their lines, in widths of the line


def colour_of(step: int) -> str:
    """The colour of glance `step`, from 0; after the last the first comes again."""
    return GLANCES[step % len(GLANCES)]


def dashes_of(step: int):
    """The line of glance `step` as matplotlib has it: solid, dashed, dashes and dots, ..."""
    lengths = [float(length) for length in DASHES[step % len(DASHES)].split()]
    return (0, lengths) if lengths else "-"


def quad(theta, size: tuple[int, int]) -> np.ndarray:
    """The closed outline of what theta [2, 3] reads of an image of `size` (h, w).  # [5, 2]

    In pixels, x first, 0 at the first centre.
    """
    corners = outline(torch.as_tensor(theta, dtype=torch.float64)[None])[0].numpy()
    return (np.vstack([corners, corners[:1]]) + 1) * size[::-1] / 2 - 0.5


def draw_glances(ax: Axes, thetas, size: tuple[int, int], only: int | None = None) -> None:
    """The outlines of thetas [T, 2, 3] over an image of `size` (h, w), a colour and a line a step.

    They are cut off outside the image, whose edge is dotted.
    """
    height, width = size
    edge = plt.Rectangle((-0.5, -0.5), width, height, fill=False, color=GREY, lw=0.8, ls=":")
    ax.add_patch(edge)
    for step, theta in enumerate(thetas):
        if only is None or step == only:
            look = {"color": colour_of(step), "ls": dashes_of(step), "lw": 1.8}
            ax.plot(*quad(theta, size).T, **look)
    room = 0.12 * width
    ax.set(xlim=(-room, width - 1 + room), ylim=(height - 1 + room, -room))


def glances(images, thetas, glimpses, said: Sequence[Sequence[str]] | None = None) -> Figure:
    """Above, images with their glances; below, what each glance sees, and what is said of it.

    images [N, 1, H, W]; thetas [N, T, 2, 3]; glimpses [N, T, 1, h, w]; said: N rows of T texts.
    """
    n, steps = len(images), len(thetas[0])
    height = 1.9 + 0.95 * steps
    fig, axes = plt.subplots(
        1 + steps,
        n,
        figsize=(1.9 * n, height),
        squeeze=False,
        height_ratios=[2] + [1] * steps,
        constrained_layout=True,
    )
    for k in range(n):
        show_image(axes[0, k], images[k])
        draw_glances(axes[0, k], thetas[k], np.shape(images[k])[-2:])
        for step in range(steps):
            ax = axes[1 + step, k]
            show_image(ax, glimpses[k][step])
            ax.spines[:].set(color=colour_of(step), linestyle=dashes_of(step), linewidth=2.5)
            if said is not None:
                ax.set_ylabel(said[k][step], rotation=0, ha="right", va="center", fontsize=10)
    return fig


def building(parts: dict[str, np.ndarray]) -> Figure:
    """Images of one size side by side under their names."""
    fig, axes = plt.subplots(1, len(parts), figsize=(2.1 * len(parts), 2.4), squeeze=False)
    for ax, (name, image) in zip(axes[0], parts.items(), strict=True):
        show_image(ax, image, name)
    fig.tight_layout()
    return fig


def where_digits_stand(chance, rows) -> Figure:
    """How likely each pixel lies in a digit's cell; how likely each digit's cell begins in a row.

    chance [H, W]; rows [D, H].
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.3), width_ratios=[1, 1.25])
    shown = left.imshow(100 * np.asarray(chance), cmap="magma_r", vmin=0)
    left.set(xticks=[], yticks=[], title="some digit's cell is here (%)")
    left.grid(False)
    fig.colorbar(shown, ax=left, shrink=0.85)
    for i, row in enumerate(np.asarray(rows)):
        colour = colour_of(i)
        last = int(row.nonzero()[0].max())
        at = np.arange(last + 1)
        right.plot(at, 100 * row[: last + 1], color=colour, lw=1.5, label=f"digit {i + 1}")
        right.plot(last, 100 * row[last], "o", color=colour)
    right.set(xlabel="its cell begins in row", ylabel="chance (%)", ylim=(0, None))
    right.legend(fontsize=8)
    fig.tight_layout()
    return fig


def sampling_points(images, thetas, glimpses, size: tuple[int, int]) -> Figure:
    """For each image: it, the points where its one glance reads (red), and what comes out.

    images [N, 1, H, W]; thetas [N, 2, 3]; glimpses [N, 1, h, w]; size: (h, w), every second point
    is drawn.
    """
    n = len(images)
    fig, axes = plt.subplots(3, n, figsize=(1.7 * n, 4.6), squeeze=False, constrained_layout=True)
    for above, middle, below, image, theta, out in zip(
        *axes, images, thetas, glimpses, strict=True
    ):
        shape = np.shape(image)[-2:]
        show_image(above, image)
        show_image(middle, image)
        y, x = ((2 * np.arange(k) + 1) / k - 1 for k in size)
        unit = torch.from_numpy(np.stack(np.meshgrid(x[::2], y[::2]), 2).reshape(-1, 2))
        read = transform_points(torch.as_tensor(theta, dtype=torch.float64)[None], unit)
        places = to_pixels(read[0], shape).numpy()
        middle.plot(*places.T, ".", ms=1.6, color="#d1242f")
        draw_glances(middle, [theta], shape)
        show_image(below, out)
    for ax, name in zip(axes[:, 0], ("input", "read here", "comes out"), strict=True):
        ax.set_ylabel(name)
    return fig


def through_training(images, history: Sequence[tuple[int, np.ndarray]]) -> Figure:
    """The same images down, training across: where each step looks, one colour a step.

    history: (rows seen, thetas [N, T, 2, 3]) each.
    """
    shape = (len(images), len(history))
    size = (1.6 * shape[1], 1.65 * shape[0] + 0.2)
    fig, axes = plt.subplots(*shape, figsize=size, squeeze=False, constrained_layout=True)
    for column, (seen, thetas) in enumerate(history):
        for row, image in enumerate(images):
            ax = axes[row, column]
            show_image(ax, image, f"{seen:,} rows seen".replace(",", " ") if row == 0 else "")
            draw_glances(ax, thetas[row], np.shape(image)[-2:])
    return fig


def mean_boxes(runs: dict[str, list[RunRecord]], canvas: int, moments: int = 6) -> Figure:
    """Where the glances of recorded runs are on average, epoch after epoch: one colour a glance.

    runs: name -> its records, of which the first that kept `glimpse_boxes` is drawn, a row each; a
    name without one says "not yet run".
    """
    fig, axes = plt.subplots(
        len(runs),
        moments,
        figsize=(1.55 * moments, 1.75 * len(runs) + 0.2),
        squeeze=False,
        constrained_layout=True,
    )
    for row, (name, found) in zip(axes, runs.items(), strict=True):
        row[0].set_ylabel(name, fontsize=9)
        kept = [run.curves["glimpse_boxes"] for run in found if "glimpse_boxes" in run.curves]
        last = len(kept[0]) if kept else 1
        epochs = np.unique(np.geomspace(1, last, moments).round().astype(int))
        for ax, epoch in zip(row, epochs, strict=False):
            ax.set_title(f"epoch {epoch}" if kept else "not yet run", fontsize=9)
            for step, (x0, y0, x1, y1) in enumerate(kept[0][epoch - 1] if kept else ()):
                box = [[x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0]]
                ax.plot(*box, color=colour_of(step), ls=dashes_of(step), lw=1.8)
        for ax in row:
            ax.add_patch(plt.Rectangle((0, 0), canvas, canvas, fill=False, color=GREY, lw=1))
            room = 0.12 * canvas
            ax.set(xlim=(-room, canvas + room), ylim=(canvas + room, -room), aspect="equal")
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            ax.spines[:].set_visible(False)
        for ax in row[len(epochs) :]:
            ax.set_visible(False)
    return fig


def follows(true, looked, canvas: int) -> Figure:
    """Where each digit's cell is centred against where its glance is: x left, y right.

    true, looked: [N, T, 2] in pixels. A glance that never saw the image would give level rows.
    """
    true, looked = np.asarray(true, float), np.asarray(looked, float)
    fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.4))
    for axis, ax in enumerate(axes):
        for step in range(true.shape[1]):
            x, y = true[:, step, axis], looked[:, step, axis]
            name = f"glance {step + 1}"
            ax.plot(x, y, ".", ms=4, alpha=0.5, color=colour_of(step), label=name)
        ends = [14, canvas - 14]
        ax.plot(ends, ends, color=GREY, lw=0.8, ls=":")
        ax.set(xlabel=f"digit centred at {'xy'[axis]} (pixels)", ylim=(-4, canvas + 4))
        ax.set_ylabel(f"glance centred at {'xy'[axis]}")
    axes[0].legend(fontsize=8)
    fig.tight_layout()
    return fig


INK = TEAL


def two_learning(curves: dict[str, tuple[Sequence[int], Sequence[float]]]) -> Figure:
    """Digits right while learning, one curve a name: name -> (rows seen, percent)."""
    fig, ax = plt.subplots(figsize=(6, 3))
    for k, (name, (seen, right)) in enumerate(curves.items()):
        ax.plot(seen, right, marker="o", ms=4, color=colour_of(k), label=name)
    ax.axhline(10, color=GREY, lw=0.8, ls=":", label="guessing")
    ax.set(xlabel="rows seen", ylabel="digits right (%)", ylim=(0, 101))
    ax.legend(fontsize=8)
    return fig


def _shares(ax: Axes, names: Sequence[str], groups: Sequence[np.ndarray]) -> float:
    """Percent wrong of each group of True (wrong) and False, with its 95 % interval (Wilson).

    Returns the highest end of an interval.
    """
    share = np.array([100 * g.mean() for g in groups])
    low, high = np.array([wilson(int(g.sum()), g.size) for g in groups]).T
    reach = np.clip([share - 100 * low, 100 * high - share], 0, None)
    ax.errorbar(range(len(groups)), share, reach, fmt="o", capsize=4, color=INK)
    ax.set_xticks(range(len(groups)), names, fontsize=9)
    ax.set(xlim=(-0.6, len(groups) - 0.4))
    return 100 * high.max()


def wilson(k: int, n: int) -> tuple[float, float]:
    """The 95 % interval (Wilson's) of a share of which k of n were seen."""
    if not 0 <= k <= n or n < 1:
        raise ValueError(f"k={k}, n={n}; wanted 0 <= k <= n and n at least 1")
    z = 1.959964
    centre, half = k + z * z / 2, z * np.sqrt(k * (n - k) / n + z * z / 4)
    return float((centre - half) / (n + z * z)), float((centre + half) / (n + z * z))


def errors(wrong, tops, clutter, lowest: int, parts: int = 4) -> Figure:
    """Digits read wrong by their place in the row, by their height, and by the clutter on them.

    wrong: bool [N, D]; tops: the first pixel row of each cell, 0 to `lowest`, [N, D]; clutter: mean
    brightness that patches add to it, [N, D]; digits with none are one group, the others make
    `parts` groups of equal size.
    """
    wrong, tops, clutter = np.asarray(wrong, bool), np.asarray(tops), np.asarray(clutter, float)
    fig, axes = plt.subplots(1, 3, figsize=(9.2, 3), width_ratios=[3, 3, parts + 1], sharey=True)
    at = np.select([tops <= 0, tops >= lowest], [0, 2], 1)
    heights = ("top\nedge", "neither", "bottom\nedge")
    some = np.sort(clutter[clutter > 0])
    tops_of = [some[round(k * (len(some) - 1) / parts)] for k in range(1, parts + 1) if some.size]
    added, low = [("none", wrong[clutter <= 0])], 0
    for high in tops_of:  # names may be alike: small differences are rounded away
        added.append((f"up to\n{100 * high:.1f} %", wrong[(clutter > low) & (clutter <= high)]))
        low = high
    panels = {
        "digit in the row": [(f"{i + 1}", column) for i, column in enumerate(wrong.T)],
        "its cell touches": [(name, wrong[at == k]) for k, name in enumerate(heights)],
        "brightness that clutter adds to its cell": added,
    }
    highest = []
    for ax, (title, groups) in zip(axes, panels.items(), strict=True):
        kept = [(name, values) for name, values in groups if values.size]
        highest.append(_shares(ax, *map(list, zip(*kept, strict=True))))
        ax.set(xlabel=title)
    axes[0].set(ylabel="read wrong (%)", ylim=(0, 1.05 * max(highest)))
    fig.tight_layout()
    return fig


def against_size(curves: dict[str, list[list[RunRecord]]], which: str) -> Figure:
    """Error in percent as the glimpse shrinks: for each name a curve of means, one dot a seed.

    curves: name -> the records for a glimpse of the whole side, half, a third, ... of it. A place
    without a record is no point of its curve, and the figure says "not yet run" there.
    """
    fig, ax = plt.subplots(figsize=(6.4, 3))
    places = max(map(len, curves.values()))
    for k, (name, sizes) in enumerate(curves.items()):
        colour, means = colour_of(k), []
        for place, found in enumerate(sizes):
            values = [100 - r.accuracy(which) for r in found]
            means.append(mean_sd(values)[0] if values else np.nan)
            ax.plot([place] * len(values), values, "o", ms=4, color=colour, alpha=0.4)
            if not values:
                ax.text(
                    place,
                    0.8 - 0.3 * k,
                    f"{name}:\nnot yet run",
                    ha="center",
                    va="center",
                    color=colour,
                    fontsize=8,
                    transform=ax.get_xaxis_transform(),
                )
        ax.plot(range(len(means)), means, "_-", ms=14, lw=1, color=colour, label=name)
    ax.set_xticks(range(places), ["1", *(f"1/{d}" for d in range(2, places + 1))], fontsize=9)
    ax.set(xlabel="size of the glimpse / size of the picture", ylabel="digits wrong (%)")
    ax.set(xlim=(-0.6, places - 0.4), ylim=(0, None))
    if not any(found for sizes in curves.values() for found in sizes):
        ax.set(yticks=[])
    ax.legend(fontsize=8, loc="lower right")
    return fig


# What a record's curves are called there, and what they say; a second one is dotted.
WATCHED = {
    ("glimpse_iou",): "mean IoU with the digits",
    ("valid_accuracy", "train_accuracy"): "digits wrong (%): validation,\ntraining rows dotted",
    ("train_loss",): "training loss",
}


def recorded_learning(runs: dict[str, list[RunRecord]], fixed: Sequence[float]) -> Figure:
    """What records say of learning, epoch by epoch: overlap, digits wrong, and the loss.

    runs: name -> its records, one line a seed; a name without a record says so in the legend.
    fixed: what each best box that never looks at the image would reach, dotted at their mean.
    """
    fig, axes = plt.subplots(1, len(WATCHED), figsize=(9.2, 3.4))
    for k, (name, found) in enumerate(runs.items()):
        colour = colour_of(k)
        label = name if found else f"{name}: not yet run"
        axes[0].plot([], [], color=colour if found else "none", label=label)
        for ax, keys in zip(axes, WATCHED, strict=True):
            for key, line in zip(keys, "-:", strict=False):
                for curve in (run.curves[key] for run in found if key in run.curves):
                    shown = 100 - np.asarray(curve) if "accuracy" in key else curve
                    epochs = range(1, len(curve) + 1)
                    ax.plot(epochs, shown, line, color=colour, lw=1.2, alpha=0.8)
    axes[0].axhline(float(np.mean(fixed)), color=GREY, lw=1, ls=":", label="best fixed box")
    for ax, title in zip(axes, WATCHED.values(), strict=True):
        ax.set_title(title, fontsize=10)
        ax.set(xlabel="epoch")
    axes[0].set(ylim=(0, 0.8))
    axes[1].set(yscale="log")
    axes[2].set(yscale="log")
    fig.legend(loc="outside lower center", ncols=3, fontsize=8)
    fig.tight_layout(rect=(0, 0.16, 1, 1))
    return fig


def sweeps(curves: dict[str, tuple[Sequence[float], Sequence[float], float]]) -> Figure:
    """Digits right as one number of the recipe changes, side by side; dotted where it learned.

    curves: name -> (values, percent, the value that the network was trained with).
    """
    fig, axes = plt.subplots(1, len(curves), figsize=(3.1 * len(curves), 2.9), sharey=True)
    for ax, (name, (values, right, usual)) in zip(np.atleast_1d(axes), curves.items(), strict=True):
        ax.plot(values, right, marker="o", ms=4, color=INK)
        ax.axvline(usual, color=RED, lw=1, ls=":")
        ax.set(xlabel=name, ylim=(0, 101))
    np.atleast_1d(axes)[0].set_ylabel("digits right (%)")
    fig.tight_layout()
    return fig
