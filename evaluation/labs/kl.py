"""`perlhf lab kl`: estimates of the KL beside the KL itself, as numbers and as penalties. See docs/labs/kl.md.

The vocabulary of HH-v0's backbone is so small that every sum over it can be done. So in each state that a policy gets
into, its KL to SFT, and the mean, the variance and the sign of each estimator, are known without sampling.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from agents.hyperparameters import PolicySettings
from backbones.backbone import Backbone
from backbones.draws import EVALUATION, row_seeds
from backbones.forward import response_logits
from backbones.generate import generate
from backbones.model.loading import SHIPPED
from backbones.roles import Role, load_role
from backbones.shortcuts.shared_lines import shared_lines
from envs.registry import env_id, task_of
from evaluation.labs.cells import Cell, cost_of, finish, table, weights_hash
from evaluation.labs.kl_estimators import (
    ESTIMATORS,
    WAYS,
    coefficients,
    estimates,
    exact_kl,
    judge,
    less_the_others,
    moments,
    standard_errors,
    to_come,
)
from evaluation.labs.kl_figure import draw, has_direction
from evaluation.labs.lab import Lab
from evaluation.labs.training import PAPER, ppo_of, recipe_named
from evaluation.metrics import bootstrap_mean, interval
from perlhf.run_folder import write_text

ENV = "HH-v0"
TRUTHS = ("exact", "exact, each token alone", "exact KL(SFT || policy), each token alone")
_TOGETHER = 64  # responses in a forward


class Sizes(NamedTuple):
    """Says how much of everything.

    Attributes:
        near, end: updates of PPO with the paper's adapters and a KL penalty.
        free: updates of the same without it.
        prompts, samples: from which the numbers are, and responses to each.
        few, group, batches: prompts that the gradients are of, responses to each in a batch, and batches.
    """

    near: int
    end: int
    free: int
    prompts: int
    samples: int
    few: int
    group: int
    batches: int


FULL = Sizes(near=8, end=48, free=32, prompts=64, samples=4, few=8, group=8, batches=12)
QUICK = Sizes(near=1, end=2, free=2, prompts=8, samples=4, few=2, group=4, batches=4)


def run(folder: Path, seed: int, quick: bool) -> list[str]:
    """Runs the lab; see `evaluation.labs.lab.Lab`."""
    sizes = QUICK if quick else FULL
    policies = _train(folder, seed, sizes)
    values, gradients = {}, {}
    for name, where in policies.items():
        asked = {"seed": seed, "policy": weights_hash([where])}
        of_values = {**asked, "prompts": sizes.prompts, "samples": sizes.samples}
        make = partial(_values, where, sizes, seed)
        values[name] = finish(folder, Cell(f"values-{where.name}", of_values, make))
        of_gradients = {**asked, "prompts": sizes.few, "group": sizes.group, "batches": sizes.batches}
        make = partial(_gradients, where, sizes, seed)
        gradients[name] = finish(folder, Cell(f"gradients-{where.name}", of_gradients, make))
    lines = [*value_rows(values), "", *gradient_rows(gradients)]
    draw(values, gradients, folder / "kl.png")
    write_text(folder / "kl.md", "\n".join(lines) + "\n")
    return [*lines, "", f"{cost_of(folder):.0f} CPU seconds in all -> {folder}"]


# The policies.


def _train(folder: Path, seed: int, sizes: Sizes) -> dict[str, Path]:
    """Trains policies at several distances from SFT; returns their adapters by what they are called."""
    recipe = {**recipe_named(ENV), **PAPER}
    made_of = {"seed": seed, "recipe": recipe, "base": weights_hash([SHIPPED["tiny"]])}
    runs = {"penalized": (recipe["kl_coef"], [sizes.near, sizes.end]), "free": (0.0, [sizes.free])}
    found: dict[str, Path] = {}
    for name, (kl_coef, updates) in runs.items():
        folders = [folder / "policies" / f"{name}-{count}" for count in updates]
        make = partial(_fit, {**recipe, "kl_coef": kl_coef}, dict(zip(updates, folders, strict=True)), seed)
        asked = {**made_of, "kl_coef": kl_coef, "updates": updates}
        finish(folder, Cell(f"train-{name}", asked, make, folders))
        without = "" if kl_coef else " without KL"
        names = (f"{count} update{'s' if count > 1 else ''}{without}" for count in updates)
        found |= dict(zip(names, folders, strict=True))
    return found


def _fit(recipe: Mapping[str, Any], at: Mapping[int, Path], seed: int) -> dict[str, Any]:
    """Trains by a recipe, and saves the policy after some numbers of updates."""
    model = ppo_of(ENV, recipe, seed)
    kls, done = {}, 0
    for updates, folder in at.items():
        model.learn((updates - done) * recipe["n_envs"], reset_num_timesteps=done == 0)
        done = updates
        model.policy.policy_role.save(folder)
        assert model.rollout is not None
        kls[str(updates)] = float(model.rollout.response_kl.mean())
    return {"kl_of_the_last_rollout": kls}


# What they say, and all that they might have said.


class _Speaker:
    """Samples responses of a policy to held-out prompts, and computes both distributions at each of their tokens."""

    def __init__(self, folder: Path, prompts: int, seed: int) -> None:
        self.backbone = Backbone.load("tiny", "cpu")
        self.role = load_role(folder, "policy", False, self.backbone)[0]
        self.seed = seed
        task = task_of(env_id(ENV), split="test")
        shown = [task.observe(state)["prompt"] for state in task.first_states(prompts)]
        self.prompts = [self.backbone.encode_prompt(prompt) for prompt in shown]

    def answers(self, group: int, turn: int = 0) -> tuple[list[list[int]], list[list[int]]]:
        """Samples `group` responses to each prompt, side by side; returns the tokens of prompts and responses."""
        prompts = [prompt for prompt in self.prompts for _ in range(group)]
        seeds = row_seeds(self.seed, range(len(prompts)), turn, EVALUATION)
        return prompts, generate(self.role, prompts, PolicySettings().max_new_tokens, 1.0, seeds)

    def distributions(self, role: Role, prompts: Any, responses: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Computes log p of all tokens (N, T, V), the ids of those that were said and their mask, (N, T)."""
        batch = shared_lines(self.backbone, prompts, responses)
        with role.active() as model:
            return response_logits(model, batch, 1.0).log_softmax(-1), batch.response_ids, batch.response_mask


