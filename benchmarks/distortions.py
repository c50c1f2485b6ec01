"""Target 5, an epoch of distorted digits: 60 000 of them, each moved by chance.

Ours keeps the digits as bytes and distorts a batch at once. The peer does what a data pipeline
usually does: PIL moves one image after the other in the two worker processes of a DataLoader. With
torchvision the same calls of PIL are reached by a longer way; where it works it is measured too.
"""

import functools
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.timing import absent, compare, line, seconds
from stn_course import geometry
from stn_course.data import distortions, recipes
from stn_course.experiments.speed import Speed
from stn_course.sampling import fused

BATCH = 250
CANVAS = {"rts": 42, "p": 28}
EPOCHS = {"rts": "RTS on 42x42", "p": "projective"}


def digits(n: int, device: str) -> torch.Tensor:
    """Blobs in place of digits: what they show changes no time.  # uint8 [n, 1, 28, 28]"""
    small = torch.rand(n, 1, 7, 7, generator=torch.Generator().manual_seed(0))
    large = torch.nn.functional.interpolate(small, (28, 28), mode="bilinear")
    return (large * 255).to(torch.uint8).to(device)


def ours(name: str, images: torch.Tensor) -> None:
    """One epoch: shuffled, all transforms drawn at once, moved batch by batch.

    The draws and the warps are those of `recipes`; a batch stays where it was made.
    """
    theta, order = drawn(name, images), torch.randperm(len(images), device=images.device)
    size = (CANVAS[name], CANVAS[name])
    for index, own in zip(order.split(BATCH), theta.split(BATCH), strict=True):
        fused.warp(images.index_select(0, index), own, size, padding="zeros")


def drawn(name: str, images: torch.Tensor) -> torch.Tensor:
    """The transforms of an epoch, one for each image."""
    generator, n = torch.Generator(images.device).manual_seed(0), len(images)
    if name == "rts":
        zoom = CANVAS[name] / images.shape[-1]
        return distortions.draw_affine(distortions.RTS, n, generator) * zoom
    return distortions.draw_projective(n, generator)


def parts(name: str, images: torch.Tensor) -> dict[str, Callable[[], object]]:
    """What `ours` does, apart: each does its part for a whole epoch."""
    theta, batch, size = drawn(name, images), images[:BATCH], (CANVAS[name], CANVAS[name])

    def pick() -> None:
        for index in torch.randperm(len(images)).split(BATCH):
            images.index_select(0, index)

    def move() -> None:
        for own in theta.split(BATCH):
            fused.warp(batch[: len(own)], own, size, padding="zeros")

    return {
        "drawing the transforms": lambda: drawn(name, images),
        "picking the digits": pick,
        "the warp": move,
    }


def copied(name: str, images: torch.Tensor) -> tuple[Callable[[], None], int]:
    """The floor of `ours`: what it writes, copied batch by batch; and how many bytes that is."""
    size, shares = CANVAS[name], [len(part) for part in images.split(BATCH)]
    source, out = torch.rand(2, BATCH, 1, size, size)

    def copy() -> None:
        for n in shares:
            out[:n].copy_(source[:n])

    return copy, 4 * len(images) * size**2


def pixels(theta: np.ndarray, size: int, side: int) -> np.ndarray:
    """theta as PIL wants it: from pixels of the output, counted from its corner, to the input's."""
    out = np.array([[2 / size, 0, -1], [0, 2 / size, -1], [0, 0, 1]])
    back = np.array([[side / 2, 0, side / 2], [0, side / 2, side / 2], [0, 0, 1]])
    theta = np.vstack([theta, [0, 0, 1]]) if len(theta) == 2 else theta
    found = back @ theta @ out
    return found / found[2, 2]


def moved(digit: np.ndarray, theta: np.ndarray, size: int) -> np.ndarray:
    """One digit, uint8 [28, 28], by PIL.  # float32 [1, size, size]"""
    from PIL import Image  # not on every machine with a GPU, where nothing is compared with it

    image = Image.fromarray(digit)
    m = pixels(theta, size, image.width).flatten()
    if len(theta) == 2:
        how, numbers = Image.Transform.AFFINE, m[:6]
    else:
        how, numbers = Image.Transform.PERSPECTIVE, m[:8]
    out = image.transform((size, size), how, numbers.tolist(), Image.Resampling.BILINEAR)
    return np.asarray(out, dtype=np.float32)[None] / 255


