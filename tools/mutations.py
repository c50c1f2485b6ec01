"""Small wrong changes, each of which its tests must notice.

    python -m tools.mutations                all of them, in a table; 1 if any survived
    python -m tools.mutations --list
    python -m tools.mutations seed batch     those whose name holds one of these words

Nothing is changed here: a change is made in a temporary copy and its tests run there, on the
sample of digits. First they must pass without it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("stn_course", "tests")  # the rest of the tree is linked to
SECONDS = 600  # for one run of tests; a change that makes them hang is noticed, too


class Mutation(NamedTuple):
    """`old`, found once in `file` of the package, becomes `new`; `tests` are what must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: str  # a file or folder, and after " -k " what pytest is to choose from it


GOLDEN = "tests/training/test_golden_sets.py"
LOOP = "tests/training/test_loop.py -k "
MUTATIONS = (
    # ---------------------------------------------------------------- what is drawn
    Mutation(
        "seed of a frozen training set moved by one",
        "training/datasets.py",
        "stream(FREEZE, seed)",
        "stream(FREEZE, seed + 1)",
        GOLDEN,
    ),
    Mutation(
        "seed within a frozen set moved by one",
        "data/recipes.py",
        "Generator().manual_seed(seed)\n    made,",
        "Generator().manual_seed(seed + 1)\n    made,",
        GOLDEN,
    ),
    Mutation(
        "frozen sets are drawn in other parts",
        "data/recipes.py",
        "batch: int = 2000",
        "batch: int = 1000",
        GOLDEN,
    ),
    Mutation(
        "one seed for the test sets of all splits",
        "training/datasets.py",
        '("train", "valid", "test").index(split)',
        "0",
        GOLDEN,
    ),
    Mutation(
        "order of batches independent of the seed",
        "training/run.py",
        "stream(ORDER, self.seed, epoch)",
        "stream(ORDER, epoch)",
        GOLDEN,
    ),
    Mutation(
        "order of batches the same in every epoch",
        "training/run.py",
        "stream(ORDER, self.seed, epoch)",
        "stream(ORDER, self.seed, 0)",
        GOLDEN,
    ),
    Mutation(
        "each step draws the same",
        "training/step.py",
        "self.generator.manual_seed(stream(STEP, self.seed, number))",
        "self.generator.manual_seed(stream(STEP, self.seed))",
        GOLDEN,
    ),
    Mutation(
        "clutter of the digit itself",
        "data/scenes.py",
        "(own + 1 + draw(",
        "(own + draw(",
        "tests/data/test_scenes.py",
    ),
    Mutation(
        "clutter of the row's own first digit",
        "data/clutter/fresh.py",
        "(first + 1 + draw(",
        "(first + draw(",
        "tests/data/test_fresh_clutter.py",
    ),
    Mutation(
        "a later patch goes under an earlier one",
        "data/clutter/dataset.py",
        "for k in range(ids.shape[1]):",
        "for k in reversed(range(ids.shape[1])):",
        "tests/data/test_clutter.py",
    ),
    Mutation(
        "the shear without its cosine",
        "data/distortions.py",
        "lean.cos() * zoom_y",
        "zoom_y",
        "tests/data/test_recipes.py",
    ),
    Mutation(
        "validation digits are the last that are trained on",
        "data/digits.py",
        '"valid": slice(50_000, 60_000)',
        '"valid": slice(40_000, 50_000)',
        "tests/data/test_digits.py",
    ),
    Mutation(
        "pictures lie as the camera lay",
        "data/pictures.py",
        "ImageOps.exif_transpose(found)",
        "found",
        "tests/data/test_pictures.py",
    ),
    Mutation(
        "the level that says transparent is one of 8 bits",
        "data/pictures.py",
        "levels[levels == clear] = 65535",
        "levels[levels / 257 == clear] = 65535",
        "tests/data/test_pictures.py",
    ),
    Mutation(
        "the first picture of an animation is the picture",
        "data/pictures.py",
        'if many > 1 and found.format != "MPO"',
        'if many > 2 and found.format != "MPO"',
        "tests/data/test_pictures.py",
    ),
    # ---------------------------------------------------------------- training
    Mutation(
        "a short last batch weighs as a full one in the training loss",
        "training/run.py",
        "self.loss.double() * len(index)",
        "self.loss.double() * self.config.batch_size",
        f"{LOOP}short_last_batch",
    ),
    Mutation(
        "a short last batch weighs as a full one in what is measured",
        "analysis/accuracy.py",
        ".item() * len(y)",
        ".item() * batch",
        "tests/analysis/test_accuracy.py",
    ),
    Mutation(
        "the loss of a row is the mean over its digits",
        "models/losses.py",
        'reduction="sum") / labels.shape[0]',
        'reduction="sum") / labels.numel()',
        "tests/models/test_losses.py",
    ),
    Mutation(
        "biases decay",
        "training/optimisation.py",
        "if each.ndim > 1]",
        "if each.ndim > 0]",
        f"{LOOP}decay",
    ),
    Mutation(
        "an epoch as good as the best is the best",
        "training/listeners.py",
        "if values.index(max(values)) == len(values) - 1:",
        "if values[-1] == max(values):",
        f"{LOOP}patience",
    ),
    # ---------------------------------------------------------------- geometry and sampling
    Mutation(
        "the horizon may touch a corner",
        "sampling/reference.py",
        "(corners > 0).all(1)",
        "(corners >= 0).all(1)",
        "tests/sampling/test_reference.py",
    ),
    Mutation(
        "a glimpse's box is that of its axes alone",
        "geometry/boxes.py",
        "theta[:, :, :2].abs().sum(2)",
        "theta[:, :, :2].abs().amax(2)",
        "tests/data/test_scenes.py",
    ),
    Mutation(
        "a determinant that is all rounding counts",
        "geometry/matrices.py",
        "8 * torch.finfo(m.dtype).eps * bound.detach()",
        "0 * bound.detach()",
        "tests/geometry",
    ),
    Mutation(
        "sides beyond what float32 can count are taken",
        "sampling/fused/__init__.py",
        "isinstance(n, int) and n > cpu.LARGEST",
        "isinstance(n, int) and n > 128 * cpu.LARGEST",
        "tests/sampling/test_tiles.py -k too_long",
    ),
    Mutation(
        "a tile may read further than 32 bits count",
        "sampling/fused/warp.c",
        "(a.direct ? INT32_MAX : WINDOW)",
        "(a.direct ? INT64_MAX : WINDOW)",
        "tests/sampling/test_tiles.py -k 2_to_31",
    ),
    Mutation(
        "transforms are taken up to 1e37",
        "sampling/fused/warp.c",
        "bad |= !(fabsf(c->transform[i]) < 1e30f);",
        "bad |= !(fabsf(c->transform[i]) < 1e37f);",
        "tests/sampling/test_fused.py -k too_large",
    ),
    Mutation(
        "no transform is refused for its horizon",
        "sampling/fused/warp.c",
        "if (ahead < 4 && behind < 4) return 1;",
        "(void)ahead, (void)behind;",
        "tests/sampling/test_fused.py -k refuse",
    ),
    Mutation(
        "an operator called by its name takes a transform of another batch",
        "sampling/fused/operator.py",
        "if not (matrix or points or grid) or shape[0] != batch:",
        "if not (matrix or points or grid):",
        "tests/sampling/test_fused.py -k operators_themselves",
    ),
    Mutation(
        "registration goes on into what made its targets",
        "lessons/place_and_tilt/registration.py",
        "widened(targets.detach())",
        "widened(targets)",
        "tests/lessons/place_and_tilt/test_registration.py -k no_part",
    ),
    # ---------------------------------------------------------------- what is told
    Mutation(
        "a deviation is divided by n",
        "experiments/statistics.py",
        "for v in values) / (n - 1))",
        "for v in values) / n)",
        "tests/experiments/test_records.py -k scipy",
    ),
    Mutation(
        "an interval of 95 % on one side",
        "experiments/statistics.py",
        "ppf(0.975, n - 1)",
        "ppf(0.95, n - 1)",
        "tests/experiments/test_tables.py",
    ),
    Mutation(
        "a shift moves half as far",
        "analysis/robustness.py",
        "_moved(images, shift=(2 * pixels / images.shape[-1], 0.0))",
        "_moved(images, shift=(pixels / images.shape[-1], 0.0))",
        "tests/analysis/test_robustness.py",
    ),
    Mutation(
        "seeds for TensorFlow do not fit its 32 bits",
        "keras_twin/training.py",
        "stream(*key) % 2**31",
        "stream(*key)",
        "tests/keras_twin/test_training.py -k same_seed",
    ),
)


