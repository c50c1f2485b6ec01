"""How many images, digits and words a network reads right."""

import torch
from torch import Tensor, nn

from stn_course.data import to_float
from stn_course.geometry import whole_number
from stn_course.models.layers import evaluating
from stn_course.models.losses import as_labels, as_rows, labels_of, mean_loss


def evaluate(model: nn.Module, images: Tensor, labels: Tensor, batch: int = 250) -> dict:
    """`{"correct", "total", "loss"}` of `model` in eval mode and float32.

    `images` [N, C, H, W] are uint8, or float in [0, 1]; `labels` [N], whole numbers. For rows of
    digits, `labels` [N, D], digits are counted, and `words` says how many of the N
    `rows` are right as a whole. The batch is small enough for a CPU's cache: 1000 images at
    once take three times as long each.

    Raises TypeError or ValueError for labels that are not those of the images or no classes,
    and for none at all.
    """
    labels = labels_of(images, labels)
    batch, correct, words, loss = whole_number("batch", batch), 0, 0, 0.0
    with evaluating(model):
        for x, y in zip(images.split(batch), labels.split(batch), strict=True):
            x = to_float(x) if x.dtype == torch.uint8 else x
            logits = model(x.to(memory_format=torch.channels_last))  # [B, classes]
            y = as_labels(y, logits)
            if y.ndim == 2:
                correct += digit_accuracy(logits, y)[0]
                words += word_accuracy(logits, y)[0]
            else:
                correct += int((logits.argmax(1) == y).sum())
            loss += mean_loss(logits, y).item() * len(y)
    found = {"correct": correct, "total": labels.numel(), "loss": loss / len(labels)}
    return found | ({"words": words, "rows": len(labels)} if labels.ndim == 2 else {})


def digit_accuracy(logits: Tensor, labels: Tensor) -> tuple[int, int]:
    """(correct, total) digits. logits [B, D, classes], labels [B, D]; errors as `as_labels`."""
    right = as_rows(labels, logits) == logits.argmax(2)  # [B, D]
    return int(right.sum()), right.numel()


def word_accuracy(logits: Tensor, labels: Tensor) -> tuple[int, int]:
    """(correct, total) sequences: correct is one with every digit right. As `digit_accuracy`."""
    right = (as_rows(labels, logits) == logits.argmax(2)).all(1)  # [B]
    return int(right.sum()), right.numel()
