"""Pretrain the backbone that reads screens: lessons as batches, and the loss of reading.

What helps most is told where it stands: the state of each token of the picture is to be the embedding of the word that
is written there. To find a word is then to compare, which attention does from the start.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

from agents.pretrain.build_screens import PATCH, TOKEN, build_screen_model, build_screen_processor
from agents.pretrain.pictures import Golds, PictureBatches, Sizes, typical_texts
from backbones.backbone import Backbone
from backbones.draws import EVALUATION, row_seeds
from backbones.generate import generate
from envs.lesson import Lesson, Word
from envs.uinav.feedback.steps import UISteps
from envs.uinav.lessons import FORMS, SIZE, STEP, screen_lessons
from envs.uinav.task import UINav

MEASURED = 200  # states
_TOGETHER, _FIRST = 8, 6  # lessons in a forward pass, and tokens that hold the first word of a prompt
READING_WEIGHT = 0.5  # of the loss of a word in the picture beside that of a token of a response
NOTHING = -100  # where no word is known to be
PLACES = (21, 13, 64)  # rows and columns of points, and marks, that something is touched at
_LENGTH = 1.0  # of the code of a place


class ScreenBatches(PictureBatches):
    """Lessons as batches, with what is to be read on the pictures beside what the model takes.

    `more["words"]` has a token id for each token of the pictures, (B * tokens,), or `NOTHING`, and `more["places"]`
    where it is touched, (B * tokens, 3). Where nothing is asked of any of them there is `more["letters"]` in place of
    it, two for each, of its left and its right half, (B * tokens, 2).
    """

    def __next__(self) -> tuple[Tensor, Tensor, dict[str, Any]]:
        taken = self._take()
        input_ids, weights, more = self._batch(taken)
        more["words"] = torch.cat([words_in_cells(lesson, self._tokenizer) for lesson in taken])
        if any(lesson.texts for lesson in taken):
            more["places"] = torch.cat([places_in_cells(lesson) for lesson in taken])
        else:
            more["letters"] = torch.cat([letters_in_cells(lesson, self._tokenizer) for lesson in taken])
        return input_ids, weights, more


def words_in_cells(lesson: Lesson, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Returns the token of the word that stands at each token of a picture, row by row; `NOTHING` for none.

    Where there are several it is the one that takes most of the width.
    """
    height, width = (side // TOKEN for side in lesson.picture.shape[:2])
    shown = [(token, (a, b, word.middle)) for word in lesson.words for token, a, b in tokens_of(word, tokenizer)]
    return _in_cells(shown, height, width).flatten()


def places_in_cells(lesson: Lesson) -> Tensor:
    """Returns where one touches what stands at each token of a picture, (tokens, 3), see `PLACES`; `NOTHING` for none.

    On a picture with marks that is the mark, on one without the row and the column of a point, in steps.
    """
    height, width = (side // TOKEN for side in lesson.picture.shape[:2])
    places: list[list[int]] = []
    shown: list[tuple[int, tuple[float, float, int]]] = []
    for word in lesson.words:
        if word.touch is not None:
            column, row = (round(at / STEP) for at in word.touch)
            shown.append((len(places), (word.left, word.right, word.middle)))
            places.append([NOTHING, NOTHING, word.mark] if word.mark else [row, column, NOTHING])
    number = _in_cells(shown, height, width).flatten()
    return torch.tensor([*places, [NOTHING] * len(PLACES)])[torch.where(number == NOTHING, len(places), number)]


def _in_cells(shown: Iterable[tuple[int, tuple[float, float, int]]], height: int, width: int) -> Tensor:
    """Returns which of some things is at each token, (height, width): the one that takes most of the width.

    Args:
        shown: what, and where it begins and ends and around which row it stands, pixels.
        height, width: of the picture, tokens.
    """
    cells, taken = torch.full((height, width), NOTHING), torch.zeros(height, width)
    for what, (left, right, middle) in shown:
        row = min(max(middle // TOKEN, 0), height - 1)
        for column in range(max(0, int(left) // TOKEN), min(width, int(right) // TOKEN + 1)):
            share = min(right, (column + 1) * TOKEN) - max(left, column * TOKEN)
            if share > taken[row, column]:
                cells[row, column], taken[row, column] = what, share
    return cells


def letters_in_cells(lesson: Lesson, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Returns the letters around the middle of the left and the right half of each token of a picture, (tokens, 2).

    Letters of a word are taken to be as wide as each other.
    """
    height, width = (side // TOKEN for side in lesson.picture.shape[:2])
    halves = torch.full((height, 2 * width), NOTHING)
    for text, left, right, middle, *_ in lesson.words:
        row = min(max(middle // TOKEN, 0), height - 1)
        for half in range(max(0, left // PATCH), min(2 * width, right // PATCH + 1)):
            behind = (half + 0.5) * PATCH - left
            if 0 <= behind < right - left:
                letter = text[int(behind / (right - left) * len(text))]
                halves[row, half] = tokenizer(letter)["input_ids"][0]
    return halves.reshape(-1, 2)


def tokens_of(word: Word, tokenizer: PreTrainedTokenizerBase) -> Iterator[tuple[int, float, float]]:
    """Yields the tokens of a word, as it is written behind a space, and where each begins and ends, pixels."""
    ids: Sequence[int] = tokenizer(f" {word.text}")["input_ids"]
    lengths = [len(tokenizer.decode([token]).strip()) for token in ids]
    if not sum(lengths):
        return
    ends = [word.left + (word.right - word.left) * done / sum(lengths) for done in itertools.accumulate(lengths)]
    starts = [word.left, *ends[:-1]]
    yield from (each for each in zip(ids, starts, ends, strict=True) if each[1] < each[2])


def reading_alone(model: PreTrainedModel, pixel_values: Tensor, words: Tensor, letters: Tensor) -> tuple[Tensor, float]:
    """Returns the loss of the tower where nothing is asked: of words, and of letters halfway; and that of words.

    Letters are read before the tower's second stage, where four patches have just become one token: the halves of
    such a state are to be the halves of the embeddings of two letters. A letter is nearly all that a patch shows, so
    these are learned soon, and words are made of them.
    """
    tower, embeddings = model.base_model.vision_tower, model.get_output_embeddings().weight
    _, halfway, last = tower(pixel_values, output_hidden_states=True).hidden_states
    of_words = reading_loss(model.base_model.multi_modal_projector(last).flatten(0, 1), embeddings, words)
    halves = halfway.flatten(0, 1).unflatten(1, (2, -1))
    parts = embeddings.unflatten(1, (2, -1))
    halves = F.layer_norm(halves, halves.shape[-1:])
    of_letters = [reading_loss(halves[:, i], parts[:, i], letters[:, i]) for i in (0, 1)]
    return of_words + sum(of_letters) / 2, float(of_words.detach())


def reading_loss(states: Tensor, embeddings: Tensor, words: Tensor) -> Tensor:
    """Returns the cross-entropy of the words at the tokens of pictures.

    Args:
        states: of these tokens, as the language model gets them, (B * tokens, H).
        embeddings: of all tokens, (vocabulary, H).
        words: an id or `NOTHING` for each, (B * tokens,).
    """
    known = words != NOTHING
    return F.cross_entropy(states[known] @ embeddings.T, words[known], reduction="sum") / max(1, int(known.sum()))


def places_loss(states: Tensor, places: Tensor) -> Tensor:
    """Returns the cross-entropy of where one touches what stands at the tokens of pictures.

    A state is to hold the codes of its row and its column, or of its mark, beside the embedding of its word. Codes are
    vectors that were drawn once: any will do that the language model can learn to say. Words come first: with this loss
    from the beginning they were hardly learned.

    Args:
        states: of these tokens, as the language model gets them, (B * tokens, H).
        places: (B * tokens, 3), see `PLACES`.
    """
    codes = _codes(states.shape[-1]).to(states).split(PLACES)
    return sum((reading_loss(states, *each) for each in zip(codes, places.T, strict=True)), states.new_zeros(()))


@cache
def _codes(width: int) -> Tensor:  # (all places, width)
    drawn = torch.randn(sum(PLACES), width, generator=torch.Generator().manual_seed(0))
    return drawn * (_LENGTH / width**0.5)


class Screens:
    """What a backbone that acts on the phone from pixels is made of, shown and asked."""

    def new(self, options: Sizes) -> tuple[ProcessorMixin, PreTrainedModel]:
        """Returns a new processor and a new model."""
        first = screen_lessons(np.random.default_rng([options.seed, 2]), 0)
        processor = build_screen_processor(typical_texts(first), options.vocab_size, *SIZE)
        return processor, build_screen_model(processor, options.hidden_size, options.layers, seed=options.seed)

    def lessons(self, rng: np.random.Generator, total: int, goes_on: bool) -> Iterator[Lesson]:
        """Endless lessons, of which the first `total` go from reading to acting; all act where a model goes on."""
        return screen_lessons(rng, 0 if goes_on else total)

    def batches(
        self, lessons: Iterator[Lesson], processor: ProcessorMixin, model: PreTrainedModel, size: int
    ) -> PictureBatches:
        """Returns the lessons as batches."""
        return ScreenBatches(lessons, processor, model, size)

    def measures(self, backbone: Backbone) -> tuple[Golds, dict[str, Any]]:
        """Returns the share of right actions in states of validation episodes, greedy, by form, and with grey screens.

        In each state one action is said, whatever came of those before.
        """
        return {form: right_actions(backbone, options) for form, options in FORMS.items()}, {}


def right_actions(backbone: Backbone, options: Mapping[str, Any]) -> dict[str, float]:
    """Returns the share of right actions in states of validation, greedy, and where every screen is grey.

    Args:
        backbone: that sees.
        options: of the env.
    """
    asked = UISteps(UINav(split="validation", templates="easiest", **options), MEASURED)
    found = {}
    for name, blind in (("greedy", False), ("greedy_blind", True)):
        shown = [asked.task.observe(state)["image"] for state in asked.states]
        images = [np.full_like(image, 128) if blind else image for image in shown]
        prompts = [backbone.encode_prompt(state.prompt, im) for state, im in zip(asked.states, images, strict=True)]
        ids = generate(backbone.reference, prompts, 24, 0.0, row_seeds(0, range(MEASURED), 0, EVALUATION))
        right = [asked.right(state, backbone.decode(row)) for state, row in zip(asked.states, ids, strict=True)]
        found[name] = round(float(np.mean(right)), 3)
    return found


@torch.no_grad()
def lessons_right(backbone: Backbone, lessons: Sequence[Lesson]) -> dict[str, float]:
    """Computes how much of lessons a backbone knows.

    Returns:
        "words": the share of the tokens of pictures that show a word whose state is nearest to that word; and by the
        first word of prompts, "FIND", "READ" and "GOAL", the share of responses all of whose tokens are the likeliest
        behind the true ones before them.
    """
    assert backbone.vision is not None
    model, right = backbone.model, defaultdict[str, list[bool]](list)
    for input_ids, weights, more in ScreenBatches(iter(lessons), backbone.vision.processor, model, _TOGETHER):
        words, shown = more.pop("words"), input_ids == backbone.vision.token_id
        more.pop("places")
        states = model.base_model(input_ids=input_ids, use_cache=False, **more)
        head = model.get_output_embeddings()
        known = words != NOTHING
        right["words"] += (head(states.image_hidden_states[known]).argmax(-1) == words[known]).tolist()
        likeliest = head(states.last_hidden_state[:, :-1]).argmax(-1)
        wrong = (likeliest != input_ids[:, 1:]) & (weights[:, 1:] == 1)
        for row, ids in enumerate(input_ids):
            for begin, end in _texts_of(weights[row], int(shown[row].sum())):
                first = backbone.decode(ids[begin : begin + _FIRST].tolist()).split()[0]
                right[first].append(not wrong[row, begin - 1 : end - 1].any())
    return {name: round(float(np.mean(each)), 3) for name, each in sorted(right.items())}


def _texts_of(weights: Tensor, begin: int) -> Iterator[tuple[int, int]]:
    """Yields where each text of a row begins and ends: a prompt, and a response of weight 1."""
    said = (weights == 1).tolist()
    for at in range(begin, len(said)):
        if said[at] and (at + 1 == len(said) or not said[at + 1]):
            yield begin, at + 1
            begin = at + 1
