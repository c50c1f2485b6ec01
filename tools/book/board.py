"""The scoreboard's page: a chart of ours against the published numbers, controls, the tables.

Without JavaScript chart and tables are simply there; book/_static/board.js filters and sorts both.
"""

import html
import math
from itertools import groupby

from stn_course.experiments.scoreboard import Gap
from stn_course.experiments.statistics import NOT_YET
from tools.book.pages import table, unbroken

MOST, BEND = 20.0, 0.3  # points at the chart's edge; its axis is near to linear up to `BEND`
TICKS = (-10, -3, -1, -0.3, 0, 0.3, 1, 3, 10)
MARKS = {  # of the chart: a shape for each verdict, in a box of 12 units around 0
    "above": '<path d="M0-5 5 4H-5Z"/>',
    "level": '<circle r="4"/>',
    "below": '<path class="cross" d="M-4-4 4 4M4-4-4 4"/>',
}
SAID = {
    "above": "above the published number",
    "level": "level with it",
    "below": "below the published number",
}
ORDERS = {
    "published": "by the published number",
    "measured": "by what was measured",
    "difference": "by the difference of the two",
    "parameters": "by parameters",
}


def place(points: float) -> str:
    """Where `points` stand on the chart's axis, in percent of its width; at an edge beyond it."""
    part = math.asinh(points / BEND) / math.asinh(MOST / BEND)
    return f"{50 + 50 * max(-1.0, min(1.0, part)):.1f}%"


def chart(gaps: list[Gap]) -> str:
    """All `gaps` as HTML, a line each, in groups of one task; nothing where there are none."""
    if not gaps:
        return ""
    counts = {name: sum(gap.verdict == name for gap in gaps) for name in MARKS}
    shapes = "".join(
        f'<symbol id="mark-{name}" overflow="visible">{shape}</symbol>'
        for name, shape in MARKS.items()
    )
    key = "".join(
        f'<li><svg class="shape {name}" viewBox="-6 -6 12 12" aria-hidden="true">'
        f'<use href="#mark-{name}"/></svg> {counts[name]} {said}</li>'
        for name, said in SAID.items()
    )
    parts = [
        f'<figure class="board-chart"><svg class="shapes" aria-hidden="true">{shapes}</svg>',
        f'<ul class="key">{key}</ul>',
        '<div class="axis" aria-hidden="true"><span>points, ours less published</span>'
        f"<svg>{_axis()}</svg></div>",
    ]
    groups: dict[tuple[str, str], list[Gap]] = {}
    for gap in gaps:
        groups.setdefault((gap.row, gap.task), []).append(gap)
    for (name, task), group in groups.items():
        parts.append(
            f'<p class="task"><a href="#board-{name.lower()}">{name}</a> {html.escape(task)}</p>'
        )
        parts.append('<ul class="lines">' + "".join(_line(gap) for gap in group) + "</ul>")
    parts.append(
        "<figcaption><b>Ours less the published number</b>, in points of accuracy: to the right "
        "we read more. The thick bar is the 95 % interval of the test set, the thin one "
        "that of the mean over seeds. A triangle or a cross stands where both bars lie on one side "
        "of 0. The axis is squeezed far from 0. What differs between two numbers stands below, in "
        "the tables.</figcaption></figure>\n"
    )
    return "\n".join(parts)


def _axis() -> str:
    return "".join(f'<text x="{place(tick)}" y="12">{signed(tick, "g")}</text>' for tick in TICKS)


def signed(points: float, form: str) -> str:
    """`points` with a plus or a real minus; 0 has neither."""
    return f"{points:+{form}}".replace("-", "\N{MINUS SIGN}") if points else "0"


def _line(gap: Gap) -> str:
    """A number of ours: its name, its intervals around its mark, and how far it is."""
    bars = f'<line x1="{place(gap.test_set[0])}" x2="{place(gap.test_set[1])}" y1="8" y2="8"/>'
    if gap.seeds:
        low, high = map(place, gap.seeds)
        bars += f'<line class="seeds" x1="{low}" x2="{high}" y1="8" y2="8"/>'
    kind = "" if gap.kind == "as published" else f" <i>{html.escape(gap.kind)}</i>"
    mark = f'<use href="#mark-{gap.verdict}" x="{place(gap.mean)}" y="8"/>'
    return (
        f'<li class="{gap.verdict}" data-name="{gap.experiment}">'
        f"<span>{html.escape(unbroken(gap.variant))}{kind}</span>"
        f'<svg aria-hidden="true">{bars}{mark}</svg><b>{signed(gap.mean, ".2f")}</b></li>'
    )


