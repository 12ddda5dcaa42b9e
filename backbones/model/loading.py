"""Loading: reads a model and a tokenizer by name, without running foreign code."""

import importlib.util
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import snapshot_download
from safetensors import safe_open
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import is_flash_attn_2_available

from perlhf.errors import UserError, did_you_mean, one_line

SMALL = 20_000_000  # parameters, below which one thread is best: starting others costs more than they save
SHIPPED = {folder.name: folder for folder in sorted(Path(__file__).parents[1].glob("tiny*"))}
Stamps = dict[str, tuple[int, int, int]]  # of files by name: inode, size and time of the last change

_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt", "spiece.model",
)  # fmt: skip
_WEIGHTS = "model*.safetensors"
_MODEL_FILES = (
    _WEIGHTS, "config.json", "generation_config.json", "processor_config.json", "preprocessor_config.json",
    "chat_template.jinja", "chat_template.json", *_TOKENIZER_FILES,
)  # fmt: skip
INSTEAD = "take a decoder that keeps keys and values, such as Llama, Qwen, Gemma or SmolLM"
FOR_IMAGES = "for images take one that docs/architectures.md names, such as Gemma 3, Qwen2.5-VL or SmolVLM."
_PROBE = "yes or no"  # words that any tokenizer of a language model can say


Precision = Literal["fp32", "mixed", "bf16", "auto", "int8", "int4"]
Attention = Literal["sdpa", "eager", "flash_attention_2"]
QUANTIZED = ("int8", "int4")


@dataclass(frozen=True)
class LoadSettings:
    """Says how a backbone is held in memory and how it reads text; whoever shares one reads the same tokens.

    Attributes:
        precision: of its weights; adapters are float32 always. See `backbones.shortcuts.precision`; int8 and int4 are
            bitsandbytes' (arXiv 2208.07339, 2305.14314), and `backbones.model.devices` says what "auto" is.
        attn: which attention transformers runs; its own choice where None.
        gradient_checkpointing: whether the backward pass runs the layers again instead of keeping what is in them.
        max_prompt_tokens: which longer prompts are cut to, from their oldest on; None for half the model's context.
        max_response_tokens: which longer responses are cut to; None for what prompts leave of the context.
        chat_template: "auto" for the model's own where it has one, "none", or a file of Jinja.
        stop: texts at which a response is over, as `backbones.model.stops.read_stops` takes them.
        shard_base: whether the processes of a run share its layers out, see `backbones.sharding`.
    """

    precision: Precision = "fp32"
    attn: Attention | None = None
    gradient_checkpointing: bool = False
    max_prompt_tokens: int | None = None
    max_response_tokens: int | None = None
    chat_template: str = "auto"
    stop: str = ""
    shard_base: bool = False


class BackboneError(UserError):
    """Says that a backbone or adapter cannot be loaded, or that they do not belong together."""


def resolve_path(name: str | Path) -> str:
    """Finds the folder of a shipped backbone or a local one; anything else is taken for a hub id as it stands.

    Raises:
        BackboneError: a file, or a name that is neither and could not be a hub id.
    """
    name = str(name)
    if name in SHIPPED:
        return str(SHIPPED[name])
    if Path(name).is_dir():
        return str(Path(name).resolve())
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return name
    if Path(name).is_file():
        raise BackboneError(f"backbone {name!r} is a file; expected a folder: config.json, a tokenizer, safetensors.")
    raise BackboneError(f"no backbone {name!r}: expected 'tiny', a folder or a hub id.{did_you_mean(name, SHIPPED)}")


def file_stamps(folder: str | Path, patterns: Iterable[str] = _MODEL_FILES) -> Stamps:
    """Notes which files of these patterns a folder holds and when they were written, to see a change.

    Nothing of a hub id: what was downloaded stays as it is.
    """
    found = {file.name: file.stat() for pattern in patterns for file in Path(folder).glob(pattern)}
    return {name: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}


def _quantized(precision: Precision, device: torch.device) -> dict[str, Any]:
    """Makes the arguments of `from_pretrained` that load linear maps in 8 or 4 bits; the LM head stays as it is.

    Raises:
        BackboneError: the packages for it are not installed.
    """
    if importlib.util.find_spec("bitsandbytes") is None or importlib.util.find_spec("accelerate") is None:
        raise BackboneError(
            f"--precision {precision} needs bitsandbytes and accelerate: pip install bitsandbytes accelerate, or "
            "perlhf's extra 'quantized'."
        )
    # It says at every product of 8 bits that it casts the input.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    four = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.float32}
    config = BitsAndBytesConfig(**(four if precision == "int4" else {"load_in_8bit": True}))
    return {"quantization_config": config, "device_map": {"": str(device)}}


