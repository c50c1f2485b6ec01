"""The course's own book as a reader has it: a live figure moved by keyboard, no kernel, no network.

What the page then shows is compared with torch's answer for the same transform.
"""

import base64

import nbformat
import pytest
import torch

from stn_course import geometry
from stn_course.sampling import reference
from tests.chromium import GREY
from tests.support import ROOT
from tools.book.notebooks import STATE

pytestmark = pytest.mark.browser
PLAYGROUND = "stn_course.lessons.widgets.WarpPlayground"


def stored_playgrounds():
    """{notebook: state of its first playground}, from the notebooks as they are stored."""
    found = {}
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        models = nbformat.read(path, 4).metadata.get("widgets", {}).get(STATE, {}).get("state", {})
        for model in models.values():
            if model["state"].get("_anywidget_id") == PLAYGROUND:
                found.setdefault(path.stem, model["state"])
    return found


def picture_of(state):
    """The picture that a playground starts with.  # [1, 1, h, w] in 0..255"""
    values = list(base64.b64decode(state["pictures"][state["picture"]]))
    return torch.tensor(values, dtype=torch.float64).view(1, 1, *state["size"])


def difference(figure, picture, theta):
    """Largest difference of the output canvas from torch's answer, in 1/255."""
    wanted = reference.warp(picture, theta)
    found = figure.locator("canvas.wp-output").evaluate(GREY)
    assert wanted.std() > 10  # there is something to see
    return (torch.tensor(found).view_as(wanted) - wanted).abs().max().item()


def value_of(figure, label):
    return float(figure.get_by_label(label, exact=True).input_value())


def theta_of(figure):
    """Theta as its six sliders show it.  # [1, 2, 3]"""
    values = [value_of(figure, f"θ{'₁₂'[k // 3]}{'₁₂₃'[k % 3]}") for k in range(6)]
    return torch.tensor(values, dtype=torch.float64).view(1, 2, 3)


def press(page, figure, label, *keys):
    figure.get_by_label(label, exact=True).focus()
    for key in keys:
        page.keyboard.press(key)


def test_a_notebook_holds_a_playground():
    assert stored_playgrounds(), "no stored notebook shows a WarpPlayground: nothing was tested"


def test_sliders_by_keyboard_draw_what_torch_reads(book, visit):
    """From a file, as `make course` leaves it; a small book is opened over http too."""
    (stem, state), *_ = stored_playgrounds().items()
    picture, path = picture_of(state), book / "notebooks" / f"{stem}.html"
    page = visit(path.as_uri(), viewport={"width": 1200, "height": 900})
    figure = page.locator(".warp-playground").first
    figure.locator("canvas.wp-output").wait_for()
    figure.get_by_role("button", name="Reset to identity").click()
    found = {"identity": difference(figure, picture, geometry.identity())}
    assert torch.equal(theta_of(figure), geometry.identity(dtype=torch.float64))

    press(page, figure, "θ₁₂", *["ArrowRight"] * 12)
    press(page, figure, "θ₂₃", "PageUp", "ArrowLeft")
    theta = theta_of(figure)
    assert theta[0, 0, 1] == 0.12 and theta[0, 1, 2] > 0.05
    found["theta"] = difference(figure, picture, theta)

    figure.get_by_role("button", name="Reset to identity").click()
    press(page, figure, "rotate", *["ArrowLeft"] * 25)
    press(page, figure, "scale", *["ArrowRight"] * 30)
    press(page, figure, "shift x", *["ArrowRight"] * 10)
    assert [value_of(figure, key) for key in ("rotate", "scale", "shift x")] == [-25, 1.3, 0.1]
    wanted = geometry.affine(-25.0, 1.3, shift=(0.1, 0.0), dtype=torch.float64)
    found["rotate, scale, shift"] = difference(figure, picture, wanted)
    print(f"{stem}, largest difference in 1/255: {found}")
    assert max(found.values()) <= 1
