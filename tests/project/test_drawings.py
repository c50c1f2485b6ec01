"""The drawings are what the networks are, the charts what the records hold; both can be read."""

import sys
from dataclasses import replace
from functools import partial
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

from stn_course import models
from stn_course.experiments import records
from stn_course.models import sequence_designs
from tools.drawings import __main__ as command
from tools.drawings import canvas, charts, files, shapes, trace

ALL = list(files.MADE)
CHARTS = dict(charts.chosen())


def drawn(name: str) -> str:
    """The drawing, or a skip that says what is missing."""
    if why := files.skipped(name):
        pytest.skip(why)
    return files.draw(name)


# ---------------------------------------------------------------- drawings
@pytest.mark.parametrize("name", ALL)
def test_drawing_is_what_its_network_is(name):
    assert files.kept(files.DRAWINGS / f"{name}.svg") == drawn(name)


CHANGES = {  # a drawing: (where a builder stands, its name there, another one in its place)
    "stn": (models.MODELS, "stn-small", partial(models.stn, glimpse=(28, 28), width=1.25)),
    "hr": (models.MODELS, "hr-padded", models.MODELS["hr"]),
    "readers": (sequence_designs.DESIGNS, "sk", replace(sequence_designs.DESIGNS["sk"], state=128)),
    "tutorial": (models.MODELS, "tutorial-coord-loc", models.MODELS["tutorial"]),
    "twin": (models.MODELS, "stn-cnn", partial(models.stn, localiser="xq-notebook")),
}


@pytest.mark.parametrize("name", CHANGES)  # "cut" shows no network's numbers
def test_another_width_or_layer_shows_in_the_drawing(name, monkeypatch):
    home, key, other = CHANGES[name]
    monkeypatch.setitem(home, key, other)
    assert files.kept(files.DRAWINGS / f"{name}.svg") != drawn(name)


@pytest.mark.parametrize("name", ALL)
def test_drawing_speaks_and_fetches_nothing(name):
    text = files.kept(files.DRAWINGS / f"{name}.svg")
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img"
    title, description = (root.find(f"{charts.SVG}{tag}") for tag in ("title", "desc"))
    assert root.get("aria-labelledby").split() == [title.get("id"), description.get("id")]
    assert len(title.text) > 20 and len(description.text) > 100
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids)) and all("drawing-" in each for each in ids)
    assert text.replace('xmlns="http://www.w3.org/2000/svg"', "").count("//") == 0
    assert not [e for e in root.iter() if e.tag.removeprefix(charts.SVG) in ("script", "image")]


def test_description_has_the_numbers_of_the_network():
    _, title, description = files.MADE["hr"]()
    assert "1 688 652" in title
    assert "1024" in description and "16×20×20" in description


def test_trace_sees_every_parameter():
    class Shift(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.shift = nn.Linear(4, 2), nn.Parameter(torch.zeros(2))

        def forward(self, x):
            return self.body(x.flatten(1)) + self.shift

    with pytest.raises(ValueError, match="the steps hold 10 parameters, the network 12"):
        trace.trace(Shift(), 1, (2, 2))


def test_layer_without_a_name_is_refused():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.Softmax(1))
    with pytest.raises(TypeError, match="Softmax has no name"):
        trace.stages(trace.trace(net, 1, (2, 2)))


def test_stages_open_with_a_layer_that_has_weights():
    net = models.build("tutorial", size=(28, 28))
    before, transformer, after = trace.split(trace.trace(net, 1, (28, 28)))
    first, *_, last = trace.stages(after)
    assert transformer.went == (1, 28, 28)
    assert first.words == ("conv 5×5", "pool 2×2", "ReLU") and first.shape == (10, 12, 12)
    assert last.words == ("dense 10",) and last.parameters == 510
    found = sum(stage.parameters for stage in trace.stages(before) + trace.stages(after))
    assert found == models.count_parameters(net)


def test_words_may_not_meet_or_leave():
    board = canvas.Canvas("board")
    board.text(100, 40, "one")
    board.text(110, 44, "two")
    board.text(700, 90, "too far to the right")
    with pytest.raises(ValueError, match="'one' meets 'two'") as told:
        board.svg("", "")
    assert "'too far to the right' leaves the drawing" in str(told.value)


def test_plates_double_the_channels():
    assert [shapes.plate_count(c) for c in (1, 2, 16, 20, 32, 33)] == [1, 2, 5, 6, 6, 7]


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_words_stand_out_from_what_they_stand_on(dark):
    colours = dict(part.split(":") for part in canvas._variables(dark).split(";") if part)
    grounds = ["--d-paper", "--d-locate-band", "--d-read-band"]
    pairs = [(word, ground) for word in ("--d-ink", "--d-quiet") for ground in grounds]
    pairs += [("--d-ink", f"--d-{hue}") for hue in canvas.HUES]
    pairs += [("--d-look-text", "--d-paper")]
    for word, ground in pairs:
        a, b = sorted((luminance(colours[word]), luminance(colours[ground])))
        assert (b + 0.05) / (a + 0.05) >= 4.5, f"{word} on {ground}"


