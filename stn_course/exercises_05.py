"""The exercises of notebook 05: references, the inputs they are tried on, known bugs."""

import torch

from stn_course import (
    exercises_05_cure,
    exercises_05_places,
    exercises_05_points,
    geometry,
    sampler,
)
from stn_course.exercises import Exercise, uniform


# ---------------------------------------------------------------- 5.1 add_coords
def add_coords(images):
    """images [B, C, H, W] -> [B, C + 2, H, W]: behind the image, x and y of each pixel."""
    batch, _, height, width = images.shape
    x = (2 * torch.arange(width, dtype=images.dtype) + 1) / width - 1  # [W]
    y = (2 * torch.arange(height, dtype=images.dtype) + 1) / height - 1  # [H]
    x = x.expand(batch, 1, height, width)
    y = y[:, None].expand(batch, 1, height, width)
    return torch.cat([images, x, y], 1)


def _cases_51():
    yield (uniform(1, 2, 1, 3, 5),)
    yield (uniform(2, 3, 2, 6, 4),)


def _with(images, x, y):
    """Channels x [W] and y [H] behind the images."""
    batch, _, height, width = images.shape
    x, y = x.to(images), y.to(images)
    x = x.expand(batch, 1, height, width)
    return torch.cat([images, x, y[:, None].expand(batch, 1, height, width)], 1)


def _y_first(images):
    out = add_coords(images)
    return torch.cat([out[:, :-2], out[:, -1:], out[:, -2:-1]], 1)


def _before_the_image(images):
    out = add_coords(images)
    return torch.cat([out[:, -2:], out[:, :-2]], 1)


def _edge_to_edge(images):
    height, width = images.shape[2:]
    return _with(images, torch.linspace(-1, 1, width), torch.linspace(-1, 1, height))


def _by_the_wrong_side(images):
    height, width = images.shape[2:]
    x = (2 * torch.arange(width) + 1) / height - 1
    return _with(images, x, (2 * torch.arange(height) + 1) / width - 1)


def _left_edges(images):
    height, width = images.shape[2:]
    return _with(images, 2 * torch.arange(width) / width - 1, 2 * torch.arange(height) / height - 1)


def _not_centred(images):
    height, width = images.shape[2:]
    x, y = torch.arange(width, dtype=torch.double), torch.arange(height, dtype=torch.double)
    return _with(images, (x + 0.5) / width, (y + 0.5) / height)


def _rounded(images):
    height, width = images.shape[2:]
    x = (2 * torch.arange(width) + 1) / width - 1
    return _with(images, x, (2 * torch.arange(height) + 1) / height - 1)


def _alone(images):
    return add_coords(images)[:, -2:]


# ---------------------------------------------------------------- 5.3 homography_grid
def homography_grid(H, size):
    """H [B, 3, 3], size (h, w) -> where each output pixel is read [B, h, w, 2], x first."""
    ys, xs = ((2 * torch.arange(n, dtype=H.dtype) + 1) / n - 1 for n in size)
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    base = torch.stack([x, y, torch.ones_like(x)], -1)  # [h, w, 3]
    uvw = torch.einsum("bij,hwj->bhwi", H, base)  # [B, h, w, 3]
    return uvw[..., :2] / uvw[..., 2:]


def _tilted(seed: int, n: int) -> torch.Tensor:
    h = torch.eye(3, dtype=torch.float64) + 0.4 * (uniform(seed, n, 3, 3) - 0.5)
    return h / h[:, 2:, 2:]


def _cases_53():
    yield geometry.to_homogeneous(geometry.affine(20, 1.2, dtype=torch.float64)), (3, 5)
    yield _tilted(3, 2), (4, 3)
    yield 2.5 * _tilted(4, 2), (3, 4)  # any multiple is the same homography
    yield -2 * _tilted(5, 1), (2, 3)


def _uvw(H, size):
    flat = [sampler.affine_grid(H[:, rows], size) for rows in ((0, 1), (2, 2))]
    return flat[0], flat[1][..., :1]


def _never_divided(H, size):
    return _uvw(H, size)[0]


def _w_times(H, size):
    uv, w = _uvw(H, size)
    return uv * w


def _h33_one(H, size):
    uv, w = _uvw(H, size)
    return uv / (w - H[:, 2, 2].view(-1, 1, 1, 1) + 1)


def _transposed(H, size):
    return homography_grid(H.mT, size)


def _inverted(H, size):
    return homography_grid(torch.linalg.inv(H), size)


def _x_alone_divided(H, size):
    uv, w = _uvw(H, size)
    return torch.cat([uv[..., :1] / w, uv[..., 1:]], -1)


def _grid_y_first(H, size):
    return homography_grid(H, size).flip(-1)


def _one_w_for_all(H, size):
    uv, w = _uvw(H, size)
    return uv / w.mean((1, 2, 3), keepdim=True)


def _w_clamped(H, size):
    uv, w = _uvw(H, size)
    return uv / w.clamp(min=0.1)


def _w_plus(H, size):
    uv, w = _uvw(H, size)
    return uv / (w + 1e-8)


EXERCISES = {
    "5.1": Exercise(
        add_coords,
        _cases_51,
        {
            "x and y are swapped: the channel after the image is x, to the right; then y": _y_first,
            "the coordinates stand before the image: [image, x, y]": _before_the_image,
            "these are from edge to edge, linspace(-1, 1): the centre of pixel i of n is "
            "(2i + 1)/n - 1": _edge_to_edge,
            "h and w are swapped: x is divided by the width, y by the height; on a square "
            "picture nobody would see it": _by_the_wrong_side,
            "half a pixel off: these are left and upper edges; the centre of pixel i of n is "
            "(2i + 1)/n - 1": _left_edges,
            "these run from 0 to 1; wanted from -1 to 1": _not_centred,
            "the coordinates are rounded to float32: give torch.arange the images' dtype": _rounded,
            "the image itself is missing: concatenate [image, x, y]": _alone,
        },
        "x = (2j + 1)/W - 1 is a row, y = (2i + 1)/H - 1 a column; expand both to [B, 1, H, W] and "
        "concatenate along dimension 1",
        tolerance=1e-9,
    ),
    "5.3": Exercise(
        homography_grid,
        _cases_53,
        {
            "u and v are not divided by w: that is still affine": _never_divided,
            "u and v are multiplied by w; divide": _w_times,
            "w is h31 x + h32 y + 1, whatever h33 is; a homography may have any scale": _h33_one,
            "H is transposed: (u, v, w) = H (x, y, 1), a column": _transposed,
            "this is the forward map: H already says where to read, so do not invert it": _inverted,
            "v is not divided by w": _x_alone_divided,
            "x and y are swapped: the last axis of a grid is (x, y), x first": _grid_y_first,
            "one w for the whole picture: every pixel has its own": _one_w_for_all,
            "w is held above 0: a homography of any scale may have it below, and the grid is to "
            "say where it is read, not to mend it": _w_clamped,
            "a little is added to w: that keeps no division from failing where w is below 0, and "
            "moves every place": _w_plus,
        },
        "stack (x, y, 1) at the pixel centres into [h, w, 3], multiply by H, and divide the first "
        "two numbers by the third",
        tolerance=1e-9,
    ),
    **exercises_05_points.EXERCISES,
    **exercises_05_places.EXERCISES,
    **exercises_05_cure.EXERCISES,
}
