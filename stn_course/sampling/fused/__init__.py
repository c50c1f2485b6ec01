"""The fast warp: coordinates, reading and all gradients in one operator.

`warp` gives what `reference.warp` gives, to 1e-5 in float32, forward and both gradients, without
ever writing a grid, and with the same bits each time it is run, for any number of threads. Where
no fast way is open it hands over to the sampler and says so once, by a warning.

On the CPU it runs a small C program (warp.c), compiled once by the machine's own compiler in a
fraction of a second. Why C: the work is loads from scattered places. Compiled from Python by numba
they come one by one and take as long as torch; C fetches two neighbours at a time, by the
processor's gather instructions (AVX-512) or by loads of 64 bits. 256 affine warps of 28 x 28
pixels, forward, one thread of an AVX-512 processor, calls included, relative to `F.affine_grid` +
`F.grid_sample`: `reference.warp` takes 3 times as long, numba 1.0 to 1.1, this 1/4.5; built for
AVX2 it takes 1/2.8, as plain C 1/2.2. Installing still needs pip alone: without a compiler the
sampler does the work.

Of small images of many channels, sixteen are turned at once until those of a pixel lie side by
side (eight or four, where vectors are shorter): then a neighbour of all of them is one load, and
what flows back to it one store.

Images of more than 60 000 pixels, in or out, are cut into tiles that fit the cache; threads share
the tiles, of one image too, and each needs at most 4 MiB beside input and output at any size. Only
splines need more: their basis functions [K, H*W] are kept whole.

On CUDA it runs Triton kernels (triton_kernels.py), which come with PyTorch there.

Left to the sampler, with one warning for each reason: float64, mode="nearest", `torch.func`
transforms, forward-mode, second and batched derivatives, other devices, a machine without a C
compiler, sides of more than 2**24 - 2 pixels, on CUDA a grid (and with it a spline through
landmarks) and padding="reflection", and what is exported to run elsewhere (`torch.jit.trace`,
ONNX). `torch.export` keeps this operator, so whoever loads its program imports
`stn_course.sampling` first. A program keeps what `torch.jit.trace` saw of the output's size; batch
and input may be of any.
"""

import sys
from functools import cache
from math import isqrt

import numpy as np
import torch
from torch import Tensor

from stn_course.geometry import (
    as_float,
    as_number,
    check_size,
    is_landmark_spline,
    plain_size,
)
from stn_course.sampling import reference, shrinking
from stn_course.sampling.fused import compiler, cpu, operator
from stn_course.sampling.fused.operator import LOW, say_once

READ = (*LOW, torch.uint8)  # the types of images that the fast way takes


def warp(
    images: Tensor,
    transform: Tensor | None = None,
    size: tuple[int, int] | None = None,
    padding: str = "background",
    fill=None,
    align_corners: bool = False,
    mode: str = "bilinear",
    out: Tensor | None = None,
    *,
    index: Tensor | None = None,
    grid: Tensor | None = None,
    antialias: bool = False,
) -> Tensor:
    """Move images [B, C, h, w] by a transform, into an output of size (H, W).  # [B, C, H, W]

    Arguments, results and errors are those of `reference.warp`, and one more type of images: uint8,
    whose k is read as k / 255, gives float32 in [0, 1] (so is `fill`); with mode="nearest" they
    are labels like other whole numbers, and stay as they are. Other images keep their type.
    Coordinates and weights are float32, under autocast too. Only gradients that are asked for are
    computed; to the fill as well, where it is a tensor that needs one.

    `out` is memory for the result, which is then returned: new memory costs more than the warp of
    small images. It is a contiguous tensor [B, C, H, W] of the result's type and device, or of
    uint8 for uint8 images: 255 times the result, rounded. It is refused where a gradient is asked
    for, where it shares memory with what is read, and in compiled, traced or transformed code.
    With an `index` output and the gradient to a transform have the bits that copies of the images
    would give, and so has the gradient to the images, summed in the transforms' order.

    What is left to the sampler says the module's docstring. On a GPU values are not checked, which
    would wait for the device: an image whose transform is not finite or has a horizon in sight
    comes out as NaN. (Those of an index are, unless a graph is captured.)
    """
    if fill is not None and isinstance(images, Tensor):
        fill = reference.plain_fill(images, fill)
    size = None if size is None else plain_size(size)
    align_corners = bool(align_corners) if isinstance(align_corners, np.bool_) else align_corners
    antialias = bool(antialias) if isinstance(antialias, np.bool_) else antialias
    reason = _unfit(images, transform, size, padding, fill, mode, grid, index)
    if out is not None:
        _check_out(out, images, transform if grid is None else grid, size, fill, grid is not None)
    if antialias is not False or reason:
        more = {"index": index, "grid": grid, "antialias": antialias}
        args = (size, padding, fill, align_corners, mode)
        return _handed_on(reason, out, images, transform, *args, **more)
    return _fast(out, images, transform, size, padding, fill, align_corners, index, grid)


