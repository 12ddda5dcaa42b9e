"""LoRA as peft has it: which maps are adapted, variants and starts; each with every shortcut, and in plain peft."""

import re
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import PeftModel
from test_backbone import perturb
from test_shortcuts import PROMPTS, RESPONSES, equal, figures_and_gradients, packed_and_gradients, reduced
from tiny_models import gemma, save_architecture, save_gemma
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

import backbones.forward as forward_module
from agents import PPO, make_vec_env
from agents.checkpoint import get_state, set_state, state_of_envs
from backbones.backbone import Backbone
from backbones.checkpoints import CheckpointError
from backbones.forward import last_token_scores, log_probs_of
from backbones.generate import generate
from backbones.memory import Held, RoleSettings, plan_memory
from backbones.model.anatomy import hash_base
from backbones.model.targets import adapted_names, linear_maps, pattern_of
from backbones.passes import Shape
from backbones.plain_model import merged
from backbones.role_report import describe_role
from backbones.roles import HeadRole, LoRASettings, load_role
from backbones.shortcuts.from_start import principal_part
from backbones.shortcuts.low_rank import UpProjection
from perlhf.errors import UserError
from rewards.reward_model import RewardModel

VARIANTS = {
    "mlp": LoRASettings(4, targets="mlp"),
    "all-linear": LoRASettings(4, targets="all-linear"),
    "rslora": LoRASettings(4, variant="rslora"),
    "dora": LoRASettings(4, variant="dora", targets="all-linear"),
    "orthogonal": LoRASettings(4, init="orthogonal"),
    "orthogonal dora": LoRASettings(4, init="orthogonal", variant="dora"),
    "pissa": LoRASettings(4, init="pissa", targets="all-linear"),
    "pissa rslora": LoRASettings(4, init="pissa", variant="rslora"),
}
ROWS = [p + r for p, r in zip(PROMPTS, RESPONSES, strict=True)]
MLP, ATTENTION = ["gate_proj", "up_proj", "down_proj"], ["q_proj", "k_proj", "v_proj", "o_proj"]

variants = pytest.mark.parametrize("lora", VARIANTS.values(), ids=VARIANTS)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return gemma(tmp_path_factory.mktemp("gemma"))


@pytest.fixture(scope="module", params=["Gemma3", "GPT2"])  # one of linear maps, one of transposed ones with a bias
def backbone(request, small, tmp_path_factory):
    if request.param == "Gemma3":
        return small
    return Backbone.load(str(save_architecture(request.param, tmp_path_factory.mktemp("model"))))


# Targets.


@pytest.mark.parametrize(
    ("targets", "layers", "leaves", "count"),
    [
        ("attention", None, ATTENTION, 8),
        ("mlp", None, MLP, 6),
        ("all-linear", None, ATTENTION + MLP, 14),
        ("all-linear", 1, ATTENTION + MLP, 7),
        (r".*\.(q_proj|up_proj)", None, ["q_proj", "up_proj"], 4),
        (r".*_proj", 1, ATTENTION + MLP, 7),
        (r".*", None, ATTENTION + MLP, 14),  # the LM head is none of them
    ],
)
def test_what_targets_stand_for(small, targets, layers, leaves, count):
    names = adapted_names(small.model, targets, layers=layers)
    assert len(names) == count
    assert {name.rpartition(".")[2] for name in names} == set(leaves)
    assert layers is None or all(name.startswith("model.layers.1.") for name in names)


def test_the_lowest_adapted_layer_is_where_frozen_states_end(small):
    assert small.add_role("policy", LoRASettings(2, targets=r"model\.layers\.1\.mlp\.up_proj")).frozen_layers == 1
    assert small.add_role("policy", LoRASettings(2, targets=r".*\.up_proj")).frozen_layers == 0
    assert small.add_role("policy", LoRASettings(2, targets="mlp", layers=1)).frozen_layers == 1


