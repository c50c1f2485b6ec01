"""Sliders and figures: thin Python over pure functions and over the ES modules in static/."""

import base64
import struct
import zlib
from pathlib import Path

import anywidget
import ipywidgets as ipw
import numpy as np
import traitlets as tr

STATIC = Path(__file__).parent / "static"
THETA = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORNERS = (-1.0, -1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0)  # clockwise from the top left


# ---------------------------------------------------------------- pixels as text
def to_bytes_list(image) -> list[int]:
    """A grey image as whole numbers 0..255, row by row.

    image: [h, w] (or [1, h, w]), floating point in [0, 1] or uint8; arrays and tensors alike.
    Raises TypeError for other types, ValueError for other shapes and values out of range.
    """
    image = np.asarray(image)
    image = image[0] if image.ndim == 3 and len(image) == 1 else image
    if image.ndim != 2 or image.size == 0:
        raise ValueError(f"image must have shape [h, w] or [1, h, w], got {list(image.shape)}")
    if np.issubdtype(image.dtype, np.floating):
        if not (image.min() >= 0 and image.max() <= 1):
            raise ValueError(f"image must lie in [0, 1], got {image.min():g} to {image.max():g}")
        image = np.rint(image.astype(np.float64) * 255).astype(np.uint8)
    elif image.dtype != np.uint8:
        raise TypeError(f"image must be floating point or uint8, got {image.dtype}")
    return image.ravel().tolist()


def png_base64(image) -> str:
    """A grey image (see `to_bytes_list`) as the base64 text of an 8-bit PNG."""
    values = to_bytes_list(image)
    height, width = np.shape(image)[-2:]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + bytes(values[k : k + width]) for k in range(0, len(values), width))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return base64.b64encode(png).decode()


