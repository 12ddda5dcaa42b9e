"""Mutants that do what the module does, and so no test can notice: each with the reason."""

_TYPES = "stands in annotations alone"

EQUIVALENT: dict[str, dict[str, str]] = {
    "agents/algorithms/functional.py": {
        "chain_gae: n_envs = int(order.envs.max()) + 1 -> n_envs = int(order.envs.max()) + 2": (
            "no row is of the env more"
        ),
        "chain_gae: for step in range(int(order.steps.max()), -1, -1): -> "
        "for step in range(int(order.steps.max()), -2, -1):": "no row is of step -1",
        "policy_loss: log_ratio = torch.where(mask, log_probs - old_log_probs, 0.0) -> "
        "log_ratio = torch.where(mask, log_probs - old_log_probs, 1.0)": (
            "outside the mask any finite number does: the loss is multiplied by the mask"
        ),
    },
    "rewards/rows.py": {
        ": Row = tuple[list[int], list[int]] # token ids of a prompt, and of a response with its end token -> "
        "Row = None # token ids of a prompt, and of a response with its end token": _TYPES,
    },
}
