"""Exercises in pointing, reading, comparing and copying, for a small model that is to act on screens.

Pointing at one name of a list is the hard part: the number of its line, by what the goal calls it. A model that meets
whole screens at once stays at chance for as long as it is trained. One that begins with two to four lines, and nothing
else, stays there for 10,000 exercises and then learns to tell them apart; after that the list may grow.

What RL can build on is what is sampled now and then. It learns which of the things it can do is wanted; it does not
learn to read or to copy. So the harder exercises are what screens ask for: lines that differ in one digit, a fact to be
said, a form to be filled in, a name that is not there.
"""

from collections.abc import Callable, Sequence

import numpy as np

_FEWEST, _FEW, _MOST = 2, 4, 12  # lines of a list, at least, and at most at first and in the end
_WORDS = 60  # that the first names are made of, the commonest
_TYPED = 0.3  # share of the lists of names in which something is to be typed
_ALIKE = 0.5  # share of the lists whose names share their words, or their digits
_TAILED = 0.4  # share of the lists of names in which more follows each
_FIELDS = 5  # of a form, at most
_WRONG = 0.3  # share of the forms in which a field holds what it should not
_SHAPES = ("d:dd", "dd:dd", "555 dddd", "dd", "dd.dd", "d.d", "ddd")  # of numbers, d a digit

Words = Sequence[str]
Exercise = tuple[str, str]  # a prompt and its response


def exercise(words: Words, rng: np.random.Generator, hardness: float) -> Exercise:
    """Returns a prompt and its response.

    Args:
        words: what names are made of, each once, the commonest first.
        rng: of the draws.
        hardness: 0 for a few lines, one of which the goal names, in common words and without anything else; up to 1 for
            long lists of any words, and for the kinds of `HARDER`.
    """
    known = words[: _WORDS + int(hardness * len(words))]
    count = int(rng.integers(_FEWEST, _FEW + int((_MOST - _FEW) * hardness) + 1))
    if rng.random() >= hardness:
        return plain_list(known, rng, count)
    kinds, shares = zip(*HARDER, strict=True)
    return kinds[int(rng.choice(len(kinds), p=shares))](known, rng, count)


def plain_list(words: Words, rng: np.random.Generator, count: int) -> Exercise:
    """Returns a list of names, of which the goal is one, to be clicked."""
    names, _ = _apart(_some(words, rng, 2 * count), rng, count)
    wanted = int(rng.integers(count))
    return _prompt(names[wanted], [f"item {name}" for name in names]), f"click({wanted + 1})"


def repeated(words: Words, rng: np.random.Generator, count: int) -> Exercise:
    """Returns words to be said again, about twice as many as `count`."""
    said = " ".join(_some(words, rng, count + int(rng.integers(2, count + 2))))
    return f"REPEAT {said}\nACTION:", said


def full_list(words: Words, rng: np.random.Generator, count: int) -> Exercise:
    """Returns a list of names, of which the goal has one among other words, to be clicked or to be typed into."""
    names, rest = _names(words, rng, count)
    before, after, tails = rest[:3], rest[3:8], rest[8:12]
    wanted = int(rng.integers(count))
    typed = _first(after, rng, 1, 5) if rng.random() < _TYPED else ""
    goal = _joined(_first(before, rng, 0, 3), names[wanted], typed or _first(after, rng, 0, 2))
    tailed, kind = rng.random() < _TAILED, "field" if typed else "item"
    ends = [f", {tails[int(i)]}" if tailed else "" for i in rng.integers(len(tails), size=count)]
    prompt = _prompt(goal, [f"{kind} {name}{end}" for name, end in zip(names, ends, strict=True)])
    return prompt, f"type({wanted + 1}, {typed})" if typed else f"click({wanted + 1})"


def numbers(words: Words, rng: np.random.Generator, count: int) -> Exercise:
    """Returns a list of lines that each have a number, of which the goal names one, to be clicked."""
    drawn = _numbers(rng, count)
    names, rest = _apart(_some(words, rng, 2 * count + 4), rng, count)
    wanted, first = int(rng.integers(count)), rng.random() < 0.5
    goal = _joined(_first(rest[:2], rng, 0, 2), drawn[wanted], _first(rest[2:], rng, 0, 2))
    lines = [f"{number}, {name}" if first else f"{name}, {number}" for number, name in zip(drawn, names, strict=True)]
    return _prompt(goal, [f"item {line}" for line in lines]), f"click({wanted + 1})"


