"""What mutants are planted into, and which tests have to notice them: fast ones, of the module itself."""

from pathlib import Path
from typing import NamedTuple


class Target(NamedTuple):
    """Holds a module, the tests of it, and of which functions mutants are made.

    Attributes:
        path: of the module.
        tests: files, without their folder.
        chosen: which tests of these files, as pytest's -k says it; all where it is empty.
        functions: the beginnings of the names of functions; all where there are none.
        most: how many mutants are tried; where there are more, so many are drawn.
    """

    path: Path
    tests: tuple[str, ...]
    chosen: str = ""
    functions: tuple[str, ...] = ()
    most: int = 100

    @property
    def arguments(self) -> list[str]:
        """Those of pytest."""
        return [*(f"tests/{name}" for name in self.tests), *(["-k", self.chosen] if self.chosen else [])]


TARGETS = {
    "functional": Target(
        Path("agents/algorithms/functional.py"),
        ("test_functional.py", "test_algorithms.py"),
        "test_functional or by_hand or baseline or advantage_is_on or compared_with_nothing or returns_to_come or "
        "score_functions_loss or has_its_kl_in_the_loss",
        most=400,
    ),
    "rollout": Target(
        Path("agents/rollout.py"),
        ("test_rollout.py", "test_stops.py", "test_algorithms.py", "test_ppo.py", "test_groups.py"),
        "test_rollout or ended or equal_rows or is_merged or is_counted or rollout or penalty or micro_batches or gae "
        "or bootstrapped or padding or compared_with_nothing or divided or scored_once",
        most=75,
    ),
    "rows": Target(
        Path("rewards/rows.py"),
        ("test_pairs_and_labels.py", "test_reward_model.py"),
        "test_pairs_and_labels or loss_by_hand or ends_with",
    ),
    "preferences": Target(
        Path("rewards/preferences.py"),
        ("test_pairs_and_labels.py", "test_reward_model.py"),
        "test_pairs_and_labels or one_row",
        ("Learned", "Pairs", "Labels"),
    ),
    "sft": Target(
        Path("agents/train_sft.py"),
        ("test_sft.py",),
        "not fitting and not merge",
        ("encode", "token_loss", "negative_log_likelihood", "losses_of"),
    ),
    "checkpoints": Target(
        Path("backbones/checkpoints.py"), ("test_checkpoints.py", "test_store_machine.py"), "not command and not words"
    ),
    "accuracy": Target(Path("envs/vqav2/accuracy.py"), ("test_vqa_accuracy.py",), most=200),
    "core": Target(
        Path("envs/core.py"),
        ("test_envs.py", "test_groups.py", "test_env_machines.py", "test_adding_a_task.py"),
        "not path and not any_ and not processes and not torch and not imported and not rollout and not run_in_groups "
        "and not ppo_plays and not autoresets and not learns and not ppo_raises and not commands",
    ),
}
