"""Checkpoints of PPO: everything that decides how a run goes on, in the store that `backbones.checkpoints` is.

What is written are the adapters as `Role.save` has them, their values again with the optimizer's (state.safetensors),
and the rest as JSON (state.json). Samples follow from the seed and from counts of turns, so that no random state of a
device is in it; the global random states of Python, numpy and torch are not perlhf's, and are neither saved nor set.
"""

import os
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule
from stable_baselines3.common.vec_env import VecMonitor
from torch import Tensor

from agents.gym_vec_env import GymVecEnv
from agents.hyperparameters import SCHEDULES
from agents.vec_env import TaskVecEnv
from backbones import group
from backbones.checkpoints import (
    CheckpointError,
    Saved,
    as_json,
    checkpoints_of,
    optimizer_tensors,
    read_checkpoint,
    restore_optimizer,
    write_checkpoint,
)
from backbones.model.loading import short_name
from backbones.role_files import belongs_to, check_template, read_provenance
from backbones.roles import LoRASettings
from envs.core import TaskVectorEnv
from envs.gym_task import NotRepeatableError
from envs.spaces import Unicode
from perlhf import sealed_folder
from perlhf.errors import one_line

if TYPE_CHECKING:
    from agents.policy import LoRAPolicy
    from agents.ppo import PPO

_SAVING = "a checkpoint"  # what a process says that saves, to others that may do something else
_OTHER_ARGUMENTS = ("policy_kwargs", "seed", "stats_window_size", "tensorboard_log", "verbose")
_NEW_EPISODES = " Give an env as it was, or force_reset=True to PPO.load, which begins new episodes."


# What is in it.


def save_checkpoint(algorithm: "PPO", folder: Path) -> None:
    """Writes the whole state of `algorithm` to `folder`, replacing a checkpoint that is already there.

    All processes take part, and the first one writes. How many they are is not in it.

    Raises:
        CheckpointError: a schedule or an env that cannot be written down; a process that does something else.
        SealError: `folder` is there and no checkpoint.
    """
    saved = whole_state(algorithm)
    group.from_first(lambda: _write(algorithm, saved, folder))


def whole_state(algorithm: "PPO") -> Saved:
    """Returns what a checkpoint of this moment would hold, copies of everything; all processes call this.

    Raises:
        CheckpointError: as `save_checkpoint`.
    """
    saved = get_state(algorithm, state_of_envs(algorithm))
    saved.state["arguments"] = constructor_arguments(algorithm)
    return saved


def save_earlier(algorithm: "PPO", saved: Saved, folder: Path) -> None:
    """Writes what `whole_state` gave at an earlier moment, and leaves the weights as they were then."""
    _put_weights_back(algorithm, saved.tensors)
    group.from_first(lambda: _write(algorithm, saved, folder))


def _write(algorithm: "PPO", saved: Saved, folder: Path) -> None:
    policy = algorithm.policy

    def write_roles(part: Path) -> None:
        policy.policy_role.save(part / "policy")
        if policy.value_role is not None:
            policy.value_role.save(part / "value", {"offset": policy.value_offset})

    write_checkpoint(folder, saved, write_roles)


