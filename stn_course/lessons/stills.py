"""Stills of live figures: what stands in their place where no script runs, on GitHub and on paper.

A live figure hands a notebook its view, and beside it a picture of what it shows, with alt text. It
is drawn from the figure's state alone, so that a stored notebook can be given one without a run.
"""

import base64
import io
from dataclasses import dataclass

import anywidget
import numpy as np

TOLD = "A still: this figure moves in the book and in JupyterLab."
BOX, SOFT = "#d9480f", "#57606a"  # as in the page


@dataclass(frozen=True)
class Panel:
    """`image` [h, w] in 0..255, `boxes` of points [K, 2] in [-1, 1] with a colour, and a title."""

    image: np.ndarray
    title: str = ""
    boxes: tuple = ()


def pixels(text: str, size) -> np.ndarray:
    """The grey picture that a figure's state has as bytes in base64.  # [h, w] in 0..255"""
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(tuple(size))


def read(image: np.ndarray, transform, size=None) -> np.ndarray:
    """What `transform` reads of a picture [h, w].  # [H, W]"""
    import torch

    from stn_course.sampling import reference

    whole = torch.tensor(image, dtype=torch.float64)[None, None]
    return reference.warp(whole, transform.double(), size)[0, 0].numpy()


def edge(transform) -> np.ndarray:
    """Where the edge of what `transform` reads lies in the picture.  # [K, 2] in [-1, 1]"""
    from stn_course.sampling import outline

    return outline(transform.double())[0].numpy()


def drawn(panels: list[Panel], rows: int = 1):
    """The panels side by side in `rows`, ink on paper, as a matplotlib Figure."""
    from matplotlib.figure import Figure

    columns = len(panels) // rows
    wide = [panel.image.shape[1] / panel.image.shape[0] for panel in panels[:columns]]
    tall = min(2.4, 7 / sum(wide))  # inches of a panel
    fig = Figure(figsize=(max(tall * sum(wide), 3.2) + 0.2, rows * (tall + 0.3) + 0.3))
    axes = fig.subplots(rows, columns, squeeze=False, width_ratios=wide)
    for ax, panel in zip(axes.flat, panels, strict=True):
        height, across = panel.image.shape
        ax.imshow(panel.image, cmap="gray_r", vmin=0, vmax=255)
        for points, colour in panel.boxes:
            x, y = ((points + 1) * [across, height] / 2 - 0.5).T
            ax.fill(x, y, fill=False, ec=colour, lw=1.6, clip_on=False)
        ax.set(xticks=[], yticks=[], xlim=(-0.5, across - 0.5), ylim=(height - 0.5, -0.5))
        ax.set_title(panel.title, fontsize=9)
    return fig


def png(fig) -> str:
    """A matplotlib Figure with the word that it is a still, as a PNG of few colours in base64."""
    from PIL import Image

    fig.text(0.01, 0.01, TOLD, fontsize=7, color=SOFT, va="bottom")
    fig.tight_layout(rect=(0, 0.06, 1, 1))
    file, small = io.BytesIO(), io.BytesIO()
    fig.savefig(file, format="png", dpi=110, facecolor="white")
    Image.open(file).convert("RGB").quantize(64).save(small, "PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


class LiveFigure(anywidget.AnyWidget):
    """A widget that leaves a still, with alt text, beside its view."""

    @classmethod
    def still(cls, state: dict):
        """What a figure of this state shows, as a matplotlib Figure, and its alt text."""
        raise NotImplementedError(f"{cls.__name__} has no still")

    def _repr_mimebundle_(self, **options):
        data, metadata = super()._repr_mimebundle_(**options)
        add(data, metadata, type(self), self.get_state())
        return data, metadata


def add(data: dict, metadata: dict, kind: type[LiveFigure], state: dict) -> None:
    """Put the still of a figure of this `kind` and `state` into an output's data, with its alt."""
    from matplotlib import style

    with style.context("default"):  # not as the notebook draws
        fig, alt = kind.still(state)
        data["image/png"] = png(fig)
    metadata["image/png"] = {"alt": alt}
