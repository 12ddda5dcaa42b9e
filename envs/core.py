"""The two env classes: `TaskEnv` plays one episode at a time, `TaskVectorEnv` many and scores them together."""

import copy
import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs.entry_points import load_callable
from envs.episodes import Episodes, verdict_of
from envs.live_spec import LiveSpec, is_callable, not_serialisable
from envs.reward_spec import (
    RewardFunction,
    RewardSpec,
    check_reward,
    checked_scores,
    resolve_reward,
    score_turns,
    without_paths,
)
from envs.spaces import Unicode
from envs.task import Task
from envs.turn import Turn
from envs.vector_infos import stacked_infos
from envs.workers import Workers
from perlhf.errors import UserError, did_you_mean

Shown = tuple[Turn, float | None, float | None]  # a turn, its score and its gold
_GROUPS = ("group_size", "starts")  # options of `reset` that are the vector env's own


class _TaskEnvBase:
    """Holds what both env classes share: the task, the reward, the spaces, and how they are copied and saved."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "ansi", "human"], "render_fps": 1}

    def __init__(
        self,
        task: str | type[Task],
        reward: RewardSpec = "bundled",
        render_mode: str | None = None,
        **task_options: Any,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            hint = did_you_mean(str(render_mode), self.metadata["render_modes"])
            raise UserError(f"unknown render_mode {render_mode!r}.{hint}")
        reward, task_options = without_paths(reward), without_paths(task_options)
        check_reward(reward, task_class(task))  # a wrong name is found now, a right one imported when it is needed
        self._arguments = {"task": task, "reward": reward, "render_mode": render_mode, **task_options}
        self.task = make_task(task, task_options)
        self.render_mode = render_mode
        self._reward: RewardSpec = reward
        self._reward_function: RewardFunction | None = None
        self._spec: EnvSpec | None = None

    @property
    def reward_function(self) -> RewardFunction:
        """Scores the turns; a spec is resolved when this is first asked for."""
        if self._reward_function is None:
            self._reward_function = resolve_reward(self._reward, self.task)
        return self._reward_function

    @property
    def _task_options(self) -> dict[str, Any]:
        return {k: v for k, v in self._arguments.items() if k not in ("task", "reward", "render_mode")}

    def _spaces(self) -> tuple[spaces.Dict, Unicode]:
        observation: dict[str, spaces.Space[Any]] = {"prompt": Unicode(self.task.max_prompt_length)}
        if self.task.image_shape is not None:
            observation["image"] = spaces.Box(0, 255, self.task.image_shape, np.uint8)
        return spaces.Dict(observation), Unicode(self.task.max_response_length)

    def _check_reset_options(self, options: Mapping[str, Any] | None, own: Sequence[str] = ()) -> Mapping[str, Any]:
        """Returns the options of a reset, none for None; the task must know all of them but the env's own."""
        if options is not None and not isinstance(options, Mapping):
            raise UserError(f"the options of a reset are a dict, got {options!r}.")
        known = self.task.reset_options.union(own)
        for option in options or {}:
            if option not in known:
                hint = did_you_mean(str(option), known)
                raise UserError(f"{type(self.task).__name__} has no reset option {option!r}.{hint}")
        return options or {}

    def _rendered(self, shown: Shown | None) -> np.ndarray | str | None:
        """Returns a turn in this env's render mode."""
        if shown is None:
            return None
        if self.render_mode == "rgb_array":
            return self.task.draw(*shown)
        text = None if self.render_mode is None else self.task.write(*shown)
        if self.render_mode == "human":
            print(text)
            return None
        return text

    # `gym.make` sets `env.spec`. A callable reward cannot be written as JSON: its spec says so in one line. How long an
    # episode may be is known here alone, since it is an option of the task: a limit in the registered spec would make
    # `gym.make` cut longer ones.
    @property
    def spec(self) -> EnvSpec | None:
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None and is_callable(spec.kwargs.get("reward")):
            spec = LiveSpec.of(spec)
        elif spec is not None:
            spec.kwargs = without_paths(spec.kwargs)
        if spec is not None and spec.max_episode_steps is None:
            spec.max_episode_steps = self.task.max_steps
        self._spec = spec

    # Copies and pickles share the task's data and re-resolve the reward; a model is never copied with an env.
    def __getstate__(self) -> dict[str, Any]:
        if is_callable(self._reward):
            raise UserError(not_serialisable(self._reward))
        return {k: v for k, v in self.__dict__.items() if k not in ("task", "_reward_function")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _reward_function=None)
        self.task = make_task(self._arguments["task"], self._task_options)

    def __deepcopy__(self, memo: dict[int, Any]) -> "_TaskEnvBase":
        shared = ("task", "_reward", "_reward_function", "_spec", "_arguments")
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        for key, value in self.__dict__.items():
            twin.__dict__[key] = value if key in shared else copy.deepcopy(value, memo)
        return twin


