"""Records of speed: what `make bench` measured, one JSON file a line of its table.

A record lives at `records/speed/<machine>/<target>-<name>.json`. Pages and the table
show these and nothing else; a line that no record answers says "not yet run".
"""

import json
import platform
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from stn_course.experiments import records
from stn_course.experiments.statistics import NOT_YET
from stn_course.files import finished, write_atomically
from stn_course.training.record import RunRecord

VERDICTS = ("met", "missed", "void", "not measured")


@dataclass(frozen=True)
class Speed:
    """One measurement. Times are seconds, medians of one call; ratios are the peer's by ours.

    Of a ratio `wanted` is the least and `low` to `high` its 95 % interval; `control` is
    the peer's time by the peer's, which must be within 3 % of 1. Where there is no peer,
    `ratio` is None, `wanted` is the longest time in seconds and the interval is of the time.
    `error` is the largest difference of the two results. `why` explains a verdict of "void"
    or "not measured", or tells what was tried. Times that are those of training runs name the
    runs: `rests_on` maps "experiment/seed" to the SHA-256 of the weights that came of it.
    """

    target: int  # the number of the line in the table of targets
    name: str
    device: str
    threads: int
    wanted: float
    verdict: str
    ours: float | None = None
    peer: float | None = None
    peer_name: str = ""
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    control: float | None = None
    error: float | None = None
    why: str = ""
    commit: str = "unknown"
    versions: dict[str, str] = field(default_factory=dict)
    rests_on: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict={self.verdict!r}; wanted one of {', '.join(VERDICTS)}")

    @property
    def is_gpu(self) -> bool:
        return self.device.startswith("NVIDIA")


def slug(text: str) -> str:
    """Letters and digits of `text`, in lower case, with dashes between."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def machine(gpu: bool = False) -> str:
    """What a measurement's absolute times are of: the GPU, or the processor and its cores."""
    if gpu:
        import torch

        return torch.cuda.get_device_name()
    import os

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):  # not Linux, or a processor without a name
        model = platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores of {model}"


def folder() -> Path:
    """Where the committed records of speed are."""
    return records.records_dir().parent / "speed"


def resting_on(runs: list[RunRecord]) -> dict[str, str]:
    """What a record of speed says of the training runs whose times it gives."""
    return {f"{run.experiment}/{run.seed}": run.hashes["weights"] for run in runs}


def gone(speed: Speed, where: Path | None = None) -> list[str]:
    """The runs that `speed` rests on whose records are not there any more, or are others now."""
    names = {key.rpartition("/")[0] for key in speed.rests_on}
    now = resting_on([run for name in sorted(names) for run in records.load(name, where)])
    return sorted(key for key, sha in speed.rests_on.items() if now.get(key) != sha)


def save(speed: Speed, where: Path | None = None) -> Path:
    """Write `speed` below `where` (default: the committed ones), in place of an older one."""
    name = f"{speed.target:02d}-{slug(speed.name)}.json"
    path = Path(where or folder()) / slug(speed.device) / name
    write_atomically(path, (json.dumps(asdict(speed), indent=1, sort_keys=True) + "\n").encode())
    return path


def load(where: Path | None = None) -> list[Speed]:
    """All records of speed: by target, then name, then machine."""
    found = [_read(path) for path in finished(where or folder(), "*/*.json")]
    return sorted(found, key=lambda s: (s.target, s.name, s.device))


def _read(path: Path) -> Speed:
    data, names = json.loads(path.read_text(encoding="utf-8")), {f.name for f in fields(Speed)}
    data = {"rests_on": {}} | data  # the field is younger than some records
    if set(data) != names:
        raise ValueError(f"{path.name} is no record of speed: differs in {set(data) ^ names}")
    return Speed(**data)


