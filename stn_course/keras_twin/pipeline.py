"""`tf.data` that distorts digits inside the graph: the recipes of `data.distort` again.

Random numbers are stateless: a batch's distortion depends on the two numbers that it is given.
"""

import math
from collections.abc import Callable

import numpy as np

from stn_course.data.distortions import HARD, HR, MILD, RTS, R, Ranges
from stn_course.geometry import one_of
from stn_course.keras_twin.loading import load_tensorflow
from stn_course.keras_twin.sampling import warp

tf = load_tensorflow()

# Each recipe's branches, one of which is drawn for each image; and its canvas (height, width),
# None for the picture's own.
RECIPES: dict[str, tuple[tuple[Ranges, ...], tuple[int, int] | None]] = {
    "hard": (HARD, None),
    "mild": (MILD, None),
    "hr": ((HR,), (40, 40)),
    "r": ((R,), None),
    "rts": ((RTS,), (42, 42)),
}


def theta_from(ranges: Ranges, u, size: tuple[int, int] = (1, 1)):
    """theta [n, 2, 3] of numbers u [6, n] in [0, 1), as `distortions.draw_affine` has them.

    `size`: (height, width) of a canvas that is not square, whose pixels turn and shear.
    """
    ratio = size[0] / size[1]

    def between(limits, u):
        return limits[0] + (limits[1] - limits[0]) * u

    def rows(*entries):
        return tf.reshape(tf.stack([*entries, zero, zero, one], 1), (-1, 3, 3))

    one, zero = tf.ones_like(u[0]), tf.zeros_like(u[0])
    shear = ranges.shear * (2 * u[3] - 1) * (math.pi / 180)
    angle = ranges.angle * (2 * u[2] - 1) * (math.pi / 180)
    zoom_x = between(ranges.scale_x, u[0])
    zoom_y = between(ranges.scale_y, u[0] if ranges.one_scale else u[1]) * tf.cos(shear)
    x, y = (2 * ranges.shift * (2 * u[k] - 1) for k in (4, 5))  # the side is 2
    cos, sin = tf.cos(angle), tf.sin(angle)
    motion = {
        "T": rows(one, zero, x, zero, one, y),
        "R": rows(cos, sin * ratio, zero, -sin / ratio, cos, zero),
        "S": rows(one, -tf.tan(shear) * ratio, zero, zero, one, zero),
        "Z": rows(zoom_x, zero, zero, zero, zoom_y, zero),
    }
    content = motion[ranges.order[0]]
    for letter in ranges.order[1:]:
        content = tf.matmul(content, motion[letter])
    return tf.linalg.inv(content)[:, :2]  # theta maps output to input: the way back


def distort(images, recipe: str, seed):
    """`images` [B, h, w, 1] in [0, 1] under `recipe`; seed: two integers.  # [B, H, W, 1]

    Raises ValueError for a recipe that is not in `RECIPES`.
    """
    one_of("recipe", recipe, RECIPES)
    branches, canvas = RECIPES[recipe]
    size = tuple(images.shape[1:3])
    canvas = canvas or size
    n, seed = tf.shape(images)[0], tf.convert_to_tensor(seed)
    u = tf.random.stateless_uniform([8, n], seed)
    theta = tf.stack([theta_from(each, u[:6], canvas) for each in branches])  # [branches, B, 2, 3]
    which = tf.cast(u[6] * len(branches), tf.int32)
    theta = tf.gather_nd(theta, tf.stack([which, tf.range(n)], 1))  # [B, 2, 3]
    theta *= tf.constant([[canvas[1] / size[1]], [canvas[0] / size[0]]], theta.dtype)
    smooth = warp(images, theta, canvas, "zeros")
    if len(branches) == 1:
        return smooth
    blocky = warp(images, theta, canvas, "zeros", mode="nearest")
    return tf.where((u[7] < 0.5)[:, None, None, None], smooth, blocky)  # XQ flips a coin


def digits(images) -> np.ndarray:
    """uint8 [N, C, h, w] of torch as uint8 [N, h, w, C]."""
    return np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())


def frozen(images: np.ndarray, recipe: str, seed: int, batch: int = 2000) -> np.ndarray:
    """uint8 `images` [N, 28, 28, 1], each distorted once, in the graph; uint8 as well."""
    data = tf.data.Dataset.from_tensor_slices(images).batch(batch).enumerate()

    def once(k, some):
        made = distort(tf.cast(some, tf.float32) / 255, recipe, [seed, tf.cast(k, tf.int32)])
        return tf.cast(tf.round(255 * made), tf.uint8)

    return np.concatenate(list(data.map(once).as_numpy_iterator()))


def batches(
    images: np.ndarray, labels: np.ndarray, batch: int, seed: int, recipe: str | None = None
) -> tf.data.Dataset:
    """Batches of (images in [0, 1], labels) in a new order every epoch.

    images: uint8 [N, h, w, C]; labels: whole numbers [N], or [N, D] of rows; they become int64.
    With `recipe` every visit to an image distorts it afresh. Raises TypeError for labels of
    another kind, ValueError for another number of them.
    """
    images, labels = tf.constant(images), tf.constant(labels)
    if not labels.dtype.is_integer:
        raise TypeError(f"labels are {labels.dtype.name}; wanted whole numbers")
    if labels.shape.rank not in (1, 2) or len(labels) != len(images):
        n = len(images)
        raise ValueError(f"labels have shape {list(labels.shape)}; wanted [{n}] or [{n}, digits]")
    labels = tf.cast(labels, tf.int64)
    order = tf.data.Dataset.range(len(images)).shuffle(len(images), seed=seed)
    made = order.batch(batch)
    if recipe:
        # Two numbers of 32 bits to a batch, others in every epoch: they follow from the seed.
        drawn = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)
        made = tf.data.Dataset.zip(made, drawn)
    return made.map(_reader(images, labels, recipe)).prefetch(2)


def _reader(images, labels, recipe: str | None) -> Callable:
    def read(index, drawn=None):
        x = tf.cast(tf.gather(images, index), tf.float32) / 255  # [B, h, w, C]
        if recipe:
            x = distort(x, recipe, drawn)
        return x, tf.gather(labels, index)

    return read
