"""The pad of the first page in a real browser: drawn on, turned, played, against torch."""

import json
import re

import numpy as np
import pytest
import torch
import traitlets

from stn_course import geometry
from stn_course.experiments import runner, web
from stn_course.lessons.invariance import pad
from stn_course.lessons.invariance.pad import DigitPad
from stn_course.sampling import reference
from tests.chromium import GREY, served, watch, widget_page
from tools.book import draw

PAGE = """<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>pad</title>
<link rel="icon" href="data:,"></head><body style="margin:16px">{}<div style="height:900px"></div>
</body></html>"""
KINDS = list(pad.NETWORKS)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with a page that holds the figure as the book's first page does."""
    folder = tmp_path_factory.mktemp("site")
    draw.write(folder / "_static")
    (folder / "index.html").write_text(PAGE.format(draw.block()), encoding="utf-8")
    return folder


@pytest.fixture
def opened(browser, site):
    """Opens the page at an address; afterwards nothing must have gone wrong."""
    contexts, wrong = [], []

    def open_page(rest="", scheme="file", **options):
        options = {"viewport": {"width": 1000, "height": 800}} | options
        server = served(site, scheme)
        address = server.__enter__()
        contexts.append((browser.new_context(has_touch=True, **options), server))
        page = contexts[-1][0].new_page()
        wrong.append(watch(page, address))
        page.goto(f"{address}/index.html{rest}")
        page.wait_for_selector(".draw-digit canvas.dd-crop")
        return page

    yield open_page
    for context, server in contexts:
        context.close()
        server.__exit__(None, None, None)
    assert [text for found in wrong for text in found] == []


def settled(page):
    page.evaluate("() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))")


def verdicts(page):
    """{network: the digit that its card shows}"""
    settled(page)
    return dict(zip(KINDS, page.locator(".dd-digit").all_inner_texts(), strict=True))


def turn(page, degrees):
    page.get_by_label("turn", exact=True).fill(str(degrees))


# ---------------------------------------------------------------- the story
@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["http", "file"])
def test_the_sample_2_is_turned_and_only_some_hold(opened, scheme):
    page = opened(scheme=scheme)
    page.get_by_role("button", name="Reset").click()
    assert verdicts(page) == dict.fromkeys(KINDS, "2")
    found = {}
    for degrees in (20, 40, 60):
        turn(page, degrees)
        found[degrees] = verdicts(page)
    print(found)
    assert all(each["STN"] == "2" for each in found.values()), found
    assert found[60]["FC"] != "2", found
    assert page.locator(".dd-card").first.get_attribute("data-right") == "no"
    assert page.locator(".dd-mark").first.inner_text() == "✗"  # told by a mark, not by colour


@pytest.mark.browser
def test_the_play_button_tells_it_in_ten_seconds_and_stops(opened):
    page = opened()
    page.clock.install()
    button = page.locator(".dd-play")
    button.click()
    assert button.inner_text() == "Stop"
    angles, said = [], []
    for _ in range(22):
        page.clock.run_for(500)
        angles.append(float(page.get_by_label("turn", exact=True).input_value()))
        said.append(page.locator(".wp-say").inner_text())
    assert max(angles) == 60 and angles[-1] == 0 and button.inner_text() == "Play the story"
    assert any(re.search(r"turned by 60°: FC reads [013-9]", text) for text in said), said
    assert all("STN reads 2" in text for text in said if "reads" in text), said


@pytest.mark.browser
def test_with_less_motion_the_story_is_four_stills(opened):
    page = opened(reduced_motion="reduce")
    page.clock.install()
    page.locator(".dd-play").click()
    angles = set()
    for _ in range(21):
        page.clock.run_for(500)
        angles.add(float(page.get_by_label("turn", exact=True).input_value()))
    assert angles == {0, 20, 40, 60}


# ---------------------------------------------------------------- drawing
@pytest.mark.browser
def test_a_digit_is_drawn_by_mouse(opened):
    page = opened()
    page.get_by_role("button", name="Clear the pad").click()
    page.get_by_role("button", name="Reset").click()
    page.get_by_role("button", name="Clear the pad").click()
    assert verdicts(page) == dict.fromkeys(KINDS, "–")
    box = page.locator(".dd-pad").bounding_box()
    at = lambda x, y: (box["x"] + x * box["width"], box["y"] + y * box["height"])  # noqa: E731
    page.mouse.move(*at(0.5, 0.15))
    page.mouse.down()
    page.mouse.move(*at(0.48, 0.5), steps=6)
    page.mouse.move(*at(0.47, 0.85), steps=6)
    page.mouse.up()
    found = verdicts(page)
    assert found["CNN"] == found["STN"] == "1", found
    assert "Scaled to 20 pixels" in page.locator(".dd-hand figcaption").inner_text()
    assert page.locator(".dd-mark").all_inner_texts() == [""] * 4  # nobody knows what was meant


