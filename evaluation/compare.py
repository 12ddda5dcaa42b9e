"""Policy against SFT on held-out prompts: proxy score and gold score, sampled and greedy, with intervals.

SFT's best of n by the reward model, and the oracle, are the yardsticks: what choosing alone would give, and what
there is to win.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backbones.backbone import Backbone
from backbones.forward import log_probs_of
from backbones.generate import generate
from backbones.roles import Role
from envs.reward_spec import RewardFunction, score_turns
from envs.text_task import TextTask
from envs.turn import Turn
from evaluation.metrics import bootstrap_mean, correlation, distinct_n, group_means, pair_accuracy
from perlhf.run_folder import update_summary, write_json

KEYS = ("sft", "policy", "win_rate", "win_rate_by", "kl", "oracle", "best_of")  # of a report, in summary.json


@dataclass
class Answers:
    """One answer to each prompt, and what it was worth."""

    texts: list[str]
    ids: list[list[int]]
    scores: np.ndarray  # (n,) by the reward
    golds: np.ndarray | None  # (n,) by the task's judge

    @property
    def best(self) -> np.ndarray:
        """The truest verdict there is: gold, else the score."""
        return self.scores if self.golds is None else self.golds


class Evaluator:
    """Answers and scores of held-out prompts.

    Args:
        task: of the split to evaluate on, "test" as a rule.
        reward: the proxy, in the units that PPO was trained on.
        max_new_tokens: where an answer is cut.
        n: prompts, distinct; fewer where the split has fewer.
        seed: of the samples.
    """

    def __init__(
        self, task: TextTask, reward: RewardFunction, max_new_tokens: int = 64, n: int = 500, seed: int = 0
    ) -> None:
        self.task, self.reward, self.max_new_tokens, self.seed = task, reward, max_new_tokens, seed
        self.indices = distinct_prompts(task, n)

    def prompts(self, backbone: Backbone) -> list[list[int]]:
        """Token ids of the prompts."""
        records = [self.task.records[i] for i in self.indices]
        return [backbone.encode_prompt(record.prompt, record.image) for record in records]

    def answer(self, role: Role, temperature: float, seed: int | None = None) -> Answers:
        """One answer by `role` to each prompt, at `temperature` (0 is greedy)."""
        backbone = role.backbone
        generator = torch.Generator(backbone.device).manual_seed(self.seed if seed is None else seed)
        ids = generate(role, self.prompts(backbone), self.max_new_tokens, temperature, generator)
        return self.judged([backbone.decode(row) for row in ids], ids)

    def judged(self, texts: list[str], ids: list[list[int]]) -> Answers:
        """Scores and golds of given answers."""
        turns = [self.task.turn(i, text) for i, text in zip(self.indices, texts, strict=True)]
        scores = np.concatenate([score_turns(self.reward, part) for part in _parts(turns)])
        golds = [self.task.judge(turn) for turn in turns]
        return Answers(texts, ids, scores, None if None in golds else np.array(golds, dtype=np.float64))

    def best_of(self, role: Role, n: int) -> Answers:
        """For each prompt the answer with the highest score of n samples."""
        best = self.answer(role, 1.0, self.seed + 1000)
        for k in range(1, n):
            other = self.answer(role, 1.0, self.seed + 1000 + k)
            better = np.flatnonzero(other.scores > best.scores)
            for i in better:
                best.texts[i], best.ids[i] = other.texts[i], other.ids[i]
            best.scores[better] = other.scores[better]
            if best.golds is not None and other.golds is not None:
                best.golds[better] = other.golds[better]
        return best

    def oracle(self) -> Answers:
        """The task's own right answers."""
        return self.judged([self.task.oracle(i) for i in self.indices], [[] for _ in self.indices])

    def groups(self, values: np.ndarray) -> dict[str, Any]:
        """The mean of `values` over each group of prompts that the data name, with intervals."""
        return group_means(values, [self.task.records[i].meta.get("groups", ()) for i in self.indices])


def compare(evaluator: Evaluator, policy: Role, best_of: int = 0) -> dict[str, Any]:
    """Everything that is said of a trained policy beside its reference: see docs/architecture.md.

    Args:
        evaluator: the prompts and the reward.
        policy: the trained role; SFT is the reference role of its backbone.
        best_of: samples of SFT to choose from by the reward, as a yardstick; 0 for none.
    """
    roles = {"sft": policy.backbone.reference, "policy": policy}
    sampled = {name: evaluator.answer(role, 1.0) for name, role in roles.items()}
    greedy = {name: evaluator.answer(role, 0.0) for name, role in roles.items()}
    report: dict[str, Any] = {}
    for name, role in roles.items():
        groups = {"sampled": evaluator.groups(sampled[name].best), "greedy": evaluator.groups(greedy[name].best)}
        report[name] = {**_side(sampled[name], greedy[name], role.backbone), "groups": groups}
    report["win_rate"] = bootstrap_mean(pair_accuracy(sampled["policy"].best, sampled["sft"].best))
    report["win_rate_by"] = "score" if sampled["policy"].golds is None else "gold"
    report["kl"] = mean_kl(policy, evaluator, sampled["policy"])
    report["oracle"] = _verdicts(evaluator.oracle(), "")
    if best_of > 0:
        report["best_of"] = {"n": best_of, **_verdicts(evaluator.best_of(roles["sft"], best_of), "")}
    report["samples"] = side_by_side(evaluator, sampled, greedy)
    return report


