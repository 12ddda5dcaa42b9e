"""`perlhf lab credit`: advantages as trainers estimate them beside the true ones. See docs/labs/credit.md.

The phone can be put into any state, and its judge knows what success is. So all that a policy may do in an episode is
written down with its probability (`evaluation.labs.policy_table`), and the true advantage of every turn follows from
it. Then episodes are played in that table, as many as one likes, and each estimate is made of them as in training.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from backbones.backbone import Backbone
from backbones.draws import EVALUATION, row_seeds
from backbones.forward import read_head, response_states
from backbones.generate import generate
from backbones.model.loading import SHIPPED
from backbones.roles import Role, load_role
from envs.registry import env_id, task_of
from envs.uinav.interface.episode import Episode
from envs.uinav.task import UINav
from evaluation.labs.cells import Cell, cost_of, finish, weights_hash
from evaluation.labs.credit_estimates import Played, of_equal_states, of_forks, of_values, of_whole_episodes
from evaluation.labs.credit_figure import draw
from evaluation.labs.credit_judged import sums_of
from evaluation.labs.credit_report import GROUP, rows_of, share_of, summary, value_sums
from evaluation.labs.lab import Lab
from evaluation.labs.policy_table import Node, Table, table_of
from evaluation.labs.training import ppo_of, recipe_named
from perlhf.errors import UserError
from perlhf.run_folder import write_json, write_text

ENV, BASE = "UINav-v0", "tiny-uinav"
TEMPERATURE = 0.7  # of the recipe UINav-v0.yaml
LONGEST = 48  # tokens of a response, as there
FORKS = (1, 4, 9)  # VinePPO's paper has 9
LAMBDAS = (1.0, 0.95, 0.7, 0.0)
_TURNS = 512  # of a rollout that values are trained on
_Learned = dict[str, tuple[Role, float]]  # values, by the turns that they are of: a role, and what is added to it
_FIRST_CHECK = 1 << 20  # the rows of episodes that check the tables, which have random numbers of their own


class Sizes(NamedTuple):
    """Says how much of everything.

    Attributes:
        drawn: states that are tried, in which the goal is given.
        starts: of these, at most, those where some of `GROUP` episodes succeed and some fail.
        least: the probability of the responses that are in a table.
        reach: the probability of being in a state at which a table still goes on from it.
        groups: that are played in a table.
        checks: episodes from each start, of the policy itself, that a table is held against.
        rollouts: of 512 turns on which values are trained, from fewer to more.
    """

    drawn: int
    starts: int
    least: float
    reach: float
    groups: int
    checks: int
    rollouts: tuple[int, ...]


FULL = Sizes(drawn=128, starts=16, least=0.002, reach=0.001, groups=500, checks=32, rollouts=(2, 8))
QUICK = Sizes(drawn=24, starts=2, least=0.01, reach=0.02, groups=20, checks=4, rollouts=(1,))


def run(folder: Path, seed: int, quick: bool) -> list[str]:
    """Runs the lab; see `evaluation.labs.lab.Lab`."""
    sizes = QUICK if quick else FULL
    about = {"seed": seed, "base": weights_hash([SHIPPED[BASE]]), "temperature": TEMPERATURE}
    tried = finish(folder, Cell("starts", {**about, "drawn": sizes.drawn}, partial(_try, sizes.drawn, seed)))
    mixed = [i for i, golds in enumerate(tried["successes"]) if 0 < sum(golds) < len(golds)]
    chosen = mixed[: sizes.starts]
    if len(chosen) < 2:
        raise UserError(f"{len(chosen)} of {sizes.drawn} starts have both outcomes; give another --seed.")
    learned, hashed = _values(folder, about, sizes.rollouts, seed)
    parts = []
    for i in chosen:
        asked: dict[str, Any] = {**about, "least": sizes.least, "reach": sizes.reach, "start": i}
        nodes = finish(folder, Cell(f"table-{i:03}", asked, partial(_tabulate, i, sizes, seed)))["nodes"]
        asked |= {"values": hashed, "groups": sizes.groups}
        make = partial(_judge_start, i, nodes, learned, sizes.groups, seed)
        parts.append({"template": tried["templates"][i], **finish(folder, Cell(f"start-{i:03}", asked, make))})
    asked = {**about, "chosen": chosen, "checks": sizes.checks}
    checked = finish(folder, Cell("check", asked, partial(_check, chosen, sizes.checks, seed)))
    report = {**summary(parts, seed), "check": share_of(**checked), "tokens": tried["tokens"]}
    report |= {"drawn": sizes.drawn, "mixed": len(mixed)}
    write_json(folder / "credit.json", {**report, "parts": parts})
    draw(report, folder / "credit.png")
    lines = rows_of(report)
    write_text(folder / "credit.md", "\n".join(lines) + "\n")
    return [*lines, "", f"{cost_of(folder):.0f} CPU seconds in all -> {folder}"]


# Where episodes begin, and how they end.


def _phone() -> UINav:
    task = task_of(env_id(ENV), split="train")
    assert isinstance(task, UINav)
    return task


def _start(task: UINav, number: int, seed: int) -> Episode:
    return task.start(np.random.default_rng([seed, number, 23]), {})  # 23: nothing else draws from it


def _policy() -> Role:
    return Backbone.load(SHIPPED[BASE], "cpu").reference


def _try(count: int, seed: int) -> dict[str, Any]:
    """Plays a group of episodes from each of some starts, with the policy itself; returns which succeeded."""
    task = _phone()
    starts = [_start(task, i, seed) for i in range(count)]
    successes, tokens = _outcomes(task, starts, GROUP, 0, seed)
    return {"successes": successes, "templates": [start.goal.template for start in starts], "tokens": tokens}


def _check(chosen: Sequence[int], count: int, seed: int) -> dict[str, Any]:
    """Plays other episodes from the starts that were chosen; returns how many from each, and how many succeeded."""
    task = _phone()
    successes, _ = _outcomes(task, [_start(task, i, seed) for i in chosen], count, _FIRST_CHECK, seed)
    return {"episodes": count, "successes": [sum(of_start) for of_start in successes]}


def _outcomes(
    task: UINav, starts: Sequence[Episode], count: int, first_row: int, seed: int
) -> tuple[list[list[int]], float]:
    """Plays `count` episodes from each start with the policy itself.

    Returns:
        Which succeeded, and the tokens of a response.
    """
    role = _policy()
    states, turn, said_in_all, tokens = [start for start in starts for _ in range(count)], 0, 0, 0
    successes, going = [0] * len(states), list(range(len(states)))
    while going:
        prompts = [role.backbone.encode_prompt(states[i].prompt) for i in going]
        seeds = row_seeds(seed, [first_row + i for i in going], turn, EVALUATION)
        said = generate(role, prompts, LONGEST, TEMPERATURE, seeds)
        said_in_all, tokens, left = said_in_all + len(said), tokens + sum(map(len, said)), []
        for i, ids in zip(going, said, strict=True):
            played = task.play(states[i], role.backbone.decode(ids))
            states[i] = played.state
            if not (played.terminated or played.truncated):
                left.append(i)
            successes[i] = int(played.turn.reference["success"])
        going, turn = left, turn + 1
    return [successes[i : i + count] for i in range(0, len(successes), count)], tokens / said_in_all


# Values, as PPO learns them.


def _values(folder: Path, about: Mapping[str, Any], rollouts: Sequence[int], seed: int) -> tuple[_Learned, str]:
    """Trains values of the policy; returns them by the number of turns that they were trained on, and their hash."""
    folders = {count: folder / "values" / f"after-{count}" for count in rollouts}
    make = partial(_fit_values, folders, seed)
    finish(folder, Cell("values", {**about, "rollouts": list(rollouts)}, make, list(folders.values())))
    backbone, learned = Backbone.load(SHIPPED[BASE], "cpu"), {}
    for count, where in folders.items():
        role, saved = load_role(where, "value", True, backbone)
        learned[str(count * _TURNS)] = (role, float(saved["offset"]))
    return learned, weights_hash(folders.values())


def _fit_values(at: Mapping[int, Path], seed: int) -> dict[str, Any]:
    """Trains values of the policy alone, by PPO's own warm-up, and saves them after some numbers of rollouts."""
    recipe = recipe_named("UINav-v0-ppo")
    assert recipe["n_envs"] * recipe["n_steps"] == _TURNS
    recipe |= {"temperature": TEMPERATURE, "kl_coef": 0.0, "missing_eos_penalty": 0.0, "gae_lambda": 1.0}
    model = ppo_of(ENV, {**recipe, "value_warmup": max(at), "preflight": False}, seed)
    done = 0
    for rollouts, folder in at.items():
        model.learn((rollouts - done) * _TURNS, reset_num_timesteps=done == 0)
        done = rollouts
        assert model.policy.value_role is not None
        model.policy.value_role.save(folder, {"offset": model.policy.value_offset})
    return {"turns": [count * _TURNS for count in at]}


