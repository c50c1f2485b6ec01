"""The named experiments, one file a topic: what makes each record."""

from stn_course.experiments.catalogue import (
    bent_words,
    colocalisation,
    coordconv,
    digit_sequences,
    distorted_digits,
    failures,
    fast,
    homographies,
    invariance,
    keras,
    not_so_clevr,
    outside,
)
from stn_course.experiments.experiment import Experiment
from stn_course.geometry import choices

EXPERIMENTS: dict[str, Experiment] = (
    invariance.EXPERIMENTS
    | distorted_digits.EXPERIMENTS
    | failures.EXPERIMENTS
    | colocalisation.EXPERIMENTS
    | digit_sequences.EXPERIMENTS
    | coordconv.EXPERIMENTS
    | homographies.EXPERIMENTS
    | not_so_clevr.EXPERIMENTS
    | keras.EXPERIMENTS
    | fast.EXPERIMENTS
    | outside.EXPERIMENTS
    | bent_words.EXPERIMENTS
)


def find(name: str) -> Experiment:
    """The experiment called `name`; ValueError with the nearest names otherwise."""
    if name not in EXPERIMENTS:
        told = choices(name, EXPERIMENTS, "those of `stn-course run --list`")
        raise ValueError(f"experiment {name!r} is unknown; wanted {told}")
    return EXPERIMENTS[name]
