"""What comes out of a run, opened without perlhf: tokenizers, merged models, sequence classifiers."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml
from chat_models import model_of, tokenizer_of
from peft import AutoPeftModelForCausalLM
from safetensors import safe_open
from tiny_models import save_llava
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    LlamaConfig,
    Qwen3Config,
    pipeline,
)

from agents import train_ppo, train_sft
from backbones.backbone import Backbone
from backbones.generate import generate
from backbones.gguf_file import check_gguf, reader_arguments
from backbones.pooled import Reading
from backbones.roles import LoRASettings, load_role
from evaluation import export
from evaluation.finished_run import load_policy, ppo_config, setup_of_run
from perlhf.errors import UserError
from rewards.reward_model import RewardModel
from rewards.rows import encode

FEW = "--total-timesteps 8 --n-envs 8 --batch-size 8 --eval-prompts 0 --max-new-tokens 12 --learning-rate 0.02".split()
KINDS = {
    "lora": [],
    "all-linear": ["--lora-targets", "all-linear", "--lora-variant", "dora"],
    "pissa": ["--lora-init", "pissa"],
    "full": ["--full", "--learning-rate", "0.002"],
}
TEMPLATES = {"qwen": "qwen2_5", "smollm": "smollm2", "llama2": "zephyr"}
ROUNDING = 1e-5  # of a score, between two orders of sums in float32


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Trains a policy for an update, once for each kind; gives the run folder."""
    made = {}

    def of(kind, *words):
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("runs") / kind
            train_ppo.train(train_ppo.read_options([*words, *FEW, *KINDS.get(kind, []), f"--output-dir={made[kind]}"]))
        return made[kind]

    return of


@pytest.fixture
def exported(monkeypatch, capsys):
    """Runs `perlhf export`; gives what it printed."""

    def of(*words):
        monkeypatch.setattr(sys, "argv", ["export", *map(str, words)])
        export.main()
        return capsys.readouterr().out

    return of


def chat_backbone(family, folder):
    """A random model in a folder, with the tokenizer and the template of a family."""
    tokenizer = tokenizer_of(family, TEMPLATES[family])
    tokenizer.save_pretrained(folder)
    model_of(tokenizer).save_pretrained(folder)
    return Backbone.load(folder, "cpu")


def policy_of(folder):
    return load_policy(folder, setup_of_run(ppo_config(folder), device="cpu"))


def held_out(folder, count=6):
    """Token ids of held-out prompts as a run reads them, and their texts."""
    setup = setup_of_run(ppo_config(folder), device="cpu")
    prompts = [record.prompt for record in setup.feedback("test")[0].records[:count]]
    return [setup.backbone.encode_prompt(prompt) for prompt in prompts], prompts


def answers_of(model, rows, new_tokens=12):
    """What plain transformers answers, greedily."""
    found = []
    for row in rows:
        with torch.no_grad():
            ids = model.generate(torch.tensor([row]), do_sample=False, max_new_tokens=new_tokens)
        found.append(ids[0, len(row) :].tolist())
    return found


# Beside what is trained.


def test_a_tokenizer_and_a_card_lie_beside_the_policy(run):
    folder = run("lora", "HH-v0")
    rows, prompts = held_out(folder)
    assert [AutoTokenizer.from_pretrained(folder / "policy")(prompt)["input_ids"] for prompt in prompts] == rows
    assert not (folder / "value" / "tokenizer.json").exists()  # which nobody opens alone
    assert not list((folder / "checkpoints").rglob("tokenizer.json"))
    about = yaml.safe_load((folder / "policy" / "README.md").read_text().split("---")[1])
    assert about == {
        "library_name": "peft", "pipeline_tag": "text-generation", "tags": ["perlhf", "HH-v0", "ppo", "lora"],
    }  # fmt: skip


def test_a_chat_template_lies_beside_the_adapter(tmp_path):
    backbone = chat_backbone("qwen", tmp_path / "model")
    RewardModel(backbone.add_role("reward", LoRASettings(2), head=True)).save(tmp_path / "rm")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "rm")
    assert tokenizer.chat_template == backbone.tokenizer.chat_template is not None


# Merged models.


