"""The sampler of `sampling.reference` in `keras.ops`, channels last: the same values and slopes.

Images are [B, h, w, C]; grids, thetas and what lies outside are as everywhere in the course.
Height, width and channels must be known when the graph is built; the batch need not be.

What `stn_course.warp` has and this has not: one image for many transforms (`index`), antialiasing,
splines through landmarks, and `out`. A grid of one's own is for `bilinear_sample`.
"""

from collections.abc import Iterable
from numbers import Real

import numpy as np
import torch

from stn_course.geometry import check_size, control_grid, tps_basis
from stn_course.keras_twin.loading import load

keras = load()
ops = keras.ops
PADDINGS = ("background", "zeros", "border", "reflection")


def as_float(values, name: str, shapes: tuple[tuple, ...]):
    """`values` as a tensor in float32 or better, of one of `shapes` without the batch."""
    values = ops.convert_to_tensor(values)
    dtype = keras.backend.standardize_dtype(values.dtype)
    if "float" not in dtype:
        raise TypeError(f"{name} must be a floating-point tensor, got {dtype}")
    got = tuple(values.shape[1:])
    if not any(
        len(s) == len(got) and all(w in (None, g) for w, g in zip(s, got, strict=True))
        for s in shapes
    ):
        wanted = " or ".join(
            f"[B, {', '.join('?' if n is None else str(n) for n in s)}]" for s in shapes
        )
        raise ValueError(f"{name} must have shape {wanted}, got {list(values.shape)}")
    _refuse(ops.logical_not(ops.isfinite(values)), f"{name} must be finite, got NaN or infinity")
    return values if dtype == "float64" else ops.cast(values, "float32")


def _refuse(bad, message: str) -> None:
    """ValueError if anything in `bad` is True, where values can be read: not in graphs."""
    if hasattr(bad, "numpy") and bool(ops.any(bad)):
        raise ValueError(message)


# ---------------------------------------------------------------- where to read
def two(size) -> tuple[int, int]:
    """(height, width); TensorFlow's own shapes and NumPy's whole numbers will do."""
    if not isinstance(size, Iterable):
        return check_size(size)
    return check_size(tuple(int(n) if isinstance(n, np.integer) else n for n in size))


def _centres(size, align_corners: bool, like):
    """x and y of the output's pixel centres.  # [1, 1, W, 1], [1, H, 1, 1]"""
    dtype = keras.backend.standardize_dtype(like.dtype)

    def along(n: int) -> np.ndarray:
        i = np.arange(n, dtype=dtype)
        if align_corners:
            return i * np.asarray(2.0 / max(n - 1, 1), dtype) - (1.0 if n > 1 else 0.0)
        return (2 * i + 1) / np.asarray(n, dtype) - 1

    height, width = two(size)
    return along(width).reshape(1, 1, -1, 1), along(height).reshape(1, -1, 1, 1)


def affine_grid(theta, size: tuple[int, int], align_corners: bool = False):
    """Where each output pixel is read: theta [B, 2, 3] @ (x, y, 1).  # [B, H, W, 2]"""
    theta = as_float(theta, "theta", ((2, 3),))
    x, y = _centres(size, align_corners, theta)
    a, b, c = (theta[:, None, None, :, k] for k in range(3))  # columns of theta  [B, 1, 1, 2]
    return a * x + (b * y + c)


def homography_grid(theta, size: tuple[int, int], align_corners: bool = False):
    """(u, v, w) = theta [B, 3, 3] @ (x, y, 1), then (u/w, v/w).  # [B, H, W, 2]

    Raises ValueError where w changes sign on the grid; inside a graph, where values cannot be
    read, nothing is checked: there it is for the parametrisation to keep w above 0.
    """
    theta = as_float(theta, "theta", ((3, 3),))
    x, y = _centres(size, align_corners, theta)
    a, b, c = (theta[:, None, None, :, k] for k in range(3))  # [B, 1, 1, 3]
    uvw = a * x + (b * y + c)  # [B, H, W, 3]
    w = uvw[..., 2:]
    size = two(size)
    corners = w[:, :: max(size[0] - 1, 1), :: max(size[1] - 1, 1)]  # w is linear: they decide
    above, below = ops.amin(corners, (1, 2, 3)) > 0, ops.amax(corners, (1, 2, 3)) < 0  # [B]
    crossed = ops.logical_not(ops.logical_or(above, below))  # no product: it would underflow
    _refuse(crossed, "theta must keep w away from 0 on the grid, got a horizon across the output")
    return uvw[..., :2] / w


