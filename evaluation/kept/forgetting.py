"""What a policy forgets: its loss on text of the kind that its backbone was pretrained on, beside SFT's.

Of prompts and of responses apart. No algorithm trains on prompts, so what the loss on them rises by is forgotten; the
responses that people preferred are also what a better policy no longer says.
"""

from collections.abc import Sequence
from pathlib import Path

from agents.setup import Setup
from backbones.forward import log_probs_of
from backbones.roles import Role
from envs.corpora.records import Record
from evaluation.finished_run import load_policy, ppo_config, setup_of_run

RECORDS = 256  # held-out ones that it is measured on


def forgotten(folder: Path) -> dict[str, float]:
    """Returns by how much the policy of a finished run has a higher loss than SFT, in nats a token.

    Returns:
        `prompts` and `responses`: of held-out records of the task, those of responses given their prompts.
    """
    setup = setup_of_run(ppo_config(folder), device="cpu")
    policy = load_policy(folder, setup, threads=1)
    prompts, responses = texts_of(setup)
    ours, base = (losses(role, prompts, responses) for role in (policy, policy.backbone.reference))
    return {part: ours[part] - base[part] for part in ours}


def texts_of(setup: Setup) -> tuple[list[str], list[str]]:
    """Returns prompts of validation pairs, and the responses that were preferred."""
    records = setup.feedback("validation")[0].records[:RECORDS]
    pairs = [record for record in records if isinstance(record, Record)]
    return [pair.prompt for pair in pairs], [pair.chosen for pair in pairs]


def losses(role: Role, prompts: Sequence[str], responses: Sequence[str]) -> dict[str, float]:
    """Returns the mean loss of a token under a role, in nats: in prompts behind their first token, and in responses."""
    backbone = role.backbone
    asked = [backbone.encode_prompt(prompt) for prompt in prompts]
    said = [backbone.encode_response(response) for response in responses]
    return {
        "prompts": _loss(role, [ids[:1] for ids in asked], [ids[1:] for ids in asked]),
        "responses": _loss(role, asked, said),
    }


def _loss(role: Role, before: Sequence[Sequence[int]], tokens: Sequence[Sequence[int]]) -> float:
    return -float(log_probs_of(role, before, tokens).double().sum()) / sum(map(len, tokens))
