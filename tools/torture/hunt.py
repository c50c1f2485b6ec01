"""`python -m tools.torture`: every part, or those named, as a table; 1 if anything fell.

    python -m tools.torture --list
    python -m tools.torture kills-train fuzz-calls --seed 7
    python -m tools.torture --times 3            each part three times as often

All is drawn from the seed, except for when a kill falls into a process.
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

from tools.torture import children, cluster, fuzz, guarded, mirrors, parts

# Name: how often, and what.
PARTS = {
    "kills-train": (30, parts.kills("train")),
    "kills-run": (20, parts.kills("run")),
    "kills-jobs": (4, parts.kills("run --jobs")),
    "kills-turns": (10, parts.kills("run --parallel-runs")),
    "kills-import": (20, parts.kills("import")),
    "kills-figures": (8, parts.kills("figures")),
    "kills-data": (20, parts.kills("data")),
    "kills-gallery": (10, parts.kills("test --images")),
    "kills-cluster": (6, cluster.kills),
    "kills-course": (4, parts.kills("course")),
    "two-at-once": (14, parts.two_at_once),
    "full-disk": (28, parts.full_disk),
    "bit-flips": (80, parts.bit_flips),
    "fuzz-commands": (200, fuzz.command_line),
    "fuzz-calls": (2000, fuzz.calls),
    "fuzz-pictures": (2000, fuzz.pictures),
    "mirrors": (40, mirrors.mirrors),
    "c-program": (10, guarded.c_program),
    "c-valgrind": (500, guarded.valgrind),
}


def tried(name: str, times: int, seed: int) -> tuple[int | None, list[str], float]:
    """How often a part tried (None: it could not), what fell, and how long it took."""
    start, count, fell = time.monotonic(), 0, []
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        chance = random.Random(f"{seed} {name}")
        try:
            for words in PARTS[name][1](times, chance, Path(folder)):
                count += 1
                if words:
                    fell.append(words)
                    print(f"    FELL: {name}: {words}", flush=True)
        except parts.Skipped as error:
            print(f"    SKIPPED: {name}: {error}", flush=True)
            return None, fell, time.monotonic() - start
    return count, fell, time.monotonic() - start


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help="(default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--times", type=float, default=1.0, help="as often (default: 1)")
    parser.add_argument("--list", action="store_true")
    asked = parser.parse_args(argv)
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"unknown: {sorted(unknown)}; there are {', '.join(PARTS)}")
    if asked.list:
        for name, (times, part) in PARTS.items():
            print(f"{name:<16} {times:>5} x  {(part.__doc__ or '').partition(chr(10))[0]}")
        return 0
    began = time.monotonic()
    children.prepare()
    fallen = 0
    for name in asked.parts or PARTS:
        times = max(1, round(PARTS[name][0] * asked.times))
        count, fell, seconds = tried(name, times, asked.seed)
        fallen += len(fell) + (count == 0)  # what tried nothing has shown nothing
        print(
            f"{name:<16} {count or 0:>5} tries  {len(fell):>3} fell  {seconds:5.0f} s", flush=True
        )
    seconds = time.monotonic() - began
    print(f"{f'{fallen} FELL' if fallen else 'nothing fell'}, {seconds / 60:.1f} minutes")
    return 1 if fallen else 0
