"""Policy against SFT on held-out episodes: proxy score and gold score, sampled and greedy, with intervals.

SFT at its best temperature is the control (`evaluation.control`): what is learned has to be above it. SFT's best of n
by the reward model, and the oracle, are the yardsticks: what choosing alone would give, and what there is to win.
"""

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backbones import group
from backbones.backbone import Backbone
from backbones.forward import log_probs_of
from backbones.roles import Role
from evaluation.control import (
    TEMPERATURES,
    beside_another,
    beyond_sharpening,
    choose_temperature,
    describe_others,
    in_words,
    sft_at_best,
)
from evaluation.evaluator import Answers, Evaluator
from evaluation.metrics import (
    bootstrap_mean,
    correlation,
    distinct_n,
    gold_in_words,
    gold_keys,
    interval,
    pair_accuracy,
    signed,
)
from evaluation.pass_at import describe_samples, of_samples
from evaluation.short_answers import are_short, calibration_of, commonest, describe_calibration
from evaluation.side_by_side import samples_of
from perlhf.measure import progress_bar
from perlhf.run_folder import update_summary, write_json
from perlhf.terminal import printable

STEPS = 500  # states that single steps are judged in
KEYS = (
    "sft", "policy", "gain", "sft_temperature", "beyond_sharpening", "win_rate", "win_rate_by", "kl", "oracle",
    "best_of", "pass_at", "best_at", "calibration", "others", "split",
)  # of a report, in summary.json  # fmt: skip


def compare(
    evaluator: Evaluator,
    validation: Evaluator,
    policy: Role,
    samples: int = 0,
    others: Mapping[str, Role] | None = None,
) -> dict[str, Any]:
    """Everything that is said of a trained policy beside its reference: see docs/architecture.md.

    Args:
        evaluator: the prompts and the reward.
        validation: other prompts, on which SFT's best temperature is chosen.
        policy: the trained role; SFT is the reference role of its backbone.
        samples: of both at temperature .7, for pass@k and SFT's best by the reward; 0 leaves these out.
        others: SFT policies by name that play the same episodes, a row each.
    """
    roles = {"sft": policy.backbone.reference, "policy": policy}
    oracle = evaluator.oracle() if evaluator.task.has_oracle else None
    pictures = evaluator.task.image_shape is not None
    success = isfinite(evaluator.task.success_at)
    short = success and oracle is not None and oracle.golds is not None and are_short(oracle)
    evaluator.bar = validation.bar = bar = progress_bar(unit="episode", desc="evaluation", leave=False)
    sides = 1 + len(others or {})
    passes = 3 + 2 * sides + 2 * pictures + samples * (2 + (short and pictures))
    bar.total = passes * len(evaluator.states) + sides * len(TEMPERATURES) * len(validation.states)
    sampled = {name: evaluator.answer(role, 1.0) for name, role in roles.items()}
    greedy = {name: evaluator.answer(role, 0.0) for name, role in roles.items()}
    report = _sides(evaluator, roles, sampled, greedy)
    report["gain"] = {
        how: bootstrap_mean(answers["policy"].best - answers["sft"].best)
        for how, answers in (("sampled", sampled), ("greedy", greedy))
    }
    choice = choose_temperature(validation, roles["sft"])
    if choice["temperature"] in (0.0, 1.0):
        bar.total -= len(evaluator.states)  # these are had already
    best = sft_at_best(evaluator, roles["sft"], choice["temperature"], {1.0: sampled["sft"], 0.0: greedy["sft"]})
    report["sft"]["best"] = bootstrap_mean(best.best)
    report["sft"]["groups"]["best"] = evaluator.groups(best.best)
    report["sft_temperature"] = choice
    report["beyond_sharpening"] = beyond_sharpening(evaluator, greedy["policy"], best)
    report["win_rate"] = bootstrap_mean(pair_accuracy(sampled["policy"].best, sampled["sft"].best))
    report["win_rate_by"] = "score" if sampled["policy"].golds is None else "gold"
    report["kl"] = mean_kl(policy, sampled["policy"])
    if oracle is not None:
        report["oracle"] = _verdicts(oracle, "")
    if short:
        report["calibration"] = {name: calibration_of(evaluator, role, greedy[name]) for name, role in roles.items()}
    if samples > 0:
        guessed = commonest(validation.without_scores().oracle().texts, samples) if short else []
        report |= of_samples(evaluator, roles, samples, guessed)
    if others:
        report["others"] = {
            name: beside_another(evaluator, validation, other, greedy["policy"]) for name, other in others.items()
        }
    bar.close()
    return {**report, "split": evaluator.split, **samples_of(evaluator, policy.backbone, sampled, greedy)}


def _sides(
    evaluator: Evaluator, roles: Mapping[str, Role], sampled: Mapping[str, Answers], greedy: Mapping[str, Answers]
) -> dict[str, Any]:
    """Returns what each role does by itself."""
    report: dict[str, Any] = {}
    steps = step_evaluator(evaluator)
    for name, role in roles.items():
        groups = {"sampled": evaluator.groups(sampled[name].best), "greedy": evaluator.groups(greedy[name].best)}
        report[name] = {**_side(sampled[name], greedy[name], role.backbone), "groups": groups}
        if steps is not None:
            report[name]["step_accuracy"] = bootstrap_mean(steps.answer(role, 0.0).best)
        if evaluator.task.image_shape is not None:
            report[name]["blind"] = bootstrap_mean(evaluator.answer(role, 0.0, blind=True).best)
    return report


