"""A recording as a device: it shows what was recorded as long as the policy does what was done then.

What a recording cannot answer: anything else. Whether another way would have led to the goal too, what a wrong click
opens, how to come back from it: an action that is not the recorded one ends the episode, with the share of the steps
before it as credit. So a good policy that goes another way looks bad here, and no policy learns here to mend a mistake.
What does nothing on any device, a response that is no action or a number that no element has, costs a step.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from envs.corpora.images import read_image
from envs.corpora.records import Content
from envs.corpora.splits import Source, hashed_split, read_split
from envs.uinav.interface.actions import Action
from envs.uinav.interface.answers import plain, same_answer
from envs.uinav.interface.device import Ending, Goal, Performed
from envs.uinav.interface.screen import HEIGHT, WIDTH, Screen
from envs.uinav.recordings.files import read_trajectories
from envs.uinav.recordings.screen import label_of, screen_of, shown
from envs.uinav.recordings.trajectory import ENDINGS, POINTING, Move, Shot, Step, Trajectory, meant
from perlhf.errors import DataError, UserError

logger = logging.getLogger(__name__)


class Position(NamedTuple):
    """Says where an episode stands: which trajectory, how many of its steps were done, and whether it was left."""

    number: int
    step: int = 0
    off_path: bool = False


class RecordedDevice:
    """Recordings, see `envs.uinav.interface.device.Device`.

    Args:
        trajectories: to be drawn from; each must be playable, see `playable`.
        max_elements: the most elements of a screen that are shown, see `envs.uinav.recordings.screen.shown`.
        root: the folder that screenshots may not lie out of.
    """

    def __init__(self, trajectories: Sequence[Trajectory], max_elements: int = 40, root: Path | None = None) -> None:
        self.trajectories, self.max_elements, self.root = trajectories, max_elements, root
        moves = [step.move for trajectory in trajectories for step in trajectory.steps]
        self.titles: Sequence[str] = tuple(dict.fromkeys(move.text for move in moves if move.kind == "open_app"))
        self._numbers: dict[tuple[int, int], tuple[int, ...]] = {}

    def reset(self, rng: Random, options: Mapping[str, Any]) -> tuple[Position, Goal]:
        """Options: "index", of the trajectory; else one is drawn."""
        index = options["index"] if "index" in options else int(rng.random() * len(self.trajectories))
        trajectory = self.trajectories[index]
        feasible = trajectory.steps[-1].move.kind != "infeasible"
        return Position(index), Goal(trajectory.source or "recording", trajectory.goal, {}, feasible)

    def _steps(self, state: Position) -> tuple[Step, ...]:
        return self.trajectories[state.number].steps

    def _shot(self, state: Position) -> Shot:
        trajectory = self.trajectories[state.number]
        if state.step < len(trajectory.steps):
            return trajectory.steps[state.step].shot
        return trajectory.last or trajectory.steps[-1].shot

    def _shown(self, state: Position) -> tuple[int, ...]:
        place = (state.number, state.step)
        if place not in self._numbers:
            self._numbers[place] = shown(self._shot(state), self.trajectories[state.number].goal, self.max_elements)
        return self._numbers[place]

    def screen(self, state: Position) -> Screen:
        """Returns the recorded elements that are shown, on the canvas of 288 x 512 pixels."""
        return screen_of(self._shot(state), self._shown(state))

    def describe(self, state: Position) -> str:
        """Returns the screen as text."""
        return self.screen(state).describe()

    def surface(self, state: Position) -> Screen:
        """Returns the screen: points are resolved against the boxes that were recorded."""
        return self.screen(state)

    def picture(self, state: Position) -> np.ndarray | None:
        """Returns the screenshot on the canvas, each side scaled by itself so that boxes fit; None where there is none.

        Raises:
            DataError: its file cannot be read.
        """
        name = self._shot(state).screenshot
        if not name:
            return None
        image = Image.fromarray(read_image(name, self.root))
        return np.array(image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))

    def perform(self, state: Position, action: Action) -> Performed:
        """See `envs.uinav.interface.device.Device.perform`."""
        label, chosen = str(action), None
        shot, numbers = self._shot(state), self._shown(state)
        if action.kind in POINTING:
            if action.element == 0:
                return Performed(state, label, "elements are numbered from 1")
            if action.element > len(numbers):
                return Performed(state, label, f"no element {action.element}, the last is {len(numbers)}")
            chosen = numbers[action.element - 1]
            label = f"{action.kind} {label_of(shot.elements[chosen]).partition(',')[0]}"
        if state.step == len(self._steps(state)) or not matches(self._steps(state)[state.step], action, chosen):
            return Performed(state._replace(off_path=True), label, "this is not what was recorded")
        return Performed(state._replace(step=state.step + 1), label)

    def over(self, state: Position) -> bool:
        """At the end of the recording, and off its path."""
        return state.off_path or state.step == len(self._steps(state))

    def success(self, state: Position, goal: Goal, ending: Ending) -> bool:
        """Returns whether all that was recorded was done."""
        return self.credit(state, goal, ending) == 1

    def credit(self, state: Position, goal: Goal, ending: Ending | None) -> float:
        """Returns the share of the recorded steps that was done."""
        steps, done = self._steps(state), state.step
        if ending is not None and ending.kind in ENDINGS and done < len(steps):
            done += matches(steps[done], Action(ending.kind, 0, ending.answer), None)
        return done / len(steps)

    def oracle(self, state: Position, goal: Goal) -> Action:
        """Returns the recorded action; "done" where there is none."""
        if state.step == len(self._steps(state)):
            return Action("done")
        shot, move, _ = self._steps(state)[state.step]
        target = meant(shot.elements, move.point) if move.kind in POINTING else None
        text = move.text or ("it cannot be done" if move.kind == "infeasible" else "")
        return Action(move.kind, 0 if target is None else self._shown(state).index(target) + 1, text)

    def needed(self, state: Position, goal: Goal) -> Sequence[str]:
        """Nothing but what the next action says: a recording knows no more of its goal."""
        return ()

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuses what `reset` cannot take; UserError."""
        index, count = options.get("index", 0), len(self.trajectories)
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)) or not 0 <= index < count:
            raise UserError(f"option 'index' must be a whole number from 0 to {count - 1}, got {index!r}.")


