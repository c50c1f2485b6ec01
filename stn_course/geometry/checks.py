"""What a transform's numbers, a matrix and a size must be; a clear error where they are not."""

import math
from numbers import Real

import torch
from torch import Tensor


def one_of(argument: str, value, known) -> None:
    """ValueError unless `value` is one of `known`; it names the argument and all of them."""
    if value not in known:
        raise ValueError(f"{argument}={value!r} is unknown; wanted one of {', '.join(known)}")


def values_can_be_checked(values: Tensor) -> bool:
    """Whether the values of a tensor may be looked at now (not while tracing or capturing)."""
    if torch.compiler.is_compiling() or values.is_meta:
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
    return values.to(torch.promote_types(values.dtype, torch.float32))


def as_matrix(theta: Tensor, name: str = "theta") -> Tensor:
    """A checked [B, 2, 3] or [B, 3, 3] in float32 or better."""
    square = isinstance(theta, Tensor) and theta.ndim == 3 and theta.shape[1] == 3
    return as_float(theta, name, ("B", 3, 3) if square else ("B", 2, 3))


def check_size(size: tuple[int, int], name: str = "size") -> tuple[int, int]:
    """(height, width) as two positive ints, or a clear error."""
    pair = tuple(size) if isinstance(size, tuple | list | torch.Size) else ()
    if len(pair) != 2 or not all(isinstance(n, int) and not isinstance(n, bool) for n in pair):
        raise TypeError(f"{name} must be two ints (height, width), got {size!r}")
    if min(pair) < 1:
        raise ValueError(f"{name} must be at least (1, 1), got {pair}")
    return pair


def shrunk_size(size: tuple[int, int], down: float | tuple[float, float]) -> tuple[int, int]:
    """(H, W) of an image of `size` divided by `down`, rounded down, at least 1.

    `down` is a number above 0, or two of them for height and width: (4, 1) is a strip of a
    quarter of the height. Raises TypeError or ValueError for anything else.
    """
    pair = (down, down) if isinstance(down, Real) else down
    if not isinstance(pair, tuple | list) or not all(isinstance(d, Real) for d in pair):
        raise TypeError(f"down={down!r}; wanted a number, or two for height and width")
    if len(pair) != 2 or not all(0 < d < math.inf for d in pair):
        raise ValueError(f"down={down!r}; wanted numbers above 0, one or two (height, width)")
    # 100 / (100 / 83) is 82.999...: the little more makes it 83.  An exported size is a symbol.
    return tuple(
        n if d == 1 else max(1, int(n / d + 1e-9)) for n, d in zip(size, pair, strict=True)
    )
