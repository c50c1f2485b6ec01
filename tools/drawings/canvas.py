"""An SVG of marks and words, in the course's colours, light and dark, with no word on another."""

from dataclasses import dataclass, field
from html import escape

from stn_course.analysis.plots import GREY, STYLE

WIDTH = 720  # drawing units: twice a phone's pixels
# Ink and paper as on the book's first page; the hues are those of the course's figures.
LIGHT_INK, LIGHT_PAPER = "#1b2a41", "#ffffff"
DARK_INK, DARK_PAPER = "#e8edf4", "#14181f"
HUES = {
    "image": GREY,
    "locate": STYLE["STN"]["color"],  # the localiser: says where to look
    "look": STYLE["FC"]["color"],  # theta, the grid, what is read there
    "read": STYLE["CNN"]["color"],  # the classifier
    "back": STYLE["CNN + augmentation"]["color"],  # the gradient
}

# Widths in em, of DejaVu Sans: a wide face, so that what fits there fits in a system's own.
NARROW = dict.fromkeys("ijlI'’|·", 0.32) | dict.fromkeys("ftr.,:; ()[]-/", 0.40)
WIDE = dict.fromkeys("mMwW", 0.95) | dict.fromkeys("×+→=−←↔", 0.84) | {"\u202f": 0.20}
CAPITAL, USUAL, BOLD = 0.74, 0.64, 1.12
SIZES = {"title": 28, "label": 24, "small": 22}


@dataclass(frozen=True)
class Box:
    """Where a word or a shape is: its corners, and what it says."""

    left: float
    top: float
    right: float
    bottom: float
    text: str = ""

    def meets(self, other: "Box") -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


@dataclass
class Canvas:
    """A drawing `WIDTH` wide; what is put on it comes out in that order."""

    name: str
    marks: list[str] = field(default_factory=list)
    words: list[Box] = field(default_factory=list)
    bottom: float = 0.0

    def add(self, mark: str) -> None:
        self.marks.append(mark)

    def reach(self, y: float) -> None:
        self.bottom = max(self.bottom, y)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: str = "label",
        anchor: str = "middle",
        kind: str = "",
        accent: str = "",
    ) -> Box:
        """`text` on the base line `y`; returns its box, by an estimate on the wide side.

        `accent` is its beginning or its end, which stands out.
        """
        width = text_width(text, size, "loud" in kind.split())
        left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
        high = SIZES[size]
        box = Box(left, y - 0.78 * high, left + width, y + 0.22 * high, text)
        self.words.append(box)
        self.reach(box.bottom)
        classes = " ".join(filter(None, (size, anchor if anchor != "middle" else "", kind)))
        shown = escape(text)
        if accent:
            strong = f'<tspan class="accent">{escape(accent)}</tspan>'
            rest = shown.removeprefix(escape(accent))
            first = rest != shown
            shown = strong + rest if first else shown.removesuffix(escape(accent)) + strong
        self.add(f'<text class="{classes}" x="{n(x)}" y="{n(y)}">{shown}</text>')
        return box

    def lines(self, x: float, y: float, texts, size: str = "small", anchor="middle", kind=""):
        """`texts` under one another from base line `y`; returns the next base line."""
        for line in texts:
            self.text(x, y, line, size, anchor, kind)
            y += line_height(size)
        return y

    def rect(self, x: float, y: float, w: float, h: float, kind: str, r: float = 2) -> None:
        self.add(
            f'<rect class="{kind}" x="{n(x)}" y="{n(y)}" width="{n(w)}" height="{n(h)}" '
            f'rx="{n(r)}"/>'
        )
        self.reach(y + h)

    def path(self, d: str, kind: str) -> None:
        self.add(f'<path class="{kind}" d="{d}"/>')

    def arrow(self, points, kind: str = "flow", r: float = 14, head: float = 10) -> None:
        """A line through `points` along the axes, rounded at its corners, with a head."""
        self.path(route(points, r), f"line {kind}")
        (x0, y0), (x1, y1) = points[-2:]
        dx, dy = (x1 > x0) - (x1 < x0), (y1 > y0) - (y1 < y0)
        self.tip(x1, y1, dx, dy, kind, head)
        self.reach(max(y for _, y in points))

    def tip(self, x: float, y: float, dx: int, dy: int, kind: str, head: float = 10) -> None:
        """A head at (x, y) that points along (dx, dy)."""
        back_x, back_y = x - dx * head, y - dy * head
        half = 0.6 * head
        corners = [(x, y), (back_x - dy * half, back_y + dx * half)]
        corners.append((back_x + dy * half, back_y - dx * half))
        self.path("M" + "L".join(f"{n(a)} {n(b)}" for a, b in corners) + "Z", f"tip {kind}")

    def svg(self, title: str, description: str) -> str:
        """The whole drawing. Raises ValueError where a word leaves it or lies on another."""
        height = round(self.bottom) + 12
        found = misplaced(self.words, height)
        if found:
            raise ValueError(f"{self.name}: {'; '.join(found)}")
        key = f"drawing-{self.name}"
        body = "\n".join(self.marks)
        return (
            f'<svg class="drawing" id="{key}" xmlns="http://www.w3.org/2000/svg" '
            f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
            f'aria-labelledby="{key}-title {key}-desc">\n'
            f'<title id="{key}-title">{escape(title)}</title>\n'
            f'<desc id="{key}-desc">{escape(description)}</desc>\n'
            f"<style>\n{style()}</style>\n{body}\n</svg>\n"
        )


