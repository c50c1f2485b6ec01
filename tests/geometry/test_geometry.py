"""Transforms: what they do to points, their algebra, their bounds and their errors."""

import math

import pytest
import torch

from stn_course import geometry
from stn_course.geometry.homography import _areas
from stn_course.sampling import homography_grid, tps_grid
from stn_course.sampling.reference import warp

D = torch.float64


def near(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


def apply(theta, points):
    """Points [N, 2] through a theta [B, 2, 3] or [B, 3, 3].  # [B, N, 2]"""
    m = geometry.to_homogeneous(theta)
    place = torch.cat([points, torch.ones_like(points[:, :1])], 1) @ m.transpose(1, 2)
    return place[..., :2] / place[..., 2:]


def dot(row, column, n=9):
    image = torch.zeros(1, 1, n, n, dtype=D)
    image[0, 0, row, column] = 1
    return image


def homographies(batch, seed=0):
    raw = torch.randn(batch, 8, dtype=D, generator=torch.Generator().manual_seed(seed))
    head = geometry.Homography()
    return head(head.identity() + 0.3 * raw)


# ---------------------------------------------------------------- affine
@pytest.mark.parametrize(
    ("motion", "lands"),
    [
        ({}, (4, 7)),
        ({"angle": 90}, (1, 4)),  # right -> top: counter-clockwise on the screen
        ({"angle": -90}, (7, 4)),
        ({"shift": (2 / 9, 0)}, (4, 8)),  # right
        ({"shift": (0, 4 / 9)}, (6, 7)),  # down
        ({"scale": 4 / 3}, (4, 8)),  # larger: away from the centre
        ({"scale": (2 / 3, 5)}, (4, 6)),
        ({"shear": (0, 45)}, (7, 7)),  # y += x
        ({"angle": 180, "shift": (2 / 9, 0)}, (4, 2)),  # shift comes last
        ({"angle": 180, "shift": (2 / 9, 0), "order": "RTSZ"}, (4, 0)),  # shift comes first
    ],
)
def test_affine_moves_the_content_as_it_says(motion, lands):
    moved = warp(dot(4, 7), geometry.affine(**motion, dtype=D))
    assert moved[0, 0, *lands] > 1 - 1e-9


def test_shear_x_moves_the_lower_half_right():
    assert warp(dot(6, 4), geometry.affine(shear=45, dtype=D))[0, 0, 6, 6] > 1 - 1e-9
    near(geometry.affine(shear=20), geometry.affine(shear=(20, 0)))


def test_order_is_the_product_of_the_content_motions():
    numbers = {
        "R": {"angle": 25.0},
        "S": {"shear": (10.0, -5.0)},
        "Z": {"scale": (0.7, 1.2)},
        "T": {"shift": (0.3, -0.2)},
    }
    everything = {k: v for motion in numbers.values() for k, v in motion.items()}
    for order in ("TRSZ", "RTSZ", "ZSRT"):
        content = torch.eye(3, dtype=D)[None]
        for letter in order:
            forward = geometry.invert(geometry.affine(**numbers[letter], dtype=D))
            content = content @ geometry.to_homogeneous(forward)
        near(geometry.affine(**everything, order=order, dtype=D), geometry.invert(content)[:, :2])


def test_affine_takes_numbers_pairs_and_tensors():
    a, b = torch.tensor([10.0, 20.0]), torch.tensor([1.1, 0.9])
    pairs = torch.stack([b, a / 50], 1)
    both = geometry.affine(a, scale=pairs, shift=(b, 0.1))
    for i in (0, 1):
        one = geometry.affine(a[i].item(), scale=tuple(pairs[i].tolist()), shift=(b[i].item(), 0.1))
        near(both[i], one[0], 1e-6)
    near(geometry.affine(scale=b), geometry.affine(scale=(b, b)), 0)
    assert geometry.affine(batch=3).shape == (3, 2, 3) and geometry.affine(a, dtype=D).dtype == D
    assert geometry.affine(torch.tensor(5.0)).shape == (1, 2, 3)
    assert geometry.affine(torch.zeros(0)).shape == (0, 2, 3)
    near(geometry.affine(batch=2), geometry.identity(2), 0)


def test_affine_has_gradients():
    args = [torch.tensor(v, dtype=D, requires_grad=True) for v in ([20.0], [0.8], [5.0], [0.1])]
    assert torch.autograd.gradcheck(lambda *a: geometry.affine(*a), args)


def test_size_makes_rotation_rigid_in_pixels():
    size = (10, 20)
    px = geometry.to_pixels(geometry.affine(37, size=size, dtype=D), size)[:, :, :2]
    near(px @ px.transpose(1, 2), torch.eye(2, dtype=D)[None])
    cos, sin = math.cos(math.radians(37)), math.sin(math.radians(37))
    near(px[0], torch.tensor([[cos, -sin], [sin, cos]], dtype=D))


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (ValueError, "invertible.*singular.*entries 0", {"scale": 0.0}),
        (ValueError, "entries 1", {"scale": torch.tensor([1.0, 0.0])}),
        (ValueError, "singular", {"shear": (45.0, 45.0)}),
        (ValueError, "away from 90 degrees", {"shear": 90}),
        (ValueError, "away from 90 degrees", {"shear": (0.0, -90.0)}),
        (ValueError, "batch must be an int", {"batch": -1}),
        (ValueError, "batch must be an int", {"batch": "8"}),
        (TypeError, "order must be a string", {"order": None}),
        (ValueError, "finite", {"angle": float("nan")}),
        (ValueError, "finite", {"shift": torch.tensor([0.0, float("inf")])}),
        (ValueError, "agree", {"angle": torch.zeros(2), "scale": torch.ones(3)}),
        (ValueError, "agree", {"angle": torch.zeros(2), "batch": 4}),
        (ValueError, "permutation", {"order": "TRS"}),
        (TypeError, "angle", {"angle": (1.0, 2.0)}),
        (TypeError, "scale", {"scale": (1.0, 2.0, 3.0)}),
        (TypeError, "shift", {"shift": torch.zeros(2, 3)}),
        (TypeError, "shear", {"shear": "much"}),
        (TypeError, "size", {"size": 28}),
        (ValueError, "size", {"size": (0, 3)}),
    ],
)
def test_affine_refuses(error, match, arguments):
    with pytest.raises(error, match=match):
        geometry.affine(**arguments)