class TaskEnv(_TaskEnvBase, gym.Env[dict[str, Any], str]):
    """One episode at a time over a `Task`.

    Observation: `Dict(prompt: Unicode[, image: Box uint8])`. Action: `Unicode`. The reward of a step is the score
    of its turn under `reward`. The `info` of a step holds `gold` and `is_success`, the task's own verdict if the
    episode is over here: whoever cuts it from outside, as `TimeLimit` does, has them too.

    Args:
        task: the `Task` class, or "module:Class".
        reward: see `envs.reward_spec`.
        render_mode: None, "rgb_array", "ansi", or "human": prints what "ansi" gives, at every reset and step.
        task_options: options of the task, such as `data` and `split`.
    """

    def __init__(
        self,
        task: str | type[Task],
        reward: RewardSpec = "bundled",
        render_mode: str | None = None,
        **task_options: Any,
    ) -> None:
        super().__init__(task, reward, render_mode, **task_options)
        self.observation_space, self.action_space = self._spaces()
        self._state: Any = None
        self._ended = False
        self.shown: Shown | None = None  # what `render` draws; kept only where something is rendered

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Draws an episode. `options={"index": i}` takes record i of the split instead (text tasks)."""
        options = dict(self._check_reset_options(options))
        super().reset(seed=seed)
        self._state = None  # what the episode before was played in is free for this one
        self._state, self._ended = self.task.start(self.np_random, options), False
        if self.render_mode is not None:
            self._show(self.task.turn(self._state))
        return self.task.observe(self._state), self.task.info(self._state)

    def step(self, action: str) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Answers the prompt with `action`.

        Raises:
            UserError: the action is outside the action space.
            RewardError: the reward returned something other than one finite number; the episode stays where it was.
            ResetNeeded: there was no reset yet, or the episode is over.
        """
        self.need_reset("step")
        if self._ended:
            raise ResetNeeded("the episode is over; call reset before step.")
        _check_action(self.action_space, action)
        played = self.task.play(self._state, action)
        score = checked_scores(self.reward_function, [played.turn])[0]
        self._state, self._ended = played.state, played.terminated or played.truncated
        info = verdict_of(self.task, played.turn, self._ended)
        if self.render_mode is not None:  # else the turn would be kept longer than it is used
            self._show(played.turn, score, info.get("gold") if self._ended else None)
        return self.task.observe(self._state), score, played.terminated, played.truncated, info

    @property
    def state(self) -> Any:
        """The episode as its task keeps it; None before the first reset."""
        return self._state

    def _show(self, turn: Turn, score: float | None = None, gold: float | None = None) -> None:
        self.shown = (turn, score, gold)
        if self.render_mode == "human":
            self.render()

    def need_reset(self, what: str) -> None:
        """Raises ResetNeeded before the first reset."""
        if self._state is None:
            raise ResetNeeded(f"call reset before {what}.")

    def oracle(self) -> str:
        """Returns a right response to the prompt now shown."""
        self.need_reset("oracle")
        return self.task.oracle(self._state)

    def plausible_action(self, rng: np.random.Generator) -> str:
        """Draws a plausible response, good or bad."""
        self.need_reset("plausible_action")
        return self.task.plausible_action(self._state, rng)

    def close(self) -> None:
        self.task.close()

    def render(self) -> np.ndarray | str | None:
        """Draws the screen, (height, width, 3) uint8, or returns it as text; in "human" mode prints it."""
        return self._rendered(self.shown)


