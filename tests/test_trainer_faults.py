"""Faults that a trainer may have, planted one at a time: the preflight finds them before the first checkpoint.

And numbers that are none, planted wherever there are numbers: none gets into a checkpoint.
"""

import numpy as np
import pytest
import torch
from tiny_models import gemma
from toy_callbacks import After

import envs  # noqa: F401
from agents import PPO, make_vec_env
from agents.algorithms import functional
from agents.algorithms.ppo import PPO as OfPPO
from agents.callbacks import Checkpoints
from agents.policy import LoRAPolicy, Outputs
from agents.preflight import PreflightError
from agents.rollout import Rollout
from agents.steps import Players
from backbones.backbone import Backbone
from backbones.engine.engine import LocalEngine
from backbones.forward import speak
from backbones.model.tokens import length_mask
from perlhf.errors import UserError

LETTERS = "toy_tasks:letters"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gemma")
    gemma(folder)
    return str(folder)


def small(path, n_envs=8, policy_kwargs=None, **kwargs):
    """A trainer that goes through one rollout and one update in a moment; at a temperature, so that it counts."""
    vec_env = make_vec_env("HH-v0", n_envs, seed=0, reward=LETTERS)
    settings = {"backbone": path, "max_new_tokens": 8, "temperature": 0.7, **(policy_kwargs or {})}
    return PPO("LoRAPolicy", vec_env, policy_kwargs=settings, batch_size=8, seed=0, device="cpu", **kwargs)


# Each takes the patcher and a trainer, and plants one fault.


def adapter_not_trained(patch, trainer):
    trainer.policy.policy_role.trainable = False


def base_speaks_in_training(patch, trainer):
    def outputs(policy, role, batch, with_entropy=True):
        if role is not policy.policy_role:
            return Outputs(None, policy.values(batch))
        with policy.reference_role.active() as model:
            spoken = speak(model, batch, policy.temperature, with_entropy)
        return Outputs((spoken.log_probs, spoken.entropies), None)

    patch.setattr(LoRAPolicy, "outputs", outputs)


def value_adapter_speaks(patch, trainer):
    policy = trainer.policy

    def log_probs(batch, with_entropy=True):
        with policy.value_role.active() as model:
            spoken = speak(model, batch, policy.temperature, with_entropy)
        return spoken.log_probs, spoken.entropies

    patch.setattr(policy, "log_probs_and_entropy", log_probs)


def values_as_log_probs(patch, trainer):
    def outputs(policy, role, batch, with_entropy=True):
        values = policy.values(batch)
        return Outputs((values, values), None) if role is policy.policy_role else Outputs(None, values)

    patch.setattr(LoRAPolicy, "outputs", outputs)


def mask_shifted(patch, trainer):
    patch.setattr("agents.rollout.length_mask", lambda rows: length_mask(rows).roll(1, 1))


def padding_trained(patch, trainer):
    patch.setattr("agents.rollout.length_mask", lambda rows: torch.ones_like(length_mask(rows)))


def old_log_probs_of_the_reference(patch, trainer):
    policy = trainer.policy
    own = policy.log_probs_and_values

    def scored(batch, with_entropy=True):
        _, entropies, values = own(batch, with_entropy)
        with policy.reference_role.active() as model:
            return speak(model, batch, policy.temperature).log_probs, entropies, values

    patch.setattr(policy, "log_probs_and_values", scored)


def reference_is_the_policy(patch, trainer):
    patch.setattr(LoRAPolicy, "reference_role", property(lambda policy: policy.policy_role))


def advantage_not_used(patch, trainer):
    def loss(self, log_probs, part, h):
        return functional.policy_loss(
            log_probs, part.old_log_probs, torch.ones_like(part.advantages), part.mask, h.clip_range
        )

    patch.setattr(OfPPO, "policy_loss", loss)


def advantage_of(shift, dim):
    def plant(patch, trainer):
        own = OfPPO.advantages
        patch.setattr(OfPPO, "advantages", lambda *args: own(*args).roll(shift, dim) * args[1].response_mask)

    return plant


def advantages_after_the_fact(patch, trainer):
    own = trainer.learned_from
    patch.setattr(trainer, "learned_from", lambda rollout, h: reversed_rows(own(rollout, h)))


def reversed_rows(learned):
    learned[0].advantages = learned[0].advantages.flip(0) * learned[0].response_mask
    return learned


def sign_flipped(patch, trainer):
    own = OfPPO.policy_loss
    patch.setattr(OfPPO, "policy_loss", lambda *args: (-own(*args)[0], own(*args)[1]))


