"""Constrained decoding: a policy that can say nothing but actions, for acting; never for training or measuring."""

from collections.abc import Sequence

import torch
from torch import Tensor

from backbones.backbone import Backbone
from envs.uinav.interface.actions import ActionError, is_beginning, parse_action


class ActionsOnly:
    """Allow only tokens with which a response can still become an action: `allowed` of `backbones.generate.generate`.

    A model that knows the actions says hardly anything else, and then this changes nothing; one that does not is kept
    from responses that cost a step. It does not help to choose the right action.

    Args:
        backbone: whose tokens they are.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        count = backbone.model.get_output_embeddings().weight.shape[0]
        self._texts = [self._text([token]) if token < len(backbone.tokenizer) else "" for token in range(count)]
        self._ends = torch.zeros(count, dtype=torch.bool)
        self._ends[backbone.end_ids] = True

    def __call__(self, written: Sequence[int]) -> Tensor:
        """Returns which tokens may follow, (vocabulary,) bool: an action can begin so, or ends after an action."""
        said = self._text(written)
        may = torch.tensor([bool(text) and is_beginning(said + text) for text in self._texts])
        may &= ~self._ends
        return may | self._ends if _is_action(said) else may

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._backbone.tokenizer.decode(list(ids), skip_special_tokens=True))


def _is_action(text: str) -> bool:
    try:
        parse_action(text)
    except ActionError:
        return False
    return True
