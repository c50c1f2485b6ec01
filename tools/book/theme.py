"""What the theme and Sphinx leave to be put right for a screen reader in a built book.

The names of controls, and lists that are none.
"""

import re
from pathlib import Path

# What is found, and what it becomes. Each is in some page of the course.
MENDED = (
    # Its text says more than its label: the keys. A label must hold what is seen.
    (re.compile(r'(<button class="btn search-button-field[^>]*) aria-label="Search"'), r"\1"),
    (
        re.compile(r"<summary>(?=<span class=\"toctree-toggle\")"),
        '<summary aria-label="more pages">',
    ),
    # A list of children that are no items; and a list of definitions without a term.
    (re.compile(r'<div role="list" class="citation-list">'), '<div class="citation-list">'),
    (
        re.compile(r"<dl>\n((?:<dd>(?:(?!<d[dlt]>).)*</dd>\n)+)</dl>", re.S),
        r'<ul class="sig">\n\1</ul>',
    ),
)


def mend(html: Path) -> None:
    """Give controls their names and lists their items in every page of the folder `html`.

    Raises ValueError where the theme has no search button any more: it has changed.
    """
    counts = [0] * len(MENDED)
    for page in html.rglob("*.html"):
        text = was = page.read_text(encoding="utf-8")
        for k, (found, becomes) in enumerate(MENDED):
            text, n = found.subn(becomes, text)
            counts[k] += n
        text = re.sub(r'(<ul class="sig">\n)(.*?)(</ul>)', _items, text, flags=re.S)
        if text != was:
            page.write_text(text, encoding="utf-8")
    if not counts[0]:  # the others are in pages that a small book may not have
        raise ValueError("the theme has no search button with a label of its own: it has changed")


def _items(found: re.Match) -> str:
    """The parameters of a signature as items of a list."""
    return found[1] + re.sub(r"(</?)dd>", r"\1li>", found[2]) + found[3]
