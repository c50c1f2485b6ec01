"""Grids and sampling held against independent implementations, with their derivatives."""

import inspect
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.autograd.gradcheck import GradcheckError

from stn_course import geometry, sampling
from stn_course.sampling import reference

D = torch.float64
FLAGS = pytest.mark.parametrize("align_corners", [False, True])
PADDINGS = pytest.mark.parametrize("padding", reference.PADDINGS)
SHAPES = [((5, 7), (5, 7)), ((4, 9), (6, 3)), ((1, 1), (3, 2)), ((2, 8), (1, 1)), ((8, 1), (4, 5))]


def near(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


def rand(*shape, seed=0, dtype=D):
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def transforms(batch=3, dtype=D):
    """One of each kind, reaching outside the image, off the lattice."""
    affine = geometry.identity(batch, dtype=D) + 0.9 * (rand(batch, 2, 3, seed=1) - 0.5)
    row = torch.cat([0.5 * (rand(batch, 1, 2, seed=2) - 0.5), torch.ones(batch, 1, 1)], 2)
    offsets = 0.8 * (rand(batch, 16, 2, seed=3) - 0.5)
    return [t.to(dtype) for t in (affine, torch.cat([affine, row], 1), offsets)]


# ---------------------------------------------------------------- against torch
@FLAGS
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.filterwarnings("ignore:Since version 1.3.0, affine_grid:UserWarning")
def test_affine_grid_is_torchs(shapes, align_corners):
    theta = rand(3, 2, 3)
    expected = F.affine_grid(theta, (3, 1, *shapes[1]), align_corners=align_corners)
    near(sampling.affine_grid(theta, shapes[1], align_corners), expected)


@FLAGS
@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_values_and_gradients_are_torchs(shapes, padding, align_corners):
    def run(function):
        images = rand(3, 2, *shapes[0], seed=4).requires_grad_()
        grid = (3 * rand(3, *shapes[1], 2, seed=5) - 1.5).requires_grad_()
        out = function(images, grid)
        return out, *torch.autograd.grad((out * rand(*out.shape, seed=6)).sum(), (images, grid))

    def theirs(images, grid):
        return F.grid_sample(images, grid, padding_mode=padding, align_corners=align_corners)

    def ours(images, grid):
        return sampling.bilinear_sample(images, grid, padding, align_corners=align_corners)

    for a, b in zip(run(ours), run(theirs), strict=True):
        near(a, b)


@FLAGS
@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_nearest_is_torchs(padding, align_corners):
    images, grid = rand(2, 3, 6, 5), 3 * rand(2, 7, 8, 2, seed=1) - 1.5
    flags = {"padding_mode": padding, "align_corners": align_corners, "mode": "nearest"}
    ours = sampling.bilinear_sample(images, grid, padding, None, align_corners, "nearest")
    near(ours, F.grid_sample(images, grid, **flags), 0)
    for n in (5, 16):  # half-way between two pixels
        x = torch.rand(1, 1, n, n)
        half = sampling.affine_grid(torch.eye(2, 3)[None], (n // 2, n // 2))
        assert torch.equal(
            sampling.bilinear_sample(x, half, padding, None, align_corners, "nearest"),
            F.grid_sample(x, half, **flags),
        )


@FLAGS
def test_background_is_torchs_zeros_around_the_fill(align_corners):
    images, grid, fill = rand(2, 3, 6, 5), 3 * rand(2, 7, 8, 2, seed=1) - 1.5, rand(2, 3, seed=2)
    level = fill[:, :, None, None]
    expected = F.grid_sample(images - level, grid, align_corners=align_corners) + level
    near(sampling.bilinear_sample(images, grid, "background", fill, align_corners), expected)
    near(
        sampling.bilinear_sample(images, grid, fill=0, align_corners=align_corners),
        sampling.bilinear_sample(images, grid, "zeros", align_corners=align_corners),
        0,
    )


@FLAGS
@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_float32_is_as_close_to_float64_as_torchs(padding, align_corners):
    images, theta = rand(4, 1, 28, 28), transforms(4)[0]
    truth = reference.warp(images, theta, padding=padding, align_corners=align_corners)
    images, theta = images.float(), theta.float()
    grid = F.affine_grid(theta, images.shape, align_corners=align_corners)
    theirs = F.grid_sample(images, grid, padding_mode=padding, align_corners=align_corners)
    ours = reference.warp(images, theta, padding=padding, align_corners=align_corners)
    error = (ours - truth).abs().max().item()
    assert error <= 2 * (theirs - truth).abs().max().item() + 1e-6


# ---------------------------------------------------------------- against others
@FLAGS
@PADDINGS
def test_the_numpy_loops_agree(padding, align_corners):
    images = rand(2, 3, 5, 7)
    for transform in transforms(2):
        for size in ((5, 7), (3, 8)):
            out = reference.warp(images, transform, size, padding, align_corners=align_corners)
            make = {
                (2, 3): sampling.affine_grid,
                (3, 3): sampling.homography_grid,
                (16, 2): sampling.tps_grid,
            }
            grid = make[tuple(transform.shape[1:])](transform, size, align_corners)
            loops = sampling.bilinear_sample_loops(images, grid, padding, None, align_corners)
            near(out, torch.from_numpy(loops))


@FLAGS
@pytest.mark.parametrize(
    ("padding", "mode"), [("background", "grid-constant"), ("border", "nearest")]
)
def test_scipy_agrees(padding, mode, align_corners):
    ndimage = pytest.importorskip("scipy.ndimage")
    images, fill = rand(3, 2, 6, 9), 0.7
    for transform in transforms(3)[:2]:
        out = reference.warp(
            images,
            transform,
            (5, 4),
            padding,
            0.7 if padding == "background" else None,
            align_corners,
        )
        px = geometry.to_homogeneous(
            geometry.to_pixels(transform, (6, 9), (5, 4), align_corners)
        ).numpy()
        rows, columns = np.mgrid[:5, :4]
        for b, c in np.ndindex(3, 2):
            x, y, w = px[b] @ np.stack([columns.ravel(), rows.ravel(), np.ones(20)])
            expected = ndimage.map_coordinates(
                images[b, c].numpy(), [y / w, x / w], order=1, mode=mode, cval=fill
            )
            near(out[b, c].flatten(), torch.from_numpy(expected))


def test_kornia_agrees_on_homographies():
    kornia = pytest.importorskip("kornia.geometry.transform")
    images, (_, theta, _) = rand(3, 2, 6, 9), transforms(3)
    # kornia takes the forward matrix in pixels, source to destination, and inverts it itself.
    forward = geometry.invert(geometry.to_pixels(theta, (6, 9), (5, 4), align_corners=True))
    for padding in ("zeros", "border"):
        out = reference.warp(images, theta, (5, 4), padding, align_corners=True)
        theirs = kornia.warp_perspective(
            images, forward, (5, 4), padding_mode=padding, align_corners=True
        )
        near(out, theirs)


@FLAGS
def test_kornia_agrees_on_splines(monkeypatch, align_corners):
    """kornia centres its kernels on the *moved* points, which is another curve; put back on the
    fixed ones (Bookstein's spline, and SciPy's) it gives ours."""
    kornia = pytest.importorskip("kornia.geometry.transform")
    module = inspect.getmodule(kornia.get_tps_transform)
    distance = module._pair_square_euclidean
    size, control, offsets = (5, 8), geometry.control_points((4, 4), dtype=D), transforms(3)[2]
    with monkeypatch.context() as patch:
        patch.setattr(module, "_pair_square_euclidean", lambda fixed, _: distance(fixed, fixed))
        centres = control.expand(3, 16, 2)
        weights, affine = kornia.get_tps_transform(centres, control + offsets)
    plain = sampling.affine_grid(geometry.identity(3, dtype=D), size, align_corners).reshape(
        3, -1, 2
    )
    theirs = kornia.warp_points_tps(plain, centres, weights, affine)
    near(sampling.tps_grid(offsets, size, align_corners).reshape(3, -1, 2), theirs)


@FLAGS
@pytest.mark.parametrize("control", [(2, 2), (4, 4), (3, 5)])
def test_scipy_agrees_on_splines(control, align_corners):
    interpolate = pytest.importorskip("scipy.interpolate")
    points = geometry.control_points(control, dtype=D)
    offsets, size = 0.8 * (rand(*control, 2, seed=3) - 0.5), (5, 8)
    goals = points + offsets.view(-1, 2)
    spline = interpolate.RBFInterpolator(points, goals, kernel="thin_plate_spline", degree=1)
    plain = sampling.affine_grid(geometry.identity(dtype=D), size, align_corners).reshape(-1, 2)
    ours = sampling.tps_grid(offsets[None], size, align_corners).reshape(-1, 2)
    near(ours, torch.from_numpy(spline(plain.numpy())))


# ---------------------------------------------------------------- derivatives
@FLAGS
@PADDINGS
@pytest.mark.parametrize("kind", [0, 1, 2], ids=["affine", "homography", "tps"])
def test_first_and_second_derivatives(kind, padding, align_corners):
    images = rand(1, 2, 4, 5).requires_grad_()
    transform = transforms(1)[kind].requires_grad_()
    fill = rand(1, 2, seed=9).requires_grad_() if padding == "background" else None
    inputs = [images, transform] + ([fill] if fill is not None else [])

    def function(images, transform, fill=None):
        return reference.warp(images, transform, (3, 4), padding, fill, align_corners)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.xfail(
    strict=True,
    raises=GradcheckError,
    reason="at the identity every coordinate sits on the lattice, where bilinear sampling has a "
    "kink: the slopes to the left and to the right differ",
)
def test_gradcheck_at_the_identity():
    images = rand(1, 1, 4, 8)  # sizes that are powers of two: exactly on the lattice
    theta = geometry.identity(dtype=D).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: reference.warp(images, t), [theta])


def test_the_kink_is_two_slopes():
    row = torch.tensor([[[[0.0, 1.0, 5.0, 6.0]]]], dtype=D)

    def slope(shift):
        t = torch.tensor(shift, dtype=D, requires_grad=True)
        theta = torch.stack([t * 0 + 1, t * 0, t / 2, t * 0, t * 0 + 1, t * 0]).view(1, 2, 3)
        return torch.autograd.grad(reference.warp(row, theta)[0, 0, 0, 1], t)[0].item()

    assert slope(-0.01) == pytest.approx(1) and slope(0.01) == pytest.approx(4)
    assert slope(0.0) == pytest.approx(4)  # on the lattice: the neighbour to the right counts


def test_the_default_background_is_a_constant():
    images = rand(1, 1, 4, 5).requires_grad_()
    theta = geometry.affine(20, 0.6, dtype=D)
    (default,) = torch.autograd.grad(reference.warp(images, theta).sum(), images)
    fill = sampling.background_of(images.detach())
    (given,) = torch.autograd.grad(reference.warp(images, theta, fill=fill).sum(), images)
    near(default, given, 0)


def test_vmap():
    images = rand(4, 3, 2, 5, 6)  # a stack of 4 batches
    for transform in transforms(12):
        many = transform.view(4, 3, *transform.shape[1:])
        for padding in reference.PADDINGS:
            expected = reference.warp(images.flatten(0, 1), transform, (4, 7), padding)

            def one(x, t, padding=padding):
                return reference.warp(x, t, (4, 7), padding)

            near(torch.func.vmap(one)(images, many).flatten(0, 1), expected, 1e-13)
            shared = torch.func.vmap(one, in_dims=(None, 0))(images[0], many)
            near(shared[1], reference.warp(images[0], many[1], (4, 7), padding), 1e-13)
    theta = transforms(3)[0]
    per_image = torch.func.vmap(
        torch.func.jacrev(lambda t, x: reference.warp(x[None], t[None]).sum())
    )
    expected = torch.autograd.functional.jacobian(
        lambda t: reference.warp(images[0], t).sum(), theta
    )
    near(per_image(theta, images[0]), expected)


# ---------------------------------------------------------------- types and shapes
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(dtype):
    images, theta = rand(2, 3, 9, 11).to(dtype), transforms(2)[0]
    for padding in reference.PADDINGS:
        out = reference.warp(images, theta, padding=padding)
        assert out.dtype == dtype
        exact = reference.warp(images.double(), theta, padding=padding).to(dtype)
        near(out.double(), exact.double(), 2 * torch.finfo(dtype).eps)  # rounded once, at the end
    for make, t in zip(
        (sampling.affine_grid, sampling.homography_grid, sampling.tps_grid),
        transforms(2, dtype),
        strict=True,
    ):
        grid = make(t, (4, 5))
        assert grid.dtype == (D if dtype == D else torch.float32)
        near(grid.double(), make(t.double(), (4, 5)), 2e-6)
        assert sampling.bilinear_sample(images, grid.to(dtype)).dtype == dtype


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(half):
    images = rand(2, 1, 224, 224, dtype=torch.float32)
    for transform in transforms(2, torch.float32):
        expected = reference.warp(images, transform)
        with torch.autocast("cpu", dtype=half):
            near(reference.warp(images, transform), expected, 0)
            low = reference.warp(images.to(half), transform)
        near(low.float(), expected, 4 * torch.finfo(half).eps)


@FLAGS
@PADDINGS
@pytest.mark.parametrize("batch", [0, 1, 2])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_any_batch_and_size(shapes, batch, padding, align_corners):
    images = rand(batch, 5, *shapes[0]).requires_grad_()
    for transform in transforms(batch):
        for mode in ("bilinear", "nearest"):
            transform = transform.detach().requires_grad_()
            out = reference.warp(images, transform, shapes[1], padding, None, align_corners, mode)
            assert out.shape == (batch, 5, *shapes[1]) and out.isfinite().all()
            out.sum().backward()
            assert reference.warp(images, transform, None, padding).shape == images.shape


def test_coordinates_far_away_are_outside():
    images = rand(1, 2, 4, 5)
    for far in (1e6, 1e30, 1e300, math.inf):
        grid = torch.tensor([-far, far], dtype=D).expand(1, 3, 3, 2)
        near(
            sampling.bilinear_sample(images, grid),
            sampling.background_of(images)[:, :, None, None].expand(1, 2, 3, 3),
            0,
        )
        corner = sampling.bilinear_sample(images, grid, "border")
        near(corner, images[:, :, 3:, :1].expand(1, 2, 3, 3), 0)


def test_background_of():
    image = torch.full((1, 1, 5, 6), 9.0)
    image[0, 0, 1:-1, 1:-1] = 0
    assert sampling.background_of(image).tolist() == [[9.0]]
    image[0, 0, 0], image[0, 0, 1:, 0] = 4.0, 4.0  # 10 of 18 border pixels
    assert sampling.background_of(image).tolist() == [[4.0]]
    two = torch.stack([torch.zeros(3, 3), torch.eye(3) + 1])[None]
    assert sampling.background_of(two).tolist() == [[0.0, 1.0]]  # eight pixels, corners 1 and 2
    assert sampling.background_of(torch.tensor([[[[3.0, 1.0, 2.0]]]])).tolist() == [[2.0]]
    assert sampling.background_of(torch.zeros(0, 2, 4, 4)).shape == (0, 2)
    level = torch.rand(2, 3, 1, 1)
    for size in ((1, 2), (2, 5), (4, 4)):  # expanded: all pixels in one place in memory
        near(sampling.background_of(level.expand(2, 3, *size)), level[..., 0, 0], 0)
    assert sampling.background_of(torch.full((1, 1, 4, 4), 0.5).half()).dtype == torch.float16


def test_homography_of_any_scale_is_the_same():
    _, theta, _ = transforms(3)
    near(sampling.homography_grid(-4 * theta, (5, 6)), sampling.homography_grid(theta, (5, 6)))


def test_grids_do_not_depend_on_who_asked_first():
    """The spline's constants are kept: a second size, type or control grid must not get them."""
    offsets = transforms(2)[2]
    for size in ((4, 6), (6, 4)):
        for align_corners in (False, True):
            for rows, columns in ((4, 4), (2, 8), (8, 2)):
                moved = offsets.view(2, rows, columns, 2)
                expected = sampling.tps_grid(moved, size, align_corners).float()
                near(sampling.tps_grid(moved.float(), size, align_corners), expected, 1e-5)
                linear = moved * 0 + geometry.control_points((rows, columns), dtype=D).view(
                    rows, columns, 2
                )
                doubled = sampling.affine_grid(
                    2 * geometry.identity(2, dtype=D), size, align_corners
                )
                near(sampling.tps_grid(linear, size, align_corners), doubled)


# ---------------------------------------------------------------- bad input
IMAGES, THETA = torch.rand(2, 1, 4, 5), geometry.identity(2)
NAN = torch.full((2, 2, 3), math.nan)
HORIZON = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [2, 0, 1]]]).expand(2, 3, 3)


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (TypeError, "images must be a tensor.*list", lambda: reference.warp([[0.0]], THETA)),
        (
            TypeError,
            "images must be floating point, got torch.uint8",
            lambda: reference.warp(IMAGES.byte(), THETA),
        ),
        (
            ValueError,
            r"images must have shape \[B, C, h, w\], got \[4, 5\]",
            lambda: reference.warp(IMAGES[0, 0], THETA),
        ),
        (
            ValueError,
            r"images.*got \[2, 1, 0, 5\]",
            lambda: reference.warp(IMAGES[:, :, :0], THETA),
        ),
        (
            ValueError,
            "images and transform must have one batch size, got 2 and 3",
            lambda: reference.warp(IMAGES, geometry.identity(3)),
        ),
        (
            ValueError,
            "images and grid must have one batch size, got 2 and 3",
            lambda: sampling.bilinear_sample(IMAGES, torch.zeros(3, 4, 5, 2)),
        ),
        (
            ValueError,
            "share a device, got cpu, meta",
            lambda: reference.warp(IMAGES, geometry.identity(2, device="meta")),
        ),
        (TypeError, "transform must be a tensor", lambda: reference.warp(IMAGES, None)),
        (
            ValueError,
            r"transform must have shape.*got \[2, 3\]",
            lambda: reference.warp(IMAGES, THETA[0]),
        ),
        (
            ValueError,
            "transform must have shape",
            lambda: reference.warp(IMAGES, torch.zeros(2, 4, 4)),
        ),
        (
            TypeError,
            "theta must be a floating-point tensor, got torch.int64",
            lambda: reference.warp(IMAGES, THETA.long()),
        ),
        (
            ValueError,
            r"theta must be finite.*\(batch entries 0, 1\)",
            lambda: reference.warp(IMAGES, NAN),
        ),
        (ValueError, "theta must be finite", lambda: sampling.affine_grid(THETA / 0, (4, 5))),
        (
            ValueError,
            r"theta must have shape \[B, 2, 3\]",
            lambda: sampling.affine_grid(torch.zeros(2, 3, 3), (4, 5)),
        ),
        (
            ValueError,
            r"theta must have shape \[B, 3, 3\]",
            lambda: sampling.homography_grid(THETA, (4, 5)),
        ),
        (ValueError, "horizon", lambda: reference.warp(IMAGES, HORIZON)),
        (ValueError, "horizon", lambda: sampling.homography_grid(torch.zeros(1, 3, 3), (4, 5))),
        (ValueError, "square number K", lambda: reference.warp(IMAGES, torch.zeros(2, 10, 2))),
        (
            ValueError,
            "grid must be at least",
            lambda: sampling.tps_grid(torch.zeros(2, 1, 2), (4, 5)),
        ),
        (
            ValueError,
            "offsets must be finite",
            lambda: sampling.tps_grid(torch.full((2, 4, 2), math.inf), (4, 5)),
        ),
        (TypeError, "offsets must be a tensor", lambda: sampling.tps_grid([1.0], (4, 5))),
        (
            ValueError,
            r"size must be at least \(1, 1\), got \(0, 5\)",
            lambda: reference.warp(IMAGES, THETA, (0, 5)),
        ),
        (TypeError, "size must be two ints", lambda: reference.warp(IMAGES, THETA, 28)),
        (TypeError, "size must be two ints", lambda: sampling.affine_grid(THETA, (4.0, 5))),
        (
            ValueError,
            "padding must be one of.*'mirror'",
            lambda: reference.warp(IMAGES, THETA, padding="mirror"),
        ),
        (ValueError, "mode must be", lambda: reference.warp(IMAGES, THETA, mode="cubic")),
        (
            ValueError,
            "fill is only used",
            lambda: reference.warp(IMAGES, THETA, padding="zeros", fill=1.0),
        ),
        (TypeError, "fill must be", lambda: reference.warp(IMAGES, THETA, fill="black")),
        (
            TypeError,
            "fill must be a finite number",
            lambda: reference.warp(IMAGES, THETA, fill=math.nan),
        ),
        (
            ValueError,
            r"fill must have shape \[2, 1\], got \[2\]",
            lambda: reference.warp(IMAGES, THETA, fill=torch.zeros(2)),
        ),
        (
            TypeError,
            "grid must be a floating-point tensor, got torch.int64",
            lambda: sampling.bilinear_sample(IMAGES, torch.zeros(2, 4, 5, 2).long()),
        ),
        (
            TypeError,
            "grid must be a floating-point tensor, got NoneType",
            lambda: sampling.bilinear_sample(IMAGES, None),
        ),
        (
            ValueError,
            r"grid must have shape \[B, H, W, 2\], got \[2, 4, 5, 3\]",
            lambda: sampling.bilinear_sample(IMAGES, torch.zeros(2, 4, 5, 3)),
        ),
        (
            ValueError,
            "grid must have shape",
            lambda: sampling.bilinear_sample(IMAGES, torch.zeros(2, 0, 5, 2)),
        ),
        (
            ValueError,
            r"grid must not contain NaN \(batch entries 1\)",
            lambda: sampling.bilinear_sample(
                IMAGES, torch.cat([torch.zeros(1, 4, 5, 2), torch.full((1, 4, 5, 2), math.nan)])
            ),
        ),
        (TypeError, "images must be floating", lambda: sampling.background_of(IMAGES.int())),
    ],
)
def test_bad_input(error, match, call):
    with pytest.raises(error, match=match):
        call()


