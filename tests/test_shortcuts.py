"""Shortcuts give the plain path's numbers: frozen layers run once, V off the policy's states, merged adapters."""

import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.callbacks import BaseCallback
from test_backbone import perturb
from tiny_models import gemma, save_architecture, save_gemma
from transformers import DynamicCache, LlamaConfig, MistralConfig
from transformers.cache_utils import DynamicSlidingWindowLayer

import backbones.forward as forward_module
from agents import PPO, make_vec_env
from agents.algorithms import functional as F
from backbones.backbone import Backbone
from backbones.draws import row_seeds
from backbones.forward import (
    chosen_log_probs,
    hidden_states,
    last_token_scores,
    log_probs_of,
    packed_end_states,
    packed_end_states_and_sums,
    response_logits,
    response_states,
)
from backbones.generate import generate
from backbones.model.anatomy import decoder_layers, hash_base, top_layers
from backbones.model.loading import LoadSettings
from backbones.roles import HeadRole, LoRASettings, load_role
from backbones.shortcuts.growing_cache import growing_cache
from backbones.shortcuts.low_rank import UpProjection, use_thin_products
from backbones.shortcuts.packing import Packed, fits, one_prompt_each
from backbones.shortcuts.precision import HalfLinear
from backbones.shortcuts.shared_prefix import SHORTEST
from backbones.shortcuts.top_mlp import top_mlp_at
from perlhf.errors import UserError
from rewards.reward_model import RewardModel

PROMPTS, RESPONSES = [[5, 6, 7], [8, 9, 10, 11, 12], [5]], [[20, 21, 1], [22, 1], [30, 31, 32, 33, 1]]
ARCHITECTURES = [
    "Llama", "Qwen3", "OPT", "OPT of two widths", "Granite", "Bloom", "GPTNeoX", "Phi", "Phi3", "GPT2", "Gemma3",
]  # fmt: skip


@pytest.fixture(scope="module", params=ARCHITECTURES)
def backbone(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_gemma(folder) if request.param == "Gemma3" else save_architecture(request.param, folder)
    return Backbone.load(str(folder))


def equal(one, two):
    """To 1e-5 of the largest number in it, or of 1."""
    return float((one - two).abs().max()) <= 1e-5 * max(1.0, float(one.abs().max()))


def counted(layer):
    """How often a layer has run, as a list that grows."""
    calls = []
    layer.register_forward_hook(lambda *_: calls.append(1))
    return calls


def figures_and_gradients(backbone, policy, value):
    """Everything that the roles give for the rows, and the gradients of its sum."""
    batch = backbone.batch(PROMPTS, RESPONSES)
    rows = [p + r for p, r in zip(PROMPTS, RESPONSES, strict=True)]
    with policy.active() as model:
        log_probs = chosen_log_probs(response_logits(model, batch, 1.0), batch.response_ids) * batch.response_mask
        log_probs.square().sum().backward()
    with value.active() as model:
        values = value.head(response_states(model, batch)).squeeze(-1) * batch.response_mask
        scores = last_token_scores(model, value.head, rows, backbone.pad_id, backbone.device, backbone.frozen_states)
        (values.square().sum() + scores.square().sum()).backward()
    figures = [log_probs, values, scores, log_probs_of(backbone.reference, PROMPTS, RESPONSES)]
    parameters = [*policy.parameters().values(), *value.parameters().values()]
    gradients = [p.grad for p in parameters]
    for parameter in parameters:
        parameter.grad = None
    return [f.detach() for f in figures] + gradients


def packed_and_gradients(backbone, value):
    """End states of pairs that share a prompt, sums of their log-probabilities, and the gradients of both."""
    rows = [(p, r) for p in PROMPTS for r in (RESPONSES[0], RESPONSES[2])]
    with value.active() as model:
        packed = Packed.of(rows, 2, backbone)
        figures = [packed_end_states(model, packed), *packed_end_states_and_sums(model, packed)]
        sum(figure.square().sum() for figure in figures).backward()
    gradients = [p.grad for p in value.parameters().values() if p.grad is not None]
    for parameter in value.parameters().values():
        parameter.grad = None
    return [f.detach() for f in figures] + gradients


def test_above_frozen_layers_everything_is_as_on_the_plain_path(backbone):
    policy = perturb(backbone.add_role("policy", LoRASettings(4, layers=1)), 1)
    value = perturb(backbone.add_role("value", LoRASettings(2, layers=1), head=True), 2)
    plain = figures_and_gradients(backbone, policy, value)
    with backbone.frozen_states.kept(1):
        first = figures_and_gradients(backbone, policy, value)
        again = figures_and_gradients(backbone, policy, value)
        assert backbone.frozen_states.bytes == 4 * backbone.hidden_size * sum(map(len, PROMPTS + RESPONSES))
    for expected, *others in zip(plain, first, again, strict=True):
        for other in others:
            assert equal(expected, other)


def test_the_top_mlp_at_some_positions_gives_what_it_gives_at_all(backbone, monkeypatch):
    policy = perturb(backbone.add_role("policy", LoRASettings(4)), 1)
    value = perturb(backbone.add_role("value", LoRASettings(2), head=True), 2)
    sparse = figures_and_gradients(backbone, policy, value)
    packed = packed_and_gradients(backbone, value) if backbone.packs else []
    monkeypatch.setattr(forward_module, "top_mlp_at", lambda *_: nullcontext())
    everywhere = figures_and_gradients(backbone, policy, value)
    everywhere += packed_and_gradients(backbone, value) if backbone.packs else []
    sparse += packed
    assert all(equal(one, other) for one, other in zip(everywhere, sparse, strict=True))


def test_the_top_mlp_runs_where_states_are_read(backbone):
    layers = decoder_layers(backbone.model)
    if not hasattr(layers[-1], "mlp") or "Bloom" in type(backbone.model).__name__:
        pytest.skip("OPT's layers hold the parts of their MLP themselves, and BLOOM's MLP adds what it is given")
    batch, seen = backbone.batch(PROMPTS, RESPONSES), []
    with backbone.reference.active() as model:
        response_states(model, batch)  # so that the model is known
        hook = layers[-1].mlp.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[:2].numel()))
        response_states(model, batch)
        response_logits(model, batch, 1.0)
        rows = [p + r for p, r in zip(PROMPTS, RESPONSES, strict=True)]
        last_token_scores(model, torch.nn.Linear(backbone.hidden_size, 1), rows, backbone.pad_id, backbone.device)
        hidden_states(model, batch.input_ids, batch.attention_mask, batch.position_ids, {})
        hook.remove()
    assert seen == [3 * 6, 3 * 6, 3, 3 * 10]  # rows x (5 response tokens and one before), the last of each, and all


