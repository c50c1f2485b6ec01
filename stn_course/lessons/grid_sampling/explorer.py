"""Theta by sliders, and the four input pixels behind one output pixel (notebook 02)."""

import ipywidgets as ipw
import numpy as np
import torch

from stn_course import geometry, sampling
from stn_course.analysis.plots import BLUE
from stn_course.lessons.widgets import THETA, LiveBox, picture_html, to_bytes_list


def _warped(image, theta):
    """The warped image [h, w] in [0, 1] and the grid [h, w, 2] in input pixels."""
    height, width = np.shape(image)[-2:]
    pixels = torch.tensor(to_bytes_list(image)).view(1, 1, height, width) / 255
    theta = torch.tensor(theta, dtype=torch.float32).view(1, 2, 3)
    grid = sampling.affine_grid(theta, (height, width))
    places = ((grid[0] + 1) * torch.tensor([width, height]) - 1) / 2
    return sampling.bilinear_sample(pixels, grid)[0, 0].clamp(0, 1).numpy(), places.numpy()


def warp_html(image, theta) -> str:
    """The input with the box that theta reads (its top edge blue), the output, and theta."""
    output, _ = _warped(image, theta)
    height, width = output.shape
    x, y = (sampling.outline(torch.tensor(theta, dtype=torch.float64).view(1, 2, 3))[0] + 1).T
    x, y = x * width / 2, y * height / 2
    corners = [f"{a:.3f},{b:.3f}" for a, b in zip(x, y, strict=True)]
    box = f'<polygon points="{" ".join(corners)}" stroke="#d9480f"/>'
    box += f'<polyline points="{" ".join(corners[:2])}" stroke="{BLUE}" stroke-width=".6"/>'
    rows = ["  ".join(f"{v + 0.0:7.3f}" for v in row) for row in np.reshape(theta, (2, 3))]
    return (
        picture_html(image, "input with the box that is read", box, margin=6)
        + picture_html(output, "output")
        + f"<pre>theta = [{rows[0]} ]\n        [{rows[1]} ]</pre>"
    )


