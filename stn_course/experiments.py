"""The named experiments: what makes each record of the scoreboard and of the notebooks.

``stn-course run NAME`` makes the records that are missing, ``stn-course run --list``
names them all.
"""

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from stn_course import measure, records
from stn_course.data import is_sample, mnist
from stn_course.train import Config, fit


@dataclass(frozen=True)
class Experiment:
    """A configuration with the number of seeds that the protocol asks for.

    ``minutes``: expected minutes for one seed on two CPU cores.
    """

    config: Config
    about: str
    seeds: int = 5
    minutes: float = 1.0
    probe: Callable[[nn.Module, torch.device], dict] | None = None


def robustness_on_test(model: nn.Module, device: torch.device) -> dict:
    """Accuracy against angle, shift and scale on the test digits, read once after training."""
    digits = mnist("test")
    return measure.robustness(model, digits.images.to(device), digits.labels.to(device))


def _published_by_xq() -> Iterator[tuple[str, Experiment]]:
    # Their budget: 5 epochs of Adam 1e-3, batch 32, on all 60 000 digits, nothing selected.
    base = Config(train_on="train+valid", batch_size=32, epochs=5, precision="float32")
    tests = ("clean", "hard", "mild")
    for model, minutes in (("fc", 1.0), ("cnn", 2.0)):
        clean = replace(base, model=model, tests=tests)
        yield (
            f"xq-{model}-clean",
            Experiment(clean, "as published, trained on clean digits", minutes=minutes / 2),
        )
        for recipe in ("hard", "mild"):
            # The CNN beside the MILD numbers is the blog's, the one beside HARD the script's.
            net = "cnn-blog" if (model, recipe) == ("cnn", "mild") else model
            mixed = replace(clean, model=net, distort=recipe, frozen=True, with_clean=True)
            about = f"as published, trained on 60 000 {recipe} + 60 000 clean digits"
            yield f"xq-{model}-{recipe}", Experiment(mixed, about, minutes=minutes)
    # With a transformer: the script's in front of the FC net, the notebook's of the blog's CNN.
    for model, recipe in (("stn-fc", "hard"), ("stn-cnn", "mild")):
        mixed = replace(
            base, model=model, tests=tests, distort=recipe, frozen=True, with_clean=True
        )
        about = f"as published, trained on 60 000 {recipe} + 60 000 clean digits"
        yield f"xq-{model}-{recipe}", Experiment(mixed, about, minutes=5.0)


def _invariance() -> Iterator[tuple[str, Experiment]]:
    base = Config(batch_size=128, epochs=5, schedule="onecycle", lr=4e-3)

    def named(name: str, about: str, minutes: float, seeds: int = 5, **changes):
        config = replace(base, **changes)
        return f"invariance-{name}", Experiment(config, about, seeds, minutes, robustness_on_test)

    yield named("fc", "notebook 01: the fully connected baseline", 0.4, model="fc")
    yield named("cnn", "notebook 01: the CNN", 0.8)
    yield named(
        "cnn-subsample",
        "notebook 01: the CNN with every second pixel kept instead of max pooling",
        0.8,
        options={"pool": "subsample"},
    )
    yield named(
        "cnn-pose",
        "notebook 01: the CNN on freshly turned, zoomed and shifted digits",
        2.0,
        distort="pose",
        epochs=15,
        tests=("clean", "pose"),
    )
    for width in (16, 512):
        changes = {"model": "fc", "options": {"width": width}}
        yield named(f"fc-{width}", f"notebook 01: the FC net, {width} units", 0.4, 3, **changes)
    for width in (0.25, 2.0):
        changes = {"options": {"width": width}}
        yield named(f"cnn-x{width:g}", f"notebook 01: the CNN, {width:g} x wide", 1.0, 3, **changes)


EXPERIMENTS: dict[str, Experiment] = dict([*_published_by_xq(), *_invariance()])


def find(name: str) -> Experiment:
    """The experiment called ``name``; ValueError with the known names otherwise."""
    if name not in EXPERIMENTS:
        raise ValueError(f"experiment {name!r} is unknown; wanted one of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def plan(
    names: list[str], seeds: int | None = None, done: set[tuple[str, int]] | None = None
) -> list[tuple[str, int]]:
    """The (experiment, seed) pairs that are still to run, in order.

    ``done``: the pairs that have a record, by default those below ``figures/records``.
    """
    runs = []
    for name in names:
        wanted = range(find(name).seeds if seeds is None else seeds)
        have = {(r.experiment, r.seed) for r in records.load(name)} if done is None else done
        runs += [(name, seed) for seed in wanted if (name, seed) not in have]
    return runs


def expected_minutes(runs: list[tuple[str, int]]) -> float:
    """Minutes that ``runs`` take on two CPU cores, one after the other."""
    return sum(find(name).minutes for name, _ in runs)


def run_all(
    runs: list[tuple[str, int]],
    save: Callable[[records.RunRecord], object],
    progress: bool = True,
    allow_sample: bool = False,
) -> list[str]:
    """Make each run and ``save`` its record at once; return the names of runs that failed.

    A failing run is reported with its traceback and does not stop the others.  Records are
    of the full MNIST: on the offline sample this is a ValueError unless ``allow_sample``.
    """
    if is_sample() and not allow_sample:
        raise ValueError(
            "records are made from the full MNIST and this machine has only the offline sample; "
            "run `stn-course data` where there is a network"
        )
    failed = []
    for name, seed in runs:
        experiment = find(name)
        try:
            _, record = fit(
                experiment.config, seed, name=name, probe=experiment.probe, progress=progress
            )
        except Exception:  # one broken run must not cost the night's others
            traceback.print_exc()
            failed.append(f"{name}/{seed}")
            continue
        save(record)
    return failed
