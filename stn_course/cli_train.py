"""The commands ``train`` and ``test`` of the command line."""

import argparse
import json
from pathlib import Path


def add_train(add) -> None:
    train = add("train", _train, "train one network; the folder holds all that it takes to resume")
    # Defaults and the check of each value are Config's; None means "as Config has it".
    train.add_argument("--model", help="fc, cnn, stn-small, ...; any other word lists them all")
    train.add_argument("--options", type=_json, help="of the model, as JSON: '{\"width\": 2}'")
    train.add_argument("--distort", help="hard, mild, rts, ...: drawn afresh at every visit")
    train.add_argument("--frozen", action="store_true", default=None, help="distort once an image")
    train.add_argument("--with-clean", action="store_true", default=None, help="add clean images")
    train.add_argument("--augment", help="pose or gentle: drawn afresh after all that")
    train.add_argument("--tests", nargs="+", metavar="SET", help="sets measured at the end")
    train.add_argument("--train-on", help="train or train+valid (default: train)")
    train.add_argument("--limit", type=positive, help="only the first so many training images")
    train.add_argument("--epochs", type=positive, help="(default: 5)")
    train.add_argument("--batch-size", type=positive, help="(default: 64)")
    train.add_argument("--lr", type=float, help="highest learning rate (default: 0.001)")
    train.add_argument("--lr-localiser", type=float, help="of transformers (default: as --lr)")
    train.add_argument("--optimizer", help="adam, sgd or rmsprop (default: adam)")
    train.add_argument("--momentum", type=float, help="of sgd and rmsprop (default: 0)")
    train.add_argument("--weight-decay", type=float, help="(default: 0)")
    train.add_argument("--schedule", help="constant, onecycle, ...; any other word lists them")
    train.add_argument("--precision", help="float32, bf16 or auto (default: auto)")
    train.add_argument(
        "--pose-weight", type=float, help="weight of the true pose in the loss (default: 0)"
    )
    train.add_argument("--clip", type=float, help="longest gradient (default: any length)")
    train.add_argument(
        "--patience", type=positive, help="stop after so many epochs without a better one"
    )
    train.add_argument("--seed", type=int, default=0, help="(default: 0)")
    train.add_argument("--device", help="cpu or cuda (default: cuda if there is one)")
    train.add_argument("--out", type=Path, required=True, help="folder for everything of this run")
    train.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint")
    train.add_argument(
        "--save-every", type=positive, default=0, metavar="STEPS", help="checkpoint within epochs"
    )
    train.add_argument(
        "--keep-every", type=positive, default=0, metavar="EPOCHS", help="keep their checkpoints"
    )
    train.add_argument(
        "--log-every", type=positive, default=0, metavar="STEPS", help="loss and rate: steps.csv"
    )
    train.add_argument("--tensorboard", action="store_true", help="write event files as well")
    train.add_argument("--quiet", action="store_true", help="no progress bar")


def add_test(add) -> None:
    test = add("test", _test, "measure a trained run: counts, confusion matrix, a gallery")
    test.add_argument("dir", type=Path, help="a folder that `stn-course train --out` wrote")
    test.add_argument("--split", choices=("train", "valid", "test"), help="(default: test)")
    which = test.add_mutually_exclusive_group()
    which.add_argument("--checkpoint", type=Path, metavar="FILE", help="(default: the latest)")
    which.add_argument(
        "--all-checkpoints", action="store_true", help="learning chart of those --keep-every kept"
    )
    test.add_argument("--images", action="store_true", help="input and output PNG of every image")
    test.add_argument("--limit", type=positive, help="only the first so many images")


def _json(text: str) -> dict:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object")
    return value


def positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number


def _train(arguments) -> int:
    import dataclasses

    from stn_course import run_folder
    from stn_course.train import Config

    given = {f.name: getattr(arguments, f.name) for f in dataclasses.fields(Config)}
    config = Config(**{k: v for k, v in given.items() if v is not None})
    record = run_folder.train(
        config,
        arguments.seed,
        arguments.out,
        device=arguments.device,
        resume=arguments.resume,
        save_every=arguments.save_every,
        keep_every=arguments.keep_every,
        log_every=arguments.log_every,
        tensorboard=arguments.tensorboard,
        progress=not arguments.quiet,
    )
    print(f"digits: {record.digits}")
    for which, result in record.results.items():
        print(f"{which:<14} {result['correct']} / {result['total']}")
    print(f"weights {record.hashes['weights']}")
    return 0


def _test(arguments) -> int:
    from stn_course import assess

    if not arguments.all_checkpoints:
        split = arguments.split or "test"
        lines = assess.measure_run(
            arguments.dir, split, arguments.checkpoint, arguments.images, arguments.limit
        )
    elif arguments.split or arguments.images:
        raise ValueError("--all-checkpoints is about train and valid: no --split, no --images")
    else:
        lines = assess.all_checkpoints(arguments.dir, arguments.limit)
    for line in lines:
        print(line, flush=True)
    return 0
