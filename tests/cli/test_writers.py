"""Another writer, or no place to write to: each command says so before it does its work."""

import dataclasses

import filelock
import pytest

from stn_course import files
from stn_course.analysis import accuracy
from stn_course.cli import main
from stn_course.data import recipes
from stn_course.experiments import catalogue, figures, records, web
from stn_course.experiments.experiment import Experiment
from stn_course.training import report, run_folder
from stn_course.training.config import Config
from stn_course.training.record import dumps, loads
from stn_course.training.run import Run

TINY = Config(model="fc", limit=100, epochs=1, batch_size=50, precision="float32")
# Each command that writes, and what of {t} it writes to: {run} is a trained run.
COMMANDS = {
    "train --model fc --epochs 1 --quiet --out {t}/out": "out",
    "run tiny": "tiny",
    "run tiny --allow-sample --out {t}/made.jsonl": "made.jsonl",
    "records import {t}/made.json": "tiny",
    "test {run} --out {t}/out": "out/test-clean",
    "test {run} --all-checkpoints --out {t}/out": "out/learning.csv",
    "predict {run} {t}/one.pgm --out {t}/out": "out",
    "export {run} --format safetensors --out {t}/a.safetensors": "a.safetensors",
    "data --draw mild --split test --out {t}/a.npz": "a.npz",
    "figures S9 --out {t}/out": "out",
    "export-web page-fc --out {t}": "",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "fc"
    run_folder.train(TINY, 0, folder, keep_every=1)
    return folder


@pytest.fixture
def words(trained, tmp_path, monkeypatch):
    """A command line as words; the work itself is an error."""

    def work(*_, **__):
        raise AssertionError("the work has begun")

    monkeypatch.setattr(records, "records_dir", lambda: tmp_path)
    monkeypatch.setitem(catalogue.EXPERIMENTS, "tiny", Experiment(TINY, "a test", seeds=1))
    one = loads((trained / "record.json").read_text())
    result = {"correct": 5000, "total": 10_000, "loss": 1.0}  # of the full MNIST, here as well
    one = dataclasses.replace(
        one,
        experiment="tiny",
        commit="0" * 40,
        digits="full MNIST (70 000 digits)",
        results=dict.fromkeys(one.results, result),
    )
    (tmp_path / "made.json").write_text(dumps(one))
    (tmp_path / "one.pgm").write_bytes(b"P5 28 28 255\n" + bytes(300) + b"\xff" * 84 + bytes(400))
    for owner, name in (
        (Run, "learn"),
        (report, "predict"),
        (report, "evaluate"),
        (accuracy, "evaluate"),
        (recipes, "freeze"),
        (figures, "draw_all"),
        (web, "export"),
        (records, "save"),
    ):
        monkeypatch.setattr(owner, name, work)
    return lambda command: command.format(t=tmp_path, run=trained).split()


@pytest.mark.parametrize("command", COMMANDS)
def test_where_another_writes_nothing_is_done(command, words, tmp_path, capsys):
    place = tmp_path / COMMANDS[command]
    place.parent.mkdir(exist_ok=True)
    held = {"file": place} if place.suffix else {}
    with files.only_writer(*[place] * (not held), **held):
        before = sorted(tmp_path.rglob("*"))
        assert main.main(words(command)) == 2
        assert f"{place} is being written to by process " in capsys.readouterr().err
        assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_where_nothing_can_be_written_nothing_is_done(
    command, words, tmp_path, monkeypatch, capsys
):
    def refused(*_, **__):  # as of a folder that may only be read; root may write everywhere
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(filelock.FileLock, "acquire", refused)
    before = sorted(tmp_path.rglob("*"))
    assert main.main(words(command)) == 2
    err = capsys.readouterr().err
    assert "cannot be written to: Permission denied" in err
    assert str(tmp_path / COMMANDS[command]) in err
    assert sorted(tmp_path.rglob("*")) == before
