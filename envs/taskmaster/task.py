"""Taskmaster-v0."""

from pathlib import Path

from envs.corpora.splits import Source
from envs.taskmaster.answers import TaskmasterGrammar
from envs.taskmaster.reader import read_taskmaster, split_of
from envs.text_task import TextTask, data_name
from perlhf.errors import UserError, did_you_mean

GRAMMARS = {domain: TaskmasterGrammar(domain) for domain in ("coffee", "ticketing")}
_FOLDERS = {"coffee": "TM-4-2024", "ticketing": "TM-3-2020"}


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

    ## Reward
    By default the logit of the bundled pointwise LoRA reward model. `reward="gold"` is the judge of the miniature data.

    ## Arguments
    `domain`: "coffee" or "ticketing". `data`: "miniature", or a path to the original reward files, or a folder that
    has them below TM-3-2020 and TM-4-2024. `split`: "train", "validation" or "test", by the dialog's first user turn.
    `reward`, `render_mode`: see `envs.core.TaskEnv`.
    """

    instructions = (
        "You are the agent that serves the user. Answer with one line and nothing else: either what you say to the "
        "user, or a call of one function of the service, written as call NAME(argument: value, argument: value)."
    )
    default_reward = "rewards.bundled:taskmaster_coffee"  # of the domain by default
    shipped_backbone = "tiny-taskmaster"
    source = Source(read_taskmaster, split_of, ("reward_*.json", "reward_*.json.gz"), "the reward files")

    def __init__(self, domain: str = "coffee", data: str = "miniature", split: str = "train") -> None:
        """
        Args:
            domain: "coffee" or "ticketing".
            data, split: as of `TextTask`.
        """
        if not isinstance(domain, str) or domain not in GRAMMARS:
            raise UserError(f"unknown domain {domain!r}.{did_you_mean(str(domain), GRAMMARS)}")
        self.domain, self.grammar = domain, GRAMMARS[domain]
        self.default_reward = f"rewards.bundled:taskmaster_{domain}"
        super().__init__(_folder_of(domain, data_name(data)), split)


def _folder_of(domain: str, data: str) -> str:
    """Returns the domain's own folder where `data` has both.

    Raises:
        UserError: only the other domain's files are there.
    """
    path, other = Path(data), "coffee" if domain == "ticketing" else "ticketing"
    if (path / _FOLDERS[domain]).is_dir():
        return str(path / _FOLDERS[domain])
    if _FOLDERS[other] in path.parts or (path / _FOLDERS[other]).is_dir():
        raise UserError(f"{data} holds the files of domain {other!r}, not of {domain!r}; give domain={other}.")
    return data
