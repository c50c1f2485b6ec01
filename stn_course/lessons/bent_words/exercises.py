"""The exercises of notebook 08: references, the inputs they are tried on, known bugs."""

import torch
from torch.nn import functional as F

from stn_course.lessons.checking import Exercise, uniform

# ---------------------------------------------------------------- 8.1 a box through theta
box = Exercise(
    "8.1",
    hint="the corners in [-1, 1]: 2 x / W - 1 and 2 y / H - 1; then theta @ (x, y, 1), divided by "
    "its third entry; then (x + 1) w / 2 and (y + 1) h / 2 of the input",
    tolerance=1e-9,
)


@box.reference
def corners_read(theta, box, output_size, input_size):
    """Where in the input a box of the output is read.  # [4, 2]

    theta [3, 3]; box (x0, y0, x1, y1) from the output's upper left edge, in pixels; sizes (h, w).
    """
    x0, y0, x1, y1 = box
    corners = theta.new_tensor([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    (height, width), (h, w) = output_size, input_size
    corners = 2 * corners / corners.new_tensor([width, height]) - 1
    u = torch.cat([corners, torch.ones_like(corners[:, :1])], 1) @ theta.T  # [4, 3]
    places = u[:, :2] / u[:, 2:]
    return (places + 1) / 2 * places.new_tensor([w, h])


@box.cases
def _():
    """One with perspective, one affine, one with h33 other than 1; no picture is square."""
    affine = torch.tensor([[0.8, 0.3, 0.1], [-0.2, 0.7, -0.05], [0, 0, 1]], dtype=torch.float64)
    tilt = torch.tensor([[0, 0, 0], [0, 0, 0], [0.2, -0.3, 0]], dtype=torch.float64)
    yield affine + tilt, (10.0, 4.0, 60.0, 30.0), (32, 96), (64, 128)
    yield affine, (0.0, 0.0, 96.0, 32.0), (32, 96), (32, 96)
    yield 2.5 * (affine - tilt), (3.0, 1.0, 20.0, 9.0), (16, 48), (32, 96)


@box.gradients
def _(theta, box, output_size, input_size):
    return {"theta": theta}


def _carried(theta, box, output_size, input_size, order=(0, 1, 2, 3), divide=True, half=0.0):
    x0, y0, x1, y1 = box
    corners = theta.new_tensor([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])[list(order)] + half
    (height, width), (h, w) = output_size, input_size
    corners = 2 * corners / corners.new_tensor([width, height]) - 1
    u = torch.cat([corners, torch.ones_like(corners[:, :1])], 1) @ theta.T
    places = u[:, :2] / u[:, 2:] if divide else u[:, :2]
    return (places + 1) / 2 * places.new_tensor([w, h]) - half


@box.bug("the division by w is missing: (u, v, w) means the place (u / w, v / w)")
def _(theta, box, output_size, input_size):
    return _carried(theta, box, output_size, input_size, divide=False)


@box.bug("this is the inverse: theta takes a place of the output to the input, as it stands")
def _(theta, box, output_size, input_size):
    return corners_read(torch.linalg.inv(theta), box, output_size, input_size)


@box.bug("the two sizes are swapped: the box is in pixels of the output, the answer of the input")
def _(theta, box, output_size, input_size):
    return corners_read(theta, box, input_size, output_size)


@box.bug("height and width are swapped: a size is (h, w), and x is divided by the width")
def _(theta, box, output_size, input_size):
    return corners_read(theta, box, output_size[::-1], input_size[::-1])


@box.bug("the corners go from left to right twice; wanted around the box, from the upper left")
def _(theta, box, output_size, input_size):
    return _carried(theta, box, output_size, input_size, order=(0, 1, 3, 2))


@box.bug("the corners go around the other way; wanted to the right first, along the upper edge")
def _(theta, box, output_size, input_size):
    return _carried(theta, box, output_size, input_size, order=(0, 3, 2, 1))


@box.bug("half a pixel off: a box is given by edges, and 0 is the picture's own edge")
def _(theta, box, output_size, input_size):
    return _carried(theta, box, output_size, input_size, half=0.5)


@box.bug("theta is transposed: its rows are multiplied with (x, y, 1)")
def _(theta, box, output_size, input_size):
    return corners_read(theta.T, box, output_size, input_size)


@box.bug("these are still in [-1, 1]; wanted pixels of the input")
def _(theta, box, output_size, input_size):
    places = corners_read(theta, box, output_size, input_size)
    return 2 * places / places.new_tensor(input_size[::-1]) - 1


@box.bug("this is an upright box around the four places: hand back the corners themselves")
def _(theta, box, output_size, input_size):
    places = corners_read(theta, box, output_size, input_size)
    (x0, y0), (x1, y1) = places.amin(0), places.amax(0)
    return torch.stack([x0, y0, x1, y0, x1, y1, x0, y1]).view(4, 2)


# ---------------------------------------------------------------- 8.2 the bound
bound = Exercise(
    "8.2",
    hint="offsets = read_at - points; of each picture the largest size of any entry; of those the "
    "quantile",
    tolerance=1e-9,
)


@bound.reference
def bound_for(read_at, points, share):
    """The bound that holds every offset of `share` of the pictures.  # []

    read_at [N, K, 2]: where each picture's control points should be read; points [K, 2]: where
    they lie in the output.
    """
    largest = (read_at - points).abs().flatten(1).amax(1)  # [N]
    return largest.quantile(share)


@bound.cases
def _():
    points = torch.tensor([[-1.0, -1], [1, -1], [-1, 1], [1, 1]], dtype=torch.float64)
    for seed, share in ((1, 0.9), (2, 0.5)):
        moved = 1.2 * uniform(seed, 21, 4, 2) - 0.8
        yield points + moved * uniform(seed + 5, 21, 1, 1), points, share


@bound.bug("an offset of -0.7 counts as small: take sizes, abs(), before the largest")
def _(read_at, points, share):
    return (read_at - points).flatten(1).amax(1).quantile(share)


@bound.bug("this is the mean of a picture's offsets: one point that cannot move is enough to fail")
def _(read_at, points, share):
    return (read_at - points).abs().flatten(1).mean(1).quantile(share)


@bound.bug("the quantile is over all offsets: in most pictures one of them is still beyond it")
def _(read_at, points, share):
    return (read_at - points).abs().flatten().quantile(share)


@bound.bug("these are places, not offsets: take the control points away")
def _(read_at, points, share):
    return read_at.abs().flatten(1).amax(1).quantile(share)


@bound.bug("this is the largest of all: one odd picture decides; wanted that of `share` of them")
def _(read_at, points, share):
    return (read_at - points).abs().amax()


@bound.bug("a distance is more than is needed: the bound holds x and y each")
def _(read_at, points, share):
    return (read_at - points).norm(dim=2).amax(1).quantile(share)


@bound.bug("the share is upside down: this holds the smallest ones, quantile(1 - share)")
def _(read_at, points, share):
    return (read_at - points).abs().flatten(1).amax(1).quantile(1 - share)


@bound.bug("the smallest offset of each picture: the bound has to hold its largest")
def _(read_at, points, share):
    return (read_at - points).abs().flatten(1).amin(1).quantile(share)


# ---------------------------------------------------------------- 8.3 a landmark spline
spline = Exercise(
    "8.3",
    hint="with U = r^2 log r^2 (0 at r = 0) and P = (1, x, y) solve [[U, P], [P^T, 0]] weights = "
    "[[dst], [0]]; at other places the answer is [U, P] weights",
    tolerance=1e-7,
)


@spline.reference
def spline_through(src, dst, at):
    """A thin-plate spline that takes src [K, 2] to dst [K, 2], at the places `at` [N, 2]."""

    def features(places):
        r2 = (places[:, None] - src).square().sum(2)  # [N, K]
        bent = torch.special.xlogy(r2, torch.where(r2 > 0, r2, 1))
        return torch.cat([bent, torch.ones_like(places[:, :1]), places], 1)  # [N, K + 3]

    k = len(src)
    system = torch.cat([features(src), src.new_zeros(3, k + 3)])
    system[k:, :k] = system[:k, k:].T
    weights = torch.linalg.solve(system, torch.cat([dst, dst.new_zeros(3, 2)]))
    return features(at) @ weights


@spline.cases
def _():
    for seed, k in ((1, 6), (2, 9)):
        src = 2 * uniform(seed, k, 2) - 1
        dst = src + 0.4 * (uniform(seed + 10, k, 2) - 0.5)
        yield src, dst, torch.cat([2 * uniform(seed + 20, 7, 2) - 1, src[:2]])


@spline.gradients
def _(src, dst, at):
    return {"dst": dst}


def _through(src, dst, at, radial, affine=True):
    """A spline of another radial function of r^2, or without its affine part."""

    def features(places):
        bent = radial((places[:, None] - src).square().sum(2))
        parts = [bent, torch.ones_like(places[:, :1]), places] if affine else [bent]
        return torch.cat(parts, 1)

    if not affine:
        return features(at) @ torch.linalg.solve(features(src), dst)
    k = len(src)
    system = torch.cat([features(src), src.new_zeros(3, k + 3)])
    system[k:, :k] = system[:k, k:].T
    return features(at) @ torch.linalg.solve(system, torch.cat([dst, dst.new_zeros(3, 2)]))


def _thin(r2):
    return torch.special.xlogy(r2, torch.where(r2 > 0, r2, 1))


@spline.bug("the spline goes the other way, from dst to src")
def _(src, dst, at):
    return spline_through(dst, src, at)


@spline.bug("these are offsets: add the places, or solve for dst itself")
def _(src, dst, at):
    return spline_through(src, dst, at) - at


@spline.bug("the affine part is missing: without 1, x and y no straight motion is exact")
def _(src, dst, at):
    return _through(src, dst, at, _thin, affine=False)


@spline.bug("the radial function is r log r; a thin plate has r^2 log r")
def _(src, dst, at):
    return _through(src, dst, at, lambda r2: torch.special.xlogy(r2.sqrt(), r2.clamp_min(1e-30)))


@spline.bug("the radial function is r; a thin plate has r^2 log r")
def _(src, dst, at):
    return _through(src, dst, at, torch.sqrt)


@spline.bug("this is the best affine map alone: it does not go through the landmarks")
def _(src, dst, at):
    def features(places):
        return torch.cat([torch.ones_like(places[:, :1]), places], 1)

    return features(at) @ torch.linalg.lstsq(features(src), dst).solution


@spline.bug("each place takes the offset of the landmark nearest to it: that is no smooth map")
def _(src, dst, at):
    return at + (dst - src)[torch.cdist(at, src).argmin(1)]


# ---------------------------------------------------------------- 8.4 shrinking
shrinking = Exercise(
    "8.4",
    hint="view each picture as [h/k, k, w/k, k] and take the mean over both k",
    tolerance=1e-9,
)


@shrinking.reference
def shrink(images, k):
    """images [B, C, h, w] -> [B, C, h/k, w/k]: each pixel the mean of k x k of the input's."""
    batch, channels, height, width = images.shape
    return images.view(batch, channels, height // k, k, width // k, k).mean((3, 5))


@shrinking.cases
def _():
    yield uniform(1, 2, 3, 8, 12), 2
    yield uniform(2, 1, 1, 9, 6), 3
    yield uniform(3, 1, 2, 12, 24), 4


@shrinking.gradients
def _(images, k):
    return {"images": images}


@shrinking.bug("every k-th pixel is kept and the others are never read: that is where stripes lie")
def _(images, k):
    return images[..., ::k, ::k]


@shrinking.bug("the pixel in the middle of each block is kept, and the others are never read")
def _(images, k):
    return images[..., k // 2 :: k, k // 2 :: k]


@shrinking.bug(
    "four neighbours are read wherever one looks: at a factor above 2 there are gaps between them"
)
def _(images, k):
    size = (images.shape[2] // k, images.shape[3] // k)
    return F.interpolate(images, size, mode="bilinear", align_corners=False)


@shrinking.bug("this is the sum of each block; wanted its mean")
def _(images, k):
    return shrink(images, k) * k * k


@shrinking.bug("only x is averaged, and rows are left out: average along y as well")
def _(images, k):
    return images.unflatten(3, (-1, k)).mean(4)[:, :, ::k]


@shrinking.bug("only y is averaged, and columns are left out: average along x as well")
def _(images, k):
    return images.unflatten(2, (-1, k)).mean(3)[..., ::k]


@shrinking.bug("this is the largest of each block: light grows, and thin dark lines go")
def _(images, k):
    return F.max_pool2d(images, k)


@shrinking.bug("the picture is smoothed after it was shrunk: what is mixed by then stays mixed")
def _(images, k):
    small = images[..., ::k, ::k]
    return F.avg_pool2d(small, 3, 1, 1, count_include_pad=False)


@shrinking.bug("blocks run along the wrong way: view it as [h/k, k, w/k, k], not [k, h/k, k, w/k]")
def _(images, k):
    batch, channels, height, width = images.shape
    return images.view(batch, channels, k, height // k, k, width // k).mean((2, 4))
