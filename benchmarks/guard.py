"""Sees a loss of speed: perlhf beside the same work in plain transformers and peft, in turns, and against kept ratios.

    OMP_NUM_THREADS=1 python -m benchmarks.guard

The plain side is what a short script would do: `generate`, a forward pass for each of policy, reference, reward and
value, and forward and backward passes of policy and value, on the same model with adapters of the same size. A machine
that is twice as fast is so for both, so the ratio says what perlhf saves, wherever it is taken. Ratios are of the
fewest CPU seconds of each side. Where one has fallen by more than a fifth, so that the work takes a quarter longer than
it did, the exit status is 1. Who makes perlhf faster writes the new ratios down here.
"""

import io
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from agents.ppo import PPO
from agents.vec_env import make_vec_env
from benchmarks.performance.cases import PROMPT_TOKENS, SETTINGS, SIZES
from benchmarks.performance.models import SPECIAL, save_model, save_pairs
from perlhf.errors import run_command
from perlhf.measure import Stopwatch
from perlhf.options import option, parse_options
from perlhf.run_folder import read_summary
from rewards import train_reward_model

KEPT = {"own": 1.12, "shared": 1.55, "reward": 0.97}  # of 2026-11-30, three times each
LEAST = 0.8  # of a kept ratio
RANK, MICRO_BATCH, STEP = 8, 8, 16


@dataclass
class Options:
    """Compares the speed of perlhf with that of plain transformers and peft, and with what it was."""

    model: str = option("8.4M", "a name of benchmarks.performance.cases.SIZES")
    n_envs: int = option(16, "responses of an iteration; as many pairs are learned by reward models", low=STEP)
    new_tokens: int = option(32, "of a response", low=1)
    rounds: int = option(2, "measurements of each side, in turns", low=1)


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m benchmarks.guard")
    ratios = measured(options)
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f} times as fast as plain transformers and peft; {KEPT[name]:.2f} when it was kept")
    if slower := lost(ratios):
        print(f"slower than it was: {', '.join(slower)}")
        sys.exit(1)


def lost(ratios: Mapping[str, float]) -> list[str]:
    """Returns the names of what takes a quarter longer, beside the plain side, than when its ratio was kept."""
    return [name for name, ratio in ratios.items() if ratio < LEAST * KEPT[name]]


def measured(options: Options) -> dict[str, float]:
    """Returns how many times as fast perlhf is: an iteration of PPO by setting, and an epoch of a reward model."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root, size = Path(folder), SIZES[options.model]
        save_model(root / "model", size)
        save_pairs(root / "data", size.vocabulary, options.new_tokens)
        reward = partial(reward_epoch, root, options.n_envs)
        reward()  # makes PPO's reward model, and warms up
        plain = Plain(root / "model", options)
        work = {"reward": reward, "plain reward": plain.reward_epoch, "plain ppo": plain.ppo_iteration}
        work |= {name: partial(ppo_iteration, ppo_of(root, name, options)) for name in ("own", "shared")}
        seconds = fewest_in_turns(work, options.rounds)
    return {name: seconds["plain reward" if name == "reward" else "plain ppo"] / seconds[name] for name in KEPT}


def fewest_in_turns(work: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Returns the fewest CPU seconds of each, measured A B C A B C..."""
    found = [{name: measure() for name, measure in work.items()} for _ in range(rounds)]
    return {name: min(seconds[name] for seconds in found) for name in work}


def reward_epoch(root: Path, pairs: int) -> float:
    """Returns the CPU seconds in which perlhf's command learns from so many pairs once."""
    folder = root / "reward"
    shutil.rmtree(folder, ignore_errors=True)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        train_reward_model.train(
            train_reward_model.Options(
                env="HH-v0", data=str(root / "data"), backbone=str(root / "model"), pairs=pairs, policy_pairs=0,
                epochs=1, batch_size=STEP, lora_rank=RANK, log_prob_weight=0.0, start="random", eval_pairs=1,
                threads=1, output_dir=str(folder),
            )
        )  # fmt: skip
    return float(read_summary(folder)["cpu_seconds"])


