"""The home screen: the icons of the apps, in an order of this phone's own."""

from functools import lru_cache

from envs.uinav.phone.app import HOME, App, app_of, register_app
from envs.uinav.phone.device import open_app
from envs.uinav.phone.state import Phone
from envs.uinav.phone.widgets import Widget, app_icon


def home(phone: Phone) -> list[Widget]:
    """Returns the icons."""
    return phone.shuffled(_icons(phone.installed), "icons")


@lru_cache(maxsize=64)
def _icons(apps: tuple[str, ...]) -> tuple[Widget, ...]:
    return tuple(app_icon(app_of(name).title, open_app, name) for name in apps)


APP = register_app(App(HOME, "Home", lambda rng: {}, {HOME: home}))
