"""Gymnasium envs of text as other people write them: nothing of perlhf's is in them."""

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Text

ANY = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:;!?'\"()-\n"
LETTERS = "IYWT"


class Letters(gym.Env):
    """Asks for one letter after the other: reward 1 for a response that begins with it."""

    def __init__(self, turns=3, prompts=None, answers=None):
        self.observation_space = Text(200, charset=ANY) if prompts is None else prompts
        self.action_space = Text(200, min_length=0, charset=ANY) if answers is None else answers
        self.turns, self.heard = turns, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.asked, self.heard = [LETTERS[i] for i in self.np_random.integers(4, size=self.turns)], []
        return self.shown(), {}

    def step(self, action):
        right = action[:1] == self.asked[len(self.heard)]
        self.heard.append(action)
        over = len(self.heard) == self.turns
        return self.shown(), float(right), over, False, {"is_success": right, "length": len(action)}

    def shown(self):
        last = f" You said {self.heard[-1]!r:.20}." if self.heard else ""
        letter = self.asked[min(len(self.heard), self.turns - 1)]
        return "".join(c for c in f"Say a word with {letter}.{last}\n" if c in ANY)


class Bright(Letters):
    """The same, with a picture beside the prompt."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.observation_space = Dict({"prompt": Text(200, charset=ANY), "image": Box(0, 255, (24, 32, 3), np.uint8)})

    def shown(self):
        return {"prompt": super().shown(), "image": np.full((24, 32, 3), len(self.heard), np.uint8)}


class Knowing(Letters):
    """The same as `Letters`, by an author who says what is right and what counts as a success."""

    success_at = 3.0

    def oracle(self):
        return f"{self.asked[len(self.heard)]}es"


class Counting(Letters):
    """Takes no notice of the seed: every reset shows the next number."""

    count = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        Counting.count += 1
        return f"Number {Counting.count}.", {}


class Fragile(Letters):
    """Raises in some steps: always, or where the first letter that is asked for is `trouble`."""

    def __init__(self, trouble="", **kwargs):
        super().__init__(**kwargs)
        self.trouble = trouble

    def step(self, action):
        if self.asked[0] in (self.trouble or LETTERS):
            raise RuntimeError("the dictionary is lost\nfor good")
        return super().step(action)


class Says(Letters):
    """Gives what it is told to give."""

    def __init__(self, after_reset="Hello.\n", after_step=("Bye.\n", 0.0, True, False, {}), **kwargs):
        super().__init__(**kwargs)
        self.after_reset, self.after_step = after_reset, after_step

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if isinstance(self.after_reset, Exception):
            raise self.after_reset
        return self.after_reset, {}

    def step(self, action):
        return self.after_step


class Loud(gym.ObservationWrapper):
    """An observation wrapper of one's own."""

    def observation(self, observation):
        return observation.upper()


class Succeeding(Letters):
    """Says "success" where others say "is_success"."""

    def step(self, action):
        *rest, info = super().step(action)
        return *rest, {"success": info["is_success"]}


gym.register("foreign/Letters-v0", Letters)
gym.register("foreign/Bright-v0", Bright)
gym.register("foreign/Knowing-v0", Knowing)
gym.register("foreign/Counting-v0", Counting)
gym.register("foreign/Short-v0", Knowing, max_episode_steps=2)
