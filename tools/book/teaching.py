"""What the pages for teachers and for a reader who is stuck take from the notebooks themselves.

Minutes come from the notebooks: their words at the pace that headers are made by, what each
exercise says that it takes, and what the run took. The pictures of failures are those of notebook
03, as it was stored; sign and repair are the museum's own words.
"""

import base64
import contextlib
import io
import re
from pathlib import Path
from typing import NamedTuple

from nbformat import NotebookNode

from tools.book import pages
from tools.notebooks.rules import WORDS_A_MINUTE

LINK = re.compile(r"\[([^\]]+)\]\(nb:(\d\d)(#[\w-]+)?\)")
HEADING = re.compile(r"^#{2,3} (.*)$", re.M)
PAD = 10  # minutes at the first page's pad, before the first notebook
CLOSING = ("The table", "What we did not show", "Further reading")


class Part(NamedTuple):
    """What a plan takes of a notebook: exercises by their keys, sections by their titles.

    `sections`: None for all but those that close a notebook.
    """

    notebook: str
    exercises: tuple[str, ...]
    sections: tuple[str, ...] | None = None


PLANS: dict[str, tuple[int, tuple[Part, ...]]] = {  # name: minutes there are, and for what
    "90 minutes": (
        90,
        (
            Part("01", ("1.2",), ("Read a 2, then turn it", "Measure it")),
            Part(
                "02",
                ("2.1",),
                (
                    "What do the two lines do?",
                    "How does a motion become six numbers?",
                    "Why from output to input?",
                    "Where is 1?",
                    "How does a loss reach theta?",
                ),
            ),
            Part(
                "03",
                ("3.1",),
                (
                    "Put it in front of a classifier",
                    "Train it, and take notes",
                    "A museum of failures",
                ),
            ),
        ),
    ),
    "half a day": (
        240,
        (
            Part("01", ("1.1", "1.2")),
            Part("02", ("2.1", "2.2", "2.3", "2.6")),
            Part("03", ("3.1", "3.2", "3.5")),
        ),
    ),
    "two days": (
        720,
        (
            Part("01", ("1.1", "1.2", "1.3", "1.4")),
            Part("02", ("2.1", "2.2", "2.3", "2.4", "2.5", "2.6")),
            Part("03", ("3.1", "3.2", "3.3", "3.4", "3.5")),
            Part("04", ("4.1", "4.2", "4.3", "4.4", "4.5")),
            Part("05", ("5.1", "5.2", "5.3", "5.4", "5.5")),
            Part("06", ("6.1", "6.3")),
            Part("07", ("7.1", "7.2", "7.4")),
        ),
    ),
}


def sections(notebook: NotebookNode) -> dict[str, float]:
    """Minutes of reading and writing for each section; an exercise is one of its own."""
    found, current = {}, "opening"
    for cell in notebook.cells:
        pieces = HEADING.split(cell.source) if cell.cell_type == "markdown" else [cell.source]
        for k, piece in enumerate(pieces):
            if k % 2:
                current = piece.strip()
            else:
                stated = re.search(r"\*Difficulty[^*]*?(\d+) minutes", piece)
                minutes = len(piece.split()) / WORDS_A_MINUTE + (int(stated[1]) if stated else 0)
                found[current] = found.get(current, 0) + minutes
    return found


def of_the_course(notebooks: dict[str, NotebookNode]) -> dict[str, NotebookNode]:
    """Those with exercises, by {stem: notebook}: others may have a number, too."""
    return {
        stem: notebook
        for stem, notebook in notebooks.items()
        if any(title.startswith("Exercise ") for title in sections(notebook))
    }


def minutes(part: Part, notebook: NotebookNode) -> float:
    """How long `part` takes. Raises ValueError for an exercise or a section that is not there."""
    all_of = sections(notebook)
    keys = {m[1]: t for t in all_of if (m := re.match(r"Exercise (\d\.\d)", t))}
    texts = [t for t in all_of if t not in keys.values() and t not in CLOSING]
    wanted = [keys.get(k, k) for k in part.exercises]
    wanted += texts if part.sections is None else ["opening", *part.sections]
    if unknown := [each for each in wanted if each not in all_of]:
        raise ValueError(f"notebook {part.notebook} has no {', '.join(unknown)}")
    return sum(all_of[each] for each in wanted)


