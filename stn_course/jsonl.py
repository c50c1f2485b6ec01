"""Records that another machine made, one a line, as ``stn-course run --out`` writes them."""

from collections.abc import Callable, Iterator
from pathlib import Path

from stn_course import records
from stn_course.records import RunRecord


def runs_in(path: Path, must_exist: bool = False) -> set[tuple[str, int]]:
    """The (experiment, seed) pairs already in a JSONL of records; none if it is not there.

    With ``must_exist`` a missing file is a FileNotFoundError.
    """
    if not must_exist and not Path(path).exists():
        return set()
    return {(r.experiment, r.seed) for _, r in _records_in(path)}


def _records_in(path: Path) -> Iterator[tuple[str, RunRecord]]:
    """(where it stands, record) of each line of a JSONL, or of a run folder's record.json."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text, so it holds no records") from None
    if text.startswith("{\n"):  # `records.dumps` makes many lines of one record
        yield str(path), records.loads(text, str(path))
        return
    for k, line in enumerate(text.splitlines(), 1):
        where = f"{path}, line {k}"
        yield where, records.loads(line, where)


def file_records(
    path: Path,
    folder: Path | None = None,
    again: bool = False,
    check: Callable[[RunRecord], None] | None = None,
) -> dict[str, int]:
    """File the records of a JSONL (as ``stn-course run --out`` writes it) below ``folder``.

    A run folder's record.json will do, too.
    Returns how many were ``filed``, were there already (``same``), or ``replaced`` another of
    the same experiment and seed, which only ``again`` allows.  Everything is checked before
    anything is written, by ``check`` too, which raises ValueError for what it does not want.
    Raises ValueError that names the line for what is no record, comes from the offline sample
    or from a changed checkout, stands there twice, or would replace another.
    """
    path, folder = Path(path), Path(folder or records.records_dir())
    todo, count = {}, {"filed": 0, "same": 0, "replaced": 0}
    for where, record in _records_in(path):
        # Cluttered sets are "regenerated from full MNIST"; squares are drawn, from "none".
        if "full MNIST" not in record.digits and not record.digits.startswith("none:"):
            raise ValueError(f"{where}: made from the {record.digits}; wanted the full MNIST")
        try:
            if check:
                check(record)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        if record.commit == "unknown" or record.commit.endswith("-dirty"):
            raise ValueError(f"{where}: commit={record.commit!r}; wanted one that can be found")
        target = folder / record.experiment / f"{record.seed}.json"
        if todo.get(target, record) != record:
            raise ValueError(f"{where}: {target.stem} of {record.experiment} again, and different")
        if target in todo:
            continue
        old = records.loads(target.read_text(), str(target)) if target.exists() else None
        if old == record:
            count["same"] += 1
            continue
        if old and not again:
            raise ValueError(
                f"{where}: {target} holds another record; --again (again=True) replaces it"
            )
        count["replaced" if old else "filed"] += 1
        todo[target] = record
    for record in todo.values():
        records.save(record, folder)
    return count
