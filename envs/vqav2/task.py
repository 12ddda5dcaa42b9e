"""`VQAv2`: an episode is one question on one picture, answered in a few words."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from envs.corpora.images import letterbox
from envs.corpora.splits import SPLITS
from envs.feedback import drawn_index
from envs.task import Scored, Task
from envs.text_task import data_name
from envs.turn import Turn
from envs.vqav2.accuracy import ASKED, vqa_accuracy
from envs.vqav2.answers import VQAAnswers
from envs.vqav2.card import draw_answer, write_answer
from envs.vqav2.questions import FolderQuestions, MiniatureQuestions, PictureQuestion, PictureQuestions
from envs.vqav2.scenes.corpus import LEVELS, miniature_vqa
from envs.vqav2.scenes.picture import LARGEST, SMALLEST
from envs.vqav2.shortcuts import blind_scores, tables_by_type
from perlhf.conversation import instructed_by
from perlhf.errors import UserError, did_you_mean

FEEDBACK = ("labels", "pairs")  # kinds of record of `VQAAnswers`
_CACHED_BYTES, _CACHED = 64 * 2**20, 64  # of pictures of a task; but always so many


_INSTRUCTIONS = "Answer the question about the picture with one word or a short phrase, and nothing else."


class _Shown(NamedTuple):
    """A record, its square, and (height, width) of the picture before."""

    record: PictureQuestion
    square: np.ndarray
    size: tuple[int, int]


class VQAv2(Task):
    """Answer a question about a picture: VQA v2.0, balanced pairs and ten people's answers.

    ## Description
    The policy is shown a picture and a question and says the answer in a word or a few.

    ## Action Space
    `Unicode(20000)`: the text of the answer.

    ## Observation Space
    `Dict(prompt: Unicode(100000), image: Box(0, 255, (image_size, image_size, 3), uint8))`. The prompt is
    "QUESTION: ...\\n\\nANSWER:" and no more: it shares the context of a small model with the picture. The picture keeps
    its proportions, in the middle of a grey square.

    ## Starting State
    A question of the split, drawn uniformly, or the one that `reset(options={"index": i})` names.

    ## Reward
    By default, and as `reward="gold"`, VQA's own accuracy in [0, 1]: how far ten people agree with the answer, see
    `envs.vqav2.accuracy`.

    ## Episode End
    After one answer; it terminates and never truncates.

    ## Information
    At reset `index`, `question_id`, `answer_type`, `question_type` and `image_size`, (height, width) of the picture
    before it was made to fit. At the end `gold` and `is_success`: at least three of the ten gave the answer.

    ## Arguments
    `data`: "miniature", or a folder of VQA's, NLVR's or SHAPES' own files, see `envs.vqav2.files.folders`. `split`:
    "train", "validation" or "test". `levels`: of the miniature data, such as "1+2"; all four by default.
    `image_size`: of the square in pixels, 64 by default. `feedback`: "labels" or "pairs", what reward models learn
    from, see `envs.vqav2.answers`. `reward`, `render_mode`: see `envs.core.TaskEnv`.

    ## Version History
    v0: first version.
    """

    default_reward = "gold"
    trained_reward = "rewards.bundled:vqav2"
    instructions = _INSTRUCTIONS
    shipped_backbone = "tiny-vqav2"
    success_at = 0.9  # three of ten
    reset_options = frozenset({"index"})

    def __init__(
        self,
        data: str = "miniature",
        split: str = "train",
        levels: str | int | Sequence[int] = "",
        image_size: int = 64,
        feedback: str = "labels",
    ) -> None:
        if feedback not in FEEDBACK:
            raise UserError(f"unknown feedback {feedback!r}.{did_you_mean(str(feedback), FEEDBACK)}")
        if split not in SPLITS:
            raise UserError(f"unknown split {split!r}.{did_you_mean(str(split), SPLITS)}")
        self.data, self.split, self.image_size = data_name(data), split, _checked_size(image_size)
        self.feedback_kind, self.image_shape = feedback, (self.image_size, self.image_size, 3)
        self.records = self._questions(levels)
        fitting = _CACHED_BYTES // (3 * self.image_size**2)
        self.shown = lru_cache(maxsize=max(_CACHED, fitting))(self._read)

    def _questions(self, levels: str | int | Sequence[int]) -> PictureQuestions:
        if self.data == "miniature":
            return MiniatureQuestions(miniature_vqa(self.split, _checked_levels(levels)))
        if levels != "":
            raise UserError(f"levels are those of the miniature data; {self.data} has none, got {levels!r}.")
        return FolderQuestions(Path(self.data), self.split)

    @property
    def pairs(self) -> Sequence[tuple[int, int]]:
        """Positions in `records` of complementary pairs: one question, two pictures, different answers."""
        return self.records.pairs

    def _read(self, index: int) -> _Shown:
        record = self.records[index]
        picture = record.load(self.image_size)
        return _Shown(record, letterbox(picture, self.image_size, self.image_size), picture.shape[:2])

    def start(self, rng: np.random.Generator, options: Mapping[str, Any]) -> int:
        return drawn_index(rng, options, len(self.records))

    def turn(self, state: int, response: str = "") -> Turn:
        record, square, _ = self.shown(state)
        reference = {"index": state, "question": record.question, "answers": record.answers, **record.meta}
        return Turn(prompt_of(record.question), response, reference, square.copy())

    def observe(self, state: int) -> dict[str, Any]:
        record, square, _ = self.shown(state)
        return {"prompt": prompt_of(record.question), "image": square.copy()}

    def advance(self, state: int, response: str) -> tuple[int, bool]:
        return state, True

    def judge(self, turn: Turn) -> float | None:
        """VQA's accuracy; None where nobody answered the question."""
        answers = turn.reference["answers"]
        return vqa_accuracy(turn.response, answers) if answers else None

    def judge_officially(self, turn: Turn) -> float | None:
        """VQA's accuracy as its script computes it; None where fewer answered than it is made for."""
        answers = turn.reference["answers"]
        return vqa_accuracy(turn.response, answers, official=True) if len(answers) == ASKED else None

    def oracle(self, state: int) -> str:
        """Returns the answer that most people agree with; "" where nobody answered."""
        record = self.records[state]
        said = dict.fromkeys([record.consensus, *record.answers])
        return max(said, key=lambda answer: vqa_accuracy(answer, record.answers) if record.answers else 0.0)

    def plausible_action(self, state: int, rng: np.random.Generator) -> str:
        return self.records.plausible_answer(state, rng)

    def info(self, state: int) -> dict[str, Any]:
        record, _, size = self.shown(state)
        named = {key: record.meta[key] for key in ("question_id", "answer_type", "question_type")}
        return {"index": state, **named, "image_size": size}

    def groups(self, state: int) -> Sequence[str]:
        """Its answer type; of the miniature data its level too, and whether training has such combinations."""
        return tuple(self.records[state].meta["groups"])

    def first_states(self, n: int) -> list[int]:
        """Returns the first n questions."""
        return list(range(min(n, len(self.records))))

    def feedback(self) -> VQAAnswers:
        return VQAAnswers(self)

    def shortcut_scores(self, train: Task, count: int, seed: int) -> Iterator[Scored]:
        assert isinstance(train, VQAv2)
        return blind_scores(train, self, count, seed)

    def group_tables(self, groups: Sequence[str]) -> list[list[str]]:
        return tables_by_type(groups)

    def draw(self, turn: Turn, score: float | None, gold: float | None) -> np.ndarray:
        """Draws the picture, the question, people's answers, and the policy's in the colour of its gold."""
        return draw_answer(turn, self.records[turn.reference["index"]].load, score, gold)

    def write(self, turn: Turn, score: float | None, gold: float | None) -> str:
        """Returns the same in words; what is to be seen is told of generated pictures alone."""
        return write_answer(turn, score, gold)


def prompt_of(question: str) -> str:
    """Returns the text of the prompt, which the policy reads beside the picture."""
    return instructed_by(_INSTRUCTIONS)(f"QUESTION: {question}\n\nANSWER:")


def _checked_size(size: int) -> int:
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or not SMALLEST <= size <= LARGEST:
        raise UserError(f"image_size must be a whole number from {SMALLEST} to {LARGEST} pixels, got {size!r}.")
    return int(size)


def _checked_levels(levels: str | int | Sequence[int]) -> tuple[int, ...]:
    """Returns the levels in order, from "1+2", 1 or [1, 2]; all for nothing."""
    if levels == "":
        return LEVELS
    parts = levels.split("+") if isinstance(levels, str) else levels if isinstance(levels, Sequence) else [levels]
    named = [str(part).strip() for part in parts]
    if not named or not set(named) <= set(map(str, LEVELS)):
        raise UserError(f"levels must be some of {', '.join(map(str, LEVELS))}, as in '1+2', got {levels!r}.")
    return tuple(level for level in LEVELS if str(level) in named)
