"""Win rates from what a judge says of pairs in both orders, and how far the order rules it. Pure functions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evaluation.metrics import bootstrap_mean, interval
from rewards.pair_judge import Asked


def both_orders(asked: Sequence[Asked]) -> dict[str, Any]:
    """Returns who wins, and the judge's position bias; all means have 95% intervals.

    The first of a pair has won where it is preferred in both orders, and lost where the second is; all else is a tie.

    Args:
        asked: of each of n pairs, n at least 1.

    Returns:
        `win`, `tie`, `loss`, shares of the pairs; `win_rate`, of the first of the pairs, a tie counting half;
        `one_order`, the win rate that asking in one order alone would have given, with the first of the pair shown
        first, and `other_order`, with it shown second; `changed`, the share of pairs whose verdict changed with the
        order; `shown_first`, how often what is shown first is preferred, neither counting half: 0.5 without a bias of
        position.
    """
    forward, backward = np.array(asked, dtype=np.float64).T
    wins, losses = (forward == 1) & (backward == 1), (forward == 0) & (backward == 0)
    ties = ~wins & ~losses
    return {
        "win": bootstrap_mean(wins),
        "tie": bootstrap_mean(ties),
        "loss": bootstrap_mean(losses),
        "win_rate": bootstrap_mean(wins + ties / 2),
        "one_order": bootstrap_mean(forward),
        "other_order": bootstrap_mean(backward),
        "changed": bootstrap_mean(forward != backward),
        "shown_first": bootstrap_mean((forward + 1 - backward) / 2),
    }


def describe_orders(found: Mapping[str, Any], first: str, second: str) -> str:
    """Writes it in a few lines for the terminal; `first` and `second` say whose the responses of the pairs are."""
    return "\n".join(
        [
            f"win rate of {first} against {second}, a tie half: {interval(found['win_rate'])}, n = "
            f"{found['win_rate']['n']}",
            f"  preferred in both orders: {first} {interval(found['win'])}, {second} {interval(found['loss'])}; tie "
            f"{interval(found['tie'])}",
            f"  asked in one order alone: {interval(found['one_order'])} with {first} first, "
            f"{interval(found['other_order'])} with it second",
            f"position: the order changed {interval(found['changed'])} of the verdicts; what is shown first is "
            f"preferred {interval(found['shown_first'])} of the time",
        ]
    )
