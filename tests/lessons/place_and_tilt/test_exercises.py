"""Answers to notebook 05's exercises as people write them, beyond the registered ones."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stn_course import geometry, models, sampling
from stn_course.lessons.checking import check, find
from stn_course.lessons.place_and_tilt.exercises import alike, best_accuracy
from tests.support import rejection

KEYS = ("5.1", "5.2", "5.3", "5.4", "5.5")


# ---------------------------------------------------------------- right, written otherwise
def corner_offsets(raw):
    """5.5 by four corners instead of eight numbers."""
    return geometry.Corners(0.4)(raw)


def up_or_down(digits, generator):
    labels = torch.randint(2, (len(digits),), generator=generator)
    far = [int(n) for n in 3 + 5 * labels]
    return torch.stack([d.roll(n, -2) for d, n in zip(digits, far, strict=True)]), labels


def by_singular_vector(src, dst):
    if not geometry.quads_fit(src[None], src[None]) or not geometry.quads_fit(dst[None], dst[None]):
        raise ValueError("degenerate")
    rows = []
    for (x, y), (u, v) in zip(src.tolist(), dst.tolist(), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y, -u], [0, 0, 0, x, y, 1, -v * x, -v * y, -v]]
    h = torch.linalg.svd(torch.tensor(rows, dtype=src.dtype))[2][-1]
    return (h / h[-1]).view(3, 3)


RIGHT = {
    "5.1": models.add_coords,
    "5.2": up_or_down,
    "5.3": sampling.homography_grid,
    "5.4": by_singular_vector,
    "5.5": corner_offsets,
}


@pytest.mark.parametrize("key", KEYS)
def test_other_right_answers_pass(key, capsys):
    assert check(key, RIGHT[key]) is RIGHT[key]
    assert f"{key}: right." in capsys.readouterr().out


def test_the_package_heads_pass_as_finished():
    start = geometry.Homography().identity()
    check("5.5", lambda raw: geometry.Homography()(raw + start.to(raw)))


# ---------------------------------------------------------------- wrong, written otherwise
def test_degenerate_quads_are_tried_on_both_sides():
    exercise = find("5.4")
    told = [exercise.outcome(exercise.solution, case) for case in exercise.inputs()]
    refused = [answer for answer in told if isinstance(answer, str)]
    assert len(refused) == 24  # twelve, in float64 and in float32
    assert len(told) == 124


def equations(src, dst):
    """The eight of the four points, for h11 ... h32: their left sides [8, 8]."""
    rows = []
    for (x, y), (u, v) in zip(src.tolist(), dst.tolist(), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return torch.tensor(rows, dtype=src.dtype)


def test_a_solver_that_raises_its_own_error_is_told_to_raise_value_error():
    def answer(src, dst):
        h = torch.linalg.solve(equations(src, dst), dst.flatten())
        return torch.cat([h, h.new_ones(1)]).view(3, 3)

    told = rejection("5.4", answer)
    assert "refuse a quad" in told or "raise ValueError" in told


def test_refusing_everything_is_wrong():
    def answer(src, dst):
        raise ValueError("no")

    assert "raised ValueError: no (line" in rejection("5.4", answer)


def test_normalising_over_the_batch_is_named():
    def answer(raw):
        eye = torch.eye(3).flatten()[:8].to(raw)
        nine = torch.cat([raw + eye, torch.ones_like(raw[:, :1])], 1)
        return F.normalize(nine, dim=0).view(-1, 3, 3)

    assert "5.5: " in rejection("5.5", answer)


def test_a_bound_that_two_tilts_together_break_is_wrong():
    def answer(raw):
        tilt = 0.9 * torch.tanh(raw[:, 6:])  # 0.9 each, 1.8 together
        start = raw.new_tensor([1, 0, 0, 0, 1, 0]) + raw[:, :6]
        return torch.cat([start, tilt, torch.ones_like(raw[:, :1])], 1).view(-1, 3, 3)

    assert "w is 0 on the output" in rejection("5.5", answer)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            lambda d, g: (d[:, 0], torch.zeros(len(d), dtype=torch.int64)),
            "pictures are torch.float32 [120, 28, 28]; wanted torch.float32 [120, 1, 28, 28]",
        ),
        (lambda d, g: (d.half(), torch.zeros(len(d)).long()), "pictures are torch.float16 [120"),
        (lambda d, g: (d.numpy(), torch.zeros(len(d)).long()), "pictures are ndarray; wanted a"),
        (lambda d, g: (d / 0, torch.zeros(len(d)).long()), "NaN or infinity in the pictures"),
        (
            lambda d, g: (d, torch.zeros(len(d))),
            "labels are torch.float32 [120]; wanted torch.int64",
        ),
    ],
)
def test_tasks_of_a_wrong_shape_are_told(made, words):
    assert words in rejection("5.2", made)


def test_alike_knows_shifts_from_other_changes():
    generator = torch.Generator().manual_seed(0)
    one = torch.rand(1, 9, 11, generator=generator)
    pictures = torch.stack([one, one.roll((2, -3), (1, 2)), one.flip(2), 0.9 * one, one])
    wanted = torch.eye(5, dtype=torch.bool)
    for i in (0, 1, 4):
        for j in (0, 1, 4):
            wanted[i, j] = True
    assert torch.equal(alike(pictures), wanted)


def test_best_accuracy_by_hand():
    same = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
    assert best_accuracy(same, torch.tensor([0, 0, 1, 1])) == 0.75
    assert best_accuracy(torch.eye(4, dtype=torch.bool), torch.tensor([0, 0, 1, 1])) == 1


def test_labels_a_network_of_ten_answers_cannot_give_are_refused():
    def answer(digits, generator):
        pictures, labels = find("5.2").solution(digits, generator)
        return pictures, labels + 9

    assert "labels are 9 to 10; wanted some of 0 to 9" in rejection("5.2", answer)


def test_a_list_of_two_is_a_task_too(capsys):
    check("5.2", lambda *a: list(find("5.2").solution(*a)))


def test_what_is_cut_off_at_the_edge_tells():
    def answer(digits, generator):
        labels = torch.randint(2, (len(digits),), generator=generator)
        moved = [
            F.pad(d, (7, 0))[..., :-7] if right else F.pad(d, (0, 7))[..., 7:]
            for d, right in zip(digits, labels.tolist(), strict=True)
        ]
        return torch.stack(moved), labels

    assert "cut off at an edge" in rejection("5.2", answer)


def test_a_narrow_bound_has_little_slope_left_and_passes(capsys):
    def answer(raw):
        tilt = 0.1 * torch.tanh(raw[:, 6:] / 0.1)
        one = torch.ones_like(raw[:, :1])
        start = raw.new_tensor([1, 0, 0, 0, 1, 0])
        return torch.cat([start + raw[:, :6], tilt, one], 1).view(-1, 3, 3)

    check("5.5", answer)


def test_a_mistake_in_a_solver_is_no_refusal():
    def answer(src, dst):
        for x, y, u, v in zip(src, dst, strict=True):
            print(x, y, u, v)

    assert "not enough values to unpack" in (told := rejection("5.4", answer)) and "(line" in told


def test_an_area_of_zero_up_to_the_rounding_of_float64_is_not_enough():
    def answer(src, dst):
        if min(triangles(src), triangles(dst)) < 1e-9:
            raise ValueError("degenerate")
        return by_solving(src, dst)

    assert "degenerate quads pass in float32" in rejection("5.4", answer)


def test_small_quads_are_no_degenerate_ones():
    def answer(src, dst):
        if min(triangles(src), triangles(dst)) < 0.1:
            raise ValueError("degenerate")
        return by_solving(src, dst)

    assert "raised ValueError: degenerate" in rejection("5.4", answer)


def triangles(quad):
    """The smallest of the four triangles of three of the points, twice its area."""
    sides = [quad[torch.arange(4) != k] for k in range(4)]
    sides = [(q - p, r - p) for p, q, r in sides]
    return min((a[0] * b[1] - a[1] * b[0]).abs() for a, b in sides)


def by_solving(src, dst):
    h = torch.linalg.lstsq(equations(src, dst), dst.flatten()[:, None], driver="gelsd").solution
    return torch.cat([h.flatten(), h.new_ones(1)]).view(3, 3)


def bounded(tilt):
    def answer(raw):
        start = raw.new_tensor([1, 0, 0, 0, 1, 0]) + raw[:, :6]
        return torch.cat([start, tilt(raw[:, 6:]), torch.ones_like(raw[:, :1])], 1).view(-1, 3, 3)

    return answer


@pytest.mark.parametrize("factor", [0.3, 0.4])
def test_a_wide_clamp_freezes_too(factor):
    told = rejection("5.5", bounded(lambda t: factor * F.hardtanh(t)))
    assert "a clamp has none beyond its bounds" in told


def test_of_many_properties_only_those_that_fail_are_told():
    told = rejection("5.5", bounded(lambda t: 0.05 * F.hardtanh(t)))
    assert "can tilt by 0.1 and more" in told
    assert "a slope where all are at 1.5" in told
    assert "the identity at 0" not in told


@pytest.mark.parametrize(
    "tilt", [lambda t: 0.3 * torch.tanh(0.05 * t), lambda t: 0.8 * torch.sigmoid(t) - 0.4]
)
def test_slow_and_shifted_bounds_pass(tilt):
    check("5.5", bounded(tilt))


def test_something_added_to_w_is_named():
    def answer(H, size):
        grid = sampling.homography_grid(H, size)
        ys, xs = ((2 * torch.arange(n, dtype=H.dtype) + 1) / n - 1 for n in size)
        w = H[:, 2, 0, None, None] * xs + H[:, 2, 1, None, None] * ys[:, None]
        w = (w + H[:, 2, 2, None, None])[..., None]  # [B, h, w, 1]
        return grid * w / (w + 1e-8)

    assert "a little is added to w" in rejection("5.3", answer)


def test_the_solvers_own_error_is_no_check():
    def by_torch(src, dst):
        h = torch.linalg.solve(equations(src, dst), dst.flatten())
        return torch.cat([h, h.new_ones(1)]).view(3, 3)

    def by_numpy(src, dst):  # its LinAlgError is a ValueError
        h = np.linalg.solve(equations(src, dst).numpy(), dst.flatten().numpy())
        return torch.from_numpy(np.append(h, 1).reshape(3, 3)).to(src)

    for answer in (by_torch, by_numpy):
        assert "degenerate quads pass: where three points" in rejection("5.4", answer)


@pytest.mark.parametrize("bound", [1e-14, 1e-12, 1e-9, 1e-6, 1e-5])
def test_one_bound_for_all_quads_is_named(bound):
    def answer(src, dst):
        if min(triangles(src), triangles(dst)) <= bound:
            raise ValueError("degenerate")
        return by_solving(src, dst)

    assert "and where they are large: one number is no bound" in rejection("5.4", answer)


def test_an_area_that_is_compared_with_0_is_named():
    def answer(src, dst):
        if min(triangles(src), triangles(dst)) == 0:
            raise ValueError("degenerate")
        return by_solving(src, dst)

    assert "it is hardly ever 0 itself" in rejection("5.4", answer)


def test_a_bound_by_the_quads_size_is_right():
    def answer(src, dst):
        for quad in (src, dst):
            width = (quad - quad.mean(0)).abs().max()
            if triangles(quad) <= 100 * torch.finfo(quad.dtype).eps * width**2:
                raise ValueError("degenerate")
        return by_solving(src, dst)

    check("5.4", answer)


def test_raw_that_is_changed_in_place_is_named():
    def answer(raw):
        raw[:, 6:] = 0.3 * torch.tanh(raw[:, 6:])
        return bounded(lambda t: t)(raw)

    assert "your function changes `raw`" in rejection("5.5", answer)


def switched_off(h):
    torch.set_grad_enabled(False)
    return h.detach()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h: h.detach().numpy(), "H is ndarray; wanted a torch tensor [40, 3, 3]"),
        (lambda h: h.tolist(), "H is list; wanted a torch tensor"),
        (lambda h: h.double(), "of float32 input you gave {'the dtype of raw': False}, wanted"),
        (lambda h: h.detach().requires_grad_(), "some raw number has no slope"),
        (lambda h: switched_off(h), "some raw number has no slope"),
    ],
)
def test_an_h_of_another_kind_is_told(change, words):
    assert words in rejection("5.5", lambda raw: change(find("5.5").solution(raw)))
    assert torch.is_grad_enabled()


def test_an_h_that_does_not_listen_is_told():
    told = rejection("5.5", lambda raw: torch.eye(3, dtype=raw.dtype).repeat(len(raw), 1, 1))
    assert told == "5.5: H is the same whatever the raw numbers are: make it of them"


def test_numbers_that_are_not_finite_are_told():
    def answer(raw):
        grown = raw[:, 6:].exp().exp()
        return bounded(lambda t: 0.3 * grown / (1 + grown))(raw)

    assert "there is NaN or infinity in H" in rejection("5.5", answer)


def test_align_corners_is_named():
    def coordinates(images):
        batch, _, height, width = images.shape
        x = torch.linspace(-1, 1, width, dtype=images.dtype).expand(batch, 1, height, width)
        y = torch.linspace(-1, 1, height, dtype=images.dtype)[:, None]
        return torch.cat([images, x, y.expand(batch, 1, height, width)], 1)

    def tilted(H, size):
        unit = torch.eye(2, 3, dtype=H.dtype)[None]
        base = F.affine_grid(unit, (1, 1, *size), align_corners=True)[0]
        uvw = torch.cat([base, torch.ones_like(base[..., :1])], -1) @ H.mT[:, None]
        return uvw[..., :2] / uvw[..., 2:]

    assert "from edge to edge, linspace(-1, 1)" in rejection("5.1", coordinates)
    assert "this is align_corners=True" in rejection("5.3", tilted)


def test_labels_that_the_digit_tells_are_named():
    def answer(digits, generator):
        labels = torch.arange(len(digits)) // 40 % 2
        return digits.clone(), labels

    assert "more than the place tells the label" in rejection("5.2", answer)


def test_places_that_do_not_follow_the_label_are_named():
    def answer(digits, generator):
        labels = torch.randint(2, (len(digits),), generator=generator)
        far = torch.randint(2, (len(digits),), generator=generator).tolist()
        return torch.stack([d.roll(7 * n, -1) for d, n in zip(digits, far, strict=True)]), labels

    assert "nobody can read these labels" in rejection("5.2", answer)
