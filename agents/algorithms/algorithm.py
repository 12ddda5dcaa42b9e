"""`Algorithm`: what tells one way of learning from a rollout from another. The rest is the same for all of them."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from agents.algorithms import functional as F

if TYPE_CHECKING:  # which stand above
    from agents.hyperparameters import Hyperparameters
    from agents.rollout import Part, Rollout, ScoreSettings

OF_VALUES = frozenset({"vf_coef", "clip_range_vf", "gae_lambda", "value_warmup"})  # settings without a use where none


class Algorithm(ABC):
    """Says what responses are worth and what is minimised. It holds nothing: all its methods are functions of tensors.

    Attributes:
        has_values: whether a value function is learned beside the policy. Without one only whole episodes are played.
        group_size: responses to one prompt, or episodes from one state, where nothing else is said.
        compares: whether episodes of a group are compared with each other, so that there must be two at least.
        normalizes: whether advantages are brought to mean 0 and variance 1 over the tokens of a rollout.
        unused: hyperparameters that have no say.
    """

    has_values: ClassVar[bool] = True
    group_size: ClassVar[int] = 1
    compares: ClassVar[bool] = False
    normalizes: ClassVar[bool] = False
    unused: ClassVar[frozenset[str]] = frozenset()

    def reward_weights(self, kl_coef: float) -> tuple[float, float]:
        """Returns what the score and the KL of a token count in its reward."""
        return 1.0, kl_coef

    def loss_kl_coef(self, kl_coef: float) -> float:
        """Returns what the KL to the reference counts in the loss itself."""
        return 0.0

    @abstractmethod
    def advantages(self, rollout: "Rollout", settings: "ScoreSettings") -> Tensor:
        """Returns how much better than expected each token was, (N, T), 0 outside the mask."""

    @abstractmethod
    def policy_loss(self, log_probs: Tensor, part: "Part", h: "Hyperparameters") -> tuple[Tensor, Tensor]:
        """Returns the loss of each token, (B, T), and where a clip holds; 0 and False outside the mask."""

    def value_loss(self, values: Tensor, part: "Part", h: "Hyperparameters") -> Tensor:
        """Returns the loss of the value of each token, (B, T): half the squared error."""
        assert part.returns is not None
        return F.value_loss(values, values, part.returns, part.mask, None)
