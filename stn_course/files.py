"""Files that are written whole or not at all: a kill leaves the old one or the new one."""

import glob
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """The file at `path` is the old one or the new one, never half of either."""
    with written_whole(path) as partial:
        partial.write_bytes(data)


def _sweep(path: Path) -> None:
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial*"):
        try:
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()
        except FileNotFoundError:  # another writer swept it
            continue
