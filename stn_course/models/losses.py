"""What networks are trained by: the mean loss, that of rows of digits, that of a pose."""

from torch import Tensor
from torch.nn import functional as F

from stn_course import geometry


def mean_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of logits [B, classes]; of rows, [B, D, classes], the sum over D."""
    if labels.ndim == 2:
        return sequence_loss(logits, labels)
    return F.cross_entropy(geometry.widened(logits), labels)


def check_rows(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 3 or labels.shape != logits.shape[:2]:
        raise ValueError(
            f"logits {list(logits.shape)} and labels {list(labels.shape)} do not belong together; "
            "wanted [B, digits, classes] and [B, digits]"
        )


def sequence_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean over the images of the *sum* of their digits' cross-entropies (LJ).

    logits [B, D, classes], labels int64 [B, D]. In float32 under autocast too. Raises
    ValueError for shapes that do not belong together or an empty batch.
    """
    check_rows(logits, labels)
    if not len(labels):
        raise ValueError("labels has no images; wanted at least one")
    total = F.cross_entropy(
        geometry.widened(logits).flatten(0, 1), labels.flatten(), reduction="sum"
    )
    return total / len(labels)


def pose_error(true: Tensor, found: Tensor) -> Tensor:
    """Mean squared distance of the composition of two transforms [B, 2, 3] from the identity."""
    both = geometry.compose(true, found)
    return (both - geometry.affine().to(both)).square().sum((1, 2)).mean()
