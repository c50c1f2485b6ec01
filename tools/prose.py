"""Numbers in prose that come from records: marked where they stand, and compared.

A marked number is written between two comments, which neither JupyterLab nor the book shows:

    The CNN reads <!-- record: cnn-clean test/clean -->98.7 %<!-- / --> of them.

What the mark may ask for, always over all seeds of the experiment:

    NAME SPLIT                  mean accuracy in percent, e.g. cnn-clean test/clean
    NAME SPLIT error            100 minus that; also: sd, n (seeds), correct, total (summed)
    NAME - OTHER SPLIT          difference of the two mean accuracies, in points
    NAME parameters             also: seconds (mean)
    NAME probe KEY [KEY ...]    mean of a probe; keys and list places as in the record

A number that somebody else published carries `<!-- cited: KEY -->98.87 %<!-- / -->`. The text
between the comments holds one number; it is compared at the decimals it is written with. A
percentage with decimals that carries no mark is an error: it came from somewhere.
"""

import math
import re
from pathlib import Path

from stn_course.experiments import records, statistics
from stn_course.training.record import RunRecord

MARK = re.compile(r"<!--\s*(record|cited):\s*(.*?)\s*-->(.*?)<!--\s*/\s*-->", re.DOTALL)
OPENING = re.compile(r"<!--\s*(?:record|cited)\b")
NUMBER = re.compile(r"[-\u2212]?\d[\d, \u00a0\u2009\u202f]*(?:\.\d+)?")
CODE = re.compile(r"```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$", re.DOTALL)
PERCENTAGE = re.compile(r"\d+\.\d+[\s\u00a0\u2009\u202f]?(?:%|percent|per cent)")


def problems(text: str, folder: Path | None = None) -> list[str]:
    """Everything wrong with the numbers in one markdown text, in words."""
    text = CODE.sub(" ", text)
    found = []
    for kind, asked, written in MARK.findall(text):
        if kind == "cited":
            if not asked:
                found.append(f"{written!r} is cited without saying from where")
            continue
        try:
            value = resolve(asked, folder)
        except (LookupError, TypeError, ValueError) as error:
            found.append(f"record: {asked}: {error.args[0] if error.args else error}")
            continue
        found += [f"record: {asked}: {line}" for line in compare(written, value)]
    if len(OPENING.findall(text)) != len(MARK.findall(text)):
        found.append("a mark is not closed by <!-- / -->")
    loose = PERCENTAGE.findall(MARK.sub(" ", text))
    return found + [f"{number!r} carries no mark (record or cited)" for number in loose]


def compare(written: str, value: float) -> list[str]:
    """Does the one number in `written` equal `value` at the decimals written?"""
    numbers = [match.strip() for match in NUMBER.findall(written)]
    if len(numbers) != 1:
        return [f"{written!r} holds {len(numbers)} numbers; wanted one"]
    plain = re.sub(r"[, \u00a0\u2009\u202f]", "", numbers[0]).replace("\u2212", "-")
    decimals = len(plain.partition(".")[2])
    wanted = f"{value:.{decimals}f}"
    return [] if plain == wanted else [f"{numbers[0]} written, {wanted} in the records"]


def resolve(asked: str, folder: Path | None = None) -> float:
    """The number a mark asks for. Raises LookupError or ValueError, saying what is not there."""
    name, *rest = asked.split()
    runs = records.load(name, folder)
    if not runs:
        raise LookupError(f"{name} has no record")
    match rest:
        case ["-", other, split]:
            return _mean(runs, split) - statistics.accuracy(other, split, folder)[0]
        case ["parameters" | "seconds" as field]:
            return math.fsum(getattr(run, field) for run in runs) / len(runs)
        case ["probe", *keys] if keys:
            return math.fsum(_probe(run, keys) for run in runs) / len(runs)
        case [split]:
            return _mean(runs, split)
        case [split, "error"]:
            return 100.0 - _mean(runs, split)
        case [split, "sd"]:
            return statistics.mean_sd([run.accuracy(split) for run in runs])[1]
        case [_, "n"]:
            return len(runs)
        case [split, "correct" | "total" as field]:
            return sum(run.results[split][field] for run in runs)
    raise ValueError(f"{' '.join(rest)!r} asks for nothing that is known; see tools/prose.py")


def _mean(runs: list[RunRecord], split: str) -> float:
    return statistics.mean_sd([run.accuracy(split) for run in runs])[0]


def _probe(run: RunRecord, keys: list[str]) -> float:
    found = run.probes
    for key in keys:
        found = found[int(key)] if isinstance(found, list) else found[key]
    return float(found)