def test_an_mlp_that_is_of_another_kind_runs_everywhere(tmp_path):
    class Routed(torch.nn.Module):
        def __init__(self, mlp, after):
            super().__init__()
            self.mlp, self.after = mlp, after

        def forward(self, x):
            return self.after(self.mlp(x))

    def row_by_row(out):
        if len(out[0]) < 4:
            raise RuntimeError("too few tokens")
        return out

    for after in (lambda out: out - out.mean(1, keepdim=True), lambda out: out.cumsum(1), row_by_row):
        backbone = gemma(tmp_path / str(id(after)))
        layer = decoder_layers(backbone.model)[-1]
        layer.mlp = Routed(layer.mlp, after)
        batch = backbone.batch(PROMPTS, RESPONSES)
        with backbone.reference.active() as model:
            whole = hidden_states(model, batch.input_ids, batch.attention_mask, batch.position_ids, {})
            assert torch.equal(response_states(model, batch), whole[:, -batch.length - 1 : -1])


def test_dropout_does_not_hide_what_the_top_mlp_allows(tmp_path):
    backbone = gemma(tmp_path)
    role = backbone.add_role("policy", LoRASettings(4, dropout=0.5))
    with role.active() as model:
        model.train()
        before = torch.get_rng_state()
        with top_mlp_at(model, (slice(None), slice(-2, None))):
            assert model.training
            states = model.base_model(input_ids=torch.tensor([[3, 4, 5, 6]]), use_cache=False).last_hidden_state
        assert not torch.equal(torch.get_rng_state(), before)  # by the forward, which drops
        torch.set_rng_state(before)
        whole = model.base_model(input_ids=torch.tensor([[3, 4, 5, 6]]), use_cache=False).last_hidden_state
        model.eval()
    assert equal(whole[:, -2:].detach(), states[:, -2:].detach())
    assert not equal(whole[:, :-2].detach(), states[:, :-2].detach())  # the MLP did not run there


def test_adapters_are_on_the_top_layers_alone(backbone):
    role = backbone.add_role("policy", LoRASettings(4, layers=1))
    assert role.frozen_layers == 1
    assert all(".1." in name for name in role.layers)
    everywhere = backbone.add_role("policy", LoRASettings(4))
    assert everywhere.frozen_layers == 0
    assert len(everywhere.layers) == 2 * len(role.layers)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return gemma(tmp_path_factory.mktemp("gemma"))


def test_frozen_layers_run_once_for_a_row(small):
    role = perturb(small.add_role("policy", LoRASettings(4, layers=1)))
    with small.frozen_states.kept(1):
        log_probs_of(role, PROMPTS, RESPONSES)  # so that the model is known
    calls = counted(decoder_layers(small.model)[0].mlp)
    with small.frozen_states.kept(1):
        for _ in range(3):
            log_probs_of(role, PROMPTS, RESPONSES)
            log_probs_of(small.reference, PROMPTS, RESPONSES)
    assert len(calls) == 1  # one batch, once, for two roles and three rounds
    log_probs_of(role, PROMPTS, RESPONSES)
    assert len(calls) == 2  # closed


