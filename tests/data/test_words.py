"""Words in scenes: against a slow reference in float64, and the truth about where they lie."""

import dataclasses

import numpy as np
import pytest
import torch

from stn_course import data
from stn_course.data import recipes, words
from stn_course.data.words import flat, scenes
from tests.support import uniform


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def some_words(n=6, split="test"):
    found = data.flat_words(split)
    return found.images[:n].float() / 255, found.labels[:n]


# ---------------------------------------------------------------- flat words
def test_splits_share_no_font_and_the_alphabet_is_large():
    names = [name for fonts in flat.FONTS.values() for name in fonts]
    assert len(names) == len(set(names)) == 13
    assert len(set(words.ALPHABET)) == len(words.ALPHABET) == 24 >= 20


@pytest.mark.parametrize(("split", "n"), [("train", 20_000), ("valid", 1000), ("test", 2000)])
def test_flat_words_are_what_is_stated(split, n):
    found = data.flat_words(split)
    assert found.images.shape == (n, 1, 32, 96) and found.images.dtype == torch.uint8
    assert found.labels.shape == (n, 5) and found.source.startswith("none:")
    assert found.labels.unique().tolist() == list(range(24))
    ink = found.images.float().mean() / 255
    assert 0.08 < ink < 0.3, ink
    assert data.flat_words(split) is found  # drawn once


def test_another_split_is_refused():
    with pytest.raises(ValueError, match="split is 'dev'"):
        data.flat_words("dev")


def test_a_hole_is_a_hole_and_what_is_wide_is_squeezed():
    for font in (name for fonts in flat.FONTS.values() for name in fonts):
        signs = flat._signs_of(font)  # [A, 24, 18]
        assert signs.shape == (24, *flat.CELL) and (signs.amax((1, 2)) > 200).all(), font
        assert (signs[:, :, 0] == 0).all() and (signs[:, :, -1] == 0).all(), font
        a_hole = signs[words.ALPHABET.index("D")].float()[8:16, 7:11].mean()
        assert a_hole < 100, font
        rows = (signs[words.ALPHABET.index("H")].amax(1) > 100).nonzero()
        assert abs((rows.max() - rows.min() + 1).item() - flat.CAPITAL) <= 1.5, font


def test_signs_are_laid_side_by_side_in_order():
    cells = torch.zeros(1, 5, *flat.CELL, dtype=torch.uint8)
    for k in range(5):
        cells[0, k, 12, 9] = k + 1
    sheet = flat.laid_out(cells)[0, 0]
    assert sheet[sheet > 0].tolist() == [1, 2, 3, 4, 5]
    row, columns = sheet.nonzero().T
    assert (row == 16).all() and columns.diff().tolist() == [18] * 4
    assert columns.float().mean() == 3 + 2 * 18 + 9  # the third sign's


def test_text_of_labels():
    assert words.text_of(torch.tensor([[0, 1, 2, 23, 22]])) == ["ABC97"]


# ---------------------------------------------------------------- a slow reference
def at(sheet, x, y):
    """A picture [h, w] read at one place in [-1, 1], black outside: four neighbours, one by one."""
    h, w = sheet.shape
    px, py = ((x + 1) * w - 1) / 2, ((y + 1) * h - 1) / 2
    left, top, found = int(np.floor(px)), int(np.floor(py)), 0.0
    for i, j in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        if 0 <= i < h and 0 <= j < w:
            found += sheet[i, j] * (1 - abs(px - j)) * (1 - abs(py - i))
    return found


