"""Trains PPO in each process that a launcher has started, for tests/test_processes.py; writes what came of it to a folder.

    python -m torch.distributed.run --nproc-per-node 2 tests/in_processes.py JSON

JSON says the env, the backbone's folder, the arguments of PPO, how many turns to train on, and the checkpoint to go on
from, if any.
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from stable_baselines3.common.callbacks import BaseCallback

from agents import PPO
from agents.callbacks import MetricsFile
from backbones import group
from stable_baselines3.common.logger import Logger
import toy_tasks  # noqa: F401 - registers test/TwoTurns-v0


class Watch(BaseCallback):
    """Notes the responses of every rollout, and what is summed between rollouts."""

    def __init__(self):
        super().__init__()
        self.responses = []

    def _on_step(self):
        return True

    def _on_rollout_end(self):
        self.responses.append(self.model.rollout.responses)


def bytes_of_updates(algorithm):
    """Counts, from here on, the bytes of each message in which numbers are added up while `algorithm` trains."""
    counted, plain, train = [], dist.all_reduce, algorithm.train

    def all_reduce(tensor, *args, **kwargs):
        counted.append(tensor.nbytes)
        return plain(tensor, *args, **kwargs)

    def measured():
        dist.all_reduce = all_reduce
        train()
        dist.all_reduce = plain

    algorithm.train = measured
    return counted


def run(env, backbone, out, turns, n_envs=8, checkpoint=None, policy_kwargs=None, reward="bundled", **kwargs):
    """Trains, and writes weights, log, responses and a checkpoint to `out`, by the first process."""
    out = Path(out)
    settings = {"backbone": backbone, "max_new_tokens": 6, **(policy_kwargs or {})}
    if checkpoint is None:
        algorithm = PPO("LoRAPolicy", env, n_envs=n_envs, policy_kwargs=settings, seed=3, device="cpu", **kwargs)
    else:
        algorithm = PPO.load(checkpoint, env, device="cpu")
    counted = bytes_of_updates(algorithm)
    group.from_first(lambda: out.mkdir(parents=True, exist_ok=True))
    algorithm.set_logger(Logger(None, [MetricsFile(out / "metrics.jsonl")] if group.is_first() else []))
    watch = Watch()
    algorithm.learn(turns, callback=watch, reset_num_timesteps=checkpoint is None)
    algorithm.save(out / "checkpoint")
    if group.is_first():
        save_file({name: p.detach().clone() for name, p in algorithm.policy.named_parameters()}, out / "weights.safetensors")
        adapters = sum(p.numel() * p.element_size() for p in algorithm.policy.parameters())
        said = {"responses": watch.responses, "bytes": counted, "adapters": adapters, "kl_coef": algorithm.kl_coef}
        (out / "said.json").write_text(json.dumps(said))


if __name__ == "__main__":
    torch.set_num_threads(1)
    group.start()
    for arguments in json.loads(sys.argv[1]):
        run(**arguments)
    if dist.is_initialized():
        dist.destroy_process_group()
