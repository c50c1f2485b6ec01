"""The named experiments: what makes each record of the scoreboard and of the notebooks.

``stn-course run NAME`` makes the records that are missing, ``stn-course run --list``
names them all.  What each is stands in the ``catalogue_NN`` of its notebook.
"""

import traceback
from collections.abc import Callable

from stn_course import catalogue_01, catalogue_03, records
from stn_course.data import is_sample
from stn_course.experiment import Experiment
from stn_course.train import fit

EXPERIMENTS: dict[str, Experiment] = catalogue_01.EXPERIMENTS | catalogue_03.EXPERIMENTS


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
    """Minutes that ``runs`` take on one CPU core, one after the other."""
    return sum(find(name).minutes for name, _ in runs)


def run_one(name: str, seed: int, progress: bool = False) -> records.RunRecord:
    """Make the run ``seed`` of the experiment ``name``; ValueError for an unknown name."""
    experiment = find(name)
    if experiment.run is not None:
        return experiment.run(name, seed)
    return fit(experiment.config, seed, name=name, probe=experiment.probe, progress=progress)[1]


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
        try:
            record = run_one(name, seed, progress)
        except Exception:  # one broken run must not cost the night's others
            traceback.print_exc()
            failed.append(f"{name}/{seed}")
            continue
        save(record)
    return failed