@pytest.mark.parametrize(("temperature", "begin"), [(0.0, 0), (1.0, 0), (0.0, SHORTEST), (1.0, SHORTEST)])
def test_sampling_hands_over_the_frozen_states_that_would_be_computed(backbone, temperature, begin, monkeypatch):
    role = perturb(backbone.add_role("policy", LoRASettings(4, layers=1)))
    prompts = [[7 + i % 9 for i in range(begin)] + prompt for prompt in PROMPTS * 4]  # all begin alike
    sampled = {"temperature": temperature, "max_new_tokens": 6, "seeds": row_seeds(0, range(len(prompts)), 0)}
    plain = generate(role, prompts, **sampled)
    end = next(row[2] for row in plain if len(row) > 2)
    monkeypatch.setattr(backbone, "end_ids", [end])  # so that rows end at different lengths
    plain = generate(role, prompts, **sampled)
    assert any(row[-1] == end for row in plain)
    assert temperature == 0 or any(row[-1] != end for row in plain)
    with backbone.frozen_states.kept(1):
        open_ = generate(role, prompts, **sampled)
        rows = [p + r for p, r in zip(prompts, open_, strict=True)]
        rows += [row + backbone.end_ids for row in rows if row[-1] not in backbone.end_ids]  # as a reward model has it
        ran = counted(decoder_layers(backbone.model)[0])
        sampled_states = backbone.frozen_states.states(rows)
        assert not ran  # for there is nothing to compute
    assert open_ == plain
    with backbone.frozen_states.kept(1):
        computed = backbone.frozen_states.states(rows)
    assert all(equal(one, two) for one, two in zip(sampled_states, computed, strict=True))


def test_nothing_is_handed_over_of_a_role_that_changes_the_lower_layers_or_beyond_the_limit(small, monkeypatch):
    everywhere, top = (perturb(small.add_role("policy", LoRASettings(4, layers=layers))) for layers in (None, 1))
    with small.frozen_states.kept(1):
        with monkeypatch.context() as patch:
            patch.setattr(small.frozen_states, "limit", 0)
            generate(top, PROMPTS, 4, 0.0)
        assert small.frozen_states.bytes == 0
        generate(everywhere, PROMPTS, 4, 0.0)
        assert small.frozen_states.bytes == 0
        generate(top, PROMPTS, 4, 0.0)
        assert small.frozen_states.bytes > 0


def test_a_row_that_fills_the_context_is_read_no_further(tmp_path, monkeypatch):
    save_architecture("GPT2", tmp_path)  # 256 learned positions
    backbone = Backbone.load(str(tmp_path))
    role = backbone.add_role("policy", LoRASettings(4, layers=1))
    monkeypatch.setattr(backbone, "end_ids", [-1])  # nothing ends
    prompt, length = [5] * backbone.max_prompt_tokens, backbone.max_response_tokens
    assert len(prompt) + length == 256
    with backbone.frozen_states.kept(1):
        (row,) = generate(role, [prompt], length, 0.0)
        ran = counted(decoder_layers(backbone.model)[0])
        assert backbone.frozen_states.states([prompt + row])[0].shape == (256, 32)
        assert not ran


def test_an_error_while_sampling_hands_nothing_over(small):
    role = small.add_role("policy", LoRASettings(4, layers=1))
    with small.frozen_states.kept(1):
        with pytest.raises(ZeroDivisionError):
            generate(role, PROMPTS, 4, 0.0, allowed=lambda said: 1 / 0)
        assert small.frozen_states.bytes == 0
        assert not decoder_layers(small.model)[0]._forward_hooks


def test_constrained_responses_are_handed_over_too(small, monkeypatch):
    role = perturb(small.add_role("policy", LoRASettings(4, layers=1)))
    only = torch.zeros(small.model.config.vocab_size, dtype=torch.bool)
    only[[20, 30]] = True
    with small.frozen_states.kept(1):
        said = generate(role, PROMPTS, 4, 0.0, allowed=lambda _: only)
        assert {token for row in said for token in row} <= {20, 30}
        sampled_states = small.frozen_states.states([p + r for p, r in zip(PROMPTS, said, strict=True)])
    with small.frozen_states.kept(1):
        computed = small.frozen_states.states([p + r for p, r in zip(PROMPTS, said, strict=True)])
    assert all(equal(one, two) for one, two in zip(sampled_states, computed, strict=True))


def test_rows_beyond_the_limit_are_computed_anew(small):
    role = perturb(small.add_role("policy", LoRASettings(4, layers=1)))
    plain = log_probs_of(role, PROMPTS, RESPONSES)
    of_first_row = 4 * small.hidden_size * (len(PROMPTS[0]) + len(RESPONSES[0]))
    before, small.frozen_states.limit = small.frozen_states.limit, of_first_row
    try:
        with small.frozen_states.kept(1):
            for _ in range(2):
                assert torch.allclose(log_probs_of(role, PROMPTS, RESPONSES), plain, atol=1e-5)
            assert small.frozen_states.bytes <= of_first_row
    finally:
        small.frozen_states.limit = before


def test_a_role_that_changes_the_lower_layers_does_not_begin_above_them(small):
    everywhere = perturb(small.add_role("policy", LoRASettings(4)))
    plain = log_probs_of(everywhere, PROMPTS, RESPONSES)
    with small.frozen_states.kept(1):
        assert torch.equal(log_probs_of(everywhere, PROMPTS, RESPONSES), plain)


