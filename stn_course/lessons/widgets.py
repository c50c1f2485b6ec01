"""Pixels as text, and widgets: thin Python over the ES modules in static/.

The sliders of single notebooks stand in modules of their own (`lessons.grid_sampling.explorer`),
each in a `LiveBox`.
"""

import base64
import io
import re
from pathlib import Path

import anywidget
import ipywidgets as ipw
import numpy as np
import traitlets as tr
from PIL import Image

from stn_course.lessons import stills


def bars_html(name: str, probabilities: list[float]) -> str:
    """One network's belief as ten labelled bars; the largest is green.

    Of colours that stand out on light and on dark pages alike.
    """
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    rows = "".join(
        f'<div style="display:flex;align-items:center;height:17px">'
        f'<span style="width:16px">{digit}</span>'
        f'<span style="width:{130 * p:.0f}px;height:11px;'
        f'{"background:#2a9d8f" if digit == best else "background:currentColor;opacity:.3"}">'
        "</span>"
        f'<span style="font-size:11px;margin-left:4px">{100 * p:.0f} %</span></div>'
        for digit, p in enumerate(probabilities)
    )
    return (
        f'<div role="img" aria-label="{name} says {best}, {100 * probabilities[best]:.0f} percent"'
        f' style="width:210px"><b>{name}: {best}</b>{rows}</div>'
    )


STATIC = Path(__file__).parent / "static"
THETA = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORNERS = (-1.0, -1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0)  # clockwise from the top left


LIVE = "live-figure"  # the class of a LiveBox on the page


# ---------------------------------------------------------------- the notebook's keys
def section(name: str) -> str:
    """The part of warp_playground.js under the line that says `name`.

    Shared as text, because a widget on a page without a kernel has no address to import from.
    Raises ValueError where there is no such line.
    """
    text = (STATIC / "warp_playground.js").read_text("utf-8")
    _, *pieces = re.split(r"^// -{64} (.*)\n", text, flags=re.M)
    parts = dict(zip(pieces[::2], pieces[1::2], strict=True))
    if name not in parts:
        raise ValueError(f"warp_playground.js has no part {name!r}; it has {', '.join(parts)}")
    return parts[name]


def sections(*names: str) -> str:
    """Those parts of warp_playground.js, and the one that keeps a view equal to its model."""
    return "".join(map(section, (*names, "a view and its model")))


class KeyGuard(anywidget.AnyWidget):
    """Shows nothing; keeps the notebook's keys off what is focused in a LiveBox."""

    _esm = section("the notebook's keys") + (
        f'export default {{ render: () => guardKeys(document, ".{LIVE}") }};\n'
    )


class LiveBox(ipw.VBox):
    """Sliders and what they draw, one below the other; d, d in one of them deletes no cell."""

    def __init__(self, children):
        guard = KeyGuard(layout=ipw.Layout(display="none"))
        super().__init__([*children, guard], _dom_classes=(LIVE,))


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
    pixels = np.array(to_bytes_list(image), np.uint8).reshape(np.shape(image)[-2:])
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


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


def picture_html(image, label: str, shapes: str = "", margin: int = 0, scale: int = 8) -> str:
    """A grey image as SVG, dark as 1, with shapes in pixel coordinates drawn over it.

    margin: pixels of paper around it, so that shapes may lie outside; scale: CSS pixels a pixel.
    """
    height, width = np.shape(image)[-2:]
    across, down = width + 2 * margin, height + 2 * margin
    return (
        f'<svg role="img" aria-label="{label}" viewBox="{-margin} {-margin} {across} {down}" '
        f'width="{across * scale}" height="{down * scale}" fill="none" stroke-width=".3" '
        f'style="background:#fff;border:1px solid #999;margin-right:12px;max-width:100%;'
        f'height:auto">'
        f'<image href="data:image/png;base64,{png_base64(image)}" width="{width}" '
        f'height="{height}" style="image-rendering:pixelated;filter:invert(1)"/>{shapes}</svg>'
    )


# ---------------------------------------------------------------- the warp playground
class PictureWidget(stills.LiveFigure):
    """A widget that shows one of some pictures: the given `digit`, if any, and the test grid.

    `size` (H, W) is theirs; `pictures` are bytes in base64, by `names`; `picture` is the
    number of the one that is shown. Raises TraitError for a number that none of them has.
    """

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

    @classmethod
    def transform(cls, state: dict):
        """What the figure of this state reads with, as `reference.warp` takes it."""
        raise NotImplementedError(f"{cls.__name__} has no transform")

    @classmethod
    def still(cls, state: dict):
        image = stills.pixels(state["pictures"][state["picture"]], state["size"])
        transform = cls.transform(state)
        boxes = ((stills.edge(transform), stills.BOX),)
        panels = [
            stills.Panel(image, "The input, and where it is read", boxes),
            stills.Panel(stills.read(image, transform), "What is read"),
        ]
        name = state["names"][state["picture"]]
        alt = f"{name}: the input with the outline of what is read, and what is read beside it."
        wide = image.shape[1] > 2 * image.shape[0]  # side by side they would be low
        return stills.drawn(panels, rows=2 if wide else 1), alt

    @tr.validate("picture")
    def _picture(self, proposal):
        if not 0 <= proposal["value"] < len(self.names):
            raise tr.TraitError(
                f"picture must be 0..{len(self.names) - 1}, got {proposal['value']}"
            )
        return proposal["value"]


