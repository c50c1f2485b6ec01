"""Pictures from files: whole, or as a digit laid out as MNIST's are. Nothing else opens one."""

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stn_course.extras import needs
from stn_course.geometry import check_size

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")


def pictures_below(folder: Path) -> list[Path]:
    """The files in `folder`, at any depth, whose names end as pictures' do, by name.

    Names that begin with a dot are none: macOS writes `._x.png` beside x.png.
    """
    named = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    return sorted(p for p in named if not any(n[0] == "." for n in p.relative_to(folder).parts))


def from_picture(path) -> Tensor:
    """A digit of one's own from an image file, laid out as MNIST's are.  # [1, 28, 28] in [0, 1]

    Grey, ink bright on dark (a light picture is inverted), its ink 20 pixels on the longer side
    and its centre of mass on pixel 14, 14. What is transparent is white. Raises ValueError for a
    picture of one colour, and for a file that `whole_picture` refuses.
    """
    with needs("course"):
        from PIL import Image

    grey = np.asarray(_opened(path, "L"), np.float32) / 255
    paper = np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
    ink = (grey - paper) * (1 if paper < 0.5 else -1)
    rows, columns = (np.flatnonzero((ink > 0.3).any(axis)) for axis in (1, 0))
    if not len(rows):
        raise ValueError(f"{path} has no ink on its paper; wanted a dark digit on light, or so")
    cut = np.clip(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 0, 1)
    size = [max(1, round(20 * n / max(cut.shape))) for n in cut.shape[::-1]]  # width, height
    small = Image.fromarray(np.uint8(255 * cut / cut.max())).resize(size, Image.Resampling.BOX)
    sheet = np.zeros((28, 28), np.float32)
    sheet[: size[1], : size[0]] = np.asarray(small, np.float32) / 255
    centre = [(sheet.sum(1 - k) * np.arange(28)).sum() / sheet.sum() for k in (0, 1)]
    down, right = (min(round(14 - c), 28 - n) for c, n in zip(centre, size[::-1], strict=True))
    return torch.from_numpy(np.roll(sheet, (max(0, down), max(0, right)), (0, 1)))[None]


def whole_picture(path, channels: int, size: tuple[int, int]) -> Tensor:
    """A picture from a file, stretched to `size` (height, width).  # [channels, h, w] in [0, 1]

    Shrunk by the mean over the area of each pixel. `channels` is 1 (grey) or 3 (red, green, blue):
    ValueError for another number, for a file that is no picture, and for one of many pictures, of
    numbers of 32 bits or of more than 80 million pixels. It is upright, and white where it is
    transparent.
    """
    with needs("course"):
        from PIL import Image

    if channels not in (1, 3):
        raise ValueError(f"channels={channels}; wanted 1 or 3: a picture has no others")
    size = check_size(size)
    made = _opened(path, "L" if channels == 1 else "RGB").resize(size[::-1], Image.Resampling.BOX)
    return torch.from_numpy(np.array(made, np.float32) / 255).view(*size, channels).movedim(2, 0)


def bytes_of(paths) -> Tensor:
    """Pictures from files, all of one size.  # uint8 [N, C, H, W]

    In colour (C = 3) if any of them has a colour. Where sizes differ, all are stretched to the
    median height and width. Raises ValueError as `whole_picture`, and, before a picture is read,
    for what may take more than 4 GB.
    """
    with needs("course"):
        from PIL import Image

    paths = list(paths)
    sizes, modes = zip(*(_looked_at(path, _size_and_mode) for path in paths), strict=True)
    width, height = (int(n) for n in np.median(sizes, axis=0))
    mode = "L" if GREY.issuperset(modes) else "RGB"
    shape = (len(paths), len(mode), height, width)  # a letter a channel
    if np.prod(shape) > MOST_BYTES:
        raise ValueError(f"pictures are {shape}; wanted less than 4 GB: make them smaller first")
    made, colour = torch.empty(shape, dtype=torch.uint8), False
    for k, path in enumerate(paths):  # one by one: as they are they may be far larger
        each = _opened(path, mode)
        colour = colour or mode == "RGB" and _has_colour(each)
        if each.size != (width, height):
            each = each.resize((width, height), Image.Resampling.BOX)
        made[k] = torch.from_numpy(np.array(each)).view(height, width, -1).movedim(2, 0)
    return made if colour else made[:, :1].contiguous()


def _size_and_mode(found) -> tuple[tuple[int, int], str]:
    """Width and height of a picture as it is meant to be seen, and its mode, before it is read."""
    sideways = found.width != found.height and found.getexif().get(ORIENTATION) in SIDEWAYS
    return found.size[::-1] if sideways else found.size, found.mode


def _has_colour(picture) -> bool:
    red, green, blue = np.asarray(picture).transpose(2, 0, 1)
    return bool((red != green).any() or (green != blue).any())


def _opened(path, mode: str):
    """The picture in the file as it is meant to be seen, in Pillow's `mode`: "L" or "RGB".

    Upright where a camera noted how it was held; on white where it is transparent; 16 bits as 8.
    Raises as `_looked_at`.
    """
    return _looked_at(path, lambda found: _as_seen(found).convert(mode))


def _looked_at(path, look):
    """What `look` makes of the picture in the file, as Pillow opens it: read only when asked.

    ValueError where the file is no picture, or one that has no single right reading.
    """
    with needs("course"):
        from PIL import Image, UnidentifiedImageError

    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `_unfit` says it
        try:
            with Image.open(file) as found:
                why = _unfit(found)
                if not why:
                    return look(found)
        except UnidentifiedImageError:
            why = "is no picture that can be read"
        except Image.DecompressionBombError:
            why = TOO_LARGE
        except Exception as error:  # of a damaged file Pillow says so in a dozen ways
            raise ValueError(f"{path} is no picture that can be read: {error}") from error
    raise ValueError(f"{path} {why}")


ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)  # of Exif
GREY = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"}  # modes without a colour
MOST_BYTES = 4_000_000_000
MOST_PIXELS = 80_000_000  # more take gigabytes on the way to a few
TOO_LARGE = f"has more than {MOST_PIXELS:,} pixels; wanted fewer: make it smaller first"


def _unfit(found) -> str:
    """Why a picture that Pillow opened has no single right reading; empty: it has one."""
    if found.width * found.height > MOST_PIXELS:
        return TOO_LARGE
    many = getattr(found, "n_frames", 1)
    if many > 1 and found.format != "MPO":  # of a phone: beside the picture what screens need
        return f"holds {many} pictures; wanted one, neither an animation nor pages"
    if found.mode == "F" or found.mode.startswith("I") and not _in_16_bits(found):
        return (
            f"has numbers of 32 bits (mode {found.mode}), whose white is not said; wanted 8 or 16"
        )
    return ""


def _in_16_bits(found) -> bool:
    return found.mode.startswith("I;16") or (found.mode, found.format) == ("I", "PPM")


def _as_seen(found):
    """The picture upright, without transparency, of 8 bits."""
    with needs("course"):
        from PIL import Image, ImageOps

    deep, found = _in_16_bits(found), ImageOps.exif_transpose(found)
    if deep:
        levels, clear = np.array(found, np.float32), found.info.get("transparency")
        levels[levels == clear] = 65535
        return Image.fromarray(np.uint8(levels / 257 + 0.5))
    if found.has_transparency_data:
        paper = Image.new("RGBA", found.size, "white")
        return Image.alpha_composite(paper, found.convert("RGBA")).convert("RGB")
    return found
