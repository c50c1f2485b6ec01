"""Read a built book as a browser would: does anything leave the page, is anything unsaid?"""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

REMOTE = re.compile(r"^\s*(https?:)?//", re.IGNORECASE)
CSS_REMOTE = re.compile(
    r"""(?:url\(\s*["']?|@import\s+["'])\s*((?:https?:)?//[^"')\s]+)""", re.IGNORECASE
)
# In scripts the quote may be escaped: a widget's module travels inside JSON.
JS_REMOTE = re.compile(
    r"""(?:\bfrom|\bimport|\bimport\(|\bfetch\(|\bimportScripts\()\s*\\?["'`]((?:https?:)?//[^"'`\\]+)"""
)
FETCHING = ("src", "poster", "data", "background", "ping")
# Of all <link>s only these fetch nothing.
QUIET_LINKS = {"canonical", "next", "prev", "index", "search", "author", "license", "help"}


class _Page(HTMLParser):
    """Collects what a page fetches, its pictures and its links."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.images: list[dict] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.remote: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        self._inside = tag
        self.ids.add(values.get("id", ""))
        self.fetched += [values[key] for key in FETCHING if key in values]
        self.fetched += [part.split()[0] for part in _candidates(values.get("srcset", ""))]
        self.remote += CSS_REMOTE.findall(values.get("style", ""))
        if tag == "link" and not set(values.get("rel", "").split()) & QUIET_LINKS:
            self.fetched.append(values.get("href", ""))
        elif tag == "a":
            self.links.append(values.get("href", ""))
        elif tag in ("use", "image", "base", "iframe"):
            self.fetched.append(values.get("href") or values.get("xlink:href") or "")
        elif tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
            self.fetched.append(values.get("content", "").partition("=")[2])
        if tag == "img":
            self.images.append(values)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.remote += CSS_REMOTE.findall(data)
        elif self._inside == "script":
            self.remote += JS_REMOTE.findall(data)


def _candidates(srcset: str) -> list[str]:
    return [part for part in srcset.split(",") if part.strip()]


def problems(folder: Path) -> list[str]:
    """What is wrong with the built book in `folder`, a sentence each; empty when all is well."""
    found, ids = [], {}
    pages = {path: _read(path) for path in sorted(folder.rglob("*.html"))}
    if not pages:
        return [f"no page in {folder}"]
    for path, page in pages.items():
        ids[path.resolve()] = page.ids
    for path, page in pages.items():
        name = path.relative_to(folder).as_posix()
        remote = page.remote + [url for url in page.fetched if REMOTE.match(url)]
        found += [f"{name} fetches {url}" for url in remote]
        found += [f"{name}: {text}" for image in page.images if (text := _unsaid(image))]
        if "_static" not in path.parts:
            local = [url for url in page.fetched if not REMOTE.match(url)]
            found += [f"{name}: {text}" for text in _dangling(path, local + page.links, ids)]
    for path in sorted([*folder.rglob("*.css"), *folder.rglob("*.js")]):
        text = path.read_text(encoding="utf-8")
        pattern = CSS_REMOTE if path.suffix == ".css" else JS_REMOTE
        name = path.relative_to(folder).as_posix()
        found += [f"{name} fetches {url}" for url in pattern.findall(text)]
    return found


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _unsaid(image: dict) -> str:
    """Why the alt text of an <img> will not do. Sphinx falls back to the file's name."""
    alt, source = image.get("alt", "").strip(), image.get("src", "")
    if not alt or alt == source or re.fullmatch(r"\S+\.(png|svg|jpe?g|gif)", alt):
        return f"no alt text on {source[:80]}"
    return ""


def _dangling(page: Path, urls: list[str], ids: dict[Path, set[str]]) -> list[str]:
    """Local addresses on `page` that lead nowhere."""
    found = []
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme or parts.netloc or url in ("", "#"):
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page.resolve()
        anchor = unquote(parts.fragment)
        missing_anchor = anchor and target in ids and anchor not in ids[target]
        if not target.exists() or missing_anchor:
            found.append(f"{url} leads nowhere")
    return found