def normalised_to_zero(patch, trainer):
    patch.setattr(functional, "normalize", lambda advantages, mask: torch.zeros_like(advantages))


def all_clipped(patch, trainer):
    def loss(log_probs, old, advantages, mask, clip_range):
        ratio = (log_probs - old).exp().clamp(2.0, 3.0)
        return -ratio * advantages * mask, mask

    patch.setattr(functional, "policy_loss", loss)


def reward_added_to_the_loss(patch, trainer):
    own = OfPPO.policy_loss
    patch.setattr(OfPPO, "policy_loss", lambda self, p, part, h: (own(self, p, part, h)[0] - p * part.mask, part.mask))


def optimizer_of_the_value_alone(patch, trainer):
    trainer.policy.optimizer = torch.optim.Adam(trainer.policy.value_parameters.values(), lr=1e-3)


def optimizer_of_the_base_too(patch, trainer):
    embeddings = trainer.policy.backbone.model.get_input_embeddings().weight
    trainer.policy.optimizer.add_param_group({"params": [embeddings]})


def optimizer_without_a_layer(patch, trainer):
    own = list(trainer.policy.parameters())
    trainer.policy.optimizer = torch.optim.Adam(own[1:], lr=1e-3)


def optimizer_goes_uphill(patch, trainer):
    trainer.policy.optimizer.param_groups[0]["maximize"] = True


def optimizer_never_steps(patch, trainer):
    trainer.policy.optimizer.step = lambda: None


def values_alone_are_trained(patch, trainer):
    own = trainer.policy.optimizer.step

    def step():
        for parameter in trainer.policy.policy_parameters.values():
            parameter.grad = None
        own()

    trainer.policy.optimizer.step = step


def reward_of_another_env(patch, trainer):
    own = Players.step
    patch.setattr(Players, "step", lambda self, a, b, c, r, *rest: own(self, a, b, c, np.roll(r, 1), *rest))


def reward_clipped_on_the_way(patch, trainer):
    own = Players.step
    patch.setattr(Players, "step", lambda self, a, b, c, r, *rest: own(self, a, b, c, np.clip(r, 0, 0.5), *rest))


def score_behind_the_last_token(patch, trainer):
    own = functional.token_rewards
    patch.setattr("agents.rollout.token_rewards", lambda *args: own(*args).roll(1, 1))


def kl_added_to_the_reward(patch, trainer):
    patch.setattr("agents.rollout.kl_k1", lambda log_probs, reference: reference - log_probs)


def value_climbs_away(patch, trainer):
    own = OfPPO.value_loss
    patch.setattr(OfPPO, "value_loss", lambda *args: -own(*args))


def training_at_temperature_one(patch, trainer):
    for place in ("agents.policy.speak", "backbones.forward.speak"):
        patch.setattr(place, lambda model, batch, temperature, *rest: speak(model, batch, 1.0, *rest))


def sampling_at_another_temperature(patch, trainer):
    own = LocalEngine.generate
    patch.setattr(LocalEngine, "generate", lambda self, p, n, temperature, s: own(self, p, n, 0.3 * temperature, s))


def sampling_by_the_base(patch, trainer):
    trainer.policy.engine = LocalEngine(trainer.policy.reference_role)


def end_token_dropped(patch, trainer):
    own, ends = trainer.policy.sample, trainer.policy.backbone.end_ids
    patch.setattr(
        trainer.policy,
        "sample",
        lambda *args: ([row if len(row) == 1 else [t for t in row if t not in ends] for row in own(*args)[0]], None),
    )


def prompt_cut_behind_the_sampler(patch, trainer):
    own = Players.step
    patch.setattr(Players, "step", lambda self, prompts, *rest: own(self, [p[-5:] for p in prompts], *rest))


def prompt_cut_in_training(patch, trainer):
    own = LoRAPolicy.batch

    def batch(policy, prompts, responses):
        return own(policy, [p[-5:] for p in prompts] if torch.is_grad_enabled() else prompts, responses)

    patch.setattr(LoRAPolicy, "batch", batch)


def dropout_in_training(patch, trainer):
    own = LoRAPolicy.outputs

    def outputs(policy, role, batch, with_entropy=True):
        spoken, values = own(policy, role, batch, with_entropy)
        if spoken is None or not torch.is_grad_enabled():
            return Outputs(spoken, values)
        keep = torch.rand(spoken[0].shape, generator=torch.Generator().manual_seed(0)) > 0.1
        return Outputs((spoken[0] * keep / 0.9, spoken[1]), values)

    patch.setattr(LoRAPolicy, "outputs", outputs)


