"""Many runs: one after the other, in turns, in processes of this machine, or on a Dask cluster.

Each way calls `attempt` for each run and hands what came of it home as soon as it is there, so a
sweep that is stopped has the records of all runs that had ended and goes on from them. A run is
made in one process and follows from its seed alone: where it was made changes nothing.
"""

import asyncio
import hashlib
import json
import logging
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from queue import Empty, SimpleQueue

import torch

from stn_course import models
from stn_course.experiments.catalogue import find
from stn_course.experiments.experiment import Experiment
from stn_course.experiments.interleave import interleave
from stn_course.experiments.runner import check_digits, has_weights, run_one, run_steps
from stn_course.extras import needs
from stn_course.files import check_writable, rescue
from stn_course.training.record import PACKAGE, RunRecord, current_commit

Run = tuple[str, int]  # experiment, seed
POOLS = 3  # of processes, before runs that bring them down are given up
PATIENCE = 20  # seconds that a cluster has to answer, to show a worker, or to be there again

_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Outcome:
    """What came of one run: its record, or None and why."""

    name: str
    seed: int
    record: RunRecord | None
    trace: str = ""


def run_all(
    runs: list[Run],
    save: Callable[[RunRecord], object],
    *,
    jobs: int = 1,
    cluster: str | None = None,
    parallel_runs: int = 1,
    threads: int = 0,
    progress: bool = True,
    allow_sample: bool = False,
    weights: Path | None = None,
) -> list[str]:
    """Make each of `runs` and `save` its record at once; return the names of those that failed.

    A failing run is reported with its traceback and does not stop the others. With `jobs`
    above 1 as many processes share the runs; with `cluster`, the address of a Dask scheduler,
    its workers do, and runs that a worker took with it when it died are made again by another.
    Both take one thread for each run unless `threads` says otherwise. With `parallel_runs`
    above 1 one process takes so many runs through their steps in turns: that is for a GPU.
    `weights` as in `runner.run_steps`. A record that cannot be saved, as on a full disk, is
    written to a temporary folder, which is named.

    Records are of the full MNIST: on the offline sample this is a ValueError unless
    `allow_sample`. ValueError too for `weights` with `cluster` (they would stay on its
    workers) and for a cluster whose workers cannot make these runs; OSError where nothing can
    be written to `weights`.
    """
    _check_ways(jobs, parallel_runs, cluster, weights)
    check_digits(allow_sample)
    if weights is not None:
        check_writable(weights)
    options = {"threads": threads, "allow_sample": allow_sample, "weights": weights}
    if cluster:
        options |= {"threads": threads or 1, "code": current_code()}
        outcomes = _on_cluster(cluster, longest_first(runs), options)
    elif jobs > 1:
        options |= {"threads": threads or 1, "parent": os.getpid()}
        outcomes = _in_processes(jobs, longest_first(runs), options)
    elif parallel_runs > 1:
        outcomes = _in_turns(parallel_runs, longest_first(runs), threads, weights)
    else:
        options["progress"] = progress
        outcomes = (attempt(*run, find(run[0]), **options) for run in runs)
    failed = []
    for k, done in enumerate(outcomes, 1):
        trace = done.trace or saved(done.record, save, weights)
        if trace:
            print(trace, file=sys.stderr, flush=True)
            failed.append(f"{done.name}/{done.seed}")
            continue
        if cluster or jobs > 1 or parallel_runs > 1:
            seconds = done.record.seconds
            print(f"{k}/{len(runs)} {done.name}/{done.seed}: {seconds:.0f} s", flush=True)
    return failed


def saved(record: RunRecord, save: Callable, weights: Path | None = None) -> str:
    """What went wrong with saving the record, or with its weights; empty: nothing.

    A record that cannot be saved is written to a temporary folder, which is named.
    """
    run, wrong = f"{record.experiment}/{record.seed}", []
    try:
        save(record)
    except (ValueError, OSError) as error:  # a NaN, which no file holds; a full disk
        wrong.append(f"{run}: {error}\n{kept(record)}")
    if weights is not None and not has_weights(record, weights):
        wrong.append(f"{run}: its weights are not in {weights}")
    return "\n".join(wrong)


