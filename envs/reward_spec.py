"""Turns what a user writes as `reward=` into a function that scores turns.

A reward function takes a batch of turns and returns one number for each. It is given as

- "bundled": the task's default;  "gold": the task's own judge;
- "module:name": imported when first needed (as Gymnasium does with entry points); given the env's task as well where
  it has a keyword-only parameter `task`;
- a folder (str or Path): a reward model that `rewards.train_reward_model` wrote, or one of others;
- "classifier:HUB_ID", "judge:URL#MODEL", "trl:module:name": rewards of others, see docs/rewards.md;
- {"reward": any of these strings, option: value, ...}: the same with keyword options;
- {"ensemble": "min" | "mean" | "uncertainty", "members": [...]}, in short "min(a, b)": see `envs.ensembles`;
- a list of such mappings, each with a "weight": their weighted sum;
- any callable. All but this one are JSON, so that an `EnvSpec` with them can be saved and sent.
"""

import functools
import inspect
import numbers
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from math import isfinite
from typing import Any

import numpy as np

from envs.ensembles import Ensemble, ensemble_of
from envs.entry_points import find_package, load_callable, quoted
from envs.forks import one_thread_after_fork
from envs.reward_names import NAMES, OF_TRL, check_options, meaning_of
from envs.task import Task
from envs.turn import Turn
from perlhf.errors import RewardError, did_you_mean

RewardFunction = Callable[..., Sequence[float]]  # of a Sequence[Turn]
RewardSpec = str | os.PathLike[str] | Mapping[str, Any] | Sequence[Mapping[str, Any]] | RewardFunction

_OF_TRL = ("prompts", "completions")  # what the first argument of a reward function of TRL's is called


def resolve_reward(spec: RewardSpec, task: Task) -> RewardFunction:
    """Returns the reward function that `spec` stands for.

    Raises:
        RewardError: a spec of no known form, or a module or name that cannot be imported.
    """
    one_thread_after_fork()  # some rewards compute when they are imported
    spec = without_paths(spec)
    if isinstance(spec, (list, tuple)):
        terms = [(weight, resolve_reward(options, task)) for options, weight in _weighted_parts(spec)]
        return functools.partial(_weighted_sum, terms)
    if callable(spec) and not isinstance(spec, (str, Mapping)):
        return _taking_turns(spec)
    if (ensemble := ensemble_of(spec)) is not None:
        members = [resolve_reward(member, task) for member in ensemble.members]
        return functools.partial(_of_ensemble, ensemble, members)
    return _resolve_name(*_name_and_options(spec), task)


def _name_and_options(spec: Any) -> tuple[str, dict[str, Any]]:
    """Splits a spec into the name of its function and its options."""
    if isinstance(spec, str):
        return spec, {}
    if not isinstance(spec, Mapping):
        forms = "a name, a mapping, a list of mappings or a callable"
        raise RewardError(f"a reward is {forms}, got {type(spec).__name__}.")
    options = dict(spec)
    name = options.pop("reward", None)
    if not isinstance(name, str):
        raise RewardError(f"a reward mapping names its function under 'reward', got keys {quoted(list(spec))}.")
    return name, options


def check_reward(spec: RewardSpec, task: type[Task]) -> None:
    """Refuses what `resolve_reward` would refuse of a spec, as far as that can be told without importing a module.

    Raises:
        RewardError: a spec of no known form, an unknown name, or the name of no package that is installed; the task's
            own reward or judge, where it has none.
    """
    spec = without_paths(spec)
    if isinstance(spec, (list, tuple)):
        for options, _ in _weighted_parts(spec):
            check_reward(options, task)
    elif (ensemble := ensemble_of(spec)) is not None:
        for member in ensemble.members:
            check_reward(member, task)
    elif isinstance(spec, (str, Mapping)) or not callable(spec):
        name, options = _name_and_options(spec)
        if name not in NAMES:
            meaning = meaning_of(name)
            check_options(meaning, options)
            if meaning.module:
                find_package(meaning.module, f"reward {quoted(name)}", RewardError)
        if name in NAMES and not task.default_reward:
            raise RewardError(
                f"reward {quoted(name)}: {task.__name__} has no reward and no judge of its own; give --reward (in "
                "Python reward=) a reward model's folder, 'module:name' or a YAML file."
            )


