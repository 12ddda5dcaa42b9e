"""Models of many kinds are sampled from and scored as their plain forwards say, and go through the commands."""

import pytest
from architectures import COMMANDS, OTHERS, REFUSED, TEXT, config_of, image_models, row_of, save_model
from tiny_models import save_gemma
from transformers import AutoModelForCausalLM

from backbones.backbone import Backbone, BackboneError
from backbones.forward import log_probs_of
from backbones.model.targets import adapted_names
from backbones.roles import LoRASettings

THROUGH = ["Llama 4 (text)", "Falcon with ALiBi", "DeepSeek-V3", "Gemma 3n (text)", "Qwen3.5"]  # through all commands
FAST = [
    "Mistral, window of 32", "Mixtral", "Qwen3-Next", "Gemma 4 (text)", "Phi-3", "GPT-2", "GPT-OSS", "OPT", "BLOOM",
    "MPT", "DeepSeek-V2", "LFM2", "Granite 4 (hybrid)",
]  # fmt: skip
KINDS = {kind.name: kind for kind in (*TEXT, *OTHERS, *REFUSED)}


def known(kinds):
    return [pytest.param(kind, id=kind.name) for kind in kinds]


@pytest.mark.parametrize("kind", known(KINDS[name] for name in FAST))
def test_sampling_and_scoring_are_the_plain_forward(kind, tmp_path):
    row = row_of(kind, tmp_path, commands=False)
    assert row.refused == ""
    assert row.numbers.sound(), row.numbers
    assert row.numbers.idle == 0


@pytest.mark.parametrize("kind", known(KINDS[name] for name in THROUGH))
def test_the_commands_take_it(kind, tmp_path):
    row = row_of(kind, tmp_path)
    assert row.numbers.sound(), row.numbers
    assert row.commands == dict.fromkeys(COMMANDS, "ok")


@pytest.mark.long
@pytest.mark.parametrize("kind", known([*TEXT, *image_models()]))
def test_every_kind_goes_through_the_commands(kind, tmp_path):
    test_the_commands_take_it(kind, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("kind", known(OTHERS))
def test_other_kinds_are_sampled_from_and_scored(kind, tmp_path):
    row = row_of(kind, tmp_path, commands=False)
    assert row.numbers.sound(), row.numbers


@pytest.mark.parametrize("kind", known(REFUSED))
def test_what_cannot_be_used_is_refused_in_one_line_that_says_what_can(kind, tmp_path):
    with pytest.raises(BackboneError, match="take a decoder") as error:
        Backbone.load(str(save_model(kind, tmp_path)))
    assert "\n" not in str(error.value)


def test_a_model_whose_weights_say_nothing_yet_is_not_refused(tmp_path):
    Backbone.load(str(save_gemma(tmp_path)))  # of weights so small that the context hardly matters


def test_targets_of_hybrids_are_those_of_the_layers_that_have_them():
    model = AutoModelForCausalLM.from_config(config_of(KINDS["LFM2"], 320))
    names = adapted_names(model)
    assert {name.split(".")[2] for name in names} == {"1"}  # the other layer is a convolution
    assert len(names) == 4
    both = adapted_names(AutoModelForCausalLM.from_config(config_of(KINDS["Qwen3.5"], 320)))
    assert {name.split(".")[3] for name in both} == {"linear_attn", "self_attn"}


def test_layers_below_the_lowest_attention_are_frozen(tmp_path):
    backbone = Backbone.load(str(save_model(KINDS["LFM2"], tmp_path)))
    assert backbone.add_role("policy", LoRASettings(2)).frozen_layers == 1
    assert backbone.add_role("policy", LoRASettings(2, targets="mlp")).frozen_layers == 0


@pytest.mark.parametrize("targets", ["attention", "all-linear"])
def test_mixtures_of_experts_are_adapted_where_they_were_told_to_be_alone(tmp_path, targets):
    """peft takes names such as down_proj for those of experts, and names of a pattern for all layers."""
    backbone = Backbone.load(str(save_model(KINDS["Qwen3-MoE"], tmp_path)))
    role = backbone.add_role("policy", LoRASettings(2, layers=1, targets=targets))
    assert set(role.layers) == {f"model.layers.1.self_attn.{p}_proj" for p in "qkvo"}
    assert role.frozen_layers == 1


def test_a_model_whose_layers_hand_on_more_than_states_keeps_none_and_says_so(tmp_path, capsys):
    backbone = Backbone.load(str(save_model(KINDS["Gemma 3n (text)"], tmp_path)))
    role, rows = backbone.add_role("policy", LoRASettings(2, layers=1)), ([[5, 6, 7]], [[8, 9]])
    plain = log_probs_of(role, *rows)
    for _ in range(2):
        with backbone.frozen_states.kept(role.frozen_layers):
            assert backbone.frozen_states.depth == 0
            assert log_probs_of(role, *rows).equal(plain)
    said = capsys.readouterr().err
    assert said.count("hand on more than hidden states, so the lowest 1 run for every role") == 1
