"""A sweep on a Dask cluster, of which one process is killed."""

import random
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from tests.experiments.cluster import cluster
from tools.torture import verbs
from tools.torture.children import PATIENCE
from tools.torture.parts import Fallen, _crashed, _same_after_all
from tools.torture.verbs import VERBS

WHO = ("the sweep", "a worker", "the scheduler")
# In a process of its own: a client has threads, which children of this one must not be born with.
READY = (
    "import sys; from distributed import Client\n"
    "Client(sys.argv[1], timeout=120).wait_for_workers(2, timeout=240)"
)


@contextmanager
def two_workers(folder: Path):
    """A cluster that is ready: (the sweep over it, its processes by what they are)."""
    folder.mkdir()
    with cluster(folder, workers=2) as (address, processes):
        subprocess.run([sys.executable, "-c", READY, address], check=True, timeout=PATIENCE)
        verb = VERBS["run"]._replace(arguments=verbs.sweep("--cluster", address))
        named = {"a worker": processes["w0"], "the scheduler": processes["scheduler"]}
        yield verb, named


def kills(times: int, chance: random.Random, folder: Path) -> Fallen:
    """The sweep, a worker or the scheduler is killed at a random moment; then all once more."""
    whole, seconds = verbs.wanted(VERBS["run"], folder / "whole")
    for k in range(times):
        who, after = WHO[k % len(WHO)], chance.uniform(0, 1.5 * seconds)
        moment, there = f"{who} killed after {after:.2f} s", folder / "killed"
        with two_workers(folder / f"cluster-{k}") as (verb, processes):
            verbs.anew(verb, there)
            child = verbs.begun(verb, there)
            if who == "the sweep":
                child.kill_after(after)
                yield _same_after_all(verb, there, whole, moment)
                continue
            time.sleep(after)
            processes[who].kill()
            ended = child.wait()
        fell = _crashed(ended)
        if not fell and ended.code and (who == "a worker" or "scheduler" not in ended.said):
            fell = f"{moment}: {ended.code} {ended.said[-600:]}"
        if fell:
            yield fell
            continue
        with two_workers(folder / f"again-{k}") as (verb, _):
            yield _same_after_all(verb, there, whole, moment)
