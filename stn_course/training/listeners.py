"""Who a training run tells how it goes: checkpoints, progress, patience, probes, `steps.csv`.

One of your own needs the moments that it cares about, and no others::

    class Loss(Listener):
        def epoch(self, run):
            print(run.epoch, run.curves["train_loss"][-1])

It must leave the model and the global random numbers as they were.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from stn_course.files import write_atomically
from stn_course.training.checkpoints import save_checkpoint
from stn_course.training.record import history_csv

Measure = Callable[[nn.Module, torch.device], dict]


class Listener:
    """What a run tells; this one listens to nothing. `run` is a `training.run.Run`."""

    makes_curves = False  # whether it adds to `run.curves` after each epoch

    def start(self, run) -> None:
        """Before the first step, or the first after resuming."""

    def step(self, run) -> None:
        """After a step: `run.loss`, `run.rate`, `run.state.step`."""

    def epoch(self, run) -> None:
        """After an epoch and its validation: `run.epoch`, `run.curves`."""

    def end(self, run) -> None:
        """After the last epoch, the model in eval mode."""

    def close(self) -> None:
        """At the very end, also where the run was broken off."""


class Checkpoints(Listener):
    """Writes `folder/checkpoint.pt` after each epoch and after every `every` steps.

    The checkpoint of every `keep_every`-th epoch is kept. It stands last among the listeners, so
    that what they add to the curves is in it.
    """

    def __init__(self, folder, every: int = 0, keep_every: int = 0):
        self.folder, self.every, self.keep_every = Path(folder), every, keep_every

    def start(self, run) -> None:
        if run.state.start and not run.state.step:  # else a resumed run would not know of it
            self._save(run)

    def step(self, run) -> None:
        if self.every and run.state.step % self.every == 0 and not run.epoch_ends:
            self._save(run)

    def epoch(self, run) -> None:
        kept = self.keep_every and run.epoch % self.keep_every == 0
        self._save(run, **{"keep": run.epoch} if kept else {})

    def _save(self, run, **keep) -> None:
        parts = run.config, run.seed, run.model, run.optimizer, run.snapshot()
        save_checkpoint(self.folder, *parts, **keep)


class ProgressBar(Listener):
    """A bar of steps: loss and accuracy of every `every`-th batch, and the last validation."""

    def __init__(self, every: int = 100):
        self.every, self.told = every, {}

    def start(self, run) -> None:
        self.bar = tqdm(total=run.total, initial=run.state.step, desc=run.name)

    def step(self, run) -> None:
        self.bar.update()
        if run.state.step % self.every == 0:
            self._say(loss=f"{run.loss.item():.4f}", accuracy=f"{run.accuracy:.1f} %")

    def epoch(self, run) -> None:
        if run.valid is not None:
            self._say(valid=f"{run.curves['valid_accuracy'][-1]:.2f} %")

    def _say(self, **told) -> None:
        self.told |= told
        self.bar.set_postfix(self.told)

    def close(self) -> None:
        if hasattr(self, "bar"):
            self.bar.close()


class SayStart(Listener):
    """Prints what a run took over from another, what it did not, and what it froze, if anything."""

    def start(self, run) -> None:
        start = run.state.start
        if start.get("run"):
            print(f"start: {start['run']}, weights {start['weights']}")
        for what in ("loaded", "left", "frozen"):
            if start.get(what):
                print(f"{what}: {', '.join(start[what])}", flush=True)


class Patience(Listener):
    """Stops a run after `epochs` without a better validation accuracy; its best weights stay."""

    def __init__(self, epochs: int):
        self.epochs = epochs

    def start(self, run) -> None:
        values = run.curves["valid_accuracy"]
        run.stopped = bool(values) and len(values) > values.index(max(values)) + self.epochs

    def epoch(self, run) -> None:
        values = run.curves["valid_accuracy"]
        if values.index(max(values)) == len(values) - 1:
            weights = run.model.state_dict().items()
            run.state.best = {name: t.detach().clone() for name, t in weights}
        self.start(run)

    def end(self, run) -> None:
        run.model.load_state_dict(run.state.best)


class EachEpoch(Listener):
    """What `measure(model, device)` gives after each epoch joins the record's curves."""

    makes_curves = True

    def __init__(self, measure: Measure):
        self.measure = measure

    def epoch(self, run) -> None:
        for curve, value in self.measure(run.model, run.device).items():
            run.curves.setdefault(curve, []).append(value)


class AtTheEnd(Listener):
    """What `measure(model, device)` gives after training is the record's `probes`."""

    def __init__(self, measure: Measure):
        self.measure = measure

    def end(self, run) -> None:
        run.probes = self.measure(run.model, run.device)


class HistoryCsv(Listener):
    """Loss and accuracy of each epoch in `folder/history.csv`, and of epoch 0: before it learned.

    Written anew after each epoch, so that a run that is stopped has its history too.
    """

    def __init__(self, folder):
        self.path = Path(folder) / "history.csv"

    def start(self, run) -> None:
        if not run.state.step:
            run.look_before()
        self.epoch(run)

    def epoch(self, run) -> None:
        first = 0 if run.state.before else 1
        write_atomically(self.path, history_csv(run.history(), first).encode())

    def end(self, run) -> None:
        if not self.path.exists():  # the folder was removed
            self.epoch(run)


class StepsCsv(Listener):
    """A line in `folder/steps.csv` every `every` steps: step, loss, rate."""

    def __init__(self, folder, every: int):
        self.path, self.every, self.file = Path(folder) / "steps.csv", every, None

    def start(self, run) -> None:
        step, rows = run.state.step, []
        if self.path.exists() and step:  # what came after the checkpoint is about to happen again
            rows = self.path.read_text().splitlines()[1:]
            rows = [row for row in rows if row.count(",") == 2 and int(row.split(",")[0]) <= step]
        write_atomically(self.path, ("\n".join(["step,loss,rate", *rows]) + "\n").encode())
        self.file = open(self.path, "a", buffering=1)

    def step(self, run) -> None:
        if run.state.step % self.every == 0:
            self.file.write(f"{run.state.step},{run.loss.item():.6g},{run.rate:.6g}\n")

    def close(self) -> None:
        if self.file:
            self.file.close()
