"""Affine matrices: made from angle, scale, shear and shift; composed and inverted."""

import torch
from torch import Tensor

from stn_course.geometry.checks import (
    as_float,
    as_matrix,
    as_whole,
    check_size,
    raise_where,
    real_number,
    whole_number,
)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Product of small matrices by broadcasting: autocast and TF32 never touch it."""
    return (a[..., :, :, None] * b[..., None, :, :]).sum(-2)


def identity(batch: int = 1, *, dtype=torch.float32, device=None) -> Tensor:
    """The theta that leaves an image alone.  # [B, 2, 3]"""
    return torch.eye(2, 3, dtype=dtype, device=device).repeat(whole_number("batch", batch, 0), 1, 1)


def to_homogeneous(theta: Tensor) -> Tensor:
    """[B, 2, 3] with the row 0 0 1 added; a [B, 3, 3] is handed back.  # [B, 3, 3]"""
    theta = as_matrix(theta)
    if theta.shape[1] == 3:
        return theta
    row = torch.eye(3, dtype=theta.dtype, device=theta.device)[2:].expand(theta.shape[0], 1, 3)
    return torch.cat([theta, row], 1)


def compose(a: Tensor, b: Tensor) -> Tensor:
    """First warp by `a`, then warp the result by `b`, as one transform.

    `warp(warp(x, a), b) == warp(x, compose(a, b))` where x is smooth. The output pixel p of the
    second warp reads the first warp's output at b(p), which read the input at a(b(p)): the product
    is a b, although a came first. Two [B, 2, 3] give [B, 2, 3], anything else [B, 3, 3].
    """
    a, b = as_matrix(a, "a"), as_matrix(b, "b")
    if a.shape[0] != b.shape[0] or a.device != b.device:
        raise ValueError(
            "a and b must agree in batch and device, got "
            f"{a.shape[0]} on {a.device} and {b.shape[0]} on {b.device}"
        )
    product = matmul(to_homogeneous(a), to_homogeneous(b))
    return product[:, :2] if a.shape[1] == b.shape[1] == 2 else product


def invert(theta: Tensor, name: str = "theta") -> Tensor:
    """The inverse of [B, 2, 3] or [B, 3, 3], in the same shape: adjugate over determinant.

    Raises ValueError when a determinant cannot be told from rounding error.
    """
    theta = as_matrix(theta, name)
    m = to_homogeneous(theta)
    r0, r1, r2 = m.unbind(1)
    cross = torch.linalg.cross
    adjugate = torch.stack([cross(r1, r2), cross(r2, r0), cross(r0, r1)], 2)
    det = (r0 * adjugate[:, :, 0]).sum(1)
    # The same sum without any minus sign bounds the rounding error of the determinant.
    p, q, s = (r.abs() for r in (r0, r1, r2))
    bound = (p * (q.roll(1, 1) * s.roll(-1, 1) + q.roll(-1, 1) * s.roll(1, 1))).sum(1)
    singular = det.detach().abs() <= 8 * torch.finfo(m.dtype).eps * bound.detach()
    raise_where(singular, f"{name} must be invertible, got a singular matrix")
    return (adjugate / det[:, None, None])[:, : theta.shape[1]]


def _number(name: str, value):
    """A number as Python has it or a tensor [B] as it came, one in a tensor too.

    Raises ValueError for a number that is not finite, TypeError for anything else.
    """
    if isinstance(value, Tensor) and value.ndim < 2:
        return value
    try:
        return real_number(name, value)
    except TypeError:
        got = list(value.shape) if isinstance(value, Tensor) else repr(value)
        pair = "" if name == "angle" else ", a pair, a tensor [B, 2]"
        wanted = f"a finite number{pair} or a tensor [B]"
        raise TypeError(f"{name} must be {wanted}, got {got}") from None


def _axes(name: str, value, second=None) -> tuple:
    """Split an argument into its x and y parts; `second` is y's value when only x is given."""
    if isinstance(value, Tensor) and value.ndim == 2 and value.shape[1] == 2:
        return value.unbind(1)
    if isinstance(value, tuple | list) and len(value) == 2:
        return tuple(_number(name, each) for each in value)
    value = _number(name, value)
    return value, value if second is None else second