# What is asked, and fails, first.
FAULTS = {
    adapter_not_trained: "policy and value take gradients",
    base_speaks_in_training: "just policy and value are trained",
    value_adapter_speaks: "just policy and value are trained",
    values_as_log_probs: "training says what scoring said",
    mask_shifted: "mask covers exactly",
    padding_trained: "mask covers exactly",
    old_log_probs_of_the_reference: "scoring follows the policy's weights",
    reference_is_the_policy: "the reference keeps still",
    advantage_not_used: "the policy's gradient is that of the reward",
    advantage_of(1, 0): "the policy's gradient is that of the reward",
    advantage_of(2, 0): "the policy's gradient is that of the reward",
    advantage_of(1, 1): "the policy's gradient is that of the reward",
    advantages_after_the_fact: "the policy's gradient is that of the reward",
    sign_flipped: "the policy's gradient is that of the reward",
    normalised_to_zero: "just policy and value are trained",
    all_clipped: "just policy and value are trained",
    reward_added_to_the_loss: "the policy's gradient is that of the reward",
    optimizer_of_the_value_alone: "just policy and value are trained",
    optimizer_of_the_base_too: "just policy and value are trained",
    optimizer_without_a_layer: "just policy and value are trained",
    optimizer_goes_uphill: "just policy and value are trained",
    optimizer_never_steps: "adapters learn",
    values_alone_are_trained: "adapters learn",
    reward_of_another_env: "scores are what the env paid",
    reward_clipped_on_the_way: "scores are what the env paid",
    score_behind_the_last_token: "score is on the last action token",
    kl_added_to_the_reward: "the KL is taken off the reward",
    value_climbs_away: "the value's gradient is that of the reward",
    training_at_temperature_one: "log-probabilities are those of a plain forward",
    sampling_at_another_temperature: "samples are the policy's own",
    sampling_by_the_base: "sampling follows the policy's weights",
    end_token_dropped: "responses end, or are cut",
    prompt_cut_behind_the_sampler: "samples are the policy's own",
    prompt_cut_in_training: "training says what scoring said",
    dropout_in_training: "training says what scoring said",
}


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__qualname__.split(".")[0])
def test_a_planted_fault_is_found_before_the_first_checkpoint(path, monkeypatch, tmp_path, plant):
    trainer = small(path)
    plant(monkeypatch, trainer)
    with pytest.raises(PreflightError, match=f"^preflight: {FAULTS[plant]}.*Likely: ") as error:
        trainer.learn(8, callback=Checkpoints(tmp_path, 1, keep=2, holds=False))
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("state.json"))


