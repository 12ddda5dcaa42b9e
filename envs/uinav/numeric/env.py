"""`NumericUINav`: the UI tasks as numbers, for algorithms that know no text."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from envs.core import TaskEnv
from envs.entry_points import quoted
from envs.reward_spec import RewardSpec
from envs.uinav.feedback.progress import steps_left
from envs.uinav.feedback.random_policies import random_action
from envs.uinav.interface.episode import Episode
from envs.uinav.interface.screen import Screen
from envs.uinav.numeric.actions import SHAPE, NotInNumbersError, from_numbers, masks, to_numbers
from envs.uinav.numeric.features import features, observation_space, ranked, read_goal
from envs.uinav.phone.app import app_of
from envs.uinav.phone.apps.setup import listed
from envs.uinav.phone.device import PhoneDevice
from envs.uinav.task import UINav
from perlhf.errors import UserError

_TASK = "envs.uinav.task:UINav"
_TRIES = 4  # episodes by which a template is found to be one that numbers can say


class NumericUINav(gym.Env[dict[str, Any], np.ndarray]):
    """`UINav` with arrays for observations and three numbers for actions.

    ## Description
    The same phone, goals and episodes as `perlhf/UINav-v0`: the same seed and arguments give the same episode. It is
    for a classic RL algorithm with a small network, such as `PPO("MultiInputPolicy", env)` of Stable-Baselines3, which
    takes no text.

    ## Action Space
    `MultiDiscrete([13, 16, 4])`: the kind (`envs.uinav.numeric.actions.KINDS`), an element from 0, and a value of the
    goal from 0, in the order of the info's `values`. Elements are numbered by how well they match the goal, the best
    first, and in reading order among equals (`features.ranked`). `click` and `long_press` use the element;
    `type` types the value into the element; `open_app` opens the installed app of the element's number; `done` answers
    with what the element says, and the third number picks the part of it (see `actions.answer`), or with
    nothing where there is no such element. The other kinds use the first number alone. `action_masks()` is what
    MaskablePPO of sb3-contrib asks for.

    ## Observation Space
    `Dict` of float32 `Box(0, 1)`: `elements`, `mask`, `goal`, `screen`, `history`; see `numeric.features`.
    Elements beyond the 16th best are not shown.

    ## Starting State
    That of `UINav`, with its options of reset: `template`, `feasible`, `seed`.

    ## Reward
    By default 1 for the last step of an episode that reached its goal, else 0. `progress` adds its value for every step
    by which the goal is nearer than it ever was in the episode, by the oracle's count: somebody who tries at random
    never succeeds, and so nothing is learned from success alone. Circles and ways back earn nothing, mistakes cost
    nothing, and an episode earns at most `progress` times the steps that the oracle needs.

    ## Episode End
    It terminates with `done` or `infeasible`, and truncates after `max_steps` actions.

    ## Information
    At reset `template`, `goal`, `values`, `feasible`, `episode_seed`. At each step `template`, and
    `gold` (0 or 1) and `is_success` as if the episode ended there.

    ## Arguments
    `templates`: names joined by "+", or a list; default those of the split that these actions can do (not those where
    something must be typed or answered that is neither a value of the goal nor on the screen). `apps`, `split`,
    `max_steps`: of `UINav`. `progress`: see above. `reward`, `render_mode`: see `envs.core.TaskEnv`.

    ## Version History
    v0: first version.
    """

    metadata: dict[str, Any] = TaskEnv.metadata

    def __init__(
        self,
        templates: str | Sequence[str] = "",
        apps: str | Sequence[str] = "all",
        split: str = "train",
        max_steps: int = 20,
        reward: RewardSpec = "gold",
        render_mode: str | None = None,
        progress: float = 0.0,
    ) -> None:
        if isinstance(progress, bool) or not isinstance(progress, (int, float)) or not 0 <= progress < float("inf"):
            raise UserError(f"progress must be a number from 0, what a step nearer to the goal adds, got {progress!r}.")
        chosen = listed(templates) or expressible_templates(tuple(listed(apps)), str(split))
        self._inner = TaskEnv(_TASK, reward, render_mode, templates=chosen, apps=apps, split=split, max_steps=max_steps)
        self.render_mode = render_mode
        self.progress, self._nearest = progress, 0
        self._shown: Screen | None = None
        self._order: tuple[int, ...] = ()
        self.observation_space = observation_space()
        self.action_space = spaces.MultiDiscrete(list(SHAPE))

    # `gym.make` sets `env.spec`. The inner env knows how to keep one with a callable reward.
    @property
    def spec(self) -> EnvSpec | None:
        return self._inner.spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._inner.spec = spec

    @property
    def state(self) -> Episode | None:
        """The episode as its task keeps it; None before the first reset."""
        return cast("Episode | None", self._inner.state)

    @property
    def task(self) -> UINav:
        """The task, as in `perlhf/UINav-v0`."""
        return cast(UINav, self._inner.task)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Draws an episode: the one that `TaskEnv` draws for this seed."""
        super().reset(seed=seed)
        self._inner.np_random = self.np_random
        _, info = self._inner.reset(options=options)
        self._nearest = steps_left(self.task.device, self._episode("step")) if self.progress else 0
        return self._observation(), {**info, "values": self._values}

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Does the action.

        Raises:
            UserError: it is outside the action space.
            ResetNeeded: there was no reset yet, or the episode is over.
        """
        _, reward, terminated, truncated, info = self._inner.step(self.response(action))
        reward += self.progress * self._nearer() if self.progress else 0.0
        return self._observation(), reward, terminated, truncated, info

    def _nearer(self) -> int:
        """By how many steps the goal is nearer than ever before."""
        episode = self._episode("step")
        if episode.ending is not None or episode.problem:
            return 0
        before, left = self._nearest, steps_left(self.task.device, episode)
        self._nearest = min(before, left)
        return before - self._nearest

    def response(self, action: np.ndarray) -> str:
        """Returns the action as `perlhf/UINav-v0` takes it: text, such as "click(3)"."""
        said = from_numbers(_checked(action), self._screen, self._values, self._titles)
        if 0 < said.element <= len(self._order):
            said = said._replace(element=self._order[said.element - 1] + 1)
        return str(said)

    def action_masks(self) -> np.ndarray:
        """Returns which numbers may have an effect, (33,) bool; see `envs.uinav.numeric.actions.masks`."""
        return masks(self._screen, self._values)

    def oracle(self) -> np.ndarray:
        """Returns a right action, (3,) int64.

        Raises:
            NotInNumbersError: it cannot be said in three numbers; this never happens with the default templates.
        """
        episode = self._episode("oracle")
        action = self.task.device.oracle(episode.state, episode.goal)
        if action.element:
            action = action._replace(element=self._order.index(action.element - 1) + 1)
        return to_numbers(action, self._screen, self._values, self._titles)

    def plausible_action(self, rng: np.random.Generator) -> np.ndarray:
        """In half of the cases what the oracle would do, else something legal; (3,) int64."""
        episode = self._episode("plausible_action")
        try:
            if rng.random() < 0.5:
                return self.oracle()
            action = random_action(self._screen, episode.goal, self.task.device.titles, rng)
            return to_numbers(action, self._screen, self._values, self._titles)
        except NotInNumbersError:
            return rng.integers(SHAPE)

    def render(self) -> Any:
        """As `UINav` does: a picture (512, 288, 3) uint8, or text."""
        return self._inner.render()

    def _episode(self, what: str) -> Episode:
        self._inner.need_reset(what)
        return cast(Episode, self._inner.state)

    @property
    def _screen(self) -> Screen:
        """What the last observation was made of: the screen with its elements in the order of the numbers."""
        self._episode("step")
        assert self._shown is not None
        return self._shown

    @property
    def _values(self) -> tuple[str, ...]:
        return tuple(self._episode("step").goal.values.values())

    @property
    def _titles(self) -> tuple[str, ...]:
        return app_titles(self._episode("step").state.phone.installed)

    def _observation(self) -> dict[str, np.ndarray]:
        episode, task = self._episode("step"), self.task
        screen = task.device.screen(episode.state)
        self._order = ranked(screen, read_goal(episode.goal.text, tuple(episode.goal.values.items())))
        self._shown = screen._replace(elements=tuple(screen.elements[position] for position in self._order))
        return features(episode, self._shown, task.max_steps)


def _checked(action: np.ndarray) -> list[int]:
    """Returns the three numbers; ten times as fast as `MultiDiscrete.contains`."""
    numbers = np.asarray(action)
    if numbers.shape == (len(SHAPE),) and numbers.dtype.kind in "iu":
        listed: list[int] = numbers.tolist()
        if all(0 <= number < size for number, size in zip(listed, SHAPE, strict=True)):
            return listed
    raise UserError(f"action must be three integers from 0 to below {SHAPE}, got {quoted(action)}.")


@lru_cache
def app_titles(installed: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the titles of the apps, in the order in which `open_app` counts them."""
    return tuple(app_of(name).title for name in installed)


@lru_cache
def expressible_templates(apps: tuple[str, ...], split: str) -> tuple[str, ...]:
    """Returns the templates of a split whose oracle never does anything that has no numbers, in the episodes tried."""
    device = cast(PhoneDevice, UINav(split=split, apps=apps).device)
    return tuple(name for name in device.templates if _is_expressible(name, apps))


def _is_expressible(name: str, apps: tuple[str, ...]) -> bool:
    env = NumericUINav(templates=name, apps=apps)
    try:
        for seed in range(_TRIES):
            env.reset(seed=seed, options={"feasible": True})
            while not env.step(env.oracle())[2]:
                pass
    except NotInNumbersError:
        return False
    return True
