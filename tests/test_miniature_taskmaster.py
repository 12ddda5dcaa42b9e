"""The miniature Taskmaster: its dialogs, its judge, its labels, and what beats it or does not."""

import json
import re

import numpy as np
import pytest
from cost import cost
from hypothesis import given, settings
from hypothesis import strategies as st
from written_files import write_taskmaster

from envs.miniature.annotator import Annotator, Rater
from envs.taskmaster.answers import (
    BEHAVIOURS,
    CALLS,
    DEMONSTRATED,
    Dialog,
    TaskmasterGrammar,
    respond,
)
from envs.taskmaster.judge import judge
from envs.taskmaster.lessons import look_up_exercise, menu_exercise, says_absent, turn_exercise
from envs.taskmaster.reader import read_taskmaster
from envs.taskmaster.tables import DOMAINS
from envs.taskmaster.turns import parse_turn

STAGES = ("search", "ask", "act", "absent", "tell", "finish")


class Drawn:
    """Cases of one domain with a wording, two drawn responses and a good one of each; a third are unseen topics."""

    def __init__(self, domain):
        self.grammar, rng = TaskmasterGrammar(domain), np.random.default_rng(0)
        self.cases = [self.grammar.draw_case(rng, unseen=i % 3 == 0) for i in range(2_000)]
        self.prompts = [self.grammar.word_prompt(case, rng) for case in self.cases]
        self.good = [self.grammar.good_response(case, rng) for case in self.cases]
        self.pairs = [(self.grammar.draw_response(c, rng), self.grammar.draw_response(c, rng)) for c in self.cases]
        self.golds = np.array([[judge(c, r) for r in pair] for c, pair in zip(self.cases, self.pairs, strict=True)])


@pytest.fixture(scope="module", params=["coffee", "ticketing"])
def drawn(request):
    return Drawn(request.param)


# The judge. Coffee, topic 0: latte, which asks for size (small medium large short tall giant) and milk (oat soy
# almond whole coconut skim). Menu 0 of either: the first three. Rival 1: mocha.


def coffee(stage, **fields):
    zeros = dict.fromkeys(Dialog._fields[2:], 0)
    shown = {"many": 3, "open": 2, "rival": 1, "number": 583, "first": 2, "second": 1}
    return Dialog(**(zeros | shown | fields | {"domain": "coffee", "stage": stage}))


SEARCH = coffee("search", number=0)
ASK = coffee("ask", open=1, second=0)  # large; the milk is open
ACT = coffee("act")  # listed: mocha-583, then latte-((583*7+361) % 900+100) = latte-942
ABSENT = coffee("absent", other=2)  # listed: mocha, cortado
TELL = coffee("tell", order=219, total=34)
FINISH = coffee("finish", order=219, total=34, name=3)  # David
FILMS = Dialog("ticketing", "act", 0, 4, 3, 5, 2, 0, 0, 1, 0, 0, 583, 0, 0, 0, 0, 0)  # silent river, royal, 3:10, box


def add(id_="latte-942", quantity="3", size="large", milk="soy", more=""):
    chosen = f"[{{attribute_id: size, option: {size}}}, {{attribute_id: milk, option: {milk}}}]"
    return f"call add_order_item(menu_item_id: {id_}, quantity: {quantity}, attributes: {chosen}{more})"


