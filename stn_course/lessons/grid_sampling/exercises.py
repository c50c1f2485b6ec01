"""The exercises of notebook 02: references, the inputs they are tried on, known bugs."""

import torch
import torch.nn.functional as F
from torch.optim.optimizer import register_optimizer_step_pre_hook

from stn_course import geometry, sampling
from stn_course.lessons.checking import Exercise, uniform
from stn_course.sampling import reference


def thetas(seed: int, n: int) -> torch.Tensor:
    """n thetas near the identity, none of them symmetric.  # float64 [n, 2, 3]"""
    return geometry.identity(n, dtype=torch.float64) + 0.8 * uniform(seed, n, 2, 3) - 0.4


# ---------------------------------------------------------------- 2.1 affine_grid
grid = Exercise(
    "2.1",
    hint="x of column j is (2j + 1)/W - 1, y of row i is (2i + 1)/H - 1; stack (x, y, 1) into "
    "[H, W, 3] and multiply by theta",
    tolerance=1e-9,
)


@grid.reference
def affine_grid(theta, size):
    """theta [B, 2, 3], size (H, W) -> where each output pixel is read [B, H, W, 2]."""
    ys, xs = ((2 * torch.arange(n, dtype=theta.dtype) + 1) / n - 1 for n in size)
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    base = torch.stack([x, y, torch.ones_like(x)], -1)  # [H, W, 3]
    return torch.einsum("bij,hwj->bhwi", theta, base)


@grid.cases
def _():
    yield geometry.identity(1, dtype=torch.float64), (2, 3)
    yield thetas(1, 2), (3, 5)
    yield thetas(2, 3), (4, 4)


@grid.gradients
def _(theta, size):
    return {"theta": theta}


@grid.bug("x and y are swapped: the last axis of a grid is (x, y), x first")
def _(theta, size):
    return affine_grid(theta, size).flip(-1)


@grid.bug("x and y are swapped: theta is applied to (x, y, 1), not to (y, x, 1)")
def _(theta, size):
    return affine_grid(theta[..., [1, 0, 2]], size)


def _transposed(theta):
    """theta with its 2x2 part turned over, and the shift as it is.  # [B, 2, 3]"""
    return torch.cat([theta[..., :2].mT, theta[..., 2:]], -1)


def _over(theta, xs, ys):
    """theta applied to (x, y, 1) at columns xs [W] and rows ys [H].  # [B, H, W, 2]"""
    y, x = torch.meshgrid(ys.to(theta), xs.to(theta), indexing="ij")
    base = torch.stack([x, y, torch.ones_like(x)], -1)  # [H, W, 3]
    return torch.einsum("bij,hwj->bhwi", theta, base)


@grid.bug(
    "half a pixel off: these are the left and top edges of the pixels; the centre of pixel i of n "
    "is (2i + 1)/n - 1"
)
def _(theta, size):
    ys, xs = (2 * torch.arange(n, dtype=theta.dtype) / n - 1 for n in size)
    return _over(theta, xs, ys)


@grid.bug(
    "this is align_corners=True: linspace(-1, 1, n) puts the centres of the outer pixels on the "
    "edges of the image"
)
def _(theta, size):
    ys, xs = (torch.linspace(-1, 1, n, dtype=theta.dtype) for n in size)
    return _over(theta, xs, ys)


@grid.bug("this is the forward map: theta already says where to read, so do not invert it")
def _(theta, size):
    return affine_grid(geometry.invert(theta), size)


@grid.bug("theta is transposed: x is a x + b y + c with a, b, c the first row of theta")
def _(theta, size):
    return affine_grid(_transposed(theta), size)


@grid.bug(
    "theta [2, 3] was reshaped to [3, 2], which is no transpose: its numbers go on row by row; "
    "theta.mT turns it over"
)
def _(theta, size):
    return affine_grid(theta.reshape(-1, 3, 2).mT, size)


@grid.bug("H and W are swapped: x of column j is divided by the width, y of row i by the height")
def _(theta, size):
    height, width = size
    xs = (2 * torch.arange(width, dtype=theta.dtype) + 1) / height - 1
    return _over(theta, xs, (2 * torch.arange(height, dtype=theta.dtype) + 1) / width - 1)


@grid.bug("the shift is missing: theta multiplies (x, y, 1), not (x, y)")
def _(theta, size):
    return affine_grid(torch.cat([theta[..., :2], 0 * theta[..., 2:]], -1), size)


@grid.bug("one theta for the whole batch: every image has its own")
def _(theta, size):
    return affine_grid(theta[:1].expand_as(theta), size)


@grid.bug("y runs upwards: y = -1 is the top edge, so that row 0 comes first")
def _(theta, size):
    return affine_grid(theta, size).flip(1)


@grid.bug("these run from 0 to 1: the picture goes from -1 to 1")
def _(theta, size):
    ys, xs = ((torch.arange(n, dtype=theta.dtype) + 0.5) / n for n in size)
    return _over(theta, xs, ys)


@grid.bug("these are in pixels: the picture goes from -1 to 1")
def _(theta, size):
    return _over(theta, torch.arange(size[1]), torch.arange(size[0]))


