"""Where a training run stands: its data, its network, what it has seen and what came of it."""

import dataclasses
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from stn_course import models
from stn_course.analysis.accuracy import evaluate
from stn_course.data import Digits
from stn_course.data.seeding import INIT, ORDER, STEP, stream
from stn_course.extras import keep_memory
from stn_course.models.parts import paths_of, train_but
from stn_course.training.checkpoints import (
    RATES,
    begin_from,
    has_checkpoint,
    load_checkpoint,
    read_checkpoint,
    refuse_another_start,
    sha256,
    weights_sha256,
)
from stn_course.training.config import CLEAN, Config, answers, build
from stn_course.training.cuda_graph import make_step
from stn_course.training.datasets import first_of, test_set, training_set
from stn_course.training.optimisation import make_optimizer, rate
from stn_course.training.record import RunRecord, current_commit, numbers_of

FIRST_STEPS = 10  # whose losses a record keeps, to tell whether today's code would begin alike
OWN_CURVES = ("train_loss", "valid_accuracy", "valid_loss")
WATCHED = ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy")


@dataclass
class State:
    """What a checkpoint keeps of a run beside weights and optimiser."""

    step: int = 0
    loss_sum: float = 0.0  # of this epoch so far
    seconds: float = 0.0
    first_batch: str = ""
    first_steps: dict = field(default_factory=dict)  # as in the record; of an old checkpoint none
    curves: dict = field(default_factory=lambda: {name: [] for name in OWN_CURVES})
    best: dict[str, Tensor] | None = None  # weights of the best epoch, where there is patience
    digits: str = ""  # the source of what it learns from; of an old checkpoint unknown
    parts: list[dict] = field(default_factory=list)  # who made it, from which step on
    start: dict = field(default_factory=dict)  # as in the record
    phases: list[dict] = field(default_factory=list)  # as in the record
    # What one watches; the record has none of it. Of an old checkpoint unknown.
    right_sum: float = math.nan  # of this epoch so far
    train_accuracy: list[float] = field(default_factory=list)  # in training mode, as it went
    before: dict[str, float] = field(default_factory=dict)  # the first step


