"""The curves and counts of notebook 04: through training, by place, by clutter, by size."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stn_course.plots import GREY
from stn_course.plots_04 import colour_of
from stn_course.records import RunRecord, mean_sd

INK = "#28666e"


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

    curves: name -> the records for a glimpse of the whole side, half, a third, ... of it.  A place
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
                ax.text(place, 0.8 - 0.3 * k, f"{name}:\nnot yet run", ha="center", va="center",
                        color=colour, fontsize=8, transform=ax.get_xaxis_transform())  # fmt: skip
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
        ax.axvline(usual, color="#c8553d", lw=1, ls=":")
        ax.set(xlabel=name, ylim=(0, 101))
    np.atleast_1d(axes)[0].set_ylabel("digits right (%)")
    fig.tight_layout()
    return fig
