"""What a response says, whatever its dialect: `Said` calls, which a screen makes one `Action` of, and back."""

from collections.abc import Sequence
from typing import NamedTuple

from envs.uinav.interface.actions import Action, ActionError
from envs.uinav.interface.screen import HEIGHT, WIDTH, Screen, Surface
from perlhf.errors import UserError


class Point(NamedTuple):
    """A point of the canvas, in pixels, and its numbers as the response says them."""

    x: int
    y: int
    across: float = 0
    down: float = 0

    @property
    def said(self) -> str:
        """Returns the point as the response says it, for errors."""
        return f"({self.across:g}, {self.down:g})"


Target = int | Point | None  # the number of an element, or where it is


class Said(NamedTuple):
    """One call of a response.

    Attributes:
        kind: as of an `Action`, or "enter", the key.
        target: of a click, long_press, type, submit or enter; None for the field that is typed into.
        text: as of an `Action`.
    """

    kind: str
    target: Target = None
    text: str = ""


# Calls that may stand in one response, since each pair or three of them is one action.
_TOGETHER = "a click with the typing into that field and Enter, or an answer with the end"


def joined(calls: Sequence[Said]) -> Said:
    """Returns the calls of a response as one: a click on a field, typing and Enter are one, as are an answer and done.

    Raises:
        ActionError: there is none, or they are several actions.
    """
    if not calls:
        raise ActionError("not an action")
    if len(calls) == 1:
        return calls[0]
    kinds, (first, *rest) = tuple(call.kind for call in calls), calls
    if kinds == ("answer", "done"):
        return Said("done", None, first.text)
    if kinds[0] == "click" and kinds[1] in ("type", "submit") and rest[0].target is None:
        typed = joined(rest)
        if typed.kind in ("type", "submit"):
            return typed._replace(target=first.target)
    if kinds == ("type", "enter") and rest[0].target in (None, first.target):
        return first._replace(kind="submit")
    raise ActionError(f"{len(calls)} actions at once; only {_TOGETHER} go together")


def resolved(call: Said, screen: Surface) -> Action:
    """Returns the action that a call is on a screen.

    Raises:
        ActionError: nothing is at its point, no field is typed into, or there is no keyboard.
    """
    kind, target, text = call
    if isinstance(target, Point):
        number = screen.at(target[0], target[1])
        if not number:
            raise ActionError(f"nothing is at {target.said}")
    elif kind in _NEED_NOTHING:
        number = 0
    elif kind == "enter":
        return _enter(target, screen)
    elif target is None:
        number = screen.focused()
        if not number:
            raise ActionError("no field that can be seen is typed into, click one first")
    else:
        number = target
    return _new_tuple(Action, (kind, number, text))  # as `Action(...)` in half the time


_new_tuple = tuple.__new__
_NEED_NOTHING = frozenset({"scroll", "back", "home", "open_app", "wait", "answer", "done", "infeasible"})


def _enter(target: Target, screen: Surface) -> Action:
    number = screen.enter()
    if not number:
        raise ActionError("no keyboard is shown, so there is no Enter")
    if isinstance(target, int) and target != screen.focused():
        raise ActionError(f"element {target} is not typed into, click it first")
    return Action("click", number)


