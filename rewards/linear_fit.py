"""L2-regularised logistic regression on features, and its strength chosen by cross-validation over groups.

A pair is one example: the features of its chosen response less those of the rejected one, target 1, no intercept.
Shapes in comments: n examples, d features, s strengths.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# Of the penalty s / 2 |w|^2 beside the mean loss, the strongest first: each fit begins where the one before it ended.
STRENGTHS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
_ROUNDS = 200  # of L-BFGS at most; on standardised features it takes 10 to 50


class Examples(NamedTuple):
    """Holds what is fitted."""

    inputs: Tensor  # (n, d); may be sparse
    targets: Tensor  # (n,), from 0 to 1
    offsets: Tensor  # (n,), added to the logits as they are
    intercept: bool
    standardise: bool = True  # fit on features of mean 0 (with an intercept) and mean square 1

    def at(self, rows: Tensor) -> "Examples":
        """Returns the examples of these numbers."""
        return self._replace(
            inputs=self.inputs.index_select(0, rows), targets=self.targets[rows], offsets=self.offsets[rows]
        )


class Linear(NamedTuple):
    """A linear score of features."""

    weights: Tensor  # (d,)
    bias: float = 0.0

    def logits(self, examples: Examples) -> Tensor:
        """Returns the scores of examples, offsets included, (n,)."""
        return examples.inputs @ self.weights + self.bias + examples.offsets


def fit_path(examples: Examples, strengths: Sequence[float] = STRENGTHS) -> list[Linear]:
    """Fits one linear score for each strength: the least mean cross-entropy plus strength / 2 |w|^2.

    The intercept is not held down. Where features are standardised, w is of the standardised ones; what is returned
    takes features as they are.
    """
    inputs = examples.inputs
    mean, spread = torch.zeros((), dtype=inputs.dtype), torch.ones((), dtype=inputs.dtype)
    if examples.standardise:
        mean = inputs.mean(0) if examples.intercept else mean
        spread = (inputs - mean).square().mean(0).sqrt()
        spread[spread < 1e-12] = 1.0
        inputs = (inputs - mean) / spread
    parameters = torch.zeros(inputs.shape[1] + 1, dtype=inputs.dtype)
    back = inputs.t()
    if inputs.is_sparse:
        inputs, back = _by_rows(inputs), _by_rows(back)
    found = []
    for strength in strengths:
        parameters = _minimise(examples._replace(inputs=inputs), back, strength, parameters)
        weights = parameters[:-1] / spread
        found.append(Linear(weights, float(parameters[-1] - (weights * mean).sum())))
    return found


def _by_rows(inputs: Tensor) -> Tensor:
    """Puts a sparse matrix in the layout that multiplies fast."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return inputs.coalesce().to_sparse_csr()


def _minimise(examples: Examples, back: Tensor, strength: float, start: Tensor) -> Tensor:
    """Returns weights and intercept, (d + 1,), of the least loss from `start` on; `back` is inputs transposed."""
    inputs, targets, offsets = examples.inputs, examples.targets, examples.offsets
    parameters = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [parameters], max_iter=_ROUNDS, tolerance_grad=1e-5, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )

    @torch.no_grad()
    def closure() -> Tensor:
        weights, bias = parameters[:-1], parameters[-1]
        logits = inputs @ weights + bias + offsets
        errors = (logits.sigmoid() - targets) / len(targets)
        slope = errors.sum() if examples.intercept else torch.zeros((), dtype=errors.dtype)
        parameters.grad = torch.cat([back @ errors + strength * weights, slope[None]])
        return F.binary_cross_entropy_with_logits(logits, targets) + strength / 2 * weights.square().sum()

    optimizer.step(closure)
    return parameters.detach()


def grouped_folds(groups: Sequence[str], count: int, seed: int = 0) -> Tensor:
    """Deals examples out to `count` folds of like sizes, (n,) numbers from 0; those of one group are in one fold.

    There are as many folds as there are groups, where these are fewer.
    """
    names = sorted(set(groups))
    rng = np.random.default_rng(seed)
    sizes = dict.fromkeys((names[i] for i in rng.permutation(len(names))), 0)
    for group in groups:
        sizes[group] += 1
    loads, fold_of = [0] * min(count, len(names)), {}
    for name in sorted(sizes, key=lambda name: -sizes[name]):  # the largest first, in the order drawn where alike
        fold_of[name] = loads.index(min(loads))
        loads[fold_of[name]] += sizes[name]
    return torch.tensor([fold_of[group] for group in groups])


def out_of_fold(examples: Examples, folds: Tensor, strengths: Sequence[float] = STRENGTHS) -> Tensor:
    """Computes the logit of each example by fits on all other folds, (n, s)."""
    logits = torch.zeros(len(folds), len(strengths), dtype=examples.targets.dtype)
    for fold in folds.unique():
        held, others = (folds == fold).nonzero().squeeze(1), (folds != fold).nonzero().squeeze(1)
        for k, linear in enumerate(fit_path(examples.at(others), strengths)):
            logits[held, k] = linear.logits(examples.at(held))
    return logits


def losses(logits: Tensor, examples: Examples) -> Tensor:
    """Computes the cross-entropy of each example under logits (n, ...), (n, ...)."""
    targets = examples.targets.view(-1, *[1] * (logits.dim() - 1)).expand_as(logits)
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
