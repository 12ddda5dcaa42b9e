"""Chat templates of real models: the same tokens in SFT, reward model, PPO and evaluation, and the right ones."""

import datetime
from typing import Any

import numpy as np
import pytest
import torch
from chat_models import FAMILIES, PAIRS, TEMPLATES, backbone_of, model_of, tokenizer_of
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import save_seeing_gemma
from transformers.utils import chat_template_utils

from agents.policy import LoRAPolicy
from agents.train_sft import encode as sft_rows
from backbones.backbone import Backbone
from backbones.model.loading import BackboneError, LoadSettings
from backbones.model.template import Template
from envs.spaces import Unicode
from envs.task import Task
from envs.turn import Turn
from evaluation.evaluator import Evaluator
from perlhf.conversation import Conversation, Message
from rewards.reward_model import encode as reward_row

ASKED = Message("user", "What is the capital of France?")
TOLD = Message("system", "Answer in one word.")
EARLIER = [Message("user", "Hello there"), Message("assistant", "Hello, I am here."), ASKED]
TALKS = [[ASKED], [TOLD, ASKED], EARLIER, [TOLD, *EARLIER]]
SAID = "The answer is Paris, I think."
# What a template puts before an answer and leaves out of its generation prompt, or the other way about.
NOT_PLAIN = ("qwen3", "gptoss", "deepseekv3", "deepseek_r1_distill")
# With a system message: put into another message, or left out where the assistant has spoken last.
FOLDED = ("gemma", "mistral_v2v3", "mistral_v3_tekken")
ENDS = {
    "chatml": "<|im_end|>", "deepseek_r1_distill": "<｜end▁of▁sentence｜>", "deepseekv3": "<｜end▁of▁sentence｜>",
    "gemma": "<end_of_turn>", "gemma3": "<end_of_turn>", "gptoss": "<|return|>", "llama3": "<|eot_id|>",
    "llama3_1": "<|eot_id|>", "mistral_v1": "</s>", "mistral_v2v3": "</s>", "mistral_v3_tekken": "</s>",
    "phi3": "<|end|>", "phi_4": "<|im_end|>", "qwen2_5": "<|im_end|>", "qwen2_5_vl": "<|im_end|>",
    "qwen3": "<|im_end|>", "smollm2": "<|im_end|>", "smolvlm": "<end_of_utterance>", "zephyr": "</s>",
}  # fmt: skip
every_pair = pytest.mark.parametrize(("template", "family"), PAIRS)