def four_neighbours(image, theta, row: int, column: int) -> list[tuple[int, int, float]]:
    """The four input pixels that one output pixel reads: (row, column, weight); weights add to 1.

    Pixels outside the image are among them: there the background is read.
    """
    height, width = np.shape(image)[-2:]
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"row, column must lie in {height} x {width}, got {row}, {column}")
    x, y = (float(v) for v in _warped(image, theta)[1][row, column])
    i, j = int(np.floor(y)), int(np.floor(x))
    b, a = y - i, x - j
    weights = ((1 - b) * (1 - a), (1 - b) * a, b * (1 - a), b * a)
    return [(i + k // 2, j + k % 2, weight) for k, weight in enumerate(weights)]


def neighbours_html(image, theta, row: int, column: int) -> str:
    """One output pixel, the four input pixels that it reads, their values and weights."""
    output, places = _warped(image, theta)
    pixels = np.reshape(to_bytes_list(image), output.shape) / 255
    x, y = places[row, column]
    shapes, lines = "", []
    for i, j, weight in four_neighbours(image, theta, row, column):
        inside = 0 <= i < pixels.shape[0] and 0 <= j < pixels.shape[1]
        value = f"{pixels[i, j]:.3f}" if inside else "background"
        lines.append(f"row {i:3d}, column {j:3d}: weight {weight:.3f} x {value}")
        shapes += f'<rect x="{j}" y="{i}" width="1" height="1" stroke="#d9480f"/>'
    shapes += f'<circle cx="{x + 0.5:.3f}" cy="{y + 0.5:.3f}" r=".4" fill="{BLUE}"/>'
    mark = f'<rect x="{column}" y="{row}" width="1" height="1" stroke="{BLUE}"/>'
    return (
        picture_html(image, "input with the four pixels that are read", shapes, margin=6)
        + picture_html(output, "output with the chosen pixel", mark)
        + f"<pre>{chr(10).join(lines)}\nsum = {output[row, column]:.3f}</pre>"
    )


def parts_of(theta, size: tuple[int, int] = (1, 1)) -> tuple[list[float], float] | None:
    """([angle, scale, shear, shift x, shift y], aspect) of what the picture does; None without one.

    The inverse of `geometry.affine`. aspect: how much more it grows along y than along x, negative
    when mirrored; the scale is that of areas' square root. size: (height, width) of the picture.
    """
    (a, b, x), (d, e, y) = np.reshape(theta, (2, 3))
    if abs(a * e - b * d) < 1e-9:
        return None
    (a, b, x), (d, e, y) = geometry.invert(torch.tensor([[[a, b, x], [d, e, y]]]))[0].tolist()
    height, width = geometry.check_size(size)
    b, d = b / (height / width), d * (height / width)  # of pixels, which turn and shear
    det, wide = a * e - b * d, np.hypot(a, d)
    angle, shear = np.degrees(np.arctan2(-d, a)), np.degrees(np.arctan((a * b + d * e) / det))
    return [float(v) for v in (angle, np.sqrt(abs(det)), shear, x, y)], float(det / wide**2)


class ThetaExplorer(LiveBox):
    """Sliders for theta, and for what the picture does, over `warp_html`; one output pixel's
    neighbours below it. `theta` is the list of six numbers that is shown.

    image: [h, w] in [0, 1]; angle, scale, shear, shift: where the sliders start, as in
    `geometry.affine`; by default the picture is left as it is. A slider reaches further where a
    value asks for it. What theta has and no slider, an aspect or a mirror, stays as it is.
    """

    def __init__(self, image, angle=0, scale=1, shear=0, shift=(0, 0)):
        self.image, self._held, self._aspect = image, False, 1.0
        self.size = tuple(np.shape(image)[-2:])
        wide = {"layout": ipw.Layout(width="300px"), "style": {"description_width": "95px"}}
        self.parts = {
            name: ipw.FloatSlider(
                value,
                min=min(low, value),
                max=max(high, value),
                step=step,
                description=name,
                **wide,
            )
            for name, value, low, high, step in (
                ("rotate", angle, -180, 180, 1),
                ("scale", scale, 0.5, 2, 0.01),
                ("shear", shear, -45, 45, 1),
                ("shift x", shift[0], -0.5, 0.5, 0.01),
                ("shift y", shift[1], -0.5, 0.5, 0.01),
            )
        }
        # Not continuous, for the same reason as in `_from_numbers`.
        six = {"min": -3, "max": 3, "step": 0.01, "continuous_update": False, **wide}
        self.numbers = [
            ipw.FloatSlider(v, description=f"θ{k // 3 + 1}{k % 3 + 1}", **six)
            for k, v in enumerate(THETA)
        ]
        self.pixel = [
            ipw.IntSlider(n // 2, min=0, max=n - 1, description=f"output {name}", **wide)
            for name, n in zip(("row", "column"), self.size, strict=True)
        ]
        self.warp, self.neighbours = ipw.HTML(), ipw.HTML()
        for slider in self.parts.values():
            slider.observe(self._from_parts, "value")
        for slider in self.numbers:
            slider.observe(self._from_numbers, "value")
        for slider in self.pixel:
            slider.observe(self._draw, "value")
        columns = ipw.HBox([ipw.VBox(list(self.parts.values())), ipw.VBox(self.numbers)])
        below = ipw.HBox(self.pixel)
        super().__init__([columns, self.warp, below, self.neighbours])
        self._from_parts()

    @property
    def theta(self) -> list[float]:
        return [slider.value for slider in self.numbers]

    def _from_parts(self, _change=None):
        if self._held:
            return
        angle, scale, shear, x, y = (slider.value for slider in self.parts.values())
        q = abs(self._aspect) ** 0.5
        both = scale / q, scale * q * np.sign(self._aspect)
        theta = geometry.affine(angle, both, shear, (x, y), size=self.size).flatten().tolist()
        self._set(self.numbers, theta)
        self._draw()

    def _from_numbers(self, _change=None):
        if self._held:
            return
        # A line or a point has no parts: they stay behind.
        if found := parts_of(self.theta, self.size):
            values, self._aspect = found
            # In steps: a page rounds what it is told and would send that back as a move.
            sliders = self.parts.values()
            pairs = zip(sliders, values, strict=True)
            self._set(sliders, [round(s.step * round(v / s.step), 6) for s, v in pairs])
        self._draw()

    def _set(self, sliders, values) -> None:
        """Move `sliders` without a redraw for each."""
        self._held = True
        for slider, value in zip(sliders, values, strict=True):
            low, high = np.floor(value / slider.step), np.ceil(value / slider.step)
            slider.min = min(slider.min, round(low * slider.step, 6))
            slider.max = max(slider.max, round(high * slider.step, 6))
            slider.value = value
        self._held = False

    def _draw(self, _change=None):
        if self._held:
            return  # six numbers are being set: draw once, after the last
        row, column = (slider.value for slider in self.pixel)
        self.warp.value = warp_html(self.image, self.theta)
        self.neighbours.value = neighbours_html(self.image, self.theta, row, column)

    def __repr__(self) -> str:
        # Rounded: the last digits differ from machine to machine.
        return f"ThetaExplorer(theta={[round(v, 3) + 0.0 for v in self.theta]})"
