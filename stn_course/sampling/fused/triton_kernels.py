"""The warp as Triton kernels: where to read, reading, and the two gradients.

Places are in pixels of the image, 0 at the centre of its first. KIND is the number of rows of
theta (2, 3) or 0 for a spline; BORDER says that outside is the nearest pixel, otherwise it is
`level`. INDEXED: transform b reads image index[b], and not its own. An image whose transform is
not finite, or has a horizon in sight, gives NaN.

Run with TRITON_INTERPRET=1 set before the import they need no GPU.
"""

import triton
import triton.language as tl


# ---------------------------------------------------------------- where to read
@triton.jit
def whole(n, ALIGN: tl.constexpr):
    """[-1, 1] in pixels of the output."""
    if ALIGN:
        return tl.maximum(n - 1.0, 1.0)
    else:
        return n * 1.0


@triton.jit
def span(n, ALIGN: tl.constexpr):
    """Half of [-1, 1] in pixels of the image."""
    if ALIGN:
        return (n - 1) * 0.5
    else:
        return n * 0.5


@triton.jit
def middle(n):
    return (n - 1) * 0.5


@triton.jit
def depth(theta, X, Y):
    """w of a homography, and its row of theta alone is read."""
    return tl.load(theta + 6) * X + (tl.load(theta + 7) * Y + tl.load(theta + 8))


@triton.jit
def row_of(theta, i, dx, dy, across, down, one):
    """A row of theta, its numbers times across, down and one, at (dx, dy, 1), and 0, or NaN."""
    a, b, c = tl.load(theta + 3 * i), tl.load(theta + 3 * i + 1), tl.load(theta + 3 * i + 2)
    return (a * across) * dx + ((b * down) * dy + c * one), a * 0.0 + b * 0.0 + c * 0.0


@triton.jit
def place(theta, basis, p, valid, h, w, H, W, K, KIND: tl.constexpr, ALIGN: tl.constexpr):
    """Where output pixels p are read: x, y, whether that is a number, X, Y, and 1 / depth."""
    # Counted from the output's middle: exact, so an identity reads each pixel where it is.
    dx, dy = p % W - middle(W), p // W - middle(H)
    unit_x, unit_y = 2.0 / whole(W, ALIGN), 2.0 / whole(H, ALIGN)
    X, Y = dx * unit_x, dy * unit_y
    kx, ky = span(w, ALIGN), span(h, ALIGN)
    xx, xy = 2.0 * kx / whole(W, ALIGN), 2.0 * kx / whole(H, ALIGN)
    yx, yy = 2.0 * ky / whole(W, ALIGN), 2.0 * ky / whole(H, ALIGN)
    shrink = 1.0
    if KIND == 0:
        x, y, poison = dx * 0.0, dy * 0.0, 0.0  # the offsets alone first: their sum rounds less
        for k in range(K):
            moved_x, moved_y = tl.load(theta + 2 * k), tl.load(theta + 2 * k + 1)
            share = tl.load(basis + k * H * W + p, mask=valid, other=0.0)
            x += moved_x * share
            y += moved_y * share
            poison += moved_x * 0.0 + moved_y * 0.0
        x, y = kx * x + xx * dx, ky * y + yy * dy
    else:
        x, wrong_x = row_of(theta, 0, dx, dy, xx, xy, kx)
        y, wrong_y = row_of(theta, 1, dx, dy, yx, yy, ky)
        poison = wrong_x + wrong_y
        if KIND == 3:
            far, wrong = row_of(theta, 2, dx, dy, unit_x, unit_y, 1.0)
            right, bottom = middle(W) * unit_x, middle(H) * unit_y
            a, b = depth(theta, -right, -bottom), depth(theta, right, -bottom)
            c, d = depth(theta, -right, bottom), depth(theta, right, bottom)
            ahead = (a > 0) & (b > 0) & (c > 0) & (d > 0)
            behind = (a < 0) & (b < 0) & (c < 0) & (d < 0)
            poison += tl.where(ahead | behind, wrong, float("nan"))
            shrink = 1.0 / tl.where(valid, far, 1.0)
            x, y = x * shrink, y * shrink
    x, y = x + middle(w) + poison, y + middle(h)
    good = (x == x) & (y == y)
    return tl.where(good, x, 0.0), tl.where(good, y, 0.0), good, X, Y, shrink


@triton.jit
def split(x, n):
    """The pixel before x and the rest; all that is more than a pixel outside reads alike."""
    x = tl.minimum(tl.maximum(x, -1.0), n * 1.0)
    first = tl.floor(x)
    return first.to(tl.int32), x - first


