"""The text tasks: TLDR-v0, BOLT-v0, HH-v0, SHP-v0, Taskmaster-v0; what they share is in `envs.text_task`."""

import math
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from envs.data.bolt import read_bolt
from envs.data.hh import parse_hh, read_hh
from envs.data.hh import split_of as split_of_hh
from envs.data.miniature.bolt import BOLTGrammar
from envs.data.miniature.hh_grammar import HHGrammar
from envs.data.miniature.shp import SHPGrammar
from envs.data.miniature.taskmaster import TaskmasterGrammar
from envs.data.miniature.tldr import TLDRGrammar
from envs.data.records import Demonstration, Record
from envs.data.shp import parse_shp, read_shp, surplus_pairs
from envs.data.splits import Hub, Source
from envs.data.taskmaster import read_taskmaster
from envs.data.taskmaster import split_of as split_of_taskmaster
from envs.data.tldr import parse_tldr, read_tldr
from envs.text_task import TextTask, data_name
from perlhf.errors import UserError, did_you_mean


def _recorded_split(record: Record | Demonstration) -> str:
    return str(record.meta["split"])


_JSON = ("*.json", "*.jsonl", "*.json.gz", "*.jsonl.gz")


class TLDR(TextTask):
    """Summarise a Reddit post: OpenAI's TL;DR comparisons.

    ## Description
    The prompt is a post with its subreddit and title; the response is a short summary of it, as its author might
    write one.

    ## Action Space
    `Unicode(20000)`: the text of the summary.

    ## Observation Space
    `Dict(prompt: Unicode(100000))`: "SUBREDDIT: r/...\\n\\nTITLE: ...\\n\\nPOST: ...\\n\\nTL;DR:".

    ## Starting State
    A record of the split, drawn uniformly, or the one that `reset(options={"index": i})` names.

    ## Reward
    By default the score of the bundled LoRA reward model. `reward="gold"` is the judge of the miniature data.

    ## Episode End
    After one response; it terminates and never truncates.

    ## Information
    `index` at reset: the record. At the end, for the miniature data: `gold` in [0, 1] and `is_success`.

    ## Arguments
    `data`: "miniature", or "hub" (openai/summarize_from_feedback, its comparisons; see `envs.data.hub`), or a path to
    a file of OpenAI's comparisons or of the filtered posts, or a folder of them. `split`: "train", "validation" or
    "test". `reward`, `render_mode`: see `envs.core.TaskEnv`.

    ## Version History
    v0: first version.
    """

    default_reward = "rewards.bundled:tldr"
    shipped_backbone = "tiny-tldr"
    grammar = TLDRGrammar()
    source = Source(
        read_tldr,
        _recorded_split,
        _JSON,
        "OpenAI's json files",
        hub=Hub(parse_tldr, "openai/summarize_from_feedback", folder="comparisons", branch="refs/convert/parquet"),
    )


class BOLT(TextTask):
    """Summarise a thread of short messages: BOLT English SMS/Chat.

    ## Description
    The prompt is a chat of a few people; the response is a short summary of it. As in the paper (arXiv 2403.10704)
    the reward is TL;DR's: it was trained on posts, and no summary of a thread was ever labelled.

    ## Action Space
    `Unicode(20000)`: the text of the summary.

    ## Observation Space
    `Dict(prompt: Unicode(100000))`: "THREAD:\\nAmy: ...\\nBen: ...\\n\\nTL;DR:".

    ## Starting State
    A record of the split, drawn uniformly, or the one that `reset(options={"index": i})` names.

    ## Reward
    By default the score of TLDR's bundled LoRA reward model. `reward="gold"` is the judge of the miniature data.

    ## Episode End
    After one response; it terminates and never truncates.

    ## Information
    `index` at reset: the record. At the end, for the miniature data: `gold` in [0, 1] and `is_success`.

    ## Arguments
    `data`: "miniature", or a path to a jsonl file of threads or to BOLT's XML, or a folder
    of them. `split`: "train", "validation" or "test". `reward`, `render_mode`: see `envs.core.TaskEnv`.

    ## Version History
    v0: first version.
    """

    default_reward = "rewards.bundled:tldr"
    shipped_backbone = "tiny-tldr"
    grammar = BOLTGrammar()
    source = Source(
        read_bolt, _recorded_split, ("*.jsonl", "*.jsonl.gz", "*.xml"), "a jsonl file of threads or BOLT's XML"
    )


