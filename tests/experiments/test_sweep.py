"""Many runs at once, here and on a cluster: every record once, and the same as one by one."""

import asyncio
import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import joblib
import pytest

from stn_course.cli import main
from stn_course.experiments import catalogue, records, runner, sweep
from stn_course.experiments.experiment import Experiment
from stn_course.training import checkpoints
from stn_course.training.config import Config, build
from stn_course.training.loop import fit
from stn_course.training.record import dumps, loads
from tests.experiments.cluster import cluster, free_port

TINY = Config(model="fc", limit=200, epochs=1, precision="float32")
WIDER = replace(TINY, options={"width": 200})


def broken(model, device):
    raise RuntimeError("probe broke")


SMALL = {
    "tiny": Experiment(TINY, "a test", seeds=2, minutes=1),
    "wider": Experiment(WIDER, "a test", seeds=2, minutes=3),
}


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Small experiments under names of their own, which only this process knows."""
    for name, experiment in SMALL.items():
        monkeypatch.setitem(catalogue.EXPERIMENTS, name, experiment)


@pytest.fixture(autouse=True)
def own_temporary_folder(monkeypatch, tmp_path_factory):
    """What finds no place is kept in a temporary folder: one of this test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


def made(runs, **options):
    """The records of a sweep in the order in which they came, and the names that failed."""
    found = []
    failed = sweep.run_all(runs, found.append, progress=False, allow_sample=True, **options)
    return found, failed


def repeatable(found):
    return {(r.experiment, r.seed): r.repeatable() for r in found}


RUNS = [("tiny", 0), ("tiny", 1), ("wider", 0), ("wider", 1)]


@pytest.fixture(scope="module")
def serial():
    """What the runs give one after the other on one thread, by experiment and seed."""
    import torch

    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        for name, experiment in SMALL.items():
            patch.setitem(catalogue.EXPERIMENTS, name, experiment)
        more = [("tiny", seed) for seed in range(2, 8)]
        found, failed = made(RUNS + more, threads=1)
    assert failed == [] and torch.get_num_threads() == threads
    assert {r.threads for r in found} == {1}
    return repeatable(found)


def test_processes_make_the_same_records(serial, capsys):
    found, failed = made(RUNS, jobs=2)
    assert failed == [] and len(found) == len(RUNS)
    assert repeatable(found) == {run: serial[run] for run in RUNS}
    assert {r.threads for r in found} == {1}
    assert "4/4 " in capsys.readouterr().out


def test_a_failing_run_in_a_process_is_told_and_stops_nothing(monkeypatch, capsys):
    import cloudpickle

    this = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(this)  # processes cannot import a test
    monkeypatch.setitem(catalogue.EXPERIMENTS, "bad", Experiment(TINY, "a test", probe=this.broken))
    try:
        found, failed = made([("bad", 0), ("tiny", 0)], jobs=2)
    finally:
        cloudpickle.unregister_pickle_by_value(this)
    assert failed == ["bad/0"] and [r.experiment for r in found] == ["tiny"]
    assert "probe broke" in capsys.readouterr().err


def nan(model, device):
    return {"nothing": float("nan")}


def test_a_record_that_cannot_be_written_is_told_and_stops_nothing(monkeypatch, tmp_path, capsys):
    odd = Experiment(TINY, "a test", probe=nan)
    monkeypatch.setitem(catalogue.EXPERIMENTS, "odd", odd)
    failed = sweep.run_all(
        [("odd", 0), ("tiny", 0)],
        lambda record: records.save(record, tmp_path),
        progress=False,
        allow_sample=True,
    )
    assert failed == ["odd/0"] and [p.name for p in tmp_path.iterdir()] == ["tiny"]
    err = capsys.readouterr().err
    assert "odd/0: probes.nothing is nan; a record holds finite numbers" in err
    text = Path(err.split("its record is kept in ")[1].split("\n")[0]).read_text()
    assert json.loads(text)["experiment"] == "odd"


def test_a_full_disk_is_told_and_stops_nothing(monkeypatch, capsys):
    monkeypatch.setitem(catalogue.EXPERIMENTS, "odd", Experiment(TINY, "a test"))
    kept = []

    def save(record):
        if record.experiment == "odd":
            raise OSError(28, "No space left on device")
        kept.append(record.experiment)

    runs = [("odd", 0), ("tiny", 0)]
    assert sweep.run_all(runs, save, progress=False, allow_sample=True) == ["odd/0"]
    assert kept == ["tiny"] and "No space left" in (err := capsys.readouterr().err)
    there = Path(err.split("its record is kept in ")[1].split("\n")[0])
    assert loads(there.read_text()).experiment == "odd"
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: save(loads(there.read_text())))  # as full
    assert sweep.run_all(runs, save, progress=False, allow_sample=True) == ["odd/0"]
    err = capsys.readouterr().err
    assert "its record has no place but here" in err and '"experiment": "odd"' in err


