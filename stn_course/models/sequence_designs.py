"""What the readers of digit rows are made of, in three designs.

- "sk": that of Sønderby et al. (arXiv 1509.05329), from their published code. Unpadded
  convolutions, no dropout.
- "lj": LJ's later re-implementation of their FFN-SPN, with padded convolutions and dropout. It
  has only that network; the other two are made of the same parts here.
- "ours": this course's, for two CPU cores and below a million parameters whatever it reads:
  a localiser that sees a 25x25 average, a glimpse no larger than it must be, a strided stem.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from stn_course import geometry
from stn_course.models.layers import CellMeans, Size, dense, glorot_, pooled, width_of

Down = float | tuple[float, float]


def three_convolutions(channels: int, padding: int) -> list[nn.Module]:
    """The features of SK and LJ: pool, conv20 3x3, pool, conv20 3x3, pool, conv20 3x3, flat."""
    body = [nn.MaxPool2d(2), *pooled(channels, 20, 3, padding=padding)]
    body += [*pooled(20, 20, 3, padding=padding), nn.Conv2d(20, 20, 3, padding=padding)]
    return [*body, nn.ReLU(), nn.Flatten()]


def averaged(channels: int) -> list[nn.Module]:
    """Our features: a 25x25 average, conv32 3x3, pool, conv32 3x3, pool, flat: 1152 numbers.

    Where a digit stands shows in the average, and a convolution of the whole image would cost
    16 times as much.
    """
    first, second = pooled(channels, 32, 3, padding=1), pooled(32, 32, 3, padding=1)
    return [CellMeans(25), *first, *second, nn.Flatten()]


def published_reader(
    size: Size, outputs: int, channels: int, width: int, padding: int, drop: float
) -> nn.Sequential:
    """The classifier of SK and LJ: conv, pool, conv, pool, conv (3x3, `width`), Dense 400.

    `drop` of the channels are left out after each convolution, and of the units of the
    dense layer.
    """
    some = [nn.Dropout2d(drop)] if drop else []  # one for all three places: it has no weights
    body = [*pooled(channels, width, 3, padding=padding), *some]
    body += [*pooled(width, width, 3, padding=padding), *some]
    body += [nn.Conv2d(width, width, 3, padding=padding), nn.ReLU(), *some, nn.Flatten()]
    wide = dense(width_of(body, size, channels), 400, drop)
    return nn.Sequential(*body, *wide, nn.Linear(400, outputs))


class HighestRow(nn.Module):
    """The largest value of each column: [B, C, H, W] -> [B, C, W]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax(2)


def strided(channels: int) -> list[nn.Module]:
    """Our convolutions: three halve the size, a fourth does not; 96 channels, batch norm.

    Strides, for on a CPU pooling costs as much as the convolution before it.
    """
    body, inputs = [], channels
    for out, kernel, stride in ((16, 5, 2), (64, 3, 2), (96, 3, 2), (96, 3, 1)):
        conv = nn.Conv2d(inputs, out, kernel, stride, kernel // 2, bias=False)
        body += [conv, nn.BatchNorm2d(out), nn.ReLU()]
        inputs = out
    return body


def row_reader(size: Size, outputs: int, channels: int) -> nn.Sequential:
    """Our classifier, of a row or a digit: convolutions, each column's highest value, Dense 128.

    Digits stand at any height but almost at a fixed distance from left to right: a column's
    largest value keeps what is there and forgets how high it stands.
    """
    body = [*strided(channels), HighestRow(), nn.Flatten()]
    wide = dense(width_of(body, size, channels), 128, drop=0.3)
    return nn.Sequential(*body, *wide, nn.Linear(128, outputs))


def as_made(module: nn.Module) -> nn.Module:
    """`module` with torch's own first weights."""
    return module


@dataclass(frozen=True)
class Design:
    """How one source builds the three networks."""

    features: Callable[[int], list[nn.Module]]  # of channels: images to flat features
    hidden: int  # units between features and theta of the FFN-SPN
    drop: float  # of them
    state: int  # units of the GRU
    reader: Callable[[Size, int, int], nn.Sequential]  # of size, outputs and channels
    step_reader: Callable[[Size, int, int], nn.Sequential]  # the same, for one digit
    glimpses: dict[str, Size] = field(default_factory=dict)  # kind: its size, where it is fixed
    start: Callable[[nn.Module], nn.Module] = as_made  # gives the first weights
    state_start: float | None = None  # deviation of the GRU's, with zero biases; None: torch's own


_LJ_READER = partial(published_reader, width=96, padding=1, drop=0.25)
_SK_READER = partial(published_reader, padding=0, drop=0.0)
DESIGNS = {
    "sk": Design(
        partial(three_convolutions, padding=0),
        200,
        0.0,
        256,
        partial(_SK_READER, width=96),
        partial(_SK_READER, width=32),
        start=glorot_,
        state_start=0.1,
    ),
    "lj": Design(
        partial(three_convolutions, padding=1),
        200,
        0.25,
        256,
        _LJ_READER,
        _LJ_READER,
        start=glorot_,
    ),
    "ours": Design(
        averaged,
        128,
        0.0,
        96,
        row_reader,
        row_reader,
        # The RNN-SPN's glances stay tall: with 32 rows of output they blurred what they read
        # (5 epochs on fresh rows: 96.8 % of the digits, with 64 rows 97.9 %).
        glimpses={"FFN-SPN": (50, 84), "RNN-SPN": (64, 32)},
    ),
}


def glimpse_size(size: Size, down: Down) -> Size:
    """`geometry.shrunk_size`, of a checked `size`."""
    return geometry.shrunk_size(geometry.check_size(size), down)


STRIP = 0.45  # of the image's width: every digit of the published rows fits into its own


def strips(steps: int) -> Tensor:
    """Affine numbers of upright strips side by side, the outer ones at the edges: [steps, 6]."""
    steps = geometry.whole_number("steps", steps)
    raw = torch.zeros(steps, 6)
    raw[:, 0], raw[:, 4] = STRIP, 1.0
    raw[:, 2] = torch.linspace(STRIP - 1, 1 - STRIP, steps) if steps > 1 else 0.0
    return raw
