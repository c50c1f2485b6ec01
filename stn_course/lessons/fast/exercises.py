"""The exercises of notebook 07: references, the inputs they are tried on, known bugs."""

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from stn_course import geometry, sampling
from stn_course.lessons.checking import Exercise
from stn_course.lessons.fast.helpers import try_step

# ---------------------------------------------------------------- 7.1 bytes_moved
traffic = Exercise(
    "7.1",
    hint="forward: write base, read base, write grid, read grid, read images, write output; "
    "backward: read upstream, images and grid, write the grid's gradient, and the base again",
)


@traffic.reference
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


@traffic.cases
def _():
    yield 256, 1, (28, 28), (28, 28)
    yield 16, 3, (64, 48), (32, 40)
    yield 1, 64, (14, 14), (14, 14)


def _moved(
    batch,
    channels,
    size,
    out_size,
    bases=2,
    columns=3,
    grid_read=1,
    per_channel=False,
    of_the_input=False,
    image_again=1,
    least_grid=0,
):
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


@traffic.bug(
    "the base grid is missing: affine_grid writes (x, y, 1) for every pixel of every image, reads "
    "it again, and does so in the backward too"
)
def _(*case):
    return _moved(*case, bases=0)


@traffic.bug(
    "the base grid is counted once each way: affine_grid writes it at every call, and the matrix "
    "product reads it"
)
def _(*case):
    return _moved(*case, bases=1)


@traffic.bug("the base grid has three numbers a pixel, x, y and 1")
def _(*case):
    return _moved(*case, columns=2)


@traffic.bug("the grid is written and never read: grid_sample reads it")
def _(*case):
    return _moved(*case, grid_read=0)


@traffic.bug("the grid is counted once a channel; all channels share one")
def _(*case):
    return _moved(*case, per_channel=True)


@traffic.bug("the grid has a place for each pixel of the *output*")
def _(*case):
    return _moved(*case, of_the_input=True)


@traffic.bug(
    "out_size is not in it: grid and output have a number for each pixel of the output, images for "
    "each of size"
)
def _(batch, channels, size, out_size):
    return bytes_moved(batch, channels, size, size)


@traffic.bug("the backward reads the image again: the slope of reading is made of its pixels")
def _(*case):
    return _moved(*case, image_again=0)


@traffic.bug("the least holds a grid; coordinates follow from six numbers and need no memory")
def _(*case):
    return _moved(*case, least_grid=1)


@traffic.bug("forward and backward are exchanged: the forward comes first")
def _(*case):
    forward, backward, *least = bytes_moved(*case)
    return backward, forward, *least


@traffic.bug("the least comes first here: wanted (forward, backward) as they are, then the least")
def _(*case):
    forward, backward, *least = bytes_moved(*case)
    return *least, forward, backward


@traffic.bug("only one channel is in it: images and output have `channels` of them")
def _(batch, channels, size, out_size):
    return bytes_moved(batch, 1, size, out_size)


@traffic.bug("these are kilobytes; wanted bytes")
def _(*case):
    return tuple(n / 1024 for n in bytes_moved(*case))


@traffic.bug("these are bits; a byte has eight")
def _(*case):
    return tuple(8 * n for n in bytes_moved(*case))


@traffic.bug("these are numbers; a float32 number has four bytes")
def _(*case):
    return tuple(n / 4 for n in bytes_moved(*case))


@traffic.bug("this is one image; the batch has `batch` of them")
def _(batch, *case):
    return bytes_moved(1, *case)


# ---------------------------------------------------------------- 7.2 theta_gradient
six_sums = Exercise(
    "7.2",
    hint="pull = slope * upstream, summed over channels; then sum pull * x, pull * y and pull, for "
    "each of the two slopes: [B, 2, 3]",
    tolerance=1e-9,
)


@six_sums.reference
def theta_gradient(slope_x, slope_y, upstream):
    """d out/d x, d out/d y and dL/d out, each [B, C, H, W] -> dL/dtheta [B, 2, 3]."""
    height, width = upstream.shape[2:]
    x = (2 * torch.arange(width, dtype=upstream.dtype) + 1) / width - 1  # [W]
    y = (2 * torch.arange(height, dtype=upstream.dtype)[:, None] + 1) / height - 1  # [H, 1]
    pull = torch.stack([slope_x, slope_y], 1) * upstream[:, None]  # [B, 2, C, H, W]
    sums = [(pull * k).sum((2, 3, 4)) for k in (x, y, 1)]  # three of [B, 2]
    return torch.stack(sums, 2)


