"""Training in Keras: the pipeline draws torch's distortions, a run repeats, its record is right."""

import dataclasses
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.keras_twin.support import need_tensorflow

need_tensorflow()

from stn_course.data import DISTORTIONS, distortions  # noqa: E402
from stn_course.experiments.catalogue import keras  # noqa: E402
from stn_course.experiments.experiment import Experiment  # noqa: E402
from stn_course.keras_twin import pipeline, training  # noqa: E402
from stn_course.lessons.keras import helpers  # noqa: E402
from stn_course.sampling.reference import warp  # noqa: E402
from stn_course.training import datasets  # noqa: E402
from stn_course.training.record import dumps, loads  # noqa: E402
from tests.support import few_rows, first_digits  # noqa: E402


@pytest.mark.parametrize(
    "ranges", [*distortions.HARD, *distortions.MILD, distortions.HR, distortions.RTS], ids=str
)
def test_the_same_numbers_give_the_same_theta_as_in_torch(ranges):
    u = torch.rand(6, 40, generator=torch.Generator().manual_seed(1))
    theta = distortions.draw_affine(ranges, 40, torch.Generator().manual_seed(1))
    assert np.abs(pipeline.theta_from(ranges, u.numpy()).numpy() - theta.numpy()).max() < 1e-5


@pytest.mark.parametrize("recipe", pipeline.RECIPES)
def test_a_recipe_makes_what_torch_makes_on_average(recipe):
    """Ink, and where it lies: means over 2000 squares differ by a few standard errors at most."""
    squares = np.zeros((2000, 28, 28, 1), "float32")
    squares[:, 8:18, 10:22] = 1
    theirs = pipeline.distort(squares, recipe, [3, 4]).numpy()[..., 0]
    made = DISTORTIONS[recipe](
        torch.from_numpy(squares).movedim(3, 1), torch.Generator().manual_seed(5)
    )
    ours = made.images[:, 0].numpy()
    assert theirs.shape == ours.shape
    assert not np.array_equal(theirs, pipeline.distort(squares, recipe, [3, 5]).numpy()[..., 0])
    places = np.arange(ours.shape[1])
    for weights in (np.ones_like(places), places, places**2):
        for axis in (1, 2):
            a, b = ((x.sum(axis) @ weights).astype(float) for x in (ours, theirs))
            error = np.sqrt((a.var() + b.var()) / len(a))
            assert abs(a.mean() - b.mean()) < 4.5 * error, (weights[:3], axis)


@pytest.mark.parametrize("recipe", pipeline.RECIPES)
def test_of_a_picture_that_is_not_square_the_pixels_turn(recipe, monkeypatch):
    """From the same random numbers torch's theta for a canvas of that shape, and its picture."""
    u = torch.rand(8, 3, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(pipeline.tf.random, "stateless_uniform", lambda *_: u.numpy())
    branches, canvas = pipeline.RECIPES[recipe]
    images = torch.rand(3, 1, 20, 36, generator=torch.Generator().manual_seed(2))
    size = canvas or (20, 36)
    drawn = torch.stack([distortions._drawn(each, u[:6]) for each in branches])
    drawn = drawn[(u[6] * len(branches)).long(), :, torch.arange(3)].T
    theta = distortions._reading_of(drawn, branches[0].order, size)
    theta *= torch.tensor([[size[1] / 36], [size[0] / 20]])
    wanted = torch.stack(
        [
            warp(x[None], t[None], size, "zeros", mode="bilinear" if smooth else "nearest")[0]
            for x, t, smooth in zip(images, theta, (u[7] < 0.5) | (len(branches) == 1), strict=True)
        ]
    )
    found = pipeline.distort(images.movedim(1, 3).numpy(), recipe, [0, 0]).numpy()
    assert np.abs(found - wanted.movedim(1, 3).numpy()).max() < 1e-4


def test_a_recipe_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="recipe='wavy' is unknown; wanted one of hard"):
        pipeline.distort(np.zeros((1, 28, 28, 1), "float32"), "wavy", [0, 0])


