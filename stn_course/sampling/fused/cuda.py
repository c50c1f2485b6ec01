"""The warp on a GPU: tensors handed to the Triton kernels, with the same calls as `cpu`.

Every sum has a fixed order, so the same bits come back each time. The gradient to the transform
is summed by one program for each image (several for a small batch of large ones, and then their
sums). The gradient to the images goes to addresses that several programs share: it is scaled by a
power of two and added as 64-bit integers, which no order changes. That costs eight bytes a pixel
of working memory, zeroed and read once, and one more pass over the incoming gradient.

A grid of the caller's and padding="reflection" are not written as kernels: they are the sampler's.
"""

import torch
from torch import Tensor

from stn_course.geometry import control_grid, tps_basis
from stn_course.sampling.fused import triton_kernels
from stn_course.sampling.reference import background_of

PROGRAMS = 512  # enough to occupy a large GPU
MOST_BLOCKS = 65_535  # along the second axis of CUDA's grid of programs


def background(images: Tensor) -> Tensor:
    """`sampling.background_of` in float32; uint8 k is k / 255.  # [B, C]"""
    if min(images.shape[2:]) >= 3:  # the border alone, as a picture of one row
        sides = images[:, :, 1:-1, 0], images[:, :, 1:-1, -1]
        images = torch.cat([images[:, :, 0], images[:, :, -1], *sides], 2)[:, :, None]
    images = images.float() / 255 if images.dtype == torch.uint8 else images
    return background_of(images).float()


