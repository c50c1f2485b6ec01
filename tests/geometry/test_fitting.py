"""Splines and homographies fitted to pairs of points: against SciPy, OpenCV and kornia."""

import math

import numpy as np
import pytest
import torch

from stn_course import geometry, warp
from stn_course.geometry import (
    homography_from_corners,
    homography_from_points,
    robust_homography,
    spline_from_landmarks,
    transform_points,
    transform_points_back,
)
from stn_course.sampling import reference

D = torch.float64


def rand(*shape, seed=0, low=-0.9, high=0.9):
    g = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(*shape, dtype=D, generator=g)


def landmarks(batch=3, k=7, seed=0):
    src = rand(batch, k, 2, seed=seed)
    return src, src + rand(batch, k, 2, seed=seed + 1, low=-0.15, high=0.15)


def tilted(batch=2, seed=0, tilt=0.2):
    return torch.eye(3, dtype=D) + rand(batch, 3, 3, seed=seed, low=-tilt, high=tilt)


def carried(h, points):
    out = torch.cat([points, torch.ones_like(points[..., :1])], -1) @ h.mT
    return out[..., :2] / out[..., 2:]


# ---------------------------------------------------------------- splines
@pytest.mark.parametrize("k", [3, 4, 7, 40])
def test_a_spline_goes_through_its_landmarks_and_its_grid_is_where_it_reads(k):
    src, dst = landmarks(k=k)
    spline = spline_from_landmarks(src, dst)
    assert spline.shape == (3, k + 3, 4) and spline.dtype == D
    assert (transform_points(spline, src) - dst).abs().max() < 1e-10
    if k < 40:  # so many within so little room fold it
        assert (transform_points_back(spline, dst) - src).abs().max() < 1e-9
    for size, flag in (((5, 8), False), ((4, 3), True), ((1, 6), False)):
        y, x = (geometry.pixel_centres(n, flag, dtype=D) for n in size)
        at = torch.stack([x.expand(size), y[:, None].expand(size)], 2).flatten(0, 1)
        grid = reference.tps_grid(spline, size, flag)
        assert (grid.flatten(1, 2) - transform_points(spline, at)).abs().max() < 1e-12


@pytest.mark.parametrize("smoothing", [0.0, 0.01, 0.7, 50.0])
@pytest.mark.parametrize("twice", [False, True])
def test_scipy_bends_as_much(smoothing, twice):
    interpolate = pytest.importorskip("scipy.interpolate")
    src, dst = landmarks(1, 12)
    if twice:
        if not smoothing:
            pytest.skip("without smoothing a landmark twice is refused")
        src[0, 3] = src[0, 7]
    theirs = interpolate.RBFInterpolator(
        src[0].numpy(), dst[0].numpy(), smoothing=smoothing, kernel="thin_plate_spline"
    )
    at = rand(1, 30, 2, seed=5)
    ours = transform_points(spline_from_landmarks(src, dst, smoothing), at)
    assert np.abs(ours[0].numpy() - theirs(at[0].numpy())).max() < 1e-9


def test_on_a_grid_of_control_points_it_is_the_spline_of_the_grid():
    points = geometry.control_points((3, 4), dtype=D)
    offsets = rand(2, 3, 4, 2, low=-0.2, high=0.2)
    spline = spline_from_landmarks(points, points + offsets.flatten(1, 2))
    near = reference.tps_grid(spline, (6, 9)) - reference.tps_grid(offsets, (6, 9))
    assert near.abs().max() < 1e-10


def test_three_landmarks_and_endless_smoothing_are_affine():
    theta = geometry.affine(30, 1.4, 10, 0.2, dtype=D)
    at = rand(1, 9, 2, seed=3)
    src = rand(1, 3, 2)
    spline = spline_from_landmarks(src, transform_points(theta, src))
    assert (transform_points(spline, at) - transform_points(theta, at)).abs().max() < 1e-12
    src, dst = landmarks(1, 20)
    stiff = transform_points(spline_from_landmarks(src, dst, 1e9), at)
    one = torch.cat([src, torch.ones_like(src[..., :1])], 2)
    best = torch.linalg.lstsq(one, dst).solution.mT  # [1, 2, 3]
    assert (stiff - transform_points(best, at)).abs().max() < 1e-6