def counted(n=60):
    images = np.arange(n, dtype="uint8")[:, None, None, None] + np.zeros((1, 28, 28, 1), "uint8")
    return images, np.arange(n)


def test_every_image_comes_once_an_epoch_in_an_order_of_its_own():
    data = pipeline.batches(*counted(), batch=16, seed=3)
    epochs = [np.concatenate([y for _, y in data.as_numpy_iterator()]) for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(60))
    assert list(epochs[0]) != list(epochs[1]) != list(range(60))
    for x, y in data.as_numpy_iterator():
        assert x.dtype == "float32" and np.array_equal(x[:, 0, 0, 0], y.astype("float32") / 255)
    again = pipeline.batches(*counted(), batch=16, seed=3)
    assert list(np.concatenate([y for _, y in again.as_numpy_iterator()])) == list(epochs[0])


def test_a_fresh_recipe_distorts_anew_every_epoch():
    images = np.zeros((8, 28, 28, 1), "uint8")
    images[:, 6:20, 9:15] = 255

    def two_epochs(seed):
        data = pipeline.batches(images, np.arange(8), 8, seed, recipe="hard")
        for _ in range(2):
            x, y = next(data.as_numpy_iterator())
            yield x[np.argsort(y)]

    first, second = two_epochs(1)
    assert all(not np.array_equal(first[k], second[k]) for k in range(8))
    assert np.array_equal([first, second], list(two_epochs(1)))
    assert not np.array_equal(first, next(two_epochs(2)))


def test_frozen_images_are_distorted_once_and_by_their_seed():
    images, _ = counted(30)
    once = pipeline.frozen(images, "hr", 7, batch=8)
    assert once.shape == (30, 40, 40, 1) and once.dtype == np.uint8
    assert np.array_equal(once, pipeline.frozen(images, "hr", 7, batch=8))
    assert not np.array_equal(once, pipeline.frozen(images, "hr", 8, batch=8))


# ---------------------------------------------------------------- runs
@pytest.fixture
def few_tests(monkeypatch):
    """100 digits and 40 rows a split: only those are distorted, read and counted."""

    monkeypatch.setattr(datasets, "mnist", first_digits(100))
    monkeypatch.setattr(datasets, "published_rows", few_rows)


def shortened(name, **changes):
    usual = {"limit": 100, "epochs": 1, "batch_size": 50}
    return dataclasses.replace(keras.EXPERIMENTS[name].config, **usual | changes)


# Each network and each way to its digits once; what all experiments are made of is checked below.
SHORT = ("fc-clean", "cnn-mild", "stn-fc-hard", "hr-source", "lj-ffn-4")


@pytest.mark.parametrize("name", [f"keras-{what}" for what in SHORT])
def test_the_record_of_a_short_run(name, few_tests):
    config = shortened(name, limit=20) if "lj" in name else shortened(name)
    record = training.record(name, 1, config)
    assert dumps(loads(dumps(record))) == dumps(record)
    assert (record.experiment, record.seed) == (name, 1)
    assert {"keras", "tensorflow"} <= set(record.versions)
    assert record.config["framework"] == "keras" and record.config["model"] == config.model
    splits = ["test"] if "valid" in config.train_on else ["valid", "test"]
    assert set(record.results) == {f"{s}/{t}" for s in splits for t in config.tests}
    total = 40 * 3 if "lj" in name else 100
    assert all(r["total"] == total for r in record.results.values())
    assert len(record.curves["train_loss"]) == 1 and np.isfinite(record.curves["train_loss"]).all()
    assert record.parameters == (6_293_916 if "lj" in name else record.parameters) > 0


QUIET = """
import contextlib, dataclasses, io, os, torch
from stn_course import data
from stn_course.experiments.catalogue import keras
with contextlib.redirect_stderr(io.StringIO()):  # where the digits are a sample, that is said
    data.mnist("train")
torch.set_num_threads(1)
few = {"limit": 64, "epochs": 1, "tests": ("clean",), "train_on": "train+valid"}
config = dataclasses.replace(keras.EXPERIMENTS["keras-fc-clean"].config, **few)
record = keras.run_in_keras("keras-fc-clean", 0, config)
print(record.threads, *(os.environ[name] for name in keras.THREADS))
"""


