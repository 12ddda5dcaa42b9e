"""Which cases each part of the benchmark is made of, and in which order they are measured."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from benchmarks.performance.cases import (
    AGILERL_PPO,
    MATMUL,
    PERLHF_PPO,
    PERLHF_PROFILE,
    PERLHF_REWARD,
    SIZES,
    TRL_PPO,
    TRL_REWARD,
    Case,
    MatmulWork,
    PPOWork,
    RewardWork,
    Work,
)

Kept = TypeVar("Kept", PPOWork, RewardWork)

PARTS = ("ppo", "reward", "full", "curves", "profile", "peak")
OTHERS_PPO = ((TRL_PPO, "LoRA"), (TRL_PPO, "value LoRA"), (AGILERL_PPO, "LoRA"))
_LARGE = 100_000_000  # parameters
OTHERS_REWARD = ((TRL_REWARD, "LoRA"), (TRL_REWARD, "bf16"))


@dataclass(frozen=True)
class Plan:
    """Which models the parts are about, and how much work each gets.

    Attributes:
        ppo, reward: work that perlhf and the others are given alike.
        full_ppo, full_reward: work that adapters and full tuning are given alike.
        settings: of perlhf, for PPO; keys of `cases.SETTINGS`.
        reward_settings: the same for reward models, which have no value adapter.
        once: models that are measured in one round only.
        curves: what all curves have in common.
        ranks, batch_sizes, lengths, n_envs, models: what they vary.
    """

    ppo: tuple[PPOWork, ...]
    reward: tuple[RewardWork, ...]
    full_ppo: tuple[PPOWork, ...]
    full_reward: tuple[RewardWork, ...]
    curves: PPOWork
    settings: tuple[str, ...] = ("own", "shared", "best", "learns")
    reward_settings: tuple[str, ...] = ("shared", "best", "half")
    once: tuple[str, ...] = ("135M", "342M")
    curve_setting: str = "shared"
    ranks: tuple[int, ...] = (1, 4, 8, 16, 64)
    batch_sizes: tuple[int, ...] = (4, 8, 16, 32)
    lengths: tuple[int, ...] = (24, 48, 96, 192)
    n_envs: tuple[int, ...] = (8, 16, 32, 64, 128)
    models: tuple[str, ...] = ("8.4M", "25M", "60M", "342M")


_PPO = (PPOWork("8.4M", 32, 4, 16), PPOWork("60M", 16, 1, 8, iterations=1))
_REWARD = (RewardWork("8.4M", 96), RewardWork("60M", 48))
WHOLE = Plan(
    ppo=(*_PPO, PPOWork("135M", 8, 1, 4, iterations=1)),
    reward=(*_REWARD, RewardWork("135M", 16, epochs=2, batch_size=8)),
    full_ppo=(*_PPO, PPOWork("342M", 8, 1, 4, iterations=1)),
    full_reward=(*_REWARD, RewardWork("342M", 16, epochs=2, batch_size=8)),
    curves=PPOWork("8.4M", 32, 1, 16),
)

_TINY_PPO, _TINY_REWARD = PPOWork("tiny", 4, 1, 2, 8, iterations=1), RewardWork("tiny", 8, 2, 4)
QUICK = Plan(
    ppo=(_TINY_PPO,),
    reward=(_TINY_REWARD,),
    full_ppo=(_TINY_PPO,),
    full_reward=(_TINY_REWARD,),
    curves=_TINY_PPO,
    once=(), ranks=(8,), batch_sizes=(2,), lengths=(8,), n_envs=(4,), models=("tiny",),
)  # fmt: skip


def others_ppo(work: PPOWork) -> list[tuple[str, str]]:
    """Returns the others that do a work; on a CPU AgileRL samples prompt by prompt, so not on a large model."""
    large = SIZES[work.model].parameters > _LARGE
    return [(program, setting) for program, setting in OTHERS_PPO if not (large and program == AGILERL_PPO)]


def restricted(plan: Plan, models: Collection[str]) -> Plan:
    """Returns the same about these models alone; the curves stay what they are."""

    def kept(works: tuple[Kept, ...]) -> tuple[Kept, ...]:
        return tuple(work for work in works if work.model in models)

    return replace(
        plan, ppo=kept(plan.ppo), reward=kept(plan.reward), full_ppo=kept(plan.full_ppo),
        full_reward=kept(plan.full_reward), models=tuple(model for model in plan.models if model in models),
    )  # fmt: skip


def curves_of(plan: Plan) -> dict[str, dict[str, PPOWork]]:
    """Returns the work of each curve: by what is varied, then by its value."""
    base = plan.curves
    return {
        "LoRA rank": {str(rank): replace(base, lora_rank=rank) for rank in plan.ranks},
        "rollouts in an optimizer step": {str(n): replace(base, batch_size=n) for n in plan.batch_sizes},
        "response tokens": {str(n): replace(base, max_new_tokens=n) for n in plan.lengths},
        "envs in the vector env": {str(n): replace(base, n_envs=n) for n in plan.n_envs},
        "parameters of the backbone": {model: _of_model(base, model) for model in plan.models},
    }


def _of_model(base: PPOWork, model: str) -> PPOWork:
    """Returns the same on another model, with fewer rollouts on a large one, which would take many minutes."""
    large = SIZES[model].parameters > _LARGE
    return replace(base, model=model, n_envs=8 if large else base.n_envs, batch_size=4 if large else base.batch_size)


def cases_of(plan: Plan, part: str) -> list[Case]:
    """All cases of a part, each once."""
    if part == "ppo":
        ours = [(PERLHF_PPO, setting) for setting in plan.settings]
        return [Case(program, setting, work) for work in plan.ppo for program, setting in (*ours, *others_ppo(work))]
    if part == "reward":
        reward_sides = [*((PERLHF_REWARD, setting) for setting in plan.reward_settings), *OTHERS_REWARD]
        return [Case(program, setting, work) for work in plan.reward for program, setting in reward_sides]
    if part == "full":
        ppo = [Case(PERLHF_PPO, s, work) for work in plan.full_ppo for s in (*plan.settings, "full")]
        return ppo + [Case(PERLHF_REWARD, s, w) for w in plan.full_reward for s in (*plan.reward_settings, "full")]
    if part == "curves":
        works = [work for curve in curves_of(plan).values() for work in curve.values()]
        return [Case(PERLHF_PPO, plan.curve_setting, work) for work in dict.fromkeys(works)]
    if part == "profile":
        return [Case(PERLHF_PROFILE, setting, work) for work in plan.ppo for setting in plan.settings]
    return [Case(MATMUL, "", MatmulWork(model)) for model in dict.fromkeys(work.model for work in plan.ppo)]


def schedule(plan: Plan, parts: Sequence[str], rounds: int) -> Iterator[tuple[int, Case]]:
    """Every measurement as (round, case): what is compared with each other takes turns, A B C A B C..."""
    groups: dict[Work, list[Case]] = {}
    for part in parts:
        for case in cases_of(plan, part):
            assert case.work is not None
            group = groups.setdefault(case.work, [])
            if case not in group:
                group.append(case)
    many = {case for part in ("ppo", "reward", "full") for case in cases_of(plan, part)}
    for work, group in groups.items():
        for number in range(1 if work.model in plan.once else rounds):
            yield from ((number, case) for case in group if number == 0 or case in many)


def baselines(cases: Sequence[Case]) -> list[Case]:
    """Returns the processes that only import what these cases import."""
    return list(dict.fromkeys(case.imports for case in cases if case.program not in (MATMUL, PERLHF_PROFILE)))
