"""The spatial transformer as a module: where it starts, what it reads, what learns."""

import copy
import math

import pytest
import torch
from torch import nn

from stn_course import geometry, models
from stn_course.models import ParallelTransformers, SequentialTransformers, SpatialTransformer
from stn_course.models.transformers import localiser_parameters
from stn_course.sampling import reference
from tests.support import bar, sides


def images(n=4, channels=1, size=(12, 12), seed=0):
    return torch.rand(n, channels, *size, generator=torch.Generator().manual_seed(seed))


def localiser(n, channels=1, size=(12, 12), seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pixels = channels * size[0] * size[1]
        return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 8), nn.ReLU(), nn.Linear(8, n))


def fixed(raw, transform, **options):
    """A transformer that says `raw` whatever it sees."""
    made = SpatialTransformer(localiser(transform.n), transform, **options)
    with torch.no_grad():
        made.head[0].bias.copy_(torch.as_tensor(raw))
    return made


HEADS = [
    geometry.Affine(),
    geometry.Translation(),
    geometry.Attention(),
    geometry.Similarity(),
    geometry.Homography(),
    geometry.Corners(),
    geometry.ThinPlateSpline(),
    geometry.ThinPlateSpline((2, 3)),
]


@pytest.mark.parametrize("head", HEADS, ids=repr)
@pytest.mark.parametrize("padding", reference.PADDINGS)
def test_untrained_it_hands_on_its_input_and_its_bias_has_a_gradient(head, padding):
    for shape in ((1, (12, 12)), (3, (9, 14))):
        x = images(4, *shape)
        made = SpatialTransformer(localiser(head.n, *shape), head, padding=padding)
        out = made(x)
        assert (out - x).abs().max() < 1e-6
        # Where the image is smooth, so that the kink of the bilinear hat plays no part.
        (out * images(4, *shape, seed=1)).sum().backward()
        assert made.head[0].bias.grad.abs().max() > 1e-3
        assert made.head[0].weight.grad.abs().max() > 1e-4
        assert made.theta.shape[0] == 4 and not made.theta.requires_grad


def test_without_the_identity_start_the_localiser_stays_as_it_came():
    net = localiser(6)
    made = SpatialTransformer(copy.deepcopy(net), geometry.Affine(), identity_start=False)
    assert torch.equal(made.head[0].weight, net[-1].weight)
    assert (made(images()) - images()).abs().max() > 0.1


@pytest.mark.parametrize(
    "options, size",
    [
        ({}, (12, 12)),
        ({"size": (5, 7)}, (5, 7)),
        ({"down": 2}, (6, 6)),
        ({"down": 1.25}, (9, 9)),  # 9.6, rounded down
        ({"down": 0.5}, (24, 24)),
        ({"down": 100}, (1, 1)),
        ({"pool": True}, (6, 6)),
        ({"size": (5, 8), "pool": True}, (2, 4)),
    ],
)
def test_output_sizes(options, size):
    made = SpatialTransformer(localiser(6), geometry.Affine(), **options)
    assert made(images()).shape == (4, 1, *size)


def test_pooling_is_the_mean_of_four():
    x = images()
    plain, pools = (fixed([0.8, 0.2, 0, -0.2, 0.8, 0.1], geometry.Affine(), pool=p) for p in (0, 1))
    four = plain(x).unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    assert torch.allclose(pools(x), four, atol=1e-6)


def test_it_reads_where_its_localiser_says():
    raw = [0.7, 0.3, 0.1, -0.3, 0.7, -0.2]
    theta = torch.tensor(raw).view(1, 2, 3).expand(4, 2, 3)
    for padding in reference.PADDINGS:
        made = fixed(raw, geometry.Affine(), padding=padding, size=(6, 8))
        wanted = reference.warp(images(), theta, (6, 8), padding)
        torch.testing.assert_close(made(images()), wanted, rtol=0, atol=1e-5)
        assert torch.equal(made.theta, theta)


@pytest.mark.parametrize("size", [(40, 100), (100, 40), (40, 40)])
def test_a_turn_is_one_of_the_pixels_it_reads(size):
    raw = [0.0, math.pi / 2, 0.0, 0.0]
    net = SpatialTransformer(localiser(4, size=size), geometry.Similarity())
    with torch.no_grad():
        net.head[0].bias.copy_(torch.tensor(raw))
    assert sides(net(bar(size))) == (4, 20)
    twice = SequentialTransformers(net, copy.deepcopy(net))
    assert sides(twice(bar(size))) == (20, 4)
    told = models.build("stn", size=size, transform="similarity").eval()
    with torch.no_grad():
        told[0].head[0].bias.copy_(torch.tensor(raw))
        told(bar(size))
    assert torch.allclose(told[0].theta, geometry.affine(angle=90, size=size), atol=1e-6)
    if size[0] != size[1]:
        net.transform = geometry.Similarity(size=(40, 40))
        with pytest.raises(ValueError, match=rf"the pictures are {size[0]} x {size[1]}"):
            net(bar(size))