def kept(record: RunRecord) -> str:
    """Where a record is that could not be saved: in a temporary folder, else in this text."""
    text = json.dumps(asdict(record), indent=1, sort_keys=True)  # also with a NaN, to be read
    path = rescue(f"{record.experiment}-{record.seed}.json", text.encode())
    return f"its record is kept in {path}" if path else f"its record has no place but here:\n{text}"


def _check_ways(jobs: int, parallel_runs: int, cluster: str | None, weights) -> None:
    """ValueError unless one way to run at most is asked for, and it can do what is asked."""
    if min(jobs, parallel_runs) < 1 or (jobs > 1) + (parallel_runs > 1) + bool(cluster) > 1:
        raise ValueError(
            f"jobs={jobs}, parallel_runs={parallel_runs}, cluster={cluster!r}; wanted at least 1 "
            "of each, and only one of the three ways"
        )
    if cluster is not None and not re.fullmatch(r"(\w+://)?.+:\d+", cluster):
        raise ValueError(f"cluster={cluster!r}; wanted a scheduler's address, as tcp://HOST:8786")
    if cluster and weights is not None:
        raise ValueError("weights would stay on the cluster's workers; wanted jobs of this machine")


def attempt(
    name: str,
    seed: int,
    experiment: Experiment,
    *,
    threads: int = 0,
    allow_sample: bool = False,
    code: str | None = None,
    progress: bool = False,
    weights: Path | None = None,
    parent: int | None = None,
) -> Outcome:
    """Make one run, in whatever process this is called; what goes wrong is in the outcome.

    The experiment itself travels, not only its name. `threads`: 0 leaves them alone. `parent`:
    the process that shares out the runs, which this one does not outlive. A worker with several
    threads makes one run at a time all the same: a run seeds torch's global stream, which its
    process has only once.
    """
    if parent not in (None, os.getpid()):
        _end_with(parent)
    with _one_at_a_time:
        before = torch.get_num_threads()
        try:
            check_process(allow_sample, code)
            torch.set_num_threads(threads or before)
            return Outcome(name, seed, run_one(name, seed, progress, weights, experiment))
        except Exception:  # one broken run must not cost the night's others
            return Outcome(name, seed, None, f"{name}/{seed}: {traceback.format_exc()}")
        finally:
            torch.set_num_threads(before)


@cache
def _end_with(parent: int) -> None:
    """End this process soon after `parent` has, however that ended: nobody waits for it then."""
    with needs("course"):
        import psutil

    def watch():
        try:
            psutil.Process(parent).wait()
        except psutil.NoSuchProcess:  # it was gone already
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@cache
def current_code() -> str:
    """The commit, and a hash of the package's files: two changed checkouts of one commit differ."""
    digest = hashlib.sha256()
    for path in sorted(p for p in PACKAGE.rglob("*") if p.suffix in (".py", ".c")):
        digest.update(f"{path.relative_to(PACKAGE)}\0".encode() + path.read_bytes())
    return f"commit {current_commit()} with files {digest.hexdigest()[:12]}"


def check_process(allow_sample: bool, code: str | None) -> None:
    """ValueError unless this process has the digits, and `code` of `current_code` (None: any)."""
    check_digits(allow_sample)
    if code is not None and current_code() != code:
        raise ValueError(f"a worker has {current_code()}; wanted the sweep's {code}")


def longest_first(runs: Iterable[Run]) -> list[Run]:
    """`runs` with the longest ones first, so that none is left alone at the end."""
    return sorted(runs, key=lambda run: -find(run[0]).minutes)


def _calls(runs: Iterable[Run], options: dict) -> Iterator:
    with needs("course"):
        from joblib import delayed

    return (delayed(attempt)(name, seed, find(name), **options) for name, seed in runs)


def _in_processes(jobs: int, runs: list[Run], options: dict) -> Iterator[Outcome]:
    with needs("course"):
        from joblib import Parallel
        from joblib.externals.loky.process_executor import TerminatedWorkerError

    left = dict.fromkeys(runs)
    for _ in range(POOLS):
        processes = max(2, min(jobs, len(left)))  # with 1 joblib would make the runs right here
        pool = Parallel(processes, batch_size=1, return_as="generator_unordered")
        try:
            for done in pool(_calls(list(left), options)):
                del left[done.name, done.seed]
                yield done
            return
        except TerminatedWorkerError as error:  # killed, for memory perhaps: all go with it
            trace = f"a process was killed: {error}"
    for name, seed in left:
        yield Outcome(name, seed, None, f"{name}/{seed}: {trace}")


