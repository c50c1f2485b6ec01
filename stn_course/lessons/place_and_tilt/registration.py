"""Registration: the homography between two pictures of one thing, found by descent.

No network and no training: one pair of images, eight numbers, and the gradient that a spatial
transformer learns by. It shows what that gradient can see. A pixel feels only its neighbours,
so descent ends in the right place from nearby alone; blurred and shrunken copies widen the
*basin* from which it does (coarse to fine: Lucas and Kanade 1981; Baker and Matthews 2004).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stn_course import geometry
from stn_course.geometry import (
    as_measure,
    as_whole,
    raise_where,
    real_number,
    whole_number,
    widened,
)
from stn_course.lessons.widgets import Looks
from stn_course.sampling import reference

STEPS, RATE = 150, 0.02


@dataclass
class Registration:
    """`theta` [B, 3, 3] with warp(images, theta) near the targets; `losses` [steps, B].

    `path` [steps, B, 3, 3]: theta before each step.
    """

    theta: Tensor
    losses: Tensor
    path: Tensor


def pyramid(images: Tensor, levels: int) -> list[Tensor]:
    """`images` [B, C, H, W] halved `levels - 1` times by averaging, the smallest first.

    Raises ValueError for levels below 1 or so many that less than 4 pixels would be left.
    """
    given, levels = levels, as_whole(levels)
    if levels is None:
        raise ValueError(f"levels={given!r}; wanted a whole number")
    smallest = min(images.shape[2:]) >> max(levels - 1, 0)
    if levels < 1 or smallest < 4:
        raise ValueError(f"levels={levels} leave {smallest} pixels; wanted 1 or more, and 4 pixels")
    made = [images]
    for _ in range(levels - 1):
        made.insert(0, F.avg_pool2d(made[0], 2))
    return made


def register(
    images: Tensor,
    targets: Tensor,
    *,
    levels: int = 1,
    steps: int = STEPS,
    rate: float = RATE,
    transform: geometry.Parametrisation | None = None,
) -> Registration:
    """Descend from the identity until `images` look like `targets`, each pair on its own.

    images, targets: float [B, C, H, W]. `transform` (default `geometry.Homography`) makes
    theta of raw numbers; Adam with `rate` changes those, `steps` on each of `levels` of the
    pyramid. Coordinates run from -1 to 1 on every level, so what the small picture found is
    where the larger one starts.

    What descends is float32 or better whatever the pictures are: a step of Adam would be lost in
    float16. A transform that turns turns the pixels, of pictures that are not square too.

    Raises TypeError for what is no floating-point tensor, ValueError for shapes that differ, for
    NaN and infinity, for a spline, which has no corners, and for levels, steps or rates that
    cannot be.
    """
    for name, given in (("images", images), ("targets", targets)):
        reference.check_images(given, name)
        raise_where(~given.isfinite(), f"{name} must be finite, got NaN or infinity")
    transform = geometry.Homography() if transform is None else transform
    makes_matrix = isinstance(transform, geometry.Parametrisation)
    if not makes_matrix or isinstance(transform, geometry.ThinPlateSpline):
        raise ValueError(f"transform={transform!r}; wanted one that makes a matrix")
    if images.shape != targets.shape:
        raise ValueError(f"images {list(images.shape)} and targets {list(targets.shape)} differ")
    whole, speed = as_whole(steps), as_measure(rate)
    if whole is None or whole < 1 or speed is None or not speed > 0:
        raise ValueError(f"steps={steps}, rate={rate}; wanted both above 0, steps whole")
    # What made the pictures is none of this: its graph would be gone after the first step.
    images, targets = widened(images.detach()), widened(targets.detach())
    with torch.enable_grad():
        return _descend(images, targets, levels, whole, speed, transform)


def _descend(images, targets, levels: int, steps: int, rate: float, transform) -> Registration:
    size = tuple(images.shape[2:])  # on every level: a halved odd side is of another shape
    raw = transform.identity().to(images).repeat(len(images), 1).requires_grad_()  # [B, 8]
    losses, path = [], []
    for small, aim in zip(pyramid(images, levels), pyramid(targets, levels), strict=True):
        optimiser = torch.optim.Adam([raw], rate)
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = rate * (1 - step / steps)
            theta = transform.on(raw, size)
            moved = reference.warp(small, theta)
            loss = (moved - aim).square().mean((1, 2, 3))  # [B]
            optimiser.zero_grad()
            loss.sum().backward()
            optimiser.step()
            losses.append(loss.detach())
            path.append(geometry.to_homogeneous(theta.detach()))
    theta = geometry.to_homogeneous(transform.on(raw, size).detach())
    return Registration(theta, torch.stack(losses), torch.stack(path))


def displaced(
    n: int, pixels: float, side: int | tuple[int, int], generator: torch.Generator
) -> Tensor:
    """theta [n, 3, 3] that read each corner `pixels` away, in a direction drawn at random.

    `side` is the image's, in pixels, or its (height, width). Quads that fold or hide the horizon
    are drawn again; ValueError where `pixels` are so many that most would.
    """
    n, pixels = whole_number("n", n, least=0), real_number("pixels", pixels)
    corners = torch.tensor([[[-1.0, -1], [1, -1], [1, 1], [-1, 1]]]).expand(n, 4, 2)
    across = geometry.pixels_across(side, corners)  # of x and y
    if not 0 <= pixels < torch.as_tensor(across).min() / 2:
        raise ValueError(f"pixels={pixels}; wanted 0 or more, and less than half a side of {side}")

    def drawn() -> Tensor:
        turn = 2 * torch.pi * torch.rand(n, 4, generator=generator)
        return corners + 2 * pixels / across * torch.stack([turn.cos(), turn.sin()], 2)

    quads = drawn()
    while (bad := ~geometry.quads_fit(corners, quads)).any():
        quads = torch.where(bad[:, None, None], drawn(), quads)
    return geometry.homography_from_corners(corners, quads)


def corner_error(found: Tensor, true: Tensor, side: int | tuple[int, int]) -> Tensor:
    """Mean distance in pixels between where two thetas read the four corners.  # [B]

    found, true: [B, 2, 3] or [B, 3, 3]. `side`: of the picture in pixels, or its (height, width).
    """
    found, true = geometry.to_homogeneous(found), geometry.to_homogeneous(true)
    found, true = (t.to(torch.promote_types(found.dtype, true.dtype)) for t in (found, true))
    corners = found.new_tensor([[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
    a, b = (corners @ theta.transpose(1, 2) for theta in (found, true))  # [B, 4, 3]
    apart, half = (
        a[..., :2] / a[..., 2:] - b[..., :2] / b[..., 2:],
        geometry.pixels_across(side, found) / 2,
    )
    if isinstance(half, Tensor):  # of x and of y: from here on, a unit of either is 1 pixel
        apart, half = apart * half, 1
    return half * apart.norm(dim=2).mean(1)


def basin(
    image: Tensor,
    pixels: list[float],
    *,
    levels: int = 1,
    n: int = 16,
    seed: int = 0,
    within: float = 0.5,
    **options,
) -> list[float]:
    """The share of `n` displaced copies of `image` that are found again, for each distance.

    image: float [1, C, H, W]. Found: the corners are right to `within` pixels on average.
    The same copies for any `levels` and `options` (as in `register`), so that ways compare.
    Raises ValueError for another image, for `n` below 1, and as `register` does.
    """
    reference.check_images(image, "image")
    if image.shape[0] != 1:
        raise ValueError(f"image is {list(image.shape)}; wanted one image [1, C, H, W]")
    n, image = whole_number("n", n), widened(image)
    side = tuple(image.shape[2:])
    found = []
    for k, distance in enumerate(pixels):
        true = displaced(n, distance, side, torch.Generator().manual_seed(seed + k)).to(image)
        copies = image.expand(n, -1, -1, -1)
        result = register(copies, reference.warp(copies, true), levels=levels, **options)
        right = corner_error(result.theta, true, side) < within
        found.append(right.float().mean().item())
    return found


class DescentPlayer(Looks):
    """The steps of descents side by side, and what is sought: a slider, and a button that plays.

    image: [1, 1, H, W] in [0, 1]; `found`: a registration of it for each caption; `true` [1, 3, 3]:
    what reads the target. Every `every`-th step is shown, and where it ended. Raises ValueError for
    registrations of several images, or of other numbers of steps.
    """

    def __init__(self, image: Tensor, found: dict[str, Registration], true: Tensor, every: int = 3):
        lengths = {tuple(each.path.shape[:2]) for each in found.values()}
        if len(lengths) != 1 or (steps := lengths.pop())[1] != 1:
            raise ValueError("found has several images or numbers of steps; wanted one of each")
        shown = range(0, steps[0], whole_number("every", every))
        paths = [torch.cat([each.path[shown, 0], each.theta]) for each in found.values()]
        thetas = torch.stack([*paths, true.expand_as(paths[0])])  # [captions + 1, T, 3, 3]
        super().__init__(
            image[0].clamp(0, 1).expand(len(thetas), -1, -1),
            thetas,
            [*shown, steps[0]],
            image.shape[2:],
            captions=[*found, "what is sought"],
            margin=8,
        )

    def __repr__(self) -> str:
        return f"DescentPlayer({len(self.pictures) - 1} descents, {len(self.steps)} steps)"
