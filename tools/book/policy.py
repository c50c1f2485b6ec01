"""A built book that keeps to a strict Content-Security-Policy: `default-src 'self'`.

Under it a page runs no script and takes no style that stands in the page itself, loads nothing from
blob: or data:, and asks no other server. So all that moves into files of the book's own: scripts,
handlers, styles, pictures in addresses, and the modules of live figures.
"""

import base64
import hashlib
import html as escapes
import json
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

HEADER = (
    "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.S)
STYLE = re.compile(r"<style\b[^>]*>(.*?)</style>", re.S)
TAG = re.compile(r"""<[a-zA-Z](?:[^<>"']|"[^"]*"|'[^']*')*>""")
HANDLERS = {"toggleFullScreen()": "full-screen", "window.print()": "print"}
STATE = "application/vnd.jupyter.widget-state+json"
# An address that holds a whole picture: between its quotes, or url(...) without any.
DATA = re.compile(
    r"""(?<=(["']))data:(image/[\w+.-]+)((?:;[\w=-]+)*),((?:(?!\1).)+)(?=\1)"""
    r"""|(?<=url\()data:(image/[\w+.-]+)((?:;[\w=-]+)*),([^)]+)"""
)


def classic(module: str) -> str:
    """An ES module as the text of a function that returns its default export, if it has one.

    Browsers refuse modules over file://, and a policy forbids the blob that would get around that.
    Raises ValueError for an import, and for an export that is none of const, function and default.
    """
    text = re.sub(r"^export default (\{[^}]*\});?\s*\Z", r"return \1;\n", module, flags=re.M)
    text = re.sub(r"^export (?=(?:const|async function|function) )", "", text, flags=re.M)
    if left := re.search(r"^\s*(?:export|import)\b.*", text, flags=re.M):
        raise ValueError(f"a module has {left[0]!r}; wanted exports of const and function")
    return f'"use strict";\n{text}'


class Files:
    """Files of the book that are named after what they hold; each is written once."""

    def __init__(self, html: Path) -> None:
        self.html = html

    def put(self, kind: str, text: str | bytes, suffix: str) -> str:
        """Write `text` below _static/`kind`; returns the address as the first page would use it."""
        data = text if isinstance(text, bytes) else text.encode()
        path = f"_static/{kind}/{hashlib.sha256(data).hexdigest()[:16]}.{suffix}"
        target = self.html / path
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(data)
        return path


def apply(html: Path) -> None:
    """Make every page of the folder `html` fit for the policy of `HEADER`.

    Raises ValueError for a handler in a page that is not known, and for a figure's module that
    cannot be a classic script.
    """
    files = Files(html)
    for sheet in html.rglob("*.css"):
        depth = len(sheet.relative_to(html).parts) - 1
        text = was = sheet.read_text(encoding="utf-8")
        text = _pictures(text, files, depth)
        if text != was:
            sheet.write_text(text, encoding="utf-8")
    for page in html.rglob("*.html"):
        if "_static" not in page.relative_to(html).parts:
            depth = len(page.relative_to(html).parts) - 1
            text = page.read_text(encoding="utf-8")
            page.write_text(_page(text, files, depth), encoding="utf-8")


def _page(text: str, files: Files, depth: int) -> str:
    up, sheets, kept = "../" * depth, [], []

    def keep(tag: str) -> str:
        kept.append(tag)
        return f"<script {len(kept) - 1}>"

    def script(found: re.Match) -> str:
        """A script of a file stays, and data; what would run moves; figures leave their modules."""
        attributes, body = found.groups()
        kind = re.search(r'type="([^"]*)"', attributes)
        if "src=" in attributes or (kind and "javascript" not in kind[1] and kind[1] != STATE):
            return keep(found[0])
        if kind and kind[1] == STATE:
            state, scripts = _figures(json.loads(body), files, up, sheets)
            state = json.dumps(state, separators=(",", ":")).replace("</", "<\\/")
            return keep(f"{scripts}<script{attributes}>{state}</script>")
        if re.fullmatch(r"\s*DOCUMENTATION_OPTIONS\.pagename = '[^']*';\s*", body):
            return ""  # nothing reads it
        return keep(f'<script{attributes} src="{up}{files.put("inline", body, "js")}"></script>')

    def style(found: re.Match) -> str:
        link = _link(up + files.put("inline", found[1], "css"))
        if re.search(r"<noscript>\s*\Z", text[: found.start()]):
            return link
        sheets.append(link)
        return ""

    text = SCRIPT.sub(script, text)
    text = STYLE.sub(style, text)
    text = TAG.sub(lambda found: _tag(_pictures(found[0], files, depth), files, up, sheets), text)
    text = re.sub(r"<script (\d+)>", lambda found: kept[int(found[1])], text)
    return text.replace("</head>", "\n".join([*dict.fromkeys(sheets), "</head>"]), 1)


def _link(address: str) -> str:
    return f'<link rel="stylesheet" href="{address}" />'


def _tag(tag: str, files: Files, up: str, sheets: list[str]) -> str:
    """A tag whose style has become a class, and whose handler a name that page.js knows."""
    if found := re.search(r'\son\w+="([^"]*)"', tag):
        if found[1] not in HANDLERS:
            raise ValueError(
                f"{found[0].strip()}: no page may have a handler; book/_static/page.js"
            )
        tag = tag.replace(found[0], f' data-does="{HANDLERS[found[1]]}"')
    if found := re.search(r"""\sstyle=(?:"([^"]*)"|'([^']*)')""", tag):
        declared = escapes.unescape(found[1] if found[1] is not None else found[2]).strip()
        tag = tag.replace(found[0], "")
        if declared:
            name = f"s-{hashlib.sha256(declared.encode()).hexdigest()[:10]}"
            # Three times: it is to count for more than the rules that it stood above in the page.
            sheets.append(
                _link(up + files.put("inline", f".{name}.{name}.{name}{{{declared}}}\n", "css"))
            )
            if 'class="' in tag:
                tag = re.sub(r'class="', f'class="{name} ', tag, count=1)
            else:
                tag = re.sub(r"^<([\w:-]+)", rf'<\1 class="{name}"', tag)
    return tag


def _figures(stored: dict, files: Files, up: str, sheets: list[str]) -> tuple[dict, str]:
    """The state of a page's figures without modules and styles, and the scripts that those are."""
    scripts = []
    for model in stored["state"].values():
        state = model["state"]
        if "_esm" not in state:
            continue
        name = hashlib.sha256(state["_esm"].encode()).hexdigest()[:16]
        body = classic(state.pop("_esm"))
        text = f'(globalThis.figureModules ??= {{}})["{name}"] = (() => {{\n{body}}})();\n'
        scripts.append(f'<script defer src="{up}{files.put("figures", text, "js")}"></script>\n')
        if css := state.pop("_css", ""):
            sheets.append(_link(up + files.put("figures", css, "css")))
        state["_module"] = name
    return stored, "".join(dict.fromkeys(scripts))


def _pictures(text: str, files: Files, depth: int) -> str:
    """`text` with pictures of files where addresses held them whole."""

    def picture(found: re.Match) -> str:
        kind, how, data = found.groups()[1:4] if found[1] else found.groups()[4:]
        data = unquote_to_bytes(escapes.unescape(data.replace("\\", "")))
        data = base64.b64decode(data) if "base64" in how else data
        suffix = kind.partition("/")[2].partition("+")[0]
        return "../" * depth + files.put("pictures", data, suffix)

    return DATA.sub(picture, text)
