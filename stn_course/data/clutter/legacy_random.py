"""Many scalar draws of NumPy's legacy generator at once, number for number.

Published sets were made by calls such as `RandomState(1234).randint(n)`, one number at a time;
millions of such calls are slow in Python. Each call takes 32-bit words of the Mersenne Twister
until one, masked to the bits of n - 1, is below n. That is all there is to emulate: the words come
in bulk, and a table says from any position where the next accepted word for n is.
"""

from collections.abc import Sequence

import numpy as np

_CHUNK = 8192  # rows at a time: the tables stay in the processor's cache


class LegacyDraws:
    """The stream of `numpy.random.RandomState(seed)`."""

    def __init__(self, seed: int):
        self._state = np.random.RandomState(seed)
        self._words = np.empty(0, np.uint32)  # taken from the generator, not used yet

    def rows(self, bounds: Sequence[int], count: int) -> np.ndarray:
        """`[[randint(n) for n in bounds] for _ in range(count)]` as int64 [count, len(bounds)].

        Raises ValueError for a bound outside 1 .. 2**32 - 1.
        """
        for n in bounds:
            if not 1 <= n < 2**32:
                raise ValueError(f"bounds holds {n}; 1 to 2**32 - 1 is wanted")
        parts = [np.empty((0, len(bounds)), np.int64)]
        done = 0
        while done < count:
            parts.append(self._chunk(bounds, min(count - done, _CHUNK)))
            done += len(parts[-1])
        return np.concatenate(parts)

    def _chunk(self, bounds: Sequence[int], count: int) -> np.ndarray:
        """At most `count` rows, at least as many as the words at hand give."""
        masks = {n: (1 << (n - 1).bit_length()) - 1 for n in bounds if n > 1}
        expected = sum((masks[n] + 1) / n for n in bounds if n > 1)  # words a row
        lacking = int(1.02 * count * expected) + 64 * len(bounds) - len(self._words)
        if lacking > 0:
            more = self._state.randint(0, 2**32, size=lacking, dtype=np.uint32)
            self._words = np.concatenate([self._words, more])
        words = self._words
        end = len(words)

        # after[n][i]: one past the first word from position i on that is accepted for n.
        # end + 1 stands for "ran out of words" and leads to itself.
        here = np.arange(1, end + 1)
        after = {}
        for n, mask in masks.items():
            accepted = np.where((words & np.uint32(mask)) < n, here, end + 1)
            nearest = np.minimum.accumulate(accepted[::-1])[::-1]
            after[n] = np.concatenate([nearest, [end + 1, end + 1]])

        row_end = np.arange(end + 2)
        for n in bounds:
            if n > 1:  # randint(1) takes no word
                row_end = after[n][row_end]
        hop, at, starts = row_end.tolist(), 0, []
        while len(starts) < count and hop[at] <= end:
            starts.append(at)
            at = hop[at]

        rows = np.zeros((len(starts), len(bounds)), np.int64)
        position = np.array(starts, np.int64)
        for column, n in enumerate(bounds):
            if n > 1:
                position = after[n][position]
                rows[:, column] = words[position - 1] & np.uint32(masks[n])
        self._words = words[at:]
        return rows
