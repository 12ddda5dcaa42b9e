"""How good a reward model is on held-out records, beside what needs no model and beside what the labels allow."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.data.records import AnyRecord, LabelledRecord, Record
from envs.text_task import TextTask
from evaluation.metrics import auc, bootstrap_auc, bootstrap_mean, group_means, pair_accuracy
from rewards.baselines import fit_baselines
from rewards.preferences import Labels, Preferences
from rewards.reward_model import RewardModel


def evaluate_reward_model(
    model: RewardModel, preferences: Preferences, task: TextTask, train: Sequence[Any], held_out: Sequence[Any]
) -> dict[str, Any]:
    """What summary.json says of a reward model.

    Pairs: `accuracy` with its interval, by group of prompts too, and `gold_agreement` where there is a judge.
    Labels: `auc` with its interval beside `accuracy` of the sign of the logit.
    Both: `baselines` and `ceiling`, what the noise of the labels allows; None where it is not known.
    """
    if isinstance(preferences, Labels):
        return _evaluate_labels(model, task, train, held_out)
    return _evaluate_pairs(model, task, train, held_out)


def _evaluate_pairs(
    model: RewardModel, task: TextTask, train: Sequence[Record], held_out: Sequence[Record]
) -> dict[str, Any]:
    prompts = [p.prompt for p in held_out]
    right = pair_accuracy(*(model.score_texts(prompts, [getattr(p, s) for p in held_out]) for s in _SIDES))
    report: dict[str, Any] = {"accuracy": bootstrap_mean(right), "ceiling": label_ceiling(task, held_out)}
    report["baselines"] = {"random": 0.5} | {
        name: float(pair_accuracy(*([baseline(getattr(p, s)) for p in held_out] for s in _SIDES)).mean())
        for name, baseline in fit_baselines(train).items()
    }
    report["groups"] = group_means(right, [p.meta.get("groups", ()) for p in held_out])
    if task.miniature is not None:
        margins = [task.gold_margin(p) for p in held_out]
        agreement = [r if margin > 0 else 1 - r for r, margin in zip(right, margins, strict=True) if margin != 0]
        report["gold_agreement"] = bootstrap_mean(agreement)
    return report


_SIDES = ("chosen", "rejected")


def _evaluate_labels(
    model: RewardModel, task: TextTask, train: Sequence[LabelledRecord], held_out: Sequence[LabelledRecord]
) -> dict[str, Any]:
    scores = model.score_texts([r.prompt for r in held_out], [r.response for r in held_out]).numpy()
    labels = np.array([r.label for r in held_out])
    right = ((scores + model.centre > 0) == (labels > 0.5)).astype(float)
    report: dict[str, Any] = {"auc": bootstrap_auc(scores, labels), "accuracy": bootstrap_mean(right)}
    report["ceiling"] = label_ceiling(task, held_out)
    lengths = [len(r.response.split()) for r in train], [len(r.response.split()) for r in held_out]
    sign = 1.0 if auc(lengths[0], [r.label for r in train]) >= 0.5 else -1.0
    report["baselines"] = {"random": 0.5, "length": auc(sign * np.array(lengths[1]), labels)}
    report["baselines"]["majority_accuracy"] = float(max(labels.mean(), 1 - labels.mean()))
    return report


def label_ceiling(task: TextTask, records: Sequence[AnyRecord]) -> float | None:
    """The best expected accuracy on labels of pairs, or the AUC of gold itself on labels of responses."""
    if task.miniature is None:
        return None
    if isinstance(records[0], LabelledRecord):
        golds = [task.miniature.judge(r.meta, r.response) for r in records if isinstance(r, LabelledRecord)]
        return auc(golds, [r.label for r in records if isinstance(r, LabelledRecord)])
    return float(np.mean([task.label_ceiling(r) for r in records if isinstance(r, Record)]))
