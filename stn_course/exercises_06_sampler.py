"""Exercise 6.2, the sampler in keras.ops: the reference, inputs, known bugs. Needs TensorFlow."""

import numpy as np

from stn_course.exercises import Exercise

NO_SLOPE = "no gradient"


def sample(images, grid):
    """images [B, h, w, C], grid [B, H, W, 2] -> [B, H, W, C]; outside is 0."""
    from stn_course.keras_twin import ops

    batch, h, w, channels = ops.shape(images)
    flat = ops.reshape(images, (-1, channels))  # [B*h*w, C]
    x, y = ((grid[..., 0] + 1) * w - 1) / 2, ((grid[..., 1] + 1) * h - 1) / 2
    first = ops.arange(batch, dtype="int32")[:, None, None] * (h * w)
    out = 0
    for row in (ops.floor(y), ops.floor(y) + 1):
        for column in (ops.floor(x), ops.floor(x) + 1):
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            weight = (1 - ops.abs(x - column)) * (1 - ops.abs(y - row))
            weight = ops.where(inside, weight, ops.zeros_like(weight))
            r = ops.cast(ops.clip(row, 0, h - 1), "int32")
            c = ops.cast(ops.clip(column, 0, w - 1), "int32")
            out = out + weight[..., None] * ops.take(flat, first + r * w + c, axis=0)
    return out


def cases():
    """Images, places inside and outside (off the pixels' centres), and what the loss weighs."""
    dice = np.random.default_rng(62)
    for b, h, w, channels, size in ((2, 4, 6, 3, (3, 5)), (3, 5, 3, 1, (4, 2))):
        kind = "float32" if channels == 3 else "float64"
        images = dice.random((b, h, w, channels), "float32").astype(kind)
        grid = dice.uniform(-1.4, 1.4, (b, *size, 2)).astype(kind)
        yield images, grid, dice.standard_normal((b, *size, channels)).astype(kind)


def ask(function, case):
    """What it returns, and the gradients to the images and to the grid."""
    from stn_course.keras_twin.quiet import load_tensorflow

    tf = load_tensorflow()
    images, grid, upstream = (tf.constant(each) for each in case)
    with tf.GradientTape() as tape:
        tape.watch([images, grid])
        out = function(images, grid)
        if tuple(getattr(out, "shape", ())) != case[2].shape:
            return out
        loss = tf.reduce_sum(out * upstream)
    slopes = tape.gradient(loss, [images, grid])
    kept = [NO_SLOPE if s is None else tf.convert_to_tensor(s).numpy() for s in slopes]
    return [out.numpy(), *kept]


# ---------------------------------------------------------------- known bugs
def _sample(images, grid, corners=False, swapped=False, outside="zero", weights="bilinear"):
    from stn_course.keras_twin import ops

    batch, h, w, channels = ops.shape(images)
    flat = ops.reshape(images, (-1, channels))
    gx, gy = (grid[..., 1], grid[..., 0]) if swapped else (grid[..., 0], grid[..., 1])
    if corners:
        x, y = (gx + 1) / 2 * (w - 1), (gy + 1) / 2 * (h - 1)
    else:
        x, y = ((gx + 1) * w - 1) / 2, ((gy + 1) * h - 1) / 2
    if weights == "nearest":
        x, y = ops.round(x), ops.round(y)
    if weights == "detached":
        x, y = ops.stop_gradient(x), ops.stop_gradient(y)
    first = ops.arange(batch, dtype="int32")[:, None, None] * (h * w)
    out = 0
    for row in (ops.floor(y), ops.floor(y) + 1):
        for column in (ops.floor(x), ops.floor(x) + 1):
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            weight = (1 - ops.abs(x - column)) * (1 - ops.abs(y - row))
            if outside == "zero":
                weight = ops.where(inside, weight, ops.zeros_like(weight))
            if outside == "next row":
                place = row * w + column
                whole = (place >= 0) & (place < h * w)
                weight = ops.where(whole, weight, ops.zeros_like(weight))
                index = first + ops.cast(ops.clip(place, 0, h * w - 1), "int32")
            else:
                r = ops.cast(ops.clip(row, 0, h - 1), "int32")
                index = first + r * w + ops.cast(ops.clip(column, 0, w - 1), "int32")
            out = out + weight[..., None] * ops.take(flat, index, axis=0)
    return out


def _corners(images, grid):
    return _sample(images, grid, corners=True)


def _swapped(images, grid):
    return _sample(images, grid, swapped=True)


def _border(images, grid):
    return _sample(images, grid, outside="border")


def _next_row(images, grid):
    return _sample(images, grid, outside="next row")


def _nearest(images, grid):
    return _sample(images, grid, weights="nearest")


def _detached(images, grid):
    return _sample(images, grid, weights="detached")


def _channels_first(images, grid):
    from stn_course.keras_twin import ops

    return ops.moveaxis(sample(images, grid), -1, 1)


EXERCISE = Exercise(
    sample,
    cases,
    {
        "-1 and 1 are taken for the centres of the outer pixels (align_corners=True); here they "
        "are the edges": _corners,
        "x and y are swapped: grid[..., 0] is x and counts columns": _swapped,
        "what lies outside repeats the border; a neighbour outside counts as 0": _border,
        "a neighbour beyond the end of a row is read from the next row: test row and column, not "
        "their sum": _next_row,
        "this reads the nearest pixel: there is no slope, and theta would never learn": _nearest,
        "the values are right, and no gradient reaches the grid: the weights are detached from "
        "it": _detached,
        "the channels come first; in Keras they are last, [B, H, W, C]": _channels_first,
    },
    "for each of the four neighbours: a weight from the distances, 0 if it is outside, times "
    "ops.take(flat, b * h * w + row * w + column, axis=0) with row and column clipped",
    tolerance=2e-5,
    ask=ask,
)
