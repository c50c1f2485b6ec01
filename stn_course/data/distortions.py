"""Distortion recipes for one digit: seeded, on any device, with the true transform returned.

A recipe takes float images `[B, 1, H, W]` in [0, 1] and a generator on the same device.
"STN" is Jaderberg et al. 2015 (arXiv 1506.02025), whose canvases for R, P and E are not
stated: they are the digit's own 28x28 here.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from stn_course import geometry
from stn_course.geometry import frame_corners, real_number, whole_number
from stn_course.sampling import fused, reference


@dataclass(frozen=True)
class Distorted:
    """`images` [B, 1, H, W] and the true transform `theta` (output -> input) behind them.

    `stn_course.warp(digits, theta, size=images.shape[2:], padding="zeros")` makes `images`
    of the digits as they came, also where the canvas is larger than they are (apart from
    clutter, and from nearest sampling in the mixtures). An affine theta is [B, 2, 3], a
    homography [B, 3, 3], thin-plate-spline offsets [B, 16, 2].
    """

    images: Tensor
    theta: Tensor


@dataclass(frozen=True)
class Ranges:
    """Half ranges or ranges of one affine branch, in the units that recipes state.

    `scale_x` and `scale_y`: low and high factor; `shift`: largest fraction of the
    side, each way; `angle` and `shear`: largest degrees, each way. `one_scale`
    draws one factor for both axes. `order` is the product of the motions as in
    `geometry.affine`, the last letter first: "TRSZ" or "RTSZ".
    """

    scale_x: tuple[float, float] = (1.0, 1.0)
    scale_y: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    angle: float = 0.0
    shear: float = 0.0
    one_scale: bool = False
    order: str = "TRSZ"

    def __post_init__(self):
        for name in ("scale_x", "scale_y"):
            object.__setattr__(self, name, _limits(name, getattr(self, name)))
        for name in ("shift", "angle", "shear"):
            object.__setattr__(self, name, real_number(name, getattr(self, name)))


def _limits(name: str, pair: tuple[float, float]) -> tuple[float, float]:
    """Two scales as Python has them; TypeError or ValueError for anything else."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise TypeError(f"{name}={pair!r}; wanted two numbers, low and high")
    return tuple(real_number(name, each, above=0) for each in pair)


def draw_affine(ranges: Ranges, n: int, generator: Generator, size=None) -> Tensor:
    """theta [n, 2, 3] drawn uniformly and independently from `ranges`.

    The content is zoomed, sheared, turned and shifted, in this order or as `ranges.order`
    has it (ValueError for another). The shear by `s` is [[1, -sin s], [0, cos s]], as
    imgaug, scikit-image and HR have it: a shear by -s after a zoom of y by cos s.
    `size`: (height, width) of a non-square canvas, whose pixels turn and shear.
    """
    n = whole_number("n", n, least=0)
    u = torch.rand(6, n, generator=generator, device=generator.device)  # [6, n]
    return _reading_of(_drawn(ranges, u), ranges.order, size)


def _drawn(ranges: Ranges, u: Tensor) -> Tensor:
    """angle, shear, both scales and both shifts of uniform numbers `u` [6, n].  # [6, n]"""
    side = 2 * ranges.shift * (2 * u[4:6] - 1)  # the side is 2 in normalised units
    own = [ranges.angle * (2 * u[2] - 1), ranges.shear * (2 * u[3] - 1)]
    zoom_y = _between(ranges.scale_y, u[0] if ranges.one_scale else u[1])
    return torch.stack([*own, _between(ranges.scale_x, u[0]), zoom_y, *side])


