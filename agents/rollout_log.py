"""What is logged of a rollout and of the updates on it: pure functions, by the names of the log."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from agents.algorithms import functional as F
from agents.rollout import Rollout
from agents.steps import Step

NEGATIVE_KL = 3  # rollouts in a row with a KL far below 0, after which a warning is due


def sound_scores(steps: Sequence[Step]) -> np.ndarray:
    """Returns the env's rewards of all steps that it did not fail at."""
    return np.array([score for step in steps for row, score in enumerate(step.scores) if row not in step.failed])


def rollout_figures(rollout: Rollout, steps: Sequence[Step], golds: Sequence[float]) -> dict[str, float]:
    """Scores, KL, entropy and lengths of a rollout whose env did not fail at every step.

    A row that the env failed at says nothing of the policy and counts nowhere. Lengths are in tokens, the KL in nats
    a response, the entropy in nats a token.
    """
    sound, mask = ~rollout.failed, rollout.response_mask
    k3 = F.kl_k3(rollout.old_log_probs, rollout.reference_log_probs) * mask
    return {
        "rollout/score": float(sound_scores(steps).mean()),
        **({"rollout/gold": float(np.mean(golds))} if golds else {}),
        "rollout/kl_to_reference": rollout.response_kl.mean().item(),
        "rollout/kl_k3": k3.sum(1)[sound].mean().item(),
        "rollout/entropy": F.masked_mean(rollout.entropy, mask).item(),
        "rollout/response_length": mask.sum(1)[sound].float().mean().item(),
        "rollout/ended": rollout.ended[sound].float().mean().item(),
        "rollout/failed": int(rollout.failed.sum()),
    }


def is_far_below_zero(kl: Tensor) -> bool:
    """Returns whether the mean of KL estimates, (responses,), is more than three standard errors below 0.

    An estimate may be below 0 by chance; `NEGATIVE_KL` rollouts in a row far below 0 are a mistake somewhere.
    """
    error = kl.std(unbiased=False) / len(kl) ** 0.5
    return bool(kl.mean() < -3 * error)


def count_negative_kl(rollout: Rollout, before: int, warn: Callable[[str], None]) -> int:
    """Returns how many rollouts in a row have a KL far below 0; says so once, at the `NEGATIVE_KL`-th.

    Args:
        rollout: the last one.
        before: how many there were before it.
        warn: takes the warning.
    """
    count = before + 1 if is_far_below_zero(rollout.response_kl) else 0
    if count == NEGATIVE_KL:
        warn(
            "the KL to the reference has been negative for three rollouts: sampling and scoring disagree "
            "(temperature, top-k, padding, dropout), or the reference is not where the policy started."
        )
    return count


def update_figures(rollout: Rollout, stats: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Means over the optimizer steps on a rollout, and how well its values foretold its returns."""
    means = {f"train/{name}": float(np.mean(values)) for name, values in stats.items() if values}
    if rollout.values is None or rollout.returns is None:
        return means
    explained = explained_variance(rollout.values, rollout.returns, rollout.response_mask)
    return {**means, "train/explained_variance": explained}


def sums_of(figures: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
    """Sums up scalars by name, in float64, all read from the device at once; 0 where there is none."""
    flat = [value.float() for values in figures.values() for value in values]
    read = iter(torch.stack(flat).tolist() if flat else [])
    return {name: sum(next(read) for _ in values) for name, values in figures.items()}


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """1 - Var(returns - values) / Var(returns) over valid tokens; NaN where the returns do not vary, or are none."""
    returns, values = returns[mask], values[mask]
    if len(returns) == 0:
        return float("nan")
    variance = returns.var(unbiased=False)
    return float(1 - (returns - values).var(unbiased=False) / variance) if variance > 0 else float("nan")
