"""Flat words as labels in a scene: tilted, bent, coloured, unevenly lit, blurred, noisy.

The label's place is known exactly. A point q of the scene is read at `bent(theta q)` of the flat
word: the homography theta undoes position, turn and perspective, and what is left is a bow,
(u, v) -> (u, v + bend (u^2 - 1/3)), as of a label around a bottle.
"""

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from stn_course.data.scenes import check_floating
from stn_course.data.words.flat import FLAT
from stn_course.geometry import as_float, as_int64, invert, matmul, pixel_centres, to_homogeneous
from stn_course.sampling import reference

SCENE = FLAT  # (height, width) of the picture in pixels
# Of the motion of the label: half ranges, or low and high.
ANGLE = 10.0  # degrees
ZOOM = (0.62, 0.82)  # width of the label over the scene's
TALLER = (0.9, 1.15)  # its height, beside that
SHIFT = (0.14, 0.18)  # of its middle, in half sides of the scene: x, y
TILT = (0.25, 0.12)  # the two perspective terms
BEND = 0.5  # half heights of the label between its middle and its ends
PAPER, INK = (0.55, 1.0), (0.0, 0.4)  # each channel; one label in two has them swapped
OCTAVES = ((2, 5), (6, 18), (16, 48))  # of the texture, in cells each way
ROUGH = (0.3, 0.08)  # largest share of the texture, of the background and of the label
NOISE = 0.06  # largest deviation of the noise


@dataclass(frozen=True)
class Bent:
    """Scenes: `images` [B, 3, 32, 96] in [0, 1], `labels` as they came, and the true motion.

    `theta` [B, 3, 3] (output -> input, h33 = 1) and then `bend` [B]: see the module.
    """

    images: Tensor
    theta: Tensor
    bend: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Drawn:
    """Everything that is random about n scenes.

    `theta` [n, 3, 3] and `bend` [n], the motion; `colours` [n, 3 kinds, 3 channels] of paper, ink
    and background; `texture` [n, 1, H, W] about 0 and how `rough` [n, 2] background and label are;
    `light` [n, 3]: its slopes along x and y, and how much darker the corners are; `blur` [n, 2]:
    how much of each of two smoothings; `noise` [n, 3, H, W] as it is added.
    """

    theta: Tensor
    bend: Tensor
    colours: Tensor
    texture: Tensor
    rough: Tensor
    light: Tensor
    blur: Tensor
    noise: Tensor


def word_scenes(images: Tensor, labels: Tensor, generator: Generator) -> Bent:
    """Each of the flat words `images` [B, 1, h, w], 1 = ink, in a scene of its own, 32x96.

    The generator is on the images' device. Raises TypeError for images that are not floating point,
    ValueError for other shapes.
    """
    check_floating(images)
    if images.ndim != 4 or images.shape[1] != 1:
        raise ValueError(f"images have shape {list(images.shape)}; wanted [B, 1, h, w]")
    labels = as_int64(labels, "labels")
    drawn = drawn_scenes(len(images), generator)
    return Bent(rendered(images, drawn), drawn.theta, drawn.bend, labels)


def straight_scenes(images: Tensor, labels: Tensor, generator: Generator) -> Bent:
    """`word_scenes` read at its true places: what a transformer would make that never errs."""
    made = word_scenes(images, labels, generator)
    return replace(made, images=straightened(made))


def straightened(made: Bent) -> Tensor:
    """The scenes of `made` read where the word truly lies, flat.  # [B, 3, 32, 96]"""
    (height, width), one = FLAT, made.theta
    x = pixel_centres(width, dtype=one.dtype, device=one.device).expand(height, width)
    y = pixel_centres(height, dtype=one.dtype, device=one.device)[:, None].expand(height, width)
    grid = carried(made, torch.stack([x, y], 2).view(-1, 2)).view(-1, height, width, 2)
    return reference.bilinear_sample(made.images, grid, padding="border")


def drawn_scenes(n: int, generator: Generator) -> Drawn:
    """The chances of `n` scenes, in one order."""
    options = {"generator": generator, "device": generator.device}
    u = torch.rand(n, 20, **options)
    (theta, bend), size = _motion(u[:, :8]), (n, 3, *SCENE)
    colours = torch.rand(n, 3, 3, **options)
    paper, ink = (low + (high - low) * colours[:, k] for k, (low, high) in enumerate((PAPER, INK)))
    swap = (u[:, 8] < 0.5)[:, None]
    sheet = torch.where(swap, ink, paper), torch.where(swap, paper, ink), colours[:, 2]
    octaves = [torch.randn(n, 1, *cells, **options) for cells in OCTAVES]
    texture = sum(F.interpolate(each, SCENE, mode="bilinear") for each in octaves) / 2
    noise = torch.randn(size, **options) * (NOISE * u[:, 9]).view(-1, 1, 1, 1)
    return Drawn(
        theta=theta,
        bend=bend,
        colours=torch.stack(sheet, 1),
        texture=texture,
        rough=torch.stack([ROUGH[k] * u[:, 10 + k] for k in (0, 1)], 1),
        light=torch.cat([0.4 * (2 * u[:, 12:14] - 1), 0.3 * u[:, 14:15]], 1),
        blur=u[:, 15:17],
        noise=noise,
    )


