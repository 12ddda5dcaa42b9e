"""How a policy learns: the LoRA policy, PPO, supervised fine-tuning."""

from agents.policy import LoRAPolicy
from agents.ppo import PPO
from agents.vec_env import TaskVecEnv, make_vec_env

__all__ = ["PPO", "LoRAPolicy", "TaskVecEnv", "make_vec_env"]