class Scale(NamedTuple):
    """The units of points: the picture is `width` wide and `height` high, and shows a canvas of so many pixels."""

    width: int
    height: int
    canvas: tuple[int, int] = (WIDTH, HEIGHT)

    @classmethod
    def named(
        cls, name: str, picture: tuple[int, int] = (WIDTH, HEIGHT), canvas: tuple[int, int] = (WIDTH, HEIGHT)
    ) -> "Scale":
        """Returns a scale by its name: "" pixels of the picture, "1", "1000", or "280x504", of one that was scaled.

        Args:
            name: of the scale.
            picture, canvas: width and height of the picture that is shown, and of the canvas that boxes are in.

        Raises:
            UserError: it has another form.
        """
        sides = name.split("x") if "x" in name else [name, name]
        if name == "":
            return cls(*picture, canvas)
        if len(sides) == 2 and all(side.isascii() and side.isdecimal() and len(side) < 6 for side in sides):
            width, height = map(int, sides)
            if min(width, height) > 0 and ("x" in name or width in (1, 1000)):
                return cls(width, height, canvas)
        expected = "':1' or ':1000', to which both sides are scaled, or ':280x504', the size of a scaled picture"
        raise UserError(f"unknown scale ':{name}' of points; expected none for pixels of the picture, {expected}.")

    def point(self, x: float, y: float) -> Point:
        """Returns the pixel of the canvas at a point in these units; the far edges count as the last pixels.

        Raises:
            ActionError: it is off the picture.
        """
        if not (0 <= x <= self.width and 0 <= y <= self.height):
            raise ActionError(f"({x:g}, {y:g}) is off the picture, which ends at ({self.width}, {self.height})")
        width, height = self.canvas
        pixel = int(x * width / self.width), int(y * height / self.height)
        return Point(min(pixel[0], width - 1), min(pixel[1], height - 1), x, y)

    def written(self, x: int, y: int) -> tuple[str, str]:
        """Returns the middle of a pixel in these units: whole numbers, or of the scale 1 four decimals."""
        width, height = self.canvas
        if (self.width, self.height) == self.canvas:
            return str(x), str(y)
        across, down = (x + 0.5) * self.width / width, (y + 0.5) * self.height / height
        if self.width == 1:
            return f"{across:.4f}", f"{down:.4f}"
        return str(round(across)), str(round(down))

    @property
    def words(self) -> str:
        """Says the units to a model."""
        if self.width == self.height:
            return f"points are from 0 to {self.width}, across and down"
        return f"points are pixels of a picture of {self.width} x {self.height}"


def finger(start: Point, end: Point) -> str:
    """Returns where a swipe scrolls to: against the finger, since the page moves with it.

    A finger that moves up shows what is further down. The longer way counts.

    Raises:
        ActionError: the finger does not move.
    """
    across, down = end.x - start.x, end.y - start.y
    if across == down == 0:
        raise ActionError(f"a swipe from {start.said} to {end.said} does not move")
    if abs(down) >= abs(across):
        return "down" if down < 0 else "up"
    return "right" if across < 0 else "left"


# From the middle of the screen: where a finger begins and ends that scrolls to each side.
STROKES = {
    "down": ((WIDTH // 2, 360), (WIDTH // 2, 160)),
    "up": ((WIDTH // 2, 160), (WIDTH // 2, 360)),
    "right": ((240, HEIGHT // 2), (48, HEIGHT // 2)),
    "left": ((48, HEIGHT // 2), (240, HEIGHT // 2)),
}
_STEP = 20  # in each direction, the places that are tried where the middle of an element is covered


def point_of(number: int, screen: Screen) -> tuple[int, int]:
    """Returns a pixel whose touch an element takes: its middle, or where that is covered another one.

    The middle also where all of it is covered, and the corner of the screen for a number that no element has.
    """
    if not 0 < number <= len(screen.elements):
        return 0, 0
    left, top, right, bottom = screen.elements[number - 1].box
    middle = screen.elements[number - 1].box.middle
    across, down = max(1, (right - left) // _STEP), max(1, (bottom - top) // _STEP)
    others = ((x, y) for y in range(top, bottom, down) for x in range(left, right, across))
    return next((p for p in (middle, *others) if screen.at(*p) == number), middle)


def typed_text(action: Action) -> str:
    """Returns what is typed, with a line break for Enter at the end; its own become spaces there."""
    bare = action.text.rstrip("\n")
    text = bare + " " * (len(action.text) - len(bare))
    return f"{text}\n" if action.kind == "submit" else text


def typed(target: Target, content: str) -> Said:
    """Returns the call that types; a line break at the end stands for Enter."""
    if content.endswith("\n"):
        return Said("submit", target, content[:-1])
    return Said("type", target, content)
