"""A recorded trajectory: screens, and what was done on each. It is played by `envs.uinav.recordings.device`.

AndroidControl's rule says which element was meant (google-research/google-research: android_control/README.md, and
arXiv 2406.03679): a recording has points, and the element that is meant by a point is the smallest one around it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from envs.uinav.interface.screen import ANDROID_CLASSES, Element, reacts

ENDINGS, POINTING = ("done", "infeasible"), ("click", "long_press", "type")


class Move(NamedTuple):
    """Holds what was done at a screen.

    Attributes:
        kind: of `envs.uinav.interface.actions.KINDS`.
        point: (x, y) in the recording's pixels, of a click, long_press or type; None where none was recorded.
        text: what was typed, opened or said, or the direction of a scroll; "" for none.
        accepted: of an answer, the others that are as good.
    """

    kind: str
    point: tuple[int, int] | None = None
    text: str = ""
    accepted: tuple[str, ...] = ()


class Shot(NamedTuple):
    """One recorded screen.

    Attributes:
        elements: in reading order, without children; boxes in the recording's own pixels.
        width, height: of the recording, in pixels.
        screenshot: a picture's file name, relative to the trajectory's file; "" for none.
        app, title, notice, above, below: as in `envs.uinav.interface.screen.Screen`, where they are known.
    """

    elements: tuple[Element, ...]
    width: int
    height: int
    screenshot: str = ""
    app: str = ""
    title: str = ""
    notice: str = ""
    above: bool = False
    below: bool = False


class Step(NamedTuple):
    """A screen, what was done at it, and the words for it; "" for none."""

    shot: Shot
    move: Move
    instruction: str = ""


class Trajectory(NamedTuple):
    """One recorded episode.

    Attributes:
        goal: in words.
        steps: what was done.
        episode_id: AndroidControl's are numbers.
        source: where it is from, such as "miniwob/login-user"; the template of its goal.
        group: what must stay on one side of a split, such as the worker who was recorded.
        last: the screen after the last step; None where it was not recorded.
        success: whether the goal was reached; only such trajectories are played.
    """

    goal: str
    steps: tuple[Step, ...]
    episode_id: int | str
    source: str = ""
    group: str = ""
    last: Shot | None = None
    success: bool = True


# The kinds of elements by Android's classes; those that several kinds have stand for the plainest of them.
_KINDS = {
    **{name.rpartition(".")[2]: kind for kind, name in ANDROID_CLASSES.items() if kind != "app"},
    "AutoCompleteTextView": "field",
    "MultiAutoCompleteTextView": "field",
    "ToggleButton": "toggle",
    "CheckedTextView": "check",
    "CompoundButton": "check",
    "ListView": "list",
    "GridView": "list",
    "RecyclerView": "list",
    "HorizontalScrollView": "list",
    "View": "item",
    "FrameLayout": "item",
    "LinearLayout": "item",
    "RelativeLayout": "item",
}


def kind_of(name: str) -> str:
    """Returns the kind of an element of an Android class, such as "android.widget.EditText"; else "item"."""
    return _KINDS.get(name.rpartition(".")[2], "item")


def area(element: Element) -> int:
    """Returns the area of its box, in pixels."""
    left, top, right, bottom = element.box
    return max(0, right - left) * max(0, bottom - top)


def meant(elements: Sequence[Element], point: tuple[int, int] | None) -> int | None:
    """Returns the index of the smallest element around a point that reacts, else that says something; or None."""
    if point is None:
        return None
    around = [i for i, element in enumerate(elements) if element.box.holds(*point)]
    for wanted in (reacts, lambda element: element.label):
        fitting = [i for i in around if wanted(elements[i])]
        if fitting:
            return min(fitting, key=lambda i: area(elements[i]))
    return None


def point_on(elements: Sequence[Element], index: int) -> tuple[int, int] | None:
    """Returns a point that means this element, its middle if that does; None where smaller ones cover all of it."""
    left, top, right, bottom = elements[index].box
    across, down = max(1, (right - left) // 20), max(1, (bottom - top) // 20)
    points = ((x, y) for y in range(top, bottom, down) for x in range(left, right, across))
    return next((p for p in (elements[index].box.middle, *points) if meant(elements, p) == index), None)


def complaint(trajectory: Trajectory) -> str:
    """Returns why a trajectory cannot be played by the numbers of elements; "" where it can."""
    if not trajectory.goal.strip():
        return "the goal has no words"
    for number, (shot, move, _) in enumerate(trajectory.steps, 1):
        if move.kind in POINTING and meant(shot.elements, move.point) is None:
            return f"{move.kind} at step {number} hits no element"
    return ""


def merged(steps: Sequence[Step]) -> tuple[Step, ...]:
    """AndroidControl's pairs of a click on a field and an input_text, each as one type: UINav's macro.

    A pair is two steps next to each other: a click whose point means an element that can be edited, and a type without
    a point. The type gets the click's screen and point, and the words of both where they differ; the screen between
    the two is gone. A type without a point that follows something else, as when a click has opened the page with the
    field, gets the middle of the field that has the focus, else of the first field; with no field it has no point.
    """
    joined: list[Step] = []
    for step in steps:
        if step.move.kind != "type" or step.move.point is not None:
            joined.append(step)
        elif joined and _into_field(joined[-1]):
            joined[-1] = _pair(joined[-1], step)
        else:
            joined.append(step._replace(move=step.move._replace(point=_field(step.shot))))
    return tuple(joined)


def _into_field(step: Step) -> bool:
    target = meant(step.shot.elements, step.move.point) if step.move.kind == "click" else None
    return target is not None and step.shot.elements[target].editable


def _pair(click: Step, typed: Step) -> Step:
    words = dict.fromkeys(text for text in (click.instruction, typed.instruction) if text)
    return Step(click.shot, typed.move._replace(point=click.move.point), "; ".join(words))


def _field(shot: Shot) -> tuple[int, int] | None:
    fields = [element for element in shot.elements if element.editable]
    fields.sort(key=lambda element: not element.focused)
    return fields[0].box.middle if fields else None
