"""The word lab: its numbers against torch's, its traits, and the figure in a real browser."""

import base64
import json
import subprocess

import numpy as np
import pytest
import torch
import traitlets

from stn_course import geometry, sampling
from stn_course.analysis.words import output_places
from stn_course.data import words
from stn_course.lessons.bent_words import helpers, word_lab
from tests.chromium import GREY, watch, widget_page
from tools import check as checks


def lab(n=2):
    return word_lab.WordLab(helpers.scenes("valid", n, seed=3))


def in_the_page(call):
    """What the page's module gives for `call` of its m."""
    source = base64.b64encode(word_lab.module_text().encode()).decode()
    code = (
        f"import('data:text/javascript;base64,{source}')"
        f".then((m) => console.log(JSON.stringify({call})))"
    )
    return json.loads(subprocess.check_output([*checks.node(), "-e", code]))


def test_the_page_measures_what_torch_measures():
    made, offsets = helpers.scenes("valid", 2, seed=3), torch.linspace(-0.3, 0.4, 12)
    found = in_the_page(
        f"m.meanMiss({offsets.tolist()}, [2, 3], [4, 12], {lab().places[1]}, [32, 96])"
    )
    at = output_places((4, 12))
    read = geometry.transform_points(offsets.view(1, 2, 3, 2), at)[0]
    off = (read - words.carried(made, at)[1]) * torch.tensor([48.0, 16.0])
    assert found == pytest.approx(off.norm(dim=1).mean().item(), abs=1e-3)


def test_one_point_moves_and_no_further_than_the_view():
    found = in_the_page("m.withPoint(new Array(12).fill(0), [2, 3], 4, [0.2, 9], [1.1, 1.25])")
    assert found == [0.0] * 8 + [0.2, 0.25] + [0.0] * 2  # point 4 lies at (0, 1)


def test_what_the_widget_holds():
    widget, made = lab(), helpers.scenes("valid", 2, seed=3)
    assert widget.names == words.text_of(made.labels) and len(widget.pictures) == 2
    points = geometry.control_points((2, 3))
    wanted = (words.carried(made, points) - points).flatten(1)
    assert np.allclose(widget.truths, wanted.numpy(), atol=1e-4)
    pixels = np.frombuffer(base64.b64decode(widget.pictures[0]), np.uint8).reshape(32, 96)
    assert np.abs(pixels / 255 - made.images[0].mean(0).numpy()).max() < 0.01
    for wrong in ([0.0] * 11, [float("nan")] * 12):
        with pytest.raises(traitlets.TraitError, match="12 finite numbers"):
            widget.offsets = wrong
    with pytest.raises(traitlets.TraitError, match="picture"):
        widget.picture = 2


@pytest.fixture
def page(browser, tmp_path):
    made = widget_page(tmp_path / "lab.html", lab(), word_lab.module_text(), word_lab.style_text())
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    page = context.new_page()
    wrong = watch(page, made.as_uri())
    page.goto(made.as_uri())
    page.wait_for_selector(".word-lab canvas.wp-output")
    yield page
    assert wrong == []
    context.close()


def test_the_word_straightens_in_the_page(page):
    made = helpers.scenes("valid", 2, seed=3)
    assert page.locator(".wl-off").inner_text().startswith(words.text_of(made.labels)[0])
    page.get_by_role("button", name="Where the label is").click()
    told = page.locator(".wl-off").inner_text().split()
    assert float(told[3]) < 1.5  # two by three points leave a little
    drawn = np.array(page.eval_on_selector("canvas.wp-output", GREY)).reshape(32, 96)
    offsets = torch.tensor(lab().truths[0]).view(1, 2, 3, 2).float()
    wanted = sampling.reference.warp(made.images[:1].mean(1, keepdim=True), offsets)
    assert np.abs(drawn / 255 - wanted[0, 0].numpy()).max() < 0.02


def test_a_point_moves_by_keys_and_by_the_pointer(page):
    handle = page.locator(".wp-handle").nth(1)
    handle.focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("model.get('offsets')")[3] == pytest.approx(0.05)
    page.keyboard.press("Home")
    assert page.evaluate("model.get('offsets')")[3] == 0
    box = page.locator(".wp-handle").nth(0).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 15, steps=4)
    page.mouse.up()
    moved = page.evaluate("model.get('offsets')")
    assert moved[0] > 0.05 and moved[1] > 0.05 and moved[2:] == [0] * 10
