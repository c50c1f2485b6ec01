"""The parts of the book that are made at build: course map, pairs and status page."""

import html
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path

from stn_course.experiments.statistics import NOT_YET
from tools import ROOT, matrix

# number: title, and a line on what its reader will be able to do.
COURSE = {
    1: (
        "See what a network does not know",
        "Turn a digit until a network misreads it, and "
        "measure invariance instead of hoping for it.",
    ),
    2: (
        "Move an image with six numbers",
        "Grids, sampling and how a loss reaches the six numbers: every gradient drawn and checked.",
    ),
    3: (
        "Teach a network to look straight",
        "Train a spatial transformer on distorted digits, and find out why it sometimes refuses.",
    ),
    4: (
        "Read three digits in clutter",
        "From one glance to a sequence of glances: attention as a transformer that moves.",
    ),
    5: (
        "Tell the network where it is",
        "Coordinates as channels, and a homography that tilts the page without falling over.",
    ),
    6: (
        "Build the same network in Keras",
        "Weight for weight and number for number; and the layer that silently does not learn.",
    ),
    7: (
        "Make it fast",
        "Count the bytes, predict the ratio, measure it; then write the one "
        "operation that reaches it.",
    ),
}
PACKAGES = (
    "stn-course torch numpy matplotlib jupyterlab ipywidgets anywidget papermill keras tensorflow "
    "tensorflow-cpu sphinx myst-nb sphinx-book-theme"
).split()
NOT_MEASURED = "not measured in this build"
QUIET = {"-": "nothing", NOT_YET: "waiting"}  # cells that say little: a phone need not show "-"
NOT_RECORDED = "not recorded in this build"


def course_map(titles: dict[str, str]) -> str:
    """The map of the course as HTML. `titles` is {file stem: title} of what exists.

    Raises ValueError for a file name without a number of its own.
    """
    numbers: dict[int, str] = {}
    for stem in titles:
        if not (match := re.match(r"(\d\d)_\w+$", stem)) or int(match[1]) in numbers:
            raise ValueError(f"notebook {stem}: want a name NN_words with a number of its own")
        numbers[int(match[1])] = stem
    items = []
    for number in sorted(COURSE.keys() | numbers.keys()):
        stem = numbers.get(number)
        name, line = COURSE.get(number, (titles.get(stem, ""), ""))
        body = (
            f'<span class="map-number">{number}</span><span class="map-title">{html.escape(name)}'
            f'</span><span class="map-line">{html.escape(line)}</span>'
        )
        if stem:
            items.append(f'<li><a href="notebooks/{stem}.html">{body}</a></li>')
        else:
            state = '<span class="map-state">in preparation</span>'
            items.append(f'<li class="waiting"><div>{body}{state}</div></li>')
    return '<ol class="course-map">\n' + "\n".join(items) + "\n</ol>\n"


def toctree(stems: list[str]) -> str:
    """The hidden table of contents of the notebooks; nothing where there are none."""
    if not stems:
        return ""
    lines = "\n".join(f"notebooks/{stem}" for stem in sorted(stems))
    return f"```{{toctree}}\n:hidden:\n:caption: The course\n\n{lines}\n```\n"


def teachers(solutions: bool) -> str:
    """The hidden table of contents of the pages that go with the course."""
    lines = ["stuck", "elsewhere", "teaching", *(["solutions"] if solutions else [])]
    return "```{toctree}\n:hidden:\n:caption: Beside it\n\n" + "\n".join(lines) + "\n```\n"


def unbroken(text: str) -> str:
    """`text` in which no line ends within a number and its unit: 97.12 ± 0.08 %, 445 492."""
    return re.sub(r"(?<=\d)[ \n](?=[±%]|\d{3}(?!\d))|(?<=±)[ \n]", "\N{NO-BREAK SPACE}", text)


def table(
    head: list[str],
    rows: list[list[str | tuple[str, str]]],
    kind: str = "",
    notes: list[str] | None = None,
) -> str:
    """An HTML table of plain text; each cell knows its column, so that a phone can stack them.

    A cell is its text, or the text and a class. `notes`: of each row what is said below it over
    the whole width, nothing where it is "".
    """
    lines = [f'<div class="table-wrap"><table class="plain {kind}">', "<thead><tr>"]
    lines += [f'<th scope="col">{html.escape(name)}</th>' for name in head]
    lines.append("</tr></thead><tbody>")
    for row, note in zip(rows, notes or [""] * len(rows), strict=True):
        pairs = [cell if isinstance(cell, tuple) else (cell, QUIET.get(cell, "")) for cell in row]
        pairs = [(text, of and f' class="{of}"') for text, of in pairs]
        cells = [
            f'<td{of} data-label="{html.escape(name)}">{html.escape(text)}</td>'
            for name, (text, of) in zip(head, pairs, strict=True)
        ]
        lines.append("<tr>" + "".join(cells) + "</tr>")
        if note:
            cell = f'<td colspan="{len(head)}" data-label="terms">{html.escape(note)}</td>'
            lines.append(f'<tr class="note">{cell}</tr>')
    return "\n".join([*lines, "</tbody></table></div>", ""])


