"""`Adapters`: manages the LoRA adapters on a model, of which at most one runs at a time.

peft keeps them side by side in each projection that it wraps. Roles go through this class and touch no layer of peft's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from typing import TYPE_CHECKING
from weakref import WeakSet, finalize

import torch
from peft import LoraConfig, LoraModel
from peft.tuners.lora import LoraLayer
from peft.utils.integrations import dequantize_module_weight
from peft.utils.other import transpose
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from backbones.sharding import whole
from backbones.shortcuts.from_start import count_from_here, principal_part, start_of
from backbones.shortcuts.low_rank import use_thin_products

if TYPE_CHECKING:
    from backbones.roles import LoRARole, Role


class Adapters:
    """Adds adapters to a model, switches between them, merges one into the weights, frees those that nobody holds.

    Attributes:
        active_role: the role that the model is in now; None outside of every `active`.
        merged_role: the role whose adapter is added into the weights now, or None.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.active_role: Role | None = None
        self.merged_role: Role | None = None
        self._model = model
        self._tuner: LoraModel | None = None  # made with the first adapter
        self._layers: dict[str, LoraLayer] = {}  # the adapted projections, by their plain names
        self._roles: WeakSet[LoRARole] = WeakSet()  # whose adapters are in the model
        self._dead: list[str] = []  # adapters of roles that nobody holds any more

    @property
    def frozen_layers(self) -> int:
        """Counts the lowest layers that are as in the bare model in the active role; 0 where there is none."""
        return 0 if self.active_role is None else self.active_role.frozen_layers

    def add(self, role: "LoRARole", config: LoraConfig, seed: int) -> None:
        """Puts a new adapter of a role into the model and names it in `role.adapter`. It changes nothing at first.

        Args:
            role: whose adapter it is; it is freed when nobody holds the role any more.
            config: peft's, without a head; its own start is that of `role.settings.init`.
            seed: of the initial weights; the global random state is left alone.
        """
        # Two PPO runs in one process may each have a policy on the same backbone.
        taken = {other.adapter for other in self._roles} | set(self._dead)
        name = next(n for n in chain([role.name], (f"{role.name}_{i}" for i in count(2))) if n not in taken)
        self._free_dead()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU's for good
            self._inject(name, config)
            for layer in self.layers_of(name).values():
                _START[role.settings.init](layer, name)
        role.adapter = name
        self._roles.add(role)
        self._switch(self.active_role)
        # Only noted here: the garbage collector may run while the model is being walked.
        finalize(role, self._dead.append, name)

    def layers_of(self, adapter: str) -> dict[str, LoraLayer]:
        """Returns the projections that an adapter is on, by their plain names; another adapter may be on more."""
        return {name: layer for name, layer in self._layers.items() if adapter in layer.lora_A}

    def parameters_of(self, adapter: str) -> dict[str, nn.Parameter]:
        """Returns A (rank, in) and B (out, rank) of each of these projections, by their names in peft's files.

        With DoRA the magnitudes (out,) too.
        """
        found: dict[str, nn.Parameter] = {}
        for name, layer in self.layers_of(adapter).items():
            found[f"{name}.lora_A.weight"] = layer.lora_A[adapter].weight
            found[f"{name}.lora_B.weight"] = layer.lora_B[adapter].weight
            if adapter in layer.lora_magnitude_vector:
                found[f"{name}.lora_magnitude_vector"] = layer.lora_magnitude_vector[adapter].weight
        return found

    def starts_of(self, adapter: str) -> dict[str, Tensor]:
        """Returns what A and B count from, by the same names; nothing where that is 0."""
        starts = {name: start_of(layer, adapter) for name, layer in self.layers_of(adapter).items()}
        kept = [(name, start) for name, start in starts.items() if start is not None]
        return {f"{name}.lora_{part}.weight": t for name, start in kept for part, t in zip("AB", start, strict=True)}

    @contextmanager
    def active(self, role: "Role | None") -> Iterator[PreTrainedModel]:
        """Puts the model in a role inside the block, and in the one before after it, also after errors.

        Args:
            role: who speaks; None and a role without an adapter leave the bare model.

        Raises:
            RuntimeError: an adapter is merged into the weights, which all roles share.
        """
        before = self.active_role
        self._switch(role)
        try:
            yield self._model
        finally:
            self._switch(before)

    @contextmanager
    def merged(self, role: "LoRARole") -> Iterator[PreTrainedModel]:
        """As `active`, and merges the adapter into the weights, so that a forward costs what it costs the base.

        The weights' own tensors are set aside and come back, bit for bit: subtracting the update again, as peft does,
        would not give them. bf16 weights stay as they are, since an update of a few optimizer steps is lost in their
        rounding, and so do those that are shared out over processes, of which there is a part here.
        """
        with self.active(role) as model:
            adapted = self.layers_of(role.adapter).values()
            layers = [layer for layer in adapted if _can_merge(layer.get_base_layer().weight)]
            plain = [layer.get_base_layer().weight for layer in layers]
            try:
                self.merged_role = role
                for layer in layers:
                    _merge(layer, role.adapter)
                yield model
            finally:
                self.merged_role = None
                for layer, weight in zip(layers, plain, strict=True):
                    layer.get_base_layer().weight = weight

    def _inject(self, name: str, config: LoraConfig) -> None:
        config = LoraConfig(**config.to_dict())  # peft may write its own into it
        if self._tuner is None:
            self._tuner = LoraModel(self._model, config, name)
        else:
            self._tuner.peft_config[name] = config
            self._tuner.inject_adapter(self._model, name)
        self._layers = {n: m for n, m in self._model.named_modules() if isinstance(m, LoraLayer)}
        for layer in self.layers_of(name).values():
            layer.lora_A[name].float()  # peft takes over the type of the weights, which may be bf16
            use_thin_products(layer.lora_B[name].float())
            if name in layer.lora_magnitude_vector:
                layer.lora_magnitude_vector[name].weight = nn.Parameter(_norms(layer, name))

    def _switch(self, role: "Role | None") -> None:
        """Puts the model in a role, and asserts that exactly the role's own parameters take gradients."""
        if self.merged_role is not None:
            raise RuntimeError(f"role {self.merged_role.name} is merged into the weights; leave that block first")
        adapter = None if role is None else role.adapter
        for layer in self._layers.values():
            layer.set_adapter([] if adapter is None else [adapter])
        for other in self._roles:
            other.set_trainable(other is role)
        self.active_role = role
        self._free_dead()
        trained = role.body_parameters() if role is not None and role.trainable else {}
        wanted = {id(p) for p in trained.values()}
        actual = {id(p) for p in self._model.parameters() if p.requires_grad}
        assert actual == wanted, f"{len(actual)} parameters take gradients in role {role and role.name}"

    def _free_dead(self) -> None:
        while self._dead:
            assert self._tuner is not None
            self._tuner.delete_adapter(self._dead.pop())


