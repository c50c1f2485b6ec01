"""Saying things once."""

import warnings

import torch
from torch import Tensor

from stn_course.geometry import check_size, control_grid
from stn_course.sampling import reference
from stn_course.sampling.fused import cpu

LOW = (torch.float16, torch.bfloat16, torch.float32)  # what is calculated with in float32
_SAID: set[str] = set()


def say_once(reason: str) -> None:
    """Warn that the fast warp was not taken and why; each reason once in a process."""
    if reason in _SAID or torch.compiler.is_compiling():
        return
    _SAID.add(reason)
    warnings.warn(f"the fast warp handed over to reference.warp: {reason}", stacklevel=3)


def plain(images: Tensor) -> Tensor:
    """Images as the sampler takes them: uint8 k becomes k / 255 in float32."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def result_type(images: Tensor) -> torch.dtype:
    return torch.float32 if images.dtype == torch.uint8 else images.dtype


def _backend(tensor: Tensor):
    """The module that does the work where a tensor is."""
    if tensor.is_cuda:
        from stn_course.sampling.fused import cuda

        return cuda
    return cpu


# ---------------------------------------------------------------- what is done
def _background(images: Tensor) -> Tensor:
    return _backend(images).background(images)


def _forward(images, transform, fill, height, width, padding, align_corners, index=None) -> Tensor:
    size = (height, width)
    out = _backend(images).forward(images, transform, fill, size, padding, align_corners, index)
    if out is None:  # the sampler says why not, or does it: rounding decides at the very horizon
        return _sampled(images, transform, fill, size, padding, align_corners, index)
    return out


def _backward(grad, images, transform, fill, padding, align_corners, *asked, index=None):
    """Gradients to images, transform and fill, None for what is not asked for."""
    backend = _backend(images)
    args = (images, transform, fill, padding, align_corners)
    grads = backend.backward(grad, *args, asked, index=index)
    if grads is None:
        return _by_sampler(grad, (images, transform, fill), asked, padding, align_corners, index)
    to_images, *others = grads
    return to_images if to_images is None else to_images.to(images.dtype), *others


def _sampled(images, transform, fill, size, padding: str, align_corners: bool, index) -> Tensor:
    grid = transform.squeeze(1) if transform.ndim == 5 else None
    how = (padding, fill, align_corners)
    if grid is not None:
        return reference.warp(plain(images), None, None, *how, index=index, grid=grid)
    return reference.warp(plain(images), transform, size, *how, index=index)


def _by_sampler(grad: Tensor, inputs, asked, padding: str, align_corners: bool, index) -> tuple:
    """What `_backward` gives, by the sampler's own derivative; `grad` may be a batch of them."""
    inputs = [
        t.detach().requires_grad_() if needed else t
        for t, needed in zip(inputs, asked, strict=True)
    ]
    with torch.enable_grad():
        out = _sampled(*inputs, tuple(grad.shape[2:]), padding, align_corners, index)
    sources = [t for t, needed in zip(inputs, asked, strict=True) if needed]
    found = iter(torch.autograd.grad(out, sources, grad))
    return tuple(next(found) if needed else None for needed in asked)


# ---------------------------------------------------------------- as operators
# `warp` hands on what it has checked. Whoever calls an operator by its name has no such guard, and
# what reads memory by its address must not be told of more than there is.
def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise ValueError(f"images must have shape [B, C, h, w], got {list(images.shape)}")
    if images.dtype not in (*LOW, torch.uint8):
        wanted = ", ".join(map(str, (*LOW, torch.uint8)))
        raise TypeError(f"images must be one of {wanted}, got {images.dtype}")
    if max(images.shape[2:]) > cpu.LARGEST:
        raise ValueError(f"images must have sides of at most {cpu.LARGEST} pixels")