def tps_grid(offsets, size: tuple[int, int], align_corners: bool = False):
    """Where each pixel is read by a thin-plate spline, as `sampling.tps_grid`.  # [B, H, W, 2]

    offsets: [B, K, 2] for a square grid of K control points, or [B, rows, columns, 2].
    """
    offsets = as_float(offsets, "offsets", ((None, 2), (None, None, 2)))
    shape, size = control_grid(torch.empty(0, *offsets.shape[1:])), two(size)
    double = keras.backend.standardize_dtype(offsets.dtype) == "float64"
    dtype = torch.float64 if double else torch.float32
    basis = tps_basis(shape, size, align_corners, dtype, torch.device("cpu")).numpy()  # [K, H*W]
    offsets = ops.reshape(offsets, (-1, shape[0] * shape[1], 2))
    moved = ops.matmul(basis.T, offsets)  # [B, H*W, 2]
    x, y = _centres(size, align_corners, offsets)
    base = np.concatenate([x + 0 * y, y + 0 * x], 3)  # [1, H, W, 2]
    return base + ops.reshape(moved, (-1, *size, 2))


# ---------------------------------------------------------------- what is read there
def background_of(images):
    """The (lower) median of each image's one-pixel border, channel by channel.  # [B, C]"""
    h, w, channels = _static(images, labels=True)
    if min(h, w) < 3:
        border = ops.reshape(images, (-1, h * w, channels))
    else:
        sides = [images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1]]
        border = ops.concatenate(sides, 1)  # [B, 2h + 2w - 4, C]
    return ops.sort(border, axis=1)[:, (border.shape[1] - 1) // 2]


def _is_labels(images) -> bool:
    """Whether these are whole numbers, or truth values."""
    return "float" not in keras.backend.standardize_dtype(images.dtype)


def _static(images, labels: bool = False) -> tuple[int, int, int]:
    """(h, w, C) of images; TypeError or ValueError where they are none or not known.

    labels: they may be whole numbers as well.
    """
    if _is_labels(images) and not labels:
        dtype = keras.backend.standardize_dtype(images.dtype)
        raise TypeError(
            f"images must be floating point, got {dtype}: convert them first; labels are read with "
            "mode='nearest'"
        )
    shape = tuple(images.shape)
    if len(shape) != 4 or any(not n for n in shape[1:]):
        raise ValueError(f"images must have shape [B, h, w, C] with h, w, C known, got {shape}")
    return shape[1:]


def _one_batch(images, values, name: str) -> None:
    """ValueError where two batch sizes are known and differ: gathering would read other images."""
    sizes = images.shape[0], values.shape[0]
    if None not in sizes and sizes[0] != sizes[1]:
        raise ValueError(f"images and {name} must have one batch size, got {sizes[0]}, {sizes[1]}")


def _pad(images, padding: str, fill):
    """One row and column more on the left and top, two on the right and bottom."""
    h, w, _ = _static(images, labels=True)
    if padding in ("border", "reflection"):  # what is mirrored comes to lie inside
        rows = ops.concatenate([images[:, :1], images, images[:, -1:], images[:, -1:]], 1)
        return ops.concatenate([rows[:, :, :1], rows, rows[:, :, -1:], rows[:, :, -1:]], 2)
    padded = ops.pad(images, ((0, 0), (1, 2), (1, 2), (0, 0)))
    if padding == "zeros":
        return padded
    inside = np.pad(np.ones((h, w), bool), (1, 2))[None, :, :, None]
    return ops.where(inside, padded, _level(images, fill))


def _level(images, fill):
    """`fill`, a number or [B, C], so that it broadcasts over images.  # [B or 1, 1, 1, C or 1]

    A number may be Python's, NumPy's, or lie in a tensor or an array without axes.
    """
    if fill is None:
        return ops.stop_gradient(background_of(images))[:, None, None, :]
    truth = isinstance(fill, bool) or "bool" in str(getattr(fill, "dtype", ""))
    if truth or not (isinstance(fill, Real | list | tuple) or hasattr(fill, "shape")):
        raise TypeError(f"fill must be a finite number or a tensor [B, C], got {fill!r}")
    fill = ops.convert_to_tensor(np.asarray(float(fill)) if isinstance(fill, Real) else fill)
    if len(fill.shape):
        fill = as_float(fill, "fill", (images.shape[3:],))
        _one_batch(images, fill, "fill")
    else:
        _refuse(ops.logical_not(ops.isfinite(fill)), "fill must be finite, got NaN or infinity")
        fill = ops.reshape(fill, (1, 1))
    if _is_labels(images):
        # What has no such number of its own is another after the way there and back.
        back = ops.cast(ops.cast(fill, images.dtype), fill.dtype)
        _refuse(back != fill, f"fill must be a whole number that {images.dtype} holds")
    return ops.cast(fill, images.dtype)[:, None, None, :]


def bilinear_sample(
    images,
    grid,
    padding: str = "background",
    fill=None,
    align_corners: bool = False,
    mode: str = "bilinear",
):
    """Read images [B, h, w, C] at grid [B, H, W, 2] (x, y in [-1, 1]).  # [B, H, W, C]

    Everything means what it means in `sampling.bilinear_sample`. The images' dtype
    is kept, of labels read with mode="nearest" as well; coordinates and weights are float32 or
    better, whatever the policy says. Batch
    sizes are compared where they are known: always, but in graphs that leave them open.
    """
    images = ops.convert_to_tensor(images)
    if padding not in PADDINGS:
        raise ValueError(f"padding must be one of {PADDINGS}, got {padding!r}")
    if mode not in ("bilinear", "nearest"):
        raise ValueError(f"mode must be 'bilinear' or 'nearest', got {mode!r}")
    nearest = mode == "nearest"
    h, w, channels = _static(images, labels=nearest)
    if fill is not None and padding != "background":
        raise ValueError(f"fill is only used with padding='background', got padding={padding!r}")
    grid = as_float(grid, "grid", ((None, None, 2),))
    _one_batch(images, grid, "grid")
    kept = images.dtype
    if not _is_labels(images):
        if keras.backend.standardize_dtype(kept) != "float64":
            images = ops.cast(images, grid.dtype)
        grid = ops.cast(grid, images.dtype)
    padded = ops.reshape(_pad(images, padding, fill), (-1, channels))  # [B*(h+3)*(w+3), C]
    x = _to_padded(grid[..., 0], w, align_corners)  # [B, H, W]
    y = _to_padded(grid[..., 1], h, align_corners)
    if padding == "reflection":
        x, y = _mirrored(x, w, align_corners), _mirrored(y, h, align_corners)
    # In the padded image everything further out than one pixel looks the same: clamp to it.
    x, y = ops.clip(x, 0, w + 1), ops.clip(y, 0, h + 1)
    # Half-way to the nearest: the even pixel of the image, where each counts one less.
    x0, y0 = (ops.stop_gradient(ops.round(c - 1) + 1 if nearest else ops.floor(c)) for c in (x, y))
    first = ops.arange(ops.shape(grid)[0], dtype="int32")[:, None, None] * ((h + 3) * (w + 3))
    index = first + ops.cast(y0, "int32") * (w + 3) + ops.cast(x0, "int32")

    def read(row: int, column: int):
        """The pixel that lies so many rows and columns after (x0, y0).  # [B, H, W, C]"""
        return ops.take(padded, index + (row * (w + 3) + column), axis=0)

    if nearest:
        return ops.cast(read(0, 0), kept)
    right, down = (x - x0)[..., None], (y - y0)[..., None]
    top = read(0, 0) + right * (read(0, 1) - read(0, 0))
    bottom = read(1, 0) + right * (read(1, 1) - read(1, 0))
    return ops.cast(top + down * (bottom - top), kept)


def _to_padded(x, n: int, align_corners: bool):
    """Normalised coordinate to pixel index along one axis of n pixels, after one of padding."""
    return x * ((n - 1 if align_corners else n) / 2) + (n + 1) / 2


def _mirrored(x, n: int, align_corners: bool):
    """Places along one axis of the padded image, mirrored at its edges until they lie inside."""
    first, span = (1.0, n - 1) if align_corners else (0.5, n)
    if span == 0:
        return ops.clip(x, 1, 1)
    away = ops.mod(ops.abs(x - first), 2 * span)
    return ops.clip(ops.where(away > span, 2 * span - away, away) + first, 1, n)


def warp(
    images,
    transform,
    size: tuple[int, int] | None = None,
    padding: str = "background",
    fill=None,
    align_corners: bool = False,
    mode: str = "bilinear",
):
    """Move images [B, h, w, C] by a transform, into an output of size (H, W).  # [B, H, W, C]

    transform: affine [B, 2, 3], homography [B, 3, 3], or thin-plate spline offsets [B, K, 2] or
    [B, rows, columns, 2]. size: by default the images' own. The rest as in `bilinear_sample`.
    """
    images, transform = ops.convert_to_tensor(images), ops.convert_to_tensor(transform)
    size = _static(images, labels=mode == "nearest")[:2] if size is None else size
    shape = tuple(transform.shape[1:])
    if shape not in ((2, 3), (3, 3)) and (len(shape) not in (2, 3) or shape[-1] != 2):
        raise ValueError(
            "transform must have shape [B, 2, 3], [B, 3, 3], [B, K, 2] or [B, rows, columns, 2], "
            f"got {list(transform.shape)}"
        )
    grids = {(2, 3): affine_grid, (3, 3): homography_grid}
    grid = grids.get(shape, tps_grid)(transform, size, align_corners)
    return bilinear_sample(images, grid, padding, fill, align_corners, mode)
