"""The apps of the phone, one file each; `KEPT` are those that no phone of training has."""

import envs.uinav.phone.apps.home  # noqa: F401 - registers the home screen
from envs.uinav.phone.apps import (
    calendar,
    clock,
    contacts,
    mail,
    maps,
    messages,
    music,
    notes,
    search,
    settings,
    shop_tasks,
    store,
    tickets,
)

_APPS = (  # in the order of their templates
    mail.APP,
    contacts.APP,
    messages.APP,
    clock.APP,
    calendar.APP,
    settings.APP,
    notes.APP,
    shop_tasks.APP,
    search.APP,
    maps.APP,
    music.APP,
    store.APP,
)
BUILT_IN = tuple(app.name for app in _APPS)
KEPT = (tickets.APP.name,)
