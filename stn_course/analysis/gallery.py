"""A page that shows every image of a test: what went in, what came out, what it was read as.

The page opens from disk. Pictures stand on sheets of 1024, so that 10 000 inputs and
outputs are 20 files, and the numbers in `gallery.js`, which a page may load from disk.
"""

import json
import math
import secrets
import shutil
from pathlib import Path

import numpy as np

from stn_course.analysis.predictions import Predictions
from stn_course.data.own import words_of
from stn_course.extras import needs
from stn_course.files import write_atomically, written_whole

PAGE = Path(__file__).with_name("gallery.html")
ACROSS = 32  # pictures in a row of a sheet, and rows of one


def write(folder: Path, seen: Predictions, title: str, data: str | None = None) -> Path:
    """Write `index.html`, `gallery.js` and the sheets to `folder`; return the page.

    `data`: the set that was read, whose names of classes are shown where it is one's own.
    """
    folder = Path(folder)
    key = secrets.token_hex(4)  # of this test: until gallery.js names it the old page stays whole
    shown = {
        "key": key,
        "title": title,
        "across": ACROSS,
        "channels": seen.channels,
        "colour": seen.inputs.ndim == 4,
        "input": _sheets(folder, key, "input", seen.inputs),
        "output": None if seen.outputs is None else _sheets(folder, key, "output", seen.outputs),
        "truth": words_of(seen.labels, data),
        "read": words_of(seen.read, data),
        # Of a row, that every digit is right.
        "confidence": _rounded(seen.probabilities.max(-1).reshape(len(seen.labels), -1).prod(1)),
        "error": _rounded(seen.losses),
        "boxes": None if seen.boxes is None else _rounded(seen.boxes, 3),
    }
    text = "const GALLERY = " + json.dumps(shown, separators=(",", ":")) + ";\n"
    page = folder / "index.html"
    write_atomically(page, PAGE.read_bytes())
    write_atomically(folder / "gallery.js", text.encode())
    for old in set(folder.glob("sheet_*.png")) - set(folder.glob(f"sheet_{key}_*.png")):
        old.unlink()
    return page


def write_images(folder: Path, seen: Predictions) -> None:
    """One PNG an image: `input/00000.png`, ..., and `output/` with a transformer."""
    for kind, images in (("input", seen.inputs), ("output", seen.outputs)):
        there, made = Path(folder) / kind, Path(folder) / f".{kind}.partial"
        for old in (made, there) if images is None else (made,):  # of a killed or an earlier test
            shutil.rmtree(old, ignore_errors=not old.exists())
        if images is None:
            continue
        made.mkdir(parents=True)
        for k, image in enumerate(images):
            write_png(made / f"{k:05d}.png", image)
        shutil.rmtree(there, ignore_errors=not there.exists())
        made.rename(there)  # all of them or none


def _sheets(folder: Path, key: str, kind: str, images: np.ndarray) -> dict:
    """Write `images` [N, h, w] or [N, h, w, 3] on sheets; what the page must know of them."""
    n, h, w, *colour = images.shape
    for first in range(0, n, ACROSS**2):
        part = images[first : first + ACROSS**2]
        rows = math.ceil(len(part) / ACROSS)
        sheet = np.zeros((rows * ACROSS, h, w, *colour), np.uint8)
        sheet[: len(part)] = part
        sheet = sheet.reshape(rows, ACROSS, h, w, *colour).swapaxes(1, 2)
        sheet = sheet.reshape(rows * h, ACROSS * w, *colour)
        with written_whole(folder / f"sheet_{key}_{kind}_{first // ACROSS**2}.png") as path:
            write_png(path, sheet)
    return {"height": h, "width": w}


def write_png(path: Path, image: np.ndarray) -> None:
    """A picture uint8 [h, w], or in colour [h, w, 3], as a file."""
    with needs("course"):
        from PIL import Image

    Image.fromarray(image).save(path, compress_level=6)


def _rounded(values: np.ndarray, digits: int = 5) -> list:
    return np.round(values.astype(np.float64), digits).tolist()
