"""The figures of notebook 01: rows of numbers, verdicts, curves of motion, errors of layers."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stn_course.analysis.plots import GREY, RED, STYLE, TEAL, show_image, verdict
from stn_course.experiments.statistics import mean_sd
from stn_course.training.record import RunRecord


def number_rows(rows: dict[str, Sequence[float]]) -> Figure:
    """Rows of numbers in boxes, shaded by size: a worked example that one can check by hand."""
    n = max(len(r) for r in rows.values())
    fig, ax = plt.subplots(figsize=(0.6 * n + 1, 0.55 * len(rows)))
    largest = max(abs(v) for r in rows.values() for v in r) or 1
    for y, (name, row) in enumerate(rows.items()):
        ax.text(-0.3, y + 0.5, name, ha="right", va="center", fontsize=11)
        for x, value in enumerate(row):
            shade = TEAL if value >= 0 else RED
            box = plt.Rectangle((x, y + 0.05), 0.96, 0.9, fc=shade, ec="none")
            box.set_alpha(0.08 + 0.5 * abs(value) / largest)
            ax.add_patch(box)
            ax.text(x + 0.48, y + 0.5, f"{value:g}", ha="center", va="center", fontsize=11)
    ax.set(xlim=(-1.6, n), ylim=(len(rows), 0))
    ax.axis("off")
    return fig


def verdict_strips(images, values: Sequence[str], verdicts: dict[str, np.ndarray], truth: int):
    """One digit moved by each of `values` with every network's verdict below it.

    `verdicts` maps a network to its probabilities [N, classes]; a wrong one is bold, with a cross.
    """
    n = len(images)
    ratios = [1.2] + [0.5] * len(verdicts)
    fig, axes = plt.subplots(
        1 + len(verdicts), n, figsize=(0.78 * n, 1.5 + 0.5 * len(verdicts)), height_ratios=ratios
    )
    for k, value in enumerate(values):
        show_image(axes[0, k], images[k], value)
    for row, (name, probabilities) in enumerate(verdicts.items(), 1):
        for k, p in enumerate(np.asarray(probabilities)):
            _verdict(axes[row, k], p, truth)
        axes[row, 0].set_ylabel(name, rotation=0, ha="right", va="center")
    return fig


def _verdict(ax: Axes, probabilities: np.ndarray, truth: int) -> None:
    said = int(probabilities.argmax())
    ax.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
    ax.grid(False)
    for side in ax.spines.values():
        side.set_visible(False)
    look = verdict(said, truth)
    ax.text(0.5, 0.62, look.pop("text"), ha="center", va="center", fontsize=13, **look)
    ax.text(0.5, 0.06, f"{100 * probabilities[said]:.0f} %", ha="center", fontsize=7, color=GREY)


def motion_curves(
    runs: dict[str, list[RunRecord]], motion: str, xlabel: str, ax: Axes | None = None
) -> Figure:
    """Test accuracy against `motion` (a probe of the records): mean line, band of one sd."""
    if ax is None:
        _, ax = plt.subplots(figsize=(6, 3.4))
    for name, records in runs.items():
        if not records:
            raise ValueError(f"runs[{name!r}] is empty; wanted at least one record")
        probes = [r.probes[motion] for r in records]
        values = probes[0]["values"]
        curves = np.array([[100 * c / p["total"] for c in p["correct"]] for p in probes])
        stats = [mean_sd(list(column)) for column in curves.T]
        mean, sd = np.array([s[0] for s in stats]), np.array([s[1] for s in stats])
        style = STYLE.get(name, {})
        ax.plot(values, mean, label=f"{name} (n = {len(records)})", markersize=4, **style)
        ax.fill_between(values, mean - sd, mean + sd, color=style.get("color"), alpha=0.2, lw=0)
    ax.axhline(10, color=GREY, lw=0.8, ls=":")
    ax.set(xlabel=xlabel, ylabel="test accuracy (%)", ylim=(0, 101))
    ax.legend(fontsize=8)
    return ax.figure


def size_against(points: Sequence[tuple[str, str, int, list[float]]], ylabel: str) -> Figure:
    """Parameters (log axis) against a measurement.

    `points`: (network, label, parameters, one value a seed); mean and range are drawn.
    """
    fig, ax = plt.subplots(figsize=(6, 3.4))
    named = set()
    for network, label, parameters, values in points:
        mean = sum(values) / len(values)
        reach = [[mean - min(values)], [max(values) - mean]]
        legend = None if network in named else network
        named.add(network)
        ax.errorbar(
            parameters, mean, reach, label=legend, linestyle="none", capsize=3, **STYLE[network]
        )
        ax.annotate(label, (parameters, mean), (6, 4), textcoords="offset points", fontsize=8)
    ax.set(xscale="log", xlabel="parameters", ylabel=ylabel)
    ax.legend(fontsize=8)
    return fig


def layer_errors(by_pixels: dict[int, list[dict]]) -> Figure:
    """`robustness.equivariance_errors` of some shifts, layer by layer, and beside it invariance.

    by_pixels: the shift in pixels -> one row a layer.
    """
    fig, axes = plt.subplots(1, 2, figsize=(9.6, 3.4))
    looks = (("o", "#8fb9aa"), ("s", TEAL), ("D", RED))
    titles = ("equivariance: |f(Tx) - Tf(x)| / |f(x)|", "invariance: |f(Tx) - f(x)| / |f(x)|")
    for ax, key, title in zip(axes, ("error", "invariance"), titles, strict=True):
        for (pixels, rows), (marker, colour) in zip(by_pixels.items(), looks, strict=False):
            drawn = [row[key] for row in rows if row[key] is not None]
            ax.plot(drawn, marker=marker, color=colour, label=f"{pixels} px", ms=4)
            names = [row["layer"] for row in rows if row[key] is not None]
        ax.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)
        ax.set(ylim=(0, None))
        ax.set_title(title, fontsize=10)
    axes[0].legend(fontsize=8)
    fig.tight_layout()
    return fig
