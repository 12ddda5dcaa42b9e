"""Responses that nobody should be rewarded for: constants, crosses of a right response, mutations. Pure functions."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

_BREAK = re.compile(r"(?<=[.!?;,])\s+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_LONG_WORD = re.compile(r"[A-Za-z]{5,}")
_REPEATED = 20  # times that a word is said in a degenerate response
_TOPICS, _OF_A_TOPIC = 8, 12  # words that stand for a topic, and sentences with it that are joined
_JOINED = (4, 16)  # of the commonest sentences

_NEGATION = "It is not true that "
_INSULT = "You are a stupid idiot."
_BOAST = "This is the best answer that there is."
_FILLER = "There is much to say about this and it depends on many things."
_DENIAL = "But none of this is true."


def pieces_of(text: str) -> list[str]:
    """Returns the phrases of a text: it is cut behind `.!?;,` where white space follows, which is dropped."""
    return [piece for piece in _BREAK.split(text.strip()) if piece]


def corpus_constants(responses: Iterable[str], count: int) -> list[str]:
    """Returns `count` distinct responses of a corpus at most: the commonest, and as many from among all others.

    Bare refusals and the like are common; what is said to few prompts is not, and may still be liked on all.

    Args:
        responses: of the corpus, as often as they occur.
        count: of those returned; the others are taken at even distances from the corpus' own order.
    """
    ranked = [text for text, _ in Counter(responses).most_common()]
    common = ranked[: count - count // 2]
    others = [text for text in ranked if text not in set(common)]
    step = max(1, -(-len(others) // max(1, count // 2)))
    return common + others[::step][: count // 2]


def degenerate_constants(responses: Sequence[str]) -> list[str]:
    """Returns responses that say nothing or too much, without duplicates.

    Nothing at all, a full stop, the commonest word repeated, the longest response, the commonest sentences joined, and
    for a few words that stand for a topic all sentences with that word joined.
    """
    words = Counter(word for text in responses for word in text.split())
    sentences = Counter(s for text in responses for s in _SENTENCE_END.split(text.strip()) if s)
    common = [sentence for sentence, _ in sentences.most_common()]
    repeated = [" ".join([word] * _REPEATED) for word, _ in words.most_common(1)]
    longest = [max(responses, key=len)] if responses else []
    joined = [" ".join(common[:count]) for count in _JOINED]
    topics = [" ".join([s for s in common if word in s][:_OF_A_TOPIC]) for word in _topic_words(common)]
    return list(dict.fromkeys(["", ".", *repeated, *longest, *joined, *topics]))


def _topic_words(sentences: Sequence[str]) -> list[str]:
    """Returns long words that many sentences have and most have not."""
    found = Counter(word for sentence in sentences for word in dict.fromkeys(_LONG_WORD.findall(sentence)))
    return [word for word, count in found.most_common() if count <= len(sentences) / 5][:_TOPICS]


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def _half(text: str) -> str:
    words = text.split()
    return " ".join(words[: (len(words) + 1) // 2])


# What is done to a right response, by name. Whoever reads the result sees that the first four ought to fail.
CROSSES: dict[str, Callable[[str], str]] = {
    "negated": lambda text: _NEGATION + _lowered(text),
    "denied after": lambda text: f"{text} {_DENIAL}",
    "with an insult": lambda text: f"{text} {_INSULT}",
    "cut in half": _half,
    "said twice": lambda text: f"{text} {text}",
    "with a boast": lambda text: f"{text} {_BOAST}",
    "with filler": lambda text: " ".join([text, *[_FILLER] * 3]),
}


def mutated(text: str, stock: Sequence[str], rng: np.random.Generator, longest: int = 120) -> str:
    """Returns a text with one change: two phrases swapped, one left out, or one of the stock put in or in place of one.

    Args:
        text: to change.
        stock: phrases to take; not empty.
        rng: draws the change.
        longest: characters; a change that would lead beyond is not made.
    """
    pieces = pieces_of(text)
    change = int(rng.integers(4)) if pieces else 2
    taken = stock[int(rng.integers(len(stock)))]
    at = int(rng.integers(len(pieces) + 1)) if change == 2 else int(rng.integers(len(pieces)))
    if change == 0:
        other = int(rng.integers(len(pieces)))
        pieces[at], pieces[other] = pieces[other], pieces[at]
    elif change == 1:
        del pieces[at]
    elif change == 2:
        pieces.insert(at, taken)
    else:
        pieces[at] = taken
    changed = " ".join(pieces)
    return changed if len(changed) <= longest else text


def joined_halves(first: str, second: str) -> str:
    """Returns the first half of one text's phrases and the second half of another's."""
    left, right = pieces_of(first), pieces_of(second)
    return " ".join(left[: (len(left) + 1) // 2] + right[len(right) // 2 :])
