"""The networks of the course, by name, each with its source and parameter count.

Two things make them fast on a CPU and change no result. Pooling stands before the ReLU:
the two commute, and the ReLU then has a quarter of the work. And `build` keeps the
weights channels-last, for which torch pools several times as fast.
"""

import inspect
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from stn_course import geometry
from stn_course.geometry import one_of
from stn_course.models.classifiers import CLASSIFIERS, PAPER
from stn_course.models.layers import CellMeans, Grey, Normalise, Size, plain_numbers
from stn_course.models.localisers import LOCALISERS
from stn_course.models.sequence import SEQUENCE_MODELS
from stn_course.models.transformers import (
    ParallelTransformers,
    SequentialTransformers,
    SpatialTransformer,
)
from stn_course.models.words import WordReader

TRANSFORMS: dict[str, Callable[..., geometry.Parametrisation]] = {
    "affine": geometry.Affine,
    "translation": geometry.Translation,
    "rotation": geometry.Rotation,
    "attention": geometry.Attention,
    "similarity": geometry.Similarity,
    "homography": geometry.Homography,
    "corners": geometry.Corners,
    "tps": geometry.ThinPlateSpline,
}


def _known(argument: str, name: str, known):
    one_of(argument, name, known)
    return known[name]


@plain_numbers
def transformer(
    size: Size = (28, 28),
    channels: int = 1,
    localiser: str = "small",
    transform: str = "affine",
    bound: float | None = None,
    glimpse: Size | None = None,
    grid: Size | None = None,
    sees: Size | None = None,
    grey: bool = False,
    **options,
) -> SpatialTransformer:
    """A spatial transformer from the names of its localiser and its transform.

    `bound` goes to the transform (default: its own), and so does `grid`, (rows, columns) of a
    spline's control points. `glimpse` is the size of what is read. The localiser is shown the
    images averaged to the size `sees`, and with `grey` the mean of their channels; what is read
    is not. `options` (padding, pool, down, identity_start) go to `SpatialTransformer`.
    """
    kind = _known("transform", transform, TRANSFORMS)
    given = {"bound": bound, "grid": grid}
    head = kind(**{key: value for key, value in given.items() if value is not None})
    front, size, channels = _shown(size, channels, sees, grey)
    net = _known("localiser", localiser, LOCALISERS)(head.n, size, channels)
    net = nn.Sequential(*front, *net) if front else net
    glimpse = None if glimpse is None else geometry.check_size(glimpse, "glimpse")
    return SpatialTransformer(net, head, glimpse, **options)


def _shown(
    size: Size, channels: int, sees: Size | None, grey: bool
) -> tuple[list[nn.Module], Size, int]:
    """What makes of images what a localiser is shown, and the size and channels of that."""
    front: list[nn.Module] = []
    if grey:
        front, channels = [Grey()], 1
    if sees is not None:
        size = geometry.check_size(sees, "sees")
        front.append(CellMeans(size))
    return front, size, channels


