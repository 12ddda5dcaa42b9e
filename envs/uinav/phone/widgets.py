"""What an app's pages are written in: widgets, without a place on the screen yet.

A page is a function of the phone that yields widgets from top to bottom; `envs.uinav.phone.layout` gives them boxes.
What a widget does is written behind its label as a function of the phone and more arguments: `item("Ana", go, "card",
3)` calls `go(phone, "card", 3)`, which returns the phone as it is then.
"""

from typing import Any, NamedTuple


class Widget(NamedTuple):
    """One thing on a page.

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


def _widget(
    kind: str,
    label: str,
    name: str = "",
    place: str = "body",
    tap: tuple[Any, ...] = (),
    hold: tuple[Any, ...] = (),
    value: str = "",
    checked: bool | None = None,
    enabled: bool = True,
    share: int = 1,
) -> Widget:
    # As `Widget(...)`, in half the time: pages are written anew at every step.
    return tuple.__new__(Widget, (kind, label, name, place, tap, hold, value, checked, enabled, share))


def title(label: str) -> Widget:
    """The title of the page; a page yields one."""
    return _widget("title", label)


def text(label: str, name: str = "") -> Widget:
    """Words to read."""
    return _widget("text", label, name)


def image(label: str, name: str = "") -> Widget:
    """A picture, of which the policy is told the label."""
    return _widget("image", label, name)


def item(label: str, *tap: Any, name: str = "", hold: tuple[Any, ...] = ()) -> Widget:
    """A row of a list."""
    return _widget("item", label, name, "body", tap, hold)


def button(label: str, *tap: Any, name: str = "", enabled: bool = True, share: int = 1) -> Widget:
    """A button among the rest of the page."""
    return _widget("button", label, name, "body", tap, enabled=enabled, share=share)


def foot_button(label: str, *tap: Any, name: str = "", enabled: bool = True, share: int = 1) -> Widget:
    """A button at the bottom of the screen; the keyboard covers it."""
    return _widget("button", label, name, "foot", tap, enabled=enabled, share=share)


def icon(label: str, *tap: Any, name: str = "", place: str = "bar") -> Widget:
    """A button with a picture: in the bar, or with place="foot" the round one at the bottom right."""
    return _widget("icon", label, name, place, tap)


def field(name: str, label: str, value: str = "", enter: tuple[Any, ...] = ()) -> Widget:
    """A text field; what is typed is `phone.typed(name)`. `enter`: what the keyboard's key does, else it hides."""
    return _widget("field", label, name, "body", enter, value=value)


def toggle(label: str, on: bool, *tap: Any, name: str = "") -> Widget:
    """A switch."""
    return _widget("toggle", label, name, "body", tap, checked=on)


def check(label: str, on: bool, *tap: Any, name: str = "") -> Widget:
    """A box to tick."""
    return _widget("check", label, name, "body", tap, checked=on)


def option(label: str, on: bool, *tap: Any, name: str = "", share: int = 1) -> Widget:
    """One of several of which one is chosen."""
    return _widget("option", label, name, "body", tap, checked=on, share=share)


def tab(label: str, on: bool, *tap: Any, name: str = "", share: int = 2) -> Widget:
    """One of the tabs of a page, of which there are `share`."""
    return _widget("tab", label, name, "body", tap, checked=on, share=share)


def app_icon(label: str, *tap: Any, name: str = "") -> Widget:
    """An app on the home screen."""
    return _widget("app", label, name, "body", tap, share=4)
