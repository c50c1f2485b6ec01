"""Where a word's signs come to lie in what the reader gets, against the known truth."""

import torch
from torch import Tensor, nn

from stn_course.data import flat_words, recipes, to_float
from stn_course.data.seeding import TEST, stream
from stn_course.data.words import DIGITS, FLAT, carried
from stn_course.data.words.flat import CELL
from stn_course.geometry import pixel_centres, transform_points
from stn_course.models.layers import evaluating
from stn_course.models.transformers import first_transformer

SCENES = 300  # of the validation words


def sign_middles() -> Tensor:
    """The middles of a flat word's signs in [-1, 1], x first.  # [5, 2]"""
    x = (torch.arange(DIGITS) - (DIGITS - 1) / 2) * 2 * CELL[1] / FLAT[1]
    return torch.stack([x, torch.zeros(DIGITS)], 1)


def output_places(size: tuple[int, int], device=None) -> Tensor:
    """The pixel centres of an output of `size` (H, W), row by row.  # [H*W, 2]"""
    x = pixel_centres(size[1], device=device).expand(size)
    y = pixel_centres(size[0], device=device)[:, None].expand(size)
    return torch.stack([x, y], 2).view(-1, 2)


def places_in_output(theta: Tensor, places: Tensor, size: tuple[int, int]) -> Tensor:
    """The output pixel that reads nearest to each of the input's `places` [B, N, 2].  # [B, N, 2]

    theta [B, ...] of any family, in pixels of `size`, of the output as of the input. A spline need
    not be undone for it.
    """
    pixels = output_places(size, theta.device)
    read = transform_points(theta, pixels)  # [B, H*W, 2]
    half = pixels.new_tensor([size[1] / 2, size[0] / 2])
    away = torch.cdist(places * half, read * half)  # [B, N, H*W]
    return (pixels[away.argmin(2)] + 1) * half - 0.5


def _spread(places: Tensor) -> tuple[list[float], float]:
    """Deviations along x and y of places [B, 5, 2], in mean distances of neighbours; that."""
    pitch = places.diff(dim=1).norm(dim=2).mean()
    return (places.std(0).mean(0) / pitch).tolist(), pitch.item()


def measure_signs(model: nn.Module, device: torch.device) -> dict:
    """How far the middles of the signs spread over scenes, in widths of a sign, before and after.

    `sd_x` and `sd_y`: the deviation of a sign's place over the scenes, mean of the five signs, as
    the reader gets it, over the mean distance of neighbours there: to zoom in changes nothing.
    `before_x`, `before_y`: in the scenes as they came. `pitch`: that distance in pixels, and
    `outside`: share of the output read outside the scene. Without a transformer both are the same.
    """
    words = flat_words("valid")
    images, labels = to_float(words.images[:SCENES]), words.labels[:SCENES]
    generator = torch.Generator().manual_seed(stream(TEST, 3))
    made, _ = recipes.make("words", images, labels, generator)
    true = carried(made, sign_middles()).to(device)  # [B, 5, 2]
    identity = torch.eye(2, 3, device=device).expand(SCENES, 2, 3)
    front = first_transformer(model)
    with evaluating(model):
        if front is not None:
            model(made.images.to(device).contiguous(memory_format=torch.channels_last))
        theta = identity if front is None else front.theta
    read = transform_points(theta, output_places(FLAT, device))
    (after, pitch), (before, _) = (
        _spread(places_in_output(t, true, FLAT)) for t in (theta, identity)
    )
    return {
        "signs": {
            **dict(zip(("sd_x", "sd_y"), after, strict=True)),
            **dict(zip(("before_x", "before_y"), before, strict=True)),
            "pitch": pitch,
            "outside": (read.abs() > 1).any(2).float().mean().item(),
            "scenes": SCENES,
        }
    }
