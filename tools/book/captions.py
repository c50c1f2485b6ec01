"""Pictures of a built book get a number and a caption, and a box of their own to scroll in.

The caption is the first sentence of the picture's alt text, which says all of it to those who
listen: to them it is not said twice.
"""

import html as escapes
import re
from itertools import count
from pathlib import Path

# A picture that a cell or a page shows: alone in its box, its section or its line. Not the theme's.
PICTURE = re.compile(
    r"(?P<still><noscript>.*?</noscript>)"
    r'|(?:<a class="[^"]*image-reference[^>]*>)?(?P<tag><img\b[^>]*\balt="(?P<alt>[^"]*)"[^>]*/?>)'
    r"(?:</a>)?",
    re.S,
)
ARTICLE = re.compile(r"<article\b.*?</article>", re.S)


def apply(html: Path) -> None:
    """Number and caption the pictures of each page in the folder `html`, in their order."""
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
        if found["still"]:
            return found[0]
        number = f"{before}{next(numbers)}"
        name = f"figure-{number.replace('.', '-')}"
        said = escapes.escape(first_sentence(escapes.unescape(found["alt"])), quote=False)
        return (
            f'<figure class="picture" id="{name}"><div class="scrolls">{found["tag"]}</div>'
            f'<figcaption><a href="#{name}">Figure {number}</a> '
            f'<span aria-hidden="true">{said}</span></figcaption></figure>'
        )

    return PICTURE.sub(figure, article)
