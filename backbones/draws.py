"""Random numbers for sampling that belong to a row: its neighbours, the batch and the process have no say in them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_BLOCK = 256  # tokens whose probabilities are summed before one of them is looked for
_CACHED = 2**18  # logits that a core holds in its cache, with what is computed of them
_UNITS = 2.0**52  # in a probability of 1: float32 holds them, and float64 the sum of all


TRAINING, PREDICTION, EVALUATION, FEEDBACK = range(4)  # uses, whose numbers have nothing in common


def row_seeds(seed: int, rows: Sequence[int], turn: int, use: int = TRAINING) -> list[int]:
    """Returns a seed of 63 bits for each row, from the run's seed, the number of the row and its turn.

    Args:
        seed: of the run, 0 or more.
        rows: numbers of the episodes among all that are played side by side, in all processes.
        turn: how many turns each of them has been given before this one.
        use: what is sampled for, so that an evaluation with a run's seed has other numbers than the run.
    """
    entropy = (np.random.SeedSequence((seed, row, turn, use)) for row in rows)
    return [int(each.generate_state(1, np.uint64)[0] >> np.uint64(1)) for each in entropy]


def uniforms(seeds: Sequence[int], count: int) -> Tensor:
    """Returns numbers in [0, 1), (rows, count) float64: row i is of `seeds[i]` alone (Philox, a counter and a key)."""
    drawn = [np.random.Generator(np.random.Philox(key=seed)).random(count) for seed in seeds]
    return torch.from_numpy(np.stack(drawn))


def draw(logits: Tensor, temperature: float, numbers: Tensor) -> Tensor:
    """Draws a token for each row by the inverse of its distribution function.

    The token is the first for which its probability and those before it are together more than the row's number. One of
    probability 0 is never drawn.

    Args:
        logits: (rows, vocabulary); -inf where a token may not be.
        temperature: that divides them, above 0.
        numbers: (rows,) in [0, 1), float64, of `uniforms`, on the device where it shall be computed.

    Returns:
        Token ids, (rows,); -1 where the logits of a row are no distribution: NaN, infinite or all -inf.
    """
    rows = max(1, _CACHED // logits.shape[1]) if numbers.device.type == "cpu" else len(logits)
    parts = zip(logits.to(numbers.device).split(rows), numbers.split(rows), strict=True)
    return torch.cat([_draw(part / temperature, of_part) for part, of_part in parts])


def _draw(logits: Tensor, numbers: Tensor) -> Tensor:
    """Sums by blocks, and by tokens only within the block where the number lies, which is several times faster.

    Probabilities are whole numbers of 2^-52, so that all sums are exact: the same in any order and on any device.
    """
    missing = -logits.shape[1] % _BLOCK
    padded = F.pad(logits, (0, missing), value=-torch.inf) if missing else logits
    p = padded.softmax(-1).mul_(_UNITS).floor_().unflatten(1, (-1, _BLOCK))  # (rows, blocks, in a block)
    sums = p.sum(-1, dtype=torch.float64)  # (rows, blocks)
    ends = sums.long().cumsum(-1)  # of float numbers it would be refused where algorithms must be deterministic
    wanted = (numbers * ends[:, -1]).long()[:, None]  # below the last end, since a number is below 1
    block = torch.searchsorted(ends, wanted, right=True).clamp(max=ends.shape[1] - 1)  # beyond it is NaN alone
    inside = p.take_along_dim(block[..., None], 1).squeeze(1).long().cumsum(-1)  # (rows, in a block)
    rest = wanted - F.pad(ends, (1, 0)).gather(1, block)
    tokens = block * _BLOCK + torch.searchsorted(inside, rest, right=True)
    return tokens.where(sums[:, :1].isfinite(), -1).squeeze(1)
