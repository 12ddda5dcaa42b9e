"""`GymTask`: a Gymnasium env of text that somebody else wrote, as a task of perlhf.

Nothing can be asked of such an env but `reset` and `step`. So a state is what leads there: the seed of the reset and
the responses since. Where an episode goes straight on, its env stands there already; a state that others have gone on
from is reached again by a reset with its seed and the same responses. That is how groups of episodes begin alike, how a
run that is resumed goes on in the middle of an episode, and how two policies are compared in the same episodes; it
needs an env that does the same for the same seed and responses, and one that does not is found out by what it shows.
"""

import math
import numbers
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from envs.entry_points import quoted
from envs.gym_seats import CopyError, EnvSource, Seat
from envs.gym_spaces import TextSpaces
from envs.task import Played, Task
from envs.turn import Turn
from perlhf.errors import RewardError, UserError, did_you_mean, one_line

_SEEDS = {"train": (0, 2**30), "validation": (2**30, 3 * 2**29), "test": (3 * 2**29, 2**31)}  # first and end
_TRIED = 4  # seeds, to see whether an env repeats itself
PATIENCE = 20  # episodes in a row that the env breaks off, after which the run ends


class NotRepeatableError(UserError):
    """An env that shows something else for the same seed and the same responses."""


@dataclass(frozen=True, eq=False)
class Position:
    """Where an episode stands: what leads there, and what is seen there.

    Attributes:
        source: which of the task's envs it is of.
        seed: of its reset.
        said: the responses since.
        shown: the observation, "prompt" and "image" where there is one.
        total: the rewards so far.
        over: whether nothing can be said any more.
        seat: the env that stands, or stood, there; None where none does.
    """

    source: int
    seed: int
    said: tuple[str, ...]
    shown: Mapping[str, Any]
    total: float = 0.0
    over: bool = False
    seat: Seat | None = None

    # An env is neither copied nor pickled with its positions: they are reached again.
    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "seat": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> "Position":
        return self


