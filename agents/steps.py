"""Env steps of a rollout: who plays, and which rows are one episode, or say the same."""

from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.algorithms.functional import Order
from agents.policy import LoRAPolicy, Observation
from backbones import group
from backbones.sharding import in_step
from backbones.shortcuts.equal_prompts import first_of_each

Infos = list[dict[str, Any]]


class Step(NamedTuple):
    """One env step of all envs, those of other processes too: a row for each whose episode is not over and waits."""

    prompts: list[list[int]]  # token ids
    responses: list[list[int]]  # token ids as sampled, the end token included
    scores: np.ndarray  # (rows,) rewards of the env
    dones: np.ndarray  # (rows,) bool
    cut_at: dict[int, Observation]  # row -> last observation, where an episode of this process was truncated
    failed: frozenset[int] = frozenset()  # rows at which the env failed, which are not learned from
    sampled_log_probs: list[list[float]] | None = None  # of each response token, where a server sampled
    envs: Sequence[int] = ()  # which env each row is of, among those of all processes; none where each has a row
    monitored: Mapping[int, float] = MappingProxyType({})  # row -> what an episode that ended was paid, as SB3 adds up


class Players:
    """Knows which envs play: all of them, or of whole episodes those whose episode is not over.

    Args:
        n_envs: of this process.
        whole_episodes: whether an env whose episode is over waits.
        monitored: whether the rewards are those that SB3's `VecMonitor` adds up.

    Attributes:
        outcomes: of whole episodes that are over, by the numbers of their envs: whether it succeeded; None where that
            is not known, as where the env failed.
    """

    def __init__(self, n_envs: int, whole_episodes: bool, monitored: bool = False) -> None:
        self._n_envs, self._whole_episodes, self._monitored = n_envs, whole_episodes, monitored
        self._own = own_envs(n_envs)
        self._plays = np.ones(n_envs * group.size(), bool)
        self.outcomes: dict[int, bool | None] = {}

    @property
    def count(self) -> int:
        """How many envs of all processes play."""
        return int(self._plays.sum())

    @property
    def rows(self) -> list[int]:
        """Which of this process's envs play."""
        return np.flatnonzero(self._plays[self._own.start : self._own.stop]).tolist()

    @property
    def envs(self) -> list[int]:
        """The same by their numbers among all envs."""
        return [self._own[row] for row in self.rows]

    def observed(self, observation: Observation) -> Observation:
        """Returns what they see, of what all envs of this process show."""
        return {key: [value[row] for row in self.rows] for key, value in observation.items()}

    def actions(self, texts: Sequence[str]) -> list[str | None]:
        """Returns what each env of this process is told: the texts, and None where an env waits."""
        given = dict(zip(self.rows, texts, strict=True))
        return [given.get(row) for row in range(self._n_envs)]

    def step(
        self,
        prompts: list[list[int]],
        responses: list[list[int]],
        said: list[list[float]] | None,
        rewards: np.ndarray,
        dones: np.ndarray,
        infos: Infos,
    ) -> tuple[Step, Infos]:
        """Returns this process's part of an env step, and the infos of its rows.

        Args:
            prompts, responses, said: of those that play: token ids, and log p of each token where a server sampled.
            rewards, dones, infos: of all envs of this process.
        """
        rows = self.rows
        infos = [infos[row] for row in rows]
        cut = {i: info["terminal_observation"] for i, info in enumerate(infos) if info.get("TimeLimit.truncated")}
        failed = frozenset(i for i, info in enumerate(infos) if info.get("failed"))
        ends = {i: info["episode"]["r"] for i, info in enumerate(infos) if self._monitored and "episode" in info}
        return Step(prompts, responses, rewards[rows], dones[rows], cut, failed, said, self.envs, ends), infos

    def note(self, step: Step, infos: Infos) -> None:
        """Notes which episodes are over, from a step of all envs and the infos of its rows."""
        if self._whole_episodes:
            ended = {env: info for env, info, done in zip(step.envs, infos, step.dones, strict=True) if done}
            self._plays[list(ended)] = False
            self.outcomes |= {env: info.get("is_success") for env, info in ended.items()}


def own_envs(n_envs: int) -> range:
    """Returns the numbers of this process's `n_envs` envs among those of all processes."""
    return group.share(n_envs * group.size(), "envs")


def order_of(steps: Sequence[Step]) -> Order:
    """Returns which rows are one episode; the values of what follows those that are cut are still 0."""
    envs = [step.envs or range(len(step.prompts)) for step in steps]
    numbers = torch.tensor([number for number, of_step in enumerate(envs) for _ in of_step])
    of_rows = torch.tensor([env for of_step in envs for env in of_step])
    over = torch.tensor([bool(done) for step in steps for done in step.dones])
    last = torch.zeros_like(over)
    last[list({int(env): row for row, env in enumerate(of_rows)}.values())] = True  # of each env
    return Order(numbers, of_rows, over | last, last & ~over, torch.zeros(len(of_rows)))


def own_rows(order: Order) -> list[int]:
    """Returns the rows of this process's envs."""
    own = group.share(int(order.envs.max()) + 1, "envs")
    return torch.nonzero((order.envs >= own.start) & (order.envs < own.stop)).squeeze(1).tolist()


def values_after(policy: LoRAPolicy, steps: Sequence[Step], order: Order, last_observation: Observation) -> Tensor:
    """Computes V of what follows where an episode is cut, by a time limit or by the rollout's end, (N,).

    0 where an episode terminated or goes on, and for the envs of other processes.
    """
    after = torch.zeros(len(order.envs))
    if not steps[-1].dones.all():
        follows, own = policy.predict_values(last_observation).cpu(), own_rows(order)
        rows = [row for row in own if order.goes_on[row]]
        after[rows] = follows[order.envs[rows] - order.envs[own].min()]
    begins = np.cumsum([0, *(len(step.prompts) for step in steps)]).tolist()
    cuts = [(begins[i] + row, shown) for i, step in enumerate(steps) for row, shown in step.cut_at.items()]
    for cut in in_step(policy.backbone, cuts, None):
        if cut is None:
            policy.predict_values({key: value[:1] for key, value in last_observation.items()})
        else:
            row, shown = cut
            after[row] = policy.predict_values({key: [value] for key, value in shown.items()})[0]
    return after


def first_of_equal_rows(
    prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], apart: Sequence[Hashable] | None = None
) -> list[int]:
    """Returns for each row the number of the first one with the same prompt, its image too, and the same response.

    Args:
        prompts, responses: token ids.
        apart: something of each row that equal ones have alike too.
    """
    first: dict[Hashable, int] = {}
    kinds = [None] * len(prompts) if apart is None else apart
    rows = enumerate(zip(first_of_each(prompts), responses, kinds, strict=True))
    return [first.setdefault((prompt, tuple(response), kind), i) for i, (prompt, response, kind) in rows]