def test_weights_that_cannot_be_kept_are_told_and_cost_no_record(monkeypatch, tmp_path, capsys):
    options = {"progress": False, "allow_sample": True, "weights": tmp_path / "learned"}

    def full(path, data):
        raise OSError(28, "No space left on device", str(path))

    found = []
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_atomically", full)
        assert sweep.run_all([("tiny", 0)], found.append, **options) == ["tiny/0"]
    err = capsys.readouterr().err
    with monkeypatch.context() as patch:  # the temporary folder is full as well
        patch.setattr(checkpoints, "write_atomically", full)
        patch.setattr(runner, "rescue", lambda name, data: None)
        runner.run_one("tiny", 0, weights=tmp_path / "learned")
    assert capsys.readouterr().err.endswith("what it learned could not be kept anywhere\n")
    assert len(found) == 1 and f"its weights are not in {tmp_path / 'learned'}" in err
    (there,) = re.findall("what it learned is kept in (.*)", err)
    model = build(TINY)
    assert checkpoints.read_weights(there, model, found[0].hashes["weights"])
    shutil.copy(there, tmp_path / "learned")
    assert runner.has_weights(found[0], tmp_path / "learned")
    assert not runner.has_weights(replace(found[0], hashes={"weights": "b"}), tmp_path / "learned")
    (tmp_path / "learned" / "tiny-0.safetensors").write_bytes(b"nonsense")
    assert not runner.has_weights(found[0], tmp_path / "learned")


