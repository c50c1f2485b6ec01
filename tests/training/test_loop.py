"""The loop: same seed same bits, resumed runs, schedules, clear errors."""

import dataclasses
import math
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from stn_course import data
from stn_course.analysis.accuracy import evaluate
from stn_course.data import Digits, freeze
from stn_course.data.digits import sample
from stn_course.data.seeding import FREEZE, INIT, ORDER, STEP, TEST, stream
from stn_course.training import checkpoints, datasets, listeners, optimisation, run, step
from stn_course.training.config import Config, build
from stn_course.training.listeners import Checkpoints, EachEpoch, Listener
from stn_course.training.loop import fit
from stn_course.training.optimisation import make_optimizer
from stn_course.training.record import dumps, loads
from stn_course.training.run import weights_sha256
from stn_course.training.step import low_precision
from tests.support import offline

TINY = Config(model="fc", limit=300, epochs=2, batch_size=50, precision="float32")


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    """At most 3000 digits to learn from, and 300 to be measured on: that is enough for any test."""

    def few(split, whole=data.mnist):
        digits, n = whole(split), 3000 if split == "train" else 300
        return Digits(digits.images[:n], digits.labels[:n], digits.source)

    monkeypatch.setattr(datasets, "mnist", few)


def test_same_seed_same_record_bit_for_bit():
    config = dataclasses.replace(TINY, distort="pose")
    before = torch.get_rng_state()
    (model, first), (_, second), (_, other) = (fit(config, seed) for seed in (1, 1, 2))
    assert first.repeatable() == second.repeatable()
    assert first.hashes != other.hashes
    assert torch.equal(before, torch.get_rng_state())
    assert not model.training
    assert first.hashes["weights"] == weights_sha256(model)
    assert len(first.curves["train_loss"]) == len(first.curves["valid_accuracy"]) == 2
    assert set(first.results) == {"valid/clean", "test/clean"}


@pytest.mark.parametrize("model", ["fc", "cnn"])
def test_it_learns(model):
    _, record = fit(dataclasses.replace(TINY, model=model, limit=3000, epochs=3))
    assert record.accuracy("test/clean") > 75
    assert record.curves["train_loss"][-1] < 0.6 * record.curves["train_loss"][0]


def test_stopped_between_and_within_epochs_and_resumed_gives_the_same_bits(tmp_path, monkeypatch):
    config = dataclasses.replace(TINY, distort="hard", epochs=3, optimizer="sgd", momentum=0.9)
    _, whole = fit(config, 4)
    for stop_after in (1, 6, 8, 17):  # steps; an epoch has 6
        folder = tmp_path / str(stop_after)
        steps = 0

        def interrupt(*arguments, save=checkpoints.save_checkpoint, after=stop_after):
            nonlocal steps
            save(*arguments)
            steps = arguments[-1]["step"]
            if steps >= after:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(listeners, "save_checkpoint", interrupt)
            fit(config, 4, [Checkpoints(folder, 1)])
        assert steps == stop_after
        _, resumed = fit(config, 4, [Checkpoints(folder)], resume=folder)
        assert resumed.repeatable() == whole.repeatable()


def test_killed_at_random_moments_it_ends_as_one_left_alone(tmp_path, monkeypatch):
    """SIGKILL, as a closed laptop or a pre-empted machine would: no chance to tidy up.

    What a kill at a chosen step leaves is tested with `tools/same_bits.py`.
    """
    words = (
        "-m stn_course train --model fc --distort hard --epochs 2 --limit 1500 --batch-size 10 "
        "--precision float32 --threads 1 --save-every 20 --quiet --resume"
    ).split()
    folder = tmp_path / "killed"
    command = [sys.executable, *words, "--out", folder]
    environment = offline(tmp_path / "cache")  # the sample is soon read and measured
    dice = random.Random(11)
    steps = []
    for _ in range(2):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        # Wait for the run to get somewhere new, so that each kill hits it at work.
        before = checkpoint_age(folder)
        while process.poll() is None and checkpoint_age(folder) == before:
            time.sleep(0.005)
        time.sleep(dice.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.wait()
        steps.append(checkpoints.read_checkpoint(folder)["state"]["step"])
    assert steps[0] < steps[1], f"the kills hit the run at {steps}"
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    killed = loads((folder / "record.json").read_text())
    assert done.returncode == 0 and killed.hashes["weights"] in done.stdout

    monkeypatch.setattr(datasets, "mnist", sample)
    config = dataclasses.replace(TINY, distort="hard", tests=("hard",), limit=1500, batch_size=10)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as there: other sums have other last bits
    try:
        _, alone = fit(config, name="killed")
    finally:
        torch.set_num_threads(before)
    assert loads(dumps(alone)).repeatable() == killed.repeatable()


def checkpoint_age(folder):
    try:
        return (folder / checkpoints.FILE).stat().st_mtime_ns
    except FileNotFoundError:
        return None


def test_bad_checkpoints_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing was trained there"):
        checkpoints.read_checkpoint(tmp_path)
    fit(TINY, 0, [Checkpoints(tmp_path)])
    path = tmp_path / checkpoints.FILE
    with pytest.raises(ValueError, match="cannot resume from .*: lr=0.001 there and 0.5 here"):
        fit(dataclasses.replace(TINY, lr=0.5), 0, [Checkpoints(tmp_path)], resume=tmp_path)
    with pytest.raises(ValueError, match="seed=0 there and 1 here"):
        fit(TINY, 1, [Checkpoints(tmp_path)], resume=tmp_path)
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"not a zip", b""):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="is not a whole checkpoint"):
            fit(TINY, 0, [Checkpoints(tmp_path)], resume=tmp_path)
    torch.save({"a": 1}, path)
    with pytest.raises(ValueError, match="is not a checkpoint of this course"):
        checkpoints.read_checkpoint(tmp_path)


