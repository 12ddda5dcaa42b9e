"""Checks that a run makes of itself before and after its first update, each with its likely causes of failure.

They catch the mistakes that otherwise look like slow learning: sampling and scoring that disagree, a reference that
is not the starting point, masks that are off by one, a base that trains along.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from agents.algorithms.functional import token_rewards
from agents.importance import log_probs_of_sampler
from agents.policy import LoRAPolicy
from agents.rollout import Rollout, ScoreSettings
from backbones.model.anatomy import hash_base
from backbones.role_report import describe_role
from perlhf.errors import UserError

# Of |ratio - 1|; in fp32 across shapes of batches, else in the shape that is trained, and in the median across shapes.
TOLERANCE = {"fp32": 1e-4, "mixed": 0.05, "bf16": 0.1, "int8": 0.1, "int4": 1e-2}

LEARNS = "adapters learn"
SERVER = "the server speaks as the policy"
_SAMPLER_TOLERANCE = {"fp32": 1e-4, "others": 0.05}  # of mean |log p - log q|, in nats a token


class Check(NamedTuple):
    """One question, its answer, and what to look for where the answer is no."""

    question: str
    passed: bool
    found: str
    causes: str = ""

    def __str__(self) -> str:
        return f"  [{'ok' if self.passed else 'FAILED'}] {self.question}: {self.found}"


class PreflightError(UserError):
    """A check failed: the run would not mean what it says."""


def adapted(policy: LoRAPolicy) -> str:
    """Returns what policy and value train, a line for each."""
    return "\n".join(f"  {describe_role(role)}" for role in policy.roles)


def before_update(policy: LoRAPolicy, rollout: Rollout, settings: ScoreSettings, fresh: bool) -> list[Check]:
    """Returns the checks on the first rollout. `fresh`: the adapters have not been trained yet."""
    checks = [_ratio(policy, rollout), _mask(policy, rollout), _score_position(rollout, settings)]
    if not fresh:
        return checks
    # A GPU may add up in another order at every call.
    exact = policy.backbone.device.type == "cpu"
    return [*_start(rollout, 0.0 if exact else TOLERANCE[policy.backbone.precision]), *checks]


def snapshot(policy: LoRAPolicy) -> tuple[str, list[Tensor]]:
    """Returns the hash of the base and a copy of the adapters, as `after_update` compares them."""
    return hash_base(policy.backbone.model), [p.detach().clone() for p in policy.parameters()]


def has_updated(checks: Sequence[Check]) -> bool:
    """Returns whether the checks after the first update are among these."""
    return any(check.question == LEARNS for check in checks)


def after_update(
    policy: LoRAPolicy, base_hash: str, before: Sequence[Tensor], values_alone: bool = False
) -> list[Check]:
    """Returns the checks after the first update: adapters moved, base did not.

    Args:
        policy: as it is now.
        base_hash, before: what `snapshot` gave.
        values_alone: nothing was to be learned but values.
    """
    moved = [not torch.equal(a, b) for a, b in zip(before, policy.parameters(), strict=True)]
    same = hash_base(policy.backbone.model) == base_hash
    learned = any(moved) and (values_alone or any(moved[: len(policy.policy_parameters)]))
    return [
        Check(
            "base weights unchanged", same, f"sha256 {base_hash[:12]}",
            "an optimizer group holds base weights; a role left its parameters trainable",
        ),
        Check(
            LEARNS, learned, f"{sum(moved)} of {len(before)} tensors moved (an adapter's B is the first)",
            "a backward pass outside its role; an optimizer that does not step; a learning rate of 0",
        ),
    ]  # fmt: skip


def require(checks: Sequence[Check]) -> None:
    """Stops the run at the first failed check.

    Raises:
        PreflightError: one line with the check, what was found and the likely causes.
    """
    for check in checks:
        if not check.passed:
            raise PreflightError(f"preflight: {check.question}? Found {check.found}. Likely: {check.causes}.")


def sampler(policy: LoRAPolicy, rollout: Rollout, before: Sequence[Check]) -> list[Check]:
    """Holds what a server says of its samples against the policy, which it samples from as it is now.

    Args:
        policy: who is sampled from.
        rollout: the samples.
        before: the checks so far.

    Returns:
        What is worth saying: the first two of these checks; none where the policy samples for itself.

    Raises:
        PreflightError: the check failed.
    """
    sampled = log_probs_of_sampler(rollout)
    if sampled is None:
        return []
    gaps = (rollout.old_log_probs - sampled).abs()[rollout.response_mask]
    mean, most = (float(gaps.mean()), float(gaps.max())) if len(gaps) else (0.0, 0.0)
    limit = _SAMPLER_TOLERANCE["fp32" if policy.backbone.precision == "fp32" else "others"]
    how = "--dtype float32" if policy.backbone.precision == "fp32" else "--dtype bfloat16"
    causes = (
        "the server has another base, an adapter or a cached prefix of before, another rule for log-probabilities, or "
        f"other precision (for this policy it is started with {how}; --precision bf16 allows for half precision)"
    )
    found = f"mean |difference| of log p {mean:.1e}, largest {most:.1e} (limit {limit:g})"
    check = Check(SERVER, mean < limit, found, causes)
    require([check])
    return [check] if sum(each.question == SERVER for each in before) < 2 else []


def _start(rollout: Rollout, tolerance: float) -> list[Check]:
    """Returns the checks of the start; `tolerance` is in nats a token."""
    gap = float((rollout.old_log_probs - rollout.reference_log_probs).abs().max())
    kl, tokens = float(rollout.kl.sum(1).mean()), rollout.kl.shape[1]
    causes = "the policy does not start from the backbone (merge the SFT stage first); an adapter starts non-zero"
    return [
        Check("reference equals policy", gap <= tolerance, f"largest log-prob difference {gap:.1e}", causes),
        Check("KL is exactly 0", abs(kl) <= tolerance * tokens, f"{kl:.1e} nats a response", causes),
    ]


@torch.no_grad()
def _ratio(policy: LoRAPolicy, rollout: Rollout) -> Check:
    others = _gaps(policy, rollout, range(min(8, len(rollout))))
    limit = TOLERANCE[policy.backbone.precision]
    causes = "dropout is on; padding or position ids differ between batches; reduced precision"
    question = "ratio is 1 before any update"
    if rollout.batches is None:
        gap = float(others.max())
        return Check(question, gap < limit, f"largest |ratio - 1| {gap:.1e}", causes)
    # Half precision: a last bit that another shape of batch changes grows to a few percent of a few tokens.
    gap, median = float(_gaps(policy, rollout, rollout.batches[0]).max()), float(others.median())
    found = f"largest |ratio - 1| {gap:.1e} as it is trained; in another batch {others.max():.1e}, median {median:.1e}"
    return Check(question, gap < limit and median < limit, found, causes)


def _gaps(policy: LoRAPolicy, rollout: Rollout, rows: Sequence[int]) -> Tensor:
    """Computes |ratio - 1| of the response tokens of some rows, in one forward, (tokens,)."""
    batch = policy.batch([rollout.prompts[i] for i in rows], [rollout.responses[i] for i in rows])
    log_probs, _ = policy.log_probs_and_entropy(batch, with_entropy=False)
    old = rollout.old_log_probs[list(rows), : batch.length]
    return ((log_probs.cpu() - old).exp() - 1).abs()[batch.response_mask.cpu()]


def _mask(policy: LoRAPolicy, rollout: Rollout) -> Check:
    wrong = 0
    for response, mask, failed in zip(rollout.responses, rollout.response_mask, rollout.failed, strict=True):
        length = 0 if failed else len(response)
        exact = int(mask.sum()) == length and bool(mask[:length].all())
        end = [i for i, token in enumerate(response) if token in policy.backbone.end_ids]
        wrong += not exact or end not in ([], [len(response) - 1])
    causes = "tokens after the end token; a mask made by comparing with the padding id"
    found = f"{len(rollout) - wrong} of {len(rollout)} rows"
    return Check("mask covers exactly the response tokens", wrong == 0, found, causes)


def _score_position(rollout: Rollout, settings: ScoreSettings) -> Check:
    score_weight, kl_weight = settings.algorithm.reward_weights(settings.kl_coef)
    kl_only = token_rewards(torch.zeros_like(rollout.scores), rollout.kl, rollout.response_mask, kl_weight)
    placed = rollout.rewards - kl_only
    last = rollout.response_mask.sum(1) - 1
    expected = torch.zeros_like(placed)
    expected[torch.arange(len(rollout)), last] = torch.where(rollout.failed, 0.0, score_weight * rollout.scores)
    gap = float((placed - expected).abs().max())
    causes = "the score sits on the first padding slot; a custom reward shape"
    return Check("score is on the last action token", gap < 1e-4, f"largest difference {gap:.1e}", causes)
