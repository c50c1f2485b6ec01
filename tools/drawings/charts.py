"""The comparison of each task of the scoreboard as an SVG, drawn from the records alone."""

import io
import re
from collections.abc import Iterator
from html import escape
from xml.etree import ElementTree

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from stn_course.experiments import figures, records
from stn_course.experiments.published import ROWS, Row

FEWEST_ROWS = 4  # on record; fewer are read more easily from the table
SVG = "{http://www.w3.org/2000/svg}"
# Text stays text; names of clip paths and markers come from the content.
SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "stn-course"}


def chosen() -> Iterator[tuple[str, list[Row]]]:
    """For each task with enough rows on record, the rows that one chart shows.

    Rows of one task and one kind are comparable; of several such parts the one with the most
    rows that have a published number as well, then the most rows, then the first.
    """
    for name in dict.fromkeys(row.row for row in ROWS):
        parts: dict[tuple[str, str], list[Row]] = {}
        for row in ROWS:
            if row.row == name and row.experiment and records.load(row.experiment):
                parts.setdefault((row.task, row.kind), []).append(row)

        def rank(part: list[Row]) -> tuple[int, int]:
            return sum(figures.published_number(row.published) is not None for row in part), len(
                part
            )

        best = max(parts.values(), key=rank, default=[])
        if len(best) >= FEWEST_ROWS:
            yield name, best


def figure_of(part: list[Row]) -> Figure:
    """The dot plot of `part`, its marks named so that they can be found in the SVG."""
    figure = figures.comparison(part, {r.experiment: records.load(r.experiment) for r in part})
    seeds, means, published = marks_of(figure)
    for name, lines in (("seeds", seeds), ("mean", means), ("published", published)):
        for k, line in lines.items():
            line.set_gid(f"{name}-{k}")
    return figure


def marks_of(figure: Figure) -> tuple[dict, dict, dict]:
    """The lines of seeds, means and published numbers, each by the row that it is drawn in."""
    ax = figure.axes[0]
    means = {round(c.lines[0].get_ydata()[0]): c.lines[0] for c in ax.containers}
    lines = [line for line in ax.lines if len(line.get_xdata())]
    by_marker = {
        marker: {round(line.get_ydata()[0]): line for line in lines if line.get_marker() == marker}
        for marker in (".", "|")
    }
    published = {k: line for k, line in by_marker["|"].items() if line.get_markersize() == 14}
    return by_marker["."], means, published


def told(figure: Figure) -> list[str]:
    """Each row of the chart in words, read off the marks that are drawn."""
    ax = figure.axes[0]
    seeds, means, published = marks_of(figure)
    found = []
    for k, label in enumerate(label.get_text() for label in ax.get_yticklabels()):
        text = f"{label}: mean {means[k].get_xdata()[0]:.2f}"
        text += f", seeds {' '.join(f'{v:.2f}' for v in seeds[k].get_xdata())}"
        if k in published:
            text += f", published {published[k].get_xdata()[0]:g}"
        found.append(text)
    return found


def drawn(name: str, part: list[Row]) -> str:
    """The chart of `part` as an SVG with a title and its numbers in words."""
    with matplotlib.rc_context(SETTINGS):
        figure = figure_of(part)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)
    ax, key = figure.axes[0], f"chart-{name}"
    title = f"{ax.get_title()}, {ax.get_xlabel()}"
    text = out.getvalue()
    text = text[text.index("<svg ") :]
    head = text[: text.index(">") + 1]
    spoken = (
        f'{head[:-1]} role="img" aria-labelledby="{key}-title {key}-desc">\n'
        f'<title id="{key}-title">{escape(title)}</title>\n'
        f'<desc id="{key}-desc">{escape("; ".join(told(figure)))}</desc>'
    )
    text = text.replace(head, spoken, 1)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


# ---------------------------------------------------------------- reading one back
def words_of(svg: str) -> list[str]:
    """Title and description of a chart, the rows apart."""
    root = ElementTree.fromstring(svg)
    return [root.findtext(f"{SVG}title"), *root.findtext(f"{SVG}desc").split("; ")]


def means_in(svg: str) -> list[float]:
    """The means where they are drawn: their places, measured on the axis's own ticks."""
    root = ElementTree.fromstring(svg)
    groups = {g.get("id"): g for g in root.iter(f"{SVG}g") if g.get("id")}
    ticks = []
    for name, group in groups.items():
        if re.fullmatch(r"xtick_\d+", name):
            text = "".join(group.find(f".//{SVG}text").itertext()).replace("\u2212", "-")
            ticks.append((_place(group), float(text)))
    (x0, v0), (x1, v1) = min(ticks), max(ticks)
    count = sum(name.startswith("mean-") for name in groups)
    places = [_place(groups[f"mean-{k}"]) for k in range(count)]
    return [v0 + (x - x0) / (x1 - x0) * (v1 - v0) for x in places]


def _place(group) -> float:
    return float(group.find(f".//{SVG}use").get("x"))
