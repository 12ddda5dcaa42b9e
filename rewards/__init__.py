"""Score responses: reward functions and LoRA reward models."""

from typing import TYPE_CHECKING

import perlhf  # noqa: F401  # says first whose file is in the way, where one is
from perlhf.lazy import lazy_names

if TYPE_CHECKING:
    from rewards.functions import load_reward_yaml
    from rewards.preferences import Labels, Pairs, Preferences
    from rewards.reward_model import RewardModel
else:  # imported when they are first used
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Labels": "rewards.preferences",
            "Pairs": "rewards.preferences",
            "Preferences": "rewards.preferences",
            "RewardModel": "rewards.reward_model",
            "load_reward_yaml": "rewards.functions",
        },
    )

__all__ = ["Labels", "Pairs", "Preferences", "RewardModel", "load_reward_yaml"]
