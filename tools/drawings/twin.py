"""The Keras twin beside the torch network: in which order each keeps its maps and weights.

Needs Keras and TensorFlow, which are loaded when the drawing is made.
"""

from dataclasses import dataclass

import numpy as np

from stn_course import models
from tools.drawings import shapes, trace
from tools.drawings.canvas import WIDTH, Canvas, line_height, n
from tools.drawings.trace import Stage, sides
from tools.drawings.transformer import AIR

NAME, SIZE = "stn-cnn", (28, 28)  # the network of notebook 06
SCALE = 3.0  # units a pixel
GLYPH, WORDS = 60, 118  # from the left edge; the right side is its mirror
ROW = 100
FLAT = 64  # height of a flattened map
BANDS = ("locate", "look", "read", "back")  # the channels of a flattened map, in turns


@dataclass(frozen=True)
class Row:
    """A layer in both frameworks: shapes of what comes out, and of the kernel; how it is carried.

    `carried`: "" for no weights, else "axes", "transposed" or "reordered".
    """

    words: tuple[str, ...]
    torch: tuple[int, ...]
    keras: tuple[int, ...]
    kernels: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    carried: str = ""
    kind: str = "locate"


def carried(pair) -> str:
    """What is done to a kernel on its way to Keras, by trying it on numbers that are all unlike."""
    shape = tuple(pair.tensor.shape)
    given = np.arange(np.prod(shape)).reshape(shape)
    got = pair.to_keras(given)
    if len(shape) == 4 and np.array_equal(got, given.transpose(2, 3, 1, 0)):
        return "axes"
    if len(shape) == 2 and np.array_equal(got, given.T):
        return "transposed"
    if len(shape) == 2 and np.array_equal(np.sort(got, axis=0), np.sort(given.T, axis=0)):
        return "reordered"
    raise ValueError(f"{pair.name} {shape} is carried in a way that the drawing has no word for")


def keras_shapes(twin) -> list[tuple[int, ...]]:
    """What comes out of each stage of `twin`, in the order of `rows_of`, without the batch."""
    from stn_course import keras_twin
    from stn_course.keras_twin.parity import HELPERS

    layers, found = keras_twin.keras.layers, []

    def walk(layer, shape):
        if isinstance(layer, keras_twin.SpatialTransformer):
            walk(layer.head, walk(layer.localiser, shape))
            found.append(tuple(layer.compute_output_shape(shape)))
            return found[-1]
        if hasattr(layer, "layers"):
            for each in layer.layers:
                shape = walk(each, shape)
            return shape
        shape = tuple(layer.compute_output_shape(shape))
        opens = layer.weights and not isinstance(layer, layers.BatchNormalization)
        if opens or isinstance(layer, layers.Flatten):
            found.append(shape)
        elif found and not isinstance(layer, HELPERS):  # padding belongs to what comes next
            found[-1] = shape
        return shape

    walk(twin, tuple(twin.input_shape))
    return [shape[1:] for shape in found]


def rows_of() -> list[Row]:
    """The rows of the drawing. Raises ValueError where the two do not go the same way."""
    from stn_course import keras_twin
    from stn_course.keras_twin.weights import pairs

    model = models.build(NAME, size=SIZE)
    twin = keras_twin.from_torch(model, (1, *SIZE))
    before, transformer, after = trace.split(trace.trace(model, 1, SIZE))
    kernels = iter(pair for pair in pairs(model, twin) if pair.name == "kernel")
    theirs = iter(keras_shapes(twin))
    found: list[Row] = []

    def add(stages: list[Stage], kind: str) -> None:
        for stage in stages:
            if stage.flat:
                flat = (stage.flat,)
                found.append(Row(("flatten",), flat, next(theirs), kind=kind))
            pair = next(kernels)
            both = tuple(pair.tensor.shape), tuple(pair.variable.shape)
            found.append(Row(stage.words, stage.shape, next(theirs), both, carried(pair), kind))

    add(trace.stages(before), "locate")
    found.append(Row(("sampler", "reads at θ"), transformer.went, next(theirs), kind="look"))
    add(trace.stages(after), "read")
    left = [*kernels, *theirs]
    if left:
        raise ValueError(f"the twin has {len(left)} things more than the drawing's rows")
    for row in found:
        height_last = (*row.torch[1:], row.torch[0]) if len(row.torch) == 3 else row.torch
        if height_last != row.keras:
            raise ValueError(f"{row.words}: {row.torch} in torch, {row.keras} in Keras")
    return found