def test_maps_outside_of_the_layers_are_of_all_linear_and_no_layer_is_frozen_then(tmp_path):
    backbone = Backbone.load(str(save_architecture("OPT of two widths", tmp_path)))
    outside = {"model.decoder.project_in", "model.decoder.project_out"}
    assert outside <= set(adapted_names(backbone.model, "all-linear"))
    assert not outside & set(adapted_names(backbone.model, "mlp"))
    assert backbone.add_role("policy", LoRASettings(2, targets=r".*\.project_in|.*\.1\.fc1")).frozen_layers == 0


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        (LoRASettings(targets="q_proj"), "'q_proj' matches no linear map of Gemma3ForCausalLM. It has, whole names "
         "such as model.layers.1.mlp.down_proj, ending in q_proj k_proj v_proj o_proj gate_proj up_proj down_proj; "),
        (LoRASettings(targets=r".*\.0\..*", layers=1), "no linear map of Gemma3ForCausalLM in the top 1 of 2 layers"),
        (LoRASettings(targets="(q_proj"), r"lora_targets: expected attention, mlp, .*, got '\(q_proj': missing \)"),
        (LoRASettings(targets="lm_head"), "matches no linear map"),
        (LoRASettings(40, init="pissa"), "pissa takes a rank up to 32, the smaller side of .*q_proj, got 40"),
    ],
)  # fmt: skip
def test_bad_targets_are_one_line_with_what_there_is(small, lora, message):
    with pytest.raises(UserError, match=message) as error:
        small.add_role("policy", lora)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "lohra"}, "lora_variant: expected lora, rslora, dora, got 'lohra'"),
        ({"init": "zero"}, "lora_init: expected default, orthogonal, pissa, got 'zero'"),
        ({"rank": 3, "init": "orthogonal"}, "takes an even rank, got 3"),
        ({"init": "pissa", "variant": "dora"}, "pissa goes with lora_variant lora or rslora, got dora"),
    ],
)
def test_what_does_not_go_together_is_one_line(settings, message):
    with pytest.raises(UserError, match=message):
        LoRASettings(**settings)


NAMES = st.lists(
    st.sampled_from([f"model.layers.{i}.{part}" for i in (0, 1, 2, 11) for part in ("mlp.up", "attn.q", "attn.1.q")]
                    + ["model.project_in", "model.1"]), min_size=1, unique=True)  # fmt: skip


@given(NAMES, NAMES)
def test_a_pattern_matches_its_names_and_no_others(names, others):
    pattern = re.compile(pattern_of(names))
    assert all(pattern.fullmatch(name) for name in names)
    assert [name for name in others if pattern.fullmatch(name)] == [name for name in others if name in names]


def test_a_role_says_what_it_adapts(small, tmp_path):
    role = small.add_role("policy", LoRASettings(4, variant="dora", targets="mlp"))
    trained = 2 * (3 * 4 * (32 + 96) + 96 + 96 + 32)
    share = trained / small.parameter_count
    assert describe_role(role) == (
        f"policy: dora on gate_proj up_proj down_proj x 2, {trained:,} parameters ({share:.2%} of the backbone's)"
    )
    assert "value: a head on the states of the policy role, 32 parameters" in describe_role(
        HeadRole(small, "value", role)
    )
    assert "all weights, on a copy" in describe_role(small.add_role("policy", None))
    with_head = small.add_role(
        "reward", LoRASettings(4, targets=r".*\.(q_proj|up_proj)|.*\.1\.mlp.gate_proj"), head=True
    )
    assert describe_role(with_head).startswith("reward: q_proj up_proj x 2, gate_proj x 1, a head, ")


# A fresh role is the reference; a saved one is what plain peft opens.


@variants
def test_a_fresh_role_is_the_reference_and_the_base_stays(backbone, lora):
    before = hash_base(backbone.model)
    role = backbone.add_role("policy", lora)
    plain = log_probs_of(backbone.reference, PROMPTS, RESPONSES)
    assert torch.equal(log_probs_of(role, PROMPTS, RESPONSES), plain)
    assert generate(role, PROMPTS, 6, 0.0) == generate(backbone.reference, PROMPTS, 6, 0.0)
    perturb(role)
    assert not torch.equal(log_probs_of(role, PROMPTS, RESPONSES), plain)
    assert torch.equal(log_probs_of(backbone.reference, PROMPTS, RESPONSES), plain)
    assert hash_base(backbone.model) == before == backbone.hash


