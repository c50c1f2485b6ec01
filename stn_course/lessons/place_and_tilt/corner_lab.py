"""Four corners or eight numbers by hand: the homography and its smallest w (notebook 05)."""

from pathlib import Path

import numpy as np
import traitlets as tr

from stn_course.lessons.widgets import (
    CORNERS,
    STATIC,
    PictureWidget,
    corners_read,
    is_convex,
    sections,
)

HERE = Path(__file__).parent


def module_text() -> str:
    """The lab's ES module: what it shares with the warp playground, then its own text."""
    shared = sections("pure functions", "the notebook's keys", "parts of a figure")
    return shared + (HERE / "corner_lab.js").read_text("utf-8")


def style_text() -> str:
    """The playground's style, which the lab shares, then its own."""
    styles = (STATIC / "warp_playground.css", HERE / "corner_lab.css")
    return "\n".join(style.read_text("utf-8") for style in styles)


def measures(corners) -> dict:
    """What four corners (x, y each, clockwise from the top left) make of a homography.

    `H` [3, 3] takes the output's corners to `corners`, h33 = 1; `condition` is its largest
    over its smallest singular value; `smallest_w` is the smallest w on the output, which lies
    in a corner, because w is linear. Raises ValueError for corners that are not convex.
    """
    quad = np.asarray(corners, float).reshape(-1)
    if quad.shape != (8,) or not np.isfinite(quad).all() or not is_convex(quad):
        raise ValueError(f"corners must make a convex quadrilateral of 8 numbers, got {corners}")
    a, b = [], quad
    for (x, y), (u, v) in zip(np.reshape(CORNERS, (4, 2)), quad.reshape(4, 2), strict=True):
        a += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    h = np.append(np.linalg.solve(a, b), 1).reshape(3, 3)
    w = np.reshape(CORNERS, (4, 2)) @ h[2, :2] + 1  # [4]
    return {"H": h, "condition": float(np.linalg.cond(h)), "smallest_w": float(w.min())}


class CornerLab(PictureWidget):
    """Four corners to drag over a picture, eight sliders for H; condition and smallest w follow.

    digit: one image as for `to_bytes_list`, or None for the test grid alone. `corners`, where
    the output's corners are read (x, y clockwise from the top left), is in step with the page
    both ways. Raises TraitError for corners that are not a convex quadrilateral of 8 numbers.
    """

    _esm = module_text()
    _css = style_text()

    corners = tr.List(tr.Float(), list(CORNERS)).tag(sync=True)

    @tr.validate("corners")
    def _convex(self, proposal):
        try:
            measures(proposal["value"])
        except ValueError as error:
            raise tr.TraitError(str(error)) from None
        return proposal["value"]

    @classmethod
    def transform(cls, state: dict):
        return corners_read(state["corners"])

    @property
    def measured(self) -> dict:
        """`measures` of the corners as they are now."""
        return measures(self.corners)

    def __repr__(self) -> str:
        return f"CornerLab(corners={self.corners})"
