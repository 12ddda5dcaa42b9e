"""Changes of a response that leave its meaning: a preference should not turn on them.

The idea of asking for robustness in this way: reWordBench (Wu et al., arXiv 2503.11751).
"""

import re
from collections.abc import Callable, Mapping

import numpy as np

_SENTENCE = re.compile(r"[^.!?]*[.!?]*\s*$")
_ONE_WORD_IN = 10  # gets a typo, and at least one of all
_SHORTEST = 4  # letters of a word that does

Change = Callable[[str, np.random.Generator], str]


def other_case(text: str, rng: np.random.Generator) -> str:
    """Returns it in small letters; in capitals where it is that already."""
    return text.lower() if text.lower() != text else text.upper()


def wide_spaces(text: str, rng: np.random.Generator) -> str:
    """Returns it with two spaces for each."""
    return text.replace(" ", "  ")


def other_end(text: str, rng: np.random.Generator) -> str:
    """Returns it without the full stop at its end, or with one where there is none."""
    return text[:-1] if text.endswith(".") else f"{text}."


def repeated_sentence(text: str, rng: np.random.Generator) -> str:
    """Returns it with its last sentence said twice."""
    stripped = text.rstrip()
    whole = stripped.rstrip(".!?")
    found = _SENTENCE.search(whole)
    begin = found.start() if found is not None else 0
    last = stripped[begin:].strip()
    return f"{stripped} {last}" if last else text


def typos(text: str, rng: np.random.Generator) -> str:
    """Returns it with two neighbouring letters swapped inside of one word in ten."""
    words = text.split(" ")
    fit = [i for i, word in enumerate(words) if len(word) >= _SHORTEST and word.isalpha()]
    if not fit:
        return text
    for i in rng.permutation(fit)[: max(1, len(words) // _ONE_WORD_IN)].tolist():
        word = words[i]
        k = int(rng.integers(1, len(word) - 2))
        words[i] = f"{word[:k]}{word[k + 1]}{word[k]}{word[k + 2 :]}"
    return " ".join(words)


CHANGES: Mapping[str, Change] = {
    "case": other_case,
    "spaces": wide_spaces,
    "full stop": other_end,
    "repeated sentence": repeated_sentence,
    "typos": typos,
}