def names_in(spec: RewardSpec, task: Task | type[Task]) -> set[str]:
    """Returns the names of all functions in a spec, of sums and ensembles too; "bundled" is what the task has for it.

    A callable has none.

    Raises:
        RewardError: a spec of no known form.
    """
    spec = without_paths(spec)
    if isinstance(spec, (list, tuple)):
        return set().union(*(names_in(part, task) for part, _ in _weighted_parts(spec)))
    if callable(spec) and not isinstance(spec, (str, Mapping)):
        return set()
    if (ensemble := ensemble_of(spec)) is not None:
        return set().union(*(names_in(member, task) for member in ensemble.members))
    name, _ = _name_and_options(spec)
    return {task.default_reward if name == "bundled" else name}


def without_paths(spec: Any) -> Any:
    """Returns the same with every Path as a str, so that it is JSON; other objects are left as they are."""
    if isinstance(spec, os.PathLike):
        return os.fspath(spec)
    if type(spec) is dict:
        return {key: without_paths(value) for key, value in spec.items()}
    if type(spec) in (list, tuple):
        return type(spec)(map(without_paths, spec))
    return spec


def _check_options(name: str, function: RewardFunction, options: Mapping[str, Any]) -> None:
    """Raises a RewardError where `function` would not take `options` beside the turns."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C: it says so itself when it is called
        return
    known = [*signature.parameters][1:]
    if not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        for option in options:
            if option not in known:
                hint = did_you_mean(str(option), known)
                raise RewardError(f"reward {quoted(name)} has no option {quoted(option)}.{hint}")
    try:
        signature.bind([], **options)
    except TypeError as error:
        raise RewardError(f"reward {quoted(name)}: {error}.") from None


def _resolve_name(name: str, options: Mapping[str, Any], task: Task) -> RewardFunction:
    if name == "bundled":
        return _resolve_name(task.default_reward, options, task)
    if name == "gold":
        return _with_options(name, functools.partial(_gold, task), options)
    meaning = meaning_of(name)
    function = load_callable(meaning.entry_point, f"reward {quoted(name)}", RewardError)
    if meaning.module and _is_of_trl(function):
        return functools.partial(_calling_trl(), trl_function=name, **options)
    own = {"task": task} if _asks_for_task(function) else {}
    return _with_options(name, function, {**own, **meaning.options, **options})


def _asks_for_task(function: RewardFunction) -> bool:
    """Returns whether a function has a parameter `task` that can be given by its name alone: it gets the env's task."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # written in C
        return False
    return "task" in parameters and parameters["task"].kind is inspect.Parameter.KEYWORD_ONLY


def _with_options(name: str, function: RewardFunction, options: Mapping[str, Any]) -> RewardFunction:
    """Returns a function with its options, which it is held to know."""
    _check_options(name, function, options)
    return functools.partial(function, **options) if options else function


def _taking_turns(function: RewardFunction) -> RewardFunction:
    """Returns a callable as it is, or one of TRL's form as a function of turns."""
    return functools.partial(_calling_trl(), trl_function=function) if _is_of_trl(function) else function


def _is_of_trl(function: RewardFunction) -> bool:
    """Returns whether a function is written for TRL's trainers: f(prompts, completions, **columns)."""
    try:
        names = [*inspect.signature(function).parameters]
    except (TypeError, ValueError):  # written in C
        return False
    return names[:1] != [] and names[0] in _OF_TRL and "completions" in names


def _calling_trl() -> RewardFunction:
    return load_callable(OF_TRL, "reward", RewardError)


