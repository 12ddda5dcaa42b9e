"""Makes pictures of episodes: the screens of a phone side by side, or one after another."""

from collections.abc import Sequence
from math import ceil, inf
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from envs.task import Task
from envs.uinav.drawing import lettering
from envs.uinav.drawing.appearance import write
from envs.uinav.drawing.paint import blank, paste, slab, stamp
from envs.uinav.drawing.palette import Colour
from perlhf.errors import UserError

PER_ROW = 6  # phones side by side in a filmstrip
_PAPER, _INK, _FAINT = (247, 246, 242), (34, 36, 40), (120, 124, 132)
_BEZEL, _RAIL, _ACCENT = (30, 31, 35), (222, 221, 216), (47, 93, 168)
_EDGE, _GAP, _CAPTION = 7, 22, 46  # pixels: of the bezel, around a phone, and of what is written below it
_SIZE, _PITCH, _LAST = 15, 19, 2.5  # of captions; and how much longer the last frame of an animation stays
_COLOURS = 160  # of a frame of an animation
_GOAL, _HEADLINES = 18, 3  # pixels of the letters of the goal, and the most lines of it
_GOOD, _BAD = (40, 118, 70), (180, 56, 44)
REACHED, MISSED = "goal reached", "goal not reached"  # what is written below the last screen


class Film:
    """Collects the screens of an episode as they were when each action was said, with where the finger was.

    Args:
        goal: what is written above them; "" for nothing.
    """

    def __init__(self, task: Task, goal: str = "") -> None:
        self.task, self.goal = task, goal
        self.frames: list[np.ndarray] = []
        self.captions: list[str] = []

    def add(self, state: Any, action: str) -> None:
        """Adds the screen that is shown and the action that is said to it, with its number."""
        self.frames.append(self.task.frame(state, action))
        self.captions.append(f"{len(self.frames)}. {action}")

    def end(self, state: Any, reached: bool) -> None:
        """Adds the last screen, with whether the goal was reached."""
        self.frames.append(self.task.frame(state, ""))
        self.captions.append(REACHED if reached else MISSED)

    def save(self, path: str | Path) -> None:
        """Writes it; see `save_film`."""
        save_film(path, self.frames, self.captions, goal=self.goal)


def check_film_path(path: str) -> None:
    """Refuses a path that a film could not be written to; UserError."""
    film_kind(path)
    if not Path(path).parent.is_dir():
        raise UserError(f"--film {path}: there is no folder {Path(path).parent}; make it first.")


