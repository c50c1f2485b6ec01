"""Numbers that are not Python's: the same everywhere, or refused by name."""

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from stn_course import geometry, models
from stn_course.analysis import perspective, pose, robustness
from stn_course.analysis.accuracy import evaluate
from stn_course.analysis.glimpses import glimpse_iou
from stn_course.data import clutter, distortions, not_so_clevr, recipes, scenes
from stn_course.geometry import choices
from stn_course.lessons.place_and_tilt import registration
from stn_course.sampling import fused, reference
from stn_course.training.config import Config

WHOLE = {
    "np.int64": np.int64,
    "np.uint16": np.uint16,
    "tensor": torch.tensor,
}
REAL = {
    "np.float32": np.float32,
    "array": np.array,
    "tensor": torch.tensor,
    "fraction": Fraction,
}
THETA = geometry.affine(20, 0.8, batch=2)
IMAGES = torch.rand(2, 1, 8, 10, generator=torch.Generator().manual_seed(0))
SQUARE = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
BOXES = torch.tensor([[1.0, 2, 5, 6]])


def dice():
    return torch.Generator().manual_seed(0)


def built(name, **options):
    """What a network answers, from the same start each time."""
    torch.manual_seed(0)
    net = models.build(name, **options).eval()
    size = tuple(map(int, options.get("size", (28, 28))))
    x = torch.rand(1, int(options.get("channels", 1)), *size, generator=dice())
    return net(x).detach()


