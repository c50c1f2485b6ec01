"""What notebook 07 works with beyond the warp: training steps, ways to feed them, many nets."""

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_course import models
from stn_course.byte_count import count
from stn_course.stopwatch import length, race
from stn_course.waits import Waits

PARTS = ("total", "weights", "waits")


def step_operators(net: nn.Module, optimiser, batch: int) -> list[int]:
    """How many operators a step on ``batch`` digits runs: forward, backward, update."""
    x, y = torch.rand(batch, 1, 28, 28), torch.arange(batch) % 10
    for _ in range(2):  # an optimiser's first step also makes its memory
        loss, forward = count(lambda: F.cross_entropy(net(x), y))
        optimiser.zero_grad()
        _, backward = count(loss.backward)
        _, update = count(optimiser.step)
    return [len(t.operations) for t in (forward, backward, update)]


def step_seconds(net: nn.Module, optimiser, batches: Sequence[int], rounds: int) -> list[float]:
    """Seconds of one training step for each size of a batch."""

    def step(batch: int) -> Callable[[], None]:
        x, y = torch.rand(batch, 1, 28, 28), torch.arange(batch) % 10
        return lambda: train(net, optimiser, x, y)

    return list(race({n: step(n) for n in batches}, rounds).values())


def train(net: nn.Module, optimiser, x: Tensor, y: Tensor) -> None:
    """One step, and nothing more."""
    optimiser.zero_grad()
    F.cross_entropy(net(x), y).backward()
    optimiser.step()


def feeding(ways: dict[str, Iterable[Tensor]], images: int, rounds: int) -> list[list[str]]:
    """Rows of a table: operators, bytes and time an image of each way to make one epoch.

    Going through a way once, as one goes through a DataLoader, makes ``images`` images.
    """

    def epoch(batches):
        return lambda: sum(1 for _ in batches)

    seconds, rows = race({k: epoch(way) for k, way in ways.items()}, rounds), []
    for name, way in ways.items():
        traffic = count(epoch(way))[1]
        cells = (f"{len(traffic.operations) / images:.2f}", f"{traffic.total / images:.0f}")
        rows.append([name, *cells, length(seconds[name] / images)])
    return rows


def small_net(kind: str) -> nn.Sequential:
    """A net for digits that is either "linear" or a "convolution"."""
    if kind == "linear":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))
    if kind == "convolution":
        first, second = nn.Conv2d(1, 8, 5), nn.Conv2d(8, 16, 5, 2)
        return nn.Sequential(first, nn.ReLU(), second, nn.Flatten(), nn.Linear(1600, 10))
    raise ValueError(f"kind={kind!r}; wanted 'linear' or 'convolution'")


def race_nets(together: Callable, rounds: int, n: int = 8) -> dict[str, float]:
    """Seconds for the gradients of n nets for one batch, one after the other and ``together``.

    together(nets)(x, y): name of a weight -> its gradients [n, ...]. Raises AssertionError where
    they are not those that each net gives alone.
    """
    x, y, calls = torch.rand(16, 1, 28, 28), torch.arange(16) % 10, {}
    for kind in ("linear", "convolution"):
        nets = [small_net(kind) for _ in range(n)]

        def alone(nets=nets):
            losses = (F.cross_entropy(net(x), y) for net in nets)
            return [
                torch.autograd.grad(loss, list(net.parameters()))
                for net, loss in zip(nets, losses, strict=True)
            ]

        stacked = together(nets)
        for k, one in enumerate(alone()):
            for a, b in zip(one, stacked(x, y).values(), strict=True):
                torch.testing.assert_close(b[k], a, rtol=1e-3, atol=1e-5)
        calls[f"{kind}, one after the other"] = alone
        calls[f"{kind}, stacked"] = lambda stacked=stacked: stacked(x, y)
    return race(calls, rounds)


def digits_step(model: str, batch: int, device: str) -> Callable[[], None]:
    """One training step of the net called ``model``, always on the same ``batch`` images.

    Its memory stays where it is and nothing in it waits, so that a CUDA graph can hold it.
    """
    net = models.build(model).to(device)
    optimiser = torch.optim.SGD(net.parameters(), 0.01)
    x = torch.rand(batch, 1, 28, 28, device=device)
    y = torch.arange(batch, device=device) % 10
    return lambda: train(net, optimiser, x, y)


# ---------------------------------------------------------------- a step that waits
def small_problem(seed: int, pull: float) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A tiny net, images [3, 12, 6] of three steps, and labels [3, 12], some unknown (-1).

    ``pull`` scales the images: the larger, the longer the gradients.
    """
    dice = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.rand(p.shape, generator=dice, dtype=torch.float64) - 0.5)
    images = pull * torch.rand(3, 12, 6, generator=dice, dtype=torch.float64)
    labels = torch.randint(-1, 4, (3, 12), generator=dice)
    labels[:, 0], labels[:, 1] = -1, 2  # at least one unknown, and one known
    return net, images, labels


def try_step(step, seed: int, pull: float) -> dict:
    """Three steps: the sum of losses, the weights, and what would have waited for a GPU."""
    net, images, labels = small_problem(seed, pull)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    total = torch.zeros((), dtype=torch.float64)
    with Waits() as waits:
        for x, y in zip(images, labels, strict=True):
            total = step(net, optimiser, x, y, total)
    if not isinstance(total, torch.Tensor):
        return total
    weights = torch.cat([p.detach().flatten() for p in net.parameters()])
    return dict(zip(PARTS, (total, weights, ", ".join(sorted(set(waits.found)))), strict=True))
