"""The figures of notebook 08 show what they are given."""

import numpy as np
import pytest
import torch

from stn_course.lessons.bent_words import figures, helpers


def words_in(ax):
    return [text.get_text() for text in ax.texts]


def test_choices_have_a_dot_a_seed_their_mean_and_the_line_of_the_base():
    groups = {"it sees": {"small": {0: 90.0, 1: 94.0}, "all": {}}, "bound": {"0.1": {1: 80.0}}}
    (ax,) = figures.choices(groups, {0: 97.0, 1: 98.0, 2: 99.0}, "percent").axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["small", "all", "0.1"]
    line, *marks = ax.lines
    assert set(line.get_xdata()) == {98.0}
    drawn = [(list(m.get_xdata()), set(m.get_ydata()), m.get_marker()) for m in marks[:4]]
    assert drawn[:2] == [([90.0, 94.0], {0}, "o"), ([92.0], {0}, "D")]
    assert drawn[2:] == [([80.0], {2}, "o"), ([80.0], {2}, "D")]
    assert words_in(ax) == ["not yet run", "it sees", "bound"]
    assert [text.get_position()[1] for text in ax.texts] == [1, 0, 2]
    assert ax.get_xlabel() == "percent" and ax.get_ylim()[0] > ax.get_ylim()[1]


def test_choices_of_nothing_yet_say_so():
    (ax,) = figures.choices({"a": {"b": {}}}, {}, "percent").axes
    assert words_in(ax) == ["not yet run", "a"]


def test_choices_read_the_records_of_their_experiments(monkeypatch):
    monkeypatch.setattr(helpers, "signs_right", lambda name: {0: float(len(name))})
    assert helpers.choices({"a": {"row": "cnn"}}) == {"a": {"row": {0: 9.0}}}


def test_bars_end_at_their_numbers():
    (ax,) = figures.bars({"one": 2.0, "two": 0.53}, "pixels").axes
    assert [bar.get_width() for bar in ax.patches] == [2.0, 0.53]
    assert words_in(ax) == [" 2.0", " 0.5"]


def test_needed_has_every_scene_and_the_bound():
    offsets = np.linspace(0.2, 1, 50)
    (ax,) = figures.needed(offsets, 0.8).axes
    assert sum(bar.get_height() for bar in ax.patches) == 50
    assert set(ax.lines[0].get_xdata()) == {0.8} and words_in(ax) == [" 0.80"]


def test_what_is_taught_is_drawn_from_zero():
    (ax,) = figures.taught({"a": [3.0, 2.0], "b": [4.0, 4.0]}).axes
    assert [list(line.get_ydata()) for line in ax.lines] == [[3.0, 2.0], [4.0, 4.0]]
    assert ax.get_ylim()[0] == 0


def test_what_was_watched_has_a_panel_each():
    runs = {"a": [{"loss": 1.0, "spread": 0.0}, {"loss": 0.5, "spread": 9.0}]}
    loss, spread = figures.curves(runs).axes
    assert list(loss.lines[0].get_ydata()) == [1.0, 0.5] and loss.get_title() == "loss"
    assert list(spread.lines[0].get_ydata()) == [0.0, 9.0] and spread.get_yscale() == "symlog"


@pytest.mark.parametrize("n", [1, 8])
def test_the_way_around_a_picture_is_closed_and_its_top_is_blue(n):
    at = torch.tensor(figures.around(n))
    fig = figures.with_outlines(torch.rand(1, 3, 32, 96), at[None], torch.rand(1, 3, 32, 96))
    whole, top = fig.axes[0].lines
    assert len(whole.get_xdata()) == 4 * n + 1
    assert whole.get_xydata()[0] == pytest.approx(whole.get_xydata()[-1])
    assert set(top.get_ydata()) == {-1.0} and top.get_color() == figures.BLUE