# What is called, by the names of its numbers; every one of them is tried in every type.
WHOLE_CASES = {
    "identity": (geometry.identity, {"batch": 3}),
    "affine": (geometry.affine, {"batch": 3, "size": (40, 100)}),
    "to_pixels": (
        lambda **k: geometry.to_pixels(THETA, **k),
        {"size": (4, 6), "output_size": (3, 5)},
    ),
    "from_pixels": (lambda **k: geometry.from_pixels(THETA, **k), {"size": (4, 6)}),
    "pixel_centres": (geometry.pixel_centres, {"n": 5}),
    "control_points": (geometry.control_points, {"grid": (3, 4)}),
    "box_to_theta": (lambda **k: geometry.box_to_theta(BOXES, **k), {"canvas": 10}),
    "glimpse_boxes": (lambda **k: geometry.glimpse_boxes(THETA, **k), {"canvas": 10}),
    "shrunk_size": (lambda **k: geometry.shrunk_size(down=2, **k), {"size": (9, 12)}),
    "Similarity": (lambda **k: geometry.Similarity(**k)(torch.ones(1, 4)), {"size": (4, 6)}),
    "ThinPlateSpline": (
        lambda **k: geometry.ThinPlateSpline(**k)(torch.ones(1, 24)),
        {"grid": (3, 4)},
    ),
    "affine_grid": (lambda **k: reference.affine_grid(THETA, **k), {"size": (4, 6)}),
    "tps_grid": (lambda **k: reference.tps_grid(torch.zeros(2, 16, 2), **k), {"size": (4, 6)}),
    "homography_grid": (
        lambda **k: reference.homography_grid(geometry.to_homogeneous(THETA), **k),
        {"size": (4, 6)},
    ),
    "reference.warp": (lambda **k: reference.warp(IMAGES, THETA, **k), {"size": (4, 6)}),
    "fused.warp": (lambda **k: fused.warp(IMAGES, THETA, **k), {"size": (4, 6)}),
    "stn": (
        lambda **k: built("stn", **k),
        {"size": (20, 24), "classes": 7, "channels": 2, "transformers": 2, "glimpse": (12, 16)},
    ),
    "fc": (lambda **k: built("fc", **k), {"size": (8, 9), "classes": 7, "width": 5}),
    "paper-fcn": (lambda **k: built("paper-fcn", **k), {"parameters": 9000, "channels": 2}),
    "rnn-spn": (
        lambda **k: built("rnn-spn", **k),
        {"size": (40, 60), "digits": 2, "classes": 5, "channels": 1, "glimpse": (20, 24)},
    ),
    "RecurrentTransformer": (
        lambda **k: (
            models.sequence.RecurrentTransformer(
                [torch.nn.Flatten()], transform=geometry.Affine(), size=(4, 4), **k
            )
            .eval()(IMAGES)
            .shape
        ),
        {"width": 80, "state": 5, "steps": 2},
    ),
    "CoordConv2d": (
        lambda **k: models.CoordConv2d(**k)(IMAGES).shape,
        {"in_channels": 1, "out_channels": 2, "kernel_size": 3},
    ),
    "draw_affine": (
        lambda **k: distortions.draw_affine(distortions.HR, generator=dice(), **k),
        {"n": 3},
    ),
    "draw_projective": (
        lambda **k: distortions.draw_projective(generator=dice(), **k),
        {"n": 3, "side": 28},
    ),
    "draw_elastic": (
        lambda **k: distortions.draw_elastic(generator=dice(), **k),
        {"n": 3, "side": (28, 30)},
    ),
    "place": (
        lambda **k: scenes.place(SQUARE, dice(), **k).images,
        {"canvas": 40, "patches": 2, "patch_size": 5},
    ),
    "freeze": (
        lambda **k: recipes.freeze("r", (255 * SQUARE).byte(), torch.zeros(2).long(), **k)[0].theta,
        {"seed": 3, "batch": 1},
    ),
    "squares": (
        lambda **k: not_so_clevr.squares(**k)[1].centres,
        {"canvas": 16, "side": 3, "seed": 4},
    ),
    "ClutterRecipe": (
        lambda **k: clutter.published.ClutterRecipe(
            bank_splits=("train",), sizes=(5, 1, 1), x_start=6, **k
        ),
        {"canvas": 40, "digits": 1, "patches": 5, "patch_size": 5, "x_jitter": 6, "seed": 7},
    ),
    "evaluate": (
        lambda **k: evaluate(torch.nn.Flatten(), IMAGES, torch.zeros(2).long(), **k),
        {"batch": 1},
    ),
    "glimpse_iou": (lambda **k: glimpse_iou(THETA[:1, None], BOXES[None], **k), {"canvas": 10}),
    "register": (
        lambda **k: registration.register(IMAGES, IMAGES.flip(0), **k).theta,
        {"levels": 2, "steps": 3},
    ),
    "displaced": (
        lambda **k: registration.displaced(pixels=2, generator=dice(), **k),
        {"n": 2, "side": 28},
    ),
    "corner_error": (
        lambda **k: registration.corner_error(THETA, THETA.flip(0), **k),
        {"side": 28},
    ),
    "Config": (
        lambda **k: vars(Config(**k)),
        {"epochs": 2, "batch_size": 8, "limit": 5, "patience": 3, "options": {"width": 16}},
    ),
}
REAL_CASES = {
    "affine": (geometry.affine, {"angle": 30.5, "scale": (0.5, 1.25), "shear": 4.5, "shift": 0.25}),
    "Translation": (lambda **k: geometry.Translation(**k)(torch.ones(1, 2)), {"bound": 0.5}),
    "Attention": (lambda **k: geometry.Attention(**k)(torch.ones(1, 3)), {"max_zoom": 2.5}),
    "Similarity": (lambda **k: geometry.Similarity(**k)(torch.ones(1, 4)), {"max_zoom": 2.5}),
    "Affine": (lambda **k: geometry.Affine(**k)(torch.ones(1, 6)), {"bound": 0.5}),
    "Homography": (lambda **k: geometry.Homography(**k)(torch.ones(1, 8)), {"bound": 0.25}),
    "Corners": (lambda **k: geometry.Corners(**k)(torch.ones(1, 8)), {"bound": 0.25}),
    "ThinPlateSpline": (
        lambda **k: geometry.ThinPlateSpline(**k)(torch.ones(1, 32)),
        {"bound": 0.5},
    ),
    "shrunk_size": (lambda **k: geometry.shrunk_size((9, 12), **k), {"down": 1.5}),
    "reference.warp": (lambda **k: reference.warp(IMAGES, THETA, **k), {"fill": 0.5}),
    "fused.warp": (lambda **k: fused.warp(IMAGES, THETA, **k), {"fill": 0.5}),
    "bilinear_sample": (
        lambda **k: reference.bilinear_sample(IMAGES, reference.affine_grid(THETA, (4, 4)), **k),
        {"fill": 0.5},
    ),
    "stn": (
        lambda **k: built("stn", **k),
        {"bound": 0.5, "down": 1.5, "width": 0.5, "normalise": (0.25, 0.5)},
    ),
    "cnn": (lambda **k: built("cnn", **k), {"width": 0.5}),
    "ffn-spn": (
        lambda **k: built("ffn-spn", size=(40, 60), **k),
        {"down": (2.5, 2.0), "bound": 0.5},
    ),
    "draw_projective": (
        lambda **k: distortions.draw_projective(2, dice(), **k),
        {"pixels": 4.5, "scale": (0.75, 1.0)},
    ),
    "draw_elastic": (
        lambda **k: distortions.draw_elastic(2, dice(), **k),
        {"pixels": 1.5, "scale": (0.75, 1.0)},
    ),
    "squares": (
        lambda **k: not_so_clevr.squares(canvas=16, side=3, **k)[1].centres,
        {"held_out": 0.25},
    ),
    "rotate": (lambda **k: robustness.rotate(IMAGES, **k), {"degrees": 20.5}),
    "zoom": (lambda **k: robustness.zoom(IMAGES, **k), {"factor": 1.25}),
    "shift": (lambda **k: robustness.shift(IMAGES, **k), {"pixels": 1.5}),
    "corner_places": (lambda **k: perspective.corner_places(THETA, **k), {"reach": 0.5}),
    "corner_residual": (
        lambda **k: perspective.corner_residual(
            torch.rand(2, 4, 2, generator=dice()), torch.zeros(4, 2), **k
        ),
        {"pixels": 14.5},
    ),
    "spread": (
        lambda **k: pose.spread(
            torch.ones(2), torch.rand(2, 2, generator=dice()), torch.ones(2), **k
        ),
        {"pixels": 14.5},
    ),
    "register": (
        lambda **k: registration.register(IMAGES, IMAGES.flip(0), steps=3, **k).theta,
        {"rate": 0.25},
    ),
    "displaced": (
        lambda **k: registration.displaced(2, side=28, generator=dice(), **k),
        {"pixels": 2.5},
    ),
    "Config": (
        lambda **k: vars(Config(optimizer="sgd", **k)),
        {"lr": 0.5, "momentum": 0.25, "weight_decay": 0.125, "lr_localiser": 0.25},
    ),
}


