"""`Backbone`: holds a frozen language model and its tokenizer, loaded once in a process, until it is released."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

from backbones.adapters import Adapters
from backbones.full_role import FullRole
from backbones.model.anatomy import base_weights, decoder_layers, embedding_count, end_ids_of, hash_base, pad_id_of
from backbones.model.chat import ChatTemplate, Shown
from backbones.model.checks import check_causal, check_decoding, check_vocabulary
from backbones.model.devices import find_device, precision_on
from backbones.model.loading import (
    QUANTIZED,
    SHIPPED,
    BackboneError,
    LoadSettings,
    Precision,
    file_stamps,
    load_model,
    load_tokenizer,
    resolve_path,
    sees,
    short_name,
)
from backbones.model.plain_text import PlainText, added_ids, controls_of
from backbones.model.processors import copy_processor, is_whole, load_processor
from backbones.model.sayable import rule_out_unknown_ids
from backbones.model.stops import Stops, read_stops, text_of
from backbones.model.template import find_template
from backbones.model.tokens import TokenBatch
from backbones.model.vision import ImagePrompt, Vision
from backbones.roles import LoRARole, LoRASettings, ReferenceRole, Role
from backbones.sharding import describe, is_sharded, is_to_be_sharded, load_sharded
from backbones.shortcuts.checkpointed import checkpoint_layers
from backbones.shortcuts.equal_prompts import repeats_rows
from backbones.shortcuts.frozen_states import FrozenStates
from backbones.shortcuts.packing import packs
from backbones.shortcuts.precision import reduce_precision
from backbones.shortcuts.shared_prefix import shares_prefixes
from perlhf.conversation import messages_of

LONGEST = 1 << 20  # tokens, of a model whose config has no limit: more than any row here

_loaded: "list[Backbone]" = []  # held until they are released; the one that was asked for last at the end


class Backbone:
    """Holds a frozen model and its tokenizer, and makes roles on it.

    Use `Backbone.load`: whoever asks for the same path in the same process gets the same object, which is how
    the policy, the value function, the env's reward model and the evaluation come to share one copy. It stays in
    memory until `release`.

    Attributes:
        path: the folder or hub id it was loaded from.
        model: the transformers model; call it through a role, never directly.
        tokenizer: its tokenizer.
        vision: how it sees; None of a model for text alone.
        adapters: the LoRA adapters on it.
        frozen_states: what its lower layers give, kept while they are open.
        settings: how it is held and how it reads text.
        precision: of its weights: what `settings` says, or on this device means by "auto".
        is_sharded: whether this process holds a part of its layers, see `backbones.sharding`.
        end_ids: tokens that end a response; the first one is put behind a response that is read.
        chat: its chat template, where it has one.
        stops: texts at which a response is over.
        cut_prompts, cut_responses: how many of those that were encoded so far lost tokens at the limits.
        read_prompts, read_responses: how many it encoded.
        attached: what others keep in memory for as long as this backbone is, by a name of their own.
    """

    def __init__(
        self,
        path: str,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        processor: ProcessorMixin | None = None,
        settings: LoadSettings = LoadSettings(),  # noqa: B008 - it is frozen
        precision: Precision = "fp32",
        sha256: str | None = None,
    ) -> None:
        self.path, self.settings = path, settings
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.vision = None if processor is None else Vision(processor, model)
        template = find_template(settings.chat_template, tokenizer, processor)
        self.end_ids = end_ids_of(model, tokenizer, template.end if template else "")
        self.pad_id = pad_id_of(model, tokenizer, self.end_ids)
        self.adapters = adapters = Adapters(model)
        # Not of a model that sees: a row of tokens does not say which image they stand for.
        # Nor of one that is shared out: rows that are missing would take forwards that other processes do not run.
        self.is_sharded = is_sharded(model)
        layers = decoder_layers(model) if self.vision is None and not self.is_sharded else None
        bare = partial(adapters.active, None)
        self.frozen_states = FrozenStates(layers, self.pad_id, bare, lambda: adapters.frozen_layers)
        self.attached: dict[str, Any] = {}
        rule_out_unknown_ids(model, tokenizer)
        turns = template.turn_tokens if template else ()
        self._plain = PlainText(tokenizer, controls_of(tokenizer, self.end_ids, turns, embedding_count(model)))
        self._prefix_ids, self._suffix_ids = added_ids(tokenizer, self.end_ids)
        self.chat = ChatTemplate(template, self._plain, self._prefix_ids) if template else None
        self.stops = Stops(read_stops(settings.stop), tokenizer)
        self.precision, self._hash = precision, sha256
        self._stamps = file_stamps(path)
        self.cut_prompts = self.cut_responses = self.read_prompts = self.read_responses = 0
        self._check_limits()
        if settings.gradient_checkpointing:
            checkpoint_layers(model)

    @classmethod
    def load(
        cls,
        name: str | Path = "tiny",
        device: str | torch.device | None = None,
        settings: LoadSettings | None = None,
    ) -> "Backbone":
        """Loads "tiny", a local folder or a hub id through transformers' Auto classes, once in a process.

        A model whose config has a part for vision takes images with its prompts. Only safetensors weights are read
        and no code from the folder or hub is ever run. A folder that was written anew since is loaded anew; whoever
        holds the backbone of before keeps that one.

        Args:
            name: "tiny", a folder or a hub id.
            device: where it shall be; "auto" is a GPU where there is one. None takes the copy in memory, the one that
                was asked for last if there are several, so that whoever knows of no device shares the copy of those
                who do. Where there is no copy, it goes where the backbone that was asked for last is, else as "auto".
            settings: how it is held and how it reads text; None takes the copy in memory as it is, or the defaults.

        Raises:
            BackboneError: nothing by that name, no causal language model in it, or no such device.
        """
        path, wanted = resolve_path(name), None if device is None else find_device(device)
        others = cls.in_memory()
        for backbone in others:
            if backbone.path == path and backbone.is_stale:
                backbone.release()
            elif backbone.path == path and wanted in (None, backbone.device) and settings in (None, backbone.settings):
                return backbone if device is None else _held(backbone)
        place = wanted or (others[0].device if others else find_device("auto"))
        settings = settings or LoadSettings()
        read = partial(_read, path, settings, place)
        model, precision, sha256 = load_sharded(read, path, place) if is_to_be_sharded(settings) else read()
        tokenizer = load_tokenizer(path)
        check_vocabulary(path, model, tokenizer)
        if place.type != "meta":  # where there are no numbers to check
            check_causal(path, model)
            check_decoding(path, model)
        processor = load_processor(path, model.config) if sees(model.config) else None
        return _held(cls(path, model, tokenizer, processor, settings, precision, sha256))

    @classmethod
    def of_hash(cls, sha256: str, name: str, chat_template: str = "auto") -> "Backbone | None":
        """Finds a backbone in memory with these weights, from wherever it was loaded.

        Args:
            sha256: `hash` of it.
            name: the one that is called so comes first.
            chat_template: as in `LoadSettings`; the one that was loaded with it comes first.
        """
        path = str(SHIPPED.get(name, name))
        found = sorted(
            cls.in_memory(), key=lambda held: (held.settings.chat_template != chat_template, held.path != path)
        )
        return next((backbone for backbone in found if backbone.hash == sha256), None)

    @classmethod
    def in_memory(cls) -> "list[Backbone]":
        """Returns what was loaded and not released, the one that was asked for last first."""
        return _loaded[::-1]

    @classmethod
    def release_all(cls) -> None:
        """Releases every backbone in memory."""
        for backbone in cls.in_memory():
            backbone.release()

    def release(self) -> None:
        """Lets go of this backbone and of what is attached to it, so that the next `load` reads the folder anew.

        Whoever still holds it or a role on it can go on using it; the memory is free when nobody does.
        """
        self.attached.clear()
        if self in _loaded:
            _loaded.remove(self)

    def add_role(self, name: str, settings: "LoRASettings | None", head: bool = False, seed: int = 0) -> Role:
        """Makes a new trainable role.

        Args:
            name: "policy", "value" or "reward".
            settings: the LoRA adapter's; None trains all weights, on a copy of the model.
            head: whether the role has a scalar head on the hidden states.
            seed: of the initial weights; the global random state is left alone.
        """
        return FullRole(self, name, head, seed) if settings is None else LoRARole(self, name, settings, head, seed)

    @property
    def is_stale(self) -> bool:
        """Tells whether the folder that it was loaded from holds another model now."""
        stamps = file_stamps(self.path)
        return bool(stamps) and stamps != self._stamps  # a folder that is gone holds no other

    @property
    def reference(self) -> ReferenceRole:
        """Returns the role with no adapter at all."""
        return ReferenceRole(self)  # not kept: a cycle would leave the backbone in memory until garbage is collected

    @property
    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in base_weights(self.model).values())

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def whereabouts(self) -> str:
        """Returns a line that says on which device the backbone is, in what precision, and what of it where not all."""
        line = f"device: {self.device}, precision: {self.precision}"
        if self.is_sharded:
            return f"{line}\n{describe(self.model)}"
        return f"{line}; one process, so it has all of the base" if self.settings.shard_base else line

    @property
    def hidden_size(self) -> int:
        return int(self.model.config.get_text_config().hidden_size)

    def learning_rate(self, given: float | None, by_width: float, full: bool) -> float:
        """Returns the rate given, else one that falls with the width; full tuning takes a tenth of it."""
        return by_width * (0.1 if full else 1.0) / self.hidden_size if given is None else given

    @property
    def state_size(self) -> int:
        """Returns the width of the last hidden states, which heads read; OPT projects them down from `hidden_size`."""
        return int(self.model.get_output_embeddings().weight.shape[-1])

    @property
    def max_length(self) -> int:
        """Counts the tokens of prompt and response together that the model was made for."""
        return int(getattr(self.model.config.get_text_config(), "max_position_embeddings", LONGEST))

    @property
    def max_prompt_tokens(self) -> int:
        """Counts the tokens that prompts are cut to: half the model's context where the settings do not say."""
        given, others = self.settings.max_prompt_tokens, self.settings.max_response_tokens
        return given or min(self.max_length // 2, self.max_length - (others or 0))

    @property
    def max_response_tokens(self) -> int:
        """Counts the tokens that responses are cut to: what prompts leave where the settings do not say."""
        return self.settings.max_response_tokens or self.max_length - self.max_prompt_tokens

    def _check_limits(self) -> None:
        prompt, response = self.settings.max_prompt_tokens, self.settings.max_response_tokens
        given = {"--max-prompt-tokens": prompt, "--max-response-tokens": response}
        if sum(n or 1 for n in given.values()) > self.max_length:  # 1 is the least that there has to be
            said = " and ".join(f"{name} {n}" for name, n in given.items() if n)
            raise BackboneError(
                f"{said} do not fit: backbone {short_name(self.path)!r} was made for {self.max_length} tokens of "
                "prompt and response together."
            )

    def describe_cuts(self) -> str:
        """Returns a line that says how many prompts and responses were cut so far; "" where none was."""
        lines = []
        if self.cut_prompts:
            lines.append(
                f"{self.cut_prompts} of {self.read_prompts} prompts were longer than {self.max_prompt_tokens} tokens "
                "and lost their oldest (--max-prompt-tokens)"
            )
        if self.cut_responses:
            lines.append(
                f"{self.cut_responses} of {self.read_responses} responses were longer than {self.max_response_tokens} "
                "tokens and were cut (--max-response-tokens)"
            )
        return f"warning: {'; '.join(lines)}." if lines else ""

    def encode_prompt(self, text: str, image: np.ndarray | None = None) -> list[int]:
        """Returns token ids of a prompt, an `ImagePrompt` where it shows an image.

        With a chat template they are those of its messages (`perlhf.conversation`), ready for the assistant's answer;
        beyond `max_prompt_tokens` the oldest messages are left out. Without one they are those of the text, the
        oldest cut, and the image stands first, or where the model's config says (`Vision.place`). Text never becomes a
        special token.

        Args:
            text: the prompt, a `Conversation` or any other.
            image: (height, width, 3) uint8, or None.

        Raises:
            BackboneError: there is an image, and the backbone takes none, or it fills the prompt; or the template
                refuses the messages.
        """
        shown = self._image_ids(image)
        room = min(self.max_prompt_tokens, self.max_length - self.max_response_tokens - len(shown))
        if self.chat is None:
            ids, cut = self._text_ids(text, room, shown)
        else:
            picture = Shown(shown, self.vision.processor.image_token) if shown and self.vision else None
            ids, cut = self.chat.prompt_ids(messages_of(text), room, picture)
        self.read_prompts += 1
        self.cut_prompts += cut
        return ids if image is None or self.vision is None else ImagePrompt(ids, image, self.vision)

    def _text_ids(self, text: str, room: int, shown: list[int]) -> tuple[list[int], bool]:
        """Returns ids of a prompt as text, and whether it was cut."""
        place = self.vision.place if shown and self.vision else ""
        before, _, after = str(text).rpartition(place) if place else ("", "", str(text))
        first, rest = self._plain.ids(before), self._plain.ids(after, follows=bool(before))
        room = max(1, room - len(self._prefix_ids) - len(self._suffix_ids))
        over = max(0, len(first) + len(rest) - room)
        read = [*first[over:], *shown, *rest[max(0, over - len(first)) :]]
        whole = [*self._prefix_ids, *read, *self._suffix_ids]
        return whole or [self.pad_id], over > 0

    def _image_ids(self, image: np.ndarray | None) -> list[int]:
        if image is None:
            return []
        if self.vision is None:
            raise BackboneError(
                f"backbone {short_name(self.path)!r} takes no images, and the env shows them; give --backbone an "
                "image-text-to-text model, such as tiny-vqav2."
            )
        # A template writes itself what stands around an image.
        before, after = ([], []) if self.chat is not None else self.vision.around
        ids = [*before, *self.vision.ids(image), *after]
        most = min(self.max_length // 2, self.max_length - self.max_response_tokens)
        if len(ids) >= most:
            raise BackboneError(
                f"backbone {short_name(self.path)!r}: an image of {image.shape[1]} x {image.shape[0]} pixels is "
                f"{len(ids)} tokens, and a prompt may have {most}; show smaller images, allow shorter responses "
                "(--max-response-tokens) or take another backbone."
            )
        return ids

    def encode_response(self, text: str) -> list[int]:
        """Returns token ids of a response after a prompt, without an end token, cut to `max_response_tokens - 1`."""
        text = text.strip()
        if not text:
            return []
        ids = self._plain.ids(self._plain.space + text) if self.chat is None else self.chat.response_ids(text)
        room = self.max_response_tokens - 1
        self.read_responses += 1
        self.cut_responses += len(ids) > room
        return ids[:room]

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of response tokens up to a stop string, without end and special tokens and outer space."""
        said = list(ids)
        while said and said[-1] in self.end_ids:  # one that is not special would be text
            said.pop()
        return self.stops.cut(text_of(self.tokenizer, said)).strip()

    def has_ended(self, ids: Sequence[int]) -> bool:
        """Tells whether a response was ended and not cut: by an end token, or with a stop string."""
        return len(ids) > 0 and (ids[-1] in self.end_ids or self.stops.end(ids))

    def batch(self, prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]) -> TokenBatch:
        """Makes padded tensors of rows."""
        return TokenBatch.of(prompts, responses, self.pad_id, self.device, self.frozen_states)

    @cached_property
    def packs(self) -> bool:
        """Tells whether responses to one prompt can stand in one row, see `backbones.shortcuts.packing`."""
        return packs(self)

    @cached_property
    def shares_prefixes(self) -> bool:
        """Tells whether prompts that begin alike can be read together, see `backbones.shortcuts.shared_prefix`."""
        return shares_prefixes(self)

    @cached_property
    def repeats_rows(self) -> bool:
        """Tells whether a prompt can be read once for several responses, see `backbones.shortcuts.equal_prompts`."""
        return repeats_rows(self)

    def save_processor(self, folder: str | Path) -> None:
        """Writes what stands beside a model: the tokenizer with the chat template in use, and what makes pixels."""
        beside = [self.tokenizer]
        if self.vision is not None and is_whole(self.vision.processor):
            beside.append(self.vision.processor)
        elif self.vision is not None:
            copy_processor(self.path, folder)
        source = None if self.chat is None else self.chat.template.source
        own = [part.chat_template for part in beside]
        try:
            for part in beside:
                part.chat_template = source
                part.save_pretrained(folder)
        finally:
            for part, template in zip(beside, own, strict=True):
                part.chat_template = template

    @property
    def hash(self) -> str:
        """Returns the sha256 of the base weights as loaded, before any loss of precision; adapters record it."""
        if self._hash is None:
            # Quantized weights are not those of the file, so it is read once more, in its own type.
            quantized = self.precision in QUANTIZED
            self._hash = hash_base(load_model(self.path, LoadSettings("auto")) if quantized else self.model)
        return self._hash


def _read(path: str, settings: LoadSettings, place: torch.device) -> tuple[PreTrainedModel, Precision, str | None]:
    """Reads a model and brings it to its precision and its place, in this order, so that no larger copy is anywhere.

    Returns it, its precision and, where digits of the files are lost, the hash of all of them, which adapters name. One
    that is to be shared out stays in the memory of the CPU.
    """
    model = load_model(path, settings, place)
    precision = precision_on(settings.precision, place, sum(p.numel() for p in model.parameters()))
    if precision == "fp32" and model.dtype != torch.float32:  # auto left it in its own type
        del model  # before it is read again: two would be in memory
        model = load_model(path, replace(settings, precision="fp32"), place)
    sha256 = None
    if precision not in ("fp32", *QUANTIZED):
        is_finer = any(p.dtype != torch.bfloat16 for p in model.parameters())
        sha256 = hash_base(model) if is_finer else None
        reduce_precision(model, precision)
    in_place = precision in QUANTIZED
    if not in_place and not is_to_be_sharded(settings):  # whose weights are sent there
        model.to(place)
    return model, precision, sha256


def _held(backbone: Backbone) -> Backbone:
    """Holds a backbone, as the one that was asked for last."""
    if backbone in _loaded:
        _loaded.remove(backbone)
    _loaded.append(backbone)
    return backbone
