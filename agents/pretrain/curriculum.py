"""Exercises in pointing and copying, for a small model that is to act on screens.

Pointing at one name of a list is the hard part: the number of its line, by what the goal calls it. A model that meets
whole screens at once stays at chance for as long as it is trained; one that begins with two lines learns to tell them
apart within minutes, and the list may then grow.
"""

from collections.abc import Sequence

import numpy as np

_FEWEST, _MOST = 2, 12  # lines of a list, at first and in the end
_WORDS = 60  # that the first names are made of, the commonest
_REPEATED = 0.25  # share of the harder exercises that are words to be said again
_TYPED = 0.3  # share of the harder lists in which something is to be typed
_ALIKE = 0.5  # share of the harder lists whose names share their words
_TAILED = 0.4  # share of the harder lists in which more follows each name


def exercise(words: Sequence[str], rng: np.random.Generator, hardness: float) -> tuple[str, str]:
    """Returns a prompt and its response.

    Args:
        words: what names are made of, each once, the commonest first.
        rng: of the draws.
        hardness: 0 for two lines, one of which the goal names, in common words and without anything else; up to 1 for
            long lists of any words, in which names are alike, goals say more, something is to be typed, or repeated.
    """
    known = words[: _WORDS + int(hardness * len(words))]
    most = _FEWEST + int((_MOST - _FEWEST) * hardness)
    if rng.random() >= hardness:
        return plain_list(known, rng, int(rng.integers(_FEWEST, most + 1)))
    if rng.random() < _REPEATED:
        repeated = " ".join(_some(known, rng, int(rng.integers(4, 24))))
        return f"REPEAT {repeated}\nACTION:", repeated
    return full_list(known, rng, int(rng.integers(_FEWEST, most + 1)))


def plain_list(words: Sequence[str], rng: np.random.Generator, count: int) -> tuple[str, str]:
    """Returns a list of names, of which the goal is one, to be clicked."""
    names, _ = _apart(_some(words, rng, 2 * count), rng, count)
    wanted = int(rng.integers(count))
    return _prompt(names[wanted], [f"item {name}" for name in names]), f"click({wanted + 1})"


def full_list(words: Sequence[str], rng: np.random.Generator, count: int) -> tuple[str, str]:
    """Returns a list of names, of which the goal has one among other words, to be clicked or to be typed into."""
    named = _alike if rng.random() < _ALIKE else _apart
    names, rest = named(_some(words, rng, 2 * count + 12), rng, count)
    before, after, tails = rest[:3], rest[3:8], rest[8:12]
    wanted = int(rng.integers(count))
    typed = " ".join(after[: int(rng.integers(1, 6))]) if rng.random() < _TYPED else ""
    said = typed or " ".join(after[: int(rng.integers(3))])
    goal = " ".join([*before[: int(rng.integers(4))], names[wanted], said]).rstrip()
    tailed, kind = rng.random() < _TAILED, "field" if typed else "item"
    ends = [f", {tails[int(i)]}" if tailed else "" for i in rng.integers(len(tails), size=count)]
    prompt = _prompt(goal, [f"{kind} {name}{end}" for name, end in zip(names, ends, strict=True)])
    return prompt, f"type({wanted + 1}, {typed})" if typed else f"click({wanted + 1})"


def _prompt(goal: str, elements: Sequence[str]) -> str:
    lines = [f"{number} {element}" for number, element in enumerate(elements, 1)]
    return "\n".join([f"GOAL {goal}", "SCREEN", *lines, "ACTION:"])


def _apart(words: list[str], rng: np.random.Generator, count: int) -> tuple[list[str], list[str]]:
    """Names of one or two words each that no other has, and the words left over."""
    names = [" ".join(words[2 * i : 2 * i + int(rng.integers(1, 3))]) for i in range(count)]
    return names, words[2 * count :]


def _alike(words: list[str], rng: np.random.Generator, count: int) -> tuple[list[str], list[str]]:
    """Different names of two words that each share a word with others, and the words left over."""
    side = int(np.ceil(np.sqrt(count))) + 1
    pairs = rng.permutation(side * side)[:count]
    firsts, seconds = words[:side], words[side : 2 * side]
    return [f"{firsts[int(p) // side]} {seconds[int(p) % side]}" for p in pairs], words[2 * side :]


def _some(words: Sequence[str], rng: np.random.Generator, count: int) -> list[str]:
    """Different words."""
    return [words[int(i)] for i in rng.permutation(len(words))[:count]]