def changed(value, kind):
    """Every number of `value` in another type."""
    if isinstance(value, dict):
        return {key: changed(each, kind) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(changed(each, kind) for each in value)
    return kind(value)


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return a == b


def cases(table, kinds):
    for name, (call, given) in table.items():
        for argument in given:
            for kind in kinds:
                yield pytest.param(
                    call, given, argument, kinds[kind], id=f"{name}-{argument}-{kind}"
                )


@pytest.mark.parametrize("call, given, argument, kind", cases(WHOLE_CASES, WHOLE))
def test_a_whole_number_of_any_type(call, given, argument, kind):
    assert same(call(**given | {argument: changed(given[argument], kind)}), call(**given))


@pytest.mark.parametrize("call, given, argument, kind", cases(REAL_CASES, REAL))
def test_a_number_of_any_type(call, given, argument, kind):
    assert same(call(**given | {argument: changed(given[argument], kind)}), call(**given))


# Where another name says it better: that of a pair, or of what it is handed on to.
SAID = {"scale": "scale|limits", "normalise": "mean|sd", "factor": "scale", "degrees": "angle"}
TORCHS = ("kernel_size", "out_channels", "state", "width", "options")  # or the network's


def refusals(table, bad):
    for name, (call, given) in table.items():
        for argument, value in given.items():
            if argument not in TORCHS:
                for wrong in bad:
                    put = changed(value, lambda _, w=wrong: w)
                    yield pytest.param(
                        call, given, argument, put, id=f"{name}-{argument}-{wrong!r}"
                    )


BAD_WHOLE = [True, "4", 2.5, np.array([4])]
BAD_REAL = [np.True_, "4", math.nan, torch.tensor(math.inf)]


@pytest.mark.parametrize("call, given, argument, wrong", refusals(WHOLE_CASES, BAD_WHOLE))
def test_what_is_no_whole_number_is_refused_by_name(call, given, argument, wrong):
    with pytest.raises((TypeError, ValueError), match=argument):
        call(**given | {argument: wrong})


@pytest.mark.parametrize("call, given, argument, wrong", refusals(REAL_CASES, BAD_REAL))
def test_what_is_no_number_is_refused_by_name(call, given, argument, wrong):
    with pytest.raises((TypeError, ValueError), match=SAID.get(argument, argument)):
        call(**given | {argument: wrong})


@pytest.mark.parametrize("call, given, argument, wrong", refusals(WHOLE_CASES, [10**400, 2**63]))
def test_a_whole_number_beyond_all_memory_is_refused_by_name(call, given, argument, wrong):
    with pytest.raises((TypeError, ValueError), match=argument):
        call(**given | {argument: wrong})


HUGE = [1e300, -1e300, 1e39, 10**400, 2**63, 5e-324, Fraction(1, 10**400)]


@pytest.mark.parametrize("call, given, argument, wrong", refusals(REAL_CASES, HUGE))
def test_a_number_beyond_float32_is_calculated_with_or_refused_by_name(
    call, given, argument, wrong
):
    try:
        found = call(**given | {argument: wrong})
    except (TypeError, ValueError) as error:
        names = (*SAID.get(argument, argument).split("|"), "motion", "size", "diverge")
        assert any(name in str(error) for name in names), error
    else:
        assert all(torch.as_tensor(v).isfinite().all() for v in numbers_in(found)), found


def numbers_in(found):
    """The numbers and tensors of what a call gave, however deep they lie."""
    if dataclasses.is_dataclass(found):
        found = vars(found)
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, tuple | list):
        return [each for part in found for each in numbers_in(part)]
    if isinstance(found, torch.nn.Module):
        return list(found.parameters())
    return [found] if isinstance(found, int | float | torch.Tensor) else []


