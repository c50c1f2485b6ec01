"""How OpenMP's idle threads wait, and what becomes of freed memory, in the course's processes."""

import ctypes
import os
import re
import subprocess
import sys

import pytest

from stn_course.cli import doctor
from stn_course.extras import WAITING, how_threads_wait, wait_briefly
from tests.support import ROOT

SETTINGS = ("OMP_WAIT_POLICY", *WAITING)


def told(code: str, **own: str) -> subprocess.CompletedProcess:
    """A fresh Python that runs `code`; OpenMP says its settings when it is loaded."""
    clean = {k: v for k, v in os.environ.items() if k not in SETTINGS}
    clean |= {"PYTHONPATH": str(ROOT), "OMP_DISPLAY_ENV": "VERBOSE", **own}
    return subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True)


def spin(done: subprocess.CompletedProcess) -> str:
    """libgomp's turns before an idle thread sleeps, as it says them itself."""
    assert done.returncode == 0, done.stderr
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("torch's OpenMP here is not GNU's: it does not say its settings like this")
    return re.search(r"GOMP_SPINCOUNT = '(\w+)'", done.stderr)[1]


@pytest.mark.parametrize("course", ["import stn_course", "from stn_course import geometry"])
def test_the_openmp_that_torch_brings_waits_briefly(course):
    assert spin(told(f"{course}\nimport torch")) == WAITING["GOMP_SPINCOUNT"]


def test_alone_it_spins_for_long():  # else the test above would prove nothing
    assert spin(told("import torch")) != WAITING["GOMP_SPINCOUNT"]


@pytest.mark.parametrize(
    "own", [{"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}, {"KMP_BLOCKTIME": "200"}]
)
def test_a_readers_own_setting_wins(own):
    code = "import stn_course, os, torch\nfrom stn_course.extras import how_threads_wait as how\n"
    done = told(code + "print(how())", **own)
    assert done.stdout.strip() == str(own)
    assert spin(done) != WAITING["GOMP_SPINCOUNT"]


def test_the_command_line_and_its_children_wait_briefly():
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import torch'])"
    assert spin(told(f"import stn_course; {code}")) == WAITING["GOMP_SPINCOUNT"]
    run = "import runpy, sys; sys.argv = ['stn-course', 'run', '--plan', 'S1', '--threads', '1']\n"
    done = told(run + "runpy.run_module('stn_course', run_name='__main__')")
    assert spin(done) == WAITING["GOMP_SPINCOUNT"]


def test_what_is_set_is_told(monkeypatch):
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    wait_briefly()
    assert how_threads_wait() == WAITING
    assert "share the cores" in doctor.threads().detail
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    wait_briefly()
    assert "GOMP_SPINCOUNT=7" in doctor.threads().detail


def test_make_lab_hands_it_to_every_kernel():
    """JupyterLab is started by a Python that has imported the course."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"(?m)^lab:.*\n((?:\t.*\n)+)", makefile)[1]
    code = re.search(r"-c '([^']*)'", recipe)[1].replace("lab.main()", "print(lab.main.__name__)")
    shown = told(code + "\nimport os; print(os.environ['GOMP_SPINCOUNT'])")
    assert shown.stdout.split()[-1] == WAITING["GOMP_SPINCOUNT"], shown.stderr


# ---------------------------------------------------------------- memory that is used again
FAULTS = """
import resource, sys, torch
from stn_course import Config, fit
from stn_course.extras import keep_memory
{first}
def pages():
    for _ in range(3):
        torch.ones(10_000_000)  # 40 MB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        torch.ones(10_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(pages())
"""
TRAINED = "fit(Config(model='fc', limit=20, batch_size=10, epochs=1, tests=()))"
glibc = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "gnu_get_libc_version") if os.name == "posix" else True,
    reason="another C library",
)


def faults(first: str, **own: str) -> int:
    """Pages of memory that three blocks of 40 MB, freed in between, were given anew."""
    done = told(FAULTS.format(first=first), OMP_NUM_THREADS="1", **own)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@glibc
def test_a_training_run_keeps_what_it_frees():
    assert faults("keep_memory()") < 100
    assert faults(TRAINED) < 100
    assert faults("") > 10_000  # else the lines above would prove nothing


@glibc
def test_a_readers_own_way_with_memory_stays():
    assert faults("keep_memory()", MALLOC_TRIM_THRESHOLD_="131072") > 10_000
