"""Two readers of digit rows side by side: one glimpse of the row, and one glimpse a digit."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from stn_course import models
from stn_course.lessons.pictures import drawn_two, stroke
from stn_course.sampling import reference
from tools.drawings import shapes, trace
from tools.drawings.canvas import WIDTH, Canvas, line_height, text_width
from tools.drawings.trace import Stage, said, sides, thousands
from tools.drawings.transformer import AIR

SIZE = (100, 100)
SCALE = 1.1  # units a pixel
HALF = 348  # units that a network has
SHAPES, WORDS = 80, 146  # from the left of a half: middle of the shapes, left of the words
STEPS_APART = 41  # units from one step of a recurrent network to the next

# ---------------------------------------------------------------- a row of digits
PENS = {  # in a box of [0, 1], x first, y down
    "7": [(0.29, 0.2), (0.71, 0.2), (0.45, 0.8)],
    "4": [(0.6, 0.82), (0.6, 0.18), (0.28, 0.6), (0.74, 0.6)],
}
SCRAPS = [  # of other digits, in pixels
    [(8, 18), (15, 12), (17, 20)],
    [(44, 8), (47, 16), (40, 18)],
    [(83, 76), (90, 72), (91, 82), (84, 83)],
    [(30, 86), (38, 84)],
    [(88, 8), (92, 15)],
    [(62, 88), (66, 80), (70, 87)],
    [(9, 92), (12, 84)],
]
FIRST, ACROSS, DOWN = (9.0, 48.0), 27.0, -10.0  # left top of the first digit; to the next


def drawn(points, size: int) -> torch.Tensor:
    """A line through `points` (pixels) drawn with the pen of `drawn_two`.  # [size, size]"""
    return torch.tensor(stroke(np.array(points, dtype=float), size, 0.045 * 28))


def row_of_digits() -> torch.Tensor:
    """7, 2 and 4 on a rising line among scraps.  # float64 [1, 1, 100, 100]"""
    image = torch.zeros(SIZE, dtype=torch.float64)
    for scrap in SCRAPS:
        image = torch.maximum(image, drawn(scrap, SIZE[0]))
    for k, name in enumerate(("7", "2", "4")):
        left, top = round(FIRST[0] + ACROSS * k), round(FIRST[1] + DOWN * k)
        if name == "2":
            digit = drawn_two(28)[0, 0].double()
        else:
            digit = drawn([(27 * x, 27 * y) for x, y in PENS[name]], 28)
        place = image[top : top + 28, left : left + 28]
        place.copy_(torch.maximum(place, digit))
    return image[None, None]


def poses(count: int) -> torch.Tensor:
    """Where good glimpses look: one along the row, or one at each digit.  # [count, 2, 3]"""
    height, width = SIZE
    middles = torch.tensor(
        [[FIRST[0] + ACROSS * k + 14, FIRST[1] + DOWN * k + 14] for k in range(3)]
    )
    at = 2 * middles / torch.tensor([width, height]) - 1
    if count == 1:
        slope = math.atan2(DOWN, ACROSS)
        long, high = 0.92, 0.36
        x, y = at[1].tolist()
        turn = [
            [long * math.cos(slope), -high * math.sin(slope), x],
            [long * math.sin(slope), high * math.cos(slope), y],
        ]
        return torch.tensor([turn], dtype=torch.float64)
    zoom = 0.3
    return torch.tensor([[[zoom, 0, x], [0, zoom, y]] for x, y in at.tolist()]).double()


# ---------------------------------------------------------------- a network, taken apart
@dataclass(frozen=True)
class Reader:
    """One network: what stands in each row of its half. `steps` is how often it looks."""

    title: str
    told: str
    parameters: int
    steps: int
    localiser: list[Stage]
    theta: tuple[int, ...]
    glimpse: tuple[int, ...]
    classifier: list[Stage]
    logits: tuple[int, ...]


