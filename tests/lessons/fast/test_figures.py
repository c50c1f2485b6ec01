"""The figures and helpers of notebook 07 show what they are given."""

import dataclasses
import os
import subprocess
import sys
import time

import pytest
import torch
import torch.nn.functional as F

from stn_course import geometry, sampling
from stn_course.experiments import speed
from stn_course.lessons.checking import find
from stn_course.lessons.fast import figures, helpers
from stn_course.lessons.fast.traffic import count
from stn_course.sampling import fused
from tests.support import texts


def with_torch(images, theta):
    grid = F.affine_grid(theta, images.shape, align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def with_fused(images, theta):
    return fused.warp(images, theta, padding="zeros")


# ---------------------------------------------------------------- figures
def test_byte_bars_part_what_is_needed_from_the_rest():
    left, right = figures.byte_bars({"pair": (48, 56), "one": (8, 8)}, (8, 8)).axes
    assert [bar.get_width() for bar in left.patches] == [8, 8, 40, 0]
    assert [bar.get_width() for bar in right.patches] == [8, 8, 48, 0]
    assert texts(left) == ["48", "8"] and texts(right) == ["56", "8"]


def test_programs_shows_the_masked_rest():
    fig = figures.programs(28, 28, 256)
    which = fig.axes[0].images[0].get_array()
    assert [int((which == k).sum()) for k in range(4)] == [256] * 4
    masked = fig.axes[0].images[1].get_array()[..., 3] > 0
    assert masked.sum() == 4 * 256 - 784 and masked.reshape(-1)[784]
    assert "program 3" in texts(fig.axes[0])
    assert "240 places without a pixel: masked" in texts(fig.axes[0])


def test_ten_runs_counts_results():
    fig = figures.ten_runs({"float32": [1e-6, 2e-6, 1e-6], "integers": [0.0, 0.0, 0.0]})
    told = [line.get_label() for line in fig.axes[0].lines]
    assert told == ["float32: 2 different results", "integers: 1 different result"]


def test_grid_errors_and_times_are_drawn_as_given():
    ax = figures.grid_errors([28, 100], {"float32": [1e-6, 1e-5], "bfloat16": [0.1, 0.5]}).axes[0]
    assert ax.get_yscale() == "log" and list(ax.lines[1].get_ydata()) == [0.1, 0.5]
    ax = figures.step_times([1, 4], [0.002, 0.004], 87).axes[0]
    assert list(ax.lines[0].get_ydata()) == [2, 4] and list(ax.lines[1].get_ydata()) == [1, 4]
    ax = figures.time_bars({"a": 0.002, "b": 0.001}).axes[0]
    assert [bar.get_width() for bar in ax.patches] == [2, 1] and texts(ax) == ["2", "1"]


def test_timelines_say_how_busy_the_device_is():
    lanes = {"slow": ([(0, 4), (4, 4)], [(5, 2), (9, 1)]), "graph": ([(0, 1)], [(0, 2), (2, 2)])}
    fig = figures.timelines(lanes)
    assert texts(fig.axes[0]) == ["10 µs, busy 30 %"]
    assert texts(fig.axes[1]) == ["4 µs, busy 100 %"]


# ---------------------------------------------------------------- the queue
def test_a_queue_by_hand():
    host, device = helpers.queue(3, ask=4, work=1, trip=2)
    assert host == [(0, 4), (4, 4), (8, 4)]
    assert device == [(6, 1), (10, 1), (14, 1)]
    host, device = helpers.queue(3, ask=4, work=1, trip=2, graph=True)
    assert host == [(0, 4)] and device == [(6, 1), (7, 1), (8, 1)]
    host, device = helpers.queue(3, ask=4, work=10, trip=2, wait_after=1)
    assert device == [(6, 10), (16, 10), (34, 10)] and host[2] == (28, 4)


# ---------------------------------------------------------------- warps
def test_slopes_are_autograds_everywhere():
    images, theta, up = helpers.case(6, 3, 7, 8, seed=4, dtype=torch.float64)
    theta = 1.6 * theta.detach()  # many places outside, on every side
    theta[0, :, 2], theta[1, :, 2] = 2.5, -2.5  # and two images out of sight
    grid = sampling.affine_grid(theta, (5, 9)).requires_grad_()
    out = F.grid_sample(images, grid, align_corners=False)
    up = torch.rand(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (wanted,) = torch.autograd.grad(out, grid, up)
    for k, slope in enumerate(helpers.slopes(images, theta, (5, 9))):
        assert torch.allclose((slope * up).sum(1), wanted[..., k], atol=1e-12)


def test_grid_error_is_what_autocast_does():
    theta = geometry.identity(30) + 0.4 * (helpers.case(30, 1, 2, 2)[1].detach() - 0.5)
    exact = F.affine_grid(theta.double(), (30, 1, 28, 28), align_corners=False)
    with torch.autocast("cpu", torch.bfloat16):
        low = F.affine_grid(theta, (30, 1, 28, 28), align_corners=False)
        ours = sampling.affine_grid(theta, (28, 28))
    assert low.dtype == torch.bfloat16
    measured = (low.double() - exact).abs().max().item() * 14
    told = helpers.grid_error(28, torch.bfloat16, n=30)
    assert 0.5 < measured / told < 2
    assert (ours.double() - exact).abs().max() * 14 < 1e-5
    errors = [helpers.grid_error(n, torch.bfloat16) for n in (28, 224)]
    assert errors[1] / errors[0] == pytest.approx(8, rel=0.5)
    assert helpers.grid_error(28, torch.float32) < 1e-5 < helpers.grid_error(28, torch.float16)


def test_operator_rows_part_the_small_ones():
    images, theta, _ = helpers.case(8, 1, 64, 64)
    out, traffic = count(with_torch, images, theta)
    rows = helpers.operator_rows(traffic, out.numel())
    assert rows[-1][:2] == ["sum", "48"]
    assert ["bmm", "12", "8"] in rows and any("others" in row[0] for row in rows)


def test_race_warps_compares_with_the_first():
    row = helpers.race_warps({"torch": with_torch, "fused": with_fused}, 64, 1)
    assert row[0] == "64" and float(row[1]) < 1e-4 and len(row) == 4
    wrong = helpers.race_warps({"torch": with_torch, "no": lambda x, t: t.sum() * x}, 64, 1)
    assert float(wrong[1]) > 1e-2


def test_gradient_bits_tell_one_bit():
    same = {helpers.gradient_bits(with_fused, threads) for threads in (1, 2, 1)}
    assert len(same) == 1
    other = helpers.gradient_bits(lambda x, t: with_fused(x, t) * (1 + 1e-6), 1)
    assert other not in same
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        helpers.gradient_bits(lambda x, t: 1 / 0, before + 1)
    assert torch.get_num_threads() == before


def test_against_autograd_tells_right_from_wrong():
    right = find("7.3").solution
    theta = geometry.affine(scale=2.0)
    told = helpers.against_autograd(right, theta)
    assert told[0] == "True" and int(told[1].split()[0]) > 50
    half = helpers.against_autograd(lambda *a: right(*a) * (1 + 1e-9), theta)
    assert half[0] == "False"


def test_vmap_over_affine_grid_loops_and_broadcasting_does_not():
    stored = lambda t: F.affine_grid(t, (len(t), 1, 4, 4), False)  # noqa: E731
    spread = lambda t: sampling.affine_grid(t, (4, 4))  # noqa: E731
    for function, loops in ((stored, True), (spread, False)):
        few, many = (helpers.vmapped_operators(function, n) for n in (2, 8))
        assert (many > few) == loops


# ---------------------------------------------------------------- triton
RUN = "import sys, os\nfrom stn_course.lessons.fast import helpers\n"


def in_a_new_process(code, **environment):
    kept = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    return subprocess.run(
        [sys.executable, "-c", RUN + code],
        env=kept | environment | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )


def test_triton_is_opened_in_its_interpreter_where_there_is_no_gpu_or_it_is_too_late():
    pytest.importorskip("triton", reason="TRITON IS NOT INSTALLED: its interpreter was not tried")
    code = "t, tl = helpers.open_triton()\n"
    code += "print(os.environ.pop('TRITON_INTERPRET'), t.__name__, tl.__name__)\n"
    code += "helpers.open_triton()"  # it was imported before, and nobody had asked for that
    done = in_a_new_process(code)
    assert done.stdout.split() == ["1", "triton", "triton.language"] and done.returncode == 1
    assert "triton was imported before open_triton()" in done.stderr


def test_without_triton_there_is_none(monkeypatch):
    monkeypatch.setattr(helpers.importlib.util, "find_spec", lambda name: None)
    assert helpers.open_triton() == (None, None)


# ---------------------------------------------------------------- clock
def test_a_race_takes_turns_and_medians():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    speed.race(calls, rounds=2, seconds=0)
    assert "".join(order) == "aabb" + "ba" + "ab"
    slow = {"short": lambda: None, "long": lambda: time.sleep(0.01)}
    found = speed.race(slow, rounds=3, seconds=0.001)
    assert found["long"] >= 0.01 > 10 * found["short"]


@pytest.mark.parametrize(("calls", "rounds"), [({}, 3), ({"a": lambda: None}, 0)])
def test_a_race_of_nothing_is_refused(calls, rounds):
    with pytest.raises(ValueError, match="wanted calls and at least 1 round"):
        speed.race(calls, rounds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2e-6, "2 µs"),
        (0.0123, "12.3 ms"),
        (1.5, "1.5 s"),
        (90, "90 s"),
        (600, "10 min"),
        (None, "?"),
    ],
)
def test_lengths_in_words(seconds, text):
    assert speed.length(seconds) == text


