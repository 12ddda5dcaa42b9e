"""Prepare what a reward model learns from: preference pairs or labelled responses, of the data and of samples.

Samples matter: a model that has never seen what the policy says scores it by adding up familiar parts, and PPO
finds out. They need a labeller, which the miniature data have (the noisy annotator).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from backbones.backbone import Backbone
from backbones.draws import FEEDBACK, row_seeds
from backbones.fit import Loss
from backbones.generate import generate_together
from backbones.roles import Role
from envs.corpora.records import AnyRecord, LabelledRecord, Record, image_of
from envs.feedback import Feedback
from envs.miniature.corpus import PROMPT_META
from perlhf.conversation import first_user_turn
from perlhf.errors import UserError
from rewards.reward_model import RewardModel
from rewards.rows import Row, encode, pairwise_loss, pointwise_loss, scored_response

_ASKED = 5  # prompts at most for each record of a policy's responses that is wanted


class Preferences(ABC):
    """One kind of feedback, as a reward model's training needs it.

    Attributes:
        kind: the records it is made of.
        samples: responses of a policy that make one record; rows of a record are of one prompt.
    """

    kind: type
    samples: int

    @abstractmethod
    def label(self, task: Feedback, index: int, texts: Sequence[str], rng: np.random.Generator) -> AnyRecord | None:
        """Returns a record of a policy's responses to one prompt, labelled by the annotator; None for no record."""

    @abstractmethod
    def rows(self, backbone: Backbone, record: Any) -> list[Row]:
        """Returns the token rows of a record that are scored."""

    @abstractmethod
    def loss(self, scores: Tensor, records: Sequence[Any]) -> tuple[Tensor, float]:
        """Returns the mean loss of scores, (n * rows of a record,), and how many records are scored rightly."""

    @abstractmethod
    def targets(self, records: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Returns what a logistic regression on records is to say, and what is added to its logits, (n,) each."""

    @abstractmethod
    def check(self, records: Sequence[Any]) -> None:
        """Refuses records that there is nothing to learn from.

        Raises:
            UserError: no record says that one response is better than another.
        """

    @abstractmethod
    def good(self, record: Any) -> str | None:
        """Returns the response that was liked."""


class Learned(NamedTuple):
    """Holds what a reward model learns from, or is measured on."""

    preferences: Preferences
    records: Sequence[Any]
    rows: Sequence[list[Row]]  # of each record, as many as of any other

    def at(self, numbers: Sequence[int]) -> "Learned":
        """Returns the records of these numbers."""
        return Learned(self.preferences, [self.records[i] for i in numbers], [self.rows[i] for i in numbers])

    @property
    def groups(self) -> list[str]:
        """Lists the first user turn of each record; what shares one is never both learned from and held out."""
        return [first_user_turn(record.prompt) for record in self.records]

    @property
    def lengths(self) -> list[int]:
        """Counts the tokens of the longest row of each record."""
        return [max(len(prompt) + len(response) for prompt, response in of_one) for of_one in self.rows]

    def loss(self, model: RewardModel) -> Loss:
        """Returns the loss function to fit: of the scores of all rows of the records of a chunk, in one forward."""

        def loss(chunk: list[int], batch: list[int]) -> tuple[Tensor, dict[str, float]]:
            rows = [row for i in chunk for row in self.rows[i]]
            scores = model.score_rows(rows, per_prompt=self.preferences.samples)
            mean, right = self.preferences.loss(scores, [self.records[i] for i in chunk])
            return mean * len(chunk) / len(batch), {"accuracy": right / len(batch)}

        return loss


class Pairs(Preferences):
    """Preference pairs under the Bradley-Terry loss; `meta["margin"]` says by how much one is better, where known."""

    kind, samples = Record, 2

    def label(self, task: Feedback, index: int, texts: Sequence[str], rng: np.random.Generator) -> Record | None:
        first, second = texts
        preferred = None if first == second else task.annotate(index, first, second, rng)
        if preferred is None:
            return None
        if not preferred:
            first, second = second, first
        record = task.records[index]
        return Record(record.prompt, first, second, _of_prompt(record.meta))

    def rows(self, backbone: Backbone, record: Record) -> list[Row]:
        first, chosen = encode(backbone, record.prompt, record.chosen, image_of(record))
        return [(first, chosen), (first, scored_response(backbone, record.rejected))]

    def loss(self, scores: Tensor, records: Sequence[Record]) -> tuple[Tensor, float]:
        chosen, rejected = scores[0::2], scores[1::2]
        margins = None
        if any("margin" in r.meta for r in records):
            margins = torch.tensor([float(r.meta.get("margin", 0.0)) for r in records], device=scores.device)
        return pairwise_loss(chosen, rejected, margins), float((chosen > rejected).sum())

    def targets(self, records: Sequence[Record]) -> tuple[Tensor, Tensor]:
        return torch.ones(len(records)), torch.tensor([-float(r.meta.get("margin", 0.0)) for r in records])

    def check(self, records: Sequence[Record]) -> None:
        if all(is_tie(record) for record in records):
            raise UserError(
                f"the two responses are equal in each of {len(records)} pairs, so there is nothing to tell apart; give "
                "pairs with different responses."
            )

    def good(self, record: Record) -> str:
        return record.chosen


class Labels(Preferences):
    """Responses labelled 1 or 0, or between them, under binary cross-entropy on the logit."""

    kind, samples = LabelledRecord, 1

    def label(self, task: Feedback, index: int, texts: Sequence[str], rng: np.random.Generator) -> LabelledRecord:
        record = task.records[index]
        label = task.rate(index, texts[0], rng)
        return LabelledRecord(record.prompt, texts[0], label, _of_prompt(record.meta))

    def rows(self, backbone: Backbone, record: LabelledRecord) -> list[Row]:
        return [encode(backbone, record.prompt, record.response, image_of(record))]

    def loss(self, scores: Tensor, records: Sequence[LabelledRecord]) -> tuple[Tensor, float]:
        labels = torch.tensor([r.label for r in records], device=scores.device)
        return pointwise_loss(scores, labels), float(((scores > 0) == (labels > 0.5)).sum())

    def targets(self, records: Sequence[LabelledRecord]) -> tuple[Tensor, Tensor]:
        return torch.tensor([r.label for r in records]), torch.zeros(len(records))

    def check(self, records: Sequence[LabelledRecord]) -> None:
        labels = {record.label for record in records}
        if len(labels) == 1:
            raise UserError(
                f"all {len(records)} labels are {labels.pop():g}, so there is nothing to tell apart; give good and bad "
                "responses."
            )

    def good(self, record: LabelledRecord) -> str | None:
        return record.response if record.label > 0.5 else None


def _of_prompt(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what is true of the prompt whatever the responses; such as votes are not."""
    return {key: meta[key] for key in (*PROMPT_META, "state", "image") if key in meta}


def is_tie(record: Any) -> bool:
    """Tells whether a record is a pair of two equal responses, which say nothing."""
    return isinstance(record, Record) and record.chosen.strip() == record.rejected.strip()


def preferences_of(task: Feedback) -> Preferences:
    """Returns the kind of feedback that a task's records are.

    Raises:
        UserError: they are neither pairs nor labelled responses.
    """
    for kind in (Pairs(), Labels()):
        if isinstance(task.records[0], kind.kind):
            return kind
    raise UserError(f"{task.data} has no preference pairs and no labels to train a reward model on.")


def learned_of(preferences: Preferences, records: Sequence[Any], backbone: Backbone) -> Learned:
    """Returns the records that there is something to learn from, as tokens.

    Raises:
        UserError: there are none.
    """
    preferences.check(records)
    telling = [record for record in records if not is_tie(record)]
    if len(telling) < len(records):
        print(f"{len(records) - len(telling)} of {len(records)} pairs have two equal responses and are left out")
    return Learned(preferences, telling, [preferences.rows(backbone, record) for record in telling])


def drawn(task: Feedback, count: int | None, rng: np.random.Generator) -> list[Any]:
    """Up to `count` records of the task's split, drawn without replacement; all of them where None."""
    size = len(task.records)
    if count is None or count >= size:
        return list(task.records)
    return [task.records[int(i)] for i in rng.choice(size, size=count, replace=False)]


def sampled(
    preferences: Preferences,
    task: Feedback,
    role: Role,
    count: int,
    rng: np.random.Generator,
    max_new_tokens: int = 64,
    temperature: float = 1.0,
    seed: int = 0,
) -> list[Any]:
    """`count` records of responses that `role` gives, labelled by the task's annotator.

    Fewer, and a line says so, where `_ASKED` prompts for each of them do not give as many: two responses of a policy
    that is sure of itself seldom differ.

    Raises:
        UserError: the task's data have no annotator.
    """
    if count == 0:
        return []
    if not task.can_rate:
        raise UserError("samples of the policy need a labeller, which only the miniature data have.")
    records: list[Any] = []
    asked = 0
    while len(records) < count and asked < max(_ASKED * count, 256):
        indices = [int(i) for i in rng.integers(len(task.records), size=min(256, 2 * (count - len(records)) + 8))]
        rows = range(asked, asked + len(indices))
        seeds = [row_seeds(seed, rows, again, FEEDBACK) for again in range(preferences.samples)]
        asked += len(indices)
        texts = _answers(task, role, indices, seeds, max_new_tokens, temperature)
        labelled = (preferences.label(task, i, of_one, rng) for i, of_one in zip(indices, texts, strict=True))
        records += [record for record in labelled if record is not None]
    if len(records) < count:
        print(
            f"{len(records)} samples, not {count}: the policy's responses to {asked} prompts seldom differ", flush=True
        )
    return records[:count]


def _answers(
    task: Feedback,
    role: Role,
    indices: Sequence[int],
    seeds: Sequence[Sequence[int]],
    max_new_tokens: int,
    temperature: float,
) -> Iterator[tuple[str, ...]]:
    """Responses of `role` to each of the records, as many as there are `seeds`."""
    backbone = role.backbone
    records = [task.records[i] for i in indices]
    prompts = [backbone.encode_prompt(record.prompt, image_of(record)) for record in records]
    rounds = [generate_together(role, prompts, max_new_tokens, temperature, of_one) for of_one in seeds]
    return zip(*([backbone.decode(ids) for ids in of_one] for of_one in rounds), strict=True)
