"""The exercises of notebook 05: references, the inputs they are tried on, known bugs."""

import numpy as np
import torch
from torch.nn import functional as F

from stn_course import geometry, sampling
from stn_course.lessons.checking import Exercise, WrongAnswer, uniform

# ---------------------------------------------------------------- 5.1 add_coords
coordinates = Exercise(
    "5.1",
    hint="x = (2j + 1)/W - 1 is a row, y = (2i + 1)/H - 1 a column; expand both to [B, 1, H, W] "
    "and concatenate along dimension 1",
    tolerance=1e-9,
)


@coordinates.reference
def add_coords(images):
    """images [B, C, H, W] -> [B, C + 2, H, W]: behind the image, x and y of each pixel."""
    batch, _, height, width = images.shape
    x = (2 * torch.arange(width, dtype=images.dtype) + 1) / width - 1  # [W]
    y = (2 * torch.arange(height, dtype=images.dtype) + 1) / height - 1  # [H]
    x = x.expand(batch, 1, height, width)
    y = y[:, None].expand(batch, 1, height, width)
    return torch.cat([images, x, y], 1)


@coordinates.cases
def _():
    yield (uniform(1, 2, 1, 3, 5),)
    yield (uniform(2, 3, 2, 6, 4),)


@coordinates.gradients
def _(images):
    return {"images": images}


@coordinates.bug("x and y are swapped: the channel after the image is x, to the right; then y")
def _(images):
    out = add_coords(images)
    return torch.cat([out[:, :-2], out[:, -1:], out[:, -2:-1]], 1)


@coordinates.bug("the coordinates stand before the image: [image, x, y]")
def _(images):
    out = add_coords(images)
    return torch.cat([out[:, -2:], out[:, :-2]], 1)


def _with(images, x, y):
    """Channels x [W] and y [H] behind the images."""
    batch, _, height, width = images.shape
    x, y = x.to(images), y.to(images)
    x = x.expand(batch, 1, height, width)
    return torch.cat([images, x, y[:, None].expand(batch, 1, height, width)], 1)


@coordinates.bug(
    "these are from edge to edge, linspace(-1, 1): the centre of pixel i of n is (2i + 1)/n - 1"
)
def _(images):
    height, width = images.shape[2:]
    return _with(images, torch.linspace(-1, 1, width), torch.linspace(-1, 1, height))


@coordinates.bug(
    "h and w are swapped: x is divided by the width, y by the height; on a square picture nobody "
    "would see it"
)
def _(images):
    height, width = images.shape[2:]
    x = (2 * torch.arange(width) + 1) / height - 1
    return _with(images, x, (2 * torch.arange(height) + 1) / width - 1)


@coordinates.bug(
    "half a pixel off: these are left and upper edges; the centre of pixel i of n is (2i + 1)/n - 1"
)
def _(images):
    height, width = images.shape[2:]
    return _with(images, 2 * torch.arange(width) / width - 1, 2 * torch.arange(height) / height - 1)


@coordinates.bug("these run from 0 to 1; wanted from -1 to 1")
def _(images):
    height, width = images.shape[2:]
    x, y = torch.arange(width, dtype=torch.double), torch.arange(height, dtype=torch.double)
    return _with(images, (x + 0.5) / width, (y + 0.5) / height)


@coordinates.bug("the coordinates are rounded to float32: give torch.arange the images' dtype")
def _(images):
    height, width = images.shape[2:]
    x = (2 * torch.arange(width) + 1) / width - 1
    return _with(images, x, (2 * torch.arange(height) + 1) / height - 1)


@coordinates.bug("y runs upwards: y = -1 is the top edge, so that row 0 comes first")
def _(images):
    out = add_coords(images)
    return torch.cat([out[:, :-1], -out[:, -1:]], 1)


@coordinates.bug("these are in pixels; wanted from -1 to 1")
def _(images):
    height, width = images.shape[2:]
    return _with(images, torch.arange(width), torch.arange(height))


