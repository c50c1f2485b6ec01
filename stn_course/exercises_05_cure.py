"""Exercise 5.5, the unfinished homography finished: the reference, how it is judged, known bugs."""

import torch
from torch.nn import functional as F

from stn_course.exercises import Exercise


def finished(raw):
    """raw [B, 8], any numbers -> H [B, 3, 3]: the identity at 0, and w > 0 on the whole output."""
    start = raw.new_tensor([1, 0, 0, 0, 1, 0])
    tilt = 0.3 * torch.tanh(raw[:, 6:] / 0.3)  # so |h31 x + h32 y| < 0.6 in every corner
    one = torch.ones_like(raw[:, :1])
    return torch.cat([start + raw[:, :6], tilt, one], 1).view(-1, 3, 3)


def _each_has_a_slope(function, at: float, least: float) -> bool:
    """Whether each raw number moves H when all are ``at``: by ``least`` or more, below 1000."""
    raw = torch.full((1, 8), at, dtype=torch.float64, requires_grad=True)
    sum_of = function(raw)
    if not sum_of.requires_grad:
        return False
    rows = [
        torch.autograd.grad(v, raw, retain_graph=True, allow_unused=True)[0]
        for v in sum_of.flatten()
        if v.requires_grad
    ]
    slopes = torch.stack([r for r in rows if r is not None]).abs().amax((0, 1))  # [8]
    return bool(((slopes > least) & (slopes < 1e3)).all())


def ask(function, case):
    """What holds of the parametrisation ``function``."""
    (raw,) = case
    h = function(raw)
    if not torch.is_tensor(h):
        return h  # no matrices at all
    if h.shape != (len(raw), 3, 3):
        raise ValueError(f"H is {list(h.shape)}; wanted [{len(raw)}, 3, 3]")
    h = h.detach()
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


def cases():
    dice = torch.Generator().manual_seed(55)
    for scale in (0.3, 1.0, 100.0):
        yield (scale * torch.randn(40, 8, generator=dice, dtype=torch.float64),)


# ---------------------------------------------------------------- known bugs
def _nine(raw, tilt):
    start = raw.new_tensor([1, 0, 0, 0, 1, 0])
    return torch.cat([start + raw[:, :6], tilt, torch.ones_like(raw[:, :1])], 1).view(-1, 3, 3)


def _unbounded(raw):
    return _nine(raw, raw[:, 6:])


def _over_the_batch(raw):
    return F.normalize(_nine(raw, 0.3 * torch.tanh(raw[:, 6:])).flatten(1), dim=0).view(-1, 3, 3)


def _batch_alone_scaled(raw):
    h = finished(raw)
    spread = h[:, :2].abs().amax(0, keepdim=True).clamp_min(1)
    return torch.cat([h[:, :2] / spread, h[:, 2:]], 1)


def _never_tilts(raw):
    return _nine(raw, 0 * raw[:, 6:])


def _sigmoid(raw):
    return _nine(raw, 0.4 * torch.sigmoid(raw[:, 6:]))


def _clamped(raw):
    return _nine(raw, raw[:, 6:].clamp(-0.3, 0.3))


def _clamped_wide(raw):
    return _nine(raw, 0.3 * F.hardtanh(raw[:, 6:]))


def _detached(raw):
    return finished(raw.detach())


EXERCISES = {
    "5.5": Exercise(
        finished,
        cases,
        {
            "the perspective terms are free: h31 and h32 may come so large that w is 0 on the "
            "output; bound them": _unbounded,
            "this is the unfinished one: dividing over the batch makes every picture depend on "
            "its neighbours, and a column of zeros has a slope of 1e12": _over_the_batch,
            "one picture's H depends on the others in its batch": _batch_alone_scaled,
            "h31 and h32 stay 0: that is affine": _never_tilts,
            "raw = 0 is not the identity: tanh is 0 at 0, a sigmoid is a half": _sigmoid,
            "a number beyond its bound has no slope, so it can never come back: tanh has one, a "
            "clamp has none": _clamped,
            "a number beyond the clamp has no slope, so it can never come back: tanh has one at "
            "every number": _clamped_wide,
            "some raw number has no slope: it was detached on the way, or H does not use it": (
                _detached
            ),
        },
        "identity + raw for the first six; bound * tanh(raw / bound) for h31 and h32, with "
        "2 * bound below 1, because w is smallest in a corner, where x and y are both 1 or -1; "
        "h33 = 1",
        ask=ask,
    )
}
