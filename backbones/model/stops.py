"""Stop strings: texts at which a response is over, for base models that go on with the other side's turn."""

import re
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from backbones.model.loading import BackboneError

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", ",": ","}
_PART = re.compile(r"((?:[^\\,]|\\.)*)(,|$)", re.DOTALL)


def read_stops(text: str) -> tuple[str, ...]:
    """Returns the strings that `--stop` names.

    They are separated by commas; backslash n is a line end, t a tab, r a return, and backslash comma and two
    backslashes are these characters. White space counts.

    Args:
        text: such as `\\n\\nHuman:,\\n\\nAssistant:`, or "" for none.

    Raises:
        BackboneError: another character behind a backslash, or a string without characters.
    """
    if not text:
        return ()
    parts, place = [], 0
    while place <= len(text):
        found = _PART.match(text, place)
        if found is None:
            raise BackboneError(f"stop {text!r}: a backslash stands at its end; two of them are one character.")
        parts.append(_unescaped(found[1], text))
        place = found.end() if found[2] else len(text) + 1
    if not all(parts):
        raise BackboneError(f"stop {text!r}: a string between commas is empty; write \\, for a comma.")
    return tuple(parts)


def _unescaped(part: str, text: str) -> str:
    def meant(found: re.Match[str]) -> str:
        if found[1] not in _ESCAPES:
            raise BackboneError(f"stop {text!r}: no backslash {found[1]!r}; expected one of n, t, r, comma, backslash.")
        return _ESCAPES[found[1]]

    return re.sub(r"\\(.)", meant, part, flags=re.DOTALL)


class Stops:
    """Finds where a response is over by what it says.

    Attributes:
        strings: at the first of which text is cut.
    """

    def __init__(self, strings: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> None:
        self.strings, self._tokenizer = tuple(strings), tokenizer
        # A token has at least one byte. Some more, since the first may be a part of a character.
        self._tail = max((len(string.encode()) for string in strings), default=0) + 8

    def end(self, ids: Sequence[int]) -> bool:
        """Tells whether the last of the ids completes a stop string; the ones before were asked about."""
        if not self.strings:
            return False
        said = text_of(self._tokenizer, ids[-self._tail :])
        return any(string in said for string in self.strings)

    def cut(self, text: str) -> str:
        """Returns a text up to the first stop string."""
        places = [place for string in self.strings if (place := text.find(string)) >= 0]
        return text[: min(places)] if places else text


def text_of(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Returns the text of tokens as they stand: special ones are left out, spaces before a full stop are not."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))