@variants
@pytest.mark.parametrize("precision", ["mixed", "bf16"])
def test_a_fresh_role_is_the_reference_in_reduced_precision(small, lora, precision):
    half = reduced(small.path, precision)
    role = half.add_role("policy", lora)
    plain = log_probs_of(half.reference, PROMPTS, RESPONSES)
    assert torch.equal(log_probs_of(role, PROMPTS, RESPONSES), plain)


@variants
def test_a_saved_role_comes_back_and_opens_in_plain_peft(backbone, lora, tmp_path):
    role = perturb(backbone.add_role("policy", lora))
    ours = log_probs_of(role, PROMPTS, RESPONSES)
    role.save(tmp_path)
    again, _ = load_role(tmp_path, "again", False, backbone)
    assert again.settings == lora
    assert torch.equal(log_probs_of(again, PROMPTS, RESPONSES), ours)
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(backbone.path), tmp_path)
    for model in (plain, merged(role)):
        row = torch.tensor([PROMPTS[1] + RESPONSES[1]])
        with torch.no_grad():
            theirs = model(input_ids=row).logits[0, 4:6].log_softmax(-1)
        of_chosen = theirs[torch.arange(2), torch.tensor(RESPONSES[1])]
        torch.testing.assert_close(of_chosen, ours[1, :2], atol=2e-5, rtol=0)


@variants
def test_a_saved_reward_model_scores_the_same_in_plain_peft(small, lora, tmp_path):
    role = perturb(small.add_role("reward", lora, head=True))
    role.save(tmp_path)
    classifier = AutoModelForSequenceClassification.from_pretrained(small.path, num_labels=1)
    plain = PeftModel.from_pretrained(classifier, tmp_path)
    with role.active() as model, torch.no_grad():
        ours = last_token_scores(model, role.head, ROWS, small.pad_id, small.device)
        theirs = torch.cat([plain(input_ids=torch.tensor([row])).logits[0] for row in ROWS])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_an_adapter_of_before_there_were_variants_opens(small, tmp_path):
    perturb(small.add_role("policy", LoRASettings(4))).save(tmp_path)
    file = tmp_path / "perlhf.json"
    text = file.read_text().replace(',\n    "targets": "attention",\n    "variant": "lora",\n    "init": "default"', "")
    assert "variant" not in text
    file.write_text(text)
    assert load_role(tmp_path, "policy", False, small)[0].settings == LoRASettings(4)


def test_a_pissa_adapter_without_its_start_is_refused(small, tmp_path):
    small.add_role("policy", LoRASettings(4)).save(tmp_path)
    file = tmp_path / "perlhf.json"
    file.write_text(file.read_text().replace('"default"', '"pissa"'))
    with pytest.raises(UserError, match=r"expected \(4, 32\) for .*q_proj.lora_A.weight, got nothing"):
        load_role(tmp_path, "policy", False, small)


# The numbers, by hand.


def test_the_scales_of_lora_and_rslora(small):
    for lora, scale in [
        (LoRASettings(4), 2.0),
        (LoRASettings(4, alpha=6.0), 1.5),
        (LoRASettings(4, variant="rslora"), 8.0),
        (LoRASettings(16, alpha=6.0, variant="rslora"), 1.5),
    ]:
        role = small.add_role("policy", lora)
        assert {layer.scaling[role.adapter] for layer in role.layers.values()} == {scale}


