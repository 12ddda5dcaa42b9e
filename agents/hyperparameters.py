"""What PPO learns by, and what its policy is made of: dataclasses, each setting in one place.

Three readers take the fields from here. The command line (`agents.train_ppo`) makes an option of each, with its help
and its bounds. `agents.PPO` and `agents.LoRAPolicy` take them as keyword arguments:

    PPO("LoRAPolicy", "HH-v0", gamma=0.99, policy_kwargs={"lora_rank": 16})

Checkpoints (`agents.checkpoint`) and the memory report (`agents.memory_report`) write down and read what stands here.
So a new setting is one field below, and the line of PPO or of the policy that uses it.

The bounds hold for all three: an object of these classes is checked when it is made.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, TypeVar

from transformers import PreTrainedModel

from agents.algorithms import ALGORITHMS
from backbones.model.anatomy import top_layers
from backbones.model.loading import LoadSettings
from backbones.roles import LoRASettings
from perlhf.client import check_url
from perlhf.errors import UserError, did_you_mean
from perlhf.options import check_bounds, option

SCHEDULES = ("learning_rate", "clip_range")  # which from Python may be SB3's schedules too

Settings = TypeVar("Settings", bound="Hyperparameters | PolicySettings")


@dataclass
class Hyperparameters:
    """What PPO learns by; from Python, the `SCHEDULES` may be SB3's schedules too."""

    group: ClassVar[str] = "how it learns"  # the heading in --help
    algorithm: Literal["ppo", "reinforce", "rloo", "grpo", "reinforce++"] = option("ppo", "see docs/ppo.md")
    group_size: int | None = option(None, "episodes from one state or prompt; 8 for rloo, grpo, else 1", low=1)
    frontier: float = option(0.0, "share of groups that begin at the border of success", low=0, high=1)
    n_steps: int | None = option(
        None, "turns of each env in a rollout; 1, or whole episodes, by default", low=1
    )  # with whole episodes: at most
    batch_size: int = option(16, "turns in an optimizer step", low=1)
    micro_batch_size: int | None = option(
        None, "turns in a forward of training; 16, or as many as fit, by default", low=1
    )
    n_epochs: int = option(1, "passes over a rollout", low=1)
    learning_rate: float | None = option(
        None, "Adam's; 0.8 / the backbone's width by default, a tenth with --full", above=0
    )
    gamma: float = option(1.0, "discount of rewards, per response token", low=0, high=1)
    gae_lambda: float = option(0.95, "decay of generalised advantages, per token", low=0, high=1)
    clip_range: float = option(0.2, "the policy ratio is clipped at 1 - X and 1 + X", above=0)
    clip_range_vf: float | None = option(0.2, "how far a value may move before it is clipped", above=0)
    vf_coef: float = option(0.5, "weight of the value loss", low=0)
    value_warmup: int = option(0, "first rollouts, in which values alone are trained", low=0)
    ent_coef: float = option(0.0, "weight of the entropy bonus", low=0)
    max_grad_norm: float = option(1.0, "longest a gradient may be; else it is scaled down", above=0)
    average_weights: float = option(0.0, "decay of the weights' average, the final policy", low=0, below=1)
    target_kl: float | None = option(
        None, "ends updates on a rollout where the KL per token is 1.5 times this", above=0
    )
    kl_coef: float = option(0.1, "weight of the KL penalty to the SFT policy", low=0)
    kl_target: float | None = option(None, "KL to SFT, in nats a response, that kl_coef is steered to", above=0)
    kl_horizon: int = option(10_000, "episodes over which kl_coef is steered there", low=1)
    missing_eos_penalty: float = option(1.0, "taken off the score where there is no end token", low=0)
    normalize_scores: bool = option(False, "divide scores by their running standard deviation")
    preflight: bool = option(True, "check at the first update that the trainer learns")
    importance: Literal["token", "sequence"] = option("token", "what is weighted by p / q where a server samples")
    importance_cap: float = option(2.0, "the largest of these weights", low=1)

    def __post_init__(self) -> None:
        check_bounds(self, SCHEDULES)

    @property
    def whole_episodes(self) -> bool:
        """Whether a rollout is one whole episode of each env, alike at their start in each group."""
        return not ALGORITHMS[self.algorithm].has_values or (self.group_size or 1) > 1

    def settled(self) -> "Hyperparameters":
        """Returns these with what the algorithm says where nothing was given.

        Raises:
            UserError: a setting that has no say in the algorithm, or no group to compare in.
        """
        algorithm = ALGORITHMS[self.algorithm]
        for field in fields(self):
            if field.name in algorithm.unused and getattr(self, field.name) != field.default:
                raise UserError(f"{field.name} has no say with algorithm {self.algorithm!r}; leave it out.")
        if algorithm.reward_weights(self.kl_coef)[0] <= 0:
            raise UserError(
                f"{self.algorithm!r} weighs the score by 1 - kl_coef; kl_coef must be below 1, got {self.kl_coef:g}."
            )
        size = algorithm.group_size if self.group_size is None else self.group_size
        if algorithm.compares and size == 1:
            raise UserError(
                f"algorithm {self.algorithm!r} compares responses to one prompt; group_size must be at least 2, got 1."
            )
        settled = replace(self, group_size=size)
        if self.frontier and not settled.whole_episodes:
            raise UserError("frontier chooses where whole episodes begin; give a group_size of 2 or more, or leave it.")
        return settled if settled.whole_episodes else replace(settled, n_steps=self.n_steps or 1)