class HH(TextTask):
    """Answer a person harmlessly and helpfully: the harmless half of Anthropic's HH-RLHF.

    ## Description
    The prompt is a conversation; the response is the assistant's next turn. Some requests are harmful and
    should be declined with a reason and an offer of other help, the rest should be answered.

    ## Action Space
    `Unicode(20000)`: the text of the response.

    ## Observation Space
    `Dict(prompt: Unicode(100000))`: an HH transcript, "\\n\\nHuman: ... \\n\\nAssistant:".

    ## Starting State
    A record of the split, drawn uniformly, or the one that `reset(options={"index": i})` names.

    ## Reward
    By default the score of the bundled LoRA reward model. `reward="gold"` is the judge of the miniature data.

    ## Episode End
    After one response; it terminates and never truncates.

    ## Information
    `index` at reset: the record. At the end, for the miniature data: `gold` in [0, 1] and `is_success`.

    ## Arguments
    `data`: "miniature", or "hub" (Anthropic/hh-rlhf, its harmless-base; see `envs.data.hub`), or a path to HH-RLHF's
    own jsonl(.gz) file, or a folder with train and test files.
    `split`: "train", "validation" or "test". `reward`, `render_mode`: see `envs.core.TaskEnv`.

    ## Version History
    v0: first version.
    """

    default_reward = "rewards.bundled:hh"
    grammar = HHGrammar()
    source = Source(
        read_hh,
        split_of_hh,
        ("*.jsonl", "*.jsonl.gz"),
        "HH-RLHF's jsonl(.gz) file",
        named=True,
        hub=Hub(parse_hh, "Anthropic/hh-rlhf", folder="harmless-base"),
    )


class SHP(TextTask):
    """Answer a question on Reddit so that people find it helpful: Stanford Human Preferences.

    ## Description
    The prompt is a post that asks something; the response is a comment. Of two comments to a post the preferred one
    has more votes although it was not visible for longer.

    ## Action Space
    `Unicode(20000)`: the text of the comment.

    ## Observation Space
    `Dict(prompt: Unicode(100000))`: "POST: ...\\n\\nCOMMENT:".

    ## Starting State
    A record of the split, drawn uniformly, or the one that `reset(options={"index": i})` names.

    ## Reward
    By default the score of the bundled LoRA reward model. `reward="gold"` is the judge of the miniature data.

    ## Episode End
    After one response; it terminates and never truncates.

    ## Information
    `index` at reset: the record. At the end, for the miniature data: `gold` in [0, 1] and `is_success`.

    ## Arguments
    `data`: "miniature", or "hub" (stanfordnlp/SHP; see `envs.data.hub`), or a path to SHP's own files, or a folder of
    them. `split`: "train", "validation" or "test".
    `min_score_ratio`: leave out pairs of a lower ratio of votes. `max_pairs_per_post`: keep so many pairs of a post,
    those of the highest ratio; all by default. `reward`, `render_mode`: see `envs.core.TaskEnv`.

    ## Version History
    v0: first version.
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
        _check_shp_options(min_score_ratio, max_pairs_per_post)
        self.source = shp_source(min_score_ratio, max_pairs_per_post)
        super().__init__(data, split)


def _check_shp_options(min_score_ratio: Any, max_pairs_per_post: Any) -> None:
    """Refuses wrong values before anything is read."""
    if type(min_score_ratio) not in (int, float) or not 1 <= min_score_ratio < math.inf:
        raise UserError(f"min_score_ratio must be a number of at least 1, got {min_score_ratio!r}.")
    if max_pairs_per_post is not None and (type(max_pairs_per_post) is not int or max_pairs_per_post < 1):
        raise UserError(f"max_pairs_per_post must be at least 1, a whole number, got {max_pairs_per_post!r}.")


@lru_cache(maxsize=8)
def shp_source(min_score_ratio: float, max_pairs_per_post: int | None) -> Source:
    """The reader of SHP's files and of its rows on the hub, with its two options."""
    read = partial(read_shp, min_score_ratio=min_score_ratio, max_pairs_per_post=max_pairs_per_post)
    hub = Hub(
        partial(parse_shp, min_score_ratio=min_score_ratio),
        "stanfordnlp/SHP",
        surplus=None if max_pairs_per_post is None else partial(surplus_pairs, max_pairs_per_post=max_pairs_per_post),
        options=f"{min_score_ratio=}, {max_pairs_per_post=}",
    )
    return Source(read, _recorded_split, _JSON, "SHP's json files", hub=hub)