@variants
def test_merged_weights_are_the_formulas(backbone, lora):
    role = perturb(backbone.add_role("policy", lora))
    plain = merged(role)
    for name, layer in role.layers.items():
        transposed = layer.fan_in_fan_out
        weight = layer.get_base_layer().weight.detach()
        weight = weight.T if transposed else weight
        p = {part: role.parameters()[f"{name}.lora_{part}.weight"].detach() for part in "AB"}
        c = {part: role.constants().get(f"{name}.lora_{part}.weight", torch.zeros(())) for part in "AB"}
        scale = role.settings.scaled_alpha / (2 if lora.variant == "rslora" else 4)
        whole = weight + scale * (p["B"] @ p["A"] - (c["B"] @ c["A"] if role.constants() else 0))
        if lora.variant == "dora":
            whole = (
                role.parameters()[f"{name}.lora_magnitude_vector"][:, None] * whole / whole.norm(dim=1, keepdim=True)
            )
        with role.merged() as model:
            now = model.get_submodule(name).get_base_layer().weight
            now = now.T if transposed else now
            torch.testing.assert_close(now, whole, atol=1e-5, rtol=1e-5)
        saved = plain.get_submodule(name).weight
        torch.testing.assert_close(saved.T if transposed else saved, whole, atol=1e-5, rtol=1e-5)


def test_pissa_begins_at_the_principal_part_of_each_weight(small):
    weight = torch.diag(torch.tensor([1.0, 5.0, 3.0, 0.5])) @ torch.eye(4, 6)
    part = principal_part(weight, 2, scaling=2.0)
    torch.testing.assert_close(2.0 * part.b @ part.a, torch.diag(torch.tensor([0.0, 5.0, 3.0, 0.0])) @ torch.eye(4, 6))
    torch.testing.assert_close(part.a.norm(dim=1), torch.tensor([2.5, 1.5]).sqrt())
    role = small.add_role("policy", LoRASettings(32, init="pissa"))  # as wide as the maps
    for name, layer in role.layers.items():
        a, b = (role.parameters()[f"{name}.lora_{part}.weight"] for part in "AB")
        torch.testing.assert_close(2.0 * b @ a, layer.get_base_layer().weight, atol=1e-4, rtol=1e-4)


def test_pissa_takes_the_gradients_of_a_base_without_its_principal_part(small):
    """As peft has it: the residual in the weight, and A and B of the same start on it."""
    role = small.add_role("policy", LoRASettings(4, init="pissa"))
    plain = merged(small.add_role("policy", LoRASettings(4)))
    for name, layer in role.layers.items():
        first = [role.constants()[f"{name}.lora_{part}.weight"] for part in "BA"]
        plain.get_submodule(name).weight.data -= layer.scaling[role.adapter] * first[0] @ first[1]
    other = Backbone(small.path, plain, small.tokenizer)
    theirs = other.add_role("policy", LoRASettings(4))
    gradients = []
    for each in (role, theirs):
        for name, parameter in each.parameters().items():
            parameter.data.copy_(role.constants()[name])
        with each.active() as model:
            output = model(input_ids=torch.tensor([ROWS[1]])).logits
            output.square().sum().backward()
        gradients.append([p.grad for p in each.parameters().values()])
    for one, two in zip(*gradients, strict=True):
        assert one.abs().max() > 0
        torch.testing.assert_close(one, two, atol=1e-3 * float(one.abs().max()), rtol=1e-3)


def test_orthogonal_begins_with_both_drawn(small):
    role = small.add_role("policy", LoRASettings(4, init="orthogonal"), seed=1)
    for name in role.layers:
        a, b = (role.parameters()[f"{name}.lora_{part}.weight"] for part in "AB")
        assert torch.equal(b @ a, torch.zeros(len(b), a.shape[1]))
        assert 0.05 < float(a[0::2].std()) < 0.2
        assert 0.05 < float(b[:, 1::2].std()) < 0.2
    same, other = (small.add_role("policy", LoRASettings(4, init="orthogonal"), seed=seed) for seed in (1, 2))
    assert torch.equal(a, list(same.parameters().values())[-2])
    assert not torch.equal(a, list(other.parameters().values())[-2])


# Every shortcut.


