"""Reads the files of a saved role: its weights, and beside them what they belong to."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from backbones.model.loading import Stamps, file_stamps
from perlhf.errors import UserError, one_line

if TYPE_CHECKING:
    from backbones.backbone import Backbone

PROVENANCE = "perlhf.json"
_FILES = (PROVENANCE, "*.safetensors")


def read_provenance(folder: Path, *more: str) -> dict[str, Any]:
    """Reads what was recorded beside an adapter: "base_sha256", "lora" and the keys in `more`, at least.

    Raises:
        UserError: the folder holds none, or a damaged one.
    """
    path = Path(folder) / PROVENANCE
    if not path.is_file():
        raise UserError(f"{folder} holds no adapter of perlhf (no {PROVENANCE}).")
    try:
        provenance = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON: {one_line(error)}.") from None
    held = provenance if isinstance(provenance, dict) else {}
    missing = [key for key in ("base_sha256", "lora", *more) if key not in held]
    if missing:
        raise UserError(f"{path} says nothing of {', '.join(missing)}: it is damaged, or of another kind of role.")
    return held


def role_stamps(folder: Path) -> Stamps:
    """Notes when the files of a saved role were written, to see that it was saved anew."""
    return file_stamps(folder, _FILES)


def read_tensors(folder: Path, pattern: str) -> dict[str, Tensor]:
    """Reads the tensors of a folder's files by that pattern.

    Raises:
        UserError: there are no such files, or they are damaged.
    """
    files = sorted(folder.glob(pattern))
    if not files:
        raise UserError(f"{folder} holds no weights (no {pattern}).")
    try:
        return {name: tensor for file in files for name, tensor in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise UserError(f"{folder}: its weights cannot be read: {one_line(error)}.") from None


def belongs_to(backbone: "Backbone", head: bool = False) -> dict[str, Any]:
    """Returns what is recorded beside a role of the backbone that it was trained on: its weights and how it reads.

    Of one with a `head` also where plain transformers would read it at another token.
    """
    template = None if backbone.chat is None else backbone.chat.template
    named = None if template is None else {"setting": backbone.settings.chat_template, "sha256": template.sha256}
    known = {"base_sha256": backbone.hash, "chat_template": named}
    return {**known, "note": _PADDED_WITH_END} if head and backbone.pad_id == backbone.end_ids[0] else known


# It looks for the last token that is not padding. Our own masks come from lengths.
_PADDED_WITH_END = (
    "the padding token is the end token, so a plain sequence classifier of transformers reads the token before the end "
    "token; give its config another pad_token_id to read the score at the end token"
)


def template_setting(provenance: dict[str, Any]) -> str:
    """Returns the `--chat-template` that a role was trained with; "auto" of those that say nothing of it."""
    named = provenance.get("chat_template", {})
    return "none" if named is None else str(named.get("setting", "auto"))


def check_base(folder: Path, provenance: dict[str, Any], backbone: "Backbone") -> None:
    """Refuses an adapter that was trained on other base weights, or with another chat template."""
    if provenance["base_sha256"] != backbone.hash:
        raise UserError(
            f"adapter {folder} was trained on a base with sha256 {provenance['base_sha256'][:12]}, "
            f"but backbone {backbone.path} has {backbone.hash[:12]}; pass the backbone it was trained on."
        )
    check_template(f"adapter {folder}", provenance, backbone)


def check_template(what: str, provenance: dict[str, Any], backbone: "Backbone") -> None:
    """Refuses what was trained on prompts that another template wrote."""
    named, here = provenance.get("chat_template"), belongs_to(backbone)["chat_template"]  # unrecorded: there was none
    if (named or {}).get("sha256") != (here or {}).get("sha256"):
        setting = template_setting({"chat_template": named})
        other = setting if setting != backbone.settings.chat_template else "FILE, with the template of then"
        raise UserError(
            f"{what} was trained with chat template {_called(named)}, and backbone {backbone.path} has "
            f"{_called(here)}; give --chat-template {other}."
        )


def _called(named: dict[str, Any] | None) -> str:
    """Returns how a recorded template is called in a message."""
    return "none" if named is None else f"{named.get('setting')!r} (sha256 {str(named.get('sha256'))[:12]})"


# An adapter that counts from a start is saved as a plain one of twice the rank, as peft converts PiSSA:
# scale (B A - B0 A0) = scale [B | -B0] [A ; A0].


def with_starts(tensors: Mapping[str, Tensor], starts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Puts each start beside its A (rank, in) or B (out, rank); names are those of `Role.parameters`."""
    return dict(tensors) | {
        name: torch.cat([tensors[name], start]) if _is_a(name) else torch.cat([tensors[name], -start], dim=1)
        for name, start in starts.items()
    }


def without_starts(
    tensors: Mapping[str, Tensor | None], starts: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor | None], dict[str, Tensor]]:
    """Takes them apart again, for starts of these shapes; None in place of a tensor that is not twice the rank."""
    trained, found = dict(tensors), {}
    for name, start in starts.items():
        joined, dim = tensors[name], 0 if _is_a(name) else 1
        whole = joined is not None and joined.shape[dim] == 2 * start.shape[dim]
        trained[name], second = joined.chunk(2, dim) if joined is not None and whole else (None, start)
        found[name] = second if dim == 0 else -second
    return trained, found


def _is_a(name: str) -> bool:
    return name.endswith(".lora_A.weight")