@coordinates.bug("these run from 0 to 1 and start at the edges; wanted centres, (2i + 1)/n - 1")
def _(images):
    height, width = images.shape[2:]
    return _with(images, torch.linspace(0, 1, width), torch.linspace(0, 1, height))


@coordinates.bug(
    "the coordinates are added to the image: they are channels of their own, behind it"
)
def _(images):
    out = add_coords(images)
    return torch.cat([out[:, :-2] + out[:, -2:-1] + out[:, -1:], out[:, -2:]], 1)


@coordinates.bug("y is missing: two channels, x and y")
def _(images):
    return add_coords(images)[:, :-1]


@coordinates.bug("the image itself is missing: concatenate [image, x, y]")
def _(images):
    return add_coords(images)[:, -2:]


# ---------------------------------------------------------------- 5.2 the place alone tells
task = Exercise(
    "5.2",
    hint="draw a label for each picture, and roll it along the last axis by a number of pixels "
    "that depends on the label alone",
)


@task.reference
def left_or_right(digits, generator):
    """digits [N, 1, H, W] -> (pictures [N, 1, H, W], labels [N]): the same digits, moved."""
    labels = torch.randint(2, (len(digits),), generator=generator)
    pixels = [7 if right else -7 for right in labels.tolist()]
    moved = [d.roll(p, -1) for d, p in zip(digits, pixels, strict=True)]
    return torch.stack(moved), labels


@task.cases
def _():
    """Three drawn shapes as wide as digits are, 40 copies of each; twice."""
    for seed in (1, 2):
        generator = torch.Generator().manual_seed(seed)
        shapes = torch.zeros(3, 1, 28, 28)
        shapes[..., 4:24, 4:24] = (torch.rand(3, 1, 20, 20, generator=generator) < 0.5).float()
        yield shapes.repeat_interleave(40, 0), seed


def best_accuracy(same, labels) -> float:
    """The best share right of a reader who cannot tell pictures with `same` [N, N] apart."""
    chosen = 0
    left = torch.ones(len(labels), dtype=torch.bool)
    while left.any():
        group = same[left.nonzero()[0, 0]] & left
        chosen += labels[group].bincount().max().item()
        left &= ~group
    return chosen / len(labels)


def alike(pictures) -> torch.Tensor:
    """Whether two pictures are the same up to a shift around the edges.  # bool [N, N]

    Where the best correlation over all shifts reaches both lengths (Cauchy and Schwarz).
    """
    f = torch.fft.fft2(pictures[:, 0].double())  # [N, H, W]
    best = torch.fft.ifft2(f[:, None] * f[None].conj()).real.amax((2, 3))  # [N, N]
    square = pictures.double().square().sum((1, 2, 3))  # [N]
    tiny = 1e-6 * square.max() + 1e-12
    return (best - square[:, None]).abs().maximum((best - square[None]).abs()) < tiny


@task.ask
def _(function, case):
    """What holds of the task that `function` makes of the digits of a case."""
    digits, seed = case
    shape = digits.shape
    made = function(digits, torch.Generator().manual_seed(seed))
    if not isinstance(made, tuple | list) or len(made) != 2:
        return made  # no task at all
    pictures, labels = made
    if not torch.is_tensor(pictures):
        raise WrongAnswer(f"pictures are {type(pictures).__name__}; wanted a tensor {list(shape)}")
    if pictures.shape != shape or pictures.dtype != digits.dtype:
        got, wanted = (f"{x.dtype} {list(x.shape)}" for x in (pictures, digits))
        raise WrongAnswer(f"pictures are {got}; wanted {wanted}, as the digits")
    if not pictures.isfinite().all():
        raise WrongAnswer("there is NaN or infinity in the pictures")
    if not torch.is_tensor(labels) or labels.dtype != torch.int64 or labels.shape != shape[:1]:
        got = f"{labels.dtype} {list(labels.shape)}" if torch.is_tensor(labels) else repr(labels)
        raise WrongAnswer(f"labels are {got:.60}; wanted torch.int64 [{shape[0]}]")
    if labels.min() < 0 or labels.max() > 9:
        raise WrongAnswer(f"labels are {labels.min()} to {labels.max()}; wanted some of 0 to 9")
    identical = (pictures[:, None] == pictures[None]).flatten(2).all(2)
    return {
        "two labels or more, none above 70 %": bool(labels.bincount().max() <= 0.7 * len(labels)),
        "without coordinates at most 70 %": best_accuracy(alike(pictures), labels) <= 0.7,
        "with coordinates at least 95 %": best_accuracy(identical, labels) >= 0.95,
    }


