"""What a network makes of images: its verdicts, and what its transformer looked at."""

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stn_course.data import to_float
from stn_course.geometry import whole_number
from stn_course.models import ParallelTransformers
from stn_course.models.layers import Normalise, evaluating
from stn_course.models.losses import as_labels, labels_of
from stn_course.models.sequence import RecurrentTransformer
from stn_course.models.transformers import first_transformer
from stn_course.sampling import outline

COLOUR = 3  # channels of a picture in colour


@dataclass
class Predictions:
    """`inputs` uint8 [N, h, w] (channels side by side, each w / `channels` wide; of pictures in
    colour, which have three channels, [N, h, w, 3], and `channels` is 1),
    `outputs` the same of what the transformer handed on, `boxes` float32 [N, T, K, 2]:
    where each of T transformers read, a polygon in [-1, 1], x first. Both are None without
    a transformer that reads the images themselves. `labels` [N]; `probabilities`
    float32 [N, classes]; `losses` float32 [N]. Of rows of D digits `labels` [N, D],
    `probabilities` [N, D, classes], and `losses` are sums over a row; T glimpses of the same
    image stand side by side in `outputs`.
    """

    inputs: np.ndarray
    outputs: np.ndarray | None
    boxes: np.ndarray | None
    labels: np.ndarray
    probabilities: np.ndarray
    losses: np.ndarray
    channels: int = 1

    @property
    def read(self) -> np.ndarray:
        """The class that each image, or each digit of a row, was read as [N] or [N, D]."""
        return self.probabilities.argmax(-1)

    def confusion(self) -> np.ndarray:
        """How often each class (row) was read as each class (column).

        Raises TypeError or ValueError for labels that are none (`losses.as_labels`).
        """
        truth = as_labels(*(torch.as_tensor(each) for each in (self.labels, self.probabilities)))
        n = self.probabilities.shape[-1]
        pairs = (truth.numpy() * n + self.read).ravel()
        return np.bincount(pairs, minlength=n * n).reshape(n, n)


def predict(model: nn.Module, images: Tensor, labels: Tensor, batch: int = 250) -> Predictions:
    """All that `model`, in eval mode, makes of `images` uint8 [N, C, h, w] or in [0, 1].

    `labels` [N] or, of rows, [N, D]: whole numbers. Raises TypeError or ValueError for others.
    """
    labels = labels_of(images, labels)
    colour = images.shape[1] == COLOUR
    front, batch = first_transformer(model), whole_number("batch", batch)
    scale = next((m for m in model.modules() if isinstance(m, Normalise)), None)
    seen: list[tuple] = []
    parts: list[tuple] = []
    with evaluating(model), ExitStack() as hooks:
        if front is not None:
            keep = front.register_forward_hook(lambda _, x, y: seen.append((x[0], y)))
            hooks.callback(keep.remove)
        for x, y in zip(images.split(batch), labels.split(batch), strict=True):
            x = to_float(x) if x.dtype == torch.uint8 else x
            seen.clear()
            logits = model(x.to(memory_format=torch.channels_last)).float()  # [B, classes]
            y = as_labels(y, logits)
            each = F.cross_entropy(logits.flatten(0, -2), y.flatten(), reduction="none")
            losses = each.view(len(y), -1).sum(1)  # [B]
            part = [_bytes(x[:, None], colour), y, logits.softmax(-1), losses]
            # It reads the images (as the network normalises them), no feature maps.
            if seen and torch.equal(seen[0][0], scale(x) if scale else x):
                shown = seen[0][1] * scale.sd + scale.mean if scale else seen[0][1]
                steps = shown.unflatten(0, (len(x), -1))  # [B, steps, C, H, W]; mostly one step
                part += [_bytes(steps, colour), boxes(front)]
            parts.append(part)
    inputs, truth, p, losses, *more = (
        torch.cat(each).cpu().numpy() for each in zip(*parts, strict=True)
    )
    outputs, places = more or (None, None)
    panels = 1 if colour else images.shape[1]
    return Predictions(inputs, outputs, places, truth, p, losses, panels)


def boxes(front: nn.Module) -> Tensor:
    """Where `front` read last time: the output's outline in the input.  # [B, T, K, 2]"""
    if isinstance(front, RecurrentTransformer):  # theta [B, T, 2, 3]
        return outline(front.theta.flatten(0, 1)).unflatten(0, front.theta.shape[:2])
    each = front.transformers if isinstance(front, ParallelTransformers) else [front]
    return torch.stack([outline(one.theta) for one in each], 1)


def _bytes(steps: Tensor, colour: bool) -> Tensor:
    """[B, steps, C, h, w] in [0, 1] -> uint8 [B, h, C * steps * w], a channel's steps together.

    In colour three channels are one picture: [B, h, C / 3 * steps * w, 3].
    """
    flat = steps.float().clamp(0, 1).mul(255).round().byte()
    flat = flat.unflatten(2, (-1, COLOUR if colour else 1))  # [B, steps, pictures, 3 or 1, h, w]
    flat = flat.permute(0, 4, 2, 1, 5, 3).flatten(2, 4)  # [B, h, pictures * steps * w, 3 or 1]
    return flat if colour else flat.squeeze(3)
