"""The algorithms by names of their own: `GRPO("LoRAPolicy", env)` is `PPO("LoRAPolicy", env, algorithm="grpo")`."""

from agents.ppo import PPO


class Reinforce(PPO):
    """REINFORCE with a learned baseline; see `agents.algorithms.reinforce`."""

    learns_by = "reinforce"


class RLOO(PPO):
    """REINFORCE leave-one-out; see `agents.algorithms.rloo`."""

    learns_by = "rloo"


class GRPO(PPO):
    """Group relative policy optimization; see `agents.algorithms.grpo`."""

    learns_by = "grpo"


class ReinforcePlusPlus(PPO):
    """REINFORCE++; see `agents.algorithms.reinforce_plus_plus`."""

    learns_by = "reinforce++"
