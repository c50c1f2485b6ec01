"""The recipes of notebook 03 against SciPy, and their draws against what is stated of them."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import map_coordinates

from stn_course import data, geometry
from stn_course.data import distortions, recipes
from stn_course.sampling import fused
from tests.support import uniform

CORNERS = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
SIDE = 28


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def digits(n=100):
    """The first real digits of the test set, in [0, 1]."""
    return data.mnist("test").images[:n].float() / 255


def blobs(n, size=SIDE, seed=0):
    return torch.rand(n, 1, size, size, generator=seeded(seed))


def centres(n):
    """(x, y) of the pixel centres of an n x n canvas, row by row, [-1, 1] at the edges."""
    one = (2 * np.arange(n) + 1) / n - 1
    return np.stack(np.meshgrid(one, one), -1).reshape(-1, 2)  # [n*n, 2]


def read(image, places, n):
    """SciPy reads `image` at (x, y) `places`, black outside.  # [n, n]"""
    pixels = ((places + 1) * len(image) - 1) / 2
    return map_coordinates(image, pixels[:, ::-1].T, order=1, mode="grid-constant").reshape(n, n)


def places(theta, n):
    """Where the pixels of an n x n canvas are read: matrices by NumPy, splines by SciPy."""
    theta, canvas = theta.double().numpy(), centres(n)
    if theta.shape == (16, 2):
        one = np.linspace(-1, 1, 4)
        points = np.stack(np.meshgrid(one, one), -1).reshape(-1, 2)
        return RBFInterpolator(points, points + theta, kernel="thin_plate_spline", degree=1)(canvas)
    uvw = np.concatenate([canvas, np.ones((n * n, 1))], 1) @ theta.T
    return uvw[:, :2] / uvw[:, 2:] if theta.shape[0] == 3 else uvw


@pytest.mark.parametrize("name", ["hr", "r", "rts", "p", "e"])
def test_recipe_is_what_scipy_reads_by_its_theta(name):
    images = digits()
    made = data.DISTORTIONS[name](images, seeded(3))
    n = {"hr": 40, "rts": 42}.get(name, SIDE)
    assert made.images.shape == (100, 1, n, n)
    for x, y, theta in zip(images, made.images, made.theta, strict=True):
        slow = read(x[0].double().numpy(), places(theta, n), n)
        assert np.abs(slow - y[0].numpy()).max() < 2e-4
    again = fused.warp(images, made.theta, (n, n), padding="zeros")
    assert torch.equal(again, made.images)


def content(ranges, canvas=1.0, n=20_000):
    """The motion of the content, [n, 3, 3], by NumPy's inverse."""
    theta = distortions.draw_affine(ranges, n, seeded()).double() * canvas
    return np.linalg.inv(geometry.to_homogeneous(theta).numpy())


def test_hr_draws_r_t_s_z_in_this_order():
    m = content(distortions.HR)
    angle = np.arctan2(m[:, 1, 0], m[:, 0, 0])  # the shear leaves the x axis alone
    cos, sin = np.cos(angle), np.sin(angle)
    turn_back = np.stack([np.stack([cos, sin], 1), np.stack([-sin, cos], 1)], 1)
    upper, shift = turn_back @ m[:, :2, :2], (turn_back @ m[:, :2, 2:])[..., 0]
    uniform(np.degrees(angle), -30, 30)
    uniform(upper[:, 0, 0], 0.8, 1.2)
    shear = np.arctan2(-upper[:, 0, 1], upper[:, 1, 1])  # zy (-sin, cos)
    uniform(np.degrees(shear), -20, 20)
    uniform(np.hypot(upper[:, 0, 1], upper[:, 1, 1]), 0.8, 1.2)
    # The shift comes before the turn: turned back it fills its box of 10 px of 40.
    for axis in (0, 1):
        uniform(shift[:, axis] * 20, -10, 10)
    assert np.abs(m[:, :2, 2] * 20).max() > 11  # turned along, it does not stay in that box
    drawn = np.stack([angle, upper[:, 0, 0], shear, upper[:, 1, 1], *shift.T])
    assert np.abs(np.corrcoef(drawn)[0, [2, 4, 5]]).max() < 0.03


