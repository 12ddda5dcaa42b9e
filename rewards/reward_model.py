"""`RewardModel`: a scalar score for a response, from a LoRA adapter and a linear head on the backbone.

Trained with the pairwise Bradley-Terry loss, or with binary cross-entropy on labels. The head is read at the end
token, as a sequence classifier of transformers does, so that it opens in plain `peft` and `transformers` with equal
values. The score may add `log_prob_weight` times log p of the response under the adapter: a language model knows as
likelihood what a head at the last token would have to learn anew, such as which of two names the prompt has (DPO,
arXiv 2305.18290, reads the whole reward off log-probabilities). No plain sequence classifier computes that part.
"""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.backbone import Backbone
from backbones.forward import (
    end_states_and_log_probs,
    last_token_scores,
    packed_end_states,
    packed_end_states_and_sums,
)
from backbones.model.loading import BackboneError, LoadSettings, short_name
from backbones.model.tokens import like_lengths
from backbones.role_files import read_provenance, role_stamps, template_setting
from backbones.roles import Role, load_role
from backbones.shortcuts.packing import Packed, packable
from envs.reward_spec import RewardFunction
from envs.turn import Turn
from perlhf.errors import UserError
from rewards.workers import one_thread_in_workers

Row = tuple[list[int], list[int]]  # token ids of a prompt, and of a response with its end token


class RewardModel:
    """Scores turns; of the shape of a reward function.

    Attributes:
        role: the adapter and head.
        centre: what is taken off every score, so that reference answers score 0 on average. It stands outside
            the head because plain sequence classifiers have no bias.
        log_prob_weight: of log p of the response, in score per nat; 0 for the head alone.
        score_limit: scores are clipped to this far from 0 after centring; None for no limit. Log-probabilities have a
            long tail: a few rambling samples would rule PPO's normalised advantages, and noisy labels cannot tell
            scores apart that far out anyway.
        log_sigmoid: whether the score is log sigmoid of the logit, log p(label 1), and so never above 0: where an
            episode has many turns, no turn may pay more than not to need it. There is no centre then.
        folder: where it was loaded from or saved to, or None.
    """

    def __init__(
        self,
        role: Role,
        centre: float = 0.0,
        log_prob_weight: float = 0.0,
        score_limit: float | None = None,
        log_sigmoid: bool = False,
        folder: Path | None = None,
    ) -> None:
        assert role.head is not None, "a reward role has a head"
        self.role, self.centre, self.folder = role, centre, folder
        self.log_prob_weight, self.score_limit = log_prob_weight, score_limit
        self.log_sigmoid = log_sigmoid

    @classmethod
    def load(cls, folder: str | Path, backbone: Backbone | None = None) -> "RewardModel":
        """Opens what `save` wrote, frozen, once for each folder and backbone in memory.

        It stays in memory with its backbone, until `Backbone.release`. A folder that was written anew is opened anew.

        Args:
            folder: of the reward model.
            backbone: to put it on; by default the one that it was trained on.

        Raises:
            UserError: no reward model there, or one that was trained on another base.
        """
        folder, key = Path(folder), _key(folder)
        for host in Backbone.in_memory() if backbone is None else [backbone]:
            model, stamps = host.attached.get(key, (None, None))
            if model is not None and role_stamps(folder) in ({}, stamps):  # a folder that is gone holds no other
                return model
        stamps, provenance = role_stamps(folder), read_provenance(folder, "backbone", "centre")
        backbone = backbone or _base_of(folder, provenance)
        role, _ = load_role(folder, "reward", True, backbone)
        bounded = provenance.get("log_sigmoid", False) is True
        model = cls(role, *_numbers_of(folder, provenance), bounded, folder)
        backbone.attached[key] = model, stamps
        return model

    def save(self, folder: Path, **provenance: Any) -> None:
        """Writes a sequence-classification adapter (or, for `--full`, a whole sequence classifier)."""
        known = {
            "backbone": short_name(self.role.backbone.path),
            "centre": self.centre,
            "log_prob_weight": self.log_prob_weight,
            "score_limit": self.score_limit,
            "log_sigmoid": self.log_sigmoid,
        }
        self.role.save(Path(folder), {**known, **provenance})
        self.folder = Path(folder)
        self.role.backbone.attached.pop(_key(folder), None)  # whoever asks from now on gets the new weights

    def __call__(self, turns: Sequence[Turn]) -> list[float]:
        """Scores each turn."""
        images = [t.image for t in turns]
        return self.score_texts([t.prompt for t in turns], [t.response for t in turns], images).tolist()

    def score_texts(
        self, prompts: Sequence[str], responses: Sequence[str], images: Sequence[np.ndarray | None] | None = None
    ) -> Tensor:
        """Scores, (n,) float32, of responses to prompts: centred, or below 0; and clipped where there is a limit."""
        raw = self.raw_scores(prompts, responses, images)
        scores = F.logsigmoid(raw) if self.log_sigmoid else raw - self.centre
        return scores if self.score_limit is None else scores.clamp(-self.score_limit, self.score_limit)

    @torch.no_grad()
    def raw_scores(
        self,
        prompts: Sequence[str],
        responses: Sequence[str],
        images: Sequence[np.ndarray | None] | None = None,
        batch_size: int = 16,
    ) -> Tensor:
        """Computes the raw scores, (n,) float32: the logit of a label of 1, or what the loss on pairs compares."""
        shown = [None] * len(prompts) if images is None else images
        rows = [encode(self.role.backbone, *texts) for texts in zip(prompts, responses, shown, strict=True)]
        scores = torch.empty(len(rows))
        for chunk in like_lengths([len(p) + len(r) for p, r in rows], batch_size):
            scores[chunk] = self.score_rows([rows[i] for i in chunk]).cpu()
        return scores

    def score_rows(self, rows: Sequence[Row], per_prompt: int = 1) -> Tensor:
        """Raw scores of token rows, (n,), not centred; takes gradients where they are on.

        Args:
            rows: what is scored.
            per_prompt: how many rows one after the other may be of one prompt, which is then computed once for them.
        """
        backbone, head = self.role.backbone, self.role.head
        assert head is not None
        with self.role.active() as model:
            if packable(backbone, rows, per_prompt):
                packed = Packed.of(rows, per_prompt, backbone)
                if self.log_prob_weight == 0:
                    return self._read(packed_end_states(model, packed))
                return self._read(*packed_end_states_and_sums(model, packed))
            if self.log_prob_weight == 0:
                whole = [prompt + response for prompt, response in rows]
                return last_token_scores(model, head, whole, backbone.pad_id, backbone.device, backbone.frozen_states)
            prompts, responses = [p for p, _ in rows], [r for _, r in rows]
            batch = backbone.batch(prompts, responses)
            states, log_probs = end_states_and_log_probs(model, batch)
            return self._read(states, log_probs.sum(1))

    def _read(self, states: Tensor, log_probs: Tensor | None = None) -> Tensor:
        """Raw scores (n,) of end states (n, hidden), and of log p of the responses (n,) where it counts."""
        assert self.role.head is not None
        scores = self.role.head(states).squeeze(-1).float()
        return scores if log_probs is None else scores + self.log_prob_weight * log_probs

    # Whoever copies or pickles an env with this model in it gets this very model, or loads it again.
    def __deepcopy__(self, memo: dict[int, Any]) -> "RewardModel":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self.folder is None:
            raise TypeError("a reward model that was never saved cannot be pickled; call save() first")
        return RewardModel.load, (str(self.folder),)


