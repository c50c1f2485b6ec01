"""The figures of notebook 03: what a transformer looks at, and how it learns where to look.

Boxes are polygons [K, 2] in [-1, 1], x first, the first two corners the output's top edge, as
`reference.outline` gives them. Thetas are [..., 2, 3].
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stn_course.analysis.plots import BLUE, GREY, RED, WRONG, show_image, verdict

BOX, TOP = RED, BLUE
ENTRIES = ("θ11", "θ12", "θ13", "θ21", "θ22", "θ23")

MANY_LINES = {"sharex": True, "dpi": 70}  # of many fine lines: at more dots a large PNG


def draw_box(ax: Axes, box, shape: Sequence[int], room: float = 0.15) -> None:
    """A box over an image of `shape` (h, w), its top edge blue, with some room around.

    The image's own edge is a thin grey line: white paper on a white page has none.
    """
    height, width = shape
    ax.add_patch(plt.Rectangle((-0.5, -0.5), width, height, fill=False, ec=GREY, lw=0.6))
    places = (np.asarray(box) + 1) / 2 * (width, height) - 0.5  # [K, 2] pixels
    edge = np.vstack([places, places[:1]])
    ax.plot(*edge.T, color=BOX, lw=1.3)
    ax.plot(*edge[: len(places) // 4 + 1].T, color=TOP, lw=2.2)
    pad = room * width
    ax.set(xlim=(-0.5 - pad, width - 0.5 + pad), ylim=(height - 0.5 + pad, -0.5 - pad))


def _step_back(ax: Axes, box, shape: Sequence[int]) -> None:
    """Widen the square view of an image of `shape` until the whole of its box is in sight."""
    middle = (np.array(shape[::-1]) - 1) / 2  # x, y in pixels
    places = (np.asarray(box) + 1) / 2 * shape[::-1] - 0.5
    reach = max(0.8 * max(shape), 1.1 * np.abs(places - middle).max())
    (x, y) = middle
    ax.set(xlim=(x - reach, x + reach), ylim=(y + reach, y - reach))


def straightened(inputs, boxes, outputs, read=None, labels=None, rows: int = 2) -> Figure:
    """Each input [N, h, w] with its box [N, K, 2], and below it what was read there.

    With `read` and `labels` the verdict stands under each output, bold and crossed where wrong.
    """
    n = len(inputs)
    across = -(-n // rows)
    fig, axes = plt.subplots(2 * rows, across, figsize=(1.1 * across, 2.35 * rows), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for k in range(n):
        row, column = divmod(k, across)
        above, below = axes[2 * row, column], axes[2 * row + 1, column]
        above.axis("on")
        below.axis("on")
        show_image(above, _unit(inputs[k]))
        draw_box(above, boxes[k], np.shape(inputs[k]), room=0.3)
        show_image(below, _unit(outputs[k]))
        if read is not None:
            _say(below, read[k], labels[k])
    fig.subplots_adjust(wspace=0.08, hspace=0.12)
    return fig


def _say(ax: Axes, said, truth, before: str = "") -> None:
    """Write a verdict under a picture."""
    look = verdict(int(said), int(truth))
    ax.set_xlabel(before + look.pop("text"), fontsize=10, labelpad=1, **look)


def _unit(image) -> np.ndarray:
    image = np.asarray(image)
    return image / 255 if image.dtype == np.uint8 else image


def theta_paths(steps: Sequence[int], thetas, colours=None, label: str = "") -> Figure:
    """The six entries of theta [T, N, 2, 3] through training, one line a digit, on one y-axis.

    `colours` [N] (e.g. the true angle, named by `label`) tells the digits apart; where it is
    below 0 the line is dashed.
    """
    thetas = np.asarray(thetas)
    fig, axes = plt.subplots(2, 3, figsize=(9, 4.6), sharey=True, **MANY_LINES)
    values = np.zeros(thetas.shape[1]) if colours is None else np.asarray(colours, float)
    reach = max(np.abs(values).max(), 1e-9)
    scale = plt.Normalize(-reach, reach)
    for k, ax in enumerate(axes.flat):
        lines = thetas[:, :, k // 3, k % 3]  # [T, N]
        for line, value in zip(lines.T, values, strict=True):
            tint = BOX if colours is None else plt.cm.coolwarm(scale(value))
            ax.plot(steps, line, "--" if value < 0 else "-", color=tint, lw=0.7, alpha=0.8)
        ax.axhline(1.0 if k in (0, 4) else 0.0, color=GREY, lw=0.8, ls=":")
        ax.set_title(ENTRIES[k], fontsize=10)
    for ax in axes[1]:
        ax.set_xlabel("step")
    fig.tight_layout()
    if colours is not None:
        shade = plt.cm.ScalarMappable(scale, "coolwarm")
        fig.colorbar(shade, ax=axes, label=label, fraction=0.03, pad=0.02)
    return fig


def angles(true, found, offset: float) -> Figure:
    """The angle that was undone against the true one; the line is the truth plus `offset`."""
    true, found = np.asarray(true), np.asarray(found)
    fig, ax = plt.subplots(figsize=(4.6, 4.2))
    reach = np.abs(true).max()
    line = np.array([-reach, reach])
    ax.plot(line, line, color=GREY, lw=1, ls=":", label="the truth")
    ax.plot(line, line + offset, color=TOP, lw=1.5, label=f"the truth {offset:+.0f}°")
    ax.plot(true, found, ".", ms=3, color=BOX, alpha=0.6)
    ax.set(xlabel="turned by (degrees)", ylabel="turned back by (degrees)")
    ax.legend(fontsize=8)
    return fig


def averages(means: dict[str, np.ndarray], leans: dict[str, float]) -> Figure:
    """Mean images, each drawn from its own lightest to its own darkest.

    Those in `leans` (degrees, counter-clockwise) have a dotted plumb line, and a red line that
    leans so.
    """
    fig, axes = plt.subplots(1, len(means), figsize=(2 * len(means), 2.5), squeeze=False)
    for ax, (name, image) in zip(axes[0], means.items(), strict=True):
        show_image(ax, image, name)
        ax.images[0].set_clim(0, np.asarray(image).max())
        if name in leans:
            _plumb(ax, np.shape(image), leans[name])
    fig.tight_layout()
    return fig


def _plumb(ax: Axes, shape: Sequence[int], lean: float) -> None:
    """A dotted plumb line through the middle, and a red one at `lean` degrees if that is not 0."""
    height, width = shape
    middle, half = np.array([width - 1, height - 1]) / 2, height / 2
    lines = {0.0: {"color": TOP, "ls": ":"}}
    if lean:
        lines[lean] = {"color": BOX}
        ax.set_xlabel(f"leans by {lean:+.0f}°", fontsize=9)
    for angle, look in lines.items():
        way = [np.sin(np.radians(angle)), np.cos(np.radians(angle))]  # down the line
        ax.plot(*(np.outer([-half, half], way) + middle).T, lw=1.5, **look)
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def kinds(made: dict) -> Figure:
    """A gallery of distortions, each alone: a column a kind, its images [N, 1, H, W] below."""
    most = max(len(images) for images in made.values())
    layout = {"figsize": (1.3 * len(made), 1.45 * most), "squeeze": False}
    fig, axes = plt.subplots(most, len(made), **layout)
    for column, (name, images) in zip(axes.T, made.items(), strict=True):
        for ax, image in zip(column, images, strict=False):
            show_image(ax, image)
        for ax in column[len(images) :]:
            ax.axis("off")
        column[0].set_title(name, fontsize=9)
    fig.tight_layout()
    return fig


def exhibit(broken, sound, shown: int = 5) -> Figure:
    """One failure beside the sound run: what they look at, and theta's way from the identity.

    Both are `museum.ShortRun`. Each picture is shrunk until its whole box is in sight.
    """
    fig = plt.figure(figsize=(9.2, 3.1))
    left, right = fig.subfigures(1, 2, width_ratios=[1.25, 1])
    axes = left.subplots(2, shown, squeeze=False)
    seen = broken.looks
    for k, (above, below) in enumerate(axes.T):
        show_image(above, _unit(seen.inputs[k]))
        box = broken.boxes[k]
        draw_box(above, box, seen.inputs[k].shape)
        _step_back(above, box, seen.inputs[k].shape)
        show_image(below, broken.outputs[k])
        _say(below, seen.read[k], seen.labels[k])
    axes[0, 0].set_ylabel("reads here", fontsize=9)
    axes[1, 0].set_ylabel("gets", fontsize=9)
    upper, lower = right.subplots(2, 1, sharex=True)
    for run, colour, line, name in (
        (sound, TOP, "--", "sound run"),
        (broken, BOX, "-", "this one"),
    ):
        upper.plot(_smooth(run.losses), line, color=colour, label=name)
        ways = np.asarray(run.distances)  # [T, N]
        lower.plot(run.steps, np.median(ways, 1), line, color=colour)
        lower.fill_between(run.steps, *np.quantile(ways, (0.1, 0.9), 1), color=colour, alpha=0.2)
    upper.set_ylabel("loss", fontsize=9)
    upper.set_ylim(0, None)
    upper.legend(fontsize=8)
    lower.set_ylabel("|θ - identity|", fontsize=9)
    lower.set(xlabel="step", ylim=(0, min(6, lower.get_ylim()[1])))
    return fig


def _smooth(values: Sequence[float], width: int = 15) -> np.ndarray:
    kernel = np.ones(width) / width
    return np.convolve(values, kernel, "valid")


def starts(networks: dict[str, list[dict]]) -> Figure:
    """A dial a network: each seed's fixed pose as a hand, dashed where most digits are mirrored.

    `networks`: of each the poses of its seeds, as `pose.spread` has them. The arc is what is
    left of the digits' own angles. A dial without poses says so.
    """
    layout = {"figsize": (3.1 * len(networks), 3.6), "subplot_kw": {"projection": "polar"}}
    fig, axes = plt.subplots(1, len(networks), squeeze=False, **layout)
    for ax, (name, poses) in zip(axes[0], networks.items(), strict=True):
        ax.set_theta_zero_location("N")
        for pose in poses:
            colour, line = (WRONG, "--") if pose["mirrored"] > 0.5 else (TOP, "-")
            angle, spread = pose["angle_mean"], pose["angle_sd"]
            ax.plot([np.radians(angle)] * 2, [0, 1], line, color=colour, lw=2)
            arc = np.radians(np.linspace(angle - spread, angle + spread, 20))
            ax.plot(arc, np.ones(20), color=colour, lw=1, alpha=0.5)
        ax.set(ylim=(0, 1.1), yticks=[])
        ax.set_title(name if poses else f"{name}: not yet run", fontsize=11)
    fig.tight_layout()
    return fig


def found(scenes, boxes, truth, ious, shown: int = 8) -> Figure:
    """Scenes [N, 1, H, W] with the box that was found and, dashed, the digit's own cell.

    boxes and truth: [N, 4] in pixels x0, y0, x1, y1.
    """
    fig, axes = plt.subplots(2, shown // 2, figsize=(1.9 * shown / 2, 4.1))
    for ax, image, box, cell, iou in zip(axes.flat, scenes, boxes, truth, ious, strict=False):
        show_image(ax, image, f"IoU {float(iou):.2f}")
        for (x0, y0, x1, y1), style in ((cell, "--"), (box, "-")):
            size = (float(x1 - x0), float(y1 - y0))
            colour = GREY if style == "--" else BOX
            corner = (float(x0) - 0.5, float(y0) - 0.5)
            ax.add_patch(plt.Rectangle(corner, *size, fill=False, ec=colour, ls=style, lw=1.5))
    fig.tight_layout()
    return fig


def pairs(seen) -> Figure:
    """Two channels side by side with the boxes of two transformers, and below what each reads.

    `seen`: `predictions.Predictions` of N images of two channels; below stands the sum as read.
    The second transformer's box is dashed.
    """
    n, height, width = seen.inputs.shape
    width //= seen.channels
    fig, axes = plt.subplots(3, n, figsize=(1.55 * n, 3.4), squeeze=False)
    for k, (above, *below) in enumerate(axes.T):
        show_image(above, _unit(seen.inputs[k]))
        above.axvline(width - 0.5, color=GREY, lw=0.6)
        for box, colour, line in zip(seen.boxes[k], (BOX, TOP), "- --".split(), strict=True):
            places = (box + 1) / 2 * (width, height) - 0.5  # [K, 2] pixels of one channel
            edge = np.vstack([places, places[:1]])
            for channel in range(seen.channels):
                above.plot(edge[:, 0] + channel * width, edge[:, 1], line, color=colour, lw=1.2)
        above.set(xlim=(-0.5, seen.channels * width - 0.5), ylim=(height - 0.5, -0.5))
        for ax, read in zip(below, np.split(seen.outputs[k], 2, axis=1), strict=True):
            show_image(ax, _unit(read))
        _say(below[1], seen.read[k], seen.labels[k], before="sum ")
    for ax, name, colour in zip(
        axes[:, 0], ("", "first reads", "second reads"), (GREY, BOX, TOP), strict=True
    ):
        ax.set_ylabel(name, color=colour, fontsize=9)
    return fig


def unknown_runs(runs: dict) -> Figure:
    """Theta 11 and theta 13 of each `museum.ShortRun`, one line a digit, and no name."""
    fig, axes = plt.subplots(2, len(runs), figsize=(9, 3.8), squeeze=False, **MANY_LINES)
    for column, (letter, run) in zip(axes.T, runs.items(), strict=True):
        thetas = np.asarray(run.thetas)[:, :40]  # [T, N, 2, 3]
        for ax, k in zip(column, (0, 2), strict=True):
            ax.plot(run.steps, thetas[:, :, 0, k], color=BOX, lw=0.6, alpha=0.6)
            ax.axhline(1.0 if k == 0 else 0.0, color=GREY, lw=0.8, ls=":")
        column[0].set_title(letter, fontsize=11)
        column[1].set_xlabel("step")
    axes[0, 0].set_ylabel(ENTRIES[0])
    axes[1, 0].set_ylabel(ENTRIES[2])
    fig.tight_layout()
    return fig
