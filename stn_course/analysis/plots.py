"""Arrays and records -> figures. The alt text stands in the notebook cell's metadata."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

RED, TEAL, OCHRE, VIOLET, SAGE = "#c8553d", "#28666e", "#dd9e2f", "#8f6bb1", "#7c9885"
BLUE = "#1971c2"  # the upper edge of what is read or written
READ, WRITE = RED, TEAL
SEEN, HELD = TEAL, RED  # places a network was trained on; places held back

# One colour a network in the whole course; told apart in grey and by colour-blind readers
# with the markers.
STYLE = {
    "FC": {"color": RED, "marker": "o"},
    "CNN": {"color": TEAL, "marker": "s"},
    "CNN, subsampled": {"color": SAGE, "marker": "v"},
    "CNN + augmentation": {"color": VIOLET, "marker": "^"},
    "STN": {"color": OCHRE, "marker": "D"},
}
GREY = "#6b7280"
INK = {"cmap": "gray_r", "vmin": 0, "vmax": 1, "interpolation": "nearest"}

plt.rcParams.update(
    {
        "figure.dpi": 100,
        "savefig.bbox": "tight",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e5e7eb",
        "axes.axisbelow": True,
        "font.size": 10,
        "legend.frameon": False,
    }
)


# Of a text that somebody else gave: `$` in the name of a folder begins no formula.
AS_IT_STANDS = {"parse_math": False}
WRONG = "#b91c1c"  # beside the cross and the bold type of a wrong verdict, never alone
CROSS = "✗"


def verdict(said, truth) -> dict:
    """What was said, as the arguments of a text: bold and crossed, and red, where it is not true.

    A right one is plain and in the text's own colour.
    """
    if said == truth:
        return {"text": f"{said}", "color": "black", "fontweight": "normal"}
    return {"text": f"{CROSS}{said}", "color": WRONG, "fontweight": "bold"}


def show_image(ax: Axes, image, title: str = "") -> None:
    """Draw one image ([H, W] or [1, H, W], 0 white to 1 black) without axes."""
    ax.imshow(np.asarray(image).squeeze(), **INK)
    ax.set_title(title, fontsize=9, **AS_IT_STANDS)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set(visible=True, color="#d1d5db")


def images_row(images, titles: Sequence[str]) -> Figure:
    """Images [N, 1, H, W] side by side, each under its title."""
    fig, axes = plt.subplots(1, len(images), figsize=(1.3 * len(images), 1.7), squeeze=False)
    for ax, image, title in zip(axes[0], images, titles, strict=True):
        show_image(ax, image, title)
    return fig
