"""A torch network of the course built again in Keras, layer by layer, channels last."""

from functools import singledispatch

import torch
from torch import nn

from stn_course import models
from stn_course.keras_twin import layers
from stn_course.keras_twin.sampling import keras
from stn_course.keras_twin.settings import LAST, policy_for, settled
from stn_course.keras_twin.weights import copy_weights
from stn_course.models import CoordConv2d, ParallelTransformers, SpatialTransformer, Subsample
from stn_course.models.layers import Normalise
from stn_course.models.sequence import FFNSPN
from stn_course.models.sequence_designs import HighestRow

Shape = tuple  # (batch None, height, width, channels), or (None, features)
kl = keras.layers


def from_torch(model: str | nn.Module, shape: tuple[int, int, int] = (1, 28, 28), **options):
    """The Keras twin of `model`, with its weights: channels last, logits as from torch.

    model: a network of the course, or the name of one (`models.MODELS`), which is then built
        for images of `shape` with `options` (its first weights: seed torch before).
    shape: (C, h, w) of the images, in torch's order.

    The twin takes [B, h, w, C] and is a `keras.Sequential`, whatever keras.json says of layout and
    types (`settings.policy_for`). Raises TypeError for a layer that has no twin here, ValueError
    for an unknown name and where Keras is set to round the images.
    """
    channels, *size = shape
    if isinstance(model, str):
        made_for = {"size": tuple(size)} | ({"channels": channels} if channels != 1 else {})
        model = models.build(model, **made_for | options)
    elif options:
        raise TypeError(f"options {sorted(options)} are for a name; model is built already")
    start = (None, *size, channels)
    with settled(policy_for(model)):
        twin = sequential(start, chain(model, start))
    copy_weights(model, twin, to_torch=False)
    return twin


def to_torch(twin: keras.Model, model: str | nn.Module, **options) -> nn.Module:
    """`model` with the weights of its Keras `twin`, in eval mode.

    model: a torch network of the same layers (its weights are overwritten), or its name, built
        with `options`. Raises ValueError where the two do not match, layer by layer.
    """
    if isinstance(model, str):
        _, h, w, channels = twin.input_shape
        made_for = {"size": (h, w)} | ({"channels": channels} if channels != 1 else {})
        model = models.build(model, **made_for | options)
    copy_weights(model, twin, to_torch=True)
    return model.eval()


def sequential(shape: Shape, layers: list) -> keras.Sequential:
    """A Keras chain for images of `shape`, in the type in which weights are kept."""
    kept = keras.config.dtype_policy().variable_dtype
    return keras.Sequential([keras.Input(shape[1:], dtype=kept), *layers])


def chain(module: nn.Module, shape: Shape) -> list:
    """The Keras layers, one after another, that do what `module` does to `shape`."""
    parts = module if isinstance(module, nn.Sequential) else [module]
    found = []
    for part in parts:
        made = chain(part, shape) if isinstance(part, nn.Sequential) else twin_of(part, shape)
        for layer in made:
            shape = tuple(layer.compute_output_shape(shape))
        found += made
    return found


@singledispatch
def twin_of(module: nn.Module, shape: Shape) -> list:
    """The Keras layers for one torch module that gets images of `shape`."""
    raise TypeError(f"{type(module).__name__} has no twin in Keras here")


