"""What notebook 07 works with: warps beside each other, slopes, coordinates, a queue."""

import hashlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from stn_course import geometry, sampler
from stn_course.byte_count import Traffic, count
from stn_course.stopwatch import race

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
    (batch, _, h, w), (x, y) = images.shape, sampler.affine_grid(theta, size).unbind(3)
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
    """By how many pixels, at most, an affine grid is off that was computed in ``dtype``.

    For n thetas near the identity and images of ``side`` pixels: theta, the base grid and the
    result are rounded to ``dtype``, and the sum between them is exact, as in a matrix product.
    """
    dice = torch.Generator().manual_seed(seed)
    noise = torch.rand(n, 2, 3, generator=dice, dtype=torch.float64) - 0.5
    theta = geometry.identity(dtype=torch.float64) + 0.4 * noise
    low = lambda t: t.to(dtype).double()  # noqa: E731
    x = geometry.pixel_centres(side, dtype=torch.float64)
    exact = sampler.affine_grid(theta, (side, side))
    a, b, c = low(theta)[..., None, None].unbind(2)
    made = low((a * low(x) + (b * low(x)[:, None] + c)).movedim(1, 3))
    return (made - exact).abs().max().item() * side / 2


# ---------------------------------------------------------------- a queue
Spans = list[tuple[float, float]]


def queue(
    n: int, ask: float, work: float, wait_after: int | None = None, graph: bool = False,
    trip: float = 3.0,
) -> tuple[Spans, Spans]:  # fmt: skip
    """When a program asks and when its device works: (start, length) of each, in microseconds.

    n kernels of ``work`` each; asking for one takes ``ask``, and it starts ``trip`` later at the
    earliest, when those before it are done. After kernel ``wait_after`` the program waits for the
    device. A ``graph`` is asked for once, as a whole.
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
    dice = torch.Generator().manual_seed(seed)
    images, up = torch.rand(2, batch, channels, height, width, generator=dice, dtype=dtype)
    noise = torch.rand(batch, 2, 3, generator=dice, dtype=dtype) - 0.5
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
    """Forward and gradient to theta, against the first of ``warps``: a row for a table.

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
    """``gathered(upstream, theta, size)`` and the inverse matrix against autograd's gradient.

    Two cells: whether the first agrees within 1e-12, and by how many percent the second is off.
    """
    image, _, up = case(1, 1, 28, 28, dtype=torch.float64)
    theta, size = theta.detach().double(), (28, 28)
    out = sampler.warp(image.requires_grad_(), theta, padding="zeros")
    wanted = torch.autograd.grad(out, image, up)[0][0, 0]
    short = sampler.warp(up, geometry.invert(theta), padding="zeros")[0, 0]
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
    """How many operators run when ``function`` of thetas [32, 2, 3] is mapped over n of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it will loop is what is counted here
        return len(count(torch.func.vmap(function), torch.ones(n, 32, 2, 3))[1].operations)
