"""A built book made light: what no page uses is left out, and pictures are packed without loss.

Style sheets lose the rules that no page can match, the icons' font all icons but those drawn, pages
the search's index until somebody searches. Source maps and translations of the theme go.
"""

import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from logging import getLogger
from pathlib import Path

import tinycss2
from fontTools import subset
from fontTools.ttLib import TTFont
from PIL import Image, features

ICON_SCRIPT = re.compile(r"\s*<script\b[^>]*\bscripts/fontawesome\.js[^>]*></script>")
SEARCH = re.compile(
    r'\s*<script src="[^"]*\b(?:searchtools|language_data|searchindex)\.js[^>]*></script>'
)
ADDRESS = re.compile(r'(?:(?<=src=")|(?<=href="))[^"#?]+\.png(?=")')
IMAGE = re.compile(r'<img\b[^>]*?\bsrc="([^"]+)"[^>]*?>')
INDEX = re.compile(
    r'\s*<script src="[^"]*\bsearchindex\.js[^>]*></script>'
)  # excerpts.js asks for it
# What bootstrap gives to elements, whose script names far more than this theme asks of it.
# Scripts that have nothing to do in a page where the second pattern is not found.
IDLE = (
    (
        re.compile(r"\s*<script [^>]*\b(?:clipboard\.min|copybutton)\.js[^>]*></script>"),
        'class="highlight',
    ),
    (
        re.compile(r"\s*<script [^>]*\btogglebutton\.js[^>]*></script>"),
        r'class="[^"]*\b(?:toggle|dropdown admonition)\b',
    ),
    (re.compile(r"\s*<script [^>]*\bboard\.js[^>]*></script>"), 'class="board-controls'),
    (re.compile(r"\s*<script [^>]*\bdesign-tabs\.js[^>]*></script>"), r'class="[^"]*\bsd-tab'),
)
# In a signature each word stands in a span, most of them in two. No style asks for the inner one.
SIGNATURE = re.compile(r'<(dt class="sig.*?</dt>|ul class="sig">.*?</ul>)', re.S)
# Words of code stand in a span each, and a link has a title that says its address again.
CODE = re.compile(
    r'<code class="[^"]*\bliteral\b[^"]*">((?:<span class="pre">[^<]*</span>\s*)+)</code>'
)
TITLE = re.compile(r'(<a class="reference internal" href="[^"]*#([\w.]+)") title="\2">')
BY_BOOTSTRAP = re.compile(
    r"show|showing|hiding|fade|active|disabled|collaps\w+|tooltip|tooltip-(inner|arrow)|"
    r"bs-tooltip-\w+|pointer-event"
)
# `exact`: colours stay where nothing is seen of them. WebP's last percent takes minutes.
SMALL = {
    "PNG": {"optimize": True},
    "WEBP": {"lossless": True, "exact": True, "quality": 80, "method": 4},
}
# The value of a declaration: it may hold strings and brackets, which may hold semicolons.
VALUE = r"""(?:[^;{}"'()]|"[^"]*"|'[^']*'|\((?:[^()"']|"[^"]*"|'[^']*'|\([^()]*\))*\))*"""
READ = re.compile(r"var\(\s*(--[\w-]+)|getPropertyValue\(\"(--[\w-]+)")


def lighten(html: Path) -> None:
    """Take out of the folder `html` what no page of it needs.

    Raises ValueError where the theme has no icon script, or no icons in a font: it has changed.
    """
    names, tags, read, scripts = set(), set(), set(), 0
    for page in html.rglob("*.html"):
        text, found = ICON_SCRIPT.subn("", page.read_text(encoding="utf-8"))
        scripts += found
        text = (INDEX if page.name == "search.html" else SEARCH).sub("", text)
        for script, wanted in IDLE:
            if not re.search(wanted, text):
                text = script.sub("", text)
        text = SIGNATURE.sub(_plain, text)
        text = TITLE.sub(r"\1>", CODE.sub(_words, text))
        page.write_text(text, encoding="utf-8")
        read.update(a or b for a, b in READ.findall(text))
        for group in re.findall(r'\b(?:class|id)="([^"]*)"', text):
            names.update(group.split())
        tags.update(re.findall(r"<([a-zA-Z][\w-]*)", text))
    for path in {*html.rglob("*.map"), *html.glob("_static/scripts/fontawesome.js*")}:
        path.unlink()
    shutil.rmtree(html / "_static" / "locales", ignore_errors=True)
    for path in html.glob("_static/**/*.js"):
        text = path.read_text(encoding="utf-8")
        read.update(a or b for a, b in READ.findall(text))
        if path.name != "bootstrap.js":
            words = re.findall(r"[\w-]+", text)
            names.update(words)
            tags.update(words)
    icons = ""
    sheets = {sheet: sheet.read_text(encoding="utf-8") for sheet in html.glob("_static/**/*.css")}
    sheets = {sheet: needed(text, names, tags) for sheet, text in sheets.items()}
    for sheet, kept in read_alone(sheets, read).items():
        sheet.write_text(kept, encoding="utf-8")
        icons += "".join(re.findall(r"content:[^;}]*|--[\w-]*(?:icon|fa)[\w-]*:[^;}]*", kept))
    codes = {int(code, 16) for code in re.findall(r"\\(f[0-9a-f]{3})\b", icons)}
    codes |= {ord(each) for each in icons if "\ue000" <= each <= "\uf8ff"}
    if not scripts or not codes:
        raise ValueError(
            f"the theme has {scripts} icon scripts and {len(codes)} icons: it has changed"
        )
    for font in html.glob("_static/vendor/fontawesome/**/*.woff2"):
        cut(font, codes)


