"""Training played, and glances stepped through: in a page without a kernel, held to torch."""

import base64
import itertools

import numpy as np
import pytest
import torch

from stn_course import data, geometry, models
from stn_course.data.clutter import fresh
from stn_course.lessons.digit_sequences.explorers import GlanceExplorer, ScatterExplorer
from stn_course.lessons.digit_sequences.helpers import look
from stn_course.lessons.look_straight.player import TrainingPlayer
from stn_course.lessons.place_and_tilt.registration import DescentPlayer, Registration
from stn_course.lessons.widgets import Looks
from stn_course.sampling import outline, reference
from tests.chromium import GREY, watch, widget_page

STEPS = [0, 50, 100, 150]
pytestmark = pytest.mark.browser


def smooth(n, size):
    """Pictures that tell a wrong place by their values.  # [n, 1, h, w]"""
    y, x = np.mgrid[: size[0], : size[1]]
    waves = [0.5 + 0.5 * np.sin(0.3 * x * (k + 1) + 0.23 * y) for k in range(n)]
    return torch.tensor(np.stack(waves)[:, None] * (x > 2)).float()


@pytest.fixture(scope="module")
def training():
    images = smooth(3, (20, 28))
    turns = [geometry.affine(15.0 * k, 1 + 0.1 * k, size=(20, 28)) for k in range(len(STEPS))]
    thetas = torch.cat(turns)[:, None].repeat(1, 3, 1, 1)  # [T, N, 2, 3]
    thetas[:, 1, 0, 2] = 0.1
    return images, thetas


@pytest.fixture(scope="module")
def reading():
    """A network of two glances that differ, and the rows that it reads."""
    torch.manual_seed(0)
    net = models.build("rnn-spn", size=(40, 40), digits=2, glimpse=(12, 8), first_look="strips")
    return net.eval(), smooth(4, (40, 40)), torch.tensor([[1, 2], [3, 4], [5, 6], [7, 8]])


@pytest.fixture
def shown(browser, tmp_path):
    pages, wrong = [], []

    def open_widget(widget):
        path = widget_page(tmp_path / "widget.html", widget, Looks._esm, Looks._css)
        page = browser.new_page(viewport={"width": 390, "height": 800})
        wrong.append(watch(page, path.as_uri()))
        page.goto(path.as_uri())
        page.locator(".lk-play").wait_for()
        pages.append(page)
        return page

    yield open_widget
    assert [text for found in wrong for text in found] == []
    for page in pages:
        page.close()


def pixels(page, name, size):
    """The canvas of that name.  # [h, w] in 0..255"""
    return torch.tensor(page.get_by_label(name, exact=True).evaluate(GREY)).view(size)


def reads_as_torch(page, images, thetas, step):
    for n, image in enumerate(images):
        found = pixels(page, f"what is read of picture {n + 1}", (28, 28))
        whole = (255 * image[None]).round().double()
        wanted = reference.warp(whole, thetas[step, n][None].double(), (28, 28))[0, 0]
        assert wanted.std() > 10 and (found - wanted).abs().max() <= 1
        drawn = page.locator(".lk-seen").nth(n).locator(".wp-top").get_attribute("d")
        ends = geometry.to_pixels(outline(thetas[step, n][None]), (20, 28))[0, :2] + 0.5
        told = [float(v) for v in drawn[1:].replace("L", " ").split()]
        assert told == pytest.approx(ends.flatten().tolist(), abs=0.006)


