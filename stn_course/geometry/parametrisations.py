"""A network head's raw numbers as a transform: one class a family, each with its bounds."""

from dataclasses import dataclass
from math import inf, log

import torch
from torch import Tensor

from stn_course.geometry.checks import as_float, as_measure, check_size
from stn_course.geometry.homography import (
    frame_corners,
    homography_at_origin,
    homography_from_corners,
)
from stn_course.geometry.splines import control_points


def _bounded(raw: Tensor, bound: float | None) -> Tensor:
    """raw near 0, never beyond +-bound: bound * tanh(raw / bound); None leaves raw alone."""
    return raw if bound is None else bound * torch.tanh(raw / bound)


def _set(head: "Parametrisation", **values) -> None:
    """Fields of a frozen dataclass, once they are checked: Python's numbers, whatever came."""
    for name, value in values.items():
        object.__setattr__(head, name, value)


def _check_bound(head: "Parametrisation", below: float = inf, optional: bool = True) -> None:
    if optional and head.bound is None:
        return
    # An infinite bound would be inf * tanh(0) = NaN: None is what leaves raw alone.
    bound = as_measure(head.bound)
    if bound is None or not 0 < bound <= below:
        most = f"at most {below}" if below < inf else "finite"
        also = ", or None" if optional else ""
        raise ValueError(f"bound must be a number above 0 and {most}{also}, got {head.bound!r}")
    _set(head, bound=bound)


class Parametrisation:
    """A network head's n raw numbers as a transform: `head(raw [B, n])`.

    `n` is how many it needs; `identity()` the raw numbers (the head's bias) that change nothing,
    zeros unless it says others. One of your own is a subclass::

        @dataclass(frozen=True)
        class Stretch(geometry.Parametrisation):
            most: float = 2.0
            n = 1

            def __call__(self, raw):
                wide = self._raw(raw).tanh()[:, 0].mul(log(self.most)).exp()
                zero, one = torch.zeros_like(wide), torch.ones_like(wide)
                return torch.stack([wide, zero, zero, zero, one, zero], 1).view(-1, 2, 3)

    `__call__` gets raw numbers [B, n] (`_raw` refuses others and widens them to float32) and gives
    any transform that `warp` takes; `on(raw, size)` may be written as well, where the size of the
    pictures matters. `SpatialTransformer` takes an instance; `models.TRANSFORMS["stretch"] =
    Stretch` gives it a name for `models.build` and for files. For the twin in Keras it has
    `in_keras(raw, ops, size)`, the same in `keras.ops`.
    """

    n: int

    def identity(self) -> Tensor:
        return torch.zeros(self.n)

    def on(self, raw: Tensor, size: tuple[int, int]) -> Tensor:
        """What `raw` means on pictures of `size` (height, width): of use to what turns them."""
        return self(raw)

    def _raw(self, raw: Tensor) -> Tensor:
        return as_float(raw, "raw", ("B", self.n))


def _theta(a, b, c, d, e, f) -> Tensor:
    return torch.stack([a, b, c, d, e, f], 1).view(-1, 2, 3)


class _Turning(Parametrisation):
    """What turns the *pixels* of pictures that need not be square, in `_turned(raw, ratio)`."""

    def __post_init__(self):
        if self.size is not None:
            _set(self, size=check_size(self.size))

    def ratio(self, size: tuple[int, int] | None = None) -> float:
        """Height over width of the pictures: of `size`, or of those that this one is for.

        Raises ValueError where the two are not of one shape.
        """
        height, width = (self.size or (1, 1)) if size is None else size
        if self.size is not None and self.size[0] * width != self.size[1] * height:
            raise ValueError(
                f"the pictures are {height} x {width} and {self} turns those of another shape; "
                f"wanted size=({height}, {width}), or none, which takes that of the pictures"
            )
        return height / width

    def __call__(self, raw: Tensor) -> Tensor:
        return self._turned(raw, self.ratio())

    def on(self, raw: Tensor, size: tuple[int, int]) -> Tensor:
        return self._turned(raw, self.ratio(size))


