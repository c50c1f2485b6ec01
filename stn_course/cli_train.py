"""The commands ``train`` and ``test`` of the command line."""

import argparse
import json
import sys
from pathlib import Path

DEVICE = "cpu, cuda, or cuda:1 of several (default: cuda if there is one)"


def add_train(add) -> None:
    train = add("train", _train, "train one network; the folder holds all that it takes to resume")
    # Defaults and the check of each value are Config's; None means "as Config has it", or, of
    # a run that is resumed, as its folder has it.
    train.add_argument(
        "--experiment",
        metavar="NAME",
        help="begin with its settings (`stn-course run --list`); with no other the record is its",
    )
    train.add_argument("--model", help="fc, cnn, stn-small, ...; any other word lists them all")
    train.add_argument(
        "--options",
        type=_json,
        help="of the model, as JSON: '{\"down\": 2}'; any other key lists them",
    )
    train.add_argument(
        *("--data", "--distort"),
        dest="distort",
        metavar="NAME",
        help="clean, hard, mild, sequences, ...: drawn afresh at every visit (default: clean)",
    )
    train.add_argument("--frozen", action="store_true", default=None, help="distort once an image")
    train.add_argument("--with-clean", action="store_true", default=None, help="add clean images")
    train.add_argument("--augment", help="pose or gentle: drawn afresh after all that")
    train.add_argument(
        "--tests", nargs="+", metavar="SET", help="measured at the end (default: --data)"
    )
    train.add_argument("--train-on", help="train or train+valid (default: train)")
    train.add_argument("--limit", type=positive, help="only the first so many training images")
    train.add_argument("--epochs", type=positive, help="(default: 5)")
    train.add_argument("--batch-size", type=positive, help="(default: 64)")
    train.add_argument("--lr", type=float, help="highest learning rate (default: 0.001)")
    train.add_argument("--lr-localiser", type=float, help="of transformers (default: as --lr)")
    train.add_argument("--optimizer", help="adam, sgd or rmsprop (default: adam)")
    train.add_argument("--momentum", type=float, help="of sgd and rmsprop (default: 0)")
    train.add_argument("--weight-decay", type=float, help="of weights, not of biases (default: 0)")
    train.add_argument("--epsilon", type=float, help="of adam and rmsprop (default: 1e-8)")
    train.add_argument(
        "--schedule",
        help="constant (default), linear, step, cosine, onecycle, late-decay, or two-phase: the "
        "last quarter at a tenth of the rate",
    )
    train.add_argument("--precision", help="float32, bf16 or auto (default: auto)")
    train.add_argument(
        "--pose-weight", type=float, help="weight of the true pose in the loss (default: 0)"
    )
    train.add_argument("--clip", type=float, help="longest gradient (default: any length)")
    train.add_argument(
        "--patience", type=positive, help="stop after so many epochs without a better one"
    )
    train.add_argument("--seed", type=_seed, help="(default: 0)")
    train.add_argument("--device", help=DEVICE)
    train.add_argument("--out", type=Path, required=True, help="folder for everything of this run")
    train.add_argument(
        "--resume",
        action="store_true",
        help="go on from the folder's checkpoint, with the folder's settings; what is to be kept "
        "and logged (--save-every, --keep-every, --log-every) is said again",
    )
    train.add_argument(
        "--save-every", type=positive, default=0, metavar="STEPS", help="checkpoint within epochs"
    )
    train.add_argument(
        "--keep-every", type=positive, default=0, metavar="EPOCHS", help="keep their checkpoints"
    )
    train.add_argument(
        "--log-every",
        type=positive,
        default=0,
        metavar="STEPS",
        help="loss and rate: steps.csv, TensorBoard",
    )
    train.add_argument(
        "--tensorboard",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="event files in DIR/tensorboard (default: where the package is installed)",
    )
    train.add_argument("--quiet", action="store_true", help="no progress bar")


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


def _seed(text: str) -> int:
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
    import dataclasses

    from stn_course import experiments, run_folder
    from stn_course.config import CLEAN, Config

    given = {f.name: getattr(arguments, f.name) for f in dataclasses.fields(Config)}
    given = {name: value for name, value in given.items() if value is not None}
    if given.get("distort") == CLEAN:
        given["distort"] = None  # as Config has it
    named = {}
    if arguments.experiment:
        experiment = experiments.find(arguments.experiment)
        config = experiment.config
        if not isinstance(config, Config) or experiment.run is not None:
            raise ValueError(
                f"--experiment {arguments.experiment} is no training of `stn-course train`; "
                f"make its record with `stn-course run {arguments.experiment}`"
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


def _as_experiment(name: str | None, config) -> dict:
    """What makes the record that of the experiment ``name``, if ``config`` is its own; else {}."""
    import dataclasses

    from stn_course import experiments
    from stn_course.checkpoints import plain

    experiment = experiments.EXPERIMENTS.get(name)
    if experiment is None:  # none was asked for, or a resumed run has a name of its own
        return {"name": name}
    # As config.json has them: a resumed run's options have lists where tuples were.
    asked, own = (plain(dataclasses.asdict(c)) for c in (config, experiment.config))
    if asked != own:
        return {}
    return {"name": name, "probe": experiment.probe, "each_epoch": experiment.each_epoch}


def _train(arguments) -> int:
    from stn_course import run_folder

    config, seed = _settings(arguments)
    name = arguments.experiment
    if arguments.resume and not (arguments.out / run_folder.CONFIG).exists():
        print(f"nothing to resume in {arguments.out}: a new run", file=sys.stderr)
    elif arguments.resume and name is None:
        name = run_folder.experiment_of(arguments.out)
    record = run_folder.train(
        config,
        seed,
        arguments.out,
        **_as_experiment(name, config),
        device=arguments.device,
        resume=arguments.resume,
        save_every=arguments.save_every,
        keep_every=arguments.keep_every,
        log_every=arguments.log_every,
        tensorboard=None if arguments.tensorboard else False,  # None: where it is installed
        progress=not arguments.quiet,
    )
    print(f"digits: {record.digits}")
    for which, result in record.results.items():
        print(f"{which:<14} {run_folder.counts(result)}")
    print(f"weights {record.hashes['weights']}")
    return 0


def _test(arguments) -> int:
    from stn_course import assess

    last = (arguments.limit, arguments.device)
    if not arguments.all_checkpoints:
        split = arguments.split or "test"
        lines = assess.measure_run(
            arguments.dir, split, arguments.checkpoint, arguments.images, *last, arguments.out
        )
    elif arguments.images or arguments.split not in (None, "test"):
        raise ValueError("--all-checkpoints is about train and valid, or --split test: no --images")
    else:
        also_test = arguments.split == "test"
        lines = assess.all_checkpoints(arguments.dir, *last, also_test, arguments.out)
    for line in lines:
        print(line, flush=True)
    return 0
