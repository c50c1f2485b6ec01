"""Transforms of the plane: affine, homography and thin-plate spline.

Conventions, here and in every module that builds on this one:

- Coordinates are (x, y), x first, x to the right and y *down*. [-1, 1] spans the image from edge
  to edge (`align_corners=False`); with `align_corners=True` from the centre of the first pixel to
  the centre of the last.
- A transform ("theta") answers "where in the input is this output pixel read?": it maps **output
  to input** coordinates. Moving the content one way moves theta the other way.
- Everything is batched, differentiable and computed in float32 or better, under autocast too.
- Values are checked (finite, not singular) wherever they can be read; inside `torch.func`
  transforms, compilation and CUDA graph capture only shapes and types are.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt, log
from numbers import Real

import torch
from torch import Tensor


# ---------------------------------------------------------------- checks
def readable(values: Tensor) -> bool:
    """Whether the values of a tensor may be looked at now (not while tracing or capturing)."""
    if torch.compiler.is_compiling() or values.is_meta:
        return False
    if torch._C._functorch.is_functorch_wrapped_tensor(values):
        return False
    return not (values.is_cuda and torch.cuda.is_current_stream_capturing())


def refuse(bad: Tensor, message: str) -> None:
    """Raise ValueError with the message and the first bad batch entries, if any is True."""
    if readable(bad) and bad.any():
        entries = bad.reshape(bad.shape[0], -1).any(1).nonzero().flatten().tolist()
        shown = ", ".join(map(str, entries[:8])) + (", ..." if len(entries) > 8 else "")
        raise ValueError(f"{message} (batch entries {shown})")


def as_float(values: Tensor, name: str, shape: tuple) -> Tensor:
    """The tensor in float32 or better, after checking its type, shape and values.

    `shape` lists the wanted sizes; a string stands for any size, "B" for the batch.
    """
    wanted = "[" + ", ".join(map(str, shape)) + "]"
    if not isinstance(values, Tensor):
        raise TypeError(f"{name} must be a tensor {wanted}, got {type(values).__name__}")
    if not values.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor, got {values.dtype}")
    fits = (isinstance(w, str) or w == got for w, got in zip(shape, values.shape, strict=False))
    if values.ndim != len(shape) or not all(fits):
        raise ValueError(f"{name} must have shape {wanted}, got {list(values.shape)}")
    refuse(~values.detach().isfinite(), f"{name} must be finite, got NaN or infinity")
    return values.to(torch.promote_types(values.dtype, torch.float32))


def as_matrix(theta: Tensor, name: str = "theta") -> Tensor:
    """A checked [B, 2, 3] or [B, 3, 3] in float32 or better."""
    square = isinstance(theta, Tensor) and theta.ndim == 3 and theta.shape[1] == 3
    return as_float(theta, name, ("B", 3, 3) if square else ("B", 2, 3))


def check_size(size: tuple[int, int], name: str = "size") -> tuple[int, int]:
    """(height, width) as two positive ints, or a clear error."""
    pair = tuple(size) if isinstance(size, tuple | list | torch.Size) else ()
    if len(pair) != 2 or not all(isinstance(n, int) and not isinstance(n, bool) for n in pair):
        raise TypeError(f"{name} must be two ints (height, width), got {size!r}")
    if min(pair) < 1:
        raise ValueError(f"{name} must be at least (1, 1), got {pair}")
    return pair


# ---------------------------------------------------------------- matrices
def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Product of small matrices by broadcasting: autocast and TF32 never touch it."""
    return (a[..., :, :, None] * b[..., None, :, :]).sum(-2)


def identity(batch: int = 1, *, dtype=torch.float32, device=None) -> Tensor:
    """The theta that leaves an image alone.  # [B, 2, 3]"""
    return torch.eye(2, 3, dtype=dtype, device=device).repeat(batch, 1, 1)


def to_homogeneous(theta: Tensor) -> Tensor:
    """[B, 2, 3] with the row 0 0 1 added; a [B, 3, 3] is handed back.  # [B, 3, 3]"""
    theta = as_matrix(theta)
    if theta.shape[1] == 3:
        return theta
    row = theta.new_tensor([0.0, 0.0, 1.0]).expand(theta.shape[0], 1, 3)
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
    refuse(singular, f"{name} must be invertible, got a singular matrix")
    return (adjugate / det[:, None, None])[:, : theta.shape[1]]


