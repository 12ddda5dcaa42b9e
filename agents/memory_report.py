"""`--memory-report`: what a run will hold by role, before anything is loaded, and what it did hold."""

from dataclasses import replace
from typing import Any

import torch

from agents.algorithms import ALGORITHMS
from agents.hyperparameters import Hyperparameters, PolicySettings
from agents.policy import LoRAPolicy
from backbones import group
from backbones.generate import ROWS
from backbones.memory import Held, MemoryPlan, RoleSettings, plan_memory, rows_within, skeleton
from backbones.model.anatomy import base_weights
from backbones.model.devices import find_device, precision_on
from backbones.passes import Shape
from backbones.roles import Role
from backbones.sharding import is_to_be_sharded, local, processes_per_base
from perlhf.measure import peak_rss_mb
from rewards.reward_model import RewardModel

PLANNED_PROMPT = 512  # tokens of the longest prompt, where no limit is given: contexts are far longer than prompts


def plan_of(
    settings: PolicySettings,
    learning: Hyperparameters,
    n_envs: int,
    reward: str,
    backbone: str,
) -> MemoryPlan:
    """Returns what each process of a run will hold at most: its share of the envs, of a minibatch, of a sharded base.

    Args:
        settings: of the policy.
        learning: of the algorithm.
        n_envs: of all processes.
        reward: a reward other than "gold" is taken for one model on the same backbone, of the value adapter's rank.
        backbone: its name. Prompts are taken to be as long as `--max-prompt-tokens`, or `PLANNED_PROMPT`.
    """
    learning = learning.settled()
    group_size, turns = learning.group_size or 1, learning.n_steps or 1  # envs with equal prompts; turns of each
    has_values = ALGORITHMS[learning.algorithm].has_values
    model = skeleton(backbone)
    count = sum(p.numel() for p in model.parameters())
    precision = precision_on(settings.load_settings.precision, find_device("auto"), count)
    policy, value = settings.lora(model), settings.lora(model, rank=settings.value_rank)
    reward_adapter = None if reward == "gold" else replace(settings, full=False).lora(model, rank=settings.value_rank)
    prompt, response = settings.max_prompt_tokens or PLANNED_PROMPT, settings.max_new_tokens
    envs, batch = (-(-count // group.size()) for count in (n_envs, learning.batch_size))
    again = settings.gradient_checkpointing
    most = learning.micro_batch_size or rows_within(backbone, policy, prompt + response, response, precision, again)
    rows, shares = min(ROWS, envs), precision == "fp32" and not settings.shard_base
    # How many rows of a step have one prompt, which is computed once for them: see `backbones.shortcuts.shared_lines`.
    together = max(1, round(group_size * min(1, batch / (envs * turns)))) if shares else 1
    shape = Shape(prompt, response, rows, min(most, batch), -(-rows // group_size), envs * turns, together)
    if settings.full:
        roles = RoleSettings(None, None, reward_adapter, has_values=has_values)
    else:
        roles = RoleSettings(policy, value, reward_adapter, settings.value_adapter == "shared", has_values)
    shards = processes_per_base() if is_to_be_sharded(settings.load_settings) else 1
    return plan_memory(backbone, roles, shape, precision, shards, again)


def held_by(policy: LoRAPolicy, reward: RewardModel | None) -> dict[str, Held]:
    """Returns what the roles hold now, the gradients and moments of their last update included."""
    base = sum(local(weight).nbytes for weight in base_weights(policy.backbone.model).values())
    roles = {"reference": Held(base)}
    for role in policy.roles:
        roles[role.name] = _held(role, policy.optimizer)
    if reward is not None and reward.role.backbone is policy.backbone:
        roles["reward"] = _held(reward.role, policy.optimizer)
    return roles


def _held(role: Role, optimizer: torch.optim.Optimizer) -> Held:
    parameters = list(role.parameters().values())
    moments = [v for p in parameters for k, v in optimizer.state.get(p, {}).items() if k.startswith("exp_avg")]
    gradients = [p.grad for p in parameters if p.grad is not None]
    return Held(*(sum(tensor.nbytes for tensor in part) for part in (parameters, gradients, moments)))


def describe_plan(plan: MemoryPlan) -> str:
    """Returns the plan as a table for the terminal, in MB of one process."""
    lines = [f"{'planned, MB':12} {'weights':>9} {'gradients':>9} {'Adam':>9}"]
    for name, held in plan.roles.items():
        lines.append(f"{name:12} " + " ".join(f"{_mb(part):9.1f}" for part in held))
    lines += [f"while {name} {_mb(held):.0f}{_parts(parts)}" for name, held, parts in _phases(plan) if held]
    if plan.gathered:
        lines.append(f"of the sharded base whole at a time: {_mb(plan.gathered):.1f}")
    if plan.loading == plan.total:
        lines.append(f"while weights are read, with the file that they are made of: {_mb(plan.loading):.0f}")
    share = plan.total / plan.four_models
    processes = f", in each of {group.size()} processes" if group.size() > 1 else ""
    lines.append(
        f"at most {_mb(plan.total):.0f} in all beside the libraries{processes}; as four models, two of them trained in "
        f"full, {_mb(plan.four_models):.0f} ({share:.2f} of that)"
    )
    return "\n".join(lines)


def _phases(plan: MemoryPlan) -> list[tuple[str, int, dict[str, int]]]:
    """Returns what each phase takes beside the roles, and what that is made of."""
    return [
        ("sampling", plan.sampling, {
            "keys and values": plan.cache, "merged weights": plan.merged, "reading prompts": plan.reading,
            "states below the adapters": plan.sampled + plan.states,
        }),
        ("scoring", plan.states + plan.scoring, {}),
        ("training", plan.training, {
            "activations": plan.activations, "the backward pass": plan.backward, "images": plan.images,
            "states below the adapters": plan.states, "weights as they were": plan.checked,
        }),
    ]  # fmt: skip


def _parts(parts: dict[str, int]) -> str:
    known = [f"{name} {_mb(held):.0f}" for name, held in parts.items() if held]
    return f" ({', '.join(known)})" if known else ""


def report(plan: MemoryPlan, policy: LoRAPolicy, reward: RewardModel | None) -> dict[str, Any]:
    """Plan and outcome of one process for summary.json, in bytes but for the peak."""
    return {
        "processes": group.size(),
        "planned": {name: held._asdict() for name, held in plan.roles.items()},
        "planned_cache": plan.cache,
        "planned_merged": plan.merged,
        "planned_activations": plan.activations,
        "planned_sampling": plan.sampling,
        "planned_scoring": plan.states + plan.scoring,
        "planned_training": plan.training,
        "planned_gathered": plan.gathered,
        "planned_total": plan.total,
        "planned_four_models": plan.four_models,
        "held": {name: held._asdict() for name, held in held_by(policy, reward).items()},
        "peak_rss_mb": peak_rss_mb(),
    }


def _mb(count: int) -> float:
    return count / 2**20
