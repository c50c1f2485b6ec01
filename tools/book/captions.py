"""Figures of a built book get a number and a caption, and pictures a box of their own to scroll in.

A picture's caption is the first sentence of its alt text, which says all of it to those who listen:
to them it is not said twice. A drawing's is its title, a live figure's that of its still; a figure
that has a caption of its own gets the number before it.
"""

import html as escapes
import re
from itertools import count
from pathlib import Path

# What is counted, in a page's order: a drawing of a network; a figure with a caption of its own; a
# live figure with its still for where no script runs; and a picture that a cell or a page shows,
# alone in its box, its section or its line. Not the theme's pictures.
FIGURE = re.compile(
    r'<figure class="drawing-figure">(?P<drawing>.*?)</figure>'
    r'|<figure class="(?P<own>hero-figure|board-chart)">(?P<before>.*?<figcaption>)'
    r'|(?P<live><script type="application/vnd\.jupyter\.widget-view\+json">[^<]*</script>'
    r'(?:\s*<div class="output text_html"><noscript>(?P<still>.*?)</noscript>\s*</div>)?)'
    r"|(?P<other><noscript>.*?</noscript>)"
    r'|(?:<a class="[^"]*image-reference[^>]*>)?(?P<tag><img\b[^>]*\balt="(?P<alt>[^"]*)"[^>]*/?>)'
    r"(?:</a>)?",
    re.S,
)
ARTICLE = re.compile(r"<article\b.*?</article>", re.S)


def apply(html: Path) -> None:
    """Number and caption the figures of each page in the folder `html`, in their order."""
    for page in html.rglob("*.html"):
        if "_static" not in page.relative_to(html).parts:
            text = was = page.read_text(encoding="utf-8")
            chapter = re.match(r"(\d\d)_", page.name)
            before = f"{int(chapter[1])}." if chapter else ""
            text = ARTICLE.sub(lambda found, before=before: captioned(found[0], before), text)
            if text != was:
                page.write_text(text, encoding="utf-8")


def first_sentence(alt: str) -> str:
    """`alt` up to its first full stop before a capital; whole where there is none."""
    return re.split(r"(?<=[a-z0-9)]\.)\s+(?=[A-Z0-9])", alt.strip(), maxsplit=1)[0]


def captioned(article: str, before: str) -> str:
    """`article` with figures for pictures; `before` is what stands before their numbers."""
    numbers = count(1)

    def figure(found: re.Match) -> str:
        if found["other"]:
            return found[0]
        number = f"{before}{next(numbers)}"
        name = f"figure-{number.replace('.', '-')}"
        link = f'<a href="#{name}">Figure {number}</a>'
        if found["own"]:
            return f'<figure class="{found["own"]}" id="{name}">{found["before"]}{link} '
        if found["drawing"]:
            title = re.search(r"<title[^>]*>(.*?)</title>", found["drawing"], re.S)[1]
            said = f'<figcaption>{link} <span aria-hidden="true">{title}</span></figcaption>'
            return f'<figure class="drawing-figure" id="{name}">{found["drawing"]}{said}</figure>'
        if found["live"]:
            alt = re.search(r'\balt="([^"]*)"', found["still"] or "")
            said = caption(alt[1]) if alt else "A figure that moves."
            return f'{found["live"]}<p class="live-caption" id="{name}">{link} {said}</p>'
        return (
            f'<figure class="picture" id="{name}"><div class="scrolls">{found["tag"]}</div>'
            f'<figcaption>{link} <span aria-hidden="true">{caption(found["alt"])}</span>'
            "</figcaption></figure>"
        )

    return FIGURE.sub(figure, article)


def caption(alt: str) -> str:
    """The first sentence of an `alt` attribute, as HTML."""
    return escapes.escape(first_sentence(escapes.unescape(alt)), quote=False)
