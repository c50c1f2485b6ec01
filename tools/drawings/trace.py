"""What a network does to an image, step by step: one forward pass, every layer overheard."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch

import torch
from torch import nn

from stn_course.models import CoordConv2d, SpatialTransformer, count_parameters

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One call of one layer: its name in the network, and the shapes without the batch."""

    name: str
    module: nn.Module
    came: Shape
    went: Shape

    @property
    def weighted(self) -> bool:
        return bool(self.module._parameters)


@dataclass(frozen=True)
class Stage:
    """A layer with weights and what follows it up to the next one: one box of a drawing.

    `words` say what is done, a phrase a layer; `flat` is how many numbers a flattened map
    gave it (0: none was flattened); `names` are those of the layers in the network.
    """

    words: tuple[str, ...]
    shape: Shape
    parameters: int
    names: tuple[str, ...]
    flat: int = 0
    coords: bool = False


@torch.no_grad()
def trace(model: nn.Module, channels: int, size: tuple[int, int]) -> list[Step]:
    """The steps of `model` on one blank image [1, C, H, W], in the order of their calls.

    A spatial transformer is a step of its own, after those of its localiser: what it hands on.
    Raises ValueError if a trainable number belongs to none of the steps: it could change unseen.
    """
    steps: list[Step] = []
    hooks = [
        module.register_forward_hook(_overhear(name, steps))
        for name, module in model.named_modules()
        if isinstance(module, SpatialTransformer) or not list(module.children())
    ]
    try:
        model.eval()(torch.zeros(1, channels, *size))
    finally:
        for hook in hooks:
            hook.remove()
    seen = {id(step.module): count_own(step.module) for step in steps}
    if sum(seen.values()) != count_parameters(model):
        raise ValueError(
            f"the steps hold {sum(seen.values())} parameters, the network "
            f"{count_parameters(model)}; wanted all of them in a step"
        )
    return steps


def _overhear(name: str, steps: list[Step]) -> Callable:
    def hook(module, inputs, output):
        steps.append(Step(name, module, tuple(inputs[0].shape[1:]), tuple(output.shape[1:])))

    return hook


def count_own(module: nn.Module) -> int:
    """How many trainable numbers are the module's own, without its children's."""
    return sum(p.numel() for p in module._parameters.values() if p is not None)


def split(steps: list[Step]) -> tuple[list[Step], Step, list[Step]]:
    """The localiser's steps, the transformer, the steps after it.

    Raises ValueError unless there is exactly one transformer.
    """
    where = [k for k, step in enumerate(steps) if isinstance(step.module, SpatialTransformer)]
    if len(where) != 1:
        raise ValueError(f"the network has {len(where)} transformers; wanted one")
    return steps[: where[0]], steps[where[0]], steps[where[0] + 1 :]


def stages(steps: list[Step]) -> list[Stage]:
    """`steps` grouped: each group has one layer with weights, which opens it.

    What comes before the first such layer, and padding before any, opens the next group.
    """
    groups: list[list[Step]] = []
    waiting: list[Step] = []
    for step in steps:
        opens = step.weighted and not isinstance(step.module, nn.BatchNorm2d)
        if opens:
            groups.append([*waiting, step])
            waiting = []
        elif not groups or isinstance(step.module, nn.ZeroPad2d | nn.Flatten):
            waiting.append(step)
        else:
            groups[-1].append(step)
    if waiting:
        raise ValueError(f"{waiting[0].name} stands before no layer with weights")
    return [_stage(group) for group in groups]


def _stage(group: list[Step]) -> Stage:
    flat = [s.went[0] for s in group if isinstance(s.module, nn.Flatten) and len(s.came) > 1]
    words = tuple(w for step in group for w in phrase(step.module).split("; ") if w)
    return Stage(
        words=words,
        shape=group[-1].went,
        parameters=sum(count_own(step.module) for step in group),
        names=tuple(step.name for step in group),
        flat=flat[0] if flat else 0,
        coords=any(isinstance(step.module, CoordConv2d) for step in group),
    )


def _sides(n: int | tuple[int, int]) -> str:
    height, width = (n, n) if isinstance(n, int) else n
    return f"{height}×{width}"


@singledispatch
def phrase(module: nn.Module) -> str:
    """What a drawing calls a layer, its lines parted by ";".

    Raises TypeError for one that has no name here yet."""
    raise TypeError(f"{type(module).__name__} has no name in the drawings yet; wanted a phrase")


@phrase.register
def _(module: nn.Conv2d) -> str:
    stride = f"; stride {module.stride[0]}" if module.stride[0] != 1 else ""
    return f"conv {_sides(module.kernel_size)}{stride}"


@phrase.register
def _(module: CoordConv2d) -> str:
    return phrase.dispatch(nn.Conv2d)(module).replace("conv", "CoordConv")


@phrase.register
def _(module: nn.Linear) -> str:
    return f"dense {module.out_features}"


@phrase.register
def _(module: nn.GRUCell) -> str:
    return f"GRU {module.hidden_size}"


@phrase.register
def _(module: nn.MaxPool2d) -> str:
    return f"pool {_sides(module.kernel_size)}"


@phrase.register
def _(module: nn.AdaptiveAvgPool2d) -> str:
    return f"mean {_sides(module.output_size)}"


@phrase.register
def _(module: nn.Dropout) -> str:
    return f"dropout {module.p:g}".replace("0.", ".")


@phrase.register
def _(module: nn.Dropout2d) -> str:
    return f"dropout {module.p:g}".replace("0.", ".")


@phrase.register(nn.BatchNorm2d)
def _(module) -> str:
    return "batch norm"


@phrase.register(nn.ReLU)
def _(module) -> str:
    return "ReLU"


@phrase.register(nn.Tanh)
def _(module) -> str:
    return "tanh"


@phrase.register(nn.ZeroPad2d)
def _(module) -> str:
    return "padded"


@phrase.register(nn.Flatten)
def _(module) -> str:
    return ""  # the stage says how many numbers there are


def sides(shape: Shape) -> str:
    """A shape in words: `16×20×20` of a map, `48` of a vector."""
    return "×".join(map(str, shape))


def said(stages: list[Stage]) -> str:
    """Each stage in words, with its shape."""
    return "; ".join(f"{', '.join(stage.words)}: {sides(stage.shape)}" for stage in stages)


def thousands(n: int) -> str:
    """`1 234 567`, with spaces that do not break."""
    return f"{n:,}".replace(",", "\u202f")
