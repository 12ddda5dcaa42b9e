"""The apps of the phone, one file each."""

from envs.uinav.apps import contacts, home, mail, messages, music, settings

_APPS = (mail.APP, contacts.APP, messages.APP, music.APP, settings.APP)  # in the order of their templates
BUILT_IN = tuple(app.name for app in _APPS)
HOME_SCREEN = home.APP
