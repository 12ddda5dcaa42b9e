"""Reward models of labs: of few pairs or many, of wrong labels, of a policy's samples or another corpus too."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backbones.backbone import Backbone
from backbones.fit import FitSettings, fit
from backbones.model.loading import SHIPPED
from backbones.roles import LoRASettings
from envs.corpora.records import Record
from envs.feedback import Feedback
from envs.registry import env_id, task_of
from envs.turn import Turn
from evaluation.labs.cells import Cell, finish, weights_hash
from evaluation.reward_models import evaluate_reward_model
from rewards.preferences import Pairs, drawn, learned_of, sampled
from rewards.reward_model import RewardModel

_RATE = 1.3  # over the backbone's width, and the batch, are those of `perlhf train-reward-model`
_BATCH, _TOGETHER = 32, 8
_LOOKED_AT = 500  # pairs that a model is centred on, and its liking for length is taken from
FOREIGN = "SHP-v0"


class Proxy(NamedTuple):
    """Says what a reward model is made of.

    Attributes:
        pairs: of the data.
        own: pairs of SFT's own samples beside them, which the annotator labels.
        foreign: pairs of another corpus, `FOREIGN`, beside them.
        rank: of the adapter.
        wrong: the share of all pairs whose label is turned.
        seed: of the pairs.
        member: of an ensemble: of the adapter, the head and the order of the pairs, which themselves are the same.
    """

    pairs: int
    own: int = 0
    foreign: int = 0
    rank: int = 4
    wrong: float = 0.0
    seed: int = 0
    member: int = 0

    @property
    def name(self) -> str:
        """What its folder is called."""
        return "-".join(f"{key}{value:g}" for key, value in self._asdict().items())


def turned(pairs: Sequence[Record], share: float, rng: np.random.Generator) -> list[Record]:
    """Exchanges the chosen and the rejected response of a share of the pairs, drawn at random."""
    wrong = set(rng.permutation(len(pairs))[: round(share * len(pairs))].tolist())
    return [
        pair._replace(chosen=pair.rejected, rejected=pair.chosen) if i in wrong else pair
        for i, pair in enumerate(pairs)
    ]


def pairs_of(proxy: Proxy, task: Feedback, backbone: Backbone) -> list[Record]:
    """Returns the pairs that a reward model learns from."""
    rng = np.random.default_rng([proxy.seed, 26])
    pairs = drawn(task, proxy.pairs, rng)
    pairs += sampled(Pairs(), task, backbone.reference, proxy.own, rng, seed=proxy.seed)
    if proxy.foreign:
        other = task_of(env_id(FOREIGN), split="train").feedback()
        assert other is not None
        pairs += drawn(other, proxy.foreign, rng)
    return turned(pairs, proxy.wrong, rng)


def finish_proxy(folder: Path, env: str, proxy: Proxy, judged: int) -> tuple[Path, dict[str, Any]]:
    """Trains a reward model as a cell of a lab, see `fit_proxy`; returns where it is and what it is worth."""
    kept = folder / "proxies" / proxy.name
    asked = {"base": weights_hash([SHIPPED["tiny"]]), "env": env, "judged": judged, **proxy._asdict()}
    make = partial(fit_proxy, env, proxy, kept, judged)
    return kept, finish(folder, Cell(f"proxy-{proxy.name}", asked, make, [kept]))


def fit_proxy(env: str, proxy: Proxy, folder: Path, judged: int) -> dict[str, Any]:
    """Trains a reward model on the shipped backbone, as `perlhf train-reward-model` does, and saves it.

    Args:
        env: whose pairs it learns from, with an annotator.
        proxy: what it is made of.
        folder: where it is saved.
        judged: held-out pairs that it is measured on.

    Returns:
        `accuracy` on held-out pairs, and `gold_agreement`, that with the judge in place of the annotator; `per_word`,
        what a word more is worth to the model among responses to one prompt.
    """
    backbone, preferences = Backbone.load("tiny", "cpu"), Pairs()
    task, held_out = (task_of(env_id(env), split=split).feedback() for split in ("train", "validation"))
    assert task is not None
    assert held_out is not None
    pairs = pairs_of(proxy, task, backbone)
    data = learned_of(preferences, pairs, backbone)
    seed = 1000 * proxy.seed + proxy.member
    model = RewardModel(backbone.add_role("reward", LoRASettings(proxy.rank), head=True, seed=seed))
    settings = FitSettings(1, _BATCH, backbone.learning_rate(None, _RATE, False), _TOGETHER)
    folder.mkdir(parents=True, exist_ok=True)
    fit(model.role, data.lengths, data.loss(model), settings, np.random.default_rng(seed), folder / "metrics.jsonl")
    prompts, chosen, rejected, _ = zip(*pairs[:_LOOKED_AT], strict=True)
    scores = [model.score_texts(prompts, texts).numpy() for texts in (chosen, rejected)]
    model.centre = float(scores[0].mean())
    model.save(folder, env=env, data="miniature")
    report = evaluate_reward_model(model, preferences, held_out, pairs, held_out.records[:judged])
    worth = {key: report[key]["mean"] for key in ("accuracy", "gold_agreement")}
    return {**worth, "per_word": per_word(scores[0] - scores[1], words_of(chosen) - words_of(rejected))}


def words_of(texts: Sequence[str]) -> np.ndarray:
    """Returns how many words texts have, (n,)."""
    return np.array([len(text.split()) for text in texts])


def per_word(scores: np.ndarray, words: np.ndarray) -> float:
    """Returns the slope of the differences of scores within pairs by those of words, (n,) each, through 0."""
    squares = float((words**2).sum())
    return float((scores * words).sum()) / squares if squares else 0.0


class WithoutLength:
    """Scores turns by a reward model, less what their length is worth to it.

    A straight line in place of the local regression of arXiv 2409.17407.

    Args:
        folder: of the model.
        slope: what a word is worth to it, see `per_word`.
    """

    def __init__(self, folder: Path, slope: float) -> None:
        self.model, self.slope = RewardModel.load(folder), slope

    def __call__(self, turns: Sequence[Turn]) -> list[float]:
        """Returns the scores of turns, (n,)."""
        scores = np.asarray(self.model(turns)) - self.slope * words_of([turn.response for turn in turns])
        return [float(score) for score in scores]
