"""What notebook 08 does around its networks: scenes, fits to the truth, tables, a folder."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from stn_course import geometry, sampling
from stn_course.analysis.words import output_places
from stn_course.data import flat_words, recipes, to_float, words
from stn_course.data.words import FLAT, Bent
from stn_course.data.words.scenes import SCENE
from stn_course.experiments import catalogue, records
from stn_course.experiments.statistics import NOT_YET, interval, mean_sd
from stn_course.files import written_whole
from stn_course.models import mean_loss
from stn_course.models.layers import evaluating
from stn_course.models.transformers import first_transformer
from stn_course.training.config import build
from stn_course.training.optimisation import make_optimizer, set_rate
from stn_course.training.record import PACKAGE

HALF = (SCENE[1] / 2, SCENE[0] / 2)  # pixels in half a side of a scene, x first


def scenes(split: str, n: int, seed: int = 0, recipe: str = "words") -> Bent:
    """The first `n` words of a split, each in a scene; the same for a seed."""
    flat = flat_words(split)
    generator = torch.Generator().manual_seed(seed)
    made, _ = recipes.make(recipe, to_float(flat.images[:n]), flat.labels[:n], generator)
    return made


def first(made: Bent, n: int) -> Bent:
    """The first `n` of some scenes."""
    return Bent(*(getattr(made, field.name)[:n] for field in fields(made)))


# ---------------------------------------------------------------- what each family could do
def read_by(transform: Tensor, places: Tensor) -> Tensor:
    """Places [N, 2] of the flat word through a fitted transform.  # [B, N, 2]"""
    return geometry.transform_points(transform, places)


def best_affine(made: Bent) -> Tensor:
    """The affine map nearest to the true motion of each scene, least squares.  # [B, 2, 3]"""
    at = output_places(FLAT)
    design = torch.cat([at, torch.ones_like(at[:, :1])], 1)  # [P, 3]
    true = words.carried(made, at)  # [B, P, 2]
    return torch.linalg.lstsq(design.expand(len(true), -1, -1), true).solution.mT


def best_homography(made: Bent) -> Tensor:
    """The homography through the four true corners.  # [B, 3, 3]"""
    corners = geometry.frame_corners(made.theta)
    true = words.carried(made, corners)
    return geometry.homography_from_corners(corners.expand_as(true), true)


def best_spline(made: Bent, grid: tuple[int, int]) -> Tensor:
    """The spline whose control points are read at their true places.  # [B, rows, columns, 2]"""
    points = geometry.control_points(grid)
    return (words.carried(made, points) - points).unflatten(1, grid)


def left_over(transform: Tensor, made: Bent) -> Tensor:
    """How far from the truth a transform reads, in pixels, mean over a word.  # [B]"""
    at = output_places((8, 24))
    off = (read_by(transform, at) - words.carried(made, at)) * at.new_tensor(HALF)
    return off.norm(dim=2).mean(1)


