"""GGUF files as others read them: transformers, and llama.cpp where it is installed."""

import sys

import pytest
import torch
import transformers

pytest.importorskip("gguf")

from tiny_models import TEXTS
from transformers import AutoModelForCausalLM, AutoTokenizer

from agents import train_ppo
from agents.pretrain.build import build_tokenizer
from backbones.backbone import Backbone
from backbones.generate import generate
from backbones.gguf_file import write_gguf
from backbones.plain_model import merged
from backbones.roles import LoRASettings
from evaluation import export
from evaluation.finished_run import load_policy, ppo_config, setup_of_run
from perlhf.errors import UserError

pytestmark = pytest.mark.extras
NEW_TOKENS = 12
NOT_READ = ("head_dim", "attention_bias", "query_pre_attn_scalar")
PROMPTS = ["Human: Hello there, 12 of 3!\n\nAssistant:", "yes no maybe  é good", "bad."]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
SIZES |= {
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": None,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
}
GEMMA = {"head_dim": 8, "query_pre_attn_scalar": 8, "num_hidden_layers": 7, "sliding_window": 16}
KINDS = {
    "Llama": ("Llama", {"attention_bias": True, "tie_word_embeddings": True}),
    "Llama with an output of its own": ("Llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}),
    "Qwen2": ("Qwen2", {}),
    "Qwen3": ("Qwen3", {"head_dim": 16}),
    "Gemma 3": ("Gemma3Text", GEMMA),
}


def save(kind, folder, **more):
    """A random model of a kind with numbers as large as a trained one's."""
    name, settings = KINDS[kind]
    tokenizer = build_tokenizer(TEXTS, 320)
    config = getattr(transformers, f"{name}Config")(**{**SIZES, **settings, **more}, vocab_size=len(tokenizer))
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms are all 0 or 1, where nothing would be seen of them
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape) * 0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Backbone.load(folder, "cpu")


def answers_of_transformers(folder, backbone, rows):
    """What transformers answers with the file, told what its reader takes from its own defaults instead."""
    config = backbone.model.config
    known = {name: getattr(config, name) for name in NOT_READ if hasattr(config, name)}
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf", **known)
    ends = {"eos_token_id": backbone.end_ids, "pad_token_id": backbone.pad_id}
    with torch.no_grad():
        found = [model.generate(torch.tensor([r]), do_sample=False, max_new_tokens=NEW_TOKENS, **ends) for r in rows]
    return [ids[0, len(row) :].tolist() for ids, row in zip(found, rows, strict=True)]


def answers_of_llama_cpp(folder, backbone, rows, prompts):
    """What llama.cpp answers with the file, whose tokens of a prompt must be ours."""
    llama_cpp = pytest.importorskip("llama_cpp")
    model = llama_cpp.Llama(str(folder / "model.gguf"), n_ctx=256, verbose=False, seed=0, n_threads=1)
    answers = []
    for row, prompt in zip(rows, prompts, strict=True):
        assert model.tokenize(prompt.encode(), add_bos=False, special=True) == row
        answer = []
        for token in model.generate(row, temp=0.0, top_k=1):
            answer.append(token)
            if token in backbone.end_ids or len(answer) == NEW_TOKENS:
                break
        answers.append(answer)
        model.reset()
    model.close()
    return answers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", ["transformers", "llama.cpp"])
def test_a_file_answers_as_the_model(kind, reader, tmp_path):
    backbone = save(kind, tmp_path / "model")
    role = backbone.add_role("policy", LoRASettings(4, targets="all-linear"), seed=1)
    with torch.no_grad():
        for parameter in role.parameters().values():
            parameter.add_(torch.randn(parameter.shape) * 0.1)
    rows = [backbone.encode_prompt(prompt) for prompt in PROMPTS]
    expected = generate(role, rows, NEW_TOKENS, temperature=0.0)
    assert expected != generate(backbone.reference, rows, NEW_TOKENS, temperature=0.0)
    (tmp_path / "out").mkdir()
    write_gguf(merged(role), backbone, tmp_path / "out" / "model.gguf", "fp32", "model")
    if reader == "transformers":
        assert answers_of_transformers(tmp_path / "out", backbone, rows) == expected
    else:
        assert answers_of_llama_cpp(tmp_path / "out", backbone, rows, PROMPTS) == expected


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A policy on HH-v0 after two updates that change what it answers."""
    folder = tmp_path_factory.mktemp("run") / "ppo"
    words = "HH-v0 --total-timesteps 16 --n-envs 8 --batch-size 8 --eval-prompts 0 --max-new-tokens 12".split()
    train_ppo.train(train_ppo.read_options([*words, "--learning-rate=0.02", f"--output-dir={folder}"]))
    return folder


@pytest.mark.parametrize("reader", ["transformers", "llama.cpp"])
def test_the_command_writes_a_policy_on_a_shipped_backbone(run, reader, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["export", str(run), "--gguf", "--output-dir", str(out)])
    export.main()
    setup = setup_of_run(ppo_config(run), device="cpu")
    role, backbone = load_policy(run, setup), setup.backbone
    prompts = [record.prompt for record in setup.feedback("test")[0].records[:4]]
    rows = [backbone.encode_prompt(prompt) for prompt in prompts]
    expected = generate(role, rows, NEW_TOKENS, temperature=0.0)
    assert expected != generate(backbone.reference, rows, NEW_TOKENS, temperature=0.0)
    if reader == "transformers":
        assert answers_of_transformers(out, backbone, rows) == expected
        assert AutoTokenizer.from_pretrained(out)(prompts[0])["input_ids"] == rows[0]
    else:
        assert answers_of_llama_cpp(out, backbone, rows, prompts) == expected


def test_bf16_halves_the_file_and_leaves_vectors_as_they_are(tmp_path):
    import gguf

    backbone = save("Llama", tmp_path / "model")
    for numbers in ("fp32", "bf16"):
        write_gguf(merged(backbone.reference), backbone, tmp_path / f"{numbers}.gguf", numbers, "model")
    types = {
        t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "bf16.gguf").tensors if t.name.endswith("attn_q.weight")
    }
    norms = {t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "bf16.gguf").tensors if "norm" in t.name}
    assert (types, norms) == ({"BF16"}, {"F32"})


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("Llama", {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}, "rope_type default"),
        ("Llama", {"hidden_act": "gelu"}, "hidden_act silu, got gelu"),
        ("Gemma 3", {"query_pre_attn_scalar": 16}, "query_pre_attn_scalar 8, got 16"),
        (
            "Gemma 3",
            {"layer_types": ["full_attention", "sliding_attention"], "num_hidden_layers": 2},
            "attention to all",
        ),
    ],
)
def test_what_llama_cpp_does_otherwise_is_refused(kind, settings, said, tmp_path):
    backbone = save(kind, tmp_path, **settings)
    with pytest.raises(UserError, match=said):
        write_gguf(backbone.model, backbone, tmp_path / "model.gguf", "fp32", "model")
