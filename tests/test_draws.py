"""Random numbers of a row's own, and the tokens drawn by them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backbones.draws import EVALUATION, TRAINING, draw, row_seeds, uniforms
from benchmarks import draws as benchmark

LARGEST = 1 - 2**-53  # that numpy draws
EDGES = [0.0, 1e-300, 2**-53, 0.5, 1 - 1e-12, LARGEST]


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def tokens_of(probabilities, *us):
    return draw(torch.tensor([probabilities] * len(us)).log(), 1.0, numbers(*us)).tolist()


# The numbers.


def test_seeds_are_of_the_run_the_row_the_turn_and_the_use():
    of = [(seed, turn, use) for seed in (0, 1, 2**32 - 1) for turn in range(16) for use in (TRAINING, EVALUATION)]
    every = [row_seeds(seed, range(16), turn, use) for seed, turn, use in of]
    flat = [each for of_turn in every for each in of_turn]
    assert len(set(flat)) == len(flat)
    assert all(0 <= each < 2**63 for each in flat)
    assert row_seeds(5, [7, 3], 2) == [row_seeds(5, [row], 2)[0] for row in (7, 3)]


def test_numbers_of_a_row_are_of_its_seed_alone():
    seeds = row_seeds(0, range(5), 0)
    together = uniforms(seeds, 9)
    assert together.shape == (5, 9)
    assert together.dtype == torch.float64
    assert ((together >= 0) & (together < 1)).all()
    for i, seed in enumerate(seeds):
        assert torch.equal(uniforms([seed], 9)[0], together[i])
    assert torch.equal(uniforms(seeds[::-1], 4), together.flip(0)[:, :4])  # fewer are the first ones


def test_numbers_are_uniform_within_rows_and_across_them():
    drawn = uniforms(row_seeds(3, range(400), 1), 100)
    for axis in (0, 1):  # the standard error of a mean of n is 0.289 / sqrt(n)
        n = drawn.shape[axis]
        assert (drawn.mean(axis) - 0.5).abs().max() < 4.5 * 0.289 / n**0.5
    assert np.histogram(drawn, bins=10)[0] == pytest.approx([4000] * 10, abs=4.5 * 60)


# The tokens.


def test_the_token_is_where_the_number_falls():
    assert tokens_of([0.5, 0.25, 0.0, 0.25], 0, 0.4999, 0.5001, 0.7499, 0.7501, LARGEST) == [0, 0, 1, 1, 3, 3]


@pytest.mark.parametrize("size", [1, 3, 256, 257, 700, 1024])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_only_token_that_may_be_is_said_whatever_the_number(size, dtype):
    for only in {0, size // 2, size - 1}:
        logits = torch.full((len(EDGES), size), -torch.inf, dtype=dtype)
        logits[:, only] = -3.0
        assert draw(logits, 0.7, numbers(*EDGES)).tolist() == [only] * len(EDGES)


def test_temperature_divides_the_logits():
    # odds of 1 : 3 are 1 : 9 at a temperature of one half
    logits = torch.tensor([[0.25, 0.75]]).log()
    assert [draw(logits, t, numbers(0.11)).item() for t in (1.0, 0.5)] == [0, 1]
    assert draw(logits, 0.5, numbers(0.09)).item() == 0


@st.composite
def cases(draw_of):
    """Logits of a few rows, some ruled out, and a number for each row."""
    rows, size = draw_of(st.integers(1, 4)), draw_of(st.sampled_from([2, 5, 255, 256, 257, 513, 900]))
    generator = torch.Generator().manual_seed(draw_of(st.integers(0, 2**31)))
    logits = draw_of(st.sampled_from([0.0, 1.0, 8.0, 40.0])) * torch.randn(rows, size, generator=generator)
    ruled_out = torch.rand(rows, size, generator=generator) < draw_of(st.sampled_from([0.0, 0.5, 0.99]))
    ruled_out[:, draw_of(st.integers(0, size - 1))] = False
    number = st.one_of(st.sampled_from(EDGES), st.integers(0, 2**53 - 1).map(lambda i: i / 2**53))
    return logits.masked_fill(ruled_out, -torch.inf), numbers(*(draw_of(number) for _ in range(rows)))


@given(cases())
def test_it_is_the_inverse_of_the_distribution_function(case):
    logits, us = case
    p = torch.softmax(logits.double(), -1).numpy()
    ends = p.cumsum(-1)
    for row, (token, u) in enumerate(zip(draw(logits, 1.0, us).tolist(), us.tolist(), strict=True)):
        assert logits[row, token] > -torch.inf
        assert ends[row, token] - p[row, token] - 1e-5 <= u <= ends[row, token] + 1e-5  # p are of float32


@given(cases(), st.randoms())
def test_a_row_draws_the_same_alone_and_in_any_company(case, random):
    logits, us = case
    together = draw(logits, 1.0, us)
    order = random.sample(range(len(us)), len(us))
    assert torch.equal(draw(logits[order], 1.0, us[order]), together[order])
    for i in range(len(us)):
        assert draw(logits[i : i + 1], 1.0, us[i : i + 1]).item() == together[i]


def test_a_large_vocabulary_is_drawn_from_in_parts_and_gives_the_same():
    logits = 3 * torch.randn(40, 33_001, generator=torch.Generator().manual_seed(0))
    us = uniforms(row_seeds(0, range(40), 0), 1)[:, 0]
    drawn = draw(logits, 1.0, us)
    assert drawn.tolist() == [draw(logits[i : i + 1], 1.0, us[i : i + 1]).item() for i in range(40)]
    ends = logits.double().softmax(-1).cumsum(-1)
    assert torch.equal(drawn, torch.searchsorted(ends, us[:, None], right=True)[:, 0])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_row_that_is_no_distribution_says_so(bad):
    logits = torch.zeros(3, 300)
    logits[1, 270] = bad
    for u in EDGES:
        first, second, third = draw(logits, 1.0, numbers(u, u, u)).tolist()
        assert second == -1
        assert first == third >= 0
    assert draw(torch.full((1, 5), -torch.inf), 1.0, numbers(0.5)).item() == -1


def test_the_benchmark_measures_both_ways(capsys):
    benchmark.main(["--rows", "2", "--vocabularies", "50", "300", "--repeats", "1"])
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[2:]] == ["50", "300"]
    assert all(float(figure) > 0 for line in printed[2:] for figure in line.split()[1:3])
