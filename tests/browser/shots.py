"""Pictures of every page of a built book, to look at: python -m tests.browser.shots [PAGE ...].

Three widths, by day and by night, whole pages, into build/shots/PAGE-WIDTH-SCHEME.png. With
`--beside OTHER` it says which pages another build shows in other pixels.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from tests import chromium
from tests.support import ROOT

WIDTHS = (390, 768, 1280)
TALLEST = 16_000  # pixels: a browser draws no more in one piece
README = ROOT / "figures" / "first-page.png"
SETTLED = 500  # ms, after which the sidebar has slid to its place
ALL_HERE = """() => Promise.all([...document.images].map((image) => {
  image.loading = "eager";
  return image.decode().catch(() => {}); // one that is hidden has nothing to decode
}))"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pages", nargs="*", help="e.g. index notebooks/02_grid_sampling; all")
    parser.add_argument("--html", type=Path, default=ROOT / "build" / "html")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "shots")
    parser.add_argument("--beside", type=Path, help="a folder of earlier pictures")
    parser.add_argument("--readme", action="store_true", help=f"draw {README.name} anew, alone")
    parser.add_argument("--widths", nargs="+", type=int, default=WIDTHS)
    parser.add_argument("--schemes", nargs="+", default=("light", "dark"))
    options = parser.parse_args(argv)
    if not (options.html / "index.html").exists():
        parser.error(f"no book in {options.html}: make book")
    pages = options.pages or [
        path.relative_to(options.html).with_suffix("").as_posix()
        for path in sorted(options.html.rglob("*.html"))
        if path.relative_to(options.html).parts[0] not in ("_modules", "_static")
    ]
    for name in pages:
        if not (options.html / f"{name}.html").exists():
            parser.error(f"no page {name!r} in {options.html}; wanted e.g. index")
    options.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, chromium.served(options.html, "http") as address:
        browser = playwright.chromium.launch(
            executable_path=chromium.executable(), args=[*chromium.FLAGS, chromium.NO_NETWORK]
        )
        if options.readme:
            first_page(browser, f"{address}/index.html", README)
            pages = []
        for name in pages:
            for path in shoot(browser, f"{address}/{name}.html", name, options):
                print(path.name, told(path, options.beside), flush=True)
        browser.close()
    return 0


def shoot(browser, url: str, name: str, options: argparse.Namespace):
    """Draw one page at all widths and schemes; yields the files."""
    for scheme in options.schemes:
        page = browser.new_page(color_scheme=scheme, reduced_motion="reduce")
        for width in options.widths:
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(url)
            page.evaluate(ALL_HERE)
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(SETTLED)
            height = min(page.evaluate("document.documentElement.scrollHeight"), TALLEST)
            path = options.out / f"{name.replace('/', '--')}-{width}-{scheme}.png"
            page.screenshot(path=path, full_page=True, clip=box(width, height))
            yield path
        page.close()


def first_page(browser, url: str, path: Path):
    """Draw what the first page opens with, for the README: the pad and what the networks read."""
    page = browser.new_page(
        viewport={"width": 1280, "height": 1400}, device_scale_factor=1.5, reduced_motion="reduce"
    )
    page.goto(url)
    figure, verdicts = page.locator(".hero-figure"), page.locator(".dd-cards")
    verdicts.wait_for()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(SETTLED)
    whole, last = figure.bounding_box(), verdicts.bounding_box()
    page.screenshot(path=path, clip=whole | {"height": last["y"] + last["height"] + 8 - whole["y"]})
    page.close()


def box(width: int, height: int) -> dict[str, int]:
    return {"x": 0, "y": 0, "width": width, "height": height}


def told(path: Path, beside: Path | None) -> str:
    """How far a picture is from the one of the same name in `beside`, in words."""
    if beside is None:
        return ""
    if not (beside / path.name).exists():
        return "new"
    pair = [np.asarray(Image.open(each).convert("RGB")) for each in (path, beside / path.name)]
    if pair[0].shape != pair[1].shape:
        return f"{pair[1].shape[:2]} before, {pair[0].shape[:2]} now"
    unlike = (pair[0] != pair[1]).any(axis=-1)
    return f"{unlike.mean():.2%} of the pixels" if unlike.any() else "the same"


if __name__ == "__main__":
    sys.exit(main())
