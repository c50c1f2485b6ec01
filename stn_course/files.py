"""Files that are written whole or not at all, and by one process at a time."""

import glob
import os
import secrets
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ABANDONED = 3600.0  # seconds after which a half-written file has no writer any more


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` when the block has ended.

    Each writer has a name of its own, so of two at once the later one stands there, whole. What
    is written is on the disk before it gets its name. An error in the block leaves `path` as it
    was. What killed writers left is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}.partial{path.suffix}")
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        if error.errno and error.filename in (None, str(partial), partial):
            error.filename = str(path)  # the name that somebody knows
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """The file at `path` is the old one or the new one, never half of either."""
    with written_whole(path) as partial:
        partial.write_bytes(data)


def finished(folder: Path, pattern: str) -> list[Path]:
    """What matches below `folder`, sorted, without what a killed writer left half done."""
    return sorted(path for path in Path(folder).glob(pattern) if not path.name.startswith("."))


def rescue(name: str, data: bytes) -> Path | None:
    """Write what found no place to a file `name` in a new temporary folder: where, or None."""
    try:
        path = Path(tempfile.mkdtemp(prefix="stn-course-kept-")) / name
        write_atomically(path, data)
    except OSError:  # whoever asks has an error to tell already
        return None
    return path


def check_writable(folder: Path) -> None:
    """Make `folder` if need be; an OSError that names it where nothing can be written there."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        told = f"cannot be written to: {error.strerror}"
        raise type(error)(error.errno, told, str(folder)) from None


class BusyError(RuntimeError):
    """Another process writes there: the message says which, on what machine, since when."""


class RemovedError(RuntimeError):
    """A folder that this process writes to was removed or moved away by another."""


@contextmanager
def only_writer(*folders: Path, file: Path | None = None) -> Iterator[None]:
    """No other process writes to `folders`, or to `file`, until the block has ended.

    The lock is the operating system's, on a file `.lock` in the folder or one beside `file`: it
    ends with its process, however that ends. That file goes when the block ends; what a kill
    leaves of it locks nothing. A folder that is not there is made, and goes again if it is empty
    at the end. Raises BusyError where another has one of them, and OSError where nothing can be
    written; at the end RemovedError where a folder was removed or moved away meanwhile. On
    Windows the lock is that of `msvcrt`; on a file system without locks `filelock`
    warns, and what a kill leaves there is to be deleted by hand.
    """
    with ExitStack() as stack:
        for folder in dict.fromkeys(map(Path, folders)):
            stack.enter_context(_locked(folder / ".lock", folder))
        if file:
            real = Path(file).resolve()  # of two links to one file each is that file
            stack.enter_context(_locked(real.with_name(f".{real.name}.lock"), Path(file)))
        yield


@contextmanager
def _locked(lock: Path, what: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout  # torch has brought it; whoever only reads needs none

    made = [folder for folder in lock.parents if not folder.exists()]  # the innermost first
    held = FileLock(lock)
    try:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            held.acquire(timeout=0)
            _say_who(lock)
        except Timeout:
            told = f"{what} is being written to by {_holder(lock)}; wait for it"
            raise BusyError(told) from None
        except OSError as error:
            told = f"cannot be written to: {error.strerror}"
            raise type(error)(error.errno, told, str(what)) from None
        ours = lock.stat().st_ino
        try:
            yield
            if not _is(lock, ours):
                raise RemovedError(
                    f"{what} was removed or moved away while this wrote to it: what it wrote "
                    "before that is not there"
                )
        finally:
            if os.name != "nt" and _is(lock, ours):  # there filelock removes it, once it is free
                lock.unlink()
            held.release()
    finally:
        for folder in made:
            try:
                folder.rmdir()
            except OSError:  # something was written there
                break


def _is(path: Path, number: int) -> bool:
    return path.exists() and path.stat().st_ino == number


def _say_who(file: Path) -> None:
    """Write down who has the lock, behind the first byte: on Windows that one is locked."""
    since = time.strftime("%Y-%m-%d %H:%M:%S %z")
    with open(file, "rb+", buffering=0) as told:
        told.seek(1)
        told.write(f"process {os.getpid()} on {socket.gethostname()} since {since}\n".encode())
        told.truncate()


def _holder(file: Path) -> str:
    try:
        with open(file, "rb", buffering=0) as told:
            told.seek(1)
            return told.read().decode(errors="replace").strip() or "another process"
    except FileNotFoundError:  # it has ended meanwhile
        return "another process"


def _sweep(path: Path) -> None:
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial*"):
        try:
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()
        except FileNotFoundError:  # another writer swept it
            continue
