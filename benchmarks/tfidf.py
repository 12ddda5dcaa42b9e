"""TF-IDF with logistic regression as a reward model: what word counts alone can tell. Needs scikit-learn.

    pip install 'perlhf[benchmarks]'
    python benchmarks/tfidf.py --env TLDR-v0
    python benchmarks/tfidf.py --env Taskmaster-v0 --env-options domain=coffee --data PATH

Pairs: accuracy on held-out pairs of a score of the response's words, fitted on differences within a pair (the prompt
is the same on both sides, so a linear score cannot use it). Labels: AUC of a score of the prompt's and the response's
words together. The strength of the regularisation is chosen on the validation split.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.setup import Setup
from envs.corpora.splits import SPLITS
from evaluation.metrics import bootstrap_auc, bootstrap_mean, pair_accuracy
from perlhf.errors import run_command
from perlhf.options import option, parse_options
from rewards.preferences import Labels, drawn, preferences_of

try:
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
except ModuleNotFoundError:
    sys.exit("error: benchmarks/tfidf.py needs scikit-learn: pip install 'perlhf[benchmarks]'.")

_WORD = r"(?u)\b\w+\b"
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


@dataclass
class Options:
    """Prints the held-out figure of TF-IDF with logistic regression for one task."""

    env: str = option("HH-v0", "whose task the records are of")
    env_options: str = option("", "more arguments of the env, as in 'domain=ticketing'")
    data: str = option("miniature", "'miniature', or 'hub', or a file or folder of the real corpus")
    pairs: int = option(12_000, "records to learn from, as many as a bundled reward model sees", low=1)
    eval_pairs: int = option(2_000, "held-out records", low=1)
    seed: int = option(0, "of the records drawn and the sides of the pairs", low=0, high=2**32 - 1)


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python benchmarks/tfidf.py")
    train, *others = Setup.of(options.env, options.env_options, options.data).feedback(*SPLITS)
    rng = np.random.default_rng(options.seed)
    records = drawn(train, options.pairs, rng)
    held_out = [task.records[: options.eval_pairs] for task in others]
    labelled = isinstance(preferences_of(train), Labels)
    figure, strength = labels_score(records, *held_out) if labelled else pairs_score(records, *held_out, rng)
    name = "AUC" if labelled else "accuracy"
    print(
        f"{options.env} {options.env_options} TF-IDF + logistic regression: {name} {figure['mean']:.3f} "
        f"[{figure['low']:.3f}, {figure['high']:.3f}], n = {figure['n']}, C = {strength:g}, {len(records)} records"
    )


def pairs_score(train: Sequence[Any], validation: Sequence[Any], test: Sequence[Any], rng: np.random.Generator) -> Any:
    """Accuracy on the test pairs with its interval, and the strength that was best on the validation pairs."""
    words = vectorizer().fit([text for r in train for text in (r.chosen, r.rejected)])
    sides = rng.integers(2, size=len(train)) * 2 - 1
    differences = csr_matrix(difference(words, train).multiply(sides[:, None]))

    def right(model: LogisticRegression, records: Sequence[Any]) -> np.ndarray:
        margins = difference(words, records) @ model.coef_[0]
        return pair_accuracy(margins, np.zeros(len(records)))

    best, strength = max(
        ((LogisticRegression(C=c, fit_intercept=False, max_iter=2000).fit(differences, sides), c) for c in STRENGTHS),
        key=lambda fitted: right(fitted[0], validation).mean(),
    )
    return bootstrap_mean(right(best, test)), strength


def labels_score(train: Sequence[Any], validation: Sequence[Any], test: Sequence[Any]) -> Any:
    """AUC on the test labels with its interval, and the strength that was best on the validation labels."""
    parts = [(vectorizer().fit([getattr(r, field) for r in train]), field) for field in ("prompt", "response")]

    def features(records: Sequence[Any]) -> csr_matrix:
        return hstack([words.transform([getattr(r, field) for r in records]) for words, field in parts]).tocsr()

    def area(model: LogisticRegression, records: Sequence[Any]) -> Any:
        return bootstrap_auc(model.decision_function(features(records)), labels_of(records))

    inputs, labels = features(train), labels_of(train)
    best, strength = max(
        ((LogisticRegression(C=c, max_iter=2000).fit(inputs, labels), c) for c in STRENGTHS),
        key=lambda fitted: area(fitted[0], validation)["mean"],
    )
    return area(best, test), strength


def vectorizer() -> TfidfVectorizer:
    """Words and pairs of words, numbers and single letters included."""
    return TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=_WORD)


def difference(words: TfidfVectorizer, records: Sequence[Any]) -> csr_matrix:
    """Features of the preferred response less those of the other, one row a pair."""
    return words.transform([r.chosen for r in records]) - words.transform([r.rejected for r in records])


def labels_of(records: Sequence[Any]) -> np.ndarray:
    """Returns the labels, (n,)."""
    return np.array([record.label for record in records])


if __name__ == "__main__":
    run_command(main)
