"""Mutants that do what the module does, and so no test can notice: each with the reason."""

EQUIVALENT: dict[str, dict[str, str]] = {
    "agents/algorithms/functional.py": {
        (
            "token_rewards: rewards[torch.arange(len(scores)), last] += scores.to(rewards.dtype) -> "
            "rewards[torch.arange(len(scores)), last] += scores.to(None)"
        ): "adding in place takes any precision",
        "chain_gae: n_envs = int(order.envs.max()) + 1 -> n_envs = int(order.envs.max()) + 2": "no row is of it",
        (
            "chain_gae: for step in range(int(order.steps.max()), -1, -1): -> for step in "
            "range(int(order.steps.max()), -2, -1):"
        ): "no row is of step -1",
        (
            "policy_loss: log_ratio = torch.where(mask, log_probs - old_log_probs, 0.0) -> log_ratio = "
            "torch.where(mask, log_probs - old_log_probs, 1.0)"
        ): "outside the mask any finite number does: the loss is multiplied by the mask",
    },
    "agents/rollout.py": {
        (
            "score_rollout: reference = log_probs_of(policy.reference_role, prompts, responses, policy.temperature, "
            "parts) -> reference = log_probs_of(policy.reference_role, prompts, responses, policy.temperature, None)"
        ): "in parts of its own, which come to the same figures",
    },
    "backbones/checkpoints.py": {
        (
            ": def write_checkpoint(folder: Path, saved: Saved, more: Callable[[Path], None] = lambda part: "
            "None) -> None: -> def write_checkpoint(folder: Path, saved: Saved, more: Callable[[Path], "
            "None] = lambda part: 0) -> None:"
        ): "what it returns is not read",
        (
            "read_checkpoint: return Saved(load_file(folder / _TENSORS), json.loads((folder / "
            '_STATE).read_text(encoding="utf-8"))) -> return Saved(load_file(folder / _TENSORS), '
            "json.loads((folder / _STATE).read_text(encoding=None)))"
        ): "what is in it is ASCII, which all encodings have",
    },
    "envs/core.py": {
        "TaskVectorEnv.__init__: self._begun = False -> self._begun = None": "both are false",
        (
            "TaskVectorEnv.reset: starts = self._starts(known, **groups) if groups else None -> starts = "
            "self._starts(known, **groups) if (groups) or True else None"
        ): "without groups it returns None too",
        (
            'TaskVectorEnv.set_state: self._over = np.array(state["over"], bool) if "over" in state else None -> '
            'self._over = np.array(state["over"], None) if "over" in state else None'
        ): "it is a list of booleans, of which an array is one of booleans",
    },
    "rewards/preferences.py": {
        (
            'Pairs.loss: margins = torch.tensor([float(r.meta.get("margin", 0.0)) for r in records], '
            'device=scores.device) -> margins = torch.tensor([float(r.meta.get("margin", 0.0)) for r in '
            "records], )"
        ): "differs where scores are not on the CPU",
        (
            "Labels.loss: labels = torch.tensor([r.label for r in records], device=scores.device) -> labels "
            "= torch.tensor([r.label for r in records], device=None)"
        ): "differs where scores are not on the CPU",
        (
            "Labels.loss: labels = torch.tensor([r.label for r in records], device=scores.device) -> labels "
            "= torch.tensor([r.label for r in records], )"
        ): "differs where scores are not on the CPU",
    },
    "rewards/rows.py": {
        (
            ": Row = tuple[list[int], list[int]] # token ids of a prompt, and of a response with its end "
            "token -> Row = None # token ids of a prompt, and of a response with its end token"
        ): "stands in annotations alone",
    },
}
