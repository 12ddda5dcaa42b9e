"""Plans what PPO's four roles will hold in memory, from a model's config alone, before anything is loaded.

The model is made on torch's "meta" device, where tensors have shapes and no values. A forward there says what autograd
would keep, and a forward and backward what is there at once at most, of any architecture, without a formula for each.

What is counted is what tensors take. The C library's heap may keep what they gave back: glibc before 2.38 cannot use a
gap of an aligned tensor's size for the next one of that size, and a process then holds up to 2.5 times as much
(`python -m benchmarks.memory_plan`).
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from backbones.model.anatomy import decoder_layers, layer_count
from backbones.model.devices import find_device, precision_on
from backbones.model.loading import (
    QUANTIZED,
    SMALL,
    BackboneError,
    Precision,
    auto_class,
    read_config,
    resolve_path,
    sees,
)
from backbones.model.targets import adapted_names
from backbones.passes import (
    Shape,
    activation_bytes,
    bytes_of_states,
    bytes_of_training,
    cache_bytes,
    kept_with_checkpoints,
    reading_bytes,
)
from backbones.roles import LoRASettings, Role
from backbones.shortcuts.frozen_states import KEPT_BYTES
from backbones.shortcuts.planned_attention import planned_attention
from backbones.shortcuts.precision import reduce_precision
from perlhf.errors import UserError, one_line

_ADAM = 2  # moments of a parameter, each as large as it
_TYPICAL = 68  # bytes of a token, a layer and a number of its state: 34 of them in half precision (arXiv 2205.05198)
_BUDGET = 1 << 30  # bytes that autograd may keep of one forward on a CPU
MICRO_BATCH = 16  # rows in one forward of training where memory allows it
_GATHERED = 2  # times the largest layer of a sharded base: gathered, and copied out of that message into weights
_MODELS, _TRAINED = 4, 2  # policy, reference, value and reward as models of their own; of which two are trained


class Held(NamedTuple):
    """Counts the bytes of one role."""

    weights: int
    gradients: int = 0
    optimizer: int = 0

    @property
    def total(self) -> int:
        return sum(self)

    @classmethod
    def trained(cls, weights: int, frozen: int = 0) -> "Held":
        """Counts weights with a gradient for each, and Adam's two moments; and what it holds that is frozen."""
        return cls(weights + frozen, weights, _ADAM * weights)


@dataclass(frozen=True)
class MemoryPlan:
    """Counts the bytes that one process will hold at most in training, beside the libraries themselves.

    Attributes:
        roles: by name. The backbone's weights are under "reference", the role that has nothing else.
        plain: of the weights in float32, as models of their own would hold them.
        cache: keys and values of the rows that are sampled side by side.
        merged: the weights that the policy's adapter is merged into meanwhile.
        activations: what autograd keeps of one micro-batch, the larger of policy and value; of text alone.
        reading: what reading the prompts side by side takes for a moment, their images too; not keys and values.
        sampled: what the frozen layers gave for the rows that are sampled side by side, until they are over.
        states: what is kept of the same for all rows of a rollout, until its last update.
        scoring: what a forward of scoring takes for a moment.
        backward: what training takes beside activations and the policy's gradients, for a moment.
        images: of those of a micro-batch, the pixels, and what autograd keeps of a vision tower that is adapted.
        checked: the copy of the trained weights that the first update is held against.
        loading: what is there while weights are read whose file has other numbers; 0 where they are the file's.
        gathered: of a sharded base, the layers that are whole at once while it runs.
        layers: the decoder layers whole, in the precision that they are held in; what sharding cuts.
        outside: what is held of the base beside them, the embedding and the LM head; every process has it whole.
        read: the share of a row's tokens that are its prompt, which have keys and values first.
    """

    roles: Mapping[str, Held]
    plain: int
    cache: int
    merged: int
    activations: int
    reading: int = 0
    sampled: int = 0
    states: int = 0
    scoring: int = 0
    backward: int = 0
    images: int = 0
    checked: int = 0
    loading: int = 0
    gathered: int = 0
    layers: int = 0
    outside: int = 0
    read: float = 1.0

    @property
    def base(self) -> int:
        """What is held of the frozen weights: all, or in a sharded base the rest and a share of the layers."""
        return self.roles["reference"].weights

    @property
    def adapters(self) -> int:
        """The weights that are trained, whose gradients several processes add up in an optimizer step."""
        return sum(held.gradients for held in self.roles.values())

    @property
    def sampling(self) -> int:
        """What sampling takes beside the roles: at its end, or where prompts are read and half of it is still empty."""
        at_the_end = self.cache + self.sampled + self.states
        return self.merged + max(at_the_end, int(self.read * (self.cache + self.sampled)) + self.reading)

    @property
    def training(self) -> int:
        """What an update takes beside the roles."""
        return self.states + self.checked + self.images + self.activations + self.backward

    @property
    def work(self) -> int:
        """What sampling, scoring or training takes beside the roles, which are never at once."""
        return max(self.sampling, self.states + self.scoring, self.training)

    @property
    def total(self) -> int:
        """Sums up the roles and the work; or counts what loading takes, where that is more."""
        roles = sum(held.total for held in self.roles.values())
        return max(roles + self.gathered + self.work, self.loading)

    @property
    def four_models(self) -> int:
        """Sums up policy, reference, value and reward as models of their own, the two trained ones in full."""
        trained, frozen = Held.trained(self.plain).total, self.plain
        return _TRAINED * trained + (_MODELS - _TRAINED) * frozen + max(self.cache, self.activations)


