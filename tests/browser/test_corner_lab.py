"""The corner lab: its numbers against torch's, its traits, and the figure in a real browser."""

import base64
import json
import subprocess

import numpy as np
import pytest
import torch
import traitlets

from stn_course import geometry
from stn_course.lessons import pictures, widgets
from stn_course.lessons.place_and_tilt import corner_lab
from stn_course.lessons.place_and_tilt.corner_lab import CornerLab
from stn_course.sampling import reference
from tests.chromium import GREY, watch, widget_page
from tools import check as checks

FRAME = torch.tensor([[[-1.0, -1], [1, -1], [1, 1], [-1, 1]]], dtype=torch.float64)
QUADS = (
    [-1, -1, 1, -1, 1, 1, -1, 1],
    [-0.5, -0.8, 0.5, -0.8, 1, 0.9, -1, 0.9],
    [-0.9, -0.7, 0.8, -1.1, 1.2, 0.6, -0.6, 1.3],
    [-1, -1, 1, -1, 0.05, 0.05, -1, 1],
)


def homography(corners):
    quad = torch.tensor(corners, dtype=torch.float64).view(1, 4, 2)
    return geometry.homography_from_corners(FRAME, quad)


def smallest_w(h):
    corners = torch.cat([FRAME[0], torch.ones(4, 1)], 1)
    return (corners @ h[0, 2]).min().item()


# ---------------------------------------------------------------- numbers
@pytest.mark.parametrize("corners", QUADS)
def test_measures_agree_with_geometry(corners):
    found, h = corner_lab.measures(corners), homography(corners)
    assert found["H"] == pytest.approx(h[0].numpy(), abs=1e-12)
    assert found["condition"] == pytest.approx(torch.linalg.cond(h[0]).item())
    assert found["smallest_w"] == pytest.approx(smallest_w(h))


def in_the_page(call):
    """What the page's module gives for `call` of its m."""
    source = base64.b64encode(corner_lab.module_text().encode()).decode()
    code = (
        f"import('data:text/javascript;base64,{source}')"
        f".then((m) => console.log(JSON.stringify({call})))"
    )
    return json.loads(subprocess.check_output([*checks.node(), "-e", code]))


@pytest.mark.parametrize("corners", QUADS)
def test_the_pages_measures_are_the_same(corners):
    found = in_the_page(f"m.measures({corners})")
    wanted = corner_lab.measures(corners)
    assert found["H"] == pytest.approx(wanted["H"].ravel(), abs=1e-9)
    assert found["condition"] == pytest.approx(wanted["condition"], rel=1e-9)
    assert found["smallestW"] == pytest.approx(wanted["smallest_w"], abs=1e-9)


@pytest.mark.parametrize("k", range(8))
def test_one_number_moves_and_the_others_stay(k):
    start = QUADS[1]
    h = homography(start).flatten()
    wanted = h.clone()
    wanted[k] += 0.05
    found = in_the_page(f"m.withNumber({start}, {k}, {wanted[k].item()}, [1.5, 1.5])")
    assert not found["stopped"]
    assert homography(found["corners"]).flatten().tolist() == pytest.approx(
        wanted.tolist(), abs=1e-6
    )


@pytest.mark.parametrize("k, value", [(6, 5.0), (6, -1.0), (7, 1.0), (2, 3.0), (0, -1.0), (0, 9.0)])
def test_a_number_goes_as_far_as_w_and_the_figure_allow(k, value):
    start = [float(v) for v in FRAME[0].flatten()]
    found = in_the_page(f"m.withNumber({start}, {k}, {value}, [1.5, 1.5])")
    h = homography(found["corners"])
    assert found["stopped"] and smallest_w(h) > 0
    assert max(map(abs, found["corners"])) <= 1.5 + 1e-6
    moved = h.flatten()[k].item() - torch.eye(3).flatten()[k].item()
    assert moved * (value - torch.eye(3).flatten()[k].item()) > 0.01  # it did go, and that way
    others = [v for i, v in enumerate((h.flatten() - torch.eye(3).flatten()).tolist()) if i != k]
    assert others == pytest.approx([0] * 8, abs=1e-6)


def test_w_reaches_0_in_the_corner_opposite_to_the_one_that_folds():
    for k in range(4):
        quad = FRAME[0].clone()
        quad[k] = 0.001 * FRAME[0, k]  # nearly on the diagonal of its neighbours
        h = homography(quad.flatten().tolist())
        w = torch.cat([FRAME[0], torch.ones(4, 1)], 1) @ h[0, 2]
        assert w.argmin() == (k + 2) % 4 and 0 < w.min() < 0.01


@pytest.mark.parametrize(
    "corners", [[0.0] * 8, [1.0] * 6, [-1, -1, 1, -1, -0.5, -0.5, -1, 1], [float("nan")] * 8]
)
def test_corners_that_fold_are_refused(corners):
    with pytest.raises(ValueError, match="convex quadrilateral"):
        corner_lab.measures(corners)
    with pytest.raises(traitlets.TraitError, match="convex quadrilateral"):
        CornerLab(corners=corners)


def test_state_is_text_and_lists():
    lab = CornerLab(np.zeros((20, 24)), corners=QUADS[1])
    assert (lab.size, lab.names) == ([20, 24], ["digit", "test grid"])
    assert lab.measured["smallest_w"] == corner_lab.measures(QUADS[1])["smallest_w"]
    assert repr(lab) == f"CornerLab(corners={[float(v) for v in QUADS[1]]})"
    with pytest.raises(traitlets.TraitError, match=r"picture must be 0..1, got 2"):
        lab.picture = 2
    state = lab.get_state()
    state.pop("layout")
    assert "from './" not in json.dumps(state) and "import " not in state["_esm"].split("*/")[0]


