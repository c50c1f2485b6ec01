"""The warp beside whoever is quickest at it today: `python -m benchmarks.peers [--threads N]`.

Target 13: digits to pictures of 4000 x 4000, affine, zeros outside, float32 and bytes, forward and
gradients, one line for each size and peer. Each peer gets pictures in its own layout, made
beforehand, and as many threads as ours; those that take one picture are called for each. Who
writes into memory of the caller ("into old memory") stands beside ours that does, too; who makes
new memory beside ours that does. Agreement first. A last line for each size holds ours beside a
copy of the same bytes into memory that is there already: nothing that reads and writes them can be
quicker.
"""

import argparse
import functools
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.timing import absent, compare, line
from benchmarks.warp import TORCH, affines, rand, torch_warp, with_gradients
from stn_course import geometry
from stn_course.experiments import speed
from stn_course.extras import keep_memory
from stn_course.sampling import fused

TARGET = 13
# Batch, channels, size in, size out where it is another.
SIZES = (
    (256, 1, (28, 28), None),
    (256, 1, (37, 53), (61, 29)),
    (64, 3, (96, 96), None),
    (16, 3, (224, 224), None),
    (4, 3, (512, 512), None),
    (1, 3, (1080, 1920), None),
    (1, 1, (4000, 4000), None),
    (64, 64, (14, 14), None),
    (64, 64, (56, 56), None),
)
GRADIENTS = ((256, 1, (28, 28)), (16, 3, (224, 224)), (64, 64, (14, 14)))
LAYERS = ((64, 64, (14, 14), None), (64, 64, (56, 56), None))  # as within a network
COMPILED = ((256, 1, (28, 28), None), (16, 3, (224, 224), None))  # a minute of compiling each
IMAGE_BY_IMAGE = 4  # channels that OpenCV warps at once, at most
SLOW = 300_000  # pixels of a batch from which on SciPy takes seconds


@dataclass
class Case:
    """A batch and how it is moved, as each peer takes it."""

    images: torch.Tensor  # float32 [B, C, h, w]
    theta: torch.Tensor  # [B, 2, 3], normalised, from output to input
    size: tuple[int, int]

    def __post_init__(self):
        (h, w), (height, width) = self.images.shape[2:], self.size
        to_unit = [[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]]
        to_pixels = [[w / 2, 0, (w - 1) / 2], [0, h / 2, (h - 1) / 2], [0, 0, 1]]
        square = geometry.to_homogeneous(self.theta).double()
        maps = torch.tensor(to_pixels).double() @ square @ torch.tensor(to_unit).double()
        self.back = maps  # [B, 3, 3], in pixels, from output to input
        self.there = torch.linalg.inv(maps)
        self.bytes = (255 * self.images).round().to(torch.uint8)

    @property
    def name(self) -> str:
        batch, channels, h, w = self.images.shape
        to = "" if self.size == (h, w) else f" to {self.size[0]}x{self.size[1]}"
        return f"{batch} x {channels}x{h}x{w}{to}"


def case(batch: int, channels: int, size: tuple, to: tuple | None = None) -> Case:
    return Case(rand(batch, channels, *size), affines(batch, "cpu"), to or size)


def _last(images: torch.Tensor) -> list[np.ndarray]:
    """Pictures one by one, channels last.  # [h, w, C]"""
    return [np.ascontiguousarray(i) for i in images.movedim(1, 3).numpy()]


def _first(pictures: list[np.ndarray]) -> torch.Tensor:
    """Pictures [H, W, C] or [H, W] as a batch.  # [B, C, H, W]"""
    made = torch.from_numpy(np.stack(pictures))
    return (made[..., None] if made.ndim == 3 else made).movedim(3, 1)


# Each gives (what is timed, what makes a batch [B, C, H, W] of its result).
Peer = tuple[Callable, Callable]


def by_torch(of: Case) -> Peer:
    def pair():
        if of.size == of.images.shape[2:]:
            return torch_warp(of.images, of.theta)
        shape = (*of.images.shape[:2], *of.size)
        grid = torch.nn.functional.affine_grid(of.theta, shape, align_corners=False)
        return torch.nn.functional.grid_sample(of.images, grid, align_corners=False)

    return pair, lambda made: made


