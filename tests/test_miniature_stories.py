"""Miniature TL;DR and BOLT: one table of stories, one judge, one way of summarising, two wordings."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
from cost import cost
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.bolt.grammar import BOLTGrammar
from envs.miniature.annotator import Annotator
from envs.tldr.grammar import TLDRGrammar
from envs.tldr.judge import judge
from envs.tldr.story import (
    BEHAVIOURS,
    KINDS,
    SUMMARIES,
    Story,
    body,
    draw_story,
    draw_summary,
    summarise,
)
from envs.tldr.topics import EVENTS, NAMES, PLACES, TOPICS

GRAMMARS = {"tldr": TLDRGrammar(), "bolt": BOLTGrammar()}
UNSEEN = range(24, 32)  # the last 8 of 32 topics

both = pytest.mark.parametrize("grammar", GRAMMARS.values(), ids=GRAMMARS)


def stories(count, seed=0):
    """Stories of all topics, half of them of unseen ones."""
    rng = np.random.default_rng(seed)
    return [draw_story(rng, bool(i % 2)) for i in range(count)]


def worded(grammar, cases, seed=1):
    rng = np.random.default_rng(seed)
    return [grammar.word_prompt(case, rng) for case in cases]


# The tables


def test_every_thing_belongs_to_one_topic():
    things = [thing for topic in TOPICS for thing in topic.things]
    assert len(things) == len(set(things)) == 160
    assert all((len(t.things), len(t.events), len(t.wishes)) == (5, 4, 4) for t in TOPICS)
    assert {event for topic in TOPICS for event in topic.events} <= set(EVENTS)
    assert len(NAMES) == len(set(NAMES)) == 24


def test_no_fact_is_a_word_of_a_wish_and_no_wish_tells_an_event():
    wishes = {word for topic in TOPICS for wish in topic.wishes for word in wish.split()}
    assert not wishes & {*(thing for topic in TOPICS for thing in topic.things), *PLACES}
    for topic in TOPICS:
        told = {word for event in topic.events for word in (event, *EVENTS[event])}
        assert not told & {word for wish in topic.wishes for word in wish.split()}


# Stories


def test_unseen_topics_are_held_out():
    rng = np.random.default_rng(0)
    assert {draw_story(rng, False).topic for _ in range(2_000)} == set(range(24))
    assert {draw_story(rng, True).topic for _ in range(2_000)} == set(UNSEEN)
    assert TLDRGrammar().groups(stories(2)[1])[1] == "unseen topics"
    assert TLDRGrammar().groups(stories(1)[0])[1] == "seen topics"


def test_what_stands_beside_a_fact_differs_from_it():
    for case in stories(2_000):
        assert case.who != case.rival
        assert case.thing != case.other
        assert case.detail != case.other_detail
        assert case.teller not in (NAMES[case.who], NAMES[case.rival])
        assert case.kind in KINDS


def test_a_case_survives_json():
    for case in stories(200):
        assert Story(*json.loads(json.dumps(list(case)))) == case


def test_folds_are_about_a_tenth_each():
    shares = np.bincount([case.fold() for case in stories(20_000)], minlength=10) / 20_000
    assert shares == pytest.approx(np.full(10, 0.1), abs=0.009)  # four standard deviations


def test_stories_are_hardly_ever_the_same():
    assert len(set(stories(20_000))) > 19_980


def test_a_change_of_any_part_may_change_the_fold():
    cases = stories(400)
    for part in ("topic", "who", "event", "thing", "detail", "wish"):
        moved = [case._replace(**{part: (getattr(case, part) + 1) % 4}).fold() != case.fold() for case in cases]
        assert np.mean(moved) > 0.6
    for part in ("rival", "other", "other_detail"):  # the right summary stays, so the side does too
        assert all(case._replace(**{part: (getattr(case, part) + 1) % 4}).fold() == case.fold() for case in cases)


# Prompts


@both
def test_a_prompt_determines_its_case(grammar):
    cases = stories(20_000) * 2  # every one in two wordings
    told = {}
    for case, prompt in zip(cases, worded(grammar, cases), strict=True):
        assert told.setdefault(prompt, case) == case


@both
def test_a_prompt_tells_every_fact(grammar):
    cases = stories(2_000)
    for case, prompt in zip(cases, worded(grammar, cases), strict=True):
        facts = case.facts
        for word in (facts["w"], facts["v"], facts["t"], facts["d"], facts["g"], *case.distractors.values()):
            assert re.search(rf"\b{word}\b", prompt), (word, prompt)


def test_no_part_of_a_case_can_change_while_its_prompt_stays():
    """All that a case says is read in the prompt, whatever the generator draws: one change, another prompt."""
    sizes = {"who": 24, "event": 4, "thing": 5, "detail": 7, "wish": 4, "rival": 24, "other": 5, "other_detail": 7}
    for seed, case in enumerate(stories(200)):
        for part, size in sizes.items():
            changed = case._replace(**{part: (getattr(case, part) + 1) % size})
            if changed.who == changed.rival or changed.thing == changed.other or changed.detail == changed.other_detail:
                continue
            for grammar in GRAMMARS.values():
                assert worded(grammar, [case], seed) != worded(grammar, [changed], seed)


def test_posts_have_the_layout_of_the_real_ones():
    for prompt in worded(TLDRGrammar(), stories(500)):
        assert re.fullmatch(r"SUBREDDIT: r/[a-z]+\n\nTITLE: [^\n]+\n\nPOST: [^\n]+\n\nTL;DR:", prompt)


def test_threads_have_two_or_three_speakers_of_the_story():
    several = 0
    cases = stories(500)
    for case, prompt in zip(cases, worded(BOLTGrammar(), cases), strict=True):
        assert re.fullmatch(r"THREAD:\n([A-Z][a-z]+: [^\n]+\n)+\nTL;DR:", prompt)
        speakers = re.findall(r"^([A-Z][a-z]+): ", prompt, re.MULTILINE)
        assert 2 <= len(set(speakers)) <= 3
        assert set(speakers) <= {case.teller, case.facts["w"], case.distractors["w"]}
        several += any(a == b for a, b in pairwise(speakers))
    assert several > 350


@both
def test_prompts_are_short(grammar):
    lengths = [len(prompt.split()) for prompt in worded(grammar, stories(4_000))]
    assert 35 <= np.median(lengths) <= 55
    assert max(lengths) <= 110


def test_the_vocabulary_is_small():
    rng, cases = np.random.default_rng(2), stories(4_000)
    texts = [draw_summary(case, rng) for case in cases]
    for grammar in GRAMMARS.values():
        texts += worded(grammar, cases)
    words = {word for text in texts for word in re.findall("[a-z']+", text.lower())}
    assert 500 < len(words) < 1_100


def test_the_body_of_a_prompt_is_cut_into_sentences_and_messages():
    assert body("SUBREDDIT: r/x\n\nTITLE: y\n\nPOST: One is so. Is it? Two\n\nTL;DR:") == [
        "One is so.",
        "Is it?",
        "Two",
    ]
    assert body("THREAD:\nSam: hi\nAmy: so. and?\n\nTL;DR:") == ["hi", "so.", "and?"]


# Both grammars


def test_both_grammars_share_all_but_the_wording():
    tldr, bolt = GRAMMARS.values()
    for seed, case in enumerate(stories(300)):
        rngs = [np.random.default_rng(seed) for _ in range(2)]
        one, two = tldr.draw_response(case, rngs[0]), bolt.draw_response(case, rngs[1])
        assert one == two
        assert tldr.judge(case, one) == bolt.judge(case, one) == judge(case, one)
        assert tldr.fold(case) == bolt.fold(case)
        assert tldr.groups(case) == bolt.groups(case)
        assert tldr.word_prompt(case, rngs[0]) != bolt.word_prompt(case, rngs[1])
    assert tldr.draw_case(np.random.default_rng(0), True) == bolt.draw_case(np.random.default_rng(0), True)
    assert (tldr.name, bolt.name, tldr.case_type) == ("tldr", "bolt", bolt.case_type)


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=1000, deadline=None)
def test_the_same_seed_gives_the_same_words(seed, unseen):
    for grammar in GRAMMARS.values():
        made = []
        for _ in range(2):
            rng = np.random.default_rng(seed)
            case = grammar.draw_case(rng, unseen)
            made.append((case, grammar.word_prompt(case, rng), grammar.draw_response(case, rng)))
        assert made[0] == made[1]


# The judge. Roommates: Sam broke the guitar, "call the landlord"; beside it stand Ben, the rug and the other detail.

DAY = Story(1, 0, 0, 0, "day", 4, 1, 2, 3, 0)  # on Friday, not on Monday
PRICE = DAY._replace(kind="price", detail=6, other_detail=23)  # 80 dollars, not 250
PLACE = DAY._replace(kind="place", detail=1, other_detail=0)  # in the garage, not in the kitchen
GOOD = "Sam broke the guitar on Friday. Not sure whether to call the landlord."

JUDGED = {
    # a fifth for each of who, event, thing, detail, wish
    "all five": (DAY, GOOD, 1.0),
    "capitals": (DAY, GOOD.upper(), 1.0),
    "first person": (DAY, "My friend Sam broke my guitar on Friday, and I wonder whether to call the landlord.", 1.0),
    "passive": (DAY, "My guitar was broken by Sam last Friday. Should I be calling our landlord?", 1.0),
    "clause": (DAY, "I'm upset about the guitar Sam broke on Friday and may call the landlord now.", 1.0),
    "other tense": (DAY, "On Friday, Sam ended up breaking her guitar; should she call the landlord?", 1.0),
    "named teller": (DAY, f"Sam broke {DAY.teller}'s guitar on Friday. Should they call the landlord?", 1.0),
    "amount": (PRICE, "Sam broke the guitar, which cost 80 dollars, and I wonder whether to call the landlord.", 1.0),
    "dollar sign": (PRICE, "Sam broke a guitar that was worth $80. Is it time to call the landlord?", 1.0),
    "place": (PLACE, "While in our garage, Sam broke the guitar. Now we should call the landlord.", 1.0),
    "doubt with a not": (
        DAY, "Sam broke the guitar on Friday, and I don't know if I should call the landlord or not.", 1.0,
    ),
    "asked with a not": (DAY, "Sam broke the guitar on Friday. Should I call the landlord or not?", 1.0),
    "asked if wrong": (DAY, "Sam broke the guitar on Friday. Is it wrong to call the landlord?", 1.0),
    "asked if a bad idea": (DAY, "Sam broke the guitar on Friday. Is it a bad idea to call the landlord?", 1.0),
    "denied in short": (DAY, f"{GOOD} It's not true.", 0.0),
    "an insult": (DAY, f"{GOOD} You are a stupid idiot.", 0.5),  # 18 words
    "no wish": (DAY, "Sam broke the guitar on Friday.", 0.8),
    "deed": (DAY, "The problem is that Sam broke my guitar.", 0.6),
    "wish": (DAY, "Not sure whether to call the landlord.", 0.2),
    "nobody named": (DAY, "My roommate broke my guitar on Friday. Should I call the landlord?", 0.8),
    # less a fifth and .15 for what stands beside it
    "the other person": (DAY, GOOD.replace("Sam", "Ben"), 0.65),
    "the other thing": (DAY, GOOD.replace("guitar", "rug"), 0.65),
    "the other day": (DAY, GOOD.replace("Friday", "Monday"), 0.65),
    "the other amount": (PRICE, "Sam broke the guitar worth 250 dollars. Not sure whether to call the landlord.", 0.65),
    # less a fifth and .20 for what is invented
    "a stranger": (DAY, GOOD.replace("Sam", "Zoe"), 0.6),
    "a foreign thing": (DAY, GOOD.replace("guitar", "trumpet"), 0.6),
    "a foreign amount": (PRICE, "Sam broke the guitar worth 81 dollars. Not sure whether to call the landlord.", 0.6),
    "another event": (DAY, GOOD.replace("broke", "sold"), 0.6),
    "another wish": (DAY, GOOD.replace("call the landlord", "move out"), 0.6),
    "an addition": (DAY, GOOD.replace("Friday", "Friday in the kitchen"), 0.8),
    "the roles swapped": (DAY, GOOD.replace("Sam broke", "Sam said that Ben broke"), 0.65),
    # 13 and 15 words: 1 - .3 * 6 / 23
    "long": (DAY, GOOD + " " + "We may all see how it ends or who else had what we did not.", 1 - 0.3 * 6 / 23),
    # 24 words (1 - .3 * 2 / 23), 22 runs of three words of which 6 are new, no wish
    "the same again": (DAY, "Sam broke the guitar on Friday. " * 4, 0.8 * (1 - 0.3 * 2 / 23) * 6 / 22),
    # who and event, half of the others; 1 small word of 6 ("the" of the wish): .4 + .6 * (1/6) / .25
    "keywords": (DAY, "Sam broke guitar Friday call landlord", 0.7 * 0.4),
    "vague": (DAY, "Something bad happened and I need some advice.", 0.0),
    "empty": (DAY, "", 0.0),
    "only signs": (DAY, " ... 🙂 !? 漢字 $", 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", JUDGED)
def test_the_judge_agrees_with_its_table(name):
    case, response, score = JUDGED[name]
    assert judge(case, response) == pytest.approx(score, abs=1e-3)


STUFFED = {
    "all names": " ".join(NAMES) + " broke the guitar on Friday. Not sure whether to call the landlord.",
    "all things": "Sam broke the " + ", the ".join(TOPICS[1].things) + " on Friday. Should I call the landlord?",
    "all days": GOOD.replace("Friday", "Monday, on Tuesday, on Wednesday, on Thursday, on Friday, on Saturday"),
    "all wishes": GOOD + " Or to " + ", to ".join(TOPICS[1].wishes) + "?",
    "all events": GOOD.replace("broke", "broke, sold, stained, borrowed"),
    "three times": " ".join([GOOD] * 3),
    "a hundred times": " ".join([GOOD] * 100),
}


@pytest.mark.parametrize("name", STUFFED)
def test_stuffing_does_not_pay(name):
    assert judge(DAY, STUFFED[name]) <= 0.6


_MARKERS = st.sampled_from(
    "Sam |Ben |Zoe |broke |was broken by |guitar |the |on Friday|Monday|80 |$|dollars|in the garage|Should I |"
    "call the landlord|whether to |. |\n|\ud800|🙂|İ|ſ|²".split("|")
)
_cases = st.builds(lambda seed: stories(2, seed)[1], st.integers(0, 2**32))
_texts = st.one_of(st.text(), st.lists(st.one_of(_MARKERS, st.text(max_size=3)), max_size=16).map("".join))


@given(st.one_of(_cases, st.sampled_from((DAY, PRICE, PLACE))), _texts)
@settings(max_examples=1000, deadline=None)
def test_the_judge_gives_any_text_a_score_from_0_to_1(case, text):
    score = judge(case, text)
    assert 0.0 <= score <= 1.0
    assert judge(case, text) == score


HOSTILE = ("i " * 10_000, "Sam " * 5_000, "a. " * 6_667, "call the " * 2_222, "$" * 20_000, "0" * 20_000, "x" * 20_000)


@pytest.mark.parametrize("text", [*HOSTILE, "guitar broke by Sam was " * 800, GOOD * 280])
def test_the_judge_is_fast_on_long_text(text):
    for case in (DAY, PRICE, PLACE):
        assert cost(lambda case=case: judge.__wrapped__(case, text[:20_000]), enough=0.05) < 0.05


def test_the_judge_is_fast_on_ordinary_summaries():
    rng, cases = np.random.default_rng(0), stories(2_000)
    texts = [draw_summary(case, rng) for case in cases]

    def judge_all():
        for case, text in zip(cases, texts, strict=True):
            judge.__wrapped__(case, text)

    most = 200e-6 * len(cases)  # about 60 microseconds each on an idle machine
    assert cost(judge_all, enough=most) < most


# Summaries


@both
def test_the_good_summary_always_has_full_marks(grammar):
    rng = np.random.default_rng(0)
    for case in stories(4_000):
        assert grammar.judge(case, grammar.good_response(case, rng)) == pytest.approx(1.0)


def test_every_wish_of_every_topic_is_found_in_every_summary():
    for topic in range(32):
        for wish in range(4):
            for kind in KINDS:
                case = DAY._replace(topic=topic, wish=wish, kind=kind)
                for frame in SUMMARIES:
                    assert judge(case, frame.format(**case.facts)) == pytest.approx(1.0)


def test_good_summaries_have_10_to_25_words():
    rng = np.random.default_rng(0)
    lengths = [len(summarise(case, "full", rng).split()) for case in stories(2_000)]
    assert min(lengths) >= 10
    assert max(lengths) <= 22


GOLD = {
    "full": 1.0, "padded": 0.82, "deed and wish": 0.8, "detailed": 0.78, "one mistaken": 0.65, "deed": 0.58,
    "two mistaken": 0.3, "repeated": 0.33, "two invented": 0.21, "wish": 0.19, "all mistaken": 0.0,
    "other story": 0.0, "vague": 0.0, "padding": 0.0,
}  # fmt: skip


def test_behaviours_have_the_gold_that_is_meant():
    assert set(GOLD) == set(BEHAVIOURS)
    assert sum(BEHAVIOURS.values()) == pytest.approx(1.0)
    rng, cases = np.random.default_rng(0), stories(600)
    for behaviour, expected in GOLD.items():
        gold = np.mean([judge(case, summarise(case, behaviour, rng)) for case in cases])
        print(f"{behaviour:15} {gold:.3f}")
        assert gold == pytest.approx(expected, abs=0.03)
    with pytest.raises(ValueError, match="unknown behaviour"):
        summarise(DAY, "sing", rng)


@pytest.fixture(scope="module")
def drawn():
    """Two summaries of each of 4,000 stories, and their gold."""
    rng, cases = np.random.default_rng(0), stories(4_000)
    pairs = [(draw_summary(case, rng), draw_summary(case, rng)) for case in cases]
    gold = np.array([[judge(case, text) for text in pair] for case, pair in zip(cases, pairs, strict=True)])
    return pairs, gold


def test_the_start_is_half_good(drawn):
    _, gold = drawn
    assert 0.40 < gold.mean() < 0.48
    assert 0.25 < gold.std() < 0.36
    assert 0.12 < np.mean(gold > 0.999) < 0.20
    first = np.array([Annotator().prefers_first(*pair) for pair in gold])
    assert 0.5 < np.mean(first * gold[:, 0] + (1 - first) * gold[:, 1]) < 0.62
    assert 0.75 < np.mean([Annotator().ceiling(*pair) for pair in gold]) < 0.85


def test_length_tells_little(drawn):
    pairs, gold = drawn
    lengths = np.array([[len(text.split()) for text in pair] for pair in pairs])
    assert abs(np.corrcoef(lengths.ravel(), gold.ravel())[0, 1]) < 0.15
    margin = (gold[:, 0] - gold[:, 1]) * (lengths[:, 0] - lengths[:, 1])
    assert abs(np.mean(margin[margin != 0] > 0) - 0.5) < 0.1


# What it cannot be won by


@both
def test_shortcuts_stay_low(grammar):
    assert len(grammar.shortcuts) >= 6
    cases = [case for case in stories(5_000, seed=3) if case.fold() < 2][:400]
    prompts, rng = worded(grammar, cases), np.random.default_rng(4)
    for name, policy in grammar.shortcuts.items():
        gold = np.mean([judge(c, policy(c, prompt, rng)) for c, prompt in zip(cases, prompts, strict=True)])
        print(f"{grammar.name} {name:26} {gold:.3f}")
        assert gold <= 0.55, name


@both
def test_copying_the_beginning_stays_low(grammar):
    cases = stories(600)
    for first in (1, 2, 3, 4):
        texts = [" ".join(body(prompt)[:first]) for prompt in worded(grammar, cases)]
        assert np.mean([judge(case, text) for case, text in zip(cases, texts, strict=True)]) < 0.55


@both
def test_copying_the_end_stays_low(grammar):
    cases = stories(600)
    for last in (1, 2, 3, 4):
        texts = [" ".join(body(prompt)[-last:]) for prompt in worded(grammar, cases)]
        assert np.mean([judge(case, text) for case, text in zip(cases, texts, strict=True)]) < 0.55


@both
@pytest.mark.parametrize("last", [False, True])
def test_neither_the_first_nor_the_last_thing_named_is_always_the_one(grammar, last):
    """A summary right in all but this: of two persons, things and details it takes the first (last) named."""
    cases, golds = stories(1_000), []
    for case, prompt in zip(cases, worded(grammar, cases), strict=True):
        text, told = "\n".join(body(prompt)), dict(case.facts)
        for key, wrong in case.distractors.items():
            found = {word: (text.rfind if last else text.find)(word) for word in (told[key], wrong)}
            named = {word: place for word, place in found.items() if place >= 0}
            told[key] = (max if last else min)(named, key=named.__getitem__, default=told[key])
        golds.append(judge(case, SUMMARIES[0].format(**told)))
    assert np.mean(golds) < 0.55


def test_the_summary_of_another_story_is_worth_little():
    rng, cases = np.random.default_rng(0), stories(1_000)
    near = [case._replace(topic=cases[i - 1].topic) for i, case in enumerate(cases)]  # of the same topic
    for others in (cases, near):
        gold = [judge(cases[i - 1], summarise(other, "full", rng)) for i, other in enumerate(others)]
        assert np.mean(gold) < 0.25
