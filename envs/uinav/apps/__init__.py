"""The apps of the phone, one file each."""

from envs.uinav.apps import calendar, clock, home, mail, notes, settings

_APPS = (mail.APP, clock.APP, calendar.APP, notes.APP, settings.APP)  # in the order of their templates
BUILT_IN = tuple(app.name for app in _APPS)
HOME_SCREEN = home.APP
