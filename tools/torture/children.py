"""Commands of the course in processes that are killed, starved of disk, or left alone."""

import os
import resource
import signal
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import psutil

from stn_course.cli.main import main
from stn_course.experiments import catalogue, records
from stn_course.experiments.experiment import Experiment
from stn_course.training.config import Config

TINY = Config(model="fc", limit=200, epochs=2, batch_size=20, precision="float32")
SMALL = {
    "tiny": Experiment(TINY, "torture", seeds=2, minutes=1),
    "wider": Experiment(replace(TINY, options={"width": 200}), "torture", seeds=2, minutes=1),
}
PATIENCE = 300.0  # seconds; what takes longer hangs
MARK = "TORTURE_CHILD"  # in the environment of what a child starts, also in a session of its own
WRITES = ("open", "os.rename", "os.remove", "os.mkdir", "os.truncate")


class Ended(NamedTuple):
    code: int | None  # negative: killed by that signal; None: it hung, and was killed here
    said: str


def prepare() -> None:
    """Load here, once, what every child needs; children are copies of this process."""
    import matplotlib.pyplot  # noqa: F401
    import torch._dynamo

    import stn_course.experiments.figures
    import stn_course.experiments.sweep
    import stn_course.training.report  # noqa: F401

    torch.set_num_threads(1)
    catalogue.EXPERIMENTS.update(SMALL)


class Child:
    """`stn-course ARGUMENTS` in a process of its own, its records in `folder`/records.

    Or another `program`, which takes arguments and returns an exit code.
    """

    def __init__(
        self, arguments, folder: Path, *, program=main, kill_at: int = 0, most_bytes: int = 0
    ):
        self.said = folder / f"said-{time.monotonic_ns()}"
        arguments = [str(each) for each in arguments]
        self.pid = os.fork()
        if not self.pid:
            self._become(program, arguments, folder, kill_at, most_bytes)

    def _become(self, program, arguments, folder: Path, kill_at: int, most_bytes: int) -> None:
        code = 70
        try:
            os.setsid()
            os.environ[MARK] = str(os.getpid())
            said = os.open(self.said, os.O_CREAT | os.O_WRONLY)
            os.dup2(said, 1), os.dup2(said, 2), os.chdir(folder)
            sys.stdout = os.fdopen(1, "w", buffering=1)
            sys.stderr = os.fdopen(2, "w", buffering=1)
            records.records_dir = lambda: folder / "records"
            if kill_at:
                _die_at_write(kill_at, folder)
            if most_bytes:
                resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
            code = program(arguments)
        except SystemExit as error:
            code = error.code
        except BaseException:
            traceback.print_exc()
        finally:
            try:
                sys.stdout.flush(), sys.stderr.flush()
            finally:
                os._exit(code if isinstance(code, int) else 1)

    def running(self) -> bool:
        """Whether it is, and has not been waited for."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def wait(self, seconds: float = PATIENCE) -> Ended:
        """How it ended; what still runs of it then is killed."""
        end = time.monotonic() + seconds
        while self.running() and time.monotonic() < end:
            time.sleep(0.005)
        hung = self.running()
        if hung:
            os.kill(self.pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        said = self.said.read_text(errors="replace")
        self.said.unlink()
        return Ended(None if hung else code, said)

    def kill_after(self, seconds: float) -> Ended:
        """It ends by itself, or is killed `seconds` from now."""
        end = time.monotonic() + seconds
        while self.running() and time.monotonic() < end:
            time.sleep(0.002)
        if self.running():
            os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def left_over(self, seconds: float = 30.0) -> list[int]:
        """Those processes that it started which still run so much later; they are killed."""
        end = time.monotonic() + seconds
        while (left := self._started()) and time.monotonic() < end:
            time.sleep(0.1)
        for each in left:
            os.kill(each, signal.SIGKILL)
        return left

    def _started(self) -> list[int]:
        found = []
        for each in psutil.process_iter():
            try:
                own = each.environ().get(MARK) == str(self.pid) or os.getpgid(each.pid) == self.pid
                if own and each.status() != psutil.STATUS_ZOMBIE:
                    found.append(each.pid)
            except (psutil.Error, ProcessLookupError):  # it has ended; it is another user's
                continue
        return found


def run(arguments, folder: Path, **how) -> Ended:
    return Child(arguments, folder, **how).wait()


def _die_at_write(number: int, folder: Path) -> None:
    """This process is killed right before it does its `number`th thing to a file in `folder`."""
    left = [number]

    def hear(event, told):
        if event not in WRITES or not told or not isinstance(told[0], str | os.PathLike | bytes):
            return
        if event == "open" and not (
            isinstance(told[2], int) and told[2] & (os.O_WRONLY | os.O_RDWR)
        ):
            return
        if os.path.abspath(os.fsdecode(told[0])).startswith(str(folder)):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)