def _motion(u: Tensor) -> tuple[Tensor, Tensor]:
    """theta [n, 3, 3] and bend [n] of uniform numbers `u` [n, 8]."""
    half = 2 * u - 1
    turn = torch.deg2rad(ANGLE * half[:, 0])
    wide = ZOOM[0] + (ZOOM[1] - ZOOM[0]) * u[:, 1]
    tall = wide * (TALLER[0] + (TALLER[1] - TALLER[0]) * u[:, 2])
    ratio, one, zero = SCENE[1] / SCENE[0], torch.ones_like(turn), torch.zeros_like(turn)
    cos, sin = turn.cos(), turn.sin()  # pixels turn, and x counts 48 of them, y 16
    rows = [wide * cos, -tall * sin / ratio, SHIFT[0] * half[:, 3]]
    rows += [wide * sin * ratio, tall * cos, SHIFT[1] * half[:, 4], zero, zero, one]
    placed = torch.stack(rows, 1).view(-1, 3, 3)
    tilted = [one, zero, zero, zero, one, zero, TILT[0] * half[:, 5], TILT[1] * half[:, 6], one]
    carried = matmul(placed, torch.stack(tilted, 1).view(-1, 3, 3))
    theta = invert(carried)
    return theta / theta[:, 2:, 2:], BEND * half[:, 7]


def bent(points: Tensor, bend: Tensor, back: bool = False) -> Tensor:
    """Points [B, N, 2] of the sheet before it is flattened, flat: the bow undone, or made anew."""
    u, v = points.unbind(-1)
    bow = bend[:, None] * (u.square() - 1 / 3)
    return torch.stack([u, v - bow if back else v + bow], -1)


def carried(made: Bent | Drawn, points: Tensor) -> Tensor:
    """Where in the scene the places `points` [N, 2] of the flat word lie.  # [B, N, 2]

    Both in [-1, 1], x first.
    """
    points = as_float(points, "points", ("N", 2)).to(made.theta)
    points = bent(points.expand(len(made.bend), -1, -1), made.bend, back=True)
    return _through(invert(made.theta), points)


def _through(theta: Tensor, points: Tensor) -> Tensor:
    """Points [B, N, 2] through homographies [B, 3, 3].  # [B, N, 2]"""
    ones = torch.ones_like(points[..., :1])
    uvw = matmul(torch.cat([points, ones], -1), to_homogeneous(theta).mT)
    return uvw[..., :2] / uvw[..., 2:]


# ---------------------------------------------------------------- the picture
def rendered(words: Tensor, drawn: Drawn) -> Tensor:
    """The scenes [B, 3, H, W] of flat `words` [B, 1, h, w] and what was drawn for them."""
    grid = reference.homography_grid(drawn.theta, SCENE)  # [B, H, W, 2]
    grid = bent(grid.flatten(1, 2), drawn.bend).view(grid.shape)
    sheet = torch.cat([words, torch.ones_like(words)], 1)
    ink, label = reference.bilinear_sample(sheet, grid, padding="zeros").split(1, 1)
    paper, pen, ground = drawn.colours[..., None, None].unbind(1)  # [B, 3, 1, 1] each
    rough = drawn.rough[..., None, None, None]
    scene = ground + rough[:, 0] * drawn.texture
    scene = torch.lerp(scene, torch.lerp(paper, pen, ink) + rough[:, 1] * drawn.texture, label)
    scene = scene * _light(drawn.light)
    for share in drawn.blur.unbind(1):
        scene = torch.lerp(scene, smoothed(scene), share.view(-1, 1, 1, 1))
    return (scene + drawn.noise).clamp(0, 1)


def _light(light: Tensor) -> Tensor:
    """How bright each pixel is lit: slopes and corners of `light` [B, 3].  # [B, 1, H, W]"""
    x = pixel_centres(SCENE[1], device=light.device)  # [W]
    y = pixel_centres(SCENE[0], device=light.device)[:, None]  # [H, 1]
    along, down, corners = light[:, :, None, None, None].unbind(1)
    return 1 + along * x + down * y - corners * (x.square() + y.square()) / 2


def smoothed(images: Tensor) -> Tensor:
    """Each pixel with its eight neighbours, weighed 1 2 1 each way; edges go on outwards."""
    wide = F.pad(images, (1, 1, 1, 1), mode="replicate")
    across = (wide[..., :-2] + 2 * wide[..., 1:-1] + wide[..., 2:]) / 4
    return (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]) / 4