def _reading_of(drawn: Tensor, order: str, size=None) -> Tensor:
    """theta [n, 2, 3] of what `_drawn` gives: as `geometry.affine`, in a quarter of its time."""
    height, width = (1, 1) if size is None else geometry.check_size(size)
    ratio = height / width  # 1 changes no bit of what follows
    angle, shear, zoom_x, zoom_y, tx, ty = drawn
    turn, lean = torch.deg2rad(angle), torch.deg2rad(shear)
    cos, sin, tan, tall = turn.cos(), turn.sin(), lean.tan(), lean.cos() * zoom_y
    a, b = (cos + tan * sin) / zoom_x, (tan * cos - sin) / zoom_x * ratio
    d, e = sin / tall / ratio, cos / tall
    if order == "TRSZ":
        c, f = -(a * tx + b * ty), -(d * tx + e * ty)
    elif order == "RTSZ":
        c, f = -(tx + tan * ratio * ty) / zoom_x, -ty / tall
    else:
        raise ValueError(f"order={order!r}; wanted 'TRSZ' or 'RTSZ'")
    return torch.stack([a, b, c, d, e, f], 1).view(-1, 2, 3)


def _between(limits: tuple[float, float], u: Tensor) -> Tensor:
    return limits[0] + (limits[1] - limits[0]) * u


def mixture(branches: tuple[Ranges, ...], images: Tensor, generator: Generator) -> Distorted:
    """One of `branches` for each image, with nearest or bilinear sampling by a coin flip.

    XQ's recipes, drawn as imgaug did before 0.4 (one x-shear; later versions shear y as
    well). Outside is black, as published.
    """
    n = len(images)
    u = torch.rand(len(branches), 6, n, generator=generator, device=generator.device)
    drawn = torch.stack([_drawn(b, own) for b, own in zip(branches, u, strict=True)], 2)
    which = torch.randint(len(branches), (n,), generator=generator, device=generator.device)
    chosen = drawn.gather(2, which.expand(6, 1, n).transpose(1, 2))
    size = tuple(images.shape[2:])
    theta = _reading_of(chosen[..., 0], branches[0].order, size)  # [n, 2, 3]
    coin = torch.rand(n, generator=generator, device=generator.device) < 0.5
    smooth = fused.warp(images, theta, padding="zeros")
    blocky = reference.warp(images, theta, padding="zeros", mode="nearest")
    return Distorted(torch.where(coin[:, None, None, None], smooth, blocky), theta)


# XQ's script and README table, and its notebook (near the blog's text).
HARD = (
    Ranges((0.5, 1.3), (0.5, 1.3), shift=0.3, angle=75, shear=30),
    Ranges((0.5, 1.3), (0.5, 1.3)),
    Ranges(shift=0.3),
    Ranges(angle=75),
    Ranges(shear=30),
)
MILD = (
    Ranges((0.6, 1.1), (0.5, 1.1), shift=0.2, angle=30, shear=15),
    Ranges((0.6, 1.1), (0.6, 1.1)),
    Ranges((0.6, 0.8), (0.6, 0.8), shift=0.2),
    Ranges(angle=60),
    Ranges(shear=40),
)


def hard(images: Tensor, generator: Generator) -> Distorted:
    """XQ's HARD: all of scale .5-1.3, shift .3, angle 75, shear 30, or one of them alone."""
    return mixture(HARD, images, generator)


def mild(images: Tensor, generator: Generator) -> Distorted:
    """XQ's MILD: the gentler mixture of its notebook."""
    return mixture(MILD, images, generator)


def _affine(
    images: Tensor, ranges: Ranges, generator: Generator, canvas: tuple[int, int]
) -> Distorted:
    """`images` in the middle of a black canvas (H, W), moved there by a draw from `ranges`."""
    theta = draw_affine(ranges, len(images), generator, canvas)
    (height, width), (h, w) = canvas, images.shape[2:]
    theta = torch.stack([theta[:, 0] * (width / w), theta[:, 1] * (height / h)], 1)
    return Distorted(fused.warp(images, theta, canvas, padding="zeros"), theta)


