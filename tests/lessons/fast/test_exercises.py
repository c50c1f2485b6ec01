"""Answers to notebook 07's exercises as people write them, beyond the registered ones."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stn_course import geometry, sampling
from stn_course.lessons.checking import check, find
from stn_course.lessons.fast import helpers, traffic
from stn_course.sampling.reference import warp
from tests.support import rejection

KEYS = ("7.1", "7.2", "7.3", "7.4")


# ---------------------------------------------------------------- the references themselves
def with_torch(images, theta):
    grid = F.affine_grid(theta, images.shape, align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


@pytest.mark.parametrize("channels", [1, 3, 64])
def test_bytes_moved_is_what_is_counted(channels):
    pair = find("7.1").solution(1, channels, (64, 64), (64, 64))[:2]
    counted = traffic.a_pixel(with_torch, channels)
    assert [n / 64**2 for n in pair] == pytest.approx(counted, abs=0.2)


@pytest.mark.parametrize("size", [(6, 6), (5, 9)])
def test_the_gather_is_autograds_gradient(size):
    generator = torch.Generator().manual_seed(0)
    for motion in (dict(angle=30), dict(scale=2.0), dict(scale=0.4), dict(angle=200, shear=20)):
        theta, up = (
            geometry.affine(**motion).double(),
            torch.rand(7, 8, generator=generator).double(),
        )
        image = torch.zeros(1, 1, *size, dtype=torch.float64, requires_grad=True)
        out = warp(image, theta, (7, 8), padding="zeros")
        (wanted,) = torch.autograd.grad(out, image, up[None, None])
        ours = find("7.3").solution(up, theta[0], size)
        assert torch.allclose(ours, wanted[0, 0], atol=1e-12)


def test_both_branches_of_the_step_are_tried():
    lengths = []
    for seed, pull in find("7.4").inputs():
        net, images, labels = helpers.small_problem(seed, pull)
        F.cross_entropy(net(images[0]), labels[0], ignore_index=-1).backward()
        lengths.append(torch.stack([p.grad.norm() for p in net.parameters()]).norm().item())
    assert max(lengths) > 1 > min(lengths)


# ---------------------------------------------------------------- right, written otherwise
def by_einsum(slope_x, slope_y, upstream):
    (h, w), dtype = upstream.shape[2:], upstream.dtype
    y, x = (geometry.pixel_centres(n, dtype=dtype) for n in (h, w))
    base = torch.stack([x.expand(h, w), y[:, None].expand(h, w), torch.ones(h, w, dtype=dtype)])
    slopes = torch.stack([slope_x, slope_y])
    return torch.einsum("ibchw,bchw,jhw->bij", slopes, upstream, base)


def asks_everybody(upstream, theta, size):
    """Every output pixel is asked by every pixel of the image: slow, exact, no inverse."""
    grid = sampling.affine_grid(theta[None], tuple(upstream.shape))[0]
    x, y = geometry.to_pixels(grid, size).unbind(-1)  # [H, W]
    rows = torch.arange(size[0]).to(upstream)[:, None, None]
    columns = torch.arange(size[1]).to(upstream)[:, None, None]
    down = (1 - (y - rows).abs()).clamp(min=0)  # [h, H, W]
    across = (1 - (x - columns).abs()).clamp(min=0)  # [w, H, W]
    return torch.einsum("aij,bij,ij->ab", down, across, upstream)


def with_torchs_clip(net, optimiser, images, labels, total):
    optimiser.zero_grad()
    known = (labels >= 0).double()
    each = F.cross_entropy(net(images), labels.clamp(min=0), reduction="none")
    loss = (each * known).sum() / known.sum()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()
    return total + loss.detach()


RIGHT = {
    "7.1": lambda b, c, s, o: (
        4 * b * (c * s[0] * s[1] + (10 + c) * o[0] * o[1]),
        4 * b * (c * s[0] * s[1] + (12 + c) * o[0] * o[1]),
        *[4 * b * c * (s[0] * s[1] + o[0] * o[1])] * 2,
    ),
    "7.2": by_einsum,
    "7.3": asks_everybody,
    "7.4": with_torchs_clip,
}


@pytest.mark.parametrize("key", KEYS)
def test_other_right_answers_pass(key, capsys):
    assert check(key, RIGHT[key]) is RIGHT[key]
    assert f"{key}: right." in capsys.readouterr().out


# ---------------------------------------------------------------- wrong, written otherwise
def test_autograd_is_no_gather():
    def answer(upstream, theta, size):
        image = upstream.new_zeros(1, 1, *size).requires_grad_()
        grid = F.affine_grid(theta[None], (1, 1, *upstream.shape), align_corners=False)
        out = F.grid_sample(image, grid, align_corners=False)[0, 0]
        return torch.autograd.grad(out, image, upstream)[0][0, 0]

    assert "autograd's own backward added them into shared places" in rejection("7.3", answer)


def test_a_graph_that_grows_is_told():
    def answer(net, optimiser, images, labels, total):
        loss = F.cross_entropy(net(images), labels, ignore_index=-1)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        return total + loss

    assert "the tensor still carries its graph" in rejection("7.4", answer)


@pytest.mark.parametrize("hide", ["print", "nonzero", "tolist", "bincount"])
def test_other_ways_to_wait_are_seen(hide, capsys):
    reference = find("7.4").solution

    def answer(net, optimiser, images, labels, total):
        if hide == "print":
            print(total)
        elif hide == "bincount":
            labels.clamp(min=0).bincount()
        elif hide == "nonzero":
            (labels >= 0).nonzero()
        else:
            labels.tolist()
        return reference(net, optimiser, images, labels, total)

    assert "on case 1 of 2" in rejection("7.4", answer)


def test_a_mask_that_is_filled_is_no_adding():
    def by_mask(upstream, theta, size):
        there = geometry.to_pixels(theta[None], size, tuple(upstream.shape))[0]
        rows, columns = torch.meshgrid(*map(torch.arange, upstream.shape), indexing="ij")
        reader = torch.stack([columns, rows, torch.ones_like(rows)], -1).to(upstream)
        at = reader @ there.T  # where each output pixel reads  [H, W, 2]
        out = upstream.new_zeros(size)
        for i in range(size[0]):
            for j in range(size[1]):
                off = (at - at.new_tensor([j, i])).abs()
                weight = (1 - off).prod(-1)
                weight[(off >= 1).any(-1)] = 0
                out[i, j] = (weight * upstream).sum()
        return out

    check("7.3", by_mask)
