"""The vote counts of miniature SHP, drawn by the rule that SHP itself was collected by.

In SHP the preferred comment has more votes although it was not visible for longer, so more votes cannot be had by
being early. The better a comment is than the other, the heavier its lead tends to be.
"""

from typing import NamedTuple

import numpy as np

_MOST_VOTES = 20_000  # about the largest scores of SHP


class Votes(NamedTuple):
    """The fields of an SHP record that say how two comments were voted on.

    Attributes:
        score_A: votes of the first comment, at least 1.
        score_B: votes of the second comment, at least 1.
        score_ratio: votes of the preferred comment by votes of the other, above 1.
        seconds_difference: how many seconds after the other comment the preferred one was written, at least 0.
        labels: 1 if the first comment is preferred, else 0.
    """

    score_A: int  # noqa: N815 - SHP's own names
    score_B: int  # noqa: N815
    score_ratio: float
    seconds_difference: float
    labels: int


def draw_votes(first_preferred: bool, margin: float, rng: np.random.Generator) -> Votes:
    """Votes for two comments of which one is preferred; `margin` is their difference of gold, of either sign."""
    lead = min(1.0, abs(margin))
    other = int(rng.geometric(0.12))
    factor = np.exp(rng.exponential(0.3 + 1.2 * lead))
    preferred = max(other + 1, int(min(other * factor, _MOST_VOTES)))
    seconds = float(np.floor(rng.lognormal(7.5, 1.8)))
    scores = (preferred, other) if first_preferred else (other, preferred)
    return Votes(*scores, preferred / other, seconds, int(first_preferred))
