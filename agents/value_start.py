"""Says whether V can start as the reward model, and why not where it cannot."""

from backbones.backbone import Backbone
from backbones.full_role import FullRole
from backbones.pooled import Reading
from backbones.roles import LoRARole
from rewards.reward_model import RewardModel


def obstacle(start: RewardModel, backbone: Backbone, full: bool) -> str | None:
    """Returns why V cannot start as a reward model; None where it can.

    Args:
        start: the reward model.
        backbone: of the policy.
        full: whether V trains all weights.
    """
    if start.role.backbone is not backbone:
        return "it is on another backbone"
    if start.reading != Reading():
        return f"its head reads other states ({start.reading}) than V does, the last ones"
    if not isinstance(start.role, FullRole if full else LoRARole):
        kind = {LoRARole: "an adapter", FullRole: "a whole model"}.get(type(start.role), "a head alone")
        return f"it is {kind}, and V trains {'all weights' if full else 'an adapter'}"
    if start.log_prob_weight != 0:
        return f"its score is not the head's alone (log-prob weight {start.log_prob_weight:g})"
    return None
