"""Token rows that reward models score, and the losses on their scores."""

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from backbones.backbone import Backbone

Row = tuple[list[int], list[int]]  # token ids of a prompt, and of a response with its end token


def encode(backbone: Backbone, prompt: str, response: str, image: np.ndarray | None = None) -> Row:
    """Returns the tokens that are scored, in training and under PPO alike."""
    return backbone.encode_prompt(prompt, image), scored_response(backbone, response)


def scored_response(backbone: Backbone, response: str) -> list[int]:
    """Returns the tokens of a response with the end token that its score is read at."""
    return [*backbone.encode_response(response), backbone.end_ids[0]]


def pairwise_loss(chosen: Tensor, rejected: Tensor, margins: Tensor | None = None) -> Tensor:
    """-log sigmoid(chosen - rejected - margin), the mean over pairs: Bradley-Terry (arXiv 2403.10704, section 2).

    Args:
        chosen, rejected: scores, (n,).
        margins: by how much the chosen ones have to lie above (arXiv 2307.09288, section 3.2.2), as in TRL's
            RewardTrainer; 0 where None.
    """
    differences = chosen - rejected
    return -F.logsigmoid(differences if margins is None else differences - margins).mean()


def pointwise_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy of logits (n,) with labels from 0 to 1, the mean.

    -[p log sigmoid(r) + (1 - p) log(1 - sigmoid(r))]: arXiv 2403.10704, section 2, where the second term is
    printed as log sigmoid(1 - r). RL uses the logit r, which a good response cannot saturate.
    """
    return F.binary_cross_entropy_with_logits(logits, labels)
