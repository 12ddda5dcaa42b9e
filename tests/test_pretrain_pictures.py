"""How the backbone that sees is made: lessons, texts packed behind a picture, Muon, the command."""

import json
import sys
from itertools import islice

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_models import seeing_gemma
from transformers import AutoProcessor

from agents.pretrain.__main__ import main, weighted_loss
from agents.pretrain.muon import Muon, muon_and_adamw, orthogonal
from agents.pretrain.pictures import PROMPT_WEIGHT, PictureBatches, caption_accuracy, kind_golds, picture_golds, visible
from backbones.backbone import Backbone
from backbones.forward import log_probs_of
from backbones.model.loading import SHIPPED
from envs.lesson import Lesson
from envs.vqav2.asking import another, families_for
from envs.vqav2.lessons import CAPTION, inquiries, lessons
from envs.vqav2.lookups import look_up
from envs.vqav2.scenes.charts import BarChart, Part, PieChart
from envs.vqav2.scenes.corpus import FAMILIES, VQACorpus, draw_pair
from envs.vqav2.scenes.scene import Draw, Scene, Thing
from envs.vqav2.scenes.screens import Row, Screen
from envs.vqav2.task import VQAv2, prompt_of
from perlhf.errors import UserError

QUESTIONS = [(CAPTION, "yes no"), ("Hello there.", "maybe"), ("bad", "good")]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return seeing_gemma(tmp_path_factory.mktemp("sees"))


@pytest.fixture(scope="module")
def taught():
    return list(islice(lessons(np.random.default_rng(0), 1000), 1000))


@pytest.fixture(scope="module")
def asked():
    return list(islice(inquiries(np.random.default_rng(0), 400), 400))


# Lessons


def test_lessons_begin_with_one_thing_told_and_end_with_questions(taught):
    assert all(lesson.texts[0][0] == CAPTION for lesson in taught)
    things = [lesson.texts[0][1].count(",") + 1 for lesson in taught]
    assert set(things[:120]) == {1}
    assert set(things[120:240]) == {1, 2}
    assert set(things[240:400]) == {1, 2, 3, 4}
    assert {len(lesson.texts) for lesson in taught[:400]} == {1}
    assert max(len(lesson.texts) for lesson in taught[400:]) == 5
    assert min(len(lesson.texts) for lesson in taught[400:]) == 2


def test_lessons_are_the_same_for_the_same_generator(taught):
    again = list(islice(lessons(np.random.default_rng(0), 1000), 450))
    assert [lesson.texts for lesson in again] == [lesson.texts for lesson in taught[:450]]
    assert np.array_equal(again[449].picture, taught[449].picture)


def test_charts_and_screens_come_last(taught):
    def others(part):
        return sum("chart" in lesson.texts[0][1] or "button" in lesson.texts[0][1] for lesson in part)

    assert others(taught[:750]) == 0
    assert others(taught[750:]) > 0


def test_most_answers_are_what_the_picture_shows(taught):
    right = [
        int(answer == str(lesson.texts[0][1].count(",") + 1))
        for lesson in taught[400:]
        for question, answer in lesson.texts[1:]
        if question == prompt_of("How many objects are there?")
    ]
    assert len(right) > 20
    assert 0.7 < np.mean(right) < 1  # people miscount


def test_no_lesson_has_a_question_in_words_that_are_held_out(taught, asked):
    corpus = VQACorpus("test")
    unseen = {r.question for r in corpus[:800] if "unseen combinations" in r.meta["groups"] and r.meta["level"] < 3}
    unseen -= {wording for family in FAMILIES.values() for wording in family.wordings}  # those without words
    texts = [text for lesson in (*taught, *asked) for text in lesson.texts]
    assert len(unseen) > 50
    assert not unseen & {prompt.split("\n")[0].removeprefix("QUESTION: ") for prompt, _ in texts}


# Inquiries


def is_screen(lesson):
    """Returns whether one of the look-ups, which come before a caption, tells a row of a screen, or finds none."""
    words = {word for prompt, response in lesson.texts for word in (prompt + response).replace(",", "").split()}
    return bool(words & {"button", "buttons", "box", "boxes", "switch", "button?", "box?", "switch?"})


