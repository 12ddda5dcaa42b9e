"""Trains a policy against a proxy, and looks at it on held-out prompts on the way: proxy, gold and KL."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.held_out import undisturbed
from agents.ppo import PPO
from backbones.forward import log_probs_of
from backbones.roles import Role
from envs.registry import env_id, task_of
from evaluation.evaluator import Answers, Evaluator
from evaluation.labs.training import ppo_of

_SHOWN = 4  # prompts whose responses are kept


def held_out(env: str, reward: Any, prompts: int, seed: int) -> Evaluator:
    """Returns held-out prompts with a reward function; the random numbers of each are the same at every look."""
    return Evaluator(task_of(env_id(env), split="validation"), reward, 64, prompts, seed, "validation")


def curve(
    env: str, recipe: Mapping[str, Any], reward: Any, seed: int, updates: int, every: int, prompts: int
) -> dict[str, Any]:
    """Trains by a recipe, and looks at the policy at the start and every so many updates, at temperature 1.

    Returns:
        `updates` at which it was looked at; `gold` and `proxy` there, a list over prompts each; `kl`, the mean k1 of a
        response by SFT; `tokens` of a response; `said`, the responses to the first prompts, and these, `prompts`.
    """
    model = ppo_of(env, recipe, seed, reward)
    assert model.env is not None
    evaluator = held_out(env, model.env.get_attr("reward_function")[0], prompts, seed)
    task, shown = evaluator.task, evaluator.states[:_SHOWN]
    found: dict[str, Any] = {"prompts": [task.observe(state)["prompt"] for state in shown]}
    for done in range(0, updates + 1, every):
        if done:
            model.learn(every * recipe["n_envs"], reset_num_timesteps=done == every)
        for name, value in _look(model, evaluator).items():
            found.setdefault(name, []).append(value)
        found.setdefault("updates", []).append(done)
    return found


def _look(model: PPO, evaluator: Evaluator) -> dict[str, Any]:
    """Returns what a policy says at a moment, without a trace in its training."""
    role, backbone = model.policy.policy_role, model.policy.backbone
    with undisturbed(backbone):
        answers = evaluator.answer(role, 1.0)
        kls = k1_of(answers, role, backbone.reference)
    assert answers.golds is not None
    return {
        "gold": np.round(answers.golds, 3).tolist(),
        "proxy": np.round(answers.scores, 3).tolist(),
        "kl": round(float(kls.mean()), 4),
        "tokens": float(np.mean([len(row[-1][1]) for row in answers.rows])),
        "said": answers.texts[:_SHOWN],
    }


def k1_of(answers: Answers, role: Role, reference: Role) -> np.ndarray:
    """Returns log p by a role less log p by another of the responses of one turn, (n,)."""
    prompts, responses = zip(*(row[-1] for row in answers.rows), strict=True)
    difference = log_probs_of(role, prompts, responses) - log_probs_of(reference, prompts, responses)
    return difference.double().sum(1).numpy()
