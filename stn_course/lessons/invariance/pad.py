"""The pad of the book's first page: draw a digit, move it, see what four networks read.

Also a widget, whose digit comes to Python as `DigitPad().digit`.
"""

import base64
import json

import numpy as np
import torch
import traitlets as tr
from torch import Tensor

from stn_course.data.digits import SAMPLE_FILE
from stn_course.experiments import web
from stn_course.lessons import stills
from stn_course.lessons.widgets import STATIC, section, sections

SIDE = 28
# Name on the page, and the file that `stn-course export-web` made of its record.
NETWORKS = {
    "FC": "page-fc",
    "CNN": "page-cnn",
    "CNN, augmented": "page-cnn-pose",  # on freshly turned, zoomed and shifted digits
    "STN": "page-stn",  # the same CNN behind a spatial transformer, on the same digits
}
# Of the offline sample's test digits, one of each class: the first that all four read when upright.
SAMPLES = (17, 22, 0, 16, 19, 2, 3, 10, 4, 1)
MOST_SCRAPS = 20
PARTS = {"rotate": 0.0, "scale": 1.0, "shear": 0.0, "shiftX": 0.0, "shiftY": 0.0, "tilt": 0.0}


def engine_text() -> str:
    """The ES module that runs in a page what `experiments.web` exports."""
    return section("pure functions") + (STATIC / "networks.js").read_text("utf-8")


def module_text() -> str:
    """The pad's ES module: what it shares with the warp playground, the networks, its own text."""
    shared = sections("the notebook's keys", "parts of a figure")
    return engine_text() + shared + (STATIC / "draw_digit.js").read_text("utf-8")


def style_text() -> str:
    """The playground's style, which the pad shares, then its own."""
    styles = ("warp_playground.css", "draw_digit.css")
    return "\n".join((STATIC / name).read_text("utf-8") for name in styles)


def networks() -> list[dict]:
    """The four networks of the page: `name`, and what is `stored` of each (with its record)."""
    return [
        {
            "name": name,
            "stored": json.loads((web.FOLDER / f"{file}.json").read_text("utf-8")),
        }
        for name, file in NETWORKS.items()
    ]


def samples() -> list[str]:
    """A test digit of each class, 0 to 9, as base64 of its 784 bytes."""
    with np.load(SAMPLE_FILE) as sample:
        images = sample["test_images"][list(SAMPLES)]  # [10, 28, 28]
    return [base64.b64encode(each.tobytes()).decode() for each in images]


class DigitPad(stills.LiveFigure):
    """A pad to draw a digit on, and to move it; four networks of records read it in the page.

    `sample`: the digit 0..9 that is taken from MNIST, or -1 for the one that is drawn. `strokes`:
    what is drawn, a list of x0, y0, x1, y1, ... each, in [0, 1] of the pad, y down. `parts`: how it
    is moved, as degrees (`rotate`, `shear`, `tilt`), a factor (`scale`) and shifts in units where
    the picture is 2 wide. `clutter`: how many scraps of other digits lie on what the networks see,
    0..20; `scattering`: which way they lie, a number from 0. All in step with the page both ways.
    Raises TraitError for others.
    """

    _esm = module_text()
    _css = style_text()

    networks = tr.List(read_only=True).tag(sync=True)
    samples = tr.List(tr.Unicode(), read_only=True).tag(sync=True)
    sample = tr.Int(2).tag(sync=True)
    strokes = tr.List(tr.List(tr.Float())).tag(sync=True)
    parts = tr.Dict(per_key_traits=dict.fromkeys(PARTS, tr.Float())).tag(sync=True)
    clutter = tr.Int(0, min=0, max=MOST_SCRAPS).tag(sync=True)
    scattering = tr.Int(0, min=0).tag(sync=True)
    pixels = tr.List(tr.Int()).tag(sync=True)  # what the page made of the strokes, row by row

    def __init__(self, **values):
        self.set_trait("networks", networks())
        self.set_trait("samples", samples())
        super().__init__(**{"parts": dict(PARTS)} | values)

    @classmethod
    def still(cls, state: dict):
        taken = state["sample"] >= 0
        if taken:
            image = stills.pixels(state["samples"][state["sample"]], (SIDE, SIDE))
        else:
            image = np.array(state["pixels"] or [0] * SIDE**2).reshape(SIDE, SIDE)
        title = f"A {state['sample']} of MNIST" if taken else "The digit that was drawn"
        fig = stills.drawn([stills.Panel(image, title)])
        return fig, f"{title}, 28 by 28 pixels, on the pad that four networks read."

    @tr.validate("sample")
    def _sample(self, proposal):
        if not -1 <= proposal["value"] <= 9:
            raise tr.TraitError(
                f"sample must be 0..9, or -1 for what is drawn, got {proposal['value']}"
            )
        return proposal["value"]

    @tr.validate("strokes")
    def _strokes(self, proposal):
        for stroke in proposal["value"]:
            if len(stroke) % 2 or not all(0 <= v <= 1 for v in stroke):
                raise tr.TraitError(f"strokes must be pairs x, y in [0, 1], got {stroke}")
        return proposal["value"]

    @tr.validate("parts")
    def _parts(self, proposal):
        parts = PARTS | proposal["value"]
        wrong = parts.keys() - PARTS.keys() or {k for k, v in parts.items() if not np.isfinite(v)}
        if wrong or parts["scale"] <= 0 or abs(parts["tilt"]) >= 90:
            raise tr.TraitError(
                f"parts must be finite {', '.join(PARTS)}, scale above 0 and tilt within 90, "
                f"got {proposal['value']}"
            )
        return parts

    @property
    def digit(self) -> Tensor:
        """The digit as it lies upright, laid out as MNIST's are.  # [1, 28, 28] in [0, 1]

        Raises ValueError as long as nothing is drawn, and where no page has shown the strokes.
        """
        if self.sample >= 0:
            values = list(base64.b64decode(self.samples[self.sample]))
        elif self.strokes and any(self.pixels):
            values = self.pixels
        else:
            raise ValueError("nothing is drawn: draw a digit on the pad first, or set `sample`")
        return torch.tensor(values, dtype=torch.float32).view(1, SIDE, SIDE) / 255

    def __repr__(self) -> str:
        return f"DigitPad(sample={self.sample}, strokes={len(self.strokes)})"
