"""One table in four formats; what each must escape; figures drawn from records alone."""

import csv
import dataclasses
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from stn_course.cli import main
from stn_course.experiments import catalogue, figures, records, scoreboard, statistics, tables
from stn_course.experiments.pairs import PAIRS
from stn_course.training.record import RunRecord

TABLE = [
    {"row": "S1", "source": "[A & B](https://x.org/a_b?q=1&r=2)", "ours": "97.1 ± 0.2 %", "n": 5},
    {"row": "<S2>", "source": "SE", "ours": 'a "quoted", thing', "n": 0},
]


def test_markdown():
    lines = tables.markdown(TABLE).splitlines()
    assert lines[0] == "| row | source | ours | n |" and lines[1] == "| --- | --- | --- | --- |"
    assert lines[2] == "| S1 | [A & B](https://x.org/a_b?q=1&r=2) | 97.1 ± 0.2 % | 5 |"
    assert tables.markdown(TABLE, "n row").splitlines()[2] == "| 5 | S1 |"


def test_csv_is_read_back():
    back = list(csv.DictReader(io.StringIO(tables.csv(TABLE))))
    assert back[0] == {"row": "S1", "source": "A & B", "ours": "97.1 ± 0.2 %", "n": "5"}
    assert back[1]["ours"] == 'a "quoted", thing'


def test_html_is_well_formed_and_escaped():
    tree = ElementTree.fromstring(tables.html(TABLE))
    assert [c.text for c in tree.iter("th")] == ["row", "source", "ours", "n"]
    link = tree.find(".//a")
    assert (link.text, link.get("href")) == ("A & B", "https://x.org/a_b?q=1&r=2")
    assert [c.text for c in tree.findall("tbody/tr")[1]][0] == "<S2>"


def test_latex_escapes_what_latex_would_read():
    text = tables.latex(TABLE)
    assert r"\href{https://x.org/a\_b?q=1\&r=2}{A \& B}" in text
    assert r"97.1 $\pm$ 0.2 \%" in text
    assert text.splitlines()[0] == r"\begin{tabular}{llll}"
    body = re.sub(r"\\[&%$#_{}]", "", "\n".join(text.splitlines()[2:-1]))
    assert all(line.count("&") == 3 for line in body.splitlines() if "&" in line)
    assert "%" not in body and "#" not in body


@pytest.mark.parametrize("form", tables.FORMATS)
def test_every_format_of_the_whole_scoreboard(form, capsys):
    assert main.main(["table", "S4", "S10", "--format", form]) == 0
    out = capsys.readouterr().out
    wanted = [r for r in scoreboard.rows() if r["row"] in ("S4", "S10")]
    extra = {"md": 2, "csv": 1, "html": 7, "latex": 6}[form]
    assert len(out.splitlines()) == len(wanted) + extra
    assert "75.69" in out and "xq-fc-hard" in out


def test_bad_tables_are_named():
    with pytest.raises(ValueError, match="table has no rows"):
        tables.markdown([])
    with pytest.raises(ValueError, match="column 'x' is unknown; wanted some of row, source"):
        tables.latex(TABLE, "row x")


# ---------------------------------------------------------------- figures
def one(experiment, seed, correct):
    return RunRecord(
        experiment=experiment,
        seed=seed,
        config={},
        digits="full MNIST",
        parameters=7,
        curves={"train_loss": [2.0, 1.0], "valid_accuracy": [50.0, 60.0 + seed]},
        results={"test/hard": {"correct": correct, "total": 100, "loss": 0.1}},
        hashes={},
    )


def test_figures_are_drawn_from_the_records_that_are_there(tmp_path):
    for seed in range(3):
        records.save(one("xq-fc-hard", seed, 70 + seed), tmp_path / "records")
    said = list(figures.draw_all(tmp_path / "out", ["S4", "S10"], tmp_path / "records"))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"S4.png", "S4-history.png", "S4-loss.png"}
    assert {str(tmp_path / "out" / name) for name in names} == set(said[:3])
    assert said[3] == "S10: no record yet"
    assert "xq-cnn-hard" in said[4] and "se-01" in said[4] and "xq-fc-hard" not in said[4]


def test_rows_of_one_task_and_kind_share_a_panel(tmp_path, monkeypatch):
    titles = []
    written = figures._written
    monkeypatch.setattr(
        figures,
        "_written",
        lambda figure, path: titles.append(figure.axes[0].get_title()) or written(figure, path),
    )
    list(figures.draw_all(tmp_path, ["S12", "S16"]))  # the committed records
    panels = [title for title in titles if ": " in title]
    assert len(panels) == len(set(panels)) and any("S16" in title for title in panels)


