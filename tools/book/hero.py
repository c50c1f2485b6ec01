"""Draw figures/hero.svg: one real digit, the grid that reads it, and the digit it reads.

Every mark is computed. The left canvas is a digit of the offline sample, placed with a known pose;
the lattice over it is theta applied to the output grid; the right image is the left one sampled at
that lattice. Run `python -m tools.book.hero` after a change; a test compares.
"""

from pathlib import Path

import numpy as np

from stn_course.data.digits import SAMPLE_FILE

TARGET = Path(__file__).resolve().parents[2] / "figures" / "hero.svg"
CANVAS, SIZE = 40, 28  # pixels on a side: input, output
CELL = 9  # drawing units per input pixel
SIDE = CANVAS * CELL
OUT_X, OUT_CELL = 630, 9
OUT_Y = (SIDE - SIZE * OUT_CELL) / 2
DEGREES, SCALE, SHIFT = -38.0, 0.62, (0.12, -0.08)


def theta() -> np.ndarray:
    """The pose [2, 3] that maps output coordinates to input coordinates, x first."""
    angle = np.deg2rad(DEGREES)
    cos, sin = SCALE * np.cos(angle), SCALE * np.sin(angle)
    return np.array([[cos, -sin, SHIFT[0]], [sin, cos, SHIFT[1]]])


def centres(size: int) -> np.ndarray:
    """Pixel centres in [-1, 1] at pixel edges: [size, size, 2], x first."""
    axis = (2 * np.arange(size) + 1) / size - 1
    return np.stack(np.meshgrid(axis, axis), axis=-1)