@six_sums.cases
def _():
    generator = torch.Generator().manual_seed(72)
    for shape in ((2, 1, 4, 4), (3, 2, 3, 5)):
        yield tuple(torch.rand(3, *shape, generator=generator, dtype=torch.float64) - 0.5)


@six_sums.bug("x and y are swapped in the sums: theta multiplies (x, y, 1)")
def _(slope_x, slope_y, upstream):
    return theta_gradient(slope_x, slope_y, upstream)[:, :, [1, 0, 2]]


@six_sums.bug("the rows are swapped: the first row of theta makes x, so it takes slope_x")
def _(slope_x, slope_y, upstream):
    return theta_gradient(slope_y, slope_x, upstream)


@six_sums.bug("these are means; every pixel pulls at the same theta, so they are sums")
def _(slope_x, slope_y, upstream):
    return theta_gradient(slope_x, slope_y, upstream) / upstream[0, 0].numel()


@six_sums.bug("the channels are averaged; all of them pull at the same place, so they add")
def _(slope_x, slope_y, upstream):
    return theta_gradient(slope_x, slope_y, upstream) / upstream.shape[1]


@six_sums.bug("only the first channel is in it")
def _(slope_x, slope_y, upstream):
    return theta_gradient(slope_x[:, :1], slope_y[:, :1], upstream[:, :1])


@six_sums.bug("this is one sum over the batch; every image has its own theta")
def _(slope_x, slope_y, upstream):
    whole = theta_gradient(slope_x, slope_y, upstream)
    return whole.sum(0, keepdim=True).expand_as(whole)


@six_sums.bug("upstream is forgotten: a pixel pulls by its slope times upstream")
def _(slope_x, slope_y, upstream):
    return theta_gradient(slope_x, slope_y, torch.ones_like(upstream))


def _against(slope_x, slope_y, upstream, centres):
    height, width = upstream.shape[2:]
    x, y = centres(width).to(upstream), centres(height).to(upstream)[:, None]
    pull = torch.stack([slope_x, slope_y], 1) * upstream[:, None]
    return torch.stack([(pull * k).sum((2, 3, 4)) for k in (x, y, 1)], 2)


@six_sums.bug(
    "x and y run from -1 to 1 here; pixel centres do not reach the edges: (2j + 1) / W - 1"
)
def _(*case):
    return _against(*case, lambda n: torch.linspace(-1, 1, n, dtype=torch.float64))


@six_sums.bug("x and y are in pixels; theta multiplies coordinates from -1 to 1")
def _(*case):
    return _against(*case, torch.arange)


@six_sums.bug("half a pixel off: the centre of pixel j of n is (2j + 1)/n - 1")
def _(*case):
    return _against(*case, lambda n: 2 * torch.arange(n, dtype=torch.float64) / n - 1)


@six_sums.bug("x and y run from 0 to 1; theta multiplies coordinates from -1 to 1")
def _(*case):
    return _against(*case, lambda n: (torch.arange(n, dtype=torch.float64) + 0.5) / n)


@six_sums.bug("y runs upwards: y = -1 is the top edge, so that row 0 comes first")
def _(slope_x, slope_y, upstream):
    return theta_gradient(slope_x, slope_y, upstream) * upstream.new_tensor([1, -1, 1])


@six_sums.bug("rows and columns of theta are swapped: [B, 2, 3], a row for each slope")
def _(slope_x, slope_y, upstream):
    return theta_gradient(slope_x, slope_y, upstream).mT


@six_sums.bug("the sum over the places is missing from the shift: its gradient is the sum of pull")
def _(slope_x, slope_y, upstream):
    whole = theta_gradient(slope_x, slope_y, upstream)
    return torch.cat([whole[..., :2], whole[..., 2:] / upstream[0, 0].numel()], -1)


@six_sums.bug("this is the descent, with a minus: wanted the gradient itself")
def _(slope_x, slope_y, upstream):
    return -theta_gradient(slope_x, slope_y, upstream)


@six_sums.bug(
    "x and y are in float32: torch.arange makes them so unless it is given the dtype of upstream"
)
def _(*case):
    return _against(*case, lambda n: (2 * torch.arange(n, dtype=torch.float32) + 1) / n - 1)


# ---------------------------------------------------------------- 7.3 a gather for a scatter
gathering = Exercise(
    "7.3",
    hint="for each pixel of the image: which output pixels read within one pixel of it, in x and "
    "in y? Each gives (1 - |dx|)(1 - |dy|) times its upstream",
    tolerance=1e-9,
)


@gathering.reference
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


@gathering.cases
def _():
    generator = torch.Generator().manual_seed(73)
    options = {"generator": generator, "dtype": torch.float64}
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


