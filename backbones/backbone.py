"""`Backbone`: holds a frozen language model and its tokenizer, loaded once in a process, until it is released."""

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

from backbones.adapters import Adapters
from backbones.full_role import FullRole
from backbones.model.anatomy import base_weights, decoder_layers, end_ids_of, hash_base, pad_id_of
from backbones.model.loading import (
    QUANTIZED,
    SHIPPED,
    BackboneError,
    LoadSettings,
    check_causal,
    file_stamps,
    find_device,
    load_model,
    load_processor,
    load_tokenizer,
    precision_on,
    resolve_path,
    sees,
    short_name,
)
from backbones.model.tokens import TokenBatch
from backbones.model.vision import ImagePrompt, Vision
from backbones.roles import LoRARole, LoRASettings, ReferenceRole, Role
from backbones.shortcuts.checkpointed import checkpoint_layers
from backbones.shortcuts.frozen_states import FrozenStates
from backbones.shortcuts.packing import packs
from backbones.shortcuts.precision import reduce_precision

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
        cut_prompts, cut_responses: how many it cut, of so many that were read.
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
    ) -> None:
        self.path, self.settings = path, settings
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.vision = None if processor is None else Vision(processor, model)
        self.end_ids = end_ids_of(model, tokenizer)
        self.pad_id = pad_id_of(model, tokenizer, self.end_ids)
        self.adapters = adapters = Adapters(model)
        # Not of a model that sees: a row of tokens does not say which image they stand for.
        layers = decoder_layers(model) if self.vision is None else None
        bare = partial(adapters.active, None)
        self.frozen_states = FrozenStates(layers, self.pad_id, bare, lambda: adapters.frozen_layers)
        self.attached: dict[str, Any] = {}
        self._prefix_ids, self._suffix_ids = _added_ids(tokenizer)
        self._space = _space_before_response(tokenizer)
        self._hash: str | None = None
        self._stamps = file_stamps(path)
        self.cut_prompts = self.cut_responses = self.read_prompts = self.read_responses = 0
        self._check_limits()
        self.precision = precision_on(settings.precision, model.device, self.parameter_count)
        if self.precision not in ("fp32", *QUANTIZED):
            self._hash = hash_base(model)  # of the weights as they were saved, which adapters name
            reduce_precision(model, self.precision)
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
                who do. Where there is no copy, it goes where the backbone that was asked for last is, or to the CPU.
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
        place = wanted or (others[0].device if others else torch.device("cpu"))
        settings = settings or LoadSettings()
        model, tokenizer = load_model(path, settings, place), load_tokenizer(path)
        check_causal(path, model)
        processor = load_processor(path) if sees(model.config) else None
        if settings.precision not in QUANTIZED:  # which is in its place
            model.to(place)
        return _held(cls(path, model, tokenizer, processor, settings))

    @classmethod
    def of_hash(cls, sha256: str, name: str) -> "Backbone | None":
        """Finds a backbone in memory with these weights, from wherever it was loaded, the one called `name` first."""
        path = str(SHIPPED.get(name, name))
        found = sorted(cls.in_memory(), key=lambda backbone: backbone.path != path)
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
        """Returns token ids of a prompt, an `ImagePrompt` where it shows an image, whose tokens come first.

        The oldest ids of the text are cut beyond `max_prompt_tokens`. Text never becomes a special token.

        Args:
            text: the prompt.
            image: (height, width, 3) uint8, or None.

        Raises:
            BackboneError: there is an image, and the backbone takes none.
        """
        ids, shown = _plain_ids(self.tokenizer, text), self._image_ids(image)
        room = min(self.max_prompt_tokens, self.max_length - self.max_response_tokens - len(shown))
        room = max(1, room - len(self._prefix_ids) - len(self._suffix_ids))
        self.read_prompts += 1
        self.cut_prompts += len(ids) > room
        ids = [*self._prefix_ids, *shown, *ids[-room:], *self._suffix_ids] or [self.pad_id]
        return ids if image is None or self.vision is None else ImagePrompt(ids, image, self.vision)

    def _image_ids(self, image: np.ndarray | None) -> list[int]:
        if image is None:
            return []
        if self.vision is None:
            raise BackboneError(
                f"backbone {short_name(self.path)!r} takes no images, and the env shows them; give --backbone an "
                "image-text-to-text model, such as tiny-vqav2."
            )
        return self.vision.ids(image)

    def encode_response(self, text: str) -> list[int]:
        """Returns token ids of a response after a prompt, without an end token, cut to `max_response_tokens - 1`."""
        text = text.strip()
        if not text:
            return []
        ids = _plain_ids(self.tokenizer, self._space + text)
        self.read_responses += 1
        self.cut_responses += len(ids) > self.max_response_tokens - 1
        return ids[: self.max_response_tokens - 1]

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of response tokens, without end tokens, special tokens and outer white space."""
        said = list(ids)
        while said and said[-1] in self.end_ids:  # one that is not special would be text
            said.pop()
        return self.tokenizer.decode(said, skip_special_tokens=True).strip()

    def batch(self, prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]) -> TokenBatch:
        """Makes padded tensors of rows."""
        return TokenBatch.of(prompts, responses, self.pad_id, self.device, self.frozen_states)

    @cached_property
    def packs(self) -> bool:
        """Tells whether responses to one prompt can stand in one row, see `backbones.shortcuts.packing`."""
        return packs(self)

    def save_processor(self, folder: str | Path) -> None:
        """Writes what stands beside a model: the tokenizer, and what makes pixels of images."""
        self.tokenizer.save_pretrained(folder)
        if self.vision is not None:
            self.vision.processor.save_pretrained(folder)

    @property
    def hash(self) -> str:
        """Returns the sha256 of the base weights as loaded, before any loss of precision; adapters record it."""
        if self._hash is None:
            # Quantized weights are not those of the file, so it is read once more, in float32.
            quantized = self.precision in QUANTIZED
            self._hash = hash_base(load_model(self.path) if quantized else self.model)
        return self._hash


def _held(backbone: Backbone) -> Backbone:
    """Holds a backbone, as the one that was asked for last."""
    if backbone in _loaded:
        _loaded.remove(backbone)
    _loaded.append(backbone)
    return backbone


def _plain_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Returns token ids of a text alone: nothing is added, and nothing in it becomes a special token."""
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def _added_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Finds what a tokenizer adds before a text and behind it: a start token, say. It stays where a prompt is cut."""
    plain = _plain_ids(tokenizer, "yes")
    whole = list(tokenizer("yes", split_special_tokens=True)["input_ids"])
    starts = [i for i in range(len(whole) - len(plain) + 1) if whole[i : i + len(plain)] == plain]
    return (whole[: starts[0]], whole[starts[0] + len(plain) :]) if starts else ([], [])


def _space_before_response(tokenizer: PreTrainedTokenizerBase) -> str:
    """Returns " ", or "" where the tokenizer puts a space before every text by itself, as Llama 2's does."""
    prompt, whole = _plain_ids(tokenizer, "yes"), _plain_ids(tokenizer, "yes no")
    following = whole[len(prompt) :] if whole[: len(prompt)] == prompt else []
    alone, spaced = _plain_ids(tokenizer, "no"), _plain_ids(tokenizer, " no")
    return "" if alone == following and spaced != following else " "
