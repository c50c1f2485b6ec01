"""The exercises of notebook 06: references, the inputs they are tried on, known bugs.

6.2 needs TensorFlow.
"""

import numpy as np
import torch
from torch.nn import functional as F

from stn_course.lessons.checking import Exercise, WrongAnswer

# ---------------------------------------------------------------- 6.1 the order of a flatten
flattened = Exercise(
    "6.1",
    hint="reshape to [out, C, h, w], bring the axes into the order h, w, C, out, flatten the first "
    "three",
    tolerance=1e-12,
)


@flattened.reference
def dense_kernel(weight, shape):
    """weight [out, C*h*w] of torch, shape (h, w, C) -> kernel [h*w*C, out] of Keras."""
    h, w, channels = shape
    maps = weight.reshape(-1, channels, h, w)  # one map a unit
    return maps.transpose(2, 3, 1, 0).reshape(h * w * channels, -1)


@flattened.cases
def _():
    for seed, out, shape in ((1, 3, (2, 4, 5)), (2, 2, (3, 2, 4)), (3, 4, (5, 1, 2))):
        yield np.random.default_rng(seed).random((out, int(np.prod(shape)))), shape


@flattened.bug(
    "transposed, but the inputs are still in torch's order, channel by channel; Keras flattens "
    "pixel by pixel"
)
def _(weight, shape):
    return weight.T


@flattened.bug(
    "the way back: torch's numbers lie as [out, C, h, w], not as [out, h, w, C]; reshape to that "
    "first"
)
def _(weight, shape):
    h, w, channels = shape
    return weight.reshape(-1, h, w, channels).transpose(3, 1, 2, 0).reshape(weight.shape[1], -1)


@flattened.bug(
    "this has only been reshaped, and all numbers lie as before: axes have to change places"
)
def _(weight, shape):
    return weight.reshape(weight.shape[::-1])


@flattened.bug(
    "this is the kernel, seen as [h*w*C, out] in the wrong order: bring `out` to the end before "
    "you flatten"
)
def _(weight, shape):
    h, w, channels = shape
    maps = weight.reshape(-1, channels, h, w).transpose(0, 2, 3, 1)
    return maps.reshape(weight.shape[1], -1)


@flattened.bug("the channels come first, then rows and columns swapped: wanted (h, w, C)")
def _(weight, shape):
    h, w, channels = shape
    maps = weight.reshape(-1, channels, h, w)
    return maps.transpose(1, 3, 2, 0).reshape(weight.shape[1], -1)


@flattened.bug("the kernel is still four-dimensional: flatten h, w and C to one")
def _(weight, shape):
    h, w, channels = shape
    return dense_kernel(weight, shape).reshape(h, w, channels, -1)


@flattened.bug("rows and columns are swapped: Keras flattens row by row, (h, w, C)")
def _(weight, shape):
    h, w, channels = shape
    maps = weight.reshape(-1, channels, h, w)
    return maps.transpose(3, 2, 1, 0).reshape(weight.shape[1], -1)


@flattened.bug(
    "the inputs are in the right order, but the kernel is [out, in]; Keras has [in, out]"
)
def _(weight, shape):
    return dense_kernel(weight, shape).T


# ---------------------------------------------------------------- 6.2 a sampler in keras.ops
neighbours = Exercise(
    "6.2",
    hint="for each of the four neighbours: a weight from the distances, 0 if it is outside, times "
    "ops.take(flat, b * h * w + row * w + column, axis=0) with row and column clipped; b counts "
    "to ops.shape(images)[0]",
    tolerance=2e-5,
)


@neighbours.reference
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


@neighbours.cases
def _():
    """Images, places inside and outside (off the pixels' centres), and what the loss weighs."""
    generator = np.random.default_rng(62)
    for b, h, w, channels, size in ((2, 4, 6, 3, (3, 5)), (3, 5, 3, 1, (4, 2))):
        kind = "float32" if channels == 3 else "float64"
        images = generator.random((b, h, w, channels), "float32").astype(kind)
        grid = generator.uniform(-1.4, 1.4, (b, *size, 2)).astype(kind)
        yield images, grid, generator.standard_normal((b, *size, channels)).astype(kind)


PARTS = ("values", "gradient to the images", "gradient to the grid", "values of a graph")
NO_SLOPE = "no gradient"
NO_GRAPH = "no graph can be made of it"


