"""Every comparison that the records allow, drawn: one dot plot a scoreboard row, its histories."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stn_course.analysis.plots import GREY, HELD, SEEN, STYLE
from stn_course.analysis.run_plots import save
from stn_course.experiments import records, statistics
from stn_course.experiments.pairs import PAIRS
from stn_course.experiments.published import ROWS, Row
from stn_course.experiments.scoreboard import published_number
from stn_course.experiments.statistics import NOT_YET, BySeed, interval, too_few
from stn_course.training.record import RunRecord

OURS, PUBLISHED = STYLE["CNN"], STYLE["FC"]["color"]


def dots(
    rows: dict[str, Sequence[float]],
    published: dict[str, float],
    xlabel: str,
    most: float = math.inf,
) -> Figure:
    """One line a row: each seed a small dot, the mean with its 95 % interval, what was published.

    `rows` maps a label to one value a seed, `published` some of the labels to a number. No
    value is below 0 or above `most`, and no interval is drawn beyond.
    Raises ValueError for no rows or a row without values.
    """
    if not rows or not all(rows.values()):
        raise ValueError(f"rows={rows!r}; wanted at least one, each with a value a seed")
    fig, ax = plt.subplots(figsize=(6.4, 0.9 + 0.3 * len(rows)))
    for y, (label, values) in enumerate(rows.items()):
        mean, half = interval(values)
        ax.plot(values, [y] * len(values), ".", color=GREY, ms=4, alpha=0.6)
        reach = [[min(half, mean)], [min(half, most - mean)]]
        ax.errorbar(mean, y, xerr=reach, color=OURS["color"], marker="o", ms=5, capsize=3)
        if label in published:
            ax.plot(published[label], y, marker="|", ms=14, mew=2, color=PUBLISHED)
    ax.set_yticks(range(len(rows)), [f"{k} (n = {len(v)})" for k, v in rows.items()], fontsize=8)
    ax.set(xlabel=xlabel, ylim=(len(rows) - 0.5, -0.5))
    ax.grid(axis="y", visible=False)
    _legend(ax, any(label in published for label in rows))
    return fig


def _legend(ax: Axes, published: bool) -> None:
    ax.plot([], [], marker="o", color=OURS["color"], label="mean, 95 % interval")
    ax.plot([], [], ".", color=GREY, label="one seed")
    if published:
        ax.plot([], [], "|", ms=12, mew=2, color=PUBLISHED, label="published")
    ax.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)


def histories(runs: dict[str, list[RunRecord]], curve: str = "valid_accuracy") -> Figure | None:
    """Each experiment's `curve` against the epoch: the mean and the range of its seeds.

    None where no record has that curve.
    """
    shown = {k: [r.curves[curve] for r in v if r.curves.get(curve)] for k, v in runs.items()}
    shown = {name: curves for name, curves in shown.items() if curves}
    if not shown:
        return None
    fig, ax = plt.subplots(figsize=(6.4, 3.6))
    colours = plt.get_cmap("tab10")
    for k, (name, curves) in enumerate(shown.items()):
        columns = list(zip(*curves, strict=False))  # as far as all seeds have come
        epochs = range(1, len(columns) + 1)
        colour = colours(k % 10)
        ax.plot(epochs, [sum(c) / len(c) for c in columns], color=colour, label=name)
        ax.fill_between(
            epochs, [min(c) for c in columns], [max(c) for c in columns], color=colour, alpha=0.15
        )
    unit = " (%)" if "accuracy" in curve else ""
    ax.set(xlabel="epoch", ylabel=curve.replace("_", " ") + unit)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(fontsize=7, bbox_to_anchor=(1.0, 1.0), loc="upper left")
    return fig


def paired(pairs: dict[str, tuple[str, str, str]], folder: Path | None = None) -> Figure | None:
    """The differences in accuracy, seed by seed, as `pairs.PAIRS` has them for a row.

    Only pairs with enough seeds in common (`statistics.FEWEST`); None where there are none.
    """
    found = {
        label: (statistics.by_seed(a, which, folder), statistics.by_seed(b, which, folder))
        for label, (a, b, which) in pairs.items()
    }
    enough = statistics.FEWEST
    found = {k: pair for k, pair in found.items() if len(statistics.in_both(*pair)[0]) >= enough}
    return paired_differences(found, "points of test accuracy") if found else None


# From where a corner residual is measured, and what the figure says of it.
FROM = {"written": "from the truth", "common": "from their common place"}


def residuals(runs: dict[str, list[RunRecord]], start: str) -> Figure | None:
    """The median corner residual of each experiment that measured one, before and after.

    `start` is one of FROM. None where no record has it.
    """
    rows = {}
    for name, made in runs.items():
        for when in ("before", "after"):
            probes = [r.probes.get(when, {}) for r in made]
            medians = [probe[start]["median"] for probe in probes if start in probe]
            found = [m for m in medians if m is not None]  # None: beyond the horizon
            lost = len(medians) - len(found)
            if found:
                rows[f"{name}, {when}" + f" ({lost} beyond the horizon)" * (lost > 0)] = found
    xlabel = f"corners off {FROM[start]}, median over the images (pixels)"
    return dots(rows, {}, xlabel) if rows else None


# In one figure: more lines cannot be told apart, and other pairs may need another scale.
MOST_LINES, MOST_PAIRS = 8, 10


def _portions(things: dict, most: int) -> list[dict]:
    """`things` in their order, in as few and as equal parts of at most `most` as will do."""
    if not things:
        return []
    parts = math.ceil(len(things) / most)
    each, items = math.ceil(len(things) / parts), list(things.items())
    return [dict(items[k : k + each]) for k in range(0, len(items), each)]


def draw_all(out: Path, names: Sequence[str] = (), folder: Path | None = None) -> Iterator[str]:
    """Draw the rows `names` (default: all) into `out`; yields a line for each thing done.

    `S10.png` holds the row's numbers, one panel a file for each of its tasks and kinds
    (`S10-2.png`, ...), `S10-history.png` and `S10-loss.png` how its runs went,
    `S10-paired.png` the differences of `pairs.PAIRS`, each over as many files as it takes
    (`S10-paired-2.png`, ...), `S11-residual.png` how far off corners are read from the truth,
    `S11-residual-common.png` from their common place. The lines name what was written and the
    experiments that have no record yet. Raises ValueError for an unknown row.
    """
    known = list(dict.fromkeys(row.row for row in ROWS))
    for name in names:
        if name not in known:
            raise ValueError(f"row {name!r} is unknown; wanted some of {', '.join(known)}")
    missing: list[str] = []
    for name in names or known:
        mine = [row for row in ROWS if row.row == name]
        parts: dict[tuple[str, str], list[Row]] = {}
        for row in mine:
            parts.setdefault((row.task, row.kind), []).append(row)
        runs = {r.experiment: records.load(r.experiment, folder) for r in mine if r.experiment}
        missing += [experiment for experiment, made in runs.items() if not made]
        made = {k: v for k, v in runs.items() if v}
        went = _portions(made, MOST_LINES)
        pairs = PAIRS.get(name, {})
        drawn = {
            "": [comparison(part, runs) for part in parts.values()],
            "-history": [histories(some, "valid_accuracy") for some in went],
            "-loss": [histories(some, "train_loss") for some in went],
            "-paired": [paired(some, folder) for some in _portions(pairs, MOST_PAIRS)],
            "-residual": [residuals(made, "written")],
            "-residual-common": [residuals(made, "common")],
        }
        for short, all_figures in drawn.items():
            for k, figure in enumerate(filter(None, all_figures), 1):
                yield _written(figure, out / f"{name}{short}{f'-{k}' if k > 1 else ''}.png")
        if not made:
            yield f"{name}: no record yet"
    if missing:
        yield f"not yet run: {', '.join(dict.fromkeys(missing))}"


def _written(figure: Figure, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    save(figure, path)
    return str(path)


def comparison(part: list[Row], runs: dict[str, list[RunRecord]]) -> Figure | None:
    """The dot plot of rows of one task and one kind; None where none of them has a record."""
    values, published, error = {}, {}, False
    for row in part:
        made = runs.get(row.experiment or "")
        if not made:
            continue
        error = row.published.endswith("error")
        label = row.variant if row.variant not in values else f"{row.variant}, {row.experiment}"
        found = [r.accuracy(row.which) for r in made]
        values[label] = [100 - v for v in found] if error else found
        number = published_number(row.published)
        if number is not None:
            published[label] = number
    if not values:
        return None
    figure = dots(values, published, "error (%)" if error else "accuracy (%)", 100.0)
    figure.axes[0].set_title(f"{part[0].row}, {part[0].kind}: {part[0].task}", fontsize=9, pad=24)
    return figure


def heat(rows: Sequence[str], columns: dict[str, list[list[float]]], ylabel: str = "") -> Figure:
    """Mean and deviation in every cell, shaded within its column; an empty cell says so.

    columns: title -> for each row the values, one a seed ([] for not yet run).
    """
    fig, ax = plt.subplots(figsize=(2.6 + 1.75 * len(columns), 0.5 * len(rows) + 0.7))
    for j, cells in enumerate(columns.values()):
        means = [np.mean(values) for values in cells if values]
        low, high = (min(means), max(means)) if means else (0, 1)
        for i, values in enumerate(cells):
            text, shade = NOT_YET, "#f3f4f6"
            if values:
                mean, sd, n = statistics.mean_sd(values)
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


def paired_differences(pairs: dict[str, tuple[BySeed, BySeed]], xlabel: str) -> Figure:
    """Mean difference b - a and its 95 % interval; one dot for each seed that both have.

    With fewer than `FEWEST` of them the line says so, in the words of `sentence`.
    """
    fig, ax = plt.subplots(figsize=(7, 0.55 * len(pairs) + 1))
    _differences(ax, pairs)
    ax.set(xlabel=xlabel)
    return fig


def forest(panels: dict[str, dict[str, tuple[BySeed, BySeed]]], xlabel: str) -> Figure:
    """`paired_differences` of several settings, two panels a row, each mean written above it.

    Every panel has an x-axis of its own: settings may differ tenfold. Lines that are the same in
    all panels are named once a row.
    """
    names = [list(pairs) for pairs in panels.values()]
    same = all(each == names[0] for each in names)
    down = -(-len(panels) // 2)
    size = (8, down * (0.5 * max(map(len, names)) + 0.9))
    fig, axes = plt.subplots(down, 2, figsize=size, sharey=same, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
    for ax, (title, pairs) in zip(axes.flat, panels.items(), strict=False):
        _differences(ax, pairs, written=True)
        ax.set_title(title, fontsize=10)
    for ax in axes[-1]:
        ax.set_xlabel(xlabel)
    fig.tight_layout()
    return fig


def _differences(ax: Axes, pairs: dict[str, tuple[BySeed, BySeed]], written: bool = False) -> None:
    """A line a pair; the colour of a mean says on which side of 0 its interval lies."""
    ax.axvline(0, color=GREY, lw=1)
    for y, pair in enumerate(pairs.values()):
        a, b = statistics.in_both(*pair)
        if len(a) < statistics.FEWEST:
            ax.text(0, y, f" {too_few(len(a))}", va="center", color=GREY, fontsize=9)
            continue
        mean, half = statistics.paired_difference(a, b)
        sure = abs(mean) > half
        colour = SEEN if sure and mean > 0 else HELD if sure else GREY
        ax.plot(np.subtract(b, a), [y + 0.22] * len(a), "o", ms=3, color=GREY, alpha=0.6)
        ax.errorbar(mean, y, xerr=half, fmt="D", ms=6, color=colour, capsize=4)
        if written:
            text = f"{mean:+.2f}".replace("-", "\N{MINUS SIGN}")
            paper = {"fc": "white", "ec": "none", "pad": 0.5}  # over the line at 0
            ax.text(mean, y - 0.2, text, ha="center", va="bottom", fontsize=9, bbox=paper)
    ax.set_yticks(range(len(pairs)), list(pairs), fontsize=9)
    ax.set(ylim=(len(pairs) - 0.4, -0.6))
    ax.grid(axis="y", visible=False)
    ax.margins(x=0.15)