def _plain(signature: re.Match) -> str:
    """A signature without the spans that change nothing."""
    text = signature[0].replace('<span class="w"> </span>', " ")
    text = re.sub(r'<span class="(?:pre|p|o)">([^<]*)</span>', r"\1", text)
    return re.sub(r'<span class="(?:pre|p|o)">([^<]*)</span>', r"\1", text)


def _words(code: re.Match) -> str:
    """Code in a line of text, with the one class that the theme's style asks for."""
    return f'<code class="literal">{re.sub("<[^>]*>", "", code[1])}</code>'


def cut(font: Path, codes: set[int]) -> None:
    """Leave in the file `font` the signs with these codes alone; without any of them it goes."""
    here = codes & set(TTFont(font).getBestCmap())
    if not here:
        return font.unlink()
    getLogger("fontTools").setLevel("WARNING")
    options = subset.Options(flavor="woff2", layout_features=[], name_IDs=[], notdef_outline=True)
    opened = subset.load_font(str(font), options)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=here)
    cutter.subset(opened)
    subset.save_font(opened, str(font), options)


def excerpts(html: Path) -> None:
    """Put the words of each page beside it as a script: from disk, a search shows lines of them.

    Sphinx's search page fetches its finds, and browsers refuse that where the book is no server's;
    book/_static/excerpts.js, which the page gets here, takes these scripts then.
    """
    folder = html / "_static" / "excerpts"
    folder.mkdir()
    indexed = re.search(r'"?docnames"?:(\[[^\]]*\])', (html / "searchindex.js").read_text("utf-8"))
    for name in json.loads(indexed[1]):
        page = html / f"{name}.html"
        main = re.search(r"<article\b.*?</article>", page.read_text(encoding="utf-8"), re.S)[0]
        main = re.sub(
            r'<(script|style|svg|math|button)\b.*?</\1>|<a class="headerlink.*?</a>',
            " ",
            main,
            flags=re.S,
        )
        main = re.sub(r"<(?!/?(?:section|dl|dt|dd)\b)[^>]*>", " ", main)
        words = json.dumps(f'<div role="main">{" ".join(main.split())}</div>')
        script = f"(globalThis.excerpts ??= {{}})[{json.dumps(name)}] = {words};\n"
        (folder / f"{name.replace('/', '--')}.js").write_text(script, encoding="utf-8")
    page = html / "search.html"
    text = page.read_text(encoding="utf-8")
    tag = '<script src="_static/excerpts.js"></script>'
    page.write_text(text.replace("</head>", f"{tag}\n</head>", 1), encoding="utf-8")


def pack(html: Path) -> None:
    """Pack the pictures of the folder `html` without loss; each page loads them when they are near.

    Those that pages alone name become WebP where that is smaller. Every <img> says how large it
    is, so that nothing moves when it comes.
    """
    moved = set()
    for path in html.rglob("*.png"):
        kinds = ("PNG", "WEBP") if path.parent.name == "_images" else ("PNG",)
        best, suffix = packed(path.read_bytes(), kinds)
        if suffix != path.suffix:
            path.unlink()
            moved.add(os.path.abspath(path))
        path.with_suffix(suffix).write_bytes(best)
    for page in html.rglob("*.html"):

        def renamed(found: re.Match, page: Path = page) -> str:
            away = os.path.abspath(page.parent / found[0]) in moved
            return f"{found[0].removesuffix('.png')}.webp" if away else found[0]

        text = was = page.read_text(encoding="utf-8")
        text = ADDRESS.sub(renamed, text)
        text = IMAGE.sub(lambda found, page=page: _sized(found[0], page.parent / found[1]), text)
        if text != was:
            page.write_text(text, encoding="utf-8")


