"""Several runs in turns: each as if it were alone."""

import dataclasses

import pytest
import torch

from stn_course.cli import main
from stn_course.experiments import catalogue, records, runner, sweep
from stn_course.experiments.experiment import Experiment
from stn_course.experiments.interleave import interleave
from stn_course.training import datasets
from stn_course.training.config import Config
from tests.support import first_digits

CPU = torch.device("cpu")


def counting(n, log, name):
    def run():
        for k in range(n):
            log.append((name, k))
            yield
        return name

    return run


def test_they_take_turns_and_a_free_place_is_taken():
    log = []
    runs = [counting(2, log, "a"), counting(4, log, "b"), counting(1, log, "c")]
    ended = list(interleave(runs, 2, CPU))
    assert ended == [(0, "a", ""), (1, "b", ""), (2, "c", "")]
    assert log[:4] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert sorted(log) == [("a", 0), ("a", 1), *(("b", k) for k in range(4)), ("c", 0)]


def test_one_that_fails_does_not_cost_the_others():
    def broken():
        yield
        raise ArithmeticError("on purpose")

    def never():
        raise OSError("not even begun")

    ended = dict(
        (which, rest) for which, *rest in interleave([broken, never, counting(3, [], "c")], 3, CPU)
    )
    assert ended[0][0] is None and "ArithmeticError: on purpose" in ended[0][1]
    assert ended[1][0] is None and "OSError: not even begun" in ended[1][1]
    assert ended[2] == ["c", ""]


def test_at_least_one():
    with pytest.raises(ValueError, match="at_once=0"):
        next(interleave([], 0, CPU))


@pytest.fixture
def short(monkeypatch):
    """Three short experiments: with dropout, with distortion, and a run of its own.

    200 digits a split: how well a network reads them is not the point.
    """

    monkeypatch.setattr(datasets, "mnist", first_digits(200))
    made = {
        "short-fc": Config(model="fc", limit=200, epochs=2, batch_size=50),
        "short-stn": Config(model="stn-small", limit=200, epochs=1, distort="hr", tests=("hr",)),
    }
    found = {name: Experiment(c, "short", 2, 0.1) for name, c in made.items()}

    def own(name, seed):
        record = runner.run_one("short-fc", seed + 7)
        return dataclasses.replace(record, experiment=name, seed=seed)

    found["short-own"] = Experiment({}, "short", 1, 0.1, run=own)
    for name, experiment in found.items():
        monkeypatch.setitem(catalogue.EXPERIMENTS, name, experiment)
    return found


def test_in_turns_they_are_what_they_are_alone(short, tmp_path):
    runs = runner.plan(list(short), done=set())
    made = {}
    for m in (1, 3):
        found = made[m] = {}
        failed = sweep.run_all(
            runs,
            lambda r, found=found: found.update({(r.experiment, r.seed): r}),
            parallel_runs=m,
            progress=False,
            allow_sample=True,
            weights=tmp_path / str(m),
        )
        assert failed == []
    assert made[1].keys() == made[3].keys() and len(made[1]) == 5
    for key, record in made[1].items():
        assert record.repeatable() == made[3][key].repeatable()
    assert made[3]["short-fc", 1].device == "cpu, beside 2 other runs"
    kept = [sorted(p.name for p in (tmp_path / m).iterdir()) for m in "13"]
    assert kept[0] == kept[1] and "short-stn-1.safetensors" in kept[0]


def test_the_global_stream_is_given_back(short):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    runs = [
        lambda: runner.run_steps("short-fc", 0),
        lambda: runner.run_steps("short-fc", 1),
    ]
    assert len(list(interleave(runs, 2, CPU))) == 2
    assert torch.equal(torch.get_rng_state(), before)


def test_the_command_line_writes_one_jsonl(short, tmp_path, capsys):
    out = tmp_path / "made.jsonl"
    words = ["run", "short-fc", "--parallel-runs", "2", "--out", str(out), "--allow-sample"]
    assert main.main(words) == 0
    assert records.runs_in(out) == {("short-fc", 0), ("short-fc", 1)}
    assert "2 records made" in capsys.readouterr().out


def test_only_one_way_at_a_time(short):
    with pytest.raises(ValueError, match="parallel_runs=2"):
        sweep.run_all([], print, jobs=2, parallel_runs=2)
