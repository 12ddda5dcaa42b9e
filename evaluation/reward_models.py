"""Measure a reward model on held-out records, beside baselines without a model and beside the label ceiling."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.corpora.records import AnyRecord, LabelledRecord, Record, image_of
from envs.feedback import Feedback, StepFeedback
from envs.turn import Turn
from evaluation.metrics import Interval, auc, bootstrap_auc, bootstrap_mean, group_aucs, group_means, pair_accuracy
from rewards.baselines import Baseline, fit_baselines, fit_keyword
from rewards.policy_steps import policy_steps
from rewards.preferences import Labels, Pairs, Preferences
from rewards.reward_model import RewardModel
from rewards.tfidf import TfIdfScore


def evaluate_reward_model(
    model: RewardModel, preferences: Preferences, task: Feedback, train: Sequence[Any], held_out: Sequence[Any]
) -> dict[str, Any]:
    """Returns the report on a reward model for summary.json.

    Pairs: `accuracy` with its interval, by group of prompts too, and `gold_agreement` where there is a judge.
    Labels: `auc` with its interval, by group too, beside `accuracy` of the sign of the logit.
    Both: `baselines` and `ceiling`, what the noise of the labels allows; None where it is not known.
    """
    if isinstance(preferences, Labels):
        return _evaluate_labels(model, task, train, held_out)
    return _evaluate_pairs(model, task, train, held_out)


def _evaluate_pairs(
    model: RewardModel, task: Feedback, train: Sequence[Record], held_out: Sequence[Record]
) -> dict[str, Any]:
    rows = [Pairs().rows(model.role.backbone, pair) for pair in held_out]
    right = pair_accuracy(*model.raw_scores_of(rows).T)
    report: dict[str, Any] = {"accuracy": bootstrap_mean(right), "ceiling": label_ceiling(task, held_out)}
    report["baselines"] = {"random": 0.5} | {
        name: float(pair_accuracy(*([baseline(getattr(p, s)) for p in held_out] for s in _SIDES)).mean())
        for name, baseline in fit_baselines(train).items()
    }
    report["groups"] = group_means(right, [p.meta.get("groups", ()) for p in held_out])
    if task.has_noisy_labels:
        margins = [task.gold_margin(p) for p in held_out]
        agreement = [r if margin > 0 else 1 - r for r, margin in zip(right, margins, strict=True) if margin != 0]
        report["gold_agreement"] = bootstrap_mean(agreement)
    return report


_SIDES = ("chosen", "rejected")


def _evaluate_labels(
    model: RewardModel, task: Feedback, train: Sequence[LabelledRecord], held_out: Sequence[LabelledRecord]
) -> dict[str, Any]:
    scores, labels = _scored(model, held_out)
    right = ((scores > 0) == (labels > 0.5)).astype(float)
    report: dict[str, Any] = {"auc": bootstrap_auc(scores, labels), "accuracy": bootstrap_mean(right)}
    report["ceiling"] = label_ceiling(task, held_out)
    by_name = {name: interval["mean"] for name, interval in label_baselines(train, held_out).items()}
    report["baselines"] = {"random": 0.5, **by_name, "majority_accuracy": majority_accuracy(held_out)}
    report["groups"] = group_aucs(scores, labels, [r.meta.get("groups", ()) for r in held_out])
    return report


def evaluate_on_episodes(model: RewardModel, task: StepFeedback, count: int) -> dict[str, Any]:
    """`auc` and `accuracy` on `count` steps of episodes that SFT plays itself: what PPO first asks of a step reward.

    Beside them `majority_accuracy`. In the records of `task` the wrong steps are made up, and easier to tell.
    """
    steps = policy_steps(task, model.role.backbone.reference, count, np.random.default_rng(0))
    scores, labels = _scored(model, steps)
    right = ((scores > 0) == (labels > 0.5)).astype(float)
    figures = {"auc": bootstrap_auc(scores, labels), "accuracy": bootstrap_mean(right)}
    return {**figures, "majority_accuracy": majority_accuracy(steps)}


def _scored(model: RewardModel, records: Sequence[LabelledRecord]) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels."""
    prompts, responses, images = zip(*((r.prompt, r.response, image_of(r)) for r in records), strict=True)
    return model.raw_scores_together(prompts, responses, images).numpy(), np.array([r.label for r in records])


def label_baselines(train: Sequence[LabelledRecord], held_out: Sequence[LabelledRecord]) -> dict[str, Interval]:
    """Returns the AUC on held-out labels of scores that see the response alone, by name.

    `train` says which way they count.
    """
    scores: dict[str, Baseline] = {"length": lambda response: len(response.split()), "keyword": fit_keyword(train)}
    scores["tfidf"] = TfIdfScore(train)
    report = {}
    for name, score in scores.items():
        before, after = ([score(r.response) for r in records] for records in (train, held_out))
        sign = 1.0 if auc(before, [r.label for r in train]) >= 0.5 else -1.0
        report[name] = bootstrap_auc(sign * np.array(after), [r.label for r in held_out])
    return report


def majority_accuracy(held_out: Sequence[LabelledRecord]) -> float:
    """Returns the accuracy of saying the more frequent label every time."""
    share = float(np.mean([r.label > 0.5 for r in held_out]))
    return max(share, 1 - share)


def label_ceiling(task: Feedback, records: Sequence[AnyRecord]) -> float | None:
    """Returns the best expected accuracy on labels of pairs, or the AUC of gold itself on labels of responses."""
    if not task.can_rate:
        return None
    if isinstance(records[0], LabelledRecord):
        labelled = [r for r in records if isinstance(r, LabelledRecord)]
        golds = [task.judge(Turn(r.prompt, r.response, r.meta)) or 0.0 for r in labelled]
        return auc(golds, [r.label for r in labelled])
    return float(np.mean([task.label_ceiling(r) for r in records if isinstance(r, Record)]))
