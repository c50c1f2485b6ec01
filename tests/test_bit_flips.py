"""A bit that flips in what is stored is found when that is read, or changes nothing."""

import dataclasses
import json
import random

import numpy as np
import pytest
import torch

from stn_course import data
from stn_course.data import recipes
from stn_course.experiments import records
from stn_course.training import checkpoints
from stn_course.training.config import Config, build
from stn_course.training.optimisation import make_optimizer
from stn_course.training.record import RunRecord, dumps, loads

RECORD = RunRecord(
    experiment="toy",
    seed=0,
    config={"model": "fc", "lr": 1e-3},
    digits="full MNIST",
    parameters=5,
    curves={"train_loss": [1.5, 0.25], "valid_accuracy": [50.0, 90.0]},
    results={"test/clean": {"correct": 1234, "total": 9999, "loss": 0.12345678}},
    hashes={"first_batch": "a", "weights": "b"},
    commit="0" * 40,
)
TINY = Config(model="fc", options={"width": 4})
FLIPS = 40


def checkpoint(folder):
    model = build(TINY)
    state = {"curves": {"train_loss": [0.25]}, "step": 5}
    path = checkpoints.save_checkpoint(folder, TINY, 0, model, make_optimizer(TINY, model), state)
    return path, checkpoints.read_checkpoint


def weights(folder):
    path = folder / "weights.safetensors"
    checkpoints.save_weights(path, build(TINY))
    return path, lambda path: checkpoints.read_weights(path, build(TINY)).state_dict()


def a_record(folder):
    return records.save(RECORD, folder), lambda path: [loads(path.read_bytes(), str(path))]


def filed(folder):
    return records.save(RECORD, folder), lambda path: records.load("toy", folder)


def lines(folder):
    path = folder / "made.jsonl"
    for seed in (0, 1):
        records.append(path, dataclasses.replace(RECORD, seed=seed))
    return path, lambda path: [each for _, each in records._records_in(path)]


def drawn(folder):
    data.write_npz("mild", folder / "mild.npz", "test")
    return folder / "mild.npz", data.read_npz


def same(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, RunRecord):
        return a == b
    kind = torch.equal if isinstance(a, torch.Tensor) else np.array_equal
    return type(a) is type(b) and kind(a, b)


@pytest.mark.parametrize("make", [checkpoint, weights, drawn, a_record, filed, lines])
def test_a_flipped_bit_is_refused_or_changes_nothing(make, tmp_path, monkeypatch):
    few = data.mnist("test")
    few = data.Digits(few.images[:20], few.labels[:20], few.source)
    monkeypatch.setattr(recipes, "mnist", lambda split: few)
    path, read = make(tmp_path)
    wanted, whole, dice, refused = read(path), path.read_bytes(), random.Random(1), 0
    for _ in range(FLIPS):
        place, bit = dice.randrange(len(whole)), dice.randrange(8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        try:
            found = read(path)
        except (ValueError, data.CorruptFileError) as error:
            refused += 1
            assert str(path) in str(error)
        else:
            assert same(found, wanted), f"bit {bit} of byte {place}"
    assert refused > 0.7 * FLIPS


@pytest.mark.parametrize("kept", ["labels", "digits", "theta"])
def test_a_set_whose_arrays_were_changed_is_refused(kept, tmp_path, monkeypatch):
    few = data.mnist("test")
    few = data.Digits(few.images[:5], few.labels[:5], few.source)
    monkeypatch.setattr(recipes, "mnist", lambda split: few)
    path, read = drawn(tmp_path)
    arrays = dict(np.load(path))
    np.savez(path, **arrays | {kept: arrays["images"][:2]})
    with pytest.raises(data.CorruptFileError, match=f"{path} is damaged"):
        read(path)
    np.savez(path, **{name: value for name, value in arrays.items() if name != "sha256"})
    with pytest.raises(data.CorruptFileError, match="is no set that can be read .*sha256"):
        read(path)


@pytest.mark.parametrize(
    "old, new",
    [("1234", "1235"), ("0.25", "0.75"), ("0.001", "0.101"), ("full", "fuml"), ('"toy"', '"tox"')],
)
def test_a_figure_that_is_turned_into_another_is_refused_by_name(old, new, tmp_path):
    """Each is a record, and another's; no field of it tells."""
    text = dumps(RECORD)
    assert old in text and loads(text) == RECORD
    with pytest.raises(ValueError, match="here is damaged: SHA-256 .*, not .*"):
        loads(text.replace(old, new), "here")
    path = tmp_path / "made.jsonl"
    records.append(path, RECORD)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=f"{path}, line 1 is damaged"):
        records.runs_in(path)
    with pytest.raises(ValueError, match=f"{path}, line 1 is damaged"):
        records.file_records(path, tmp_path / "records")


def test_a_record_from_before_there_was_a_sum_is_read_and_gets_one():
    old = json.loads(dumps(RECORD))
    del old["sha256"]
    found = loads(json.dumps(old))
    assert found == RECORD and "sha256" in json.loads(dumps(found))
    spaced = json.dumps(json.loads(dumps(RECORD)), indent=7)
    assert loads(spaced) == RECORD, "the sum is of the content, not of its lines"