def reader_of(name: str, design: str, title: str, told: str) -> Reader:
    model = models.build(name, size=SIZE, design=design)
    before, transformer, after = trace.split(trace.trace(model, 1, SIZE))
    stages = trace.stages(before)
    calls: dict[str, list[Stage]] = {}  # of a layer; a recurrent one is called once a step
    for stage in stages:
        calls.setdefault(stage.names[-1], []).append(stage)
    once = [
        replace(each[0], words=(*each[0].words, f"{len(each)} times")) if len(each) > 1 else each[0]
        for each in calls.values()
    ]
    logits = model(torch.zeros(1, 1, *SIZE)).shape[1:]
    return Reader(
        title=title,
        told=told,
        parameters=models.count_parameters(model),
        steps=model.theta.shape[1],
        localiser=once,
        theta=tuple(model.theta.shape[2:]),
        glimpse=transformer.went,
        classifier=trace.stages(after),
        logits=tuple(logits),
    )


# ---------------------------------------------------------------- one half
def wrapped(words, width: float) -> list[str]:
    """`words` in as few lines of `width` as will do, with commas between them."""
    found: list[str] = []
    for word in words:
        longer = f"{found[-1]}, {word}" if found else word
        if found and text_width(longer, "small") <= width:
            found[-1] = longer
        else:
            found.append(word)
    return found


