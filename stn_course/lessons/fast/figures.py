"""The figures of notebook 07: bytes, programs of a kernel, ten runs, errors, queues, times."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from stn_course.analysis.plots import GREY, OCHRE, RED, TEAL

NEEDED, SPARE, THIRD = TEAL, RED, OCHRE


def byte_bars(moved: dict[str, tuple[float, float]], least: tuple[float, float]) -> Figure:
    """Bytes a pixel, forward and backward: what carries information, and what does not.

    moved: name -> (forward, backward); least: the same for the pixels alone.
    """
    fig, axes = plt.subplots(1, 2, figsize=(8, 0.5 * len(moved) + 1.3), sharey=True)
    parts = zip(axes, ("forward", "backward, to theta"), range(2), strict=True)
    for ax, title, k in parts:
        values = [pair[k] for pair in moved.values()]
        needed = [min(value, least[k]) for value in values]
        spare = [value - need for value, need in zip(values, needed, strict=True)]
        places = range(len(moved))
        ax.barh(places, needed, color=NEEDED, label="pixels in, pixels out")
        ax.barh(places, spare, left=needed, color=SPARE, label="coordinates")
        for y, value in enumerate(values):
            ax.text(value + 0.8, y, f"{value:.0f}", va="center", fontsize=9)
        ax.set(title=title, xlabel="bytes a pixel", xlim=(0, 1.15 * max(values)))
        ax.set_yticks(places, list(moved))
        ax.grid(axis="y", visible=False)
    axes[0].invert_yaxis()
    axes[1].legend(fontsize=8, loc="lower right")
    fig.tight_layout()
    return fig


def ledger_bars(bills: dict[str, list[tuple[str, int, bool]]]) -> Figure:
    """A bar for each array that is read or written: (what, bytes, whether it is coordinates)."""
    lines = [(way, *line) for way, bill in bills.items() for line in bill]
    fig = Figure(figsize=(7, 0.24 * len(lines) + 0.8))
    ax = fig.subplots()
    for y, (_, _, size, coordinates) in enumerate(lines):
        ax.barh(
            y,
            size / 1000,
            color="white" if coordinates else NEEDED,
            edgecolor=SPARE if coordinates else NEEDED,
            hatch="////" if coordinates else "",
        )
    ax.set_yticks(range(len(lines)), [f"{way}: {what}" for way, what, *_ in lines], fontsize=8)
    ax.invert_yaxis()
    ax.set_xlabel("kB; hatched: coordinates", fontsize=8)
    ax.tick_params(axis="x", labelsize=8)
    return fig


def programs(height: int, width: int, block: int) -> Figure:
    """Which program of a kernel makes which pixel of the output, and what the last has too much.

    Program k makes the pixels k * block up to (k + 1) * block, counted row by row.
    """
    count = -(-height * width // block)
    which = np.full(-(-count * block // width) * width, np.nan)
    which[: count * block] = np.arange(count * block) // block
    shown = which.reshape(-1, width)
    fig, ax = plt.subplots(figsize=(4.6, 4.2))
    ax.imshow(shown, cmap="GnBu", vmin=-1, vmax=count + 1, interpolation="nearest")
    spare = np.zeros((*shown.shape, 4))
    spare.reshape(-1, 4)[height * width : count * block] = plt.matplotlib.colors.to_rgba(SPARE, 0.8)
    ax.imshow(spare, interpolation="nearest")
    for k in range(count):
        end = min((k + 1) * block, height * width)
        ax.text(width, (k * block + end) / 2 / width - 0.5, f"program {k}", va="center", fontsize=9)
    below = height + (len(shown) - height) / 2 - 0.5
    note = f"{count * block - height * width} places without a pixel: masked"
    ax.text(width / 2, below, note, ha="center", va="center", fontsize=8, color="white")
    ax.set(xticks=[], yticks=[], title=f"{height} x {width} pixels, BLOCK = {block}")
    ax.grid(False)
    return fig


def ten_runs(runs: dict[str, Sequence[float]]) -> Figure:
    """The same sum in several orders: each run's distance from the exact sum, in one colour a way.

    runs: name -> differences from the exact sum, one a run.
    """
    fig, ax = plt.subplots(figsize=(7, 2.6))
    markers = zip(runs.items(), ("o", "s", "D"), (SPARE, NEEDED, THIRD), strict=False)
    for (name, values), marker, colour in markers:
        count = len(set(map(float, values)))
        label = f"{name}: {count} different result{'s' * (count > 1)}"
        millionths = 1e6 * np.asarray(values)
        ax.plot(range(1, len(values) + 1), millionths, marker, color=colour, label=label)
    ax.set(xlabel="run, each in an order of its own", ylabel="off by (millionths)")
    ax.margins(y=0.25)
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def grid_errors(sides: Sequence[int], errors: dict[str, Sequence[float]]) -> Figure:
    """Largest error of a grid in pixels against the image's side, one line a type."""
    fig, ax = plt.subplots(figsize=(6, 3.2))
    styles = zip(errors.items(), ("o-", "s--", "D:"), (NEEDED, THIRD, SPARE), strict=False)
    for (name, values), style, colour in styles:
        ax.loglog(sides, values, style, color=colour, label=name)
    ax.axhline(0.5, color=GREY, lw=0.8)
    ax.text(sides[0], 0.55, "half a pixel", color=GREY, fontsize=8, va="bottom")
    ax.set_xticks(sides, [str(n) for n in sides])
    ax.minorticks_off()
    ax.set(xlabel="side of the image (pixels)", ylabel="largest error (pixels)")
    ax.legend(fontsize=8)
    return fig


