"""Registration by descent: right from nearby, lost from afar, and a pyramid reaches further."""

import pytest
import torch

from stn_course import geometry
from stn_course.lessons.place_and_tilt import registration
from stn_course.lessons.place_and_tilt.registration import (
    basin,
    corner_error,
    displaced,
    pyramid,
    register,
)
from stn_course.sampling import reference


def scene(size=32, width=0.03):
    """Five hills of different heights on a plain.  # [1, 1, size, size]"""
    at = geometry.pixel_centres(size)
    hills = ((-0.5, -0.5, 1.0), (0.4, -0.5, 0.6), (0, 0, 0.8), (0.5, 0.4, 0.9), (-0.5, 0.3, 0.5))
    parts = [h * torch.exp(-((at - x) ** 2 + (at[:, None] - y) ** 2) / width) for x, y, h in hills]
    return sum(parts)[None, None]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pairs(n, pixels, size=32):
    image = scene(size).expand(n, 1, size, size)
    true = displaced(n, pixels, size, generator())
    return image, reference.warp(image, true), true


def test_from_nearby_every_pair_is_found():
    images, targets, true = pairs(8, 1.5)
    before = corner_error(geometry.to_homogeneous(geometry.identity(8)), true, 32)
    assert torch.allclose(before, torch.full((8,), 1.5), atol=1e-4)
    found = register(images, targets)
    assert corner_error(found.theta, true, 32).max() < 0.1
    assert found.theta.shape == (8, 3, 3) and found.losses.shape == (registration.STEPS, 8)
    assert (found.losses[-1] < 0.01 * found.losses[0]).all()


def test_from_afar_it_ends_in_a_wrong_place():
    images, targets, true = pairs(8, 11)
    error = corner_error(register(images, targets, steps=100).theta, true, 32)
    assert (error > 3).sum() >= 4


def test_a_pyramid_reaches_further_for_the_same_number_of_steps():
    narrow = scene(width=0.008)
    near, far = basin(narrow, [1.5, 8], n=50, steps=120)
    coarse_near, coarse_far = basin(narrow, [1.5, 8], n=50, steps=40, levels=3)
    assert min(near, coarse_near) > 0.9
    assert coarse_far >= far + 0.1


@pytest.mark.parametrize("transform", [geometry.Corners(), geometry.Affine()])
def test_other_families_of_transforms(transform):
    image = scene()
    true = geometry.to_homogeneous(geometry.affine(angle=4, shift=(0.05, -0.03)))
    found = register(image, reference.warp(image, true), transform=transform)
    assert corner_error(found.theta, true, 32).item() < 0.1


