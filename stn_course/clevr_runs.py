"""Not-so-Clevr as named experiments: one record for each seed, as of every other run."""

import torch

from stn_course import not_so_clevr
from stn_course.data.squares import squares
from stn_course.records import RunRecord, current_commit
from stn_course.train import sha256, weights_sha256


def settings(task: str, network: str, split: str) -> dict:
    """What decides such a run apart from its seed."""
    steps, batch_size, lr = not_so_clevr.BUDGETS[task, network]
    asked = {"task": task, "network": network, "split": split}
    return asked | {"steps": steps, "batch_size": batch_size, "lr": lr}


def record(name: str, seed: int, *, config: dict) -> RunRecord:
    """Train and measure what ``config`` (as `settings` makes it) says, on the CPU.

    ``results`` count places answered exactly, ``train/SPLIT`` and ``test/SPLIT``; ``curves``
    hold the mean loss of each pass over the training squares; the probe ``test`` holds what
    else was measured there, and the middle pixels that were ``missed``.
    """
    model, found = not_so_clevr.solved(seed=seed, **config)
    train, _ = squares(config["split"], seed)
    size = config["batch_size"]
    first = next(not_so_clevr.batches(len(train), size, seed))
    losses, a_pass = torch.tensor(found["losses"]), -(-len(train) // size)
    measured = ("correct", "total", "loss")
    return RunRecord(
        experiment=name,
        seed=seed,
        config=dict(config),
        digits="none: squares are drawn",
        parameters=found["parameters"],
        curves={"train_loss": [part.mean().item() for part in losses.split(a_pass)]},
        results={
            f"{part}/{config['split']}": {k: found[part][k] for k in measured}
            for part in ("train", "test")
        },
        probes={"test": {k: v for k, v in found["test"].items() if k not in measured}},
        hashes={
            "first_batch": sha256(train.task(config["task"])[0][first]),
            "weights": weights_sha256(model),
        },
        commit=current_commit(),
        versions={"torch": torch.__version__},
        device="cpu",
        threads=torch.get_num_threads(),
        seconds=found["seconds"],
    )
