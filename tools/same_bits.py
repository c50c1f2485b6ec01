"""Cheap runs of every kind and the bits that they end with: proof that a change moves nothing.

    python -m tools.same_bits                list them
    python -m tools.same_bits --write FILE   before the change
    python -m tools.same_bits --check FILE   after it: 1 if any run ends otherwise

Each run has its own seed, its own settings and one thread, and takes some seconds. Bits are
those of one kind of machine: another processor, another build of torch or another compiler adds
in another order. So the file says where it was made, and is only compared there.
"""

import argparse
import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path

import torch

from stn_course import data
from stn_course.analysis.accuracy import evaluate
from stn_course.analysis.perspective import measure_perspective
from stn_course.experiments import catalogue
from stn_course.experiments.catalogue.colocalisation import encoder, scenes_of, search
from stn_course.experiments.catalogue.digit_sequences import sequence
from stn_course.experiments.catalogue.keras import run_in_keras
from stn_course.experiments.experiment import Experiment
from stn_course.experiments.runner import run_one
from stn_course.training.config import Config
from stn_course.training.listeners import Checkpoints, Listener
from stn_course.training.loop import fit
from stn_course.training.run import sha256

ROOT = Path(__file__).resolve().parents[1]

# Many settings in few runs: each of them is used somewhere.
DIGITS = Config(limit=640, epochs=2, batch_size=64, precision="float32", train_on="train+valid")
FC = replace(DIGITS, model="fc", optimizer="sgd", momentum=0.9, schedule="step", train_on="train")
CNN = replace(DIGITS, model="cnn", precision="auto", patience=1, epochs=3, train_on="train")
STN = replace(DIGITS, model="stn-small", lr=4e-3, lr_localiser=4e-4, schedule="onecycle")
FRESH = replace(STN, distort="hr", tests=("hr",), pose_weight=1.0, weight_decay=1e-3)
CLUTTER = replace(STN, distort="cluttered", tests=("cluttered",), weight_decay=1e-3)
FROZEN = replace(DIGITS, model="hr", distort="hr", frozen=True, with_clean=True, augment="pose")
PUBLISHED = replace(CLUTTER, model="stn-cnn", frozen=True, augment="gentle", schedule="linear")
ADDITION = replace(
    DIGITS,
    model="paper-st-fcn",
    options={"transformers": 2, "pool": True},
    distort="addition",
    tests=("addition",),
)
ROWS = replace(DIGITS, distort="sequences", limit=128, epochs=1, batch_size=32, tests=(), clip=5.0)
RNN = replace(
    ROWS, model="rnn-spn", options={"first_look": "strips"}, optimizer="rmsprop", epsilon=3e-3
)
HOMOGRAPHY = replace(STN, distort="p", options={"transform": "homography"}, tests=("p",))
SPLINE = replace(HOMOGRAPHY, distort="e", options={"transform": "tps"}, tests=("e",))
KERAS = replace(DIGITS, model="stn-fc", distort="mild", frozen=True, with_clean=True, limit=320)

SAVE_EVERY, KILLED_AT, GOES_ON_AT = 7, 17, 14  # steps; an epoch has 10 and a checkpoint too
READ = 500  # rows of digits that are read after training


class Killer(Listener):
    """Ends this process right after a step, as a closed laptop would; tells where a run began."""

    def __init__(self, at: int | None = None):
        self.at, self.began = at, None

    def start(self, run) -> None:
        self.began = run.state.step

    def step(self, run) -> None:
        if run.state.step == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def train_until_killed(folder: Path) -> None:
    """What the other process does: it never returns."""
    torch.set_num_threads(1)
    fit(CLUTTER, 0, [Checkpoints(folder, SAVE_EVERY), Killer(KILLED_AT)])


def killed_and_resumed():
    """The record of a run that a SIGKILL ended within its second epoch, and that went on.

    Raises RuntimeError where it was not killed or did not go on from its last checkpoint.
    """
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "tools.same_bits", "--until-killed", folder]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        watch = Killer()
        _, record = fit(CLUTTER, 0, [Checkpoints(folder), watch], resume=folder)
    if (done.returncode, watch.began) != (-signal.SIGKILL, GOES_ON_AT):
        raise RuntimeError(
            f"the run ended with {done.returncode} and went on at step {watch.began}; wanted "
            f"{-signal.SIGKILL} and {GOES_ON_AT}. It said: {done.stderr[-2000:]}"
        )
    return record


def in_torch(config: Config, probe=None):
    return run_one("bits", 0, experiment=Experiment(config, "", probe=probe))


def of_rows(config: Config):
    """A run on rows of digits, with all that its experiments measure after each epoch.

    Read are the first rows of the published test set: all 10 000 would take a minute.
    """

    def read(model, device):
        rows = data.published_rows("sequences", "test")
        return {f"first {READ}": evaluate(model, rows.images[:READ], rows.labels[:READ])}

    watched = replace(sequence(config, "", 1, 0), probe=read)
    return run_one("bits", 0, experiment=watched)