@pytest.mark.browser
def test_a_digit_is_drawn_by_keyboard(opened):
    page = opened("#theta=1,0,0,0,1,0")
    page.get_by_role("button", name="Clear the pad").click()
    page.locator(".dd-pad").focus()
    for key in ["ArrowRight"] * 2 + ["Space"] + ["ArrowRight"] * 6 + ["ArrowDown"] * 10:
        page.keyboard.press(key)
    page.keyboard.press("Escape")
    found = verdicts(page)
    assert found["CNN"] == found["STN"] == "7", found
    page.keyboard.press("Backspace")
    assert verdicts(page) == dict.fromkeys(KINDS, "–")


# ---------------------------------------------------------------- moving
def pixels(page, kind):
    return torch.tensor(page.locator(f"canvas.{kind}").evaluate(GREY)).view(1, 1, 28, 28)


@pytest.mark.browser
def test_what_is_seen_and_what_the_transformer_reads_are_torchs(opened):
    page = opened()
    for label, value in {"turn": 50, "scale": 0.8, "shift x": 0.2, "shear": 10}.items():
        page.get_by_label(label, exact=True).fill(str(value))
    settled(page)
    digit = DigitPad(sample=2).digit[None]
    theta = geometry.affine(50.0, 0.8, shear=10.0, shift=(0.2, 0.0))
    wanted = reference.warp(digit, theta)
    assert (pixels(page, "dd-seen") - 255 * wanted).abs().max() <= 1
    model = web.rounded(runner.trained("page-stn"))
    with torch.no_grad():
        read = model[0](wanted)
        best = model(wanted).softmax(1)[0]
    assert (pixels(page, "dd-crop") - 255 * read).abs().max() <= 2
    card = page.locator(".dd-card").nth(KINDS.index("STN"))
    assert card.locator(".dd-digit").inner_text() == str(best.argmax().item())
    assert abs(float(card.locator(".dd-sure").inner_text()[:-2]) - 100 * best.max().item()) <= 1


@pytest.mark.browser
def test_handles_are_dragged_and_moved_by_keys(opened):
    page = opened("#theta=1,0,0,0,1,0")
    value = lambda label: float(page.get_by_label(label, exact=True).input_value())  # noqa: E731
    view = page.locator(".dd-view").bounding_box()
    unit = view["width"] * 14 / 34

    def pull(name, dx, dy):
        box = page.locator(f".{name}").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + dx * unit, y + dy * unit, steps=5)
        page.mouse.up()
        settled(page)

    corner = 11 / 14
    pull("dd-turn", -2 * corner, 0)  # from the top right to the top left corner: a quarter
    assert (value("turn"), value("scale")) == (90, 1)
    page.locator(".dd-turn").press("Home")
    pull("dd-move", 0.3, -0.1)
    assert value("shift x") == pytest.approx(0.3, abs=0.02)
    assert value("shift y") == pytest.approx(-0.1, abs=0.02)
    page.locator(".dd-move").press("Home")
    pull("dd-shear", 0.3, 0)
    assert 10 < value("shear") < 25
    pull("dd-tilt", 0, 0.3)
    assert 20 < value("tilt") < 35
    for name, key, label, wanted in (
        ("dd-turn", "ArrowLeft", "turn", 5),
        ("dd-move", "ArrowRight", "shift x", 0.05),
        ("dd-move", "Shift+ArrowDown", "shift y", 0.01),
    ):
        page.locator(f".{name}").press(key)
        settled(page)
        assert value(label) == pytest.approx(wanted), label
    page.locator(".dd-shear").press("Home")
    page.locator(".dd-tilt").press("Home")
    settled(page)
    assert (value("shear"), value("tilt")) == (0, 0)


@pytest.mark.browser
def test_two_keys_before_the_next_frame_are_both_heard(opened):
    page = opened("#theta=1,0,0,0,1,0")
    page.evaluate(
        """() => {
          const press = (where, key) =>
            document.querySelector(where).dispatchEvent(new KeyboardEvent("keydown", { key }));
          press(".dd-shear", "ArrowRight");
          press(".dd-tilt", "ArrowDown");
          press(".dd-tilt", "ArrowDown");
        }"""
    )
    settled(page)
    value = lambda label: float(page.get_by_label(label, exact=True).input_value())  # noqa: E731
    assert (value("shear"), value("tilt")) == (3, 6)


