"""Train policies: the LoRA policy, PPO and its relatives, supervised fine-tuning."""

import perlhf  # noqa: F401  # says first whose file is in the way, where one is
from agents.named import GRPO, RLOO, Reinforce, ReinforcePlusPlus
from agents.policy import LoRAPolicy
from agents.ppo import PPO
from agents.vec_env import TaskVecEnv, make_vec_env

__all__ = ["GRPO", "PPO", "RLOO", "LoRAPolicy", "Reinforce", "ReinforcePlusPlus", "TaskVecEnv", "make_vec_env"]
