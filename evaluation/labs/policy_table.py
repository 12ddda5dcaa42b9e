"""`Table`: all that may happen in an episode of a policy, with its probability: states, responses, outcomes.

A device that is a value can be in any state at any time, so a state need not be sampled to be known. What a policy may
say in it is found by going through its tokens, and what comes of that by doing it. States that are reached in several
ways are one. So the chance of success from every state is a sum, and no estimate.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from backbones.forward import response_logits
from backbones.generate import generate
from backbones.roles import Role
from backbones.shortcuts.shared_lines import shared_lines
from envs.uinav.interface.episode import Episode
from envs.uinav.task import UINav

_TOGETHER = 32  # rows in a forward


class Said(NamedTuple):
    """Holds a response that a policy may give, and its probability."""

    ids: tuple[int, ...]
    probability: float


@torch.no_grad()
def likely_responses(
    role: Role, prompts: Sequence[Sequence[int]], temperature: float, least: float, longest: int
) -> list[list[Said]]:
    """Returns all responses of at least some probability to each prompt, the likeliest first.

    From each beginning that is likely enough the likeliest response is completed, and read once; wherever on the way
    another token is likely enough too, there is a new beginning.

    Args:
        role: who speaks.
        prompts: token ids.
        temperature: of the softmax.
        least: probability of a whole response.
        longest: tokens at which responses are cut.
    """
    found: list[list[Said]] = [[] for _ in prompts]
    begun: list[tuple[int, list[int], float]] = [(i, [], 1.0) for i in range(len(prompts))]
    while begun:
        now, begun = begun[:_TOGETHER], begun[_TOGETHER:]
        asked = [prompts[i] for i, _, _ in now]
        responses = [start for _, start, _ in now]
        short = [row for row, start in enumerate(responses) if len(start) < longest and not _over(role, start)]
        room = longest - min((len(responses[row]) for row in short), default=longest)
        rest = generate(role, [[*asked[row], *responses[row]] for row in short], room, 0.0) if short else []
        for row, more in zip(short, rest, strict=True):
            responses[row] = [*responses[row], *more][:longest]
        batch = shared_lines(role.backbone, asked, responses)
        with role.active() as model:
            p_of = response_logits(model, batch, temperature).softmax(-1)
        for (i, start, p), response, p_next in zip(now, responses, p_of, strict=True):
            for place in range(len(start), len(response)):
                others = (p * p_next[place] >= least).nonzero().flatten().tolist()
                begun += [
                    (i, [*response[:place], token], p * float(p_next[place, token]))
                    for token in others
                    if token != response[place]
                ]
                p *= float(p_next[place, response[place]])
                if p < least:
                    break
            else:
                found[i].append(Said(tuple(response), p))
    return [sorted(said, key=lambda each: -each.probability) for said in found]


def _over(role: Role, ids: Sequence[int]) -> bool:
    return bool(ids) and role.backbone.has_ended(ids)


class Node(NamedTuple):
    """Holds a state of an episode.

    Attributes:
        anchor: the number of what is on the screen; states that differ in what was done before have one too.
        probability: of being there at some time, from the first state.
        outcome: 1 or 0 where the episode is over there; None elsewhere.
        next: the nodes that the responses lead to, and
        p: with which probability, which add up to 1; none where nothing was tried any more.
        kept: the probability that those responses have together, before they were scaled to add up to 1.
        prompt: what the policy is shown.
    """

    anchor: int
    probability: float
    outcome: int | None
    next: tuple[int, ...]
    p: tuple[float, ...]
    kept: float
    prompt: str


class Table(NamedTuple):
    """Holds the states of an episode; the first one is where it begins, and none leads to one before it."""

    nodes: tuple[Node, ...]

    def values(self) -> np.ndarray:
        """Returns the chance of success from each state, (nodes,), in the game that the table is.

        There the policy gives the responses that are kept and no others, and a state that the table does not go on from
        is the end, as a failure. Of this game the chance is exact.
        """
        found = np.zeros(len(self.nodes))
        for i in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[i]
            found[i] = np.dot(node.p, found[list(node.next)]) if node.next else node.outcome or 0
        return found

    def bounds(self) -> np.ndarray:
        """Returns the chance of success of the whole policy from each state, at least and at most, (2, nodes).

        Of what is not in the table nothing is known: all of it may fail, or succeed.
        """
        found = np.zeros((2, len(self.nodes)))
        for i in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[i]
            if node.outcome is not None:
                found[:, i] = node.outcome
            elif node.next:
                found[:, i] = node.kept * (found[:, list(node.next)] @ node.p) + [0, 1 - node.kept]
            else:
                found[1, i] = 1
        return found

    def turns(self) -> np.ndarray:
        """Returns the mean number of turns that are still played from each state, (nodes,)."""
        found = np.zeros(len(self.nodes))
        for i in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[i]
            if node.outcome is None and node.next:
                found[i] = 1 + np.dot(node.p, found[list(node.next)])
        return found


def table_of(
    task: UINav, start: Episode, role: Role, temperature: float, least: float, reach: float, longest: int
) -> Table:
    """Makes the table of a policy's episode.

    Args:
        task: of the start.
        start: the first state.
        role: the policy.
        temperature: at which it speaks.
        least: probability of the responses that are kept; those of each state are scaled to 1.
        reach: probability of being in a state at which it is still gone on from.
        longest: tokens of a response.
    """
    nodes: list[Node] = []
    anchors: dict[str, int] = {}
    level: list[tuple[Episode, float, int | None]] = [(start, 1.0, None)]
    while level:
        going = [i for i, (_, p, outcome) in enumerate(level) if outcome is None and p >= reach]
        prompts = [role.backbone.encode_prompt(level[i][0].prompt) for i in going]
        said = dict(zip(going, likely_responses(role, prompts, temperature, least, longest), strict=True))
        first = len(nodes) + len(level)  # of the nodes of the next level
        places: dict[Any, int] = {}
        following: list[tuple[Episode, float, int | None]] = []
        for i, (state, here, outcome) in enumerate(level):
            total = sum(each.probability for each in said.get(i, []))
            edges: dict[int, float] = {}
            for each in said.get(i, []):
                after, ended = _after(task, state, role.backbone.decode(list(each.ids)))
                place = places.setdefault(_key(after, ended), len(following))
                if place == len(following):
                    following.append((after, 0.0, ended))
                share = each.probability / total
                following[place] = (following[place][0], following[place][1] + here * share, ended)
                edges[first + place] = edges.get(first + place, 0.0) + share
            anchor = anchors.setdefault(task.device.describe(state.state), len(anchors))
            nodes.append(Node(anchor, here, outcome, tuple(edges), tuple(edges.values()), total, state.prompt))
        level = following
    return Table(tuple(nodes))


def _after(task: UINav, state: Episode, response: str) -> tuple[Episode, int | None]:
    """Returns the state after a response, and the outcome where the episode is over: 1 of a success, else 0."""
    played = task.play(state, response)
    over = played.terminated or played.truncated
    return played.state, int(played.turn.reference["success"]) if over else None


def _key(state: Episode, outcome: int | None) -> Any:
    """Returns what two states have alike that are one: all that the policy and the judge will ever see of them."""
    if outcome is not None:
        return outcome
    return state.prompt, state.answer, repr(state.state)
