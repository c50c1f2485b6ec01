"""The shapes of a drawing: maps as stacked plates, vectors as bars, theta as a table, pictures."""

import math

import torch

from stn_course.lessons.pictures import drawn_two
from stn_course.sampling import reference
from tools.drawings.canvas import Canvas, n

STEP = 3.6  # units from one plate to the next
LEAST = 7.0  # a plate is at least so large
KEY = "one plate more: twice the channels"


def plate_count(channels: int) -> int:
    """One for one channel, and one more for every doubling."""
    return 1 + math.ceil(math.log2(channels))


def map_size(shape, scale: float) -> tuple[float, float]:
    """(width, height) of a map [C, H, W] drawn at `scale` units a pixel."""
    channels, height, width = shape
    more = STEP * (plate_count(channels) - 1)
    return max(LEAST, scale * width) + more, max(LEAST, scale * height) + more


def plates(canvas: Canvas, x: float, y: float, shape, scale: float, kind: str) -> tuple:
    """A map [C, H, W] around (x, y); returns the left, top, right and bottom of it."""
    channels, height, width = shape
    count = plate_count(channels)
    w, h = max(LEAST, scale * width), max(LEAST, scale * height)
    full_w, full_h = map_size(shape, scale)
    left, top = x - full_w / 2, y - full_h / 2
    for k in reversed(range(count)):  # the furthest first; a heavy frame is the front's
        look = kind if k == 0 else kind.split()[0]
        canvas.rect(left + STEP * k, top + full_h - h - STEP * k, w, h, f"plate {look}", 1.5)
    return left, top, left + full_w, top + full_h


def bar_height(units: int) -> float:
    return 12 + 9.5 * math.log2(units)


def bar(canvas: Canvas, x: float, y: float, units: int, kind: str) -> tuple:
    """A vector of `units` numbers as a bar around (x, y); up to twelve show their cells."""
    w, h = 18, bar_height(units)
    left, top = x - w / 2, y - h / 2
    canvas.rect(left, top, w, h, f"plate {kind}", 2)
    if units <= 12:
        cells = "".join(f"M{n(left)} {n(top + h * k / units)}h{w}" for k in range(1, units))
        canvas.path(cells, f"plate {kind.split()[0]} cells")
    else:
        for k in (-1, 0, 1):
            name = kind.split()[0]
            canvas.add(f'<circle class="{name}-mark" cx="{n(x)}" cy="{n(y + 9 * k)}" r="2"/>')
    return left, top, left + w, top + h


def table(canvas: Canvas, x: float, y: float, rows: int, columns: int, cell: float, kind: str):
    """Numbers in rows and columns around (x, y), as theta is."""
    w, h = columns * cell, rows * cell
    left, top = x - w / 2, y - h / 2
    canvas.rect(left, top, w, h, f"plate {kind}", 2)
    lines = "".join(f"M{n(left)} {n(top + cell * k)}h{n(w)}" for k in range(1, rows))
    lines += "".join(f"M{n(left + cell * k)} {n(top)}v{n(h)}" for k in range(1, columns))
    canvas.path(lines, f"plate {kind.split()[0]} cells")
    return left, top, left + w, top + h


def any_shape(canvas: Canvas, x: float, y: float, shape, scale: float, kind: str) -> tuple:
    """A map as plates, a vector as a bar."""
    if len(shape) == 3:
        return plates(canvas, x, y, shape, scale, kind)
    return bar(canvas, x, y, math.prod(shape), kind)


# ---------------------------------------------------------------- a picture that is read
# Turned, shrunken and shifted; an example of what a trained localiser says.
POSE = torch.tensor([[0.54, -0.3, 0.1], [0.3, 0.54, -0.06]], dtype=torch.float64)
LEVELS = (0.13, 0.37, 0.61, 0.87)  # of ink; no value that is easily met lies on one of them


def posed_and_read(size: tuple[int, int], out: tuple[int, int]) -> tuple:
    """A 2 that lies in its picture [H, W] as `POSE` says, and what is read there [h, w]."""
    two = drawn_two(28).double()
    there = torch.cat([POSE, torch.tensor([[0.0, 0, 1]]).double()])
    lying = reference.warp(two, torch.linalg.inv(there)[None, :2], size)
    return lying[0, 0], reference.warp(lying, POSE[None], out)[0, 0]


def picture(canvas: Canvas, x: float, y: float, pixels, scale: float, kind: str = "sheet"):
    """Pixels [H, W] around (x, y), in four tones; returns left, top, right, bottom."""
    height, width = pixels.shape
    left, top = x - scale * width / 2, y - scale * height / 2
    canvas.rect(left, top, scale * width, scale * height, kind, 0)
    for low, high in zip(LEVELS, (*LEVELS[1:], 2.0), strict=True):
        runs = []
        for row, values in enumerate(pixels.tolist()):
            inside = [low < v <= high for v in values]
            runs += [(row, a, b) for a, b in _runs(inside)]
        d = "".join(
            f"M{n(left + scale * a)} {n(top + scale * row)}"
            f"h{n(scale * (b - a))}v{n(scale)}h{n(-scale * (b - a))}z"
            for row, a, b in runs
        )
        opacity = (low + min(high, 1.0)) / 2
        canvas.add(f'<path class="pixels" opacity="{opacity:.2f}" d="{d}"/>')
    return left, top, left + scale * width, top + scale * height


def _runs(inside: list[bool]):
    """Where runs of True begin and end."""
    start = None
    for k, there in enumerate([*inside, False]):
        if there and start is None:
            start = k
        elif not there and start is not None:
            yield start, k
            start = None


def lattice(canvas: Canvas, box: tuple, lines: int = 7, pose=POSE) -> None:
    """The output's grid where `pose` puts it on a picture that lies in `box`."""
    left, top, right, bottom = box

    def at(x, y):
        u, v = (pose @ torch.tensor([x, y, 1.0], dtype=torch.float64)).tolist()
        here = left + (u + 1) / 2 * (right - left), top + (v + 1) / 2 * (bottom - top)
        return f"{n(here[0])} {n(here[1])}"

    ends = [2 * k / lines - 1 for k in range(1, lines)]
    d = "".join(f"M{at(-1, e)}L{at(1, e)}M{at(e, -1)}L{at(e, 1)}" for e in ends)
    canvas.path(d, "lattice")
    canvas.path(f"M{at(-1, -1)}L{at(1, -1)}L{at(1, 1)}L{at(-1, 1)}Z", "outline")
