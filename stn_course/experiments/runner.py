"""The named experiments: what makes each record of the scoreboard and of the notebooks.

`stn-course run NAME` makes the records that are missing, `stn-course run --list`
names them all. What each is stands in `experiments.catalogue`, one file a topic.
"""

import dataclasses
import json
import sys
from collections.abc import Generator
from pathlib import Path

from torch import nn

from stn_course.data import is_sample
from stn_course.data.clutter.fresh import ROWS
from stn_course.data.digits import SPLITS
from stn_course.data.recipes import BASES, DISTORTIONS, TASKS, base
from stn_course.experiments import records
from stn_course.experiments.catalogue import find
from stn_course.experiments.experiment import Experiment
from stn_course.files import rescue
from stn_course.training.checkpoints import (
    read_weights,
    save_weights,
    weights_bytes,
    weights_sum,
)
from stn_course.training.config import CLEAN, Config, build
from stn_course.training.listeners import ProgressBar
from stn_course.training.loop import steps
from stn_course.training.record import RunRecord, current_commit

MOST_SEEDS = 1000  # of one experiment
# What a run says in its record's configuration beside what was asked for.
SAID_BY_THE_RUN = ("bf16", "framework", "a_class", "classes")


def check_record(record: RunRecord) -> None:
    """ValueError for a record that is not of its experiment: other settings, or a set missing."""
    experiment = find(record.experiment)
    asked = experiment.config
    config = {k: v for k, v in record.config.items() if k not in SAID_BY_THE_RUN}
    if isinstance(asked, Config):
        asked = dataclasses.asdict(asked)
        # A setting younger than the record has its default.
        config = {f.name: f.default for f in dataclasses.fields(Config) if f.name in asked} | config
    asked = json.loads(json.dumps(asked))  # a tuple is a list in a record
    for name in sorted(asked.keys() | config.keys()):
        if (got := config.get(name)) != (wanted := asked.get(name)):
            raise ValueError(
                f"config[{name!r}] is {got!r}; wanted {wanted!r}, as {record.experiment} has it"
            )
    if record.plan and record.plan != (plan := experiment.plan(record.seed)):
        raise ValueError(f"plan is {record.plan}; wanted {plan}, as {record.experiment} has it")
    if (started := record.start.get("run", "")) != experiment.start_from:
        raise ValueError(
            f"start is {started or 'nothing'!r}; wanted {experiment.start_from or 'nothing'!r}, as "
            f"{record.experiment} has it"
        )
    _check_whole(record)
    wanted = [f"test/{name}" for name in asked.get("tests", ()) if experiment.run is None]
    if missing := [which for which in wanted if which not in record.results]:
        raise ValueError(f"results has {sorted(record.results)}; wanted {missing} as well")
    _check_totals(record)


def _check_whole(record: RunRecord) -> None:
    """ValueError where the run took a way that no experiment has: a part left or frozen, a phase.

    The settings do not say so: a run that is resumed keeps its start, and has its last rate.
    """
    for what in ("only", "freeze", "left", "frozen"):
        if parts := record.start.get(what):
            raise ValueError(
                f"start[{what!r}] is {parts}; wanted none: {record.experiment} starts and learns "
                "with all its parts"
            )
    if record.phases:
        raise ValueError(
            f"phases is {record.phases}; wanted none: {record.experiment} has one rate throughout"
        )


def _check_totals(record: RunRecord) -> None:
    """ValueError where another number of pictures was read than the set has.

    Of digits and rows the number is known; of all, a record on file tells. The sample has others.
    """
    if not records.is_full(record):
        return
    wanted = {}
    for which in record.results:
        split, name = which.split("/")
        if name in ROWS:
            size = ROWS[name].sizes[("train", "valid", "test").index(split)]
            wanted[which] = size * ROWS[name].digits
        elif name in BASES:
            wanted[which] = base(name, split).labels.numel()
        elif name == CLEAN or name in (*DISTORTIONS, *TASKS):
            wanted[which] = len(range(60_000)[SPLITS[split]])
    for filed in records.load(record.experiment)[:1]:
        wanted |= {which: result["total"] for which, result in filed.results.items()}
    for which, result in record.results.items():
        if which in wanted and result["total"] != wanted[which]:
            raise ValueError(
                f"results[{which!r}] is of {result['total']} pictures; wanted {wanted[which]}"
            )


def check_choice(name: str, experiment: Experiment) -> None:
    """ValueError where the recipe of `name` is to be chosen among others and was not, or was not.

    The one with the best mean accuracy on validation at its end is chosen.
    """
    means = {}
    for other in experiment.among:
        runs, planned = records.load(other), find(other).planned
        if missing := sorted(set(planned) - {run.seed for run in runs}):
            raise ValueError(
                f"{name} is chosen among {', '.join(experiment.among)}; make seeds {missing} of "
                f"{other} first: stn-course run {' '.join(experiment.among)}"
            )
        last = [run.curves["valid_accuracy"][-1] for run in runs if run.seed in planned]
        means[other] = sum(last) / len(last)
    best = max(means, key=means.get, default=None)
    if best and find(best).config.epochs != experiment.config.epochs:
        raise ValueError(
            f"{name} has {experiment.config.epochs} epochs and validation chose {best}, "
            f"{find(best).config.epochs}: {means}; change the catalogue, then run it"
        )