# The lines of the table of targets: what, and what is wanted of a CPU of two cores and of a GPU.
TARGETS = {
    1: ("warp, forward", "3x", "8x"),
    2: ("warp, and its gradient to theta", "3x", "10x"),
    3: ("warp and both gradients, 32 channels", "1.5x", "1x"),
    4: ("thin-plate-spline warp", "8x", "15x"),
    5: ("60 000 digits distorted afresh", "50x", "0.5 ms"),
    6: ("the PyTorch tutorial, 20 epochs", "3x", "4 s"),
    7: ("time to 98.87 % on clean digits", "25 s", "0.5 s"),
    8: ("96 runs of one table", "-", "20 min"),
    9: ("sequences read to 98.26 % a digit", "30 min", "60 s"),
    10: ("the published cluttered sequences", "12 s", "-"),
    11: ("slider to redrawn figure", "50 ms", "-"),
    12: ("first figure after import", "4 s", "-"),
}


def told(record: Speed | None) -> str:
    """What a record of speed says, in a table's cell."""
    if record is None:
        return NOT_YET
    if record.verdict in ("not measured", "void"):
        return record.verdict
    if record.ratio is not None:
        return f"{record.ratio:.1f}x ({record.low:.1f} to {record.high:.1f}), {record.verdict}"
    return f"{length(record.ours)}, {record.verdict}"


def gpu_rows(word: str, where=None) -> list[list[str]]:
    """Name and result of each record of a GPU with `word` in its name; says if there is none."""
    found = [r for r in load(where) if r.is_gpu and word in r.name.lower()]
    return [[r.name, r.device, told(r)] for r in found] or [[word, "a GPU", NOT_YET]]


def machines(where=None) -> list[str]:
    """What the records of speed in `where` were measured on."""
    return list(dict.fromkeys(record.device for record in load(where)))


def targets(where=None) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of targets, from the records of speed in `where`."""
    head = ["", "what", "peer", "CPU, wanted", "CPU, measured", "GPU, wanted", "GPU, measured"]
    measured, rows = load(where), []
    for number, (what, on_cpu, on_gpu) in TARGETS.items():
        ours = [r for r in measured if r.target == number]
        for name in dict.fromkeys(r.name for r in ours) or [what]:
            cells, peers = [], {r.peer_name for r in ours if r.name == name} - {""}
            for gpu, wanted in ((False, on_cpu), (True, on_gpu)):
                found = [r for r in ours if r.name == name and r.is_gpu == gpu]
                one = found[0] if found else None
                if one is not None and one.ratio is None and one.ours is not None:
                    wanted = length(one.wanted)  # one target may have several
                cells += [wanted, "-" if wanted == "-" else told(one)]
            rows.append([str(number), name, ", ".join(sorted(peers)) or "-", *cells])
    return head, rows


def race(
    calls: dict[str, Callable[[], object]], rounds: int = 9, seconds: float = 0.01
) -> dict[str, float]:
    """Median seconds of one call of each, timed in turns, forwards and backwards.

    One measurement repeats its call until about `seconds` have passed. On a GPU the clock waits
    for the device. Raises ValueError for no calls or fewer than one round.
    """
    if not calls or rounds < 1:
        raise ValueError(f"wanted calls and at least 1 round, got {len(calls)} and {rounds}")
    times, taken = {}, {name: [] for name in calls}
    for name, call in calls.items():
        call()
        times[name] = max(1, round(seconds / max(_timed(call, 1), 1e-7)))
    for turn in range(rounds):
        for name in list(calls)[:: 1 if turn % 2 else -1]:
            taken[name].append(_timed(calls[name], times[name]))
    return {name: statistics.median(values) for name, values in taken.items()}


def _timed(call: Callable[[], object], times: int) -> float:
    _wait()
    start = time.perf_counter()
    for _ in range(times):
        call()
    _wait()
    return (time.perf_counter() - start) / times


def _wait() -> None:
    import torch  # tables of speed are made without it

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def length(seconds: float | None) -> str:
    """Seconds in words, three digits."""
    if seconds is None:
        return "?"
    for unit, factor in (("min", 60), ("s", 1), ("ms", 1e-3)):
        if seconds >= factor * (2 if unit == "min" else 1):
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"
