"""One frozen model, named roles: who speaks, who learns, what is saved."""

import gc
import hashlib
import os
import shutil
import struct
import weakref
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tiny_models import gemma, llama_like, llama_tokenizer, save_architecture, save_gemma
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

import backbones.backbone as backbone_module
from agents import train_ppo
from backbones.backbone import Backbone
from backbones.forward import (
    chosen_log_probs,
    end_states_and_log_probs,
    last_token_scores,
    log_probs_of,
    response_logits,
)
from backbones.model.anatomy import hash_base
from backbones.model.devices import find_device
from backbones.model.loading import BackboneError, base_path_for
from backbones.model.targets import adapted_names
from backbones.model.tokens import TokenBatch, length_mask
from backbones.roles import LoRASettings, load_role
from perlhf.errors import UserError

PROMPTS, RESPONSES = [[5, 6, 7], [8, 9, 10, 11, 12]], [[20, 21, 1], [22, 1]]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return gemma(tmp_path_factory.mktemp("gemma"))


def gemma_in(folder):
    return Backbone.load(str(folder))


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


@pytest.mark.parametrize("name", ["tyny", "/no/such/folder", "./missing", Path("missing")])
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
        assert backbone.adapters.active_role is policy
    assert backbone.adapters.active_role is None


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


@pytest.mark.parametrize("name", ["Llama", "Qwen3", "OPT", "OPT of two widths", "Granite", "GPTNeoX", "Phi", "GPT2"])
def test_one_forward_gives_end_states_and_log_probabilities(name, tmp_path):
    backbone = Backbone.load(str(save_architecture(name, tmp_path)))
    role = perturb(backbone.add_role("reward", LoRASettings(2), head=True))
    batch = TokenBatch.of(PROMPTS, RESPONSES, backbone.pad_id, backbone.device)
    with role.active() as model, torch.no_grad():
        states, log_probs = end_states_and_log_probs(model, batch)
        whole = [prompt + response for prompt, response in zip(PROMPTS, RESPONSES, strict=True)]
        plain = last_token_scores(model, role.head, whole, backbone.pad_id, backbone.device)
    torch.testing.assert_close(role.head(states).squeeze(-1), plain, atol=1e-5, rtol=0)
    torch.testing.assert_close(log_probs, log_probs_of(role, PROMPTS, RESPONSES), atol=1e-5, rtol=0)


def test_unknown_attention_names_are_listed(tmp_path):
    model = AutoModelForCausalLM.from_pretrained(save_gemma(tmp_path))
    for layer in model.model.layers:
        layer.odd = layer.self_attn
        del layer.self_attn
    with pytest.raises(UserError, match=r"'attention' matches no linear map of Gemma3.*gate_proj.*q_proj k_proj"):
        adapted_names(model)


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


# Devices and places.


def test_a_device_has_one_name(backbone):
    assert Backbone.load(backbone.path, "cpu") is backbone
    assert Backbone.load(backbone.path, "cpu:0") is backbone
    assert Backbone.load(backbone.path, torch.device("cpu", 0)) is backbone


@pytest.mark.parametrize("device", ["cpuu", "xpu:99"])
def test_a_device_that_is_not_there_is_one_clear_line(backbone, device):
    with pytest.raises(BackboneError, match=f"device '{device}' cannot be used") as error:
        Backbone.load(backbone.path, device)
    assert "\n" not in str(error.value)


def test_who_knows_of_no_device_shares_the_copy_of_who_does(tmp_path):
    path = str(save_gemma(tmp_path / "one"))
    elsewhere = Backbone.load(path, "meta")
    assert Backbone.load(path) is elsewhere
    beside = Backbone.load(str(save_gemma(tmp_path / "two")))
    assert beside.device == torch.device("meta")
    here = Backbone.load(path, "cpu")
    assert here is not elsewhere
    assert Backbone.load(path) is here  # both are in memory: the one that was asked for last
    assert Backbone.load(path, "meta") is elsewhere
    assert Backbone.load(path) is elsewhere
    for each in (elsewhere, here, beside):
        each.release()
    assert Backbone.load(path).device == torch.device("cpu")  # nothing says where