def _check(images, transform, fill, size: tuple[int, int], padding: str, index) -> None:
    """Refuse what the operators do not take. Values are no danger: they are not looked at.

    But those of an index are: they say where memory is read.
    """
    _check_images(images)
    if padding not in reference.PADDINGS:
        raise ValueError(f"padding must be one of {reference.PADDINGS}, got {padding!r}")
    if max(check_size(size)) > cpu.LARGEST:
        raise ValueError(f"size must be at most {cpu.LARGEST} on both sides, got {size}")
    shape = transform.shape
    batch = images.shape[0] if index is None else index.shape[0] if index.ndim else -1
    if transform.dtype != torch.float32 or transform.device != images.device:
        got = f"{transform.dtype} on {transform.device}"
        raise ValueError(f"transform must be torch.float32 on {images.device}, got {got}")
    matrix = shape[1:] in ((2, 3), (3, 3))
    points = transform.ndim in (3, 4) and shape[-1] == 2
    grid = shape[1:] == (1, *size, 2)
    if not (matrix or points or grid) or shape[0] != batch:
        wanted = f"[{batch}, 2, 3], [{batch}, 3, 3], [{batch}, K, 2], [{batch}, rows, columns, 2]"
        wanted += f" or, of a grid, [{batch}, 1, {size[0]}, {size[1]}, 2]"
        raise ValueError(f"transform must have shape {wanted}, got {list(shape)}")
    if points:
        control_grid(transform)
    if index is not None:
        reference.picture_index(index, images, batch, "transform")
    if fill is None and padding == "background":
        raise ValueError("fill must be a tensor where padding='background', got None")
    if fill is not None and (
        fill.shape != images.shape[:2]
        or fill.dtype != torch.float32
        or fill.device != images.device
    ):
        wanted = f"torch.float32 {list(images.shape[:2])} on {images.device}"
        got = f"{fill.dtype} {list(fill.shape)} on {fill.device}"
        raise ValueError(f"fill must be None or {wanted}, got {got}")


@torch.library.custom_op("stn_course::background", mutates_args=())
def background_op(images: Tensor) -> Tensor:
    """The (lower) median of each image's border, in float32.  # [B, C]"""
    _check_images(images)
    return _background(images)


@background_op.register_fake
def _(images):
    return images.new_empty(images.shape[:2], dtype=torch.float32)


@torch.library.custom_op("stn_course::warp", mutates_args=())
def warp_op(
    images: Tensor,
    transform: Tensor,
    fill: Tensor | None,
    height: int,
    width: int,
    padding: str,
    align_corners: bool,
    index: Tensor | None = None,
) -> Tensor:
    """images [B, C, h, w] read where transform (float32) says; fill [B, C], float32.

    transform: as in `warp`, or a grid [N, 1, H, W, 2], whose five axes tell it from offsets.
    index: [N] which image each of N transforms reads, without one its own.
    Raises TypeError or ValueError for other types, shapes, sizes and devices.
    """
    _check(images, transform, fill, (height, width), padding, index)
    return _forward(images, transform, fill, height, width, padding, align_corners, index)


@warp_op.register_fake
def _(images, transform, fill, height, width, padding, align_corners, index=None):
    shape = (transform.shape[0], images.shape[1], height, width)
    return images.new_empty(shape, dtype=result_type(images))


