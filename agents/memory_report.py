"""`--memory-report`: what a run will hold by role, before anything is loaded, and what it did hold."""

from dataclasses import replace
from typing import Any

import torch

from agents.hyperparameters import PolicySettings
from agents.policy import LoRAPolicy
from backbones import group
from backbones.generate import ROWS
from backbones.memory import MICRO_BATCH, Held, MemoryPlan, RoleSettings, Shape, plan_memory, skeleton
from backbones.model.anatomy import base_weights
from backbones.roles import Role
from backbones.sharding import is_to_be_sharded, local, processes_per_base
from perlhf.measure import peak_rss_mb
from rewards.reward_model import RewardModel

PLANNED_PROMPT = 512  # tokens of the longest prompt, where no limit is given: contexts are far longer than prompts


def plan_of(
    settings: PolicySettings,
    batch_size: int,
    micro_batch_size: int | None,
    n_envs: int,
    reward: str,
    backbone: str,
    has_values: bool = True,
) -> MemoryPlan:
    """Returns what each process of a run will hold at most: its share of the envs, of a minibatch, of a sharded base.

    Prompts are taken to be as long as `--max-prompt-tokens`, or `PLANNED_PROMPT`, and a reward other than "gold" for
    one model on the same backbone, of the value adapter's rank.
    """
    processes = group.size()
    rows = min(ROWS, -(-n_envs // processes))
    micro_batch = min(micro_batch_size or MICRO_BATCH, -(-batch_size // processes))
    shape = Shape(settings.max_prompt_tokens or PLANNED_PROMPT, settings.max_new_tokens, rows, micro_batch)
    model = skeleton(backbone)
    policy, value = settings.lora(model), settings.lora(model, rank=settings.value_rank)
    reward_adapter = None if reward == "gold" else replace(settings, full=False).lora(model, rank=settings.value_rank)
    if settings.full:
        return plan_memory(backbone, RoleSettings(None, None, reward_adapter, has_values=has_values), shape)
    adapters = RoleSettings(policy, value, reward_adapter, settings.value_adapter == "shared", has_values)
    shards = processes_per_base() if is_to_be_sharded(settings.load_settings) else 1
    return plan_memory(backbone, adapters, shape, settings.precision, shards)


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
    lines.append(
        f"while sampling: keys and values {_mb(plan.cache):.0f}, merged weights {_mb(plan.merged):.0f}; "
        f"while training: activations {_mb(plan.activations):.0f}"
    )
    if plan.gathered:
        lines.append(f"of the sharded base whole at a time: {_mb(plan.gathered):.1f}")
    share = plan.total / plan.four_models
    processes = f", in each of {group.size()} processes" if group.size() > 1 else ""
    lines.append(
        f"at most {_mb(plan.total):.0f} in all beside the libraries{processes}; as four models, two of them trained in "
        f"full, {_mb(plan.four_models):.0f} ({share:.2f} of that)"
    )
    return "\n".join(lines)


def report(plan: MemoryPlan, policy: LoRAPolicy, reward: RewardModel | None) -> dict[str, Any]:
    """Plan and outcome of one process for summary.json, in bytes but for the peak."""
    return {
        "processes": group.size(),
        "planned": {name: held._asdict() for name, held in plan.roles.items()},
        "planned_cache": plan.cache,
        "planned_merged": plan.merged,
        "planned_activations": plan.activations,
        "planned_gathered": plan.gathered,
        "planned_total": plan.total,
        "planned_four_models": plan.four_models,
        "held": {name: held._asdict() for name, held in held_by(policy, reward).items()},
        "peak_rss_mb": peak_rss_mb(),
    }


def _mb(count: int) -> float:
    return count / 2**20
