"""`Policy`: a model in this process as an agent: the policy of a run, or a backbone as it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.hyperparameters import BackboneSettings
from agents.policy import fitting
from agents.setup import Setup
from backbones.draws import EVALUATION, row_seeds
from backbones.generate import generate
from backbones.model.loading import use_threads
from backbones.roles import Role
from envs.registry import env_id
from envs.task import Task
from evaluation.agents.episodes import Asked, Said
from evaluation.finished_run import load_policy, ppo_config, setup_of_run
from perlhf.errors import UserError

_TOGETHER = 32  # episodes whose responses are sampled in one forward


class Policy:
    """A role that speaks in many episodes at a time. What it samples depends on the seed, the episode and the step.

    Args:
        role: that speaks.
        max_new_tokens: where a response is cut.
        temperature: of the samples; 0 is greedy.
        seed: of the samples.
    """

    together = _TOGETHER

    def __init__(self, role: Role, max_new_tokens: int, temperature: float, seed: int) -> None:
        self.role, self.max_new_tokens, self.temperature, self.seed = role, max_new_tokens, temperature, seed

    def answer(self, asked: Sequence[Asked]) -> list[Said]:
        backbone = self.role.backbone
        prompts = [backbone.encode_prompt(q.observation["prompt"], q.observation.get("image")) for q in asked]
        seeds = [row_seeds(self.seed, [q.number], q.step, EVALUATION)[0] for q in asked]
        rows = generate(self.role, prompts, self.max_new_tokens, self.temperature, seeds)
        return [Said(backbone.decode(row), len(p), len(row)) for p, row in zip(prompts, rows, strict=True)]


def of_run(
    folder: str, env: str, split: str, options: Mapping[str, Any], max_tokens: int | None, temperature: float, seed: int
) -> tuple[Task, Policy]:
    """Returns the task of a run, with further options, and its policy.

    Args:
        folder: of the run of agents.train_ppo.
        env: that is to be played; the run's own.
        split: of its data.
        options: of the task, over the run's.
        max_tokens: where a response is cut; None for where the run cut it.
        temperature, seed: see `Policy`.

    Raises:
        UserError: it is no finished run, or of another env.
    """
    config = ppo_config(Path(folder))
    setup = setup_of_run(config)
    if setup.env_id != env_id(env):
        raise UserError(f"--agent run:{folder} is a run on {config['env']}; give --env {config['env']}.")
    task = setup.task(split, **options)
    return task, Policy(load_policy(Path(folder), setup), max_tokens or config["max_new_tokens"], temperature, seed)


def of_backbone(name: str, env: str, max_tokens: int, temperature: float, seed: int) -> Policy:
    """Returns a backbone as it is: a shipped SFT policy, or a language model that reads instructions.

    Raises:
        UserError: there is no such backbone.
    """
    setup = Setup.of(env, backbone=name, load_settings=BackboneSettings().load_settings)
    use_threads(0, setup.backbone.parameter_count)
    return Policy(setup.backbone.reference, fitting(max_tokens, setup.backbone), temperature, seed)
