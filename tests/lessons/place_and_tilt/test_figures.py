"""The figures and helpers of notebook 05 show what they are given."""

import dataclasses

import numpy as np
import pytest
import torch

from stn_course import geometry
from stn_course.data.not_so_clevr import squares
from stn_course.experiments import figures, records, statistics
from stn_course.lessons import pictures
from stn_course.lessons.place_and_tilt import corner_lab, helpers
from stn_course.lessons.place_and_tilt.figures import (
    basin,
    before_after,
    eight_numbers,
    horizon,
    log_curves,
    maps,
    miss_maps,
    quads,
    square_places,
    straightened,
    worked_w,
)
from stn_course.sampling import reference

EYE = torch.eye(3)


def texts(fig):
    return [t.get_text() for ax in fig.axes for t in ax.texts]


# ---------------------------------------------------------------- records
def test_heat_says_means_or_that_nothing_was_run():
    fig = figures.heat(["a", "b"], {"one": [[98.0, 99.0], []], "two": [[97.5], [96.0, 96.0]]})
    assert texts(fig) == ["98.50 ± 0.71", "not yet run", "97.50", "96.00 ± 0.00"]
    assert texts(figures.heat(["a"], {"one": [[]]})) == ["not yet run"]


def test_paired_draws_mean_and_interval():
    a, b = [97.0, 98.0, 97.5], [97.6, 98.4, 98.2]
    pairs = {"x": (dict(enumerate(a)), dict(enumerate(b))), "y": ({}, {})}
    fig = figures.paired_differences(pairs, "points")
    assert texts(fig) == [" not yet run"]
    mean, half = statistics.paired_difference(a, b)
    segment = fig.axes[0].collections[0].get_segments()[0]
    assert segment[:, 0] == pytest.approx([mean - half, mean + half])


def test_pairs_are_of_one_seed_whatever_the_order():
    a, b = {0: 97.0, 7: 98.0, 2: 98.0, 5: 99.0}, {5: 99.5, 1: 10.0, 7: 98.5, 0: 97.5}
    assert statistics.in_both(a, b) == ([97.0, 99.0, 98.0], [97.5, 99.5, 98.5])  # by seed
    told = statistics.difference_in_words("x", a, b)
    assert told == "- x: +0.50 ± 0.00 points over 3 seeds, it helps"
    fig = figures.paired_differences({"x": (a, b)}, "points")
    assert list(fig.axes[0].lines[1].get_xdata()) == [0.5] * 3


def test_seeds_0_2_and_0_1_share_only_0():
    a, b = {0: 97.0, 2: 98.0}, {0: 97.5, 1: 98.5}
    assert statistics.in_both(a, b) == ([97.0], [97.5])
    assert statistics.difference_in_words("x", a, b) == "- x: too few seeds, 1 of at least 3"
    assert statistics.difference_in_words("x", a, {}) == "- x: not yet run"
    assert texts(figures.paired_differences({"x": (a, b)}, "points")) == [
        " too few seeds, 1 of at least 3"
    ]
    assert texts(figures.paired_differences({"x": (a, {})}, "points")) == [" not yet run"]


def test_the_interval_is_that_of_students_t():
    from scipy import stats

    values = [97.0, 98.0, 97.6]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    told = statistics.mean_in_words("x", dict(enumerate(values)))
    assert told == f"- x: {np.mean(values):.2f} ± {(high - low) / 2:.2f} % over 3 seeds"
    assert statistics.mean_in_words("x", {4: 97.0}) == "- x: one seed, so no interval"
    assert statistics.mean_in_words("x", {}) == "- x: not yet run"


@pytest.mark.parametrize(
    ("b", "words"),
    [
        ([97.9, 98.1, 98.0], "no measurable difference"),
        ([99.0, 99.1, 99.05], "it helps"),
        ([97.0, 97.1, 97.05], "it hurts"),
        ([97.0, 99.0], "too few seeds, 2 of at least 3"),
        ([], "not yet run"),
    ],
)
def test_the_sentence_follows_the_interval(b, words):
    told = statistics.difference_in_words(
        "CoordConv", {0: 98.0, 1: 98.0, 2: 98.05}, dict(enumerate(b))
    )
    assert words in told and told.startswith("- CoordConv: ")


