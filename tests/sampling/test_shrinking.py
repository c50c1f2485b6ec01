"""Antialiased shrinking: against means over areas, and nothing changed where nothing shrinks."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stn_course import geometry, sampling, warp
from stn_course.sampling import reference, shrinking

D = torch.float64
BOTH = pytest.mark.parametrize("call", [warp, reference.warp])
FLAGS = pytest.mark.parametrize("align_corners", [False, True])


def rand(*shape, seed=0, dtype=D):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=g, dtype=D).to(dtype)


def still(n=1, dtype=D):
    return geometry.identity(n, dtype=dtype)


def homography(n=1, tilt=0.2):
    return torch.eye(3, dtype=D) + tilt * (rand(n, 3, 3, seed=5) - 0.5)


@BOTH
@pytest.mark.parametrize("factors", [(2, 2), (3, 5), (1, 4), (7, 1), (12, 9)])
@pytest.mark.parametrize("size", [(5, 7), (1, 3), (2, 1)])
def test_by_whole_numbers_it_is_the_mean_over_the_area(call, factors, size):
    images = rand(2, 3, size[0] * factors[0], size[1] * factors[1])
    if call is warp:
        images = images.float()
    found = call(images, still(2, images.dtype), size, antialias=True)
    wanted = F.avg_pool2d(images, factors)
    assert (found - wanted).abs().max() < (1e-12 if call is reference.warp else 2e-6)


@pytest.mark.parametrize(
    ("size", "image"), [((8, 10), (20, 23)), ((9, 9), (64, 40)), ((3, 31), (50, 32))]
)
def test_by_any_factor_it_is_near_opencvs_mean_over_the_area(size, image):
    """Ours is of the surface between pixels, OpenCV's of pixels with edges: smooth pictures."""
    cv2 = pytest.importorskip("cv2")
    y, x = np.mgrid[: image[0], : image[1]]
    picture = np.sin(x / 4) * np.cos(y / 5)
    theirs = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)
    given = torch.from_numpy(picture)[None, None]
    ours = reference.warp(given, still(), size, "border", antialias=True)[0, 0].numpy()
    miss = np.abs(ours - theirs).max()
    assert miss < 0.03
    plain = reference.warp(given, still(), size, "border")[0, 0].numpy()
    assert np.abs(plain - theirs).max() > 1.5 * miss


def test_noise_that_is_shrunk_loses_its_contrast_and_stripes_vanish():
    """What antialiasing is for: at random and in the finest stripes, at factors of any size."""
    stripes = (torch.arange(240, dtype=D) % 2).expand(1, 1, 240, 240)
    for size in ((100, 100), (77, 55), (33, 19)):
        found = reference.warp(stripes, still(), size, "border", antialias=True)
        assert (found - 0.5).abs().max() < 0.2
        plain = reference.warp(stripes, still(), size, "border")
        assert (plain - 0.5).abs().max() > 0.4
        noise = rand(1, 1, 240, 240, seed=size[0])
        less = reference.warp(noise, still(), size, "border", antialias=True).std() / noise.std()
        assert less < 1.1 * (size[0] * size[1] / 240**2) ** 0.5


@BOTH
@FLAGS
@pytest.mark.parametrize("padding", reference.PADDINGS)
def test_where_nothing_shrinks_no_bit_changes(call, align_corners, padding):
    images = rand(3, 2, 9, 14, dtype=torch.float32)
    theta = torch.cat(
        [geometry.affine(a, z, size=(9, 14)) for a, z in ((0, 1), (30, 1), (70, 1.7))]
    )
    how = {"padding": padding, "align_corners": align_corners}
    if align_corners:  # it widens an input that is longer than the output by a little
        theta = theta[:1].repeat(3, 1, 1)
    spline = 0.01 * (rand(3, 9, 2, dtype=torch.float32) - 0.5)
    for where in (theta, geometry.to_homogeneous(theta), 0 * spline):
        plain = call(images, where, **how)
        assert torch.equal(call(images, where, antialias=True, **how), plain)
    larger = call(images, theta, (20, 31), **how)
    assert torch.equal(call(images, theta, (20, 31), antialias=True, **how), larger)


@BOTH
def test_each_picture_of_a_batch_is_by_itself(call):
    images = rand(4, 2, 12, 17, dtype=torch.float32)
    theta = torch.cat([geometry.affine(20, zoom, size=(12, 17)) for zoom in (1.3, 0.3, 1.0, 0.45)])
    index = torch.tensor([3, 0, 0, 2, 1])
    together = call(images, theta, antialias=True)
    for i in range(4):
        alone = call(images[i : i + 1], theta[i : i + 1], antialias=True)
        assert torch.equal(together[i : i + 1], alone)
    assert torch.equal(together[[0, 2]], call(images[[0, 2]], theta[[0, 2]]))
    many = theta[[1, 1, 0, 3, 2]]
    found = call(images, many, (6, 8), antialias=True, index=index)
    assert torch.equal(found, call(images[index], many, (6, 8), antialias=True))
    assert call(images[:0], theta[:0], antialias=True).shape == (0, 2, 12, 17)