# ---------------------------------------------------------------- what is read there
@triton.jit
def spot(row, column, valid, h, w, BORDER: tl.constexpr):
    """Index of a pixel in its plane, and whether there is one."""
    if BORDER:
        row = tl.minimum(tl.maximum(row, 0), h - 1)
        column = tl.minimum(tl.maximum(column, 0), w - 1)
        inside = valid
    else:
        inside = valid & (row >= 0) & (row < h) & (column >= 0) & (column < w)
    return row * w + column, inside


@triton.jit
def source_of(index, plane, C, INDEXED: tl.constexpr):
    """The plane of the images that this plane of the output is read from."""
    if INDEXED:
        return tl.load(index + plane // C) * C + plane % C
    else:
        return plane


@triton.jit
def read(plane, row, column, valid, level, h, w, BORDER: tl.constexpr, UINT8: tl.constexpr):
    index, inside = spot(row, column, valid, h, w, BORDER)
    value = tl.load(plane + index, mask=inside, other=0).to(tl.float32)
    if UINT8:
        value = value / 255.0
    return tl.where(inside, value, level)


@triton.jit
def forward(
    images,
    theta,
    basis,
    fill,
    index,
    out,
    C,
    h,
    w,
    H,
    W,
    K,
    size,
    KIND: tl.constexpr,
    ALIGN: tl.constexpr,
    BORDER: tl.constexpr,
    INDEXED: tl.constexpr,
    UINT8: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One program: BLOCK output pixels of one channel."""
    plane = tl.program_id(0).to(tl.int64)
    p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    valid, own = p < H * W, theta + plane // C * size
    x, y, good, _X, _Y, _s = place(own, basis, p, valid, h, w, H, W, K, KIND, ALIGN)
    column, right = split(x, w)
    row, down = split(y, h)
    own = source_of(index, plane, C, INDEXED)
    level, source = tl.load(fill + own), images + own * h * w
    a = read(source, row, column, valid, level, h, w, BORDER, UINT8)
    b = read(source, row, column + 1, valid, level, h, w, BORDER, UINT8)
    c = read(source, row + 1, column, valid, level, h, w, BORDER, UINT8)
    d = read(source, row + 1, column + 1, valid, level, h, w, BORDER, UINT8)
    top, bottom = a + right * (b - a), c + right * (d - c)
    value = tl.where(good, top + down * (bottom - top), float("nan"))
    tl.store(out + plane * H * W + p, value.to(out.dtype.element_ty), mask=valid)


# ---------------------------------------------------------------- to the transform
@triton.jit
def slopes(
    grad,
    images,
    fill,
    index,
    b,
    C,
    p,
    valid,
    x,
    y,
    h,
    w,
    H,
    W,
    BORDER: tl.constexpr,
    INDEXED: tl.constexpr,
    UINT8: tl.constexpr,
):
    """What the output's gradient asks of the places x and y of one block, over all channels."""
    column, right = split(x, w)
    row, down = split(y, h)
    gx, gy = tl.zeros_like(x), tl.zeros_like(y)
    for channel in range(C):
        plane = b * C + channel
        own = source_of(index, plane, C, INDEXED)
        level, source = tl.load(fill + own), images + own * h * w
        g = tl.load(grad + plane * H * W + p, mask=valid, other=0.0).to(tl.float32)
        v00 = read(source, row, column, valid, level, h, w, BORDER, UINT8)
        v01 = read(source, row, column + 1, valid, level, h, w, BORDER, UINT8)
        v10 = read(source, row + 1, column, valid, level, h, w, BORDER, UINT8)
        v11 = read(source, row + 1, column + 1, valid, level, h, w, BORDER, UINT8)
        across = (v11 - v10) - (v01 - v00)
        gx += g * (v01 - v00 + down * across)
        gy += g * (v10 - v00 + right * across)
    return gx, gy


@triton.jit
def to_transform(
    grad,
    images,
    theta,
    basis,
    fill,
    index,
    out,
    C,
    h,
    w,
    H,
    W,
    K,
    size,
    steps,
    KIND: tl.constexpr,
    ALIGN: tl.constexpr,
    BORDER: tl.constexpr,
    INDEXED: tl.constexpr,
    UINT8: tl.constexpr,
    BLOCK: tl.constexpr,
    SUMS: tl.constexpr,
):
    """One program: `steps` blocks of one image, all channels, summed in order into SUMS numbers."""
    b = tl.program_id(0).to(tl.int64)
    own, k = theta + b * size, tl.arange(0, SUMS)
    total = tl.zeros([SUMS], tl.float32)
    for step in range(steps):
        p = (tl.program_id(1) * steps + step) * BLOCK + tl.arange(0, BLOCK)
        valid = p < H * W
        x, y, good, X, Y, shrink = place(own, basis, p, valid, h, w, H, W, K, KIND, ALIGN)
        gx, gy = slopes(
            grad, images, fill, index, b, C, p, valid, x, y, h, w, H, W, BORDER, INDEXED, UINT8
        )
        # Where a coordinate was clamped it does not matter.
        in_x, in_y = (x >= -1) & (x <= w), (y >= -1) & (y <= h)
        gx = tl.where(good | (valid == 0), tl.where(in_x, gx * shrink, 0.0), float("nan"))
        gy = tl.where(good | (valid == 0), tl.where(in_y, gy * shrink, 0.0), float("nan"))
        if KIND == 3:
            gw = -(
                gx * tl.where(in_x, x - middle(w), 0.0) + gy * tl.where(in_y, y - middle(h), 0.0)
            )
            third = tl.where(k == 6, tl.sum(gw * X), 0.0) + tl.where(k == 7, tl.sum(gw * Y), 0.0)
            total += third + tl.where(k == 8, tl.sum(gw), 0.0)
        gx, gy = gx * span(w, ALIGN), gy * span(h, ALIGN)
        if KIND == 0:
            point, which = k // 2, (k % 2)[:, None]
            where = basis + point[:, None] * H * W + p[None, :]
            share = tl.load(where, mask=(point < K)[:, None] & valid[None, :], other=0.0)
            total += tl.sum(share * tl.where(which == 0, gx[None, :], gy[None, :]), 1)
        else:
            first = tl.where(k == 0, tl.sum(gx * X), 0.0) + tl.where(k == 1, tl.sum(gx * Y), 0.0)
            second = tl.where(k == 3, tl.sum(gy * X), 0.0) + tl.where(k == 4, tl.sum(gy * Y), 0.0)
            shifts = tl.where(k == 2, tl.sum(gx), 0.0) + tl.where(k == 5, tl.sum(gy), 0.0)
            total += first + second + shifts
    tl.store(out + (b * tl.num_programs(1) + tl.program_id(1)) * SUMS + k, total)


# ---------------------------------------------------------------- to the image
@triton.jit
def scales(grad, scale, inverse, n, bits, BLOCK: tl.constexpr):
    """One program: the power of two that makes one plane's gradients fit 62 bits, summed."""
    plane = tl.program_id(0).to(tl.int64)
    most, poison = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for start in range(0, n, BLOCK):
        p = start + tl.arange(0, BLOCK)
        g = tl.load(grad + plane * n + p, mask=p < n, other=0.0).to(tl.float32)
        most, poison = tl.maximum(most, tl.abs(g)), poison + g * 0.0
    exponent = (tl.max(most).to(tl.int32, bitcast=True) >> 23) - 126  # most < 2 ** exponent
    power = tl.minimum(tl.maximum(62 - bits - exponent, -126), 126)
    tl.store(scale + plane, ((power + 127) << 23).to(tl.float32, bitcast=True))
    back = ((127 - power) << 23).to(tl.float32, bitcast=True)
    tl.store(inverse + plane, back + tl.sum(poison))  # NaN if a gradient is not finite


@triton.jit
def to_images(
    grad,
    theta,
    basis,
    index,
    scale,
    cells,
    levels,
    C,
    h,
    w,
    H,
    W,
    K,
    size,
    KIND: tl.constexpr,
    ALIGN: tl.constexpr,
    BORDER: tl.constexpr,
    INDEXED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One program: what BLOCK output pixels of one channel give back to the pixels they read.

    Added up as 64-bit integers, whose sum does not depend on the order.
    """
    plane = tl.program_id(0).to(tl.int64)
    p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    valid, own = p < H * W, theta + plane // C * size
    x, y, good, _X, _Y, _s = place(own, basis, p, valid, h, w, H, W, K, KIND, ALIGN)
    column, right = split(x, w)
    row, down = split(y, h)
    g = tl.load(grad + plane * H * W + p, mask=valid, other=0.0).to(tl.float32)
    g = g * tl.load(scale + plane)
    g = tl.where(good & (tl.abs(g) < 1e19), g, 0.0)  # NaN and infinity come back by the scale
    outside, own = tl.zeros([BLOCK], tl.int64), source_of(index, plane, C, INDEXED)
    for i in tl.static_range(2):
        for j in tl.static_range(2):
            weight = (right if j else 1.0 - right) * (down if i else 1.0 - down)
            where, inside = spot(row + i, column + j, valid, h, w, BORDER)
            share = (g * weight).to(tl.int64)
            tl.atomic_add(cells + own * h * w + where, share, mask=inside, sem="relaxed")
            outside += tl.where(inside, 0, share)
    if not BORDER:
        tl.atomic_add(levels + own, tl.sum(outside), sem="relaxed")
