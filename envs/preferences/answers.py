"""Where a prompt ends and an answer begins, in strings and in lists of messages."""

import re
from typing import NamedTuple

from envs.preferences.said import Said
from perlhf.conversation import ANSWER, Conversation, Message


class Unfit(Exception):  # noqa: N818 - no error: the row is skipped
    """A row is sound and yet of no use; the message says why."""


class NoPrompt(Unfit):
    """Nowhere in a row there is a prompt: the columns are misunderstood, and other rows would be too."""


class _Answered(NamedTuple):
    prompt: str
    answer: str


def prompt_of(prompt: Said) -> str:
    """Returns a prompt: text as it is, messages as a `Conversation`.

    Raises:
        Unfit: messages that do not end with one of the user, or whose last says nothing.
    """
    if isinstance(prompt, str):
        return prompt
    if prompt[-1].role != "user":
        raise Unfit(f"the prompt ends with a message of the {prompt[-1].role}, not of the user")
    if not prompt[-1].content.strip():
        raise Unfit("the prompt is empty")
    return Conversation(prompt)


def split_messages(messages: tuple[Message, ...]) -> _Answered:
    """Returns the prompt and the answer of a whole conversation: all messages but the last, and the last.

    Raises:
        Unfit: the last message is not the assistant's, or nothing stands before it.
    """
    *before, last = messages
    if last.role != "assistant":
        raise Unfit(f"the last message is of the {last.role}, not of the assistant")
    if not before:
        raise Unfit("no message stands before the answer")
    return _Answered(prompt_of(tuple(before)), last.content.strip())


def with_answer(prompt: Said, answer: Said, name: str) -> _Answered:
    """Returns a prompt and an answer to it.

    An answer is text, one message of the assistant, or a whole conversation whose other messages are the prompt. Beside
    messages a prompt of text is one message of the user.

    Args:
        prompt: of the row.
        answer: of the row.
        name: of its field.

    Raises:
        Unfit: an answer of several messages that does not go on from the prompt, or that is not the assistant's.
    """
    if isinstance(answer, str):
        return _Answered(prompt_of(prompt), answer.strip())
    *before, last = answer
    if last.role != "assistant":
        raise Unfit(f"{name!r} ends with a message of the {last.role}, not of the assistant")
    if before:
        if not _is_prompt(tuple(before), prompt):
            raise Unfit(f"what stands before the answer in {name!r} is not the prompt")
        return _Answered(prompt_of(tuple(before)), last.content.strip())
    messages = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    return _Answered(prompt_of(messages), last.content.strip())


def _is_prompt(before: tuple[Message, ...], prompt: Said) -> bool:
    """Returns whether the messages are those of the prompt; one of text is what the user says among them."""
    if isinstance(prompt, tuple):
        return before == prompt
    return any(m.role == "user" and m.content.strip() == prompt.strip() for m in before)


def pair_of(prompt: Said | None, chosen: Said, rejected: Said) -> tuple[str, str, str]:
    """Returns the prompt of a pair and its two answers.

    Args:
        prompt: of the row; None where it is inside of both answers.
        chosen: the preferred answer.
        rejected: the other.

    Raises:
        Unfit: the answers are the same, or do not go on from the same prompt.
        NoPrompt: two strings begin with different words.
    """
    if prompt is None:
        good, bad = _implicit(chosen, rejected)
    else:
        good, bad = with_answer(prompt, chosen, "chosen"), with_answer(prompt, rejected, "rejected")
    if _messages(good.prompt) != _messages(bad.prompt):
        raise Unfit("chosen and rejected do not share the prompt")
    if good.answer == bad.answer:
        raise Unfit("chosen and rejected are the same")
    return good.prompt, good.answer, bad.answer


def _messages(prompt: str) -> object:
    return prompt.messages if isinstance(prompt, Conversation) else prompt


def _implicit(chosen: Said, rejected: Said) -> tuple[_Answered, _Answered]:
    if isinstance(chosen, str) and isinstance(rejected, str):
        both = ANSWER in chosen and ANSWER in rejected
        return (_turn(chosen), _turn(rejected)) if both else _by_common_words(chosen, rejected)
    if isinstance(chosen, str) or isinstance(rejected, str):
        raise NoPrompt("of chosen and rejected one is text and the other a list of messages, and there is no prompt")
    return split_messages(chosen), split_messages(rejected)


def _turn(text: str) -> _Answered:
    """Splits a transcript such as HH-RLHF's at the last turn of the assistant."""
    end = text.rindex(ANSWER) + len(ANSWER)
    return _Answered(text[:end], text[end:].strip())


def _by_common_words(chosen: str, rejected: str) -> tuple[_Answered, _Answered]:
    """Takes the words that both texts begin with as the prompt.

    So does TRL's `extract_prompt` (trl/data_utils.py), which goes by characters: "blue" and "black" would begin with a
    prompt "bl".
    """
    end, sides = 0, [_words(text) for text in (chosen, rejected)]
    for one, other in zip(*sides, strict=False):
        if one != other or one[1] in (len(chosen), len(rejected)):
            break
        end = one[1]
    if not end:
        problem = "chosen and rejected begin with different words, so there is no prompt in them"
        raise NoPrompt(f"{problem}: name its column, as in --columns prompt=COLUMN")
    return _Answered(chosen[:end], chosen[end:].strip()), _Answered(rejected[:end], rejected[end:].strip())


def _words(text: str) -> list[tuple[str, int]]:
    """(word with the space before it, where it ends) of each word."""
    return [(match[0], match.end()) for match in re.finditer(r"\s*\S+", text)]