def timelines(queues: dict[str, tuple[list, list]]) -> Figure:
    """For each name a lane of the program, asking, and one of the device, working.

    queues: name -> (host, device), lists of (start, length) in microseconds.
    """
    fig, axes = plt.subplots(len(queues), 1, figsize=(8, 1.15 * len(queues) + 0.5), sharex=True)
    for ax, (name, (host, device)) in zip(np.atleast_1d(axes), queues.items(), strict=True):
        ax.broken_barh(host, (1.1, 0.8), color=THIRD, ec="white", lw=0.5)
        ax.broken_barh(device, (0.1, 0.8), color=NEEDED, ec="white", lw=0.5)
        end = max(start + span for start, span in device)
        busy = sum(span for _, span in device) / end
        ax.text(end + 1, 0.5, f"{end:.0f} µs, busy {100 * busy:.0f} %", va="center", fontsize=8)
        ax.set_yticks([1.5, 0.5], ["program", "device"], fontsize=8)
        ax.set_title(name, fontsize=9, loc="left")
        ax.grid(False)
        ax.set(ylim=(0, 2))
    longest = max(ax.dataLim.x1 for ax in np.atleast_1d(axes))
    np.atleast_1d(axes)[-1].set(xlabel="microseconds", xlim=(0, 1.25 * longest))
    fig.tight_layout()
    return fig


def step_times(batches: Sequence[int], seconds: Sequence[float], operators: int) -> Figure:
    """Time of one training step against the batch, and what it would be if images alone cost."""
    fig, ax = plt.subplots(figsize=(6, 3.2))
    milliseconds = 1e3 * np.asarray(seconds)
    fair = milliseconds[-1] * np.asarray(batches) / batches[-1]
    ax.loglog(batches, milliseconds, "o-", color=NEEDED, label=f"a step: {operators} operators")
    ax.loglog(batches, fair, ":", color=GREY, label="in proportion to the images")
    ax.set_xticks(batches, [str(n) for n in batches])
    ax.minorticks_off()
    ax.set(xlabel="images in a batch", ylabel="milliseconds a step")
    ax.legend(fontsize=8)
    return fig


def time_bars(seconds: dict[str, float], unit: str = "ms") -> Figure:
    """One bar a name; seconds are drawn in `unit` (ms or µs)."""
    factor = {"ms": 1e3, "µs": 1e6}[unit]
    values = [factor * s for s in seconds.values()]
    fig, ax = plt.subplots(figsize=(7, 0.42 * len(values) + 0.9))
    drawn = ax.barh(range(len(values)), values, color=NEEDED)
    ax.bar_label(drawn, [f"{v:.3g}" for v in values], padding=3, fontsize=8)
    ax.set_yticks(range(len(values)), list(seconds), fontsize=9)
    ax.set(xlabel=unit, xlim=(0, 1.12 * max(values)))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    return fig