@torch.no_grad()
def merged_weight(layer: LoraLayer, adapter: str, weight: Tensor) -> Tensor:
    """Computes W + scale * B A, what a projection's weight comes to with its adapter.

    Less the start where the adapter counts from one. With DoRA (arXiv 2402.09353) each row is scaled to its magnitude.

    Args:
        layer: the projection.
        adapter: one that is on it.
        weight: W, which may have more digits than what the projection holds.
    """
    update = layer.get_delta_weight(adapter).to(weight.device)
    start = start_of(layer, adapter)
    if start is not None:
        first = transpose(start.b @ start.a, layer.fan_in_fan_out) * layer.scaling[adapter]
        update = update - first.to(weight.device)
    if adapter not in layer.lora_magnitude_vector:
        return weight + update
    factor = (layer.lora_magnitude_vector[adapter].weight / _norms(layer, adapter)).to(weight.device)
    return transpose(factor[:, None], layer.fan_in_fan_out) * (weight + update)


def _can_merge(weight: Tensor) -> bool:
    return weight.dtype == torch.float32 and not isinstance(weight, DTensor)


def _merge(layer: LoraLayer, adapter: str) -> None:
    """Gives a projection the merged weight for its own, and takes the adapter off."""
    base = layer.get_base_layer()
    base.weight = nn.Parameter(merged_weight(layer, adapter, base.weight), requires_grad=False)
    layer.set_adapter([])


@torch.no_grad()
def _norms(layer: LoraLayer, adapter: str) -> Tensor:
    """Computes the norms (out,) of the rows of W + scale * B A, as DoRA's forward does in the adapter's float32."""
    dora, up = layer.lora_magnitude_vector[adapter], layer.lora_B[adapter]
    product = dora.get_lora_weight(layer.lora_A[adapter], up).to(up.weight.dtype)
    weight = dequantize_module_weight(layer.get_base_layer()).to(up.weight.dtype)
    norms: Tensor = dora.get_weight_norm(weight, product, layer.scaling[adapter])
    return norms


# How an adapter begins. peft draws A, and leaves B at 0, before any of these.


def _as_drawn(_: LoraLayer, __: str) -> None:
    pass


@torch.no_grad()
def _orthogonal(layer: LoraLayer, adapter: str) -> None:
    """Begins with A and B both drawn, on directions of the rank that are orthogonal, so that B A is 0.

    As peft's `orthogonal`, but that rotates the rank by a random matrix, after which B A is 0 up to rounding only.
    Here A has the even directions and B the odd ones, and it is 0 exactly.
    """
    a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
    for weight, mine in ((a, a[0::2]), (b, b[:, 1::2])):
        drawn = torch.randn(mine.shape) / 10
        weight.zero_()
        mine.copy_(drawn)


@torch.no_grad()
def _principal(layer: LoraLayer, adapter: str) -> None:
    a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
    held = whole(dequantize_module_weight(layer.get_base_layer())).to(a.dtype)
    part = principal_part(transpose(held, layer.fan_in_fan_out), len(a), layer.scaling[adapter])
    a.copy_(part.a)
    b.copy_(part.b)
    count_from_here(layer, adapter)


_START = {"default": _as_drawn, "orthogonal": _orthogonal, "pissa": _principal}