@torch.library.custom_op("stn_course::warp_backward", mutates_args=())
def backward_op(
    grad: Tensor,
    images: Tensor,
    transform: Tensor,
    fill: Tensor | None,
    padding: str,
    align_corners: bool,
    to_images: bool,
    to_transform: bool,
    to_fill: bool,
    index: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients to images, transform and fill; what is not asked for comes back empty.

    grad [N, C, H, W], floating point. Raises as `warp_op`.
    """
    _check(images, transform, fill, tuple(grad.shape[2:]), padding, index)
    planes = transform.shape[0], images.shape[1]
    if grad.shape[:2] != planes or not grad.is_floating_point():
        wanted, got = [*planes, "H", "W"], f"{grad.dtype} {list(grad.shape)}"
        raise ValueError(f"grad must be floating point {wanted}, got {got}")
    if grad.device != images.device:
        raise ValueError(f"grad must be on {images.device}, got {grad.device}")
    asked = (to_images, to_transform, to_fill)
    grads = _backward(grad, images, transform, fill, padding, align_corners, *asked, index=index)
    types = (images.dtype, torch.float32, torch.float32)
    return tuple(
        images.new_empty(0, dtype=dtype) if g is None else g
        for g, dtype in zip(grads, types, strict=True)
    )


@backward_op.register_fake
def _(grad, images, transform, fill, padding, flag, to_images, to_transform, to_fill, index=None):
    return (
        images.new_empty(images.shape if to_images else 0),
        transform.new_empty(transform.shape if to_transform else 0),
        transform.new_empty(images.shape[:2] if to_fill else 0),
    )


# ---------------------------------------------------------------- derivatives
def _keep(ctx, inputs, output) -> None:
    images, transform, fill, _, _, ctx.padding, ctx.align_corners, index = inputs
    ctx.save_for_backward(images, transform, fill, index)


def _flow_back(ctx, grad: Tensor, function=backward_op):
    asked = [bool(needed) for needed in ctx.needs_input_grad[:3]]
    *inputs, index = ctx.saved_tensors
    how = (ctx.padding, ctx.align_corners)
    if torch._C._functorch.is_legacy_batchedtensor(grad):  # vectorised Jacobians
        say_once("batched gradients")
        grads = _by_sampler(grad, inputs, asked, *how, index)
        return *grads, None, None, None, None, None
    grads = function(grad, *inputs, *how, *asked, index=index)
    wanted = (g if needed else None for g, needed in zip(grads, asked, strict=True))
    return *wanted, None, None, None, None, None


warp_op.register_autograd(_flow_back, setup_context=_keep)


def _keep_again(ctx, inputs, output) -> None:
    *tensors, ctx.padding, ctx.align_corners, _, _, _, index = inputs
    ctx.save_for_backward(*tensors, index)
    ctx.asked = inputs[-4:-1]


def _flow_back_twice(ctx, *changes: Tensor):
    """Second derivatives, by the sampler: rare, so they have no code of their own."""
    say_once("second derivatives")
    with torch.enable_grad():
        # A new leaf for each, so that nothing beyond this operator is differentiated.
        *saved, index = ctx.saved_tensors
        inputs = [
            t.detach().requires_grad_() if t is not None and t.is_floating_point() else t
            for t in saved
        ]
        grad, images, transform, fill = inputs
        size = tuple(grad.shape[2:])
        out = _sampled(images, transform, fill, size, ctx.padding, ctx.align_corners, index)
        chosen = [i for i in range(3) if ctx.asked[i]]
        sources = [inputs[1 + i] for i in chosen]
        first = torch.autograd.grad(out, sources, grad, create_graph=True)
        leaves = [t for t in inputs if t is not None and t.requires_grad]
        weights = [changes[i] for i in chosen]
        second = iter(torch.autograd.grad(first, leaves, weights, allow_unused=True))
    found = [next(second) if t is not None and t.requires_grad else None for t in inputs]
    return *found, None, None, None, None, None, None


backward_op.register_autograd(_flow_back_twice, setup_context=_keep_again)


# ---------------------------------------------------------------- the short way
class _Eager(torch.autograd.Function):
    """warp_op without the dispatcher, and backward_op too unless it is differentiated itself."""

    @staticmethod
    def forward(ctx, *inputs):
        _keep(ctx, inputs, None)
        return _forward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        return _flow_back(ctx, grad, backward_op if torch.is_grad_enabled() else _backward)


def watched(*tensors: Tensor) -> bool:
    """Whether someone wants to see operators: a compiler, a tracer, a kind of tensor."""
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return True
    return any(type(t) not in (Tensor, torch.nn.Parameter) for t in tensors)


def background(images: Tensor) -> Tensor:
    return background_op(images) if watched(images) else _background(images)


def warp(images, transform, fill, height, width, padding, align_corners, index) -> Tensor:
    """warp_op, by the shorter of the two ways."""
    args = (images, transform, fill, height, width, padding, align_corners, index)
    if watched(images, transform):
        return warp_op(*args)
    derived = any(t is not None and t.requires_grad for t in args[:3])
    return (_Eager.apply if derived and torch.is_grad_enabled() else _forward)(*args)


def warp_into(out, images, transform, fill, padding, align_corners, index) -> Tensor:
    """What `warp` gives, written to `out`: float32, or rounded if that is uint8."""
    size, args = tuple(out.shape[2:]), (padding, align_corners, index)
    if out.is_cpu and out.dtype in (torch.float32, torch.uint8):
        found = cpu.forward(images, transform, fill, size, *args, into=out)
        if found is not None:
            return found
    return put(out, _forward(images, transform, fill, *size, *args))


def put(out: Tensor, found: Tensor) -> Tensor:
    """`found` in the memory of `out`; uint8 holds 255 times it, rounded."""
    return out.copy_((255 * found).round().clamp(0, 255) if out.dtype == torch.uint8 else found)
