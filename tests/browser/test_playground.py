"""The warp playground by its box and by one pixel: by mouse, by keys, held to torch."""

import re

import pytest
import torch

from stn_course.lessons import pictures, widgets
from stn_course.lessons.widgets import WarpPlayground
from stn_course.sampling import affine_grid, reference
from tests.chromium import GREY, watch, widget_page

pytestmark = pytest.mark.browser
START = [0.8, 0.1, 0.1, -0.1, 0.8, 0.0]
DIGIT = pictures.drawn_two(28)[0, 0].numpy()
PIXELS = torch.tensor(widgets.to_bytes_list(DIGIT)).view(1, 1, 28, 28).double()


@pytest.fixture
def page(browser, tmp_path):
    widget = WarpPlayground(DIGIT, theta=START)
    module = (widgets.STATIC / "warp_playground.js").read_text("utf-8")
    style = (widgets.STATIC / "warp_playground.css").read_text("utf-8")
    path = widget_page(tmp_path / "widget.html", widget, module, style)
    page = browser.new_page(viewport={"width": 800, "height": 1000})
    wrong = watch(page, path.as_uri())
    page.goto(path.as_uri())
    page.locator(".wp-handle").first.wait_for()
    yield page
    assert wrong == []
    page.close()


def theta_of(page):
    """Theta, once the page is seen to show what torch reads with it.  # [6]"""
    theta = page.evaluate("model.get('theta')")
    wanted = reference.warp(PIXELS, torch.tensor(theta, dtype=torch.float64).view(1, 2, 3))
    found = torch.tensor(page.locator("canvas.wp-output").evaluate(GREY)).view_as(wanted)
    assert wanted.std() > 10 and (found - wanted).abs().max() <= 1
    return theta


def test_the_box_is_moved_by_keys_column_by_column(page):
    handles = page.locator(".wp-handle")
    assert handles.count() == 4
    for k, key, entry, value in (
        (0, "ArrowRight", 2, 0.15),  # the centre is the third column
        (1, "ArrowDown", 3, -0.05),  # the right side, seen from there, the first
        (2, "ArrowRight", 1, 0.15),  # and the lower side the second
    ):
        before = theta_of(page)
        handles.nth(k).focus()
        page.keyboard.press(key)
        after = theta_of(page)
        assert after[entry] == pytest.approx(value)
        assert [i for i in range(6) if after[i] != before[i]] == [entry]
        page.keyboard.press("Home")
    assert theta_of(page) == [1, 0, 0, 0, 1, 0]
    names = [handles.nth(k).get_attribute("aria-label") for k in range(4)]
    assert names[0] == "centre: θ's third column, x 0.00, y 0.00"
    assert names[3] == "corner: turn and scale, x 1.00, y −1.00"


def drag(page, k, right, down):
    box = page.locator(".wp-handle").nth(k).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right, y + down, steps=6)
    page.mouse.up()


def test_the_corner_turns_and_scales_and_no_drag_folds_the_box(page):
    drag(page, 3, -40, -30)
    a, b, c, d, e, f = theta_of(page)
    assert (c, f) == (START[2], START[5])
    assert a == pytest.approx(e, abs=0.002) and b == pytest.approx(-d, abs=0.002)  # a similarity
    assert abs(b - START[1]) > 0.05
    centre = page.locator(".wp-handle").nth(0).bounding_box()
    right = page.locator(".wp-handle").nth(1).bounding_box()
    drag(page, 1, centre["x"] - right["x"], centre["y"] - right["y"])  # onto the centre
    a, b, _, d, e, _ = theta_of(page)
    assert abs(a * e - b * d) >= 0.01
    assert page.locator(".wp-say").inner_text() == "Stopped: the box must not become a line."


def test_a_chosen_pixel_says_between_which_four_it_is_read(page):
    output = page.locator(".wp-choose")
    box = output.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 11.5 / 28, box["y"] + box["height"] * 6.5 / 28)
    page.keyboard.press("ArrowDown")
    said = page.locator(".wp-reads").inner_text().replace("−", "-")
    theta = torch.tensor(START, dtype=torch.float64).view(1, 2, 3)
    x, y = affine_grid(theta, (28, 28))[0, 7, 11].tolist()
    u, v = 14 * (x + 1) - 0.5, 14 * (y + 1) - 0.5
    assert said.startswith(f"Row 7, column 11 is read at row {v:.2f}, column {u:.2f}: ")
    *terms, value = re.findall(r"[\d.]+ × [\d.]+|= [\d.]+", said)
    value = float(value[2:])
    assert value == pytest.approx(
        reference.warp(PIXELS / 255, theta)[0, 0, 7, 11].item(), abs=0.006
    )
    products = [[float(each) for each in term.split(" × ")] for term in terms]
    assert len(products) == 4 and sum(w for w, _ in products) == pytest.approx(1, abs=0.021)
    assert sum(w * p for w, p in products) == pytest.approx(value, abs=0.03)
    drawn = page.locator(".wp-tap").evaluate_all("taps => taps.map(t => t.getAttribute('d'))")
    at = [f"M{int(u) + 7 + k % 2} {int(v) + 7 + k // 2}h1v1h-1z" for k in range(4)]
    assert drawn == at
    page.keyboard.press("Escape")
    assert page.locator(".wp-reads").inner_text() == ""