def test_a_playground_that_cannot_be_cut_is_named(tmp_path, monkeypatch):
    (tmp_path / "warp_playground.js").write_text("// another layout")
    monkeypatch.setattr(widgets, "STATIC", tmp_path)
    with pytest.raises(ValueError, match="warp_playground.js has no part 'pure functions'"):
        corner_lab.module_text()


# ---------------------------------------------------------------- in a browser
@pytest.fixture
def page(browser, tmp_path):
    """A page with the lab and no kernel; its scripts come from blobs, not from files."""
    lab = CornerLab(pictures.drawn_two(28)[0, 0].numpy())
    path = widget_page(
        tmp_path / "page.html", lab, corner_lab.module_text(), corner_lab.style_text()
    )
    context = browser.new_context(viewport={"width": 1000, "height": 800}, has_touch=True)
    page = context.new_page()
    wrong = watch(page, path.as_uri())
    page.goto(path.as_uri())
    page.wait_for_selector("canvas.wp-output")
    yield page
    context.close()
    assert wrong == []


def shown_as_torch_reads(page):
    """Corners, H, condition, w and the picture on the page are torch's for these corners."""
    corners = page.evaluate("model.get('corners')")
    h = homography(corners)
    digit = pictures.drawn_two(28)[0, 0].numpy()
    pixels = torch.tensor(widgets.to_bytes_list(digit)).view(1, 1, 28, 28).double()
    wanted = reference.warp(pixels, h)
    found = torch.tensor(page.locator("canvas.wp-output").evaluate(GREY)).view_as(wanted)
    assert wanted.std() > 10 and (found - wanted).abs().max() <= 1
    label = page.locator(".wp-matrix").get_attribute("aria-label").replace("−", "-")
    assert [float(v) for v in label[4:].replace(";", " ").split()] == pytest.approx(
        h.flatten().tolist(), abs=6e-4
    )
    condition = page.locator(".cl-condition").inner_text()
    assert float(condition) == pytest.approx(torch.linalg.cond(h[0]).item(), abs=0.06)
    least = float(page.locator(".cl-w").inner_text().split(",")[0].split()[0])
    assert least == pytest.approx(smallest_w(h), abs=0.006)
    return corners


@pytest.mark.browser
def test_by_keyboard_pointer_and_button(page):
    assert shown_as_torch_reads(page) == QUADS[0]
    handles = page.locator(".wp-handle")
    handles.nth(0).focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Shift+ArrowDown"):
        page.keyboard.press(key)
    assert shown_as_torch_reads(page)[:2] == pytest.approx([-0.9, -0.94])
    assert handles.nth(0).get_attribute("aria-label") == "top left corner, x −0.90, y −0.94"
    box = handles.nth(2).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 30, y - 20, steps=5)
    page.mouse.up()
    dragged = shown_as_torch_reads(page)
    assert dragged[4] < 0.9 and dragged[5] < 0.95
    page.get_by_role("button", name="Nearly folded").click()
    assert shown_as_torch_reads(page) == QUADS[3]
    handles.nth(2).focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    stopped = shown_as_torch_reads(page)  # the horizon was not crossed
    assert widgets.is_convex(stopped)
    assert "w is 0 or less in the opposite corner" in page.locator(".wp-say").inner_text()
    page.keyboard.press("Home")
    assert shown_as_torch_reads(page) == QUADS[0]
    assert page.locator(".cl-w").inner_text() == "1.00 everywhere"
    assert page.evaluate("model.saved") > 5


@pytest.mark.browser
def test_a_slider_moves_one_number_and_stops_before_the_horizon(page, tmp_path):
    sliders = page.locator(".wp-slider input")
    assert sliders.count() == 8

    def move(k, to):
        sliders.nth(k).evaluate(
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', { bubbles: true })); }", to
        )
        return homography(shown_as_torch_reads(page))[0]

    assert move(6, 0.3).flatten().tolist() == pytest.approx([1, 0, 0, 0, 1, 0, 0.3, 0, 1], abs=1e-5)
    assert page.locator(".wp-say").inner_text() == ""
    stopped = move(7, 0.9)
    assert 0.3 < stopped[2, 1] < 0.7 and smallest_w(stopped[None]) > 0
    assert "Stopped" in page.locator(".wp-say").inner_text()
    assert page.locator(".wp-handle:visible").count() < 4  # some corner is out of sight
    assert float(sliders.nth(7).input_value()) == pytest.approx(stopped[2, 1].item(), abs=0.006)
    sliders.nth(0).focus()
    page.keyboard.press("ArrowLeft")
    assert homography(shown_as_torch_reads(page))[0, 0, 0] == pytest.approx(0.99, abs=0.01)
    page.screenshot(path=tmp_path / "sliders.png", full_page=True)


@pytest.mark.browser
def test_python_moves_the_page_and_leaving_cleans_up(page):
    page.evaluate(f"model.set('corners', {QUADS[2]})")
    assert shown_as_torch_reads(page) == QUADS[2]
    assert page.evaluate("model.saved") == 0  # no echo
    page.evaluate("leave()")
    assert page.locator(".corner-lab").count() == 0
    assert page.evaluate("Object.values(listeners).every((l) => l.length === 0)")


@pytest.mark.browser
def test_on_a_phone_it_fits_and_every_target_can_be_touched(page, tmp_path):
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for target in page.locator("button:visible").all():
        box = target.bounding_box()
        assert min(box["width"], box["height"]) >= 24, target.inner_text()
    page.screenshot(path=tmp_path / "phone.png", full_page=True)
