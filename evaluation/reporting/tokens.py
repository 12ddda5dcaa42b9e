"""Colours the tokens of responses by what the policy's KL to SFT and its value function say of each."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from backbones.backbone import Backbone
from backbones.forward import log_probs_of, map_batches, read_head, response_states
from backbones.model.tokens import TokenBatch
from backbones.roles import Role
from evaluation.reporting.samples import Turned

_STRONGEST = 0.6  # opacity of a colour at the end of its scale; text stays readable on it
_QUANTILE = 0.98  # of what is shown: where the scale ends


class Token(NamedTuple):
    """Holds a token of a response: its text, and what is said of it; `value` is None where no values were learned."""

    text: str
    kl: float
    value: float | None


class Scale(NamedTuple):
    """Says from which middle and over which span figures are coloured, warm above it and cold below."""

    middle: float
    span: float

    def colour(self, figure: float) -> str:
        """Returns a figure as a colour of the page."""
        level = float(np.clip((figure - self.middle) / self.span, -1, 1))
        return f"rgba(var(--{'hot' if level > 0 else 'cold'}), {_STRONGEST * abs(level):.2f})"


@torch.no_grad()
def tokens_of(policy: Role, value: tuple[Role, float] | None, turns: Sequence[Turned]) -> list[list[Token]]:
    """Returns the tokens of each response.

    Responses are split into tokens anew, as text of others would be, with an end token behind them.

    Args:
        policy: the trained policy; SFT is the reference of its backbone.
        value: its value role, and what is added to what that says; None where there is none.
        turns: prompts and responses.
    """
    backbone = policy.backbone
    prompts = [backbone.encode_prompt(turn.prompt, turn.image) for turn in turns]
    responses = [[*backbone.encode_response(turn.response), backbone.end_ids[0]] for turn in turns]
    own, reference = (log_probs_of(role, prompts, responses) for role in (policy, backbone.reference))
    values = None if value is None else _values(*value, prompts, responses)
    found = []
    for i, ids in enumerate(responses):
        kl = (own[i] - reference[i]).tolist()
        v = [None] * len(ids) if values is None else values[i].tolist()
        found.append([Token(text, kl[k], v[k]) for k, text in enumerate(texts_of(backbone, ids))])
    return found


def _values(role: Role, offset: float, prompts: Sequence[Any], responses: Sequence[Any]) -> Tensor:
    """Returns V of the state before each token, (N, T)."""
    assert role.head is not None
    head = role.head

    def function(batch: TokenBatch) -> tuple[Tensor, ...]:
        with role.active() as model:
            return (read_head(head, response_states(model, batch)) + offset,)

    return map_batches(role.backbone, prompts, responses, function)[0]


def texts_of(backbone: Backbone, ids: Sequence[int]) -> list[str]:
    """Returns the text of each token, with the space before it; a token that is part of a sign has it with the last."""
    tokenizer, texts, before = backbone.tokenizer, [], ""
    for k in range(1, len(ids)):
        whole = tokenizer.decode(ids[:k])
        whole = before if whole.endswith("\N{REPLACEMENT CHARACTER}") else whole
        texts.append(whole[len(before) :])
        before = whole
    return [*texts, "(end)"]


def scale_of(figures: Sequence[float], middle: float) -> Scale:
    """Returns the scale of what is shown: nearly all of it lies inside."""
    far = np.abs(np.asarray(figures, dtype=np.float64) - middle)
    return Scale(middle, max(float(np.quantile(far, _QUANTILE)), 1e-6))


def coloured(responses: Sequence[Sequence[Token]]) -> tuple[dict[str, Scale], list[list[dict[str, Any]]]]:
    """Returns the scales of all responses of a page, and of each token its text, figures and colours."""
    every = [token for response in responses for token in response]
    scales = {"kl": scale_of([token.kl for token in every], 0.0)}
    values = [token.value for token in every if token.value is not None]
    if values:
        scales["value"] = scale_of(values, float(np.median(values)))
    shown = [
        [
            {
                "text": token.text, "kl": token.kl, "value": token.value, "kl_colour": scales["kl"].colour(token.kl),
                "value_colour": "" if token.value is None else scales["value"].colour(token.value),
            }
            for token in response
        ]
        for response in responses
    ]  # fmt: skip
    return scales, shown
