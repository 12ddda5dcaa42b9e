"""The official accuracy of VQA: cases worked out by hand, and an implementation of its own from the published rules."""

import gzip
import json
import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.turn import Turn
from envs.vqav2.accuracy import normalise_answer, vqa_accuracy
from envs.vqav2.task import VQAv2

REAL = Path(__file__).parents[1] / "../shared/data/vqa_v2_text"

# The normal form

NORMAL = {
    # case, spaces, line breaks
    "  Yes \n": "yes",
    "red\tand\nblue": "red and blue",
    "": "",
    # number words, and "none"
    "Two dogs": "2 dogs",
    "none": "0",
    "zero ten eleven": "0 10 eleven",
    "someone": "someone",
    # articles
    "The cat on a mat": "cat on mat",
    "an": "",
    "theatre": "theatre",
    # contractions
    "dont": "don't",
    "Its": "its",
    "couldntve": "couldntve",
    "couldn'tve": "couldn't've",
    "couldnt've": "couldn't've",
    "ow's'at": "'ow's'at",
    "yall'd've": "y'all'd've",
    "somebody'd": "somebodyd",
    "twas 5 oclock": "'twas 5 o'clock",
    "im": "im",  # the script's "Im" is never met, as it looks words up in lower case
    # periods: gone unless a digit follows
    "yes.": "yes",
    "2.5": "2.5",
    ".5": ".5",
    "5.": "5",
    "u.s.a.": "usa",
    "v.2": "v.2",
    # commas: between digits no space, else a space, or nothing beside a space
    "100,978": "100978",
    "red,white": "red white",
    "red, white": "red white",
    # a mark beside a space anywhere goes without a space everywhere
    "a-b - c-d": "ab cd",
    "black/white": "black white",
    "and/or / not": "andor not",
    "red; blue c;d": "red blue cd",
    "red ;blue c;d": "red blue cd",
    "red;\nblue c;d": "red blue cd",
    "red;\tblue c;d": "red blue cd",
    # a comma between digits anywhere makes every mark go without a space
    "1,000 red/white": "1000 redwhite",
    # each of the other marks is a space
    'p;q"r(s)t': "p q r s t",
    "p[q]r{s}t": "p q r s t",
    "p=q+r\\s_t": "p q r s t",
    "p>q<r@s`t?u!v": "p q r s t u v",
    "X Xerox": "x xerox",
    # apostrophe and colon stay, and what the script does not name
    "girl's": "girl's",
    "2:50 pm": "2:50 pm",
    "50% & $3 #1 *": "50% & $3 #1 *",
    # marks go before numbers and articles are looked up
    "one!": "1",
    "the-the": "",
}


@pytest.mark.parametrize("text", NORMAL)
def test_the_normal_form_is_that_of_the_official_rules(text):
    assert normalise_answer(text) == NORMAL[text]


@given(st.text(st.characters() | st.sampled_from("-,.;:' \n\t1a"), max_size=32))
def test_a_normal_form_is_its_own_normal_form(text):
    once = normalise_answer(text)
    assert normalise_answer(once) == once


def test_of_more_than_32_periods_the_rest_stays_as_in_the_official_script():
    assert normalise_answer("x." * 32) == "x" * 32
    assert normalise_answer("x." * 34) == "x" * 32 + "x.x."


# The accuracy


@pytest.mark.parametrize(("agree", "accuracy"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (9, 1.0), (10, 1.0)])
def test_the_accuracy_by_the_number_of_ten_who_agree(agree, accuracy):
    # 3 agree: the 3 sets without one of them have 2, the 7 others 3: (3 * 2/3 + 7 * 1) / 10 = 0.9.
    assert vqa_accuracy("cat", ["cat"] * agree + ["dog"] * (10 - agree)) == accuracy


