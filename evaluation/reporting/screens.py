"""Screens of episodes on the phone, for pages: each picture once, with where the finger was and what was said."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.uinav.task import UINav
from perlhf.chat_endpoint import data_url

_FORM: dict[str, Any] = {"format": "WEBP", "quality": 70, "method": 2}  # a screen takes about 7 kB and 8 ms


class Frames:
    """Holds pictures as data URLs, each of them once."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self._known: dict[bytes, int] = {}

    def add(self, picture: np.ndarray) -> int:
        """Returns the number of a picture."""
        number = self._known.setdefault(picture.tobytes(), len(self.urls))
        if number == len(self.urls):
            self.urls.append(data_url(picture, **_FORM))
        return number


def screens_of(task: UINav, state: Any, said: Sequence[str], frames: Frames) -> list[dict[str, Any]]:
    """Returns the screens of an episode by playing it again.

    Args:
        task: of the episode.
        state: in which it begins.
        said: the response to each screen, in order.
        frames: takes the pictures.

    Returns:
        A screen for each response, and the last one: `frame`, the number of its picture; `said`, the response; `tap`,
        where that touched it, in hundredths of its width and height, or None; `problem`, why nothing came of it.
    """
    screens: list[dict[str, Any]] = []
    for response in said:
        picture = task.draw(task.turn(state), None, None)
        played = task.play(state, response)
        tap, (height, width) = task.tapped(played.turn), picture.shape[:2]
        at = None if tap is None else [round(100 * tap[0] / width, 1), round(100 * tap[1] / height, 1)]
        problem = played.turn.reference.get("problem") or ""
        screens.append({"frame": frames.add(picture), "said": response, "tap": at, "problem": problem})
        state = played.state
    last = frames.add(task.draw(task.turn(state), None, None))
    return [*screens, {"frame": last, "said": "", "tap": None, "problem": ""}]
