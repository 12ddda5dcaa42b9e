"""How the backbone that sees is made: lessons, texts packed behind a picture, Muon, the command."""

import json
import sys
from itertools import islice

import numpy as np
import pytest
import torch
from tiny_models import seeing_gemma
from transformers import AutoProcessor

from agents.pretrain.__main__ import main, weighted_loss
from agents.pretrain.muon import Muon, muon_and_adamw, orthogonal
from agents.pretrain.pictures import PROMPT_WEIGHT, PictureBatches, caption_accuracy, picture_golds, visible
from backbones.backbone import Backbone
from backbones.forward import log_probs_of
from envs.vqav2.lessons import CAPTION, Lesson, lessons
from envs.vqav2.scenes.corpus import FAMILIES, VQACorpus
from envs.vqav2.task import VQAv2, prompt_of

QUESTIONS = [(CAPTION, "yes no"), ("Hello there.", "maybe"), ("bad", "good")]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return seeing_gemma(tmp_path_factory.mktemp("sees"))


@pytest.fixture(scope="module")
def taught():
    return list(islice(lessons(np.random.default_rng(0), 1000), 1000))


# Lessons


def test_lessons_begin_with_one_thing_told_and_end_with_questions(taught):
    assert all(lesson.texts[0][0] == CAPTION for lesson in taught)
    things = [lesson.texts[0][1].count(",") + 1 for lesson in taught]
    assert set(things[:70]) == {1}
    assert set(things[71:140]) == {1, 2}
    assert set(things[141:180]) == {1, 2, 3, 4}
    assert {len(lesson.texts) for lesson in taught[:250]} == {1}
    assert max(len(lesson.texts) for lesson in taught[250:]) == 9
    assert np.mean([len(lesson.texts) for lesson in taught[250:]]) > 7.5


def test_no_question_is_asked_twice_of_a_picture(taught):
    for lesson in taught:
        assert len({prompt for prompt, _ in lesson.texts}) == len(lesson.texts)


def test_lessons_are_the_same_for_the_same_generator(taught):
    again = list(islice(lessons(np.random.default_rng(0), 1000), 450))
    assert [lesson.texts for lesson in again] == [lesson.texts for lesson in taught[:450]]
    assert np.array_equal(again[449].picture, taught[449].picture)


def is_chart_or_screen(lesson):
    told = lesson.texts[0][1]
    return any(word in told for word in ("bars:", "pie:", "button", "box", "switch"))


def test_charts_and_screens_are_told_before_they_are_asked_about(taught):
    assert not any(map(is_chart_or_screen, taught[:180]))
    assert 0.3 < np.mean([*map(is_chart_or_screen, taught[181:250])]) < 0.7
    assert not any(map(is_chart_or_screen, taught[250:500]))
    assert 0.1 < np.mean([*map(is_chart_or_screen, taught[501:])]) < 0.3  # of level 4, which has scenes too


def test_a_chart_and_a_screen_are_asked_about_several_times(taught):
    asked = [len(lesson.texts) - 1 for lesson in taught[501:] if is_chart_or_screen(lesson)]
    assert min(asked) >= 3
    assert np.mean(asked) > 5


def test_yes_and_no_are_right_about_equally_often(taught):
    said = [answer for lesson in taught[250:] for _, answer in lesson.texts[1:] if answer in ("yes", "no")]
    assert len(said) > 500
    assert 0.44 < np.mean([answer == "yes" for answer in said]) < 0.56


def test_most_answers_are_what_the_picture_shows(taught):
    right = [
        int(answer == str(lesson.texts[0][1].count(",") + 1))
        for lesson in taught[250:]
        for question, answer in lesson.texts[1:]
        if question == prompt_of("How many objects are there?")
    ]
    assert len(right) > 20
    assert 0.7 < np.mean(right) < 1  # people miscount


def test_no_lesson_has_a_question_in_words_that_are_held_out(taught):
    corpus = VQACorpus("test")
    unseen = {r.question for r in corpus[:800] if "unseen combinations" in r.meta["groups"] and r.meta["level"] < 3}
    unseen -= {wording for family in FAMILIES.values() for wording in family.wordings}  # those without words
    asked = {prompt.split("\n")[0].removeprefix("QUESTION: ") for lesson in taught for prompt, _ in lesson.texts}
    assert len(unseen) > 50
    assert not unseen & asked


# Batches


def test_a_token_sees_the_picture_and_its_own_text_up_to_itself():
    parts = torch.tensor([[0, 0, 1, 1, 2, -1]])
    seen = visible(parts, torch.tensor([[True, True, False, False, False, False]]))[0, 0].int().tolist()
    assert seen == [
        [1, 1, 0, 0, 0, 0],  # tokens of the image see one another
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],  # the second text does not see the first
        [1, 1, 0, 0, 0, 1],  # padding sees something, or its softmax would be of nothing
    ]


def batch_of(backbone, *taught):
    return next(PictureBatches(iter(taught), backbone.vision.processor, backbone.model, len(taught)))


