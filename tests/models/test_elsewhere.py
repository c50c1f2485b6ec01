"""Networks in other hands: exported, traced, without numbers (meta), and quantised."""

import io
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.export import Dim

from stn_course import geometry, models
from stn_course.analysis import robustness
from stn_course.analysis.glimpses import glimpse_iou
from stn_course.models import ROW_MODELS, SpatialTransformer, losses

BATCH = Dim("batch", min=2, max=64)
TRANSFORMERS = [name for name in models.MODELS if name not in models.CLASSIFIERS]
HEADS = [
    *(geometry.Affine(), geometry.Translation(), geometry.Attention(), geometry.Similarity()),
    *(geometry.Homography(), geometry.Corners(), geometry.Corners(None)),
    *(geometry.ThinPlateSpline(), geometry.ThinPlateSpline((2, 3))),
]


def size_of(name):
    return (40, 60) if name in ROW_MODELS else (40, 40) if name.startswith("hr") else (28, 28)


def built(name):
    """A network whose transformer looks a little elsewhere, so that it is no identity."""
    torch.manual_seed(0)
    net = models.build(name, size=size_of(name)).eval()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, SpatialTransformer):
                module.head[0].bias.add_(0.1 * torch.randn_like(module.head[0].bias))
    return net


def images(n, size, seed=0):
    return torch.rand(n, 1, *size, generator=torch.Generator().manual_seed(seed))


def moved(head, localiser=None):
    """A transformer that does something: for pictures of 20 x 24, or as `localiser` takes them."""
    torch.manual_seed(1)
    localiser = localiser or nn.Sequential(nn.Flatten(), nn.Linear(20 * 24, head.n))
    net = SpatialTransformer(localiser, head).eval()
    nn.init.normal_(net.head[0].weight, 0, 0.01)
    return net


@pytest.mark.parametrize("name", models.MODELS)
@torch.no_grad()
def test_an_exported_network_takes_any_batch(name):
    net, size = built(name), size_of(name)
    program = torch.export.export(net, (images(3, size),), dynamic_shapes=({0: BATCH},)).module()
    for n in (2, 5):
        x = images(n, size, n)
        assert (program(x) - net(x)).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["stn-small", "alone"])
@torch.no_grad()
def test_an_exported_network_takes_any_canvas_where_it_has_a_glimpse(name):
    similar = moved(geometry.Similarity(), models.LOCALISERS["small"](4))
    net = built(name) if name in models.MODELS else nn.Sequential(similar)
    sizes = {0: BATCH, 2: Dim("height", min=16, max=200), 3: Dim("width", min=16, max=200)}
    program = torch.export.export(net, (images(3, (28, 32)),), dynamic_shapes=(sizes,)).module()
    for n, size in ((2, (28, 28)), (4, (40, 64)), (5, (61, 33))):
        x = images(n, size, n)
        assert program(x).shape == net(x).shape
        assert (program(x) - net(x)).abs().max() < 1e-5


@pytest.mark.parametrize("head", HEADS, ids=repr)
@torch.no_grad()
def test_every_transform_is_exported(head):
    net = moved(head)
    x = images(3, (20, 24))
    program = torch.export.export(net, (x,), dynamic_shapes=({0: BATCH},)).module()
    x = images(4, (20, 24), 1)
    assert (program(x) - net(x)).abs().max() < 1e-5


@pytest.mark.parametrize("name", models.MODELS)
@torch.no_grad()
def test_a_traced_network_is_saved_and_takes_any_batch(name):
    net, size, file = built(name), size_of(name), io.BytesIO()
    torch.jit.save(torch.jit.trace(net, images(3, size), check_trace=False), file)
    file.seek(0)
    back = torch.jit.load(file)
    assert "stn_course::" not in str(back.inlined_graph)
    for n in (3, 5):
        x = images(n, size, n)
        assert (back(x) - net(x)).abs().max() < 1e-5


def test_a_traced_network_is_read_without_this_package(tmp_path):
    net, x = built("stn-fc"), images(2, (28, 28))
    torch.jit.save(torch.jit.trace(net, x, check_trace=False), tmp_path / "net.pt")
    torch.save((x, net(x).detach()), tmp_path / "pair.pt")
    code = (
        "import sys, torch; net = torch.jit.load('net.pt'); x, y = torch.load('pair.pt'); "
        "assert 'stn_course' not in sys.modules; assert (net(x) - y).abs().max() < 1e-5"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True, cwd=tmp_path)


# ---------------------------------------------------------------- without numbers
def boxes_of(n):
    return torch.tensor([[[1.0, 1, 5, 5]]]).repeat(n, 1, 1)


MEASURED = {
    "rotate": (lambda x: robustness.rotate(x, 30), lambda n: (images(n, (9, 11), n),)),
    "loss": (losses.mean_loss, lambda n: (torch.rand(n, 10), torch.randint(10, (n,)))),
    "loss of rows": (
        losses.sequence_loss,
        lambda n: (torch.rand(n, 3, 10), torch.randint(10, (n, 3))),
    ),
    "overlap": (
        lambda theta, boxes: glimpse_iou(theta, boxes, 10),
        lambda n: (geometry.affine(torch.rand(n), 2)[:, None], boxes_of(n)),
    ),
}


class Asked(nn.Module):
    """A function as a module: only those are exported."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *given):
        return self.function(*given)


@pytest.mark.parametrize("name", MEASURED)
def test_what_is_measured_and_lost_is_exported_and_traced_for_any_batch(name):
    function, given = MEASURED[name]
    module, some = Asked(function), given(3)
    shapes = (tuple({0: BATCH} for _ in some),)
    program = torch.export.export(module, some, dynamic_shapes=shapes).module()
    traced = torch.jit.trace(module, some, check_trace=False)
    for n in (2, 5):
        others = given(n)
        for made in (program, traced):
            assert torch.allclose(made(*others), function(*others), atol=1e-6)


@pytest.mark.parametrize("name", models.MODELS)
def test_shapes_are_found_on_meta(name):
    size = size_of(name)
    with torch.device("meta"):
        net = models.build(name, size=size)
        found = net(torch.rand(3, 1, *size))
    whole = models.build(name, size=size)
    assert found.device.type == "meta" and found.shape == whole(images(3, size)).shape
    assert whole.to("meta")(images(3, size).to("meta")).shape == found.shape
    assert {p.device.type for p in net.parameters()} <= {"meta"}


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_every_transform_has_a_shape_on_meta(head):
    net = moved(head).to("meta")
    out = net(torch.rand(2, 1, 20, 24, device="meta"))
    assert out.shape == (2, 1, 20, 24) and net.theta.is_meta
    out.sum().backward()
    assert net.head[0].weight.grad.is_meta


# ---------------------------------------------------------------- quantised
@pytest.mark.parametrize("dtype", [torch.qint8, torch.float16])
@pytest.mark.parametrize("name", TRANSFORMERS)
@torch.no_grad()
def test_a_quantised_network_answers_nearly_the_same(name, dtype):
    net, x = built(name), images(4, size_of(name))
    small = torch.ao.quantization.quantize_dynamic(net, dtype=dtype)
    wanted, found = net(x), small(x)
    assert any("quantized" in type(m).__module__ for m in small.modules())
    assert 0 < (found - wanted).abs().max() < 0.15 * wanted.abs().max() + 0.01
    for a, b in zip(net.modules(), small.modules(), strict=False):
        if isinstance(a, SpatialTransformer) and isinstance(b, SpatialTransformer):
            assert b.theta.dtype == torch.float32
            assert (a.theta - b.theta).abs().max() < 0.1
