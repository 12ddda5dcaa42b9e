"""Where backbones come from: names and paths, safe loading, and what is read off a loaded model."""

import hashlib
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)

from perlhf.errors import UserError, did_you_mean, one_line

SMALL = 20_000_000  # parameters, below which one thread is best
SHIPPED = {folder.name: folder for folder in sorted(Path(__file__).parent.glob("tiny*"))}

# The attention projections by what model families call them, as (parent of the projection, projections).
_ATTENTION = (
    ("self_attn|attention|attn", ("q_proj", "k_proj", "v_proj", "o_proj")),
    ("self_attn|attention|attn", ("q_proj", "k_proj", "v_proj", "out_proj")),
    ("self_attn|attention|attn", ("q_proj", "k_proj", "v_proj", "dense")),
    ("self_attn|attention|attn", ("qkv_proj", "o_proj")),
    ("self_attention|attention|attn", ("query_key_value", "dense")),
    ("self_attn|attention|attn", ("c_attn", "c_proj")),
)
_VISION = "vision|visual|image"
_NOT_LANGUAGE = f"{_VISION}|audio|multi_modal|projector"


_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt", "spiece.model",
)  # fmt: skip
_PROBE = "yes or no"


class BackboneError(UserError):
    """A backbone or adapter that cannot be loaded, or that do not belong together."""


def resolve_path(name: str) -> str:
    """The folder of a shipped backbone or a local one; anything else is taken for a hub id as it stands.

    Raises:
        BackboneError: a name that is neither and could not be a hub id.
    """
    if name in SHIPPED:
        return str(SHIPPED[name])
    if Path(name).is_dir():
        return str(Path(name).resolve())
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return name
    raise BackboneError(f"no backbone {name!r}: expected 'tiny', a folder or a hub id.{did_you_mean(name, SHIPPED)}")


def find_device(name: str | torch.device) -> torch.device:
    """The device as tensors on it name it: "cpu:0" is "cpu", and "cuda" is the current one of them.

    Raises:
        BackboneError: no such device here.
    """
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch has one for unknown names, one for absent devices
        raise BackboneError(f"device {str(name)!r} cannot be used: {one_line(error)}") from None


def load_model(path: str) -> PreTrainedModel:
    """A causal language model in float32, dropout off; one that sees where its config has a part for vision."""
    try:
        auto = auto_class(read_config(path))
        model: PreTrainedModel = auto.from_pretrained(path, dtype=torch.float32, **_safe_loading(path))
    except Exception as error:  # what damaged files raise is any of a dozen types
        missing = "" if Path(path).is_dir() else " (and there is no such folder)"
        raise BackboneError(f"backbone {path!r} cannot be loaded{missing}: {one_line(error)}") from None
    return model.eval()


def read_config(path: str) -> PreTrainedConfig:
    """The config of a model; no code from beside it is run."""
    return AutoConfig.from_pretrained(path, **_safe_config(path))


def auto_class(config: PreTrainedConfig) -> Any:
    """The class of transformers that makes a model of a config: one that sees where it has a part for vision."""
    return AutoModelForImageTextToText if sees(config) else AutoModelForCausalLM


def sees(config: PreTrainedConfig) -> bool:
    """Whether a model takes images."""
    return getattr(config, "vision_config", None) is not None


@torch.no_grad()
def check_causal(path: str, model: PreTrainedModel) -> None:
    """Refuses a model whose output at a token depends on the tokens after it, such as BERT."""
    rows = torch.tensor([[1, 2], [1, 3]], device=model.device)
    first, second = model(input_ids=rows, attention_mask=torch.ones_like(rows)).logits[:, 0].float()
    if not torch.allclose(first, second, rtol=1e-3, atol=1e-3):
        raise BackboneError(f"backbone {path!r} is no causal language model: {type(model).__name__} reads both ways.")


