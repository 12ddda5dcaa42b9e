"""Targets: finds the linear maps of a model that an adapter is put on, by what they are called."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
from peft import LoraConfig
from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from backbones.model.anatomy import NOT_LANGUAGE, VISION, decoder_layers, layer_count
from backbones.model.loading import sees
from perlhf.errors import UserError, one_line

# What model families call the parts that read other tokens by attention; their linear maps are its projections.
_ATTENTION = {"self_attn", "self_attention", "attention", "attn", "linear_attn"}

_STATE_SPACE = {"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"}  # whose out_proj peft refuses


def linear_maps(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Returns the linear maps that may have adapters, by their plain names, whatever adapters are on them.

    Not the LM head, and not what peft has other ideas of: in mixtures of experts it takes some names for those of
    experts, which are fused tensors and no maps; and in state-space models it refuses some.
    """
    head = _base_of(model.get_output_embeddings())
    found = {n.replace(".base_layer", ""): m for n, m in model.named_modules() if _is_linear(m) and ".lora_" not in n}
    left_out = {name for name in set(map(leaf, found)) if _is_taken_for_experts(model, name)}
    if model.config.model_type in _STATE_SPACE:
        left_out.add("out_proj")
    return {name: module for name, module in found.items() if module is not head and leaf(name) not in left_out}


def for_peft(model: PreTrainedModel, names: Sequence[str]) -> str | list[str]:
    """Returns these names as peft's `target_modules`: a pattern, or where peft would rewrite that the names alone."""
    return list(names) if _rewritten(model, "none").target_parameters is not None else pattern_of(names)


def adapted_names(
    model: PreTrainedModel, targets: str = "attention", vision: bool = False, layers: int | None = None
) -> list[str]:
    """Lists the linear maps that an adapter is put on, by their plain names.

    Args:
        model: the model.
        targets: "attention" (its projections, of linear attention too), "mlp" (what else is in the layers),
            "all-linear" (every one but the LM head, as in peft) or a regular expression for whole names, as in peft.
        vision: those of the vision tower too; else those of the language model alone.
        layers: those of the top so many layers of the language model alone; None for all.

    Raises:
        UserError: there are none, or a regular expression that is none. It says what the model has.
    """
    if vision and not sees(model.config):
        raise UserError(f"{type(model).__name__} takes no images, so it has no vision tower to adapt.")
    wanted, maps = _wanted(targets), linear_maps(model)
    language = [name for name in maps if not re.search(NOT_LANGUAGE, name)]
    inside = _layers_of(model, language)
    chosen = [name for name in language if wanted(name, name in inside)]
    if layers is not None:
        chosen = [name for name in chosen if inside.get(name, -1) >= layer_count(model) - layers]
    if not chosen:
        raise UserError(_nothing_found(model, targets, language, layers))
    if vision:
        tower = [name for name in maps if re.search(VISION, name)]
        chosen += [name for name in tower if wanted(name, bool(re.search(r"\.\d+\.", name)))]
    return chosen


def lowest_adapted(model: PreTrainedModel, names: Iterable[str]) -> int:
    """Counts the lowest layers of the language model that are as they were with adapters on these linear maps."""
    names = list(names)
    inside = _layers_of(model, names)
    return min(inside.get(name, 0) for name in names)


def pattern_of(names: Iterable[str]) -> str:
    """Makes one regular expression that these names match whole and no other linear map does."""
    numbers: dict[tuple[str, str], list[str]] = {}  # by what stands before and behind the number of a layer
    parts: list[str] = []
    for name in names:
        numbered = re.fullmatch(r"(.*?)\.(\d+)\.(.*)", name)
        if numbered is None:
            parts.append(re.escape(name))
        else:
            numbers.setdefault((numbered[1], numbered[3]), []).append(numbered[2])
    paths: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (before, behind), found in numbers.items():
        paths.setdefault((before, tuple(found)), []).append(re.escape(behind))
    parts += [rf"{re.escape(p)}\.({'|'.join(n)})\.({'|'.join(behind)})" for (p, n), behind in paths.items()]
    return "|".join(parts)