def test_packed_texts_have_the_log_probabilities_that_they_have_alone(backbone):
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    batch = batch_of(backbone, Lesson(images[0], QUESTIONS), Lesson(images[1], QUESTIONS[:1]))
    only_answers = (batch[0], batch[1] * (batch[1] == 1), batch[2])
    with torch.no_grad():
        loss, response_loss = weighted_loss(backbone.model, *only_answers)
    shown = [(images[0], *text) for text in QUESTIONS] + [(images[1], *QUESTIONS[0])]
    prompts = [backbone.encode_prompt(prompt, image) for image, prompt, _ in shown]
    responses = [[*backbone.encode_response(response), backbone.end_ids[0]] for *_, response in shown]
    alone = log_probs_of(backbone.reference, prompts, responses)
    # The image token, which no response may hold, takes a share of the probability in training.
    assert loss.item() == response_loss == pytest.approx(-alone.sum().item() / sum(map(len, responses)), abs=0.02)


def test_what_begins_a_text_is_not_learned_from_the_text_before(backbone):
    image = np.zeros((32, 32, 3), np.uint8)
    _, weights, more = batch_of(backbone, Lesson(image, QUESTIONS[1:]))
    prefix = len(backbone.vision.ids(image))
    asked = [len(backbone.encode_prompt(prompt)) for prompt, _ in QUESTIONS[1:]]
    said = [len(backbone.encode_response(response)) + 1 for _, response in QUESTIONS[1:]]
    expected = [0.0] * prefix
    for a, s in zip(asked, said, strict=True):
        expected += [0.0, *[PROMPT_WEIGHT] * (a - 1), *[1.0] * s]
    torch.testing.assert_close(weights[0], torch.tensor(expected))
    places = more["position_ids"][0].tolist()
    assert places == [*range(prefix), *(prefix + i for n in map(sum, zip(asked, said, strict=True)) for i in range(n))]


# Muon


def test_orthogonal_brings_singular_values_near_one():
    generator = torch.Generator().manual_seed(0)
    for shape in ((2, 8, 8), (2, 8, 24), (2, 24, 8)):
        made = orthogonal(torch.randn(shape, generator=generator))
        values = torch.linalg.svdvals(made)
        assert values.min() > 0.3
        assert values.max() < 1.3
    left, _, right = torch.linalg.svd(torch.randn(8, 8, generator=generator))
    matrix = left @ torch.diag(torch.linspace(1, 3, 8)) @ right
    assert torch.linalg.matrix_norm(orthogonal(matrix[None])[0] - left @ right, 2) < 0.4


def test_muon_steps_as_torch_does():
    generator = torch.Generator().manual_seed(0)
    mine = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((6, 6), (6, 6), (12, 6))]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in mine]
    ours, torchs = Muon(mine, lr=0.1, weight_decay=0.1), torch.optim.Muon(theirs, lr=0.1, weight_decay=0.1)
    for _ in range(3):
        for one, other in zip(mine, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        ours.step()
        torchs.step()
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=0.02, rtol=0)  # theirs is in bfloat16


def test_every_parameter_is_learned_by_one_optimizer(backbone):
    muon, adamw = muon_and_adamw(backbone.model, 1e-3)
    counts = [sum(p.numel() for group in each.param_groups for p in group["params"]) for each in (muon, adamw)]
    assert sum(counts) == backbone.parameter_count
    names = {id(p): name for name, p in backbone.model.named_parameters()}
    hidden = {names[id(p)] for p in muon.param_groups[0]["params"]}
    assert "model.multi_modal_projector.mm_input_projection_weight" in hidden
    assert not any("embed" in name for name in hidden)


# The command


def test_golds_of_a_random_model_are_poor(backbone, monkeypatch):
    monkeypatch.setattr("agents.pretrain.pictures.MEASURED", 8)
    found = picture_golds(backbone)
    assert set(found) == {"sampled", "greedy", "greedy_blind", "told"}
    assert all(0 <= gold < 0.5 for gold in found.values())


def test_captions_of_the_shipped_backbone_are_right_and_of_a_random_one_are_not(backbone, monkeypatch):
    monkeypatch.setattr("agents.pretrain.pictures.MEASURED", 40)
    shipped = caption_accuracy(Backbone.load("tiny-vqav2"), VQAv2(split="validation"))
    assert 0.9 < shipped <= 1  # the labels of screens are what is left
    assert caption_accuracy(backbone, VQAv2(split="validation")) < 0.2


def test_the_command_makes_a_backbone_that_sees(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("agents.pretrain.pictures.MEASURED", 4)
    arguments = "--backbone tiny-vqav2 --steps 40 --batch-size 4 --hidden-size 32 --layers 1 --vocab-size 400".split()
    monkeypatch.setattr(sys, "argv", ["pretrain", *arguments, "--output-dir", str(tmp_path)])
    main()
    (last,) = (float(line.split()[1].rstrip(",")) for line in capsys.readouterr().out.splitlines() if "loss" in line)
    assert last < 5.5  # of 6.0 for a guess among 400 tokens
    record = json.loads((tmp_path / "pretraining.json").read_text())
    assert record["synthetic_data_only"] is True
    assert set(record["gold"]["vqav2"]) == {"sampled", "greedy", "greedy_blind", "told"}
    backbone = Backbone.load(str(tmp_path))
    assert backbone.encode_prompt("yes", np.zeros((64, 64, 3), np.uint8)).count(backbone.vision.token_id) == 16
    assert AutoProcessor.from_pretrained(tmp_path).image_seq_length == 16
