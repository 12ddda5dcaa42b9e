"""KL estimators beside the KL itself: pure functions of log-probabilities. p is the policy, q the reference.

The estimators k1, k2, k3 of KL(p || q) at a token that p drew are Schulman's ("Approximating KL Divergence", 2020,
joschu.net/blog/kl-approx.html):

    k1 = log p - log q        k2 = (log p - log q)^2 / 2        k3 = q / p - 1 - log(q / p)

What they are worth as a penalty is another question: a gradient is wanted then, and the tokens are drawn from the
policy that it is of (arXiv 2506.09477, 2510.01555, 2512.21852).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from agents.algorithms.functional import kl_k1, kl_k3

ESTIMATORS = ("k1", "k2", "k3")
WAYS = tuple(f"{name} {place}" for place in ("in reward", "as loss") for name in ESTIMATORS)


def kl_k2(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """Returns half the squared log-ratio: never negative, and biased."""
    return kl_k1(log_probs, reference_log_probs).square() / 2


def estimates(log_probs: Tensor, reference_log_probs: Tensor) -> dict[str, Tensor]:
    """Returns what each estimator says, in the shape of its arguments."""
    both = log_probs, reference_log_probs
    return {"k1": kl_k1(*both), "k2": kl_k2(*both), "k3": kl_k3(*both)}


def exact_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Returns KL(p || q) of distributions over a vocabulary, (..., V) -> (...)."""
    return (log_p.exp() * (log_p - log_q)).sum(-1)


class Moments(NamedTuple):
    """Holds what is true of an estimator in a state, without any sampling: (...) each, in nats."""

    mean: Tensor
    variance: Tensor
    negative: Tensor  # the probability that it is below 0


def moments(log_p: Tensor, log_q: Tensor) -> dict[str, Moments]:
    """Returns the moments of each estimator over the tokens that p may draw, by going through the whole vocabulary."""
    p, found = log_p.exp(), {}
    for name, of_token in estimates(log_p, log_q).items():
        mean = (p * of_token).sum(-1)
        variance = (p * (of_token - mean[..., None]).square()).sum(-1)
        found[name] = Moments(mean, variance, (p * (of_token < 0)).sum(-1))
    return found


def to_come(values: Tensor) -> Tensor:
    """Returns the sum of each token's value and of those behind it, (..., T)."""
    return values.flip(-1).cumsum(-1).flip(-1)


def less_the_others(values: Tensor, mask: Tensor, group_size: int) -> Tensor:
    """Returns values (N, T) less the mean of the same column in the other rows of the group, 0 outside the mask.

    Rows whose responses are over by then count with 0, which is what is to come of them. Such a baseline depends on no
    token of the row itself, so the gradient's mean stays (Kool et al., 2019).
    """
    groups = (values * mask).unflatten(0, (-1, group_size))
    others = (groups.sum(1, keepdim=True) - groups) / (group_size - 1)
    return (groups - others).flatten(0, 1) * mask


def coefficients(log_probs: Tensor, reference_log_probs: Tensor, mask: Tensor, group_size: int) -> dict[str, Tensor]:
    """Returns what each way to penalize a KL multiplies the gradient of each token's log p by, (N, T).

    In the reward, a token has what is to come of the penalty, less the group's other responses. As a loss, it has the
    derivative of its own estimate by log p: 1 for k1, k1 for k2, and 1 - q / p for k3.

    Args:
        log_probs, reference_log_probs: of the tokens that were drawn.
        mask: True on tokens.
        group_size: rows that answer one prompt, side by side.
    """
    says = estimates(log_probs, reference_log_probs)
    found = {f"{name} in reward": less_the_others(to_come(k * mask), mask, group_size) for name, k in says.items()}
    slopes = {
        "k1 as loss": torch.ones_like(log_probs),
        "k2 as loss": says["k1"],
        "k3 as loss": -torch.expm1(-says["k1"]),
    }
    return found | {name: slope * mask for name, slope in slopes.items()}


class Judged(NamedTuple):
    """Holds how a gradient estimate stands to the true gradient g.

    Attributes:
        cosine: of its mean with g.
        length: of its mean, in lengths of g.
        bias: the distance of its mean from g, in lengths of g.
        noise: the square root of its summed variance, in lengths of g.
    """

    cosine: float
    length: float
    bias: float
    noise: float


def judge(gram: Tensor, truth: int = 0) -> list[Judged]:
    """Judges estimates of a gradient by independent batches, each of which gives every estimate and the truth.

    A product of a batch with itself has the batch's noise in it, which is not in the product of the means; so those are
    left out: means over pairs of different batches have no bias (U-statistics).

    Args:
        gram: (E, B, E, B), the products of all estimates of all batches with each other.
        truth: which of the E has the true gradient as its mean.
    """
    batches = gram.shape[1]
    own = torch.einsum("ibjb->ijb", gram)  # of each batch with itself
    of_means = (gram.sum((1, 3)) - own.sum(-1)) / (batches * (batches - 1))
    g = max(float(of_means[truth, truth]), 1e-30) ** 0.5
    judged = []
    for i in range(len(gram)):
        square, with_g = float(of_means[i, i]), float(of_means[i, truth])
        length, distance = max(square, 0.0) ** 0.5, max(square - 2 * with_g + g * g, 0.0) ** 0.5
        noise = max(float(own[i, i].mean()) - square, 0.0) ** 0.5
        cosine = with_g / (length * g) if length > 0 else 0.0
        judged.append(Judged(max(-1.0, min(1.0, cosine)), length / g, distance / g, noise / g))
    return judged


def standard_errors(gram: Tensor, truth: int = 0) -> list[Judged]:
    """Returns the standard error of each figure of `judge`, by leaving out one batch after the other (jackknife)."""
    batches = gram.shape[1]
    kept = ([b for b in range(batches) if b != out] for out in range(batches))
    found = torch.tensor([judge(gram[:, rows][..., rows], truth) for rows in kept], dtype=torch.float64)
    errors = ((found - found.mean(0)).square().sum(0) * (batches - 1) / batches).sqrt()
    return [Judged(*row) for row in errors.tolist()]
