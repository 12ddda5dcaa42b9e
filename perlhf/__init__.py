"""Registers the perlhf/* environments with Gymnasium, and offers what most programs use.

    import gymnasium as gym
    import perlhf

    env = gym.make("perlhf/HH-v0")
    model = perlhf.PPO("LoRAPolicy", "perlhf/HH-v0")

The modules of this package are the floor that every other package stands on. This file alone reaches up, so that one
import is enough; its names are imported when they are first used, and torch with them.
"""

from typing import TYPE_CHECKING

from perlhf.clash import check_packages
from perlhf.lazy import lazy_names

check_packages()  # before anything else of ours is imported

import envs  # noqa: E402, F401  # registers the environments

if TYPE_CHECKING:
    from agents.ppo import PPO
    from agents.vec_env import make_vec_env
    from backbones.backbone import Backbone
    from rewards.reward_model import RewardModel
else:  # imported when they are first used
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "PPO": "agents.ppo",
            "make_vec_env": "agents.vec_env",
            "Backbone": "backbones.backbone",
            "RewardModel": "rewards.reward_model",
        },
    )

__version__ = "0.1.0"
__all__ = ["PPO", "Backbone", "RewardModel", "__version__", "make_vec_env"]
