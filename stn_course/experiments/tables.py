"""A table, as dicts with the same keys, in the four formats that people paste.

Cells may hold a Markdown link, `[text](address)`; each format writes it in its own way.
"""

import csv as csv_module
import html as html_module
import io
import re
from collections.abc import Callable, Sequence

LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]*)\)")
_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "×": r"$\times$",
}


def _cells(table: list[dict], columns: str) -> list[list[str]]:
    """The head and the rows as texts; ValueError for no rows or a column that is not there."""
    if not table:
        raise ValueError("table has no rows; wanted at least one")
    head = columns.split() or list(table[0])
    for name in head:
        if name not in table[0]:
            raise ValueError(f"column {name!r} is unknown; wanted some of {', '.join(table[0])}")
    return [head, *([str(row[name]) for name in head] for row in table)]


def markdown(table: list[dict], columns: str = "") -> str:
    """`table` as a Markdown table; `columns` picks some keys, by default all."""
    head, *rows = _cells(table, columns)
    return markdown_of(head, rows)


def markdown_of(head: Sequence[str], rows: Sequence[Sequence]) -> str:
    """A Markdown table of a head and rows of cells, each as `str` writes it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def csv(table: list[dict], columns: str = "") -> str:
    """Comma-separated, a line a row; of a link the text alone."""
    out = io.StringIO()
    writer = csv_module.writer(out, lineterminator="\n")
    writer.writerows([LINK.sub(r"\1", cell) for cell in row] for row in _cells(table, columns))
    return out.getvalue().rstrip("\n")


def html(table: list[dict], columns: str = "") -> str:
    """An HTML `table` element."""

    def line(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{_marked(c, _HTML)}</{tag}>" for c in cells) + "</tr>"

    head, *rows = _cells(table, columns)
    body = "\n".join(line(row, "td") for row in rows)
    return f"<table>\n<thead>\n{line(head, 'th')}\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def latex(table: list[dict], columns: str = "") -> str:
    r"""A LaTeX `tabular` for the packages booktabs and hyperref."""
    head, *rows = (
        " & ".join(_marked(c, _TEX) for c in row) + r" \\" for row in _cells(table, columns)
    )
    width = len(columns.split() or table[0])
    lines = [rf"\begin{{tabular}}{{{'l' * width}}}", r"\toprule", head, r"\midrule", *rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _tex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)


_HTML = (html_module.escape, '<a href="{address}">{text}</a>')
_TEX = (_tex, r"\href{{{address}}}{{{text}}}")


def _marked(cell: str, form: tuple[Callable[[str], str], str]) -> str:
    """`cell` escaped, its links written as `form` has them."""
    escape, link = form
    parts, at = [], 0
    for found in LINK.finditer(cell):
        text, address = (escape(part) for part in found.groups())
        parts += [escape(cell[at : found.start()]), link.format(text=text, address=address)]
        at = found.end()
    return "".join(parts) + escape(cell[at:])


FORMATS: dict[str, Callable[..., str]] = {
    "md": markdown,
    "csv": csv,
    "html": html,
    "latex": latex,
}
