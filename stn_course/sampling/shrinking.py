"""Shrinking without aliases: each output pixel is the mean of what lies under it.

Bilinear reading looks at four neighbours, however far apart output pixels are read: where a
transform shrinks by more than 2, pixels between are never seen, and fine texture turns into a
coarse one that is not there. Here an output pixel is cut into n_y x n_x parts, so many that
neighbouring parts lie at most a pixel of the input apart; each part is read, and the mean is taken
(supersampling by a regular grid). For an upright shrinking by a whole number that is the mean over
the area, exactly. Where nothing shrinks n is 1, and nothing changes, to the bit.

With align_corners an output's outermost pixels reach beyond [-1, 1] by half a pixel, and a
homography must keep w away from 0 there, too.

n is that of the transform's largest local scale along each side of the output, for each image by
itself. A transform under which the image is less than 1/32 of the output's width needs more parts
than are read, and some of its pixels are passed over.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from stn_course.geometry import (
    as_float,
    check_size,
    pixel_centres,
    pixels_per_unit,
    transform_points,
    values_can_be_checked,
)

SLACK = 1e-3  # of a pixel: by so little a scale of 1 may be missed by rounding
FURTHEST = 32  # images side by side across the output, beyond which parts are not cut finer
SAMPLES = 2**24  # numbers that are read at once


def antialiased(
    warp: Callable[..., Tensor],
    images: Tensor,
    transform: Tensor,
    size: tuple[int, int],
    padding: str,
    fill,
    align_corners: bool,
    index: Tensor | None,
) -> Tensor:
    """`warp(images, transform, ...)`, averaged over each output pixel.  # [N, C, H, W]

    Raises ValueError where the transform's values cannot be looked at.
    """
    size, image_size = check_size(size), tuple(images.shape[2:])
    counts = parts(transform, size, image_size, align_corners)  # [N, 2]
    done, order = [], []
    for count in counts.unique(dim=0).tolist():
        same = (counts == torch.tensor(count)).all(1).nonzero().flatten().to(images.device)
        samples = images.shape[1] * size[0] * size[1] * count[0] * count[1]
        for some in same.split(max(1, SAMPLES // samples)):
            of = some if index is None else index[some]
            options = {"padding": padding, "fill": fill, "index": of}
            if align_corners and count != [1, 1]:
                fine = _lattice(transform[some], size, count)
                found = warp(images, grid=fine, align_corners=True, **options)
            else:
                fine = size[0] * count[0], size[1] * count[1]
                options["align_corners"] = align_corners
                found = warp(images, transform[some], fine, **options)
            done.append(_means(found, size, count))
            order.append(some)
    if len(done) == 1:
        return done[0]
    if not done:
        return warp(images, transform, size, padding, fill, align_corners, index=index)
    return torch.cat(done)[torch.cat(order).argsort()]


def _means(fine: Tensor, size: tuple[int, int], count: list[int]) -> Tensor:
    """The mean of each output pixel's parts.  # [N, C, H n_y, W n_x] -> [N, C, H, W]"""
    if count == [1, 1]:
        return fine
    cut = fine.unflatten(3, (size[1], count[1])).unflatten(2, (size[0], count[0]))
    wide = torch.promote_types(fine.dtype, torch.float32)
    return cut.to(wide).mean((3, 5)).to(fine.dtype)


def parts(
    transform: Tensor, size: tuple[int, int], image_size: tuple[int, int], align_corners: bool
) -> Tensor:
    """Into how many parts along y and x each transform's output pixels are cut.  # [N, 2], CPU"""
    if not values_can_be_checked(transform):
        raise ValueError(
            "antialias=True looks at the transform, whose values are not to be seen in compiled, "
            "traced or transformed code"
        )
    scale = scales(transform.detach(), size, image_size, align_corners).flip(1)  # (y, x)
    most = [max(1, FURTHEST * max(image_size) // n) for n in size]
    most = torch.tensor(most, dtype=scale.dtype, device=scale.device)
    return torch.minimum((scale - SLACK).ceil().clamp(min=1), most).long().cpu()


def scales(
    transform: Tensor, size: tuple[int, int], image_size: tuple[int, int], align_corners: bool
) -> Tensor:
    """How many input pixels apart neighbours of the output are read, at most: (x, y).  # [N, 2]

    size: (H, W) of the output; image_size: (h, w) of the input.
    """
    if transform.shape[1:] == (2, 3):
        theta = as_float(transform, "theta", ("B", 2, 3))
        step = theta.new_tensor([2 / _whole(n, align_corners) for n in reversed(size)])
        moved = theta[:, :, :2] * step  # what one output pixel along x, along y does
    else:
        # Two places in each output pixel, half a pixel apart.
        places = _lattice(transform, size, [2, 2], align_corners)  # [N, 2H, 2W, 2]
        along = (
            places[:, ::2, 1::2] - places[:, ::2, ::2],
            places[:, 1::2, ::2] - places[:, ::2, ::2],
        )
        moved = 2 * torch.stack(along, 4)  # [N, H, W, 2, 2]
    pixels = pixels_per_unit(moved, image_size, align_corners)[:, None]
    length = torch.linalg.vector_norm(moved * pixels, dim=-2)  # [N, ..., 2]
    return length if length.ndim == 2 else length.flatten(1, 2).amax(1)


def _whole(n: int, align_corners: bool) -> int:
    """[-1, 1] in pixels of an axis of n."""
    return max(n - 1, 1) if align_corners else n


def _lattice(
    transform: Tensor, size: tuple[int, int], count: list[int], align_corners: bool = True
) -> Tensor:
    """Where the middles of the output pixels' parts are read.  # [N, H n_y, W n_x, 2]"""
    options = {"dtype": torch.promote_types(transform.dtype, torch.float32)}
    options["device"] = transform.device
    # Of edges that are at -1 and 1; with align_corners pixels are wider, about the same middle.
    y, x = (
        pixel_centres(n * k, **options) * (n / _whole(n, align_corners))
        for n, k in zip(size, count, strict=True)
    )
    shape = len(y), len(x)
    at = torch.stack([x.expand(shape), y[:, None].expand(shape)], 2).flatten(0, 1)
    return transform_points(transform, at).unflatten(1, shape)