def by_torch_compiled(of: Case) -> Peer:
    return torch.compile(by_torch(of)[0]), lambda made: made


def by_kornia(of: Case) -> Peer:
    import kornia.geometry.transform as kornia

    matrix = of.there[:, :2].float()  # it inverts it itself; the pixels' centres are whole
    call = functools.partial(kornia.warp_affine, of.images, matrix, of.size, align_corners=True)
    return call, lambda made: made


def by_opencv(of: Case, images: torch.Tensor | None = None) -> Peer:
    import cv2

    cv2.setNumThreads(torch.get_num_threads())
    pictures, size = _last(of.images if images is None else images), of.size[::-1]
    maps = of.back[:, :2].numpy()
    memory = [np.empty((*of.size, p.shape[2]), p.dtype) for p in pictures]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

    def each():
        return [
            cv2.warpAffine(picture, m, size, dst=out, flags=flags)
            for picture, m, out in zip(pictures, maps, memory, strict=True)
        ]

    return each, _first


def by_opencv_bytes(of: Case) -> Peer:
    return by_opencv(of, of.bytes)


def by_kornia_rs_bytes(of: Case) -> Peer:
    from kornia_rs import imgproc

    pictures = _last(of.bytes)
    maps = [tuple(m[:2].flatten().tolist()) for m in of.there]

    def each():
        return [
            imgproc.warp_affine(picture, m, of.size, "bilinear")
            for picture, m in zip(pictures, maps, strict=True)
        ]

    return each, _first


def by_scipy(of: Case) -> Peer:
    from scipy import ndimage

    pictures = of.images[:, 0].numpy()
    turned = [(m[1::-1, 1::-1], m[1::-1, 2]) for m in of.back.numpy()]  # y first
    options = {"order": 1, "mode": "grid-constant", "output_shape": of.size}

    def each():
        return [
            ndimage.affine_transform(picture, turn, shift, **options)
            for picture, (turn, shift) in zip(pictures, turned, strict=True)
        ]

    return each, _first


OLD, KEPT = ", into old memory", ", memory kept"


def peers_of(of: Case, shape: tuple) -> Iterator[tuple[str, str, Callable, float]]:
    """(what goes in and where it goes, name, how it is made, how far it may be from ours)."""
    batch, channels, (h, w), _ = shape
    yield "float32", TORCH, by_torch, 1e-3  # their grids are rounded otherwise at 4000 pixels
    if shape in COMPILED:
        yield "float32", f"torch.compile of {TORCH}", by_torch_compiled, 1e-3
    yield "float32", "kornia.warp_affine", by_kornia, 2e-3
    if channels <= IMAGE_BY_IMAGE:  # OpenCV 5 rounds places to parts of a pixel
        yield f"float32{OLD}", "OpenCV, per image", by_opencv, 0.1
        yield f"bytes{OLD}", "OpenCV, per image", by_opencv_bytes, 0.1
    if channels == 3:
        yield "bytes", "kornia-rs, per image", by_kornia_rs_bytes, 0.1
    if channels == 1 and batch * h * w <= SLOW:
        yield "float32", "SciPy, per image", by_scipy, 1e-3


def ours(of: Case, kind: str) -> Callable:
    """Ours as the peers are called: of these types, and into such memory."""
    images = of.bytes if kind.startswith("bytes") else of.images
    options = {"size": of.size, "padding": "zeros"}
    shape = (*of.images.shape[:2], *of.size)
    if kind.endswith(OLD):
        options["out"] = torch.empty(shape, dtype=images.dtype)
    elif images is of.bytes:  # without `out` bytes are read and float32 comes out
        return lambda: fused.warp(images, of.theta, out=images.new_empty(shape), **options)
    return functools.partial(fused.warp, images, of.theta, **options)


def apart(our: torch.Tensor, theirs: torch.Tensor, share: float) -> float:
    """How far apart the two are, of the range of values, but for the share that differs most.

    A place at the rim is outside for one and just inside for the other.
    """
    top = 255 if our.dtype == torch.uint8 else 1
    errors = (our.double() - theirs.double()).abs().flatten() / top
    return errors.kthvalue(max(1, int(share * errors.numel()))).values.item()