@task.bug(
    "nobody can read these labels, with or without coordinates: pictures that are the same have "
    "different ones. Move each picture as its label says"
)
def _(digits, generator):
    return digits.clone(), left_or_right(digits, generator)[1]


@task.bug("there is one label for nearly all: saying it is right without looking")
def _(digits, generator):
    pictures, labels = left_or_right(digits, generator)
    return pictures, torch.zeros_like(labels)


@task.bug(
    "a network without coordinates can do this: more than the place tells the label (which digit "
    "it is, turned, brighter, noise, cut off at an edge); use exact copies, and let the place "
    "alone tell: with roll what leaves on one side comes in on the other"
)
def _(digits, generator):
    labels = torch.randint(2, (len(digits),), generator=generator)
    turned = [d.rot90(1, (1, 2)) if t else d for d, t in zip(digits, labels.tolist(), strict=True)]
    return torch.stack(turned), labels


# ---------------------------------------------------------------- 5.3 homography_grid
tilted_grid = Exercise(
    "5.3",
    hint="stack (x, y, 1) at the pixel centres into [h, w, 3], multiply by H, and divide the first "
    "two numbers by the third",
    tolerance=1e-9,
)


@tilted_grid.reference
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


@tilted_grid.cases
def _():
    yield geometry.to_homogeneous(geometry.affine(20, 1.2, dtype=torch.float64)), (3, 5)
    yield _tilted(3, 2), (4, 3)
    yield 2.5 * _tilted(4, 2), (3, 4)  # any multiple is the same homography
    yield -2 * _tilted(5, 1), (2, 3)


@tilted_grid.gradients
def _(H, size):
    return {"H": H}


def _uvw(H, size):
    flat = [sampling.affine_grid(H[:, rows], size) for rows in ((0, 1), (2, 2))]
    return flat[0], flat[1][..., :1]


@tilted_grid.bug("u and v are not divided by w: that is still affine")
def _(H, size):
    return _uvw(H, size)[0]


def _over(H, size, centres):
    """H applied to (x, y, 1) with other centres of the output's pixels."""
    y, x = torch.meshgrid(*map(centres, size), indexing="ij")
    base = torch.stack([x, y, torch.ones_like(x)], -1).to(H)  # [h, w, 3]
    uvw = torch.einsum("bij,hwj->bhwi", H, base)
    return uvw[..., :2] / uvw[..., 2:]


@tilted_grid.bug(
    "this is align_corners=True: linspace(-1, 1, n) puts the centres of the outer pixels on the "
    "edges of the image"
)
def _(H, size):
    return _over(H, size, lambda n: torch.linspace(-1, 1, n, dtype=torch.float64))


@tilted_grid.bug("half a pixel off: these are the pixels' edges; the centre is (2i + 1)/n - 1")
def _(H, size):
    return _over(H, size, lambda n: 2 * torch.arange(n, dtype=torch.float64) / n - 1)


@tilted_grid.bug("these are in pixels: the picture goes from -1 to 1")
def _(H, size):
    return _over(H, size, torch.arange)


@tilted_grid.bug("these run from 0 to 1: the picture goes from -1 to 1")
def _(H, size):
    return _over(H, size, lambda n: (torch.arange(n, dtype=torch.float64) + 0.5) / n)


@tilted_grid.bug("the centres are rounded to float32: give torch.arange H's dtype")
def _(H, size):
    return _over(H, size, lambda n: (2 * torch.arange(n) + 1) / n - 1)


