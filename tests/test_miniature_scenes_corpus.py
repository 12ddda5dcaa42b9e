"""Miniature VQA as records: balanced pairs, ten annotators, held-out combinations, files, the blind baseline."""

import itertools
import json
from collections import Counter, defaultdict

import numpy as np
import pytest
from cost import cost
from PIL import Image
from question_only import KEYS, question_only
from written_files import write_vqa

from envs.vqav2.scenes.annotators import annotate, slip
from envs.vqav2.scenes.corpus import FAMILIES, VQACorpus, draw_pair, miniature_vqa
from envs.vqav2.scenes.families import QUESTION_TYPES, fill, question_type
from envs.vqav2.scenes.scene import COLORS, SHAPES, Draw, is_unseen
from perlhf.errors import UserError

SPLITS = ("train", "validation", "test")
LABELS = "Mail News Wifi Alarm Radio Photo Games Book".split()


def vqa_accuracy(answer, ten):
    """min(agreeing / 3, 1), averaged over the ten ways to leave one annotator out."""
    left = [ten[:i] + ten[i + 1 :] for i in range(len(ten))]
    return sum(min(others.count(answer) / 3, 1) for others in left) / len(left)


def given(record):
    return [answer["answer"] for answer in record.answers]


@pytest.fixture(scope="module")
def corpora():
    return {split: miniature_vqa(split) for split in SPLITS}


@pytest.fixture(scope="module")
def records(corpora):
    return {split: list(corpora[split]) for split in SPLITS}


def shown(corpus):
    """What each picture of a split shows, wherever its things are: kind and parts, without places."""
    for index in range(len(corpus)):
        picture = corpus.scene(index)
        parts = [tuple(part[:4]) for part in picture[0]]
        yield type(picture).__name__, tuple(sorted(parts) if type(picture).__name__ == "Scene" else parts)


@pytest.fixture(scope="module")
def contents(corpora):
    return {split: list(shown(corpora[split])) for split in SPLITS}


# Records


def test_sizes(corpora):
    assert [len(corpora[split]) for split in SPLITS] == [20_000, 1_000, 2_000]


def test_fields_are_vqav2s(records):
    for record in records["test"]:
        assert record.question.endswith("?")
        assert record.question_id == 1000 * record.image_id
        assert record.question_type == question_type(record.question)
        assert record.question_type in QUESTION_TYPES
        assert [a["answer_id"] for a in record.answers] == list(range(1, 11))
        assert all(set(a) == {"answer", "answer_confidence", "answer_id"} for a in record.answers)
        assert {a["answer_confidence"] for a in record.answers} <= {"yes", "maybe", "no"}
        assert record.meta["synthetic"] is True
        assert json.loads(json.dumps(record._asdict())) == record._asdict()
    kinds = Counter(record.answer_type for record in records["train"])
    assert min(kinds[k] for k in ("yes/no", "number", "other")) > 0.22 * 20_000
    assert set(kinds) == {"yes/no", "number", "other"}


def test_question_types():
    assert question_type("What color is the star?") == "what color is the"
    assert question_type("How many stars are there?") == "how many"
    assert question_type("Is this an orange star?") == "is this an"
    assert question_type("Is this orange?") == "is this"
    assert question_type("Isn't it red?") == "none of the above"
    assert fill("Is there a {color} star?", {"color": "orange"}) == "Is there an orange star?"


def test_ids_are_unique(records):
    ids = [record.question_id for split in SPLITS for record in records[split]]
    assert len(ids) == len(set(ids)) == 23_000


def test_the_same_every_time(records):
    for split in SPLITS:
        fresh = VQACorpus(split)
        for index in (0, 1, 333, len(fresh) - 1):
            assert fresh[index] == records[split][index]
            assert np.array_equal(fresh.image(index), miniature_vqa(split).image(index))
    assert VQACorpus("test")[-1] == records["test"][-1]
    assert VQACorpus("test")[3:5] == records["test"][3:5]
    with pytest.raises(IndexError):
        VQACorpus("test")[2_000]


def test_the_first_records_are_as_ever(records):
    first = [(r.question, r.multiple_choice_answer) for r in records["train"][:8:2]]
    assert first == [
        ("Does this ring look orange?", "yes"),
        ("How many things are green?", "2"),
        ("Can you see that the pink square is bigger than the pink star?", "yes"),
        ("What number of slices is in the pie?", "4"),
    ]