def _attention(settings: LoadSettings) -> dict[str, Any]:
    """Makes the argument of `from_pretrained` that chooses the attention.

    Raises:
        BackboneError: it is flash attention, and its package is absent or the numbers are not half ones.
    """
    if settings.attn is None:
        return {}
    if settings.attn == "flash_attention_2":
        if not is_flash_attn_2_available():
            raise BackboneError(
                "--attn flash_attention_2 needs a GPU and a package that is not here: pip install flash-attn, or take "
                "--attn sdpa."
            )
        if settings.precision != "bf16":
            raise BackboneError(f"--attn flash_attention_2 takes --precision bf16, got {settings.precision}.")
    return {"attn_implementation": settings.attn}


def load_model(
    path: str,
    settings: LoadSettings = LoadSettings(),
    device: torch.device | None = None,
) -> PreTrainedModel:
    """Reads a causal language model, dropout off; one that sees where its config has a vision part.

    For fp32 it is in float32. For mixed, bf16 and auto it is in the type of its files, so that no second copy of it is
    ever in memory; `backbones.shortcuts.precision` brings it to what was asked for. For int8 and int4 linear maps are
    in these; such models come to their device by themselves.

    Raises:
        BackboneError: there is none that can be read, or a package for what the settings say is absent.
    """
    how: dict[str, Any] = _attention(settings)
    if settings.precision in QUANTIZED:
        how |= _quantized(settings.precision, device or torch.device("cpu"))
    _check_folder(Path(path))
    try:
        config = read_config(path)
        auto = auto_class(config)
        if config.is_encoder_decoder:
            raise ValueError(f"{config.model_type} is an encoder-decoder; {INSTEAD}")
        how["dtype"] = _dtype_of(path, settings)
        model: PreTrainedModel = auto.from_pretrained(path, **how, **_safe_loading(path))
    except Exception as error:  # what damaged files raise is any of a dozen types
        missing = "" if Path(path).is_dir() else " (and there is no such folder)"
        raise BackboneError(f"backbone {path!r} cannot be loaded{missing}: {one_line(error)}") from None
    if getattr(model, "_hf_peft_config_loaded", False):  # transformers does so by itself where it finds one
        raise BackboneError(f"backbone {path!r} is an adapter, or has one beside its weights; {_MERGE}")
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # Else bitsandbytes repacks 4-bit weights in evaluation mode, and has no gradient through them then.
            module.support_avx512bf16_for_cpu = False
    return model.eval()


def _dtype_of(path: str, settings: LoadSettings) -> torch.dtype:
    """Returns in which numbers to read a model: float32, or where less will do its own, if that can be told."""
    if settings.precision in ("fp32", *QUANTIZED):
        return torch.float32
    return own_dtype(path) or torch.float32


def own_dtype(path: str) -> torch.dtype | None:
    """Returns the widest type of numbers in the safetensors files of a folder or a hub id; None where there are none.

    Read off the files' headers: what a config says of it is not always so. Of a hub id they are downloaded first.
    """
    found = set()
    folder = path if Path(path).is_dir() else snapshot_download(path, allow_patterns=_WEIGHTS)
    for file in Path(folder).glob(_WEIGHTS):
        with safe_open(file, "pt") as opened:
            found |= {opened.get_slice(name).get_dtype() for name in opened.keys()}  # noqa: SIM118 - no mapping
    return next((dtype for name, dtype in _DTYPES.items() if name in found), None)


