"""Pictures of every kind that Pillow reads: right, or refused by name."""

import warnings
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from stn_course import data
from stn_course.data import pictures

# A grey ramp with a dark and a bright corner, so that no turn of it is like another.
RAMP = np.uint8(np.linspace(40, 200, 48).reshape(6, 8))
RAMP[0, 0], RAMP[-1, -1] = 0, 255
INK = np.full((40, 30), 255, np.uint8)
INK[6:36, 12:17] = INK[6:11, 12:25] = 0  # no turn of it is like another


def saved(tmp_path, image, name="x.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def grey(path, size=RAMP.shape):
    return 255 * data.whole_picture(path, 1, size)[0]


def near(found, wanted, levels=0.6):
    assert np.abs(found.numpy() - wanted).max() <= levels


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("how", range(1, 9))
def test_a_picture_is_upright_however_the_camera_was_held(tmp_path, how, suffix):
    turned = Image.fromarray(INK)
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's turn that the note will undo
    if how in back:
        turned = turned.transpose(Image.Transpose(back[how]))
    exif = Image.Exif()
    exif[0x0112] = how
    path = saved(tmp_path, turned.convert("RGB"), f"x.{suffix}", exif=exif, quality=95)
    near(grey(path, INK.shape), INK, 30)  # JPEG rounds
    upright = data.from_picture(saved(tmp_path, Image.fromarray(INK)))
    assert (data.from_picture(path) - upright).abs().mean() < 0.01


@pytest.mark.parametrize("kind", ["RGBA", "LA", "PA", "P", "P with levels", "L", "RGB", "1"])
def test_what_is_transparent_is_white(tmp_path, kind):
    ink, options = INK, {}
    clear = Image.fromarray(np.where(ink, 0, 255).astype(np.uint8))  # black ink on nothing
    black = Image.new("L", clear.size, 0)
    if kind in ("RGBA", "LA", "PA"):
        image = Image.merge("LA", (black, clear)).convert("RGBA")
        image = image if kind == "RGBA" else image.convert("LA")
        if kind == "PA":
            kind, image = "P", image.convert("RGBA").quantize()
    elif kind.startswith("P"):
        image = Image.fromarray(np.where(ink, 1, 0).astype(np.uint8), "P")
        image.putpalette([0, 0, 0, 0, 0, 0])
        options["transparency"] = 1 if kind == "P" else bytes([255, 0])
    else:  # one level says that nothing is there
        image = Image.fromarray(np.where(ink, 255, 0).astype(np.uint8)).convert(kind)
        image = image.point(lambda v: 9 if v else 0) if kind != "1" else image
        options["transparency"] = {"L": 9, "RGB": (9, 9, 9), "1": 255}[kind]
    path = saved(tmp_path, image, **options)
    near(grey(path, ink.shape), ink)
    whole = data.from_picture(saved(tmp_path, Image.fromarray(ink), "whole.png"))
    assert torch.equal(data.from_picture(path), whole)


def test_what_is_half_transparent_is_half_white(tmp_path):
    image = Image.new("RGBA", (8, 6), (0, 100, 200, 128))
    found = data.whole_picture(saved(tmp_path, image), 3, (6, 8))[:, 0, 0] * 255
    assert found.tolist() == pytest.approx([127, 177, 227], abs=1)


def test_16_bits_are_levels_of_65535(tmp_path):
    deep = (RAMP.astype(np.uint16) * 257) - (RAMP > 0)  # a little less: it must be rounded
    paths = [saved(tmp_path, Image.fromarray(deep), f"x.{kind}") for kind in ("png", "tif", "pgm")]
    paths.append(tmp_path / "big-endian.tif")
    Image.frombytes("I;16B", (8, 6), deep.astype(">u2").tobytes()).save(paths[-1])
    for path in paths:
        near(grey(path), RAMP)
        assert data.whole_picture(path, 3, RAMP.shape).shape == (3, *RAMP.shape)
    clear = saved(tmp_path, Image.fromarray(deep), "clear.png", transparency=int(deep[0, 1]))
    near(grey(clear)[0], [0, 255, *RAMP[0, 2:]])
    upright = Image.Exif()
    upright[0x0112] = 6
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(deep)))
    near(grey(saved(tmp_path, turned, "turned.png", exif=upright)), RAMP)


