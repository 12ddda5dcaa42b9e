"""HH-v0."""

from envs.corpora.splits import Hub, Source
from envs.hh.reader import parse_hh, read_hh, split_of
from envs.hh.requests import HHGrammar
from envs.text_task import TextTask


class HH(TextTask):
    """Answer a person harmlessly and helpfully: the harmless half of Anthropic's HH-RLHF.

    ## Description
    The prompt is a conversation; the response is the assistant's next turn. Some requests are harmful and
    should be declined with a reason and an offer of other help, the rest should be answered.

    ## Action Space
    `Unicode(20000)`: the text of the response.

    ## Observation Space
    `Dict(prompt: Unicode(100000))`: an HH transcript, "\\n\\nHuman: ... \\n\\nAssistant:".

    ## Reward
    By default the score of the bundled LoRA reward model. `reward="gold"` is the judge of the miniature data.

    ## Arguments
    `data`: "miniature", or "hub" (Anthropic/hh-rlhf, its harmless-base; see `envs.corpora.hub`), or a path to HH-RLHF's
    own jsonl(.gz) file, or a folder with train and test files.
    `split`: "train", "validation" or "test". `instructions`: the system's message, for models with a chat template.
    `reward`, `render_mode`: see `envs.core.TaskEnv`.
    """

    default_reward = "rewards.bundled:hh"
    grammar = HHGrammar()
    source = Source(
        read_hh,
        split_of,
        ("*.jsonl", "*.jsonl.gz"),
        "HH-RLHF's jsonl(.gz) file",
        named=True,
        hub=Hub(parse_hh, "Anthropic/hh-rlhf", folder="harmless-base"),
    )
