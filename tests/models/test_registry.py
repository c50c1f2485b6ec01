"""The networks by name: sizes as published, shapes, the identity start, clear errors."""

import pytest
import torch

from stn_course import models
from stn_course.models import ROW_MODELS, CoordConv2d


@pytest.mark.parametrize(
    "name, parameters",
    [
        ("fc", 28 * 28 * 128 + 128 + 128 * 10 + 10),
        ("cnn", 32 * 9 + 32 + 16 * 32 * 9 + 16 + 400 * 100 + 100 + 1010),
        ("cnn-blog", 60 + 6 * 16 * 9 + 16 + 400 * 120 + 120 + 120 * 84 + 84 + 850),
        ("stn-cnn", 143_904),  # XQ's notebook prints it
        ("tutorial", 27_360),  # the tutorial, HY and SE
        ("tutorial-cnn", 27_360 - (8 * 49 + 8 + 10 * 200 + 10 + 90 * 32 + 32 + 32 * 6 + 6)),
        # Two more input channels for each convolution: 2 * 10 * 25 + 2 * 20 * 25 in the
        # classifier, 2 * 8 * 49 + 2 * 10 * 25 in the localiser.
        ("tutorial-coord-cls", 27_360 + 1500),
        ("tutorial-coord-loc", 27_360 + 1284),
        ("tutorial-coord-both", 27_360 + 1500 + 1284),
        ("tutorial-cnn-coord", 21_840 + 1500),
        ("stn-fc", 101_770 + 156 + 880 + 400 * 128 + 128 + 128 * 64 + 64 + 64 * 6 + 6),
    ],
)
def test_parameter_counts(name, parameters):
    assert models.count_parameters(models.build(name)) == parameters


SINGLE = [name for name in models.MODELS if name not in ROW_MODELS]  # one digit an image


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("size", [(28, 28), (40, 40), (33, 41)])
@pytest.mark.parametrize("batch", [1, 3])
def test_logits_at_any_size(name, size, batch):
    logits = models.build(name, size=size, classes=7)(torch.rand(batch, 1, *size))
    assert logits.shape == (batch, 7)


@pytest.mark.parametrize("where", ["cls", "loc", "both"])
def test_coordconv_stands_where_its_name_says(where):
    front, classifier = models.build(f"tutorial-coord-{where}")

    def told(net):
        return [type(m) is CoordConv2d for m in net.modules() if isinstance(m, torch.nn.Conv2d)]

    assert told(front) == [where in ("loc", "both")] * 2
    assert told(classifier) == [where in ("cls", "both")] * 2


def test_hr_has_its_own_canvas():
    ours = models.count_parameters(models.build("hr", size=(40, 40)))
    localiser = 1600 * 20 + 20 + 20 * 6 + 6
    assert ours == localiser + 416 + 16 * 400 + 16 + 7 * 7 * 16 * 1024 + 1024 + 10_250
    padded = models.build("hr-padded", size=(40, 40))  # as in its code: 20x20, then 10x10
    wide = localiser + 416 + 16 * 400 + 16 + 10 * 10 * 16 * 1024 + 1024 + 10_250
    assert models.count_parameters(padded) == wide == 1_688_652


def test_hys_classifier_starts_from_narrow_weights_and_its_transformer_does_not():
    torch.manual_seed(0)
    front, classifier = models.build("tutorial-narrow")
    for layer in classifier.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.15)
            assert not layer.bias.any()
    assert front.body[0].bias.any()
    sizes = [models.count_parameters(models.build(n)) for n in ("tutorial", "tutorial-narrow")]
    assert sizes == [27_360, 27_360]


@pytest.mark.parametrize("name", ["paper-fcn", "paper-cnn", "paper-st-fcn", "paper-st-cnn"])
@pytest.mark.parametrize("size", [28, 42, 60])
def test_every_net_of_the_paper_has_about_400_000(name, size):
    pools = [{}, {"pool": True}] if "st" in name else [{}]
    for options in pools:
        model = models.build(name, size=(size, size), **options)
        assert models.count_parameters(model) == pytest.approx(400_000, rel=0.02)


def test_every_option_of_a_model_is_listed():
    assert {"down", "glimpse", "transform", "transformers", "pool", "width", "normalise"} <= set(
        models.options_of("stn-small")
    )
    assert models.options_of("rnn-spn") == sorted(
        "bound design detach_state digits down first_look glimpse normalise padding".split()
    )
    assert models.options_of("cnn") == ["normalise", "pool", "width"]
    for name in models.MODELS:
        assert not {"size", "classes", "channels"} & set(models.options_of(name))


def test_stn_small_is_as_large_on_every_canvas():
    sizes = {models.count_parameters(models.build("stn-small", size=(n, n))) for n in (28, 42, 84)}
    assert len(sizes) == 1 and sizes.pop() == pytest.approx(150_000, rel=0.04)


@pytest.mark.parametrize("transform", models.TRANSFORMS)
@pytest.mark.parametrize("localiser", sorted(set(models.LOCALISERS) - {"hr"}))
def test_every_localiser_starts_every_transform_at_the_identity(localiser, transform):
    front = models.transformer((28, 28), localiser=localiser, transform=transform).eval()
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert (front(x) - x).abs().max() < 1e-6