class RoleSettings(NamedTuple):
    """Says how each role is adapted: settings of LoRA, or None."""

    policy: LoRASettings | None  # None where all weights are trained, on a copy
    value: LoRASettings | None  # likewise; its head is not in it
    reward: LoRASettings | None  # None where no model gives the reward
    value_is_shared: bool = False  # V has nothing but its head
    has_values: bool = True  # whether there is a V


def plan_memory(
    name: str | PreTrainedConfig,
    adapters: RoleSettings,
    shape: Shape,
    precision: Precision = "fp32",
    shards: int = 1,
    checkpointing: bool = False,
) -> MemoryPlan:
    """Plans what the roles of PPO will hold on a backbone, in each process.

    Args:
        name: of the backbone: a shipped one, a folder or a hub id, of which the config alone is read; or a config.
        adapters: what is on it.
        shape: how many tokens there are, in one process.
        precision: of the backbone's weights.
        shards: processes that the decoder layers are cut over (`--shard-base`); 1 where each holds all.
        checkpointing: whether layers run again in the backward pass.

    Raises:
        BackboneError: there is no config that a model could be made of, or that model does not run without weights.
    """
    model = skeleton(name)
    plain = _bytes(model.parameters())
    if precision == "auto":
        precision = precision_on(precision, find_device("auto"), sum(p.numel() for p in model.parameters()))
    reduce_precision(model, precision)
    whole = _bytes(model.parameters()) - _saved_by_quantizing(model, precision)
    layers = [list(layer.parameters()) for layer in decoder_layers(model) or []]
    base = whole - sum(tensor.nbytes - _shard(tensor, shards) for layer in layers for tensor in layer)
    head = 4 * int(model.get_output_embeddings().weight.shape[-1])
    value = (0, 0) if adapters.value_is_shared else _role_bytes(model, adapters.value)
    roles = {
        "reference": Held(base),
        "policy": Held.trained(*_role_bytes(model, adapters.policy)),
        **({"value": Held.trained(value[0] + head, value[1])} if adapters.has_values else {}),
    }
    if adapters.reward is not None:
        roles["reward"] = Held(sum(_role_bytes(model, adapters.reward)) + head)
    merged = 0 if precision in QUANTIZED or shards > 1 else _merged_bytes(model, adapters.policy)
    gathered = _GATHERED * max(map(_bytes, layers), default=0) if shards > 1 else 0
    inside = sum(map(_bytes, layers)) - (_saved_by_quantizing(model, precision) if layers else 0)
    with _without_weights(name, model):
        tokens = shape.prompt + shape.response
        cache = cache_bytes(model) * shape.rows * tokens
        states = _frozen_bytes(model, adapters, shards, precision) * (tokens + 1)
        rollout = min(states * shape.rollout, KEPT_BYTES)
        reading = reading_bytes(model, shape)
        work = bytes_of_training(model, adapters.policy, shape, precision, checkpointing)
    return MemoryPlan(
        roles, plain, cache, merged, **work, reading=reading, states=rollout,
        sampled=states * shape.rows if rollout else 0, checked=sum(held.gradients for held in roles.values()),
        loading=_loading_bytes(model, plain, base, precision), gathered=gathered, layers=inside,
        outside=whole - inside, read=shape.prompt / tokens,
    )  # fmt: skip