# ---------------------------------------------------------------- in a browser
WORDS = """() => [...document.querySelectorAll("svg text")].map((word) => {
  const box = word.getBBox();
  return [word.textContent, box.x, box.y, box.width, box.height];
})"""


def page_of(folder, name: str, theme: str = ""):
    svg = files.kept(files.DRAWINGS / f"{name}.svg")
    path = folder / f"{name}.html"
    path.write_text(
        f'<!doctype html><html lang="en"{theme}><meta charset="utf-8"><title>{name}</title>'
        '<link rel="icon" href="data:,"><meta name="viewport" content="width=device-width">'
        f'<body style="margin:16px">{svg}</body></html>',
        encoding="utf-8",
    )
    return path.as_uri()


@pytest.mark.browser
@pytest.mark.parametrize("name", ALL)
def test_words_as_a_browser_sets_them(name, visit, tmp_path):
    page = visit(page_of(tmp_path, name), viewport={"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    height = float(page.locator("svg").get_attribute("viewBox").split()[3])
    boxes = [
        canvas.Box(x, y + 0.2 * h, x + w, y + 0.8 * h, text)  # the letters, without the air
        for text, x, y, w, h in page.evaluate(WORDS)
    ]
    assert canvas.misplaced(boxes, height) == []
    smallest = page.evaluate(
        'Math.min(...[...document.querySelectorAll("svg text")].map('
        "(word) => parseFloat(getComputedStyle(word).fontSize) * word.getScreenCTM().a))"
    )
    assert smallest >= 9.5  # pixels, on a phone


@pytest.mark.browser
def test_drawing_follows_the_switch_of_a_page(visit, tmp_path):
    for theme, wanted in (("", "rgb(27, 42, 65)"), (' data-theme="dark"', "rgb(232, 237, 244)")):
        page = visit(page_of(tmp_path, "stn", theme))
        fill = page.locator("svg text").first.evaluate("(word) => getComputedStyle(word).fill")
        assert fill == wanted


# ---------------------------------------------------------------- charts
def test_there_is_a_chart_for_each_task_that_has_enough():
    assert sorted(CHARTS) == sorted(path.stem for path in files.CHARTS.glob("*.svg"))
    assert sum(path.stat().st_size for path in files.CHARTS.glob("*.svg")) < 1_500_000


@pytest.mark.parametrize("name", CHARTS)
def test_chart_shows_what_the_records_hold(name):
    text = files.kept(files.CHARTS / f"{name}.svg")
    assert files.same_chart(text, charts.drawn(name, CHARTS[name]))
    said = [float(row.split(": mean ")[1].split(",")[0]) for row in charts.words_of(text)[1:]]
    assert charts.means_in(text) == pytest.approx(said, abs=0.02)
    held = [records.load(row.experiment) for row in CHARTS[name]]
    error = [row.published.endswith("error") for row in CHARTS[name]]
    for mean, runs, row, wrong in zip(said, held, CHARTS[name], error, strict=True):
        values = [run.accuracy(row.which) for run in runs]
        right = sum(values) / len(values)
        assert mean == pytest.approx(100 - right if wrong else right, abs=0.006)


def test_another_record_makes_another_chart(monkeypatch):
    name, part = next(iter(CHARTS.items()))
    text, load = charts.drawn(name, part), records.load

    def one_more_right(experiment, folder=None):
        runs = load(experiment, folder)
        for run in runs if experiment == part[-1].experiment else []:
            run.results[part[-1].which]["correct"] += run.results[part[-1].which]["total"] // 500
        return runs

    monkeypatch.setattr(records, "load", one_more_right)
    assert not files.same_chart(text, charts.drawn(name, part))


# ---------------------------------------------------------------- the command
def test_check_names_what_differs(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(files, "MADE", {"hr": files.MADE["hr"]})
    monkeypatch.setattr(charts, "chosen", lambda: iter(()))
    monkeypatch.setattr(files, "DRAWINGS", tmp_path / "drawings")
    monkeypatch.setattr(files, "CHARTS", tmp_path / "charts")
    monkeypatch.setattr(sys, "argv", ["drawings"])
    assert command.main() == 0
    monkeypatch.setattr(sys, "argv", ["drawings", "--check"])
    assert command.main() == 0
    path = tmp_path / "drawings" / "hr.svg"
    path.write_text(path.read_text(encoding="utf-8").replace("1024", "1000"), encoding="utf-8")
    assert command.main() == 1
    assert "hr.svg is not what its network looks like" in capsys.readouterr().err


def test_what_cannot_be_drawn_here_is_said(monkeypatch, capsys):
    monkeypatch.setattr(files, "find_spec", lambda name: None)
    monkeypatch.setattr(files, "MADE", {"twin": None})  # is not called
    monkeypatch.setattr(charts, "chosen", lambda: iter(()))
    monkeypatch.setattr(files, "CHARTS", files.DRAWINGS)
    monkeypatch.setattr(files, "problems", lambda: iter(()))
    monkeypatch.setattr(sys, "argv", ["drawings", "--check"])
    assert command.main() == 0
    assert "TENSORFLOW AND KERAS NOT INSTALLED: twin.svg" in capsys.readouterr().err
