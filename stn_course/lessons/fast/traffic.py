"""Counting what operators read and write: the cost that a program has on any machine.

`Traffic` watches PyTorch's own operators as they run, forward and backward. An operator reads
each of its tensors once and writes what it makes: what it does in between (and whether a cache
spares it a trip to memory) is not seen, so these are the least bytes that have to move.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# One operator by name, several by what it does: counted one by one.
OPENED = {"aten::affine_grid_generator"}
# These reserve memory, or overwrite what is there without looking.
RESERVE = ("aten::empty", "aten::new_empty")
OVERWRITE = ("aten::copy_", "aten::fill_", "aten::zero_")
# These read no more of their first tensor than they make of it.
PICK = {"aten::index", "aten::index_select", "aten::gather", "aten::embedding"}
# In place, and on the shape alone.
RESHAPE = {"aten::unsqueeze_", "aten::squeeze_", "aten::transpose_", "aten::t_"}


@dataclass(frozen=True)
class Operation:
    """One operator as it ran: its name, and the bytes that it read and wrote."""

    name: str
    read: int
    written: int

    @property
    def total(self) -> int:
        return self.read + self.written


class Traffic(TorchDispatchMode):
    """A context manager: `operations` are those that ran inside it and touched memory.

    Views and reservations move nothing and are left out. Of an expanded tensor each element
    counts once. Works for whatever device the tensors are on.
    """

    def __init__(self):
        super().__init__()
        self.operations: list[Operation] = []

    @property
    def total(self) -> int:
        """All bytes, read and written."""
        return sum(each.total for each in self.operations)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, func._schema.name
        if name in OPENED:
            with self:  # what it calls comes here again
                key = torch._C.DispatchKey.CompositeExplicitAutograd
                return func._op_dk(key, *args, **kwargs)
        read, written = _given(func._schema, args, kwargs)
        result = func(*args, **kwargs)
        if not (name.startswith(RESERVE) or name in RESHAPE):
            known = {_memory(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
            made = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
            written += [t for t in made if _memory(t) not in known]
            # A view has a result and writes nothing: then its inputs are not read either.
            if written or not made:
                self._note(name, read, written)
        return result

    def _note(self, name: str, read: list[Tensor], written: list[Tensor]) -> None:
        bytes_read, bytes_written = size_of(read), size_of(written)
        if name in PICK:
            bytes_read -= max(0, size_of(read[:1]) - bytes_written)
        if bytes_read or bytes_written:
            name = name.removeprefix("aten::")
            self.operations.append(Operation(name, bytes_read, bytes_written))


def _given(schema, args: tuple, kwargs: dict) -> tuple[list[Tensor], list[Tensor]]:
    """Which of an operator's arguments are read, and which are written."""
    read, written = [], []
    named = dict(zip((a.name for a in schema.arguments), args, strict=False)) | kwargs
    for argument in schema.arguments:
        tensors = [t for t in tree_leaves(named.get(argument.name)) if isinstance(t, Tensor)]
        changed = argument.alias_info is not None and argument.alias_info.is_write
        if changed:
            written += tensors
        if not (changed and (schema.name in OVERWRITE or argument.is_out)):
            read += tensors
    return read, written


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def size_of(tensors: list[Tensor]) -> int:
    """Bytes of the elements of `tensors`; the same elements count once."""
    seen = {}
    for t in tensors:
        elements = prod(n for n, step in zip(t.shape, t.stride(), strict=True) if step)
        where = (_memory(t), t.storage_offset(), t.shape, t.stride())
        seen[where] = elements * t.element_size() if t.numel() else 0
    return sum(seen.values())


def count(function: Callable, *args) -> tuple[object, Traffic]:
    """What `function(*args)` gives, and the traffic that it made."""
    with Traffic() as traffic:
        result = function(*args)
    return result, traffic


def a_pixel(
    warp: Callable[[Tensor, Tensor], Tensor],
    channels: int = 1,
    side: int = 64,
    to_images: bool = False,
) -> tuple[float, float]:
    """Bytes a pixel of the output that `warp(images, theta)` moves, forward and backward.

    On 8 images of `channels` x `side` x `side` in float32; backward to theta, and to the
    images as well with `to_images`.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(8, channels, side, side, generator=generator)
    theta = torch.eye(2, 3) + 0.1 * torch.rand(8, 2, 3, generator=generator)
    wanted = (theta.requires_grad_(), images.requires_grad_())[: 1 + to_images]
    if not to_images:
        images = images.detach()
    out, forward = count(warp, images, theta)
    _, backward = count(torch.autograd.grad, out, wanted, torch.ones_like(out))
    pixels = 8 * side * side
    return forward.total / pixels, backward.total / pixels