def _axes(name: str, value, second=None) -> tuple:
    """Split an argument into its x and y parts; `second` is y's value when only x is given."""
    if isinstance(value, Tensor) and value.ndim == 2 and value.shape[1] == 2:
        return value.unbind(1)
    if isinstance(value, tuple | list) and len(value) == 2:
        return tuple(value)
    if isinstance(value, Real) or (isinstance(value, Tensor) and value.ndim < 2):
        return value, value if second is None else second
    got = list(value.shape) if isinstance(value, Tensor) else repr(value)
    raise TypeError(f"{name} must be a number, a pair, a tensor [B] or a tensor [B, 2], got {got}")


def affine(
    angle=0.0, scale=1.0, shear=0.0, shift=0.0, *,
    order: str = "TRSZ", size=None, batch: int | None = None, dtype=None, device=None,
) -> Tensor:  # fmt: skip
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

    Returns the inverse of that motion, because theta maps output to input. Raises ValueError for
    values that are not finite or collapse the image (scale 0, shears that make it singular).
    """
    if sorted(order) != sorted("TRSZ"):
        raise ValueError(f"order must be a permutation of 'TRSZ', got {order!r}")
    if not (isinstance(angle, Real) or (isinstance(angle, Tensor) and angle.ndim < 2)):
        raise TypeError(f"angle must be a number or a tensor [B], got {angle!r}")
    parts = [angle, *_axes("scale", scale), *_axes("shear", shear, 0.0), *_axes("shift", shift)]
    tensors = [p for p in parts if isinstance(p, Tensor)]
    lengths = {p.shape[0] for p in tensors if p.ndim == 1} | ({batch} - {None})
    if len(lengths) > 1:
        raise ValueError(f"angle, scale, shear, shift and batch must agree, got {sorted(lengths)}")
    if dtype is None:
        dtype = torch.float32
        for p in tensors:
            dtype = torch.promote_types(dtype, p.dtype)
    if device is None and tensors:
        device = tensors[0].device
    n = lengths.pop() if lengths else 1
    columns = [torch.as_tensor(p, dtype=dtype, device=device).expand(n) for p in parts]
    as_float(torch.stack(columns, 1), "angle, scale, shear and shift", ("B", 7))
    degrees, zx, zy, kx, ky, tx, ty = columns
    height, width = (1, 1) if size is None else check_size(size)
    ratio = height / width
    cos, sin = torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))
    tan_x, tan_y = torch.tan(torch.deg2rad(kx)), torch.tan(torch.deg2rad(ky))
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)

    def rows(*entries):
        return torch.stack([*entries, zero, zero, one], 1).view(n, 3, 3)

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


# ---------------------------------------------------------------- pixels
def pixel_centres(n: int, align_corners: bool = False, *, dtype=torch.float32, device=None):
    """Normalised coordinates of the n pixel centres along one axis.  # [n]"""
    i = torch.arange(n, dtype=dtype, device=device)
    if align_corners:
        return i * (2.0 / max(n - 1, 1)) - (1.0 if n > 1 else 0.0)
    return (2 * i + 1) / n - 1


def _pixel_map(like: Tensor, size: tuple[int, int], align_corners: bool) -> tuple[Tensor, Tensor]:
    """Scale and offset (x, y) with pixel = scale * normalised + offset.  # [2], [2]"""
    height, width = check_size(size)
    wh = like.new_tensor([width, height])
    return ((wh - 1) / 2, (wh - 1) / 2) if align_corners else (wh / 2, (wh - 1) / 2)


