"""What lies around torch: packages to install, two that clash, idle threads, freed memory."""

import ctypes
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

CHECKOUT = Path(__file__).resolve().parents[1]


def how_to_install(extra: str) -> str:
    """The command that installs the course with `extra` from where it was installed here.

    That is a checkout, a folder or a file, or an address. No index is named: whoever holds the
    course's name there need not be us.
    """
    if (CHECKOUT / "constraints.txt").is_file():
        return (
            f"in a checkout of the course, python -m pip install -c constraints.txt -e '.[{extra}]'"
        )
    try:
        told = json.loads(distribution("stn-course").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        told = {}
    url = told.get("url", "")
    if url.startswith("file:"):
        return f"python -m pip install --upgrade '{unquote(urlsplit(url).path)}[{extra}]'"
    if url:
        its = told.get("vcs_info", {})
        url = f"{its['vcs']}+{url}@{its['commit_id']}" if its else url
        return f"python -m pip install --upgrade 'stn-course[{extra}] @ {url}'"
    return f"install the course again from where you have it, with [{extra}] behind its name"


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Imports in the block come with `extra`, one of the optional dependencies in pyproject.toml.

    Where one is missing, raises ModuleNotFoundError that names it, the extra, and how to install.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        raise ModuleNotFoundError(
            f"{name} is not installed; it comes with the extra `{extra}`: {how_to_install(extra)}",
            name=name,
        ) from error


# ---------------------------------------------------------------- Triton beside TensorFlow
# Each brings an LLVM of its own. Where TensorFlow is loaded first, Triton's library takes functions
# of the same name from TensorFlow's, of another version, and the process dies without a word:
# at the first optimiser of torch, which loads Triton. Told to look at home first, it does not.
LIBRARY = "triton._C.libtriton"


class AtHomeFirst(ExtensionFileLoader):
    """Loads a library that looks for its functions in itself before it looks elsewhere."""

    def create_module(self, spec: ModuleSpec):
        before = sys.getdlopenflags()
        sys.setdlopenflags(before | os.RTLD_DEEPBIND)
        try:
            return super().create_module(spec)
        finally:
            sys.setdlopenflags(before)


class Finder:
    """Finds Triton's library as Python does, and loads it like that once TensorFlow is there."""

    @staticmethod
    def find_spec(name: str, path=None, target=None) -> ModuleSpec | None:
        if name != LIBRARY or sys.modules.get("tensorflow") is None:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and hasattr(os, "RTLD_DEEPBIND"):
            spec.loader = AtHomeFirst(spec.name, spec.origin)
        return spec


def bear_each_other() -> None:
    """From here on `import triton` and what loads it may follow `import tensorflow`."""
    if Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)


# ---------------------------------------------------------------- torch beside torch
# A thread of OpenMP that has nothing to do spins before it sleeps, by default for milliseconds: the
# quickest while it has a core to itself. Where two processes share the cores (two notebooks, a run
# beside a page), each spins away the time that the other needs, and both are several times slower.
# A short spin has nearly all of the first and none of the second. Each OpenMP reads this when it
# is loaded: libgomp (torch for Linux) counts turns, those of LLVM and Intel milliseconds.
WAITING = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}


def how_threads_wait() -> dict[str, str]:
    """The settings in force of how idle threads wait: {name: value}, {} for OpenMP's own way."""
    return {name: os.environ[name] for name in ("OMP_WAIT_POLICY", *WAITING) if name in os.environ}


def wait_briefly() -> None:
    """From here on OpenMP, where it is not loaded yet, and that of child processes waits briefly.

    Whoever has set one of these variables is left alone.
    """
    if not how_threads_wait():
        os.environ.update(WAITING)


# ---------------------------------------------------------------- memory that is used again
# The GNU C library hands large blocks back to the system as soon as they are free. A step of
# training frees and asks for the same blocks again, and each of their pages is then found and
# zeroed anew: a tenth of the time of the STN paper's networks. Kept, they are there at once.
TRIM_THRESHOLD, MMAP_MAX = -1, -4  # of mallopt, in malloc.h
MALLOC = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_memory() -> bool:
    """From here on this process keeps what is freed for what it asks for next; whether it does.

    Where another C library is in use, or its user has set how memory is handed out, all stays as
    it is. The most memory that is in use at a time is the same.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in MALLOC):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all([mallopt(TRIM_THRESHOLD, 2**31 - 1), mallopt(MMAP_MAX, 0)])
