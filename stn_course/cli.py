"""The command line: ``stn-course``, also ``python -m stn_course``."""

import argparse
import json
import os
import sys
from pathlib import Path

PROBLEMS = (ValueError, TypeError, OSError, LookupError, RuntimeError)


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 if it went well, 1 if what it checked is wrong, 2 on bad input."""
    arguments = build_parser().parse_args(argv)
    if arguments.threads:
        import torch

        torch.set_num_threads(arguments.threads)
    try:
        return arguments.run(arguments) or 0
    except PROBLEMS as problem:
        if os.environ.get("STN_COURSE_DEBUG"):
            raise
        text = problem.args[0] if isinstance(problem, KeyError) and problem.args else problem
        print(f"stn-course {arguments.command}: {text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stn-course",
        description="The course on spatial transformers: its data, its training runs, its tables.",
        epilog="STN_COURSE_DATA names a folder with the data files; STN_COURSE_DEBUG=1 shows "
        "tracebacks.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name, run, help_, **more):
        sub = commands.add_parser(name, help=help_, description=help_, **more)
        sub.add_argument("--threads", type=_positive, default=0, help="CPU threads (default: all)")
        sub.set_defaults(run=run)
        return sub

    add("doctor", _doctor, "check this machine: one line for each thing that a reader needs")
    add("data", _data, "fetch and verify every data set, and print what was found")
    _add_train(add)
    _add_test(add)
    run = add("run", _run, "make the records of named experiments that are missing")
    run.add_argument("names", nargs="*", metavar="NAME", help="experiments; see --list")
    run.add_argument("--all", action="store_true", help="every experiment")
    run.add_argument("--list", action="store_true", help="name the experiments and stop")
    run.add_argument("--again", action="store_true", help="also those that have a record")
    run.add_argument("--plan", action="store_true", help="say what would run and stop")
    run.add_argument("--seeds", type=_positive, help="seeds 0..N-1 (default: the experiment's own)")
    run.add_argument("--out", type=Path, help="append to this JSONL file, not to figures/records")
    run.add_argument("--allow-sample", action="store_true", help="with --out: on the 5 000 digits")
    table = add("table", _table, "print the scoreboard, or the rows of one task")
    table.add_argument("names", nargs="*", metavar="ROW", help="S1 ... S16 or an experiment")
    return parser


def _add_train(add) -> None:
    train = add("train", _train, "train one network; the folder holds all that it takes to resume")
    # Defaults and the check of each value are Config's; None means "as Config has it".
    train.add_argument("--model", help="fc, cnn, stn-small, ...; any other word lists them all")
    train.add_argument("--options", type=_json, help="of the model, as JSON: '{\"width\": 2}'")
    train.add_argument("--distort", help="hard, mild, rts, ...: drawn afresh at every visit")
    train.add_argument("--frozen", action="store_true", default=None, help="distort once an image")
    train.add_argument("--with-clean", action="store_true", default=None, help="add clean images")
    train.add_argument("--tests", nargs="+", metavar="SET", help="sets measured at the end")
    train.add_argument("--train-on", help="train or train+valid (default: train)")
    train.add_argument("--limit", type=_positive, help="only the first so many training images")
    train.add_argument("--epochs", type=_positive, help="(default: 5)")
    train.add_argument("--batch-size", type=_positive, help="(default: 64)")
    train.add_argument("--lr", type=float, help="highest learning rate (default: 0.001)")
    train.add_argument("--lr-localiser", type=float, help="of transformers (default: as --lr)")
    train.add_argument("--optimizer", help="adam, sgd or rmsprop (default: adam)")
    train.add_argument("--momentum", type=float, help="of sgd and rmsprop (default: 0)")
    train.add_argument("--weight-decay", type=float, help="(default: 0)")
    train.add_argument("--schedule", help="constant, linear, step, cosine or onecycle")
    train.add_argument("--precision", help="float32, bf16 or auto (default: auto)")
    train.add_argument(
        "--pose-weight", type=float, help="weight of the true pose in the loss (default: 0)"
    )
    train.add_argument("--seed", type=int, default=0, help="(default: 0)")
    train.add_argument("--device", help="cpu or cuda (default: cuda if there is one)")
    train.add_argument("--out", type=Path, required=True, help="folder for everything of this run")
    train.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint")
    train.add_argument(
        "--save-every", type=_positive, default=0, metavar="STEPS", help="checkpoint within epochs"
    )
    train.add_argument(
        "--keep-every", type=_positive, default=0, metavar="EPOCHS", help="keep their checkpoints"
    )
    train.add_argument(
        "--log-every", type=_positive, default=0, metavar="STEPS", help="loss and rate: steps.csv"
    )
    train.add_argument("--tensorboard", action="store_true", help="write event files as well")
    train.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_test(add) -> None:
    test = add("test", _test, "measure a trained run: counts, confusion matrix, a gallery")
    test.add_argument("dir", type=Path, help="a folder that `stn-course train --out` wrote")
    test.add_argument("--split", choices=("train", "valid", "test"), help="(default: test)")
    which = test.add_mutually_exclusive_group()
    which.add_argument("--checkpoint", type=Path, metavar="FILE", help="(default: the latest)")
    which.add_argument(
        "--all-checkpoints", action="store_true", help="learning chart of those --keep-every kept"
    )
    test.add_argument("--images", action="store_true", help="input and output PNG of every image")
    test.add_argument("--limit", type=_positive, help="only the first so many images")


def _json(text: str) -> dict:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object")
    return value


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number


def _doctor(arguments) -> int:
    from stn_course import doctor

    return doctor.main()


def _data(arguments) -> int:
    from stn_course import data

    rows = data.fetch_all()
    print(f"{'file':<52} {'SHA-256':<16}      source")
    for row in rows:
        print(f"{row.file:<52} {row.sha256[:16]}  {'OK' if row.ok else 'WRONG'}  {row.source}")
    print(f"digits: {data.source()}")
    return 0 if all(row.ok for row in rows) else 1


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


def _run(arguments) -> int:
    from stn_course import experiments, records

    if arguments.list:
        for name, experiment in experiments.EXPERIMENTS.items():
            print(f"{name:<24} {experiment.seeds} seeds  {experiment.about}")
        return 0
    names = list(experiments.EXPERIMENTS) if arguments.all else arguments.names
    if not names:
        raise ValueError("no experiment named; name some, or use --all; --list shows them")
    done = records.in_jsonl(arguments.out) if arguments.out else None
    if arguments.again:
        done = set()
    runs = experiments.plan(names, arguments.seeds, done)
    minutes = experiments.expected_minutes(runs)
    print(f"{len(runs)} runs to make, about {minutes:.0f} minutes on one CPU core", flush=True)
    if arguments.plan:
        return 0

    def to_file(record):
        with open(arguments.out, "a") as file:
            file.write(json.dumps(json.loads(records.dumps(record))) + "\n")

    if arguments.allow_sample and not arguments.out:
        raise ValueError("--allow-sample needs --out: committed records are of the full MNIST")
    save = to_file if arguments.out else records.save
    failed = experiments.run_all(runs, save, allow_sample=arguments.allow_sample)
    print(f"{len(runs) - len(failed)} records made" + (f", failed: {failed}" if failed else ""))
    return 1 if failed else 0


def _table(arguments) -> int:
    from stn_course import scoreboard

    table = scoreboard.rows()
    known = {r["row"] for r in table} | {r["command"].split()[-1] for r in table}
    for name in arguments.names:
        if name not in known:
            raise ValueError(f"row {name!r} is unknown; wanted S1 ... S16 or an experiment's name")
    if arguments.names:
        wanted = set(arguments.names)
        table = [r for r in table if r["row"] in wanted or r["command"].split()[-1] in wanted]
    print(scoreboard.markdown(table))
    return 0
