"""What reward models and SFT learn from picture questions: rated answers, and pairs of answers; and that they do."""

import json

import numpy as np
import pytest
from tiny_models import save_seeing_gemma
from written_files import write_vqa

from agents.setup import Setup
from agents.train_sft import Options as SFTOptions
from agents.train_sft import demonstrations
from agents.train_sft import train as train_sft
from backbones.backbone import Backbone
from backbones.model.vision import ImagePrompt
from envs.corpora.records import LabelledRecord, Record, image_of
from envs.registry import env_id
from envs.turn import Turn
from envs.vqav2.answers import VQAAnswers
from envs.vqav2.scenes.corpus import miniature_vqa
from envs.vqav2.task import VQAv2
from evaluation.compare import compare
from evaluation.evaluator import Evaluator
from evaluation.reward_models import label_ceiling
from perlhf.errors import UserError
from rewards.preferences import Labels, Pairs, preferences_of, sampled
from rewards.reward_model import RewardModel
from rewards.train_reward_model import Options, train

VQA = env_id("VQAv2-v0")
TEN = ["2"] * 6 + ["3"] * 3 + ["two"]  # of which seven say 2


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return str(save_seeing_gemma(tmp_path_factory.mktemp("sees")))


@pytest.fixture(scope="module")
def labels():
    return VQAAnswers(VQAv2(split="validation"))


@pytest.fixture(scope="module")
def pairs():
    return VQAAnswers(VQAv2(split="validation", feedback="pairs"))


class OneQuestion(VQAv2):
    """The first question of a split, with these ten people."""

    def turn(self, state, response=""):
        turn = super().turn(state, response)
        return Turn(turn.prompt, response, {**turn.reference, "answers": TEN}, turn.image)


def test_an_answer_is_labelled_with_its_accuracy():
    task, rng = VQAAnswers(OneQuestion()), np.random.default_rng(0)
    # Seven of ten say 2; three say 3: the set without one of them has two, so 7 * 1 + 3 * 2/3 of ten sets is 0.9.
    assert [task.rate(0, answer, rng) for answer in ("2", "Two.", "3", "4")] == [1.0, 1.0, 0.9, 0.0]
    assert task.annotate(0, "2", "3", rng) is True
    assert task.annotate(0, "4", "3", rng) is False
    assert task.annotate(0, "two", "2", rng) is None


def test_records_are_answers_to_the_questions_with_their_pictures(labels):
    assert len(labels.records) == 1000
    record = labels.records[7]
    turn = labels.task.turn(7)
    assert isinstance(record, LabelledRecord)
    assert record.prompt == turn.prompt
    assert np.array_equal(image_of(record), turn.image)
    assert record.label == labels.judge(labels.turn(7, record.response))
    assert labels.records[7].response == record.response
    assert record.meta["groups"] == turn.reference["groups"]
    assert [r.response for r in labels.records[6:8]] == [labels.records[6].response, record.response]


def test_labels_are_good_bad_and_between(labels):
    found = [record.label for record in labels.records[:400]]
    assert 0.4 < np.mean([label > 0.5 for label in found]) < 0.7
    assert {0.0, 1.0} < set(found) <= {0.0, 0.3, 0.6, 0.9, 1.0}
    assert label_ceiling(labels, labels.records[:100]) == 1.0


def test_of_a_pair_people_agree_more_with_the_first(pairs):
    records = pairs.records[:200]
    assert all(isinstance(record, Record) for record in records)
    assert all(pairs.gold_margin(record) > 0 for record in records)
    assert label_ceiling(pairs, records) == 1.0
    assert not np.array_equal(image_of(records[0]), image_of(records[1]))


def test_where_all_answers_are_as_good_nothing_is_better_than_the_oracle():
    class Agreed(VQAv2):
        def plausible_action(self, state, rng):
            return self.oracle(state)

        def turn(self, state, response=""):
            turn = super().turn(state, response)
            return Turn(turn.prompt, response, {**turn.reference, "answers": [self.oracle(state)] * 10}, turn.image)

    task = VQAAnswers(Agreed(feedback="pairs"))
    assert task.records[0][1:3] == (task.oracle(0), "")


def test_commands_find_them(tmp_path):
    train, test = Setup.of(VQA, "feedback=pairs,levels=1").feedback("train", "test")
    assert (len(train.records), len(test.records)) == (20_000, 2_000)
    assert isinstance(preferences_of(train), Pairs)
    (train,) = Setup.of(VQA).feedback("train")
    assert isinstance(preferences_of(train), Labels)
    with pytest.raises(UserError, match="Did you mean 'pairs'"):
        Setup.of(VQA, "feedback=pair").feedback("train")


