"""The figures of notebook 03, and its step slider, show what they are given."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from traitlets import TraitError

from stn_course import geometry
from stn_course.lessons.look_straight import figures
from stn_course.lessons.look_straight.player import TrainingPlayer
from stn_course.sampling import outline


def lines(ax):
    return [np.asarray(line.get_xydata()) for line in ax.lines]


def test_the_identity_s_box_is_the_edge_of_the_picture_and_its_top_is_blue():
    _, ax = plt.subplots()
    figures.draw_box(ax, outline(geometry.identity())[0], (28, 28))
    edge, top = lines(ax)
    assert edge.min() == -0.5 and edge.max() == 27.5 and len(edge) == 5
    assert top.tolist() == [[-0.5, -0.5], [27.5, -0.5]]


def told(axes):
    """What stands under pictures: its weight."""
    return {a.get_xlabel(): a.xaxis.label.get_fontweight() for a in axes if a.get_xlabel()}


def test_verdicts_are_crossed_and_bold_where_they_are_wrong():
    images, boxes = np.zeros((4, 8, 8)), outline(geometry.identity(4)).numpy()
    fig = figures.straightened(images, boxes, images, read=[1, 2, 3, 4], labels=[1, 2, 3, 5])
    assert told(fig.axes) == dict.fromkeys("123", "normal") | {"✗4": "bold"}


def test_each_entry_of_theta_has_its_plot_and_each_digit_its_line():
    thetas = torch.arange(3 * 2 * 6.0).view(3, 2, 2, 3)
    fig = figures.theta_paths([0, 10, 20], thetas, [-30.0, 30.0], "turned")
    for k, name in enumerate(figures.ENTRIES):
        ax = fig.axes[k]
        assert ax.get_title() == name
        one, other = lines(ax)[:2]
        assert one[:, 1].tolist() == thetas[:, 0, k // 3, k % 3].tolist()
        assert other[:, 1].tolist() == thetas[:, 1, k // 3, k % 3].tolist()
    assert [line.get_linestyle() for line in fig.axes[0].lines[:2]] == ["--", "-"]
    assert len({ax.get_ylim() for ax in fig.axes[:6]}) == 1  # what is small looks small
    colours = [line.get_color() for line in fig.axes[0].lines[:2]]
    assert colours[0][2] > colours[0][0] and colours[1][0] > colours[1][2]  # blue, red


def test_the_line_of_the_angles_lies_by_the_offset_beside_the_truth():
    fig = figures.angles([-50.0, 50.0], [-40.0, 60.0], 10.0)
    truth, moved, dots = lines(fig.axes[0])
    assert (moved[:, 1] - truth[:, 1]).tolist() == [10, 10]
    assert dots.tolist() == [[-50, -40], [50, 60]]


def test_each_mean_is_drawn_up_to_its_own_ink():
    fig = figures.averages({"a": torch.full((4, 4), 0.5), "b": np.eye(4)}, {})
    assert [ax.images[0].get_clim() for ax in fig.axes] == [(0, 0.5), (0, 1)]


def run(theta, n=6):
    looks = SimpleNamespace(
        inputs=np.zeros((n, 40, 40), np.uint8), read=np.arange(n), labels=np.zeros(n, int)
    )
    thetas = torch.stack([geometry.identity(n), theta.expand(n, 2, 3)])
    return SimpleNamespace(
        looks=looks,
        outputs=np.zeros((n, 28, 28)),
        boxes=outline(thetas[-1]).numpy(),
        steps=[0, 300],
        thetas=thetas,
        losses=[2.0] * 150 + [1.0] * 150,
        distances=(thetas - geometry.identity()).flatten(2).norm(dim=2),
    )


def test_an_exhibit_stands_beside_the_sound_run():
    broken, sound = run(geometry.affine(scale=0.5)), run(geometry.identity())
    fig = figures.exhibit(broken, sound)
    loss, way = fig.axes[-2:]
    assert [t.get_text() for t in loss.get_legend().get_texts()] == ["sound run", "this one"]
    assert [line.get_linestyle() for ax in (loss, way) for line in ax.lines] == ["--", "-"] * 2
    assert told(fig.axes[:-2]) == {"0": "normal"} | {f"✗{k}": "bold" for k in range(1, 5)}
    assert lines(way)[0][:, 1].tolist() == [0, 0]
    assert lines(way)[1][-1, 1] == pytest.approx(2**0.5, abs=1e-5)


@pytest.mark.parametrize("theta", [geometry.affine(scale=0.05), geometry.affine(shift=(5.0, -3.0))])
def test_of_an_exhibit_the_whole_box_is_in_sight_however_far_it_went(theta):
    broken, sound = run(theta), run(geometry.identity())
    for ax in figures.exhibit(broken, sound).axes[:5]:
        (edge,) = ax.patches
        box = ax.lines[0].get_xydata()
        for low, high, of in ((*ax.get_xlim(), box[:, 0]), (*ax.get_ylim()[::-1], box[:, 1])):
            assert low < of.min() and of.max() < high
            assert low < -0.5 and 39.5 < high  # and the picture itself
        assert edge.get_width() == 40
        assert np.ptp(ax.get_xlim()) == pytest.approx(-np.diff(ax.get_ylim())[0])  # square


def test_a_box_like_its_picture_is_drawn_as_large_as_ever():
    same = run(geometry.identity())
    assert figures.exhibit(same, same).axes[0].get_xlim() == pytest.approx((-12.5, 51.5))


def test_the_lean_is_a_line_beside_the_plumb_line_counter_clockwise():
    images = dict.fromkeys(("as written", "as they come", "read"), np.eye(5))
    fig = figures.averages(images, {"as written": 0.0, "read": 30.0})
    written, come, read = ([line.get_xydata() for line in ax.lines] for ax in fig.axes)
    assert len(written) == 1 and np.ptp(written[0][:, 0]) == 0 and come == []
    plumb, leans = read
    assert np.ptp(plumb[:, 0]) == 0
    (x0, y0), (x1, y1) = leans
    assert y0 < y1 and x0 < x1  # its top, y down the page, went to the left
    assert (x1 - x0) / (y1 - y0) == pytest.approx(np.tan(np.radians(30)))
    assert [ax.get_xlabel() for ax in fig.axes] == ["", "", "leans by +30°"]


def test_unknown_runs_have_letters_and_no_names():
    fig = figures.unknown_runs({"A": run(geometry.identity()), "B": run(geometry.affine(9))})
    assert [ax.get_title() for ax in fig.axes if ax.get_title()] == ["A", "B"]


def test_each_kind_has_a_column_with_its_name_and_its_images():
    made = {"as it came": np.zeros((1, 1, 5, 5)), "zoom": np.eye(5)[None, None].repeat(3, 0)}
    columns = np.array(figures.kinds(made).axes).reshape(3, 2).T
    assert [column[0].get_title() for column in columns] == ["as it came", "zoom"]
    assert [len(ax.images) for column in columns for ax in column] == [1, 0, 0, 1, 1, 1]
    assert (columns[1, 2].images[0].get_array() == np.eye(5)).all()


def test_pairs_show_both_boxes_on_both_channels_and_the_sum():
    boxes = np.stack([outline(geometry.affine(scale=z))[0].numpy() for z in (1.0, 2.0)])
    seen = SimpleNamespace(
        inputs=np.zeros((2, 8, 16), np.uint8),
        outputs=np.arange(288).astype(np.uint8).reshape(2, 6, 24),
        boxes=np.stack([boxes, boxes]),
        channels=2,
        read=np.array([3, 4]),
        labels=np.array([3, 5]),
    )
    first, second = np.array(figures.pairs(seen).axes).reshape(3, 2).T
    drawn = [line for line in first[0].lines if len(line.get_xdata()) > 2]
    assert [line.get_color() for line in drawn] == [figures.BOX] * 2 + [figures.TOP] * 2
    assert [line.get_linestyle() for line in drawn] == ["-", "-", "--", "--"]
    assert [line.get_xdata().min() for line in drawn] == [-0.5, 7.5, 1.5, 9.5]
    shown = np.asarray(first[1].images[0].get_array())
    assert np.allclose(255 * shown, seen.outputs[0][:, :12])
    assert told([first[2], second[2]]) == {"sum 3": "normal", "sum ✗4": "bold"}


def test_hands_that_mirror_are_dashed():
    poses = [
        {"angle_mean": angle, "mirrored": flipped, "angle_sd": 10.0}
        for angle, flipped in ((0.0, 0.1), (90.0, 0.9))
    ]
    fig = figures.starts({"HR's net": poses, "another": []})
    hands = [line for line in fig.axes[0].lines if len(line.get_xdata()) == 2]
    assert [h.get_linestyle() for h in hands] == ["-", "--"]
    assert hands[1].get_xdata()[0] == pytest.approx(np.pi / 2)
    assert [ax.get_title() for ax in fig.axes] == ["HR's net", "another: not yet run"]
    assert not fig.axes[1].lines


def test_the_edge_of_the_picture_is_drawn_and_the_box_stays_in_sight():
    wide = geometry.affine(scale=2 / 3)  # the box reaches a quarter of a side beyond the picture
    fig = figures.straightened(
        np.zeros((2, 9, 9)), outline(wide).repeat(2, 1, 1), np.zeros((2, 9, 9))
    )
    above = fig.axes[0]
    (edge,) = above.patches
    assert edge.get_xy() == (-0.5, -0.5) and (edge.get_width(), edge.get_height()) == (9, 9)
    drawn = above.lines[0].get_xydata()
    assert drawn.min() >= min(above.get_xlim()) and drawn.max() <= max(above.get_xlim())


def test_found_boxes_and_cells_are_where_they_are():
    box, cell = [[10, 20, 38, 48]] * 8, [[12, 22, 40, 50]] * 8
    fig = figures.found(np.zeros((8, 1, 84, 84)), box, cell, [0.8] * 8)
    dashed, solid = fig.axes[0].patches
    assert dashed.get_xy() == (11.5, 21.5) and solid.get_xy() == (9.5, 19.5)
    assert fig.axes[0].get_title() == "IoU 0.80"


def test_the_player_holds_what_the_page_draws():
    images = torch.rand(2, 1, 28, 28) * 1.1  # a little outside [0, 1], as interpolation may be
    thetas = torch.stack([geometry.identity(2), geometry.affine(scale=2.0, batch=2)])
    player = TrainingPlayer(images.requires_grad_(), thetas, [0, 50])
    assert player.step == 1 and player.steps == [0, 50] and player.picture == -1
    assert player.thetas[0] == [[1, 0, 0, 0, 1, 0], [0.5, 0, 0, 0, 0.5, 0]]
    assert repr(player) == "TrainingPlayer(2 digits, 2 steps)"
    with pytest.raises(ValueError, match=r"thetas \[2, 2, 2, 3\] for 3 steps and 2 images"):
        TrainingPlayer(images, thetas, [0, 1, 2])
    with pytest.raises(ValueError, match=r"thetas \[2, 0, 2, 3\] for 2 steps and 0 images"):
        TrainingPlayer(images[:0], thetas[:, :0], [0, 50])
    with pytest.raises(TraitError, match=r"step must be 0..1, got 2"):
        player.step = 2
    with pytest.raises(TraitError, match=r"picture must be -1..-1, got 0"):
        player.picture = 0
