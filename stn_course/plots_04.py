"""The figures of notebook 04: where digits stand, and where a network looks.

Images are arrays or tensors [H, W] or [1, H, W], 0 white to 1 black; theta maps output to input
coordinates. The curves and counts stand in `plots_04_curves`.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stn_course.plots import GREY, show_image
from stn_course.records import RunRecord

GLANCES = ("#c8553d", "#28666e", "#dd9e2f", "#8f6bb1", "#7c9885")  # first, second, third, ...
CORNERS = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1], [-1, -1, 1]], float)


def colour_of(step: int) -> str:
    """The colour of glance ``step``, from 0; after the last the first comes again."""
    return GLANCES[step % len(GLANCES)]


def quad(theta, canvas: int) -> np.ndarray:
    """The closed outline of what theta [2, 3] reads, in pixels, 0 at the first centre.  # [5, 2]"""
    return (CORNERS @ np.asarray(theta, float).T + 1) * canvas / 2 - 0.5


def draw_glances(ax: Axes, thetas, canvas: int, only: int | None = None) -> None:
    """The outlines of thetas [T, 2, 3], one colour a step, cut off a little outside the image.

    The edge of the image is dotted.
    """
    edge = plt.Rectangle((-0.5, -0.5), canvas, canvas, fill=False, color=GREY, lw=0.8, ls=":")
    ax.add_patch(edge)
    for step, theta in enumerate(thetas):
        if only is None or step == only:
            ax.plot(*quad(theta, canvas).T, color=colour_of(step), lw=1.8)
    room = 0.12 * canvas
    ax.set(xlim=(-room, canvas - 1 + room), ylim=(canvas - 1 + room, -room))


def glances(images, thetas, glimpses, said: Sequence[Sequence[str]] | None = None) -> Figure:
    """Above, images with their glances; below, what each glance sees, and what is said of it.

    images [N, 1, H, W]; thetas [N, T, 2, 3]; glimpses [N, T, 1, h, w]; said: N rows of T texts.
    """
    n, steps = len(images), len(thetas[0])
    height = 1.9 + 0.95 * steps
    fig, axes = plt.subplots(
        1 + steps, n, figsize=(1.9 * n, height), squeeze=False,
        height_ratios=[2] + [1] * steps, constrained_layout=True,
    )  # fmt: skip
    for k in range(n):
        show_image(axes[0, k], images[k])
        draw_glances(axes[0, k], thetas[k], np.shape(images[k])[-1])
        for step in range(steps):
            ax = axes[1 + step, k]
            show_image(ax, glimpses[k][step])
            ax.spines[:].set(color=colour_of(step), linewidth=2.5)
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
        canvas = np.shape(image)[-1]
        show_image(above, image)
        show_image(middle, image)
        y, x = ((2 * np.arange(k) + 1) / k - 1 for k in size)
        unit = np.stack(np.meshgrid(x[::2], y[::2]), 2).reshape(-1, 2)
        places = np.column_stack([unit, np.ones(len(unit))]) @ np.asarray(theta, float).T
        middle.plot(*((places + 1) * canvas / 2 - 0.5).T, ".", ms=1.6, color="#d1242f")
        draw_glances(middle, [theta], canvas)
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
            draw_glances(ax, thetas[row], np.shape(image)[-1])
    return fig


def mean_boxes(runs: dict[str, list[RunRecord]], canvas: int, moments: int = 6) -> Figure:
    """Where the glances of recorded runs are on average, epoch after epoch: one colour a glance.

    runs: name -> its records, of which the first that kept `glimpse_boxes` is drawn, a row each; a
    name without one says "not yet run".
    """
    fig, axes = plt.subplots(
        len(runs), moments, figsize=(1.55 * moments, 1.75 * len(runs) + 0.2), squeeze=False,
        constrained_layout=True,
    )  # fmt: skip
    for row, (name, found) in zip(axes, runs.items(), strict=True):
        row[0].set_ylabel(name, fontsize=9)
        kept = [run.curves["glimpse_boxes"] for run in found if "glimpse_boxes" in run.curves]
        last = len(kept[0]) if kept else 1
        epochs = np.unique(np.geomspace(1, last, moments).round().astype(int))
        for ax, epoch in zip(row, epochs, strict=False):
            ax.set_title(f"epoch {epoch}" if kept else "not yet run", fontsize=9)
            for step, (x0, y0, x1, y1) in enumerate(kept[0][epoch - 1] if kept else ()):
                box = [[x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0]]
                ax.plot(*box, color=colour_of(step), lw=1.8)
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
