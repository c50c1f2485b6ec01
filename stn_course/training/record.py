"""The record of one run: what it was and what came out of it, as JSON.

Also what every stored file needs: the commit it is of.
"""

import copy
import hashlib
import json
import math
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import get_origin

PACKAGE = Path(__file__).resolve().parents[1]
NAME = r"[\w.+-]+"  # of an experiment, and so of a folder
# What depends on the machine and the moment, not on the configuration and the seed.
MACHINE_FIELDS = ("commit", "versions", "device", "threads", "parts", "seconds")
# What each of a run's `parts` says beside the step that it begins with.
OF_A_PART = {"commit": str, "versions": dict, "device": str, "threads": int, "bf16": bool}
# What `start` says: the run whose weights were taken over, their SHA-256, which parts were asked
# for, and which were loaded, left as they begin, and frozen.
OF_A_START = {"run": str, "weights": str} | dict.fromkeys(
    ("only", "freeze", "loaded", "left", "frozen"), list
)


@dataclass
class RunRecord:
    """What one run was and what came out of it.

    `results` maps `"split/set"` (`"test/clean"`, `"valid/hard"`, ...) to
    `{"correct": int, "total": int, "loss": float}`; `curves` holds one value an
    epoch: a number, or lists of them (where each glimpse was); `probes` holds
    measurements beside accuracy (accuracy against angle, ...). `first_steps` says how the run
    began: the SHA-256 of the first `weights` and the `losses` of its first ten steps. `plan`
    is what stood in the catalogue at `commit`, before a test set was read: the seeds, how the
    recipe was chosen, and whether this seed was added. `commit` and what follows it are of the
    process that ended the run. Where others began it, by other code or on another machine, `parts`
    says the same of each in turn, and its first `step`. `start` says which run's weights it went on
    from, which parts it took over and which it froze. `phases`, where a run was resumed at another
    rate: from which complete epoch on each rate was. Older records have none of these five.
    """

    experiment: str
    seed: int
    config: dict
    digits: str
    parameters: int
    curves: dict[str, list]
    results: dict[str, dict]
    hashes: dict[str, str]  # SHA-256 of the first batch and of the final weights
    probes: dict[str, dict] = field(default_factory=dict)
    first_steps: dict = field(default_factory=dict)
    plan: dict = field(default_factory=dict)
    start: dict = field(default_factory=dict)
    phases: list[dict] = field(default_factory=list)
    commit: str = "unknown"
    versions: dict[str, str] = field(default_factory=dict)
    device: str = "unknown"
    threads: int = 0
    parts: list[dict] = field(default_factory=list)
    seconds: float = 0.0

    def repeatable(self) -> dict:
        """The part that the same seed must give again, bit for bit, on one machine."""
        return {k: v for k, v in asdict(self).items() if k not in MACHINE_FIELDS}

    def accuracy(self, which: str) -> float:
        """Accuracy in percent on `which`, e.g. `"test/clean"`."""
        if which not in self.results:
            raise KeyError(
                f"which={which!r} is not in the record of {self.experiment}; "
                f"it has {sorted(self.results)}"
            )
        result = self.results[which]
        return 100.0 * result["correct"] / result["total"]


# What each field of a record may be.
KINDS = {
    f.name: (int, float) if (kind := get_origin(f.type) or f.type) is float else kind
    for f in fields(RunRecord)
}


YOUNG = {
    "first_steps": {},
    "plan": {},
    "parts": [],
    "start": {},
    "phases": [],
}  # a record from before them has none


SUM = "sha256"  # of the rest; records from before it have none


def dumps(record: RunRecord) -> str:
    """The record as text, with its sum; a number that is not finite is a ValueError that names it.

    The sum is of the content: lines and spaces are free.
    """
    told = {k: v for k, v in asdict(record).items() if v or k not in YOUNG}
    for where, number in _not_finite(told, ""):
        raise ValueError(
            f"{record.experiment}/{record.seed}: {where} is {number}; a record holds finite numbers"
        )
    told = json.loads(json.dumps(told, allow_nan=False))  # as it will be read: tuples are lists
    return json.dumps(told | {SUM: _sum(told)}, indent=1, sort_keys=True) + "\n"


def _sum(data: dict) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _not_finite(value, where: str) -> Iterator[tuple[str, float]]:
    """(where it is, the number) for each number below `value` that no file of JSON holds."""
    if isinstance(value, float) and not math.isfinite(value):
        yield where.lstrip("."), value
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list | tuple) else items
    for key, each in items:
        yield from _not_finite(
            each, f"{where}.{key}" if isinstance(value, dict) else f"{where}[{key}]"
        )


