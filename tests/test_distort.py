"""Distortion recipes against SciPy, and their draws against the stated ranges."""

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from stn_course import data
from stn_course.data import augment, distort, recipes


def blobs(n, size=28, seed=0):
    images = torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(seed))
    images[..., :3, :] = images[..., -3:, :] = images[..., :3] = images[..., -3:] = 0
    return images


def scipy_warp(image, theta, order):
    """Output pixel -> input pixel by theta, in (row, column) order, black outside."""
    n = len(image)
    m = theta.numpy().astype(np.float64)
    linear = m[:, :2][::-1, ::-1]  # x first -> row first
    shift = m[::-1, 2] * n / 2
    centre = (n - 1) / 2
    offset = centre + shift - linear @ np.full(2, centre)
    return affine_transform(image.numpy().astype(np.float64), linear, offset, order=order)


@pytest.mark.parametrize("name", ["hard", "mild"])
def test_mixture_is_what_scipy_gives_for_its_theta(name):
    images = blobs(100)
    made = data.DISTORTIONS[name](images, torch.Generator().manual_seed(5))
    smooth = 0
    for x, y, theta in zip(images, made.images, made.theta, strict=True):
        bilinear = np.abs(scipy_warp(x[0], theta, 1) - y[0].numpy()).max()
        # A point that is half way between two pixels may round either way.
        nearest = (np.abs(scipy_warp(x[0], theta, 0) - y[0].numpy()) > 1e-4).mean()
        # Between the last centre and the edge SciPy is black at once, we fade: the rim is black.
        assert bilinear < 1e-4 or nearest < 0.01
        smooth += bilinear < 1e-4
    assert 30 < smooth < 70  # a fair coin


def branch_of(theta):
    """Which motions ``theta`` [2, 3] has: (linear part is diagonal, orthogonal, shifted)."""
    a = theta[:, :2]
    diagonal = abs(a[0, 1]) + abs(a[1, 0]) < 1e-6
    orthogonal = np.allclose(a @ a.T, np.eye(2), atol=1e-5)
    return diagonal, orthogonal, bool(np.abs(theta[:, 2]).max() > 1e-6)


def test_hard_draws_each_branch_a_fifth_and_stays_in_its_ranges():
    n = 20_000
    theta = distort.hard(torch.zeros(n, 1, 2, 2), torch.Generator().manual_seed(0)).theta
    content = torch.linalg.inv(torch.cat([theta, torch.tensor([[[0, 0, 1.0]]]).expand(n, 1, 3)], 1))
    m = content.numpy()
    kinds = [branch_of(t) for t in m[:, :2]]
    shift_only = np.array([d and o and s for d, o, s in kinds])
    rotation = np.array([o and not d and not s for d, o, s in kinds])
    scale = np.array([d and not o and not s for d, o, s in kinds])
    everything = np.array([s and not d and not o for d, o, s in kinds])
    for some in (shift_only, rotation, scale, everything):
        assert some.mean() == pytest.approx(0.2, abs=0.015)
    assert np.abs(m[shift_only][:, :2, 2]).max() == pytest.approx(0.6, rel=0.01)  # .3 of the side
    angles = np.degrees(np.arctan2(m[rotation][:, 0, 1], m[rotation][:, 0, 0]))
    assert np.abs(angles).max() == pytest.approx(75, rel=0.01)
    factors = m[scale][:, [0, 1], [0, 1]]
    assert (factors.min(), factors.max()) == (
        pytest.approx(0.5, abs=0.01),
        pytest.approx(1.3, abs=0.01),
    )
    assert abs(np.corrcoef(factors.T)[0, 1]) < 0.05  # x and y are drawn independently
    sheared = ~(shift_only | rotation | scale | everything)
    # The published shear is [[1, -sin], [0, cos]].
    sine, cosine = -m[sheared][:, 0, 1], m[sheared][:, 1, 1]
    assert np.allclose(sine**2 + cosine**2, 1, atol=1e-5) and np.allclose(m[sheared][:, 1, 0], 0)
    assert np.degrees(np.arcsin(np.abs(sine).max())) == pytest.approx(30, rel=0.01)


def test_pose_keeps_the_aspect():
    theta = augment.pose(torch.zeros(500, 1, 2, 2), torch.Generator().manual_seed(0)).theta
    a = theta[:, :, :2].double()
    products = a @ a.mT
    assert torch.allclose(products[:, 0, 0], products[:, 1, 1], rtol=1e-4)
    assert products[:, 0, 1].abs().max() < 1e-5


@pytest.mark.parametrize("name", data.DISTORTIONS)
def test_same_seed_same_images_and_no_global_randomness(name):
    images = (blobs(20) * 255).to(torch.uint8)
    before = torch.get_rng_state()
    first = data.freeze(images, name, 7, batch=8)
    assert first.dtype == torch.uint8 and first.shape == (20, *recipes.shape(name))
    assert torch.equal(first, data.freeze(images, name, 7, batch=8))
    assert not torch.equal(first, data.freeze(images, name, 8, batch=8))
    assert torch.equal(before, torch.get_rng_state())


def test_clear_errors():
    with pytest.raises(ValueError, match="name='melt' is unknown; wanted one of hard"):
        data.freeze(torch.zeros(1, 1, 2, 2, dtype=torch.uint8), "melt", 0)
    with pytest.raises(TypeError, match=r"torch.float32; wanted torch.uint8"):
        data.freeze(torch.zeros(1, 1, 2, 2), "hard", 0)


def test_no_image_at_all_is_fine():
    assert len(data.freeze(torch.zeros(0, 1, 28, 28, dtype=torch.uint8), "hard", 0)) == 0
