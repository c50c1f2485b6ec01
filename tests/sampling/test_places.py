"""Labels, mirrored pictures, grids and flows: against torch, SciPy, OpenCV and kornia."""

import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stn_course import geometry, sampling, warp
from stn_course.sampling import fused, reference
from tests.sampling.test_fused import COMPILER

D = torch.float64
LABELS = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
WIDE = [torch.uint16, torch.uint32, torch.uint64]
BOTH = pytest.mark.parametrize("call", [warp, reference.warp])
FLAGS = pytest.mark.parametrize("align_corners", [False, True])


def rand(*shape, seed=0, dtype=D):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=g, dtype=D).to(dtype)


def thetas(n=3, dtype=D, reach=1.4):
    return geometry.identity(n, dtype=dtype) + reach * (rand(n, 2, 3, seed=1, dtype=dtype) - 0.5)


def labels(dtype, *shape):
    """The ends of the type among them: what float32 and float64 do not tell from neighbours."""
    g = torch.Generator().manual_seed(3)
    if dtype == torch.bool:
        return torch.randint(2, shape, generator=g).bool()
    ends = torch.iinfo(dtype)
    made = np.random.default_rng(0).integers(
        ends.min, ends.max, shape, endpoint=True, dtype=str(dtype)[6:]
    )
    made.flat[:2] = ends.min, ends.max
    return torch.from_numpy(made)


# ---------------------------------------------------------------- labels
@BOTH
@FLAGS
@pytest.mark.parametrize("dtype", LABELS + WIDE)
@pytest.mark.parametrize("padding", reference.PADDINGS)
def test_labels_are_read_exactly(call, dtype, padding, align_corners):
    """Where each is read, float64 says: of the places of the labels, and of what lies outside."""
    images, theta, size = labels(dtype, 3, 2, 7, 10), thetas(), (6, 13)
    found = call(images, theta, size, padding, align_corners=align_corners, mode="nearest")
    assert found.dtype == dtype
    number = torch.arange(1, 71, dtype=D).view(1, 1, 7, 10).expand(3, 1, 7, 10)
    where = (
        reference.warp(number, theta, size, padding, 0.0, align_corners, "nearest")
        if padding == "background"
        else reference.warp(number, theta, size, padding, None, align_corners, "nearest")
    )
    where = where.long().flatten(1)  # [3, H*W], 0 outside
    level = torch.zeros(3, 2, 1, dtype=torch.int64).to(dtype)
    if padding == "background":
        border = torch.cat(
            [images[:, :, [0, -1]].flatten(2), images[:, :, 1:-1, [0, -1]].flatten(2)], 2
        )
        level = border.sort(2).values[:, :, [(border.shape[2] - 1) // 2]]
    table = torch.cat([level, images.flatten(2)], 2)  # [3, 2, 71]
    wanted = torch.stack([table[b][:, where[b]] for b in range(3)]).view(3, 2, *size)
    assert torch.equal(found, wanted)


@BOTH
def test_labels_of_one_picture_and_of_none(call):
    images = labels(torch.int64, 2, 1, 5, 6)
    index = torch.tensor([1, 1, 0])
    found = call(images, thetas(), (4, 4), mode="nearest", index=index)
    assert torch.equal(found, call(images[index], thetas(), (4, 4), mode="nearest"))
    assert call(images[:0], thetas()[:0], mode="nearest").shape == (0, 1, 5, 6)
    assert torch.equal(call(images, geometry.identity(2), mode="nearest"), images)


@BOTH
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_what_lies_outside_labels(call, dtype):
    images, away = labels(dtype, 2, 2, 4, 4), geometry.affine(shift=9.0, batch=2)
    fill = torch.tensor([[1, 2], [3, 4]], dtype=dtype)
    for given, wanted in (
        (255 if dtype == torch.uint8 else 2**60 + 1, None),
        (np.int64(7), None),
        (torch.tensor(9), None),
        (fill, fill),
        (fill.numpy(), fill),
    ):
        found = call(images, away, fill=given, mode="nearest")
        wanted = torch.full((2, 2), int(given)) if wanted is None else wanted
        assert torch.equal(found, wanted.to(dtype)[:, :, None, None].expand_as(images))


@BOTH
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"fill": 0.5}, TypeError, "fill must be a whole number that torch.uint8 holds"),
        ({"fill": 256}, ValueError, "fill must be a whole number .* beyond its ends"),
        ({"fill": -1}, ValueError, "fill must be a whole number .* beyond its ends"),
        ({"fill": torch.zeros(3, 1)}, TypeError, "fill must be a whole number .* torch.float32"),
        ({"fill": torch.zeros(1, 3).long()}, TypeError, "fill must be a whole number"),
        ({"mode": "bicubic"}, ValueError, "mode must be"),
        ({"transform": thetas().requires_grad_()}, ValueError, "transform requires a gradient"),
        (
            {"transform": None, "grid": rand(3, 2, 2, 2).requires_grad_()},
            ValueError,
            "grid requires a gradient, and labels",
        ),
        ({"antialias": True}, ValueError, "antialias=True averages, got mode='nearest'"),
    ],
)
def test_what_labels_do_not_have_is_refused_by_name(call, change, error, words):
    given = {"transform": thetas(), "mode": "nearest"} | change
    with pytest.raises(error, match=words):
        call(labels(torch.uint8, 3, 1, 4, 4), **given)