class Digits(Dataset):
    """60 000 digits that are moved, by a transform drawn then, when they are asked for."""

    def __init__(self, name: str, images: torch.Tensor):
        self.name, self.images = name, images.numpy()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, k: int) -> np.ndarray:
        generator = np.random.default_rng()
        image = self.images[k, 0]
        if self.name == "rts":
            angle, zoom = np.deg2rad(generator.uniform(-45, 45)), generator.uniform(0.7, 1.2)
            cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
            turn = np.array([[cos, -sin], [sin, cos]]) * 42 / 28
            theta = np.hstack([turn, turn @ generator.uniform(-1 / 3, 1 / 3, (2, 1))])
        else:
            frame = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
            theta = solved(frame + generator.normal(0, 10 / 28, (4, 2)), frame)
            theta[:2] /= generator.uniform(0.75, 1)
        return moved(image, theta, CANVAS[self.name])


def solved(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The homography of four points: eight equations, as torchvision solves them too."""
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.append(np.linalg.solve(np.array(rows), target.flatten()), 1).reshape(3, 3)


def error(name: str) -> float:
    """PIL against ours on the same transforms, away from the edge, as a share of white."""
    images, size = digits(50, "cpu"), CANVAS[name]
    made = recipes.make(name, images, torch.zeros(50).long(), torch.Generator().manual_seed(1))[0]
    theirs = np.stack(
        [
            moved(i[0].numpy(), t.double().numpy(), size)
            for i, t in zip(images, made.theta, strict=True)
        ]
    )
    read = geometry.to_homogeneous(made.theta)
    x = geometry.pixel_centres(size)
    places = torch.stack(
        [x.expand(size, size), x[:, None].expand(size, size), torch.ones(size, size)], 2
    )
    at = places.view(1, -1, 3) @ read.mT
    inside = ((at[..., :2] / at[..., 2:]).abs().amax(2) < 0.9).view(50, 1, size, size)
    worst = (made.images - torch.from_numpy(theirs)).abs()[inside].max().item()
    assert worst < 0.02, (
        f"{name}: PIL and ours differ by {worst:.3f} of white"
    )  # it rounds to bytes
    return worst


def timed(name: str, images: torch.Tensor, rounds: int = 20) -> list[float]:
    """Seconds of an epoch on a GPU, all 60 000 in one batch."""
    labels, times = torch.zeros(len(images), dtype=torch.long, device=images.device), []
    for k in range(rounds + 3):
        generator = torch.Generator(images.device).manual_seed(k)
        torch.cuda.synchronize()
        start = time.perf_counter()
        recipes.make(name, images, labels, generator)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return times[3:]


def measure(device: str = "cpu") -> Iterator[Speed]:
    """Target 5."""
    images = digits(60_000, "cpu")
    for name, what in EPOCHS.items():
        title = f"a distorted epoch of 60 000, {what}"
        if device == "cuda":  # a time is wanted there, not a ratio
            yield seconds(5, title, 5e-4, timed(name, images.cuda()), gpu=True)
            continue
        loader = DataLoader(
            Digits(name, images), 256, shuffle=True, num_workers=2, persistent_workers=True
        )

        def peer(loader=loader):
            for _ in loader:
                pass

        yield compare(
            5,
            title,
            functools.partial(ours, name, images),
            peer,
            wanted=50,
            peer_name="PIL per image, DataLoader with 2 workers",
            tolerance=0.02,
            agreement=functools.partial(error, name),
            rounds=5,
            warm=1,
        )
        del loader
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError) as reason:
        yield absent(
            5,
            "a distorted epoch of 60 000, torchvision",
            50,
            f"torchvision cannot be imported: {str(reason).splitlines()[0]}",
            device == "cuda",
        )


if __name__ == "__main__":
    for speed in measure():
        print(line(speed), flush=True)
