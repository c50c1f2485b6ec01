"""The warp on a GPU: tensors handed to the Triton kernels, with the same calls as `cpu`.

Every sum has a fixed order, so the same bits come back each time. The gradient to the transform
is summed by one program for each image (several for a small batch of large ones, and then their
sums). The gradient to the images goes to addresses that several programs share: it is scaled by a
power of two and added as 64-bit integers, which no order changes. That costs eight bytes a pixel
of working memory, zeroed and read once, and one more pass over the incoming gradient.
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

    def __init__(self, images, transform, fill, size, padding, align_corners):
        self.images, self.transform = images.contiguous(), transform.contiguous()
        self.batch, self.channels, self.h, self.w = images.shape
        self.H, self.W = size
        kind = transform.shape[1] if transform.shape[1:] in ((2, 3), (3, 3)) else 0
        self.size = transform[:1].numel() if len(transform) else 0
        self.basis, self.K = self.transform, 0  # never read where there is no spline
        if kind == 0:
            where = (control_grid(transform), size, align_corners, torch.float32, images.device)
            self.basis = tps_basis(*where)  # [K, H*W]
            self.K = len(self.basis)
        shape = (self.batch, self.channels)
        self.fill = images.new_zeros(shape, dtype=torch.float32) if fill is None else fill
        self.fill = self.fill.contiguous()
        self.block = 256 if self.H * self.W <= 2**20 else 1024
        while self.blocks > MOST_BLOCKS:
            self.block *= 2
        self.flags = {"KIND": kind, "ALIGN": align_corners, "BORDER": padding == "border"}
        self.uint8 = images.dtype == torch.uint8

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


def forward(images, transform, fill, size, padding, align_corners) -> Tensor:
    """Images [B, C, h, w] read where the float32 transform says; fill [B, C] or None."""
    c = _Call(images, transform, fill, size, padding, align_corners)
    dtype = torch.float32 if c.uint8 else images.dtype
    out = c.new(c.batch, c.channels, *size, dtype=dtype)
    if out.numel():
        with torch.cuda.device_of(images):
            triton_kernels.forward[(c.planes, c.blocks)](
                c.images,
                c.transform,
                c.basis,
                c.fill,
                out,
                *c.sizes(),
                **c.flags,
                UINT8=c.uint8,
                BLOCK=c.block,
            )
    return out


def backward(grad, images, transform, fill, padding, align_corners, needed):
    """Gradients to images, transform and fill, each only where `needed`, else None."""
    c = _Call(images, transform, fill, tuple(grad.shape[2:]), padding, align_corners)
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
    n = c.H * c.W
    scale, inverse = c.new(c.planes), c.new(c.planes)
    cells = torch.zeros(c.planes, c.h * c.w, dtype=torch.int64, device=grad.device)
    levels = torch.zeros(c.planes, dtype=torch.int64, device=grad.device)
    if c.planes:
        triton_kernels.scales[(c.planes,)](grad, scale, inverse, n, n.bit_length(), BLOCK=256)
        triton_kernels.to_images[(c.planes, c.blocks)](
            grad,
            c.transform,
            c.basis,
            scale,
            cells,
            levels,
            *c.sizes(),
            **c.flags,
            BLOCK=c.block,
        )
    shape = (c.batch, c.channels, c.h, c.w)
    return (cells * inverse[:, None]).view(shape), (levels * inverse).view(shape[:2])
