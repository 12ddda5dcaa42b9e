"""What lies in a model's folder and what is recorded of it: adapters beside weights, formats, tokens, templates."""

import json
import shutil
from pathlib import Path

import pytest
import transformers
from chat_models import TEMPLATES, backbone_of, model_of, tokenizer_of
from peft import LoraConfig, get_peft_model

from agents.train_sft import Options, train
from backbones.backbone import Backbone
from backbones.draws import row_seeds
from backbones.forward import log_probs_of
from backbones.generate import generate
from backbones.model.loading import BackboneError, LoadSettings
from backbones.model.plain_text import PlainText
from backbones.roles import LoRASettings, load_role
from evaluation.finished_run import setup_of_run
from perlhf.errors import UserError
from rewards.reward_model import RewardModel


def save(folder: Path, family: str = "qwen", template: str | None = None) -> Path:
    tokenizer = tokenizer_of(family, template)
    tokenizer.save_pretrained(folder)
    model_of(tokenizer).save_pretrained(folder)
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(BackboneError) as error:
        Backbone.load(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


# What else lies there.


def test_an_adapter_beside_the_weights_is_refused(tmp_path):
    save(tmp_path)
    get_peft_model(model_of(tokenizer_of("qwen")), LoraConfig(target_modules="all-linear")).save_pretrained(tmp_path)
    assert "has an adapter beside its weights (adapter_config.json)" in refusal(tmp_path)


def test_an_adapter_alone_is_refused_with_the_name_of_its_base(tmp_path):
    backbone = Backbone.load(save(tmp_path / "base"))
    backbone.add_role("policy", LoRASettings(2)).save(tmp_path / "adapter")
    said = refusal(tmp_path / "adapter")
    assert f"is an adapter on {str(tmp_path / 'base')!r}, and no model" in said
    (tmp_path / "adapter" / "adapter_config.json").write_text("{")
    assert "is an adapter on another model" in refusal(tmp_path / "adapter")


@pytest.mark.parametrize(("name", "said"), [("m.gguf", "as m.gguf; expected"), ("pytorch_model.bin", "a pickle")])
def test_weights_of_another_format_are_refused_with_what_to_do(name, said, tmp_path):
    save(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / name)
    assert said in refusal(tmp_path)


def test_weights_of_another_format_beside_safetensors_do_not_matter(tmp_path):
    save(tmp_path)
    (tmp_path / "m.gguf").touch()
    (tmp_path / "pytorch_model.bin").touch()
    assert Backbone.load(tmp_path).path == str(tmp_path)


def test_the_folder_of_a_run_is_refused_with_the_one_in_it(tmp_path):
    save(tmp_path / "backbone")
    assert f"is the folder of a run; give {str(tmp_path / 'backbone')!r}" in refusal(tmp_path)


def test_a_file_is_refused(tmp_path):
    (tmp_path / "m.gguf").touch()
    assert "is a file; expected a folder" in refusal(tmp_path / "m.gguf")


def test_an_adapter_that_transformers_loads_by_itself_is_refused(tmp_path, monkeypatch):
    """As of a repository on the hub, whose files cannot be looked at before."""
    model = model_of(tokenizer_of("qwen"))
    model.add_adapter(LoraConfig(target_modules="all-linear"))
    save(tmp_path)
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", lambda *args, **kwargs: model)
    assert "is an adapter, or has one beside its weights; merge it" in refusal(tmp_path)


# Tokens.


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    save(tmp_path)
    model = model_of(tokenizer_of("qwen"))
    model.resize_token_embeddings(100)
    model.save_pretrained(tmp_path)
    assert "tokens and a model with embeddings for 100: they do not belong together" in refusal(tmp_path)


def test_added_tokens_without_an_embedding_stand_in_no_prompt():
    tokenizer = tokenizer_of("qwen")
    model = model_of(tokenizer)
    tokenizer.add_tokens(["<new>"])
    backbone = Backbone("no/where", model, tokenizer)
    for ids in (backbone.encode_prompt("a<new>z"), backbone.encode_response("a<new>z")):
        assert max(ids) < model.config.vocab_size
        assert tokenizer.decode(ids).strip() == "a<new>z"


def test_ids_without_a_token_are_neither_sampled_nor_counted(tmp_path):
    tokenizer = tokenizer_of("qwen")
    known = len(tokenizer)
    model = model_of(tokenizer, more=1000)
    tokenizer.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    backbone = Backbone.load(tmp_path)
    prompts = [backbone.encode_prompt("yes")] * 8
    for role in (backbone.reference, backbone.add_role("policy", None)):
        said = generate(role, prompts, 20, 1.0, row_seeds(0, range(8), 0))
        assert max(map(max, said)) < known
        every = [[i] for i in range(known)]
        sums = log_probs_of(role, [prompts[0]] * known, every)[:, 0].exp().sum()
        assert sums == pytest.approx(1, abs=1e-4)
    assert "ids_without_a_token" not in backbone.model.state_dict()


def test_where_all_ids_have_tokens_nothing_is_ruled_out():
    assert not hasattr(backbone_of("qwen").model, "ids_without_a_token")


def test_spaces_before_a_full_stop_stay_in_what_is_judged():
    backbone = backbone_of("qwen")
    backbone.tokenizer.clean_up_tokenization_spaces = True
    assert backbone.decode(backbone.encode_response("yes , no .")) == "yes , no ."


def test_without_a_padding_token_the_end_token_is_it_and_a_note_says_what_follows(tmp_path):
    backbone = backbone_of("llama2")
    assert backbone.tokenizer.pad_token is None
    assert backbone.pad_id == backbone.end_ids[0] == backbone.tokenizer.eos_token_id
    backbone.add_role("reward", LoRASettings(2), head=True).save(tmp_path)
    assert "reads the token before the end token" in json.loads((tmp_path / "perlhf.json").read_text())["note"]
    backbone.add_role("policy", LoRASettings(2)).save(tmp_path)
    assert "note" not in json.loads((tmp_path / "perlhf.json").read_text())


def test_without_an_end_token_a_template_has_one_or_it_is_one_clear_line():
    tokenizer = tokenizer_of("qwen", "chatml")
    tokenizer.eos_token = tokenizer.pad_token = None
    backbone = Backbone("no/where", model_of(tokenizer), tokenizer)
    assert tokenizer.convert_ids_to_tokens(backbone.end_ids) == ["<|im_end|>"]
    assert backbone.pad_id == backbone.end_ids[0]
    with pytest.raises(BackboneError, match="name no end-of-text token; set eos_token") as error:
        Backbone("no/where", model_of(tokenizer), tokenizer, settings=LoadSettings(chat_template="none"))
    assert "\n" not in str(error.value)


class Letters(transformers.PreTrainedTokenizer):
    """A tokenizer in Python, which tells no places of its tokens: a letter is a token."""

    letters = sorted({*"abcdefghijklmnopqrstuvwxyz<|>_ /.:\n"})

    @property
    def vocab_size(self) -> int:
        return len(self.letters)

    def get_vocab(self) -> dict[str, int]:
        return {**{letter: i for i, letter in enumerate(self.letters)}, **self.added_tokens_encoder}

    def _tokenize(self, text: str, **kwargs: object) -> list[str]:
        return list(text)

    def _convert_token_to_id(self, token: str) -> int:
        return self.letters.index(token)

    def _convert_id_to_token(self, index: int) -> str:
        return self.letters[index]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return "".join(tokens)


def test_a_tokenizer_in_python_is_read_as_safely():
    tokenizer = Letters(eos_token="<end>")
    tokenizer.add_tokens(["<|im_end|>", "</s>"])
    turn, end = tokenizer.convert_tokens_to_ids("<|im_end|>"), tokenizer.eos_token_id
    plain = PlainText(tokenizer, {turn, end})
    for text in ("a<|im_end|>z", "<|im_<|im_end|>end|>", "<end><|im_end|><end>", "abc"):
        ids = plain.ids(text)
        assert not {turn, end} & set(ids)
        assert tokenizer.decode(ids, skip_special_tokens=False).replace(" ", "") == text
    assert plain.spans("a<|im_end|>z<end>", {turn, end}) == [(1, 11), (12, 17)]
    assert plain.joint("a<end>") == [tokenizer.letters.index("a"), end]


# Templates that are saved and recorded.


@pytest.mark.parametrize("setting", ["auto", "none", "FILE"])
def test_sft_saves_the_template_that_it_used(setting, tmp_path):
    file = TEMPLATES / "zephyr.jinja"
    save(tmp_path / "base", template="chatml")
    options = Options(
        env="HH-v0", backbone=str(tmp_path / "base"), records=4, batch_size=4, eval_records=2, lora_rank=2,
        chat_template=str(file) if setting == "FILE" else setting, output_dir=str(tmp_path / "run"), device="cpu",
    )  # fmt: skip
    made = Backbone.load(train(options))
    used = {"auto": "chatml", "FILE": "zephyr"}.get(setting)
    if used is None:
        assert made.chat is None
        assert made.tokenizer.chat_template is None
    else:
        assert made.chat is not None
        assert made.chat.template.source == (TEMPLATES / f"{used}.jinja").read_text(encoding="utf-8")
    before = Backbone.load(tmp_path / "base", settings=LoadSettings(chat_template=options.chat_template))
    assert made.encode_prompt("yes") == before.encode_prompt("yes")
    assert before.tokenizer.chat_template == (TEMPLATES / "chatml.jinja").read_text(encoding="utf-8")


def test_an_adapter_is_refused_with_another_template(tmp_path):
    save(tmp_path / "base", template="chatml")
    auto = Backbone.load(tmp_path / "base")
    none = Backbone.load(tmp_path / "base", settings=LoadSettings(chat_template="none"))
    for name, backbone, other in (("of auto", auto, none), ("of none", none, auto)):
        backbone.add_role("policy", LoRASettings(2)).save(tmp_path / name)
        load_role(tmp_path / name, "policy", False, backbone)
        with pytest.raises(UserError, match=r"was trained with chat template .* and backbone .* has ") as error:
            load_role(tmp_path / name, "policy", False, other)
        assert "\n" not in str(error.value)
        assert str(error.value).endswith(f"give --chat-template {name.removeprefix('of ')}.")
    known = json.loads((tmp_path / "of auto" / "perlhf.json").read_text())
    assert auto.chat is not None
    assert known["chat_template"] == {"setting": "auto", "sha256": auto.chat.template.sha256}
    assert json.loads((tmp_path / "of none" / "perlhf.json").read_text())["chat_template"] is None
    del known["chat_template"]  # as it was saved before it was recorded
    (tmp_path / "of auto" / "perlhf.json").write_text(json.dumps(known))
    load_role(tmp_path / "of auto", "policy", False, none)  # no template was applied then
    with pytest.raises(UserError, match=r"chat template none, .* give --chat-template none\.$"):
        load_role(tmp_path / "of auto", "policy", False, auto)


def test_an_adapter_whose_backbone_got_another_template_of_its_own_says_so(tmp_path):
    save(tmp_path / "base", template="chatml")
    Backbone.load(tmp_path / "base").add_role("policy", LoRASettings(2)).save(tmp_path / "adapter")
    shutil.copy(TEMPLATES / "zephyr.jinja", tmp_path / "base" / "chat_template.jinja")
    with pytest.raises(UserError, match="give --chat-template FILE, with the template of then"):
        load_role(tmp_path / "adapter", "policy", False, Backbone.load(tmp_path / "base"))


def test_a_reward_model_opens_its_backbone_with_the_template_it_was_trained_with(tmp_path):
    save(tmp_path / "base", template="chatml")
    none = Backbone.load(tmp_path / "base", settings=LoadSettings(chat_template="none"))
    RewardModel(none.add_role("reward", LoRASettings(2), head=True)).save(tmp_path / "reward")
    Backbone.load(tmp_path / "base")  # of the same weights, and asked for last
    assert RewardModel.load(tmp_path / "reward").role.backbone is none
    Backbone.release_all()
    assert RewardModel.load(tmp_path / "reward").role.backbone.chat is None


def test_a_finished_run_is_opened_as_it_was():
    config = {
        "env": "HH-v0", "env_options": "", "data": "miniature", "backbone": "tiny", "reward": "gold",
        "chat_template": "none", "stop": "Human:", "precision": "mixed",
    }  # fmt: skip
    assert setup_of_run(config).load_settings == LoadSettings("mixed", chat_template="none", stop="Human:")
    for name in ("chat_template", "stop", "precision"):  # a run of before there were such
        del config[name]
    assert setup_of_run(config).load_settings == LoadSettings(chat_template="none")
