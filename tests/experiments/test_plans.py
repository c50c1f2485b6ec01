"""What is run is written down before a test set is read; what was changed afterwards is said."""

import dataclasses
import re

import pytest

from stn_course.data import Digits, mnist
from stn_course.experiments import catalogue, records, remake, runner, scoreboard
from stn_course.experiments.experiment import NOT_ON_FILE, Experiment
from stn_course.experiments.published import ROWS
from stn_course.experiments.published.changes import CHANGED
from stn_course.training import datasets
from stn_course.training.config import Config
from stn_course.training.record import RunRecord, dumps, loads
from tests.support import ROOT

SMALL = Config(model="fc", limit=200, epochs=1, batch_size=100, tests=())


@pytest.fixture
def planned(monkeypatch):
    """Puts an experiment called `small` into the catalogue; few digits are read."""

    def few(split):
        digits = mnist(split)
        return Digits(digits.images[:200], digits.labels[:200], digits.source)

    def put(**plan):
        more = {"small": Experiment(SMALL, "", **plan)}
        monkeypatch.setattr(catalogue, "EXPERIMENTS", catalogue.EXPERIMENTS | more)

    monkeypatch.setattr(datasets, "mnist", few)
    return put


def test_a_record_repeats_its_plan(planned):
    planned(seeds=2, first_seed=10, chosen="by a test")
    assert runner.plan(["small"], done=set()) == [("small", 10), ("small", 11)]
    assert runner.plan(["small"], 1, done=set()) == [("small", 10)]
    made = loads(dumps(runner.run_one("small", 10)))
    assert made.plan == {"seeds": [10, 11], "chosen": "by a test"}
    runner.check_record(made)
    other = runner.run_one("small", 3)
    assert other.plan["added"] is True
    with pytest.raises(ValueError, match="plan is .*'by nobody'.*wanted .*'by a test'"):
        runner.check_record(dataclasses.replace(made, plan=made.plan | {"chosen": "by nobody"}))
    with pytest.raises(ValueError, match="plan is .*wanted seeds .a list. and chosen"):
        loads(dumps(dataclasses.replace(made, plan={"seeds": 3, "chosen": ""})))


def choice(folder, name, seed, *accuracies):
    records.save(
        RunRecord(
            experiment=name,
            seed=seed,
            config={},
            digits="full MNIST",
            parameters=1,
            curves={"valid_accuracy": list(accuracies)},
            results={},
            hashes={},
        ),
        folder,
    )


def test_epochs_are_chosen_on_validation_before_a_test_set_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "records_dir", lambda: tmp_path)
    anew = catalogue.find("mild-stn-anew")
    with pytest.raises(ValueError, match=r"make seeds \[100, 101, 102\] of mild-choice-30 first"):
        runner.run_one("mild-stn-anew", 10)
    for seed in (100, 101, 102):
        choice(tmp_path, "mild-choice-30", seed, 99.9, 99.0)
        choice(tmp_path, "mild-choice-60", seed, 98.0, 99.1 + (seed - 101) / 10)
    runner.check_choice("mild-stn-anew", anew)  # 60 epochs, by their last epoch
    choice(tmp_path, "mild-choice-30", 100, 99.9)
    with pytest.raises(ValueError, match="has 60 epochs and validation chose mild-choice-30, 30"):
        runner.check_choice("mild-stn-anew", anew)


def test_what_chooses_reads_no_test_set_and_no_seed_of_the_report():
    for name, experiment in catalogue.EXPERIMENTS.items():
        for other in map(catalogue.find, experiment.among):
            assert other.config.tests == () and other.config.train_on == "train"
            assert not set(other.planned) & set(experiment.planned), name
            same = dataclasses.replace(
                other.config,
                epochs=experiment.config.epochs,
                train_on=experiment.config.train_on,
                tests=experiment.config.tests,
            )
            assert same == experiment.config, f"{name} differs in more than its epochs"


def test_records_that_have_a_plan_are_of_it_and_say_how_they_were_chosen():
    for name, experiment in catalogue.EXPERIMENTS.items():
        for run in records.load(name):
            if run.plan:
                assert run.plan == experiment.plan(run.seed) or name in CHANGED
                assert experiment.chosen != NOT_ON_FILE, f"{name} does not say how"
                runner.check_choice(name, experiment)


def more_than_planned(name: str, seeds: list[int]) -> bool:
    return bool(set(seeds) - set(catalogue.find(name).planned))


def test_seeds_beyond_the_plan_and_changed_recipes_are_said_in_the_row():
    assert set(CHANGED) <= set(catalogue.EXPERIMENTS)
    assert more_than_planned("xq-cnn-cluttered", [0, 1, 2, 3]), "the test can fail"
    shown = {row["command"].split()[-1]: row for row in scoreboard.rows()}
    for row in ROWS:
        if more_than_planned(row.experiment, [r.seed for r in records.load(row.experiment)]):
            assert row.experiment in CHANGED, row
        assert shown[row.experiment]["changed"] == CHANGED.get(row.experiment, "-")


def test_comparisons_of_notebook_06_have_planned_equal_seeds():
    page = (ROOT / "notebooks" / "src" / "06_keras.md").read_text(encoding="utf-8")
    names = set(re.findall(r'"((?:keras|xq|hr)-[\w-]+)"', page)) - {
        "keras-lj-ffn-4",
        "xq-stn-cnn-mild",
    }
    assert len(names) == 14
    assert {catalogue.find(name).seeds for name in names} == {5}


def test_an_experiment_goes_on_from_another_of_the_same_seed(planned, monkeypatch):
    planned(start_from="first")
    first = Experiment(dataclasses.replace(SMALL, tests=("clean",)), "")
    monkeypatch.setitem(catalogue.EXPERIMENTS, "first", first)
    made = loads(dumps(runner.run_one("small", 4)))
    learned = loads(dumps(runner.run_one("first", 4)))
    assert made.start["run"] == "first" and made.start["weights"] == learned.hashes["weights"]
    assert made.first_steps["weights"] == learned.hashes["weights"] != made.hashes["weights"]
    runner.check_record(made)
    with pytest.raises(ValueError, match="start is 'nothing'; wanted 'first', as small has it"):
        runner.check_record(dataclasses.replace(made, start={}))
    with pytest.raises(ValueError, match="start is 'first'; wanted 'nothing', as first has it"):
        runner.check_record(dataclasses.replace(learned, start=made.start))
    assert remake.compare(made).again is None


def test_what_goes_on_from_another_is_the_same_network():
    for name, experiment in catalogue.EXPERIMENTS.items():
        if experiment.start_from:
            first = catalogue.find(experiment.start_from)
            assert (first.config.model, first.config.options) == (
                experiment.config.model,
                experiment.config.options,
            ), name
            assert first.minutes < experiment.minutes