def skeleton(name: str | PreTrainedConfig) -> PreTrainedModel:
    """Makes the model of a backbone without its weights, on the meta device, from its name or its config.

    Raises:
        BackboneError: there is no config that a model could be made of.
    """
    path = resolve_path(name) if isinstance(name, str) else ""
    try:
        config = read_config(path) if isinstance(name, str) else deepcopy(name)
        config.get_text_config().pad_token_id = None  # else some models look for it in ids that have no values
        with torch.device("meta"):
            model: PreTrainedModel = auto_class(config).from_config(
                config, dtype=torch.float32, attn_implementation=planned_attention()
            )
    except Exception as error:  # what damaged files raise is any of a dozen types
        called = name if isinstance(name, str) else name.model_type
        raise BackboneError(f"backbone {called!r} has no config to plan with: {one_line(error)}") from None
    return model.requires_grad_(False)


@contextmanager
def _without_weights(name: str | PreTrainedConfig, model: PreTrainedModel) -> Iterator[None]:
    """Says in a line, inside, that a model does not run on the meta device; mixtures of experts may not."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # what a model does there is any of a dozen types
        called = f"backbone {name!r}: " if isinstance(name, str) else ""
        raise BackboneError(
            f"{called}{type(model).__name__} does not run without its weights ({one_line(error)}), so its memory "
            "cannot be planned, by perlhf plan neither; leave out --memory-report."
        ) from None


def rows_that_fit(role: Role, length: int, response: int, most: int = MICRO_BATCH, rows: int = 1) -> int:
    """Returns how many rows one forward of training takes, so that what autograd keeps stays within a budget.

    The budget is a share of the memory that is free now, and on a CPU at most `_BUDGET`. Small backbones always take
    `most`, so that their results are the same on any machine.

    Args:
        role: that is trained.
        length: tokens of the longest row, prompt and response.
        response: of these, the tokens of the longest response.
        most: how many it may be at most.
        rows: how many rows of the forward count as one.
    """
    backbone = role.backbone
    again, lora = backbone.settings.gradient_checkpointing, getattr(role, "settings", None)
    how = (backbone.precision, again, most, rows, backbone.device)
    return most if backbone.parameter_count < SMALL else rows_within(backbone.path, lora, length, response, *how)


def rows_within(
    name: str,
    lora: LoRASettings | None,
    length: int,
    response: int,
    precision: Precision = "fp32",
    checkpointing: bool = False,
    most: int = MICRO_BATCH,
    rows: int = 1,
    device: torch.device | None = None,
) -> int:
    """Returns the same before a backbone is loaded; `device` is by default the one that a run would take."""
    model = skeleton(name)
    if sum(p.numel() for p in model.parameters()) < SMALL:
        return most
    shape = Shape(max(1, length - response), response, 1, 1)
    hidden = int(model.get_output_embeddings().weight.shape[-1])
    try:
        with _without_weights(name, model):
            of_one = activation_bytes(model, lora, shape) * rows
    except BackboneError:
        of_one = _TYPICAL * layer_count(model) * hidden * length * rows
    if checkpointing:
        of_one = kept_with_checkpoints(of_one, rows, layer_count(model), length, bytes_of_states(precision) * hidden)
    return max(1, min(most, _budget(device or find_device("auto")) // of_one))


def _budget(device: torch.device) -> int:
    """Returns how many bytes autograd may keep of a forward."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    return min(_BUDGET, free_bytes() // 4)


