"""What the theme brings and no page of ours needs is taken out of a built book.

The theme draws its icons twice over: its style sheet has them as a font, and a script of 1.6 MB
replaces each by a drawing. The font is enough. Of its 2 000 icons a page has a dozen.
"""

import re
from pathlib import Path

SCRIPT = re.compile(r"\s*<script\b[^>]*\bscripts/fontawesome\.js[^>]*></script>")
# The rule of one icon: its names, and its place in the font.
RULE = re.compile(r'((?:\.fa-[\w-]+,?)+)\{--fa:"[^"]*"\}')
NAME = re.compile(r"\bfa-[\w-]+")


def lighten(html: Path) -> None:
    """Take the icon script, source maps and the rules of unused icons out of the folder `html`.

    Raises ValueError where the theme has no such script or no such rules: it has changed.
    """
    scripts, used = 0, set()
    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        text, found = SCRIPT.subn("", text)
        scripts += found
        used.update(NAME.findall(text))
        if found:
            page.write_text(text, encoding="utf-8")
    for script in html.glob("_static/**/*.js"):
        if script.name == "fontawesome.js":
            script.unlink()
        else:
            used.update(NAME.findall(script.read_text(encoding="utf-8")))
    for drawn in html.rglob("*.map"):
        drawn.unlink()
    rules = 0
    for sheet in html.glob("_static/styles/*.css"):
        text = sheet.read_text(encoding="utf-8")
        kept, found = RULE.subn(
            lambda rule: rule[0] if used & set(NAME.findall(rule[1])) else "", text
        )
        rules += found
        sheet.write_text(kept, encoding="utf-8")
    if not scripts or not rules:
        raise ValueError(f"the theme has {scripts} icon scripts and {rules} icons: it has changed")