def test_paired_differences_and_residuals_are_drawn_of_what_is_there(tmp_path):
    pairs = {"fc": ("xq-fc-hard", "xq-stn-fc-hard", "test/hard"), "none": ("a", "b", "test/hard")}
    assert figures.paired(pairs, tmp_path) is None
    for seed in range(3):
        records.save(one("xq-fc-hard", seed, 70 + seed), tmp_path)
        records.save(one("xq-stn-fc-hard", seed, 80 + 2 * seed), tmp_path)
    ax = figures.paired(pairs, tmp_path).axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["fc"]
    assert any(list(line.get_xdata()) == [10.0, 11.0, 12.0] for line in ax.lines)
    assert figures.residuals({"a": [one("a", 0, 1)]}, "written") is None
    run = dataclasses.replace(one("a", 0, 1), probes={"after": {"common": {"median": 2.5}}})
    assert figures.residuals({"a": [run]}, "written") is None
    ax = figures.residuals({"a": [run]}, "common").axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a, after (n = 1)"]
    assert any(list(line.get_xdata()) == [2.5] for line in ax.lines)


@pytest.mark.parametrize("row", PAIRS)
def test_what_is_compared_was_measured_on_one_set(row):
    for a, b, which in PAIRS[row].values():
        split, name = which.split("/")
        assert split == "test" and a != b
        for config in (catalogue.find(each).config for each in (a, b)):
            measured = [config["split"]] if isinstance(config, dict) else config.tests
            assert name in measured


def test_dots_hold_seeds_means_intervals_and_what_was_published():
    figure = figures.dots({"a": [70.0, 71.0, 72.0], "b": [80.0]}, {"a": 75.0}, "accuracy (%)")
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a (n = 3)", "b (n = 1)"]
    drawn = [list(line.get_xdata()) for line in ax.lines]
    assert [70.0, 71.0, 72.0] in drawn and [75.0] in drawn and [71.0] in drawn
    mean, half = statistics.interval([70.0, 71.0, 72.0])
    assert mean == 71 and half == pytest.approx(4.3027 / 3**0.5, rel=1e-4)
    assert statistics.interval([5.0]) == (5.0, 0.0)


@pytest.mark.parametrize(("values", "side", "end"), [([90, 99.9], 1, 100), ([0.1, 10], 0, 0)])
def test_an_interval_ends_where_percentages_do(values, side, end):
    (bar,) = figures.dots({"a": values}, {}, "accuracy (%)", 100.0).axes[0].containers
    segment = bar.lines[2][0].get_segments()[0][:, 0]  # from left to right
    assert segment[side] == pytest.approx(end)
    assert segment[1 - side] not in (0, 100)


def test_rows_too_long_for_one_figure_are_cut_into_equal_parts():
    assert figures._portions(dict.fromkeys(range(14)), 8) == [
        dict.fromkeys(range(7)),
        dict.fromkeys(range(7, 14)),
    ]
    assert figures._portions({}, 8) == []
    assert [len(p) for p in figures._portions(dict.fromkeys(range(9)), 8)] == [5, 4]


def test_histories_without_the_curve_are_none():
    run = one("a", 0, 1)
    assert figures.histories({"a": [run]}, "nothing") is None
    line, *_ = figures.histories({"a": [run, one("a", 2, 1)]}).axes[0].lines
    assert list(line.get_ydata()) == [50.0, 61.0]


@pytest.mark.parametrize(
    ("published", "number"),
    [
        ("96.46", 96.46),
        ("94.34 (blog: 93.67)", 94.34),
        ("2.9 % error", 2.9),
        ("at most 86", 86),
        ("none", None),
        ("75-93", None),
    ],
)
def test_published_numbers_are_read(published, number):
    assert figures.published_number(published) == number


def test_figures_command(tmp_path, capsys):
    assert main.main(["figures", "S99", "--out", str(tmp_path)]) == 2
    assert "row 'S99' is unknown; wanted some of S1" in capsys.readouterr().err
    assert main.main(["figures", "S4", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "S4.png").stat().st_size > 5000
    assert str(tmp_path / "S4.png") in capsys.readouterr().out
    with pytest.raises(ValueError, match="wanted at least one, each with a value"):
        figures.dots({"a": []}, {}, "x")


def test_a_pipe_that_is_closed_early_is_no_error_to_talk_about():
    asked = [sys.executable, "-m", "stn_course", "table"]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as table:
        table.stdout.close()
        assert (table.stderr.read(), table.wait()) == (b"", 1)
