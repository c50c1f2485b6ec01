"""Bytes are counted as they move: views are free, an operator reads once and writes once."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stn_course import sampling
from stn_course.lessons.fast.traffic import Operation, Traffic, a_pixel, count
from stn_course.sampling import fused


def with_torch(images, theta):
    grid = F.affine_grid(theta, images.shape, align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def with_broadcast(images, theta):
    grid = sampling.affine_grid(theta, images.shape[2:])
    return F.grid_sample(images, grid, align_corners=False)


def operations(function, *args):
    return count(function, *args)[1].operations


def test_one_operator_reads_its_arguments_and_writes_its_result():
    a, b = torch.rand(3, 5), torch.rand(3, 5)
    assert operations(torch.add, a, b) == [Operation("add", 120, 60)]
    assert operations(torch.add, a.double(), b.double()) == [Operation("add", 240, 120)]
    assert operations(torch.mm, a, b.T) == [Operation("mm", 120, 36)]
    assert operations(torch.add, a, a) == [Operation("add", 60, 60)], "the same tensor counts once"
    assert Operation("add", 120, 60).total == 180


@pytest.mark.parametrize(
    "view",
    [
        lambda t: t.T,
        lambda t: t[1:, ::2],
        lambda t: t.expand(7, 3, 5),
        lambda t: t.view(15).detach(),
        lambda t: t.unsqueeze(0),
        lambda t: torch.empty(100),
        lambda t: torch.empty_like(t),
    ],
)
def test_views_and_reservations_move_nothing(view):
    assert operations(view, torch.rand(3, 5)) == []


def test_reshaping_in_place_moves_nothing():
    assert operations(lambda t: t.unsqueeze_(0), torch.rand(3, 5)) == []


def test_an_expanded_tensor_counts_each_element_once():
    row = torch.rand(5).expand(1000, 5)
    assert operations(lambda t: t + 1, row) == [Operation("add", 20, 20 * 1000)]


def test_in_place_reads_and_writes_and_overwriting_only_writes():
    t = torch.rand(10)
    assert operations(t.add_, 1) == [Operation("add_", 40, 40)]
    assert operations(t.copy_, torch.rand(10)) == [Operation("copy_", 40, 40)]
    assert operations(t.fill_, 1.0) == [Operation("fill_", 0, 40)]
    assert operations(lambda: torch.add(t, t, out=torch.empty(10))) == [Operation("add", 40, 40)]


def test_picking_rows_reads_what_it_takes():
    table, which = torch.rand(1000, 4), torch.tensor([3, 5])
    assert operations(lambda: table[which]) == [Operation("index", 32 + 16, 32)]
    assert operations(lambda: table.index_select(0, which)) == [
        Operation("index_select", 32 + 16, 32)
    ]


def test_lists_of_tensors_are_seen():
    net = nn.Linear(3, 2)
    net(torch.ones(1, 3)).sum().backward()
    optimiser = torch.optim.Adam(net.parameters(), fused=True)
    optimiser.step()
    last = operations(optimiser.step)[-1]
    assert last.name == "_fused_adam_"
    # 8 numbers: weights, gradients and two moments are read (and the step counts); three written.
    assert last.read == 4 * 8 * 4 + 2 * 4 and last.written >= 4 * 8 * 3


def test_nothing_outside_the_context_is_counted():
    with Traffic() as traffic:
        pass
    torch.rand(3) + 1
    assert traffic.operations == [] and traffic.total == 0


# ---------------------------------------------------------------- the warp
def test_the_pair_moves_48_and_56_bytes():
    forward, backward = a_pixel(with_torch)
    assert round(forward) == 48 and round(backward) == 56
    assert (forward + backward) / 16 == pytest.approx(6.5, abs=0.05)


@pytest.mark.skipif(bool(fused._closed("cpu")), reason="NO C COMPILER: one operator not counted")
def test_one_operator_moves_8_and_8():
    moved = a_pixel(lambda x, t: fused.warp(x, t, padding="zeros"))
    assert [round(n) for n in moved] == [8, 8]


@pytest.mark.parametrize(("channels", "ratio"), [(1, 6.5), (3, 2.8), (64, 1.1)])
def test_what_is_too_much_depends_on_the_channels(channels, ratio):
    too_much = sum(a_pixel(with_torch, channels)) / (16 * channels)
    assert too_much == pytest.approx(ratio, abs=0.05)


def test_a_broadcast_grid_moves_fewer_bytes():
    ours, theirs = a_pixel(with_broadcast), a_pixel(with_torch)
    assert ours[0] < 0.6 * theirs[0] and ours[1] < 0.8 * theirs[1]


def test_the_gradient_to_the_images_is_counted_where_it_is_asked_for():
    (_, one), (_, both) = (a_pixel(with_torch, to_images=k) for k in (False, True))
    assert both - one == 4  # written once


def test_the_count_does_not_change_what_is_computed():
    images, theta = torch.rand(2, 1, 5, 6), torch.eye(2, 3).repeat(2, 1, 1).requires_grad_()
    out, _ = count(with_torch, images, theta)
    assert torch.equal(out, with_torch(images, theta))
    counted, _ = count(torch.autograd.grad, out, theta, torch.ones_like(out))
    again = torch.autograd.grad(with_torch(images, theta), theta, torch.ones_like(out))
    assert torch.equal(counted[0], again[0])
