"""The figures of notebook 08: scenes in colour, how one is made, where it is read, the choices."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from stn_course.analysis.plots import AS_IT_STANDS, BLUE, GREY, READ, TEAL, verdict
from stn_course.experiments.statistics import NOT_YET

INSIDE = (-1, 1, 1, -1)  # a picture drawn in the course's own coordinates


def show_scene(ax: Axes, image: Tensor, title: str = "") -> None:
    """One picture [3, H, W] or [1, H, W] in [0, 1], in coordinates from -1 to 1."""
    pixels = np.asarray(image.detach()).transpose(1, 2, 0)
    height, width = pixels.shape[:2]
    grey = {"cmap": "gray", "vmin": 0, "vmax": 1} if pixels.shape[2] == 1 else {}
    ax.imshow(
        pixels.squeeze(), extent=INSIDE, aspect=height / width, interpolation="nearest", **grey
    )
    ax.set_title(title, fontsize=9, **AS_IT_STANDS)
    ax.set(xticks=[], yticks=[], xlim=(-1, 1), ylim=(1, -1))
    ax.grid(False)
    ax.spines[:].set(visible=True, color="#d1d5db")


def outlined(ax: Axes, places: Tensor, color: str = READ) -> None:
    """The way around `places` [N, 2], the first quarter of it, the top, in blue."""
    x, y = np.asarray(places.detach()).T
    ax.plot([*x, x[0]], [*y, y[0]], color=color, lw=1.3)
    ax.plot(x[: len(x) // 4 + 1], y[: len(y) // 4 + 1], color=BLUE, lw=2)
    ax.set(xlim=(-1, 1), ylim=(1, -1))


def around(n: int = 8) -> np.ndarray:
    """Places around a picture, clockwise from the upper left, n a side.  # [4 n, 2]"""
    t, one = np.arange(n) * 2 / n - 1, np.ones(n)
    sides = [(t, -one), (one, t), (-t, one), (-one, -t)]
    return np.concatenate([np.stack(side, 1) for side in sides]).astype(np.float32)