@grid.bug(
    "half a pixel off: these are the right and bottom edges of the pixels; the centre of pixel i "
    "of n is (2i + 1)/n - 1"
)
def _(theta, size):
    ys, xs = (2 * torch.arange(1, n + 1, dtype=theta.dtype) / n - 1 for n in size)
    return _over(theta, xs, ys)


@grid.bug("size is (height, width); here the width is read first")
def _(theta, size):
    return affine_grid(theta, size[::-1])


@grid.bug("rows and columns are swapped: the grid is [B, H, W, 2], the row first")
def _(theta, size):
    return affine_grid(theta, size).transpose(1, 2)


@grid.bug("the centres are rounded to float32: give torch.arange theta's dtype")
def _(theta, size):
    ys, xs = ((2 * torch.arange(n) + 1) / n - 1 for n in size)
    return _over(theta, xs, ys)


@grid.bug(
    "the numbers are right and lie in the wrong order: [B, 2, H, W] was reshaped to [B, H, W, 2]; "
    "move the axis instead"
)
def _(theta, size):
    planes = affine_grid(theta, size).permute(0, 3, 1, 2)  # [B, 2, H, W]
    return planes.reshape(len(theta), *size, 2)


# ---------------------------------------------------------------- 2.2 compose and invert
two_warps = Exercise(
    "2.2",
    hint="append the row (0, 0, 1) to both, multiply a @ b, invert the 3x3 product, and cut the "
    "row off again",
    tolerance=1e-9,
)


@two_warps.reference
def both_and_back(a, b):
    """a, b [2, 3] -> (warp by a, then by b, as one theta [2, 3]; the theta that undoes both)."""
    both = torch.cat([a[:, :2] @ b[:, :2], a[:, :2] @ b[:, 2:] + a[:, 2:]], 1)
    inverse = torch.linalg.inv(both[:, :2])
    return both, torch.cat([inverse, -inverse @ both[:, 2:]], 1)


@two_warps.cases
def _():
    yield tuple(thetas(3, 2))
    yield tuple(thetas(4, 2))


@two_warps.gradients
def _(a, b):
    return {"a": a, "b": b}


@two_warps.bug(
    "the order is swapped: the second warp reads the first one's output, so the point goes through "
    "b first and then through a"
)
def _(a, b):
    return both_and_back(b, a)


def _inverse(a):
    return geometry.invert(a[None])[0]


@two_warps.bug("the shifts are added: b's shift has to go through a's 2x2 part")
def _(a, b):
    both = torch.cat([a[:, :2] @ b[:, :2], a[:, 2:] + b[:, 2:]], 1)
    return both, _inverse(both)


@two_warps.bug("the way back is taken in the same order: undo the last warp first")
def _(a, b):
    return both_and_back(a, b)[0], both_and_back(_inverse(a), _inverse(b))[0]


@two_warps.bug("the way back has -t as its shift; it is -(inverse of A) t")
def _(a, b):
    both, back = both_and_back(a, b)
    return both, torch.cat([back[:, :2], -both[:, 2:]], 1)


@two_warps.bug("the way back uses A transposed; that is the inverse of a rotation alone")
def _(a, b):
    both, _ = both_and_back(a, b)
    turned = both[:, :2].T
    return both, torch.cat([turned, -turned @ both[:, 2:]], 1)


@two_warps.bug("the two come in the wrong order: first both, then the way back")
def _(a, b):
    return both_and_back(a, b)[::-1]


@two_warps.bug("this is no matrix product: a * b multiplies entry by entry; a @ b")
def _(a, b):
    both = torch.cat([a[:, :2] * b[:, :2], a[:, :2] @ b[:, 2:] + a[:, 2:]], 1)
    return both, _inverse(both)


@two_warps.bug("the way back undoes the first warp alone; invert the product of both")
def _(a, b):
    return both_and_back(a, b)[0], _inverse(a)


@two_warps.bug("the way back undoes the second warp alone; invert the product of both")
def _(a, b):
    return both_and_back(a, b)[0], _inverse(b)


@two_warps.bug("the third row (0, 0, 1) is still there: cut it off, [:2], both are [2, 3]")
def _(a, b):
    last = a.new_tensor([[0, 0, 1]])
    return tuple(torch.cat([part, last]) for part in both_and_back(a, b))


@two_warps.bug("these are batches of one: a and b have no batch, so take [0], both are [2, 3]")
def _(a, b):
    return tuple(part[None] for part in both_and_back(a, b))


# ---------------------------------------------------------------- 2.3 bilinear sampling
reading = Exercise(
    "2.3",
    hint="x0 = floor(x), x1 = x0 + 1; each neighbour weighs (1 - |x - column|)(1 - |y - row|), and "
    "0 if it lies outside",
    tolerance=1e-9,
)