@twin_of.register
def _(module: nn.Conv2d, shape: Shape) -> list:
    if module.groups != 1 or module.padding_mode != "zeros" or isinstance(module.padding, str):
        raise TypeError(f"{module} has no twin in Keras here")
    kernel, stride, pad = module.kernel_size, module.stride, module.padding
    # "same" pads what the *output* needs: with a stride above 1 that is less, and to one side.
    same = stride == (1, 1) and module.dilation == (1, 1)
    same = same and all(k % 2 and p == k // 2 for k, p in zip(kernel, pad, strict=True))
    before = [] if same or not any(pad) else [kl.ZeroPadding2D(pad, LAST)]
    bias = module.bias is not None
    options = {"dilation_rate": module.dilation, "use_bias": bias}
    how = "same" if same else "valid"
    return [*before, kl.Conv2D(module.out_channels, kernel, stride, how, LAST, **options)]


@twin_of.register
def _(module: CoordConv2d, shape: Shape) -> list:
    plain = twin_of.dispatch(nn.Conv2d)
    return [layers.AddCoords(module.radius), *plain(module, shape)]


@twin_of.register
def _(module: nn.Linear, shape: Shape) -> list:
    return [kl.Dense(module.out_features, use_bias=module.bias is not None)]


@twin_of.register
def _(module: nn.BatchNorm2d, shape: Shape) -> list:
    if module.momentum is None or not (module.affine and module.track_running_stats):
        raise TypeError(f"{module} has no twin in Keras here")
    # Keras counts what is kept of the old mean, torch what is taken of the new.
    return [kl.BatchNormalization(-1, 1 - module.momentum, module.eps)]


@twin_of.register
def _(module: nn.MaxPool2d, shape: Shape) -> list:
    plain = (module.padding, module.dilation, module.ceil_mode) == (0, 1, False)
    if not plain or module.stride != module.kernel_size:
        raise TypeError(f"{module} has no twin in Keras here")
    return [kl.MaxPooling2D(module.kernel_size, data_format=LAST)]


@twin_of.register
def _(module: nn.ZeroPad2d, shape: Shape) -> list:
    left, right, top, bottom = module.padding
    return [kl.ZeroPadding2D(((top, bottom), (left, right)), LAST)]


@twin_of.register
def _(module: nn.AdaptiveAvgPool2d, shape: Shape) -> list:
    return [kl.AdaptiveAveragePooling2D(module.output_size, LAST)]


@twin_of.register
def _(module: nn.ReLU, shape: Shape) -> list:
    return [kl.ReLU()]


@twin_of.register
def _(module: nn.Tanh, shape: Shape) -> list:
    return [kl.Activation("tanh")]


@twin_of.register
def _(module: nn.Dropout, shape: Shape) -> list:
    return [kl.Dropout(module.p)]


@twin_of.register
def _(module: nn.Dropout2d, shape: Shape) -> list:
    return [kl.SpatialDropout2D(module.p, LAST)]


@twin_of.register
def _(module: nn.Flatten, shape: Shape) -> list:
    return [kl.Flatten(LAST)]


@twin_of.register
def _(module: Normalise, shape: Shape) -> list:
    return [kl.Rescaling(1 / module.sd, -module.mean / module.sd)]


@twin_of.register
def _(module: Subsample, shape: Shape) -> list:
    odd = tuple((0, n % 2) for n in shape[1:3])
    cut = [kl.Cropping2D(odd, LAST)] if any(b for _, b in odd) else []
    return [*cut, kl.MaxPooling2D(1, 2, data_format=LAST)]


@twin_of.register
def _(module: HighestRow, shape: Shape) -> list:
    return [layers.HighestRow()]


@twin_of.register
def _(module: SpatialTransformer, shape: Shape) -> list:
    if type(module) is not SpatialTransformer:
        raise TypeError(f"{type(module).__name__} has no twin in Keras here")
    after = [type(layer) for layer in module.head[1:]]
    if after not in ([], [nn.Tanh]):
        raise TypeError(f"a head that ends in {after} has no twin in Keras here")
    body = sequential(shape, chain(module.body, shape))
    if module.antialias:
        raise TypeError("a transformer with antialias=True has no twin in Keras here")
    raw = module.head[0]
    if raw.bias is None:
        raise TypeError("a head without a bias has no twin in Keras here")
    starts = torch.equal(raw.bias.detach().cpu(), module.transform.identity())
    options = {"size": module.size, "padding": module.padding, "pool": module.pool}
    options |= {"down": module.down, "identity_start": starts and not raw.weight.any().item()}
    return [
        layers.SpatialTransformer(
            body, module.transform, activation="tanh" if after else None, **options
        )
    ]


@twin_of.register
def _(module: ParallelTransformers, shape: Shape) -> list:
    return [layers.ParallelTransformers([twin_of(each, shape)[0] for each in module.transformers])]


@twin_of.register
def _(module: FFNSPN, shape: Shape) -> list:
    front = twin_of(module.transformer, shape)
    seen = tuple(front[0].compute_output_shape(shape))
    rows = kl.Reshape((module.digits, module.classes))
    return [*front, *chain(module.reader, seen), rows]
