"""Where a network looks, glance after glance; and a slider that fills a scene with clutter."""

import base64
from collections.abc import Sequence
from dataclasses import replace

import ipywidgets as ipw
import numpy as np
import torch
from torch import Generator, Tensor

from stn_course.analysis.plots import CROSS
from stn_course.data import ClutterRecipe
from stn_course.data.clutter.fresh import Places, draw_places, draw_rows, put_together
from stn_course.geometry import as_int64, whole_number
from stn_course.lessons.digit_sequences.figures import DASHES, colour_of
from stn_course.lessons.digit_sequences.helpers import look
from stn_course.lessons.widgets import LiveBox, Looks, as_text, picture_html
from stn_course.models.sequence import SequenceNet

WIDE = {"layout": ipw.Layout(width="320px"), "style": {"description_width": "110px"}}


class GlanceExplorer(Looks):
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
        self.seen = seen = look(net, images)
        glimpses = seen.glimpses.detach().clamp(0, 1)  # [N, T, 1, h, w]
        super().__init__(
            images.detach().clamp(0, 1),
            seen.theta.detach(),
            range(1, net.digits + 1),
            glimpses.shape[-2:],
            crops=glimpses,
            beliefs=seen.beliefs.detach(),
            labels=labels,
            **glances(net),
        )

    def __repr__(self) -> str:
        return f"GlanceExplorer(rows={self.rows}, glances={len(self.thetas[0])})"


class ScatterExplorer(Looks):
    """The same of rows on which the reader scatters scraps: more of them, or others.

    recipe: how rows are made of the digits images [B, 1, 28, 28], in [0, 1], with labels [B]; each
    of the first `rows` begins one. Each can be scattered over in `scatterings` ways; of a way each
    of `levels`, numbers of scraps, keeps the scraps of the level below. What the network makes of
    all of them is found here, for the page has no network; the pictures are put together there.
    Raises ValueError for fewer images than rows or more than 256, for a wider canvas, for levels
    that do not go up, and for a network of other rows or that does not pad with the background.
    """

    def __init__(
        self,
        net: SequenceNet,
        recipe: ClutterRecipe,
        images: Tensor,
        labels: Tensor,
        *,
        rows: int = 8,
        scatterings: int = 4,
        levels: Sequence[int] = (0, 4, 8, 16, 32, 64),
    ):
        rows, scatterings = whole_number("rows", rows), whole_number("scatterings", scatterings)
        levels = [whole_number("levels", each, least=0) for each in levels]
        check_scattering(net, recipe, len(images), rows, levels)
        most = replace(recipe, patches=scatterings * levels[-1])
        places = draw_places(most, len(images), Generator().manual_seed(6))
        digits = places.digits[:rows]
        scraps = places.patches[:rows].unflatten(1, (scatterings, levels[-1]))  # [R, K, P, 5]
        ways = [scraps[:, k, :level] for k in range(scatterings) for level in levels]
        size = recipe.canvas, recipe.patch_size
        pictures = [put_together(images, Places(digits, way), *size) for way in ways]
        pictures = torch.stack(pictures, 1).flatten(0, 1)  # [R * K * L, 1, H, W]
        seen = look(net, pictures)
        super().__init__(
            pictures,
            seen.theta,
            range(1, net.digits + 1),
            seen.glimpses.shape[-2:],
            beliefs=seen.beliefs,
            labels=labels[digits[..., 0]],  # [R, D]
            scene={
                "pool": [as_text(each) for each in images],
                "digits": [numbers_as_text(each) for each in digits],
                "scraps": [numbers_as_text(each) for each in scraps.flatten(0, 1)],
                "side": recipe.patch_size,
                "levels": levels,
            },
            **glances(net),
        )
        self.clutter = recipe.patches if recipe.patches in levels else levels[0]

    def __repr__(self) -> str:
        return f"ScatterExplorer(rows={self.rows}, clutter={self.clutter})"


def check_scattering(
    net: SequenceNet, recipe: ClutterRecipe, images: int, rows: int, levels: list[int]
) -> None:
    """ValueError unless `rows` of so many images can be scattered over for `net`."""
    if not levels or levels != sorted(set(levels)):
        raise ValueError(f"levels={levels}; wanted one or more, going up")
    if rows > images:
        raise ValueError(f"rows={rows}; wanted at most {images}, as many as images")
    if max(images, recipe.canvas) > 256:
        told = f"{images} images, canvas={recipe.canvas}"
        raise ValueError(f"{told}; wanted at most 256, for places are bytes")
    if (net.digits, net.padding) != (recipe.digits, "background"):
        raise ValueError(
            f"net reads {net.digits} digits and pads with {net.padding!r}; wanted "
            f"{recipe.digits}, as the recipe, and 'background', as the page does"
        )


def numbers_as_text(values: Tensor) -> str:
    """Whole numbers below 256 as bytes in base64."""
    return base64.b64encode(bytes(values.flatten().tolist())).decode()


def glances(net: SequenceNet) -> dict:
    """What all figures of a network's glances show alike: a pen for each of them."""
    pens = [[colour_of(k), DASHES[k % len(DASHES)]] for k in range(net.digits)]
    return {"word": "glance", "pens": pens, "margin": 8}


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