@variants
def test_above_frozen_layers_everything_is_as_on_the_plain_path(backbone, lora):
    top = replace(lora, layers=1)
    policy = perturb(backbone.add_role("policy", top), 1)
    value = perturb(backbone.add_role("value", replace(top, rank=2), head=True), 2)
    plain = figures_and_gradients(backbone, policy, value)
    with backbone.frozen_states.kept(1):
        first = figures_and_gradients(backbone, policy, value)
        again = figures_and_gradients(backbone, policy, value)
        assert backbone.frozen_states.bytes > 0
    for expected, *others in zip(plain, first, again, strict=True):
        assert all(equal(expected, other) for other in others)


@variants
def test_the_top_mlp_and_packed_rows_give_what_the_plain_path_gives(backbone, lora, monkeypatch):
    policy = perturb(backbone.add_role("policy", lora), 1)
    value = perturb(backbone.add_role("value", replace(lora, rank=2), head=True), 2)
    sparse = [*figures_and_gradients(backbone, policy, value), *packed_and_gradients(backbone, value)]
    monkeypatch.setattr(forward_module, "top_mlp_at", lambda *_: nullcontext())
    whole = [*figures_and_gradients(backbone, policy, value), *packed_and_gradients(backbone, value)]
    assert all(equal(one, other) for one, other in zip(whole, sparse, strict=True))
    model = RewardModel(value)
    rows = [(p, r) for p in PROMPTS for r in (RESPONSES[0], RESPONSES[2])]
    assert equal(model.score_rows(rows, per_prompt=2).detach(), model.score_rows(rows).detach())


@variants
def test_thin_products_give_the_gradients_of_plain_linear_maps(backbone, lora):
    policy = perturb(backbone.add_role("policy", lora), 1)
    value = perturb(backbone.add_role("value", replace(lora, rank=2), head=True), 2)
    thin = figures_and_gradients(backbone, policy, value)
    for role in (policy, value):
        for layer in role.layers.values():
            assert type(layer.lora_B[role.adapter]) is UpProjection
            layer.lora_B[role.adapter].__class__ = torch.nn.Linear
    plain = figures_and_gradients(backbone, policy, value)
    assert all(equal(one, other) for one, other in zip(plain, thin, strict=True))


@variants
def test_merged_sampling_says_what_the_adapter_says_and_hands_over_its_states(backbone, lora, monkeypatch):
    role = perturb(backbone.add_role("policy", replace(lora, layers=1)))
    with backbone.frozen_states.kept(1):
        said = generate(role, PROMPTS, 6, 0.0)
        handed_over = backbone.frozen_states.states([p + r for p, r in zip(PROMPTS, said, strict=True)])
    monkeypatch.setattr(role, "merged", role.active)
    assert generate(role, PROMPTS, 6, 0.0) == said
    with backbone.frozen_states.kept(1):
        computed = backbone.frozen_states.states([p + r for p, r in zip(PROMPTS, said, strict=True)])
    assert all(equal(one, two) for one, two in zip(handed_over, computed, strict=True))


def test_roles_of_all_kinds_stand_side_by_side_and_leave_nothing_behind(small):
    alone = {
        name: log_probs_of(perturb(small.add_role(name, lora)), PROMPTS, RESPONSES) for name, lora in VARIANTS.items()
    }
    roles = {name: perturb(small.add_role(name, lora)) for name, lora in VARIANTS.items()}
    for name, role in roles.items():
        assert torch.equal(log_probs_of(role, PROMPTS, RESPONSES), alone[name])
    del roles, role
    last = small.add_role("policy", LoRASettings(2))
    held = {key for layer in last.layers.values() for key in (*layer.lora_A, *layer.lora_variant)}
    assert held == {last.adapter}
    assert {type(m).__name__ for m in linear_maps(small.model).values()} == {"Linear"}


# Training.


def trained(path, env, **settings):
    policy_kwargs = {"backbone": path, "max_new_tokens": 6, **settings}
    return PPO("LoRAPolicy", env, policy_kwargs=policy_kwargs, batch_size=4, learning_rate=1e-2, seed=0, device="cpu")


