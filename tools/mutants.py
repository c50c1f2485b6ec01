"""A sample of all small changes that a public tool knows, each tried against the nearest tests.

    python -m tools.mutants geometry data --number 30 --seed 1
    python -m tools.mutants --out build/mutants.jsonl     goes on where it was stopped; all packages

`tools.mutations` has changes that somebody thought of; here cosmic-ray makes them. It wants an
environment of its own (`pip install cosmic-ray`, with a .pth that leads to this one's packages). A
change is drawn by its place, so that a `+`, which has eleven, is no likelier than a `not`; what is
no Python, and what stands in an annotation, is passed over. What survives the nearest tests meets
those of the whole package, and is shown with its line if it survives these. Tests must pass without
any change before they count.
"""

import argparse
import ast
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tools.mutations import ROOT, copied, environment

SECONDS = 600  # of the processor, for one run of tests
WALL = 6 * SECONDS  # where it waits for something, or the machine is busy
POINTS = "tests/geometry/test_points.py"
SLOW = f"{POINTS}::test_gradients_are_those_of_finite_differences"
# Tests of a package, nearest first; a module's own come before them.
WIDER = {
    "geometry": f"tests/geometry tests/models/test_transformers.py --deselect={SLOW}",
    "sampling": "tests/sampling tests/data/test_distortions.py",
    "data": "tests/data tests/training/test_golden_sets.py tests/test_bit_flips.py",
    "training": "tests/training tests/cli/test_use.py tests/test_bit_flips.py",
    "experiments": "tests/experiments tests/project/test_prose.py tests/project/test_readme.py",
}
NEAREST = {
    "geometry": "tests/geometry/test_geometry.py",
    "geometry/points.py": f"{POINTS} --deselect={SLOW}",
    "sampling": "tests/sampling/test_fused.py",
    "sampling/reference.py": "tests/sampling/test_reference.py",
    "sampling/fused/triton_kernels.py": "tests/sampling/test_triton.py",
    "data": "tests/data/test_recipes.py",
    "data/words": "tests/data/test_words.py",
    "data/clutter": "tests/data/test_clutter.py tests/data/test_fresh_clutter.py",
    "data/checksums.py": "tests/data/test_download.py tests/data/test_files.py",
    "training": "tests/training/test_step.py",
    "training/checkpoints.py": "tests/training/test_start.py tests/test_bit_flips.py",
    "training/record.py": "tests/experiments/test_records.py",
    "training/listeners.py": "tests/training/test_watching.py",
    "training/tensorboard.py": "tests/training/test_watching.py",
    "training/report.py": "tests/training/test_run_folder.py",
    "training/run.py": "tests/training/test_golden_sets.py tests/training/test_start.py",
    "experiments": "tests/experiments/test_catalogue.py",
    "experiments/published": "tests/experiments/test_tables.py tests/experiments/test_terms.py",
    "experiments/scoreboard.py": "tests/experiments/test_scoreboard.py",
    "experiments/statistics.py": "tests/experiments/test_tables.py",
    "experiments/runner.py": "tests/experiments/test_weights.py",
}


class Change(NamedTuple):
    """One occurrence of an operator in a file of the package; `line` is where it stands."""

    file: str
    line: int
    operator: str
    occurrence: int


def changes(package: str, chance: random.Random) -> Iterator[Change]:
    """Changes of `package`, by places in a random order and one of each place."""
    from cosmic_ray import plugins
    from cosmic_ray.ast import ast_nodes, get_ast

    known = {name: plugins.get_operator(name) for name in plugins.operator_names()}
    operators = {name: kind() for name, kind in known.items() if not kind.arguments()}
    places: dict[tuple, list[Change]] = {}
    for path in sorted((ROOT / "stn_course" / package).rglob("*.py")):
        source, file = path.read_text(encoding="utf-8"), str(path.relative_to(ROOT / "stn_course"))
        tree, passed_over = get_ast(source), _annotations(source)
        for name, operator in sorted(operators.items()):
            found = (p for node in ast_nodes(tree) for p in operator.mutation_positions(node))
            for occurrence, (start, end) in enumerate(found):
                if not any(a <= tuple(start) < b for a, b in passed_over):
                    change = Change(file, start[0], name, occurrence)
                    places.setdefault((file, tuple(start), tuple(end)), []).append(change)
    for place in chance.sample(sorted(places), len(places)):
        yield chance.choice(places[place])