JUDGED = {
    # calls: .15 for the function, .85 for the share of the arguments, ids counting 3; -.15 wrong or missing, -.3 extra
    "search": (SEARCH, "call get_menu_items(query: latte)", 1.0),
    "search in capitals": (SEARCH, "call get_menu_items(query: Latte)", 1.0),
    "search for the rival": (SEARCH, "call get_menu_items(query: mocha)", 0.0),
    "search and extra": (SEARCH, "call get_menu_items(query: latte, quantity: 3)", 0.7),
    "add": (ACT, add(), 1.0),
    "add, quantity as a number": (ACT, add(quantity="#3"), 1.0),
    "add, other order": (
        ACT,
        "call add_order_item(attributes: [{attribute_id: milk, option: soy}, {option: large, attribute_id: size}], "
        "quantity: 3, menu_item_id: latte-942)",
        1.0,
    ),
    "wrong id": (ACT, add(id_="mocha-583"), 0.425),  # .15 + .85 * 3/6 - .15
    "wrong option": (ACT, add(milk="oat"), 0.15 + 0.85 * 5 / 6 - 0.15),
    "wrong option and quantity": (ACT, add(milk="oat", quantity="4"), 0.15 + 0.85 * 4 / 6 - 0.3),
    "no attributes": (ACT, "call add_order_item(menu_item_id: latte-942, quantity: 3)", 0.15 + 0.85 * 4 / 6 - 0.3),
    "extra argument": (ACT, add(more=", notes: hot"), 0.7),
    "an attribute twice": (ACT, add(milk="soy}, {attribute_id: milk, option: oat"), 0.7),
    "another function": (ACT, "call get_menu_items(query: latte)", 0.0),
    "broken call": (ACT, add()[:-1], 0.0),
    "text instead of a call": (ACT, "Sure, I can do that.", 0.1),
    "question instead of a call": (ACT, "Which milk would you like?", 0.0),
    "finish": (FINISH, "call finish_order(order_id: order-219, name: David)", 1.0),
    "finish for another name": (FINISH, "call finish_order(order_id: order-219, name: Ben)", 0.85 * 3 / 4),
    "films": (
        FILMS,
        "call check_tickets(name.movie: silent river, theater_id: royal-942, num.tickets: 4, "
        "time.showing: 3:10, seating: box)",
        1.0,
    ),
    # ask: .3 asks for the open choice, .45 for the three there are, .25 manners (.6 of them without a polite word)
    "ask": (ASK, "Which milk would you like, oat, soy or almond?", 1.0),
    "ask, free words": (ASK, "Happy to help! For your latte I offer almond, soy, or oat milk. Any preference?", 1.0),
    "ask, not polite": (ASK, "What milk? Oat, soy, almond?", 0.9),
    "ask without choices": (ASK, "Which milk would you like?", 0.55),
    "two of three choices": (ASK, "Sure. Oat or soy milk?", 0.85),
    "one choice invented": (ASK, "Which milk would you like, oat, soy or skim?", 0.7),  # .3 + .45 * 2/3 + .25 - .15
    "asked what was said": (ASK, "Which size would you like, small, medium or large?", 0.0),
    "ask, echoing what was said": (ASK, "Sure, large size. Which milk would you like, oat, soy or almond?", 1.0),
    "call when it should ask": (ASK, add(), 0.0),
    "ask and ramble": (ASK, "Which milk would you like, oat, soy or almond? Mondays are long.", 0.875),
    "ask twice": (ASK, "Oat, soy or almond milk? Oat, soy or almond milk? Please choose.", 0.875),
    # absent: .3 says so, .2 each of what there is, .1 asks, .2 manners
    "absent": (ABSENT, "Sorry, there is no latte. Would you like mocha or cortado?", 1.0),
    "absent, free words": (ABSENT, "I'm sorry but latte isn't on the menu; how about a mocha or a cortado?", 1.0),
    "only absent": (ABSENT, "Sorry, there is no latte.", 0.5),
    "absent with an invention": (ABSENT, "Sorry, there is no latte. Would you like mocha or chai?", 0.6),
    "absent, twice denied": (
        ABSENT, "It is not true that there is no latte. We have mocha and cortado.", 0.4 + 0.12 - 0.2,
    ),
    "nothing there": (ABSENT, "Sorry, there is no latte, no mocha and no cortado.", 0.0),
    "as if it were there": (ABSENT, "Sure, your latte is on the way.", 0.0),
    # tell: .15 drink, .15 how many, .1 each choice, .2 total, .1 asks, .2 manners
    "tell": (TELL, "Your order is 3 latte in large size with soy milk for 34 dollars. Would you like to confirm?", 1.0),
    "tell, free words": (TELL, "Great, three large latte with soy milk, total $34. Shall I send the order?", 1.0),
    "wrong total": (TELL, "Your order is 3 latte in large size with soy milk for 43 dollars. Would you like it?", 0.6),
    "nothing told": (TELL, "Anything else?", 0.3 * 0.2 * 0.6),
    "raw answer": (TELL, "api: add_order_item -> order_id: order-219; total: 34", 0.2 - 0.2 * 0.4),
    "empty": (ASK, "", 0.0),
    "only signs": (ASK, " ... 🙂 !? 漢字", 0.0),
}  # fmt: skip


