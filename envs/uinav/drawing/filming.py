"""What is shown and said in an episode, kept for a film of it."""

from pathlib import Path

import numpy as np

from envs.uinav.drawing.film import film_kind
from envs.uinav.drawing.picture import draw_screen
from envs.uinav.task import Episode, UINav
from perlhf.errors import UserError


class Film:
    """The screens of an episode as they were when each action was said, with where the finger was."""

    def __init__(self, task: UINav) -> None:
        self.task = task
        self.frames: list[np.ndarray] = []
        self.captions: list[str] = []

    def add(self, state: Episode, action: str) -> None:
        """Adds the screen that is shown and the action that is said to it."""
        played = self.task.play(state, action)
        screen = self.task.device.screen(state.state)
        self.frames.append(draw_screen(screen, tap=self.task.tapped(played.turn)))
        self.captions.append(action)


def check_path(path: str) -> None:
    """Refuses a path that a film could not be written to; UserError."""
    film_kind(path)
    if not Path(path).parent.is_dir():
        raise UserError(f"--film {path}: there is no folder {Path(path).parent}; make it first.")