def test_a_turn_on_a_wide_picture_is_found():
    at = geometry.pixel_centres(48)
    image = scene(48)[:, :, 12:36] * torch.exp(-(at**2) / 0.3)
    size = tuple(image.shape[2:])  # 24 x 48
    true = geometry.affine(angle=15, shift=(0.05, -0.03), size=size)
    found = register(
        image, reference.warp(image, true), transform=geometry.Similarity(), steps=200
    ).theta[:, :2]
    off = geometry.to_pixels(found, size) - geometry.to_pixels(true, size)
    assert off[:, :, :2].abs().max() < 0.005 and off[:, :, 2].abs().max() < 0.1
    part = geometry.to_pixels(found, size)[0, :, :2]
    assert torch.allclose(part @ part.T, (part @ part.T)[0, 0] * torch.eye(2), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_pictures_of_a_low_type_are_found_as_well(dtype):
    images, targets, true = pairs(4, 1.5)
    low = images.to(dtype)
    aim = reference.warp(low.float(), true)  # of what the low type kept
    found = register(low, aim)
    assert found.theta.dtype == found.losses.dtype == torch.float32
    assert torch.equal(found.theta, register(low.float(), aim).theta)
    both = register(low, targets.to(dtype))
    assert corner_error(both.theta, true, 32).max() < 0.1 and both.losses.dtype == torch.float32
    assert basin(scene().to(dtype), [1.5], n=4, steps=120) == [1.0]


def test_what_made_the_pictures_is_no_part_of_it():
    """A graph behind them would be gone after the first step, and they get no gradient."""
    images, targets, _ = pairs(2, 1.5)
    wanted = register(images, targets, steps=3)
    leaves = [each.clone().requires_grad_() for each in (images, targets)]
    for given in (leaves, [2 * leaf - leaf for leaf in leaves]):
        found = register(*given, steps=3)
        assert torch.equal(found.theta, wanted.theta) and not found.theta.requires_grad
        assert [leaf.grad for leaf in leaves] == [None, None]


def test_pairs_do_not_disturb_each_other():
    images, targets, _ = pairs(3, 2)
    together = register(images, targets, steps=20).theta
    alone = register(images[1:2], targets[1:2], steps=20).theta
    assert torch.allclose(together[1:2], alone, atol=1e-5)


def test_the_pyramid_halves_by_averaging():
    made = pyramid(scene(), 3)
    assert [m.shape[-1] for m in made] == [8, 16, 32]
    assert torch.allclose(made[0][0, 0, 0, 0], scene()[0, 0, :4, :4].mean())


def test_displaced_corners_are_as_far_away_as_asked():
    true = displaced(50, 6, 32, generator(3))
    still = geometry.to_homogeneous(geometry.identity(50))
    assert torch.allclose(corner_error(true, still, 32), torch.full((50,), 6.0), atol=1e-3)
    assert not torch.equal(true[0], true[1])
    assert torch.equal(true, displaced(50, 6, 32, generator(3)))


def test_bad_input_is_named():
    image = scene()
    with pytest.raises(ValueError, match=r"images \[1, 1, 32, 32\] and targets \[1, 1, 16, 16\]"):
        register(image, image[..., ::2, ::2])
    with pytest.raises(ValueError, match="steps=0, rate=0.02"):
        register(image, image, steps=0)
    with pytest.raises(ValueError, match="levels=5 leave 2 pixels"):
        register(image, image, levels=5)
    with pytest.raises(ValueError, match="levels=0"):
        pyramid(image, 0)
    with pytest.raises(ValueError, match="pixels=16; wanted 0 or more, and less than half"):
        displaced(1, 16, 32, generator())


def test_what_cannot_be_registered_is_refused_before_a_step():
    x = torch.rand(1, 1, 8, 8)
    with pytest.raises(TypeError, match="images must be a tensor .*, got ndarray"):
        register(x.numpy(), x)
    with pytest.raises(TypeError, match="targets must be floating point, got torch.uint8"):
        register(x, x.byte())
    with pytest.raises(ValueError, match="transform=ThinPlateSpline.*wanted one that makes a"):
        register(x, x, transform=geometry.ThinPlateSpline())
    with pytest.raises(ValueError, match="transform='affine'; wanted one that makes a"):
        register(x, x, transform="affine")
    with pytest.raises(ValueError, match="targets must be finite"):
        register(x, x / 0)
    for wrong in ({"steps": 1.5}, {"rate": float("inf")}, {"levels": 1.5}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            register(x, x, **wrong)
    with torch.no_grad():  # it descends all the same
        assert register(x, x, steps=2).theta.shape == (1, 3, 3)


def test_of_pictures_that_are_not_square_pixels_are_counted_along_both_sides():
    size = (24, 60)
    true = displaced(50, 6, size, generator(3))
    still = geometry.to_homogeneous(geometry.identity(50))
    assert torch.allclose(corner_error(true, still, size), torch.full((50,), 6.0), atol=1e-3)
    across, down = geometry.affine(shift=(0.5, 0.0)), geometry.affine(shift=(0.0, 0.5))
    assert [corner_error(t, still[:1], size).item() for t in (across, down)] == [15, 6]
    with pytest.raises(ValueError, match="pixels=12; wanted 0 or more, and less than half"):
        displaced(1, 12, size, generator())
    wide = torch.nn.functional.pad(scene(), (10, 10))
    assert basin(wide, [1.5], n=4, steps=60) == [1.0]


def test_a_basin_is_that_of_one_image():
    with pytest.raises(ValueError, match=r"image is \[2, 1, 8, 8\]; wanted one image"):
        basin(torch.rand(2, 1, 8, 8), [1.0], n=2, steps=1)
    with pytest.raises(ValueError, match="image must have shape"):
        basin(torch.rand(1, 8, 8), [1.0], steps=1)
    with pytest.raises(ValueError, match="n=0; wanted at least 1"):
        basin(scene(), [1.0], n=0)


def test_corners_of_two_types_are_compared_in_the_wider_one():
    still, moved = geometry.identity(1), geometry.affine(shift=(0.5, 0), dtype=torch.float64)
    for pair in ((still, moved), (moved, still)):
        assert corner_error(*pair, 8).dtype == torch.float64 and corner_error(*pair, 8) == 2


def test_corners_can_be_read_through_affine_matrices():
    still, moved = geometry.identity(2), geometry.affine(shift=(0.5, 0), batch=2)
    assert torch.allclose(corner_error(still, moved, 8), torch.full((2,), 2.0))
    assert torch.equal(corner_error(still, geometry.to_homogeneous(still), 8), torch.zeros(2))


def test_the_path_leads_from_the_identity_to_what_was_found():
    picture = scene(24)
    true = registration.displaced(1, 1.5, 24, torch.Generator().manual_seed(0))
    target = reference.warp(picture, true)
    found = {
        name: registration.register(picture, target, levels=levels, steps=12 // levels)
        for name, levels in (("one", 1), ("two", 2))
    }
    for each in found.values():
        assert each.path.shape == (12, 1, 3, 3) and len(each.losses) == 12
        assert torch.equal(each.path[0, 0], torch.eye(3))
        losses = [(reference.warp(picture, t) - target).square().mean() for t in each.path[-6:]]
        assert torch.allclose(torch.stack(losses), each.losses[-6:, 0], atol=1e-6)
    player = registration.DescentPlayer(picture, found, true, every=5)
    assert player.steps == [0, 5, 10, 12] and player.captions == ["one", "two", "what is sought"]
    ends = torch.tensor([each[-1] for each in player.thetas]).view(3, 3, 3)
    wanted = torch.cat([found["one"].theta, found["two"].theta, true])
    assert torch.allclose(ends, wanted, atol=1e-5)
    assert repr(player) == "DescentPlayer(2 descents, 4 steps)"
    with pytest.raises(ValueError, match="several images or numbers of steps"):
        other = registration.register(picture, target, steps=3)
        registration.DescentPlayer(picture, found | {"three": other}, true)
