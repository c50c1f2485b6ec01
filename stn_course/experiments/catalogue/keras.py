"""The experiments of notebook 06: XQ's table, HR's row and LJ's FFN-SPN, trained in Keras."""

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch

from stn_course.experiments.experiment import AS_ITS_SOURCE, Experiment
from stn_course.training.config import Config
from stn_course.training.record import RunRecord

SEEDS = 5  # three at first; five since two of the comparisons had got two more
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def share_threads() -> None:
    """TensorFlow gets as many threads as torch has, unless the environment says how many.

    It looks there when it starts, and never again: with TensorFlow imported this does nothing.
    """
    if "tensorflow" not in sys.modules:
        for name in THREADS:
            os.environ.setdefault(name, str(torch.get_num_threads()))


def run_in_keras(name: str, seed: int, config: Config) -> RunRecord:
    """The run of an experiment; TensorFlow is imported now and not before."""
    share_threads()
    from stn_course.keras_twin import training

    return training.record(name, seed, config)


def experiment(config: Config, about: str, minutes: float, seeds: int = SEEDS) -> Experiment:
    run = partial(run_in_keras, config=config)
    about = f"in Keras: {about}"
    return Experiment(config, about, seeds, minutes, run=run, chosen=AS_ITS_SOURCE)


def xq() -> Iterator[tuple[str, Experiment]]:
    # Three networks, each trained on three sets and tested on three; as published, see 01.
    tests = ("clean", "hard", "mild")
    base = Config(train_on="train+valid", batch_size=32, precision="float32", tests=tests)
    for model, minutes in (("fc", 0.8), ("cnn", 1.8), ("stn-fc", 1.9)):
        clean = replace(base, model=model)
        about = f"XQ's {model} trained on clean digits"
        yield f"keras-{model}-clean", experiment(clean, about, minutes / 2)
        for recipe in ("hard", "mild"):
            mixed = replace(clean, distort=recipe, frozen=True, with_clean=True)
            about = f"XQ's {model} trained on 60 000 {recipe} + 60 000 clean digits"
            yield f"keras-{model}-{recipe}", experiment(mixed, about, minutes)


def hr() -> Iterator[tuple[str, Experiment]]:
    config = Config(model="hr", distort="hr", frozen=True, tests=("hr",), epochs=20, batch_size=500)
    config = replace(config, precision="float32")
    yield "keras-hr", experiment(config, "HR's budget, its network unpadded", 6)
    source = replace(config, model="hr-padded")
    yield "keras-hr-source", experiment(source, "HR's network and budget", 8)


def lj() -> Iterator[tuple[str, Experiment]]:
    rows = Config(distort="sequences", tests=("sequences",), frozen=True, batch_size=100)
    config = replace(rows, model="ffn-spn", options={"design": "lj"}, weight_decay=1e-4)
    config = replace(config, schedule="two-phase", precision="float32")
    about = "LJ's FFN-SPN, 60 + 20 epochs"
    yield "keras-lj-ffn", experiment(replace(config, epochs=80), about, 430, seeds=1)
    about = "LJ's FFN-SPN for its first 4 epochs"
    few = replace(config, epochs=4, schedule="constant")
    yield "keras-lj-ffn-4", experiment(few, about, 22, seeds=1)


EXPERIMENTS = dict([*xq(), *hr(), *lj()])