def test_a_run_is_silent_and_has_the_threads_that_are_asked_for():
    """TensorFlow's line on its first step, its devices, its graphs: none of it on stderr."""
    kept = {k: v for k, v in os.environ.items() if k not in keras.THREADS}
    asked = {"TF_NUM_INTRAOP_THREADS": "3"}  # what is not asked for is torch's
    command = [sys.executable, "-c", QUIET]
    done = subprocess.run(command, capture_output=True, text=True, env=kept | asked)
    assert (done.stderr, done.stdout) == ("", "3 3 1\n")


def test_where_nothing_is_asked_for_there_are_as_many_threads_as_torch_has(monkeypatch):
    for name in keras.THREADS:
        monkeypatch.setenv(name, "")  # afterwards it is as it was before
        monkeypatch.delenv(name)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "tensorflow")
        keras.share_threads()
    assert [os.environ[name] for name in keras.THREADS] == ["5", "5"]
    told = training.tf.config.threading.get_intra_op_parallelism_threads()
    assert training.threads() == (told or 5)


def test_with_tensorflow_running_the_environment_is_left_alone(monkeypatch):
    """It would not look there again, and the record would be wrong."""
    for name in keras.THREADS:
        monkeypatch.delenv(name, raising=False)
    keras.share_threads()
    assert not set(keras.THREADS) & set(os.environ)
    assert training.threads() == os.cpu_count()


def test_the_same_seed_gives_the_same_bits_and_tensorboard_its_files(few_tests, tmp_path):
    config = shortened("keras-stn-fc-hard", tests=("hard",))
    first, again = (training.fit(config, 0, "a", log_dir=folder)[1] for folder in (tmp_path, None))
    assert first.repeatable() == again.repeatable()
    batch = {seed: next(iter(training.training_data(config, seed)[0]()))[0] for seed in (0, 1)}
    hashes = {seed: training.sha256(x.numpy()) for seed, x in batch.items()}
    assert hashes[0] == first.hashes["first_batch"] != hashes[1]
    assert list(tmp_path.rglob("events.out.tfevents.*"))


def test_the_first_weights_are_those_of_the_run_in_torch():
    from stn_course.data.seeding import INIT, stream
    from stn_course.keras_twin import to_torch
    from stn_course.training.config import build

    config = shortened("keras-stn-fc-hard")
    torch.manual_seed(stream(INIT, 2))
    wanted = build(config).state_dict()
    got = to_torch(training.twin_of(config, 2), "stn-fc").state_dict()
    assert all(torch.equal(wanted[name], got[name]) for name in wanted)


def test_weight_decay_is_half_a_square_of_the_kernels_and_digits_are_summed():
    config = shortened("keras-lj-ffn", weight_decay=0.5)
    twin = training.twin_of(config, 0)
    training.compile_twin(twin, config, 2)
    kernels = [v for v in twin.trainable_variables if v.path.endswith("kernel")]
    wanted = sum(0.25 * float((v.numpy() ** 2).sum()) for v in kernels)
    assert float(sum(twin.losses)) == pytest.approx(wanted, rel=1e-4) and len(kernels) == 10
    loss = twin.loss(np.array([[1, 2, 3]]), np.zeros((1, 3, 10), "float32"))
    assert float(loss[0]) == pytest.approx(3 * np.log(10), rel=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"clip": 5.0},
        {"lr_localiser": 1e-4},
        {"patience": 3},
        {"optimizer": "sgd"},
        {"precision": "auto"},
        {"augment": "gentle"},
        {"epsilon": 1e-7},
    ],
    ids=str,
)
def test_a_setting_that_runs_in_keras_lack_is_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        training.check(shortened("keras-stn-fc-hard", **change))


