"""What the course writes, and how to tell that what lies there is what was to be written."""

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nbformat
import numpy as np
from PIL import Image

from stn_course.cli.main import main
from stn_course.files import finished
from stn_course.training.record import loads
from tools.torture.children import Child, run

ROOT = Path(__file__).resolve().parents[2]
FIGURE = "S1"
ASKED = "stn_course.warp"  # what a notebook's cell shows


class Verb(NamedTuple):
    """`seconds`: about how long it takes. `holds(folder)`: all that is there, to be compared;
    it raises where something that has its final name is not whole."""

    name: str
    arguments: Callable[[Path], list]
    holds: Callable[[Path], dict]
    before: Callable[[Path], None] = lambda folder: None
    program: Callable[[list], int] = main


def _record(text: str):
    record = loads(text, "what was made")
    return record.repeatable()


def trained(folder: Path) -> dict:
    path = folder / "run" / "record.json"
    return {"record": _record(path.read_text())} if path.exists() else {}


def lines(folder: Path) -> dict:
    path, found = folder / "made.jsonl", {}
    for line in path.read_text().splitlines() if path.exists() else ():
        record = loads(line, "a line")
        key = f"{record.experiment}/{record.seed}"
        if key in found:
            raise ValueError(f"{key} is there twice")
        found[key] = _record(line)
    return found


def filed(folder: Path) -> dict:
    paths = finished(folder / "records", "*/*.json")
    return {f"{p.parent.name}/{p.name}": _record(p.read_text()) for p in paths}


def pictures(folder: Path) -> dict:
    found = {}
    for path in sorted((folder / "drawn").rglob("*")):
        if path.is_dir() or any(part.startswith(".") for part in path.parts[len(folder.parts) :]):
            continue
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.load()
        elif path.suffix in (".svg", ".html"):
            end = "</svg>" if path.suffix == ".svg" else "</html>"
            if not path.read_text().rstrip().endswith(end):
                raise ValueError(f"{path.name} does not end in {end}")
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".js":
            for sheet in set(re.findall(r"sheet_\w+\.png", path.read_text())):
                if not (path.parent / sheet).exists():
                    raise ValueError(f"{path.name} shows {sheet}, which is not there")
        name = re.sub(r"sheet_[0-9a-f]+_", "sheet_", str(path.relative_to(folder)))
        found[name] = True  # a sheet's name holds a random key
    return found


def courses(folder: Path) -> dict:
    """What `make course` says it ran, and the notebooks that it speaks of."""
    path = folder / "build" / "course.json"
    if not path.exists():
        return {}
    told = json.loads(path.read_text())
    for name in told["notebooks"]:
        cells = json.loads((folder / "build" / "notebooks" / f"{name}.ipynb").read_text())["cells"]
        if not all(cell["outputs"] for cell in cells if cell["source"] == ASKED):
            raise ValueError(f"{name} has cells that were not run")
    return {name: told[name] for name in ("digits", "profile")} | dict.fromkeys(told["notebooks"])


def _notebooks(folder: Path) -> None:
    (folder / "notebooks").mkdir()
    for name in ("01_one", "02_two"):
        code = ['PROFILE = "quick"', "import stn_course", ASKED, ASKED]
        nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in code])
        nb.cells[0].metadata.tags = ["parameters"]
        nbformat.write(nb, folder / "notebooks" / f"{name}.ipynb")


def make_course(arguments: list) -> int:
    from tools.course import main  # in the child alone: it has threads

    return main(arguments)


def arrays(folder: Path) -> dict:
    path = folder / "drawn.npz"
    if not path.exists():
        return {}
    with np.load(path) as stored:
        return {name: stored[name].tobytes() for name in stored.files if name != "digits"}


def _some_records(folder: Path) -> None:
    """A JSONL of committed records, as another machine would send it."""
    paths = sorted((ROOT / "records" / "runs").glob("*/0.json"))[:12]
    rows = [json.dumps(json.loads(path.read_text())) for path in paths]
    (folder / "sent.jsonl").write_text("\n".join(rows) + "\n")


def _all_records(folder: Path) -> None:
    (folder / "records").symlink_to(ROOT / "records" / "runs")


def _a_run(folder: Path) -> None:
    ended = run(train(folder), folder)
    if ended.code:
        raise RuntimeError(f"no run to begin with: {ended.said}")


def train(folder: Path) -> list:
    small = "--model fc --limit 400 --epochs 4 --batch-size 20 --precision float32 --data r"
    more = "--seed 3 --save-every 7 --keep-every 2 --log-every 5 --quiet --resume --no-tensorboard"
    return ["train", *small.split(), *more.split(), "--out", folder / "run"]


def sweep(*how: str) -> Callable[[Path], list]:
    return lambda folder: ["run", "tiny", "wider", "--allow-sample", *how, "--out", "made.jsonl"]


VERBS = {
    verb.name: verb
    for verb in (
        Verb("train", train, trained),
        Verb("run", sweep(), lines),
        Verb("run --jobs", sweep("--jobs", "2"), lines),
        Verb("run --parallel-runs", sweep("--parallel-runs", "2"), lines),
        Verb("import", lambda f: ["records", "import", "sent.jsonl"], filed, _some_records),
        Verb("figures", lambda f: ["figures", FIGURE, "--out", "drawn"], pictures, _all_records),
        Verb("data", lambda f: "data --draw r --split valid --out drawn.npz".split(), arrays),
        Verb(
            "test --images",
            lambda f: ["test", "run", "--images", "--limit", "40", "--out", "drawn"],
            pictures,
            _a_run,
        ),
        Verb(
            "course",
            lambda f: ["--notebooks", "notebooks", "--build", "build", "--no-book"],
            courses,
            _notebooks,
            make_course,
        ),
    )
}


def begun(verb: Verb, folder: Path, **how) -> Child:
    return Child(verb.arguments(folder), folder, program=verb.program, **how)


def wanted(verb: Verb, folder: Path) -> tuple[dict, float]:
    """What the verb makes where nothing disturbs it, and how long that takes."""
    folder.mkdir()
    verb.before(folder)
    start = time.monotonic()
    ended = begun(verb, folder).wait()
    seconds, found = time.monotonic() - start, verb.holds(folder)
    if ended.code or not found:
        raise RuntimeError(f"{verb.name} fails undisturbed: {ended.code} {ended.said[-2000:]}")
    return found, seconds


def anew(verb: Verb, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    verb.before(folder)
    return folder