def test_horizon_just_outside_the_grid_is_allowed():
    """The outermost centres of 4 pixels are at +-0.75: w = 1 + x / 0.8 is still positive there."""
    theta = torch.eye(3).repeat(1, 1, 1)
    theta[0, 2, 0] = 1 / 0.8
    assert sampling.homography_grid(theta, (4, 4)).isfinite().all()
    with pytest.raises(ValueError, match="horizon"):
        sampling.homography_grid(theta, (4, 4), align_corners=True)


def test_images_with_more_pixels_than_float32_can_count():
    size = 4200  # 17.6 million pixels, beyond 2**24
    column = size - 2
    images = torch.zeros(1, 1, size, size)
    images[0, 0, -1, column] = 1
    x, y = (2 * torch.tensor([column, size - 1]) + 1) / size - 1
    grid = torch.stack([x, y]).view(1, 1, 1, 2)
    out = sampling.bilinear_sample(images, grid, padding="border")
    assert out.item() == pytest.approx(1, abs=1e-2)  # float32 coordinates: 2e-4 px here


@pytest.mark.parametrize("padding", reference.PADDINGS)
def test_onnx_reads_the_same(padding, tmp_path):
    for name in ("onnxruntime", "onnxscript"):
        pytest.importorskip(name, reason=f"{name.upper()} IS NOT INSTALLED: no export was made")
    import onnxruntime

    class Module(torch.nn.Module):
        def forward(self, images, theta):
            fill = torch.full((3, 2), 0.25) if padding == "background" else None
            return reference.warp(images, theta, (20, 24), padding, fill)

    theta = geometry.affine(25.0, 0.8, 7.0, (0.2, -0.1), batch=3)
    inputs = torch.rand(3, 2, 17, 19), theta
    path = tmp_path / "warp.onnx"
    torch.onnx.export(Module().eval(), inputs, dynamo=True, verbose=False).save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = {i.name: v.numpy() for i, v in zip(session.get_inputs(), inputs, strict=True)}
    (found,) = session.run(None, given)
    near(torch.from_numpy(found), Module()(*inputs), 1e-6)
