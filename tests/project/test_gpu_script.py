"""tools/gpu.sh, as far as a machine without a GPU can tell."""

import os
import subprocess
import sys

from tests.support import ROOT

# The modules that a machine with torch, triton, numpy and tqdm alone does not have.
MISSING = ("PIL", "matplotlib", "scipy", "pooch", "tensorflow", "keras", "joblib")


def gpu(tmp_path, *parts, **variables):
    """The script with this Python."""
    words = ["bash", str(ROOT / "tools" / "gpu.sh"), str(tmp_path / "out"), *parts]
    environment = os.environ | {"PYTHON": sys.executable, **variables}
    return subprocess.run(words, capture_output=True, text=True, env=environment)


def test_an_unknown_part_is_named_before_anything_runs(tmp_path):
    done = gpu(tmp_path, "clevr", "lunch")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("part lunch is unknown; wanted check bench sequences")


def test_code_without_a_commit_makes_no_records(tmp_path):
    """They could not be filed: better to hear it before the machine's time is spent."""
    stub = tmp_path / "python"
    stub.write_text("#!/bin/sh\necho unknown\n")
    stub.chmod(0o755)
    done = gpu(tmp_path, "clevr", PYTHON=str(stub))
    assert done.returncode == 1 and "commit=unknown: no record of it could be filed" in done.stderr


def test_runs_and_benchmarks_need_little_beside_torch():
    """Both are imported and plan their work where all else is missing."""
    code = f"""
import sys
sys.modules.update(dict.fromkeys({MISSING!r}))
import benchmarks.__main__
from stn_course.cli import main
assert main.main(["run", "--list"]) == 0
assert main.main(["run", "clevr-rendering-conv-uniform", "--plan", "--again"]) == 0
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "clevr-rendering-conv-uniform/0" in done.stdout