def test_accuracies_come_from_records_and_may_be_none():
    assert statistics.by_seed("no-such-run", "test/clean") == {}
    found = statistics.by_seed("invariance-fc", "test/clean")
    assert len(found) >= 5 and found == {
        r.seed: r.accuracy("test/clean") for r in records.load("invariance-fc")
    }


def test_a_square_s_cell_has_its_overlap_where_it_was_drawn(monkeypatch):
    assert helpers.square_cell("regression", "no-such", "uniform") == "not yet run"
    made = records.load("invariance-fc")[:2]
    result = {"test/uniform": {"correct": 50, "total": 100, "loss": 0.1}}
    runs = [
        dataclasses.replace(run, results=result, probes={"test": {"iou": iou}})
        for run, iou in zip(made, (0.8, 0.9), strict=True)
    ]
    monkeypatch.setattr(records, "load", lambda name: runs)
    cell = helpers.square_cell("rendering", "conv", "uniform")
    assert cell == "50.00 ± 0.00 %, IoU 0.85"


def tilted(**medians):
    """Two records: after the transformer the second seed reads a pixel further off."""
    made = records.load("invariance-fc")[:2]
    parts = dict(zip(("written", "common", "inner"), (8.0, 6.0, 4.0), strict=True))
    probes = [
        {
            "before": {part: {"median": off} for part, off in parts.items()},
            "after": {
                part: {"median": medians.get(part, off - 1 + k)} for part, off in parts.items()
            },
            "w": {"smallest": w},
        }
        for k, w in enumerate((0.4, 0.3))
    ]
    pairs = zip(made, probes, strict=True)
    return [dataclasses.replace(run, probes=probe) for run, probe in pairs]


def test_straightening_is_before_once_and_after_of_each_seed(monkeypatch):
    with pytest.raises(LookupError, match="no-such-run has no record"):
        helpers.straightening("no-such-run")
    near, lost = tilted(), tilted(common=None)
    monkeypatch.setattr(records, "load", lambda name: near)
    found, least = helpers.straightening("x")
    assert list(found.values()) == [(8.0, [7.0, 8.0]), (6.0, [5.0, 6.0]), (4.0, [3.0, 4.0])]
    assert least == 0.3
    monkeypatch.setattr(records, "load", lambda name: lost)
    with pytest.raises(ValueError, match="from their common place lies beyond the horizon"):
        helpers.straightening("x")


def test_what_has_no_transformer_has_no_after():
    found, least = helpers.straightening("proj-none")
    assert least is None and all(after == [] for _, after in found.values())


def test_before_is_a_ring_and_after_a_dot_in_each_panel():
    rows = {
        "none": ({"a": (8.0, []), "b": (4.0, [])}, None),
        "tilt": ({"a": (8.0, [9.0, 9.5]), "b": (4.0, [1.0, 2.0])}, 0.25),
    }
    fig = before_after(rows)
    for ax, before, after in zip(fig.axes, (8, 4), ([9, 9.5], [1, 2]), strict=True):
        rings, dots, small = (
            [
                (list(line.get_xdata()), line.get_ydata()[0])
                for line in ax.lines
                if line.get_marker() == marker and len(line.get_xdata())
            ]
            for marker in "oD."
        )
        assert rings == [([before], 0), ([before], 1)]
        assert dots == [([np.mean(after)], 1)] and small[0][0] == after
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == ["none", "tilt\nw ≥ 0.25"]
    assert [ax.get_title() for ax in fig.axes] == ["a", "b"]