# ---------------------------------------------------------------- algebra
def test_compose_is_warp_after_warp_on_points():
    a, b = geometry.affine(30, 0.8, dtype=D), homographies(1)
    points = torch.rand(7, 2, dtype=D)
    near(apply(geometry.compose(a, b), points), apply(a, apply(b, points)[0]))
    near(geometry.compose(a, geometry.identity(dtype=D)), a, 0)
    assert geometry.compose(a, a).shape == (1, 2, 3) and geometry.compose(a, b).shape == (1, 3, 3)


def test_invert_undoes_and_has_gradients():
    for theta in (
        geometry.affine(torch.tensor([30.0, 70.0]), 0.8, 10, 0.3, dtype=D),
        homographies(5),
    ):
        eye = torch.eye(3, dtype=D).expand(len(theta), 3, 3)
        near(geometry.to_homogeneous(geometry.compose(theta, geometry.invert(theta))), eye)
        assert geometry.invert(theta).shape == theta.shape
        theta = theta.clone().requires_grad_()
        assert torch.autograd.gradcheck(geometry.invert, [theta])
        assert torch.autograd.gradgradcheck(geometry.invert, [theta])
    near(geometry.invert(geometry.identity(0)), geometry.identity(0))


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_singularity_does_not_depend_on_scale(scale):
    geometry.invert(scale * torch.tensor([[[1.0, 0, 0.3], [0, 1, 0.5]]]))
    flat = torch.tensor([[[0.1, 0.2, 0.3], [0.3, 0.6, 0.5]]])
    with pytest.raises(ValueError, match="theta must be invertible"):
        geometry.invert(scale * flat)
    with pytest.raises(ValueError, match="entries 1"):
        geometry.invert(scale * torch.stack([torch.eye(3), torch.ones(3, 3)]))


