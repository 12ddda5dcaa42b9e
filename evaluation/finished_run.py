"""What a finished run of agents.train_ppo left: its options, its task and its policy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backbones.backbone import Backbone
from backbones.model.loading import use_threads
from backbones.roles import Role, load_role
from envs.registry import backbone_name, env_id, env_options, task_of
from envs.task import Task
from perlhf.errors import UserError
from perlhf.run_folder import read_run_config


def ppo_config(folder: Path) -> dict[str, Any]:
    """The options of a run of agents.train_ppo.

    Raises:
        UserError: the folder holds no run, or another command's.
    """
    config = read_run_config(folder)
    missing = [key for key in _USED if key not in config]
    if missing:
        kind = next((kind for key, kind in _KINDS.items() if key in config), "no run of agents.train_ppo")
        raise UserError(f"{folder} is {kind} (no {missing[0]!r} in config.yaml); give a folder of agents.train_ppo.")
    return config


_USED = ("reward", "env", "env_options", "data", "backbone", "max_new_tokens")
_KINDS = {"policy_pairs": "a run of rewards.train_reward_model", "records": "a run of agents.train_sft"}


def task_of_run(config: Mapping[str, Any], split: str, **more: Any) -> Task:
    """The task of a run, over a split of its data; `more` are other options of it."""
    name = env_id(config["env"])
    return task_of(name, **{**env_options(name, config["env_options"]), "data": config["data"], **more}, split=split)


def load_policy(
    folder: Path, config: Mapping[str, Any], backbone: str | None = None, device: str = "cpu", threads: int = 0
) -> Role:
    """The trained policy of a run folder.

    Args:
        folder: of the run.
        config: its options, see `ppo_config`.
        backbone: the backbone, where the run's own path no longer leads to it.
        device, threads: where it runs, see `backbones.model.loading.use_threads`.

    Raises:
        UserError: the run is not finished.
    """
    if not (folder / "policy").is_dir():
        raise UserError(f"{folder} has no trained policy yet; finish it with --resume {folder}.")
    base = Backbone.load(backbone_name(backbone or config["backbone"], env_id(config["env"])), device)
    use_threads(threads, base.parameter_count)
    return load_role(folder / "policy", "policy", False, base)[0]
