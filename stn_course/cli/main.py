"""The command line: `stn-course`, also `python -m stn_course`."""

import argparse
import os
import sys
from collections import Counter
from itertools import groupby, pairwise
from pathlib import Path

from stn_course.cli.train import add_test, add_train, from_zero, positive
from stn_course.cli.use import add_export, add_predict
from stn_course.extras import needs
from stn_course.files import BusyError, RemovedError, only_writer

PROBLEMS = (
    ValueError,
    TypeError,
    OSError,
    LookupError,
    RuntimeError,
    FloatingPointError,
    ImportError,
)


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 if it went well, 1 if what it checked is wrong, 2 on bad input."""
    parser = build_parser()
    _refuse_empty(parser, sys.argv[1:] if argv is None else argv)
    arguments = parser.parse_args(argv)
    if arguments.threads:
        import torch

        torch.set_num_threads(arguments.threads)
    try:
        status = arguments.run(arguments) or 0
        sys.stdout.flush()  # so that a closed pipe shows here and not on the way out
        return status
    except BrokenPipeError:  # the reader of the pipe, as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except PROBLEMS as problem:
        if os.environ.get("STN_COURSE_DEBUG"):
            raise
        text = problem.args[0] if isinstance(problem, KeyError) and problem.args else problem
        print(f"stn-course {arguments.command}: {text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


def _refuse_empty(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """No word is empty: as a path it would be this folder, as an address none at all.

    Nor is a value "--", of which argparse makes a list in Python 3.11 and 3.12.
    """
    for before, word in pairwise(["COMMAND", *words]):
        flag, equals, value = word.partition("=")
        if not word or (word.startswith("--") and equals and value in ("", "--")):
            name, value = (flag, value) if word else (before, word)
            parser.error(f"argument after {name}: {value!r}; wanted a value, or none of it")


def _threads(text: str) -> int:
    """A number of threads that this machine can bear: far too many bring the process down."""
    most = max(64, os.cpu_count() or 1)
    if (number := positive(text)) > most:
        raise argparse.ArgumentTypeError(
            f"{number} is more than this machine bears; wanted 1 to {most}"
        )
    return number


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stn-course",
        description="The course on spatial transformers: its data, its training runs, its tables.",
        epilog="STN_COURSE_DATA names a folder with the data files, packed or not; one that has "
        "none is an error. STN_COURSE_DEBUG=1 shows tracebacks.",
    )
    parser.add_argument("--version", action="version", version=f"stn-course {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name, run, help_, **more):
        sub = commands.add_parser(name, help=help_, description=help_, **more)
        sub.add_argument("--threads", type=_threads, default=0, help="CPU threads (default: all)")
        sub.set_defaults(run=run)
        return sub

    add("doctor", _doctor, "check this machine: one line for each thing that a reader needs")
    fetch = add("data", _data, "fetch and verify every data set, and print what was found")
    fetch.add_argument(
        "--draw", metavar="NAME", help="instead draw hard, mild, ... once, into a file"
    )
    fetch.add_argument("--split", choices=("train", "valid", "test"), help="of it (default: train)")
    fetch.add_argument("--seed", type=from_zero, help="of its draws (default: 0)")
    fetch.add_argument("--out", type=Path, metavar="FILE.npz", help="where it is written")
    add_train(add)
    add_test(add)
    add_predict(add)
    add_export(add)
    _add_run(add)
    _add_tables(add)
    _add_web(add)
    return parser


def _add_run(add) -> None:
    run = add("run", _run, "make the records of named experiments that are missing")
    what = "experiments (see --list), or rows of the scoreboard: S1 ... S16"
    run.add_argument("names", nargs="*", metavar="NAME", help=what)
    run.add_argument("--all", action="store_true", help="every experiment")
    run.add_argument("--list", action="store_true", help="name the experiments and stop")
    run.add_argument("--again", action="store_true", help="also those that have a record")
    run.add_argument("--plan", action="store_true", help="say what would run and stop")
    run.add_argument("--seeds", type=positive, help="its first N seeds (default: as planned)")
    run.add_argument("--out", type=Path, help="append to this JSONL file, not to records/runs")
    run.add_argument(
        "--weights",
        type=Path,
        metavar="DIR",
        help="keep what each run learned there, but for runs in Keras and others of their own kind",
    )
    run.add_argument("--allow-sample", action="store_true", help="with --out: on the 5 000 digits")
    where = run.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=positive, default=1, help="processes at once (default: 1)")
    where.add_argument(
        "--parallel-runs",
        type=positive,
        default=1,
        metavar="M",
        help="runs that take turns on one device, a GPU (default: 1)",
    )
    where.add_argument("--cluster", metavar="ADDRESS", help="of a Dask scheduler: on its workers")


def _add_tables(add) -> None:
    kept = add("records", _records, "file records of another machine, or try whether they hold")
    action = kept.add_subparsers(dest="action", required=True, metavar="ACTION", help="what to do")
    filed = action.add_parser("import", help="file a JSONL of `run --out`, or a record.json")
    filed.add_argument("file", type=Path, metavar="FILE", help="one record a line")
    filed.add_argument("--again", action="store_true", help="replace those that are there")
    tried = action.add_parser("check", help="remake the first steps of runs and compare")
    tried.add_argument("names", nargs="*", metavar="NAME", help="as for `run` (default: all)")
    tried.add_argument("--every-seed", action="store_true", help="(default: the first of each)")
    table = add("table", _table, "print the scoreboard, or the rows of one task")
    table.add_argument("names", nargs="*", metavar="ROW", help="S1 ... S16 or an experiment")
    formats = ("md", "csv", "html", "latex")
    table.add_argument("--format", choices=formats, default="md", help="(default: md)")
    drawn = add("figures", _figures, "draw every comparison that the records allow")
    drawn.add_argument("names", nargs="*", metavar="ROW", help="S1 ... S16 (default: all)")
    drawn.add_argument(
        "--out",
        type=Path,
        default=Path("build/figures"),
        metavar="DIR",
        help="(default: build/figures)",
    )


def _add_web(add) -> None:
    web = add("export-web", _export_web, "write networks of records as files that a page can read")
    web.add_argument("names", nargs="*", metavar="NAME", help="(default: the first page's four)")
    web.add_argument("--out", type=Path, metavar="DIR", help="(default: where the page's four are)")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("stn-course")
    except PackageNotFoundError:  # run from a folder that is not installed, as on a lent GPU
        return "not installed"


def _doctor(arguments) -> int:
    from stn_course.cli import doctor

    return doctor.main()


def _data(arguments) -> int:
    from stn_course import data

    asked = {"split": arguments.split, "seed": arguments.seed}
    asked = {name: value for name, value in asked.items() if value is not None}
    if arguments.draw and arguments.out:
        with only_writer(file=arguments.out):
            shapes = data.write_npz(arguments.draw, arguments.out, **asked)
        for name, shape in shapes.items():
            print(f"{name:<8} {' x '.join(map(str, shape))}")
        print(f"digits: {data.source()}")
        return 0
    if arguments.draw or arguments.out or asked:
        raise ValueError("--draw, --split, --seed and --out go together; wanted --draw and --out")
    rows = data.fetch_all()
    print(f"{'file':<52} {'SHA-256':<16}      source")
    for row in rows:
        print(f"{row.file:<52} {row.sha256[:16]}  {'OK' if row.ok else 'WRONG'}  {row.source}")
    print(f"digits: {data.source()}")
    return 0 if all(row.ok for row in rows) else 1


def _run(arguments) -> int:
    from stn_course.experiments import catalogue, runner

    if arguments.list:
        for name in _named(arguments.names) or catalogue.EXPERIMENTS:
            experiment = catalogue.find(name)
            print(f"{name:<24} {experiment.seeds} seeds  {experiment.about}")
        return 0
    if arguments.all and arguments.names:
        raise ValueError(f"--all and {' '.join(arguments.names)}; wanted one or the other")
    names = list(catalogue.EXPERIMENTS) if arguments.all else _named(arguments.names)
    if not names:
        raise ValueError("no experiment named; name some, or use --all; --list shows them")
    if arguments.out and arguments.out.is_dir():
        raise ValueError(f"--out {arguments.out} is a folder; wanted a JSONL file")
    if arguments.out and not arguments.out.resolve().parent.is_dir():
        raise ValueError(f"--out {arguments.out}: there is no folder {arguments.out.parent}")
    if arguments.allow_sample and not arguments.out:
        raise ValueError("--allow-sample needs --out: committed records are of the full MNIST")
    if arguments.plan:
        for name, seeds in groupby(_missing(arguments, names), key=lambda run: run[0]):
            for run in (runs := list(seeds)):
                print(f"{run[0]}/{run[1]}")
            print(f"  {name}: {len(runs)} runs, {runner.expected_minutes(runs):.1f} minutes")
        return 0
    return _make(arguments, names)


def _missing(arguments, names: list[str]) -> list[tuple[str, int]]:
    """The runs that have no record yet, where the command line says that records go."""
    from stn_course.experiments import records, runner

    done = None
    if arguments.out:  # what is there must be whole, also where it is made again
        checks = [runner.check_record] + [records.check_full] * (not arguments.allow_sample)
        done = records.runs_in(arguments.out, *checks)
    if arguments.again:
        done = set()
    runs = runner.plan(names, arguments.seeds, done)
    minutes = runner.expected_minutes(runs)
    print(f"{len(runs)} runs to make, about {minutes:.0f} minutes on one CPU core", flush=True)
    return runs


def _make(arguments, names: list[str]) -> int:
    """Make what is missing; what was removed meanwhile is said, and written again if it can be."""
    from stn_course.experiments import records, runner, sweep

    folders = [] if arguments.out else [records.records_dir() / name for name in names]
    made, weights = {}, arguments.weights

    def save(record):
        records.append(arguments.out, record) if arguments.out else records.save(record)
        made[record.experiment, record.seed] = record

    def kept():
        if arguments.out:
            return records.runs_in(arguments.out)
        return {(r.experiment, r.seed) for name in names for r in records.load(name)}

    passed = {
        k: getattr(arguments, k)
        for k in "jobs cluster parallel_runs threads allow_sample weights".split()
    }
    try:
        with only_writer(*folders, file=arguments.out):
            runs = _missing(arguments, names)
            failed = sweep.run_all(runs, save, **passed)
    except RemovedError as error:
        print(f"stn-course run: {error}", file=sys.stderr)
    print(f"{len(runs) - len(failed)} records made" + (f", failed: {failed}" if failed else ""))
    bare = [
        f"{name}/{seed}"
        for (name, seed), record in sorted(made.items())
        if weights is not None and not runner.has_weights(record, weights)
    ]
    if bare := [run for run in bare if run not in failed]:
        print(f"weights of {', '.join(bare)} were removed from {weights}", file=sys.stderr)
    lost = [made[run] for run in sorted(made.keys() - kept())]
    if lost:
        told = _written_again(lost, save, folders, arguments.out)
        print(f"{len(lost)} of them were removed meanwhile; {told}", file=sys.stderr)
    return 1 if failed or lost or bare else 0


def _written_again(lost, save, folders: list[Path], file: Path | None) -> str:
    """Save records once more, or keep them elsewhere: words for what came of that."""
    from stn_course.experiments import sweep

    try:
        with only_writer(*folders, file=file):
            wrong = [trace for record in lost if (trace := sweep.saved(record, save))]
    except (BusyError, OSError) as error:  # another sweep began there
        wrong = [str(error), *map(sweep.kept, lost)]
    return "\n".join(wrong) or "they are written again"


def _named(names: list[str]) -> list[str]:
    """The experiments of `names`, where a row of the scoreboard stands for all of its own."""
    from stn_course.experiments import published

    rows: dict[str, list[str]] = {}
    for row in published.ROWS:
        if row.experiment:
            rows.setdefault(row.row, []).append(row.experiment)
    return list(dict.fromkeys(each for name in names for each in rows.get(name, [name])))


def _records(arguments) -> int:
    return _check_records(arguments) if arguments.action == "check" else _file_records(arguments)


def _check_records(arguments) -> int:
    from stn_course.experiments import catalogue, remake, runner

    runner.check_digits()
    words, count = {True: "again", False: "NOT AGAIN", None: "not told"}, Counter()
    names = _named(arguments.names) or list(catalogue.EXPERIMENTS)
    for found in remake.compare_all(names, arguments.every_seed):
        count[found.again] += 1
        where = f"{found.experiment}/{found.seed}"
        print(f"{words[found.again]:<9}  {where:<28} {found.why}", flush=True)
    print(", ".join(f"{count[each]} {word}" for each, word in words.items()))
    return 1 if count[False] else 0


def _file_records(arguments) -> int:
    from stn_course.experiments import runner
    from stn_course.experiments.records import file_records

    count = file_records(arguments.file, again=arguments.again, check=runner.check_record)
    print(", ".join(f"{n} {what}" for what, n in count.items()))
    return 0


def _table(arguments) -> int:
    from stn_course.experiments import scoreboard, tables
    from stn_course.geometry import choices

    table = scoreboard.rows()
    known = {r["row"] for r in table} | {r["command"].split()[-1] for r in table}
    for name in arguments.names:
        if name not in known:
            told = choices(name, sorted(known), "S1 ... S16 or an experiment of theirs")
            raise ValueError(f"row {name!r} is unknown; wanted {told}")
    if arguments.names:
        wanted = set(arguments.names)
        table = [r for r in table if r["row"] in wanted or r["command"].split()[-1] in wanted]
    print(tables.FORMATS[arguments.format](table))
    return 0


def _figures(arguments) -> int:
    with needs("course"):
        import matplotlib

        matplotlib.use("agg")
        from stn_course.experiments import figures

    with only_writer(arguments.out):
        for line in figures.draw_all(arguments.out, arguments.names):
            print(line, flush=True)
    return 0


def _export_web(arguments) -> int:
    from stn_course.experiments import web

    if arguments.out and not arguments.out.is_dir():
        raise ValueError(f"--out {arguments.out}: there is no such folder")
    folder, names = arguments.out or web.FOLDER, tuple(arguments.names) or web.FIRST_PAGE
    with only_writer(folder):
        sizes = web.write(folder, names)
    for name, size in sizes.items():
        print(f"{name:<28} {size:>9,} bytes")
    print(f"{'all':<28} {sum(sizes.values()):>9,} bytes")
    return 0
