"""Run records: one JSON file a training run, the source of every number shown.

A record lives at ``figures/records/<experiment>/<seed>.json``.  Tables, figures and
the numbers in prose are functions of records alone.
"""

import json
import math
import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
# What depends on the machine and the moment, not on the configuration and the seed.
MACHINE_FIELDS = ("commit", "versions", "device", "threads", "seconds")


@dataclass
class RunRecord:
    """What one run was and what came out of it.

    ``results`` maps ``"split/set"`` (``"test/clean"``, ``"valid/hard"``, ...) to
    ``{"correct": int, "total": int, "loss": float}``; ``curves`` holds one number an
    epoch; ``probes`` holds measurements beside accuracy (accuracy against angle, ...).
    """

    experiment: str
    seed: int
    config: dict
    digits: str
    parameters: int
    curves: dict[str, list[float]]
    results: dict[str, dict]
    hashes: dict[str, str]  # SHA-256 of the first batch and of the final weights
    probes: dict[str, dict] = field(default_factory=dict)
    commit: str = "unknown"
    versions: dict[str, str] = field(default_factory=dict)
    device: str = "unknown"
    threads: int = 0
    seconds: float = 0.0

    def repeatable(self) -> dict:
        """The part that the same seed must give again, bit for bit, on one machine."""
        return {k: v for k, v in asdict(self).items() if k not in MACHINE_FIELDS}

    def accuracy(self, which: str) -> float:
        """Accuracy in percent on ``which``, e.g. ``"test/clean"``."""
        if which not in self.results:
            raise KeyError(
                f"which={which!r} is not in the record of {self.experiment}; "
                f"it has {sorted(self.results)}"
            )
        result = self.results[which]
        return 100.0 * result["correct"] / result["total"]


def records_dir() -> Path:
    """Where the committed records are: the checkout's, else those in the package."""
    checkout = PACKAGE.parent / "figures" / "records"
    return checkout if checkout.is_dir() else PACKAGE / "_records"


def save(record: RunRecord, folder: Path | None = None) -> Path:
    """Write ``record`` atomically below ``folder`` (default: the committed records)."""
    path = Path(folder or records_dir()) / record.experiment / f"{record.seed}.json"
    write_atomically(path, dumps(record).encode())
    return path


def dumps(record: RunRecord) -> str:
    return json.dumps(asdict(record), indent=1, sort_keys=True, allow_nan=False) + "\n"


def loads(text: str, source: str = "text") -> RunRecord:
    """Read one record; a missing or unknown field is a ValueError that names it."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{source} is not a record: {error}") from None
    names = {f.name for f in fields(RunRecord)}
    if not isinstance(data, dict) or set(data) != names:
        found = set(data) if isinstance(data, dict) else set()
        raise ValueError(
            f"{source} is not a record: missing {sorted(names - found)}, "
            f"unknown {sorted(found - names)}"
        )
    return RunRecord(**data)


def load(experiment: str, folder: Path | None = None) -> list[RunRecord]:
    """All records of ``experiment``, by seed; an empty list where there is none."""
    paths = (Path(folder or records_dir()) / experiment).glob("*.json")
    records = [loads(p.read_text(), p.name) for p in paths]
    return sorted(records, key=lambda r: r.seed)


def in_jsonl(path: Path, must_exist: bool = False) -> set[tuple[str, int]]:
    """The (experiment, seed) pairs already in a JSONL of records; none if it is not there.

    With ``must_exist`` a missing file is a FileNotFoundError.
    """
    if not must_exist and not Path(path).exists():
        return set()
    return {(r.experiment, r.seed) for _, r in _in_file(path)}


def _in_file(path: Path) -> Iterator[tuple[str, RunRecord]]:
    """(where it stands, record) of each line of a JSONL, or of a run folder's record.json."""
    text = Path(path).read_text()
    if text.startswith("{\n"):  # `dumps` makes many lines of one record
        yield str(path), loads(text, str(path))
        return
    for k, line in enumerate(text.splitlines(), 1):
        where = f"{path}, line {k}"
        yield where, loads(line, where)


