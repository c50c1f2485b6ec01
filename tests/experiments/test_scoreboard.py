"""The scoreboard's differences: ours less the published numbers, with their two intervals."""

import dataclasses

import pytest

from stn_course.experiments import records, scoreboard
from stn_course.experiments.published import ROWS
from stn_course.training.record import RunRecord


def saved(row, folder, *correct, total=10_000):
    for seed, right in enumerate(correct):
        record = RunRecord(
            experiment=row.experiment,
            seed=seed,
            config={},
            digits="full MNIST",
            parameters=7,
            curves={},
            results={row.which: {"correct": right, "total": total}},
            hashes={},
        )
        records.save(record, folder)


def answered(published, monkeypatch):
    """A scoreboard of one row with this published number."""
    row = dataclasses.replace(next(r for r in ROWS if r.experiment), published=published)
    monkeypatch.setattr(scoreboard, "ROWS", [row])
    return row


@pytest.mark.parametrize(
    ("published", "correct", "verdict"),
    [
        ("90", (9200, 9210, 9220), "above"),
        ("90", (8800, 8810, 8820), "below"),
        ("90", (9010, 9020, 9030), "level"),  # the test set's interval holds it
        ("90", (8500, 9400, 9450), "level"),  # the seeds' does
        ("90", (9200,), "above"),
        ("10 % error", (9200, 9210, 9220), "above"),
        ("10 % error", (8800, 8810, 8820), "below"),
    ],
)
def test_a_difference_counts_up_where_more_is_read(
    tmp_path, monkeypatch, published, correct, verdict
):
    saved(answered(published, monkeypatch), tmp_path, *correct)
    (gap,) = scoreboard.gaps(tmp_path)
    assert gap.verdict == verdict
    assert gap.mean == pytest.approx(sum(correct) / len(correct) / 100 - 90)
    assert gap.test_set[0] < gap.mean < gap.test_set[1]
    assert (gap.seeds is None) == (len(correct) == 1)
    if gap.seeds:
        assert sum(gap.seeds) / 2 == pytest.approx(gap.mean) and gap.seeds[0] < gap.mean


@pytest.mark.parametrize("published", ["none", "75-93", "at most 86"])
def test_what_is_no_number_has_no_difference(tmp_path, monkeypatch, published):
    saved(answered(published, monkeypatch), tmp_path, 9000)
    assert scoreboard.gaps(tmp_path) == []


def test_what_has_not_run_has_no_difference(tmp_path):
    assert scoreboard.gaps(tmp_path) == []
