"""warp.c compiled by the machine's own compiler, once, and kept in the user's cache.

The library's name holds a hash of all that it depends on: the source, the flags, the compiler and
the processor. `STN_COURSE_CACHE` names another folder than the user's cache, `CC` another compiler.
"""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("warp.c")
# Neither NaN nor the order of sums is given up: only errno and floating-point traps are.
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-fPIC")
# Best first. OpenMP is compiled for but not linked to: torch has loaded the one it uses itself,
# and a second one beside it would mean a second pool of threads that wait for the same cores.
VARIANTS = (
    ("-march=native", "-fopenmp"),
    ("-march=native", "-fopenmp-simd"),
    ("-mcpu=native", "-fopenmp"),
    ("-fopenmp-simd",),
    (),
)
SECONDS = 120.0


class BuildError(RuntimeError):
    """No library: what was tried and what the compiler said."""


@cache
def library() -> ctypes.CDLL:
    """The compiled warp.c. Raises BuildError where it cannot be compiled or loaded."""
    if sys.platform == "win32":
        raise BuildError("Windows has no C compiler by default")
    named, *more = shlex.split(os.environ.get("CC", "")) or [None]  # "ccache gcc" is two words
    compiler = shutil.which(named) if named else shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        why = f"CC={os.environ['CC']!r} is not found" if named else "there is no C compiler (cc)"
        raise BuildError(f"{why} on this machine")
    reasons = []
    for variant in VARIANTS:
        try:
            return ctypes.CDLL(str(_compiled([compiler, *more], variant)))
        except OSError as error:  # this variant does not load here: an unresolved symbol, say
            reasons.append(f"{' '.join(variant)}: {error}")
        except subprocess.SubprocessError as error:
            said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()
            reasons.append(f"{' '.join(variant)}: {said or error}")
    raise BuildError(f"{compiler} gave no library that loads\n" + "\n".join(reasons))


def _compiled(compiler: list[str], variant: tuple[str, ...]) -> Path:
    """Where the library of these flags lies, compiled now unless it was."""
    source, program = SOURCE.read_bytes(), Path(compiler[0]).resolve()
    found = program.stat()
    parts = [FLAGS, variant, str(program), *compiler[1:], found.st_size, found.st_mtime_ns]
    key = hashlib.sha256(source + repr([*parts, _processor()]).encode()).hexdigest()[:20]
    path = _folder() / f"warp-{key}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            half, whole = Path(scratch) / "warp.o", Path(scratch) / "warp.so"
            steps = (
                [*FLAGS, *variant, "-c", str(SOURCE), "-o", str(half)],
                ["-shared", str(half), "-o", str(whole)],
            )
            for step in steps:
                subprocess.run([*compiler, *step], check=True, capture_output=True, timeout=SECONDS)
            os.replace(whole, path)  # at once: another process sees all of it or nothing
    return path


def _processor() -> str:
    """What -march=native depends on."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return platform.platform() + platform.processor()
    kept = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in text.splitlines() if line.startswith(kept)}))


def _folder() -> Path:
    """A folder to keep libraries in; one that only this process uses where none can be written."""
    named = os.environ.get("STN_COURSE_CACHE")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stn-course"
    folder = (Path(named).expanduser() if named else user) / "fused"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return _own_folder()


@cache
def _own_folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="stn-course-")
    _KEPT.append(folder)  # removed when the process ends
    return Path(folder.name)


_KEPT: list[tempfile.TemporaryDirectory] = []