def pairs(rows: list[dict]) -> str:
    """Every published number beside the one measured here that answers it, and where it stands."""
    head = "row published where measured unlike experiment".split()
    parts = []
    for name, group in groupby(rows, key=lambda row: row["row"]):
        group = [row for row in group if row["theirs"] != "-"]
        if not group:
            continue
        parts.append(f"## {name}\n\nPublished by: {group[0]['source']}\n")
        cells = [
            [
                f"{row['task']}: {row['variant']} ({row['kind']})",
                f"{row['published']} ({row['theirs']})",
                row["where"],
                f"{row['measured']} ({row['here']})" if row["n"] else row["measured"],
                row["unlike"],
                row["command"].split()[-1],
            ]
            for row in group
        ]
        cells = [[unbroken(cell) for cell in line] for line in cells]
        parts.append(table(head, cells, "scores pairs"))
    return "\n".join(parts) or "No row has been defined yet.\n"


def digits(course: dict, measured: dict[str, dict]) -> str:
    """Which digits the notebooks ran on: said by the last run, else by the notebooks."""
    if course.get("digits"):
        return course["digits"]
    found = {entry["digits"] for entry in measured.values() if entry.get("digits")}
    return "; ".join(sorted(found)) or NOT_RECORDED


def status(course: dict, measured: dict[str, dict], commit: str, built: str) -> str:
    """The status page's tables.

    `course` is what `make course` wrote: {"digits": str, "notebooks": {stem: {"seconds": float,
    "peak_mb": float}}}, or {}. `measured` holds each notebook's own metadata `stn_course`
    {"seconds", "peak_mb", "digits"}, {} where there is none; a run beats the notebook.
    """
    facts = [
        ["digits", digits(course, measured)],
        ["commit", commit],
        ["built", built],
        ["machine", f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores"],
    ]
    costs = []
    for stem, own in sorted(measured.items()):
        entry = course.get("notebooks", {}).get(stem) or own
        seconds, peak = entry.get("seconds"), entry.get("peak_mb")
        costs.append(
            [
                stem,
                NOT_MEASURED if seconds is None else f"{seconds:.0f} s",
                NOT_MEASURED if peak is None else f"{peak:.0f} MB",
            ]
        )
    packages = [["Python", platform.python_version()], *_versions(), ["MathJax", "3.2.2"]]
    return "\n".join(
        [
            "## This build\n",
            table(["what", "value"], facts, "facts"),
            "## Cost of each notebook\n",
            table(["notebook", "seconds", "peak memory"], costs, "costs")
            if costs
            else "There is no notebook yet.\n",
            "## Versions\n",
            table(["package", "version"], packages, "versions"),
            "## Oldest and newest\n",
            table(["what", "version", "result", "on"], found, "matrix")
            if (found := matrix.table(matrix.results()))
            else "`make matrix` has not run yet.\n",
        ]
    )


def _versions() -> list[list[str]]:
    found = []
    for name in PACKAGES:
        try:
            found.append([name, version(name)])
        except PackageNotFoundError:  # an optional extra
            found.append([name, "not installed"])
    return found


def commit(root: Path) -> str:
    """The commit in `root`, and whether the files differ from it."""
    try:
        head = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(root, "status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout with a commit"
    return f"{head} with local changes" if changed else head


def changed(page: str, repository: str | None) -> str:
    """When a page's source was last changed, and where to edit it and to ask, as HTML.

    `page` as Sphinx names it. Nothing for a page that is made, not written; no links without an
    address, and to edit only where the address of an editor is known.
    """
    name = page.rpartition("/")[2]
    path = f"notebooks/src/{name}.md" if page.startswith("notebooks/") else f"book/{page}.md"
    if not (ROOT / path).exists():
        return ""
    try:
        day = _git(ROOT, "log", "-1", "--format=%cs", "--", path)
    except (OSError, subprocess.CalledProcessError):
        day = ""
    said = [f"Last changed {day}."] if day else []
    if repository:
        ask = f"{repository}/issues"
        if repository.startswith("https://github.com/"):
            said.append(f'<a href="{repository}/edit/main/{path}">Edit this page</a>.')
            ask += f"/new?title={name}:"
        said.append(f'<a href="{ask}">Ask about it</a>.')
    return " ".join(said)


def _git(root: Path, *command: str) -> str:
    run = subprocess.run(["git", *command], cwd=root, check=True, capture_output=True, text=True)
    return run.stdout.strip()


def build_date() -> str:
    """Now in UTC, or SOURCE_DATE_EPOCH where that is set."""
    stamp = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(stamp), UTC) if stamp else datetime.now(UTC)
    return moment.strftime("%Y-%m-%d %H:%M UTC")