def import_jsonl(path: Path, folder: Path | None = None, again: bool = False) -> dict[str, int]:
    """File the records of a JSONL (as ``stn-course run --out`` writes it) below ``folder``.

    A run folder's record.json will do, too.
    Returns how many were ``filed``, were there already (``same``), or ``replaced`` another of
    the same experiment and seed, which only ``again`` allows.  Everything is checked before
    anything is written.  Raises ValueError that names the line for what is no record, comes
    from the offline sample or from a changed checkout, or would replace another.
    """
    path, folder = Path(path), Path(folder or records_dir())
    todo, count = [], {"filed": 0, "same": 0, "replaced": 0}
    for where, record in _in_file(path):
        # Cluttered sets are "regenerated from full MNIST"; squares are drawn, from "none".
        if "full MNIST" not in record.digits and not record.digits.startswith("none:"):
            raise ValueError(f"{where}: made from the {record.digits}; wanted the full MNIST")
        if record.commit == "unknown" or record.commit.endswith("-dirty"):
            raise ValueError(f"{where}: commit={record.commit!r}; wanted one that can be found")
        target = folder / record.experiment / f"{record.seed}.json"
        old = loads(target.read_text(), str(target)) if target.exists() else None
        if old == record:
            count["same"] += 1
            continue
        if old and not again:
            raise ValueError(f"{where}: {target} holds another record; again=True replaces it")
        count["replaced" if old else "filed"] += 1
        todo.append(record)
    for record in todo:
        save(record, folder)
    return count


def history_csv(record: RunRecord) -> str:
    """The curves as CSV, one line an epoch."""
    curves = {name: values for name, values in record.curves.items() if values}
    lines = [",".join(["epoch", *curves])]
    for epoch, values in enumerate(zip(*curves.values(), strict=True), 1):
        lines.append(",".join([str(epoch), *(f"{v:.6g}" for v in values)]))
    return "\n".join(lines) + "\n"


def mean_sd(values: list[float]) -> tuple[float, float, int]:
    """Mean, sample standard deviation (nan below two values) and n."""
    n = len(values)
    if n == 0:
        raise ValueError("values is empty; wanted at least one number")
    mean = math.fsum(values) / n
    sd = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1)) if n > 1 else math.nan
    return mean, sd, n


def accuracy(experiment: str, which: str, folder: Path | None = None) -> tuple[float, float, int]:
    """Mean accuracy in percent, standard deviation over seeds, number of seeds."""
    runs = load(experiment, folder)
    if not runs:
        raise LookupError(f"experiment={experiment!r} has no record; make it with `stn-course run`")
    return mean_sd([r.accuracy(which) for r in runs])


def paired_difference(a: list[float], b: list[float]) -> tuple[float, float]:
    """Mean of b - a over paired seeds, and the half width of its 95 % t interval."""
    from scipy import stats  # not on every machine that trains

    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"a and b hold {len(a)} and {len(b)} values; wanted pairs, at least two")
    mean, sd, n = mean_sd([y - x for x, y in zip(a, b, strict=True)])
    return mean, float(stats.t.ppf(0.975, n - 1)) * sd / math.sqrt(n)


def difference(a: list[float], b: list[float]) -> tuple[float, float]:
    """Mean of b less mean of a, and the half width of Welch's 95 % interval: nothing is paired.

    ValueError unless both have at least two values that differ.
    """
    from scipy import stats  # not on every machine that trains

    for name, values in (("a", a), ("b", b)):
        if len(set(values)) < 2:
            raise ValueError(f"{name}={values}; wanted at least two values that differ")
    low, high = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    return float(low + high) / 2, float(high - low) / 2


def write_atomically(path: Path, data: bytes) -> None:
    """The file at ``path`` is the old one or the new one, never half of either."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def current_commit() -> str:
    """The checkout's commit, with ``-dirty`` if the package differs from it."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(PACKAGE.parent), *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        dirty = git("status", "--porcelain", "--", "stn_course")
        return git("rev-parse", "HEAD") + ("-dirty" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # installed from a wheel, or no git here