def step_evaluator(evaluator: Evaluator) -> Evaluator | None:
    """Returns the judge of single steps of long episodes, in `STEPS` states or fewer; None for other tasks."""
    steps = evaluator.task.single_steps(STEPS)
    if steps is None:
        return None
    return Evaluator(steps, lambda turns: [0.0] * len(turns), evaluator.max_new_tokens, len(steps.records))


def write_report(folder: Path, report: dict[str, Any]) -> dict[str, Any]:
    """Writes evaluation.json, and all but its answers to the run's summary.json; returns what went there.

    Nothing of an evaluation before stays in the summary.
    """
    write_json(folder / "evaluation.json", report)
    summary = {key: value for key, value in report.items() if key not in ("samples", "extremes")}
    update_summary(folder, KEYS, **summary)
    return summary


def _side(sampled: Answers, greedy: Answers, backbone: Backbone) -> dict[str, Any]:
    responses = [response for episode in sampled.rows for _, response in episode]
    lengths = [sum(len(response) for _, response in episode) for episode in sampled.rows]
    return {
        **_verdicts(sampled, ""),
        **_verdicts(greedy, "_greedy"),
        "n": len(sampled.texts),
        "length": float(np.mean(lengths)),
        "turns": len(responses) / len(sampled.texts),
        "ended": float(np.mean([backbone.has_ended(row) for row in responses])),
        "distinct_2": distinct_n(sampled.texts, 2),
        "length_score_correlation": correlation(lengths, sampled.scores),
    }


def _verdicts(answers: Answers, suffix: str) -> dict[str, float]:
    """`score` and, where there is a judge, `gold` with its interval, as flat keys."""
    found = {f"score{suffix}": float(answers.scores.mean()), f"score_sd{suffix}": float(answers.scores.std())}
    if answers.golds is not None:
        found |= gold_keys(answers.golds, suffix)
    if answers.officials is not None:
        found[f"official{suffix}"] = float(answers.officials.mean())
    return found


def mean_kl(policy: Role, answers: Answers) -> float:
    """KL(policy || SFT) in nats per episode, estimated on the policy's own samples at temperature 1."""
    mine = [row for i in group.every_nth_of(len(answers.rows)) for row in answers.rows[i]]
    total = torch.zeros(())
    if mine or policy.backbone.is_sharded:
        prompts, responses = [prompt for prompt, _ in mine], [response for _, response in mine]
        own, reference = (log_probs_of(role, prompts, responses) for role in (policy, policy.backbone.reference))
        total = (own - reference).sum()
    group.add_up([total])
    return float(total / len(answers.rows))


def describe(report: dict[str, Any]) -> str:
    """Writes the report in a few lines for the terminal."""
    sides = {name: report[name] for name in ("sft", "policy")}
    lines = [f"held-out episodes: {sides['sft']['n']}"]
    for key, title in (("", "sampled at temperature 1"), ("_greedy", "greedy")):
        for name, side in sides.items():
            lines.append(f"  {name:6} {title:24} score {side[f'score{key}']:+.3f}{gold_in_words(side, key)}")
    for name, side in sides.items():
        if "blind" in side:
            lines.append(f"  {name:6} greedy, shown grey alone {side['blind']['mean']:.3f}")
    best, choice = report["sft"]["best"], report["sft_temperature"]
    title = f"at its best, T = {choice['temperature']:g}"
    lines.append(f"  sft    {title:24} {choice['by']} {interval(best)}")
    by_temperature = ", ".join(f"{t}: {mean:.3f}" for t, mean in choice["by_temperature"].items())
    lines.append(f"    chosen on {choice['n']} episodes of {choice['split']}, {choice['by']} by T: {by_temperature}")
    lines += describe_others(report)
    if "oracle" in report:
        lines.append(f"  oracle{'':26}score {report['oracle']['score']:+.3f}{gold_in_words(report['oracle'])}")
    lines += describe_samples(report)
    for how, gain in report["gain"].items():
        lines.append(f"gain over SFT, episode by episode, {how}: {signed(gain)}")
    lines.append(in_words(report))
    lines += describe_calibration(report)
    win = report["win_rate"]
    lines.append(f"win rate by {report['win_rate_by']}: {interval(win)}")
    lines.append(f"KL to SFT: {report['kl']:.2f} nats an episode")
    for name in report["sft"]["groups"]["sampled"]:
        before, after = (report[s]["groups"]["sampled"][name]["mean"] for s in sides)
        beyond = signed(report["beyond_sharpening"]["groups"][name])
        lines.append(f"  {name}: {before:.3f} -> {after:.3f} sampled, beyond sharpening {beyond}")
    return "\n".join(lines)


def show_answers(report: dict[str, Any], count: int) -> str:
    """Returns the first prompts with SFT's and the policy's sampled answers."""
    lines = []
    for row in report["samples"][:count]:
        lines.append(printable(row["prompt"].strip()))
        for name in ("sft", "policy"):
            answer = row[f"{name}_sampled"]
            gold = "" if answer["gold"] is None else f", gold {answer['gold']:.2f}"
            lines.append(f"  {name:6} [{answer['score']:+.2f}{gold}] {printable(answer['text'])}")
        lines.append("")
    return "\n".join(lines)
