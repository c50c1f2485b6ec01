"""One visible training loop: ``fit`` a ``Config``, ``evaluate`` a model.

Step ``t`` of a run depends on the configuration, the seed and ``t`` alone: order,
distortion and dropout are seeded by the step.  So a run that was killed goes on from
its last checkpoint and ends with the same bits as one left alone.
"""

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from stn_course import models
from stn_course.checkpoints import keep_checkpoint, load_checkpoint, save_checkpoint
from stn_course.config import CLEAN, INIT, ORDER, Config, build, rate, stream
from stn_course.measure import evaluate
from stn_course.records import RunRecord, current_commit
from stn_course.run_state import RunState, Watch
from stn_course.sets import test_set, training_set
from stn_course.step import Step
from stn_course.transformers import localiser_parameters


def make_optimizer(config: Config, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of ``config``; with ``lr_localiser`` in two groups, each with its ``scale``.

    ``weight_decay`` makes two groups of each, for what has one axis (biases, norms) does not
    decay.  Raises ValueError for an ``lr_localiser`` where there is no spatial transformer.
    """
    p, decay = list(model.parameters()), config.weight_decay
    if config.lr_localiser is not None:
        theirs = localiser_parameters(model)
        if not theirs:
            raise ValueError(
                f"lr_localiser={config.lr_localiser} and model={config.model!r} has no transformer"
            )
        known = {id(each) for each in theirs}
        ours = [each for each in p if id(each) not in known]
        scale = config.lr_localiser / config.lr
        p = [{"params": ours, "scale": 1.0}, {"params": theirs, "scale": scale}]
    if decay:
        groups = p if isinstance(p[0], dict) else [{"params": p}]
        p = []
        for group in groups:
            kernels = [each for each in group["params"] if each.ndim > 1]
            others = [each for each in group["params"] if each.ndim < 2]
            p += [{**group, "params": kernels}, {**group, "params": others, "weight_decay": 0.0}]
    own = {} if config.epsilon is None else {"eps": config.epsilon}
    if config.optimizer == "sgd":
        fused = next(model.parameters()).is_cuda  # a graph needs it; the CPU's bits stay
        return torch.optim.SGD(p, config.lr, config.momentum, weight_decay=decay, fused=fused)
    if config.optimizer == "rmsprop":
        # Lasagne, with which SK trained, and Keras forget a tenth a step; torch's own is .99.
        own |= {"momentum": config.momentum}
        return torch.optim.RMSprop(p, config.lr, 0.9, weight_decay=decay, **own)
    return torch.optim.Adam(p, config.lr, weight_decay=decay, fused=True, **own)


def batches(n: int, size: int, seed: int, epoch: int, device: torch.device) -> Iterator[Tensor]:
    """Index tensors of one epoch, shuffled by (seed, epoch); the last may be short."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(stream(ORDER, seed, epoch)))
    return iter(order.to(device).split(size))


def fit(config: Config, seed: int = 0, **options) -> tuple[nn.Module, RunRecord]:
    """Train ``config`` with ``seed``; return the model (in eval mode) and its record.

    ``options`` are those of `steps`, which this runs to its end.
    """
    run = steps(config, seed, **options)
    while True:
        try:
            next(run)
        except StopIteration as end:
            return end.value


def steps(
    config: Config,
    seed: int = 0,
    *,
    name: str = "unnamed",
    folder: Path | None = None,
    resume: bool = False,
    save_every: int = 0,
    progress: bool = False,
    device: torch.device | None = None,
    probe: Callable[[nn.Module, torch.device], dict] | None = None,
    each_epoch: Callable[[nn.Module, torch.device], dict[str, float | list]] | None = None,
    keep_every: int = 0,
    watch: Watch | None = None,
    beside: int = 0,
) -> Generator[None, None, tuple[nn.Module, RunRecord]]:
    """A training run that pauses after every step, so that several can take turns.

    With ``folder`` a checkpoint is written after each epoch, and after every
    ``save_every`` steps; ``resume`` goes on from it if there is one.  The checkpoint of
    every ``keep_every``-th epoch is kept.  ``watch`` is told how the run goes.  What ``probe``
    measures after training is the record's ``probes``; what ``each_epoch`` measures joins
    its ``curves``.  Both must leave the model as it was.  ``beside``: how many other runs
    share the device, for the record.
    """
    watch, commit = watch or Watch(), current_commit()
    device = device or models.device()
    images, labels, source = training_set(config, seed, device)
    valid = test_set("valid", config.distort or CLEAN, device) if _has_valid(config) else None
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(stream(INIT, seed))
        model = build(config).to(device)
        optimizer = make_optimizer(config, model)
        state = RunState()
        if resume and folder and (Path(folder) / "checkpoint.pt").exists():
            state = RunState(**load_checkpoint(folder, config, seed, model, optimizer))
        steps_an_epoch = -(-len(images) // config.batch_size)
        total = config.epochs * steps_an_epoch
        state.check(folder, source, total, each_epoch is not None)
        state.digits = source
        step = Step(config, seed, model, optimizer, images, labels)
        watch.start(state.step)
        loss_sum = torch.full((), state.loss_sum, dtype=torch.float64, device=device)
        start = time.perf_counter() - state.seconds
        bar = tqdm(total=total, initial=state.step, disable=not progress, desc=name)
        while state.step < total and not state.waited(config.patience):
            epoch, done = divmod(state.step, steps_an_epoch)
            model.train()
            for index in list(batches(len(images), config.batch_size, seed, epoch, device))[done:]:
                now = rate(config, state.step / total)
                loss = step(index, state.step, now)
                state.first_batch = state.first_batch or sha256(step.batch)
                state.step += 1
                loss_sum += loss.double() * len(index)
                watch.step(state.step, loss, now)
                bar.update()
                epoch_ends = state.step % steps_an_epoch == 0  # it has a checkpoint of its own
                if folder and save_every and state.step % save_every == 0 and not epoch_ends:
                    state.seconds, state.loss_sum = time.perf_counter() - start, loss_sum.item()
                    save_checkpoint(folder, config, seed, model, optimizer, vars(state))
                yield
            mean = loss_sum.item() / len(images)
            if not math.isfinite(mean):  # nothing that follows could be filed, nor trusted
                raise FloatingPointError(
                    f"the training loss of epoch {epoch + 1} is {mean}: the run diverged at "
                    f"lr={config.lr:g}; a smaller lr or a clip may keep it"
                )
            state.curves["train_loss"].append(mean)
            state.loss_sum = loss_sum.zero_().item()
            if valid is not None:
                measured = evaluate(model, valid.images, valid.labels)
                state.curves["valid_accuracy"].append(100 * measured["correct"] / measured["total"])
                if "valid_loss" in state.curves:  # a checkpoint from before has none
                    state.curves["valid_loss"].append(measured["loss"])
                bar.set_postfix(valid=f"{state.curves['valid_accuracy'][-1]:.2f} %")
            for curve, value in (each_epoch(model, device) if each_epoch else {}).items():
                state.curves.setdefault(curve, []).append(value)
            if config.patience:
                state.keep_best(model)
            state.seconds = time.perf_counter() - start
            watch.epoch(state.step, model, state.curves)
            if folder:
                save_checkpoint(folder, config, seed, model, optimizer, vars(state))
                if keep_every and (epoch + 1) % keep_every == 0:
                    keep_checkpoint(folder, epoch + 1)
        bar.close()
    if state.best is not None:
        model.load_state_dict(state.best)
    return model.eval(), RunRecord(
        experiment=name,
        seed=seed,
        config=dataclasses.asdict(config) | {"bf16": step.bf16},
        digits=source,
        parameters=models.count_parameters(model),
        curves=state.curves,
        results=_results(model, config, device),
        probes=probe(model, device) if probe else {},
        hashes={"first_batch": state.first_batch, "weights": weights_sha256(model)},
        commit=commit,
        versions={"torch": torch.__version__, "numpy": np.__version__},
        device=_described(device) + (f", beside {beside} other runs" if beside else ""),
        threads=torch.get_num_threads(),
        seconds=round(state.seconds, 3),
    )


def _described(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _has_valid(config: Config) -> bool:
    return "valid" not in config.train_on


def _results(model: nn.Module, config: Config, device: torch.device) -> dict[str, dict]:
    splits = ("valid", "test") if _has_valid(config) else ("test",)
    results = {}
    for split in splits:
        for name in config.tests:
            held = test_set(split, name, device, config.shape)
            results[f"{split}/{name}"] = evaluate(model, held.images, held.labels)
    return results


def sha256(*tensors: Tensor) -> str:
    """SHA-256 of the tensors' bytes, one after the other."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def weights_sha256(model: nn.Module) -> str:
    return sha256(*model.state_dict().values())
