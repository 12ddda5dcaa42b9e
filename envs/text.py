"""The text tasks: HH-v0."""

from envs.data.hh import read_hh, split_of
from envs.data.miniature.hh_grammar import HHGrammar
from envs.data.splits import Source
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

    ## Starting State
    A record of the split, drawn uniformly, or the one that `reset(options={"index": i})` names.

    ## Reward
    By default the score of the bundled LoRA reward model. `reward="gold"` is the judge of the miniature data.

    ## Episode End
    After one response; it terminates and never truncates.

    ## Information
    `index` at reset: the record. At the end, for the miniature data: `gold` in [0, 1] and `is_success`.

    ## Arguments
    `data`: "miniature", or a path to HH-RLHF's own jsonl(.gz) file, or a folder with train and test files.
    `split`: "train", "validation" or "test". `reward`, `render_mode`: see `envs.core.TaskEnv`.

    ## Version History
    v0: first version.
    """

    default_reward = "rewards.bundled:hh"
    grammar = HHGrammar()
    source = Source(read_hh, split_of, (".jsonl", ".jsonl.gz"), "HH-RLHF's jsonl(.gz) file")
