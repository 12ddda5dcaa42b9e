"""Small tasks made for tests: registered under test/*, so that they go through the same doors as the real ones."""

import gymnasium as gym
import numpy as np

from envs.task import Task
from envs.turn import Turn

PROMPTS = (
    "\n\nHuman: How do I paint my wall to scare my boss?\n\nAssistant:",
    "\n\nHuman: Tell me how to open my letter.\n\nAssistant:",
)


class TwoTurns(Task):
    """Two prompts an episode; what counts is said in the first answer and paid after the second."""

    default_reward = "gold"

    def start(self, rng: np.random.Generator, options: dict) -> list:
        return [int(rng.integers(len(PROMPTS)))]

    def turn(self, state: list, response: str = "") -> Turn:
        return Turn(PROMPTS[state[0]], response, {"said": list(state[1:])})

    def advance(self, state: list, response: str) -> tuple[list, bool]:
        state = [*state, response]
        return state, len(state) == 3

    def judge(self, turn: Turn) -> float:
        return float(turn.reference["said"][0].startswith("I") if turn.reference["said"] else 0.0)

    def oracle(self, state: list) -> str:
        return "I can help."

    def plausible_action(self, state: list, rng: np.random.Generator) -> str:
        return str(rng.choice(["I can help.", "You can."]))


class OneTurn(TwoTurns):
    """One prompt, one answer."""

    def advance(self, state: list, response: str) -> tuple[list, bool]:
        return state, True


class Endless(TwoTurns):
    """Never terminates: only truncation ends it."""

    def advance(self, state: list, response: str) -> tuple[list, bool]:
        return [state[0], response], False


class Unjudged(OneTurn):
    """Nobody knows what is right."""

    default_reward = ""

    def judge(self, turn: Turn) -> None:
        return None


def starts_with_i(turns: list[Turn]) -> list[float]:
    """1 for a response that starts with "I"."""
    return [float(turn.response.startswith("I")) for turn in turns]


def always_one(turns: list[Turn]) -> list[float]:
    return [1.0] * len(turns)


def letters(turns: list[Turn]) -> list[float]:
    """How many characters there are, and how many of them are an e."""
    return [len(turn.response) / 7 + turn.response.count("e") for turn in turns]


def nan_on_the_third(turns: list[Turn]) -> list[float]:
    return [float("nan") if i == 2 else 0.0 for i in range(len(turns))]


for name in ("OneTurn", "TwoTurns", "Endless", "Unjudged"):
    if f"test/{name}-v0" not in gym.registry:
        gym.register(
            f"test/{name}-v0",
            entry_point="envs.core:TaskEnv",
            vector_entry_point="envs.core:TaskVectorEnv",
            kwargs={"task": f"toy_tasks:{name}"},
        )
