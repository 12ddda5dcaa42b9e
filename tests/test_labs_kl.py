"""perlhf lab kl: estimators and penalties on three tokens, where every expectation is a sum that is done by hand."""

import math
from itertools import product

import pytest
import torch

from evaluation.labs.kl_estimators import WAYS, coefficients, exact_kl, judge, less_the_others, moments, to_come

LN2 = math.log(2)
P, Q = torch.tensor([0.5, 0.25, 0.25]).double(), torch.tensor([0.25, 0.25, 0.5]).double()
KL = LN2 / 4  # 1/2 ln 2 + 1/4 ln 1 + 1/4 ln 1/2


def test_the_kl_is_the_sum_over_the_vocabulary():
    assert exact_kl(P.log(), Q.log()).item() == pytest.approx(KL)
    assert exact_kl(Q.log(), P.log()).item() == pytest.approx(KL)  # these two are each other's mirror image


def test_moments_of_the_estimators_by_hand():
    found = moments(P.log(), Q.log())  # k1 is ln 2, 0, -ln 2; k2 half its square; k3 ln 2 - 1/2, 0, 1 - ln 2
    assert found["k1"].mean.item() == pytest.approx(KL)
    assert found["k1"].variance.item() == pytest.approx(0.6875 * LN2**2)  # (1/2 + 1/4) ln^2 2 less the mean's square
    assert found["k1"].negative.item() == pytest.approx(0.25)
    assert found["k2"].mean.item() == pytest.approx(0.375 * LN2**2)
    assert found["k3"].mean.item() == pytest.approx(KL)
    second = (LN2 - 0.5) ** 2 / 2 + (1 - LN2) ** 2 / 4
    assert found["k3"].variance.item() == pytest.approx(second - KL**2)
    assert found["k2"].negative.item() == found["k3"].negative.item() == 0


def expected(way):
    """The mean gradient by the three logits, with the true probabilities of all pairs of one-token responses."""
    total = torch.zeros(3).double()
    for a, b in product(range(3), repeat=2):  # two responses to a prompt, so that each has another beside it
        ids = torch.tensor([[a], [b]])
        c = coefficients(P.log()[ids], Q.log()[ids], torch.ones(2, 1, dtype=torch.bool), 2)[way]
        score = torch.eye(3).double()[ids[:, 0]] - P  # d log p(token) / d logits
        total += P[a] * P[b] * (c * score).mean(0)
    return total


OF_KL = torch.tensor([0.375, -0.0625, -0.3125]).double() * LN2  # p (log p/q - KL)
OF_THE_OTHER_WAY = P - Q  # of KL(q || p)


@pytest.mark.parametrize(
    ("way", "by_hand"),
    [
        ("k1 in reward", OF_KL),
        ("k2 as loss", OF_KL),
        ("k1 as loss", torch.zeros(3).double()),
        ("k3 as loss", OF_THE_OTHER_WAY),
        ("k3 in reward", OF_KL - OF_THE_OTHER_WAY),
    ],
)
def test_what_each_penalty_descends_on_average(way, by_hand):
    assert torch.allclose(expected(way), by_hand, atol=1e-9)
    assert way in WAYS


def test_a_loss_sees_its_own_token_alone_and_the_reward_what_follows():
    """Two tokens, the second of which depends on the first: the KL of the whole is known, and so is its gradient."""
    logits = torch.tensor([[0.2, -0.4, 0.1], [1.0, 0.0, -1.0], [0.3, 0.3, 0.0], [-0.5, 0.5, 0.2]]).double()
    logits.requires_grad_()  # first the first token's, then the second's after each first one
    of_q = torch.tensor([[0.0, 0.3, 0.1], [0.0, 0.0, 0.0], [1.0, 0.0, 0.5], [-0.2, 0.1, 0.0]]).double().log_softmax(-1)
    log_p = logits.log_softmax(-1)
    sequences = list(product(range(3), repeat=2))

    def of(table):
        return torch.stack([torch.stack([table[0, a], table[1 + a, b]]) for a, b in sequences])

    said, reference = of(log_p), of(of_q)  # (9, 2)
    chance = said.sum(1).exp().detach()
    whole = (said.sum(1).exp() * (said - reference).sum(1)).sum()  # KL of the sequences
    (true,) = torch.autograd.grad(whole, logits, retain_graph=True)
    own = [exact_kl(log_p[0], of_q[0]), *(exact_kl(log_p[1 + a], of_q[1 + a]) for a in range(3))]
    alone = own[0] + sum(log_p[0, a].exp().detach() * own[1 + a] for a in range(3))
    (partial,) = torch.autograd.grad(alone, logits, retain_graph=True)
    sums = dict.fromkeys(("k1 in reward", "k2 as loss"), 0.0)
    pairs = list(product(range(9), repeat=2))
    rows = torch.tensor(pairs).flatten()
    mask = torch.ones(len(rows), 2, dtype=torch.bool)
    weights = coefficients(said.detach()[rows], reference[rows], mask, 2)
    of_pairs = (chance[rows].unflatten(0, (-1, 2)).prod(1) / 2).repeat_interleave(2)
    for way in sums:
        (sums[way],) = torch.autograd.grad(
            (of_pairs[:, None] * weights[way] * said[rows]).sum(), logits, retain_graph=True
        )
    assert torch.allclose(sums["k1 in reward"], true, atol=1e-9)
    assert torch.allclose(sums["k2 as loss"], partial, atol=1e-9)
    assert not torch.allclose(true, partial, atol=1e-3)


def test_what_is_to_come_less_the_others_of_the_group():
    mask = torch.tensor([[True, True], [True, False], [True, True], [True, True]])
    values = to_come(torch.tensor([[1.0, 2.0], [5.0, 0.0], [1.0, 1.0], [0.0, 4.0]]))
    assert values.tolist() == [[3.0, 2.0], [5.0, 0.0], [2.0, 1.0], [4.0, 4.0]]
    assert less_the_others(values, mask, 2).tolist() == [[-2.0, 2.0], [2.0, 0.0], [-2.0, -3.0], [2.0, 3.0]]


def test_gradients_are_judged_without_the_noise_of_their_batches():
    truth = torch.tensor([[2.0, 1.0], [2.0, -1.0]]).double()  # two batches: 3 is the product of one with the other
    vectors = torch.stack([truth, 2 * truth]).flatten(0, 1)
    exact, twice = judge((vectors @ vectors.T).unflatten(0, (2, 2)).unflatten(2, (2, 2)))
    assert exact.cosine == pytest.approx(1)
    assert exact.bias == pytest.approx(0, abs=1e-6)
    assert exact.noise == pytest.approx((2 / 3) ** 0.5)  # the mean square is 5, that of the mean 3
    assert (twice.cosine, twice.length, twice.bias) == pytest.approx((1, 2, 1))
