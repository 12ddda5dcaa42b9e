"""A running standard deviation of scores, for rewards of unknown scale."""

from dataclasses import dataclass

import numpy as np


@dataclass
class RunningScale:
    """Count, mean and sum of squared deviations, merged batch by batch (Chan et al., 1979). JSON-able."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def update(self, values: np.ndarray) -> None:
        """Takes in a batch (n,)."""
        n, mean = len(values), float(np.mean(values))
        total, delta = self.count + n, mean - self.mean
        self.squares += float(np.sum((values - mean) ** 2)) + delta**2 * self.count * n / total
        self.mean += delta * n / total
        self.count = total

    @property
    def std(self) -> float:
        """The population standard deviation so far; 1 before there is any spread."""
        std = (self.squares / self.count) ** 0.5 if self.count else 0.0
        return std if std > 1e-8 else 1.0