def test_files_of_real_corpora_have_them_too(tmp_path):
    write_vqa(miniature_vqa("train"), tmp_path, 20)
    write_vqa(miniature_vqa("validation"), tmp_path, 10)
    (test,) = Setup.of(VQA, data=str(tmp_path)).feedback("test")
    assert len(test.records) == 10
    assert {image_of(record).shape for record in test.records} == {(64, 64, 3)}
    assert test.can_rate


def test_questions_without_answers_teach_nothing():
    silent = VQAv2()
    silent.records = [question._replace(answers=()) for question in silent.records[:2]]
    with pytest.raises(UserError, match="has no answers, so there is nothing to learn from"):
        VQAAnswers(silent)


def test_a_policys_own_answers_are_rated(path, labels):
    backbone = Backbone.load(path)
    records = sampled(Labels(), labels, backbone.reference, 4, np.random.default_rng(0), max_new_tokens=4)
    assert {image_of(record).shape for record in records} == {(64, 64, 3)}
    assert {record.label for record in records} <= {0.0, 0.3, 0.6, 0.9, 1.0}
    ((prompt, _),) = Labels().rows(backbone, records[0])
    assert isinstance(prompt, ImagePrompt)


def test_two_answers_of_a_policy_make_a_pair_where_people_prefer_one(path, pairs):
    rng, right = np.random.default_rng(0), pairs.oracle(5)
    pair = Pairs().label(pairs, 5, ("no such answer", right), rng)
    assert (pair.chosen, pair.rejected) == (right, "no such answer")
    assert all(isinstance(prompt, ImagePrompt) for prompt, _ in Pairs().rows(Backbone.load(path), pair))
    assert Pairs().label(pairs, 5, (right, f"{right}."), rng) is None
    assert Pairs().label(pairs, 5, ("no such answer", "nor this"), rng) is None


def test_good_answers_are_what_is_imitated(labels):
    shown = demonstrations(labels.records[:50])
    assert 10 < len(shown) < 45
    assert all(image.shape == (64, 64, 3) for _, _, image in shown)


@pytest.mark.parametrize("feedback", ["labels", "pairs"])
def test_the_command_trains_a_reward_model(path, tmp_path, feedback):
    how = Options(
        env="VQAv2-v0", env_options=f"feedback={feedback},levels=1", backbone=path, output_dir=str(tmp_path), pairs=64,
        start="random", policy_pairs=8 if feedback == "labels" else 0, eval_pairs=60, lora_vision=True,
    )  # fmt: skip
    model = train(how)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["ceiling"] == 1.0
    assert summary["accuracy"]["n"] == 60
    assert {"length", "keyword", "random"} <= set(summary["baselines"])
    assert {"yes/no", "other", "level 1"} <= set(summary["groups"])
    assert ("auc" in summary) == (feedback == "labels")
    assert any("vision_tower" in name for name in model.role.parameters())
    turn = VQAv2(split="test", levels=1).turn(0, "red")
    assert RewardModel.load(tmp_path)([turn]) == model([turn])


def test_the_command_fine_tunes_and_the_merged_backbone_sees(path, tmp_path):
    how = SFTOptions(env="VQAv2-v0", backbone=path, output_dir=str(tmp_path), records=32, eval_records=20)
    merged = Backbone.load(str(train_sft(how)))
    image = VQAv2().turn(0).image
    assert isinstance(merged.encode_prompt("yes", image), ImagePrompt)
    assert merged.hash != Backbone.load(path).hash


def test_the_evaluation_sees_the_pictures(path):
    backbone, task = Backbone.load(path), VQAv2(split="validation")
    evaluator = Evaluator(task, labels_gold, max_new_tokens=4, n=20)
    assert evaluator.states == list(range(20))
    report = compare(evaluator, evaluator, backbone.reference)
    assert report["oracle"]["gold"] == 1.0
    assert report["kl"] == 0
    assert {"yes/no", "level 1", "seen combinations"} <= set(report["sft"]["groups"]["greedy"])
    said = evaluator.answer(backbone.reference, 0.0)
    assert all(isinstance(prompt, ImagePrompt) for episode in said.rows for prompt, _ in episode)


def labels_gold(turns):
    """VQA's accuracy."""
    return [VQAv2(split="validation").judge(turn) for turn in turns]
