"""Targets 11 and 12: how long a reader waits, for a picture, a page, and all of the tests."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.timing import absent, line, seconds
from stn_course.experiments.speed import Speed

ROOT = Path(__file__).resolve().parents[1]
FIRST = """
import io
from stn_course import geometry, warp
from stn_course.analysis import plots
from stn_course.data import mnist
some = mnist("test").images[:8]
turned = warp(some, geometry.affine(angle=30, batch=8))
fig = plots.images_row(turned[:, 0], [""] * 8)
fig.savefig(io.BytesIO(), format="png")
"""


def slider() -> Speed:
    """An ipywidgets slider moved 200 times: its picture made anew in the kernel."""
    from stn_course.lessons.grid_sampling.explorer import ThetaExplorer

    y, x = np.mgrid[:28, :28] / 27
    explorer = ThetaExplorer(np.exp(-((x - 0.4) ** 2) / 0.01 - (y - 0.6) ** 2 / 0.1))
    times = []
    for k in range(220):
        start = time.perf_counter()
        explorer.parts["rotate"].value = (7 * k) % 180 - 90
        times.append(time.perf_counter() - start)
    return _p95("slider to picture, ipywidgets, p95 of 200", 0.05, times[20:])


def canvas() -> Speed:
    """The playground's slider moved 200 times in Chromium: as its test measures it."""
    name, wanted = "slider to picture, canvas in Chromium, p95 of 200", 0.008
    words = ["-q", "-s", "tests/lessons/test_widgets.py", "-k", "p95_of_200_redraws"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=ROOT, capture_output=True, text=True
    )
    found = [
        float(said.split("p95 ")[1].split(" ms")[0]) / 1e3
        for said in done.stdout.splitlines()
        if "redraw median" in said
    ]
    if not found:
        return absent(11, name, wanted, "no Chromium here, or its test failed")
    return seconds(11, name, wanted, [max(found)])


def _p95(name: str, wanted: float, times: list[float]) -> Speed:
    return seconds(11, name, wanted, [float(np.percentile(times, 95))])


def first_figure() -> Speed:
    """A fresh Python: import, the digits, a figure as PNG."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", FIRST], cwd=ROOT, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return seconds(12, "first figure after import, a fresh Python", 4.0, times)


def pages() -> Iterator[Speed]:
    """Every notebook, and all of them, as `pytest --nbval notebooks` runs them."""
    total = 0.0
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        start = time.perf_counter()
        words = ["-q", "--nbval", str(path.relative_to(ROOT)), "-p", "no:cacheprovider"]
        environment = os.environ | {"PYTHONWARNINGS": "ignore"}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env=environment,
        )
        spent = time.perf_counter() - start
        total += spent
        limit = 90.0 if path.name.startswith("06") else 60.0
        name = f"notebook {path.stem}, nbval"
        if done.returncode:
            last = (done.stdout.strip().splitlines() or ["no output"])[-1]
            yield absent(12, name, limit, last)
        else:
            yield seconds(12, name, limit, [spent])
    yield seconds(12, "pytest --nbval notebooks, all of them", 360.0, [total])


def headers() -> Iterator[Speed]:
    """Every notebook's run against the seconds and the gigabytes that its first cell states."""
    from stn_course import data
    from tools.notebooks import (
        rules as notebook_rules,  # here: what they import is not on every machine with a GPU
    )
    from tools.notebooks import run as notebooks

    for path in sorted((ROOT / "notebooks" / "src").glob("*.md")):
        name = f"notebook {path.stem}, as its header states"
        nb = notebooks.read(path)
        stated = notebook_rules.header(nb)
        try:
            found = notebooks.run(nb, path.stem, data.source()).metadata.stn_course
        except notebooks.NotebookFailed as failure:
            yield absent(12, name, stated["seconds"], str(failure))
            continue
        yield against_header(name, stated, found)


def against_header(name: str, stated: dict[str, float], found: dict) -> Speed:
    """The verdict is "met" where both the seconds and the memory are within what is stated."""
    spent = seconds(12, name, stated["seconds"], [float(found["seconds"])])
    memory = f"{found['peak_mb'] / 1000:.2f} GB, stated {stated['gigabytes']:g} GB"
    fits = found["peak_mb"] <= 1000 * stated["gigabytes"]
    return replace(spent, why=memory, verdict=spent.verdict if fits else "missed")


def measure(device: str = "cpu") -> Iterator[Speed]:
    """Targets 11 and 12: of a reader's machine, so of a CPU."""
    if device != "cpu":
        return
    yield slider()
    yield canvas()
    yield first_figure()
    yield from pages()
    yield from headers()


if __name__ == "__main__":
    for speed in measure():
        print(line(speed), flush=True)
