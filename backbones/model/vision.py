"""Vision: makes tokens and pixels of images.

An image is a run of tokens in the prompt, and pixels that travel beside it. A prompt with an image is a list of token
ids like any other, so that whatever pads and batches prompts takes both. It holds its image as it was shown; pixels are
made of it where a batch is made, by the model's own processor, which takes a fraction of a forward pass and far less
memory than keeping them.
"""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel, ProcessorMixin

from backbones.model.anatomy import image_token_of
from backbones.model.loading import FOR_IMAGES, BackboneError
from backbones.model.sayable import unknown_ids
from perlhf.errors import one_line

_IMPOSSIBLE = -1e9  # a logit; -inf would make an entropy of 0 * -inf
_TYPES = "mm_token_type_ids"  # 1 where an image is, 0 elsewhere
_SEEN = ("vision", "image")  # as configs call what begins and ends an image
# Config entries that name tokens in whose place a model puts states of its towers, or that announce such a place.
_UNSAYABLE = (
    "image_token_id", "video_token_id", "audio_token_id", "vision_start_token_id", "image_start_token_id",
    "video_start_token_id",
)  # fmt: skip


class ImagePrompt(list[int]):
    """Holds the token ids of a prompt that shows an image, and the image.

    Attributes:
        image: (height, width, 3) uint8.
        vision: of the backbone that the ids are for.
    """

    def __init__(self, ids: Iterable[int], image: np.ndarray, vision: "Vision") -> None:
        super().__init__(ids)
        self.image, self.vision = image, vision

    @cached_property
    def digest(self) -> tuple[tuple[int, ...], bytes]:
        """What tells the image from others, without holding on to it: its shape and a sha256 of its pixels."""
        return self.image.shape, sha256(self.image.tobytes()).digest()

    def __add__(self, ids: Iterable[int]) -> "ImagePrompt":  # type: ignore[override]
        """Appends ids to the prompt's; the image stays."""
        return ImagePrompt([*self, *ids], self.image, self.vision)


