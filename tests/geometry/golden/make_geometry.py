"""Make geometry.json: points, boxes, splines and fits in float64 NumPy, with their slopes.

Run `python tests/geometry/golden/make_geometry.py`; it writes the file beside itself, each time the
same. It shares no code with the package. Slopes are by a complex step: every function below also
takes complex numbers, and the imaginary part of f(x + ih) over h is the slope to the last digit.
"""

import json
from pathlib import Path

import numpy as np

STEP = 1e-30
ABOUT = (
    "Geometry of the plane in float64, for checking any implementation. A case has a kind, arrays "
    "that go in, and `out`; all are nested lists, coordinates x first and in [-1,1]. `slopes` has, "
    "for some of what goes in, the gradient of L = sum(upstream * out). places: `points` [N,2] "
    "carried by `transform`, affine [2,3], homography [3,3], or offsets [9,2] of 3x3 control "
    "points that lie regularly on [-1,1], row by row; back: the inverse, `points` as given to it. "
    "landmarks: a thin-plate spline from `src` to `dst` [K,2] with `smoothing`, in the units of "
    "r^2 log r, carries `points`. homography: h33 = 1, least squares by the normalised direct "
    "linear transform, by `weights` where there are some. boxes: (x0,y0,x1,y1) around what `along` "
    "points a side become. rotation: theta of an angle in radians, counter-clockwise, for pictures "
    "of `size` (height, width). flow: the grid that reads (dx,dy) pixels away, y down."
)


def with_one(points):
    return np.concatenate([points, np.ones((len(points), 1))], 1)


def kernel(a, b):
    """r^2 log r; 0 where a place is its own landmark."""
    r2 = ((a[:, None] - b[None]) ** 2).sum(2)
    near = np.abs(r2) < 1e-25  # a complex step away from 0 is 0
    return np.where(near, 0, r2 * np.log(np.where(near, 1, r2)) / 2)


def through_landmarks(points, src, dst, smoothing):
    """The spline from src to dst, at `points`."""
    k = len(src)
    system = np.block(
        [
            [kernel(src, src) + smoothing * np.eye(k), with_one(src)],
            [with_one(src).T, np.zeros((3, 3))],
        ]
    )
    weights = np.linalg.solve(system, np.concatenate([dst, np.zeros((3, 2))]))
    return np.concatenate([kernel(points, src), with_one(points)], 1) @ weights


def carried(points, transform):
    """`points` [N, 2] by an affine map, a homography, or offsets of 3x3 control points."""
    if transform.shape == (9, 2):
        y, x = np.meshgrid([-1.0, 0, 1], [-1.0, 0, 1], indexing="ij")
        control = np.stack([x.ravel(), y.ravel()], 1)
        return through_landmarks(points, control, control + transform, 0)
    out = with_one(points) @ transform.T
    return out if len(transform) == 2 else out[:, :2] / out[:, 2:]


def carried_back(points, transform):
    """The inverse; of a spline by Newton's method, its slopes by the complex step."""
    if transform.shape != (9, 2):
        whole = transform if len(transform) == 3 else np.vstack([transform, [0, 0, 1]])
        return carried(points, np.linalg.inv(whole))
    at = points - 0.0
    for _ in range(40):
        miss = carried(at, transform) - points
        # Of real places: near enough for Newton's method in complex numbers.
        steps = (at.real + 1j * STEP * np.eye(2)[a] for a in (0, 1))
        slopes = np.stack([carried(each, transform.real).imag / STEP for each in steps], 2)
        at = at - np.linalg.solve(slopes, miss[:, :, None])[:, :, 0]
    return at


def centred(points, share):
    middle = share @ points
    away = points - middle
    spread = share @ np.sqrt((away**2).sum(1)) / np.sqrt(2)
    zero, one = 0 * spread, 1 + 0 * spread
    matrix = np.array(
        [
            [one / spread, zero, -middle[0] / spread],
            [zero, one / spread, -middle[1] / spread],
            [zero, zero, one],
        ]
    )
    return away / spread, matrix


def fitted(src, dst, weights):
    """The least squares homography, and h33 = 1."""
    share = weights / weights.sum()
    (p, here), (q, there) = centred(src, share), centred(dst, share)
    one, none = with_one(p), np.zeros((len(p), 3))
    rows = np.concatenate(
        [
            np.concatenate([one, none, -q[:, :1] * one], 1),
            np.concatenate([none, one, -q[:, 1:] * one], 1),
        ]
    )
    square = (rows * np.concatenate([share, share])[:, None]).T @ rows
    sizes, vectors = np.linalg.eigh(square.real)
    h = vectors[:, 0] + 0 * square[0]
    shifted = square - (sizes[0] - 0.01 * (sizes[1] - sizes[0])) * np.eye(9)
    for _ in range(30):  # inverse iteration, without a conjugate, so that slopes are right
        h = np.linalg.solve(shifted, h)
        h = h / np.sqrt((h**2).sum())
    whole = np.linalg.inv(there) @ h.reshape(3, 3) @ here
    return whole / whole[2, 2]