# HR multiplies rotation, translation, shear and zoom, in this order.
HR = Ranges((0.8, 1.2), (0.8, 1.2), shift=0.25, angle=30, shear=20, order="RTSZ")
R = Ranges(angle=90)
# Anywhere: the upright 28x28 cell may lie anywhere on the 42x42 canvas, 7 px each way.
RTS = Ranges((0.7, 1.2), (0.7, 1.2), shift=7 / 42, angle=45, one_scale=True)


def hr(images: Tensor, generator: Generator) -> Distorted:
    """HR's padded digits: 40x40, turned by 30 degrees, sheared by 20, zoomed, shifted by 10 px.

    Its matrix R T S Z is read as the motion of the content, about the canvas's centre.
    """
    return _affine(images, HR, generator, (40, 40))


def rotated(images: Tensor, generator: Generator) -> Distorted:
    """STN's R: turned by up to 90 degrees either way."""
    return _affine(images, R, generator, tuple(images.shape[2:]))


def rts(images: Tensor, generator: Generator) -> Distorted:
    """STN's RTS: turned by up to 45 degrees, scaled by .7-1.2, anywhere on 42x42."""
    return _affine(images, RTS, generator, (42, 42))


# ---------------------------------------------------------------- perspective and elastic
STN_SCALE = (0.75, 1.0)  # of P and E, before anything else


def projective(images: Tensor, generator: Generator) -> Distorted:
    """STN's P: scaled by .75-1, then each corner of the image moved by N(0, 5 px) in x and y."""
    theta = draw_projective(len(images), generator, side=tuple(images.shape[2:]))
    return Distorted(fused.warp(images, theta, padding="zeros"), theta)


def draw_projective(
    n: int,
    generator: Generator,
    side: int | tuple[int, int] = 28,
    pixels: float = 5.0,
    scale: tuple[float, float] = STN_SCALE,
) -> Tensor:
    """theta [n, 3, 3], h33 = 1: the content scaled, then its frame's corners moved.

    Some draws give no picture, and the paper does not say what became of them: a quad that
    is dented, crossed or mirrored, or whose horizon lies on the canvas. They are rejected
    and drawn again (at 5 of 28 pixels about one in 24), so the corners of the quads
    that remain spread a little less than N(0, 5 px). `side`: of the picture in pixels, or its
    (height, width), so that a pixel is as long across as down.
    """
    n, pixels = whole_number("n", n, least=0), real_number("pixels", pixels)
    scale = _limits("scale", scale)
    options = {"generator": generator, "device": generator.device, "dtype": torch.float64}
    zoom = _between(scale, torch.rand(n, **options))
    corners, sd = frame_corners(zoom), 2 * pixels / geometry.pixels_across(side, zoom)
    theta, shows = _reading(corners + sd * torch.randn(n, 4, 2, **options))
    while (bad := ~shows).any():
        again = sd * torch.randn(int(bad.sum()), 4, 2, **options)
        theta[bad], shows[bad] = _reading(corners + again)
    theta[:, :2] /= zoom[:, None, None]
    return theta.float()