def test_the_step_is_moved_by_keys_by_mouse_and_by_python(shown, training):
    images, thetas = training
    page = shown(TrainingPlayer(images, thetas, STEPS))
    slider = page.get_by_role("slider", name="step")
    reads_as_torch(page, images, thetas, 3)
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert slider.get_attribute("aria-valuetext") == "100"
    reads_as_torch(page, images, thetas, 2)
    box = slider.bounding_box()
    page.mouse.click(box["x"] + 3, box["y"] + box["height"] / 2)
    reads_as_torch(page, images, thetas, 0)
    assert page.evaluate("model.get('step')") == 0 and page.evaluate("model.saved") == 2
    page.evaluate("model.set('step', 1)")
    reads_as_torch(page, images, thetas, 1)
    assert page.evaluate("model.saved") == 2  # no echo
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.evaluate("leave()")
    assert page.locator(".warp-playground").count() == 0
    assert page.evaluate("Object.values(listeners).every((l) => l.length === 0)")


def test_play_goes_through_all_steps_once_and_can_be_stopped(shown, training):
    page = shown(TrainingPlayer(*training, STEPS))
    page.clock.install()
    play, step = page.locator(".lk-play"), "model.get('step')"
    play.click()  # from the end: from the start again
    assert page.evaluate(step) == 0 and play.inner_text() == "Stop"
    page.clock.run_for(2100)
    assert page.evaluate(step) == 2
    page.keyboard.press("Space")  # the button has the focus
    page.clock.run_for(5000)
    assert page.evaluate(step) == 2 and play.inner_text() == "Play"
    page.keyboard.press("Space")
    page.clock.run_for(9000)
    assert page.evaluate(step) == 3 and play.inner_text() == "Play"


def test_a_descent_of_homographies_is_drawn_as_torch_reads_it(shown):
    image = smooth(1, (24, 30))
    paths = torch.eye(3).repeat(6, 1, 1, 1)
    paths[:, 0, 2, 0] = torch.linspace(0, 0.25, 6)
    paths[:, 0, 0, 1] = torch.linspace(0, 0.4, 6)
    found = {"one": Registration(paths[-1], torch.zeros(6, 1), paths)}
    page = shown(DescentPlayer(image, found, paths[3], every=2))
    slider = page.get_by_role("slider", name="step")
    slider.focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "4"
    whole = (255 * image).round().double()
    for n, theta in enumerate((paths[4], paths[3])):
        seen = pixels(page, f"what is read of picture {n + 1}", (24, 30))
        wanted = reference.warp(whole, theta.double())[0, 0]
        assert wanted.std() > 10 and (seen - wanted).abs().max() <= 1
    assert page.locator(".lk-caption").all_inner_texts() == ["one", "what is sought"]


def test_a_glance_shows_what_it_sees_and_what_is_believed(shown, reading):
    net, images, labels = reading
    seen = look(net, images)
    page = shown(GlanceExplorer(net, images, labels))
    boxes = page.locator(".lk-seen .wp-box")
    for row, glance in ((0, 0), (0, 1), (2, 1)):
        for name, value in (("row", row), ("glance", glance)):
            slider = page.get_by_role("slider", name=name)
            slider.focus()
            page.keyboard.press("Home")
            for _ in range(value):
                page.keyboard.press("ArrowRight")
        found = pixels(page, f"what is read of picture {row + 1}", seen.glimpses.shape[-2:])
        wanted = 255 * seen.glimpses[row, glance, 0].detach().clamp(0, 1)
        assert (found - wanted).abs().max() <= 1
        drawn = [boxes.nth(k).get_attribute("d") for k in (0, 1)]
        assert [bool(d) for d in drawn] == [True, glance == 1]
        corners = outline(seen.theta[row, glance][None].detach().double())
        wanted = geometry.to_pixels(corners, (40, 40))[0] + 0.5
        told = [float(v) for v in drawn[glance][1:-1].replace("L", " ").split()]
        assert told == pytest.approx(wanted.flatten().tolist(), abs=0.006)
        p = seen.beliefs[row, glance]
        best, true = int(p.argmax()), int(labels[row, glance])
        said = page.locator(".wp-say").inner_text()
        assert said == (
            f"Digit {glance + 1}: it says {best} ({100 * p.max():.0f} %), and it is a {true} "
            + "✗✓"[best == true]
        )
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


