"""MNIST as the course delivers it: splits, sources, and what happens to a damaged file."""

import hashlib
import os
import subprocess
import sys

import pytest
import torch

import tools.sample
from stn_course import data
from stn_course.data import digits, download
from stn_course.data.digits import MNIST_FILES, SAMPLE, SPLITS, locate


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The real files, copied to where a test may spoil them; no network."""
    located = locate(download.read_settings())
    for name, (path, _) in located.items():
        (tmp_path / name).write_bytes(path.read_bytes())
    monkeypatch.setenv("STN_COURSE_OFFLINE", "1")
    monkeypatch.setenv("STN_COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path))
    download.say.cache_clear()
    return tmp_path


def test_shapes_types_and_source():
    sizes = {"train": 4000, "valid": 500, "test": 500}
    if not data.is_sample():
        sizes = {"train": 50_000, "valid": 10_000, "test": 10_000}
    for split, n in sizes.items():
        part = data.mnist(split)
        assert part.images.shape == (n, 1, 28, 28) and part.images.dtype == torch.uint8
        assert part.labels.shape == (n,) and part.labels.dtype == torch.int64
        assert part.images.is_contiguous() and len(part) == n
        assert part.labels.unique().tolist() == list(range(10))
        assert part.source == data.source()
        assert os.sep not in part.source  # no path of a machine


def test_second_call_gives_the_same_tensors():
    first, second = data.mnist("train"), data.mnist("train")
    assert first.images.data_ptr() == second.images.data_ptr()


@pytest.mark.parametrize("split", ["validation", "", None, 0])
def test_unknown_split_is_named(split):
    for function in (data.mnist, data.cluttered, data.sequences):
        with pytest.raises(ValueError, match=f"split is {split!r}; wanted one of 'train', 'valid'"):
            function(split)


@pytest.mark.full_data
def test_first_labels_are_those_of_mnist():
    assert data.mnist("train").labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.mnist("valid").labels[:5].tolist() == [3, 8, 6, 9, 6]
    assert data.mnist("test").labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert data.mnist("train").images[0].sum() == 27_525


@pytest.mark.full_data
def test_files_lie_in_the_folder_or_in_its_mnist_folder(folder):
    assert data.source() == "full MNIST (70 000 digits) from STN_COURSE_DATA"
    (folder / "mnist").mkdir()
    for name in MNIST_FILES:
        (folder / name).rename(folder / "mnist" / name)
    locate.cache_clear()
    assert data.source() == "full MNIST (70 000 digits) from STN_COURSE_DATA"


@pytest.mark.full_data
@pytest.mark.parametrize("place", ["STN_COURSE_DATA", "cache"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_corrupt_file_is_an_error_and_never_the_sample(place, damage, folder, monkeypatch):
    name = "t10k-labels-idx1-ubyte.gz"
    path = folder / name
    if place == "cache":
        (folder / "cache").mkdir()
        path = path.rename(folder / "cache" / name)
    body = path.read_bytes()
    damaged = {"flip": body[:99] + bytes([body[99] ^ 1]) + body[100:], "cut": body[:-1]}
    path.write_bytes(damaged.get(damage, b""))
    for _ in range(2):
        with pytest.raises(data.CorruptFileError) as caught:
            data.mnist("train")
    message = str(caught.value)
    assert str(path) in message and "Delete the file" in message
    assert MNIST_FILES[name] in message  # wanted
    assert hashlib.sha256(path.read_bytes()).hexdigest() in message  # found
    with pytest.raises(data.CorruptFileError):
        data.fetch_all()


@pytest.mark.full_data
def test_half_of_the_files_is_not_mixed_with_the_sample(folder, monkeypatch, capsys):
    (folder / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(data.DataFolderError, match="which lacks t10k-images-idx3-ubyte.gz"):
        data.mnist("train")
    monkeypatch.setenv("STN_COURSE_CACHE", str(folder))  # nobody named a folder
    monkeypatch.delenv("STN_COURSE_DATA")
    assert len(data.mnist("train")) == 4000
    assert data.mnist("train").source == SAMPLE
    said = capsys.readouterr().err
    assert "1 of 4 MNIST files are missing" in said
    assert said.count("using the offline sample") == 1


def test_train_and_valid_are_all_of_one_file_and_share_nothing():
    train, valid = (range(60_000)[SPLITS[name]] for name in ("train", "valid"))
    assert [*train, *valid] == [*range(60_000)] and len(range(10_000)[SPLITS["test"]]) == 10_000


def test_sample_is_always_split_in_the_same_way(tmp_path, monkeypatch):
    monkeypatch.setenv("STN_COURSE_OFFLINE", "1")
    monkeypatch.setenv("STN_COURSE_CACHE", str(tmp_path))
    monkeypatch.delenv("STN_COURSE_DATA", raising=False)
    assert data.fetch_all() == [("sample.npz", SAMPLE, digits.SAMPLE_SHA256, True)]
    parts = [data.mnist(split) for split in SPLITS]
    assert [len(part) for part in parts] == [4000, 500, 500]
    assert len({image.numpy().tobytes() for part in parts for image in part.images}) == 5000
    assert digits.SAMPLE_FILE.stat().st_size < 1e6


@pytest.mark.full_data
def test_each_split_of_the_sample_comes_from_that_split_of_the_full_data(capsys):
    def pairs(part):
        images = part.images.flatten(1).numpy()
        return {(image.tobytes(), int(k)) for image, k in zip(images, part.labels, strict=True)}

    full = {split: pairs(data.mnist(split)) for split in SPLITS}
    assert tools.sample.main(["--check"]) == 0
    assert capsys.readouterr().out == "the sample is as drawn\n"
    for split in SPLITS:
        assert pairs(digits.sample(split)) <= full[split]


def test_a_spoilt_sample_is_an_error_and_names_the_cure(tmp_path, monkeypatch):
    body = digits.SAMPLE_FILE.read_bytes()
    monkeypatch.setattr(digits, "SAMPLE_FILE", tmp_path / "sample.npz")
    digits.SAMPLE_FILE.write_bytes(body[:-1])
    with pytest.raises(data.CorruptFileError, match="Install stn-course again"):
        digits.sample("test")


def test_without_the_full_data_no_sample_can_be_drawn(monkeypatch, capsys):
    monkeypatch.setattr(digits, "is_sample", lambda: True)
    assert tools.sample.main(["--check"]) == 2
    assert "drawn from the full MNIST" in capsys.readouterr().err


def test_training_machine_needs_torch_numpy_and_tqdm_only():
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import torch, numpy, tqdm\n"
        "base = {name.split('.')[0] for name in sys.modules}\n"
        "import stn_course.data\n"
        "loaded = {name.split('.')[0] for name in sys.modules} - base\n"
        "print(sorted(loaded - set(sys.stdlib_module_names)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['stn_course']"
