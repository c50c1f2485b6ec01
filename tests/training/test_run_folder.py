"""What `train` leaves in its folder, and what `test` adds; one line on bad input."""

import csv
import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib import image as mpimg

from stn_course import files
from stn_course.analysis import run_plots
from stn_course.cli import main
from stn_course.data import mnist
from stn_course.training import checkpoints, datasets, report, run_folder, tensorboard
from stn_course.training.config import Config, build
from stn_course.training.listeners import Listener
from stn_course.training.loop import fit
from stn_course.training.record import loads
from tests.support import events, first_digits

STN = Config(model="stn-small", limit=100, epochs=2, batch_size=50, precision="float32")
FC = dataclasses.replace(STN, model="fc")


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    """300 digits a split: these tests are not about how well a network reads them."""

    monkeypatch.setattr(datasets, "mnist", first_digits(300))


def command(*words, capsys):
    code = main.main([str(w) for w in words])
    return (code, *capsys.readouterr())


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_logging_and_keeping_change_nothing_else(tmp_path):
    plain = run_folder.train(STN, 0, tmp_path / "plain")
    options = {"log_every": 1, "tensorboard": True, "keep_every": 1}
    logged = run_folder.train(STN, 0, tmp_path / "logged", **options)
    assert logged.hashes == plain.hashes and logged.curves == plain.curves
    more = {p.name for p in (tmp_path / "logged").iterdir()}
    more -= {p.name for p in (tmp_path / "plain").iterdir()}
    assert more == {"steps.csv", "tensorboard", "epoch_0001.pt", "epoch_0002.pt"}


def test_steps_are_logged_as_often_as_asked_and_once_after_resuming(tmp_path):
    config = dataclasses.replace(FC, schedule="constant")
    run_folder.train(config, 0, tmp_path, log_every=2)
    assert [int(r["step"]) for r in table(tmp_path / "steps.csv")] == [2, 4]
    with open(tmp_path / "steps.csv", "a") as file:
        file.write("6,9.9,0.001\n8,9.9")  # beyond the checkpoint, as after a kill
    longer = dataclasses.replace(config, epochs=4)
    record = run_folder.train(longer, 0, tmp_path, log_every=2, resume=True)
    rows = table(tmp_path / "steps.csv")
    assert [int(r["step"]) for r in rows] == [2, 4, 6, 8]
    assert {float(r["rate"]) for r in rows} == {1e-3} and "9.9" not in {r["loss"] for r in rows}
    assert [int(r["epoch"]) for r in table(tmp_path / "history.csv")] == [0, 1, 2, 3, 4]
    assert len(record.curves["train_loss"]) == 4


def test_checkpoints_are_kept_as_often_as_asked(tmp_path):
    run_folder.train(dataclasses.replace(FC, epochs=5), 0, tmp_path, keep_every=2)
    kept = checkpoints.kept_checkpoints(tmp_path)
    assert [p.name for p in kept] == ["epoch_0002.pt", "epoch_0004.pt"]
    steps = [checkpoints.read_checkpoint(p)["state"]["step"] for p in kept]
    assert steps == [4, 8]


def test_a_folder_that_is_removed_meanwhile_is_told_and_the_result_is_there(tmp_path):
    folder = tmp_path / "run"

    class Remove(Listener):
        def epoch(self, run):
            if run.epoch == 2:
                shutil.rmtree(folder)

    config = dataclasses.replace(FC, epochs=3)
    with pytest.raises(files.RemovedError, match=f"{folder} was removed .* while this wrote to it"):
        run_folder.train(config, 0, folder, [Remove()], keep_every=1)
    names = {"config.json", "checkpoint.pt", "epoch_0002.pt", "epoch_0003.pt", "record.json"}
    names |= {"history.csv", "history.png", "weights.safetensors"}
    assert {p.name for p in folder.iterdir()} == names
    record = loads((folder / "record.json").read_text())
    assert run_folder.read_config(folder) == (config, 0)
    assert checkpoints.weights_sha256(run_folder.load(folder)) == record.hashes["weights"]


class Killed(BaseException):
    pass


