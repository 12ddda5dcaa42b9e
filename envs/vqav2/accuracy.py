"""The official accuracy of visual question answering: agreement with ten people, after the official normalisation.

An answer that three other people gave is right: min(agree / 3, 1), averaged over the ten sets that leave one of the ten
people out. Ten people of whom 0, 1, 2, 3, 4 or more gave the answer make it 0, 0.3, 0.6, 0.9 and 1.

Sources: visualqa.org/evaluation (the formula and the rules in words; Antol et al. 2015, arXiv 1505.00468) and the
newest vqaEval.py of github.com/GT-Vision-Lab/VQA (how the rules are applied, and what they do besides). Not as in the
script, whose code is not used here:

- **Unanimous answers.** The script normalises neither the response nor the answers where all ten are the same, so that
  "Yes" is wrong where ten people said "yes", and right where nine did. (Its older versions always normalise the
  response.) The page says that both are always normalised, and so it is here: a reward that turns on a capital letter
  only where people agree would teach nothing. The script counts no response as right that is wrong here, and one that
  stands word for word among the ten scores the same in both. `official=True` does as the script does.
- **Case of contractions.** The script's table has "Im", "Ive", "Id've" and "I'dve", which it never finds, as it looks
  them up in lower case. They are not here either.

Kept as the script has them, though the page does not say so: a comma between two digits anywhere makes every mark go
without a space; a mark beside a space anywhere in the text goes without a space everywhere; of periods that no digit
follows the first 32 go (a flag stands where a count is expected); "none" is 0; "somebody'd" loses its apostrophe.
"""

import re
from collections.abc import Sequence

ASKED = 10  # people, of each question
ENOUGH = 3  # of the same answer make it right

_MARKS = ';/[]"{}()=+\\_-><@`,?!'  # not the apostrophe (girl's) and not the colon (2:50)
_DIGITS_COMMA = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_MOST_PERIODS = 32  # re.UNICODE, which the script hands to `re.sub` as the count
_ARTICLES = frozenset(("a", "an", "the"))
_NUMBERS = {"none": "0"} | {
    word: str(number) for number, word in enumerate("zero one two three four five six seven eight nine ten".split())
}
_CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're you've
""".split()


def _apostrophe_lost(word: str) -> list[str]:
    """Returns the spellings of a word that lack one of its apostrophes."""
    return [word[:i] + word[i + 1 :] for i, sign in enumerate(word) if sign == "'"]


_CONTRACTIONS = {"somebody'd": "somebodyd"} | {lost: word for word in _CONTRACTED for lost in _apostrophe_lost(word)}


def normalise_answer(text: str) -> str:
    """Returns the answer as it is compared.

    Newlines and tabs become spaces, then marks go, then words are looked up: numbers, articles, contractions.
    "Two of the dogs." is "2 of dogs", "dont" is "don't", "100,978" is "100978", "red/white" is "red white". Of a text
    with at most 32 periods the result is its own normal form.
    """
    return _replace_words(_drop_marks(_on_one_line(text)))


def _on_one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def _drop_marks(text: str) -> str:
    joined = _DIGITS_COMMA.search(text) is not None
    kept = text
    for mark in _MARKS:
        beside_space = f"{mark} " in text or f" {mark}" in text
        kept = kept.replace(mark, "" if joined or beside_space else " ")
    return _PERIOD.sub("", kept, count=_MOST_PERIODS)


def _replace_words(text: str) -> str:
    words = [_NUMBERS.get(word, word) for word in text.lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def vqa_accuracy(response: str, answers: Sequence[str], official: bool = False) -> float:
    """Returns how far people agree with the response, in [0, 1], whatever the order of their answers.

    With fewer than ten answers it is the same average over all sets that leave one of them out. A set of one or two
    cannot agree three times, so there the whole set is enough, and a single answer is right or wrong: a label, such as
    "true", scores 1 or 0. With four answers or more nothing differs from the official formula.

    Args:
        response: what is judged, as it stands; it is normalised here.
        answers: of the people who were asked, as they stand.
        official: compare as the official script does where all answers are the same: as they stand.

    Raises:
        ValueError: there are no answers.
    """
    if not answers:
        raise ValueError("there are no answers to compare the response with; a question needs at least one.")
    as_they_stand = official and len({_on_one_line(answer) for answer in answers}) == 1
    form = _on_one_line if as_they_stand else normalise_answer
    given = form(response)
    total, agree = len(answers), sum(form(answer) == given for answer in answers)
    if total == 1:
        return float(agree)
    enough = min(ENOUGH, total - 1)
    # `agree` of the sets leave out one who agrees. In whole numbers, so that 3 of 10 are 0.9 to the last bit.
    shared = agree * min(agree - 1, enough) + (total - agree) * min(agree, enough)
    return shared / (enough * total)