def test_what_counts_as_a_number():
    for value in (np.int8(3), np.array(3), torch.tensor(3, dtype=torch.uint8), 3):
        assert geometry.as_whole(value) == 3 and type(geometry.as_whole(value)) is int
    for value in (True, np.True_, torch.tensor(True), 3.0, np.float32(3), torch.tensor(3.0), "3"):
        assert geometry.as_whole(value) is None
    for value in (np.float16(0.5), np.array(0.5), torch.tensor(0.5), Fraction(1, 2), 0.5):
        assert geometry.as_number(value) == 0.5 and type(geometry.as_number(value)) is float
    for value in (True, math.nan, np.float32("inf"), "1", 1j, torch.tensor(1j), [1.0], None):
        assert geometry.as_number(value) is None


@pytest.mark.parametrize("warp", [reference.warp, fused.warp])
def test_a_fill_of_one_number_in_a_tensor_has_a_gradient(warp):
    one = torch.tensor(0.25, requires_grad=True)
    out = warp(IMAGES, geometry.affine(scale=0.5, batch=2), fill=one)
    assert torch.equal(out, warp(IMAGES, geometry.affine(scale=0.5, batch=2), fill=0.25))
    every = torch.full((2, 1), 0.25, requires_grad=True)
    wanted = warp(IMAGES, geometry.affine(scale=0.5, batch=2), fill=every)
    assert torch.equal(out, wanted)
    (found,) = torch.autograd.grad(out.sum(), one)
    (of_each,) = torch.autograd.grad(wanted.sum(), every)
    assert found.item() == pytest.approx(of_each.sum().item()) and found > 1


