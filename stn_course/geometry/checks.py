"""What a transform's numbers, a matrix and a size must be; a clear error where they are not."""

import difflib
import math
import operator
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from numbers import Real

import numpy as np
import torch
from torch import Tensor

SHORT = 200  # characters of names that can be read at a glance


def one_of(argument: str, value, known) -> None:
    """ValueError unless `value` is one of `known`; it names the argument, and them as `choices`."""
    if value not in known:
        raise ValueError(f"{argument}={value!r} is unknown; wanted one of {choices(value, known)}")


def choices(value, known, listed: str = "") -> str:
    """What could have been meant by `value`, in words: all that is `known`, or of many the nearest.

    `listed`: what names all of them; without it all are named where none is near.
    """
    names, near = list(map(str, known)), []
    if len(every := ", ".join(names)) > SHORT:
        near = difflib.get_close_matches(str(value), names, 5)
    if not near:
        return listed if listed and len(every) > SHORT else every
    return f"{', '.join(near)} or {len(names) - len(near)} others" + (f" ({listed})") * bool(listed)


def values_can_be_checked(values: Tensor) -> bool:
    """Whether the values of a tensor may be looked at now (not while tracing or capturing)."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or values.is_meta:
        return False
    if torch._C._functorch.is_functorch_wrapped_tensor(values):
        return False
    return not (values.is_cuda and torch.cuda.is_current_stream_capturing())


def as_int64(values: Tensor, name: str) -> Tensor:
    """The whole numbers of a tensor in int64: narrower ones begin again at their end, 255 + 1 is 0.

    Raises TypeError for another kind of number (truth values are none), and for no tensor.
    """
    kind = values.dtype if isinstance(values, Tensor) else type(values).__name__
    if (
        not isinstance(values, Tensor)
        or kind.is_floating_point
        or kind.is_complex
        or (kind == torch.bool)
    ):
        raise TypeError(f"{name} must be a tensor of whole numbers, got {kind}")
    return values.long()


def raise_where(bad: Tensor, message: str) -> None:
    """Raise ValueError with the message and the first bad batch entries, if any is True."""
    if values_can_be_checked(bad) and bad.any():
        entries = bad.reshape(bad.shape[0], -1).any(1).nonzero().flatten().tolist()
        shown = ", ".join(map(str, entries[:8])) + (", ..." if len(entries) > 8 else "")
        raise ValueError(f"{message} (batch entries {shown})")


def exactly(values: Tensor) -> AbstractContextManager:
    """A context in which matrix products keep the type of `values`, whatever autocast does.

    Not every kind of device has an autocast to switch off: "meta" has none.
    """
    device = values.device.type
    if not torch.amp.is_autocast_available(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)


def widened(values: Tensor) -> Tensor:
    """Numbers of any type in float32 or better: what is counted, summed or stepped on."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def as_float(values: Tensor, name: str, shape: tuple) -> Tensor:
    """The tensor in float32 or better, after checking its type, shape and values.

    `shape` lists the wanted sizes; a string stands for any size, "B" for the batch.
    """

    def wanted() -> str:  # only for a message: the sizes of a traced batch have no text
        return "[" + ", ".join(map(str, shape)) + "]"

    if not isinstance(values, Tensor):
        raise TypeError(f"{name} must be a tensor {wanted()}, got {type(values).__name__}")
    if not values.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor, got {values.dtype}")
    fits = (isinstance(w, str) or w == got for w, got in zip(shape, values.shape, strict=False))
    if values.ndim != len(shape) or not all(fits):
        raise ValueError(f"{name} must have shape {wanted()}, got {list(values.shape)}")
    raise_where(~values.detach().isfinite(), f"{name} must be finite, got NaN or infinity")
    return widened(values)


def as_matrix(theta: Tensor, name: str = "theta") -> Tensor:
    """A checked [B, 2, 3] or [B, 3, 3] in float32 or better."""
    square = isinstance(theta, Tensor) and theta.ndim == 3 and theta.shape[1] == 3
    return as_float(theta, name, ("B", 3, 3) if square else ("B", 2, 3))


def _one(value) -> str:
    """Of one number in a tensor or an array: "i" if it is whole, "f" if it is real; else ""."""
    if not isinstance(value, Tensor | np.ndarray | np.generic) or value.ndim:
        return ""
    if not isinstance(value, Tensor):
        return {"i": "i", "u": "i", "f": "f"}.get(value.dtype.kind, "")
    if value.dtype == torch.bool or value.is_complex():
        return ""
    return "f" if value.is_floating_point() else "i"


def as_whole(value):
    """`value` as an int if it is a whole number that 64 bits hold, else None.

    Python's ints, NumPy's, and one of an integer type in a tensor or an array count the same;
    True and 2.0 do not. What stands for a number while sizes are traced stays as it is.
    """
    if isinstance(value, torch.SymInt):
        return value
    if not isinstance(value, int) and _one(value) == "i":
        value = operator.index(value)
    fits = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return value if fits else None


