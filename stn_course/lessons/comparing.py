"""Two answers side by side, and what a call did to its arguments: the parts of `check`."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

KNOWN_WORDS = int | float | complex | str | bytes | None  # told as they are
# By how much of the largest number a few steps round, at least and at most.
ROUNDS = {"float32": (0, 5e-6), "float16": (3e-5, 2e-3)}


# ---------------------------------------------------------------- what a call does
def state_of(x) -> object:
    """All of an argument that a call could change, as something to compare by `==`.

    Values, dtypes and shapes of tensors and arrays, alone or in lists, tuples, dicts and modules;
    whether gradients are asked of them, and a tensor's own; whether a module trains.
    """
    if isinstance(x, nn.Module):
        tensors = [*x.parameters(), *x.buffers()]  # gradients may pile up: that is no change
        training = [module.training for module in x.modules()]
        return training, [(t.requires_grad, state_of(t.detach())) for t in tensors]
    if isinstance(x, torch.Tensor):
        return x.requires_grad, state_of(x.grad), state_of(x.detach().numpy())
    if isinstance(x, np.ndarray):
        return x.dtype, x.shape, x.tobytes()
    if isinstance(x, dict):
        return [(key, state_of(value)) for key, value in x.items()]
    if isinstance(x, list | tuple):
        return [state_of(part) for part in x]
    return x


def is_double(x) -> bool:
    """Whether x is a tensor in float64."""
    return torch.is_tensor(x) and x.dtype == torch.float64


def gradients_at(function: Callable, case: tuple) -> list:
    """Gradients of a weighted sum of all that `function` gives, one in each argument's place.

    Zeros where none flows back; None for what is no tensor of float64.
    """
    case = [x.detach().clone().requires_grad_() if is_double(x) else x for x in case]
    with torch.enable_grad():
        made = function(*case)
    with torch.enable_grad():  # whatever the function has left switched off
        parts = [made] if torch.is_tensor(made) else made
        numbers = torch.cat([p.flatten() for p in parts])
        # Weights that differ: what is exchanged or lost moves the sum.
        loss = numbers @ torch.linspace(1, 2, len(numbers)).to(numbers)
    if not loss.requires_grad:
        return [torch.zeros_like(x) if is_double(x) else None for x in case]
    at = [x for x in case if is_double(x)]
    found = iter(torch.autograd.grad(loss, at, allow_unused=True, materialize_grads=True))
    return [next(found) if is_double(x) else None for x in case]


# ---------------------------------------------------------------- of which kind
def _pairs(got, wanted) -> Iterator[tuple]:
    """Each wanted thing that is no list, tuple or dict, and what came in its place."""
    if isinstance(wanted, dict) and isinstance(got, dict) and set(got) == set(wanted):
        for key in wanted:
            yield from _pairs(got[key], wanted[key])
    elif isinstance(wanted, list | tuple) and _length(got) == len(wanted):
        for g, w in zip(got, wanted, strict=True):
            yield from _pairs(g, w)
    else:
        yield got, wanted


def _length(x) -> int | None:
    if isinstance(x, torch.Tensor) and _unreadable(x):
        return None
    return len(x) if np.iterable(x) and hasattr(x, "__len__") else None


def other_dtype(got, wanted) -> str | None:
    """Whether a tensor or array has come in another library or dtype, in words."""
    for g, w in _pairs(got, wanted):
        if not (hasattr(g, "dtype") and hasattr(w, "dtype")):
            continue
        if isinstance(w, torch.Tensor) != isinstance(g, torch.Tensor):
            kind = "a torch tensor" if isinstance(w, torch.Tensor) else "a numpy array"
            return f"they come as {type(g).__name__}; wanted {kind}"
        if g.dtype != w.dtype:
            return f"they come as {g.dtype}; wanted {w.dtype}, as the input has it"
    return None


def other_kind(got, wanted, learnt: bool = False) -> str | None:
    """Why later cells could not go on with `got` though its numbers are right, if so.

    `learnt`: gradients are to flow back through it, to what came.
    """
    for g, w in _pairs(got, wanted):
        if not hasattr(w, "dtype"):
            continue
        if not hasattr(g, "dtype"):
            kind = "a torch tensor" if isinstance(w, torch.Tensor) else "a numpy array"
            return f"they come as {type(g).__name__}; wanted {kind}"
        if problem := other_dtype(g, w):
            return problem
        if not isinstance(w, torch.Tensor):
            continue
        if g.requires_grad and not w.requires_grad and learnt:
            return (
                "the tensor has a graph that does not begin at what came: compute with the "
                "arguments as they are, not with new leaves (requires_grad_(), nn.Parameter)"
            )
        if g.requires_grad and not w.requires_grad:
            return "the tensor still carries its graph; hand back x.detach()"
        if w.requires_grad and not g.requires_grad:
            return "no gradient can flow back through the tensor: it was detached on the way"
    return None


def shape_of(value) -> str:
    """What `value` is, in a few words: its shape, or itself."""
    if isinstance(value, torch.Tensor) and (kind := _unreadable(value)):
        return f"a tensor {kind}, of {value.dtype}"
    if isinstance(value, np.generic):
        value = value.item()
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of shape {tuple(value.shape)}{_not_finite(value)}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {shape_of(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple) and len(value) <= 4:
        return f"{type(value).__name__} of ({', '.join(map(shape_of, value))})"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {len(value)}"
    # No address, and no page of it.
    return repr(value)[:80] if isinstance(value, KNOWN_WORDS) else f"a {type(value).__name__}"


def entries_that_differ(got, wanted) -> tuple:
    """Two answers; of two dicts with the same keys only what is not the same in both."""
    if not (isinstance(got, dict) and isinstance(wanted, dict) and set(got) == set(wanted)):
        return got, wanted
    keys = [k for k in wanted if difference(got[k], wanted[k])]
    return {k: got[k] for k in keys}, {k: wanted[k] for k in keys}


def _not_finite(value) -> str:
    numbers = numbers_of(value)
    bad = numbers is not None and not np.isfinite(numbers).all()
    return " with NaN or infinity in it" if bad else ""


def _unreadable(x: torch.Tensor) -> str:
    """Which kind of tensor it is whose numbers do not lie side by side; empty of a usual one."""
    kinds = {
        "on meta": x.is_meta,
        "that is quantised": x.is_quantized,
        "that is nested": x.is_nested,
        "that is sparse": not x.is_nested and x.layout != torch.strided,
    }
    return next((kind for kind, found in kinds.items() if found), "")


def numbers_of(x) -> np.ndarray | None:
    """The numbers of x in float64, of lists of tensors too; None where it has none to compare."""
    if isinstance(x, torch.Tensor):
        if _unreadable(x) or (x.is_complex() and x.imag.any()):
            return None
        return (x.real if x.is_complex() else x).detach().cpu().double().numpy()
    if isinstance(x, str | bytes):  # of which numpy would make a number
        return None
    if isinstance(x, list | tuple):
        x = [numbers_of(part) for part in x]
        if any(part is None for part in x):
            return None
    try:
        return np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None


def shape_to_compare(x) -> tuple | None:
    """The shape of an array or a tensor, () of what has none, None of what cannot be read."""
    if isinstance(x, torch.Tensor) and _unreadable(x):
        return None
    return tuple(x.shape) if hasattr(x, "shape") and hasattr(x, "dtype") else ()


def constant_of(answers) -> float | str | None:
    """The one number all `answers` are made of, or the one word; None where there are several.

    Whether something holds is no number, and words between numbers do not count.
    """
    numbers, words = set(), set()
    for leaf, _ in _pairs(answers, answers):
        if leaf is None:
            return None
        if getattr(leaf, "dtype", type(leaf)) in (bool, np.bool_):
            continue
        array = numbers_of(leaf)
        if array is None:
            words.add(shape_of(leaf) if not isinstance(leaf, str) else leaf)
        elif array.size:
            numbers |= {float(array.min()), float(array.max())}
    found = numbers or words
    value = found.pop() if len(found) == 1 else None
    return value if isinstance(value, str | None) or math.isfinite(value) else None


# ---------------------------------------------------------------- by how much
def rounding(got, wanted) -> str:
    """Which dtype rounds about as much as an answer is off, in words; nothing of other misses."""
    pairs = [(numbers_of(g), numbers_of(w)) for g, w in _pairs(got, wanted) if hasattr(w, "dtype")]
    sizes = [(np.abs(g - w).max(initial=0), np.abs(w).max(initial=0)) for g, w in pairs]
    off = max((part / largest if largest else part for part, largest in sizes), default=0)
    for dtype, (least, most) in ROUNDS.items():
        if least < off <= most:
            return f", about as much as {dtype} rounds (is something in {dtype} on the way?)"
    return ""


def difference(a, b) -> float:
    """Largest absolute difference of two answers; infinity if they are not of one kind.

    Numbers, tensors, arrays, and lists, tuples and dicts of them (where a list of numbers
    is wanted, an array of them will do); anything else is equal or not.
    """
    if isinstance(b, dict):
        if not isinstance(a, dict) or set(a) != set(b):
            return math.inf
        return max((difference(a[k], b[k]) for k in b), default=0.0)
    if isinstance(b, list | tuple):
        a = list(a) if shape_to_compare(a) else a
        if not isinstance(a, list | tuple) or len(a) != len(b):
            return math.inf
        return max((difference(x, y) for x, y in zip(a, b, strict=True)), default=0.0)
    if isinstance(b, str | bool) or b is None:
        kind = {str: str, bool: bool | np.bool_}.get(type(b), type(b))
        return 0.0 if isinstance(a, kind) and a == b else math.inf
    a, b = numbers_of(a), numbers_of(b)
    if a is None or b is None or a.shape != b.shape or not np.isfinite(a).all():
        return math.inf
    return float(np.abs(a - b).max(initial=0.0))
