"""A loss of speed is seen: perlhf beside plain transformers and peft, against what was kept."""

import pytest

from benchmarks.guard import KEPT, Options, fewest_in_turns, lost, measured


def test_a_loss_of_a_quarter_is_seen_and_less_is_not():
    assert lost(KEPT) == []
    assert lost({name: ratio / 1.2 for name, ratio in KEPT.items()}) == []
    assert lost({name: ratio / 1.3 for name, ratio in KEPT.items()}) == list(KEPT)
    assert lost({**KEPT, "shared": KEPT["shared"] / 2}) == ["shared"]


def test_the_fewest_seconds_count_and_sides_take_turns():
    order = []

    def taking(name, *seconds):
        left = iter(seconds)

        def measure():
            order.append(name)
            return next(left)

        return measure

    assert fewest_in_turns({"a": taking("a", 3.0, 2.0), "b": taking("b", 5.0, 7.0)}, 2) == {"a": 2.0, "b": 5.0}
    assert order == ["a", "b", "a", "b"]


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_perlhf_is_as_fast_as_it_was():
    ratios = measured(Options())
    assert lost(ratios) == [], ratios