def test_r_and_rts_draw_what_the_paper_states():
    m = content(distortions.R)
    assert np.abs(m[:, :2, 2]).max() < 1e-6 and np.allclose(np.linalg.det(m), 1, atol=1e-5)
    uniform(np.degrees(np.arctan2(m[:, 1, 0], m[:, 0, 0])), -90, 90)
    m = content(distortions.RTS)
    uniform(np.hypot(m[:, 0, 0], m[:, 1, 0]), 0.7, 1.2)
    assert np.allclose(m[:, 0, 0], m[:, 1, 1], atol=1e-5)  # one scale for both axes
    uniform(np.degrees(np.arctan2(m[:, 1, 0], m[:, 0, 0])), -45, 45)
    for axis in (0, 1):
        uniform(m[:, axis, 2] * 21, -7, 7)  # the 28x28 cell, anywhere on 42x42
    # A canvas larger than the digit leaves the digit as large as it was.
    made = distortions.rts(blobs(50), seeded())
    scale = 1 / made.theta[:, :, :2].double().det().sqrt()
    assert 0.7 <= (scale * 42 / 28).min() and (scale * 42 / 28).max() <= 1.2


def carried(theta):
    """Where the content carries the frame's corners, by NumPy.  # [n, 4, 2]"""
    uvw = np.linalg.inv(theta.double().numpy()) @ np.c_[CORNERS, np.ones(4)].T
    return (uvw[:, :2] / uvw[:, 2:]).transpose(0, 2, 1)


def test_p_moves_corners_by_five_pixels():
    theta = distortions.draw_projective(20_000, seeded(), scale=(1.0, 1.0))
    assert torch.allclose(theta[:, 2, 2], torch.ones(20_000))
    moved = (carried(theta) - CORNERS) * SIDE / 2  # px
    assert np.abs(moved.mean(0)).max() < 0.3
    assert (4.7 < moved.std(0)).all() and (moved.std(0) < 5.05).all()  # a little below 5
    flat = moved.reshape(len(moved), 8)
    off = np.corrcoef(flat.T) - np.eye(8)
    assert np.abs(off).max() < 0.08
    still = distortions.draw_projective(20_000, seeded(), pixels=0.0).numpy()
    uniform(1 / still[:, 0, 0], 0.75, 1)
    assert np.allclose(still[:, 0, 0], still[:, 1, 1]) and np.abs(still[:, 2, :2]).max() < 1e-6


