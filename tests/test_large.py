"""Long prompts and large models: the same numbers in less memory."""

import importlib.util

import numpy as np
import pytest
import torch
import transformers
from tiny_models import gemma, save_architecture, save_gemma, save_seeing_gemma, seeing_gemma

from agents import PPO, make_vec_env
from agents.callbacks import estimate
from agents.hyperparameters import ModelSettings
from agents.policy import fitting
from backbones import Backbone, LoRASettings, log_probs, memory, passes
from backbones.forward import end_states_and_log_probs, log_probs_of, packed_end_states_and_sums, speak
from backbones.live_bytes import saved_bytes
from backbones.memory import rows_that_fit
from backbones.model.anatomy import hash_base
from backbones.model.devices import precision_on
from backbones.model.loading import SMALL, LoadSettings, load_tokenizer
from backbones.roles import load_role
from backbones.shortcuts.head_states import HeadRule, head_rule
from backbones.shortcuts.packing import Packed
from benchmarks import large_vocabulary
from evaluation import zero_shot
from perlhf.errors import UserError
from perlhf.options import parse_options, to_yaml

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


def gradients(role):
    """Of log p of the responses, in the adapter."""
    with role.active() as model:
        speak(model, role.backbone.batch(PROMPTS, RESPONSES)).log_probs.sum().backward()
    return [p.grad for p in role.body_parameters().values()]


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


# Memory, in a process of its own.


def test_the_benchmark_shows_half_the_memory_at_most(capsys):
    large_vocabulary.main("--rows 4 --tokens 128 --vocabulary 50000 --width 32 --repeats 1".split())
    _, *lines = capsys.readouterr().out.splitlines()
    (whole, _, loss), (chunks, _, same) = ([float(x) for x in line.split()[-3:]] for line in lines)
    assert chunks < whole / 2
    assert loss == pytest.approx(same, abs=1e-5)


# Limits.


def test_limits_are_the_models_half_and_half_and_as_given(tmp_path):
    path = str(save_gemma(tmp_path))  # made for 256 tokens
    limits = {}
    for given in ((None, None), (200, None), (None, 200), (40, 30)):
        backbone = Backbone.load(path, settings=LoadSettings(max_prompt_tokens=given[0], max_response_tokens=given[1]))
        limits[given] = backbone.max_prompt_tokens, backbone.max_response_tokens
        assert len(backbone.encode_prompt("yes " * 500)) == backbone.max_prompt_tokens
        assert len(backbone.encode_response("no " * 500)) == backbone.max_response_tokens - 1
    assert limits == {(None, None): (128, 128), (200, None): (200, 56), (None, 200): (56, 200), (40, 30): (40, 30)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((256, None), "--max-prompt-tokens 256 do not fit"),
        ((200, 100), "--max-prompt-tokens 200 and --max-response-tokens 100 do not fit"),
    ],
)
def test_limits_beyond_the_context_are_one_line(given, said, tmp_path):
    with pytest.raises(UserError, match=f"{said}.* was made for 256 tokens of prompt and response together") as error:
        Backbone.load(str(save_gemma(tmp_path)), settings=LoadSettings("fp32", None, False, *given))
    assert "\n" not in str(error.value)


def test_more_new_tokens_than_there_is_room_for_are_one_line(tmp_path):
    with pytest.raises(UserError, match="max_new_tokens 129 does not fit: of the 256 tokens") as error:
        fitting(129, gemma(tmp_path))
    assert "\n" not in str(error.value)
    assert fitting(128, gemma(tmp_path)) == 128
    with pytest.raises(UserError, match="max_new_tokens 129 does not fit"):
        zero_shot.measure(zero_shot.Options(env="HH-v0", backbone=str(tmp_path), max_new_tokens=129, device="cpu"))


def test_what_is_cut_is_counted_and_said(tmp_path):
    backbone = gemma(tmp_path)
    assert backbone.describe_cuts() == ""
    for text in ("yes", "yes " * 500):
        backbone.encode_prompt(text)
    backbone.encode_response("no")
    assert (backbone.cut_prompts, backbone.cut_responses) == (1, 0)
    assert backbone.describe_cuts() == (
        "warning: 1 of 2 prompts were longer than 128 tokens and lost their oldest (--max-prompt-tokens)."
    )


# How a model is held.


