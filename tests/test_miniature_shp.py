"""The miniature SHP grammar: its questions, its judge, its votes, and what beats it or does not."""

import itertools
import json
import re

import numpy as np
import pytest
from cost import cost
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.miniature.annotator import Annotator
from envs.miniature.corpus import miniature
from envs.shp.judge import judge
from envs.shp.questions import BEHAVIOURS, DEMONSTRATED, Question, SHPGrammar, respond
from envs.shp.reader import parse_shp
from envs.shp.topics import CONDITIONS, TOPICS, TRAITS
from envs.shp.votes import draw_votes

GRAMMAR = SHPGrammar()
UNSEEN = range(24, 32)  # the last 8 of 32 topics


def draw_cases(count, seed=0):
    """Cases of seen and unseen topics in turn."""
    rng = np.random.default_rng(seed)
    return [GRAMMAR.draw_case(rng, bool(i % 2)) for i in range(count)]


def words_of(text):
    return re.findall("[a-z']+", text.lower())


@pytest.fixture(scope="module")
def cases():
    return draw_cases(20_000)


@pytest.fixture(scope="module")
def prompts(cases):
    rng = np.random.default_rng(1)
    return [GRAMMAR.word_prompt(case, rng) for case in cases]


@pytest.fixture(scope="module")
def held_out(cases):
    return [case for case in cases if GRAMMAR.fold(case) < 2][:400]


@pytest.fixture(scope="module")
def pairs(cases):
    """2,000 cases with two drawn comments and their gold."""
    rng = np.random.default_rng(2)
    drawn = [(case, [GRAMMAR.draw_response(case, rng) for _ in range(2)]) for case in cases[:2_000]]
    return [(case, comments, [judge(case, c) for c in comments]) for case, comments in drawn]


# The questions


def test_a_prompt_says_which_question_it_is(cases, prompts):
    meant = {}
    for case, prompt in zip(cases, prompts, strict=True):
        assert meant.setdefault(prompt, case) == case


def test_no_prompt_is_in_two_folds(cases, prompts):
    folds = {}
    for case, prompt in zip(cases, prompts, strict=True):
        folds.setdefault(prompt, set()).add(GRAMMAR.fold(case))
    assert all(len(found) == 1 for found in folds.values())


def test_folds_are_about_a_tenth_each(cases):
    shares = np.bincount([GRAMMAR.fold(case) for case in cases], minlength=10) / len(cases)
    assert shares.min() > 0.09
    assert shares.max() < 0.11


def test_every_part_of_a_question_moves_its_fold(cases):
    for field, change in [("trait", 1), ("value", 1), ("thing", 1), ("problem", 1), ("condition", 1), ("topic", 1)]:
        moved = [
            GRAMMAR.fold(c) != GRAMMAR.fold(c._replace(**{field: getattr(c, field) + change})) for c in cases[:500]
        ]
        assert 0.8 < np.mean(moved) < 0.97


def test_questions_are_hardly_ever_drawn_twice(cases):
    assert len(set(cases)) > 19_900


def test_the_topics_are_held_out():
    rng = np.random.default_rng(3)
    assert {GRAMMAR.draw_case(rng, True).topic for _ in range(1_000)} == set(UNSEEN)
    assert {GRAMMAR.draw_case(rng, False).topic for _ in range(2_000)} == set(range(24))


def test_groups(cases):
    case = cases[0]._replace(aside="none")
    assert GRAMMAR.groups(case._replace(topic=24)) == ["no aside", "unseen topics"]
    assert GRAMMAR.groups(case._replace(topic=23, aside="thing")) == ["aside", "seen topics"]


def test_a_case_survives_json(cases):
    for case in cases[:500]:
        assert Question(*json.loads(json.dumps(list(case)))) == case
    assert GRAMMAR.case_type is Question


def test_prompts_are_posts_with_an_open_comment(cases, prompts):
    for case, prompt in zip(cases, prompts, strict=True):
        assert re.fullmatch(r"POST: [^\n]+\n\nCOMMENT:", prompt)
        assert case.x in prompt
        assert case.limit.values[case.value] in prompt


def test_an_aside_is_told(cases, prompts):
    for case, prompt in zip(cases, prompts, strict=True):
        if case.aside in ("thing", "problem"):
            assert case.rival in prompt
            assert case.rival_thing != case.thing
        if case.aside == "value":
            assert case.limit.values[case.rival_value] in prompt
            assert case.rival_value != case.value
        if case.aside == "number":
            assert re.search(rf"\b{case.rival_value} (degrees|years|miles|books)", prompt)