def test_levels():
    corpus = VQACorpus("validation", levels=(2, 4))
    assert [r.meta["level"] for r in corpus[:8]] == [2, 2, 4, 4, 2, 2, 4, 4]
    everything = Counter(r.meta["level"] for r in VQACorpus("test")[:])
    assert everything == {1: 500, 2: 500, 3: 500, 4: 500}
    assert {r.meta["level"] for r in VQACorpus("test", [1])[:]} == {1}


@pytest.mark.parametrize("levels", [(), (0,), (1, 5), "12", 3])
def test_unknown_levels_are_refused(levels):
    with pytest.raises(UserError, match="levels must be some of 1, 2, 3, 4"):
        VQACorpus("train", levels)


def test_an_unknown_split_is_refused():
    with pytest.raises(UserError, match="Did you mean 'train'"):
        VQACorpus("trian")


def test_level_1_shows_one_thing_and_level_2_up_to_four(corpora):
    for level, most in ((1, 1), (2, 4), (3, 4)):
        counts = {len(VQACorpus("train", (level,)).scene(i).things) for i in range(600)}
        assert max(counts) == most
    kinds = {type(VQACorpus("train", (4,)).scene(i)).__name__ for i in range(200)}
    assert kinds == {"Scene", "BarChart", "PieChart", "Screen"}


# Balance


def test_pairs_ask_the_same_and_are_answered_differently(records):
    for split in SPLITS:
        for one, two in zip(records[split][::2], records[split][1::2], strict=True):
            assert one.question == two.question
            assert one.multiple_choice_answer != two.multiple_choice_answer
            assert one.meta["groups"] == two.meta["groups"]
            assert records[split][one.meta["complementary"]] is two
            assert records[split][two.meta["complementary"]] is one


@pytest.mark.parametrize("name", FAMILIES)
def test_every_answer_is_about_as_frequent(name):
    family = FAMILIES[name]
    rng, counts, draws = np.random.default_rng(0), defaultdict(Counter), 1_000
    for _ in range(draws):
        pair = draw_pair(family, rng, "train")
        counts[pair.wording].update([pair.answer(0), pair.answer(1)])
    for wording, found in counts.items():
        held_out = 2 if name in ("color of extreme bar", "color of biggest slice") else 0  # two colours of eight
        assert len(found) == len(family.answers) - held_out, wording
        expected = found.total() / len(found)
        assert max(found.values()) < 1.25 * expected + 20, (wording, found)
        assert min(found.values()) > 0.75 * expected - 20, (wording, found)
    assert set(counts) == set(family.wordings)


@pytest.mark.parametrize("name", ["count of color", "exists", "color among", "value of bar", "side"])
def test_no_word_of_a_question_tells_its_answer(name):
    family, rng = FAMILIES[name], np.random.default_rng(1)
    counts = defaultdict(Counter)
    for _ in range(4_000):
        pair = draw_pair(family, rng, "train")
        for word in pair.words.values():
            counts[word].update([pair.answer(0), pair.answer(1)])
    for word, found in counts.items():
        if found.total() > 500:
            assert max(found.values()) < 1.35 * found.total() / len(found), (word, found)


@pytest.mark.parametrize("key", KEYS)
def test_a_question_alone_says_no_more_than_chance(records, key):
    scores = question_only(records["train"], records["test"], vqa_accuracy, KEYS[key])
    assert scores["yes/no"].exact == 0.5  # the two of a pair: one yes, one no
    assert scores["yes/no"].accuracy == pytest.approx(scores["yes/no"].chance, abs=0.02)
    for group, blind in scores.items():
        assert blind.exact < blind.exact_chance + 0.06, group
        assert blind.accuracy < blind.chance + 0.06, group
    assert scores["all"].n == 2_000
    assert scores["seen combinations"].n == scores["unseen combinations"].n == 1_000


def test_the_baseline_would_find_a_bias(records):
    biased = [r for r in records["train"] if r.answer_type != "yes/no" or r.multiple_choice_answer == "yes"]
    test = [r for r in records["test"] if r.multiple_choice_answer == "yes"]
    assert question_only(biased, test, vqa_accuracy)["all"].exact == 1.0