class Half:
    """The left or right half of the drawing: shapes on their axis, words beside them."""

    def __init__(self, canvas: Canvas, left: float, reader: Reader):
        self.canvas, self.left, self.reader = canvas, left, reader
        self.axis, self.words = left + SHAPES, left + WORDS
        self.room = HALF - WORDS - 4
        self.above: list[tuple] = []  # the boxes of the shapes above

    def lines_of(self, stage: Stage) -> list[str]:
        flat = (f"flatten {stage.flat}",) if stage.flat else ()
        words = (*flat, *stage.words)
        lines, shape = wrapped(words, self.room), sides(stage.shape)
        beside = self.room_beside(stage.parameters)
        widths = [*(text_width(text, "small") for text in lines), text_width(shape, "small", True)]
        return lines if min(widths) <= beside else list(words)

    def room_beside(self, count: int) -> float:
        """How wide a line may be that has the number of parameters at its end."""
        return self.room - text_width(thousands(count), "small") - 10

    def height(self, stage: Stage) -> float:
        tall = (
            shapes.map_size(stage.shape, SCALE)[1]
            if len(stage.shape) == 3
            else shapes.bar_height(math.prod(stage.shape))
        )
        return max(tall + 34, line_height("small") * (len(self.lines_of(stage)) + 1) + 14)

    def link(self, boxes: list[tuple]) -> None:
        """Arrows down to `boxes` from the shapes before them: one, side by side, or a fan."""
        ends = [((box[0] + box[2]) / 2, box[1] - 5) for box in boxes]
        starts = [((box[0] + box[2]) / 2, box[3] + 5) for box in self.above]
        if len(starts) == len(ends):
            for start, end in zip(starts, ends, strict=True):
                self.canvas.arrow([start, end])
        else:
            y = (starts[0][1] + ends[0][1]) / 2
            for x0, y0 in starts:
                for x1, y1 in ends:
                    way = [(x0, y0), (x0, y), (x1, y), (x1, y1)]
                    self.canvas.arrow(way if x0 != x1 else [way[0], way[-1]], r=8)
        self.above = boxes

    def told(self, y: float, lines: list[str], shape: str, count: int = 0) -> None:
        """Words around `y`: `lines`, then the shape.

        The parameters stand beside the layer that has them, or beside the shape.
        """
        line = line_height("small")
        first = y - line * len(lines) / 2 + 8
        below = self.canvas.lines(self.words, first, lines, "small", "start")
        self.canvas.text(self.words, below, shape, "small", "start", "loud")
        if count:
            widths = [text_width(text, "small") for text in lines]
            widths.append(text_width(shape, "small", True))
            beside = self.room_beside(count)
            fits = [k for k, width in enumerate(widths) if width <= beside]
            layer = [k for k in fits[:-1] if lines[k].split()[0] in ("conv", "dense", "GRU")]
            at = (layer or fits[-1:])[0]
            end = self.words + self.room
            self.canvas.text(end, first + line * at, thousands(count), "small", "end", "quiet")

    def stage(self, y: float, stage: Stage, kind: str) -> None:
        if stage.words[-1] == f"{self.reader.steps} times":
            boxes = self.chain(y, kind)
        else:
            boxes = [shapes.any_shape(self.canvas, self.axis, y, stage.shape, SCALE, kind)]
        self.link(boxes)
        self.told(y, self.lines_of(stage), sides(stage.shape), stage.parameters)

    def step_axes(self) -> list[float]:
        """Where the steps stand, from left to right."""
        steps = self.reader.steps
        return [self.axis + STEPS_APART * (k - (steps - 1) / 2) for k in range(steps)]

    def chain(self, y: float, kind: str) -> list[tuple]:
        """One box a step, and the state that goes from one to the next."""
        half, axes = 13, self.step_axes()
        for x in axes:
            self.canvas.rect(x - half, y - half, 2 * half, 2 * half, f"plate {kind}", 6)
        for x, after in zip(axes, axes[1:], strict=False):
            self.canvas.arrow([(x + half + 2, y), (after - half - 2, y)], head=8)
        return [(x - half, y - half, x + half, y + half) for x in axes]

    def thetas(self, y: float, stage: Stage) -> None:
        steps, (rows, columns) = self.reader.steps, self.reader.theta[-2:]
        cell = 20 if steps == 1 else 12
        axes = self.step_axes()
        self.link([shapes.table(self.canvas, x, y, rows, columns, cell, "look") for x in axes])
        shape = f"θ {sides(self.reader.theta)}"
        self.told(y, self.lines_of(stage), shape, stage.parameters)

    def glimpses(self, y: float, image: torch.Tensor, seen: torch.Tensor) -> tuple:
        """What is read, from left to right; returns the box of the first."""
        size = self.reader.glimpse[1:]
        boxes = []
        for x, pose in zip(self.step_axes(), seen, strict=True):
            glimpse = reference.warp(image, pose[None], size)[0, 0]
            boxes.append(shapes.picture(self.canvas, x, y, glimpse, SCALE))
            left, top, right, bottom = boxes[-1]
            self.canvas.rect(left, top, right - left, bottom - top, "outline", 0)
        self.link(boxes)
        return boxes[0]

    def picture(self, y: float, image: torch.Tensor, seen: torch.Tensor) -> tuple:
        """The image with a box for each glimpse, and the network's name."""
        box = shapes.picture(self.canvas, self.axis, y, image[0, 0], SCALE)
        for pose in seen:
            shapes.lattice(self.canvas, box, lines=1, pose=pose)
        self.above = [box]
        line, reader = line_height("small"), self.reader
        self.canvas.text(self.words, box[1] + 24, reader.title, "label", "start", "loud")
        self.canvas.text(self.words, box[1] + 55, reader.told, "small", "start")
        shape = sides((1, *SIZE))
        self.canvas.text(self.words, box[1] + 55 + line, shape, "small", "start", "loud")
        count = thousands(reader.parameters)
        self.canvas.text(self.words, box[1] + 55 + 2 * line, count, "small", "start", "quiet")
        return box

    def band(self, top: float, bottom: float, title: str, kind: str, told: str = "") -> None:
        self.canvas.rect(self.left + 10, top, HALF - 10, bottom - top, f"{kind}-band", 12)
        self.canvas.text(self.words, top + 30, title, "label", "start", "loud")
        if told:
            self.canvas.text(self.words, top + 58, told, "small", "start", "quiet")


