"""What a text affirms, and that no judge of the generated texts gives marks for the opposite."""

import numpy as np
import pytest
from cost import cost
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.bolt.grammar import BOLTGrammar
from envs.miniature.insults import insults
from envs.miniature.negation import affirmed, denials, denies, takes_back
from envs.shp.questions import SHPGrammar
from envs.tldr.grammar import TLDRGrammar

SUCCESS = 0.8  # gold from which an episode counts as a success
SAID = "Sam broke the mug on Monday."
DENIED = (
    "Sam never broke the mug on Monday.",
    "Sam did not break the mug on Monday.",
    "Sam didn't break the mug on Monday.",
    "Sam didn\u2019t break the mug on Monday.",
    "SAM DIDNT BREAK THE MUG ON MONDAY.",
    "Nobody broke the mug on Monday, least of all Sam.",
    "It is not true that Sam broke the mug on Monday.",
    "It is a lie that Sam broke the mug on Monday.",
    "I doubt that Sam broke the mug on Monday.",
    "Sam refused to break the mug on Monday.",
    "Avoid the mug that Sam broke on Monday.",
    "Sam waved on Monday instead of breaking the mug.",
    "Avoid this: Sam broke the mug on Monday.",
    "Never do this: Sam broke the mug. It was on Monday.",
    "The following is false: Sam broke the mug. It was on Monday.",
    "Stop: Sam broke the mug on Monday.",
)
# Behind or before what was said.
TAKING_BACK = (
    "None of this is true.", "That is not true.", "This isn't so.", "It is all a lie.", "Not really.", "I lied.",
    "Just kidding.", "The opposite is true.", "Do not do any of this.", "Never do that.", "Avoid this.", "Forget it.",
    "Ignore what I said.", "I take it back.", "I made all of this up.", "This never happened.", "Wrong!", "False.",
    "It is the other way round.", "Nothing of the sort happened.", "It's not true.", "That's not true.",
    "That\u2019s not so.", "It's a lie.", "I'm kidding.", "You're wrong.", "Let's not do that.",
    "Take all of this back.", "He did not.", "None of this is true, no doubt.", "Don't worry, it's not true.",
)  # fmt: skip
KEPT = (
    "Not sure whether to sell the car.",
    "I do not know what to do about this car.",
    "I don't know whether to sell the car.",
    "Do not forget to stir the soup.",
    "Don't worry, the soup is fine.",
    "Why not sell the car?",
    "Not only the mug but the jug broke.",
    "It takes no more than 20 minutes.",
    "Here is how: stir the soup.",
    "It takes two steps: stir the soup, then cook it without a lid.",
    "The plan is to do nothing.",
    "That should do it.",
    "Is it right to call the landlord now?",
    "What is wrong with you?",
    "Stir it at 12:30, says Nora in Nottingham.",
    "You'll be back.",
    "I don't know if I should show it in public or not.",
    "Should I show it in public or not?",
    "Is it wrong to show it in public?",
    "Is it a bad idea to show it in public?",
    "Would it be wrong of me to show it in public?",
    "There is no need to do anything else.",
    "You do not have to do anything else.",
    "You don't need to do any more.",
    "It is not that bad.",
    "Or else it will not be right.",
    "You won't need more than 81 dollars.",
    "It does not cost more than 81 dollars.",
    "It won't cost you more than 81 dollars.",
    "You do not have to spend more than 81 dollars.",
    "No need to worry about the 81 dollars.",
    "If it is not strong enough, add salt.",
)
# What denies a thing, but not what is said beside it.
HARMLESS = ("You do not have to.", "You will not be sorry.", "There is no need.", "You should not be sorry.")

INSULTS = (
    "You are a stupid idiot.", "You are an asshole.", "You are a bastard and an animal.", "You're a fat, ugly pig.",
    "You\u2019re so dumb!", "You fool!", "You stupid cow.", "What a loser you are.", "Morons!", "You are all liars.",
    "You are nothing but a worthless piece of trash.", "Your a pig.", "You are a little rat.", "Screw you!",
)  # fmt: skip
POLITE = (
    "You are a good friend.", "You are a real help.", "You are not an idiot.", "You are no fool.", "Your dog is old.",
    "If you are lazy, use a spoon.", "Only a fool would ask that.", "That is a stupid question.",
    "Tighten the screw you have.",
    "What is wrong with you?", "You should be ashamed.", "You animate the pigs.", "It is shut up by a lock.", "",
)  # fmt: skip


@pytest.mark.parametrize("text", DENIED)
def test_what_is_denied_is_not_affirmed(text):
    assert affirmed(text) == ""


@pytest.mark.parametrize("text", TAKING_BACK)
def test_a_sentence_that_names_nothing_takes_all_back(text):
    assert takes_back(text)
    assert affirmed(f"{SAID} {text}") == ""
    assert affirmed(f"{text} {SAID}") == ""


@pytest.mark.parametrize("text", KEPT)
def test_doubt_and_advice_are_no_denial(text):
    assert affirmed(text) == text
    assert affirmed(f"{SAID} {text}") == f"{SAID} {text}"


