"""The list of bits: repeatable, a killed run among them, and it tells what moved.

No bits are kept here: those of one processor are not those of another.
"""

import json

import pytest

from tools import same_bits

QUICK = "Not-so-Clevr, CoordConv"


def test_a_run_of_each_quick_kind_ends_twice_with_the_same_bits():
    for name in ("FC", QUICK):
        first = same_bits.bits(name)
        assert first == same_bits.bits(name)
        assert first["weights"] != first["first_batch"] and first["correct"]


def test_a_killed_run_ends_as_one_left_alone():
    runs = same_bits.collect([same_bits.UNKILLED, same_bits.KILLED])["runs"]
    assert runs[same_bits.UNKILLED] == runs[same_bits.KILLED]


def test_a_killed_run_that_ends_otherwise_is_refused(monkeypatch):
    monkeypatch.setattr(same_bits, "bits", lambda name: {"weights": name})
    with pytest.raises(RuntimeError, match="killed and resumed: .*; wanted .*fresh clutter"):
        same_bits.collect([same_bits.UNKILLED, same_bits.KILLED])


def test_what_moved_is_named(tmp_path, capsys, monkeypatch):
    kept = tmp_path / "bits.json"
    assert same_bits.main(["--write", str(kept), "--only", QUICK]) == 0
    before = json.loads(kept.read_text())
    monkeypatch.setattr(same_bits, "bits", lambda name: before["runs"][QUICK] | {"weights": "ab"})
    assert same_bits.main(["--check", str(kept), "--only", QUICK]) == 1
    was = before["runs"][QUICK]["weights"]
    assert capsys.readouterr().out == f"{QUICK}: weights was {was}, is ab\n"
    monkeypatch.undo()
    assert same_bits.main(["--check", str(kept), "--only", QUICK]) == 0
    assert capsys.readouterr().out == "1 runs end with the same bits\n"


def test_a_run_that_the_list_lacks_is_named():
    where = same_bits.machine()
    now = {"machine": where, "runs": {"FC": {"weights": "ab"}}}
    found = same_bits.differences({"machine": where, "runs": {}}, now)
    assert found == ["FC: weights was None, is ab"]


def test_lists_of_two_machines_are_not_compared():
    here = {"machine": same_bits.machine(), "runs": {}}
    there = {"machine": here["machine"] | {"capability": "another"}, "runs": {}}
    with pytest.raises(ValueError, match="made on .*'capability': 'another'.* and this is"):
        same_bits.differences(there, here)
