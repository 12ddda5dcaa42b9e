"""`LoRAPolicy`: what speaks and what expects. A policy adapter and a value adapter on one frozen backbone."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from agents.hyperparameters import PolicySettings, from_keywords
from agents.value_start import obstacle
from backbones.backbone import Backbone
from backbones.draws import PREDICTION, row_seeds
from backbones.engine.engine import Engine, LocalEngine
from backbones.engine.server import ServerEngine
from backbones.forward import read_head, response_states, speak
from backbones.generate import generate
from backbones.model.loading import short_name
from backbones.model.tokens import TokenBatch
from backbones.roles import HeadRole, LoRARole, LoRASettings, Role
from backbones.shortcuts.shared_lines import shared_lines
from perlhf import reproducible
from perlhf.errors import UserError
from rewards.reward_model import RewardModel

Observation = Mapping[str, Any]
Tokens = Sequence[Sequence[int]]


class Outputs(NamedTuple):
    """What a forward of the policy, of the value function or of both gives, (B, T) each."""

    spoken: tuple[Tensor, Tensor] | None  # log p of the response tokens, and the entropy at each of them
    values: Tensor | None


class LoRAPolicy(BasePolicy):
    """The policy of `agents.PPO`: text in, text out; the image beside the text too where the observation has one.

    Args:
        observation_space, action_space: the env's.
        lr_schedule: learning rate by the share of training that is left.
        seed: of the adapters and of sampling.
        device: where the backbone lives; "auto" is a GPU where there is one.
        value_start: the reward model to start the value role from; PPO passes the env's.
        value_settings: of the value adapter where they are known, as from a checkpoint; nothing else counts then.
        has_values: whether there is a value role.
        settings: the fields of `agents.hyperparameters.PolicySettings`: backbone, adapters, sampling.

    Raises:
        UserError: a setting that there is not, or one out of its bounds.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        *,
        seed: int = 0,
        device: str | torch.device = "auto",
        value_start: RewardModel | None = None,
        value_settings: LoRASettings | None = None,
        has_values: bool = True,
        **settings: Any,
    ) -> None:
        super().__init__(observation_space, action_space)
        own = ("seed", "device", "value_start", "value_settings", "has_values")
        s = from_keywords(PolicySettings, settings, "LoRAPolicy", own)
        self.backbone = Backbone.load(s.backbone, device, s.load_settings)
        self.max_new_tokens = fitting(s.max_new_tokens, self.backbone)
        self.temperature = s.temperature
        self.policy_role = self.backbone.add_role("policy", s.lora(self.backbone.model), seed=seed)
        self.engine: Engine = LocalEngine(self.policy_role)
        if s.rollout != "local":
            self.engine = ServerEngine(s.rollout, self.backbone)
        if value_settings is not None:
            value_start = None
        self.no_value_start: str | None = None  # why V does not start as the reward model, where there is one
        adapter = value_settings or s.lora(self.backbone.model, rank=s.value_rank)
        self.value_role: Role | None = None
        self.value_offset = 0.0
        if not has_values:
            refuse_value_settings(s)
        elif s.value_adapter == "shared":
            self.value_role = HeadRole(self.backbone, "value", self.policy_role)
        else:
            self.value_role, self.value_offset = self._make_value_role(adapter, value_start, seed + 1)
        self.seed, self.predictions = seed, 0  # how often `predict` has sampled: the turn of its seeds
        self.policy_parameters = _registered(self.policy_role)
        if self.value_role is not None:
            self.value_parameters = _registered(self.value_role)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=lr_schedule(1), eps=1e-5, fused=reproducible.fused())

    def _make_value_role(
        self, adapter: LoRASettings | None, start: RewardModel | None, seed: int
    ) -> tuple[Role, float]:
        """Makes a value role that begins as the reward model where there is one of its kind on this backbone.

        What the reward model takes off every score (its centre) is the offset. The start is a good guess, not the
        score: V reads the state before each token, the end token too, and the reward model the state after the end
        token, the only one it was trained on. Nor does it know of the penalties, or of a scale by `normalize_scores`.
        """
        if start is not None:
            self.no_value_start = obstacle(start, self.backbone, adapter is None)
        if start is None or self.no_value_start is not None:
            return self.backbone.add_role("value", adapter, head=True, seed=seed), 0.0
        settings = start.role.settings if isinstance(start.role, LoRARole) else None
        if settings is not None and start.role.frozen_layers < self.policy_role.frozen_layers:
            # Else there would be no states below the adapters that are both's, which saves half of the work.
            assert adapter is not None
            settings = replace(settings, layers=adapter.layers)
        role = self.backbone.add_role("value", settings, head=True, seed=seed)
        role.copy_from(start.role)
        return role, -start.centre

    @property
    def reference_role(self) -> Role:
        """The SFT policy: the bare backbone."""
        return self.backbone.reference

    def encode(self, observation: Observation) -> list[list[int]]:
        """Prompt token ids, one row a prompt, with its image where there is one."""
        prompts = observation["prompt"]
        images = observation.get("image", [None] * len(prompts))
        return [self.backbone.encode_prompt(*shown) for shown in zip(prompts, images, strict=True)]

    def sample(self, prompts: Tokens, seeds: Sequence[int]) -> tuple[list[list[int]], list[list[float]] | None]:
        """Samples a response for each prompt, by its own seed: token ids, and log p of each where a server sampled."""
        rows = self.engine.generate(prompts, self.max_new_tokens, self.temperature, seeds)
        said = [row.log_probs for row in rows if row.log_probs is not None]
        return [row.ids for row in rows], said or None

    def batch(self, prompts: Tokens, responses: Tokens) -> TokenBatch:
        """Rows as padded tensors; those with equal prompts share a line of them where that is less work."""
        return shared_lines(self.backbone, prompts, responses)

    @property
    def shares_states(self) -> bool:
        """Whether V is read off the policy's own hidden states."""
        return isinstance(self.value_role, HeadRole)

    @property
    def frozen_layers(self) -> int:
        """How many of the lowest layers neither policy nor value changes."""
        return min(role.frozen_layers for role in self.roles)

    def log_probs_and_entropy(self, batch: TokenBatch, with_entropy: bool = True) -> tuple[Tensor, Tensor]:
        """log p of the response tokens under the policy and the entropy at each of them (0 if unwanted), (B, T)."""
        with self.policy_role.active() as model:
            spoken = speak(model, batch, self.temperature, with_entropy)
        return spoken.log_probs, spoken.entropies

    def values(self, batch: TokenBatch) -> Tensor:
        """V of the state before each response token, (B, T)."""
        assert self.value_role is not None
        with self.value_role.active() as model:
            return self._read_values(response_states(model, batch))

    def log_probs_and_values(self, batch: TokenBatch, with_entropy: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """Returns log p of the response tokens, the entropy and V at each, (B, T); in one forward for shared states."""
        if not self.shares_states:
            return *self.log_probs_and_entropy(batch, with_entropy), self.values(batch)
        assert self.value_role is not None
        with self.value_role.active() as model:
            log_probs, entropies, states = speak(model, batch, self.temperature, with_entropy)
            values = self._read_values(states)
        return log_probs, entropies, values

    @property
    def roles(self) -> list[Role]:
        """What is trained: policy, and value where there is one."""
        return [self.policy_role] if self.value_role is None else [self.policy_role, self.value_role]

    @property
    def trained_roles(self) -> list[Role]:
        """The roles that an update goes through: those there are, or one where V reads the policy's states."""
        return self.roles[1:] if self.shares_states else self.roles

    def outputs(self, role: Role, batch: TokenBatch, with_entropy: bool = True) -> Outputs:
        """Returns what one of `trained_roles` gives for a batch, in one forward."""
        if self.shares_states:
            log_probs, entropies, values = self.log_probs_and_values(batch, with_entropy)
            return Outputs((log_probs, entropies), values)
        if role is self.policy_role:
            return Outputs(self.log_probs_and_entropy(batch, with_entropy), None)
        return Outputs(None, self.values(batch))

    def _read_values(self, states: Tensor) -> Tensor:
        assert self.value_role is not None
        assert self.value_role.head is not None
        if self.shares_states:
            # The value loss would pull at the policy's adapter, the harder the larger the returns are.
            states = states.detach()
        return read_head(self.value_role.head, states) + self.value_offset

    @torch.no_grad()
    def predict_values(self, observation: Observation) -> Tensor:
        """V of the prompts themselves, (B,)."""
        prompts = self.encode(observation)
        return self.values(self.batch(prompts, [[self.backbone.pad_id]] * len(prompts)))[:, 0]

    def predict(  # type: ignore[override]
        self,
        observation: Observation,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[Any, tuple[np.ndarray, ...] | None]:
        """Responses to prompts: one str for an env's observation, a list for a vector env's.

        `deterministic` takes the likeliest token each time; otherwise samples at the policy's temperature, by numbers
        of the policy's seed, the row and how often it was asked before. Training samples the same with it and without.
        """
        single = isinstance(observation["prompt"], str)
        batch = {key: [value] for key, value in observation.items()} if single else observation
        actions = self._predict(batch, deterministic)
        return (actions[0] if single else actions), state

    def _predict(self, observation: Observation, deterministic: bool = False) -> list[str]:  # type: ignore[override]
        prompts = self.encode(observation)
        if deterministic:
            ids = generate(self.policy_role, prompts, self.max_new_tokens, temperature=0.0)
        else:
            seeds = row_seeds(self.seed, range(len(prompts)), self.predictions, PREDICTION)
            ids = generate(self.policy_role, prompts, self.max_new_tokens, self.temperature, seeds)
            self.predictions += 1
        return [self.backbone.decode(row) for row in ids]

    def set_training_mode(self, mode: bool) -> None:
        """Dropout stays off while sampling, scoring and training alike, so that the first ratio is 1."""
        self.training = mode


def refuse_value_settings(settings: PolicySettings) -> None:
    """Raises UserError where a policy without a value role is told what that is made of."""
    for field in fields(settings):
        if field.name in ("value_adapter", "value_rank") and getattr(settings, field.name) != field.default:
            raise UserError(f"{field.name}: this algorithm learns no values; leave it out.")


def fitting(max_new_tokens: int, backbone: Backbone) -> int:
    """Returns how many tokens are sampled at most, as they were given.

    Raises:
        UserError: the backbone reads no responses as long.
    """
    room = backbone.max_response_tokens
    if max_new_tokens > room:
        raise UserError(
            f"max_new_tokens {max_new_tokens} does not fit: of the {backbone.max_length} tokens that backbone "
            f"{short_name(backbone.path)!r} was made for, prompts may take {backbone.max_prompt_tokens} and responses "
            f"{room}; lower it, or max_prompt_tokens."
        )
    return max_new_tokens


def _registered(role: Role) -> nn.ParameterDict:
    """Returns the role's parameters where torch finds them; the frozen backbone stays out of the module."""
    return nn.ParameterDict({name.replace(".", "|"): p for name, p in role.parameters().items()})
