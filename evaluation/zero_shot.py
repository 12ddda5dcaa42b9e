"""Says how well a language model does a task as it is, before anything is trained.

    python -m evaluation.zero_shot UINav-v0 --backbone DIR_OR_HUB_ID --env-options lenient=true

What it says is scored by the task's own judge, or by --reward where there is none.
"""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from agents.hyperparameters import BackboneSettings
from agents.policy import fitting
from agents.processes import require_same_command
from agents.setup import RunOptions, Setup, TaskOptions, about
from backbones import group
from backbones.backbone import Backbone
from backbones.launch import run_command
from backbones.model.loading import use_threads
from envs.named_code import modules_of_reward
from envs.reward_spec import resolve_reward
from envs.task import Task
from evaluation.evaluator import Answers, Evaluator
from evaluation.metrics import bootstrap_mean
from perlhf import run_lock
from perlhf.measure import Stopwatch
from perlhf.options import option, parse_options
from perlhf.run_folder import new_run_folder, update_summary
from perlhf.terminal import printable


@dataclass
class Options(RunOptions, BackboneSettings, TaskOptions):
    """Lets a language model do held-out episodes of a task as it is."""

    group: ClassVar[str] = "what to measure"
    reward: str = option(
        "gold",
        "'gold', a folder, 'module:name', a YAML file: docs/rewards.md",
        code=lambda o: modules_of_reward(o.reward),
    )
    prompts: int = option(100, "held-out episodes", low=1)
    split: str = option("test", "split of the data")
    temperature: float = option(0.0, "temperature of the samples; 0 takes the likeliest token each time", low=0)
    max_new_tokens: int = option(64, "tokens after which a response is cut", low=1)
    blind: bool = option(False, "show a grey picture in place of every picture, to see what pictures are worth")
    show: int = option(4, "episodes to print", low=0)
    output_dir: str | None = option(None, "the run folder; runs/ENV-zero-shot-seedN by default")


def main() -> None:
    """Runs the command."""
    measure(parse_options(Options, prog="python -m evaluation.zero_shot"))


@run_lock.released_after()
def measure(options: Options) -> dict[str, Any]:
    """Runs the command; returns the summary."""
    require_same_command(options)
    setup = Setup.of_options(options, options.reward)
    options = replace(options, device=setup.device)
    task, backbone = setup.task(options.split), setup.backbone
    use_threads(options.threads, backbone.parameter_count)
    room = fitting(options.max_new_tokens, backbone)
    reward = resolve_reward(setup.reward, task)
    name = f"{options.env}-zero-shot-seed{options.seed}"
    folder = group.from_first(lambda: new_run_folder(options.output_dir, name, options))
    evaluator = Evaluator(task, reward, room, options.prompts, options.seed)
    clock = Stopwatch()
    answers = evaluator.answer(backbone.reference, options.temperature, blind=options.blind)
    cost = group.cost_since(clock)
    groups = {"groups": evaluator.groups(answers.best), "score_groups": evaluator.groups(answers.scores)}
    figures = {**figures_of(task, backbone, answers), **groups}
    summary = {**about(options), "reward": options.reward, "blind": options.blind, **figures, **cost}
    group.from_first(lambda: update_summary(folder, **summary))
    print(describe(figures))
    for state, text in list(zip(evaluator.states, answers.texts, strict=True))[: options.show]:
        print(f"\n{printable(task.observe(state)['prompt'].strip())}\n  {printable(text)}")
    print(f"-> {folder}")
    return summary


def figures_of(task: Task, backbone: Backbone, answers: Answers) -> dict[str, Any]:
    """Returns what the answers are worth, how long they are, and what the task reads in them."""
    rows = [response for episode in answers.rows for _, response in episode]
    ended = [backbone.has_ended(response) for response in rows]
    figures: dict[str, Any] = {"n": len(answers.texts), "turns": len(rows), "score": bootstrap_mean(answers.scores)}
    if answers.golds is not None:
        figures["gold"] = bootstrap_mean(answers.golds)
    if answers.officials is not None:
        figures["official"] = bootstrap_mean(answers.officials)
    figures |= {"ended": statistics.fmean(ended), "length": statistics.fmean(map(len, rows))}
    return figures | task.figures_of([backbone.decode(response) for response in rows])


def describe(figures: Mapping[str, Any]) -> str:
    """Writes the figures in a few lines for the terminal."""
    lines = [f"held-out episodes: {figures['n']}, turns: {figures['turns']}"]
    for name, value in figures.items():
        if isinstance(value, Mapping) and "mean" in value:
            lines.append(f"  {name}: {value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]")
        elif isinstance(value, float):
            lines.append(f"  {name}: {value:.3f}")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