@pytest.mark.parametrize(
    "settings",
    [
        {"lora_targets": "mlp", "lora_layers": "half", "value_adapter": "shared"},
        {"lora_targets": "all-linear", "lora_variant": "dora"},
        {"lora_init": "pissa", "lora_variant": "rslora", "lora_layers": "1"},
        {"lora_init": "orthogonal", "precision": "mixed"},
    ],
    ids=lambda settings: " ".join(settings.values()),
)
def test_ppo_learns_and_a_loaded_run_goes_on_as_it_would_have(small, tmp_path, settings):
    def env():
        return make_vec_env("HH-v0", 4, seed=0, reward="toy_tasks:starts_with_i")

    algorithm = trained(small.path, env(), **settings).learn(8)  # its preflight saw a KL of 0, and adapters that move
    algorithm.save(tmp_path / "saved")
    loaded = PPO.load(tmp_path / "saved", env=env(), device="cpu")
    for each in (algorithm, loaded):
        each.learn(8, reset_num_timesteps=False)
    for one, two in zip(algorithm.policy.parameters(), loaded.policy.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_start_is_part_of_a_checkpoint_and_of_a_value_that_begins_as_a_reward_model(small, tmp_path):
    role = perturb(small.add_role("reward", LoRASettings(4, init="pissa"), head=True))
    for start in role.constants().values():
        start.mul_(0.5)  # as one that was computed on another machine
    env = make_vec_env("HH-v0", 4, seed=0, reward=RewardModel(role))
    algorithm = trained(small.path, env, lora_init="pissa").learn(4)
    value, policy = algorithm.policy.value_role, algorithm.policy.policy_role
    assert all(torch.equal(value.constants()[name], start) for name, start in role.constants().items())
    for start in policy.constants().values():
        start.mul_(0.5)
    algorithm.save(tmp_path / "saved")
    loaded = PPO.load(tmp_path / "saved", device="cpu").policy
    for mine, theirs in ((value, loaded.value_role), (policy, loaded.policy_role)):
        assert all(torch.equal(start, theirs.constants()[name]) for name, start in mine.constants().items())


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ({"lora_init": "pissa"}, {}),
        ({}, {"lora_init": "pissa"}),
        ({"lora_variant": "dora"}, {}),
        ({"lora_targets": "all-linear"}, {}),
    ],
)
def test_a_checkpoint_of_other_adapters_is_refused(small, then, now):
    env = make_vec_env("HH-v0", 4, seed=0, reward="toy_tasks:starts_with_i")
    saved, other = (trained(small.path, env, **settings) for settings in (then, now))
    with pytest.raises(CheckpointError, match=r"made with other adapters .* give the --lora-init,") as error:
        set_state(other, *get_state(saved, state_of_envs(saved)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("lora", "weights", "trained"),
    [
        (LoRASettings(8, targets="mlp"), 3 * 8 * (32 + 96), 3 * 8 * (32 + 96)),
        (LoRASettings(8, variant="dora"), 4 * 8 * 64 + 4 * 32, 4 * 8 * 64 + 4 * 32),
        (LoRASettings(8, init="pissa"), 2 * 4 * 8 * 64, 4 * 8 * 64),
    ],
    ids=["mlp", "dora", "pissa"],
)
def test_the_memory_plan_counts_what_there_is(small, lora, weights, trained):
    plan = plan_memory(small.path, RoleSettings(lora, lora, lora), Shape(8, 4, 2, 2))
    assert plan.roles["policy"] == Held(2 * 4 * weights, 2 * 4 * trained, 2 * 2 * 4 * trained)
    assert plan.roles["reward"] == Held(2 * 4 * weights + 4 * 32)
    role = small.add_role("policy", lora)
    held = [*role.parameters().values(), *role.constants().values()]
    assert sum(tensor.nbytes for tensor in held) == plan.roles["policy"].weights
    assert plan.merged == sum(layer.get_base_layer().weight.nbytes for layer in role.layers.values())


def test_the_base_of_the_tests_is_as_it_was(small, tmp_path):
    assert hash_base(small.model) == hash_base(AutoModelForCausalLM.from_pretrained(save_gemma(tmp_path)))
