"""Command lines and calls that nobody thought of, by Hypothesis."""

import argparse
import random
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from stn_course.cli.main import build_parser
from stn_course.data import whole_picture
from stn_course.sampling import fused, reference
from tools.torture import verbs
from tools.torture.children import Child
from tools.torture.parts import Fallen, _crashed
from tools.torture.verbs import VERBS

NUMBERS = "0 1 -1 2 7 1e30 1e300 -0.5 nan inf -inf 9999999999999999999999 0x10 1_0 ٣ ".split(" ")
WORDS = (
    'fc stn-small nope clean mild hard sequences sample é $_$ -- --- {} [] {"width":0} null '
    "localiser classifier tiny S1".split()
)
PATHS = ". .. run run/ none/there /dev/null /dev/full /proc/1/x a.npz a.jsonl \x07.npz".split(" ")
# What a command cannot do without stands first; what would take long, or leave the folder, is
# settled by what comes last.
FIRST = {
    "train": ["--model=fc", "--out=there"],
    "test": ["run"],
    "predict": ["run", "one.png"],
    "export": ["run", "--format=safetensors"],
    "run": ["tiny"],
}
LAST = {
    "train": ["--limit=20", "--limit-measured=20", "--epochs=1"],
    "test": ["--limit=20"],
    "run": ["--plan"],
    "figures": ["S1"],
    "export-web": ["--out=none"],
}
ALWAYS = ("export-web",)  # it would write into this checkout
SHORT = 20.0  # seconds; only what reads few digits must have ended then


def flags() -> dict[str, dict[str, argparse.Action]]:
    """Each command of the real parser and its flags."""
    found, parser = {}, build_parser()
    commands = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    for name, sub in commands.choices.items():
        parts = [sub]
        for action in sub._actions:
            if isinstance(action, argparse._SubParsersAction):
                parts += action.choices.values()
        found[name] = {f: a for p in parts for f, a in p._option_string_actions.items()}
        found[name] = {f: a for f, a in found[name].items() if f not in ("-h", "--help")}
    return found


def _line(command: str, words: list[str], short: bool, action: str) -> list[str]:
    first = [action] if command == "records" else FIRST.get(command, [])
    last = LAST.get(command, []) if short or command in ALWAYS else []
    return [command, *first, *words, *last]


@st.composite
def command_lines(draw, known: dict) -> list[str]:
    command = draw(st.sampled_from([*known, "nope"]))
    of = known.get(command, {"--help": None, "--version": None})
    words = []
    for _ in range(draw(st.integers(0, 5))):
        flag = draw(st.sampled_from([*of]))
        right = [str(each) for each in getattr(of[flag], "choices", None) or ()]
        said = draw(st.sampled_from([*NUMBERS, *WORDS, *PATHS, *known, *right]))
        words += draw(st.sampled_from([[flag], [flag, said], [f"{flag}={said}"], [said]]))
    return _line(
        command, words, draw(st.booleans()), draw(st.sampled_from(["check", "import", "x"]))
    )


def each_flag(known: dict, chance: random.Random) -> Iterator[list[str]]:
    """Each flag of each command once, with a value that may be right."""
    for command, of in known.items():
        for flag, action in of.items():
            values = [str(each) for each in action.choices or [*NUMBERS, *WORDS, *PATHS]]
            words = [flag] if action.nargs == 0 else [flag, chance.choice(values)]
            yield _line(command, words, True, "check" if flag == "--every-seed" else "import")


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
    """Each flag once, then any words: a code of 0, 1 or 2 within the time, and no traceback."""
    from PIL import Image

    place, kept, known = folder / "place", folder / "kept", flags()
    verbs.wanted(VERBS["train"], place)
    Image.new("L", (28, 28), 9).save(place / "one.png")
    shutil.copytree(place / "run", kept)
    for words in [*each_flag(known, chance), *drawn(command_lines(known), times, chance)]:
        if any("\0" in word for word in words):
            continue
        child, short = Child(words, place), LAST.get(words[0], ["\0"])[-1] in words
        ended = child.wait() if short else child.wait(SHORT)
        fell = None if ended.code is None and not short else _crashed(ended)
        if not fell and ended.code not in (0, 1, 2, None):
            fell = f"ended with {ended.code}"
        if child.left_over():
            fell = fell or "its processes live on"
        yield f"{words}: {fell}" if fell else None
        for made in ("there", "run"):
            shutil.rmtree(place / made, ignore_errors=True)
        shutil.copytree(kept, place / "run")


@st.composite
def warps(draw) -> tuple[tuple, dict]:
    """Arguments of `warp`, most of them right."""

    def mostly(right, *others):
        return draw(st.one_of(st.just(right), st.just(right), st.just(right), *others))

    side, number = st.integers(0, 6), draw(st.integers(0, 2**31))
    g = torch.Generator().manual_seed(number)
    batch, channels = draw(st.integers(0, 3)), draw(st.sampled_from([0, 1, 2, 3, 16, 35]))
    shape = mostly([batch, channels, 4, 5], st.lists(side, max_size=5))
    images = torch.rand(shape, generator=g)
    kinds = ([2, 3], [3, 3], [4, 2], [9, 2], [2, 3, 2], [7, 4])
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
        "antialias": mostly(False, st.just(True)),
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
            if options["padding"] == "reflection" and (transform.abs() > 2).any():
                b = a  # a mirrored place far away lies where rounding says
            coarse = {torch.float16: 2e-3, torch.bfloat16: 2e-2}.get(a.dtype, 2e-4)
            scale = max(1.0, a.double().abs().max().item() if a.numel() else 0.0)
            scale *= 1 + transform.abs().max().item() * 1e-2 if transform.numel() else 1
            a, b = a.double(), b.double()
            near = near and torch.allclose(a, b, rtol=0, atol=coarse * scale)
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