@neighbours.ask
def _(function, case):
    """What it returns, the gradients to the images and to the grid, and what a graph of it gives.

    The graph is made for a batch of any size, as Keras makes one of a model.
    """
    from stn_course.keras_twin.loading import load_tensorflow

    tf = load_tensorflow()
    images, grid, upstream = (tf.constant(each) for each in case)
    with tf.GradientTape() as tape:
        tape.watch([images, grid])
        out = function(images, grid)
        if tuple(getattr(out, "shape", ())) != case[2].shape:
            return out
        if out.dtype != images.dtype:
            given = getattr(out.dtype, "name", out.dtype)
            raise WrongAnswer(f"it gives {given}; wanted {images.dtype.name}, as images")
        loss = tf.reduce_sum(out * upstream)
    slopes = tape.gradient(loss, [images, grid])
    slopes = [None if s is None else tf.convert_to_tensor(s).numpy() for s in slopes]
    kept = [NO_SLOPE if s is None or not s.any() else s for s in slopes]
    known = [tf.TensorSpec([None, *x.shape[1:]], x.dtype) for x in (images, grid)]
    try:
        graph = tf.function(function, input_signature=known, autograph=False)
        of_graph = graph(images, grid).numpy()
    except Exception:
        of_graph = NO_GRAPH
    of_all = [tf.convert_to_tensor(out).numpy(), *kept, of_graph]
    return dict(zip(PARTS, of_all, strict=True))


def _sample(
    images, grid, corners=False, swapped=False, outside="zero", weights="bilinear", of="all", half=1
):
    """`sample` with one thing changed."""
    from stn_course.keras_twin import ops

    batch, h, w, channels = ops.shape(images)
    batch = images.shape[0] if of == "known" else batch
    flat = ops.reshape(images, (-1, channels))
    gx, gy = (grid[..., 1], grid[..., 0]) if swapped else (grid[..., 0], grid[..., 1])
    if corners:
        x, y = (gx + 1) / 2 * (w - 1), (gy + 1) / 2 * (h - 1)
    else:
        x, y = ((gx + 1) * w - half) / 2, ((gy + 1) * h - half) / 2
    if weights == "nearest":
        x, y = ops.round(x), ops.round(y)
    if weights == "detached":
        x, y = ops.stop_gradient(x), ops.stop_gradient(y)
    first = ops.arange(batch, dtype="int32")[:, None, None] * (0 if of == "first" else h * w)
    out = 0
    for row in (ops.floor(y), ops.floor(y) + 1):
        for column in (ops.floor(x), ops.floor(x) + 1):
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            weight = (1 - ops.abs(x - column)) * (1 - ops.abs(y - row))
            if weights == "average":
                weight = ops.zeros_like(weight) + 0.25
            if weights == "exchanged":
                weight = ops.abs(x - column) * ops.abs(y - row)
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


@neighbours.bug(
    "-1 and 1 are taken for the centres of the outer pixels (align_corners=True); here they are "
    "the edges"
)
def _(images, grid):
    return _sample(images, grid, corners=True)


@neighbours.bug("x and y are swapped: grid[..., 0] is x and counts columns")
def _(images, grid):
    return _sample(images, grid, swapped=True)


@neighbours.bug("what lies outside repeats the border; a neighbour outside counts as 0")
def _(images, grid):
    return _sample(images, grid, outside="border")


@neighbours.bug(
    "a neighbour beyond the end of a row is read from the next row: test row and column, not their "
    "sum"
)
def _(images, grid):
    return _sample(images, grid, outside="next row")


@neighbours.bug("this reads the nearest pixel: there is no slope, and theta would never learn")
def _(images, grid):
    return _sample(images, grid, weights="nearest")


@neighbours.bug(
    "the values are right, and no gradient reaches the grid: the weights are detached from it"
)
def _(images, grid):
    return _sample(images, grid, weights="detached")


@neighbours.bug(
    "no graph can be made of it: is the batch images.shape[0]? While a graph is made that may be "
    "None; ops.shape(images)[0] is known then, too"
)
def _(images, grid):
    return _sample(images, grid, of="known")


@neighbours.bug(
    "every place is read from the first image: flat holds all of them, so image b begins at row "
    "b * h * w"
)
def _(images, grid):
    return _sample(images, grid, of="first")


@neighbours.bug(
    "half a pixel off: x = -1 is the left edge of pixel 0, half a pixel before its centre: "
    "((x + 1) w - 1)/2"
)
def _(images, grid):
    return _sample(images, grid, half=0)


@neighbours.bug(
    "this is the average of the four neighbours: the nearer one lies, the more it counts, "
    "(1 - |x - column|)(1 - |y - row|)"
)
def _(images, grid):
    return _sample(images, grid, weights="average")


@neighbours.bug("the weights are distances: the nearer a neighbour, the more it counts, 1 - |...|")
def _(images, grid):
    return _sample(images, grid, weights="exchanged")


