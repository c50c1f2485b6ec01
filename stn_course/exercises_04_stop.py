"""Exercise 4.4, stop-gradient: reference, cases, known bugs."""

import torch
from torch import nn

from stn_course.exercises import Exercise, uniform


def last_lesson(cell, features, steps, stop):
    """GRU cell, features [B, F] -> the last state [B, S], and what its loss says to features."""
    features = features.clone().requires_grad_()
    state = None
    for _ in range(steps):
        if stop and state is not None:
            state = state.detach()
        state = cell(features, state)  # [B, S]
    loss = state.square().sum()
    (gradient,) = torch.autograd.grad(loss, features)
    return state.detach(), gradient


def _and_whose_history_came_in(function, case):
    """What it gives; where gradients are to stop, "history" too if a state brought one."""
    (cell, _, _, stop), came = case, []

    def note(module, inputs, named):
        state = inputs[1] if len(inputs) > 1 else named.get("hx")
        came.append(state is not None and state.requires_grad)

    watching = cell.register_forward_pre_hook(note, with_kwargs=True)
    try:
        made = function(*case)
    finally:
        watching.remove()
    return (*made, "history") if stop and any(came) and isinstance(made, tuple) else made


def _cases_44():
    for seed, steps in ((5, 3), (6, 2)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            cell = nn.GRUCell(3, 4).double()
        features = 2 * uniform(seed, 2, 3)  # once: what an answer leaves in them is seen
        for stop in (True, False):
            yield cell, features, steps, stop


def _never_stops(cell, features, steps, stop):
    return last_lesson(cell, features, steps, False)


def _always_stops(cell, features, steps, stop):
    return last_lesson(cell, features, steps, True)


def _stops_the_wrong_way_round(cell, features, steps, stop):
    return last_lesson(cell, features, steps, not stop)


def _forgets(cell, features, steps, stop):
    return last_lesson(cell, features, 1, stop)


def _one_step_more(cell, features, steps, stop):
    return last_lesson(cell, features, steps + 1, stop)


def _loss_of_all(cell, features, steps, stop):
    features = features.clone().requires_grad_()
    state, loss = None, 0
    for _ in range(steps):
        if stop and state is not None:
            state = state.detach()
        state = cell(features, state)
        loss = loss + state.square().sum()
    return state.detach(), torch.autograd.grad(loss, features)[0]


def _stops_the_features(cell, features, steps, stop):
    features = features.clone().requires_grad_()
    state = None
    for step in range(steps):
        earlier = stop and step < steps - 1
        state = cell(features.detach() if earlier else features, state)
    loss = state.square().sum()
    return state.detach(), torch.autograd.grad(loss, features)[0]


def _in_the_features_themselves(cell, features, steps, stop):
    features.requires_grad_()
    state = None
    for _ in range(steps):
        if stop and state is not None:
            state = state.detach()
        state = cell(features, state)
    state.square().sum().backward()
    return state.detach(), features.grad


STOP = Exercise(
    last_lesson,
    _cases_44,
    {
        "the gradient goes through all steps although stop is True: detach the state before "
        "it goes into the next step": _never_stops,
        "the gradient stops although stop is False": _always_stops,
        "stop is the wrong way round": _stops_the_wrong_way_round,
        "every step starts from nothing: hand the state on": _forgets,
        "one step too many": _one_step_more,
        "the loss adds up all states; wanted that of the last one": _loss_of_all,
        "the features are detached and the state is not: the cell's weights still learn "
        "through all steps": _stops_the_features,
        "the gradient is left in the features that came, and the next call adds to it: work on "
        "features.clone()": _in_the_features_themselves,
    },
    "state = cell(features, state), steps times, from None (zeros of your own want the dtype of "
    "features: the check tries float64); if stop, state.detach() goes in "
    "instead; then torch.autograd.grad(state.square().sum(), features)",
    tolerance=1e-9,
    ask=_and_whose_history_came_in,
)
