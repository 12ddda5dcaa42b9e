"""What is measured: models, amounts of work, settings of perlhf, and the cases that each part is made of."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

PROMPT_TOKENS = 64


class Size(NamedTuple):
    """The shape of a random Llama, whose embedding and LM head are two matrices."""

    hidden: int
    layers: int
    heads: int
    vocabulary: int
    intermediate: int

    @property
    def parameters(self) -> int:
        """All weights but those of the norms."""
        layer = 4 * self.hidden**2 + 3 * self.hidden * self.intermediate
        return self.layers * layer + 2 * self.hidden * self.vocabulary


SIZES = {
    "tiny": Size(32, 2, 4, 256, 64),
    "8.4M": Size(256, 6, 4, 4096, 1024),
    "25M": Size(384, 8, 6, 8192, 1536),
    "60M": Size(640, 10, 10, 8192, 1728),
    "342M": Size(1024, 24, 16, 16384, 2816),
}

# What perlhf is run with, as `policy_kwargs` of PPO and options of the commands.
SETTINGS: dict[str, dict[str, Any]] = {
    "own": {"value_adapter": "own", "lora_layers": "all", "precision": "fp32"},
    "shared": {"value_adapter": "shared", "lora_layers": "all", "precision": "fp32"},
    "best": {"value_adapter": "shared", "lora_layers": "half", "precision": "mixed"},
    "full": {"full": True},
    "defaults": {},
}


@dataclass(frozen=True)
class PPOWork:
    """PPO iterations, one of which warms up; every rollout is one prompt and `max_new_tokens` of response."""

    model: str
    n_envs: int  # rollouts in an iteration
    n_epochs: int
    batch_size: int  # rollouts in an optimizer step
    max_new_tokens: int = 48
    lora_rank: int = 8
    iterations: int = 2  # measured


@dataclass(frozen=True)
class RewardWork:
    """Training a reward model on pairs, after a warm-up of one batch."""

    model: str
    pairs: int
    epochs: int = 3
    batch_size: int = 16  # pairs in an optimizer step
    lora_rank: int = 8


Work = PPOWork | RewardWork


@dataclass(frozen=True)
class Case:
    """One measurement, made in a process of its own.

    Attributes:
        program: module of this package that makes it.
        setting: of perlhf a key of `SETTINGS`; of others their own.
        work: None for what the imports alone cost.
    """

    program: str
    setting: str = ""
    work: Work | None = None

    @property
    def key(self) -> str:
        """What the measurement is kept under."""
        work = None if self.work is None else {"kind": type(self.work).__name__, **asdict(self.work)}
        return json.dumps([self.program, SETTINGS.get(self.setting, self.setting), work])

    @property
    def imports(self) -> "Case":
        """The process that only imports the same libraries."""
        return Case(self.program)


@dataclass(frozen=True)
class Plan:
    """Which models the parts are about, and how much work each gets."""

    ppo: tuple[PPOWork, ...]
    reward: tuple[RewardWork, ...]
    full_ppo: tuple[PPOWork, ...]
    full_reward: tuple[RewardWork, ...]
    settings: tuple[str, ...] = ("own", "shared", "best")
    reward_settings: tuple[str, ...] = ("shared", "best")
    curves: PPOWork = PPOWork("8.4M", 32, 1, 16)
    ranks: tuple[int, ...] = (1, 4, 8, 16, 64)
    batch_sizes: tuple[int, ...] = (4, 8, 16, 32)
    lengths: tuple[int, ...] = (24, 48, 96, 192)
    n_envs: tuple[int, ...] = (8, 16, 32, 64, 128)
    models: tuple[str, ...] = ("8.4M", "25M", "60M", "342M")


_PPO = (PPOWork("8.4M", 32, 4, 16), PPOWork("60M", 16, 1, 8))
_REWARD = (RewardWork("8.4M", 96), RewardWork("60M", 48))

WHOLE = Plan(
    ppo=_PPO,
    reward=_REWARD,
    full_ppo=(*_PPO, PPOWork("342M", 8, 1, 4, iterations=1)),
    full_reward=(*_REWARD, RewardWork("342M", 16, epochs=2, batch_size=8)),
)

_TINY_PPO, _TINY_REWARD = PPOWork("tiny", 4, 1, 2, 8), RewardWork("tiny", 8, 2, 4)

QUICK = Plan(
    ppo=(_TINY_PPO,),
    reward=(_TINY_REWARD,),
    full_ppo=(_TINY_PPO,),
    full_reward=(_TINY_REWARD,),
    settings=("defaults",),
    reward_settings=("defaults",),
    curves=_TINY_PPO,
    ranks=(1,), batch_sizes=(2,), lengths=(8,), n_envs=(4,), models=("tiny",),
)  # fmt: skip


def curves(plan: Plan) -> dict[str, dict[str, PPOWork]]:
    """The work of each curve: by what is varied, then by its value."""
    base = plan.curves
    return {
        "LoRA rank": {str(rank): replace(base, lora_rank=rank) for rank in plan.ranks},
        "rollouts in an optimizer step": {str(n): replace(base, batch_size=n) for n in plan.batch_sizes},
        "response tokens": {str(n): replace(base, max_new_tokens=n) for n in plan.lengths},
        "envs in the vector env": {str(n): replace(base, n_envs=n) for n in plan.n_envs},
        "parameters of the backbone": {
            model: replace(base, model=model, n_envs=base.n_envs if SIZES[model].hidden < 1000 else 8)
            for model in plan.models
        },
    }