@pytest.mark.browser
def test_a_view_stands_in_the_address_and_is_shared(opened):
    page = opened()
    turn(page, -30)
    page.get_by_role("button", name="take a sample 5").click()
    page.wait_for_url(re.compile(r"digit=5"))
    rest = page.evaluate("location.hash")
    assert rest.startswith("#theta=0.866,0.5,0,-0.5,0.866,0")
    other = opened(rest)
    assert other.get_by_label("turn", exact=True).input_value() == "-30"
    assert (
        other.get_by_role("button", name="take a sample 5").get_attribute("aria-pressed") == "true"
    )
    assert verdicts(other) == verdicts(page)


# ---------------------------------------------------------------- clutter
@pytest.mark.browser
def test_clutter_is_scattered_by_keys_touch_and_mouse_and_the_networks_read_it(opened):
    page = opened("#theta=1,0,0,0,1,0&digit=2")
    plain = pixels(page, "dd-seen")
    scatter = page.get_by_role("button", name="Scatter clutter")
    scatter.focus()
    page.keyboard.press("Enter")
    settled(page)
    clutter = page.get_by_role("slider", name="clutter")
    assert clutter.input_value() == "6"
    first = pixels(page, "dd-seen")
    assert (first >= plain).all() and 20 < (first > plain).sum() <= 6 * 25
    assert "None of the four" in page.locator(".wp-say").inner_text()
    anew = page.get_by_role("button", name="Scatter anew")
    anew.tap()
    settled(page)
    assert (pixels(page, "dd-seen") != first).any()
    box = clutter.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
    settled(page)
    assert clutter.input_value() == "20"
    seen = pixels(page, "dd-seen")
    # What the cards say is what torch makes of this very picture.
    for k, name in enumerate(pad.NETWORKS.values()):
        with torch.no_grad():
            p = web.rounded(runner.trained(name))(seen / 255).softmax(1)[0]
        card = page.locator(".dd-card").nth(k)
        assert abs(float(card.locator(".dd-sure").inner_text()[:-2]) - 100 * p.max()) <= 1.5, name
        assert card.locator(".dd-digit").inner_text() == str(p.argmax().item()), name
    page.wait_for_url(re.compile(r"clutter=20&scattering=1"))
    other = opened(page.evaluate("location.hash"))
    assert torch.equal(pixels(other, "dd-seen"), seen)
    page.get_by_role("button", name="Reset").click()
    settled(page)
    assert clutter.input_value() == "0"


# ---------------------------------------------------------------- access
@pytest.mark.browser
def test_every_control_has_a_name_and_shows_its_focus(opened):
    page = opened()
    controls = page.locator(".draw-digit :is(button, input, [tabindex='0'])")
    assert controls.count() == 4 + 1 + 4 + 10 + 7
    for each in controls.all():
        each.focus()
        page.keyboard.press("Shift")  # focus by keyboard, as far as the page can tell
        said = each.evaluate("e => e.getAttribute('aria-label') || e.textContent")
        assert said.strip(), each
        shown = each.evaluate(
            "e => [e, '::before'].some((w) => (w === e ? getComputedStyle(e) : "
            "getComputedStyle(e, w)).outlineStyle !== 'none')"
        )
        assert shown, said


@pytest.mark.browser
def test_on_a_phone_the_picture_stays_in_sight(opened):
    page = opened(viewport={"width": 360, "height": 740})
    tilt = page.get_by_label("tilt", exact=True)
    tilt.evaluate("e => e.scrollIntoView({ block: 'end' })")
    settled(page)
    slider = tilt.bounding_box()
    for name in ("dd-view", "dd-cards"):
        box = page.locator(f".{name}").bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= slider["y"], name
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.browser
def test_without_javascript_there_is_a_picture_with_a_caption(browser, site):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    assert page.locator("figure svg.hero").is_visible()
    assert "Draw a digit and turn it" in page.locator("figcaption").inner_text()
    context.close()


# ---------------------------------------------------------------- speed
MOST_SINES = 4  # times 300 000 sines: what a move may take, four networks and all