def test_a_layer_runs_again_after_an_error_above_it(small):
    role = perturb(small.add_role("policy", LoRASettings(4, layers=1)))
    plain = log_probs_of(role, PROMPTS, RESPONSES)
    batch = small.batch(PROMPTS, RESPONSES)
    with (
        small.frozen_states.kept(1),
        pytest.raises(RuntimeError, match="planted"),
        role.active(),
        batch.above_frozen_layers(),
    ):
        raise RuntimeError("planted")
    assert torch.equal(log_probs_of(role, PROMPTS, RESPONSES), plain)


def test_frozen_states_kept_inside_others_leave_those_as_they_were(small):
    role = perturb(small.add_role("policy", LoRASettings(4, layers=1)))
    with small.frozen_states.kept(1):
        log_probs_of(role, PROMPTS, RESPONSES)
        held = small.frozen_states.bytes
        with small.frozen_states.kept(0):
            log_probs_of(role, PROMPTS, RESPONSES)
        assert (small.frozen_states.depth, small.frozen_states.bytes) == (1, held)
    assert (small.frozen_states.depth, small.frozen_states.bytes) == (0, 0)


def test_a_forward_that_a_layer_was_given_comes_back(small, monkeypatch):
    layer = decoder_layers(small.model)[0]
    own = layer.forward
    monkeypatch.setattr(layer, "forward", own)
    with small.frozen_states.kept(1):
        log_probs_of(small.reference, PROMPTS, RESPONSES)
    assert vars(layer)["forward"] is own


@pytest.mark.parametrize(("text", "layers"), [("all", None), ("half", 1), ("quarter", 1), ("1", 1), ("2", None)])
def test_lora_layers_as_text(small, text, layers):
    assert top_layers(text, small.model) == layers


def test_shares_of_the_layers_are_rounded_up():
    models = [SimpleNamespace(config=LlamaConfig(num_hidden_layers=count)) for count in (6, 10, 24)]
    assert [top_layers("half", model) for model in models] == [3, 5, 12]
    assert [top_layers("quarter", model) for model in models] == [2, 3, 6]


@pytest.mark.parametrize("text", ["0", "3", "-1", "top", "", "1.5"])
def test_other_words_for_layers_are_one_clear_line(small, text):
    with pytest.raises(UserError, match=r"expected 'all', 'half', 'quarter' or 1 to 2 \(at the top\), got") as error:
        top_layers(text, small.model)
    assert "\n" not in str(error.value)


# The same under PPO.


def ppo(path, **policy_kwargs):
    """PPO with a trained policy (so that ratios are not 1), one rollout of it in hand."""
    env = make_vec_env("HH-v0", 8, seed=0, reward="toy_tasks:starts_with_i")
    settings = {"backbone": path, "max_new_tokens": 8, **policy_kwargs}
    algorithm = PPO("LoRAPolicy", env, policy_kwargs=settings, batch_size=8, seed=0, device="cpu", ent_coef=0.1)
    algorithm.learn(8)
    perturb(algorithm.policy.policy_role, 3)
    return algorithm


def gradients(algorithm):
    """Of one minibatch, which is the whole last rollout, and what is logged of it; weights stay as they are."""
    algorithm.lr_schedule, algorithm.max_grad_norm = lambda _: 0.0, 1e9
    algorithm.order_generator = np.random.default_rng(0)  # the same order each time
    algorithm.logger.name_to_value.clear()
    algorithm.train()
    names = ("policy_loss", "value_loss", "clip_fraction", "approx_kl", "entropy", "grad_norm")
    logged = algorithm.logger.name_to_value
    figures = {name: logged[f"train/{name}"] for name in names if f"train/{name}" in logged}
    return [p.grad.clone() for p in algorithm.policy.parameters()], figures


@pytest.mark.parametrize("value_adapter", ["own", "shared"])
def test_entropy_is_computed_where_it_counts(small, value_adapter):
    algorithm = ppo(small.path, value_adapter=value_adapter)
    with_bonus, figures = gradients(algorithm)
    batch = algorithm.policy.batch(algorithm.rollout.prompts, algorithm.rollout.responses)
    with algorithm.policy.policy_role.active() as model, torch.no_grad():
        p = response_logits(model, batch, 1.0).softmax(-1)
    wanted = (-(p * p.log()).sum(-1) * batch.response_mask).sum() / batch.response_mask.sum()
    assert figures["entropy"] == pytest.approx(float(wanted), rel=1e-4)
    algorithm.ent_coef = 0.0
    without, figures = gradients(algorithm)
    assert "entropy" not in figures
    assert not equal(with_bonus[0], without[0])
    algorithm.ent_coef = 1e-9
    assert equal(gradients(algorithm)[0][0], without[0])


def agree(one, two):
    for mine, theirs in zip(one[0], two[0], strict=True):
        assert equal(mine, theirs)
        assert mine.abs().max() > 0
    assert one[1] == pytest.approx(two[1], rel=1e-4, abs=1e-5)