def _chosen(log_p: Tensor, ids: Tensor) -> Tensor:
    return log_p.gather(-1, ids[..., None])[..., 0]


@torch.no_grad()
def _values(folder: Path, sizes: Sizes, seed: int) -> dict[str, Any]:
    """Computes what estimators are as numbers: at each token exactly, and of whole responses by the sampled ones."""
    speaker = _Speaker(folder, sizes.prompts, seed)
    prompts, responses = speaker.answers(sizes.samples)
    of_states: dict[str, list[Tensor]] = {f"{name} {what}": [] for name in ESTIMATORS for what in _MOMENTS}
    of_states |= {"kl": [], "other way": []}
    of_responses: dict[str, list[Tensor]] = {name: [] for name in (*ESTIMATORS, *_WHOLE, "exact")}
    for begin in range(0, len(prompts), _TOGETHER):
        rows = slice(begin, begin + _TOGETHER)
        log_p, ids, mask = speaker.distributions(speaker.role, prompts[rows], responses[rows])
        log_q, _, _ = speaker.distributions(speaker.backbone.reference, prompts[rows], responses[rows])
        kl = exact_kl(log_p, log_q)
        of_states["kl"].append(kl[mask])
        of_states["other way"].append(exact_kl(log_q, log_p)[mask])
        for name, moment in moments(log_p, log_q).items():
            for what, figure in zip(_MOMENTS, moment, strict=True):
                of_states[f"{name} {what}"].append(figure[mask])
        log_p, log_q = _chosen(log_p, ids) * mask, _chosen(log_q, ids) * mask
        sums = {name: k.sum(1) for name, k in estimates(log_p, log_q).items()}
        whole = estimates(log_p.sum(1), log_q.sum(1))
        sums |= {"exact": (kl * mask).sum(1), **{name: whole[name[:2]] for name in _WHOLE}}
        for name, figure in sums.items():
            of_responses[name].append(figure)
    return {
        "tokens": _of_tokens({name: torch.cat(parts).double() for name, parts in of_states.items()}),
        "responses": _of_responses({name: torch.cat(parts).double() for name, parts in of_responses.items()}),
    }


_MOMENTS = ("mean", "variance", "negative")
_WHOLE = ("k2 of the whole", "k3 of the whole")  # of the log-ratio of a response, not summed over its tokens


def _of_tokens(found: Mapping[str, Tensor]) -> dict[str, Any]:
    """Returns means over the visited states: of the KL, and of what each estimator is around it."""
    kl = found["kl"]
    report: dict[str, Any] = {"n": len(kl), "kl": float(kl.mean()), "other_way": float(found["other way"].mean())}
    for name in ESTIMATORS:
        mean, variance, negative = (found[f"{name} {what}"] for what in _MOMENTS)
        report[name] = {
            "bias": float((mean - kl).mean()),
            "sd": float(variance.mean().sqrt()),
            "negative": float(negative.mean()),
        }
    return report


def _of_responses(found: Mapping[str, Tensor]) -> dict[str, Any]:
    """Returns the KL of a response, and each estimate less the exact sum over the states of that response."""
    exact = found["exact"]
    report: dict[str, Any] = {"n": len(exact), "exact": {**bootstrap_mean(exact), "sd": float(exact.std())}}
    for name, of_rows in found.items():
        if name != "exact":
            bias = bootstrap_mean(of_rows - exact)
            report[name] = {**bias, "sd": float(of_rows.std()), "negative": float((of_rows < 0).double().mean())}
    return report