def facts(words: Words, rng: np.random.Generator, count: int) -> Exercise:
    """Returns named facts, words or numbers, of which the goal names one, to be said."""
    names, rest = _names(words, rng, count)
    drawn, taken = _numbers(rng, count), {*rest, *" ".join(names).split()}
    others = [word for word in words if word not in taken]
    said = [number if rng.random() < 0.5 else _first(_some(others, rng, 5), rng, 1, 5) for number in drawn]
    wanted = int(rng.integers(count))
    goal = _joined(_first(rest[:3], rng, 0, 3), names[wanted], _first(rest[3:5], rng, 0, 2))
    prompt = _prompt(goal, [f"text {name} {fact}" for name, fact in zip(names, said, strict=True)])
    return prompt, f"done({said[wanted]})"


def form(words: Words, rng: np.random.Generator, count: int) -> Exercise:
    """Returns a form some of whose fields are filled in, and what they should hold.

    The first that does not hold it, in the order of the goal, is to be typed into; where all do, the icon is clicked.
    """
    count = min(count, _FIELDS)
    names, rest = _apart(_some(words, rng, 6 * count + 5), rng, count)
    values = [
        number if rng.random() < 0.3 else _first(rest[5 + 4 * i : 9 + 4 * i], rng, 1, 4)
        for i, number in enumerate(_numbers(rng, count))
    ]
    done = int(rng.integers(count + 1))  # so many are filled in
    held = [value if i < done else "" for i, value in enumerate(values)]
    if done and rng.random() < _WRONG:
        done = int(rng.integers(done))
        held[done] = _first(rest[:3], rng, 1, 3)
    goal = _joined(
        _first(rest[3:5], rng, 0, 2), *(f"{name} {value}" for name, value in zip(names, values, strict=True))
    )
    order = [int(i) for i in rng.permutation(count)]
    fields = [f"field {names[i]}: {held[i]}" if held[i] else f"field {names[i]}" for i in order]
    prompt = _prompt(goal, [f"icon {rest[4]}", *fields])
    return prompt, f"type({order.index(done) + 2}, {values[done]})" if done < count else "click(1)"


def absent(words: Words, rng: np.random.Generator, count: int) -> Exercise:
    """Returns a list that has not got the name of the goal; where there is more below, that is to be shown."""
    names, rest = _names(words, rng, count + 1)
    wanted = int(rng.integers(count + 1))
    goal = _joined(_first(rest[:3], rng, 0, 3), names[wanted])
    lines, below = [f"item {name}" for i, name in enumerate(names) if i != wanted], rng.random() < 0.5
    return _prompt(goal, lines, below), "scroll(down)" if below else f"infeasible(no {names[wanted]})"


HARDER: tuple[tuple[Callable[[Words, np.random.Generator, int], Exercise], float], ...] = (  # with their shares
    (repeated, 0.15), (full_list, 0.35), (numbers, 0.15), (facts, 0.15), (form, 0.15), (absent, 0.05)
)  # fmt: skip


def _prompt(goal: str, elements: Sequence[str], below: bool = False) -> str:
    lines = [f"{number} {element}" for number, element in enumerate(elements, 1)]
    return "\n".join([f"GOAL {goal}", "SCREEN", *lines, *["more below"] * below, "ACTION:"])


def _names(words: Words, rng: np.random.Generator, count: int) -> tuple[list[str], list[str]]:
    """Different names, half of the time such as share their words, and 12 words besides."""
    return (_alike if rng.random() < _ALIKE else _apart)(_some(words, rng, 2 * count + 14), rng, count)


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


def _numbers(rng: np.random.Generator, count: int) -> list[str]:
    """Different numbers of one shape, half of the time such as differ in a digit or two."""
    shape = _SHAPES[int(rng.integers(len(_SHAPES)))]
    places = [i for i, sign in enumerate(shape) if sign == "d"]
    alike, found = rng.random() < _ALIKE, dict[str, None]()
    number = list(shape)
    while len(found) < count:
        changed = places if not (alike and found) else rng.choice(places, size=min(2, len(places)))
        for place in changed:
            number[int(place)] = str(rng.integers(10))
        found["".join(number)] = None
    return [list(found)[int(i)] for i in rng.permutation(count)]


def _first(words: Words, rng: np.random.Generator, fewest: int, most: int) -> str:
    """The first few of the words."""
    return " ".join(words[: int(rng.integers(fewest, most + 1))])


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _some(words: Words, rng: np.random.Generator, count: int) -> list[str]:
    """Different words."""
    return [words[int(i)] for i in rng.permutation(len(words))[:count]]