def test_compose_and_invert_are_not_rounded_by_autocast():
    theta = geometry.affine(30, 0.8, 10, 0.3)
    expected, inverse = geometry.compose(theta, theta), geometry.invert(theta)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near(geometry.compose(theta, theta), expected, 0)
        near(geometry.invert(theta), inverse, 0)
    assert geometry.compose(theta.half(), theta.half()).dtype == torch.float32


@pytest.mark.parametrize(
    ("error", "match", "theta"),
    [
        (TypeError, "theta must be a tensor", [[1, 0, 0], [0, 1, 0]]),
        (TypeError, "floating-point.*int64", torch.ones(1, 2, 3).long()),
        (ValueError, r"\[B, 2, 3\], got \[2, 3\]", torch.ones(2, 3)),
        (ValueError, r"got \[1, 3, 2\]", torch.ones(1, 3, 2)),
        (ValueError, "finite", torch.full((1, 2, 3), float("nan"))),
    ],
)
def test_matrices_are_checked(error, match, theta):
    for function in (geometry.invert, geometry.to_homogeneous):
        with pytest.raises(error, match=match):
            function(theta)


def test_compose_refuses_other_batches_and_devices():
    with pytest.raises(ValueError, match="batch and device, got 2 on cpu and 3 on cpu"):
        geometry.compose(geometry.identity(2), geometry.identity(3))
    with pytest.raises(ValueError, match="cpu and 1 on meta"):
        geometry.compose(geometry.identity(), geometry.identity(device="meta"))


# ---------------------------------------------------------------- pixels
@pytest.mark.parametrize("align_corners", [False, True])
def test_pixels_of_points_and_matrices(align_corners):
    size, out = (5, 8), (3, 4)
    edge = torch.tensor([[-1.0, -1.0], [1.0, 1.0]], dtype=D)
    ends = [[0, 0], [7, 4]] if align_corners else [[-0.5, -0.5], [7.5, 4.5]]
    near(geometry.to_pixels(edge, size, align_corners=align_corners), torch.tensor(ends, dtype=D))
    centres = geometry.pixel_centres(8, align_corners, dtype=D)
    points = torch.stack([centres, centres * 0], 1)
    near(
        geometry.to_pixels(points, size, align_corners=align_corners)[:, 0],
        torch.arange(8.0, dtype=D),
    )
    points = torch.rand(2, 6, 2, dtype=D)
    back = geometry.from_pixels(
        geometry.to_pixels(points, size, align_corners=align_corners),
        size,
        align_corners=align_corners,
    )
    near(back, points)
    for theta in (geometry.affine(20, 0.7, shift=0.2, dtype=D), homographies(2)):
        px = geometry.to_pixels(theta, size, out, align_corners)
        place = apply(px, geometry.to_pixels(points[0], out, align_corners=align_corners))
        expected = geometry.to_pixels(apply(theta, points[0]), size, align_corners=align_corners)
        near(place, expected)
        near(geometry.from_pixels(px, size, out, align_corners), theta)


def test_pixels_refuse():
    with pytest.raises(ValueError, match=r"\(2, 2\) with align_corners"):
        geometry.from_pixels(torch.zeros(1, 2), (1, 4), align_corners=True)
    with pytest.raises(TypeError, match="points"):
        geometry.to_pixels([[0.0, 0.0]], (3, 4))
    with pytest.raises(ValueError, match="points must have shape"):
        geometry.to_pixels(torch.zeros(4, 5), (3, 4))
    with pytest.raises(TypeError, match="size"):
        geometry.to_pixels(torch.zeros(4, 2), (3.0, 4))


