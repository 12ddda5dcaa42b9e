"""Settings: a page of switches."""

from collections.abc import Iterator

from envs.uinav.app import App, register_app
from envs.uinav.phone import Phone
from envs.uinav.widgets import Widget, title, toggle


def settings(phone: Phone) -> Iterator[Widget]:
    """The switches."""
    yield title("Settings")
    yield toggle("Dark mode", phone.dark, turn_dark, not phone.dark)


def turn_dark(phone: Phone, on: bool) -> Phone:
    """The theme is dark, or light."""
    return phone._replace(dark=on)


APP = register_app(App("settings", "Settings", lambda rng: {}, {"settings": settings}))
