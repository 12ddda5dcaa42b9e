"""`RewardModel`: a scalar score for a response, from a LoRA adapter and a linear head on the backbone.

Trained with the pairwise Bradley-Terry loss, or with binary cross-entropy on labels. The head reads the last state of
the end token, as a sequence classifier of transformers does, and opens in plain `peft` and `transformers` with equal
values then. It may read another layer, or the mean over the response (`Reading`): such an adapter opens there too, and
its `score.weight` is the head, but what a plain classifier computes with it is not the score. A probe (`rewards.probe`)
is a head alone, on the bare backbone, and a file of one tensor.

The score may add `log_prob_weight` times log p of the response under the adapter: a language model knows as likelihood
what a head at the last token would have to learn anew, such as which of two names the prompt has (DPO, arXiv
2305.18290, reads the whole reward off log-probabilities). No plain sequence classifier computes that part.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from backbones import group
from backbones.backbone import Backbone
from backbones.forward import (
    end_states_and_log_probs,
    last_token_scores,
    packed_end_states,
    packed_end_states_and_sums,
    read_head,
)
from backbones.model.loading import BackboneError, LoadSettings, short_name
from backbones.model.tokens import like_lengths
from backbones.pooled import Reading, like_shapes, read_responses, rows_to_read
from backbones.role_files import read_provenance, role_stamps, template_setting
from backbones.roles import LoRARole, Role, load_role
from backbones.sharding import in_step
from backbones.shortcuts.packing import Packed, packable
from envs.reward_spec import RewardFunction
from envs.turn import Turn
from perlhf.errors import UserError
from rewards.provenance import Numbers, numbers_of, reading_of
from rewards.rows import Row, encode
from rewards.workers import one_thread_in_workers


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
        reading: which states the head reads.
        bias: added to every raw score: of labels, where no label of 1 is likelier than one of 0 at score 0.
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
        reading: Reading = Reading(),  # noqa: B008 - it is a tuple
        bias: float = 0.0,
    ) -> None:
        assert role.head is not None, "a reward role has a head"
        self.role, self.centre, self.folder = role, centre, folder
        self.log_prob_weight, self.score_limit = log_prob_weight, score_limit
        self.log_sigmoid, self.reading, self.bias = log_sigmoid, reading, bias

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
        numbers = numbers_of(folder, provenance)
        model = cls(
            role, numbers.centre, numbers.log_prob_weight, numbers.score_limit, bounded, folder,
            reading_of(folder, provenance, backbone), numbers.bias,
        )  # fmt: skip
        backbone.attached[key] = model, stamps
        return model

    def save(self, folder: Path, **provenance: Any) -> None:
        """Writes a sequence-classification adapter; for `--full` a whole sequence classifier, of a probe a head."""
        numbers = Numbers(self.centre, self.log_prob_weight, self.score_limit, self.bias)
        known = {"backbone": short_name(self.role.backbone.path), **numbers._asdict(), "log_sigmoid": self.log_sigmoid}
        known |= {"pooling": self.reading.pooling, "read_layer": self.reading.layer}
        self.role.save(Path(folder), {**known, **provenance})
        if isinstance(self.role, LoRARole):  # a classifier of all weights has its tokenizer, a head alone is no model
            self.role.backbone.save_processor(folder)
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
        for chunk in in_step(self.role.backbone, like_lengths([len(p) + len(r) for p, r in rows], batch_size), []):
            found = self.score_rows([rows[i] for i in chunk] or [self._idle_row]).cpu()
            scores[chunk] = found[: len(chunk)]
        return scores

    def raw_scores_together(
        self, prompts: Sequence[str], responses: Sequence[str], images: Sequence[np.ndarray | None]
    ) -> Tensor:
        """Computes `raw_scores`, which all processes of the run ask for: each computes its part of them."""

        def of(numbers: list[int]) -> list[float]:
            mine = [prompts[i] for i in numbers], [responses[i] for i in numbers], [images[i] for i in numbers]
            return self.raw_scores(*mine).tolist()

        return torch.tensor(group.map_over_processes(len(prompts), of))

    @torch.no_grad()
    def raw_scores_of(self, rows: Sequence[Sequence[Row]]) -> Tensor:
        """Computes the raw scores, (n, k) float32, of n records of k rows each; those of one prompt share a forward.

        All processes of the run ask for them, and each computes its part.
        """

        def of(numbers: list[int]) -> list[list[float]]:
            found: list[list[float]] = self._scores_of([rows[i] for i in numbers]).tolist()
            return found

        return torch.tensor(group.map_over_processes(len(rows), of))

    def _scores_of(self, rows: Sequence[Sequence[Row]]) -> Tensor:
        """Computes the raw scores of records on this process, as `raw_scores_of`."""
        per_record = len(rows[0])
        scores = torch.empty(len(rows), per_record)
        for batch in in_step(self.role.backbone, like_shapes(rows, self.role.backbone.device), []):
            flat = [row for i in batch for row in rows[i]] or [self._idle_row] * per_record
            found = self.score_rows(flat, per_prompt=per_record).cpu().view(-1, per_record)
            scores[batch] = found[: len(batch)]
        return scores

    def score_rows(self, rows: Sequence[Row], per_prompt: int = 1) -> Tensor:
        """Raw scores of token rows, (n,), not centred; takes gradients where they are on.

        Args:
            rows: what is scored.
            per_prompt: how many rows one after the other may be of one prompt, which is then computed once for them.
        """
        backbone, head, weight = self.role.backbone, self.role.head, self.log_prob_weight
        assert head is not None
        with self.role.active() as model:
            if self.reading != Reading():
                tokens = rows_to_read(backbone, rows, per_prompt)
                (states,), sums = read_responses(model, tokens, [self.reading], weight != 0)
                return self._score(states, sums)
            if packable(backbone, rows, per_prompt):
                packed = Packed.of(rows, per_prompt, backbone)
                if weight == 0:
                    return self._score(packed_end_states(model, packed))
                return self._score(*packed_end_states_and_sums(model, packed))
            if weight == 0:
                whole = [prompt + response for prompt, response in rows]
                scores = last_token_scores(model, head, whole, backbone.pad_id, backbone.device, backbone.frozen_states)
                return scores + self.bias
            states, log_probs = end_states_and_log_probs(model, rows_to_read(backbone, rows, 1))
            return self._score(states, log_probs.sum(1))

    @property
    def _idle_row(self) -> Row:
        """Returns a row to run where only other processes have one to score, see `backbones.sharding.in_step`."""
        return [self.role.backbone.pad_id], [self.role.backbone.end_ids[0]]

    def _score(self, states: Tensor, log_probs: Tensor | None = None) -> Tensor:
        """Raw scores (n,) of what the head reads, (n, hidden), and of log p of the responses (n,) where it counts."""
        assert self.role.head is not None
        scores = read_head(self.role.head, states) + self.bias
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