def test_one_forward_for_policy_and_value_gives_the_gradients_of_two(small):
    algorithm = ppo(small.path, value_adapter="shared")
    policy, rollout = algorithm.policy, algorithm.rollout
    together, _ = gradients(algorithm)
    policy.optimizer.zero_grad()
    batch, mask = policy.batch(rollout.prompts, rollout.responses), rollout.response_mask
    with policy.value_role.active():
        log_probs, entropies = policy.log_probs_and_entropy(batch)
        advantages = F.normalize(rollout.advantages, mask)
        losses, _ = F.policy_loss(log_probs, rollout.old_log_probs, advantages, mask, clip_range=0.2)
        ((losses.sum() - 0.1 * (entropies * mask).sum()) / mask.sum()).backward()
        errors = F.value_loss(policy.values(batch), rollout.values, rollout.returns, mask, clip_range_vf=0.2)
        (0.5 * errors.sum() / mask.sum()).backward()
    assert all(equal(one, p.grad) for one, p in zip(together, policy.parameters(), strict=True))


def test_a_shared_value_says_0_at_first_and_its_loss_does_not_reach_the_policy(small):
    algorithm = ppo(small.path, value_adapter="shared")
    policy, rollout = algorithm.policy, algorithm.rollout
    assert HeadRole(small, "value", policy.policy_role).head.weight.abs().max() == 0
    batch = policy.batch(rollout.prompts[:2], rollout.responses[:2])
    policy.optimizer.zero_grad()
    with policy.value_role.active():
        (policy.values(batch) - 1).square().sum().backward()
    assert policy.value_role.head.weight.grad.abs().max() > 0
    assert all(p.grad is None for p in policy.policy_role.parameters().values())


def test_a_shared_value_has_no_adapter_and_one_forward_less(small):
    counts = {}
    for kind in ("own", "shared"):
        algorithm = ppo(small.path, value_adapter=kind)
        calls = counted(small.model.base_model)
        gradients(algorithm)
        counts[kind] = len(calls)
        names = [n for n in algorithm.policy.value_role.parameters() if "lora" in n]
        assert bool(names) == (kind == "own")
    assert counts == {"own": 2, "shared": 1}


def test_above_frozen_layers_the_gradients_of_ppo_are_those_of_the_plain_path(small):
    algorithm = ppo(small.path, lora_layers="half")
    plain = gradients(algorithm)
    calls = counted(decoder_layers(small.model)[0].mlp)
    for _ in range(2):
        with small.frozen_states.kept(algorithm.policy.frozen_layers):
            agree(plain, gradients(algorithm))
    assert len(calls) == 2  # once for policy and value


@pytest.mark.parametrize("precision", ["fp32", "mixed"])
def test_after_sampling_frozen_layers_run_no_more_in_an_iteration_of_all_epochs(tmp_path, monkeypatch, precision):
    backbone = Backbone.load(gemma(tmp_path).path, settings=LoadSettings(precision))
    reward = RewardModel(backbone.add_role("reward", LoRASettings(4, layers=1), head=True))
    said = []  # for the random words of this model do not come back as the tokens that were sampled
    monkeypatch.setattr(backbone, "decode", lambda ids: said.append(ids) or str(len(said) - 1))
    monkeypatch.setattr(
        backbone, "encode_response", lambda text: [token for token in said[int(text)] if token not in backbone.end_ids]
    )
    env = make_vec_env("HH-v0", 8, seed=0, reward=reward)
    settings = {"backbone": backbone.path, "max_new_tokens": 8, "lora_layers": "half", "precision": precision}
    algorithm = PPO("LoRAPolicy", env, policy_kwargs=settings, batch_size=4, n_epochs=3, seed=0, device="cpu")
    assert algorithm.policy.backbone is backbone
    algorithm.learn(8)  # with the checks of the first update
    calls, sampling = counted(decoder_layers(backbone.model)[0].mlp), []
    algorithm.policy.sample = lambda *a, sample=algorithm.policy.sample: (sample(*a), sampling.append(len(calls)))[0]
    algorithm.learn(8, reset_num_timesteps=False)
    assert any(row[-1] not in backbone.end_ids for row in said[8:])  # some were cut, which the reward model ends
    assert sampling[0] > 0
    assert len(calls) == sampling[0]
    assert backbone.frozen_states.depth == 0


@pytest.mark.parametrize("kwargs", [{"value_adapter": "shared"}, {"lora_layers": "1"}])
def test_such_runs_are_saved_and_loaded(small, tmp_path, kwargs):
    algorithm = ppo(small.path, **kwargs)
    algorithm.save(tmp_path / "saved")
    again = PPO.load(tmp_path / "saved", device="cpu")
    for role in ("policy_role", "value_role"):
        mine, theirs = (getattr(a.policy, role) for a in (algorithm, again))
        assert type(mine) is type(theirs)
        assert mine.frozen_layers == theirs.frozen_layers
        for one, two in zip(mine.parameters().values(), theirs.parameters().values(), strict=True):
            assert torch.equal(one, two)


