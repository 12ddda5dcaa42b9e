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


def progress(turns: Sequence[Turn], longest: int = 6) -> list[float]:
    """For each turn of `UINav`, how many steps fewer the oracle needs after it than before, from -longest to longest.

    The sum over an episode is what was gained on its first screen, so that going in circles earns nothing (potential
    based shaping, Ng, Harada and Russell 1999). The word that ends an episode gains 1 where it is the right one.

    Args:
        turns: of `UINav`.
        longest: steps that are counted; also how far a goal is that can no longer be reached. A larger one makes
            mistakes dear, and a beginner then learns to do nothing.
    """
    return [_gain(turn, longest) for turn in turns]


def _gain(turn: Turn, longest: int) -> float:
    before, after = turn.reference["before"], turn.reference["after"]
    if after.ending is not None:
        return float(turn.reference["success"])
    return float(_steps_left(_Same(before), longest) - _steps_left(_Same(after), longest))


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
def _steps_left(same: _Same, longest: int) -> int:
    """Actions of the oracle up to the last word; kept, since what is after one step is before the next."""
    state, goal = same.episode.state, same.episode.goal
    device = _device(state.phone.installed)
    for count in range(1, longest):
        action = device.oracle(state, goal)
        if action.kind in ("done", "infeasible"):
            reached = device.success(state, goal, Ending(action.kind, action.text))
            return count if reached else longest
        state = device.perform(state, action).state
    return longest


@lru_cache
def _device(installed: tuple[str, ...]) -> PhoneDevice:
    return PhoneDevice(installed, ())