def test_hr_starts_anywhere_and_its_tanh_cannot_say_identity():
    fronts = [models.build("hr", size=(40, 40))[0] for _ in range(3)]
    x = torch.rand(2, 1, 40, 40)
    assert all((front(x) - x).abs().max() > 0.1 for front in fronts)
    cured = models.transformer((40, 40), localiser="hr")  # the start, and yet the tanh
    cured(x)
    assert torch.allclose(cured.theta[0], torch.eye(2, 3).tanh())


@pytest.mark.parametrize("name", SINGLE)
def test_two_channels_and_nineteen_classes(name):
    model = models.build(name, size=(42, 42), classes=19, channels=2)
    assert model(torch.rand(2, 2, 42, 42)).shape == (2, 19)


def test_two_transformers_side_by_side_give_their_channels_to_the_classifier():
    paper = {"localiser": "paper-fc", "classifier": "paper-fcn", "parameters": 400_000}
    shape = {"size": (42, 42), "classes": 19, "channels": 2}
    net = models.build("stn", **shape, transformers=2, pool=True, **paper)
    x = torch.rand(2, 2, 42, 42)
    assert net[0](x).shape == (2, 4, 21, 21) and net(x).shape == (2, 19)
    assert models.count_parameters(net) == pytest.approx(400_000, rel=0.02)


def test_options_as_json_gives_them():
    options = {"transform": "attention", "glimpse": [20, 24], "padding": "zeros", "bound": None}
    net = models.build("stn-small", **options)
    assert net[0](torch.rand(2, 1, 28, 28)).shape == (2, 1, 20, 24)
    net = models.build("stn", size=(40, 40), transform="homography", bound=0.1, down=2)
    assert net[0](torch.rand(2, 1, 40, 40)).shape == (2, 1, 20, 20)
    assert net[0].transform.bound == 0.1


def test_subsampling_keeps_the_parameter_count_and_pools_nothing():
    plain, sub = models.build("cnn"), models.build("cnn", pool="subsample")
    assert models.count_parameters(plain) == models.count_parameters(sub)
    x = torch.arange(30.0).view(1, 1, 5, 6)
    assert models.Subsample()(x).tolist() == [[[[0, 2, 4], [12, 14, 16]]]]


def test_keras_start_is_glorot_with_zero_bias():
    layer = models.build("fc")[1]
    assert layer.bias.eq(0).all()
    assert layer.weight.abs().max() <= (6 / (784 + 128)) ** 0.5
    assert layer.weight.std().item() == pytest.approx((2 / (784 + 128)) ** 0.5, rel=0.02)


def test_bad_names_and_sizes_are_named():
    with pytest.raises(ValueError, match="model='nope' is unknown; wanted one of fc"):
        models.build("nope")
    with pytest.raises(ValueError, match="pool='mean'; wanted 'max' or 'subsample'"):
        models.build("cnn", pool="mean")
    with pytest.raises(ValueError, match=r"size=\(8, 28\) is too small"):
        models.build("cnn", size=(8, 28))
    for name in ("tutorial", "stn-cnn", "paper-st-cnn", "hr-cnn", "small"):
        with pytest.raises(ValueError, match=r"size=\(3, 3\) is too small"):
            models.build(name, size=(3, 3))
    with pytest.raises(ValueError, match="transform='twist' is unknown; wanted one of affine"):
        models.build("stn", transform="twist")
    with pytest.raises(ValueError, match="localiser='eye' is unknown; wanted one of xq-notebook"):
        models.build("stn", localiser="eye")
    with pytest.raises(ValueError, match="classifier='judge' is unknown; wanted one of fc"):
        models.build("stn", classifier="judge")
    with pytest.raises(ValueError, match="parameters=100 leave nothing"):
        models.build("paper-fcn", parameters=100)
    with pytest.raises(TypeError, match="depth"):
        models.build("stn", depth=3)


CANNOT_BE = [
    ("fc", 0, ValueError),
    ("fc", 2.5, TypeError),
    ("cnn", 0, ValueError),
    ("cnn", -3, ValueError),
]


@pytest.mark.parametrize("kind, width, error", CANNOT_BE)
def test_a_width_that_cannot_be_is_refused(kind, width, error):
    with pytest.raises(error, match=f"width={width}; wanted"):
        models.build(kind, width=width)


def test_a_width_scales_our_classifier():
    narrow, wide = (models.count_parameters(models.build("stn-small", width=w)) for w in (1.0, 1.5))
    assert (narrow, wide) == (145_832, 277_756)


def test_normalise_stands_before_the_network_and_changes_what_it_sees():
    images = torch.rand(2, 1, 28, 28)
    plain = models.build("fc").eval()
    net = models.build("fc", normalise=(0.5, 0.5)).eval()
    net[1].load_state_dict(plain.state_dict())
    assert torch.allclose(net(images), plain(2 * images - 1), atol=1e-6)
    with pytest.raises(ValueError, match="sd=0"):
        models.build("fc", normalise=(0.5, 0))


def test_sizes_and_counts_of_a_transformer_are_checked():
    for arguments, error, message in [
        ((28,), TypeError, "size must be two ints"),
        (((28.0, 28),), TypeError, "size must be two ints"),
        (((28, 28), 0), ValueError, "classes=0; wanted at least 1"),
        (((28, 28), 10, 0), ValueError, "channels=0; wanted at least 1"),
    ]:
        with pytest.raises(error, match=message):
            models.stn(*arguments)
    with pytest.raises(ValueError, match="transformers=0; wanted at least 1"):
        models.stn(transformers=0)