def find_checkpoint(path: str | Path) -> Path:
    """Finds the folder that `save` wrote, with or without ".zip" at its end, as SB3 spells it; of a run its newest one.

    Raises:
        CheckpointError: there is none, or a file, as SB3's own algorithms write it.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise CheckpointError(f"expected the path of a checkpoint's folder, got {type(path).__name__}.")
    given = Path(path)
    spellings = [
        given,
        *([given.with_name(f"{given.name}.zip")] if given.name else []),  # "." and "/" have none
        *([given.with_suffix("")] if given.suffix == ".zip" else []),
    ]
    for folder in spellings:
        sealed_folder.put_back(folder)
        if folder.is_dir():
            run_has = checkpoints_of(folder)
            return run_has[0] if run_has else folder
    for file in spellings:
        if file.exists():
            raise CheckpointError(f"{file} is a file; agents.PPO saves folders, and reads no model of SB3's own PPO.")
    raise CheckpointError(f"{given} holds no checkpoint: there is no such folder.")


def load_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any], LoRASettings | None]:
    """Reads what `save` wrote; returns tensors, the rest, and the settings of the value adapter.

    Raises:
        CheckpointError: there is no checkpoint.
        SealError: it is damaged.
    """
    folder = find_checkpoint(path)
    return *read_checkpoint(folder), saved_value_settings(folder)


def state_of_envs(algorithm: "PPO") -> dict[str, Any] | None:
    """Returns the state of the envs of all processes, which all call this; None where no episode is under way.

    None too for a vector env of Gymnasium's, which cannot say how its episodes stand.

    Raises:
        CheckpointError: an env that cannot be written down, or a process that does something else.
    """
    if algorithm.env is None or algorithm.last_observation is None or isinstance(algorithm.env.unwrapped, GymVecEnv):
        return None
    found: list[Any] = group.gather((_SAVING, algorithm.num_timesteps, _env_state(algorithm.env)))
    if any(not isinstance(each, tuple) or each[:2] != (_SAVING, algorithm.num_timesteps) for each in found):
        raise CheckpointError(
            f"not all {group.size()} processes save the model at {algorithm.num_timesteps} turns: save takes all of "
            "them, so call it in all, as from a callback that all have; the first one writes."
        )
    return _joined([state for *_, state in found])


def get_state(algorithm: "PPO", envs: Mapping[str, Any] | None) -> Saved:
    """All tensors by name, and the rest as JSON, with what `state_of_envs` gave."""
    policy = algorithm.policy
    tensors = {f"parameters.{n}": p.detach().cpu().clone() for n, p in policy.named_parameters()}
    tensors |= {f"constants.{name}": tensor.cpu().clone() for name, tensor in _constants(policy).items()}
    tensors |= optimizer_tensors(policy.optimizer)
    averages, averaged = ({}, 0) if algorithm.average is None else algorithm.average.get_state()
    tensors |= {f"average.{name}": tensor for name, tensor in averages.items()}
    best, watched = algorithm.watched.get_state()
    tensors |= best
    state: dict[str, Any] = {
        "num_timesteps": algorithm.num_timesteps,
        "n_updates": algorithm.n_updates,
        "turns": algorithm.turns,
        "predictions": policy.predictions,
        **belongs_to(policy.backbone),
        "kl_coef": algorithm.kl_coef,
        "initial_kl_coef": algorithm.initial_kl_coef,
        "cost": algorithm.cost,
        "watched": watched,
        "negative_kl_rollouts": algorithm.negative_kl_rollouts,
        "score_scale": vars(algorithm.score_scale),
        "value_offset": policy.value_offset,
        "spaces": _spaces_to_json(algorithm),
        "episodes": [list(buffer or ()) for buffer in (algorithm.ep_info_buffer, algorithm.ep_success_buffer)],
        "order": algorithm.order_generator.bit_generator.state,
    }
    if algorithm.average is not None:
        state["averaged"] = averaged
    if algorithm.starts is not None:
        state["starts"] = algorithm.starts.get_state()
    if envs is not None:
        state["env"] = envs
    return Saved(tensors, as_json(state))


def set_state(
    algorithm: "PPO", tensors: Mapping[str, Tensor], state: Mapping[str, Any], with_episodes: bool = True
) -> None:
    """Puts back what `get_state` gave; the episodes under way too, where the algorithm has an env.

    A `kl_coef` other than the one that the saved run was given stands, and so do all other hyperparameters.

    Args:
        algorithm: made as the saved one was.
        tensors, state: what `read_checkpoint` gives.
        with_episodes: whether the episodes that were under way go on; else the next rollout begins new ones.

    Raises:
        CheckpointError: another base, adapters of another shape, or an env of another number or kind of episodes;
            nothing is changed then.
    """
    policy = algorithm.policy
    _check_fit(algorithm, tensors, state)
    env_state = state.get("env") if with_episodes and algorithm.env is not None else None
    algorithm.last_observation = None if env_state is None else _restore_env(algorithm, env_state)
    if with_episodes and algorithm.env is not None and algorithm.last_observation is None and state["turns"]:
        print("the env cannot go back to the episodes that were under way: new ones begin.", file=sys.stderr)
        algorithm.seed_episodes(algorithm.seed or 0, state["turns"])
    _put_weights_back(algorithm, tensors)
    restore_optimizer(policy.optimizer, tensors)
    if algorithm.average is not None:
        averages = {name.removeprefix("average."): t for name, t in tensors.items() if name.startswith("average.")}
        algorithm.average.set_state(averages or policy.policy_role.parameters(), state.get("averaged", 0))
    if algorithm.starts is not None and "starts" in state:
        algorithm.starts.set_state(state["starts"])
    policy.value_offset = state["value_offset"]
    algorithm.num_timesteps, algorithm.n_updates = state["num_timesteps"], state["n_updates"]
    algorithm.turns, policy.predictions = state["turns"], state["predictions"]
    if algorithm.hyperparameters.micro_batch_size is None:  # the last bit of a gradient depends on it
        algorithm.micro_batch_size = state["arguments"]["micro_batch_size"]
    if algorithm.initial_kl_coef == state["initial_kl_coef"]:
        algorithm.kl_coef = state["kl_coef"]
    algorithm.cost, algorithm.negative_kl_rollouts = dict(state["cost"]), state["negative_kl_rollouts"]
    vars(algorithm.score_scale).update(state["score_scale"])
    algorithm.watched.set_state(tensors, state.get("watched", {}))
    infos, successes = state["episodes"]
    infos = [{**info, "r": np.float32(info["r"])} for info in infos]  # as VecMonitor counts: means depend on it
    window = algorithm.stats_window_size
    algorithm.ep_info_buffer, algorithm.ep_success_buffer = deque(infos, maxlen=window), deque(successes, maxlen=window)
    algorithm.order_generator.bit_generator.state = state["order"]


@torch.no_grad()
def _put_weights_back(algorithm: "PPO", tensors: Mapping[str, Tensor]) -> None:
    for name, parameter in algorithm.policy.named_parameters():
        parameter.copy_(tensors[f"parameters.{name}"])
    for name, tensor in _constants(algorithm.policy).items():
        tensor.copy_(tensors[f"constants.{name}"])


def _check_fit(algorithm: "PPO", tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    if "num_timesteps" not in state:
        raise CheckpointError("the checkpoint is one of SFT or of a reward model; PPO goes on with its own.")
    policy = algorithm.policy
    made_on, backbone = state["base_sha256"], policy.backbone
    if made_on != backbone.hash:
        raise CheckpointError(
            f"the checkpoint was made on a base with sha256 {made_on[:12]}, but backbone {backbone.path} has "
            f"{backbone.hash[:12]}; pass the backbone it was made on."
        )
    check_template("the checkpoint", dict(state), backbone)
    for name, parameter in policy.named_parameters():
        saved = tensors.get(f"parameters.{name}")
        if saved is None or saved.shape != parameter.shape:
            got = "none" if saved is None else tuple(saved.shape)
            raise CheckpointError(f"the checkpoint has {got} for {name}, this policy {tuple(parameter.shape)}.")
    known = {f"parameters.{name}" for name, _ in policy.named_parameters()}
    known |= {f"constants.{name}" for name in _constants(policy)}
    others = known ^ {name for name in tensors if name.startswith(("parameters.", "constants."))}
    if others:
        raise CheckpointError(
            f"the checkpoint was made with other adapters than this policy has ({len(others)} tensors of one alone, as "
            f"{min(others)}); give the --lora-init, --lora-variant, --lora-layers and --lora-targets of then."
        )


def saved_arguments(state: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the constructor's arguments of a checkpoint, but for the env and the device."""
    arguments = {name: _schedule_from_json(value) for name, value in state["arguments"].items()}
    return arguments | {"n_envs": state["spaces"]["n_envs"]}


