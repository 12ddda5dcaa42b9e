"""Says what became of a run in sentences: what it learned, what stood in its way, and where gold and score part."""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from evaluation.control import in_words
from evaluation.metrics import signed
from evaluation.reporting.curves import series, smoothed, window_of
from evaluation.reporting.run import Run

_CLEAR = 3.0  # standard errors of a smoothed value by which gold has to have fallen
_LONGER = 0.5  # correlation of length and score from which a sentence says so


class Peak(NamedTuple):
    """Says where a smoothed curve is highest: its number of the row, the turn, the value there and at the end."""

    row: int
    turn: int
    value: float
    last: float


def sentences_of(run: Run) -> list[str]:
    """Returns what there is to say of a run, the outcome first."""
    found = []
    if "policy" in run.summary:
        found += _outcome(run.summary)
    elif run.summary:
        found.append("The policy was not compared with SFT on held-out prompts; perlhf evaluate does that.")
    else:
        found.append(f"The run is not finished: its log ends after {run.rows[-1]['step']:,} turns.")
    found += _diagnoses(run.summary)
    if (said := part_of_ways(run.rows)) is not None:
        found.append(said)
    return found


def _outcome(summary: Mapping[str, Any]) -> list[str]:
    line = in_words(summary)
    found = [line[0].upper() + line[1:] + "."]
    for how, suffix in (("sampled", ""), ("greedy", "_greedy")):
        key = f"gold{suffix}" if "gold" in summary["sft"] else f"score{suffix}"
        before, after = (summary[side][key] for side in ("sft", "policy"))
        what = "Sampled at temperature 1" if how == "sampled" else "Greedy,"
        name, gain = key.partition("_")[0], signed(summary["gain"][how])
        found.append(f"{what} {name} went from {before:.3f} with SFT to {after:.3f}: {gain}.")
    together = summary["policy"].get("length_score_correlation", 0.0)
    if abs(together) >= _LONGER:
        more = "longer" if together > 0 else "shorter"
        lengths = [summary[side]["length"] for side in ("sft", "policy")]
        found.append(
            f"The reward likes {more} answers: over the policy's samples length and score correlate at {together:+.2f}."
            f" With SFT they have {lengths[0]:.1f} tokens, with the policy {lengths[1]:.1f}."
        )
    return found


def _diagnoses(summary: Mapping[str, Any]) -> list[str]:
    """Returns what `agents.diagnosis` said, and what else the run knows of itself."""
    found = [f"After {each['turns']:,} turns {each['said']}." for each in summary.get("diagnosis", [])]
    if summary and not found:
        found.append("No rollout was found from which nothing can be learned.")
    if "ended" in summary:
        found.append(f"It ended early: {summary['ended']}.")
    for key, what in (("cut_prompts", "prompts"), ("cut_responses", "responses")):
        if summary.get(key):
            found.append(f"{summary[key]:,} {what} were longer than the model takes, and were cut.")
    return found


def part_of_ways(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Says where gold was highest in training, if it has clearly fallen since, and what the score did meanwhile.

    That is what is seen afterwards of a reward that is exploited (Gao et al., arXiv 2210.10760). Clear is a fall of
    three standard errors of a mean over `window_of` rollouts, where the noise is taken from one rollout to the next.

    Returns:
        A sentence; None where gold was not logged, is logged too seldom, or has not fallen.
    """
    steps, golds = series(rows, "rollout/gold")
    window = window_of(len(golds))
    if len(golds) < 3 * window:
        return None
    peak = peak_of(steps, golds)
    noise = float(np.std(np.diff(golds))) / sqrt(2)  # of a single rollout: a slow drift cancels
    if peak.value - peak.last <= _CLEAR * noise * sqrt(2 / window):
        return None
    scores = series(rows, "rollout/score")[1]
    said = f"Gold was highest after {peak.turn:,} turns ({peak.value:.3f}) and is {peak.last:.3f} at the end"
    if len(scores) != len(golds):
        return f"{said}."
    means = smoothed(scores)
    rise = means[-1 - window // 2] - means[peak.row]
    if rise > 0:
        why = "the policy learns what the reward likes and the judge does not"
        return f"{said}, while the score rose by {rise:.3f}: {why}."
    return f"{said}, and the score fell by {-rise:.3f} with it."


def peak_of(steps: Sequence[int], values: Sequence[float]) -> Peak:
    """Returns where the mean over `window_of` rows is highest, the first such place; all windows are whole."""
    half = window_of(len(values)) // 2
    means = smoothed(values)[half : len(values) - half]
    row = int(np.argmax(means))
    return Peak(row + half, steps[row + half], means[row], means[-1])
