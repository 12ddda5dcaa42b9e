"""Makes the widgets that an app's pages are written in, without a place on the screen yet.

A page is a function of the phone that yields widgets from top to bottom; `envs.uinav.phone.layout` gives them boxes.
What a widget does is written behind its label as a function of the phone and more arguments: `item("Ana", go, "card",
3)` calls `go(phone, "card", 3)`, which returns the phone as it is then.

Pages are made anew at every step, so widgets are bare tuples: a `Named` takes 2.6 times as long to make (0.74
instead of 0.28 microseconds), and a page has some ten. `Named` says what is in them, and the constants below are the
positions of what layout reads.
"""

from typing import Any, Final, NamedTuple


class Named(NamedTuple):
    """One thing on a page, with the names of its parts: `Named(*widget)`.

    Attributes:
        kind: as of an `Element`, or "title" for the title of the page.
        label: what it says.
        name: how oracles and resource ids call it; of a field the key of what is typed into it.
        place: "bar" (top), "body" (scrolls) or "foot" (bottom, behind the keyboard).
        tap, hold: function and arguments for a click and a long press; empty for none.
        value: of a field what it holds before anything is typed.
        checked: on or off; None for what is neither.
        enabled: whether it takes clicks.
        share: how many such widgets stand side by side.
        line: how a policy reads it, while nothing is typed into it.
    """

    kind: str
    label: str
    name: str = ""
    place: str = "body"
    tap: tuple[Any, ...] = ()
    hold: tuple[Any, ...] = ()
    value: str = ""
    checked: bool | None = None
    enabled: bool = True
    share: int = 1
    line: str = ""


# Positions in a widget, by the names of `Named`; READ is that of `line`.
KIND: Final = 0
LABEL: Final = 1
NAME: Final = 2
PLACE: Final = 3
SHARE: Final = 9
READ: Final = 10

Widget = tuple[str, str, str, str, tuple[Any, ...], tuple[Any, ...], str, bool | None, bool, int, str]


def title(label: str) -> Widget:
    """Returns the title of the page; a page yields one."""
    return "title", label, "", "body", (), (), "", None, True, 1, ""


def text(label: str, name: str = "") -> Widget:
    """Words to read."""
    return "text", label, name, "body", (), (), "", None, True, 1, f"text {label}"


def image(label: str, name: str = "") -> Widget:
    """Returns a picture, of which the policy is told the label."""
    return "image", label, name, "body", (), (), "", None, True, 1, f"image {label}"


def item(label: str, *tap: Any, name: str = "", hold: tuple[Any, ...] = ()) -> Widget:
    """Returns a row of a list."""
    return "item", label, name, "body", tap, hold, "", None, True, 1, f"item {label}"


def button(label: str, *tap: Any, name: str = "", enabled: bool = True, share: int = 1) -> Widget:
    """Returns a button among the rest of the page."""
    line = f"button {label}" if enabled else f"button {label} disabled"
    return "button", label, name, "body", tap, (), "", None, enabled, share, line


def foot_button(label: str, *tap: Any, name: str = "", enabled: bool = True, share: int = 1) -> Widget:
    """Returns a button at the bottom of the screen; the keyboard covers it."""
    line = f"button {label}" if enabled else f"button {label} disabled"
    return "button", label, name, "foot", tap, (), "", None, enabled, share, line


def icon(label: str, *tap: Any, name: str = "", place: str = "bar") -> Widget:
    """Returns a button with a picture: in the bar, or with place="foot" the round one at the bottom right."""
    return "icon", label, name, place, tap, (), "", None, True, 1, f"icon {label}"


def field(name: str, label: str, value: str = "", enter: tuple[Any, ...] = ()) -> Widget:
    """Makes a text field; what is typed is `phone.typed(name)`. `enter`: what the key does, else the keyboard hides."""
    line = f"field {label}: {value}" if value else f"field {label}"
    return "field", label, name, "body", enter, (), value, None, True, 1, line


def toggle(label: str, on: bool, *tap: Any, name: str = "") -> Widget:
    """Returns a switch."""
    return "toggle", label, name, "body", tap, (), "", on, True, 1, f"toggle {label} {'on' if on else 'off'}"


def check(label: str, on: bool, *tap: Any, name: str = "") -> Widget:
    """Returns a box to tick."""
    return "check", label, name, "body", tap, (), "", on, True, 1, f"check {label} {'on' if on else 'off'}"


def option(label: str, on: bool, *tap: Any, name: str = "", share: int = 1) -> Widget:
    """One of several of which one is chosen."""
    return "option", label, name, "body", tap, (), "", on, True, share, f"option {label} {'on' if on else 'off'}"


def tab(label: str, on: bool, *tap: Any, name: str = "", share: int = 2) -> Widget:
    """One of the tabs of a page, of which there are `share`."""
    return "tab", label, name, "body", tap, (), "", on, True, share, f"tab {label} {'on' if on else 'off'}"


def app_icon(label: str, *tap: Any, name: str = "") -> Widget:
    """Returns an app on the home screen."""
    return "app", label, name, "body", tap, (), "", None, True, 4, f"app {label}"


def key(label: str, *tap: Any, name: str = "") -> Widget:
    """Returns a key of the keyboard."""
    return "key", label, name, "body", tap, (), "", None, True, 1, f"key {label}"