class NotFoundOnce(ValueError):
    """The text that a mutation replaces is not in its file, or more than once."""


def mutate(source: str, mutation: Mutation) -> str:
    """`source` with the change. Raises NotFoundOnce where its old text is not there once."""
    found = source.count(mutation.old)
    if found != 1:
        raise NotFoundOnce(
            f"{mutation.name}: {mutation.old!r} is {found} times in {mutation.file}; wanted once"
        )
    return source.replace(mutation.old, mutation.new)


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the package and its tests, beside links to the rest of the tree."""
    with tempfile.TemporaryDirectory(prefix="mutations-") as name:
        folder = Path(name)
        for path in ROOT.iterdir():
            if path.name in COPIED:
                shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("*.pyc"))
            elif path.name not in (".git", "build"):
                (folder / path.name).symlink_to(path)
        yield folder


def environment(folder: Path) -> dict[str, str]:
    """That of tests in a copy: its package, the sample of digits, no plug-ins."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("STN_COURSE_")}
    own = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    own["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # they take longer to load than most tests
    return kept | own | {"STN_COURSE_OFFLINE": "1", "STN_COURSE_CACHE": str(folder / "cache")}


def passes(folder: Path, tests: str) -> bool:
    """Whether the tests pass in a copy. Raises RuntimeError where pytest could not run them."""
    where, _, words = tests.partition(" -k ")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", where]
    try:
        done = subprocess.run(
            [*command, *(["-k", words] if words else [])],
            cwd=folder,
            env=environment(folder),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode > 1:  # no such file, no such test; below 0: it crashed
        raise RuntimeError(f"pytest {tests} ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return done.returncode == 0


def survives(folder: Path, mutation: Mutation) -> bool:
    """Whether the tests of `mutation` pass with it, in a copy that is put right afterwards."""
    path = folder / "stn_course" / mutation.file
    before = path.read_text(encoding="utf-8")
    path.write_text(mutate(before, mutation), encoding="utf-8")
    try:
        return passes(folder, mutation.tests)
    finally:
        path.write_text(before, encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", help="parts of names; all where there is none")
    parser.add_argument("--list", action="store_true", help="name them and run nothing")
    asked = parser.parse_args(argv)
    chosen = [m for m in MUTATIONS if not asked.words or any(w in m.name for w in asked.words)]
    if not chosen:
        parser.error(f"no name holds any of {asked.words}")
    for each in chosen:  # before any work
        mutate((ROOT / "stn_course" / each.file).read_text(encoding="utf-8"), each)
    if asked.list:
        print(*(f"{each.name:<62} {each.file}" for each in chosen), sep="\n")
        return 0
    survivors = 0
    with copied() as folder:
        for tests in dict.fromkeys(each.tests for each in chosen):
            if not passes(folder, tests):
                print(f"FAILS without any change: {tests}")
                return 1
        for each in chosen:
            start = time.monotonic()
            alive = survives(folder, each)
            survivors += alive
            word = "SURVIVED" if alive else "killed"
            print(f"{word:<9}{time.monotonic() - start:4.0f} s  {each.name}", flush=True)
    print(f"{len(chosen)} changes, {survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