@reading.reference
def bilinear_sample(images, grid):
    """images [B, C, h, w], grid [B, H, W, 2] -> [B, C, H, W]; 0 outside the image."""
    (batch, _, h, w), out = images.shape, 0
    x = ((grid[..., 0] + 1) * w - 1) / 2  # [B, H, W]
    y = ((grid[..., 1] + 1) * h - 1) / 2
    each = torch.arange(batch)[:, None, None]
    for row in (y.floor(), y.floor() + 1):
        for column in (x.floor(), x.floor() + 1):
            weight = (1 - (x - column).abs()) * (1 - (y - row).abs())
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            r, c = row.clamp(0, h - 1).long(), column.clamp(0, w - 1).long()
            values = images[each, :, r, c].movedim(-1, 1)  # [B, C, H, W]
            out = out + (weight * inside)[:, None] * values
    return out


@reading.cases
def _():
    whole = geometry.identity(2, dtype=torch.float64)
    yield uniform(5, 2, 2, 4, 8), sampling.affine_grid(whole, (4, 8))  # reads whole pixels
    yield uniform(6, 2, 1, 5, 4), sampling.affine_grid(1.3 * thetas(7, 2), (6, 3))
    yield uniform(8, 2, 3, 4, 3), 3 * uniform(9, 2, 5, 5, 2) - 1.5


@reading.gradients
def _(images, grid):
    return {"images": images, "grid": grid}


def _gather(images, index):
    """Flat whole places [B, H, W] of images [B, C, h, w] -> [B, C, H, W]."""
    flat = index.flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, flat).unflatten(2, index.shape[1:])


def _sample(images, grid, floor=torch.floor, half=0.5, outside=0.0, by_columns=False, ceil=False):
    """Bilinear reading with its parts exchangeable; the defaults are right.

    outside: what the weight of a neighbour outside the image is multiplied by.
    """
    h, w = images.shape[2:]
    x, y = ((grid[..., k] + 1) * n / 2 - half for k, n in ((0, w), (1, h)))
    x0, y0 = floor(x), floor(y)
    x1, y1 = (x.ceil(), y.ceil()) if ceil else (x0 + 1, y0 + 1)
    out = 0
    for row, weight_y in ((y0, y1 - y), (y1, y - y0)):
        for column, weight_x in ((x0, x1 - x), (x1, x - x0)):
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            r, c = row.clamp(0, h - 1).long(), column.clamp(0, w - 1).long()
            values = _gather(images, c * h + r if by_columns else r * w + c)
            weight = weight_x * weight_y * torch.where(inside, 1.0, outside)
            out = out + weight[:, None] * values
    return out


@reading.bug("outside lies the image's background here; in this exercise it is 0")
def _(images, grid):
    return sampling.bilinear_sample(images, grid)


@reading.bug("outside the picture is mirrored here; a neighbour outside has a weight of 0")
def _(images, grid):
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


@reading.bug("x and y are swapped: grid[..., 0] is x and chooses the column")
def _(images, grid):
    return _sample(images, grid.flip(-1))


@reading.bug(
    "half a pixel off: x = -1 is the left edge of pixel 0, half a pixel before its centre: "
    "((x + 1) w - 1)/2"
)
def _(images, grid):
    return _sample(images, grid, half=0.0)


@reading.bug("this is align_corners=True: (x + 1)/2 (w - 1)")
def _(images, grid):
    return sampling.bilinear_sample(images, grid, "zeros", align_corners=True)


@reading.bug(
    "the last row or column is lost: where one neighbour is outside, all four count for nothing "
    "(dropped, or weighed after clipping, which cancels them); give a weight of 0 to that "
    "neighbour alone"
)
def _(images, grid):
    h, w = images.shape[2:]
    x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
    whole = (x >= 0) & (y >= 0) & (x.floor() + 1 < w) & (y.floor() + 1 < h)
    return _sample(images, grid) * whole[:, None]


@reading.bug(
    "the weights are exchanged: the nearer a neighbour, the more it counts, so the left one weighs "
    "floor(x) + 1 - x and the right one x - floor(x)"
)
def _(images, grid):
    h, w = images.shape[2:]
    x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
    turned = [2 * v.floor() + 1 - v for v in (x, y)]  # as far from the other neighbour
    there = [(2 * v + 1) / n - 1 for v, n in zip(turned, (w, h), strict=True)]
    return _sample(images, torch.stack(there, -1))


@reading.bug(
    "clipped neighbours and their distances: outside, the same edge pixel counts twice, or with a "
    "negative weight; give a neighbour outside a weight of 0"
)
def _(images, grid):
    (h, w), out = images.shape[2:], 0
    x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
    for row in (y.floor().clamp(0, h - 1), (y.floor() + 1).clamp(0, h - 1)):
        for column in (x.floor().clamp(0, w - 1), (x.floor() + 1).clamp(0, w - 1)):
            weight = (1 - (x - column).abs()) * (1 - (y - row).abs())
            out = out + weight[:, None] * _gather(images, (row * w + column).long())
    return out


@reading.bug(
    "clipped neighbours with unclipped weights, or a clipped place: outside, the nearest edge "
    "pixel is read; clip for the index and give a neighbour outside a weight of 0"
)
def _(images, grid):
    return _sample(images, grid, outside=1.0)


@reading.bug(
    "the weights do not sum to one: where x is whole, ceil(x) is floor(x) and both weights are 0; "
    "the right neighbour is floor(x) + 1"
)
def _(images, grid):
    return _sample(images, grid, ceil=True)


