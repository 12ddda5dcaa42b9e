"""Vision: makes tokens and pixels of images.

An image is a run of tokens in the prompt, and pixels that travel beside it. A prompt with an image is a list of token
ids like any other, so that whatever pads and batches prompts takes both. It holds its image as it was shown; pixels are
made of it where a batch is made, by the model's own processor, which takes a fraction of a forward pass and far less
memory than keeping them.
"""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from backbones.model.anatomy import image_token_of
from backbones.model.loading import BackboneError
from backbones.model.sayable import unknown_ids
from perlhf.errors import one_line

_IMPOSSIBLE = -1e9  # a logit; -inf would make an entropy of 0 * -inf


class ImagePrompt(list[int]):
    """Holds the token ids of a prompt that shows an image, and the image.

    Attributes:
        image: (height, width, 3) uint8.
        vision: of the backbone that the ids are for.
    """

    def __init__(self, ids: Iterable[int], image: np.ndarray, vision: "Vision") -> None:
        super().__init__(ids)
        self.image, self.vision = image, vision

    def __add__(self, ids: Iterable[int]) -> "ImagePrompt":  # type: ignore[override]
        """Appends ids to the prompt's; the image stays."""
        return ImagePrompt([*self, *ids], self.image, self.vision)


class Vision:
    """Makes tokens and pixels of images, for one model."""

    def __init__(self, processor: ProcessorMixin, model: PreTrainedModel) -> None:
        """
        Raises:
            BackboneError: the model takes images in a way that is not known here.
        """
        token = image_token_of(model)
        if token is None or hasattr(model.base_model, "get_rope_index"):
            raise BackboneError(f"{type(model).__name__} takes images in a way of its own that is not supported.")
        self.processor = processor
        self.token_id = token
        self._taken = set(inspect.signature(model.forward).parameters)
        self._ids: dict[tuple[int, ...], list[int]] = {}

    def ids(self, image: np.ndarray) -> list[int]:
        """Returns the tokens that stand for an image in a prompt; they depend on its shape alone.

        Raises:
            BackboneError: the processor cannot take it.
        """
        if image.shape not in self._ids:
            self._ids[image.shape] = self._read(image)
        return self._ids[image.shape]

    def _read(self, image: np.ndarray) -> list[int]:
        try:
            text = [self.processor.image_token]
            read = self.processor(images=[[image]], text=text, add_special_tokens=False, **_HOW)
            ids = list(read["input_ids"][0])
        except Exception as error:  # what a processor raises is any of a dozen types
            raise BackboneError(f"{type(self.processor).__name__} takes no image: {one_line(error)}") from None
        if self.token_id not in ids:
            raise BackboneError(f"{type(self.processor).__name__} gives an image no tokens.")
        return ids

    def inputs(self, images: Sequence[np.ndarray], input_ids: Tensor) -> dict[str, Tensor]:
        """Makes what the model takes beside `input_ids` (B, L), for its rows' images in order: pixels, sizes, types."""
        read = self.processor.image_processor([[image] for image in images], return_tensors="pt", **_HOW)
        found = {name: value.to(input_ids.device) for name, value in read.items() if name in self._taken}
        if "token_type_ids" in self._taken:  # the tokens of an image see one another, whichever comes first
            found["token_type_ids"] = input_ids.eq(self.token_id).long()
        return found


_HOW: dict[str, Any] = {"input_data_format": "channels_last"}


def image_inputs(prompts: Sequence[Sequence[int]], input_ids: Tensor) -> dict[str, Tensor]:
    """Makes what a model takes beside `input_ids` (B, L) for the images that rows begin with, if any."""
    shown = [prompt for prompt in prompts if isinstance(prompt, ImagePrompt)]
    return shown[0].vision.inputs([prompt.image for prompt in shown], input_ids) if shown else {}


def sayable(model: PreTrainedModel, logits: Tensor) -> Tensor:
    """Rules out of logits (..., vocabulary) what no response may hold: ids without a token, and the image token.

    The image token would ask for absent pixels; ids that the tokenizer does not know have no text. Where responses are
    sampled and where they are scored alike, so that both know the same distribution.
    """
    token, unknown = image_token_of(model), unknown_ids(model)
    if unknown is not None:
        logits = logits.index_fill(-1, unknown, _IMPOSSIBLE)
    return logits if token is None else logits.index_fill(-1, torch.tensor([token], device=logits.device), _IMPOSSIBLE)
