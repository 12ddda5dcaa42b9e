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
from evaluation.labs.cells import Cell, cost_of, finish, table, weights_hash
from evaluation.labs.credit_estimates import (
    SUMS,
    Judged,
    Played,
    judged,
    of_equal_states,
    of_forks,
    of_values,
    of_whole_episodes,
    sums_of,
)
from evaluation.labs.credit_figure import SCALED, draw
from evaluation.labs.lab import Lab
from evaluation.labs.policy_table import Node, Table, table_of
from evaluation.labs.training import ppo_of, recipe_named
from perlhf.errors import UserError
from perlhf.run_folder import write_json, write_text

ENV, BASE = "UINav-v0", "tiny-uinav"
TEMPERATURE = 0.7  # of the recipe UINav-v0.yaml
LONGEST = 48  # tokens of a response, as there
LEAST = 0.01  # probability of the responses that are in the table
GROUP = 8
FORKS = (1, 4, 9)  # VinePPO's paper has 9
LAMBDAS = (1.0, 0.95, 0.0)
_TURNS = 512  # of a rollout that values are trained on
_RESAMPLES = 1000


class Sizes(NamedTuple):
    """Says how much of everything.

    Attributes:
        drawn: states that are tried, in which the goal is given.
        starts: of these, at most, those where some of `GROUP` episodes succeed and some fail.
        reach: the probability of being in a state at which a table still goes on from it.
        groups: that are played in a table.
        rollouts: of 512 turns on which values are trained, few and more.
    """

    drawn: int
    starts: int
    reach: float
    groups: int
    rollouts: tuple[int, int]


FULL = Sizes(drawn=48, starts=16, reach=0.002, groups=200, rollouts=(2, 8))
QUICK = Sizes(drawn=24, starts=2, reach=0.02, groups=20, rollouts=(1, 2))


def run(folder: Path, seed: int, quick: bool) -> list[str]:
    """Runs the lab; see `evaluation.labs.lab.Lab`."""
    sizes = QUICK if quick else FULL
    base = weights_hash([SHIPPED[BASE]])
    about = {"seed": seed, "base": base, "temperature": TEMPERATURE}
    tried = finish(folder, Cell("starts", {**about, "drawn": sizes.drawn}, partial(_try, sizes.drawn, seed)))
    chosen = [i for i, golds in enumerate(tried["successes"]) if 0 < sum(golds) < len(golds)][: sizes.starts]
    if len(chosen) < 2:
        raise UserError(f"{len(chosen)} of {sizes.drawn} starts have both outcomes; give another --seed.")
    of_table = {**about, "reach": sizes.reach, "least": LEAST}
    tables = {}
    for i in chosen:
        make = partial(_tabulate, i, sizes.reach, seed)
        tables[i] = finish(folder, Cell(f"table-{i:02}", {**of_table, "start": i}, make))
    parts = {}
    for i in chosen:
        make = partial(_judge_start, i, tables[i], sizes.groups, seed)
        parts[i] = finish(folder, Cell(f"start-{i:02}", {**of_table, "groups": sizes.groups, "start": i}, make))
    report = summary(list(parts.values()), seed)
    report["real"] = [float(np.mean(tried["successes"][i])) for i in chosen]
    _show(report, folder)
    folders = [folder / "values" / f"after-{count}" for count in sizes.rollouts]
    make = partial(_fit_values, dict(zip(sizes.rollouts, folders, strict=True)), seed)
    finish(folder, Cell("values", {**about, "rollouts": list(sizes.rollouts)}, make, folders))
    asked = {**of_table, "values": weights_hash(folders), "groups": sizes.groups}
    learned = dict(zip(sizes.rollouts, folders, strict=True))
    for i in chosen:
        make = partial(_judge_values, i, tables[i], learned, sizes.groups, seed)
        found = finish(folder, Cell(f"learned-{i:02}", {**asked, "start": i}, make))
        parts[i] = {**parts[i], "values": found["values"], "sums": {**found["sums"], **parts[i]["sums"]}}
    report = {**summary(list(parts.values()), seed), "real": report["real"]}
    lines = _show(report, folder)
    return [*lines, "", f"{cost_of(folder):.0f} CPU seconds in all -> {folder}"]


