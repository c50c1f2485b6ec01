"""Command lines and calls that nobody thought of, by Hypothesis; and the C program under guard."""

import os
import random
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from stn_course.data import whole_picture
from stn_course.sampling import fused, reference
from tools.torture.children import Child
from tools.torture.parts import Fallen, _crashed
from tools.torture.verbs import ROOT

NUMBERS = "0 1 -1 2 7 1e30 1e300 -0.5 nan inf -inf 9999999999999999999999 0x10 1_0 ٣ ".split(" ")
WORDS = (
    'fc stn-small nope clean r hard sequences sample é $_$ -- --- {} [] {"width":0} null'.split()
)
PATHS = ". .. run run/ none/there /dev/null /dev/full /proc/1/x a.npz a.jsonl \x07.npz".split(" ")
FLAGS = {
    "train": "model options train-on limit data frozen with-clean augment tests epochs "
    "batch-size lr lr-localiser optimizer momentum weight-decay epsilon schedule "
    "precision pose-weight clip patience seed device out resume save-every "
    "keep-every log-every threads experiment",
    "test": "split out checkpoint all-checkpoints images limit device threads",
    "data": "draw split seed out threads",
    "run": "seeds out weights allow-sample jobs parallel-runs cluster plan list again",
    "records": "again every-seed",
    "table": "format",
    "figures": "out",
    "predict": "fit out device",
    "export": "format out",
}
# What would take long, or leave the folder, is settled by what comes last.
LAST = {"train": ["--limit=20", "--epochs=1"], "run": ["tiny", "--plan"], "figures": ["S1"]}


@st.composite
def command_lines(draw) -> list[str]:
    command = draw(st.sampled_from([*FLAGS, "nope", ""]))
    value = st.sampled_from([*NUMBERS, *WORDS, *PATHS, *FLAGS])
    flags = st.sampled_from(FLAGS.get(command, "help version").split())
    words = []
    for _ in range(draw(st.integers(0, 5))):
        flag, said = f"--{draw(flags)}", draw(value)
        words += draw(st.sampled_from([[flag], [flag, said], [f"{flag}={said}"], [said]]))
    return [command, *words, *(LAST.get(command, []) if draw(st.booleans()) else [])]


def drawn(strategy, times: int, chance: random.Random) -> Iterator:
    """`times` examples, the same of the same seed; no shrinking: what fell is shown as it is."""
    found = []
    options = {"database": None, "deadline": None, "phases": [Phase.generate]}

    @seed(chance.randrange(2**32))
    @settings(max_examples=times, suppress_health_check=list(HealthCheck), **options)
    @given(strategy)
    def take(example):
        found.append(example)

    take()
    yield from found


def command_line(times: int, chance: random.Random, folder: Path) -> Fallen:
    """Any words: an exit code of 0, 1 or 2 within the time, and no traceback."""
    for words in drawn(command_lines(), times, chance):
        if any("\0" in word for word in words):
            continue
        child = Child(words, folder)
        ended = child.wait(20.0)
        fell = None if ended.code is None and "--limit=20" not in words else _crashed(ended)
        if not fell and ended.code not in (0, 1, 2, None):
            fell = f"exit code {ended.code}"
        yield f"{' '.join(map(repr, words))}: {fell}" if fell else None


@st.composite
def warps(draw) -> tuple[tuple, dict]:
    """Arguments of `warp`, most of them right."""

    def mostly(right, *others):
        return draw(st.one_of(st.just(right), st.just(right), st.just(right), *others))

    side, number = st.integers(0, 6), draw(st.integers(0, 2**31))
    g = torch.Generator().manual_seed(number)
    batch, channels = draw(st.integers(0, 3)), draw(st.integers(0, 2))
    shape = mostly([batch, channels, 4, 5], st.lists(side, max_size=5))
    images = torch.rand(shape, generator=g)
    kinds = ([2, 3], [3, 3], [4, 2], [9, 2], [2, 3, 2])
    of = mostly(draw(st.sampled_from(kinds)), st.lists(side, max_size=4))
    spread = 10.0 ** draw(st.integers(-2, 2)) if draw(st.booleans()) else 0.3
    transform = torch.randn([mostly(batch, side), *of], generator=g) * spread
    bad = st.sampled_from([float("nan"), float("inf"), 1e35, -3e38])
    if transform.numel() and draw(st.integers(0, 9)) == 0:
        transform.flatten()[draw(st.integers(0, transform.numel() - 1))] = draw(bad)
    types = st.sampled_from([torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool])
    images = images.to(mostly(torch.float32, types))
    transform = transform.to(mostly(torch.float32, types))
    fills = st.one_of(bad, st.sampled_from(["x", True, 10**400, 1e39]), st.floats(-2, 2))
    options = {
        "size": mostly((3, 4), st.none(), st.tuples(side, side), st.just(7)),
        "padding": mostly(draw(st.sampled_from(reference.PADDINGS)), st.just("reflect")),
        "fill": draw(st.one_of(st.none(), st.none(), fills)),
        "align_corners": draw(st.booleans()),
        "mode": mostly("bilinear", st.just("nearest"), st.just("cubic")),
    }
    return (images, transform), options


