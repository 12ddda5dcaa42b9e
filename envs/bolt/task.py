"""BOLT-v0."""

from envs.bolt.grammar import BOLTGrammar
from envs.bolt.reader import read_bolt
from envs.corpora.splits import Source, recorded_split
from envs.text_task import TextTask


class BOLT(TextTask):
    """Summarise a thread of short messages: BOLT English SMS/Chat.

    ## Description
    The prompt is a chat of a few people; the response is a short summary of it. As in the paper (arXiv 2403.10704)
    the reward is TL;DR's: it was trained on posts, and no summary of a thread was ever labelled.

    ## Action Space
    `Unicode(20000)`: the text of the summary.

    ## Observation Space
    `Dict(prompt: Unicode(100000))`: "THREAD:\\nAmy: ...\\nBen: ...\\n\\nTL;DR:".

    ## Reward
    By default the score of TLDR's bundled LoRA reward model. `reward="gold"` is the judge of the miniature data.

    ## Arguments
    `data`: "miniature", or a path to a jsonl file of threads or to BOLT's XML, or a folder
    of them. `split`: "train", "validation" or "test". `instructions`: the system's message, for models with a chat
    template. `reward`, `render_mode`: see `envs.core.TaskEnv`.
    """

    default_reward = "rewards.bundled:tldr"
    shipped_backbone = "tiny-tldr"
    grammar = BOLTGrammar()
    source = Source(
        read_bolt, recorded_split, ("*.jsonl", "*.jsonl.gz", "*.xml"), "a jsonl file of threads or BOLT's XML"
    )