# What they are as penalties.


def _gradients(folder: Path, sizes: Sizes, seed: int) -> dict[str, Any]:
    """Computes the gradient of the KL of a response by the adapter, exactly and as each penalty has it."""
    speaker = _Speaker(folder, sizes.few, seed)
    speaker.role.trainable = True
    names = [*TRUTHS, *WAYS]
    found: list[list[Tensor]] = [[] for _ in names]
    for batch in range(sizes.batches):
        prompts, responses = speaker.answers(sizes.group, 1 + batch)
        for i, gradient in enumerate(_of_batch(speaker, prompts, responses, sizes.group)):
            found[i].append(gradient)
    stacked = torch.stack([torch.stack(of_name) for of_name in found]).flatten(0, 1).double()
    gram = (stacked @ stacked.T).unflatten(0, (len(names), -1)).unflatten(2, (len(names), -1))
    judged, errors = judge(gram), standard_errors(gram)
    return {
        name: {**of_name._asdict(), "standard_error": error._asdict()}
        for name, of_name, error in zip(names, judged, errors, strict=True)
    }


def _of_batch(speaker: _Speaker, prompts: Any, responses: Any, group: int) -> list[Tensor]:
    """Returns the gradient of each of `TRUTHS` and `WAYS` by the adapter, as the mean over some responses."""
    with torch.no_grad():
        log_q, _, _ = speaker.distributions(speaker.backbone.reference, prompts, responses)
    with speaker.role.active():
        log_p, ids, mask = speaker.distributions(speaker.role, prompts, responses)
        said, reference = _chosen(log_p, ids), _chosen(log_q, ids)
        kl = exact_kl(log_p, log_q) * mask
        weights = coefficients(said.detach(), reference, mask, group)
        # What a token does to the KL of the states behind it, beside what it does to that of its own.
        behind = less_the_others(to_come(kl.detach()) - kl.detach(), mask, group)
        alone = kl.sum()
        losses = [alone + (behind * said).sum(), alone, (exact_kl(log_q, log_p) * mask).sum()]
        losses += [(weights[way] * said).sum() for way in WAYS]
        parameters = list(speaker.role.parameters().values())
        gradients = (torch.autograd.grad(loss, parameters, retain_graph=True) for loss in losses)
        return [torch.cat([part.flatten() for part in of_loss]) / len(prompts) for of_loss in gradients]


# What is shown.


def value_rows(values: Mapping[str, Any]) -> list[str]:
    """Returns tables of the estimators as numbers, a token and a response."""
    head = ["a token", "KL, nats", *(f"{n} {what}" for n in ESTIMATORS for what in ("bias", "sd", "< 0"))]
    rows = []
    for name, of in values.items():
        tokens = of["tokens"]
        cells = [f"{tokens['kl']:.4f}"]
        for estimator in ESTIMATORS:
            e = tokens[estimator]
            cells += [f"{_nought(e['bias'], 4):+.4f}", f"{e['sd']:.3f}", f"{e['negative']:.0%}"]
        rows.append([name, *cells])
    lines = [*table(head, rows), ""]
    columns = (*ESTIMATORS, *_WHOLE)
    head = [
        "a response",
        "KL, nats",
        "sd of the exact sum",
        *(f"{n} {what}" for n in columns for what in ("bias", "sd")),
    ]
    rows = []
    for name, of in values.items():
        exact = of["responses"]["exact"]
        cells = [interval(exact), f"{exact['sd']:.2f}"]
        for column in columns:
            e = of["responses"][column]
            cells += [f"{e['mean']:+.2f} [{e['low']:+.2f}, {e['high']:+.2f}]", f"{e['sd']:.2f}"]
        rows.append([name, *cells])
    return [*lines, *table(head, rows)]


def gradient_rows(gradients: Mapping[str, Any]) -> list[str]:
    """Returns a table of the penalties, a row each and columns for each policy."""
    lines: list[str] = []
    for name, of in gradients.items():
        rows = []
        for way in (*TRUTHS, *WAYS):
            errors = of[way]["standard_error"]
            shown = {key: f"{of[way][key]:.2f} ± {errors[key]:.2f}" for key in ("cosine", "length", "bias", "noise")}
            if not has_direction(of[way]):
                shown["cosine"] = "none"
            rows.append([way, *shown.values()])
        lines += [*table([name, "cosine", "length", "bias", "noise of a batch"], rows), ""]
    return lines[:-1]


def _nought(value: float, digits: int) -> float:
    """Rounds, so that what is 0 has no sign of its rounding."""
    return round(value, digits) + 0.0


LAB = Lab("k1, k2 and k3 beside the exact KL: as numbers, in the reward, as a loss", (8, 0.5), run)
