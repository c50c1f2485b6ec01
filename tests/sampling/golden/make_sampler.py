"""Make sampler.json and mirrored.json: warps and gradients in float64 NumPy, without autograd.

Run `python tests/sampling/golden/make_sampler.py`; it writes the files beside itself, each time
the same. mirrored.json has the same shapes, images and transforms under the padding "reflection".
It shares no code with the package: weights, gradients and splines are written out again here.
"""

import json
from pathlib import Path

import numpy as np

B, C, H_IN, W_IN, H, W = 2, 2, 5, 6, 4, 5
ROWS, COLUMNS = 3, 3
ABOUT = (
    "Bilinear warps in float64, for checking any implementation. All arrays are flat lists in C "
    "order; `shapes` gives their shapes. images [B,C,h,w], upstream [B,C,H,W] and fill [B,C] are "
    "shared by all cases. A case has: kind (affine: params is theta [B,2,3]; homography: params is "
    "theta [B,3,3]; tps: params is offsets [B,K,2] of 3x3 control points that lie regularly on "
    "[-1,1], row by row, kernel r^2 log r^2), padding (zeros, border, or background = fill), "
    "align_corners, grid [B,H,W,2] (x first: where in the input each output pixel is read, in "
    "[-1,1]), output [B,C,H,W], and the gradients of L = sum(upstream * output): grad_images "
    "[B,C,h,w], grad_params (like params; fill is a constant). No coordinate lies on the pixel "
    "lattice, where the gradient has kinks."
)


def centres(n, align_corners):
    i = np.arange(n)
    return 2 * i / (n - 1) - 1 if align_corners else (2 * i + 1) / n - 1


def kernel(a, b):
    r2 = ((a[:, None] - b[None]) ** 2).sum(2)
    return r2 * np.log(np.where(r2 == 0, 1, r2))


def spline_basis(points):
    """Weights [H*W, K]: a place in the output as a combination of where control points go."""
    y, x = np.meshgrid(np.linspace(-1, 1, ROWS), np.linspace(-1, 1, COLUMNS), indexing="ij")
    control = np.stack([x.ravel(), y.ravel()], 1)
    k = len(control)
    affine = np.concatenate([np.ones((k, 1)), control], 1)
    system = np.block([[kernel(control, control), affine], [affine.T, np.zeros((3, 3))]])
    features = np.concatenate([kernel(points, control), np.ones((len(points), 1)), points], 1)
    return np.linalg.solve(system, features.T).T[:, :k], control


def grid_of(kind, params, align_corners):
    """The grid [B,H*W,2] and its derivative by each parameter [B,H*W,2,n]."""
    y, x = np.meshgrid(centres(H, align_corners), centres(W, align_corners), indexing="ij")
    points = np.stack([x.ravel(), y.ravel()], 1)
    home = np.concatenate([points, np.ones((H * W, 1))], 1)
    jacobian = np.zeros((B, H * W, 2, params[0].size))
    if kind == "tps":
        basis, _ = spline_basis(points)
        for axis in (0, 1):
            jacobian[:, :, axis, axis::2] = basis
        return points + np.einsum("pk,bka->bpa", basis, params), jacobian
    place = np.einsum("bij,pj->bpi", params, home)
    if kind == "affine":
        for axis in (0, 1):
            jacobian[:, :, axis, 3 * axis : 3 * axis + 3] = home
        return place, jacobian
    w = place[..., 2:]
    for axis in (0, 1):
        jacobian[:, :, axis, 3 * axis : 3 * axis + 3] = home / w
        jacobian[:, :, axis, 6:] = -place[..., axis : axis + 1] * home / w**2
    return place[..., :2] / w, jacobian


def mirrored(pixel, align_corners):
    """Places mirrored at the edges, and the factor of their slopes: 1, -1, or 0 at the rim."""
    limit = np.array([W_IN, H_IN]) - 1
    low = 0 if align_corners else -0.5
    turn, away = np.sign(pixel - low), np.abs(pixel - low)
    span = limit - 2 * low
    away = away % (2 * span)
    turn = np.where(away > span, -turn, turn)
    place = np.where(away > span, 2 * span - away, away) + low
    inside = (place >= 0) & (place <= limit)
    return np.clip(place, 0, limit), turn * inside