def rows_left_out(patch, trainer):
    own = Rollout.minibatches
    patch.setattr(Rollout, "minibatches", lambda self, epochs, size, rng: own(self, epochs, size // 2, rng)[:1])


def decay_forgotten(patch, trainer):
    own = functional.chain_gae
    patch.setattr(functional, "chain_gae", lambda r, v, m, order, gamma, _: own(r, v, m, order, gamma, 1.0))


@pytest.mark.parametrize("plant", [rows_left_out, decay_forgotten])
def test_these_faults_are_not_found(path, monkeypatch, plant):
    """Which rows an update goes through is not looked at, and GAE is done without a decay when rewards are others."""
    trainer = small(path)
    plant(monkeypatch, trainer)
    trainer.learn(8)
    assert all(check.passed for check in trainer.preflight_checks)


def grouped_wrongly(patch):
    own = functional.compare_in_groups

    def compare(function, rewards, mask, order, size):
        count = int(order.envs.max()) + 1
        moved = order.envs % (count // size) * size + order.envs // (count // size)
        return own(function, rewards, mask, order._replace(envs=moved), size)

    patch.setattr(functional, "compare_in_groups", compare)


@pytest.mark.parametrize("name", ["grpo", "rloo"])
def test_a_response_that_is_compared_with_another_group_is_found(path, monkeypatch, name):
    trainer = small(path, algorithm=name, group_size=4)
    grouped_wrongly(monkeypatch)
    with pytest.raises(PreflightError, match="the policy's gradient is that of the reward"):
        trainer.learn(8)


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("ppo", {"lora_layers": "1"}), ("ppo", {"full": True}), ("reinforce", {"value_adapter": "shared"}),
        ("rloo", {}), ("grpo", {"lora_layers": "1"}), ("reinforce++", {}),
    ],
    ids=str,
)  # fmt: skip
def test_the_preflight_leaves_nothing_behind(path, name, kwargs):
    with_it, without = (small(path, algorithm=name, preflight=on, policy_kwargs=kwargs) for on in (True, False))
    state = torch.get_rng_state()
    for trainer in (with_it, without):
        trainer.learn(16)
    assert torch.equal(torch.get_rng_state(), state)
    assert with_it.preflight_checks
    assert not without.preflight_checks
    for a, b in zip(with_it.policy.parameters(), without.policy.parameters(), strict=True):
        assert torch.equal(a, b)
    logged = [{k: v for k, v in t.logger.name_to_value.items() if "time" not in k} for t in (with_it, without)]
    assert logged[0] == logged[1]


# Numbers that are none.


def in_the_reward(patch, trainer, number):
    own = trainer.env.step
    patch.setattr(trainer.env, "step", lambda actions: with_reward(own(actions), number))


def with_reward(step, number):
    step[1][3] = number
    return step


def in_the_observation(patch, trainer, number):
    own = trainer.env.step
    images = np.zeros((8, 2, 2, 3), np.float32)
    images[3, 1, 0, 2] = number
    patch.setattr(trainer.env, "step", lambda actions: ({**own(actions)[0], "image": images}, *own(actions)[1:]))


def in_the_logits(patch, trainer, number):
    own = trainer.policy.log_probs_and_values

    def scored(batch, with_entropy=True):
        log_probs, entropies, values = own(batch, with_entropy)
        log_probs[0, 0] = number
        return log_probs, entropies, values

    patch.setattr(trainer.policy, "log_probs_and_values", scored)


def in_what_is_sampled_from(patch, trainer, number):
    with torch.no_grad():
        trainer.policy.policy_role.parameters()[next(iter(trainer.policy.policy_role.parameters()))].fill_(number)


def in_the_value(patch, trainer, number):
    own = trainer.policy.values
    patch.setattr(trainer.policy, "values", lambda batch: own(batch) * number)


def in_the_advantage(patch, trainer, number):
    own = OfPPO.advantages

    def advantages(*args):
        found = own(*args)
        found[3, 0] = number
        return found

    patch.setattr(OfPPO, "advantages", advantages)


def in_the_gradient(patch, trainer, number):
    own = trainer.backward

    def backward(*args):
        sums = own(*args)
        next(iter(trainer.policy.policy_parameters.values())).grad.flatten()[5] = number
        return sums

    patch.setattr(trainer, "backward", backward)


def in_a_weight(patch, trainer, number):
    own = trainer.policy.optimizer.step

    def step():
        own()
        next(iter(trainer.policy.value_parameters.values())).data.flatten()[5] = number

    trainer.policy.optimizer.step = step


def in_the_optimizer(patch, trainer, number):
    own = trainer.policy.optimizer.step

    def step():
        own()
        trainer.policy.optimizer.state[next(iter(trainer.policy.parameters()))]["exp_avg"].flatten()[5] = number

    trainer.policy.optimizer.step = step


NUMBERS = {
    in_the_reward: r"the reward is (nan|-?inf) in env 3 after step 8",
    in_the_observation: r"the observation has (nan|-?inf) in the image of env 3, at \[1, 0, 2\], after step 8",
    in_the_logits: r"old_log_probs of the rollout are (nan|-?inf) at step 8 in row \d \(env \d, turn 0\), token 0",
    in_what_is_sampled_from: r"logits are not finite.*row 0",
    in_the_value: r"values of the rollout are (nan|-?inf) at step 8 in row \d \(env \d, turn 0\), token 0",
    in_the_advantage: r"advantages of the rollout are (nan|-?inf) at step 8 in row 3 \(env 3, turn 0\), token 0",
    in_the_gradient: r"gradient is not finite at step 8: .*lora_A.* rows \[0, 1, 2, 3, 4, 5, 6, 7\]; lower",
    in_a_weight: r"the weights of value.* are not finite, so nothing is saved",
    in_the_optimizer: r"Adam's exp_avg of .* are not finite, so nothing is saved",
}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("plant", NUMBERS, ids=lambda plant: plant.__name__)
def test_a_number_that_is_none_stops_the_run_and_never_gets_into_a_checkpoint(
    path, monkeypatch, tmp_path, plant, number
):
    trainer = small(path, preflight=False)  # which would find the planter of some of them
    plant(monkeypatch, trainer, number)
    with pytest.raises(UserError, match=NUMBERS[plant]) as error:
        trainer.learn(8, callback=[Checkpoints(tmp_path, 1, keep=2, holds=False), After(lambda _: None)])
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("state.json"))
    Backbone.load(path).model.zero_grad(set_to_none=True)
