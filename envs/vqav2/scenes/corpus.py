"""`VQACorpus`: miniature VQA as splits of records, made whenever they are asked for and the same every time.

A record is a question of VQAv2's form about a picture that is drawn when it is asked for. Records come in balanced
pairs, as VQAv2's do: 2k and 2k + 1 ask the same of two pictures that differ a little and have different answers, so
that the question alone says nothing about the answer. No picture of validation or test shows what a training picture
shows (the same things, wherever they are). Half of their pairs are made of combinations of colour and shape (colour and
label, colour and kind of chart) that are in no training picture, and put in wordings that no training question has for
the same words.

All of it is generated and says so: `meta["synthetic"]` is true.
"""

import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from envs.corpora.lazy import Lazy
from envs.miniature.corpus import SIZES
from envs.vqav2.scenes import charts, composed, questions, relations, scene, screens
from envs.vqav2.scenes.annotators import annotate, slip
from envs.vqav2.scenes.families import Family, fill, question_type
from envs.vqav2.scenes.picture import draw_picture
from envs.vqav2.scenes.scene import COLORS, SHAPES, Draw, in_split
from envs.vqav2.scenes.screens import LABELS
from perlhf.errors import UserError, did_you_mean

LEVELS = (1, 2, 3, 4)
FAMILIES: Mapping[str, Family] = {
    family.name: family for module in (questions, relations, composed, charts, screens) for family in module.FAMILIES
}
_OF_LEVEL = {level: [family for family in FAMILIES.values() if family.level == level] for level in LEVELS}
_HALVES = {word: i // 4 for words in (COLORS, SHAPES, LABELS) for i, word in enumerate(words)}
_SEED = 20170426  # any; another makes other questions than the bundled models learned from
_SEED_OF_SPLIT = {"train": 0, "validation": 1, "test": 2}
_FIRST_IMAGE = {"train": 1, "validation": 100_001, "test": 200_001}  # ids, so that no two splits share one
_EDITS, _TRIES = 12, 2_000  # of one picture, and of pairs, before it is given up
SEEN, UNSEEN = "seen combinations", "unseen combinations"


class ImageQuestion(NamedTuple):
    """A question about a picture, with VQAv2's fields; `_asdict()` is JSON.

    Attributes:
        question: ends with a question mark.
        question_id: unique; 1000 times the image's.
        image_id: unique, also among the splits.
        question_type: VQAv2's first words of the question.
        answer_type: "yes/no", "number" or "other".
        multiple_choice_answer: the consensus of the ten, which is the truth.
        answers: ten times {"answer", "answer_confidence", "answer_id"}.
        meta: `synthetic` (true), `level` (1 to 4), `groups` (rows of tables that it counts in), `complementary` (the
            position of the other record of its pair), `family` (the kind of question), `caption` (what is to be seen,
            in words).
    """

    question: str
    question_id: int
    image_id: int
    question_type: str
    answer_type: str
    multiple_choice_answer: str
    answers: list[dict[str, str | int]]
    meta: dict[str, Any]


class Pair(NamedTuple):
    """A question and two pictures that it is asked of."""

    family: Family
    wording: str
    words: Mapping[str, str]
    pictures: tuple[Any, Any]
    unseen: bool

    @property
    def question(self) -> str:
        return fill(self.wording, self.words)

    def answer(self, which: int) -> str:
        """Returns the right answer to the question about picture 0 or 1."""
        return self.family.answer(self.pictures[which], self.words)


def draw_pair(family: Family, rng: np.random.Generator, split: str, unseen: bool = False) -> Pair:
    """Returns a question of a family with two pictures of `split` that answer it differently.

    Args:
        family: the kind of question.
        rng: of everything that is drawn.
        split: "train", "validation" or "test".
        unseen: whether pictures and wording are of the combinations that are held out of training.
    """
    draw = Draw(rng, unseen)
    for _ in range(_TRIES):
        posed = family.pose(draw)
        if not in_split(posed.picture.fold, split):
            continue
        for _ in range(_EDITS):
            other = posed.edit(draw)
            if in_split(other.fold, split):
                pictures = (posed.picture, other) if draw.coin() else (other, posed.picture)
                return Pair(family, wording_for(family, posed.words, draw), posed.words, pictures, unseen)
    raise AssertionError(f"no pair of {family.name!r} in {_TRIES} tries")


def wording_for(family: Family, words: Mapping[str, str], draw: Draw) -> str:
    """One of the wordings: of the three, one is held out of training for the very words that fill it.

    Where no words fill it all three are trained on, since nothing would be left to tell what the third means.
    """
    if not words:
        return draw.pick(family.wordings)
    first = next(iter(words.values()))
    if len(words) == 1 and first in _HALVES:
        # Each half of the colours, shapes or labels goes with all colours, so no wording knows more of some of them.
        held_out = _HALVES[first]
    else:
        held_out = zlib.crc32("/".join((family.name, *words.values())).encode("ascii")) % len(family.wordings)
    if draw.unseen:
        return family.wordings[held_out]
    return draw.pick([wording for i, wording in enumerate(family.wordings) if i != held_out])


@lru_cache(maxsize=256)  # a record, its picture and its other half are often asked for one after the other
def _pair(split: str, levels: tuple[int, ...], number: int) -> Pair:
    """Pair `number` of a split. Levels take turns, and in validation and test so do seen and unseen combinations."""
    turn, level = divmod(number, len(levels))
    unseen = split != "train" and (turn + level) % 2 == 1
    rng = np.random.default_rng([_SEED, _SEED_OF_SPLIT[split], number])
    families = _OF_LEVEL[levels[level]]
    return draw_pair(families[int(rng.integers(len(families)))], rng, split, unseen)


class VQACorpus(Lazy[ImageQuestion]):
    """One split, of all levels or of some.

    Args:
        split: "train" (20,000 records), "validation" (1,000) or "test" (2,000).
        levels: the levels to draw from, each equally often: 1 one thing; 2 several things, counts; 3 places, sizes,
            materials; 4 charts, screens and questions put together. A corpus of other levels has other records under
            the same positions and ids.

    Raises:
        UserError: an unknown split, or no such level.
    """

    def __init__(self, split: str, levels: Sequence[int] = LEVELS) -> None:
        if split not in SIZES:
            raise UserError(f"unknown split {split!r}.{did_you_mean(str(split), SIZES)}")
        self.split, self.levels = split, _checked(levels)

    def __len__(self) -> int:
        return SIZES[self.split]

    def pair(self, index: int) -> Pair:
        """Returns the question of a record with the two pictures of its pair; its own is `pictures[index % 2]`."""
        return _pair(self.split, self.levels, range(len(self))[index] // 2)

    def scene(self, index: int) -> Any:
        """Returns the meaning of a record's picture: a `Scene`, `BarChart`, `PieChart` or `Screen`."""
        return self.pair(index).pictures[index % 2]

    def image(self, index: int, size: int = 64) -> np.ndarray:
        """Draws the picture of a record, (size, size, 3) uint8; divisors and multiples of 64 are cleanest."""
        return draw_picture(self.scene(index), size)

    def oracle(self, index: int) -> str:
        """Returns the right answer, which is the consensus of the ten."""
        return self[index].multiple_choice_answer

    def plausible_answer(self, index: int, rng: np.random.Generator) -> str:
        """Returns an answer of the right type, as an unskilled policy might give it: a guess, a slip or the truth."""
        draw, record = Draw(rng), self[index]
        family, truth = FAMILIES[record.meta["family"]], record.multiple_choice_answer
        chance = draw.number()
        if chance < 0.3:
            return truth
        if chance < 0.5:
            return slip(truth, family.answer_type, family.answers, draw)
        return draw.pick(family.answers)

    def make(self, index: int) -> ImageQuestion:
        pair, which = self.pair(index), index % 2
        family, truth = pair.family, pair.answer(which)
        draw = Draw(np.random.default_rng([_SEED, _SEED_OF_SPLIT[self.split], index, 1]))
        image = _FIRST_IMAGE[self.split] + index
        answers = annotate(truth, family.answer_type, family.level, family.answers, draw)
        kind = question_type(pair.question)
        meta = _meta(pair, which, index)
        return ImageQuestion(pair.question, 1000 * image, image, kind, family.answer_type, truth, answers, meta)


def _meta(pair: Pair, which: int, index: int) -> dict[str, Any]:
    family = pair.family
    return {
        "synthetic": True,
        "level": family.level,
        "groups": [family.answer_type, f"level {family.level}", UNSEEN if pair.unseen else SEEN],
        "complementary": index ^ 1,
        "family": family.name,
        "caption": caption(pair.pictures[which]),
    }


def caption(picture: Any) -> str:
    """Describes a picture in words."""
    modules = {scene.Scene: scene, screens.Screen: screens}
    return str(modules.get(type(picture), charts).caption(picture))


def _checked(levels: Sequence[int]) -> tuple[int, ...]:
    chosen = tuple(dict.fromkeys(levels)) if isinstance(levels, Sequence) else ()
    if not chosen or any(level not in LEVELS for level in chosen):
        raise UserError(f"levels must be some of {', '.join(map(str, LEVELS))}, got {levels!r}.")
    return chosen


@lru_cache(maxsize=32)
def miniature_vqa(split: str, levels: tuple[int, ...] = LEVELS) -> VQACorpus:
    """Returns a split of miniature VQA, shared by all envs of the process."""
    return VQACorpus(split, levels)
