"""The warp on the processor: tensors handed to the compiled warp.c."""

import ctypes
from functools import cache

import torch
from torch import Tensor

from stn_course.geometry import control_grid, tps_basis
from stn_course.sampling.fused import compiler

LARGEST = 2**24 - 2  # pixels of a side: further out a float32 does not tell neighbours apart
ENOUGH = 50_000  # pixels read for which it pays to wake one more thread
WHOLE = 60_000  # pixels of the largest images, with their rim, that are done in one piece
WRITTEN = {"dtype": torch.float32, "device": "cpu"}  # whatever torch's defaults are by now


class Warp(ctypes.Structure):
    """The struct of the same name in warp.c."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batch", "channels", "h", "w", "H", "W", "kind")),
        *((name, ctypes.c_int64) for name in ("K", "uint8", "border", "align_corners", "threads")),
        *((name, ctypes.c_int64) for name in ("pictures", "mirror", "whole", "bytes")),
        *((name, ctypes.c_void_p) for name in ("images", "transform", "index", "order", "starts")),
        *((name, ctypes.c_void_p) for name in ("basis", "fill", "grad")),
        *((name, ctypes.c_void_p) for name in ("out", "grad_images", "grad_transform")),
        *((name, ctypes.c_void_p) for name in ("grad_fill", "scratch")),
    ]


@cache
def library() -> ctypes.CDLL:
    """The compiled library with its types declared. Raises compiler.BuildError."""
    found = compiler.library()
    counts = (found.scratch_floats, found.warp_pieces)
    for function in counts:
        function.restype = ctypes.c_int64
    for function in (*counts, found.warp_forward, found.warp_backward):
        function.argtypes = [ctypes.POINTER(Warp)]
    found.warp_background.argtypes, found.warp_background.restype = [ctypes.POINTER(Warp)], None
    return found


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _readable(images: Tensor) -> Tensor:
    """Images as the library reads them: contiguous, uint8 or float32."""
    return (images if images.dtype == torch.uint8 else images.float()).contiguous()


def background(images: Tensor) -> Tensor:
    """`sampling.background_of` in float32; uint8 k is k / 255.  # [B, C]"""
    images, (batch, channels, h, w) = _readable(images), images.shape
    out, scratch = torch.empty(batch, channels, **WRITTEN), torch.empty(h * w, **WRITTEN)
    call = Warp(
        batch=batch,
        channels=channels,
        h=h,
        w=w,
        uint8=images.dtype == torch.uint8,
        images=images.data_ptr(),
        out=out.data_ptr(),
        scratch=scratch.data_ptr(),
    )
    library().warp_background(call)
    return out


def _threads(call: Warp) -> int:
    """How many it pays to wake: by pixels, and by the pieces that there are to share."""
    pixels = call.batch * call.channels * (call.h * call.w + call.H * call.W)
    wanted = min(torch.get_num_threads(), pixels // ENOUGH)
    return max(1, min(wanted, library().warp_pieces(call))) if wanted > 1 else 1


def kind_of(transform: Tensor) -> int:
    """Its kind in warp.c: the rows of a matrix, 1 of a grid [N, 1, H, W, 2], 0 of a spline."""
    if transform.ndim == 5:
        return 1
    return transform.shape[1] if transform.shape[1:] in ((2, 3), (3, 3)) else 0


def by_picture(index: Tensor, pictures: int) -> tuple[Tensor, Tensor]:
    """The transforms [N] in the order of what they read, and where each picture's begin.

    [N] and [pictures + 1].
    """
    ends = torch.bincount(index, minlength=pictures).cumsum(0)
    return index.argsort(stable=True), torch.cat([ends.new_zeros(1), ends])


def _run(name, images, transform, fill, size, padding, align_corners, index, **tensors) -> bool:
    """One call of the library; False if it refused the transform."""
    images, transform = _readable(images), transform.contiguous()
    fill = None if fill is None else fill.contiguous()
    pictures, channels, h, w = images.shape
    kind, basis, order, starts = kind_of(transform), None, None, None
    if kind == 0:
        where = (control_grid(transform), size, align_corners, torch.float32, images.device)
        basis = tps_basis(*where)  # [K, H*W]
    if index is not None:
        index = index.contiguous()
        order, starts = by_picture(index, pictures) if "grad" in tensors else (None, None)
    tensors |= {"images": images, "transform": transform, "basis": basis, "fill": fill}
    tensors |= {"index": index, "order": order, "starts": starts}
    call = Warp(
        batch=len(transform),
        pictures=pictures,
        channels=channels,
        h=h,
        w=w,
        H=size[0],
        W=size[1],
        kind=kind,
        K=0 if basis is None else len(basis),
        uint8=images.dtype == torch.uint8,
        border=padding in ("border", "reflection"),
        mirror=padding == "reflection",
        align_corners=align_corners,
        whole=WHOLE,
        bytes="out" in tensors and tensors["out"].dtype == torch.uint8,
        **{key: _pointer(tensor) for key, tensor in tensors.items()},
    )
    call.threads = _threads(call)
    scratch = torch.empty(library().scratch_floats(call), **WRITTEN)
    call.scratch = scratch.data_ptr()
    return getattr(library(), name)(call) == 0


def forward(
    images, transform, fill, size, padding, align_corners, index=None, into=None
) -> Tensor | None:
    """Images [B, C, h, w] read where the float32 transform says; fill [B, C] or None.

    Of N transforms and an index [N], each reads the image that it says; without, its own. The
    result has the images' dtype, float32 for uint8, and is `into` if that is a contiguous
    tensor of float32 or uint8. None: the transform was refused.
    """
    dtype = torch.float32 if images.dtype == torch.uint8 else images.dtype
    shape = len(transform), images.shape[1], *size
    out = torch.empty(shape, **WRITTEN) if into is None else into
    args = (images, transform, fill, size, padding, align_corners, index)
    done = _run("warp_forward", *args, out=out)
    return (out if into is not None else out.to(dtype)) if done else None


def backward(grad, images, transform, fill, padding, align_corners, needed, index=None):
    """Gradients to images, transform and fill, each only where `needed`; None as in `forward`."""
    grad, size = grad.float().contiguous(), tuple(grad.shape[2:])
    images_needed, transform_needed, fill_needed = needed
    levels = len(transform), images.shape[1]
    grads = (
        torch.empty(images.shape, **WRITTEN) if images_needed else None,
        torch.empty(transform.shape, **WRITTEN) if transform_needed else None,
        torch.empty(levels, **WRITTEN) if fill_needed else None,
    )
    named = dict(zip(("grad_images", "grad_transform", "grad_fill"), grads, strict=True), grad=grad)
    args = (images, transform, fill, size, padding, align_corners, index)
    if not _run("warp_backward", *args, **named):
        return None
    to_images, to_transform, to_fill = grads
    if to_fill is not None and index is not None:
        to_fill = torch.zeros(images.shape[:2], **WRITTEN).index_add_(0, index, to_fill)
    return to_images, to_transform, to_fill
