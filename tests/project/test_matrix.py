"""`make matrix`: which rows there are, and that what fails or cannot be had is told as that."""

import json
from pathlib import Path

import pytest

from tests.support import ROOT
from tools import matrix


def test_there_is_a_row_for_both_ends_of_all_that_is_promised():
    rows = {row.name: row for row in matrix.rows()}
    wanted = [f"{what}-{end}" for what in list(matrix.TESTS)[:-1] for end in ("oldest", "newest")]
    assert sorted(rows) == sorted(["python-3.11", "python-3.13", *wanted])
    assert rows["sphinx-oldest"].asked.startswith("sphinx==8.")
    for tests in matrix.TESTS.values():
        assert all((ROOT / path).exists() for path in tests.split())


@pytest.mark.parametrize("code, ok", [(0, True), (1, False)])
def test_a_row_is_made_and_its_tests_are_run(monkeypatch, tmp_path, code, ok, capsys):
    asked = []

    def said(command, seconds):
        asked.append(command)
        if "venv" in command:
            (Path(command[-1]) / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
        last = {"pytest": (code, "7 passed"), "-c": (0, "8.2.3")}
        return next((last[word] for word in last if word in command[:3]), (0, ""))

    monkeypatch.setattr(matrix, "_said", said)
    monkeypatch.setattr(matrix, "RESULTS", tmp_path / "matrix.json")
    assert matrix.main(["sphinx-oldest"]) == (0 if ok else 1)
    kept = json.loads((tmp_path / "matrix.json").read_text())["sphinx-oldest"]
    assert (kept["ok"], kept["version"], kept["said"]) == (ok, "8.2.3", "7 passed")
    assert asked[1][-1] == "sphinx==8.2" and "tests/project/test_book.py" in asked[-1]
    assert ("passed" if ok else "FAILED") in capsys.readouterr().out


def test_what_cannot_be_had_is_no_failure_and_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(matrix, "_said", lambda *_: (1, "No matching distribution"))
    monkeypatch.setattr(matrix, "RESULTS", tmp_path / "matrix.json")
    assert matrix.main(["keras-newest", "python-3.13"]) == 0
    shown = matrix.table(matrix.results())
    assert [row[0] for row in shown] == ["keras-newest", "python-3.13"]
    assert shown[0][2] == "not tried: not to be had: No matching distribution"
    with pytest.raises(SystemExit):
        matrix.main(["perl-5"])
