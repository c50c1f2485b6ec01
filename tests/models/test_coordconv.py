"""CoordConv: the coordinates are right whatever the shape, and nothing else is in the layer."""

import io

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stn_course.models import CoordConv2d, add_coords, coordconv


def by_hand(x, radius=False):
    """The same channels pixel by pixel: centres, [-1, 1] from edge to edge, x first."""
    batch, _, height, width = x.shape
    made = torch.zeros(batch, 3 if radius else 2, height, width)
    for row in range(height):
        for column in range(width):
            place = (column + 0.5) / width * 2 - 1, (row + 0.5) / height * 2 - 1
            made[:, 0, row, column], made[:, 1, row, column] = place
            if radius:
                made[:, 2, row, column] = (place[0] ** 2 + place[1] ** 2) ** 0.5
    return torch.cat([x, made], 1)


@pytest.fixture
def noise():
    return torch.randn(3, 2, 5, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("radius", [False, True])
@pytest.mark.parametrize("shape", [(3, 2, 5, 8), (1, 1, 8, 5), (2, 3, 1, 7), (1, 1, 1, 1)])
def test_channels_as_made_by_hand(shape, radius):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(add_coords(x, radius), by_hand(x, radius), atol=1e-6)


def test_x_goes_right_and_y_goes_down():
    x, y = add_coords(torch.zeros(1, 0, 2, 4))[0]
    assert x.tolist() == [[-0.75, -0.25, 0.25, 0.75]] * 2
    assert y.tolist() == [[-0.5] * 4, [0.5] * 4]


def test_the_coordinates_are_where_the_sampler_reads():
    from stn_course import sampling

    grid = sampling.affine_grid(torch.eye(2, 3)[None], (5, 8))  # [1, 5, 8, 2]
    assert torch.equal(add_coords(torch.zeros(1, 0, 5, 8)).movedim(1, 3), grid)


@pytest.mark.parametrize("radius", [False, True])
@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1}, {"padding_mode": "reflect"}])
def test_equals_a_convolution_with_channels_by_hand(noise, radius, options):
    options = {"padding": 2} | options
    ours = CoordConv2d(2, 4, 3, radius=radius, **options)
    plain = nn.Conv2d(5 if radius else 4, 4, 3, **options)
    plain.load_state_dict(ours.state_dict())
    for x in (noise, noise[:1]):
        assert torch.allclose(ours(x), plain(by_hand(x, radius)), atol=1e-5)


def test_arguments_come_in_the_order_of_a_convolutions():
    ours, plain = CoordConv2d(2, 4, 3, 2, 1, 2), nn.Conv2d(4, 4, 3, 2, 1, 2)
    for name in ("stride", "padding", "dilation", "kernel_size", "groups"):
        assert getattr(ours, name) == getattr(plain, name)


def test_only_weight_and_bias_are_stored_and_counted(noise):
    layer = CoordConv2d(2, 4, 3, radius=True)
    layer(noise)  # which keeps its coordinates somewhere
    assert {k: tuple(v.shape) for k, v in layer.state_dict().items()} == {
        "weight": (4, 5, 3, 3),
        "bias": (4,),
    }
    assert sum(p.numel() for p in layer.parameters()) == 4 * 5 * 9 + 4
    assert [*layer.buffers()] == []
    assert [*CoordConv2d(2, 4, 3, bias=False).state_dict()] == ["weight"]


def test_gradients_reach_the_image_and_every_weight():
    x = torch.randn(2, 1, 4, 6, dtype=torch.float64, requires_grad=True)
    layer = CoordConv2d(1, 2, 3, radius=True).double()
    assert torch.autograd.gradcheck(
        lambda x, w, b: F.conv2d(add_coords(x, True), w, b), (x, layer.weight, layer.bias)
    )
    layer(x).square().sum().backward()
    assert x.grad.abs().min() > 0 and all(p.grad.abs().min() > 0 for p in layer.parameters())


def test_coordinates_are_kept_for_each_size_type_and_device(noise):
    coordconv._kept_channels.cache_clear()
    for x in (noise, noise[:1], noise + 1, noise.double(), noise[..., 1:]):
        add_coords(x)
    counted = coordconv._kept_channels.cache_info()
    assert (counted.hits, counted.misses) == (2, 3)


def test_what_inference_mode_keeps_serves_training(noise):
    coordconv._kept_channels.cache_clear()
    layer = CoordConv2d(2, 4, 3)
    with torch.inference_mode():
        layer(noise)
    layer(noise).sum().backward()
    assert layer.weight.grad is not None


def test_what_a_tracer_asked_for_is_not_kept(noise):
    from torch._subclasses.fake_tensor import FakeTensorMode

    coordconv._kept_channels.cache_clear()
    with FakeTensorMode():
        add_coords(torch.rand(noise.shape))
    torch.func.jacfwd(lambda x: add_coords(x).sum())(noise)
    assert coordconv._kept_channels.cache_info().currsize == 0
    assert type(add_coords(noise)) is torch.Tensor


def test_there_are_images_to_convolve():
    for wrong in (-2, -1, 0, 1.0):
        with pytest.raises(ValueError, match=f"in_channels={wrong}; wanted those of the images"):
            CoordConv2d(wrong, 4, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_type(noise, dtype):
    made = add_coords(noise.to(dtype), radius=True)
    assert made.dtype == dtype
    assert torch.equal(made[:, 2:], add_coords(noise.double(), True)[:, 2:].float().to(dtype)) or (
        dtype == torch.float64 and torch.equal(made[:, 2:], add_coords(noise.double(), True)[:, 2:])
    )


def test_autocast(noise):
    layer = CoordConv2d(2, 4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(noise)
        assert layer(noise.bfloat16()).dtype == torch.bfloat16
    assert out.dtype == torch.bfloat16
    assert torch.allclose(out.float(), layer(noise), atol=0.05)


def test_a_net_survives_export_and_its_file(noise):
    coordconv._kept_channels.cache_clear()
    net = nn.Sequential(CoordConv2d(2, 4, 3, radius=True), nn.ReLU(), CoordConv2d(4, 1, 1)).eval()
    batch = torch.export.Dim("batch", min=2)
    made = torch.export.export(net, (noise,), dynamic_shapes=[{0: batch}])
    assert coordconv._kept_channels.cache_info().currsize == 0  # no tensor of the recording stays
    file = io.BytesIO()
    torch.export.save(made, file)
    file.seek(0)
    back = torch.export.load(file).module()
    for x in (noise, noise.repeat(3, 1, 1, 1)):
        assert torch.allclose(back(x), net(x), atol=1e-6)


def test_under_vmap_and_on_meta(noise):
    each = torch.func.vmap(lambda x: add_coords(x[None])[0])(noise)
    assert torch.equal(each, add_coords(noise))
    assert CoordConv2d(2, 4, 3).to("meta")(noise.to("meta")).shape == (3, 4, 3, 6)


def test_bad_input_is_named(noise):
    with pytest.raises(TypeError, match="x is torch.int64; wanted a floating-point tensor"):
        add_coords(torch.zeros(1, 1, 4, 4, dtype=torch.long))
    with pytest.raises(TypeError, match="x is list"):
        add_coords([1.0])
    with pytest.raises(ValueError, match=r"x has shape \[5, 8\]; wanted \[B, C, H, W\]"):
        add_coords(noise[0, 0])
    with pytest.raises(ValueError, match="x has 2 channels; wanted 3"):
        CoordConv2d(3, 4, 3)(noise)
    with pytest.raises(ValueError, match="groups=2; wanted 1"):
        CoordConv2d(2, 4, 3, groups=2)