def write_report(folder: Path, report: dict[str, Any]) -> dict[str, Any]:
    """Writes evaluation.json, and all but the samples to the run's summary.json; returns what went there.

    Nothing of an evaluation before stays in the summary.
    """
    write_json(folder / "evaluation.json", report)
    summary = {key: value for key, value in report.items() if key != "samples"}
    update_summary(folder, KEYS, **summary)
    return summary


def _side(sampled: Answers, greedy: Answers, backbone: Backbone) -> dict[str, Any]:
    lengths = [len(row) for row in sampled.ids]
    end_ids = set(backbone.end_ids)
    return {
        **_verdicts(sampled, ""),
        **_verdicts(greedy, "_greedy"),
        "n": len(sampled.texts),
        "length": float(np.mean(lengths)),
        "ended": float(np.mean([bool(row) and row[-1] in end_ids for row in sampled.ids])),
        "distinct_2": distinct_n(sampled.texts, 2),
        "length_score_correlation": correlation(lengths, sampled.scores),
    }


def _verdicts(answers: Answers, suffix: str) -> dict[str, float]:
    """`score` and, where there is a judge, `gold` with its interval, as flat keys."""
    found = {f"score{suffix}": float(answers.scores.mean())}
    if answers.golds is not None:
        gold = bootstrap_mean(answers.golds)
        found |= {f"gold{suffix}": gold["mean"], f"gold{suffix}_low": gold["low"], f"gold{suffix}_high": gold["high"]}
    return found


def mean_kl(policy: Role, evaluator: Evaluator, answers: Answers) -> float:
    """KL(policy || SFT) in nats per response, estimated on the policy's own samples at temperature 1."""
    prompts = evaluator.prompts(policy.backbone)
    own, reference = (log_probs_of(role, prompts, answers.ids) for role in (policy, policy.backbone.reference))
    return float((own - reference).sum(1).mean())


def side_by_side(
    evaluator: Evaluator, sampled: dict[str, Answers], greedy: dict[str, Answers], count: int = 20
) -> list[dict[str, Any]]:
    """The first prompts with every answer to them."""
    rows = []
    for k, index in enumerate(evaluator.indices[:count]):
        row: dict[str, Any] = {"prompt": evaluator.task.records[index].prompt}
        for kind, answers in (("sampled", sampled), ("greedy", greedy)):
            for name, side in answers.items():
                gold = None if side.golds is None else round(float(side.golds[k]), 3)
                row[f"{name}_{kind}"] = {"text": side.texts[k], "score": round(float(side.scores[k]), 3), "gold": gold}
        rows.append(row)
    return rows


def distinct_prompts(task: TextTask, n: int) -> list[int]:
    """The first `n` records of the split with a prompt that no earlier one has."""
    seen: set[str] = set()
    indices: list[int] = []
    for i, record in enumerate(task.records):
        if len(indices) == n:
            break
        if record.prompt not in seen:
            seen.add(record.prompt)
            indices.append(i)
    return indices


def _parts(turns: Sequence[Turn], size: int = 256) -> list[Sequence[Turn]]:
    return [turns[i : i + size] for i in range(0, len(turns), size)]


def describe(report: dict[str, Any]) -> str:
    """The report in a few lines for the terminal."""
    sides = {name: report[name] for name in ("sft", "policy")}
    lines = [f"held-out prompts: {sides['sft']['n']}"]
    for key, title in (("", "sampled at temperature 1"), ("_greedy", "greedy")):
        for name, side in sides.items():
            lines.append(f"  {name:6} {title:24} score {side[f'score{key}']:+.3f}{_gold(side, key)}")
    for name, verdicts in (("oracle", report["oracle"]), ("best_of", report.get("best_of"))):
        if verdicts:
            title = name if name == "oracle" else f"sft best of {verdicts['n']}"
            lines.append(f"  {title:31} score {verdicts['score']:+.3f}{_gold(verdicts, '')}")
    win = report["win_rate"]
    lines.append(f"win rate by {report['win_rate_by']}: {win['mean']:.3f} [{win['low']:.3f}, {win['high']:.3f}]")
    lines.append(f"KL to SFT: {report['kl']:.2f} nats a response")
    for group in report["sft"]["groups"]["sampled"]:
        before, after = (report[s]["groups"]["sampled"][group]["mean"] for s in sides)
        lines.append(f"  {group}: {before:.3f} -> {after:.3f} sampled")
    return "\n".join(lines)


def show_answers(report: dict[str, Any], count: int) -> str:
    """The first prompts with SFT's and the policy's sampled answers."""
    lines = []
    for row in report["samples"][:count]:
        lines.append(row["prompt"].strip())
        for name in ("sft", "policy"):
            answer = row[f"{name}_sampled"]
            gold = "" if answer["gold"] is None else f", gold {answer['gold']:.2f}"
            lines.append(f"  {name:6} [{answer['score']:+.2f}{gold}] {answer['text']}")
        lines.append("")
    return "\n".join(lines)


def _gold(side: dict[str, Any], key: str) -> str:
    if f"gold{key}" not in side:
        return ""
    return f"  gold {side[f'gold{key}']:.3f} [{side[f'gold{key}_low']:.3f}, {side[f'gold{key}_high']:.3f}]"
