"""TF-IDF with logistic regression as a reward model: what counts of words and of pairs of words tell.

As scikit-learn's TfidfVectorizer (1- and 2-grams, sublinear counts, smooth idf, rows of length 1), without it.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from envs.corpora.records import LabelledRecord, Record
from perlhf.conversation import first_user_turn
from rewards.linear_fit import Examples, fit_path, grouped_folds, losses

_WORD = re.compile(r"\w+")
_C = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # the inverse of the penalty beside a sum of losses, as scikit-learn counts it
_FOLDS = 5  # of which one is held out to choose it


class TfIdf:
    """Turns texts into weights of their terms: words, and words that follow each other.

    Args:
        texts: which terms count, and how rare they are, is learned from these; terms of one text alone are left out.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        frequency = Counter(term for text in texts for term in set(terms_of(text)))
        self.terms = {term: i for i, term in enumerate(t for t, count in frequency.items() if count > 1)}
        self.idf = {term: math.log((1 + len(texts)) / (1 + frequency[term])) + 1 for term in self.terms}

    def weights(self, text: str) -> dict[str, float]:
        """Returns (1 + log count) * idf of each known term, divided by the length of them all."""
        counts = Counter(term for term in terms_of(text) if term in self.terms)
        weights = {term: (1 + math.log(count)) * self.idf[term] for term, count in counts.items()}
        length = math.sqrt(sum(weight * weight for weight in weights.values()))
        return {term: weight / length for term, weight in weights.items()}

    def matrix(self, signed: Sequence[Sequence[tuple[float, str]]]) -> Tensor:
        """Returns a sparse matrix (rows, terms) of sums of texts, each with its sign."""
        rows, columns, values = [], [], []
        for number, row in enumerate(signed):
            for sign, text in row:
                weights = self.weights(text)
                rows += [number] * len(weights)
                columns += [self.terms[term] for term in weights]
                values += [sign * weight for weight in weights.values()]
        places = torch.from_numpy(np.array([rows, columns], dtype=np.int64).reshape(2, -1))
        size = (len(signed), len(self.terms))
        return torch.sparse_coo_tensor(
            places, torch.tensor(values, dtype=torch.float64), size, check_invariants=True
        ).coalesce()


def terms_of(text: str) -> list[str]:
    """Lists words in lower case, numbers and single letters included, and pairs of neighbours."""
    words = _WORD.findall(text.lower())
    return [*words, *(f"{one} {next_one}" for one, next_one in pairwise(words))]


class TfIdfScore:
    """Scores a response by its terms.

    Args:
        records: what it is fitted on: pairs on the differences of their responses, or labelled responses. The strength
            of the penalty is the best on a fifth of them that shares no first user turn with the others.
    """

    def __init__(self, records: Sequence[Record] | Sequence[LabelledRecord]) -> None:
        pairs = isinstance(records[0], Record)
        texts = [text for r in records for text in _responses(r)]
        self._tfidf = TfIdf(texts)
        signed = [list(zip((1.0, -1.0), _responses(r), strict=False)) for r in records]
        targets = [1.0 if isinstance(r, Record) else r.label for r in records]
        examples = Examples(
            self._tfidf.matrix(signed), torch.tensor(targets, dtype=torch.float64),
            torch.zeros(len(records), dtype=torch.float64), intercept=not pairs, standardise=False,
        )  # fmt: skip
        groups = [first_user_turn(record.prompt) for record in records]
        self._weights = dict(zip(self._tfidf.terms, _fit(examples, groups).tolist(), strict=True))

    def __call__(self, response: str) -> float:
        """Scores one response."""
        return sum(self._weights[term] * weight for term, weight in self._tfidf.weights(response).items())


def _responses(record: Record | LabelledRecord) -> tuple[str, ...]:
    return (record.chosen, record.rejected) if isinstance(record, Record) else (record.response,)


def _fit(examples: Examples, groups: Sequence[str]) -> Tensor:
    """Fits the weights of terms, (d,)."""
    if not examples.inputs.shape[1]:
        return torch.zeros(0)
    folds = grouped_folds(groups, _FOLDS)
    held, others = (folds == 0).nonzero().squeeze(1), (folds != 0).nonzero().squeeze(1)
    best = 2  # where there is nothing to hold out
    if len(others):
        tried = fit_path(examples.at(others), [1 / (c * len(others)) for c in _C])
        kept = examples.at(held)
        best = int(np.argmin([float(losses(linear.logits(kept), kept).mean()) for linear in tried]))
    return fit_path(examples, [1 / (_C[best] * len(groups))])[0].weights
