"""Data files under every usual name and in every usual wrapping, and folders that give nothing.

Four small files stand for MNIST; the last tests read the real ones.
"""

import bz2
import dataclasses
import gzip
import hashlib
import io
import lzma
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from stn_course import data
from stn_course.data import digits, download
from stn_course.data.clutter import published
from stn_course.data.digits import MNIST_FILES, MNIST_UNPACKED, locate

KERAS = {"images": "x", "labels": "y"}
SAMPLE_WORDS = "using the offline sample"


def small_files():
    """{published name: unpacked bytes}."""
    rng, made = np.random.default_rng(0), {}
    for stem, n in (("train", 12), ("t10k", 4)):
        images = struct.pack(">4i", 0x803, n, 28, 28) + rng.bytes(n * 784)
        made[f"{stem}-images-idx3-ubyte.gz"] = images
        made[f"{stem}-labels-idx1-ubyte.gz"] = struct.pack(">2i", 0x801, n) + bytes(range(n))
    return made


CONTENTS = small_files()


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """Small MNIST as if published, no network, an empty cache, and `named` the named folder."""

    def hashes(pack):
        return {k: hashlib.sha256(pack(v)).hexdigest() for k, v in CONTENTS.items()}

    monkeypatch.setattr(digits, "MNIST_FILES", hashes(lambda v: gzip.compress(v, 9, mtime=0)))
    monkeypatch.setattr(digits, "MNIST_UNPACKED", hashes(bytes))
    monkeypatch.setenv("STN_COURSE_OFFLINE", "1")
    monkeypatch.setenv("STN_COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path / "named"))
    (tmp_path / "named").mkdir()
    download.say.cache_clear()
    locate.cache_clear()
    yield
    locate.cache_clear()


@pytest.fixture
def named(tmp_path):
    return tmp_path / "named"


def pack_anew(body):
    """The same bytes in another gzip: faster, with a name and a time inside."""
    return gzip.compress(body, 1, mtime=12345)


def published_name(name):
    return name


def plain(name):
    return name.removesuffix(".gz")


def dotted(name):
    return plain(name).replace("-idx", ".idx")


def tarred(members, how):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=f"w:{how}") as archive:
        for member, body in members.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return packed.getvalue()


def zipped(member, *, pack=bytes):
    """Into an archive, under the name `member`."""

    def wrap(body):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("read me.txt", "of someone else")
            archive.writestr(member, pack(body))
        return packed.getvalue()

    return wrap


WRAPPINGS = {
    "as published": (published_name, lambda body: gzip.compress(body, 9, mtime=0)),
    "unpacked": (plain, bytes),
    "unpacked, with a dot": (dotted, bytes),
    "packed anew": (published_name, pack_anew),
    "packed anew, with a dot": (lambda name: dotted(name) + ".gz", pack_anew),
    "unpacked by a browser, the name kept": (published_name, bytes),
    "packed without .gz in the name": (plain, pack_anew),
    "in capitals": (lambda name: plain(name).upper(), bytes),
    "packed, in capitals": (str.upper, pack_anew),
    "in a folder of its own name": (lambda name: f"{plain(name)}/{dotted(name)}", bytes),
    "in xz": (lambda name: plain(name) + ".xz", lzma.compress),
    "in bz2, with a dot": (lambda name: dotted(name) + ".bz2", bz2.compress),
    "packed twice, in two ways": (published_name, lambda body: gzip.compress(bz2.compress(body))),
    "packed twice": (published_name, lambda body: gzip.compress(pack_anew(body), 1)),
}
FOLDERS = (".", "mnist", "MNIST/raw", "mnist/MNIST/raw", "raw", "datasets", "Mnist")
FOLDERS += ("data/MNIST/raw", "datasets/MNIST/raw", "keras/datasets", ".keras/datasets")


def lay_out(folder: Path, wrapping: str, contents=CONTENTS):
    rename, wrap = WRAPPINGS[wrapping]
    for name, body in contents.items():
        path = folder / rename(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wrap(body))


def lay_out_keras(path: Path, **changed):
    arrays = {}
    for stem, part in (("train", "train"), ("t10k", "test")):
        for what, letter in KERAS.items():
            kind = f"{stem}-{what}-idx{3 if what == 'images' else 1}-ubyte.gz"
            shape = (-1, 28, 28) if what == "images" else (-1,)
            skip = 16 if what == "images" else 8
            arrays[f"{letter}_{part}"] = np.frombuffer(CONTENTS[kind][skip:], np.uint8).reshape(
                shape
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path.with_suffix(".npz"), **{**arrays, **changed})
    if path.suffix != ".npz":
        path.with_suffix(".npz").rename(path)


