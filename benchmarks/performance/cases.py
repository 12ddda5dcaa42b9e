"""What can be measured: models, amounts of work, settings of perlhf, and a case, which is one measurement."""

import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

PROMPT_TOKENS = 64
PERLHF_PPO, PERLHF_REWARD, PERLHF_PROFILE, TRL_PPO, TRL_REWARD, AGILERL_PPO, MATMUL = (
    "perlhf_ppo", "perlhf_reward", "perlhf_profile", "trl_ppo", "trl_reward", "agilerl_ppo", "matmul",
)  # fmt: skip


class Size(NamedTuple):
    """The shape of a random Llama, whose embedding and LM head are two matrices unless they are tied."""

    hidden: int
    layers: int
    heads: int
    vocabulary: int
    intermediate: int
    kv_heads: int | None = None  # of keys and values; as many as `heads` where none is given
    tied: bool = False

    @property
    def attention(self) -> int:
        """Weights of a layer's attention."""
        return 2 * self.hidden**2 + 2 * self.hidden**2 * (self.kv_heads or self.heads) // self.heads

    @property
    def parameters(self) -> int:
        """All weights but those of the norms."""
        layer = self.attention + 3 * self.hidden * self.intermediate
        return self.layers * layer + (1 if self.tied else 2) * self.hidden * self.vocabulary


SIZES = {
    "tiny": Size(32, 2, 4, 256, 64),
    "8.4M": Size(256, 6, 4, 4096, 1024),
    "25M": Size(384, 8, 6, 8192, 1536),
    "60M": Size(640, 10, 10, 8192, 1728),
    "135M": Size(576, 30, 9, 49152, 1536, kv_heads=3, tied=True),  # as SmolLM2-135M
    "342M": Size(1024, 24, 16, 16384, 2816),
}

# What perlhf is run with, as `policy_kwargs` of PPO and options of the commands.
SETTINGS: dict[str, dict[str, Any]] = {
    "own": {"value_adapter": "own", "lora_layers": "all", "precision": "fp32"},
    "shared": {"value_adapter": "shared", "lora_layers": "all", "precision": "fp32"},
    "best": {"value_adapter": "shared", "lora_layers": "quarter", "precision": "mixed"},
    "learns": {"value_adapter": "shared", "lora_layers": "quarter", "lora_targets": "all-linear", "precision": "fp32"},
    "half": {"lora_layers": "half", "lora_targets": "all-linear", "precision": "fp32"},
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


@dataclass(frozen=True)
class MatmulWork:
    """How fast this machine multiplies matrices as the model of this name has them."""

    model: str


Work = PPOWork | RewardWork | MatmulWork


@dataclass(frozen=True)
class Case:
    """One measurement, made in a process of its own.

    Attributes:
        program: the module of this package that makes it.
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
