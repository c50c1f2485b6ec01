"""Every way to ask for a value is seen, with its line; what stays on the device is not."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stn_course.lessons.fast.synchronisation import Synchronisations

X = torch.arange(5.0) / 10
MASK = X > 0.15
ASKING = {
    "item": (lambda: X[0].item(), "item"),
    "if": (lambda: 1 if MASK[0] else 2, "if, while"),
    "and": (lambda: MASK[0] and MASK[1], "if, while"),
    "max of Python": (lambda: max(X), "if, while"),
    "float": (lambda: float(X[0]), "float"),
    "int": (lambda: int(X[0]), "int"),
    "range": (lambda: range(torch.tensor(3)), "index of Python"),
    "text": (lambda: f"{X[0]:.2f}", "text"),
    "print": (lambda: str(X), "printed"),
    "mask": (lambda: X[MASK], "mask"),
    "mask written": (lambda: X.clone().__setitem__(MASK, torch.ones(3)), "mask"),
    "masked_select": (lambda: X.masked_select(MASK), "masked_select"),
    "nonzero": (lambda: MASK.nonzero(), "nonzero"),
    "where of one": (lambda: torch.where(MASK), "nonzero"),
    "unique": (lambda: X.unique(), "unique"),
    "repeat_interleave": (lambda: torch.repeat_interleave(torch.tensor([1, 2])), "repeat"),
    "equal": (lambda: torch.equal(X, X), "bool"),
    "allclose": (lambda: torch.allclose(X, X), "bool"),
    "tolist": (lambda: X.tolist(), "tolist"),
    "cpu": (lambda: X.cpu(), "cpu"),
    "to cpu": (lambda: X.to("cpu"), "cpu"),
    "numpy": (lambda: X.numpy(), "numpy"),
    "asarray": (lambda: np.asarray(X), "NumPy"),
}
QUIET = {
    "arithmetic": lambda: (X * 2).sum() + X.mean(),
    "where of three": lambda: torch.where(MASK, X, 0.0),
    "masked_fill": lambda: X.masked_fill(MASK, 0.0),
    "one value through a mask": lambda: X.clone().__setitem__(MASK, 0.0),
    "index by numbers": lambda: X[torch.tensor([1, 2])],
    "any": lambda: MASK.any(),
    "another type": lambda: X.to(torch.float64),
    "another's device": lambda: X.to(MASK.device),
    "shape": lambda: X.reshape(1, -1).shape[0] * 2,
    "clamp": lambda: X / X.norm().clamp(min=1),
    "ignored labels": lambda: F.cross_entropy(
        torch.zeros(2, 3), torch.tensor([1, -1]), ignore_index=-1
    ),
}


@pytest.mark.parametrize("name", ASKING)
def test_asking_is_seen(name):
    ask, word = ASKING[name]
    with Synchronisations() as waits:
        ask()
    assert waits.found and all(word in each for each in waits.found)


@pytest.mark.parametrize("name", QUIET)
def test_what_stays_on_the_device_is_not(name):
    with Synchronisations() as waits:
        QUIET[name]()
    assert waits.found == []


def test_a_usual_training_step_is_quiet():
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    optimiser = torch.optim.Adam(net.parameters(), fused=True)
    with Synchronisations() as waits:
        for _ in range(2):
            optimiser.zero_grad()
            F.cross_entropy(net(torch.ones(5, 4)), torch.zeros(5, dtype=torch.long)).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
    assert waits.found == []


def test_the_line_is_the_programs_own():
    with Synchronisations() as waits:
        total = X.sum()
        total.item()  # here
        torch.where(MASK)  # and here
    assert waits.lines == ["total.item()  # here", "torch.where(MASK)  # and here"]


def test_nothing_is_seen_after_an_error():
    with pytest.raises(ZeroDivisionError), Synchronisations() as waits:
        _ = 1 / 0
    X[0].item()
    assert waits.found == []
    with Synchronisations() as again:
        X[0].item()
    assert len(again.found) == 1
