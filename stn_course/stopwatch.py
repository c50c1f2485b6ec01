"""A fair clock: several ways timed in turns, the median of each."""

import statistics
import time
from collections.abc import Callable

import torch


def race(
    calls: dict[str, Callable[[], object]], rounds: int = 9, seconds: float = 0.01
) -> dict[str, float]:
    """Median seconds of one call of each, timed in turns, forwards and backwards.

    One measurement repeats its call until about ``seconds`` have passed. On a GPU the clock waits
    for the device. Raises ValueError for no calls or fewer than one round.
    """
    if not calls or rounds < 1:
        raise ValueError(f"wanted calls and at least 1 round, got {len(calls)} and {rounds}")
    times, taken = {}, {name: [] for name in calls}
    for name, call in calls.items():
        call()
        times[name] = max(1, round(seconds / max(_timed(call, 1), 1e-7)))
    for turn in range(rounds):
        for name in list(calls)[:: 1 if turn % 2 else -1]:
            taken[name].append(_timed(calls[name], times[name]))
    return {name: statistics.median(values) for name, values in taken.items()}


def _timed(call: Callable[[], object], times: int) -> float:
    _wait()
    start = time.perf_counter()
    for _ in range(times):
        call()
    _wait()
    return (time.perf_counter() - start) / times


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def length(seconds: float | None) -> str:
    """Seconds in words, three digits."""
    if seconds is None:
        return "?"
    for unit, factor in (("min", 60), ("s", 1), ("ms", 1e-3)):
        if seconds >= factor * (2 if unit == "min" else 1):
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"
