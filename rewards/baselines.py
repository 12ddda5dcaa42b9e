"""Scores that know nothing of the prompt. A reward model that does not beat them has learned nothing.

Each is fitted on training pairs where it has anything to fit, and scores one response.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence

from envs.data.records import Record

Baseline = Callable[[str], float]

_WORD = re.compile(r"[a-z']+")
_REFUSAL = re.compile(r"\b(can't|cannot|won't|will not|not able to|unable to|rather not|i'm sorry|sorry)\b")


def fit_baselines(pairs: Sequence[Record]) -> dict[str, Baseline]:
    """All baselines by name."""
    return {"length": fit_length(pairs), "keyword": fit_keyword(pairs), "always_refuse": refuses}


def fit_length(pairs: Sequence[Record]) -> Baseline:
    """Longer or shorter in words, whichever wins more often."""
    longer = sum(_sign(len(p.chosen.split()) - len(p.rejected.split())) for p in pairs)
    direction = 1.0 if longer >= 0 else -1.0
    return lambda response: direction * len(response.split())


def fit_keyword(pairs: Sequence[Record], candidates: int = 500) -> Baseline:
    """Has or has not the one word that tells most, of the commonest `candidates`."""
    chosen, rejected = ([_words(getattr(p, side)) for p in pairs] for side in ("chosen", "rejected"))
    common = Counter(word for words in (*chosen, *rejected) for word in words).most_common(candidates)
    margins = {w: sum((w in c) - (w in r) for c, r in zip(chosen, rejected, strict=True)) for w, _ in common}
    if not margins:
        return lambda response: 0.0
    best = max(sorted(margins), key=lambda word: abs(margins[word]))
    direction = 1.0 if margins[best] >= 0 else -1.0
    return lambda response: direction * (best in _words(response))


def refuses(response: str) -> float:
    """1 where the response declines."""
    return float(_REFUSAL.search(response.lower()) is not None)


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)