def _pixel_matrix(like: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    """The same map as a matrix for each batch entry.  # [B, 2, 3]"""
    scale, offset = _pixel_map(like, size, align_corners)
    return torch.cat([torch.diag(scale), offset[:, None]], 1).expand(like.shape[0], 2, 3)


def _convert(values: Tensor, size, output_size, align_corners: bool, inverse: bool) -> Tensor:
    if isinstance(values, Tensor) and values.ndim == 3 and values.shape[-1] == 3:
        m = to_homogeneous(values)
        source = _pixel_matrix(m, size, align_corners)
        target = _pixel_matrix(m, output_size or size, align_corners)
        if inverse:
            product = matmul(matmul(to_homogeneous(invert(source)), m), to_homogeneous(target))
        else:
            product = matmul(matmul(to_homogeneous(source), m), to_homogeneous(invert(target)))
        return product[:, : values.shape[1]]
    leading = ("...",) * (values.ndim - 1) if isinstance(values, Tensor) else ("...",)
    points = as_float(values, "points", (*leading, 2))
    scale, offset = _pixel_map(points, size, align_corners)
    if inverse and align_corners and min(size) < 2:
        raise ValueError(f"size must be at least (2, 2) with align_corners=True, got {size}")
    return (points - offset) / scale if inverse else points * scale + offset


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


# ---------------------------------------------------------------- four corners
def _areas(quad: Tensor) -> Tensor:
    """Twice the signed areas of the triangles left by dropping corner 0, 1, 2, 3.  # [B, 4]"""
    a, b, c, d = quad.unbind(1)

    def area(p, q, r):
        u, v = q - p, r - p
        return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]

    return torch.stack([area(b, c, d), -area(a, c, d), area(a, b, d), -area(a, b, c)], 1)


def quads_fit(src: Tensor, dst: Tensor) -> Tensor:
    """Whether a homography takes one quad to the other without folding.  # bool [B]

    False where three corners lie on a line, or where the homography's horizon would cut the quad
    (one quad is convex and the other dented or crossed).
    """
    areas = [_areas(as_float(q, n, ("B", 4, 2))) for q, n in ((src, "src"), (dst, "dst"))]
    fit = (areas[0] * areas[1]).sign()
    fit = (fit == fit[:, :1]).all(1)
    for quad, area in zip((src, dst), areas, strict=True):
        span = (quad.amax(1) - quad.amin(1)).amax(1, keepdim=True).to(area.dtype)
        fit &= (area.abs() > 64 * torch.finfo(area.dtype).eps * span**2).all(1)
    return fit


def homography_from_corners(src: Tensor, dst: Tensor) -> Tensor:
    """The homography with h33 = 1 that takes four points to four points.  # [B, 3, 3]

    src, dst: [B, 4, 2]. As a theta, src are corners in the output and dst the places in the input
    where they are read. Closed form: in the projective basis of its own first three corners, the
    fourth corner of a quad has the triangle areas as its coordinates, so H scales corner i by the
    ratio of the two quads' areas (Heckbert 1989, section 2.2.3, in its symmetric form).

    Raises ValueError for degenerate quads (see `quads_fit`) and where h33 would be 0.
    """
    src, dst = as_float(src, "src", ("B", 4, 2)), as_float(dst, "dst", ("B", 4, 2))
    if src.shape != dst.shape or src.device != dst.device:
        raise ValueError(
            "src and dst must agree in batch and device, got "
            f"{src.shape[0]} on {src.device} and {dst.shape[0]} on {dst.device}"
        )
    refuse(~quads_fit(src.detach(), dst.detach()), "src and dst must not be degenerate quads: "
           "three corners on a line, or a fold between them")  # fmt: skip
    ratio = (_areas(dst) / _areas(src))[:, :3]
    one = torch.ones_like(src[:, :3, :1])
    p = torch.cat([src[:, :3], one], 2)  # one corner a row  [B, 3, 3]
    q = torch.cat([dst[:, :3], one], 2).to(p.dtype)
    scaled = (q * ratio[:, :, None]).transpose(1, 2)
    h = matmul(scaled, invert(p, "src").transpose(1, 2))
    tiny = h[:, 2, 2].detach().abs() <= 8 * torch.finfo(h.dtype).eps * h.detach().abs().amax((1, 2))
    refuse(tiny, "src and dst give h33 = 0: the origin goes to infinity")
    return h / h[:, 2:, 2:]


# ---------------------------------------------------------------- thin-plate splines
def control_points(grid: tuple[int, int], *, dtype=torch.float32, device=None) -> Tensor:
    """Regular control points, row by row, from edge to edge of the image.  # [K, 2]"""
    rows, columns = check_size(grid, "grid")
    if min(rows, columns) < 2:
        raise ValueError(f"grid must be at least (2, 2), got {grid}")
    y = torch.linspace(-1, 1, rows, dtype=dtype, device=device)
    x = torch.linspace(-1, 1, columns, dtype=dtype, device=device)
    return torch.stack([x.expand(rows, columns), y[:, None].expand(rows, columns)], 2).view(-1, 2)


