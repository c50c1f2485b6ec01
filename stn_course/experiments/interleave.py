"""Several training runs on one device, step by step in turns.

A small network leaves most of a GPU idle. Each run has a stream of its own there, and its step is
one replayed graph that the host starts and does not wait for: while one run's kernels are at work
the next run's are started. On the CPU the turns change nothing but the order of the work.
"""

import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import nullcontext

import torch


def interleave(
    runs: Iterable[Callable[[], Generator]], at_once: int, device: torch.device
) -> Iterator[tuple[int, object, str]]:
    """Take each run to its end, `at_once` of them in turns; yields as they end.

    A run is a function that starts a generator (`loop.steps`): the next one starts when a place
    is free. Yields (which, result, trace): of a run that failed the result is None and the trace
    says why; the others go on. Raises ValueError for `at_once` below 1.
    """
    if at_once < 1:
        raise ValueError(f"at_once={at_once}; wanted at least 1")
    waiting, places = enumerate(runs), {}
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        while True:
            while len(places) < at_once and (start := next(waiting, None)) is not None:
                stream = torch.cuda.Stream(device) if device.type == "cuda" else None
                places[start[0]] = (_begin(start[1]), stream)
            if not places:
                return
            for which, (run, stream) in list(places.items()):
                with torch.cuda.stream(stream) if stream else nullcontext():
                    ended = _turn(run)
                if ended is not None:
                    del places[which]
                    yield which, *ended


def _begin(start: Callable[[], Generator]) -> Generator:
    """The run, made at its first turn: what goes wrong in making it is its own failure."""
    return (yield from start())


def _turn(run: Generator) -> tuple[object, str] | None:
    """One step of `run`; (result, trace) if that was its end."""
    try:
        next(run)
    except StopIteration as end:
        return end.value, ""
    except Exception:  # one broken run must not cost the others
        return None, traceback.format_exc()
    return None