def test_lengths_and_vocabulary(cases, prompts):
    rng = np.random.default_rng(4)
    lengths = [len(prompt.split()) for prompt in prompts]
    assert np.median(lengths) <= 35
    assert max(lengths) <= 60
    good = [len(GRAMMAR.good_response(case, rng).split()) for case in cases[:2_000]]
    assert 10 <= min(good) <= np.median(good) <= 22
    assert max(good) <= 28
    comments = [GRAMMAR.draw_response(case, rng) for case in cases]
    drawn = [len(comment.split()) for comment in comments]
    assert np.mean(np.array(drawn) < 12) > 0.15
    assert np.mean(np.array(drawn) > 25) > 0.08
    assert len(set(itertools.chain.from_iterable(map(words_of, prompts + comments)))) < 1_000


# The tables


def test_there_are_enough_questions():
    values = sum(len(c.values) for c in CONDITIONS)
    assert 24 * 3 * 4 * len(TRAITS) * values > 600_000  # of seen topics, without what is beside the point


def test_the_words_of_facts_are_in_no_step():
    facts = set(TRAITS)  # a trait may stand in a step ("small meals") but not before a thing
    listed = {v.lower() for c in CONDITIONS if c.name in ("tool", "helper", "place") for v in c.values}
    for topic in TOPICS:
        things = set(topic.things)
        for problem in topic.problems:
            said = set(words_of(f"{problem.first} {problem.second}".replace("{x}", "")))
            assert not said & (things | listed), problem
            assert not re.search(rf"({'|'.join(facts)}) {{x}}", problem.first)
            assert "{x}" in problem.first
            assert "{x}" in problem.goal


def test_every_step_has_two_words_to_be_known_by():
    for problem in itertools.chain.from_iterable(topic.problems for topic in TOPICS):
        for step in problem[1:]:
            known = set(words_of(step.format(x=""))) - set("a an the in on of to with it for from before".split())
            assert len(known) >= 2, step


def test_every_thing_is_in_one_topic():
    things = [thing for topic in TOPICS for thing in topic.things]
    assert len(things) == len(set(things)) == 128
    assert not set(things) & {v for c in CONDITIONS for v in c.values}


# The judge. Topic 0 is cooking, its problem 0 "make {o} {x} thicker", thing 0 a soup, trait 0 "old"; condition 0 is
# time and its value 13 "25 minutes"; condition 2 is the tool and its value 0 a hammer.
# Steps: "stir flour into the soup", "cook it without a lid". Shares: .3, .3, .2 the value, .1 the thing, .1 manners.

TIME = Question(0, 0, 0, 0, 0, 13, "thing", 1, 1, 0, 0)  # beside the point: a new stew
TOOL = TIME._replace(condition=2, value=0)
MONEY = TIME._replace(condition=1)
DAY = TIME._replace(condition=4, value=18)  # Friday evening
STEPS = "First, stir flour into the old soup. Then cook it without a lid."