# ---------------------------------------------------------------- steps
def test_operators_do_not_depend_on_the_batch():
    net = helpers.small_net("convolution")
    optimiser = torch.optim.SGD(net.parameters(), 0.1)
    one, many = (helpers.step_operators(net, optimiser, n) for n in (1, 16))
    assert one == many and min(one) > 2
    assert len(helpers.step_seconds(net, optimiser, (1, 2), 1)) == 2


def test_feeding_counts_each_way():
    stored = torch.rand(8, 3)
    alone = (row * 2 for _ in range(1) for row in stored)

    class Again:
        def __init__(self, step):
            self.step = step

        def __iter__(self):
            return (part * 2 for part in stored.split(self.step))

    assert list(alone)
    one, four = helpers.feeding({"one": Again(1), "four": Again(4)}, 8, 1)
    assert one[:3] == ["one", "1.00", "24"] and four[:3] == ["four", "0.25", "24"]


def test_nets_together_must_give_what_they_give_alone():
    from torch.func import functional_call, grad, stack_module_state, vmap

    def together(nets, factor=1.0):
        weights, _ = stack_module_state(nets)

        def loss(w, x, y):
            return factor * F.cross_entropy(functional_call(nets[0], w, (x,)), y)

        return lambda x, y: vmap(grad(loss), (0, None, None))(weights, x, y)

    assert len(helpers.race_nets(together, 1, n=2)) == 4
    with pytest.raises(AssertionError):
        helpers.race_nets(lambda nets: together(nets, 1.01), 1, n=2)
    with pytest.raises(ValueError, match="kind='deep'; wanted 'linear' or 'convolution'"):
        helpers.small_net("deep")


