"""The figure of the first page: a digit is drawn and moved, and four networks read it in the page.

The page gets one script and one style of its own folder: classic ones, for browsers refuse modules
over file://. What stands there without the script is the drawing of `tools.book.hero`.
"""

import json
from pathlib import Path

from stn_course.experiments import records
from stn_course.lessons.invariance import pad
from tools import ROOT
from tools.book import policy

OPENS = {"sample": 2, "strokes": [], "parts": pad.PARTS | {"rotate": 60.0}}  # shows an effect
ANGLE = 60.0  # of which the caption tells


def script() -> str:
    """The pad's module as a classic script that builds the figure in #draw-digit.

    Raises ValueError for what `policy.classic` cannot make of the module.
    """
    text = policy.classic(pad.module_text().replace("export default { render };\n", ""))
    given = OPENS | {"networks": pad.networks(), "samples": pad.samples()}
    quoted = json.dumps(given, separators=(",", ":"))
    place = 'document.getElementById("draw-digit")'
    start = f"mount({place}, {quoted}, () => {{}}, {{ address: true }});"
    return f"(() => {{\n{text}\n{start}\n}})();\n"


def write(folder: Path) -> None:
    """Write the script and the style of the figure into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "draw_digit.js").write_text(script(), encoding="utf-8")
    (folder / "draw_digit.css").write_text(pad.style_text(), encoding="utf-8")


def block() -> str:
    """The figure as it stands in the page: a picture, its caption, and what brings it alive."""
    hero = (ROOT / "figures" / "hero.svg").read_text(encoding="utf-8")
    return (
        '<link rel="stylesheet" href="_static/draw_digit.css">\n'
        f'<figure class="hero-figure">\n<div id="draw-digit">\n{hero}</div>\n'
        f"<figcaption>{caption()}</figcaption>\n</figure>\n"
        '<script defer src="_static/draw_digit.js"></script>\n'
    )


def caption() -> str:
    """What the figure shows, and how often each network is right on turned digits, of records."""
    told = [f"{name} {at(file):.0f}&nbsp;%" for name, file in pad.NETWORKS.items()]
    numbers = "; ".join(f'<span class="number">{each}</span>' for each in told)
    return (
        "<strong>Draw a digit and turn it.</strong> Four networks that this course trained read it "
        "here, in your browser; nothing leaves the page. FC is fully connected; the CNN convolves; "
        "the augmented CNN has learned from turned, zoomed and shifted digits; the STN, from the "
        "same digits, is that CNN behind a spatial transformer. The box on the digit is where the "
        "transformer looks, its blue edge the top of what it reads. Of 10&nbsp;000 test digits "
        f"turned by {ANGLE:.0f}° they read right: {numbers}. "
        "<noscript>(With JavaScript this picture comes alive.)</noscript>"
    )


def at(name: str) -> float:
    """Percent of the test digits that the record `name`/0 reads right, turned by ANGLE."""
    probe = records.load(name)[0].probes["angle"]
    return 100 * probe["correct"][probe["values"].index(ANGLE)] / probe["total"]