@pytest.mark.parametrize("padding", reference.PADDINGS)
def test_warp_takes_a_spline_of_landmarks(padding):
    src, dst = landmarks(2, 6)
    images = rand(2, 3, 7, 11)
    spline = spline_from_landmarks(src, dst, 0.05)
    grid = reference.tps_grid(spline, (5, 9))
    wanted = reference.bilinear_sample(images, grid, padding)
    assert torch.equal(reference.warp(images, spline, (5, 9), padding), wanted)
    found = warp(images.float(), spline.float(), (5, 9), padding)
    assert found.dtype == torch.float32 and (found - wanted).abs().max() < 1e-5


def test_landmarks_in_pixels():
    size, output = (20, 50), (10, 40)
    src = torch.tensor([[3.0, 2], [30, 1], [35, 8], [5, 7], [18, 4]], dtype=D)
    dst = torch.tensor([[4.0, 5], [40, 3], [44, 15], [6, 14], [22, 6]], dtype=D)
    for flag in (False, True):
        words = {"size": size, "output_size": output, "align_corners": flag}
        spline = spline_from_landmarks(src, dst, **words)
        assert (transform_points(spline, src, **words) - dst).abs().max() < 1e-9
        for h in (
            homography_from_points(src[:4], dst[:4], **words),
            robust_homography(src[:4], dst[:4], 1.0, **words)[0],
        ):
            assert (transform_points(h, src[:4], **words) - dst[:4]).abs().max() < 1e-9


