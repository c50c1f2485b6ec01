"""Where a network looks, glance after glance; and a slider that fills a scene with clutter."""

import ipywidgets as ipw
import numpy as np
import torch
from torch import Generator, Tensor

from stn_course.analysis.plots import CROSS
from stn_course.data import ClutterRecipe
from stn_course.data.clutter.fresh import draw_rows
from stn_course.geometry import as_int64
from stn_course.lessons.digit_sequences.figures import DASHES, colour_of, quad
from stn_course.lessons.digit_sequences.helpers import look
from stn_course.lessons.widgets import LiveBox, bars_html, picture_html
from stn_course.models.sequence import SequenceNet

WIDE = {"layout": ipw.Layout(width="320px"), "style": {"description_width": "110px"}}


def outline(theta, size: tuple[int, int], step: int, wide: bool) -> str:
    """The SVG outline of what theta [2, 3] reads of an image of `size` (h, w).

    In the colour and the dashes of its step.
    """
    points = " ".join(f"{x + 0.5:.2f},{y + 0.5:.2f}" for x, y in quad(theta, size)[:4])
    width = 1.4 if wide else 0.6
    lengths = [f"{width * float(length):g}" for length in DASHES[step % len(DASHES)].split()]
    dashes = f' stroke-dasharray="{" ".join(lengths)}"' if lengths else ""
    return f'<polygon points="{points}" stroke="{colour_of(step)}" stroke-width="{width}"{dashes}/>'


class GlanceExplorer(LiveBox):
    """A slider for the image and one for the step: where it looks, what it sees, what it says.

    net: a sequence network in eval mode; images [N, 1, H, W] in [0, 1]; labels [N, D]. Of a
    network with one glance for all digits, the step chooses the digit that is said.
    Raises TypeError for labels that are not whole numbers, ValueError for another shape.
    """

    def __init__(self, net: SequenceNet, images: Tensor, labels: Tensor):
        labels = as_int64(labels, "labels")
        if labels.shape != (len(images), net.digits):
            raise ValueError(
                f"labels have shape {list(labels.shape)}; wanted [{len(images)}, {net.digits}]"
            )
        self.images, self.labels, self.seen = images, labels, look(net, images)
        self.sliders = {
            "row": ipw.IntSlider(0, min=0, max=len(images) - 1, description="row", **WIDE),
            "step": ipw.IntSlider(1, min=1, max=net.digits, description="glance", **WIDE),
        }
        self.picture, self.glimpse, self.bars = ipw.HTML(), ipw.HTML(), ipw.HTML()
        for slider in self.sliders.values():
            slider.observe(self._draw, "value")
        shown = ipw.HBox([self.picture, self.glimpse, self.bars])
        super().__init__([ipw.HBox(list(self.sliders.values())), shown])
        self._draw()

    def _draw(self, _change=None) -> None:
        row, step = self.sliders["row"].value, self.sliders["step"].value - 1
        thetas = self.seen.theta[row]  # [T, 2, 3]
        glance = min(step, len(thetas) - 1)
        size = tuple(self.images.shape[2:])
        outlines = "".join(outline(thetas[k], size, k, wide=k == glance) for k in range(glance + 1))
        where = f"the row, with glance 1 to {glance + 1}"
        self.picture.value = picture_html(self.images[row].clamp(0, 1), where, outlines, 8, scale=4)
        glimpse = self.seen.glimpses[row, glance].clamp(0, 1)
        scale = max(2, round(160 / glimpse.shape[-1]))
        self.glimpse.value = picture_html(glimpse, f"what glance {glance + 1} sees", scale=scale)
        true = int(self.labels[row, step])
        says = bars_html(f"digit {step + 1}", self.seen.beliefs[row, step].tolist())
        self.bars.value = f"{says}<div>it is a {true}</div>"

    def __repr__(self) -> str:
        steps = self.seen.theta.shape[1]
        return f"GlanceExplorer(rows={len(self.images)}, glances={steps})"


class ClutterExplorer(LiveBox):
    """Sliders for the patches, their size and the slope redraw rows of a recipe.

    images [B, 1, 28, 28] in [0, 1] and labels [B]: the digits; the first `shown` rows are drawn.
    With a `net` (in eval mode, made for the recipe's canvas and digits) it says what it reads:
    bold and crossed where wrong, and the share of digits right of all B rows.
    """

    def __init__(
        self,
        recipe: ClutterRecipe,
        images: Tensor,
        labels: Tensor,
        net: SequenceNet | None = None,
        shown: int = 5,
    ):
        if not 1 <= shown <= len(images):
            raise ValueError(f"shown={shown}; wanted 1 to {len(images)}, as many as images")
        if net is not None and net.digits != recipe.digits:
            raise ValueError(
                f"net reads {net.digits} digits; wanted {recipe.digits}, as the recipe"
            )
        self.recipe, self.images, self.labels = recipe, images, labels
        self.net, self.shown = net, shown
        most = min(27, recipe.canvas - 1)
        self.sliders = {
            name: ipw.IntSlider(
                getattr(recipe, name),
                min=low,
                max=max(high, getattr(recipe, name)),
                description=name,
                continuous_update=False,
                **WIDE,
            )
            for name, low, high in (
                ("patches", 0, 40),
                ("patch_size", 1, min(21, most)),
                ("slope", 1, 40),
            )
        }
        self.pictures, self.says = ipw.HTML(), ipw.HTML()
        for slider in self.sliders.values():
            slider.observe(self._draw, "value")
        super().__init__([ipw.HBox(list(self.sliders.values())), self.pictures, self.says])
        self._draw()

    def rows(self):
        """The rows of the recipe as the sliders have it; the same draws at every call."""
        changed = {name: slider.value for name, slider in self.sliders.items()}
        made = ClutterRecipe(**{**vars(self.recipe), **changed})
        return draw_rows(made, self.images, self.labels, Generator().manual_seed(4))

    def _draw(self, _change=None) -> None:
        rows = self.rows()
        labels = rows.labels.view(len(rows.labels), -1)  # [B, D]
        said = None
        if self.net is not None:
            said = look(self.net, rows.images).beliefs.argmax(2)  # [B, D]
        cells = []
        for k in range(self.shown):
            truth = "".join(map(str, labels[k].tolist()))
            picture = picture_html(rows.images[k].clamp(0, 1), f"a row: {truth}", scale=2)
            cells.append(f"<div>{picture}<br>{truth}{_reading(said, labels, k)}</div>")
        row = "display:flex;flex-wrap:wrap;gap:12px;line-height:1.3"
        self.pictures.value = f'<div style="{row}">{"".join(cells)}</div>'
        self.says.value = ""
        if said is not None:
            share = 100 * float(np.mean((said == labels).numpy()))
            self.says.value = f"digits right, of {labels.numel()}: {share:.0f} %"

    def __repr__(self) -> str:
        changed = ", ".join(f"{name}={s.value}" for name, s in self.sliders.items())
        return f"ClutterExplorer({changed})"


def _reading(said: Tensor | None, labels: Tensor, k: int) -> str:
    if said is None:
        return ""
    marked = [
        f"{int(a)}" if torch.equal(a, b) else f"<b>{CROSS}{int(a)}</b>"
        for a, b in zip(said[k], labels[k], strict=True)
    ]
    return f"<br>it says {''.join(marked)}"
