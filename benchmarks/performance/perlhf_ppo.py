"""Measures PPO iterations of perlhf."""

from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback
from transformers.models.llama import modeling_llama  # noqa: F401 - imported by both processes that are compared

from agents.ppo import PPO
from agents.vec_env import make_vec_env
from benchmarks.performance.measure import PhaseClock, Task, print_result, read_task

MICRO_BATCH_SIZE = 8  # changes memory, not results; TRL's PPO has no such choice


class Marks(BaseCallback):
    """Marks where iterations begin and end."""

    def __init__(self, clock: PhaseClock) -> None:
        super().__init__()
        self._clock = clock

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self._clock.mark()

    def _on_training_end(self) -> None:
        self._clock.mark()


def make_algorithm(task: Task) -> PPO:
    """PPO against a reward model on the same backbone."""
    work = task.work
    assert work is not None
    env = make_vec_env("HH-v0", work["n_envs"], data=task.data, reward=task.reward)
    return PPO(
        "LoRAPolicy", env, learning_rate=1e-4, batch_size=work["batch_size"], n_epochs=work["n_epochs"], seed=0,
        micro_batch_size=MICRO_BATCH_SIZE, policy_kwargs=policy_kwargs(task), device="cpu",
    )  # fmt: skip


def policy_kwargs(task: Task) -> dict[str, Any]:
    """Returns the policy's; the value adapter has the reward adapter's rank, since it starts from it."""
    assert task.work is not None
    return {
        "backbone": task.model, "max_new_tokens": task.work["max_new_tokens"], "lora_rank": task.work["lora_rank"],
        "value_rank": task.work["lora_rank"], **task.setting,
    }  # fmt: skip


def main() -> None:
    """Runs the iterations."""
    task = read_task()
    assert task.work is not None
    torch.set_num_threads(1)
    algorithm, clock = make_algorithm(task), PhaseClock()
    algorithm.policy.sample = clock.timed("sampling", algorithm.policy.sample)  # type: ignore[method-assign]
    algorithm.train = clock.timed("optimizing", algorithm.train)  # type: ignore[method-assign]
    count = task.work["n_envs"]
    algorithm.learn(count * (1 + task.work["iterations"]), callback=Marks(clock))
    assert algorithm.rollout is not None
    tokens = int(algorithm.rollout.response_mask.sum())
    print_result({**clock.result(count), "response_tokens": tokens / count})


if __name__ == "__main__":
    main()
