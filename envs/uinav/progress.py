"""A reward for every step: how much nearer it came to the goal, by the oracle's count.

Success alone is paid at the end, which somebody who tries at random never reaches. To learn from nothing, add some of
this: `reward=[{"reward": "gold", "weight": 1}, {"reward": "envs.uinav.progress:progress", "weight": 0.1}]`.
"""

from collections.abc import Sequence
from functools import lru_cache

from envs.turn import Turn
from envs.uinav.device import Ending
from envs.uinav.phone_device import PhoneDevice
from envs.uinav.task import Episode

LONGEST = 10  # what a goal is away that takes as many steps, or is out of reach


def progress(turns: Sequence[Turn]) -> list[float]:
    """For each turn of `UINav`, by how many the oracle needs fewer steps after it than before; more count below 0.

    While the goal is within reach this adds up to what was gained on the first screen, so that going in circles earns
    nothing (potential based shaping, Ng, Harada and Russell 1999). A mistake that puts the goal out of reach is paid 0,
    and so is all that follows: where mistakes cost something, a beginner learns to do nothing. The word that ends an
    episode gains 1 where it is the right one, else 0.
    """
    return [_gain(turn) for turn in turns]


def _gain(turn: Turn) -> float:
    before, after = turn.reference["before"], turn.reference["after"]
    if after.ending is not None:
        return float(turn.reference["success"])
    left, still = _steps_left(_Same(before)), _steps_left(_Same(after))
    return 0.0 if LONGEST in (left, still) else float(left - still)


class _Same:
    """An episode as a key, the same while its phone is the same object, as it is after an action without effect."""

    __slots__ = ("episode",)

    def __init__(self, episode: Episode) -> None:
        self.episode = episode

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.episode.state.phone is other.episode.state.phone

    def __hash__(self) -> int:
        return id(self.episode.state.phone)


@lru_cache(maxsize=512)
def _steps_left(same: _Same) -> int:
    """Actions of the oracle up to the last word; kept, since what is after one step is before the next."""
    state, goal = same.episode.state, same.episode.goal
    device = _device(state.phone.installed)
    for count in range(1, LONGEST):
        action = device.oracle(state, goal)
        if action.kind in ("done", "infeasible"):
            reached = device.success(state, goal, Ending(action.kind, action.text))
            return count if reached else LONGEST
        state = device.perform(state, action).state
    return LONGEST


@lru_cache
def _device(installed: tuple[str, ...]) -> PhoneDevice:
    return PhoneDevice(installed, ())
