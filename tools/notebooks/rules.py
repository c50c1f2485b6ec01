"""What every notebook of the course keeps to; each rule returns its violations in words."""

import base64
import re
from statistics import median

from nbformat import NotebookNode

from tools import address
from tools.notebooks import run as notebooks
from tools.notebooks.figures import WIDGET_VIEW, outdated

MOST_LINES, MEDIAN_LINES, MOST_COLUMNS = 30, 6, 72
CELLS = (35, 60)
FIRST_FIGURE_BY = 5  # the title, the install and the parameters cell come before it
MOST_BYTES = 1_500_000
SHORTEST_ALT = 40
SLOWER = 1.5  # than the laptop that a header speaks of, the machine that stores a notebook may be
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/svg+xml")
WORDS_A_MINUTE, MINUTES_AN_EXERCISE = 130, 6
MEASURED = {"seconds", "peak_mb", "adds_mb", "times_imports", "digits"}
HEADER = {
    "minutes": r"\*\*Time\*\*\s+(\d+) minutes",
    "seconds": r"\*\*Runs in\*\*\s+(\d+) seconds",
    "gigabytes": r"\*\*Memory\*\*\s+(\d+(?:\.\d+)?) GB",
}


def code_cells(nb: NotebookNode) -> list[tuple[int, NotebookNode]]:
    """(number counted from 1 over all cells, cell) of the code cells that hold code."""
    return [
        (k, cell)
        for k, cell in enumerate(nb.cells, 1)
        if cell.cell_type == "code" and cell.source.strip()
    ]


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def figures(cell: NotebookNode) -> list[str]:
    """The image types among a cell's outputs, one entry an image; without live figures' stills."""
    found = []
    for output in cell.get("outputs", []):
        if WIDGET_VIEW in output.get("data", {}):
            continue  # its still has an alt text of its own
        found += [mime for mime in IMAGES if mime in output.get("data", {})]
    return found


def header(nb: NotebookNode) -> dict[str, float]:
    """Minutes of reading, seconds of running and gigabytes, as the first cell states them."""
    text = nb.cells[0].source
    found = {name: re.search(pattern, text) for name, pattern in HEADER.items()}
    return {name: float(match[1]) for name, match in found.items() if match}


def expected_minutes(nb: NotebookNode) -> float:
    """Time to work through: its words, its code read at the same pace, its exercises, its run."""
    words = sum(len(cell.source.split()) for cell in nb.cells)
    text = "\n".join(cell.source for cell in nb.cells)
    exercises = len(set(re.findall(r"""check\(\s*["'](\d+\.\d+)["']""", text)))
    run = header(nb).get("seconds", 0) / 60
    return words / WORDS_A_MINUTE + MINUTES_AN_EXERCISE * exercises + run


def against_run(stated: dict[str, float], measured: dict) -> list[str]:
    """The stored run took about what is stated, and what is stated is not idle talk.

    Some laptops are slower than others: what the header's seconds are held to is `make bench`.
    """
    found = []
    if "seconds" in stated and "seconds" in measured:
        took = measured["seconds"]
        if not took / SLOWER <= stated["seconds"] <= max(4 * took, 10):
            found.append(f"cell 1 says {stated['seconds']:.0f} seconds; measured {took:.0f} s")
    if "gigabytes" in stated and "peak_mb" in measured:
        took = measured["peak_mb"] / 1000
        if not took <= stated["gigabytes"] <= 3 * took:
            found.append(f"cell 1 says {stated['gigabytes']} GB; measured {took:.2f} GB")
    return found


def opening(nb: NotebookNode) -> list[str]:
    found = []
    first = nb.cells[0]
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        found.append("cell 1 is not a title")
    stated = header(nb)
    found += [f"cell 1 does not state {name}: {HEADER[name]}" for name in set(HEADER) - set(stated)]
    if "CPU" not in first.source and "GPU" not in first.source:
        found.append("cell 1 does not say what hardware it needs")
    if "minutes" in stated:
        ours = expected_minutes(nb)
        if not ours / 2 <= stated["minutes"] <= ours * 2:
            found.append(f"cell 1 says {stated['minutes']:.0f} minutes; its length says {ours:.0f}")
    found += against_run(stated, nb.metadata.get("stn_course", {}))
    code = code_cells(nb)
    if not code or code[0][1].source.strip() != address.install_cell():
        found.append("the first code cell is not the setup cell of `python -m tools.address`")
    marked = [cell for _, cell in code if "parameters" in tags(cell)]
    if len(marked) != 1:
        found.append(f"{len(marked)} cells are tagged parameters; wanted one")
    elif not re.search(r'(?m)^PROFILE = "quick"', marked[0].source):
        found.append('the parameters cell does not set PROFILE = "quick"')
    return found