def test_a_record_tells_who_made_each_part_of_a_resumed_run(tmp_path, monkeypatch):
    longest, threads = dataclasses.replace(TINY, epochs=4), torch.get_num_threads()

    def go_on(epochs, commit, resume=tmp_path):
        monkeypatch.setattr(run, "current_commit", lambda: commit)
        config = dataclasses.replace(longest, epochs=epochs)
        return fit(config, 0, [Checkpoints(tmp_path)], resume=resume)[1]

    assert go_on(1, "aaa", None).parts == go_on(2, "aaa").parts == [], "one machine, one code"
    torch.set_num_threads(threads + 1)
    try:
        found = loads(dumps(go_on(3, "aaa")))
    finally:
        torch.set_num_threads(threads)
    assert (found.commit, found.threads) == ("aaa", threads + 1)
    found = loads(dumps(go_on(4, "bbb-dirty")))
    told = [(part["step"], part["commit"], part["threads"]) for part in found.parts]
    assert told == [(0, "aaa", threads), (12, "aaa", threads + 1), (18, "bbb-dirty", threads)]
    assert {part["device"] for part in found.parts} == {"cpu"}
    assert {part["versions"]["torch"] for part in found.parts} == {torch.__version__}
    assert found.commit == "bbb-dirty"
    assert go_on(4, "ccc").parts[-1]["commit"] == "ccc", "it measured, and trained nothing"

    kept = checkpoints.read_checkpoint(tmp_path)
    del kept["state"]["parts"]  # as of a checkpoint from before
    torch.save(kept, tmp_path / checkpoints.FILE)
    assert [part["commit"] for part in go_on(4, "ccc").parts] == ["unknown", "ccc"]


def test_a_finished_run_can_be_made_longer(tmp_path):
    longer = dataclasses.replace(TINY, epochs=4)
    _, whole = fit(longer, 0)
    fit(TINY, 0, [Checkpoints(tmp_path)])
    _, extended = fit(longer, 0, [Checkpoints(tmp_path)], resume=tmp_path)
    assert extended.repeatable() == whole.repeatable()
    with pytest.raises(ValueError, match="it has made 24 steps and these epochs are 12"):
        fit(TINY, 0, [Checkpoints(tmp_path)], resume=tmp_path)


def test_a_run_goes_on_with_the_digits_it_began_with(tmp_path, monkeypatch):
    def from_elsewhere(source):
        def mnist(split, whole=data.mnist):
            return dataclasses.replace(whole(split), source=source)

        return mnist

    longer, shown = dataclasses.replace(TINY, epochs=3), "full MNIST (70 000 digits) from "
    with monkeypatch.context() as patch:
        patch.setattr(datasets, "mnist", from_elsewhere(shown + "cache"))
        fit(TINY, 0, [Checkpoints(tmp_path)])
    with monkeypatch.context() as patch:
        patch.setattr(datasets, "mnist", from_elsewhere("offline sample (5 000 digits)"))
        with pytest.raises(ValueError, match="learned from the full MNIST.*here is the offline"):
            fit(longer, 0, [Checkpoints(tmp_path)], resume=tmp_path)
    monkeypatch.setattr(datasets, "mnist", from_elsewhere(shown + "STN_COURSE_DATA"))  # the same
    assert (
        len(fit(longer, 0, [Checkpoints(tmp_path)], resume=tmp_path)[1].curves["train_loss"]) == 3
    )


