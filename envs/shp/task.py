"""SHP-v0."""

import math
from functools import lru_cache, partial
from typing import Any

from envs.corpora.splits import JSON_FILES, Hub, Source, recorded_split
from envs.shp.questions import SHPGrammar
from envs.shp.reader import parse_shp, read_shp, surplus_pairs
from envs.text_task import TextTask
from perlhf.errors import UserError


class SHP(TextTask):
    """Answer a question on Reddit so that people find it helpful: Stanford Human Preferences.

    ## Description
    The prompt is a post that asks something; the response is a comment. Of two comments to a post the preferred one
    has more votes although it was not visible for longer.

    ## Action Space
    `Unicode(20000)`: the text of the comment.

    ## Observation Space
    `Dict(prompt: Unicode(100000))`: "POST: ...\\n\\nCOMMENT:".

    ## Reward
    By default the score of the bundled LoRA reward model. `reward="gold"` is the judge of the miniature data.

    ## Arguments
    `data`: "miniature", or "hub" (stanfordnlp/SHP; `envs.corpora.hub`), or a path to SHP's own files, or a folder of
    them. `split`: "train", "validation" or "test".
    `min_score_ratio`: leave out pairs of a lower ratio of votes. `max_pairs_per_post`: keep so many pairs of a post,
    those of the highest ratio; all by default. `reward`, `render_mode`: see `envs.core.TaskEnv`.
    """

    default_reward = "rewards.bundled:shp"
    shipped_backbone = "tiny-shp"
    grammar = SHPGrammar()

    def __init__(
        self,
        data: str = "miniature",
        split: str = "train",
        min_score_ratio: float = 1.0,
        max_pairs_per_post: int | None = None,
    ) -> None:
        """
        Args:
            data, split: as of `TextTask`.
            min_score_ratio: of the real pairs, at least 1.
            max_pairs_per_post: of the real pairs.
        """
        if data == "miniature" and (min_score_ratio, max_pairs_per_post) != (1.0, None):
            raise UserError(
                "min_score_ratio and max_pairs_per_post choose among real pairs; leave them, or give 'data'."
            )
        _check_options(min_score_ratio, max_pairs_per_post)
        self.source = source_of(min_score_ratio, max_pairs_per_post)
        super().__init__(data, split)


def _check_options(min_score_ratio: Any, max_pairs_per_post: Any) -> None:
    """Refuses wrong values before anything is read."""
    if type(min_score_ratio) not in (int, float) or not 1 <= min_score_ratio < math.inf:
        raise UserError(f"min_score_ratio must be a number of at least 1, got {min_score_ratio!r}.")
    if max_pairs_per_post is not None and (type(max_pairs_per_post) is not int or max_pairs_per_post < 1):
        raise UserError(f"max_pairs_per_post must be at least 1, a whole number, got {max_pairs_per_post!r}.")


@lru_cache(maxsize=8)
def source_of(min_score_ratio: float, max_pairs_per_post: int | None) -> Source:
    """Returns the reader of SHP's files and of its rows on the hub, with its two options."""
    read = partial(read_shp, min_score_ratio=min_score_ratio, max_pairs_per_post=max_pairs_per_post)
    hub = Hub(
        partial(parse_shp, min_score_ratio=min_score_ratio),
        "stanfordnlp/SHP",
        surplus=None if max_pairs_per_post is None else partial(surplus_pairs, max_pairs_per_post=max_pairs_per_post),
        options=f"{min_score_ratio=}, {max_pairs_per_post=}",
    )
    return Source(read, recorded_split, JSON_FILES, "SHP's json files", hub=hub)
