"""The parts of a network by name: found, taken over from another network, frozen.

A part is a module by its dotted path, all modules whose path ends in that name, or one of two that
every network of this course has: `localiser`, its spatial transformers, and `classifier`, the rest.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from stn_course.models.transformers import SpatialTransformer

LOCALISER, CLASSIFIER = "localiser", "classifier"


def paths_of(model: nn.Module, names: Sequence[str], argument: str) -> list[str]:
    """The dotted paths of the modules that `names` mean; errors speak of `argument`.

    Raises TypeError for one word in place of a list, ValueError for a name that `model` lacks.
    """
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{argument}={names!r}; wanted a list of names, as [{LOCALISER!r}]")
    known = [path for path, module in model.named_modules() if path and _has_tensors(module)]
    ends: dict[str, list[str]] = {}
    for path, _ in model.named_modules():
        last = path.rpartition(".")[2]
        if last and not last.isdecimal():  # a number says where it stands, not what it is
            ends.setdefault(last, []).append(path)
    for name, paths in ((LOCALISER, _localisers(model)), (CLASSIFIER, _rest(model))):
        if any(_has_tensors(model.get_submodule(path)) for path in paths):
            ends.setdefault(name, paths)
    found = {}
    for name in names:
        own = [name] if name in known else ends.get(name)
        if not own:
            raise ValueError(f"{argument} has {name!r}; wanted {', '.join([*ends, *known])}")
        found |= dict.fromkeys(own)
    return list(found)


def _has_tensors(module: nn.Module) -> bool:
    return bool(module.state_dict())


def _localisers(model: nn.Module) -> list[str]:
    return [p for p, module in model.named_modules() if isinstance(module, SpatialTransformer)]


def _rest(model: nn.Module, at: str = "") -> list[str]:
    """The largest modules that neither are nor hold a spatial transformer."""
    found = []
    for path, child in model.named_children():
        path = f"{at}.{path}" if at else path
        if not any(isinstance(module, SpatialTransformer) for module in child.modules()):
            found.append(path)
        elif not isinstance(child, SpatialTransformer):
            found += _rest(child, path)
    return found


def tensors_of(model: nn.Module, paths: Sequence[str]) -> list[str]:
    """The names, as in `state_dict`, of the parameters and buffers below `paths`."""
    names = list(model.state_dict())
    wanted = {name for path in paths for name in _below(names, path)}
    return [name for name in names if name in wanted]


def take_over(model: nn.Module, weights: Mapping[str, Tensor], only: Sequence[str] = ()) -> list:
    """Copy `weights` into `model`, those of the parts `only` or all; the names of what was copied.

    ValueError for what is missing on one of the two sides or has another shape: none is passed
    over. With `only` the rest of either network does not matter.
    """
    ours = model.state_dict()
    wanted = tensors_of(model, paths_of(model, only, "only")) if only else list(ours)
    wrong = [f"{name} is missing there" for name in wanted if name not in weights]
    wrong += [
        f"{name} is {list(weights[name].shape)} there and {list(ours[name].shape)} here"
        for name in wanted
        if name in weights and weights[name].shape != ours[name].shape
    ]
    if not only:
        wrong += [f"{name} is missing here" for name in weights if name not in ours]
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(
            f"start_from does not fit this network: {'; '.join(wrong[:3])}{more}; `only` names the "
            "parts to take over"
        )
    with torch.no_grad():
        for name in wanted:
            ours[name].copy_(weights[name])
    return wanted


def freeze(model: nn.Module, paths: Sequence[str]) -> None:
    """Let the parameters below `paths` be none that learn. ValueError where none is left."""
    for path in paths:
        model.get_submodule(path).requires_grad_(False)
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(f"freeze has {', '.join(paths)}: nothing is left that learns")


def train_but(model: nn.Module, frozen: Sequence[str]) -> None:
    """`model` in training mode and what is below `frozen` in eval mode: its buffers stay, too."""
    model.train()
    for path in frozen:
        model.get_submodule(path).eval()


def covering(model: nn.Module, names: Iterable[str]) -> list[str]:
    """The fewest paths that say which tensors `names` are: modules, or tensors of their own."""
    every, wanted, found = list(model.state_dict()), set(names), []
    for name in every:
        if name not in wanted or name.startswith(tuple(f"{path}." for path in found)):
            continue
        pieces = name.split(".")
        paths = (".".join(pieces[: k + 1]) for k in range(len(pieces)))  # from the top
        found.append(next(p for p in paths if wanted.issuperset(_below(every, p))))
    return found


def _below(names: Iterable[str], path: str) -> list[str]:
    return [name for name in names if f"{name}.".startswith(f"{path}.")]
