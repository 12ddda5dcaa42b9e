"""What all integrations make of a name: an env, a task and messages, of text alone."""

from typing import Any

import gymnasium as gym

from envs.gym_task import GymTask
from envs.registry import class_of, env_id, parse_env_options, task_of
from envs.task import Task
from perlhf.conversation import messages_of
from perlhf.errors import UserError


def text_env(env: str, **options: Any) -> gym.Env[dict[str, Any], str]:
    """Returns the env of an id such as "HH-v0", made with options of `gym.make`; UserError where it shows pictures."""
    _refuse_others(env)
    made: gym.Env[dict[str, Any], str] = gym.make(env_id(env), **options)
    if "image" in made.observation_space.spaces:  # type: ignore[attr-defined]  # a Dict, as of every task
        raise _pictures(env)
    return made


def text_task(env: str, **options: Any) -> Task:
    """Returns the task of an id, made with its options, such as `split`; UserError where it shows pictures."""
    _refuse_others(env)
    task = task_of(env_id(env), **options)
    if task.image_shape is not None:
        raise _pictures(env)
    return task


def task_options(env: str, split: str, options: str, actions: str, lenient: bool) -> dict[str, Any]:
    """Returns the options of a task as a command line gives them.

    Args:
        env: the id.
        split: "train", "validation" or "test".
        options: further ones, such as "max_steps=30"; what stands there counts.
        actions: of the phone: the dialect that actions are said in; "" for its own.
        lenient: of the phone: whether an action is also found in what language models write around it.

    Raises:
        UserError: actions are given for a task that has none.
    """
    phone = {"lenient": lenient, **({"actions": actions} if actions else {})}
    on_screen = class_of(env_id(env)).on_screen
    if actions and not on_screen:
        raise UserError(f"actions={actions!r} is of the phone; {env} has no actions.")
    return {"split": split, **(phone if on_screen else {}), **parse_env_options(options)}


def instructions_of(env: str, **options: Any) -> str | None:
    """Returns what a chat model is told first in an env that is made with options of `gym.make`, if anything."""
    made = text_env(env, **options)
    told: str | None = made.unwrapped.task.instructions  # type: ignore[attr-defined]  # as every env of perlhf has one
    made.close()
    return told


def messages(prompt: str) -> list[dict[str, str]]:
    """Returns a prompt as the messages that a chat model reads: [{"role": "user", "content": "Hi"}]."""
    return [message._asdict() for message in messages_of(prompt)]


def _refuse_others(env: str) -> None:
    """Refuses an env that is none of perlhf's: what it says need not be a prompt."""
    if class_of(env_id(env)) is GymTask:
        raise UserError(f"{env!r} is no env of perlhf; give it to that tool itself.")


def _pictures(env: str) -> UserError:
    return UserError(f"env {env!r} shows pictures, which the integrations would leave out.")
