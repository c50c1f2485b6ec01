"""Networks for a page: what a record's network learned, in a quarter to half of its bytes.

`export(NAME)` makes plain JSON of it, which names its record; static/networks.js runs it in the
page. Large dense layers are stored as int8 with a scale a row, the rest as float16.
"""

import base64
import copy
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from stn_course import geometry
from stn_course.experiments import records, runner
from stn_course.experiments.catalogue import find
from stn_course.files import write_atomically
from stn_course.models.layers import CellMeans, Normalise
from stn_course.models.transformers import SpatialTransformer

# Beside the module that runs them: a page has one folder for all that it loads.
FOLDER = Path(__file__).resolve().parents[1] / "lessons" / "static" / "networks"
LARGE = 10_000  # numbers from which on a dense layer is stored as int8
FIRST_PAGE = ("page-fc", "page-cnn", "page-cnn-pose", "page-stn")


# ---------------------------------------------------------------- numbers as text
def packed(values: Tensor, whole: bool = False) -> dict:
    """`values` as `dtype`, `shape` and base64 `data`; `whole`: int8 with a `scale` a row."""
    array = values.detach().cpu().float().numpy()
    if not np.isfinite(array).all():
        raise ValueError("values has numbers that are not finite; wanted finite weights")
    found = {"dtype": "int8" if whole else "float16", "shape": list(array.shape)}
    if whole:
        largest = np.abs(array).max(axis=tuple(range(1, array.ndim)))
        scale = (np.where(largest > 0, largest, 1) / 127).astype("<f4")  # [rows]
        rows = scale.reshape(-1, *[1] * (array.ndim - 1))
        found["scale"] = _text(scale)
        array = np.rint(array / rows).clip(-127, 127).astype("i1")
    else:
        if np.abs(array).max(initial=0) > 65_504:
            raise ValueError("values has numbers beyond 65 504; wanted what float16 holds")
        array = array.astype("<f2")
    return found | {"data": _text(array)}


def unpacked(stored: dict) -> Tensor:
    """The float32 numbers that `packed` stored."""
    kind = {"int8": "i1", "float16": "<f2"}[stored["dtype"]]
    values = _numbers(stored["data"], kind).astype("f4").reshape(stored["shape"])
    if "scale" in stored:
        values *= _numbers(stored["scale"], "<f4").reshape(-1, *[1] * (values.ndim - 1))
    return torch.from_numpy(values)


def _text(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _numbers(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def _is_large(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) and layer.weight.numel() >= LARGE


# ---------------------------------------------------------------- layers as data
def layers(module: nn.Module) -> Iterator[dict]:
    """What `module` does in eval mode, a dict a layer. ValueError for a layer no page knows."""
    if isinstance(module, nn.Sequential):
        for each in module:
            yield from layers(each)
    elif isinstance(module, SpatialTransformer):
        yield _transformer(module)
    elif isinstance(module, nn.Linear):
        yield {"kind": "dense", **_learned(module)}
    elif isinstance(module, nn.Conv2d):
        yield _convolution(module)
    elif isinstance(module, nn.BatchNorm2d):
        scale = module.weight / (module.running_var + module.eps).sqrt()
        shift = module.bias - module.running_mean * scale
        yield {"kind": "channels", "scale": scale.tolist(), "shift": shift.tolist()}
    elif isinstance(module, Normalise):
        yield {"kind": "channels", "scale": [1 / module.sd], "shift": [-module.mean / module.sd]}
    elif isinstance(module, nn.MaxPool2d) and (module.kernel_size, module.stride) == (2, 2):
        yield {"kind": "pool"}
    elif isinstance(module, CellMeans) and isinstance(module.output_size, int):
        yield {"kind": "cells", "count": module.output_size}
    elif isinstance(module, nn.ReLU | nn.Tanh | nn.Flatten):
        yield {"kind": type(module).__name__.lower()}
    elif not isinstance(module, nn.Dropout | nn.Dropout2d | nn.Identity):
        raise ValueError(
            f"{module} is a layer that the page does not know; wanted dense, convolution, 2x2 "
            "pooling, cell means, batch norm, ReLU, tanh and affine transformers"
        )


def _learned(layer: nn.Linear | nn.Conv2d) -> dict:
    bias = torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias
    return {"weight": packed(layer.weight, _is_large(layer)), "bias": packed(bias)}


def _convolution(layer: nn.Conv2d) -> dict:
    same = [len(set(pair)) == 1 for pair in (layer.stride, layer.padding)]
    if not all(same) or layer.groups != 1 or set(layer.dilation) != {1}:
        told = f"{layer} is a convolution that the page does not know; wanted a plain one"
        raise ValueError(told)
    return {
        "kind": "conv",
        "stride": layer.stride[0],
        "padding": layer.padding[0],
        **_learned(layer),
    }


def _transformer(module: SpatialTransformer) -> dict:
    known = isinstance(module.transform, geometry.Affine) and module.transform.bound is None
    if not known or module.pool or module.down != 1 or module.padding != "background":
        raise ValueError(
            f"the transformer ({module.extra_repr()}, padding={module.padding}) is not known to "
            "the page; wanted an unbounded affine one that pads with the background"
        )
    inside = [*layers(module.body), *layers(module.head)]
    return {"kind": "transformer", "size": module.size, "layers": inside}


def rounded(model: nn.Module) -> nn.Module:
    """A copy of `model` with the weights as the page has them."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.weight.copy_(unpacked(packed(layer.weight, _is_large(layer))))
                if layer.bias is not None:
                    layer.bias.copy_(unpacked(packed(layer.bias)))
    return model


# ---------------------------------------------------------------- a record's network
def export(name: str, seed: int = 0) -> dict:
    """The network of the record `name`/`seed` as plain data.

    Raises what `runner.trained` raises, and ValueError for a layer or a shape that no page knows.
    """
    channels, *size = find(name).config.shape
    if channels != 1:
        raise ValueError(f"{name} reads {channels} channels; wanted a network of grey pictures")
    record = next((r for r in records.load(name) if r.seed == seed), None)
    model = runner.trained(name, seed)
    return {
        "record": f"{name}/{seed}",
        "sha256": record.hashes["weights"],  # of what was learned, before it was rounded
        "size": size,
        "layers": list(layers(model)),
    }


def write(folder: Path, names: tuple[str, ...] = FIRST_PAGE) -> dict[str, int]:
    """Write `NAME.json` of each network into `folder`; returns their bytes."""
    sizes, folder = {}, Path(folder)
    for name in names:
        text = json.dumps(export(name), separators=(",", ":")) + "\n"
        folder.mkdir(exist_ok=True)
        write_atomically(folder / f"{name}.json", text.encode())
        sizes[f"{name}.json"] = len(text)
    return sizes
