"""`TextSpaces`: the spaces of a Gymnasium env that somebody else wrote; what it shows as text, what text it takes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.corpora.surrogates import has_lone_surrogate
from envs.entry_points import quoted
from envs.spaces import Unicode
from perlhf.errors import UserError

_EXPECTED = (
    "gymnasium.spaces.Text, or a Dict with 'prompt' (Text) and, where there is one, 'image' (Box, uint8, height x "
    "width x 3)"
)


class TextSpaces:
    """Says what of an env's observations is the prompt and the image, and makes any response one that the env takes.

    Args:
        name: of the env, in messages.
        shown: its observation space.
        taken: its action space.

    Attributes:
        max_prompt_length: in characters.
        image_shape: (height, width, 3); None where nothing is shown but text.
        unseen: parts of an observation that a policy is not shown.

    Raises:
        UserError: it takes no text, or shows none, or an image of another form.
    """

    def __init__(self, name: str, shown: spaces.Space[Any], taken: spaces.Space[Any]) -> None:
        if not isinstance(taken, spaces.Text):
            raise UserError(
                f"env {name!r} takes no text: its action space is {quoted(taken)}, expected gymnasium.spaces.Text. "
                "Train on it with an algorithm of Stable-Baselines3 itself."
            )
        self.name, self._taken = name, taken
        self._parts = shown.spaces if isinstance(shown, spaces.Dict) else {"prompt": shown}
        self._is_dict = isinstance(shown, spaces.Dict)
        prompt, image = self._parts.get("prompt"), self._parts.get("image")
        if not isinstance(prompt, spaces.Text):
            keys = f" with {', '.join(map(repr, self._parts))} and no text under 'prompt'" if self._is_dict else ""
            raise UserError(
                f"env {name!r} shows no text: its observation space is a {type(shown).__name__}{keys}, expected "
                f"{_EXPECTED}; a wrapper in between has to keep it."
            )
        self._prompt, self.max_prompt_length = prompt, prompt.max_length
        self.image_shape = None if image is None else self._shape_of(image)
        self.unseen = tuple(key for key in self._parts if key not in ("prompt", "image"))

    def _shape_of(self, image: spaces.Space[Any]) -> tuple[int, int, int]:
        if not isinstance(image, spaces.Box) or image.dtype != np.uint8 or len(image.shape) != 3 or image.shape[2] != 3:
            raise UserError(
                f"env {self.name!r} shows an image of {quoted(image)}; expected a Box of uint8, height x width x 3."
            )
        return image.shape

    def observed(self, observation: Any, when: str) -> dict[str, Any]:
        """Returns {"prompt": str[, "image": (height, width, 3) uint8]} of an observation.

        Args:
            observation: as the env gave it.
            when: it did, such as "at step 3", in messages.

        Raises:
            UserError: it is not what the observation space says; it names the part, and what is wrong.
        """
        said = f"env {self.name!r} {when} showed"
        if self._is_dict and not isinstance(observation, Mapping):
            raise UserError(f"{said} {type(observation).__name__}, expected a dict, as its observation space says.")
        parts = observation if self._is_dict else {"prompt": observation}
        missing = [key for key in ("prompt", "image") if key in self._parts and key not in parts]
        if missing:
            raise UserError(f"{said} no {missing[0]!r}, which its space has; a wrapper may have dropped it.")
        prompt = parts["prompt"]
        if wrong := self._wrong_with(prompt):
            raise UserError(
                f"{said} a prompt that its observation space does not hold: {wrong}. Mend the space; "
                f"envs.spaces.Unicode(100_000) is one that holds any text."
            )
        if self.image_shape is None:
            return {"prompt": prompt}
        image = parts["image"]
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != self.image_shape:
            found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise UserError(f"{said} an image of {found}, expected uint8 {self.image_shape}.")
        return {"prompt": prompt, "image": image.copy()}  # the env may draw its next one into the same array

    def _wrong_with(self, prompt: Any) -> str:
        """Says what is wrong with a prompt; "" for nothing."""
        space = self._prompt
        if not isinstance(prompt, str):
            return f"{type(prompt).__name__} instead of text"
        if not space.min_length <= len(prompt) <= space.max_length:
            return f"{len(prompt)} characters, not {space.min_length} to {space.max_length}"
        if has_lone_surrogate(prompt):
            return "a lone surrogate, which is no text"
        if isinstance(space, Unicode):
            return ""
        outside = next((letter for letter in prompt if letter not in space.character_set), None)
        return "" if outside is None else f"the character {outside!r} is not in its charset"

    def takes(self, response: str) -> bool:
        """Returns whether a response is in the action space as it is."""
        return self._taken.contains(response)

    def fitted(self, response: str) -> str:
        """Returns the response as the action space has it.

        Characters outside its charset are left out, what is longer than its max_length is cut, and what is shorter than
        its min_length is filled up with spaces, or with its first character where it has no space.
        """
        space = self._taken
        if space.contains(response):
            return response
        assert isinstance(space, spaces.Text)
        if isinstance(space, Unicode):
            return response[: space.max_length]
        kept = "".join(letter for letter in response if letter in space.character_set)[: space.max_length]
        fill = " " if " " in space.character_set else min(space.character_set)
        return kept.ljust(space.min_length, fill)

    def describe_fitting(self) -> str:
        """Says what `fitted` does, for when it first does it."""
        space = self._taken
        assert isinstance(space, spaces.Text)
        outside = "" if isinstance(space, Unicode) else "characters outside its charset are left out, "
        return (
            f"env {self.name!r}: a response is not in its action space: {outside}what is longer than "
            f"{space.max_length} characters is cut, what is shorter than {space.min_length} filled up. "
            "So it is with all that follow."
        )