@pytest.mark.parametrize("kind", KINDS)
def test_a_merged_model_answers_as_the_policy(run, exported, kind, tmp_path):
    folder = run(kind, "HH-v0")
    assert f"-> {tmp_path / 'out'}" in exported(folder, "--merge", "--output-dir", tmp_path / "out")
    policy, (rows, prompts) = policy_of(folder), held_out(folder)
    expected = generate(policy, rows, 12, temperature=0.0)
    assert expected != generate(policy.backbone.reference, rows, 12, temperature=0.0)
    assert any(answer[-1] == policy.backbone.end_ids[0] for answer in expected)  # which generate has to see by itself
    assert answers_of(AutoModelForCausalLM.from_pretrained(tmp_path / "out"), rows) == expected
    plain = AutoModelForCausalLM if kind == "full" else AutoPeftModelForCausalLM
    assert answers_of(plain.from_pretrained(folder / "policy"), rows) == expected
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert [tokenizer(prompt)["input_ids"] for prompt in prompts] == rows
    assert "library_name: transformers" in (tmp_path / "out" / "README.md").read_text()


def test_weights_are_written_in_the_numbers_that_were_asked_for(run, exported, tmp_path):
    exported(run("lora", "HH-v0"), "--merge", "--dtype", "bf16", "--output-dir", tmp_path / "out")
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as opened:
        assert {opened.get_slice(name).get_dtype() for name in opened.keys()} == {"BF16"}  # noqa: SIM118
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").dtype == torch.bfloat16


def test_a_model_that_sees_is_merged(run, exported, tmp_path):
    folder = run("sees", "VQAv2-v0", "--lora-vision", "--eval-every=0", "--keep-best=none")
    exported(folder, "--merge", "--output-dir", tmp_path / "out")
    task = setup_of_run(ppo_config(folder), device="cpu").task("test")
    shown = [task.observe(state) for state in task.first_states(4)]
    policy, merged = policy_of(folder), Backbone.load(tmp_path / "out", "cpu")
    answers = []
    for role in (policy, merged.reference):
        rows = [role.backbone.encode_prompt(o["prompt"], o["image"]) for o in shown]
        answers.append(generate(role, rows, 8, temperature=0.0))
    assert answers[0] == answers[1]
    assert AutoModelForImageTextToText.from_pretrained(tmp_path / "out").config.vision_config is not None
    for place in (tmp_path / "out", folder / "policy"):
        assert AutoProcessor.from_pretrained(place).image_processor is not None
    assert "PeftModel.from_pretrained(AutoModelForImageTextToText" in (folder / "policy" / "README.md").read_text()


def test_the_backbone_after_sft_is_exported_too(exported, tmp_path):
    folder = tmp_path / "sft"
    train_sft.train(train_sft.Options(records=32, eval_records=8, output_dir=str(folder), lora_rank=2))
    said = refusal(exported, folder, "--merge", "--output-dir", tmp_path / "out", "--backbone", "tiny")
    assert said == f"{folder} is a run of train-sft, which wrote a whole backbone: leave --backbone out."
    card = folder / "backbone" / "README.md"
    card.write_text(card.read_text().replace("---\n", "---\nbase_model: org/model\n", 1))  # as of a model of the hub
    exported(folder, "--merge", "--output-dir", tmp_path / "out")
    assert yaml.safe_load((tmp_path / "out" / "README.md").read_text().split("---")[1])["base_model"] == "org/model"
    written, before = (AutoModelForCausalLM.from_pretrained(path) for path in (tmp_path / "out", folder / "backbone"))
    assert written.config.num_labels == 1
    for mine, theirs in zip(written.parameters(), before.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert "Held-out loss, nats a response token: " in (folder / "backbone" / "README.md").read_text()


def test_a_run_on_quantized_weights_is_merged_into_those_of_the_files(run, exported, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run("lora", "HH-v0"), folder)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("precision: fp32", "precision: int8"))
    said = exported(folder, "--merge", "--output-dir", tmp_path / "out")
    assert "the run held its backbone in int8; here the adapter goes into the weights of the files" in said
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").dtype == torch.float32


# Reward models.

PROMPTS = ["\n\nHuman: How do I bake bread?\n\nAssistant:", "\n\nHuman: Hello.\n\nAssistant:"]
RESPONSES = ["I can help you bake 3 loaves.", "Hello, what can I do for you today?"]


