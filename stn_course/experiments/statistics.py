"""Numbers over seeds: mean and deviation, intervals, differences seed by seed; and in words."""

import math
from collections.abc import Sequence
from pathlib import Path

from stn_course.experiments.records import load
from stn_course.extras import needs


def mean_sd(values: list[float]) -> tuple[float, float, int]:
    """Mean, sample standard deviation (nan below two values) and n."""
    n = len(values)
    if n == 0:
        raise ValueError("values is empty; wanted at least one number")
    mean = math.fsum(values) / n
    sd = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1)) if n > 1 else math.nan
    return mean, sd, n


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of its 95 % t interval; 0 for a single value, which has none."""
    mean, sd, n = mean_sd(list(values))
    if n < 2:
        return mean, 0.0
    with needs("course"):
        from scipy import stats  # not on every machine that trains

    return mean, float(stats.t.ppf(0.975, n - 1)) * sd / n**0.5


def accuracy(experiment: str, which: str, folder: Path | None = None) -> tuple[float, float, int]:
    """Mean accuracy in percent, standard deviation over seeds, number of seeds."""
    runs = load(experiment, folder)
    if not runs:
        raise LookupError(f"experiment={experiment!r} has no record; make it with `stn-course run`")
    return mean_sd([r.accuracy(which) for r in runs])


def paired_difference(a: list[float], b: list[float]) -> tuple[float, float]:
    """Mean of b - a over paired seeds, and the half width of its 95 % t interval."""
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"a and b hold {len(a)} and {len(b)} values; wanted pairs, at least two")
    return interval([y - x for x, y in zip(a, b, strict=True)])


def difference(a: list[float], b: list[float]) -> tuple[float, float]:
    """Mean of b less mean of a, and the half width of Welch's 95 % interval: nothing is paired.

    ValueError unless both have at least two values that differ.
    """
    with needs("course"):
        from scipy import stats  # not on every machine that trains

    for name, values in (("a", a), ("b", b)):
        if len(set(values)) < 2:
            raise ValueError(f"{name}={values}; wanted at least two values that differ")
    low, high = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    return float(low + high) / 2, float(high - low) / 2


def test_set_interval(correct: float, total: int) -> tuple[float, float]:
    """95 % of what another test set of `total` pictures might say, in percent (Wilson 1927).

    `correct`: how many were right, of several networks their mean. Seeds are another source of
    noise, which is not in it. Raises ValueError unless 0 <= `correct` <= `total` and `total` > 0.
    """
    if not 0 <= correct <= total or total < 1:
        raise ValueError(f"correct={correct} of total={total}; wanted 0 to total, of at least 1")
    z, p = 1.959964, correct / total
    centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    return 100 * max(0.0, centre - half), 100 * min(1.0, centre + half)


NOT_YET = "not yet run"


def mean_sd_text(values: list[float], unit: str = " %") -> str:
    """`97.12 ± 0.08 %`; one value alone has no ±, none at all is `not yet run`."""
    if not values:
        return NOT_YET
    mean, sd, n = mean_sd(values)
    return f"{mean:.2f} ± {sd:.2f}{unit}" if n > 1 else f"{mean:.2f}{unit} (one seed)"


# ---------------------------------------------------------------- runs beside each other
BySeed = dict[int, float]


def by_seed(name: str, which: str, folder: Path | None = None) -> BySeed:
    """Accuracy in percent of each seed; none where the experiment has no record yet."""
    return {run.seed: run.accuracy(which) for run in load(name, folder)}


def in_both(a: BySeed, b: BySeed) -> tuple[list[float], list[float]]:
    """The values of the seeds that both have, in one order: what may be paired."""
    shared = sorted(a.keys() & b.keys())
    return [a[seed] for seed in shared], [b[seed] for seed in shared]


FEWEST = 3  # seeds that both have, below which a difference is not judged


def too_few(n: int) -> str:
    """Why `n` seeds that two runs share do not allow a verdict."""
    return f"too few seeds, {n} of at least {FEWEST}" if n else NOT_YET


def difference_in_words(name: str, a: BySeed, b: BySeed) -> str:
    """What the seeds that both have say of b against a, in words, whatever it is."""
    first, second = in_both(a, b)
    if len(first) < FEWEST:
        return f"- {name}: {too_few(len(first))}"
    mean, half = paired_difference(first, second)
    verdict = "no measurable difference"
    if abs(mean) > half:
        verdict = "it helps" if mean > 0 else "it hurts"
    return f"- {name}: {mean:+.2f} ± {half:.2f} points over {len(first)} seeds, {verdict}"


def mean_in_words(name: str, values: BySeed) -> str:
    """The mean over the seeds and its 95 % t interval, in words; of one seed there is none."""
    n = len(values)
    if n < 2:
        return f"- {name}: {'one seed, so no interval' if n else NOT_YET}"
    mean, half = paired_difference([0.0] * n, list(values.values()))
    return f"- {name}: {mean:.2f} ± {half:.2f} % over {n} seeds"