class GymTask(Task):
    """Any Gymnasium env whose observation and action are text, wrappers included.

    ## Starting State
    `env.reset(seed=...)` with a seed drawn from those of the split. Of several envs one is drawn.

    ## Rewards
    The env's own (`own_reward`); reward functions see it as `turn.reference["reward"]`, and the env's info of the step
    as `turn.reference["info"]`. Gold is the return, or `gold` of the env's info where that has one.

    ## Episode End
    As the env says. An env that raises breaks its episode off, `failed`: the turn is not learned from.

    ## Information
    `seed` at reset. At the end `gold`, and what the env's info says in numbers and booleans; `is_success` is the info's
    `is_success` or `success`, or whether the return reaches the env's `success_at`, where it has any of these.
    """

    default_reward = "envs.gym_task:own_reward"
    has_seats = True

    def __init__(
        self, env: Any, data: str = "miniature", split: str = "train", arguments: Mapping[str, Any] | None = None
    ) -> None:
        """
        Args:
            env: an id, an `EnvSpec`, an env, a callable that makes one, or a list of these, from which each episode
                draws one. An env that is given is used itself, and copied for more episodes side by side.
            data: of no use here, and refused.
            split: "train", "validation" or "test": seeds that the others do not have.
            arguments: of the env, where an id is given.

        Raises:
            UserError: an env that cannot be made, or whose observation or action is no text.
        """
        if split not in _SEEDS:
            raise UserError(f"unknown split {split!r}.{did_you_mean(str(split), _SEEDS)}")
        given = list(env) if isinstance(env, (list, tuple)) else [env]
        if not given:
            raise UserError("expected at least one env, got an empty list.")
        kinds = list({id(each): each for each in given}.values())
        self._sources = [EnvSource.of(each, arguments or {}) for each in kinds]
        self._drawn_from = [next(k for k, kind in enumerate(kinds) if kind is each) for each in given]
        self.name = self._sources[0].name
        if data != "miniature":
            raise UserError(f"data {data!r}: env {self.name!r} was not written for perlhf and reads no data here.")
        self.split, self._seeds = split, _SEEDS[split]
        self._spaces = [TextSpaces(s.name, s.first.observation_space, s.first.action_space) for s in self._sources]
        self.max_prompt_length = max(each.max_prompt_length for each in self._spaces)
        self.image_shape = self._spaces[0].image_shape
        if any(each.image_shape != self.image_shape for each in self._spaces):
            raise UserError(f"the envs show images of different forms: {[each.image_shape for each in self._spaces]}.")
        self.shipped_backbone = "tiny" if self.image_shape is None else "tiny-vqav2"
        self.success_at = _threshold(self._of_env("success_at"), self.name)
        self.has_oracle = self._of_env("oracle") is not None
        self._failures = 0  # in a row
        self._told: set[str] = set()
        if unseen := self._spaces[0].unseen:
            self._tell(f"env {self.name!r}: of its observation a policy is not shown {', '.join(map(repr, unseen))}.")

    def _of_env(self, name: str) -> Any:
        """Returns an attribute of the env or of a wrapper; None where there is none."""
        env = self._sources[0].first
        return env.get_wrapper_attr(name) if env.has_wrapper_attr(name) else None

    def _tell(self, line: str) -> None:
        """Says a line once."""
        if line not in self._told:
            self._told.add(line)
            print(line, file=sys.stderr)

    @cached_property
    def repeats(self) -> bool:  # type: ignore[override]
        """Whether two resets with one seed show the same: of a few seeds, in two envs, in two orders."""
        seeds = range(self._seeds[0], self._seeds[0] + _TRIED)
        return all(self._shows_again(number, seeds) for number in range(len(self._sources)))

    def _shows_again(self, number: int, seeds: Sequence[int]) -> bool:
        """Returns whether a second env, reset to these seeds from the last to the first, shows what one does."""
        held = [self._begun(number, seeds[0])]  # so that the next ones are of another env
        try:
            again = [self._begun(number, seed).shown for seed in reversed(seeds)][::-1]
            held.clear()
        except CopyError:  # there is one env alone: it is the one that will be reset again
            held.clear()
            again = [self._begun(number, seed).shown for seed in reversed(seeds)][::-1]
        return all(_alike(self._begun(number, seed).shown, shown) for seed, shown in zip(seeds, again, strict=True))

    def start(self, rng: np.random.Generator, options: Mapping[str, Any]) -> Position:
        number = self._drawn_from[int(rng.integers(len(self._drawn_from)))]
        return self._begun(number, int(rng.integers(*self._seeds)))

    def first_states(self, n: int) -> list[Position]:
        """Returns where n episodes begin; each env goes back at once, since n may be many.

        Raises:
            UserError: the env begins otherwise with the same seed, so that there is nothing to compare in.
        """
        if not self.repeats:
            raise UserError(f"{self.not_repeatable} No two policies can be compared in the same episodes of it.")
        return [_without_seat(self.first_state(i)) for i in range(n)]

    @property
    def not_repeatable(self) -> str:
        """Says that the env does not repeat itself."""
        return f"env {self.name!r} shows something else after each reset, though with the same seed."

    def _begun(self, number: int, seed: int) -> Position:
        """Resets a free env."""
        source = self._sources[number]
        seat = source.take()
        try:
            answer = seat.env.reset(seed=seed)
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"env {source.name!r} raised {type(error).__name__} in reset(seed={seed}): {one_line(error)}"
            ) from error
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise UserError(f"env {source.name!r}: reset returned {quoted(answer)}, expected (observation, info).")
        shown = self._spaces[number].observed(answer[0], f"after reset(seed={seed})")
        return Position(number, seed, (), shown, seat=seat)

    def _seat_at(self, state: Position) -> Seat:
        """Returns an env that stands in this state; one that has gone on, or been lost, is replaced by another."""
        if state.seat is not None and state.seat.steps == len(state.said):
            return state.seat
        again = self._reached(state.source, state.seed, state.said, state.shown)
        assert again.seat is not None
        return again.seat

    def _reached(self, source: int, seed: int, said: Sequence[str], shown: Mapping[str, Any]) -> Position:
        """Plays to where these responses lead; NotRepeatableError where something else than `shown` is seen there."""
        state = self._begun(source, seed)
        for response in said:
            if not state.over:
                state = self.play(state, response).state
        if state.over or not _alike({**state.shown, **shown}, state.shown):
            raise NotRepeatableError(
                f"env {self._sources[source].name!r} does not repeat itself: after reset(seed={seed}) and {len(said)} "
                "steps it shows something else than before."
            )
        return state

    def play(self, state: Position, response: str) -> Played:
        if state.over:
            raise UserError(f"env {self._sources[state.source].name!r}: the episode is over; reset it.")
        seat, spaces = self._seat_at(state), self._spaces[state.source]
        if not spaces.takes(response):
            self._tell(spaces.describe_fitting())
        try:
            answer = seat.env.step(spaces.fitted(response))
        except UserError:
            raise
        except Exception as error:
            return self._broken_off(state, seat, response, error)
        self._failures = 0
        seat.steps += 1
        said = (*state.said, response)
        when = f"at step {len(said)} after reset(seed={state.seed})"
        if not isinstance(answer, tuple) or len(answer) != 5:
            expected = "(observation, reward, terminated, truncated, info)"
            raise UserError(f"env {spaces.name!r} {when} returned {quoted(answer)}, expected {expected}.")
        observation, reward, terminated, truncated, info = answer
        reward = _number(reward, "reward", f"env {spaces.name!r} {when}")
        if isinstance(info.get("gold"), numbers.Real):
            _number(info["gold"], "gold", f"env {spaces.name!r} {when}")
        over, total = bool(terminated or truncated), state.total + reward
        shown = spaces.observed(observation, when)
        reference = {"reward": reward, "return": total, "over": over, "info": dict(info)}
        after = Position(state.source, state.seed, said, shown, total, over, None if over else seat)
        return Played(self._turn(state, response, reference), after, bool(terminated), bool(truncated))

    def _broken_off(self, state: Position, seat: Seat, response: str, error: Exception) -> Played:
        """An episode that the env broke off by raising; what was said is no fault of the policy."""
        seat.steps = -1
        self._failures += 1
        what = (
            f"env {self._sources[state.source].name!r} raised {type(error).__name__} at step {len(state.said) + 1} "
            f"after reset(seed={state.seed}), response {quoted(response)}: {one_line(error)}"
        )
        if self._failures == PATIENCE:
            raise UserError(f"{what} (the {PATIENCE}th episode in a row that is lost like this)") from error
        if self._failures == 1:
            print(f"an episode is lost and not learned from (rollout/failed counts them): {what}", file=sys.stderr)
        reference = {"reward": 0.0, "return": state.total, "over": True, "failed": True, "info": {}}
        lost = Position(state.source, state.seed, (*state.said, response), state.shown, state.total, True)
        return Played(self._turn(state, response, reference), lost, terminated=False, truncated=True)

    def turn(self, state: Position, response: str = "") -> Turn:
        return self._turn(state, response, {})

    def _turn(self, state: Position, response: str, reference: Mapping[str, Any]) -> Turn:
        return Turn(state.shown["prompt"], response, reference, state.shown.get("image"))

    def observe(self, state: Position) -> dict[str, Any]:
        return dict(state.shown)

    def advance(self, state: Position, response: str) -> tuple[Position, bool]:
        played = self.play(state, response)
        return played.state, played.terminated or played.truncated

    def info(self, state: Position) -> dict[str, Any]:
        return {"seed": state.seed}

    def judge(self, turn: Turn) -> float | None:
        """Returns the return of an episode that is over; 0 before, so that turns add up to it."""
        return self.judge_cut(turn) if turn.reference.get("over") else 0.0

    def judge_cut(self, turn: Turn) -> float | None:
        gold = turn.reference.get("info", {}).get("gold")
        return float(gold) if isinstance(gold, numbers.Real) else turn.reference.get("return", 0.0)

    def has_gold(self, state: Position) -> bool:
        """True: gold is the return where the env has no other. Nothing is played to see that."""
        return True

    def final_info(self, turn: Turn) -> dict[str, Any]:
        info = turn.reference.get("info", {})
        said = {name: value for name, value in info.items() if isinstance(value, (numbers.Real, np.bool_))}
        found = {name: _plain(value) for name, value in said.items()}
        if "success" in found:
            found.setdefault("is_success", found["success"])
        return {name: value for name, value in found.items() if name not in ("gold", "failed", "seed")}

    def oracle(self, state: Position) -> str:
        """Returns what the env's own `oracle()` says.

        Raises:
            UserError: it has none.
        """
        env = self._seat_at(state).env
        if not self.has_oracle:
            raise UserError(f"env {self.name!r} has no oracle: no method that says what is right.")
        return str(env.get_wrapper_attr("oracle")())

    def plausible_action(self, state: Position, rng: np.random.Generator) -> str:
        """Returns what the env's own `plausible_action(rng)` draws, else a sample of its action space: noise."""
        env = self._seat_at(state).env
        if env.has_wrapper_attr("plausible_action"):
            return str(env.get_wrapper_attr("plausible_action")(rng))
        env.action_space.seed(int(rng.integers(2**31)))
        return str(env.action_space.sample())

    def close(self) -> None:
        for source in self._sources:
            source.close()

    def state_to_json(self, state: Position) -> Any:
        about = {"source": state.source, "seed": state.seed, "said": list(state.said), "prompt": state.shown["prompt"]}
        return {**about, "over": True} if state.over else about

    def state_from_json(self, value: Any) -> Position:
        """Plays to the state.

        Raises:
            NotRepeatableError: the env shows something else there.
        """
        shown: dict[str, Any] = {"prompt": value["prompt"]}
        if value.get("over"):  # nobody acts in it, and its picture is gone
            if self.image_shape is not None:
                shown["image"] = np.zeros(self.image_shape, np.uint8)
            return Position(value["source"], value["seed"], tuple(value["said"]), shown, over=True)
        return self._reached(value["source"], value["seed"], value["said"], shown)


def own_reward(turns: Sequence[Turn]) -> list[float]:
    """Returns the rewards that the env itself gave."""
    return [turn.reference["reward"] for turn in turns]


def _without_seat(state: Position) -> Position:
    return Position(state.source, state.seed, state.said, state.shown, state.total, state.over)


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Returns whether two observations are the same."""
    return one["prompt"] == other["prompt"] and np.array_equal(one.get("image", 0), other.get("image", 0))


def _threshold(value: Any, name: str) -> float:
    """Returns an env's `success_at` as a float, infinity where it has none; UserError where it is no number."""
    try:
        found = math.inf if value is None else math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if math.isnan(found):
        raise UserError(f"env {name!r} has success_at {quoted(value)}, expected a number, or None for none.")
    return found


def _number(value: Any, what: str, where: str) -> float:
    """Returns a reward or gold as a float; RewardError where it is not one finite number."""
    try:
        found = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise RewardError(f"{where} gave the {what} {quoted(value)}, expected one finite number.")
    return found


def _plain(value: Any) -> float | bool:
    """As a bool or a float, so that what envs side by side say fits into one array."""
    return bool(value) if isinstance(value, (bool, np.bool_)) else float(value)