@torch.no_grad()
def _values_of(role: Role, offset: float, made: Table) -> np.ndarray:
    """Computes the learned value of each state of a table, (nodes,), where an episode goes on; 0 where none does."""
    assert role.head is not None
    values, going = np.zeros(len(made.nodes)), [i for i, node in enumerate(made.nodes) if node.next]
    for begin in range(0, len(going), 32):
        some = going[begin : begin + 32]
        prompts = [role.backbone.encode_prompt(made.nodes[i].prompt) for i in some]
        batch = role.backbone.batch(prompts, [[role.backbone.pad_id]] * len(some))
        with role.active() as model:
            values[some] = read_head(role.head, response_states(model, batch))[:, 0].double().numpy() + offset
    return values


# One start: its table, episodes in it, and estimates of them.


def _tabulate(number: int, sizes: Sizes, seed: int) -> dict[str, Any]:
    """Makes the table of a start, as JSON."""
    task = _phone()
    made = table_of(task, _start(task, number, seed), _policy(), TEMPERATURE, sizes.least, sizes.reach, LONGEST)
    return {"nodes": [list(node) for node in made.nodes]}


def _judge_start(number: int, nodes: Sequence[Any], learned: _Learned, groups: int, seed: int) -> dict[str, Any]:
    """Plays in the table of a start, and adds up how each estimate of an advantage does."""
    made = Table(tuple(Node(*node) for node in nodes))
    played = play(made, groups, GROUP, np.random.default_rng([seed, number, 24]))
    values, turns, (low, high) = made.values(), made.turns(), made.bounds()
    seen = played.nodes[..., :-1][played.mask]
    of_states = {count: _values_of(*of_count, made) for count, of_count in learned.items()}
    found = estimates_of(made, played, of_states, np.random.default_rng([seed, number, 25]))
    to_go = float(turns[seen].mean())
    return {
        "states": sum(bool(node.next) for node in made.nodes),
        "kept": float(np.mean([made.nodes[i].kept for i in seen])),
        "value": [float(values[0]), float(low[0]), float(high[0])],
        "between": float((high - low)[seen].mean()),
        "length": float(turns[0]),
        "sums": {name: sums_of(played, of_method, values) for name, of_method in found.items()},
        "values": {count: value_sums(of_table[seen], values[seen]) for count, of_table in of_states.items()},
        "cost": {_forks(forks): 1 + forks * to_go for forks in FORKS},
    }