def test_one_template_for_many_pictures_and_no_picture_at_all():
    src, dst = landmarks()
    shared = spline_from_landmarks(src[0], dst)
    for i in range(3):
        assert torch.allclose(shared[i], spline_from_landmarks(src[0], dst[i])[0], atol=1e-12)
    assert torch.equal(spline_from_landmarks(src, dst[0])[:, :-3, :2], src)
    assert spline_from_landmarks(src[:0], dst[:0]).shape == (0, 10, 4)
    assert homography_from_points(src[:0], dst[:0]).shape == (0, 3, 3)
    h, inliers = robust_homography(src[:0], dst[:0], 0.1)
    assert h.shape == (0, 3, 3) and inliers.shape == (0, 7)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradients_of_a_spline(smoothing):
    src, dst = (p.requires_grad_() for p in landmarks(2, 5))
    at = rand(2, 4, 2, seed=9)

    def places(src, dst):
        return transform_points(spline_from_landmarks(src, dst, smoothing), at)

    assert torch.autograd.gradcheck(places, (src, dst), atol=1e-6)
    images = rand(2, 1, 5, 6)
    spline = spline_from_landmarks(src, dst, smoothing).detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: reference.tps_grid(s, (3, 4)), (spline,), atol=1e-6)
    loss = reference.warp(images, spline_from_landmarks(src, dst)).square().sum()
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(loss, (src, dst)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_types_are_widened_and_close_to_float64(dtype):
    src, dst = (p.to(dtype) for p in landmarks(2, 8))
    found = spline_from_landmarks(src, dst, 0.01)
    assert found.dtype == torch.float32
    wanted = spline_from_landmarks(src.double(), dst.double(), 0.01)
    at = rand(2, 50, 2, seed=4)
    gap = transform_points(found, at.float()) - transform_points(wanted, at)
    assert gap.abs().max() < 2e-5
    h = homography_from_points(src.float(), carried(tilted(), src.double()).float())
    assert h.dtype == torch.float32 and (h - tilted() / tilted()[:, 2:, 2:]).abs().max() < 1e-4


# ---------------------------------------------------------------- homographies
@pytest.mark.parametrize("n", [4, 5, 9, 100])
@pytest.mark.parametrize("far", [0.0, 3.0])
def test_exact_points_give_the_homography_back(n, far):
    h = tilted()
    h = h / h[:, 2:, 2:]
    src = rand(2, n, 2, seed=2) + torch.tensor([far, 0.0], dtype=D) * 0.2
    found = homography_from_points(src, carried(h, src))
    assert (found - h).abs().max() < 1e-9
    weights = rand(2, n, seed=3, low=0.1, high=2.0)
    assert (homography_from_points(src, carried(h, src), weights) - h).abs().max() < 1e-9


def test_four_points_are_met_exactly_in_any_order():
    src, dst = rand(3, 4, 2, seed=11), rand(3, 4, 2, seed=12)
    fit = geometry.quads_fit(src, dst)
    src, dst = geometry.frame_corners(src).expand(3, 4, 2), geometry.frame_corners(dst) * 0.8
    dst = dst + rand(3, 4, 2, low=-0.1, high=0.1)
    assert fit.shape == (3,)
    wanted = homography_from_corners(src, dst)
    assert torch.equal(homography_from_points(src, dst), wanted)
    mixed = [2, 0, 3, 1]
    assert (homography_from_points(src[:, mixed], dst[:, mixed]) - wanted).abs().max() < 1e-12
    ones = torch.ones(3, 4, dtype=D)
    assert (homography_from_points(src, dst, ones) - wanted).abs().max() < 1e-10


def noisy(batch=2, n=30, noise=0.01):
    h = tilted(batch)
    src = rand(batch, n, 2, seed=7)
    return src, carried(h, src) + noise * torch.randn(
        batch, n, 2, dtype=D, generator=torch.Generator().manual_seed(8)
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_kornia_fits_noisy_points_alike(weighted):
    kornia = pytest.importorskip("kornia")
    src, dst = noisy()
    weights = rand(2, 30, low=0.2, high=1.0) if weighted else None
    # Its normalisation has no weights: with them the two minimise nearly the same.
    theirs = kornia.geometry.homography.find_homography_dlt(src, dst, weights, solver="svd")
    ours = homography_from_points(src, dst, weights)
    assert (ours - theirs).abs().max() < (2e-3 if weighted else 1e-8)


def test_opencv_fits_noisy_points_alike():
    cv2 = pytest.importorskip("cv2")
    src, dst = noisy(noise=0.002)
    for a, b, ours in zip(src, dst, homography_from_points(src, dst), strict=True):
        theirs, _ = cv2.findHomography(a.numpy(), b.numpy(), 0)  # refined: a little lower error
        assert np.abs(ours.numpy() - theirs).max() < 2e-3
        miss = [(carried(torch.as_tensor(h), a) - b).square().sum().item() for h in (ours, theirs)]
        assert miss[0] < 1.02 * miss[1]


def test_weights_count_as_often_as_a_pair_comes():
    src, dst = noisy(1, 8)
    often = homography_from_points(torch.cat([src, src[:, :3]], 1), torch.cat([dst, dst[:, :3]], 1))
    weights = torch.tensor([[2.0] * 3 + [1.0] * 5], dtype=D)
    assert (homography_from_points(src, dst, weights) - often).abs().max() < 1e-9
    wrong = dst.clone()
    wrong[:, 0] += 5
    left_out = torch.tensor([[0.0] + [1.0] * 7], dtype=D)
    without = homography_from_points(src[:, 1:], dst[:, 1:])
    assert (homography_from_points(src, wrong, left_out) - without).abs().max() < 1e-9


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_gradients_of_a_homography(noise):
    src, dst = (p.requires_grad_() for p in noisy(2, 6, noise))
    weights = rand(2, 6, low=0.5, high=2.0).requires_grad_()
    for inputs in ((src, dst), (src, dst, weights)):
        assert torch.autograd.gradcheck(homography_from_points, inputs, atol=1e-5)
        assert torch.autograd.gradgradcheck(homography_from_points, inputs, atol=1e-4, rtol=1e-3)
    corners = src[:, :4].detach(), dst[:, :4].detach()
    if geometry.quads_fit(*corners).all():
        four = tuple(p.requires_grad_() for p in corners)
        assert torch.autograd.gradcheck(homography_from_points, four, atol=1e-5)


# ---------------------------------------------------------------- outliers
def spoilt(batch=2, n=40, wrong=18, noise=0.002, seed=0):
    src, dst = noisy(batch, n, noise)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:wrong]
    dst[:, order] = rand(batch, wrong, 2, seed=seed + 50, low=-2, high=2)
    good = torch.ones(batch, n, dtype=torch.bool)
    good[:, order] = False
    return src, dst, good


@pytest.mark.parametrize("seed", range(3))
def test_outliers_are_found_and_do_not_count(seed):
    src, dst, good = spoilt(seed=seed)
    h, inliers = robust_homography(src, dst, 0.02, seed=seed)
    assert (inliers & ~good).sum() <= 1 and (good & ~inliers).sum() <= 1
    wanted = homography_from_points(src, dst, good.double())
    assert (h - wanted).abs().max() < 0.01


def test_one_outlier_spoils_least_squares_alone():
    src, dst, good = spoilt(1, 20, 1)
    wanted = homography_from_points(src, dst, good.double())
    assert (homography_from_points(src, dst) - wanted).abs().max() > 0.1
    assert (robust_homography(src, dst, 0.02)[0] - wanted).abs().max() < 1e-9


def test_the_same_seed_gives_the_same_bits_whatever_was_drawn_before():
    src, dst, _ = spoilt()
    torch.manual_seed(1)
    first = robust_homography(src, dst, 0.02, trials=50, seed=4)
    torch.rand(7)
    state = torch.get_rng_state()
    again = robust_homography(src, dst, 0.02, trials=50, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    alone = robust_homography(src[1:], dst[1:], 0.02, trials=50, seed=4)
    assert torch.equal(first[1][1:], alone[1]) and (first[0][1:] - alone[0]).abs().max() < 1e-12


def test_threshold_is_in_pixels_where_the_points_are():
    size = (32, 100)
    src, dst, good = spoilt(1, noise=0.0)
    inside = geometry.to_pixels(src, size), geometry.to_pixels(dst, size)
    step = torch.zeros_like(dst)
    first = good[0].nonzero()[0].item()
    step[:, first, 0] = 2.5  # pixels along the longer side
    for threshold, kept in ((2.0, False), (3.0, True)):
        _, inliers = robust_homography(inside[0], inside[1] + step, threshold, size=size)
        assert inliers[0, first].item() is kept


def test_gradients_flow_to_inliers_alone():
    src, dst, good = spoilt(1, 20, 5)
    src, dst = src.requires_grad_(), dst.requires_grad_()
    h, inliers = robust_homography(src, dst, 0.02)
    grads = torch.autograd.grad(h.square().sum(), (src, dst))
    for grad in grads:
        assert torch.equal(grad.abs().sum(2) > 0, inliers)
    assert torch.equal(inliers, good)


def test_all_points_right_is_least_squares():
    src, dst = noisy(1, 12, 0.001)
    h, inliers = robust_homography(src, dst, 0.1)
    assert inliers.all() and (h - homography_from_points(src, dst)).abs().max() < 1e-12


# ---------------------------------------------------------------- what is refused
LINE = torch.stack([torch.linspace(-1, 1, 6, dtype=D), torch.linspace(-0.3, 0.7, 6, dtype=D)], 1)
POINTS = rand(6, 2)


@pytest.mark.parametrize("dtype", [torch.float32, D])
@pytest.mark.parametrize("fit", [homography_from_points, lambda a, b: robust_homography(a, b, 0.1)])
@pytest.mark.parametrize("side", ["src", "dst", "both"])
@pytest.mark.parametrize("but_one", [False, True])
def test_points_on_a_line_are_refused(fit, side, but_one, dtype):
    line = LINE.clone()
    if but_one:
        line[2] = torch.tensor([0.5, -0.9])
    src = line if side != "dst" else POINTS
    dst = line if side != "src" else POINTS
    with pytest.raises(ValueError, match="src and dst must"):
        fit(src.to(dtype), dst.to(dtype))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: spline_from_landmarks(LINE, POINTS), ValueError, "src must not be landmarks on"),
        (lambda: spline_from_landmarks(LINE, POINTS, 1.0), ValueError, "src must not be landmarks"),
        (
            lambda: spline_from_landmarks(LINE.float(), POINTS.float()),
            ValueError,
            "src must not be landmarks on one line",
        ),
        (
            lambda: spline_from_landmarks(POINTS[[0, 1, 2, 1]], POINTS[:4]),
            ValueError,
            "src must not have a landmark twice",
        ),
        (lambda: spline_from_landmarks(POINTS[:2], POINTS[:2]), ValueError, "at least 3 points"),
        (lambda: spline_from_landmarks(POINTS, POINTS, -1.0), ValueError, "smoothing=-1.0; wanted"),
        (lambda: spline_from_landmarks(POINTS, POINTS, "1"), TypeError, "smoothing='1'; wanted"),
        (lambda: spline_from_landmarks(POINTS, POINTS, math.nan), ValueError, "smoothing=nan"),
        (lambda: spline_from_landmarks(POINTS, POINTS[:5]), ValueError, "src and dst must agree"),
        (
            lambda: spline_from_landmarks(POINTS.expand(2, 6, 2), POINTS.expand(3, 6, 2)),
            ValueError,
            "src and dst must agree in batch",
        ),
        (lambda: spline_from_landmarks(POINTS / 0, POINTS), ValueError, "src must be finite"),
        (lambda: spline_from_landmarks(POINTS, POINTS.long()), TypeError, "dst must be a floating"),
        (lambda: spline_from_landmarks([[0.0, 1]], POINTS), TypeError, "src must be a tensor"),
        (
            lambda: spline_from_landmarks(POINTS, POINTS, output_size=(3, 4)),
            ValueError,
            "output_size needs size",
        ),
        (lambda: homography_from_points(POINTS[:3], POINTS[:3]), ValueError, "at least 4 points"),
        (
            lambda: homography_from_points(POINTS, POINTS, torch.zeros(1, 6)),
            ValueError,
            "weights must be at least 0",
        ),
        (
            lambda: homography_from_points(POINTS, POINTS, torch.tensor([[1.0] * 5 + [-1e-6]])),
            ValueError,
            "weights must be at least 0",
        ),
        (
            lambda: homography_from_points(POINTS, POINTS, torch.ones(6)),
            ValueError,
            r"weights must have shape \[1, 6\]",
        ),
        (lambda: robust_homography(POINTS, POINTS, 0.0), ValueError, "threshold=0.0; wanted"),
        (lambda: robust_homography(POINTS, POINTS, 1, trials=0), ValueError, "trials=0; wanted"),
        (lambda: robust_homography(POINTS, POINTS, 1, seed=-1), ValueError, "seed=-1; wanted"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_horizon_between_the_points_is_refused():
    h = torch.eye(3, dtype=D)
    h[2, 0] = 2.0  # w = 0 at x = -1/2
    src = torch.tensor([[-0.9, -0.9], [-0.8, 0.7], [0.9, 0.8], [0.5, -0.9], [0.1, 0.3]], dtype=D)
    with pytest.raises(ValueError, match="horizon leaves them on one side"):
        homography_from_points(src, carried(h, src))
    ahead = src[2:].repeat(2, 1) + rand(6, 2, low=0, high=0.2)
    assert (homography_from_points(ahead, carried(h, ahead))[0] - h).abs().max() < 1e-9
