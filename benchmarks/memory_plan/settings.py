"""Eight settings that take memory in different ways."""

from dataclasses import dataclass, field
from typing import Any

from benchmarks.performance.cases import Size

PROMPT, RESPONSE = 192, 64  # tokens of a row; all rows have as many
WARM = Size(32, 2, 4, 256, 64)  # what the libraries are warmed up on


@dataclass(frozen=True)
class Setting:
    """What PPO is run with.

    Attributes:
        model: a key of `benchmarks.performance.cases.SIZES`; "" for a model that sees.
        n_envs: rows of a rollout.
        batch_size: of them in an optimizer step; half of it in a forward.
        policy: the policy's settings.
        hyperparameters: PPO's.
        processes: that share the rows.
    """

    model: str
    n_envs: int
    batch_size: int = 16
    policy: dict[str, Any] = field(default_factory=dict)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    processes: int = 1

    @property
    def micro_batch_size(self) -> int:
        """Rows in a forward of training, where processes do not have fewer."""
        return self.batch_size // 2


_SHARED = {"value_adapter": "shared"}
SETTINGS = {
    "PPO, adapters on all layers": Setting("8.4M", 16),
    "adapters on the top half, 64 envs": Setting("8.4M", 64, policy={**_SHARED, "lora_layers": "half"}),
    "all weights": Setting("8.4M", 8, 8, {"full": True}),
    "images": Setting("", 16, policy={"max_new_tokens": 16, "max_prompt_tokens": 48}),
    "grpo, groups of 8": Setting("8.4M", 32, 32, hyperparameters={"algorithm": "grpo", "group_size": 8}),
    "mixed precision, the top quarter": Setting(
        "25M", 16, 32, policy={**_SHARED, "lora_layers": "quarter", "precision": "mixed"}
    ),
    "gradient checkpointing": Setting("25M", 8, policy={**_SHARED, "gradient_checkpointing": True}),
    "two processes": Setting("8.4M", 32, 32, processes=2),
}
