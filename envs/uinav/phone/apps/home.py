"""The home screen: the icons of the apps, in an order of this phone's own."""

from collections.abc import Iterator

from envs.uinav.phone.app import HOME, App, app_of, register_app
from envs.uinav.phone.device import open_app
from envs.uinav.phone.state import Phone
from envs.uinav.phone.widgets import Widget, app_icon


def home(phone: Phone) -> Iterator[Widget]:
    """The icons."""
    for name in phone.shuffled(phone.installed, "icons"):
        yield app_icon(app_of(name).title, open_app, name)


APP = register_app(App(HOME, "Home", lambda rng: {}, {HOME: home}))