def test_a_run_that_a_callback_stops_leaves_nothing_of_its_rollout(small):
    class Stop(BaseCallback):
        def _on_step(self):
            assert self.model.policy.backbone.frozen_states.depth == 1
            return False

    env = make_vec_env("HH-v0", 8, seed=0, reward="toy_tasks:starts_with_i")
    settings = {"backbone": small.path, "max_new_tokens": 8, "lora_layers": "half"}
    PPO("LoRAPolicy", env, policy_kwargs=settings, batch_size=8, seed=0, device="cpu").learn(8, callback=Stop())
    assert small.frozen_states.depth == 0


def test_a_head_alone_is_no_reward_model(small, tmp_path):
    HeadRole(small, "value", small.add_role("policy", LoRASettings(2))).save(tmp_path)
    with pytest.raises(UserError, match="is a head on the states of a policy role, and nothing without it"):
        load_role(tmp_path, "reward", True, small)


def test_a_saved_head_without_its_weights_is_one_clear_line(small, tmp_path):
    role = HeadRole(small, "value", small.add_role("policy", LoRASettings(2)))
    role.save(tmp_path)
    (tmp_path / "head.safetensors").unlink()
    with pytest.raises(UserError, match="holds no weights"):
        role.load(tmp_path)


# An adapter merged into the weights for sampling.


@torch.no_grad()
def logits(backbone, entered):
    with entered as model:
        return response_logits(model, backbone.batch(PROMPTS, RESPONSES), 1.0)