def _weighted_parts(parts: Sequence[Mapping[str, Any]]) -> list[tuple[dict[str, Any], float]]:
    """Spec and weight of each part of a sum."""
    found: list[tuple[dict[str, Any], float]] = []
    for part in parts:
        if not isinstance(part, Mapping):
            expected = "a mapping with 'reward' and 'weight'"
            raise RewardError(f"each part of a reward sum is {expected}, got {quoted(part)}.")
        options = dict(part)
        weight = options.pop("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, numbers.Real):
            raise RewardError(f"reward {quoted(part.get('reward'))}: weight must be a number, got {quoted(weight)}.")
        if not np.isfinite(_as_float(weight)):
            raise RewardError(f"reward {quoted(part.get('reward'))}: weight must be finite, got {quoted(weight)}.")
        found.append((options, float(weight)))
    if not found:
        raise RewardError("a reward sum needs at least one part.")
    return found


def _weighted_sum(terms: Sequence[tuple[float, RewardFunction]], turns: Sequence[Turn]) -> list[float]:
    """Adds up what the terms say; one of TRL's that says None of a turn counts for nothing there, as in TRL."""
    total, applies = np.zeros(len(turns)), np.zeros(len(turns), bool)
    for weight, function in terms:
        scores = np.array(checked_scores(function, turns, _may_say_none(function)), np.float64)
        said = ~np.isnan(scores)
        total[said] += weight * scores[said]
        applies |= said
    if not applies.all():
        i = int(np.argmin(applies))
        raise RewardError(f"no part of the reward sum applies to turn {i}: {turns[i].response[:60]!r}.")
    return total.tolist()


def _may_say_none(function: RewardFunction) -> bool:
    """Returns whether None is an answer of a function, as of one of TRL's: it does not apply to a turn."""
    return getattr(getattr(function, "func", function), "may_say_none", False) is True


def _of_ensemble(ensemble: Ensemble, members: Sequence[RewardFunction], turns: Sequence[Turn]) -> list[float]:
    return ensemble.combine(np.stack([score_turns(member, turns) for member in members])).tolist()


def _gold(task: Task, turns: Sequence[Turn]) -> list[float]:
    scores = [task.judge(turn) for turn in turns]
    if None in scores:
        raise RewardError(f"reward 'gold': {type(task).__name__} has no judge of its own for these data.")
    return scores  # type: ignore[return-value]


def score_turns(function: RewardFunction, turns: Sequence[Turn]) -> np.ndarray:
    """Returns the scores of `turns`, (len(turns),) float64; see `checked_scores`."""
    return np.array(checked_scores(function, turns), np.float64)


def checked_scores(function: RewardFunction, turns: Sequence[Turn], none_allowed: bool = False) -> list[float]:
    """Returns the scores of `turns`, checked.

    A function may return a list, an array, a tensor of any library that has `tolist`, or a list of 0-d ones.

    Args:
        function: scores them.
        turns: what is scored.
        none_allowed: whether None is an answer too; NaN stands for it then.

    Raises:
        RewardError: the function cannot be called with turns, or returned the wrong count, a non-number, NaN or an
            infinity; it is named.
    """
    returned = _call(function, turns)
    if type(returned) is list and len(returned) == len(turns) and _all_finite(returned):
        return returned  # nothing to complain of: the fast way
    name = reward_name(function)
    try:
        iterator = _in_order(returned)
    except TypeError:
        raise RewardError(f"reward {name} returned {type(returned).__name__}, expected {len(turns)} numbers.") from None
    scores = [_plain(score) for score in iterator]
    if len(scores) != len(turns):
        raise RewardError(f"reward {name} returned {len(scores)} scores for {len(turns)} turns.")
    for i, score in enumerate(scores):
        if score is None and none_allowed:
            continue
        if isinstance(score, (bool, np.bool_)) or not isinstance(score, numbers.Real):
            raise RewardError(f"reward {name} returned {quoted(score)} for turn {i}, expected a number.")
        if not np.isfinite(_as_float(score)):
            raise RewardError(f"reward {name} returned {_as_float(score)} for turn {i}: {turns[i].response[:60]!r}.")
    return [float("nan") if score is None else float(score) for score in scores]


def _all_finite(scores: list[Any]) -> bool:
    """Returns whether all are finite numbers of the type float itself."""
    return set(map(type, scores)) == {float} and all(map(isfinite, scores))


def _call(function: RewardFunction, turns: Sequence[Turn]) -> Any:
    """Calls the function; an error that arose inside it is its own."""
    one_thread_after_fork()
    try:
        return function(turns)
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise
        # No line of the function has run: it is no function of turns, such as math:sqrt.
        problem = str(error).split("\n")[0]
        message = f"reward {reward_name(function)} cannot be called with a list of turns: {problem}."
        raise RewardError(message) from None


def _in_order(returned: Any) -> Iterator[Any]:
    """Returns the items of what has an order; a TypeError for a mapping, a set and what has no items."""
    if isinstance(returned, (Mapping, AbstractSet)):
        raise TypeError
    return iter(returned.tolist() if hasattr(returned, "tolist") else returned)


def _plain(score: Any) -> Any:
    """Returns the number in an array or tensor of no dimension; anything else as it is."""
    return score.item() if getattr(score, "ndim", None) == 0 and hasattr(score, "item") else score


def _as_float(score: Any) -> float:
    """As a float; infinity for an integer that no float can hold."""
    try:
        return float(score)
    except OverflowError:
        return float("inf")


def reward_name(function: RewardFunction) -> str:
    """Returns the name of a reward function for messages."""
    if isinstance(function, functools.partial):
        return _name_of_partial(function)
    qualified = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', type(function).__module__)}:{qualified}"


def _name_of_partial(function: functools.partial[Any]) -> str:
    """Returns the name of what a function with options scores by: of rewards of others the model, judge or function."""
    for option in ("trl_function", "url", "path"):
        named = function.keywords.get(option)
        if callable(named):
            return reward_name(named)
        if isinstance(named, str):
            return named
    return reward_name(function.func)
