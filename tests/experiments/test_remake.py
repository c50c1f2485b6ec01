"""A record that today's code would not give again is told from one that it would."""

import dataclasses

import pytest

from stn_course.cli.main import main
from stn_course.data import Digits, mnist, recipes
from stn_course.experiments import catalogue, records, remake
from stn_course.experiments.experiment import Experiment
from stn_course.training import datasets, optimisation, run
from stn_course.training.config import Config
from stn_course.training.loop import fit
from stn_course.training.record import dumps, loads

FRESH = Config(model="stn-fc", distort="mild", limit=600, epochs=1, batch_size=50, tests=())
FROZEN = dataclasses.replace(FRESH, model="fc", frozen=True, with_clean=True)


@pytest.fixture(params=[FRESH, FROZEN], ids=["fresh", "frozen"])
def record(request, monkeypatch):
    """A run of a moment ago, under a name that the catalogue knows."""
    monkeypatch.setattr(datasets, "mnist", lambda split: few(mnist(split)))
    known = catalogue.EXPERIMENTS | {"made-now": Experiment(request.param, "")}
    monkeypatch.setattr(catalogue, "EXPERIMENTS", known)
    return fit(request.param, 3, name="made-now")[1]


def few(digits: Digits) -> Digits:
    return Digits(digits.images[:700], digits.labels[:700], digits.source)


def old(record):
    """As from before records told their first steps."""
    return dataclasses.replace(record, first_steps={})


def test_a_record_tells_its_first_ten_steps(record):
    assert len(record.first_steps["losses"]) == 10
    assert record.first_steps["weights"] != record.hashes["weights"]
    for each in (record, old(record)):
        assert dumps(loads(dumps(each))) == dumps(each)
        assert loads(dumps(each)).first_steps == each.first_steps
    assert "first_steps" not in dumps(old(record))


def test_what_happened_a_moment_ago_happens_again(record):
    found = remake.compare(record)
    assert found == remake.Verdict("made-now", 3, True, "the same first batch, weights and losses")
    assert remake.compare(old(record)).again is True


@pytest.mark.parametrize("what", ["draws", "start", "rate", "seed"])
def test_another_draw_network_or_step_is_told(record, monkeypatch, what):
    if what == "draws":
        ranges = recipes.DISTORTIONS["hard"]
        monkeypatch.setitem(recipes.DISTORTIONS, "mild", ranges)
        wanted = "first batch"
    elif what == "start":
        built = run.build

        def build_otherwise(config):
            model = built(config)
            next(model.parameters()).data.mul_(1.01)
            return model

        monkeypatch.setattr(run, "build", build_otherwise)
        wanted = "other first weights"
    elif what == "rate":
        monkeypatch.setattr(run, "rate", lambda *asked: 3 * optimisation.rate(*asked))
        wanted = "a step"
    else:
        record, wanted = dataclasses.replace(record, seed=4), "other first weights"
    found = remake.compare(record)
    assert found.again is False and wanted in found.why


def test_a_hash_of_floats_from_elsewhere_proves_nothing(record):
    """Another processor rounds the draws of a fresh batch otherwise, and bytes it does not."""
    hashes = record.hashes | {"first_batch": "0" * 64}
    moved = dataclasses.replace(record, hashes=hashes)
    assert remake.compare(moved).again is True  # the losses are the same
    frozen = find_config().frozen
    assert remake.compare(old(moved)).again is (False if frozen else None)


def find_config() -> Config:
    return catalogue.find("made-now").config


def test_a_record_of_a_gpu_is_not_judged(record):
    assert remake.compare(dataclasses.replace(record, device="NVIDIA H200")).again is None
    begun = [{"step": 0, "device": "NVIDIA H200"}, {"step": 9, "device": "cpu"}]
    assert remake.compare(dataclasses.replace(record, parts=begun)).again is None


def test_a_half_told_beginning_is_no_record(record):
    broken = dataclasses.replace(record, first_steps={"losses": 3})
    with pytest.raises(ValueError, match="first_steps is .*wanted weights"):
        loads(dumps(broken))


def test_the_command_says_which_and_counts(record, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(records, "records_dir", lambda: tmp_path)
    monkeypatch.setattr("stn_course.experiments.runner.check_digits", lambda: None)
    records.save(record)
    records.save(dataclasses.replace(record, seed=4))
    assert main(["records", "check", "made-now"]) == 0
    assert main(["records", "check", "made-now", "--every-seed"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[1] == "1 again, 0 NOT AGAIN, 0 not told"
    assert said[-1] == "1 again, 1 NOT AGAIN, 0 not told"
    assert said[3].split()[:3] == ["NOT", "AGAIN", "made-now/4"]


@pytest.mark.full_data
@pytest.mark.parametrize("name", ["invariance-fc", "se-01-rts", "xq-fc-hard", "proj-homography"])
def test_committed_records_begin_as_today(name):
    """A recipe, an order of draws or a network's start that moves is seen here first."""
    (found,) = remake.compare_all([name])
    assert found.again is True, found.why
