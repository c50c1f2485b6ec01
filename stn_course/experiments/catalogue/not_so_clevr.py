"""Not-so-Clevr solved twice: by convolutions, and by convolutions that know where they are.

Networks in the spirit of Liu et al. 2018 (arXiv 1807.03247) for the three tasks of
`data.squares`. `conv`: transposed convolutions that grow a point into a picture, or strided
ones that shrink a picture into a point. `coordconv`: some 1x1 convolutions after one
`CoordConv2d`, with 24 times fewer parameters to draw and 2 100 times fewer to point.
"""

import time
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stn_course.data import not_so_clevr
from stn_course.data.not_so_clevr import CANVAS, SIDE, SPLITS, Squares
from stn_course.experiments.experiment import Experiment
from stn_course.models import CoordConv2d
from stn_course.models.layers import Normalise
from stn_course.training.record import RunRecord, current_commit
from stn_course.training.run import sha256, weights_sha256

NETWORKS = ("conv", "coordconv")
LOSSES = {
    "classification": F.cross_entropy,  # one class for each pixel
    "rendering": F.binary_cross_entropy_with_logits,
    "regression": F.mse_loss,
}
# (task, network) -> steps, batch size and highest rate of Adam: minutes on two CPU cores.
BUDGETS = {
    ("classification", "conv"): (3000, 32, 2e-3),
    ("classification", "coordconv"): (2000, 8, 5e-3),
    ("rendering", "conv"): (3000, 32, 2e-3),
    ("rendering", "coordconv"): (1200, 8, 5e-3),
    ("regression", "conv"): (1500, 32, 1e-3),
    ("regression", "coordconv"): (600, 16, 1e-2),
}


class Tile(nn.Module):
    """The same numbers at every pixel.  # [B, C] -> [B, C, n, n]"""

    def __init__(self, n: int):
        super().__init__()
        self.n = n

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, None, None].expand(-1, -1, self.n, self.n)


def deconvolutions(canvas: int = CANVAS) -> nn.Sequential:
    """From a point to a picture by doubling.  # [B, 2] -> [B, 1, canvas, canvas]"""
    doublings = canvas.bit_length() - 1
    widths = [2, *[64] * (doublings - 3), 32, 32]
    layers: list[nn.Module] = [Tile(1)]
    for inputs, out in zip(widths, widths[1:], strict=False):
        layers.append(nn.ConvTranspose2d(inputs, out, 4, stride=2, padding=1, bias=False))
        layers += [nn.BatchNorm2d(out), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1))


