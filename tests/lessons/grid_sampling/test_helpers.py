"""What notebook 02 works with: pictures, a blur, other people's samplers, agreement with torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stn_course import geometry, sampling
from stn_course.experiments import tables
from stn_course.lessons import pictures
from stn_course.lessons.grid_sampling import helpers
from stn_course.sampling import reference


def linspace_by_half(n, t):
    return (np.linspace(-1, 1, n) + t + 1) * n / 2


def centres(n, t):
    return (((2 * np.arange(n) + 1) / n - 1 + t + 1) * n - 1) / 2


# ---------------------------------------------------------------- pictures
@pytest.mark.parametrize(("size", "side"), [(28, None), (48, 28), (20, 20)])
def test_the_two_is_ink_on_paper_within_its_frame(size, side):
    two = pictures.drawn_two(size, side)
    assert two.shape == (1, 1, size, size) and two.dtype == torch.float32
    assert two.min() == 0 and two.max() == 1
    margin = (size - (side or size)) // 2
    border = torch.ones(size, size, dtype=torch.bool)
    border[margin : size - margin, margin : size - margin] = False
    assert two[0, 0][border].eq(0).all()
    assert sampling.background_of(two).item() == 0


def test_the_two_is_no_mirror_image():
    """Its foot is flat and wide, its head round: turned or mirrored, it is another picture."""
    two = pictures.drawn_two(28)[0, 0]
    for other in (two.flip(0), two.flip(1), two.rot90(2), two.T):
        assert (two - other).abs().mean() > 0.02
    ink = (two > 0.5).sum(1)
    assert ink.argmax() > 20


@pytest.mark.parametrize(("size", "side"), [(7, None), (28, 30), (28, 4)])
def test_a_two_that_does_not_fit_is_refused(size, side):
    with pytest.raises(ValueError, match="8 <= side <= size"):
        pictures.drawn_two(size, side)


def test_rings_are_as_fine_as_stated():
    rings = pictures.rings(112)[0, 0]
    assert rings.shape == (112, 112) and rings.min() >= 0 and rings.max() <= 1
    torch.testing.assert_close(rings, rings.flip(0))
    edge = rings[56, -12:]  # three pixels a ring: 12 pixels hold four, so eight turns
    steps = edge.diff().sign()
    assert (steps[1:] != steps[:-1]).sum() in (6, 7, 8)


def test_blur_keeps_a_plain_and_the_sum_and_widens_by_sigma():
    plain = torch.full((1, 1, 20, 20), 0.3)
    torch.testing.assert_close(pictures.blur(plain, 3), plain)
    dot = torch.zeros(1, 1, 41, 41, dtype=torch.float64)
    dot[0, 0, 20, 20] = 1
    soft = pictures.blur(dot, 3)
    assert soft.dtype == torch.float64 and soft.sum().item() == pytest.approx(1)
    at = torch.arange(41) - 20.0
    assert (soft.sum((0, 1, 2)) * at**2).sum().item() == pytest.approx(9, rel=0.05)
    assert pictures.blur(dot, 0) is dot
    with pytest.raises(ValueError, match="sigma must be at least 0, got -1"):
        pictures.blur(dot, -1)


def test_in_pixels_of_the_identity_are_the_pixels():
    places = pictures.in_pixels(sampling.affine_grid(geometry.identity(), (3, 5)), (3, 5))
    y, x = torch.meshgrid(torch.arange(3.0), torch.arange(5.0), indexing="ij")
    torch.testing.assert_close(places, torch.stack([x, y], 2), atol=1e-5, rtol=0)


def test_tried_says_where_is_read_and_what_comes_out():
    two, theta = pictures.drawn_two(20), geometry.affine(20, 1.3)
    found = pictures.tried(two, {"as it is": geometry.identity(), "turned": theta})
    places, out = found["as it is"]
    torch.testing.assert_close(out, two[0, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(places[3, 7], torch.tensor([7.0, 3.0]), atol=1e-5, rtol=0)
    places, out = found["turned"]
    torch.testing.assert_close(out, reference.warp(two, theta)[0, 0])
    wanted = pictures.in_pixels(sampling.affine_grid(theta, (20, 20)), (20, 20))
    torch.testing.assert_close(places, wanted)


# ---------------------------------------------------------------- samplers of others
def test_reading_a_row_is_what_torch_reads():
    row = torch.rand(7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.linspace(-2, 8, 41, dtype=torch.float64)
    grid = torch.stack([(2 * x + 1) / 7 - 1, torch.zeros(41)], 1)[None, None]
    theirs = F.grid_sample(row[None, None, None], grid, align_corners=False)[0, 0, 0]
    np.testing.assert_allclose(helpers.read_row(row, x), theirs, atol=1e-12)


def clipped(row, x):
    left, right = (np.clip(np.floor(x) + k, 0, len(row) - 1).astype(int) for k in (0, 1))
    return (right - x) * row[left] + (x - left) * row[right]


def test_reading_at_the_last_pixel_keeps_it_and_half_a_pixel_on_halves_it():
    assert helpers.read_row([1.0, 2, 3], [0, 0.5, 1.5, 2, 2.5]).tolist() == [1, 1.5, 2.5, 3, 1.5]


def test_a_row_tried_tells_a_good_sampler_from_one_that_shrinks():
    same, on, far = helpers.try_row(centres)
    np.testing.assert_allclose(same, [1, 2, 3, 4, 5, 6])
    np.testing.assert_allclose(on, [2, 3, 4, 5, 6, 0], atol=1e-12)
    assert far.tolist() == [0] * 6
    same, _, _ = helpers.try_row(linspace_by_half, clipped)
    np.testing.assert_allclose(same, [1, 2.2, 3.4, 4.6, 5.8, 0], atol=1e-12)


def test_markdown_table():
    table = tables.markdown_of(["a", "b"], [[1, True]])
    assert table == "| a | b |\n| --- | --- |\n| 1 | True |"


# ---------------------------------------------------------------- ours against torch's
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_table_of_the_notebook(dtype, bound, align_corners, seed):
    gaps = helpers.against_torch(dtype, align_corners, seed)
    assert len(gaps) == 3 and max(gaps) <= bound
    assert dtype == torch.float64 or max(gaps) > 0


def test_a_sampler_half_a_pixel_off_would_be_seen(monkeypatch):
    right = sampling.affine_grid
    monkeypatch.setattr(sampling, "affine_grid", lambda *a: right(*a) + 0.01)
    assert min(helpers.against_torch(torch.float64, False)) > 1e-3


def test_a_gap_within_its_bound_is_told_as_the_bound_and_a_larger_one_as_it_is(monkeypatch):
    monkeypatch.setattr(helpers, "against_torch", lambda dtype, flag: (1e-14, 1e-12, 3e-3))
    assert helpers.told(torch.float64, True, 1e-12) == ["≤ 1e-12", "≤ 1e-12", "3e-03"]
