"""Envs of perlhf as a task of Inspect; models of perlhf's for it are in `integrations.inspect_model`."""

from typing import Any

from evaluation.agents.outcomes import numbers_of, outcome_of
from integrations.text import messages, task_options, text_task
from perlhf.errors import UserError

try:
    from inspect_ai import Task, task
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageSystem, ChatMessageUser
    from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
    from inspect_ai.solver import Generate, Solver, TaskState, solver

    from integrations import inspect_model  # noqa: F401  # so that Inspect knows perlhf/...
except ImportError:
    raise UserError("this needs inspect-ai: pip install 'perlhf[inspect]'.") from None

_SPEAKERS = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}


@task
def perlhf_env(
    env: str = "HH-v0", episodes: int = 100, split: str = "test", options: str = "", actions: str = "",
    lenient: bool = True,
) -> Task:  # fmt: skip
    """Returns the task: the first `episodes` of a split, the very ones that `perlhf eval-agent` plays.

    Args:
        env, split, options, actions, lenient: see `integrations.text.task_options`.
        episodes: how many; fewer where the split has fewer.
    """
    given = task_options(env, split, options, actions, lenient)
    of = text_task(env, **given)
    samples = [
        Sample(said(of.observe(state)["prompt"]), id=number, metadata={"episode": of.state_to_json(state)})
        for number, state in enumerate(of.first_states(episodes))
    ]
    return Task(MemoryDataset(samples, env), solver=play_episode(env, given), scorer=verdict())


def said(prompt: str) -> list[ChatMessage]:
    """Returns a prompt as messages; the last one keeps the text that models without a chat template read."""
    found = [_SPEAKERS[message["role"]](content=message["content"]) for message in messages(prompt)]
    found[-1].metadata = {"prompt": str(prompt)}
    return found


@solver
def play_episode(env: str, options: dict[str, Any]) -> Solver:
    """Plays an episode to its end; each turn is asked for alone, as policies here are trained."""
    of = text_task(env, **options)

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        start, over = of.state_from_json(state.metadata["episode"]), False
        at = start
        while not over:
            state.messages = said(of.observe(at)["prompt"])
            state = await generate(state)
            played = of.play(at, state.output.completion)
            at, over = played.state, played.terminated or played.truncated
        if of.judge(played.turn) is not None and not played.turn.reference.get("failed"):
            state.store.set("outcome", outcome_of(of, start, played))
        return state

    return solve


@scorer(metrics={"*": [mean(), stderr()]})
def verdict() -> Scorer:
    """Scores by the task's own judge, see `numbers_of`; the whole verdict is in the metadata."""

    async def score(state: TaskState, target: Target) -> Score:
        found: dict[str, Any] = state.store.get("outcome", {})
        if not found:
            raise UserError("nobody judged this episode: the task has no judge for these data, or its device failed.")
        return Score(value=numbers_of(found), explanation=found["outcome"], metadata=found)

    return score
