"""What holds for every generated corpus: its splits, its labels, what the backbone may read."""

import json
from itertools import islice

import numpy as np
import pytest

from envs.bolt.task import BOLT
from envs.corpora.records import LabelledRecord, good_response, responses_of
from envs.hh.task import HH
from envs.miniature.annotator import Annotator, Rater
from envs.miniature.corpus import MiniatureCorpus, miniature, pretraining_documents
from envs.shp.task import SHP
from envs.taskmaster.task import GRAMMARS as TASKMASTER
from envs.tldr.task import TLDR

GRAMMARS = {g.name: g for g in (TLDR.grammar, BOLT.grammar, HH.grammar, SHP.grammar, *TASKMASTER.values())}
SPLITS = {"train": 3_000, "validation": 1_000, "test": 2_000}


@pytest.fixture(scope="module", params=GRAMMARS.values(), ids=GRAMMARS.keys())
def grammar(request):
    return request.param


@pytest.fixture(scope="module")
def corpus(grammar):
    return {split: miniature(grammar, split)[:count] for split, count in SPLITS.items()}


def cases(records):
    return {tuple(r.meta["case"]) for r in records}


def test_no_case_and_no_prompt_is_in_two_splits(corpus):
    for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
        assert not cases(corpus[one]) & cases(corpus[other])
        assert not {r.prompt for r in corpus[one]} & {r.prompt for r in corpus[other]}


def test_every_second_held_out_record_is_of_an_unseen_topic(corpus):
    for split in ("validation", "test"):
        assert all(("unseen topics" in r.meta["groups"]) == bool(i % 2) for i, r in enumerate(corpus[split]))
    assert not any("unseen topics" in r.meta["groups"] for r in corpus["train"])


def test_the_backbone_reads_all_topics_and_no_held_out_case(grammar, corpus):
    documents = list(islice(pretraining_documents(grammar, np.random.default_rng(0)), 3_000))
    assert not {prompt for prompt, _ in documents} & {r.prompt for r in corpus["test"] + corpus["validation"]}
    drawn = [grammar.draw_case(np.random.default_rng(i), unseen=True) for i in range(50)]
    assert all("unseen topics" in grammar.groups(case) for case in drawn)


def test_what_the_backbone_imitates_is_half_good(grammar, corpus):
    held_out = miniature(grammar, "test")
    golds = [held_out.judge(r.meta, good_response(r)) for r in corpus["test"] if good_response(r) is not None]
    assert 0.45 < np.mean(golds) < (0.9 if grammar.pointwise else 0.65)  # what was liked; liked ones alone are better


def test_meta_is_json_and_says_synthetic(corpus):
    for record in corpus["test"][:200]:
        assert record.meta["synthetic"] is True
        assert json.loads(json.dumps(record.meta)) == record.meta


def test_the_same_record_in_any_order(grammar, corpus):
    again = MiniatureCorpus(grammar, "test")
    assert [again[i] for i in (1999, 3, 0, 3)] == [corpus["test"][i] for i in (1999, 3, 0, 3)]
    assert again[-1] == again[1999]


def test_the_oracle_has_full_marks_and_the_neighbours_answer_has_not(grammar, corpus):
    held_out = miniature(grammar, "test")
    assert all(held_out.judge(corpus["test"][i].meta, held_out.oracle(i)) == 1.0 for i in range(300))
    others = [held_out.judge(corpus["test"][i].meta, held_out.oracle(i + 1)) for i in range(300)]
    assert np.mean(others) < 0.3


def test_labels_follow_gold_with_noise(grammar, corpus):
    held_out, agree, expected = miniature(grammar, "test"), [], []
    for r in corpus["test"]:
        golds = [held_out.judge(r.meta, text) for text in responses_of(r).values() if isinstance(text, str)]
        if isinstance(r, LabelledRecord):
            agree.append(r.label)
            expected.append(Rater().probability(golds[0]))
        elif golds[0] != golds[1]:
            agree.append(golds[0] > golds[1])
            expected.append(Annotator().ceiling(*golds))
    assert np.mean(agree) == pytest.approx(np.mean(expected), abs=0.035)  # three standard errors of 2,000 coins


@pytest.mark.parametrize(
    ("gold", "probability"),
    # sigmoid(8 (gold - .6)): at .6 1/2, at 1 .9608, at 0 .0082; times .94, and .03 of the coin
    [(0.6, 0.5), (1.0, 0.9332), (0.0, 0.0377)],
)
def test_the_rater(gold, probability):
    assert Rater().probability(gold) == pytest.approx(probability, abs=1e-4)