# ---------------------------------------------------------------- marks
def block(canvas: Canvas, x: float, y: float, shape, scale: float, kind: str) -> tuple:
    """A map [H, W, C] around (x, y) as one block: its front is cut into pixels.

    Each pixel's channels lie behind one another in the block, as they do in memory.
    """
    height, width, channels = shape
    deep = shapes.STEP * (shapes.plate_count(channels) - 1)
    w, h = max(shapes.LEAST, scale * width), max(shapes.LEAST, scale * height)
    left, top = x - (w + deep) / 2, y - (h + deep) / 2
    front, right = top + deep, left + w
    if deep:
        lid = [(left, front), (left + deep, top), (right + deep, top), (right, front)]
        side = [(right, front), (right + deep, top), (right + deep, top + h), (right, front + h)]
        for face in (lid, side):
            d = "M" + "L".join(f"{n(a)} {n(b)}" for a, b in face) + "Z"
            canvas.path(d, f"plate {kind}")
    canvas.rect(left, front, w, h, f"plate {kind}", 0)
    cuts = 4 if min(w, h) >= 20 else 2  # finer lines would run together
    lines = ""
    for k in range(1, cuts):
        across, down = left + w * k / cuts, front + h * k / cuts
        lines += f"M{n(across)} {n(front)}v{n(h)}M{n(left)} {n(down)}h{n(w)}"
        if deep:
            lines += f"M{n(across)} {n(front)}l{n(deep)} {n(-deep)}"
            lines += f"M{n(right)} {n(down)}l{n(deep)} {n(-deep)}"
    canvas.path(lines, f"plate {kind} cells")
    return left, top, right + deep, front + h


def flattened(canvas: Canvas, x: float, y: float, turns: int) -> tuple:
    """A flattened map: its channels, a colour each, `turns` times one after another."""
    pieces = turns * len(BANDS)
    high, left, top = FLAT / pieces, x - 12, y - FLAT / 2
    for k in range(pieces):
        kind = BANDS[k % len(BANDS)]
        canvas.add(
            f'<rect class="{kind}-mark" x="{n(left)}" y="{n(top + high * k)}" width="24" '
            f'height="{n(high)}"/>'
        )
    canvas.rect(left, top, 24, FLAT, "frame", 0)
    return left, top, left + 24, top + FLAT


SAID = {
    "axes": ("axes 2, 3, 1, 0",),
    "transposed": ("transposed",),
    "reordered": ("transposed", "and reordered"),
}


def draw_row(canvas: Canvas, y: float, row: Row) -> tuple[tuple, tuple]:
    """One layer around `y`: torch at the left, Keras at the right, what is done in between."""
    line, right = line_height("small"), WIDTH - GLYPH
    if row.words == ("flatten",):
        boxes = flattened(canvas, GLYPH, y, 1), flattened(canvas, right, y, 4)
        told = ("map by map", "by pixel")
    elif len(row.torch) == 3:
        boxes = (
            shapes.plates(canvas, GLYPH, y, row.torch, SCALE, row.kind),
            block(canvas, right, y, row.keras, SCALE, row.kind),
        )
        told = None
    else:
        boxes = tuple(shapes.bar(canvas, x, y, row.torch[0], row.kind) for x in (GLYPH, right))
        told = None
    if told is None:
        told = tuple(sides(kernel) for kernel in row.kernels) if row.kernels else ("", "")
    is_map = len(row.torch) == 3
    ends = str(row.torch[0]), str(row.keras[-1])
    for x, anchor, shape, accent, below in zip(
        (WORDS, WIDTH - WORDS), ("start", "end"), (row.torch, row.keras), ends, told, strict=True
    ):
        accent = accent if is_map else ""
        high = y - 6 if below else y + 8
        canvas.text(x, high, sides(shape), "small", anchor, "loud", accent)
        if below:
            canvas.text(x, high + line, below, "small", anchor, "quiet")
    _between(canvas, y, row)
    return boxes


