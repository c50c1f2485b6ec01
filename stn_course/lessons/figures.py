"""Figures that several notebooks share."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stn_course.analysis.plots import BLUE, READ, WRITE, show_image


def room_for(ax: Axes, shape: Sequence[int]) -> None:
    """Show the image's own edge and some of what lies outside."""
    (height, width), room = shape, 0.2 * shape[1]
    edge = plt.Rectangle((-0.5, -0.5), width, height, fill=False, ec="#9ca3af", lw=0.8, ls=":")
    ax.add_patch(edge)
    ax.set(xlim=(-room, width - 1 + room), ylim=(height - 1 + room, -room))


# ---------------------------------------------------------------- what comes out
def pictures(images: dict[str, np.ndarray], holes: dict | None = None, vmin=0, vmax=1) -> Figure:
    """Images side by side under their names; `holes[name]` [H, W] marks pixels in red."""
    fig, axes = plt.subplots(1, len(images), figsize=(2.3 * len(images), 2.6), squeeze=False)
    for ax, (name, image) in zip(axes[0], images.items(), strict=True):
        show_image(ax, image, name)
        ax.images[0].set_clim(vmin, vmax)
        if holes and name in holes:
            red = np.zeros((*np.shape(holes[name]), 4))  # see-through
            red[np.asarray(holes[name], bool)] = plt.matplotlib.colors.to_rgba(READ)
            ax.imshow(red, interpolation="nearest")
    fig.tight_layout()
    return fig


def overlays(target, images: dict[str, np.ndarray]) -> Figure:
    """Each image over the target: teal where only the target is, red where only the image is."""
    target = np.asarray(target).squeeze()
    colours = {}
    for name, image in images.items():
        image = np.asarray(image).squeeze()  # [H, W]
        both = np.minimum(target, image)[..., None]
        ours, theirs = image - both[..., 0], target - both[..., 0]
        white = 1 - both * 0.85
        for part, colour in ((ours, READ), (theirs, WRITE)):
            rgb = np.array(plt.matplotlib.colors.to_rgb(colour))
            white = white - part[..., None] * (1 - rgb)
        colours[name] = white.clip(0, 1)
    return pictures(colours)


def descent(image, frames: Sequence[tuple[int, np.ndarray, np.ndarray]]) -> Figure:
    """The box that theta reads, and what it reads, as descent goes on.

    frames: (step, places [H, W, 2] in pixels, output [H, W]) each.
    """
    fig, axes = plt.subplots(2, len(frames), figsize=(1.75 * len(frames), 3.7), squeeze=False)
    for (above, below), (step, places, output) in zip(axes.T, frames, strict=True):
        show_image(above, image, f"step {step}")
        corners = places[[0, 0, -1, -1, 0], [0, -1, -1, 0, 0]]
        above.plot(*corners.T, color=READ, lw=1.5)
        above.plot(*corners[:2].T, color=BLUE, lw=3)
        room_for(above, np.shape(image))
        show_image(below, output)
    axes[0, 0].set_ylabel("read here")
    axes[1, 0].set_ylabel("comes out")
    fig.tight_layout()
    return fig