@reading.bug("trunc, int() and long() cut towards 0, so -0.3 becomes 0; use floor")
def _(images, grid):
    return _sample(images, grid, floor=torch.trunc)


@reading.bug(
    "trunc, int() and long() cut towards 0, so -0.3 becomes 0, and pixel 1 is taken for a "
    "neighbour; use floor"
)
def _(images, grid):
    h, w = images.shape[2:]
    x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
    out = 0
    for row in (y.trunc(), y.trunc() + 1):
        for column in (x.trunc(), x.trunc() + 1):
            weight = (1 - (x - column).abs()) * (1 - (y - row).abs())
            weight = weight * ((row >= 0) & (row < h) & (column >= 0) & (column < w))
            index = row.clamp(0, h - 1) * w + column.clamp(0, w - 1)
            out = out + weight[:, None] * _gather(images, index.long())
    return out


def _pixels(images, grid):
    """x and y of a grid in pixels of the images.  # [B, H, W] each"""
    (h, w) = images.shape[2:]
    return (((grid[..., k] + 1) * n - 1) / 2 for k, n in ((0, w), (1, h)))


def _four(images, grid, weigh):
    """The four neighbours, 0 outside, each times weigh(x - column, y - row)."""
    (h, w), out = images.shape[2:], 0
    x, y = _pixels(images, grid)
    for row in (y.floor(), y.floor() + 1):
        for column in (x.floor(), x.floor() + 1):
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            index = (row.clamp(0, h - 1) * w + column.clamp(0, w - 1)).long()
            weight = weigh(x - column, y - row) * inside
            out = out + weight[:, None] * _gather(images, index)
    return out


def _at_whole(images, grid, rounded):
    """What is read at whole pixels alone."""
    x, y = map(rounded, _pixels(images, grid))
    h, w = images.shape[2:]
    return _sample(images, torch.stack([(2 * x + 1) / w - 1, (2 * y + 1) / h - 1], -1))


@reading.bug(
    "this is the average of the four neighbours: the nearer one lies, the more it counts, "
    "(1 - |x - column|)(1 - |y - row|)"
)
def _(images, grid):
    return _four(images, grid, lambda dx, dy: torch.full_like(dx, 0.25))


@reading.bug("this is the sum of the four neighbours: each counts by its weight")
def _(images, grid):
    return _four(images, grid, lambda dx, dy: torch.ones_like(dx))


@reading.bug(
    "this reads the nearest pixel alone: it has steps, and no slope to learn from; weigh all four "
    "neighbours"
)
def _(images, grid):
    return _at_whole(images, grid, torch.round)


@reading.bug(
    "this reads the upper left neighbour alone, where floor() ends; weigh all four neighbours"
)
def _(images, grid):
    return _at_whole(images, grid, torch.floor)


@reading.bug(
    "the weights of two neighbours are swapped: the one to the right, in the upper row, counts by "
    "the way to it along x and the way down to the lower row, a (1 - b); the one below by (1 - a) b"
)
def _(images, grid):
    (h, w), out = images.shape[2:], 0
    x, y = _pixels(images, grid)
    x0, y0 = x.floor(), y.floor()
    for i in (0, 1):
        for j in (0, 1):
            row, column = y0 + i, x0 + j
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            index = (row.clamp(0, h - 1) * w + column.clamp(0, w - 1)).long()
            weight = (1 - (x - x0 - i).abs()) * (1 - (y - y0 - j).abs()) * inside
            out = out + weight[:, None] * _gather(images, index)
    return out


@reading.bug("the weights are added, and belong multiplied: (1 - |x - column|)(1 - |y - row|)")
def _(images, grid):
    return _four(images, grid, lambda dx, dy: 2 - dx.abs() - dy.abs())


@reading.bug("one image for the whole batch: row b of the grid reads image b")
def _(images, grid):
    return _sample(images[:1].expand_as(images), grid)


@reading.bug("h and w are swapped: x goes with the width, y with the height")
def _(images, grid):
    h, w = images.shape[2:]
    turned = torch.stack([(grid[..., 0] + 1) * h / w - 1, (grid[..., 1] + 1) * w / h - 1], -1)
    return _sample(images, turned)


@reading.bug("row-major and column-major are mixed up: the flat index is row * w + column")
def _(images, grid):
    return _sample(images, grid, by_columns=True)


# ---------------------------------------------------------------- 2.4 backward to grid and theta
backward = Exercise(
    "2.4",
    hint="d out/d x per pixel = (1-b)(right - left of the upper pair) + b (of the lower pair); "
    "times w/2, times upstream; then sum the outer products with (x, y, 1)",
    tolerance=1e-9,
)