def test_a_kill_between_any_two_writes_loses_no_kept_epoch(tmp_path, monkeypatch):
    options = {"keep_every": 1, "log_every": 1}
    monkeypatch.setattr(run_plots, "history", lambda *_: None)  # drawing it takes longest
    monkeypatch.setattr(run_plots, "save", lambda _, path: files.write_atomically(path, b"P"))
    whole = run_folder.train(FC, 0, tmp_path / "whole", **options)
    wanted = {p.name for p in (tmp_path / "whole").iterdir()}
    replace, n = files.os.replace, 0
    while True:
        n, left, folder = n + 1, n, tmp_path / str(n)

        def killed(*paths):
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            replace(*paths)

        with monkeypatch.context() as patch:
            patch.setattr(files.os, "replace", killed)
            try:
                run_folder.train(FC, 0, folder, **options)
                break  # it made fewer writes
            except Killed:
                pass
        record = run_folder.train(FC, 0, folder, resume=True, **options)
        assert {p.name for p in folder.iterdir()} == wanted, f"killed after {n - 1} writes"
        assert record.hashes == whole.hashes
        assert [int(row["step"]) for row in table(folder / "steps.csv")] == [1, 2, 3, 4]
    assert n == 13, "config, steps, history thrice, 2 epochs twice each, weights, record, chart"


def test_what_tensorboard_is_told_is_on_disk_before_a_checkpoint_is(tmp_path):
    seen = []

    class Look(Listener):
        def step(self, run):
            seen.append([e.step for e in events(tmp_path / "tensorboard") if e.summary.value][-1])

    fit(dataclasses.replace(FC, epochs=1), 0, [tensorboard.TensorBoard(tmp_path, 1), Look()])
    assert seen == [1, 2]


@pytest.mark.parametrize("config, tags", [(STN, 3), (FC, 1)], ids=["stn", "fc"])
def test_tensorboard_gets_scalars_and_images(tmp_path, config, tags):
    record = run_folder.train(config, 0, tmp_path, tensorboard=True, log_every=1)
    scalars, images = {}, {}
    for event in events(tmp_path / "tensorboard"):
        for value in event.summary.value:
            kind = images if value.HasField("image") else scalars
            kind.setdefault(value.tag, []).append((event.step, value))
    got = [v.simple_value for _, v in scalars["epoch/train_loss"]]
    assert [step for step, _ in scalars["epoch/train_accuracy"]] == [0, 2, 4]
    assert got[1:] == pytest.approx(record.curves["train_loss"])
    assert [s for s, _ in scalars["epoch/valid_accuracy"]] == [0, 2, 4]
    assert [s for s, _ in scalars["step/loss"]] == [1, 2, 3, 4]
    assert set(images) == set(["input", "warped", "sampled box"][:tags])
    assert images["input"][0][1].image.width == 8 * 28


