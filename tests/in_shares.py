"""Holds a base that is shared out beside a whole one, in each of the processes that were started with it.

    RANK=0 WORLD_SIZE=2 MASTER_ADDR=localhost MASTER_PORT=29500 python tests/in_shares.py MODELS OUT

MODELS is a folder of models. OUT/RANK.json is what this process found; OUT/NAME is what training gave, see
`in_processes.train`. `tests/test_sharding.py` starts it.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from gymnasium import spaces
from in_processes import train
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM

from agents import preflight
from agents.policy import LoRAPolicy
from backbones import Backbone, LoRASettings, generate, group
from backbones.fit import FitSettings, fit
from backbones.forward import log_probs_of, map_batches, read_head, response_states, speak
from backbones.model.anatomy import hash_base
from backbones.model.loading import LoadSettings
from backbones.pooled import Reading
from backbones.sharding import local
from perlhf.errors import UserError
from rewards.reward_model import RewardModel
from rewards.states import read_states

PROMPTS = [[5, 6, 7, 8, 9], [10, 11], [12, 13, 14]]
RESPONSES = [[20, 21, 22], [30, 31, 32, 33, 1], [40]]
PPO_CASES = {
    "HH": {
        "env": "HH-v0", "turns": 16, "batch_size": 5, "micro_batch_size": 1, "n_epochs": 2, "learning_rate": 3e-3,
        "ent_coef": 0.01,
    },
    "cut and broken episodes": {
        "env": "test/Troubled-v0", "turns": 48, "n_steps": 3, "batch_size": 8, "gamma": 0.9, "learning_rate": 3e-3,
        "env_options": {"reward": "in_processes:letters", "max_episode_steps": 2},
    },
}  # fmt: skip


def load(models, name, shard=True, precision="fp32"):
    """A model as shares, of which the files are read on the first process alone; or whole."""
    plain = AutoModelForCausalLM.from_pretrained
    if shard and not group.is_first():
        AutoModelForCausalLM.from_pretrained = None  # whoever calls it fails
    try:
        return Backbone.load(models / name, "cpu", LoadSettings(shard_base=shard, precision=precision))
    finally:
        AutoModelForCausalLM.from_pretrained = plain


def perturbed(role):
    generator = torch.Generator().manual_seed(1)
    for parameter in role.parameters().values():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return role


def roles_of(backbone):
    """Adapters of several kinds, that say something of their own."""
    made = [
        backbone.add_role("policy", LoRASettings(4, init="pissa")),
        backbone.add_role("value", LoRASettings(2, layers=1, targets="all-linear"), head=True, seed=3),
    ]
    return [perturbed(role) for role in made]


def figures_and_gradients(backbone):
    """log p, entropies, values and their gradients, of rows of this process's own."""
    prompts, responses = PROMPTS[group.rank() % 2 :], RESPONSES[group.rank() % 2 :]
    found = []
    for role in roles_of(backbone):
        with role.active() as model:
            batch = backbone.batch(prompts, responses)
            spoken = speak(model, batch, with_entropy=True)
            figures = [spoken.log_probs * batch.response_mask, spoken.entropies * batch.response_mask]
            if role.head is not None:
                figures.append(read_head(role.head, response_states(model, batch)) * batch.response_mask)
            sum(figure.square().sum() for figure in figures).backward()
        found += [figure.detach() for figure in figures]
        found += [p.grad for p in role.parameters().values() if p.grad is not None]
    return [*found, log_probs_of(backbone.reference, prompts, responses)]


def unequal_work(backbone):
    """What takes another number of forwards on each process: rows to sample, score and read; some have none."""
    role = perturbed(backbone.add_role("policy", LoRASettings(4)))
    mine = [PROMPTS[i % 3] for i in range(4 * group.rank())]
    said = generate(role, mine, 12, 1.0, [7 + i for i in range(len(mine))], batch_size=2)
    greedy = generate(role, PROMPTS, 8, 0.0)
    rows = [[i] for i in range(len(mine))]
    answers = [[20 + i, 1] for i in range(len(mine))]

    def forwards(batch):
        with role.active() as model:
            return speak(model, batch).log_probs, speak(model, batch).log_probs

    mapped = map_batches(backbone, mine, answers, forwards, rows)
    scorer = RewardModel(perturbed(backbone.add_role("reward", LoRASettings(2), head=True)))
    texts = ["yes", "no maybe", "good bad yes"][: group.rank() + 1] * 2
    scores = scorer.raw_scores(texts, texts, batch_size=1)
    pairs = [[(prompt, [20, 1]), (prompt, [30, 31, 1])] for prompt in PROMPTS[:1] * (2 * group.size() + 1)]
    states = read_states(backbone.reference, pairs, [Reading(), Reading("mean", 1)], with_log_probs=1)
    mapped = mapped if mine else []  # those of a whole base are none at all
    return [said, greedy], [*mapped, scores, scorer.raw_scores_of(pairs), *states.of.values()]


