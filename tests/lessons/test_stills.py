"""Every live figure leaves a still with alt text, drawn from its state alone."""

import base64
import importlib
import io
import pkgutil

import anywidget
import numpy as np
import pytest
import torch
from PIL import Image

from stn_course import geometry, lessons
from stn_course.lessons import pictures, stills
from stn_course.lessons.bent_words import helpers, word_lab
from stn_course.lessons.digit_sequences.explorers import GlanceExplorer, ScatterExplorer
from stn_course.lessons.fast import ledger
from stn_course.lessons.invariance import pad
from stn_course.lessons.look_straight.player import TrainingPlayer
from stn_course.lessons.place_and_tilt.corner_lab import CornerLab
from stn_course.lessons.place_and_tilt.registration import DescentPlayer, Registration
from stn_course.lessons.widgets import KeyGuard, Looks, PictureWidget, WarpPlayground
from tests.browser.test_looks import scattered
from tests.lessons.digit_sequences.test_helpers import PAIR, digits, draw_rows, net

DIGIT = pictures.drawn_two(28)[0, 0].numpy()
BACK = [-0.5, -0.8, 0.5, -0.8, 1, 0.9, -1, 0.9]


def player():
    thetas = torch.cat([geometry.affine(25.0 * k) for k in range(3)])[:, None].repeat(1, 2, 1, 1)
    return TrainingPlayer(pictures.drawn_two(28).repeat(2, 1, 1, 1), thetas, [0, 5, 10])


def descent():
    path = torch.eye(3).repeat(4, 1, 1, 1)
    path[:, 0, 2, 0] = torch.linspace(0, 0.3, 4)
    found = {"one": Registration(path[-1], torch.zeros(4, 1), path)}
    return DescentPlayer(pictures.drawn_two(28), found, path[1], every=1)


def glances():
    rows = draw_rows(PAIR, *digits(4), torch.Generator().manual_seed(1))
    return GlanceExplorer(net(), rows.images, rows.labels)


# A figure, and a change after which it shows something else.
FIGURES = {
    WarpPlayground: (lambda: WarpPlayground(DIGIT), {"theta": [0.5, 0.2, 0, -0.2, 0.5, 0.3]}),
    CornerLab: (lambda: CornerLab(DIGIT), {"corners": BACK}),
    word_lab.WordLab: (
        lambda: word_lab.WordLab(helpers.scenes("valid", 2, seed=3)),
        {"offsets": [0.3] * 12},
    ),
    TrainingPlayer: (player, {"step": 1}),
    DescentPlayer: (descent, {"step": 3}),
    GlanceExplorer: (glances, {"step": 1, "picture": 2}),
    ScatterExplorer: (lambda: scattered()[1], {"clutter": 9, "scattering": 1}),
    ledger.ByteLedger: (ledger.ByteLedger, {"direction": "backward", "channels": 8}),
    pad.DigitPad: (pad.DigitPad, {"sample": 4}),
}


def still_of(widget):
    """Its still as pixels, and the alt text.  # [H, W, 3]"""
    data, metadata = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data and "text/plain" in data
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    return np.asarray(picture.convert("RGB")).astype(int), metadata["image/png"]["alt"]


def test_every_live_figure_of_the_lessons_is_here():
    for module in pkgutil.walk_packages(lessons.__path__, "stn_course.lessons."):
        importlib.import_module(module.name)

    def below(kind):
        return {kind}.union(*map(below, kind.__subclasses__()))

    def named(kinds):  # each widget has a class of its own, of the same name
        return {(kind.__module__, kind.__qualname__) for kind in kinds}

    ours = {k for k in below(anywidget.AnyWidget) if k.__module__.startswith("stn_course.")}
    bases = {stills.LiveFigure, PictureWidget, Looks, KeyGuard}
    assert named(ours) - named(bases) == named(FIGURES)


@pytest.mark.parametrize("kind", FIGURES, ids=lambda kind: kind.__name__)
def test_a_still_shows_what_the_figure_shows(kind):
    make, change = FIGURES[kind]
    widget = make()
    first, alt = still_of(widget)
    assert first.shape[1] > 200 and len(alt) >= 40
    assert (first.mean(axis=2) < 128).mean() > 0.005  # there is ink
    with widget.hold_trait_notifications():
        for name, value in change.items():
            setattr(widget, name, value)
    second, _ = still_of(widget)
    same = first.shape == second.shape and (np.abs(first - second).max(axis=2) > 64).mean() < 0.002
    assert not same, "the still does not follow the state"


@pytest.mark.parametrize(
    "values",
    [
        {"mode": "homography", "corners": BACK},
        {"mode": "tps", "offsets": [0.2] * 32},
    ],
    ids=["homography", "spline"],
)
def test_a_playground_s_still_reads_with_the_transform_of_its_mode(values):
    plain, _ = still_of(WarpPlayground(DIGIT))
    other, _ = still_of(WarpPlayground(DIGIT, **values))
    assert plain.shape == other.shape and (np.abs(plain - other).max(axis=2) > 64).mean() > 0.01


def test_what_is_read_in_a_still_is_torch_s():
    theta = geometry.affine(30.0, 1.2)
    image = stills.pixels(WarpPlayground(DIGIT).pictures[0], (28, 28))
    from stn_course.sampling import reference

    wanted = reference.warp(torch.tensor(image)[None, None].double(), theta.double())[0, 0]
    assert np.allclose(stills.read(image, theta), wanted)
    assert np.allclose(stills.edge(geometry.identity()), [[-1, -1], [1, -1], [1, 1], [-1, 1]])


def test_a_figure_without_a_still_says_so():
    class Bare(stills.LiveFigure):
        _esm = "export default { render() {} };"

    with pytest.raises(NotImplementedError, match="Bare has no still"):
        Bare()._repr_mimebundle_()