@tilted_grid.bug("one H for the whole batch: every image has its own")
def _(H, size):
    return homography_grid(H[:1].expand_as(H), size)


@tilted_grid.bug("size is (height, width); here the width is read first")
def _(H, size):
    return homography_grid(H, size[::-1])


@tilted_grid.bug("rows and columns are swapped: the grid is [B, h, w, 2], the row first")
def _(H, size):
    return homography_grid(H, size).transpose(1, 2)


@tilted_grid.bug("w itself is still there: the last axis is (x, y), u/w and v/w")
def _(H, size):
    uv, w = _uvw(H, size)
    return torch.cat([uv / w, w], -1)


@tilted_grid.bug("w is taken by its size, |w|: its sign belongs to the place")
def _(H, size):
    uv, w = _uvw(H, size)
    return uv / w.abs()


@tilted_grid.bug("u and v are multiplied by w; divide")
def _(H, size):
    uv, w = _uvw(H, size)
    return uv * w


@tilted_grid.bug("w is h31 x + h32 y + 1, whatever h33 is; a homography may have any scale")
def _(H, size):
    uv, w = _uvw(H, size)
    return uv / (w - H[:, 2, 2].view(-1, 1, 1, 1) + 1)


@tilted_grid.bug("H is transposed: (u, v, w) = H (x, y, 1), a column")
def _(H, size):
    return homography_grid(H.mT, size)


@tilted_grid.bug("this is the forward map: H already says where to read, so do not invert it")
def _(H, size):
    return homography_grid(torch.linalg.inv(H), size)


@tilted_grid.bug("v is not divided by w")
def _(H, size):
    uv, w = _uvw(H, size)
    return torch.cat([uv[..., :1] / w, uv[..., 1:]], -1)


@tilted_grid.bug("x and y are swapped: the last axis of a grid is (x, y), x first")
def _(H, size):
    return homography_grid(H, size).flip(-1)


@tilted_grid.bug("one w for the whole picture, its mean or h33: every pixel has its own")
def _(H, size):
    uv, w = _uvw(H, size)
    return uv / w.mean((1, 2, 3), keepdim=True)


@tilted_grid.bug(
    "w is held above 0: a homography of any scale may have it below, and the grid is to say where "
    "it is read, not to mend it"
)
def _(H, size):
    uv, w = _uvw(H, size)
    return uv / w.clamp(min=0.1)


@tilted_grid.bug(
    "a little is added to w: that keeps no division from failing where w is below 0, and moves "
    "every place"
)
def _(H, size):
    uv, w = _uvw(H, size)
    return uv / (w + 1e-8)


# ---------------------------------------------------------------- 5.4 a homography of four points
points = Exercise(
    "5.4",
    hint="each point gives two equations that are linear in the eight unknowns: h11 x + h12 y + "
    "h13 - u x h31 - u y h32 = u, and the same for v; before, refuse a quad with a triangle whose "
    "area is rounding: some 64 eps (torch.finfo(src.dtype).eps) of the quad's own width squared, "
    "for a quad may be as small as a pixel or as wide as a picture has pixels",
    tolerance=1e-9,
)


@points.reference
def four_points(src, dst):
    """src, dst [4, 2] -> the H [3, 3], h33 = 1, that takes each src to its dst.

    Raises ValueError where three points of src or of dst lie on a line.
    """
    for quad in (src, dst):
        span = (quad.amax(0) - quad.amin(0)).max()
        nothing = 64 * torch.finfo(quad.dtype).eps * span**2  # what rounding leaves of an area of 0
        for left_out in range(4):
            p, q, r = quad[torch.arange(4) != left_out]
            (a, b), (c, d) = q - p, r - p
            if (a * d - b * c).abs() <= nothing:
                raise ValueError("three points on a line: no homography, or many")
    rows = []
    for (x, y), (u, v) in zip(src.tolist(), dst.tolist(), strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    h = torch.linalg.solve(torch.tensor(rows, dtype=src.dtype), dst.flatten())
    return torch.cat([h, h.new_ones(1)]).view(3, 3)


def _quad(generator: torch.Generator) -> torch.Tensor:
    corners = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]], dtype=torch.float64)
    return corners + 0.6 * torch.rand(4, 2, generator=generator, dtype=torch.float64) - 0.3


