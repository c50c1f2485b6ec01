"""The sliders in a real JupyterLab: a reader runs all cells and moves them by keyboard.

The server stands on 127.0.0.1 with a home, settings and a notebook of its own; the browser has no
network. What is drawn is compared with what the package computes here, in this process.
"""

import base64
import dataclasses
import io
import json
import os
import re
import subprocess
import sys
import time

import nbformat
import numpy as np
import pytest
import torch
from nbformat import v4

from stn_course import geometry
from stn_course.lessons.invariance.explorer import beliefs, moved
from stn_course.sampling import reference
from tests.chromium import GREY, watch

pytestmark = pytest.mark.browser
SECONDS = 120  # patience: a busy machine is slow, and that is no failure
NEWS = "@jupyterlab/apputils-extension:announcements"  # asks a server on the internet
MOST_MS = 50  # of the kernel's processor time, for 95 of 100 moves

# The first cell; the tests run it too, so that both sides have the same picture and networks.
SETUP = """
import time
import ipywidgets as ipw
import numpy as np
import torch
from stn_course import models
from stn_course.data import ClutterRecipe
from stn_course.data import draw_rows
from stn_course.lessons.invariance.explorer import DigitExplorer
from stn_course.lessons.digit_sequences.explorers import ClutterExplorer, GlanceExplorer
from stn_course.lessons.grid_sampling.explorer import ThetaExplorer
from stn_course.lessons.look_straight.player import TrainingPlayer
from stn_course.lessons.place_and_tilt.corner_lab import CornerLab
from stn_course.lessons.widgets import WarpPlayground

y, x = np.mgrid[:28, :28] / 27
image = np.exp(-((x - 0.4) ** 2) / 0.01 - (y - 0.6) ** 2 / 0.1) + (x > 0.5) * (abs(y - 0.2) < 0.1)
image = torch.tensor(image * (abs(x - 0.5) < 0.45)).clamp(0, 1).float()  # [28, 28]
torch.manual_seed(0)
readers = {"FC": models.build("fc").eval(), "CNN": models.build("cnn").eval()}

# Rows of two digits, and a network whose two glances differ.
recipe = ClutterRecipe(
    canvas=64, digits=2, patches=4, patch_size=7, x_start=4, x_jitter=4,
    bank_splits=("train",), sizes=(1, 1, 1))
digits_8 = image.roll(3, 1)[None, None] * torch.linspace(0.5, 1, 8).view(8, 1, 1, 1)
rows = draw_rows(recipe, digits_8, torch.arange(8), torch.Generator().manual_seed(0))
spn = models.build("rnn-spn", size=(64, 64), digits=2, glimpse=(20, 12), first_look="strips").eval()
"""
EXPLORER = "explorer = ThetaExplorer(image.numpy())\nexplorer"
PLAYGROUND = """
playground, saw = WarpPlayground(image.numpy()), ipw.HTML()
def say(change):
    saw.value = f"Python saw {change.new}"
playground.observe(say, "theta")
ipw.VBox([playground, saw])
"""
DIGITS = "digits = DigitExplorer(image[None], readers)\ndigits"
GLANCES = """
glances, heard = GlanceExplorer(spn, rows.images, rows.labels), ipw.HTML()
def tell(change):
    heard.value = f"GlanceExplorer shows row {glances.picture}, step {glances.step}"
glances.observe(tell, ["step", "picture"])
ipw.VBox([glances, heard])
"""
CLUTTER = "clutter = ClutterExplorer(recipe, digits_8, torch.arange(8), net=spn)\nclutter"
CORNERS = "CornerLab(image.numpy())"
PLAYER = """
eyes = torch.eye(2, 3).expand(3, 2, 2, 3)
TrainingPlayer(digits_8[:2], eyes, [0, 50, 100])
"""
BARE = "ipw.IntSlider(description='no guard')"
MOVES = """
def p95_of_200_moves(slider):
    times = []
    for k in range(200):
        before = time.process_time()
        slider.value = (7 * k) % 180 - 90
        times.append(time.process_time() - before)
    return f"{1e3 * np.percentile(times, 95):.1f} ms"

others = ThetaExplorer(image.numpy()), DigitExplorer(image[None], readers)
print("theta:", p95_of_200_moves(others[0].parts["rotate"]))
print("digits:", p95_of_200_moves(others[1].sliders["rotate"]))
"""
FIGURES = {
    "theta": EXPLORER,
    "playground": PLAYGROUND,
    "digits": DIGITS,
    "glances": GLANCES,
    "clutter": CLUTTER,
    "corners": CORNERS,
    "player": PLAYER,
}
CELLS = [SETUP, *FIGURES.values(), MOVES, BARE]


