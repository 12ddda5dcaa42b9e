"""A reward of perlhf in the form that TRL's trainers take: a function of prompts, completions and columns."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from envs.reward_spec import RewardSpec, checked_scores, names_in, resolve_reward
from envs.task import Task
from envs.text_task import TextTask
from envs.turn import Turn
from integrations.text import messages, text_task
from perlhf.conversation import Conversation, Message
from perlhf.errors import UserError

Text = str | Sequence[Mapping[str, str]]  # plain, or messages


def reward_function(reward: RewardSpec = "bundled", env: str = "HH-v0", **options: Any) -> Callable[..., list[float]]:
    """Returns `f(prompts, completions, **columns) -> list[float]`, for `GRPOTrainer(reward_funcs=f)`.

    Rows with a column `record`, as `rows` makes them, are records of the env: the reward sees all that the task knows
    of the right answer, and the very prompt. Others are scored by their text alone.

    Args:
        reward: a reward model's folder, "bundled", "gold", or any other reward spec; see `envs.reward_spec`.
        env: whose reward "bundled" and "gold" are.
        options: of its task, such as `split`.

    Raises:
        UserError: an unknown env or option; RewardError: a reward that cannot be found.
    """
    task = text_task(env, **options)
    score, judges = resolve_reward(reward, task), "gold" in names_in(reward, task)

    def perlhf_reward(
        prompts: Sequence[Text], completions: Sequence[Text], record: Sequence[int] | None = None, **columns: Any
    ) -> list[float]:
        said = [text if isinstance(text, str) else text[-1]["content"] for text in completions]
        if record is None:
            if judges:
                raise UserError("reward 'gold' judges records: rows need a column 'record'; see trl_reward.rows.")
            turns = [Turn(_prompt(prompt), text) for prompt, text in zip(prompts, said, strict=True)]
        else:
            turns = [task.turn(_known(i, env, task), text) for i, text in zip(record, said, strict=True)]
        return checked_scores(score, turns)

    return perlhf_reward


def rows(env: str, count: int | None = None, chat: bool = False, **options: Any) -> list[dict[str, Any]]:
    """Returns the prompts of a text task as rows of a data set: `datasets.Dataset.from_list(rows("HH-v0"))`.

    Args:
        env: of the prompts.
        count: how many, the split's first; None for all.
        chat: whether prompts are messages, for models with a chat template, or plain text.
        options: of the task, such as `split`.
    """
    task = text_task(env, **options)
    prompts = [task.turn(index).prompt for index in range(len(_records(env, task)))[:count]]
    return [{"prompt": messages(p) if chat else str(p), "record": index} for index, p in enumerate(prompts)]


def _records(env: str, task: Task) -> Sequence[Any]:
    if not isinstance(task, TextTask):
        raise UserError(f"{env} is no task of single responses; take integrations.trl_environment.")
    return task.records


def _known(record: int, env: str, task: Task) -> int:
    count = len(_records(env, task))
    if not 0 <= record < count:
        raise UserError(f"record {record}: the data of {env} have records 0 to {count - 1}; see trl_reward.rows.")
    return int(record)


def _prompt(prompt: Text) -> str:
    return prompt if isinstance(prompt, str) else Conversation([Message(m["role"], m["content"]) for m in prompt])
