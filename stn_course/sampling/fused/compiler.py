"""warp.c compiled by the machine's own compiler, once, and kept in the user's cache.

The library's name holds a hash of all that it depends on, the source, the flags, the compiler and
the processor, and a hash of what is inside. `STN_COURSE_CACHE` names another folder than the user's
cache, `CC` another compiler.
"""

import atexit
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
FUNCTIONS = ("scratch_floats", "warp_pieces", "warp_forward", "warp_backward", "warp_background")
SECONDS = 60.0


class BuildError(RuntimeError):
    """No library: what was tried and what the compiler said."""


@cache
def library() -> ctypes.CDLL:
    """The compiled warp.c. Raises BuildError where it cannot be compiled or loaded."""
    compiler, reasons = _compiler(), []
    for folder in (_folder, _own_folder):  # what cannot be kept, or not loaded from there, can here
        for variant in VARIANTS:
            try:
                return _loaded(_compiled(compiler, variant, folder()))
            except OSError as error:  # this variant does not load here: an unresolved symbol, say
                reasons.append(f"{' '.join(variant)}: {error}")
            except subprocess.TimeoutExpired as error:  # the others would take as long
                raise BuildError(f"{compiler[0]} did not end within {error.timeout:g} s") from None
            except subprocess.SubprocessError as error:
                said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()
                reasons.append(f"{' '.join(variant)}: {said or error}")
    said = reasons[-1].strip(": ").splitlines()  # of the plainest flags
    why = next((line for line in said if "error" in line), said[0])
    told = f"{compiler[0]} gave no library that loads ({why})"
    raise BuildError("\n".join([told, *reasons]))


def _loaded(path: Path) -> ctypes.CDLL:
    """The library in a file; OSError where it is not one of warp.c."""
    found = ctypes.CDLL(str(path))
    if missing := [name for name in FUNCTIONS if not hasattr(found, name)]:
        raise OSError(f"{path} has no {', '.join(missing)}")
    return found


def _compiler() -> list[str]:
    """The command that compiles C, as words. Raises BuildError where there is none."""
    if sys.platform == "win32":
        raise BuildError("Windows has no C compiler by default")
    asked = os.environ.get("CC", "")
    try:
        named, *more = shlex.split(asked) or [None]  # "ccache gcc" is two words
    except ValueError as error:
        raise BuildError(f"CC={asked!r} is no command: {error}") from None
    compiler = shutil.which(named) if named else shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        why = f"CC={asked!r} is not found" if named else "there is no C compiler (cc)"
        raise BuildError(f"{why} on this machine")
    return [compiler, *more]


def _compiled(compiler: list[str], variant: tuple[str, ...], folder: Path) -> Path:
    """Where the library of these flags lies, compiled now unless it was."""
    source, program = SOURCE.read_bytes(), Path(compiler[0]).resolve()
    found = program.stat()
    parts = [FLAGS, variant, str(program), *compiler[1:], found.st_size, found.st_mtime_ns]
    key = hashlib.sha256(source + repr([*parts, _processor()]).encode()).hexdigest()[:20]
    for kept in sorted(folder.glob(f"warp-{key}-*.so")):
        if _is_ours(kept) and kept.stem.endswith(_hash(kept)):
            return kept
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        half, whole = Path(scratch) / "warp.o", Path(scratch) / "warp.so"
        steps = (
            [*FLAGS, *variant, "-c", str(SOURCE), "-o", str(half)],
            ["-shared", str(half), "-o", str(whole)],
        )
        for step in steps:
            subprocess.run([*compiler, *step], check=True, capture_output=True, timeout=SECONDS)
        path = folder / f"warp-{key}-{_hash(whole)}.so"
        os.replace(whole, path)  # at once: another process sees all of it or nothing
    return path


def _hash(path: Path) -> str:
    """Of what is inside: a library that is cut short would bring the process down."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:20]


def _is_ours(path: Path) -> bool:
    """Whether nobody else could have put it there: what is loaded runs as this user."""
    found = path.stat()
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _processor() -> str:
    """What -march=native depends on."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return platform.platform() + platform.processor()
    kept = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in text.splitlines() if line.startswith(kept)}))


def _folder() -> Path:
    """A folder to keep libraries in; one that only this process uses where none can be kept."""
    named, user = os.environ.get("STN_COURSE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    try:
        folder = Path(named or f"{user or '~/.cache'}/stn-course").expanduser() / "fused"
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        with tempfile.TemporaryFile(dir=folder):
            return folder if _is_ours(folder) else _own_folder()
    except (OSError, RuntimeError):  # not to be written; nobody's home
        return _own_folder()


@cache
def _own_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="stn-course-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