@pytest.mark.parametrize(
    "schedule, start, middle, end",
    [
        ("constant", 1, 1, 1),
        ("linear", 1, 0.5, 0),
        ("step", 1, 0.1, 0.01),
        ("cosine", 1, 0.5, 0),
        ("onecycle", 0.01, 0.5 / 0.7, 0.01),
        ("two-phase", 1, 1, 0.1),
    ],
)
def test_schedules(schedule, start, middle, end):
    chosen = dataclasses.replace(TINY, schedule=schedule, lr=2.0)
    got = [optimisation.rate(chosen, p) for p in (0, 0.5, 1 - 1e-9)]
    assert got == pytest.approx([2 * start, 2 * middle, 2 * end], abs=1e-6)


def test_late_decay_divides_after_32_epochs_and_every_12_more():
    chosen = dataclasses.replace(TINY, schedule="late-decay", lr=3.0, epochs=80)
    steps = 80 * 7  # of 7 an epoch: 3 / 7 and the like are not exact
    got = [optimisation.rate(chosen, step / steps) for step in range(steps)]
    drops = [k for k in range(1, steps) if got[k] != got[k - 1]]
    assert drops == [7 * epoch for epoch in (32, 44, 56, 68)]
    assert got[0] == 3.0 and got[-1] == pytest.approx(3.0 / 1.5**4)


def test_two_phases_change_where_an_epoch_ends():
    chosen = dataclasses.replace(TINY, schedule="two-phase", epochs=80)
    got = [optimisation.rate(chosen, step / (80 * 7)) for step in range(80 * 7)]
    assert got.count(1e-3) == 60 * 7 and got.index(pytest.approx(1e-4)) == 60 * 7


def test_clipping_shortens_the_gradient_and_nothing_else():
    sgd = dataclasses.replace(TINY, optimizer="sgd", lr=1.0, limit=50, epochs=1)  # one step
    start = build(sgd)

    def step(clip):
        trained, _ = fit(dataclasses.replace(sgd, clip=clip))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream(INIT, 0))
            start = build(sgd)
        pairs = zip(trained.parameters(), start.parameters(), strict=True)
        return torch.cat([(a - b).flatten() for a, b in pairs]).detach()

    whole, clipped = step(None), step(0.125)
    assert whole.norm() > 0.5 and len(whole) == sum(p.numel() for p in start.parameters())
    torch.testing.assert_close(clipped.norm(), torch.tensor(0.125), rtol=1e-4, atol=0)
    torch.testing.assert_close(clipped / 0.125, whole / whole.norm(), rtol=1e-3, atol=1e-4)
    assert torch.equal(step(1e6), whole)


def scripted(monkeypatch, *correct):
    """Validation counts as they are wanted, an epoch each; the last measuring is as it is."""
    counts = iter(correct)

    def told(model, images, labels, real=evaluate):
        found = real(model, images, labels)
        return found | {"correct": next(counts, found["correct"])}

    monkeypatch.setattr(run, "evaluate", told)


def weights_after(epochs):
    return fit(dataclasses.replace(TINY, epochs=epochs))[1].hashes["weights"]


def test_patience_stops_and_the_best_epoch_is_what_counts(monkeypatch):
    patient = dataclasses.replace(TINY, epochs=9, patience=2)
    second = weights_after(2)
    scripted(monkeypatch, 10, 30, 30, 20, 40, 50)  # the second 30 is no better
    model, record = fit(patient)
    assert record.curves["valid_accuracy"] == pytest.approx(
        [100 * n / 300 for n in (10, 30, 30, 20)]
    )
    assert record.hashes["weights"] == second == weights_sha256(model)


def test_patience_without_need_changes_nothing_but_the_epoch_that_is_kept(monkeypatch):
    rising = dataclasses.replace(TINY, epochs=3, patience=1)
    plain = weights_after(3)
    scripted(monkeypatch, 1, 2, 3)
    assert fit(rising)[1].hashes["weights"] == plain


