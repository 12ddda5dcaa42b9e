"""Says in a few lines what a reward model is worth, and warns of one that is worse than what needs no model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evaluation.metrics import Interval, bootstrap_auc, bootstrap_mean, pair_accuracy
from rewards.preferences import Learned
from rewards.probing import Tried

FEW_STEPS = 100  # five times those in which the learning rate is warmed up; the bundled models took 375 and more


def figure_of(report: Mapping[str, Any]) -> tuple[str, Interval]:
    """Returns what baselines are compared with: of labelled responses the AUC, of pairs the accuracy."""
    name = "auc" if "auc" in report else "accuracy"
    return name, report[name]


def best_baseline(report: Mapping[str, Any]) -> tuple[str, float]:
    """Returns the best of what needs no model, by the figure of `figure_of`."""
    baselines = {name: value for name, value in report["baselines"].items() if name != "majority_accuracy"}
    return max(baselines.items(), key=lambda named: named[1])


def is_below_baselines(report: Mapping[str, Any]) -> bool:
    """Returns whether a model is worse than what needs none, by more than chance."""
    return bool(figure_of(report)[1]["high"] < best_baseline(report)[1])


def describe_doubt(report: Mapping[str, Any]) -> str:
    """Returns a line that warns of a model that is no better than what needs none; "" where it is better."""
    (name, figure), (baseline, best) = figure_of(report), best_baseline(report)
    if figure["mean"] > best:
        return ""
    if best == 1:
        return f"note: {baseline!r} alone tells all held-out records apart, so this says little of the model."
    return (
        f"warning: held-out {name} {figure['mean']:.3f} is no better than the baseline {baseline!r}, {best:.3f}: more "
        "data or a larger model is needed before PPO."
    )


def describe_failure(report: Mapping[str, Any], alone: Mapping[str, Any], weight: float, steps: int) -> str:
    """Returns a line that warns of a model below a baseline, and says why as far as that can be measured.

    Args:
        report: of the model.
        alone: the same without the log-probability term.
        weight: of that term.
        steps: optimizer steps that the model was trained for.
    """
    (name, figure), (baseline, best) = figure_of(report), best_baseline(report)
    reasons = []
    if figure_of(alone)[1]["mean"] > figure["high"]:
        reasons.append(
            f"the head alone has {figure_of(alone)[1]['mean']:.3f}, so --log-prob-weight {weight:g} outweighs what was "
            "learned: try 0"
        )
    if steps < FEW_STEPS:
        reasons.append(f"{steps} optimizer steps are few: raise --epochs, or lower --batch-size")
    why = "; ".join(reasons) or "it learned nothing that holds for other prompts: see --learning-rate and the labels"
    return f"warning: held-out {name} {figure['mean']:.3f} is below the baseline {baseline!r}, {best:.3f}; {why}."


def probe_figures(tried: Tried, data: Learned) -> dict[str, Interval]:
    """Returns how well a probe did on records that it had not seen: accuracy, and of labels the AUC."""
    if data.preferences.samples > 1:
        return {"accuracy": bootstrap_mean(pair_accuracy(tried.scores, torch.zeros(len(tried.scores))))}
    labels = np.array([record.label for record in data.records])
    right = ((tried.scores.numpy() > 0) == (labels > 0.5)).astype(float)
    return {"auc": bootstrap_auc(tried.scores, labels), "accuracy": bootstrap_mean(right)}


def print_figures(where: str, figures: Mapping[str, Any]) -> None:
    """AUC and accuracy, where they were measured."""
    for name in ("auc", "accuracy"):
        if name in figures:
            each = figures[name]
            print(f"{where} {name} {each['mean']:.3f} [{each['low']:.3f}, {each['high']:.3f}], n = {each['n']}")


def print_report(report: dict[str, Any], folder: Path) -> None:
    """Prints the report in a few lines for the terminal."""
    print_figures("held-out", report)
    print_figures("in SFT's own episodes,", report.get("sft_episodes", {}))
    if report["ceiling"] is not None:
        print(f"ceiling of the labels: {report['ceiling']:.3f}")
    print("baselines: " + ", ".join(f"{name} {value:.3f}" for name, value in report["baselines"].items()))
    for name, group in report.get("groups", {}).items():
        print(f"  {name}: {group['mean']:.3f} [{group['low']:.3f}, {group['high']:.3f}]")
    print(f"-> {folder}")
