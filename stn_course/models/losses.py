"""What networks are trained by: the mean loss, that of rows of digits, that of a pose."""

from torch import Tensor
from torch.nn import functional as F

from stn_course import geometry
from stn_course.geometry import as_int64, values_can_be_checked


def labels_of(images: Tensor, labels: Tensor) -> Tensor:
    """`labels` [N] or, of rows, [N, D] in int64: those of `images` [N, ...]; before any work.

    Raises TypeError unless they are whole numbers, ValueError for another shape and for none.
    """
    labels, n = as_int64(labels, "labels"), len(images)
    if labels.ndim not in (1, 2) or len(labels) != n:
        raise ValueError(f"labels have shape {list(labels.shape)}; wanted [{n}] or [{n}, digits]")
    if not labels.numel():
        raise ValueError("labels has no images; wanted at least one")
    return labels


def as_labels(labels: Tensor, logits: Tensor, look: bool = True) -> Tensor:
    """`labels` in int64, each a class of `logits`: [B] of [B, classes]; [B, D] of [B, D, classes].

    Any whole numbers will do. Raises TypeError for others, ValueError for another shape or
    device and for what is no class. To `look` at values is to wait for a GPU; False: they are
    classes, as the caller knows.
    """
    labels = as_int64(labels, "labels")
    if logits.ndim not in (2, 3) or labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"logits {list(logits.shape)} and labels {list(labels.shape)} do not belong together; "
            "wanted [B, classes] and [B], or [B, digits, classes] and [B, digits]"
        )
    if labels.device != logits.device:
        raise ValueError(f"labels are on {labels.device}; wanted {logits.device}, as the logits")
    if look and labels.numel() and values_can_be_checked(labels):
        (low, high), classes = (n.item() for n in labels.aminmax()), logits.shape[-1]
        if low < 0 or high >= classes:
            raise ValueError(f"labels are {low} to {high}; wanted classes, 0 to {classes - 1}")
    return labels


def as_rows(labels: Tensor, logits: Tensor, look: bool = True) -> Tensor:
    """`as_labels` of rows alone: labels [B, D], logits [B, D, classes]."""
    if logits.ndim != 3:
        raise ValueError(
            f"logits {list(logits.shape)} and labels {list(labels.shape)} do not belong together; "
            "wanted [B, digits, classes] and [B, digits]"
        )
    return as_labels(labels, logits, look)


def mean_loss(logits: Tensor, labels: Tensor, look: bool | None = None) -> Tensor:
    """Mean cross-entropy of logits [B, classes]; of rows, [B, D, classes], the sum over D.

    In float32 under autocast too. Raises as `as_labels`, and ValueError for an empty batch, which
    has no mean. `look` as there; None: unless it is a GPU that had to be waited for.
    """
    labels = as_labels(labels, logits, not logits.is_cuda if look is None else look)
    if not labels.shape[0]:  # no len(): a traced batch would be fixed
        raise ValueError("labels has no images; wanted at least one")
    if labels.ndim == 1:
        return F.cross_entropy(geometry.widened(logits), labels)
    logits = geometry.widened(logits).flatten(0, 1)
    return F.cross_entropy(logits, labels.flatten(), reduction="sum") / labels.shape[0]


def sequence_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean over the images of the *sum* of their digits' cross-entropies (LJ).

    logits [B, D, classes], labels [B, D]; the rest as `mean_loss`.
    """
    return mean_loss(logits, as_rows(labels, logits, look=False))  # there they are looked at


def pose_error(true: Tensor, found: Tensor) -> Tensor:
    """Mean squared distance of the composition of two transforms [B, 2, 3] from the identity."""
    both = geometry.compose(true, found)
    return (both - geometry.affine().to(both)).square().sum((1, 2)).mean()
