"""How upright and centred a transformer leaves its digits: what remains of the true motion."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from stn_course import data, geometry
from stn_course.data import mnist, to_float
from stn_course.models.layers import evaluating
from stn_course.models.transformers import first_posed_transformer


def residual(true: Tensor, found: Tensor, size=None) -> tuple[Tensor, Tensor, Tensor]:
    """(angle in degrees [B], centre [B, 2], zoom [B]) of digits after their transformer.

    true [B, 2, 3]: the transform behind each distorted image; found [B, 2, 3]: what the
    transformer read it by. Their composition takes the output back to the digit as it was
    written; the identity is upright and centred. The angle is that of the nearest rotation
    (counter-clockwise on the screen; where the digit is mirrored, once the output is mirrored
    back, left for right), the centre is where the middle of the output lies on the digit's
    canvas in normalised units, the zoom the root of the determinant (negative where the digit
    is mirrored). `size`: (height, width) of the digit's canvas where it is not square, whose
    pixels are what turned.
    """
    both = geometry.compose(true, found)  # output -> digit
    height, width = (1, 1) if size is None else geometry.check_size(size)
    ratio = height / width
    a, b, c, d = both[:, 0, 0], both[:, 0, 1] / ratio, both[:, 1, 0] * ratio, both[:, 1, 1]
    det = a * d - b * c
    side = torch.where(det < 0, -1, 1)  # no rotation is nearest to a mirror: undo it first
    angle = torch.rad2deg(torch.atan2(side * c - b, side * a + d))
    return angle, both[:, :, 2], det.sign() * det.abs().sqrt()


def spread(
    angles: Tensor, centres: Tensor, zooms: Tensor, pixels: float | tuple[float, float]
) -> dict[str, float]:
    """Means and deviations of `residual`; `pixels` is half a side of the digit's canvas.

    Half its height and half its width where it is not square.

    The deviation of the angle is circular: sqrt(-2 log R) in degrees, with R the length of
    the mean direction. That of the centre is the root mean squared distance to its mean.
    """
    if isinstance(pixels, tuple | list):  # from here on, a unit of x and one of y are 1 pixel
        down, across = (geometry.real_number("pixels", each, above=0) for each in pixels)
        centres, pixels = centres * centres.new_tensor([across, down]), 1.0
    pixels = geometry.real_number("pixels", pixels, above=0)
    turns = torch.deg2rad(angles.double())
    x, y = turns.cos().mean().item(), turns.sin().mean().item()
    length = min(1.0, math.hypot(x, y))
    middle = centres.double().mean(0)
    return {
        "angle_mean": math.degrees(math.atan2(y, x)),
        "angle_sd": math.degrees(math.sqrt(-2 * math.log(max(length, 1e-12)))),
        "centre_offset": (pixels * middle.norm()).item(),
        "centre_sd": (pixels * (centres - middle).norm(dim=1).square().mean().sqrt()).item(),
        "zoom_mean": zooms.abs().mean().item(),
        "mirrored": (zooms < 0).double().mean().item(),
        "n": len(angles),
    }


def measure_pose(
    model: nn.Module, name: str, device: torch.device, split: str = "test", seed: int = 0
) -> dict[str, dict]:
    """`spread` of `split` under the affine recipe `name`: as drawn, and after `model`.

    Raises ValueError for a model without one transformer in front, or a recipe without an affine
    truth.
    """
    front = first_posed_transformer(model)
    digits = mnist(split)
    made, _ = data.freeze(name, digits.images.to(device), digits.labels.to(device), seed)
    if made.theta.shape[1:] != (2, 3):
        raise ValueError(f"name={name!r} has no affine truth; wanted hr, r, rts, hard, mild, pose")
    found = []
    with evaluating(model):
        for images in made.images.split(250):
            model(to_float(images).to(memory_format=torch.channels_last))
            found.append(front.theta)
    half = digits.images.shape[-1] / 2  # of a square
    identity = geometry.affine().to(made.theta).expand_as(made.theta)
    return {
        "before": spread(*residual(made.theta, identity), half),
        "after": spread(*residual(made.theta, torch.cat(found)), half),
    }


def pose_probe(name: str) -> Callable[[nn.Module, torch.device], dict[str, dict]]:
    """`measure_pose` under the recipe `name`, as an experiment's probe calls it."""
    return lambda model, device: measure_pose(model, name, device)