def around(boxes, transform, along):
    found = []
    for x0, y0, x1, y1 in boxes:
        corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        t = np.arange(along)[:, None] / along
        sides = [a + t * (b - a) for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)]
        places = carried(np.concatenate(sides), transform)
        found.append([*places.min(0), *places.max(0)])
    return np.array(found)


def turned(angle, size):
    ratio = size[0] / size[1]
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin * ratio, 0 * cos], [sin / ratio, cos, 0 * cos]])


def flowed(flow, size):
    """flow [2, H, W] in pixels -> [H, W, 2], where each output pixel reads an input of `size`."""
    y, x = np.meshgrid(*(np.arange(n) for n in flow.shape[1:]), indexing="ij")
    place = np.stack([x + flow[0], y + flow[1]], 2)
    return (2 * place + 1) / np.array(size[::-1]) - 1


def slopes_of(function, arrays, names, upstream):
    """The gradient of sum(upstream * out) to each of the named arrays."""
    found = {}
    for name in names:
        slope = np.zeros(arrays[name].shape)
        for at in np.ndindex(slope.shape):
            moved = {k: v + 0 for k, v in arrays.items()}
            moved[name] = arrays[name].astype(complex)
            moved[name][at] += 1j * STEP
            slope[at] = (upstream * function(**moved)).sum().imag / STEP
        found[name] = slope.tolist()
    return found


def case(kind, function, arrays, names, generator, **settings):
    """One case: what goes in, what comes out, and the slopes to what is named."""
    run = lambda **moved: function(**moved, **settings)  # noqa: E731
    out = run(**arrays)
    upstream = generator.standard_normal(out.shape)
    made = {"kind": kind} | {k: v.tolist() for k, v in arrays.items()} | settings
    made |= {"out": out.tolist(), "upstream": upstream.tolist()}
    return made | {"slopes": slopes_of(run, arrays, names, upstream)}


def cases():
    g = np.random.default_rng(8)
    points = g.uniform(-0.9, 0.9, (7, 2))
    transforms = {
        "affine": np.array([[0.8, 0.3, 0.1], [-0.25, 0.7, -0.2]]),
        "homography": np.array([[0.9, 0.2, 0.1], [-0.1, 0.8, 0.05], [0.25, -0.2, 1.1]]),
        "spline": g.uniform(-0.2, 0.2, (9, 2)),
    }
    for transform in transforms.values():
        arrays = {"points": points, "transform": transform}
        yield case("places", carried, arrays, arrays, g)
        yield case("back", carried_back, arrays, arrays, g)
    for k, smoothing in ((3, 0.0), (6, 0.0), (6, 0.3), (11, 5.0)):
        src = g.uniform(-1, 1, (k, 2))
        arrays = {"points": points, "src": src, "dst": src + g.uniform(-0.3, 0.3, (k, 2))}
        yield case("landmarks", through_landmarks, arrays, arrays, g, smoothing=smoothing)
    for n, noise in ((5, 0.0), (7, 0.05), (40, 0.05)):
        src = g.uniform(-1, 1, (n, 2))
        dst = carried(src, transforms["homography"]) + noise * g.standard_normal((n, 2))
        for weights in (np.ones(n), g.uniform(0.2, 2, n)):
            arrays = {"src": src, "dst": dst, "weights": weights}
            yield case("homography", fitted, arrays, arrays, g)
    boxes = np.array([[-0.5, -0.4, 0.1, 0.3], [0.2, -0.7, 0.6, 0.8], [-1, -1, 1, 1]])
    for transform, along in zip(transforms.values(), (1, 1, 5), strict=True):
        arrays = {"boxes": boxes, "transform": transform}
        yield case("boxes", around, arrays, [], g, along=along)
    for angle, size in ((0.4, (20, 20)), (-2.0, (32, 96)), (3.0, (7, 5))):
        yield case("rotation", turned, {"angle": np.array(angle)}, ["angle"], g, size=size)
    for size in ((5, 6), (9, 4)):
        flow = g.uniform(-2, 2, (2, 5, 6))
        yield case("flow", flowed, {"flow": flow}, ["flow"], g, size=size)


if __name__ == "__main__":
    path = Path(__file__).with_name("geometry.json")
    path.write_text(json.dumps({"about": ABOUT, "cases": list(cases())}) + "\n")
