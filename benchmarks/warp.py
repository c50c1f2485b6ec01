"""The warp beside what one would use otherwise: `python -m benchmarks.warp [--device cuda]`.

Targets 1 to 4, a line each. On a machine that is not quiet, `--clock thread` counts the time
that this thread had a core (one thread, CPU only).
"""

import argparse
import functools
import inspect
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.timing import absent, compare, line
from stn_course import geometry
from stn_course.experiments.speed import Speed
from stn_course.sampling import fused

TORCH = "F.affine_grid + F.grid_sample"


def rand(*shape, seed=0, device="cpu"):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).to(device)


def affines(batch, device):
    """Turned, zoomed and shifted by a little."""
    return (geometry.identity(batch) + 0.4 * (rand(batch, 2, 3, seed=1) - 0.5)).to(device)


def homographies(batch, device):
    row = torch.cat([0.3 * (rand(batch, 1, 2, seed=2) - 0.5), torch.ones(batch, 1, 1)], 2)
    return torch.cat([affines(batch, device), row.to(device)], 1)


@functools.cache
def ones(height, width, device):
    """(x, y, 1) at every pixel's centre: the grid that a homography starts from.  # [H*W, 3]"""
    x = geometry.pixel_centres(width, device=device).expand(height, width)
    y = geometry.pixel_centres(height, device=device)[:, None].expand(height, width)
    return torch.stack([x, y, torch.ones_like(x)], 2).view(-1, 3)


def torch_warp(images, theta):
    """The same with torch's own operators; a homography's grid is one matrix product."""
    if theta.shape[1] == 2:
        grid = F.affine_grid(theta, images.shape, align_corners=False)
    else:
        places = ones(*images.shape[2:], images.device) @ theta.transpose(1, 2)
        grid = (places[..., :2] / places[..., 2:]).view(len(images), *images.shape[2:], 2)
    return F.grid_sample(images, grid, align_corners=False)


def our_warp(images, theta):
    return fused.warp(images, theta, padding="zeros")


def with_gradients(warp, images, theta, grad, wanted):
    def run():
        return torch.autograd.grad(warp(images, theta), wanted, grad)

    return run


def target_1(device):
    for kind, draw in (("affine", affines), ("homography", homographies)):
        for batch in (256, 60_000):
            images, theta = rand(batch, 1, 28, 28, device=device), draw(batch, device)
            yield {
                "target": 1,
                "name": f"forward, {kind}, {batch} x 1x28x28",
                "ours": functools.partial(our_warp, images, theta),
                "peer": functools.partial(torch_warp, images, theta),
                "peer_name": TORCH if kind == "affine" else "matmul + F.grid_sample",
                "wanted": 8 if device == "cuda" else 3,
                "tolerance": 1e-5,
                "rounds": 31 if batch == 256 else 9,
            }


def target_2(device):
    for batch in (256, 60_000):
        images, theta = rand(batch, 1, 28, 28, device=device), affines(batch, device)
        theta, grad = theta.requires_grad_(), rand(batch, 1, 28, 28, seed=3, device=device)
        yield {
            "target": 2,
            "name": f"forward and gradient to theta, affine, {batch} x 1x28x28",
            "ours": with_gradients(our_warp, images, theta, grad, (theta,)),
            "peer": with_gradients(torch_warp, images, theta, grad, (theta,)),
            "peer_name": TORCH,
            "wanted": 10 if device == "cuda" else 3,
            **ON_LATTICE,
            "rounds": 61 if batch == 256 else 9,
            "seconds": 0.05 if batch == 256 else 0.01,  # autograd's thread wakes unevenly
        }


def target_3(device):
    images, theta = rand(1024, 32, 28, 28, device=device), affines(1024, device)
    grad = rand(*images.shape, seed=3, device=device)
    leaves = images.requires_grad_(), theta.requires_grad_()
    yield {
        "target": 3,
        "name": "forward and both gradients, affine, 1024 x 32x28x28",
        "ours": with_gradients(our_warp, *leaves, grad, leaves),
        "peer": with_gradients(torch_warp, *leaves, grad, leaves),
        "peer_name": TORCH,
        "wanted": 1 if device == "cuda" else 1.5,
        **ON_LATTICE,
        "rounds": 9,
    }