def colocalisation() -> dict:
    """One class of co-localisation: the encoder, two starts, and where the better one ends."""
    code = encoder(0)
    scenes = scenes_of(data.mnist("test"), 3, 16, 0)
    found = search(scenes, code, steps=20, starts=2, trial=8, enough=0.0, every=10)
    return {
        "correct": {"test/cluttered": int((found.ious() > 0.5).sum())},
        "first_batch": sha256(scenes.images),
        "weights": sha256(found.thetas, found.centred),
        "curves": digest([found.losses, found.ends]),
    }


def not_so_clevr(task: str, network: str):
    config = catalogue.not_so_clevr.settings(task, network, "quadrant") | {"steps": 12}
    return catalogue.not_so_clevr.record("bits", 0, config=config)


UNKILLED = "STN, fresh clutter"
KILLED = "STN, fresh clutter, killed and resumed"
RUNS: dict[str, Callable] = {
    "FC": partial(in_torch, FC),
    "CNN": partial(in_torch, CNN),
    "STN, frozen distortions": partial(in_torch, FROZEN),
    "STN, fresh distortions": partial(in_torch, FRESH),
    UNKILLED: partial(in_torch, CLUTTER),
    KILLED: killed_and_resumed,
    "STN, published clutter": partial(in_torch, PUBLISHED),
    "two STNs, addition": partial(in_torch, ADDITION),
    "homography": partial(in_torch, HOMOGRAPHY, measure_perspective),
    "thin-plate spline": partial(in_torch, SPLINE),
    "FFN-SPN": partial(of_rows, replace(ROWS, model="ffn-spn")),
    "RNN-SPN": partial(of_rows, RNN),
    "co-localisation": colocalisation,
    "Not-so-Clevr, convolutions": partial(not_so_clevr, "rendering", "conv"),
    "Not-so-Clevr, CoordConv": partial(not_so_clevr, "regression", "coordconv"),
    "Keras": partial(run_in_keras, "bits", 0, KERAS),
}


def digest(values) -> str:
    """SHA-256 of numbers, each written so that no bit is lost."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def bits(name: str) -> dict:
    """What the run `name` of `RUNS` ends with: how many were right, and hashes of the rest."""
    torch.set_num_threads(1)
    made = RUNS[name]()
    if isinstance(made, dict):
        return made
    counted = {**made.results, **made.probes}
    return {
        "correct": {which: n["correct"] for which, n in counted.items() if "correct" in n},
        "losses": digest({which: result["loss"] for which, result in made.results.items()}),
        "probes": digest(made.probes),
        "curves": digest(made.curves),
        **made.hashes,
    }


def machine() -> dict:
    """What bits depend on beside the code."""
    return {
        "torch": torch.__version__,
        "numpy": metadata.version("numpy"),
        "tensorflow": metadata.version("tensorflow-cpu"),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "processor": platform.machine(),
        "threads": 1,
        "digits": "sample" if data.is_sample() else "full MNIST",
    }


def differences(before: dict, now: dict) -> list[str]:
    """In words, what the runs of `now` have otherwise than `before`: both as `collect` gives them.

    Raises ValueError for lists of two kinds of machine.
    """
    if before["machine"] != now["machine"]:
        raise ValueError(
            f"the list was made on {before['machine']} and this is {now['machine']}: bits of two "
            "kinds of machine differ anyway"
        )
    found = []
    for name, new in now["runs"].items():
        old = before["runs"].get(name, {})
        for key in sorted(old.keys() | new.keys()):
            if (was := old.get(key)) != (is_now := new.get(key)):
                found.append(f"{name}: {key} was {was}, is {is_now}")
    return found


def collect(names: list[str]) -> dict:
    """The bits of the runs `names`. What was killed must end as what was not: RuntimeError."""
    runs = {}
    for name in names:
        print(name, file=sys.stderr, flush=True)
        runs[name] = bits(name)
    if {KILLED, UNKILLED} <= runs.keys() and runs[KILLED] != runs[UNKILLED]:
        raise RuntimeError(f"{KILLED}: {runs[KILLED]}; wanted {runs[UNKILLED]}")
    return {"machine": machine(), "runs": runs}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", metavar="FILE", type=Path, help="keep the list in a file")
    what.add_argument("--check", metavar="FILE", type=Path, help="compare with that file")
    parser.add_argument("--only", nargs="+", metavar="RUN", choices=RUNS, default=list(RUNS))
    parser.add_argument("--until-killed", metavar="FOLDER", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(argv)
    if asked.until_killed:
        train_until_killed(asked.until_killed)
    now = collect(asked.only)
    text = json.dumps(now, indent=1) + "\n"
    if asked.write:
        asked.write.write_text(text)
    elif asked.check:
        if found := differences(json.loads(asked.check.read_text()), now):
            print("\n".join(found))
            return 1
        print(f"{len(now['runs'])} runs end with the same bits")
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
