"""A Dask cluster of this machine, for tests and for the hunt."""

import contextlib
import os
import socket
import subprocess
import sys

from tests.support import ROOT


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def cluster(tmp_path, workers, **scheduler_settings):
    """A real scheduler and its workers on loopback: (address, processes of the workers)."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    settings = {f"DASK_DISTRIBUTED__{k}": str(v) for k, v in scheduler_settings.items()}
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])  # the workers' runs are from here
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, **settings}
    started = []

    def start(*words):
        log = open(tmp_path / f"{len(started)}.log", "w")
        command = [sys.executable, "-m", *words]
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log))
        log.close()
        return started[-1]

    where = ("--host", "127.0.0.1", "--no-dashboard")
    try:
        scheduler = start("distributed.cli.dask_scheduler", *where, "--port", str(port))
        worker = ("distributed.cli.dask_worker", address, *where, "--nthreads", "1", "--no-nanny")
        yield (
            address,
            {f"w{k}": start(*worker, "--name", f"w{k}") for k in range(workers)}
            | {"scheduler": scheduler},
        )
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()
