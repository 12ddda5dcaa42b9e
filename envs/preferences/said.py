"""What a field of a row says: text, or a list of messages in the form that chat templates take."""

from collections.abc import Mapping
from typing import Any, NoReturn

from envs.corpora.fields import shown
from envs.corpora.surrogates import has_lone_surrogate
from perlhf.conversation import ROLES, Message
from perlhf.errors import DataError

Said = str | tuple[Message, ...]


def said(value: Any, name: str, where: str) -> Said:
    """Returns what a field says.

    Args:
        value: of the field: a string, or an array of {"role", "content"}; further keys of a message are ignored, but
            calls of tools are refused.
        name: of the field, for messages.
        where: FILE:LINE.

    Raises:
        DataError: neither; a message without role and content, of an unknown role, or of more than text; a lone
            surrogate or NUL.
    """
    if isinstance(value, str):
        return _checked(value, f"field {name!r}", where)
    if not isinstance(value, list):
        raise DataError(f"{where}: field {name!r} must be a string or an array of messages, got {shown(value)}.")
    if not value:
        raise DataError(f"{where}: field {name!r} has no messages.")
    return tuple(_message(each, f"{name}[{i}]", where) for i, each in enumerate(value))


def _message(value: Any, name: str, where: str) -> Message:
    if not isinstance(value, Mapping):
        _fail(where, f"{name} must be a message, an object with 'role' and 'content', got {shown(value)}")
    for key in ("role", "content"):
        if key not in value:
            got = ", ".join(map(shown, value)) or "an empty object"
            _fail(where, f"{name} has no {key!r}; expected 'role' and 'content', got {got}")
    role = value["role"]
    if not isinstance(role, str) or role not in ROLES:
        _fail(where, f"{name} has the role {shown(role)}; known are {', '.join(ROLES)}")
    if value.get("tool_calls"):
        _fail(where, f"{name} calls tools, which are not known here; leave such rows out")
    return Message(role, _checked(_content(value["content"], name, where), name, where))


def _content(value: Any, name: str, where: str) -> str:
    """Returns the text of a message, from text or from a list of parts that are all text."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        _fail(where, f"the content of {name} must be text, or a list of parts of text, got {shown(value)}")
    texts = []
    for part in value:
        kind, text = (part.get("type"), part.get("text")) if isinstance(part, Mapping) else (part, None)
        if kind != "text" or not isinstance(text, str):
            expected = '{"type": "text", "text": ...}'
            _fail(where, f"the content of {name} has a part of type {shown(kind)}; expected {expected} alone")
        texts.append(text)
    return "".join(texts)


def _checked(text: str, name: str, where: str) -> str:
    if has_lone_surrogate(text):
        _fail(where, f"{name} holds a lone surrogate")
    if "\0" in text:
        _fail(where, f"{name} holds a NUL character")
    return text


def _fail(where: str, problem: str) -> NoReturn:
    raise DataError(f"{where}: {problem}.")
