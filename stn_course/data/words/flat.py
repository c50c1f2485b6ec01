"""Words as they lie flat: five signs side by side, white on black, in fonts of matplotlib.

Every sign stands in a cell of its own, as on a number plate. The outlines come from matplotlib's
font files and are filled here, so that no version of a text renderer changes a pixel.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from stn_course.data.digits import Digits, check_split
from stn_course.data.seeding import WORDS, stream
from stn_course.extras import needs

ALPHABET = "ABCDEFHJKLMNPRTUVXY34679"  # without what a reader takes for another: I, O, 0, S, 5, ...
DIGITS = 5  # signs of a word
CELL = (24, 18)  # of a sign, in pixels
FLAT = (32, 96)  # of a word: the cells and a margin
FINER = 4  # places each way that a pixel is the mean of
CAPITAL, BASE, WIDEST = 19.0, 21.5, 15.5  # height of an H, where it stands, widest sign: pixels
FONTS = {  # a font of one split is in no other
    "train": (
        "DejaVuSans.ttf",
        "DejaVuSans-Bold.ttf",
        "DejaVuSerif.ttf",
        "DejaVuSansMono.ttf",
        "STIXGeneral.ttf",
        "STIXGeneralBol.ttf",
        "cmr10.ttf",
        "cmtt10.ttf",
    ),
    "valid": ("DejaVuSansMono-Bold.ttf", "cmb10.ttf"),
    "test": ("DejaVuSerif-Bold.ttf", "cmss10.ttf", "STIXGeneralItalic.ttf"),
}
SIZES = {"train": 20_000, "valid": 1000, "test": 2000}
SOURCE = "none: words drawn from matplotlib's fonts"


def flat_words(split: str) -> Digits:
    """Words of a split: images uint8 [N, 1, 32, 96], 0 = paper, and labels int64 [N, 5].

    A label is a sign's place in `ALPHABET`. Words and fonts are the same on every machine. Drawn
    once per process; needs matplotlib. Raises ValueError for another split.
    """
    check_split(split)
    return _flat_words(split)


@lru_cache
def _flat_words(split: str) -> Digits:
    draw = np.random.default_rng(stream(WORDS, list(SIZES).index(split)))
    labels = torch.from_numpy(draw.integers(len(ALPHABET), size=(SIZES[split], DIGITS)))
    font = torch.from_numpy(draw.integers(len(FONTS[split]), size=SIZES[split]))
    signs = torch.stack([_signs_of(name) for name in FONTS[split]])  # [F, A, h, w]
    return Digits(laid_out(signs[font[:, None], labels]), labels, SOURCE)


def laid_out(signs: Tensor) -> Tensor:
    """Signs [N, 5, 24, 18] side by side, in the middle of a sheet.  # [N, 1, 32, 96]"""
    n, count, height, width = signs.shape
    top, left = (FLAT[0] - height) // 2, (FLAT[1] - count * width) // 2
    sheet = signs.new_zeros(n, 1, *FLAT)
    row = signs.permute(0, 2, 1, 3).reshape(n, height, count * width)
    sheet[:, 0, top : top + height, left : left + count * width] = row
    return sheet


def text_of(labels: Tensor) -> list[str]:
    """The words of labels [N, 5]."""
    return ["".join(ALPHABET[k] for k in row) for row in labels.tolist()]


@lru_cache
def _signs_of(font: str) -> Tensor:
    """Every sign in one font: how much of each pixel is ink.  # uint8 [A, 24, 18]"""
    with needs("course"):
        import matplotlib
        from matplotlib.font_manager import FontProperties
        from matplotlib.textpath import TextPath
    path = f"{matplotlib.get_data_path()}/fonts/ttf/{font}"

    def outline(sign: str):
        return TextPath((0, 0), sign, size=100, prop=FontProperties(fname=path))

    scale = CAPITAL / outline("H").get_extents().height
    return torch.stack([_filled(outline(sign), scale) for sign in ALPHABET])


def _filled(outline, scale: float) -> Tensor:
    """An outline, y upwards, as ink in the middle of a cell.  # uint8 [24, 18]"""
    with needs("course"):
        from matplotlib.path import Path

    box, (height, width) = outline.get_extents(), CELL
    across = min(scale, WIDEST / box.width)
    rows, columns = ((np.arange(n * FINER) + 0.5) / FINER for n in CELL)
    x = (columns - width / 2) / across + (box.x0 + box.x1) / 2
    y = (BASE - rows) / scale
    places = np.stack(np.broadcast_arrays(x[None], y[:, None]), -1).reshape(-1, 2)
    inside = np.zeros(len(places), bool)
    for polygon in outline.to_polygons():
        inside ^= Path(polygon).contains_points(places)  # a hole lies in two
    ink = inside.reshape(height, FINER, width, FINER).mean((1, 3))
    return torch.from_numpy(np.rint(255 * ink).astype(np.uint8))
