"""The figures of notebook 05: squares, maps, the eight numbers of a homography, its horizon."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stn_course.analysis.plots import (
    BLUE,
    CROSS,
    GREY,
    HELD,
    READ,
    SEEN,
    WRITE,
    WRONG,
    show_image,
)


# ---------------------------------------------------------------- places of squares
def _canvas(ax, canvas: int, title: str = "") -> None:
    ax.set(xlim=(-0.5, canvas - 0.5), ylim=(canvas - 0.5, -0.5), aspect="equal")
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=10)
    ax.grid(False)
    ax.spines[:].set(visible=True, color="#9ca3af")


def square_places(image, at, train, test) -> Figure:
    """A square on its canvas [H, W] with its middle `at` (x, y); where the middles lie [N, 2]."""
    image = np.asarray(image).squeeze()
    fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.2))
    for ax, title in ((left, f"the square at {tuple(at)}"), (right, "all its places")):
        _canvas(ax, len(image), title)
    left.imshow(image, cmap="gray_r", vmin=0, vmax=1.4)
    left.plot(*at, "o", ms=4, color=HELD)
    size = {"ms": 90 / len(image), "ls": "none", "marker": "s"}
    right.plot(*np.asarray(train).T, color=SEEN, alpha=0.55, label="to learn from", **size)
    right.plot(*np.asarray(test).T, color=HELD, alpha=0.55, label="held out", **size)
    fig.legend(loc="outside right center", fontsize=9, markerscale=2.5)
    fig.tight_layout(rect=(0, 0, 0.84, 1))
    return fig


def miss_maps(misses: dict[str, np.ndarray], canvas: int, held_from: int) -> Figure:
    """By how many pixels each network misses a square in every place.

    misses: name -> [N, 3] of x, y and distance; the places right of and below `held_from` were
    held out and are framed.
    """
    fig, axes = plt.subplots(1, len(misses), figsize=(3.4 * len(misses) + 0.8, 3.3))
    for ax, (name, rows) in zip(np.atleast_1d(axes), misses.items(), strict=True):
        _canvas(ax, canvas, name)
        shades = np.full((canvas, canvas), np.nan)
        x, y, distance = np.asarray(rows, float).T
        shades[y.astype(int), x.astype(int)] = distance
        drawn = ax.imshow(shades, cmap="YlOrRd", vmin=0, vmax=8)
        side = x.max() - held_from + 0.5
        ax.add_patch(plt.Rectangle((held_from, held_from), side, side, fill=False, ec="k", lw=1.5))
    fig.colorbar(drawn, ax=axes, label="misses by (pixels)", shrink=0.85, extend="max")
    return fig


def maps(images: dict[str, np.ndarray], cmap: str = "RdBu_r") -> Figure:
    """Maps [H, W] side by side, each with its own scale around 0."""
    fig, axes = plt.subplots(1, len(images), figsize=(2.4 * len(images), 2.5), squeeze=False)
    for ax, (name, image) in zip(axes[0], images.items(), strict=True):
        image = np.asarray(image)
        bound = max(np.abs(image).max(), 1e-6)
        ax.imshow(image, cmap=cmap, vmin=-bound, vmax=bound, interpolation="nearest")
        ax.set_title(name, fontsize=10)
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
    fig.tight_layout()
    return fig


OUT, TOP = WRITE, BLUE
FRAME = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])


def _mapped(h, points) -> np.ndarray:
    """Points [..., 2] through H [3, 3], behind its horizon too.

    `geometry.transform_points` refuses these, and one of the figures is about them.
    """
    points, h = np.asarray(points, float), np.asarray(h, float)
    u, v, w = np.moveaxis(points @ h[:, :2].T + h[:, 2], -1, 0)
    return np.stack([u / w, v / w], -1)


def _in_pixels(points, size: int) -> np.ndarray:
    return (points + 1) * size / 2 - 0.5


def _lattice(ax: Axes, h, size: int, lines: int = 7, lw: float = 0.8) -> None:
    """The output's grid where H reads it in an image of `size` pixels; its top edge blue."""
    along = np.linspace(-1, 1, 40)
    for at in np.linspace(-1, 1, lines):
        for line in (np.stack([along, 0 * along + at], 1), np.stack([0 * along + at, along], 1)):
            ax.plot(*_in_pixels(_mapped(h, line), size).T, color=READ, lw=lw)
    ax.plot(*_in_pixels(_mapped(h, FRAME[:2]), size).T, color=TOP, lw=2.5)


def _view(ax: Axes, size: int, room: float = 0.35) -> None:
    edge = plt.Rectangle((-0.5, -0.5), size, size, fill=False, ec="#9ca3af", lw=0.8, ls=":")
    ax.add_patch(edge)
    low, high = -0.5 - room * size, (1 + room) * size - 0.5
    ax.set(xlim=(low, high), ylim=(high, low))