def _show(report: Mapping[str, Any], folder: Path) -> list[str]:
    """Writes what has been found so far: figures, tables and picture; returns the tables."""
    write_json(folder / "credit.json", report)
    draw(report, folder / "credit.png")
    lines = [*about_rows(report), "", *estimate_rows(report), "", *value_rows(report)]
    write_text(folder / "credit.md", "\n".join(lines) + "\n")
    return lines


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
    task, role = _phone(), _policy()
    starts = [_start(task, i, seed) for i in range(count)]
    states, successes, turns = [s for s in starts for _ in range(GROUP)], [0] * count * GROUP, 0
    going = list(range(len(states)))
    while going:
        prompts = [role.backbone.encode_prompt(states[i].prompt) for i in going]
        seeds = row_seeds(seed, going, turns, EVALUATION)
        said = generate(role, prompts, LONGEST, TEMPERATURE, seeds)
        left = []
        for i, ids in zip(going, said, strict=True):
            played = task.play(states[i], role.backbone.decode(ids))
            states[i] = played.state
            if not (played.terminated or played.truncated):
                left.append(i)
            successes[i] = int(played.turn.reference["success"])
        going, turns = left, turns + 1
    in_groups = [successes[i : i + GROUP] for i in range(0, len(successes), GROUP)]
    return {"successes": in_groups, "templates": [start.goal.template for start in starts]}


# Values, as PPO learns them.


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
    return {"turns": {str(count): count * _TURNS for count in at}}


@torch.no_grad()
def _learned(folder: Path, prompts: Sequence[str]) -> np.ndarray:
    """Returns the learned value of each prompt, (prompts,)."""
    backbone = Backbone.load(SHIPPED[BASE], "cpu")
    role, about = load_role(folder, "value", True, backbone)
    assert role.head is not None
    found, ids = [], [backbone.encode_prompt(prompt) for prompt in prompts]
    for i in range(0, len(ids), 32):
        some = ids[i : i + 32]
        with role.active() as model:
            states = response_states(model, backbone.batch(some, [[backbone.pad_id]] * len(some)))
        found.append(read_head(role.head, states)[:, 0] + about["offset"])
    return torch.cat(found).double().numpy()


# One start: its table, episodes in it, and estimates of them.


def _tabulate(number: int, reach: float, seed: int) -> dict[str, Any]:
    """Makes the table of a start, as JSON."""
    task = _phone()
    start = _start(task, number, seed)
    made = table_of(task, start, _policy(), TEMPERATURE, LEAST, reach, LONGEST)
    return {"template": start.goal.template, "kept": made.kept, "nodes": [list(node) for node in made.nodes]}


def _played(number: int, tabulated: Mapping[str, Any], groups: int, seed: int) -> tuple[Table, Played]:
    """Returns the table of a start, and groups of episodes that were played in it."""
    made = Table(tuple(Node(*node) for node in tabulated["nodes"]), tabulated["kept"])
    return made, play(made, groups, GROUP, np.random.default_rng([seed, number, 24]))


def _judge_values(
    number: int, tabulated: Mapping[str, Any], learned: Mapping[int, Path], groups: int, seed: int
) -> dict[str, Any]:
    """Adds up how advantages by learned values do, and the values themselves, in the episodes of a start."""
    made, played = _played(number, tabulated, groups, seed)
    values, sums, errors = made.values(), {}, {}
    going = [i for i, node in enumerate(made.nodes) if node.next]
    seen = played.nodes[..., :-1][played.mask]
    for count, folder in learned.items():
        of_nodes = np.zeros(len(values))
        of_nodes[going] = _learned(folder, [made.nodes[i].prompt for i in going])
        errors[str(count)] = value_sums(of_nodes[seen], values[seen])
        for gae_lambda in LAMBDAS:
            name = f"GAE {gae_lambda:g}, V of {count * _TURNS:,} turns"
            sums[name] = sums_of(played, of_values(played, of_nodes, gae_lambda), values)
    return {"sums": sums, "values": errors}


