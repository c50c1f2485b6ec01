"""The figures of notebook 05 about places and records: squares, maps, runs side by side."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from stn_course import records
from stn_course.plots import GREY

SEEN, HELD, NEW = "#28666e", "#c8553d", "#dd9e2f"
NOT_YET = "not yet\nrun"


# ---------------------------------------------------------------- places of squares
def _canvas(ax, canvas: int, title: str = "") -> None:
    ax.set(xlim=(-0.5, canvas - 0.5), ylim=(canvas - 0.5, -0.5), aspect="equal")
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=10)
    ax.grid(False)
    ax.spines[:].set(visible=True, color="#9ca3af")


def square_places(image, at, train, test) -> Figure:
    """A square on its canvas [H, W] with its middle `at` (x, y); where the middles lie [N, 2]."""
    image = np.asarray(image).squeeze()
    fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.2))
    for ax, title in ((left, f"the square at {tuple(at)}"), (right, "all its places")):
        _canvas(ax, len(image), title)
    left.imshow(image, cmap="gray_r", vmin=0, vmax=1.4)
    left.plot(*at, "o", ms=4, color=HELD)
    size = {"ms": 90 / len(image), "ls": "none", "marker": "s"}
    right.plot(*np.asarray(train).T, color=SEEN, alpha=0.55, label="to learn from", **size)
    right.plot(*np.asarray(test).T, color=HELD, alpha=0.55, label="held out", **size)
    fig.legend(loc="outside right center", fontsize=9, markerscale=2.5)
    fig.tight_layout(rect=(0, 0, 0.84, 1))
    return fig


def miss_maps(misses: dict[str, np.ndarray], canvas: int, held_from: int) -> Figure:
    """By how many pixels each network misses a square in every place.

    misses: name -> [N, 3] of x, y and distance; the places right of and below `held_from` were
    held out and are framed.
    """
    fig, axes = plt.subplots(1, len(misses), figsize=(3.4 * len(misses) + 0.8, 3.3))
    for ax, (name, rows) in zip(np.atleast_1d(axes), misses.items(), strict=True):
        _canvas(ax, canvas, name)
        shades = np.full((canvas, canvas), np.nan)
        x, y, distance = np.asarray(rows, float).T
        shades[y.astype(int), x.astype(int)] = distance
        drawn = ax.imshow(shades, cmap="YlOrRd", vmin=0, vmax=8)
        side = x.max() - held_from + 0.5
        ax.add_patch(plt.Rectangle((held_from, held_from), side, side, fill=False, ec="k", lw=1.5))
    fig.colorbar(drawn, ax=axes, label="misses by (pixels)", shrink=0.85, extend="max")
    return fig


def maps(images: dict[str, np.ndarray], cmap: str = "RdBu_r") -> Figure:
    """Maps [H, W] side by side, each with its own scale around 0."""
    fig, axes = plt.subplots(1, len(images), figsize=(2.4 * len(images), 2.5), squeeze=False)
    for ax, (name, image) in zip(axes[0], images.items(), strict=True):
        image = np.asarray(image)
        bound = max(np.abs(image).max(), 1e-6)
        ax.imshow(image, cmap=cmap, vmin=-bound, vmax=bound, interpolation="nearest")
        ax.set_title(name, fontsize=10)
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
    fig.tight_layout()
    return fig


# ---------------------------------------------------------------- runs beside each other
BySeed = dict[int, float]


def by_seed(name: str, which: str, folder: Path | None = None) -> BySeed:
    """Accuracy in percent of each seed; none where the experiment has no record yet."""
    return {run.seed: run.accuracy(which) for run in records.load(name, folder)}


def in_both(a: BySeed, b: BySeed) -> tuple[list[float], list[float]]:
    """The values of the seeds that both have, in one order: what may be paired."""
    shared = sorted(a.keys() & b.keys())
    return [a[seed] for seed in shared], [b[seed] for seed in shared]


def heat(rows: Sequence[str], columns: dict[str, list[list[float]]], ylabel: str = "") -> Figure:
    """Mean and deviation in every cell, shaded within its column; an empty cell says so.

    columns: title -> for each row the values, one a seed ([] for not yet run).
    """
    fig, ax = plt.subplots(figsize=(2.6 + 1.75 * len(columns), 0.5 * len(rows) + 0.7))
    for j, cells in enumerate(columns.values()):
        means = [np.mean(values) for values in cells if values]
        low, high = (min(means), max(means)) if means else (0, 1)
        for i, values in enumerate(cells):
            text, shade = NOT_YET.replace("\n", " "), "#f3f4f6"
            if values:
                mean, sd, n = records.mean_sd(values)
                text = f"{mean:.2f} ± {sd:.2f}" if n > 1 else f"{mean:.2f}"
                part = (mean - low) / (high - low) if high > low else 0.5
                shade = plt.get_cmap("YlGnBu")(0.08 + 0.45 * part)
            box = plt.Rectangle((j, i), 0.98, 0.96, fc=shade, ec="none")
            ax.add_patch(box)
            colour = "#111827" if values else GREY
            ax.text(j + 0.49, i + 0.5, text, ha="center", va="center", color=colour, fontsize=9)
    ax.set(xlim=(0, len(columns)), ylim=(len(rows), 0), ylabel=ylabel)
    ax.set_xticks(np.arange(len(columns)) + 0.49, list(columns), fontsize=9)
    ax.set_yticks(np.arange(len(rows)) + 0.5, rows, fontsize=9)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return fig


FEWEST = 3  # seeds that both have, below which a difference is not judged


def paired(pairs: dict[str, tuple[BySeed, BySeed]], xlabel: str) -> Figure:
    """Mean difference b - a and its 95 % interval; one dot for each seed that both have.

    With fewer than `FEWEST` of them the line says so, in the words of `sentence`.
    """
    fig, ax = plt.subplots(figsize=(7, 0.55 * len(pairs) + 1))
    ax.axvline(0, color=GREY, lw=1)
    for y, pair in enumerate(pairs.values()):
        a, b = in_both(*pair)
        if len(a) < FEWEST:
            ax.text(0, y, f" {_too_few(len(a))}", va="center", color=GREY, fontsize=9)
            continue
        mean, half = records.paired_difference(a, b)
        sure = abs(mean) > half
        colour = SEEN if sure and mean > 0 else HELD if sure else GREY
        ax.plot(np.subtract(b, a), [y + 0.22] * len(a), "o", ms=3, color=GREY, alpha=0.6)
        ax.errorbar(mean, y, xerr=half, fmt="D", ms=6, color=colour, capsize=4)
    ax.set_yticks(range(len(pairs)), list(pairs), fontsize=9)
    ax.set(xlabel=xlabel, ylim=(len(pairs) - 0.4, -0.6))
    ax.grid(axis="y", visible=False)
    ax.margins(x=0.15)
    return fig


def _too_few(n: int) -> str:
    return f"too few seeds, {n} of at least {FEWEST}" if n else "not yet run"


def sentence(name: str, a: BySeed, b: BySeed) -> str:
    """What the seeds that both have say of b against a, in words, whatever it is."""
    first, second = in_both(a, b)
    if len(first) < FEWEST:
        return f"- {name}: {_too_few(len(first))}"
    mean, half = records.paired_difference(first, second)
    verdict = "no measurable difference"
    if abs(mean) > half:
        verdict = "it helps" if mean > 0 else "it hurts"
    return f"- {name}: {mean:+.2f} ± {half:.2f} points over {len(first)} seeds, {verdict}"


def interval(name: str, values: BySeed) -> str:
    """The mean over the seeds and its 95 % t interval, in words; of one seed there is none."""
    n = len(values)
    if n < 2:
        return f"- {name}: {'one seed, so no interval' if n else 'not yet run'}"
    mean, half = records.paired_difference([0.0] * n, list(values.values()))
    return f"- {name}: {mean:.2f} ± {half:.2f} % over {n} seeds"