def dense_head():
    """A localiser for IMAGES, and its transform."""
    head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(80, 6))
    return head, geometry.Affine()


ROWS = {"array": np.array, "tensor": torch.tensor, "narrow": lambda n: np.array(n, np.uint8)}


@pytest.mark.parametrize("row", ROWS)
def test_a_size_may_be_one_row_of_whole_numbers(row):
    size = ROWS[row]([4, 6])
    for call in (
        lambda size: reference.warp(IMAGES, THETA, size),
        lambda size: fused.warp(IMAGES, THETA, size),
        lambda size: fused.warp(IMAGES, THETA, size, out=torch.empty(2, 1, 4, 6)),
        lambda size: geometry.affine(30, size=size),
        lambda size: geometry.to_pixels(THETA, size),
        lambda size: geometry.Similarity(size=size)(torch.ones(1, 4)),
        lambda size: torch.tensor(geometry.shrunk_size((9, 12), size)),
        lambda size: models.SpatialTransformer(*dense_head(), size=size)(IMAGES),
        lambda size: models.SpatialTransformer(*dense_head(), down=size)(IMAGES),
    ):
        assert torch.equal(call(size), call((4, 6)))
    for wrong in (ROWS[row]([[4, 6]]), ROWS[row]([4]), np.array([4.0, 6.0]), np.array(["4", "6"])):
        with pytest.raises(TypeError, match="size must be two ints"):
            fused.warp(IMAGES, THETA, wrong)


@pytest.mark.parametrize("warp", [reference.warp, fused.warp])
def test_what_lies_outside_and_where_the_corners_are_may_be_numpys(warp):
    fill = np.array([[0.25], [0.75]])
    for kind in ("float32", "float64"):
        found = warp(IMAGES, THETA, fill=fill.astype(kind))
        assert torch.equal(found, warp(IMAGES, THETA, fill=torch.tensor(fill).float()))
    for wrong in (fill.astype(int), fill[:, 0], fill > 0.5, fill / 0):
        with pytest.raises((TypeError, ValueError), match="fill must"):
            warp(IMAGES, THETA, fill=wrong)
    for corners in (True, False):
        found = warp(IMAGES, THETA, align_corners=np.bool_(corners))
        assert torch.equal(found, warp(IMAGES, THETA, align_corners=corners))


def test_a_side_that_is_too_long_for_the_fast_way_is_seen_in_any_type():
    for size in ((1, 2**25), (1, np.int64(2**25)), np.array([1, 2**25]), torch.tensor([1, 2**25])):
        why = fused._unfit(IMAGES, THETA, geometry.plain_size(size), "zeros", None, "bilinear")
        assert why == "these shapes or this padding"


def test_of_many_names_the_nearest_are_told():
    many = [f"xq-net-{k}" for k in range(300)] + ["hard-fc-stn"]
    assert (
        choices("hard-fc-snt", many, "see the list") == "hard-fc-stn or 300 others (see the list)"
    )
    assert len(choices("xq-net-1x", many)) < 100
    assert choices("?", many, "see the list") == "see the list"
    assert choices("?", many).count(",") == 300  # where there is no other list
    assert choices("hrd", ["hard", "mild"]) == "hard, mild"


def test_what_is_next_to_0_is_a_number_where_0_may_be():
    for motion in ({"shear": 2e-311}, {"angle": -1e-40}, {"shift": (1e-300, 0.0)}):
        assert torch.allclose(geometry.affine(**motion), geometry.identity(), atol=1e-30)
    assert geometry.real_number("shear", 2e-311) == 2e-311
    with pytest.raises(ValueError, match="width=2e-311; wanted a number above 0"):
        geometry.real_number("width", 2e-311, above=0)
    with pytest.raises(ValueError, match="singular"):
        geometry.affine(scale=1e-300)
