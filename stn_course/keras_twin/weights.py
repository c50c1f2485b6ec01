"""Weights between a torch network and its Keras twin, in either direction.

Three things differ. A convolution's kernel is [out, in, h, w] in torch and [h, w, in, out] in
Keras. A dense kernel is transposed. And where a map was flattened on the way to a dense layer,
torch counts its numbers channel by channel and Keras pixel by pixel: that layer's inputs have to
be put into the other order, or everything has the right shape and nothing is right.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from stn_course.keras_twin.layers import ParallelTransformers, SpatialTransformer
from stn_course.keras_twin.sampling import keras
from stn_course.keras_twin.settings import check_layout

kl = keras.layers


def flatten_order(shape: tuple[int, ...]) -> np.ndarray:
    """Where in torch's flattened map each number of Keras's stands. # int [h*w*C]

    shape: of the map in Keras's order, (h, w, C) or (w, C), without the batch:
    `keras_flat == torch_flat[flatten_order(shape)]`.
    """
    *places, channels = shape
    torch_index = np.arange(int(np.prod(shape))).reshape(channels, *places)
    return np.moveaxis(torch_index, 0, -1).ravel()


@dataclass(frozen=True)
class Pair:
    """One array that both have: torch's tensor, Keras's variable, and the way between them."""

    name: str
    tensor: Tensor
    variable: keras.Variable
    to_keras: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]


def _same(array: np.ndarray) -> np.ndarray:
    return array


def weighted_modules(module: nn.Module) -> Iterator[nn.Module]:
    """The layers of a torch network that have weights, in the order in which they work."""
    if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
        yield module
    elif module._parameters:
        raise TypeError(f"{type(module).__name__} has no twin in Keras here")
    else:
        for child in module.children():
            yield from weighted_modules(child)


def weighted_layers(layer, shape: tuple) -> Iterator[tuple[keras.layers.Layer, tuple | None]]:
    """The layers of a Keras chain that have weights, in order.

    With each comes the shape (h, w, C) of the map that was flattened on the way from the layer
    before, or None. `shape`: what `layer` gets, with its batch.
    """
    flat = None

    def walk(layer, shape):
        nonlocal flat
        if isinstance(layer, SpatialTransformer):
            features = yield from walk(layer.localiser, shape)
            yield from walk(layer.head, features)
        elif isinstance(layer, ParallelTransformers):
            for each in layer.transformers:
                yield from walk(each, shape)
        elif hasattr(layer, "layers"):
            for each in layer.layers:
                shape = yield from walk(each, shape)
            return shape
        elif isinstance(layer, kl.Flatten):
            flat = shape[1:]
        elif layer.weights:
            yield layer, flat
            flat = None
        return tuple(layer.compute_output_shape(shape))

    yield from walk(layer, shape)


def pairs(model: nn.Module, twin: keras.Model) -> list[Pair]:
    """Every array of `model` beside its counterpart in `twin`.

    Raises ValueError where the two have not the same layers of the same sizes, and for a twin that
    counts its channels first: behind a flatten its numbers would be taken for others.
    """
    check_layout(twin)
    theirs = list(weighted_layers(twin, tuple(twin.input_shape)))
    modules, found = list(weighted_modules(model)), []
    if len(modules) != len(theirs):
        raise ValueError(f"model has {len(modules)} layers with weights, twin has {len(theirs)}")
    for k, (module, (layer, flat)) in enumerate(zip(modules, theirs, strict=True), 1):
        where = f"layer {k}: {type(module).__name__} and {type(layer).__name__}"
        for pair in _of_layer(where, module, layer, flat):
            wanted = pair.to_keras(_array(pair.tensor)).shape
            if tuple(pair.variable.shape) != wanted:
                got = list(pair.variable.shape)
                raise ValueError(f"{where} do not match: {pair.name} is {got}, not {list(wanted)}")
            found.append(pair)
    return found


def _of_layer(where: str, module: nn.Module, layer, flat) -> Iterator[Pair]:
    if isinstance(module, nn.BatchNorm2d) and isinstance(layer, kl.BatchNormalization):
        yield Pair("gamma", module.weight, layer.gamma, _same, _same)
        yield Pair("beta", module.bias, layer.beta, _same, _same)
        yield Pair("mean", module.running_mean, layer.moving_mean, _same, _same)
        yield Pair("variance", module.running_var, layer.moving_variance, _same, _same)
        return
    if isinstance(module, nn.Conv2d) and isinstance(layer, kl.Conv2D):
        ways = (lambda w: w.transpose(2, 3, 1, 0), lambda k: k.transpose(3, 2, 0, 1))
    elif isinstance(module, nn.Linear) and isinstance(layer, kl.Dense):
        order = np.arange(module.in_features) if flat is None else flatten_order(flat)
        if len(order) != module.in_features:
            raise ValueError(f"{where} do not match: {module.in_features} inputs, not {len(order)}")
        ways = (lambda w: w.T[order], lambda k: k[np.argsort(order)].T)
    else:
        raise ValueError(f"{where} do not match")
    if (module.bias is not None) != layer.use_bias:
        raise ValueError(f"{where} do not match: one of them has a bias")
    yield Pair("kernel", module.weight, layer.kernel, *ways)
    if module.bias is not None:
        yield Pair("bias", module.bias, layer.bias, _same, _same)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


@torch.no_grad()
def copy_weights(model: nn.Module, twin: keras.Model, to_torch: bool) -> None:
    """Copy every array from one to the other; ValueError where they do not match."""
    for pair in pairs(model, twin):
        if to_torch:
            values = np.ascontiguousarray(pair.to_torch(pair.variable.numpy()))
            pair.tensor.copy_(torch.from_numpy(values))
        else:
            pair.variable.assign(pair.to_keras(_array(pair.tensor)))
