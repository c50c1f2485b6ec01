"""A built book that fits a narrow screen: tables that can be stacked, numbers that do not break.

A table too wide for a phone gets the class "stacks", and each of its cells the name of its column:
there, course.css writes a row's cells one below the other, each after that name.
"""

import html as escapes
import re
from pathlib import Path

from tools.book.pages import unbroken

TABLE = re.compile(r"<table\b[^>]*>.*?</table>", re.S)
ROW = re.compile(r"<tr\b[^>]*>.*?</tr>", re.S)
CELL = re.compile(r"<(t[dh])\b([^>]*)>(.*?)</\1>", re.S)
ARTICLE = re.compile(r"<article\b.*?</article>", re.S)
# What is no running text: tags, and what stands between these.
NO_TEXT = re.compile(r"(<(script|style|pre|svg|math|textarea)\b.*?</\2>|<[^>]*>)", re.S)
FITS = 36  # characters that a phone's line has beside one another, in a table
ROOM = 2  # characters between two columns
PROSE = 60  # characters: with a cell as long as this, three columns are two too many


def apply(html: Path) -> None:
    """Make the tables and the numbers of each page in the folder `html` fit."""
    for page in html.rglob("*.html"):
        if "_static" not in page.relative_to(html).parts:
            text = was = page.read_text(encoding="utf-8")
            text = ARTICLE.sub(lambda found: TABLE.sub(_stacked, _whole(found[0])), text)
            if text != was:
                page.write_text(text, encoding="utf-8")


def _whole(article: str) -> str:
    """`article` in which no line ends within a number and its unit."""
    parts, last = [], 0
    for found in NO_TEXT.finditer(article):
        parts += [unbroken(article[last : found.start()]), found[0]]
        last = found.end()
    return "".join([*parts, unbroken(article[last:])])


def words(cell: str) -> str:
    """What a cell shows; a space that may not break stays one."""
    shown = re.sub(r'<span class="meaning".*?</span>', "", cell, flags=re.S)
    return re.sub(r"[ \n]+", " ", escapes.unescape(re.sub(r"<[^>]*>", "", shown))).strip(" \n")


def is_wide(rows: list[list[str]]) -> bool:
    """Whether a table of these texts is too wide for a phone: words side by side, or prose."""
    columns = list(zip(*rows, strict=True))
    longest = (max(len(word) for text in column for word in text.split(" ")) for column in columns)
    prose = len(columns) > 2 and any(len(text) > PROSE for row in rows for text in row)
    return prose or sum(longest) + ROOM * len(columns) > FITS


def _labelled(cell: re.Match, label: str) -> str:
    tag, attributes, inside = cell.groups()
    return f'<{tag}{attributes} data-label="{escapes.escape(label)}">{inside}</{tag}>'


def _stacked(found: re.Match) -> str:
    """A table; one that is wide and has a head as what a phone can stack."""
    table, rows = found[0], ROW.findall(found[0])
    texts = [[words(cell) for _, _, cell in CELL.findall(row)] for row in rows]
    texts = [row for row in texts if len(row) == len(texts[0])]  # a note goes across
    tag = re.match(r"<table\b[^>]*>", table)[0]
    if "<thead" not in table or "rowspan" in table or "scores" in tag or not is_wide(texts):
        return table  # scores stack as they are
    for row in rows[1:]:
        labels = iter(texts[0])
        if len(CELL.findall(row)) == len(texts[0]) and "data-label" not in row:
            done = CELL.sub(lambda cell, of=labels: _labelled(cell, next(of)), row)
            table = table.replace(row, done, 1)
    if 'class="' in tag:
        return table.replace(tag, tag.replace('class="', 'class="stacks ', 1), 1)
    return table.replace(tag, tag.replace("<table", '<table class="stacks"', 1), 1)