def matches(step: Step, action: Action, chosen: int | None) -> bool:
    """Returns whether an action is the recorded one, by AndroidControl's rule with the typed text.

    The kind must be the same. Of a click, long_press or type the element must be the one that was meant, or its middle
    must lie inside that one's box. A typed text may differ in white space, an app's name also in case and a full stop,
    an answer in how it is written (`same_answer`); any of the accepted answers will do, and where none was recorded
    any. A scroll's direction must be the same, and "infeasible" needs a reason.

    Args:
        step: the recorded one.
        action: the policy's.
        chosen: the index of the element that it points at among those of the screen; None for none.
    """
    move, elements = step.move, step.shot.elements
    if action.kind != move.kind:
        return False
    if action.kind in POINTING:
        target = meant(elements, move.point)
        if target is None or chosen is None:
            return False
        if chosen != target and not elements[target].box.holds(*elements[chosen].box.middle):
            return False
    return _says(move, action.text)


def _says(move: Move, text: str) -> bool:
    if move.kind == "type":
        return text.split() == move.text.split()
    if move.kind == "infeasible":
        return bool(text.strip())
    if move.kind == "done":
        accepted = (move.text, *move.accepted)
        return not any(map(plain, accepted)) or any(same_answer(text, wanted) for wanted in accepted)
    return plain(text) == plain(move.text)


def playable(trajectory: Trajectory, max_elements: int) -> bool:
    """Returns whether a policy can do all that was recorded: the goal is reached, each element meant is shown."""
    return trajectory.success and all(
        step.move.kind not in POINTING
        or meant(step.shot.elements, step.move.point) in shown(step.shot, trajectory.goal, max_elements)
        for step in trajectory.steps
    )


def _read(path: Path) -> Content[Trajectory]:
    """Returns a file of trajectories whose screenshots have their whole path."""
    content = read_trajectories(path)
    return Content([_located(trajectory, path.parent) for trajectory in content.records], content.skipped)


def _located(trajectory: Trajectory, folder: Path) -> Trajectory:
    def found(shot: Shot) -> Shot:
        return shot._replace(screenshot=str(folder / shot.screenshot)) if shot.screenshot else shot

    steps = tuple(step._replace(shot=found(step.shot)) for step in trajectory.steps)
    return trajectory._replace(steps=steps, last=trajectory.last and found(trajectory.last))


def split_of(trajectory: Trajectory) -> str:
    """ "train", "validation" or "test", by a hash of the group."""
    return hashed_split(trajectory.group or str(trajectory.episode_id))


RECORDINGS = Source(
    _read, split_of, ("*.jsonl", "*.jsonl.gz"), "a .jsonl file of trajectories or a folder of them", named=True
)


def load_recordings(path: Path, split: str, max_elements: int, pictures: bool = False) -> RecordedDevice:
    """Returns the recordings of a split, without those that cannot be played; how many these are is logged.

    Args:
        path: a file, or a folder of files; where these are called train.jsonl and test.jsonl, that is their split.
        split: "train", "validation" or "test".
        max_elements: the most elements of a screen that are shown.
        pictures: whether every screenshot's file has to be there.

    Raises:
        DataError: a file that is not of the format, or no recording that can be played.
    """
    if max_elements < 1:
        raise UserError(f"max_elements must be at least 1, got {max_elements!r}.")
    found = read_split(RECORDINGS, path, split)
    kept = tuple(trajectory for trajectory in found if playable(trajectory, max_elements))
    if len(kept) < len(found):
        failed = sum(not trajectory.success for trajectory in found)
        cut = len(found) - len(kept) - failed
        lost = f"{failed} failed, of {cut} an element is not among the {max_elements} shown"
        logger.warning("%s: of %d recordings not played: %s", path, len(found), lost)
        if not kept:
            raise DataError(f"{path}: no recording in split {split!r} can be played: {lost}.")
    if pictures:
        _check_pictures(kept)
    return RecordedDevice(kept, max_elements, path if path.is_dir() else path.parent)


def _check_pictures(trajectories: Sequence[Trajectory]) -> None:
    """So that an episode does not break off in the middle."""
    for trajectory in trajectories:
        for shot in [step.shot for step in trajectory.steps] + ([trajectory.last] if trajectory.last else []):
            if shot.screenshot and not Path(shot.screenshot).is_file():
                raise DataError(f"{shot.screenshot}: no such file; a recording's screenshots lie beside its file.")
