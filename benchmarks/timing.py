"""Two ways to the same result, timed in turns: which is faster, by how much, how surely.

Each round runs the peer, ours, and the peer again, in an order that changes from round to round.
A round gives one ratio; what is reported is their median with its 95 % interval (from ranks, so
nothing is assumed about the noise). The peer against itself must come out within 3 % of 1, or the
measurement is void and made again; the third is kept as it is. Whether the two agree is checked
before anything is timed.
"""

import math
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from stn_course.experiments.speed import Speed, machine
from stn_course.training.record import current_commit

CONTROL = 0.03
ATTEMPTS = 3  # measurements, while the control says that the machine is not quiet


def line(speed: Speed) -> str:
    """One line of the table, for people."""
    head = f"{speed.target:>2} {speed.name}: "
    if speed.verdict == "not measured":
        return f"{head}not measured: {speed.why}"
    if speed.ratio is None:
        span = "" if speed.low is None else f" ({_time(speed.low)} to {_time(speed.high)})"
        return f"{head}{_time(speed.ours)}{span}, wanted {_time(speed.wanted)}: {speed.verdict}"
    control = "" if speed.control is None else f", peer/peer {speed.control:.3f}"
    error = "" if speed.error is None else f", agree to {speed.error:.0e}"
    return (
        f"{head}{speed.ratio:.2f}x ({speed.low:.2f} to {speed.high:.2f}) of {speed.peer_name}, "
        f"wanted {speed.wanted:g}x: {speed.verdict}; ours {_time(speed.ours)}, peer "
        f"{_time(speed.peer)}{control}{error}"
    )


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def here(gpu: bool = False) -> dict:
    """What every record of speed says of the machine and the code."""
    return {
        "device": machine(gpu),
        "threads": torch.get_num_threads(),
        "commit": current_commit(),
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
    }


def seconds(target: int, name: str, wanted: float, values: list[float], gpu=False, **more) -> Speed:
    """A time without a peer: the median of `values` and its interval, at most `wanted`."""
    middle, low, high = median_interval(values)
    verdict = "met" if high <= wanted else "missed"
    spread = {"low": low, "high": high} if len(values) > 1 else {}
    found = {"ours": middle, "verdict": verdict, **spread, **here(gpu), **more}
    return Speed(target, name, wanted=wanted, **found)


def absent(target: int, name: str, wanted: float, why: str, gpu: bool = False) -> Speed:
    """A line that could not be measured, and why."""
    return Speed(target, name, wanted=wanted, verdict="not measured", why=why, **here(gpu))


def median_interval(values: list[float]) -> tuple[float, float, float]:
    """The median and its 95 % interval, by ranks (a sign test turned round)."""
    ordered, n = sorted(values), len(values)
    below, tail = 0, 0.0
    while below < n // 2 and tail + math.comb(n, below) / 2**n <= 0.025:
        tail += math.comb(n, below) / 2**n
        below += 1
    below = max(below - 1, 0)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return middle, ordered[below], ordered[n - 1 - below]


def difference(ours, peer, share: float = 1.0) -> float:
    """Largest difference of two results (tensors, or tuples of them), relative to the peer's
    largest number, among that share of their numbers which agree best."""
    pairs = zip(ours, peer, strict=True) if isinstance(ours, tuple) else [(ours, peer)]
    found = []
    for a, b in pairs:
        errors, scale = (a.detach().double() - b.detach().double()).abs().flatten(), b.abs().max()
        worst = errors.max() if share == 1 else errors.kthvalue(int(share * len(errors))).values
        found.append((worst / scale).item())
    return max(found)


def _measured(function: Callable, times: int, clock: Callable[[], float], wait: bool) -> float:
    """Seconds that one call takes, of so many; `wait`: for the GPU, before and after."""
    if wait:
        torch.cuda.synchronize()
    start = clock()
    for _ in range(times):
        function()
    if wait:
        torch.cuda.synchronize()
    return (clock() - start) / times


def _in_turns(measure: Callable, functions: tuple, rounds: int, seconds: float):
    """Times of the peer, ours and the peer again, round by round, and peer by peer.

    Measured anew while the latter says that the machine is not quiet.
    """
    times = [max(1, round(seconds / max(measure(f, 1), 1e-7))) for f in functions]
    for _ in range(ATTEMPTS):
        taken = [[], [], []]
        for turn in range(rounds):
            for which in (0, 1, 2) if turn % 2 == 0 else (2, 1, 0):
                taken[which].append(measure(functions[which], times[which]))
        control = median_interval([a / b for a, b in zip(taken[0], taken[2], strict=True)])[0]
        if abs(control - 1) <= CONTROL:
            break
    return taken, control


def compare(
    target: int,
    name: str,
    ours: Callable,
    peer: Callable,
    *,
    wanted: float,
    peer_name: str,
    tolerance: float,
    agreement: Callable | None = None,
    share: float = 1.0,
    rounds: int = 31,
    warm: int = 3,
    seconds: float = 0.01,
    device: str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Run both and say which is faster. Raises AssertionError where they do not agree.

    tolerance, share: of the results, as in `difference`; `agreement` gives the error itself
    where the two do not return what could be compared. seconds: what one measurement lasts at
    least, by repeating the call.
    """
    error = agreement() if agreement else difference(ours(), peer(), share)
    assert error <= tolerance, f"{name}: results differ by {error:.1e}, wanted {tolerance:.0e}"

    measure = partial(_measured, clock=clock, wait=device == "cuda")
    for function in (ours, peer):
        measure(function, warm)
    taken, control = _in_turns(measure, (peer, ours, peer), rounds, seconds)
    ratios = [(a + b) / 2 / o for a, o, b in zip(*taken, strict=True)]
    ratio, low, high = median_interval(ratios)
    ours_time, peer_time = (median_interval(taken[i])[0] for i in (1, 0))
    verdict = "met" if low >= wanted else "missed"
    void = abs(control - 1) > CONTROL
    return Speed(
        target,
        name,
        wanted=wanted,
        verdict="void" if void else verdict,
        why="the peer against itself is off by more than 3 %: not a quiet machine" if void else "",
        ours=ours_time,
        peer=peer_time,
        peer_name=peer_name,
        ratio=ratio,
        low=low,
        high=high,
        control=control,
        error=error,
        **here(device == "cuda"),
    )
