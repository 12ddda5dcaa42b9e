"""A task for tests whose responses are orders: to fail, to raise, to end the process it is played in."""

import os
import signal
import threading
import time

from toy_tasks import TwoTurns

from envs import register_task
from envs.task import Played
from envs.turn import Turn

ORDERS = ("on", "over", "cut", "fail")  # that do no harm


class Orders(TwoTurns):
    """Plays what it is told to; an episode that is told nothing else goes on for ever."""

    def play(self, state: list, response: str) -> Played:
        if response == "raise":
            raise KeyError("no page of this name")
        if response == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if response == "nap":
            time.sleep(1)
        if response == "hang":
            time.sleep(600)
        reference = {"said": state[1:], "failed": response == "fail"}
        if response == "lock":
            reference["lock"] = threading.Lock()
        turn = self.turn(state, response)
        turn = Turn(turn.prompt, response, reference)
        return Played(turn, [*state, response], response == "over", response in ("cut", "fail"))


def local_class() -> type[Orders]:
    """A class that no other process can find by its name."""

    class Local(Orders):
        pass

    return Local


def length(turns: list[Turn]) -> list[float]:
    """1/7 for each character of the response."""
    return [len(turn.response) / 7 for turn in turns]


def brightness(turns: list[Turn]) -> list[float]:
    """The mean of the picture's pixels; 0 where there is none."""
    return [0.0 if turn.image is None else float(turn.image.mean()) for turn in turns]


register_task("test/Orders-v0", "toy_troubles:Orders")
