"""The figures of notebook 06: memory orders, parity, the trap, times."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from stn_course.analysis.plots import GREY, OCHRE, RED, TEAL, VIOLET, show_image

CHANNELS = (TEAL, RED, OCHRE, VIOLET)
TORCH, KERAS = RED, TEAL


def memory_orders(maps) -> Figure:
    """Channels [C, h, w] of numbers, and the two rows in which they lie in memory."""
    maps = np.asarray(maps)
    channels, h, w = maps.shape
    fig = plt.figure(figsize=(8, 3.4))
    top = fig.add_gridspec(2, 1, height_ratios=(1.2, 1), hspace=0.35)
    pictures = top[0].subgridspec(1, channels)
    for c in range(channels):
        ax = fig.add_subplot(pictures[c])
        _cells(ax, [[(v, c) for v in row] for row in maps[c]])
        ax.set_title(f"channel {c}", fontsize=10, color=CHANNELS[c])
    ax = fig.add_subplot(top[1])
    colour = np.arange(channels)[:, None, None] + 0 * maps
    first = list(zip(maps.ravel(), colour.ravel(), strict=True))
    last = [
        (v, c)
        for v, c in zip(
            maps.transpose(1, 2, 0).ravel(), colour.transpose(1, 2, 0).ravel(), strict=True
        )
    ]
    _cells(ax, [first, last])
    for y, text in enumerate(("torch  C h w", "Keras  h w C")):
        ax.text(-0.2, y + 0.5, text, ha="right", va="center", fontsize=10)
    ax.set_xlim(-3.2, h * w * channels)
    return fig


def _cells(ax, rows: Sequence[Sequence[tuple[float, int]]]) -> None:
    for y, row in enumerate(rows):
        for x, (value, channel) in enumerate(row):
            box = plt.Rectangle((x, y + 0.05), 0.96, 0.9, fc=CHANNELS[channel], alpha=0.35)
            ax.add_patch(box)
            ax.text(x + 0.48, y + 0.5, f"{value:g}", ha="center", va="center", fontsize=9)
    ax.set(xlim=(-0.1, len(rows[0])), ylim=(len(rows), 0), aspect="equal")
    ax.axis("off")


def pictures(rows: dict[str, Sequence]) -> Figure:
    """Rows of images [h, w], each row with its name."""
    n = max(len(row) for row in rows.values())
    size = (1.05 * n + 1.4, 1.15 * len(rows))
    fig, axes = plt.subplots(len(rows), n, figsize=size, squeeze=False)
    for line, (name, row) in zip(axes, rows.items(), strict=True):
        for ax in line[len(row) :]:
            ax.set_visible(False)
        for ax, image in zip(line, row, strict=False):
            show_image(ax, np.asarray(image).squeeze())
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return fig


def layer_differences(rows: Sequence, limit: float = 1e-4) -> Figure:
    """Each layer's largest difference between the frameworks, on a logarithmic axis.

    One that agrees to the last bit has no bar; it says so.
    """
    fig, ax = plt.subplots(figsize=(6.4, 0.26 * len(rows) + 1))
    least = 1e-9  # where the axis begins
    gaps = [max(row.difference - least, 0) for row in rows]
    names = [f"{row.layer}  {'x'.join(map(str, row.shape))}" for row in rows]
    ax.barh(range(len(rows)), gaps, left=least, color=KERAS)
    for k, row in enumerate(rows):
        if row.difference == 0:
            ax.text(1.3 * least, k, "bit for bit", color=GREY, fontsize=7, va="center")
    ax.axvline(limit, color=TORCH, lw=1.2, ls="--")
    ax.set_yticks(range(len(rows)), names, fontsize=8)
    ax.set(xscale="log", xlim=(least, 1e2), xlabel="largest difference, torch and Keras")
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    return fig


def backends(runs: dict[str, dict]) -> Figure:
    """Theta's shift and the loss against the epoch, one line a backend."""
    fig, axes = plt.subplots(1, 2, figsize=(7.4, 2.6))
    for (name, run), colour in zip(runs.items(), (KERAS, TORCH), strict=False):
        axes[0].plot(run["theta"], color=colour, label=f"Keras on {name}")
        axes[1].plot(run["loss"], color=colour)
    axes[0].axhline(0, color=GREY, lw=0.8, ls=":")
    axes[0].set(xlabel="epoch", ylabel="pixels that theta shifts by")
    axes[1].set(xlabel="epoch", ylabel="loss")
    axes[0].legend(fontsize=8)
    fig.tight_layout()
    return fig


def times(table: dict[str, tuple[float, float]]) -> Figure:
    """Pairs of milliseconds, torch's and Keras's, as bars on a logarithmic axis."""
    fig, ax = plt.subplots(figsize=(6.4, 0.6 * len(table) + 1))
    for k, (torch_ms, keras_ms) in enumerate(table.values()):
        for shift, value, colour in ((-0.2, torch_ms, TORCH), (0.2, keras_ms, KERAS)):
            ax.barh(k + shift, value, 0.36, color=colour)
            ax.text(value * 1.08, k + shift, f"{value:.3g}", va="center", fontsize=8)
    handles = [plt.Rectangle((0, 0), 1, 1, color=c) for c in (TORCH, KERAS)]
    where = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 2}
    ax.legend(handles, ("torch", "Keras on TensorFlow"), fontsize=8, **where)
    ax.set_yticks(range(len(table)), list(table), fontsize=9)
    ax.set(xscale="log", xlabel="milliseconds")
    ax.set_xlim(right=3 * max(max(pair) for pair in table.values()))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    return fig
