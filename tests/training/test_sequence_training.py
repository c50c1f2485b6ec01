"""Readers of digit rows are trained by name: their experiments, their folder, what it shows."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from stn_course import models
from stn_course.analysis.predictions import predict
from stn_course.data import PUBLISHED_100, Digits, generate, mnist
from stn_course.data.clutter.fresh import as_bytes
from stn_course.experiments.catalogue import digit_sequences
from stn_course.training import datasets, report, run_folder
from stn_course.training.config import Config, build
from stn_course.training.loop import fit
from stn_course.training.optimisation import rate
from tests.support import few_rows

CPU = torch.device("cpu")
OF_OURS = [name for name in digit_sequences.EXPERIMENTS if name.startswith("seq-")]
TINY = Config(
    "rnn-spn", {"design": "sk"}, distort="sequences", frozen=True, tests=("sequences",), limit=20
)
TINY = dataclasses.replace(TINY, epochs=2, batch_size=10, precision="float32")


@pytest.fixture
def few(monkeypatch):
    """40 rows of each split, and 40 digits to make some of."""

    def digits(split):
        made = mnist(split)
        return Digits(made.images[:40], made.labels[:40], made.source)

    monkeypatch.setattr(datasets, "mnist", digits)
    monkeypatch.setattr(datasets, "published_rows", few_rows)


@pytest.mark.parametrize("name", digit_sequences.EXPERIMENTS)
def test_every_experiment_builds_and_learns_from_a_few_rows(name, few):
    experiment = digit_sequences.EXPERIMENTS[name]
    tiny = dataclasses.replace(experiment.config, epochs=1, batch_size=2, limit=4)
    model, record = fit(tiny, 0, name=name)
    assert set(record.results) == {"valid/sequences", "test/sequences"}
    result = record.results["test/sequences"]
    assert (result["total"], result["rows"]) == (120, 40) and 0 <= result["words"] <= 40
    assert experiment.minutes >= 1
    if name in OF_OURS:
        assert experiment.seeds >= 3 and models.count_parameters(model) <= 1_000_000


def test_the_published_budgets_are_those_published():
    lj = digit_sequences.EXPERIMENTS["lj-ffn"].config
    assert (lj.epochs, lj.batch_size, lj.weight_decay) == (80, 100, 1e-4)
    rates = [rate(lj, epoch / 80) for epoch in range(80)]
    assert rates == pytest.approx([1e-3] * 60 + [1e-4] * 20)
    assert models.count_parameters(build(lj)) == 6_293_916
    for name in ("sk-ffn", "sk-rnn"):
        sk = digit_sequences.EXPERIMENTS[name].config
        assert (sk.optimizer, sk.lr, sk.clip) == ("rmsprop", 5e-4, 3 * 5.0)
        assert (sk.epsilon, sk.precision) == (3e-3, "float32")
        assert (sk.epochs, sk.patience, sk.batch_size) == (300, 50, 100)


def test_downsampling_differs_in_what_the_classifier_gets():
    sizes = {}
    ends = ("down-1", "down-2", "down-3", "down-4", "strip-2", "strip-3", "strip")
    for name in ends:
        sizes[name] = build(digit_sequences.EXPERIMENTS[f"seq-{name}"].config).glimpse
    squares = [(100, 100), (50, 50), (33, 33), (25, 25)]
    assert list(sizes.values()) == [*squares, (50, 100), (33, 100), (25, 100)]


def test_glimpses_are_measured_at_the_end_and_along_the_way(monkeypatch):
    made = generate(dataclasses.replace(PUBLISHED_100, sizes=(50, 50, 50)), allow_sample=True)
    monkeypatch.setattr(digit_sequences, "generate", lambda recipe, allow_sample: made)
    rows = {s: Digits(as_bytes(part, slice(None)), part.labels, "") for s, part in made.items()}
    monkeypatch.setattr(digit_sequences, "published_rows", lambda name, split: rows[split])
    net = models.build("rnn-spn", size=(100, 100))
    experiment = digit_sequences.EXPERIMENTS["seq-rnn"]
    (steps,) = (experiment.probe(net, CPU)["glimpses"]["valid_iou"],)
    # Untrained, each glimpse is the whole image: a 28x28 digit is .0784 of it.
    assert steps == pytest.approx([0.0784] * 3, abs=1e-6)
    seen = experiment.each_epoch(net, CPU)
    assert seen.pop("glimpse_iou") == pytest.approx(0.0784, abs=1e-6)
    assert seen.pop("glimpse_boxes") == [[0, 0, 100, 100]] * 3
    assert 0 <= seen.pop("train_accuracy") <= 30 and not seen  # it has learned nothing


def test_a_folder_of_rows_is_written_and_measured(tmp_path, few):
    record = run_folder.train(TINY, 0, tmp_path, log_every=1, tensorboard=True, keep_every=1)
    lines = list(report.measure_run(tmp_path, images=True))
    result = record.results["test/sequences"]
    assert f"{result['correct']} / {result['total']}" in "\n".join(lines)
    matrix = np.loadtxt(tmp_path / "test-sequences" / "confusion.csv", delimiter=",", skiprows=1)
    assert matrix[:, 1:].sum() == 120 and matrix[:, 1:].trace() == result["correct"]
    script = (tmp_path / "test-sequences" / "gallery.js").read_text()
    page = json.loads(script.removeprefix("const GALLERY = ").rstrip(";\n"))
    truth = datasets.test_set("test", "sequences", CPU).labels
    assert page["truth"] == ["".join(map(str, row)) for row in truth.tolist()]
    assert sum(a == b for a, b in zip(page["truth"], page["read"], strict=True)) == result["words"]
    assert page["output"] == {"height": 33, "width": 3 * 33} and len(page["boxes"][0]) == 3
    assert len(list((tmp_path / "test-sequences" / "output").iterdir())) == 40
    assert "learning.png" in list(report.all_checkpoints(tmp_path))[-1]


def test_what_a_row_reader_looks_at_stands_side_by_side(few):
    model, _ = fit(TINY)
    torch.nn.init.normal_(model.transformer.head[0].weight, 0, 0.3)
    held = datasets.test_set("test", "sequences", CPU)
    seen = predict(model, held.images, held.labels, batch=16)
    assert seen.inputs.shape == (40, 100, 100) and seen.outputs.shape == (40, 33, 99)
    assert seen.boxes.shape == (40, 3, 4, 2) and seen.read.shape == (40, 3)
    glimpses = model.look(held.images.float() / 255).unflatten(0, (40, 3))  # [N, 3, 1, 33, 33]
    wanted = torch.cat([*glimpses[:, :, 0].unbind(1)], 2).detach().mul(255).round().byte()
    assert np.abs(seen.outputs.astype(int) - wanted.numpy()).max() <= 1
    wide = model.theta[:, :, :, :2].abs().sum(3)  # half the sides of the box around each
    centre = model.theta[:, :, :, 2]
    assert np.allclose(seen.boxes.max(2), centre + wide, atol=1e-5)
    assert np.allclose(seen.probabilities.sum(2), 1, atol=1e-5)
    picked = np.take_along_axis(seen.probabilities, seen.labels[:, :, None], 2)[:, :, 0]
    assert np.allclose(seen.losses, -np.log(picked).sum(1), atol=1e-3)


# A process of its own, for its highest mark is asked for. All rows of all splits are there; of
# those to be measured a thousand say as much about memory, for they are read 250 at a time.
AN_EPOCH = """
import re, resource, sys, torch
from dataclasses import replace
from stn_course.experiments.catalogue.digit_sequences import EXPERIMENTS
from stn_course.data import published_rows
from stn_course.analysis.accuracy import evaluate
from stn_course.training import run
from stn_course.training.loop import fit
def first(model, images, labels):
    assert len(labels) == 10_000
    return evaluate(model, images[:1000], labels[:1000])
run.evaluate = first
torch.set_num_threads(1)
config = EXPERIMENTS["seq-rnn"].config
model, record = fit(replace(config, epochs=1, limit=3 * config.batch_size, tests=()), 0)
held = published_rows("sequences", "test")
assert first(model, held.images, held.labels)["rows"] == 1000
try:  # Linux's maximum for a process counts the one that started it, too; this does not
    status = open("/proc/self/status").read()
    print(int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) / 1e6)
except FileNotFoundError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak / (1e9 if sys.platform == "darwin" else 1e6))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")
def test_training_with_the_whole_set_at_hand_keeps_within_4_gb():
    # The set is resident whatever the limit; a step's memory does not grow with their number.
    found = subprocess.run([sys.executable, "-c", AN_EPOCH], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    gigabytes = float(found.stdout.split()[-1])
    assert 1 < gigabytes < 4, f"{gigabytes:.2f} GB"


def test_a_look_that_fails_leaves_no_hook_and_the_mode():
    model = models.build("stn-small").train()
    with pytest.raises(ValueError, match="labels are 3 to 10; wanted classes"):
        predict(model, torch.rand(2, 1, 28, 28), torch.tensor([3, 10]))
    assert model.training and not any(m._forward_hooks for m in model.modules())
