"""CoordConv: convolutions that are told where they are.

Liu et al. 2018, "An intriguing failing of convolutional neural networks and the CoordConv
solution", arXiv 1807.03247. A convolution does the same everywhere, so it cannot say *where* it
found something. Two more input channels, x and y, tell it.
"""

import torch
from torch import Tensor, nn

from stn_course.geometry import as_whole, cached_by_shape, pixel_centres


def add_coords(x: Tensor, radius: bool = False) -> Tensor:
    """`x` with where each pixel is behind its channels.  # [B, C, H, W] -> [B, C+2, H, W]

    The channels are x (to the right), y (down) and, with `radius`, the distance from the
    image's centre [B, C+3, H, W]. Coordinates are those of the whole course: pixel centres,
    with [-1, 1] from edge to edge. They are computed in float32 or better and then rounded to
    the type of `x`.

    Raises TypeError for an `x` that is not a floating-point tensor, ValueError for one that is
    not [B, C, H, W].
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        got = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x is {got}; wanted a floating-point tensor [B, C, H, W]")
    if x.ndim != 4:
        raise ValueError(f"x has shape {list(x.shape)}; wanted [B, C, H, W]")
    coords = _kept_channels(x.shape[2], x.shape[3], bool(radius), x.dtype, x.device)
    return torch.cat([x, coords.expand(x.shape[0], -1, -1, -1)], 1)


def _channels(height, width, radius: bool, dtype: torch.dtype, device) -> Tensor:
    """x, y and perhaps r for one image.  # [1, 2 or 3, H, W]"""
    with torch.no_grad():
        exact = {"dtype": torch.promote_types(dtype, torch.float32), "device": device}
        x = pixel_centres(width, **exact).expand(height, width)
        y = pixel_centres(height, **exact)[:, None].expand(height, width)
        found = [x, y, torch.hypot(x, y)] if radius else [x, y]
        return torch.stack(found)[None].to(dtype)


@cached_by_shape
def _kept_channels(height, width, radius: bool, dtype: torch.dtype, device) -> Tensor:
    """`_channels`, made once for each size, type and device; good for training everywhere."""
    with torch.inference_mode(False):
        return _channels(height, width, radius, dtype, device)


class CoordConv2d(nn.Conv2d):
    """A convolution of `add_coords(x)`.  # [B, C, h, w] -> [B, out_channels, H, W]

    `in_channels` counts the channels of the images alone; the weight has two more inputs,
    three with `radius`: [out_channels, in_channels + 2 or 3, k, k]. Everything else is
    `nn.Conv2d`: weight and bias are all there is to learn or to store, and padding is applied
    to the coordinates as it is to the image (zeros by default, as in the paper).

    Raises ValueError for no `in_channels`, and for `groups` above 1: only the last group would
    know where it is.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups: int = 1,
        *,
        radius: bool = False,
        **options,
    ):
        given, in_channels = in_channels, as_whole(in_channels)
        if in_channels is None or in_channels < 1:
            raise ValueError(f"in_channels={given!r}; wanted those of the images, at least 1")
        if groups != 1:
            raise ValueError(f"groups={groups}; wanted 1: all outputs see coordinates")
        self.radius = bool(radius)
        out_channels, kernel_size, stride, padding, dilation = (
            each if as_whole(each) is None else as_whole(each)
            for each in (out_channels, kernel_size, stride, padding, dilation)
        )
        inputs = in_channels + 2 + self.radius
        super().__init__(inputs, out_channels, kernel_size, stride, padding, dilation, **options)

    def forward(self, x: Tensor) -> Tensor:
        wanted = self.in_channels - 2 - self.radius
        if isinstance(x, Tensor) and x.ndim == 4 and x.shape[1] != wanted:
            raise ValueError(f"x has {x.shape[1]} channels; wanted {wanted}")
        return super().forward(add_coords(x, self.radius))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, radius={self.radius}"
