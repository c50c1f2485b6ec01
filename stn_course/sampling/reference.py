"""Warping an image in plain torch: a grid of places to read, then bilinear reading.

This is the code that the course teaches and the reference that every faster version is compared
with. Conventions are those of `geometry`. Grids are float32 or better, under autocast too;
everything here is twice differentiable and works under `torch.func.vmap`.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stn_course.geometry import (
    as_float,
    as_int64,
    as_number,
    as_whole,
    check_size,
    control_grid,
    exactly,
    from_pixels,
    is_landmark_spline,
    landmark_places,
    pixel_centres,
    raise_where,
    tps_basis,
    transform_kind,
    transform_points,
    values_can_be_checked,
)
from stn_course.sampling import shrinking

PADDINGS = ("background", "zeros", "border", "reflection")
MODES = ("bilinear", "nearest")


# ---------------------------------------------------------------- where to read
def _centres(size, align_corners: bool, like: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of the output's pixel centres, ready to broadcast.  # [W], [H, 1]"""
    height, width = check_size(size)
    options = {"dtype": like.dtype, "device": like.device}
    x = pixel_centres(width, align_corners, **options)
    return x, pixel_centres(height, align_corners, **options)[:, None]


def affine_grid(theta: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Where each output pixel is read: theta @ (x, y, 1) at every centre.  # [B, H, W, 2]

    theta: [B, 2, 3]; size: (H, W) of the output. The same as `F.affine_grid`, by broadcasting: no
    base grid is stored and nothing goes through a matrix product that autocast could round.
    """
    theta = as_float(theta, "theta", ("B", 2, 3))
    x, y = _centres(size, align_corners, theta)
    a, b, c = theta[..., None, None].unbind(2)  # columns of theta  [B, 2, 1, 1]
    return (a * x + (b * y + c)).movedim(1, 3)  # [B, 2, H, W] -> [B, H, W, 2]


def homography_grid(theta: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Where each output pixel is read: (u, v, w) = theta @ (x, y, 1), then (u/w, v/w).

    theta: [B, 3, 3], any scale -> [B, H, W, 2]. Raises ValueError where w changes sign on the
    grid: those pixels lie on or beyond the horizon and have no place in the input.
    """
    theta = as_float(theta, "theta", ("B", 3, 3))
    x, y = _centres(size, align_corners, theta)
    a, b, c = theta[..., None, None].unbind(2)  # columns of theta  [B, 3, 1, 1]
    uv, w = (a * x + (b * y + c)).split([2, 1], 1)  # [B, 2, H, W], [B, 1, H, W]
    corners = w.detach()[..., :: max(size[0] - 1, 1), :: max(size[1] - 1, 1)].flatten(1)
    crossed = ~((corners > 0).all(1) | (corners < 0).all(1))  # w is linear: corners decide
    raise_where(
        crossed, "theta must keep w away from 0 on the grid, got a horizon across the output"
    )
    return (uv / w).movedim(1, 3)  # [B, H, W, 2]


def tps_grid(offsets: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Where each output pixel is read by a thin-plate spline.  # [B, H, W, 2]

    offsets: [B, K, 2] for a square grid of K control points, or [B, rows, columns, 2]: control
    point k of the output is read at its own place plus offset k, in normalised units. Or a spline
    through landmarks [B, K + 3, 4], as `geometry.spline_from_landmarks` gives it.
    """
    if isinstance(offsets, Tensor) and is_landmark_spline(offsets):
        offsets = as_float(offsets, "offsets", ("B", "K + 3", 4))
        x, y = _centres(size, align_corners, offsets)
        at = torch.stack([x.expand(size), y.expand(size)], 2).flatten(0, 1)  # [H*W, 2]
        places = landmark_places(offsets, at.expand(offsets.shape[0], -1, -1))
        return places.unflatten(1, check_size(size))  # [B, H, W, 2]
    ndim = getattr(offsets, "ndim", 3)
    shape = ("B", "rows", "columns", 2) if ndim == 4 else ("B", "K", 2)
    offsets = as_float(offsets, "offsets", shape)
    x, y = _centres(size, align_corners, offsets)
    shape, size = control_grid(offsets), check_size(size)
    basis = tps_basis(shape, size, align_corners, offsets.dtype, offsets.device)  # [K, H*W]
    with exactly(offsets):
        moved = offsets.flatten(1, -2).transpose(1, 2) @ basis  # [B, 2, H*W]
    base = torch.stack([x.expand(size), y.expand(size)])  # [2, H, W]
    return (base + moved.unflatten(2, size)).movedim(1, 3)  # [B, H, W, 2]


def flow_grid(
    flow: Tensor, size: tuple[int, int] | None = None, align_corners: bool = False
) -> Tensor:
    """A dense flow as a grid to read at.  # [B, 2, H, W] -> [B, H, W, 2]

    flow: (dx, dy) in *pixels* for each output pixel, x first, as optical flow has it: output pixel
        (x, y) reads the input at (x + dx, y + dy).
    size: (h, w) of the input, by default that of the flow.
    """
    flow = as_float(flow, "flow", ("B", 2, "H", "W"))
    height, width = flow.shape[2:]
    x = torch.arange(width, dtype=flow.dtype, device=flow.device)
    y = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None]
    places = flow + torch.stack([x.expand(height, width), y.expand(height, width)])
    size = (height, width) if size is None else check_size(size)
    return from_pixels(places.movedim(1, 3), size, align_corners=align_corners)


# ---------------------------------------------------------------- what is read there
def lower_median(values: Tensor, dim: int = -1) -> Tensor:
    """`values.median(dim).values`, with its gradient and its NaN where one of them is NaN.

    By sorting: on CUDA `torch.use_deterministic_algorithms` refuses the median that also knows
    where it stood.
    """
    ordered = values.sort(dim).values  # NaN comes last
    middle, last = ordered.select(dim, (values.shape[dim] - 1) // 2), ordered.select(dim, -1)
    return torch.where(last.isnan(), last, middle)


def background_of(images: Tensor) -> Tensor:
    """The (lower) median of each image's one-pixel border, channel by channel.  # [B, C]"""
    check_images(images)
    return _border_median(images)


def _border_median(images: Tensor) -> Tensor:
    if min(images.shape[2:]) < 3:
        border = images.flatten(2)
    else:
        rows, columns = images[:, :, [0, -1]], images[:, :, 1:-1, [0, -1]]
        border = torch.cat([rows.flatten(2), columns.flatten(2)], 2)
    return lower_median(border)


def is_labels(images: Tensor) -> bool:
    """Whether these are whole numbers or truth values: what is counted and never averaged."""
    return not images.is_floating_point() and not images.is_complex()


def check_images(images: Tensor, name: str = "images", integers: bool = False) -> None:
    """TypeError or ValueError unless images is a float tensor [B, C, h, w]; name: in the text.

    integers: they may be whole numbers as well.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} must be a tensor [B, C, h, w], got {type(images).__name__}")
    if not (images.is_floating_point() or (integers and is_labels(images))):
        labels = "" if integers else "; labels are read with mode='nearest'"
        raise TypeError(
            f"{name} must be floating point, got {images.dtype}: convert them first{labels}"
        )
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise ValueError(f"{name} must have shape [B, C, h, w], got {list(images.shape)}")


def plain_fill(images: Tensor, fill):
    """`fill` with Python's number for any other, one number in a tensor as [B, C], and [B, C] of
    NumPy as a tensor.

    What is neither comes back as it is. Values are not read: a GPU would be waited for.
    """
    number = torch.float32 if images.is_floating_point() else images.dtype
    if not isinstance(fill, Tensor):
        kinds = "f" if images.is_floating_point() else "iub"
        if isinstance(fill, np.ndarray) and fill.ndim == 2 and fill.dtype.kind in kinds:
            dtype = images.dtype if images.is_floating_point() else None
            return torch.tensor(fill, dtype=dtype, device=images.device)
        number = as_number(fill)
        return fill if number is None else number
    if fill.ndim or fill.dtype == torch.bool or fill.is_complex():
        return fill
    dtype = fill.dtype if fill.is_floating_point() else number
    return fill.to(images.device, dtype).expand(images.shape[:2])


def _fill_values(images: Tensor, fill) -> Tensor:
    """`fill` as a tensor that broadcasts over images.  # [B, C, 1, 1]"""
    if fill is None:
        return _border_median(images.detach())[:, :, None, None]
    fill = plain_fill(images, fill)
    if is_labels(images):
        return _label_fill(images, fill)
    if not isinstance(fill, Tensor):
        return images.new_full((1, 1, 1, 1), fitting(fill, images.dtype))
    as_float(fill, "fill", tuple(images.shape[:2]))
    return fitting(fill, images.dtype)[:, :, None, None]


def _label_fill(images: Tensor, fill) -> Tensor:
    """`fill` for labels: a whole number, or such a tensor [B, C], that their type holds."""
    words = f"fill must be a whole number that {images.dtype} holds, or a tensor [B, C] of those"
    if not isinstance(fill, Tensor):
        fill = int(fill) if isinstance(fill, bool) else as_whole(fill)
        if fill is None:
            raise TypeError(f"{words}; got another kind of number")
        fill = torch.full((1, 1), fill, dtype=torch.int64, device=images.device)
    elif not is_labels(fill) or fill.shape != images.shape[:2]:
        raise TypeError(f"{words}; got {fill.dtype} {list(fill.shape)}")
    made = fill.to(images.dtype)
    raise_where(made.to(fill.dtype) != fill, f"{words}; got one beyond its ends")
    return made[:, :, None, None]


def fitting(fill, dtype: torch.dtype):
    """`fill` as it is in `dtype`, a number or a tensor [B, C].

    Raises TypeError for what is neither, ValueError for what is finite no longer in `dtype`. Values
    on a GPU are not looked at.
    """
    limit = torch.finfo(dtype).max
    words = f"fill must be at most {limit:g} either way, as {dtype} ends there"
    if isinstance(fill, Tensor):
        made = fill.to(dtype)
        if not fill.is_cuda:
            raise_where(~made.detach().isfinite(), f"{words}, got more")
        return made
    if as_number(fill) is None:
        raise TypeError(f"fill must be a finite number or a tensor [B, C], got {fill!r}")
    if isinstance(fill, int | float) and abs(fill) > limit:
        raise ValueError(f"{words}, got {fill!r}")
    return fill


def _pad(images: Tensor, padding: str, fill) -> Tensor:
    """One row and column more on the left and top, two on the right and bottom."""
    if padding in ("border", "reflection"):  # what is reflected comes to lie inside
        return F.pad(images, (1, 2, 1, 2), mode="replicate")
    padded = F.pad(images, (1, 2, 1, 2))
    if padding == "zeros":
        return padded
    height, width = images.shape[2:]
    inside = F.pad(images.new_ones((height, width), dtype=torch.bool), (1, 2, 1, 2))
    return torch.where(inside, padded, _fill_values(images, fill))


def bilinear_sample(
    images: Tensor,
    grid: Tensor,
    padding: str = "background",
    fill=None,
    align_corners: bool = False,
    mode: str = "bilinear",
    index: Tensor | None = None,
) -> Tensor:
    """Read images [B, C, h, w] at grid [B, H, W, 2] (x, y in [-1, 1]).  # [B, C, H, W]

    padding: what lies outside: "background" (`fill`, a number or [B, C]; by default each image's
    `background_of`, taken as a constant), "zeros", "border" (the nearest pixel), or "reflection"
    (the image mirrored at its edges, again and again; with align_corners at the centres of its
    outermost pixels).
    mode: "bilinear", or "nearest" (which has no gradient to the grid). Whole numbers of any type,
    labels, are read with "nearest" alone and come back as they are.
    index: [N] whole numbers, which image each of N grids [N, H, W, 2] reads -> [N, C, H, W]. The
    images are not copied, and `fill` is still theirs; gradients to them are summed. One image
    [1, C, h, w] needs no index.
    With "zeros", "border" and "reflection" the same as `F.grid_sample`. The images' dtype is kept;
    coordinates and weights are float32 or better. Raises TypeError or ValueError for bad types,
    shapes, batches, devices, an index of no image, and NaN in the grid.
    """
    _check_reading(images, padding, fill, mode)
    grid = _check_grid(grid, images)
    index = picture_index(index, images, grid.shape[0], "grid")
    if is_labels(images):
        refuse_gradient("grid", grid)
    (height, width), dtype = images.shape[2:], torch.promote_types(images.dtype, grid.dtype)
    # In the padded image everything further out than one pixel looks the same: clamp to it.
    x, y = grid.flatten(1, 2).unbind(2)  # [N, H*W]
    x = _to_padded(x, width, align_corners)
    y = _to_padded(y, height, align_corners)
    if padding == "reflection":
        x, y = _mirrored(x, width, align_corners), _mirrored(y, height, align_corners)
    x, y = x.clamp(0, width + 1), y.clamp(0, height + 1)
    if mode == "nearest":
        return _nearest(images, x, y, padding, fill, index).unflatten(2, grid.shape[1:3])
    padded = _pad(images, padding, fill).to(dtype).flatten(2)  # [B, C, (h+3)(w+3)]
    x0, y0 = x.detach().floor(), y.detach().floor()
    # Whole numbers before they are multiplied: float32 counts pixels only up to 4096 x 4096.
    cells = y0.long() * (width + 3) + x0.long()

    def read(row: int, column: int) -> Tensor:
        """The pixel that lies so many rows and columns after (x0, y0)."""
        return _at(padded[:, :, row * (width + 3) + column :], cells, index)  # [N, C, H*W]

    right, down = (x - x0)[:, None].to(dtype), (y - y0)[:, None].to(dtype)
    top = torch.lerp(read(0, 0), read(0, 1), right)
    bottom = torch.lerp(read(1, 0), read(1, 1), right)
    out = torch.lerp(top, bottom, down)
    return out.unflatten(2, grid.shape[1:3]).to(images.dtype)


def _at(planes: Tensor, cells: Tensor, index: Tensor | None) -> Tensor:
    """What `planes` [B, C, P] hold at `cells` [N, M], of the plane that `index` [N] says.

    [N, C, M]. No plane is copied.
    """
    if index is None and planes.is_floating_point():
        return planes.gather(2, cells[:, None].expand(-1, planes.shape[1], -1))
    if index is None:
        index = torch.arange(len(planes), device=planes.device)
    return planes[index[:, None], :, cells].movedim(2, 1)


def _nearest(images: Tensor, x, y, padding: str, fill, index: Tensor | None) -> Tensor:
    """The nearest pixels to places x, y [N, M] of the padded image.  # [N, C, M]"""
    height, width = images.shape[2:]
    # Half-way: the even pixel of the image, where each counts one less.
    column, row = (x.detach() - 1).round().long(), (y.detach() - 1).round().long()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    cells = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    found = _at(images.flatten(2), cells, index)
    if padding in ("border", "reflection"):
        return found
    level = images.new_zeros(1, 1, 1)
    if padding == "background":
        level = _fill_values(images, fill).flatten(2)  # [B or 1, C or 1, 1]
        level = level if index is None or len(level) == 1 < len(images) else level[index]
    return torch.where(inside[:, None], found, level)


def _to_padded(x: Tensor, n: int, align_corners: bool) -> Tensor:
    """Normalised coordinate to pixel index along one axis of n pixels, after one of padding."""
    return x * ((n - 1 if align_corners else n) / 2) + (n + 1) / 2


def _mirrored(x: Tensor, n: int, align_corners: bool) -> Tensor:
    """Places along one axis of the padded image, mirrored at its edges until they lie inside.

    The edges are those of the outermost pixels, or with align_corners their centres.
    """
    first, span = (1.0, n - 1) if align_corners else (0.5, n)
    if span == 0:
        return x.clamp(1, 1)
    away = (x - first).abs().nan_to_num(posinf=0) % (2 * span)  # [0, 2 span)
    return (torch.where(away > span, 2 * span - away, away) + first).clamp(1, n)


# ---------------------------------------------------------------- what is refused
def _check_reading(images: Tensor, padding: str, fill, mode: str) -> None:
    """TypeError or ValueError for what `bilinear_sample` does not read, or not in that way."""
    if mode not in MODES:
        raise ValueError(f"mode must be 'bilinear' or 'nearest', got {mode!r}")
    check_images(images, integers=mode == "nearest")
    if padding not in PADDINGS:
        raise ValueError(f"padding must be one of {PADDINGS}, got {padding!r}")
    if fill is not None and padding != "background":
        raise ValueError(f"fill is only used with padding='background', got padding={padding!r}")


def refuse_gradient(name: str, values: Tensor) -> None:
    """ValueError where a gradient to the places is asked for, which labels do not have."""
    if values.requires_grad and torch.is_grad_enabled():
        raise ValueError(
            f"{name} requires a gradient, and labels read with mode='nearest' have none; detach it"
        )


def picture_index(index, images: Tensor, number: int, name: str) -> Tensor | None:
    """Which of the images each of `number` transforms (or grids, `name`) reads; None: its own.

    Raises TypeError or ValueError for an index of another type, shape, device, or of no image.
    """
    batch = images.shape[0]
    if index is None:
        if number != batch and batch == 1:
            return torch.zeros(number, dtype=torch.int64, device=images.device)
        if number != batch:
            raise ValueError(
                f"images and {name} must have one batch size, got {batch} and {number}; index says "
                "which image each reads"
            )
        return None
    index = as_int64(index, "index")
    if index.shape != (number,) or index.device != images.device:
        raise ValueError(
            f"index must have shape [{number}], one image for each {name}, on {images.device}; got "
            f"{list(index.shape)} on {index.device}"
        )
    wrong = (index < 0) | (index >= batch)
    raise_where(wrong, f"index must be at least 0 and below the {batch} images")
    return index


def _check_grid(grid: Tensor, images: Tensor) -> Tensor:
    if not isinstance(grid, Tensor) or not grid.is_floating_point():
        got = getattr(grid, "dtype", type(grid).__name__)
        raise TypeError(f"grid must be a floating-point tensor, got {got}")
    if grid.ndim != 4 or grid.shape[3] != 2 or 0 in grid.shape[1:]:
        raise ValueError(f"grid must have shape [B, H, W, 2], got {list(grid.shape)}")
    if grid.device != images.device:
        raise ValueError(f"images and grid must share a device, got {images.device}, {grid.device}")
    # One sum is NaN if any coordinate is; only then is it worth looking closer.
    if values_can_be_checked(grid) and grid.detach().sum().isnan():
        raise_where(grid.detach().isnan(), "grid must not contain NaN")
    return grid.to(torch.promote_types(grid.dtype, torch.float32))


def grid_of(transform: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Where a transform of any kind reads each output pixel, as in `warp`.  # [B, H, W, 2]"""
    kind = transform_kind(transform)
    make = {"affine": affine_grid, "homography": homography_grid}.get(kind, tps_grid)
    return make(transform, size, align_corners)


def warp(
    images: Tensor,
    transform: Tensor | None = None,
    size: tuple[int, int] | None = None,
    padding: str = "background",
    fill=None,
    align_corners: bool = False,
    mode: str = "bilinear",
    *,
    index: Tensor | None = None,
    grid: Tensor | None = None,
    antialias: bool = False,
) -> Tensor:
    """Move images [B, C, h, w] by a transform, into an output of size (H, W).  # [B, C, H, W]

    transform: affine [B, 2, 3], homography [B, 3, 3], thin-plate spline offsets [B, K, 2] or
    [B, rows, columns, 2], or a spline through landmarks [B, K + 3, 4]. size: by default the
    images' own. index: which image each of N transforms reads -> [N, C, H, W].
    grid: [B, H, W, 2] in place of a transform, the places to read (`flow_grid` makes one of a
    dense flow). antialias: average over each output pixel where the transform shrinks, see
    `sampling.shrinking`. The rest as in `bilinear_sample`.
    """
    _check_reading(images, padding, fill, mode)
    check_one_of(transform, grid, size, antialias, mode)
    if grid is not None:
        return bilinear_sample(images, grid, padding, fill, align_corners, mode, index)
    size = tuple(images.shape[2:]) if size is None else size
    if not isinstance(transform, Tensor):
        raise TypeError(f"transform must be a tensor, got {type(transform).__name__}")
    if is_labels(images):
        refuse_gradient("transform", transform)
    # The shape, not the length: under export a length is a number, and the batch would be fixed.
    if transform.ndim > 2:
        index = picture_index(index, images, transform.shape[0], "transform")
    if antialias:
        options = padding, fill, align_corners
        return shrinking.antialiased(warp, images, transform, size, *options, index)
    grid = grid_of(transform, size, align_corners)
    return bilinear_sample(images, grid, padding, fill, align_corners, mode, index)


def check_one_of(transform, grid, size, antialias, mode: str) -> None:
    """TypeError or ValueError unless `warp` is told one way where to read."""
    if (transform is None) == (grid is None):
        got = "neither" if grid is None else "both"
        raise TypeError(f"transform must be a tensor, or a grid given in its place; got {got}")
    if grid is not None and size is not None:
        raise ValueError(f"size={size!r}: a grid has its own size")
    if not isinstance(antialias, bool | np.bool_):
        raise TypeError(f"antialias={antialias!r}; wanted True or False")
    if antialias and grid is not None:
        raise ValueError("antialias=True needs a transform: a grid says nothing between its places")
    if antialias and mode != "bilinear":
        raise ValueError(f"antialias=True averages, got mode={mode!r}")


def _folded(x: float, low: float, high: float) -> float:
    """x mirrored at low and high, as often as it takes to lie between them."""
    while high > low and not low <= x <= high:
        x = 2 * low - x if x < low else 2 * high - x
    return x


def bilinear_sample_loops(images, grid, padding="background", fill=None, align_corners=False):
    """`bilinear_sample` in NumPy loops, four neighbours in the open: slow, for reading."""
    images, grid = np.asarray(images, np.float64), np.asarray(grid, np.float64)
    (batch, channels, h, w), (H, W) = images.shape, grid.shape[1:3]
    if fill is None:
        fill = background_of(torch.from_numpy(images)).numpy()
    fill = np.broadcast_to(0.0 if padding == "zeros" else fill, (batch, channels))
    out = np.zeros((batch, channels, H, W))
    for b, i, j in np.ndindex(batch, H, W):
        x, y = grid[b, i, j]
        x = (x + 1) / 2 * (w - 1) if align_corners else ((x + 1) * w - 1) / 2
        y = (y + 1) / 2 * (h - 1) if align_corners else ((y + 1) * h - 1) / 2
        if padding == "reflection":
            edge = 0 if align_corners else 0.5
            x, y = (_folded(c, -edge, n - 1 + edge) for c, n in ((x, w), (y, h)))
        if padding in ("border", "reflection"):
            x, y = min(max(x, 0), w - 1), min(max(y, 0), h - 1)
        for row in (math.floor(y), math.floor(y) + 1):
            for column in (math.floor(x), math.floor(x) + 1):
                weight = (1 - abs(x - column)) * (1 - abs(y - row))
                inside = 0 <= row < h and 0 <= column < w
                out[b, :, i, j] += weight * (images[b, :, row, column] if inside else fill[b])
    return out


def outline(theta: Tensor) -> Tensor:
    """The output's edge where `theta` puts it in the input: 4 points, 32 for a spline.

    theta as in `reference.warp` -> [B, K, 2] in [-1, 1], clockwise from the top left.
    """
    straight = theta.ndim == 3 and theta.shape[2] == 3
    x = pixel_centres(2 if straight else 9, True, dtype=theta.dtype, device=theta.device)
    top = torch.stack([x, torch.full_like(x, -1)], 1)[:-1]  # [K / 4, 2]
    right = top.flip(1) * x.new_tensor([-1, 1])
    return transform_points(theta, torch.cat([top, right, -top, -right]))
