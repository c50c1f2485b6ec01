"""Figures of one run: its history, what it confuses, its digits, the learning chart."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from stn_course.analysis.plots import AS_IT_STANDS, CROSS, GREY, RED, TEAL, WRONG
from stn_course.files import written_whole

SPLITS = {
    "train": {"color": GREY, "marker": "s"},
    "valid": {"color": TEAL},
    "test": {"color": RED, "marker": "^"},
}


def save(figure: Figure, path) -> None:
    """Write `figure` and forget it."""
    with written_whole(path) as partial:
        figure.savefig(partial, dpi=120)
    plt.close(figure)


def history(epochs: list[float], columns: dict[str, list[float]], title: str = "") -> Figure:
    """Loss and accuracy against the epoch, training beside validation, and a panel for each other.

    `columns` are as in history.csv, one number an epoch; those that are NaN are not drawn.
    """
    panels: dict[str, dict[str, list[float]]] = {}
    for name, values in columns.items():
        split, _, what = name.partition("_")
        pair = split in SPLITS and what in ("loss", "accuracy")
        panels.setdefault(what if pair else name, {})[split if pair else ""] = values
    fig, axes = plt.subplots(1, len(panels), figsize=(4.2 * len(panels), 3), squeeze=False)
    for ax, (name, lines) in zip(axes[0], panels.items(), strict=True):
        for split, values in lines.items():
            style = {"color": TEAL, "marker": "o", "markersize": 3} | SPLITS.get(split, {})
            ax.plot(epochs, values, **style, **({"label": split} if split else {}))
        unit = " (%)" if "accuracy" in name else ""
        ax.set_xlabel("epoch")
        ax.set_ylabel(name.replace("_", " ") + unit, **AS_IT_STANDS)
        ax.xaxis.get_major_locator().set_params(integer=True)
        if any(lines):
            ax.legend(fontsize=8)
    fig.suptitle(title, fontsize=10, **AS_IT_STANDS)
    fig.tight_layout(w_pad=2)
    return fig


def learning_chart(rows: list[dict]) -> Figure:
    """Accuracy and loss of each checkpoint: `rows` hold epoch, split, correct, total, loss."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3))
    for split, style in SPLITS.items():
        mine = [r for r in rows if r["split"] == split]
        if not mine:
            continue
        epochs = [r["epoch"] for r in mine]
        options = {"marker": "o", "markersize": 4, "label": split} | style
        left.plot(epochs, [100 * r["correct"] / r["total"] for r in mine], **options)
        right.plot(epochs, [r["loss"] for r in mine], **options)
    left.set(xlabel="epoch", ylabel="accuracy (%)")
    right.set(xlabel="epoch", ylabel="loss")
    for ax in (left, right):
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend(fontsize=8)
    fig.tight_layout()
    return fig


def confusion(matrix: np.ndarray, title: str = "", names: Sequence[str] | None = None) -> Figure:
    """Counts [classes, classes]: rows are the truth, columns what was read; `names` of classes."""
    n = len(matrix)
    fig, ax = plt.subplots(figsize=(0.5 * n + 1, 0.5 * n + 1))
    wrong = matrix * (1 - np.eye(n, dtype=matrix.dtype))
    ax.imshow(wrong, cmap="Oranges", vmin=0, vmax=max(1, 2 * wrong.max()))
    for (y, x), count in np.ndenumerate(matrix):
        if count:
            weight = "bold" if x == y else "normal"
            ax.text(x, y, count, ha="center", va="center", fontsize=8, fontweight=weight)
    ax.set(xticks=range(n), yticks=range(n), xlabel="read as", ylabel="truth")
    if names is not None:
        ax.set_yticks(range(n), names, **AS_IT_STANDS)
        upright = max(map(len, names)) < 3
        ax.set_xticks(range(n), names, rotation=0 if upright else 90, **AS_IT_STANDS)
    ax.set_title(title, **AS_IT_STANDS)
    ax.grid(False)
    return fig


def by_class(inputs, outputs, labels, read, each: int = 10, names=None) -> Figure:
    """The first `each` images of every class, a row a class; misread ones framed and crossed.

    inputs uint8 [N, h, w], shown dark on light, or in colour [N, h, w, 3]; outputs the same or
    None; labels and read [N]; `names` of classes.
    """
    panels = {"input": inputs} | ({} if outputs is None else {"after the transformer": outputs})
    fig, axes = plt.subplots(1, len(panels), figsize=(6 * len(panels), 6), squeeze=False)
    classes, red = sorted(set(labels.tolist())), np.array(to_rgb(WRONG)) * 255
    for ax, (title, images) in zip(axes[0], panels.items(), strict=True):
        h, w = images.shape[1] + 4, images.shape[2] + 4
        sheet = np.full((len(classes) * h, each * w, 3), 255, np.uint8)
        for row, label in enumerate(classes):
            for column, k in enumerate(np.flatnonzero(labels == label)[:each]):
                tile = sheet[row * h : (row + 1) * h, column * w : (column + 1) * w]
                tile[:] = (229, 231, 235) if read[k] == label else red
                tile[2:-2, 2:-2] = images[k] if images.ndim == 4 else 255 - images[k, :, :, None]
                if read[k] != label:
                    corner = ((column + 1) * w - 3, row * h + 2)
                    ax.text(*corner, CROSS, color=WRONG, weight="bold", ha="right", va="top")
        ax.imshow(sheet, interpolation="nearest", aspect="equal")
        told = classes if names is None else [names[label] for label in classes]
        ax.set_yticks([(r + 0.5) * h for r in range(len(classes))], told, **AS_IT_STANDS)
        ax.set(xticks=[], title=title)
        ax.grid(False)
    fig.tight_layout()
    return fig
