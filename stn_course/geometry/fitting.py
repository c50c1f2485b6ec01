"""Homographies fitted to pairs of points: by least squares, and where some pairs are wrong."""

from itertools import combinations
from math import comb, sqrt

import torch
from torch import Tensor

from stn_course.geometry.checks import (
    as_float,
    raise_where,
    real_number,
    values_can_be_checked,
    whole_number,
)
from stn_course.geometry.homography import homography_from_corners, quads_fit, solve_corners
from stn_course.geometry.matrices import matmul
from stn_course.geometry.pixels import matched_points, pixels_per_unit

ROUNDS = 20  # of fitting to the inliers and choosing them anew; three or four are usual


def homography_from_points(
    src: Tensor,
    dst: Tensor,
    weights: Tensor | None = None,
    *,
    size: tuple[int, int] | None = None,
    output_size: tuple[int, int] | None = None,
    align_corners: bool = False,
) -> Tensor:
    """The homography with h33 = 1 that takes n points to n points best.  # [B, 3, 3]

    src, dst: [B, n, 2], or [n, 2] for all; n of at least 4, x first, in any order. As a theta, src
        are places in the output and dst where in the input they are read. In [-1, 1], or in
        pixels where `size` is given, as in `transform_points`.
    weights: [B, n], how much each pair counts, at least 0; 0 leaves a pair out.

    Least squares by the normalised direct linear transform (Hartley 1997, in defence of the
    eight-point algorithm), in float64; four points without weights are met exactly
    (`homography_from_corners`). Gradients, and second derivatives, go to src, dst and weights. One
    pair that is wrong spoils it: see `robust_homography`.

    Raises TypeError or ValueError for fewer than 4 points, for points that are degenerate (all, or
    all but one, on a line), and where the horizon of what fits best runs between the points.
    """
    src, dst = matched_points(src, dst, 4, size, output_size, align_corners)
    if weights is not None:
        weights = as_float(weights, "weights", tuple(src.shape[:2])).double()
        wrong = (weights < 0).any(1) | ((weights > 0).sum(1) < 4)
        raise_where(wrong.detach(), "weights must be at least 0, and above 0 for 4 points or more")
    elif src.shape[1] == 4:
        return homography_from_corners(src, dst)
    few = 64 * torch.finfo(src.dtype).eps
    h, sure = _least_squares(src.double(), dst.double(), weights)
    found = h.detach()
    raise_where(sure <= few, "src and dst must not be degenerate: all, or all but one, on a line")
    depth = _carried(found[:, None], src.detach().double())[1].squeeze(1)  # [B, n]
    counted = torch.ones_like(depth) if weights is None else weights.detach()
    ahead = (depth > 0) | (counted == 0)
    behind = (depth < 0) | (counted == 0)
    raise_where(
        ~(ahead.all(1) | behind.all(1)),
        "src and dst must fit a homography whose horizon leaves them on one side; are all pairs "
        "right? See robust_homography",
    )
    h33 = h[:, 2, 2]
    raise_where(
        (h33.detach().abs() <= few * found[:, 2].abs().amax(1)),
        "src and dst give h33 = 0: the origin goes to infinity",
    )
    return (h / h33[:, None, None]).to(src.dtype)


def robust_homography(
    src: Tensor,
    dst: Tensor,
    threshold: float,
    *,
    trials: int = 1000,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    output_size: tuple[int, int] | None = None,
    align_corners: bool = False,
) -> tuple[Tensor, Tensor]:
    """The homography of those pairs that agree on one, and which they are.  # [B, 3, 3], [B, n]

    src, dst: as in `homography_from_points`.
    threshold: how far from its partner in dst a point may come to lie and still be an inlier, in
        [-1, 1] or, where `size` is given, in pixels of the input.
    trials: how many quadruples are tried; all of them if there are no more. With half of the pairs
        wrong, one in 16 quadruples is right.
    seed: of the quadruples. The same seed gives the same answer.

    RANSAC (Fischler and Bolles 1981) with the score of MSAC (Torr and Zisserman 2000), then least
    squares on the inliers until they stay the same. Gradients go to the inliers' src and dst.
    Count the inliers: of pairs that agree on nothing, four always do.

    Raises as `homography_from_points`, and ValueError where no quadruple gives a homography.
    """
    src, dst = matched_points(src, dst, 4, size, output_size, align_corners)
    threshold = real_number("threshold", threshold, above=0)
    trials, seed = whole_number("trials", trials), whole_number("seed", seed, least=0)
    if not values_can_be_checked(src):
        raise ValueError("robust_homography looks at its points: not inside tracing or torch.func")
    chosen = _quadruples(src.shape[1], trials, seed).to(src.device)
    unit = src.new_ones(2)
    if size is not None:
        unit = pixels_per_unit(src, size, align_corners)
    exact = src.detach().double(), dst.detach().double()
    masks = [
        _consensus(*pair, chosen, unit.double(), threshold) for pair in zip(*exact, strict=True)
    ]
    nobody = torch.tensor([mask is None for mask in masks], dtype=torch.bool, device=src.device)
    raise_where(nobody, "src and dst must not be degenerate: no four of the pairs fit together")
    inliers = torch.stack(masks) if masks else src.new_zeros(src.shape[:2], dtype=torch.bool)
    return homography_from_points(src, dst, inliers.to(src.dtype)), inliers


def _quadruples(n: int, trials: int, seed: int) -> Tensor:
    """Which four of n points each trial takes.  # [T, 4]"""
    if comb(n, 4) <= trials:
        return torch.tensor(list(combinations(range(n), 4)))
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(trials, n, generator=generator).topk(4).indices


