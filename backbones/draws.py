"""Random numbers for sampling that belong to a row: its neighbours, the batch and the process have no say in them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def row_seeds(seed: int, rows: Sequence[int], turn: int) -> list[int]:
    """Returns a seed of 63 bits for each row, from the run's seed, the number of the row and its turn.

    Args:
        seed: of the run, 0 or more.
        rows: numbers of the episodes among all that are played side by side, in all processes.
        turn: how many turns each of them has been given before this one.
    """
    entropy = (np.random.SeedSequence((seed, row, turn)) for row in rows)
    return [int(each.generate_state(1, np.uint64)[0] >> np.uint64(1)) for each in entropy]


def uniforms(seeds: Sequence[int], count: int) -> Tensor:
    """Returns numbers in [0, 1), (rows, count) float64: row i is of `seeds[i]` alone (Philox, a counter and a key)."""
    drawn = [np.random.Generator(np.random.Philox(key=seed)).random(count) for seed in seeds]
    return torch.from_numpy(np.stack(drawn))