@gathering.ask
def _(function, case):
    """The gradient, and whether it was made by adding into shared places."""
    with _Adding() as adding:
        out = function(*case)
    if not isinstance(out, torch.Tensor):
        return out
    return {"gradient": out, "adds into shared places": adding.seen}


@gathering.bug(
    "this resamples the gradient with the inverse matrix; the inverse says *whom* to ask, the "
    "weights are those of the forward pass: distances in the image"
)
def _resampled(upstream, theta, size):
    grid = sampling.affine_grid(geometry.invert(theta[None]), size)
    return F.grid_sample(upstream[None, None], grid, align_corners=False)[0, 0]


@gathering.bug(
    "this resamples with the inverse matrix and corrects for the area; the weights are still not "
    "those of the forward pass: distances in the image"
)
def _(upstream, theta, size):
    pixels = geometry.to_pixels(theta[None], size, tuple(upstream.shape))[0]
    return _resampled(upstream, theta, size) / torch.linalg.det(pixels[:, :2]).abs()


@gathering.bug(
    "the numbers are right, and index_put_, scatter or autograd's own backward added them into "
    "shared places: let each pixel of the image read from its readers"
)
def _(upstream, theta, size):
    (h, w), out = size, upstream.new_zeros(size)
    grid = sampling.affine_grid(theta[None], tuple(upstream.shape))[0]  # [H, W, 2]
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


@gathering.bug(
    "only the four nearest readers are asked; where the map enlarges a pixel has more of them: all "
    "within |inverse| of it"
)
def _(*case):
    return _gathered(*case, window=2)


@gathering.bug(
    "readers outside the output are clamped to its edge and count again; they do not exist"
)
def _(*case):
    return _gathered(*case, bounded=False)


@gathering.bug(
    "the distances are measured in the output; the forward pass weighed by distances in the image"
)
def _(*case):
    return _gathered(*case, in_output=True)


@gathering.bug("theta is transposed: x is a x + b y + c with a, b, c the first row of theta")
def _(upstream, theta, size):
    return gathered_gradient(upstream, torch.cat([theta[:, :2].T, theta[:, 2:]], 1), size)


@gathering.bug("this warps upstream with theta, the same way again; blame goes back")
def _(upstream, theta, size):
    grid = sampling.affine_grid(theta[None], size)
    return F.grid_sample(upstream[None, None], grid, align_corners=False)[0, 0]


@gathering.bug("theta stands for its inverse: the inverse says where the readers of a pixel are")
def _(upstream, theta, size):
    return gathered_gradient(upstream, geometry.invert(theta[None])[0], size)


@gathering.bug("x and y are swapped: (x, y), x first, and upstream[row, column]")
def _(upstream, theta, size):
    return gathered_gradient(upstream, theta.flip(0), size)


def _distances(upstream, theta, size):
    """From each pixel of the image to each place that is read, along x and y: [h, w, H, W, 2]."""
    there = geometry.to_pixels(theta[None], size, tuple(upstream.shape))[0]
    rows, columns = torch.meshgrid(*map(torch.arange, upstream.shape), indexing="ij")
    at = torch.stack([columns, rows, torch.ones_like(rows)], -1).to(upstream) @ there.T
    row, column = torch.meshgrid(*map(torch.arange, size), indexing="ij")
    pixel = torch.stack([column, row], -1).to(upstream)[:, :, None, None]  # [h, w, 1, 1, 2]
    return (at - pixel).abs()


@gathering.bug("each reader gives all of its number; it gives its weight times that")
def _(upstream, theta, size):
    near = (_distances(upstream, theta, size) < 1).all(-1)  # [h, w, H, W]
    return (near * upstream).sum((2, 3))


@gathering.bug("the weights are added up, and belong multiplied: (1 - |dx|)(1 - |dy|)")
def _(upstream, theta, size):
    near = (1 - _distances(upstream, theta, size)).clamp(min=0)
    return (near.sum(-1) * (near > 0).all(-1) * upstream).sum((2, 3))


# ---------------------------------------------------------------- 7.4 a hidden synchronisation
quiet = Exercise(
    "7.4",
    hint="three lines ask for a value: a shape that depends on one, a branch, and a number for "
    "Python. Each has a form that stays on the device",
    tolerance=1e-5,
)


@quiet.reference
def quiet_step(net, optimiser, images, labels, total):
    """The same step, and nothing in it asks what a number is."""
    loss = F.cross_entropy(net(images), labels, ignore_index=-1)
    optimiser.zero_grad()
    loss.backward()
    length = torch.stack([p.grad.norm() for p in net.parameters()]).norm()
    for p in net.parameters():
        p.grad /= length.clamp(min=1)
    optimiser.step()
    return total + loss.detach()