def plan(
    names: list[str], seeds: int | None = None, done: set[tuple[str, int]] | None = None
) -> list[tuple[str, int]]:
    """The (experiment, seed) pairs that are still to run, in order.

    `done`: the pairs that have a record, by default those below `records/runs`. ValueError for
    more `seeds` than anybody makes.
    """
    if seeds is not None and not 0 < seeds <= MOST_SEEDS:
        raise ValueError(f"seeds={seeds}; wanted 1 to {MOST_SEEDS}")
    runs = []
    for name in names:
        experiment = find(name)
        wanted = experiment.planned
        if seeds is not None:
            wanted = range(experiment.first_seed, experiment.first_seed + seeds)
        have = {(r.experiment, r.seed) for r in records.load(name)} if done is None else done
        runs += [(name, seed) for seed in wanted if (name, seed) not in have]
    return runs


def expected_minutes(runs: list[tuple[str, int]]) -> float:
    """Minutes that `runs` take on one CPU core, one after the other."""
    return sum(find(name).minutes for name, _ in runs)


def run_one(name: str, seed: int, *args, **options) -> RunRecord:
    """Make the run `seed` of the experiment `name`, to its end; options as in `run_steps`."""
    run = run_steps(name, seed, *args, **options)
    while True:
        try:
            next(run)
        except StopIteration as end:
            return end.value


def run_steps(
    name: str,
    seed: int,
    progress: bool = False,
    weights: Path | None = None,
    experiment: Experiment | None = None,
    beside: int = 0,
) -> Generator[None, None, RunRecord]:
    """The run `seed` of the experiment `name`, pausing after every training step.

    `weights`: a folder for what was learned, as `NAME-SEED.safetensors`. `experiment`:
    what the name stands for, by default as in `EXPERIMENTS`. `beside`: runs that share the
    device. An experiment with a `run` of its own does not pause and keeps no weights.
    ValueError for an unknown name.
    """
    experiment = experiment or find(name)
    current_commit()  # before the run: the code in memory is of now, not of its end
    check_choice(name, experiment)
    if experiment.run is not None:
        record = experiment.run(name, seed)
        record.plan = experiment.plan(seed)
        return record
    listeners = experiment.listeners()
    if progress:
        listeners.append(ProgressBar())
    start = yield from _start_of(experiment, seed)
    model, record = yield from steps(
        experiment.config, seed, listeners, name=name, start_from=start
    )
    record.plan = experiment.plan(seed)
    if beside:
        record.device += f", beside {beside} other runs"
    if weights is not None:
        path = Path(weights) / f"{name}-{seed}.safetensors"
        try:
            save_weights(path, model)
        except OSError as error:  # the record is worth more: whoever asks has `has_weights`
            kept = rescue(path.name, weights_bytes(model))
            where = f"is kept in {kept}" if kept else "could not be kept anywhere"
            print(f"{name}/{seed}: {error}; what it learned {where}", file=sys.stderr)
    return record


def has_weights(record: RunRecord, folder: Path) -> bool:
    """Whether what the run of `record` learned is in `folder`; True where it keeps no weights."""
    experiment = find(record.experiment)
    path = Path(folder) / f"{record.experiment}-{record.seed}.safetensors"
    if experiment.run is not None:
        return True
    try:
        return path.is_file() and weights_sum(path) == record.hashes["weights"]
    except ValueError:  # another file of that name
        return False


def _start_of(
    experiment: Experiment, seed: int
) -> Generator[None, None, tuple[str, nn.Module] | None]:
    """What `experiment` goes on from: a name, and its network, made anew; None without.

    Made in the same process, the record is of one commit and one machine. No test set is read.
    """
    if not experiment.start_from:
        return None
    first = find(experiment.start_from)
    before = yield from _start_of(first, seed)
    config = dataclasses.replace(first.config, tests=())
    model, _ = yield from steps(config, seed, name=experiment.start_from, start_from=before)
    return experiment.start_from, model


def trained(name: str, seed: int = 0) -> nn.Module:
    """The network of the committed run, with what it learned, in eval mode.

    Raises FileNotFoundError where its weights are not kept, ValueError where they are others
    than its record says.
    """
    path = weights_dir() / f"{name}-{seed}.safetensors"
    model = build(find(name).config)
    sums = {record.seed: record.hashes["weights"] for record in records.load(name)}
    read_weights(path, model, sums.get(seed, ""))
    return model.eval()


def weights_dir() -> Path:
    """Where the committed weights are, beside the records: `records/weights`."""
    folder = records.records_dir()
    return folder.parent / "weights"


def check_digits(allow_sample: bool = False) -> None:
    """Records are of the full MNIST: ValueError on the offline sample unless `allow_sample`."""
    if is_sample() and not allow_sample:
        raise ValueError(
            "records are made from the full MNIST and this machine has only the offline sample; "
            "run `stn-course data` where there is a network"
        )
