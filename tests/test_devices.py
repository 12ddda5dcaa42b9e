"""Where a backbone lives and in which numbers: "auto", one line for what is not there, loading in its own type."""

import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from tiny_models import TEXTS, save_gemma
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from agents import PPO, make_vec_env
from agents.pretrain.build import build_tokenizer
from backbones.backbone import Backbone
from backbones.forward import log_probs_of
from backbones.model import devices
from backbones.model.anatomy import hash_base
from backbones.model.devices import device_of, find_device, precision_on
from backbones.model.loading import SMALL, BackboneError, LoadSettings, load_model, own_dtype
from backbones.roles import LoRASettings
from perlhf.errors import UserError
from rewards.reward_model import RewardModel

ROWS = [[5, 6, 7], [8, 9]], [[4, 1], [6, 1]]


def saved_in(dtype, folder):
    """A tiny model whose files are of that type."""
    path = str(save_gemma(folder))
    AutoModelForCausalLM.from_pretrained(path, dtype=dtype).save_pretrained(path)
    return path


@pytest.mark.parametrize("there", [("xpu", "mps"), ("mps",), ()])
def test_auto_is_the_first_there_is_of_cuda_xpu_and_mps(there, monkeypatch):
    monkeypatch.setattr(devices, "is_there", lambda kind: kind in there)
    assert device_of("auto") == (there[0] if there else "cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "xpu", "mps"])
def test_a_device_that_is_not_there_is_one_line_wherever_it_is_given(name, tmp_path, monkeypatch):
    if device_of("auto") == name.partition(":")[0]:
        pytest.skip("it is there")
    line = f"device '{name}' cannot be used: .*auto takes what there is"
    with pytest.raises(UserError, match=line):
        PPO("LoRAPolicy", make_vec_env("HH-v0", 2, reward="gold"), device=name)
    with pytest.raises(UserError, match=line) as error:
        Backbone.load(str(save_gemma(tmp_path)), name)
    assert "\n" not in str(error.value)


def test_each_process_of_a_machine_has_its_own_gpu(monkeypatch):
    monkeypatch.setattr(devices, "is_there", lambda kind: kind == "cuda")
    asked, current = [], []
    monkeypatch.setattr(torch, "empty", lambda *_, device: asked.append(str(device)) or torch.zeros(0))
    monkeypatch.setattr(torch.accelerator, "set_device_index", current.append)
    for world, rank in (("1", "0"), ("4", "3")):
        monkeypatch.setenv("WORLD_SIZE", world)
        monkeypatch.setenv("LOCAL_RANK", rank)
        for name in ("auto", "cuda", "cuda:1", "cpu"):
            find_device(name)
    assert asked == ["cuda", "cuda", "cuda:1", "cpu", "cuda:3", "cuda:3", "cuda:1", "cpu"]
    assert current == [3, 3]
    monkeypatch.delenv("LOCAL_RANK")
    with pytest.raises(UserError, match=r"^there are several processes .* LOCAL_RANK does not say which cuda device"):
        find_device("auto")


def test_more_processes_than_gpus_are_told_to_be_fewer(monkeypatch):
    def absent(*_, device):
        raise RuntimeError("invalid device ordinal")

    monkeypatch.setattr(torch, "empty", absent)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "3")
    with pytest.raises(UserError, match=r"invalid device ordinal \(start fewer processes on this machine\)"):
        find_device("cuda")
    with pytest.raises(UserError, match=r"\(auto takes what there is\)"):
        find_device("cuda:1")


