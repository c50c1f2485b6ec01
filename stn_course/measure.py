"""Measure a classifier: how many it gets right, and how that changes as the digits move."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stn_course import geometry, sampler
from stn_course.blocks import evaluating
from stn_course.sequence_measure import digit_accuracy, sequence_loss, word_accuracy

Warp = Callable[[Tensor, float], Tensor]  # images [B,C,H,W], amount -> moved images


def prepare(images: Tensor) -> Tensor:
    """uint8 [0, 255] -> float32 [0, 1]: all the normalisation that the course uses.

    Raises TypeError for another type: what is in [0, 1] already needs no preparing.
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"images are {images.dtype}; wanted uint8, 0 to 255")
    return images.float().div_(255)


def evaluate(model: nn.Module, images: Tensor, labels: Tensor, batch: int = 250) -> dict:
    """``{"correct", "total", "loss"}`` of ``model`` in eval mode and float32.

    ``images`` [N, C, H, W] are uint8, or float in [0, 1]; ``labels`` int64 [N].  For rows of
    digits, ``labels`` [N, D], digits are counted, and ``words`` says how many of the N
    ``rows`` are right as a whole.  The batch is small enough for a CPU's cache: 1000 images at
    once take three times as long each.
    """
    correct, words, loss = 0, 0, 0.0
    with evaluating(model):
        for x, y in zip(images.split(batch), labels.split(batch), strict=True):
            x = prepare(x) if x.dtype == torch.uint8 else x
            logits = model(x.to(memory_format=torch.channels_last))  # [B, classes]
            if y.ndim == 2:
                correct += digit_accuracy(logits, y)[0]
                words += word_accuracy(logits, y)[0]
            else:
                correct += int((logits.argmax(1) == y).sum())
            loss += mean_loss(logits, y).item() * len(y)
    found = {"correct": correct, "total": labels.numel(), "loss": loss / max(1, len(labels))}
    return found | ({"words": words, "rows": len(labels)} if labels.ndim == 2 else {})


def mean_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of logits [B, classes]; of rows, [B, D, classes], the sum over D."""
    if labels.ndim == 2:
        return sequence_loss(logits, labels)
    return F.cross_entropy(logits.float(), labels)


def rotate(images: Tensor, degrees: float) -> Tensor:
    """Turn the content of ``images`` [B, C, H, W] counter-clockwise about the centre."""
    return _moved(images, angle=degrees)


def zoom(images: Tensor, factor: float) -> Tensor:
    """Make the content ``factor`` times as large, about the centre."""
    return _moved(images, scale=factor)


def shift(images: Tensor, pixels: float) -> Tensor:
    """Move the content right by ``pixels`` (left where negative)."""
    return _moved(images, shift=(2 * pixels / images.shape[-1], 0.0))


def _moved(images: Tensor, **motion) -> Tensor:
    theta = geometry.affine(**motion).to(images.device)  # [1, 2, 3]
    return sampler.warp(images, theta.expand(len(images), 2, 3))


def accuracy_curve(
    model: nn.Module, images: Tensor, labels: Tensor, warp: Warp, values: Iterable[float]
) -> list[int]:
    """How many of ``images`` (uint8 [N, C, H, W]) are read right after ``warp`` by each value."""
    moved = prepare(images)
    return [evaluate(model, warp(moved, v), labels)["correct"] for v in values]


# What the robustness curves of notebook 01 measure.
MOTIONS: dict[str, tuple[Warp, list[float]]] = {
    "angle": (rotate, [float(a) for a in range(-90, 91, 15)]),
    "shift": (shift, [float(p) for p in range(9)]),
    "scale": (zoom, [round(0.1 * k, 1) for k in range(5, 16)]),
}


def robustness(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, dict]:
    """``{"angle"|"shift"|"scale": {"values", "correct", "total"}}`` on the given digits."""
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
    """How far each layer is from commuting with a shift: ``|f(Tx) - T f(x)| / |f(x)|``.

    ``T`` shifts ``images`` (float [B, C, H, W]) by ``pixels`` and a feature map by as many
    of its own pixels as that is (``pixels`` divided by its stride, interpolated between
    pixels where that is no whole number); the columns that the shift uncovers are left
    out.  Layers without a place (after flattening) have nothing that ``T`` could shift: their
    ``error`` is None.  ``invariance`` is ``|f(Tx) - f(x)| / |f(x)|``, of every layer.

    Returns one ``{"layer", "shape", "error", "invariance"}`` for each layer of ``model``.
    """
    size = images.shape[-1]
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
    return ((got - wanted).norm() / wanted.norm().clamp_min(1e-12)).item()


def _shift_map(maps: Tensor, pixels: float) -> Tensor:
    theta = geometry.affine(shift=(2 * pixels / maps.shape[-1], 0.0)).to(maps.device)
    return sampler.warp(maps, theta.expand(len(maps), 2, 3), padding="border")
