"""A spatial transformer before a classifier: the way of the image, and that of the gradient."""

from dataclasses import dataclass, replace

from torch import nn

from stn_course import models
from tools.drawings import shapes, trace
from tools.drawings.canvas import Canvas, line_height
from tools.drawings.trace import Stage, said, sides, thousands

LEFT, RIGHT, COLUMNS = 30, 712, 5
COLUMN = (RIGHT - LEFT) / COLUMNS
SCALE = 2.6  # units a pixel
APART = 13  # units between an arrow and the gradient's beside it
AIR = 8  # units between an arrow and what it points at


@dataclass(frozen=True)
class Parts:
    """A network taken apart for its drawing; shapes without the batch."""

    image: tuple[int, ...]
    localiser: list[Stage]
    theta: tuple[int, ...]
    read: tuple[int, ...]
    classifier: list[Stage]


def parts_of(model: nn.Module, channels: int, size: tuple[int, int]) -> Parts:
    steps = trace.trace(model, channels, size)
    before, transformer, after = trace.split(steps)
    return Parts(
        image=(channels, *size),
        localiser=trace.stages(before),
        theta=tuple(transformer.module.theta.shape[1:]),
        read=transformer.went,
        classifier=trace.stages(after),
    )


def column(k: float) -> float:
    """The middle of column `k`, from 0."""
    return LEFT + COLUMN * (k + 0.5)


def spread(count: int) -> list[float]:
    """Columns for `count` stages: the last at the right edge, the others evenly before it."""
    apart = min(1.6, 4 / max(1, count - 1))
    return [column(COLUMNS - 1 - apart * k) for k in reversed(range(count))]


def unrolled(stages: list[Stage]) -> list[Stage]:
    """`stages` with what was flattened as a vector of its own where there is a column for it.

    Where there is none, the words of the dense layer say how many numbers it gets.
    """
    found = []
    room = COLUMNS - len(stages)
    for stage in stages:
        if stage.flat and room > 0:
            found.append(Stage(("flatten",), (stage.flat,), 0, ()))
            room -= 1
        elif stage.flat:
            stage = replace(stage, words=(f"flat {stage.flat}", *stage.words))
        found.append(stage)
    return found


def both_ways(canvas: Canvas, start, end, gradient: bool = True) -> None:
    """An arrow along an axis, and beside it the gradient's, which runs back."""
    (x0, y0), (x1, y1) = start, end
    dx, dy = (x1 > x0) - (x1 < x0), (y1 > y0) - (y1 < y0)
    shift = APART / 2 if gradient else 0.0
    ox, oy = abs(dy) * shift, abs(dx) * shift
    a = (x0 + dx * AIR - ox, y0 + dy * AIR - oy)
    b = (x1 - dx * AIR - ox, y1 - dy * AIR - oy)
    canvas.arrow([a, b])
    if gradient:
        canvas.arrow([(b[0] + 2 * ox, b[1] + 2 * oy), (a[0] + 2 * ox, a[1] + 2 * oy)], "grad")


def band(
    canvas: Canvas, y: float, title: str, told: str, stages, kind: str, loud="", gradient=True
):
    """One network in its band from `y` down: a column a stage.

    `loud` is a word of the last stage that stands out, as does the frame of its shape.
    """
    if len(stages) > COLUMNS:
        raise ValueError(f"{title} has {len(stages)} stages; the drawing has room for {COLUMNS}")
    stages = unrolled(stages)
    most = max(len(s.words) for s in stages)
    line = line_height("small")
    tall = max(
        shapes.map_size(s.shape, SCALE)[1] if len(s.shape) == 3 else shapes.bar_height(s.shape[0])
        for s in stages
    )
    top = y + 56 + most * line  # of the shapes
    height = top - y + tall + 2 * line + 22
    canvas.rect(LEFT, y, RIGHT - LEFT, height, f"{kind}-band", 12)
    canvas.text(LEFT + 14, y + 32, title, "title", "start")
    canvas.text(RIGHT - 14, y + 32, told, "small", "end", "quiet")
    boxes = []
    for x, stage in zip(spread(len(stages)), stages, strict=True):
        first = top - 10 - line * (len(stage.words) - 1)
        for i, word in enumerate(stage.words):
            strong = "loud" if stage is stages[-1] and word == loud else ""
            canvas.text(x, first + line * i, word, "small", kind=strong)
        frame = " heavy" if stage is stages[-1] and loud else ""
        boxes.append(shapes.any_shape(canvas, x, top + tall / 2, stage.shape, SCALE, kind + frame))
        canvas.text(x, top + tall + line, sides(stage.shape), "small", kind="loud")
        if stage.parameters:
            count = thousands(stage.parameters)
            canvas.text(x, top + tall + 2 * line, count, "small", kind="quiet")
    for left, right in zip(boxes, boxes[1:], strict=False):
        middle = top + tall / 2
        both_ways(canvas, (left[2], middle), (right[0], middle), gradient)
    canvas.reach(y + height)