@BOTH
def test_labels_are_never_averaged(call):
    with pytest.raises(TypeError, match="images must be floating point, got torch.int64"):
        call(labels(torch.int64, 3, 1, 4, 4), thetas())
    with torch.no_grad():  # nobody asks for a gradient here
        call(labels(torch.uint8, 3, 1, 4, 4), thetas().requires_grad_(), mode="nearest")


@FLAGS
def test_scipy_and_opencv_read_the_same_labels(align_corners):
    ndimage = pytest.importorskip("scipy.ndimage")
    image, theta = labels(torch.uint8, 1, 1, 9, 14), thetas(1)
    found = warp(image, theta, (8, 11), "zeros", align_corners=align_corners, mode="nearest")
    m = geometry.to_pixels(theta, (9, 14), (8, 11), align_corners)[0].numpy()
    swapped = m[::-1, [1, 0, 2]]  # rows first
    wanted = ndimage.affine_transform(
        image[0, 0].numpy(), swapped[:, :2], swapped[:, 2], (8, 11), order=0, mode="grid-constant"
    )
    assert np.array_equal(found[0, 0].numpy(), wanted)
    cv2 = pytest.importorskip("cv2")
    # Its nearest pixel is found in fixed point: places half-way between pixels are left out.
    y, x = np.mgrid[:8, :11]
    at = m @ np.stack([x.ravel(), y.ravel(), np.ones(88)])
    sure = (np.abs(at - np.floor(at) - 0.5) > 0.05).all(0).reshape(8, 11)
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    theirs = cv2.warpAffine(image[0, 0].numpy(), m, (11, 8), flags=flags)
    assert sure.sum() > 40 and np.array_equal(found[0, 0].numpy()[sure], theirs[sure])


# ---------------------------------------------------------------- mirrored
@FLAGS
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("size", [(5, 8), (1, 4), (2, 1), (1, 1)])
def test_torch_mirrors_alike(mode, size, align_corners):
    images, grid = rand(2, 3, *size).requires_grad_(), (9 * rand(2, 6, 7, 2) - 4.5).requires_grad_()
    words = {"align_corners": align_corners}
    ours = sampling.bilinear_sample(images, grid, "reflection", mode=mode, **words)
    theirs = F.grid_sample(images, grid, mode=mode, padding_mode="reflection", **words)
    assert (ours - theirs).abs().max() < 1e-12
    weights = rand(2, 3, 6, 7, seed=4)
    inputs = (images, grid) if mode == "bilinear" else (images,)
    for a, b in zip(
        torch.autograd.grad(ours, inputs, weights),
        torch.autograd.grad(theirs, inputs, weights),
        strict=True,
    ):
        assert (a - b).abs().max() < 1e-11


