"""How a rollout becomes advantages and a loss: an algorithm a file, all in the one loop of `agents.ppo`."""

from agents.algorithms.algorithm import Algorithm
from agents.algorithms.grpo import GRPO
from agents.algorithms.ppo import PPO
from agents.algorithms.reinforce import Reinforce
from agents.algorithms.reinforce_plus_plus import ReinforcePlusPlus
from agents.algorithms.rloo import RLOO

ALGORITHMS: dict[str, Algorithm] = {
    "ppo": PPO(),
    "reinforce": Reinforce(),
    "rloo": RLOO(),
    "grpo": GRPO(),
    "reinforce++": ReinforcePlusPlus(),
}

__all__ = ["ALGORITHMS", "Algorithm"]
