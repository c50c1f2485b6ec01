"""What the networks are put together from: starts, layers, and how wide a layer must be."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps

import torch
from torch import Tensor, nn

from stn_course.geometry import check_size, real_number, whole_number

Size = tuple[int, int]
COUNTS = ("n", "classes", "channels", "parameters", "transformers")


def plain_numbers(builder: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """`builder`, whose size and counts may be NumPy's too; what is no number is refused by name.

    A keyword that is None is left to the builder.
    """
    signature = inspect.signature(builder)

    @wraps(builder)
    def build(*args, **options) -> nn.Module:
        given = signature.bind(*args, **options)
        for name, value in given.arguments.items():
            if name == "size":
                given.arguments[name] = check_size(value)
            elif name in COUNTS and value is not None:
                given.arguments[name] = whole_number(name, value)
        return builder(*given.args, **given.kwargs)

    return build


def glorot_(module: nn.Module) -> nn.Module:
    """Glorot-uniform weights and zero biases in place: the start of every Keras layer.

    The networks of XQ were published in Keras; torch's own start is narrower.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return module


def normal_(module: nn.Module, deviation: float) -> nn.Module:
    """Weights from N(0, deviation), zero biases, in place: HY's start, and Lasagne's of a GRU."""
    for each in module.parameters():
        nn.init.normal_(each, 0.0, deviation) if each.ndim > 1 else nn.init.zeros_(each)
    return module


class Normalise(nn.Module):
    """(x - mean) / sd of images in [0, 1]; the network's own, so no caller can forget it.

    (.5, .5) gives [-1, 1] as in HY; SE has (.1307, .3081), the mean and deviation of MNIST.
    """

    def __init__(self, mean: float, sd: float):
        super().__init__()
        self.mean = float(real_number("mean", mean))
        self.sd = float(real_number("sd", sd, above=0))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.sd

    def extra_repr(self) -> str:
        return f"mean={self.mean:g}, sd={self.sd:g}"


class Grey(nn.Module):
    """The mean of the channels: [B, C, H, W] -> [B, 1, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True)


class Subsample(nn.Module):
    """Keep every second pixel: halves the size as pooling does, without looking around."""

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        return x[..., : h // 2 * 2 : 2, : w // 2 * 2 : 2]  # [B, C, H//2, W//2]


class CellMeans(nn.AdaptiveAvgPool2d):
    """The mean of each cell of a grid: `nn.AdaptiveAvgPool2d`, also where its gradient is refused.

    On CUDA `torch.use_deterministic_algorithms` refuses torch's own: the cells overlap where the
    sizes do not divide, and their gradients are added in any order. In that mode the means are
    taken strip by strip, which rounds a little otherwise.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not torch.are_deterministic_algorithms_enabled():
            return super().forward(x)
        counts = self.output_size
        rows, columns = (counts, counts) if isinstance(counts, int) else counts
        return _strip_means(_strip_means(x, -2, rows), -1, columns)


def _strip_means(x: Tensor, dim: int, count: int) -> Tensor:
    """The means of `count` strips along `dim`, which overlap as adaptive pooling has them."""
    n = x.shape[dim]
    edges = [(k * n // count, -(-(k + 1) * n // count)) for k in range(count)]
    return torch.stack([x.narrow(dim, a, b - a).mean(dim) for a, b in edges], dim)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """`model` in eval mode and without a graph; its mode comes back, whatever happens inside.

    That of each module its own: a frozen part of a network that learns is in eval mode already.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


@torch.no_grad()
def width_of(layers: Iterable[nn.Module], size: Size, channels: int = 1) -> int:
    """How many numbers `layers`, ending in `nn.Flatten`, make of an image; by trying.

    Raises ValueError for a `size` of which convolutions and poolings leave nothing.
    """
    net = nn.Sequential(*layers).eval()  # so that dropout and batch norm leave no trace
    try:
        width = net(torch.zeros(1, channels, *size)).shape[1]
    except RuntimeError:
        width = 0
    if width < 1:
        raise ValueError(f"size={tuple(size)} is too small for {len(net)} layers of {net[0]}, ...")
    net.train()
    return width


def pooled(channels: int, out: int, kernel: int, conv=nn.Conv2d, **options) -> list[nn.Module]:
    """Convolution, 2x max pooling, ReLU: pooling first is the same and cheaper."""
    return [conv(channels, out, kernel, **options), nn.MaxPool2d(2), nn.ReLU()]


def dense(width: int, units: int, drop: float = 0.0) -> list[nn.Module]:
    """A linear layer, ReLU, and dropout if `drop` is not 0."""
    return [nn.Linear(width, units), nn.ReLU(), *([nn.Dropout(drop)] if drop else [])]
