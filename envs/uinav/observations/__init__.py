"""The ways in which a screen is told in words, see docs/tasks/uinav_observations.md."""

from collections.abc import Callable, Mapping

from envs.uinav.interface.screen import Screen
from envs.uinav.observations.android_world import element_list
from envs.uinav.observations.browser_gym import accessibility_tree
from perlhf.errors import UserError, did_you_mean

PICTURED = "SCREEN in the picture"


def unsaid(screen: Screen) -> str:
    """Returns that the screen is in the picture, and nothing of it."""
    return PICTURED


TEXTS: Mapping[str, Callable[[Screen], str]] = {
    "compact": Screen.describe,
    "androidworld": element_list,
    "browsergym": accessibility_tree,
    "none": unsaid,
}


def text_of(name: object, image: bool) -> Callable[[Screen], str]:
    """Returns what writes a screen, by its name.

    Raises:
        UserError: there is none of this name, or nothing would be seen of the screen.
    """
    if not isinstance(name, str) or name not in TEXTS:
        raise UserError(f"unknown text {name!r} of a screen.{did_you_mean(str(name), TEXTS)}")
    if name == "none" and not image:
        raise UserError("text='none' leaves the picture alone: it needs image=True.")
    return TEXTS[name]
