"""The figures of notebook 04 show the places, shares and records that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from stn_course.geometry import box_to_theta, glimpse_boxes, invert, to_pixels
from stn_course.lessons.digit_sequences import figures
from stn_course.sampling import affine_grid, outline
from stn_course.training.record import RunRecord


def boxed(*boxes, canvas=20):
    """thetas [1, T, 2, 3] that read the boxes (x0, y0, x1, y1) of one image."""
    return invert(box_to_theta(torch.tensor(boxes), canvas))[None]


def test_an_outline_goes_around_its_box_and_is_closed():
    theta = boxed((4, 6, 12, 10))[0, 0]
    corners = figures.quad(theta, (20, 20))
    # Half a pixel less: in the figure's axes 0 is the centre of the first pixel.
    wanted = np.array([[4, 6], [12, 6], [12, 10], [4, 10], [4, 6]]) - 0.5
    np.testing.assert_allclose(corners, wanted, atol=1e-5)
    np.testing.assert_allclose(glimpse_boxes(theta[None], 20)[0], [4, 6, 12, 10], atol=1e-5)


def test_every_glance_has_its_colour_above_and_below():
    thetas = boxed((0, 0, 8, 8), (10, 2, 18, 10))
    glimpses = torch.rand(1, 2, 1, 5, 5)
    fig = figures.glances(torch.rand(1, 1, 20, 20), thetas, glimpses, [[7, 3]])
    image, first, second = fig.axes
    assert [line.get_color() for line in image.lines] == list(figures.GLANCES[:2])
    assert [line.is_dashed() for line in image.lines] == [False, True]
    for ax, colour, said, k in ((first, 0, "7", 0), (second, 1, "3", 1)):
        rgb = plt.matplotlib.colors.to_rgba(figures.GLANCES[colour])
        assert (ax.spines["left"].get_linestyle() == "-") == (k == 0)
        assert ax.spines["left"].get_edgecolor() == rgb and ax.get_ylabel() == said
        np.testing.assert_allclose(ax.images[0].get_array(), glimpses[0, k, 0])


def test_sampling_points_lie_where_the_sampler_reads():
    from stn_course import sampling

    theta = torch.tensor([[[0.5, 0.1, 0.2], [-0.1, 0.6, -0.3]]])
    fig = figures.sampling_points(torch.rand(1, 1, 20, 20), theta, torch.rand(1, 1, 4, 6), (4, 6))
    dots = np.stack(fig.axes[1].lines[0].get_data(), 1)
    grid = sampling.affine_grid(theta, (4, 6))[0, ::2, ::2].reshape(-1, 2)
    np.testing.assert_allclose(dots, (grid + 1) * 10 - 0.5, atol=1e-5)
    assert fig.axes[1].lines[0].get_color() == "#d1242f"
    assert [ax.get_ylabel() for ax in fig.axes] == ["input", "read here", "comes out"]


def test_images_that_are_not_square_are_marked_where_they_are_read():
    """Every outline and dot lies where the sampler reads, and the dotted edge around the image."""
    theta = torch.tensor([[[0.5, 0.1, 0.2], [-0.1, 0.6, -0.3]]])
    image, out = torch.rand(1, 1, 20, 36), torch.rand(1, 1, 4, 6)
    grid = affine_grid(theta, (4, 6))[0, ::2, ::2].reshape(-1, 2)
    corners = to_pixels(outline(theta)[0], (20, 36))
    dotted = figures.sampling_points(image, theta, out, (4, 6)).axes[1]
    np.testing.assert_allclose(
        np.stack(dotted.lines[0].get_data(), 1), to_pixels(grid, (20, 36)), atol=1e-5
    )
    drawn = [
        (dotted, 1),
        (figures.glances(image, theta[None], out[None]).axes[0], 0),
        (figures.through_training(image, [(0, theta[None])]).axes[0], 0),
    ]
    for ax, k in drawn:
        np.testing.assert_allclose(ax.lines[k].get_xydata()[:4], corners, atol=1e-5)
        (edge,) = ax.patches
        assert (edge.get_xy(), edge.get_width(), edge.get_height()) == ((-0.5, -0.5), 36, 20)
        assert ax.get_ylim()[0] > 19 and ax.get_ylim()[0] < 30 < ax.get_xlim()[1]


def test_training_goes_across_and_images_down():
    history = [(0, boxed((0, 0, 8, 8))), (1500, boxed((5, 5, 9, 9)))]
    history = [(n, t.repeat(3, 1, 1, 1)) for n, t in history]
    fig = figures.through_training(torch.rand(3, 1, 20, 20), history)
    assert [ax.get_title() for ax in fig.axes][:3] == ["0 rows seen", "1 500 rows seen", ""]
    assert len(fig.axes) == 6
    np.testing.assert_allclose(fig.axes[1].lines[0].get_xdata()[:2], [4.5, 8.5], atol=1e-5)


def test_places_are_drawn_axis_by_axis():
    true = torch.tensor([[[1.0, 2], [3, 4]]])
    left, right = figures.follows(true, true + 10, 20).axes
    assert [line.get_xdata().tolist() for line in left.lines[:2]] == [[1], [3]]
    assert [line.get_ydata().tolist() for line in right.lines[:2]] == [[12], [14]]


def test_the_map_and_the_rows_are_in_percent():
    rows = np.array([[0.25, 0.75, 0, 0]])
    fig = figures.where_digits_stand(np.full((4, 4), 0.5), rows)
    assert fig.axes[0].images[0].get_array().max() == 50
    assert fig.axes[1].lines[0].get_ydata().tolist() == [25, 75]


def test_building_names_its_parts():
    fig = figures.building({"a": np.zeros((5, 5)), "b": np.zeros((2, 5))})
    assert [ax.get_title() for ax in fig.axes] == ["a", "b"]


# ---------------------------------------------------------------- curves
def test_wilson_agrees_with_scipy():
    from scipy import stats

    for k, n in ((0, 10), (3, 40), (199, 200), (50, 50)):
        theirs = stats.binomtest(k, n).proportion_ci(0.95, "wilson")
        assert figures.wilson(k, n) == pytest.approx(tuple(theirs), abs=1e-7)
    with pytest.raises(ValueError, match="k=3, n=2"):
        figures.wilson(3, 2)


def test_errors_are_shares_of_their_groups():
    wrong = np.array([[True, False], [False, False], [True, True], [False, False]])
    clutter = np.array([[0.4, 0.0], [0.0, 0.1], [0.3, 0.2], [0.0, 0.0]])
    tops = np.array([[0, 0], [5, 9], [72, 72], [72, 71]])
    left, middle, right = figures.errors(wrong, tops, clutter, 72, parts=2).axes
    assert left.containers[0].lines[0].get_ydata().tolist() == [50, 25]
    assert middle.containers[0].lines[0].get_ydata() == pytest.approx([50, 0, 200 / 3])
    assert [t.get_text()[:3] for t in middle.get_xticklabels()] == ["top", "nei", "bot"]
    # Without clutter 0 of 4; .1 and .2 make one group (the split is at .3), .3 and .4 the other.
    shares = right.containers[0].lines[0].get_ydata()
    assert shares[0] == 0 and shares[-1] == 100
    assert right.get_xticklabels()[0].get_text() == "none"


def test_groups_of_clutter_with_one_name_are_all_drawn():
    clutter = np.linspace(0.00301, 0.00349, 40).reshape(20, 2)
    wrong = np.zeros((20, 2), bool)
    right = figures.errors(wrong, np.zeros((20, 2)), clutter, 72).axes[2]
    assert len(right.containers[0].lines[0].get_ydata()) == 4
    for same in (0.0, 0.2):  # no clutter at all, and as much everywhere
        right = figures.errors(wrong, np.zeros((20, 2)), 0 * clutter + same, 72).axes[2]
        assert len(right.containers[0].lines[0].get_ydata()) == 1


def run(correct, curves=None):
    fields = {name: {} for name in ("config", "hashes", "probes", "versions")}
    results = {"test/sequences": {"correct": correct, "total": 300, "loss": 0.0, "words": 50}}
    fields |= {"curves": curves or {}, "results": results}
    return RunRecord("x", 0, digits="d", parameters=1, **fields)


def test_sizes_are_two_curves_and_one_without_a_record_says_so():
    curves = {
        "both sides": [[run(297)], [run(285), run(291)], [run(270)]],
        "height alone": [[run(297)], [], [run(288)]],
    }
    (ax,) = figures.against_size(curves, "test/sequences").axes
    means = {line.get_label(): line for line in ax.lines if line.get_label() in curves}
    np.testing.assert_allclose(means["both sides"].get_ydata(), [1, 4, 10])
    np.testing.assert_allclose(means["height alone"].get_ydata(), [1, np.nan, 4])
    dots = [line.get_ydata() for line in ax.lines if line not in means.values()]
    np.testing.assert_allclose(dots[1], [5, 3])
    (said,) = ax.texts
    assert said.get_text() == "height alone:\nnot yet run" and said.get_position()[0] == 1
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "1/2", "1/3"]


def test_what_records_say_of_learning_is_drawn_a_seed_a_line():
    curves = {"glimpse_iou": [0.1, 0.4], "valid_accuracy": [60, 90], "train_loss": [5, 0.5]}
    two = [run(1, curves), run(2, curves | {"glimpse_iou": [0.2, 0.3]})]
    fig = figures.recorded_learning({"ours": two, "theirs": []}, [0.2, 0.4])
    drawn = [[list(line.get_ydata()) for line in ax.lines] for ax in fig.axes]
    assert drawn[0][1:3] == [[0.1, 0.4], [0.2, 0.3]] and drawn[1] == [[40, 10]] * 2
    trained = figures.recorded_learning(
        {"ours": [run(1, curves | {"train_accuracy": [70, 99]})]}, [0.2]
    )
    (solid, dotted) = trained.axes[1].lines
    assert list(dotted.get_ydata()) == [30, 1] and dotted.get_linestyle() == ":"
    assert list(solid.get_ydata()) == [40, 10] and solid.get_linestyle() == "-"
    assert drawn[2] == [[5, 0.5]] * 2 and list(fig.axes[1].lines[0].get_xdata()) == [1, 2]
    assert drawn[0][-1] == pytest.approx([0.3, 0.3])  # the fixed boxes' mean
    said = [text.get_text() for text in fig.legends[0].get_texts()]
    assert said == ["ours", "theirs: not yet run", "best fixed box"]


def test_mean_boxes_are_drawn_from_the_first_record_that_kept_them():
    epochs = [[[0, 0, 100, 100], [k, 0, 50, 100]] for k in range(5)]
    runs = {"a": [run(1), run(2, {"glimpse_boxes": epochs})], "b": [run(1)], "c": []}
    axes = np.array(figures.mean_boxes(runs, 100, moments=4).axes).reshape(3, 4)
    assert [ax.get_title() for ax in axes[0]] == [f"epoch {k}" for k in (1, 2, 3, 5)]
    first, second = axes[0, 2].lines
    assert list(second.get_xdata()) == [2, 50, 50, 2, 2] and first.get_color() != second.get_color()
    for row in axes[1:]:
        assert row[0].get_title() == "not yet run" and not row[0].lines
        assert not any(ax.get_visible() for ax in row[1:])


def test_two_learning_and_sweeps_draw_what_they_get():
    (ax,) = figures.two_learning({"a": ([0, 1], [5, 6]), "b": ([0, 1], [7, 8])}).axes
    assert [list(line.get_ydata()) for line in ax.lines[:2]] == [[5, 6], [7, 8]]
    (only,) = figures.sweeps({"patches": ((0, 4), [90, 80], 4)}).axes
    assert only.get_xlabel() == "patches" and list(only.lines[0].get_ydata()) == [90, 80]
    assert list(only.lines[1].get_xdata()) == [4, 4]