@backward.reference
def coordinate_gradients(image, theta, upstream):
    """image [h, w], theta [2, 3], upstream dL/dout [H, W] -> (dL/dgrid [H, W, 2], dL/dtheta)."""
    (h, w), size = image.shape, tuple(upstream.shape)
    grid = sampling.affine_grid(theta[None], size)[0]  # [H, W, 2]
    x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
    padded = F.pad(image, (2, 2, 2, 2))  # 0 outside, and so flat
    c = (x.floor() + 2).clamp(0, w + 2).long()
    r = (y.floor() + 2).clamp(0, h + 2).long()
    p00, p01, p10, p11 = (padded[r + i, c + j] for i in (0, 1) for j in (0, 1))
    a, b = x - x.floor(), y - y.floor()
    d_x = (1 - b) * (p01 - p00) + b * (p11 - p10)  # per pixel
    d_y = (1 - a) * (p10 - p00) + a * (p11 - p01)
    d_grid = upstream[..., None] * torch.stack([d_x * w / 2, d_y * h / 2], -1)
    base = sampling.affine_grid(geometry.identity(dtype=theta.dtype), size)[0]
    base = torch.cat([base, torch.ones_like(base[..., :1])], -1)  # (x, y, 1)  [H, W, 3]
    return d_grid, torch.einsum("hwi,hwj->ij", d_grid, base)


@backward.cases
def _():
    yield uniform(10, 5, 6), thetas(11, 1)[0], uniform(12, 4, 3) - 0.5
    yield uniform(13, 4, 4), 1.2 * thetas(14, 1)[0], uniform(15, 5, 7) - 0.5
    far = thetas(18, 1)[0].clone()
    far[:, 2] -= 1.3  # beyond the left and the top
    yield uniform(16, 5, 4), far, uniform(17, 6, 6) - 0.5


@backward.bug("these are gradients per pixel: one pixel is 2/w in x, so multiply by w/2 and h/2")
def _(image, theta, upstream):
    d_grid, d_theta = coordinate_gradients(image, theta, upstream)
    half = d_grid.new_tensor([image.shape[1] / 2, image.shape[0] / 2])
    return d_grid / half, d_theta / half[:, None]


@backward.bug("x and y are swapped: the first number is the gradient to x")
def _(image, theta, upstream):
    d_grid, d_theta = coordinate_gradients(image, theta, upstream)
    return d_grid.flip(-1), d_theta.flip(0)


@backward.bug("x and y are swapped in the sum: theta multiplies (x, y, 1), not (y, x, 1)")
def _(image, theta, upstream):
    d_grid, d_theta = coordinate_gradients(image, theta, upstream)
    return d_grid, d_theta[:, [1, 0, 2]]


def _four_pixels(image, theta, size):
    """p00, p01, p10, p11 (0 outside) and the ways a to the right and b down, each [H, W]."""
    h, w = image.shape
    grid = sampling.affine_grid(theta[None], size)[0]  # [H, W, 2]
    x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
    padded = F.pad(image, (1, 2, 1, 2))
    c = (x.floor() + 1).clamp(0, w + 1).long()
    r = (y.floor() + 1).clamp(0, h + 1).long()
    return *(padded[r + i, c + j] for i in (0, 1) for j in (0, 1)), x - x.floor(), y - y.floor()


def _summed(d_grid, places):
    ones = torch.ones_like(places[..., :1])
    return torch.einsum("hwi,hwj->ij", d_grid, torch.cat([places, ones], -1))


def _to_theta(d_x, d_y, image, upstream):
    """Slopes per pixel [H, W] -> dL/dgrid [H, W, 2] and dL/dtheta [2, 3]."""
    (h, w), whole = image.shape, geometry.identity(dtype=image.dtype)
    d_grid = upstream[..., None] * torch.stack([d_x * w / 2, d_y * h / 2], -1)
    return d_grid, _summed(d_grid, sampling.affine_grid(whole, tuple(upstream.shape))[0])


@backward.bug(
    "x and y are swapped in the slopes: the slope in x is weighted by b, the way down, that in y "
    "by a"
)
def _(image, theta, upstream):
    p00, p01, p10, p11, a, b = _four_pixels(image, theta, tuple(upstream.shape))
    d_x = (1 - a) * (p01 - p00) + a * (p11 - p10)
    d_y = (1 - b) * (p10 - p00) + b * (p11 - p01)
    return _to_theta(d_x, d_y, image, upstream)


@backward.bug("h stands for w: a pixel is 2/w wide and 2/h high, so x goes with w/2")
def _(image, theta, upstream):
    d_grid, d_theta = coordinate_gradients(image, theta, upstream)
    h, w = image.shape
    turned = d_grid.new_tensor([h / w, w / h])
    return d_grid * turned, d_theta * turned[:, None]


@backward.bug(
    "the output's size stands for the input's: a and b are in pixels of the image, so multiply by "
    "its w/2 and h/2"
)
def _(image, theta, upstream):
    d_grid, d_theta = coordinate_gradients(image, theta, upstream)
    (h, w), (height, width) = image.shape, upstream.shape
    other = d_grid.new_tensor([width / w, height / h])
    return d_grid * other, d_theta * other[:, None]