def target_4(device):
    """kornia gets its weights for nothing, and centred on the fixed points, where it agrees."""
    import kornia.geometry.transform as kornia

    images = rand(256, 1, 64, 64, device=device)
    offsets = (0.3 * (rand(256, 16, 2, seed=3) - 0.5)).to(device)
    centres = geometry.control_points((4, 4), device=device)
    module = inspect.getmodule(kornia.get_tps_transform)
    distance = module._pair_square_euclidean
    module._pair_square_euclidean = lambda fixed, _: distance(fixed, fixed)
    try:
        many = centres.expand(256, 16, 2)
        weights, affine = kornia.get_tps_transform(many, many + offsets)
    finally:
        module._pair_square_euclidean = distance
    yield {
        "target": 4,
        "name": "thin-plate spline, 16 points, 256 x 1x64x64",
        "ours": lambda: fused.warp(images, offsets, padding="zeros", align_corners=True),
        "peer": lambda: kornia.warp_image_tps(images, many, weights, affine, align_corners=True),
        "peer_name": "kornia.warp_image_tps",
        "wanted": 15 if device == "cuda" else 8,
        "tolerance": 5e-4,  # kornia solves for its weights in float32
        "rounds": 9,
    }


def image_by_image():
    """Target 1 beside what warps one image after the other: SciPy, and OpenCV where there is one.

    Both read in pixels, y first or x first; zeros outside, as ours. OpenCV rounds places to 1/32
    of a pixel.
    """
    images, theta = rand(256, 1, 28, 28), affines(256, "cpu")
    pixels = images[:, 0].numpy()
    # From pixels of the output, counted from the first one's centre, to those of the input.
    out = torch.tensor([[2 / 28, 0, 1 / 28 - 1], [0, 2 / 28, 1 / 28 - 1], [0, 0, 1]])
    back = torch.tensor([[14, 0, 13.5], [0, 14, 13.5], [0, 0, 1]])
    maps = (back @ geometry.to_homogeneous(theta) @ out)[:, :2].double().numpy()  # [B, 2, 3]

    def scipy():
        from scipy import ndimage

        made = []
        for image, m in zip(pixels, maps, strict=True):
            turn, shift = m[::-1, 1::-1], m[::-1, 2]  # y first
            made.append(ndimage.affine_transform(image, turn, shift, order=1, mode="grid-constant"))
        return torch.from_numpy(np.stack(made))[:, None]

    def opencv():
        import cv2

        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        made = [
            cv2.warpAffine(i, m, (28, 28), flags=flags) for i, m in zip(pixels, maps, strict=True)
        ]
        return torch.from_numpy(np.stack(made))[:, None]

    name, ours = "forward, affine, 256 x 1x28x28", functools.partial(our_warp, images, theta)
    for title, peer, tolerance in (("SciPy", scipy, 1e-4), ("OpenCV", opencv, 0.1)):
        told = f"{name}, an image at a time"
        try:
            peer()
        except ImportError as error:
            yield absent(1, f"{told} by {title}", 3, str(error))
            continue
        yield compare(
            1,
            f"{told} by {title}",
            ours,
            peer,
            wanted=3,
            peer_name=title,
            tolerance=tolerance,
            rounds=9,
        )


# Among millions of places some fall on the lattice for one of the two and just beside it for the
# other, where the gradient to theta jumps. Tests hold every number to 1e-5 off the lattice; here
# all but one in a hundred must agree.
ON_LATTICE = {"tolerance": 1e-5, "share": 0.99}
TARGETS = {1: target_1, 2: target_2, 3: target_3, 4: target_4}


def same_bits(function, name: str, runs: int = 10) -> None:
    """AssertionError unless every one of `runs` runs gives the same bits."""
    first, *others = (function() for _ in range(runs))
    for other in others:
        pairs = zip(first, other, strict=True) if isinstance(first, tuple) else [(first, other)]
        assert all(torch.equal(a, b) for a, b in pairs), f"{name}: two runs differ"


def measure(device: str = "cpu", clock=time.perf_counter, only=tuple(TARGETS)) -> Iterator[Speed]:
    """Targets 1 to 4."""
    for number in only:
        try:
            for job in TARGETS[number](device):
                same_bits(job["ours"], job["name"])
                found = compare(**job, device=device, clock=clock)
                yield replace(found, why=f"{found.why} ten runs gave the same bits".strip())
        except ImportError as error:
            wanted = {"cpu": 8, "cuda": 15}[device]
            name = "thin-plate spline, 16 points, 256 x 1x64x64"
            yield absent(number, name, wanted, str(error), device == "cuda")
    if device == "cpu" and 1 in only:
        yield from image_by_image()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--only", type=int, choices=TARGETS, nargs="*", default=list(TARGETS))
    parser.add_argument("--threads", type=int, help="of torch and of ours; default: torch's")
    parser.add_argument("--clock", choices=("wall", "thread"), default="wall")
    options = parser.parse_args()
    if options.clock == "thread" and (options.device != "cpu" or options.threads != 1):
        parser.error("--clock thread measures one thread on the CPU: add --threads 1")
    if options.threads:
        torch.set_num_threads(options.threads)
    clock = time.thread_time if options.clock == "thread" else time.perf_counter
    void = 0
    for speed in measure(options.device, clock, options.only):
        void += speed.verdict == "void"
        print(line(speed), flush=True)
    return 1 if void else 0


if __name__ == "__main__":
    raise SystemExit(main())
