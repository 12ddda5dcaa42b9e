"""Stop strings: how they are written, where a response is over, and that such a response counts as ended."""

import numpy as np
import pytest
import torch
from chat_models import backbone_of, model_of, tokenizer_of
from hypothesis import given
from hypothesis import strategies as st

from agents.policy import LoRAPolicy
from agents.preflight import before_update, require
from agents.rollout import ScoreSettings, score_rollout
from agents.steps import Step
from backbones.backbone import Backbone
from backbones.draws import row_seeds
from backbones.forward import log_probs_of
from backbones.generate import generate
from backbones.model.loading import BackboneError, LoadSettings
from backbones.model.stops import Stops, read_stops
from backbones.roles import LoRASettings
from envs.spaces import Unicode


@pytest.mark.parametrize(
    ("text", "strings"),
    [
        ("", ()),
        (r"\n\nHuman:", ("\n\nHuman:",)),
        ("\n\nHuman:", ("\n\nHuman:",)),  # as YAML has it
        (r"\n\nHuman:,\n\nAssistant:", ("\n\nHuman:", "\n\nAssistant:")),
        (r"a\,b,\\n,<|user|>, x", ("a,b", "\\n", "<|user|>", " x")),
    ],
)
def test_stop_strings_are_separated_by_commas(text, strings):
    assert read_stops(text) == strings


@given(st.lists(st.text(min_size=1, max_size=5), max_size=4))
def test_any_strings_can_be_written(strings):
    text = ",".join(string.replace("\\", "\\\\").replace(",", "\\,") for string in strings)
    assert read_stops(text) == tuple(strings)


@pytest.mark.parametrize(
    ("text", "problem"), [("a,,b", "is empty"), (",", "is empty"), ("a\\", "at its end"), (r"\q", "no backslash 'q'")]
)
def test_bad_stop_strings_are_one_clear_line(text, problem):
    with pytest.raises(BackboneError, match=problem) as error:
        read_stops(text)
    assert "\n" not in str(error.value)


@given(st.text(alphabet="ab\n:é🙂", max_size=30), st.sampled_from(["\n\nab", "b:", "é", "🙂a"]))
def test_the_end_is_seen_at_the_token_that_completes_it_and_text_is_cut_there(text, string):
    tokenizer = tokenizer_of("qwen")
    stops = Stops((string,), tokenizer)
    ids = tokenizer(text)["input_ids"]
    seen = next((n for n in range(1, len(ids) + 1) if stops.end(ids[:n])), None)
    assert (seen is not None) == (string in text)
    assert stops.cut(text) == text.partition(string)[0]
    if seen is not None:
        assert string not in tokenizer.decode(ids[: seen - 1])


def test_sampling_ends_at_a_stop_string_and_decode_leaves_it_out():
    backbone = backbone_of("gpt2", stop=r"\n\nHu,zzz")
    ids = backbone.encode_response("The answer. \n\nHuman: is")
    count = len(backbone.tokenizer)
    (row,) = generate(
        backbone.reference, [backbone.encode_prompt("yes")], len(ids), 0.0,
        allowed=lambda said: torch.arange(count) == ids[len(said)],
    )  # fmt: skip
    assert row == ids[: len(row)]
    assert "\n\nHu" in backbone.tokenizer.decode(row)
    assert "\n\nHu" not in backbone.tokenizer.decode(row[:-1])
    assert backbone.decode(row) == "The answer."
    assert backbone.has_ended(row)
    assert not backbone.has_ended(row[:-1])
    assert not backbone.has_ended([])
    assert backbone.has_ended([backbone.end_ids[0]])


def test_a_stopped_response_counts_as_ended_under_ppo(tmp_path):
    tokenizer = tokenizer_of("qwen")
    tokenizer.save_pretrained(tmp_path)
    model_of(tokenizer).save_pretrained(tmp_path)
    text = Unicode(1000)
    spaces = {"prompt": text}
    policy = LoRAPolicy(spaces, text, lambda left: 1e-3, backbone=str(tmp_path), stop="ab", chat_template="none")
    backbone = policy.backbone
    prompts = [backbone.encode_prompt("yes")] * 3
    responses = [tokenizer("xx ab")["input_ids"], tokenizer("xx a")["input_ids"], [*tokenizer("x")["input_ids"]]]
    responses[2].append(backbone.end_ids[0])
    step = Step(prompts, responses, np.zeros(3), np.ones(3, bool), {})
    settings = ScoreSettings(0.1, 1.0, 1.0, 0.95)
    rollout = score_rollout(policy, [step], {"prompt": ["yes"] * 3}, settings)
    assert rollout.ended.tolist() == [True, False, True]
    assert rollout.scores.tolist() == [0.0, -1.0, 0.0]
    require(before_update(policy, rollout, settings, fresh=True))


def test_frozen_states_of_stopped_rows_are_those_of_a_plain_forward(tmp_path):
    """Rows that stop early leave the batch; what was kept of them must not be mixed with what others said."""
    tokenizer = tokenizer_of("gpt2")
    tokenizer.save_pretrained(tmp_path)
    model = model_of(tokenizer, layers=2)
    model.save_pretrained(tmp_path)
    backbone = Backbone.load(str(tmp_path), settings=LoadSettings(stop="a,e"))
    role = backbone.add_role("policy", LoRASettings(2, layers=1), seed=3)
    prompts = [backbone.encode_prompt(text) for text in ("yes", "no I am", "What do you mean", "maybe")]
    with backbone.frozen_states.kept(role.frozen_layers):
        backbone.frozen_states.open(role.frozen_layers)
        responses = generate(role, prompts, 12, 1.0, row_seeds(1, range(4), 0))
        kept = log_probs_of(role, prompts, responses)
        ended = [[*row, backbone.end_ids[0]] for row in responses]
        kept_ended = log_probs_of(role, prompts, ended)
    assert {len(row) for row in responses} != {12}
    assert any(backbone.stops.end(row) for row in responses)
    assert torch.allclose(kept, log_probs_of(role, prompts, responses), atol=1e-5)
    assert torch.allclose(kept_ended, log_probs_of(role, prompts, ended), atol=1e-5)
