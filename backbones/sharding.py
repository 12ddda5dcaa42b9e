"""Sharding: holds a base that no process has whole. torch's FSDP2 shares the decoder layers' weights out.

A layer gathers its weights before it runs, forwards and backwards, and lets go of them after it, so that a process
holds its share of all layers and one whole layer at a time. The embedding, the LM head, a vision tower and adapters are
whole everywhere: adapters are small, and their gradients are summed as without sharding (`backbones.group`). On several
machines each has all shares between its processes, so that no weight travels from machine to machine.

To gather is to meet: every forward takes all processes. So all run as many forwards, in the same order (`in_step`), and
what would run more of them on one process, or needs a layer's weights outside of its forward, is off: adapters are not
merged while sampling, and neither frozen states nor shared prefixes are kept.
"""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel

from backbones import group
from backbones.model.anatomy import base_weights, decoder_layers, hash_base
from backbones.model.loading import QUANTIZED, BackboneError, LoadSettings, Precision, auto_class
from backbones.shortcuts.head_states import head_rule
from backbones.shortcuts.precision import reduce_precision
from backbones.shortcuts.top_mlp import top_mlp_at
from perlhf.errors import one_line

if TYPE_CHECKING:
    from backbones.backbone import Backbone

T = TypeVar("T")
Read = tuple[PreTrainedModel, Precision, str | None]  # a model, its precision, and the hash of what was read


class _Plan(NamedTuple):
    """Describes the model that the first process has read, to those that have not."""

    config: PreTrainedConfig
    attention: str
    generation: GenerationConfig | None
    types: dict[str, torch.dtype]  # of all weights and buffers
    precision: Precision
    sha256: str


def is_to_be_sharded(settings: LoadSettings) -> bool:
    """Tells whether a base is to be shared out: with `shard_base`, over more than one process.

    Raises:
        BackboneError: its weights are quantized ones.
    """
    if settings.shard_base and settings.precision in QUANTIZED:
        raise BackboneError(
            f"--shard-base goes with weights in fp32, mixed or bf16; those in {settings.precision} cannot be cut, as "
            "each block of them has a scale of its own. Leave one of the two out."
        )
    return settings.shard_base and group.size() > 1


def processes_per_base() -> int:
    """Returns how many processes a layer is shared out over: those of one machine, or all where machines are unlike."""
    each = int(os.environ.get("LOCAL_WORLD_SIZE", group.size()))
    return group.size() if group.size() % each else each


def load_sharded(read: Callable[[], Read], path: str, device: torch.device) -> Read:
    """Reads a model on the first process alone and shares its decoder layers out over all.

    Args:
        read: gives it in the memory of the CPU, its precision, and the hash of its files' weights where these have more
            digits; called on the first process.
        path: where it is, for messages.
        device: where each process holds its share.

    Returns:
        The model of which this process holds a share, its precision, and the hash of the whole.

    Raises:
        BackboneError: on all processes, where `read` raises it or the model's layers cannot be shared out.
    """
    whole: list[PreTrainedModel] = []

    def read_and_describe() -> _Plan:
        model, precision, sha256 = read()
        if decoder_layers(model) is None:
            raise BackboneError(f"--shard-base: {type(model).__name__} does not hold its layers in one list.")
        whole.append(model)
        types = {name: tensor.dtype for name, tensor in _tensors(model).items()}
        how = model.config._attn_implementation
        return _Plan(model.config, how, model.generation_config, types, precision, sha256 or hash_base(model))

    if device.type not in ("cpu", "cuda"):
        raise BackboneError(f"--shard-base: layers can be shared out on cpu and cuda, not on {device.type}.")
    plan = group.from_first(read_and_describe)
    try:
        model = _outline(plan)
        _shard_layers(model, device)
        _fill(model, whole.pop() if whole else None)
    except (RuntimeError, ValueError, NotImplementedError) as error:
        raise BackboneError(f"backbone {path!r} cannot be shared out (--shard-base): {one_line(error)}") from None
    _settle_rules(model)
    return model, plan.precision, plan.sha256


