"""TextArena's games as an env of text: one player learns, the other, if any, is fixed. `pip install textarena`

perlhf train-ppo textarena_env:examples/TextArena-v0 --env-options game=GuessTheNumber-v0 --max-new-tokens 8
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import gymnasium as gym
import textarena

from envs.spaces import Unicode


class TextArenaEnv(gym.Env[str, str]):
    """One game after the other; the reward is the game's, at its end. `opponent` says what it answers to a text."""

    def __init__(
        self, game: str = "GuessTheNumber-v0", opponent: Callable[[str], str] | None = None, **config: Any
    ) -> None:
        self.make, self.opponent = partial(textarena.make, game, **config), opponent
        self.observation_space, self.action_space = Unicode(100_000), Unicode(10_000)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.luck = random.Random(int(self.np_random.integers(2**31))).getstate()
        with self.own_luck():
            self.game = self.make()  # its wrappers would remember the game before
            self.game.reset(num_players=1 if self.opponent is None else 2)
            return self.play_on(False), {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        with self.own_luck():
            text = self.play_on(self.game.step(action)[0])
        over = self.rewards is not None
        return text, float(self.rewards[0]) if over else 0.0, over, False, {}

    def play_on(self, over: bool) -> str:
        """Lets the opponent play until it is the learner's turn, or the game over; returns what the learner reads."""
        self.rewards = None
        while not over:
            player, text = self.game.get_observation()
            if player == 0:
                return text
            over, _ = self.game.step(self.opponent(text))
        self.rewards, _ = self.game.close()
        return "The game is over."

    @contextmanager
    def own_luck(self) -> Iterator[None]:
        """TextArena draws from Python's global generator: games side by side would disturb one another."""
        before = random.getstate()
        random.setstate(self.luck)
        try:
            yield
        finally:
            self.luck = random.getstate()
            random.setstate(before)


gym.register("examples/TextArena-v0", TextArenaEnv)
