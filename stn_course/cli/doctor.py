"""Is this machine ready for the course? `stn-course doctor`: a line for each need, and its cure.

Imports what it examines inside each check, so that it can say what is missing.
"""

import shutil
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

from stn_course.extras import WAITING, how_threads_wait, how_to_install

CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = "python -m pip install -c constraints.txt -e '.[course,tf,book]'"


class Finding(NamedTuple):
    """One thing a reader needs: `detail` says what was found or, if not `ok`, the cure."""

    what: str
    ok: bool
    detail: str
    needed: bool = True


def report() -> list[Finding]:
    """Every check, in the order in which a failing one explains those after it."""
    return [
        check()
        for check in (
            check_python,
            check_packages,
            device,
            threads,
            check_fast_warp,
            check_digits,
            check_jupyter_kernel,
            check_browser,
        )
    ]


def main() -> int:
    """Print the report; 0 if everything needed is there, else 1."""
    findings = report()
    for line in findings:
        state = "OK" if line.ok else "TO DO" if line.needed else "optional"
        print(f"{line.what:<9} {state:<9} {line.detail}")
    missing = [line.what for line in findings if line.needed and not line.ok]
    print(f"not ready: {', '.join(missing)}" if missing else "ready")
    return 1 if missing else 0


def check_python() -> Finding:
    here = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return Finding("Python", True, here)
    return Finding("Python", False, f"{here} found; install 3.11, 3.12 or 3.13 and set up again")


def check_packages(lock: Path = CONSTRAINTS) -> Finding:
    """Installed versions against the lock in a checkout, else against the package's own ranges."""
    try:
        if lock.is_file():
            wrong, count = against_lock(lock.read_text(encoding="utf-8"))
            against = "the versions of constraints.txt"
        else:
            wrong, count = against_ranges(requires("stn-course") or [])
            against = "the ranges that stn-course asks for"
    except ModuleNotFoundError:  # it, or `packaging`, which comes with it
        return Finding("packages", False, f"stn-course is not installed: {INSTALL}")
    if not wrong:
        return Finding("packages", True, f"{count} have {against}")
    shown = ", ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
    cure = f"make setup, or {INSTALL}" if lock.is_file() else how_to_install("course")
    return Finding("packages", False, f"{shown}; to cure: {cure}")


def against_lock(text: str) -> tuple[list[str], int]:
    """Packages that differ from their pin, or that the course needs and that are missing.

    Also the number of packages looked at. Pins of extras that are not installed do not count.
    """
    from packaging.requirements import Requirement

    pins = [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]
    wrong, count = against_ranges(requires("stn-course") or [])
    for pin in pins:
        found = _installed(pin.name)
        if found is None or (pin.marker and not pin.marker.evaluate()):
            continue
        count += 1
        if not pin.specifier.contains(found.split("+")[0], prereleases=True):
            wrong.append(f"{pin.name} is {found}, wanted {pin.specifier}")
    return wrong, count


def against_ranges(requirements: list[str]) -> tuple[list[str], int]:
    """Packages out of their range or missing, of the core and of `course`; the number looked at."""
    from packaging.requirements import Requirement

    wrong, count = [], 0
    for need in map(Requirement, requirements):
        if need.marker and not any(need.marker.evaluate({"extra": e}) for e in ("", "course")):
            continue
        count += 1
        found = _installed(need.name)
        if found is None:
            wrong.append(f"{need.name} is missing")
        elif not need.specifier.contains(found, prereleases=True):
            wrong.append(f"{need.name} is {found}, wanted {need.specifier}")
    return wrong, count


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def device() -> Finding:
    try:
        import torch

        name = "cuda" if torch.cuda.is_available() else "cpu"
        torch.ones(2, device=name).sum().item()
    except (ImportError, OSError, RuntimeError) as error:
        last = str(error).splitlines()[-1]
        return Finding("device", False, f"torch does not work ({last}); reinstall it: {INSTALL}")
    if name == "cuda":
        return Finding("device", True, f"cuda: {torch.cuda.get_device_name()}")
    return Finding("device", True, f"cpu, {torch.get_num_threads()} threads")


def threads() -> Finding:
    """How OpenMP's idle threads wait, which decides how two processes share the cores."""
    found = how_threads_wait()
    if found == WAITING:
        return Finding("threads", True, "idle ones wait briefly: two processes share the cores")
    own = ", ".join(f"{name}={value}" for name, value in found.items())
    return Finding("threads", True, f"idle ones wait as you have set it: {own}")


def check_fast_warp() -> Finding:
    """Whether the fast warp works here; without it the sampler does the same, more slowly."""
    try:
        from stn_course.sampling.fused import compiler
    except ImportError as error:
        return Finding("warp", False, f"{error}; install it: {INSTALL}", needed=False)
    try:
        compiler.library()
    except compiler.BuildError as error:
        why = str(error).splitlines()[0]
        return Finding("warp", False, f"{why}; the sampler does its work", needed=False)
    return Finding("warp", True, "fast: compiled by this machine's C compiler", needed=False)


def check_digits() -> Finding:
    """The digits that the course would use: read and verified, downloaded if need be."""
    try:
        from stn_course import data

        found = data.mnist("test")
    except FileNotFoundError as error:  # of a folder that was named: it says the cure itself
        return Finding("digits", False, str(error))
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        return Finding("digits", False, f"{error} (`stn-course data` fetches and verifies them)")
    count = f"{len(found.labels):,}".replace(",", " ")
    if data.is_sample():
        cure = "a sample is enough to read; for all of MNIST go online and run `stn-course data`"
        return Finding("digits", True, f"{found.source}, {count} to test on: {cure}")
    return Finding("digits", True, f"{found.source}, {count} to test on, verified")


def check_jupyter_kernel() -> Finding:
    cure = "python -m ipykernel install --sys-prefix"
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

        spec = KernelSpecManager().get_kernel_spec("python3")
    except ImportError as error:
        return Finding("kernel", False, f"{error}; install it: {INSTALL}")
    except NoSuchKernel:
        return Finding("kernel", False, f"Jupyter finds no Python kernel: {cure}")
    # Jupyter reads a bare "python" in a kernel's command as the interpreter that it runs under.
    command = sys.executable if Path(spec.argv[0]).name == spec.argv[0] else spec.argv[0]
    if shutil.which(command) is None:
        return Finding("kernel", False, f"it starts {command}, which is not there: {cure}")
    return Finding("kernel", True, f"{spec.display_name}, started by {command}")


def check_browser() -> Finding:
    """Only the tests of the book drive a browser; reading and running the course need none."""
    for name in BROWSERS:
        found = shutil.which(name)
        if found:
            return Finding("browser", True, found, needed=False)
    cure = "none found; only the tests of the book use one (Debian: apt-get install chromium)"
    return Finding("browser", False, cure, needed=False)
