"""A task whose episodes a dozen lines can foretell, and the dozen lines."""

import copy

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding

from envs.task import Task
from envs.turn import Turn
from perlhf.errors import UserError

TURNS = 4  # of an episode that nothing ends before


class Script(Task):
    """Ends at "end" and after four answers, is broken off at "cut"; "number" of a reset says which episode."""

    reset_options = frozenset({"number"})

    def start(self, rng, options):
        number = int(rng.integers(1000))
        if "number" in options:
            number = options["number"]
            if number not in range(1000):
                raise UserError(f"'number' must be from 0 to 999, got {number!r}.")
        return [number]

    def info(self, state):
        return {"number": state[0]}

    def turn(self, state, response=""):
        return Turn(f"{state[0]} after {state[1:]}", response)

    def advance(self, state, response):
        return [*state, response], response == "end" or len(state) == TURNS

    def play(self, state, response):
        return super().play(state, response)._replace(truncated=response == "cut")

    def judge(self, turn):
        return 1.0 if "e" in turn.response else 0.25

    def oracle(self, state):
        return "e"

    def plausible_action(self, state, rng):
        return str(rng.choice(["end", "cut", "a"]))


def number_and_length(turns):
    """What is paid: it depends on the episode and on the answer; "raise" raises, and "nan" is paid none."""
    for turn in turns:
        if turn.response == "raise":
            raise RuntimeError("planted")
    return [
        float("nan") if turn.response == "nan" else int(turn.prompt.split()[0]) + len(turn.response) / 8
        for turn in turns
    ]


ANSWERS = ("", "a", "be", "end", "cut")  # that are scored
REFUSED = ("raise", "nan", "\ud800", "x" * 20_001, 3, None)


class Foretold:
    """One episode after the other, as `Script` should be played."""

    def __init__(self):
        self.rng, self.state, self.over = None, None, False

    def reset(self, seed=None, number=None):
        """What is shown first."""
        if seed is not None:
            self.rng = seeding.np_random(seed)[0]
        drawn = int(self.rng.integers(1000))
        self.state, self.over = [drawn if number is None else number], False
        return self.prompt

    def adopt(self, rng, prompt):
        """Goes on from an episode that no seed was given for."""
        self.rng, self.state, self.over = copy.deepcopy(rng), [int(prompt.split()[0])], False

    @property
    def prompt(self):
        return f"{self.state[0]} after {self.state[1:]}"

    def step(self, answer):
        """Reward, terminated, truncated, and what `info` says."""
        gold = 1.0 if "e" in answer else 0.25
        self.state = [*self.state, answer]
        terminated, truncated = answer == "end" or len(self.state) > TURNS, answer == "cut"
        self.over = terminated or truncated
        return self.state[0] + len(answer) / 8, terminated, truncated, {"gold": gold, "is_success": gold > 0.5}

    @property
    def length(self):
        return len(self.state) - 1


SPEC = {"task": "toy_script:Script", "reward": "toy_script:number_and_length"}
if "test/Script-v0" not in gym.registry:
    gym.register(
        "test/Script-v0",
        entry_point="envs.core:TaskEnv",
        vector_entry_point="envs.core:TaskVectorEnv",
        kwargs=SPEC,
    )


def plausible(seed):
    """What `plausible_action` draws first from a seed."""
    return str(np.random.default_rng(seed).choice(["end", "cut", "a"]))