# What is held out


def test_no_picture_of_one_split_shows_what_one_of_another_shows(contents):
    train, validation, test = (set(contents[split]) for split in SPLITS)
    assert not train & test
    assert not train & validation
    assert not validation & test


def combinations(content):
    """The combinations of a colour and what it is paired with."""
    kind, parts = content
    if kind == "Scene":
        return {(color, shape) for color, shape, *_ in parts}
    if kind == "Screen":
        return {(color, label) for _, color, label, _ in parts}
    return {(color, kind) for color, _ in parts}


def test_half_of_the_held_out_questions_are_of_combinations_that_training_never_shows(contents, records):
    trained = set().union(*map(combinations, contents["train"]))
    assert len(trained) == 48 + 48 + 6 + 6
    for split in ("validation", "test"):
        unseen = 0
        for content, record in zip(contents[split], records[split], strict=True):
            fresh = combinations(content) - trained
            assert bool(fresh) is ("unseen combinations" in record.meta["groups"])
            assert bool(fresh) is not ("seen combinations" in record.meta["groups"])
            if content[0] in ("Scene", "Screen"):
                assert fresh in (set(), combinations(content))
            unseen += bool(fresh)
        assert unseen == len(records[split]) // 2


def test_what_is_held_out_is_what_the_table_says(contents):
    for content in contents["train"]:
        for color, partner in combinations(content):
            number = {"BarChart": 0, "PieChart": 1}.get(partner)
            number = number if number is not None else [*SHAPES, *LABELS].index(partner) % 8
            assert not is_unseen(color, number)


def test_wordings_of_unseen_questions_are_new_for_their_words(corpora):
    asked = defaultdict(set)
    for split in SPLITS:
        for index in range(0, len(corpora[split]), 2):
            pair = corpora[split].pair(index)
            if pair.words:
                asked[pair.unseen].add((pair.wording, *pair.words.values()))
    assert len(asked[True]) > 250
    assert not asked[True] & asked[False]


def test_unseen_wordings_are_known_with_other_words(corpora):
    trained = {corpora["train"].pair(i).wording for i in range(0, 20_000, 2)}
    assert trained == {wording for family in FAMILIES.values() for wording in family.wordings}


# The annotators


def test_the_consensus_is_the_truth(corpora, records):
    for split in ("validation", "test"):
        for index, record in enumerate(records[split]):
            first, votes = Counter(given(record)).most_common(1)[0]
            assert first == record.multiple_choice_answer == corpora[split].pair(index).answer(index % 2)
            assert votes >= 6
            assert vqa_accuracy(corpora[split].oracle(index), given(record)) == 1.0


def test_people_disagree_as_people_do(records):
    agreement = defaultdict(list)
    for record in records["train"]:
        agreement[record.answer_type].append(given(record).count(record.multiple_choice_answer) / 10)
    means = {kind: np.mean(shares) for kind, shares in agreement.items()}
    assert 0.92 < means["yes/no"] < 0.96
    assert 0.80 < means["number"] < 0.88
    assert 0.75 < means["other"] < 0.85
    assert 0.2 < np.mean([share == 1 for shares in agreement.values() for share in shares]) < 0.6


def test_harder_questions_are_answered_less_alike(records):
    shares = defaultdict(list)
    for record in records["train"]:
        shares[record.meta["level"]].append(given(record).count(record.multiple_choice_answer))
    assert np.mean(shares[1]) > np.mean(shares[4])


def test_confidence_goes_with_being_right(records):
    sure = defaultdict(list)
    for record in records["train"]:
        for answer in record.answers:
            sure[answer["answer"] == record.multiple_choice_answer].append(answer["answer_confidence"] == "yes")
    assert 0.84 < np.mean(sure[True]) < 0.90
    assert 0.55 < np.mean(sure[False]) < 0.70


def test_slips_are_human():
    draw = Draw(np.random.default_rng(0))
    slips = {
        truth: {slip(truth, kind, answers, draw) for _ in range(500)}
        for truth, kind, answers in (
            ("yes", "yes/no", ("yes", "no")),
            ("0", "number", ("0", "1", "2", "3")),
            ("2", "number", ("0", "1", "2", "3")),
            ("red", "other", COLORS),
            ("mail", "other", ("mail", "news", "wifi")),
        )
    }
    assert slips["yes"] == {"no"}
    assert slips["0"] == {"zero", "1", "2"}
    assert slips["2"] == {"two", "1", "3", "4"}
    assert slips["red"] == {*COLORS, "dark red"} - {"red"}
    assert slips["mail"] == {"news", "wifi"}