def n(value: float) -> str:
    """A coordinate to a tenth of a unit, the same on every machine."""
    return f"{round(value, 1) + 0.0:g}"  # + 0.0: no minus before a zero


def text_width(text: str, size: str, bold: bool = False) -> float:
    """An estimate, on the wide side, of how wide a browser sets `text`."""
    em = sum(NARROW.get(c) or WIDE.get(c) or (CAPITAL if c.isupper() else USUAL) for c in text)
    return em * SIZES[size] * (BOLD if bold or size == "title" else 1.0)


def line_height(size: str) -> float:
    return 1.25 * SIZES[size]


def misplaced(words: list[Box], height: float) -> list[str]:
    """Words that leave a drawing of `height`, and pairs that lie on each other."""
    found = [
        f"{box.text!r} leaves the drawing"
        for box in words
        if box.left < 0 or box.right > WIDTH or box.top < 0 or box.bottom > height
    ]
    for k, box in enumerate(words):
        found += [f"{box.text!r} meets {b.text!r}" for b in words[k + 1 :] if box.meets(b)]
    return found


def route(points, r: float = 14) -> str:
    """A path through `points` along the axes, with corners of radius `r`."""
    parts = [f"M{n(points[0][0])} {n(points[0][1])}"]
    for (x0, y0), (x1, y1), (x2, y2) in zip(points, points[1:], points[2:], strict=False):
        near = min(r, (abs(x1 - x0) + abs(y1 - y0)) / 2, (abs(x2 - x1) + abs(y2 - y1)) / 2)
        a = (x1 - near * _sign(x1 - x0), y1 - near * _sign(y1 - y0))
        b = (x1 + near * _sign(x2 - x1), y1 + near * _sign(y2 - y1))
        parts.append(f"L{n(a[0])} {n(a[1])}Q{n(x1)} {n(y1)} {n(b[0])} {n(b[1])}")
    return "".join(parts) + f"L{n(points[-1][0])} {n(points[-1][1])}"


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def mix(a: str, b: str, part: float) -> str:
    """Colour `a` with `part` of `b` in it."""
    pairs = zip(*([int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in (a, b)), strict=True)
    return "#" + "".join(f"{round(x + (y - x) * part):02x}" for x, y in pairs)


def _variables(dark: bool) -> str:
    ink, paper = (DARK_INK, DARK_PAPER) if dark else (LIGHT_INK, LIGHT_PAPER)
    found = {"ink": ink, "paper": paper, "quiet": mix(ink, paper, 0.28)}
    found["line"] = mix(ink, paper, 0.45)
    for name, hue in HUES.items():
        found[f"{name}"] = mix(hue, paper, 0.62 if dark else 0.72)
        found[f"{name}-edge"] = mix(hue, ink, 0.35 if dark else 0.25)
        found[f"{name}-text"] = mix(hue, ink, 0.45)
        found[f"{name}-band"] = mix(hue, paper, 0.86 if dark else 0.9)
    return "".join(f"--d-{key}:{value};" for key, value in found.items())


def style() -> str:
    """The style sheet: the reader's scheme, or the page's own where it has a switch."""
    light, dark = _variables(False), _variables(True)
    hues = "".join(
        f".drawing .{name}{{fill:var(--d-{name});stroke:var(--d-{name}-edge)}}"
        f".drawing .{name}-band{{fill:var(--d-{name}-band);stroke:none}}"
        f".drawing .{name}-mark{{fill:var(--d-{name}-edge);stroke:none}}\n"
        for name in HUES
    )
    sizes = "".join(f".drawing .{name}{{font-size:{size}px}}" for name, size in SIZES.items())
    return (
        f".drawing{{{light}max-width:100%;height:auto}}\n"
        f"@media (prefers-color-scheme:dark){{.drawing{{{dark}}}}}\n"
        f'html[data-theme="light"] .drawing{{{light}}}\n'
        f'html[data-theme="dark"] .drawing{{{dark}}}\n'
        ".drawing text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;"
        "text-anchor:middle;fill:var(--d-ink);stroke:var(--d-paper);stroke-width:3;"
        "stroke-linejoin:round;paint-order:stroke}\n"
        f"{sizes}.drawing .title{{font-weight:600}}\n"
        ".drawing .start{text-anchor:start}.drawing .end{text-anchor:end}\n"
        ".drawing .quiet{fill:var(--d-quiet)}.drawing .loud{font-weight:600}\n"
        ".drawing .accent{fill:var(--d-look-text);text-decoration:underline}\n"
        ".drawing .plate{stroke-width:1.5}.drawing .cells{fill:none}\n"
        ".drawing .heavy{stroke-width:3.5}\n"
        ".drawing .line{fill:none;stroke-width:2.5}.drawing .tip{stroke:none}\n"
        ".drawing .line.flow{stroke:var(--d-line)}.drawing .tip.flow{fill:var(--d-line)}\n"
        ".drawing .line.ahead{stroke:var(--d-look-edge)}"
        ".drawing .tip.ahead{fill:var(--d-look-edge)}\n"
        ".drawing .line.grad{stroke:var(--d-back-edge);stroke-width:3.5;stroke-dasharray:11 7}"
        ".drawing .tip.grad{fill:var(--d-back-edge)}\n"
        ".drawing .sheet{fill:var(--d-paper);stroke:var(--d-line);stroke-width:1.5}\n"
        ".drawing .pixels{fill:var(--d-ink)}\n"
        ".drawing .lattice{fill:none;stroke:var(--d-look-edge);stroke-width:1.2}\n"
        ".drawing .outline{fill:none;stroke:var(--d-look-edge);stroke-width:3}\n"
        ".drawing .ghost{fill:none;stroke:var(--d-line);stroke-width:1.5;"
        "stroke-dasharray:5 5}\n"
        ".drawing .frame{fill:none;stroke:var(--d-ink);stroke-width:1.5}\n"
        ".drawing .gone{stroke-dasharray:9 6;stroke-width:4}\n"
        ".drawing .rule{fill:none;stroke:var(--d-line);stroke-width:1;opacity:.6}\n"
        f"{hues}"
    )