def draw(canvas: Canvas, halves: list[Half], image: torch.Tensor) -> None:
    """Row by row, the halves side by side: what does the same stands at the same height."""
    seen = [poses(half.reader.steps) for half in halves]
    y = 8 + SCALE * SIZE[0] / 2
    pictures = [half.picture(y, image, at) for half, at in zip(halves, seen, strict=True)]
    top = pictures[0][3] + 30
    groups = [half.reader.localiser for half in halves]
    rows = _rows(halves, groups, top + 36)
    for half in halves:
        half.band(top, rows[-1][1] + 6, "localiser", "locate")
    for half, stages in zip(halves, groups, strict=True):
        for (middle, _), stage in zip(rows[:-1], stages[:-1], strict=True):
            half.stage(middle, stage, "locate")
        half.thetas(rows[-1][0], stages[-1])

    side = SCALE * max(half.reader.glimpse[1] for half in halves)
    y = rows[-1][1] + 40 + side / 2
    for half, at, start in zip(halves, seen, pictures, strict=True):
        box = half.glimpses(y, image, at)
        lane = half.left + 2
        middle = (start[1] + start[3]) / 2
        canvas.arrow([(start[0] - AIR, middle), (lane, middle), (lane, y), (box[0] - 4, y)])
        steps = half.reader.steps
        told = ["sampler", "one glimpse" if steps == 1 else f"{steps} glimpses"]
        half.told(y, told, sides(half.reader.glimpse))

    top = y + side / 2 + 40
    groups = [half.reader.classifier for half in halves]
    rows = _rows(halves, groups, top + 64)
    for half in halves:
        steps = half.reader.steps
        told = "reads the row" if steps == 1 else f"the same {steps} times"
        half.band(top, rows[-1][1] + 6, "classifier", "read", told)
    for half, stages in zip(halves, groups, strict=True):
        for (middle, _), stage in zip(rows, stages, strict=True):
            half.stage(middle, stage, "read")
    for half in halves:
        at, below = rows[-1][1] + 44, half.above[0][3] + 5
        canvas.arrow([(half.axis, below), (half.axis, at - 14)])
        canvas.text(half.axis, at + 10, sides(half.reader.logits), "label", kind="loud")
        canvas.text(half.words, at + 10, "digits × classes", "small", "start", "quiet")
    told = ["grey numbers: parameters", shapes.KEY]
    canvas.lines(WIDTH / 2, at + 52, told, "small", kind="quiet")


def _rows(halves, groups, top: float) -> list[tuple[float, float]]:
    """Middle and bottom of each row from `top` down. ValueError for groups that differ."""
    if len(groups[0]) != len(groups[1]):
        raise ValueError(f"the networks have {[len(g) for g in groups]} stages; wanted as many")
    found = []
    for pair in zip(*groups, strict=True):
        high = max(half.height(stage) for half, stage in zip(halves, pair, strict=True))
        found.append((top + high / 2, top + high))
        top += high
    return found


def both() -> tuple[Canvas, str, str]:
    """LJ's network of one glimpse beside SK's of one a digit."""
    readers = [
        reader_of("ffn-spn", "lj", "LJ’s FFN-SPN", "looks once"),
        reader_of("rnn-spn", "sk", "SK’s RNN-SPN", "once a digit"),
    ]
    canvas = Canvas("readers")
    halves = [Half(canvas, left, reader) for left, reader in zip((6, 366), readers, strict=True)]
    draw(canvas, halves, row_of_digits())
    count = [thousands(reader.parameters).replace("\u202f", " ") for reader in readers]
    title = (
        f"Two readers of digit rows: LJ's FFN-SPN, {count[0]} parameters, and SK's RNN-SPN, "
        f"{count[1]}"
    )
    return canvas, title, " ".join(described(reader) for reader in readers)


def described(reader: Reader) -> str:
    """One half of the drawing in words."""
    once = reader.steps == 1
    looks = "one theta" if once else f"{reader.steps} thetas, one after another"
    return (
        f"{reader.title}: from an image of {sides((1, *SIZE))} the localiser "
        f"({said(reader.localiser)}) makes {looks}, each {sides(reader.theta)}; the sampler reads "
        f"{'one glimpse' if once else f'{reader.steps} glimpses of the same image'}, "
        f"{sides(reader.glimpse)}; the classifier ({said(reader.classifier)}) "
        f"{'reads the whole row' if once else 'reads each glimpse with the same weights'}, which "
        f"gives {sides(reader.logits)} numbers, a row a digit."
    )