def _judge_start(number: int, tabulated: Mapping[str, Any], groups: int, seed: int) -> dict[str, Any]:
    """Plays in the table of a start, and adds up how each estimate of an advantage does that learns no values."""
    made, played = _played(number, tabulated, groups, seed)
    values, turns = made.values(), made.turns()
    anchors = np.array([node.anchor for node in made.nodes])
    sums, cost = {}, {}
    for gae_lambda in LAMBDAS[:2]:  # with 0 it is the truth itself
        sums[f"GAE {gae_lambda:g}, true V"] = of_values(played, values, gae_lambda)
    sums["RLOO"] = of_whole_episodes(played, normalized=False)
    sums[SCALED] = of_whole_episodes(played, normalized=True)
    sums["GiGPO, step part"] = of_equal_states(played, anchors)
    sums["GiGPO"] = sums["GiGPO, step part"] + sums["RLOO"]
    for forks in FORKS:
        rng = np.random.default_rng([seed, number, 25, forks])
        sums[_forks(forks)] = of_forks(played, values, forks, rng)
        cost[_forks(forks)] = 1 + forks * float(turns[played.nodes[..., :-1]][played.mask].mean())
    return {
        "template": tabulated["template"],
        "states": sum(bool(node.next) for node in made.nodes),
        "kept": made.kept,
        "value": [float(made.values(bound)[0]) for bound in (0.0, 1.0)],
        "length": float(turns[0]),
        "sums": {name: sums_of(played, of_method, values) for name, of_method in sums.items()},
        "values": {},
        "cost": cost,
    }


def _forks(count: int) -> str:
    return f"VinePPO, {count} fork{'s' if count > 1 else ''}"


def play(made: Table, groups: int, group_size: int, rng: np.random.Generator) -> Played:
    """Plays groups of episodes in a table. Where it ends without an outcome, the episode is cut and has failed."""
    edges = [np.cumsum(node.p) for node in made.nodes]
    paths = []
    for _ in range(groups * group_size):
        path = [0]
        while (node := made.nodes[path[-1]]).next:
            place = int(np.searchsorted(edges[path[-1]], rng.random(), side="right"))
            path.append(node.next[min(place, len(node.next) - 1)])  # the last sum may be 1 less a rounding
        paths.append(path)
    longest = max(map(len, paths))
    nodes = np.array([path + [0] * (longest - len(path)) for path in paths])
    mask = np.array([[t < len(path) - 1 for t in range(longest - 1)] for path in paths])
    returns = np.array([float(made.nodes[path[-1]].outcome or 0) for path in paths])
    shape = (groups, group_size)
    return Played(nodes.reshape(*shape, -1), mask.reshape(*shape, -1), returns.reshape(shape))


# All starts together.