def is_sharded(model: PreTrainedModel) -> bool:
    """Tells whether this process holds a share of the model's layers."""
    layers = decoder_layers(model)
    return layers is not None and isinstance(layers[0], FSDPModule)


def describe(model: PreTrainedModel) -> str:
    """Returns a line that says what of the base is held here, and what is off with it."""
    weights = base_weights(model).values()
    held = sum(local(weight).nbytes for weight in weights)
    whole = sum(weight.numel() * weight.element_size() for weight in weights)
    return (
        f"base: shared out over {group.size()} processes, {held / 1e6:,.1f} of {whole / 1e6:,.1f} MB in this one; "
        "adapters are not merged for sampling, no frozen states or shared prefixes are kept"
    )


def in_step(backbone: "Backbone", batches: Sequence[T], idle: T) -> Sequence[T]:
    """Returns what this process runs forwards on, one of `batches` at a time, and `idle` where only others have more.

    Nobody can run a forward of a base that is shared out without the others, so on `idle` the same forwards are to run
    on any row, and what they give is dropped. Of a base that is whole here these are the batches alone.
    """
    if not backbone.is_sharded:
        return batches
    return [*batches, *[idle] * (group.most(len(batches)) - len(batches))]


def goes_on(backbone: "Backbone", here: bool) -> bool:
    """Tells whether sampling goes on: here, or with a base that is shared out on any process."""
    return group.most(int(here)) > 0 if backbone.is_sharded else here


def local(tensor: Tensor) -> Tensor:
    """Returns what this process holds of a weight: its share, or all of one that is whole."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """Gathers a weight from its shares; all processes call it together. One that is whole stays as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _outline(plan: _Plan) -> PreTrainedModel:
    """Makes the model without its weights, in their types."""
    with torch.device("meta"):
        model: PreTrainedModel = auto_class(plan.config).from_config(plan.config, attn_implementation=plan.attention)
    reduce_precision(model, plan.precision)
    for name, tensor in _tensors(model).items():
        tensor.data = tensor.data.to(plan.types[name])
    model.generation_config = plan.generation
    return model.eval().requires_grad_(False)


def _shard_layers(model: PreTrainedModel, device: torch.device) -> None:
    """Lets FSDP2 have the decoder layers, each for itself; the model around them calls parts of it, so it stays."""
    layers, mesh = decoder_layers(model), _mesh(device)
    assert layers is not None
    for layer in layers:
        # A layer alone is a root to FSDP2, and a root keeps its weights after a forward unless it is told otherwise.
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    model.to_empty(device=device)
    model.tie_weights()


def _mesh(device: torch.device) -> DeviceMesh:
    """Makes the mesh of the processes of this machine, which share a base out.

    What machines have alike needs no mesh: frozen weights have no gradients to be added up. The row is called "fsdp":
    peft would take another name for tensor parallelism, where a layer runs on its share alone.
    """
    each = processes_per_base()
    sides = (group.size() // each, each)
    return init_device_mesh(device.type, sides, mesh_dim_names=("machines", "fsdp"))["fsdp"]


def _fill(model: PreTrainedModel, source: PreTrainedModel | None) -> None:
    """Sends the weights from the first process, one at a time; a process keeps its share of each.

    Buffers go too: what is in no file, such as the frequencies of positions, a model without weights does not have.
    """
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_model_state_dict(model, {} if source is None else source.state_dict(), options=options)
    given = {} if source is None else dict(source.named_buffers())
    for name, buffer in model.named_buffers():
        if source is not None:
            buffer.copy_(given[name])
        dist.broadcast(buffer, src=0)


def _settle_rules(model: PreTrainedModel) -> None:
    """Asks the model now what it would be asked before its first large batch, which not all processes have at once."""
    head_rule(model)
    with top_mlp_at(model, (slice(None), slice(-1, None))):
        pass


def _tensors(model: nn.Module) -> dict[str, Any]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
