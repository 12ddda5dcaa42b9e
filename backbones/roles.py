"""Roles: say who speaks through the backbone: a LoRA adapter, a head on another role's states, or the bare model.

A full copy of the model is in `backbones.full_role`. What roles do to the shared model, `backbones.adapters` does.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from backbones.adapters import merged_weight
from backbones.model.anatomy import layer_count
from backbones.model.loading import base_path_for
from backbones.model.targets import adapted_names, for_peft, linear_maps, lowest_adapted
from backbones.role_files import (
    PROVENANCE,
    belongs_to,
    check_base,
    read_provenance,
    read_tensors,
    with_starts,
    without_starts,
)
from perlhf.errors import UserError, one_line
from perlhf.run_folder import write_json

if TYPE_CHECKING:
    from backbones.backbone import Backbone

LoRAVariant = Literal["lora", "rslora", "dora"]
LoRAInit = Literal["default", "orthogonal", "pissa"]

_HEAD = "head.safetensors"
_RSLORA_ALPHA = 16.0  # that of the default rank, 8


@dataclass(frozen=True)
class LoRASettings:
    """Describes a LoRA adapter: on every attention projection (q, k, v, o) of the language model, as arXiv 2403.10704.

    The update of a weight is `alpha / rank * B @ A`, with B zero at the start (arXiv 2106.09685). With `vision` it is
    on those of the vision tower too. `layers` says how many layers of the language model have it, counted from the top.

    Attributes:
        targets: which linear maps have it, see `backbones.model.targets.adapted_names`.
        variant: "lora"; "rslora", whose scale is `alpha / sqrt(rank)` (arXiv 2312.03732); "dora", which learns the
            lengths of a weight's rows too (arXiv 2402.09353).
        init: "default"; "orthogonal", where A and B both begin drawn and B A is 0; "pissa", where they begin at the
            principal part of the weight (arXiv 2404.02948), see `backbones.shortcuts.from_start`.

    Raises:
        UserError: what does not go together.
    """

    rank: int = 8
    alpha: float | None = None  # twice the rank where None, and 16 for rslora, which is to fit all ranks
    dropout: float = 0.0
    vision: bool = False
    layers: int | None = None  # of the top; all where None
    targets: str = "attention"
    variant: LoRAVariant = "lora"
    init: LoRAInit = "default"

    def __post_init__(self) -> None:
        for name, value, known in (("variant", self.variant, LoRAVariant), ("init", self.init, LoRAInit)):
            if value not in get_args(known):
                raise UserError(f"lora_{name}: expected {', '.join(get_args(known))}, got {value!r}.")
        if self.init == "orthogonal" and self.rank % 2:
            raise UserError(f"lora_init orthogonal takes an even rank, got {self.rank}.")
        if self.init == "pissa" and self.variant == "dora":
            raise UserError("lora_init pissa goes with lora_variant lora or rslora, got dora.")

    @property
    def scaled_alpha(self) -> float:
        if self.alpha is not None:
            return self.alpha
        return _RSLORA_ALPHA if self.variant == "rslora" else 2.0 * self.rank

    def config(self, model: PreTrainedModel, names: Sequence[str]) -> LoraConfig:
        """Returns what peft calls it, on these linear maps of a model, without a head."""
        return LoraConfig(
            r=self.rank,
            lora_alpha=self.scaled_alpha,
            lora_dropout=self.dropout,
            target_modules=for_peft(model, names),
            use_rslora=self.variant == "rslora",
            use_dora=self.variant == "dora",
            fan_in_fan_out=any(isinstance(m, Conv1D) for m in model.modules()),
        )


class Role(ABC):
    """Runs the backbone in one way. Inside `with role.active() as model:` the model speaks as this role.

    Its parameters take gradients only there, so a backward pass belongs inside too. The blocks nest.

    Attributes:
        adapter: the name of its adapter on the shared model, or None.
        head: the scalar head on the last hidden states, (hidden,) -> (1,), or None.
        trainable: whether its parameters take gradients while it is active.
        frozen_layers: how many of the language model's lowest layers are as in the bare backbone.
    """

    adapter: str | None = None
    frozen_layers = 0

    def __init__(self, backbone: "Backbone", name: str, head: bool, seed: int) -> None:
        self.backbone, self.name = backbone, name
        self.head = _make_head(backbone, seed) if head else None
        self.trainable = True
        self._taking = False

    @abstractmethod
    def active(self) -> AbstractContextManager[PreTrainedModel]:
        """Puts the model in this role inside the block, and in the one before after it, also after errors."""

    def merged(self) -> AbstractContextManager[PreTrainedModel]:
        """As `active`, in the form that samples fastest: nothing may be learned inside, and no other role be active."""
        return self.active()

    @abstractmethod
    def body_parameters(self) -> dict[str, nn.Parameter]:
        """Returns what this role trains in the model, by name, in a fixed order."""

    def constants(self) -> dict[str, torch.Tensor]:
        """Returns what of its own it does not train, by name: what an adapter counts from that did not begin at 0."""
        return {}

    @abstractmethod
    def save(self, folder: Path, provenance: dict[str, Any] | None = None) -> None:
        """Writes the role, with `provenance` beside it; plain peft or transformers open all but a `HeadRole`."""

    @abstractmethod
    def load(self, folder: Path) -> dict[str, Any]:
        """Reads what `save` wrote and returns its provenance."""

    def parameters(self) -> dict[str, nn.Parameter]:
        """Returns everything this role trains, the head last."""
        found = self.body_parameters()
        if self.head is not None:
            found["score.weight"] = cast(nn.Parameter, self.head.weight)
        return found

    @torch.no_grad()
    def copy_from(self, other: "Role") -> None:
        """Takes over the weights of a role that adapts at least as much, each in the same shape."""
        for own, others in ((self.parameters(), other.parameters()), (self.constants(), other.constants())):
            for name, mine in own.items():
                mine.copy_(others[name])

    @torch.no_grad()
    def _take(self, folder: Path, tensors: dict[str, torch.Tensor | None]) -> None:
        """Takes over tensors that `folder` held, by the names of `parameters`; all of them or none."""
        for name, parameter in self.parameters().items():
            tensor = tensors[name]
            if tensor is None or tensor.shape != parameter.shape:
                got = "nothing" if tensor is None else tuple(tensor.shape)
                raise UserError(f"adapter {folder}: expected {tuple(parameter.shape)} for {name}, got {got}.")
        for name, parameter in self.parameters().items():
            parameter.copy_(cast(torch.Tensor, tensors[name]))

    @contextmanager
    def _taking_gradients(self) -> Iterator[None]:
        """Lets this role's parameters take gradients inside, whatever role the shared model is in; blocks nest."""
        before, self._taking = self._taking, True
        self.set_trainable(True)
        try:
            yield
        finally:
            self._taking = before
            self.set_trainable(before)

    def set_trainable(self, on: bool) -> None:
        """Sets whether its parameters take gradients now; those of a role that is not `trainable` never do."""
        for parameter in self.parameters().values():
            parameter.requires_grad_(on and self.trainable)