def _radial(a: Tensor, b: Tensor) -> Tensor:
    """U(r) = r^2 log r^2 between all pairs of points, 0 at r = 0.  # [N, K]"""
    r2 = (a[:, None] - b[None]).square().sum(2)
    return torch.special.xlogy(r2, r2)


@lru_cache(maxsize=64)
def tps_basis(grid, size, align_corners, dtype, device) -> Tensor:
    """How much each control point's offset moves each output pixel's reading place.  # [K, H*W]

    A thin-plate spline through the K control points is linear in where they go and reproduces
    the identity, so grid = identity + offsets @ basis, with a basis that depends on shapes alone.
    It is solved once per shape, in float64 on the CPU (Bookstein 1989), and kept.
    """
    with torch.inference_mode(False), torch.no_grad():
        options = {"dtype": torch.float64, "device": "cpu"}
        points = control_points(grid, **options)
        k = len(points)
        affine_part = torch.cat([torch.ones(k, 1, **options), points], 1)
        system = torch.zeros(k + 3, k + 3, **options)
        system[:k, :k] = _radial(points, points)
        system[:k, k:], system[k:, :k] = affine_part, affine_part.T
        x = pixel_centres(size[1], align_corners, **options).expand(size)
        y = pixel_centres(size[0], align_corners, **options)[:, None].expand(size)
        pixels = torch.stack([x, y], 2).view(-1, 2)
        features = torch.cat([_radial(pixels, points), torch.ones_like(pixels[:, :1]), pixels], 1)
        return torch.linalg.solve(system, features.T)[:k].to(device, dtype).contiguous()


# ---------------------------------------------------------------- parametrisations
def _bounded(raw: Tensor, bound: float | None) -> Tensor:
    """raw near 0, never beyond +-bound: bound * tanh(raw / bound); None leaves raw alone."""
    return raw if bound is None else bound * torch.tanh(raw / bound)


def _check_bound(bound, below: float = float("inf"), optional: bool = True) -> None:
    if not (optional and bound is None) and not (isinstance(bound, Real) and 0 < bound <= below):
        also = " or None" if optional else ""
        raise ValueError(f"bound must be a number above 0 and at most {below}{also}, got {bound!r}")


class Parametrisation:
    """A network head's n raw numbers as a transform: `head(raw [B, n])`.

    `n` is how many it needs; `identity()` the raw numbers (the head's bias) that change nothing.
    """

    n: int

    def identity(self) -> Tensor:
        return torch.zeros(self.n)

    def _raw(self, raw: Tensor) -> Tensor:
        return as_float(raw, "raw", ("B", self.n))


def _theta(a, b, c, d, e, f) -> Tensor:
    return torch.stack([a, b, c, d, e, f], 1).view(-1, 2, 3)


@dataclass(frozen=True)
class Translation(Parametrisation):
    """raw (x, y): where the glimpse is centred, [-bound, bound] if bounded.  # [B, 2, 3]"""

    bound: float | None = None
    n = 2

    def __post_init__(self):
        _check_bound(self.bound)

    def __call__(self, raw: Tensor) -> Tensor:
        x, y = _bounded(self._raw(raw), self.bound).unbind(1)
        one, zero = torch.ones_like(x), torch.zeros_like(x)
        return _theta(one, zero, x, zero, one, y)


@dataclass(frozen=True)
class Attention(Parametrisation):
    """raw (log scale, x, y): an upright glimpse.  # [B, 2, 3]

    Its width is exp(log scale) of the image's, within [1/max_zoom, max_zoom]: never 0 or mirrored.
    """

    max_zoom: float = 8.0
    n = 3

    def __post_init__(self):
        if not (isinstance(self.max_zoom, Real) and 1 < self.max_zoom < float("inf")):
            raise ValueError(f"max_zoom must be a finite number above 1, got {self.max_zoom!r}")

    def __call__(self, raw: Tensor) -> Tensor:
        log_scale, x, y = self._raw(raw).unbind(1)
        scale, zero = _bounded(log_scale, log(self.max_zoom)).exp(), torch.zeros_like(x)
        return _theta(scale, zero, x, zero, scale, y)


