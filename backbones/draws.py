"""Random numbers for sampling that belong to a row: its neighbours, the batch and the process have no say in them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_BLOCK = 256  # tokens whose probabilities are summed before one of them is looked for
_CACHED = 2**18  # logits that a core holds in its cache, with what is computed of them
_BELOW_1 = 1 - 2**-53  # the largest float64 below 1, and the largest of `uniforms`


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


def draw(logits: Tensor, temperature: float, uniforms: Tensor) -> Tensor:
    """Draws a token for each row by the inverse of its distribution function: the first whose sum of p exceeds u.

    A token of probability 0 is never drawn. Sums are float64, and all of a row alone.

    Args:
        logits: (rows, vocabulary); -inf where a token may not be.
        temperature: that divides them, above 0.
        uniforms: (rows,) in [0, 1), float64, on the device where it shall be computed.

    Returns:
        Token ids, (rows,); -1 where the logits of a row are no distribution: NaN, infinite or all -inf.
    """
    rows = max(1, _CACHED // logits.shape[1]) if uniforms.device.type == "cpu" else len(logits)
    parts = zip(logits.to(uniforms.device).split(rows), uniforms.split(rows), strict=True)
    return torch.cat([_draw(part / temperature, of_part) for part, of_part in parts])


def _draw(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Sums by blocks, and by tokens only within the block where u lies: several times faster than by tokens alone."""
    missing = -logits.shape[1] % _BLOCK
    padded = F.pad(logits, (0, missing), value=-torch.inf) if missing else logits
    p = padded.softmax(-1).unflatten(1, (-1, _BLOCK))  # (rows, blocks, in a block)
    ends = p.sum(-1, dtype=torch.float64).cumsum(-1)  # (rows, blocks)
    wanted = uniforms[:, None] * ends[:, -1:]  # below the last end, since u is below 1
    block = torch.searchsorted(ends, wanted, right=True).clamp(max=ends.shape[1] - 1)  # beyond it is NaN alone
    inside = p.take_along_dim(block[..., None], 1).squeeze(1).cumsum(-1, dtype=torch.float64)  # (rows, in a block)
    rest = wanted - F.pad(ends, (1, 0)).gather(1, block)
    rest = torch.minimum(rest, inside[:, -1:] * _BELOW_1)  # the block summed in another order may end a bit earlier
    tokens = block * _BLOCK + torch.searchsorted(inside, rest, right=True)
    return tokens.where(ends[:, -1:].isfinite(), -1).squeeze(1)
