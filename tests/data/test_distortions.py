"""Distortion recipes against SciPy, and their draws against the stated ranges."""

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from stn_course import data
from stn_course.data import distortions, recipes
from tests.support import uniform


def digits(n=100):
    """The first real digits of the test set, in [0, 1]."""
    return data.mnist("test").images[:n].float() / 255


def scipy_warp(image, theta, order):
    """Output pixel -> input pixel by theta, in (row, column) order, black outside."""
    n = len(image)
    m = theta.numpy().astype(np.float64)
    linear = m[:, :2][::-1, ::-1]  # x first -> row first
    shift = m[::-1, 2] * n / 2
    centre = (n - 1) / 2
    offset = centre + shift - linear @ np.full(2, centre)
    pixels = image.numpy().astype(np.float64)
    return affine_transform(pixels, linear, offset, order=order, mode="grid-constant")


@pytest.mark.parametrize("name", ["hard", "mild"])
def test_mixture_is_what_scipy_gives_for_its_theta(name):
    images = digits()
    made = data.DISTORTIONS[name](images, torch.Generator().manual_seed(5))
    assert (images.amax((1, 2, 3)) > 0.5).all() and (made.images.amax((1, 2, 3)) > 0.5).all()
    smooth = 0
    for x, y, theta in zip(images, made.images, made.theta, strict=True):
        bilinear = np.abs(scipy_warp(x[0], theta, 1) - y[0].numpy()).max()
        # A point that is half way between two pixels may round either way.
        nearest = (np.abs(scipy_warp(x[0], theta, 0) - y[0].numpy()) > 1e-4).mean()
        assert bilinear < 1e-4 or nearest < 0.01
        smooth += bilinear < 1e-4
    assert 30 < smooth < 70  # a fair coin


def drawn_by(recipe, n=100_000):
    """What `recipe` draws, by branch: scale x, scale y, shift x, shift y, angle, shear.

    Shifts in parts of the side, angles in degrees. The content is zoomed, sheared by
    [[1, -sin], [0, cos]], turned and shifted: this is taken apart in the opposite order.
    """
    theta = recipe(torch.zeros(n, 1, 2, 2), torch.Generator().manual_seed(0)).theta.double()
    below = torch.tensor([[[0, 0, 1.0]]], dtype=torch.float64).expand(n, 1, 3)
    m = torch.linalg.inv(torch.cat([theta, below], 1)).numpy()
    angle = np.arctan2(m[:, 1, 0], m[:, 0, 0])  # the shear leaves the x axis alone
    cos, sin = np.cos(angle), np.sin(angle)
    lean, height = cos * m[:, 0, 1] + sin * m[:, 1, 1], cos * m[:, 1, 1] - sin * m[:, 0, 1]
    shear = np.arctan2(-lean, height)
    scale = np.hypot(m[:, 0, 0], m[:, 1, 0]), np.hypot(lean, height)
    table = np.stack([*scale, *(m[:, :2, 2].T / 2), np.degrees(angle), np.degrees(shear)], 1)
    still = np.abs(table - [1, 1, 0, 0, 0, 0]) < 1e-5
    has = {
        "scale": ~still[:, :2].all(1),
        "shift": ~still[:, 2:4].all(1),
        "angle": ~still[:, 4],
        "shear": ~still[:, 5],
    }
    names = np.array(["+".join(k for k in has if has[k][i]) for i in range(n)])
    return {str(name): table[names == name] for name in np.unique(names)}


# As stated: of a branch the scales in x and y, then the largest shift, angle and shear.
STATED = {
    "hard": {
        "scale+shift+angle+shear": [(0.5, 1.3), (0.5, 1.3), 0.3, 75, 30],
        "scale": [(0.5, 1.3), (0.5, 1.3), 0, 0, 0],
        "shift": [(1, 1), (1, 1), 0.3, 0, 0],
        "angle": [(1, 1), (1, 1), 0, 75, 0],
        "shear": [(1, 1), (1, 1), 0, 0, 30],
    },
    "mild": {
        "scale+shift+angle+shear": [(0.6, 1.1), (0.5, 1.1), 0.2, 30, 15],
        "scale": [(0.6, 1.1), (0.6, 1.1), 0, 0, 0],
        "scale+shift": [(0.6, 0.8), (0.6, 0.8), 0.2, 0, 0],
        "angle": [(1, 1), (1, 1), 0, 60, 0],
        "shear": [(1, 1), (1, 1), 0, 0, 40],
    },
}


@pytest.mark.parametrize("name", STATED)
def test_every_branch_is_a_fifth_and_fills_its_ranges(name):
    drawn = drawn_by(data.DISTORTIONS[name])
    assert set(drawn) == set(STATED[name])
    for branch, (scale_x, scale_y, shift, angle, shear) in STATED[name].items():
        table = drawn[branch]
        assert len(table) == pytest.approx(20_000, rel=0.03)
        ranges = [scale_x, scale_y, *((-most, most) for most in (shift, shift, angle, shear))]
        moving = [k for k, (low, high) in enumerate(ranges) if low < high]
        for k in moving:
            uniform(table[:, k], *ranges[k])
        if len(moving) > 1:  # each is drawn by itself, also x and y
            off = np.corrcoef(table[:, moving].T) - np.eye(len(moving))
            assert np.abs(off).max() < 0.03


def test_pose_keeps_the_aspect():
    theta = distortions.pose(torch.zeros(500, 1, 2, 2), torch.Generator().manual_seed(0)).theta
    a = theta[:, :, :2].double()
    products = a @ a.mT
    assert torch.allclose(products[:, 0, 0], products[:, 1, 1], rtol=1e-4)
    assert products[:, 0, 1].abs().max() < 1e-5


@pytest.mark.parametrize("name", data.DISTORTIONS)
def test_same_seed_same_images_and_no_global_randomness(name):
    images = data.mnist("test").images[:20]
    before = torch.get_rng_state()
    labels = torch.zeros(20, dtype=torch.long)

    def freeze(seed):
        return data.freeze(name, images, labels, seed, batch=8)[0].images

    first = freeze(7)
    assert first.dtype == torch.uint8 and first.shape == (20, *recipes.shape(name))
    assert torch.equal(first, freeze(7))
    assert not torch.equal(first, freeze(8))
    assert torch.equal(before, torch.get_rng_state())


def test_clear_errors():
    with pytest.raises(ValueError, match="name='melt' is unknown; wanted one of hard"):
        data.freeze("melt", torch.zeros(1, 1, 2, 2, dtype=torch.uint8), torch.zeros(1), 0)
    with pytest.raises(TypeError, match=r"torch.float32; wanted torch.uint8"):
        data.freeze("hard", torch.zeros(1, 1, 2, 2), torch.zeros(1), 0)


def test_no_image_at_all_is_fine():
    none = torch.zeros(0, 1, 28, 28, dtype=torch.uint8)
    assert len(data.freeze("hard", none, torch.zeros(0).long(), 0)[0].images) == 0
