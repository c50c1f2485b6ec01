"""The cluttered sets: the published ones bit for bit, and the generator behind them."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from stn_course import data
from stn_course.data import PUBLISHED_40, PUBLISHED_100, PUBLISHED_SHA256
from stn_course.data.clutter import published
from stn_course.data.clutter.legacy_random import LegacyDraws
from stn_course.data.download import read_settings
from stn_course.data.files import find_file

SMALL = replace(
    PUBLISHED_100,
    canvas=130,
    digits=4,
    patches=12,
    patch_size=7,
    x_start=9,
    x_jitter=5,
    bank_splits=("train",),
    sizes=(20, 7, 6),
    slope=20,
    bank_size=300,
    discarded=3,
    seed=77,
)


@pytest.fixture(scope="module")
def small():
    return data.generate(SMALL, allow_sample=True)


def slowly(recipe):
    """The recipe read aloud: one number at a time from NumPy itself. Yields split, image, ..."""
    rng = np.random.RandomState(recipe.seed)
    digits = {s: data.mnist(s).images[:, 0].numpy() / 256 for s in ("train", "valid", "test")}
    bank = np.concatenate([digits[s] for s in recipe.bank_splits])
    size, patches = recipe.patch_size, []
    for _ in range(recipe.bank_size):
        d, x, y = rng.randint(len(bank)), rng.randint(28 - size), rng.randint(28 - size)
        patches.append(bank[d][y : y + size, x : x + size])
    todo = zip(("train", "train", "valid", "test"), (recipe.discarded, *recipe.sizes), strict=True)
    for turn, (split, count) in enumerate(todo):
        for _ in range(count):
            ids = rng.choice(len(digits[split]), size=recipe.digits)
            x_off = recipe.x_start + rng.choice(range(-recipe.x_jitter, recipe.x_jitter))
            y_off = rng.choice(range(recipe.canvas))
            slope = rng.choice(range(-recipe.slope, recipe.slope))
            image, boxes = np.zeros((recipe.canvas, recipe.canvas)), []
            for i, d in enumerate(ids):
                x, y = 28 * i + x_off, y_off + i * slope
                if y + 28 > recipe.canvas - 1:
                    y = recipe.canvas - 28
                y = max(y, 0)
                image[y : y + 28, x : x + 28] = digits[split][d]
                boxes.append([x, y, x + 28, y + 28])
            scraps = np.zeros_like(image)
            for _ in range(recipe.patches):
                p = rng.randint(recipe.bank_size)
                x, y = rng.randint(recipe.canvas - size), rng.randint(recipe.canvas - size)
                scraps[y : y + size, x : x + size] = patches[p]
            if turn:
                yield split, np.clip(image + scraps, 0, 1), boxes, data.mnist(split).labels[ids]


def test_any_recipe_agrees_with_the_slow_reading(small):
    slow = {split: [] for split in small}
    for split, *sample in slowly(SMALL):
        slow[split].append(sample)
    for split, samples in slow.items():
        images, boxes, labels = zip(*samples, strict=True)
        fast = small[split]
        assert len(fast) == len(samples)
        assert np.array_equal(fast.images()[:, 0].numpy(), np.stack(images).astype(np.float32))
        assert fast.boxes.tolist() == list(boxes)
        assert torch.equal(fast.labels, torch.stack(labels))


@pytest.mark.parametrize(
    "bounds", [(110_000, 19, 19), (1, 2, 1, 3), (16,), (2**31 + 1,), (7,) * 30]
)
def test_draws_are_those_of_numpy(bounds):
    stream, rng = LegacyDraws(5), np.random.RandomState(5)
    for count in (3, 0, 700):
        expected = [[rng.randint(n) for n in bounds] for _ in range(count)]
        assert stream.rows(bounds, count).tolist() == expected


def test_draws_are_those_of_numpy_over_many_chunks():
    fast, slow = LegacyDraws(0).rows((19,), 20_000)[:, 0], np.random.RandomState(0)
    assert np.array_equal(fast, slow.randint(0, 19, size=20_000))


@pytest.mark.full_data
def test_sequences_have_the_published_hashes_in_time():
    published._generate.cache_clear()
    start = time.process_time()  # not the wall clock: other tests may share the processor
    for split, n in (("train", 60_000), ("valid", 10_000), ("test", 10_000)):
        part = data.sequences(split)
        assert part.labels.shape == (n, 3) and part.boxes.shape == (n, 3, 4)
        images, labels = part.sha256()
        assert images == PUBLISHED_SHA256["sequences", split, "images"]
        assert labels == PUBLISHED_SHA256["sequences", split, "labels"]
    assert time.process_time() - start < 12


@pytest.mark.full_data
def test_sequences_first_labels_and_arrays():
    first = {"train": [757, 914, 142], "valid": [223, 295, 123], "test": [960, 89, 415]}
    for split, numbers in first.items():
        weights = torch.tensor([100, 10, 1])
        assert (data.sequences(split).labels[:3] @ weights).tolist() == numbers
    images, labels = data.sequences("test").arrays()
    assert images.shape == (10_000, 10_000) and images.dtype == np.float32
    assert labels.shape == (10_000, 3) and labels.dtype == np.int32
    assert "published 100x100" in data.sequences("test").source


@pytest.mark.full_data
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_cluttered_is_the_published_set_from_either_origin(split):
    made = data.cluttered(split)
    assert made.boxes is not None and "published 40x40" in made.source
    expected = tuple(PUBLISHED_SHA256["cluttered", split, part] for part in ("images", "labels"))
    assert made.sha256() == expected
    if not find_file(published.FILE_40, read_settings()):
        pytest.skip("the 40x40 file is not here: compared with its hashes only")
    read = data.cluttered(split, origin="file")
    for from_file, from_mnist in zip(read.arrays(), made.arrays(), strict=True):
        assert from_file.dtype == from_mnist.dtype and np.array_equal(from_file, from_mnist)
    assert torch.equal(read.images([3, -1]), made.images([3, -1]))


def test_boxes_hold_the_digits(small):
    train = small["train"]
    digits = data.mnist("train")
    for image, boxes, labels in zip(
        train.images(slice(4)), train.boxes[:4], train.labels[:4], strict=True
    ):
        for (x0, y0, x1, y1), label in zip(boxes.tolist(), labels, strict=True):
            assert 0 <= x0 < x1 <= 130 and 0 <= y0 < y1 <= 130
            cell = image[0, y0:y1, x0:x1]
            same_label = digits.images[digits.labels == label, 0] / 256
            # Clutter is added, so one digit with this label lies below the cell everywhere.
            assert (same_label <= cell).all(-1).all(-1).any()


def test_index_forms_agree(small):
    train = small["train"]
    everything = train.images()
    assert everything.shape == (20, 1, 130, 130) and everything.dtype == torch.float32
    mask = torch.zeros(20, dtype=torch.bool)
    mask[[2, 5]] = True
    for index in ([2, 5], (2, 5), np.array([2, 5]), torch.tensor([2, -15]), mask, slice(2, 6, 3)):
        assert torch.equal(train.images(index), everything[[2, 5]])
    assert torch.equal(train.images(-1), everything[19:])
    assert torch.equal(train.images(slice(3), device="cpu"), everything[:3])
    assert train.images([]).shape == (0, 1, 130, 130)
    with pytest.raises(IndexError):
        train.images([20])


@pytest.mark.parametrize("kind", ["uint8", "int8", "int16", "uint16", "int32"])
def test_narrow_numbers_are_places_and_no_truth_values(small, kind):
    """To torch bytes say yes or no, one an image, and the others are no index at all."""
    train = small["train"]
    for places in (np.arange(20)[::-1], np.array([2, 5]), np.array([1]), np.array([], int)):
        narrow = places.astype(kind)
        for index in (narrow, torch.from_numpy(narrow.copy())):
            assert torch.equal(train.images(index), train.images(places.tolist()))
    with pytest.raises(TypeError, match="index must be a tensor of whole numbers, got torch.float"):
        train.images([0.5])


def test_values_are_256ths_and_the_set_is_small(small):
    levels = small["train"].images() * 256
    assert torch.equal(levels, levels.round()) and levels.min() == 0 and levels.max() <= 256
    draws = vars(small["train"]._content)
    per_image = sum(t.nbytes for name, t in draws.items() if not name.endswith("_bank")) / 20
    assert per_image == 4 * (4 + 2 * 2) + 12 * (4 + 2 * 2)  # bytes, of an image of 67 600


def test_repr_has_no_address_and_no_numbers_of_tensors(small):
    wanted = f"ClutterSet(20 images 130x130, digits: 4; {small['train'].source})"
    assert repr(small["train"]) == wanted


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_renders_the_same_bits(small):
    images = small["train"].images(device="cuda")
    assert images.is_cuda and torch.equal(images.cpu(), small["train"].images())
    assert small["train"].to("cuda") is small["train"].to("cuda")


def test_same_recipe_same_set_and_other_seed_other_set(small):
    published._generate.cache_clear()
    again = data.generate(SMALL, allow_sample=True)["valid"]
    assert again is not small["valid"] and again.sha256() == small["valid"].sha256()
    other = data.generate(replace(SMALL, seed=78), allow_sample=True)["valid"]
    assert other.sha256()[0] != again.sha256()[0]
    assert "published" not in other.source.replace("not the published", "")


@pytest.mark.parametrize(
    "name, value",
    [
        ("canvas", 27),
        ("digits", 0),
        ("digits", 5),
        ("patches", -1),
        ("patch_size", 28),
        ("x_jitter", 0),
        ("x_start", 4),
        ("x_start", 40),
        ("bank_splits", ()),
        ("bank_splits", ("all",)),
        ("sizes", (1, 2)),
        ("sizes", (1, 2, 0)),
        ("slope", 0),
        ("bank_size", 0),
        ("discarded", -1),
        ("seed", -1),
    ],
)
def test_impossible_recipes_are_named(name, value):
    # A canvas that is too small leaves no room for x_start either: the first reason is given.
    with pytest.raises(ValueError, match=name):
        replace(SMALL, **{name: value})


def test_a_row_too_long_for_its_canvas_says_how_wide_it_has_to_be():
    with pytest.raises(ValueError, match="canvas = 100 is too narrow for digits = 4.*least 127"):
        replace(PUBLISHED_100, digits=4)
    assert replace(PUBLISHED_100, digits=4, canvas=127).digits == 4


@pytest.mark.parametrize(
    ("name", "value"),
    [("patches", 2.5), ("digits", 1.5), ("canvas", "100"), ("sizes", 5)],
)
def test_numbers_of_a_recipe_are_whole(name, value):
    with pytest.raises(TypeError, match=f"{name} = .*; wanted .*whole number"):
        replace(PUBLISHED_100, **{name: value})


def test_a_recipe_takes_lists_and_names_what_is_neither():
    listed = replace(SMALL, sizes=list(SMALL.sizes), bank_splits=list(SMALL.bank_splits))
    assert listed == SMALL and hash(listed) == hash(SMALL)
    for splits in ("train", 5, (1,)):
        with pytest.raises(TypeError, match="bank_splits = .*; wanted some of"):
            replace(SMALL, bank_splits=splits)


def test_recipes_at_their_limits_work():
    extremes = {"patches": 0, "patch_size": 27, "discarded": 0, "bank_size": 1, "sizes": (1, 1, 1)}
    sets = data.generate(replace(PUBLISHED_40, **extremes), allow_sample=True)
    assert sets["test"].images().shape == (1, 1, 40, 40)


def test_sample_is_refused_or_named(tmp_path, monkeypatch):
    monkeypatch.setenv("STN_COURSE_OFFLINE", "1")
    monkeypatch.setenv("STN_COURSE_CACHE", str(tmp_path))
    monkeypatch.delenv("STN_COURSE_DATA", raising=False)
    for make in (data.sequences, data.cluttered):
        with pytest.raises(data.FullMnistNeededError, match="offline sample.*allow_sample=True"):
            make("train")
    for make, shape in ((data.cluttered, (1, 40, 40)), (data.sequences, (1, 100, 100))):
        part = make("test", allow_sample=True)
        assert part.source.startswith("sample clutter, not the published set: offline sample")
        assert part.images(0).shape == (1, *shape)
    with pytest.raises(FileNotFoundError, match="mnist_sequence1"):
        data.cluttered("test", origin="file")
    with pytest.raises(ValueError, match="origin is 'web'"):
        data.cluttered("test", origin="web")


@pytest.mark.full_data
def test_file_stands_in_where_mnist_is_missing(tmp_path, monkeypatch):
    found = find_file(published.FILE_40, read_settings())
    if not found:
        pytest.skip("the 40x40 file is not here")
    expected = data.cluttered("test").images(slice(50))
    (tmp_path / published.FILE_40.name).write_bytes(found[0].read_bytes())
    monkeypatch.setenv("STN_COURSE_OFFLINE", "1")
    monkeypatch.setenv("STN_COURSE_CACHE", str(tmp_path))
    monkeypatch.delenv("STN_COURSE_DATA", raising=False)
    assert data.is_sample()
    from_file = data.cluttered("test")
    assert from_file.source == "published 40x40 clutter, its file from the user cache"
    assert from_file.boxes is None and torch.equal(from_file.images(slice(50)), expected)