JUDGED = {
    "all of it": (TIME, f"{STEPS} It fits into 25 minutes.", 1.0),
    "capitals": (TIME, f"{STEPS} It fits into 25 minutes.".upper(), 1.0),
    "free words": (
        TIME, "Try stirring flour into your old soup, and then leave the lid off and keep cooking for 25 minutes", 1.0,
    ),
    "a numbered list": (TIME, "1. Stir flour into the old soup.\n2. Cook it without a lid.\n3. 25 mins will do.", 1.0),
    "short for minutes": (TIME, f"{STEPS} Expect a 25-minute job, or 25 min.", 1.0),
    "a sign for dollars": (MONEY, f"{STEPS} The flour costs less than $25.", 1.0),
    "no more than": (MONEY, f"{STEPS} You will pay no more than 25 dollars.", 1.0),
    "no need of more": (MONEY, f"{STEPS} You won't need more than 25 dollars.", 1.0),
    "costs no more": (MONEY, f"{STEPS} It does not cost more than 25 dollars.", 1.0),
    "costs you no more": (MONEY, f"{STEPS} It won't cost you more than 25 dollars.", 1.0),
    "no more to spend": (MONEY, f"{STEPS} You do not have to spend more than 25 dollars.", 1.0),
    "no need to worry": (MONEY, f"{STEPS} No need to worry about the 25 dollars.", 1.0),
    "costs more": (MONEY, f"{STEPS} It costs more than 25 dollars.", 0.8),
    "if not enough": (
        MONEY,
        "If it is not thick enough, stir flour into the old soup, then cook it without a lid. Use your 25 dollars.",
        1.0,
    ),
    "nothing else to do": (TIME, f"{STEPS} It fits into 25 minutes. You don't have to do anything else.", 0.95),
    "denied in short": (TIME, f"{STEPS} It fits into 25 minutes. It's not true.", 0.05 * (1 - 0.15 * 3)),
    "an insult": (TIME, f"{STEPS} It fits into 25 minutes. You are a stupid idiot.", 0.95 / 2),
    "a tool in free words": (TOOL, f"{STEPS} The hammer you own works well here.", 1.0),
    "a day": (DAY, f"{STEPS} By Friday evening you have a thick soup.", 1.0),
    "half of a day": (DAY, f"{STEPS} By Friday you have a thick soup.", 0.8),
    "steps alone": (TIME, STEPS, 0.8),
    "the wrong number": (TIME, f"{STEPS} It fits into 70 minutes.", 0.8),
    "two numbers": (TIME, f"{STEPS} It fits into 25 minutes. Or 70 minutes.", 0.8),
    "enough and not": (TIME, f"{STEPS} It fits into 25 minutes. 25 minutes are not enough.", 0.75),
    "a number of something else": (TIME, f"{STEPS} It fits a soup of 25 dollars.", 0.8),
    "not enough": (TIME, f"{STEPS} You won't make it in 25 minutes.", 0.75),
    "the other tool": (TOOL, f"{STEPS} Use your spoon for the soup.", 0.8),
    "no trait": (TIME, "Stir flour into the soup and cook it without a lid. It fits into 25 minutes.", 0.95),
    "wrong trait": (TIME, "Stir flour into the new soup and cook it without a lid. It fits into 25 minutes.", 0.9),
    # without the thing the steps count half: .15 + .15 + .2 + .1
    "no thing": (TIME, "Stir flour into it and cook it without a lid. It fits into 25 minutes.", 0.6),
    # and half again beside another thing: .075 + .075 + .2 + .1
    "wrong thing": (TIME, "Stir flour into the new stew and cook it without a lid. It fits into 25 minutes.", 0.45),
    "two things": (TIME, "Stir flour into the old soup or stew, cook it without a lid in 25 minutes.", 0.6),
    "off the topic": (TIME, f"{STEPS} It fits into 25 minutes. Bananas can dance!", 0.95),
    "first step": (TIME, "Just stir flour into the old soup.", 0.3 + 0.1 + 0.1),
    "second step": (TIME, "Just cook it without a lid.", 0.15 + 0.1),
    "one step and the value": (TIME, "Just stir flour into the old soup. You only need 25 minutes.", 0.7),
    # without steps the facts count half
    "facts alone": (TIME, "This suits the old soup. You only need 25 minutes.", 0.5 * (0.2 + 0.1) + 0.1),
    # one faulty sentence: half of the manners
    "another problem": (TIME, "Drop raw potatoes in the old soup. You only need 25 minutes.", 0.5 * 0.2 + 0.05),
    "a negated step": (TIME, "Never stir flour into the old soup.", 0.05 + 0.05),
    "taken back": (TIME, f"{STEPS} It fits into 25 minutes. None of this is true.", 0.05 * (1 - 0.15 * 3)),
    "rude beside a good answer": (TIME, f"{STEPS} It fits into 25 minutes. What is wrong with you?", 0.95),
    # two faults: no manners, and .15 of the rest
    "two asides": (TIME, f"{STEPS} It fits into 25 minutes. My aunt sang. We had rain.", 0.85 * 0.9),
    # three sentences again: three faults, two of which count
    "said two times": (TIME, " ".join([f"{STEPS} It fits into 25 minutes."] * 2), 0.7 * 0.9),
    "vague": (TIME, "You should see an expert about your old soup.", 0.05),
    "vague twice": (TIME, "Just look it up. It depends on many things.", 0.0),
    "a joke": (TIME, "Bananas can dance!", 0.05),
    "an anecdote": (TIME, "My grandma made a soup like that once. I had two bowls of her soup.", 0.0),
    "polite": (TIME, "Good luck!", 0.1),
    "the question itself": (TIME, "How do I make my old soup thicker? I only have 25 minutes.", 0.0),
    "empty": (TIME, "", 0.0),
    "only signs": (TIME, " ... 🙂 !? 漢字 25", 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", JUDGED)
def test_the_judge_agrees_with_its_table(name):
    case, comment, score = JUDGED[name]
    assert judge(case, comment) == pytest.approx(score)


def test_stuffing_does_not_pay():
    good = f"{STEPS} It fits into 25 minutes."
    soups = ("stir flour old soup cook without lid 25 minutes", "Stir flour soup. Cook lid. 25 minutes.")
    every_value = STEPS + " " + " ".join(f"It fits into {v}." for v in CONDITIONS[0].values)
    every_step = " ".join(f"{p.first.format(x='old soup')}. {p.second}." for p in TOPICS[0].problems)
    prompt = "My friend has a new stew. How do I make my old soup thicker? I only have 25 minutes."
    assert max(judge(TIME, soup) for soup in soups) < 0.5
    assert judge(TIME, every_value) < 0.65
    assert judge(TIME, f"{every_step} It fits into 25 minutes.") < 0.55
    assert judge(TIME, prompt) < 0.1
    assert judge(TIME, f"{prompt} {good}") < 0.75
    assert judge(TIME, f"{good} " * 50) < 0.3
    assert judge(TIME, good + " and so on" * 2_000) < 0.3


OPPOSITES = (
    "Avoid this: {r}", "It is not true: {r}", "I have not tried this: {r}", "Never do this. {r}", "Ignore this: {r}",
    "{r} None of this is true.", "{r} Avoid this.", "{r} That is a lie.", "{r} Do the opposite.",
    "Nobody should do this: {r}", "It would be wrong to say: {r}", "It is not true that {r}", "I have not {r}",
    "Do not do this. {r}", "I made all of this up. {r}",
)  # fmt: skip
HONEST = ("{r} Don't worry.", "No problem. {r}", "Sure. {r}", "{r} I hope that helps.")


@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from(OPPOSITES), st.sampled_from(HONEST))
@settings(max_examples=300)
def test_a_good_comment_taken_back_is_no_success_and_an_honest_one_is(seed, unseen, opposite, honest):
    rng = np.random.default_rng(seed)
    case = GRAMMAR.draw_case(rng, unseen)
    good = GRAMMAR.good_response(case, rng)
    assert judge(case, good) == pytest.approx(1.0)
    assert judge(case, opposite.format(r=good)) < 0.8
    assert judge(case, honest.format(r=good)) > 0.9


def test_every_step_of_every_problem_is_found_by_the_judge():
    for topic, problem, thing in itertools.product(range(32), range(3), range(4)):
        case = TIME._replace(topic=topic, problem=problem, thing=thing)
        told = TOPICS[topic].problems[problem]
        assert judge(case, f"You can {told.first.format(x=case.x)}.") == pytest.approx(0.5), case
        assert judge(case, f"You can {told.second} on the {case.x}.") == pytest.approx(0.5), case
        for other in (1, 2):
            wrong = TOPICS[topic].problems[(problem + other) % 3]
            assert judge(case, f"You can {wrong.first.format(x=case.x)} and {wrong.second}.") <= 0.2, case


def test_every_value_of_every_condition_is_found_by_the_judge():
    for condition, limit in enumerate(CONDITIONS):
        for value, fit in itertools.product(range(len(limit.values)), limit.fits):
            case = TIME._replace(condition=condition, value=value)
            assert judge(case, f"{STEPS} {fit.format(v=limit.values[value])}") == pytest.approx(1.0)
            other = limit.values[(value + 1) % len(limit.values)]
            assert judge(case, f"{STEPS} {fit.format(v=other)}") == pytest.approx(0.8)


def test_a_good_response_has_full_marks(cases):
    rng = np.random.default_rng(5)
    assert {case.topic for case in cases[:2_000]} == set(range(32))
    for case in cases[:2_000]:
        assert judge(case, GRAMMAR.good_response(case, rng)) == pytest.approx(1.0)


EXPECTED = {  # worked out from the shares, or measured where chance decides (about half of single steps name no thing)
    "full": 1.0, "no trait": 0.95, "wrong trait": 0.9, "steps": 0.8, "wrong value": 0.8, "full and ramble": 0.68,
    "step and fit": 0.58, "wrong thing": 0.45, "no thing": 0.4, "one step": 0.38, "repeat": 0.25, "rude and step": 0.23,
    "step and ramble": 0.22, "fit": 0.2, "other problem": 0.12, "other problem and ramble": 0.06, "vague": 0.02,
    "joke": 0.02, "anecdote": 0.02, "rude": 0.02,
}  # fmt: skip


@pytest.mark.parametrize("behaviour", EXPECTED)
def test_the_gold_of_each_behaviour(behaviour, cases):
    rng = np.random.default_rng(6)
    assert set(EXPECTED) == set(BEHAVIOURS)
    gold = np.mean([judge(case, respond(case, behaviour, rng)) for case in cases[:800]])
    assert gold == pytest.approx(EXPECTED[behaviour], abs=0.03)


def test_the_right_comment_is_wrong_elsewhere(cases):
    rng = np.random.default_rng(7)
    shifted = itertools.pairwise(cases[:1_000])
    assert np.mean([judge(other, GRAMMAR.good_response(case, rng)) for case, other in shifted]) < 0.05
    within = [case._replace(problem=(case.problem + 1) % 3) for case in cases[:1_000]]
    swapped = zip(cases[:1_000], within, strict=True)
    assert np.mean([judge(other, GRAMMAR.good_response(case, rng)) for case, other in swapped]) < 0.25


# The draws


def test_drawn_comments_are_half_good(pairs):
    golds = np.array([gold for _, _, gold in pairs])
    assert sum(BEHAVIOURS.values()) == pytest.approx(1.0)
    assert 0.40 < golds.mean() < 0.48
    assert 0.28 < golds.std() < 0.38
    assert 0.12 < np.mean(golds > 0.999) < 0.20
    assert len(set(np.round(golds.ravel(), 3))) > 20


def test_most_demonstrations_name_one_step(cases):
    rng = np.random.default_rng(9)
    golds = np.array([judge(case, GRAMMAR.demonstration(case, rng)) for case in cases[:2_000]])
    assert sum(DEMONSTRATED.values()) == pytest.approx(1.0)
    assert DEMONSTRATED["one step"] + DEMONSTRATED["step and ramble"] > 0.5
    # .12 * 1 + .05 * .68 + .04 * .58 + .20 * .38 + .34 * .22 + .06 * .45 + .06 * .12 + .11 * .02 + .02 * .25
    assert golds.mean() == pytest.approx(0.37, abs=0.02)
    assert np.mean(golds > 0.999) == pytest.approx(DEMONSTRATED["full"], abs=0.03)  # so RL finds them


def test_preferred_comments_are_half_good_and_no_longer(pairs):
    rng, annotator = np.random.default_rng(8), Annotator()
    first = [annotator.label(*gold, rng) for _, _, gold in pairs]
    preferred = [gold[0] if f else gold[1] for f, (_, _, gold) in zip(first, pairs, strict=True)]
    assert 0.5 < np.mean(preferred) < 0.65
    assert 0.76 < np.mean([annotator.ceiling(*gold) for _, _, gold in pairs]) < 0.85
    longer = [len(c[0]) > len(c[1]) for _, c, _ in pairs]
    assert 0.45 < np.mean(np.array(longer) == np.array(first)) < 0.57


@pytest.mark.parametrize("name", list(GRAMMAR.shortcuts))
def test_no_shortcut_gets_far(name, held_out):
    rng = np.random.default_rng(9)
    assert len(held_out) == 400
    golds = [judge(c, GRAMMAR.shortcuts[name](c, GRAMMAR.word_prompt(c, rng), rng)) for c in held_out]
    assert np.mean(golds) < 0.5


# Any text, any seed

_seeds = st.integers(0, 2**32)
_cases = st.builds(lambda seed: GRAMMAR.draw_case(np.random.default_rng(seed), bool(seed % 2)), _seeds)
_MARKERS = st.sampled_from(
    "stir flour into the old soup|25 minutes|$25|Friday evening|your hammer|my |don't |you should be ashamed|not |’|. |"
    "! |\n|1. |\ud800|🙂|ſ|İ|²|٣ minutes|uncle".split("|")
)
_texts = st.one_of(st.text(), st.lists(st.one_of(_MARKERS, st.text(max_size=3)), max_size=12).map("".join))


@given(st.one_of(_cases, st.sampled_from([TIME, TOOL, MONEY, DAY])), _texts)
@settings(max_examples=1000, deadline=None)
def test_the_judge_gives_any_text_a_score_from_0_to_1(case, text):
    score = judge(case, text)
    assert 0.0 <= score <= 1.0
    assert judge(case, text) == score


@given(_seeds)
@settings(max_examples=1000, deadline=None)
def test_the_same_seed_gives_the_same_words(seed):
    def everything():
        rng = np.random.default_rng(seed)
        case = GRAMMAR.draw_case(rng, bool(seed % 2))
        words = [f(case, rng) for f in (GRAMMAR.word_prompt, GRAMMAR.draw_response, GRAMMAR.good_response)]
        return case, GRAMMAR.fold(case), *words, *(f(case, words[0], rng) for f in GRAMMAR.shortcuts.values())

    assert everything() == everything()


_HOSTILE = (
    "i " * 10_000,
    "my 25 " * 3_400,
    "a. " * 7_000,
    "." * 20_000,
    "\n" * 20_000 + "a",
    " " * 20_000 + "a",
    "9" * 20_000,
)


@pytest.mark.parametrize("text", _HOSTILE, ids=range(len(_HOSTILE)))
def test_the_judge_is_quick_on_hostile_text(text):
    assert judge(TIME, text) <= 0.1
    assert cost(lambda: judge.__wrapped__(TIME, text), enough=0.05) < 0.05


def test_the_judge_is_quick_on_ordinary_comments(pairs):
    def judge_all():
        for case, comments, _ in pairs:
            judge.__wrapped__(case, comments[0])

    most = len(pairs) * 0.0005  # several times what it takes
    assert cost(judge_all, enough=most) < most


# The votes

_margins = st.floats(-1, 1)


@given(st.booleans(), _margins, _seeds)
@settings(max_examples=1000, deadline=None)
def test_the_preferred_comment_has_more_votes_and_was_not_earlier(first, margin, seed):
    votes = draw_votes(first, margin, np.random.default_rng(seed))
    preferred, other = (votes.score_A, votes.score_B) if first else (votes.score_B, votes.score_A)
    assert votes.labels == int(first)
    assert preferred > other >= 1
    assert votes.score_ratio == preferred / other > 1
    assert votes.seconds_difference >= 0
    assert votes == draw_votes(first, margin, np.random.default_rng(seed))
    assert json.loads(json.dumps(votes._asdict())) == votes._asdict()


@given(_margins, _seeds)
@settings(max_examples=200, deadline=None)
def test_votes_do_not_depend_on_the_order_of_the_comments(margin, seed):
    first, second = (draw_votes(order, margin, np.random.default_rng(seed)) for order in (True, False))
    assert (first.score_A, first.score_B) == (second.score_B, second.score_A)
    assert first[2:4] == second[2:4]


def test_a_better_comment_leads_by_more():
    rng = np.random.default_rng(10)
    ratios = [np.median([draw_votes(True, m, rng).score_ratio for _ in range(2_000)]) for m in (0.0, 0.4, 0.9)]
    assert ratios[0] < ratios[1] < ratios[2]
    assert ratios[0] < 1.6
    assert ratios[2] > 2


def test_every_pair_of_the_corpus_carries_votes_that_agree_with_its_label():
    corpus = miniature(SHPGrammar(), "train")
    for pair in corpus[:500]:
        votes = {key: pair.meta[key] for key in ("score_A", "score_B")}
        high, low = max(votes.values()), min(votes.values())
        assert pair.meta["score_ratio"] == high / low > 1
        assert pair.meta["labels"] == int(votes["score_A"] == high)
        assert pair.meta["seconds_difference"] >= 0
    labels = [pair.meta["labels"] for pair in corpus[:500]]
    assert 200 < sum(labels) < 300


def test_the_reader_of_the_real_files_takes_a_miniature_pair_with_its_votes():
    for pair in miniature(SHPGrammar(), "test")[:50]:
        sides = (pair.chosen, pair.rejected) if pair.meta["labels"] else (pair.rejected, pair.chosen)
        row = {
            "post_id": "x",
            "domain": "mini_test",
            "history": pair.prompt.removeprefix("POST: ").removesuffix("\n\nCOMMENT:"),
            **dict(zip(("human_ref_A", "human_ref_B"), sides, strict=True)),
            **{k: pair.meta[k] for k in ("score_A", "score_B", "score_ratio", "seconds_difference", "labels")},
        }
        read = parse_shp(row, "file:1")
        assert (read.prompt, read.chosen, read.rejected) == pair[:3]
