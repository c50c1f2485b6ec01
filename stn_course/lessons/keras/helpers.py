"""What notebook 06 does around its networks: other backends, the golden file, timing, records.

Importing it loads neither Keras nor TensorFlow.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from tempfile import TemporaryDirectory

import numpy as np

from stn_course.experiments import records
from stn_course.experiments.statistics import difference, mean_sd_text
from stn_course.training.record import PACKAGE

CHECKOUT = PACKAGE.parent / "tests" / "sampling" / "golden" / "sampler.json"
GOLDEN = CHECKOUT if CHECKOUT.exists() else PACKAGE / "_golden" / "sampler.json"


def run_on(script: str, *backends: str) -> dict[str, dict]:
    """Run `script` with Keras on each of `backends`; of each, the JSON it prints last.

    Every backend has a process of its own, and they run side by side, with Keras's own layout and
    types, whatever the reader's keras.json says. Raises RuntimeError with what one said if it
    fails.
    """
    command, pipe = [sys.executable, "-c", script], subprocess.PIPE
    started = {}
    with TemporaryDirectory() as home:
        for name in backends:
            told = {"KERAS_BACKEND": name, "TF_CPP_MIN_LOG_LEVEL": "2", "KERAS_HOME": home}
            started[name] = subprocess.Popen(
                command, stdout=pipe, stderr=pipe, text=True, env=os.environ | told
            )
        said = {name: process.communicate() for name, process in started.items()}
    for name, process in started.items():
        if process.returncode:
            raise RuntimeError(f"on {name}: {said[name][1].strip().splitlines()[-1:]}")
    return {name: json.loads(out.splitlines()[-1]) for name, (out, _) in said.items()}


def golden(**wanted) -> list[dict]:
    """The cases of the golden file in which each of `wanted` holds, as float64 arrays.

    Each case has `images`, `upstream`, `output` and `grad_images`, channels last;
    `fill`, `params` and `grad_params`; `kind`, `padding` and `align_corners`.
    The file is a checkout's, else the one in the package.
    """
    file, cases = json.loads(GOLDEN.read_text()), []
    shapes = file["shapes"]
    for case in file["cases"]:
        if any(case[name] != value for name, value in wanted.items()):
            continue
        shape = shapes["params"][case["kind"]]
        made = {name: case[name] for name in ("kind", "padding", "align_corners")}
        made["size"] = tuple(shapes["output"][2:])
        for name in ("images", "upstream", "output", "grad_images"):
            values = case.get(name, file.get(name))
            like = "images" if name == "grad_images" else name
            made[name] = np.array(values).reshape(shapes[like]).transpose(0, 2, 3, 1)
        made["fill"] = np.array(file["fill"]).reshape(shapes["fill"])
        for name in ("params", "grad_params"):
            made[name] = np.array(case[name]).reshape(shape)
        cases.append(made)
    return cases


def recorded(experiment: str, which: str) -> str:
    """`97.12 ± 0.08 % (n = 5)` of an experiment's records, or that it is not yet run.

    "-" for the name "": there is no such experiment.
    """
    if not experiment:
        return "-"
    values = [run.accuracy(which) for run in records.load(experiment)]
    text = mean_sd_text(values)
    return f"{text} (n = {len(values)})" if len(values) > 1 else text


def compared(a: str, b: str, which: str, first: int = 3) -> list[str]:
    """Four cells: what `recorded` says of a and of b, and b - a with Welch's 95 % interval, twice.

    The second time only the `first` seeds of b count, as many as were planned before test digits
    were read. `a` may be "", where b has no counterpart.
    """
    ours, twins = (records.load(name) if name else [] for name in (a, b))
    gaps = []
    for some in (twins, [run for run in twins if run.seed < first]):
        values = [[run.accuracy(which) for run in runs] for runs in (ours, some)]
        if all(len(v) > 1 for v in values):
            mean, half = difference(*values)
            gaps.append(f"{mean:+.2f} ± {half:.2f}")
        else:
            gaps.append("-")
    return [recorded(a, which), recorded(b, which), *gaps]


def matrix(networks: Sequence[str], sets: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of a table: networks trained on each set, tested on each, in Keras."""
    rows = []
    for network in networks:
        for trained_on in sets:
            name = f"keras-{network}-{trained_on}"
            rows.append([network, trained_on, *(recorded(name, f"test/{on}") for on in sets)])
    return ["network", "trained on", *(f"tested on {on}" for on in sets)], rows