def test_precision_is_called_dtype_too(tmp_path):
    assert parse_options(ModelSettings, ["--dtype", "bf16"]).precision == "bf16"
    file = tmp_path / "config.yaml"
    file.write_text("dtype: mixed\nattn: null\n")
    assert parse_options(ModelSettings, ["--config", str(file)]).precision == "mixed"
    file.write_text("dtype: mixed\nprecision: bf16\n")
    with pytest.raises(UserError, match=r"config.yaml:2: key 'precision' is given twice"):
        parse_options(ModelSettings, ["--config", str(file)])
    settings = ModelSettings(attn="eager", max_prompt_tokens=5, gradient_checkpointing=True)
    assert settings.load_settings == LoadSettings("fp32", "eager", True, 5, None)
    file.write_text(to_yaml(settings))
    assert parse_options(ModelSettings, ["--config", str(file)]) == settings


def test_auto_is_fp32_for_a_small_model_and_full_training(tmp_path):
    backbone = Backbone.load(str(save_gemma(tmp_path)), settings=LoadSettings("auto"))
    assert backbone.precision == "fp32"
    assert precision_on("auto", torch.device("cpu"), SMALL) in ("mixed", "fp32")
    assert precision_on("bf16", torch.device("cpu"), 1) == "bf16"
    assert ModelSettings(precision="auto", full=True).load_settings.precision == "fp32"


@pytest.mark.parametrize("layers", [None, 1])
@pytest.mark.parametrize("name", ["Llama", "OPT", "GPT2", "Gemma3", "sees"])
def test_layers_that_run_again_give_the_same_gradients(name, layers, tmp_path):
    if name == "Gemma3":
        path = str(save_gemma(tmp_path))
    else:
        path = str(save_seeing_gemma(tmp_path) if name == "sees" else save_architecture(name, tmp_path))
    found, kept = [], []
    for again in (False, True):
        backbone = Backbone.load(path, settings=LoadSettings(gradient_checkpointing=again))
        role = perturb(backbone.add_role("policy", LoRASettings(4, layers=layers)))
        found.append(figures_and_gradients(backbone, role))
        with backbone.frozen_states.kept(role.frozen_layers):
            found.append(figures_and_gradients(backbone, role))
        with role.active() as model:
            batch = backbone.batch(PROMPTS, RESPONSES)
            kept.append(saved_bytes(lambda: speak(model, batch).log_probs))  # noqa: B023 - called here
    assert all(close(one, other) for figures in found[1:] for one, other in zip(found[0], figures, strict=True))
    assert layers == 1 or kept[1] < kept[0]


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
def test_attention_of_either_kind_gives_the_same(attn, tmp_path, caplog):
    path = str(save_architecture("Llama", tmp_path))
    plain, other = Backbone.load(path), Backbone.load(path, settings=LoadSettings(attn=attn))
    roles = [perturb(b.add_role("policy", LoRASettings(4))) for b in (plain, other)]
    rows = [log_probs_of(role, PROMPTS, RESPONSES) for role in roles]
    assert close(*rows)
    assert other.packs == (attn == "sdpa")
    assert ("rows of their own, which takes longer: the attention is eager" in caplog.text) == (attn == "eager")


def test_flash_attention_that_is_not_there_is_one_line(tmp_path):
    if transformers.utils.is_flash_attn_2_available():
        pytest.skip("it is there")
    with pytest.raises(UserError, match=r"flash_attention_2 needs a GPU and a package.*pip install flash-attn"):
        Backbone.load(str(save_gemma(tmp_path)), settings=LoadSettings(attn="flash_attention_2"))


