"""The control: is a policy better than SFT that is only sampled at a lower temperature?

PPO may do no more than make surer what SFT knew. Then SFT at its best temperature does as well. That temperature is
chosen on validation episodes, where the policy has no part, and what is left over of the policy's greedy answers on the
held-out ones is called beyond sharpening.
"""

from collections.abc import Callable, Mapping
from typing import Any

from backbones.roles import Role
from envs.task import Task
from evaluation.evaluator import Answers, Evaluator
from evaluation.metrics import bootstrap_mean, interval, signed
from perlhf.errors import UserError

TEMPERATURES = (0.0, 0.2, 0.35, 0.5, 0.7, 1.0)  # 0 is greedy


def validation_like(evaluator: Evaluator, task_of_split: Callable[[str], Task], n: int) -> Evaluator:
    """Returns the evaluator of n validation episodes, to choose on, with all else as in `evaluator`.

    Where the policy is evaluated on validation episodes, these are the ones behind them. Where the data have no
    validation split they are of train, on which SFT has learned, and a line says so.
    """
    try:
        task, split = task_of_split("validation"), "validation"
    except UserError as error:
        print(f"SFT's temperature is chosen on train, since there is no validation split: {error}")
        task, split = task_of_split("train"), "train"
    taken = len(evaluator.states) if split == evaluator.split else 0
    validation = Evaluator(task, evaluator.reward, evaluator.max_new_tokens, taken + n, evaluator.seed, split)
    if taken < len(validation.states):
        validation.states = validation.states[taken:]
    else:
        print(f"SFT's temperature is chosen on the episodes that are evaluated, since split {split!r} has no more.")
    return validation


def choose_temperature(validation: Evaluator, sft: Role) -> dict[str, Any]:
    """Returns `sft_temperature` of a report: the temperature at which SFT is best, and the figures it is chosen by.

    Those are means of gold, or of the score where there is no judge. Of equal ones the lowest temperature is taken.

    Returns:
        `temperature`, `by` ("gold" or "score"), `by_temperature` (from the temperature as text to its mean), `n`
        episodes, and `split`, which they are of.
    """
    greedy = validation.answer(sft, 0.0)
    rest = validation if greedy.golds is None else validation.without_scores()
    means = {0.0: float(greedy.best.mean())}
    means |= {t: float(rest.answer(sft, t).best.mean()) for t in TEMPERATURES if t > 0}
    return {
        "temperature": best_temperature(means),
        "by": "score" if greedy.golds is None else "gold",
        "by_temperature": {f"{t:g}": mean for t, mean in means.items()},
        "n": len(validation.states),
        "split": validation.split,
    }


def best_temperature(means: Mapping[float, float]) -> float:
    """Returns the temperature with the highest mean, of equal ones the lowest."""
    return max(sorted(means), key=lambda temperature: means[temperature])


def sft_at_best(evaluator: Evaluator, sft: Role, temperature: float, known: Mapping[float, Answers]) -> Answers:
    """Returns SFT's answers at a temperature: those that are known, else new ones, with scores where there is no gold.

    Args:
        evaluator: of the held-out episodes.
        sft: who answers.
        temperature: its best.
        known: its answers by temperature, at least one of them.
    """
    if temperature in known:
        return known[temperature]
    judged = next(iter(known.values())).golds is not None
    return (evaluator.without_scores() if judged else evaluator).answer(sft, temperature)


def beyond_sharpening(evaluator: Evaluator, policy_greedy: Answers, sft_best: Answers) -> dict[str, Any]:
    """Returns the policy's greedy answers less SFT's at its best temperature, episode by episode, and by group."""
    difference = policy_greedy.best - sft_best.best
    return {**bootstrap_mean(difference), "groups": evaluator.groups(difference)}


def beside_another(evaluator: Evaluator, validation: Evaluator, other: Role, policy_greedy: Answers) -> dict[str, Any]:
    """Returns what another SFT policy does in the same episodes, greedy and at its own best temperature.

    Returns:
        `sft_temperature` of it, `greedy` and `best`, and `policy_less`: the policy's greedy answers less its best ones,
        episode by episode.
    """
    choice, greedy = choose_temperature(validation, other), evaluator.answer(other, 0.0)
    best = sft_at_best(evaluator, other, choice["temperature"], {0.0: greedy})
    return {
        "sft_temperature": choice,
        "greedy": bootstrap_mean(greedy.best),
        "best": bootstrap_mean(best.best),
        "policy_less": bootstrap_mean(policy_greedy.best - best.best),
    }


def in_words(report: Mapping[str, Any]) -> str:
    """Returns what the control says, in a line; reports of earlier versions have none, and then it says that.

    Args:
        report: of `evaluation.compare.compare`, or a run's summary.json.
    """
    beyond, choice = report.get("beyond_sharpening"), report.get("sft_temperature")
    if beyond is None or choice is None:
        return "beyond sharpening: not measured; evaluation.evaluate does it"
    at = f"T = {choice['temperature']:g}"
    if beyond["low"] > 0:
        verdict = f"learned more than a lower temperature gives (SFT's best: {at})"
    elif beyond["high"] < 0:
        verdict = f"below SFT at its best temperature ({at})"
    elif report["gain"]["sampled"]["low"] > 0:
        verdict = f"only sharpens: no difference to SFT at {at} is seen"
    else:
        verdict = f"no gain: no difference to SFT at {at} is seen"
    return f"beyond sharpening: {signed(beyond)}: {verdict}"


def describe_others(report: Mapping[str, Any]) -> list[str]:
    """Writes a line for each other SFT policy for the terminal."""
    return [
        f"  {name}: greedy {interval(other['greedy'])}, at its best, T = {other['sft_temperature']['temperature']:g}, "
        f"{interval(other['best'])}; the policy less that {signed(other['policy_less'])}"
        for name, other in report.get("others", {}).items()
    ]