@dataclass
class BackboneSettings:
    """The language model, and how it is held and reads text."""

    group: ClassVar[str] = "the language model"
    backbone: str = option("tiny", "the language model: 'tiny' (the task's own small one), a folder or a hub id")
    precision: Literal["fp32", "mixed", "bf16", "auto", "int8", "int4"] = option(
        "fp32",
        "numbers of the frozen weights; mixed has bf16 products, auto what suits model and device",
        also=("dtype",),
    )
    attn: Literal["sdpa", "eager", "flash_attention_2"] | None = option(
        None, "kind of attention; the model's own by default"
    )
    max_prompt_tokens: int | None = option(None, "longer prompts lose their oldest; half the context by default", low=1)
    max_response_tokens: int | None = option(None, "longer responses are cut; the other half by default", low=2)
    chat_template: str = option(
        "auto", "how messages become a prompt: auto (the model's own template), none, or a file of Jinja"
    )
    stop: str = option("", r"texts that end a response, such as '\n\nHuman:', with commas between")
    shard_base: bool = option(False, "with several processes, share the model's layers out over them")

    @property
    def load_settings(self) -> LoadSettings:
        """How the backbone is held in memory and how it reads text."""
        known = (field.name for field in fields(LoadSettings) if hasattr(self, field.name))
        return LoadSettings(**{name: getattr(self, name) for name in known})


@dataclass
class ModelSettings(BackboneSettings):
    """The language model, and what is trained of it: what SFT, reward models and PPO have in common."""

    group: ClassVar[str] = "what is trained"
    gradient_checkpointing: bool = option(
        False, "run layers again in the backward pass, for less memory", group=BackboneSettings.group
    )
    lora_rank: int = option(8, "rank of the adapter", low=1)
    lora_alpha: float | None = option(None, "scale of the adapter; twice its rank by default, 16 with rslora", above=0)
    lora_targets: str = option(
        "attention",
        "which maps have adapters: attention, mlp, all-linear, or a regular expression of whole names",
    )
    lora_variant: Literal["lora", "rslora", "dora"] = option(
        "lora", "lora, rslora (scale alpha / sqrt(rank)) or dora (learns magnitudes too)"
    )
    lora_init: Literal["default", "orthogonal", "pissa"] = option(
        "default", "how adapters begin: default, orthogonal or pissa; each adds 0 at first"
    )
    lora_layers: str = option("all", "which layers have adapters: all, half, quarter, or so many at the top")
    lora_vision: bool = option(False, "adapt the vision tower too, where the backbone has one")
    full: bool = option(False, "train all weights, on a copy, instead of adapters")

    @property
    def load_settings(self) -> LoadSettings:
        """How the backbone is held in memory and how it reads text."""
        settings = super().load_settings
        if self.full and settings.shard_base:
            raise UserError("--full trains all weights, and --shard-base shares out frozen ones; leave one out.")
        return replace(settings, precision="fp32") if self.full and settings.precision == "auto" else settings

    def lora(self, model: PreTrainedModel, rank: int | None = None, dropout: float = 0.0) -> LoRASettings | None:
        """Returns what an adapter on `model` is; None where all weights are trained.

        Args:
            model: whose layers are counted.
            rank: where it is another than `lora_rank`; its scale is twice it then.
            dropout: before the adapter while training.
        """
        if self.full:
            return None
        layers = top_layers(self.lora_layers, model)
        size = (self.lora_rank, self.lora_alpha) if rank is None else (rank, None)
        return LoRASettings(
            *size, dropout, self.lora_vision, layers, self.lora_targets, self.lora_variant, self.lora_init
        )


@dataclass
class PolicySettings(ModelSettings):
    """What the policy is made of, and how it samples."""

    group: ClassVar[str] = "what the policy is made of"
    value_adapter: Literal["own", "shared"] = option(
        "own", "read values from an adapter of their own, or from a head on the policy's states, which saves a forward"
    )
    value_rank: int = option(4, "rank of a value adapter that starts afresh", low=1)
    max_new_tokens: int = option(64, "tokens after which a response is cut", low=1)
    temperature: float = option(1.0, "temperature of sampling, and of log-probabilities in training", above=0)
    rollout: str = option("local", "who samples in training: local, or the URL of a vLLM server")

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.rollout != "local":
            check_url(self.rollout)
            if self.full:
                raise UserError("rollout: a server is sent adapters, and --full trains all weights; leave one of them.")


def from_keywords(settings: type[Settings], given: Mapping[str, Any], taker: str, also: Iterable[str] = ()) -> Settings:
    """Makes an object of `settings` from keyword arguments.

    Args:
        settings: `Hyperparameters` or `PolicySettings`.
        given: the keyword arguments.
        taker: who was given them, for the message.
        also: further names that `taker` knows, for the hint.

    Raises:
        UserError: an argument that is no field, with the nearest name, or a value out of bounds.
    """
    known = {field.name for field in fields(settings)}
    for name in given:
        if name not in known:
            raise UserError(f"{taker} has no argument {name!r}.{did_you_mean(name, known | set(also))}")
    return settings(**given)


def values_of(settings: type[Settings], options: Any) -> dict[str, Any]:
    """Returns the fields of `settings` as `options` has them, which extends it or has attributes of these names."""
    return {field.name: getattr(options, field.name) for field in fields(settings)}
