"""Where the time of a training step, and of an epoch's distortions, goes, and the floor below it.

The floor of a step is one product of matrices of as many multiply-adds as its convolutions and
dense layers have, forward and backward, in the step's own precision: nothing that multiplies gets
below it, whatever its form. `torch.utils.flop_counter` counts, `torch.profiler` tells the shares.
The floor of an epoch of distorted digits is a copy of the bytes that it writes.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import distortions
from benchmarks.timing import compare, here, line, median_interval
from stn_course.data import mnist
from stn_course.data.recipes import base
from stn_course.experiments import speed
from stn_course.experiments.catalogue import find
from stn_course.training.config import Config, build
from stn_course.training.optimisation import make_optimizer
from stn_course.training.step import Step

TARGET = 14
SIDE = 1024  # of the left matrix; the right one is as wide as the count wants
NETS = {
    "the tutorial's transformer": "se-01",
    "the paper's transformer, RTS": "paper-st-cnn-aff-rts",
    "the paper's CNN, RTS": "paper-cnn-rts",
    "CNN and transformer, mild": "mild-stn",
    "words, a spline": "words-tps",
}
# The first of these whose word is in an operation's name has its time.
GROUPS = {
    "convolutions, backward": ("convolution_backward",),
    "convolutions, forward": ("convolution",),
    "dense layers": ("aten::mm", "addmm", "aten::bmm", "linear"),
    "pooling": ("pool",),
    "norms": ("norm",),
    "ReLU": ("threshold", "clamp", "relu"),
    "clearing memory": ("fill_", "zero_"),
    "the warp": ("_Eager", "stn_course"),
    "the update": ("ptimizer", "_fused_", "_foreach_"),
}
REST, DRAWN = "the rest", "drawing the pictures"
STEP, EPOCH = "a step beside its floor", "an epoch beside its floor"


@dataclass
class Whole:
    """A training step of one experiment, ready to be run again and again."""

    config: Config
    step: Step
    index: torch.Tensor

    @classmethod
    def of(cls, name: str) -> "Whole":
        config = find(name).config
        words = (config.distort or "").startswith("words")
        digits = base("words", "train") if words else mnist("train")
        torch.manual_seed(0)
        model = build(config).train()
        optimizer = make_optimizer(config, model)
        step = Step(config, 0, model, optimizer, digits.images, digits.labels)
        return cls(config, step, torch.arange(config.batch_size))

    def __call__(self) -> torch.Tensor:
        return self.step(self.index, 0, self.config.lr)

    def multiply_adds(self) -> int:
        """Of its convolutions and dense layers, forward and backward."""
        counter = FlopCounterMode(display=False)
        with counter:
            self()
        return counter.get_total_flops() // 2


def product(multiply_adds: int, bf16: bool) -> Callable:
    """One product of matrices of (nearly) so many multiply-adds."""
    kind = torch.bfloat16 if bf16 else torch.float32
    columns = max(1, round(multiply_adds / SIDE**2))
    a, b = (torch.rand(shape).to(kind) for shape in ((SIDE, SIDE), (SIDE, columns)))
    out = torch.empty(SIDE, columns, dtype=kind)
    return lambda: torch.mm(a, b, out=out)


def shares(whole: Whole, steps: int = 20) -> dict[str, float]:
    """Seconds of a step, by what it does; what draws its pictures is told apart."""
    found = dict.fromkeys([*GROUPS, REST], 0.0)
    whole.step.prepare(0, whole.config.lr)
    batch = whole.step.draw(whole.index)
    with profile(activities=[ProfilerActivity.CPU]) as watched:
        for _ in range(steps):
            whole.step.learn(*batch)
    for event in watched.key_averages():
        words = GROUPS.items()
        group = next((g for g, of in words if any(w in event.key for w in of)), REST)
        found[group] += 1e-6 * event.self_cpu_time_total / steps
    with profile(activities=[ProfilerActivity.CPU]) as watched:
        for _ in range(steps):
            whole.step.draw(whole.index)
    drawn = sum(event.self_cpu_time_total for event in watched.key_averages())
    return found | {DRAWN: 1e-6 * drawn / steps}


def measure(device: str = "cpu") -> Iterator[speed.Speed]:
    """Of each step and epoch all of it beside its floor, and each of its parts beside all."""
    if device != "cpu":
        return
    threads = torch.get_num_threads()
    told = "1 thread" if threads == 1 else f"{threads} threads"
    yield from _steps(told)
    yield from _epochs(told)


def _beside(name: str, ours: Callable, floor: Callable, floor_name: str) -> speed.Speed:
    how = {"tolerance": 0, "agreement": lambda: 0.0, "rounds": 15}  # they are not to give the same
    return compare(TARGET, name, ours, floor, wanted=0, peer_name=floor_name, **how)


def _parts(parts: dict[str, float], whole: str, told: str, all_of: str) -> Iterator[speed.Speed]:
    total = sum(parts.values())
    for part, took in parts.items():
        found = {"ours": took, "peer": total, "peer_name": all_of, "verdict": "met", **here()}
        yield speed.Speed(TARGET, f"{whole}: {part}, {told}", wanted=0, **found)


def _steps(told: str) -> Iterator[speed.Speed]:
    for net, experiment in NETS.items():
        whole = Whole.of(experiment)
        count, bf16 = whole.multiply_adds(), whole.step.bf16
        kind = "bfloat16" if bf16 else "float32"
        floor_name = f"a product of {count / 1e6:.0f} million multiply-adds in {kind}"
        yield _beside(f"{net}: {STEP}, {told}", whole, product(count, bf16), floor_name)
        yield from _parts(shares(whole), net, told, "all of the step")


def _epochs(told: str) -> Iterator[speed.Speed]:
    images = distortions.digits(60_000, "cpu")
    for name, what in distortions.EPOCHS.items():
        epoch = f"an epoch of 60 000 digits, {what}"
        ours, (floor, size) = (
            partial(distortions.ours, name, images),
            distortions.copied(name, images),
        )
        floor_name = f"a copy of {size / 1e6:.0f} MB, a batch at a time"
        yield _beside(f"{epoch}: {EPOCH}, {told}", ours, floor, floor_name)
        parts = distortions.parts(name, images)
        took = {part: _median_time(do) for part, do in parts.items()}
        yield from _parts(took, epoch, told, "all of the epoch")


def _median_time(function: Callable, rounds: int = 15) -> float:
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return median_interval(times[1:])[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1, help="(default: 1)")
    parser.add_argument("--save", action="store_true", help="keep the lines in records/speed")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for one in measure():
        if options.save:
            speed.save(one)
        print(line(one), flush=True)


if __name__ == "__main__":
    main()