@pytest.mark.parametrize("case", JUDGED)
def test_the_judge_agrees_with_its_table(case):
    dialog, response, score = JUDGED[case]
    assert judge(dialog, response) == pytest.approx(score)


OPPOSITES = (
    "Avoid this: {r}", "It is not true: {r}", "I have not said this: {r}", "Ignore this. {r}", "I would never say: {r}",
    "{r} None of this is true.", "{r} That is a lie.", "{r} I was joking.", "{r} I lied.",
)  # fmt: skip
HONEST = ("{r} Thank you.", "Sure. {r}", "{r} No problem.")


@given(st.sampled_from(sorted(DOMAINS)), st.integers(0, 2**32 - 1), st.sampled_from(OPPOSITES), st.sampled_from(HONEST))
@settings(max_examples=300)
def test_right_words_taken_back_are_no_success_and_honest_ones_are(domain, seed, opposite, honest):
    rng, grammar = np.random.default_rng(seed), TaskmasterGrammar(domain)
    case = grammar.draw_case(rng, unseen=bool(seed % 2))
    if case.stage in CALLS:
        return  # a call has no "not"
    good = grammar.good_response(case, rng)
    assert judge(case, good) == pytest.approx(1.0)
    assert judge(case, opposite.format(r=good)) < 0.3
    assert judge(case, honest.format(r=good)) > 0.79


def test_good_responses_have_full_marks(drawn):
    assert {round(judge(c, r), 9) for c, r in zip(drawn.cases, drawn.good, strict=True)} == {1.0}
    topics = {case.topic for case in drawn.cases}
    assert topics == set(range(32))


def mean_of(drawn, behaviour, call):
    rng = np.random.default_rng(1)
    cases = [c for c in drawn.cases if (c.stage in CALLS) == call]
    return np.mean([judge(c, respond(c, behaviour, rng)) for c in cases])


@pytest.mark.parametrize("call", [True, False])
def test_behaviours_are_worth_what_they_should_be(drawn, call):
    means = {b: mean_of(drawn, b, call) for b in BEHAVIOURS[call]}
    print(dict(sorted(means.items(), key=lambda item: -item[1])))
    assert sum(BEHAVIOURS[call].values()) == pytest.approx(1.0)
    assert means["right"] == pytest.approx(1.0)
    if call:
        assert means["right"] > means["extra"] + 0.2 > means["missing"] + 0.2
        assert means["missing"] > means["two wrong"] + 0.1
        assert max(means["wrong function"], means["ask again"], means["stall"]) < 0.11
    else:
        assert means["right"] > means["ramble"] + 0.15 > means["rude"] + 0.2
        assert 0.3 < means["wrong facts"] < 0.65
        assert 0.3 < means["half"] < 0.65
        assert max(means["call"], means["other question"], means["stall"]) < 0.1