def forward(shape: tuple, threads: int) -> Iterator[speed.Speed]:
    of = case(*shape)
    for peer in peers_of(of, shape):
        yield beside(of, *peer, threads)
    yield floor(of, threads)


def beside(
    of: Case, kind: str, peer_name: str, make: Callable, tolerance: float, threads: int
) -> speed.Speed:
    name = f"{kind}, {of.name}, beside {peer_name}, {_of(threads)}"
    try:
        call, batch = make(of)
    except ImportError as error:
        return absent(TARGET, name, 1, str(error))
    mine = ours(of, kind)
    return compare(
        TARGET,
        name,
        mine,
        call,
        wanted=1,
        peer_name=peer_name,
        tolerance=tolerance,
        agreement=lambda: apart(mine(), batch(call()), 0.98),
        rounds=9,
    )


def floor(of: Case, threads: int) -> speed.Speed:
    """Ours into memory that is there, beside a copy of as many bytes into such memory."""
    out = torch.empty(*of.images.shape[:2], *of.size)
    source = torch.zeros_like(out)
    copy = torch.empty_like(out)
    options = {"size": of.size, "padding": "zeros", "out": out}
    mine = functools.partial(fused.warp, of.images, of.theta, **options)
    name = f"floor, {of.name}, beside a copy of the output's bytes, {_of(threads)}"
    return compare(
        TARGET,
        name,
        mine,
        lambda: copy.copy_(source),
        wanted=0,
        peer_name="Tensor.copy_",
        tolerance=0,
        agreement=lambda: 0.0,  # they are not to give the same
        rounds=9,
    )


def gradients(shapes: tuple, threads: int, how: str = "") -> Iterator[speed.Speed]:
    for batch, channels, size, *_ in shapes:
        of = case(batch, channels, size)
        grad = rand(*of.images.shape, seed=3)
        theta, zeros = of.theta.requires_grad_(), functools.partial(fused.warp, padding="zeros")
        for what in ("theta", "both"):
            # A function of Python's is asked for all that could have a gradient, torch's operators
            # only for what is wanted: so nothing else can have one.
            images = of.images.detach().requires_grad_(what == "both")
            wanted = (images, theta) if what == "both" else (theta,)
            yield compare(
                TARGET,
                f"gradients to {what}{how}, {of.name}, beside {TORCH}, {_of(threads)}",
                with_gradients(zeros, images, theta, grad, wanted),
                with_gradients(torch_warp, images, theta, grad, wanted),
                wanted=1,
                peer_name=TORCH,
                # A place on the lattice for one is beside it for the other, and the slope jumps
                # there; each number of theta is a sum over all places. Off the lattice tests hold
                # every number to 1e-5.
                tolerance=5e-3,
                rounds=9,
            )


def kept(threads: int) -> Iterator[speed.Speed]:
    """Layers once more where what is freed is used again, as training has it; from here on."""
    if not keep_memory():
        return
    for shape in LAYERS:
        yield beside(case(*shape), f"float32{KEPT}", TORCH, by_torch, 1e-3, threads)
    yield from gradients(LAYERS, threads, KEPT)


def _of(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def measure(device: str = "cpu") -> Iterator[speed.Speed]:
    """All lines, with as many threads as torch has now; none of a GPU."""
    if device != "cpu":
        return
    threads = torch.get_num_threads()
    for shape in SIZES:
        yield from forward(shape, threads)
    yield from gradients(GRADIENTS, threads)
    yield from kept(threads)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, help="of every peer; default: torch's")
    parser.add_argument("--save", action="store_true", help="keep the lines in records/speed")
    options = parser.parse_args()
    if options.threads and os.environ.get("RAYON_NUM_THREADS") != str(options.threads):
        # kornia-rs reads it when it is loaded.
        own = os.environ | {"RAYON_NUM_THREADS": str(options.threads)}
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.peers", *sys.argv[1:]], own)
    if options.threads:
        torch.set_num_threads(options.threads)
    void = 0
    for one in measure():
        void += one.verdict == "void"
        if options.save:
            speed.save(one)
        print(line(one), flush=True)
    return 1 if void else 0


if __name__ == "__main__":
    raise SystemExit(main())