def _in_turns(
    at_once: int, runs: list[Run], threads: int, weights: Path | None
) -> Iterator[Outcome]:
    before, beside = torch.get_num_threads(), min(at_once, len(runs)) - 1
    options = {"weights": weights, "beside": beside}
    torch.set_num_threads(threads or before)
    try:
        starts = (partial(run_steps, *run, **options) for run in runs)
        for which, record, trace in interleave(starts, at_once, models.device()):
            name, seed = runs[which]
            yield Outcome(name, seed, record, trace and f"{name}/{seed}: {trace}")
    finally:
        torch.set_num_threads(before)


def _on_cluster(address: str, runs: list[Run], options: dict) -> Iterator[Outcome]:
    with needs("cluster"):
        from distributed import Client

    _check_address(address)
    with (
        _silent("distributed.client"),
        Client(address, timeout=PATIENCE, set_as_default=False) as client,
    ):
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise ValueError(
                f"cluster={address!r} has no worker after {PATIENCE} s; "
                f"start some: dask worker {address} --nthreads 1"
            ) from None
        # What no worker can do is said at once; one that joins later is asked in `attempt`.
        client.run(check_process, options["allow_sample"], options["code"])
        # All are handed over at the start, or workers that join later would stay idle.
        waiting = {
            client.submit(attempt, name, seed, find(name), pure=False, **options): (name, seed)
            for name, seed in runs
        }
        yield from _as_they_end(client, waiting)


def _check_address(address: str) -> None:
    """ValueError, after PATIENCE at the latest, unless a Dask scheduler answers at `address`.

    A client would try one of a wrong scheme again and again, for a minute.
    """
    with needs("cluster"):
        from distributed import Security
        from distributed.comm import connect

    async def ask():
        options = Security().get_connection_args("client")
        async with asyncio.timeout(PATIENCE):  # theirs is none for what answers something else
            comm = await connect(address, timeout=PATIENCE, **options)
        comm.abort()

    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook has a loop running in this one
            thread.submit(asyncio.run, ask()).result()
    except (OSError, ValueError, TypeError) as error:  # lost or late; a host; a scheme's settings
        raise ValueError(
            f"cluster={address!r}: no Dask scheduler answers there "
            f"({type(error).__name__}: {error}); wanted the address that one prints, as "
            "tcp://HOST:8786"
        ) from None


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Within, a logger says nothing: what it has to tell of a lost cluster is told here."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _as_they_end(client, waiting: dict) -> Iterator[Outcome]:
    """What came of each of `waiting`, a Dask future -> its run.

    RuntimeError where the cluster is lost: soon where its scheduler is, else after PATIENCE.
    """
    ended, last_seen = SimpleQueue(), time.monotonic()
    for future in waiting:
        future.add_done_callback(ended.put)
    while waiting:
        try:
            future = ended.get(timeout=min(1, PATIENCE))
        except Empty:
            gone = _gone(client)
            last_seen = last_seen if gone else time.monotonic()
            if time.monotonic() - last_seen > PATIENCE:
                raise RuntimeError(_left(gone, waiting)) from None
            continue
        if future.cancelled():  # by the client, which has lost the scheduler
            raise RuntimeError(_left("the cluster's scheduler is gone", waiting))
        name, seed = waiting.pop(future)
        try:
            outcome = future.result(timeout=PATIENCE)
        except Exception as error:  # it brought down several workers, or its result went with one
            outcome = Outcome(name, seed, None, f"{name}/{seed}: {type(error).__name__}: {error}")
        yield outcome


def _gone(client) -> str:
    """What of the cluster has been lost; empty: nothing."""
    try:
        workers = client.sync(client.scheduler.ncores, callback_timeout=5)
    except (OSError, TimeoutError):
        return "the cluster's scheduler does not answer"
    return "" if workers else "all workers of the cluster are gone"


def _left(gone: str, waiting: dict) -> str:
    return f"{gone}; {len(waiting)} runs are left, and the same command makes them"