def is_small_mnist():
    for split, stem in (("train", "train"), ("test", "t10k")):
        part = data.mnist(split)
        images = np.frombuffer(CONTENTS[f"{stem}-images-idx3-ubyte.gz"][16:], np.uint8)
        assert np.array_equal(part.images.numpy().ravel(), images)
        assert part.images.shape[1:] == (1, 28, 28)
        assert part.labels.tolist() == list(range(len(part)))
    return data.source() == "full MNIST (70 000 digits) from STN_COURSE_DATA"


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_every_wrapping_is_the_same_data(wrapping, named, capsys):
    lay_out(named, wrapping)
    assert is_small_mnist()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("wrapping", ["as published", "unpacked"])
def test_every_usual_folder_is_looked_into(folder, wrapping, named):
    lay_out(named / folder, wrapping)
    assert is_small_mnist()


@pytest.mark.parametrize("call", [plain, dotted, str.upper])
@pytest.mark.parametrize("pack", [bytes, pack_anew])
def test_an_archive_for_each_is_the_same_data(call, pack, named):
    for name, body in CONTENTS.items():
        called = plain(call(name)) + (".zip" if call is not str.upper else "")
        (named / called).write_bytes(zipped(f"MNIST/raw/{call(name)}", pack=pack)(body))
    assert is_small_mnist()


def test_one_archive_of_all_is_the_same_data(named):
    with zipfile.ZipFile(named / "MNIST.zip", "w") as archive:
        for name, body in CONTENTS.items():
            archive.writestr(f"mnist/{name}", pack_anew(body))
    assert is_small_mnist()


@pytest.mark.parametrize(
    ("called", "how"), [("MNIST.tar.gz", "gz"), ("mnist.tgz", "gz"), ("mnist.tar", "")]
)
@pytest.mark.parametrize("pack", [bytes, pack_anew])
def test_a_tar_of_all_is_the_same_data(called, how, pack, named):
    members = {f"MNIST/raw/{name}": pack(body) for name, body in CONTENTS.items()}
    (named / called).write_bytes(tarred({"MNIST/read me.txt": b"?"} | members, how))
    assert is_small_mnist()


def test_a_tar_without_the_file_is_named(named):
    (named / "mnist.tar").write_bytes(tarred({"train-images.png": b"?"}, ""))
    with pytest.raises(data.CorruptFileError, match=r"tar is corrupt.*nothing in it is called t"):
        data.mnist("test")


@pytest.mark.parametrize("missing", [False, True])
def test_a_cut_xz_and_one_that_this_python_cannot_read_are_named(missing, named, monkeypatch):
    lay_out(named, "in xz")
    for path in named.iterdir():
        path.write_bytes(path.read_bytes()[: None if missing else -20])
    if missing:  # as in a Python built without it
        monkeypatch.setitem(sys.modules, "lzma", None)
    with pytest.raises(data.CorruptFileError, match=r"xz is corrupt.*cannot be unpacked"):
        data.mnist("test")


def test_an_archive_without_the_file_is_named(named):
    with zipfile.ZipFile(named / "mnist.zip", "w") as archive:
        archive.writestr("train-images.png", b"?")
    with pytest.raises(data.CorruptFileError, match=r"mnist.zip is corrupt.*cannot be unpacked"):
        data.mnist("test")


def test_a_channel_of_its_own_is_the_same_data(named):
    lay_out_keras(named / "mnist.npz")
    with np.load(named / "mnist.npz") as arrays:
        apart = {key: values[..., None] for key, values in arrays.items()}
    np.savez(named / "mnist.npz", **apart)
    assert is_small_mnist()


def test_images_as_rows_of_numbers_are_the_same_data(named):
    lay_out_keras(named / "mnist.npz")
    with np.load(named / "mnist.npz") as arrays:
        flat = {key: values.reshape(len(values), -1).squeeze() for key, values in arrays.items()}
    np.savez(named / "mnist.npz", **flat)
    assert is_small_mnist()


@pytest.mark.filterwarnings("error")
def test_no_numbers_under_keras_name_are_corrupt(named):
    lay_out_keras(named / "mnist.npz", x_test=np.full((4, 28, 28), np.nan))
    with pytest.raises(data.CorruptFileError, match="no whole numbers from 0 to 255"):
        data.mnist("test")