def saved_spaces(state: Mapping[str, Any]) -> tuple[spaces.Dict, Unicode, int]:
    """Returns the observation space and the action space of a checkpoint, and how many envs it had."""
    sizes = state["spaces"]
    observation: dict[str, spaces.Space[Any]] = {"prompt": Unicode(sizes["prompt"])}
    if sizes["image"] is not None:
        observation["image"] = spaces.Box(0, 255, tuple(sizes["image"]), np.uint8)
    return spaces.Dict(observation), Unicode(sizes["response"]), sizes["n_envs"]


def saved_value_settings(folder: Path) -> LoRASettings | None:
    """Returns the LoRA settings of the saved value adapter, maybe a reward model's; None where there is no adapter."""
    if not (folder / "value").is_dir():
        return None
    lora = read_provenance(folder / "value")["lora"]
    return None if lora is None else LoRASettings(**lora)


def constructor_arguments(algorithm: "PPO") -> dict[str, Any]:
    """Returns the constructor's arguments as JSON, but for the env and the device."""
    arguments = vars(algorithm.hyperparameters) | {name: getattr(algorithm, name) for name in _OTHER_ARGUMENTS}
    arguments["kl_coef"] = algorithm.initial_kl_coef
    if algorithm.policy_kwargs.get("backbone", "tiny") == "tiny":  # which one that is, the env said
        backbone = short_name(algorithm.policy.backbone.path)
        arguments["policy_kwargs"] = {**algorithm.policy_kwargs, "backbone": backbone}
    for name in SCHEDULES:
        arguments[name] = _schedule_to_json(name, arguments[name])
    return as_json(arguments)


