"""Every target, one line each: `make bench`, or `python -m benchmarks --device cuda`.

What was measured is kept in records/speed (or below --out), one file a line. A line whose
peer is not installed says so. Leave the machine alone while this runs: a round in which the peer
differs from itself by more than 3 % is void.
"""

import argparse
import shutil
from pathlib import Path

import torch

from benchmarks import distortions, pages, parallel, sequences, tutorial, warp
from benchmarks.timing import line
from stn_course.experiments import speed

PARTS = {
    "warp": warp.measure,
    "epoch": distortions.measure,
    "tutorial": tutorial.measure,
    "parallel": parallel.measure,
    "sequences": sequences.measure,
    "pages": pages.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, help="folder (default: records/speed)")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: there is no CUDA device here")
    where = speed.machine(options.device == "cuda")
    compiler = shutil.which("cc") or "none"
    print(
        f"# {where}, torch {torch.__version__}, {torch.get_num_threads()} threads; C compiler: "
        f"{compiler}"
    )
    void = 0
    for part in options.only:
        for one in PARTS[part](options.device):
            speed.save(one, options.out)
            void += one.verdict == "void"
            print(line(one), flush=True)
    return 1 if void else 0


if __name__ == "__main__":
    raise SystemExit(main())
