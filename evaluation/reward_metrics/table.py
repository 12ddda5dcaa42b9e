"""Writes the report on a reward model as a table for the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from evaluation.metrics import interval, signed
from evaluation.reward_metrics.figures import warnings_of

_SIGNED = ("correlation", "shift")
_MOST_GROUPS = 30


def describe(report: Mapping[str, Any]) -> str:
    """Returns the lines of the table, and a warning each for what should keep one from training against the model."""
    rows = [(name, *_cells(name, value)) for name, value in _rows(report)]
    width = max(len(name) for name, *_ in rows)
    lines = [f"{name:{width}}  {mean}  {n}".rstrip() for name, mean, n in rows]
    return "\n".join([*lines, *(f"warning: {sentence}" for sentence in warnings_of(report))])


def _cells(name: str, value: Any) -> tuple[str, str]:
    if value is None:
        return "not known", ""
    if isinstance(value, Mapping):
        write = signed if any(word in name for word in _SIGNED) else interval
        return write(value), f"n = {value['n']}"
    return (value, "") if isinstance(value, str) else (f"{value:.3f}", "")


def _rows(report: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "accuracy on pairs", report["accuracy"]
    groups = report["groups"]
    if report["mean_of_groups"] is not None:
        yield "  mean of the groups", report["mean_of_groups"]
    yield from ((f"  {name}", value) for name, value in list(groups.items())[:_MOST_GROUPS])
    if len(groups) > _MOST_GROUPS:
        yield "  ...", f"{len(groups) - _MOST_GROUPS} more groups in summary.json"
    for name, value in report["best_of"].items():
        yield name.replace("_", " "), value
    if "agreement" in report:
        yield "agreement with gold, or with margins of the data", report["agreement"]
        for part in report["by_margin"]:
            yield f"  better by {part['from']:.2f} to {part['to']:.2f}", part
    if report["gold_correlation"] is not None:
        yield "correlation with gold among responses to one prompt", report["gold_correlation"]
    calibration = report["calibration"]
    yield "calibration: mean confidence", calibration["confidence"]
    yield "  ECE", calibration["ece"]
    yield "  Brier score (0.250 knows nothing)", calibration["brier"]
    for part in calibration["by_confidence"]:
        yield f"  accuracy where scores differ by {part['from']:.2f} to {part['to']:.2f}", part
    length = report["length"]
    yield f"length: a rule, the {length['prefers']} one", length["rule"]
    yield "  of the model's accuracy above 1/2 the rule reaches", length["share"]
    yield "  accuracy where the rule is wrong", length["against"]
    yield "  prefers the longer one", length["prefers_longer"]
    yield "  correlation of score and words", length["correlation"]
    yield "position: preferences that turn with the order", report["position"]["changed"]
    for name, of_one in report["changes"].items():
        if of_one is not None:
            yield f"{name}, in both: preferences that turn", of_one["both"]
            yield "  in the lower one alone: it overtakes", of_one["lower_alone"]
            yield "  shift of a score, in SD", of_one["shift"]
