"""Measure what a piece of work cost (seconds, CPU seconds, peak resident memory), and show how far it is."""

import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm


class Stopwatch:
    """Seconds since it was made, by the wall and of this process's CPU time (all threads)."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._wall

    @property
    def cpu_seconds(self) -> float:
        return time.process_time() - self._cpu


def progress_bar(items: Iterable[Any] | None = None, **settings: Any) -> tqdm:
    """tqdm on a terminal; in a log file a line every half minute."""
    return tqdm(items, mininterval=0.1 if sys.stderr.isatty() else 30, **settings)


def peak_rss_mb() -> float:
    """Returns the most memory this process has ever held, in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # `getrusage` also counts what the process that started this one held then
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform != "darwin" else peak / 2**20