@dataclass(frozen=True)
class Similarity(Attention):
    """raw (log scale, angle in radians, x, y): a turned glimpse, as `Attention`.  # [B, 2, 3]"""

    n = 4

    def __call__(self, raw: Tensor) -> Tensor:
        log_scale, angle, x, y = self._raw(raw).unbind(1)
        scale = _bounded(log_scale, log(self.max_zoom)).exp()
        cos, sin = scale * angle.cos(), scale * angle.sin()
        return _theta(cos, -sin, x, sin, cos, y)


@dataclass(frozen=True)
class Affine(Parametrisation):
    """raw: theta itself, row by row; each entry within +-bound of the identity's.  # [B, 2, 3]"""

    bound: float | None = None
    n = 6

    def __post_init__(self):
        _check_bound(self.bound)

    def identity(self) -> Tensor:
        return torch.tensor([1.0, 0, 0, 0, 1, 0])

    def __call__(self, raw: Tensor) -> Tensor:
        raw = self._raw(raw)
        start = self.identity().to(raw)
        return (start + _bounded(raw - start, self.bound)).view(-1, 2, 3)


@dataclass(frozen=True)
class Homography(Parametrisation):
    """raw: the matrix row by row without h33, which is 1.  # [B, 3, 3]

    The perspective terms h31, h32 stay within +-bound, so w = h31 x + h32 y + 1 is at least
    1 - 2 bound > 0 on the whole grid, whatever the network says.
    """

    bound: float = 0.3
    n = 8

    def __post_init__(self):
        _check_bound(self.bound, below=0.49, optional=False)

    def identity(self) -> Tensor:
        return torch.tensor([1.0, 0, 0, 0, 1, 0, 0, 0])

    def __call__(self, raw: Tensor) -> Tensor:
        raw = self._raw(raw)
        perspective = _bounded(raw[:, 6:], self.bound)
        return torch.cat([raw[:, :6], perspective, torch.ones_like(raw[:, :1])], 1).view(-1, 3, 3)


@dataclass(frozen=True)
class Corners(Parametrisation):
    """raw: (x, y) offsets of top left, top right, bottom right, bottom left.  # [B, 3, 3]

    Where the output's corners are read in the input. A bound below 0.5 keeps every quad convex;
    None leaves the offsets alone, and a quad that folds is an error.
    """

    bound: float | None = 0.45
    n = 8

    def __post_init__(self):
        _check_bound(self.bound, below=0.49)

    def __call__(self, raw: Tensor) -> Tensor:
        offsets = _bounded(self._raw(raw), self.bound).view(-1, 4, 2)
        corners = offsets.new_tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]).expand_as(offsets)
        return homography_from_corners(corners, corners + offsets)


@dataclass(frozen=True)
class ThinPlateSpline(Parametrisation):
    """raw: (x, y) offsets of the control points, row by row, for `tps_grid`.

    Gives [B, K, 2] for a square grid of K control points and [B, rows, columns, 2] for any other,
    so that the shape of the control grid always travels with the offsets.
    """

    grid: tuple[int, int] = (4, 4)
    bound: float | None = None

    def __post_init__(self):
        _check_bound(self.bound)
        control_points(self.grid)

    @property
    def n(self) -> int:
        return 2 * self.grid[0] * self.grid[1]

    def __call__(self, raw: Tensor) -> Tensor:
        offsets = _bounded(self._raw(raw), self.bound)
        rows, columns = self.grid
        return offsets.view(-1, rows * columns, 2) if rows == columns else offsets.view(
            -1, rows, columns, 2
        )  # fmt: skip


def control_grid(offsets: Tensor) -> tuple[int, int]:
    """(rows, columns) of the control points of offsets [B, K, 2] or [B, rows, columns, 2]."""
    if offsets.ndim == 4:
        return tuple(offsets.shape[1:3])
    side = isqrt(offsets.shape[1])
    if side * side != offsets.shape[1]:
        raise ValueError(
            "offsets [B, K, 2] need a square number K of control points (use "
            f"[B, rows, columns, 2] for others), got {list(offsets.shape)}"
        )
    return side, side