def test_a_picture_is_asked_about_often_and_never_twice_the_same(asked):
    counts = [len(lesson.texts) for lesson in asked]
    assert np.mean(counts) > 7
    assert max(counts) == 9  # six questions, two look-ups, a caption
    for lesson in asked:
        assert len({prompt for prompt, _ in lesson.texts}) == len(lesson.texts)
    assert 0.15 < np.mean([lesson.texts[-1][0] == CAPTION for lesson in asked[:148]]) < 0.35


def test_later_inquiries_have_more_of_what_is_slow_to_learn(asked):
    easy = {prompt_of(wording) for wording in FAMILIES["count"].wordings}
    parts = asked[:148], asked[148:]
    first, then = (np.mean([prompt in easy for lesson in part for prompt, _ in lesson.texts]) for part in parts)
    assert then < 0.7 * first
    told = [[CAPTION in dict(lesson.texts) for lesson in part if is_screen(lesson)] for part in parts]
    assert np.mean(told[0]) < 0.6
    assert np.mean(told[1]) == 1
    assert len(told[1]) / 252 > len(told[0]) / 148


def test_all_kinds_of_questions_are_asked_of_pictures_drawn_for_others():
    draw, found = Draw(np.random.default_rng(0)), set()
    for family in FAMILIES.values():
        for _ in range(6):
            picture = draw_pair(family, np.random.default_rng(draw.below(10**6)), "train").pictures[0]
            for _ in range(8):
                if (other := another(families_for(picture), picture, draw, balanced=True)) is not None:
                    found.add(other[2].name)
    assert found == set(FAMILIES)


def test_yes_and_no_are_right_about_equally_often(asked):
    said = [answer for lesson in asked for _, answer in lesson.texts if answer in ("yes", "no")]
    assert len(said) > 500
    assert 0.44 < np.mean([answer == "yes" for answer in said]) < 0.56


def test_inquiries_are_answered_by_what_the_caption_says(asked):
    """Of pictures of things that were told as well: how many there are, and whether there is one of a colour."""
    checked = 0
    for lesson in asked:
        texts = dict(lesson.texts)
        told = texts.get(CAPTION, "")
        if not {"left", "center", "right"} & {*told.replace(",", "").split()}:  # not told, or a chart or screen
            continue
        for prompt, answer in lesson.texts:
            question = prompt.split("\n")[0].removeprefix("QUESTION: ")
            if question in FAMILIES["count"].wordings:
                assert int(answer) == told.count(",") + 1
                checked += 1
            elif question.startswith("Is anything "):
                assert (answer == "yes") == (question.removeprefix("Is anything ").rstrip("?") in told.split())
                checked += 1
    assert checked > 5


SCENE = Scene((
    Thing("red", "star", "small", "metal", 11, 11), Thing("red", "ring", "large", "wood", 32, 11),
    Thing("blue", "star", "small", "wood", 53, 53),
))  # fmt: skip
SCREEN = Screen((Row("button", "red", "Mail"), Row("box", "blue", "Wifi", True), Row("box", "pink", "Book", False)))
LOOKED_UP = (
    (SCENE, {
        "red": "2, small metal star top left, large wood ring top center",
        "star": "2, small red metal top left, small blue wood bottom right",
        "blue star": "1, small wood bottom right",
        "blue ring": "0",
        "wood": "2, large red ring top center, small blue star bottom right",
        "to the left of the red ring": "1, small red metal star top left",
        "below the red star": "1, small blue wood star bottom right",
        "above the red star": "0",
    }),
    (BarChart((Part("red", 3), Part("blue", 5), Part("pink", 1))), {
        "red": "3, taller 1, blue 5", "blue": "5, taller 0", "green": "0",
        "tallest": "1, blue 5", "shortest": "1, pink 1",
    }),
    (PieChart((Part("red", 4), Part("blue", 3), Part("pink", 1))), {
        "pink": "1, bigger 2, red 4, blue 3", "biggest": "1, red 4",
    }),
    (SCREEN, {
        "Mail": "1, red button Mail above Wifi", "Games": "0", "pink": "1, pink box off Book above 0",
        "box": "2, blue box on Wifi above Book, pink box off Book above 0", "button": "1, red button Mail above Wifi",
        "box on": "1, blue Wifi", "box off": "1, pink Book", "switch on": "0",
    }),
)  # fmt: skip


