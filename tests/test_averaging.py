"""The moving average of weights, by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from agents.averaging import AveragedWeights


def averaged(decay, *values):
    """An average over a weight that had these values after each step, and the weight."""
    weight = nn.Parameter(torch.zeros(1))
    average = AveragedWeights({"w": weight}, decay)
    for value in values:
        with torch.no_grad():
            weight.fill_(value)
        average.update()
    return average, weight


def value_of(average):
    return float(average.get_state()[0]["w"])


def test_three_steps_by_hand():
    # d = .5: m = .5 * 1 = .5; / (1 - .5) = 1
    assert value_of(averaged(0.5, 1.0)[0]) == 1.0
    # m = .5 * .5 + .5 * 2 = 1.25; / (1 - .25) = 5/3
    assert value_of(averaged(0.5, 1.0, 2.0)[0]) == pytest.approx(5 / 3)
    # m = .5 * 1.25 + .5 * 4 = 2.625; / (1 - .125) = 3
    assert value_of(averaged(0.5, 1.0, 2.0, 4.0)[0]) == pytest.approx(3.0)


def test_without_decay_it_is_the_last_weights():
    assert value_of(averaged(0.0, 1.0, 2.0, 4.0)[0]) == 4.0


@given(st.floats(0, 0.999), st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_it_is_the_corrected_average_of_adams_paper(decay, values):
    m = 0.0
    for value in values:
        m = decay * m + (1 - decay) * value
    assert value_of(averaged(decay, *values)[0]) == pytest.approx(m / (1 - decay ** len(values)), rel=1e-4, abs=1e-4)


def test_it_is_in_place_of_the_weights_inside_alone_and_after_an_error_too():
    average, weight = averaged(0.5, 1.0, 2.0)
    with average.swapped_in():
        assert weight.item() == pytest.approx(5 / 3)
    assert weight.item() == 2.0
    with pytest.raises(RuntimeError), average.swapped_in():
        raise RuntimeError
    assert weight.item() == 2.0
    average.update()  # m = .5 * 1.25 + .5 * 2 = 1.625; / (1 - .125) = 13/7
    assert value_of(average) == pytest.approx(13 / 7)


def test_before_the_first_step_it_is_the_weights():
    weight = nn.Parameter(torch.tensor([3.0]))
    with AveragedWeights({"w": weight}, 0.9).swapped_in():
        assert weight.item() == 3.0


def test_what_it_gave_does_not_change_and_another_goes_on_from_there():
    average, weight = averaged(0.9, 1.0, 2.0, 3.0)
    tensors, steps = average.get_state()
    kept = tensors["w"].clone()
    other, others = averaged(0.9, 7.0)
    other.set_state(tensors, steps)
    for each, of in ((average, weight), (other, others)):
        with torch.no_grad():
            of.fill_(5.0)
        each.update()
    assert value_of(average) == value_of(other)
    assert (steps, average.get_state()[1], other.get_state()[1]) == (3, 4, 4)
    assert torch.equal(tensors["w"], kept)


def test_bf16_weights_are_averaged_in_float32():
    weight = nn.Parameter(torch.tensor([256.0], dtype=torch.bfloat16))
    average = AveragedWeights({"w": weight}, 0.99)
    average.update()
    with torch.no_grad():
        weight.fill_(258.0)  # the next number of bf16
    average.update()  # (.99 * 256 + 258) / 1.99
    assert value_of(average) == pytest.approx(257.005, abs=1e-3)
    with average.swapped_in():
        assert weight.dtype == torch.bfloat16