def as_number(value):
    """`value` as an int or a float if it is a finite real number, else None.

    Python's, NumPy's, and one in a tensor or an array count the same; True does not. What stands
    for a number while sizes are traced stays as it is.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, torch.SymInt | torch.SymFloat):
        return value
    try:
        if _one(value):
            value = value.item()
        elif isinstance(value, Fraction):
            value = float(value)
        return value if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:  # a whole number or a fraction beyond all floats
        return None


def is_number(value) -> bool:
    """Whether this is a real number of any kind, NaN too; True and "2" are not."""
    return (isinstance(value, Real) and not isinstance(value, bool)) or bool(_one(value))


def whole_number(name: str, value, least: int = 1) -> int:
    """`value` (see `as_whole`) as an int of at least `least`.

    Raises TypeError for what is no whole number, ValueError for one that is too small.
    """
    found = as_whole(value)
    if found is None:
        raise TypeError(f"{name}={value!r}; wanted a whole number, at least {least}")
    if found < least:
        raise ValueError(f"{name}={found}; wanted at least {least}")
    return found


LARGEST = 1e30  # beyond this and below its inverse, float32 has no room left to calculate


def as_measure(value):
    """`as_number` of what float32 can be calculated with: 0, or 1e-30 to 1e30 either way."""
    found = as_number(value)
    if not isinstance(found, int | float):
        return found
    found = float(found) if abs(found) >= 2**63 else found  # not a whole number to torch
    return found if found == 0 or 1 / LARGEST <= abs(found) <= LARGEST else None


def real_number(name: str, value, above: float = -math.inf) -> float:
    """`value` (see `as_measure`) as an int or a float, above `above`; next to 0 where 0 may be.

    Raises TypeError for what is no number, ValueError for one that is not finite, too small, or
    that float32 could not be calculated with.
    """
    found = as_measure(value)
    if found is None and above < 0 and abs(as_number(value) or math.inf) < 1 / LARGEST:
        found = as_number(value)  # next to 0, which is no less a number
    if found is None or not found > above:
        wanted = f"a number above {above}" if above > -math.inf else "a finite number"
        if found is None and as_number(value) is not None:
            wanted += ", of 1e-30 to 1e30"
        kind = ValueError if is_number(value) else TypeError
        raise kind(f"{name}={value!r}; wanted {wanted}")
    return found


def _listed(values) -> tuple | None:
    """What a tuple, a list or one row of an array or a tensor holds; None of anything else."""
    if isinstance(values, np.ndarray | Tensor) and values.ndim == 1:
        return tuple(values)
    return tuple(values) if isinstance(values, tuple | list) else None


def plain_size(size):
    """A size with Python's ints for any other whole numbers; what is none stays as it came."""
    listed = _listed(size)
    if listed is None:
        return size
    return tuple(n if (found := as_whole(n)) is None else found for n in listed)


def check_size(size: tuple[int, int], name: str = "size") -> tuple[int, int]:
    """(height, width) as two positive ints, or a clear error. Each as `as_whole` has it."""
    given = _listed(size) or ()
    pair = tuple(as_whole(n) for n in given)
    if len(pair) != 2 or any(n is None for n in pair):
        raise TypeError(f"{name} must be two ints (height, width), got {size!r}")
    if min(pair) < 1:
        raise ValueError(f"{name} must be at least (1, 1), got {pair}")
    if any(isinstance(n, int) and n >= 2**31 for n in pair):
        raise ValueError(f"{name} must be below 2**31 on both sides, got {pair}")
    return pair


def check_down(down: float | tuple[float, float]) -> tuple[float, float]:
    """By how much height and width are divided: a number above 0, or two of them.

    Raises TypeError or ValueError for anything else.
    """
    pair = (down, down) if (listed := _listed(down)) is None else listed
    if not all(is_number(each) for each in pair):
        raise TypeError(f"down={down!r}; wanted a number, or two for height and width")
    pair = tuple(as_measure(each) for each in pair)
    if len(pair) != 2 or not all(each is not None and each > 0 for each in pair):
        raise ValueError(f"down={down!r}; wanted numbers above 0, one or two (height, width)")
    return pair


def shrunk_size(size: tuple[int, int], down: float | tuple[float, float]) -> tuple[int, int]:
    """(H, W) of an image of `size` divided by `down`, rounded down, at least 1.

    `down` is a number above 0, or two of them for height and width: (4, 1) is a strip of a
    quarter of the height. Raises TypeError or ValueError for anything else.
    """
    size, pair = check_size(size), check_down(down)
    # 100 / (100 / 83) is 82.999...: the little more makes it 83.  An exported size is a symbol.
    return tuple(
        n if d == 1 else max(1, int(n / d + 1e-9)) for n, d in zip(size, pair, strict=True)
    )
