"""Numbers that are none: NaN or infinite stops the run where it is first seen, before it is learned from or saved.

A NaN in one row makes the gradient of its minibatch NaN, and after one optimizer step all weights. So rewards are
looked at as the env gives them, what the model says of a rollout when it is scored, the gradient before each optimizer
step, and weights before they are written. Each message names the tensor, the step and the sample.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.policy import LoRAPolicy
from agents.rollout import Rollout
from perlhf.errors import UserError

# What a rollout is checked for, in the order in which one follows from the other, and where it comes from.
_OF_ROLLOUT = {
    "scores": "the env's rewards",
    "old_log_probs": "the policy's logits",
    "reference_log_probs": "the logits of the backbone",
    "values": "the value function",
    "rewards": "scores and KL",
    "advantages": "rewards and values",
    "returns": "advantages and values",
}


def check_step(observation: Mapping[str, Any], rewards: np.ndarray, step: int) -> None:
    """Looks at what an env step gave.

    Args:
        observation: "prompt", and maybe "image", of each env.
        rewards: (n_envs,).
        step: turns played before.

    Raises:
        UserError: a reward is NaN or infinite, or a number in an image.
    """
    for env in map(int, np.flatnonzero(~np.isfinite(rewards))[:1]):
        raise UserError(f"the reward is {rewards[env]} in env {env} after step {step}, expected a number.")
    images = np.asarray(observation.get("image", ()))
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        env, *pixel = np.argwhere(~np.isfinite(images))[0].tolist()
        raise UserError(
            f"the observation has {images[(env, *pixel)]} in the image of env {env}, at {pixel}, after step {step}, "
            "expected numbers."
        )


def check_rollout(rollout: Rollout, step: int) -> None:
    """Looks at all that is learned from.

    Args:
        rollout: a scored one.
        step: turns played so far.

    Raises:
        UserError: a number is NaN or infinite on a token that the policy said.
    """
    for name, source in _OF_ROLLOUT.items():
        tensor: Tensor | None = getattr(rollout, name)
        if tensor is None:
            continue
        wrong = ~tensor.isfinite() & (~rollout.failed if tensor.ndim == 1 else rollout.response_mask)
        if wrong.any():
            row, *token = wrong.nonzero()[0].tolist()
            where = f", token {token[0]}" if token else ""
            raise UserError(
                f"{name} of the rollout are {tensor[(row, *token)].item()} at step {step} in row {row} (env "
                f"{int(rollout.order.envs[row])}, turn {int(rollout.order.steps[row])}){where}; they come from "
                f"{source}. Training has diverged (lower learning_rate), or a number is too large for the precision "
                "(try fp32)."
            )


def check_gradient(norm: float, policy: LoRAPolicy, learned: Rollout, rows: Sequence[int], step: int) -> None:
    """Looks at the gradient of a minibatch before the optimizer takes it.

    Args:
        norm: its length.
        policy: whose parameters have it.
        learned: what it was made of.
        rows: of the minibatch.
        step: turns played so far.

    Raises:
        UserError: it is NaN or infinite.
    """
    if np.isfinite(norm):
        return
    named = ((name, p.grad) for name, p in policy.named_parameters() if p.grad is not None)
    wrong = [name.replace("|", ".") for name, grad in named if not grad.isfinite().all()]
    raise UserError(
        f"the gradient is not finite at step {step}: {norm} in {wrong[0] if wrong else 'the sum of squares'} and "
        f"{max(0, len(wrong) - 1)} other tensors, {_blamed(policy, learned, rows)}; lower learning_rate."
    )


@torch.no_grad()
def _blamed(policy: LoRAPolicy, learned: Rollout, rows: Sequence[int]) -> str:
    """Says which row of a minibatch has a number that is none going forward."""
    for row in rows:
        part = learned.part([row], policy)
        for role in policy.trained_roles:
            spoken, values = policy.outputs(role, part.batch, with_entropy=False)
            found = {name: getattr(part, name) for name in ("old_log_probs", "old_values", "advantages", "returns")}
            found |= {"log-probabilities": None if spoken is None else spoken[0], "values": values}
            for name, tensor in found.items():
                if tensor is not None and not tensor[part.mask].isfinite().all():
                    return f"from the {name} of row {row} (env {int(learned.order.envs[row])})"
    return f"in the backward pass of rows {sorted(rows)}"


def check_weights(policy: LoRAPolicy) -> None:
    """Looks at what a checkpoint would hold of a policy: its weights, those of the value, and the optimizer's state.

    Raises:
        UserError: a number is NaN or infinite; nothing is written.
    """
    for name, parameter in policy.named_parameters():
        state = policy.optimizer.state.get(parameter, {})
        tensors = {"weight": parameter, **{key: value for key, value in state.items() if isinstance(value, Tensor)}}
        for what, tensor in tensors.items():
            if not tensor.isfinite().all():
                place = "the weights" if what == "weight" else f"Adam's {what}"
                raise UserError(
                    f"{place} of {name.replace('|', '.')} are not finite, so nothing is saved; go on from the "
                    "checkpoint before, with a lower learning_rate."
                )