def grid_picture(size: tuple[int, int] = (28, 28)) -> np.ndarray:
    """A picture to see a warp by: lines every four pixels and an F that shows flips.  # [h, w]"""
    height, width = size
    image = np.full(size, 40, np.uint8)
    image[2:-1:4, 1:-1] = image[1:-1, 2:-1:4] = 120
    top, left = height // 4, width // 3
    image[top : height - top, left : left + 2] = 255
    image[top : top + 2, left : width - left + 2] = 255
    image[height // 2 - 1 : height // 2 + 1, left : width - left] = 255
    return image


def picture_html(image, label: str, shapes: str = "", scale: int = 8) -> str:
    """A grey image as SVG, `scale` CSS pixels a pixel, with shapes drawn in pixel coordinates."""
    height, width = np.shape(image)[-2:]
    return (
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {width} {height}" '
        f'width="{width * scale}" height="{height * scale}" '
        f'style="margin-right:12px;max-width:100%" fill="none" stroke-width=".3">'
        f'<image href="data:image/png;base64,{png_base64(image)}" width="{width}" '
        f'height="{height}" style="image-rendering:pixelated;filter:invert(1)"/>{shapes}</svg>'
    )


# ---------------------------------------------------------------- the warp playground
class WarpPlayground(anywidget.AnyWidget):
    """Warp a digit and a test grid by hand: affine, homography, thin-plate spline.

    digit: one image as for `to_bytes_list`, or None for the test grid alone. `theta`, `corners`
    (where the output's corners are read: x, y clockwise from the top left) and `offsets` (x, y of
    each control point) are plain lists, in step with the page both ways; so are `mode` and
    `padding`. Raises TraitError for values that are not finite, too many or too few, and for
    corners that do not make a convex quadrilateral.
    """

    _esm = STATIC / "warp_playground.js"
    _css = STATIC / "warp_playground.css"

    mode = tr.Enum(["affine", "homography", "tps"], "affine").tag(sync=True)
    padding = tr.Enum(["background", "zeros", "border"], "background").tag(sync=True)
    theta = tr.List(tr.Float(), list(THETA)).tag(sync=True)
    corners = tr.List(tr.Float(), list(CORNERS)).tag(sync=True)
    shape = tr.List(tr.Int(), [4, 4], read_only=True).tag(sync=True)
    offsets = tr.List(tr.Float(), [0.0] * 32).tag(sync=True)
    size = tr.List(tr.Int(), read_only=True).tag(sync=True)
    names = tr.List(tr.Unicode(), read_only=True).tag(sync=True)
    pictures = tr.List(tr.Unicode(), read_only=True).tag(sync=True)
    picture = tr.Int(0).tag(sync=True)

    def __init__(self, digit=None, **values):
        size = (28, 28) if digit is None else tuple(np.shape(digit)[-2:])
        images = {} if digit is None else {"digit": to_bytes_list(digit)}
        images["test grid"] = to_bytes_list(grid_picture(size))
        self.set_trait("size", list(size))
        self.set_trait("names", list(images))
        self.set_trait("pictures", [base64.b64encode(bytes(v)).decode() for v in images.values()])
        super().__init__(**values)

    @tr.validate("theta", "corners", "offsets")
    def _numbers(self, proposal):
        name, values = proposal["trait"].name, proposal["value"]
        wanted = {"theta": 6, "corners": 8}.get(name, 2 * self.shape[0] * self.shape[1])
        if len(values) != wanted or not np.isfinite(values).all():
            raise tr.TraitError(f"{name} must be {wanted} finite numbers, got {values}")
        if name == "corners" and not is_convex(values):
            raise tr.TraitError(f"corners must make a convex quadrilateral, got {values}")
        return values

    @tr.validate("picture")
    def _picture(self, proposal):
        if not 0 <= proposal["value"] < len(self.names):
            raise tr.TraitError(
                f"picture must be 0..{len(self.names) - 1}, got {proposal['value']}"
            )
        return proposal["value"]

    def __repr__(self) -> str:
        return f"WarpPlayground(mode={self.mode!r}, theta={self.theta})"


def is_convex(corners) -> bool:
    """Whether four corners (x, y each), clockwise from the top left, make a convex quad."""
    a = np.reshape(corners, (4, 2))
    side = np.roll(a, -1, 0) - a
    after = np.roll(side, -1, 0)
    return bool((side[:, 0] * after[:, 1] - side[:, 1] * after[:, 0] > 1e-6).all())


# ---------------------------------------------------------------- theta by sliders
def _warped(image, theta):
    """The warped image [h, w] in [0, 1] and the grid [h, w, 2] in input pixels."""
    import torch

    from . import sampler

    height, width = np.shape(image)[-2:]
    pixels = torch.tensor(to_bytes_list(image)).view(1, 1, height, width) / 255
    theta = torch.tensor(theta, dtype=torch.float32).view(1, 2, 3)
    grid = sampler.affine_grid(theta, (height, width))
    places = ((grid[0] + 1) * torch.tensor([width, height]) - 1) / 2
    return sampler.bilinear_sample(pixels, grid)[0, 0].clamp(0, 1).numpy(), places.numpy()


def warp_html(image, theta) -> str:
    """The input with the box that theta reads (its top edge blue), the output, and theta."""
    output, _ = _warped(image, theta)
    height, width = output.shape
    x, y = np.reshape(theta, (2, 3)) @ np.vstack([np.reshape(CORNERS, (4, 2)).T, np.ones(4)]) + 1
    x, y = x * width / 2, y * height / 2
    corners = [f"{a:.3f},{b:.3f}" for a, b in zip(x, y, strict=True)]
    box = f'<polygon points="{" ".join(corners)}" stroke="#d9480f"/>'
    box += f'<polyline points="{" ".join(corners[:2])}" stroke="#1971c2" stroke-width=".6"/>'
    rows = ["  ".join(f"{v + 0.0:7.3f}" for v in row) for row in np.reshape(theta, (2, 3))]
    return (
        picture_html(image, "input with the box that is read", box)
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
    shapes += f'<circle cx="{x + 0.5:.3f}" cy="{y + 0.5:.3f}" r=".4" fill="#1971c2"/>'
    mark = f'<rect x="{column}" y="{row}" width="1" height="1" stroke="#1971c2"/>'
    return (
        picture_html(image, "input with the four pixels that are read", shapes)
        + picture_html(output, "output with the chosen pixel", mark)
        + f"<pre>{chr(10).join(lines)}\nsum = {output[row, column]:.3f}</pre>"
    )


class ThetaExplorer(ipw.VBox):
    """Sliders for theta, and for what the picture does, over `warp_html`; one output pixel's
    neighbours below it. `theta` is the list of six numbers that is shown."""

    def __init__(self, image):
        self.image, self._held = image, False
        wide = {"layout": ipw.Layout(width="260px"), "style": {"description_width": "70px"}}
        self.parts = {
            name: ipw.FloatSlider(value, min=low, max=high, step=step, description=name, **wide)
            for name, value, low, high, step in (
                ("rotate", 0, -180, 180, 1), ("scale", 1, 0.5, 2, 0.01), ("shear", 0, -45, 45, 1),
                ("shift x", 0, -0.5, 0.5, 0.01), ("shift y", 0, -0.5, 0.5, 0.01),
            )
        }  # fmt: skip
        self.numbers = [
            ipw.FloatSlider(
                v, min=-3, max=3, step=0.01, description=f"θ{k // 3 + 1}{k % 3 + 1}", **wide
            )
            for k, v in enumerate(THETA)
        ]
        height, width = np.shape(image)[-2:]
        self.pixel = [
            ipw.IntSlider(n // 2, min=0, max=n - 1, description=f"output {name}", **wide)
            for name, n in (("row", height), ("column", width))
        ]
        self.warp, self.neighbours = ipw.HTML(), ipw.HTML()
        for slider in self.parts.values():
            slider.observe(self._from_parts, "value")
        for slider in (*self.numbers, *self.pixel):
            slider.observe(self._draw, "value")
        columns = ipw.HBox([ipw.VBox(list(self.parts.values())), ipw.VBox(self.numbers)])
        below = ipw.HBox(self.pixel)
        super().__init__([columns, self.warp, below, self.neighbours])
        self._draw()

    @property
    def theta(self) -> list[float]:
        return [slider.value for slider in self.numbers]

    def _from_parts(self, _change=None):
        from . import geometry

        angle, scale, shear, x, y = (slider.value for slider in self.parts.values())
        theta = geometry.affine(angle, scale, shear, (x, y)).flatten().tolist()
        self._held = True
        for slider, value in zip(self.numbers, theta, strict=True):
            slider.value = value
        self._held = False
        self._draw()

    def _draw(self, _change=None):
        if self._held:
            return  # six numbers are being set: draw once, after the last
        row, column = (slider.value for slider in self.pixel)
        self.warp.value = warp_html(self.image, self.theta)
        self.neighbours.value = neighbours_html(self.image, self.theta, row, column)

    def __repr__(self) -> str:
        return f"ThetaExplorer(theta={self.theta})"
