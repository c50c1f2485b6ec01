"""The experiments of notebook 07: how little time an accuracy needs."""

from stn_course.experiments.experiment import Experiment
from stn_course.training.config import Config

# HY's 98.87 % on clean digits as soon as possible: no transformer, no distortion, one cycle.
FAST = Config(
    model="small",
    options={"width": 0.75},
    batch_size=128,
    lr=6e-3,
    schedule="onecycle",
    epochs=2,
)

EXPERIMENTS = {
    "fast-clean": Experiment(FAST, "98.87 % on clean digits in seconds", minutes=0.3),
}
