"""The exercises of notebook 07: references, the inputs they are tried on, known bugs."""

import torch

from stn_course import exercises_07_adjoint, exercises_07_waits
from stn_course.exercises import Exercise


# ---------------------------------------------------------------- 7.1 bytes_moved
def bytes_moved(batch, channels, size, out_size):
    """float32 bytes for images of size (h, w) and an output of out_size (H, W).

    -> (forward, backward) of affine_grid and grid_sample, then the least (forward, backward).
    """
    pixels, places = size[0] * size[1], out_size[0] * out_size[1]
    images, output = 4 * channels * pixels, 4 * channels * places
    base, grid = 3 * 4 * places, 2 * 4 * places
    forward = base + (base + grid) + (grid + images + output)
    backward = (output + images + grid + grid) + base + (base + grid)
    least = images + output
    return tuple(batch * n for n in (forward, backward, least, least))


def _cases_71():
    yield 256, 1, (28, 28), (28, 28)
    yield 16, 3, (64, 48), (32, 40)
    yield 1, 64, (14, 14), (14, 14)


def _moved(batch, channels, size, out_size, bases=2, columns=3, grid_read=1,
           per_channel=False, of_the_input=False, image_again=1, least_grid=0):  # fmt: skip
    """`bytes_moved` with one thing changed."""
    pixels, places = size[0] * size[1], out_size[0] * out_size[1]
    images, output = 4 * channels * pixels, 4 * channels * places
    over = (pixels if of_the_input else places) * (channels if per_channel else 1)
    base, grid = columns * 4 * over, 2 * 4 * over
    both = bases * base
    forward = both + (1 + grid_read) * grid + images + output
    backward = both + output + image_again * images + 3 * grid
    least = images + output + least_grid * grid
    return tuple(batch * n for n in (forward, backward, least, least))


def _no_base_grid(*case):
    return _moved(*case, bases=0)


def _base_grid_once(*case):
    return _moved(*case, bases=1)


def _base_grid_of_two(*case):
    return _moved(*case, columns=2)


def _grid_once(*case):
    return _moved(*case, grid_read=0)


def _grid_for_each_channel(*case):
    return _moved(*case, per_channel=True)


def _grid_of_the_input(*case):
    return _moved(*case, of_the_input=True)


def _image_not_read_again(*case):
    return _moved(*case, image_again=0)


def _one_size(batch, channels, size, out_size):
    return bytes_moved(batch, channels, size, size)


def _least_with_grid(*case):
    return _moved(*case, least_grid=1)


def _numbers_for_bytes(*case):
    return tuple(n / 4 for n in bytes_moved(*case))


def _one_image(batch, *case):
    return bytes_moved(1, *case)


# ---------------------------------------------------------------- 7.2 theta_gradient
def theta_gradient(slope_x, slope_y, upstream):
    """d out/d x, d out/d y and dL/d out, each [B, C, H, W] -> dL/dtheta [B, 2, 3]."""
    height, width = upstream.shape[2:]
    x = (2 * torch.arange(width, dtype=upstream.dtype) + 1) / width - 1  # [W]
    y = (2 * torch.arange(height, dtype=upstream.dtype)[:, None] + 1) / height - 1  # [H, 1]
    pull = torch.stack([slope_x, slope_y], 1) * upstream[:, None]  # [B, 2, C, H, W]
    sums = [(pull * k).sum((2, 3, 4)) for k in (x, y, 1)]  # three of [B, 2]
    return torch.stack(sums, 2)


def _cases_72():
    dice = torch.Generator().manual_seed(72)
    for shape in ((2, 1, 4, 4), (3, 2, 3, 5)):
        yield tuple(torch.rand(3, *shape, generator=dice, dtype=torch.float64) - 0.5)


def _swapped_places(slope_x, slope_y, upstream):
    return theta_gradient(slope_x, slope_y, upstream)[:, :, [1, 0, 2]]


def _swapped_slopes(slope_x, slope_y, upstream):
    return theta_gradient(slope_y, slope_x, upstream)