def _fast(out, images, transform, size, padding, fill, align_corners, index, grid) -> Tensor:
    """`warp` by the operator, which is open to this call."""
    if grid is None and is_landmark_spline(transform):
        size = images.shape[2:] if size is None else size
        grid = reference.tps_grid(transform, tuple(size), align_corners)
    places = transform if grid is None else grid[:, None]  # [N, 1, H, W, 2]
    index = reference.picture_index(index, images, places.shape[0], "transform")
    if grid is not None:
        size = tuple(grid.shape[1:3])
    height, width = images.shape[2:] if size is None else check_size(size)
    level = _level(images, padding, fill)
    args = (padding, align_corners, index)
    if out is not None:
        return operator.warp_into(out, images, places.detach().float(), level, *args)
    return operator.warp(images, places.float(), level, height, width, *args)


def _handed_on(reason, out, images, transform, size, padding, fill, align_corners, mode, **more):
    """`warp` by the sampler, for a reason that is said; or with antialias, by itself in parts."""
    args = (size, padding, fill, align_corners)
    if more["antialias"] is True and _reads_many(images, transform, more["grid"], mode):
        index = reference.picture_index(more["index"], images, transform.shape[0], "transform")
        size = tuple(images.shape[2:]) if size is None else size
        found = shrinking.antialiased(warp, images, transform, size, *args[1:], index)
        return found if out is None else operator.put(out, found)
    whole = isinstance(images, Tensor) and mode != "nearest"
    plain = operator.plain(images) if whole else images
    found = reference.warp(plain, transform, *args, mode, **more)
    say_once(reason)
    return found if out is None else operator.put(out, found)


def _reads_many(images, transform, grid, mode) -> bool:
    """Whether this is a call that antialiasing is for; the sampler refuses any other."""
    if grid is not None or mode != "bilinear" or not isinstance(transform, Tensor):
        return False
    fits = isinstance(images, Tensor) and images.ndim == 4 and 0 not in images.shape[1:]
    return fits and transform.ndim in (3, 4)


def _check_out(out, images, places, size, fill, is_grid: bool) -> None:
    """Refuse memory that the result does not fit into, or that is no place for it."""
    if not isinstance(out, Tensor):
        raise TypeError(f"out must be a tensor or None, got {type(out).__name__}")
    read = [t for t in (images, places, fill) if isinstance(t, Tensor)]
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor
    if _for_elsewhere() or operator.watched(out, *read) or any(map(wrapped, (out, *read))):
        raise ValueError("out is for plain calls, got one that is compiled, traced or transformed")
    if out.requires_grad or (torch.is_grad_enabled() and any(t.requires_grad for t in read)):
        raise ValueError("out is for calls without gradients, got a tensor that requires one")
    if not (isinstance(images, Tensor) and images.ndim == 4):
        return  # the sampler says what is wrong with them
    if not (isinstance(places, Tensor) and places.ndim > 2):
        return
    size = places.shape[1:3] if is_grid else images.shape[2:] if size is None else size
    shape = (places.shape[0], images.shape[1], *check_size(size))
    types = {operator.result_type(images), images.dtype}
    if out.dtype not in types or out.device != images.device:
        wanted = " or ".join(sorted(map(str, types)))
        got = f"{out.dtype} on {out.device}"
        raise ValueError(f"out must be of {wanted} on {images.device}, got {got}")
    if tuple(out.shape) != shape or not out.is_contiguous():
        got = f"{list(out.shape)} with strides {out.stride()}"
        raise ValueError(f"out must be contiguous and of shape {list(shape)}, got {got}")
    if any(t.untyped_storage().data_ptr() == out.untyped_storage().data_ptr() for t in read):
        raise ValueError("out must be memory of its own, got the memory of what is read")


