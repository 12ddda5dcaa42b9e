"""From the log of a run to its figures: CPU seconds until sampled gold reaches a level. Pure functions."""

from collections.abc import Sequence
from typing import NamedTuple

WINDOW = 512  # completions: of 64, one crossing says +- 25 s


class Batch(NamedTuple):
    """Completions that were sampled together: how many, their mean gold, and the CPU seconds till they were there."""

    cpu_seconds: float
    count: int
    gold: float


def windowed(batches: Sequence[Batch], window: int = WINDOW) -> list[tuple[float, float]]:
    """Returns (CPU seconds, mean gold of the last `window` completions) after each batch that has as many behind it."""
    found, total, count, first = [], 0.0, 0, 0
    for batch in batches:
        total, count = total + batch.gold * batch.count, count + batch.count
        while count - batches[first].count >= window:
            total, count = total - batches[first].gold * batches[first].count, count - batches[first].count
            first += 1
        if count >= window:
            found.append((batch.cpu_seconds, total / count))
    return found


def seconds_to(batches: Sequence[Batch], gold: float, window: int = WINDOW) -> float | None:
    """Returns the CPU seconds at which the mean of the window first reaches `gold`; None where it never does."""
    return next((seconds for seconds, mean in windowed(batches, window) if mean >= gold), None)


def level_at(batches: Sequence[Batch], seconds: float, window: int = WINDOW) -> float | None:
    """Returns the mean of the window after so many CPU seconds, or at the end of a run that ended before.

    None where there were fewer completions than the window has.
    """
    means = [mean for at, mean in windowed(batches, window) if at <= seconds]
    return means[-1] if means else None


def rate(batches: Sequence[Batch]) -> float:
    """Returns completions per CPU second, from the first batch to the last."""
    return sum(batch.count for batch in batches[1:]) / (batches[-1].cpu_seconds - batches[0].cpu_seconds)