def loads(text: str, source: str = "text") -> RunRecord:
    """Read one record; a missing or unknown field, or one of a wrong kind, is a ValueError.

    So is a content that is not the one that was written, where the record has its sum.
    """
    data, damaged = _fields(text, source)
    for name, kind in KINDS.items():
        if not isinstance(data[name], kind) or isinstance(data[name], bool):
            wanted = kind.__name__ if isinstance(kind, type) else "a number"
            raise ValueError(f"{source}: {name}={data[name]!r}; wanted {wanted}")
    if not re.fullmatch(NAME, data["experiment"]) or data["seed"] < 0:
        raise ValueError(
            f"{source}: experiment={data['experiment']!r}, seed={data['seed']}; wanted a name of "
            "letters, digits, dots and dashes, and 0 or more"
        )
    for which, result in data["results"].items():
        if not isinstance(result, dict) or not {"correct", "total"} <= set(result):
            raise ValueError(
                f"{source}: results[{which!r}] is {result!r}; wanted correct and total"
            )
        counts = result["correct"], result["total"]
        if any(type(n) is not int for n in counts):
            raise ValueError(f"{source}: results[{which!r}] counts {counts}; wanted whole numbers")
        if not 0 <= result["correct"] <= result["total"] or not result["total"]:
            raise ValueError(
                f"{source}: results[{which!r}] has {result['correct']} correct of "
                f"{result['total']}; wanted some, and no more correct than there are"
            )
    for curve, values in data["curves"].items():
        if not isinstance(values, list):
            raise ValueError(f"{source}: curves[{curve!r}] is {values!r}; wanted a list")
    began = data["first_steps"]
    if began and (set(began) != {"weights", "losses"} or not isinstance(began["losses"], list)):
        raise ValueError(
            f"{source}: first_steps is {began!r}; wanted weights (a hash) and losses (a list)"
        )
    plan = data["plan"]
    if plan and not (isinstance(plan.get("seeds"), list) and isinstance(plan.get("chosen"), str)):
        raise ValueError(f"{source}: plan is {plan!r}; wanted seeds (a list) and chosen (words)")
    start = data["start"]
    if start and {name: type(value) for name, value in start.items()} != OF_A_START:
        raise ValueError(f"{source}: start is {start!r}; wanted {', '.join(OF_A_START)}")
    for phase in data["phases"]:
        if not isinstance(phase, dict) or set(phase) != {"epoch", "lr", "lr_localiser"}:
            raise ValueError(f"{source}: phases has {phase!r}; wanted epoch, lr, lr_localiser")
    wanted_of_a_part = {"step": int} | OF_A_PART
    for part in data["parts"]:
        if not isinstance(part, dict) or {k: type(v) for k, v in part.items()} != wanted_of_a_part:
            raise ValueError(f"{source}: parts has {part!r}; wanted {', '.join(wanted_of_a_part)}")
    if damaged:
        raise ValueError(damaged)
    return RunRecord(**data)


def _fields(text: str, source: str) -> tuple[dict, str]:
    """A record's fields, and words where they are not those of its sum; ValueError for others."""
    try:
        data = json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        raise ValueError(f"{source} is not a record: {error}") from None
    names, damaged = {f.name for f in fields(RunRecord)}, ""
    if isinstance(data, dict):
        wanted = data.pop(SUM, None)
        if wanted is not None and (found := _sum(data)) != wanted:
            told = f"SHA-256 {found[:16]}..., not {str(wanted)[:16]}..."
            damaged = f"{source} is damaged: {told}; a record is not to be changed by hand"
        data = copy.deepcopy(YOUNG) | data
    if not isinstance(data, dict) or set(data) != names:
        found = set(data) if isinstance(data, dict) else set()
        raise ValueError(
            f"{source} is not a record: missing {sorted(names - found)}, "
            f"unknown {sorted(found - names)}"
        )
    return data, damaged


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def numbers_of(curves: dict[str, list]) -> dict[str, list[float]]:
    """Those of a record's curves that have values and are one number an epoch."""
    return {k: v for k, v in curves.items() if v and not isinstance(v[0], list)}


def history_csv(columns: dict[str, list[float]], first: int = 1) -> str:
    """Curves of numbers as CSV, one line an epoch from `first` on; of NaN, nothing."""
    lines = [",".join(["epoch", *columns])]
    for epoch, values in enumerate(zip(*columns.values(), strict=True), first):
        lines.append(",".join([str(epoch), *("" if v != v else f"{v:.6g}" for v in values)]))
    return "\n".join(lines) + "\n"


@cache
def current_commit() -> str:
    """The checkout's commit, with `-dirty` if the package differs from it; else `unknown`.

    Read once in a process, before it trains: what is in memory does not follow a checkout that
    changes meanwhile. A package that only lies inside another repository has no commit. Where
    git knows none, STN_COURSE_COMMIT says of which commit the files are a copy. Raises
    ValueError if that is no full hash.
    """

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(PACKAGE.parent), *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "stn_course/training/record.py")
        dirty = git("status", "--porcelain", "--", "stn_course")
        return git("rev-parse", "HEAD") + ("-dirty" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        told = os.environ.get("STN_COURSE_COMMIT", "")  # installed from a wheel, or no git here
        if told and not re.fullmatch("[0-9a-f]{40}", told):
            raise ValueError(f"STN_COURSE_COMMIT={told!r}; wanted 40 hexadecimal digits") from None
        return told or "unknown"
