"""Measure what a piece of work cost (seconds, CPU seconds, peak resident memory), and show how far it is."""

import resource
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

_STATUS = Path("/proc/self/status")
_IN_A_LOG = 30  # seconds between two lines of a bar


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


class _Lines:
    """Takes what tqdm writes to redraw a terminal, and writes it as whole lines."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._last = file, ""

    def write(self, text: str) -> None:
        line = text.replace("\x1b[A", "").strip()
        if line and line != self._last:
            self._file.write(f"{line}\n")
            self._last = line

    def flush(self) -> None:
        self._file.flush()


def progress_bar(items: Iterable[Any] | None = None, **settings: Any) -> tqdm:
    """Returns tqdm as it is on a terminal; elsewhere what it says is a plain line at the start, each half minute, and
    at the end.
    """
    if not sys.stderr.isatty():
        # Without a width it draws no bar. With a fixed number of iterations between two looks at the clock it does not
        # take a wrong guess at how many a half minute has.
        plain = {"file": _Lines(sys.stderr), "ncols": 0, "mininterval": _IN_A_LOG, "miniters": 1, "leave": True}
        settings = {**settings, **plain}
    return tqdm(items, **settings)


def show_figures(bar: tqdm, figures: Mapping[str, str]) -> None:
    """Writes figures behind a bar: at once on a terminal, elsewhere with its next line."""
    bar.set_postfix(figures, refresh=sys.stderr.isatty())


def peak_rss_mb() -> float:
    """Returns the most memory this process has ever held, in MiB."""
    if _STATUS.is_file():  # `getrusage` also counts what the process that started this one held then
        return _status_mb("VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform != "darwin" else peak / 2**20


def rss_mb() -> float:
    """Returns the memory that this process holds now, in MiB; on Linux."""
    return _status_mb("VmRSS")


def _status_mb(name: str) -> float:
    return next(int(line.split()[1]) for line in _STATUS.read_text().splitlines() if line.startswith(name)) / 1024
