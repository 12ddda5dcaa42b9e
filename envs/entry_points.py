"""Imports what "module" and "module:name" stand for; a mistake in them is one line."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from perlhf.errors import UserError, did_you_mean


def load_module(name: str, asked: str, error: type[UserError] = UserError) -> ModuleType:
    """Returns the module of this name.

    Args:
        name: as in `import name`.
        asked: who wants it, in front of the message.
        error: what to raise.

    Raises:
        UserError: there is none. An error inside the module is its own.
    """
    if not name or name.startswith("."):
        raise error(f"{asked}: no module named {quoted(name)}.")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name is None or not f"{name}.".startswith(f"{problem.name}."):
            raise  # the module is there and misses something of its own
        raise error(f"{asked}: no module named {quoted(problem.name)}.") from None


def find_package(module: str, asked: str, error: type[UserError] = UserError) -> None:
    """Refuses a module whose first name stands for no package or module, without importing any.

    Raises:
        UserError: there is none; the arguments are those of `load_module`.
    """
    first = module.partition(".")[0]
    if first not in sys.modules and importlib.util.find_spec(first) is None:
        raise error(f"{asked}: no module named {quoted(first)}.")


def load_callable(entry_point: str, asked: str, error: type[UserError] = UserError) -> Callable[..., Any]:
    """Returns the function or class that "module:name" stands for; the arguments are those of `load_module`.

    Raises:
        UserError: there is no such module, or nothing of this name in it that can be called.
    """
    module_name, _, name = entry_point.partition(":")
    module = load_module(module_name, asked, error)
    found = getattr(module, name, None)
    if not callable(found):
        known = [n for n in dir(module) if callable(getattr(module, n)) and not n.startswith("_")]
        raise error(f"{asked}: {module_name} has no {quoted(name)}.{did_you_mean(name, known)}")
    return found


def quoted(value: Any) -> str:
    """Returns the value as messages show it: on one line, and not all of it where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
