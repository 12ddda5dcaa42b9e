"""`Template`: writes messages as the text that a chat model was trained on, by the Jinja template of its tokenizer.

A template is asked once, when it is loaded, what it takes: a message of the system, neighbours of one role, text as it
stands or as a list of parts. What it does not take is put into a form that it does.
"""

import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase, ProcessorMixin

from backbones.model.loading import BackboneError
from perlhf.conversation import Message
from perlhf.errors import one_line

# Stands for text in what is rendered. Letters and digits alone, which templates leave as they are; not to be guessed.
MARK = f"q{secrets.token_hex(8)}q"
_SYSTEM, _USER, _SAID, _AGAIN = (f"{MARK}{name}" for name in ("s", "u", "a", "v"))
_ANSWER = f"{MARK}r"
# Some templates write today's date. A policy that reads other tokens tomorrow is none that can be trained or compared,
# so the date stands still: at the one that Llama 3.1's own template falls back on.
_DATE = {"%Y": "2024", "%y": "24", "%m": "07", "%d": "26", "%b": "Jul", "%B": "July", "%a": "Fri", "%A": "Friday"}
_DATE |= {"%H": "00", "%I": "12", "%p": "AM", "%M": "00", "%S": "00"}


class Template:
    """Writes messages as text.

    Attributes:
        name: where it is from, as a person would call it.
        source: Jinja.
        end: the text of the token that ends the assistant's message; "" where the template writes none.
        turn_tokens: ids of the added tokens that turns are built of.
        written_tokens: ids of all added tokens that the template names.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, source: str, name: str) -> None:
        """
        Raises:
            BackboneError: it is no Jinja, or does not write a user's and an assistant's message.
        """
        self.name, self.source, self._tokenizer = name, source, tokenizer
        self._rendered = _with_fixed_date(source)
        self._as_parts = self._folds = self._merges = False
        self._ask()
        added = {i: token.content for i, token in tokenizer.added_tokens_decoder.items() if token.content.strip()}
        before, after = self.around([Message("user", _USER)])
        follows = [text for text in added.values() if after.lstrip().startswith(text)]
        self.end = max(follows, key=len, default="")
        turns = self.around([Message("user", _USER), Message("assistant", _SAID), Message("user", _AGAIN)])
        # Not what stands before the answer alone: an empty thought, such as Qwen 3's, builds no turn.
        built = turns[0].partition(_AGAIN)[0] + turns[1]
        self.turn_tokens = {i for i, text in added.items() if text in built}
        self.written_tokens = {i for i, text in added.items() if text in source or text in before}

    @property
    def sha256(self) -> str:
        """Returns the hash of its text, which adapters record."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    def around(self, messages: Sequence[Message], shows_image: bool = False) -> tuple[str, str]:
        """Returns what stands before and behind the assistant's answer to messages.

        Args:
            messages: what was said; at least one.
            shows_image: whether the last message of the user shows an image.

        Raises:
            BackboneError: the template refuses them.
        """
        text = self._render(self._fitting([*messages, Message("assistant", _ANSWER)]), shows_image)
        before, mark, after = text.rpartition(_ANSWER)
        if not mark:
            raise BackboneError(f"chat template {self.name} does not write what an assistant says. {REMEDY}")
        return before, after

    def _ask(self) -> None:
        """Finds out what it takes."""
        one = [Message("user", _USER), Message("assistant", _SAID)]
        if not self._writes(one):
            self._as_parts = True
            if not self._writes(one):
                self._as_parts = False
                self._render(one)  # which says what is wrong, where it raises
                raise BackboneError(f"chat template {self.name} does not write what user and assistant say. {REMEDY}")
        self._folds = not self._writes([Message("system", _SYSTEM), *one])
        self._merges = not (self._writes([Message("user", _AGAIN), *one]) and self._writes([one[1], *one]))

    def _writes(self, messages: Sequence[Message]) -> bool:
        try:
            text = self._render(messages)
        except BackboneError:
            return False
        return all(message.content in text for message in messages)

    def _render(self, messages: Sequence[Message], shows_image: bool = False) -> str:
        last = max((i for i, message in enumerate(messages) if message.role == "user"), default=-1)
        rows: list[dict[str, Any]] = []
        for i, (role, content) in enumerate(messages):
            image = [{"type": "image"}] if shows_image and i == last else []
            parts = [*image, {"type": "text", "text": content}]
            rows.append({"role": role, "content": parts if self._as_parts or image else content})
        try:
            text = self._tokenizer.apply_chat_template(rows, chat_template=self._rendered, tokenize=False)
        except Exception as error:  # what a template raises is of its own making, or any of Jinja's or Python's
            raise BackboneError(f"chat template {self.name} raises: {one_line(error).rstrip('.')}. {REMEDY}") from None
        return str(text)

    def _fitting(self, messages: Sequence[Message]) -> list[Message]:
        """Returns messages as the template takes them."""
        found: list[Message] = []
        told = ""  # by the system, to go into the next message of the user
        for role, content in messages:
            if self._folds and role == "system":
                told = _joined(told, content)
                continue
            if told and role == "user":
                content, told = _joined(told, content), ""
            elif told:
                found, told = [*found, Message("user", told)], ""
            found.append(Message(role, content))
        if not self._merges:
            return found
        merged: list[Message] = []
        for role, content in found:
            if not merged and role == "assistant":
                merged.append(Message("user", ""))
            if merged and merged[-1].role == role:
                merged[-1] = Message(role, _joined(merged[-1].content, content))
            else:
                merged.append(Message(role, content))
        if [message.role for message in merged[:2]] == ["system", "assistant"]:
            merged.insert(1, Message("user", ""))
        return merged


REMEDY = "Give another with --chat-template FILE, or --chat-template none."


def _joined(first: str, second: str) -> str:
    return f"{first}\n\n{second}" if first and second else first or second


def _with_fixed_date(source: str) -> str:
    """Returns a template that asks for today's date with one that gives a fixed one."""
    if "strftime_now" not in source:
        return source
    replaced = "".join(f" | replace({ask!r}, {said!r})" for ask, said in _DATE.items())
    macro = f"{{% macro strftime_now(format) %}}{{{{ format{replaced} }}}}{{% endmacro %}}{{{{ '' }}}}"
    return macro + source


def find_template(
    setting: str, tokenizer: PreTrainedTokenizerBase, processor: ProcessorMixin | None = None
) -> Template | None:
    """Returns the template that a setting names; None for text as it stands.

    Args:
        setting: "auto" for the model's own if it has one, "none", or a file of Jinja.
        tokenizer, processor: of the model.

    Raises:
        BackboneError: the file cannot be read, or it or the model's own is no template.
    """
    if setting == "none":
        return None
    if setting != "auto":
        return Template(tokenizer, _read(setting), setting)
    own = getattr(processor, "chat_template", None) or tokenizer.chat_template
    if isinstance(own, dict):  # several, by what they are for
        own = own.get("default")
    return Template(tokenizer, own, "of the tokenizer") if own else None


def _read(file: str) -> str:
    try:
        source = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BackboneError(
            f"chat template {file!r} cannot be read: {one_line(error)}; expected auto, none or a file of Jinja."
        ) from None
    if not source.strip():
        raise BackboneError(f"chat template {file!r} is empty; expected Jinja.")
    return source
