"""What Keras takes from the user's keras.json where nobody says otherwise: here it is said.

The twin is what torch's network is, on every machine: channels last, the weights' type.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from stn_course.keras_twin.sampling import keras

LAST = "channels_last"


def check_layout(layer) -> None:
    """ValueError where a layer, or one inside it, counts its channels first."""
    for each in layer._flatten_layers():  # those too that a layer of one's own keeps as attributes
        if getattr(each, "data_format", LAST) != LAST:
            raise ValueError(
                f"layer {each.name!r} has data_format={each.data_format!r}; wanted {LAST!r}, as "
                "all of the twin has (keras.json may say otherwise: name it where it is made)"
            )


def policy_for(model: nn.Module):
    """The types in which the twin of `model` keeps its weights and computes.

    The policy that is set where that keeps weights in the model's own type (so mixed precision
    may be chosen), else that type. Raises ValueError where Keras would round the images.
    """
    types = [p.dtype for p in model.parameters() if p.is_floating_point()] or [torch.float32]
    own, chosen = str(types[0]).removeprefix("torch."), keras.config.dtype_policy()
    if keras.config.floatx() == "float16" != own:
        raise ValueError(
            f"floatx='float16' (in keras.json, or set) and weights in {own}: predict and fit would "
            "round the images; wanted keras.config.set_floatx('float32')"
        )
    return chosen if chosen.variable_dtype == own else own


@contextmanager
def settled(policy="float32", floatx: str | None = None) -> Iterator[None]:
    """Within, new layers have `policy`, and losses and metrics `floatx`; then all is as before."""
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy(policy)
    keras.config.set_floatx(floatx or before[1])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before[0])
        keras.config.set_floatx(before[1])
