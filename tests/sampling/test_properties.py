"""What must hold for every image, size, flag and transform.

3 200 drawn cases, the same each run; nothing is kept between runs.
"""

import functools
import tempfile

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from stn_course import geometry, sampling
from stn_course.sampling import reference

set_hypothesis_home_dir(tempfile.gettempdir() + "/hypothesis")  # not in the checkout
D = torch.float64
QUOTAS = {}
FLAG, SEED = st.booleans(), st.integers(0, 2**31)
PADDING, KIND = (
    st.sampled_from(reference.PADDINGS),
    st.sampled_from(["affine", "homography", "tps"]),
)


def sizes(low=1, high=9):
    return st.tuples(st.integers(low, high), st.integers(low, high))


def cases(number, **drawn):
    """Run a property on `number` drawn cases, and fail if fewer were really run."""

    def decorate(check):
        ran = []
        QUOTAS[check.__name__] = number

        @settings(
            max_examples=number,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(**drawn)
        def search(**values):
            check(**values)
            ran.append(1)

        @functools.wraps(check)
        def test(tell):
            search()
            tell(f"{check.__name__}: {len(ran)} cases")
            assert len(ran) >= number

        del test.__wrapped__  # pytest would take the drawn arguments for fixtures
        return test

    return decorate


def near(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


def rand(generator, *shape):
    return 2 * torch.rand(*shape, dtype=D, generator=generator) - 1


def generator_of(seed):
    return torch.Generator().manual_seed(seed)


def transform_of(kind, generator, batch):
    if kind == "affine":
        return 2 * rand(generator, batch, 2, 3)
    if kind == "homography":
        return geometry.Homography(0.49)(2 * rand(generator, batch, 8))
    return 0.7 * rand(generator, batch, 9, 2)


def contraction(generator, batch):
    """A theta that reads a 5-pixel or larger output well inside the input."""
    linear = rand(generator, batch, 2, 2)
    linear = 0.6 * linear / linear.abs().sum(2, keepdim=True)
    return torch.cat([linear, 0.2 * rand(generator, batch, 2, 1)], 2)


def ramp(generator, batch, size, align_corners):
    """Images that are linear in x and y, which bilinear reading gets right between pixels."""
    place = sampling.affine_grid(geometry.identity(batch, dtype=D), size, align_corners)
    slope = rand(generator, batch, 1, 1, 2)
    return ((place * slope).sum(3) + rand(generator, batch, 1, 1))[:, None]


@cases(400, size=sizes(), kind=KIND, padding=PADDING, flag=FLAG, seed=SEED)
def test_identity_is_identity(size, kind, padding, flag, seed):
    images = rand(generator_of(seed), 2, 3, *size)
    still = {
        "affine": geometry.identity(2, dtype=D),
        "homography": geometry.to_homogeneous(geometry.identity(2, dtype=D)),
        "tps": torch.zeros(2, 9, 2, dtype=D),
    }[kind]
    near(reference.warp(images, still, None, padding, align_corners=flag), images)
    low = reference.warp(images.float(), still.float(), None, padding, align_corners=flag)
    near(low, images.float(), 1e-5)


def mirrored(i, n, flag):
    """Pixel i of n in a row that is mirrored at its edges, or at its outermost pixels' centres."""
    period = 2 * (n - 1) if flag else 2 * n
    i = i % period
    return i if i < n else period - i - (0 if flag else 1)


@cases(
    300,
    size=sizes(2),
    dx=st.integers(-4, 4),
    dy=st.integers(-4, 4),
    flag=FLAG,
    padding=PADDING,
    seed=SEED,
)
def test_whole_pixel_shifts_are_exact(size, dx, dy, flag, padding, seed):
    images = rand(generator_of(seed), 1, 2, *size)
    move = torch.tensor([[[1, 0, -dx], [0, 1, -dy]]], dtype=D)
    out = reference.warp(
        images,
        geometry.from_pixels(move, size, align_corners=flag),
        None,
        padding,
        align_corners=flag,
    )
    fill = sampling.background_of(images)[0] if padding == "background" else torch.zeros(2, dtype=D)
    expected = torch.empty_like(images)
    for i in range(size[0]):
        for j in range(size[1]):
            row, column = i - dy, j - dx
            inside = 0 <= row < size[0] and 0 <= column < size[1]
            if padding == "border":
                row, column = min(max(row, 0), size[0] - 1), min(max(column, 0), size[1] - 1)
                inside = True
            if padding == "reflection":
                row, column = mirrored(row, size[0], flag), mirrored(column, size[1], flag)
                inside = True
            expected[0, :, i, j] = images[0, :, row, column] if inside else fill
    near(out, expected)


@cases(
    300,
    size=sizes(),
    out=sizes(),
    kind=KIND,
    flag=FLAG,
    seed=SEED,
    half=st.sampled_from([torch.float64, torch.float32, torch.float16]),
)
def test_a_constant_image_stays_constant(size, out, kind, flag, seed, half):
    generator = generator_of(seed)
    level = rand(generator, 2, 3, 1, 1).to(half)
    moved = reference.warp(
        level.expand(2, 3, *size), transform_of(kind, generator, 2), out, align_corners=flag
    )
    assert torch.equal(moved, level.expand(2, 3, *out))  # to the last bit


@cases(200, size=sizes(5), middle=sizes(5), out=sizes(5), flag=FLAG, seed=SEED)
def test_warp_twice_is_compose_then_warp(size, middle, out, flag, seed):
    generator = generator_of(seed)
    images = ramp(generator, 2, size, flag)
    a, b = contraction(generator, 2), contraction(generator, 2)
    twice = reference.warp(
        reference.warp(images, a, middle, align_corners=flag), b, out, align_corners=flag
    )
    near(twice, reference.warp(images, geometry.compose(a, b), out, align_corners=flag))


@cases(200, out=sizes(), seed=SEED, flag=FLAG)
def test_compose_of_homographies_reads_through_both(out, seed, flag):
    generator = generator_of(seed)
    a = geometry.Homography(0.2)(0.5 * rand(generator, 2, 8))
    b = contraction(generator, 2)
    place = sampling.affine_grid(b, out, flag)
    place = torch.cat([place, torch.ones_like(place[..., :1])], 3)
    uvw = torch.einsum("bij,bhwj->bhwi", a, place)
    near(
        sampling.homography_grid(geometry.compose(a, b), out, flag),
        uvw[..., :2] / uvw[..., 2:],
        1e-11,
    )


@cases(
    200,
    size=sizes(5),
    flag=FLAG,
    seed=SEED,
    angle=st.floats(-180, 180),
    zoom=st.floats(0.6, 1.5),
    shear=st.floats(-30, 30),
)
def test_invert_undoes(size, flag, seed, angle, zoom, shear):
    generator = generator_of(seed)
    images = ramp(generator, 1, size, flag)
    shift = (0.3 * rand(generator, 2)).tolist()
    theta = geometry.affine(angle, zoom, shear, tuple(shift), dtype=D)
    near(
        sampling.affine_grid(geometry.compose(theta, geometry.invert(theta)), size, flag),
        sampling.affine_grid(geometry.identity(dtype=D), size, flag),
    )

    def seen(known, transform):
        return (reference.warp(known, transform, None, "zeros", align_corners=flag) > 1 - 1e-9).to(
            D
        )

    # Only pixels that were read from inside both times can come back.
    known = seen(seen(torch.ones_like(images), theta), geometry.invert(theta))
    back = reference.warp(
        reference.warp(images, theta, align_corners=flag),
        geometry.invert(theta),
        align_corners=flag,
    )
    near(back * known, images * known, 1e-11)


@cases(200, size=sizes(), out=sizes(), padding=PADDING, flag=FLAG, seed=SEED)
def test_homography_without_perspective_is_affine(size, out, padding, flag, seed):
    generator = generator_of(seed)
    images, theta = rand(generator, 2, 2, *size), transform_of("affine", generator, 2)
    near(
        reference.warp(images, geometry.to_homogeneous(theta), out, padding, align_corners=flag),
        reference.warp(images, theta, out, padding, align_corners=flag),
        0,
    )


@cases(200, control=sizes(2, 5), out=sizes(), flag=FLAG, seed=SEED)
def test_splines_contain_identity_and_affine(control, out, flag, seed):
    still = torch.zeros(2, *control, 2, dtype=D)
    plain = sampling.affine_grid(geometry.identity(2, dtype=D), out, flag)
    near(sampling.tps_grid(still, out, flag), plain, 0)
    theta = transform_of("affine", generator_of(seed), 2)
    points = geometry.control_points(control, dtype=D)
    moved = points @ theta[:, :, :2].transpose(1, 2) + theta[:, None, :, 2] - points
    near(
        sampling.tps_grid(moved.view(2, *control, 2), out, flag),
        sampling.affine_grid(theta, out, flag),
        1e-11,
    )


@cases(200, size=sizes(), out=sizes(), kind=KIND, padding=PADDING, flag=FLAG, seed=SEED)
def test_batch_entries_do_not_see_each_other(size, out, kind, padding, flag, seed):
    generator = generator_of(seed)
    images, transform = rand(generator, 3, 2, *size), transform_of(kind, generator, 3)
    together = reference.warp(images, transform, out, padding, align_corners=flag)
    for i in range(3):
        alone = reference.warp(
            images[i : i + 1], transform[i : i + 1], out, padding, align_corners=flag
        )
        near(together[i : i + 1], alone, 1e-11)
    images, transform = images.requires_grad_(), transform.clone().requires_grad_()
    out = reference.warp(images, transform, out, padding, align_corners=flag)
    to_images, to_transform = torch.autograd.grad(out[1].sum(), (images, transform))
    assert to_images[[0, 2]].count_nonzero() == to_transform[[0, 2]].count_nonzero() == 0


@cases(
    250,
    size=sizes(),
    out=sizes(),
    padding=st.sampled_from(["zeros", "border", "reflection"]),
    flag=FLAG,
    seed=SEED,
    mode=st.sampled_from(["bilinear", "nearest"]),
)
def test_torch_agrees(size, out, padding, flag, seed, mode):
    generator = generator_of(seed)
    images, grid = rand(generator, 2, 2, *size), 2 * rand(generator, 2, *out, 2)
    theirs = F.grid_sample(images, grid, mode=mode, padding_mode=padding, align_corners=flag)
    near(sampling.bilinear_sample(images, grid, padding, None, flag, mode), theirs)


@cases(150, size=sizes(), out=sizes(), kind=KIND, padding=PADDING, flag=FLAG, seed=SEED)
def test_an_index_reads_what_copies_would(size, out, kind, padding, flag, seed):
    generator = generator_of(seed)
    images, transform = rand(generator, 3, 2, *size), transform_of(kind, generator, 5)
    index = torch.randint(3, (5,), generator=generator)
    how = {"size": out, "padding": padding, "align_corners": flag}
    for mode in reference.MODES:
        found = reference.warp(images, transform, index=index, mode=mode, **how)
        near(found, reference.warp(images[index], transform, mode=mode, **how), 0)


@cases(150, size=sizes(), out=sizes(), kind=KIND, padding=PADDING, flag=FLAG, seed=SEED)
def test_labels_are_the_pixels_of_the_image_of_their_numbers(size, out, kind, padding, flag, seed):
    generator = generator_of(seed)
    labels = torch.randint(-(2**50), 2**50, (2, 1, *size), generator=generator)
    transform = transform_of(kind, generator, 2)
    how = {"size": out, "padding": padding, "align_corners": flag, "mode": "nearest"}
    found = reference.warp(labels, transform, **how)
    assert found.dtype == torch.int64
    assert torch.equal(found.double(), reference.warp(labels.double(), transform, **how))


@cases(150, size=sizes(), out=sizes(1, 5), kind=KIND, seed=SEED)
def test_a_constant_image_stays_constant_when_it_is_shrunk(size, out, kind, seed):
    generator = generator_of(seed)
    level = rand(generator, 2, 3, 1, 1)
    transform = transform_of(kind, generator, 2)
    images = level.expand(2, 3, *size)
    found = reference.warp(images, transform, out, antialias=True)
    near(found, level.expand_as(found), 1e-12)


@cases(150, landmarks=st.integers(3, 9), smoothing=st.sampled_from([0.0, 0.1]), seed=SEED)
def test_a_spline_of_landmarks_moves_with_its_landmarks(landmarks, smoothing, seed):
    """Landmarks moved by an affine map give what that map gives, smooth or not."""
    generator = generator_of(seed)
    src, theta = rand(generator, 2, landmarks, 2), transform_of("affine", generator, 2)
    at, dst = rand(generator, 2, 4, 2), geometry.transform_points(theta, src)
    spline = geometry.spline_from_landmarks(src, dst, smoothing)
    near(geometry.transform_points(spline, at), geometry.transform_points(theta, at), 1e-7)


@cases(150, points=st.integers(5, 12), seed=SEED)
def test_points_of_a_homography_give_it_back(points, seed):
    generator = generator_of(seed)
    theta = transform_of("homography", generator, 2)
    src = rand(generator, 2, points, 2)
    if torch.linalg.det(theta).abs().min() < 0.05:
        return  # next to a line, where nothing is to be got back
    found = geometry.homography_from_points(src, geometry.transform_points(theta, src))
    at = rand(generator, 2, 4, 2)
    near(geometry.transform_points(found, at), geometry.transform_points(theta, at), 1e-6)


def test_at_least_2000_cases(tell):
    """Each property checks that it really ran its share; the shares add up."""
    tell(f"{sum(QUOTAS.values())} property cases in {len(QUOTAS)} properties")
    assert sum(QUOTAS.values()) >= 2000


def test_the_counter_notices_properties_that_ran_too_little():
    few = cases(50, only=st.just(1))(lambda only: None)
    QUOTAS.pop("<lambda>")
    with pytest.raises(AssertionError):
        few(lambda text: None)