def free_bytes() -> int:
    """Returns the memory that is free on this machine, or in the control group of this process where that is less."""
    meminfo, group = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
    found = [_BUDGET * 4]
    try:
        kilobytes = re.search(r"MemAvailable:\s+(\d+)", meminfo.read_text())
        found = [int(kilobytes[1]) << 10] if kilobytes else found
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        found.append(int(limit) - int(used))
    except (OSError, ValueError):  # another system, or a group without a limit
        pass
    return max(0, min(found))


def _bytes(tensors: Any) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _shard(tensor: Tensor, shards: int) -> int:
    """Counts the bytes of the first process's shard, the largest: FSDP2 cuts a weight along its first dimension."""
    rows = tensor.shape[0]
    return tensor.nbytes // rows * -(-rows // shards)


def _saved_by_quantizing(model: PreTrainedModel, precision: Precision) -> int:
    """Counts the bytes that linear maps but the LM head take less of in 8 or 4 bits than in float32."""
    if precision not in QUANTIZED:
        return 0
    head = model.get_output_embeddings()
    maps = [m for m in model.modules() if isinstance(m, (nn.Linear, Conv1D)) and m is not head]
    return int(_bytes(m.weight for m in maps) * (3 / 4 if precision == "int8" else 7 / 8))


def _role_bytes(model: PreTrainedModel, lora: LoRASettings | None) -> tuple[int, int]:
    """Counts what a role trains, and what else it holds.

    A and B of every adapted map, rank * (in + out) numbers each; with DoRA a magnitude for each output too; and where
    they count from a start, a copy of them. All weights for None.
    """
    if lora is None:
        return _bytes(model.parameters()), 0
    adapted = _adapted(model, lora)
    factors = 4 * lora.rank * sum(sum(cast(Tensor, module.weight).shape) for module in adapted)
    magnitudes = 4 * sum(map(_width_of, adapted)) if lora.variant == "dora" else 0
    return factors + magnitudes, factors if lora.init == "pissa" else 0


def _merged_bytes(model: PreTrainedModel, lora: LoRASettings | None) -> int:
    """Counts the float32 weights that have an adapter; nothing is merged into those in bf16."""
    adapted = [] if lora is None else [cast(Tensor, module.weight) for module in _adapted(model, lora)]
    return _bytes(weight for weight in adapted if weight.dtype == torch.float32)


def _adapted(model: PreTrainedModel, lora: LoRASettings) -> list[nn.Module]:
    """Lists the linear maps that have an adapter."""
    names = adapted_names(model, lora.targets, lora.vision, lora.layers)
    return [model.get_submodule(name) for name in names]


def _width_of(module: nn.Module) -> int:
    """Counts the numbers that a linear map gives."""
    return cast(Tensor, module.weight).shape[1 if isinstance(module, Conv1D) else 0]


def _frozen_bytes(model: PreTrainedModel, adapters: RoleSettings, shards: int, precision: Precision) -> int:
    """Counts the state of a token below all adapters that train; 0 where none is kept."""
    value = adapters.policy if adapters.value_is_shared or not adapters.has_values else adapters.value
    trained = [adapters.policy, value]
    if shards > 1 or sees(model.config) or any(lora is None or lora.layers is None for lora in trained):
        return 0
    return bytes_of_states(precision) * int(model.get_output_embeddings().weight.shape[-1])


def _loading_bytes(model: PreTrainedModel, plain: int, base: int, precision: Precision) -> int:
    """Counts the file beside what is made of it, where its numbers are others; they are those that the config names."""
    half = model.config.dtype in (torch.bfloat16, torch.float16)
    same = {"fp32": not half, "bf16": half}.get(precision, False)
    return 0 if same else base + (plain // 2 if half else plain)