def test_a_folder_for_weights_that_may_only_be_read_is_refused_before_the_work(
    monkeypatch, tmp_path
):
    def refused(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    monkeypatch.setattr(sweep, "attempt", None)
    with pytest.raises(PermissionError, match=f"cannot be written to: .*'{tmp_path}'"):
        made(RUNS, weights=tmp_path)


def test_no_more_processes_than_runs_and_none_without_its_parent(monkeypatch):
    started, options = [], []

    def parallel(processes, **_):
        started.append(processes)
        return lambda calls: (sweep.Outcome(*run[:2], None, "x") for _, run, o in calls if told(o))

    def told(given):
        options.append(given["parent"])
        return True

    monkeypatch.setattr(joblib, "Parallel", parallel)
    for jobs, runs in ((6, RUNS[:2]), (6, RUNS[:1]), (3, RUNS)):
        made(runs, jobs=jobs)
    assert started == [2, 2, 3] and set(options) == {os.getpid()}


def test_a_process_ends_with_its_parent(monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(sweep.os, "_exit", lambda code: ended.set())
    parent = subprocess.Popen(["sleep", "60"])
    sweep._end_with(parent.pid)
    assert not ended.wait(0.1)
    parent.kill()
    assert ended.wait(60)
    ended.clear()
    sweep._end_with.cache_clear()
    sweep._end_with(parent.pid)  # which is gone
    assert ended.wait(60)


def killed_once(flag):
    """An experiment's own run: the first process that makes it is killed, as for memory."""

    def run(name, seed):
        if not flag.exists():
            flag.write_text("")
            os.kill(os.getpid(), signal.SIGKILL)
        return fit(TINY, seed, name=name)[1]

    return run


def always_killed(name, seed):
    os.kill(os.getpid(), signal.SIGKILL)


def with_killer(monkeypatch, run):
    import cloudpickle

    killer = Experiment({}, "a test", run=run, minutes=9)
    monkeypatch.setitem(catalogue.EXPERIMENTS, "killer", killer)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        return made([("killer", 0), ("tiny", 0), ("tiny", 1)], jobs=2)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def test_a_killed_process_costs_no_run(monkeypatch, tmp_path):
    found, failed = with_killer(monkeypatch, killed_once(tmp_path / "killed"))
    assert failed == [] and (tmp_path / "killed").exists()
    runs = sorted((r.experiment, r.seed) for r in found)
    assert runs == [("killer", 0), ("tiny", 0), ("tiny", 1)]


def test_a_run_that_always_kills_its_process_is_given_up(monkeypatch):
    monkeypatch.setattr(sweep, "POOLS", 1)
    found, failed = with_killer(monkeypatch, always_killed)
    assert "killer/0" in failed
    assert len(found) + len(failed) == 3, "every run is either made or told"


@pytest.mark.filterwarnings("ignore:2 tasks which were still being processed")
def test_an_interrupted_sweep_goes_on_from_its_records(tmp_path, monkeypatch):
    out = tmp_path / "runs.jsonl"
    words = ["run", "tiny", "wider", "--out", str(out), "--allow-sample"]
    threads = ("--threads", "1")

    def stop(self, *_):
        raise KeyboardInterrupt

    first = ("run", "tiny", "--seeds", "1", "--out", str(out), "--allow-sample", *threads)
    assert main.main(list(first)) == 0
    save = dumps
    with monkeypatch.context() as patch:  # the reader stops it when the next record is there
        patch.setattr(records, "dumps", stop)
        assert main.main([*words, "--jobs", "2"]) == 130
    assert dumps is save and len(out.read_text().splitlines()) == 1
    assert main.main([*words, *threads]) == 0
    runs = [(r["experiment"], r["seed"]) for r in map(json.loads, out.read_text().splitlines())]
    assert sorted(runs) == sorted(RUNS) and runs[0] == ("tiny", 0)


def test_the_longest_runs_come_first():
    assert sweep.longest_first(RUNS) == [*RUNS[2:], *RUNS[:2]]


def test_bad_input_is_named(monkeypatch):
    with pytest.raises(ValueError, match="jobs=0"):
        made(RUNS, jobs=0)
    with pytest.raises(ValueError, match="jobs=2, parallel_runs=1, cluster='tcp://x'"):
        made(RUNS, jobs=2, cluster="tcp://x")
    with pytest.raises(ValueError, match="cluster='nonsense'; wanted a scheduler's address"):
        made(RUNS, cluster="nonsense")
    with pytest.raises(ValueError, match="cluster=''; wanted a scheduler's address"):
        made(RUNS, cluster="")
    with pytest.raises(ValueError, match="weights would stay"):
        made(RUNS, cluster="tcp://x:8786", weights="somewhere")


# ---------------------------------------------------------------- a cluster
@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    """One cluster for two tests: its address, and the processes of its workers."""
    pytest.importorskip("distributed")
    with cluster(tmp_path_factory.mktemp("cluster"), workers=2) as made:
        yield made


def test_a_cluster_with_other_code_is_refused(two_workers, monkeypatch):
    monkeypatch.setattr(sweep, "current_code", lambda: "0123")
    with pytest.raises(ValueError, match="a worker has commit .*; wanted the sweep's 0123"):
        made(RUNS, cluster=two_workers[0])


def test_a_cluster_with_a_worker_killed_in_the_middle_makes_the_same_records(serial, two_workers):
    from distributed import Client

    address, workers = two_workers
    runs = RUNS + [("tiny", seed) for seed in range(2, 8)]
    found, lost = [], []
    with Client(address, timeout=30, set_as_default=False) as watching:
        watching.wait_for_workers(2, timeout=30)

        def save(record):
            found.append(record)
            if lost:
                return
            named = {a: w["name"] for a, w in watching.scheduler_info()["workers"].items()}
            busy = next(a for a, runs in watching.processing().items() if runs)
            lost.append(named[busy])
            workers[named[busy]].send_signal(signal.SIGKILL)
            workers[named[busy]].wait()

        failed = sweep.run_all(runs, save, cluster=address, allow_sample=True)
        left = [w["name"] for w in watching.scheduler_info()["workers"].values()]
    assert failed == []
    assert sorted(lost + left) == ["w0", "w1"], "one was killed while it was making a run"
    assert sorted((r.experiment, r.seed) for r in found) == sorted(runs), "each run once"
    assert repeatable(found) == {run: serial[run] for run in runs}


def test_a_cluster_whose_scheduler_is_killed_in_the_middle_is_told(two_workers):
    """It comes last: nothing is left of the two workers' cluster."""
    found = []

    def save(record):
        found.append(record)
        two_workers[1]["scheduler"].kill()

    with pytest.raises(RuntimeError, match="scheduler is gone; .* runs are left, and the same"):
        sweep.run_all(RUNS + [("tiny", 2)], save, cluster=two_workers[0], allow_sample=True)
    assert 1 <= len(found) < 5


def test_a_run_that_brings_down_its_worker_each_time_is_told(tmp_path, monkeypatch, capsys):
    pytest.importorskip("distributed")
    killer = Experiment({}, "a test", run=always_killed, minutes=9)
    monkeypatch.setitem(catalogue.EXPERIMENTS, "killer", killer)
    with cluster(tmp_path, workers=2, SCHEDULER__ALLOWED_FAILURES=0) as (address, _):
        found, failed = made([("killer", 0), ("tiny", 0)], cluster=address)
    assert failed == ["killer/0"] and [r.experiment for r in found] == ["tiny"]
    assert "KilledWorker" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["nothing there", "another service", "http", "nonsense", "tls"])
def test_a_cluster_that_is_not_there_is_one_line(what, monkeypatch, tmp_path, capsys):
    pytest.importorskip("distributed")
    assert sweep.PATIENCE <= 30
    monkeypatch.setattr(sweep, "PATIENCE", 0.3)
    waited, timeout = [], asyncio.timeout  # no clock: how long it takes depends on the machine
    monkeypatch.setattr(asyncio, "timeout", lambda delay: waited.append(delay) or timeout(delay))
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1] if what == "another service" else free_port()
        address = f"{what if ' ' not in what else 'tcp'}://127.0.0.1:{port}"
        words = ["run", "tiny", "--out", str(tmp_path / "o"), "--allow-sample"]
        assert main.main([*words, "--cluster", address]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"cluster='{address}': no Dask scheduler answers there" in line
    assert 0.3 in waited


def test_a_cluster_is_found_from_a_notebook_where_a_loop_is_running():
    comm = pytest.importorskip("distributed.comm")
    found, done = queue.SimpleQueue(), threading.Event()

    async def answer(connection):
        pass

    async def serve():
        async with comm.listen("tcp://127.0.0.1:0", answer) as listener:
            found.put(listener.contact_address)
            await asyncio.to_thread(done.wait)

    async def notebook(address):
        sweep._check_address(address)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        asyncio.run(notebook(found.get(timeout=60)))
    finally:
        done.set()
        thread.join()


def test_what_is_no_matter_of_the_connection_is_not_called_one(monkeypatch):
    def broken(self, role):
        raise RuntimeError("not the network")

    security = pytest.importorskip("distributed").Security
    monkeypatch.setattr(security, "get_connection_args", broken)
    with pytest.raises(RuntimeError, match="not the network"):
        sweep._check_address("tcp://127.0.0.1:9")


class Ended:
    """A Dask future of a run that has ended, with its outcome or an error."""

    def __init__(self, outcome=None, cancelled=False):
        self.outcome, self.cancelled = outcome, lambda: cancelled

    def add_done_callback(self, tell):
        if self.outcome or self.cancelled():
            tell(self)

    def result(self, timeout):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize(
    ("workers", "never", "message"),
    [
        ({}, Ended(), "all workers of the cluster are gone; 1 runs are left, and the same command"),
        (OSError("closed"), Ended(), "the cluster's scheduler does not answer; 1 runs are left"),
        ({"w": 1}, Ended(cancelled=True), "the cluster's scheduler is gone; 1 runs are left"),
    ],
)
def test_a_cluster_that_is_lost_is_told_and_what_had_ended_is_kept(
    workers, never, message, monkeypatch
):
    class Client:
        scheduler = type("Scheduler", (), {"ncores": None})

        def sync(self, *_, callback_timeout):
            if isinstance(workers, Exception):
                raise workers
            return workers

    monkeypatch.setattr(sweep, "PATIENCE", 0.1)
    outcome = sweep.Outcome("tiny", 0, None, "made")
    runs = {Ended(outcome): ("tiny", 0), Ended(OSError("lost")): ("tiny", 1), never: ("tiny", 2)}
    found = []
    with pytest.raises(RuntimeError, match=message):
        for each in sweep._as_they_end(Client(), runs):
            found.append(each)
    assert found == [outcome, sweep.Outcome("tiny", 1, None, "tiny/1: OSError: lost")]


def test_two_changed_checkouts_of_one_commit_have_other_code(tmp_path, monkeypatch):
    fresh = sweep.current_code.__wrapped__
    monkeypatch.setattr(sweep, "current_commit", lambda: "0123-dirty")
    monkeypatch.setattr(sweep, "PACKAGE", tmp_path)
    (tmp_path / "train.py").write_text("rate = 1\n")
    first = fresh()
    assert first.startswith("commit 0123-dirty with files ") and fresh() == first
    (tmp_path / "train.py").write_text("rate = 2\n")
    assert fresh() != first
