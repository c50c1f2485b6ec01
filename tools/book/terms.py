"""Words of the glossary in all pages: a link at first use, and the meaning beside it on request.

The meaning shows when one points at the word or comes to it by keys. Sources, which Sphinx has
linked, show theirs in the same way. Codes of systems (XQ, HR, ...) are spelled out at first use.
"""

import html as escapes
import re
from pathlib import Path

from tools.book.policy import TAG

ANY_TAG = re.compile(rf"<!--.*?-->|</[\w:-]+\s*>|{TAG.pattern}", re.S)
ENTRY = re.compile(
    r'<dt id="(term-[^"]+)">(.*?)<a class="headerlink".*?</dt>\s*<dd>(.*?)</dd>', re.S
)
CITED = re.compile(
    r'<a class="reference internal" href="([^"]*#[^"]*)" title="([^"]*)">([^<]*)</a>'
)
CODE = re.compile(r"[A-Z]{2}")
# Words are looked for in running text alone, and not in what is a link or a title already.
TEXT, NOT_IN = {"p", "li"}, {"a", "code", "pre", "script", "svg", "button", "figure", "figcaption"}
NOT_IN |= {"mjx-container", "style", "table", "h1", "h2", "h3", "h4", "dt", "label", "noscript"}
VOID = {"br", "img", "input", "link", "meta", "hr", "source", "wbr", "col"}
# Words that are verbs or body parts as well: looked for behind an article alone.
AMBIGUOUS = {"head", "lean"}
LONGEST = 220  # characters of a meaning, cut after a sentence


class Term:
    """One word: `names` that stand for it, its `place` in the glossary, its `meaning` in text."""

    def __init__(self, place: str, title: str, definition: str) -> None:
        name = _words(title)
        self.place = place
        self.names = [part.strip() for part in name.split(",") if len(part.strip()) > 1]
        sentences = re.split(r"(?<=[.:]) ", _words(definition))
        self.meaning = sentences[0]
        for each in sentences[1:]:
            if len(self.meaning) + len(each) > LONGEST:
                break
            self.meaning += f" {each}"
        address = re.search(r'href="(https://[^"]*)">([^<]*)</a>', definition)
        self.spelled = address.groups() if address and CODE.fullmatch(name) else None

    @property
    def pattern(self) -> re.Pattern:
        """The word as it may stand in a text, in the plural too; codes as they are written."""
        found = "|".join(rf"{re.escape(name)}(?:s|es)?" for name in self.names)
        exact = all(name.upper() == name for name in self.names)
        before = r"\b(?:the|a|its|visible|mean) " if AMBIGUOUS & set(self.names) else r"(?<![\w-])"
        return re.compile(rf"{before}({found})(?![\w-])", 0 if exact else re.I)


def _words(text: str) -> str:
    text = re.sub(r"<svg.*?</svg>", "", text, flags=re.S)  # a formula's words stand beside it
    text = re.sub(r'<span class="bibtex-citation".*?\]</span>', "", text, flags=re.S)
    plain = " ".join(escapes.unescape(re.sub(r"<[^>]*>", "", text)).split())
    return re.sub(r"\s+([.,;:])", r"\1", plain)


def glossary(page: str) -> list[Term]:
    """The terms of the glossary's page; one whose names are single letters is left to that page."""
    return [term for term in (Term(*each) for each in ENTRY.findall(page)) if term.names]


def apply(html: Path) -> None:
    """Explain words and sources in every page of the folder `html` that people wrote.

    Raises ValueError where the glossary has no terms: Sphinx writes it otherwise now.
    """
    terms = glossary((html / "glossary.html").read_text(encoding="utf-8"))
    if not terms:
        raise ValueError("no terms were found in glossary.html")
    for page in [*html.glob("*.html"), *html.glob("notebooks/*.html")]:
        if page.stem in ("genindex", "py-modindex", "search"):
            continue
        up = "../" * (len(page.relative_to(html).parts) - 1)
        text = page.read_text(encoding="utf-8")
        head, article, tail = re.split(r"(<article\b.*?</article>)", text, maxsplit=1, flags=re.S)
        article = _cited(article)
        if page.stem != "glossary":
            article = explained(article, terms, f"{up}glossary.html")
        page.write_text(head + article + tail, encoding="utf-8")


def explained(article: str, terms: list[Term], glossary_page: str) -> str:
    """`article` with each term linked where running text has it first."""
    waiting = {term: term.pattern for term in terms}
    for term in terms:
        if term.spelled and term.spelled[0] in article:
            waiting.pop(term)  # its address stands there already
    pieces, open_tags, last = [], [], 0
    for tag in ANY_TAG.finditer(article):
        text = article[last : tag.start()]
        last = tag.end()
        if text.strip() and TEXT & set(open_tags) and not NOT_IN & set(open_tags):
            text = _first_uses(text, waiting, glossary_page)
        pieces += [text, tag[0]]
        _follow(tag[0], open_tags)
    return "".join([*pieces, article[last:]])


def _follow(tag: str, open_tags: list[str]) -> None:
    """Keep the list of open tags in step with `tag`."""
    name = re.match(r"</?([\w:-]*)", tag)[1]
    if tag.startswith("</"):
        if name in open_tags:  # what HTML does not ask to close, such as <p>, ends with it
            while open_tags.pop() != name:
                pass
    elif name and name not in VOID and not tag.endswith("/>"):
        open_tags.append(name)


def _first_uses(text: str, waiting: dict[Term, re.Pattern], page: str) -> str:
    found = []
    for term, pattern in list(waiting.items()):
        match = pattern.search(text)
        if match and not any(a < match.end(1) and match.start(1) < b for a, b, _ in found):
            found.append((*match.span(1), term))
            waiting.pop(term)
    for start, end, term in sorted(found, key=lambda each: -each[0]):
        opening = f'<a class="term" href="{page}#{term.place}"'
        told = _told(opening, text[start:end], term.meaning, term.place)
        if term.spelled:
            address, name = term.spelled
            told += f' (<a class="reference external" href="{address}">{name}</a>)'
        text = text[:start] + told + text[end:]
    return text


def _told(opening: str, word: str, meaning: str, key: str) -> str:
    """A link with its meaning beside it, which those who listen hear as its description."""
    key = f"meaning-{key}"
    return (
        f'<span class="explained">{opening} aria-describedby="{key}">{word}</a>'
        f'<span class="meaning" role="tooltip" id="{key}">{escapes.escape(meaning)}</span></span>'
    )


def _cited(article: str) -> str:
    count = 0

    def cited(found: re.Match) -> str:
        nonlocal count
        count += 1
        opening = f'<a class="reference internal" href="{found[1]}"'
        return _told(opening, found[3], escapes.unescape(found[2]), f"source-{count}")

    parts = re.split(r'(<span class="bibtex-citation".*?\]</span>)', article, flags=re.S)
    return "".join(CITED.sub(cited, part) if k % 2 else part for k, part in enumerate(parts))