def _schedule_to_json(name: str, value: Any) -> Any:
    if isinstance(value, FloatSchedule):
        value = value.value_schedule
    if isinstance(value, ConstantSchedule):
        value = value.val
    if isinstance(value, LinearSchedule):
        return {"start": value.start, "end": value.end, "end_fraction": value.end_fraction}
    if callable(value):
        raise CheckpointError(f"{name} is the callable {value}, which cannot be saved; use a number or LinearSchedule.")
    return value


def _schedule_from_json(value: Any) -> Any:
    return (
        LinearSchedule(**value) if isinstance(value, dict) and set(value) == {"start", "end", "end_fraction"} else value
    )


def _spaces_to_json(algorithm: "PPO") -> dict[str, Any]:
    prompt, image = (algorithm.observation_space.spaces.get(key) for key in ("prompt", "image"))  # type: ignore[attr-defined]
    return {
        "prompt": prompt.max_length,
        "image": None if image is None else list(image.shape),
        "response": algorithm.action_space.max_length,  # type: ignore[attr-defined]
        "n_envs": algorithm.all_envs,
    }


def _constants(policy: "LoRAPolicy") -> dict[str, Tensor]:
    return {f"{role.name}.{name}": tensor for role in policy.roles for name, tensor in role.constants().items()}


def _env_state(env: Any) -> dict[str, Any]:
    task_env = env.unwrapped
    if not isinstance(task_env, TaskVecEnv):
        raise CheckpointError(f"{type(task_env).__name__} cannot write down its state; use agents.make_vec_env.")
    state: dict[str, Any] = {"task": task_env.task_env.get_state()}
    if isinstance(env, VecMonitor):
        state["returns"], state["lengths"] = env.episode_returns.tolist(), env.episode_lengths.tolist()
    return state


def _joined(parts: list[Any]) -> Any:
    """Returns what the processes know of their envs as one process would: lists end to end."""
    if isinstance(parts[0], dict):
        return {key: _joined([part[key] for part in parts]) for key in parts[0]}
    return [item for part in parts for item in part]


def _own(state: Any) -> Any:
    """Returns this process's share of what `_joined` gave."""
    if isinstance(state, dict):
        return {key: _own(value) for key, value in state.items()}
    return [state[i] for i in group.share(len(state), "envs of the checkpoint")]


def _restore_env(algorithm: "PPO", state: Mapping[str, Any]) -> Any:
    """Puts the episodes back that were under way; returns the observations, None where the env repeats none."""
    env = algorithm.env
    assert env is not None
    number = len(state["task"]["states"])
    if algorithm.all_envs != number:
        raise CheckpointError(
            f"the checkpoint is of {number} envs side by side, got {algorithm.all_envs}.{_NEW_EPISODES}"
        )
    state = _own(state)
    task_env: TaskVectorEnv = env.unwrapped.task_env  # type: ignore[attr-defined]
    task = task_env.task
    saved = state["task"]
    if not task.repeats:
        return None
    try:
        for value in saved["states"]:  # seen to be sound before the env is touched
            task.observe(task.state_from_json(value))
    except NotRepeatableError as error:
        print(error, file=sys.stderr)
        return None
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"the episodes under way in the checkpoint do not fit this env of task {type(task).__name__} "
            f"({one_line(error)}): another task, split or data.{_NEW_EPISODES}"
        ) from None
    if isinstance(env, VecMonitor):
        env.episode_returns = np.array(state["returns"], dtype=np.float32)
        env.episode_lengths = np.array(state["lengths"], dtype=np.int32)
    env.seed(None)  # of the constructor, which the next reset would begin with; the generators come from the checkpoint
    return task_env.set_state(saved)
