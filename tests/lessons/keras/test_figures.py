"""The figures of notebook 06 show the numbers, differences and times that they are given."""

from types import SimpleNamespace

import numpy as np

from stn_course.lessons.keras import figures
from tests.support import texts


def test_numbers_lie_in_the_order_of_each_framework():
    maps = np.stack([np.arange(6), 10 + np.arange(6)]).reshape(2, 2, 3)
    *channels, memory = figures.memory_orders(maps).axes
    assert [texts(ax) for ax in channels] == [[str(v) for v in m.ravel()] for m in maps]
    wanted = [*maps.ravel(), *maps.transpose(1, 2, 0).ravel()]
    assert texts(memory) == [*map(str, wanted), "torch  C h w", "Keras  h w C"]
    colours = [box.get_facecolor()[:3] for box in memory.patches]
    assert len(set(colours[:6])) == 1 and colours[12:14] == [colours[0], colours[6]]


def test_pictures_stand_in_their_rows_and_a_short_row_ends():
    images = np.random.default_rng(0).random((3, 4, 5, 1))
    fig = figures.pictures({"one": images, "two": images[:2]})
    shown = [ax for ax in fig.axes if ax.get_visible()]
    assert len(shown) == 5 and [shown[k].get_ylabel() for k in (0, 3)] == ["one", "two"]
    np.testing.assert_allclose(shown[4].images[0].get_array(), images[1, ..., 0])


def layer(name, difference):
    return SimpleNamespace(layer=name, shape=(2, 3), difference=difference, largest=1.0)


def test_a_bar_ends_at_the_difference_and_exact_agreement_has_none():
    gaps = [0.0, 3e-7, 2e-3, 5e-10]
    ax = figures.layer_differences([layer("Linear", gap) for gap in gaps]).axes[0]
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches]
    np.testing.assert_allclose(ends, [1e-9, 3e-7, 2e-3, 1e-9])
    assert [bar.get_width() > 0 for bar in ax.patches] == [False, True, True, False]
    assert texts(ax) == ["bit for bit"] and ax.texts[0].get_position()[1] == 0
    assert ax.get_yticklabels()[0].get_text() == "Linear  2x3"
    assert ax.lines[0].get_xdata()[0] == 1e-4 and ax.get_xscale() == "log"


def test_each_backend_has_its_line():
    runs = {
        "tensorflow": {"theta": [0, 0], "loss": [2, 1]},
        "torch": {"theta": [0, 2], "loss": [2, 0]},
    }
    shift, loss = figures.backends(runs).axes
    assert [list(line.get_ydata()) for line in shift.lines[:2]] == [[0, 0], [0, 2]]
    assert [list(line.get_ydata()) for line in loss.lines] == [[2, 1], [2, 0]]
    legend = [t.get_text() for t in shift.get_legend().get_texts()]
    assert legend == ["Keras on tensorflow", "Keras on torch"]


def test_times_are_written_at_their_bars():
    ax = figures.times({"warp": (0.5, 7.0), "read": (12.0, 18.0)}).axes[0]
    assert [bar.get_width() for bar in ax.patches] == [0.5, 7.0, 12.0, 18.0]
    assert texts(ax) == ["0.5", "7", "12", "18"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["warp", "read"]