def estimates_of(
    made: Table, played: Played, learned: Mapping[str, np.ndarray], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Makes each estimate of the advantages of episodes, (N, G, T), by its name.

    Args:
        made: where they were played.
        played: the episodes.
        learned: values of the states, (nodes,), by the number of turns that they were learned from.
        rng: of the forks.
    """
    values, anchors = made.values(), np.array([node.anchor for node in made.nodes])
    found = {}
    counts = list(learned)
    for count in dict.fromkeys((counts[0], counts[-1])):
        for gae_lambda in LAMBDAS:
            found[f"GAE {gae_lambda:g}, V of {int(count):,} turns"] = of_values(played, learned[count], gae_lambda)
    for gae_lambda in LAMBDAS[:-1]:  # with 0 it is the truth itself
        found[f"GAE {gae_lambda:g}, true V"] = of_values(played, values, gae_lambda)
    found["RLOO"] = of_whole_episodes(played, normalized=False)
    found["GRPO"] = of_whole_episodes(played, normalized=True)
    found["GiGPO, step part"] = of_equal_states(played, anchors, normalized=False)
    found["GiGPO"] = found["GiGPO, step part"] + found["RLOO"] * (1 - 1 / GROUP)  # less the mean of all, itself too
    found["GiGPO, by spreads"] = of_equal_states(played, anchors, normalized=True) + found["GRPO"]
    for forks in FORKS:
        found[_forks(forks)] = of_forks(played, values, forks, rng)
    return found


def _forks(count: int) -> str:
    return f"VinePPO, {count} fork{'s' if count > 1 else ''}"


def play(made: Table, groups: int, group_size: int, rng: np.random.Generator) -> Played:
    """Plays groups of episodes in a table. Where it ends without an outcome, the episode is cut and has failed."""
    nodes = made.nodes
    choices = np.array([len(node.next) for node in nodes])
    following, edges = np.zeros((2, len(nodes), choices.max()))
    for i, node in enumerate(nodes):
        following[i, : choices[i]] = node.next
        edges[i, : choices[i]] = np.cumsum(node.p)
    places, mask = [np.zeros(groups * group_size, dtype=int)], []
    while (going := choices[places[-1]] > 0).any():
        here = places[-1][going]
        below = (edges[here] <= rng.random(len(here))[:, None]) & (np.arange(edges.shape[1]) < choices[here][:, None])
        chosen = np.minimum(below.sum(1), choices[here] - 1)  # the last sum may be 1 less a rounding
        after = places[-1].copy()
        after[going] = following[here, chosen]
        places.append(after)
        mask.append(going)
    outcomes = np.array([node.outcome or 0 for node in nodes], dtype=float)
    shape = (groups, group_size)
    returns, was = outcomes[places[-1]].reshape(shape), np.stack(mask, axis=1)
    reached = np.concatenate([np.ones((len(was), 1), dtype=bool), was], axis=1)
    return Played((np.stack(places, axis=1) * reached).reshape(*shape, -1), was.reshape(*shape, -1), returns)


LAB = Lab("advantages by GAE, groups, equal states and forks beside the true ones", (9, 1), run)
