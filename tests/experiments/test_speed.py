"""Records of speed, and how they are made."""

import dataclasses
import itertools

import pytest
import torch

from benchmarks import distortions, pages, sequences, timing, tutorial, warp
from stn_course.experiments import records, speed


def one(**change):
    told = {
        "target": 1,
        "name": "a warp, B=2",
        "device": "2 cores of a Processor",
        "threads": 2,
        "wanted": 3.0,
        "verdict": "met",
        "ratio": 4.0,
        "low": 3.5,
        "high": 4.5,
    }
    return speed.Speed(**told | change)


def test_a_record_comes_back(tmp_path):
    path = speed.save(one(), tmp_path)
    assert path.relative_to(tmp_path).as_posix() == "2-cores-of-a-processor/01-a-warp-b-2.json"
    speed.save(one(device="NVIDIA H200", ratio=12.0), tmp_path)
    assert speed.load(tmp_path) == [one(), one(device="NVIDIA H200", ratio=12.0)]


def test_what_is_no_record_is_named(tmp_path):
    path = speed.save(one(), tmp_path)
    path.write_text(path.read_text().replace('"ratio"', '"ration"'))
    with pytest.raises(ValueError, match="01-a-warp-b-2.json is no record of speed.*ration"):
        speed.load(tmp_path)
    with pytest.raises(ValueError, match="verdict='fast'"):
        one(verdict="fast")


def test_committed_records_of_speed_are_readable():
    for found in speed.load():
        assert found.commit != "unknown" and not found.commit.endswith("-dirty"), found.name
        assert found.verdict in ("met", "missed", "void", "not measured")


def test_what_rests_on_training_runs_falls_with_them(tmp_path):
    """A committed time names its runs; made again or taken away, they take it along."""
    resting = [found for found in speed.load() if found.rests_on]
    assert {found.target for found in resting} >= {7, 9}
    for found in resting:
        assert speed.gone(found) == [], found.name
        assert speed.gone(found, tmp_path) == sorted(found.rests_on)
    changed = dataclasses.replace(resting[0], rests_on={**resting[0].rests_on, "fast-clean/0": ""})
    assert speed.gone(changed) == ["fast-clean/0"]


def test_the_fastest_is_chosen_on_validation(monkeypatch):
    """What reads the goal on test alone is not chosen, however fast."""
    runs = {
        "seq-cnn": (98.3, 98.3, 9.0),
        "seq-ffn": (98.1, 98.9, 1.0),
        "seq-rnn": (98.9, 98.1, 30.0),
    }

    def load(name):
        if name not in runs:
            return []
        valid, test, seconds = runs[name]
        results = {
            f"{split}/sequences": {"correct": round(100 * v), "total": 10_000, "loss": 0.0}
            for split, v in (("valid", valid), ("test", test))
        }
        made = {"results": results, "seconds": seconds, "device": "cpu", "threads": 1}
        return [dataclasses.replace(a_record, experiment=name, seed=0, **made)]

    a_record = records.load("seq-cnn")[0]
    with monkeypatch.context() as patch:
        patch.setattr(sequences.records, "load", load)
        found = sequences.to_accuracy("cpu")
    assert found.ours == 9.0 and found.why.startswith("seq-cnn, 1 seeds, 1 thread a run: 98.30")
    assert list(found.rests_on) == ["seq-cnn/0"]


def test_the_interval_of_a_median():
    assert timing.median_interval([3.0, 1.0, 2.0])[0] == 2
    middle, low, high = timing.median_interval([float(k) for k in range(31)])
    assert (middle, low, high) == (15, 9, 21)  # ranks 10 and 22 of 31: 97 %


class Clock:
    """A clock by which each call takes what the list says."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def takes(self, seconds):
        times = itertools.cycle(seconds)

        def function():
            self.now += next(times)
            return torch.ones(2)

        return function


def compared(ours, peer, **change):
    clock = Clock()
    told = {
        "target": 2,
        "name": "x",
        "wanted": 3,
        "peer_name": "the peer",
        "tolerance": 0.1,
        "rounds": 9,
        "warm": 1,
        "seconds": 1e-9,
        "clock": clock,
    }
    return timing.compare(ours=clock.takes(ours), peer=clock.takes(peer), **told | change)


def test_a_ratio_is_met_missed_or_void():
    found = compared([1.0], [4.0])
    assert found.verdict == "met" and found.ratio == pytest.approx(4) and found.control == 1
    assert "4.00x (4.00 to 4.00) of the peer, wanted 3x: met" in timing.line(found)
    assert compared([1.0], [2.0]).verdict == "missed"
    noisy = compared([1.0], [4.0, 5.0])
    assert noisy.verdict == "void" and "not a quiet machine" in noisy.why


def test_results_must_agree_before_anything_is_timed():
    with pytest.raises(AssertionError, match="results differ by 2.0e-01"):
        compared([1.0], [4.0], agreement=lambda: None or _raise(), tolerance=0.1)


def _raise():
    raise AssertionError("results differ by 2.0e-01")


def test_disagreement_is_found():
    clock = Clock()
    with pytest.raises(AssertionError, match="x: results differ by 5.0e-01, wanted 1e-01"):
        timing.compare(
            1,
            "x",
            lambda: torch.tensor([1.0, 3.0]),
            lambda: torch.tensor([1.0, 2.0]),
            wanted=1,
            peer_name="p",
            tolerance=0.1,
            clock=clock,
        )


def test_a_time_without_a_peer():
    found = timing.seconds(12, "a page", 4.0, [1.0, 2.0, 3.0])
    assert (found.ours, found.verdict, found.ratio) == (2.0, "met", None)
    assert timing.seconds(12, "a page", 1.5, [2.0]).verdict == "missed"
    gone = timing.absent(5, "x", 50, "no peer")
    assert timing.line(gone).endswith("x: not measured: no peer")


def test_ten_runs_that_differ_are_refused():
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(AssertionError, match="two runs differ"):
        warp.same_bits(lambda: torch.rand(3, generator=generator), "generator")


# ---------------------------------------------------------------- the peers do the same work
def test_pil_moves_the_digits_as_we_do():
    assert distortions.error("rts") < 0.01 and distortions.error("p") < 0.01


def test_the_peer_of_an_epoch_draws_digits(monkeypatch):
    for name, side in distortions.CANVAS.items():
        made = distortions.Digits(name, distortions.digits(3, "cpu"))[1]
        assert made.shape == (1, side, side) and 0.05 < made.mean() < 0.9


def test_the_tutorials_steps_are_ours():
    images = distortions.digits(1280, "cpu")
    labels = torch.arange(1280) % 10
    assert tutorial.difference(images, labels, "cpu") < 1e-3


def test_what_has_no_records_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("stn_course.experiments.records.records_dir", lambda: tmp_path)
    assert tutorial.to_accuracy("cpu").verdict == "not measured"
    assert sequences.to_accuracy("cpu").verdict == "not measured"


def test_the_first_figure_is_drawn():
    made = {}
    exec(compile(pages.FIRST, "first", "exec"), made)
    assert len(made["fig"].axes) == 8


@pytest.mark.parametrize(
    ("spent", "peak", "verdict"), [(9, 700, "met"), (11, 700, "missed"), (9, 900, "missed")]
)
def test_a_header_holds_for_seconds_and_for_memory(spent, peak, verdict):
    found = pages.against_header(
        "a notebook", {"seconds": 10.0, "gigabytes": 0.8}, {"seconds": spent, "peak_mb": peak}
    )
    assert found.verdict == verdict and found.ours == spent
    assert found.why == f"{peak / 1000:.2f} GB, stated 0.8 GB"
