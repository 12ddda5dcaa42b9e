"""What a function costs, however busy the machine is: its CPU time beside that of a fixed loop, the best of tries."""

import time
from collections.abc import Callable

_LOOP_SECONDS = 0.005  # what `_loop` takes on one idle core of a machine of 2026


def _loop() -> int:
    total = 0
    for i in range(75_000):
        total += i * i % 7
    return total


def _cpu_seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def cost(function: Callable[[], object], enough: float, tries: int = 20) -> float:
    """CPU seconds that one call would take on an idle core: the least of `tries`, or the first that is below `enough`.

    The machine may be slow for minutes, because others share its cores: so each call is timed beside a known loop.
    """
    best = float("inf")
    for _ in range(tries):
        loop = _cpu_seconds(_loop)
        best = min(best, _cpu_seconds(function) / max(loop, 1e-9) * _LOOP_SECONDS)
        if best < enough:
            break
    return best
