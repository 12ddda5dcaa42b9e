"""`PlainText`: token ids of text that others wrote, none of which is a token that steers the model.

Which tokens steer: all that are marked special, all that end a response, those that a chat template builds turns of,
and added ones that the model has no embedding for. Many tokenizers hold end-of-turn tokens that are added and not
marked special, so `split_special_tokens` alone lets them through. Where a text holds the name of such a token, the
name is encoded in two parts, which decode to the same text.
"""

import re
from collections.abc import Collection, Sequence
from itertools import pairwise

from transformers import PreTrainedTokenizerBase

_ANCHORS = ("\n", ".", "yes", "a", ":")  # texts that others may follow without a change of their tokens


class PlainText:
    """Makes token ids of text.

    Attributes:
        tokenizer: whose.
        controls: ids that no text becomes.
        space: what goes before a response that follows a prompt, " " or "".
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, controls: Collection[int]) -> None:
        self.tokenizer, self.controls = tokenizer, frozenset(controls)
        self.space = _space_before_response(tokenizer)
        self._prepends = self._behind_an_anchor("no", joint=False) != self._encode("no")

    def ids(self, text: str, follows: bool = False) -> list[int]:
        """Returns token ids of a text alone, with nothing added; none of them is a control.

        Args:
            text: any.
            follows: whether it stands behind another one, so that the tokenizer must put no space of its own before it.
        """
        if follows and self._prepends and text:
            return self._behind_an_anchor(text, joint=False)
        found = self._encode(text)
        if self.controls.isdisjoint(found):
            return found
        spans = self.spans(text, self.controls, split=True)
        return self._in_parts(text, spans) if spans else found  # the unknown token of characters it does not know

    def joint(self, text: str, follows: bool = False) -> list[int]:
        """Returns token ids of what a template wrote: names of special tokens are the tokens. See `ids`."""
        if follows and self._prepends and text:
            return self._behind_an_anchor(text, joint=True)
        return self._encode(text, split=False)

    def spans(self, text: str, controls: Collection[int], split: bool = False) -> list[tuple[int, int]]:
        """Finds where a tokenizer would read controls in a text, as (first, behind the last) character.

        Args:
            text: any.
            controls: ids.
            split: whether the names of tokens marked special are read as text.
        """
        if not self.tokenizer.is_fast:
            return self._named(text, controls, split)
        how = {"add_special_tokens": False, "split_special_tokens": split, "return_offsets_mapping": True}
        read = self.tokenizer(text, **how)
        places = zip(read["input_ids"], read["offset_mapping"], strict=True)
        return [(a, b) for token, (a, b) in places if token in controls and self._is_named(token, text[a:b])]

    def _named(self, text: str, controls: Collection[int], split: bool) -> list[tuple[int, int]]:
        """`spans` by the names of tokens, for tokenizers in Python, which tell no places."""
        added = self.tokenizer.added_tokens_decoder
        names = [added[i].content for i in controls if i in added and not (split and added[i].special)]
        longest_first = sorted((re.escape(name) for name in names if name), key=len, reverse=True)
        return [found.span() for found in re.finditer("|".join(longest_first), text)] if longest_first else []

    def _is_named(self, token: int, text: str) -> bool:
        """Tells whether it is not the token for what a tokenizer does not know, which any text may need."""
        return token != self.tokenizer.unk_token_id or text.strip() == self.tokenizer.unk_token

    def _encode(self, text: str, split: bool = True) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=split)["input_ids"])

    def _in_parts(self, text: str, spans: Sequence[tuple[int, int]]) -> list[int]:
        """Returns ids of a text that is cut inside of each span; a control of one character is left out."""
        cuts = [((a + b) // 2, (a + b) // 2) if b - a > 1 else (a, b) for a, b in spans]
        ends = [0, *(place for cut in cuts for place in cut), len(text)]
        parts = [text[a:b] for a, b in list(pairwise(ends))[::2]]
        if max(map(len, parts)) == len(text):  # nothing was cut, so nothing can be done by cutting
            return [token for token in self._encode(text) if token not in self.controls]
        found = self.ids(parts[0])
        for part in parts[1:]:
            found += self.ids(part, follows=True) if part else []
        return found

    def _behind_an_anchor(self, text: str, joint: bool) -> list[int]:
        read = self.joint if joint else self.ids
        for anchor in _ANCHORS:
            before, whole = read(anchor), read(anchor + text)
            if whole[: len(before)] == before:
                return whole[len(before) :]
        return read(text)


def controls_of(
    tokenizer: PreTrainedTokenizerBase, end_ids: Collection[int], template_ids: Collection[int], embeddings: int
) -> set[int]:
    """Returns the ids that no text may become: of added tokens, since those of other tokens are words.

    Args:
        tokenizer: whose tokens.
        end_ids: what ends a response.
        template_ids: of what turns are built of.
        embeddings: how many ids the model can read.
    """
    named = {*end_ids, *template_ids, *tokenizer.all_special_ids}
    added = tokenizer.added_tokens_decoder
    return {i for i, token in added.items() if token.special or i in named or i >= embeddings}


def added_ids(tokenizer: PreTrainedTokenizerBase, end_ids: Collection[int]) -> tuple[list[int], list[int]]:
    """Finds what a tokenizer adds before a text and behind it: a start token, say. It stays where a prompt is cut.

    An end token that it puts behind a text is left out: a prompt goes on.
    """
    plain = list(tokenizer("yes", add_special_tokens=False, split_special_tokens=True)["input_ids"])
    whole = list(tokenizer("yes", split_special_tokens=True)["input_ids"])
    for i in range(len(whole) - len(plain) + 1):
        if whole[i : i + len(plain)] == plain:
            return whole[:i], [token for token in whole[i + len(plain) :] if token not in end_ids]
    return [], []


def _space_before_response(tokenizer: PreTrainedTokenizerBase) -> str:
    """Returns " ", or "" where the tokenizer puts a space before every text by itself, as Llama 2's does."""

    def plain(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    prompt, whole = plain("yes"), plain("yes no")
    following = whole[len(prompt) :] if whole[: len(prompt)] == prompt else []
    alone, spaced = plain("no"), plain(" no")
    return "" if alone == following and spaced != following else " "