def _on_a_line(quad: torch.Tensor, k: int) -> torch.Tensor:
    """The quad with point k moved between its two neighbours, off the middle."""
    bad = quad.clone()
    bad[k] = quad[k - 1] + 0.3 * (quad[(k + 1) % 4] - quad[k - 1])
    return bad


def _degenerate(generator: torch.Generator):
    for k in range(4):
        yield _on_a_line(_quad(generator), k), _quad(generator)
        yield _quad(generator), _on_a_line(_quad(generator), k)
    twice = _quad(generator)
    twice[2] = twice[0]
    yield twice, _quad(generator)
    yield _quad(generator), twice
    yield twice, twice
    yield torch.zeros(4, 2, dtype=torch.float64), _quad(generator)


@points.cases
def _():
    """100 random pairs of convex quads, then twelve that must be refused, in both precisions."""
    generator = torch.Generator().manual_seed(53)
    for i in range(100):
        size = {7: 100.0, 8: 0.01, 9: 0.1}.get(i % 10, 1.0)  # a small quad is a quad
        yield size * _quad(generator), _quad(generator)
    degenerate = list(_degenerate(generator))
    yield from degenerate
    for src, dst in degenerate:
        # In pixels and in float32 rounding leaves more of an area of 0.
        yield (400 * src).float(), (400 * dst).float()


REFUSED = "it raises ValueError"
PASSES = "it lets them pass"


def _refused(case) -> bool:
    try:
        four_points(*case)
    except ValueError:
        return True
    return False


@points.ask
def _(function, case):
    """What it returns; of degenerate quads whether it raises ValueError or lets them pass."""
    try:
        got = function(*case)
    except (torch.linalg.LinAlgError, np.linalg.LinAlgError):
        if _refused(case):
            return PASSES  # it has not looked: of these few the solver itself could make nothing
        raise
    except ValueError:
        if _refused(case):
            return REFUSED
        raise  # a mistake, as of unpacking: it is shown with its line
    # What numbers come of nothing is chance: they say nothing of the mistake.
    return PASSES if torch.is_tensor(got) and _refused(case) else got


def _solved(src, dst, sign=-1.0, swapped=False):
    """The solution whatever the quads are; least squares where there is none."""
    rows, right = [], []
    for (x, y), (u, v) in zip(src.tolist(), dst.tolist(), strict=True):
        u, v = (v, u) if swapped else (u, v)
        rows.append([x, y, 1, 0, 0, 0, sign * u * x, sign * u * y])
        rows.append([0, 0, 0, x, y, 1, sign * v * x, sign * v * y])
        right += [u, v]
    a, b = torch.tensor(rows, dtype=src.dtype), torch.tensor(right, dtype=src.dtype)
    h = torch.linalg.lstsq(a, b, driver="gelsd").solution
    return torch.cat([h, h.new_ones(1)]).view(3, 3)


@points.bug(
    "degenerate quads pass: where three points lie on a line there is no homography, or there are "
    "many, and a solver notices few of them; look before, and raise ValueError"
)
def _(src, dst):
    return _solved(src, dst)


@points.bug(
    "a degenerate dst passes: three points on a line there squeeze the picture to nothing; raise "
    "ValueError"
)
def _(src, dst):
    four_points(src, src)
    return _solved(src, dst)


@points.bug("a degenerate src passes: it leaves H open; raise ValueError")
def _(src, dst):
    four_points(dst, dst)
    return _solved(src, dst)


@points.bug(
    "degenerate quads pass in float32, and where they are large: one number is no bound for all, "
    "since rounding leaves more of an area of 0 there; compare with torch.finfo(src.dtype).eps "
    "times the quad's width squared"
)
def _(src, dst):
    _refuse_areas_up_to(1e-9, src, dst)
    return _solved(src, dst)