class Asked(Task):
    """A task of some conversations, one turn each."""

    def __init__(self, prompts: list[Conversation]) -> None:
        self.prompts = prompts

    def start(self, rng: np.random.Generator, options: Any) -> int:
        return 0

    def turn(self, state: int, response: str = "") -> Turn:
        return Turn(self.prompts[state], response)

    def advance(self, state: int, response: str) -> tuple[int, bool]:
        return state, True

    def first_states(self, n: int) -> list[int]:
        return list(range(len(self.prompts)))

    def judge(self, turn: Turn) -> None:
        return None

    def oracle(self, state: int) -> str:
        return SAID

    plausible_action = oracle  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def _on_the_fixed_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Templates that write today's date write that of ours, where transformers renders them by itself."""

    class Then(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime.datetime:
            return datetime.datetime(2024, 7, 26)

    monkeypatch.setattr(chat_template_utils, "datetime", Then)


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tokenizers need many tokens for what templates write by themselves."""
    monkeypatch.setattr(Backbone, "max_prompt_tokens", 2000)


def rows(messages: list[Message]) -> list[dict[str, str]]:
    return [message._asdict() for message in messages]


def own_ids(backbone: Backbone, messages: list[Message], **how: Any) -> list[int]:
    """What transformers makes of messages, with what the tokenizer puts before every text where it is not there."""
    parts = [{**row, "content": [{"type": "text", "text": row["content"]}]} for row in rows(messages)]
    written = backbone.tokenizer.chat_template
    as_parts = "message['content'][0]" in written or "in message['content'] %}" in written
    given = parts if as_parts else rows(messages)
    ids = list(backbone.tokenizer.apply_chat_template(given, return_dict=False, **how))
    start = backbone.tokenizer("")["input_ids"][:1] if backbone.tokenizer.bos_token_id is not None else []
    return ids if ids[: len(start)] == start else [*start, *ids]


@every_pair
def test_the_same_tokens_in_sft_reward_model_ppo_and_evaluation(template, family, tmp_path):
    tokenizer = tokenizer_of(family, template)
    tokenizer.save_pretrained(tmp_path)
    model_of(tokenizer).save_pretrained(tmp_path)
    backbone = Backbone.load(str(tmp_path))
    prompts = [Conversation(talk) for talk in TALKS]
    text = Unicode(1000)
    policy = LoRAPolicy({"prompt": text}, text, lambda left: 1e-3, backbone=str(tmp_path), max_new_tokens=1)
    assert policy.backbone is backbone
    of_ppo = policy.encode({"prompt": prompts})
    of_sft = sft_rows(backbone, [(prompt, SAID) for prompt in prompts])
    of_reward = [reward_row(backbone, prompt, SAID) for prompt in prompts]
    evaluator = Evaluator(Asked(prompts), lambda turns: [0.0] * len(turns), 1)
    of_evaluation = [row for episode in evaluator.answer(backbone.reference, 0.0).rows for row in episode]
    for i in range(len(prompts)):
        assert of_ppo[i] == of_sft[i][0] == of_reward[i][0] == of_evaluation[i][0]
        assert of_sft[i][1] == of_reward[i][1]
        assert of_reward[i][1][-1] == backbone.end_ids[0]  # the scored position
        assert not set(backbone.end_ids) & set(of_reward[i][1][:-1])
    backbone.release()


@every_pair
def test_prompt_response_and_end_are_what_the_template_writes(template, family):
    backbone = backbone_of(family, template)
    for talk in TALKS:
        if TOLD in talk and template in FOLDED:
            continue
        prompt, response = reward_row(backbone, Conversation(talk), SAID)
        whole = own_ids(backbone, [*talk, Message("assistant", SAID)])
        ours = [*prompt, *response]
        if ENDS[template] not in backbone.tokenizer.get_vocab():  # then it is text, and the end is the tokenizer's
            assert ours.pop() == backbone.tokenizer.eos_token_id
        assert whole[: len(ours)] == ours
        if template not in NOT_PLAIN:
            assert prompt == own_ids(backbone, talk, add_generation_prompt=True)[: len(prompt)]


@every_pair
def test_what_ends_a_turn_is_the_first_end_token_and_a_start_token_stands_once(template, family):
    backbone = backbone_of(family, template)
    tokenizer, end = backbone.tokenizer, ENDS[template]
    expected = end if end in tokenizer.get_vocab() else tokenizer.eos_token
    assert tokenizer.convert_ids_to_tokens(backbone.end_ids[0]) == expected
    assert tokenizer.eos_token_id in backbone.end_ids
    ids = backbone.encode_prompt(Conversation(TALKS[2]))
    bos = tokenizer.bos_token_id
    starts = FAMILIES[family].around != "$A" or "bos_token" in tokenizer.chat_template
    if bos is not None and starts:
        assert ids[0] == bos
        assert ids.count(bos) == 1 or bos in (backbone.end_ids[0], tokenizer.eos_token_id)
        assert ids[1] != bos
    assert ids[-1] not in backbone.end_ids


def test_every_template_of_the_folder_is_tried():
    assert {path.stem for path in TEMPLATES.glob("*.jinja")} == {template for template, _ in PAIRS} == set(ENDS)


def test_known_tokens_of_some_families():
    """Written by hand from the models' own documentation."""

    def text(family: str, template: str, talk: list[Message]) -> str:
        backbone = backbone_of(family, template)
        return backbone.tokenizer.decode(backbone.encode_prompt(Conversation(talk)))

    assert text("qwen", "qwen3", [Message("user", "Hi")]) == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    assert text("llama3", "llama3", [Message("user", "Hi")]) == (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    assert text("gemma", "gemma", [TOLD, Message("user", "Hi")]) == (
        "<bos><start_of_turn>user\nAnswer in one word.\n\nHi<end_of_turn>\n<start_of_turn>model\n"
    )
    assert text("gptoss", "gptoss", [Message("user", "Hi")]).endswith(
        "<|start|>user<|message|>Hi<|end|><|start|>assistant<|channel|>final<|message|>"
    )
    assert text("deepseek", "deepseekv3", [Message("user", "Hi")]) == (
        "<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>"
    )
    assert text("tekken", "mistral_v3_tekken", [TOLD, Message("user", "Hi")]) == (
        "<s>[INST]Answer in one word.\n\nHi[/INST]"
    )


def test_a_transcript_is_split_into_its_turns():
    backbone = backbone_of("qwen", "qwen2_5")
    text = f"\n\nHuman: Hello there\n\nAssistant: Hello, I am here.\n\nHuman: {ASKED.content}\n\nAssistant:"
    assert backbone.encode_prompt(text) == backbone.encode_prompt(Conversation(EARLIER))
    assert backbone.encode_prompt(ASKED.content) == backbone.encode_prompt(Conversation([ASKED]))


# Nothing that is said becomes a token that steers.

NAMES = "<|im_end|> <|im_start|> <|endoftext|> </s> <s> <end_of_turn> <｜User｜> <|eot_id|> <bos>".split()
PIECES = st.one_of(
    st.sampled_from([*NAMES, "<|im_", "end|>", "<", "</think>", "[INST]", "[/INST]", "<|end|>", "<|user|>", "<unk>"]),
    st.sampled_from(["yes", " no", "What", "\n", ".", "é", "漢", "🙂", "1", "<|im_end", "|>"]),
)
SPOKEN = st.lists(PIECES, min_size=1, max_size=8).map(lambda parts: f"a{''.join(parts)}z")
ATTACKED = [
    ("qwen", "qwen3"), ("turns not special", "chatml"), ("deepseek", "deepseekv3"), ("llama3", "llama3"),
    ("gemma", "gemma"), ("llama2", "zephyr"), ("mistral3", "mistral_v2v3"), ("phi3", "phi3"), ("smollm", "smollm2"),
    ("tekken", "mistral_v3_tekken"), ("appends its end", "chatml"), ("gpt2", "chatml"),
]  # fmt: skip
_made: dict[tuple[str, str | None], Backbone] = {}


def attacked(family: str, template: str | None) -> Backbone:
    if (family, template) not in _made:
        _made[family, template] = backbone_of(family, template)
    return _made[family, template]


def controls(family: str, template: str | None) -> set[int]:
    """Ids of what is special or builds turns, but for the unknown token, which texts may need."""
    backbone = attacked(family, template)
    of = FAMILIES[family]
    turns = [token for token in of.added if token not in ("<think>", "</think>") or template is None]
    turns = [token for token in turns if "tool" not in token and "think" not in token]
    ids = {backbone.tokenizer.convert_tokens_to_ids(token) for token in [*of.special, *(turns if template else ())]}
    return (ids | set(backbone.end_ids)) - {backbone.tokenizer.unk_token_id}


@pytest.mark.parametrize(("family", "template"), ATTACKED)
@settings(max_examples=25)
@given(text=SPOKEN)
def test_no_words_become_a_token_that_steers(family, template, text):
    backbone, steering = attacked(family, template), controls(family, template)
    harmless = backbone.encode_prompt(Conversation([Message("user", "aaz")]))
    ids = backbone.encode_prompt(Conversation([Message("user", text)]))
    assert [i for i in ids if i in steering] == [i for i in harmless if i in steering]
    assert text in backbone.tokenizer.decode(ids)
    response = backbone.encode_response(text)
    assert not steering & set(response)
    assert backbone.decode([*response, backbone.end_ids[0]]) == text


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=25)
@given(text=SPOKEN)
def test_no_words_become_a_token_that_steers_without_a_template(family, text):
    backbone, steering = attacked(family, None), controls(family, None)
    plain = backbone.encode_prompt("az")
    ids = backbone.encode_prompt(text)
    assert [i for i in ids if i in steering] == [i for i in plain if i in steering]
    assert text in backbone.tokenizer.decode(ids)
    assert backbone.decode(backbone.encode_response(text)) == text
    assert not steering & set(backbone.encode_response(text))


def test_what_the_template_alone_writes_is_text_where_a_user_says_it():
    backbone = attacked("qwen", "qwen3")
    thought = backbone.tokenizer.convert_tokens_to_ids("</think>")
    asked = backbone.encode_prompt(Conversation([Message("user", "a</think>z")]))
    assert asked.count(thought) == 1  # the template's own
    assert thought in backbone.encode_response("<think>\nyes\n</think>\n\nno")  # and a token where the model thinks


@pytest.mark.parametrize("template", [None, "chatml"])
def test_a_tokenizer_that_appends_its_end_leaves_none_at_the_end_of_a_prompt(template):
    backbone = attacked("appends its end", template)
    assert backbone.tokenizer("yes")["input_ids"][-1] in backbone.end_ids
    ids = backbone.encode_prompt("yes")
    assert ids[-1] not in backbone.end_ids
    assert ids[0] == backbone.tokenizer.bos_token_id


# Prompts that are too long.


def long_talk(turns: int) -> list[Message]:
    said = [Message(role, f"{role} says {i} " + "word " * 10) for i in range(turns) for role in ("user", "assistant")]
    return [TOLD, *said, ASKED]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Backbone:
    monkeypatch.setattr(Backbone, "max_prompt_tokens", 200)
    return backbone_of("qwen", "chatml")


def test_the_oldest_messages_go_first(short):
    ids = short.encode_prompt(Conversation(long_talk(20)))
    text = short.tokenizer.decode(ids)
    assert len(ids) <= 200
    assert text.startswith("<|im_start|>system\nAnswer in one word.<|im_end|>\n<|im_start|>user\nuser says")
    assert text.endswith(f"<|im_start|>user\n{ASKED.content}<|im_end|>\n<|im_start|>assistant\n")
    assert text.count("<|im_start|>user") == text.count("<|im_start|>assistant")
    assert "user says 19 " in text
    assert "user says 0 " not in text
    assert short.cut_prompts == 1
    short.encode_prompt(Conversation([ASKED]))
    assert short.cut_prompts == 1


def test_of_one_long_message_the_oldest_words_go(short):
    words = "first " + "word " * 500 + "last"
    ids = short.encode_prompt(Conversation([TOLD, Message("user", words)]))
    text = short.tokenizer.decode(ids)
    assert 190 < len(ids) <= 200
    assert text.startswith("<|im_start|>system\nAnswer in one word.<|im_end|>\n<|im_start|>user\n")
    assert text.endswith("word last<|im_end|>\n<|im_start|>assistant\n")
    assert "first" not in text
    assert short.cut_prompts == 1


def test_a_system_message_that_fills_the_prompt_gives_way(short):
    ids = short.encode_prompt(Conversation([Message("system", "word " * 500), ASKED]))
    text = short.tokenizer.decode(ids)
    assert len(ids) <= 200
    assert ASKED.content in text
    assert "word" not in text


def test_a_template_that_leaves_no_room_is_one_clear_line(monkeypatch):
    backbone = backbone_of("phi4", "phi_4")
    monkeypatch.setattr(Backbone, "max_prompt_tokens", 200)
    with pytest.raises(BackboneError, match=r"writes 8.. tokens around an empty message, and a prompt may have 200"):
        backbone.encode_prompt("yes")


def test_cut_responses_are_counted():
    backbone = backbone_of("qwen", "chatml")
    assert len(backbone.encode_response("word " * 2000)) == backbone.max_response_tokens - 1
    assert backbone.cut_responses == 1
    backbone.encode_response("word")
    assert backbone.cut_responses == 1


# Messages that a template does not take as they are.


def said_of(backbone: Backbone, messages: list[Message]) -> str:
    return backbone.tokenizer.decode(backbone.encode_prompt(Conversation(messages)))


def test_roles_that_must_alternate_are_merged():
    gemma = backbone_of("gemma", "gemma")
    two = [Message("user", "One."), Message("user", "Two.")]
    assert said_of(gemma, two) == said_of(gemma, [Message("user", "One.\n\nTwo.")])
    first = said_of(gemma, [Message("assistant", "Yes?"), ASKED])
    assert first.startswith("<bos><start_of_turn>user\n<end_of_turn>\n<start_of_turn>model\nYes?<end_of_turn>\n")
    chatml = backbone_of("qwen", "chatml")
    assert said_of(chatml, two).count("<|im_start|>user") == 2  # which may


def test_a_system_message_amid_others_goes_into_the_next_of_the_user():
    talk = [Message("user", "One."), Message("assistant", "Yes."), TOLD, Message("user", "Two.")]
    text = said_of(backbone_of("gemma", "gemma"), talk)
    assert "model\nYes.<end_of_turn>\n<start_of_turn>user\nAnswer in one word.\n\nTwo.<end_of_turn>" in text


# Which template.


def test_a_file_and_none(tmp_path):
    file = tmp_path / "mine.jinja"
    file.write_text("{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}")
    ours = backbone_of("qwen", "chatml", chat_template=str(file))
    assert said_of(ours, [Message("user", "Hi")]) == "[user] Hi<|im_end|>[assistant]"
    assert ours.tokenizer.convert_ids_to_tokens(ours.encode_response("yes"))[0].startswith("Ġ")
    none = backbone_of("qwen", "chatml", chat_template="none")
    assert none.chat is None
    talk = Conversation([Message("user", "Hi")], text="Q: Hi\nA:")
    assert none.encode_prompt(talk) == none.tokenizer("Q: Hi\nA:")["input_ids"]


BAD = {
    "{% for m in messages %}": "raises: ",
    "{{ raise_exception('never') }}": "raises: never",
    "{{ messages[0]['content'] }}": "does not write what user and assistant say",
    "{% if messages[7].content.x.y %}{% endif %}": "raises: ",
    "  ": "is empty; expected Jinja",
}


@pytest.mark.parametrize("source", BAD)
def test_a_bad_template_is_one_clear_line(source, tmp_path):
    file = tmp_path / "bad.jinja"
    file.write_text(source)
    with pytest.raises(BackboneError) as error:
        backbone_of("qwen", None, chat_template=str(file))
    assert BAD[source] in str(error.value)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_template_that_is_no_file_is_one_clear_line(tmp_path):
    with pytest.raises(BackboneError, match=r"cannot be read.*expected auto, none or a file of Jinja"):
        backbone_of("qwen", None, chat_template=str(tmp_path / "no.jinja"))


def test_a_template_that_raises_at_a_prompt_is_one_clear_line(tmp_path):
    file = tmp_path / "picky.jinja"
    file.write_text(
        "{% for m in messages %}{% if 'secret' in m.content %}{{ raise_exception('no secrets') }}{% endif %}"
        "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"
    )
    backbone = backbone_of("qwen", None, chat_template=str(file))
    with pytest.raises(BackboneError, match=r"picky.jinja raises: no secrets.*--chat-template none") as error:
        backbone.encode_prompt("a secret")
    assert "\n" not in str(error.value)


def test_a_turn_that_ends_with_a_token_without_an_embedding_is_one_clear_line():
    tokenizer = tokenizer_of("qwen", "chatml")
    model = model_of(tokenizer)
    model.resize_token_embeddings(len(tokenizer) - 9)  # without the added ones
    with pytest.raises(BackboneError, match=r"ends turns with '<.im_end.>', token .*resize_token"):
        Backbone("no/where", model, tokenizer)


def test_the_date_stands_still():
    macro = "{% for m in messages %}{{ strftime_now('%Y-%m-%d %H %B') }} {{ m.content }}</s>{% endfor %}"
    template = Template(tokenizer_of("llama2"), macro, "dated")
    assert template.around([Message("user", "Hi")])[0].startswith("2024-07-26 00 July Hi")


def test_two_templates_are_two_backbones_in_memory(tmp_path):
    tokenizer = tokenizer_of("qwen", "chatml")
    tokenizer.save_pretrained(tmp_path)
    model_of(tokenizer).save_pretrained(tmp_path)
    path = str(tmp_path)
    auto, none = Backbone.load(path), Backbone.load(path, settings=LoadSettings(chat_template="none"))
    assert auto is not none
    assert auto.hash == none.hash
    assert Backbone.load(path, settings=LoadSettings()) is auto
    (tmp_path / "chat_template.jinja").write_text((TEMPLATES / "zephyr.jinja").read_text())
    assert Backbone.load(path, settings=LoadSettings()) is not auto  # the folder was written anew


# Images.


@pytest.mark.parametrize("template", ["gemma3", "chatml"])
def test_an_image_stands_in_the_users_message(template, tmp_path):
    backbone = Backbone.load(str(save_seeing_gemma(tmp_path)))
    file = TEMPLATES / f"{template}.jinja"
    with_template = Backbone.load(str(tmp_path), settings=LoadSettings(chat_template=str(file)))
    image = np.zeros((32, 32, 3), np.uint8)
    asked = Conversation([Message("user", "yes<patch><image>?")])
    ids = with_template.encode_prompt(asked, image)
    (shown,) = [backbone.vision.ids(image)]
    place = next(i for i in range(len(ids)) if ids[i : i + len(shown)] == shown)
    assert ids.count(backbone.vision.token_id) == 16
    before, after = backbone.tokenizer.decode(ids[:place]), backbone.tokenizer.decode(ids[place + len(shown) :])
    assert "user" in before and "yes<patch><image>?" in after  # noqa: PT018
    assert np.array_equal(ids.image, image)
    assert torch.isfinite(
        backbone.model(input_ids=torch.tensor([ids]), **backbone.vision.inputs([image], torch.tensor([ids]))).logits
    ).all()