@pytest.mark.parametrize(("picture", "expected"), LOOKED_UP)
def test_what_is_looked_up_is_counted_and_told(picture, expected):
    draw = Draw(np.random.default_rng(0))
    found = dict(look_up(picture, draw) for _ in range(2000))
    for words, response in expected.items():
        assert found[prompt_of(f"{words}?")] == response


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


def test_golds_by_kind_are_of_the_kinds_of_the_first_records():
    found = kind_golds(Backbone.load("tiny-vqav2-told"), VQAv2(split="validation"), 6)
    kinds = [record.meta["family"] for record in VQACorpus("validation")[:6]]
    assert set(found) == {f"{kind} ({kinds.count(kind)})" for kind in kinds}
    assert all(0 <= gold <= 1 for gold in found.values())


def test_captions_of_the_shipped_backbone_are_right_and_of_a_random_one_are_not(backbone, monkeypatch):
    monkeypatch.setattr("agents.pretrain.pictures.MEASURED", 40)
    shipped = caption_accuracy(Backbone.load("tiny-vqav2"), VQAv2(split="validation"))
    assert 0.9 < shipped <= 1  # the labels of screens are what is left
    assert caption_accuracy(backbone, VQAv2(split="validation")) < 0.2


def test_the_command_makes_a_backbone_that_sees(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("agents.pretrain.pictures.MEASURED", 4)
    monkeypatch.setattr("agents.pretrain.pictures.MEASURED_BY_KIND", 4)
    arguments = "tiny-vqav2-told --steps 40 --batch-size 4 --hidden-size 32 --layers 1 --vocab-size 400".split()
    monkeypatch.setattr(sys, "argv", ["pretrain", *arguments, "--output-dir", str(tmp_path)])
    main()
    (last,) = (float(line.split()[1].rstrip(",")) for line in capsys.readouterr().out.splitlines() if "loss" in line)
    assert last < 5.5  # of 6.0 for a guess among 400 tokens
    record = json.loads((tmp_path / "pretraining.json").read_text())
    assert record["synthetic_data_only"] is True
    assert sum(int(kind.split("(")[1].rstrip(")")) for kind in record["greedy_by_kind"]) == 4
    assert set(record["gold"]["vqav2"]) == {"sampled", "greedy", "greedy_blind", "told"}
    backbone = Backbone.load(str(tmp_path))
    assert backbone.encode_prompt("yes", np.zeros((64, 64, 3), np.uint8)).count(backbone.vision.token_id) == 16
    assert AutoProcessor.from_pretrained(tmp_path).image_seq_length == 16


def test_a_backbone_that_sees_goes_on_with_inquiries(tmp_path, monkeypatch):
    monkeypatch.setattr("agents.pretrain.pictures.MEASURED", 4)
    monkeypatch.setattr("agents.pretrain.pictures.MEASURED_BY_KIND", 4)
    words = "tiny-vqav2 --steps 1 --batch-size 2 --output-dir".split()
    monkeypatch.setattr(sys, "argv", ["pretrain", *words, str(tmp_path)])
    main()
    start, after = (load_file(place / "model.safetensors") for place in (SHIPPED["tiny-vqav2-told"], tmp_path))
    assert start.keys() == after.keys()
    assert all(torch.allclose(start[name], after[name], atol=1e-3) for name in start)  # a hundredth of the first rate
    assert any(not torch.equal(start[name], after[name]) for name in start)
    assert json.loads((tmp_path / "pretraining.json").read_text())["start"] == "tiny-vqav2-told"
    assert "is_local" not in (tmp_path / "tokenizer_config.json").read_text()  # where the start was read from


def test_a_start_that_does_not_see_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pretrain", "tiny-vqav2", "--start", "tiny", "--output-dir", str(tmp_path)])
    with pytest.raises(UserError, match="does not see"):
        main()
