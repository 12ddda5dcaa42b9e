"""Long prompts and large models: the same numbers in less memory."""

import pytest
import torch
import transformers
from tiny_models import gemma, save_architecture, seeing_gemma

from backbones import Backbone, LoRASettings, log_probs
from backbones.forward import (
    end_states_and_log_probs,
    log_probs_of,
    packed_end_states_and_sums,
    speak,
)
from backbones.model.loading import load_tokenizer
from backbones.shortcuts.head_states import HeadRule, head_rule
from backbones.shortcuts.packing import Packed

PROMPTS = [[5, 6, 7, 8, 9], [10, 11], [12, 13, 14]]
RESPONSES = [[20, 21, 22], [30, 31, 32, 33, 1], [40]]
ARCHITECTURES = ["Llama", "Qwen3", "OPT", "OPT of two widths", "Granite", "Bloom", "GPTNeoX", "Phi", "Phi3", "GPT2"]


def perturb(role, seed=0):
    """Gives an adapter a B that is not 0, so that it says something of its own."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in role.parameters().values():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return role


def close(one, other):
    """Whether two tensors are equal but for rounding, measured by the largest number in them."""
    return (one - other).abs().max() <= 1e-5 * max(1, one.abs().max())


@pytest.fixture(params=[*ARCHITECTURES, "Gemma3", "sees"])
def backbone(request, tmp_path):
    if request.param in ("Gemma3", "sees"):
        return (gemma if request.param == "Gemma3" else seeing_gemma)(tmp_path)
    return Backbone.load(str(save_architecture(request.param, tmp_path)))


def figures_and_gradients(backbone, role):
    """log p, entropies, end states and sums of a role, and the gradient of a loss on all of them."""
    batch = backbone.batch(PROMPTS, RESPONSES)
    packed = Packed.of([(p, r) for p in PROMPTS for r in RESPONSES[:2]], 2, backbone) if backbone.packs else None
    with role.active() as model:
        mask = batch.response_mask
        found = [f * (mask if f.dim() == 2 else mask[..., None]) for f in speak(model, batch, 0.7, with_entropy=True)]
        found += end_states_and_log_probs(model, batch)
        found += packed_end_states_and_sums(model, packed) if packed is not None else []
        sum((i * figure).square().sum() for i, figure in enumerate(found, start=1)).backward()
    gradients = [p.grad for p in role.body_parameters().values() if p.grad is not None]
    for parameter in role.parameters().values():
        parameter.grad = None
    return [figure.detach() for figure in found] + gradients


def chunked(monkeypatch, vocabulary, tokens=4):
    monkeypatch.setattr(log_probs, "LARGE", 0)
    monkeypatch.setattr(log_probs, "CHUNK", tokens * vocabulary)


def test_in_chunks_everything_is_as_with_all_logits(backbone, monkeypatch):
    role = perturb(backbone.add_role("policy", LoRASettings(4)))
    plain = figures_and_gradients(backbone, role)
    assert head_rule(backbone.model) == HeadRule()
    chunked(monkeypatch, len(backbone.tokenizer))
    for one, other in zip(plain, figures_and_gradients(backbone, role), strict=True):
        assert close(one, other)


def test_a_head_that_is_trained_gets_the_same_gradient(tmp_path, monkeypatch):
    backbone = gemma(tmp_path)
    role = backbone.add_role("policy", None)
    plain = figures_and_gradients(backbone, role)
    chunked(monkeypatch, len(backbone.tokenizer))
    for one, other in zip(plain, figures_and_gradients(backbone, role), strict=True):
        assert close(one, other)


SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
SCALED = {
    "capped": lambda **k: transformers.Gemma2Config(**k, head_dim=8, final_logit_softcapping=7.0),
    "scaled": lambda **k: transformers.CohereConfig(**k, logit_scale=0.25),
    "divided": lambda **k: transformers.GraniteConfig(**k, logits_scaling=4.0),
}


@pytest.mark.parametrize("kind", SCALED)
def test_logits_that_a_model_scales_or_caps_are_as_it_has_them(kind, tmp_path, monkeypatch):
    tokenizer = load_tokenizer(str(save_architecture("Llama", tmp_path)))
    config = SCALED[kind](**SIZES, intermediate_size=64, vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=1)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        model.get_output_embeddings().weight *= 40  # so that caps show
    backbone = Backbone("none", model, tokenizer)
    wanted = {"capped": HeadRule(cap=7.0), "scaled": HeadRule(scale=0.25), "divided": HeadRule(scale=0.25)}[kind]
    rule = head_rule(model)
    assert (rule.cap, rule.scale) == (wanted.cap, pytest.approx(wanted.scale))
    plain = log_probs_of(backbone.reference, PROMPTS, RESPONSES)
    chunked(monkeypatch, len(tokenizer))
    assert torch.allclose(log_probs_of(backbone.reference, PROMPTS, RESPONSES), plain, rtol=1e-5, atol=1e-5)


def test_a_model_that_makes_logits_in_a_way_of_its_own_has_all_of_them(tmp_path, monkeypatch):
    backbone = gemma(tmp_path)
    forward = type(backbone.model).forward

    def squared(self, *args, **kwargs):
        output = forward(self, *args, **kwargs)
        output.logits = output.logits.square()
        return output

    monkeypatch.setattr(type(backbone.model), "forward", squared)
    assert head_rule(backbone.model) is None
    plain = log_probs_of(backbone.reference, PROMPTS, RESPONSES)
    monkeypatch.setattr(log_probs, "LARGE", 0)
    assert torch.equal(log_probs_of(backbone.reference, PROMPTS, RESPONSES), plain)
