"""The apps of the phone, one file each."""

from envs.uinav.apps import home, mail, maps, search, settings, shop, store

_APPS = (mail.APP, settings.APP, shop.APP, search.APP, maps.APP, store.APP)  # in the order of their templates
BUILT_IN = tuple(app.name for app in _APPS)
HOME_SCREEN = home.APP