@pytest.mark.parametrize(
    ("answers", "accuracy"),
    [
        (["cat"], 1.0),
        (["dog"], 0.0),
        (["cat", "cat"], 1.0),
        (["cat", "dog"], 0.5),  # the set without "cat" has 0 of 1, the other 1 of 1
        (["cat", "cat", "dog"], 2 / 3),  # 1/2 and 1/2 and 2/2
        (["cat", "dog", "cow"], 1 / 3),  # 0/2 and 1/2 and 1/2
        (["cat"] * 4, 1.0),  # from here on the official formula: 3/3 of each set of 3
        (["cat", "cat", "dog", "cow"], 0.5),  # 1/3, 1/3, 2/3, 2/3
        (["cat", "cat", "dog", "cow", "cow"], 8 / 15),  # 1/3, 1/3, 2/3, 2/3, 2/3
    ],
)
def test_fewer_than_ten_answers(answers, accuracy):
    assert vqa_accuracy("cat", answers) == pytest.approx(accuracy, abs=1e-12)


def test_without_answers_there_is_no_accuracy():
    with pytest.raises(ValueError, match="there are no answers to compare the response with"):
        vqa_accuracy("cat", [])


def test_response_and_answers_are_both_normalised_also_where_all_ten_are_the_same():
    assert vqa_accuracy("Yes.", ["yes"] * 10) == 1.0
    assert vqa_accuracy("2", ["Two"] * 10) == 1.0
    assert vqa_accuracy("a dog!", ["the dog", "dog", "Dog.", "cat"] + ["cow"] * 6) == 0.9
    assert vqa_accuracy("dont", ["don't", "dont"] + ["no"] * 8) == 0.6


@pytest.mark.parametrize(
    ("response", "answers", "accuracy"),
    [
        ("Yes.", ["yes"] * 10, 0.0),  # all the same: compared as they stand
        ("yes", ["yes"] * 10, 1.0),
        (" yes\n", ["yes"] * 10, 1.0),  # but for spaces at the ends
        ("yes", ["yes", *["yes "] * 9], 1.0),
        ("2", ["Two"] * 10, 0.0),
        ("Yes.", ["yes"] * 9 + ["no"], 1.0),  # not all the same: normalised
        ("Yes.", ["yes"] * 3 + ["no"] * 7, 0.9),
        ("yes", ["Yes"] * 5 + ["yes"] * 5, 1.0),  # written in two ways
    ],
)
def test_the_official_script_normalises_nothing_where_all_ten_are_the_same(response, answers, accuracy):
    assert vqa_accuracy(response, answers, official=True) == accuracy


def test_the_official_script_is_asked_where_ten_people_were():
    turn = Turn("QUESTION: Is it?\n\nANSWER:", "Yes.", {"answers": ["yes"] * 10})
    assert VQAv2.judge_officially(None, turn) == 0.0
    for count in (0, 9, 11):
        assert VQAv2.judge_officially(None, replace(turn, reference={"answers": ["yes"] * count})) is None


# An implementation from the published words: visualqa.org/evaluation

CONTRACTIONS = {"dont": "don't", "isnt": "isn't", "thats": "that's", "its": "its", "wont": "won't"}
NUMBER_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
PEOPLE_SAY = [
    *["yes", "Yes", "yes.", "no", "NO!", "2", "two", "Two.", "none", "0", "zero", "10", "ten"],
    *["a dog", "the dog", "dog", "Dog", "an apple", "apple?", "red/white", "red white", "red,white", "red-white"],
    *["dont", "don't", "isnt", "isn't", "thats it", "that's it", "2.5", "2:50", "100,978", "100978", "", "the"],
    *["girl's", "girls", "2 dogs", "two dogs", "St. John", "st john", "left", "to the left", "on left", "tv", "t.v."],
]


def published_form(text):
    """Sign by sign; enough for the answers above, none of which has a mark both beside a space and elsewhere."""
    signs = []
    for before, sign, after in zip(f" {text}", text, f"{text} "[1:], strict=False):
        if sign == "." and not after.isdigit():
            continue
        if sign == "," and before.isdigit() and after.isdigit():
            continue
        plain = sign.isalnum() or sign in " .':"
        signs.append(sign.lower() if plain else " ")
    words = "".join(signs).split()
    words = [
        str(NUMBER_WORDS.index(word)) if word in NUMBER_WORDS else "0" if word == "none" else word for word in words
    ]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ("a", "an", "the"))


