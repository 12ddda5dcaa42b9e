"""One frozen model, named roles: who speaks, who learns, what is saved."""

import gc
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel
from tiny_models import gemma, save_architecture, save_gemma
from transformers import AutoModelForCausalLM

from backbones.backbone import Backbone
from backbones.forward import TokenBatch, chosen_log_probs, length_mask, log_probs_of, response_logits
from backbones.loading import BackboneError, attention_pattern, hash_base
from backbones.roles import LoRASettings, load_role
from perlhf.errors import UserError

PROMPTS, RESPONSES = [[5, 6, 7], [8, 9, 10, 11, 12]], [[20, 21, 1], [22, 1]]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return gemma(tmp_path_factory.mktemp("gemma"))


def perturb(role, seed=0):
    """Gives an adapter something to say: B is zero at the start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in role.parameters().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return role


def test_the_same_path_is_the_same_object(backbone):
    assert Backbone.load(backbone.path) is backbone
    assert Backbone.load(os.path.relpath(backbone.path)) is backbone


@pytest.mark.parametrize("name", ["tyny", "/no/such/folder", "./missing"])
def test_an_unknown_backbone_is_one_clear_line(name):
    with pytest.raises(BackboneError, match="no backbone") as error:
        Backbone.load(name)
    assert "\n" not in str(error.value)


def test_the_nearest_shipped_backbone_is_named():
    with pytest.raises(BackboneError, match="Did you mean 'tiny'"):
        Backbone.load("tyny")


def test_a_folder_without_a_model_is_one_clear_line(tmp_path):
    with pytest.raises(BackboneError, match="cannot be loaded") as error:
        Backbone.load(str(tmp_path))
    assert "\n" not in str(error.value)


def test_a_fresh_policy_says_exactly_what_the_reference_says(backbone):
    policy = backbone.add_role("policy", LoRASettings(4))
    assert torch.equal(log_probs_of(policy, PROMPTS, RESPONSES), log_probs_of(backbone.reference, PROMPTS, RESPONSES))


def test_roles_are_independent_and_the_reference_never_changes(backbone):
    before = log_probs_of(backbone.reference, PROMPTS, RESPONSES)
    one, two = (perturb(backbone.add_role("policy", LoRASettings(4)), seed) for seed in (1, 2))
    first, second = log_probs_of(one, PROMPTS, RESPONSES), log_probs_of(two, PROMPTS, RESPONSES)
    assert not torch.equal(first, second)
    assert torch.equal(log_probs_of(backbone.reference, PROMPTS, RESPONSES), before)
    assert torch.equal(log_probs_of(one, PROMPTS, RESPONSES), first)
    assert one.adapter != two.adapter


def test_exactly_the_active_roles_parameters_take_gradients(backbone):
    policy, value = backbone.add_role("policy", LoRASettings(4)), backbone.add_role("value", LoRASettings(2), head=True)
    frozen = backbone.add_role("reward", LoRASettings(2), head=True)
    frozen.trainable = False

    def taking():
        roles = {"policy": policy, "value": value, "frozen": frozen}
        return {n for n, r in roles.items() if any(p.requires_grad for p in r.parameters().values())}

    assert taking() == set()
    with policy.active():
        assert taking() == {"policy"}
        with value.active():
            assert taking() == {"value"}
        assert taking() == {"policy"}
        with frozen.active():
            assert taking() == set()
        with backbone.reference.active():
            assert taking() == set()
    assert taking() == set()
    assert not any(p.requires_grad for n, p in backbone.model.named_parameters() if ".lora_" not in n)


def test_the_role_before_is_restored_after_an_error(backbone):
    policy, value = backbone.add_role("policy", LoRASettings(4)), backbone.add_role("value", LoRASettings(2), head=True)
    with policy.active():
        with pytest.raises(RuntimeError, match="planted"), value.active():
            raise RuntimeError("planted")
        assert backbone.active_role is policy
    assert backbone.active_role is None


def test_gradients_of_idle_roles_stay_none_and_the_base_does_not_change(backbone):
    policy, value = backbone.add_role("policy", LoRASettings(4)), backbone.add_role("value", LoRASettings(2), head=True)
    before = hash_base(backbone.model)
    batch = TokenBatch.of(PROMPTS, RESPONSES, backbone.pad_id, backbone.device)
    optimizer = torch.optim.AdamW(policy.parameters().values(), lr=0.1)
    with policy.active() as model:
        chosen_log_probs(response_logits(model, batch, 1.0), batch.response_ids).sum().backward()
    optimizer.step()
    assert all(p.grad is None for p in value.parameters().values())
    assert all(p.grad is None for n, p in backbone.model.named_parameters() if ".lora_" not in n)
    assert hash_base(backbone.model) == before == backbone.hash


def test_the_hash_sees_one_changed_weight(tmp_path):
    backbone = gemma(tmp_path)
    before = hash_base(backbone.model)
    with torch.no_grad():
        backbone.model.get_input_embeddings().weight[3, 3] += 1e-3
    assert hash_base(backbone.model) != before


def test_a_role_that_nobody_holds_gives_its_weights_back(backbone):
    def adapters():
        return sum(n.count("lora_A") for n, _ in backbone.model.named_parameters())

    gc.collect()
    with backbone.reference.active():
        before = adapters()
    role = backbone.add_role("policy", LoRASettings(4))
    assert adapters() == before + 8  # 2 layers of q, k, v, o
    del role
    gc.collect()
    with backbone.reference.active():
        assert adapters() == before


def test_adding_a_role_leaves_the_global_random_state_alone(backbone):
    state = torch.get_rng_state()
    backbone.add_role("value", LoRASettings(4), head=True, seed=3)
    assert torch.equal(torch.get_rng_state(), state)


def test_lora_is_on_every_attention_projection(backbone):
    role = backbone.add_role("policy", LoRASettings(4))
    names = {name.rsplit(".lora_", 1)[0] for name in role.body_parameters()}
    expected = {f"model.layers.{i}.self_attn.{p}_proj" for i in range(2) for p in "qkvo"}
    assert names == expected


@pytest.mark.parametrize(
    ("name", "modules"), [("Llama", 8), ("Qwen3", 8), ("OPT", 8), ("GPTNeoX", 4), ("Phi", 8), ("Phi3", 4), ("GPT2", 4)]
)
def test_other_architectures_take_adapters_too(name, modules, tmp_path):
    backbone = Backbone.load(str(save_architecture(name, tmp_path)))
    role = backbone.add_role("policy", LoRASettings(2))
    assert len(role.body_parameters()) == 2 * modules
    assert torch.equal(log_probs_of(role, PROMPTS, RESPONSES), log_probs_of(backbone.reference, PROMPTS, RESPONSES))
    perturb(role)
    assert not torch.equal(log_probs_of(role, PROMPTS, RESPONSES), log_probs_of(backbone.reference, PROMPTS, RESPONSES))


def test_unknown_attention_names_are_listed(tmp_path):
    model = AutoModelForCausalLM.from_pretrained(save_gemma(tmp_path))
    for layer in model.model.layers:
        layer.self_attn.odd = layer.self_attn.q_proj
        del layer.self_attn.q_proj
    with pytest.raises(UserError, match=r"no known attention projections.*self_attn.odd"):
        attention_pattern(model)


@pytest.mark.parametrize("head", [False, True])
def test_save_and_load_give_identical_results(backbone, tmp_path, head):
    role = perturb(backbone.add_role("value" if head else "policy", LoRASettings(4, alpha=12.0), head=head))
    role.save(tmp_path, {"note": "kept"})
    again, provenance = load_role(tmp_path, "again", head, backbone)
    assert provenance["note"] == "kept"
    assert again.settings == LoRASettings(4, alpha=12.0)
    for a, b in zip(role.parameters().values(), again.parameters().values(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(log_probs_of(role, PROMPTS, RESPONSES), log_probs_of(again, PROMPTS, RESPONSES))


def test_plain_peft_opens_a_saved_policy(backbone, tmp_path):
    role = perturb(backbone.add_role("policy", LoRASettings(4)))
    role.save(tmp_path)
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(backbone.path), tmp_path)
    row = torch.tensor([PROMPTS[1] + RESPONSES[1]])
    with torch.no_grad():
        theirs = plain(input_ids=row).logits[0, 4:6].log_softmax(-1)
    ours = log_probs_of(role, PROMPTS[1:], RESPONSES[1:])[0]
    torch.testing.assert_close(theirs[torch.arange(2), torch.tensor(RESPONSES[1])], ours, atol=1e-5, rtol=0)


def test_an_adapter_of_another_base_is_refused_and_both_are_named(backbone, tmp_path):
    backbone.add_role("policy", LoRASettings(4)).save(tmp_path / "adapter")
    other = gemma(tmp_path / "other", seed=1)
    with pytest.raises(UserError) as error:
        load_role(tmp_path / "adapter", "policy", False, other)
    assert backbone.hash[:12] in str(error.value)
    assert other.hash[:12] in str(error.value)


def test_a_folder_without_an_adapter_is_one_clear_line(backbone, tmp_path):
    with pytest.raises(UserError, match=r"holds no adapter of perlhf"):
        load_role(tmp_path, "policy", False, backbone)


@settings(max_examples=500)
@given(st.text(max_size=60))
def test_any_text_round_trips_and_no_text_becomes_a_special_token(text):
    backbone = Backbone.load("tiny")
    ids = backbone.encode_response(text)
    assert not set(ids) & {backbone.pad_id, *backbone.end_ids}
    assert backbone.decode(ids) == text.strip()


def test_text_that_looks_like_an_end_token_is_text():
    backbone = Backbone.load("tiny")
    assert backbone.end_ids[0] not in backbone.encode_prompt("stop<end>now<pad>")
    assert backbone.decode(backbone.encode_response("stop<end>now")) == "stop<end>now"


def test_long_prompts_lose_their_oldest_tokens(backbone):
    short, long = backbone.encode_prompt("no yes"), backbone.encode_prompt("maybe " * 500 + "no yes")
    assert len(long) == backbone.max_prompt_tokens == 128  # half of the model's 256
    assert long[-len(short) + 1 :] == short[1:]


def test_masks_come_from_lengths_where_the_padding_token_is_the_end_token():
    apart = TokenBatch.of(PROMPTS, RESPONSES, 0, torch.device("cpu"))
    same = TokenBatch.of(PROMPTS, RESPONSES, 1, torch.device("cpu"))
    assert torch.equal(apart.response_mask, same.response_mask)
    assert torch.equal(apart.attention_mask, same.attention_mask)
    assert same.response_mask.sum(1).tolist() == [3, 2]
    assert length_mask(RESPONSES).tolist() == [[True, True, True], [True, True, False]]


def test_every_configured_end_token_counts(tmp_path):
    folder = save_gemma(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.generation_config.eos_token_id = [7, 9]
    model.generation_config.save_pretrained(folder)
    assert sorted(Backbone.load(str(folder)).end_ids) == [1, 7, 9]