@pytest.mark.parametrize("settings", [LoRASettings(4), LoRASettings(4, alpha=3.0, layers=1)])
def test_a_merged_role_says_what_the_role_says(backbone, settings):
    role = perturb(backbone.add_role("policy", settings))
    before, weights = hash_base(backbone.model), [p.data_ptr() for p in backbone.model.parameters()]
    plain = logits(backbone, role.active())
    assert torch.allclose(logits(backbone, role.merged()), plain, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(logits(backbone, backbone.reference.active()), plain, atol=1e-2)
    assert hash_base(backbone.model) == before
    assert [p.data_ptr() for p in backbone.model.parameters()] == weights  # the very tensors, not equal ones
    assert torch.equal(logits(backbone, role.active()), plain)


def test_no_adapter_runs_while_sampling(small):
    role = perturb(small.add_role("policy", LoRASettings(4)))
    logits(small, role.active())  # so that the model is known
    ran = []
    for layer in role.layers.values():
        layer.lora_A[role.adapter].register_forward_hook(lambda *_: ran.append(1))
    generate(role, PROMPTS, 4, 0.0)
    assert not ran
    logits(small, role.active())
    assert len(ran) == len(role.layers)


def test_another_role_cannot_be_entered_while_one_is_merged(small):
    role = perturb(small.add_role("policy", LoRASettings(4)))
    for other in (small.reference, small.add_role("reward", LoRASettings(2), head=True), role):
        with role.merged(), pytest.raises(RuntimeError, match="role policy is merged into the weights"):
            other.active().__enter__()
    assert small.adapters.active_role is None
    assert small.adapters.merged_role is None


def test_the_weights_come_back_after_an_error(small):
    role, before = perturb(small.add_role("policy", LoRASettings(4))), hash_base(small.model)

    def fail():
        with role.merged():
            assert hash_base(small.model) != before
            raise KeyError("planted")

    with pytest.raises(KeyError, match="planted"):
        fail()
    assert hash_base(small.model) == before


def test_merging_inside_the_role_leaves_it_trainable(small):
    role = perturb(small.add_role("policy", LoRASettings(4)))
    with role.active():
        with role.merged():
            assert not any(p.requires_grad for p in role.parameters().values())
        assert all(p.requires_grad for p in role.parameters().values())


def test_greedy_samples_are_the_likeliest_tokens_of_the_role_as_it_is_trained(small):
    role = perturb(small.add_role("policy", LoRASettings(4)))
    for prompt, said in zip(PROMPTS, generate(role, PROMPTS, 6, 0.0), strict=True):
        with role.active() as model, torch.no_grad():
            likeliest = response_logits(model, small.batch([prompt], [said]), 1.0)[0].argmax(-1)
        assert likeliest.tolist() == said


# Responses that share their prompt.

PAIRS = [(PROMPTS[0], RESPONSES[0]), (PROMPTS[0], RESPONSES[2]), (PROMPTS[1], [40, 1]), (PROMPTS[1], RESPONSES[1])]


def scored(model, per_prompt):
    """Scores of the pairs and the gradients of a loss on them."""
    scores = model.score_rows([(list(p), list(r)) for p, r in PAIRS], per_prompt)
    with model.role.active():
        scores = model.score_rows([(list(p), list(r)) for p, r in PAIRS], per_prompt)
        (scores[0::2] - scores[1::2]).square().sum().backward()
    gradients = [p.grad for p in model.role.parameters().values()]
    for parameter in model.role.parameters().values():
        parameter.grad = None
    return [scores.detach(), *gradients]


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_a_shared_prompt_gives_scores_and_gradients_of_rows_alone(backbone, weight):
    assert backbone.packs == ("Bloom" not in type(backbone.model).__name__)  # which counts positions off the mask
    for layers in (None, 1):
        role = perturb(backbone.add_role("reward", LoRASettings(2, layers=layers), head=True))
        model = RewardModel(role, log_prob_weight=weight)
        plain = scored(model, 1)
        for one, two in zip(plain, scored(model, 2), strict=True):
            assert equal(one, two)
        with backbone.frozen_states.kept(role.frozen_layers):
            for one, two in zip(plain, scored(model, 2), strict=True):
                assert equal(one, two)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_any_responses_of_any_prompts_can_share_rows(small, data):
    tokens = st.lists(st.integers(3, 60), min_size=1, max_size=6)
    count = data.draw(st.integers(1, 4))
    rows = [(p, data.draw(tokens)) for p in data.draw(st.lists(tokens, min_size=1, max_size=4)) for _ in range(count)]
    with torch.no_grad(), small.reference.active() as model:
        states, sums = packed_end_states_and_sums(model, Packed.of(rows, count, small))
        alone = packed_end_states(model, Packed.of(rows, count, small))
    plain = log_probs_of(small.reference, [p for p, _ in rows], [r for _, r in rows])
    assert equal(plain.sum(1), sums)
    assert equal(alone, states)


def test_the_prompt_of_a_pair_is_computed_once(small):
    model = RewardModel(small.add_role("reward", LoRASettings(2), head=True))
    assert small.packs
    widths = []
    decoder_layers(small.model)[0].register_forward_hook(
        lambda _, inputs, __: widths.append(inputs[0].shape[:2].numel())
    )
    rows = [([5] * 20, [6, 1]), ([5] * 20, [7, 1])]
    model.score_rows(rows, per_prompt=2)
    model.score_rows(rows)
    assert widths == [20 + 2 + 2, 2 * (20 + 2)]


def test_rows_longer_than_a_window_of_attention_stand_alone(small, monkeypatch):
    monkeypatch.setattr(small.model.config.get_text_config(), "sliding_window", 8)
    assert fits(small, PAIRS)
    assert not fits(small, [([5] * 7, [1, 2])])


def test_rows_of_different_prompts_are_not_packed():
    assert one_prompt_each(PAIRS, 2)
    assert not one_prompt_each(PAIRS, 4)
    assert not one_prompt_each(PAIRS[1:], 2)
    assert not one_prompt_each(PAIRS[:3], 2)


# Thin products.


@given(st.integers(1, 20), st.integers(1, 3), st.integers(1, 7), st.integers(0, 2**16))
def test_an_up_projection_gives_what_a_linear_map_gives(rank, rows, out, seed):
    generator = torch.Generator().manual_seed(seed)
    plain = torch.nn.Linear(rank, out, bias=False).double()
    thin = torch.nn.Linear(rank, out, bias=False).double()
    thin.load_state_dict(plain.state_dict())
    use_thin_products(thin)
    results = []
    for linear in (plain, thin):
        low = torch.randn(rows, 4, rank, generator=generator.manual_seed(seed), dtype=torch.double, requires_grad=True)
        up = linear(low)
        up.square().sum().backward()
        results.append((up, low.grad, linear.weight.grad))
    for one, two in zip(*results, strict=True):
        assert torch.allclose(one, two, rtol=1e-10, atol=1e-12)


def test_adapters_use_it(small):
    role = small.add_role("policy", LoRASettings(4))
    assert {type(layer.lora_B[role.adapter]) for layer in role.layers.values()} == {UpProjection}


# Precision.


def reduced(path, precision):
    """A model of a folder that nobody else is given."""
    backbone = Backbone.load(path, "cpu", LoadSettings(precision))
    backbone.release()
    return backbone


@pytest.mark.parametrize("name", ["Llama", "Qwen3", "GPTNeoX", "Gemma3"])
@pytest.mark.parametrize(("precision", "gap"), [("mixed", 0.05), ("bf16", 0.1)])
def test_reduced_precision_says_nearly_the_same(name, precision, gap, tmp_path):
    path = str(save_gemma(tmp_path) if name == "Gemma3" else save_architecture(name, tmp_path))
    plain, half = reduced(path, "fp32"), reduced(path, precision)
    one, two = (log_probs_of(perturb(b.add_role("policy", LoRASettings(4))), PROMPTS, RESPONSES) for b in (plain, half))
    assert torch.allclose(one, two, atol=gap)
    assert not torch.equal(one, two)
    assert half.hash == plain.hash  # adapters of one are adapters of the other
    assert hash_base(half.model) != half.hash


def test_mixed_halves_the_linear_weights_and_leaves_all_else_in_float32(small):
    half = reduced(small.path, "mixed")
    role = half.add_role("policy", LoRASettings(4))
    types = {n: m.weight.dtype for n, m in half.model.named_modules() if isinstance(m, HalfLinear)}
    assert len(types) == 2 * 7 + 1
    assert set(types.values()) == {torch.bfloat16}
    assert {p.dtype for p in role.parameters().values()} == {torch.float32}
    norms = [p.dtype for n, p in half.model.named_parameters() if "norm" in n]
    assert set(norms) == {torch.float32}
    with role.active() as model:
        states = model.base_model(input_ids=torch.tensor([[5, 6]])).last_hidden_state
    assert states.dtype == torch.float32


def test_gradients_in_mixed_precision_point_where_those_of_float32_do(small):
    found = []
    for backbone in (reduced(small.path, "fp32"), reduced(small.path, "mixed")):
        role = perturb(backbone.add_role("policy", LoRASettings(4)))
        batch = backbone.batch(PROMPTS, RESPONSES)
        with role.active() as model:
            chosen_log_probs(response_logits(model, batch, 1.0), batch.response_ids).sum().backward()
        found.append(torch.cat([p.grad.flatten() for p in role.parameters().values()]))
    assert torch.cosine_similarity(*found, dim=0) > 0.999


def test_adapters_are_not_merged_into_bf16_weights(small):
    half = reduced(small.path, "mixed")
    role = perturb(half.add_role("policy", LoRASettings(4)))
    assert torch.equal(logits(half, role.merged()), logits(half, role.active()))


def test_a_model_in_memory_is_shared_with_who_asks_for_no_precision(tmp_path):
    path = str(save_gemma(tmp_path))
    half = Backbone.load(path, settings=LoadSettings("mixed"))
    assert Backbone.load(path) is half
    whole = Backbone.load(path, settings=LoadSettings("fp32"))
    assert whole is not half
    assert Backbone.load(path, settings=LoadSettings("mixed")) is half
    assert Backbone.of_hash(whole.hash, path) in (whole, half)


def test_unknown_precisions_and_full_tuning_in_bf16_are_one_clear_line(small):
    with pytest.raises(UserError, match=r"no precision 'bf17'. Did you mean 'bf16'"):
        reduced(small.path, "bf17")
    with pytest.raises(UserError, match="trains all weights, which takes float32; --precision is mixed"):
        reduced(small.path, "mixed").add_role("policy", None)


def test_ppo_learns_in_mixed_precision_with_everything_shared(small):
    algorithm = ppo(small.path, value_adapter="shared", lora_layers="half", precision="mixed")
    assert algorithm.policy.backbone.precision == "mixed"
    before = [p.clone() for p in algorithm.policy.parameters()]
    algorithm.learn(8, reset_num_timesteps=False)  # the checks of the first update passed
    assert any(not torch.equal(a, b) for a, b in zip(before, algorithm.policy.parameters(), strict=True))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_growing_cache_samples_what_transformers_own_does(backbone, monkeypatch, temperature):
    prompts = [[5, 6, 7], [8, 9, 10, 11, 12], [5], [20, 21], [7, 7, 7, 9]]
    role = perturb(backbone.add_role("policy", LoRASettings(4)), 3)
    monkeypatch.setattr(backbone, "end_ids", list(range(0, len(backbone.tokenizer), 5)))  # so that rows leave

    def sampled():
        return generate(role, prompts, 24, temperature, row_seeds(1, range(len(prompts)), 0))

    grown = sampled()
    monkeypatch.setattr(
        sys.modules[generate.__module__], "growing_cache", lambda config, length: DynamicCache(config=config)
    )
    assert grown == sampled()
    assert temperature == 0 or len({len(response) for response in grown}) > 1


def test_windows_of_attention_are_as_in_transformers():
    config = MistralConfig(num_hidden_layers=2, sliding_window=4)
    assert [type(layer) for layer in growing_cache(config, 9).layers] == [DynamicSlidingWindowLayer] * 2


def test_an_empty_growing_cache_has_no_rows_to_select():
    cache = growing_cache(MistralConfig(num_hidden_layers=1, sliding_window=None), 20)
    cache.batch_select_indices(torch.tensor([0]))
    assert cache.get_seq_length() == 0


@given(steps=st.lists(st.integers(1, 4), min_size=1, max_size=5), data=st.data())
def test_a_growing_cache_holds_what_was_added(steps, data):
    cache, plain = growing_cache(MistralConfig(num_hidden_layers=1, sliding_window=None), 20), DynamicCache()
    rows, generator = 3, torch.Generator().manual_seed(0)
    for count in steps:
        new = [torch.randn(rows, 2, count, 4, generator=generator) for _ in range(2)]
        for mine, theirs in zip(cache.update(*new, 0), plain.update(*new, 0), strict=True):
            assert torch.equal(mine, theirs)
        keep = data.draw(st.lists(st.sampled_from(range(rows)), unique=True, min_size=1).map(sorted))
        for each in (cache, plain):
            each.batch_select_indices(torch.tensor(keep))
        rows = len(keep)
        assert cache.get_seq_length() == plain.get_seq_length()
        assert torch.equal(cache.layers[0].keys, plain.layers[0].keys)
