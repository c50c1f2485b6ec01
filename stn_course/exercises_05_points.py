"""Exercise 5.4, a homography from four points: the reference, inputs, known bugs."""

import torch

from stn_course.exercises import Exercise

REFUSED = "it raises ValueError"


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


def _refused(case) -> bool:
    try:
        four_points(*case)
    except ValueError:
        return True
    return False


def ask(function, case):
    """What it returns; of degenerate quads whether it raises ValueError or lets them pass."""
    try:
        got = function(*case)
    except ValueError:
        if _refused(case):
            return REFUSED
        raise  # a mistake, as of unpacking: it is shown with its line
    # What numbers come of nothing is chance: they say nothing of the mistake.
    return "it lets them pass" if torch.is_tensor(got) and _refused(case) else got


def _quad(dice: torch.Generator) -> torch.Tensor:
    corners = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]], dtype=torch.float64)
    return corners + 0.6 * torch.rand(4, 2, generator=dice, dtype=torch.float64) - 0.3


def _on_a_line(quad: torch.Tensor, k: int) -> torch.Tensor:
    """The quad with point k moved between its two neighbours, off the middle."""
    bad = quad.clone()
    bad[k] = quad[k - 1] + 0.3 * (quad[(k + 1) % 4] - quad[k - 1])
    return bad


def cases():
    """100 random pairs of convex quads, then twelve that must be refused, in both precisions."""
    dice = torch.Generator().manual_seed(53)
    for i in range(100):
        size = 0.1 if i % 10 == 9 else 1.0  # a small quad is a quad
        yield size * _quad(dice), _quad(dice)
    degenerate = list(_degenerate(dice))
    yield from degenerate
    for src, dst in degenerate:
        yield src.float(), dst.float()  # here rounding leaves more of an area of 0


def _degenerate(dice: torch.Generator):
    for k in range(4):
        yield _on_a_line(_quad(dice), k), _quad(dice)
        yield _quad(dice), _on_a_line(_quad(dice), k)
    twice = _quad(dice)
    twice[2] = twice[0]
    yield twice, _quad(dice)
    yield _quad(dice), twice
    yield twice, twice
    yield torch.zeros(4, 2, dtype=torch.float64), _quad(dice)


# ---------------------------------------------------------------- known bugs
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


def _refusing(src, dst):
    four_points(src, dst)  # for its ValueError


def _never_refuses(src, dst):
    return _solved(src, dst)


def _looks_at_src_alone(src, dst):
    four_points(src, src)
    return _solved(src, dst)


def _looks_at_dst_alone(src, dst):
    four_points(dst, dst)
    return _solved(src, dst)


def _the_way_back(src, dst):
    return four_points(dst, src)


def _plus(src, dst):
    _refusing(src, dst)
    return _solved(src, dst, sign=1.0)


def _u_for_v(src, dst):
    _refusing(src, dst)
    return _solved(src, dst, swapped=True)


def _transposed(src, dst):
    return four_points(src, dst).T


def _up_to_double_rounding(src, dst):
    for quad in (src, dst):
        for left_out in range(4):
            p, q, r = quad[torch.arange(4) != left_out]
            (a, b), (c, d) = q - p, r - p
            if (a * d - b * c).abs() < 1e-9:
                raise ValueError("degenerate")
    return _solved(src, dst)


def _affine(src, dst):
    _refusing(src, dst)
    ones = torch.cat([src, torch.ones_like(src[:, :1])], 1)  # [4, 3]
    rows = torch.linalg.lstsq(ones, dst).solution.T  # [2, 3]
    return torch.cat([rows, rows.new_tensor([[0, 0, 1]])])


def _length_one(src, dst):
    h = four_points(src, dst)
    return h / h.norm()


def _float32(src, dst):
    return four_points(src, dst).float().to(src.dtype)


EXERCISES = {
    "5.4": Exercise(
        four_points,
        cases,
        {
            "degenerate quads pass: where three points lie on a line there is no homography, or "
            "there are many; raise ValueError": _never_refuses,
            "a degenerate dst passes: three points on a line there squeeze the picture to nothing; "
            "raise ValueError": _looks_at_src_alone,
            "a degenerate src passes: it leaves H open; raise ValueError": _looks_at_dst_alone,
            "degenerate quads pass in float32, which notebooks use: rounding leaves more of an "
            "area of 0 there; compare with torch.finfo(src.dtype).eps": _up_to_double_rounding,
            "this is the way back: H takes src to dst": _the_way_back,
            "a sign is turned: u (h31 x + h32 y + 1) = h11 x + ... gives - u x and - u y on the "
            "left": _plus,
            "u and v are swapped: the first equation of a point is about u, its new x": _u_for_v,
            "H is transposed: h11, h12, h13 are its first row": _transposed,
            "this is the best affine map: without the columns - u x, - u y there is no "
            "perspective": _affine,
            "this has length 1, as the smallest singular vector comes; divide by h33": _length_one,
            "the numbers are rounded to float32: keep the dtype of src": _float32,
        },
        "each point gives two equations that are linear in the eight unknowns: "
        "h11 x + h12 y + h13 - u x h31 - u y h32 = u, and the same for v; before, refuse a quad "
        "with a triangle whose area is rounding: some 64 eps (torch.finfo(src.dtype).eps) of the "
        "quad's own width squared",
        tolerance=1e-9,
        ask=ask,
    )
}