def packed(values: list, _widget=None) -> dict | list:
    """Nested lists of numbers as the page gets them: a `shape`, and float32 in base64.

    A notebook stores a list with a line for each number.
    """
    array = np.asarray(values, "<f4")
    data = base64.b64encode(array.tobytes()).decode()
    return {"shape": list(array.shape), "data": data} if array.size else []


class Looks(stills.LiveFigure):
    """Pictures with the boxes that are read of them, step by step: moved, and played.

    pictures: N grey images [h, w] as for `to_bytes_list`; thetas [N, T, 2, 3] or, of homographies,
    [N, T, 3, 3]; `steps` the names of the T steps, each a `word`; `captions` those of the pictures.
    What is read has the size `crop` (H, W): in the page it is drawn from theta, or it is `crops`
    [N, T, H, W]. `pens`: a colour and dashes for each step, where the boxes of earlier steps stay.
    With `beliefs` [N, S, 10] and `labels` [N, S] it shows one picture at a time and what is
    believed of digit s. With a `scene` the pictures are rows with scraps on them, R of them with
    K scatterings at L levels each: N = R * K * L, in this order, and `labels` [R, S] of the rows.
    The page puts them together itself, of `pool` (digits), `digits` and `scraps` (for each of R,
    and of R * K, the numbers of `data.clutter.fresh.Places`; all bytes in base64), `side` (of a
    scrap) and `levels` (how many scraps). `clutter` is the level that is shown, `scattering` the
    way. Raises ValueError where these do not fit together, TraitError for a `step`, a `picture`,
    a `clutter` or a `scattering` that is not there.
    """

    _esm = sections("pure functions", "the notebook's keys", "parts of a figure") + (
        STATIC / "looks.js"
    ).read_text("utf-8")
    _css = "\n".join(
        (STATIC / name).read_text("utf-8") for name in ("warp_playground.css", "looks.css")
    )

    pictures = tr.List(tr.Unicode(), read_only=True).tag(sync=True)
    size = tr.List(tr.Int(), read_only=True).tag(sync=True)
    thetas = tr.List(read_only=True).tag(sync=True, to_json=packed)
    crops = tr.List(read_only=True).tag(sync=True)
    crop = tr.List(tr.Int(), read_only=True).tag(sync=True)
    steps = tr.List(read_only=True).tag(sync=True)
    word = tr.Unicode("step", read_only=True).tag(sync=True)
    pens = tr.List(read_only=True).tag(sync=True)
    beliefs = tr.List(read_only=True).tag(sync=True, to_json=packed)
    labels = tr.List(read_only=True).tag(sync=True)
    captions = tr.List(tr.Unicode(), read_only=True).tag(sync=True)
    margin = tr.Int(4, read_only=True).tag(sync=True)
    step = tr.Int(0).tag(sync=True)
    picture = tr.Int(-1).tag(sync=True)  # the one that is shown; -1: all
    scene = tr.Dict(read_only=True).tag(sync=True)
    clutter = tr.Int(0).tag(sync=True)
    scattering = tr.Int(0).tag(sync=True)

    def __init__(self, pictures, thetas, steps, crop, *, crops=(), beliefs=(), labels=(), **fixed):
        if len(thetas) != len(pictures) or {len(each) for each in thetas} != {len(thetas[0])}:
            raise ValueError(
                f"thetas {list(np.shape(thetas))} for {len(pictures)} pictures; wanted "
                "[pictures, steps, 2, 3]"
            )
        flat = np.asarray(thetas, float).reshape(*np.shape(thetas)[:2], -1)  # [N, T, 6 or 9]
        given = {
            "pictures": [] if fixed.get("scene") else [as_text(each) for each in pictures],
            "size": list(np.shape(pictures[0])[-2:]),
            "thetas": flat.round(5).tolist(),
            "crops": [[as_text(each) for each in row] for row in crops],
            "crop": list(crop),
            "steps": list(steps),
            "beliefs": np.asarray(beliefs, float).round(4).tolist(),
            "labels": np.asarray(labels).tolist(),
        }
        for name, value in (given | fixed).items():
            self.set_trait(name, value)
        super().__init__(picture=0 if len(given["beliefs"]) else -1)

    @classmethod
    def still(cls, state: dict):
        import torch

        thetas, beliefs = (unpacked(state[name]) for name in ("thetas", "beliefs"))
        panels, alone = [], state["picture"] >= 0
        shown = [state["picture"]] if alone else range(len(state["pictures"]))
        for k in shown:
            way, image = _look(state, k)
            t = min(state["step"], len(thetas[way]) - 1)
            theta = torch.tensor(thetas[way][t]).view(1, -1, 3)
            if state["crops"]:
                crop = stills.pixels(state["crops"][way][t], state["crop"])
            else:
                crop = stills.read(image, theta, tuple(state["crop"]))
            title = state["captions"][k] if state["captions"] else ""
            panels.append((stills.Panel(image, title, ((stills.edge(theta), stills.BOX),)), crop))
        step = f"{state['word']} {state['steps'][state['step']]}"
        alt = f"Where is read at {step} in {len(panels)} pictures, and what is read of each below."
        if not alone:
            flat = [panel for panel, _ in panels] + [stills.Panel(crop) for _, crop in panels]
            return stills.drawn(flat, rows=2), alt
        best, true = beliefs[way][state["step"]], state["labels"][k][state["step"]]
        said = f"it says {int(np.argmax(best))}, and it is a {true}"
        (panel, crop), *_ = panels
        alt = f"A row of digits with the box of {step}, and what is read there: {said}."
        return stills.drawn([panel, stills.Panel(crop, f"{step}: {said}")]), alt

    @property
    def rows(self) -> int:
        """How many pictures there are to choose from."""
        return len(self.scene["digits"]) if self.scene else len(self.pictures)

    @tr.validate("step", "picture", "clutter", "scattering")
    def _there(self, proposal):
        name, value, scene = proposal["trait"].name, proposal["value"], self.scene
        there = {
            "step": range(len(self.steps)),
            "picture": range(self.rows) if self.beliefs else [-1],
            "clutter": scene["levels"] if scene else [0],
            "scattering": range(len(scene["scraps"]) // self.rows if scene else 1),
        }[name]
        if value not in there:
            wanted = ", ".join(map(str, there)) if name == "clutter" else f"{there[0]}..{there[-1]}"
            raise tr.TraitError(f"{name} must be {wanted}, got {value}")
        return value


def unpacked(stored: dict | list) -> list:
    """The nested lists that `packed` packed; lists stay, as an older notebook has them."""
    if isinstance(stored, list):
        return stored
    flat = np.frombuffer(base64.b64decode(stored["data"]), "<f4")
    return flat.reshape(stored["shape"]).astype(float).tolist()


def _look(state: dict, k: int) -> tuple[int, np.ndarray]:
    """Which of the stored looks is shown of picture `k`, and that picture."""
    scene = state.get("scene")
    if not scene:
        return k, stills.pixels(state["pictures"][k], state["size"])
    import torch

    from stn_course.data.clutter.fresh import Places, put_together

    ways = len(scene["scraps"]) // len(scene["digits"])
    look = k * ways + state["scattering"]
    whole = lambda text, n: torch.tensor(list(base64.b64decode(text))).view(1, -1, n)  # noqa: E731
    places = Places(
        whole(scene["digits"][k], 3), whole(scene["scraps"][look], 5)[:, : state["clutter"]]
    )
    pool = np.stack([stills.pixels(text, (28, 28)) for text in scene["pool"]]) / 255
    made = put_together(torch.tensor(pool)[:, None], places, state["size"][0], scene["side"])
    return look * len(scene["levels"]) + scene["levels"].index(state["clutter"]), (
        255 * made[0, 0].numpy()
    )


def as_text(image) -> str:
    """The bytes of a grey image (see `to_bytes_list`) in base64."""
    return base64.b64encode(bytes(to_bytes_list(image))).decode()


class WarpPlayground(PictureWidget):
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

    @tr.validate("theta", "corners", "offsets")
    def _numbers(self, proposal):
        name, values = proposal["trait"].name, proposal["value"]
        wanted = {"theta": 6, "corners": 8}.get(name, 2 * self.shape[0] * self.shape[1])
        if len(values) != wanted or not np.isfinite(values).all():
            raise tr.TraitError(f"{name} must be {wanted} finite numbers, got {values}")
        if name == "corners" and not is_convex(values):
            raise tr.TraitError(f"corners must make a convex quadrilateral, got {values}")
        return values

    @classmethod
    def transform(cls, state: dict):
        if state["mode"] == "homography":
            return corners_read(state["corners"])
        import torch

        numbers, shape = (
            (state["theta"], (1, 2, 3))
            if state["mode"] == "affine"
            else (state["offsets"], (1, *state["shape"], 2))
        )
        return torch.tensor(numbers, dtype=torch.float64).view(shape)

    def __repr__(self) -> str:
        return f"WarpPlayground(mode={self.mode!r}, theta={self.theta})"


def corners_read(corners):
    """The homography that reads an output's corners at `corners`.  # [1, 3, 3]"""
    import torch

    from stn_course.geometry import homography_from_corners

    places = torch.tensor([CORNERS, corners], dtype=torch.float64).view(2, 1, 4, 2)
    return homography_from_corners(places[0], places[1])


def is_convex(corners) -> bool:
    """Whether four corners (x, y each), clockwise from the top left, make a convex quad."""
    a = np.reshape(corners, (4, 2))
    side = np.roll(a, -1, 0) - a
    after = np.roll(side, -1, 0)
    return bool((side[:, 0] * after[:, 1] - side[:, 1] * after[:, 0] > 1e-6).all())