@quiet.cases
def _():
    yield 1, 30.0
    yield 2, 0.1


@quiet.ask
def _(function, case):
    return try_step(function, *case)


@quiet.bug("nothing has changed: it waits for the mask, for the `if` and for `item()`")
def _(net, optimiser, images, labels, total):
    """One step that waits: a mask, an `if` and an `item`. labels are -1 where unknown."""
    known = labels >= 0
    loss = F.cross_entropy(net(images[known]), labels[known])
    optimiser.zero_grad()
    loss.backward()
    length = torch.stack([p.grad.norm() for p in net.parameters()]).norm()
    if length > 1:
        for p in net.parameters():
            p.grad /= length
    optimiser.step()
    return total + loss.item()


def _step(net, optimiser, images, labels, total, loss=None, clip="always", told=None):
    """`quiet_step` with one thing changed."""
    loss = loss or (lambda: F.cross_entropy(net(images), labels, ignore_index=-1))
    value = loss()
    optimiser.zero_grad()
    value.backward()
    length = torch.stack([p.grad.norm() for p in net.parameters()]).norm()
    if clip == "if":
        clip = "by the length" if length > 1 else "not"
    for p in net.parameters():
        if clip != "not":
            p.grad /= length.clamp(min=1) if clip == "always" else length
    optimiser.step()
    return total + (told or torch.Tensor.detach)(value)


@quiet.bug(
    "a mask as an index, as in images[known], still waits: how many are known decides a shape. Let "
    "cross_entropy leave them out: ignore_index=-1"
)
def _(net, optimiser, images, labels, total):
    known = labels >= 0

    def loss():
        return F.cross_entropy(net(images[known]), labels[known])

    return _step(net, optimiser, images, labels, total, loss=loss)


@quiet.bug(
    "a tensor is still asked whether it is true, as by `if length > 1`: the program waits until it "
    "knows. Divide by length.clamp(min=1), always"
)
def _(*case):
    return _step(*case, clip="if")


@quiet.bug(
    "item(), as in loss.item(), still waits: add the tensor, loss.detach(), and ask once in the end"
)
def _(*case):
    return _step(*case, told=lambda loss: loss.item())


@quiet.bug("the gradients are no longer shortened")
def _(*case):
    return _step(*case, clip="not")


@quiet.bug("short gradients are made longer: where length is below 1, divide by 1")
def _(*case):
    return _step(*case, clip="by the length")


@quiet.bug("images without a label are learnt as zeros")
def _(net, optimiser, images, labels, total):
    def loss():
        return F.cross_entropy(net(images), labels.clamp(min=0))

    return _step(net, optimiser, images, labels, total, loss=loss)


@quiet.bug("this is the mean over all images; the unknown ones do not count")
def _(net, optimiser, images, labels, total):
    def loss():
        each = F.cross_entropy(net(images), labels, ignore_index=-1, reduction="none")
        return each.mean()

    return _step(net, optimiser, images, labels, total, loss=loss)


@quiet.bug("only the last loss is there: add it to total")
def _(net, optimiser, images, labels, total):
    return _step(net, optimiser, images, labels, 0 * total)


@quiet.bug("the old gradients are still there: zero_grad before backward")
def _(net, optimiser, images, labels, total):
    loss = F.cross_entropy(net(images), labels, ignore_index=-1)
    loss.backward()
    length = torch.stack([p.grad.norm() for p in net.parameters()]).norm()
    for p in net.parameters():
        p.grad /= length.clamp(min=1)
    optimiser.step()
    return total + loss.detach()


@quiet.bug("each weight's gradient is shortened by itself: `length` is that of all together")
def _(net, optimiser, images, labels, total):
    loss = F.cross_entropy(net(images), labels, ignore_index=-1)
    optimiser.zero_grad()
    loss.backward()
    for p in net.parameters():
        p.grad /= p.grad.norm().clamp(min=1)
    optimiser.step()
    return total + loss.detach()


@quiet.bug("the weights stay as they are: step() is missing")
def _(net, optimiser, images, labels, total):
    return total + F.cross_entropy(net(images), labels, ignore_index=-1).detach()


@quiet.bug("the step changes its images or labels, which the next epoch needs again: leave them")
def _(net, optimiser, images, labels, total):
    made = quiet_step(net, optimiser, images, labels, total)
    labels.clamp_(min=0)
    return made


@quiet.bug(
    "the network is left in eval(), and the next step needs it in train(): leave it as it came"
)
def _(net, *case):
    return quiet_step(net.eval(), *case)


@quiet.bug("the loss is not added to total")
def _(*case):
    _step(*case)
    return case[-1]
