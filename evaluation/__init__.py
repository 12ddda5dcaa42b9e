"""Measure how well a policy did: metrics, comparisons with SFT, tables of runs."""

from typing import TYPE_CHECKING

import perlhf  # noqa: F401  # says first whose file is in the way, where one is
from perlhf.lazy import lazy_names

if TYPE_CHECKING:
    from evaluation.evaluator import Answers, Evaluator
    from evaluation.finished_run import load_policy
    from evaluation.metrics import Interval, bootstrap_auc, bootstrap_mean
    from evaluation.reward_models import evaluate_reward_model
else:  # imported when they are first used
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Answers": "evaluation.evaluator",
            "Evaluator": "evaluation.evaluator",
            "Interval": "evaluation.metrics",
            "bootstrap_auc": "evaluation.metrics",
            "bootstrap_mean": "evaluation.metrics",
            "evaluate_reward_model": "evaluation.reward_models",
            "load_policy": "evaluation.finished_run",
        },
    )

__all__ = [
    "Answers",
    "Evaluator",
    "Interval",
    "bootstrap_auc",
    "bootstrap_mean",
    "evaluate_reward_model",
    "load_policy",
]
