"""`Grammar`: what a generated corpus is made of. `MiniatureCorpus` turns one into splits of records."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

Shortcut = Callable[[Any, str, np.random.Generator], str]


class Grammar(ABC):
    """Draws cases, puts them into words, answers them well and badly, and judges answers.

    A new one writes what is abstract here; docs/adding_a_text_task.md shows a whole one.

    A case is the meaning of a prompt: a NamedTuple of plain JSON values, from which everything that is right
    follows. Words are drawn by the generator given, so the same seeds give the same corpus.

    Attributes:
        name: of the corpus, in lower case; only shipped ones need one.
        case_type: the NamedTuple of its cases.
        pointwise: whether responses are labelled one by one instead of in pairs.
    """

    name: str
    case_type: ClassVar[type]
    pointwise: ClassVar[bool] = False

    @abstractmethod
    def draw_case(self, rng: np.random.Generator, unseen: bool) -> Any:
        """Draws a case of the topics that are held out (`unseen`), or of the others; there may be none held out."""

    def fold(self, case: Any) -> int:
        """Returns the tenth of all cases that one is in, whatever its wording: 0 is test, 1 validation, others train.

        By default a hash of the whole case says it.
        """
        return hashlib.sha256(repr([str(part) for part in case]).encode("utf-8")).digest()[0] * 10 // 256

    def groups(self, case: Any) -> list[str]:
        """Returns the groups that results are also reported by; by default none."""
        return []

    @abstractmethod
    def word_prompt(self, case: Any, rng: np.random.Generator) -> str:
        """One of the many wordings of a case."""

    @abstractmethod
    def draw_response(self, case: Any, rng: np.random.Generator) -> str:
        """Returns a response of mixed quality, as the people and models that wrote the corpus would give."""

    def demonstration(self, case: Any, rng: np.random.Generator) -> str | None:
        """Returns the answer of a person who shows the task, as well as most people do it.

        By default None: the backbone then reads responses that were liked instead.
        """
        return None

    @abstractmethod
    def good_response(self, case: Any, rng: np.random.Generator) -> str:
        """Returns a response that `judge` gives full marks."""

    @abstractmethod
    def judge(self, case: Any, response: str) -> float:
        """Returns the gold score of any text in [0, 1], worked out from the text. Never raises."""

    def feedback(self, first_preferred: bool, margin: float, rng: np.random.Generator) -> dict[str, Any]:
        """Returns further facts of a labelled pair, as plain JSON values of `meta`; nothing by default.

        Args:
            first_preferred: whether the first response of the pair as it was drawn is preferred.
            margin: its gold score less that of the second.
            rng: the pair's, after all else was drawn.
        """
        return {}

    @property
    def shortcuts(self) -> Mapping[str, Shortcut]:
        """Policies that know a shortcut and not the task: from case, prompt and generator to a response."""
        return {}