def packed(png: bytes, kinds: tuple[str, ...] = ("PNG",)) -> tuple[bytes, str]:
    """The same pixels in a file that is no larger, and the end of its name.

    Fewer channels or a palette where that is all; then the smallest of `kinds`: "PNG", "WEBP".
    """
    picture = Image.open(io.BytesIO(png))
    if picture.mode not in ("RGB", "RGBA"):
        return png, ".png"  # it has been thought about
    if picture.mode == "RGBA" and picture.getextrema()[3] == (255, 255):
        picture = picture.convert("RGB")
    tries = [(picture, kind) for kind in kinds if kind == "PNG" or features.check("webp")]
    if picture.mode == "RGB" and (colours := picture.getcolors(256)):
        exact = Image.new("P", picture.size)
        table = [colour for _, colour in sorted(colours, reverse=True)]
        place = {colour: k for k, colour in enumerate(table)}
        exact.putpalette([part for colour in table for part in colour])
        exact.putdata([place[colour] for colour in picture.get_flattened_data()])
        tries.append((exact, "PNG"))
    best = png, ".png"
    for each, kind in tries:
        file = io.BytesIO()
        each.save(file, kind, **SMALL[kind])
        if len(file.getvalue()) < len(best[0]):
            best = file.getvalue(), f".{kind.lower()}"
    return best


def _sized(tag: str, path: Path) -> str:
    """An <img> with its size and lazy; pictures that are no file here stay as they are."""
    if not path.is_file():
        return tag
    if not re.search(r"\b(?:width|height)=", tag):
        if path.suffix == ".svg":
            box = re.search(r'viewBox="[\d.-]+ [\d.-]+ ([\d.]+) ([\d.]+)"', path.read_text("utf-8"))
            size = box and (float(box[1]), float(box[2]))
        else:
            size = Image.open(path).size
        if size:
            tag = re.sub(r"\s*/?>$", f' width="{size[0]:g}" height="{size[1]:g}" />', tag)
    if "loading=" not in tag:
        tag = re.sub(r"\s*/?>$", ' loading="lazy" decoding="async" />', tag)
    return tag


def needed(css: str, names: set[str], tags: set[str]) -> str:
    """Of a style sheet what can match in pages that have these classes and ids, and these tags.

    A rule goes if each of its selectors asks for a class, an id or a tag that no page has.
    Keyframes of no animation go as well.
    """
    text = "".join(_kept(tinycss2.parse_stylesheet(css, True, True), names, tags))
    for name in set(re.findall(r"@keyframes ([\w-]+)", text)):
        if not re.search(rf"animation(?:-name)?:[^;}}]*\b{re.escape(name)}\b", text):
            text = re.sub(
                rf"@keyframes {re.escape(name)} ?\{{(?:[^{{}}]*\{{[^{{}}]*\}})*[^{{}}]*\}}",
                "",
                text,
            )
    return text


def read_alone(sheets: dict[Path, str], elsewhere: set[str]) -> dict[Path, str]:
    """Sheets without the custom properties that nothing reads: most of a theme's palette.

    `elsewhere`: those that pages and scripts read.
    """
    while True:
        every = "".join(sheets.values())
        read = elsewhere | {a or b for a, b in READ.findall(every)}
        dead = set(re.findall(r"(?<=[{;])\s*(--[\w-]+)(?=\s*:)", every)) - read
        if not dead:
            return sheets
        rule = re.compile(
            rf"(?<=[{{;])\s*(?:{'|'.join(map(re.escape, sorted(dead)))})\s*:{VALUE};?"
        )
        sheets = {sheet: rule.sub("", text) for sheet, text in sheets.items()}


def _kept(rules: list, names: set[str], tags: set[str]) -> Iterator[str]:
    for rule in rules:
        if rule.type == "qualified-rule":
            selectors = [each for each in _split(rule.prelude) if _matches(each, names, tags)]
            body = tinycss2.serialize(rule.content).strip()
            if selectors and body:
                yield f"{','.join(selectors)}{{{body}}}\n"
        elif rule.type == "at-rule":
            head = f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude).rstrip()}"
            if rule.content is None:
                yield f"{head};\n"
            elif rule.lower_at_keyword in ("media", "supports", "layer", "container"):
                inside = tinycss2.parse_rule_list(rule.content, True, True)
                if body := "".join(_kept(inside, names, tags)):
                    yield f"{head}{{{body}}}\n"
            else:
                yield f"{head}{{{tinycss2.serialize(rule.content).strip()}}}\n"


def _split(prelude: list) -> list[str]:
    """The selectors between a prelude's commas."""
    parts: list[list] = [[]]
    for token in prelude:
        if token.type == "literal" and token.value == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return [tinycss2.serialize(part).strip() for part in parts]


def _matches(selector: str, names: set[str], tags: set[str]) -> bool:
    """Whether what `selector` asks for may be in a page; brackets such as :not(...) do not ask."""
    plain = re.sub(r"\[[^\]]*\]", "", selector)
    while (shorter := re.sub(r"\([^()]*\)", "", plain)) != plain:
        plain = shorter
    asked = [re.sub(r"\\(.)", r"\1", each) for each in re.findall(r"[.#]((?:[\w-]|\\.)+)", plain)]
    if not all(name in names or BY_BOOTSTRAP.fullmatch(name) for name in asked):
        return False
    elements = re.findall(r"(?:^|[\s>+~])([a-zA-Z][\w-]*)", re.sub(r"::?[\w-]+", "", plain))
    return all(element.lower() in tags for element in elements)
