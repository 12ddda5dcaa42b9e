"""Defines what is scored: a step of AndroidControl, a target of a ScreenSpot-style set, and actions."""

from typing import NamedTuple

Point = tuple[float, float]  # x and y, pixels of the screen
Rect = tuple[float, float, float, float]  # left, top, right, bottom, pixels of the screen

DIRECTIONS = ("up", "down", "left", "right")
OPPOSITE = {"up": "down", "down": "up", "left": "right", "right": "left"}
POINTING = ("click", "long_press")

# AndroidControl's names (google-research/google-research: android_control/README.md), and behind `wait` AndroidWorld's
# of what agents also say (google-research/android_world: android_world/env/json_action.py).
KINDS = (
    "click", "long_press", "scroll", "open_app", "input_text", "navigate_home", "navigate_back", "wait",
    "keyboard_enter", "answer", "status",
)  # fmt: skip


class AndroidAction(NamedTuple):
    """One action on a phone, in AndroidControl's terms.

    Attributes:
        kind: one of `KINDS`, or another name, which matches nothing.
        point: where, of a click, a long_press and a text that is typed into a field; None where it has none.
        text: what is typed, said or opened; of a scroll its direction, "down" to show what is further down; of a
            status "complete" or "infeasible".
    """

    kind: str
    point: Point | None = None
    text: str = ""


class Node(NamedTuple):
    """One node of an accessibility tree: its box, its text and its content description."""

    box: Rect
    text: str = ""
    description: str = ""


class Step(NamedTuple):
    """One recorded step.

    Attributes:
        where: FILE:LINE.
        name: the row's own `id`; "" for none.
        width, height: of the screen, pixels.
        gold: what was done.
        boxes: of the elements that are right; of an open_app the app's icon where it is on the screen.
        nodes: of the accessibility tree, in its order.
    """

    where: str
    name: str
    width: float
    height: float
    gold: AndroidAction
    boxes: tuple[Rect, ...]
    nodes: tuple[Node, ...]


class Target(NamedTuple):
    """One target on a screenshot.

    Attributes:
        where: FILE:LINE.
        name: the row's own `id`; "" for none.
        box: of the target.
        group: what it is averaged in, such as "mobile/text"; "" for none.
    """

    where: str
    name: str
    box: Rect
    group: str


def inside(point: Point, box: Rect) -> bool:
    """Returns whether a point is in a box, its edges included."""
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def middle(box: Rect) -> Point:
    """Returns the middle of a box."""
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def area(box: Rect) -> float:
    """Returns the area of a box."""
    return (box[2] - box[0]) * (box[3] - box[1])


def smallest_around(nodes: tuple[Node, ...], point: Point | None) -> Node | None:
    """Returns the smallest node around a point, the first of equally small ones; None where there is none."""
    around = [] if point is None else [node for node in nodes if inside(point, node.box)]
    return min(around, key=lambda node: area(node.box), default=None)


def boxes_of(step: Step) -> tuple[Rect, ...]:
    """Returns the boxes of the elements that are right: the step's own, else the smallest node around its point."""
    if step.boxes:
        return step.boxes
    node = smallest_around(step.nodes, step.gold.point) if step.gold.point is not None else None
    return (node.box,) if node is not None else ()