def bilinear(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Read image [h, w] at points [..., 2] in [-1, 1]; outside is 0, the digit's background."""
    height, width = image.shape
    padded = np.pad(image, 1)
    x = np.clip((points[..., 0] + 1) * width / 2 + 0.5, 0, width + 0.999)
    y = np.clip((points[..., 1] + 1) * height / 2 + 0.5, 0, height + 0.999)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    x, y = x - left, y - top
    rows = padded[top, left] * (1 - x) + padded[top, left + 1] * x
    below = padded[top + 1, left] * (1 - x) + padded[top + 1, left + 1] * x
    return rows * (1 - y) + below * y


def scene() -> tuple[np.ndarray, np.ndarray]:
    """The posed digit [40, 40] and what the grid reads from it [28, 28], both in [0, 1]."""
    with np.load(SAMPLE_FILE) as sample:
        images, labels = sample["train_images"], sample["train_labels"]
    digit = images[labels == 2][11] / 255.0  # [28, 28]
    pose = theta()
    back = np.linalg.inv(pose[:, :2])
    posed = bilinear(digit, (centres(CANVAS) - pose[:, 2]) @ back.T)  # [40, 40]
    read = bilinear(posed, centres(SIZE) @ pose[:, :2].T + pose[:, 2])  # [28, 28]
    return posed, read


def pixels(image: np.ndarray, x: float, y: float, cell: float) -> str:
    marks = [
        f'<rect x="{x + col * cell:g}" y="{y + row * cell:g}" width="{cell}" height="{cell}" '
        f'opacity="{value:.2f}"/>'
        for (row, col), value in np.ndenumerate(image)
        if value >= 0.02
    ]
    return '<g class="ink">' + "".join(marks) + "</g>"


def lattice(step: int = 4) -> str:
    """Lines of the output grid, drawn where they fall on the input canvas."""
    pose = theta()
    marks = []
    ends = np.linspace(-1, 1, SIZE // step + 1)
    for value in ends:
        for line in ([(-1, value), (1, value)], [(value, -1), (value, 1)]):
            (x1, y1), (x2, y2) = ((np.array(line) @ pose[:, :2].T + pose[:, 2]) + 1) * SIDE / 2
            edge = ' class="edge"' if abs(value) == 1 else ""
            marks.append(f'<path{edge} d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>')
    x, y = ((np.array([-1, -1]) @ pose[:, :2].T + pose[:, 2]) + 1) * SIDE / 2
    corner = f'<circle class="corner" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'
    return '<g class="grid">' + "".join(marks) + corner + "</g>"


def numbers() -> str:
    """Theta between the two images, in brackets, with the arrow output -> input."""
    rows, middle = theta(), (SIDE + OUT_X) / 2
    marks = []
    for row, y in zip(rows, (172, 200), strict=True):
        for value, dx in zip(row, (-34, 36, 106), strict=True):
            text = f"{value:.2f}".replace("-", "\u2212")
            marks.append(f'<text class="num" x="{middle + dx:g}" y="{y}">{text}</text>')
    left, right = middle - 112, middle + 114
    marks.append(f'<path class="frame bracket" d="M{left + 8:g} 148H{left:g}V212H{left + 8:g}"/>')
    marks.append(
        f'<path class="frame bracket" d="M{right - 8:g} 148H{right:g}V212H{right - 8:g}"/>'
    )
    marks.append(f'<text class="name" x="{middle:g}" y="130">six numbers, θ</text>')
    marks.append(
        f'<path class="arrow" d="M{middle + 82:g} 240H{middle - 82:g}m12 -7l-12 7l12 7"/>'
        f'<text class="small" x="{middle:g}" y="264">each output pixel</text>'
        f'<text class="small" x="{middle:g}" y="283">asks where to look</text>'
    )
    return "".join(marks)


STYLE = """
svg:root{--hero-ink:#1b2a41;--hero-grid:#c4501b;--hero-line:#8793a5;--hero-text:#3b4757}
@media (prefers-color-scheme:dark){
svg:root{--hero-ink:#e8edf4;--hero-grid:#f59b6c;--hero-line:#76839a;--hero-text:#c5cedb}}
.hero .ink{fill:var(--hero-ink)}.hero .frame{fill:none;stroke:var(--hero-line);stroke-width:1.5}
.hero .grid path{stroke:var(--hero-grid);stroke-width:1;opacity:.65;fill:none}
.hero .grid .edge{stroke-width:2.5;opacity:1}.hero .corner{fill:var(--hero-grid)}
.hero .edge-out{fill:none;stroke:var(--hero-grid);stroke-width:2.5}
.hero .arrow{fill:none;stroke:var(--hero-grid);stroke-width:2.5}
.hero text{font-family:system-ui,sans-serif;text-anchor:middle;fill:var(--hero-text)}
.hero .num{font:500 19px ui-monospace,Menlo,monospace;text-anchor:end}
.hero .name{font-size:17px}.hero .small{font-size:15px}
"""

TITLE = "A tilted, off-centre 2 and the upright 2 that a grid of sampling points reads from it"
DESCRIPTION = (
    "Left: a handwritten 2, small, turned by 38 degrees and off centre on a canvas "
    "of 40 by 40 pixels, under a tilted lattice. Middle: the six numbers of theta that place the "
    "lattice. Right: the 28 by 28 image read at the lattice points, the same 2 upright and large."
)


def draw() -> str:
    """The whole picture as SVG text."""
    posed, read = scene()
    side = SIZE * OUT_CELL
    return (
        f'<svg class="hero" xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 {OUT_X + side + 4} '
        f'{SIDE + 4}" role="img" aria-labelledby="hero-title hero-desc">\n'
        f'<title id="hero-title">{TITLE}</title>\n<desc id="hero-desc">{DESCRIPTION}</desc>\n'
        f"<style>{STYLE}</style>\n"
        f"{pixels(posed, 0, 0, CELL)}\n"
        f'<rect class="frame" width="{SIDE}" height="{SIDE}"/>\n'
        f"{lattice()}\n{numbers()}\n"
        f"{pixels(read, OUT_X, OUT_Y, OUT_CELL)}\n"
        f'<rect class="edge-out" x="{OUT_X}" y="{OUT_Y:g}" width="{side}" height="{side}"/>\n'
        f'<g class="grid"><circle class="corner" cx="{OUT_X}" cy="{OUT_Y:g}" r="6"/></g>\n</svg>\n'
    )


if __name__ == "__main__":
    TARGET.write_text(draw(), encoding="utf-8")
    print(f"wrote {TARGET.name}: {TARGET.stat().st_size / 1000:.0f} kB")
