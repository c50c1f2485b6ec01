"""Are two runs of a notebook the same? Texts exactly, pictures by their pixels."""

import base64
import io

import numpy as np
from nbformat import NotebookNode
from PIL import Image

# Rasterised text and lines may land a shade apart on another build of a library.
SHADE = 24  # of 255: a pixel within this is the same
MOST_OTHER_PIXELS = 0.01


def changed_outputs(stored: NotebookNode, again: NotebookNode, pixels: bool = True) -> list[str]:
    """What a second run shows otherwise, in words; cells tagged `live` are left out.

    `pixels=False` compares everything but the pictures: where the digits are others, those are.
    """
    found = []
    for k, (a, b) in enumerate(zip(stored.cells, again.cells, strict=True), 1):
        if a.cell_type != "code" or "live" in a.metadata.get("tags", []):
            continue
        if len(a.outputs) != len(b.outputs):
            found.append(f"cell {k} has {len(a.outputs)} outputs stored, {len(b.outputs)} now")
            continue
        for old, new in zip(a.outputs, b.outputs, strict=True):
            found += [f"cell {k}: {words}" for words in _differences(old, new, pixels)]
    return found


def _differences(old: NotebookNode, new: NotebookNode, pixels: bool) -> list[str]:
    if old.output_type != new.output_type:
        return [f"{old.output_type} stored, {new.output_type} now"]
    if old.output_type == "stream":
        same = (old.name, old.text) == (new.name, new.text)
        return (
            [] if same else [f"{old.text.strip()[-60:]!r} stored, {new.text.strip()[-60:]!r} now"]
        )
    if set(old.data) != set(new.data):
        return [f"{sorted(old.data)} stored, {sorted(new.data)} now"]
    found = []
    for mime in sorted(old.data):
        if mime == "image/png":
            if pixels:
                found += other_pixels(old.data[mime], new.data[mime])
        elif old.data[mime] != new.data[mime]:
            found.append(f"another {mime}")
    return found


def other_pixels(old: str, new: str) -> list[str]:
    """How two base64 PNGs differ beyond the tolerance; [] if they do not."""
    a, b = (_decode(png) for png in (old, new))
    if a.shape != b.shape:
        return [f"image of {a.shape[1]} x {a.shape[0]} stored, {b.shape[1]} x {b.shape[0]} now"]
    other = np.abs(a - b).max(axis=-1) > SHADE
    if other.mean() > MOST_OTHER_PIXELS:
        return [f"{other.mean():.1%} of the image's pixels differ"]
    return []


def _decode(png: str) -> np.ndarray:
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    return np.asarray(image).astype(np.int16)  # [H, W, 4]