@pytest.mark.parametrize("text", HARMLESS)
def test_a_denial_that_does_not_point_back_takes_nothing_back(text):
    assert not takes_back(text)
    assert affirmed(f"{SAID} {text}") == SAID


@pytest.mark.parametrize("text", INSULTS)
def test_insults_are_found(text):
    assert insults(text)
    assert insults(f"{SAID} {text.upper()} {SAID}")


@pytest.mark.parametrize("text", POLITE)
def test_what_is_no_insult_is_none(text):
    assert not insults(text)


def test_a_denied_sentence_takes_no_other_with_it():
    assert affirmed(f"{SAID} Ben did not see it. It was late.") == f"{SAID} It was late."


def test_denials_are_counted():
    assert denials("Sam broke the mug") == 0
    assert denials("Sam has not agreed") == 1
    assert denials("It is not true that Sam has not agreed") == 2
    assert denies("It's a lie that Sam broke it")
    assert not denies("Not sure whether Sam broke it")


@given(st.lists(st.one_of(st.sampled_from([*DENIED, *TAKING_BACK, *KEPT, ": ", ". ", "not "]), st.text(max_size=4))))
@settings(max_examples=500, deadline=None)
def test_what_is_left_is_a_part_of_the_text_and_stays(parts):
    text = "".join(parts)
    left = affirmed(text)
    assert set(left.split()) <= set(text.split()) or len(left) <= len(text)
    assert affirmed(left) == left


@pytest.mark.parametrize(
    "text",
    [
        "not a. " * 2_800,
        "made " * 4_000,
        "n't " * 5_000,
        ": " * 9_000,
        "not know " * 2_000,
        "take a " * 2_800,
        "not need to " * 1_700,
        "you are a " * 2_000,
        "you are " + "a" * 20_000,
        "f" * 20_000,
    ],
)
def test_reading_takes_time_that_grows_with_the_text(text):
    assert cost(lambda: (affirmed.__wrapped__(text), insults(text)), enough=0.1) < 0.1


# The judges

GRAMMARS = {"tldr": TLDRGrammar(), "bolt": BOLTGrammar()}
WITH_SHP = {**GRAMMARS, "shp": SHPGrammar()}
OPPOSITE = (
    "It is not true that {}", "It is a lie that {}", "Avoid this: {}", "Never do this: {}", "I have not {}",
    "The following is false: {}", "Nobody should believe that {}", "{} None of this is true.", "{} That is not true.",
    "{} It is all a lie.", "{} It's not true.", "{} That's a lie.", "{} I'm kidding.", "{} Just kidding.",
    "I made all of this up. {}", "{} The opposite is true.",
)  # fmt: skip
ADVICE = ("{} Do not do any of this.", "{} Avoid this.", "{} Never do that.", "Do not do this. {}", "{} Wrong!")


@pytest.mark.parametrize("name", GRAMMARS)
@given(seed=st.integers(0, 2**32), unseen=st.booleans())
@settings(max_examples=120, deadline=None)
def test_no_answer_with_full_marks_says_the_opposite(name, seed, unseen):
    grammar, rng = GRAMMARS[name], np.random.default_rng(seed)
    case = grammar.draw_case(rng, unseen)
    good = grammar.good_response(case, rng).removeprefix("Sure. ")
    assert grammar.judge(case, good) == pytest.approx(1.0)
    for form in OPPOSITE + ADVICE:
        text = form.format(good[0].lower() + good[1:] if form.startswith(("It is", "I have")) else good)
        assert grammar.judge(case, text) < SUCCESS, text


@pytest.mark.parametrize("name", GRAMMARS)
def test_a_good_summary_with_a_not_in_it_is_none(name):
    grammar, rng = GRAMMARS[name], np.random.default_rng(0)
    for i in range(300):
        case = grammar.draw_case(rng, bool(i % 2))
        verb = f" {case.facts['v']} "
        good = grammar.good_response(case, rng)
        for denied in (" never" + verb, " has not" + verb, " hardly" + verb):
            assert grammar.judge(case, good.replace(verb, denied)) < 0.5


@pytest.mark.parametrize("name", WITH_SHP)
def test_an_insult_halves_a_right_answer(name):
    grammar, rng = WITH_SHP[name], np.random.default_rng(1)
    for i in range(100):
        case = grammar.draw_case(rng, bool(i % 2))
        good = grammar.good_response(case, rng)
        for insult in INSULTS:
            assert grammar.judge(case, f"{good} {insult}") <= 0.5, insult


@pytest.mark.parametrize("name", WITH_SHP)
def test_no_answer_of_a_corpus_insults(name):
    grammar, rng = WITH_SHP[name], np.random.default_rng(2)
    for i in range(2_000):
        case = grammar.draw_case(rng, bool(i % 2))
        for text in (grammar.good_response(case, rng), grammar.draw_response(case, rng)):
            assert not insults(text), text
