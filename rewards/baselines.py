"""Scores that know nothing of the prompt. A reward model that does not beat them has learned nothing.

Each is fitted on training records where it has anything to fit, and scores one response.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence

from envs.corpora.records import LabelledRecord, Record
from rewards.tfidf import TfIdfScore

Baseline = Callable[[str], float]

_WORD = re.compile(r"[a-z']+")
_REFUSAL = re.compile(r"\b(can't|cannot|won't|will not|not able to|unable to|rather not|i'm sorry|sorry)\b")


def fit_baselines(pairs: Sequence[Record]) -> dict[str, Baseline]:
    """All baselines by name."""
    return {
        "length": fit_length(pairs), "keyword": fit_keyword(pairs), "tfidf": TfIdfScore(pairs), "always_refuse": refuses
    }  # fmt: skip


def fit_length(pairs: Sequence[Record]) -> Baseline:
    """Longer or shorter in words, whichever wins more often."""
    longer = sum(_sign(len(p.chosen.split()) - len(p.rejected.split())) for p in pairs)
    direction = 1.0 if longer >= 0 else -1.0
    return lambda response: direction * len(response.split())


def fit_keyword(records: Sequence[Record] | Sequence[LabelledRecord], candidates: int = 500) -> Baseline:
    """Has or has not the one word that tells most, of the commonest `candidates`: its shares among the good
    responses and among the bad ones differ most."""
    good, bad = ([_words(text) for text in texts] for texts in _sides(records))
    common = Counter(word for words in (*good, *bad) for word in words).most_common(candidates)
    margins = {w: sum(w in c for c in good) * len(bad) - sum(w in r for r in bad) * len(good) for w, _ in common}
    if not margins:
        return lambda response: 0.0
    best = max(sorted(margins), key=lambda word: abs(margins[word]))
    direction = 1.0 if margins[best] >= 0 else -1.0
    return lambda response: direction * (best in _words(response))


def refuses(response: str) -> float:
    """1 where the response declines."""
    return float(_REFUSAL.search(response.lower()) is not None)


def _sides(records: Sequence[Record] | Sequence[LabelledRecord]) -> tuple[list[str], list[str]]:
    """Splits responses into those that were liked and those that were not."""
    good, bad = [], []
    for record in records:
        if isinstance(record, Record):
            good.append(record.chosen)
            bad.append(record.rejected)
        else:
            (good if record.label > 0.5 else bad).append(record.response)
    return good, bad


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)
