"""The scoreboard: published numbers beside ours, which are computed from run records alone.

What a row is, and all of them, stand in `published`.
"""

from pathlib import Path

from stn_course.experiments import records
from stn_course.experiments.published import ROWS, SOURCES
from stn_course.experiments.published.changes import CHANGED
from stn_course.experiments.published.terms import budget, of_runs, unlike
from stn_course.experiments.statistics import mean_sd, mean_sd_text, test_set_interval


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