def test_quantizing_without_its_package_is_one_line(tmp_path):
    if importlib.util.find_spec("bitsandbytes"):
        pytest.skip("it is there")
    with pytest.raises(UserError, match="--precision int4 needs bitsandbytes and accelerate: pip install"):
        Backbone.load(str(save_gemma(tmp_path)), settings=LoadSettings("int4"))


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_adapters_learn_on_a_quantized_base(precision, tmp_path):
    pytest.importorskip("bitsandbytes")
    path = str(save_architecture("Llama", tmp_path))
    sizes = SIZES | {"hidden_size": 64, "intermediate_size": 128}  # 4 bits come in blocks of 64
    ids = {"vocab_size": len(load_tokenizer(path)), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, **ids)).save_pretrained(path)
    plain, small = Backbone.load(path), Backbone.load(path, settings=LoadSettings(precision))
    assert small.hash == plain.hash  # of the file, so that adapters of one are adapters of the other
    one, two = (log_probs_of(b.reference, PROMPTS, RESPONSES) for b in (plain, small))
    assert torch.allclose(one, two, atol=0.5)
    assert not torch.equal(one, two)
    before = hash_base(small.model)
    role = perturb(small.add_role("policy", LoRASettings(4)))
    with role.merged() as model:
        assert hash_base(model) == before  # nothing is merged into such weights
    alike = perturb(plain.add_role("policy", LoRASettings(4)))
    slopes = [torch.cat([g.flatten() for g in gradients(r)]) for r in (role, alike)]
    assert torch.cosine_similarity(*slopes, dim=0) > 0.9
    role.save(tmp_path / "policy")
    load_role(tmp_path / "policy", "policy", False, plain)
    with pytest.raises(UserError, match=f"trains all weights, which takes float32; --precision is {precision}"):
        small.add_role("policy", None)


# Half precision: what is packed, and what ratios are taken against.


@pytest.mark.parametrize("precision", ["mixed", "bf16"])
def test_responses_share_rows_in_half_precision(precision, tmp_path):
    path = str(save_architecture("Llama", tmp_path))
    assert Backbone.load(path, settings=LoadSettings(precision)).packs


def test_a_model_that_takes_no_such_mask_says_so(tmp_path, caplog, monkeypatch):
    backbone = gemma(tmp_path)

    def refuse(*_, **__):
        raise ValueError("too many values to unpack")

    monkeypatch.setattr(backbone.model.base_model, "forward", refuse)
    assert not backbone.packs
    assert "does not take a mask for each token (too many values to unpack)" in caplog.text
    assert not backbone.packs
    assert len(caplog.records) == 1


@pytest.mark.parametrize("precision", ["fp32", "mixed"])
def test_ratios_are_taken_against_what_the_same_batches_gave(precision, tmp_path):
    env = make_vec_env("HH-v0", 8, seed=0, reward="toy_tasks:starts_with_i")
    settings = {"backbone": str(save_gemma(tmp_path)), "max_new_tokens": 8, "precision": precision}
    algorithm = PPO("LoRAPolicy", env, policy_kwargs=settings, batch_size=4, micro_batch_size=2, seed=0, device="cpu")
    algorithm.learn(8)
    rollout = algorithm.rollout
    assert (rollout.batches is None) == (precision == "fp32")
    algorithm.order_generator = np.random.default_rng(0)  # as it was before
    chunks = [c for rows in rollout.minibatches(1, 4, np.random.default_rng(0)) for c in rollout.chunks(rows, 2)]
    assert rollout.batches in (None, chunks)


def test_micro_batches_are_of_sixteen_on_small_backbones_and_fit_the_memory_on_others(tmp_path, monkeypatch):
    backbone = gemma(tmp_path)
    role = backbone.add_role("policy", LoRASettings(4))
    assert rows_that_fit(role, 200, 20) == 16
    monkeypatch.setattr(memory, "SMALL", 0)
    monkeypatch.setattr(memory, "free_bytes", lambda: 1 << 40)
    assert rows_that_fit(role, 200, 20) == 16
    roles = memory.RoleSettings(role.settings, role.settings, None)
    one = memory.plan_memory(backbone.path, roles, passes.Shape(180, 20, 1, 1)).activations
    monkeypatch.setattr(memory, "free_bytes", lambda: 4 * 5 * one)
    assert rows_that_fit(role, 200, 20) == 5
    assert rows_that_fit(role, 200, 20, 8, rows=2) == 2
    monkeypatch.setattr(memory, "free_bytes", lambda: 0)
    assert rows_that_fit(role, 200, 20) == 1


def test_free_memory_is_a_number_of_this_machine():
    assert 0 < memory.free_bytes() < 1 << 50


@pytest.mark.parametrize(
    ("given", "said"), [((2.0, 8, 80), "20 s"), ((60.0, 8, 80), "10 min"), ((94.0, 8, 3072), "10.0 h")]
)
def test_a_run_is_estimated_after_its_first_update(given, said):
    assert estimate(*given).endswith(f"will take about {said}, evaluation apart")
