"""Saying things once."""

import warnings

import torch

_SAID: set[str] = set()


def say_once(reason: str) -> None:
    """Warn that the fast warp was not taken and why; each reason once in a process."""
    if reason in _SAID or torch.compiler.is_compiling():
        return
    _SAID.add(reason)
    warnings.warn(f"fused.warp fell back to sampler.warp: {reason}", stacklevel=3)
