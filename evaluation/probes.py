"""Measure probes by cross-validation, each reading and what is chosen of them, beside what needs no model.

All figures of a table are of the same records. Whatever scores one of them was chosen and fitted on records of other
first user turns: the strength of the penalty, the reading, the direction of a baseline.
"""

import numpy as np
import torch
from torch import Tensor

from envs.corpora.records import Record
from evaluation.metrics import Interval, auc, bootstrap_auc, bootstrap_mean, pair_accuracy
from perlhf.errors import UserError
from rewards.baselines import Baseline, fit_baselines, fit_keyword
from rewards.linear_fit import grouped_folds
from rewards.preferences import Learned
from rewards.probing import choose, fit_probe
from rewards.states import States
from rewards.tfidf import TfIdfScore

_INNER = 3  # parts of the other folds, in which what scores a fold is chosen


def cross_validated(
    data: Learned, states: States, log_prob_weight: float | None, folds: int, seed: int = 0
) -> dict[str, Interval]:
    """Computes the accuracy on pairs, or the AUC on labels, of every score, by name.

    Args:
        data: n records.
        states: of their responses, by what may be read.
        log_prob_weight: see `rewards.probing.ReadingOptions`.
        folds: in which the records are dealt out, those of one first user turn together.
        seed: of the folds.

    Raises:
        UserError: fewer first user turns than folds.
    """
    groups = data.groups
    if len(set(groups)) < folds or folds < 2:
        raise UserError(
            f"{len(groups)} records of {len(set(groups))} different first user turns cannot be dealt out to {folds} "
            "folds; give --folds from 2 up to that, or more records."
        )
    numbers = grouped_folds(groups, folds, seed)
    scores: dict[str, Tensor] = {}
    # What scores all records can read only what is known of all; log p is, where it counts in the probe of them all.
    of_all = states if _knows_all_log_probs(states) else states._replace(log_probs=None)
    for fold in range(folds):
        held, others = (numbers == fold).nonzero().squeeze(1), (numbers != fold).nonzero().squeeze(1)
        found = {
            **_baselines(data.at(others.tolist()), data.at(held.tolist())),
            **_probes(data, of_all, others, held, log_prob_weight, seed),
        }
        for name, of_held in found.items():
            scores.setdefault(name, torch.zeros(len(groups), of_held.shape[1], dtype=torch.float64))[held] = of_held
    figures = {name: _figure(data, of_records) for name, of_records in scores.items()}
    return figures if states.log_probs is None else {**_log_prob_figure(data, states), **figures}


def _knows_all_log_probs(states: States) -> bool:
    return states.log_probs is not None and bool(states.log_probs.isfinite().all())


def _log_prob_figure(data: Learned, states: States) -> dict[str, Interval]:
    """Returns what log p of the response is worth alone, on the records whose log p is known."""
    assert states.log_probs is not None
    scores = states.log_probs.double().view(len(data.records), -1)
    known = scores.isfinite().all(1).nonzero().squeeze(1)
    return {"log p": _figure(data.at(known.tolist()), scores[known])}


def _probes(
    data: Learned, states: States, others: Tensor, held: Tensor, weight: float | None, seed: int
) -> dict[str, Tensor]:
    """Scores the held-out records by a probe of each reading, and by the one that the others choose, (n, k) each."""
    per_record, fitted = data.preferences.samples, data.at(others.tolist())
    seen, unseen = states.at(others, per_record), states.at(held, per_record)
    choice = choose(fitted, seen, weight, _INNER, seed)
    found: dict[str, Tensor] = {}
    for tried in choice.tried:
        found[str(tried.reading)] = fit_probe(fitted, seen, choice, tried).scores(unseen)
    found["chosen"] = fit_probe(fitted, seen, choice).scores(unseen)
    return {name: scores.view(len(held), per_record) for name, scores in found.items()}


def _baselines(fitted: Learned, unseen: Learned) -> dict[str, Tensor]:
    """Scores records by what sees the response alone, fitted on others, (n, k) each."""
    functions: dict[str, Baseline]
    responses: list[tuple[str, ...]]
    if isinstance(fitted.records[0], Record):
        functions = fit_baselines(fitted.records)
        responses = [(record.chosen, record.rejected) for record in unseen.records]
    else:
        labels = [record.label for record in fitted.records]
        sign = 1 if auc([len(record.response.split()) for record in fitted.records], labels) >= 0.5 else -1
        functions = {
            "length": lambda response: sign * len(response.split()),
            "keyword": fit_keyword(fitted.records),
            "tfidf": TfIdfScore(fitted.records),
        }
        responses = [(record.response,) for record in unseen.records]
    return {
        name: torch.tensor([[function(text) for text in texts] for texts in responses], dtype=torch.float64)
        for name, function in functions.items()
    }


def _figure(data: Learned, scores: Tensor) -> Interval:
    """Returns the accuracy on pairs of scores (n, 2), or the AUC on labels of (n, 1)."""
    if data.preferences.samples > 1:
        return bootstrap_mean(pair_accuracy(scores[:, 0], scores[:, 1]))
    return bootstrap_auc(scores[:, 0], np.array([record.label for record in data.records]))


def table(figures: dict[str, Interval], name: str) -> str:
    """Returns the figures as lines for the terminal; `name` says what they are."""
    width = max(map(len, figures))
    lines = [f"{'score':{width}}  {name}"]
    lines += [
        f"{key:{width}}  {f['mean']:.3f} [{f['low']:.3f}, {f['high']:.3f}], n = {f['n']}" for key, f in figures.items()
    ]
    return "\n".join(lines)