def _with_centres(image, theta, upstream, centres):
    """The same with other centres of the output's pixels, and (w - 1)/2 for w/2."""
    (h, w), (height, width) = image.shape, upstream.shape
    y, x = torch.meshgrid(centres(height), centres(width), indexing="ij")
    base = torch.stack([x, y, torch.ones_like(x)], -1).to(theta)  # [H, W, 3]
    x, y = ((base @ theta[k] + 1) * (n - 1) / 2 for k, n in ((0, w), (1, h)))
    padded = F.pad(image, (2, 2, 2, 2))
    c = (x.floor() + 2).clamp(0, w + 2).long()
    r = (y.floor() + 2).clamp(0, h + 2).long()
    p00, p01, p10, p11 = (padded[r + i, c + j] for i in (0, 1) for j in (0, 1))
    a, b = x - x.floor(), y - y.floor()
    d_x, d_y = (1 - b) * (p01 - p00) + b * (p11 - p10), (1 - a) * (p10 - p00) + a * (p11 - p01)
    slopes = torch.stack([d_x * (w - 1) / 2, d_y * (h - 1) / 2], -1)
    d_grid = upstream[..., None] * slopes
    return d_grid, torch.einsum("hwi,hwj->ij", d_grid, base)


@backward.bug("this is align_corners=True: the course has -1 and 1 at the edges, and w/2")
def _(image, theta, upstream):
    return _with_centres(image, theta, upstream, lambda n: torch.linspace(-1, 1, n).double())


@backward.bug("the two come in the wrong order: first dL/dgrid, then dL/dtheta")
def _(image, theta, upstream):
    return coordinate_gradients(image, theta, upstream)[::-1]


@backward.bug(
    "a and b are exchanged with 1 - a and 1 - b: the slope in x of the upper pair counts by 1 - b, "
    "that of the lower pair by b"
)
def _(image, theta, upstream):
    p00, p01, p10, p11, a, b = _four_pixels(image, theta, tuple(upstream.shape))
    d_x = b * (p01 - p00) + (1 - b) * (p11 - p10)
    d_y = a * (p10 - p00) + (1 - a) * (p11 - p01)
    return _to_theta(d_x, d_y, image, upstream)


@backward.bug("only the upper and the left pair are in it: the slope is weighed over both pairs")
def _(image, theta, upstream):
    p00, p01, p10, _, _, _ = _four_pixels(image, theta, tuple(upstream.shape))
    return _to_theta(p01 - p00, p10 - p00, image, upstream)


@backward.bug("upstream is forgotten: an output pixel's blame is its slope times upstream")
def _(image, theta, upstream):
    return coordinate_gradients(image, theta, torch.ones_like(upstream))


@backward.bug("the sign is turned: the slope in x is right minus left, in y lower minus upper")
def _(image, theta, upstream):
    d_grid, d_theta = coordinate_gradients(image, theta, upstream)
    return -d_grid, -d_theta


@backward.bug(
    "dL/dtheta is summed against where the *input* is read; theta multiplies the output's own "
    "(x, y, 1)"
)
def _(image, theta, upstream):
    d_grid, _ = coordinate_gradients(image, theta, upstream)
    return d_grid, _summed(d_grid, sampling.affine_grid(theta[None], tuple(upstream.shape))[0])


@backward.bug("dL/dtheta is a mean; every pixel pulls at the same theta, so it is a sum")
def _(image, theta, upstream):
    d_grid, d_theta = coordinate_gradients(image, theta, upstream)
    return d_grid, d_theta / upstream.numel()


@backward.bug("theta is detached: dL/dtheta is 0, nothing of dL/dgrid reaches it")
def _(image, theta, upstream):
    d_grid, d_theta = coordinate_gradients(image, theta, upstream)
    return d_grid, torch.zeros_like(d_theta)


# ---------------------------------------------------------------- 2.5 the gradient to the image
adjoint = Exercise(
    "2.5",
    hint="out = sum of weight * pixel, so d out/d pixel = weight: add weight * upstream to each of "
    "the four pixels that were read, and let them accumulate",
    tolerance=1e-9,
)


@adjoint.reference
def image_gradient(upstream, theta, size):
    """upstream dL/dout [H, W], theta [2, 3], size (h, w) of the image -> dL/dimage [h, w]."""
    (h, w), out = size, upstream.new_zeros(size)
    grid = sampling.affine_grid(theta[None], tuple(upstream.shape))[0]  # [H, W, 2]
    x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
    for row in (y.floor(), y.floor() + 1):
        for column in (x.floor(), x.floor() + 1):
            share = upstream * (1 - (x - column).abs()) * (1 - (y - row).abs())
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            where = row[inside].long(), column[inside].long()
            out.index_put_(where, share[inside], accumulate=True)
    return out


@adjoint.cases
def _():
    yield uniform(16, 6, 6) - 0.5, thetas(17, 1)[0], (6, 6)
    yield uniform(18, 8, 9) - 0.5, 0.5 * thetas(19, 1)[0], (5, 4)


@adjoint.bug(
    "this resamples the gradient with the inverse matrix; that is another map. Give each of the "
    "four pixels that were read its weight back"
)
def _resampled(upstream, theta, size):
    grid = sampling.affine_grid(geometry.invert(theta[None]), size)
    return F.grid_sample(upstream[None, None], grid, align_corners=False)[0, 0]


def _area_ratio(upstream, theta, size):
    pixels = geometry.to_pixels(theta[None], size, tuple(upstream.shape))[0]
    return torch.linalg.det(pixels[:, :2]).abs()