# ---------------------------------------------------------------- heads
HEADS = [
    geometry.Translation(),
    geometry.Translation(0.5),
    geometry.Attention(),
    geometry.Similarity(),
    geometry.Rotation(),
    geometry.Rotation(0.3),
    geometry.Affine(),
    geometry.Affine(0.5),
    geometry.Homography(),
    geometry.Corners(),
    geometry.Corners(None),
    geometry.ThinPlateSpline(),
    geometry.ThinPlateSpline((2, 5), 0.2),
]


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_heads(head):
    start = head.identity()
    assert start.shape == (head.n,)
    images = torch.rand(3, 2, 6, 7, generator=torch.Generator().manual_seed(0))
    near(warp(images, head(start.expand(3, -1))), images, 1e-5)
    raw = (start.to(D) + 0.1 * torch.randn(2, head.n, dtype=D)).requires_grad_()
    assert torch.autograd.gradcheck(head, [raw])
    assert head(start.half()[None]).dtype == torch.float32
    assert len(head(torch.zeros(0, head.n))) == 0
    with pytest.raises(ValueError, match=rf"raw must have shape \[B, {head.n}\]"):
        head(torch.zeros(2, head.n + 1))
    with pytest.raises(ValueError, match="raw must be finite"):
        head(torch.full((1, head.n), float("inf")))
    with pytest.raises(TypeError, match="raw"):
        head(torch.zeros(1, head.n, dtype=torch.int32))


def test_every_parameter_of_every_head_has_a_gradient_at_the_start():
    for head in HEADS:
        raw = head.identity().to(D)[None]
        jacobian = torch.autograd.functional.jacobian(head, raw).flatten(0, -2)
        assert jacobian.abs().amax(0).gt(0.1).all() and jacobian.abs().max() < 100, head


def test_what_the_small_heads_build():
    raw = torch.tensor([[math.log(0.5), math.pi / 2, 0.1, 0.2]], dtype=D)
    near(geometry.Attention()(raw[:, [0, 2, 3]])[0, :, 2], raw[0, 2:])
    near(geometry.Similarity(1e6)(raw)[0, :, 0], torch.tensor([0, 0.5], dtype=D), 1e-2)
    similar = geometry.Similarity()(raw)[0, :, :2]
    near(similar @ similar.T, torch.eye(2, dtype=D) * (similar @ similar.T)[0, 0])
    theta = torch.rand(1, 2, 3)
    near(geometry.Affine()(theta.view(1, 6)), theta, 1e-6)
    huge = torch.full((1, 2), 1e9)
    near(geometry.Translation(0.5)(huge)[0, :, 2], torch.tensor([0.5, 0.5]), 1e-6)
    for sign in (1, -1):
        scale = geometry.Attention(4.0)(torch.tensor([[sign * 1e9, 0, 0]]))[0, 0, 0]
        near(scale, torch.tensor(4.0**sign), 1e-5)


@pytest.mark.parametrize("size", [1.0, 100.0, 1e30])
@pytest.mark.parametrize("bound", [0.1, 0.3, 0.49])
def test_homography_keeps_w_positive_for_any_raw(size, bound):
    raw = size * torch.randn(500, 8, generator=torch.Generator().manual_seed(1))
    theta = geometry.Homography(bound)(raw)
    edge = torch.cartesian_prod(torch.tensor([-1.0, 1.0]), torch.tensor([-1.0, 1.0]))
    w = (edge * theta[:, None, 2, :2]).sum(2) + theta[:, None, 2, 2]
    assert (theta[:, 2, 2] == 1).all() and w.min() >= (1 - 2 * bound) * 0.99
    for align_corners in (False, True):
        assert homography_grid(theta, (4, 5), align_corners).isfinite().all()


@pytest.mark.parametrize("size", [1.0, 100.0, 1e30])
@pytest.mark.parametrize("bound", [0.1, 0.45, 0.49])
def test_bounded_corners_never_fold(size, bound):
    raw = size * torch.randn(500, 8, generator=torch.Generator().manual_seed(2))
    assert homography_grid(geometry.Corners(bound)(raw), (4, 5), True).isfinite().all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: geometry.Homography(0.5),
        lambda: geometry.Homography(None),
        lambda: geometry.Homography(0),
        lambda: geometry.Corners(0.5),
        lambda: geometry.Affine(-1),
        lambda: geometry.Translation("wide"),
        lambda: geometry.ThinPlateSpline(bound=0),
        lambda: geometry.Affine(math.inf),
        lambda: geometry.Attention(1.0),
        lambda: geometry.Similarity(None),
        lambda: geometry.ThinPlateSpline((1, 4)),
    ],
)
def test_heads_refuse_bad_bounds(make):
    with pytest.raises(ValueError, match="bound must|max_zoom must|grid must"):
        make()