@pytest.mark.parametrize("stop_after", [6, 12, 15, 18, 22])
def test_a_patient_run_resumes_with_the_same_bits(stop_after, tmp_path, monkeypatch):
    patient = dataclasses.replace(TINY, epochs=9, patience=2)
    counts = (10, 30, 25, 20, 40)  # it stops after four epochs of six steps

    def interrupt(*arguments, save=checkpoints.save_checkpoint):
        save(*arguments)
        if arguments[-1]["step"] >= stop_after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        scripted(patch, *counts)
        _, whole = fit(patient)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        scripted(patch, *counts)
        patch.setattr(listeners, "save_checkpoint", interrupt)
        fit(patient, 0, [Checkpoints(tmp_path, 1)])
    scripted(monkeypatch, *counts[stop_after // 6 :])
    _, resumed = fit(patient, 0, [Checkpoints(tmp_path)], resume=tmp_path)
    assert resumed.repeatable() == whole.repeatable() and len(whole.curves["train_loss"]) == 4
    _, again = fit(
        patient, 0, [Checkpoints(tmp_path)], resume=tmp_path
    )  # it has waited: nothing is trained
    assert again.hashes == whole.hashes and again.curves == whole.curves


def test_two_phases_by_hand_are_the_scheduled_ones_bit_for_bit(tmp_path):
    """LJ's user trains for 60 epochs, then to 80 at a tenth of the rate; here for 3 and to 4."""
    base = dataclasses.replace(TINY, model="stn-small", limit=100, lr_localiser=2e-4)
    _, scheduled = fit(dataclasses.replace(base, epochs=4, schedule="two-phase"), 1)
    first = dataclasses.replace(base, epochs=3)
    fit(first, 1, [Checkpoints(tmp_path, 1)])
    then = dataclasses.replace(base, epochs=4, lr=base.lr * 0.1, lr_localiser=2e-4 * 0.1)

    class Stop(Listener):
        def step(self, run):
            if run.state.step == 7:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # within the second phase
        fit(then, 1, [Checkpoints(tmp_path, 1), Stop()], resume=tmp_path)
    _, by_hand = fit(then, 1, [Checkpoints(tmp_path)], resume=tmp_path)
    assert by_hand.hashes == scheduled.hashes
    assert (by_hand.curves, by_hand.results) == (scheduled.curves, scheduled.results)
    assert by_hand.phases == [
        {"epoch": 0, "lr": 1e-3, "lr_localiser": 2e-4},
        {"epoch": 3, "lr": then.lr, "lr_localiser": then.lr_localiser},
    ]
    assert loads(dumps(by_hand)).phases == by_hand.phases
    assert '"phases"' not in dumps(scheduled)


def test_a_new_phase_needs_a_finished_one_and_the_refusal_names_what_may_not_differ(tmp_path):
    class Stop(Listener):
        def epoch(self, run):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(TINY, 0, [Checkpoints(tmp_path), Stop()])
    longer = dataclasses.replace(TINY, epochs=3, lr=1e-4)
    with pytest.raises(ValueError, match="lr=0.001 there and 0.0001 here; .* 1 of 2 epochs"):
        fit(longer, 0, resume=tmp_path)
    with pytest.raises(ValueError, match="and 0.5 here; with more epochs it would be a new phase"):
        fit(dataclasses.replace(TINY, lr=0.5), 0, resume=tmp_path)
    with pytest.raises(ValueError, match="resume from [^:]*: batch_size=50 there and 60 here$"):
        fit(dataclasses.replace(longer, batch_size=60), 0, resume=tmp_path)


@pytest.mark.parametrize(("was", "now"), [(None, 1e-4), (1e-4, None), (1e-4, 2e-4)])
def test_a_localiser_gets_or_loses_a_rate_of_its_own_in_no_phase(tmp_path, was, now):
    class Stop(Listener):
        def epoch(self, run):
            raise KeyboardInterrupt

    config = dataclasses.replace(TINY, model="stn-small", limit=50, lr_localiser=was)
    with pytest.raises(KeyboardInterrupt):
        fit(config, 0, [Checkpoints(tmp_path), Stop()])
    both = was is not None and now is not None
    for epochs, why in [(2, "; with more epochs it would be"), (3, "; that is a new phase, and 1")]:
        other = dataclasses.replace(config, epochs=epochs, lr_localiser=now)
        told = f": lr_localiser={was} there and {now} here{why if both else '$'}"
        with pytest.raises(ValueError, match=told):
            fit(other, 0, resume=tmp_path)


def test_what_each_epoch_measures_joins_the_curves_and_resumes(tmp_path):
    def seen(model, device):
        return {"bias": sum(p.sum().item() for p in model.parameters()), "mode": model.training}

    _, whole = fit(TINY, 0, [EachEpoch(seen)])
    assert len(set(whole.curves["bias"])) == 2 and whole.curves["mode"] == [True, True]
    fit(dataclasses.replace(TINY, epochs=1), 0, [EachEpoch(seen), Checkpoints(tmp_path)])
    with pytest.raises(ValueError, match=r"it measured \['bias', 'mode'\]; EachEpoch must"):
        fit(TINY, 0, [Checkpoints(tmp_path)], resume=tmp_path)
    _, resumed = fit(TINY, 0, [EachEpoch(seen), Checkpoints(tmp_path)], resume=tmp_path)
    assert resumed.repeatable() == whole.repeatable()
    fit(dataclasses.replace(TINY, epochs=1), 0, [Checkpoints(tmp_path / "plain")])
    with pytest.raises(ValueError, match="it measured nothing; EachEpoch must"):
        fit(TINY, 0, [EachEpoch(seen), Checkpoints(tmp_path / "plain")], resume=tmp_path / "plain")


def test_frozen_mixture_is_twice_as_long_and_differs_by_seed():
    config = dataclasses.replace(TINY, distort="hard", frozen=True, with_clean=True, limit=20)
    images, labels, _ = datasets.training_set(config, 0, torch.device("cpu"))
    assert len(images) == len(labels) == 40
    assert torch.equal(labels[:20], labels[20:])
    other, _, _ = datasets.training_set(config, 1, torch.device("cpu"))
    assert torch.equal(images[20:], other[20:]) and not torch.equal(images[:20], other[:20])


def test_frozen_images_are_those_of_their_stream():
    frozen_set = dataclasses.replace(TINY, distort="hard", frozen=True, limit=20)
    images, _, _ = datasets.training_set(frozen_set, 3, torch.device("cpu"))
    digits = data.mnist("train")
    made, _ = freeze("hard", digits.images[:20], digits.labels[:20], stream(FREEZE, 3))
    assert torch.equal(images, made.images)


def test_streams_are_those_of_all_records():
    """Another number here, and no record can be made again."""
    purposes = (INIT, ORDER, STEP, FREEZE, TEST)
    assert [stream(purpose, 5) for purpose in purposes] == [
        6102389744414414618,
        7576354313457842240,
        5427724551688137788,
        4895867234429419378,
        3231083887314771683,
    ]
    assert stream(ORDER, 5, 2) == 5503585990081701751


def test_batches_come_in_an_order_of_their_seed_and_their_epoch():
    def order(seed, epoch):
        one = run.Run(dataclasses.replace(TINY, limit=103, batch_size=10, epochs=9), seed)
        one.begin()
        one.state.step = 11 * epoch
        return one.batches()

    assert [len(index) for index in order(1, 2)] == [10] * 10 + [3]
    one, again, other_seed, other_epoch = (
        torch.cat(order(*key)).tolist() for key in ((1, 2), (1, 2), (2, 2), (1, 3))
    )
    assert sorted(one) == list(range(103)) and one == again
    assert one != other_seed and one != other_epoch and one != sorted(one)


def test_the_training_loss_is_the_mean_over_images_also_with_a_short_last_batch():
    class Losses(Listener):
        heard: list = []

        def step(self, run):
            self.heard.append(run.loss.item())

    short = dataclasses.replace(TINY, limit=120, epochs=1)  # batches of 50, 50 and 20
    _, record = fit(short, 0, [Losses()])
    a, b, c = Losses.heard
    assert record.curves["train_loss"] == pytest.approx([(50 * a + 50 * b + 20 * c) / 120])


def test_test_sets_are_the_same_for_every_run_and_differ_by_split():
    cpu = torch.device("cpu")
    first = datasets.test_set("test", "hard", cpu).images
    assert torch.equal(first, datasets.test_set("test", "hard", cpu).images)
    assert not torch.equal(first, datasets.test_set("test", "mild", cpu).images)


@pytest.mark.parametrize(
    "name, model, shape",
    [
        ("hr", "hr", (1, 40, 40)),
        ("rts", "fc", (1, 42, 42)),
        ("r", "tutorial", (1, 28, 28)),
        ("p", "stn-small", (1, 28, 28)),
        ("e", "stn-fc", (1, 28, 28)),
        ("tc", "stn-small", (1, 60, 60)),
    ],
)
def test_every_recipe_trains_and_its_canvas_reaches_the_network(name, model, shape):
    config = dataclasses.replace(TINY, distort=name, model=model, limit=60, tests=("clean", name))
    assert config.shape == shape
    trained, record = fit(config)
    assert set(record.results) == {f"{s}/{t}" for s in ("valid", "test") for t in ("clean", name)}
    assert trained(torch.rand(2, *shape)).shape == (2, 10)


def test_addition_trains_with_two_channels_and_nineteen_classes():
    config = dataclasses.replace(TINY, distort="addition", tests=("addition",), limit=100)
    model, record = fit(config)
    assert model(torch.rand(2, 2, 42, 42)).shape == (2, 19)
    held = datasets.test_set("test", "addition", torch.device("cpu"))
    assert held.images.shape[1:] == (2, 42, 42) and held.labels.max() > 9
    frozen = dataclasses.replace(config, frozen=True)
    images, labels, _ = datasets.training_set(frozen, 0, torch.device("cpu"))
    assert images.shape == (100, 2, 42, 42) and labels.max() > 9


def test_clean_images_get_a_black_frame():
    cpu = torch.device("cpu")
    clean = datasets.test_set("test", "clean", cpu).images
    wide = datasets.test_set("test", "clean", cpu, (1, 42, 41)).images
    assert wide.shape[1:] == (1, 42, 41) and torch.equal(wide[..., 7:35, 6:34], clean)
    assert wide[:100].sum() == clean[:100].sum()
    config = dataclasses.replace(TINY, distort="hr", frozen=True, with_clean=True, limit=20)
    images, _, _ = datasets.training_set(config, 0, cpu)
    assert images.shape == (40, 1, 40, 40) and not images[20:, :, :6].any()


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
@pytest.mark.parametrize("rate", [0.0, 1e-2])
def test_the_localiser_has_a_rate_of_its_own(optimizer, rate):
    base = dataclasses.replace(TINY, model="stn-small", limit=100, optimizer=optimizer, epochs=1)
    changed = dataclasses.replace(base, lr_localiser=rate, schedule="linear")
    start = build(base)
    made = make_optimizer(changed, start)
    assert [g["scale"] for g in made.param_groups] == [1.0, rate / base.lr]
    inside = {id(p) for p in start[0].parameters()}
    assert {id(p) for p in made.param_groups[1]["params"]} == inside
    assert sum(len(g["params"]) for g in made.param_groups) == len(list(start.parameters()))
    trained, _ = fit(changed)
    moved = not torch.equal(trained[0].head[0].bias.detach(), torch.tensor([1.0, 0, 0, 0, 1, 0]))
    assert moved == (rate > 0)
    assert not torch.equal(fit(base)[0][0].head[0].bias, trained[0].head[0].bias)


@pytest.mark.parametrize("rate", [None, 1e-4])
def test_biases_and_norms_do_not_decay(rate):
    change = {"model": "stn-small", "weight_decay": 0.1, "lr_localiser": rate, "limit": 100}
    model = build(dataclasses.replace(TINY, **change))
    made = make_optimizer(dataclasses.replace(TINY, **change), model)
    decays = {id(p): g["weight_decay"] for g in made.param_groups for p in g["params"]}
    assert len(decays) == len(list(model.parameters()))
    for name, p in model.named_parameters():
        assert decays[id(p)] == (0.1 if p.ndim > 1 else 0.0), name
    fit(dataclasses.replace(TINY, **change, epochs=1))


@pytest.mark.parametrize(("optimizer", "usual"), [("adam", 1e-8), ("rmsprop", 1e-8)])
def test_epsilon_reaches_the_optimiser(optimizer, usual):
    for epsilon in (None, 3e-3):
        changed = dataclasses.replace(TINY, optimizer=optimizer, epsilon=epsilon)
        made = make_optimizer(changed, build(changed))
        assert made.defaults["eps"] == (epsilon or usual)


def test_a_run_with_two_rates_resumes_with_the_same_bits(tmp_path):
    two = dataclasses.replace(TINY, model="stn-small", distort="rts", lr_localiser=1e-4, limit=100)
    _, whole = fit(dataclasses.replace(two, epochs=2))
    fit(dataclasses.replace(two, epochs=1), 0, [Checkpoints(tmp_path)])
    _, resumed = fit(
        dataclasses.replace(two, epochs=2), 0, [Checkpoints(tmp_path)], resume=tmp_path
    )
    assert resumed.repeatable() == whole.repeatable()


def test_a_configuration_from_before_the_second_rate_still_counts(tmp_path):
    _, record = fit(TINY, 0, [Checkpoints(tmp_path)])
    old = {k: v for k, v in record.config.items() if k not in ("lr_localiser", "bf16")}
    assert Config(**old) == TINY
    path = tmp_path / checkpoints.FILE
    found = torch.load(path)
    del found["config"]["lr_localiser"]
    torch.save(found, path)
    _, again = fit(TINY, 0, [Checkpoints(tmp_path)], resume=tmp_path)
    assert again.repeatable() == record.repeatable()


def test_low_precision_trains_with_float32_weights():
    config = dataclasses.replace(TINY, model="cnn", precision="bf16", limit=1000)
    model, record = fit(config)
    assert record.config["bf16"] is True
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert record.accuracy("test/clean") > 40


def test_auto_is_float32_where_there_is_no_bf16(monkeypatch):
    # Apple's builds of torch have no oneDNN: neither it nor the operator that asks it.
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(torch.ops, "mkldnn", None)
    assert fit(dataclasses.replace(TINY, precision="auto"))[1].config["bf16"] is False


def test_auto_is_float32_where_bf16_is_only_emulated(monkeypatch):
    auto = dataclasses.replace(TINY, precision="auto")
    asked = [torch.ops.mkldnn._is_mkldnn_bf16_supported(), torch.cpu._is_avx512_bf16_supported()]
    monkeypatch.setattr(step.platform, "machine", lambda: "x86_64")
    assert low_precision(auto, torch.device("cpu")) is all(asked)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert low_precision(auto, torch.device("cpu")) is False


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam", "sgd"])
def test_a_checkpoint_from_a_gpu_goes_on_here(optimizer, tmp_path):
    config = dataclasses.replace(TINY, optimizer=optimizer)
    fit(config, 0, [Checkpoints(tmp_path)])
    longer = dataclasses.replace(config, epochs=3)
    _, whole = fit(longer)
    path = tmp_path / checkpoints.FILE
    found = torch.load(path)
    for group in found["optimizer"]["param_groups"]:  # as a CUDA graph wants them
        group["lr"] = torch.tensor(group["lr"])
        if "capturable" in group:
            group["capturable"] = True
    torch.save(found, path)
    _, resumed = fit(longer, 0, [Checkpoints(tmp_path)], resume=tmp_path)
    assert resumed.hashes == whole.hashes


@pytest.mark.parametrize(
    "change, message",
    [
        ({"momentum": 0.9}, "momentum=0.9, optimizer='adam'; wanted sgd or rmsprop"),
        ({"model": "nope"}, "model='nope' is unknown; wanted one of fc"),
        ({"optimizer": "lbfgs"}, "optimizer='lbfgs' is unknown; wanted one of adam"),
        ({"schedule": "up"}, "schedule='up' is unknown"),
        ({"precision": "int4"}, "precision='int4' is unknown"),
        ({"distort": "melt"}, "data .distort. or tests='melt' is unknown"),
        ({"tests": ["melt"]}, "data .distort. or tests='melt' is unknown"),
        ({"train_on": "test"}, "train_on='test' is unknown"),
        ({"epochs": 0}, "epochs=0; wanted a whole number, at least 1"),
        ({"lr": 0.0}, "lr=0.0; wanted a positive rate"),
        ({"lr": float("nan")}, "lr=nan; wanted a positive rate"),
        ({"lr": float("inf")}, "lr=inf; wanted a positive rate"),
        ({"lr": 1e30}, "lr=1e.30; wanted a positive rate, at most 1e.06"),
        (
            {"lr_localiser": 1e30, "model": "stn-small"},
            "lr_localiser=1e.30; wanted a rate, .*at most",
        ),
        ({"weight_decay": 1e30}, "weight_decay=1e.30; wanted 0 or more, at most 1e.06"),
        ({"epsilon": 1e30}, "epsilon=1e.30, .*; wanted None, or a number above 0 .* at most 1e.06"),
        ({"pose_weight": 1e30, "distort": "hard"}, "pose_weight=1e.30; wanted 0, or up to 1e.06"),
        ({"clip": 1e30}, "clip=1e.30; wanted a positive length, .*at most 1e.06"),
        ({"momentum": float("nan")}, "momentum=nan; wanted 0 or more, and below 1"),
        ({"momentum": 1.0}, "momentum=1.0; wanted 0 or more"),
        ({"weight_decay": -1.0}, "weight_decay=-1.0; wanted 0 or more"),
        ({"options": {"classes": 3}}, r"options has \['classes'\], which the data decide"),
        ({"limit": 0}, "limit=0; wanted at least 1"),
        ({"epsilon": 0.0}, "epsilon=0.0, optimizer='adam'; wanted None, or a number above 0"),
        ({"epsilon": 1e-8, "optimizer": "sgd"}, "epsilon=1e-08, optimizer='sgd'; wanted None"),
        ({"epochs": 2.5}, "epochs=2.5; wanted a whole number, at least 1"),
        ({"epochs": "5"}, "epochs='5'; wanted a whole number"),
        ({"batch_size": 0}, "batch_size=0; wanted a whole number, at least 1"),
        ({"distort": "hr", "tests": ["hr"], "pose_weight": math.nan}, "pose_weight=nan; wanted 0"),
        ({"distort": "hr", "tests": ["hr"], "pose_weight": math.inf}, "pose_weight=inf; wanted 0"),
        ({"clip": 0.0}, "clip=0.0; wanted a positive length, or None"),
        ({"clip": float("nan")}, "clip=nan; wanted a positive length"),
        ({"clip": float("inf")}, "clip=inf; wanted a positive length, or None for no limit"),
        ({"limit": 2.5}, "limit=2.5; wanted a whole number"),
        ({"limit": True}, "limit=True; wanted a whole number"),
        ({"patience": 1.5}, "patience=1.5; wanted a whole number"),
        ({"patience": 0}, "patience=0, train_on='train'; wanted None, or at least 1 epoch"),
        ({"patience": 3, "train_on": "train+valid"}, "train_on='train.valid'; wanted None"),
        ({"lr_localiser": -1.0}, "lr_localiser=-1.0; wanted a rate, 0 or None"),
        ({"lr_localiser": float("nan")}, "lr_localiser=nan; wanted a rate"),
        ({"tests": ["rts"]}, "tests='rts' is 1x42x42; wanted what fits 1x28x28"),
        ({"distort": "hr", "tests": ["rts"]}, "is 1x42x42; wanted what fits 1x40x40, as distort"),
        ({"distort": "addition"}, "tests='clean' is 1x28x28; wanted what fits 2x42x42"),
        (
            {"distort": "addition", "tests": ["addition"], "frozen": True, "with_clean": True},
            "with_clean=True; distort='addition' has no clean images",
        ),
        ({"frozen": True}, "need distort"),
        ({"distort": "hard", "with_clean": True}, "needs frozen=True"),
    ],
)
def test_bad_configurations_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model": "cnn", "options": {"nope": 2}},
            r"options=\{'nope': 2\} do not fit model='cnn': .*nope.*; it takes normal",
        ),
        ({"model": "small", "options": {"width": "x"}}, "do not fit model='small'"),
        ({"model": "small", "options": {"width": 0}}, "width=0; wanted a number above 0"),
        (
            {"model": "cnn", "distort": "sequences", "tests": ["sequences"]},
            "model='cnn' gives an image one label; wanted one that gives a row of labels",
        ),
        ({"model": "ffn-spn"}, "model='ffn-spn' gives an image a row of labels; wanted one"),
    ],
)
def test_a_network_that_cannot_be_built_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        build(dataclasses.replace(TINY, **change))


