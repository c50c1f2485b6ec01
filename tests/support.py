"""What several tests share. `pythonpath` in pyproject.toml makes the tools importable."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


def rejection(key: str, answer) -> str:
    """What `checking.check` says of a wrong `answer`; AssertionError if it takes it."""
    from stn_course.lessons.checking import WrongAnswer, check

    try:
        check(key, answer)
    except WrongAnswer as said:
        return str(said)
    raise AssertionError(f"exercise {key} took a wrong answer")


def bar(size=(40, 100), high=20, wide=4, dtype=torch.float32) -> torch.Tensor:
    """A bar of ones in the middle of nothing.  # [1, 1, H, W]"""
    image = torch.zeros(1, 1, *size, dtype=dtype)
    top, left = (size[0] - high) // 2, (size[1] - wide) // 2
    image[:, :, top : top + high, left : left + wide] = 1
    return image


def sides(image) -> tuple[int, int]:
    """How many rows and columns of a picture [..., H, W] have ink; the ink must be whole."""
    ink = torch.as_tensor(image).flatten(0, -3)[0] > 0.5
    rows, columns = ink.any(1).sum().item(), ink.any(0).sum().item()
    assert ink.sum().item() == rows * columns, "the ink is no upright rectangle"
    return rows, columns


def offline(cache: Path) -> dict[str, str]:
    """An environment without network or data files, its cache in `cache`: the sample."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("STN_COURSE_")}
    return {**kept, "STN_COURSE_OFFLINE": "1", "STN_COURSE_CACHE": str(cache)}


def first_digits(n: int):
    """`data.mnist` with `n` digits a split, for tests in which it does not matter how many."""
    from stn_course import data

    whole = data.mnist

    def few(split):
        digits = whole(split)
        return data.Digits(digits.images[:n], digits.labels[:n], digits.source)

    return few


def few_rows(name: str, split: str):
    """40 rows in place of the published ones, which take seconds to make."""
    from stn_course import data

    digits = data.mnist(split)
    made, labels = data.freeze(name, digits.images[:40], digits.labels[:40], seed=0)
    return data.Digits(made.images, labels, digits.source)


def events(folder):
    """The events in `folder`, read by the format's own description."""
    from tensorboard.compat.proto.event_pb2 import Event

    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack_from("<Q", data)
            yield Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def texts(ax) -> list[str]:
    """What is written in a plot, apart from its axes."""
    return [t.get_text() for t in ax.texts]


def uniform(values, low, high):
    """Extremes, mean and standard deviation of U(low, high), within what 20 000 draws give."""
    values, width = np.asarray(values), high - low
    assert low - 1e-4 <= values.min() <= low + 0.01 * width
    assert high - 0.01 * width <= values.max() <= high + 1e-4
    assert values.mean() == pytest.approx((low + high) / 2, abs=0.01 * width)
    assert values.std() == pytest.approx(width / 12**0.5, rel=0.02)
