"""Run records: one JSON file a training run, the source of every number shown.

A record lives at `records/runs/<experiment>/<seed>.json`. Tables, figures and
the numbers in prose are functions of records alone.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from stn_course.files import finished, only_writer, write_atomically
from stn_course.training.record import PACKAGE, RunRecord, dumps, loads


def records_dir() -> Path:
    """Where the committed records are: the checkout's, else those in the package."""
    checkout = PACKAGE.parent / "records" / "runs"
    return checkout if checkout.is_dir() else PACKAGE / "_records" / "runs"


def save(record: RunRecord, folder: Path | None = None) -> Path:
    """Write `record` atomically below `folder` (default: the committed records)."""
    path = Path(folder or records_dir()) / record.experiment / f"{record.seed}.json"
    write_atomically(path, dumps(record).encode())
    return path


def load(experiment: str, folder: Path | None = None) -> list[RunRecord]:
    """All records of `experiment`, by seed; an empty list where there is none.

    Raises ValueError for a file that is no record, or the record of another run: a copy that
    somebody left there would count twice.
    """
    found = []
    for path in finished(Path(folder or records_dir()) / experiment, "*.json"):
        record = loads(_text(path), str(path))
        if (record.experiment, f"{record.seed}.json") != (experiment, path.name):
            raise ValueError(
                f"{path} is the record of {record.experiment}, seed {record.seed}; wanted that of "
                f"{experiment}, seed {path.stem}"
            )
        found.append(record)
    return sorted(found, key=lambda r: r.seed)


Check = Callable[[RunRecord], None]  # raises ValueError for a record that is not wanted


def runs_in(path: Path, *checks: Check) -> set[tuple[str, int]]:
    """The (experiment, seed) pairs already in a JSONL of records; none if it is not there.

    Raises ValueError that names the line for what is no record, or which one of `checks` does
    not want.
    """
    if not Path(path).exists():
        return set()
    return {(r.experiment, r.seed) for _, r in _records_in(path, *checks)}


def append(path: Path, record: RunRecord) -> None:
    """Add `record` as a line; where the disk takes only a part of it, none of it stays.

    A line of its own, also where the last one has no end: an editor or a kill took it.
    """
    line = (json.dumps(json.loads(dumps(record))) + "\n").encode()
    with open(path, "ab+", buffering=0) as file:  # a buffer would be written once more at the end
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            line = line if file.read(1) == b"\n" else b"\n" + line
        try:
            while line:
                line = line[file.write(line) :]
        except OSError as error:
            file.truncate(end)
            error.filename = str(path)  # a write names none
            raise


def is_full(record: RunRecord) -> bool:
    """Whether no part of the data was the offline sample."""
    # Cluttered sets are "regenerated from full MNIST"; squares are drawn, from "none".
    return "full MNIST" in record.digits or record.digits.startswith("none:")


def check_full(record: RunRecord) -> None:
    """ValueError for a record that the offline sample made."""
    if not is_full(record):
        raise ValueError(f"made from the {record.digits}; wanted the full MNIST")


def check_commit(record: RunRecord) -> None:
    """ValueError for a record of code that cannot be found again, the whole of it or a part."""
    commits = {"": record.commit} | {
        f" from step {part['step']} on": part["commit"] for part in record.parts
    }
    for where, commit in commits.items():
        if not re.fullmatch(r"[0-9a-f]{40}", commit):
            raise ValueError(
                f"commit={commit!r}{where}; wanted the 40 digits of one that can be found"
            )


def _records_in(path: Path, *checks: Check) -> Iterator[tuple[str, RunRecord]]:
    """(where it stands, record) of each line of a JSONL, or of a run folder's record.json."""
    for where, text in _texts_in(path):
        record = loads(text, where)
        try:
            for check in checks:
                check(record)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        yield where, record


def _texts_in(path: Path) -> Iterator[tuple[str, str]]:
    text = _text(Path(path))
    if text.startswith("{\n"):  # `record.dumps` makes many lines of one record
        yield str(path), text
        return
    for k, line in enumerate(text.splitlines(), 1):
        yield f"{path}, line {k}", line


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text, so it holds no records") from None


def file_records(
    path: Path,
    folder: Path | None = None,
    again: bool = False,
    check: Check | None = None,
) -> dict[str, int]:
    """File the records of a JSONL (as `stn-course run --out` writes it) below `folder`.

    A run folder's record.json will do, too.
    Returns how many were `filed`, were there already (`same`), or `replaced` another of
    the same experiment and seed, which only `again` allows: of two lines it takes the last.
    Everything is checked before anything is written, by `check` too, which raises ValueError
    for what it does not want.
    Raises ValueError that names the line for what is no record, comes from the offline sample
    or from a changed checkout, stands there twice, or would replace another; BusyError while
    runs of one of these experiments are made into `folder`.
    """
    path, folder = Path(path), Path(folder or records_dir())
    checks = [check_full, check_commit, *([check] if check else [])]
    last: dict[Path, tuple[str, RunRecord]] = {}
    for where, record in _records_in(path, *checks):
        target = folder / record.experiment / f"{record.seed}.json"
        if target in last and last[target][1] != record and not again:
            raise ValueError(
                f"{where}: {target.stem} of {record.experiment} again, and different; --again "
                "(again=True) takes the last"
            )
        last[target] = where, record
    with only_writer(*(target.parent for target in last)):
        return _file(list(last.values()), folder, again)


def _file(found: list[tuple[str, RunRecord]], folder: Path, again: bool) -> dict[str, int]:
    """What `file_records` does with records (where each stands, the record) that are whole."""
    todo, count = [], {"filed": 0, "same": 0, "replaced": 0}
    for where, record in found:
        target = folder / record.experiment / f"{record.seed}.json"
        old = loads(_text(target), str(target)) if target.exists() else None
        if old == record:
            count["same"] += 1
            continue
        if old and not again:
            raise ValueError(
                f"{where}: {target} holds another record; --again (again=True) replaces it"
            )
        count["replaced" if old else "filed"] += 1
        todo.append(record)
    for record in todo:
        save(record, folder)
    return count