def notebook():
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    cells = [v4.new_code_cell(source.strip()) for source in CELLS]
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def until(page, true, what):
    """Wait for a condition; a question which kernel to take is answered, however late it comes."""
    question = page.locator('.jp-Dialog:has-text("Select Kernel") .jp-mod-accept')
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, f"waited {SECONDS} s: {what}"
        if question.is_visible():
            question.click()
        page.wait_for_timeout(100)


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    """The address of a notebook in a fresh JupyterLab. (`browser` first: no server without it.)"""
    home, root = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("root")
    nbformat.write(notebook(), root / "sliders.ipynb")
    places = {"CONFIG": "config", "DATA": "data", "RUNTIME": "runtime"}
    own = {f"JUPYTER_{key}_DIR": str(home / name) for key, name in places.items()}
    own |= {"HOME": str(home), "IPYTHONDIR": str(home / "ipython"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--ServerApp.root_dir={root}"]
    command += ["--LabApp.extension_manager=readonly"]  # the other one asks a package registry
    settings = home / "config" / "labconfig" / "page_config.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"disabledExtensions": {NEWS: True}}))
    log = home / "lab.log"
    with log.open("w") as out:
        server = subprocess.Popen(command, env=os.environ | own, stdout=out, stderr=out)
    try:
        told = home / "runtime" / f"jpserver-{server.pid}.json"  # the server writes where it is
        deadline = time.monotonic() + SECONDS
        while not told.exists():
            gone = server.poll() is not None or time.monotonic() > deadline
            assert not gone, f"JupyterLab did not start:\n{log.read_text()[-2000:]}"
            time.sleep(0.1)
        time.sleep(0.1)  # written whole
        where = json.loads(told.read_text())
        yield f"{where['url']}lab/tree/sliders.ipynb?reset&token={where['token']}"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


@pytest.fixture(scope="module")
def opened(browser, lab):
    """The notebook's page after Run All, and the list of what went wrong on it."""
    page = browser.new_context(viewport={"width": 1400, "height": 2600}).new_page()
    wrong = watch(page, lab)
    page.goto(lab)
    until(page, page.locator(".jp-Notebook .jp-Cell").first.is_visible, "the notebook to open")
    # The notebook's own indicator is idle before there is a kernel; the status bar knows better.
    ready = page.locator("#jp-main-statusbar").get_by_text("Python 3 (ipykernel) | Idle")
    until(page, ready.is_visible, "the kernel to be ready")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    until(page, lambda: "digits:" in text_of(page, MOVES), "all cells to run")
    yield page, wrong
    page.context.close()


@pytest.fixture
def page(opened):
    return opened[0]


@pytest.fixture(scope="module")
def names():
    """What the notebook's first cell defines."""
    found = {}
    exec(SETUP, found)
    return found


def cell(page, source):
    return page.locator(".jp-Notebook .jp-CodeCell").nth(CELLS.index(source))


def text_of(page, source):
    return "\n".join(cell(page, source).locator(".jp-OutputArea-output").all_inner_texts())


def slider(page, source, label):
    return cell(page, source).locator(".widget-slider").filter(has_text=label)


def readout(page, source, label):
    return slider(page, source, label).locator(".widget-readout")


def press(page, source, label, *keys):
    """Keys on the slider of that name in a cell's output; returns the number that it then shows."""
    slider(page, source, label).locator("[role=slider]").focus()
    for key in keys:
        page.keyboard.press(key)
    return float(readout(page, source, label).inner_text())


def picture(page, source, label):
    """The pixels of a drawn figure.  # [h, w] in 0..255"""
    from PIL import Image

    figure = cell(page, source).locator(f'svg[aria-label="{label}"] image')
    png = figure.get_attribute("href").partition("base64,")[2]
    return torch.tensor(np.asarray(Image.open(io.BytesIO(base64.b64decode(png)))).astype(float))


def difference(found, wanted):
    """Of two pictures, the second in [0, 1]; in 1/255."""
    return (found - 255 * wanted.clamp(0, 1)).abs().max().item()


def test_an_ipywidgets_slider_redraws_the_figure(page, names):
    until(
        page,
        lambda: difference(picture(page, EXPLORER, "output"), names["image"]) <= 1,
        "the first figure: theta is the identity",
    )
    before = picture(page, EXPLORER, "output")
    angle = press(page, EXPLORER, "rotate", *["ArrowRight"] * 12)
    scale = press(page, EXPLORER, "scale", *["ArrowRight"] * 9)
    assert (angle, scale) == (12, 1.09)
    theta = geometry.affine(angle, scale)
    first = f"theta = [{'  '.join(f'{v:7.3f}' for v in theta[0, 0].tolist())}"  # Python's words
    until(page, lambda: first in text_of(page, EXPLORER), f"the figure to say {first}")
    found = picture(page, EXPLORER, "output")
    assert not torch.equal(found, before)
    assert difference(found, reference.warp(names["image"][None, None], theta)[0, 0]) <= 1


def test_the_playground_draws_as_torch_and_python_sees_it(page, names):
    playground = cell(page, PLAYGROUND)
    playground.get_by_label("θ₁₂", exact=True).focus()
    for _ in range(15):
        page.keyboard.press("ArrowRight")
    theta = [1.0, 0.15, 0.0, 0.0, 1.0, 0.0]
    until(page, lambda: f"Python saw {theta}" in text_of(page, PLAYGROUND), "Python to see it")
    found = torch.tensor(playground.locator("canvas.wp-output").evaluate(GREY)).view(28, 28)
    wanted = reference.warp(names["image"][None, None], torch.tensor(theta).view(1, 2, 3))[0, 0]
    assert wanted.std() > 0.1
    assert difference(found, wanted) <= 1


def test_the_digit_explorer_redraws_picture_and_beliefs(page, names):
    image = names["image"][None]
    before = {name: beliefs_shown(page, name) for name in names["readers"]}
    angle = press(page, DIGITS, "rotate", *["ArrowRight"] * 40)
    assert angle == 40
    wanted = moved(image, angle, 1.0, 0.0)
    drawn = "the digit, moved"
    until(
        page,
        lambda: difference(picture(page, DIGITS, drawn), wanted[0]) <= 1,
        "the digit to be turned",
    )
    for name, p in beliefs(names["readers"], wanted).items():
        until(
            page,
            lambda name=name, p=p: np.abs(np.subtract(beliefs_shown(page, name), p)).max() < 0.006,
            f"the bars of {name} to say {p}",
        )
        assert beliefs_shown(page, name) != before[name]


def test_the_step_slider_shows_the_next_glance_and_python_hears_of_it(page, names):
    glances = cell(page, GLANCES)
    glances.get_by_role("slider", name="glance").focus()
    page.keyboard.press("ArrowRight")
    glances.get_by_role("slider", name="row").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    until(
        page,
        lambda: "GlanceExplorer shows row 2, step 1" in text_of(page, GLANCES),
        "Python to hear of both sliders",
    )


def test_the_clutter_slider_draws_the_set_again(page, names):
    said = text_of(page, CLUTTER)
    assert press(page, CLUTTER, "patches", *["ArrowRight"] * 6) == 10
    harder = dataclasses.replace(names["recipe"], patches=10)
    generator = torch.Generator().manual_seed(4)
    made = names["draw_rows"](harder, names["digits_8"], torch.arange(8), generator)
    drawn = f"a row: {''.join(map(str, made.labels[0].tolist()))}"
    until(
        page,
        lambda: difference(picture(page, CLUTTER, drawn), made.images[0, 0]) <= 1,
        "the first row to have ten patches",
    )
    assert "digits right, of 16" in said


def beliefs_shown(page, name):
    """The ten probabilities that a network's bars say, rounded to whole percents."""
    bars = cell(page, DIGITS).locator(f'[aria-label^="{name} says"]').inner_text()
    return [int(percent) / 100 for percent in re.findall(r"(\d+) %", bars)]


def test_a_move_takes_the_kernel_at_most_50_ms(page):
    found = dict(re.findall(r"(\w+): ([\d.]+) ms", text_of(page, MOVES)))
    print(f"p95 of 200 moves, ms of kernel time: {found}")
    assert found.keys() == {"theta", "digits"}
    assert all(0 < float(ms) <= MOST_MS for ms in found.values())


CONTROLS = "input, button, select, summary, [tabindex='0'], [contenteditable='true']"


def keys_in_every_control(page, source, keys, done):
    """Press `keys` in each control of a cell's figure, `done()` after each; how many controls."""
    figure = cell(page, source).locator(".live-figure, .warp-playground").first
    pressed = 0
    for control in figure.locator(CONTROLS).all():
        if not control.is_visible():
            continue
        control.focus()
        assert control.evaluate("e => e === document.activeElement")
        for key in keys:
            page.keyboard.press(key)
            done(key)
        pressed += 1
    return pressed


@pytest.mark.parametrize("name", FIGURES)
def test_the_notebook_s_keys_do_nothing_in_a_control(page, name):
    """x and d, d would delete the reader's cell, b and a insert one, m turn it into text."""
    if name == "playground":  # its handles are there only then
        cell(page, PLAYGROUND).get_by_label("homography").check()
    cells = page.locator(".jp-Notebook .jp-Cell")
    before = cells.count()
    assert before == len(CELLS)

    def nothing_happened(key):  # after each: b and then d, d leave as many as there were
        assert cells.count() == before, f"{key} was obeyed"

    pressed = keys_in_every_control(page, FIGURES[name], "bddaxm", nothing_happened)
    print(f"{name}: keys pressed in {pressed} controls")
    assert pressed >= 1
    page.wait_for_timeout(300)  # JupyterLab obeys at once
    nothing_happened("m")
    assert page.locator(".jp-Notebook .jp-CodeCell").count() == before
    shown = cell(page, FIGURES[name]).locator(".cm-content").inner_text()
    assert FIGURES[name].strip().splitlines()[0] in shown


def test_the_keys_of_those_tests_do_something_without_a_guard(page):
    cells = page.locator(".jp-Notebook .jp-Cell")
    before = cells.count()
    cell(page, BARE).locator("[role=slider]").focus()
    page.keyboard.press("b")
    until(page, lambda: cells.count() == before + 1, "b to insert a cell")


def test_nothing_left_the_machine_and_nothing_complained(opened, tmp_path):
    """The last: after all that the others did."""
    page, wrong = opened
    page.screenshot(path=tmp_path / "lab.png")
    # What a busy machine brings: limits of 2 s and 10 s in anywidget and JupyterLab. A figure that
    # is not there at all fails the tests above.
    slow = re.compile(
        r"took [\d.]+ms to activate|is taking too long to activate|did not appear within \d+ ms"
        r"|^\[anywidget\] Failed to initialize model\.$"
    )
    assert [text for text in wrong if not slow.search(text)] == []