@COMPILER
@FLAGS
@pytest.mark.parametrize("size", [(5, 8), (1, 4), (2, 1), (1, 1)])
def test_the_fast_path_mirrors_as_torch(size, align_corners):
    images, grid = rand(2, 3, *size).float(), (9 * rand(2, 6, 7, 2) - 4.5).float()
    images, grid = images.requires_grad_(), grid.requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = warp(images, grid=grid, padding="reflection", align_corners=align_corners)
    exact = [t.detach().double().requires_grad_() for t in (images, grid)]
    theirs = F.grid_sample(*exact, padding_mode="reflection", align_corners=align_corners)
    weights = rand(2, 3, 6, 7, seed=4)
    found = [ours, *torch.autograd.grad(ours, (images, grid), weights.float())]
    wanted = [theirs, *torch.autograd.grad(theirs, exact, weights)]
    for a, b in zip(found, wanted, strict=True):
        assert (a - b).abs().max() < 1e-5 * max(1, b.abs().max().item())


def test_scipy_mirrors_alike():
    ndimage = pytest.importorskip("scipy.ndimage")
    image, theta = rand(1, 1, 6, 9), thetas(1, reach=3.0)
    grid = sampling.affine_grid(theta, (7, 8))
    for flag, name in ((False, "reflect"), (True, "mirror")):
        places = geometry.to_pixels(grid, (6, 9), align_corners=flag)[0].flip(-1).movedim(2, 0)
        wanted = ndimage.map_coordinates(image[0, 0].numpy(), places.numpy(), order=1, mode=name)
        found = sampling.bilinear_sample(image, grid, "reflection", align_corners=flag)
        assert np.abs(found[0, 0].numpy() - wanted).max() < 1e-12


def test_gradcheck_of_mirrored_pictures():
    images, theta = rand(2, 1, 5, 6).requires_grad_(), thetas(2, reach=2.5).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda i, t: reference.warp(i, t, (4, 3), "reflection"), (images, theta), atol=1e-6
    )