@pytest.mark.parametrize("place", ["mnist.npz", "datasets/mnist.npz", "MNIST.NPZ"])
def test_the_file_of_keras_holds_all_four(place, named):
    lay_out_keras(named / place)
    assert is_small_mnist()


def test_labels_of_another_whole_type_are_the_same_labels(named):
    lay_out_keras(named / "mnist.npz", y_train=np.arange(12), y_test=np.arange(4.0))
    assert is_small_mnist()


@pytest.mark.parametrize(
    "changed",
    [
        {"x_train": np.zeros((12, 28, 28), np.uint8)},
        {"y_test": np.array([0, 1, 2, 259])},  # 3 in eight bits
        {"y_test": np.array([0, 1, 2, 3.5])},
    ],
)
def test_another_content_under_keras_name_is_corrupt(changed, named):
    lay_out_keras(named / "mnist.npz", **changed)
    with pytest.raises(data.CorruptFileError, match="mnist.npz is corrupt"):
        data.mnist("train")


def test_wrappings_may_be_mixed(named):
    for wrapping, name in zip(WRAPPINGS, CONTENTS, strict=False):
        lay_out(named / "raw", wrapping, {name: CONTENTS[name]})
    assert is_small_mnist()


def test_the_cache_takes_other_wrappings_too(named, tmp_path, monkeypatch):
    monkeypatch.delenv("STN_COURSE_DATA")
    lay_out(tmp_path / "cache", "packed anew")
    assert data.source() == "full MNIST (70 000 digits) from the user cache"


def damaged(body, how):
    return {
        "cut": body[:-1],
        "empty": b"",
        "flipped": body[:99] + bytes([body[99] ^ 1]) + body[100:] if len(body) > 99 else b"?",
        "a page": b"<html>not found</html>",
    }[how]


@pytest.mark.parametrize("wrapping", ["unpacked", "packed anew", "unpacked, with a dot"])
@pytest.mark.parametrize("how", ["cut", "empty", "flipped", "a page"])
def test_a_damaged_file_in_any_wrapping_is_named_and_never_the_sample(wrapping, how, named, capsys):
    lay_out(named, wrapping)
    name = "train-images-idx3-ubyte.gz"
    rename, wrap = WRAPPINGS[wrapping]
    path = named / rename(name)
    path.write_bytes(damaged(wrap(CONTENTS[name]), how))
    for ask in (data.mnist, lambda _: data.source(), lambda _: data.fetch_all()):
        with pytest.raises(data.CorruptFileError) as caught:
            ask("train")
        message = str(caught.value)
        assert f"{path} is corrupt" in message and name in message
        assert hashlib.sha256(path.read_bytes()).hexdigest() in message
        assert digits.MNIST_FILES[name] in message and "Delete the file" in message
    assert SAMPLE_WORDS not in capsys.readouterr().err


def test_a_good_copy_beside_a_bad_one_is_used_and_the_bad_one_is_named(named, capsys):
    """The other set of the same names, as FashionMNIST is, lies in the folder itself."""
    lay_out(named, "as published", {name: body[::-1] for name, body in CONTENTS.items()})
    lay_out(named / "MNIST" / "raw", "unpacked")
    assert is_small_mnist()
    said = capsys.readouterr().err
    bad = named / "train-images-idx3-ubyte.gz"
    assert f"{bad} is corrupt" in said and f"{named / 'MNIST' / 'raw'}" in said


def refused(ask=data.is_sample) -> str:
    for _ in range(2):  # an error is not remembered as an answer
        with pytest.raises(data.DataFolderError) as caught:
            ask()
    return str(caught.value)


def test_an_empty_folder_is_an_error_that_names_what_was_looked_for(named, capsys):
    for ask in (
        data.is_sample,
        data.source,
        data.fetch_all,
        lambda: data.mnist("test"),
        lambda: data.sequences("test", allow_sample=True),
        lambda: data.cluttered("test", allow_sample=True),
    ):
        message = refused(ask)
        assert f"STN_COURSE_DATA names {named}" in message and "unset STN_COURSE_DATA" in message
        for name in CONTENTS:
            assert name in message and f"{dotted(name)}.gz" in message
        for other in (
            "each as it is or with .gz, .zip, .xz",
            "mnist.tar.gz",
            "mnist.npz",
            "mnist.zip",
            "mnist/raw",
            "datasets",
        ):
            assert other in message
    assert capsys.readouterr().err == ""


