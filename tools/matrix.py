"""The oldest and the newest of what the course supports: `make matrix`, or some rows of it.

    python -m tools.matrix --list
    python -m tools.matrix sphinx-oldest python-3.13 --minutes 10

A row is an environment of its own, in a temporary folder. A package is tried over the environment
that this runs in: all else stays as it is. A Python is tried with the versions of constraints.txt.
What cannot be had here, or not within the time, is a result too. Results of earlier rows stay; the
status page shows them.
"""

import argparse
import json
import os
import re
import shutil
import site
import subprocess
import sys
import tempfile
import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from stn_course.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "book" / "matrix.json"
CORE = (
    "tests/geometry/test_geometry.py tests/sampling/test_reference.py tests/training/test_step.py"
)
TESTS = {  # what notices first that a package has changed
    "torch": f"{CORE} tests/sampling/test_fused.py tests/models/test_transformers.py",
    "keras": "tests/keras_twin/test_sampling.py tests/keras_twin/test_parity.py",
    "ipywidgets": "tests/lessons/test_widgets.py",
    "jupyterlab": "tests/browser/test_lab.py tests/project/test_tools.py",
    "sphinx": "tests/project/test_book.py",
    "python": f"{CORE} tests/keras_twin/test_parity.py tests/lessons/test_widgets.py",
}
PYTHONS = ("3.11", "3.13")
LATE = 124  # what `timeout` ends with, too


class Row(NamedTuple):
    name: str
    what: str  # of TESTS
    asked: str  # as pip takes it; of a Python its number


class NotHad(Exception):
    """The environment could not be made: why."""


def rows() -> list[Row]:
    """Both ends of each range in pyproject.toml, and of Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    found = [Row(f"python-{each}", "python", each) for each in PYTHONS]
    for name in TESTS:
        for need in [n for n in map(Requirement, lines) if n.name == name][:1]:
            low = next(s.version for s in need.specifier if s.operator == ">=")
            found.append(Row(f"{name}-oldest", name, f"{name}=={low}"))
            found.append(Row(f"{name}-newest", name, f"{name}{need.specifier}"))
    return found


def make(row: Row, folder: Path, seconds: float) -> Path:
    """The row's interpreter. Raises NotHad where it or its packages are not to be had."""
    base = sys.executable
    if row.what == "python":
        base = shutil.which(f"python{row.asked}")
        if base is None or _said([base, "-c", "print(1)"], 20)[0]:
            raise NotHad(f"there is no Python {row.asked} here")
    below = [] if row.what == "python" else ["--without-pip"]  # it has that of this environment
    code, said = _said([base, "-m", "venv", *below, str(folder)], 120)
    if code:
        raise NotHad(said)
    python = folder / "bin" / "python"
    words = ["-c", "constraints.txt", "-e", ".[course,tf,book,test,cluster]"]
    if row.what != "python":
        own = next(folder.glob("lib/python*/site-packages"))
        (own / "below.pth").write_text("\n".join(site.getsitepackages()) + "\n")
        words = ["--upgrade", row.asked]
    code, said = _said([str(python), "-m", "pip", "install", "-q", *words], seconds)
    if code:
        raise NotHad(said)
    return python


def tried(row: Row, seconds: float) -> dict:
    """What came of a row: the version, `ok`, and the last words of pytest or of pip."""
    with tempfile.TemporaryDirectory(prefix="matrix-") as folder:
        start = time.monotonic()
        made = {"when": f"{datetime.now(UTC):%Y-%m-%d}"}
        try:
            python = make(row, Path(folder) / "venv", seconds)
        except NotHad as error:
            return {"ok": None, "version": "", "said": f"not to be had: {error}"} | made
        left = max(30.0, seconds - (time.monotonic() - start))
        ask = f"from importlib.metadata import version; print(version({row.what!r}))"
        ask = "import platform; print(platform.python_version())" if row.what == "python" else ask
        found = _said([str(python), "-c", ask], 60)[1]
        tests = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        code, said = _said([*tests, *TESTS[row.what].split()], left)
        return {"ok": None if code == LATE else code == 0, "version": found, "said": said} | made


def _said(command: list[str], seconds: float) -> tuple[int, str]:
    """Exit code and last line; LATE where it took longer than it may."""
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | own,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return LATE, f"took longer than {seconds / 60:.0f} minutes"
    lines = (done.stdout.strip() or done.stderr).splitlines()  # pytest tells there, pip here
    kept = [line for line in lines if line.strip() and "notice" not in line] or [""]
    return done.returncode, re.sub(r"\S*/\S*", "...", kept[-1]).strip()[:200]


def table(results: dict[str, dict]) -> list[list[str]]:
    """Rows for the status page: what, version, result, when."""
    word = {True: "passed", False: "FAILED", None: "not tried"}
    return [
        [name, each["version"] or "-", f"{word[each['ok']]}: {each['said']}", each["when"]]
        for name, each in sorted(results.items())
    ]


def results() -> dict[str, dict]:
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="ROW", help="(default: all)")
    parser.add_argument("--minutes", type=float, default=20.0, help="for a row (default: 20)")
    parser.add_argument("--list", action="store_true")
    asked = parser.parse_args(argv)
    chosen = [row for row in rows() if not asked.names or row.name in asked.names]
    if unknown := set(asked.names) - {row.name for row in chosen}:
        parser.error(f"unknown: {sorted(unknown)}; there are {[row.name for row in rows()]}")
    failed = 0
    for row in chosen:
        if asked.list:
            print(f"{row.name:<20} {row.asked:<28} {TESTS[row.what]}")
            continue
        made = tried(row, 60 * asked.minutes)
        failed += made["ok"] is False
        text = json.dumps(results() | {row.name: made}, indent=1, sort_keys=True)
        write_atomically(RESULTS, text.encode() + b"\n")
        print(*table({row.name: made})[0], sep="  ", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
