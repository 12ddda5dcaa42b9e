"""The examples that a model with a chat template is shown, said in any dialect."""

from collections.abc import Callable

from envs.uinav.interface.actions import Action
from envs.uinav.interface.screen import Box, Element, Screen

Examples = tuple[tuple[str, str], ...]

_GOAL = "GOAL Send the text Hello to bob@x.com"


def _icon(label: str, left: int, top: int = 24) -> Element:
    return Element("icon", "", label, "", Box(left, top, left + 32, top + 32), clickable=True)


def _field(label: str, top: int) -> Element:
    return Element("field", "", label, "", Box(12, top, 276, top + 48), clickable=True, editable=True)


_HOME = Screen("Home", "", (), (_icon("Mail", 30, 70), _icon("Clock", 98, 70)))
_MAIL = Screen("Mail", "", (), (_icon("Search", 214), _icon("New", 250)))
_COMPOSE = Screen("Mail", "Compose", (), (_icon("Back", 6), _field("To", 64), _field("Message", 112)))


def examples_of(
    write: Callable[[Action, Screen], str], error: str, written: Callable[[Screen], str] = Screen.describe
) -> Examples:
    """Returns three prompts with right responses, the same as of `envs.uinav.interface.actions.EXAMPLES`.

    Args:
        write: prints an action in the dialect.
        error: what is told of a response that is no action in it.
        written: tells a screen in words.
    """
    shown = (
        ("", _HOME, Action("open_app", 0, "Mail")),
        (f"DID open_app(Mail)\nERROR {error}\n", _MAIL, Action("click", 2)),
        ("DID open_app(Mail); click New\n", _COMPOSE, Action("type", 2, "bob@x.com")),
    )
    return tuple(
        (f"{_GOAL}\n{before}{written(screen)}\nACTION:", write(action, screen)) for before, screen, action in shown
    )