@plain_numbers
def stn(
    size: Size = (28, 28),
    classes: int = 10,
    channels: int = 1,
    *,
    classifier: str = "small",
    transformers: int = 1,
    parameters: int | None = None,
    width: float | None = None,
    **options,
) -> nn.Sequential:
    """A transformer before a classifier; `options` as in `transformer`.

    `transformers` above 1 stand side by side (`ParallelTransformers`). `parameters` is
    the size of the whole, for classifiers that fit themselves to one; `width` goes to those
    that have it.
    """
    made = [transformer(size, channels, **options) for _ in range(transformers)]
    front = made[0] if transformers == 1 else ParallelTransformers(*made)
    seen = made[0].output_size(size)
    seen = tuple(n // 2 for n in seen) if made[0].pool else seen
    fit = {} if parameters is None else {"parameters": parameters - count_parameters(front)}
    fit |= {} if width is None else {"width": width}
    net = _known("classifier", classifier, CLASSIFIERS)
    return nn.Sequential(front, net(seen, classes, channels=channels * transformers, **fit))


@plain_numbers
def word_stn(
    size: Size = (32, 96),
    classes: int = 10,
    channels: int = 1,
    *,
    digits: int = 3,
    width: float = 1.0,
    features: bool = False,
    in_sequence: int = 1,
    **options,
) -> nn.Module:
    """A transformer before a reader of words, `WordReader`; `options` as in `transformer`.

    `features` has it behind the reader's first convolution instead. Several `in_sequence` correct
    each other (`SequentialTransformers`).
    """
    in_sequence = geometry.whole_number("in_sequence", in_sequence)

    def front(size: Size, channels: int) -> nn.Module:
        made = [transformer(size, channels, **options) for _ in range(in_sequence)]
        return made[0] if in_sequence == 1 else SequentialTransformers(*made)

    fixed = {"digits": digits, "width": width}
    if features:
        return WordReader(size, classes, channels, inside=front, **fixed)
    first = front(size, channels)
    last = first if in_sequence == 1 else first.transformers[-1]
    seen = last.output_size(size)
    seen = tuple(n // 2 for n in seen) if last.pool else seen
    return nn.Sequential(first, WordReader(seen, classes, channels, **fixed))


@plain_numbers
def stn_features(size: Size = (28, 28), classes: int = 10, channels: int = 1) -> nn.Sequential:
    """The transformer on feature maps: after the first convolution of our small classifier.

    For comparison with `stn-small`: it sees what the filters made of a turned digit and
    can move that, no more (`SpatialTransformer` says why).
    """
    stem, norm, relu, *rest = CLASSIFIERS["small"](size, classes, channels)
    maps = tuple((n + 1) // 2 for n in size)
    moved = transformer(maps, stem.out_channels, localiser="small", padding="border")
    return nn.Sequential(stem, norm, relu, moved, *rest)


MODELS: dict[str, Callable[..., nn.Module]] = CLASSIFIERS | {
    "stn": stn,
    # XQ: its script's localiser and FC net; its notebook's localiser and the blog's CNN.
    "stn-fc": partial(stn, localiser="xq-script", classifier="fc"),
    "stn-cnn": partial(stn, localiser="xq-notebook", classifier="cnn-blog"),
    # SE's seven runs: these four (the first trained twice, for 20 and for 30 epochs), and
    # without the transformer "tutorial-cnn" and "tutorial-cnn-coord".
    "tutorial": partial(stn, localiser="tutorial", classifier="tutorial-cnn"),
    "tutorial-coord-cls": partial(stn, localiser="tutorial", classifier="tutorial-cnn-coord"),
    "tutorial-coord-loc": partial(stn, localiser="tutorial-coord", classifier="tutorial-cnn"),
    "tutorial-coord-both": partial(
        stn, localiser="tutorial-coord", classifier="tutorial-cnn-coord"
    ),
    # HY's, whose classifier starts with narrow weights.
    "tutorial-narrow": partial(stn, localiser="tutorial", classifier="tutorial-cnn-narrow"),
    "hr": partial(stn, localiser="hr", classifier="hr-cnn", identity_start=False),
    "hr-padded": partial(stn, localiser="hr", classifier="hr-cnn-padded", identity_start=False),
    "paper-st-fcn": partial(stn, localiser="paper-fc", classifier="paper-fcn", parameters=PAPER),
    "paper-st-cnn": partial(stn, localiser="paper-cnn", classifier="paper-cnn", parameters=PAPER),
    # This course's: about 150 000 parameters whatever the canvas, for it reads 28x28 of it.
    "stn-small": partial(stn, glimpse=(28, 28)),
    "stn-features": stn_features,
    # For rows of digits: SK's three and LJ's FFN-SPN (`design`), and ours.
    **SEQUENCE_MODELS,
    # For words, of notebook 08: without a transformer and with one.
    **(WORD_MODELS := {"word-cnn": WordReader, "word-stn": word_stn}),
}
ROW_MODELS = (*SEQUENCE_MODELS, *WORD_MODELS)  # these give an image a row of labels


def build(name: str, normalise: tuple[float, float] | None = None, **options) -> nn.Module:
    """The network called `name`; `options` go to its builder.

    `normalise` (mean, deviation) puts `Normalise` before it: what lies outside the image is
    then black as well only for a transformer that pads with the background.

    Raises ValueError for an unknown name, TypeError for an option it does not have and for one
    that is true or false and was given as something else.
    """
    one_of("model", name, MODELS)
    for key, usual in _parameters(name).items():
        if isinstance(usual, bool) and not isinstance(options.get(key, usual), bool):
            raise TypeError(f"{key} is {options[key]!r}; wanted true or false")
    net = MODELS[name](**options)
    if normalise is not None:
        net = nn.Sequential(Normalise(*normalise), net)
    return net.to(memory_format=torch.channels_last)


def _parameters(name: str) -> dict:
    """What the builders behind `name` take, by its default."""
    builder = MODELS[name]
    asked = [builder]
    if isinstance(builder, type):
        asked = [each for each in builder.__mro__ if "__init__" in vars(each)]
        asked = asked[: asked.index(nn.Module)]
    elif getattr(builder, "func", builder) in (stn, word_stn):
        asked += [transformer, SpatialTransformer]
    found = [inspect.signature(each).parameters.items() for each in asked]
    return {key: parameter.default for of in found for key, parameter in of}


def options_of(name: str) -> list[str]:
    """The options that `build` takes for the network called `name`."""
    decided = {"size", "classes", "channels", "conv", "args", "options"}  # by data and name
    return sorted({*_parameters(name), "normalise"} - decided)


def count_parameters(model: nn.Module) -> int:
    """Number of trainable numbers in `model`."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def device() -> torch.device:
    """`cuda` if there is one, else `cpu`: the only place that decides."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
