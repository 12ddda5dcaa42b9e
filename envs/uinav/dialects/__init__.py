"""The ways in which agents say actions: a parser and a printer of each, see docs/tasks/uinav_actions.md."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from envs.uinav.dialects.android_world import AndroidWorld
from envs.uinav.dialects.browser_gym import BrowserGym
from envs.uinav.dialects.coordinates import Coordinates
from envs.uinav.dialects.dialect import Dialect
from envs.uinav.dialects.elements import Elements
from envs.uinav.dialects.examples import Examples
from envs.uinav.dialects.qwen import Qwen
from envs.uinav.dialects.said import Scale
from envs.uinav.dialects.ui_tars import UITars
from envs.uinav.interface.screen import HEIGHT, WIDTH
from perlhf.errors import UserError, did_you_mean

_CLASSES: Mapping[str, type[Dialect]] = {
    each.name: each for each in (Elements, Coordinates, Qwen, UITars, AndroidWorld, BrowserGym)
}


def dialect_of(
    actions: Any, picture: tuple[int, int] = (WIDTH, HEIGHT), canvas: tuple[int, int] = (WIDTH, HEIGHT)
) -> Dialect:
    """Returns a dialect by its name, with a scale of its points behind a colon: "qwen", "qwen:1000", "coordinates:1".

    Args:
        actions: its name.
        picture, canvas: width and height of the picture that is shown, and of the canvas that boxes are in.

    Raises:
        UserError: there is none of this name, or no such scale.
    """
    if not isinstance(actions, str):
        raise UserError(f"actions must be a text, one of {', '.join(_CLASSES)}; got {actions!r}.")
    return _made(actions, picture, canvas)


@lru_cache(maxsize=64)
def _made(actions: str, picture: tuple[int, int], canvas: tuple[int, int]) -> Dialect:
    name, colon, scale = actions.partition(":")
    if name not in _CLASSES:
        raise UserError(f"unknown actions {actions!r}.{did_you_mean(name, _CLASSES)}")
    if name == Elements.name and colon:
        raise UserError(f"actions {actions!r}: the actions on elements have no points, and so no scale.")
    if colon and not scale:
        raise UserError(f"actions {actions!r}: a scale is missing behind the colon, such as 1000.")
    return _CLASSES[name](Scale.named(scale, picture, canvas))


DIALECTS: Mapping[str, Dialect] = {name: dialect_of(name) for name in _CLASSES}

__all__ = ["DIALECTS", "Dialect", "Elements", "Examples", "dialect_of"]
