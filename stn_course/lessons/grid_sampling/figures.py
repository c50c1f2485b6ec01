"""The figures of notebook 02: moving an image with six numbers.

Images are arrays or tensors [H, W] or [1, 1, H, W], 0 white to 1 black. Places are (x, y) in
*pixels*, 0 at the centre of the first pixel, as `pictures.in_pixels` gives them.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stn_course import geometry
from stn_course.analysis.plots import BLUE, GREY, READ, WRITE, show_image
from stn_course.lessons.figures import room_for
from stn_course.sampling import affine_grid


# ---------------------------------------------------------------- reading places
def _numbers(ax: Axes, image: np.ndarray, largest: float) -> None:
    ax.imshow(image, cmap="gray_r", vmin=0, vmax=2 * largest)  # light, so that numbers show
    for (row, column), value in np.ndenumerate(image):
        ax.add_patch(_box(column, row, "#d1d5db", width=0.8))
        ax.text(column, row, f"{value:g}", ha="center", va="center", fontsize=12)
    ax.set(xticks=range(image.shape[1]), yticks=range(image.shape[0]))
    ax.tick_params(length=0, labelsize=8, colors=GREY)
    ax.spines[:].set_visible(False)
    ax.grid(False)


def worked_example(image, grid, output, at: tuple[int, int]) -> Figure:
    """A small input and output in numbers; the output pixel `at` (row, column) is followed.

    image: [h, w]; grid: [1, H, W, 2]; output: [1, 1, H, W]. Shows every place as a dot, and the
    four pixels that `at` reads with their weights, which are the areas that a pixel-sized square
    around the place (dashed) covers of them.
    """
    places = np.asarray(geometry.to_pixels(grid[0], tuple(image.shape)))  # [H, W, 2]
    image, output = np.asarray(image), np.asarray(output)[0, 0]
    fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.9))
    for ax, array in ((left, image), (right, output)):
        _numbers(ax, array, image.max())
    left.set_title("input: the dots are read", fontsize=10)
    right.set_title("output", fontsize=10)
    left.plot(*places.reshape(-1, 2).T, "o", ms=4, color=READ, alpha=0.45)
    x, y = places[at]
    column, row = int(np.floor(x)), int(np.floor(y))
    left.plot(x, y, "o", ms=9, color=READ)
    for i, j in np.ndindex(2, 2):
        weight = (1 - abs(x - column - j)) * (1 - abs(y - row - i))
        left.add_patch(_box(column + j, row + i, READ))
        corner = (max(x, column + j) - 0.5, max(y, row + i) - 0.5)
        sides = (1 - abs(x - column - j), 1 - abs(y - row - i))  # of what the square covers
        left.add_patch(plt.Rectangle(corner, *sides, fc=READ, ec="none", alpha=(0.3, 0.18)[i ^ j]))
        where = {"ha": "center", "va": "center", "fontsize": 9, "color": "#4a0d05"}
        left.text(column + j, row + i + (-0.36, 0.33)[i], f"× {weight:g}", **where)
    square = plt.Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, ec="#4a0d05", lw=1, ls="--")
    left.add_patch(square)
    right.add_patch(_box(at[1], at[0], READ))
    for ax, (height, width) in ((left, image.shape), (right, output.shape)):
        ax.set(xlim=(-0.6, width - 0.35), ylim=(height - 0.35, -0.6))
    return fig


def _box(column: float, row: float, colour: str, width: float = 1.8) -> plt.Rectangle:
    return plt.Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, ec=colour, lw=width)


def reading_places(image, rows: dict[str, tuple]) -> Figure:
    """For each name: the input with its places as dots, the first row blue, and what they read.

    rows: name -> (places [H, W, 2] in pixels, output [H, W]). One name is drawn side by side,
    several one above the other.
    """
    n = len(rows)
    shape, figsize = ((1, 2), (4.6, 2.6)) if n == 1 else ((2, n), (2.5 * n, 5.2))
    fig, axes = plt.subplots(*shape, figsize=figsize, squeeze=False)
    pairs = axes.reshape(2, n).T
    for (above, below), (name, (places, output)) in zip(pairs, rows.items(), strict=True):
        places = np.asarray(places)
        show_image(above, image, name)
        _dots(above, places, np.shape(image))
        show_image(below, output, "comes out")
        below.plot([-0.5, places.shape[1] - 0.5], [-0.5, -0.5], color=BLUE, lw=4)
    fig.tight_layout()
    return fig


def _dots(ax: Axes, places: np.ndarray, shape: Sequence[int]) -> None:
    step = max(1, places.shape[0] // 14)
    thin = places[step // 2 :: step, step // 2 :: step]
    ax.plot(*thin.reshape(-1, 2).T, ".", ms=2.5, color=READ)
    ax.plot(*places[0].T, color=BLUE, lw=2)
    room_for(ax, shape)


def pixel_rows(n: int = 4) -> Figure:
    """A row of n pixels twice, with -1, 0 and 1 where each meaning of align_corners puts them."""
    fig, axes = plt.subplots(2, 1, figsize=(7, 2.9))
    for ax, corners in zip(axes, (False, True), strict=True):
        first, last = (0, n - 1) if corners else (-0.5, n - 0.5)
        for k in range(n):
            ax.add_patch(plt.Rectangle((k - 0.5, 0), 1, 1, fc="#eef2f3", ec=GREY))
            ax.plot(k, 0.5, "o", ms=5, color=WRITE)
            place = 2 * (k - first) / (last - first) - 1
            ax.text(k, 0.66, f"{place:.3g}", ha="center", color=WRITE, fontsize=10)
        for place in (-1, 0, 1):
            x = first + (place + 1) / 2 * (last - first)
            ax.plot([x, x], [-0.12, 0.3], color=READ, lw=2)
            ax.text(x, -0.2, f"{place}", ha="center", va="top", color=READ, fontsize=11)
        ax.text(-0.9, 0.5, f"align_corners\n= {corners}", ha="right", va="center", fontsize=10)
        ax.set(xlim=(-2.2, n), ylim=(-0.6, 1.1))
        ax.axis("off")
    return fig


def kink(row: Sequence[float], at: int) -> Figure:
    """What is read along a row of pixels, and its two slopes on the centre of pixel `at`.

    Raises ValueError for a pixel that has no neighbour on one side.
    """
    if not 0 < at < len(row) - 1:
        raise ValueError(f"at={at}; wanted a pixel with two neighbours, 1 to {len(row) - 2}")
    fig, ax = plt.subplots(figsize=(6, 3))
    centres = np.arange(len(row))
    ax.vlines(centres, 0, row, color="#d1d5db", lw=6)
    ax.plot(centres, row, color=GREY, lw=1.5, marker="o", ms=6)
    for side, words, colour, line in (
        (-1, "from the left", WRITE, "--"),
        (1, "to the right", READ, "-"),
    ):
        slope = side * (row[at + side] - row[at])
        ends = np.array([at, at + 0.6 * side])
        ax.plot(ends, row[at] + slope * (ends - at), line, color=colour, lw=3.5)
        told = f"{words}: {slope:+g} a pixel".replace("-", "\N{MINUS SIGN}")
        align = "right" if side < 0 else "left"
        ax.text(at + 0.3 * side, row[at], told, color=colour, ha=align, va="center", fontsize=10)
    ax.set(xlabel="place in the row (pixels)", ylabel="what is read", xticks=centres)
    ax.set_ylim(0, 1.12 * max(row))
    return fig


def readers(theta, size: tuple[int, int], pixel: tuple[int, int]) -> Figure:
    """Who reads the input pixel (row, column), and with what weight: [1, 2, 3], (h, w).

    Left the places that are read; red are those nearer to the pixel than its neighbours' centres
    are (the square). Right the output, with the weights in the pixels that read there.
    """
    grid = affine_grid(theta, size)
    places = np.asarray(geometry.to_pixels(grid[0], size))  # [h, w, 2], x first
    far = np.abs(places - np.array(pixel[::-1]))
    weights = np.clip(1 - far, 0, 1).prod(-1)  # [h, w]
    fig, (left, right) = plt.subplots(1, 2, figsize=(8, 4))
    for ax, title in ((left, "input: the places"), (right, "output: who reads it, how much")):
        for row, column in np.ndindex(*size):
            ax.add_patch(_box(column, row, "#e5e7eb", width=0.8))
        ax.set(xlim=(-0.6, size[1] - 0.4), ylim=(size[0] - 0.4, -0.6), aspect="equal")
        ax.set_title(title, fontsize=10)
        ax.axis("off")
    read = weights > 1e-6
    near = places.reshape(-1, 2)
    low, high = near.min(0).min() - 1, near.max(0).max() + 1  # a square view of what is read
    left.set(xlim=(low, high), ylim=(high, low))
    left.plot(*places[~read].T, "o", ms=2.5, color=GREY)
    left.plot(*places[read].T, "o", ms=3.5, color=READ)
    left.add_patch(_box(pixel[1], pixel[0], READ))
    corner = (pixel[1] - 1, pixel[0] - 1)
    left.add_patch(plt.Rectangle(corner, 2, 2, fill=False, ec=READ, lw=1, ls="--"))
    for row, column in np.argwhere(read):
        weight = weights[row, column]
        right.add_patch(
            plt.Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fc=READ, alpha=0.6 * weight)
        )
        text = f"{weight:.2f}".lstrip("0")
        right.text(column, row, text, ha="center", va="center", fontsize=9)
    return fig


def gradient_arrows(difference, d_places, d_theta) -> Figure:
    """-dL/d(x, y) as an arrow at every output pixel over the difference, and what they sum to.

    difference: output minus target [H, W]; d_places: [H, W, 2]; d_theta: [2, 3]. The bars are
    -dL/dtheta, so that they point where the arrows do.
    """
    difference, d_places, d_theta = (np.asarray(a) for a in (difference, d_places, d_theta))
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 4.1), width_ratios=[1.15, 1])
    bound = np.abs(difference).max()
    left.imshow(difference, cmap="RdGy", vmin=-1.6 * bound, vmax=1.6 * bound)
    y, x = np.mgrid[: difference.shape[0], : difference.shape[1]]
    u, v = -d_places[..., 0], -d_places[..., 1]
    length = np.hypot(u, v)
    strong = length > 0.04 * length.max()
    arrows = {"angles": "xy", "scale_units": "xy", "scale": length.max() / 2.2, "width": 0.006}
    left.quiver(x[strong], y[strong], u[strong], v[strong], color="#111827", **arrows)
    left.set_title("output - target, and -dL/d(x, y) as arrows", fontsize=10)
    tint = plt.get_cmap("RdGy")
    keys = {"red: the output has too little ink": 0.2, "grey: it has too much": 0.8}
    patches = [plt.Rectangle((0, 0), 1, 1, fc=tint(level)) for level in keys.values()]
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "ncols": 2, "frameon": False}
    left.legend(patches, list(keys), fontsize=9, **below)
    left.set(xticks=[], yticks=[])
    left.spines[:].set_visible(False)
    bars = right.barh(range(6), -d_theta.ravel(), color=[READ] * 3 + [WRITE] * 3)
    right.bar_label(bars, [f"{value:.3g}" for value in -d_theta.ravel()], padding=3, fontsize=9)
    factors = [f"Σ {part} of arrow · {by}" for part in "xy" for by in "xy1"]
    labels = [f"θ{k // 3 + 1}{k % 3 + 1}: {factor}" for k, factor in enumerate(factors)]
    right.set_yticks(range(6), labels, fontsize=9)
    right.axvline(0, color=GREY, lw=0.8)
    right.invert_yaxis()
    right.margins(x=0.25)
    right.set_title("all arrows summed: -dL/dθ", fontsize=10)
    fig.tight_layout()
    return fig