# ---------------------------------------------------------------- rows that the reader scatters
LEVELS = (0, 3, 9)
SINGLE = data.ClutterRecipe(40, 1, 3, 7, 4, 4, ("train",), (1, 1, 1))


def digits(n):
    """Digits of whole 255ths that differ in every pixel.  # [n, 1, 28, 28], [n]"""
    return (255 * smooth(n, (28, 28))).round() / 255, torch.arange(n)


def scattered(rows=3):
    torch.manual_seed(0)
    net = models.build("rnn-spn", size=(40, 40), digits=1, glimpse=(12, 8), first_look="strips")
    torch.nn.init.normal_(net.transformer.head[0].weight, 0, 0.1)  # it looks elsewhere each time
    options = {"rows": rows, "scatterings": 2, "levels": LEVELS}
    return net.eval(), ScatterExplorer(net, SINGLE, *digits(6), **options)


def pictures_of(explorer):
    """What the network saw, put together by torch.  # {(row, scattering, level): [1, 1, 40, 40]}"""
    scene, (images, _) = explorer.scene, digits(6)
    found = {}
    for n, k in itertools.product(range(explorer.rows), range(2)):
        each = torch.tensor(list(base64.b64decode(scene["scraps"][2 * n + k]))).view(1, -1, 5)
        first = torch.tensor(list(base64.b64decode(scene["digits"][n]))).view(1, -1, 3)
        for level in LEVELS:
            places = fresh.Places(first, each[:, :level])
            found[n, k, level] = fresh.put_together(images, places, 40, 7)
    return found


def test_scraps_are_scattered_by_keys_by_mouse_and_by_touch(browser, tmp_path):
    """After each move the page shows the row, the glance and the belief that torch has of it."""
    net, explorer = scattered()
    rows = pictures_of(explorer)
    path = widget_page(tmp_path / "widget.html", explorer, Looks._esm, Looks._css)
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True)
    page = context.new_page()
    wrong = watch(page, path.as_uri())
    page.goto(path.as_uri())

    def agrees(row, scattering, level):
        told = page.evaluate("[given.picture, given.scattering, given.clutter]")
        assert told == [row, scattering, level]
        image = rows[row, scattering, level]
        name = f"picture {row + 1}, with what is read at glance 1"
        assert torch.equal(pixels(page, name, (40, 40)), (255 * image[0, 0]).round().long())
        seen = look(net, image)
        found = pixels(page, f"what is read of picture {row + 1}", (12, 8))
        wanted = 255 * seen.glimpses[0, 0, 0].clamp(0, 1)
        assert wanted.std() > 10 and (found - wanted).abs().max() <= 1.1
        p, true = seen.beliefs[0, 0], explorer.labels[row][0]
        said = page.locator(".wp-say").inner_text()
        assert f"it says {p.argmax()} ({100 * p.max():.0f} %), and it is a {true}" in said
        assert page.locator(".lk-whole").inner_text().startswith(f"The row: it says {p.argmax()}")

    slider = page.get_by_role("slider", name="scraps")
    agrees(0, 0, 3)  # as many as the recipe has
    slider.press("ArrowRight")
    agrees(0, 0, 9)
    assert slider.get_attribute("aria-valuetext") == "9"
    anew = page.locator(".lk-anew")
    anew.press("Enter")
    assert anew.inner_text() == "Scatter anew (2 of 2)"
    agrees(0, 1, 9)
    page.get_by_role("slider", name="row").press("End")
    agrees(2, 1, 9)
    box = slider.bounding_box()
    page.mouse.click(box["x"] + 3, box["y"] + box["height"] / 2)
    agrees(2, 1, 0)
    anew.tap()  # after the last the first
    agrees(2, 0, 0)
    page.evaluate("model.set('clutter', 9)")
    agrees(2, 0, 9)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert wrong == []
    context.close()
