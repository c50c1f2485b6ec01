"""The runs of notebook 08 whose localiser is taught by the truth before it has a reader."""

import json
from dataclasses import replace

import pytest
import torch

from stn_course.experiments import catalogue, runner
from stn_course.experiments.catalogue import bent_words
from stn_course.models.transformers import first_transformer
from stn_course.training.config import build
from stn_course.training.loop import steps

HOW = {"steps": 12, "batch": 16, "lr": 1e-2, "points": [2, 5]}


@pytest.fixture
def few(monkeypatch):
    """The taught run with three lessons and two steps."""
    monkeypatch.setattr(bent_words, "TAUGHT", bent_words.TAUGHT | {"steps": 3, "batch": 8})
    return replace(bent_words.STN, limit=32, limit_measured=16, batch_size=16, epochs=1)


def front():
    torch.manual_seed(0)
    return first_transformer(build(bent_words.STN))


def test_the_truth_is_learned_and_the_miss_is_in_pixels():
    misses = list(bent_words.teach(front(), seed=0, **HOW))
    assert len(misses) == 12
    assert 8 < misses[0] < 13  # as far as an identity is from the labels, notebook 08's first bar
    assert sum(misses[-3:]) < sum(misses[:3])


def test_a_seed_means_the_same_lessons_and_another_one_others():
    def first_miss(seed):
        return next(bent_words.teach(front(), seed=seed, **HOW))

    assert first_miss(0) == first_miss(0)
    assert first_miss(0) != first_miss(1)


def test_a_frozen_localiser_is_what_was_taught(few, monkeypatch):
    nets = []
    fit = bent_words.fit

    def kept(*args, **kwargs):
        taught = {k: v.clone() for k, v in kwargs["start_from"][1].state_dict().items()}
        net, record = fit(*args, **kwargs)
        nets.append((taught, net.state_dict()))
        return net, record

    monkeypatch.setattr(bent_words, "fit", kept)
    for frozen in (True, False):
        config = replace(few, lr_localiser=None) if frozen else few
        bent_words._taught_run("words-taught", 0, config, frozen)
    for (taught, after), frozen in zip(nets, (True, False), strict=True):
        weights = [k for k in taught if k.startswith("0.") and k.endswith("weight")]
        assert weights
        assert all(torch.equal(taught[k], after[k]) for k in weights) == frozen
        assert not torch.equal(taught["1.read.weight"], after["1.read.weight"])


class _Begun(Exception):
    """A run has made its first step."""


@pytest.mark.parametrize("name", bent_words.EXPERIMENTS)
def test_every_experiment_can_begin(name, monkeypatch):
    """Nothing is refused after a localiser was taught for minutes."""

    def first_step(config, seed, listeners, **asked):
        config = replace(config, limit=16, limit_measured=16, batch_size=16)
        next(steps(config, seed, listeners, **asked))
        raise _Begun

    monkeypatch.setattr(bent_words, "fit", first_step)
    monkeypatch.setattr(bent_words, "TAUGHT", bent_words.TAUGHT | {"steps": 1, "batch": 8})
    experiment = catalogue.find(name)
    with pytest.raises(_Begun):
        if experiment.run:
            experiment.run(name, 0)
        else:
            first_step(experiment.config, 0, experiment.listeners())


def test_its_record_is_the_experiments_and_keeps_the_lessons(few):
    record = bent_words._taught_run("words-taught", 0, few, False)
    assert len(record.curves["taught_miss"]) == 3
    asked = bent_words.taught_settings(few, False)
    assert {k: record.config[k] for k in asked} == asked
    with pytest.raises(ValueError, match=r"config\['batch_size'\] is 16; wanted 64"):
        runner.check_record(record)
    whole = catalogue.find("words-taught").config
    record.config = json.loads(json.dumps(whole))
    record.results["test/words"]["total"] = 10_000
    record.results["valid/words"]["total"] = 5000
    runner.check_record(record)


def test_another_seed_starts_and_is_taught_otherwise(few):
    runs = [bent_words._taught_run("words-taught", seed, few, False) for seed in (0, 0, 1)]
    same, again, other = (run.hashes["weights"] for run in runs)
    assert same == again != other