def run(kind, padding, align_corners, images, params, fill, upstream):
    grid, jacobian = grid_of(kind, params, align_corners)
    output = np.zeros((B, C, H * W))
    grad_images, grad_grid = np.zeros_like(images), np.zeros_like(grid)
    scale = np.array([W_IN, H_IN]) / 2 - (0.5 if align_corners else 0)
    pixel = (grid + 1) * scale - (0 if align_corners else 0.5)
    assert np.abs(pixel - np.round(pixel)).min() > 0.01, f"{kind}: on the lattice, change a number"
    turn = np.ones_like(pixel)
    if padding == "reflection":
        pixel, turn = mirrored(pixel, align_corners)
    for b, p in np.ndindex(B, H * W):
        limit = np.array([W_IN, H_IN]) - 1
        free = ((pixel[b, p] >= 0) & (pixel[b, p] <= limit)) | (padding != "border")
        x, y = np.where(free, pixel[b, p], np.clip(pixel[b, p], 0, limit))
        col, row = int(np.floor(x)), int(np.floor(y))
        u, v = x - col, y - row
        up = upstream[b, :, p // W, p % W]
        for j, wy, dy in ((row, 1 - v, -1), (row + 1, v, 1)):
            for i, wx, dx in ((col, 1 - u, -1), (col + 1, u, 1)):
                inside = 0 <= j < H_IN and 0 <= i < W_IN
                outside = fill[b] if padding == "background" else np.zeros(C)
                value = images[b, :, j, i] if inside else outside
                output[b, :, p] += wx * wy * value
                slope = np.array([dx * wy, dy * wx]) * scale * free * turn[b, p]
                grad_grid[b, p] += (up * value).sum() * slope
                if inside:
                    grad_images[b, :, j, i] += wx * wy * up
    grad_params = np.einsum("bpa,bpan->bn", grad_grid, jacobian)
    arrays = {"params": params, "grid": grid, "output": output}
    arrays |= {"grad_images": grad_images, "grad_params": grad_params}
    case = {"name": f"{kind} {padding} align_corners={str(align_corners).lower()}"}
    case |= {"kind": kind, "padding": padding, "align_corners": align_corners}
    return case | {name: array.ravel().tolist() for name, array in arrays.items()}


def main():
    rng = np.random.default_rng(2373)
    images = rng.uniform(-1, 1, (B, C, H_IN, W_IN)).round(3)
    upstream = rng.uniform(-1, 1, (B, C, H, W)).round(3)
    fill = rng.uniform(-1, 1, (B, C)).round(3)
    affine = np.array(
        [
            [[0.832, -0.422, 0.129], [0.388, 0.89, -0.235]],
            [[1.22, 0.319, -0.361], [-0.207, 0.7, 0.217]],
        ]
    )
    row = np.array([[[0.17, -0.11, 1.0]], [[-0.21, 0.13, 1.0]]])
    params = {
        "affine": affine,
        "homography": np.concatenate([affine, row], 1),
        "tps": rng.normal(0, 0.25, (B, ROWS * COLUMNS, 2)).round(3),
    }
    shapes = {
        "images": [B, C, H_IN, W_IN],
        "upstream": [B, C, H, W],
        "fill": [B, C],
        "params": {kind: list(value.shape) for kind, value in params.items()},
        "grid": [B, H, W, 2],
        "output": [B, C, H, W],
        "grad_images": [B, C, H_IN, W_IN],
    }
    golden = {"about": ABOUT, "shapes": shapes}
    shared = {"images": images, "upstream": upstream, "fill": fill}
    golden |= {name: array.ravel().tolist() for name, array in shared.items()}
    files = {"sampler.json": ("background", "zeros", "border"), "mirrored.json": ("reflection",)}
    for name, paddings in files.items():
        golden["cases"] = [
            run(kind, padding, align_corners, images, params[kind], fill, upstream)
            for kind in params
            for padding in paddings
            for align_corners in (False, True)
        ]
        path = Path(__file__).with_name(name)
        path.write_text(json.dumps(golden, indent=None, separators=(", ", ": ")) + "\n")
        print(f"{path.name}: {len(golden['cases'])} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