def leaf(name: str) -> str:
    """Returns the last part of a name, as q_proj."""
    return name.rpartition(".")[2]


def table_of(names: Iterable[str]) -> str:
    """Says what is adapted, by last names and how often each is there: "q_proj k_proj x 30, in_proj x 6"."""
    counts: dict[str, int] = {}
    for name in names:
        counts[leaf(name)] = counts.get(leaf(name), 0) + 1
    by_count: dict[int, list[str]] = {}
    for name, count in counts.items():
        by_count.setdefault(count, []).append(name)
    return ", ".join(f"{' '.join(found)} x {count}" for count, found in by_count.items())


def _rewritten(model: PreTrainedModel, target: str) -> LoraConfig:
    """Returns what peft makes of a target in this model: another for weights that transformers has fused since."""
    config = LoraConfig(target_modules=[target])
    convert_peft_config_for_transformers(config, model, None)
    return config


def _is_taken_for_experts(model: PreTrainedModel, name: str) -> bool:
    try:
        return bool(_rewritten(model, name).target_parameters)
    except ValueError:  # a part of what is fused
        return True


def _is_linear(module: nn.Module) -> bool:
    """Tells whether a module is a linear map, not a router or a map in groups that a model makes of one."""
    if not isinstance(module, (nn.Linear, Conv1D)):
        return False
    own = type(module).__module__.startswith("transformers.models.") and "forward" in vars(type(module))
    return not own or _gives_one_row(cast(nn.Linear, module))


@torch.no_grad()
def _gives_one_row(linear: nn.Linear) -> bool:
    weight = linear.weight
    try:
        given = linear(weight.new_zeros(1, 1, weight.shape[1]))
    except Exception:  # it wants another shape
        return False
    return isinstance(given, Tensor) and given.shape == (1, 1, weight.shape[0])


def _base_of(module: nn.Module | None) -> nn.Module | None:
    return getattr(module, "base_layer", module)


def _layers_of(model: PreTrainedModel, names: Iterable[str]) -> dict[str, int]:
    """Returns in which layer of the language model each of the names is, 0 the lowest; without those in none."""
    layers = decoder_layers(model)
    prefix = next((name for name, module in model.named_modules() if module is layers), None)
    if prefix is None:
        return {}
    begins = re.compile(rf"{re.escape(prefix)}\.(\d+)\.")
    return {name: int(found[1]) for name in names if (found := begins.match(name))}


def _wanted(targets: str) -> Callable[[str, bool], bool]:
    """Returns what tells whether a linear map is one of the targets, by its name and whether it is in a layer."""
    if targets == "attention":
        return lambda name, inside: _is_attention(name)
    if targets == "mlp":
        return lambda name, inside: inside and not _is_attention(name)
    if targets == "all-linear":
        return lambda name, inside: True
    try:
        expression = re.compile(targets)
    except re.error as error:
        known = "attention, mlp, all-linear or a regular expression"
        raise UserError(f"lora_targets: expected {known}, got {targets!r}: {one_line(error)}.") from None
    return lambda name, inside: expression.fullmatch(name) is not None


def _is_attention(name: str) -> bool:
    return leaf(name.rpartition(".")[0]) in _ATTENTION


def _nothing_found(model: PreTrainedModel, targets: str, names: Sequence[str], layers: int | None) -> str:
    where = "" if layers is None else f" in the top {layers} of {layer_count(model)} layers"
    example = f", whole names such as {names[-1]}," if names else ""
    has = " ".join(dict.fromkeys(leaf(name) for name in names)) or "none (its maps are fused tensors)"
    other = "attention, mlp, all-linear or a regular expression"
    return (
        f"lora_targets {targets!r} matches no linear map of {type(model).__name__}{where}. It has{example} ending in "
        f"{has}; give {other} for these."
    )