def ppo_of(root: Path, setting: str, options: Options) -> PPO:
    """Returns perlhf's PPO in one of the benchmark's settings, against the reward model of `reward_epoch`."""
    env = make_vec_env("HH-v0", options.n_envs, data=str(root / "data"), reward=str(root / "reward"))
    policy = {
        "backbone": str(root / "model"), "max_new_tokens": options.new_tokens, "lora_rank": RANK, "value_rank": RANK,
        **SETTINGS[setting],
    }  # fmt: skip
    return PPO(
        "LoRAPolicy", env, learning_rate=1e-4, batch_size=STEP, n_epochs=1, micro_batch_size=MICRO_BATCH,
        policy_kwargs=policy, preflight=False, seed=0, device="cpu",
    )  # fmt: skip


def ppo_iteration(algorithm: PPO) -> float:
    """Returns the CPU seconds of one iteration of perlhf: samples, scores, one epoch."""
    clock = Stopwatch()
    algorithm.learn(algorithm.n_envs, reset_num_timesteps=False)
    return clock.cpu_seconds


class Plain:
    """Does the same with transformers and peft alone: adapters on q, k, v and o, and Adam."""

    def __init__(self, model: Path, options: Options) -> None:
        torch.manual_seed(0)
        lora = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
        self.policy, self.value, self.scorer = (
            get_peft_model(AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32), lora) for _ in range(3)
        )
        self.head = nn.Linear(self.policy.config.hidden_size, 1)
        self.options = options
        self.prompts = torch.randint(len(SPECIAL), self.policy.config.vocab_size, (options.n_envs, PROMPT_TOKENS))

    def ppo_iteration(self) -> float:
        """Returns the CPU seconds of sampling, four forward passes, and one epoch of policy and value."""
        clock, policy = Stopwatch(), self.policy
        with torch.no_grad():
            ids = policy.generate(
                input_ids=self.prompts, attention_mask=torch.ones_like(self.prompts), do_sample=True, pad_token_id=0,
                max_new_tokens=self.options.new_tokens,
            )  # fmt: skip
            for rows in ids.split(MICRO_BATCH):
                self.log_probs(rows)
                with policy.disable_adapter():
                    self.log_probs(rows)
                self.scores(self.scorer, rows)
                self.scores(self.value, rows)
        trained = [p for model in (policy, self.value, self.head) for p in model.parameters() if p.requires_grad]
        self.learn(trained, ids, lambda rows: self.log_probs(rows).mean() + self.scores(self.value, rows).mean())
        return clock.cpu_seconds

    def reward_epoch(self) -> float:
        """Returns the CPU seconds of one epoch over as many pairs, with the loss of Bradley and Terry."""
        ids = torch.randint(
            len(SPECIAL),
            self.policy.config.vocab_size,
            (self.options.n_envs, 2, PROMPT_TOKENS + self.options.new_tokens),
        )
        trained = [p for model in (self.scorer, self.head) for p in model.parameters() if p.requires_grad]
        clock = Stopwatch()
        self.learn(trained, ids, lambda pairs: self.pair_loss(pairs))
        return clock.cpu_seconds

    def pair_loss(self, pairs: torch.Tensor) -> torch.Tensor:
        """Returns -log sigmoid of the difference of the two scores at the last token, (pairs, 2, length) -> ()."""
        chosen, rejected = self.scores(self.scorer, pairs.flatten(0, 1))[:, -1].view(-1, 2).unbind(1)
        return -F.logsigmoid(chosen - rejected).mean()

    def learn(
        self, trained: list[nn.Parameter], rows: torch.Tensor, loss: Callable[[torch.Tensor], torch.Tensor]
    ) -> None:
        """Makes an optimizer step for every 16 rows, in micro-batches of 8."""
        optimizer = torch.optim.Adam(trained, lr=1e-4)
        for batch in rows.split(STEP):
            for part in batch.split(MICRO_BATCH):
                loss(part).backward()
            optimizer.step()
            optimizer.zero_grad()

    def log_probs(self, ids: torch.Tensor) -> torch.Tensor:
        """Returns log-probabilities of the responses' tokens, (rows, length) -> (rows, new tokens)."""
        logits = self.policy(input_ids=ids).logits[:, PROMPT_TOKENS - 1 : -1]
        return logits.log_softmax(-1).gather(-1, ids[:, PROMPT_TOKENS:, None])[..., 0]

    def scores(self, model: PeftModel, ids: torch.Tensor) -> torch.Tensor:
        """Returns a head's reading of every hidden state, (rows, length) -> (rows, length)."""
        return self.head(model.get_base_model().model(input_ids=ids).last_hidden_state)[..., 0]


if __name__ == "__main__":
    run_command(main)