# ---------------------------------------------------------------- corners
def test_corners_land_where_they_should():
    seeded = torch.Generator().manual_seed(3)
    square = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]], dtype=D)
    src = square + 0.4 * (torch.rand(50, 4, 2, dtype=D, generator=seeded) - 0.5)
    dst = 30 + 7 * square + 5 * (torch.rand(50, 4, 2, dtype=D, generator=seeded) - 0.5)
    h = geometry.homography_from_corners(src, dst)
    place = torch.cat([src, torch.ones_like(src[..., :1])], 2) @ h.transpose(1, 2)
    near(place[..., :2] / place[..., 2:], dst, 1e-11)
    assert (h[:, 2, 2] == 1).all()
    mirrored = geometry.homography_from_corners(src, dst.flip(1))
    assert geometry.homography_from_corners(dst, src).shape == mirrored.shape == (50, 3, 3)


def worst(h, src, dst):
    """How far the farthest corner lands from where it should, by a float64 product."""
    place = torch.cat([src.to(D), torch.ones_like(src[..., :1], dtype=D)], 2) @ h.to(D).mT
    return (place[..., :2] / place[..., 2:] - dst.to(D)).abs().max().item()


def quads(at, side, n=50, seed=5, dtype=torch.float32):
    """n quads about a square of `side` at `at`, each corner moved by a tenth of it."""
    square = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]], dtype=D)
    noise = torch.rand(n, 4, 2, dtype=D, generator=torch.Generator().manual_seed(seed)) - 0.5
    return (torch.tensor(at, dtype=D) + side * (square + 0.2 * noise)).to(dtype)


@pytest.mark.parametrize("at", [(4000.0, 3000.0), (-4000.0, 3000.0), (0.0, 4000.0)])
def test_corners_far_from_the_origin(at):
    near, far = quads((0.0, 0.0), 2.0, seed=6), quads(at, 8.0)
    for src, dst in ((far, near), (near, far), (far, quads(at, 8.0, seed=7))):
        exact = geometry.homography_from_corners(src.to(D), dst.to(D))
        assert worst(exact, src, dst) < 1e-8
        found = geometry.homography_from_corners(src, dst)
        rounded = worst(exact.float(), src, dst)  # no float32 matrix can do better than this one
        assert found.dtype == torch.float32 and (found[:, 2, 2] == 1).all()
        assert worst(found, src, dst) < 3 * rounded + 1e-6
    shifted = geometry.homography_from_corners(far, far + 2)  # exact in float32
    assert worst(shifted, far, far + 2) < 1e-3


def test_corners_of_any_scale_far_away():
    for side in (1e-3, 1.0, 1e4):
        src = quads((500 * side, -300 * side), side)
        assert worst(geometry.homography_from_corners(src, src), src, src) < 1e-4 * side
        near = quads((0.0, 0.0), side)
        h = geometry.homography_from_corners(near, quads((0.0, 0.0), 1.0, seed=8))
        assert worst(h, near, quads((0.0, 0.0), 1.0, seed=8)) < 1e-5


def test_corners_around_the_origin_keep_their_bits():
    bounded = geometry.Corners()
    raw = torch.randn(50, 8, generator=torch.Generator().manual_seed(3)).requires_grad_()
    offsets = 0.45 * torch.tanh(raw / 0.45)
    frame = geometry.frame_corners(offsets).expand(50, 4, 2)
    theta = geometry.homography_from_corners(frame, frame + offsets.view(50, 4, 2))
    assert torch.equal(bounded(raw), theta)
    weights = torch.randn(50, 3, 3, generator=torch.Generator().manual_seed(4))
    a, b = (torch.autograd.grad((t * weights).sum(), raw)[0] for t in (bounded(raw), theta))
    assert torch.equal(a, b)
    src, dst = quads((0.1, -0.2), 2.0), quads((0.3, 0.1), 1.5, seed=9)
    ratio = (_areas(dst) / _areas(src))[:, :3]
    p, q = (torch.nn.functional.pad(quad[:, :3], (0, 1), value=1.0) for quad in (src, dst))
    scaled = (q * ratio[:, :, None]).transpose(1, 2)
    h = geometry.matmul(scaled, geometry.invert(p).transpose(1, 2))
    assert torch.equal(geometry.homography_from_corners(src, dst), h / h[:, 2:, 2:])


