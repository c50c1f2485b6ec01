"""Every slider and handle of every live figure by mouse, by touch and by keys: each moves it."""

import pytest

from tests.browser.test_shared_view import FIGURES, write_page
from tests.chromium import watch

pytestmark = pytest.mark.browser
# Those in sight, of a figure in each of its modes.
CONTROLS = ".warp-playground input[type=range]:visible, .warp-playground .wp-handle:visible"
# From here on `seen` fills with what the model has, of what it saves.
WATCH = """() => {
  const state = () => JSON.stringify(Object.entries(given).filter(([k]) => k !== "networks"));
  const first = state();
  window.seen = new Set();
  model.save_changes = () => { if (state() !== first) seen.add(state()); };
}"""
RESET = """[...document.querySelectorAll(".wp-reset")]
  .find((b) => /^(Reset|As it opened)/.test(b.textContent)).click()"""
COUNTS = {  # sliders and handles; the playground in its three modes
    "playground": [11 + 4, 4, 16],
    "corner lab": [8 + 4],
    "word lab": [6],
    "player": [1],
    "scatter": [3],
    "ledger": [3],
    "pad": [7 + 4],
}
MODES = {"playground": ["affine", "homography", "tps"]}


@pytest.fixture
def opened(browser, tmp_path):
    """Opens a figure's page; afterwards nothing must have gone wrong."""
    contexts, wrong = [], []

    def open_page(name):
        path = write_page(tmp_path / "page.html", name)
        context = browser.new_context(viewport={"width": 800, "height": 900}, has_touch=True)
        contexts.append(context)
        page = context.new_page()
        wrong.append(watch(page, path.as_uri()))
        page.goto(path.as_uri())
        page.locator(".wp-foot").wait_for(state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for found in wrong for text in found] == []


def by_mouse(page, points):
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)
    page.mouse.up()


def by_touch(page, points):
    client = page.context.new_cdp_session(page)

    def send(kind, *fingers):
        touches = [{"x": x, "y": y} for x, y in fingers]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    send("touchStart", points[0])
    for point in points[1:]:
        send("touchMove", point)
    send("touchEnd")
    client.detach()


def dragged(control, share, right, down):
    """Where a hand goes: along a slider's track to `share` of it; a handle so many pixels."""
    control.evaluate("e => e.scrollIntoView({ block: 'center' })")
    box = control.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    if control.get_attribute("type") == "range":
        return [(box["x"] + part * box["width"], y) for part in (0.5, (0.5 + share) / 2, share)]
    return [(x, y), (x + right / 2, y + down / 2), (x + right, y + down)]


@pytest.mark.parametrize("name", FIGURES)
def test_each_control_moves_its_figure_by_mouse_by_touch_and_by_keys(opened, name):
    page = opened(name)
    for mode, count in zip(MODES.get(name, [None]), COUNTS[name], strict=True):
        if mode:
            page.locator(f"input[value={mode}]").check()
        controls = page.locator(CONTROLS)
        assert controls.count() == count
        for k in range(count):
            control = controls.nth(k)
            label = control.get_attribute("aria-label")
            if control.evaluate("e => e.max && e.min === e.max"):
                assert label == "glance"  # this network has one
                continue
            for hand, way in ((by_mouse, (0.85, 12, 8)), (by_touch, (0.2, -14, -10))):
                page.evaluate(RESET)
                page.evaluate(WATCH)
                hand(page, dragged(control, *way))
                assert page.evaluate("seen.size") > 0, f"{label}: {hand.__name__}"
            page.evaluate(RESET)
            page.evaluate(WATCH)
            control.focus()
            for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowUp"):
                page.keyboard.press(key)
            assert page.evaluate("seen.size") > 0, f"{label}: keys"


def test_a_digit_is_drawn_on_the_pad_by_a_finger(opened):
    page = opened("pad")
    page.get_by_role("button", name="Clear the pad").tap()
    pad = page.locator(".dd-pad")
    pad.evaluate("e => e.scrollIntoView({ block: 'center' })")
    box = pad.bounding_box()
    line = [(box["x"] + box["width"] / 2, box["y"] + t * box["height"]) for t in (0.2, 0.5, 0.8)]
    by_touch(page, line)
    (stroke,) = page.evaluate("given.strokes")
    assert stroke[::2] == pytest.approx([0.5] * 3, abs=0.02)
    assert stroke[1::2] == pytest.approx([0.2, 0.5, 0.8], abs=0.02)
    page.wait_for_function("document.querySelectorAll('.dd-digit')[1].textContent === '1'")


def test_a_pixel_of_the_playground_is_chosen_by_a_finger(opened):
    page = opened("playground")
    box = page.locator(".wp-choose").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] * 5.5 / 28, box["y"] + box["height"] * 9.5 / 28)
    assert page.locator(".wp-reads").inner_text().startswith("Row 9, column 5 is read at")