@neighbours.bug("the values are right, and no gradient reaches the images: they were detached")
def _(images, grid):
    from stn_course.keras_twin import ops

    return _sample(ops.stop_gradient(images), grid)


@neighbours.bug(
    "the values are right, and no gradient reaches images or grid: stop_gradient() lets none "
    "through"
)
def _(images, grid):
    from stn_course.keras_twin import ops

    return ops.stop_gradient(sample(images, grid))


@neighbours.bug(
    "the values are right, and neither a gradient nor a graph is left: numpy() and NumPy's own "
    "functions cut both off; stay in keras.ops all the way"
)
def _(images, grid):
    from stn_course.keras_twin import ops

    return ops.convert_to_tensor(sample(images, grid).numpy())


@neighbours.bug("the channels come first; in Keras they are last, [B, H, W, C]")
def _(images, grid):
    from stn_course.keras_twin import ops

    return ops.moveaxis(sample(images, grid), -1, 1)


# ---------------------------------------------------------------- 6.3 the sabotaged layer
sabotaged = Exercise(
    "6.3",
    hint="in order of the layers: bring Keras's output into torch's order, and compare the largest "
    "difference with 1e-4 of the largest value",
)


@sabotaged.reference
def first_wrong(layers):
    """layers: (name, torch's output, Keras's), in order -> the first name that differs.

    None if none does. Maps are [B, C, h, w] and [B, h, w, C]; "flatten" follows a map.
    """
    for name, ours, theirs in layers:
        if ours.ndim == 4:
            shape = ours.shape  # (B, C, h, w)
            theirs = theirs.transpose(0, 3, 1, 2)
        elif name == "flatten":
            batch, channels, h, w = shape
            theirs = theirs.reshape(batch, h, w, channels)
            theirs = theirs.transpose(0, 3, 1, 2).reshape(ours.shape)
        if np.abs(ours - theirs).max() > 1e-4 * np.abs(ours).max():
            return name
    return None


NAMES = ("conv", "norm", "relu", "pool", "flatten", "dense", "relu 2", "logits")
SABOTAGE = (None, "conv", "norm", "dense", "logits", "relu 2", "flatten", "channels")


def _network(x, sabotage=None) -> list[np.ndarray]:
    """Every layer's output of a small network; one of them does not do what it should."""
    generator = torch.Generator().manual_seed(6)

    def some(*shape):
        return torch.randn(*shape, generator=generator) / 3

    kernel, dense, last = some(4, 2, 3, 3), some(6, 48), 3 * some(5, 6)
    mean, variance = some(4), 0.2 + some(4).square()
    order = [1, 0, 2, 3] if sabotage == "channels" else [0, 1, 2, 3]
    steps = [F.conv2d(x, kernel.mT if sabotage == "conv" else kernel[order])]
    eps = 1e-3 if sabotage == "norm" else 1e-5  # Keras's own and torch's own
    steps.append(F.batch_norm(steps[-1], mean, variance, eps=eps))
    steps.append(F.relu(steps[-1]))
    steps.append(F.max_pool2d(steps[-1], 2))  # [B, 4, 3, 4]
    steps.append(steps[-1].flatten(1))
    if sabotage == "dense":  # its inputs in the order of the other framework
        dense = dense.view(6, 4, 12).transpose(1, 2).reshape(6, 48)
    steps.append(F.linear(steps[-1], dense))
    steps.append(F.elu(steps[-1]) if sabotage == "relu 2" else F.relu(steps[-1]))
    steps.append(F.linear(steps[-1], last, torch.ones(5) if sabotage == "logits" else None))
    return steps


@sabotaged.cases
def _():
    x = torch.rand(3, 2, 8, 10, generator=torch.Generator().manual_seed(7))
    generator = np.random.default_rng(8)
    for sabotage in SABOTAGE:
        layers = []
        for name, a, b in zip(NAMES, _network(x), _network(x, sabotage), strict=True):
            if name == "flatten":
                b = layers[-1][2]
                b = (b.transpose(0, 3, 1, 2) if sabotage == "flatten" else b).reshape(len(x), -1)
            else:
                b = (b.permute(0, 2, 3, 1) if b.ndim == 4 else b).numpy()
                if name != "conv":  # its sums happen to be taken in one order
                    b = b + 1e-6 * np.abs(b).max() * generator.standard_normal(b.shape)
            layers.append((name, a.numpy(), b.astype(np.float32)))
        yield (layers,)
        if sabotage is None:  # as large as a picture in 0 to 255 would make them
            yield ([(name, 1000 * a, 1000 * b) for name, a, b in layers],)
        if sabotage == "logits":
            yield (_hardly_wrong(layers),)


