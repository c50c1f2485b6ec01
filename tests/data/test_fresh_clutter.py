"""Rows of digits drawn afresh follow the published recipe; frozen, they are the published set."""

import dataclasses

import numpy as np
import pytest
import torch

from stn_course import data
from stn_course.data import recipes, scenes
from stn_course.data.clutter import fresh
from stn_course.training import datasets
from stn_course.training.config import Config


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def digits():
    train = data.mnist("train")
    return train.images[:300].float() / 255, train.labels[:300]


@pytest.mark.parametrize("name", fresh.ROWS)
def test_a_scene_without_patches_is_its_digits_pasted_one_by_one(name, digits):
    images, labels = digits
    recipe = dataclasses.replace(fresh.ROWS[name], patches=0)
    made = fresh.draw_rows(recipe, images, labels, seeded())
    cells = images[:, 0].numpy()
    for k in range(20):
        picture = np.zeros((recipe.canvas, recipe.canvas), np.float32)
        for i, (x0, y0, x1, y1) in enumerate(made.boxes[k].tolist()):
            cell = made.images[k, 0, y0:y1, x0:x1].numpy()
            match = (np.abs(cells - cell).max((1, 2)) == 0).nonzero()[0]
            assert len(match), "a cell that is no digit of the batch"
            assert i or match[0] == k, "the first of the row is the digit itself"
            assert labels[match[0]] == made.labels.reshape(len(images), -1)[k, i]
            picture[y0:y1, x0:x1] = cell
        assert np.array_equal(made.images[k, 0].numpy(), picture)


@pytest.mark.parametrize("name", fresh.ROWS)
def test_patches_are_never_cut_from_the_first_digit_of_their_row(name):
    """Each digit has a grey of its own: a row's clutter must be of other greys."""
    greys = torch.linspace(0.1, 0.5, 40).view(-1, 1, 1, 1).expand(40, 1, 28, 28)
    made = fresh.draw_rows(fresh.ROWS[name], greys, torch.arange(40) % 10, seeded())
    for grey, scene, boxes in zip(greys, made.images[:, 0].clone(), made.boxes, strict=True):
        for x0, y0, x1, y1 in boxes.tolist():
            scene[y0:y1, x0:x1] = 0
        assert not (scene - grey[0, 0, 0]).abs().lt(1e-6).any()
        assert name == "cluttered" or scene.any()  # there a digit may cover all of its clutter


@pytest.mark.parametrize("name", fresh.ROWS)
def test_places_are_spread_as_in_the_published_set(name, digits):
    images, labels = (part.repeat(10, *[1] * (part.ndim - 1)) for part in digits)
    made = fresh.draw_rows(fresh.ROWS[name], images, labels, seeded())
    published = data.generate(fresh.ROWS[name], allow_sample=True)["train"]
    ours, theirs = made.boxes.double()[..., :2], published.boxes.double()[..., :2]
    assert torch.equal(ours.amin(0), theirs.amin(0)) and torch.equal(ours.amax(0), theirs.amax(0))
    assert torch.allclose(ours.mean(0), theirs.mean(0), atol=1.5)
    assert torch.allclose(ours.std(0), theirs.std(0), rtol=0.06)
    ink, their_ink = made.images.mean(), published.images(slice(0, 3000)).mean()
    assert torch.allclose(ink, their_ink, rtol=0.04)


def test_the_same_seed_draws_the_same_rows(digits):
    one, other, third = (data.TASKS["sequences"](*digits, seeded(s)).images for s in (1, 1, 2))
    assert torch.equal(one, other) and not torch.equal(one, third)


def test_frozen_rows_are_the_published_set_to_the_pixel():
    config = Config(
        model="ffn-spn", distort="sequences", frozen=True, tests=("sequences",), limit=50
    )
    images, labels, _ = datasets.training_set(config, 3, torch.device("cpu"))
    wanted = data.generate(data.PUBLISHED_100, allow_sample=True)["train"]
    exact = wanted.images(slice(0, 50)) * 256
    assert torch.equal(images.float(), exact.clamp(max=255)) and exact.max() == 256
    assert torch.equal(labels, wanted.labels[:50]) and labels.shape == (50, 3)
    held = datasets.test_set("test", "cluttered", torch.device("cpu"))
    assert held.images.shape == (1000, 1, 40, 40) and held.labels.shape == (1000,)


def test_published_rows_follow_a_changed_environment(monkeypatch, tmp_path):
    here = data.published_rows("cluttered", "test")
    assert data.published_rows("cluttered", "test") is here
    monkeypatch.delenv("STN_COURSE_DATA", raising=False)
    monkeypatch.setenv("STN_COURSE_CACHE", str(tmp_path))
    monkeypatch.setenv("STN_COURSE_OFFLINE", "1")
    assert "sample" in data.published_rows("cluttered", "test").source


def test_wrong_names_and_sizes_are_refused(digits):
    with pytest.raises(ValueError, match="name='pairs'.*cluttered"):
        data.published_rows("pairs", "train")
    with pytest.raises(ValueError, match="split is 'tset'; wanted one of 'train'"):
        data.published_rows("cluttered", "tset")
    with pytest.raises(ValueError, match="wanted .B, 1, 28, 28"):
        recipes.make("sequences", digits[0][:, :, 1:], digits[1], seeded())


def test_bytes_and_labels_of_others_are_refused(digits):
    images, labels = digits
    bytes_, recipe = (255 * images).byte(), data.PUBLISHED_40
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(TypeError, match=r"images are torch.uint8; wanted floating point"):
        fresh.draw_rows(recipe, bytes_, labels, generator)
    with pytest.raises(TypeError, match=r"images are torch.uint8; wanted floating point"):
        scenes.tc(bytes_, generator)
    for draw in (fresh.cluttered_rows, fresh.sequence_rows, data.addition):
        for wrong in (labels[1:], labels[:1], labels[:, None]):
            with pytest.raises(ValueError, match=r"labels have shape .*; wanted \[300\]"):
                draw(images, wrong, generator)
        with pytest.raises(TypeError, match="labels must be a tensor of whole numbers"):
            draw(images, labels.float(), generator)


@pytest.mark.parametrize("n", [0, 1, 40])
@pytest.mark.parametrize("draw", [fresh.cluttered_rows, fresh.sequence_rows, data.addition])
def test_narrow_labels_are_the_same_labels(digits, draw, n):
    images, labels = digits[0][:n], digits[1][:n]
    wanted = draw(images, labels, seeded()).labels
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32):
        found = draw(images, labels.to(dtype), seeded()).labels
        assert found.dtype == torch.int64 and torch.equal(found, wanted)


def test_shrunk_clutter_is_the_published_set_as_tf_image_resizes_it(digits):
    whole, small = (data.published_rows(n, "test") for n in ("cluttered", "cluttered-28"))
    assert (
        small.images.shape == (len(whole.images), 1, 28, 28) and small.images.dtype == torch.uint8
    )
    assert torch.equal(small.labels, whole.labels)
    # Pixel (i, j) is read at ((i + .5) 40 / 28 - .5): for i = 3 that is 4.5, between two.
    x = whole.images[:, 0].float()
    mean = (x[:, 4, 4] + x[:, 4, 5] + x[:, 5, 4] + x[:, 5, 5]) / 4
    assert (small.images[:, 0, 3, 3] - mean).abs().max() <= 0.5
    made, _ = recipes.make("cluttered-28", *digits, seeded())
    sides = made.boxes[:, 0, 2:] - made.boxes[:, 0, :2]
    assert made.images.shape == (300, 1, 28, 28) and (sides - 28 * 0.7).abs().max() < 1
