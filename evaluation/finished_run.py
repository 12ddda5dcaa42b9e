"""Load what a finished run of agents.train_ppo left: its options, its task, its policy and its values."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from agents.setup import Setup
from backbones.model.loading import LoadSettings, use_threads
from backbones.role_files import read_provenance
from backbones.roles import HeadRole, Role, load_role
from perlhf.errors import UserError
from perlhf.run_folder import read_run_config


def ppo_config(folder: Path) -> dict[str, Any]:
    """Returns the options of a run of agents.train_ppo.

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


def setup_of_run(
    config: Mapping[str, Any], reward: str | None = None, backbone: str | None = None, device: str = "auto"
) -> Setup:
    """Returns the setup of a run; `reward` and `backbone` where the run's own paths no longer lead to them.

    The backbone is held, and reads text, as it was in the run.
    """
    of_task = config["env"], config["env_options"], config["data"]
    known = {field.name for field in fields(LoadSettings)}
    said = {name: value for name, value in config.items() if name in known}
    settings = LoadSettings(**{"chat_template": "none", **said})  # none was applied before there was the option
    models = backbone or config["backbone"], reward or config["reward"]
    return Setup.of(*of_task, *models, device, settings, columns=config.get("columns", ""))


def load_policy(folder: Path, setup: Setup, threads: int = 0) -> Role:
    """Returns the trained policy of a run folder.

    Args:
        folder: of the run.
        setup: what it was on, see `setup_of_run`.
        threads: of torch, see `backbones.model.loading.use_threads`.

    Raises:
        UserError: the run is not finished.
    """
    if not (folder / "policy").is_dir():
        raise UserError(f"{folder} has no trained policy yet; finish it with agents.train_ppo --resume {folder}.")
    use_threads(threads, setup.backbone.parameter_count)
    return load_role(folder / "policy", "policy", False, setup.backbone)[0]


def load_value(folder: Path, policy: Role) -> tuple[Role, float] | None:
    """Returns the value role of a run folder and what is added to its head's output; None where it learned no values.

    Args:
        folder: of the run.
        policy: its trained policy, whose states a shared value reads.
    """
    if not (folder / "value").is_dir():
        return None
    if read_provenance(folder / "value").get("host") != policy.name:
        role, provenance = load_role(folder / "value", "value", True, policy.backbone)
        return role, float(provenance.get("offset", 0.0))
    shared = HeadRole(policy.backbone, "value", policy)
    shared.trainable = False
    return shared, float(shared.load(folder / "value").get("offset", 0.0))