def test_corners_far_away_have_both_derivatives():
    src, dst = quads((400.0, 300.0), 8.0, 2, dtype=D), quads((90.0, -50.0), 6.0, 2, 3, dtype=D)
    args = src.requires_grad_(), dst.requires_grad_()
    assert torch.autograd.gradcheck(geometry.homography_from_corners, args, rtol=1e-2, atol=1e-3)
    low = [a.detach().float().requires_grad_() for a in args]
    weights = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(1))
    wanted = torch.autograd.grad((geometry.homography_from_corners(*args) * weights).sum(), args)
    found = torch.autograd.grad((geometry.homography_from_corners(*low) * weights).sum(), low)
    for a, b in zip(found, wanted, strict=True):
        assert (a - b).abs().max() < 2e-3 * b.abs().max()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_corners_in_a_low_type(dtype):
    src, dst = quads((0.0, 0.0), 2.0, dtype=dtype), quads((0.0, 0.0), 300.0, seed=3, dtype=dtype)
    found = geometry.homography_from_corners(src, dst)
    assert found.dtype == torch.float32
    assert torch.equal(found, geometry.homography_from_corners(src.float(), dst.float()))
    assert geometry.quads_fit(src, dst).all()


def test_corners_agree_with_kornia():
    transform = pytest.importorskip("kornia.geometry.transform")
    square = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]], dtype=D).expand(20, 4, 2)
    offsets = torch.rand(20, 4, 2, dtype=D, generator=torch.Generator().manual_seed(4)) - 0.5
    h = geometry.homography_from_corners(square, square + 0.8 * offsets)
    near(h, transform.get_perspective_transform(square, square + 0.8 * offsets))


def test_corners_have_both_derivatives():
    src = torch.tensor([[[-1.0, -1], [1, -1], [1, 1], [-1, 1]]], dtype=D)
    dst = (src + 0.1 * torch.randn(1, 4, 2, dtype=D)).requires_grad_()
    assert torch.autograd.gradcheck(geometry.homography_from_corners, [src, dst])
    assert torch.autograd.gradgradcheck(geometry.homography_from_corners, [src, dst])


@pytest.mark.parametrize(
    "bad",
    [
        [[0, 0], [0, 0], [1, 1], [-1, 1]],  # two corners in one place
        [[-1, -1], [0, 0], [1, 1], [-1, 1]],  # three on a line
        [[-1, -1], [1, 1], [1, -1], [-1, 1]],  # crossed
        [[-1, -1], [-0.5, 0.4], [1, 1], [-1, 1]],  # dented
        [[0, 0], [0, 0], [0, 0], [0, 0]],
    ],
)
def test_degenerate_quads_are_refused(bad):
    good = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    both = torch.stack([good, torch.tensor(bad, dtype=torch.float32)])
    assert geometry.quads_fit(good.expand(2, 4, 2), both).tolist() == [True, False]
    for src, dst in ((good.expand(2, 4, 2), both), (both, good.expand(2, 4, 2))):
        with pytest.raises(ValueError, match=r"degenerate quads.*\(batch entries 1\)"):
            geometry.homography_from_corners(src, dst)
    with pytest.raises(ValueError, match="degenerate"):
        geometry.Corners(None)((both[1:] - good).view(1, 8))


def test_corner_input_is_checked():
    quad = torch.tensor([[[-1.0, -1], [1, -1], [1, 1], [-1, 1]]])
    with pytest.raises(ValueError, match="batch and device, got 1 on cpu and 2 on cpu"):
        geometry.homography_from_corners(quad, quad.expand(2, 4, 2))
    with pytest.raises(ValueError, match=r"dst must have shape \[B, 4, 2\]"):
        geometry.homography_from_corners(quad, quad[:, :3])
    away = torch.tensor([[[0.0, 1], [1, 1], [1, 2], [0, 2]]])
    with pytest.raises(ValueError, match="h33 = 0"):  # w = y: the origin has no finite place
        geometry.homography_from_corners(
            away, torch.cat([away[..., :1], away[..., 1:] * 0 + 1], 2) / away[..., 1:]
        )


