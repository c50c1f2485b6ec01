"""A spline by hand: drag its control points over a bent word (notebook 08)."""

import base64
from pathlib import Path

import numpy as np
import torch
import traitlets as tr

from stn_course.analysis.words import output_places
from stn_course.data import words
from stn_course.data.words import Bent
from stn_course.geometry import control_points
from stn_course.lessons.widgets import STATIC, PictureWidget, sections, to_bytes_list

HERE = Path(__file__).parent
SHAPE = (2, 3)  # rows and columns of the control points
CHECKED = (4, 12)  # of the places at which a reading is compared with the truth


def module_text() -> str:
    """The lab's ES module: what it shares with the warp playground, then its own text."""
    shared = sections("pure functions", "the notebook's keys", "parts of a figure")
    return shared + (HERE / "word_lab.js").read_text("utf-8")


def style_text() -> str:
    """The playground's style, which the lab shares, then its own."""
    styles = (STATIC / "warp_playground.css", HERE / "word_lab.css")
    return "\n".join(style.read_text("utf-8") for style in styles)


class WordLab(PictureWidget):
    """Control points to drag over a bent word; what the spline reads, and how far off it is.

    made: scenes, drawn grey, one at a time. `offsets`, x and y of each of the 2 x 3 control points,
    row by row, is in step with the page both ways. Raises TraitError for offsets that are not 12
    finite numbers.
    """

    _esm = module_text()
    _css = style_text()

    @classmethod
    def transform(cls, state: dict):
        return torch.tensor(state["offsets"], dtype=torch.float64).view(1, *state["shape"], 2)

    shape = tr.List(tr.Int(), list(SHAPE), read_only=True).tag(sync=True)
    offsets = tr.List(tr.Float(), [0.0] * (2 * SHAPE[0] * SHAPE[1])).tag(sync=True)
    truths = tr.List(read_only=True).tag(sync=True)  # offsets of each picture
    checked = tr.List(tr.Int(), list(CHECKED), read_only=True).tag(sync=True)
    places = tr.List(read_only=True).tag(sync=True)  # true, of each picture, row by row

    def __init__(self, made: Bent, **values):
        points = control_points(SHAPE)
        offsets = (words.carried(made, points) - points).flatten(1)
        self.set_trait("truths", offsets.double().numpy().round(4).tolist())
        true = words.carried(made, output_places(CHECKED)).flatten(1)
        self.set_trait("places", true.double().numpy().round(4).tolist())
        grey = made.images.mean(1).double()
        super().__init__(grey[0].numpy(), **values)
        self.set_trait("names", words.text_of(made.labels))
        as_text = [base64.b64encode(bytes(to_bytes_list(each))).decode() for each in grey.numpy()]
        self.set_trait("pictures", as_text)

    @tr.validate("offsets")
    def _numbers(self, proposal):
        values = proposal["value"]
        if len(values) != 2 * SHAPE[0] * SHAPE[1] or not np.isfinite(values).all():
            raise tr.TraitError(f"offsets must be 12 finite numbers, got {values}")
        return values

    def __repr__(self) -> str:
        return f"WordLab({', '.join(self.names)})"
