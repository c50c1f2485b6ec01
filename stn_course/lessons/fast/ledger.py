"""The bytes that a warp moves, array by array: PyTorch's two operators beside one (notebook 07).

`ROWS` and `ARRAYS` are the one home of the formulas: Python adds them up here, the page there, and
tests hold both to what `traffic.count` sees and to exercise 7.1.
"""

from pathlib import Path

import traitlets as tr

from stn_course.geometry import one_of, whole_number
from stn_course.lessons import stills
from stn_course.lessons.widgets import STATIC, sections

HERE = Path(__file__).parent
FLOAT = 4  # bytes of a number
# How many numbers an array has: for each channel and pixel of the image, for each channel and pixel
# of the output, and for each pixel of the output however many channels there are.
ARRAYS = {
    "image": (1, 0, 0),
    "output": (0, 1, 0),
    "its gradient": (0, 1, 0),
    "base grid": (0, 0, 3),
    "grid": (0, 0, 2),
    "grid's gradient": (0, 0, 2),
}
COORDINATES = ("base grid", "grid", "grid's gradient")
PASSES = ("forward", "backward")
PAIR, ONE = "PyTorch's two", "one operator"
# Of each way and pass, in order: the operator, what it does, and to which array. Backward is to
# theta alone; theta and what is smaller than a row are left out.
ROWS = {
    PAIR: {
        "forward": (
            ("copy_, fill_", "writes", "base grid"),
            ("bmm", "reads", "base grid"),
            ("bmm", "writes", "grid"),
            ("grid_sampler_2d", "reads", "grid"),
            ("grid_sampler_2d", "reads", "image"),
            ("grid_sampler_2d", "writes", "output"),
        ),
        "backward": (
            ("its backward", "reads", "its gradient"),
            ("its backward", "reads", "image"),
            ("its backward", "reads", "grid"),
            ("its backward", "writes", "grid's gradient"),
            ("copy_, fill_", "writes", "base grid"),
            ("bmm", "reads", "base grid"),
            ("bmm", "reads", "grid's gradient"),
        ),
    },
    ONE: {
        "forward": (("warp", "reads", "image"), ("warp", "writes", "output")),
        "backward": (
            ("its backward", "reads", "its gradient"),
            ("its backward", "reads", "image"),
        ),
    },
}
SIDES = (14, 28, 64, 128, 256, 512, 1024)
CHANNELS = (1, 2, 3, 8, 16, 32, 64, 128)


def size_of(array: str, channels: int, side: int, out_side: int) -> int:
    """Bytes of `array` for one image of `channels` x side x side, read as out_side x out_side."""
    one_of("array", array, ARRAYS)
    of_image, of_output, of_place = ARRAYS[array]
    places = out_side**2
    numbers = channels * (of_image * side**2 + of_output * places) + of_place * places
    return FLOAT * numbers


def moved(way: str, direction: str, channels: int, side: int, out_side: int) -> int:
    """All bytes that `way` (of `ROWS`) reads and writes in one pass, "forward" or "backward".

    Raises ValueError for another way or pass, and what `whole_number` raises for sizes.
    """
    one_of("way", way, ROWS)
    one_of("direction", direction, PASSES)
    named = {"channels": channels, "side": side, "out_side": out_side}
    sizes = [whole_number(name, value) for name, value in named.items()]
    return sum(size_of(array, *sizes) for _, _, array in ROWS[way][direction])


def module_text() -> str:
    """The ledger's ES module: what it shares with the warp playground, then its own text."""
    shared = sections("pure functions", "the notebook's keys", "parts of a figure")
    return shared + (HERE / "ledger.js").read_text("utf-8")


def style_text() -> str:
    """The playground's style, which the ledger shares, then its own."""
    styles = (STATIC / "warp_playground.css", HERE / "ledger.css")
    return "\n".join(style.read_text("utf-8") for style in styles)


class ByteLedger(stills.LiveFigure):
    """Which arrays are read and written to warp one image, and how many bytes that is.

    Sliders for the image's side and the output's, both of `SIDES`, and for `channels`, one of
    `CHANNELS`; `direction` is "forward" or "backward", to theta. All in step with the page both
    ways. Raises TraitError for other values.
    """

    _esm = module_text()
    _css = style_text()

    rows = tr.Dict(ROWS, read_only=True).tag(sync=True)
    arrays = tr.Dict(ARRAYS, read_only=True).tag(sync=True)
    coordinates = tr.List(list(COORDINATES), read_only=True).tag(sync=True)
    sides = tr.List(list(SIDES), read_only=True).tag(sync=True)
    counts = tr.List(list(CHANNELS), read_only=True).tag(sync=True)
    direction = tr.Enum(PASSES, "forward").tag(sync=True)
    side = tr.Enum(SIDES, 64).tag(sync=True)
    out_side = tr.Enum(SIDES, 64).tag(sync=True)
    channels = tr.Enum(CHANNELS, 1).tag(sync=True)

    @classmethod
    def still(cls, state: dict):
        from stn_course.lessons.fast.figures import ledger_bars

        sizes = state["channels"], state["side"], state["out_side"]
        bills = {
            way: [
                (f"{does} {array}", size_of(array, *sizes), array in COORDINATES)
                for _, does, array in rows[state["direction"]]
            ]
            for way, rows in ROWS.items()
        }
        totals = [sum(size for _, size, _ in bill) / 1000 for bill in bills.values()]
        told = f"{PAIR}: {totals[0]:.0f} kB; {ONE}: {totals[1]:.0f} kB"
        alt = "Bytes that a warp of {} channels moves {}, array by array. {}."
        return ledger_bars(bills), alt.format(state["channels"], state["direction"], told)

    def __repr__(self) -> str:
        told = f"channels={self.channels}, side={self.side}, out_side={self.out_side}"
        return f"ByteLedger({told}, {self.direction})"