def _refuse_areas_up_to(bound, *quads):
    for quad in quads:
        for left_out in range(4):
            p, q, r = quad[torch.arange(4) != left_out]
            (a, b), (c, d) = q - p, r - p
            if (a * d - b * c).abs() <= bound:
                raise ValueError("degenerate")


@points.bug(
    "degenerate quads pass where rounding leaves a little of an area of 0: it is hardly ever 0 "
    "itself; compare with torch.finfo(src.dtype).eps times the quad's width squared"
)
def _(src, dst):
    _refuse_areas_up_to(0, src, dst)
    return _solved(src, dst)


@points.bug("this is the way back: H takes src to dst")
def _(src, dst):
    return four_points(dst, src)


@points.bug(
    "a sign is turned: u (h31 x + h32 y + 1) = h11 x + ... gives - u x and - u y on the left"
)
def _(src, dst):
    four_points(src, dst)  # for its ValueError
    return _solved(src, dst, sign=1.0)


@points.bug("u and v are swapped: the first equation of a point is about u, its new x")
def _(src, dst):
    four_points(src, dst)  # for its ValueError
    return _solved(src, dst, swapped=True)


@points.bug("H is transposed: h11, h12, h13 are its first row")
def _(src, dst):
    return four_points(src, dst).T


@points.bug("this is the best affine map: without the columns - u x, - u y there is no perspective")
def _(src, dst):
    four_points(src, dst)  # for its ValueError
    ones = torch.cat([src, torch.ones_like(src[:, :1])], 1)  # [4, 3]
    rows = torch.linalg.lstsq(ones, dst).solution.T  # [2, 3]
    return torch.cat([rows, rows.new_tensor([[0, 0, 1]])])


@points.bug("this has length 1, as the smallest singular vector comes; divide by h33")
def _(src, dst):
    h = four_points(src, dst)
    return h / h.norm()


@points.bug("the numbers are rounded to float32: keep the dtype of src")
def _(src, dst):
    return four_points(src, dst).float().to(src.dtype)


# ---------------------------------------------------------------- 5.5 finish the homography
cure = Exercise(
    "5.5",
    hint="identity + raw for the first six; bound * tanh(raw / bound) for h31 and h32, with 2 * "
    "bound below 1, because w is smallest in a corner, where x and y are both 1 or -1; h33 = 1",
)


@cure.reference
def finished(raw):
    """raw [B, 8], any numbers -> H [B, 3, 3]: the identity at 0, and w > 0 on the whole output."""
    start = raw.new_tensor([1, 0, 0, 0, 1, 0])
    tilt = 0.3 * torch.tanh(raw[:, 6:] / 0.3)  # so |h31 x + h32 y| < 0.6 in every corner
    one = torch.ones_like(raw[:, :1])
    return torch.cat([start + raw[:, :6], tilt, one], 1).view(-1, 3, 3)


@cure.cases
def _():
    generator = torch.Generator().manual_seed(55)
    for scale in (0.3, 1.0, 100.0):
        yield (scale * torch.randn(40, 8, generator=generator, dtype=torch.float64),)


def _each_has_a_slope(function, at: float, least: float) -> bool:
    """Whether each raw number moves H when all are `at`: by `least` or more, below 1000."""
    raw = torch.full((1, 8), at, dtype=torch.float64, requires_grad=True)
    sum_of = function(raw)
    if not sum_of.requires_grad:
        return False
    rows = [
        torch.autograd.grad(v, raw, retain_graph=True, allow_unused=True)[0]
        for v in sum_of.flatten()
        if v.requires_grad
    ]
    found = [r for r in rows if r is not None]
    if not found:
        return False
    slopes = torch.stack(found).abs().amax((0, 1))  # [8]
    return bool(((slopes > least) & (slopes < 1e3)).all())


