"""`Family`: a kind of question, with wordings, pairs of pictures to ask it of, and the program that answers."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from envs.vqav2.scenes.scene import Draw

# VQAv2 names a question's type by its first words: the longest of these that it begins with.
QUESTION_TYPES = tuple(
    """
    are/are the/are there/are there any/are these/are they/can you/could/do/do you/does the/does this/has/how/how many/
    how many people are/how many people are in/is/is he/is it/is that a/is the/is the man/is the person/is the woman/
    is there/is there a/is this/is this a/is this an/is this person/was/what/what animal is/what are/what are the/
    what brand/what color/what color are the/what color is/what color is the/what does the/what is/what is in the/
    what is on the/what is the/what is the color of the/what is the man/what is the name/what is the person/
    what is the woman/what is this/what kind of/what number is/what room is/what sport is/what time/what type of/
    where are the/where is the/which/who is/why/why is the
    """.replace("\n    ", "").split("/")
)
_LONGEST_FIRST = sorted(QUESTION_TYPES, key=len, reverse=True)
_OTHER_TYPE = "none of the above"
Words = Mapping[str, str]


class Posed(NamedTuple):
    """A question with a picture that it is asked of.

    Attributes:
        words: what fills the wording; the program reads no more than these and the picture.
        picture: a picture.
        edit: draws the other picture of the pair, a small change of the first one; its answer differs.
    """

    words: Words
    picture: Any
    edit: Callable[[Draw], Any]


class Family(NamedTuple):
    """A kind of question.

    Attributes:
        name: short and unique.
        level: 1 to 4, how hard.
        answer_type: "yes/no", "number" or "other".
        wordings: templates; all mean the same.
        answers: what can be answered, each about equally often.
        pose: draws words and pictures.
        answer: the program: from a picture and words to the answer.
    """

    name: str
    level: int
    answer_type: str
    wordings: tuple[str, ...]
    answers: tuple[str, ...]
    pose: Callable[[Draw], Posed]
    answer: Callable[[Any, Words], str]


YES_NO = ("yes", "no")


def yes(truth: bool) -> str:
    """ "yes" or "no"."""
    return "yes" if truth else "no"


def numbers(low: int, high: int) -> tuple[str, ...]:
    """Returns the answers from `low` to `high`, both among them."""
    return tuple(str(n) for n in range(low, high + 1))


def fill(wording: str, words: Words) -> str:
    """Returns a wording with `words` in it: "Is there a {color} star?" -> "Is there an orange star?"."""
    return wording.format_map(words).replace(" a orange", " an orange")


@lru_cache(maxsize=4096)
def question_type(question: str) -> str:
    """VQAv2's `question_type`: the first words of a question, by which its questions are grouped."""
    said = question.lower().rstrip("?") + " "
    return next((name for name in _LONGEST_FIRST if said.startswith(name + " ")), _OTHER_TYPE)
