"""State machines as tests: some runs of each in `make test`, many with -m long, PERLHF_EXAMPLES of them where set."""

import os

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test


def played(machine, few, many, steps=25):
    """The test that runs a machine `few` times, and with -m long `many` times, of so many steps each at most."""
    many = int(os.environ.get("PERLHF_EXAMPLES", many))

    @pytest.mark.parametrize("runs", [few, pytest.param(many, marks=pytest.mark.long)])
    def test(runs):
        run_state_machine_as_test(machine, settings=settings(max_examples=runs, stateful_step_count=steps))

    return test