class Taskmaster(TextTask):
    """Take an order as an agent: the next turn of a dialog, in words or as a call of an API.

    ## Description
    The data released with the first version of the paper (arXiv 2403.10704): Taskmaster-3 (cinema tickets) and
    Taskmaster-4 (coffee), each dialog cut off where the agent is to speak. Responses are labelled one by one, good
    or bad.

    ## Action Space
    `Unicode(20000)`: what the agent says, or `call NAME(argument: value, ...)`.

    ## Observation Space
    `Dict(prompt: Unicode(100000))`: one line a turn, "user: ...\\nagent: ...\\napi: ...\\nagent:".

    ## Starting State
    A record of the split, drawn uniformly, or the one that `reset(options={"index": i})` names.

    ## Reward
    By default the logit of the bundled pointwise LoRA reward model. `reward="gold"` is the judge of the miniature data.

    ## Episode End
    After one response; it terminates and never truncates.

    ## Information
    `index` at reset: the record. At the end, for the miniature data: `gold` in [0, 1] and `is_success`.

    ## Arguments
    `domain`: "coffee" or "ticketing". `data`: "miniature", or a path to the original reward files, or a folder that
    has them below TM-3-2020 and TM-4-2024. `split`: "train", "validation" or "test", by the dialog's first user turn.
    `reward`, `render_mode`: see `envs.core.TaskEnv`.

    ## Version History
    v0: first version.
    """

    shipped_backbone = "tiny-taskmaster"
    source = Source(read_taskmaster, split_of_taskmaster, ("reward_*.json", "reward_*.json.gz"), "the reward files")

    def __init__(self, domain: str = "coffee", data: str = "miniature", split: str = "train") -> None:
        """
        Args:
            domain: "coffee" or "ticketing".
            data, split: as of `TextTask`.
        """
        if not isinstance(domain, str) or domain not in TASKMASTER:
            raise UserError(f"unknown domain {domain!r}.{did_you_mean(str(domain), TASKMASTER)}")
        self.domain, self.grammar = domain, TASKMASTER[domain]
        self.default_reward = f"rewards.bundled:taskmaster_{domain}"
        super().__init__(_folder_of(domain, data_name(data)), split)


_FOLDERS = {"coffee": "TM-4-2024", "ticketing": "TM-3-2020"}


def _folder_of(domain: str, data: str) -> str:
    """The domain's own folder where `data` has both.

    Raises:
        UserError: only the other domain's files are there.
    """
    path, other = Path(data), "coffee" if domain == "ticketing" else "ticketing"
    if (path / _FOLDERS[domain]).is_dir():
        return str(path / _FOLDERS[domain])
    if _FOLDERS[other] in path.parts or (path / _FOLDERS[other]).is_dir():
        raise UserError(f"{data} holds the files of domain {other!r}, not of {domain!r}; give domain={other}.")
    return data


TASKMASTER = {domain: TaskmasterGrammar(domain) for domain in ("coffee", "ticketing")}