def _reading(quads: Tensor) -> tuple[Tensor, Tensor]:
    """theta [n, 3, 3] of the motion that carries the frame's corners to `quads` [n, 4, 2].

    And whether what it carries can be drawn: no dent, fold, mirror or horizon.  # bool [n]
    In closed form for a square (Heckbert 1989, section 2.2.3), so that nothing is refused.
    """
    (x0, x1, x2, x3), (y0, y1, y2, y3) = (side.unbind(1) for side in quads.unbind(2))  # [n] each
    sx, sy = (x0 - x1 + x2 - x3) / 2, (y0 - y1 + y2 - y3) / 2
    ax, ay, bx, by = x1 - x2, y1 - y2, x3 - x2, y3 - y2  # the two sides at corner 2
    area = ax * by - bx * ay
    g, h = (sx * by - bx * sy) / area, (ax * sy - sx * ay) / area
    # The motion, from (x, y) in [-1, 1]: rows (a, b, c), (d, e, f), (g, h, k).
    k = 1 + g + h
    a, b = (x1 - x0) / 2 + g * x1, (x3 - x0) / 2 + h * x3
    d, e = (y1 - y0) / 2 + g * y1, (y3 - y0) / 2 + h * y3
    c, f = x0 + a + b, y0 + d + e
    inverse = [e * k - f * h, c * h - b * k, b * f - c * e]
    inverse += [f * g - d * k, a * k - c * g, c * d - a * f]
    inverse += [d * h - e * g, b * g - a * h, a * e - b * d]
    theta = torch.stack(inverse, 1).view(-1, 3, 3) / inverse[8][:, None, None]
    turns = [bx * ay - ax * by, (y0 - y3) * bx - (x0 - x3) * by]  # at corners 2 and 3
    turns += [(x1 - x0) * (y3 - y0) - (y1 - y0) * (x3 - x0), (x0 - x1) * ay - (y0 - y1) * ax]
    ahead = theta[:, 2, 0].abs() + theta[:, 2, 1].abs() < 1  # w > 0 on the whole canvas
    return theta, ahead & (inverse[8] > 0) & (torch.stack(turns) > 0).all(0)


def elastic(images: Tensor, generator: Generator) -> Distorted:
    """STN's E: scaled by .75-1, then bent by a thin-plate spline of 4x4 points, N(0, 1.5 px)."""
    offsets = draw_elastic(len(images), generator, side=tuple(images.shape[2:]))
    return Distorted(fused.warp(images, offsets, padding="zeros"), offsets)


def draw_elastic(
    n: int,
    generator: Generator,
    side: int | tuple[int, int] = 28,
    pixels: float = 1.5,
    scale: tuple[float, float] = STN_SCALE,
) -> Tensor:
    """Offsets [n, 16, 2] of one spline that holds the scale too.

    The places where the 16 points of the output are *read* in the scaled image move by
    N(0, `pixels`): a spline's inverse is no spline. A spline reproduces the scale
    exactly, so point c, read at (c + noise) / scale, has the offset (c + noise) / scale - c.
    `side` as in `draw_projective`.
    """
    n, pixels = whole_number("n", n, least=0), real_number("pixels", pixels)
    options = {"generator": generator, "device": generator.device}
    zoom = _between(_limits("scale", scale), torch.rand(n, 1, 1, **options))
    noise = 2 * pixels / geometry.pixels_across(side, zoom) * torch.randn(n, 16, 2, **options)
    points = geometry.control_points((4, 4), device=generator.device)  # [16, 2]
    return (points + noise) / zoom - points


# As far as notebook 01's robustness curves go.
POSE = Ranges((0.5, 1.5), (0.5, 1.5), shift=0.25, angle=90, one_scale=True)
GENTLE = Ranges((0.85, 1.15), (0.85, 1.15), shift=0.08, angle=15, shear=15)


def pose(images: Tensor, generator: Generator) -> Distorted:
    """Angle within 90 degrees, scale .5-1.5, shift within a quarter of the side, all at once."""
    theta = draw_affine(POSE, len(images), generator, tuple(images.shape[2:]))
    return Distorted(fused.warp(images, theta), theta)


def gentle(images: Tensor, generator: Generator) -> Distorted:
    """For clean digits: a small affine motion, bent by a spline.

    Each of 4x4 control points is read where the motion has it, moved by N(0, 1 px).
    """
    n, size = len(images), tuple(images.shape[2:])
    theta = draw_affine(GENTLE, n, generator, size)
    drawn = torch.randn(n, 16, 2, generator=generator, device=generator.device)
    noise = 2 / geometry.pixels_across(size, theta) * drawn
    points = geometry.control_points((4, 4), device=generator.device)  # [16, 2]
    read = (points + noise) @ theta[:, :, :2].mT + theta[:, None, :, 2]  # [n, 16, 2]
    offsets = read - points
    return Distorted(fused.warp(images, offsets, padding="zeros"), offsets)
