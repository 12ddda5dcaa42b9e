"""Noisy annotators: preference labels drawn from a gold score, so that a reward model has a known ceiling."""

from typing import NamedTuple

import numpy as np


class Annotator(NamedTuple):
    """A Bradley-Terry annotator who is sometimes not paying attention.

    sharpness: how strongly a gold difference of 1 counts (the inverse temperature of the logistic).
    lapse: the share of labels given by the toss of a coin.
    """

    sharpness: float = 6.0
    lapse: float = 0.08

    def prefers_first(self, gold_first: float, gold_second: float) -> float:
        """Returns the probability that the first response is preferred."""
        agreed = 1.0 / (1.0 + np.exp(-self.sharpness * (gold_first - gold_second)))
        return float((1.0 - self.lapse) * agreed + self.lapse / 2.0)

    def label(self, gold_first: float, gold_second: float, rng: np.random.Generator) -> bool:
        """Draws one label: whether the first response is preferred."""
        return bool(rng.random() < self.prefers_first(gold_first, gold_second))

    def ceiling(self, gold_first: float, gold_second: float) -> float:
        """Returns the best expected accuracy of any predictor on a label of this pair."""
        p = self.prefers_first(gold_first, gold_second)
        return max(p, 1.0 - p)


class Rater(NamedTuple):
    """An annotator of single responses: good (1.0) or bad (0.0), more surely so the further gold is from `cut`.

    sharpness, lapse: as of `Annotator`.
    """

    cut: float = 0.6
    sharpness: float = 8.0
    lapse: float = 0.06

    def probability(self, gold: float) -> float:
        """Returns the probability of label 1."""
        agreed = 1.0 / (1.0 + np.exp(-self.sharpness * (gold - self.cut)))
        return float((1.0 - self.lapse) * agreed + self.lapse / 2.0)

    def label(self, gold: float, rng: np.random.Generator) -> float:
        """Draws one label."""
        return float(rng.random() < self.probability(gold))
