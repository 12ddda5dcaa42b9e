"""Calls reward functions that are written for TRL's trainers: f(prompts, completions, **columns).

As GRPOTrainer calls them: everything by keyword, columns as lists. What TRL has of a training run is not there:
`trainer_state`, `log_extra`, `log_metric`, `environments`, `completion_ids`.
"""

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.pool import ThreadPool
from typing import Any

from envs.entry_points import load_callable, quoted
from envs.reward_spec import reward_name
from envs.turn import Turn
from perlhf.conversation import Conversation, messages_of
from perlhf.errors import RewardError, did_you_mean

_OF_RUNS = {"trainer_state", "log_extra", "log_metric", "environments", "completion_ids"}


def score(
    turns: Sequence[Turn],
    /,
    trl_function: str | Callable[..., Any],
    conversational: bool | None = None,
    **options: Any,
) -> Any:
    """Returns what a function of TRL's form returns of turns; None in it says that it does not apply to a turn.

    Args:
        turns: what is scored.
        trl_function: "module:name", or the function itself. It may be a coroutine function.
        conversational: whether prompts and completions are lists of messages; by default where all prompts are
            `Conversation`s. Else they are text.
        options: further arguments, as they are. What the references of the turns hold, and an "image" where there is
            one, are columns: a list each, with None where a reference lacks it.

    Raises:
        RewardError: it wants an argument that there is not, or does not know an option.
    """
    asked = f"reward {quoted(trl_function if isinstance(trl_function, str) else reward_name(trl_function))}"
    function = trl_function
    if isinstance(function, str):
        function = load_callable(function.removeprefix("trl:"), asked, RewardError)
    wanted = inspect.signature(function).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in wanted.values())
    for option in options:
        if option not in wanted and not takes_all:
            raise RewardError(f"{asked} has no option {quoted(option)}.{did_you_mean(option, wanted)}")
    columns = {**_columns(turns, takes_all or "image" in wanted), **_texts(turns, conversational), **options}
    for name, parameter in wanted.items():
        optional = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if not optional and parameter.default is parameter.empty and name not in columns:
            raise RewardError(f"{asked} wants {name!r}{_why_not(name, columns)}.")
    returned = function(**{name: value for name, value in columns.items() if takes_all or name in wanted})
    if not inspect.iscoroutine(returned):
        return returned
    with ThreadPool(1) as pool:  # since a notebook has a loop that runs in this thread
        return pool.apply(asyncio.run, (returned,))


score.may_say_none = True  # type: ignore[attr-defined]  # see envs.reward_spec


def _texts(turns: Sequence[Turn], conversational: bool | None) -> dict[str, list[Any]]:
    """Returns prompts and completions, as text or as lists of messages."""
    if conversational is None:
        conversational = all(isinstance(turn.prompt, Conversation) for turn in turns)
    if not conversational:
        return {"prompts": [str(turn.prompt) for turn in turns], "completions": [turn.response for turn in turns]}
    prompts = [[message._asdict() for message in messages_of(turn.prompt)] for turn in turns]
    return {"prompts": prompts, "completions": [[{"role": "assistant", "content": t.response}] for t in turns]}


def _columns(turns: Sequence[Turn], with_image: bool) -> dict[str, list[Any]]:
    """Returns what the references hold, and images where they are wanted and there are some, as lists."""
    names = dict.fromkeys(name for turn in turns for name in turn.reference)
    columns: dict[str, list[Any]] = {name: [turn.reference.get(name) for turn in turns] for name in names}
    if with_image and any(turn.picture is not None for turn in turns):
        columns["image"] = [turn.image for turn in turns]
    return columns


def _why_not(name: str, columns: Mapping[str, Any]) -> str:
    if name in _OF_RUNS:
        return ", which TRL has of its own training run and perlhf has not"
    return f", and these turns have {', '.join(map(repr, columns))}; give it as an option, or a default"
