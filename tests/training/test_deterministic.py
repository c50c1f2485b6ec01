"""What torch refuses on CUDA under `use_deterministic_algorithms`: none of it is asked for.

There is no GPU to refuse anything here, so a mode looks at every operator, forward and backward.
"""

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from stn_course import data, models
from stn_course.analysis import perspective
from stn_course.data import recipes
from stn_course.experiments.catalogue import not_so_clevr
from stn_course.models.layers import CellMeans
from stn_course.models.losses import mean_loss
from stn_course.sampling import background_of, fused
from stn_course.sampling.fused import cuda
from stn_course.sampling.reference import lower_median

# From the documentation of torch.use_deterministic_algorithms, torch 2.13; with `dtype` those
# that are refused for floating-point numbers alone.
REFUSED = {
    *("median.dim", "nanmedian.dim", "kthvalue", "histc", "put_", "put", "bincount.weights"),
    *("_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward", "avg_pool3d_backward"),
    *("adaptive_max_pool2d_backward", "fractional_max_pool2d_backward", "max_unpool2d"),
    *("grid_sampler_2d_backward", "grid_sampler_3d_backward", "nll_loss2d_forward"),
    *("upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward"),
    *("reflection_pad1d_backward", "reflection_pad2d_backward", "_ctc_loss_backward"),
    *("cumsum", "cumsum_", "scatter_reduce.two"),
}


class Refusing(TorchDispatchMode):
    """RuntimeError at an operator that CUDA has no deterministic way for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func).removeprefix("aten.").removesuffix(".default").removesuffix(".out")
        whole = name.startswith("cumsum") and not args[0].is_floating_point()
        if name in REFUSED and not whole:
            raise RuntimeError(f"{name} has no deterministic implementation")
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_what_would_be_refused_is():
    x = torch.rand(2, 3, 5, 7, requires_grad=True)
    grid = torch.rand(2, 2, 2, 2)
    for call in (
        lambda: x.flatten(2).median(2),
        lambda: F.grid_sample(x, grid, align_corners=False).sum().backward(),
        lambda: F.adaptive_avg_pool2d(x, 4).sum().backward(),
        lambda: F.adaptive_max_pool2d(x, 1).sum().backward(),
        lambda: x.cumsum(1),
    ):
        with Refusing(), pytest.raises(RuntimeError, match="no deterministic"):
            call()
    with Refusing():
        assert torch.arange(3).cumsum(0).tolist() == [0, 1, 3]


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 2, 9), (3, 1, 1, 1), (0, 1, 4, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_the_background_is_the_median(shape, dtype):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    with Refusing():
        found, on_cuda = background_of(x), cuda.background(x)
    border = x.flatten(2)
    if min(shape[2:]) >= 3:
        edge = torch.ones(shape[2:], dtype=torch.bool)
        edge[1:-1, 1:-1] = False
        border = x[:, :, edge]
    wanted = border.contiguous().median(2).values
    assert torch.equal(found, wanted) and found.dtype == dtype
    assert torch.equal(on_cuda, wanted.float())


def test_a_median_knows_nan_and_infinity_and_has_a_gradient():
    nan, inf = float("nan"), float("inf")
    rows = torch.tensor([[3.0, 1, 2, 0], [nan, 1, 2, 3], [inf, -inf, inf, inf], [1, 1, 1, 5]])
    found, wanted = lower_median(rows), rows.median(1).values
    assert torch.equal(found.nan_to_num(-1.0), wanted.nan_to_num(-1.0)) and found[1].isnan()
    assert torch.equal(lower_median(rows[[0, 2]].T, 0), wanted[[0, 2]])
    x = torch.tensor([[3.0, 1, 2, 0]], requires_grad=True)
    lower_median(x).backward()
    assert x.grad.tolist() == [[0, 1, 0, 0]]
    assert torch.equal(torch.func.vmap(lower_median)(rows[[0, 2, 3]]), wanted[[0, 2, 3]])


@pytest.mark.parametrize("size", [(7, 7), (5, 9), (3, 2), (25, 30), (4, 8)])
def test_means_of_cells_are_torchs(size):
    x = torch.rand(2, 3, *size, dtype=torch.float64, requires_grad=True)
    for cells in (4, (2, 5), 1):
        found, wanted = CellMeans(cells)(x), F.adaptive_avg_pool2d(x, cells)
        torch.testing.assert_close(found, wanted)
        weights = torch.rand_like(wanted)
        with Refusing():
            (a,) = torch.autograd.grad((found * weights).sum(), x)
        (b,) = torch.autograd.grad((wanted * weights).sum(), x)
        torch.testing.assert_close(a, b)


def test_means_of_cells_keep_their_bits_where_nothing_is_asked():
    torch.use_deterministic_algorithms(False)
    x = torch.rand(2, 3, 7, 7)
    assert torch.equal(CellMeans(4)(x), F.adaptive_avg_pool2d(x, 4))


@pytest.mark.parametrize("name", models.MODELS)
def test_a_step_of_every_network_is_deterministic(name):
    rows = name in models.ROW_MODELS
    net = models.build(name, size=(40, 60) if rows else (40, 40)).train()
    x = torch.rand(2, 1, 40, 60 if rows else 40)
    labels = torch.zeros(2, 3, dtype=torch.long) if rows else torch.zeros(2, dtype=torch.long)
    with Refusing():
        mean_loss(net(x), labels).backward()
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize("padding", ["background", "zeros", "border"])
def test_the_sampler_is_deterministic(padding):
    x, theta = torch.rand(2, 3, 6, 7, requires_grad=True), torch.rand(2, 2, 3, requires_grad=True)
    with Refusing():
        fused.reference.warp(x, theta, padding=padding).sum().backward()
    assert x.grad.abs().sum() > 0 and theta.grad.abs().sum() > 0


@pytest.mark.parametrize("name", [*data.DISTORTIONS, *data.TASKS])
def test_every_recipe_is_deterministic(name):
    digits = torch.rand(6, 1, 28, 28)
    with Refusing():
        recipes.make(name, digits, torch.arange(6), torch.Generator().manual_seed(0))


def test_the_probe_of_perspective_and_the_maximum_of_maps():
    with Refusing():
        perspective.lower_median(torch.rand(5, 4, 2), 0)
        x = torch.rand(2, 8, 16, 16, requires_grad=True)
        found = not_so_clevr.Highest()(x)
        found.square().sum().backward()
    mine, x.grad = x.grad, None
    wanted = F.adaptive_max_pool2d(x, 1)
    wanted.square().sum().backward()
    assert torch.equal(found, wanted) and torch.equal(mine, x.grad)
