"""What is known of a run beside its weights: how it did on held-out prompts, what was said of it, why it is over."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from torch import Tensor

WEIGHTS = "best."  # before the names of the best policy's tensors in a checkpoint


class Look(TypedDict):
    """How the policy of one moment did on n held-out episodes; of the same ones in every look.

    Attributes:
        update: how many updates it had seen.
        step: how many turns.
        first: number of its first episode in the split; looks from another one on are at other episodes.
        scores: (n,) by the reward.
        golds: (n,) by the task's judge; None where there is none.
    """

    update: int
    step: int
    first: int
    scores: list[float]
    golds: list[float] | None


@dataclass
class Watched:
    """Holds what callbacks find out about a run and go on from after a resume. Checkpoints have all of it.

    Attributes:
        look: the last one at the policy.
        best: the one at the best policy.
        best_by: "gold" or "score", what it is best by.
        best_weights: of that policy, by name; empty where none is kept.
        kl: KL to the reference in the last rollout, in nats a response.
        diagnoses: sentences on why nothing is learned, by their kind, with the turn when each was said.
        facts: of the last rollouts, where these are still too few for a diagnosis: by "responses" and "episodes".
        ended: why nothing more is learned, in words; not in checkpoints, since a resume may ask for something else.
    """

    look: Look | None = None
    best: Look | None = None
    best_by: str | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    kl: float | None = None
    diagnoses: dict[str, dict[str, Any]] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    ended: str | None = None

    def get_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Returns the weights by the names that they have in a checkpoint, and the rest as JSON."""
        rest = {name: value for name, value in vars(self).items() if name not in ("best_weights", "ended")}
        return {f"{WEIGHTS}{name}": weight.cpu().clone() for name, weight in self.best_weights.items()}, rest

    def set_state(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Goes on from what `get_state` gave; `tensors` may have others among them."""
        fresh = {**vars(Watched()), **rest}
        vars(self).update(fresh, best_weights={
            name.removeprefix(WEIGHTS): tensor for name, tensor in tensors.items() if name.startswith(WEIGHTS)
        })  # fmt: skip
