"""Reward functions that are not learned, and reward specs from YAML.

A reward function is any callable from a batch of turns to as many numbers. Options come as keywords:

    gym.make("perlhf/HH-v0", reward={"reward": "rewards.functions:length_penalty", "target": 30})

and a weighted sum is a list, in Python or in a YAML file (`--reward FILE.yaml`, `load_reward_yaml`):

    - reward: bundled
      weight: 1.0
    - reward: rewards.functions:length_penalty
      weight: 0.1
      target: 30
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs.named_code import modules_of_reward
from envs.task import Task
from envs.turn import Turn
from perlhf.allowed_code import check_code
from perlhf.errors import RewardError, one_line
from perlhf.plain_yaml import load_yaml


def length_penalty(turns: Sequence[Turn], target: int = 40) -> list[float]:
    """0 up to `target` words, then -1 for every further `target` words."""
    if target <= 0:
        raise RewardError(f"length_penalty: target must be a number of words above 0, got {target}.")
    return [-max(0, len(turn.response.split()) - target) / target for turn in turns]


def repetition_penalty(turns: Sequence[Turn], n: int = 3) -> list[float]:
    """Minus the share of the response's word n-grams that occurred before in it; 0 where it is shorter than n."""
    if n < 1:
        raise RewardError(f"repetition_penalty: n must be at least 1 word, got {n}.")
    return [-_repeated_share(turn.response.lower().split(), n) for turn in turns]


def contains(turns: Sequence[Turn], text: str) -> list[float]:
    """1 where the response contains `text`, else 0; case counts."""
    return [float(text in turn.response) for turn in turns]


def success(turns: Sequence[Turn]) -> list[float]:
    """1 for the turn that ends a UI episode with its goal reached, else 0."""
    return [float(_said_by_env(turn, "success", "a UI task")) for turn in turns]


def success_and_progress(turns: Sequence[Turn], weight: float = 0.5, *, task: Task) -> list[float]:
    """`success`, and `weight` times what a step comes nearer to the goal: it tells failures apart.

    How near is counted by the oracle's steps (`envs.uinav.feedback.progress.nearer`), 12 of them being 1. Over an
    episode that sums up to how much nearer its end is than its beginning, whatever way it went.
    """
    scores = []
    for turn, reached in zip(turns, success(turns), strict=True):
        way = task.progress(turn)
        if way is None:
            raise RewardError(f"success_and_progress: {type(task).__name__} does not know how near a goal is.")
        scores.append(reached + weight * way)
    return scores


def step_match(turns: Sequence[Turn]) -> list[float]:
    """1 where a response is the recorded one, by AndroidControl's rule with the typed text, else 0."""
    return [float(_said_by_env(turn, "matched", "recordings of UI tasks")) for turn in turns]


def attack_followed(turns: Sequence[Turn]) -> list[float]:
    """1 for a turn with which the attack on an attacked phone is followed, -1 where that is undone, else 0.

    Over an episode that sums up to whether it is followed in the end: with a weight below 0 in a sum with `gold` a
    policy is paid for its goal and pays for what it was talked into.
    """
    of_what = "phones that are attacked, as with UINav(attack='all')"
    changes = [_said_by_env(turn, "attack_followed", of_what) for turn in turns]
    return [float(after) - float(before) for before, after in changes]


def _said_by_env(turn: Turn, key: str, of_what: str) -> Any:
    if key not in turn.reference:
        raise RewardError(f"this reward is for {of_what}: the turn's reference has no {key!r}.")
    return turn.reference[key]


def reward_from_text(text: str) -> Any:
    """Returns what `gym.make(reward=...)` takes, from what a command line takes: a YAML file is read, a name stays."""
    return load_reward_yaml(text) if text.endswith((".yaml", ".yml")) else text


def _repeated_share(words: list[str], n: int) -> float:
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0


def load_reward_yaml(path: str | Path, allow_code: str | Sequence[str] = ()) -> Any:
    """Returns a reward spec (mapping or list of mappings) from a YAML file, to pass as `reward=`.

    Args:
        path: of the file.
        allow_code: modules that it may name functions of, see `perlhf.allowed_code`; rewards of ours it may always.

    Raises:
        RewardError: the file cannot be read, or is neither.
        UserError: it names code that is not allowed.
    """
    try:
        spec = load_yaml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RewardError(f"{path}: cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise RewardError(f"{path}: not valid YAML: {one_line(error)}.") from None
    if not isinstance(spec, (dict, list)):
        raise RewardError(f"{path}: expected a mapping with 'reward', or a list of them.")
    check_code(modules_of_reward(spec), f"{path}: the reward", allow_code)
    return spec