def _as_columns(parts: list, batch: int | None, dtype, device) -> list[Tensor]:
    """Numbers and tensors [B] as finite tensors of one length, type and device.  # [B] each"""
    tensors = [p for p in parts if isinstance(p, Tensor)]
    # A list, for the length of an exported batch is a symbol, which no set takes.
    lengths = [p.shape[0] for p in tensors if p.ndim == 1] + ([] if batch is None else [batch])
    if any(length != lengths[0] for length in lengths):
        got = sorted(set(lengths))
        raise ValueError(f"angle, scale, shear, shift and batch must agree, got {got}")
    types, dtype = [p.dtype for p in tensors] if dtype is None else [dtype], torch.float32
    for each in types:
        dtype = torch.promote_types(dtype, each)
    if device is None and tensors:
        device = tensors[0].device
    n = lengths[0] if lengths else 1
    columns = [
        p.to(dtype=dtype, device=device).expand(n)
        if isinstance(p, Tensor)
        else torch.full((n,), p, dtype=dtype, device=device)
        for p in parts
    ]
    as_float(torch.stack(columns, 1), "angle, scale, shear and shift", ("B", 7))
    return columns


def affine(
    angle=0.0,
    scale=1.0,
    shear=0.0,
    shift=0.0,
    *,
    order: str = "TRSZ",
    size=None,
    batch: int | None = None,
    dtype=None,
    device=None,
) -> Tensor:
    """Theta from what the image should *do*, about its centre.  # [B, 2, 3]

    angle: degrees; positive turns the content counter-clockwise as seen on the screen.
    scale: factor; above 1 makes the content larger. One for both axes, or (x, y).
    shear: degrees; moves content by tan(shear_x) * y to the right (y points down) and by
        tan(shear_y) * x downwards. A single value is shear_x.
    shift: in units where the image is 2 wide and 2 high; positive moves content right and down.
        A single value is used for both axes.
    Each is a number, a tensor [B], a pair (x, y) of those, or a tensor [B, 2]; angle has no pair.
    order: the product of the content's motion, the last letter applied first: the default is
        shift (T) after rotation (R) after shear (S) after scale (Z, zoom).
    size: (height, width) of a non-square image whose *pixels* should turn and shear rigidly.

    Returns the inverse of that motion, because theta maps output to input, in float32 or better.
    Raises ValueError for values that are not finite or collapse the image (scale 0, shears that
    make it singular, a shear of 90 degrees).
    """
    if not isinstance(order, str):
        raise TypeError(f"order must be a string, got {order!r}")
    n = None if batch is None else as_whole(batch)
    if batch is not None and (n is None or n < 0):
        raise ValueError(f"batch must be an int of at least 0, got {batch!r}")
    if sorted(order) != sorted("TRSZ"):
        raise ValueError(f"order must be a permutation of 'TRSZ', got {order!r}")
    parts = [_number("angle", angle), *_axes("scale", scale)]
    parts += [*_axes("shear", shear, 0.0), *_axes("shift", shift)]
    degrees, zx, zy, kx, ky, tx, ty = _as_columns(parts, n, dtype, device)
    height, width = (1, 1) if size is None else check_size(size)
    ratio = height / width
    cos, sin = torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))
    tan_x, tan_y = torch.tan(torch.deg2rad(kx)), torch.tan(torch.deg2rad(ky))
    steep = torch.stack([tan_x, tan_y], 1).detach().abs() > 1e6
    raise_where(steep, "shear must be away from 90 degrees, where it has no slope")
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)

    def rows(*entries):
        return torch.stack([*entries, zero, zero, one], 1).view(-1, 3, 3)

    motion = {
        "T": rows(one, zero, tx, zero, one, ty),
        "R": rows(cos, sin * ratio, zero, -sin / ratio, cos, zero),
        "S": rows(one, tan_x * ratio, zero, tan_y / ratio, one, zero),
        "Z": rows(zx, zero, zero, zero, zy, zero),
    }
    content = motion[order[0]]
    for letter in order[1:]:
        content = matmul(content, motion[letter])
    return invert(content[:, :2], "the motion made of angle, scale, shear and shift")
