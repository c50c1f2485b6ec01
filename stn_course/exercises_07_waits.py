"""Exercise 7.4, find the hidden synchronisation: the reference, inputs, known bugs."""

import torch
import torch.nn.functional as F

from stn_course.exercises import Exercise
from stn_course.step_lab import try_step


def asking_step(net, optimiser, images, labels, total):
    """One step that waits: a mask, an `if` and an `item`. labels are -1 where unknown."""
    known = labels >= 0
    loss = F.cross_entropy(net(images[known]), labels[known])
    optimiser.zero_grad()
    loss.backward()
    length = torch.stack([p.grad.norm() for p in net.parameters()]).norm()
    if length > 1:
        for p in net.parameters():
            p.grad /= length
    optimiser.step()
    return total + loss.item()


def quiet_step(net, optimiser, images, labels, total):
    """The same step, and nothing in it asks what a number is."""
    loss = F.cross_entropy(net(images), labels, ignore_index=-1)
    optimiser.zero_grad()
    loss.backward()
    length = torch.stack([p.grad.norm() for p in net.parameters()]).norm()
    for p in net.parameters():
        p.grad /= length.clamp(min=1)
    optimiser.step()
    return total + loss.detach()


def _cases_74():
    yield 1, 30.0
    yield 2, 0.1


# ---------------------------------------------------------------- known bugs
def _step(net, optimiser, images, labels, total, loss=None, clip="always", told=None):
    """`quiet_step` with one thing changed."""
    loss = loss or (lambda: F.cross_entropy(net(images), labels, ignore_index=-1))
    value = loss()
    optimiser.zero_grad()
    value.backward()
    length = torch.stack([p.grad.norm() for p in net.parameters()]).norm()
    if clip == "if":
        clip = "by the length" if length > 1 else "not"
    for p in net.parameters():
        if clip != "not":
            p.grad /= length.clamp(min=1) if clip == "always" else length
    optimiser.step()
    return total + (told or torch.Tensor.detach)(value)


def _still_masks(net, optimiser, images, labels, total):
    known = labels >= 0
    loss = lambda: F.cross_entropy(net(images[known]), labels[known])  # noqa: E731
    return _step(net, optimiser, images, labels, total, loss=loss)


def _still_branches(*case):
    return _step(*case, clip="if")


def _still_tells(*case):
    return _step(*case, told=lambda loss: loss.item())


def _never_clips(*case):
    return _step(*case, clip="not")


def _always_divides(*case):
    return _step(*case, clip="by the length")


def _learns_the_unknown(net, optimiser, images, labels, total):
    loss = lambda: F.cross_entropy(net(images), labels.clamp(min=0))  # noqa: E731
    return _step(net, optimiser, images, labels, total, loss=loss)


def _mean_over_all(net, optimiser, images, labels, total):
    def loss():
        each = F.cross_entropy(net(images), labels, ignore_index=-1, reduction="none")
        return each.mean()

    return _step(net, optimiser, images, labels, total, loss=loss)


def _counts_nothing(*case):
    _step(*case)
    return case[-1]


EXERCISES = {
    "7.4": Exercise(
        quiet_step,
        _cases_74,
        {
            "nothing has changed: it waits for the mask, for the `if` and for `item()`": (
                asking_step
            ),
            "images[known] still waits: how many images are known decides a shape. Let "
            "cross_entropy leave them out: ignore_index=-1": _still_masks,
            "`if length > 1` still waits: the program cannot go on before it knows. Divide by "
            "length.clamp(min=1), always": _still_branches,
            "loss.item() still waits: add the tensor, loss.detach(), and ask once in the end": (
                _still_tells
            ),
            "the gradients are no longer shortened": _never_clips,
            "short gradients are made longer: where length is below 1, divide by 1": (
                _always_divides
            ),
            "images without a label are learnt as zeros": _learns_the_unknown,
            "this is the mean over all images; the unknown ones do not count": _mean_over_all,
            "the loss is not added to total": _counts_nothing,
        },
        "three lines ask for a value: a shape that depends on one, a branch, and a number for "
        "Python. Each has a form that stays on the device",
        tolerance=1e-5,
        ask=lambda function, case: try_step(function, *case),
    ),
}
