"""Many channels are read side by side, a vector of them at once: the numbers of one at a time."""

import warnings

import pytest
import torch

from stn_course import geometry
from stn_course.sampling import fused, reference
from stn_course.sampling.fused import cpu
from tests.sampling.cases import answers, draw, near
from tests.sampling.test_fused import COMPILER, run, same
from tests.sampling.test_tiles import everything, transform_of

pytestmark = COMPILER
CHANNELS = [16, 20, 35, 64]  # with a rest that is no whole vector, and without
SHAPES = [((14, 14), (14, 14)), ((9, 37), (30, 11)), ((1, 1), (3, 5)), ((33, 2), (1, 1))]


@pytest.fixture(autouse=True)
def strict():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no fallback
        yield


@pytest.mark.parametrize("channels", CHANNELS)
def test_random_cases(channels):
    for seed in range(25):
        case = draw(seed, channels=(channels,), largest=45)
        near(run(case), answers(case), 4e-5)  # places are rounded more where sides are long


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("padding", [*reference.PADDINGS, "fill"])
def test_what_is_read_has_the_bits_of_one_channel_at_a_time(channels, shapes, padding):
    g = torch.Generator().manual_seed(5)
    for kind in ("affine", "homography", "spline"):
        images = torch.rand(2, channels, *shapes[0], generator=g)
        images[0, 0], images[1, -1, 0] = torch.nan, torch.inf
        theta, fill = transform_of(kind, 2, g), torch.rand(2, channels, generator=g)
        fill = fill if padding == "fill" else None
        how = "background" if padding == "fill" else padding
        found = fused.warp(images, theta, shapes[1], how, fill)
        for i in range(channels):
            part = slice(i, i + 1)
            level = None if fill is None else fill[:, part]
            wanted = fused.warp(images[:, part], theta, shapes[1], how, level)
            assert torch.equal(found[:, part].nan_to_num(7), wanted.nan_to_num(7))


@pytest.mark.parametrize("padding", reference.PADDINGS)
def test_a_picture_that_many_transforms_read_gets_the_sum_over_copies(padding):
    g = torch.Generator().manual_seed(6)
    images, theta = torch.rand(3, 20, 9, 21, generator=g), transform_of("affine", 7, g)
    index, grad = torch.tensor([2, 0, 2, 2, 0, 2, 0]), torch.rand(7, 20, 5, 18, generator=g) - 0.3
    found = []
    for read, how in ((images, {"index": index}), (images[index], {})):
        read, places = read.clone().requires_grad_(), theta.clone().requires_grad_()
        out = fused.warp(read, places, (5, 18), padding, **how)
        found.append([out.detach(), *torch.autograd.grad(out, [read, places], grad)])
    once, copies = found
    assert torch.equal(once[0], copies[0]) and torch.equal(once[2], copies[2])
    summed = torch.zeros_like(images)
    for k, i in enumerate(index.tolist()):
        summed[i] += copies[1][k]
    assert torch.equal(once[1], summed)
    assert not once[1][1].any()


@pytest.mark.parametrize("size", [(125, 125), (125, 126), (60, 240), (3, 2000)], ids=str)
def test_around_the_size_where_stripes_end(size, monkeypatch):
    """As many cells as a stripe has, and more; and the same through tiles."""
    g = torch.Generator().manual_seed(7)
    images, theta = torch.rand(1, 17, *size, generator=g), transform_of("affine", 1, g)
    for padding in reference.PADDINGS:
        wanted = reference.warp(images.double(), theta.double(), None, padding)
        found = everything(images, theta, None, padding, False)
        assert (found[0] - wanted).abs().max() < 2e-4
        with monkeypatch.context() as patched:
            patched.setattr(cpu, "WHOLE", 0)
            tiled = everything(images, theta, None, padding, False)
        assert torch.equal(found[0], tiled[0])
        near(found[1:2], [t.double() for t in tiled[1:2]])
        near(found[2:3], [t.double() for t in tiled[2:3]], 1e-4)


def test_any_number_of_threads_gives_the_same_bits(monkeypatch):
    monkeypatch.setattr(cpu, "ENOUGH", 1)
    before = torch.get_num_threads()
    cases = [draw(seed, channels=(20, 64), largest=30) for seed in range(8)]
    wanted = [run(case) for case in cases]
    try:
        for threads in (2, 3):
            torch.set_num_threads(threads)
            for case, first in zip(cases, wanted, strict=True):
                same(run(case), first)
    finally:
        torch.set_num_threads(before)


def test_neither_empty_nor_without_gradients_is_anything_special():
    images, theta = torch.rand(0, 32, 5, 6), geometry.identity(0)
    assert everything(images, theta, (3, 4), "zeros", False)[0].shape == (0, 32, 3, 4)
    images, theta = torch.rand(2, 32, 5, 6), geometry.identity(2).requires_grad_()
    with torch.no_grad():
        assert torch.equal(fused.warp(images, theta), images)
    assert fused.warp(images, theta).requires_grad
    assert not fused.warp(images, theta.detach()).requires_grad
