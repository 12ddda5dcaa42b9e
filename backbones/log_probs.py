"""Log-probabilities of responses without all logits at once: the LM head runs on some tokens at a time.

Rows x tokens x vocabulary numbers are by far the largest tensor of a model with a large vocabulary, and a softmax and
its gradient take it several times. Here a chunk of tokens has its logits, gives log p of what was chosen, the entropy,
and what a gradient of them needs: d log p / d state, (tokens, hidden), since the log p of a token depends on its own
state alone. So the head's products are as many as without chunks (as in Liger's fused linear cross entropy, arXiv
2410.10989).

Small tensors take the plain path, `backbones.forward.response_logits`, bit for bit as it was.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from backbones.model.vision import sayable
from backbones.shortcuts.head_states import HeadRule

LARGE = 1 << 24  # logits of a batch, 64 MB, from which they are made chunk by chunk
CHUNK = 1 << 23  # logits at once

Logits = Callable[[Tensor], Tensor]  # (tokens, hidden) -> (tokens, vocabulary), float32


def entropy(of_all: Tensor) -> Tensor:
    """Computes the entropy in nats of distributions by their log-probabilities, (..., vocabulary) -> (...)."""
    return -(of_all.exp() * of_all).sum(-1)


def chosen(of_all: Tensor, response_ids: Tensor) -> Tensor:
    """Picks what (..., vocabulary) holds for the tokens that were chosen, (...)."""
    return of_all.gather(-1, response_ids.unsqueeze(-1)).squeeze(-1)


def is_large(model: PreTrainedModel, tokens: int) -> bool:
    """Tells whether the logits of so many tokens are made chunk by chunk."""
    return tokens * int(model.config.get_text_config().vocab_size) > LARGE


def log_probs_of_states(
    model: PreTrainedModel,
    rule: HeadRule,
    states: Tensor,
    ids: Tensor,
    temperature: float = 1.0,
    with_entropy: bool = False,
) -> tuple[Tensor, Tensor]:
    """Computes log p of tokens and the entropy at each (0 if unwanted), both (N,) float32, from the states before them.

    Args:
        model: whose LM head reads the states.
        rule: how it makes logits of what the head gives.
        states: (N, hidden), what the head is given.
        ids: (N,), the tokens that were chosen.
        temperature: of the softmax.
        with_entropy: whether the entropy is wanted.
    """
    head = model.get_output_embeddings()

    def logits_of(some: Tensor) -> Tensor:
        logits = rule(head(some))
        return sayable(model, logits if temperature == 1 else logits / temperature)

    size = max(1, CHUNK // int(model.config.get_text_config().vocab_size))
    if any(parameter.requires_grad for parameter in head.parameters()) and torch.is_grad_enabled():
        return _recomputed(logits_of, states, ids, size, with_entropy)
    wanted = states.requires_grad and torch.is_grad_enabled()
    log_probs, entropies = _LogProbs.apply(states, ids, logits_of, size, with_entropy, wanted)
    return log_probs, entropies


def _recomputed(logits_of: Logits, states: Tensor, ids: Tensor, size: int, with_entropy: bool) -> tuple[Tensor, Tensor]:
    """Computes the same where the head itself is trained: the backward pass makes the logits of a chunk anew."""

    def of_chunk(some: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        of_all = logits_of(some).log_softmax(-1)
        log_probs = chosen(of_all, tokens)
        return log_probs, entropy(of_all) if with_entropy else torch.zeros_like(log_probs)

    parts = [
        checkpoint(of_chunk, some, tokens, use_reentrant=False)
        for some, tokens in zip(states.split(size), ids.split(size), strict=True)
    ]
    log_probs, entropies = zip(*parts, strict=True)
    return torch.cat(log_probs), torch.cat(entropies)


class _LogProbs(Function):
    """Keeps d log p / d state and d entropy / d state of each token, and nothing as large as a vocabulary."""

    @staticmethod
    def forward(
        context: Any, states: Tensor, ids: Tensor, logits_of: Logits, size: int, with_entropy: bool, wanted: bool
    ) -> tuple[Tensor, Tensor]:
        log_probs = torch.empty(len(ids), device=states.device)
        entropies = torch.zeros_like(log_probs)
        slopes = [torch.empty_like(states) for _ in range(1 + with_entropy)] if wanted else []
        for start in range(0, len(ids), size):
            rows = slice(start, start + size)
            with torch.set_grad_enabled(wanted):
                some = states[rows].detach().requires_grad_(wanted)
                logits = logits_of(some)
            of_all = logits.detach().log_softmax(-1)
            log_probs[rows] = chosen(of_all, ids[rows])
            if with_entropy:
                entropies[rows] = entropy(of_all)
            if wanted:
                found = _slopes(of_all, ids[rows], entropies[rows] if with_entropy else None)
                for slope, of_logits in zip(slopes, found, strict=True):
                    (slope[rows],) = torch.autograd.grad(logits, some, of_logits, retain_graph=with_entropy)
        context.save_for_backward(*slopes)
        return log_probs, entropies

    @staticmethod
    @once_differentiable
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        slopes = context.saved_tensors
        parts = [g[:, None].to(slope.dtype) * slope for g, slope in zip(gradients, slopes, strict=False)]
        return sum(parts[1:], parts[0]), None, None, None, None, None


def _slopes(of_all: Tensor, ids: Tensor, entropies: Tensor | None) -> list[Tensor]:
    """Computes d log p / d logits, and d entropy / d logits where there are entropies; takes `of_all` for itself."""
    found = []
    if entropies is not None:
        found.append(-of_all.exp() * (of_all + entropies[:, None]))
    of_chosen = of_all.exp_().neg_()
    of_chosen.scatter_add_(1, ids[:, None], of_chosen.new_ones(len(ids), 1))
    return [of_chosen, *found]
