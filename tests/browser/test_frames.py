"""The script that times live figures in a browser: it finds them, moves them and tells the times.

How long a move takes here is not tested: a busy machine would fail.
"""

import re
import subprocess
import sys

import pytest

from benchmarks import frames
from tests.browser.test_draw_digit import PAGE
from tests.support import ROOT
from tools.book import draw


def run(*words):
    command = [sys.executable, "-m", "benchmarks.frames", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.browser
def test_each_figure_is_moved_at_each_rate(browser, tmp_path):  # `browser`: only where there is one
    draw.write(tmp_path / "_static")
    (tmp_path / "index.html").write_text(PAGE.format(draw.block()), encoding="utf-8")
    done = run("index", "--html", tmp_path, "--moves", 4, "--rates", 1, 2)
    head, *lines = done.stdout.strip().splitlines()
    assert done.returncode == ("MISSED" in done.stdout), done.stderr
    assert head == frames.HEAD and len(lines) == 2
    for line, rate in zip(lines, (1, 2), strict=True):
        name, control, slowed, *times = re.split(r"  +", line.strip())[:7]
        assert (name, control, slowed) == ("index, figure 1", "turn", f"{rate}x")
        processor, most, wall, most_wall = map(float, times)
        assert 0 < processor <= most and 0 < wall <= most_wall


def test_a_folder_without_a_book_and_no_moves_are_refused(tmp_path):
    for words, told in (
        (["--html", tmp_path], "no book in"),
        (["--html", tmp_path, "--moves", "0"], "no book in"),
    ):
        done = run(*words)
        assert done.returncode == 2 and told in done.stderr
    (tmp_path / "index.html").write_text("")
    done = run("--html", tmp_path, "--moves", "0")
    assert done.returncode == 2 and "--moves and --rates must be 1 or more" in done.stderr


def test_the_verdict_is_of_95_in_100_and_of_processor_time():
    slow = [10.0] * 96 + [99.0] * 4
    assert frames.Moves("f", "c", 1, slow, [500.0] * 100).line().endswith("met")
    assert frames.Moves("f", "c", 1, [17.0] * 100, [1.0] * 100).line().endswith("MISSED")
    assert frames.Moves("f", "c", 4, [49.0] * 100, [1.0] * 100).line().endswith("met")
    assert frames.Moves("f", "c", 2, [99.0] * 100, [1.0] * 100).line().strip().endswith("1.0")