class LoRARole(Role):
    """Trains a small adapter on the shared model."""

    adapter: str  # given by `Adapters.add`

    def __init__(self, backbone: "Backbone", name: str, settings: LoRASettings, head: bool, seed: int) -> None:
        super().__init__(backbone, name, head, seed)
        self.settings = settings
        names = adapted_names(backbone.model, settings.targets, settings.vision, settings.layers)
        if not settings.vision:
            self.frozen_layers = lowest_adapted(backbone.model, names)
        if settings.variant == "dora" and backbone.is_sharded:
            raise UserError("lora_variant dora reads whole weights, which no process has with --shard-base; take lora.")
        if settings.init == "pissa":
            _check_rank(backbone.model, names, settings.rank)
        self._config = settings.config(backbone.model, names)
        backbone.adapters.add(self, self._config, seed)

    def active(self) -> AbstractContextManager[PreTrainedModel]:
        return self.backbone.adapters.active(self)

    def merged(self) -> AbstractContextManager[PreTrainedModel]:
        return self.backbone.adapters.merged(self)

    @property
    def layers(self) -> dict[str, LoraLayer]:
        """Returns the projections that this role adapts, by their plain names; another role may adapt more."""
        return self.backbone.adapters.layers_of(self.adapter)

    def body_parameters(self) -> dict[str, nn.Parameter]:
        return self.backbone.adapters.parameters_of(self.adapter)

    def constants(self) -> dict[str, torch.Tensor]:
        return self.backbone.adapters.starts_of(self.adapter)

    @torch.no_grad()
    def add_to(self, model: PreTrainedModel) -> None:
        """Adds what was trained into the weights of a plain model that is the backbone's, digit for digit or finer."""
        for name, layer in self.layers.items():
            weight = cast(torch.Tensor, model.get_submodule(name).weight)
            weight.copy_(merged_weight(layer, self.adapter, weight))

    def save(self, folder: Path, provenance: dict[str, Any] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        tensors = with_starts({n: p.detach() for n, p in self.parameters().items()}, self.constants())
        plain = {f"base_model.model.{name}": tensor.cpu().contiguous() for name, tensor in tensors.items()}
        save_file(plain, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        self._saved_config(folder).save_pretrained(str(folder))
        known = {"format": 1, "role": self.name, "lora": asdict(self.settings)}
        base = belongs_to(self.backbone, self.head is not None)
        write_json(folder / PROVENANCE, {**known, **base, **(provenance or {})})

    @torch.no_grad()
    def load(self, folder: Path) -> dict[str, Any]:
        provenance = read_provenance(folder)
        check_base(folder, provenance, self.backbone)
        saved = read_tensors(folder, "adapter_model.safetensors")
        tensors = {name: saved.pop(f"base_model.model.{name}", None) for name in self.parameters()}
        if saved:
            raise UserError(f"adapter {folder}: {len(saved)} tensors this role has no place for, as {min(saved)}.")
        constants = self.constants()
        trained, starts = without_starts(tensors, constants)
        self._take(folder, trained)
        for name, start in starts.items():
            constants[name].copy_(start)
        return provenance

    def _saved_config(self, folder: Path) -> LoraConfig:
        """Returns what plain peft reads of the files in `folder`."""
        own: dict[str, Any] = {
            "task_type": "CAUSAL_LM" if self.head is None else "SEQ_CLS",
            "modules_to_save": None if self.head is None else ["score"],
            "base_model_name_or_path": base_path_for(folder, self.backbone.path),
            "inference_mode": True,
        }
        if self.constants():  # twice the rank, at the same scale
            times = 2**0.5 if self._config.use_rslora else 2
            own |= {"r": 2 * self._config.r, "lora_alpha": times * self._config.lora_alpha}
        return LoraConfig(**{**self._config.to_dict(), **own})


class HeadRole(Role):
    """Trains a head on the hidden states of another role, and nothing else of its own. It says 0 at the start."""

    def __init__(self, backbone: "Backbone", name: str, host: Role) -> None:
        super().__init__(backbone, name, head=True, seed=0)
        nn.init.zeros_(cast(nn.Linear, self.head).weight)
        self.host, self.frozen_layers = host, host.frozen_layers

    @contextmanager
    def active(self) -> Iterator[PreTrainedModel]:
        with self.host.active() as model, self._taking_gradients():  # the host is the backbone's active role then
            yield model

    def body_parameters(self) -> dict[str, nn.Parameter]:
        return {}

    def save(self, folder: Path, provenance: dict[str, Any] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({n: p.detach().cpu().contiguous() for n, p in self.parameters().items()}, folder / _HEAD)
        known = {
            "format": 1,
            "role": self.name,
            "lora": None,
            "host": self.host.name,
            **belongs_to(self.backbone),
        }
        write_json(folder / PROVENANCE, {**known, **(provenance or {})})

    @torch.no_grad()
    def load(self, folder: Path) -> dict[str, Any]:
        provenance = read_provenance(folder, "host")
        check_base(folder, provenance, self.backbone)
        saved = read_tensors(folder, _HEAD)
        self._take(folder, {name: saved.get(name) for name in self.parameters()})
        return provenance


class ReferenceRole(Role):
    """Runs the bare model, adapters off. It trains nothing and has no head."""

    def __init__(self, backbone: "Backbone") -> None:
        super().__init__(backbone, "reference", head=False, seed=0)
        self.frozen_layers = layer_count(backbone.model)

    def active(self) -> AbstractContextManager[PreTrainedModel]:
        return self.backbone.adapters.active(self)

    def body_parameters(self) -> dict[str, nn.Parameter]:
        return {}

    def save(self, folder: Path, provenance: dict[str, Any] | None = None) -> None:
        raise TypeError("the reference role has nothing of its own to save")

    def load(self, folder: Path) -> dict[str, Any]:
        raise TypeError("the reference role has nothing of its own to load")


def _check_rank(model: PreTrainedModel, names: Iterable[str], rank: int) -> None:
    maps = linear_maps(model)
    smallest = min(names, key=lambda name: min(cast(torch.Tensor, maps[name].weight).shape))
    side = min(cast(torch.Tensor, maps[smallest].weight).shape)
    if rank > side:
        raise UserError(f"lora_init pissa takes a rank up to {side}, the smaller side of {smallest}, got {rank}.")


def _make_head(backbone: "Backbone", seed: int) -> nn.Linear:
    """Draws a head from N(0, 1/(hidden + 1)), with no bias, for which plain sequence classifiers have no place."""
    size = backbone.state_size
    head = torch.nn.utils.skip_init(nn.Linear, size, 1, bias=False, device=backbone.device)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        head.weight.copy_(torch.randn(1, size, generator=generator) * (size + 1) ** -0.5)
    return head.requires_grad_(False)


def load_role(folder: Path, name: str, head: bool, backbone: "Backbone") -> tuple[Role, dict[str, Any]]:
    """Opens a saved role on `backbone`, frozen; returns it and its provenance.

    Raises:
        UserError: the folder holds no role, or one that was trained on another base.
    """
    provenance = read_provenance(folder)
    if provenance.get("host") == "reference":
        alone = HeadRole(backbone, name, backbone.reference)
        alone.trainable = False
        return alone, alone.load(folder)
    if "host" in provenance:
        raise UserError(f"{folder} is a head on the states of a {provenance['host']} role, and nothing without it.")
    lora = provenance["lora"]
    try:
        settings = None if lora is None else LoRASettings(**lora)
    except TypeError as error:
        place = Path(folder) / PROVENANCE
        raise UserError(f"{place}: 'lora' is not what it should be: {one_line(error)}.") from None
    role = backbone.add_role(name, settings, head)
    role.trainable = False
    return role, role.load(folder)