def test_tensorboard_files_need_no_tensorflow(tmp_path):
    code = f"""
import sys
import numpy as np
from stn_course.training.tensorboard import EventLog
log = EventLog({str(tmp_path)!r})
log.scalar("a", 1.0, 1)
log.image("b", np.zeros((3, 4), np.uint8), 1)
log.close()
print("tensorflow" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")
    assert len(list(events(tmp_path))) == 4


def test_without_the_package_a_line_says_that_there_are_no_event_files(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)  # it cannot be imported
    flags = ("--model", "fc", "--limit", 100, "--epochs", 1, "--quiet")
    code, out, err = command("train", *flags, "--out", tmp_path / "run", capsys=capsys)
    assert code == 0 and "test/clean" in out
    assert err.startswith("no event files for TensorBoard: ") and err.count("\n") == 1
    assert "tensorboard is not installed; it comes with the extra `course`" in err
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert "tensorboard" not in names and "record.json" in names
    more = ("--no-tensorboard", "--out", tmp_path / "off")
    assert command("train", *flags, *more, capsys=capsys)[2] == ""
    with pytest.raises(ModuleNotFoundError, match="tensorboard is not installed"):
        run_folder.train(FC, 0, tmp_path / "asked", tensorboard=True)


def test_the_sampled_box_is_drawn_where_it_was_read():
    from stn_course.analysis.predictions import Predictions

    box = np.float32([[[[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]]])
    image = np.zeros((1, 28, 28), np.uint8)
    seen = Predictions(image, image, box, np.zeros(1, int), np.ones((1, 10)), np.zeros(1))
    (picture,) = tensorboard.with_boxes(seen)
    red = picture[:, :, 0] > 200
    ys, xs = np.nonzero(red)
    assert (xs.min(), ys.min()) == pytest.approx((28, 28), abs=2)
    assert (xs.max(), ys.max()) == pytest.approx((84, 84), abs=2)
    assert not red[40:70, 40:70].any()


def test_the_configuration_is_written_before_the_first_step(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_folder.Checkpoints, "step", stop)
    with pytest.raises(KeyboardInterrupt):
        run_folder.train(FC, 3, tmp_path)
    assert run_folder.read_config(tmp_path) == (FC, 3)
    with pytest.raises(FileNotFoundError, match="checkpoint.pt does not exist"):
        list(report.measure_run(tmp_path))


def test_a_refused_resume_leaves_the_configuration_alone(tmp_path):
    run_folder.train(FC, 0, tmp_path)
    with pytest.raises(ValueError, match="lr=0.001 there"):
        run_folder.train(dataclasses.replace(FC, lr=0.5), 0, tmp_path, resume=True)
    assert run_folder.read_config(tmp_path) == (FC, 0)


def test_a_run_goes_on_with_what_its_configuration_says(tmp_path):
    config = dataclasses.replace(FC, options={"normalise": (0.1, 0.3)})  # JSON makes it a list
    record = run_folder.train(config, 5, tmp_path)
    again = run_folder.train(*run_folder.resumed(tmp_path, {}, None), tmp_path, resume=True)
    assert again.hashes == record.hashes and again.seed == 5
    longer, seed = run_folder.resumed(tmp_path, {"epochs": 3, "tests": ["clean"]}, 5)
    assert (longer.epochs, longer.options, seed) == (3, {"normalise": [0.1, 0.3]}, 5)
    for given, wanted_seed, message in [
        ({"options": {}}, None, r"config.json: options=.*0.3\]} there and {} here"),
        ({"epochs": 3, "lr": 0.5, "batch_size": 7}, None, "json: batch_size=50 there and 7 here$"),
        ({}, 6, "seed=5 there and 6 here"),
    ]:
        with pytest.raises(ValueError, match=message):
            run_folder.resumed(tmp_path, given, wanted_seed)
    with pytest.raises(FileNotFoundError, match="nothing was trained there"):
        run_folder.resumed(tmp_path / "nowhere", {}, None)


@pytest.mark.parametrize("finished", [False, True])
def test_a_run_in_keras_does_not_go_on_in_torch(tmp_path, finished, capsys):
    run_folder.write_config(tmp_path, FC, 0, None, framework="keras")
    if finished:
        checkpoints.save_weights(tmp_path / run_folder.WEIGHTS, build(FC))
        with pytest.raises(FileExistsError, match="holds a run in Keras; name another --out$"):
            run_folder.train(FC, 0, tmp_path)
    code, _, err = command("train", "--resume", "--out", tmp_path, capsys=capsys)
    assert code == 2 and f"cannot resume from {tmp_path}: it is a run in Keras" in err
    with pytest.raises(ValueError, match="it is a run in Keras, which keeps no state"):
        run_folder.train(FC, 0, tmp_path, resume=True)
    assert not run_folder.has_checkpoint(tmp_path)


@pytest.mark.parametrize("config", [STN, FC], ids=["stn", "fc"])
def test_test_counts_confusions_with_the_truth_in_rows(tmp_path, config, capsys):
    record = run_folder.train(config, 0, tmp_path)
    code, out, _ = command("test", tmp_path, "--images", "--limit", 60, capsys=capsys)
    assert code == 0 and "/ 60" in out and "index.html" in out
    folder = tmp_path / "test-clean"
    rows = table(folder / "confusion.csv")
    truth = torch.bincount(mnist("test").labels[:60], minlength=10).tolist()
    assert [sum(int(r[str(k)]) for k in range(10)) for r in rows] == truth
    assert all(mpimg.imread(folder / n).ndim == 3 for n in ("confusion.png", "by_class.png"))
    assert len(list((folder / "input").iterdir())) == 60
    first = mpimg.imread(folder / "input" / "00000.png")
    assert np.array_equal(np.rint(first * 255), mnist("test").images[0, 0].numpy())
    assert (folder / "output").is_dir() == (config is STN)
    code, out, _ = command("test", tmp_path, capsys=capsys)
    result = record.results["test/clean"]
    assert f"{result['correct']} / {result['total']}" in out
    diagonal = sum(int(r[r["truth"]]) for r in table(folder / "confusion.csv"))
    assert diagonal == result["correct"]


def test_an_earlier_checkpoint_can_be_measured(tmp_path, capsys):
    run_folder.train(FC, 0, tmp_path, keep_every=1)
    words = ("test", tmp_path, "--split", "valid")
    first = command(*words, "--checkpoint", tmp_path / "epoch_0001.pt", capsys=capsys)[1]
    last = command(*words, "--checkpoint", tmp_path / "epoch_0002.pt", capsys=capsys)[1]
    assert "checkpoint: 1 of 2 epochs are complete" in first and "complete" not in last
    whole = command(*words, capsys=capsys)[1]

    def said(text):  # the numbers, without the page's name
        return [line.rsplit("   ", 1)[0] for line in text.splitlines()]

    assert said(whole) == said(last) and said(first)[1] != said(last)[0]
    kept = sorted(p.name for p in tmp_path.glob("valid-*"))  # none replaced another
    assert kept == ["valid-clean", "valid-clean-epoch_0001", "valid-clean-epoch_0002"]
    command(*words, "--out", tmp_path / "elsewhere", capsys=capsys)
    assert (tmp_path / "elsewhere" / "valid-clean" / "confusion.csv").exists()


def test_all_checkpoints_draw_the_learning_chart(tmp_path, capsys):
    record = run_folder.train(FC, 0, tmp_path, keep_every=1)
    code, _, _ = command("test", tmp_path, "--all-checkpoints", capsys=capsys)
    rows = table(tmp_path / "learning.csv")
    assert code == 0 and mpimg.imread(tmp_path / "learning.png").ndim == 3
    assert [(r["epoch"], r["split"], r["total"]) for r in rows] == [
        ("1", "train", "100"),
        ("1", "valid", "300"),
        ("2", "train", "100"),
        ("2", "valid", "300"),
    ]
    valid = [100 * int(r["correct"]) / 300 for r in rows if r["split"] == "valid"]
    assert valid == record.curves["valid_accuracy"]
    losses = [float(r["loss"]) for r in rows if r["split"] == "valid"]
    assert losses == pytest.approx(record.curves["valid_loss"])
    command("test", tmp_path, "--all-checkpoints", "--split", "test", capsys=capsys)
    assert [r["split"] for r in table(tmp_path / "learning.csv")] == ["train", "valid", "test"] * 2
    command("test", tmp_path, "--all-checkpoints", "--limit", 50, capsys=capsys)
    assert {r["total"] for r in table(tmp_path / "learning.csv")} == {"50"}


def test_checkpoints_cut_anywhere_are_called_broken(tmp_path):
    run_folder.train(FC, 0, tmp_path)
    whole = (tmp_path / "checkpoint.pt").read_bytes()
    for cut in [0, 1, 100, *range(1000, len(whole), len(whole) // 40), len(whole) - 1]:
        (tmp_path / "cut.pt").write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="cut.pt is not a whole checkpoint"):
            checkpoints.read_checkpoint(tmp_path / "cut.pt")
    for name in ("config.json", "weights.safetensors", "history.png"):
        (tmp_path / "other.pt").write_bytes((tmp_path / name).read_bytes())
        with pytest.raises(ValueError, match="other.pt is not a whole checkpoint"):
            checkpoints.read_checkpoint(tmp_path / "other.pt")


def test_wrong_folders_and_checkpoints_get_one_line(tmp_path, capsys):
    run = tmp_path / "run"
    run_folder.train(FC, 0, run)
    run_folder.train(STN, 0, tmp_path / "other")
    wide = dataclasses.replace(FC, options={"width": 64})
    run_folder.train(wide, 0, tmp_path / "wide")
    half = tmp_path / "half.pt"
    half.write_bytes((run / "checkpoint.pt").read_bytes()[:5000])
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "config.json").write_text('{"model": ')
    unknown = tmp_path / "unknown"
    unknown.mkdir()
    (unknown / "config.json").write_text(json.dumps({"colour": 1, "seed": 0}))
    for words, message in [
        ([tmp_path / "nowhere"], "nothing was trained there"),
        ([damaged], "is not the configuration of a run"),
        ([unknown], "is not the configuration of a run"),
        ([run, "--checkpoint", tmp_path / "no.pt"], "no.pt does not exist"),
        ([run, "--checkpoint", half], "is not a whole checkpoint"),
        ([run, "--checkpoint", tmp_path / "other" / "checkpoint.pt"], "is of model='stn-small'"),
        ([run, "--checkpoint", tmp_path / "wide" / "checkpoint.pt"], "does not fit this model"),
        ([run, "--all-checkpoints"], "train with --keep-every N"),
        ([run, "--all-checkpoints", "--images"], "or --split test: no --images"),
        ([run, "--device", "abacus"], "device='abacus' is unknown; wanted cpu, cuda, or"),
        ([run, "--all-checkpoints", "--device", "abacus"], "device='abacus' is unknown"),
    ]:
        code, _, err = command("test", *words, capsys=capsys)
        assert code == 2 and message in err, (words, err)
        assert len(err.strip().splitlines()) == 1