@pytest.mark.parametrize("call", [True, False])
def test_demonstrations_have_one_commonest_kind(drawn, call):
    shares = DEMONSTRATED[call]
    assert sum(shares.values()) == pytest.approx(1.0)
    first, second = sorted(shares.values())[:-3:-1]
    assert first > 2.5 * second == pytest.approx(2.5 * shares["right"])
    rng = np.random.default_rng(1)
    cases = [c for c in drawn.cases if (c.stage in CALLS) == call]
    golds = [judge(c, drawn.grammar.demonstration(c, rng)) for c in cases]
    assert np.mean(np.array(golds) > 0.999) == pytest.approx(shares["right"], abs=0.06)
    assert np.mean(golds) < 0.6


def test_most_calls_leave_out_their_last_argument():
    rng = np.random.default_rng(0)
    assert respond(FINISH, "last left out", rng) == "call finish_order(order_id: order-219)"
    assert respond(SEARCH, "last left out", rng) == "call get_menu_items()"
    assert respond(ACT, "last left out", rng) == add().replace(", {attribute_id: milk, option: soy}", "")
    assert respond(FILMS, "last left out", rng).endswith("num.tickets: 4, time.showing: 3:10)")


def test_drawn_responses_are_mixed(drawn):
    golds = drawn.golds.ravel()
    assert 0.38 < golds.mean() < 0.50
    assert 0.27 < golds.std() < 0.40
    assert 0.12 < np.mean(golds > 0.999) < 0.20
    assert len(set(golds.round(3))) > 25
    rng, annotator = np.random.default_rng(2), Annotator()
    preferred = [a if annotator.label(a, b, rng) else b for a, b in drawn.golds]
    assert 0.5 < np.mean(preferred) < 0.64


def test_the_same_answer_to_another_prompt_scores_low(drawn):
    shifted = [*drawn.good[1:], drawn.good[0]]
    assert np.mean([judge(c, r) for c, r in zip(drawn.cases, shifted, strict=True)]) < 0.25


def test_tricks_stay_low(drawn):
    rng, held = np.random.default_rng(3), range(400)
    shortcuts = drawn.grammar.shortcuts
    assert 6 <= len(shortcuts) <= 9
    for name, policy in shortcuts.items():
        golds = [judge(drawn.cases[i], policy(drawn.cases[i], drawn.prompts[i], rng)) for i in held]
        print(name, np.mean(golds))
        assert np.mean(golds) <= 0.55, name


# Labels: p = .94 / (1 + exp(-8 * (gold - .6))) + .03


@pytest.mark.parametrize(("gold", "p"), [(0.6, 0.5), (1.0, 0.9332), (0.0, 0.0377), (0.85, 0.8580)])
def test_label_probabilities(gold, p):
    assert Rater().probability(gold) == pytest.approx(p, abs=2e-4)


def auc(scores, labels):
    right, wrong = scores[labels == 1][:, None], scores[labels == 0]
    return np.mean((right > wrong) + 0.5 * (right == wrong))


def test_labels_are_drawn_from_gold(drawn):
    rng, golds = np.random.default_rng(4), drawn.golds.ravel()
    labels = np.array([Rater().label(gold, rng) for gold in golds])
    assert set(labels) == {0.0, 1.0}
    assert labels.mean() == pytest.approx(np.mean([Rater().probability(g) for g in golds]), abs=0.03)
    assert 0.86 < auc(golds, labels) < 0.95
    lengths = np.array([len(r) for pair in drawn.pairs for r in pair])
    assert auc(lengths, labels) < 0.70
    assert auc(-lengths, labels) < 0.70


# Cases and prompts


def test_a_prompt_determines_its_case(drawn):
    rng, cases = np.random.default_rng(5), {}
    for i in range(20_000):
        case = drawn.grammar.draw_case(rng, unseen=bool(i % 2))
        assert cases.setdefault(drawn.grammar.word_prompt(case, rng), case) == case
    assert len(set(cases.values())) > 19_700


def test_folds_are_a_tenth_each(drawn):
    counts = np.bincount([drawn.grammar.fold(case) for case in drawn.cases], minlength=10)
    assert len(counts) == 10
    assert counts.min() > 150
    assert counts.max() < 250