def _mean_over_pixels(slope_x, slope_y, upstream):
    return theta_gradient(slope_x, slope_y, upstream) / upstream[0, 0].numel()


def _mean_over_channels(slope_x, slope_y, upstream):
    return theta_gradient(slope_x, slope_y, upstream) / upstream.shape[1]


def _first_channel(slope_x, slope_y, upstream):
    return theta_gradient(slope_x[:, :1], slope_y[:, :1], upstream[:, :1])


def _one_theta_for_all(slope_x, slope_y, upstream):
    whole = theta_gradient(slope_x, slope_y, upstream)
    return whole.sum(0, keepdim=True).expand_as(whole)


def _without_upstream(slope_x, slope_y, upstream):
    return theta_gradient(slope_x, slope_y, torch.ones_like(upstream))


def _against(slope_x, slope_y, upstream, centres):
    height, width = upstream.shape[2:]
    x, y = centres(width).to(upstream), centres(height).to(upstream)[:, None]
    pull = torch.stack([slope_x, slope_y], 1) * upstream[:, None]
    return torch.stack([(pull * k).sum((2, 3, 4)) for k in (x, y, 1)], 2)


def _edge_to_edge(*case):
    return _against(*case, lambda n: torch.linspace(-1, 1, n, dtype=torch.float64))


def _in_pixels(*case):
    return _against(*case, torch.arange)


def _float32_places(*case):
    return _against(*case, lambda n: (2 * torch.arange(n, dtype=torch.float32) + 1) / n - 1)


EXERCISES = {
    "7.1": Exercise(
        bytes_moved,
        _cases_71,
        {
            "the base grid is missing: affine_grid writes (x, y, 1) for every pixel of every "
            "image, reads it again, and does so in the backward too": _no_base_grid,
            "the base grid is counted once each way: affine_grid writes it at every call, and the "
            "matrix product reads it": _base_grid_once,
            "the base grid has three numbers a pixel, x, y and 1": _base_grid_of_two,
            "the grid is written and never read: grid_sample reads it": _grid_once,
            "the grid is counted once a channel; all channels share one": _grid_for_each_channel,
            "the grid has a place for each pixel of the *output*": _grid_of_the_input,
            "out_size is not in it: grid and output have a number for each pixel of the output, "
            "images for each of size": _one_size,
            "the backward reads the image again: the slope of reading is made of its pixels": (
                _image_not_read_again
            ),
            "the least holds a grid; coordinates follow from six numbers and need no memory": (
                _least_with_grid
            ),
            "these are numbers; a float32 number has four bytes": _numbers_for_bytes,
            "this is one image; the batch has `batch` of them": _one_image,
        },
        "forward: write base, read base, write grid, read grid, read images, write output; "
        "backward: read upstream, images and grid, write the grid's gradient, and the base again",
    ),
    "7.2": Exercise(
        theta_gradient,
        _cases_72,
        {
            "x and y are swapped in the sums: theta multiplies (x, y, 1)": _swapped_places,
            "the rows are swapped: the first row of theta makes x, so it takes slope_x": (
                _swapped_slopes
            ),
            "these are means; every pixel pulls at the same theta, so they are sums": (
                _mean_over_pixels
            ),
            "the channels are averaged; all of them pull at the same place, so they add": (
                _mean_over_channels
            ),
            "only the first channel is in it": _first_channel,
            "this is one sum over the batch; every image has its own theta": _one_theta_for_all,
            "upstream is forgotten: a pixel pulls by its slope times upstream": _without_upstream,
            "x and y run from -1 to 1 here; pixel centres do not reach the edges: "
            "(2j + 1) / W - 1": _edge_to_edge,
            "x and y are in pixels; theta multiplies coordinates from -1 to 1": _in_pixels,
            "x and y are in float32: torch.arange makes them so unless it is given the dtype of "
            "upstream": _float32_places,
        },
        "pull = slope * upstream, summed over channels; then sum pull * x, pull * y and pull, for "
        "each of the two slopes: [B, 2, 3]",
        tolerance=1e-9,
    ),
    **exercises_07_adjoint.EXERCISES,
    **exercises_07_waits.EXERCISES,
}
