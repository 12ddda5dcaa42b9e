"""What a measuring process does: reads its case, counts CPU seconds and memory, prints one line of JSON.

It imports nothing heavy, since memory is compared with that of the imports alone.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from perlhf.measure import peak_rss_mb

Function = TypeVar("Function", bound=Callable[..., Any])


class Task(NamedTuple):
    """What a process is asked to measure.

    Attributes:
        work: the fields of `cases.PPOWork` or `cases.RewardWork`; None to import and do nothing else.
        setting: of perlhf its options, of others the name of a variant.
        model: the folder of the backbone.
        data: the folder of train.jsonl and test.jsonl.
        reward: the folder of perlhf's trained reward model; "" where none is needed.
        scratch: a folder for what is written on the way.
    """

    work: dict[str, Any] | None
    setting: Any
    model: str
    data: str
    reward: str
    scratch: str


def read_task() -> Task:
    """Returns the task on the command line; leaves here, with the memory of the imports, where there is no work."""
    task = Task(**json.loads(sys.argv[1]))
    if task.work is None:
        print_result({})
        sys.exit()
    return task


def print_result(result: Mapping[str, Any]) -> None:
    """Prints the result, the peak of this process's memory in MiB added, as the last line."""
    print(json.dumps({**result, "peak_mb": peak_mb()}), flush=True)


def peak_mb() -> float:
    """Returns the most memory this process has held, in MiB.

    Where the kernel says so of this program: `getrusage` counts what the parent held when it started the process.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    peaks = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")]
    return peaks[0] if peaks else peak_rss_mb()


class PhaseClock:
    """CPU seconds of iterations: {"sampling", "scoring", "optimizing", "total"} of each.

    Scoring is what is neither of the other two: rewards, log-probabilities, values, advantages, logs.
    """

    def __init__(self) -> None:
        self.iterations: list[dict[str, float]] = []
        self._phases: dict[str, float] = defaultdict(float)
        self._start: float | None = None

    def timed(self, phase: str, function: Function) -> Function:
        """`function`, its CPU seconds added to the phase."""

        def run(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self._phases[phase] += time.process_time() - start

        return run  # type: ignore[return-value]

    def mark(self) -> None:
        """Ends the iteration, if one has begun, and begins the next."""
        now = time.process_time()
        if self._start is not None:
            total, phases = now - self._start, self._phases
            scoring = total - phases["sampling"] - phases["optimizing"]
            self.iterations.append({**phases, "scoring": scoring, "total": total})
        self._phases.clear()
        self._start = now

    def result(self, count: int) -> dict[str, Any]:
        """Returns the figures to print of iterations of `count` samples each; the first one only warmed up."""
        return {"count": count, "iterations": self.iterations[1:]}
