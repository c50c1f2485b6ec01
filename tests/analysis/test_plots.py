"""Right and wrong are told apart by marks that are no colour."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from stn_course.analysis import plots, run_plots
from tests.support import texts


def test_a_wrong_verdict_is_crossed_and_bold_and_a_right_one_is_neither():
    right, wrong = plots.verdict(7, 7), plots.verdict(1, 7)
    assert (right["text"], right["fontweight"]) == ("7", "normal")
    assert (wrong["text"], wrong["fontweight"]) == ("✗1", "bold")


def test_the_cross_is_in_the_type_that_figures_are_set_in(recwarn):
    fig, ax = plt.subplots()
    ax.text(0, 0, plots.CROSS, fontweight="bold")
    fig.canvas.draw()
    assert not [w for w in recwarn if "Glyph" in str(w.message)]


@pytest.mark.parametrize("name", ["x$_$y", "${$", "a^{b"])
def test_a_name_that_somebody_gave_is_no_formula(name, tmp_path):
    history = run_plots.history([1], {name: [0.5]}, name)
    confusion = run_plots.confusion(np.eye(2, dtype=int), name)
    digits = plots.images_row(np.zeros((1, 1, 2, 2)), [name])
    told = [*history.texts, confusion.axes[0].title, digits.axes[0].title]
    assert [text.get_text() for text in told] == [name] * 3
    for figure in (history, confusion, digits):
        run_plots.save(figure, tmp_path / "drawn.png")


@pytest.mark.parametrize("transformer", [True, False])
def test_misread_digits_of_a_class_are_crossed(transformer):
    inputs = np.zeros((5, 28, 28), np.uint8)
    labels, read = np.array([3, 3, 7, 7, 7]), np.array([3, 7, 7, 7, -1])
    outputs = inputs[:, :20, :20] if transformer else None
    fig = run_plots.by_class(inputs, outputs, labels, read)
    assert len(fig.axes) == 1 + transformer
    for ax, side in zip(fig.axes, (32, 24), strict=False):
        assert texts(ax) == [plots.CROSS] * 2
        places = [np.floor_divide(t.get_position(), side).astype(int).tolist() for t in ax.texts]
        assert places == [[1, 0], [2, 1]]  # column, row