def plans(notebooks: dict[str, NotebookNode]) -> str:
    """The tables of the plans, for the notebooks {stem: notebook} that there are."""
    by_number = {stem[:2]: notebook for stem, notebook in notebooks.items()}
    parts = []
    for name, (there_are, taken) in PLANS.items():
        rows, total = [["the first page's pad", "draw, turn, let them guess", f"{PAD}"]], PAD
        for part in taken:
            if part.notebook not in by_number:
                continue
            notebook = by_number[part.notebook]
            took = minutes(part, notebook)
            total += took
            what = "all sections" if part.sections is None else "; ".join(part.sections)
            many = "s" if len(part.exercises) > 1 else ""
            rows.append(
                [
                    f"{part.notebook}: {pages.COURSE[int(part.notebook)][0]}",
                    f"{what}; exercise{many} {', '.join(part.exercises)}",
                    f"{took:.0f}",
                ]
            )
        rows.append(
            [
                "together",
                f"of {there_are} minutes; the rest is for questions and a pause",
                f"{total:.0f}",
            ]
        )
        parts.append(
            f"### {name.capitalize()}\n\n" + pages.table(["part", "what", "minutes"], rows, "plan")
        )
    return "\n".join(parts)


def museum(notebooks: dict[str, NotebookNode], folder: Path) -> str:
    """Each failure of notebook 03: sign, picture, repair. Pictures are written into `folder`.

    Nothing where there is no such notebook. Raises ValueError for a failure without a picture.
    """
    from stn_course.lessons.look_straight.museum import EXHIBITS

    notebook = next((nb for stem, nb in notebooks.items() if stem.startswith("03")), None)
    if notebook is None:
        return "Notebook 03 has the pictures.\n"
    parts = []
    for name, exhibit in EXHIBITS.items():
        if exhibit.repair == "none needed":
            continue
        shown = f'figures.exhibit(runs["{name}"]'
        cell = next(
            (c for c in notebook.cells if shown in c.source and c.cell_type == "code"), None
        )
        if cell is None:
            raise ValueError(f"notebook 03 shows no {shown}...)")
        png = next(o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {}))
        file = f"failure-{re.sub(r'[^a-z]+', '-', name)}.png"
        (folder / file).write_bytes(base64.b64decode(png))
        alt = cell.metadata["mystnb"]["image"]["alt"]
        parts.append(
            f"### {name.capitalize()}\n\n**You see**: {exhibit.sign}.\n\n"
            f"```{{image}} generated/{file}\n:alt: {alt}\n```\n\n**Repair**: {exhibit.repair}.\n"
        )
    return "\n".join(parts)


def checklist(notebooks: dict[str, NotebookNode]) -> str:
    """The numbered list that notebook 08 ends in.

    A sentence where there is no such notebook. Raises ValueError where it has no list.
    """
    notebook = next((nb for stem, nb in notebooks.items() if stem.startswith("08")), None)
    if notebook is None:
        return "Notebook 08 has the list.\n"
    words = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    found = re.search(r"^## The checklist\n+((?:\d+\. .*\n)+)", words, re.MULTILINE)
    if found is None:
        raise ValueError("notebook 08 has no numbered list under '## The checklist'")
    return found[1]


def solutions() -> str:
    """The reference of every exercise as a page: what `show` prints, one after the other."""
    from stn_course.lessons import checking

    parts = ["# Solutions\n\nFor teachers: readers' pages do not have this one.\n"]
    for key in checking.keys():
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            checking.show(key)
        parts.append(f"## Exercise {key}\n\n```python\n{printed.getvalue()}```\n")
    return "\n".join(parts)


def linked(text: str, stems: list[str]) -> str:
    """Markdown in which `[words](nb:03#place)` leads to a notebook's page, if it is there."""
    pages_of = {stem[:2]: stem for stem in stems}

    def link(found: re.Match) -> str:
        stem = pages_of.get(found[2])
        return f"[{found[1]}](notebooks/{stem}.ipynb{found[3] or ''})" if stem else found[1]

    return LINK.sub(link, text)