@pytest.mark.parametrize("kind", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB"])
def test_a_picture_of_any_mode_has_its_levels(tmp_path, kind):
    levels = np.where(RAMP > 120, 255, 0).astype(np.uint8) if kind == "1" else RAMP
    image = Image.fromarray(levels)
    if kind == "LAB":
        image = Image.merge("LAB", [image, *[Image.new("L", image.size, 128)] * 2])
    elif kind in ("CMYK", "YCbCr"):
        image = image.convert("RGB").convert(kind)
    else:
        image = image.convert(kind)
    name = {"CMYK": "x.jpg", "YCbCr": "x.tif", "LAB": "x.tif"}.get(kind, "x.png")
    path = saved(tmp_path, image, name, quality=100)
    if kind == "LAB":
        with pytest.raises(ValueError, match=r"x.tif is no picture that can be read: .*LAB"):
            grey(path)
    else:
        near(grey(path), levels, 4)


def animation(tmp_path, name):
    frames = [Image.fromarray(np.uint8(RAMP // k)) for k in (1, 2)]
    return saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:])


def deep(tmp_path, name):
    return saved(
        tmp_path, Image.fromarray(RAMP.astype(np.float32 if "f" in name[:1] else "i4")), name
    )


REFUSED = {
    "animation.gif": (animation, "holds 2 pictures; wanted one, neither an animation nor pages"),
    "animation.png": (animation, "holds 2 pictures"),
    "animation.webp": (animation, "holds 2 pictures"),
    "pages.tif": (animation, "holds 2 pictures"),
    "f32.tif": (deep, r"numbers of 32 bits \(mode F\), whose white is not said; wanted 8 or 16"),
    "i32.tif": (deep, r"numbers of 32 bits \(mode I\)"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("read", [grey, data.from_picture])
def test_what_has_no_single_reading_is_refused_by_name(tmp_path, name, read):
    make, words = REFUSED[name]
    with pytest.raises(ValueError, match=f"{name} .*{words}"):
        read(make(tmp_path, name))


def test_the_second_picture_in_a_phones_file_is_no_animation(tmp_path):
    path = animation(tmp_path, "phone.mpo")
    near(grey(path), RAMP, 25)  # and not half of it


@pytest.mark.parametrize("side", [12_000, 20_000])
def test_pictures_of_too_many_pixels_are_refused_before_they_are_unpacked(tmp_path, side):
    path = saved(tmp_path, Image.new("1", (side, side)))
    assert path.stat().st_size < 100_000
    with warnings.catch_warnings(), pytest.raises(ValueError, match="has more than 80,000,000 pix"):
        warnings.simplefilter("error")
        data.whole_picture(path, 1, (28, 28))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "tif", "bmp", "webp"])
def test_a_damaged_picture_is_named(tmp_path, kind):
    """Cut anywhere and with any bit turned it is read or refused, in the same words."""
    stream = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)).save(
        stream, {"jpg": "jpeg", "tif": "tiff"}.get(kind, kind)
    )
    whole, random = stream.getvalue(), np.random.default_rng(1)
    path, refused = tmp_path / f"x.{kind}", 0
    for k in range(40):
        spoilt = bytearray(whole)
        if k % 2:
            spoilt[random.integers(min(len(whole), 200))] ^= 1 << random.integers(8)
        else:
            del spoilt[random.integers(len(whole)) :]
        path.write_bytes(spoilt)
        try:
            pictures.whole_picture(path, 1, (28, 28))
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"{path} ")
    assert refused > 10


def test_a_file_that_is_not_there_is_said_as_python_says_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.png"):
        data.whole_picture(tmp_path / "none.png", 1, (28, 28))
    with pytest.raises(TypeError, match="size must be two ints"):
        data.whole_picture(saved(tmp_path, Image.new("L", (4, 4))), 1, 28)