def solved(quad):
    """The homography from the frame's corners to `quad` by eight linear equations."""
    rows, right = [], []
    for (x, y), (u, v) in zip(CORNERS, quad, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return np.append(np.linalg.solve(rows, right), 1).reshape(3, 3)


def test_p_rejects_what_cannot_be_drawn_and_nothing_else():
    noise = torch.randn(2000, 4, 2, generator=seeded(1), dtype=torch.float64)
    quads = torch.from_numpy(CORNERS) + 2 * 5 / SIDE * noise
    verdict = []
    for quad in quads.numpy():
        edges = np.roll(quad, -1, 0) - quad
        after = np.roll(edges, -1, 0)
        convex = (edges[:, 0] * after[:, 1] - edges[:, 1] * after[:, 0] > 0).all()
        # The horizon: output corners must be in front, for the inverse that makes the picture.
        back = np.linalg.inv(solved(quad))
        w = np.c_[CORNERS, np.ones(4)] @ back[2] * np.sign(back[2, 2])
        verdict.append(convex and (w > 0).all())
    assert distortions._reading(quads)[1].tolist() == verdict
    assert np.mean(verdict) == pytest.approx(1 - 1 / 24, abs=0.01)
    theta = distortions._reading(quads)[0][verdict]
    frame = torch.from_numpy(CORNERS).expand(len(theta), 4, 2)
    slow = geometry.invert(geometry.homography_from_corners(frame, quads[verdict]))
    torch.testing.assert_close(theta, slow / slow[:, 2:, 2:], rtol=1e-8, atol=1e-8)
    mirrored = torch.from_numpy(CORNERS[[1, 0, 3, 2]])[None]
    assert distortions._reading(mirrored)[1].tolist() == [False]


def test_e_moves_sixteen_points_by_one_and_a_half_pixels():
    noise = distortions.draw_elastic(20_000, seeded(), scale=(1.0, 1.0)).numpy() * SIDE / 2
    assert np.abs(noise.mean(0)).max() < 0.05
    assert noise.std(0) == pytest.approx(1.5 * np.ones((16, 2)), rel=0.03)
    offsets = distortions.draw_elastic(20_000, seeded(), pixels=0.0)
    points = geometry.control_points((4, 4))
    width = np.ptp((offsets + points)[:, :, 0].numpy(), axis=1)
    uniform(2 / width, 0.75, 1)
    both = distortions.draw_elastic(5000, seeded(), scale=(0.5, 0.5)) - points
    assert both.std().item() * SIDE / 2 == pytest.approx(2 * 1.5, rel=0.02)  # read in the original


def test_frozen_is_drawn_once_with_its_truth():
    images = (blobs(30) * 255).to(torch.uint8)
    labels = torch.arange(30) % 10
    for name in ("hr", "p", "e"):
        made, same = data.freeze(name, images, labels, seed=4, batch=8)
        assert made.images.dtype == torch.uint8 and torch.equal(same, labels)
        size = recipes.shape(name)[1:]
        again = fused.warp(images.float() / 255, made.theta, size, padding="zeros")
        assert (again * 255 - made.images.float()).abs().max() <= 0.501
    for name in ("tc", "colocalisation"):
        made, same = data.freeze(name, images, labels, seed=4, batch=8)
        assert made.boxes.shape == (30, 4) and torch.equal(same, labels)
    made, sums = data.freeze("addition", images, labels, seed=4, batch=8)
    assert made.images.shape == (30, 2, 42, 42) and torch.equal(sums, made.labels)


NO_LABELS = {
    "floats": (torch.zeros(3), TypeError, "labels must be a tensor of whole numbers, got"),
    "truth values": (torch.zeros(3).bool(), TypeError, "whole numbers, got torch.bool"),
    "an array": (np.zeros(3, int), TypeError, "whole numbers, got ndarray"),
    "none": (None, TypeError, "whole numbers, got NoneType"),
    "one for all": (torch.zeros(1).long(), ValueError, r"labels have shape \[1\]; wanted \[3\]"),
    "no axis": (torch.tensor(3), ValueError, r"labels have shape \[\]; wanted \[3\]"),
}


@pytest.mark.parametrize("name", ["r", "tc", "cluttered", "addition"])
@pytest.mark.parametrize("labels, kind, words", NO_LABELS.values(), ids=NO_LABELS)
def test_what_is_no_label_is_refused_by_every_recipe(name, labels, kind, words):
    images = torch.zeros(3, 1, SIDE, SIDE)
    with pytest.raises(kind, match=words):
        recipes.make(name, images, labels, seeded())
    with pytest.raises(kind, match=words):
        data.freeze(name, images.byte(), labels, seed=0)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.uint16])
def test_narrow_labels_come_out_wide(kind):
    images, labels = torch.zeros(3, 1, SIDE, SIDE), torch.tensor([7, 0, 9])
    for name in ("r", "tc"):
        for _, found in (
            recipes.make(name, images, labels.to(kind), seeded()),
            data.freeze(name, images.byte(), labels.to(kind), seed=0),
        ):
            assert found.dtype == torch.int64 and torch.equal(found, labels)


@pytest.mark.parametrize("name", [*data.DISTORTIONS, *data.TASKS])
def test_shape_by_name_and_an_empty_batch(name):
    wanted = {"hr": (1, 40, 40), "rts": (1, 42, 42), "tc": (1, 60, 60), "addition": (2, 42, 42)}
    wanted |= {"cluttered": (1, 40, 40), "sequences": (1, 100, 100)}
    wanted |= {"colocalisation": (1, 84, 84), "words": (3, 32, 96)}
    wanted |= {"words-straight": (3, 32, 96)}
    assert recipes.shape(name) == wanted.get(name, (1, SIDE, SIDE))
    none = torch.zeros(0, 1, SIDE, SIDE, dtype=torch.uint8)
    made, labels = data.freeze(name, none, torch.zeros(0, dtype=torch.long), seed=0)
    assert made.images.shape == (0, *recipes.shape(name)) and len(labels) == 0


@pytest.mark.parametrize("name", [*data.DISTORTIONS, *data.TASKS])
def test_how_many_labels_an_image_has_and_of_how_many_classes(name):
    wanted = {"addition": (1, 19), "sequences": (3, 10), "words": (5, 24)}
    wanted = (wanted | {"words-straight": (5, 24)}).get(name, (1, 10))
    assert recipes.answers(name) == wanted
    its = torch.arange(200) % 10
    if name in recipes.BASES:
        its = recipes.base(name, "test").labels[:200]
    made, labels = recipes.make(name, blobs(200), its, seeded())
    assert labels.view(200, -1).shape[1] == wanted[0] and labels.max() < wanted[1]
    assert labels.max() > 0.75 * wanted[1]