def slow_scene(word, drawn, k):
    """Scene k, pixel by pixel, in float64.  # [3, H, W]"""
    one = {f.name: getattr(drawn, f.name)[k].double().numpy() for f in dataclasses.fields(drawn)}
    (height, width), word = scenes.SCENE, word.double().numpy()
    paper, ink, ground = one["colours"]
    scene = np.zeros((3, height, width))
    for i in range(height):
        for j in range(width):
            x, y = (2 * j + 1) / width - 1, (2 * i + 1) / height - 1
            u, v, w = one["theta"] @ [x, y, 1]
            u, v = u / w, v / w
            v = v + one["bend"] * (u * u - 1 / 3)
            pen, label = at(word, u, v), at(np.ones_like(word), u, v)
            bumps = one["texture"][0, i, j]
            sheet = paper * (1 - pen) + ink * pen + one["rough"][1] * bumps
            behind = ground + one["rough"][0] * bumps
            along, down, corners = one["light"]
            light = 1 + along * x + down * y - corners * (x * x + y * y) / 2
            scene[:, i, j] = (behind * (1 - label) + sheet * label) * light
    for share in one["blur"]:
        wide = np.pad(scene, ((0, 0), (1, 1), (1, 1)), "edge")
        soft = np.zeros_like(scene)
        for i, a in enumerate((0.25, 0.5, 0.25)):
            for j, b in enumerate((0.25, 0.5, 0.25)):
                soft += a * b * wide[:, i : i + height, j : j + width]
        scene = scene + share * (soft - scene)
    return np.clip(scene + one["noise"], 0, 1)


def test_scenes_are_those_of_the_slow_reference():
    images, _ = some_words(3)
    drawn = scenes.drawn_scenes(3, seeded(5))
    fast = scenes.rendered(images, drawn)
    for k in range(3):
        off = np.abs(slow_scene(images[k, 0], drawn, k) - fast[k].double().numpy()).max()
        assert off < 2e-4, off


def test_words_of_another_size_are_read_as_well():
    drawn = scenes.drawn_scenes(2, seeded(5))
    images = torch.rand(2, 1, 21, 50, generator=seeded())
    fast = scenes.rendered(images, drawn)
    assert np.abs(slow_scene(images[1, 0], drawn, 1) - fast[1].double().numpy()).max() < 2e-4


# ---------------------------------------------------------------- the truth
def test_a_dot_of_the_word_lies_where_carried_says():
    n = 40
    images = torch.zeros(n, 1, 32, 96)
    images[:, :, 9:12, 69:72] = 1.0  # its middle is pixel (10, 70)
    drawn = scenes.drawn_scenes(n, seeded(2))
    plain = {"rough": 0, "light": 0, "blur": 0, "noise": 0}
    colours = torch.zeros(n, 3, 3)
    colours[:, 1] = 1  # white ink alone
    drawn = dataclasses.replace(
        drawn, colours=colours, **{name: 0 * getattr(drawn, name) for name in plain}
    )
    scene = scenes.rendered(images, drawn)[:, 0]  # [n, 32, 96]
    x = (2 * torch.arange(96) + 1) / 96 - 1
    y = (2 * torch.arange(32) + 1) / 32 - 1
    mass = scene.sum((1, 2))
    found = torch.stack([(scene.sum(1) * x).sum(1), (scene.sum(2) * y).sum(1)], 1) / mass[:, None]
    place = torch.tensor([[(2 * 70 + 1) / 96 - 1, (2 * 10 + 1) / 32 - 1]])
    true = words.carried(drawn, place)[:, 0]  # [n, 2]
    inside = (true.abs() < 0.85).all(1)
    off = (found - true) * torch.tensor([48.0, 16.0])  # pixels
    assert inside.sum() > 20 and off[inside].abs().max() < 0.5


def test_the_bow_and_its_inverse():
    points, bend = torch.rand(3, 7, 2, generator=seeded()) * 2 - 1, torch.tensor([-0.5, 0, 0.4])
    there = scenes.bent(points, bend)
    assert torch.equal(there[1], points[1]) and not torch.equal(there[0], points[0])
    torch.testing.assert_close(scenes.bent(there, bend, back=True), points)


