"""The scoreboard: published numbers beside ours, which are computed from run records alone.

What a row is, and all of them, stand in `published`.
"""

from pathlib import Path
from typing import NamedTuple

from stn_course.experiments import records
from stn_course.experiments.published import ROWS, SOURCES
from stn_course.experiments.published.changes import CHANGED
from stn_course.experiments.published.terms import budget, of_runs, unlike
from stn_course.experiments.statistics import (
    interval,
    mean_sd,
    mean_sd_text,
    test_set_interval,
)


def rows(kind: str | None = None, folder: Path | None = None) -> list[dict]:
    """The scoreboard as dicts: row, task, variant, kind, source, published, theirs, where,
    target, measured, here, budget, unlike, changed, n, test, params and command.

    `measured` is `mean ± sd %` over n seeds, in the published number's own sense
    (accuracy, or error where that was published; with the loss where one was), or `not yet run`.
    `test` is the interval of its mean for a test set of that size, in the same sense. `theirs` and
    `here` are the terms on which the two numbers stand (`published.terms`), `unlike` where these
    differ, and `where` the place of the published one in its source. `changed` says what was
    changed of the experiment after a test set had been read. `kind` picks some.
    """
    table = []
    for row in ROWS:
        if kind not in (None, row.kind):
            continue
        runs = records.load(row.experiment, folder) if row.experiment else []
        error = row.published.endswith("error")
        here = of_runs(runs, row.which) if runs else None
        differs = unlike(row.theirs, here) if row.theirs and here else []
        values = [100 - r.accuracy(row.which) if error else r.accuracy(row.which) for r in runs]
        table.append(
            {
                "row": row.row,
                "task": row.task,
                "variant": row.variant,
                "kind": row.kind,
                "source": SOURCES[row.row],
                "published": row.published if error else _percent(row.published),
                "theirs": str(row.theirs or "-"),
                "where": row.theirs.where if row.theirs else "-",
                "target": _percent(row.target) if row.target else "-",
                "measured": mean_sd_text(values, " % error" if error else " %") + _loss(row, runs),
                "here": str(here or "-"),
                "budget": (budget(runs[0]) if runs else "") or "-",
                "unlike": ". ".join(differs) or "-",
                "changed": CHANGED.get(row.experiment, "-"),
                "n": len(runs),
                "test": _test_set([r.results[row.which] for r in runs], error),
                "params": f"{runs[0].parameters:,}".replace(",", " ") if runs else "-",
                "command": f"stn-course run {row.experiment}" if row.experiment else "-",
            }
        )
    return table


class Gap(NamedTuple):
    """Ours less the published number, in points of accuracy: more is better.

    `published` as its source has it. `seeds`: the 95 % interval for the mean over seeds, None of
    one seed; `test_set`: that for other pictures.
    """

    row: str
    task: str
    variant: str
    kind: str
    experiment: str
    published: float
    mean: float
    seeds: tuple[float, float] | None
    test_set: tuple[float, float]

    @property
    def verdict(self) -> str:
        """ "above", "below", or "level" where one of the intervals holds the published number."""
        reach = (*(self.seeds or ()), *self.test_set)
        return "above" if min(reach) > 0 else "below" if max(reach) < 0 else "level"


def gaps(folder: Path | None = None) -> list[Gap]:
    """Of each number that was measured, how far it is from the published one that it answers.

    Left out: those without a published number, and those of which it is a bound ("at most 86").
    """
    found = []
    for row in ROWS:
        runs = records.load(row.experiment, folder) if row.experiment else []
        number = published_number(row.published)
        if not runs or number is None or row.published.startswith("at most"):
            continue
        theirs = 100 - number if row.published.endswith("error") else number
        mean, half = interval([run.accuracy(row.which) for run in runs])
        results = [run.results[row.which] for run in runs]
        low, high = test_set_interval(
            sum(each["correct"] for each in results) / len(results), results[0]["total"]
        )
        seeds = (mean - half - theirs, mean + half - theirs) if len(runs) > 1 else None
        name = (row.row, row.task, row.variant, row.kind, row.experiment)
        test_set = (low - theirs, high - theirs)
        found.append(Gap(*name, number, mean - theirs, seeds, test_set))
    return found


def published_number(published: str) -> float | None:
    """The number in `96.46`, `2.9 % error`, `at most 86`; None in `none`, `75-93`.

    Of `94.34 (blog: 93.67)` the first.
    """
    words = published.removeprefix("at most ").split()
    try:
        return float(words[0])
    except ValueError:
        return None


def _loss(row, runs: list) -> str:
    """` (loss .0481)`, the mean over the runs, where the source tells a loss, too."""
    losses = [run.results[row.which].get("loss") for run in runs]
    if "(loss" not in row.published or not losses or None in losses:
        return ""
    return f" (loss {mean_sd(losses)[0]:.4f})".replace(" 0.", " .")


def _test_set(results: list[dict], error: bool) -> str:
    """`98.61 to 98.99 of 10 000`: what other test pictures, that many, might have said."""
    if not results:
        return "-"
    total = results[0]["total"]
    if any(each["total"] != total for each in results):
        raise ValueError(f"totals are {[r['total'] for r in results]}; wanted one test set")
    low, high = test_set_interval(sum(r["correct"] for r in results) / len(results), total)
    low, high = (100 - high, 100 - low) if error else (low, high)
    return f"{low:.2f} to {high:.2f} of {total:,}".replace(",", " ")


def _percent(published: str) -> str:
    return published if published == "none" or "%" in published else f"{published} %"
