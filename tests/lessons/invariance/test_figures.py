"""The figures of notebook 01 show what they are given."""

import numpy as np

from stn_course.lessons.invariance import figures


def test_a_wrong_verdict_is_crossed_and_bold():
    says = {"FC": np.eye(10)[[2, 7]], "CNN": 0.6 * np.eye(10)[[5, 2]] + 0.04}
    fig = figures.verdict_strips(np.zeros((2, 1, 8, 8)), ["0°", "90°"], says, truth=2)
    drawn = [[(t.get_text(), t.get_fontweight()) for t in ax.texts] for ax in fig.axes if ax.texts]
    assert [cell[0] for cell in drawn] == [
        ("2", "normal"),
        ("✗7", "bold"),
        ("✗5", "bold"),
        ("2", "normal"),
    ]
    assert [cell[1][0] for cell in drawn] == ["100 %", "100 %", "64 %", "64 %"]