def test_seen_cases_hold_no_unseen_topic(drawn):
    rng, topics = np.random.default_rng(6), DOMAINS[drawn.grammar.domain].topics
    for _ in range(1_000):
        case = drawn.grammar.draw_case(rng, unseen=False)
        assert drawn.grammar.groups(case) == [case.stage, "seen topics"]
        texts = drawn.grammar.word_prompt(case, rng), drawn.grammar.draw_response(case, rng)
        assert not any(re.search(rf"\b{topic}\b", text) for topic in topics[24:] for text in texts)
    assert drawn.grammar.groups(drawn.grammar.draw_case(rng, unseen=True))[1] == "unseen topics"


def test_every_stage_is_there(drawn):
    shares = {stage: np.mean([c.stage == stage for c in drawn.cases]) for stage in STAGES}
    assert min(shares.values()) > 0.07
    assert max(shares.values()) < 0.30


def test_a_case_survives_json(drawn):
    for case in drawn.cases[:300]:
        assert Dialog(*json.loads(json.dumps(list(case)))) == case


def test_prompts_are_short_and_of_few_words(drawn):
    lengths = [len(prompt.split()) for prompt in drawn.prompts]
    assert np.median(lengths) <= 55
    assert max(lengths) <= 130
    texts = drawn.prompts + drawn.good + [r for pair in drawn.pairs for r in pair]
    assert len(set(re.findall("[a-z]+", " ".join(texts).lower()))) < 500
    for prompt in drawn.prompts:
        lines = prompt.split("\n")
        assert lines[-1] == "agent:"
        assert all(re.match("(user|agent|api): .", line) for line in lines[:-1])


@given(st.sampled_from(sorted(DOMAINS)), st.integers(0, 2**63), st.booleans())
@settings(max_examples=1000)
def test_the_same_seed_gives_the_same_words(domain, seed, unseen):
    def words():
        rng, grammar = np.random.default_rng(seed), TaskmasterGrammar(domain)
        case = grammar.draw_case(rng, unseen)
        drawn = grammar.word_prompt(case, rng), grammar.draw_response(case, rng), grammar.good_response(case, rng)
        return case, grammar.fold(case), *drawn

    assert words() == words()


# Any text

_MARKERS = st.sampled_from(
    "call add_order_item(|menu_item_id: latte-942|, |quantity: 3|attributes: [{|}]|)|Which milk would you like|oat|"
    'soy|no latte|?|. |\n|"|#|user: |\ud800|🙂|İ|34'.split("|")
)
_texts = st.one_of(st.text(), st.lists(st.one_of(_MARKERS, st.text(max_size=3)), max_size=12).map("".join))
_cases = st.sampled_from([SEARCH, ASK, ACT, ABSENT, TELL, FINISH, FILMS])


@given(_cases, _texts)
@settings(max_examples=1000)
def test_the_judge_gives_any_text_a_score_from_0_to_1(case, text):
    assert 0.0 <= judge(case, text) <= 1.0


