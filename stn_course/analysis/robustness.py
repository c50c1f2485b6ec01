"""How accuracy changes as digits turn, move and grow, and how far a layer is from commuting."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from stn_course import geometry
from stn_course.analysis.accuracy import evaluate
from stn_course.data import to_float
from stn_course.sampling import reference

Warp = Callable[[Tensor, float], Tensor]  # images [B,C,H,W], amount -> moved images


def rotate(images: Tensor, degrees: float) -> Tensor:
    """Turn the content of `images` [B, C, H, W] counter-clockwise about the centre."""
    return _moved(images, angle=degrees)


def zoom(images: Tensor, factor: float) -> Tensor:
    """Make the content `factor` times as large, about the centre."""
    return _moved(images, scale=factor)


def shift(images: Tensor, pixels: float) -> Tensor:
    """Move the content right by `pixels` (left where negative)."""
    pixels = geometry.real_number("pixels", pixels)
    return _moved(images, shift=(2 * pixels / images.shape[-1], 0.0))


def _moved(images: Tensor, **motion) -> Tensor:
    size = tuple(images.shape[2:])  # pixels turn, of pictures that are not square too
    theta = geometry.affine(**motion, size=size).to(images.device)  # [1, 2, 3]
    return reference.warp(images, theta.expand(images.shape[0], 2, 3))


def accuracy_curve(
    model: nn.Module, images: Tensor, labels: Tensor, warp: Warp, values: Iterable[float]
) -> list[int]:
    """How many of `images` (uint8 [N, C, H, W]) are read right after `warp` by each value."""
    moved = to_float(images)
    return [evaluate(model, warp(moved, v), labels)["correct"] for v in values]


# What the robustness curves of notebook 01 measure.
MOTIONS: dict[str, tuple[Warp, list[float]]] = {
    "angle": (rotate, [float(a) for a in range(-90, 91, 15)]),
    "shift": (shift, [float(p) for p in range(9)]),
    "scale": (zoom, [round(0.1 * k, 1) for k in range(5, 16)]),
}


def robustness(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, dict]:
    """`{"angle"|"shift"|"scale": {"values", "correct", "total"}}` on the given digits."""
    return {
        name: {
            "values": values,
            "correct": accuracy_curve(model, images, labels, warp, values),
            "total": len(labels),
        }
        for name, (warp, values) in MOTIONS.items()
    }


@torch.no_grad()
def equivariance_errors(model: nn.Sequential, images: Tensor, pixels: int) -> list[dict]:
    """How far each layer is from commuting with a shift: `|f(Tx) - T f(x)| / |f(x)|`.

    `T` shifts `images` (float [B, C, H, W]) by `pixels` and a feature map by as many
    of its own pixels as that is (`pixels` divided by its stride, interpolated between
    pixels where that is no whole number); the columns that the shift uncovers are left
    out. Layers without a place (after flattening) have nothing that `T` could shift: their
    `error` is None. `invariance` is `|f(Tx) - f(x)| / |f(x)|`, of every layer.

    Returns one `{"layer", "shape", "error", "invariance"}` for each layer of `model`.
    """
    size, pixels = images.shape[-1], geometry.real_number("pixels", pixels)
    plain, moved, rows, stride = images, shift(images, pixels), [], 1
    for layer in model:
        plain, moved = layer(plain), layer(moved)
        error = None
        if plain.dim() == 4:
            stride *= round(size / plain.shape[-1]) if plain.shape[-1] < 0.75 * size else 1
            size = plain.shape[-1]
            uncovered = math.ceil(abs(pixels) / stride)
            keep = slice(uncovered, None) if pixels >= 0 else slice(0, -uncovered)
            error = _relative(moved[..., keep], _shift_map(plain, pixels / stride)[..., keep])
        rows.append(
            {
                "layer": type(layer).__name__,
                "shape": tuple(plain.shape[1:]),
                "error": error,
                "invariance": _relative(moved, plain),
            }
        )
    return rows


def _relative(got: Tensor, wanted: Tensor) -> float:
    got, wanted = geometry.widened(got), geometry.widened(wanted)  # sums of squares
    return ((got - wanted).norm() / wanted.norm().clamp_min(1e-12)).item()


def _shift_map(maps: Tensor, pixels: float) -> Tensor:
    theta = geometry.affine(shift=(2 * pixels / maps.shape[-1], 0.0)).to(maps.device)
    return reference.warp(maps, theta.expand(maps.shape[0], 2, 3), padding="border")