_DTYPES = {"F64": torch.float32, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
_MERGE = "merge it (peft: merge_and_unload, then save_pretrained), or give the base alone."


def _check_folder(folder: Path) -> None:
    """Refuses a folder whose files transformers would take for something else, or not at all, and says what to do.

    Raises:
        BackboneError: adapter files lie beside the weights; or there are no safetensors weights of a whole model.
    """
    if not folder.is_dir():
        return
    whole = any(file.name != "adapter_model.safetensors" for file in folder.glob("*.safetensors"))
    others = {kind: min(folder.glob(kind), default=None) for kind in ("*.gguf", "pytorch_model*.bin")}
    if (folder / "adapter_config.json").is_file():
        if whole:
            raise BackboneError(
                f"backbone {str(folder)!r} has an adapter beside its weights (adapter_config.json), which would be "
                "loaded into them unseen; move the adapter's files elsewhere, or merge it (peft: merge_and_unload)."
            )
        base = _base_of_adapter(folder / "adapter_config.json")
        raise BackboneError(f"backbone {str(folder)!r} is an adapter on {base}, and no model; {_MERGE}")
    if not whole and (folder / "backbone" / "config.json").is_file():
        raise BackboneError(f"backbone {str(folder)!r} is the folder of a run; give {str(folder / 'backbone')!r}.")
    if not whole and (gguf := others["*.gguf"]) is not None:
        raise BackboneError(
            f"backbone {str(folder)!r} has its weights as {gguf.name}; expected safetensors. Read it with transformers "
            f"(gguf_file={gguf.name!r}), load its state dict into a model made by from_config, and save that one."
        )
    if not whole and (pickled := others["pytorch_model*.bin"]) is not None:
        raise BackboneError(
            f"backbone {str(folder)!r} has its weights as {pickled.name}, a pickle, which may run code; expected "
            "safetensors. If you trust it: from_pretrained there, then save_pretrained."
        )


def _base_of_adapter(config: Path) -> str:
    try:
        return repr(json.loads(config.read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError):
        return "another model"


def read_config(path: str) -> PreTrainedConfig:
    """Reads the config of a model; no code from beside it is run.

    Raises:
        ValueError: it names an attention of the hub's, which transformers would download and run.
    """
    config = AutoConfig.from_pretrained(path, **safe_config(path))
    parts = [config, *(getattr(config, name, None) for name in config.sub_configs)]
    for named in (getattr(part, "_attn_implementation", None) for part in parts):
        if named is not None and "/" in str(named):
            raise ValueError(f"its config.json takes code from the hub, attention {named!r}; take that out")
    return config


def auto_class(config: PreTrainedConfig) -> Any:
    """Returns the class of transformers for a config: one that sees where it has a part for vision."""
    return AutoModelForImageTextToText if sees(config) else AutoModelForCausalLM


def sees(config: PreTrainedConfig) -> bool:
    """Tells whether a model takes images."""
    return getattr(config, "vision_config", None) is not None


def use_threads(requested: int, parameters: int) -> None:
    """Sets torch's CPU threads: as many as requested, or for 0 what suits a model of so many parameters.

    A second thread makes small matrices slower as soon as the machine has anything else to do.
    """
    if requested > 0:
        torch.set_num_threads(requested)
    elif parameters < SMALL:
        torch.set_num_threads(1)


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """Reads the tokenizer beside a model.

    Raises:
        BackboneError: there is none, or one that cannot say simple words.
    """
    local = Path(path).is_dir()
    # Without them transformers makes an empty tokenizer and says nothing.
    if local and not any((Path(path) / name).is_file() for name in _TOKENIZER_FILES):
        raise BackboneError(f"backbone {path!r} has no tokenizer: save tokenizer.json beside the model.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **safe_config(path))
        ids = tokenizer(_PROBE, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        said = tokenizer.decode(ids, skip_special_tokens=True).strip()
    except Exception as error:  # as for the model
        raise BackboneError(f"backbone {path!r} has no tokenizer that loads: {one_line(error)}") from None
    if said != _PROBE:
        raise BackboneError(f"backbone {path!r} has a tokenizer that reads {_PROBE!r} as {said!r}; save its own there.")
    return tokenizer


def safe_config(path: str) -> dict[str, Any]:
    """Returns the arguments of transformers' `from_pretrained` with which no code from beside a model is run."""
    return {"trust_remote_code": False, "local_files_only": Path(path).is_dir()}


def _safe_loading(path: str) -> dict[str, Any]:
    return {**safe_config(path), "use_safetensors": True}


def base_path_for(folder: Path, path: str) -> str:
    """Returns how an adapter in `folder` names its base at `path` to plain peft: by its full path.

    Adapters that are shipped in a package name a shipped base by its place in the repository: where the packages
    will be installed is not known, and a full path of this machine says nothing elsewhere.
    """
    root, folder = Path(__file__).parents[2], folder.resolve()
    packaged = root in folder.parents and (root / folder.relative_to(root).parts[0] / "__init__.py").is_file()
    shipped = next((f"backbones/{place.name}" for place in SHIPPED.values() if str(place) == path), path)
    return shipped if packaged else path


def short_name(path: str) -> str:
    """Returns the name of a shipped backbone, anything else as it stands."""
    return next((name for name, folder in SHIPPED.items() if str(folder) == path), path)