def value_sums(learned: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Returns sums over visited states that say how good learned values are."""
    found = (len(true), learned, true, learned * learned, true * true, learned * true)
    names = ("states", "e", "a", "ee", "aa", "ea")
    return {name: float(np.sum(each)) for name, each in zip(names, found, strict=True)}


def summary(parts: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    """Returns the figures of each estimate over all starts, with 95% bootstrap intervals over the starts.

    A turn counts as often as it is played, so a start counts by the length of its episodes.
    """
    draws = np.random.default_rng(seed).integers(len(parts), size=(_RESAMPLES, len(parts)))
    methods: dict[str, Any] = {}
    for name in parts[0]["sums"]:
        rows = np.array([[part["sums"][name][key] for key in SUMS] for part in parts])
        whole = judged(dict(zip(SUMS, rows.sum(0), strict=True)))
        again = np.array([judged(dict(zip(SUMS, rows[draw].sum(0), strict=True))) for draw in draws])
        low, high = np.quantile(again, [0.025, 0.975], axis=0)
        turns = [part["sums"][name]["turns"] for part in parts]
        costs = [part["cost"].get(name, 1.0) for part in parts]
        methods[name] = {
            "turns": float(np.average(costs, weights=turns)),
            **{key: [getattr(whole, key), float(low[i]), float(high[i])] for i, key in enumerate(Judged._fields)},
        }
    values = {}
    for count in parts[0]["values"]:
        sums = {key: sum(part["values"][count][key] for part in parts) for key in parts[0]["values"][count]}
        values[count] = _of_values(sums)
    total = {key: sum(part["sums"]["RLOO"][key] for part in parts) for key in SUMS}
    return {
        "starts": len(parts),
        "states": sum(part["states"] for part in parts),
        "kept": float(np.mean([part["kept"] for part in parts])),
        "value": np.mean([part["value"] for part in parts], axis=0).tolist(),
        "length": float(np.mean([part["length"] for part in parts])),
        "spread": (total["aa"] / total["turns"]) ** 0.5,
        "matters": total["signs"] / total["turns"],
        "methods": methods,
        "values": values,
    }


def _of_values(sums: Mapping[str, float]) -> dict[str, float]:
    """Returns the root of the mean squared error of learned values, and their correlation with the true ones."""
    n = sums["states"]
    error = (sums["ee"] - 2 * sums["ea"] + sums["aa"]) / n
    of_e, of_a = (sums[2 * k] / n - (sums[k] / n) ** 2 for k in "ea")
    together = sums["ea"] / n - sums["e"] / n * sums["a"] / n
    return {"error": max(error, 0.0) ** 0.5, "correlation": together / max(of_e * of_a, 1e-12) ** 0.5}


def about_rows(report: Mapping[str, Any]) -> list[str]:
    """Returns what the tables hold."""
    low, high = report["value"]
    rows = [
        ["starts", str(report["starts"])],
        ["states that the policy speaks in", f"{report['states']:,}"],
        ["probability of the responses kept, in a state", f"{report['kept']:.3f}"],
        ["success from the start, in the table", f"{low:.3f}"],
        ["the same if all that it does not go on from succeeded", f"{high:.3f}"],
        [f"success of {GROUP} episodes sampled from each start", f"{np.mean(report['real']):.3f}"],
        ["turns of an episode", f"{report['length']:.1f}"],
        ["spread of the true advantage of a turn", f"{report['spread']:.3f}"],
        ["share of the turns with one of 0.05 or more", f"{report['matters']:.2f}"],
    ]
    return table(["the tables", ""], rows)


def estimate_rows(report: Mapping[str, Any]) -> list[str]:
    """Returns a row for each estimate of an advantage."""
    rows = []
    for name, of in report["methods"].items():
        scaled = name != SCALED  # which is in units of the spread
        bias, noise = (f"{of[key][0]:.3f}" if scaled else "" for key in ("bias", "noise"))
        equal = f"{of['noise'][0] * of['turns'] ** 0.5:.3f}" if scaled else ""
        shown = (f"{of[key][0]:.2f} [{of[key][1]:.2f}, {of[key][2]:.2f}]" for key in ("correlation", "sign"))
        rows.append([name, bias, noise, *shown, f"{of['turns']:.1f}", equal])
    head = ["estimate", "bias", "noise", "correlation", "right sign", "turns played a turn", "noise at equal cost"]
    return table(head, rows)


def value_rows(report: Mapping[str, Any]) -> list[str]:
    """Returns how good the learned values are; nothing where none were learned yet."""
    if not report["values"]:
        return []
    head = ["values", "error, root of the mean square", "correlation with the true ones"]
    rows = [
        [f"after {int(count) * _TURNS:,} turns", f"{of['error']:.3f}", f"{of['correlation']:.2f}"]
        for count, of in report["values"].items()
    ]
    return table(head, rows)


LAB = Lab("advantages by GAE, groups, equal states and forks beside the true ones", (15, 1), run)
