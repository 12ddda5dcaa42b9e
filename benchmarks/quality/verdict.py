"""Reads CPU seconds to a gold off the log of a run, and judges its policy anew on held-out prompts."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from backbones.backbone import Backbone
from backbones.forward import log_probs_of
from backbones.model.loading import use_threads
from backbones.roles import Role
from benchmarks.quality.figures import WINDOW, Batch, level_at, rate, seconds_to
from benchmarks.quality.samples import LOG, MAX_NEW_TOKENS
from envs.registry import env_id, task_of
from evaluation.evaluator import Answers, Evaluator
from evaluation.finished_run import load_policy, ppo_config, setup_of_run
from evaluation.metrics import bootstrap_mean, interval
from perlhf.errors import UserError
from perlhf.metrics_log import read_metrics

LEVELS = (0.75, 0.88)
RESULT = "judged.json"


def batches_of(folder: Path) -> list[Batch]:
    """Returns what was sampled in training, by the log of a run.

    Raises:
        UserError: there is none with CPU seconds.
    """
    if (folder / LOG).is_file():
        rows = [json.loads(line) for line in (folder / LOG).read_text(encoding="utf-8").splitlines()]
        return [Batch(row["cpu_seconds"], len(row["gold"]), float(np.mean(row["gold"]))) for row in rows]
    found, before = [], 0
    for row in read_metrics(folder):
        if "rollout/gold" in row and "time/cpu_seconds" in row:
            found.append(Batch(row["time/cpu_seconds"], row["time/total_timesteps"] - before, row["rollout/gold"]))
            before = row["time/total_timesteps"]
    if not found:
        raise UserError(f"{folder}: no log with time/cpu_seconds and rollout/gold; train again, on a task with gold.")
    return found


def judged(folder: Path, env: str, prompts: int, at: float) -> dict[str, Any]:
    """Returns what the log says, and what the policy is worth on held-out and on training prompts."""
    batches = batches_of(folder)
    if (folder / "model").is_dir():
        use_threads(1, 0)
        policy: Role = Backbone.load(str(folder / "model")).reference
        reference = Backbone.load(task_of(env_id(env), split="test").shipped_backbone).reference
    else:
        config = ppo_config(folder)
        env, setup = config["env"], setup_of_run(config)
        policy = load_policy(folder, setup, threads=1)
        reference = policy.backbone.reference
    held_out, trained_on = (evaluator(env, split, n) for split, n in (("test", prompts), ("train", WINDOW)))
    sampled, greedy = held_out.answer(policy, 1.0), held_out.answer(policy, 0.0)
    again = trained_on.answer(policy, 1.0)
    return {
        "env": env,
        "seconds_to": {f"{level:g}": seconds_to(batches, level) for level in LEVELS},
        "level": level_at(batches, at),
        "at": min(at, batches[-1].cpu_seconds),
        "rate": rate(batches),
        "completions": sum(batch.count for batch in batches),
        "last_logged": level_at(batches, batches[-1].cpu_seconds),
        "again": bootstrap_mean(again.best),
        "sampled": bootstrap_mean(sampled.best),
        "greedy": bootstrap_mean(greedy.best),
        "kl": kl(policy, reference, sampled),
    }


def evaluator(env: str, split: str, prompts: int) -> Evaluator:
    """Returns the first prompts of a split, judged by gold alone."""
    return Evaluator(task_of(env_id(env), split=split), lambda turns: [0.0] * len(turns), MAX_NEW_TOKENS, prompts)


def kl(policy: Role, reference: Role, answers: Answers) -> float:
    """Returns KL(policy || SFT) in nats a response, estimated on the policy's own samples at temperature 1."""
    rows = [row for of_episode in answers.rows for row in of_episode]
    prompts, responses = [prompt for prompt, _ in rows], [response for _, response in rows]
    own, others = (log_probs_of(role, prompts, responses) for role in (policy, reference))
    return float((own - others).sum() / len(rows))


def in_words(result: dict[str, Any]) -> str:
    """Returns the result in a few lines."""
    crossed = [f"gold {level}: {shown(seconds)}" for level, seconds in result["seconds_to"].items()]
    level, last = ("-" if gold is None else f"{gold:.3f}" for gold in (result["level"], result["last_logged"]))
    return "\n".join([
        f"CPU seconds until the last {WINDOW} completions have {', '.join(crossed)}",
        f"their gold after {result['at']:.0f} CPU s: {level}; {result['rate']:.1f} completions a CPU s",
        f"their gold at the end of the log: {last}; of the policy, on as many prompts of training: "
        f"{interval(result['again'])}",
        f"held out: sampled {interval(result['sampled'])}, greedy {interval(result['greedy'])}, "
        f"KL to SFT {result['kl']:.2f} nats a response",
    ])  # fmt: skip


def shown(seconds: float | None) -> str:
    """Returns seconds, or that it never was."""
    return "never" if seconds is None else f"{seconds:.0f} s"