def test_a_forest_has_a_panel_a_setting_each_with_its_own_axis():
    a, b = dict(enumerate([97.0, 98.0, 97.5])), dict(enumerate([97.6, 98.4, 98.2]))
    worse = {seed: 2 * other - 97 for seed, other in a.items()}
    panels = {"mild": {"x": (a, b), "y": (b, a)}, "hard": {"x": (a, worse), "y": (a, {})}}
    fig = figures.forest(panels, "points")
    mild, hard = fig.axes
    assert [ax.get_title() for ax in fig.axes] == ["mild", "hard"]
    assert texts(fig) == ["+0.57", "−0.57", "+0.50", " not yet run"]
    for ax, x, y in ((mild, a, b), (hard, a, worse)):
        mean, half = statistics.paired_difference(list(x.values()), list(y.values()))
        segment = ax.collections[0].get_segments()[0]
        assert segment[:, 0] == pytest.approx([mean - half, mean + half])
    assert mild.get_xlim() != hard.get_xlim()
    others = figures.forest({"mild": {"x": (a, b)}, "hard": {"y": (a, b), "z": (b, a)}}, "points")
    named = [[t.get_text() for t in ax.get_yticklabels()] for ax in others.axes]
    assert named == [["x"], ["y", "z"]]


def test_a_fit_comes_nearer_and_a_family_that_holds_the_motion_arrives():
    two = pictures.drawn_two(20, 20).repeat(2, 1, 1, 1)
    moved = reference.warp(two, torch.tensor([[[1.0, 0, 0.2], [0, 1, -0.1]]]).repeat(2, 1, 1))
    start = (pictures.blur(two, 1.0) - pictures.blur(moved, 1.0)).square().sum((1, 2, 3))
    _, some = helpers.fitted(geometry.Affine(), two, moved, 5)
    theta, left = helpers.fitted(geometry.Affine(), two, moved, 150)
    assert (some < start).all() and (left < 0.01 * start).all()
    assert torch.allclose(theta[:, :, 2], torch.tensor([0.2, -0.1]), atol=0.02)
    theta, left = helpers.fitted(geometry.Affine(), two, moved, 0)
    assert torch.allclose(left, start) and torch.equal(theta, geometry.identity(2))


def test_the_dots_are_five_and_narrow():
    page = helpers.dots(48)[0, 0]
    inner = page[1:-1, 1:-1]
    around = torch.stack(
        [page[1 + y : 47 + y, 1 + x : 47 + x] for y, x in ((-1, 0), (1, 0), (0, -1), (0, 1))]
    )
    peaks = ((inner >= around.amax(0)) & (inner > 0.3)).nonzero()
    nearest = torch.cdist(peaks.float(), peaks.float())
    assert len({tuple((row < 3).nonzero()[:, 0].tolist()) for row in nearest}) == 5
    assert page.max() <= 1 and (page > 0.1).float().mean() < 0.05


# ---------------------------------------------------------------- squares
def test_misses_are_distances_in_pixels():
    seen, held = squares("quadrant", canvas=16, side=3)

    class Right(torch.nn.Module):
        def forward(self, points):
            x, y = (((points + 1) * 16 - 1) / 2).round().long().unbind(1)
            logits = torch.zeros(len(points), 256)
            return logits.scatter(1, (16 * y + (x + self.off).clamp(max=15))[:, None], 1.0)

    network = Right()
    for network.off, wanted in ((0, 0), (1, 1)):
        rows = helpers.misses(network, seen, held)
        assert rows.shape == (len(seen) + len(held), 3)
        assert rows[:, 2].max() == wanted
    fig = miss_maps({"right": rows}, 16, 8.5)
    shown = np.ma.filled(fig.axes[0].images[0].get_array(), np.nan)
    assert np.nanmax(shown) == 1 and np.isnan(shown[0, 0])


def test_square_places_shows_both_parts():
    seen, held = squares("quadrant", canvas=16, side=3)
    fig = square_places(seen.images[5], (3, 4), seen.centres, held.centres)
    assert [len(line.get_xdata()) for line in fig.axes[1].lines] == [len(seen), len(held)]
    assert len(maps({"a": np.eye(3), "b": np.zeros((2, 5))}).axes) == 2


# ---------------------------------------------------------------- homographies
def test_corners_read_is_what_the_homography_reads():
    h = torch.tensor([[1, 0, 0], [0, 1, 0], [0.2, -0.4, 1]])
    wanted = torch.tensor([[-5 / 6, -5 / 6], [0.625, -0.625], [1.25, 1.25], [-2.5, 2.5]])
    assert torch.allclose(helpers.corners_read(h), wanted)