def test_an_empty_folder_is_an_error_though_the_cache_has_the_files(tmp_path):
    lay_out(tmp_path / "cache", "as published")
    assert "names" in refused()


def test_what_a_named_folder_lacks_may_come_from_the_cache_and_else_is_named(named, tmp_path):
    lacking = "t10k-labels-idx1-ubyte.gz"
    lay_out(named, "unpacked")
    (named / plain(lacking)).unlink()
    message = refused()
    assert f"which lacks {lacking}." in message and "train-images" not in message
    lay_out(tmp_path / "cache", "as published", {lacking: CONTENTS[lacking]})
    assert data.source().endswith("from STN_COURSE_DATA and the user cache")


def test_a_folder_that_is_not_there_or_a_file_is_named(named, monkeypatch):
    monkeypatch.setenv("STN_COURSE_DATA", str(named / "absent"))
    assert f"{named / 'absent'}, which is not there" in refused()
    lay_out(named, "as published")
    path = named / "train-images-idx3-ubyte.gz"
    monkeypatch.setenv("STN_COURSE_DATA", str(path))
    assert f"{path}, which is a file; wanted the folder that holds it, {named}" in refused()


def test_a_folder_that_cannot_be_read_is_named(named, monkeypatch):
    real = Path.iterdir

    def closed(folder):  # as a superuser, who tests may be, one can read any
        if folder == named:
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(Path, "iterdir", closed)
    assert f"{named} cannot be read (Permission denied)" in refused()


def test_a_file_that_cannot_be_read_is_named(named):
    lay_out(named, "unpacked")
    path = named / "train-labels-idx1-ubyte"
    path.unlink()
    path.symlink_to(named / "gone")  # as left behind by tools that keep data elsewhere
    with pytest.raises(data.CorruptFileError, match=f"{path} cannot be read"):
        data.mnist("train")


def test_a_cache_that_is_a_file_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("STN_COURSE_DATA")
    (tmp_path / "cache").write_text("")
    with pytest.raises(NotADirectoryError, match="STN_COURSE_CACHE names .*cache, a file"):
        data.mnist("train")


def test_rows_tell_the_hash_of_what_was_compared(named, monkeypatch):
    from stn_course.data import checksums

    monkeypatch.setattr(checksums, "cluttered", lambda split: ClutterStub())
    monkeypatch.setattr(checksums, "sequences", lambda split: ClutterStub())
    lay_out(named, "unpacked, with a dot")
    name = "t10k-images-idx3-ubyte.gz"
    (named / dotted(name)).unlink()
    lay_out(named, "as published", {name: CONTENTS[name]})
    rows = {row.file: row for row in data.fetch_all()[:4]}
    assert set(rows) == set(CONTENTS) and all(row.ok for row in rows.values())
    assert rows[name].sha256 == digits.MNIST_FILES[name] and rows[name].source == "STN_COURSE_DATA"
    other = rows["train-images-idx3-ubyte.gz"]
    assert other.sha256 == digits.MNIST_UNPACKED[other.file]
    assert other.source == "STN_COURSE_DATA: what is inside train-images.idx3-ubyte"


class ClutterStub:
    def sha256(self):
        return "", ""


# ---------------------------------------------------------------- the cluttered file
@pytest.fixture
def small_40(monkeypatch):
    """{key: array} of a small file that stands for the published 40x40 set."""
    rng, arrays = np.random.default_rng(1), {}
    for part, n in (("train", 3), ("valid", 2), ("test", 2)):
        arrays[f"X_{part}"] = (rng.integers(0, 257, (n, 1600)) / 256).astype(np.float32)
        arrays[f"y_{part}"] = rng.integers(0, 10, (n, 1)).astype(np.int32)
    inside = hashlib.sha256(b"".join(a.tobytes() for a in arrays.values())).hexdigest()
    file = dataclasses.replace(published.FILE_40, sha256="0" * 64, inside=inside)
    monkeypatch.setattr(published, "FILE_40", file)
    return arrays


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("origin", ["file", "auto"])
def test_the_cluttered_file_packed_anew_is_the_same_set(save, origin, small_40, named):
    save(named / published.FILE_40.name, **small_40)
    read = data.cluttered("test", origin=origin)
    assert read.source == "published 40x40 clutter, its file from STN_COURSE_DATA"
    images, labels = read.arrays()
    assert np.array_equal(images, small_40["X_test"])
    assert np.array_equal(labels, small_40["y_test"])