@FLAGS
@pytest.mark.parametrize("kind", ["affine", "homography", "spline", "landmarks"])
def test_it_is_the_mean_of_what_lies_under_each_pixel(kind, align_corners):
    """Against many random places in each output pixel: a smooth picture under any transform."""
    size, n = (6, 5), 4000
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(60.0), indexing="ij")
    image = (torch.sin(x / 2) * torch.cos(y / 3)).double()[None, None]
    points = geometry.control_points((3, 3), dtype=D)
    transform = {
        "affine": geometry.affine(25, 0.9, dtype=D),
        "homography": homography(),
        "spline": 0.2 * (rand(1, 9, 2) - 0.5),
        "landmarks": geometry.spline_from_landmarks(points, 0.8 * points + 0.1, 0.01),
    }[kind]
    at = torch.stack(torch.meshgrid(torch.arange(6.0), torch.arange(5.0), indexing="ij"), -1).flip(
        -1
    )
    at = at.double().view(1, 30, 1, 2) + rand(1, 1, n, 2, seed=2) - 0.5  # pixels of the output
    words = {"align_corners": align_corners}
    places = geometry.transform_points(
        transform, geometry.from_pixels(at.view(1, -1, 2), size, **words)
    )
    read = sampling.bilinear_sample(image, places.view(1, 30, n, 2), "border", **words)
    wanted = read.mean(3).view(1, 1, *size)
    found = reference.warp(image, transform, size, "border", antialias=True, **words)
    plain = reference.warp(image, transform, size, "border", **words)
    assert (found - wanted).abs().max() < 0.05 < (plain - wanted).abs().max()


@pytest.mark.parametrize("kind", ["affine", "homography", "spline"])
def test_gradcheck(kind):
    images = rand(2, 1, 5, 6).requires_grad_()
    transform = {
        "affine": geometry.affine(20, 0.7, dtype=D, batch=2),
        "homography": homography(2),
        "spline": 0.2 * (rand(2, 4, 2) - 0.5),
    }[kind].requires_grad_()
    index = torch.tensor([1, 0])
    assert torch.autograd.gradcheck(
        lambda i, t: reference.warp(i, t, (2, 3), "zeros", antialias=True, index=index),
        (images, transform),
        atol=1e-6,
    )


def test_gradients_on_the_fast_path():
    images, theta = rand(3, 2, 20, 30), geometry.affine(15, 0.8, dtype=D, batch=3)
    weights, results = rand(3, 2, 7, 9, seed=3), []
    for call, dtype in ((warp, torch.float32), (reference.warp, D)):
        leaves = [t.to(dtype).requires_grad_() for t in (images, theta)]
        out = call(*leaves, (7, 9), antialias=True)
        results.append([out, *torch.autograd.grad(out, leaves, weights.to(dtype))])
    for a, b in zip(*results, strict=True):
        assert (a - b).abs().max() < 1e-5 * max(1, b.abs().max().item())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16])
def test_types(dtype):
    images = (255 * rand(1, 2, 20, 30)).to(dtype)
    found = warp(images, still(dtype=torch.float32), (5, 6), antialias=True)
    assert found.dtype == (torch.float32 if dtype == torch.uint8 else dtype)
    shown = images.double() / 255 if dtype == torch.uint8 else images.double()
    wanted = F.avg_pool2d(shown, (4, 5))
    assert (found - wanted).abs().max() <= 2 * torch.finfo(found.dtype).eps * wanted.max() + 1e-6


def test_how_far_apart_neighbours_are_read():
    theta = torch.cat([still(), geometry.affine(90, 0.5, size=(40, 100), dtype=D)])
    found = shrinking.scales(theta, (20, 25), (40, 100), False)
    assert torch.allclose(found, torch.tensor([[4.0, 2.0], [8.0, 4.0]], dtype=D) * 1.0)
    same = shrinking.scales(geometry.to_homogeneous(theta), (20, 25), (40, 100), False)
    assert torch.allclose(found, same, atol=1e-9)
    counts = shrinking.parts(theta, (20, 25), (40, 100), False)
    assert counts.tolist() == [[2, 4], [4, 8]]
    far = 1e6 * still()
    assert shrinking.parts(far, (20, 25), (40, 100), False).tolist() == [[160, 128]]


def test_a_theta_that_explodes_takes_no_more_memory(monkeypatch):
    images = rand(3, 1, 28, 28, dtype=torch.float32)
    out = warp(images, 1e7 * still(3, torch.float32), antialias=True)
    assert out.isfinite().all()
    monkeypatch.setattr(shrinking, "SAMPLES", 1)  # one picture at a time
    theta = geometry.affine(30, 0.2, batch=3)
    whole = torch.cat([warp(images[i : i + 1], theta[:1], antialias=True) for i in range(3)])
    assert torch.equal(warp(images, theta, antialias=True), whole)


def test_out_and_what_is_refused():
    images, theta = rand(2, 1, 9, 9, dtype=torch.float32), geometry.affine(10, 0.4, batch=2)
    out = torch.empty(2, 1, 9, 9)
    assert warp(images, theta, antialias=True, out=out) is out
    assert torch.equal(out, warp(images, theta, antialias=True))
    with pytest.raises(ValueError, match="antialias=True looks at the transform"):
        torch.func.vmap(lambda i, t: warp(i, t, antialias=True))(images[None], theta[None])
    for call in (warp, reference.warp):
        with pytest.raises(ValueError, match="theta must be finite"):
            call(images, theta / 0, antialias=True)
        with pytest.raises(ValueError, match="images must have shape"):
            call(images[:, :0], theta, antialias=True)
        with pytest.raises(ValueError, match="one batch size"):
            call(images, theta.repeat(2, 1, 1), antialias=True)
        with pytest.raises(TypeError, match="images must be floating point"):
            call(images.int(), theta, antialias=True)
        with pytest.raises(ValueError, match="padding must be one of"):
            call(images, theta, antialias=True, padding="mirror")