# ---------------------------------------------------------------- much of few marked pictures
def moved(images: Tensor, marks: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures turned, zoomed, shifted and recoloured a little, and their marks carried along.

    images: [B, C, h, w] in [0, 1]; marks: [B, K, 2] in [-1, 1] of each. Turned by up to 10 degrees,
    zoomed by 0.85 to 1.15, shifted by up to 0.15 of a half side; each channel times 0.6 to 1.4, and
    every other picture, by chance, is its negative. Drawn from torch's own generator.
    """
    n, like = len(images), images.new_empty
    theta = geometry.affine(
        like(n).uniform_(-10, 10),
        shift=like(n, 2).uniform_(-0.15, 0.15),
        scale=like(n).uniform_(0.85, 1.15),
        size=tuple(images.shape[2:]),
    )
    colour = like(n, images.shape[1], 1, 1).uniform_(0.6, 1.4)
    seen = (sampling.warp(images, theta, padding="border") * colour).clamp(0, 1)
    negative = torch.rand(n, 1, 1, 1, device=images.device) < 0.5
    return torch.where(negative, 1 - seen, seen), geometry.transform_points_back(theta, marks)


# ---------------------------------------------------------------- records as tables
def signs_right(name: str) -> dict[int, float]:
    """Of each seed the share of test signs read right, in percent."""
    which = _which(name)
    return {run.seed: run.accuracy(which) for run in records.load(name)}


def words_right(name: str) -> dict[int, float]:
    """Of each seed the share of test words read right as a whole, in percent."""
    which = _which(name)
    counts = {run.seed: run.results[which] for run in records.load(name)}
    return {seed: 100 * each["words"] / each["rows"] for seed, each in counts.items()}


def _which(name: str) -> str:
    config = catalogue.find(name).config
    return f"test/{(config if isinstance(config, dict) else vars(config))['tests'][0]}"


def scatter(name: str) -> dict[str, list[float]]:
    """How far a sign's place scatters in what the reader gets, in its widths: of each seed."""
    found = [run.probes["signs"] for run in records.load(name) if "signs" in run.probes]
    return {axis: [each[axis] for each in found] for axis in ("sd_x", "sd_y")}


def share_cell(values: dict[int, float]) -> str:
    """`88.1 ± 0.9 (n = 3)`: a mean in percent and its 95 % interval; of one seed the value."""
    if not values:
        return NOT_YET
    mean, half = interval(list(values.values()))
    return (
        f"{mean:.1f} ± {half:.1f} (n = {len(values)})" if len(values) > 1 else f"{mean:.1f} (n = 1)"
    )


def scatter_cell(name: str) -> str:
    """`0.21, 0.09`: the mean scatters along x and y."""
    found = scatter(name)
    if not found["sd_x"]:
        return "" if records.load(name) else NOT_YET
    return ", ".join(f"{mean_sd(found[axis])[0]:.2f}" for axis in ("sd_x", "sd_y"))


def rows_of(names: dict[str, str]) -> list[list[str]]:
    """A row for each experiment of `names` (its words: its name): signs, words, scatter."""
    return [
        [told, share_cell(signs_right(name)), share_cell(words_right(name)), scatter_cell(name)]
        for told, name in names.items()
    ]


def choices(names: dict[str, dict[str, str]]) -> dict[str, dict[str, dict[int, float]]]:
    """Signs read right by seed, for groups of rows {group: {row: end of an experiment's name}}."""
    return {
        group: {row: signs_right(f"words-{end}") for row, end in rows.items()}
        for group, rows in names.items()
    }


HEAD = ["reader", "signs right, %", "words right, %", "scatter x, y"]


# ---------------------------------------------------------------- live
def untrained(experiment: str) -> nn.Module:
    """The network of an experiment as it begins."""
    return build(catalogue.find(experiment).config)


def milliseconds(model: nn.Module, images: Tensor, times: int = 5) -> float:
    """The median time that `model` takes for one of `images`, in milliseconds."""
    took = []
    with evaluating(model):
        for _ in range(times + 1):
            start = time.perf_counter()
            model(images.contiguous(memory_format=torch.channels_last))
            took.append(time.perf_counter() - start)
    return 1000 * float(np.median(took[1:])) / len(images)


def watched(
    model: nn.Module, steps: int, rates: tuple[float, float], batch: int = 32, seed: int = 0
) -> Iterator[dict[str, float]]:
    """Train on fresh scenes for a few steps; of each step what one watches of a transformer.

    rates: of the reader and of the localiser. Gives the loss, `spread` of theta over the batch (0:
    the localiser says the same of every picture), `outside`, the share of places that lie outside
    the picture, and `pull`, the length of the localiser's gradient over the reader's.
    """
    config = catalogue.find("words-tps").config
    config = replace(config, lr=rates[0], lr_localiser=rates[1])
    optimizer, front = make_optimizer(config, model), first_transformer(model)
    set_rate(optimizer, rates[0])
    own_ones = {id(p) for p in front.parameters()}
    flat, generator = flat_words("train"), torch.Generator().manual_seed(seed)
    images, at = to_float(flat.images[: steps * batch]), output_places((8, 24))
    model.train()
    for k in range(steps):
        part = slice(k * batch, (k + 1) * batch)
        made, labels = recipes.make("words", images[part], flat.labels[part], generator)
        loss = mean_loss(model(made.images), labels)
        optimizer.zero_grad()
        loss.backward()
        lengths = [0.0, 0.0]
        for p in model.parameters():
            lengths[id(p) in own_ones] += p.grad.square().sum().item()
        optimizer.step()
        theta = front.theta
        read = geometry.transform_points(theta, at)
        yield {
            "loss": loss.item(),
            "spread": theta.flatten(1).std(0).mean().item(),
            "outside": (read.abs() > 1).any(2).float().mean().item(),
            "pull": (lengths[1] / lengths[0]) ** 0.5,
        }


# ---------------------------------------------------------------- a folder by class
def write_folder(root: Path, signs: str, each: int, seed: int = 0) -> int:
    """Write pictures of single signs on labels, a folder for each sign; how many.

    32x32 PNGs: the middle sign of a word, cut where it lies in its scene.
    """
    flat = flat_words("train")
    generator = torch.Generator().manual_seed(seed)
    written = 0
    for sign in signs:
        k = words.ALPHABET.index(sign)
        chosen = (flat.labels[:, 2] == k).nonzero().flatten()[:each]
        made, _ = recipes.make(
            "words", to_float(flat.images[chosen]), flat.labels[chosen], generator
        )
        middle = words.carried(made, torch.zeros(1, 2))[:, 0, 0]  # [each], x
        folder = Path(root) / sign
        folder.mkdir(parents=True)
        for number, (scene, x) in enumerate(zip(made.images, middle.tolist(), strict=True)):
            left = min(max(round((x + 1) * SCENE[1] / 2) - 16, 0), SCENE[1] - 32)
            pixels = scene[:, :, left : left + 32].mul(255).round().to(torch.uint8)
            with written_whole(folder / f"{number:03d}.png") as partial:
                Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(partial)
            written += 1
    return written


def stn_course(root: Path, line: str) -> list[str]:
    """What `stn-course LINE` says when it is typed in the folder `root`.

    Raises RuntimeError with its last words where it fails.
    """
    command = [sys.executable, "-m", "stn_course", *shlex.split(line)]
    here = os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": here}
    )
    if done.returncode:
        raise RuntimeError(f"stn-course {line}: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout.strip().splitlines()
