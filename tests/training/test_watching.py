"""What one watches of a run: the bar, history.csv and its chart, losses beside counts."""

import csv
import dataclasses

import pytest
import torch

from stn_course.analysis import run_plots
from stn_course.analysis.accuracy import evaluate
from stn_course.data import Digits
from stn_course.models.losses import mean_loss
from stn_course.training import checkpoints, datasets, listeners, report, run_folder
from stn_course.training.config import Config
from stn_course.training.listeners import HistoryCsv, Listener, ProgressBar
from stn_course.training.loop import fit
from tests.support import events, first_digits

FC = Config(model="fc", limit=120, epochs=2, batch_size=50, precision="float32")


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    monkeypatch.setattr(datasets, "mnist", first_digits(150))


def history(folder):
    with open(folder / "history.csv", newline="") as file:
        return [
            {name: float(value or "nan") for name, value in row.items()}
            for row in csv.DictReader(file)
        ]


class Counted(Listener):
    """Counts on its own what each batch of an epoch was read as, with the weights before it."""

    def start(self, run):
        self.right, self.seen, self.before = (
            0,
            [],
            evaluate(run.model, run.valid.images, run.valid.labels),
        )
        self.model, step = run.model, run.step

        def learn(x, y, motion, learn=step.learn):
            state = torch.get_rng_state()
            with torch.no_grad():
                logits = run.model(x)
            torch.set_rng_state(state)
            self.right += int((logits.argmax(-1) == y).sum())
            assert torch.equal(mean_loss(logits, y), loss := learn(x, y, motion))
            return loss

        step.learn = learn

    def epoch(self, run):
        self.seen.append(100 * self.right / run.answers)
        self.right = 0


@pytest.mark.parametrize("change", [{}, {"distort": "addition", "tests": ("addition",)}])
def test_history_has_epoch_0_and_the_accuracy_of_training_as_it_went(change, tmp_path):
    counted = Counted()
    config = dataclasses.replace(FC, **change)
    _, record = fit(config, 1, [counted, HistoryCsv(tmp_path)])
    rows = history(tmp_path)
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert list(rows[0])[1:] == ["train_loss", "train_accuracy", "valid_loss", "valid_accuracy"]
    assert [row["train_accuracy"] for row in rows[1:]] == pytest.approx(counted.seen, abs=1e-3)
    for name in ("train_loss", "valid_loss", "valid_accuracy"):
        assert [row[name] for row in rows[1:]] == pytest.approx(record.curves[name], rel=1e-5)
    before = counted.before
    assert rows[0]["valid_loss"] == pytest.approx(before["loss"], rel=1e-5)
    assert rows[0]["valid_accuracy"] == pytest.approx(100 * before["correct"] / before["total"])
    assert 0 <= rows[0]["train_accuracy"] < 40 and rows[0]["train_loss"] > 2


def test_watching_changes_no_bit_and_leaves_the_record_alone(tmp_path):
    config = dataclasses.replace(FC, distort="pose")
    _, plain = fit(config, 2)
    _, watched = fit(config, 2, [HistoryCsv(tmp_path), ProgressBar(1)])
    assert watched.repeatable() == plain.repeatable()
    assert set(plain.curves) == {"train_loss", "valid_accuracy", "valid_loss"}


def test_rows_of_digits_are_counted_by_the_digit(tmp_path):
    config = dataclasses.replace(
        FC, model="rnn-spn", distort="sequences", tests=(), limit=20, batch_size=10, epochs=1
    )
    counted = Counted()
    with pytest.MonkeyPatch.context() as patch:
        valid = Digits(torch.zeros(10, 1, 100, 100), torch.zeros(10, 3, dtype=torch.long), "")
        patch.setattr("stn_course.training.run.test_set", lambda *_: valid)
        fit(config, 0, [counted, HistoryCsv(tmp_path)])
    assert history(tmp_path)[1]["train_accuracy"] == pytest.approx(counted.seen[0], abs=1e-3)


class Stop(Listener):
    def step(self, run):
        if run.state.step == 5:
            raise KeyboardInterrupt


