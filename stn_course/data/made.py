"""A distorted set as a file, for whoever learns from it elsewhere."""

import os
from pathlib import Path

import numpy as np

from stn_course.data.digits import mnist, source
from stn_course.data.recipes import frozen


def write_set(name: str, path: Path, split: str = "train", seed: int = 0) -> dict[str, tuple]:
    """Draw the recipe ``name`` once over the digits of ``split``; write them to ``path``, an npz.

    It holds ``images`` uint8 [N, C, H, W], ``labels``, what the recipe knows of the motion
    (``theta``, ...) and ``digits``, what they were made from.  Returns the shapes.  Raises
    ValueError for an unknown recipe or split and for a path that does not end in .npz.
    """
    if Path(path).suffix != ".npz":
        raise ValueError(f"path={str(path)!r}; wanted a name that ends in .npz")
    digits = mnist(split)
    made, labels = frozen(name, digits.images, digits.labels, seed)
    arrays = {key: value.numpy() for key, value in vars(made).items()} | {"labels": labels.numpy()}
    partial = Path(path).with_suffix(".partial.npz")
    np.savez_compressed(partial, **arrays, digits=source())
    os.replace(partial, path)
    return {key: value.shape for key, value in arrays.items()}
