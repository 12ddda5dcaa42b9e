"""Pretrain the backbone that sees: lessons as batches, Muon, and measures of what was learned.

All texts of a picture stand behind it in one row, and each sees the picture and itself alone, so that the picture is
read once for five texts. Muon for the matrices, as it makes the picture used several times sooner than AdamW.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from agents.pretrain.build_vision import build_processor, build_vision_model
from agents.pretrain.rates import trapezoid
from backbones.backbone import Backbone
from backbones.draws import EVALUATION, row_seeds
from backbones.generate import generate
from backbones.model.vision import Vision
from envs.lesson import Lesson
from envs.vqav2.lessons import CAPTION, inquiries, lessons
from envs.vqav2.task import VQAv2
from perlhf.errors import UserError

PROMPT_WEIGHT = 0.1  # of a question's token's loss beside an answer's
_PICTURE = 0  # the part of a row that all others see
MEASURED = 300  # questions
MEASURED_BY_KIND = 1000
TYPICAL = 2000  # lessons that the tokenizer is made from
Golds = dict[str, dict[str, float]]


class Sizes(Protocol):
    """What a new backbone is made with, see the options of `agents.pretrain`."""

    vocab_size: int
    hidden_size: int
    layers: int
    seed: int


class _Row(NamedTuple):
    """A picture with its texts; the fields have an item for each token."""

    ids: list[int]
    weights: list[float]  # of the loss
    parts: list[int]  # `_PICTURE`, then 1 for the first text and so on
    places: list[int]  # each text begins where the picture ends


class PictureBatches(Iterator[tuple[Tensor, Tensor, dict[str, Any]]]):
    """Lessons as (input_ids, weights, what else the model takes); ids and weights are (B, L)."""

    def __init__(self, lessons: Iterator[Lesson], processor: ProcessorMixin, model: PreTrainedModel, size: int) -> None:
        self._lessons, self._size = lessons, size
        self._tokenizer, self._vision = processor.tokenizer, Vision(processor, model)

    def __next__(self) -> tuple[Tensor, Tensor, dict[str, Any]]:
        return self._batch(self._take())

    def _take(self) -> list[Lesson]:
        taken = list(itertools.islice(self._lessons, self._size))
        if not taken:
            raise StopIteration
        return taken

    def _batch(self, taken: Sequence[Lesson]) -> tuple[Tensor, Tensor, dict[str, Any]]:
        rows = [self._row(lesson) for lesson in taken]
        input_ids = padded([row.ids for row in rows], self._tokenizer.pad_token_id)
        parts = padded([row.parts for row in rows], -1)
        shown = self._vision.inputs([lesson.picture for lesson in taken], input_ids)
        both_ways = (input_ids == self._vision.token_id) & ("token_type_ids" in shown)  # what the model says of images
        mask = visible(parts, both_ways)
        more = {
            "pixel_values": shown["pixel_values"],
            "position_ids": padded([row.places for row in rows], 0),
            "attention_mask": {"full_attention": mask, "sliding_attention": mask},
        }
        return input_ids, padded([row.weights for row in rows], 0.0), more

    def _row(self, lesson: Lesson) -> _Row:
        shown = self._vision.ids(lesson.picture)
        row = _Row([*shown], [0.0] * len(shown), [_PICTURE] * len(shown), list(range(len(shown))))
        for part, (prompt, response) in enumerate(lesson.texts, start=_PICTURE + 1):
            asked = self._tokenizer(prompt)["input_ids"]
            said = [*self._tokenizer(" " + response)["input_ids"], self._tokenizer.eos_token_id]
            row.ids.extend([*asked, *said])
            # What comes before the first token in the row is another text, which it does not follow.
            row.weights.extend([0.0, *[PROMPT_WEIGHT] * (len(asked) - 1), *[1.0] * len(said)])
            row.parts.extend([part] * (len(asked) + len(said)))
            row.places.extend(range(len(shown), len(shown) + len(asked) + len(said)))
        return row


def visible(parts: Tensor, is_image: Tensor) -> Tensor:
    """Returns which token (rows) sees which (columns), (B, 1, L, L) bool, from the part that each is of, (B, L).

    A token sees the picture and its own part up to itself, and tokens of the image see one another.
    """
    length = parts.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool).tril()
    known = (parts[:, :, None] == parts[:, None, :]) | (parts == _PICTURE)[:, None, :]
    return ((known & earlier) | (is_image[:, :, None] & is_image[:, None, :]))[:, None]


def padded(rows: Sequence[Sequence[Any]], filler: Any) -> Tensor:
    """Returns rows side by side, shorter ones with the filler at their ends."""
    length = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (length - len(row))] for row in rows])


def picture_golds(backbone: Backbone) -> dict[str, float]:
    """VQA's accuracy on validation questions: sampled, greedy, and greedy where all pictures are one grey square.

    The last must be near what the question alone tells (docs/tasks/vqav2.md), or the picture is not what is read.
    `told` is no accuracy on questions but `caption_accuracy`: far above `greedy`, it says that more is seen than asked.
    """
    task = VQAv2(split="validation")
    grey = np.full((task.image_size, task.image_size, 3), 128, np.uint8)
    found = {}
    for name, temperature, blind in (("sampled", 1.0, False), ("greedy", 0.0, False), ("greedy_blind", 0.0, True)):
        turns = [task.turn(i) for i in range(MEASURED)]
        prompts = [backbone.encode_prompt(turn.prompt, grey if blind else turn.image) for turn in turns]
        ids = generate(backbone.reference, prompts, 16, temperature, row_seeds(0, range(MEASURED), 0, EVALUATION))
        golds = [task.judge(task.turn(i, backbone.decode(row))) for i, row in enumerate(ids)]
        found[name] = round(float(np.mean([gold or 0.0 for gold in golds])), 3)
    return {**found, "told": round(caption_accuracy(backbone, task), 3)}


def kind_golds(backbone: Backbone, task: VQAv2, count: int) -> dict[str, float]:
    """Returns VQA's accuracy of greedy answers by the kind of question, over the first `count` of miniature records.

    Kinds are those of `envs.vqav2.scenes.corpus.FAMILIES`, named with what they are over: "side (19)".
    """
    turns = [task.turn(i) for i in range(count)]
    prompts = [backbone.encode_prompt(turn.prompt, turn.image) for turn in turns]
    ids = generate(backbone.reference, prompts, 16, 0.0, row_seeds(0, range(count), 0, EVALUATION))
    found: dict[str, list[float]] = {}
    for i, row in enumerate(ids):
        gold = task.judge(task.turn(i, backbone.decode(row)))
        found.setdefault(task.records[i].meta["family"], []).append(gold or 0.0)
    return {f"{kind} ({len(golds)})": round(float(np.mean(golds)), 3) for kind, golds in sorted(found.items())}


@torch.no_grad()
def caption_accuracy(backbone: Backbone, task: VQAv2, size: int = 20) -> float:
    """Computes the share of the tokens of validation captions that are the likeliest behind the true ones before them.

    Args:
        backbone: that sees.
        task: over the miniature data.
        size: captions in a forward pass.
    """
    assert backbone.vision is not None
    told = ((task.turn(i).image, task.records[i].meta["caption"]) for i in range(MEASURED))
    shown = (Lesson(image, [(CAPTION, caption)]) for image, caption in told if image is not None)
    right: list[Tensor] = []
    for input_ids, weights, more in PictureBatches(shown, backbone.vision.processor, backbone.model, size):
        logits = backbone.model(input_ids=input_ids, use_cache=False, **more).logits[:, :-1]
        right.append((logits.argmax(-1) == input_ids[:, 1:])[weights[:, 1:] == 1])
    return float(torch.cat(right).float().mean())


def typical_texts(lessons: Iterator[Lesson]) -> Iterator[str]:
    """Yields the texts of the first lessons, which a tokenizer is made from."""
    for lesson in itertools.islice(lessons, TYPICAL):
        yield from (f"{prompt} {response}" for prompt, response in lesson.texts)


class Scenes:
    """What a backbone that is asked about miniature VQA's pictures is made of, shown and asked."""

    def new(self, options: Sizes, start: Backbone | None) -> tuple[ProcessorMixin, PreTrainedModel]:
        """Returns the processor and the model of a backbone to go on from, or new ones.

        Raises:
            UserError: that backbone does not see.
        """
        if start is not None and start.vision is None:
            raise UserError(f"--start {start.path!r} does not see; give a backbone that does, such as tiny-vqav2-told.")
        if start is not None and start.vision is not None:
            start.vision.processor.tokenizer = start.tokenizer
            return start.vision.processor, start.model
        first = lessons(np.random.default_rng([options.seed, 2]), TYPICAL)
        processor = build_processor(typical_texts(first), options.vocab_size)
        return processor, build_vision_model(processor, options.hidden_size, options.layers, seed=options.seed)

    def lessons(self, rng: np.random.Generator, total: int, goes_on: bool) -> Iterator[Lesson]:
        """Endless lessons, of which the first `total` get harder; inquiries where a model goes on."""
        return inquiries(rng, total) if goes_on else lessons(rng, total)

    def batches(
        self, lessons: Iterator[Lesson], processor: ProcessorMixin, model: PreTrainedModel, size: int
    ) -> PictureBatches:
        """Returns the lessons as batches."""
        return PictureBatches(lessons, processor, model, size)

    def rate(self, step: int, steps: int) -> float:
        """Learning rate as a share of its peak."""
        return trapezoid(step, steps)

    def measures(self, backbone: Backbone) -> tuple[Golds, dict[str, Any]]:
        """Returns how good its answers are, and the same by kind of question."""
        kinds = {"greedy_by_kind": kind_golds(backbone, VQAv2(split="validation"), MEASURED_BY_KIND)}
        return {"vqav2": picture_golds(backbone)}, kinds