@pytest.mark.parametrize("level", [1, 2, 3, 4])
@pytest.mark.parametrize("name", FAMILIES)
def test_most_of_the_ten_say_the_truth(name, level):
    family, draw = FAMILIES[name], Draw(np.random.default_rng(level))
    for truth in family.answers:
        for _ in range(40):
            ten = annotate(truth, family.answer_type, level, family.answers, draw)
            assert len(ten) == 10
            assert [a["answer"] for a in ten].count(truth) >= 6


def test_plausible_answers_are_of_the_right_type_and_often_wrong(corpora, records):
    corpus, rng = corpora["test"], np.random.default_rng(0)
    said = [corpus.plausible_answer(i, rng) for i in range(2_000)]
    right = np.array([answer == r.multiple_choice_answer for answer, r in zip(said, records["test"], strict=True)])
    assert 0.35 < right.mean() < 0.65
    for answer, record in zip(said, records["test"], strict=True):
        if record.answer_type == "yes/no":
            assert answer in ("yes", "no")
    again = np.random.default_rng(0)
    assert said[:50] == [corpus.plausible_answer(i, again) for i in range(50)]


# Files


def test_the_files_are_laid_out_as_vqav2s(tmp_path, corpora):
    write_vqa(corpora["train"], tmp_path, 6)
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert names == [
        *(f"train2014/COCO_train2014_{i:012d}.jpg" for i in range(1, 7)),
        "v2_OpenEnded_mscoco_train2014_questions.json",
        "v2_mscoco_train2014_annotations.json",
        "v2_mscoco_train2014_complementary_pairs.json",
    ]
    questions, annotations, pairs = (json.loads((tmp_path / name).read_text()) for name in names[6:])
    assert set(questions) == {"info", "task_type", "data_type", "license", "data_subtype", "questions"}
    assert set(annotations) == {"info", "license", "data_subtype", "annotations", "data_type"}
    assert "ynthetic" in questions["info"]["description"]
    assert pairs == [[1000, 2000], [3000, 4000], [5000, 6000]]
    for index, (asked, answered) in enumerate(zip(questions["questions"], annotations["annotations"], strict=True)):
        record = corpora["train"][index]._asdict()
        assert asked == {name: record[name] for name in ("image_id", "question", "question_id")}
        kept = ("question_type", "multiple_choice_answer", "answers", "image_id", "answer_type", "question_id")
        assert answered == {name: record[name] for name in kept}


def test_images_in_files_are_the_pictures(tmp_path, corpora):
    write_vqa(corpora["validation"], tmp_path, 4, size=128)
    for i in range(4):
        path = tmp_path / "val2014" / f"COCO_val2014_{corpora['validation'][i].image_id:012d}.jpg"
        pixels = np.asarray(Image.open(path)).astype(int)
        assert np.abs(pixels - corpora["validation"].image(i, 128)).mean() < 3


def test_the_test_files_have_no_answers(tmp_path, corpora):
    write_vqa(corpora["test"], tmp_path / "official", 2)
    assert len(list((tmp_path / "official").glob("*.json"))) == 1
    write_vqa(corpora["test"], tmp_path / "ours", 3, subtype="val2014")
    pairs = json.loads((tmp_path / "ours" / "v2_mscoco_val2014_complementary_pairs.json").read_text())
    assert pairs == [[200_001_000, 200_002_000]]


# Speed


def cost_of_each(action, count, enough):
    """CPU seconds an item; no item twice."""
    numbers = itertools.count()
    return cost(lambda: [action(next(numbers)) for _ in range(count)], count * enough) / count


def test_records_and_pictures_are_quick(corpora):
    assert cost_of_each(lambda i: corpora["train"][i], 100, 0.0006) < 0.0006
    assert cost_of_each(lambda i: corpora["test"][i], 100, 0.0006) < 0.0006
    assert cost_of_each(lambda i: corpora["train"].image(i), 200, 0.002) < 0.002