@cure.ask
def _(function, case):
    """What holds of the parametrisation `function`."""
    (raw,) = case
    h = function(raw)
    if isinstance(h, np.ndarray | list | tuple):
        kind = type(h).__name__
        raise WrongAnswer(f"H is {kind}; wanted a torch tensor [{len(raw)}, 3, 3]")
    if not torch.is_tensor(h):
        return h  # no matrices at all
    if h.shape != (len(raw), 3, 3):
        raise WrongAnswer(f"H is {list(h.shape)}; wanted [{len(raw)}, 3, 3]")
    h = h.detach()
    if not h.isfinite().all():
        raise WrongAnswer(f"there is NaN or infinity in H, of raw numbers up to {raw.max():.0f}")
    if torch.equal(h, h[:1].expand_as(h)):
        raise WrongAnswer("H is the same whatever the raw numbers are: make it of them")
    corners = raw.new_tensor([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
    w = (h[:, 2:] * corners).sum(2)  # [B, 4]
    zero = function(torch.zeros(2, 8, dtype=raw.dtype)).detach()
    alone = torch.cat([function(one[None]).detach() for one in raw])
    far = torch.cat([size * torch.eye(8) for size in (-100, -5, 5, 100)]).to(raw)
    tilts = function(far).detach()[:, 2, :2]
    return {
        "the identity at 0": bool((zero - torch.eye(3).to(raw)).abs().max() < 1e-6),
        "h33 = 1": bool((h[:, 2, 2] - 1).abs().max() < 1e-6),
        "w > 0 on the output, for any raw": bool(w.min() > 0),
        "can tilt by 0.1 and more": bool((tilts.abs().amax(0) >= 0.1).all()),
        "each picture alone, not with its batch": bool((alone - h).abs().max() < 1e-6),
        "a slope at 0 for each of the eight": _each_has_a_slope(function, 0.0, 1e-3),
        # Far beyond a narrow bound a tanh has little slope left; a clamp has none.
        "a slope where all are at 0.5": _each_has_a_slope(function, 0.5, 1e-6),
        "a slope where all are at 1.5": _each_has_a_slope(function, 1.5, 0.0),
        "the dtype of raw": h.dtype == raw.dtype,
    }


def _nine(raw, tilt):
    start = raw.new_tensor([1, 0, 0, 0, 1, 0])
    return torch.cat([start + raw[:, :6], tilt, torch.ones_like(raw[:, :1])], 1).view(-1, 3, 3)


@cure.bug(
    "the perspective terms are free: h31 and h32 may come so large that w is 0 on the output; "
    "bound them"
)
def _(raw):
    return _nine(raw, raw[:, 6:])


@cure.bug(
    "this is the unfinished one: dividing over the batch makes every picture depend on its "
    "neighbours, and a column of zeros has a slope of 1e12"
)
def _(raw):
    return F.normalize(_nine(raw, 0.3 * torch.tanh(raw[:, 6:])).flatten(1), dim=0).view(-1, 3, 3)


@cure.bug("one picture's H depends on the others in its batch")
def _(raw):
    h = finished(raw)
    spread = h[:, :2].abs().amax(0, keepdim=True).clamp_min(1)
    return torch.cat([h[:, :2] / spread, h[:, 2:]], 1)


@cure.bug("h31 and h32 stay 0: that is affine")
def _(raw):
    return _nine(raw, 0 * raw[:, 6:])


@cure.bug("raw = 0 is not the identity: tanh is 0 at 0, a sigmoid is a half")
def _(raw):
    return _nine(raw, 0.4 * torch.sigmoid(raw[:, 6:]))


@cure.bug(
    "a number beyond its bound has no slope, so it can never come back: tanh has one, a clamp has "
    "none"
)
def _(raw):
    return _nine(raw, raw[:, 6:].clamp(-0.3, 0.3))


@cure.bug(
    "where all are at 1.5 some number has no slope, so it can never come back (a clamp has none "
    "beyond its bounds, and none is left of a tanh in float16): tanh in raw's own dtype has one at "
    "every number"
)
def _(raw):
    return _nine(raw, 0.3 * F.hardtanh(raw[:, 6:]))


@cure.bug("some raw number has no slope: it was detached on the way, or H does not use it")
def _(raw):
    return finished(raw.detach())
