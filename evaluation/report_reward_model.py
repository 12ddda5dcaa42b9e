"""Says by many measures what a reward model is worth, on records of a task or on a file in RewardBench's form.

    python -m evaluation.report_reward_model HH-v0
    python -m evaluation.report_reward_model HH-v0 --reward runs/HH-v0-reward-seed0 --pairs reward-bench.jsonl

Prints a table and writes it to summary.json; see docs/reward_models.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from agents.processes import require_same_command
from agents.setup import RunOptions, Setup, TaskOptions
from backbones import group
from backbones.launch import run_command
from backbones.model.loading import use_threads
from envs.reward_spec import RewardFunction, resolve_reward, score_turns
from envs.task import Task
from envs.turn import Turn
from evaluation.reward_metrics.changes import CHANGES
from evaluation.reward_metrics.choices import Choice, drawn, of_records, read_choices, with_pairs
from evaluation.reward_metrics.figures import (
    accuracy,
    agreement,
    best_of,
    calibration,
    flips,
    gold_correlation,
    length,
    position,
)
from evaluation.reward_metrics.table import describe
from perlhf.errors import UserError
from perlhf.measure import Stopwatch
from perlhf.options import option, parse_options
from perlhf.run_folder import new_run_folder, update_summary
from rewards.reward_model import RewardModel, learned_model

_TOGETHER = 256  # turns that are scored in one call

Scorer = Callable[[Sequence[Turn]], np.ndarray]  # to (n,) scores


@dataclass
class Options(RunOptions, TaskOptions):
    """Measures a reward model: accuracy, best of 4, calibration, length, position, changed responses, gold."""

    group: ClassVar[str] = "what to measure"
    reward: str = option("bundled", "'bundled', a folder, 'module:name', a YAML file: docs/rewards.md")
    pairs: str | None = option(
        None, "a file with prompt, chosen, rejected and subset, as RewardBench has it, in place of the task's records"
    )
    prompts: int = option(1000, "held-out records, and prompts of drawn choices, or rows of the file", low=2)
    split: str = option("test", "split of the task's records")
    output_dir: str | None = option(None, "the run folder; runs/ENV-reward-report-seedN by default")


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m evaluation.report_reward_model")
    require_same_command(options)
    setup = Setup.of(
        options.env, options.env_options, options.data, "tiny", options.reward, options.device, columns=options.columns
    )
    options = replace(options, device=setup.device)
    task = setup.task(options.split)
    reward = resolve_reward(setup.reward, task)
    model = learned_model(reward)
    if model is not None or options.threads > 0:  # of what others score with, torch knows how many suit it
        use_threads(options.threads, 0 if model is None else model.role.backbone.parameter_count)
    score = scorer(reward, model)
    pairs, choices = _asked(options, setup, task)
    name = f"{options.env}-reward-report-seed{options.seed}"
    folder = group.from_first(lambda: new_run_folder(options.output_dir, name, options))
    clock = Stopwatch()
    report = measure(score, pairs, choices, options.seed)
    of_what = {"env": options.env, "reward": options.reward, "pairs": options.pairs, "split": options.split}
    cost = group.cost_since(clock)
    group.from_first(lambda: update_summary(folder, **of_what, **report, **cost))
    print(describe(report))
    print(f"-> {folder}")


def _asked(options: Options, setup: Setup, task: Task) -> tuple[list[Choice], list[Choice]]:
    """Returns the pairs, and the choices among several responses.

    Raises:
        UserError: there is no pair.
    """
    if options.pairs is not None:
        rows = read_choices(options.pairs)[: options.prompts]
        return with_pairs(rows), rows
    (held_out,) = setup.feedback(options.split)
    choices = drawn(task, options.prompts, options.seed) if task.max_steps is None else []
    pairs = of_records(held_out, options.prompts) or with_pairs(choices)
    if len(pairs) < 2:
        raise UserError(
            f"{options.env} over {options.data} has no preference pairs, and no single answers that somebody judges; "
            "give a file of pairs, --pairs FILE."
        )
    return pairs, choices


def scorer(reward: RewardFunction, model: RewardModel | None) -> Scorer:
    """Returns what scores turns; of a reward model of ours before it clips or bounds scores, which would make ties."""

    def score(turns: Sequence[Turn]) -> np.ndarray:
        if model is not None:
            prompts, responses, images = zip(*((t.prompt, t.response, t.image) for t in turns), strict=True)
            return model.raw_scores_together(prompts, responses, images).double().numpy()
        parts = [turns[i : i + _TOGETHER] for i in range(0, len(turns), _TOGETHER)]
        return np.concatenate([score_turns(reward, part) for part in parts])

    return score


def measure(score: Scorer, pairs: Sequence[Choice], choices: Sequence[Choice], seed: int = 0) -> dict[str, Any]:
    """Returns the report on a reward model, see `evaluation.reward_metrics.figures` for what its figures are.

    Args:
        score: the model.
        pairs: choices between two responses.
        choices: among several, which `best_of` and the correlation with gold are of; those of two are left out.
        seed: of typos.
    """
    turns = [turn for choice in pairs for turn in choice.turns]
    scores = score(turns).reshape(-1, 2)
    words = np.array([len(turn.response.split()) for turn in turns], dtype=np.float64).reshape(-1, 2)
    backward = score(turns[::-1])[::-1].reshape(-1, 2)
    several = [choice for choice in choices if len(choice.turns) > 2]
    of_several = _split(score, several)
    judged = [i for i, choice in enumerate(several) if choice.golds]
    golds = [several[i].golds for i in judged]
    return {
        **accuracy(scores, [choice.groups for choice in pairs]),
        "best_of": best_of(of_several, [choice.right for choice in several]),
        **agreement(scores, [choice.margin for choice in pairs]),
        "gold_correlation": gold_correlation([of_several[i] for i in judged], golds) if judged else None,
        "calibration": calibration(scores),
        "length": length(scores, words),
        "position": position(scores, backward),
        "changes": {name: _changed(score, name, turns, scores, seed) for name in CHANGES},
    }


def _split(score: Scorer, choices: Sequence[Choice]) -> list[np.ndarray]:
    """Returns the scores of the responses of each choice."""
    if not choices:
        return []
    together = score([turn for choice in choices for turn in choice.turns])
    return np.split(together, np.cumsum([len(choice.turns) for choice in choices])[:-1])


def _changed(score: Scorer, name: str, turns: Sequence[Turn], scores: np.ndarray, seed: int) -> dict[str, Any] | None:
    """Returns what a change of the responses does to preferences."""
    after = [
        replace(turn, response=CHANGES[name](turn.response, np.random.default_rng([seed, i])))
        for i, turn in enumerate(turns)
    ]
    touched = np.array([new.response != turn.response for new, turn in zip(after, turns, strict=True)]).reshape(-1, 2)
    if not touched.any():
        return None
    return flips(scores, score(after).reshape(-1, 2), touched[:, 0] | touched[:, 1])


if __name__ == "__main__":
    run_command(main)
