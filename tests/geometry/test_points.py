"""Points carried through transforms: where `warp` reads, and back again."""

import pytest
import torch

from stn_course import geometry, warp
from stn_course.geometry import transform_points, transform_points_back
from stn_course.geometry.splines import grid_weights, spline_slopes
from stn_course.sampling import reference

SIZES = [((7, 12), (5, 9)), ((8, 8), None), ((3, 20), (1, 4))]


def homography(batch=3, tilt=0.1):
    torch.manual_seed(0)
    return torch.eye(3, dtype=torch.float64) + tilt * torch.randn(batch, 3, 3, dtype=torch.float64)


def transforms(batch=3):
    g = torch.Generator().manual_seed(1)
    offsets = 0.1 * torch.randn(batch, 4, 4, 2, dtype=torch.float64, generator=g)
    return {
        "affine": geometry.affine(
            torch.linspace(-40, 60, batch), 1.3, 10, 0.2, dtype=torch.float64
        ),
        "homography": homography(batch),
        "spline": offsets.flatten(1, 2),
        "spline, its rows told": offsets[:, :3],
    }


def points(batch=3, n=5, dtype=torch.float64):
    g = torch.Generator().manual_seed(2)
    return 1.6 * torch.rand(batch, n, 2, dtype=dtype, generator=g) - 0.8


@pytest.mark.parametrize("kind", transforms())
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size, output_size", SIZES)
def test_pixels_are_read_where_the_grid_says(kind, align_corners, size, output_size):
    """Every pixel centre of the output, in pixels: against the taught grids."""
    if align_corners and 1 in (*size, *(output_size or size)):
        pytest.skip("one pixel has no unit between corners")
    theta, (h, w) = transforms()[kind], output_size or size
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    at = torch.stack([columns, rows], -1).double().view(-1, 2)
    grid = {(2, 3): reference.affine_grid, (3, 3): reference.homography_grid}
    make = grid.get(tuple(theta.shape[1:]), reference.tps_grid)
    wanted = geometry.to_pixels(
        make(theta, (h, w), align_corners=align_corners).flatten(1, 2),
        size,
        align_corners=align_corners,
    )
    found = transform_points(
        theta, at, size=size, output_size=output_size, align_corners=align_corners
    )
    assert (found - wanted).abs().max() < 1e-10


@pytest.mark.parametrize("kind", transforms())
def test_there_and_back_again(kind):
    theta, p = transforms()[kind], points()
    assert (transform_points_back(theta, transform_points(theta, p)) - p).abs().max() < 1e-9
    options = {"size": (9, 30), "output_size": (40, 7)}
    q = torch.tensor([[3.0, 20.0], [0.0, 0.0], [6.2, 38.7]], dtype=torch.float64)
    there = transform_points(theta, q, **options)
    assert (transform_points_back(theta, there, **options) - q).abs().max() < 1e-7


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("kind", transforms())
def test_gradients_are_those_of_finite_differences(kind, back):
    theta = transforms(2)[kind].requires_grad_()
    p = points(2, 3).requires_grad_()
    carry = transform_points_back if back else transform_points
    assert torch.autograd.gradcheck(carry, (theta, p), atol=1e-6)


def test_a_bright_pixel_is_where_it_is_said_to_be():
    """Through `warp` itself, on a picture that is not square."""
    images, theta = torch.zeros(1, 1, 21, 31), geometry.affine(25, 1.4, size=(21, 31), shift=0.2)
    images[0, 0, 9:12, 14:17] = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
    out = warp(images, theta, padding="zeros")[0, 0]
    weight = out / out.sum()
    rows, columns = torch.meshgrid(torch.arange(21.0), torch.arange(31.0), indexing="ij")
    centre = torch.stack([(weight * columns).sum(), (weight * rows).sum()])
    said = transform_points_back(theta, torch.tensor([[15.0, 10.0]]), size=(21, 31))[0, 0]
    assert (centre - said).abs().max() < 0.02


