"""Trains PPO in each of the processes that were started with it; the first one writes what came of it.

    RANK=0 WORLD_SIZE=2 MASTER_ADDR=localhost MASTER_PORT=29500 python tests/in_processes.py JSON

JSON is a list of the arguments of `train`. `tests/test_processes.py` starts it.
"""

import json
import sys
from pathlib import Path

import gymnasium as gym
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from toy_tasks import PROMPTS, Endless

from agents import PPO, make_vec_env
from agents.callbacks import MetricsFile
from backbones import group
from envs.task import Played
from envs.turn import Turn


class Troubled(Endless):
    """Breaks where a response has a number of letters that 5 divides."""

    def turn(self, state: list, response: str = "") -> Turn:
        return Turn(
            PROMPTS[state[0]], response, {"said": state[1:], "failed": bool(response) and len(response) % 5 == 0}
        )

    def play(self, state: list, response: str) -> Played:
        turn = self.turn(state, response)
        return Played(turn, [state[0], response], False, turn.reference["failed"])


gym.register(
    "test/Troubled-v0",
    entry_point="envs.core:TaskEnv",
    vector_entry_point="envs.core:TaskVectorEnv",
    kwargs={"task": "in_processes:Troubled"},
)


def letters(turns: list[Turn]) -> list[float]:
    """The share of letters that are an e."""
    return [turn.response.count("e") / 7 + len(turn.response) / 11 for turn in turns]


class Heard(BaseCallback):
    """Notes the responses of every rollout."""

    def __init__(self):
        super().__init__()
        self.responses = []

    def _on_step(self):
        return True

    def _on_rollout_end(self):
        self.responses.append(self.model.rollout.responses)


def bytes_added_up(algorithm):
    """The bytes of each message in which numbers are added up while `algorithm` updates, from here on."""
    counted, plain, update = [], dist.all_reduce, algorithm.train

    def all_reduce(tensor, *args, **kwargs):
        counted.append(tensor.nbytes)
        return plain(tensor, *args, **kwargs)

    def counting():
        dist.all_reduce = all_reduce
        update()
        dist.all_reduce = plain

    algorithm.train = counting
    return counted


def train(env, backbone, out, turns, n_envs=8, env_options=None, checkpoint=None, policy_kwargs=None, **kwargs):
    """Trains on `turns` turns, and writes weights, log, what was said and a checkpoint to the folder `out`."""
    out = Path(out)
    envs = make_vec_env(env, len(group.share(n_envs, "envs")), **(env_options or {}))
    if checkpoint is None:
        settings = {"backbone": backbone, "max_new_tokens": 6, **(policy_kwargs or {})}
        algorithm = PPO("LoRAPolicy", envs, policy_kwargs=settings, seed=3, device="cpu", **kwargs)
    else:
        algorithm = PPO.load(checkpoint, envs, device="cpu")
    group.from_first(lambda: out.mkdir(parents=True))
    algorithm.set_logger(Logger(None, [MetricsFile(out / "metrics.jsonl")] if group.is_first() else []))
    counted, heard = bytes_added_up(algorithm), Heard()
    algorithm.learn(turns, callback=heard, reset_num_timesteps=checkpoint is None)
    algorithm.save(out / "checkpoint")
    if group.is_first():
        weights = {name: p.detach().clone() for name, p in algorithm.policy.named_parameters()}
        save_file(weights, out / "weights.safetensors")
        adapters = sum(p.nbytes for p in algorithm.policy.parameters())
        said = {"responses": heard.responses, "bytes": counted, "adapters": adapters}
        (out / "said.json").write_text(json.dumps(said))


if __name__ == "__main__":
    torch.set_num_threads(1)
    group.start()
    for arguments in json.loads(sys.argv[1]):
        train(**arguments)
    group.gather(None)
    dist.destroy_process_group()