def published_accuracy(response, answers):
    """Acc = min(number of people that said it / 3, 1), averaged over all choices of nine of the ten people."""
    given, accuracies = published_form(response), []
    for left_out in range(len(answers)):
        others = [published_form(answer) for i, answer in enumerate(answers) if i != left_out]
        accuracies.append(min(Fraction(others.count(given), 3), Fraction(1)))
    return sum(accuracies) / len(accuracies)


def test_2000_answer_sets_have_the_accuracy_of_the_published_formula():
    rng, met = random.Random(0), set()
    for _ in range(2000):
        few = rng.sample(PEOPLE_SAY, rng.choice([1, 2, 3, 6, 20]))
        answers = rng.choices(few, k=10)
        response = rng.choice(few if rng.random() < 0.7 else PEOPLE_SAY)
        expected = published_accuracy(response, answers)
        assert abs(vqa_accuracy(response, answers) - expected) < 1e-12, (response, answers)
        met.add(expected)
    assert met == {Fraction(n, 10) for n in (0, 3, 6, 9, 10)}  # every value that there is


ANSWERS = st.lists(st.sampled_from(PEOPLE_SAY) | st.text(max_size=5), min_size=1, max_size=12)
RESPONSES = st.sampled_from(PEOPLE_SAY) | st.text(max_size=5)


@given(RESPONSES, ANSWERS)
def test_the_accuracy_is_between_0_and_1(response, answers):
    assert 0.0 <= vqa_accuracy(response, answers) <= 1.0


@given(RESPONSES, ANSWERS)
def test_the_official_script_never_gives_more(response, answers):
    assert vqa_accuracy(response, answers, official=True) <= vqa_accuracy(response, answers)


@given(RESPONSES, ANSWERS, st.randoms(use_true_random=False))
def test_the_order_of_the_answers_does_not_matter(response, answers, rng):
    shuffled = list(answers)
    rng.shuffle(shuffled)
    assert vqa_accuracy(response, shuffled) == vqa_accuracy(response, answers)


@given(RESPONSES, ANSWERS)
def test_more_people_who_agree_never_make_it_less(response, answers):
    agreed = [response, *answers[1:]]
    assert vqa_accuracy(response, agreed) >= vqa_accuracy(response, answers)


@given(RESPONSES, ANSWERS)
def test_the_normal_form_of_a_response_scores_as_the_response(response, answers):
    assert vqa_accuracy(normalise_answer(response), answers) == vqa_accuracy(response, answers)


@pytest.fixture(scope="module")
def real():
    """Annotations of real validation questions."""
    if not REAL.is_dir():
        pytest.skip("the real VQA records are not on this machine")
    with gzip.open(REAL / "vqa_annotatons_valid.json.gz") as file:
        return json.load(file)["annotations"]


def accuracies(annotations, said=str, official=False):
    """Of the commonest answer to each question, written as `said` writes it."""
    people = [[answer["answer"] for answer in a["answers"]] for a in annotations]
    commonest = [said(a["multiple_choice_answer"]) for a in annotations]
    return [vqa_accuracy(text, answers, official) for text, answers in zip(commonest, people, strict=True)]


def test_the_most_frequent_of_ten_real_answers_mostly_scores_1(real):
    scores = accuracies(real)
    assert len(scores) == 8977
    assert min(scores) >= 0.3  # someone said it
    assert sum(score == 1.0 for score in scores) / len(scores) > 0.8
    assert accuracies(real, official=True) == scores


def test_a_capital_and_a_full_stop_cost_half_of_the_real_yes_and_no_by_the_official_script(real):
    asked = [a for a in real if a["answer_type"] == "yes/no"]
    here, there = (accuracies(asked, lambda text: f"{text.capitalize()}.", official) for official in (False, True))
    assert len(asked) == 2947
    assert sum(here) / len(here) == pytest.approx(1.0, abs=5e-4)
    assert sum(there) / len(there) == pytest.approx(0.471, abs=5e-4)
