"""The figures of notebook 02 show the numbers and places that they are given."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stn_course import geometry, sampling
from stn_course.lessons import figures as figures_
from stn_course.lessons import pictures
from stn_course.lessons.figures import descent, overlays
from stn_course.lessons.grid_sampling import figures
from tests.support import texts


def worked(at=(1, 1)):
    small = torch.zeros(4, 4)
    small[1:3, 1:3] = torch.tensor([[4.0, 8], [2, 6]])
    theta = torch.tensor([[[1, 0, 0.25], [0, 1, 0.125]]])
    grid = F.affine_grid(theta, (1, 1, 4, 4), align_corners=False)
    out = F.grid_sample(small[None, None], grid, align_corners=False)
    return small, out[0, 0], figures.worked_example(small, grid, out, at)


def test_the_numbers_drawn_are_the_numbers_computed():
    small, out, fig = worked()
    left, right = fig.axes
    assert texts(right) == [f"{v:g}" for v in out.flatten().tolist()]
    assert texts(left)[:16] == [f"{v:g}" for v in small.flatten().tolist()]
    assert texts(right)[5] == "5.5"


def test_the_weights_drawn_make_the_marked_number():
    small, out, fig = worked(at=(1, 2))
    weights = [t for t in fig.axes[0].texts if t.get_text().startswith("×")]
    assert len(weights) == 4
    total = 0.0
    for text in weights:
        column, row = (round(v) for v in text.get_position())
        total += float(text.get_text()[2:]) * small[row, column].item()
    assert total == out[1, 2].item() == 3.75


def test_the_square_around_the_place_is_cut_into_the_weights():
    """Dashed, one pixel large, with the dot in its middle; its parts have the weights as areas."""
    _, _, fig = worked(at=(1, 1))
    left = fig.axes[0]
    weights = [float(t.get_text()[2:]) for t in left.texts if t.get_text().startswith("×")]
    parts = [p for p in left.patches if p.get_alpha()]
    (square,) = (p for p in left.patches if p.get_linestyle() == "--")
    assert [p.get_width() * p.get_height() for p in parts] == weights == [0.375] * 2 + [0.125] * 2
    assert square.get_bbox().extents.tolist() == [1, 0.75, 2, 1.75]
    for part, (row, column) in zip(parts, [(1, 1), (1, 2), (2, 1), (2, 2)], strict=True):
        x0, y0, x1, y1 = part.get_bbox().extents
        assert column - 0.5 <= x0 < x1 <= column + 0.5 and row - 0.5 <= y0 < y1 <= row + 0.5
        assert 1 <= x0 < x1 <= 2 and 0.75 <= y0 < y1 <= 1.75


def test_reading_places_draws_the_places_and_the_top_row():
    image = pictures.drawn_two(28)[0, 0]
    places = pictures.in_pixels(sampling.affine_grid(geometry.affine(30), (28, 28)))
    fig = figures.reading_places(image, {"one": (places, image), "two": (places, image)})
    assert [ax.get_title() for ax in fig.axes] == ["one", "two", "comes out", "comes out"]
    dots, top = fig.axes[0].lines
    assert len(dots.get_xdata()) == 14 * 14
    np.testing.assert_allclose(np.stack(top.get_data(), 1), places[0])


def test_a_kink_has_the_slope_from_the_left_and_the_one_to_the_right():
    row = [2.0, 4, 8, 2, 6]
    (ax,) = figures.kink(row, at=2).axes
    assert texts(ax) == ["from the left: +4 a pixel", "to the right: −6 a pixel"]
    curve, left, right = (line.get_xydata() for line in ax.lines)
    assert curve[:, 1].tolist() == row
    for tangent, slope, side in ((left, 4, -1), (right, -6, 1)):
        start, end = tangent
        assert start.tolist() == [2, 8] and side * (end[0] - start[0]) > 0
        assert (end[1] - start[1]) / (end[0] - start[0]) == pytest.approx(slope)
    with pytest.raises(ValueError, match="at=4; wanted a pixel with two neighbours, 1 to 3"):
        figures.kink(row, at=4)


def test_the_readers_are_those_that_give_the_pixel_a_gradient():
    theta = geometry.affine(angle=20, scale=2.5, shift=(0.1, 0.0))
    image = torch.zeros(1, 1, 9, 9, requires_grad=True)
    grid = F.affine_grid(theta, (1, 1, 9, 9), align_corners=False)
    out = F.grid_sample(image, grid, align_corners=False)[0, 0]
    wanted = {}
    for row, column in np.ndindex(9, 9):
        (slopes,) = torch.autograd.grad(out[row, column], image, retain_graph=True)
        if slopes[0, 0, 4, 3] > 1e-6:
            wanted[column, row] = f"{slopes[0, 0, 4, 3]:.2f}".lstrip("0")
    left, right = figures.readers(theta, (9, 9), (4, 3)).axes
    drawn = {t.get_position(): t.get_text() for t in right.texts}
    assert drawn == wanted and len(wanted) > 15
    others, red = left.lines
    assert len(red.get_xdata()) == len(wanted) == 81 - len(others.get_xdata())


@pytest.mark.parametrize(
    ("n", "corners", "wanted"),
    [(4, False, ["-0.75", "-0.25", "0.25", "0.75"]), (4, True, ["-1", "-0.333", "0.333", "1"])],
)
def test_pixel_rows_writes_the_centres(n, corners, wanted):
    fig = figures.pixel_rows(n)
    ax = fig.axes[int(corners)]
    centres = geometry.pixel_centres(n, corners).tolist()
    drawn = [t.get_text() for t in ax.texts if t.get_position()[1] == 0.66]
    assert drawn == wanted == [f"{c:.3g}" for c in centres]
    ends = sorted(line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 2)
    assert ends == ([0, 1.5, 3] if corners else [-0.5, 1.5, 3.5])


def test_pictures_are_under_their_names_and_holes_are_red():
    holes = torch.zeros(5, 5, dtype=torch.bool)
    holes[1, 2] = True
    fig = figures_.pictures({"a": torch.rand(1, 1, 5, 5), "b": np.zeros((5, 5))}, {"b": holes})
    a, b = fig.axes
    assert (a.get_title(), b.get_title()) == ("a", "b")
    assert len(a.images) == 1 and len(b.images) == 2
    red = np.asarray(b.images[1].get_array())
    assert red[..., 3].sum() == 1 and red[1, 2, 0] > 0.7
    fig = figures_.pictures({"a": np.zeros((5, 5))}, vmin=-1, vmax=2)
    assert fig.axes[0].images[0].get_clim() == (-1, 2)


def test_overlays_are_dark_where_both_agree_and_coloured_where_not():
    target = torch.zeros(1, 1, 4, 4)
    target[..., 1, 1] = 1
    moved = target.roll(1, -1)
    fig = overlays(target, {"same": target, "moved": moved})
    same, other = (np.asarray(ax.images[0].get_array()) for ax in fig.axes)
    assert same[1, 1].max() < 0.2 and same[0, 0].min() == 1
    red, teal = other[1, 2], other[1, 1]
    assert red[0] > red[2] + 0.3 and teal[2] > teal[0] + 0.2


def test_arrows_and_bars_are_minus_the_gradient():
    difference = np.zeros((4, 4))
    difference[1, 2] = 1.0
    d_places = np.zeros((4, 4, 2))
    d_places[1, 2] = (-3.0, 4.0)
    d_theta = np.arange(6.0).reshape(2, 3)
    left, right = figures.gradient_arrows(difference, d_places, d_theta).axes
    (arrows,) = left.collections
    assert (arrows.U.tolist(), arrows.V.tolist()) == ([3.0], [-4.0])
    assert arrows.get_offsets().tolist() == [[2.0, 1.0]]
    assert [bar.get_width() for bar in right.patches] == [0, -1, -2, -3, -4, -5]
    labels = [t.get_text() for t in right.get_yticklabels()]
    key = left.get_legend()
    assert "too little ink" in key.texts[0].get_text() and "too much" in key.texts[1].get_text()
    red, grey = (patch.get_facecolor()[:3] for patch in key.get_patches())
    assert red[0] > red[1] + 0.3 and max(grey) - min(grey) < 0.05
    shown = left.images[0].cmap(left.images[0].norm([-1.0, 1.0]))  # too little, too much
    assert shown[0, 0] > shown[0, 1] + 0.3 and np.ptp(shown[1, :3]) < 0.05
    assert labels[2] == "θ13: Σ x of arrow · 1" and labels[4] == "θ22: Σ y of arrow · y"


def test_descent_draws_a_closed_box_for_every_frame():
    image = pictures.drawn_two(28)[0, 0]
    places = pictures.in_pixels(sampling.affine_grid(geometry.affine(20), (28, 28)))
    fig = descent(image, [(0, places, image), (20, places, image)])
    assert len(fig.axes) == 4
    assert fig.axes[1].get_title() == "step 20"
    box = np.stack(fig.axes[0].lines[0].get_data(), 1)
    np.testing.assert_allclose(box[[0, 2, 4]], places[[0, -1, 0], [0, -1, 0]])
