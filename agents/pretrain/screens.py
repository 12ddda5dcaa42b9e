"""Pretrain the backbone that reads screens: lessons as batches, and the loss of each of their two parts.

First the tower alone learns to read. Its state at each token of the picture is to be what the language model would get
if the word that stands there were written, and where one touches for it. Then the language model, which has read such
screens as text, learns to act on these states, while the tower stays as it is.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

from agents.pretrain.build_screens import PATCH, TOKEN, build_screen_model, build_screen_processor
from agents.pretrain.pictures import Golds, PictureBatches, Sizes, padded
from agents.pretrain.rates import trapezoid
from backbones.backbone import Backbone
from backbones.draws import EVALUATION, row_seeds
from backbones.generate import generate
from envs.lesson import Lesson, Word
from envs.uinav.feedback.steps import UISteps
from envs.uinav.lessons import FORMS, READING, SIZE, STEP, said_on_screens, screen_lessons
from envs.uinav.task import UINav
from perlhf.errors import UserError

MEASURED = 200  # states
_TOGETHER = 8  # lessons in a forward pass
NOTHING = -100  # where no word is known to be
PLACES = (21, 13, 64)  # rows and columns of points, and marks, that something is touched at
CODE = 32  # numbers of a state, its last, that say where one touches
_BYTES = 260  # ids that may be of a letter: special tokens and bytes
_BLANK, _PLACED, _FAR = 0.1, 0.3, 0.1  # weights of tokens without a word, of places, and of squared distances
_SHARP = (0.06, 0.2, 0.1)  # of a squared distance in a logit: of words, of rows and columns, of marks
_MISREAD, _BLURRED = 0.03, 0.25  # share of other words in what is told, and how much is added to what these say
_ACTING = 0.5  # the learning rate of the language model, which goes on, beside that of the tower


class ScreenBatches(PictureBatches):
    """Lessons as batches, to be read where nothing is asked, else to be acted on.

    To be read, `more` has what the tokens of the pictures show, "words", "places" and "letters", see `words_in_cells`,
    `places_in_cells` and `letters_in_cells`, and "reading", what states of these are to be; ids are the words, (B,
    tokens). Else each text is a row of its own, and "shown" says of which picture; where the words are told, "told" has
    states of all pictures in place of their pixels, (B, tokens, H), with a few mistakes as a tower makes them.
    """

    def __init__(self, lessons: Iterator[Lesson], processor: ProcessorMixin, model: PreTrainedModel, size: int) -> None:
        super().__init__(lessons, processor, model, size)
        self.reading = Reading.of(model.get_input_embeddings().weight, said_ids(processor.tokenizer))
        self._drawn = torch.Generator().manual_seed(0)

    def _batch(self, taken: Sequence[Lesson]) -> tuple[Tensor, Tensor, dict[str, Any]]:
        rows = [self._text(lesson.picture, *text) for lesson in taken for text in lesson.texts]
        if not rows:
            return self._to_be_read(taken)
        input_ids = padded([ids for ids, _ in rows], self._tokenizer.pad_token_id)
        shown = torch.tensor([number for number, lesson in enumerate(taken) for _ in lesson.texts])
        told = all(lesson.told for lesson in taken)
        more = {"shown": shown, **({"told": self._told(taken)} if told else self._pixels(taken))}
        return input_ids, padded([weights for _, weights in rows], 0.0), more

    def _to_be_read(self, taken: Sequence[Lesson]) -> tuple[Tensor, Tensor, dict[str, Any]]:
        more: dict[str, Any] = {**self._pixels(taken), "reading": self.reading}
        for name, read in _READ.items():
            more[name] = torch.cat([read(lesson, self._tokenizer) for lesson in taken])
        input_ids = more["words"].unflatten(0, (len(taken), -1))
        return input_ids, torch.zeros(input_ids.shape), more

    def _told(self, taken: Sequence[Lesson]) -> Tensor:
        words, places = (
            torch.cat([_READ[name](each, self._tokenizer) for each in taken]) for name in ("words", "places")
        )
        others = self.reading.ids[torch.randint(len(self.reading.ids), words.shape, generator=self._drawn)]
        misread = (torch.rand(words.shape, generator=self._drawn) < _MISREAD) & (words != NOTHING)
        ideal = self.reading.ideal(torch.where(misread, others, words), places)
        ideal += _BLURRED * torch.randn(ideal.shape, generator=self._drawn)
        return self.reading.states(ideal).unflatten(0, (len(taken), -1))

    def _pixels(self, taken: Sequence[Lesson]) -> dict[str, Tensor]:
        return self._vision.pixels([lesson.picture for lesson in taken])

    def _text(self, picture: np.ndarray, prompt: str, response: str) -> tuple[list[int], list[float]]:
        """Returns ids of a prompt with its picture and of a response, and the weight of each."""
        before, _, after = prompt.rpartition(self._vision.place)
        asked = [
            *self._tokenizer(before)["input_ids"],
            *self._vision.ids(picture),
            *self._tokenizer(after)["input_ids"],
        ]
        said = [*self._tokenizer(" " + response)["input_ids"], self._tokenizer.eos_token_id]
        return [*asked, *said], [*[0.0] * len(asked), *[1.0] * len(said)]


def words_in_cells(lesson: Lesson, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Returns the token of the word that stands at each token of a picture, row by row; `NOTHING` for none.

    Where there are several it is the one that takes most of the width.
    """
    height, width = (side // TOKEN for side in lesson.picture.shape[:2])
    shown = [(token, (a, b, word.middle)) for word in lesson.words for token, a, b in tokens_of(word, tokenizer)]
    return _in_cells(shown, height, width).flatten()


def places_in_cells(lesson: Lesson, _tokenizer: PreTrainedTokenizerBase) -> Tensor:
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


_READ = {"words": words_in_cells, "places": places_in_cells, "letters": letters_in_cells}


def said_ids(tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Returns the tokens that screens show, in order: of words, of icons by their names, and of marks."""
    said = said_on_screens()
    words = [*said.words, *(name.split()[0] for name in said.icons), *map(str, range(PLACES[-1]))]
    return torch.tensor(sorted({token for word in words for token in tokenizer(f" {word}")["input_ids"]}))


class Reading(NamedTuple):
    """What states of a picture's tokens are to be: an embedding without its last numbers, and there a place.

    Words are told apart by whitened embeddings: what all have in common, most of an embedding, would hide what they
    differ in. The code of a place is any vector that the language model can learn to say, drawn once.

    Attributes:
        ids: of the tokens that are told apart, (n,).
        number: of each token among these, (vocabulary,); `NOTHING` of others.
        words: their whitened embeddings, (n, H - CODE).
        mean: of their embeddings, as the language model gets them, (H - CODE,).
        back: whitened ones times this are differences from the mean, (H - CODE, H - CODE).
        rows, columns, marks: codes of places; a row and a column share the numbers.
        letters: codes of the halves of a state halfway through the tower, (ids, H / 2).
    """

    ids: Tensor
    number: Tensor
    words: Tensor
    mean: Tensor
    back: Tensor
    rows: Tensor
    columns: Tensor
    marks: Tensor
    letters: Tensor

    @classmethod
    def of(cls, embeddings: Tensor, ids: Tensor) -> "Reading":
        """Makes it of the embeddings of all tokens, (vocabulary, H), which Gemma3 multiplies by the root of H.

        Args:
            embeddings: of a language model.
            ids: of tokens that are shown, (n,); more than H - CODE.
        """
        width, evenly = embeddings.shape[1], len(ids) ** 0.5
        number = torch.full((len(embeddings),), NOTHING)
        number[ids] = torch.arange(len(ids))
        known = embeddings.detach()[ids, : width - CODE] * width**0.5
        mean = known.mean(0)
        left, lengths, right = torch.linalg.svd(known - mean, full_matrices=False)
        drawn = torch.Generator().manual_seed(0)
        rows, columns = (torch.randn(count, CODE // 2, generator=drawn) for count in PLACES[:2])
        marks = torch.randn(PLACES[2], CODE, generator=drawn)
        letters = torch.randn(_BYTES, width // 2, generator=drawn) * (1.5 / (width / 2) ** 0.5)
        return cls(ids, number, left * evenly, mean, lengths[:, None] / evenly * right, rows, columns, marks, letters)

    def known(self, words: Tensor) -> Tensor:
        """Returns numbers of tokens among those that are told apart; `NOTHING` of others, and where there is none."""
        return torch.where(words == NOTHING, NOTHING, self.number[words.clamp(min=0)])

    def whitened(self, states: Tensor) -> Tensor:
        """Returns states (n, H) with what they say of words as whitened embeddings."""
        words = torch.linalg.solve(self.back, states[:, :-CODE] - self.mean, left=False)
        return torch.cat([words, states[:, -CODE:]], dim=1)

    def states(self, whitened: Tensor) -> Tensor:
        """Returns whitened states (n, H) as states."""
        return torch.cat([whitened[:, :-CODE] @ self.back + self.mean, whitened[:, -CODE:]], dim=1)

    def ideal(self, words: Tensor, places: Tensor) -> Tensor:
        """Returns whitened states (n, H) of words (n,) and places (n, 3); of what is not known they are 0."""
        row, column, mark = places.T
        at_point, at_mark = row != NOTHING, mark != NOTHING
        code = torch.zeros(len(words), CODE)
        code[at_point] = torch.cat([self.rows[row[at_point]], self.columns[column[at_point]]], dim=1)
        code[at_mark] = self.marks[mark[at_mark]]
        known = self.known(words)
        said = torch.where((known == NOTHING)[:, None], 0.0, self.words[known.clamp(min=0)])
        return torch.cat([said, code], dim=1)

    @torch.no_grad()
    def begin(self, linear: torch.nn.Linear) -> None:
        """Makes the last map of a projector give states of about the right size, around the mean."""
        linear.weight.copy_(torch.block_diag(self.back.T, torch.eye(CODE)) @ linear.weight)
        linear.bias.copy_(torch.cat([self.mean, torch.zeros(CODE)]))


def halfway_and_seen(model: PreTrainedModel, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
    """Returns states of the tower before its second stage, (B, tokens, H), and what the language model gets."""
    _, halfway, last = model.base_model.vision_tower(pixel_values, output_hidden_states=True).hidden_states
    return halfway, model.base_model.multi_modal_projector(last)


def tower_loss(model: PreTrainedModel, more: Mapping[str, Any]) -> tuple[Tensor, float]:
    """Returns the loss of the tower on pages that are to be read, and the part of it that is of words.

    Letters are read before the tower's second stage, where four patches have just become one token: the halves of such
    a state are to be the codes of two letters. A letter is nearly all that a patch shows, so these are learned first,
    and words are made of them. Their loss counts by its cube, so that it leads for as long as it is large.
    """
    reading, (halfway, seen) = more["reading"], halfway_and_seen(model, more["pixel_values"])
    states = reading.whitened(seen.flatten(0, 1))
    of_words, of_places, far = reading_losses(reading, states, more["words"], more["places"])
    halves = halfway.flatten(0, 1).unflatten(1, (2, -1)).flatten(0, 1)
    scores = F.layer_norm(halves, halves.shape[-1:]) @ reading.letters.T
    of_letters = mean_over_known(scores, more["letters"].flatten())
    return of_words + _PLACED * of_places + _FAR * far + of_letters**3 / 19, float(of_words.detach())


def reading_losses(reading: Reading, states: Tensor, words: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns three losses: which word and which place is nearest, as cross-entropies, and how far the right ones are.

    Args:
        reading: what states are to be.
        states: of tokens of pictures, whitened, (n, H).
        words: an id or `NOTHING` for each, (n,).
        places: (n, 3), see `PLACES`.
    """
    said, code, half = states[:, :-CODE], states[:, -CODE:], CODE // 2
    of_words, of_points, of_marks = (partial(nearest, sharp) for sharp in _SHARP)
    row, column, mark = places.T
    of_places = of_points(code[:, :half], reading.rows, row) + of_points(code[:, half:], reading.columns, column)
    weights = torch.where(words == NOTHING, _BLANK, 1.0)
    far = ((states - reading.ideal(words, places)).square().mean(1) * weights).sum() / weights.sum()
    return of_words(said, reading.words, reading.known(words)), of_places + of_marks(code, reading.marks, mark), far


def nearest(sharp: float, states: Tensor, table: Tensor, known: Tensor) -> Tensor:
    """Returns the mean cross-entropy of rows of a table by their squared distances, times `sharp`."""
    return mean_over_known(-sharp * torch.cdist(states, table).square(), known)


def mean_over_known(scores: Tensor, known: Tensor) -> Tensor:
    """Returns the mean cross-entropy of scores (n, ids) where it is known what is right, (n,), else `NOTHING`."""
    there = known != NOTHING
    return F.cross_entropy(scores[there], known[there], reduction="sum") / max(1, int(there.sum()))


def states_of(model: PreTrainedModel, input_ids: Tensor, more: Mapping[str, Tensor]) -> Tensor:
    """Returns the last states (rows, L, H) of texts, each of which has a picture in it, without learning to see it.

    Args:
        model: that sees.
        input_ids: of texts, padded at the end.
        more: the pixels of pictures or what is told of them, and for each row which of them it shows.
    """
    with torch.no_grad():
        of_each = more["told"] if "told" in more else halfway_and_seen(model, more["pixel_values"])[1]
        seen = of_each[more["shown"]].flatten(0, 1)
    is_picture = (input_ids == model.config.image_token_id)[..., None]
    embeddings = model.get_input_embeddings()(input_ids).masked_scatter(is_picture, seen)
    states: Tensor = model.base_model.language_model(inputs_embeds=embeddings, use_cache=False).last_hidden_state
    return states


class Screens:
    """What a backbone that acts on the phone from pixels is made of, shown and asked."""

    def new(self, options: Sizes, start: Backbone | None) -> tuple[ProcessorMixin, PreTrainedModel]:
        """Returns a processor, and a model around a backbone that reads text; embeddings stay as they are.

        Raises:
            UserError: there is none to begin from.
        """
        if start is None or start.vision is not None:
            raise UserError("--start: screens are learned around a backbone that reads text, such as tiny-uinav.")
        processor = build_screen_processor(start.tokenizer, *SIZE)
        model = build_screen_model(processor, start.model, options.seed)
        model.get_input_embeddings().requires_grad_(False)
        reading = Reading.of(model.get_input_embeddings().weight, said_ids(processor.tokenizer))
        reading.begin(model.base_model.multi_modal_projector.linear_2)
        return processor, model

    def lessons(self, rng: np.random.Generator, total: int, goes_on: bool) -> Iterator[Lesson]:
        """Endless lessons, of which the first `total` go from reading to acting."""
        return screen_lessons(rng, total)

    def batches(
        self, lessons: Iterator[Lesson], processor: ProcessorMixin, model: PreTrainedModel, size: int
    ) -> PictureBatches:
        """Returns the lessons as batches."""
        return ScreenBatches(lessons, processor, model, size)

    def rate(self, step: int, steps: int) -> float:
        """Learning rate as a share of its peak: it falls to 0 at the end of reading, and again at that of acting."""
        reading = int(READING * steps)
        return trapezoid(step, reading) if step < reading else _ACTING * trapezoid(step - reading, steps - reading)

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
        first word of prompts, "FIND" and "GOAL", the share of responses all of whose tokens are the likeliest behind
        the true ones before them.
    """
    assert backbone.vision is not None
    model, processor, right = backbone.model, backbone.vision.processor, defaultdict[str, list[bool]](list)
    pages = (lesson._replace(texts=[]) for lesson in lessons)
    for _, _, more in ScreenBatches(pages, processor, model, _TOGETHER):
        reading, words = more["reading"], more["reading"].known(more["words"])
        states = reading.whitened(halfway_and_seen(model, more["pixel_values"])[1].flatten(0, 1))
        there = words != NOTHING
        said = torch.cdist(states[there, :-CODE], reading.words).argmin(-1)
        right["words"] += (said == words[there]).tolist()
    head, asked = model.get_output_embeddings(), (prompt for lesson in lessons for prompt, _ in lesson.texts)
    for input_ids, weights, more in ScreenBatches(iter(lessons), processor, model, _TOGETHER):
        likeliest = head(states_of(model, input_ids, more)[:, :-1]).argmax(-1)
        wrong = (likeliest != input_ids[:, 1:]) & (weights[:, 1:] == 1)
        for row, prompt in zip(wrong, asked, strict=False):  # prompts go on in the next batch
            right[prompt.split()[0]].append(not row.any())
    return {name: round(float(np.mean(each)), 3) for name, each in sorted(right.items())}
