"""What a named experiment is: its configuration, its seeds, and what is measured beside it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from stn_course.analysis import robustness
from stn_course.data import mnist
from stn_course.training.config import Config
from stn_course.training.listeners import AtTheEnd, EachEpoch, Listener
from stn_course.training.record import RunRecord

# How a recipe was chosen. Of a run that is still to be made it must be more than the last.
AS_ITS_SOURCE = "as its source has it"
NOT_ON_FILE = "by us; how is not on file"


@dataclass(frozen=True)
class Experiment:
    """A configuration with the number of seeds that are made unless another is asked for.

    Five where a run takes a minute or two, three where it takes longer or belongs to a long table.
    `minutes`: expected minutes for one seed on one CPU core. `probe` measures more than
    accuracy, once, after training, and `each_epoch` after each epoch: they join the record's
    probes and curves. An experiment that is no training run of `loop.fit` has
    its own `run` (experiment's name, seed) -> record, and a dict of settings for `config`.

    The plan stands here before the first test set is read, and its record repeats it: `seeds` of
    them from `first_seed` on, and how the recipe was `chosen`. Where it was chosen `among`
    experiments that read validation alone, their records decide (`runner.check_choice`).

    It goes on from what the experiment `start_from` learned with the same seed: the runner makes
    that one first, and `minutes` are those of both.
    """

    config: Config | dict
    about: str
    seeds: int = 5
    minutes: float = 1.0
    probe: Callable[[nn.Module, torch.device], dict] | None = None
    each_epoch: Callable[[nn.Module, torch.device], dict[str, float]] | None = None
    run: Callable[[str, int], RunRecord] | None = None
    first_seed: int = 0
    chosen: str = NOT_ON_FILE
    among: tuple[str, ...] = ()
    start_from: str = ""

    @property
    def planned(self) -> range:
        """The seeds that the plan has."""
        return range(self.first_seed, self.first_seed + self.seeds)

    def plan(self, seed: int) -> dict:
        """What the record of `seed` says of the plan; `added`: that it is not of the plan."""
        told = {"seeds": list(self.planned), "chosen": self.chosen}
        return told if seed in self.planned else told | {"added": True}

    def listeners(self) -> list[Listener]:
        """What measures beside a training run of this experiment."""
        found: list[Listener] = [EachEpoch(self.each_epoch)] if self.each_epoch else []
        return found + ([AtTheEnd(self.probe)] if self.probe else [])


def robustness_on_test(model: nn.Module, device: torch.device) -> dict:
    """Accuracy against angle, shift and scale on the test digits, read once after training."""
    digits = mnist("test")
    return robustness.robustness(model, digits.images.to(device), digits.labels.to(device))
