"""`ChatTemplate`: token ids of prompts that are messages, and of the responses to them.

One rule: a response is the content of an assistant's message. The prompt is all that the template writes before that
content, the end token is what it writes right behind it. So headers, an empty thought or a channel that a template puts
before an answer belong to the prompt, in SFT, reward models, PPO and evaluation alike.
"""

import bisect
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from backbones.model.loading import BackboneError
from backbones.model.plain_text import PlainText
from backbones.model.template import MARK, REMEDY, Template
from perlhf.conversation import Message

_WORDS = ("yes", "I am", "The", "1")  # that responses may begin with
_PIECES = re.compile(f"({MARK}\\d+{MARK})")
_PICTURE = f"{MARK}i{MARK}"


class Shown(NamedTuple):
    """Holds what stands for an image.

    Attributes:
        ids: its tokens.
        text: what a template writes in its place.
    """

    ids: Sequence[int]
    text: str


class ChatTemplate:
    """Makes token ids of messages and responses.

    Attributes:
        template: what writes them.
    """

    def __init__(self, template: Template, plain: PlainText, prefix_ids: Sequence[int]) -> None:
        """
        Args:
            template: what writes messages.
            plain: what reads text.
            prefix_ids: what the tokenizer puts before every text, such as a start token.
        """
        self.template, self._plain, self._prefix_ids = template, plain, list(prefix_ids)
        self._cut_space, self._space, self._follows = self._find_joint()
        self._strict = PlainText(plain.tokenizer, plain.controls | template.written_tokens)

    def prompt_ids(self, messages: Sequence[Message], room: int, shown: Shown | None = None) -> tuple[list[int], bool]:
        """Returns the ids of a prompt, and whether it was cut to fit.

        The oldest messages are left out first, but for those of the system; then the oldest characters of the last
        one. What the template writes around messages is never cut.

        Args:
            messages: what was said, at least one.
            room: ids that there may be, those of an image not counted.
            shown: the image that the last message of the user shows.

        Raises:
            BackboneError: the template refuses the messages, or has no room for any.
        """
        room += 0 if shown is None else len(shown.ids)
        kept = list(messages)
        ids = self._ids(kept, shown)
        if len(ids) <= room:
            return ids, False
        while len(ids) > room and (shorter := _without_oldest(kept)):
            kept = shorter
            ids = self._ids(kept, shown)
        for said in (kept, kept[-1:]):  # without the system's message only where there is no other way
            if len(ids) <= room:
                break
            ids = self._ids_of_end(said, room, shown)
        if len(ids) > room:
            raise BackboneError(
                f"chat template {self.template.name} writes {len(ids)} tokens around an empty message, and a prompt "
                f"may have {room}. Allow more with --max-prompt-tokens. {REMEDY}"
            )
        return ids, True

    def response_ids(self, text: str) -> list[int]:
        """Returns the ids of a response behind a prompt, without an end token."""
        return self._plain.ids(self._space + text, self._follows) if text else []

    def whole_ids(self, messages: Sequence[Message], response: str) -> list[int]:
        """Returns the ids of messages, the response to them and all that the template writes behind it.

        As sequence classifiers read them, and TRL's RewardTrainer: with nothing that the template does not write.
        """
        named: list[str] = []
        safe = [Message(role, self._marked(content, role, named)) for role, content in messages]
        said = self._marked(response, "assistant", named)
        before, after = self.template.around(safe)
        return self._ids_of_text(before + said + after, named, follows=False)

    def _ids_of_end(self, messages: Sequence[Message], room: int, shown: Shown | None) -> list[int]:
        """Returns ids of messages of which the last has lost as many of its first characters as it takes."""
        *before, last = messages

        def cut(length: int) -> list[int]:
            return self._ids([*before, Message(last.role, last.content[length:])], shown)

        fits: Callable[[int], bool] = lambda length: len(cut(length)) <= room  # noqa: E731
        return cut(bisect.bisect_left(range(len(last.content)), True, key=fits))

    def _ids(self, messages: Sequence[Message], shown: Shown | None) -> list[int]:
        named: list[str] = []  # names of control tokens, which are encoded on their own
        safe = [Message(role, self._marked(content, role, named)) for role, content in messages]
        before = self._before(safe, shown)
        before = before[:-1] if self._cut_space and before.endswith(" ") else before
        left, picture, right = before.partition(_PICTURE)
        ids = self._ids_of_text(left, named, follows=False)
        if picture and shown is not None:
            ids = [*ids, *shown.ids, *self._ids_of_text(right, named, follows=True)]
        return ids if ids[: len(self._prefix_ids)] == self._prefix_ids else [*self._prefix_ids, *ids]

    def _before(self, messages: Sequence[Message], shown: Shown | None) -> str:
        """Writes messages, with a mark in the place of the image."""
        if shown is None:
            return self.template.around(messages)[0]
        try:
            before, _ = self.template.around(messages, shows_image=True)
        except BackboneError:
            before = ""
        if shown.text in before:
            return before.replace(shown.text, _PICTURE, 1)
        # A template for text: the image stands before the words that it is shown with.
        last = max((i for i, message in enumerate(messages) if message.role == "user"), default=len(messages) - 1)
        with_mark = Message(messages[last].role, _PICTURE + messages[last].content)
        return self.template.around([*messages[:last], with_mark, *messages[last + 1 :]])[0]

    def _marked(self, content: str, role: str, named: list[str]) -> str:
        """Puts marks in the places where a text would become tokens that steer the model."""
        # What an assistant said may hold what the template reads, such as the end of a thought.
        controls = self._plain.controls if role == "assistant" else self._strict.controls
        parts, done = [], 0
        for first, end in self._plain.spans(content, controls):
            parts += [content[done:first], f"{MARK}{len(named)}{MARK}"]
            named.append(content[first:end])
            done = end
        return "".join([*parts, content[done:]])

    def _ids_of_text(self, text: str, named: Sequence[str], follows: bool) -> list[int]:
        ids: list[int] = []
        for number, piece in enumerate(_PIECES.split(text)):
            if number % 2:
                ids += self._strict.ids(named[int(piece.removeprefix(MARK).removesuffix(MARK))], follows=True)
            elif piece:
                ids += self._plain.joint(piece, follows or number > 0)
        return ids

    def _find_joint(self) -> tuple[bool, str, bool]:
        """Finds how prompt and response join to the tokens that the template's text has as a whole.

        Returns:
            Whether the prompt leaves out a space at its end; what goes before a response; whether the tokenizer's own
            space is to be kept off it.
        """
        before, _ = self.template.around([Message("user", "yes")])
        if before.endswith(" "):
            ways = [(True, " ", False), (True, "", False), (True, " ", True), (False, "", False)]
        else:
            ways = [(False, "", False)]
        for cut, space, follows in ways:
            prompt = self._plain.joint(before[:-1] if cut else before)
            whole = [self._plain.joint(before + word) for word in _WORDS]
            if whole == [prompt + self._plain.ids(space + word, follows) for word in _WORDS]:
                return cut, space, follows
        return False, "", True


def _without_oldest(messages: Sequence[Message]) -> list[Message]:
    """Returns messages without the oldest that may go and the answer to it; none where only the last is left."""
    old = [i for i, message in enumerate(messages[:-1]) if message.role != "system"]
    if not old:
        return []
    gone = old[:1]
    for i in old[1:]:
        if messages[i].role == "user":
            break
        gone.append(i)
    return [message for i, message in enumerate(messages) if i not in gone]