def row_of_looking(canvas: Canvas, y: float, parts: Parts, lying, seen) -> tuple[tuple, tuple]:
    """Theta, the grid, the sampler and what is read, from right to left around `y`."""
    line = line_height("small")
    height, width = parts.image[1:]
    out = parts.read[1:]
    theta = shapes.table(canvas, column(4), y, *parts.theta[-2:], 30, "look")
    grid_x, sampler_x, read_x = column(3) - 26, column(1.5), column(0) - 2
    w, h = SCALE * width, SCALE * height
    grid = (grid_x - w / 2, y - h / 2, grid_x + w / 2, y + h / 2)
    canvas.rect(grid[0], grid[1], w, h, "ghost", 0)
    shapes.lattice(canvas, grid)
    sampler = shapes.picture(canvas, sampler_x, y, lying, SCALE)
    shapes.lattice(canvas, sampler)
    read = shapes.picture(canvas, read_x, y, seen, SCALE, "sheet")
    canvas.rect(read[0], read[1], read[2] - read[0], read[3] - read[1], "outline", 0)
    for box, before in ((grid, theta), (sampler, grid), (read, sampler)):
        both_ways(canvas, (before[0], y), (box[2], y))
    below = y + h / 2 + line
    words = {
        column(4): ("θ", sides(parts.theta)),
        grid_x: ("grid", f"{sides(out)} points"),
        sampler_x: ("sampler", "reads there"),
        read_x: ("read", sides(parts.read)),
    }
    for x, (name, told) in words.items():
        canvas.text(x, below, name, "label", kind="loud")
        canvas.text(x, below + line, told, "small", kind="quiet")
    return theta, sampler


def draw(name: str, parts: Parts, titles: tuple[str, str], loud="", last=()) -> Canvas:
    """The whole way, from the image above to the loss below.

    titles: of the drawing, and what stands below it; loud: the word of theta's layer that stands
    out; last: lines beside the loss.
    """
    canvas = Canvas(name)
    lying, seen = shapes.posed_and_read(parts.image[1:], parts.read[1:])
    x, y = column(0), 10 + SCALE * parts.image[1] / 2
    image = shapes.picture(canvas, x, y, lying, SCALE)
    start = image[2] + 22
    canvas.text(start, image[1] + 24, titles[0], "title", "start")
    canvas.text(start, image[1] + 55, f"image {sides(parts.image)}", "small", "start", "loud")
    canvas.lines(start, image[1] + 83, titles[1], "small", "start", "quiet")

    total = sum(s.parameters for s in parts.localiser)
    top = image[3] + 46
    told = f"says where to look · {thousands(total)} parameters"
    band(canvas, top, "localiser", told, parts.localiser, "locate", loud)
    both_ways(canvas, (x, image[3]), (x, top), gradient=False)
    below = canvas.bottom

    middle = below + 74 + SCALE * parts.image[1] / 2
    theta, sampler = row_of_looking(canvas, middle, parts, lying, seen)
    both_ways(canvas, (column(4), below), (column(4), theta[1]))
    lane, turn = LEFT - 16, below + 26
    into = (sampler[0] + sampler[2]) / 2
    canvas.arrow(
        [(image[0] - AIR, y), (lane, y), (lane, turn), (into, turn), (into, sampler[1] - AIR)]
    )

    top = canvas.bottom + 46
    both_ways(canvas, (column(0) - 2, canvas.bottom), (column(0) - 2, top))
    total = sum(s.parameters for s in parts.classifier)
    told = f"says what it is · {thousands(total)} parameters"
    band(canvas, top, "classifier", told, parts.classifier, "read")
    below = canvas.bottom
    end = column(COLUMNS - 1)
    both_ways(canvas, (end, below), (end, below + 46))
    canvas.rect(end - 52, below + 46, 104, 44, "plate back", 22)
    canvas.text(end, below + 76, "loss", "label", kind="loud")
    canvas.lines(LEFT, below + 46, last, "small", "start", "quiet")
    return canvas


def described(parts: Parts) -> str:
    """The drawing in words."""
    return (
        f"An image of {sides(parts.image)} goes two ways. The localiser makes theta of it, "
        f"{sides(parts.theta)} numbers ({said(parts.localiser)}). Theta places a grid of "
        f"{sides(parts.read[1:])} points on the image, and the sampler reads the image there, "
        f"which gives {sides(parts.read)}. The classifier reads that ({said(parts.classifier)}). "
        "Dashed arrows run back from the loss through classifier, sampler, grid and theta "
        "into the localiser: the way of the gradient."
    )


def small() -> tuple[Canvas, str, str]:
    """The course's small transformer, and its picture."""
    size = (40, 40)
    model = models.build("stn-small", size=size)
    parts = parts_of(model, 1, size)
    told = ("dashed arrows: the gradient", "small grey numbers: parameters")
    last = ("The loss alone trains all of it:", "nobody says where a digit is.", shapes.KEY)
    canvas = draw("stn", parts, ("Spatial transformer", told), last=last)
    count = thousands(models.count_parameters(model)).replace("\u202f", " ")
    title = f"A spatial transformer before a classifier, {count} parameters"
    return canvas, title, described(parts)


def hr() -> tuple[Canvas, str, str]:
    """HR's network as published."""
    size = (40, 40)
    model = models.build("hr-padded", size=size)
    parts = parts_of(model, 1, size)
    told = ("dashed arrows: the gradient", "small grey numbers: parameters")
    canvas = draw(
        "hr",
        parts,
        ("HR’s network", told),
        loud="tanh",
        last=("Tanh on θ keeps every entry below 1:", "the identity is out of reach.", shapes.KEY),
    )
    count = thousands(models.count_parameters(model)).replace("\u202f", " ")
    title = f"HR's network: a small localiser before two convolutions, {count} parameters"
    return canvas, title, described(parts)
