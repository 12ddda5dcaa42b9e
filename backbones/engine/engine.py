"""`Engine`: samples responses. `LocalEngine` does it in this process; a server's is in `backbones.engine.server`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from backbones.generate import generate
from backbones.roles import Role

Save = Callable[[Path], None]  # writes the adapter into a folder that is not there yet


class Sampled(NamedTuple):
    """One response as it was sampled.

    Attributes:
        ids: its tokens, the end token included; without one where it was cut, or is over at a stop string.
        log_probs: of each token, in nats, as the sampler had them; None where the sampler is the model that is
            trained, so that they are what scoring will find.
    """

    ids: list[int]
    log_probs: list[float] | None


class Engine(ABC):
    """Samples responses of a policy that is trained elsewhere, and is told when it has changed."""

    @abstractmethod
    def generate(
        self, prompts: Sequence[Sequence[int]], max_new_tokens: int, temperature: float, seeds: Sequence[int]
    ) -> list[Sampled]:
        """Samples one response for each prompt.

        Args:
            prompts: token ids, one row a prompt.
            max_new_tokens: where a response is cut if it has not ended.
            temperature: of the softmax, above 0; log-probabilities are at this temperature too.
            seeds: one for each prompt: a response depends on its prompt and its seed, not on its neighbours.
        """

    @abstractmethod
    def update(self, save: Save) -> None:
        """Takes over the adapter that `save` writes. All processes call it, and the first one alone saves."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of what `update` put anywhere. The engine can be used again after another `update`."""


class LocalEngine(Engine):
    """Samples with the model that is trained, so there is nothing to be told."""

    def __init__(self, role: Role) -> None:
        self._role = role

    def generate(
        self, prompts: Sequence[Sequence[int]], max_new_tokens: int, temperature: float, seeds: Sequence[int]
    ) -> list[Sampled]:
        """Samples with the role merged; no log-probabilities are kept."""
        responses = generate(self._role, prompts, max_new_tokens, temperature, seeds)
        return [Sampled(response, None) for response in responses]

    def update(self, save: Save) -> None:
        """Does nothing: it is the same model."""

    def close(self) -> None:
        """Does nothing: it holds nothing of its own."""