@pytest.mark.parametrize("head", [geometry.Affine(), geometry.Homography()], ids=repr)
def test_theta_is_float32_under_autocast(head):
    made = SpatialTransformer(localiser(head.n), head)
    with torch.no_grad():
        made.head[0].weight.normal_(0, 0.02, generator=torch.Generator().manual_seed(1))
    seen = []
    made.body.register_forward_hook(lambda *a: seen.append(a[2].dtype))
    made.head.register_forward_hook(lambda *a: seen.append(a[2].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        out = made(images())
    assert seen == [torch.bfloat16, torch.float32]  # the body is fast, the head exact
    assert made.theta.dtype == torch.float32 and out.dtype == torch.float32
    assert not torch.equal(made.theta, made.theta.bfloat16().float())
    with torch.autocast("cpu", torch.bfloat16):
        features = made.body(images())
    exact = head(made.head(features.float()))
    assert torch.equal(made.theta, exact)


def test_parallel_transformers_each_see_everything():
    moves = [[1, 0, 0.5, 0, 1, 0], [1, 0, 0, 0, 1, 0.5]]
    each = [fixed(raw, geometry.Affine()) for raw in moves]
    two = ParallelTransformers(*each)
    out = two(images())
    assert out.shape == (4, 2, 12, 12)
    assert torch.equal(out, torch.cat([made(images()) for made in each], 1))
    assert len(localiser_parameters(two)) == 8


def test_in_sequence_the_input_is_read_once_by_the_composition():
    first = [0.8, 0.3, 0.1, -0.3, 0.8, -0.2, 0.05, 0.1]
    second = [0.9, -0.2, 0, 0.2, 0.9, 0.1]
    made = SequentialTransformers(
        fixed(first, geometry.Homography()), fixed(second, geometry.Affine(), down=1.5)
    )
    out = made(images())
    theta = [
        geometry.to_homogeneous(each.transform(torch.tensor([raw], dtype=torch.float32)))
        for each, raw in zip(made.transformers, (first, second), strict=True)
    ]
    both = (theta[0] @ theta[1]).expand(4, 3, 3)
    assert torch.allclose(made.theta, both, atol=1e-6)
    assert torch.allclose(out, reference.warp(images(), both, (8, 8)), atol=1e-5)
    assert torch.allclose(made.transformers[1].theta, theta[1][:, :2].expand(4, 2, 3))
    out.sum().backward()
    assert all(each.head[0].bias.grad.any() for each in made.transformers)


def test_the_second_of_a_sequence_sees_what_the_first_made():
    made = SequentialTransformers(
        fixed([1, 0, 0.5, 0, 1, 0], geometry.Affine()),
        SpatialTransformer(localiser(6), geometry.Affine()),
    )
    seen = []
    made.transformers[1].body.register_forward_hook(lambda *a: seen.append(a[1][0]))
    made(images())
    assert torch.equal(seen[0], made.transformers[0](images()))


def test_on_feature_maps_it_moves_and_cannot_straighten():
    """A quarter turn of the maps of upright strokes is not the maps of the turned strokes."""
    stroke = torch.zeros(1, 1, 12, 12)
    stroke[..., 3:9, 5:7] = 1
    upright = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    with torch.no_grad():
        upright.weight.copy_(torch.tensor([[-1.0, 2, -1]] * 3))
    back = fixed([0, 1, 0, -1, 0, 0], geometry.Affine(), padding="zeros")
    turned = stroke.rot90(1, (2, 3))
    assert torch.allclose(back(turned), stroke, atol=1e-5)  # before the filter it straightens
    mended = back(upright(turned))
    assert (mended - upright(stroke)).abs().max() > 2  # after it, it does not
    shifted = fixed([1, 0, 1 / 3, 0, 1, 0], geometry.Affine(), padding="zeros")
    moved = stroke.roll(2, 3)  # two pixels of twelve
    assert torch.allclose(shifted(upright(moved)), upright(stroke), atol=1e-5)


def test_localiser_parameters_are_those_of_the_transformers():
    net = models.build("stn-features")
    inside = localiser_parameters(net)
    assert {id(p) for p in inside} == {id(p) for p in net[3].parameters()}
    assert localiser_parameters(models.build("cnn")) == []


@pytest.mark.parametrize(
    "net, options, error, message",
    [
        (
            localiser(6),
            {"transform": geometry.Attention()},
            ValueError,
            "in 6 .* wanted the 3",
        ),
        (nn.Linear(4, 6), {}, TypeError, "localiser is Linear; wanted an nn.Sequential"),
        (nn.Sequential(nn.Flatten()), {}, ValueError, "last nn.Linear is nowhere"),
        (nn.Sequential(nn.Linear(4, 6, bias=False)), {}, ValueError, "has no bias to start"),
        (
            nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Sequential(nn.Linear(6, 6))),
            {},
            ValueError,
            "last nn.Linear is inside layer 2; wanted it as a layer",
        ),
        (nn.Sequential(nn.LazyLinear(6)), {}, ValueError, "last layer is an nn.LazyLinear"),
        (localiser(6), {"down": 0}, ValueError, "down=0; wanted numbers above 0"),
        (localiser(6), {"down": "2"}, TypeError, "down='2'; wanted a number, or two"),
        (localiser(6), {"down": float("nan")}, ValueError, "down=nan"),
        (localiser(6), {"down": 2, "size": (3, 3)}, ValueError, "wanted one of them"),
        (localiser(6), {"size": (0, 3)}, ValueError, "size must be at least"),
        (localiser(6), {"padding": "mirror"}, ValueError, "padding='mirror'; wanted one of"),
        (localiser(6), {"transform": geometry.Affine}, TypeError, "wanted a parametrisation"),
        (localiser(6), {"transform": "affine"}, TypeError, "transform is 'affine'; wanted a"),
    ],
)
def test_clear_errors(net, options, error, message):
    with pytest.raises(error, match=message):
        SpatialTransformer(net, **{"transform": geometry.Affine(), **options})


def test_images_are_checked():
    made = fixed([1.0, 0, 0, 0, 1, 0], geometry.Affine())
    for wrong, error, message in [
        (images().numpy(), TypeError, "images must be a tensor .*, got ndarray"),
        ((255 * images()).byte(), TypeError, "images must be floating point, got torch.uint8"),
        (images()[0], ValueError, "images must have shape .B, C, h, w., got"),
    ]:
        with pytest.raises(error, match=message):
            made(wrong)


def test_down_is_any_number_or_one_for_each_side():
    for down, size, wanted in [
        (100 / 83, (100, 100), (83, 83)),
        ((4, 1), (12, 12), (3, 12)),
        (1, (9, 14), (9, 14)),
        (50, (12, 12), (1, 1)),
    ]:
        made = SpatialTransformer(localiser(6), geometry.Affine(), down=down)
        assert made.output_size(size) == wanted


def test_a_bias_is_only_needed_to_start_from_the_identity():
    net = nn.Sequential(nn.Flatten(), nn.Linear(144, 6, bias=False))
    made = SpatialTransformer(net, geometry.Affine(), identity_start=False)
    assert made(images()).shape == images().shape


def test_transforms_of_torch_func_leave_a_copy_and_a_file_whole(tmp_path):
    x = images()
    for made in (
        fixed([0.9, 0.1, 0.0, -0.1, 1.1, 0.2], geometry.Affine()),
        SequentialTransformers(*(fixed([1.0, 0, 0, 0, 1, 0], geometry.Affine()) for _ in "ab")),
    ):
        wanted = made(x)
        torch.func.jacfwd(lambda some, made=made: made(some).sum())(x[:1])
        assert torch.equal(copy.deepcopy(made)(x), wanted)
        torch.save(made, tmp_path / "made.pt")
        back = torch.load(tmp_path / "made.pt", weights_only=False)
        assert torch.equal(back(x), wanted)


def test_transformers_side_by_side_give_one_size():
    two = [SpatialTransformer(localiser(6), geometry.Affine(), size=s) for s in ((4, 4), (5, 4))]
    with pytest.raises(ValueError, match=r"\(size, down, pool\) .*wanted all alike"):
        ParallelTransformers(*two)


def test_a_sequence_of_splines_and_no_transformer_at_all_are_refused():
    spline = fixed(torch.zeros(32), geometry.ThinPlateSpline())
    with pytest.raises(ValueError, match="transformer 0 is a spline"):
        SequentialTransformers(spline)
    for kind in (ParallelTransformers, SequentialTransformers):
        with pytest.raises(ValueError, match="wanted at least one"):
            kind()
        with pytest.raises(TypeError, match="got Linear; wanted transformers only"):
            kind(nn.Linear(2, 2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_types_than_float32(dtype):
    moved = fixed([0.9, 0.1, 0.0, -0.1, 1.1, 0.2], geometry.Affine())
    wanted = moved(images())
    moved = copy.deepcopy(moved).to(dtype)
    out = moved(images().to(dtype))
    assert out.dtype == dtype and moved.theta.dtype == torch.promote_types(dtype, torch.float32)
    assert (out.float() - wanted).abs().max() < {torch.float64: 1e-6}.get(dtype, 0.05)


def test_the_modules_gradient_in_float64():
    raw = [0.93, 0.1, 0.03, -0.1, 1.05, 0.02]
    moved = fixed(raw, geometry.Affine(), padding="zeros").double()
    nn.init.normal_(moved.head[0].weight, std=0.01, generator=torch.Generator().manual_seed(0))
    x = images(2, size=(12, 12)).double().requires_grad_()
    weights = moved.head[0].weight
    (name,) = (n for n, p in moved.named_parameters() if p is weights)

    def call(x, weights):
        return torch.func.functional_call(moved, {name: weights}, (x,))

    assert torch.autograd.gradcheck(call, (x, weights), atol=1e-5)


def test_a_copy_can_be_made_after_a_call_whose_pose_was_kept():
    moved = fixed([1.0, 0.0, 0.1, 0.0, 1.0, 0.0], geometry.Affine())
    moved.keep_live = True
    moved(images())
    other = copy.deepcopy(moved)
    assert other.keep_live and other.live is None and moved.live is not None
    assert torch.equal(other(images()), moved(images()))