def use_threads(requested: int, parameters: int) -> None:
    """Sets torch's CPU threads: as many as requested, or for 0 what suits a model of so many parameters.

    A second thread makes small matrices slower as soon as the machine has anything else to do.
    """
    if requested > 0:
        torch.set_num_threads(requested)
    elif parameters < SMALL:
        torch.set_num_threads(1)


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """The tokenizer beside a model.

    Raises:
        BackboneError: there is none, or one that cannot say simple words.
    """
    local = Path(path).is_dir()
    # Without them transformers makes an empty tokenizer and says nothing.
    if local and not any((Path(path) / name).is_file() for name in _TOKENIZER_FILES):
        raise BackboneError(f"backbone {path!r} has no tokenizer: save tokenizer.json beside the model.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **_safe_config(path))
        ids = tokenizer(_PROBE, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        said = tokenizer.decode(ids, skip_special_tokens=True).strip()
    except Exception as error:  # as for the model
        raise BackboneError(f"backbone {path!r} has no tokenizer that loads: {one_line(error)}") from None
    if said != _PROBE:
        raise BackboneError(f"backbone {path!r} has a tokenizer that reads {_PROBE!r} as {said!r}; save its own there.")
    return tokenizer


def load_processor(path: str) -> ProcessorMixin:
    """What makes pixels of images beside a model that sees; with Pillow, no torchvision needed.

    Raises:
        BackboneError: there is none, or one that needs what is not installed.
    """
    try:
        return AutoProcessor.from_pretrained(path, **_safe_config(path))
    except Exception as error:  # as for the model
        raise BackboneError(f"backbone {path!r} has no processor that loads: {one_line(error)}") from None


def _safe_config(path: str) -> dict[str, Any]:
    return {"trust_remote_code": False, "local_files_only": Path(path).is_dir()}


def _safe_loading(path: str) -> dict[str, Any]:
    return {**_safe_config(path), "use_safetensors": True}


def end_ids_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Every token that ends a response; some models have several. Ids without an embedding do not count."""
    configured = model.generation_config.eos_token_id if model.generation_config is not None else None
    ids = [configured] if isinstance(configured, int) else list(configured or [])
    if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in ids:
        ids.insert(0, tokenizer.eos_token_id)
    ids = [i for i in ids if i < embedding_count(model)]
    if not ids:
        raise BackboneError("this backbone's tokenizer and generation config name no end-of-text token.")
    return ids


def pad_id_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, end_ids: list[int]) -> int:
    """The padding token, or an end token where there is none or it was added after the embeddings were made."""
    pad_id: int | None = tokenizer.pad_token_id
    return end_ids[0] if pad_id is None or pad_id >= embedding_count(model) else pad_id


def embedding_count(model: PreTrainedModel) -> int:
    """How many token ids the model can read."""
    return int(model.get_input_embeddings().weight.shape[0])


@torch.no_grad()
def hash_base(model: PreTrainedModel) -> str:
    """sha256 over the names, shapes and bytes of all weights that belong to no adapter."""
    digest = hashlib.sha256()
    for name, tensor in sorted(base_weights(model).items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def base_weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The weights of the plain model by their plain names, whatever adapters are in it."""
    return {
        name.replace(".base_layer.", "."): parameter
        for name, parameter in model.named_parameters()
        if ".lora_" not in name
    }


def base_path_for(folder: Path, path: str) -> str:
    """How an adapter in `folder` names its base at `path` to plain peft: by its full path.

    Adapters that are shipped in a package name a shipped base by its place in the repository: where the packages
    will be installed is not known, and a full path of this machine says nothing elsewhere.
    """
    root, folder = Path(__file__).parents[1], folder.resolve()
    packaged = root in folder.parents and (root / folder.relative_to(root).parts[0] / "__init__.py").is_file()
    shipped = next((f"backbones/{place.name}" for place in SHIPPED.values() if str(place) == path), path)
    return shipped if packaged else path


def short_name(path: str) -> str:
    """The name of a shipped backbone, anything else as it stands."""
    return next((name for name, folder in SHIPPED.items() if str(folder) == path), path)


def layer_count(model: PreTrainedModel) -> int:
    """How many layers the language model has."""
    return int(model.config.get_text_config().num_hidden_layers)


def top_layers(text: str, model: PreTrainedModel) -> int | None:
    """What `--lora-layers` says: "all" (None), "half" or "quarter" (of them, at the top), or how many at the top.

    Raises:
        UserError: it says none of them, or more layers than there are.
    """
    count = layer_count(model)
    shares = {"all": count, "half": (count + 1) // 2, "quarter": (count + 3) // 4}
    found = shares.get(text) or (int(text) if text.isdecimal() else 0)
    if not 1 <= found <= count:
        raise UserError(f"lora_layers: expected 'all', 'half', 'quarter' or 1 to {count} (at the top), got {text!r}.")
    return None if found == count else found


def decoder_layers(model: PreTrainedModel) -> nn.ModuleList | None:
    """The layers of the language model, the lowest first; None where it does not keep them in one list."""
    lists = (
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
        and len(module) == layer_count(model)
        and not re.search(_NOT_LANGUAGE, name)
    )
    return next(lists, None)


def attention_pattern(model: PreTrainedModel, vision: bool = False, layers: int | None = None) -> str:
    """A regular expression for the attention projections of the language model, whole names.

    Args:
        model: the model.
        vision: those of its vision tower too.
        layers: those of the top so many layers of the language model; None for all.

    Raises:
        UserError: the model calls them by names that are not known here; it lists what the model has. Or it has no
            vision tower.
    """
    config = model.config
    language = _projections(model, rf"(?!.*({_NOT_LANGUAGE}))", layer_count(model), layers)
    if not vision:
        return language
    if not sees(config):
        raise UserError(f"{type(model).__name__} takes no images, so it has no vision tower to adapt.")
    return f"{language}|{_projections(model, rf'(?=.*({_VISION}))', config.vision_config.num_hidden_layers)}"


def _projections(model: PreTrainedModel, where: str, layers: int, top: int | None = None) -> str:
    """A regular expression for the attention projections among the names that begin `where`, of the `top` layers."""
    names = [n.replace(".base_layer", "") for n, m in model.named_modules() if hasattr(m, "weight")]
    names = [n for n in dict.fromkeys(names) if re.match(where, n) and ".lora_" not in n]
    for parent, projections in _ATTENTION:
        pattern = rf"{where}.*\.({parent})\.({'|'.join(projections)})"
        if sum(re.fullmatch(pattern, n) is not None for n in names) == layers * len(projections):
            numbers = "|".join(map(str, range(layers - (top or layers), layers)))
            return pattern if top is None else rf"{where}.*\.({numbers})\.(.*\.)?({parent})\.({'|'.join(projections)})"
    leaves = sorted({n.rsplit(".", 2)[-2] + "." + n.rsplit(".", 1)[-1] for n in names if n.count(".") > 1})
    raise UserError(f"no known attention projections in {type(model).__name__}; it has {', '.join(leaves)}.")
