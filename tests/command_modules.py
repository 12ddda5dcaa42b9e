"""The module that `python -m NAME` runs."""

import importlib
from importlib.util import find_spec


def command_module(name):
    """The module itself, or `__main__` of a package."""
    found = find_spec(name)
    return importlib.import_module(f"{name}.__main__" if found and found.submodule_search_locations else name)