def test_a_stopped_run_has_its_history_and_a_resumed_one_all_of_it(tmp_path):
    run_folder.train(FC, 3, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run_folder.train(FC, 3, tmp_path / "run", [Stop()], save_every=1)
    whole = history(tmp_path / "whole")
    assert history(tmp_path / "run") == whole[:2]
    run_folder.train(FC, 3, tmp_path / "run", resume=True)
    assert history(tmp_path / "run") == whole


def test_a_checkpoint_from_before_has_no_accuracy_of_training(tmp_path):
    run_folder.train(dataclasses.replace(FC, epochs=1), 3, tmp_path)
    found = checkpoints.read_checkpoint(tmp_path)
    for young in ("train_accuracy", "right_sum", "before", "start"):
        del found["state"][young]
    torch.save(found, tmp_path / "checkpoint.pt")
    run_folder.train(FC, 3, tmp_path, resume=True)
    one, two = history(tmp_path)
    assert one["epoch"] == 1 and one["train_accuracy"] != one["train_accuracy"]
    assert two["train_loss"] > 0


def test_the_bar_says_loss_and_accuracy_at_every_log_step(monkeypatch):
    said = []

    class Bar:
        def __init__(self, **_):
            pass

        def update(self):
            pass

        def set_postfix(self, told):
            said.append(dict(told))

        close = update

    monkeypatch.setattr(listeners, "tqdm", Bar)
    losses = []

    class Losses(Listener):
        def step(self, run):
            losses.append((f"{run.loss.item():.4f}", f"{run.accuracy:.1f} %"))

    fit(FC, 0, [Losses(), ProgressBar(2)])  # three steps an epoch
    told = [(each["loss"], each["accuracy"]) for each in said if "loss" in each]
    assert [told[0], told[2], told[3]] == [losses[1], losses[3], losses[5]]
    assert said[-1]["valid"].endswith(" %") and len(said) == 3 + 2


def test_the_chart_has_training_beside_validation():
    columns = {"train_loss": [2.0, 1.0], "train_accuracy": [10.0, 50.0], "valid_loss": [2.0, 1.5]}
    figure = run_plots.history([0, 1], columns | {"valid_accuracy": [9.0, 60.0], "iou": [0.5, 0.7]})
    panels = {
        ax.get_ylabel(): {line.get_label(): list(line.get_ydata()) for line in ax.lines}
        for ax in figure.axes
    }
    assert panels["loss"] == {"train": [2.0, 1.0], "valid": [2.0, 1.5]}
    assert panels["accuracy (%)"] == {"train": [10.0, 50.0], "valid": [9.0, 60.0]}
    assert list(panels) == ["loss", "accuracy (%)", "iou"]


def test_losses_stand_beside_counts_and_a_limit_goes_for_what_is_measured(tmp_path, capsys):
    config = dataclasses.replace(FC, epochs=1, limit_measured=30)
    record = run_folder.train(config, 0, tmp_path, keep_every=1)
    result = record.results["test/clean"]
    assert result["total"] == record.results["valid/clean"]["total"] == 30
    line, _ = report.measure_run(tmp_path)
    assert line.startswith(f"test/clean     {result['correct']} / 30, loss {result['loss']:.4f}")
    *lines, chart = report.all_checkpoints(tmp_path)
    assert all(", loss " in each for each in lines)
    shown = {}
    for event in events(tmp_path / "tensorboard" / "checkpoints"):
        for value in event.summary.value:
            shown[value.tag] = event.step, value.simple_value
    list(report.all_checkpoints(tmp_path))  # once more does not draw them twice
    assert len(list((tmp_path / "tensorboard" / "checkpoints").iterdir())) == 1
    rows = list(csv.DictReader((tmp_path / "learning.csv").read_text().splitlines()))
    assert [(row["split"], row["total"]) for row in rows] == [("train", "30"), ("valid", "30")]
    assert shown == {
        f"{name}/{row['split']}": (1, pytest.approx(value, rel=1e-5))
        for row in rows
        for name, value in (
            ("loss", float(row["loss"])),
            ("accuracy", 100 * int(row["correct"]) / int(row["total"])),
        )
    }
    with pytest.raises(ValueError, match="limit_measured=0; wanted at least 1"):
        dataclasses.replace(FC, limit_measured=0)