@pytest.mark.parametrize("batch, n", [(0, 4), (1, 0), (1, 1)])
@pytest.mark.parametrize("carry", [transform_points, transform_points_back])
def test_of_nothing_nothing_comes(carry, batch, n):
    for theta in transforms(max(batch, 1)).values():
        found = carry(theta[:batch], points(max(batch, 1), n)[:batch])
        assert found.shape == (batch, n, 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_wider_type_counts_and_low_types_are_widened(dtype):
    exact = points().to(dtype)
    for theta in transforms().values():
        found = transform_points(theta.to(dtype), exact)
        assert found.dtype == torch.float32
        wanted = transform_points(theta.to(dtype).double(), exact.double())
        assert (found - wanted).abs().max() < 1e-5
    assert transform_points(transforms()["affine"], exact).dtype == torch.float64


def test_what_lies_beyond_the_horizon_is_refused():
    tilted = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [0.8, 0, 1]]])
    assert transform_points(tilted, torch.tensor([[-1.0, 0]])).isfinite().all()
    with pytest.raises(ValueError, match="points must lie before the horizon"):
        transform_points(tilted, torch.tensor([[-1.3, 0]]))
    with pytest.raises(ValueError, match="points must lie before the horizon"):
        transform_points(-tilted, torch.tensor([[-1.25, 0]]))
    assert transform_points(-tilted, torch.tensor([[-1.0, 0]])).isfinite().all()


