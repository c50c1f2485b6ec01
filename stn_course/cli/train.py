"""The commands `train` and `test` of the command line."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from stn_course.training.config import CLEAN, Config

NOT_IN_KERAS = tuple("resume device start_from only freeze save_every keep_every log_every".split())
DEVICE = "cpu, cuda, or cuda:1 of several (default: cuda if there is one)"


def add_train(add) -> None:
    train = add("train", _train, "train one network; the folder holds all that it takes to resume")
    train.add_argument(
        "--experiment",
        metavar="NAME",
        help="begin with its settings (`stn-course run --list`); with no other the record is its",
    )
    _add_settings(train)
    train.add_argument(
        "--framework",
        choices=("torch", "keras"),
        default="torch",
        help="keras: the same network, data and folder in TensorFlow, in float32 (default: torch)",
    )
    train.add_argument("--seed", type=from_zero, help="(default: 0)")
    train.add_argument("--device", help=DEVICE)
    train.add_argument("--out", type=Path, required=True, help="folder for everything of this run")
    train.add_argument(
        "--resume",
        action="store_true",
        help="go on from the folder's checkpoint, with the folder's settings; what is to be kept "
        "and logged (--save-every, --keep-every, --log-every) is said again",
    )
    train.add_argument(
        "--start-from",
        metavar="RUN",
        help="begin with what a run learned: its folder, a checkpoint or a file of weights",
    )
    parts = "localiser, classifier, or a module's name"
    for flag, help_ in (("--only", "take over these parts alone"), ("--freeze", "let them be")):
        train.add_argument(flag, nargs="+", default=(), metavar="PART", help=f"{help_}: {parts}")
    for flag, unit, help_ in (
        ("--save-every", "STEPS", "checkpoint within epochs"),
        ("--keep-every", "EPOCHS", "keep their checkpoints"),
        ("--log-every", "STEPS", "loss and rate: steps.csv, TensorBoard"),
    ):
        train.add_argument(flag, type=positive, default=0, metavar=unit, help=help_)
    train.add_argument(
        "--tensorboard",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="event files in DIR/tensorboard (default: where the package is installed)",
    )
    train.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_settings(train) -> None:
    """A flag for each field of `Config`, which has the defaults and checks the values.

    None means "as Config has it", or, of a run that is resumed, as its folder has it.
    """
    kinds = {"int": positive, "float": float, "str": None, "dict": _json}
    for setting in dataclasses.fields(Config):
        flags = ["--" + setting.name.replace("_", "-")]
        kind = str(getattr(setting.type, "__name__", setting.type)).removesuffix(" | None")
        more = {"dest": setting.name, "default": None, "help": setting.metadata["help"]}
        if setting.name == "distort":
            flags.insert(0, "--data")
            more["metavar"] = "NAME"
        if kind == "bool":
            more["action"] = "store_true"
        elif kind.startswith("tuple"):
            more |= {"nargs": "+", "metavar": "SET"}
        else:
            more["type"] = kinds[kind]
        train.add_argument(*flags, **more)


def add_test(add) -> None:
    test = add("test", _test, "measure a trained run: counts, confusion matrix, a gallery")
    test.add_argument("dir", type=Path, help="a folder that `stn-course train --out` wrote")
    test.add_argument("--split", choices=("train", "valid", "test"), help="(default: test)")
    test.add_argument("--out", type=Path, help="folder for what is written (default: that of DIR)")
    which = test.add_mutually_exclusive_group()
    which.add_argument("--checkpoint", type=Path, metavar="FILE", help="(default: the latest)")
    which.add_argument(
        "--all-checkpoints",
        action="store_true",
        help="learning chart of those --keep-every kept, "
        "on train and valid; with --split test on test too",
    )
    test.add_argument("--images", action="store_true", help="input and output PNG of every image")
    test.add_argument("--limit", type=positive, help="only the first so many images")
    test.add_argument("--device", help=DEVICE)


def _json(text: str) -> dict:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object")
    return value


def from_zero(text: str) -> int:
    """A command-line integer of at least 0."""
    return positive(text, least=0)


def positive(text: str, least: int = 1) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return number


def _settings(arguments):
    """Config and seed as the flags say, or as the folder does where a run is resumed."""
    from stn_course.experiments import catalogue
    from stn_course.training import run_folder

    given = {f.name: getattr(arguments, f.name) for f in dataclasses.fields(Config)}
    given = {name: value for name, value in given.items() if value is not None}
    if given.get("distort") == CLEAN:
        given["distort"] = None  # as Config has it
    elif _is_own(given.get("distort")):
        from stn_course.data import own

        seed = arguments.seed or 0
        if arguments.resume and (arguments.out / run_folder.CONFIG).exists():
            seed = run_folder.read_config(arguments.out)[1]  # by which its splits were made
        given |= {"distort": own.read(given["distort"], seed), "frozen": True}
    named = {}
    if arguments.experiment:
        experiment = catalogue.find(arguments.experiment)
        config = experiment.config
        if not isinstance(config, Config) or experiment.run is not None:
            raise ValueError(
                f"--experiment {arguments.experiment} is no training of `stn-course train`; "
                f"make its record with `stn-course run {arguments.experiment}`"
            )
        if experiment.start_from and not (arguments.start_from or arguments.resume):
            raise ValueError(
                f"--experiment {arguments.experiment} goes on from a run of "
                f"{experiment.start_from}; name one with --start-from, or make its record with "
                f"`stn-course run {arguments.experiment}`"
            )
        named = dataclasses.asdict(config)
    if arguments.resume and (arguments.out / run_folder.CONFIG).exists():
        return run_folder.resumed(arguments.out, named | given, arguments.seed)
    if "distort" in given:
        data = given["distort"] or CLEAN
        given.setdefault(
            "tests", (data, CLEAN) if arguments.with_clean and data != CLEAN else (data,)
        )
    given = named | given
    return Config(**given), arguments.seed or 0


def _is_own(data: str | None) -> bool:
    """Whether `--data` names a file or a folder, no recipe: ./hard is a folder, hard is none."""
    from stn_course.data import DISTORTIONS, TASKS

    if data is None or data in (*DISTORTIONS, *TASKS):
        return False
    return data.endswith(".npz") or "/" in data or Path(data).is_dir()


def _as_experiment(name: str | None, config, way: str = "") -> dict:
    """What makes the record that of the experiment `name`, if the run is its own; else `why` not.

    `way`: what the run does, or did before it was resumed, that no experiment does.
    """
    from stn_course.experiments import catalogue
    from stn_course.training.checkpoints import plain

    experiment = catalogue.EXPERIMENTS.get(name)
    if experiment is None:  # none was asked for, or a resumed run has a name of its own
        return {"name": name}
    # As config.json has them: a resumed run's options have lists where tuples were.
    asked, own = (plain(dataclasses.asdict(c)) for c in (config, experiment.config))
    differ = ", ".join(f"{k}={v!r}" for k, v in asked.items() if v != own.get(k))
    if experiment.start_from and not way:
        way = f"only `stn-course run {name}` makes what it starts from"
    if why := differ or way:
        return {"why": why}
    return {"name": name, "listeners": experiment.listeners()}


def _way(arguments, config) -> str:
    """What a run begins with, or began with before it was resumed, beside its settings."""
    from stn_course.training import run_folder

    asked = {"start_from": arguments.start_from, "only": arguments.only, "freeze": arguments.freeze}
    told = ", ".join(f"{name}={value!r}" for name, value in asked.items() if value)
    return told or (run_folder.way_of(arguments.out, config) if arguments.resume else "")


def _own_name(folder: Path, name: str | None) -> str | None:
    """`name`, or another where the folder's own would be that of an experiment; None: that will do.

    A run that is of no experiment is filed as none.
    """
    from stn_course.experiments import catalogue
    from stn_course.training.run_folder import name_of

    called = name_of(folder, name)
    return f"{called}-own" if name is None and called in catalogue.EXPERIMENTS else name


def _train(arguments) -> int:
    from stn_course.training import run_folder
    from stn_course.training.listeners import ProgressBar, SayStart

    if arguments.framework == "keras":
        return _train_in_keras(arguments)
    config, seed = _settings(arguments)
    name = arguments.experiment
    if arguments.resume and not (arguments.out / run_folder.CONFIG).exists():
        print(f"nothing to resume in {arguments.out}: a new run", file=sys.stderr)
    elif arguments.resume and name is None:
        name = run_folder.experiment_of(arguments.out)
    start = {"start_from": arguments.start_from, "only": arguments.only}
    start |= {"freeze": arguments.freeze}
    asked = _as_experiment(name, config, _way(arguments, config))
    own = _own_name(arguments.out, asked.get("name"))
    if why := asked.get("why"):
        called = run_folder.name_of(arguments.out, own)
        print(f"its record is called {called} and is none of {name}: {why}", file=sys.stderr)
    bar = [SayStart()] if arguments.quiet else [SayStart(), ProgressBar(arguments.log_every or 100)]
    record = run_folder.train(
        config,
        seed,
        arguments.out,
        [*asked.get("listeners", []), *bar],
        name=own,
        device=arguments.device,
        resume=arguments.resume,
        save_every=arguments.save_every,
        keep_every=arguments.keep_every,
        log_every=arguments.log_every,
        tensorboard=None if arguments.tensorboard else False,  # None: where it is installed
        **start,
    )
    _say_results(record)
    return 0


def _say_results(record) -> None:
    from stn_course.training.run_folder import counts

    print(f"digits: {record.digits}")
    for which, result in record.results.items():
        print(f"{which:<14} {counts(result)}")
    print(f"weights {record.hashes['weights']}")


def _train_in_keras(arguments) -> int:
    asked = {name: getattr(arguments, name) for name in NOT_IN_KERAS}
    if given := [name.replace("_", "-") for name, value in asked.items() if value]:
        raise ValueError(f"--{', --'.join(given)}: runs in Keras have none; wanted torch, or none")
    if arguments.precision is None:
        arguments.precision = "float32"
    config, seed = _settings(arguments)
    from stn_course.keras_twin import run_folder

    def say(epoch: int, row: dict) -> None:
        told = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if value == value)
        print(f"epoch {epoch}/{config.epochs}: {told}", file=sys.stderr, flush=True)

    shown = {"tensorboard": arguments.tensorboard, "say": None if arguments.quiet else say}
    own = _own_name(arguments.out, None)
    _say_results(run_folder.train(config, seed, arguments.out, own, **shown))
    return 0


def _test(arguments) -> int:
    from stn_course.training import report

    last = (arguments.limit, arguments.device)
    if not arguments.all_checkpoints:
        split = arguments.split or "test"
        lines = report.measure_run(
            arguments.dir, split, arguments.checkpoint, arguments.images, *last, arguments.out
        )
    elif arguments.images or arguments.split not in (None, "test"):
        raise ValueError("--all-checkpoints is about train and valid, or --split test: no --images")
    else:
        also_test = arguments.split == "test"
        lines = report.all_checkpoints(arguments.dir, *last, also_test, arguments.out)
    for line in lines:
        print(line, flush=True)
    return 0