def _hardly_wrong(layers):
    """The last three, no maps: two numbers of the first are off, by as much to either side."""
    (name, ours, _), (relu, same, _), last = layers[-3:]
    theirs = ours.copy()
    theirs[0, 0] += 5e-4 * np.abs(ours).max()
    theirs[1, 1] -= 5e-4 * np.abs(ours).max()
    return [(name, ours, theirs), (relu, same, same.copy()), last]


def _in_one_order(layers):
    """The same, with Keras's outputs in torch's order."""
    found, shape = [], None
    for name, ours, theirs in layers:
        if ours.ndim == 4:
            shape, theirs = ours.shape, theirs.transpose(0, 3, 1, 2)
        elif name == "flatten":
            batch, channels, h, w = shape
            theirs = theirs.reshape(batch, h, w, channels).transpose(0, 3, 1, 2)
        found.append((name, ours, theirs.reshape(ours.shape)))
    return found


@sabotaged.bug(
    "this is the layer with the largest difference: errors grow on their way, look for the first"
)
def _(layers):
    gaps = {name: np.abs(a - b).max() for name, a, b in _in_one_order(layers)}
    name = max(gaps, key=gaps.get)
    return name if gaps[name] > 1e-4 else None


@sabotaged.bug(
    "bit for bit hardly any layer agrees: sums are taken in another order; allow for rounding, say "
    "1e-4 of the layer's largest value (not of each number: sums near 0 are off by more than that)"
)
def _(layers):
    return next((name for name, a, b in _in_one_order(layers) if (a != b).any()), None)


@sabotaged.bug("maps are compared as they lie in memory: bring [B, h, w, C] to [B, C, h, w] first")
def _(layers):
    for name, a, b in layers:
        if np.abs(a - b.reshape(a.shape)).max() > 1e-4 * np.abs(a).max():
            return name
    return None


@sabotaged.bug(
    "flatten is blamed, and it only counts in another order; put its numbers into one order, too"
)
def _(layers):
    for name, a, b in layers:
        b = b.transpose(0, 3, 1, 2) if a.ndim == 4 else b
        if np.abs(a - b).max() > 1e-4 * np.abs(a).max():
            return name
    return None


@sabotaged.bug("so generous a tolerance overlooks a batch norm with the other framework's epsilon")
def _(layers):
    for name, a, b in _in_one_order(layers):
        if np.abs(a - b).max() > 0.05 * np.abs(a).max():
            return name
    return None


@sabotaged.bug(
    "numbers are compared in the order of their size: two channels that are exchanged are not seen"
)
def _(layers):
    for name, a, b in layers:
        a, b = np.sort(a.ravel()), np.sort(b.ravel())
        if np.abs(a - b).max() > 1e-4 * np.abs(a).max():
            return name
    return None


@sabotaged.bug("1e-4 is a share of the layer's largest value, not a number for all layers")
def _(layers):
    return next((n for n, a, b in _in_one_order(layers) if np.abs(a - b).max() > 1e-4), None)


@sabotaged.bug(
    "a layer passes whose largest difference is 5e-4 of its largest value: a mean hides it, and so "
    "does a wider tolerance; wrong means the largest, above 1e-4"
)
def _(layers):
    ordered = _in_one_order(layers)
    wrong = (n for n, a, b in ordered if np.abs(a - b).mean() > 1e-4 * np.abs(a).max())
    return next(wrong, None)


@sabotaged.bug("differences to both sides cancel: take abs() before you add them up")
def _(layers):
    ordered = _in_one_order(layers)
    wrong = (n for n, a, b in ordered if abs((a - b).sum()) > 1e-4 * np.abs(a).max())
    return next(wrong, None)


@sabotaged.bug("flatten is passed over: it can be wrong as well")
def _(layers):
    return first_wrong([layer for layer in layers if layer[0] != "flatten"])


@sabotaged.bug(
    "a network in which nothing is wrong has a culprit, too: where no layer differs, return None"
)
def _(layers):
    return first_wrong(layers) or layers[-1][0]


@sabotaged.bug("this is the layer before the one that differs")
def _(layers):
    names, found = [name for name, _, _ in layers], first_wrong(layers)
    return found and names[max(names.index(found) - 1, 0)]


@sabotaged.bug("this is the layer behind the one that differs")
def _(layers):
    names, found = [name for name, _, _ in layers], first_wrong(layers)
    return found and names[min(names.index(found) + 1, len(names) - 1)]


@sabotaged.bug("this is the last layer that differs; the culprit is the first")
def _(layers):
    wrong = [n for n, a, b in _in_one_order(layers) if np.abs(a - b).max() > 1e-4 * np.abs(a).max()]
    return wrong[-1] if wrong else None
