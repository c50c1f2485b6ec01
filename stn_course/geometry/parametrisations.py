"""A network head's raw numbers as a transform: one class a family, each with its bounds."""

from dataclasses import dataclass
from math import inf, log
from numbers import Real

import torch
from torch import Tensor

from stn_course.geometry.checks import as_float
from stn_course.geometry.homography import frame_corners, homography_from_corners
from stn_course.geometry.splines import control_points


def _bounded(raw: Tensor, bound: float | None) -> Tensor:
    """raw near 0, never beyond +-bound: bound * tanh(raw / bound); None leaves raw alone."""
    return raw if bound is None else bound * torch.tanh(raw / bound)


def _check_bound(bound, below: float = inf, optional: bool = True) -> None:
    # An infinite bound would be inf * tanh(0) = NaN: None is what leaves raw alone.
    good = isinstance(bound, Real) and 0 < bound < inf and bound <= below
    if not good and not (optional and bound is None):
        most = f"at most {below}" if below < inf else "finite"
        also = ", or None" if optional else ""
        raise ValueError(f"bound must be a number above 0 and {most}{also}, got {bound!r}")


class Parametrisation:
    """A network head's n raw numbers as a transform: `head(raw [B, n])`.

    `n` is how many it needs; `identity()` the raw numbers (the head's bias) that change nothing.
    """

    n: int

    def identity(self) -> Tensor:
        return torch.zeros(self.n)

    def _raw(self, raw: Tensor) -> Tensor:
        return as_float(raw, "raw", ("B", self.n))


def _theta(a, b, c, d, e, f) -> Tensor:
    return torch.stack([a, b, c, d, e, f], 1).view(-1, 2, 3)


@dataclass(frozen=True)
class Translation(Parametrisation):
    """raw (x, y): where the glimpse is centred, [-bound, bound] if bounded.  # [B, 2, 3]"""

    bound: float | None = None
    n = 2

    def __post_init__(self):
        _check_bound(self.bound)

    def __call__(self, raw: Tensor) -> Tensor:
        x, y = _bounded(self._raw(raw), self.bound).unbind(1)
        one, zero = torch.ones_like(x), torch.zeros_like(x)
        return _theta(one, zero, x, zero, one, y)


@dataclass(frozen=True)
class Attention(Parametrisation):
    """raw (log scale, x, y): an upright glimpse.  # [B, 2, 3]

    Its width is exp(log scale) of the image's, within [1/max_zoom, max_zoom]: never 0 or mirrored.
    """

    max_zoom: float = 8.0
    n = 3

    def __post_init__(self):
        if not (isinstance(self.max_zoom, Real) and 1 < self.max_zoom < float("inf")):
            raise ValueError(f"max_zoom must be a finite number above 1, got {self.max_zoom!r}")

    def __call__(self, raw: Tensor) -> Tensor:
        log_scale, x, y = self._raw(raw).unbind(1)
        scale, zero = _bounded(log_scale, log(self.max_zoom)).exp(), torch.zeros_like(x)
        return _theta(scale, zero, x, zero, scale, y)


@dataclass(frozen=True)
class Similarity(Attention):
    """raw (log scale, angle in radians, x, y): a turned glimpse, as `Attention`.  # [B, 2, 3]"""

    n = 4

    def __call__(self, raw: Tensor) -> Tensor:
        log_scale, angle, x, y = self._raw(raw).unbind(1)
        scale = _bounded(log_scale, log(self.max_zoom)).exp()
        cos, sin = scale * angle.cos(), scale * angle.sin()
        return _theta(cos, -sin, x, sin, cos, y)


@dataclass(frozen=True)
class Affine(Parametrisation):
    """raw: theta itself, row by row; each entry within +-bound of the identity's.  # [B, 2, 3]"""

    bound: float | None = None
    n = 6

    def __post_init__(self):
        _check_bound(self.bound)

    def identity(self) -> Tensor:
        return torch.tensor([1.0, 0, 0, 0, 1, 0])

    def __call__(self, raw: Tensor) -> Tensor:
        raw = self._raw(raw)
        start = torch.eye(2, 3, dtype=raw.dtype, device=raw.device).flatten()
        return (start + _bounded(raw - start, self.bound)).view(-1, 2, 3)


@dataclass(frozen=True)
class Homography(Parametrisation):
    """raw: the matrix row by row without h33, which is 1.  # [B, 3, 3]

    The perspective terms h31, h32 stay within +-bound, so w = h31 x + h32 y + 1 is at least
    1 - 2 bound > 0 on the whole grid, whatever the network says.
    """

    bound: float = 0.3
    n = 8

    def __post_init__(self):
        _check_bound(self.bound, below=0.49, optional=False)

    def identity(self) -> Tensor:
        return torch.tensor([1.0, 0, 0, 0, 1, 0, 0, 0])

    def __call__(self, raw: Tensor) -> Tensor:
        raw = self._raw(raw)
        perspective = _bounded(raw[:, 6:], self.bound)
        return torch.cat([raw[:, :6], perspective, torch.ones_like(raw[:, :1])], 1).view(-1, 3, 3)


@dataclass(frozen=True)
class Corners(Parametrisation):
    """raw: (x, y) offsets of top left, top right, bottom right, bottom left.  # [B, 3, 3]

    Where the output's corners are read in the input. A bound below 0.5 keeps every quad convex;
    None leaves the offsets alone, and a quad that folds is an error.
    """

    bound: float | None = 0.45
    n = 8

    def __post_init__(self):
        _check_bound(self.bound, below=0.49)

    def __call__(self, raw: Tensor) -> Tensor:
        offsets = _bounded(self._raw(raw), self.bound).view(-1, 4, 2)
        corners = frame_corners(offsets).expand_as(offsets)
        return homography_from_corners(corners, corners + offsets)


@dataclass(frozen=True)
class ThinPlateSpline(Parametrisation):
    """raw: (x, y) offsets of the control points, row by row, for `tps_grid`.

    Gives [B, K, 2] for a square grid of K control points and [B, rows, columns, 2] for any other,
    so that the shape of the control grid always travels with the offsets.
    """

    grid: tuple[int, int] = (4, 4)
    bound: float | None = None

    def __post_init__(self):
        _check_bound(self.bound)
        control_points(self.grid)

    @property
    def n(self) -> int:
        return 2 * self.grid[0] * self.grid[1]

    def __call__(self, raw: Tensor) -> Tensor:
        offsets = _bounded(self._raw(raw), self.bound)
        rows, columns = self.grid
        return (
            offsets.view(-1, rows * columns, 2)
            if rows == columns
            else offsets.view(-1, rows, columns, 2)
        )