def reward_model(backbone, **numbers):
    """An adapter and a head that say something, with what a run of train-reward-model has beside them."""
    role = backbone.add_role("reward", LoRASettings(rank=4), head=True, seed=1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in role.parameters().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return RewardModel(role, **numbers)


def save_run(model, folder):
    model.save(folder, env="HH-v0", data="miniature")
    write_config(folder)
    return folder


def write_config(folder):
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"env": "HH-v0", "data": "miniature", "backbone": "tiny"}))


def check_scores(model, folder):
    """Whether `pipeline` gives a model's raw scores, of one text and of several at once."""
    backbone = model.role.backbone
    rows = [[*p, *r] for p, r in (encode(backbone, *texts) for texts in zip(PROMPTS, RESPONSES, strict=True))]
    texts = [backbone.tokenizer.decode(row) for row in rows]
    reward = pipeline("text-classification", model=str(folder))
    assert [reward.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts] == rows
    expected = model.raw_scores(PROMPTS, RESPONSES).tolist()
    assert abs(expected[0] - expected[1]) > 100 * ROUNDING
    words = {"function_to_apply": "none", "add_special_tokens": False}
    for found in ([reward(text, **words)[0] for text in texts], reward(texts, batch_size=2, **words)):
        assert [row["score"] for row in found] == pytest.approx(expected, abs=ROUNDING)
    return reward


def test_a_reward_adapter_opens_as_a_text_classifier(tmp_path):
    model = reward_model(Backbone.load("tiny", "cpu"))
    check_scores(model, save_run(model, tmp_path / "rm"))


def test_a_reward_adapter_opens_on_a_backbone_as_train_sft_writes_it(tmp_path):
    role = chat_backbone("qwen", tmp_path / "model").add_role("policy", LoRASettings(2))
    write_config(tmp_path / "sft")
    train_sft.write(role, tmp_path / "sft", {})
    model = reward_model(Backbone.load(tmp_path / "sft" / "backbone", "cpu"))
    check_scores(model, save_run(model, tmp_path / "rm"))


@pytest.mark.parametrize("name", ["tiny", "smollm"])  # whose padding token is the end token
def test_a_merged_reward_model_opens_as_a_text_classifier(name, exported, tmp_path):
    backbone = Backbone.load("tiny", "cpu") if name == "tiny" else chat_backbone(name, tmp_path / "model")
    model = reward_model(backbone, centre=0.25, log_prob_weight=0.5, score_limit=4.0)
    folder = save_run(model, tmp_path / "rm")
    said = exported(folder, "--merge", "--output-dir", tmp_path / "out")
    assert (
        "note: what the classifier gives is not the whole score: perlhf adds 0.5 times the log-probability of the "
        "response; perlhf takes 0.25 off, so that reference answers score 0; perlhf clips it to 4 from 0\n"
    ) in said
    model.log_prob_weight = 0.0  # the head's part
    reward = check_scores(model, tmp_path / "out")
    assert reward.model.config.pad_token_id == reward.tokenizer.pad_token_id not in backbone.end_ids
    assert "score" in reward(RESPONSES[0])[0]


def test_a_fully_trained_reward_model_is_exported_too(exported, tmp_path):
    backbone = Backbone.load("tiny", "cpu")
    model = RewardModel(backbone.add_role("reward", None, head=True, seed=3))
    folder = save_run(model, tmp_path / "rm")
    exported(folder, "--merge", "--output-dir", tmp_path / "out")
    check_scores(model, tmp_path / "out")


def test_the_bundled_reward_model_is_exported_from_where_it_is(exported, tmp_path):
    said = exported(Path("rewards/bundled/hh").absolute(), "--merge", "--output-dir", tmp_path / "out")
    assert "perlhf takes -0.719896 off" in said
    check_scores(RewardModel.load("rewards/bundled/hh", Backbone.load("tiny", "cpu")), tmp_path / "out")


# What is refused.


