"""Clutter, pairs and co-localisation against slow loops, and their draws against the ranges."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from stn_course import data, geometry
from stn_course.data import scenes


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(n, size=28):
    return torch.rand(n, 1, size, size, generator=seeded(9))


def digits(n=100):
    """The first real digits of the test set, in [0, 1], with their labels."""
    test = data.mnist("test")
    return test.images[:n].float() / 255, test.labels[:n]


def scipy_reads(image, theta, n):
    """What SciPy reads of `image` for an n x n canvas, output -> input, black outside."""
    one = (2 * np.arange(n) + 1) / n - 1
    x, y = np.meshgrid(one, one)
    places = theta.double().numpy() @ np.stack([x, y, np.ones_like(x)]).reshape(3, -1)
    pixels = ((places + 1) * image.shape[-1] - 1) / 2
    found = map_coordinates(image[0].double().numpy(), pixels[::-1], order=1, mode="grid-constant")
    return found.reshape(n, n)


def slow_scene(images, seed, canvas, patches, size=6):
    """The same draws, pasted by loops over images and patches."""
    generator, (n, _, h, w) = seeded(seed), images.shape

    def draw(below, *shape):
        return torch.randint(below, shape, generator=generator).numpy()

    x, y = draw(canvas - w + 1, n), draw(canvas - h + 1, n)
    step = 1 + draw(n - 1, n, patches)
    top, left = draw(h - size + 1, n, patches), draw(w - size + 1, n, patches)
    at_x, at_y = (draw(canvas - size + 1, n, patches) for _ in range(2))
    out = np.zeros((n, canvas, canvas), np.float32)
    for i in range(n):
        for k in range(patches):
            other = images[(i + step[i, k]) % n, 0].numpy()
            scrap = other[top[i, k] : top[i, k] + size, left[i, k] : left[i, k] + size]
            out[i, at_y[i, k] : at_y[i, k] + size, at_x[i, k] : at_x[i, k] + size] = scrap
        out[i, y[i] : y[i] + h, x[i] : x[i] + w] += images[i, 0].numpy()
    return out.clip(0, 1)


def test_clutter_is_what_loops_paste():
    images, _ = digits()
    for made, canvas, patches in (
        (data.DISTORTIONS["tc"](images, seeded(2)), 60, 6),
        (data.colocalisation(images, seeded(2)), 84, 16),
        (data.colocalisation(images, seeded(2), patches=0), 84, 0),
    ):
        assert np.array_equal(made.images[:, 0].numpy(), slow_scene(images, 2, canvas, patches))


def test_theta_and_box_say_where_the_digit_is():
    images, _ = digits()
    made = data.colocalisation(images, seeded(1), patches=0)
    for image, scene, theta, (x0, y0, x1, y1) in zip(
        images, made.images, made.theta, made.boxes.tolist(), strict=True
    ):
        assert np.abs(scipy_reads(image, theta, 84) - scene[0].numpy()).max() < 1e-4
        assert (x1 - x0, y1 - y0) == (28, 28)
        assert torch.equal(scene[:, y0:y1, x0:x1], image)
        assert scene.sum() == pytest.approx(image.sum().item(), rel=1e-5)
    wide = geometry.box_to_theta(torch.tensor([[10, 20, 40, 30]]), 100)  # 30 wide, 10 high
    ends = wide @ torch.tensor([[-0.8, -0.6, 1.0], [-0.2, -0.4, 1.0]]).T  # the box's corners
    assert torch.allclose(ends[0].T, torch.tensor([[-1.0, -1], [1, 1]]), atol=1e-5)


def test_boxes_of_glimpses_and_their_overlap():
    made = data.colocalisation(blobs(50), seeded(1))
    found = geometry.glimpse_boxes(geometry.invert(made.theta), 84)  # the perfect glimpse
    assert torch.allclose(found, made.boxes.float(), atol=1e-3)
    assert torch.allclose(geometry.iou(found, made.boxes), torch.ones(50), atol=1e-3)
    turned = geometry.affine(angle=45.0)  # a square on its tip
    corners = 1 + 2**0.5 * torch.tensor([-1, -1, 1, 1.0])
    assert torch.allclose(geometry.glimpse_boxes(turned, 2), corners)
    a = torch.tensor([[0, 0, 4, 2], [0, 0, 4, 2], [0, 0, 1, 1], [0, 0, 1, 1]])
    b = torch.tensor([[2, 0, 6, 2], [1, 1, 2, 2], [1, 0, 2, 1], [5, 5, 9, 9]])
    assert torch.allclose(geometry.iou(a, b), torch.tensor([1 / 3, 1 / 8, 0, 0]))


def test_places_are_uniform_and_patches_never_the_digit_itself():
    x0 = data.DISTORTIONS["tc"](torch.zeros(20_000, 1, 28, 28), seeded()).boxes[:, :2].double()
    assert x0.min() == 0 and x0.max() == 60 - 28
    assert torch.allclose(x0.mean(0), torch.full((2,), 16.0).double(), atol=0.2)
    assert torch.allclose(x0.std(0), torch.full((2,), 9.522).double(), rtol=0.02)
    assert abs(np.corrcoef(x0.T)[0, 1]) < 0.03
    # Each digit has a grey of its own: a scene's clutter must be of other greys.
    greys = torch.linspace(0.1, 0.5, 40).view(-1, 1, 1, 1).expand(40, 1, 28, 28)
    made = scenes.place(greys, seeded(), canvas=84, patches=6)
    for grey, scene, (a, b, c, d) in zip(greys, made.images, made.boxes.tolist(), strict=True):
        scene = scene.clone()
        scene[:, b:d, a:c] = 0
        assert scene.any() and not (scene - grey[0, 0, 0]).abs().lt(1e-6).any()


def test_addition_is_two_rts_digits_and_their_sum():
    images, labels = digits()
    made = data.addition(images, labels, seeded(5))
    assert made.images.shape == (100, 2, 42, 42) and made.theta.shape == (100, 2, 2, 3)
    assert torch.equal(made.labels, made.digits.sum(1)) and torch.equal(made.digits[:, 0], labels)
    seconds = set()
    for i in range(100):
        first, second = made.images[i].numpy()
        assert np.abs(scipy_reads(images[i], made.theta[i, 0], 42) - first).max() < 1e-4
        # The second channel: which digit it is can be found by trying those with its label.
        tried = (labels == made.digits[i, 1]).nonzero()[:, 0].tolist()
        off = [np.abs(scipy_reads(images[k], made.theta[i, 1], 42) - second).max() for k in tried]
        assert min(off) < 1e-4 and sorted(off)[1] > 0.1
        seconds.add(tried[int(np.argmin(off))])
    assert len(seconds) > 50  # drawn from all of them
    many = data.addition(torch.zeros(4000, 1, 2, 2), torch.arange(4000) % 10, seeded())
    assert (many.labels.min(), many.labels.max()) == (0, 18)
    counts = torch.bincount(many.labels, minlength=19) / 4000
    triangle = torch.tensor([min(k + 1, 19 - k) for k in range(19)]) / 100
    assert torch.allclose(counts, triangle, atol=0.02)


def test_clear_errors_and_a_digit_alone():
    with pytest.raises(ValueError, match=r"canvas=20, patches=6 .* wanted \[B, 1, h, w\] that fit"):
        scenes.place(blobs(2), seeded(), canvas=20, patches=6)
    with pytest.raises(ValueError, match="boxes must have x0 < x1"):
        geometry.box_to_theta(torch.tensor([[5, 5, 5, 9]]), 60)
    assert data.DISTORTIONS["tc"](blobs(1), seeded()).images.shape == (1, 1, 60, 60)
