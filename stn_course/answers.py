"""How two answers to an exercise are compared, and described where they differ."""

import math


def other_kind(got, wanted) -> str | None:
    """Why later cells could not go on with ``got`` though its numbers are right, if so."""
    if isinstance(wanted, dict):
        pairs = [(got[k], wanted[k]) for k in wanted]
    elif isinstance(wanted, list | tuple):
        pairs = list(zip(got, wanted, strict=True))
    else:
        pairs = []
    for g, w in pairs:
        if problem := other_kind(g, w):
            return problem
    if not hasattr(wanted, "requires_grad"):
        return None
    if not hasattr(got, "requires_grad"):
        return f"they come as {type(got).__name__}; wanted a torch tensor"
    if got.dtype != wanted.dtype:
        return f"they come as {got.dtype}; wanted {wanted.dtype}, as the input has it"
    if got.requires_grad and not wanted.requires_grad:
        return "the tensor still carries its graph; hand back x.detach()"
    if wanted.requires_grad and not got.requires_grad:
        return "no gradient can flow back through the tensor: it was detached on the way"
    return None


def shape_of(value) -> str:
    if hasattr(value, "shape"):
        return f"an array of shape {tuple(value.shape)}{_not_finite(value)}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {shape_of(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple) and len(value) <= 4:
        return f"{type(value).__name__} of ({', '.join(map(shape_of, value))})"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {len(value)}"
    return repr(value)[:80]


def entries_that_differ(got, wanted) -> tuple:
    """Two answers; of two dicts with the same keys only what is not the same in both."""
    if not (isinstance(got, dict) and isinstance(wanted, dict) and set(got) == set(wanted)):
        return got, wanted
    keys = [k for k in wanted if difference(got[k], wanted[k])]
    return {k: got[k] for k in keys}, {k: wanted[k] for k in keys}


def _not_finite(value) -> str:
    import numpy as np

    value = value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
    numbers = value.dtype.kind == "f"
    return " with NaN or infinity in it" if numbers and not np.isfinite(value).all() else ""


def difference(a, b) -> float:
    """Largest absolute difference of two answers; infinity if they are not of one kind.

    Numbers, tensors, arrays, and lists, tuples and dicts of them (where a list of numbers
    is wanted, an array of them will do); anything else is equal or not.
    """
    if hasattr(b, "detach"):
        b = b.detach().cpu().double().numpy()
    if hasattr(a, "detach"):
        a = a.detach().cpu().double().numpy()
    if isinstance(b, dict):
        if not isinstance(a, dict) or set(a) != set(b):
            return math.inf
        return max((difference(a[k], b[k]) for k in b), default=0.0)
    if isinstance(b, list | tuple):
        a = list(a) if getattr(a, "ndim", 0) else a
        if not isinstance(a, list | tuple) or len(a) != len(b):
            return math.inf
        return max((difference(x, y) for x, y in zip(a, b, strict=True)), default=0.0)
    if isinstance(b, str | bool) or b is None:
        return 0.0 if type(a) is type(b) and a == b else math.inf
    return _number_difference(a, b)


def _number_difference(a, b) -> float:
    import numpy as np

    try:
        a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    except (TypeError, ValueError):
        return math.inf
    if a.shape != b.shape or not np.isfinite(a).all():
        return math.inf
    return float(np.abs(a - b).max(initial=0.0))
