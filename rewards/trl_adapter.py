"""`AdapterReward`: scores with a LoRA adapter that TRL's RewardTrainer, or plain peft, has trained with a head.

Where its base is a language model that perlhf can hold, the adapter goes on the backbone of that path: one copy in
memory for it, the policy, and further adapters on that base. Any other kind of adapter, and any other base, is opened
by peft on a copy of its own (`rewards.classifier`), which a line says.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from backbones.backbone import Backbone
from backbones.forward import last_token_scores
from backbones.model.loading import SHIPPED, BackboneError, Stamps, file_stamps
from backbones.model.targets import pattern_of
from backbones.model.tokens import like_lengths
from backbones.role_files import read_tensors
from backbones.roles import LoRASettings, LoRAVariant, Role
from envs.turn import Turn
from perlhf.errors import RewardError, UserError
from rewards.classifier import Classifier, held_adapter, load_adapter
from rewards.texts import Form, Reader, check_how, limit_of, padding_of, read_tokenizer
from rewards.workers import one_thread_in_workers

_FILES = ("adapter_*", "tokenizer*", "*.jinja")
_HEAD = "score.weight"
_HEADS = (_HEAD, "classifier.weight", "classifier.out_proj.weight")  # as architectures call what gives the outputs
_PREFIX = "base_model.model."
_ROWS = 16  # in one forward


class AdapterReward:
    """Scores turns with an adapter and a head on a backbone; of the shape of a reward function.

    Attributes:
        role: the adapter and head.
        reader: makes the token ids, with the tokenizer that the adapter was saved with.
        pad_id: its padding token. The score is read at the last token that is none, as transformers does.
    """

    def __init__(self, role: Role, reader: Reader, pad_id: int | None) -> None:
        self.role, self.reader, self.pad_id = role, reader, pad_id

    @torch.no_grad()
    def __call__(self, turns: Sequence[Turn]) -> list[float]:
        """Scores each turn."""
        backbone, head = self.role.backbone, self.role.head
        assert head is not None, "a reward role has a head"
        # A causal model's state at a token does not depend on what follows, so what follows is left out.
        rows = [self._without_padding(self.reader.read(turn).ids) for turn in turns]
        scores = torch.empty(len(rows))
        with self.role.active() as model:
            for chunk in like_lengths(list(map(len, rows)), _ROWS):
                part = [rows[i] for i in chunk]
                scores[chunk] = last_token_scores(model, head, part, backbone.pad_id, backbone.device).cpu()
        found: list[float] = scores.tolist()
        return found

    def _without_padding(self, ids: list[int]) -> list[int]:
        length = max((i + 1 for i, token in enumerate(ids) if token != self.pad_id), default=1)
        return ids[:length]


def score(
    turns: Sequence[Turn],
    path: str,
    base: str | None = None,
    label: str | int | None = None,
    form: Form = "auto",
    max_length: int | None = None,
) -> list[float]:
    """Scores turns with an adapter of TRL's or peft's, loaded once in a process.

    Args:
        turns: what is scored.
        path: the adapter's folder.
        base: its base, a folder or a hub id; by default the one that the adapter names.
        label, form, max_length: as in `rewards.classifier.score`.

    Raises:
        RewardError: adapter or base cannot be read, or not together; or turns that show images.
    """
    one_thread_in_workers()
    return load(path, base, label, form, max_length)(turns)


def load(
    path: str,
    base: str | None = None,
    label: str | int | None = None,
    form: Form = "auto",
    max_length: int | None = None,
) -> AdapterReward | Classifier:
    """Opens an adapter once in a process, again where its folder was written anew; see `score`."""
    check_how(path, label, form, max_length)
    folder = Path(path)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    base = base or config.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise RewardError(f"reward {path!r} names no base; give it as option base, a folder or a hub id.")
    stamps = file_stamps(folder, _FILES)
    key = f"adapter {folder.resolve()} of {base} as {label}, {form}, {max_length}"
    for host in Backbone.in_memory():
        held, before = host.attached.get(key, (None, None))
        if held is not None and (before == stamps or not stamps):
            return held
    if (own := held_adapter(path, base, label, form, max_length)) is not None:
        return own
    try:
        return _opened(folder, config, base, (label, form, max_length), key, stamps)
    except RewardError:
        raise
    except UserError as error:
        raise RewardError(f"reward {path!r}: {error}") from None


def _opened(
    folder: Path, config: dict[str, Any], base: str, how: tuple[Any, ...], key: str, stamps: Stamps
) -> AdapterReward | Classifier:
    """Opens an adapter on a backbone, or where that cannot be on a copy of its base."""
    if config.get("megatron_config"):
        raise RewardError(f"reward {str(folder)!r} names a module to import, as Megatron's adapters do; it is not run.")
    tensors = read_tensors(folder, "adapter_model.safetensors")
    heads = [name for name in tensors if name.removeprefix(_PREFIX) in _HEADS]
    if not heads:
        raise RewardError(
            f"reward {str(folder)!r} has no head among its tensors, so that its scores would be drawn at random; train "
            'it with modules_to_save=["score"].'
        )
    has_tokenizer = any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.txt"))
    tokenizer = read_tokenizer(str(folder), str(folder) if has_tokenizer else base)
    problem = _obstacle(config, tensors)
    if not problem and how[0] is not None:
        raise RewardError(f"reward {str(folder)!r} has one output, which is the score; leave label out.")
    if not problem:
        before = Backbone.in_memory()
        try:
            backbone = Backbone.load(base)
            made = _on_backbone(folder, config, tensors, backbone, tokenizer, how)
            backbone.attached[key] = made, stamps
            shared = "which is in memory already" if backbone in before else "a copy in memory for it"
            print(f"reward {str(folder)!r}: an adapter on {base}, {shared}", file=sys.stderr)
            return made
        except BackboneError as error:
            if _is_gone(base):
                raise RewardError(
                    f"reward {str(folder)!r}: its base {base!r} is not there; give where it is as option base."
                ) from None
            problem = str(error)
            for backbone in set(Backbone.in_memory()) - set(before):
                backbone.release()  # it was loaded for this alone
    print(f"reward {str(folder)!r} takes a copy of {base!r} of its own: {problem}", file=sys.stderr)
    label, form, max_length = how
    labels, brought = int(tensors[heads[0]].shape[0]), {name.removeprefix(_PREFIX) for name in tensors}
    return load_adapter(str(folder), base, tokenizer, label, form, max_length, labels, brought)


def _is_gone(base: str) -> bool:
    """Returns whether a base is a folder that is not there."""
    is_place = base.count("/") != 1 or base.startswith((".", "/", "~"))
    return is_place and base not in SHIPPED and not Path(base).is_dir()


def _obstacle(config: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """Returns why an adapter is none that a backbone takes; "" where it is one."""
    head = tensors.get(_PREFIX + _HEAD)
    if config.get("peft_type") != "LORA":
        return f"it is of type {config.get('peft_type')}."
    if head is None or head.shape[0] != 1:
        return "its head is no single score on the last state."
    odd = [name for name in ("rank_pattern", "alpha_pattern", "trainable_token_indices") if config.get(name)]
    if config.get("bias", "none") != "none":
        odd.append("bias")
    if odd:
        return f"it has {', '.join(odd)}."
    others = [name for name in tensors if ".lora_" not in name and name != _PREFIX + _HEAD]
    return f"it replaces {others[0].removeprefix(_PREFIX)}." if others else ""


def _on_backbone(
    folder: Path,
    config: dict[str, Any],
    tensors: dict[str, Tensor],
    backbone: Backbone,
    tokenizer: PreTrainedTokenizerBase,
    how: tuple[Any, ...],
) -> AdapterReward:
    """Puts an adapter and its head on a backbone, frozen.

    Raises:
        BackboneError: it has tensors that the backbone has no place for.
    """
    plain = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
    names = sorted({name.partition(".lora_")[0] for name in plain if ".lora_" in name})
    variant: LoRAVariant = "dora" if config.get("use_dora") else "rslora" if config.get("use_rslora") else "lora"
    settings = LoRASettings(
        int(config["r"]), float(config["lora_alpha"]), vision=False, targets=pattern_of(names), variant=variant
    )
    try:
        role = backbone.add_role("reward", settings, head=True)
    except UserError as error:
        raise BackboneError(str(error)) from None
    role.trainable = False
    places = role.parameters()
    odd = sorted(plain.keys() ^ places.keys()) or [n for n in places if plain[n].shape != places[n].shape]
    if odd:
        raise BackboneError(f"the backbone has no place of that kind for {odd[0]}.")
    with torch.no_grad():
        for name, parameter in places.items():
            parameter.copy_(plain[name])
    _, form, max_length = how
    embeddings = int(backbone.model.get_input_embeddings().weight.shape[0])
    limit = limit_of(str(folder), max_length, backbone.max_length)
    reader = Reader(str(folder), tokenizer, embeddings, form, limit)
    return AdapterReward(role, reader, padding_of(tokenizer))
