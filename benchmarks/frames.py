"""What a move of a live figure costs a browser: python -m benchmarks.frames [PAGE ...].

Every live figure of a built book, in real Chromium, its first slider moved 200 times (or its first
handle, by keys), once as it is and once with the processor slowed down four times. Of each move two
times are taken. Processor time is that of the page's thread, from the event to the end of the frame
after it, less what asking for it costs: another program on the same cores lengthens it little. Wall
time is that of the handler, and of the frame that follows, without the wait for it: on a busy
machine it is longer. What other threads draw is in neither. Limits: 16 ms a frame, and slowed down
50 ms, for 95 of 100 moves; the verdict is of processor time. (Chromium slows a thread down by the
clock on the wall: on a busy machine by more than four times.)
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
LIMITS = {1: 16.0, 4: 50.0}  # ms, by how many times slower the processor is made
WARM_UP = 20  # moves that are not counted
FIGURES = "[...document.querySelectorAll('.warp-playground')]"
# A move: the next value of a sweep there and back. The frame's first callback is ours, and the task
# that it posts comes after the frame.
MOVE = (
    "([n, k]) => new Promise((done) => {"
    f"const figure = {FIGURES}[n];"
    """
  const slider = figure.querySelector("input[type=range]");
  const handle = figure.querySelector(".wp-handle");
  let spent = 0;
  requestAnimationFrame(() => {
    const began = performance.now(), after = new MessageChannel();
    after.port1.onmessage = () => done(spent + performance.now() - began);
    after.port2.postMessage(0);
  });
  const before = performance.now(), turn = Math.abs((k % 40) - 20) / 20;
  if (k < 0) { // nothing is moved: what asking costs
  } else if (slider) {
    slider.value = +slider.min + turn * (slider.max - slider.min);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  } else {
    const key = k % 40 < 20 ? "ArrowRight" : "ArrowLeft";
    handle.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  }
  spent = performance.now() - before;
})"""
)
LABEL = "querySelector('input[type=range]')?.getAttribute('aria-label') ?? 'a handle'"


@dataclass(frozen=True)
class Moves:
    """Milliseconds of each counted move of one figure, slowed down `rate` times."""

    figure: str
    control: str
    rate: int
    processor: list[float]
    wall: list[float]

    def line(self) -> str:
        """Medians and 95th percentiles, and whether the processor time keeps the limit."""
        (half, most), (half_wall, most_wall) = (
            np.percentile(times, [50, 95]) for times in (self.processor, self.wall)
        )
        limit = LIMITS.get(self.rate)
        verdict = "" if limit is None else "met" if most <= limit else "MISSED"
        return (
            f"{self.figure:<38}{self.control:<10}{self.rate:>3}x{half:>9.1f}{most:>8.1f}"
            f"{half_wall:>9.1f}{most_wall:>8.1f}  {verdict}"
        )


HEAD = f"{'figure':<38}{'control':<10}{'slow':>4}{'cpu p50':>9}{'p95':>8}{'wall p50':>9}{'p95':>8}"


def measured(page, name: str, moves: int, rates: tuple[int, ...]) -> Iterator[Moves]:
    """The moves of every live figure of an open Playwright page."""
    client = page.context.new_cdp_session(page)
    client.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> float:
        metrics = client.send("Performance.getMetrics")["metrics"]
        return 1e3 * next(m["value"] for m in metrics if m["name"] == "TaskDuration")

    for n in range(page.evaluate(f"{FIGURES}.length")):
        for rate in rates:
            client.send("Emulation.setCPUThrottlingRate", {"rate": rate})
            processor, wall = [], []
            for k in (*[-1] * WARM_UP, *range(WARM_UP + moves)):
                before = spent()
                wall.append(page.evaluate(MOVE, [n, k]))
                processor.append(spent() - before)
            client.send("Emulation.setCPUThrottlingRate", {"rate": 1})
            asking = float(np.median(processor[:WARM_UP]))
            processor = [max(each - asking, 0.0) for each in processor[2 * WARM_UP :]]
            control = page.evaluate(f"{FIGURES}[{n}].{LABEL}")
            yield Moves(f"{name}, figure {n + 1}", control, rate, processor, wall[2 * WARM_UP :])


def alive(page) -> int:
    """Waits until the page's live figures are there; how many they are."""
    views = page.locator('script[type="application/vnd.jupyter.widget-view+json"]').count()
    wanted = views + page.locator("#draw-digit").count()
    page.wait_for_function(f"{FIGURES}.length >= {wanted}")
    return wanted


def main(argv: list[str] | None = None) -> int:
    """Print a line for each figure and rate; 1 where a limit is missed or no figure was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pages", nargs="*", help="e.g. index notebooks/07_fast (default: all)")
    parser.add_argument("--html", type=Path, default=ROOT / "build" / "html")
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--rates", type=int, nargs="+", default=list(LIMITS))
    options = parser.parse_args(argv)
    if not (options.html / "index.html").exists():
        parser.error(f"no book in {options.html}: make book")
    if options.moves < 1 or min(options.rates) < 1:
        parser.error("--moves and --rates must be 1 or more")
    if missing := [n for n in options.pages if not (options.html / f"{n}.html").exists()]:
        parser.error(f"pages {missing} are not in {options.html}")
    from playwright.sync_api import sync_playwright

    from tests import chromium  # the tests' browser: no network, no first-run pages

    notebooks = sorted(path.stem for path in (options.html / "notebooks").glob("*.html"))
    names, found = options.pages or ["index", *(f"notebooks/{n}" for n in notebooks)], []
    print(HEAD)
    with sync_playwright() as playwright, chromium.served(options.html, "http") as address:
        browser = playwright.chromium.launch(
            executable_path=chromium.executable(), args=[*chromium.FLAGS, chromium.NO_NETWORK]
        )
        for name in names:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(f"{address}/{name}.html")
            if alive(page):
                for moves in measured(page, name, options.moves, tuple(options.rates)):
                    found.append(moves)
                    print(moves.line(), flush=True)
            page.close()
        browser.close()
    return 0 if found and not any("MISSED" in moves.line() for moves in found) else 1


if __name__ == "__main__":
    sys.exit(main())
