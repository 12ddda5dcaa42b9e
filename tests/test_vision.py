"""Backbones that see: pixels in every forward, left padding, adapters on the language side, plain peft."""

import numpy as np
import pytest
import torch
from peft import AutoPeftModelForSequenceClassification
from safetensors.torch import load_file
from tiny_models import gemma, save_llava, save_seeing_gemma, seeing_gemma
from transformers import AutoModelForImageTextToText, AutoModelForSequenceClassification, AutoProcessor

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
from backbones.model.loading import BackboneError
from backbones.model.tokens import TokenBatch
from backbones.model.vision import ImagePrompt
from backbones.roles import LoRASettings, load_role
from perlhf.errors import UserError

TEXTS = ["yes", "Human: Hello there. maybe", "no bad good"]
IMAGES = list(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8))
IMAGE_TOKEN, BEGIN, FINISH = 4, 2, 3  # of `seeing_gemma`
SAID = [20, 1]
ARCHITECTURES = {"Gemma3": save_seeing_gemma, "Llava": save_llava}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def backbone(request, tmp_path_factory):
    return Backbone.load(str(ARCHITECTURES[request.param](tmp_path_factory.mktemp("sees"))))


@pytest.fixture(scope="module")
def gemma3(tmp_path_factory):
    return seeing_gemma(tmp_path_factory.mktemp("gemma3"))


def prompts_of(backbone, images=IMAGES):
    return [backbone.encode_prompt(text, image) for text, image in zip(TEXTS, images, strict=True)]


def responses_of(backbone, prompts):
    return generate(backbone.reference, prompts, 6, 1.0, row_seeds(0, range(len(prompts)), 0))


def perturbed(role):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in role.parameters().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return role