def fitted(backbone, log):
    """An adapter that was fitted on batches of which not all processes have a row; one forward a row."""
    role = backbone.add_role("policy", LoRASettings(4))
    rows = [(PROMPTS[i % 3], RESPONSES[i % 3]) for i in range(2 * group.size() + 1)]

    def loss(chunk, batch):
        tokens = backbone.batch(*zip(*(rows[i] for i in chunk), strict=True))
        with role.active() as model:
            log_probs = speak(model, tokens).log_probs * tokens.response_mask
        return -log_probs.sum() / len(batch), {"rows": len(chunk) / len(batch)}

    settings = FitSettings(2, 2 * group.size(), 1e-2, micro_batch_size=1, warmup_steps=1)
    fit(role, [len(p) + len(r) for p, r in rows], loss, settings, np.random.default_rng(0), log)
    return [parameter.detach() for parameter in role.parameters().values()]


def bytes_of(backbone):
    """The bytes that this process holds, of decoder layers and of all else."""
    named = [(n, p) for n, p in backbone.model.named_parameters() if ".lora_" not in n]
    of_layers = sum(local(p).nbytes for n, p in named if ".layers." in n)
    return of_layers, sum(local(p).nbytes for _, p in named) - of_layers


def preflight_of(policy):
    """Whether the base is seen to be unchanged, and to be changed where one number of this process's shares is."""
    before = preflight.snapshot(policy)
    same = preflight.after_update(policy, *before)[0].passed
    share = next(p for p in policy.backbone.model.parameters() if isinstance(p, DTensor))
    share.to_local().view(-1)[0] += 1
    return [same, preflight.after_update(policy, *before)[0].passed]


def refused(models):
    """The lines that say what does not go with it."""
    lines = []
    for make in (
        lambda: Backbone.load(models / "gemma", "cpu", LoadSettings(shard_base=True, precision="int4")),
        lambda: Backbone.load(models / "gemma", settings=LoadSettings(shard_base=True)).add_role(
            "policy", LoRASettings(4, variant="dora")
        ),
        lambda: Backbone.load(models / "nothing", "cpu", LoadSettings(shard_base=True)),
    ):
        try:
            make()
        except UserError as error:
            lines.append(str(error))
    return lines


def gap(some, others):
    return max(float((one - other).detach().abs().max()) for one, other in zip(some, others, strict=True))


def compare(models, out):
    """Everything beside what a whole base gives in the very same processes."""
    found = {"gaps": {}, "hashes": []}
    for name, precision in (("gemma", "fp32"), ("llama", "mixed")):
        shares, whole = (load(models, name, shard, precision) for shard in (True, False))
        found["hashes"].append([shares.hash, whole.hash])
        found["gaps"][f"{name} {precision}"] = gap(figures_and_gradients(shares), figures_and_gradients(whole))
        found[f"{name} bytes"] = [bytes_of(shares), bytes_of(whole)]
        if name == "gemma":
            (said, figures), (whole_said, whole_figures) = unequal_work(shares), unequal_work(whole)
            found["said"] = [said, whole_said]
            found["gaps"]["unequal work"] = gap(figures, whole_figures)
            logs = [out / f"fit-{kind}.jsonl" for kind in ("shares", "whole")]
            found["gaps"]["fit"] = gap(fitted(shares, logs[0]), fitted(whole, logs[1]))
            found["whereabouts"] = shares.whereabouts
    found["refused"] = refused(models)
    return found


if __name__ == "__main__":
    models, out = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    group.start()
    found = compare(models, out)
    Backbone.release_all()
    for name, case in PPO_CASES.items():
        train(**case, backbone=str(models / "gemma"), out=str(out / name), policy_kwargs={"shard_base": True})
    found["hash of shares"] = hash_base(load(models, "gemma").model)
    text = spaces.Text(9)
    policy = LoRAPolicy(text, text, lambda _: 1e-3, backbone=str(models / "gemma"), shard_base=True)
    found["preflight"] = preflight_of(policy)
    (out / f"{group.rank()}.json").write_text(json.dumps(found))
    group.gather(None)
    dist.destroy_process_group()
