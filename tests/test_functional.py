"""The mathematics of PPO against numbers worked out by hand, and against padding."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.algorithms import functional as F
from agents.algorithms.functional import Carry
from agents.rollout_log import explained_variance
from backbones.log_probs import entropy


def rows(*lists: list[float]) -> torch.Tensor:
    return torch.tensor(lists)


def mask_of(*lengths: int, width: int) -> torch.Tensor:
    return torch.arange(width) < torch.tensor(lengths)[:, None]


END = Carry(torch.zeros(1), torch.zeros(1))


def test_masked_mean_counts_valid_tokens_only():
    assert F.masked_mean(rows([1.0, 2.0, 99.0], [3.0, 99.0, 99.0]), mask_of(2, 1, width=3)) == 2.0
    assert F.masked_mean(rows([5.0]), mask_of(0, width=1)) == 0.0


def test_score_is_added_on_the_last_action_token_and_kl_on_all():
    kl = rows([0.1, 0.2, 7.0], [0.3, 0.4, -0.5])
    rewards = F.token_rewards(torch.tensor([2.0, -1.0]), kl, mask_of(2, 3, width=3), kl_coef=0.5)
    expected = rows([-0.05, 2.0 - 0.1, 0.0], [-0.15, -0.2, -1.0 + 0.25])
    torch.testing.assert_close(rewards, expected)


def test_scores_of_another_precision_are_added_too():
    scores = torch.tensor([2.0], dtype=torch.float64)
    rewards = F.token_rewards(scores, rows([0.5, 0.25]), mask_of(2, width=2), kl_coef=1.0)
    torch.testing.assert_close(rewards, rows([-0.5, 1.75]))


def test_gae_of_three_tokens_by_hand():
    # gamma 1, lambda .5; deltas: 0 + .4 - .2 = .2; 0 + .6 - .4 = .2; 1 + 0 - .6 = .4
    # advantages from the end: .4; .2 + .5 * .4 = .4; .2 + .5 * .4 = .4
    advantages, carry = F.gae(
        rows([0.0, 0.0, 1.0]), rows([0.2, 0.4, 0.6]), mask_of(3, width=3), END, gamma=1.0, gae_lambda=0.5
    )
    torch.testing.assert_close(advantages, rows([0.4, 0.4, 0.4]))
    torch.testing.assert_close(carry.value, torch.tensor([0.2]))
    torch.testing.assert_close(carry.advantage, torch.tensor([0.4]))


def test_gae_bootstraps_what_follows_a_cut_row_and_nothing_after_termination():
    # one token, gamma .9: terminated 1 - .5 = .5; cut before a state worth 2: 1 + .9 * 2 - .5 = 2.3
    reward, value, mask = rows([1.0]), rows([0.5]), mask_of(1, width=1)
    terminated, _ = F.gae(reward, value, mask, END, gamma=0.9, gae_lambda=1.0)
    cut, _ = F.gae(reward, value, mask, Carry(torch.tensor([2.0]), torch.zeros(1)), gamma=0.9, gae_lambda=1.0)
    torch.testing.assert_close(terminated, rows([0.5]))
    torch.testing.assert_close(cut, rows([2.3]))


def test_gae_over_two_rows_of_one_episode_equals_gae_over_the_tokens_laid_end_to_end():
    rewards, values = rows([0.1, -0.2, 0.3, 1.0, 0.5]), rows([0.5, 0.1, -0.4, 0.2, 0.9])
    whole, _ = F.gae(rewards, values, mask_of(5, width=5), END, 0.99, 0.9)
    # the first row has two tokens and a padded one, the second three
    second, carry = F.gae(rewards[:, 2:], values[:, 2:], mask_of(3, width=3), END, 0.99, 0.9)
    padded_r, padded_v = rows([0.1, -0.2, 77.0]), rows([0.5, 0.1, -77.0])
    first, _ = F.gae(padded_r, padded_v, mask_of(2, width=3), carry, 0.99, 0.9)
    torch.testing.assert_close(torch.cat([first[:, :2], second], dim=1), whole)
    assert first[0, 2] == 0


def brute_force_gae(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    """The definition: the discounted sum of all later one-step errors."""
    n = len(rewards)
    after = [*values[1:], 0.0]
    deltas = [rewards[t] + gamma * after[t] - values[t] for t in range(n)]
    return [sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, n)) for t in range(n)]


numbers = st.floats(-3, 3, width=32)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8), st.floats(0, 1), st.floats(0, 1), st.integers(0, 4)
)
def test_gae_equals_its_definition_whatever_the_padding(tokens, gamma, lam, padding):
    rewards, values = ([pair[k] for pair in tokens] for k in range(2))
    n = len(tokens)
    mask = mask_of(n, width=n + padding)
    advantages, _ = F.gae(rows(rewards + [9.0] * padding), rows(values + [9.0] * padding), mask, END, gamma, lam)
    expected = brute_force_gae(rewards, values, gamma, lam) + [0.0] * padding
    torch.testing.assert_close(advantages[0], torch.tensor(expected), atol=1e-4, rtol=1e-4)


def test_normalize_gives_zero_mean_and_unit_variance_over_valid_tokens():
    # valid: 1, 3, 5, 7: mean 4, variance (9 + 1 + 1 + 9) / 4 = 5
    out = F.normalize(rows([1.0, 3.0, 50.0], [5.0, 7.0, -50.0]), mask_of(2, 2, width=3))
    s = math.sqrt(5)
    torch.testing.assert_close(out, rows([-3 / s, -1 / s, 0.0], [1 / s, 3 / s, 0.0]))


def test_a_small_spread_is_blown_up_and_one_no_wider_than_the_floor_is_not():
    spread = rows([0.75, 0.25])  # mean .5, deviation .25
    torch.testing.assert_close(F.normalize(spread / 100, mask_of(2, width=2)), rows([1.0, -1.0]))
    torch.testing.assert_close(F.normalize(spread, mask_of(2, width=2), floor=0.2), rows([1.0, -1.0]))
    assert not F.normalize(spread, mask_of(2, width=2), floor=0.25).any()


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_constant_advantages_become_zero_not_noise(value):
    out = F.normalize(torch.full((3, 4), value), mask_of(4, 2, 3, width=4))
    assert torch.equal(out, torch.zeros(3, 4))


def test_normalize_of_one_token_and_of_none_is_zero():
    assert F.normalize(rows([5.0]), mask_of(1, width=1)).item() == 0.0
    assert F.normalize(rows([5.0]), mask_of(0, width=1)).item() == 0.0


def test_policy_loss_clips_by_hand():
    # ratios 1, 1.5, .5 with clip .2: -min(r A, clip(r) A)
    old = rows([-1.0, -2.0, -0.5, -3.0])
    new = old + rows([0.0, math.log(1.5), math.log(0.5), math.log(1.5)])
    advantages = rows([2.0, 1.0, -1.0, -1.0])
    loss, clipped = F.policy_loss(new, old, advantages, mask_of(4, width=4), 0.2)
    # 1 * 2; min(1.5, 1.2) = 1.2; min(-.5, -.8) = -.8; min(-1.5, -1.2) = -1.5
    torch.testing.assert_close(loss, rows([-2.0, -1.2, 0.8, 1.5]))
    assert clipped.tolist() == [[False, True, True, True]]


def test_a_ratio_of_1_is_not_clipped_however_narrow_the_range():
    assert not F.policy_loss(rows([-1.0]), rows([-1.0]), rows([1.0]), mask_of(1, width=1), 0.0)[1].any()


def test_policy_loss_has_no_gradient_where_the_clip_holds_and_none_on_padding():
    new = rows([math.log(1.5), 0.0, 0.0]).requires_grad_()
    loss, _ = F.policy_loss(new, rows([0.0, 0.0, 5.0]), rows([1.0, 1.0, 1.0]), mask_of(2, width=3), 0.2)
    loss.sum().backward()
    assert new.grad.tolist() == [[0.0, -1.0, 0.0]]


def test_value_loss_takes_the_worse_of_clipped_and_unclipped():
    # old 0, new 1, return 1, clip .2: unclipped 0, clipped (.2 - 1)^2 = .64; half of it
    args = rows([1.0]), rows([0.0]), rows([1.0]), mask_of(1, width=1)
    torch.testing.assert_close(F.value_loss(*args, 0.2), rows([0.32]))
    torch.testing.assert_close(F.value_loss(*args, None), rows([0.0]))
    # old 3, new 1, return 1, clip .5: unclipped 0, clipped (2.5 - 1)^2 = 2.25; half of it
    falling = rows([1.0]), rows([3.0]), rows([1.0]), mask_of(1, width=1)
    torch.testing.assert_close(F.value_loss(*falling, 0.5), rows([1.125]))


def test_entropy_of_known_distributions():
    log_probs = torch.stack([torch.zeros(4), torch.tensor([50.0, 0.0, 0.0, 0.0])]).log_softmax(-1)
    torch.testing.assert_close(entropy(log_probs), torch.tensor([math.log(4), 0.0]), atol=1e-6, rtol=1e-6)


@settings(max_examples=300)
@given(st.floats(-10, 0, width=32), st.floats(-10, 0, width=32))
def test_k3_is_never_negative_and_zero_where_both_agree(p, q):
    assert F.kl_k3(torch.tensor(p), torch.tensor(q)) >= -1e-6
    assert F.kl_k3(torch.tensor(p), torch.tensor(p)) == 0


def test_k1_and_k3_estimate_the_exact_kl_on_a_small_vocabulary():
    generator = torch.Generator().manual_seed(0)
    p, q = (torch.randn(5, generator=generator).log_softmax(0) for _ in range(2))
    exact = float((p.exp() * (p - q)).sum())
    samples = torch.multinomial(p.exp(), 200_000, replacement=True, generator=generator)
    for estimate in (F.kl_k1(p[samples], q[samples]), F.kl_k3(p[samples], q[samples])):
        error = float(estimate.std()) / 200_000**0.5
        assert abs(float(estimate.mean()) - exact) < 4 * error


def test_kl_in_the_reward_has_the_gradient_of_the_reverse_kl():
    # score-function gradient of E_p[-k1] against the exact gradient of -KL(p || q), on five tokens
    logits = torch.tensor([0.3, -0.7, 1.1, 0.2, -0.4], requires_grad=True)
    reference = torch.tensor([0.1, 0.4, -0.2, 0.9, 0.0]).log_softmax(0)
    log_p = logits.log_softmax(0)
    exact = torch.autograd.grad(-(log_p.exp() * (log_p - reference)).sum(), logits, retain_graph=True)[0]
    reward = -F.kl_k1(log_p.detach(), reference)
    by_reward = torch.autograd.grad((log_p.exp().detach() * reward * log_p).sum(), logits)[0]
    torch.testing.assert_close(by_reward, exact)


def test_adaptive_kl_coefficient_by_hand():
    # KL 6 of target 4: error clipped to .2, 64 of 1,000 episodes: 1 + .0128; KL 3.8: error -.05
    assert F.adapt_kl_coef(0.1, 6.0, 4.0, 64, 1000) == pytest.approx(0.1 * 1.0128)
    assert F.adapt_kl_coef(0.1, 3.8, 4.0, 64, 1000) == pytest.approx(0.1 * (1 - 0.05 * 0.064))


def test_approx_kl_is_zero_without_a_change_and_ignores_padding():
    old = rows([-1.0, -2.0, -3.0])
    assert F.approx_kl(old, old, mask_of(3, width=3)).sum() == 0
    # log ratio .1 on one valid token: e^.1 - 1 - .1
    new = old + rows([0.1, 0.0, 4.0])
    assert F.approx_kl(new, old, mask_of(2, width=3)).sum().item() == pytest.approx(math.exp(0.1) - 1.1, abs=1e-6)


def test_explained_variance_by_hand():
    returns, mask = rows([1.0, 3.0, 9.0]), mask_of(2, width=3)
    assert explained_variance(returns, returns, mask) == 1.0
    # errors 1 - 2 = -1 and 3 - 2 = 1 have the variance of the returns
    assert explained_variance(rows([2.0, 2.0, 0.0]), returns, mask) == 0.0
    assert math.isnan(explained_variance(returns, rows([4.0, 4.0, 0.0]), mask))
    assert math.isnan(explained_variance(returns, returns, torch.zeros_like(mask)))


@settings(max_examples=200)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 5), st.integers(0, 10_000))
def test_padding_changes_no_result(lengths, padding, seed):
    generator = torch.Generator().manual_seed(seed)
    width, n = max(lengths), len(lengths)
    tensors = [torch.randn(n, width, generator=generator) for _ in range(4)]
    wide = [torch.cat([t, 100 * torch.randn(n, padding, generator=generator)], 1) for t in tensors]
    carry = Carry(torch.zeros(n), torch.zeros(n))
    results = []
    for (new, old, advantages, values), w in ((tensors, width), (wide, width + padding)):
        mask = mask_of(*lengths, width=w)
        gae, _ = F.gae(new, values, mask, carry, 1.0, 0.95)
        results.append(
            [
                F.policy_loss(new, old, F.normalize(advantages, mask), mask, 0.2)[0].sum(),
                F.value_loss(values, old, new, mask, 0.2).sum(),
                gae.sum(),
                F.masked_mean(values, mask),
                F.approx_kl(new, old, mask).sum(),
                F.token_rewards(new[:, 0], old, mask, 0.1).sum(),
            ]
        )
    torch.testing.assert_close(results[0], results[1], atol=1e-4, rtol=1e-4)
