"""A view of a live figure in the page's address: shared, followed, taken back, and refused."""

import re

import pytest
import torch

from stn_course import geometry
from stn_course.lessons import pictures
from stn_course.lessons.bent_words import helpers
from stn_course.lessons.bent_words.word_lab import WordLab
from stn_course.lessons.fast.ledger import ByteLedger
from stn_course.lessons.invariance.pad import DigitPad
from stn_course.lessons.look_straight.player import TrainingPlayer
from stn_course.lessons.place_and_tilt.corner_lab import CornerLab
from stn_course.lessons.widgets import WarpPlayground
from tests.browser.test_looks import scattered
from tests.chromium import watch, widget_page

pytestmark = pytest.mark.browser
DIGIT = pictures.drawn_two(28)[0, 0].numpy()
LEFT_OUT = "The address asks for what this figure cannot show, and that is left out: "


def player():
    thetas = torch.cat([geometry.affine(15.0 * k) for k in range(4)])[:, None]
    return TrainingPlayer(pictures.drawn_two(28), thetas, [0, 5, 10, 15])


FIGURES = {
    "playground": lambda: WarpPlayground(DIGIT),
    "corner lab": lambda: CornerLab(DIGIT),
    "word lab": lambda: WordLab(helpers.scenes("valid", 2, seed=3)),
    "player": player,
    "scatter": lambda: scattered()[1],
    "ledger": ByteLedger,
    "pad": DigitPad,
}


def write_page(path, name, place=None):
    """The page of one of FIGURES, as its widget has module and style."""
    widget = FIGURES[name]()
    return widget_page(path, widget, str(widget._esm), str(widget._css), place)


# Of each figure: an address, what the model then has, and addresses that are refused by which name.
SHARED = {
    "playground": (
        "theta=0.8,0.1,0,-0.1,0.8,0.2&padding=zeros",
        {"theta": [0.8, 0.1, 0, -0.1, 0.8, 0.2], "padding": "zeros"},
        {"theta=1,2": "theta", "mode=spin": "mode", "corners=0,0,0,0,0,0,0,0": "corners"},
    ),
    "corner lab": (
        "corners=-0.5,-0.8,0.5,-0.8,1,0.9,-1,0.9&picture=1",
        {"corners": [-0.5, -0.8, 0.5, -0.8, 1, 0.9, -1, 0.9], "picture": 1},
        {"corners=-1,-1,1,-1,-0.5,-0.5,-1,1": "corners", "picture=2": "picture"},
    ),
    "word lab": (
        "picture=1&offsets=0.1,0,0,0,0,0,0,0,0,0,0,-0.2",
        {"picture": 1, "offsets": [0.1, *[0] * 10, -0.2]},
        {"offsets=1e99,0,0,0,0,0,0,0,0,0,0,0": "offsets"},
    ),
    "player": ("step=1", {"step": 1, "picture": -1}, {"step=9": "step", "picture=0": "picture"}),
    "scatter": (
        "step=0&picture=2&clutter=9&scattering=1",
        {"picture": 2, "clutter": 9, "scattering": 1},
        {"clutter=5": "clutter", "scattering=2": "scattering", "picture=-1": "picture"},
    ),
    "ledger": (
        "direction=backward&channels=64",
        {"direction": "backward", "channels": 64},
        {"channels=65": "channels", "direction=<img src=x onerror=alert(1)>": "direction"},
    ),
    "pad": (
        "theta=0.866,0.5,0,-0.5,0.866,0&tilt=0&digit=5&clutter=4&scattering=1",
        {"sample": 5, "clutter": 4, "scattering": 1},
        {"theta=1,2": "the digit", "theta=1,0,0,0,1,0&clutter=x": "the digit"},
    ),
}


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a figure's page at an address; afterwards nothing must have gone wrong."""
    contexts, wrong = [], []

    def open_page(name, rest="", place=1):
        path = write_page(tmp_path / "page.html", name, place)
        contexts.append(browser.new_context(viewport={"width": 800, "height": 900}))
        page = contexts[-1].new_page()
        page.on("dialog", lambda dialog: wrong.append([f"a script ran: {dialog.message}"]))
        wrong.append(watch(page, path.as_uri()))
        page.goto(path.as_uri() + rest)
        page.locator(".wp-foot").wait_for(state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for found in wrong for text in found] == []


def has(page, values):
    return {key: page.evaluate(f"given[{key!r}]") for key in values}


def test_every_figure_is_here():
    assert FIGURES.keys() == SHARED.keys()


@pytest.mark.parametrize("name", FIGURES)
def test_a_shared_view_opens_and_is_taken_back(opened, name):
    text, values, _ = SHARED[name]
    plain = opened(name)
    before = has(plain, values)
    assert before != values and plain.evaluate("location.hash") == ""
    page = opened(name, f"#{text}")
    assert has(page, values) == values
    picture = "[...document.querySelectorAll('canvas, .bl-table')].map(c => c.tagName === 'TABLE' "
    picture += "? c.innerText : c.toDataURL())"
    settled = "() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))"
    page.evaluate(settled)
    assert page.evaluate(picture) != plain.evaluate(picture)
    assert page.locator("[role=status]").inner_text() == ""
    page.get_by_role("button", name="Reset" if name == "pad" else "As it opened").press("Enter")
    page.wait_for_function("location.hash === ''")
    page.evaluate(settled)
    assert has(page, values) == before
    assert page.evaluate(picture) == plain.evaluate(picture)


@pytest.mark.parametrize("name", FIGURES)
def test_what_cannot_be_shown_is_left_out_and_told(opened, name):
    _, values, bad = SHARED[name]
    before = has(opened(name), values)
    for text, key in bad.items():
        page = opened(name, f"#{text}")
        assert has(page, values) == before, text
        assert page.locator("[role=status]").inner_text() == f"{LEFT_OUT}{key}."
        control = page.locator("input[type=range], .wp-handle").first
        for key in ("End", "Home", "ArrowRight"):
            control.press(key)
        assert page.locator("[role=status]").inner_text() == ""
        page.context.close()


def test_a_move_stands_in_the_address_with_the_figure_s_number(opened):
    page = opened("ledger", place=2)
    page.get_by_role("slider", name="channels").press("End")
    page.wait_for_url(re.compile(r"#figure=2&channels=128$"))
    page.evaluate("location.hash = '#figure=2&side=28'")
    page.wait_for_function("given.side === 28 && given.channels === 1")
    # Another figure's view, and the page's own headings, are none of this one's.
    for other in ("#side=14", "#figure=3&side=14", "#the-bytes", "#figure=x&side=14", "#%E0%A4%A"):
        page.evaluate(f"location.hash = {other!r}")
        page.evaluate("() => new Promise((f) => setTimeout(f, 30))")
        assert has(page, ["side", "channels"]) == {"side": 28, "channels": 1}, other
    assert page.locator("[role=status]").inner_text() == ""


def test_without_a_place_the_address_is_left_alone(opened):
    """In JupyterLab it is the Lab's."""
    page = opened("ledger", "#channels=64", place=None)
    assert page.evaluate("given.channels") == 1
    page.get_by_role("slider", name="channels").press("End")
    page.evaluate("() => new Promise((f) => setTimeout(f, 400))")
    assert page.evaluate("location.hash") == "#channels=64"
    page.get_by_role("button", name="As it opened").click()
    assert page.evaluate("given.channels") == 1