def eight_numbers(image, cases: dict[str, tuple]) -> Figure:
    """For each name: the image [h, w] with the grid that H [3, 3] reads, and what comes out.

    cases: name -> (H, output [h, w]); four a row, each above its output.
    """
    rows = -(-len(cases) // 4)
    fig, axes = plt.subplots(2 * rows, 4, figsize=(8.4, 4.2 * rows))
    for k, (name, (h, output)) in enumerate(cases.items()):
        above, below = axes[2 * (k // 4), k % 4], axes[2 * (k // 4) + 1, k % 4]
        show_image(above, image, name)
        _lattice(above, h, np.shape(image)[-1])
        _view(above, np.shape(image)[-1], 0.25)
        show_image(below, output)
        below.plot([-0.5, np.shape(output)[-1] - 0.5], [-0.5, -0.5], color=TOP, lw=3)
    fig.tight_layout()
    return fig


def worked_w(h) -> Figure:
    """The output's frame with w written in each corner and the middle, and where each is read."""
    h = np.asarray(h, float)
    points = np.vstack([FRAME, [[0, 0]]])
    w = points @ h[2, :2] + h[2, 2]
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.4))
    for ax, places, title in (
        (left, points, "output: w"),
        (right, _mapped(h, points), "input: where it is read"),
    ):
        frame = np.vstack([places[:4], places[:1]])
        ax.plot(*frame.T, color=READ if ax is right else OUT, lw=1.5)
        ax.plot(*places[:2].T, color=TOP, lw=3)
        for k, (place, value) in enumerate(zip(places, w, strict=True)):
            ax.plot(*place, "o", color=READ if ax is right else OUT)
            text = f"{value:.2g}" if ax is left else f"({place[0]:.3g}, {place[1]:.3g})"
            x, y = place - places.mean(0)  # each away from the middle, where lines do not cross it
            beside = {"ha": "right" if x < -0.1 else "left", "va": "bottom" if y < 0.1 else "top"}
            shift = (-6 if x < -0.1 else 6, 4 if y < 0.1 else -4)
            if k == len(FRAME):  # the middle itself: no side is away from it
                beside, shift = {"ha": "center", "va": "top"}, (0, -6)
            ax.annotate(text, place, shift, textcoords="offset points", fontsize=10, **beside)
        ax.set(xlim=(-4.8, 3.3), ylim=(3.4, -2.0), aspect="equal", title=title)
        ax.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    fig.tight_layout()
    return fig


def _w_in_corners(quad) -> np.ndarray:
    """w in the output's corners where H reads them at quad [4, 2], up to one scale; mean 1.  # [4]

    Each is the area of the triangle that the other three make: for a quad of which there is no H
    this is still a number. Of a quad without any area all are 0.
    """
    quad = np.asarray(quad, float)
    areas = []
    for k in range(4):
        (a, b), (c, d) = quad[[(k + 2) % 4, (k + 3) % 4]] - quad[(k + 1) % 4]
        areas.append(a * d - b * c)
    mean = np.mean(areas)
    return np.divide(areas, mean, where=mean != 0, out=np.zeros(4))


def quads(cases: dict[str, Sequence]) -> Figure:
    """Each quad [4, 2] with w beside its corners, crossed and bold where it is not above 0."""
    fig, axes = plt.subplots(1, len(cases), figsize=(2.3 * len(cases), 2.7), squeeze=False)
    for ax, (name, quad) in zip(axes[0], cases.items(), strict=True):
        quad = np.asarray(quad, float)
        ax.plot(*np.vstack([quad, quad[:1]]).T, color=READ, lw=1.5, marker="o", ms=5)
        ax.plot(*quad[:2].T, color=TOP, lw=3)
        there = {tuple(place): w for place, w in zip(quad, _w_in_corners(quad), strict=True)}
        for place, w in there.items():  # of twins once
            x, y = np.sign(place - quad.mean(0))  # outwards
            text, look = f"{w:.2f}".replace("-", "\N{MINUS SIGN}"), {}
            if w < 1e-9:
                text, look = f"{CROSS} {text}", {"color": WRONG, "fontweight": "bold"}
            look |= {"ha": "left" if x > 0 else "right", "va": "top" if y > 0 else "bottom"}
            ax.annotate(text, place, (4 * x, -4 * y), textcoords="offset points", **look)
        ax.set(xlim=(-2, 2), ylim=(1.5, -1.5), aspect="equal")
        ax.axis("off")
        ax.set_title(name, fontsize=10)
    fig.tight_layout()
    return fig


def horizon(image, cases: dict[str, np.ndarray]) -> Figure:
    """The reading grid of each H [3, 3] as it nears the horizon, and below it w along the row."""
    fig, axes = plt.subplots(2, len(cases), figsize=(2.5 * len(cases), 4.2), height_ratios=[2, 1])
    x = np.linspace(-1, 1, 60)
    for (above, below), (name, h) in zip(axes.T, cases.items(), strict=True):
        show_image(above, image, name)
        _lattice(above, h, np.shape(image)[-1], lw=0.6)
        _view(above, np.shape(image)[-1], 1.0)
        below.plot(x, 1 + float(h[2][0]) * x, color=OUT)
        below.axhline(0, color=READ, lw=1)
        below.set(xlim=(-1, 1), ylim=(-0.3, 2.2), xticks=[-1, 0, 1], xlabel="x in the output")
    axes[1, 0].set_ylabel("w")
    fig.tight_layout()
    return fig


def log_curves(curves: dict[str, Sequence[float]], xlabel: str, ylabel: str) -> Figure:
    """Curves on a logarithmic axis, a dot a step; a 0 is not drawn."""
    fig, ax = plt.subplots(figsize=(6.6, 3.3))
    looks = (("o", READ), ("s", OUT), ("^", "#8f6bb1"), ("D", "#dd9e2f"))
    for (name, values), (marker, colour) in zip(curves.items(), looks, strict=False):
        values = np.where(np.asarray(values, float) > 0, values, np.nan)
        ax.plot(range(len(values)), values, marker=marker, ms=5, color=colour, label=name)
    ax.set(yscale="log", xlabel=xlabel, ylabel=ylabel)
    ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def straightened(images, found, true, outputs: dict[str, np.ndarray]) -> Figure:
    """Digits with the quad that is read (red) and the true one (dashed); below, what comes out.

    images: [N, 1, h, w]; found, true: H [N, 3, 3] each; outputs: name -> [N, 1, h, w].
    """
    n = len(images)
    rows = 1 + len(outputs)
    fig, axes = plt.subplots(rows, n, figsize=(1.25 * n, 1.35 * rows), squeeze=False)
    for k in range(n):
        size = np.shape(images[k])[-1]
        show_image(axes[0, k], images[k])
        looks = {"true": {"color": GREY, "ls": "--"}, "read": {"color": READ}}
        for h, (name, style) in zip((true[k], found[k]), looks.items(), strict=True):
            quad = _in_pixels(_mapped(h, FRAME), size)
            axes[0, k].plot(*np.vstack([quad, quad[:1]]).T, lw=1.4, label=name, **style)
        _view(axes[0, k], size, 0.3)
        for row, made in enumerate(outputs.values(), 1):
            show_image(axes[row, k], made[k])
    for row, name in enumerate(["read here", *outputs]):
        axes[row, 0].set_ylabel(name, fontsize=9)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    fig.tight_layout(rect=(0, 0, 1, 0.93))
    return fig


def before_after(rows: dict[str, tuple[dict, float | None]]) -> Figure:
    """How far off each family reads, before (a ring) and after (a dot), in a panel a measure.

    rows: name -> what `helpers.straightening` says of it. Small dots are seeds; beside each
    family stands its smallest w. A family that has no after has the ring alone.
    """
    measures = list(next(iter(rows.values()))[0])
    size = (2.8 * len(measures), 0.6 * len(rows) + 1.2)
    layout = {"figsize": size, "sharex": True, "sharey": True, "squeeze": False}
    fig, axes = plt.subplots(1, len(measures), **layout)
    for y, (found, _) in enumerate(rows.values()):
        for ax, name in zip(axes[0], measures, strict=True):
            before, after = found[name]
            ax.plot(before, y, "o", ms=9, mfc="white", mec=GREY, mew=1.5, zorder=3)
            if after:
                mean = np.mean(after)
                ax.plot([before, mean], [y, y], color=GREY, lw=1)
                ax.plot(after, [y + 0.28] * len(after), ".", ms=5, color=GREY)
                ax.plot(mean, y, "D", ms=7, color=WRITE, zorder=4)
    for ax, name in zip(axes[0], measures, strict=True):
        ax.set_title(name.replace(", ", ",\n"), fontsize=10)
        ax.set(xlabel="off by (pixels)", ylim=(len(rows) - 0.4, -0.6))
        ax.margins(x=0.1)
        ax.grid(axis="y", visible=False)
    told = [f"{n}\nw ≥ {w:.2f}" if w is not None else n for n, (_, w) in rows.items()]
    axes[0, 0].set_yticks(range(len(rows)), told, fontsize=9)
    axes[0, 0].plot([], [], "o", ms=9, mfc="white", mec=GREY, mew=1.5, label="before")
    axes[0, 0].plot([], [], "D", ms=7, color=WRITE, label="after, mean over the seeds")
    axes[0, 0].plot([], [], ".", ms=5, color=GREY, label="after, one seed")
    fig.legend(loc="outside upper center", ncols=3, fontsize=9)
    fig.tight_layout(rect=(0, 0, 1, 0.92))
    return fig


def basin(distances: Sequence[float], shares: dict[str, Sequence[float]]) -> Figure:
    """The share of starts that arrive, against how far away they start."""
    fig, ax = plt.subplots(figsize=(6.2, 3.1))
    looks = (("o", "-", READ), ("s", "--", OUT))
    for (name, values), (marker, line, colour) in zip(shares.items(), looks, strict=False):
        ax.plot(distances, values, line, marker=marker, color=colour, label=name)
    ax.set(xlabel="corners start off by (pixels)", ylabel="found (%)", ylim=(-4, 104))
    ax.legend()
    return fig
