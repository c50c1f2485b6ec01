"""Classifiers without a transformer: the XQ, tutorial, HR and STN-paper nets, and our own."""

import math
from collections.abc import Callable
from functools import partial

from torch import nn

from stn_course.geometry import real_number, whole_number
from stn_course.models.coordconv import CoordConv2d
from stn_course.models.layers import (
    Size,
    Subsample,
    dense,
    glorot_,
    normal_,
    plain_numbers,
    pooled,
    width_of,
)

PAPER = 400_000  # parameters of every network of the STN paper, "about"


@plain_numbers
def fc(
    size: Size = (28, 28), classes: int = 10, width: int = 128, channels: int = 1
) -> nn.Sequential:
    """Fully connected baseline (XQ): Dense(width)-ReLU-Dropout .2-Dense. 101 770 at 28x28.

    Raises TypeError for a width that is no whole number, ValueError for one below 1.
    """
    width = whole_number("width", width)
    return glorot_(
        nn.Sequential(
            nn.Flatten(),  # [B, C*H*W]
            nn.Linear(channels * math.prod(size), width),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(width, classes),  # [B, classes]
        )
    )


@plain_numbers
def cnn(
    size: Size = (28, 28),
    classes: int = 10,
    width: float = 1.0,
    pool: str = "max",
    channels: int = 1,
) -> nn.Sequential:
    """The XQ script's CNN: conv32, pool, conv16, pool, Dense 100. Convolutions 3x3, no padding.

    `width` scales the channels and the dense layer; `pool="subsample"` replaces max
    pooling by keeping every second pixel (an ablation of notebook 01, same parameters).
    """
    if pool not in ("max", "subsample"):
        raise ValueError(f"pool={pool!r}; wanted 'max' or 'subsample'")
    width = real_number("width", width, above=0)
    half = (lambda: nn.MaxPool2d(2)) if pool == "max" else Subsample
    a, b, hidden = (max(1, round(n * width)) for n in (32, 16, 100))
    h, w = (((n - 2) // 2 - 2) // 2 for n in size)
    _require_positive(size, h, w)
    return glorot_(
        nn.Sequential(
            nn.Conv2d(channels, a, 3),  # [B, 32, H-2, W-2]
            half(),  # [B, 32, 13, 13] at 28x28
            nn.ReLU(),
            nn.Conv2d(a, b, 3),
            half(),  # [B, 16, 5, 5]
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(b * h * w, hidden),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(hidden, classes),  # [B, classes]
        )
    )


@plain_numbers
def cnn_blog(size: Size = (28, 28), classes: int = 10, channels: int = 1) -> nn.Sequential:
    """The XQ blog's CNN: conv6, pool, conv16, pool, Dense 120, Dense 84. LeNet-like."""
    h, w = (((n - 2) // 2 - 2) // 2 for n in size)
    _require_positive(size, h, w)
    body = [*pooled(channels, 6, 3), *pooled(6, 16, 3), nn.Flatten()]
    hidden = [*dense(16 * h * w, 120), *dense(120, 84)]
    return glorot_(nn.Sequential(*body, *hidden, nn.Linear(84, classes)))


def _require_positive(size: Size, h: int, w: int) -> None:
    if h < 1 or w < 1:
        raise ValueError(f"size={size} is too small for two 3x3 convolutions and two poolings")


@plain_numbers
def tutorial(
    size: Size = (28, 28),
    classes: int = 10,
    channels: int = 1,
    conv: type[nn.Conv2d] = nn.Conv2d,
    start: float | None = None,
) -> nn.Sequential:
    """The PyTorch tutorial's (HY, SE): conv10 5x5, pool, conv20 5x5, dropout, pool, Dense 50.

    With `conv=CoordConv2d` both convolutions are told where they are, as in SE's. `start`
    is the deviation of its first weights, with zero biases (HY: .02); None leaves torch's own.
    """
    body = [
        *pooled(channels, 10, 5, conv),
        conv(10, 20, 5),
        nn.Dropout2d(0.5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
    ]
    wide = dense(width_of(body, size, channels), 50, drop=0.5)
    net = nn.Sequential(*body, *wide, nn.Linear(50, classes))
    return net if start is None else normal_(net, start)


@plain_numbers
def hr(
    size: Size = (40, 40), classes: int = 10, channels: int = 1, padded: bool = False
) -> nn.Sequential:
    """HR's: two conv16 5x5 of stride 2, Dense 1024.

    `padded`: as in its code, 40x40 becomes 20x20 and 10x10; without, as in this course's first
    runs, 18x18 and 7x7, with half the parameters.
    """
    body = []
    for inputs in (channels, 16):
        # What TensorFlow calls "same", of an even size: one more after than before.
        body += [nn.ZeroPad2d((1, 2, 1, 2))] if padded else []
        body += [nn.Conv2d(inputs, 16, 5, stride=2), nn.ReLU()]
    body.append(nn.Flatten())
    wide = dense(width_of(body, size, channels), 1024)
    return glorot_(nn.Sequential(*body, *wide, nn.Linear(1024, classes)))


@plain_numbers
def paper_fcn(
    size: Size = (28, 28), classes: int = 10, channels: int = 1, parameters: int = PAPER
) -> nn.Sequential:
    """The STN paper's FCN: two hidden layers, as wide as brings it to `parameters`."""
    inputs = channels * math.prod(size)
    b = inputs + classes + 2  # w^2 + b w + classes parameters at width w
    width = round((math.sqrt(b * b + 4 * max(0, parameters - classes)) - b) / 2)
    _require_room(width, parameters)
    hidden = [*dense(inputs, width), *dense(width, width)]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, classes))


@plain_numbers
def paper_cnn(
    size: Size = (28, 28), classes: int = 10, channels: int = 1, parameters: int = PAPER
) -> nn.Sequential:
    """The STN paper's CNN: conv32 9x9, pool, conv64 7x7, pool, and a hidden layer.

    The paper says 32-64 filters and how many parameters in all, so the hidden layer is as
    wide as brings it to `parameters`. Convolutions keep the size (our reading: without
    padding nothing is left of a 21x21 image).
    """
    body = [*pooled(channels, 32, 9, padding=4), *pooled(32, 64, 7, padding=3), nn.Flatten()]
    width = width_of(body, size, channels)
    spent = sum(p.numel() for layer in body for p in layer.parameters()) + classes
    hidden = round((parameters - spent) / (width + 1 + classes))
    _require_room(hidden, parameters)
    return nn.Sequential(*body, *dense(width, hidden), nn.Linear(hidden, classes))


def _require_room(width: int, parameters: int) -> None:
    if width < 1:
        raise ValueError(f"parameters={parameters} leave nothing for a hidden layer; wanted more")


@plain_numbers
def small(
    size: Size = (28, 28), classes: int = 10, channels: int = 1, width: float = 1.0
) -> nn.Sequential:
    """This course's: a strided stem, two convolutions with batch norm and pooling, Dense 56.

    `width` scales the channels of the convolutions and the dense layer. Raises ValueError
    for one that is not above 0.
    """
    width = real_number("width", width, above=0)
    a, b, c, hidden = (max(1, round(n * width)) for n in (32, 64, 80, 56))

    def block(inputs: int, out: int) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, out, 3, padding=1, bias=False)
        return [conv, nn.MaxPool2d(2), nn.BatchNorm2d(out), nn.ReLU()]

    stem = nn.Conv2d(channels, a, 5, stride=2, padding=2, bias=False)
    body = [stem, nn.BatchNorm2d(a), nn.ReLU(), *block(a, b), *block(b, c), nn.Flatten()]
    wide = dense(width_of(body, size, channels), hidden, drop=0.3)
    return nn.Sequential(*body, *wide, nn.Linear(hidden, classes))


CLASSIFIERS: dict[str, Callable[..., nn.Sequential]] = {
    "fc": fc,
    "cnn": cnn,
    "cnn-blog": cnn_blog,
    "tutorial-cnn": tutorial,
    "tutorial-cnn-coord": partial(tutorial, conv=CoordConv2d),
    "tutorial-cnn-narrow": partial(tutorial, start=0.02),
    "hr-cnn": hr,
    "hr-cnn-padded": partial(hr, padded=True),
    "paper-fcn": paper_fcn,
    "paper-cnn": paper_cnn,
    "small": small,
}