class _Call:
    """What all kernels are told about one warp."""

    def __init__(self, images, transform, fill, size, padding, align_corners, index=None):
        self.images, self.transform = images.contiguous(), transform.contiguous()
        self.pictures, self.channels, self.h, self.w = images.shape
        self.batch = len(transform)
        self.index = index
        if index is not None:  # its values are not looked at here, and memory is read where it says
            self.index = index.clamp(0, self.pictures - 1).contiguous()
        self.H, self.W = size
        kind = transform.shape[1] if transform.shape[1:] in ((2, 3), (3, 3)) else 0
        self.size = transform[:1].numel() if len(transform) else 0
        self.basis, self.K = self.transform, 0  # never read where there is no spline
        if kind == 0:
            where = (control_grid(transform), size, align_corners, torch.float32, images.device)
            self.basis = tps_basis(*where)  # [K, H*W]
            self.K = len(self.basis)
        shape = (self.pictures, self.channels)
        self.fill = images.new_zeros(shape, dtype=torch.float32) if fill is None else fill
        self.fill = self.fill.contiguous()
        self.block = 256 if self.H * self.W <= 2**20 else 1024
        while self.blocks > MOST_BLOCKS:
            self.block *= 2
        self.flags = {"KIND": kind, "ALIGN": align_corners, "BORDER": padding == "border"}
        self.flags["INDEXED"] = index is not None
        self.uint8 = images.dtype == torch.uint8

    @property
    def which(self) -> Tensor:
        """What kernels are given for the index; never read where there is none."""
        return self.transform if self.index is None else self.index

    @property
    def planes(self) -> int:
        return self.batch * self.channels

    @property
    def blocks(self) -> int:
        return -(-self.H * self.W // self.block)

    def sizes(self) -> tuple[int, ...]:
        return self.channels, self.h, self.w, self.H, self.W, self.K, self.size

    def new(self, *shape, dtype=torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=self.images.device)


def _unwritten(transform: Tensor, padding: str) -> bool:
    """Whether there is no kernel for this: None is the answer, and the sampler does it."""
    return transform.ndim == 5 or padding == "reflection"


def forward(images, transform, fill, size, padding, align_corners, index=None) -> Tensor | None:
    """Images [B, C, h, w] read where the float32 transform says; fill [B, C] or None.

    Of N transforms and an index [N], each reads the image that it says. None: no kernel does it.
    """
    if _unwritten(transform, padding):
        return None
    c = _Call(images, transform, fill, size, padding, align_corners, index)
    dtype = torch.float32 if c.uint8 else images.dtype
    out = c.new(c.batch, c.channels, *size, dtype=dtype)
    if out.numel():
        with torch.cuda.device_of(images):
            triton_kernels.forward[(c.planes, c.blocks)](
                c.images,
                c.transform,
                c.basis,
                c.fill,
                c.which,
                out,
                *c.sizes(),
                **c.flags,
                UINT8=c.uint8,
                BLOCK=c.block,
            )
    return out


def backward(grad, images, transform, fill, padding, align_corners, needed, index=None):
    """Gradients to images, transform and fill, each only where `needed`; None as in `forward`."""
    if _unwritten(transform, padding):
        return None
    c = _Call(images, transform, fill, tuple(grad.shape[2:]), padding, align_corners, index)
    grad, (images_needed, transform_needed, fill_needed) = grad.contiguous(), needed
    with torch.cuda.device_of(images):
        to_transform = _to_transform(c, grad).view(transform.shape) if transform_needed else None
        to_images = to_fill = None
        if images_needed or fill_needed:
            to_images, to_fill = _to_images(c, grad)
    return to_images if images_needed else None, to_transform, to_fill if fill_needed else None


def _to_transform(c: _Call, grad: Tensor) -> Tensor:
    sums = 16
    while sums < c.size:
        sums *= 2
    block = c.block if c.K == 0 else max(16, min(c.block, 8192 // sums))
    blocks = -(-c.H * c.W // block)
    # Splits of one image depend on shapes alone, and so does the order of the sums.
    steps = -(-blocks // max(1, min(blocks, PROGRAMS // max(1, c.batch))))
    splits = -(-blocks // steps)
    out = c.new(c.batch, splits, sums)
    if c.batch:
        triton_kernels.to_transform[(c.batch, splits)](
            grad,
            c.images,
            c.transform,
            c.basis,
            c.fill,
            c.which,
            out,
            *c.sizes(),
            steps,
            **c.flags,
            UINT8=c.uint8,
            BLOCK=block,
            SUMS=sums,
        )
    return out.sum(1)[:, : c.size].contiguous()


def _to_images(c: _Call, grad: Tensor) -> tuple[Tensor, Tensor]:
    n, planes = c.H * c.W, c.pictures * c.channels
    scale, inverse = c.new(c.planes), c.new(c.planes)
    cells = torch.zeros(planes, c.h * c.w, dtype=torch.int64, device=grad.device)
    levels = torch.zeros(planes, dtype=torch.int64, device=grad.device)
    shape = (c.pictures, c.channels, c.h, c.w)
    if c.planes:
        # Of as many numbers as one picture may get, if all transforms read it.
        most = n if c.index is None else n * c.batch
        triton_kernels.scales[(c.planes,)](grad, scale, inverse, n, most.bit_length(), BLOCK=256)
    if c.index is not None:
        scale, inverse = _shared(c, scale, inverse)
    if c.planes:
        triton_kernels.to_images[(c.planes, c.blocks)](
            grad,
            c.transform,
            c.basis,
            c.which,
            scale,
            cells,
            levels,
            *c.sizes(),
            **c.flags,
            BLOCK=c.block,
        )
    return (cells * inverse[:, None]).view(shape), (levels * inverse).view(shape[:2])


def _shared(c: _Call, scale: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """One scale for all that reads a picture, the smallest, at each plane that is written to it.

    [N * C], and its inverse for each picture's plane [B * C]; NaN stays NaN.
    """
    planes = c.index[:, None].expand(-1, c.channels)  # [N, C]
    shared = scale.new_full((c.pictures, c.channels), torch.inf)
    shared = shared.scatter_reduce(0, planes, scale.view(-1, c.channels), "amin")
    back = inverse.new_zeros(c.pictures, c.channels)
    back = back.scatter_reduce(0, planes, inverse.view(-1, c.channels), "amax")
    return shared[c.index].flatten(), back.flatten()
