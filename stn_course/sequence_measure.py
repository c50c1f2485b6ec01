"""What a reader of digit rows is trained by and measured by: loss, counts, where it looked."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stn_course.blocks import evaluating
from stn_course.data.scenes import glimpse_boxes, iou


def _check(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 3 or labels.shape != logits.shape[:2]:
        raise ValueError(
            f"logits {list(logits.shape)} and labels {list(labels.shape)} do not belong together; "
            "wanted [B, digits, classes] and [B, digits]"
        )


def sequence_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean over the images of the *sum* of their digits' cross-entropies (LJ).

    logits [B, D, classes], labels int64 [B, D].  In float32 under autocast too.  Raises
    ValueError for shapes that do not belong together or an empty batch.
    """
    _check(logits, labels)
    if not len(labels):
        raise ValueError("labels has no images; wanted at least one")
    total = F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="sum")
    return total / len(labels)


def digit_accuracy(logits: Tensor, labels: Tensor) -> tuple[int, int]:
    """(correct, total) digits.  logits [B, D, classes], labels [B, D]; ValueError as above."""
    _check(logits, labels)
    right = logits.argmax(2) == labels  # [B, D]
    return int(right.sum()), right.numel()


def word_accuracy(logits: Tensor, labels: Tensor) -> tuple[int, int]:
    """(correct, total) sequences: correct is one with every digit right.  As `digit_accuracy`."""
    _check(logits, labels)
    right = (logits.argmax(2) == labels).all(1)  # [B]
    return int(right.sum()), right.numel()


def glimpse_iou(theta: Tensor, boxes: Tensor, canvas: int) -> Tensor:
    """How well glimpses cover digits: intersection over union of their boxes.  # [B, steps]

    theta [B, steps, 2, 3] of a square canvas (pixels), boxes [B, D, 4] as in `data.ClutterSet`.
    Step i is compared with digit i; a single glimpse of several digits with the smallest box
    around them all.  Of a turned glimpse the upright box around it counts (`glimpse_boxes`).

    Raises ValueError for another number of steps, shapes that do not belong together, and no boxes
    (the 40x40 file has none).
    """
    if boxes is None:
        raise ValueError("boxes is None: this set does not know them; wanted [B, D, 4]")
    steps, digits = theta.shape[1], boxes.shape[1]
    if theta.shape[2:] != (2, 3) or boxes.shape[2:] != (4,) or len(theta) != len(boxes):
        raise ValueError(
            f"theta {list(theta.shape)} and boxes {list(boxes.shape)} do not belong together; "
            "wanted [B, steps, 2, 3] and [B, D, 4]"
        )
    if steps == 1 and digits > 1:
        low, high = boxes[:, :, :2].amin(1), boxes[:, :, 2:].amax(1)  # [B, 2] each
        boxes = torch.cat([low, high], 1)[:, None]
    elif steps != digits:
        raise ValueError(f"theta has {steps} steps; wanted 1 or {digits}, as many as boxes")
    found = iou(glimpse_boxes(theta.flatten(0, 1), canvas), boxes.flatten(0, 1).to(theta))
    return found.unflatten(0, (len(theta), -1)) if len(theta) else found.view(0, steps)


def where_it_looks(model: nn.Module, images: Tensor, batch: int = 250) -> Tensor:
    """The transforms by which ``model``, in eval mode, looks at images.  # [N, steps, 2, 3]

    images uint8 [N, C, H, W] or float in [0, 1].  The model is left as it was, but for the
    ``theta`` of its last call.  Raises ValueError without images, or of another size.
    """
    if not len(images):
        raise ValueError("images is empty; wanted at least one")
    found = []
    with evaluating(model):
        for x in images.split(batch):
            x = x.float() / 255 if x.dtype == torch.uint8 else x
            model.check(x)
            model.look(x.to(memory_format=torch.channels_last))
            found.append(model.theta)
    return torch.cat(found)