def _between(canvas: Canvas, y: float, row: Row) -> None:
    """The layer's name, and how its kernel is carried over."""
    middle, line = WIDTH / 2, line_height("small")
    first, *rest = row.words
    if not row.carried:
        shown = [first, *rest]
        canvas.text(middle, y + 8 - line * (len(rest) / 2), first, "small", kind="loud")
        canvas.lines(middle, y + 8 - line * (len(rest) / 2) + line, shown[1:], "small")
        return
    shrinks = ", pool" if any(word.startswith("pool") for word in rest) else ""
    said, loud = SAID[row.carried], row.carried == "reordered"
    wide, high = 188, 8 + line * len(said)
    top = y + 14 - high / 2
    canvas.text(middle, top - 12, first + shrinks, "small", kind="loud")
    mark = "look heavy" if loud else "image"
    canvas.rect(middle - wide / 2, top, wide, high, f"plate {mark}", 17)
    canvas.lines(middle, top + 25, said, "small", kind="loud" if loud else "")


def draw(rows: list[Row]) -> Canvas:
    canvas, line = Canvas("twin"), line_height("small")
    right = WIDTH - 14
    canvas.text(14, 34, "torch", "title", "start")
    canvas.text(right, 34, "Keras", "title", "end")
    canvas.text(WIDTH / 2, 32, "the same weights", "label", kind="loud")
    for x, anchor, order, accent, kept in (
        (14, "start", "C×H×W", "C", "map after map"),
        (right, "end", "H×W×C", "C", "pixel after pixel"),
    ):
        canvas.text(x, 66, order, "small", anchor, "loud", accent)
        canvas.text(x, 66 + line, kept, "small", anchor, "quiet")
    canvas.text(WIDTH / 2, 66, "carried over", "small", kind="quiet")
    y, image = 66 + line + 62, (1, *SIZE)
    first = Row(("image",), image, (*SIZE, 1), kind="image")
    before = draw_row(canvas, y, first)
    for row in rows:
        y += ROW
        boxes = draw_row(canvas, y, row)
        for above, box in zip(before, boxes, strict=True):
            x = (box[0] + box[2]) / 2
            canvas.arrow([(x, above[3] + AIR / 2), (x, box[1] - AIR / 2)], head=8)
        before = boxes
    told = ["grey: the kernel’s shape in torch and in Keras", "a bias stays as it is", shapes.KEY]
    canvas.lines(WIDTH / 2, y + 72, told, "small", kind="quiet")
    return canvas


def layout() -> tuple[Canvas, str, str]:
    rows = rows_of()
    title = "The same spatial transformer in torch and in Keras: the order of maps and weights"
    return draw(rows), title, described(rows)


def described(rows: list[Row]) -> str:
    ways = {
        "axes": "its kernel with the axes in the order 2, 3, 1, 0",
        "transposed": "its kernel transposed",
        "reordered": "its kernel transposed and its inputs put from map order into pixel order",
    }
    found = ["Layer by layer, torch's shapes, channels first, and Keras's, channels last."]
    for row in rows:
        text = f"{', '.join(row.words)}: {sides(row.torch)} and {sides(row.keras)}"
        if row.kernels:
            text += f", {ways[row.carried]}, {' to '.join(sides(k) for k in row.kernels)}"
        found.append(text + ".")
    return " ".join(found)
