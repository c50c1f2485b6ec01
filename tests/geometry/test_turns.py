"""Turns of pictures that are not square: pixels turn, and no other number knows of it."""

import math

import pytest
import torch

from stn_course import geometry
from stn_course.sampling.reference import warp
from tests.support import bar, sides

D = torch.float64
QUARTER = torch.tensor([[0.0, math.pi / 2, 0.0, 0.0]], dtype=D)


@pytest.mark.parametrize("size", [(40, 100), (100, 40), (40, 40), (41, 61)])
def test_a_bar_turned_by_a_quarter_is_as_long_as_before(size):
    high, wide = 20 + size[0] % 2, 4 + size[0] % 2  # in the very middle
    image = bar(size, high, wide, D)
    for theta in (
        geometry.Similarity(size=size)(QUARTER),
        geometry.Similarity().on(QUARTER, size),
        geometry.affine(angle=90, size=size, dtype=D),
    ):
        assert sides(warp(image, theta)) == (wide, high)


@pytest.mark.parametrize("size", [(40, 100), (9, 5)])
def test_a_rotation_turns_and_does_nothing_else(size):
    raw = torch.tensor([[0.7], [-2.0], [0.0]], dtype=D)
    made = geometry.Rotation(size=size)(raw)
    wanted = geometry.affine(raw[:, 0].rad2deg(), size=size, dtype=D)
    assert torch.allclose(made, wanted, atol=1e-12)
    assert torch.equal(made, geometry.Rotation().on(raw, size))
    high, wide = 20 + size[0] % 2, 4 + size[0] % 2
    quarter = geometry.Rotation().on(QUARTER[:, 1:2], size)
    assert size == (9, 5) or sides(warp(bar(size, high, wide, D), quarter)) == (wide, high)
    bound = geometry.Rotation(0.5)(torch.tensor([[100.0], [-100.0]], dtype=D))
    ends = geometry.affine(torch.tensor([0.5, -0.5], dtype=D).rad2deg())
    assert torch.allclose(bound, ends, atol=1e-12)
    assert torch.equal(geometry.Rotation(0.5)(torch.zeros(1, 1)), geometry.identity())
    assert torch.autograd.gradcheck(geometry.Rotation(0.5, size), [raw.requires_grad_()])
    with pytest.raises(ValueError, match="turns those of another shape"):
        geometry.Rotation(size=size).on(raw, (30, 31))


@pytest.mark.parametrize("size", [(40, 100), (9, 5)])
def test_a_similarity_is_one_in_pixels(size):
    raw = torch.tensor([[0.3, 0.7, 0.1, -0.2], [-0.5, -2.0, 0.4, 0.3]], dtype=D)
    made = geometry.Similarity(size=size)(raw)
    part = geometry.to_pixels(made, size)[:, :, :2]
    product = part @ part.mT
    assert torch.allclose(product, product[:, :1, :1] * torch.eye(2, dtype=D), atol=1e-12)
    zoom = 8 ** torch.tanh(raw[:, 0] / math.log(8))
    wanted = geometry.affine(raw[:, 1].rad2deg(), 1 / zoom, size=size)[:, :, :2]
    assert torch.allclose(made[:, :, :2], wanted, atol=1e-12)
    assert torch.equal(made[:, :, 2], raw[:, 2:])
    assert torch.autograd.gradcheck(geometry.Similarity(size=size), [raw.requires_grad_()])


def test_on_square_pictures_nothing_changes_a_bit():
    raw = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    plain = geometry.Similarity()(raw)
    scale = (math.log(8) * torch.tanh(raw[:, 0] / math.log(8))).exp()
    cos, sin = scale * raw[:, 1].cos(), scale * raw[:, 1].sin()
    wanted = torch.stack([cos, -sin, raw[:, 2], sin, cos, raw[:, 3]], 1).view(-1, 2, 3)
    assert torch.equal(plain, wanted)
    for size in ((28, 28), (7, 7)):
        assert torch.equal(geometry.Similarity(size=size)(raw), wanted)
        assert torch.equal(geometry.Similarity().on(raw, size), wanted)


def test_pictures_of_another_shape_are_refused():
    turns = geometry.Similarity(size=(40, 100))
    assert turns.on(QUARTER, (20, 50)).shape == (1, 2, 3)  # smaller, and of that shape
    for size in ((40, 40), (100, 40), (40, 99)):
        wanted = rf"the pictures are {size[0]} x {size[1]} .*wanted size=\({size[0]}, {size[1]}\)"
        with pytest.raises(ValueError, match=wanted):
            turns.on(QUARTER, size)
    with pytest.raises(TypeError, match="size must be two ints"):
        geometry.Similarity(size=28)
    with pytest.raises(ValueError, match="size must be at least"):
        geometry.Similarity(size=(0, 28))


@pytest.mark.parametrize(
    "head",
    [geometry.Affine(), geometry.Attention(), geometry.Corners(), geometry.ThinPlateSpline()],
    ids=repr,
)
def test_what_does_not_turn_needs_no_size(head):
    raw = head.identity()[None] + 0.1
    assert torch.equal(head.on(raw, (40, 100)), head(raw))
