"""reasoning-gym's tasks as an env of text: question, answer, reasoning-gym's own score. `pip install reasoning-gym`

perlhf train-ppo reasoning_gym_env:examples/ReasoningGym-v0 --env-options task=count_bits,max_n=31
"""

import json
from typing import Any

import gymnasium as gym
import reasoning_gym

from envs.spaces import Unicode


class ReasoningGymEnv(gym.Env[str, str]):
    """One question of a task of reasoning-gym after the other; `config` are the task's own settings."""

    success_at = 1.0  # perlhf counts such a return as a success

    def __init__(self, task: str = "chain_sum", **config: Any) -> None:
        self.questions = reasoning_gym.create_dataset(task, seed=0, size=2**31, **config)  # each is made when asked for
        self.observation_space, self.action_space = Unicode(10_000), Unicode(10_000)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.entry = self.questions[int(self.np_random.integers(len(self.questions)))]
        return self.entry["question"] + "\n", {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        score = float(self.questions.score_answer(action.strip(), self.entry))
        return self.entry["question"] + "\n", score, True, False, {}

    def oracle(self) -> str:  # perlhf compares with it where an env has it
        return str(self.entry["answer"])


def write_records(path: str, count: int, task: str, **config: Any) -> None:
    """Writes questions and right answers to a JSONL file, for SFT: every other one bare, the others in a sentence."""
    env = ReasoningGymEnv(task, **config)
    with open(path, "w", encoding="utf-8") as file:
        for seed in range(2**31, 2**31 + count):  # perlhf's own episodes have seeds below that
            prompt, answer = env.reset(seed=seed)[0], env.oracle()
            said = answer if seed % 2 else f"The answer is {answer}."
            file.write(json.dumps({"prompt": prompt, "completion": said}) + "\n")


gym.register("examples/ReasoningGym-v0", ReasoningGymEnv)
