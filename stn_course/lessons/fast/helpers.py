"""What notebook 07 works with: warps beside each other, slopes, a queue, parts of a step."""

import hashlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_course import geometry, models, sampling
from stn_course.experiments.speed import length, race
from stn_course.lessons.fast.synchronisation import Synchronisations
from stn_course.lessons.fast.traffic import Traffic, count
from stn_course.sampling import reference

Warp = Callable[[Tensor, Tensor], Tensor]  # images [B, C, H, W], theta [B, 2, 3] -> as images


# ---------------------------------------------------------------- Triton
def open_triton():
    """The modules `triton` and `triton.language`; (None, None) where it is not installed.

    Without a GPU kernels run in Triton's interpreter, which must be asked for before triton is
    first imported: RuntimeError if it was imported before.
    """
    if not importlib.util.find_spec("triton"):
        return None, None
    if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
        if "triton" in sys.modules:
            raise RuntimeError("triton was imported before open_triton(): restart the kernel")
        os.environ["TRITON_INTERPRET"] = "1"
    import triton
    import triton.language

    return triton, triton.language


# ---------------------------------------------------------------- what was taught before
def slopes(images: Tensor, theta: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """How the output changes with the place read: d out/d x and d out/d y.  # [B, C, H, W] each

    images [B, C, h, w], 0 outside; theta [B, 2, 3]; x and y in normalised units. Notebook 02
    derives it for one image.
    """
    (batch, _, h, w), (x, y) = images.shape, sampling.affine_grid(theta, size).unbind(3)
    x, y = ((x + 1) * w / 2 + 0.5)[:, None], ((y + 1) * h / 2 + 0.5)[:, None]  # if padded by 1
    seen = (x >= 0) & (x <= w + 1) & (y >= 0) & (y <= h + 1)  # [B, 1, H, W]
    x, y = x.clamp(0, w + 1), y.clamp(0, h + 1)
    column, row = x.long(), y.long()
    padded, each = F.pad(images, (1, 2, 1, 2)), torch.arange(batch)[:, None, None]
    near = [
        padded[each, :, (row + i)[:, 0], (column + j)[:, 0]].movedim(3, 1)
        for i in (0, 1)
        for j in (0, 1)
    ]
    a, b = x - column, y - row
    d_x = torch.lerp(near[1] - near[0], near[3] - near[2], b)
    d_y = torch.lerp(near[2] - near[0], near[3] - near[1], a)
    return d_x * seen * (w / 2), d_y * seen * (h / 2)


# ---------------------------------------------------------------- coordinates
def grid_error(side: int, dtype: torch.dtype, n: int = 4, seed: int = 0) -> float:
    """By how many pixels, at most, an affine grid is off that was computed in `dtype`.

    For n thetas near the identity and images of `side` pixels: theta, the base grid and the
    result are rounded to `dtype`, and the sum between them is exact, as in a matrix product.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(n, 2, 3, generator=generator, dtype=torch.float64) - 0.5
    theta = geometry.identity(dtype=torch.float64) + 0.4 * noise
    low = lambda t: t.to(dtype).double()  # noqa: E731
    x = geometry.pixel_centres(side, dtype=torch.float64)
    exact = sampling.affine_grid(theta, (side, side))
    a, b, c = low(theta)[..., None, None].unbind(2)
    made = low((a * low(x) + (b * low(x)[:, None] + c)).movedim(1, 3))
    return (made - exact).abs().max().item() * side / 2


# ---------------------------------------------------------------- a queue
Spans = list[tuple[float, float]]


def queue(
    n: int,
    ask: float,
    work: float,
    wait_after: int | None = None,
    graph: bool = False,
    trip: float = 3.0,
) -> tuple[Spans, Spans]:
    """When a program asks and when its device works: (start, length) of each, in microseconds.

    n kernels of `work` each; asking for one takes `ask`, and it starts `trip` later at the
    earliest, when those before it are done. After kernel `wait_after` the program waits for the
    device. A `graph` is asked for once, as a whole.
    """
    host, device, now, free = [], [], 0.0, 0.0
    for k in range(n):
        if k == 0 or not graph:
            host.append((now, ask))
            now += ask
        free = max(free, now + trip)
        device.append((free, work))
        free += work
        if k == wait_after:
            now = free + trip
    return host, device


# ---------------------------------------------------------------- warps beside each other
def case(
    batch: int, channels: int, height: int, width: int, seed: int = 0, dtype=torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """Images, thetas near the identity that need a gradient, and a gradient to send back."""
    generator = torch.Generator().manual_seed(seed)
    images, up = torch.rand(2, batch, channels, height, width, generator=generator, dtype=dtype)
    noise = torch.rand(batch, 2, 3, generator=generator, dtype=dtype) - 0.5
    theta = geometry.identity(batch, dtype=dtype) + 0.4 * noise
    return images, theta.requires_grad_(), up


def operator_rows(traffic: Traffic, pixels: int) -> list[list[str]]:
    """Bytes a pixel that each operator reads and writes; those that hardly do in one row."""
    rows, small = [], 0
    for each in traffic.operations:
        read, written = each.read / pixels, each.written / pixels
        if max(read, written) < 0.5:
            small += 1
        else:
            rows.append([each.name, f"{read:.0f}", f"{written:.0f}"])
    rows.append([f"{small} others", "0", "0"])
    return [*rows, ["sum", f"{traffic.total / pixels:.0f}", ""]]


def race_warps(warps: dict[str, Warp], channels: int, rounds: int) -> list[str]:
    """Forward and gradient to theta, against the first of `warps`: a row for a table.

    The channels, the relative difference of their gradients, how many times as fast as the first
    each other one is, and the first itself again. Of the difference the worst hundredth is left
    out: a place on a pixel's centre for one, and beside it for another, has another slope.
    """
    images, theta, up = case(1024 // channels, channels, 28, 28)

    def step(warp: Warp):
        return lambda: torch.autograd.grad(warp(images, theta), theta, up)[0]

    first, *others = (step(warp) for warp in warps.values())
    wanted = first()
    errors = torch.stack([(step() - wanted).abs().flatten() for step in others])
    gap = (errors.quantile(0.99, dim=1).max() / wanted.abs().max()).item()
    calls = [first, *others, step(next(iter(warps.values())))]
    base, *taken = race(dict(enumerate(calls)), rounds).values()
    return [str(channels), f"{gap:.0e}", *(f"{base / s:.1f}x" for s in taken)]


def against_autograd(gathered: Callable, theta: Tensor) -> list[str]:
    """`gathered(upstream, theta, size)` and the inverse matrix against autograd's gradient.

    Two cells: whether the first agrees within 1e-12, and by how many percent the second is off.
    """
    image, _, up = case(1, 1, 28, 28, dtype=torch.float64)
    theta, size = theta.detach().double(), (28, 28)
    out = reference.warp(image.requires_grad_(), theta, padding="zeros")
    wanted = torch.autograd.grad(out, image, up)[0][0, 0]
    short = reference.warp(up, geometry.invert(theta), padding="zeros")[0, 0]
    off = [(a - wanted).norm() / wanted.norm() for a in (gathered(up[0, 0], theta[0], size), short)]
    return [str(off[0].item() < 1e-12), f"{100 * off[1].item():.0f} %"]


def gradient_bits(warp: Warp, threads: int) -> str:
    """A hash of both gradients of one fixed case, every bit of them, on so many threads."""
    images, theta, up = case(64, 8, 28, 28)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        out = warp(images.requires_grad_(), theta)
        grads = torch.autograd.grad(out, (images, theta), up)
    finally:
        torch.set_num_threads(before)
    return hashlib.sha256(b"".join(g.numpy().tobytes() for g in grads)).hexdigest()


def vmapped_operators(function: Callable[[Tensor], Tensor], n: int) -> int:
    """How many operators run when `function` of thetas [32, 2, 3] is mapped over n of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it will loop is what is counted here
        return len(count(torch.func.vmap(function), torch.ones(n, 32, 2, 3))[1].operations)


PARTS = ("total", "weights", "waits")
CHANGES = "a step that changes its images or labels"
OTHER_MODE = "a step that leaves its network in eval()"


def step_operators(net: nn.Module, optimiser, batch: int) -> list[int]:
    """How many operators a step on `batch` digits runs: forward, backward, update."""
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

    Going through a way once, as one goes through a DataLoader, makes `images` images.
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
    """Seconds for the gradients of n nets for one batch, one after the other and `together`.

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
    """One training step of the net called `model`, always on the same `batch` images.

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

    `pull` scales the images: the larger, the longer the gradients.
    """
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.rand(p.shape, generator=generator, dtype=torch.float64) - 0.5)
    images = pull * torch.rand(3, 12, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(-1, 4, (3, 12), generator=generator)
    labels[:, 0], labels[:, 1] = -1, 2  # at least one unknown, and one known
    return net, images, labels


def try_step(step, seed: int, pull: float) -> object:
    """Three steps: the sum of losses, the weights, and what would have waited for a GPU.

    Or what the step is, where it is none of those that can be compared.
    """
    net, images, labels = small_problem(seed, pull)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    total, kept = torch.zeros((), dtype=torch.float64), (images.clone(), labels.clone())
    with Synchronisations() as waits:
        for x, y in zip(images, labels, strict=True):
            total = step(net, optimiser, x, y, total)
            if not isinstance(total, torch.Tensor):
                return total
    if not all(map(torch.equal, kept, (images, labels))):
        return CHANGES
    if not all(module.training for module in net.modules()):
        return OTHER_MODE
    weights = torch.cat([p.detach().flatten() for p in net.parameters()])
    return dict(zip(PARTS, (total, weights, ", ".join(sorted(set(waits.found)))), strict=True))
