"""Two ways to the same result, timed in turns: which is faster, by how much, how surely.

Each round runs the peer, ours, and the peer again, in an order that changes from round to round.
A round gives one ratio; what is reported is their median with its 95 % interval (from ranks, so
nothing is assumed about the noise). The peer against itself must come out within 3 % of 1, or the
measurement is void. Whether the two agree is checked before anything is timed.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

CONTROL = 0.03


@dataclass(frozen=True)
class Result:
    """Seconds are medians of one call each; ratios are the peer's time by ours."""

    name: str
    ours: float
    peer: float
    ratio: float
    low: float
    high: float
    control: float  # the peer's time by the peer's
    error: float  # `difference` of the results
    target: float
    peer_name: str

    @property
    def void(self) -> bool:
        return abs(self.control - 1) > CONTROL

    def line(self) -> str:
        verdict = "met" if self.low >= self.target else "missed"
        if self.void:
            verdict = "VOID: not a quiet machine"
        return (
            f"{self.name}: {self.ratio:.2f}x ({self.low:.2f} to {self.high:.2f}) of "
            f"{self.peer_name}, wanted {self.target:g}x: {verdict}; ours {1e3 * self.ours:.3f} ms, "
            f"peer {1e3 * self.peer:.3f} ms, peer/peer {self.control:.3f}, "
            f"agree to {self.error:.0e}"
        )


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


def compare(
    name: str,
    ours: Callable,
    peer: Callable,
    *,
    target: float,
    peer_name: str,
    tolerance: float,
    share: float = 1.0,
    rounds: int = 31,
    seconds: float = 0.01,
    device: str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> Result:
    """Run both and say which is faster. Raises AssertionError where they do not agree.

    tolerance, share: of the results, as in `difference`. seconds: what one measurement lasts at
    least, by repeating the call.
    """
    error = difference(ours(), peer(), share)
    assert error <= tolerance, f"{name}: results differ by {error:.1e}, wanted {tolerance:.0e}"

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def measure(function: Callable, times: int) -> float:
        wait()
        start = clock()
        for _ in range(times):
            function()
        wait()
        return (clock() - start) / times

    for function in (ours, peer):
        measure(function, 3)
    times = [max(1, round(seconds / max(measure(f, 1), 1e-7))) for f in (peer, ours, peer)]
    taken = [[], [], []]  # peer, ours, peer again
    for turn in range(rounds):
        order = (0, 1, 2) if turn % 2 == 0 else (2, 1, 0)
        for which in order:
            function = ours if which == 1 else peer
            taken[which].append(measure(function, times[which]))
    ratios = [(a + b) / 2 / o for a, o, b in zip(*taken, strict=True)]
    ratio, low, high = median_interval(ratios)
    control = median_interval([a / b for a, b in zip(taken[0], taken[2], strict=True)])[0]
    ours_time, peer_time = (median_interval(taken[i])[0] for i in (1, 0))
    return Result(
        name, ours_time, peer_time, ratio, low, high, control, error, target, peer_name
    )  # fmt: skip