@dataclass(frozen=True)
class Translation(Parametrisation):
    """raw (x, y): where the glimpse is centred, [-bound, bound] if bounded.  # [B, 2, 3]"""

    bound: float | None = None
    n = 2

    def __post_init__(self):
        _check_bound(self)

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
        max_zoom = as_measure(self.max_zoom)
        if max_zoom is None or not max_zoom > 1:
            raise ValueError(f"max_zoom must be a finite number above 1, got {self.max_zoom!r}")
        _set(self, max_zoom=max_zoom)

    def __call__(self, raw: Tensor) -> Tensor:
        log_scale, x, y = self._raw(raw).unbind(1)
        scale, zero = _bounded(log_scale, log(self.max_zoom)).exp(), torch.zeros_like(x)
        return _theta(scale, zero, x, zero, scale, y)


@dataclass(frozen=True)
class Similarity(_Turning, Attention):
    """raw (log scale, angle in radians, x, y): a turned glimpse, as `Attention`.  # [B, 2, 3]

    size: (height, width) of the pictures it is for, whose *pixels* turn, where they are not
    square. The coordinates of those are longer along one axis than along the other, and a turn
    that does not know it makes a wide bar of a narrow one. `on` knows the size of what is read,
    and raises ValueError for pictures of another shape than `size`.
    """

    size: tuple[int, int] | None = None
    n = 4

    def __post_init__(self):
        Attention.__post_init__(self)
        super().__post_init__()

    def _turned(self, raw: Tensor, ratio: float) -> Tensor:
        log_scale, angle, x, y = self._raw(raw).unbind(1)
        scale = _bounded(log_scale, log(self.max_zoom)).exp()
        cos, sin = scale * angle.cos(), scale * angle.sin()
        return _theta(cos, -sin * ratio, x, sin / ratio, cos, y)


@dataclass(frozen=True)
class Rotation(_Turning):
    """raw (angle in radians): the picture turned about its middle, and nothing else.  # [B, 2, 3]

    Within [-bound, bound] if bounded. Positive turns the content counter-clockwise, as in `affine`.
    size: (height, width) of pictures that are not square, whose pixels turn, as in `Similarity`.
    """

    bound: float | None = None
    size: tuple[int, int] | None = None
    n = 1

    def __post_init__(self):
        _check_bound(self)
        super().__post_init__()

    def _turned(self, raw: Tensor, ratio: float) -> Tensor:
        angle = _bounded(self._raw(raw), self.bound)[:, 0]
        cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
        return _theta(cos, -sin * ratio, zero, sin / ratio, cos, zero)


@dataclass(frozen=True)
class Affine(Parametrisation):
    """raw: theta itself, row by row; each entry within +-bound of the identity's.  # [B, 2, 3]"""

    bound: float | None = None
    n = 6

    def __post_init__(self):
        _check_bound(self)

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
        _check_bound(self, below=0.49, optional=False)

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
        _check_bound(self, below=0.49)

    def __call__(self, raw: Tensor) -> Tensor:
        offsets = _bounded(self._raw(raw), self.bound).view(-1, 4, 2)
        corners = frame_corners(offsets).expand_as(offsets)
        # Bounded corners stay around the origin.
        solve = homography_from_corners if self.bound is None else homography_at_origin
        return solve(corners, corners + offsets)


@dataclass(frozen=True)
class ThinPlateSpline(Parametrisation):
    """raw: (x, y) offsets of the control points, row by row, for `tps_grid`.

    Gives [B, K, 2] for a square grid of K control points and [B, rows, columns, 2] for any other,
    so that the shape of the control grid always travels with the offsets.
    """

    grid: tuple[int, int] = (4, 4)
    bound: float | None = None

    def __post_init__(self):
        _check_bound(self)
        control_points(self.grid)
        _set(self, grid=check_size(self.grid, "grid"))

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