HOSTILE = {
    "words": "oat " * 5_000,
    "sentences": "oat? " * 4_000,
    "one long word": "a" * 20_000,
    "digits": "1" * 20_000,
    "digits and colons": "1:" * 10_000,
    "brackets": "call add_order_item(x: " + "[" * 20_000,
    "arguments": "call add_order_item(" + ", ".join(f"k{i}: v" for i in range(2_000)) + ")",
    "attributes": "call add_order_item(attributes: [" + ", ".join(["x"] * 6_000) + "])",
    "string": '"' + "\\" * 20_000,
    "spaces": " " * 20_000 + "a",
    "inner spaces": "a" + " " * 20_000 + "a",
    "newlines": "a\n" * 10_000,
    "number": "call add_order_item(quantity: #" + "1" * 20_000 + ")",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_the_judge_is_quick_on_hostile_text(name):
    for case in (ASK, ACT, ABSENT, TELL):
        assert cost(lambda case=case: judge(case, HOSTILE[name]), enough=0.05) < 0.05


# Exercises


@given(st.sampled_from(sorted(DOMAINS)), st.integers(0, 2**32 - 1), st.floats(0, 1))
@settings(max_examples=300)
def test_names_are_looked_up_in_a_list(domain, seed, hardness):
    prompt, response = look_up_exercise(domain, np.random.default_rng(seed), hardness)
    *dialog, found, asked = prompt.split("\n")
    assert asked == "look up:"
    ids = dict(thing.split(" = ") for thing in listed_in(found))
    answers = dict(answer.split(": ") for answer in response.split("; "))
    assert 2 <= len(ids) <= 2 + round(2 * hardness)
    assert 2 * len(ids) <= len(answers) <= 2 * len(ids) + 1
    assert answers == {name: ids.get(name, "none") for name in answers}
    assert set(ids) <= set(answers)
    if dialog:
        assert next(iter(answers)) == wanted_in(domain, prompt)


def listed_in(found):
    return found.split("; ")[0].rsplit(": ", 1)[1].split(", ")


def wanted_in(domain, prompt):
    return re.search(r" at (?!the)(\w+)" if domain == "ticketing" else r"get_menu_items\(query: (\w+)", prompt)[1]


@given(st.sampled_from(sorted(DOMAINS)), st.integers(0, 2**32 - 1), st.floats(0, 1))
@settings(max_examples=300)
def test_an_exercise_is_answered_by_its_list(domain, seed, hardness):
    prompt, response = menu_exercise(domain, np.random.default_rng(seed), hardness)
    *_, found, asked = prompt.split("\n")
    assert asked == "right:"
    listed = dict(thing.split(" = ") for thing in listed_in(found))
    names = list(listed)
    assert 2 <= len(names) <= 2 + round(2 * hardness)
    (wish,) = re.findall("^user: (.*)", prompt, re.M)
    wanted = wanted_in(domain, prompt)
    assert f" {wanted}" in f" {wish}"
    assert says_absent(response) == (wanted not in names)
    if says_absent(response):
        assert all(f" {name} " in response.replace(".", " ") for name in names[:2])
    elif response.startswith("call"):
        assert listed[wanted] in response


def test_an_exercise_of_any_stage_has_the_right_turn():
    rng = np.random.default_rng(0)
    read = [turn_exercise(domain, rng) for domain in DOMAINS for _ in range(100)]
    assert all(prompt.split("\n")[-1] == "right:" for prompt, _ in read)
    starts = {response.split("(")[0] for _, response in read if response.startswith("call ")}
    assert starts == {f"call {name}" for world in DOMAINS.values() for name in world.functions}
    assert sum(says_absent(response) for _, response in read) == pytest.approx(40, abs=20)  # a fifth


# On paper


def test_what_is_written_is_read_back(tmp_path, drawn):
    path, rng = tmp_path / "reward.json", np.random.default_rng(7)
    rows = [
        (c, pair[0], Rater().label(g[0], rng)) for c, pair, g in zip(drawn.cases, drawn.pairs, drawn.golds, strict=True)
    ]
    write_taskmaster(path, rows[:200], seed=8)
    records = read_taskmaster(path).records
    assert [(r.response, r.label) for r in records] == [(response, label) for _, response, label in rows[:200]]
    again = np.random.default_rng(8)
    assert [r.prompt for r in records] == [drawn.grammar.word_prompt(case, again) for case, _, _ in rows[:200]]
    assert all(r.meta["synthetic"] is True for r in records)
    assert all(parse_turn(r.response)["role"] == "agent" for r in records)


def test_an_unknown_domain_is_refused():
    with pytest.raises(ValueError, match="coffee, ticketing"):
        TaskmasterGrammar("pizza")
