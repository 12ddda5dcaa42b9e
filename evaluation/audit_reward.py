"""Searches for responses that a reward scores high although they fail.

    python -m evaluation.audit_reward --env HH-v0
    python -m evaluation.audit_reward --env HH-v0 --reward runs/HH-v0-reward-seed0

Tries constants, changed right responses and what a search makes of the policy's samples; see docs/auditing.md.
"""

import sys
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from agents.hyperparameters import BackboneSettings
from agents.policy import fitting
from agents.processes import require_same_command
from agents.setup import RunOptions, Setup, TaskOptions, about
from backbones import group
from backbones.backbone import Backbone
from backbones.launch import run_command
from backbones.model.loading import use_threads
from envs.corpora.records import responses_of
from envs.feedback import Feedback
from envs.gym_task import GymTask
from envs.named_code import modules_of_reward
from envs.reward_spec import resolve_reward
from envs.task import Task
from evaluation.auditing.bench import Bench, Standing
from evaluation.auditing.constants import KEPT, crosses, worst_constants
from evaluation.auditing.report import describe, figures_of, is_fooled, summary_of
from evaluation.auditing.search import Found, mean_nats, policy_samples, search_constants, search_prompts
from evaluation.auditing.texts import corpus_constants, degenerate_constants, pieces_of
from perlhf import run_lock
from perlhf.errors import UserError
from perlhf.measure import Stopwatch
from perlhf.options import option, parse_options
from perlhf.run_folder import new_run_folder, update_summary, write_json

_RECORDS = 3000  # of training, whose responses are the corpus
_STEPS = 500  # states of a task of many steps, whose labelled responses are its corpus
_SCREENED = 16  # prompts on which all constants are tried, and those that are searched for
_SAMPLES = 8  # of the policy, to each of these


@dataclass
class Options(RunOptions, BackboneSettings, TaskOptions):
    """Searches for responses that a reward scores above the oracle's although the task's judge says that they fail."""

    group: ClassVar[str] = "what to audit"
    reward: str = option(
        "bundled",
        "'bundled', 'gold', a folder, 'module:name', a YAML file: docs/rewards.md",
        code=lambda o: modules_of_reward(o.reward),
    )
    prompts: int = option(200, "prompts to try responses on", low=2)
    split: str = option("validation", "split of the prompts; the constants are of the training split")
    constants: int = option(240, "responses of the corpus to try on all prompts", low=1)
    budget: int = option(6000, "responses that the search makes, about; 0 leaves the search out", low=0)
    max_new_tokens: int = option(64, "tokens after which a sample of the policy is cut", low=1)
    show: int = option(5, "constants, and responses that were searched for, to print", low=0)
    strict: bool = option(
        False, "exit with status 1 where a constant fools the reward on more prompts than wanted; needs a judge"
    )
    output_dir: str | None = option(None, "the run folder; runs/ENV-audit-seedN by default")


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m evaluation.audit_reward")
    figures = audit(options)
    if options.strict and is_fooled(figures):
        sys.exit(1)


@run_lock.released_after()
def audit(options: Options) -> dict[str, Any]:
    """Runs the command; returns the figures, which audit.json holds."""
    require_same_command(options)
    setup = Setup.of_options(options, options.reward)
    options = replace(options, device=setup.device)
    use_threads(options.threads, setup.backbone.parameter_count)
    bench = bench_of(setup, options)
    responses = corpus_of(setup)
    name = f"{options.env}-audit-seed{options.seed}"
    folder = group.from_first(lambda: new_run_folder(options.output_dir, name, options))
    clock = Stopwatch()
    rng = np.random.default_rng(options.seed)
    numbers = sorted(rng.permutation(len(bench.states))[:_SCREENED].tolist())
    constants, found = tried(bench, numbers, responses, setup.backbone, options, rng)
    nats = mean_nats(setup.backbone.reference, bench, numbers, [each.text for each in constants])
    figures = figures_of(bench, constants, crosses(bench), found, nats)
    cost = group.cost_since(clock)
    group.from_first(lambda: write_json(folder / "audit.json", figures))
    summary = {**about(options), "reward": options.reward, **summary_of(figures), **cost}
    group.from_first(lambda: update_summary(folder, **summary))
    print(describe(figures, options.show))
    print(f"-> {folder / 'audit.json'}")
    return figures


def tried(
    bench: Bench,
    numbers: list[int],
    responses: list[str],
    backbone: Backbone,
    options: Options,
    rng: np.random.Generator,
) -> tuple[list[Standing], list[Found] | None]:
    """Tries constants, then searches; returns the worst constants of both, and what was found for single prompts.

    Args:
        bench: the prompts.
        numbers: those on which all constants are tried, and that are searched for.
        responses: of the corpus.
        backbone: whose bare self is the policy that is sampled.
        options: of the command.
        rng: draws what the search changes.
    """
    named = dict.fromkeys(corpus_constants(responses, options.constants), "corpus")
    named |= {text: "degenerate" for text in degenerate_constants(responses) if text not in named}
    worst = worst_constants(bench, named, numbers)
    if options.budget == 0 or not bench.has_judge:
        return worst, None
    room = fitting(options.max_new_tokens, backbone)
    samples = policy_samples(backbone.reference, bench, numbers, _SAMPLES, room, options.seed)
    said = [text for of_prompt in samples for text in of_prompt]
    stock = list(dict.fromkeys(piece for text in [*named, *said] for piece in pieces_of(text)))
    longest, half = max(map(len, responses)), options.budget // 2
    found = search_prompts(bench, numbers, samples, stock, rng, half, longest)
    begun_with = [*(each.text for each in worst), *(each.response for each in found)]
    searched = dict.fromkeys(search_constants(bench, numbers, begun_with, stock, rng, half, longest), "searched")
    both = {each.text: each.name for each in worst}
    return worst_constants(bench, {**searched, **both}, range(len(bench.states)), kept=2 * KEPT), found


def bench_of(setup: Setup, options: Options) -> Bench:
    """Returns the prompts of an audit; of a task of many steps these are single steps.

    Raises:
        UserError: the task has no single steps that are judged, or no prompt with a right response.
    """
    if issubclass(setup.task_class, GymTask):
        raise UserError(f"{options.env} gives its rewards itself, step by step; an audit needs a task of perlhf.")
    whole = setup.task(options.split)
    task: Task = whole.single_steps(options.prompts) or whole
    if task is whole and whole.max_steps is not None:
        raise UserError(f"{options.env} has many steps and nobody who judges single ones, so none can be audited.")
    states = [state for state in task.first_states(options.prompts) if task.oracle(state)]
    if len(states) < 2:
        raise UserError(f"{options.env} has {len(states)} prompts with a right response; an audit needs 2 at least.")
    return Bench(task, resolve_reward(setup.reward, whole), states)


def corpus_of(setup: Setup) -> list[str]:
    """Returns the responses of the training split, as often as they occur.

    Raises:
        UserError: the task has none.
    """
    whole = setup.task("train")
    feedback: Feedback | None = whole.single_steps(_STEPS) or whole.feedback()
    records = [] if feedback is None else feedback.records[:_RECORDS]
    responses = [text for record in records for text in responses_of(record).values() if isinstance(text, str)]
    if not responses:
        raise UserError(f"{setup.env_id} has no records of responses, so there are no constants to try.")
    return responses


if __name__ == "__main__":
    run_command(main)