def test_a_run_that_diverges_says_so():
    wild = dataclasses.replace(TINY, optimizer="sgd", lr=1e6, weight_decay=1e6)
    with pytest.raises(FloatingPointError, match=r"epoch 1 is (nan|inf): .*diverged at lr=1e\+06"):
        fit(wild)


def test_a_validation_loss_that_is_no_number_ends_the_run_at_once(monkeypatch):
    """A record could not hold it, and whole epochs would be trained before that is said."""
    epochs = []

    def measured(*asked):
        epochs.append(1)
        return {"correct": 30, "total": 300, "loss": math.inf}

    monkeypatch.setattr(run, "evaluate", measured)
    with pytest.raises(FloatingPointError, match="the validation loss of epoch 1 is inf"):
        fit(TINY)
    assert len(epochs) == 1


def test_a_listener_of_ones_own_is_told_every_moment():
    class Notes(Listener):
        def __init__(self):
            self.heard = []

        def start(self, run):
            self.heard.append(("start", run.state.step))

        def step(self, run):
            self.heard.append(("step", run.state.step, run.rate, float(run.loss)))

        def epoch(self, run):
            self.heard.append(("epoch", run.epoch, run.curves["train_loss"][-1]))

        def end(self, run):
            self.heard.append(("end", run.model.training))

        def close(self):
            self.heard.append(("close",))

    notes = Notes()
    _, record = fit(TINY, 3, [notes])
    moments = [what for what, *_ in notes.heard]
    assert moments == ["start", *(["step"] * 6 + ["epoch"]) * 2, "end", "close"]
    losses = [loss for what, *rest in notes.heard if what == "step" for loss in rest[-1:]]
    assert [rest for what, *rest in notes.heard if what == "epoch"] == [
        [1, record.curves["train_loss"][0]],
        [2, record.curves["train_loss"][1]],
    ]
    assert record.curves["train_loss"][0] == pytest.approx(sum(losses[:6]) / 6)
    assert record.repeatable() == fit(TINY, 3)[1].repeatable()  # to listen changes nothing


def test_listeners_are_closed_whatever_happens():
    class Breaks(Listener):
        closed = False

        def step(self, run):
            raise KeyboardInterrupt

        def close(self):
            self.closed = True

    breaks = Breaks()
    with pytest.raises(KeyboardInterrupt):
        fit(TINY, 0, [breaks])
    assert breaks.closed


def test_the_clock_stands_while_what_was_trained_is_measured():
    noted = []

    class Slow(Listener):
        def end(self, run):
            noted.append(run.state.seconds)
            time.sleep(0.05)

    _, record = fit(TINY, 0, [Slow()])
    assert record.seconds == round(noted[0], 3) > 0