def shape(nb: NotebookNode) -> list[str]:
    found = []
    if not CELLS[0] <= len(nb.cells) <= CELLS[1]:
        found.append(f"{len(nb.cells)} cells; wanted {CELLS[0]} to {CELLS[1]}")
    code = code_cells(nb)
    lengths = [len(cell.source.strip().splitlines()) for _, cell in code]
    if lengths and median(lengths) > MEDIAN_LINES:
        found.append(f"the median code cell has {median(lengths)} lines; wanted {MEDIAN_LINES}")
    for (k, cell), lines in zip(code, lengths, strict=True):
        if lines > MOST_LINES:
            found.append(f"cell {k} has {lines} lines; at most {MOST_LINES}")
        widest = max(map(len, cell.source.splitlines()))
        if widest > MOST_COLUMNS and "setup" not in tags(cell):
            found.append(f"cell {k} is {widest} columns wide; at most {MOST_COLUMNS}")
    if len(notebooks.nbformat.writes(nb).encode()) > MOST_BYTES:
        found.append(f"larger than {MOST_BYTES / 1e6} MB")
    return found


def executed(nb: NotebookNode) -> list[str]:
    """Every code cell ran once, from the top, without an error or a warning, and was measured."""
    found = []
    for place, (k, cell) in enumerate(code_cells(nb), 1):
        if cell.execution_count != place:
            found.append(f"cell {k} has execution count {cell.execution_count}; wanted {place}")
        if any(output.output_type == "error" for output in cell.outputs):
            found.append(f"cell {k} holds an error")
        if any(output.get("name") == "stderr" for output in cell.outputs):
            found.append(f"cell {k} holds what was written to stderr")
    if set(nb.metadata.get("stn_course", {})) != MEASURED:
        found.append("not measured: store it with python -m tools.notebooks execute")
    return found


def pictures(nb: NotebookNode) -> list[str]:
    """One figure a cell, each with its own alt text; the first of them early; PNGs whole."""
    found, seen = [], {}
    numbered = [(k, cell) for k, cell in code_cells(nb) if figures(cell)]
    first = numbered[0][0] if numbered else None
    if first is None or first > FIRST_FIGURE_BY:
        found.append(f"the first figure is in cell {first}; wanted by cell {FIRST_FIGURE_BY}")
    for k, cell in numbered:
        if len(figures(cell)) > 1:
            found.append(f"cell {k} shows {len(figures(cell))} figures; one alt text serves one")
        alt = str(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")).strip()
        if len(alt) < SHORTEST_ALT:
            found.append(
                f"cell {k} has alt text {alt!r}; wanted at least {SHORTEST_ALT} characters"
            )
        elif alt in seen:
            found.append(f"cell {k} has the alt text of cell {seen[alt]}")
        seen[alt] = k
        for output in cell.outputs:
            png = output.get("data", {}).get("image/png")
            if png and not base64.b64decode(png).startswith(b"\x89PNG"):
                found.append(f"cell {k} holds an image/png that is none")
    return found


def live(nb: NotebookNode) -> list[str]:
    """A cell that trains or shows what depends on this machine is not compared, and says so."""
    found = []
    for k, cell in code_cells(nb):
        if ("live" in tags(cell)) != ("nbval-ignore-output" in tags(cell)):
            found.append(f"cell {k} has one of the tags live and nbval-ignore-output; wanted both")
        if "nbval-skip" in tags(cell) or "raises-exception" in tags(cell):
            found.append(f"cell {k} has a tag that keeps it from running or from failing")
    compared = "".join(
        str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
        for _, cell in code_cells(nb)
        if "live" not in tags(cell)
        for output in cell.get("outputs", [])
    )
    if not re.search(r"(?<!0x)\b\d", re.sub(r"<Figure[^>]*>", "", compared)):
        found.append("no number is compared: every cell that prints one is live")
    return found


RULES = (opening, shape, executed, pictures, live)


def all_problems(name: str) -> list[str]:
    """Everything wrong with one stored notebook, its source included; [] if nothing is."""
    folder = notebooks.NOTEBOOKS
    nb = notebooks.read(folder / f"{name}.ipynb")
    found = notebooks.differences(nb, notebooks.read(folder / "src" / f"{name}.md"))
    found += [f"the module of {n} is another today, or it has no still: sync" for n in outdated(nb)]
    return found + [line for rule in RULES for line in rule(nb)]
