"""Which drawings and charts there are, where they are kept, and whether they still hold."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from tools.drawings import charts, cut, readers, transformer, tutorial, twin

ROOT = Path(__file__).resolve().parents[2]
DRAWINGS = ROOT / "figures" / "drawings"
CHARTS = ROOT / "figures" / "charts"

MADE: dict[str, Callable] = {
    "stn": transformer.small,
    "hr": transformer.hr,
    "readers": readers.both,
    "cut": cut.two_steps,
    "tutorial": tutorial.seven,
    "twin": twin.layout,
}
NEED_KERAS = ("twin",)


def absent() -> list[str]:
    """Those of the packages that the Keras twin needs and that are not installed."""
    return [name for name in ("tensorflow", "keras") if find_spec(name) is None]


def skipped(name: str) -> str:
    """Why the drawing `name` cannot be made here; "" if it can."""
    missing = absent() if name in NEED_KERAS else []
    if not missing:
        return ""
    return f"{' AND '.join(missing).upper()} NOT INSTALLED: {name}.svg was not drawn or compared"


def draw(name: str) -> str:
    """The drawing `name` as SVG text."""
    canvas, title, description = MADE[name]()
    return canvas.svg(title, description)


def write() -> Iterator[str]:
    """Draw everything; yields a line for each file, and for each that could not be drawn."""
    DRAWINGS.mkdir(parents=True, exist_ok=True)
    CHARTS.mkdir(parents=True, exist_ok=True)
    for name in MADE:
        why = skipped(name)
        if not why:
            (DRAWINGS / f"{name}.svg").write_text(draw(name), encoding="utf-8")
        yield why or f"figures/drawings/{name}.svg"
    wanted = dict(charts.chosen())
    for old in CHARTS.glob("*.svg"):
        if old.stem not in wanted:
            old.unlink()
    for name, part in wanted.items():
        (CHARTS / f"{name}.svg").write_text(charts.drawn(name, part), encoding="utf-8")
        yield f"figures/charts/{name}.svg"


def problems() -> Iterator[str]:
    """What is kept and is not what would be drawn now, a line each."""
    for name in MADE:
        if not skipped(name) and kept(DRAWINGS / f"{name}.svg") != draw(name):
            yield f"figures/drawings/{name}.svg is not what its network looks like"
    wanted = dict(charts.chosen())
    there = {path.stem for path in CHARTS.glob("*.svg")}
    yield from (f"figures/charts/{name}.svg is missing" for name in wanted if name not in there)
    yield from (f"figures/charts/{name}.svg is not wanted" for name in sorted(there - set(wanted)))
    for name, part in wanted.items():
        if name in there and not same_chart(kept(CHARTS / f"{name}.svg"), charts.drawn(name, part)):
            yield f"figures/charts/{name}.svg does not show what the records hold"


def kept(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def same_chart(a: str, b: str, near: float = 0.02) -> bool:
    """Do two charts show the same? Their words are compared, and where their means are drawn.

    Not their bytes: another version of matplotlib may set a tick or a margin otherwise.
    """
    if charts.words_of(a) != charts.words_of(b):
        return False
    means, others = charts.means_in(a), charts.means_in(b)
    return len(means) == len(others) and all(
        abs(x - y) < near for x, y in zip(means, others, strict=True)
    )
