"""Answers side by side, as they stand in evaluation.json: the first episodes, and those that stand out among all."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from backbones.backbone import Backbone
from evaluation.evaluator import Answers, Evaluator

FIRST = 20  # episodes that are kept whatever came of them
EACH = 2  # episodes of each kind that stands out


def samples_of(
    evaluator: Evaluator, backbone: Backbone, sampled: Mapping[str, Answers], greedy: Mapping[str, Answers]
) -> dict[str, list[dict[str, Any]]]:
    """Returns `samples` and `extremes` of a report.

    Args:
        evaluator: of the episodes.
        backbone: whose tokens the answers are.
        sampled, greedy: answers of "sft" and "policy".

    Returns:
        `samples`, the first `FIRST` episodes, and `extremes`, those that `extremes` names, with `why`. Each has its
        number in the split as `episode`, its `prompt` and all answers: `text`, `score`, `gold`, and of an episode of
        several turns `responses`.
    """

    def answer(side: Answers, k: int) -> dict[str, Any]:
        gold = None if side.golds is None else round(float(side.golds[k]), 3)
        found = {"text": side.texts[k], "score": round(float(side.scores[k]), 3), "gold": gold}
        turns = [backbone.decode(ids) for _, ids in side.rows[k]]
        return found if len(turns) < 2 else {**found, "responses": turns}

    def row(k: int) -> dict[str, Any]:
        shown: dict[str, Any] = {"episode": k, "prompt": evaluator.task.observe(evaluator.states[k])["prompt"]}
        for kind, answers in (("sampled", sampled), ("greedy", greedy)):
            shown |= {f"{name}_{kind}": answer(side, k) for name, side in answers.items()}
        return shown

    before, after = sampled["sft"], sampled["policy"]
    found = extremes(before.scores, after.scores, before.golds, after.golds)
    return {
        "samples": [row(k) for k in range(min(FIRST, len(evaluator.states)))],
        "extremes": [{**row(k), "why": whys} for k, whys in found.items()],
    }


def extremes(
    sft_scores: ArrayLike, scores: ArrayLike, sft_golds: ArrayLike | None = None, golds: ArrayLike | None = None
) -> dict[int, list[str]]:
    """Names the episodes that stand out, at most `EACH` of a kind, of equal ones the first.

    Args:
        sft_scores, scores: (n,) of SFT's and the policy's answers.
        sft_golds, golds: (n,) verdicts on them; None where there is no judge.

    Returns:
        From the number of an episode to why it is here. Where there is a judge, one kind is what a policy that exploits
        its reward would show: the score rose, and the judge holds the answer for worse than SFT's.
    """
    after = np.asarray(scores, dtype=np.float64)
    rise = after - np.asarray(sft_scores, dtype=np.float64)
    found: dict[int, list[str]] = {}

    def name(values: np.ndarray, what: str, above: float = -np.inf) -> None:
        for k in np.argsort(-values, kind="stable")[:EACH]:
            if values[k] > above:
                found.setdefault(int(k), []).append(what)

    if sft_golds is None or golds is None:
        name(rise, "gained most score", 0)
        name(-rise, "lost most score", 0)
    else:
        gain = np.asarray(golds, dtype=np.float64) - np.asarray(sft_golds, dtype=np.float64)
        name(gain, "gained most gold", 0)
        name(-gain, "lost most gold", 0)
        name(np.where(gain < 0, rise, -np.inf), "score rose most where gold fell", 0)
    name(after, "highest score of the policy")
    name(-after, "lowest score of the policy")
    return found
