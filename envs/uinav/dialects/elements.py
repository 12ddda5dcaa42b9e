"""Actions by the numbers of elements: UINav's own, and the default; see `envs.uinav.interface.actions`."""

from collections.abc import Callable, Sequence

from envs.uinav.dialects.dialect import Dialect
from envs.uinav.dialects.examples import Examples
from envs.uinav.dialects.said import Said
from envs.uinav.interface.actions import EXAMPLES, INSTRUCTIONS, Action, parse_action
from envs.uinav.interface.lenient import find_action
from envs.uinav.interface.screen import Screen, Surface


class Elements(Dialect):
    """UINav's own actions, such as `click(3)`; a response says all of the action, so no screen is looked at."""

    name = "elements"

    def told(self) -> str:
        return INSTRUCTIONS

    def shown(self, written: Callable[[Screen], str] = Screen.describe) -> Examples:
        return EXAMPLES if written is Screen.describe else super().shown(written)

    def calls(self, response: str) -> Sequence[Said]:
        kind, element, text = parse_action(response)
        return [Said(kind, element, text)]

    def found(self, response: str) -> Sequence[Said]:
        kind, element, text = find_action(response)
        return [Said(kind, element, text)]

    def parse(self, response: str, screen: Surface, lenient: bool = False) -> Action:
        return find_action(response) if lenient else parse_action(response)

    def write(self, action: Action, screen: Screen) -> str:
        return str(action)
