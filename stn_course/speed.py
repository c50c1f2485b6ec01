"""Records of speed: what `make bench` measured, one JSON file a line of its table.

A record lives at ``figures/records/bench/<machine>/<target>-<name>.json``. Pages and the table
show these and nothing else; a line that no record answers says "not yet run".
"""

import json
import platform
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from stn_course.records import records_dir, write_atomically

VERDICTS = ("met", "missed", "void", "not measured")


@dataclass(frozen=True)
class Speed:
    """One measurement.  Times are seconds, medians of one call; ratios are the peer's by ours.

    Of a ratio ``wanted`` is the least and ``low`` to ``high`` its 95 % interval; ``control`` is
    the peer's time by the peer's, which must be within 3 % of 1.  Where there is no peer,
    ``ratio`` is None, ``wanted`` is the longest time in seconds and the interval is of the time.
    ``error`` is the largest difference of the two results.  ``why`` explains a verdict of "void"
    or "not measured", or tells what was tried.
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

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict={self.verdict!r}; wanted one of {', '.join(VERDICTS)}")

    @property
    def is_gpu(self) -> bool:
        return self.device.startswith("NVIDIA")


def slug(text: str) -> str:
    """Letters and digits of ``text``, in lower case, with dashes between."""
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
    return records_dir() / "bench"


def save(speed: Speed, where: Path | None = None) -> Path:
    """Write ``speed`` below ``where`` (default: the committed ones), in place of an older one."""
    name = f"{speed.target:02d}-{slug(speed.name)}.json"
    path = Path(where or folder()) / slug(speed.device) / name
    write_atomically(path, (json.dumps(asdict(speed), indent=1, sort_keys=True) + "\n").encode())
    return path


def load(where: Path | None = None) -> list[Speed]:
    """All records of speed: by target, then name, then machine."""
    found = [_read(path) for path in sorted(Path(where or folder()).glob("*/*.json"))]
    return sorted(found, key=lambda s: (s.target, s.name, s.device))


def _read(path: Path) -> Speed:
    data, names = json.loads(path.read_text(encoding="utf-8")), {f.name for f in fields(Speed)}
    if set(data) != names:
        raise ValueError(f"{path.name} is no record of speed: differs in {set(data) ^ names}")
    return Speed(**data)


def find(name: str, gpu: bool = False, where: Path | None = None) -> Speed | None:
    """The record called ``name`` of a GPU or of a processor; None if it is not yet run."""
    for speed in load(where):
        if speed.name == name and speed.is_gpu == gpu:
            return speed
    return None