def _annotations(source: str) -> list[tuple[tuple, tuple]]:
    """From where to where (line, column) annotations stand: no test can tell one from another."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for each in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if each is not None:
                start, end = (each.lineno, each.col_offset), (each.end_lineno, each.end_col_offset)
                found.append((start, end))
    return found


def changed(change: Change) -> str | None:
    """The file's text with the change; None where that is no Python, or the same."""
    from cosmic_ray import plugins
    from cosmic_ray.mutating import mutate_code

    source = (ROOT / "stn_course" / change.file).read_text(encoding="utf-8")
    text = mutate_code(source, plugins.get_operator(change.operator)(), change.occurrence)
    try:
        same = text is None or ast.dump(ast.parse(text)) == ast.dump(ast.parse(source))
    except SyntaxError:
        return None
    return None if same else text


def nearest(file: str) -> str:
    """The tests that a change of `file` meets first."""
    package, name = file.partition("/")[0], Path(file).stem
    own = f"tests/{package}/test_{name}.py"
    nested = str(Path(file).parent) if file.count("/") > 1 else file
    for known in (file, nested, own, package):
        if known in NEAREST:
            return NEAREST[known]
        if known == own and (ROOT / own).exists():
            return own
    raise KeyError(f"no tests for {file}")


def ended(folder: Path, tests: str) -> str:
    """How the tests end in a copy: passed, failed or late. What they started ends with them."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    with open(folder / "said", "w") as said:
        child = subprocess.Popen(
            [*command, *tests.split()],
            cwd=folder,
            env=environment(folder),
            stdout=said,
            stderr=said,
            start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS)),
        )
        try:
            code = child.wait(WALL)
        except subprocess.TimeoutExpired:
            return "late"
        finally:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:  # all of it has ended
                pass
            child.wait()
    late = code in (-signal.SIGXCPU, -signal.SIGKILL)
    return "late" if late else "failed" if code else "passed"


@cache
def pass_unchanged(folder: Path, tests: str) -> bool:
    return ended(folder, tests) == "passed"


def tried(folder: Path, change: Change, text: str, wider: bool = True) -> dict:
    """What came of one change, in a copy that is put right afterwards."""
    path = folder / "stn_course" / change.file
    before, start = path.read_text(encoding="utf-8"), time.monotonic()
    chosen = (nearest(change.file), WIDER[change.file.partition("/")[0]])
    for tests in chosen if wider else chosen[:1]:
        if not pass_unchanged(folder, tests):
            said = (folder / "said").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"without any change {tests} do not pass:\n{said}")
        path.write_text(text, encoding="utf-8")
        try:
            result = ended(folder, tests)
        finally:
            path.write_text(before, encoding="utf-8")
        if result != "passed":
            break
    pairs = zip(before.splitlines(), text.splitlines(), strict=False)
    new = next((b.strip() for a, b in pairs if a != b), "")
    return {
        **change._asdict(),
        "old": before.splitlines()[change.line - 1].strip(),
        "new": new,
        "result": result,
        "tests": tests,
        "seconds": round(time.monotonic() - start),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help=f"(default: {[*WIDER]})")
    parser.add_argument("--number", type=int, default=30, help="of each package (default: 30)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nearest", action="store_true", help="meet no others but these")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "mutants.jsonl")
    asked = parser.parse_args(argv)
    if unknown := set(asked.packages) - set(WIDER):
        parser.error(f"unknown: {sorted(unknown)}; there are {[*WIDER]}")
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    lines = asked.out.read_text(encoding="utf-8").splitlines() if asked.out.exists() else []
    done = {tuple(each[k] for k in Change._fields): each for each in map(json.loads, lines)}
    found = []
    with copied() as folder:
        for package in asked.packages or WIDER:
            drawn = 0
            for change in changes(package, random.Random(f"{asked.seed} {package}")):
                if drawn == asked.number:
                    break
                if (text := changed(change)) is None:
                    continue
                drawn += 1
                made = done.get(tuple(change)) or tried(folder, change, text, not asked.nearest)
                found.append(made)
                if tuple(change) not in done:
                    with open(asked.out, "a", encoding="utf-8") as out:
                        out.write(json.dumps(made) + "\n")
                    print(f"{made['result']:<7}{made['seconds']:4} s  {change}", flush=True)
    for each in (each for each in found if each["result"] == "passed"):
        print(f"SURVIVED {each['file']}:{each['line']}\n  - {each['old']}\n  + {each['new']}")
    survived = sum(each["result"] == "passed" for each in found)
    print(f"{len(found)} changes, {survived} survived")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