@pytest.mark.parametrize(("computes", "auto"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_where_a_gpu_computes_in_it(computes, auto, monkeypatch):
    monkeypatch.setattr(devices, "computes_bf16", lambda device: computes)
    monkeypatch.setattr(devices, "is_faster_in_bf16", lambda: True)
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert precision_on("auto", gpu, 1) == auto
    assert precision_on("auto", cpu, 1) == "fp32"
    assert precision_on("auto", cpu, SMALL) == ("mixed" if computes else "fp32")
    assert precision_on("bf16", cpu, 1) == "bf16"  # slow, and right
    if not computes:
        with pytest.raises(
            BackboneError, match="--precision bf16: cuda does not compute in bf16; take --precision fp32"
        ):
            precision_on("bf16", gpu, 1)


@pytest.mark.parametrize(("slower", "auto"), [(torch.bfloat16, "fp32"), (torch.float32, "mixed")])
def test_auto_is_mixed_where_a_cpu_is_faster_in_bf16(slower, auto, monkeypatch):
    seconds = [0.0]

    def linear(rows, weights):
        seconds[0] += 2.0 if rows.dtype == slower else 1.0

    monkeypatch.setattr(devices, "computes_bf16", lambda device: True)
    monkeypatch.setattr(devices.F, "linear", linear)
    monkeypatch.setattr(devices.time, "process_time", lambda: seconds[0])
    devices.is_faster_in_bf16.cache_clear()
    assert precision_on("auto", torch.device("cpu"), SMALL) == auto
    devices.is_faster_in_bf16.cache_clear()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_model_is_read_in_its_own_type_and_has_one_hash_in_all_precisions(dtype, tmp_path):
    path = saved_in(dtype, tmp_path)
    assert own_dtype(path) == dtype
    types = {name: {p.dtype for p in load_model(path, LoadSettings(name)).parameters()} for name in ("fp32", "bf16")}
    assert types == {"fp32": {torch.float32}, "bf16": {dtype}}
    plain = Backbone.load(path, "cpu", LoadSettings("fp32"))
    for precision in ("auto", "mixed", "bf16"):
        backbone = Backbone.load(path, "cpu", LoadSettings(precision))
        assert backbone.hash == plain.hash
        angles = {b.dtype for name, b in backbone.model.named_buffers() if name.endswith("inv_freq")}
        assert angles == {torch.float32}
        kinds = {p.dtype for p in backbone.model.parameters()}
        assert kinds == {
            "auto": {torch.float32}, "mixed": {torch.float32, torch.bfloat16}, "bf16": {torch.bfloat16}
        }[precision]  # fmt: skip
        assert torch.allclose(log_probs_of(backbone.reference, *ROWS), log_probs_of(plain.reference, *ROWS), atol=0.1)
    lossless = hash_base(Backbone.load(path, "cpu", LoadSettings("bf16")).model) == plain.hash
    assert lossless == (dtype == torch.bfloat16)


def test_a_config_that_says_another_type_than_the_files_costs_no_digits(tmp_path):
    path = str(save_gemma(tmp_path))
    before = Backbone.load(path).hash
    say_another_type(tmp_path, "bfloat16")
    assert Backbone.load(path, settings=LoadSettings("bf16")).hash == before


def say_another_type(folder, name):
    """Lets a config whose files are float32 say another type."""
    config = (folder / "config.json").read_text()
    said = config.replace('"dtype": "float32"', f'"dtype": "{name}"')
    assert said != config
    (folder / "config.json").write_text(said)


@pytest.mark.parametrize("precision", ["auto", "mixed", "bf16"])
def test_a_model_of_the_hub_is_read_in_the_type_of_its_files(precision, tmp_path, monkeypatch):
    """The cache of the hub as its client lays it out; a config that says float16 would cost digits before the hash."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    cached = tmp_path / "models--someone--small"
    folder = save_gemma(cached / "snapshots" / "0123456789")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0123456789")
    before = Backbone.load(str(folder)).hash
    say_another_type(folder, "float16")
    assert own_dtype("someone/small") == torch.float32
    assert Backbone.load("someone/small", "cpu", LoadSettings(precision)).hash == before


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_buffers_of_mixed_have_the_digits_of_float32(dtype, tied, tmp_path):
    """Gemma multiplies what it embeds by the root of its width, which is in no file."""
    path = str(save_gemma(tmp_path))
    model = AutoModelForCausalLM.from_pretrained(path)
    model.config.tie_word_embeddings = tied
    model.to(dtype).save_pretrained(path)
    buffers = [
        dict(Backbone.load(path, "cpu", LoadSettings(precision)).model.named_buffers())
        for precision in ("fp32", "mixed")
    ]
    assert buffers[0].keys() == buffers[1].keys()
    for name, plain in buffers[0].items():
        assert plain.dtype == buffers[1][name].dtype
        assert torch.equal(plain, buffers[1][name]), name
    assert any(name.endswith("embed_scale") for name in buffers[0])


def test_a_model_is_not_in_memory_twice_where_auto_is_float32(tmp_path, monkeypatch):
    path = saved_in(torch.bfloat16, tmp_path)
    read = []

    def reading(*given):
        assert not [model for model in read if model() is not None]
        model = load_model(*given)
        read.append(weakref.ref(model))
        return model

    monkeypatch.setattr("backbones.backbone.load_model", reading)
    backbone = Backbone.load(path, "cpu", LoadSettings("auto"))
    assert len(read) == 2
    assert backbone.model is read[1]()


def test_the_global_generators_are_left_alone_by_a_new_role(tmp_path, monkeypatch):
    """torch.manual_seed would seed those of every GPU, and nothing would put them back."""
    backbone = Backbone.load(str(save_gemma(tmp_path)))
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    state = torch.get_rng_state()
    backbone.add_role("policy", LoRASettings(4), head=True, seed=3)
    assert not seeded
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("precision", ["mixed", "bf16"])
@pytest.mark.parametrize("value", ["own", "shared"])
def test_ppo_learns_in_half_precision_from_a_learned_reward(precision, value, tmp_path):
    """The default reward is a model on the policy's own backbone, whose head is float32."""
    env = make_vec_env("HH-v0", 4)
    settings = {"max_new_tokens": 8, "precision": precision, "value_adapter": value}
    algorithm = PPO("LoRAPolicy", env, policy_kwargs=settings, batch_size=4, seed=0, device="cpu")
    before = [p.clone() for p in algorithm.policy.parameters()]
    algorithm.learn(4)
    assert any(not torch.equal(a, b) for a, b in zip(before, algorithm.policy.parameters(), strict=True))
    values = algorithm.policy.predict_values(algorithm.last_observation)
    assert values.dtype == torch.float32
    Backbone.release_all()


@pytest.mark.parametrize("weight", [0.0, 0.1])
def test_a_reward_model_scores_and_learns_in_bf16(weight, tmp_path):
    path = str(save_gemma(tmp_path))
    scores = {}
    for precision in ("fp32", "bf16"):
        backbone = Backbone.load(path, "cpu", LoadSettings(precision))
        model = RewardModel(backbone.add_role("reward", LoRASettings(4), head=True), log_prob_weight=weight)
        with model.role.active():
            scores[precision] = model.score_rows([(p, r) for p, r in zip(*ROWS, strict=True)])
            (scores[precision][0] - scores[precision][1]).backward()
        assert model.role.head.weight.grad.abs().sum() > 0
    assert scores["bf16"].dtype == torch.float32
    assert torch.allclose(scores["bf16"], scores["fp32"], atol=0.1)


_LOAD = """
import re, sys
from backbones.backbone import Backbone, LoadSettings
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
before = peak()
backbone = Backbone.load(sys.argv[1], "cpu", LoadSettings("bf16"))
assert backbone.hash
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read off /proc")
def test_a_model_of_bf16_is_never_in_memory_as_float32(tmp_path):
    """The mapped file, pieces of it, and transformers' own imports; a copy in float32 would be twice the file more."""
    tokenizer = build_tokenizer(TEXTS, 320)
    sizes = {"hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(**sizes, vocab_size=100_000, pad_token_id=0, eos_token_id=1, tie_word_embeddings=True)
    with torch.device("meta"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.to_empty(device="cpu")
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.02)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    size = (tmp_path / "model.safetensors").stat().st_size
    assert size > 100e6
    done = subprocess.run([sys.executable, "-c", _LOAD, tmp_path], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 2.3 * size