def test_the_step_for_a_graph_does_not_wait():
    from stn_course.lessons.fast.synchronisation import Synchronisations

    step = helpers.digits_step("cnn", batch=4, device="cpu")
    step()
    with Synchronisations() as waits:
        step()
    assert waits.found == []


# ---------------------------------------------------------------- records
def record(**changes):
    made = speed.Speed(
        1,
        "forward, affine",
        "2 cores of X",
        2,
        3.0,
        "met",
        ours=0.001,
        ratio=4.25,
        low=4.1,
        high=4.4,
        peer_name="torch's two",
    )
    return dataclasses.replace(made, **changes)


def test_the_table_says_what_is_not_yet_run(tmp_path):
    head, rows = speed.targets(tmp_path)
    assert len(rows) == 12 and {len(row) for row in rows} == {len(head)}
    assert {cell for row in rows for cell in (row[4], row[6])} == {"not yet run", "-"}
    assert speed.gpu_rows("graph", tmp_path) == [["graph", "a GPU", "not yet run"]]


def test_the_table_shows_records(tmp_path):
    speed.save(record(), tmp_path)
    speed.save(
        record(device="NVIDIA H200", verdict="missed", ratio=7.0, low=6.5, high=7.5), tmp_path
    )
    speed.save(record(target=7, name="time", wanted=25, ratio=None, ours=21.5), tmp_path)
    speed.save(record(target=6, name="graph", device="NVIDIA H200", verdict="void"), tmp_path)
    rows = speed.targets(tmp_path)[1]
    assert rows[0] == [
        "1",
        "forward, affine",
        "torch's two",
        "3x",
        "4.2x (4.1 to 4.4), met",
        "8x",
        "7.0x (6.5 to 7.5), missed",
    ]
    (seven,) = [row for row in rows if row[0] == "7"]
    assert seven[3:5] == ["25 s", "21.5 s, met"] and seven[6] == "not yet run"
    speed.save(record(target=12, name="a page", wanted=90.0, ratio=None, ours=17.7), tmp_path)
    (page,) = [row for row in speed.targets(tmp_path)[1] if row[0] == "12"]
    assert page[3:5] == ["90 s", "17.7 s, met"]
    assert speed.machines(tmp_path) == ["2 cores of X", "NVIDIA H200"]
    assert speed.gpu_rows("graph", tmp_path) == [["graph", "NVIDIA H200", "void"]]