# ---------------------------------------------------------------- splines
def test_spline_takes_its_control_points_where_they_should_go():
    for grid in ((2, 2), (4, 4), (3, 5)):
        rows, columns = grid
        offsets = 0.2 * torch.randn(2, rows, columns, 2, dtype=D)
        # With align_corners the output's pixels are the control points themselves.
        places = tps_grid(offsets, grid, align_corners=True)
        near(places, geometry.control_points(grid, dtype=D).view(1, rows, columns, 2) + offsets)


def test_spline_constants_are_made_once_and_serve_training_after_inference():
    geometry.tps_basis.cache_clear()
    offsets = torch.zeros(1, 16, 2)
    with torch.inference_mode():
        tps_grid(offsets, (5, 6))
    tps_grid(offsets.requires_grad_(), (5, 6)).sum().backward()
    assert offsets.grad.abs().sum() > 0
    assert geometry.tps_basis.cache_info()[:2] == (1, 1)  # one hit, one miss
    tps_grid(offsets.double(), (5, 6))
    assert geometry.tps_basis.cache_info().misses == 2


def test_constants_made_for_a_tracer_are_not_kept():
    offsets = 0.1 * torch.rand(2, 16, 2, dtype=D)
    wanted = tps_grid(offsets, (5, 6))

    class Grid(torch.nn.Module):
        def forward(self, offsets):
            return tps_grid(offsets, (5, 6))

    for trace in (
        lambda: torch.func.jacrev(lambda o: tps_grid(o, (5, 6)))(offsets),
        lambda: torch.func.jacfwd(lambda o: tps_grid(o, (5, 6)))(offsets),
        lambda: torch.export.export(Grid(), (offsets,)),
    ):
        geometry.tps_basis.cache_clear()
        trace()
        assert geometry.tps_basis.cache_info().currsize == 0
        found = tps_grid(offsets, (5, 6))
        assert type(found) is torch.Tensor and torch.equal(found, wanted)


def test_a_low_type_is_calculated_in_float32():
    for dtype in (torch.float16, torch.bfloat16):
        made = geometry.affine(angle=30, scale=0.7, shift=0.1, dtype=dtype)
        assert torch.equal(made, geometry.affine(angle=30, scale=0.7, shift=0.1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_boxes_in_a_low_type(dtype):
    theta = torch.tensor([[[0.25, 0, 0.5], [0, 0.125, -0.25]]])  # exact in any type
    around = geometry.glimpse_boxes(theta.to(dtype), 1001)
    assert around.dtype == torch.float32
    assert torch.equal(around, geometry.glimpse_boxes(theta, 1001))
    boxes = torch.tensor([[0.0, 0, 512, 512], [256, 0, 768, 512]], dtype=dtype)
    assert geometry.iou(boxes[:1], boxes[1:]).item() == pytest.approx(1 / 3)  # areas beyond float16
    assert geometry.iou(boxes[:1].int(), boxes[1:].int()).item() == pytest.approx(1 / 3)


def test_a_box_far_from_the_origin_in_float64():
    boxes = torch.tensor([[4000.25, 3000.5, 4008.75, 3008.125]], dtype=D)
    theta = geometry.box_to_theta(boxes, 10_000)
    assert theta.dtype == D
    near(geometry.glimpse_boxes(geometry.invert(theta), 10_000), boxes, 1e-6)


def test_one_pixel_has_no_units_between_centres():
    with pytest.raises(ValueError, match=r"output_size must be at least \(2, 2\) with align"):
        geometry.to_pixels(geometry.identity(), (5, 5), (1, 5), align_corners=True)
    with pytest.raises(ValueError, match=r"size must be at least \(2, 2\) with align_corners"):
        geometry.from_pixels(geometry.identity(), (1, 5), (5, 5), align_corners=True)
