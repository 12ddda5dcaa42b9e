"""`Dialect`: what each way of saying actions has."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from envs.uinav.dialects.examples import Examples, examples_of
from envs.uinav.dialects.said import Point, Said, Scale, joined, point_of, resolved
from envs.uinav.interface.actions import Action, ActionError
from envs.uinav.interface.screen import Screen, Surface


class Dialect(ABC):
    """One way of saying actions: reads responses, prints actions, and tells a model how.

    Args:
        scale: the units of its points.

    Attributes:
        name: as of `UINav(actions=...)`, without a scale.
        instructions: what a model is told, about ten lines.
        examples: prompts with right responses.
        apart: whether a field is clicked first and typed into next, so that an agent takes more steps.
    """

    name = ""
    apart = False

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self.said = lru_cache(maxsize=4096)(self._said)  # most responses are among a thousand clicks
        self.instructions = self.told()
        self.examples = self.shown()

    @abstractmethod
    def told(self) -> str:
        """Returns the instructions."""

    def shown(self, written: Callable[[Screen], str] = Screen.describe) -> Examples:
        """Returns the examples: one of them goes on from a response that was no action.

        Args:
            written: tells a screen in words.
        """
        try:
            self.said("New", False)
        except ActionError as error:
            return examples_of(self.write, str(error), written)
        raise AssertionError("a word is no action")

    @abstractmethod
    def calls(self, response: str) -> Sequence[Said]:
        """Returns the calls of a response that has nothing else.

        Raises:
            ActionError: it has, or it says none; or a call is wrong.
        """

    @abstractmethod
    def found(self, response: str) -> Iterable[Said]:
        """Returns the calls in a response, whatever stands around them; none where there are none.

        Raises:
            ActionError: a call is wrong; also while they are gone through.
        """

    @abstractmethod
    def write(self, action: Action, screen: Screen) -> str:
        """Returns an action on a screen as a response: `parse` gives an action that does the same there."""

    def _said(self, response: str, lenient: bool) -> Said:
        try:
            return joined(self.calls(response))
        except ActionError as error:
            if not lenient:
                raise
            strictly = error
        calls: list[Said] = []
        try:
            for call in self.found(response):
                calls.append(call)
            if calls:
                return joined(calls)
        except ActionError:
            if not calls:
                raise
            return calls[0]
        raise strictly

    def reads(self, response: str, lenient: bool = False) -> bool:
        """Returns whether a response says an action, on whatever screen."""
        try:
            self.said(response, lenient)
        except ActionError:
            return False
        return True

    def parse(self, response: str, screen: Surface, lenient: bool = False) -> Action:
        """Returns the action that a response says on a screen.

        Args:
            response: of the policy.
            screen: that it was said to.
            lenient: whether it is also found in what language models write around it.

        Raises:
            ActionError: it says none; the message says why.
        """
        return resolved(self.said(response, lenient), screen)

    def touched(self, response: str, screen: Screen, lenient: bool = False) -> tuple[int, int] | None:
        """Returns the pixel that a response touches, whether something is there or not; None where it touches none."""
        try:
            target = self.said(response, lenient).target
            if not isinstance(target, Point):
                target = self.parse(response, screen, lenient).element
        except ActionError:
            return None
        if isinstance(target, Point):
            return target.x, target.y
        return screen.elements[target - 1].box.middle if 0 < target <= len(screen.elements) else None

    def where(self, number: int, screen: Screen) -> tuple[str, str]:
        """Returns a point of an element in the units of this dialect."""
        return self.scale.written(*point_of(number, screen))
