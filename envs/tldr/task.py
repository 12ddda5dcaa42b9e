"""TLDR-v0."""

from envs.corpora.splits import JSON_FILES, Hub, Source, recorded_split
from envs.text_task import TextTask
from envs.tldr.grammar import TLDRGrammar
from envs.tldr.reader import parse_tldr, read_tldr


class TLDR(TextTask):
    """Summarise a Reddit post: OpenAI's TL;DR comparisons.

    ## Description
    The prompt is a post with its subreddit and title; the response is a short summary of it, as its author might
    write one.

    ## Action Space
    `Unicode(20000)`: the text of the summary.

    ## Observation Space
    `Dict(prompt: Unicode(100000))`: "SUBREDDIT: r/...\\n\\nTITLE: ...\\n\\nPOST: ...\\n\\nTL;DR:".

    ## Reward
    By default the score of the bundled LoRA reward model. `reward="gold"` is the judge of the miniature data.

    ## Arguments
    `data`: "miniature", or "hub" (openai/summarize_from_feedback, its comparisons; `envs.corpora.hub`), or a path to
    a file of OpenAI's comparisons or of the filtered posts, or a folder of them. `split`: "train", "validation" or
    "test". `instructions`: the system's message, for models with a chat template. `reward`, `render_mode`: see
    `envs.core.TaskEnv`.
    """

    default_reward = "rewards.bundled:tldr"
    shipped_backbone = "tiny-tldr"
    grammar = TLDRGrammar()
    source = Source(
        read_tldr,
        recorded_split,
        JSON_FILES,
        "OpenAI's json files",
        hub=Hub(parse_tldr, "openai/summarize_from_feedback", folder="comparisons", branch="refs/convert/parquet"),
    )