def _key(folder: str | Path) -> str:
    """By which name a backbone keeps the reward model of a folder."""
    return f"reward model {Path(folder).resolve()}"


def _base_of(folder: Path, provenance: dict[str, Any]) -> Backbone:
    """Returns the backbone of a reward model: one in memory with its weights, or loaded from where it was then."""
    path = provenance["backbone"]
    try:
        template = template_setting(provenance)
        held = Backbone.of_hash(provenance["base_sha256"], path, template)
        return held or Backbone.load(path, settings=LoadSettings(chat_template=template))
    except BackboneError as error:
        raise UserError(
            f"reward model {folder} was trained on backbone {path!r}, which cannot be opened; if it has moved, load it "
            f"from its new place first (--backbone DIR, or Backbone.load(DIR)). {error}"
        ) from None


def _numbers_of(folder: Path, provenance: dict[str, Any]) -> tuple[float, float, float | None]:
    """Centre, weight and limit; the last two are absent in what was written before they existed.

    Raises:
        UserError: they are no numbers that `save` could have written.
    """
    centre, weight = provenance["centre"], provenance.get("log_prob_weight", 0.0)
    limit = provenance.get("score_limit")
    numbers = [centre, weight] if limit is None else [centre, weight, limit]
    sound = all(type(n) in (int, float) and math.isfinite(n) for n in numbers)
    if not sound or weight < 0 or (limit is not None and limit <= 0):
        got = f"centre {centre!r}, log_prob_weight {weight!r}, score_limit {limit!r}"
        raise UserError(f"{folder / 'perlhf.json'} is damaged: {got}.")
    return centre, weight, limit


def score(turns: Sequence[Turn], path: str) -> list[float]:
    """Scores turns with a saved reward model: {"reward": "rewards.reward_model:score", "path": FOLDER}."""
    one_thread_in_workers()
    return RewardModel.load(path)(turns)


def learned_model(function: RewardFunction) -> RewardModel | None:
    """Returns the reward model behind a reward function; None where it is not one model alone."""
    if isinstance(function, RewardModel):
        return function
    if isinstance(function, partial) and function.func is score:
        return RewardModel.load(function.keywords["path"])
    return None


def encode(backbone: Backbone, prompt: str, response: str, image: np.ndarray | None = None) -> Row:
    """Returns the tokens that are scored, in training and under PPO alike."""
    return backbone.encode_prompt(prompt, image), [*backbone.encode_response(response), backbone.end_ids[0]]


def pairwise_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    """-log sigmoid(chosen - rejected), the mean over pairs: Bradley-Terry (arXiv 2403.10704, section 2)."""
    return -F.logsigmoid(chosen - rejected).mean()


def pointwise_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy of logits (n,) with labels from 0 to 1, the mean.

    -[p log sigmoid(r) + (1 - p) log(1 - sigmoid(r))]: arXiv 2403.10704, section 2, where the second term is
    printed as log sigmoid(1 - r). RL uses the logit r, which a good response cannot saturate.
    """
    return F.binary_cross_entropy_with_logits(logits, labels)