def test_the_catalogue_promises_what_the_course_asks_for():
    table = keras.EXPERIMENTS
    matrix = [f"keras-{m}-{s}" for m in ("fc", "cnn", "stn-fc") for s in ("clean", "hard", "mild")]
    assert {*matrix, "keras-hr", "keras-lj-ffn"} <= set(table)
    for name in matrix:
        assert table[name].config.tests == ("clean", "hard", "mild") and table[name].seeds >= 3
    for experiment in table.values():
        assert isinstance(experiment, Experiment) and experiment.run
        training.check(experiment.config)


# ---------------------------------------------------------------- notebook 06's helpers
def test_the_golden_cases_are_handed_out_channels_last():
    cases = helpers.golden(padding="zeros", align_corners=False)
    assert [case["kind"] for case in cases] == ["affine", "homography", "tps"]
    assert cases[0]["images"].shape == (2, 5, 6, 2) and cases[0]["output"].shape == (2, 4, 5, 2)
    assert len(helpers.golden()) == 18


def test_two_experiments_are_compared_and_a_missing_one_leaves_a_gap():
    torch_, keras_, gap, planned = helpers.compared("xq-fc-hard", "xq-cnn-hard", "test/hard")
    assert torch_ == helpers.recorded("xq-fc-hard", "test/hard") and "n = 5" in keras_
    assert re.fullmatch(r"\+1\d\.\d\d ± 0\.\d\d", gap)
    assert helpers.compared("xq-fc-hard", "no-such", "test/hard")[1:] == ["not yet run", "-", "-"]
    assert helpers.compared("", "xq-fc-hard", "test/hard") == ["-", torch_, "-", "-"]


def test_a_script_that_fails_on_a_backend_is_told():
    with pytest.raises(RuntimeError, match="on torch: .*ZeroDivisionError"):
        helpers.run_on("1 / 0", "torch")


def test_the_command_line_leaves_the_folder_of_a_run_in_torch(tmp_path, monkeypatch, capsys):
    from stn_course import keras_twin
    from stn_course.cli import main
    from stn_course.training import run_folder

    monkeypatch.setattr(datasets, "mnist", first_digits(60))
    out = tmp_path / "run"
    words = f"train --framework keras --model stn-fc --epochs 2 --batch-size 30 --out {out}".split()
    assert main.main(words) == 0
    said = capsys.readouterr()
    assert "test/clean" in said.out and "epoch 2/2: train_loss" in said.err
    names = {p.name for p in out.iterdir() if not p.name.startswith(".")}
    assert names == {
        *("config.json", "history.csv", "history.png", "record.json", "tensorboard"),
        *("network.keras", "weights.safetensors"),
    }
    made = loads((out / "record.json").read_text())
    assert made.config["framework"] == "keras" and made.experiment == "run"
    first, *rows = (out / "history.csv").read_text().splitlines()
    assert first == "epoch,train_loss,train_accuracy,valid_loss,valid_accuracy"
    assert [float(row.split(",")[-1]) for row in rows[1:]] == pytest.approx(
        made.curves["valid_accuracy"], rel=1e-4
    )
    assert rows[0].startswith("0,,,2.") and len(rows) == 3
    net, images = run_folder.load(out, device="cpu"), first_digits(8)("test").images.float() / 255
    twin = keras_twin.sampling.keras.saving.load_model(out / "network.keras")
    there = np.array(twin.predict_on_batch(images.permute(0, 2, 3, 1).numpy()))
    assert np.abs(net(images).detach().numpy() - there).max() < 1e-4
    assert main.main(["test", str(out)]) == 0
    result = made.results["test/clean"]
    told = capsys.readouterr().out
    counted, loss = re.search(r"(\d+) / 60, loss ([\d.]+)", told).groups()
    assert int(counted) == result["correct"]
    assert float(loss) == pytest.approx(result["loss"], abs=1e-3)
    assert (out / "test-clean" / "index.html").is_file()
    for more, why in (
        ([], "holds a run"),
        (["--resume"], "--resume: runs in Keras have none"),
        (["--optimizer", "sgd"], "runs in Keras have only adam"),
    ):
        assert main.main([*words, *more]) == 2
        assert why in capsys.readouterr().err
    assert main.main(["train", "--resume", "--out", str(out)]) == 2
    assert "it is a run in Keras" in capsys.readouterr().err