class TaskVectorEnv(_TaskEnvBase, VectorEnv[dict[str, Any], Sequence[str], np.ndarray]):
    """`num_envs` episodes side by side; each step scores all their turns in one call of the reward function.

    The `vector_entry_point` of every perlhf id: `gym.make_vec("perlhf/HH-v0", num_envs=64)`. Episode i is the one
    that a `TaskEnv` seeded with `seed + i` plays. Autoreset is SAME_STEP: a finished episode's `info` is in
    `infos["final_info"]`, its last observation in `infos["final_obs"]`.

    Groups of episodes that begin alike are played with `reset(options={"group_size": 8})`: see there.

    With `workers=2` two processes play the turns, for a task that takes long in Python: the same episodes, and scored
    here as without. Each makes the task from its name, so its class stands in a module that can be imported.

    `gym.make_vec(id, 64, "async")` plays single envs in worker processes instead, for tasks or rewards that are slow in
    Python. A learned reward then takes a copy of its model and one thread in each worker. Workers are forked where the
    system forks by default; a reward of one's own with threads other than torch's cannot be forked and needs
    `vector_kwargs={"context": "spawn"}`, and then the script an `if __name__ == "__main__":`.
    """

    metadata: dict[str, Any] = {**_TaskEnvBase.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self,
        task: str | type[Task],
        num_envs: int = 1,
        reward: RewardSpec = "bundled",
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        workers: int = 0,
        **task_options: Any,
    ) -> None:
        super().__init__(task, reward, render_mode, **task_options)
        if isinstance(num_envs, bool) or not isinstance(num_envs, (int, np.integer)) or num_envs < 1:
            raise UserError(f"num_envs must be at least 1, a whole number, got {num_envs!r}.")
        self.num_envs = int(num_envs)
        self.max_episode_steps = _checked_limit(max_episode_steps)
        self.single_observation_space, self.single_action_space = self._spaces()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._begun = False
        self._episodes = self._made_episodes(workers)
        self._over: np.ndarray | None = None  # which episodes are over and wait, after a reset to groups
        self.shown: list[Shown | None] = []  # what `render` draws of each episode; None where nothing is rendered

    def _made_episodes(self, workers: int) -> Episodes | Workers:
        if isinstance(workers, bool) or not isinstance(workers, (int, np.integer)) or workers < 0:
            raise UserError(f"workers must be at least 0, a whole number, got {workers!r}.")
        if workers == 0:
            return Episodes(self.task, self.num_envs)
        kind = type(self.task)
        if kind.__module__ == "__main__":
            raise UserError(
                f"task {kind.__name__} is defined in the script that runs, which worker processes do not run again; "
                "move it to a module of its own, such as my_task.py, and import it from there."
            )
        make = partial(make_task, f"{kind.__module__}:{kind.__qualname__}", self._task_options)
        return Workers(make, self.num_envs, min(int(workers), self.num_envs))

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Starts all episodes; an integer seed seeds episode i with `seed + i`.

        With `options={"group_size": G}` groups are played until the next reset: G envs after the other begin in the
        same state, drawn by the first of them, and each plays one whole episode. What is over waits: its action counts
        for nothing and may be None, its reward is 0, it is neither terminated nor truncated once more, and no reward
        function sees it. "starts" beside "group_size" may give the states, one a group, as JSON of `get_state`'s
        "states"; None draws one.

        Raises:
            UserError: an option that the task does not know; a number of seeds or of starts that is not that of the
                envs or groups; a number of envs that is no multiple of the group's.
        """
        known = dict(self._check_reset_options(options, _GROUPS))
        groups = {name: known.pop(name) for name in _GROUPS if name in known}
        self._episodes.seed(self._seeds(seed))
        starts = self._starts(known, **groups) if groups else None
        self._begun = False  # until all have: a task may refuse an option when some are gone
        if starts is None:
            infos, observations = self._episodes.start(known, once=bool(groups))
        else:
            infos, observations = self._episodes.begin(starts)
        self._over = np.zeros(self.num_envs, bool) if groups else None
        self._begun = True
        self._show_states()
        return observations, stacked_infos(dict(enumerate(infos)), self.num_envs)

    def _starts(
        self, options: Mapping[str, Any], group_size: Any = 1, starts: Sequence[Any] | None = None
    ) -> list[Any] | None:
        """Returns for each env the state in which it begins, as JSON; None where each begins on its own."""
        if isinstance(group_size, bool) or not isinstance(group_size, (int, np.integer)) or group_size < 1:
            raise UserError(f"group_size must be at least 1, a whole number, got {group_size!r}.")
        groups, rest = divmod(self.num_envs, int(group_size))
        if rest:
            raise UserError(f"{self.num_envs} envs are no groups of {group_size}; take a multiple of it.")
        if group_size == 1 and starts is None:  # so an env that cannot begin twice alike plays whole episodes too
            return None
        given = [None] * groups if starts is None else list(starts)
        if len(given) != groups:
            raise UserError(f"expected {groups} starts, one for each group of {group_size} envs, got {len(given)}.")
        first = [i % group_size == 0 and given[i // group_size] is None for i in range(self.num_envs)]
        drawn = self._episodes.draw(first, options)[::group_size]
        return [drawn[k] if given[k] is None else given[k] for k in range(groups) for _ in range(group_size)]

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        """Returns a seed for each episode; None where it goes on with the generator it has."""
        if seed is None or isinstance(seed, (int, np.integer)):
            return [None if seed is None else int(seed) + i for i in range(self.num_envs)]
        if not isinstance(seed, (Sequence, np.ndarray)) or isinstance(seed, str):
            raise UserError(f"a seed is a whole number, or a list of one for each env, got {seed!r}.")
        if len(seed) != self.num_envs:
            raise UserError(f"expected {self.num_envs} seeds, one for each env, got {len(seed)}.")
        return list(seed)

    def step(
        self, actions: Sequence[str | None]
    ) -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Answers all prompts; shapes (num_envs,) for rewards (float64), terminated and truncated (bool).

        Raises:
            UserError: an action is outside the action space; it says which.
            ResetNeeded: there was no reset yet.
        """
        self.need_reset("step")
        if len(actions) != self.num_envs:
            raise UserError(f"expected {self.num_envs} actions, one for each env, got {len(actions)}.")
        for i, action in enumerate(actions):
            if self._over is None or not self._over[i]:
                _check_action(self.single_action_space, action, i)
        turns = self._episodes.play(actions)
        scores = self._scores(turns)
        settled = self._episodes.settle(self.max_episode_steps)
        if self._over is not None:
            self._over[list(settled.over)] = True
        infos: dict[int, dict[str, Any]] = {}
        for i, over in settled.over.items():
            infos[i] = {"final_obs": over.observation, "final_info": over.verdict, **over.info}
        if self.render_mode is not None:  # else turns would be kept longer than they are used
            golds = [settled.over[i].verdict.get("gold") if i in settled.over else None for i in range(self.num_envs)]
            told = zip(turns, scores.tolist(), golds, self.shown, strict=True)
            self.shown = [before if turn is None else (turn, score, gold) for turn, score, gold, before in told]
        ended = np.array(settled.terminated), np.array(settled.truncated)
        return settled.observations, scores, *ended, stacked_infos(infos, self.num_envs)

    def _scores(self, turns: Sequence[Turn | None]) -> np.ndarray:
        """Returns the rewards of turns, (num_envs,) float64; 0 where an episode is over and there is no turn."""
        scores, played = np.zeros(self.num_envs), {i: turn for i, turn in enumerate(turns) if turn is not None}
        if played:
            scores[list(played)] = score_turns(self.reward_function, list(played.values()))
        return scores

    def need_reset(self, what: str) -> None:
        """Raises ResetNeeded before the first reset."""
        if not self._begun:
            raise ResetNeeded(f"call reset before {what}.")

    def _show_states(self) -> None:
        """Notes for `render` that the prompts were shown and not answered yet."""
        if self.render_mode is not None:
            self.shown = [(turn, None, None) for turn in self._episodes.turns()]
        else:
            self.shown = [None] * self.num_envs

    def oracle(self) -> tuple[str, ...]:
        """Returns a right response to each prompt now shown."""
        self.need_reset("oracle")
        return self._episodes.oracle()

    def plausible_action(self, rng: np.random.Generator) -> tuple[str, ...]:
        """Draws a plausible response to each prompt now shown."""
        self.need_reset("plausible_action")
        said, moved_on = self._episodes.plausible_action(rng)
        rng.bit_generator.state = moved_on.bit_generator.state
        return said

    def render(self) -> tuple[Any, ...] | None:
        """One picture or text for each env; in "human" mode they are printed."""
        if self.render_mode is None:
            return None
        return tuple(self._rendered(shown) for shown in self.shown)

    def get_state(self) -> dict[str, Any]:
        """Everything that decides the episodes to come, as JSON: generators, states, step counts."""
        return self._episodes.get_state()

    def set_state(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Restores what `get_state` gave, with any number of workers; returns the observations as they then were."""
        observations = self._episodes.set_state(state)
        self._over = np.array(state["over"], bool) if "over" in state else None
        self._begun = True
        self._show_states()
        return observations

    def close_extras(self, **kwargs: Any) -> None:
        """Ends the worker processes, where there are some."""
        self.task.close()
        if isinstance(self._episodes, Workers):
            self._episodes.close()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._share_task()

    def __deepcopy__(self, memo: dict[int, Any]) -> "TaskVectorEnv":
        twin = super().__deepcopy__(memo)
        assert isinstance(twin, TaskVectorEnv)
        twin._share_task()
        return twin

    def _share_task(self) -> None:
        assert isinstance(self._episodes, Episodes)  # workers are neither copied nor pickled
        self._episodes.task = self.task


def _checked_limit(steps: Any) -> int | None:
    """Returns a time limit; -1 is none, as for `gym.make`."""
    if steps is None or (type(steps) is int and steps == -1):
        return None
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise UserError(f"max_episode_steps must be at least 1, a whole number, or -1 for no limit, got {steps!r}.")
    return int(steps)


def make_task(task: str | type[Task], options: Mapping[str, Any]) -> Task:
    """Makes a task from its class or "module:Class".

    Raises:
        UserError: an option that the task does not have, with the nearest one it has.
    """
    made_of = task_class(task)
    refuse_unknown(made_of, options)
    return made_of(**options)


def refuse_unknown(made_of: type[Task], options: Mapping[str, Any], but: frozenset[str] = frozenset()) -> None:
    """Raises UserError for an option that the class does not have, or that is in `but`, with the nearest one left."""
    known = set(inspect.signature(made_of).parameters) - but
    for option in options:
        if option not in known:
            raise UserError(f"{made_of.__name__} has no option {option!r}.{did_you_mean(option, known)}")


def task_class(task: str | type[Task]) -> type[Task]:
    """Returns the class, from itself or from "module:Class".

    Raises:
        UserError: there is no such module, or no such class in it.
    """
    if not isinstance(task, str):
        return task
    found = load_callable(task, f"task {task!r}")
    if not isinstance(found, type) or not issubclass(found, Task):
        raise UserError(f"task {task!r} is no class of tasks; it must be a subclass of envs.task.Task.")
    return found


def _check_action(space: spaces.Space[Any], action: Any, index: int | None = None) -> None:
    assert isinstance(space, Unicode)
    if not space.contains(action):
        which = "action" if index is None else f"action {index}"
        problem = f"{len(action)} characters" if isinstance(action, str) else type(action).__name__
        if isinstance(action, str) and len(action) <= space.max_length:
            problem = "a lone surrogate"
        raise UserError(f"{which} must be a str of at most {space.max_length} valid characters, got {problem}.")