# ---------------------------------------------------------------- grids and flows
@COMPILER
@FLAGS
@pytest.mark.parametrize("padding", reference.PADDINGS)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (33, 5), (70, 300)])
def test_a_grid_on_the_fast_path_is_read_as_by_the_sampler(size, padding, align_corners):
    images, grid = rand(2, 3, 11, 260).float(), (3 * rand(2, *size, 2) - 1.5).float()
    inputs = [images.requires_grad_(), grid.requires_grad_()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = warp(images, grid=grid, padding=padding, align_corners=align_corners)
    exact = [t.detach().double().requires_grad_() for t in inputs]
    wanted = sampling.bilinear_sample(*exact, padding, None, align_corners)
    weights = rand(2, 3, *size, seed=4)
    found = [out, *torch.autograd.grad(out, inputs, weights.float())]
    wanted = [wanted, *torch.autograd.grad(wanted, exact, weights)]
    for a, b in zip(found, wanted, strict=True):
        assert (a - b).abs().max() < 2e-5 * max(1, b.abs().max().item())


@COMPILER
@pytest.mark.parametrize("kind", ["affine", "homography", "spline"])
def test_a_grid_of_a_transform_gives_what_the_transform_gives(kind):
    g = torch.Generator().manual_seed(0)
    theta = {
        "affine": thetas(2).float(),
        "homography": torch.eye(3) + 0.1 * torch.rand(2, 3, 3, generator=g),
        "spline": 0.3 * torch.rand(2, 9, 2, generator=g),
    }[kind]
    images = rand(2, 2, 20, 31).float()
    grid = reference.grid_of(theta.double(), (15, 18)).float()
    gap = warp(images, grid=grid) - warp(images, theta, (15, 18))
    assert gap.abs().max() < 2e-5


@BOTH
def test_a_flow_of_pixels(call):
    """Against OpenCV's remap and kornia's, for pictures that are not square."""
    image = rand(1, 1, 12, 17).float()
    flow = (4 * rand(1, 2, 12, 17, seed=5) - 2).float()
    found = call(image, grid=sampling.flow_grid(flow), padding="zeros")
    cv2 = pytest.importorskip("cv2")
    y, x = np.mgrid[:12, :17].astype(np.float32)
    theirs = cv2.remap(
        image[0, 0].numpy(), x + flow[0, 0].numpy(), y + flow[0, 1].numpy(), cv2.INTER_LINEAR
    )
    assert np.abs(found[0, 0].numpy() - theirs).max() < 0.05  # its weights are of 1/32
    kornia = pytest.importorskip("kornia")
    maps = torch.tensor(x)[None] + flow[:, 0], torch.tensor(y)[None] + flow[:, 1]
    theirs = kornia.geometry.transform.remap(image, *maps, align_corners=True)
    assert (found - theirs).abs().max() < 1e-4


def test_a_flow_of_nothing_and_of_whole_pixels():
    image = rand(1, 2, 5, 8)
    still = torch.zeros(1, 2, 5, 8, dtype=D)
    for flag in (False, True):
        grid = sampling.flow_grid(still, align_corners=flag)
        out = reference.warp(image, grid=grid, align_corners=flag)
        assert (out - image).abs().max() < 1e-12
    still[:, 0] += 1
    out = reference.warp(image, grid=sampling.flow_grid(still), padding="border")
    assert (out[..., :-1] - image[..., 1:]).abs().max() < 1e-12
    part = sampling.flow_grid(torch.zeros(1, 2, 2, 3, dtype=D), size=(5, 8))
    assert (reference.warp(image, grid=part) - image[..., :2, :3]).abs().max() < 1e-12
    flow = (rand(1, 2, 3, 4) + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda f: reference.warp(image, grid=sampling.flow_grid(f, size=(5, 8)), padding="zeros"),
        (flow,),
        atol=1e-6,
    )


@COMPILER
def test_a_grid_in_float64_is_rounded_once_and_batch_nothing():
    images, grid = rand(2, 1, 5, 5).float(), 2 * rand(2, 3, 4, 2) - 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = warp(images, grid=grid)
        assert warp(images[:0], grid=grid[:0]).shape == (0, 1, 3, 4)
    assert torch.equal(found, warp(images, grid=grid.float()))
    assert warp(images.double(), grid=grid).dtype == D


@BOTH
@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({}, TypeError, "transform must be a tensor, or a grid given in its place; got neither"),
        ({"transform": thetas(), "grid": rand(3, 2, 2, 2)}, TypeError, "got both"),
        ({"grid": rand(3, 2, 2, 2), "size": (2, 2)}, ValueError, "a grid has its own size"),
        ({"grid": rand(3, 2, 2, 3)}, ValueError, r"grid must have shape \[B, H, W, 2\]"),
        ({"grid": rand(3, 2, 2)}, ValueError, r"grid must have shape \[B, H, W, 2\]"),
        ({"grid": rand(2, 2, 2, 2)}, ValueError, "images and grid must have one batch size"),
        ({"grid": rand(3, 2, 2, 2) * math.nan}, ValueError, "grid must not contain NaN"),
        ({"grid": rand(3, 2, 2, 2).long()}, TypeError, "grid must be a floating-point tensor"),
        ({"grid": [1.0]}, TypeError, "grid must be a floating-point tensor, got list"),
        ({"grid": rand(3, 2, 2, 2), "antialias": True}, ValueError, "antialias=True needs a trans"),
        ({"transform": thetas(), "antialias": 2}, TypeError, "antialias=2; wanted True or False"),
    ],
)
def test_bad_places_are_refused_by_name(call, given, error, words):
    for images in (rand(3, 1, 4, 4), rand(3, 1, 4, 4).float()):
        with pytest.raises(error, match=words):
            call(images, **given)


def test_infinity_in_a_grid_is_outside():
    images, grid = rand(1, 1, 4, 4).float(), torch.full((1, 2, 2, 2), math.inf)
    assert torch.equal(warp(images, grid=grid), reference.warp(images, grid=grid))
    with pytest.raises(ValueError, match="flow must be finite"):
        sampling.flow_grid(grid.movedim(3, 1))
    with pytest.raises(ValueError, match=r"flow must have shape \[B, 2, H, W\]"):
        sampling.flow_grid(torch.zeros(1, 4, 4, 2))


@COMPILER
def test_a_grid_exported_and_compiled():
    images, grid = rand(2, 1, 5, 6).float(), (2 * rand(2, 3, 4, 2) - 1).float()
    torch.compiler.reset()
    compiled = torch.compile(
        lambda i, g: fused.warp(i, grid=g), backend="aot_eager", fullgraph=True
    )
    assert torch.equal(compiled(images, grid), warp(images, grid=grid))