def coordinate_stack(canvas: int = CANVAS) -> nn.Sequential:
    """Each pixel compares the point with its own place.  # [B, 2] -> [B, 1, canvas, canvas]"""
    layers: list[nn.Module] = [Tile(canvas), CoordConv2d(2, 32, 1), nn.ReLU()]
    for inputs, out in ((32, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(inputs, out, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(64, 1, 1))


def shrinking_convolutions(canvas: int = CANVAS) -> nn.Sequential:
    """From a picture to a point by halving.  # [B, 1, canvas, canvas] -> [B, 2]"""
    halvings = canvas.bit_length() - 1
    widths = [1, 16, 32, 32, *[64] * (halvings - 3)]
    layers: list[nn.Module] = []
    for inputs, out in zip(widths, widths[1:], strict=False):
        layers += [nn.Conv2d(inputs, out, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1], 2))


class Highest(nn.Module):
    """The largest value of each map: [B, C, H, W] -> [B, C, 1, 1].

    As `nn.AdaptiveMaxPool2d(1)`, whose gradient `torch.use_deterministic_algorithms` refuses on
    CUDA.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, tuple(x.shape[2:]))


def coordinate_maximum() -> nn.Sequential:
    """How far what is lit reaches in eight directions, learnt.  # [B, 1, H, W] -> [B, 2]

    It needs the *max*: a mean over the canvas would drown the square in the background. And the
    maximum must stand on the square wherever that is, also where none was ever seen, or no
    gradient reaches it. So what is lit comes in as 0 and what is not as -8, each unit starts
    with a weight of 1 for it, and coordinates, which end at 1, cannot make up for 8.
    """
    where = CoordConv2d(1, 8, 1)
    with torch.no_grad():
        where.weight[:, 0] = 1.0
    lit = Normalise(1.0, 1 / 8)
    return nn.Sequential(lit, where, Highest(), nn.Flatten(), nn.Linear(8, 2))


def build(task: str, network: str, canvas: int = CANVAS) -> nn.Module:
    """The network for a task.

    "classification" gives logits [B, canvas * canvas], "rendering" logits [B, 1, canvas,
    canvas], "regression" points [B, 2]. Raises ValueError for another task or network, and for
    a canvas that is not a power of two from 16 on.
    """
    _check(task, network, canvas)
    if task == "regression":
        return shrinking_convolutions(canvas) if network == "conv" else coordinate_maximum()
    net = deconvolutions(canvas) if network == "conv" else coordinate_stack(canvas)
    return net.append(nn.Flatten()) if task == "classification" else net


def _check(task: str, network: str, canvas: int) -> None:
    if task not in not_so_clevr.TASKS:
        raise ValueError(f"task={task!r}; wanted one of {not_so_clevr.TASKS}")
    if network not in NETWORKS:
        raise ValueError(f"network={network!r}; wanted one of {NETWORKS}")
    if not isinstance(canvas, int) or canvas < 16 or canvas & (canvas - 1):
        raise ValueError(f"canvas={canvas}; wanted a power of two, 16 or more")


def fit(
    task: str,
    network: str,
    train: Squares,
    seed: int = 0,
    *,
    steps: int,
    batch_size: int,
    lr: float,
) -> tuple[nn.Module, list[float]]:
    """Train a network on `train`; return it (in eval mode) and the loss of each step.

    Adam; the rate rises over 20 steps and then falls linearly to 0. The start and the order
    of the squares follow from `seed`. Raises ValueError for a budget that is nothing.
    """
    if not _whole(steps) or not _whole(batch_size) or not lr > 0:
        raise ValueError(
            f"steps={steps}, batch_size={batch_size}, lr={lr}; wanted all above 0, and the first "
            "two whole"
        )
    inputs, targets = train.task(task)
    device = inputs.device
    with torch.random.fork_rng(devices=[]):  # made on the CPU: the same start on every device
        torch.manual_seed(seed)
        model = build(task, network, train.canvas).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr)
    losses = []
    order = batches(len(train), batch_size, seed)
    for step, index in zip(range(steps), order, strict=False):
        index = index.to(device)
        optimizer.param_groups[0]["lr"] = lr * min((step + 1) / 20, 1.0) * (1 - step / steps)
        loss = LOSSES[task](model(inputs[index]), targets[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return model.eval(), torch.stack(losses).tolist()


def _whole(count) -> bool:
    return isinstance(count, int) and count > 0


def batches(n: int, size: int, seed: int) -> Iterator[Tensor]:
    """Indices of one batch after the other, without end: each pass over all n in a new order."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from reversed(torch.randperm(n, generator=generator).split(size))


@torch.no_grad()
def score(model: nn.Module, task: str, asked: Squares) -> dict:
    """How `model` does on `asked`: `correct` of `total`, and which were `missed` (x, y).

    Correct is the right middle pixel (regression: after rounding), or a picture with every
    pixel right. Beside it the mean `loss`, and the mean `distance` from the right place in
    pixels, or for rendering the mean `iou` (intersection over union) of the squares.
    """
    inputs, targets = asked.task(task)
    made = torch.cat([model(some) for some in inputs.split(64)])
    if task == "rendering":
        drawn, wanted = made > 0, targets > 0  # [N, 1, H, W]
        right = (drawn == wanted).flatten(1).all(1)
        shared = (drawn & wanted).flatten(1).sum(1) / (drawn | wanted).flatten(1).sum(1)
        measured = {"iou": shared.mean().item()}
    else:
        if task == "classification":
            cell = made.argmax(1)
            place = torch.stack([cell % asked.canvas, cell // asked.canvas], 1).float()  # [N, 2]
        else:
            place = ((made + 1) * asked.canvas - 1) / 2  # pixels, counted from 0
        right = (place.round() == asked.centres).all(1)
        measured = {"distance": (place - asked.centres).norm(dim=1).mean().item()}
    measured["loss"] = LOSSES[task](made, targets).item()
    missed = asked.centres[~right].tolist()
    return {"correct": int(right.sum()), "total": len(asked), **measured, "missed": missed}


def solved(
    task: str,
    network: str,
    split: str = "uniform",
    seed: int = 0,
    *,
    steps: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    canvas: int = CANVAS,
    side: int = SIDE,
    device: torch.device | str | None = None,
) -> tuple[nn.Module, dict]:
    """Train `network` for `task` on one split of the squares and measure it on both sides.

    Steps, batch size and rate are those of `BUDGETS` unless given. The network comes with what
    can be written as JSON: what was asked, `parameters`, `losses` of each step, `train`
    and `test` as in `score`, and `seconds` of training.

    Raises ValueError for names, sizes and budgets with which nothing can be trained.
    """
    _check(task, network, canvas)
    usual = BUDGETS[task, network]
    steps, batch_size, lr = (
        known if given is None else given
        for known, given in zip(usual, (steps, batch_size, lr), strict=True)
    )
    train, test = not_so_clevr.squares(split, seed, canvas=canvas, side=side, device=device)
    begun = time.perf_counter()
    budget = {"steps": steps, "batch_size": batch_size, "lr": lr}
    model, losses = fit(task, network, train, seed, **budget)
    seconds = time.perf_counter() - begun
    asked = {"task": task, "network": network, "split": split, "seed": seed, "canvas": canvas}
    return model, {
        **asked,
        **budget,
        "parameters": sum(p.numel() for p in model.parameters()),
        "losses": losses,
        "train": score(model, task, train),
        "test": score(model, task, test),
        "seconds": round(seconds, 3),
    }


def settings(task: str, network: str, split: str) -> dict:
    """What decides such a run apart from its seed."""
    steps, batch_size, lr = BUDGETS[task, network]
    asked = {"task": task, "network": network, "split": split}
    return asked | {"steps": steps, "batch_size": batch_size, "lr": lr}


def record(name: str, seed: int, *, config: dict) -> RunRecord:
    """Train and measure what `config` (as `settings` makes it) says, on the CPU.

    `results` count places answered exactly, `train/SPLIT` and `test/SPLIT`; `curves`
    hold the mean loss of each pass over the training squares; the probe `test` holds what
    else was measured there, and the middle pixels that were `missed`.
    """
    model, found = solved(seed=seed, **config)
    train, _ = not_so_clevr.squares(config["split"], seed)
    size = config["batch_size"]
    first = next(batches(len(train), size, seed))
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


def squares() -> Iterator[tuple[str, Experiment]]:
    minutes = {"conv": 2.0, "coordconv": 1.6}
    for task in not_so_clevr.TASKS:
        share = 0.2 if task == "regression" else 1.0
        for network in NETWORKS:
            for split in SPLITS:
                config = settings(task, network, split)
                about = f"Not-so-Clevr {task} by {network}, {split} split"
                run = partial(record, config=config)
                yield (
                    f"clevr-{task}-{network}-{split}",
                    Experiment(config, about, 5, minutes[network] * share, run=run),
                )


EXPERIMENTS = dict(squares())
