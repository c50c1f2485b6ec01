"""The networks of the course, by name, each with its source and parameter count.

Two things make them fast on a CPU and change no result.  Pooling stands before the ReLU:
the two commute, and the ReLU then has a quarter of the work.  And ``build`` keeps the
weights channels-last, for which torch pools several times as fast.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

Size = tuple[int, int]


def glorot_(module: nn.Module) -> nn.Module:
    """Glorot-uniform weights and zero biases in place: the start of every Keras layer.

    The networks of XQ were published in Keras; torch's own start is narrower.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return module


class Subsample(nn.Module):
    """Keep every second pixel: halves the size as pooling does, without looking around."""

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        return x[..., : h // 2 * 2 : 2, : w // 2 * 2 : 2]  # [B, C, H//2, W//2]


def fc(size: Size = (28, 28), classes: int = 10, width: int = 128) -> nn.Sequential:
    """Fully connected baseline (XQ): Dense(width)-ReLU-Dropout .2-Dense.  101 770 at 28x28."""
    return glorot_(
        nn.Sequential(
            nn.Flatten(),  # [B, H*W]
            nn.Linear(math.prod(size), width),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(width, classes),  # [B, classes]
        )
    )


def cnn(
    size: Size = (28, 28), classes: int = 10, width: float = 1.0, pool: str = "max"
) -> nn.Sequential:
    """The XQ script's CNN: conv32, pool, conv16, pool, Dense 100.  Convolutions 3x3, no padding.

    ``width`` scales the channels and the dense layer; ``pool="subsample"`` replaces max
    pooling by keeping every second pixel (an ablation of notebook 01, same parameters).
    """
    if pool not in ("max", "subsample"):
        raise ValueError(f"pool={pool!r}; wanted 'max' or 'subsample'")
    half = (lambda: nn.MaxPool2d(2)) if pool == "max" else Subsample
    a, b, dense = (max(1, round(n * width)) for n in (32, 16, 100))
    h, w = (((n - 2) // 2 - 2) // 2 for n in size)
    _require_positive(size, h, w)
    return glorot_(
        nn.Sequential(
            nn.Conv2d(1, a, 3),  # [B, 32, H-2, W-2]
            half(),  # [B, 32, 13, 13] at 28x28
            nn.ReLU(),
            nn.Conv2d(a, b, 3),
            half(),  # [B, 16, 5, 5]
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(b * h * w, dense),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(dense, classes),  # [B, classes]
        )
    )


def cnn_blog(size: Size = (28, 28), classes: int = 10) -> nn.Sequential:
    """The XQ blog's CNN: conv6, pool, conv16, pool, Dense 120, Dense 84.  LeNet-like."""
    h, w = (((n - 2) // 2 - 2) // 2 for n in size)
    _require_positive(size, h, w)
    return glorot_(
        nn.Sequential(
            nn.Conv2d(1, 6, 3),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(6, 16, 3),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * h * w, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, classes),  # [B, classes]
        )
    )


def _require_positive(size: Size, h: int, w: int) -> None:
    if h < 1 or w < 1:
        raise ValueError(f"size={size} is too small for two 3x3 convolutions and two poolings")


MODELS: dict[str, Callable[..., nn.Module]] = {"fc": fc, "cnn": cnn, "cnn-blog": cnn_blog}


def build(name: str, **options) -> nn.Module:
    """The network called ``name``; ``options`` go to its builder.

    Raises ValueError for an unknown name, TypeError for an option it does not have.
    """
    if name not in MODELS:
        raise ValueError(f"model={name!r} is unknown; wanted one of {', '.join(MODELS)}")
    return MODELS[name](**options).to(memory_format=torch.channels_last)


def count_parameters(model: nn.Module) -> int:
    """Number of trainable numbers in ``model``."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def device() -> torch.device:
    """``cuda`` if there is one, else ``cpu``: the only place that decides."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
