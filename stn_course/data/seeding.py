"""The random streams of a run: each has a seed of its own, made of a purpose and a key."""

import numpy as np


def stream(*key: int) -> int:
    """A 63-bit seed for the random stream called `key`; near keys give unrelated streams."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


INIT, ORDER, STEP, FREEZE, TEST, SPLIT, WORDS = range(7)  # purposes, always the first part of a key
