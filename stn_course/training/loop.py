"""One visible training loop: `fit` a `Config`.

Step `t` of a run depends on the configuration, the seed and `t` alone: order, distortion and
dropout are seeded by the step. So a run that was killed goes on from its last checkpoint and ends
with the same bits as one left alone.
"""

from collections.abc import Generator, Sequence

import torch
from torch import nn

from stn_course.training.config import Config
from stn_course.training.listeners import Listener, Patience
from stn_course.training.record import RunRecord
from stn_course.training.run import Run


def fit(
    config: Config, seed: int = 0, listeners: Sequence[Listener] = (), **options
) -> tuple[nn.Module, RunRecord]:
    """Train `config` with `seed`; return the model (in eval mode) and its record.

    `listeners` are told how the run goes (`training.listeners`). `options` are those of `steps`,
    which this runs to its end.
    """
    run = steps(config, seed, listeners, **options)
    while True:
        try:
            next(run)
        except StopIteration as end:
            return end.value


def steps(
    config: Config,
    seed: int = 0,
    listeners: Sequence[Listener] = (),
    *,
    device: torch.device | None = None,
    resume=None,
    name: str = "unnamed",
    start_from=None,
    only: Sequence[str] = (),
    freeze: Sequence[str] = (),
) -> Generator[None, None, tuple[nn.Module, RunRecord]]:
    """A training run that pauses after every step, so that several can take turns.

    `device`: by default `cuda` if there is one. `resume`: a run's folder, whose checkpoint it goes
    on from if there is one. `name`: the record's experiment. `start_from`: a run's folder, a
    checkpoint, a file of weights or a network that has learned something; `only` these parts of it
    are taken over, and the parts to `freeze` stay as they are: "localiser", "classifier", or a
    module's name. What is resumed has its start and what it froze in its checkpoint.
    """
    listeners = [Patience(config.patience), *listeners] if config.patience else [*listeners]
    run = Run(config, seed, device, name)
    try:
        with run.own_randomness():
            run.begin(resume, listeners, start_from=start_from, only=only, freeze=freeze)
            for each in listeners:
                each.start(run)
            while run.epoch < config.epochs and not run.stopped:
                for index in run.batches():  # shuffled by seed and epoch
                    run.learn(index)  # a batch, its loss, its gradients, an update
                    for each in listeners:
                        each.step(run)
                    yield
                run.validate()
                for each in listeners:
                    each.epoch(run)
        run.finish()
        for each in listeners:
            each.end(run)
    finally:
        for each in listeners:
            each.close()
    return run.model, run.record()