def test_motions_are_those_stated():
    n = 5000
    drawn = scenes.drawn_scenes(n, seeded(1))
    uniform(drawn.bend.numpy(), -0.5, 0.5)
    motion = np.linalg.inv(drawn.theta.double().numpy())
    motion /= motion[:, 2:, 2:]
    # T R S P, with P = [I 0; tilt 1]: the first two columns of T R S are those of M less T tilt.
    shift, tilt = motion[:, :2, 2], motion[:, 2, :2]
    for k in (0, 1):
        uniform(shift[:, k], -scenes.SHIFT[k], scenes.SHIFT[k])
        uniform(tilt[:, k], -scenes.TILT[k], scenes.TILT[k])
    pixels = np.array([48.0, 16.0])[:, None]
    placed = (motion[:, :2, :2] - shift[:, :, None] * tilt[:, None]) * pixels  # columns in pixels
    uniform(np.degrees(np.arctan2(placed[:, 1, 0], placed[:, 0, 0])), -10, 10)
    wide, tall = np.linalg.norm(placed, axis=1).T
    uniform(wide / 48, *scenes.ZOOM)
    uniform(tall / 16 / (wide / 48), *scenes.TALLER)
    assert np.abs((placed[:, :, 0] * placed[:, :, 1]).sum(1)).max() < 1e-2  # no shear


def test_no_horizon_is_in_sight_of_any_draw():
    (wide, _), tall = scenes.ZOOM, scenes.ZOOM[0] * scenes.TALLER[0]
    u = torch.rand(20_000, 8, generator=seeded())
    u[:256] = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 8)
    theta, _ = scenes._motion(u)
    corners = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
    assert (theta[:, 2] @ corners.T).min() > 0.05, (wide, tall)


def test_what_is_read_at_its_true_places_is_the_flat_word():
    images, labels = some_words(40)
    made = words.word_scenes(images, labels, seeded(3))
    straight = words.straightened(made)
    assert straight.shape == (40, 3, 32, 96)

    def likeness(scenes):
        """How far each scene's grey levels follow the flat word's ink, either way."""
        pairs = zip(scenes.mean(1).flatten(1), images.flatten(1), strict=True)
        return torch.stack([torch.corrcoef(torch.stack(pair))[0, 1].abs() for pair in pairs])

    assert likeness(straight).median() > 0.7 > 0.3 > likeness(made.images).median()
    again = words.straight_scenes(images, labels, seeded(3))
    assert torch.equal(again.images, straight) and torch.equal(again.theta, made.theta)


# ---------------------------------------------------------------- as a recipe
def test_the_recipe_is_seeded_and_keeps_its_labels():
    images, labels = some_words()
    one, other, third = (recipes.make("words", images, labels, seeded(s)) for s in (1, 1, 2))
    assert torch.equal(one[0].images, other[0].images)
    assert not torch.equal(one[0].images, third[0].images)
    assert torch.equal(one[1], labels) and torch.equal(one[0].labels, labels)
    assert one[0].images.shape == (6, 3, 32, 96) and one[0].images.isfinite().all()
    assert 0 <= one[0].images.min() and one[0].images.max() <= 1


def test_it_is_made_of_words_wherever_a_recipe_is_asked():
    assert recipes.shape("words") == (3, 32, 96) and recipes.answers("words") == (5, 24)
    assert recipes.base("words", "test") is data.flat_words("test")
    assert recipes.base("hard", "test").images.shape[1:] == (1, 28, 28)


def test_what_is_no_ink_is_refused():
    _, labels = some_words(2)
    with pytest.raises(TypeError, match="floating point"):
        recipes.make("words", torch.zeros(2, 1, 32, 96, dtype=torch.uint8), labels, seeded())
    with pytest.raises(ValueError, match=r"\[B, 1, h, w\]"):
        words.word_scenes(torch.zeros(2, 3, 32, 96), labels, seeded())


def test_a_set_that_is_drawn_can_be_learned_from(tmp_path):
    """`stn-course data --draw words`: the labels' classes are those of the alphabet."""
    from stn_course.data import own

    few = data.Digits(
        *(t[:30] for t in vars(data.flat_words("test")).values() if torch.is_tensor(t)), "few"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(recipes.BASES, "words", (lambda split: few, *recipes.BASES["words"][1:]))
        shapes = recipes.write_npz("words", tmp_path / "w.npz", "test", 3)
    assert shapes["images"] == (30, 3, 32, 96) and shapes["bend"] == (30,)
    name = own.read(tmp_path / "w.npz")
    assert own.SETS[name].shape == (3, 32, 96) and own.SETS[name].answers[0] == 5