@adjoint.bug(
    "this resamples with the inverse matrix and corrects for the area; the weights are still not "
    "those of the forward pass"
)
def _(upstream, theta, size):
    return _resampled(upstream, theta, size) / _area_ratio(upstream, theta, size)


@adjoint.bug(
    "this warps the gradient with the inverse matrix and fills in its background; that is another "
    "map. Give each of the four pixels that were read its weight back"
)
def _warped_back(upstream, theta, size):
    back = geometry.invert(theta[None])
    return reference.warp(upstream[None, None], back, size)[0, 0]


@adjoint.bug(
    "this warps with the inverse matrix and corrects for the area; the weights are still not those "
    "of the forward pass"
)
def _(upstream, theta, size):
    return _warped_back(upstream, theta, size) / _area_ratio(upstream, theta, size)


@adjoint.bug(
    "this warps with the inverse matrix and divides by theta's determinant; the weights are still "
    "not those of the forward pass"
)
def _(upstream, theta, size):
    return _warped_back(upstream, theta, size) / torch.linalg.det(theta[:, :2]).abs()


@adjoint.bug(
    "this warps the gradient with theta, the same way again; blame goes back to where it was read"
)
def _(upstream, theta, size):
    return reference.warp(upstream[None, None], theta[None], size)[0, 0]


@adjoint.bug(
    "out[row, column] += v keeps one of several v for the same pixel; use index_put_ with "
    "accumulate=True"
)
def _(upstream, theta, size):
    (h, w), out = size, upstream.new_zeros(size)
    grid = sampling.affine_grid(theta[None], tuple(upstream.shape))[0]  # [H, W, 2]
    x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
    for row in (y.floor(), y.floor() + 1):
        for column in (x.floor(), x.floor() + 1):
            share = upstream * (1 - (x - column).abs()) * (1 - (y - row).abs())
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            where = row[inside].long(), column[inside].long()
            out[where] += share[inside]
    return out


@adjoint.bug("all goes to the nearest pixel; each of the four neighbours gets its weight")
def _(upstream, theta, size):
    grid = sampling.affine_grid(theta[None], tuple(upstream.shape))[0]
    column, row = geometry.to_pixels(grid, size).round().long().unbind(-1)
    inside = (row >= 0) & (row < size[0]) & (column >= 0) & (column < size[1])
    out = upstream.new_zeros(size)
    return out.index_put_((row[inside], column[inside]), upstream[inside], accumulate=True)


def _shared(upstream, places, size):
    """Each number of upstream, given to the four pixels around its place in pixels [H, W, 2]."""
    (h, w), out = size, upstream.new_zeros(size)
    x, y = places.unbind(-1)
    for row in (y.floor(), y.floor() + 1):
        for column in (x.floor(), x.floor() + 1):
            share = upstream * (1 - (x - column).abs()) * (1 - (y - row).abs())
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            where = row[inside].long(), column[inside].long()
            out.index_put_(where, share[inside], accumulate=True)
    return out


@adjoint.bug("this is align_corners=True: the course has -1 and 1 at the edges of the picture")
def _(upstream, theta, size):
    grid = sampling.affine_grid(theta[None], tuple(upstream.shape), align_corners=True)[0]
    most = grid.new_tensor([size[1] - 1, size[0] - 1])
    return _shared(upstream, (grid + 1) / 2 * most, size)


@adjoint.bug("the grid is made with align_corners=True and read with False")
def _(upstream, theta, size):
    grid = sampling.affine_grid(theta[None], tuple(upstream.shape), align_corners=True)[0]
    return _shared(upstream, geometry.to_pixels(grid, size), size)


@adjoint.bug("the grid is made with align_corners=False and read with True")
def _(upstream, theta, size):
    grid = sampling.affine_grid(theta[None], tuple(upstream.shape))[0]
    most = grid.new_tensor([size[1] - 1, size[0] - 1])
    return _shared(upstream, (grid + 1) / 2 * most, size)


@adjoint.bug("half a pixel off: the centre of pixel 0 is half a pixel right of x = -1")
def _(upstream, theta, size):
    grid = sampling.affine_grid(theta[None], tuple(upstream.shape))[0]
    return _shared(upstream, geometry.to_pixels(grid, size) + 0.5, size)


@adjoint.bug("x and y are swapped: grid[..., 0] is x and chooses the column")
def _(upstream, theta, size):
    grid = sampling.affine_grid(theta[None], tuple(upstream.shape))[0].flip(-1)
    return _shared(upstream, geometry.to_pixels(grid, size), size)


@adjoint.bug("theta is transposed: x is a x + b y + c with a, b, c the first row of theta")
def _(upstream, theta, size):
    return image_gradient(upstream, _transposed(theta), size)


@adjoint.bug(
    "what was read outside is given to the edge: a neighbour outside is no pixel and gets nothing"
)
def _(upstream, theta, size):
    grid = sampling.affine_grid(theta[None], tuple(upstream.shape))[0]
    x, y = geometry.to_pixels(grid, size).unbind(-1)
    (h, w), out = size, upstream.new_zeros(size)
    for row in (y.floor(), y.floor() + 1):
        for column in (x.floor(), x.floor() + 1):
            share = upstream * (1 - (x - column).abs()) * (1 - (y - row).abs())
            where = row.clamp(0, h - 1).long(), column.clamp(0, w - 1).long()
            out.index_put_(where, share, accumulate=True)
    return out