def test_worked_w_writes_the_numbers():
    fig = worked_w([[1, 0, 0], [0, 1, 0], [0.2, -0.4, 1]])
    left, right = ([t.get_text() for t in ax.texts] for ax in fig.axes)
    assert left == ["1.2", "1.6", "0.8", "0.4", "1"]
    assert right[2] == "(1.25, 1.25)"


SQUARE = [[-1, -1], [1, -1], [1, 1], [-1, 1]]


def test_w_beside_a_corner_is_that_of_the_homography():
    quad = [[-0.8, -1.0], [0.9, -0.8], [1, 1], [-1, 0.9]]
    h = corner_lab.measures(np.ravel(quad))["H"]
    w = np.array(SQUARE) @ h[2, :2] + 1
    assert texts(quads({"good": quad})) == [f"{value:.2f}" for value in w]


def test_a_degenerate_quad_has_its_zero_in_the_opposite_corner():
    first, third, fourth = SQUARE[0], SQUARE[2], SQUARE[3]

    def crossed(second):
        fig = quads({"q": [first, second, third, fourth]})
        return [(t.get_text(), t.get_fontweight()) for t in fig.axes[0].texts]

    assert crossed([1, -1]) == [("1.00", "normal")] * 4
    line, past = crossed([0, 0]), crossed([-0.2, 0.2])
    assert line[3] == ("✗ 0.00", "bold") and [w for _, w in line[:3]] == ["normal"] * 3
    assert past[3][0].startswith("✗ −") and [w for _, w in past[:3]] == ["normal"] * 3
    assert [text for text, _ in crossed(first)] == ["2.00", "✗ 0.00", "✗ 0.00"]  # twins say it once


def test_straightened_draws_the_quad_that_is_read():
    theta = geometry.to_homogeneous(geometry.affine(scale=2.0))
    images = torch.zeros(1, 1, 28, 28)
    fig = straightened(images, theta, EYE[None], {"out": images})
    true, found = (line.get_xdata() for line in fig.axes[0].lines)
    assert list(true[:2]) == [-0.5, 27.5] and list(found[:2]) == [6.5, 20.5]


def test_the_others_draw():
    page = torch.zeros(28, 28)
    assert len(eight_numbers(page, {"h": (EYE, page)} | {"g": (EYE, page)}).axes) == 8
    fig = horizon(page, {"a": EYE, "b": EYE})
    assert list(fig.axes[2].lines[0].get_ydata()[:2]) == [1, 1]
    assert log_curves({"a": [1, 2]}, "x", "y").axes[0].get_yscale() == "log"
    lines = basin([1, 2], {"a": [100, 0], "b": [100, 50]}).axes[0].lines
    assert list(lines[1].get_ydata()) == [100, 50]


def test_projective_digits_come_with_their_truth():
    from stn_course import data
    from stn_course.data import to_float
    from stn_course.sampling import fused

    digits = data.mnist("test")
    images, labels, theta = helpers.projective(digits, 4, torch.Generator().manual_seed(0))
    index = torch.randint(
        min(helpers.POOL, len(digits.images)), (4,), generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(labels, digits.labels[index])
    again = fused.warp(to_float(digits.images[index]), theta, padding="zeros")
    assert torch.equal(images, again)


def test_the_grid_behind_the_horizon_comes_back_from_the_other_side():
    """`transform_points` refuses these places; the figure is about them."""
    h = torch.eye(3)
    h[2, 0] = 1.2
    above = horizon(np.zeros((8, 8)), {"h31 = 0": EYE, "h31 = 1.2": h}).axes[1]
    top = above.lines[-1]  # from (-1, -1) to (1, -1), in pixels
    unit = (np.stack(top.get_data(), 1) + 0.5) / 4 - 1
    assert unit == pytest.approx(np.array([[5.0, 5], [1 / 2.2, -1 / 2.2]]))
