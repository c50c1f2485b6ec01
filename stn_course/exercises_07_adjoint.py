"""Exercise 7.3, the gradient to the image without adding into shared places."""

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from stn_course import geometry, sampler
from stn_course.exercises import Exercise


def gathered_gradient(upstream, theta, size):
    """upstream dL/dout [H, W], theta [2, 3], size (h, w) -> dL/dimage [h, w], by reading alone."""
    (h, w), (H, W) = size, upstream.shape
    there = geometry.to_pixels(theta[None], size, (H, W))[0]  # output pixel -> image pixel
    A, t = there[:, :2], there[:, 2]
    back = torch.linalg.inv(A)
    reach = back.abs().sum(1)  # how far off, in x and y, a reader of one pixel can stand
    row, column = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    pixel = torch.stack([column, row], -1).to(upstream)  # [h, w, 2]
    first = ((pixel - t) @ back.T - reach).ceil()  # [h, w, 2]
    out = upstream.new_zeros(size)
    for i in range(int(2 * reach[1]) + 1):
        for j in range(int(2 * reach[0]) + 1):
            reader = first + first.new_tensor([j, i])  # an output pixel
            x, y = reader.unbind(-1)
            near = 1 - (reader @ A.T + t - pixel).abs()  # 1 minus the distance, in x and in y
            inside = (x >= 0) & (x < W) & (y >= 0) & (y < H)
            weight = near.clamp(min=0).prod(-1) * inside
            out = out + weight * upstream[y.clamp(0, H - 1).long(), x.clamp(0, W - 1).long()]
    return out


def _cases_73():
    dice = torch.Generator().manual_seed(73)
    options = {"generator": dice, "dtype": torch.float64}
    sizes = (((6, 6), 1.0, (6, 6)), ((9, 8), 0.45, (5, 4)), ((4, 5), 1.7, (7, 8)))
    for out_size, scale, size in sizes:
        noise = 0.8 * torch.rand(2, 3, **options) - 0.4
        theta = scale * (geometry.identity(dtype=torch.float64)[0] + noise)
        yield torch.rand(out_size, **options) - 0.5, theta, size


# Operators that add several numbers to one place, in whatever order they come.
SHARED = ("index_add", "scatter", "grid_sampler_2d_backward", "gather_backward", "bincount")


class _Adding(TorchDispatchMode):
    """Whether an operator has added into shared places."""

    seen = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name, kwargs = func.overloadpacket.__name__, kwargs or {}
        if "put" in name:  # as in a[mask] = 0: only where it accumulates
            self.seen |= bool(args[3] if len(args) > 3 else kwargs.get("accumulate"))
        self.seen |= any(part in name for part in SHARED)
        return func(*args, **kwargs)


def _ask(function, case):
    """The gradient, and whether it was made by adding into shared places."""
    with _Adding() as adding:
        out = function(*case)
    if not isinstance(out, torch.Tensor):
        return out
    return {"gradient": out, "adds into shared places": adding.seen}


def _scattered(upstream, theta, size):
    (h, w), out = size, upstream.new_zeros(size)
    grid = sampler.affine_grid(theta[None], tuple(upstream.shape))[0]  # [H, W, 2]
    x, y = geometry.to_pixels(grid, size).unbind(-1)
    for row in (y.floor(), y.floor() + 1):
        for column in (x.floor(), x.floor() + 1):
            share = upstream * (1 - (x - column).abs()) * (1 - (y - row).abs())
            inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
            where = row[inside].long(), column[inside].long()
            out.index_put_(where, share[inside], accumulate=True)
    return out


def _gathered(upstream, theta, size, window=None, bounded=True, in_output=False):
    """`gathered_gradient` with one thing changed."""
    (h, w), (H, W) = size, upstream.shape
    there = geometry.to_pixels(theta[None], size, (H, W))[0]
    A, t = there[:, :2], there[:, 2]
    back = torch.linalg.inv(A)
    reach = back.abs().sum(1) if window is None else back.new_full((2,), window / 2)
    row, column = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    pixel = torch.stack([column, row], -1).to(upstream)
    middle = (pixel - t) @ back.T
    first, out = (middle - reach).ceil(), upstream.new_zeros(size)
    for i in range(int(2 * reach[1]) + 1):
        for j in range(int(2 * reach[0]) + 1):
            reader = first + first.new_tensor([j, i])
            x, y = reader.unbind(-1)
            near = 1 - (reader @ A.T + t - pixel).abs()
            if in_output:
                near = 1 - (reader - middle).abs() / reach
            inside = (x >= 0) & (x < W) & (y >= 0) & (y < H)
            weight = near.clamp(min=0).prod(-1) * (inside if bounded else 1)
            out = out + weight * upstream[y.clamp(0, H - 1).long(), x.clamp(0, W - 1).long()]
    return out


def _four_readers(*case):
    return _gathered(*case, window=2)


def _unbounded(*case):
    return _gathered(*case, bounded=False)


def _near_in_the_output(*case):
    return _gathered(*case, in_output=True)


def _resampled(upstream, theta, size):
    grid = sampler.affine_grid(geometry.invert(theta[None]), size)
    return F.grid_sample(upstream[None, None], grid, align_corners=False)[0, 0]


def _resampled_by_area(upstream, theta, size):
    pixels = geometry.to_pixels(theta[None], size, tuple(upstream.shape))[0]
    return _resampled(upstream, theta, size) / torch.linalg.det(pixels[:, :2]).abs()


EXERCISES = {
    "7.3": Exercise(
        gathered_gradient,
        _cases_73,
        {
            "this resamples the gradient with the inverse matrix; the inverse says *whom* to ask, "
            "the weights are those of the forward pass: distances in the image": _resampled,
            "this resamples with the inverse matrix and corrects for the area; the weights are "
            "still not those of the forward pass: distances in the image": _resampled_by_area,
            "the numbers are right, and index_put_, scatter or autograd's own backward added them "
            "into shared places: let each pixel of the image read from its readers": _scattered,
            "only the four nearest readers are asked; where the map enlarges a pixel has more of "
            "them: all within |inverse| of it": _four_readers,
            "readers outside the output are clamped to its edge and count again; they do not "
            "exist": _unbounded,
            "the distances are measured in the output; the forward pass weighed by distances in "
            "the image": _near_in_the_output,
        },
        "for each pixel of the image: which output pixels read within one pixel of it, in x and "
        "in y? Each gives (1 - |dx|)(1 - |dy|) times its upstream",
        tolerance=1e-9,
        ask=_ask,
    ),
}