@pytest.mark.browser
def test_a_move_costs_no_more_than_a_fixed_piece_of_work(opened, tell):
    """In the page's own processor time; so neither a busy machine nor a slow one fails it."""
    page = opened()
    client = page.context.new_cdp_session(page)
    client.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent():
        metrics = client.send("Performance.getMetrics")["metrics"]
        return 1e3 * next(m["value"] for m in metrics if m["name"] == "TaskDuration")

    move = """(k) => new Promise((done) => {
      const slider = document.querySelector('input[aria-label="turn"]');
      slider.value = k % 90;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
      requestAnimationFrame(() => setTimeout(done));
    })"""
    sines = "() => { let s = 0; for (let i = 0; i < 3e5; i++) s += Math.sin(i); return s; }"
    times, units = [], []
    for k in range(220):
        before = spent()
        page.evaluate(move, k)
        times.append(spent() - before)
        if k % 5 == 0:
            before = spent()
            page.evaluate(sines)
            units.append(spent() - before)
    median, p95 = np.percentile(times[20:], [50, 95])
    unit = np.median(units[4:])
    tell(f"draw a digit: 200 moves, median {median:.1f} ms, p95 {p95:.1f}; sines {unit:.1f} ms")
    assert 0.2 < median <= p95 and median <= MOST_SINES * unit


@pytest.mark.browser
def test_a_move_does_not_lay_out_the_page_anew(browser, opened):
    page = opened("#theta=1,0,0,0,1,0&digit=2")
    read = verdicts(page)
    browser.start_tracing(page=page, categories=["devtools.timeline"])
    for degrees in range(1, 6):
        turn(page, degrees)
        assert verdicts(page) == read
    events = json.loads(browser.stop_tracing())["traceEvents"]
    layouts = [e["args"]["beginData"] for e in events if e["name"] == "Layout" and "args" in e]
    assert len(layouts) >= 5 and all(each["partialLayout"] for each in layouts), layouts


# ---------------------------------------------------------------- the widget
@pytest.mark.browser
def test_the_widget_hands_its_digit_to_python(browser, tmp_path):
    widget = DigitPad()
    path = widget_page(tmp_path / "page.html", widget, pad.module_text(), pad.style_text())
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    page = context.new_page()
    wrong = watch(page, path.as_uri())
    page.goto(path.as_uri())
    page.locator(".dd-pad").click()
    settled(page)
    state = page.evaluate("({ ...given, networks: 0, samples: 0 })")
    assert state["sample"] == -1 and len(state["strokes"]) == 1 and len(state["pixels"]) == 784
    widget.strokes, widget.sample = state["strokes"], state["sample"]
    widget.pixels = state["pixels"]
    assert widget.digit.shape == (1, 28, 28) and 0 < widget.digit.sum() < 30
    page.evaluate("model.set('parts', { ...model.get('parts'), rotate: 33 })")
    settled(page)
    assert page.get_by_label("turn", exact=True).input_value() == "33"
    page.evaluate("leave()")
    assert page.locator(".draw-digit").count() == 0
    context.close()
    assert wrong == []


def test_what_the_widget_refuses_is_named():
    widget = DigitPad(sample=-1)
    with pytest.raises(ValueError, match="nothing is drawn"):
        _ = widget.digit
    with pytest.raises(traitlets.TraitError, match=r"sample must be 0\.\.9, or -1"):
        widget.sample = 10
    for name, wrong in (("clutter", 21), ("clutter", -1), ("scattering", -1)):
        with pytest.raises(traitlets.TraitError, match=name):
            setattr(widget, name, wrong)
    with pytest.raises(traitlets.TraitError, match="pairs x, y in"):
        widget.strokes = [[0.1, 0.2, 0.3]]
    with pytest.raises(traitlets.TraitError, match="pairs x, y in"):
        widget.strokes = [[0.1, 1.2]]
    for wrong in ({"tilt": 90.0}, {"scale": 0.0}, {"spin": 1.0}, {"rotate": float("nan")}):
        with pytest.raises(traitlets.TraitError, match="parts must be finite"):
            widget.parts = wrong
    widget.parts = {"rotate": 5.0}
    assert widget.parts == pad.PARTS | {"rotate": 5.0}
    assert repr(DigitPad()) == "DigitPad(sample=2, strokes=0)"


def test_samples_are_one_of_each_class_and_read_right_by_all():
    digits = torch.stack([DigitPad(sample=k).digit for k in range(10)])  # [10, 1, 28, 28]
    for name in web.FIRST_PAGE:
        with torch.no_grad():
            assert runner.trained(name)(digits).argmax(1).tolist() == list(range(10)), name


def test_the_pages_script_is_no_module():
    text = draw.script()
    assert not re.search(r"^\s*(export|import)\b", text, flags=re.M) and text.count("mount(") >= 2
    assert json.dumps(DigitPad().samples[2])[1:60] in text
