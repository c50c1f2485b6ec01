"""Outside what it was shown: a stored network reads digits that move further than its own did.

The network of `hr-upright` learned from digits turned by up to 30 degrees and zoomed by .8 to 1.2
(HR's recipe). Nothing is trained here; the test digits are moved in other ranges and read.
"""

import time
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from stn_course import geometry, models
from stn_course.analysis.accuracy import evaluate
from stn_course.data import mnist, to_float
from stn_course.data.seeding import TEST, stream
from stn_course.experiments.experiment import Experiment
from stn_course.sampling import fused
from stn_course.training.checkpoints import sha256
from stn_course.training.datasets import pad_to, test_set
from stn_course.training.record import RunRecord, current_commit

CANVAS = (1, 40, 40)
# Of each set the least and the largest turn in degrees, either way, and zoom. All digits stay in
# the middle: no shear, no shift. `inside` lies within what the network was shown.
SETS = {
    "inside": ((0.0, 30.0), (0.8, 1.2)),
    "turned": ((30.0, 90.0), (0.8, 1.2)),
    "smaller": ((0.0, 30.0), (0.4, 0.8)),
    "larger": ((0.0, 30.0), (1.2, 1.6)),
    "all": ((0.0, 90.0), (0.4, 1.6)),
}


def moved(images: Tensor, name: str, seed: int) -> Tensor:
    """Test digits on 40x40, each turned and zoomed once within the ranges of `SETS[name]`.

    images uint8 [N, 1, 28, 28] -> float [N, 1, 40, 40], the same for a seed.
    """
    generator = torch.Generator().manual_seed(stream(TEST, seed, list(SETS).index(name)))
    (least, most), (small, large) = SETS[name]
    turn, side, zoom = torch.rand(3, len(images), generator=generator)
    angle = (least + (most - least) * turn) * (2 * (side < 0.5) - 1)
    theta = geometry.affine(angle, small + (large - small) * zoom)
    padded = pad_to(to_float(images), CANVAS)
    parts = zip(padded.split(1000), theta.split(1000), strict=True)
    return torch.cat([fused.warp(x, t) for x, t in parts])


def record(name: str, seed: int, network: str) -> RunRecord:
    """What the stored `network` of `seed` reads of its own recipe and of each of `SETS`."""
    from stn_course.experiments import runner  # it imports the catalogue

    start, digits, cpu = time.perf_counter(), mnist("test"), torch.device("cpu")
    model = runner.trained(network, seed)
    own = test_set("test", "hr", cpu, CANVAS)
    results = {"test/hr": evaluate(model, own.images, own.labels)}
    first = None
    for which in SETS:
        images = moved(digits.images, which, seed)
        first = images[:64] if first is None else first
        results[f"test/{which}"] = evaluate(model, images, digits.labels)
    return RunRecord(
        experiment=name,
        seed=seed,
        config=settings(network),
        digits=digits.source,
        parameters=models.count_parameters(model),
        curves={},
        results=results,
        hashes={
            "first_batch": sha256(first),
            "weights": sha256(*model.state_dict().values()),
        },
        commit=current_commit(),
        versions={"torch": torch.__version__},
        device="cpu",
        threads=torch.get_num_threads(),
        seconds=round(time.perf_counter() - start, 3),
    )


def settings(network: str) -> dict:
    """What the record says was asked for."""
    return {"network": network, "sets": {k: [list(r) for r in v] for k, v in SETS.items()}}


def outside() -> Iterator[tuple[str, Experiment]]:
    network = "hr-upright"
    about = f"the stored network of {network} on digits that move further than it was shown"
    yield (
        "outside-hr-upright",
        Experiment(
            settings(network),
            about,
            seeds=1,
            minutes=0.5,
            run=partial(record, network=network),
            chosen="nothing is trained; the ranges were fixed before the first digit was read",
        ),
    )


EXPERIMENTS = dict(outside())