def grid_of(images: Sequence[Tensor], titles: Sequence[str], columns: int = 4) -> Figure:
    """Pictures [C, H, W] in rows, each under its title."""
    rows = -(-len(images) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(2.2 * columns, 1.05 * rows), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        ax.axis("on")
        show_scene(ax, image, title)
    fig.tight_layout()
    return fig


def read_straight(
    scenes: Tensor, edges: Tensor, outputs: Tensor, said: Sequence[str], true: Sequence[str]
) -> Figure:
    """Scenes with what is read of them outlined, what comes out below, and what was read."""
    n = len(scenes) // 2
    fig, axes = plt.subplots(4, n, figsize=(2.2 * n, 4.1), squeeze=False)
    for k, scene in enumerate(scenes):
        above, below = axes[2 * (k // n) : 2 * (k // n) + 2, k % n]
        show_scene(above, scene)
        outlined(above, edges[k])
        show_scene(below, outputs[k])
        told = verdict(said[k], true[k])
        below.set_title(
            told["text"], fontsize=10, color=told["color"], fontweight=told["fontweight"]
        )
    fig.tight_layout(h_pad=0.4)
    return fig


def with_outlines(scenes: Tensor, edges: Tensor, straight: Tensor) -> Figure:
    """Scenes with their labels' true edges, and the same read at the true places."""
    fig, axes = plt.subplots(2, len(scenes), figsize=(2.2 * len(scenes), 1.9), squeeze=False)
    for (above, below), scene, edge, flat in zip(axes.T, scenes, edges, straight, strict=True):
        show_scene(above, scene)
        outlined(above, edge)
        show_scene(below, flat)
    fig.tight_layout(h_pad=0.4)
    return fig


def needed(offsets: np.ndarray, bound: float) -> Figure:
    """How far the farthest control point of each scene has to move, and a bound."""
    fig, ax = plt.subplots(figsize=(6, 2.3))
    ax.hist(offsets, bins=40, color=TEAL, alpha=0.8)
    ax.axvline(bound, color=READ, lw=2)
    top = ax.get_ylim()[1]
    ax.text(bound, top, f" {bound:.2f}", color=READ, va="top")
    ax.set(xlabel="largest offset that a scene needs, half sides", ylabel="scenes")
    return fig


def bars(values: dict[str, float], xlabel: str) -> Figure:
    """A number for each name, as bars with the number at its end."""
    fig, ax = plt.subplots(figsize=(6, 0.36 * len(values) + 0.7))
    names = list(values)
    ax.barh(names, list(values.values()), color=TEAL, height=0.6)
    for y, value in enumerate(values.values()):
        ax.text(value, y, f" {value:.1f}", va="center", fontsize=9)
    ax.invert_yaxis()
    ax.set(xlabel=xlabel)
    ax.grid(axis="y", visible=False)
    ax.margins(x=0.12)
    return fig


def choices(
    groups: dict[str, dict[str, dict[int, float]]], base: dict[int, float], xlabel: str
) -> Figure:
    """Rows in groups, a dot for each seed and a mark at their mean; a line at the base's mean.

    groups: {group: {row: {seed: value}}}; a row without a value says so.
    """
    rows = [(group, row, seen) for group, of in groups.items() for row, seen in of.items()]
    fig, ax = plt.subplots(figsize=(7, 0.27 * len(rows) + 0.8))
    if base:
        ax.axvline(np.mean(list(base.values())), color=BLUE, lw=1.2)
    left = min((v for *_, seen in rows for v in seen.values()), default=0)
    for y, (_, _, seen) in enumerate(rows):
        values = list(seen.values())
        if not values:
            ax.text(left, y, NOT_YET, va="center", color=GREY, fontsize=8)
            continue
        ax.plot(values, [y] * len(values), "o", ms=4, color=GREY, alpha=0.7)
        ax.plot(np.mean(values), y, "D", ms=6, color=TEAL)
    firsts = np.cumsum([0, *map(len, groups.values())])
    for first in firsts[1:-1]:
        ax.axhline(first - 0.5, color="#d1d5db", lw=0.8)
    ax.set_yticks(range(len(rows)), [row for _, row, _ in rows], fontsize=9)
    beside = {"va": "center", "fontsize": 9, "color": GREY}
    for group, first in zip(groups, firsts, strict=False):
        ax.text(1.01, first, group, transform=ax.get_yaxis_transform(), **beside)
    ax.set(xlabel=xlabel, ylim=(len(rows) - 0.5, -0.5))
    ax.grid(axis="y", visible=False)
    fig.tight_layout()
    return fig


def taught(misses: dict[str, list[float]]) -> Figure:
    """How far from the truth some transformers read while they are taught, by the step."""
    fig, ax = plt.subplots(figsize=(6, 2.6))
    for (name, values), style in zip(misses.items(), ("-", "--", ":"), strict=False):
        ax.plot(values, style, lw=1.5, label=name)
    ax.set(xlabel="step", ylabel="pixels from the truth", ylim=(0, None))
    ax.legend()
    return fig


def curves(runs: dict[str, list[dict]]) -> Figure:
    """What was watched of each run, a panel for each thing watched, against the step."""
    keys = list(next(iter(runs.values()))[0])
    fig, axes = plt.subplots(1, len(keys), figsize=(2.9 * len(keys), 2.4))
    for ax, key in zip(axes, keys, strict=True):
        for (name, seen), style in zip(runs.items(), ("-", "--", ":"), strict=False):
            ax.plot([s[key] for s in seen], style, lw=1.6, label=name)
        ax.set(xlabel="step", title=key)
        if key == "spread":  # one that runs away would hide that the others differ
            ax.set_yscale("symlog", linthresh=0.01)
    axes[0].legend(fontsize=8)
    fig.tight_layout()
    return fig


def stripes(images: dict[str, Tensor]) -> Figure:
    """Grey pictures [1, 1, h, w] of several sizes side by side, each as large as the others."""
    fig, axes = plt.subplots(1, len(images), figsize=(2.7 * len(images), 1.3), squeeze=False)
    for ax, (name, image) in zip(axes[0], images.items(), strict=True):
        show_scene(ax, image[0], name)
    fig.tight_layout()
    return fig


def two_orders(maps: dict[str, tuple[Tensor, Tensor]], errors: dict[str, float]) -> Figure:
    """A filter's answer to a moved picture, and its answer moved: one row for each motion."""
    fig, axes = plt.subplots(len(maps), 2, figsize=(6.2, 1.5 * len(maps)), squeeze=False)
    for row, (name, pair) in zip(axes, maps.items(), strict=True):
        orders = "moved, then filtered", "filtered, then moved"
        for ax, image, told in zip(row, pair, orders, strict=True):
            ax.imshow(np.asarray(image.detach()), cmap="RdBu_r")
            ax.set_title(f"{name}: {told}", fontsize=9)
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
        row[1].set_ylabel(f"differ by {errors[name]:.0%}", fontsize=9, color=GREY)
    fig.tight_layout()
    return fig
