"""Defines what a device shows: a tree of elements, numbered from 1 in reading order, and its form as text."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

WIDTH, HEIGHT = 288, 512  # of the canvas that boxes are in, pixels

# The class that Android gives each kind of element.
ANDROID_CLASSES = {
    "button": "android.widget.Button",
    "icon": "android.widget.ImageButton",
    "app": "android.widget.TextView",
    "field": "android.widget.EditText",
    "item": "android.view.ViewGroup",
    "text": "android.widget.TextView",
    "image": "android.widget.ImageView",
    "toggle": "android.widget.Switch",
    "check": "android.widget.CheckBox",
    "option": "android.widget.RadioButton",
    "tab": "android.widget.TabWidget",
    "key": "android.inputmethodservice.Keyboard.Key",
    "bar": "android.widget.Toolbar",
    "list": "android.widget.ScrollView",
    "foot": "android.widget.LinearLayout",
    "dialog": "android.app.AlertDialog",
    "keyboard": "android.inputmethodservice.KeyboardView",
    "screen": "android.widget.FrameLayout",
}


class Box(NamedTuple):
    """Pixels from the left and top edge of the canvas; right and bottom are outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def middle(self) -> tuple[int, int]:
        """Returns the point where a tap on it lands."""
        return (self.left + self.right) // 2, (self.top + self.bottom) // 2

    def holds(self, x: int, y: int) -> bool:
        """Returns whether the point is inside."""
        return self.left <= x < self.right and self.top <= y < self.bottom


class Element(NamedTuple):
    """One element of a screen.

    Attributes:
        kind: what it is, a key of `ANDROID_CLASSES`.
        text: what it shows; of a field what was typed into it.
        description: what it is for where that is not shown, as an icon's name; of a field its label.
        resource_id: its name among the elements of the app's page, such as "subject".
        box: where it is.
        clickable, editable, scrollable, focused, enabled: as in an Android accessibility node.
        checked: of what can be checked; else None.
        children: of a container.
        long_clickable: whether a long press does something.
    """

    kind: str
    text: str
    description: str
    resource_id: str
    box: Box
    clickable: bool = False
    editable: bool = False
    scrollable: bool = False
    focused: bool = False
    checked: bool | None = None
    enabled: bool = True
    children: "tuple[Element, ...]" = ()
    long_clickable: bool = False

    @property
    def label(self) -> str:
        """Returns the element's name as a person would say it."""
        return self.description or self.text


def reacts(element: Element) -> bool:
    """Returns whether something can be done with it."""
    return element.clickable or element.editable or element.long_clickable or element.checked is not None


def line_of(element: Element) -> str:
    """Returns the element as a policy reads it, without its number: `toggle Dark mode off`."""
    line = f"{element.kind} {element.label}"
    if element.editable and element.text:
        line += f": {element.text}"
    if element.checked is not None:
        line += " on" if element.checked else " off"
    if element.focused:
        line += " *"
    return line if element.enabled else line + " disabled"


class Surface(Protocol):
    """What a finger and a keyboard meet: a `Screen`, or what a device answers the same with and faster.

    Each method returns the number of an element, from 1; 0 for none.
    """

    def at(self, x: int, y: int) -> int:
        """Returns the element that takes a touch at a point of the canvas."""

    def focused(self) -> int:
        """Returns the field that is typed into, where it can be seen."""

    def enter(self) -> int:
        """Returns the Enter key of the keyboard, where there is one: an element of kind "key" named "enter"."""


class Screen(NamedTuple):
    """Holds what is shown at one moment; a `Surface`.

    Attributes:
        app: the name of the app in front.
        title: of the page.
        parts: the containers that are shown: bar, list, foot, dialog, keyboard.
        elements: their leaves in reading order; element 1 is `elements[0]`.
        above, below: whether scrolling up or down would show more.
        notice: a message that is gone after the next action; "" for none.
        theme: "light" or "dark".
        time: in the status bar, which is seen in pictures alone.
        width, height: of the canvas that boxes are in, pixels.
    """

    app: str
    title: str
    parts: tuple[Element, ...]
    elements: tuple[Element, ...]
    above: bool = False
    below: bool = False
    notice: str = ""
    theme: str = "light"
    time: str = "9:41"
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def root(self) -> Element:
        """The whole as one tree."""
        return Element("screen", self.title, "", "", Box(0, 0, self.width, self.height), children=self.parts)

    def at(self, x: int, y: int) -> int:
        """Returns the number of the element that takes a touch at a point: the smallest there that reacts, else of all.

        Of some that are as small the last, which is in front. It is the rule of a recorded point, see
        `envs.uinav.recordings.trajectory.meant`.
        """
        found, best = 0, (True, 0)
        for number, element in enumerate(self.elements, 1):
            if element.box.holds(x, y):
                left, top, right, bottom = element.box
                rank = (not reacts(element), (right - left) * (bottom - top))
                if not found or rank <= best:
                    found, best = number, rank
        return found

    def focused(self) -> int:
        """Returns the number of the field that is typed into; 0 where none is, or where it cannot be seen."""
        return next((i for i, element in enumerate(self.elements, 1) if element.focused and element.editable), 0)

    def enter(self) -> int:
        """Returns the number of the Enter key of the keyboard; 0 where there is none."""
        named = (i for i, e in enumerate(self.elements, 1) if e.kind == "key" and e.label.casefold() == "enter")
        return next(named, 0)

    def describe(self) -> str:
        """Returns the screen as a policy reads it: its name, and a numbered line for each element."""
        lines = [f"{i} {line_of(element)}" for i, element in enumerate(self.elements, 1)]
        return framed(self.app, self.title, self.notice, self.above, self.below, lines)


BLANK = Screen("", "", (), ())  # for what looks at no screen


def framed(app: str, title: str, notice: str, above: bool, below: bool, lines: Iterable[str]) -> str:
    """Returns the numbered lines of a screen with what stands around them."""
    head = f"SCREEN {app}: {title}" if title else f"SCREEN {app}"
    if notice:
        head += f"\nNOTE {notice}"
    if above:
        head += "\nmore above"
    return "\n".join([head, *lines, "more below"] if below else [head, *lines])


def nodes(element: Element) -> Iterator[Element]:
    """Yields the element and all below it."""
    yield element
    for child in element.children:
        yield from nodes(child)
