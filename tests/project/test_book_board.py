"""The scoreboard's page as it is made: its chart, its marks, and what is quiet."""

import re

import pytest

from stn_course.experiments.scoreboard import Gap, gaps, rows
from tools.book import board, pages


def gap(mean, half=0.1, variant="STN", **also):
    given = {"row": "S4", "task": "hard", "kind": "ours", "experiment": "e", "published": 90.0}
    around = (mean - half, mean + half)
    return Gap(**(given | also), variant=variant, mean=mean, seeds=around, test_set=around)


def test_the_axis_has_0_in_the_middle_and_ends_where_it_ends():
    assert board.place(0) == "50.0%"
    assert board.place(board.MOST) == board.place(99) == "100.0%"
    assert board.place(-99) == "0.0%"
    where = [float(board.place(tick)[:-1]) for tick in board.TICKS]
    assert where == sorted(where) and min(b - a for a, b in zip(where, where[1:], strict=False)) > 5


def test_the_chart_has_a_mark_for_each_verdict_and_a_line_for_each_number():
    made = board.chart([gap(1.0), gap(-1.0, variant="a <b>"), gap(0.05), gap(1.0, task="mild")])
    assert re.findall(r'<li class="(\w+)"', made) == ["above", "below", "level", "above"]
    for verdict in ("above", "below", "level"):
        assert f'id="mark-{verdict}"' in made and f'<use href="#mark-{verdict}" x=' in made
    assert "2 above the published number" in made and "a &lt;b&gt;" in made
    assert made.count('class="task"') == 2 and ">\N{MINUS SIGN}1.00<" in made
    assert board.chart([]) == ""


def test_lines_of_one_task_stand_together_also_where_they_were_listed_apart():
    made = board.chart([gap(1.0), gap(1.0, task="mild"), gap(0.5)])
    assert made.count('class="task"') == 2


def test_every_difference_that_the_records_give_is_on_the_page(book):
    text = (book / "scoreboard.html").read_text(encoding="utf-8")
    found = gaps()
    assert len(found) > 50
    named = re.findall(r'<li class="\w+" data-name="([^"]+)"', text)
    assert sorted(named) == sorted(each.experiment for each in found)
    marked = len(re.findall(r'<td class="(?:above|level|below)"', text))
    assert marked == len(found)
    assert text.index("board-chart") < text.index("<table")


def test_what_has_not_run_is_quiet_and_the_controls_wait_for_their_script(book):
    text = (book / "scoreboard.html").read_text(encoding="utf-8")
    waiting = [row for row in rows() if not row["n"]]
    assert text.count('<td class="waiting"') == len(waiting)
    assert re.search(r'<form class="board-controls" hidden', text)
    assert text.count("board.js") == 1
    assert "board.js" not in (book / "speed.html").read_text(encoding="utf-8")


def test_a_cell_may_have_a_class():
    made = pages.table(["a", "b"], [[("1", "below"), "-"]])
    assert '<td class="below" data-label="a">1</td><td class="nothing" data-label="b">' in made


@pytest.mark.parametrize("points, said", [(0.4, "+0.40"), (-0.4, "\N{MINUS SIGN}0.40"), (0, "0")])
def test_a_difference_has_its_sign(points, said):
    assert board.signed(points, ".2f") == said