def filmstrip(frames: Sequence[np.ndarray], captions: Sequence[str], goal: str = "") -> Image.Image:
    """Returns the frames in rows of at most `PER_ROW`, each in a phone with its caption below, under the goal.

    Args:
        frames: (H, W, 3) uint8, all of one size.
        captions: as many.
        goal: "" for none.

    Raises:
        UserError: there is no frame, or not one caption for each.
    """
    _check(frames, captions)
    phones = [_phone(frame, caption) for frame, caption in zip(frames, captions, strict=True)]
    height, width = phones[0].shape[:2]
    rows = ceil(len(phones) / PER_ROW)
    columns = ceil(len(phones) / rows)  # rows of about the same length
    wide = columns * (width + _GAP) + _GAP
    head = _headline(goal, wide)
    canvas = blank(wide, rows * (height + _GAP) + _GAP, _PAPER)
    for i, phone in enumerate(phones):
        paste(canvas, phone, _GAP + i % columns * (width + _GAP), _GAP + i // columns * (height + _GAP))
    return Image.fromarray(np.concatenate([head, canvas]))


def save_film(
    path: str | Path, frames: Sequence[np.ndarray], captions: Sequence[str], seconds: float = 1.0, goal: str = ""
) -> None:
    """Writes a filmstrip (.png), or an animation (.gif) in which a frame stays for `seconds` and the last one longer.

    Raises:
        UserError: the path ends otherwise, `seconds` is not above 0, or see `filmstrip`.
    """
    if film_kind(path) == ".png":
        filmstrip(frames, captions, goal).save(path, optimize=True)
    else:
        _save_animation(path, frames, captions, seconds, goal)


def film_kind(path: str | Path) -> str:
    """ ".png" or ".gif", as the path ends.

    Raises:
        UserError: it ends otherwise.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".png", ".gif"):
        raise UserError(f"cannot write a film to {str(path)!r}; its name must end in .png or .gif.")
    return suffix


def _save_animation(
    path: str | Path, frames: Sequence[np.ndarray], captions: Sequence[str], seconds: float, goal: str
) -> None:
    _check(frames, captions)
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < inf:
        raise UserError(f"seconds must be a number above 0, got {seconds!r}.")
    scenes = [_scene(i, len(frames), *both, goal) for i, both in enumerate(zip(frames, captions, strict=True))]
    durations = [round(1000 * seconds)] * len(scenes)
    durations[-1] = round(1000 * seconds * _LAST)
    scenes[0].save(path, save_all=True, append_images=scenes[1:], duration=durations, loop=0, optimize=True)


def _check(frames: Sequence[np.ndarray], captions: Sequence[str]) -> None:
    if not frames:
        raise UserError("a film needs at least one frame, got none.")
    if len(frames) != len(captions):
        raise UserError(f"a film needs one caption for each frame, got {len(captions)} for {len(frames)}.")


def _headline(goal: str, width: int) -> np.ndarray:
    """Returns the goal in as many lines as it needs, (h, width, 3); without a goal no rows."""
    lines = lettering.wrapped(lettering.clean(goal), _GOAL, width - 2 * _GAP, _HEADLINES) if goal else []
    canvas = blank(width, len(lines) * (_GOAL + 6) + (_GAP if lines else 0), _PAPER)
    for i, line in enumerate(lines):
        write(canvas, line, _GAP, _GAP + 8 + i * (_GOAL + 6), width - 2 * _GAP, _INK, _GOAL, bold=True)
    return canvas


def _scene(index: int, count: int, frame: np.ndarray, caption: str, goal: str) -> Image.Image:
    """Returns a frame of the animation. Its number is on it, so that no two are the same and none is left out."""
    phone = _phone(frame, caption)
    height, width = phone.shape[:2]
    canvas = blank(width + 2 * _GAP, height + 2 * _GAP, _PAPER)
    paste(canvas, phone, _GAP, _GAP)
    top, wide = height + _GAP + 6, width - 60
    stamp(canvas, slab(wide, 4, 2), _GAP, top, _RAIL)
    stamp(canvas, slab(max(4, wide * (index + 1) // count), 4, 2), _GAP, top, _ACCENT)
    write(canvas, f"{index + 1}/{count}", _GAP + wide, top + 2, 60, _FAINT, 12, align=1.0)
    canvas = np.concatenate([_headline(goal, canvas.shape[1]), canvas])
    return Image.fromarray(canvas).quantize(_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def _phone(frame: np.ndarray, caption: str) -> np.ndarray:
    """Returns a frame in its bezel, with the caption below in at most two lines."""
    height, width = frame.shape[:2]
    whole = width + 2 * _EDGE
    canvas = blank(whole, height + 2 * _EDGE + _CAPTION, _PAPER)
    stamp(canvas, slab(whole, height + 2 * _EDGE, 20), 0, 0, _BEZEL)
    _inlay(canvas, np.asarray(frame, np.uint8), _BEZEL)
    lines = lettering.wrapped(lettering.clean(caption), _SIZE, whole, 2)
    ink = {REACHED: _GOOD, MISSED: _BAD}.get(caption, _INK)
    for i, line in enumerate(lines):
        write(canvas, line, 0, height + 2 * _EDGE + 16 + i * _PITCH, whole, ink, _SIZE, bold=ink != _INK, align=0.5)
    return canvas


def _inlay(canvas: np.ndarray, frame: np.ndarray, edge: Colour) -> None:
    """Draws the frame inside of the bezel, with round corners."""
    paste(canvas, frame, _EDGE, _EDGE)
    height, width = frame.shape[:2]
    corners = 128 - slab(width, height, 13)
    stamp(canvas, corners, _EDGE, _EDGE, edge)
