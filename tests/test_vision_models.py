"""Image-text models that people use, random and two layers deep: the same numbers as the model's own forward."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from image_architectures import image_models, refused_models
from transformers import AutoModelForImageTextToText

from agents import train_ppo, train_sft
from backbones.backbone import Backbone
from backbones.draws import row_seeds
from backbones.forward import (
    end_states_and_log_probs,
    last_token_scores,
    log_probs_of,
    response_logits,
    response_states,
)
from backbones.generate import generate
from backbones.model.loading import BackboneError, LoadSettings
from backbones.model.tokens import TokenBatch, next_positions
from backbones.model.vision import sayable
from backbones.roles import LoRASettings
from rewards import train_reward_model

TEXTS = ["yes", "Human: Hello there. maybe", "no bad good", "QUESTION: What color is it?\n\nANSWER:"]
SHAPES = [(32, 32), (24, 48), (64, 32), (17, 40)]
IMAGES = [np.random.default_rng(i).integers(0, 256, (*shape, 3), dtype=np.uint8) for i, shape in enumerate(SHAPES)]
QWEN = ["Qwen2-VL", "Qwen2.5-VL", "Qwen3-VL", "Qwen3.5"]
_OF_QWEN = "<|vision_start|> <|image_pad|> <|video_pad|>"
MARKS = {  # that no response may hold, by model; "<image>" of the others
    "AyaVision": "<|IMG_PATCH|>",
    "Gemma3": "<image_soft_token>",
    "Gemma4": "<|image|> <|audio|> <|video|>",
    "Glm4v": "<|image|> <|video|> <|begin_of_image|> <|begin_of_video|>",
    "InternVL": "<IMG_CONTEXT>",
    "LlavaOnevision": "<image> <video>",
    "Qwen2VL": _OF_QWEN,
    "Qwen2_5_VL": _OF_QWEN,
    "Qwen3VL": _OF_QWEN,
    "Qwen3_5": _OF_QWEN,
}
WITHOUT_VIDEOS = [*QWEN, "Gemma 4", "GLM-4.1V", "InternVL", "LLaVA-OneVision", "SmolVLM"]


def written(name, folder):
    """The folder of a random model; a test of SmolVLM is skipped where num2words is not installed."""
    if name == "SmolVLM":
        pytest.importorskip("num2words")
    return image_models()[name](folder)


@pytest.fixture(scope="module", params=image_models())
def backbone(request, tmp_path_factory):
    return Backbone.load(written(request.param, tmp_path_factory.mktemp("sees")))


@pytest.fixture(scope="module", params=["Qwen2.5-VL", "Qwen3-VL"])
def qwen(request, tmp_path_factory):
    return Backbone.load(written(request.param, tmp_path_factory.mktemp("qwen")))


def prompts_of(backbone, images=IMAGES):
    return [backbone.encode_prompt(text, image) for text, image in zip(TEXTS, images, strict=True)]


def plain_logits(backbone, text, image, response):
    """Logits before each response token, as plain transformers has them: one row, its own processor, no positions."""
    processor, (before, after) = backbone.vision.processor, backbone.vision.around
    begin, finish = ("".join(backbone.tokenizer.convert_ids_to_tokens(ids)) for ids in (before, after))
    shown = f"{begin}{processor.image_token}{finish}{text}"
    read = processor(text=[shown], images=[[image]], return_tensors="pt")
    said = torch.tensor([response])
    given = {"input_ids": torch.cat([read.pop("input_ids"), said], 1)}
    for name, value in (("attention_mask", 1), ("token_type_ids", 0), ("mm_token_type_ids", 0)):
        if name in read:
            given[name] = torch.cat([read.pop(name), torch.full_like(said, value)], 1)
    unused = ("rows", "cols", "num_crops")
    with torch.no_grad():
        output = backbone.model(**given, **{name: value for name, value in read.items() if name not in unused})
    return sayable(backbone.model, output.logits[0, -len(response) - 1 : -1].float())


def test_log_probabilities_are_those_of_each_row_alone_in_plain_transformers(backbone):
    prompts = prompts_of(backbone)
    assert len(set(map(len, prompts))) > 2  # so that there is padding on the left
    responses = generate(backbone.reference, prompts, 12, 1.0, row_seeds(0, range(len(prompts)), 0))
    together = log_probs_of(backbone.reference, prompts, responses)
    for text, image, response, ours in zip(TEXTS, IMAGES, responses, together, strict=True):
        plain = plain_logits(backbone, text, image, response).log_softmax(-1)
        expected = plain.gather(1, torch.tensor(response)[:, None])[:, 0]
        torch.testing.assert_close(ours[: len(response)], expected, atol=1e-4, rtol=0)


def test_sampling_says_what_each_row_alone_in_plain_transformers_finds_likeliest(backbone):
    prompts = prompts_of(backbone)
    # Rows leave the batch when they end, at different tokens: what ends one is made an end of all.
    first = generate(backbone.reference, prompts, 8, 0.0)
    ends, backbone.end_ids = backbone.end_ids, [*backbone.end_ids, first[1][1], first[2][4]]
    try:
        responses = generate(backbone.reference, prompts, 8, 0.0)
    finally:
        backbone.end_ids = ends
    assert len(set(map(len, responses))) > 1
    for text, image, response in zip(TEXTS, IMAGES, responses, strict=True):
        assert plain_logits(backbone, text, image, response).argmax(-1).tolist() == response


def test_prompts_with_and_without_an_image_share_a_batch(backbone):
    shown = prompts_of(backbone)
    mixed = [backbone.encode_prompt(TEXTS[3]), shown[1], backbone.encode_prompt(TEXTS[0]), shown[2]]
    together = generate(backbone.reference, mixed, 6, 0.0)
    assert together == [generate(backbone.reference, [prompt], 6, 0.0)[0] for prompt in mixed]
    log_probs = log_probs_of(backbone.reference, mixed, together)
    for prompt, response, ours in zip(mixed, together, log_probs, strict=True):
        alone = log_probs_of(backbone.reference, [prompt], [response])[0]
        torch.testing.assert_close(ours[: len(response)], alone, atol=1e-4, rtol=0)


def test_every_figure_is_made_with_the_image(backbone):
    head = torch.nn.Linear(backbone.state_size, 1, bias=False)
    torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(0))
    responses = [[20, 30, 40]] * 4

    def figures(prompts):
        batch = backbone.batch(prompts, responses)
        rows = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
        with backbone.reference.active() as model, torch.no_grad():
            logits, states = response_logits(model, batch, 1.0), response_states(model, batch)
            ends, sums = end_states_and_log_probs(model, batch)
            scores = last_token_scores(model, head, rows, backbone.pad_id, backbone.device)
        torch.testing.assert_close(head(ends).squeeze(-1), scores, atol=1e-3, rtol=1e-4)  # from two kinds of batches
        return logits, states, ends, sums, scores

    blind = [np.zeros_like(image) for image in IMAGES]
    for one, other in zip(figures(prompts_of(backbone)), figures(prompts_of(backbone, blind)), strict=True):
        assert ((one - other).reshape(4, -1).abs().amax(1) > 1e-3).all()


def test_no_response_holds_what_stands_for_an_image_or_a_video(backbone):
    marks = MARKS.get(type(backbone.model).__name__.removesuffix("ForConditionalGeneration"), "<image>").split()
    ids = sorted(backbone.tokenizer.convert_tokens_to_ids(marks))
    assert backbone.vision.token_id in ids
    prompt = backbone.encode_prompt("yes", IMAGES[0])
    with backbone.reference.active() as model, torch.no_grad():
        log_probs = response_logits(model, backbone.batch([prompt], [[20]]), 0.5)[0, 0].log_softmax(-1)
    assert torch.isfinite(log_probs).all()
    assert (log_probs.exp() == 0).nonzero().flatten().tolist() == ids
    said = generate(backbone.reference, [prompt] * 32, 20, 5.0, row_seeds(0, range(32), 0))
    assert not any(set(ids) & set(row) for row in said)


def test_the_shortcuts_that_know_no_images_are_off(backbone):
    assert not backbone.packs
    with backbone.frozen_states.kept(1):
        assert not backbone.frozen_states.serves(2)


def test_qwen_places_image_tokens_in_three_dimensions(qwen):
    # 32 x 32 pixels are 4 x 4 tokens of 8 pixels; what begins the image is before it, what ends it after.
    prompt = qwen.encode_prompt("yes", IMAGES[0])
    text = qwen.encode_prompt("yes")
    assert prompt == [2, *[4] * 16, 3, *text]
    rows = [(prompt, [20, 21]), (text, [])]
    batch = TokenBatch.of([p for p, _ in rows], [r for _, r in rows], qwen.pad_id, qwen.device)
    assert batch.position_ids.shape == (3, 2, len(prompt) + 2)
    time, height, width = batch.position_ids[:, 0].tolist()
    after = list(range(5, 5 + len(text) + 3))  # from what ends the image on: 1 more than the largest of the image
    assert time == [0, *[1] * 16, *after]
    assert height == [0, *[1] * 4, *[2] * 4, *[3] * 4, *[4] * 4, *after]
    assert width == [0, *[1, 2, 3, 4] * 4, *after]
    assert batch.position_ids[0, 1, 18 : len(prompt)].tolist() == list(range(len(text)))


def test_what_follows_goes_on_after_the_largest_position():
    assert next_positions(torch.tensor([[3, 4], [0, 1]])).tolist() == [[5], [2]]
    assert next_positions(torch.tensor([[[1, 1]], [[1, 2]], [[2, 5]]])).tolist() == [[[6]]] * 3


def test_a_prompt_of_text_alone_has_plain_positions(qwen):
    batch = qwen.batch([qwen.encode_prompt("yes no")], [[20]])
    assert batch.position_ids.tolist() == [list(range(batch.input_ids.shape[1]))]


def test_an_image_has_the_processors_own_defaults(tmp_path):
    # InternVL's file says that images are not cut into tiles, and its processor that they are: 1 x 2 and the whole.
    backbone = Backbone.load(written("InternVL", tmp_path))
    assert not json.loads((tmp_path / "preprocessor_config.json").read_text())["crop_to_patches"]
    prompt = backbone.encode_prompt("yes", IMAGES[1])
    assert prompt.count(backbone.vision.token_id) == 3 * 4
    batch = backbone.batch([prompt], [[20]])
    assert batch.image_inputs["pixel_values"].shape == (3, 3, 16, 16)


@pytest.mark.parametrize("name", WITHOUT_VIDEOS)
def test_a_merged_backbone_has_the_processor_of_its_source(name, tmp_path):
    source, saved = tmp_path / "source", tmp_path / "saved"
    for folder in (source, saved):
        folder.mkdir()
    before = Backbone.load(written(name, source))
    before.model.save_pretrained(saved)
    before.save_processor(saved)
    for file in source.glob("*processor_config.json"):
        assert (saved / file.name).read_bytes() == file.read_bytes()
    after = Backbone.load(saved)
    prompts = prompts_of(after)
    assert prompts == prompts_of(before)
    assert torch.equal(log_probs_of(before.reference, prompts_of(before), [[20]] * 4),
                       log_probs_of(after.reference, prompts, [[20]] * 4))  # fmt: skip
    assert type(AutoModelForImageTextToText.from_pretrained(saved)) is type(before.model)


REASONS = {
    "BLIP-2": "reads no text alone",
    "Florence-2": "(is an encoder-decoder|reads both ways)",
    "Llama 3.2 Vision": "otherwise than as tokens of its prompt",
    "PaliGemma": "reads both ways",
}


@pytest.mark.parametrize("name", refused_models())
def test_other_families_are_refused_in_one_line_that_says_what_to_take(name, tmp_path):
    refused_models()[name](tmp_path)
    with pytest.raises(BackboneError, match=f"{REASONS[name]}.*; .*take .* Gemma") as error:
        Backbone.load(tmp_path)
    assert "\n" not in str(error.value)


def test_a_missing_package_is_one_line_that_says_what_to_install(tmp_path, monkeypatch):
    if importlib.util.find_spec("num2words"):
        monkeypatch.setattr("transformers.models.smolvlm.processing_smolvlm.num2words", None)
    image_models()["SmolVLM"](tmp_path)
    with pytest.raises(BackboneError, match=r"pip install num2words") as error:
        Backbone.load(tmp_path)
    assert "\n" not in str(error.value)


def options(module, path, folder, **more):
    return module.Options(
        env="VQAv2-v0", backbone=str(path), output_dir=str(folder), threads=1, device="cpu", **more
    )  # fmt: skip


@pytest.mark.parametrize("name", ["Qwen2.5-VL", "SmolVLM"])
def test_all_three_stages_run_on_it_and_ppo_resumes(name, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    few = {"records": 16, "eval_records": 4}
    base = train_sft.train(options(train_sft, written(name, model), tmp_path / "sft", **few))
    assert Backbone.load(base).encode_prompt("yes", IMAGES[0]) == Backbone.load(model).encode_prompt("yes", IMAGES[0])
    few = {"pairs": 8, "policy_pairs": 0, "eval_pairs": 4}
    train_reward_model.train(options(train_reward_model, base, tmp_path / "rm", **few))
    few = {"n_envs": 4, "eval_prompts": 4, "max_new_tokens": 6, "checkpoint_every": 1}
    learned = {"reward": str(tmp_path / "rm"), "total_timesteps": 8}
    train_ppo.train(options(train_ppo, base, tmp_path / "ppo", **learned, **few))
    half = {"lora_layers": "half", "value_adapter": "shared", "reward": "gold", **few}
    train_ppo.train(options(train_ppo, base, tmp_path / "whole", total_timesteps=8, **half))
    train_ppo.train(options(train_ppo, base, tmp_path / "cut", total_timesteps=4, **half))
    train_ppo.train(train_ppo.read_options(["--resume", str(tmp_path / "cut"), "--total-timesteps", "8"]))
    whole, cut = (_adapter(tmp_path / run) for run in ("whole", "cut"))
    assert whole == cut
    assert (tmp_path / "ppo" / "summary.json").is_file()


def _adapter(run):
    return (run / "policy" / "adapter_model.safetensors").read_bytes()


def test_an_image_that_leaves_no_room_for_text_is_one_line(qwen, monkeypatch):
    # Of 40 tokens a prompt may have 20; 32 x 32 pixels are 16 and the two around them, 48 x 64 are 48 and two.
    monkeypatch.setattr(qwen.model.config.get_text_config(), "max_position_embeddings", 40)
    assert len(qwen.encode_prompt("yes no maybe", IMAGES[0])) == 20
    with pytest.raises(BackboneError, match=r"an image of 48 x 64 pixels is 50 tokens, .* may have 20;") as error:
        qwen.encode_prompt("yes", np.zeros((64, 48, 3), dtype=np.uint8))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("limits", [{"max_prompt_tokens": 12}, {"max_response_tokens": 1004}])
def test_limits_that_leave_a_question_no_room_beside_its_image_are_one_line(limits):
    backbone = Backbone.load("tiny-vqav2", settings=LoadSettings(**limits))
    with pytest.raises(BackboneError, match=r"22 tokens, and a prompt may have .* \(--max-response-tokens\)"):
        backbone.encode_prompt("What is red?", np.zeros((64, 64, 3), dtype=np.uint8))
    both = Backbone.load("tiny-vqav2", settings=LoadSettings(max_prompt_tokens=12, max_response_tokens=64))
    prompt = both.encode_prompt("What is red?", np.zeros((64, 64, 3), dtype=np.uint8))
    assert both.decode(prompt).endswith("What is red?")


def test_adapters_learn_from_pixels(qwen):
    role = qwen.add_role("policy", LoRASettings(2))
    prompts = prompts_of(qwen)
    with role.active() as model:
        response_logits(model, qwen.batch(prompts, [[20, 21]] * 4), 1.0).log_softmax(-1)[..., 20].sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for n, p in role.parameters().items() if "lora_B" in n)
