"""Would today's code give a record again? The first steps of its run, made anew and compared.

A record outlives the code that made it. What a run draws, how its network starts and what a step
does show in its first ten steps: seconds, where the whole run takes minutes or hours.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from stn_course.experiments import records
from stn_course.experiments.catalogue import find
from stn_course.training.config import Config
from stn_course.training.record import RunRecord
from stn_course.training.run import FIRST_STEPS, Run

# Losses of two kinds of processor differ in their last bits, and a step carries that on.
CLOSE = 1e-3


@dataclass(frozen=True)
class Beginning:
    """How a run begins: its first batch and weights by their SHA-256, its first losses."""

    batch: str
    weights: str
    losses: list[float]


@dataclass(frozen=True)
class Verdict:
    """`again`: whether today's code begins alike; None where nobody can tell. `why`: in words."""

    experiment: str
    seed: int
    again: bool | None
    why: str


class _Unmeasured(Run):
    """A run whose digits to validate on are not drawn: it ends before they are needed."""

    def validation_set(self) -> None:
        return None


def begin_again(config: Config, seed: int, most: int = FIRST_STEPS) -> Beginning:
    """The first steps, at most `most`, of the run of `config` and `seed`, on the CPU."""
    run = _Unmeasured(config, seed, torch.device("cpu"))
    with run.own_randomness():
        run.begin()
        for index in run.batches()[: min(most, FIRST_STEPS)]:
            run.learn(index)
        run.snapshot()
    began = run.state.first_steps
    return Beginning(run.state.first_batch, began["weights"], began["losses"])


def compare(record: RunRecord) -> Verdict:
    """Remake the beginning of the run of `record` and say whether it is the same.

    A record without `first_steps` is held to its first batch alone, with one step. Bits of a
    float batch are those of one kind of processor, so there another hash proves nothing.
    """
    config = find(record.experiment).config

    def verdict(again: bool | None, why: str) -> Verdict:
        return Verdict(record.experiment, record.seed, again, why)

    if not isinstance(config, Config) or find(record.experiment).run is not None:
        return verdict(None, "it has a run of its own: make it again as a whole")
    device = record.parts[0]["device"] if record.parts else record.device  # where it began
    if device != "cpu":
        return verdict(None, f"made on {device}, which draws other numbers than a CPU")
    if record.start:
        return verdict(None, "it goes on from what another run learned: make it again as a whole")
    kept = record.first_steps
    now = begin_again(config, record.seed, FIRST_STEPS if kept else 1)
    same_batch = now.batch == record.hashes["first_batch"]
    if not kept:
        if same_batch:
            return verdict(True, "the same first batch; nothing more is on record")
        if config.distort and not config.frozen:  # floats: another processor, other last bits
            return verdict(
                None, "its first batch differs, if only in last bits; nothing more is on record"
            )
        return verdict(False, "another first batch: the digits, their order or their distortion")
    if now.weights != kept["weights"]:
        return verdict(False, "other first weights: the network or its start")
    for step, (here, then) in enumerate(zip(now.losses, kept["losses"], strict=True), 1):
        if not math.isclose(here, then, rel_tol=CLOSE):
            part = "its first batch" if step == 1 and not same_batch else "a step"
            return verdict(
                False, f"the loss at step {step} was {then:.6g} and is {here:.6g}: {part}"
            )
    bits = "" if same_batch else ", the batch but for last bits"
    return verdict(True, f"the same first batch, weights and losses{bits}")


def compare_all(names: list[str], every_seed: bool = False) -> Iterator[Verdict]:
    """Verdicts of the committed records of `names`: of the first seed of each, or of all."""
    for name in names:
        kept = records.load(name)
        for record in kept if every_seed else kept[:1]:
            yield compare(record)
