"""`Conversation`: a prompt that is a list of messages, and text to whoever does not ask for them.

As text it is a transcript of the kind that HH-RLHF is written in (arXiv 2204.05862), unless the maker has a text of its
own: what models without a chat template read, and what cards and logs show.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar, NamedTuple

ROLES = ("system", "user", "assistant")
SPEAKERS = {"system": "System", "user": "Human", "assistant": "Assistant"}
_ROLES = {speaker: role for role, speaker in SPEAKERS.items()}
ANSWER = "\n\nAssistant:"
_BEGINNINGS = ("\n\nHuman:", "\n\nSystem:")


class Message(NamedTuple):
    """One message: who speaks, one of `ROLES`, and what is said."""

    role: str
    content: str


class Conversation(str):
    """A prompt as messages; as a `str` it is the text of the prompt.

    Attributes:
        messages: what was said so far. The response is the next message, the assistant's.
    """

    messages: tuple[Message, ...]

    def __new__(cls, messages: Sequence[Message], text: str | None = None) -> "Conversation":
        """
        Args:
            messages: at least one, each of a role in `ROLES`.
            text: what a model without a chat template reads; by default `transcript` of the messages.
        """
        made = super().__new__(cls, transcript(messages) if text is None else text)
        made.messages = tuple(messages)
        return made

    # Pickled and copied with its messages.
    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.messages, str(self)


class Instructed(Conversation):
    """A prompt behind what a task tells every model first: a transcript's messages, or one message of the user.

    `instructed_by` makes classes of it, one for each task: an env makes a prompt at every step, and messages are made
    only where somebody asks for them.

    Attributes:
        instructions: the message of the system.
        examples: other prompts and right responses to them, which stand before the prompt as if they had been said.
    """

    instructions: ClassVar[str]
    examples: ClassVar[tuple[tuple[str, str], ...]]
    __new__ = str.__new__  # type: ignore[assignment]  # from the text of the prompt

    @property
    def messages(self) -> tuple[Message, ...]:  # type: ignore[override]
        """Returns the instructions, the examples and the messages of the prompt itself."""
        shown = (Message(role, text) for pair in self.examples for role, text in zip(ROLES[1:], pair, strict=True))
        told, own = behind(self.instructions, messages_of(str.__str__(self)))
        return told, *shown, *own

    def __reduce__(self) -> tuple[Any, ...]:
        return _instructed, (self.instructions, self.examples, str(self))


def behind(instructions: str, messages: tuple[Message, ...]) -> tuple[Message, tuple[Message, ...]]:
    """Returns the system's message, instructions and what `messages` has of the system in one, and the rest of them."""
    if messages[0].role == "system":
        instructions, messages = f"{instructions}\n\n{messages[0].content}", messages[1:]
    return Message("system", instructions), messages


def instructed_by(instructions: str, examples: tuple[tuple[str, str], ...] = ()) -> type[Instructed]:
    """Returns what makes prompts of texts: `instructed_by("Be brief.")("Who?")`.

    Args:
        instructions: what a model with a chat template is told as the system's message. Others read the text alone.
        examples: prompts with right responses, which it is shown too.
    """
    return _made(instructions, examples)


@cache  # so that prompts of one task are of one class
def _made(instructions: str, examples: tuple[tuple[str, str], ...]) -> type[Instructed]:
    return type("Instructed", (Instructed,), {"instructions": instructions, "examples": examples})


def _instructed(instructions: str, examples: tuple[tuple[str, str], ...], text: str) -> Conversation:
    return instructed_by(instructions, examples)(text)


def transcript(messages: Sequence[Message]) -> str:
    """Returns messages as a transcript, ready for the assistant's answer.

    "\\n\\nHuman: Hi\\n\\nAssistant:" of one message "Hi" of the user.
    """
    said = (f"\n\n{SPEAKERS[message.role]}: {message.content}" for message in messages)
    return "".join(said) + ANSWER


def messages_of(prompt: str) -> tuple[Message, ...]:
    """Returns the messages that a prompt consists of.

    Those of a `Conversation`; the turns of a transcript such as HH-RLHF's, which begins with "\\n\\nHuman:" and ends
    with "\\n\\nAssistant:"; any other text is one message of the user.
    """
    if isinstance(prompt, Conversation):
        return prompt.messages
    if prompt.startswith(_BEGINNINGS) and prompt.endswith(ANSWER):
        return _turns(prompt.removesuffix(ANSWER))
    return (Message("user", prompt),)


def _turns(text: str) -> tuple[Message, ...]:
    """Splits a transcript at its speakers; turns of one speaker that follow each other are one message."""
    found: list[Message] = []
    for paragraph in text.split("\n\n")[1:]:
        speaker, colon, said = paragraph.partition(":")
        role = _ROLES.get(speaker) if colon else None
        if role is not None and (not found or found[-1].role != role):
            found.append(Message(role, said.strip()))
        else:  # a paragraph of what is being said, or the same speaker again
            more = said.strip() if role is not None else paragraph
            found[-1] = Message(found[-1].role, f"{found[-1].content}\n\n{more}")
    return tuple(found)


def first_user_turn(prompt: str) -> str:
    """Returns what the user says first in a prompt: prompts that have it in common are continuations of one another."""
    if isinstance(prompt, Instructed):  # whose examples are the same for all
        prompt = str.__str__(prompt)
    return next((message.content for message in messages_of(prompt) if message.role == "user"), prompt)