def controls(rows: list[dict]) -> str:
    """What filters and sorts, hidden until there is a script that does."""
    kinds = {kind: kind for kind in dict.fromkeys(row["kind"] for row in rows)}
    states = {"measured": "measured"} | SAID | {"waiting": NOT_YET}
    boxes = [
        '<p><label for="board-find">Find</label>'
        '<input type="search" id="board-find" name="find" autocomplete="off"></p>',
        _choice("Kind", "kind", {"": "all"} | kinds),
        _choice("Show", "state", {"": "all numbers"} | states),
        _choice("Sort", "order", {"": "as listed"} | ORDERS),
    ]
    return (
        f'<form class="board-controls" hidden>{"".join(boxes)}<button type="reset">Reset</button>'
        f'<output aria-live="polite">{len(rows)} of {len(rows)} numbers</output></form>\n'
    )


def _choice(label: str, name: str, options: dict[str, str]) -> str:
    made = "".join(
        f'<option value="{html.escape(value)}">{html.escape(text)}</option>'
        for value, text in options.items()
    )
    field = f'<select id="board-{name}" name="{name}">{made}</select>'
    return f'<p><label for="board-{name}">{label}</label>{field}</p>'


def _cells(row: dict, keys: tuple[str, ...], verdicts: dict[tuple, str]) -> list:
    """Of the interval without the size of the test set, which stands above; of the command its
    experiment. What was measured has its verdict as a class, and so its mark."""
    short = row | {"test": row["test"].split(" of ")[0]}
    experiment = row["command"].split()[-1]
    cells = {key: unbroken(str(short[key])) for key in keys}
    verdict = verdicts.get((row["row"], row["task"], row["variant"], row["kind"], experiment))
    if verdict:
        cells["measured"] = (cells["measured"], verdict)
    return [*cells.values(), experiment]


def terms(row: dict) -> str:
    """On what terms a row's numbers stand: `Published: validation; ... Measured: test; ...`."""
    said = [f"Published: {row['theirs']}."] if row["theirs"] != "-" else []
    if row["n"]:
        budget = "" if row["budget"] == "-" else f"; {row['budget']}"
        said.append(f"Measured: {row['here']}{budget}.")
    said += [f"Unlike in {row['unlike']}."] if row["unlike"] != "-" else []
    said += [f"Changed: {row['changed']}."] if row["changed"] != "-" else []
    return unbroken(" ".join(said))


def page(rows: list[dict], gaps: list[Gap]) -> str:
    """The chart, and a section for each row of the scoreboard: published beside ours.

    Both may be empty.
    """
    if not rows:
        return "No row has been defined yet.\n"
    done = sum(row["n"] > 0 for row in rows)
    parts = [controls(rows), chart(gaps)]
    parts.append(f"{done} of {len(rows)} numbers have been measured so far.\n")
    keys = ("variant", "kind", "published", "target", "measured", "n", "test", "params")
    verdicts = {gap[:5]: gap.verdict for gap in gaps}
    head = [*keys[:5], "seeds", "test set", "parameters", "experiment"]
    for name, group in groupby(rows, key=lambda row: row["row"]):
        group = list(group)
        tasks = list(dict.fromkeys(row["task"] for row in group))
        single = len(tasks) == 1
        title = tasks[0] if single else tasks[0].split(",")[0]
        parts.append(f"(board-{name.lower()})=\n## {name}: {title}\n")
        parts.append(f"Published by: {group[0]['source']}\n")
        for task in tasks:
            here = [row for row in group if row["task"] == task]
            sizes = {row["test"].split(" of ")[1] for row in here if row["n"]}
            said = [] if single else [task]
            said += [f"test set: {', '.join(sorted(sizes))}"] if sizes else []
            if said:
                parts.append(f'<p class="task">{html.escape("; ".join(said))}</p>\n')
            cells = [_cells(row, keys, verdicts) for row in here]
            parts.append(table(head, cells, "scores board", [terms(row) for row in here]))
    return "\n".join(parts)
