"""The parametrisations of `geometry.heads` in `keras.ops`: raw numbers to a transform.

The dataclasses themselves (their bounds, how many numbers they need, what the identity is) are
those of `geometry`; only their arithmetic is written again, and a test holds it to theirs. One of
a user's own brings its arithmetic along, as its method `in_keras` (see `geometry.Parametrisation`).
"""

from dataclasses import asdict, is_dataclass
from functools import singledispatch
from math import log

import numpy as np

from stn_course import geometry
from stn_course.geometry import Parametrisation, one_of
from stn_course.keras_twin.sampling import as_float, ops
from stn_course.models import TRANSFORMS


def made(transform: str | dict | Parametrisation) -> Parametrisation:
    """The parametrisation that a name, the dict of `described`, or the thing itself means."""
    if isinstance(transform, Parametrisation):
        return transform
    options = dict(transform) if isinstance(transform, dict) else {"name": transform}
    name = options.pop("name", None)
    one_of("transform", name, TRANSFORMS)
    return TRANSFORMS[name](**options)


def described(transform: Parametrisation) -> dict:
    """A parametrisation as a dict that JSON can hold.

    Raises TypeError for one that has no name, or that holds more than the fields of a dataclass.
    """
    kind = type(transform).__name__
    for name, known in TRANSFORMS.items():
        if type(transform) is known:
            if not is_dataclass(transform) and vars(transform):
                raise TypeError(f"transform is {kind}, no dataclass; its fields cannot be kept")
            return {"name": name, **(asdict(transform) if is_dataclass(transform) else {})}
    raise TypeError(
        f"transform is {kind}, which has no name to be saved by; wanted one of the course's, or "
        f"models.TRANSFORMS[a name] = {kind} before it is saved and before it is loaded"
    )


def to_theta(transform: Parametrisation, raw, size: tuple[int, int] | None = None):
    """What `transform` makes of raw numbers [B, n]; in float32 or better.

    size: (height, width) of the pictures it is made for, as `Parametrisation.on` has it.
    """
    raw = as_float(raw, "raw", ((transform.n,),))
    if hasattr(transform, "in_keras"):
        return transform.in_keras(raw, ops, size)
    if type(transform).__module__ != Parametrisation.__module__:
        kind = type(transform).__name__
        raise TypeError(f"transform is {kind}, which has no in_keras(raw, ops, size); wanted it")
    if isinstance(transform, geometry.Similarity | geometry.Rotation):
        return _turned(transform, raw, transform.ratio(size))
    return _theta(transform, raw)


def _bounded(raw, bound: float | None):
    return raw if bound is None else bound * ops.tanh(raw / bound)


def _rows(*entries):
    """[B, 2, 3] from six columns [B]."""
    return ops.reshape(ops.stack(entries, 1), (-1, 2, 3))


@singledispatch
def _theta(transform, raw):
    raise TypeError(f"transform is {type(transform).__name__}; wanted one of the course's")


@_theta.register
def _(transform: geometry.Affine, raw):
    start = ops.cast(transform.identity().numpy(), raw.dtype)
    return ops.reshape(start + _bounded(raw - start, transform.bound), (-1, 2, 3))


@_theta.register
def _(transform: geometry.Translation, raw):
    x, y = ops.unstack(_bounded(raw, transform.bound), 2, 1)
    one, zero = ops.ones_like(x), ops.zeros_like(x)
    return _rows(one, zero, x, zero, one, y)


@_theta.register
def _(transform: geometry.Attention, raw):
    log_scale, x, y = ops.unstack(raw, 3, 1)
    scale, zero = ops.exp(_bounded(log_scale, log(transform.max_zoom))), ops.zeros_like(x)
    return _rows(scale, zero, x, zero, scale, y)


def _turned(transform: geometry.Similarity | geometry.Rotation, raw, ratio: float):
    if isinstance(transform, geometry.Rotation):
        angle = _bounded(raw, transform.bound)[:, 0]
        cos, sin, zero = ops.cos(angle), ops.sin(angle), ops.zeros_like(angle)
        return _rows(cos, -sin * ratio, zero, sin / ratio, cos, zero)
    log_scale, angle, x, y = ops.unstack(raw, 4, 1)
    scale = ops.exp(_bounded(log_scale, log(transform.max_zoom)))
    cos, sin = scale * ops.cos(angle), scale * ops.sin(angle)
    return _rows(cos, -sin * ratio, x, sin / ratio, cos, y)


@_theta.register
def _(transform: geometry.Homography, raw):
    perspective = _bounded(raw[:, 6:], transform.bound)
    entries = [raw[:, :6], perspective, ops.ones_like(raw[:, :1])]
    return ops.reshape(ops.concatenate(entries, 1), (-1, 3, 3))


@_theta.register
def _(transform: geometry.Corners, raw):
    """The square's corners p are read at q: H = (q scaled by ratios of areas) p^-1."""
    square = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    corners = ops.reshape(_bounded(raw, transform.bound), (-1, 4, 2))
    corners = corners + ops.cast(square, raw.dtype)
    # Twice the area of the triangle without corner k is 4 for the square: three of the ratios.
    ratio = ops.stack([_area(corners, *k) for k in ((1, 2, 3), (0, 2, 3), (0, 1, 3))], 1) / 4.0
    q = ops.concatenate([corners[:, :3], ops.ones_like(corners[:, :3, :1])], 2)  # [B, 3, 3]
    p = np.concatenate([square[:3], np.ones((3, 1))], 1)
    inverse = ops.cast(np.linalg.inv(p).T, raw.dtype)  # [3, 3], entries of 0 and 1/2
    h = ops.einsum("bki,kj->bij", q * ratio[:, :, None], inverse)
    return h / h[:, 2:, 2:]


def _area(corners, a: int, b: int, c: int):
    """Twice the signed area of the triangle of three corners.  # [B]"""
    u, v = corners[:, b] - corners[:, a], corners[:, c] - corners[:, a]
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]


@_theta.register
def _(transform: geometry.ThinPlateSpline, raw):
    rows, columns = transform.grid
    offsets = _bounded(raw, transform.bound)
    shape = (rows * columns, 2) if rows == columns else (rows, columns, 2)
    return ops.reshape(offsets, (-1, *shape))