def test_each_kind_alone_does_that_and_nothing_else():
    n = 500
    made = data.kinds(blobs(n), seeded())
    assert list(made) == ["rotation", "shear", "shift", "zoom", "perspective", "elastic"]
    theta = {name: one.theta for name, one in made.items()}
    eye = torch.eye(2)
    product = theta["rotation"][:, :, :2] @ theta["rotation"][:, :, :2].mT
    assert torch.allclose(product, eye.expand(n, 2, 2), atol=1e-5)
    assert (theta["shift"][:, :, :2] == eye).all()
    for name in ("rotation", "shear", "zoom"):
        assert not theta[name][:, :, 2].any()
    assert not theta["zoom"][:, [0, 1], [1, 0]].any() and not theta["shear"][:, 1, 0].any()
    corners = carried(theta["perspective"]) - CORNERS
    assert np.abs(corners.mean()) < 0.05 and corners.std() * SIDE / 2 == pytest.approx(4.9, abs=0.3)
    assert theta["elastic"].std().item() * SIDE / 2 == pytest.approx(1.5, rel=0.05)
    for one in made.values():
        assert one.images.shape == (n, 1, SIDE, SIDE)


def test_gentle_is_small_and_its_spline_is_the_motion_of_the_picture():
    images = blobs(200)
    made = data.DISTORTIONS["gentle"](images, seeded())
    again = fused.warp(images, made.theta, padding="zeros")
    assert torch.equal(made.images, again)
    moved = made.theta.norm(dim=2).mean() * SIDE / 2  # pixels
    assert 1 < moved < 4


@pytest.mark.parametrize(
    "ranges", [*distortions.HARD, *distortions.MILD, distortions.HR, distortions.R, distortions.RTS]
)
def test_the_closed_form_is_the_motion_of_geometry(ranges):
    drawn = distortions._drawn(ranges, torch.rand(6, 500, generator=seeded(4)).double())
    angle, shear, zoom_x, zoom_y, tx, ty = drawn
    scale = torch.stack([zoom_x, zoom_y * torch.cos(torch.deg2rad(shear))], 1)
    shift = torch.stack([tx, ty], 1)
    slow = geometry.affine(angle, scale, -shear, shift, order=ranges.order)
    fast = distortions._reading_of(drawn, ranges.order)
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", ["TRSZ", "RTSZ"])
@pytest.mark.parametrize("size", [(40, 100), (31, 17), (28, 28)])
def test_the_closed_form_turns_pixels(order, size):
    ranges = distortions.Ranges((0.5, 1.3), (0.5, 1.3), 0.3, 75, 30, order=order)
    drawn = distortions._drawn(ranges, torch.rand(6, 200, generator=seeded(4)).double())
    angle, shear, zoom_x, zoom_y, tx, ty = drawn
    scale = torch.stack([zoom_x, zoom_y * torch.cos(torch.deg2rad(shear))], 1)
    shift = torch.stack([tx, ty], 1)
    slow = geometry.affine(angle, scale, -shear, shift, order=order, size=size)
    torch.testing.assert_close(
        distortions._reading_of(drawn, order, size), slow, rtol=1e-12, atol=1e-12
    )
    if size[0] == size[1]:
        assert torch.equal(
            distortions._reading_of(drawn, order, size), distortions._reading_of(drawn, order)
        )


def pixel_motion(theta, size, canvas):
    """What a theta does to the content, in pixels.  # [n, 2, 2]"""
    return np.linalg.inv(geometry.to_pixels(theta.double(), size, canvas)[:, :, :2].numpy())


