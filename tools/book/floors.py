"""Where the time of steps and epochs goes, beside its floor: tables of the records of `floors`."""

from collections.abc import Sequence

from stn_course.experiments.speed import Speed, length
from tools.book.pages import table

TARGET, FLOOR = 14, "beside its floor"


def told(record: Speed) -> tuple[str, str, str]:
    """(network, part, threads) of a line of `benchmarks.floors`."""
    try:
        net, rest = record.name.split(": ")
        part, threads = rest.rsplit(", ", 1)
    except ValueError:
        raise ValueError(f"{record.name!r} is no line of the floors' benchmark") from None
    return net, part, threads


def page(records: Sequence[Speed]) -> str:
    """A table for each machine and number of threads; says so where nothing was measured."""
    places: dict[tuple[str, str], dict[str, dict[str, Speed]]] = {}
    for record in records:
        if record.target == TARGET:
            net, part, threads = told(record)
            nets = places.setdefault((record.device, threads), {})
            nets.setdefault(net, {})[part] = record
    parts = []
    for (machine, threads), nets in sorted(places.items()):
        parts.append(f"### {machine}, {threads}\n")
        parts.append(
            table(["a step of", "its time", "its floor", "times the floor"], _floors(nets))
        )
        kinds: dict[frozenset[str], dict[str, dict[str, Speed]]] = {}
        for net, lines in nets.items():  # what has the same parts shares a table
            kinds.setdefault(frozenset(lines), {})[net] = lines
        parts += map(_parts, kinds.values())
    return "\n".join(parts) or "Not yet run: `python -m benchmarks.floors --save`.\n"


def _floors(nets: dict[str, dict[str, Speed]]) -> list[list[str]]:
    rows = []
    for net, lines in nets.items():
        step = next(one for part, one in lines.items() if part.endswith(FLOOR))
        floor, times = f"{length(step.peer)}, {step.peer_name}", f"{1 / step.ratio:.1f}"
        rows.append([net, length(step.ours), floor, "busy" if step.verdict == "void" else times])
    return rows


def _parts(nets: dict[str, dict[str, Speed]]) -> str:
    """What each part of a step takes of it, in percent; the largest part first."""
    shares = {
        net: {
            part: 100 * one.ours / one.peer
            for part, one in lines.items()
            if not part.endswith(FLOOR)
        }
        for net, lines in nets.items()
    }
    names = {part for found in shares.values() for part in found}
    largest = sorted(names, key=lambda part: -max(f.get(part, 0) for f in shares.values()))
    rows = [[p, *(f"{f.get(p, 0):.0f} %" for f in shares.values())] for p in largest]
    return table(["part", *shares], rows)