# ---------------------------------------------------------------- 2.6 recover theta
recovery = Exercise(
    "2.6",
    hint="theta.clone().requires_grad_() is what the optimiser gets and what warp is called with, "
    "without detach or .data, or no gradient reaches it and it stays as it was; zero_grad, loss, "
    "backward, step, so many steps; return theta.detach()",
    tolerance=0.02,
)


@recovery.reference
def recover(image, target, theta, steps, rate):
    """Descend from theta [1, 2, 3] until warp(image, theta) looks like target -> theta."""
    theta = theta.clone().requires_grad_()
    optimiser = torch.optim.Adam([theta], lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = (reference.warp(image, theta) - target).square().mean()
        loss.backward()
        optimiser.step()
    return theta.detach()


def _blobs(size: int) -> torch.Tensor:
    """Three smooth hills of different heights on a plain.  # float64 [1, 1, size, size]"""
    at = geometry.pixel_centres(size, dtype=torch.float64)
    hills = ((-0.35, -0.3, 1.0), (0.35, -0.1, 0.6), (-0.05, 0.4, 0.8))
    parts = [
        height * torch.exp(-((at - x) ** 2 + (at[:, None] - y) ** 2) / 0.08)
        for x, y, height in hills
    ]
    return sum(parts)[None, None]


def _motion(**motion) -> torch.Tensor:
    return geometry.affine(**motion, dtype=torch.float64)


@recovery.cases
def _():
    image, start = _blobs(16), geometry.identity(dtype=torch.float64)
    for motion in ({"angle": 8.0, "shift": (0.1, -0.05)}, {"scale": 0.85, "shear": 6.0}):
        yield image, reference.warp(image, _motion(**motion)), start, 120, 0.02
    # From the identity this one is too far for so many steps of this rate.
    target = reference.warp(image, _motion(angle=60, scale=0.8, shift=(0.3, -0.2)))
    yield image, target, _motion(angle=55, scale=0.85, shift=(0.25, -0.15)), 80, 0.01


@recovery.ask
def _(function, case):
    """The theta; and of an optimiser of torch's, how it was used if that was not as asked.

    Adam arrives at the same theta a step later, or with a sum for a mean: it divides by the
    gradient's own size. Another optimiser that arrives is as good, and takes no more steps.
    """
    image, target, theta, steps, rate = case
    start = theta.detach().clone().requires_grad_()
    mean = (reference.warp(image, start) - target).square().mean()
    (slope,) = torch.autograd.grad(mean, start)
    seen = []  # for each step, how many times as long the gradient is as the mean's at the start

    def note(optimiser, _args, _named):
        found = [p.grad for group in optimiser.param_groups for p in group["params"]]
        length = sum(g.square().sum() for g in found if g is not None) ** 0.5
        times = float(length / slope.norm())
        seen.append((type(optimiser), times, optimiser.param_groups[0]["lr"]))

    watching = register_optimizer_step_pre_hook(note)
    try:
        found = function(*case)
    finally:
        watching.remove()
    if not torch.is_tensor(found) or not seen:
        return found
    (kind, times, first_rate), used = seen[0], None
    adam = issubclass(kind, torch.optim.Adam)
    if len(seen) > steps or (adam and len(seen) < steps):
        used = f"{'more' if len(seen) > steps else 'fewer'} steps than asked for"
    elif adam and times > 2:
        used = "a larger loss than asked for"
    elif adam and abs(first_rate - rate) > 1e-6 * rate:
        used = "another rate than asked for"
    return (found, used) if used else found


def _descended(image, target, theta, steps, rate, loss=F.mse_loss):
    theta = theta.clone().requires_grad_()
    optimiser = torch.optim.Adam([theta], lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(reference.warp(image, theta), target).backward()
        optimiser.step()
    return theta.detach()


@recovery.bug(
    "the loss is many times as steep as the mean squared difference (is it a sum, a root, or of "
    "absolute differences?): wanted the mean of squares, which does not grow with the picture. "
    "(Adam hardly notices, other optimisers do)"
)
def _(*case):
    return _descended(*case, loss=lambda a, b: (a - b).square().sum())


@recovery.bug("this is another rate than `rate`: Adam([theta], lr=rate)")
def _(image, target, theta, steps, rate):
    return _descended(image, target, theta, steps, 2 * rate)


@recovery.bug("these are more steps than `steps`")
def _(image, target, theta, steps, rate):
    return _descended(image, target, theta, steps + 1, rate)


@recovery.bug("these are fewer steps than `steps`")
def _(image, target, theta, steps, rate):
    return _descended(image, target, theta, steps - 1, rate)


@recovery.bug("this starts at the identity whatever it is given: start from theta")
def _(image, target, theta, steps, rate):
    return recover(image, target, geometry.identity(dtype=theta.dtype), steps, rate)


@recovery.bug("this is the forward map: it warps the target to the image; warp the image")
def _(image, target, theta, steps, rate):
    return recover(target, image, theta, steps, rate)