@pytest.mark.parametrize("size", [(28, 56), (30, 20), (28, 28)])
@pytest.mark.parametrize(
    ("name", "low", "high"), [("r", 1, 1), ("rts", 0.7, 1.2), ("pose", 0.5, 1.5)]
)
def test_turned_digits_keep_their_shape_on_any_canvas(name, low, high, size):
    made = data.DISTORTIONS[name](torch.rand(300, 1, *size, generator=seeded()), seeded(1))
    canvas = tuple(made.images.shape[2:])
    assert canvas == ((42, 42) if name == "rts" else size)
    m = pixel_motion(made.theta, size, canvas)
    square = m @ m.transpose(0, 2, 1)
    assert np.abs(square - square[:, :1, :1] * np.eye(2)).max() < 1e-4
    zoom = np.sqrt(square[:, 0, 0])
    assert low - 1e-4 < zoom.min() and zoom.max() < high + 1e-4
    if low < high:
        assert zoom.std() > 0.2 * (high - low)


def test_hr_and_the_mixtures_shear_and_turn_pixels():
    size = (28, 56)
    images = torch.rand(2000, 1, *size, generator=seeded())
    m = pixel_motion(data.DISTORTIONS["hr"](images, seeded(1)).theta, size, (40, 40))
    uniform(np.degrees(np.arctan2(m[:, 1, 0], m[:, 0, 0])), -30, 30)
    uniform(np.hypot(m[:, 0, 0], m[:, 1, 0]), 0.8, 1.2)
    for name, least in (("hard", 75), ("mild", 60)):
        m = pixel_motion(data.DISTORTIONS[name](images, seeded(1)).theta, size, size)
        angle = np.degrees(np.arctan2(m[:, 1, 0], m[:, 0, 0]))
        assert least - 2 < angle.max() <= least + 1e-3 and -angle.min() <= least + 1e-3


@pytest.mark.parametrize("size", [(28, 56), (40, 20)])
def test_perspective_and_elastic_move_by_pixels(size):
    theta = distortions.draw_projective(20_000, seeded(), size, scale=(1.0, 1.0))
    half = np.array(size[::-1]) / 2
    off = (carried(theta) - CORNERS) * half
    # Corners that would fold are drawn again, mostly those that moved far along the short side.
    assert off.reshape(-1, 2).std(0) == pytest.approx([5, 5], rel=0.12)
    noise = distortions.draw_elastic(20_000, seeded(), size, scale=(1.0, 1.0)).numpy() * half
    assert noise.reshape(-1, 2).std(0) == pytest.approx([1.5, 1.5], rel=0.02)
    made = data.kinds(torch.rand(500, 1, *size, generator=seeded()), seeded())
    m = pixel_motion(made["rotation"].theta, size, size)
    assert np.abs(m @ m.transpose(0, 2, 1) - np.eye(2)).max() < 1e-4
    unit = half * 28 / min(size)
    noise = made["elastic"].theta.numpy() * unit
    assert noise.reshape(-1, 2).std(0) == pytest.approx([1.5, 1.5], rel=0.05)
    gentle = data.DISTORTIONS["gentle"](torch.rand(500, 1, *size, generator=seeded()), seeded())
    x, y = np.abs(gentle.theta.numpy() * half).mean((0, 1))
    assert 1 < min(x, y) and max(x, y) < 6


def test_an_order_that_is_not_drawn_is_refused():
    with pytest.raises(ValueError, match="order='ZTRS'; wanted 'TRSZ' or 'RTSZ'"):
        distortions.draw_affine(distortions.Ranges(order="ZTRS"), 2, seeded())


def test_a_set_is_written_as_it_is_frozen(tmp_path, monkeypatch):
    few = data.mnist("valid")
    few = dataclasses.replace(few, images=few.images[:7], labels=few.labels[:7])
    monkeypatch.setattr(recipes, "mnist", lambda split: few)
    shapes = data.write_npz("hard", tmp_path / "hard.npz", "valid", seed=3)
    kept = np.load(tmp_path / "hard.npz")
    wanted, labels = data.freeze("hard", few.images, few.labels, 3)
    assert np.array_equal(kept["images"], wanted.images.numpy())
    assert np.array_equal(kept["theta"], wanted.theta.numpy())
    assert kept["labels"].tolist() == labels.tolist() and "digits" in str(kept["digits"])
    read = data.read_npz(tmp_path / "hard.npz")
    assert read.keys() == {"images", "labels", "theta", "digits"}
    assert all(np.array_equal(read[name], kept[name]) for name in read)
    assert shapes["images"] == (7, 1, 28, 28) and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ValueError, match="wanted a name that ends in .npz"):
        data.write_npz("hard", tmp_path / "hard")
    with pytest.raises(ValueError, match="'none'"):
        data.write_npz("none", tmp_path / "none.npz")
