"""The optimiser of a configuration and its learning-rate schedule."""

import numpy as np
import torch
from torch import nn

from stn_course.models.transformers import localiser_parameters
from stn_course.training.config import Config


def rate(config: Config, progress: float) -> float:
    """Learning rate at `progress` in [0, 1) of the run."""
    if config.schedule == "linear":
        factor = 1 - progress
    elif config.schedule == "step":
        factor = 0.1 ** int(3 * progress)  # divided by 10 after each third
    elif config.schedule == "cosine":
        factor = 0.5 * (1 + np.cos(np.pi * progress))
    elif config.schedule == "onecycle":
        factor = progress / 0.3 if progress < 0.3 else (1 - progress) / 0.7
        factor = max(float(factor), 1e-2)
    elif config.schedule == "two-phase":
        factor = 1.0 if progress < 0.75 else 0.1  # LJ: 60 epochs, then 20
    elif config.schedule == "late-decay":
        # SK: nothing for 32 epochs, then divided by 1.5 after every 12th.
        epoch = int(progress * config.epochs + 1e-9)  # (step / steps) * epochs is just below it
        factor = 1.5 ** -(max(0, epoch - 20) // 12)
    else:
        factor = 1.0
    return config.lr * float(factor)


def make_optimizer(config: Config, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of `config`; with `lr_localiser` in two groups, each with its `scale`.

    `weight_decay` makes two groups of each, for what has one axis (biases, norms) does not
    decay. What is frozen is in none. Raises ValueError for an `lr_localiser` where there is no
    spatial transformer that learns.
    """
    p, decay = [each for each in model.parameters() if each.requires_grad], config.weight_decay
    if config.lr_localiser is not None:
        theirs = [each for each in localiser_parameters(model) if each.requires_grad]
        if not theirs:
            raise ValueError(
                f"lr_localiser={config.lr_localiser} and model={config.model!r} has no transformer "
                "that learns"
            )
        known = {id(each) for each in theirs}
        ours = [each for each in p if id(each) not in known]
        scale = config.lr_localiser / config.lr
        p = [{"params": ours, "scale": 1.0}, {"params": theirs, "scale": scale}]
    if decay:
        groups = p if isinstance(p[0], dict) else [{"params": p}]
        p = []
        for group in groups:
            kernels = [each for each in group["params"] if each.ndim > 1]
            others = [each for each in group["params"] if each.ndim < 2]
            p += [{**group, "params": kernels}, {**group, "params": others, "weight_decay": 0.0}]
    own = {} if config.epsilon is None else {"eps": config.epsilon}
    if config.optimizer == "sgd":
        fused = next(model.parameters()).is_cuda  # a graph needs it; the CPU's bits stay
        return torch.optim.SGD(p, config.lr, config.momentum, weight_decay=decay, fused=fused)
    if config.optimizer == "rmsprop":
        # Lasagne, with which SK trained, and Keras forget a tenth a step; torch's own is .99.
        own |= {"momentum": config.momentum}
        return torch.optim.RMSprop(p, config.lr, 0.9, weight_decay=decay, **own)
    return torch.optim.Adam(p, config.lr, weight_decay=decay, fused=True, **own)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group, times the group's `scale` where it has one."""
    for group in optimizer.param_groups:
        own = rate * group.get("scale", 1.0)
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(own)  # a graph reads the number from where it always was
        else:
            group["lr"] = own