class Vision:
    """Makes tokens and pixels of images, for one model.

    Attributes:
        processor: what makes them.
        token_id: the token that stands for a part of an image.
        place: the words of a prompt that an image stands in place of, the last of them; "" where it stands first.
    """

    def __init__(self, processor: ProcessorMixin, model: PreTrainedModel) -> None:
        """
        Raises:
            BackboneError: the model takes images in a way that is not known here.
        """
        token, forward = image_token_of(model), inspect.signature(model.forward).parameters
        self._place = getattr(model.base_model, "get_rope_index", None)
        self._placed_by = () if self._place is None else tuple(inspect.signature(self._place).parameters)
        if token is None or "cross_attention_mask" in forward or (self._place and _TYPES not in self._placed_by):
            raise BackboneError(
                f"{type(model).__name__} takes images otherwise than as tokens of its prompt; {FOR_IMAGES}"
            )
        self.processor, self.token_id = processor, token
        self.place: str = getattr(model.config, "image_place", "")
        self._taken = set(forward)
        self._ends = _ends_of_images(model.config)
        self._ids: dict[tuple[int, ...], list[int]] = {}

    def ids(self, image: np.ndarray) -> list[int]:
        """Returns the tokens that the processor puts in place of its image token; they depend on the shape alone.

        Raises:
            BackboneError: the processor cannot take it.
        """
        if image.shape not in self._ids:
            self._ids[image.shape] = self._read(image)
        return self._ids[image.shape]

    @cached_property
    def around(self) -> tuple[list[int], list[int]]:
        """Returns the tokens before and after `ids` that a chat template would write, for prompts without one."""
        plain = self.ids(np.full((64, 64, 3), 128, dtype=np.uint8))
        return tuple([] if end is None or end in plain else [end] for end in self._ends)  # type: ignore[return-value]

    def _read(self, image: np.ndarray) -> list[int]:
        kind = type(self.processor).__name__
        try:
            text = [self.processor.image_token]
            read = self.processor(images=[[image]], text=text, add_special_tokens=False, **_HOW)
            ids: list[int] = read["input_ids"][0].tolist()
            pixels = self.pixels([image])
        except Exception as error:  # what a processor raises is any of a dozen types
            raise BackboneError(f"{kind} takes no image ({one_line(error)}); {FOR_IMAGES}") from None
        if self.token_id not in ids:
            raise BackboneError(f"{kind} gives an image no tokens; {FOR_IMAGES}")
        # A processor may tell its part for images more than `images_kwargs`; tokens and pixels would not agree.
        if not pixels or not all(name in read and torch.equal(value, read[name]) for name, value in pixels.items()):
            raise BackboneError(f"{kind} makes pixels in a way of its own that is not supported; {FOR_IMAGES}")
        return ids

    def inputs(self, images: Sequence[np.ndarray], input_ids: Tensor) -> dict[str, Tensor]:
        """Makes what the model takes beside `input_ids` (B, L), for its rows' images in order: pixels, sizes, types."""
        found = {name: value.to(input_ids.device) for name, value in self.pixels(images).items()}
        shown = input_ids.eq(self.token_id).long()  # the tokens of an image may see one another, whichever comes first
        return found | {name: shown for name in ("token_type_ids", _TYPES) if name in self._taken}

    def pixels(self, images: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """Makes what the model takes of images alone: pixels, and sizes where it asks for them."""
        how = {**getattr(self.processor, "images_kwargs", {}), **_HOW}
        read = self.processor.image_processor([[image] for image in images], **how)
        return {name: value for name, value in read.items() if name in self._taken}

    def positions(self, input_ids: Tensor, attention_mask: Tensor, inputs: Mapping[str, Tensor]) -> Tensor | None:
        """Returns where the model places each token, (3, B, L): in time, height and width; None of other models.

        Args:
            input_ids: (B, L).
            attention_mask: (B, L), 1 on real tokens.
            inputs: what the images of these rows are, from `inputs`.
        """
        if self._place is None:
            return None
        known = {name: value for name, value in inputs.items() if name in self._placed_by}
        placed: Tensor = self._place(input_ids=input_ids, attention_mask=attention_mask, **known)[0]
        return placed


_HOW: dict[str, Any] = {"input_data_format": "channels_last", "return_tensors": "pt"}


def _ends_of_images(config: PreTrainedConfig) -> tuple[int | None, int | None]:
    """Finds the tokens that begin and end an image, where a config names them."""
    starts, ends = ([getattr(config, f"{kind}_{end}_token_id", None) for kind in _SEEN] for end in ("start", "end"))
    return next(filter(None, starts), None), next(filter(None, ends), None)


def image_inputs(prompts: Sequence[Sequence[int]], input_ids: Tensor) -> dict[str, Tensor]:
    """Makes what a model takes beside `input_ids` (B, L) for the images that rows begin with, if any."""
    shown = [prompt for prompt in prompts if isinstance(prompt, ImagePrompt)]
    return shown[0].vision.inputs([prompt.image for prompt in shown], input_ids) if shown else {}


def sayable(model: PreTrainedModel, logits: Tensor) -> Tensor:
    """Rules tokens out of logits (..., vocabulary) that no response may hold.

    Those that would ask for absent pixels or sounds, and ids that the tokenizer does not know, which have no text.
    Where responses are sampled and where they are scored alike, so that both know the same distribution.
    """
    unknown = unknown_ids(model)
    if unknown is not None:
        logits = logits.index_fill(-1, unknown, _IMPOSSIBLE)
    ids = [i for i in _announcing(model) if i < logits.shape[-1]]
    return logits.index_fill(-1, torch.tensor(ids, device=logits.device), _IMPOSSIBLE) if ids else logits


def unsayable_ids(model: PreTrainedModel) -> list[int]:
    """Returns the ids that `sayable` rules out, in order."""
    unknown = unknown_ids(model)
    return sorted({*_announcing(model), *([] if unknown is None else unknown.tolist())})


def _announcing(model: PreTrainedModel) -> list[int]:
    named = (getattr(model.config, name, None) for name in _UNSAYABLE)
    return [i for i in named if i is not None]
