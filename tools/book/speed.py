"""The page of how fast the warp is beside its peers: a table and a chart from records of speed."""

import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from stn_course.analysis import run_plots
from stn_course.experiments.speed import Speed, length
from tools.book.pages import table

TARGET = 13
NAME = re.compile(r"(?P<kind>.+?), (?P<size>\d+ x .+?), beside (?P<peer>.+), (?P<threads>\d+) thr")
FLOOR, THEIRS = "floor", "theirs"
MARKS = "osD^vPX*"


def told(record: Speed) -> dict[str, str]:
    """What a line of `benchmarks.peers` is of: kind, size, peer and threads."""
    found = NAME.match(record.name)
    if not found:
        raise ValueError(f"{record.name!r} is no line of the peers' benchmark")
    return found.groupdict()


def tables(records: Sequence[Speed]) -> dict[tuple[str, str], list[Speed]]:
    """The records of target 13 by (machine, threads), in the order in which they were measured."""
    found: dict[tuple[str, str], list[Speed]] = {}
    for record in records:
        if record.target == TARGET:
            found.setdefault((record.device, told(record)["threads"]), []).append(record)
    return {key: sorted(found[key], key=_order) for key in sorted(found)}


def _order(record: Speed) -> tuple:
    """Small pictures first, then by what goes in and the peer."""
    batch, channels, h, w = map(int, re.match(r"(\d+) x (\d+)x(\d+)x(\d+)", _size(record)).groups())
    return told(record)["kind"] == FLOOR, h * w, channels, _size(record), told(record)["kind"]


def _size(record: Speed) -> str:
    return told(record)["size"]


def verdict(record: Speed) -> str:
    """Who is quicker, as far as the interval tells."""
    if record.verdict in ("void", "not measured"):
        return "void: the machine was busy" if record.verdict == "void" else "not installed"
    if record.low > 1:
        return "ours"
    return THEIRS if record.high < 1 else "no difference"


def page(records: Sequence[Speed], folder: Path) -> str:
    """A section for each machine and number of threads; says so where nothing was measured.

    Their charts are written to `folder`.
    """
    from matplotlib import rc_context

    parts = []
    for k, ((machine, threads), lines) in enumerate(tables(records).items()):
        parts.append(f"## {machine}, {threads} thread{'s' if threads != '1' else ''}\n")
        with rc_context({"svg.fonttype": "none"}):  # as outlines words weigh 100 kB
            run_plots.save(chart(lines), folder / f"speed-{k}.svg")
        alt = "Each peer's time by ours, a row for each size; the numbers are in the table below."
        parts.append(f"```{{image}} generated/speed-{k}.svg\n:alt: {alt}\n```\n")
        rows = [_row(one) for one in lines if told(one)["kind"] != FLOOR]
        head = ["what", "pictures", "peer", "ours", "theirs by ours", "quicker"]
        made = table(head, rows, "scores speeds")
        parts.append(made.replace(f">{THEIRS}<", f"><strong>{THEIRS}</strong><"))
        floors = [one for one in lines if told(one)["kind"] == FLOOR and one.ours]
        head = ["pictures", "ours, into old memory", "a copy of the output", "times the copy"]
        parts.append(table(head, [_above(one) for one in floors], "scores speeds"))
    return "\n".join(parts) or "Not yet run: `python -m benchmarks.peers --save`.\n"


def _row(record: Speed) -> list[str]:
    of = told(record)
    if record.ratio is None or record.verdict == "void":
        times = [length(record.ours) if record.ours else "-", "-"]
    else:
        ratio = f"{record.ratio:.2f} ({record.low:.2f} to {record.high:.2f})"
        times = [length(record.ours), ratio]
    return [of["kind"], of["size"], of["peer"], *times, verdict(record)]


def _above(record: Speed) -> list[str]:
    times = f"{1 / record.ratio:.1f}"
    return [_size(record), length(record.ours), length(record.peer), times]


def chart(lines: Sequence[Speed]) -> Figure:
    """How many times ours each peer takes, a row for each size, with its 95 % interval."""
    import matplotlib.pyplot as plt

    shown = [one for one in lines if one.ratio and one.verdict != "void" and _is_race(one)]
    labels = list(dict.fromkeys(f"{told(one)['kind']}: {_size(one)}" for one in shown))
    peers = list(dict.fromkeys(told(one)["peer"] for one in shown))
    fig, ax = plt.subplots(figsize=(7, 1.2 + 0.3 * len(labels)))
    for k, peer in enumerate(peers):
        its = [one for one in shown if told(one)["peer"] == peer]
        y = [labels.index(f"{told(one)['kind']}: {_size(one)}") for one in its]
        reach = [[one.ratio - one.low for one in its], [one.high - one.ratio for one in its]]
        mark = MARKS[k % len(MARKS)]
        ax.errorbar([one.ratio for one in its], y, xerr=reach, fmt=mark, ms=5, label=peer)
    ax.axvline(1, color="0.3", lw=1)
    ax.set(xscale="log", xlabel="times as long as ours (left of 1: quicker than ours)")
    ax.set_yticks(range(len(labels)), labels, fontsize=8)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2)
    return fig


def _is_race(record: Speed) -> bool:
    return told(record)["kind"] != FLOOR
