"""The homography that takes four corners to four corners, in closed form."""

import torch
from torch import Tensor

from stn_course.geometry.checks import as_float, raise_where
from stn_course.geometry.matrices import invert, matmul


def _areas(quad: Tensor) -> Tensor:
    """Twice the signed areas of the triangles left by dropping corner 0, 1, 2, 3.  # [B, 4]"""
    a, b, c, d = quad.unbind(1)

    def area(p, q, r):
        u, v = q - p, r - p
        return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]

    return torch.stack([area(b, c, d), -area(a, c, d), area(a, b, d), -area(a, b, c)], 1)


def frame_corners(like: Tensor) -> Tensor:
    """Top left, top right, bottom right, bottom left of [-1, 1], typed like `like`.  # [4, 2]

    Computed where it is needed: a copy from the host cannot be part of a CUDA graph.
    """
    i = torch.arange(4, device=like.device)
    return torch.stack([(i == 1) | (i == 2), i >= 2], 1).to(like.dtype) * 2 - 1


def quads_fit(src: Tensor, dst: Tensor) -> Tensor:
    """Whether a homography takes one quad to the other without folding.  # bool [B]

    False where three corners lie on a line, or where the homography's horizon would cut the quad
    (one quad is convex and the other dented or crossed).
    """
    src, dst = as_float(src, "src", ("B", 4, 2)), as_float(dst, "dst", ("B", 4, 2))
    areas = [_areas(src), _areas(dst)]
    fit = areas[0].sign() * areas[1].sign()  # of the areas' product, were it not to underflow
    fit = (fit == fit[:, :1]).all(1)
    for quad, area in zip((src, dst), areas, strict=True):
        span = (quad.amax(1) - quad.amin(1)).amax(1, keepdim=True)
        fit &= (area.abs() > 64 * torch.finfo(area.dtype).eps * span**2).all(1)
    return fit


def _origin(quad: Tensor) -> Tensor:
    """The middle of a quad that lies further from (0, 0) than it is wide, else (0, 0).

    Corners near 4000 that differ by 8 would lose three digits in every product. A quad around
    the origin stays where it is, and so do its homography's bits.  # [B, 1, 2]
    """
    low, high = quad.detach().aminmax(dim=1, keepdim=True)
    middle = (low + high) / 2
    far = middle.abs().amax(2, keepdim=True) > (high - low).amax(2, keepdim=True)
    return torch.where(far, middle, 0)


def _checked(src: Tensor, dst: Tensor) -> tuple[Tensor, Tensor]:
    """The two quads in float32 or better; ValueError unless a homography joins them."""
    src, dst = as_float(src, "src", ("B", 4, 2)), as_float(dst, "dst", ("B", 4, 2))
    if src.shape != dst.shape or src.device != dst.device:
        raise ValueError(
            "src and dst must agree in batch and device, got "
            f"{src.shape[0]} on {src.device} and {dst.shape[0]} on {dst.device}"
        )
    raise_where(
        ~quads_fit(src.detach(), dst.detach()),
        "src and dst must not be degenerate quads: three corners on a line, or a fold between them",
    )
    return src, dst


def solve_corners(src: Tensor, dst: Tensor) -> tuple[Tensor, Tensor]:
    """The homography, h33 as it comes, and what its last row's terms amount to without signs.

    [B, 3, 3] and [B, 3]. Every step is homogeneous in the quads' sizes: only their places matter.
    """
    ratio = (_areas(dst) / _areas(src))[:, :3]
    one = torch.ones_like(src[:, :3, :1])
    p = torch.cat([src[:, :3], one], 2)  # one corner a row  [B, 3, 3]
    q = torch.cat([dst[:, :3], one], 2).to(p.dtype)
    scaled, inverse = (q * ratio[:, :, None]).transpose(1, 2), invert(p, "src").transpose(1, 2)
    size = (ratio.detach().abs()[:, :, None] * inverse.detach().abs()).sum(1)
    return matmul(scaled, inverse), size


def _refuse_infinite(h33: Tensor, size: Tensor, dtype: torch.dtype) -> Tensor:
    """Which h33 [B] is rounding of a sum of terms of `size` [B]; ValueError if any is."""
    tiny = h33.abs() <= 8 * torch.finfo(dtype).eps * size
    raise_where(tiny, "src and dst give h33 = 0: the origin goes to infinity")
    return tiny


def homography_at_origin(src: Tensor, dst: Tensor) -> Tensor:
    """`homography_from_corners` for quads around the origin, in half as many steps.

    It loses digits where a quad lies further from the origin than it is wide.  # [B, 3, 3]
    """
    h, size = solve_corners(*_checked(src, dst))
    _refuse_infinite(h[:, 2, 2].detach(), size[:, 2], h.dtype)
    return h / h[:, 2:, 2:]


def homography_from_corners(src: Tensor, dst: Tensor) -> Tensor:
    """The homography with h33 = 1 that takes four points to four points.  # [B, 3, 3]

    src, dst: [B, 4, 2]. As a theta, src are corners in the output and dst the places in the input
    where they are read. Closed form: in the projective basis of its own first three corners, the
    fourth corner of a quad has the triangle areas as its coordinates, so H scales corner i by the
    ratio of the two quads' areas (Heckbert 1989, section 2.2.3, in its symmetric form). Quads far
    from the origin are solved about their own middles and moved back in float64.

    Raises ValueError for degenerate quads (see `quads_fit`) and where h33 would be 0.
    """
    src, dst = _checked(src, dst)
    here, there = _origin(src), _origin(dst)  # [B, 1, 2] each
    about, size = solve_corners(src - here, dst - there)
    x, y = here.double().unbind(2)  # [B, 1] each
    a, b, c = about.double().unbind(2)  # columns  [B, 3] each
    h = torch.stack([a, b, c - (a * x + b * y)], 2)  # reads where src lies
    h = torch.cat([h[:, :2] + there.double().mT * h[:, 2:], h[:, 2:]], 1)
    size = size[:, 0] * x[:, 0].abs() + size[:, 1] * y[:, 0].abs() + size[:, 2]
    h33 = h[:, 2, 2].detach()
    tiny = _refuse_infinite(h33, size, about.dtype)
    # What was moved back is rounded once: its h33 is 1 before float32 takes it.
    moved = (here != 0).flatten(1).any(1) | (there != 0).flatten(1).any(1)
    h = (h / torch.where(moved & ~tiny, h33, 1)[:, None, None]).to(about.dtype)
    return h / h[:, 2:, 2:]