def _consensus(src: Tensor, dst: Tensor, chosen: Tensor, unit: Tensor, threshold: float):
    """The inliers [n] of the best of the chosen quadruples; None where none has a homography."""
    quads = src[chosen], dst[chosen]  # [T, 4, 2] each
    fits = quads_fit(*quads)
    if not fits.any():
        return None
    h, _ = solve_corners(*(quad[fits] for quad in quads))  # [T, 3, 3]
    best, inliers = _scored(h, src, dst, unit, threshold)
    for _ in range(ROUNDS):
        h, _ = _least_squares(src[None], dst[None], inliers[None].to(src.dtype))
        score, again = _scored(h, src, dst, unit, threshold)
        if not score < best:
            break
        best, inliers = score, again
    return inliers


def _scored(h: Tensor, src: Tensor, dst: Tensor, unit: Tensor, threshold: float):
    """The lowest score among homographies [T, 3, 3], and the inliers [n] of that one."""
    places, depth = _carried(h, src)  # [T, n, 2], [T, n]
    miss = ((places - dst) * unit).square().sum(2)
    side = depth.sign()  # what most points see from the front
    miss = torch.where(side == side.sum(1, keepdim=True).sign(), miss, torch.inf)
    score = miss.clamp(max=threshold**2).sum(1)
    first = score.argmin()
    return score[first], miss[first] <= threshold**2


def _carried(h: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Points [..., n, 2] under homographies [..., T, 3, 3], and w.

    [..., T, n, 2] and [..., T, n].
    """
    x, y = points[..., None, :, :].unbind(-1)  # [..., 1, n]
    a, b, c = h[..., None].unbind(-2)  # columns  [..., T, 3, 1]
    u, v, w = (a * x[..., None, :] + (b * y[..., None, :] + c)).unbind(-2)
    return torch.stack([u / w, v / w], -1), w


def _centred(points: Tensor, share: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Points about their mean, sqrt(2) from it on average; and that mean and distance.

    share: [B, n, 1], which adds up to 1.  # [B, n, 2], [B, 1, 2], [B, 1, 1]
    """
    middle = (share * points).sum(1, keepdim=True)
    away = points - middle
    distance = torch.linalg.vector_norm(away, dim=2, keepdim=True)
    spread = (share * distance).sum(1, keepdim=True) / sqrt(2)
    return away / torch.where(spread > 0, spread, 1), middle, spread


def _similarity(middle: Tensor, spread: Tensor, inverse: bool) -> Tensor:
    """The matrix of `_centred`, or its inverse.  # [B, 3, 3]"""
    one = torch.ones_like(spread)
    scale = spread if inverse else 1 / torch.where(spread > 0, spread, 1)
    shift = middle if inverse else -middle * scale
    diagonal = torch.diag_embed(torch.cat([scale, scale, one], 2).squeeze(1))
    return diagonal + torch.nn.functional.pad(shift.mT, (2, 0, 0, 1))


def _least_squares(src: Tensor, dst: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """The direct linear transform, h33 as it comes; and 0 where it is not determined.

    [B, 3, 3] and [B]. Its h is the direction in which the equations A h = 0 fail least. It is not
    determined where a second direction fails as little, and where it squeezes the plane to a line.
    """
    weights = torch.ones_like(src[:, :, 0]) if weights is None else weights
    share = (weights / weights.sum(1, keepdim=True))[:, :, None]  # [B, n, 1]
    (p, *here), (q, *there) = _centred(src, share), _centred(dst, share)
    zero, one = torch.zeros_like(p), torch.ones_like(p[:, :, :1])
    point = torch.cat([p, one], 2)  # [B, n, 3]
    none = torch.cat([zero, zero[:, :, :1]], 2)
    rows = torch.cat(
        [
            torch.cat([point, none, -q[:, :, :1] * point], 2),
            torch.cat([none, point, -q[:, :, 1:] * point], 2),
        ],
        1,
    )  # [B, 2n, 9]
    # The root of a share of 0 has no slope: a pair left out is left out of the square.
    square = (rows * share.repeat(1, 2, 1)).mT @ rows  # [B, 9, 9]
    vectors, sizes = _directions(rows.detach(), share.detach())
    last = vectors[:, :, 8]
    # Two steps towards where `square` sends nothing: by 0, but the first makes the gradient that
    # of the exact answer, and the second does so with second derivatives.
    gaps = sizes[:, :8].square() - sizes[:, 8:].square()
    others = vectors[:, :, :8]
    for _ in range(2):
        sent = (square @ last[:, :, None]).squeeze(2)
        size = (last * sent).sum(1, keepdim=True) / last.square().sum(1, keepdim=True)
        pull = (others * (sent - size * last)[:, :, None]).sum(1)  # [B, 8]
        along = pull / torch.where(gaps > 0, gaps, 1)
        last = last - (others * along[:, None]).sum(2)
    h = last.view(-1, 3, 3)
    sure = torch.minimum(sizes[:, 7] / sizes[:, 0], torch.linalg.det(h.detach()).abs())
    return matmul(_similarity(*there, True), matmul(h, _similarity(*here, False))), sure


def _directions(rows: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Right singular vectors [B, 9, 9] as columns, and singular values [B, 9], largest first."""
    scaled = rows * share.sqrt().repeat(1, 2, 1)
    if scaled.shape[1] < 9:  # of four points: the last direction has no equation of its own
        scaled = torch.nn.functional.pad(scaled, (0, 0, 0, 9 - scaled.shape[1]))
    _, sizes, rights = torch.linalg.svd(scaled, full_matrices=False)
    return rights.mT, sizes