class Run:
    """One run: `state` says where it stands, `loss` and `rate` are those of the last step.

    `loss` is a tensor [] on the device, good until the next step: reading it waits.
    """

    def __init__(self, config: Config, seed: int, device=None, name: str = "unnamed"):
        self.config, self.seed, self.name = config, seed, name
        self.commit = current_commit()  # of what is in memory now, not of what lies there later
        self.device = device or models.device()
        self.images, self.labels, self.digits = training_set(config, seed, self.device)
        self.valid = self.validation_set()
        self.answers = len(self.images) * answers(config.distort or CLEAN)[0]
        self.steps_an_epoch = -(-len(self.images) // config.batch_size)
        self.total = config.epochs * self.steps_an_epoch
        self.state, self.stopped, self.probes = State(), False, {}

    def validation_set(self) -> Digits | None:
        """What each epoch is measured on; None where all digits are trained on."""
        if "valid" in self.config.train_on:
            return None
        held = test_set("valid", self.config.distort or CLEAN, self.device)
        return first_of(held, self.config.limit_measured)

    @contextmanager
    def own_randomness(self) -> Iterator[None]:
        """Torch's global random numbers are this run's within, and as they were afterwards."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(stream(INIT, self.seed))
            yield

    def begin(self, resume=None, listeners=(), **start) -> None:
        """Make network and optimiser, and go on from the checkpoint in `resume` if there is one.

        `start`: start_from, only and freeze of `checkpoints.begin_from`. ValueError where that run
        was another one or started otherwise, or if its curves are not those of `listeners`.
        """
        config = self.config
        keep_memory()
        self.model = build(config).to(self.device)
        found = read_checkpoint(resume) if resume and has_checkpoint(resume) else None
        self.state.start = begin_from(self.model, **start)
        if found:
            began = found["state"].get("start", {})
            refuse_another_start(resume, began, self.state.start)
            begin_from(self.model, freeze=began.get("freeze", ()))
        self.optimizer = make_optimizer(config, self.model)
        if found:
            parts = config, self.seed, self.model, self.optimizer
            self.state = State(**load_checkpoint(found, resume, *parts))
            self._go_on_from(found["config"], resume)
            self._check_state(resume, any(each.makes_curves for each in listeners))
        else:
            self.state.right_sum = 0.0
            self.state.first_steps = {"weights": weights_sha256(self.model), "losses": []}
        self.state.digits = self.digits
        self.step = make_step(
            config, self.seed, self.model, self.optimizer, self.images, self.labels
        )
        self._say_who()
        sums = self.state.loss_sum, self.state.right_sum
        self.loss_sum, self.right_sum = torch.tensor(sums, dtype=torch.float64, device=self.device)
        self.started = time.perf_counter() - self.state.seconds

    def _go_on_from(self, before: dict, where) -> None:
        """Where the rate is another than `before`, in the checkpoint at `where`, a phase begins."""
        was = {name: before.get(name) for name in RATES}
        now = {name: getattr(self.config, name) for name in RATES}
        if now == was:
            return
        if self.state.step != before["epochs"] * self.steps_an_epoch:
            differ = [name for name in RATES if was[name] != now[name]]
            what = ", ".join(f"{name}={was[name]} there and {now[name]} here" for name in differ)
            raise ValueError(
                f"cannot resume from {where}: {what}; that is a "
                f"new phase, and {self.epoch} of {before['epochs']} epochs of the last are complete"
            )
        phases = self.state.phases or [{"epoch": 0, **was}]
        self.state.phases = [*phases, {"epoch": self.epoch, **now}]

    def _say_who(self) -> None:
        """Add this process to the state's parts, unless the last one was just like it."""
        parts, step = self.state.parts, self.state.step
        if step and not parts:  # a checkpoint from before there were any
            unknown = {"commit": "unknown", "versions": {}, "device": "unknown", "threads": 0}
            parts.append({"step": 0, **unknown, "bf16": self.step.bf16})
        here = {"bf16": self.step.bf16, **self._here()}
        if not parts or {k: v for k, v in parts[-1].items() if k != "step"} != here:
            parts.append({"step": step, **here})

    def _here(self) -> dict:
        """The code and the machine that this process makes the run with, as a record has them."""
        return {
            "commit": self.commit,
            "versions": {"torch": str(torch.__version__), "numpy": np.__version__},
            "device": torch.cuda.get_device_name(self.device) if self.images.is_cuda else "cpu",
            "threads": torch.get_num_threads(),
        }

    def _check_state(self, where, makes_curves: bool) -> None:
        state, wrong = self.state, ""
        if state.digits and ("full MNIST" in state.digits) != ("full MNIST" in self.digits):
            wrong = f"it learned from the {state.digits} and here is the {self.digits}"
        if state.step > self.total:
            wrong = f"it has made {state.step} steps and these epochs are {self.total}"
        made = [name for name, values in state.curves.items() if values]
        made = [name for name in made if name not in OWN_CURVES]
        if state.curves["train_loss"] and bool(made) != makes_curves:
            wrong = f"after each epoch it measured {made or 'nothing'}; EachEpoch must do the same"
        if wrong:
            raise ValueError(f"cannot resume from {where}: {wrong}")

    @property
    def epoch(self) -> int:
        """How many epochs are complete."""
        return self.state.step // self.steps_an_epoch

    @property
    def epoch_ends(self) -> bool:
        """Whether the last step was the last of an epoch."""
        return self.state.step % self.steps_an_epoch == 0

    @property
    def curves(self) -> dict[str, list]:
        return self.state.curves

    @property
    def accuracy(self) -> float:
        """In percent, of the last batch as the step read it; asking waits for the device."""
        each = self.answers // len(self.images)
        return 100 * self.step.right.item() / (each * len(self.step.batch))

    def batches(self) -> list[Tensor]:
        """What is left of this epoch: indices, shuffled by seed and epoch; the last may be few."""
        epoch, done = divmod(self.state.step, self.steps_an_epoch)
        train_but(self.model, paths_of(self.model, self.state.start.get("freeze", ()), "freeze"))
        generator = torch.Generator().manual_seed(stream(ORDER, self.seed, epoch))
        order = torch.randperm(len(self.images), generator=generator).to(self.device)
        return list(order.split(self.config.batch_size))[done:]

    def learn(self, index: Tensor) -> None:
        """Make one step, of the images at `index`."""
        self.rate = rate(self.config, self.state.step / self.total)
        self.loss = self.step(index, self.state.step, self.rate)
        if self.state.first_steps and self.state.step < FIRST_STEPS:
            self.state.first_steps["losses"].append(self.loss.clone())  # read later: it waits
        self.state.first_batch = self.state.first_batch or sha256(self.step.batch)
        self.state.step += 1
        self.loss_sum += self.loss.double() * len(index)
        self.right_sum += self.step.right

    def validate(self) -> None:
        """Close an epoch: its mean training loss, and what the validation images say.

        FloatingPointError where a loss is no number: nothing that follows could be trusted.
        """
        mean = self.loss_sum.item() / len(self.images)
        self._check_loss("training", mean)
        self.curves["train_loss"].append(mean)
        self.loss_sum.zero_()
        self.state.train_accuracy.append(100 * self.right_sum.item() / self.answers)
        self.right_sum.zero_()
        if self.valid is not None:
            measured = evaluate(self.model, self.valid.images, self.valid.labels)
            self._check_loss("validation", measured["loss"])
            self.curves["valid_accuracy"].append(100 * measured["correct"] / measured["total"])
            if "valid_loss" in self.curves:  # a checkpoint from before has none
                self.curves["valid_loss"].append(measured["loss"])

    def look_before(self) -> None:
        """Measure the network before its first step, on validation and on images as it gets them.

        Those are the first thousand, drawn as the first step draws.
        """
        step, few = getattr(self.step, "step", self.step), min(len(self.images), 1000)
        step.generator.manual_seed(stream(STEP, self.seed, 0))  # as every step does anew
        index = torch.arange(few, device=self.device).split(self.config.batch_size)
        drawn = [step.draw(part)[:2] for part in index]
        sets = {"train": tuple(torch.cat(part) for part in zip(*drawn, strict=True))}
        if self.valid is not None:
            sets["valid"] = self.valid.images, self.valid.labels
        for split, (images, labels) in sets.items():
            found = evaluate(self.model, images, labels)
            self.state.before[f"{split}_loss"] = found["loss"]
            self.state.before[f"{split}_accuracy"] = 100 * found["correct"] / found["total"]

    def history(self) -> dict[str, list[float]]:
        """What one watches: loss and accuracy of training and validation, and the other curves.

        One number an epoch, after that of epoch 0 if `look_before` was asked; NaN: not known.
        """
        curves, before, right = (
            numbers_of(self.curves),
            self.state.before,
            self.state.train_accuracy,
        )
        epochs = len(self.curves["train_loss"])
        curves["train_accuracy"] = [math.nan] * (epochs - len(right)) + right
        names = [name for name in WATCHED if name in before or curves.get(name)]
        names += [name for name in curves if name not in WATCHED]
        first = {name: [before.get(name, math.nan)] if before else [] for name in names}
        return {name: first[name] + curves.get(name, []) for name in names}

    def _check_loss(self, of: str, loss: float) -> None:
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the {of} loss of epoch {self.epoch} is {loss}: the run diverged at "
                f"lr={self.config.lr:g}; a smaller lr or a clip may keep it"
            )

    def snapshot(self) -> dict:
        """The state as it is now, for a checkpoint."""
        self.state.seconds = time.perf_counter() - self.started
        self.state.loss_sum, self.state.right_sum = self.loss_sum.item(), self.right_sum.item()
        if first := self.state.first_steps:
            first["losses"] = [float(loss) for loss in first["losses"]]
        return vars(self.state)

    def finish(self) -> None:
        """Training is over: the clock stops, and the model is in eval mode."""
        self.snapshot()
        self.model.eval()

    def record(self) -> RunRecord:
        """What the run was and what came of it, measured on every set that the config names."""
        return RunRecord(
            experiment=self.name,
            seed=self.seed,
            config=dataclasses.asdict(self.config) | {"bf16": self.step.bf16},
            digits=self.digits,
            parameters=models.count_parameters(self.model),
            curves=self.curves,
            results=self._results(),
            probes=self.probes,
            first_steps=self.state.first_steps,
            start=self.state.start,
            phases=self.state.phases,
            hashes={
                "first_batch": self.state.first_batch,
                "weights": weights_sha256(self.model),
            },
            **self._here(),
            parts=self.state.parts if len(self.state.parts) > 1 else [],
            seconds=round(self.state.seconds, 3),
        )

    def _results(self) -> dict[str, dict]:
        results = {}
        for split in ("valid", "test") if self.valid is not None else ("test",):
            for name in self.config.tests:
                held = test_set(split, name, self.device, self.config.shape)
                held = first_of(held, self.config.limit_measured)
                results[f"{split}/{name}"] = evaluate(self.model, held.images, held.labels)
        return results
