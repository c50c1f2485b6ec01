"""Draw figures/drawings/packages.svg: who imports whom in `stn_course`, read from the imports.

python -m tools.package_map

Rows import columns. A dot stands for at least one import, a larger one for more. A package may
import what stands below it, so that every dot lies left of the steps: one to their right would be
drawn in red.
"""

import ast
import html
from collections import Counter
from pathlib import Path

from tools import ROOT

TARGET = ROOT / "figures" / "drawings" / "packages.svg"
PACKAGE = "stn_course"
# Bottom first: a package imports from the rows below its own; two in a row do not know each other.
ROWS = (
    ("geometry",),
    ("sampling",),
    ("data", "models"),
    ("analysis",),
    ("training",),
    ("keras_twin",),
    ("experiments",),
    ("lessons", "cli"),
)
NAMES = tuple(name for row in ROWS for name in row)
FLOOR = {name: floor for floor, row in enumerate(ROWS) for name in row}

CELL, LEFT, TOP, FOOT = 34, 122, 12, 96  # drawing units


def order(name: str) -> tuple[int, str]:
    """Where a package stands among the others, bottom first; unknown ones at the end."""
    return (NAMES.index(name), "") if name in NAMES else (len(NAMES), name)


def imports(root: Path = ROOT) -> Counter[tuple[str, str]]:
    """(importing package, imported package) -> how many import statements say so."""
    found: Counter[tuple[str, str]] = Counter()
    for path in sorted((root / PACKAGE).glob("*/**/*.py")):
        here = path.relative_to(root / PACKAGE).parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for there in _imported(node) - {here}:
                found[here, there] += 1
    return found


def _imported(node: ast.AST) -> set[str]:
    """The packages of `stn_course` that one statement imports; all imports here are absolute."""
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
        modules = [f"{PACKAGE}.{alias.name}" for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and not node.level:
        modules = [node.module or ""]
    else:
        modules = []
    parts = [module.split(".") for module in modules]
    return {part[1] for part in parts if part[0] == PACKAGE and part[1:] and part[1] in NAMES}


STYLE = """
svg:root{--ink:#1b2a41;--line:#c9cfd8;--dot:#28666e;--step:#c4501b;--bad:#c00000}
@media (prefers-color-scheme:dark){
svg:root{--ink:#e8edf4;--line:#4a5567;--dot:#6fb7bf;--step:#f59b6c;--bad:#ff6b6b}}
.packages text{font:15px ui-monospace,Menlo,Consolas,monospace;fill:var(--ink)}
.packages .name{text-anchor:end}.packages .line{stroke:var(--line);fill:none}
.packages .dot{fill:var(--dot)}.packages .bad{fill:var(--bad)}
.packages .steps{stroke:var(--step);stroke-width:2.5;fill:none;stroke-linejoin:round}
"""


def draw(root: Path = ROOT) -> str:
    """The drawing as SVG text: rows import columns, the bottom package in the bottom row."""
    counts = imports(root)
    side = CELL * len(NAMES)
    marks = [_grid(side)]
    for (here, there), count in sorted(counts.items()):
        column, row = NAMES.index(there), len(NAMES) - 1 - NAMES.index(here)
        x, y = LEFT + (column + 0.5) * CELL, TOP + (row + 0.5) * CELL
        kind = "dot" if FLOOR[there] < FLOOR[here] else "bad"
        radius = 4 + min(count, 40) ** 0.5
        title = f"{here} imports {there}: {count} times"
        marks.append(
            f'<circle class="{kind}" cx="{x:g}" cy="{y:g}" r="{radius:.1f}">'
            f"<title>{title}</title></circle>"
        )
    marks.append(f'<path class="steps" d="{_steps()}"/>')
    width, height = LEFT + side + 12, TOP + side + FOOT
    return (
        f'<svg class="packages" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'role="img" aria-labelledby="packages-title packages-desc">\n'
        f'<title id="packages-title">Who imports whom in {PACKAGE}</title>\n'
        f'<desc id="packages-desc">{html.escape(description(counts))}</desc>\n'
        f"<style>{STYLE}</style>\n" + "\n".join(marks) + "\n</svg>\n"
    )


def description(counts: Counter[tuple[str, str]]) -> str:
    """The drawing in words: what each package imports, top first."""
    said = []
    for here in reversed(NAMES):
        there = [name for name in NAMES if counts[here, name]]
        said.append(f"{here} imports {', '.join(there) or 'none of the others'}.")
    return " ".join(said)


def _grid(side: int) -> str:
    """Lines between the rows and columns, and the names at the left and below."""
    marks = []
    for k, name in enumerate(NAMES):
        row = len(NAMES) - 1 - k
        x, y = LEFT + (k + 0.5) * CELL, TOP + (row + 0.5) * CELL
        turned = f'transform="translate({x + 5:g} {TOP + side + 12}) rotate(-60)"'
        marks += [
            f'<path class="line" d="M{LEFT} {y:g}H{LEFT + side}M{x:g} {TOP}V{TOP + side}"/>',
            f'<text class="name" x="{LEFT - 8}" y="{y + 5:g}">{name}</text>',
            f'<text class="name" {turned}>{name}</text>',
        ]
    return "\n".join(marks)


def _steps() -> str:
    """The line that no dot may be right of, a step for each row of `ROWS`."""
    path, taken = f"M{LEFT} {TOP + CELL * len(NAMES)}", 0
    for row in ROWS:
        path += f"V{TOP + CELL * (len(NAMES) - taken - len(row))}"
        taken += len(row)
        path += f"H{LEFT + CELL * taken}"
    return path


def main() -> None:
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(draw(), encoding="utf-8", newline="\n")
    print(f"wrote {TARGET.relative_to(ROOT)}: {TARGET.stat().st_size / 1000:.1f} kB")


if __name__ == "__main__":
    main()
