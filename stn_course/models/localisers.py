"""The localisation networks of the systems that the course retells, and its own, by name.

Each is called with the size of its images, their channels and `n`, and gives an
`nn.Sequential` from [B, C, H, W] to `n` raw numbers [B, n]. Its last linear layer is the
head, which `transformers.SpatialTransformer` starts at the identity.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from stn_course.models.coordconv import CoordConv2d
from stn_course.models.layers import (
    CellMeans,
    Size,
    dense,
    glorot_,
    plain_numbers,
    pooled,
    width_of,
)


@plain_numbers
def xq_notebook(n: int, size: Size = (28, 28), channels: int = 1) -> nn.Sequential:
    """XQ's notebook: conv14 5x5, pool, conv32 5x5, pool, Dense 120, dropout .2, Dense 84."""
    body = [*pooled(channels, 14, 5), *pooled(14, 32, 5), nn.Flatten()]
    wide = dense(width_of(body, size, channels), 120, drop=0.2)
    return glorot_(nn.Sequential(*body, *wide, *dense(120, 84), nn.Linear(84, n)))


@plain_numbers
def xq_script(n: int, size: Size = (28, 28), channels: int = 1) -> nn.Sequential:
    """XQ's script: conv6 5x5, pool, conv16 3x3, pool, Dense 128 and 64, dropout .2 after each."""
    body = [*pooled(channels, 6, 5), *pooled(6, 16, 3), nn.Flatten()]
    wide = dense(width_of(body, size, channels), 128, drop=0.2)
    return glorot_(nn.Sequential(*body, *wide, *dense(128, 64, drop=0.2), nn.Linear(64, n)))


@plain_numbers
def hr(n: int, size: Size = (40, 40), channels: int = 1) -> nn.Sequential:
    """HR's: Dense 20 tanh, dropout, Dense n *tanh*: raw numbers of 1 are out of its reach.

    Its dropout was never switched on, so there is none here. It was used without an
    identity start: Glorot weights, zero bias.
    """
    width = channels * size[0] * size[1]
    layers = [nn.Flatten(), nn.Linear(width, 20), nn.Tanh(), nn.Linear(20, n), nn.Tanh()]
    return glorot_(nn.Sequential(*layers))


@plain_numbers
def tutorial(
    n: int, size: Size = (28, 28), channels: int = 1, conv: type[nn.Conv2d] = nn.Conv2d
) -> nn.Sequential:
    """The PyTorch tutorial's (HY, SE): conv8 7x7, pool, conv10 5x5, pool, Dense 32.

    With `conv=CoordConv2d` both convolutions are told where they are, as in SE's.
    """
    body = [*pooled(channels, 8, 7, conv), *pooled(8, 10, 5, conv), nn.Flatten()]
    return nn.Sequential(*body, *dense(width_of(body, size, channels), 32), nn.Linear(32, n))


@plain_numbers
def paper_fc(n: int, size: Size = (28, 28), channels: int = 1) -> nn.Sequential:
    """The STN paper's ST-FCN: three fully connected layers; their 32 units are our reading."""
    width = channels * size[0] * size[1]
    hidden = [*dense(width, 32), *dense(32, 32), *dense(32, 32)]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(32, n))


@plain_numbers
def paper_cnn(n: int, size: Size = (28, 28), channels: int = 1) -> nn.Sequential:
    """The STN paper's ST-CNN: conv20 5x5, pool, conv20 5x5, Dense 20."""
    body = [*pooled(channels, 20, 5), nn.Conv2d(20, 20, 5), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*body, *dense(width_of(body, size, channels), 20), nn.Linear(20, n))


@plain_numbers
def small(n: int, size: Size = (28, 28), channels: int = 1) -> nn.Sequential:
    """This course's: a strided stem, two more convolutions, 4x4 cells, Dense 48.

    The stem halves the image at once, because a convolution of one channel is slow; the
    cells make it as wide for a 60x60 canvas as for a digit.
    """
    body = [
        nn.Conv2d(channels, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        *pooled(16, 32, 3, padding=1),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        CellMeans(4),
        nn.Flatten(),
    ]
    return nn.Sequential(*body, *dense(width_of(body, size, channels), 48), nn.Linear(48, n))


@plain_numbers
def normed(n: int, size: Size = (16, 48), channels: int = 3) -> nn.Sequential:
    """This course's, for colour and uneven light: three convolutions with batch norm, Dense 64.

    What lies where shows in edges, light on dark or dark on light, strong or weak: without a norm
    a localiser of words learned nothing but their mean place. Flat, so that it knows where.
    """

    def block(inputs: int, out: int, stride: int) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, out, 3, stride, 1, bias=False)
        return [conv, nn.BatchNorm2d(out), nn.ReLU()]

    body = [*block(channels, 16, 1), *block(16, 32, 2), *block(32, 48, 2), nn.Flatten()]
    return nn.Sequential(*body, *dense(width_of(body, size, channels), 64), nn.Linear(64, n))


LOCALISERS: dict[str, Callable[..., nn.Sequential]] = {
    "xq-notebook": xq_notebook,
    "xq-script": xq_script,
    "hr": hr,
    "tutorial": tutorial,
    "tutorial-coord": partial(tutorial, conv=CoordConv2d),
    "paper-fc": paper_fc,
    "paper-cnn": paper_cnn,
    "small": small,
    "normed": normed,
}
