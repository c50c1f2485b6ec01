"""Numbers in prose: marked where they stand by where they come from, and compared with it.

A marked number is written between two comments, which neither JupyterLab nor the book shows:

    The CNN reads <!-- record: cnn-clean test/clean -->98.7 %<!-- / --> of them.

What the mark may ask for, always over all seeds of the experiment, or of one (NAME/SEED):

    NAME SPLIT                  mean accuracy in percent, e.g. cnn-clean test/clean
    NAME SPLIT error            100 minus that; also: sd, n (seeds), correct, total (summed)
    NAME - OTHER SPLIT          difference of the two mean accuracies, in points
    NAME parameters             also: seconds, minutes (mean)
    NAME at MOTION VALUE        accuracy in percent under that motion, e.g. cnn at angle 45;
                                with - OTHER at its end the difference, in points
    NAME probe KEY [KEY ...]    mean of a probe; keys and list places as in the record

The text between the comments holds one number; it is compared at the decimals it is written with.
Three other kinds of mark hold what no record gives:

    <!-- cited: KEY -->98.87 %<!-- / -->     somebody else published it
    <!-- live -->two seconds<!-- / -->       a cell on the page says it, on this machine, just now;
                                             the paragraph must say so, in words of `JUST_NOW`
    <!-- exact: WHY -->one in ten<!-- / -->  no measurement: a setting, arithmetic, an example

A share, a time, a gain or a factor that carries no mark is an error: it came from somewhere.
"""

import math
import re
from pathlib import Path

from stn_course.experiments import records, statistics
from stn_course.training.record import RunRecord

KINDS = "record|cited|live|exact"
MARK = re.compile(rf"<!--\s*({KINDS})\b:?\s*(.*?)\s*-->(.*?)<!--\s*/\s*-->", re.DOTALL)
OPENING = re.compile(rf"<!--\s*(?:{KINDS})\b")
NUMBER = re.compile(r"[-\u2212]?\d[\d, \u00a0\u2009\u202f]*(?:\.\d+)?")
CODE = re.compile(r"```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$", re.DOTALL)
JUST_NOW = re.compile(r"\b(?:just now|your run|(?:this|the) page|your machine|this machine|live)\b")

_WORDS = (
    "half one two three four five six seven eight nine ten eleven twelve fifteen twenty thirty "
    "forty fifty sixty some"
)
_WORD = "|".join(_WORDS.split())
_SPACE = r"[\s\u00a0\u2009\u202f]"
_COUNT = rf"(?:(?:\d[\d,]*(?:\.\d+)?|\.\d+){_SPACE}?|(?:{_WORD}){_SPACE}(?:a )?)"
_UNIT = "|".join(
    (
        r"%|percent|per cent",
        r"(?:ms|µs|s|min|h)\b|(?:second|minute|hour)s?\b",
        r"points\b|point (?:better|behind|worse|more|less)",
        r"times (?:as|faster|slower|fewer|further)\b",
        rf"(?:(?:digits?|of the \w+) )?in (?:(?:a|one|{_WORD}) )?(?:hundred|thousand|{_WORD})\b",
    )
)
LOOSE = re.compile(rf"(?<![\w.]){_COUNT}(?:{_UNIT})", re.IGNORECASE)
# What is no result: a notebook's header, an exercise's, the confidence of an interval, a chance.
KNOWN = re.compile(
    r"\*\*Time\*\*[^*\n]*|\*\*Runs in\*\*[^*\n]*|\*Difficulty[^*\n]*\*|95 % intervals?"
    r"|(?:three|[Ff]our) points(?: of src| lie|,| knows| to H)|chance is \d+ %"
)


def problems(text: str, folder: Path | None = None) -> list[str]:
    """Everything wrong with the numbers in one markdown text, in words."""
    text = CODE.sub(" ", text)
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        for kind, asked, written in MARK.findall(paragraph):
            found += _wrong(kind, asked, written, paragraph, folder)
    if len(OPENING.findall(text)) != len(MARK.findall(text)):
        found.append("a mark is not closed by <!-- / -->")
    loose = LOOSE.findall(KNOWN.sub(" ", MARK.sub(" ", text)))
    return found + [f"{number!r} carries no mark (record, cited, live, exact)" for number in loose]


def _wrong(kind: str, asked: str, written: str, paragraph: str, folder: Path | None) -> list[str]:
    """What is wrong with one mark."""
    if kind == "live":
        told = JUST_NOW.search(MARK.sub(r"\3", paragraph))
        return [] if told else [f"{written!r} is live, and its paragraph does not say so"]
    if kind in ("cited", "exact"):
        missing = "from where" if kind == "cited" else "why"
        return [] if asked else [f"{written!r} is {kind} without saying {missing}"]
    try:
        value = resolve(asked, folder)
    except (LookupError, TypeError, ValueError) as error:
        return [f"record: {asked}: {error.args[0] if error.args else error}"]
    return [f"record: {asked}: {line}" for line in compare(written, value)]


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
    runs = _runs(name, folder)
    match rest:
        case ["-", other, split]:
            return _mean(runs, split) - statistics.accuracy(other, split, folder)[0]
        case ["parameters" | "seconds" as field]:
            return math.fsum(getattr(run, field) for run in runs) / len(runs)
        case ["minutes"]:
            return math.fsum(run.seconds for run in runs) / len(runs) / 60
        case ["at", motion, value]:
            return _moved(runs, motion, value)
        case ["at", motion, value, "-", other]:
            return _moved(runs, motion, value) - _moved(_runs(other, folder), motion, value)
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


def _runs(name: str, folder: Path | None) -> list[RunRecord]:
    """The records of NAME, or that of NAME/SEED alone; LookupError where there is none."""
    name, _, seed = name.partition("/")
    runs = [r for r in records.load(name, folder) if seed in ("", str(r.seed))]
    if not runs:
        raise LookupError(f"{name}{'/' + seed if seed else ''} has no record")
    return runs


def _mean(runs: list[RunRecord], split: str) -> float:
    return statistics.mean_sd([run.accuracy(split) for run in runs])[0]


def _moved(runs: list[RunRecord], motion: str, value: str) -> float:
    """Mean accuracy in percent of digits under a motion of `value`."""
    shares = []
    for probe in (run.probes[motion] for run in runs):
        if float(value) not in probe["values"]:
            raise LookupError(f"{motion} {value} was not measured; {probe['values']} were")
        correct = probe["correct"][probe["values"].index(float(value))]
        shares.append(100 * correct / probe["total"])
    return math.fsum(shares) / len(shares)


def _probe(run: RunRecord, keys: list[str]) -> float:
    found = run.probes
    for key in keys:
        found = found[int(key)] if isinstance(found, list) else found[key]
    return float(found)