def refusal(exported, *words):
    with pytest.raises(UserError) as error:
        exported(*words)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--merge", "--output-dir", "x"], "give the run folder: export DIR, or --run DIR."),
        (["r"], "give one of --merge (a model of transformers) and --gguf (a GGUF file)."),
        (["r", "--merge", "--gguf"], "give one of --merge"),
        (["r", "--merge"], "give the folder to write: --output-dir DIR."),
        (["r", "--merge", "--output-dir", "x"], "r holds no run (no config.yaml)"),
    ],
)
def test_a_command_that_lacks_something_is_one_line(exported, words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal(exported, *words).startswith(said)


def test_an_export_is_written_over_only_where_it_is_asked_for(run, exported, tmp_path):
    folder, out = run("lora", "HH-v0"), tmp_path / "out"
    out.mkdir()  # empty, so it may be written to
    exported(folder, "--merge", "--output-dir", out)
    said = refusal(exported, folder, "--merge", "--output-dir", out)
    assert said == f"{out} already holds files; give another --output-dir, or --overwrite."
    (out / "model-00001-of-00002.safetensors").write_text("of another export")
    exported(folder, "--merge", "--output-dir", out, "--overwrite", "--dtype", "bf16")
    assert not (out / "model-00001-of-00002.safetensors").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("mine")
    said = refusal(exported, folder, "--merge", "--output-dir", tmp_path / "mine", "--overwrite")
    assert said == f"{tmp_path / 'mine'} exists and is no export of perlhf; give another --output-dir."
    assert (tmp_path / "mine" / "diary.txt").read_text() == "mine"
    (checkpoint,) = (folder / "checkpoints").iterdir()  # sealed too
    said = refusal(exported, folder, "--merge", "--output-dir", checkpoint, "--overwrite")
    assert said == f"{checkpoint} exists and is no export of perlhf; give another --output-dir."
    assert (checkpoint / "state.json").is_file()


def test_an_unfinished_run_is_one_line(run, exported, tmp_path):
    out = ("--merge", "--output-dir", tmp_path / "out")
    folder = tmp_path / "ppo"
    shutil.copytree(run("lora", "HH-v0"), folder)
    assert "is a part of a run; give the run folder" in refusal(exported, folder / "policy", *out)
    weights = folder / "policy" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "its weights cannot be read" in refusal(exported, folder, *out)
    shutil.rmtree(folder / "policy")
    assert f"has no trained policy yet; finish it with agents.train_ppo --resume {folder}" in refusal(
        exported, folder, *out
    )
    for kind, said in (("records", "has no fine-tuned backbone"), ("policy_pairs", "has no reward model")):
        (folder / "config.yaml").write_text(f"{kind}: 3\n")
        assert f"{folder} {said}; its training was not finished." in refusal(exported, folder, *out)
    assert not (tmp_path / "out").exists()


def test_a_reward_model_that_no_classifier_can_be_is_one_line(exported, tmp_path):
    folder = save_run(reward_model(Backbone.load("tiny", "cpu"), reading=Reading("mean", 2)), tmp_path / "rm")
    said = refusal(exported, folder, "--merge", "--output-dir", tmp_path / "out")
    assert said == (
        f"{folder} cannot be a sequence classifier: the head reads the mean over the response's states after layer 2, "
        "and a classifier that of the last token after all layers. Use it through perlhf."
    )
    said = refusal(exported, folder, "--gguf", "--output-dir", tmp_path / "out")
    assert said == "--gguf is for language models; export a reward model with --merge."


def test_what_a_reader_of_gguf_has_to_be_told():
    assert reader_arguments(Backbone.load("tiny").model.config) == {"query_pre_attn_scalar": 32}
    assert reader_arguments(LlamaConfig()) == {}
    assert reader_arguments(Qwen3Config(head_dim=64)) == {"head_dim": 64}


def test_what_cannot_be_a_gguf_file_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="got a model that takes images; export it with --merge, and give that folder"):
        check_gguf(Backbone.load(save_llava(tmp_path / "llava"), "cpu"))
    with pytest.raises(UserError, match="takes tokenizers of byte-level BPE that split text as GPT-2's"):
        check_gguf(chat_backbone("llama2", tmp_path / "llama2"))
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UserError, match="--gguf needs a package that is not here: pip install gguf"):
        check_gguf(Backbone.load("tiny", "cpu"))


def test_the_files_of_an_export_are_known(run, exported, tmp_path):
    exported(run("lora", "HH-v0"), "--merge", "--output-dir", tmp_path / "out")
    files = json.loads((tmp_path / "out" / "manifest.json").read_text())["files"]
    assert set(files) == {
        "README.md", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json",
    }  # fmt: skip
    assert load_role(run("lora", "HH-v0") / "policy", "policy", False, Backbone.load("tiny", "cpu"))