def test_auto_is_a_gpu_where_there_is_one_else_the_cpu(backbone, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Backbone.load(backbone.path, "auto") is backbone
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    asked = []
    monkeypatch.setattr(torch, "empty", lambda *_, device: asked.append(device) or torch.zeros(0))
    find_device("auto")
    assert asked == [torch.device("cuda")]


# Held until it is released.


@pytest.fixture
def loads(monkeypatch):
    """The paths that models are read from, as a list that grows."""
    paths, plain = [], backbone_module.load_model
    monkeypatch.setattr(backbone_module, "load_model", lambda path, *how: paths.append(path) or plain(path, *how))
    return paths


def test_one_run_loads_its_backbone_once_whenever_garbage_is_collected(tmp_path, loads, monkeypatch):
    plain = Backbone.load

    def load_after_collecting(*arguments, **options):
        gc.collect()
        return plain(*arguments, **options)

    monkeypatch.setattr(Backbone, "load", load_after_collecting)
    path = str(save_gemma(tmp_path / "backbone"))
    few = {"total_timesteps": 16, "n_envs": 8, "batch_size": 8, "max_new_tokens": 4, "eval_prompts": 4, "threads": 1}
    train_ppo.train(train_ppo.Options(backbone=path, reward="gold", output_dir=str(tmp_path / "run"), **few))
    assert loads == [path]


def test_a_released_backbone_is_loaded_anew_and_its_memory_is_free_at_once(tmp_path, loads):
    backbone = gemma(tmp_path)
    role = perturb(backbone.add_role("policy", LoRASettings(4)))
    log_probs_of(role, PROMPTS, RESPONSES)
    backbone.attached["note"] = role  # which would hold it
    watched = weakref.ref(backbone.model)
    backbone.release()
    assert backbone not in Backbone.in_memory()
    assert log_probs_of(role, PROMPTS, RESPONSES).shape == (2, 3)  # who holds it goes on
    again = gemma_in(tmp_path)
    assert again is not backbone
    assert len(loads) == 2
    gc.disable()  # the memory is free without it
    try:
        del backbone, role
        assert watched() is None
    finally:
        gc.enable()


def test_releasing_twice_or_what_was_never_held_does_nothing(tmp_path):
    backbone = gemma(tmp_path)
    backbone.release()
    other = gemma_in(tmp_path)
    backbone.release()
    assert Backbone.in_memory()[0] is other


def test_a_folder_that_was_written_anew_is_loaded_anew(tmp_path, loads):
    first, second = gemma(tmp_path, seed=0), gemma(tmp_path, seed=1)
    assert first is not second
    assert first.hash != second.hash
    assert first not in Backbone.in_memory()
    (tmp_path / "summary.json").write_text("{}")  # nothing that a backbone is made of
    assert gemma_in(tmp_path) is second
    assert len(loads) == 2


def test_a_backbone_is_found_by_its_weights_wherever_they_lay(tmp_path):
    first = gemma(tmp_path / "one", seed=11)
    copied = Backbone.load(str(shutil.copytree(tmp_path / "one", tmp_path / "two")))
    assert Backbone.of_hash(first.hash, first.path) is first
    assert Backbone.of_hash(first.hash, copied.path) is copied
    assert Backbone.of_hash(first.hash, "/gone") in (first, copied)
    assert Backbone.of_hash("0" * 64, first.path) is None


def test_adapters_name_a_shipped_base_by_its_full_path_but_in_the_package():
    root, tiny = Path(backbone_module.__file__).parents[1], Backbone.load("tiny").path
    assert base_path_for(root / "rewards" / "bundled" / "hh", tiny) == "backbones/tiny"
    assert base_path_for(root / "runs" / "reward", tiny) == tiny == str(root / "backbones" / "tiny")
    assert base_path_for(root / "rewards" / "bundled" / "hh", "/models/other") == "/models/other"


# Damaged and unfit files: one line.


def one_line(folder, message):
    with pytest.raises(BackboneError, match=message) as error:
        Backbone.load(str(folder))
    assert "\n" not in str(error.value)


def cut(file):
    file.write_bytes(file.read_bytes()[:1000])


def test_a_damaged_backbone_is_one_clear_line(tmp_path):
    cut(save_gemma(tmp_path / "weights") / "model.safetensors")
    one_line(tmp_path / "weights", "cannot be loaded")
    (save_gemma(tmp_path / "config") / "config.json").write_text("{")
    one_line(tmp_path / "config", "cannot be loaded")
    (save_gemma(tmp_path / "tokenizer") / "tokenizer.json").write_text("{}")
    one_line(tmp_path / "tokenizer", "tokenizer")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    for file in save_gemma(tmp_path).glob("token*"):
        file.unlink()
    one_line(tmp_path, "has no tokenizer: save tokenizer.json beside the model")


def test_a_tokenizer_that_cannot_say_yes_is_refused(tmp_path):
    from tokenizers import Tokenizer, models

    tokenizer = AutoTokenizer.from_pretrained(save_gemma(tmp_path))
    type(tokenizer)(
        tokenizer_object=Tokenizer(models.WordLevel({"<end>": 0, "<unk>": 1}, unk_token="<unk>")),
        eos_token="<end>", unk_token="<unk>",
    ).save_pretrained(tmp_path)  # fmt: skip
    one_line(tmp_path, "has a tokenizer that reads 'yes or no' as ''")


def test_a_hub_id_that_fails_may_have_been_meant_as_a_folder(monkeypatch):
    def fail(*arguments, **options):
        raise OSError("no such repository\nand more")

    monkeypatch.setattr(AutoConfig, "from_pretrained", fail)
    one_line("runs/missing", r"'runs/missing' cannot be loaded \(and there is no such folder\): no such repository$")


def test_a_model_that_reads_both_ways_is_refused(tmp_path):
    one_line(save_architecture("Bert", tmp_path), "no causal language model: BertLMHeadModel reads both ways")


def test_full_training_with_a_head_needs_a_classifier_from_the_start(tmp_path):
    backbone = Backbone.load(str(save_architecture("Granite", tmp_path)))
    backbone.add_role("policy", None)
    with pytest.raises(UserError, match="no sequence classifier for GraniteForCausalLM") as error:
        backbone.add_role("reward", None, head=True)
    assert "\n" not in str(error.value)


def test_saving_a_full_role_changes_nothing_but_the_folder(backbone, tmp_path):
    role = backbone.add_role("value", None, head=True)
    state, config = torch.get_rng_state(), role.model.config.to_dict()
    role.save(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert role.model.config.to_dict() == config
    assert role.head.weight.device.type == "cpu"


@pytest.mark.parametrize("full", [False, True])
def test_heads_are_as_wide_as_the_last_hidden_state(tmp_path, full):
    backbone = Backbone.load(str(save_architecture("OPT of two widths", tmp_path / "opt")))
    assert (backbone.hidden_size, backbone.state_size) == (32, 16)
    role = backbone.add_role("reward", None if full else LoRASettings(2), head=True)
    role.save(tmp_path / "role")
    again, _ = load_role(tmp_path / "role", "reward", True, backbone)
    with again.active() as model, torch.no_grad():
        scores = last_token_scores(model, again.head, RESPONSES, backbone.pad_id, backbone.device)
    assert scores.isfinite().all()
    assert torch.equal(again.head.weight, role.head.weight)
    if full:
        plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "role")
        assert torch.equal(plain.score.weight, role.head.weight)


def without(file, name):
    tensors = load_file(file)
    save_file({n: t for n, t in tensors.items() if n != name}, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: cut(d / "adapter_model.safetensors"), "its weights cannot be read"),
        (lambda d: (d / "adapter_model.safetensors").unlink(), r"no weights \(no adapter_model.safetensors\)"),
        (lambda d: without(d / "adapter_model.safetensors", "base_model.model.score.weight"), "score.weight, got noth"),
        (lambda d: (d / "perlhf.json").write_text("{"), "perlhf.json: not valid JSON"),
        (lambda d: (d / "perlhf.json").write_bytes(b"\xff"), "perlhf.json: not valid JSON"),
        (lambda d: (d / "perlhf.json").write_text("[]"), "perlhf.json says nothing of base_sha256, lora"),
        (lambda d: (d / "perlhf.json").write_text('{"lora": null}'), "perlhf.json says nothing of base_sha256:"),
        (
            lambda d: (d / "perlhf.json").write_text('{"base_sha256": "0", "lora": {"rnk": 1}}'),
            "'lora' is not what it should be",
        ),
    ],
)
def test_a_damaged_adapter_is_one_clear_line(backbone, tmp_path, damage, message):
    backbone.add_role("reward", LoRASettings(2), head=True).save(tmp_path)
    damage(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        load_role(tmp_path, "reward", True, backbone)
    assert "\n" not in str(error.value)


def test_a_full_role_with_a_missing_tensor_is_one_clear_line(backbone, tmp_path):
    backbone.add_role("value", None, head=True).save(tmp_path)
    without(tmp_path / "model.safetensors", "model.norm.weight")
    with pytest.raises(UserError, match=r"expected \(32,\) for norm.weight, got nothing"):
        load_role(tmp_path, "value", True, backbone)


# Tokens.


def test_a_padding_token_without_an_embedding_is_not_used(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(save_gemma(tmp_path))
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(tmp_path)
    backbone = Backbone.load(str(tmp_path))
    assert backbone.tokenizer.pad_token_id >= backbone.model.get_input_embeddings().num_embeddings
    assert backbone.pad_id == backbone.end_ids[0] == 1
    assert log_probs_of(backbone.reference, PROMPTS, RESPONSES).isfinite().all()


@pytest.mark.parametrize("text", ["yes", " yes no", "Human: Hello.\n\nAssistant:", "", "漢"])
def test_texts_of_the_tiny_backbone_are_the_tokenizers_own(text):
    backbone = Backbone.load("tiny")
    plain = backbone.tokenizer(text, split_special_tokens=True)["input_ids"]
    assert backbone.encode_prompt(text) == (plain or [backbone.pad_id])
    spaced = backbone.tokenizer(" " + text.strip(), split_special_tokens=True)["input_ids"]
    assert backbone.encode_response(text) == (spaced if text.strip() else [])


def test_the_start_token_stays_where_a_prompt_is_cut(tmp_path):
    backbone = llama_like(tmp_path)
    assert backbone.encode_prompt("yes no") == llama_tokenizer()("yes no")["input_ids"]
    assert backbone.encode_prompt("yes no")[0] == 2
    assert backbone.encode_prompt("") == [2]
    long = backbone.encode_prompt("maybe " * 500 + "no yes")
    assert (len(long), long[0]) == (backbone.max_prompt_tokens, 2)
    assert long[-2:] == backbone.encode_prompt("no yes")[1:]
    assert long.count(2) == 1


def test_a_tokenizer_that_adds_a_space_itself_gets_no_second_one(tmp_path):
    backbone = llama_like(tmp_path)
    assert backbone.tokenizer.convert_ids_to_tokens(backbone.encode_response("no")) == ["▁no"]
    whole = backbone.tokenizer("yes no maybe")["input_ids"]
    assert backbone.encode_prompt("yes") + backbone.encode_response("no maybe") == whole
    assert backbone.decode(backbone.encode_response("no maybe")) == "no maybe"


def test_an_end_token_that_is_no_special_token_is_not_in_the_text(tmp_path):
    folder = save_gemma(tmp_path)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    (no,) = tokenizer(" no")["input_ids"]
    model.generation_config.eos_token_id = [1, no]
    model.generation_config.save_pretrained(folder)
    backbone = Backbone.load(str(folder))
    assert backbone.decode([*backbone.encode_response("yes"), no]) == "yes"
    assert backbone.decode([*backbone.encode_response("yes no maybe"), 1]) == "yes no maybe"


def test_a_parameter_of_no_dimension_has_a_hash():
    model = torch.nn.Module()
    model.scale = torch.nn.Parameter(torch.tensor(2.5))
    by_hand = hashlib.sha256(b"scale () torch.float32" + struct.pack("<f", 2.5)).hexdigest()
    assert hash_base(model) == by_hand
