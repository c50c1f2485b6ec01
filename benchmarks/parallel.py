"""Target 8, many runs on one GPU: the STN paper's table, 32 cells of 3 seeds.

Timed on a share of it: the first epochs of some cells, one after the other and in turns. The whole
table is `stn-course run ... --parallel-runs M`, whose records hold the seconds of every run.
"""

import dataclasses
import time
from collections.abc import Iterator

import torch

from benchmarks.timing import absent, line, seconds
from stn_course.experiments import records
from stn_course.experiments.catalogue import EXPERIMENTS
from stn_course.experiments.catalogue.distorted_digits import KINDS
from stn_course.experiments.interleave import interleave
from stn_course.experiments.speed import Speed
from stn_course.training import loop

CELLS = [n for n in EXPERIMENTS if n.startswith("paper-") and n.split("-")[-1] in KINDS]
NAME, WANTED = "the STN paper's table, 32 cells of 3 seeds", 1200.0
AT_ONCE = (1, 4, 8, 16)


def rate(at_once: int, device: torch.device, runs: int = 16) -> float:
    """Training steps a second of `runs` short runs, `at_once` of them in turns."""
    short = [dataclasses.replace(EXPERIMENTS[n].config, epochs=1) for n in CELLS[:runs]]
    starts = [lambda c=c, k=k: loop.steps(c, k, device=device) for k, c in enumerate(short)]
    begin = time.perf_counter()
    for _, result, trace in interleave(starts, at_once, device):
        assert result is not None, trace
    return sum(-(-50_000 // c.batch_size) for c in short) / (time.perf_counter() - begin)


def measure(device: str = "cpu") -> Iterator[Speed]:
    """Target 8: rates in turns where there is a GPU, and the table's own records."""
    if device != "cuda":
        return
    found = {m: rate(m, torch.device("cuda")) for m in AT_ONCE}
    steps = sum(
        EXPERIMENTS[n].config.epochs * -(-50_000 // EXPERIMENTS[n].config.batch_size) * 3
        for n in CELLS
    )
    best = max(found, key=found.get)
    said = ", ".join(f"{m} at once {r:.0f} steps/s" for m, r in found.items())
    yield seconds(8, f"{NAME}, expected", WANTED, [steps / found[best]], True, why=said)
    runs = [r for n in CELLS for r in records.load(n) if r.device != "cpu"]
    if len(runs) < 96:
        yield absent(8, NAME, WANTED, f"{len(runs)} of 96 records of a GPU", True)
        return
    beside = (
        int(runs[0].device.split("beside ")[1].split()[0]) + 1 if "beside" in runs[0].device else 1
    )
    yield seconds(8, NAME, WANTED, [sum(r.seconds for r in runs) / beside], True, why=said)


if __name__ == "__main__":
    for speed in measure("cuda"):
        print(line(speed), flush=True)