def test_what_a_spline_reads_nowhere_is_refused():
    offsets = torch.zeros(1, 3, 3, 2, dtype=torch.float64)
    offsets[0, :, 2, 0] = -2.0  # its right side is folded back over the left
    far = torch.tensor([[30.0, 0.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match="points must be read by the spline"):
        transform_points_back(offsets, far)


@pytest.mark.parametrize(
    "words, error, told",
    [
        ({"transform": [[1.0, 0, 0], [0, 1, 0]]}, TypeError, "transform must be a tensor"),
        ({"points": torch.zeros(2, 4, 2)}, ValueError, "points .* batch .*3 on cpu, got 2"),
        ({"points": torch.zeros(4, 3)}, ValueError, r"points must have shape \[N, 2\]"),
        ({"points": torch.zeros(4, 2).long()}, TypeError, "points must be a floating-point"),
        ({"points": torch.full((4, 2), torch.nan)}, ValueError, "points must be finite"),
        ({"output_size": (3, 4)}, ValueError, "output_size needs size"),
        ({"size": (0, 4)}, ValueError, "size"),
        ({"size": (3, 4), "output_size": (0, 4)}, ValueError, "output_size must be at least"),
        ({"size": (3, 4), "output_size": 0}, TypeError, "output_size must be two ints"),
        ({"transform": torch.zeros(())}, ValueError, r"transform must have .* got \[\]"),
        (
            {"transform": torch.eye(2, 3)},
            ValueError,
            r"transform must have .* \[B, 2, 3\].* got \[2, 3\]",
        ),
        ({"transform": torch.zeros(3, 1, 1, 3, 2)}, ValueError, "transform must have shape"),
        ({"transform": torch.zeros(3, 5, 4)}, ValueError, "transform must have shape"),
        (
            {"transform": torch.zeros(3, 2, 3).int()},
            TypeError,
            "transform must be a float",
        ),
        (
            {"transform": torch.zeros(3, 2, 3, device="meta")},
            ValueError,
            "3 on meta, got 4 on cpu",
        ),
        ({"transform": torch.full((3, 2, 3), torch.inf)}, ValueError, "finite"),
        ({"transform": torch.zeros(3, 5, 2)}, ValueError, "square number K"),
    ],
)
@pytest.mark.parametrize("carry", [transform_points, transform_points_back])
def test_bad_input_is_named(carry, words, error, told):
    words = {"transform": geometry.identity(3), "points": torch.zeros(4, 2)} | words
    with pytest.raises(error, match=told):
        carry(words.pop("transform"), words.pop("points"), **words)


def test_a_singular_matrix_cannot_be_undone():
    with pytest.raises(ValueError, match="must be invertible"):
        transform_points_back(torch.zeros(1, 2, 3), torch.zeros(1, 2))


def test_the_way_back_of_a_homography_whose_inverse_looks_away_from_the_middle():
    """What lies in the input's middle is behind the output's horizon: h33 of the inverse is < 0."""
    theta = torch.tensor([[[1.0, 0, 2], [0, 1, 0], [0.6, 0, 1]]], dtype=torch.float64)
    p = points(1)
    for scale in (1, -1, 0.3):
        there = transform_points(scale * theta, p)
        assert (transform_points_back(scale * theta, there) - p).abs().max() < 1e-12
    with pytest.raises(ValueError, match="before the horizon"):
        transform_points_back(theta, torch.zeros(1, 2, dtype=torch.float64))


def test_one_pixel_has_no_unit_between_corners_and_the_size_is_named():
    options = {"size": (4, 4), "output_size": (1, 5), "align_corners": True}
    with pytest.raises(ValueError, match="output_size must be at least"):
        transform_points(geometry.identity(), torch.zeros(1, 2), **options)


def landmarks(bend=0.05, seed=0):
    g = torch.Generator().manual_seed(seed)
    src = 0.9 * geometry.control_points((3, 3), dtype=torch.float64)
    return geometry.spline_from_landmarks(
        src, src + bend * torch.randn(9, 2, dtype=src.dtype, generator=g)
    )


SPLINES = [transforms()["spline"], transforms()["spline, its rows told"], landmarks()]


@pytest.mark.parametrize("spline", SPLINES)
def test_the_way_back_through_a_spline_has_second_derivatives_and_can_be_transformed(spline):
    spline, p = spline[:1].clone().requires_grad_(), points(1, 3).requires_grad_()
    assert torch.autograd.gradgradcheck(transform_points_back, (spline, p), atol=1e-5)
    wanted = transform_points_back(spline, p)
    vmapped = torch.func.vmap(lambda t, q: transform_points_back(t[None], q[None])[0])(spline, p)
    assert (vmapped - wanted).abs().max() < 1e-12
    with torch.inference_mode():
        assert (transform_points_back(spline, p) - wanted).abs().max() < 1e-12
    slope = torch.func.jacrev(lambda q: transform_points_back(spline.detach(), q).sum())(p.detach())
    (known,) = torch.autograd.grad(wanted.sum(), p)
    assert (slope - known).abs().max() < 1e-12


@pytest.mark.parametrize("spline", SPLINES)
@pytest.mark.parametrize("far", [1, 20, 1000])
def test_the_way_back_through_a_spline_from_far_outside_in_float32(spline, far):
    exact = transform_points(spline, far * points(spline.shape[0]))
    found = transform_points_back(spline.float(), exact.float())
    assert found.dtype == torch.float32
    again = transform_points(spline.float().double(), found.double())
    assert (again - exact).abs().max() < 1e-6 * far


def test_a_spline_that_bends_far_without_a_fold_is_undone():
    at = geometry.control_points((15, 15), dtype=torch.float64)
    done = 0
    for seed in range(100):
        g = torch.Generator().manual_seed(seed)
        offsets = 0.5 * torch.randn(1, 9, 2, dtype=at.dtype, generator=g)
        slopes = spline_slopes(*grid_weights(offsets), at[None])
        if (torch.linalg.det(slopes) > 0.02).all():
            there = transform_points(offsets, at)
            back = transform_points_back(offsets, there)
            assert (transform_points(offsets, back) - there).abs().max() < 1e-8
            done += 1
    assert done > 5


@pytest.mark.parametrize("grid", [(3, 3), (2, 4)])
def test_at_a_control_point_a_spline_has_a_slope_and_a_way_back(grid):
    """There U(r) is flat: its slope is no NaN."""
    points = geometry.control_points(grid, dtype=torch.float64)
    noise = torch.rand(1, *grid, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    offsets = 0.1 * noise - 0.05
    there = geometry.transform_points(offsets, points)
    assert torch.allclose(there, points + offsets.flatten(1, 2), atol=1e-9)
    back = geometry.transform_points_back(offsets, points + 0)
    assert torch.allclose(geometry.transform_points(offsets, back), points[None], atol=1e-9)
    assert torch.allclose(geometry.transform_points_back(offsets, there), points[None], atol=1e-9)
    at = points.clone().requires_grad_()
    (slope,) = torch.autograd.grad(geometry.transform_points(offsets, at).sum(), at)
    near = geometry.transform_points(offsets, points + torch.tensor([1e-6, 0.0]))
    wanted = (near - there).sum(2)[0] / 1e-6
    assert torch.allclose(slope[:, 0], wanted, atol=1e-4)
