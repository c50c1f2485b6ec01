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
    raise_where(
        ~quads_fit(src.detach(), dst.detach()),
        "src and dst must not be degenerate quads: three corners on a line, or a fold between them",
    )
    ratio = (_areas(dst) / _areas(src))[:, :3]
    one = torch.ones_like(src[:, :3, :1])
    p = torch.cat([src[:, :3], one], 2)  # one corner a row  [B, 3, 3]
    q = torch.cat([dst[:, :3], one], 2).to(p.dtype)
    scaled = (q * ratio[:, :, None]).transpose(1, 2)
    h = matmul(scaled, invert(p, "src").transpose(1, 2))
    tiny = h[:, 2, 2].detach().abs() <= 8 * torch.finfo(h.dtype).eps * h.detach().abs().amax((1, 2))
    raise_where(tiny, "src and dst give h33 = 0: the origin goes to infinity")
    return h / h[:, 2:, 2:]