@pytest.mark.parametrize("end", [".gz", ".zip", ".tar.gz"])
def test_the_cluttered_file_in_an_archive_is_the_same_set(end, small_40, named):
    np.savez(named / "made.npz", **small_40)
    body = (named / "made.npz").read_bytes()
    member = f"data/{published.FILE_40.name}"
    pack = {
        ".gz": pack_anew,
        ".zip": zipped(member),
        ".tar.gz": lambda body: tarred({member: body}, "gz"),
    }[end]
    (named / (published.FILE_40.name + end)).write_bytes(pack(body))
    assert np.array_equal(data.cluttered("test", origin="file").arrays()[0], small_40["X_test"])


def test_the_cluttered_file_with_other_pixels_or_cut_is_corrupt(small_40, named):
    path = named / published.FILE_40.name
    np.savez(path, **small_40 | {"X_test": small_40["X_test"] / 2})
    with pytest.raises(data.CorruptFileError, match="what is inside has"):
        data.cluttered("test", origin="file")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(data.CorruptFileError, match="cannot be unpacked"):
        data.cluttered("test", origin="file")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.npy", b"")
    with pytest.raises(data.CorruptFileError, match="cannot be unpacked"):
        data.cluttered("test", origin="file")


def test_without_the_cluttered_file_the_error_says_where_it_was_looked_for(named):
    with pytest.raises(FileNotFoundError, match="distortions5x5.npz is neither.*datasets"):
        data.cluttered("test", origin="file")


# ---------------------------------------------------------------- the real files
@pytest.mark.full_data
@pytest.mark.parametrize("form", ["MNIST/raw", "anew", "keras"])
def test_the_real_files_in_other_wrappings(form, tmp_path, monkeypatch, named):
    monkeypatch.undo()  # the published hashes, and where the real files are
    real = {k: p for k, (p, _) in locate(download.read_settings()).items()}
    inside = {k: digits.idx_bytes(p, k) for k, p in real.items()}
    assert {k: hashlib.sha256(v).hexdigest() for k, v in inside.items()} == MNIST_UNPACKED
    expected = data.mnist("valid").images
    if form == "keras":
        arrays = {}
        for name, raw in inside.items():
            key = f"{'x' if 'images' in name else 'y'}_{'test' if 't10k' in name else 'train'}"
            skip, shape = (16, (-1, 28, 28)) if "images" in name else (8, (-1,))
            arrays[key] = np.frombuffer(raw[skip:], np.uint8).reshape(shape)
        np.savez(named / "mnist.npz", **arrays)
    for name, raw in inside.items() if form != "keras" else ():
        path = named / (f"MNIST/raw/{plain(name)}" if form == "MNIST/raw" else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw if form == "MNIST/raw" else gzip.compress(raw, 1))
    monkeypatch.setenv("STN_COURSE_DATA", str(named))
    monkeypatch.setenv("STN_COURSE_OFFLINE", "1")
    monkeypatch.setenv("STN_COURSE_CACHE", str(tmp_path / "cache"))
    assert data.source() == "full MNIST (70 000 digits) from STN_COURSE_DATA"
    assert np.array_equal(data.mnist("valid").images, expected)


@pytest.mark.full_data
def test_the_real_cluttered_file_packed_anew(tmp_path, monkeypatch, named):
    monkeypatch.undo()
    found = published._file_40()
    if not found:
        pytest.skip("the 40x40 file is not here")
    with np.load(found[0]) as stored:
        np.savez(named / "anew.npz", **stored)
    (named / "anew.npz").rename(named / published.FILE_40.name.upper())
    expected = data.cluttered("test", origin="file").arrays()
    monkeypatch.setenv("STN_COURSE_DATA", str(named))
    again = data.cluttered("test", origin="file")
    assert "STN_COURSE_DATA" in again.source
    assert all(np.array_equal(a, b) for a, b in zip(again.arrays(), expected, strict=True))


def test_the_hashes_are_published_for_each_file():
    assert set(MNIST_FILES) == set(MNIST_UNPACKED) == set(CONTENTS)
    assert all(len(sha) == 64 for sha in (*MNIST_FILES.values(), *MNIST_UNPACKED.values()))
