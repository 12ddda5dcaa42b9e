"""Envs of perlhf as a task of Inspect; models of perlhf's for it are in `integrations.inspect_model`."""

from typing import Any

from envs.episodes import verdict_of
from envs.registry import parse_env_options
from integrations.text import messages, text_task
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
def perlhf_env(env: str = "HH-v0", episodes: int = 100, split: str = "test", options: str = "") -> Task:
    """Returns the task: the first `episodes` of a split, the very ones that `perlhf evaluate` plays.

    Args:
        env: "HH-v0", "UINav-v0"...
        episodes: how many; fewer where the split has fewer.
        split: "train", "validation" or "test".
        options: further arguments of the env, such as "lenient=true,max_steps=30"; a split there counts.
    """
    of = text_task(env, **{"split": split, **parse_env_options(options)})
    samples = [
        Sample(said(of.observe(state)["prompt"]), id=number, metadata={"episode": of.state_to_json(state)})
        for number, state in enumerate(of.first_states(episodes))
    ]
    return Task(MemoryDataset(samples, env), solver=play_episode(env, split, options), scorer=verdict())


def said(prompt: str) -> list[ChatMessage]:
    """Returns a prompt as messages; the last one keeps the text that models without a chat template read."""
    found = [_SPEAKERS[message["role"]](content=message["content"]) for message in messages(prompt)]
    found[-1].metadata = {"prompt": str(prompt)}
    return found


@solver
def play_episode(env: str, split: str, options: str) -> Solver:
    """Plays an episode to its end; each turn is asked for alone, as policies here are trained."""
    of = text_task(env, **{"split": split, **parse_env_options(options)})

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        at, over = of.state_from_json(state.metadata["episode"]), False
        while not over:
            state.messages = said(of.observe(at)["prompt"])
            state = await generate(state)
            played = of.play(at, state.output.completion)
            at, over = played.state, played.terminated or played.truncated
        state.store.set("verdict", verdict_of(of, played.turn, ended=True))
        return state

    return solve


@scorer(metrics={"gold": [mean(), stderr()], "is_success": [mean(), stderr()]})
def verdict() -> Scorer:
    """Scores by the task's own judge: gold in [0, 1], and whether that is a success."""

    async def score(state: TaskState, target: Target) -> Score:
        found: dict[str, Any] = state.store.get("verdict", {})
        if "gold" not in found:
            raise UserError("nobody judged this episode: the task has no judge for these data, or its device failed.")
        return Score(value={name: float(found[name]) for name in ("gold", "is_success")})

    return score
