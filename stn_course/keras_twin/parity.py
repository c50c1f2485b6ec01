"""A torch network and its Keras twin side by side: each layer's output, and dL/dtheta.

Both are walked layer by layer, in eval mode. Maps are compared in torch's order.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from stn_course import models
from stn_course.keras_twin.layers import AddCoords, ParallelTransformers, SpatialTransformer
from stn_course.keras_twin.loading import load_tensorflow
from stn_course.keras_twin.sampling import keras, ops
from stn_course.keras_twin.settings import check_layout
from stn_course.keras_twin.weights import flatten_order
from stn_course.models.losses import as_labels, labels_of
from stn_course.models.sequence import FFNSPN

kl = keras.layers
Steps = list[tuple[str, object]]  # what a layer is called, and what came out of it
HELPERS = (kl.InputLayer, kl.ZeroPadding2D, kl.Cropping2D, AddCoords)  # torch has none of these


@dataclass(frozen=True)
class Row:
    """One layer's outputs in both frameworks: their shape (torch's), how far apart, how large."""

    layer: str
    shape: tuple[int, ...]
    difference: float
    largest: float


def torch_steps(module: nn.Module, x: Tensor, steps: Steps) -> Tensor:
    """What `module` makes of `x`; each layer's output joins `steps`."""
    if isinstance(module, nn.Sequential):
        for child in module:
            x = torch_steps(child, x, steps)
        return x
    if isinstance(module, models.SpatialTransformer):
        features = torch_steps(module.body, x, steps)
        exact = features.to(module.head[0].weight.dtype)
        theta = module.transform.on(module.head(exact), tuple(x.shape[2:]))
        steps.append(("theta", theta))
        x = module.read(x, theta)
    elif isinstance(module, models.ParallelTransformers):
        x = torch.cat([torch_steps(each, x, steps) for each in module.transformers], 1)
    elif isinstance(module, nn.ZeroPad2d):
        return module(x)  # a helper of the convolution after it, as in Keras
    elif isinstance(module, FFNSPN):
        x = torch_steps(module.reader, torch_steps(module.transformer, x, steps), steps)
        x = x.reshape(-1, module.digits, module.classes)
    else:
        x = module(x)
    steps.append((type(module).__name__, x))
    return x


def keras_steps(layer, x, steps: Steps, on_theta: Callable = lambda theta: None):
    """What `layer` makes of `x`; each layer's output, in torch's order, joins `steps`.

    `on_theta` is told every theta before it is used.
    """
    if isinstance(layer, SpatialTransformer):
        features = keras_steps(layer.localiser, x, steps, on_theta)
        theta = layer_theta(layer, features, tuple(x.shape[1:3]))
        on_theta(theta)
        steps.append(("theta", theta))
        x = layer.read(x, theta)
    elif isinstance(layer, ParallelTransformers):
        x = [keras_steps(each, x, steps, on_theta) for each in layer.transformers]
        x = ops.concatenate(x, -1)
    elif hasattr(layer, "layers"):
        for each in layer.layers:
            x = keras_steps(each, x, steps, on_theta)
        return x
    elif isinstance(layer, kl.Flatten):
        back = np.argsort(flatten_order(tuple(x.shape[1:])))
        x = layer(x)
        steps.append((type(layer).__name__, ops.take(x, back, 1)))
        return x
    else:
        x = layer(x, training=False) if layer_has_modes(layer) else layer(x)
    if not isinstance(layer, HELPERS):
        is_map = len(x.shape) > 2 and not isinstance(layer, kl.Reshape)
        steps.append((type(layer).__name__, ops.moveaxis(x, -1, 1) if is_map else x))
    return x


def layer_theta(layer: SpatialTransformer, features, size: tuple[int, int]):
    """The transform that the layer's head makes of `features`, of pictures of `size`."""
    from stn_course.keras_twin.parametrisations import to_theta

    return to_theta(layer.transform, layer.head(features), size)


def layer_has_modes(layer) -> bool:
    return isinstance(layer, kl.Dropout | kl.SpatialDropout2D | kl.BatchNormalization)


def layer_differences(model: nn.Module, twin: keras.Model, images: Tensor) -> list[Row]:
    """Layer by layer, how far the twin's outputs are from the model's on `images` [B, C, h, w].

    Transformers have two rows: theta, and what was read there. Raises ValueError where one has
    more layers than the other, and for a twin that counts its channels first.
    """
    check_layout(twin)
    here, there = [], []
    with torch.no_grad():
        torch_steps(model.eval(), images, here)
    keras_steps(twin, images.permute(0, 2, 3, 1).numpy(), there)
    if len(here) != len(there):
        names = [[name for name, _ in steps] for steps in (here, there)]
        raise ValueError(f"model has the layers {names[0]}, twin {names[1]}")
    rows = []
    for (name, a), (_, b) in zip(here, there, strict=True):
        a, b = a.numpy(), ops.convert_to_numpy(b)
        if a.shape != b.shape:
            raise ValueError(f"{name} gives {a.shape} in torch and {b.shape} in Keras")
        gap = float(np.abs(a - b).max())
        rows.append(Row(name, a.shape[1:], gap, float(np.abs(a).max())))
    return rows


def theta_gradients(
    model: nn.Module, twin: keras.Model, images: Tensor, labels: Tensor
) -> list[tuple[np.ndarray, np.ndarray]]:
    """dL/dtheta of the cross-entropy, (torch's, Keras's), one pair a transformer.

    `images` [B, C, h, w], `labels` [B] or, of rows, [B, D]. TensorFlow only. Raises TypeError or
    ValueError for labels that are none (`losses.as_labels`).
    """
    tf = load_tensorflow()
    here, there = [], []
    logits = torch_steps(model.eval(), images, here)
    thetas = [theta for name, theta in here if name == "theta"]
    labels = as_labels(labels, logits)
    loss = nn.functional.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="sum")
    found = torch.autograd.grad(loss, thetas)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        logits = keras_steps(twin, images.permute(0, 2, 3, 1).numpy(), there, tape.watch)
        losses = keras.losses.sparse_categorical_crossentropy(labels.numpy(), logits, True)
        total = ops.sum(losses)
    twins = tape.gradient(total, [theta for name, theta in there if name == "theta"])
    return [(a.numpy(), b.numpy()) for a, b in zip(found, twins, strict=True)]


def evaluate(twin: keras.Model, images: Tensor, labels: Tensor, batch: int = 500) -> dict:
    """What `accuracy.evaluate` says of a torch network, of a Keras one.

    `images` [N, C, h, w], uint8, or float in [0, 1]; `labels` [N], or [N, D] of rows. The same
    errors.
    """
    labels = labels_of(images, labels)
    scale = 255.0 if images.dtype == torch.uint8 else 1.0
    correct, words, loss = 0, 0, 0.0
    for x, y in zip(images.split(batch), labels.split(batch), strict=True):
        x = np.ascontiguousarray(x.permute(0, 2, 3, 1).float().numpy() / scale, "float32")
        logits = torch.from_numpy(np.array(twin.predict_on_batch(x))).float()
        y = as_labels(y, logits)
        right = (logits.argmax(-1) == y).reshape(len(y), -1)  # [B, 1 or D]
        correct, words = correct + int(right.sum()), words + int(right.all(1).sum())
        flat = logits.flatten(0, -2), y.flatten()
        loss += nn.functional.cross_entropy(*flat, reduction="sum").item()
    found = {"correct": correct, "total": labels.numel(), "loss": loss / len(labels)}
    return found | ({"words": words, "rows": len(labels)} if labels.ndim == 2 else {})