def calls(times: int, chance: random.Random, folder: Path) -> Fallen:
    """Both warps answer any call alike: with one picture, to 2e-4 of its levels, or not at all.

    In the same words where one thing is wrong: tests have that. Which of several is named is free.
    """
    warnings.simplefilter("ignore")
    for (images, transform), options in drawn(warps(), times, chance):
        answers = []
        for warp in (reference.warp, fused.warp):
            try:
                answers.append(warp(images, transform, **options))
            except (TypeError, ValueError) as error:
                answers.append(f"{type(error).__name__}: {error}")
            except Exception as error:
                answers.append(error)
        a, b = answers
        where = f"{list(images.shape)} {images.dtype} {list(transform.shape)} {transform.dtype}"
        if any(isinstance(each, Exception) for each in answers):
            yield f"{where} {options}: {a!r} and {b!r}"
        elif isinstance(a, str) or isinstance(b, str):
            both = isinstance(a, str) and isinstance(b, str)
            yield None if both else f"{where} {options}: {a} and {b}"
        else:
            near = a.shape == b.shape and a.dtype == b.dtype
            coarse = {torch.float16: 2e-3, torch.bfloat16: 2e-2}.get(a.dtype, 2e-4)
            scale = max(1.0, a.abs().max().item() if a.numel() else 0.0)
            scale *= 1 + transform.abs().max().item() * 1e-2 if transform.numel() else 1
            near = near and torch.allclose(a.double(), b.double(), rtol=0, atol=coarse * scale)
            yield None if near else f"{where} {options}: they differ by {(a - b).abs().max()}"


def pictures(times: int, chance: random.Random, folder: Path) -> Fallen:
    """Spoilt files of eight kinds are read, or refused with their name."""
    from PIL import Image

    warnings.simplefilter("ignore")
    kinds = ("png", "jpg", "gif", "tif", "bmp", "webp", "pgm", "ico")
    whole = {}
    for kind in kinds:
        pixels = bytes(chance.randrange(256) for _ in range(48 * 48))
        Image.frombytes("L", (48, 48), pixels).save(folder / f"x.{kind}")
        whole[kind] = (folder / f"x.{kind}").read_bytes()
    for k in range(times):
        kind = kinds[k % len(kinds)]
        data = bytearray(whole[kind])
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(min(len(data), 400))] = chance.randrange(256)
        path = folder / f"x.{kind}"
        path.write_bytes(data[: chance.choice([len(data), chance.randrange(len(data))])])
        try:
            whole_picture(path, chance.choice([1, 3]), (28, 28))
        except ValueError as error:
            yield None if str(error).startswith(str(path)) else f"{kind}: {error}"
        except Exception as error:
            yield f"{kind}: {error!r}"
        else:
            yield None


def c_program(times: int, chance: random.Random, folder: Path) -> Fallen:
    """The warp's tests, its library compiled with the sanitizers of addresses and behaviour."""
    cc = shutil.which("gcc")
    asan = cc and subprocess.run(
        [cc, "-print-file-name=libasan.so"], capture_output=True, text=True
    )
    if not asan or not Path(asan.stdout.strip()).is_absolute():
        raise FileNotFoundError("NO gcc WITH libasan: the C program was not tried under guard")
    checks = "-fsanitize=address,undefined -fno-sanitize-recover=undefined"
    own = {"CC": f"{cc} -g {checks}", "STN_COURSE_CACHE": str(folder / "cache")}
    own |= {"LD_PRELOAD": asan.stdout.strip(), "PYTHONMALLOC": "malloc", "OMP_NUM_THREADS": "2"}
    own |= {"ASAN_OPTIONS": "detect_leaks=0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    tests = ["test_random_cases", "test_positions", "background", "tile", "out", "far", "large"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k"]
    done = subprocess.run(
        [*command, " or ".join(tests[: max(1, times)])]
        + ["tests/sampling/test_fused.py", "tests/sampling/test_tiles.py"],
        cwd=ROOT,
        env=os.environ | own,
        capture_output=True,
        text=True,
        timeout=900,
    )
    passed = re.search(r"(\d+) passed", done.stdout)
    for _ in range(int(passed[1]) if passed else 0):
        yield None
    if done.returncode:
        yield f"{done.stdout[-1500:]} {done.stderr[-1500:]}"
