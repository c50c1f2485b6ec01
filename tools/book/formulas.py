"""Formulas as drawings in the page: MathJax sets them when the book is built, not when it is read.

In a reader's browser MathJax is a script of 2.1 MB that writes styles into the page. Here it runs
in an embedded V8 (mini-racer), from an installed package whose files are checked. The page holds
the SVG, and MathML beside it for those who listen. As a Sphinx extension: see `setup`.
"""

import hashlib
import json
from importlib.metadata import distribution
from pathlib import Path

from docutils import nodes
from sphinx.util import logging

FOLDER = "mathjax/static/mathjax/es5"
FILES = (
    "core.js",
    "adaptors/liteDOM.js",
    "input/tex-base.js",
    "input/tex/extensions/ams.js",
    "input/tex/extensions/newcommand.js",
    "input/tex/extensions/configmacros.js",
    "output/svg.js",
    "output/svg/fonts/tex.js",
    "a11y/assistive-mml.js",
)
# Of these files, one after the other.
SHA256 = "e4b16315a9814fc81e26b29df17635402707c0db593984814f3029d5f8e7bf96"
MACROS = {"R": r"\mathbb{R}"}
SETTER = """
const lite = MathJax._.adaptors.liteAdaptor.liteAdaptor();
MathJax._.a11y["assistive-mml"].AssistiveMmlHandler(
  MathJax._.handlers.html_ts.RegisterHTMLHandler(lite));
const tex = new MathJax._.input.tex_ts.TeX({
  packages: ["base", "ams", "newcommand", "configmacros"],
  macros: MACROS,
  formatError: (_, error) => { throw error; },
});
const FONT = MathJax._.output.svg.fonts.tex_ts.TeXFont;
const svg = new MathJax._.output.svg_ts.SVG({ fontCache: "local", font: new FONT() });
const page = MathJax._.mathjax.mathjax.document("", { InputJax: tex, OutputJax: svg });
const set = (text, display) => {
  try {
    return JSON.stringify({ html: lite.outerHTML(page.convert(text, { display })) });
  } catch (error) {
    return JSON.stringify({ error: error.message });
  }
};
const style = () => lite.textContent(svg.styleSheet(page));
0"""


def scripts() -> str:
    """MathJax's files. Raises ValueError where they are others than were looked at."""
    folder = Path(distribution("django-static-mathjax").locate_file(FOLDER))
    parts = [(folder / name).read_text(encoding="utf-8") for name in FILES]
    found = hashlib.sha256("".join(parts).encode()).hexdigest()
    if found != SHA256:
        raise ValueError(f"MathJax's files have SHA-256 {found}, want {SHA256}: reinstall them")
    return "\n;\n".join(parts)


class Setter:
    """MathJax in an engine of its own; to be closed, or Python waits for it at its end."""

    def __init__(self) -> None:
        from py_mini_racer import MiniRacer

        text = scripts()
        self.engine = MiniRacer()
        self.engine.eval("var self = globalThis, global = globalThis; 0")
        self.engine.eval(f"{text}\n;0")
        self.engine.eval(SETTER.replace("MACROS", json.dumps(MACROS)))

    def __enter__(self) -> "Setter":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def set(self, text: str, display: bool = False) -> str:
        """The formula `text` in TeX as HTML. Raises ValueError for what TeX does not take."""
        said = json.loads(self.engine.call("set", text, display))
        if "error" in said:
            raise ValueError(f"{said['error']} in the formula {text!r}")
        return said["html"]

    def style(self) -> str:
        """The style sheet that all formulas need."""
        return self.engine.call("style")

    def close(self) -> None:
        self.engine.close()


def _visit(writer, node: nodes.Element, display: bool) -> None:
    """Write one formula. One that cannot be set is a warning, and so ends the build."""
    app = writer.builder.app
    if not hasattr(app, "formulas"):
        app.formulas = Setter()
    try:
        drawn = app.formulas.set(node.astext(), display)
    except ValueError as error:
        logging.getLogger(__name__).warning("%s", error, location=node)
        raise nodes.SkipNode from None
    tag = "div" if display else "span"
    writer.body.append(writer.starttag(node, tag, "", CLASS="math notranslate nohighlight"))
    writer.body.append(f"{drawn}</{tag}>" + ("\n" if display else ""))
    raise nodes.SkipNode


def _close(app, _) -> None:
    if hasattr(app, "formulas"):
        app.formulas.close()


def setup(app) -> dict:
    """Take the place of the renderer that leaves formulas to the reader's browser."""
    app.add_html_math_renderer(
        "drawn",
        (lambda writer, node: _visit(writer, node, False), None),
        (lambda writer, node: _visit(writer, node, True), None),
    )
    app.connect("build-finished", _close)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
