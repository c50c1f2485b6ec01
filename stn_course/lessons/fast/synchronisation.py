"""Finding where a program waits for a value: hidden synchronisations.

A GPU works through a queue that the program fills. Whoever asks what a number is must wait until
the queue is empty, and then it runs dry. `Waits` notes each such question. It needs no GPU: the
questions are the same on the CPU, where nobody notices them.
"""

import linecache
import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MANY = "as many results as there are values"
# Methods that make something of Python, or copy to the CPU.
METHODS = {
    Tensor.item: ".item(): a tensor became a number",
    Tensor.__bool__: "if, while, and, or, not: a tensor became True or False",
    Tensor.__float__: "float(): a tensor became a number",
    Tensor.__int__: "int(): a tensor became a number",
    Tensor.__index__: "a tensor became an index of Python",
    Tensor.__format__: "a tensor was written into a text",
    Tensor.__repr__: "a tensor was printed",
    Tensor.cpu: ".cpu(): a copy to the CPU",
    Tensor.numpy: ".numpy(): a copy to the CPU",
    Tensor.tolist: ".tolist(): a copy to the CPU",
    Tensor.__array__: "NumPy made a copy on the CPU",
}
# Operators whose result is of Python, or whose size depends on values.
OPERATORS = {
    "aten::_local_scalar_dense": "a tensor became a number",
    "aten::nonzero": f"nonzero: {MANY}",
    "aten::masked_select": f"masked_select: {MANY}",
    "aten::_unique2": f"unique: {MANY}",
    "aten::unique_consecutive": f"unique_consecutive: {MANY}",
    "aten::repeat_interleave": f"repeat_interleave: {MANY}",
    "aten::bincount": f"bincount: {MANY}",
    "aten::equal": "torch.equal gives a bool of Python",
    "aten::allclose": "torch.allclose gives a bool of Python",
}
BY_INDEX = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
NOT_THE_READERS = (str(Path(torch.__file__).parent), __file__)


class _Methods(TorchFunctionMode):
    """Sees methods; while one runs, what it does inside is not noted a second time."""

    def __init__(self, note):
        super().__init__()
        self.note, self.inside = note, False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        # By its name alone: `.to(other.device)` says nothing about where that is.
        named = [v for v in (*args, *kwargs.values()) if type(v) is str]
        if func is Tensor.to and "cpu" in named:
            self.note(".to('cpu'): a copy to the CPU")
        if func not in METHODS:
            return func(*args, **kwargs)
        self.note(METHODS[func])
        self.inside = True
        try:
            return func(*args, **kwargs)
        finally:
            self.inside = False


class Synchronisations(TorchDispatchMode):
    """A context manager: `found` tells what would have waited for the device, `lines` where.

    Both are lists of text in the order in which it happened; a line is the program's own.
    """

    def __init__(self):
        super().__init__()
        self.found: list[str] = []
        self.lines: list[str] = []
        self._methods = _Methods(self._note)

    def _note(self, what: str) -> None:
        frame = sys._getframe(1)
        while frame.f_back and frame.f_code.co_filename.startswith(NOT_THE_READERS):
            frame = frame.f_back
        self.found.append(what)
        self.lines.append(linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip())

    def __enter__(self):
        self._methods.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        return self._methods.__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name
        if self._methods.inside:
            pass
        elif name in OPERATORS:
            self._note(OPERATORS[name])
        elif name in BY_INDEX and _masked(args[1]) and not _one_value(args):
            self._note(f"indexing by a mask: {MANY}")
        return func(*args, **(kwargs or {}))


def _masked(indices) -> bool:
    masks = (torch.bool, torch.uint8)
    return any(isinstance(t, Tensor) and t.dtype in masks for t in tree_leaves(indices))


def _one_value(args: tuple) -> bool:
    """Whether one value is written wherever a mask says: that needs no list of places."""
    return len(args) > 2 and isinstance(args[2], Tensor) and args[2].numel() == 1
