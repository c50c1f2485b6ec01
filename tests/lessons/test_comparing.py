"""Two answers side by side, and what a call did to its arguments."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from stn_course.lessons import comparing


def test_differences():
    assert comparing.difference([1, 2.0], [1, 2.5]) == 0.5
    assert comparing.difference([1], [1, 2]) == math.inf
    assert comparing.difference(float("nan"), 1.0) == math.inf
    assert comparing.difference({"a": 1}, {"b": 1}) == math.inf
    assert comparing.difference("128", 128) == math.inf
    assert comparing.difference(np.str_("x"), "x") == comparing.difference(np.True_, True) == 0
    assert comparing.difference(1, True) == comparing.difference(np.False_, None) == math.inf
    assert comparing.difference("x", "x") == 0 and comparing.difference("x", "y") == math.inf


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch is to give them up
        return torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8)


WITH_A_GRAPH = torch.ones(2, 3, requires_grad=True) * 2
NO_NUMBERS = {
    "a tensor that is sparse, of torch.float32": torch.eye(3).to_sparse(),
    "a tensor on meta, of torch.float64": torch.ones(2, device="meta").double(),
    "a tensor that is quantised, of torch.quint8": quantised(),
    "a generator": (n for n in (1, 2)),
    "a function": lambda: 0,
    "a Linear": nn.Linear(2, 2),
    "'1.0'": "1.0",
    "1j": 1j,
    "list of (1, list of (2, 3))": [1, [2, 3]],
    str(10**400)[:80]: 10**400,
}


@pytest.mark.parametrize("told", NO_NUMBERS)
def test_what_has_no_numbers_to_compare_is_another_answer_and_no_error(told):
    value = NO_NUMBERS[told]
    for wanted in (torch.ones(2), np.ones(2), 1.0, [1.0, 2.0], (torch.ones(2), 1), {"a": 1}):
        assert comparing.difference(value, wanted) == math.inf
        comparing.other_dtype(value, wanted)
    assert comparing.constant_of([value]) in (None, told.strip("'"))
    assert comparing.shape_of(value) == told


def test_tensors_with_a_graph_are_compared_wherever_they_lie():
    for got in (WITH_A_GRAPH, [WITH_A_GRAPH[0], WITH_A_GRAPH[1]], [[WITH_A_GRAPH[0, 0]] * 3] * 2):
        assert comparing.difference(got, np.full((2, 3), 2.5)) == 0.5
    assert comparing.difference([WITH_A_GRAPH], 2.0) == math.inf
    assert comparing.constant_of([WITH_A_GRAPH]) == 2


CHANGES = {
    "a value": (torch.ones(2), lambda x: x.mul_(0)),
    "a value behind autograd's back": (torch.ones(2), lambda x: x.data.zero_()),
    "a shape": (torch.ones(2, 1), lambda x: x.squeeze_()),
    "that gradients are asked for": (torch.ones(2), lambda x: x.requires_grad_()),
    "a gradient": (torch.ones(2, requires_grad=True), lambda x: x.sum().backward()),
    "an array": (np.ones(2), lambda x: np.negative(x, out=x)),
    "the array of a list of tuples": ([("a", np.ones(2))], lambda x: x[0][1].fill(3)),
    "a list": ([3, 1, 2], lambda x: x.sort()),
    "a dict": ({"a": 1}, lambda x: x.update(a=2)),
    "the order of a dict": ({"a": 1, "b": 2}, lambda x: x.update(a=x.pop("a"))),
    "a weight": (nn.Linear(2, 2), lambda x: nn.init.zeros_(x.bias)),
    "that a weight learns": (nn.Linear(2, 2), lambda x: x.requires_grad_(False)),
    "the mode": (nn.Sequential(nn.Dropout()).eval(), lambda x: x[0].train()),
    "what batch norm remembers": (nn.BatchNorm1d(2), lambda x: x(torch.rand(4, 2))),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_seen(what):
    argument, change = CHANGES[what]
    before = comparing.state_of(argument)
    assert comparing.state_of(argument) == before
    change(argument)
    assert comparing.state_of(argument) != before


def test_use_is_no_change():
    layer, x = nn.Linear(2, 2), torch.rand(3, 2, requires_grad=True)
    before = [comparing.state_of(part) for part in (layer, x, abs, 3)]
    torch.autograd.grad(layer(x).sum(), x)
    layer(x.detach()).sum().backward()  # a layer's gradients pile up, and are cleared by who learns
    assert [comparing.state_of(part) for part in (layer, x, abs, 3)] == before


def test_gradients_of_a_weighted_sum_by_hand():
    x, y = torch.tensor([2.0, 3.0]).double(), torch.tensor([5.0]).double()
    at_x, at_y, at_n = comparing.gradients_at(lambda x, y, n: (x * n, y.detach() * x), (x, y, 4))
    # Weights from 1 to 2 in four steps, of the four numbers that come.
    weights = [1, 4 / 3, 5 / 3, 2]
    at = [4 * weights[k] + 5 * weights[2 + k] for k in (0, 1)]
    assert at_x.tolist() == pytest.approx(at) and at_y.tolist() == [0] and at_n is None
    assert not x.requires_grad
    at_x, at_y, _ = comparing.gradients_at(lambda x, y, n: x.detach(), (x, y, 4))
    assert at_x.tolist() == [0, 0] and at_y.tolist() == [0]


@pytest.mark.parametrize(
    ("answers", "constant"),
    [
        ([torch.zeros(2, 3), torch.zeros(1)], 0),
        ([0.0, 0.0], 0),
        ([[1.0, 1.0], (np.ones(3), 1)], 1),
        ([{"numbers": torch.zeros(2), "holds": False}], 0),
        (["it passes", torch.zeros(3)], 0),
        (["a", "a"], "a"),
        ([torch.tensor([0.0, 1])], None),
        ([0.0, 1.0], None),
        (["a", "b"], None),
        ([None, "a"], None),
        ([float("nan"), float("nan")], None),
        ([{"holds": True}], None),
    ],
)
def test_constants(answers, constant):
    assert comparing.constant_of(answers) == constant


def test_gradients_do_not_depend_on_what_is_switched_off():
    def answer(x):
        torch.set_grad_enabled(False)
        return 2 * x

    x = torch.ones(2).double()
    with torch.no_grad():
        assert comparing.gradients_at(lambda x: 2 * x, (x,))[0].tolist() == [2, 4]
    assert comparing.gradients_at(answer, (x,))[0].tolist() == [0, 0]
    assert torch.is_grad_enabled()


def test_rounding_names_the_dtype():
    wanted = 3 * torch.rand(50, generator=torch.Generator().manual_seed(0)).double()
    for dtype in (torch.float32, torch.float16):
        told = comparing.rounding(wanted.to(dtype), wanted)
        assert str(dtype).removeprefix("torch.") in told
    assert comparing.rounding(wanted + 0.02, wanted) == ""
    assert comparing.rounding(wanted + 5e-5, wanted) == ""
    assert comparing.rounding([wanted, 0.001 + 0 * wanted], [wanted, 0.1 * wanted]) == ""
    assert comparing.rounding(55.02, 55.0) == ""  # a number for people is rounded by people


@pytest.mark.parametrize(
    ("got", "wanted", "words"),
    [
        (torch.ones(2), torch.ones(2), None),
        (torch.ones(2).half(), torch.ones(2), "they come as torch.float16; wanted torch.float32"),
        (np.ones(2), torch.ones(2), "they come as ndarray; wanted a torch tensor"),
        (torch.ones(2), np.ones(2), "they come as Tensor; wanted a numpy array"),
        (np.ones(2, "float32"), np.ones(2), "they come as float32; wanted float64"),
        ((np.ones(2), 1), (np.ones(2), 1.0), None),
        (iter([torch.ones(2)]), [torch.ones(2)], None),
        (torch.tensor(1), [torch.ones(2)], None),
        ({"a": torch.ones(2)}, {"a": torch.ones(2).double()}, "they come as torch.float32"),
    ],
)
def test_other_dtypes(got, wanted, words):
    told = comparing.other_dtype(got, wanted)
    assert told is None if words is None else told.startswith(words)