def test_equal_prompts_with_an_image_are_read_once(backbone):
    first, second = prompts_of(backbone)[:2]
    other = backbone.encode_prompt(TEXTS[0], IMAGES[0] // 2)  # the same tokens, another image
    prompts, seeds = [first, second, other, first, other], row_seeds(0, range(5), 0)
    assert backbone.repeats_rows
    alone = [generate(backbone.reference, [p], 6, 1.0, [s])[0] for p, s in zip(prompts, seeds, strict=True)]
    read = []
    hook = backbone.model.register_forward_pre_hook(
        lambda _, __, given: read.append(len(given["input_ids"])), with_kwargs=True
    )
    assert generate(backbone.reference, prompts, 6, 1.0, seeds) == alone
    hook.remove()
    assert read[0] == 3
    assert generate(backbone.reference, prompts, 6, 0.0)[3] == generate(backbone.reference, [first], 6, 0.0)[0]


def test_a_prompt_is_the_tokens_of_its_image_and_then_its_text(gemma3):
    prompt, text = gemma3.encode_prompt("yes no", IMAGES[0]), gemma3.encode_prompt("yes no")
    line = gemma3.encode_prompt("\n\n")
    assert prompt == [*line, BEGIN, *[IMAGE_TOKEN] * 16, FINISH, *line, *text]
    assert isinstance(prompt, ImagePrompt)
    assert prompt.image is IMAGES[0]
    assert not isinstance(text, ImagePrompt)
    assert isinstance(prompt + SAID, ImagePrompt)
    assert prompt + SAID == [*prompt, *SAID]


def test_it_is_what_the_processor_makes_of_both(gemma3):
    processor = AutoProcessor.from_pretrained(gemma3.path)
    read = processor(text=["<image>yes no"], images=[[IMAGES[0]]], return_tensors="pt")
    ours = TokenBatch.of([gemma3.encode_prompt("yes no", IMAGES[0])], [[]], gemma3.pad_id, gemma3.device)
    assert ours.input_ids[0, :-1].tolist() == read["input_ids"][0].tolist()
    assert ours.image_inputs["token_type_ids"][0, :-1].tolist() == read["token_type_ids"][0].tolist()
    torch.testing.assert_close(ours.image_inputs["pixel_values"], read["pixel_values"])
    expected = torch.from_numpy(IMAGES[0]).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(ours.image_inputs["pixel_values"][0], expected)


def test_text_never_becomes_an_image_token(gemma3):
    assert IMAGE_TOKEN not in gemma3.encode_prompt("<patch><image></image>")
    assert gemma3.encode_prompt("<patch>", IMAGES[0]).count(IMAGE_TOKEN) == 16


def test_what_is_cut_of_a_long_prompt_is_text(gemma3):
    long, tail = gemma3.encode_prompt("maybe " * 500 + "no yes", IMAGES[0]), gemma3.encode_prompt("no yes")[1:]
    assert len(long) == gemma3.max_prompt_tokens == 128
    assert long.count(IMAGE_TOKEN) == 16
    assert long[-len(tail) :] == tail


@pytest.mark.parametrize("change", [np.zeros_like, lambda image: image[::-1].copy()])
def test_without_its_pixels_every_figure_is_another(backbone, change):
    role = perturbed(backbone.add_role("reward", LoRASettings(2), head=True))
    seen, changed = prompts_of(backbone), prompts_of(backbone, [change(image) for image in IMAGES])
    assert seen == changed  # the ids say nothing of what is to be seen
    responses = responses_of(backbone, seen)

    def figures(prompts):
        batch = TokenBatch.of(prompts, responses, backbone.pad_id, backbone.device)
        rows = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
        with role.active() as model, torch.no_grad():
            logits, states = response_logits(model, batch, 1.0), response_states(model, batch)
            ends, sums = end_states_and_log_probs(model, batch)
            scores = last_token_scores(model, role.head, rows, backbone.pad_id, backbone.device)
        return logits, states, ends, sums, scores

    for one, other in zip(figures(seen), figures(changed), strict=True):
        differs = (one - other).flatten(1).abs().amax(1) if one.ndim > 1 else (one - other).abs()
        assert (differs > 1e-4).all()


def test_rows_score_alone_as_they_do_in_a_batch(backbone):
    role = perturbed(backbone.add_role("reward", LoRASettings(2), head=True))
    prompts = prompts_of(backbone)
    assert len(set(map(len, prompts))) == 3  # so that there is padding on the left
    responses = responses_of(backbone, prompts)
    together = log_probs_of(role, prompts, responses)
    for i, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        alone = log_probs_of(role, [prompt], [response])[0]
        torch.testing.assert_close(together[i, : len(response)], alone, atol=2e-6, rtol=0)


def test_one_forward_gives_end_states_and_log_probabilities(backbone):
    role = perturbed(backbone.add_role("reward", LoRASettings(2), head=True))
    prompts = prompts_of(backbone)
    responses = responses_of(backbone, prompts)
    batch = TokenBatch.of(prompts, responses, backbone.pad_id, backbone.device)
    rows = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
    with role.active() as model, torch.no_grad():
        states, log_probs = end_states_and_log_probs(model, batch)
        plain = last_token_scores(model, role.head, rows, backbone.pad_id, backbone.device)
    torch.testing.assert_close(role.head(states).squeeze(-1), plain, atol=1e-5, rtol=0)
    torch.testing.assert_close(log_probs, log_probs_of(role, prompts, responses), atol=1e-5, rtol=0)


def test_the_cache_of_generation_sees_what_a_plain_forward_sees(backbone):
    prompts = prompts_of(backbone)
    responses = generate(backbone.reference, prompts, 6, 0.0)
    batch = TokenBatch.of(prompts, responses, backbone.pad_id, backbone.device)
    with backbone.reference.active() as model, torch.no_grad():
        likeliest = response_logits(model, batch, 1.0).argmax(-1)
    assert torch.equal(likeliest[batch.response_mask], batch.response_ids[batch.response_mask])


def test_text_alone_works_too(backbone):
    prompts = [backbone.encode_prompt(text) for text in TEXTS]
    responses = responses_of(backbone, prompts)
    together = log_probs_of(backbone.reference, prompts, responses)
    alone = log_probs_of(backbone.reference, prompts[:1], responses[:1])[0]
    torch.testing.assert_close(together[0, : len(responses[0])], alone, atol=2e-6, rtol=0)


def test_no_response_holds_an_image_token(gemma3):
    prompt = gemma3.encode_prompt("yes", IMAGES[0])
    batch = TokenBatch.of([prompt], [[IMAGE_TOKEN - 1]], gemma3.pad_id, gemma3.device)
    with gemma3.reference.active() as model, torch.no_grad():
        log_probs = response_logits(model, batch, 0.5)[0, 0].log_softmax(-1)
    assert log_probs.exp()[IMAGE_TOKEN] == 0
    assert torch.isfinite(log_probs).all()
    torch.testing.assert_close(log_probs.exp().sum(), torch.tensor(1.0))
    said = generate(gemma3.reference, [prompt] * 64, 20, 2.0, row_seeds(0, range(64), 0))
    assert not any(IMAGE_TOKEN in row for row in said)


def test_adapters_are_on_the_language_model_and_on_the_tower_where_asked(backbone):
    language, both = (backbone.add_role("policy", LoRASettings(2, vision=vision)) for vision in (False, True))
    names = {name.rsplit(".lora_", 1)[0] for name in language.body_parameters()}
    assert len(names) == 2 * 4
    assert all("language_model" in name for name in names)
    more = {name.rsplit(".lora_", 1)[0] for name in both.body_parameters()} - names
    assert len(more) == 4  # one layer of q, k, v and out
    assert all("vision_tower" in name for name in more)
    prompts = prompts_of(backbone)
    responses = responses_of(backbone, prompts)
    before = log_probs_of(language, prompts, responses)
    assert torch.equal(before, log_probs_of(both, prompts, responses))
    perturbed(both)
    assert torch.equal(before, log_probs_of(language, prompts, responses))
    assert not torch.equal(before, log_probs_of(both, prompts, responses))


def test_an_adapter_on_the_tower_is_saved_and_loaded(gemma3, tmp_path):
    role = perturbed(gemma3.add_role("policy", LoRASettings(2, vision=True)))
    prompts = prompts_of(gemma3)
    responses = responses_of(gemma3, prompts)
    role.save(tmp_path)
    again, _ = load_role(tmp_path, "policy", False, gemma3)
    assert torch.equal(log_probs_of(role, prompts, responses), log_probs_of(again, prompts, responses))


def test_a_text_model_has_no_tower_to_adapt(tmp_path):
    with pytest.raises(UserError, match="takes no images, so it has no vision tower") as error:
        gemma(tmp_path).add_role("policy", LoRASettings(2, vision=True))
    assert "\n" not in str(error.value)


def test_a_text_model_says_that_it_takes_no_images(tmp_path):
    with pytest.raises(BackboneError, match="takes no images") as error:
        gemma(tmp_path).encode_prompt("yes", IMAGES[0])
    assert "\n" not in str(error.value)


def test_a_model_without_a_processor_is_one_clear_line(tmp_path):
    save_seeing_gemma(tmp_path)
    (tmp_path / "processor_config.json").unlink()
    with pytest.raises(BackboneError, match="no processor that loads") as error:
        Backbone.load(str(tmp_path))
    assert "\n" not in str(error.value)


def test_plain_peft_opens_a_reward_adapter_with_the_same_scores(gemma3, tmp_path):
    role = perturbed(gemma3.add_role("reward", LoRASettings(2), head=True))
    prompts = prompts_of(gemma3)
    rows = [prompt + SAID for prompt in prompts]
    with role.active() as model, torch.no_grad():
        ours = last_token_scores(model, role.head, rows, gemma3.pad_id, gemma3.device)
    role.save(tmp_path)
    plain = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path, num_labels=1).eval()
    assert type(plain.base_model.model).__name__ == "Gemma3ForSequenceClassification"
    for row, score in zip(rows, ours, strict=True):
        ids = torch.tensor([row])
        with torch.no_grad():
            logits = plain(input_ids=ids, **gemma3.vision.inputs([row.image], ids)).logits
        torch.testing.assert_close(logits.squeeze(), score, atol=1e-5, rtol=0)


def test_all_weights_are_trained_and_saved_as_plain_models(gemma3, tmp_path):
    policy, reward = gemma3.add_role("policy", None), perturbed(gemma3.add_role("reward", None, head=True))
    assert any("vision_tower" in name for name in policy.parameters())
    policy.save(tmp_path / "policy")
    reward.save(tmp_path / "reward")
    again = Backbone.load(str(tmp_path / "policy"))
    assert again.encode_prompt("yes", IMAGES[0]) == gemma3.encode_prompt("yes", IMAGES[0])
    assert again.hash == gemma3.hash
    classifier = AutoModelForSequenceClassification.from_pretrained(tmp_path / "reward")
    assert torch.equal(classifier.score.weight, reward.head.weight)


def test_the_built_model_opens_with_the_auto_classes(gemma3):
    model = AutoModelForImageTextToText.from_pretrained(gemma3.path)
    assert type(model).__name__ == "Gemma3ForConditionalGeneration"
    assert type(AutoProcessor.from_pretrained(gemma3.path).image_processor).__name__ == "Gemma3ImageProcessorPil"
    saved = load_file(f"{gemma3.path}/model.safetensors")
    assert not any("lm_head" in name for name in saved)  # tied to the embedding
