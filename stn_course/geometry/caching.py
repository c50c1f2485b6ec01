"""Tensors that depend on shapes alone, made once: but none that belongs to a tracer."""

from collections.abc import Callable
from functools import lru_cache, wraps

import torch
from torch import Tensor


def plain_tensors() -> bool:
    """Whether a tensor made now is one like any other: nobody compiles, traces or transforms."""
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return False
    return torch._C._functorch.maybe_current_level() is None


def cached_by_shape(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`make`, whose results are kept for each set of arguments (the last 64).

    What is made while `torch.func`, a compiler or an exporter looks on is a tensor of theirs,
    without numbers of its own: it is made anew each time and not kept.
    """
    cached = lru_cache(maxsize=64)(make)

    @wraps(make)
    def get(*key) -> Tensor:
        return cached(*key) if plain_tensors() else make(*key)

    get.cache_clear, get.cache_info = cached.cache_clear, cached.cache_info
    return get