def _level(images: Tensor, padding: str, fill) -> Tensor | None:
    """What lies outside, in float32, or None where that needs no number.  # [B, C]"""
    if padding != "background":
        return None
    if fill is None:
        return operator.background(images.detach())
    options = {
        "dtype": operator.result_type(images),
        "device": images.device,
    }  # as the sampler rounds
    if isinstance(fill, Tensor) and not fill.is_cuda:
        as_float(fill, "fill", tuple(images.shape[:2]))
    fill = reference.fitting(fill, options["dtype"])
    if not isinstance(fill, Tensor):
        return torch.full(images.shape[:2], float(fill), **options).float()
    return fill.to(**options).float()


def _unfit(images, transform, size, padding, fill, mode, grid=None, index=None) -> str:
    """Why this call is the sampler's, to answer or to refuse; empty: the fast way is open."""
    places = transform if grid is None else grid
    if not (isinstance(images, Tensor) and isinstance(places, Tensor)):
        return "images and transform are not tensors"
    if _for_elsewhere():
        return "torch.jit.trace and ONNX, whose programs run where this operator is not"
    tensors = [images, places, fill] if isinstance(fill, Tensor) else [images, places]
    exact = places.dtype == torch.float64 and (grid is not None or is_landmark_spline(places))
    if images.dtype not in READ or (tensors[2:] and fill.dtype not in LOW):
        return _other_types()
    if places.dtype not in LOW and not exact:
        return _other_types()
    if mode != "bilinear":
        return f"mode={mode!r}"
    if any(t.device != images.device for t in tensors):
        return "tensors on several devices"
    given = (transform is None) != (grid is None) and (grid is None or size is None)
    if not (given and _shapes_fit(images, places, grid is not None, index)):
        return "these shapes or this padding"
    sides = size if grid is None else grid.shape[1:3]
    if not (_padding_fits(padding, fill, images) and _sides_fit(sides)):
        return "these shapes or this padding"
    if not torch.compiler.is_compiling():
        if any(torch._C._functorch.is_functorch_wrapped_tensor(t) for t in tensors):
            return "transforms of torch.func"
        if torch.autograd.forward_ad._current_level >= 0:
            return "forward-mode derivatives"
    if images.is_cuda and (grid is not None or is_landmark_spline(places)):
        return "a grid on a GPU"
    if images.is_cuda and padding == "reflection":
        return "padding='reflection' on a GPU"
    return _closed(images.device.type)


def _other_types() -> str:
    return "types other than " + ", ".join(map(str, READ))


def _shapes_fit(images: Tensor, places: Tensor, is_grid: bool, index) -> bool:
    if images.ndim != 4 or 0 in images.shape[1:] or places.ndim not in (3, 4):
        return False
    if index is None and places.shape[0] != images.shape[0] and images.shape[0] != 1:
        return False
    if not _sides_fit(images.shape[2:]):
        return False
    if is_grid:
        return places.ndim == 4 and places.shape[3] == 2 and 0 not in places.shape[1:]
    if places.shape[1:] in ((2, 3), (3, 3)) or is_landmark_spline(places):
        return True
    if places.ndim == 3:
        k = places.shape[1]
        return places.shape[2] == 2 and k >= 4 and isqrt(k) ** 2 == k
    return places.shape[3] == 2 and min(places.shape[1:3]) >= 2


def _sides_fit(size) -> bool:
    """Whether no side is too long; what is no size at all is refused elsewhere."""
    given = size if isinstance(size, tuple | list) else ()
    return not any(isinstance(n, int) and n > cpu.LARGEST for n in given)


def _padding_fits(padding, fill, images: Tensor) -> bool:
    if padding not in reference.PADDINGS or (fill is not None and padding != "background"):
        return False
    if isinstance(fill, Tensor):
        return fill.shape == images.shape[:2]
    return fill is None or as_number(fill) is not None


def _for_elsewhere() -> bool:
    """Whether a program is being written that another runtime shall read."""
    onnx = sys.modules.get("torch.onnx")  # loaded by whoever exports, and by nobody else
    return torch.jit.is_tracing() or (onnx is not None and onnx.is_in_onnx_export())


def _closed(device: str) -> str:
    """Why there is no fast way on a kind of device; empty: there is one."""
    return _try(device)


# As torch.compiler.assume_constant_result does, which loads the compiler: most of a second.
_closed._dynamo_marked_constant = _for_elsewhere._dynamo_marked_constant = True


@cache
def _try(device: str) -> str:
    if device == "cpu":
        try:
            cpu.library()
        except compiler.BuildError as error:
            return str(error).partition("\n")[0]  # what each variant said: compiler.library()
        return ""
    if device == "cuda":
        try:
            import triton  # noqa: F401
        except ImportError:
            return "triton is not installed"
        return ""
    return f"device {device!r}"
