"""Which answers are one, and which are not."""

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from envs.uinav.interface.answers import plain, same_answer

# What was said, what was wanted, and the question where it matters.
ALIKE = [
    ("South gym", "south  gym."),
    ('"South gym."', "South gym"),
    ("I’ll be late", "I'll be late"),
    ("“Call home”", "Call home"),
    ("9:00 – 17:00", "9:00 - 17:00"),
    ("7:30 AM", "7:30"),
    ("07:30", "7:30"),
    ("7:30 a.m.", "7:30"),
    ("7:30pm", "19:30"),
    ("12:05 AM", "0:05"),
    ("12:05", "12:05 PM"),
    ("7 AM", "7:00"),
    ("1,200", "1200"),
    ("1200", "1,200"),
    ("1,200,000.50", "1200000.50"),
    ("$45", "45"),
    ("45", "$45"),
    ("45.00", "$45"),
    ("$7.5", "$7.50"),
    ("45 dollars", "$45.00"),
    ("USD 1,045", "$1045"),
    ("45 €", "€45"),
    ("50", "50%"),
    ("50 percent", "50 %"),
    ("4", "4.0"),
    ("173MB", "173 MB"),
    ("173 megabytes", "173 MB"),
    ("−5", "-5"),
    ("555-9820", "555 9820"),
    ("5559820", "555 9820"),
    ("0.4", "0.4 km", "How many km is it to the Olive Clinic?"),
    ("0.4", "0.4 km", "Tell me the distance in kilometers"),
    ("3 songs", "3", "How many songs are in the playlist?"),
]
DIFFERENT = [
    ("7:30 AM", "19:30"),
    ("7:30 PM", "7:30"),
    ("12:05 AM", "12:05"),
    ("7:30", "7:03"),
    ("7", "7:00"),
    ("25:30", "1:30"),
    ("1.5", "15"),
    ("1,5", "15"),
    ("1,5", "1.5"),
    ("1.200", "1,200"),
    ("1,20", "120"),
    ("12.1", "12.10"),  # versions
    ("007", "7"),
    ("-5", "5"),
    ("€45", "$45"),
    ("50%", "0.5"),
    ("50%", "$50"),
    ("0.4", "0.4 km", "What is the distance of the Olive Clinic?"),
    ("400 m", "0.4 km", "How many km or m is it?"),
    ("173 MB", "173 GB"),
    ("3 songs", "3 apps"),
    ("16", "16 Elm Street"),
    ("Room 12", "12"),
    ("10.0.5.5", "10.05.5"),
    ("12 5", "125"),
    ("", "0"),
    ("well", "we'll"),
    ("7:30", "7:30 AM", "Is it at 7:30 AM or 7:30 PM?"),
    ("45", "$45", "Does it cost $45, or 45 points?"),
]


@pytest.mark.parametrize("row", ALIKE, ids=lambda row: " | ".join(row))
def test_one_answer_written_in_two_ways(row):
    said, wanted, *question = row
    assert same_answer(said, wanted, *question)
    assert same_answer(wanted, said, *question)


@pytest.mark.parametrize("row", DIFFERENT, ids=lambda row: " | ".join(row))
def test_two_answers(row):
    said, wanted, *question = row
    assert not same_answer(said, wanted, *question)
    assert not same_answer(wanted, said, *question)


@given(st.text(), st.text())
def test_an_answer_is_itself_whatever_was_asked(text, question):
    assert same_answer(text, text, question)
    assert same_answer(f"  {text.upper().lower()} ", text.upper().lower(), question)


@given(st.text(), st.text(), st.text())
def test_it_is_the_same_both_ways_round(one, other, question):
    assert same_answer(one, other, question) == same_answer(other, one, question)


numbers = st.decimals(0, 10**7, places=2).map(lambda number: number + 0)
times = st.tuples(st.integers(0, 23), st.integers(0, 59))


def written(draw, number):
    """A number as a person may write it."""
    text = f"{number:,}" if draw(st.booleans()) else str(number)
    return draw(st.sampled_from(["{}", "${}", "{} dollars", "USD {}", " {}.", "“{}”"])).format(text)


@given(st.data(), numbers)
def test_a_number_is_the_same_however_it_is_written(data, number):
    one, other = written(data.draw, number), written(data.draw, number)
    assert same_answer(one, other), (one, other)


@given(st.data(), numbers, numbers)
def test_two_numbers_are_never_one(data, number, another):
    assume(number != another)
    one, other = written(data.draw, number), written(data.draw, another)
    assert not same_answer(one, other), (one, other)


@given(st.data(), numbers)
def test_a_point_that_is_moved_or_lost_makes_another_number(data, number):
    assume(number != 0)
    for other in (number * 10, number * 100, Decimal(str(number).replace(".", ""))):
        assert not same_answer(written(data.draw, number), written(data.draw, other))


def clock(draw, hour, minute):
    """A time as a person may write it."""
    half = f"{hour % 12 or 12}:{minute:02} {'PM' if hour >= 12 else 'AM'}"
    forms = [f"{hour}:{minute:02}", f"{hour:02}:{minute:02}", half, half.lower(), half.replace(" ", "")]
    return draw(st.sampled_from(forms))


@given(st.data(), times, times)
def test_times_are_one_where_the_clock_says_the_same(data, one, other):
    assert same_answer(clock(data.draw, *one), clock(data.draw, *one))
    assert same_answer(clock(data.draw, *one), clock(data.draw, *other)) == (one == other)


@given(st.text(alphabet="ab '’‘\"“”-–—."), st.data())
def test_which_apostrophes_quotes_and_dashes_are_used_says_nothing(text, data):
    kinds = {"'": "'’‘", '"': '"“”', "-": "-–—"}
    alike = {sign: signs for signs in kinds.values() for sign in signs}
    other = "".join(data.draw(st.sampled_from(alike.get(letter, letter))) for letter in text)
    assert plain(text) == plain(other)
    assert same_answer(text, other)
