"""Pixel centres in normalised coordinates, and pixel units to and fro."""

import torch
from torch import Tensor

from stn_course.geometry.checks import as_float, check_size, whole_number
from stn_course.geometry.matrices import invert, matmul, to_homogeneous


def pixel_centres(n: int, align_corners: bool = False, *, dtype=torch.float32, device=None):
    """Normalised coordinates of the n pixel centres along one axis.  # [n]"""
    n = whole_number("n", n, least=0)
    i = torch.arange(n, dtype=dtype, device=device)
    if align_corners:
        return i * (2.0 / max(n - 1, 1)) - (1.0 if n > 1 else 0.0)
    return (2 * i + 1) / n - 1


def pixels_across(side: int | tuple[int, int], like: Tensor) -> int | Tensor:
    """The pixels of a picture's `side`; of its (height, width), those of x and those of y.

    A number where the two are one, else [2], typed like `like`.
    """
    if not isinstance(side, tuple | list | torch.Size):
        return whole_number("side", side)
    height, width = check_size(side, "side")
    if height == width:
        return width
    return torch.stack([like.new_full((), width), like.new_full((), height)])


def _pixel_map(like: Tensor, size: tuple[int, int], align_corners: bool) -> tuple[Tensor, Tensor]:
    """Scale and offset (x, y) with pixel = scale * normalised + offset.  # [2], [2]"""
    height, width = check_size(size)
    wh = torch.stack([like.new_full((), width), like.new_full((), height)])
    return ((wh - 1) / 2, (wh - 1) / 2) if align_corners else (wh / 2, (wh - 1) / 2)


def pixels_per_unit(like: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """How many pixels of x and y one unit of [-1, 1] is, typed like `like`.  # [2]"""
    return _pixel_map(like, size, align_corners)[0]


def _pixel_matrix(like: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    """The same map as a matrix for each batch entry.  # [B, 2, 3]"""
    scale, offset = _pixel_map(like, size, align_corners)
    return torch.cat([torch.diag(scale), offset[:, None]], 1).expand(like.shape[0], 2, 3)


def _convert(values: Tensor, size, output_size, align_corners: bool, inverse: bool) -> Tensor:
    if isinstance(values, Tensor) and values.ndim == 3 and values.shape[-1] == 3:
        m = to_homogeneous(values)
        output_size = size if output_size is None else check_size(output_size, "output_size")
        # One pixel has no unit between the centres of the first and the last.
        name, unit = ("size", size) if inverse else ("output_size", output_size)
        if align_corners and min(check_size(unit, name)) < 2:
            raise ValueError(f"{name} must be at least (2, 2) with align_corners=True, got {unit}")
        source = _pixel_matrix(m, size, align_corners)
        target = _pixel_matrix(m, output_size, align_corners)
        if inverse:
            product = matmul(matmul(to_homogeneous(invert(source)), m), to_homogeneous(target))
        else:
            product = matmul(matmul(to_homogeneous(source), m), to_homogeneous(invert(target)))
        return product[:, : values.shape[1]]
    leading = ("...",) * (values.ndim - 1) if isinstance(values, Tensor) else ("...",)
    points = as_float(values, "points", (*leading, 2))
    if inverse:
        return points_from_pixels(points, size, align_corners, "size")
    scale, offset = _pixel_map(points, size, align_corners)
    return points * scale + offset


def points_from_pixels(points: Tensor, size, align_corners: bool, name: str) -> Tensor:
    """`from_pixels` of points [..., 2] that are checked; an error calls the size `name`."""
    size = check_size(size, name)
    if align_corners and min(size) < 2:  # one pixel has no unit between corners
        raise ValueError(f"{name} must be at least (2, 2) with align_corners=True, got {size}")
    scale, offset = _pixel_map(points, size, align_corners)
    return (points - offset) / scale


def to_pixels(values: Tensor, size, output_size=None, align_corners: bool = False) -> Tensor:
    """Normalised to pixel units: points [..., 2], or a theta [B, 2, 3] / [B, 3, 3].

    Pixel (0, 0) is the *centre* of the first pixel. For a theta, `size` is the input's (height,
    width) and `output_size` (default: the same) the output's; the result maps output pixels to
    input pixels, as `scipy.ndimage` and OpenCV's inverse maps do (x first here).
    """
    return _convert(values, size, output_size, align_corners, inverse=False)


def from_pixels(values: Tensor, size, output_size=None, align_corners: bool = False) -> Tensor:
    """The inverse of `to_pixels`, with the same arguments."""
    return _convert(values, size, output_size, align_corners, inverse=True)


def check_sizes(size, output_size) -> tuple:
    """(height, width) of input and of output, the same unless told; or None and None.

    Raises TypeError or ValueError for what is no size, and for an `output_size` without a `size`:
    points are in pixels of both or neither.
    """
    if size is None:
        if output_size is not None:
            raise ValueError("output_size needs size: points are in pixels of both or of neither")
        return None, None
    size = check_size(size)
    return size, size if output_size is None else check_size(output_size, "output_size")


def matched_points(
    src: Tensor, dst: Tensor, least: int, size, output_size, align_corners: bool
) -> tuple[Tensor, Tensor]:
    """Points of the output and their partners in the input, checked, in [-1, 1].  # [B, n, 2] each

    src, dst: [B, n, 2], or [n, 2] for all, n at least `least`; in pixels where `size` is given.
    Both come back in the wider of their two types, float32 or better.
    """
    size, output_size = check_sizes(size, output_size)
    found = []
    for name, points in (("src", src), ("dst", dst)):
        shared = isinstance(points, Tensor) and points.ndim == 2
        points = as_float(points, name, ("n", 2) if shared else ("B", "n", 2))
        found.append(points[None] if shared else points)
    (a, n), (b, m) = (points.shape[:2] for points in found)
    if n != m or (a != b and src.ndim == dst.ndim) or found[0].device != found[1].device:
        got = " and ".join(f"{list(p.shape)} on {p.device}" for p in (src, dst))
        raise ValueError(f"src and dst must agree in batch, number and device, got {got}")
    if n < least:
        raise ValueError(f"src and dst must have at least {least} points, got {n}")
    batch = b if src.ndim == 2 else a
    dtype = torch.promote_types(*(points.dtype for points in found))
    src, dst = (points.expand(batch, -1, -1).to(dtype) for points in found)
    if size is None:
        return src, dst
    return (
        points_from_pixels(src, output_size, align_corners, "output_size"),
        points_from_pixels(dst, size, align_corners, "size"),
    )
